/*
 * micro_ws.c - what reading one WebSocket message costs, without sockets.
 *
 * Each row feeds the same masked stream again and again, whole or cut, and
 * prints nanoseconds per message, the best of several runs.  "unmask" is
 * rill__ws_mask alone over the same payload.  Copying the stream to the read
 * buffer, which stands for the read itself, is measured apart and taken off.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire/ws.h"

#define RUNS 7

typedef struct rig {
  rill_limits limits;
  rill__chunk_pool chunks;
  rill__ws_env env;
  rill__ws ws;
} rig;

static size_t messages;

static int on_message(void *arg, const rill__ws_message *msg) {
  (void)arg;
  messages += msg->len > 0;
  return 0;
}

static int on_control(void *arg, uint8_t opcode, const uint8_t *data,
                      size_t len) {
  (void)arg;
  (void)opcode;
  (void)data;
  (void)len;
  return 0;
}

static const rill__ws_sink sink = {on_message, on_control};

static double now_ns(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void rig_init(rig *r) {
#define RILL_X(name, def, max, outcome) .name = (def),
  r->limits = (rill_limits){RILL_LIMITS(RILL_X)};
#undef RILL_X
  r->limits.message_bytes = 1u << 26;
  rill__chunk_pool_init(&r->chunks, &rill__alloc_default);
  rill__ws_env_init(&r->env, &rill__alloc_default, &r->limits, &r->chunks);
  rill__ws_init(&r->ws, false);
}

static void rig_finish(rig *r) {
  rill__ws_finish(&r->ws, &r->env);
  rill__ws_env_finish(&r->env);
  rill__chunk_pool_finish(&r->chunks);
}

/* |count| masked frames of |size| bytes; returns the length. */
static size_t make_stream(uint8_t *out, uint8_t first, size_t size,
                          size_t count) {
  static const uint8_t mask[4] = {0x12, 0x9a, 0x5c, 0xe7};
  size_t len = 0;

  for (size_t i = 0; i < count; i++) {
    len += rill__ws_header(out + len, first, size, mask);
    memset(out + len, 'a', size);
    rill__ws_mask(out + len, out + len, size, mask, 0);
    len += size;
  }
  return len;
}

static void feed(rig *r, uint8_t *data, size_t len) {
  rill__ws_error error;
  size_t used;

  if (rill__ws_feed(&r->ws, &r->env, data, len, &used, &sink, NULL, &error) !=
      0) {
    fprintf(stderr, "micro_ws: %s\n", error.reason);
    exit(1);
  }
}

/* Nanoseconds for the whole stream; |r| NULL: only the copies. */
static double run(rig *r, const uint8_t *stream, size_t len, size_t read_size,
                  uint8_t *buf) {
  double best = 1e18;

  for (int i = 0; i < RUNS; i++) {
    double start = now_ns(), took;
    for (size_t at = 0; at < len; at += read_size) {
      size_t n = len - at < read_size ? len - at : read_size;
      memcpy(buf, stream + at, n);
      if (r != NULL)
        feed(r, buf, n);
      else
        __asm__ volatile("" : : "r"(buf) : "memory");
    }
    took = now_ns() - start;
    if (took < best)
      best = took;
  }
  return best;
}

/* Over |room| bytes, as frames lie in a read buffer. */
static double run_mask(uint8_t *buf, size_t room, size_t size,
                       size_t count) {
  static const uint8_t mask[4] = {0x12, 0x9a, 0x5c, 0xe7};
  double best = 1e18;

  for (int i = 0; i < RUNS; i++) {
    double start = now_ns(), took;
    for (size_t k = 0, at = 6; k < count; k++, at += size + 6) {
      if (at + size > room)
        at = 6;
      rill__ws_mask(buf + at, buf + at, size, mask, 0);
    }
    took = now_ns() - start;
    if (took < best)
      best = took;
  }
  return best / (double)count;
}

static void row(const char *name, uint8_t opcode, size_t size,
                size_t read_size) {
  size_t count = ((size_t)1 << 26) / (size + 256);
  size_t room = (size + RILL__WS_HEADER_MAX) * count + 64;
  uint8_t *stream = malloc(room), *buf = malloc(read_size + size + 128);
  size_t len;
  double all, copies;
  rig r;

  if (stream == NULL || buf == NULL)
    exit(1);
  memset(buf, 0, read_size + size + 128);
  rig_init(&r);
  len = make_stream(stream, RILL__WS_FIN | opcode, size, count);
  copies = run(NULL, stream, len, read_size, buf);
  all = run(&r, stream, len, read_size, buf);
  printf("%-34s %10.1f   unmask %10.1f\n", name,
         (all - copies) / (double)count,
         run_mask(buf, read_size + size, size, count));
  rig_finish(&r);
  free(buf);
  free(stream);
}

int main(void) {
  puts("ns per message                      feeding          alone");
  /* A multiple of the frame keeps every frame whole. */
  row("64 B binary, whole", RILL__WS_BINARY, 64, 70 * 900);
  row("64 B text, whole", RILL__WS_TEXT, 64, 70 * 900);
  row("64 B binary, reads of 64 KiB", RILL__WS_BINARY, 64, 65536);
  row("64 B binary, every frame cut", RILL__WS_BINARY, 64, 35);
  row("16 KiB binary, whole", RILL__WS_BINARY, 16384, 16392 * 4);
  row("16 KiB text, whole", RILL__WS_TEXT, 16384, 16392 * 4);
  row("16 KiB binary, reads of 64 KiB", RILL__WS_BINARY, 16384, 65536);
  row("1 MiB binary, whole", RILL__WS_BINARY, 1u << 20, (1u << 20) + 14);
  row("1 MiB text, whole", RILL__WS_TEXT, 1u << 20, (1u << 20) + 14);
  row("1 MiB binary, reads of 256 KiB", RILL__WS_BINARY, 1u << 20, 262144);
  row("1 MiB text, reads of 256 KiB", RILL__WS_TEXT, 1u << 20, 262144);
  row("1 MiB binary, reads of 64 KiB", RILL__WS_BINARY, 1u << 20, 65536);
  return messages == 0;
}
