/*
 * ws_rig.h - one WebSocket in memory, for tests and fuzzing: an allocator
 * that counts and can fail, feeds from blocks of exactly their size, and a
 * log of the events as text.
 *
 * The log of a stream: "T" or "B" and the payload for a message, "<", ">"
 * and "x" and the payload for a ping, pong and close, "!" and the close
 * code for an error, each followed by ";".  Payloads over 64 bytes are
 * written as length and hash.
 */
#ifndef WS_RIG_H
#define WS_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "wire/deflate.h"
#include "wire/ws.h"

typedef struct counter {
  size_t live, peak, largest; /* bytes */
  long calls;                 /* allocations and growths so far */
  long fail_at;               /* the call that fails; 0: none */
} counter;

static inline void *counter_alloc(void *arg, void *ptr, size_t old,
                                  size_t size) {
  counter *c = arg;
  void *p;

  if (size == 0) {
    c->live -= old;
    free(ptr);
    return NULL;
  }
  if (++c->calls == c->fail_at)
    return NULL;
  /* A fresh block for each growth, so that no stale pointer goes unseen. */
  p = malloc(size);
  if (p == NULL)
    abort();
  if (ptr != NULL) {
    memcpy(p, ptr, old < size ? old : size);
    free(ptr);
  }
  c->live += size - old;
  if (c->live > c->peak)
    c->peak = c->live;
  if (size > c->largest)
    c->largest = size;
  return p;
}

typedef struct rig {
  counter mem;
  rill__alloc alloc;
  rill_limits limits;
  rill__chunk_pool chunks;
  rill__ws_env env;
  rill__ws ws;
  rill__ws_error error;
  char *log;
  size_t len, cap;
  int events;
  int answer; /* what the handlers return */
} rig;

static inline void rig_note(rig *r, const char *kind, const uint8_t *data,
                            size_t len) {
  uint64_t hash = 14695981039346656037u;

  if (r->cap - r->len < len + 128) {
    r->cap = r->cap * 2 + len + 128;
    r->log = realloc(r->log, r->cap);
    if (r->log == NULL)
      abort();
  }
  r->len += (size_t)sprintf(r->log + r->len, "%s", kind);
  if (len <= 64) {
    if (len > 0)
      memcpy(r->log + r->len, data, len);
    r->len += len;
  } else {
    for (size_t i = 0; i < len; i++)
      hash = (hash ^ data[i]) * 1099511628211u;
    r->len += (size_t)sprintf(r->log + r->len, "%zu:%016llx", len,
                              (unsigned long long)hash);
  }
  r->log[r->len++] = ';';
  r->log[r->len] = '\0';
}

static inline int rig_message(void *arg, const rill__ws_message *msg) {
  rig *r = arg;

  r->events++;
  rig_note(r, msg->opcode == RILL__WS_TEXT ? "T" : "B", msg->data, msg->len);
  /* |data| may be written to, and so may the headroom of a chunk. */
  if (msg->chunk != NULL) {
    if (msg->data != msg->chunk->data + RILL__WS_HEADER_MAX ||
        msg->chunk->used != RILL__WS_HEADER_MAX + msg->len)
      abort();
    memset(msg->chunk->data, 0x5a, msg->chunk->used);
  } else if (msg->len > 0) {
    memset(msg->data, 0x5a, msg->len);
  }
  return r->answer;
}

static inline int rig_control(void *arg, uint8_t opcode, const uint8_t *data,
                              size_t len) {
  rig *r = arg;

  r->events++;
  rig_note(r,
           opcode == RILL__WS_PING   ? "<"
           : opcode == RILL__WS_PONG ? ">"
                                     : "x",
           data, len);
  return r->answer;
}

static const rill__ws_sink rig_sink = {rig_message, rig_control};

/* |limits| may be changed afterwards. */
static inline void rig_init(rig *r, bool client) {
  memset(r, 0, sizeof *r);
#define RILL_X(name, def, max, outcome) .name = (def),
  r->limits = (rill_limits){RILL_LIMITS(RILL_X)};
#undef RILL_X
  r->alloc = (rill__alloc){counter_alloc, &r->mem};
  rill__chunk_pool_init(&r->chunks, &r->alloc);
  if (rill__ws_env_init(&r->env, &r->alloc, &r->limits, &r->chunks) != 0)
    abort();
  rill__ws_init(&r->ws, client);
  r->cap = 256;
  r->log = calloc(1, r->cap);
  if (r->log == NULL)
    abort();
}

/* Negotiates as both sides of |opts| would; false: no memory. */
static inline bool rig_deflate(rig *r, const rill_deflate_opts *opts) {
  rill__pmd_params params;
  char offer[160], answer[160];
  bool on;

  rill__pmd_offer(opts, offer);
  if (!rill__pmd_accept(opts, rill_s(offer), &params, answer) ||
      !rill__pmd_confirm(opts, rill_s(answer), &params, &on) || !on)
    abort();
  r->ws.pmd = rill__pmd_new(&r->env, r->ws.client, &params, opts);
  return r->ws.pmd != NULL;
}

/* Everything must have been given back. */
static inline void rig_finish(rig *r) {
  rill__ws_finish(&r->ws, &r->env);
  if (!rill__list_empty(&r->env.assembling) || r->env.assembly_bytes != 0)
    abort();
  rill__ws_env_finish(&r->env);
  if (r->chunks.held != 0)
    abort();
  rill__chunk_pool_finish(&r->chunks);
  if (r->mem.live != 0)
    abort();
  free(r->log);
}

/* Feeds one piece from a block of its size. */
static inline int rig_feed(rig *r, const uint8_t *data, size_t len,
                           size_t *used) {
  uint8_t *copy = malloc(len > 0 ? len : 1);
  int rv;

  if (copy == NULL)
    abort();
  if (len > 0)
    memcpy(copy, data, len);
  rv = rill__ws_feed(&r->ws, &r->env, copy, len, used, &rig_sink, r,
                     &r->error);
  if (*used > len || (rv == 0 && *used != len))
    abort();
  free(copy);
  return rv;
}

/* How a stream is cut: whole, byte by byte, or at random by a seed. */
enum { WHOLE = 0, BYTES = 1 /* others are seeds */ };

static inline size_t next_cut(uint32_t *seed, size_t left) {
  size_t n;

  if (*seed == WHOLE)
    return left;
  if (*seed == BYTES)
    return 1;
  *seed = *seed * 1664525u + 1013904223u;
  if (*seed <= BYTES)
    *seed = 77;
  n = 1 + (*seed >> 24) % ((*seed >> 16) % 3 == 0 ? 3 : 40);
  return n < left ? n : left;
}

/*
 * Feeds a whole stream, going on after pauses; notes the error at its end.
 * Returns what the last feed did.
 */
static inline int rig_stream(rig *r, const uint8_t *data, size_t len,
                             uint32_t cut) {
  size_t at = 0, used;
  int rv = 0;
  char text[16];

  while (at < len) {
    size_t n = next_cut(&cut, len - at), end = at + n;
    do {
      rv = rig_feed(r, data + at, end - at, &used);
      at += used;
    } while (rv == RILL_PAUSE && at < end);
    if (rv < 0)
      break;
  }
  if (rv < 0 && rv != RILL_ERR_CLOSED) {
    sprintf(text, "!%d", r->error.code);
    rig_note(r, text, NULL, 0);
  }
  return rv < 0 ? rv : 0;
}

/* Streams of frames for the rig: masked where it is a server. */
typedef struct stream_buf {
  uint8_t *data;
  size_t len, cap;
  bool mask;
} stream_buf;

static inline void put_bytes(stream_buf *s, const void *data, size_t len) {
  if (s->cap - s->len < len) {
    s->cap = s->cap * 2 + len + 64;
    s->data = realloc(s->data, s->cap);
    if (s->data == NULL)
      abort();
  }
  if (len > 0)
    memcpy(s->data + s->len, data, len);
  s->len += len;
}

static inline void put_frame(stream_buf *s, uint8_t first, const void *data,
                             size_t len) {
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  uint8_t head[RILL__WS_HEADER_MAX];
  size_t n = rill__ws_header(head, first, len, s->mask ? mask : NULL);

  put_bytes(s, head, n);
  put_bytes(s, data, len);
  if (s->mask)
    for (size_t i = 0; i < len; i++)
      s->data[s->len - len + i] ^= mask[i & 3];
}

static inline void put_text(stream_buf *s, uint8_t first, const char *text) {
  put_frame(s, first, text, strlen(text));
}

static inline void stream_clear(stream_buf *s) {
  free(s->data);
  *s = (stream_buf){.mask = s->mask};
}

#endif
