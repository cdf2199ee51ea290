/*
 * sio.h - Socket.IO packets that were read, to be written again and
 * compared: for the unit tests and the fuzz target.
 */
#ifndef SIO_H
#define SIO_H

#include "mem.h"
#include "wire/socketio.h"

/* What rill would send to say the same; |list| is freed by the caller. */
typedef struct sio_again {
  rill__sio_out out;
  rill__node *list;
} sio_again;

/*
 * An event's name goes where names go; one that is a number has no place
 * there, so that packet is written as an ack, whose data is any list.
 */
static inline sio_again sio_again_of(const rill__sio_packet *packet,
                                     const rill__tape *tape) {
  sio_again a = {.out = {.type = packet->type,
                         .space = packet->space,
                         .has_id = packet->has_id,
                         .id = packet->id}};
  const rill__node *data;

  if (packet->data == RILL__SIO_NONE)
    return a;
  data = &tape->v[packet->data];
  a.out.args = data;
  if (packet->type != RILL__SIO_EVENT)
    return a;
  if (data[1].type != RILL_STRING) {
    a.out.type = RILL__SIO_ACK;
    return a;
  }
  a.out.name = (rill_str){data[1].u.ptr, data[1].len};
  a.list = malloc((data->u.nodes - 1) * sizeof *a.list);
  MUST(a.list != NULL);
  memcpy(a.list + 1, data + 2, (data->u.nodes - 2) * sizeof *a.list);
  a.list[0] = (rill__node){
      .type = RILL_ARRAY, .len = data->len - 1, .u.nodes = data->u.nodes - 1};
  a.out.args = a.list;
  return a;
}

static inline bool sio_same_number(const rill__node *a, const rill__node *b) {
  return rill_value_double((rill_value){a}, 0) ==
         rill_value_double((rill_value){b}, 0);
}

static inline bool sio_same_node(const rill__node *a, const rill__node *b) {
  bool numbers = (a->type == RILL_INT || a->type == RILL_DOUBLE) &&
                 (b->type == RILL_INT || b->type == RILL_DOUBLE);

  if (numbers)
    return sio_same_number(a, b);
  if (a->type != b->type)
    return false;
  switch (a->type) {
  case RILL_BOOL:
    return a->u.b == b->u.b;
  case RILL_STRING:
  case RILL_BYTES:
    return rill_str_eq((rill_str){a->u.ptr, a->len},
                       (rill_str){b->u.ptr, b->len});
  case RILL_ARRAY:
  case RILL_OBJECT:
    return a->len == b->len && a->u.nodes == b->u.nodes;
  default:
    return true;
  }
}

/* Node by node; how whole numbers are held makes no difference. */
static inline bool sio_same(const rill__node *a, const rill__node *b) {
  uint32_t n = a->type >= RILL_ARRAY ? a->u.nodes : 1;

  for (uint32_t i = 0; i < n; i++)
    if (!sio_same_node(&a[i], &b[i]))
      return false;
  return true;
}

static inline uint32_t sio_count(const rill__node *n, rill_type type) {
  uint32_t count = 0;

  for (const rill__node *end = rill__node_next(n); n < end; n++)
    count += n->type == type;
  return count;
}

/* Do the lengths of containers fit into each other? */
static inline void sio_check(const rill__node *n, const rill__node *end) {
  for (; n < end; n++) {
    const rill__node *last = rill__node_next(n), *m = n + 1;
    uint32_t members = n->type == RILL_OBJECT ? 2 * n->len : n->len;

    MUST(last <= end);
    if (n->type < RILL_ARRAY)
      continue;
    for (; members > 0; members--, m = rill__node_next(m)) {
      MUST(m < last);
      MUST(n->type != RILL_OBJECT || members % 2 == 1 ||
           m->type == RILL_STRING);
    }
    MUST(m == last);
  }
}

#endif
