/*
 * The first byte says what the rest is: even, the text of a packet and, each
 * behind a byte 0xff, its attachments; odd, a packet in MessagePack.  Its
 * second bit asks for small limits.
 *
 * Oracles: what was read keeps the rules of its type and the limits; the
 * lengths of containers fit into each other; written again as text and as
 * MessagePack and read, it is the same; there are as many attachments as
 * values of bytes, and the size of an event is bounded by what came.
 */
#include <math.h>

#include "../unit/sio.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 10, MANY = 255, SEPARATOR = 0xff };

static const rill__value_limits usual = {32, 16384, 1024}, small = {4, 20, 8};

static char *exact(const void *data, size_t size) {
  char *copy = malloc(size + (size == 0));

  MUST(copy != NULL);
  memcpy(copy, data, size);
  return copy;
}

static void check_list(const rill__sio_packet *packet, const rill__node *data) {
  MUST(data != NULL && data->type == RILL_ARRAY);
  if (packet->type != RILL__SIO_EVENT)
    return;
  MUST(data->len > 0);
  if (data[1].type == RILL_STRING)
    MUST(rill__sio_name_ok((rill_str){data[1].u.ptr, data[1].len}));
  else
    MUST(data[1].type == RILL_INT || data[1].type == RILL_DOUBLE);
}

static void check_rules(const rill__sio_packet *packet,
                        const rill__tape *tape) {
  const rill__node *data = NULL;

  if (packet->data != RILL__SIO_NONE) {
    MUST(packet->data < tape->len);
    data = &tape->v[packet->data];
    sio_check(data, tape->v + tape->len);
  }
  MUST(rill_str_starts(packet->space, "/"));
  MUST(memchr(packet->space.ptr, ',', packet->space.len) == NULL);
  MUST(!packet->has_id || packet->id <= RILL__SIO_ID_MAX);
  switch (packet->type) {
  case RILL__SIO_CONNECT:
    MUST(data == NULL || data->type == RILL_OBJECT);
    break;
  case RILL__SIO_DISCONNECT:
    MUST(data == NULL);
    break;
  case RILL__SIO_EVENT:
  case RILL__SIO_ACK:
    check_list(packet, data);
    break;
  case RILL__SIO_CONNECT_ERROR:
    MUST(false);
  }
}

/* 1e400 stays as it is in JSON, but MessagePack has null in its place. */
static bool is_finite(const rill__node *n) {
  for (const rill__node *end = rill__node_next(n); n < end; n++)
    if (n->type == RILL_DOUBLE &&
        isinf(rill_value_double((rill_value){n}, HUGE_VAL)))
      return false;
  return true;
}

/* Beside attachments such a mark is written as false, so they differ. */
static bool has_mark(const rill__node *n) {
  for (const rill__node *end = rill__node_next(n); n < end; n++)
    if (n->type == RILL_OBJECT) {
      rill_walk walk = rill_walk_begin((rill_value){n});
      while (rill_walk_next(&walk))
        if (rill_str_eq(walk.key, rill_s("_placeholder")) &&
            rill_value_bool(walk.value, false))
          return true;
    }
  return false;
}

/* Bytes in CONNECT's data are no attachments but text, so they differ. */
static bool has_attachments(const rill__sio_packet *packet) {
  return packet->type == RILL__SIO_EVENT || packet->type == RILL__SIO_ACK;
}

static void check_same(const rill__sio_packet *a, const rill__tape *at,
                       const rill__sio_packet *b, const rill__tape *bt,
                       rill__sio_type type) {
  MUST(b->type == type && rill_str_eq(a->space, b->space));
  MUST(a->has_id == b->has_id && (!a->has_id || a->id == b->id));
  MUST((a->data == RILL__SIO_NONE) == (b->data == RILL__SIO_NONE));
  if (a->data == RILL__SIO_NONE)
    return;
  MUST(sio_same(&at->v[a->data], &bt->v[b->data]));
}

static void again_as_text(const rill__sio_packet *packet,
                          const rill__tape *tape, const sio_again *again,
                          uint32_t bytes) {
  static const rill__value_limits open = {64, UINT32_MAX, UINT32_MAX};
  rill_str v[MANY];
  rill__attachments attachments = {v, 0, MANY};
  rill__sio_packet other;
  rill__tape copy;
  rill__bytes out;
  char *text;

  rill__bytes_init(&out, &rill__alloc_default);
  rill__sio_write(&out, &again->out, &attachments);
  MUST(!out.failed && attachments.len == bytes);
  MUST(rill__utf8_valid(out.data, out.len));
  text = exact(out.data, out.len);
  rill__tape_init(&copy, &rill__alloc_default);
  MUST(rill__sio_read(&other, &copy, (rill_str){text, out.len}, &open, MANY) ==
       0);
  MUST(other.attachments == bytes);
  if (bytes > 0)
    MUST(rill__sio_attach(&other, &copy, v, bytes) == 0);
  if (bytes == 0 || !has_mark(&tape->v[packet->data]))
    check_same(packet, tape, &other, &copy, again->out.type);
  else
    check_rules(&other, &copy);
  MUST(other.data == RILL__SIO_NONE ||
       rill__node_next(&copy.v[other.data]) == copy.v + copy.len);
  rill__tape_finish(&copy);
  rill__bytes_finish(&out);
  free(text);
}

static void again_packed(const rill__sio_packet *packet, const rill__tape *tape,
                         const sio_again *again) {
  static const rill__value_limits open = {64, UINT32_MAX, UINT32_MAX};
  rill__sio_packet other;
  rill__tape copy;
  rill__bytes out;
  char *text;

  rill__bytes_init(&out, &rill__alloc_default);
  rill__sio_write_msgpack(&out, &again->out);
  MUST(!out.failed);
  text = exact(out.data, out.len);
  rill__tape_init(&copy, &rill__alloc_default);
  MUST(rill__sio_read_msgpack(&other, &copy, (rill_str){text, out.len},
                              &open) == 0);
  check_same(packet, tape, &other, &copy, again->out.type);
  rill__tape_finish(&copy);
  rill__bytes_finish(&out);
  free(text);
}

static void check(const rill__sio_packet *packet, const rill__tape *tape) {
  const rill__node *data = NULL;
  sio_again again;
  uint32_t bytes = 0;

  check_rules(packet, tape);
  if (packet->data != RILL__SIO_NONE)
    data = &tape->v[packet->data];
  if (data != NULL)
    bytes = sio_count(data, RILL_BYTES);
  again = sio_again_of(packet, tape);
  if (bytes == 0 || (has_attachments(packet) && bytes <= MANY))
    again_as_text(packet, tape, &again, bytes);
  if (data == NULL || is_finite(data))
    again_packed(packet, tape, &again);
  free(again.list);
}

/* As many of |rest| as are asked for; those that are missing are empty. */
static void read_attachments(rill__sio_packet *packet, rill__tape *tape,
                             const uint8_t *rest, size_t size) {
  uint32_t n = packet->attachments, before = tape->len;
  char *copies[MOST];
  rill_str v[MOST];
  int rv;

  for (uint32_t i = 0; i < n; i++) {
    const uint8_t *end = size > 0 ? memchr(rest, SEPARATOR, size) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest) : size;
    copies[i] = exact(rest, len);
    v[i] = (rill_str){copies[i], len};
    len += end != NULL;
    rest += len;
    size -= len;
  }
  rv = rill__sio_attach(packet, tape, v, n);
  MUST(rv == 0 || rv == RILL_ERR_PROTO || rv == RILL_ERR_LIMIT);
  if (rv == 0) {
    MUST(tape->len <= before);
    MUST(sio_count(&tape->v[packet->data], RILL_BYTES) <= MOST);
    check(packet, tape);
  }
  for (uint32_t i = 0; i < n; i++)
    free(copies[i]);
}

static void read_text(const uint8_t *data, size_t size,
                      const rill__value_limits *limits) {
  const uint8_t *end = size > 0 ? memchr(data, SEPARATOR, size) : NULL;
  size_t len = end != NULL ? (size_t)(end - data) : size;
  char *text = exact(data, len);
  rill__sio_packet packet;
  rill__tape tape;

  rill__tape_init(&tape, &rill__alloc_default);
  /* A WebSocket's text, or a payload's, has been checked before. */
  if (rill__utf8_valid(text, len) &&
      rill__sio_read(&packet, &tape, (rill_str){text, len}, limits, MOST) ==
          0) {
    MUST(tape.len <= limits->nodes && packet.attachments <= MOST);
    MUST(packet.attachments == 0 || has_attachments(&packet));
    len += end != NULL;
    if (packet.attachments > 0)
      read_attachments(&packet, &tape, data + len, size - len);
    else
      check(&packet, &tape);
  }
  rill__tape_finish(&tape);
  free(text);
}

static void read_packed(const uint8_t *data, size_t size,
                        const rill__value_limits *limits) {
  char *text = exact(data, size);
  rill__sio_packet packet;
  rill__tape tape;

  rill__tape_init(&tape, &rill__alloc_default);
  if (rill__sio_read_msgpack(&packet, &tape, (rill_str){text, size}, limits) ==
      0) {
    MUST(tape.len <= limits->nodes && packet.attachments == 0);
    check(&packet, &tape);
  }
  rill__tape_finish(&tape);
  free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const rill__value_limits *limits;

  if (size == 0)
    return 0;
  limits = data[0] & 2 ? &small : &usual;
  if (data[0] & 1)
    read_packed(data + 1, size - 1, limits);
  else
    read_text(data + 1, size - 1, limits);
  return 0;
}
