/*
 * parse_tool.c - what rill makes of the bytes that parsers.test.mjs gives it.
 *
 * A question on stdin is a letter, the number of its parts and each part
 * behind its length, numbers as 32 bits, big-endian.  The letters:
 *
 *   p  the payload of a POST, one part
 *   w  the text of a WebSocket message, one part
 *   s  a Socket.IO packet: its text and its attachments
 *   m  a Socket.IO packet in MessagePack, one part
 *
 * The answer is a line.  To p and w: each packet as its type, "s" or "b" and
 * its data in hex, a space behind each, and "end" or "bad".  To s and m:
 * "bad", "limit", "incomplete" or "excess", or the packet as type, namespace
 * in hex, id and value, then, each behind a tab, what rill writes to say the
 * same: as text with its attachments, and as MessagePack, all in hex.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/sio.h"
#include "wire/engineio.h"

enum { MOST = 10, PARTS = 64, MANY = 255 };

static const rill__value_limits limits = {32, 16384, 1024};

typedef struct question {
  int letter;
  uint32_t n;
  rill_str part[PARTS];
} question;

static bool read_u32(uint32_t *out) {
  uint8_t b[4];

  if (fread(b, 1, 4, stdin) != 4)
    return false;
  *out =
      (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
  return true;
}

static bool read_part(rill_str *part) {
  uint32_t len;
  char *p;

  if (!read_u32(&len))
    return false;
  p = malloc(len + (len == 0));
  MUST(p != NULL);
  *part = (rill_str){p, len};
  return fread(p, 1, len, stdin) == len;
}

static bool read_question(question *q) {
  q->letter = getchar();
  if (q->letter == EOF)
    return false;
  MUST(read_u32(&q->n) && q->n >= 1 && q->n <= PARTS);
  for (uint32_t i = 0; i < q->n; i++)
    MUST(read_part(&q->part[i]));
  return true;
}

static void free_question(question *q) {
  for (uint32_t i = 0; i < q->n; i++)
    free((char *)(uintptr_t)q->part[i].ptr);
}

static void print_hex(const void *data, size_t len) {
  const uint8_t *p = data;

  for (size_t i = 0; i < len; i++)
    printf("%02x", p[i]);
}

static void print_str(rill_str s) {
  print_hex(s.ptr, s.len);
}

/* Numbers are doubles to the other side, which knows no infinite JSON. */
static void print_number(rill_value value) {
  double d = rill_value_double(value, HUGE_VAL);
  uint64_t bits;

  if (isinf(d)) {
    printf("n");
    return;
  }
  if (d == 0)
    d = 0; /* no -0 */
  memcpy(&bits, &d, sizeof bits);
  printf("d%016llx", (unsigned long long)bits);
}

typedef struct member {
  rill_str key;
  rill_value value;
  size_t index;
} member;

static int compare(rill_str a, rill_str b) {
  size_t n = a.len < b.len ? a.len : b.len;
  int c = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;

  return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_members(const void *x, const void *y) {
  const member *a = x, *b = y;
  int c = compare(a->key, b->key);

  return c != 0 ? c : (a->index > b->index) - (a->index < b->index);
}

static void print_value(rill_value value);

/* Sorted by key, since JavaScript moves some; the last of equal ones. */
static void print_object(rill_value value) {
  size_t n = 0;
  member *v = malloc((rill_value_size(value) + 1) * sizeof *v);
  rill_walk walk = rill_walk_begin(value);

  MUST(v != NULL);
  for (; rill_walk_next(&walk); n++)
    v[n] = (member){walk.key, walk.value, n};
  qsort(v, n, sizeof *v, compare_members);
  printf("{");
  for (size_t i = 0; i < n; i++) {
    if (i + 1 < n && rill_str_eq(v[i].key, v[i + 1].key))
      continue;
    print_str(v[i].key);
    printf(":");
    print_value(v[i].value);
    printf(",");
  }
  printf("}");
  free(v);
}

static void print_value(rill_value value) {
  rill_walk walk = rill_walk_begin(value);

  switch (rill_value_type(value)) {
  case RILL_ABSENT:
  case RILL_NULL:
    printf("n");
    return;
  case RILL_BOOL:
    printf(rill_value_bool(value, false) ? "t" : "f");
    return;
  case RILL_INT:
  case RILL_DOUBLE:
    print_number(value);
    return;
  case RILL_STRING:
    printf("s");
    print_str(rill_value_str(value));
    return;
  case RILL_BYTES:
    printf("b");
    print_str(rill_value_bytes(value));
    return;
  case RILL_OBJECT:
    print_object(value);
    return;
  case RILL_ARRAY:
    printf("[");
    while (rill_walk_next(&walk)) {
      print_value(walk.value);
      printf(",");
    }
    printf("]");
  }
}

static void print_packet(const rill__eio_packet *packet) {
  printf("%c%c", (char)packet->type, packet->binary ? 'b' : 's');
  print_str(packet->data);
  printf(" ");
}

static void answer_payload(rill_str payload) {
  rill__eio_packet packet;
  int rv;

  while ((rv = rill__eio_next(&payload, &packet)) == 1)
    print_packet(&packet);
  printf("%s\n", rv == 0 ? "end" : "bad");
}

static void answer_message(rill_str text) {
  rill__eio_packet packet;
  bool good = rill__eio_text(text, &packet);

  if (good)
    print_packet(&packet);
  printf("%s\n", good ? "end" : "bad");
}

static void print_again(const rill__sio_out *out) {
  rill_str v[MANY];
  rill__attachments attachments = {v, 0, MANY};
  rill__bytes b;

  rill__bytes_init(&b, &rill__alloc_default);
  rill__sio_write(&b, out, &attachments);
  MUST(!b.failed && attachments.len <= MANY);
  printf("\t");
  print_hex(b.data, b.len);
  for (uint32_t i = 0; i < attachments.len; i++) {
    printf(",");
    print_str(v[i]);
  }
  rill__bytes_clear(&b);
  rill__sio_write_msgpack(&b, out);
  MUST(!b.failed);
  printf("\t");
  print_hex(b.data, b.len);
  rill__bytes_finish(&b);
}

static void print_sio(const rill__sio_packet *packet, const rill__tape *tape) {
  sio_again again = sio_again_of(packet, tape);

  printf("%d ", packet->type);
  print_str(packet->space);
  if (packet->has_id)
    printf(" %llu ", (unsigned long long)packet->id);
  else
    printf(" - ");
  if (packet->data == RILL__SIO_NONE)
    printf("-");
  else
    print_value((rill_value){&tape->v[packet->data]});
  print_again(&again.out);
  free(again.list);
}

static void answer_socketio(const question *q) {
  rill__sio_packet packet;
  rill__tape tape;
  uint32_t given = q->n - 1;
  int rv;

  rill__tape_init(&tape, &rill__alloc_default);
  if (q->letter == 'm')
    rv = rill__sio_read_msgpack(&packet, &tape, q->part[0], &limits);
  else
    rv = rill__sio_read(&packet, &tape, q->part[0], &limits, MOST);
  if (rv == 0 && packet.attachments > 0 && packet.attachments <= given)
    rv = rill__sio_attach(&packet, &tape, q->part + 1, packet.attachments);
  MUST(rv == 0 || rv == RILL_ERR_PROTO || rv == RILL_ERR_LIMIT);
  if (rv != 0)
    printf(rv == RILL_ERR_PROTO ? "bad" : "limit");
  else if (packet.attachments > given)
    printf("incomplete");
  else if (packet.attachments < given)
    printf("excess");
  else
    print_sio(&packet, &tape);
  printf("\n");
  rill__tape_finish(&tape);
}

int main(void) {
  question q;

  while (read_question(&q)) {
    switch (q.letter) {
    case 'p':
      answer_payload(q.part[0]);
      break;
    case 'w':
      answer_message(q.part[0]);
      break;
    case 's':
    case 'm':
      answer_socketio(&q);
      break;
    default:
      return 1;
    }
    free_question(&q);
  }
  return 0;
}
