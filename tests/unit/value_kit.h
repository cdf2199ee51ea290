/*
 * value_kit.h - reading and writing values in tests: texts in heap blocks of
 * their exact size, tapes compared node by node.
 */
#ifndef VALUE_KIT_H
#define VALUE_KIT_H

#include "base/value.h"
#include "mem.h"

typedef struct kit {
  mem m;
  rill__alloc alloc;
  rill__tape tape;
  rill__value_limits limits;
  char *text;
} kit;

static inline void kit_begin(kit *k) {
  memset(k, 0, sizeof *k);
  k->alloc = (rill__alloc){mem_fn, &k->m};
  k->limits = (rill__value_limits){60, 1048576, 65536};
  rill__tape_init(&k->tape, &k->alloc);
}

static inline void kit_end(kit *k) {
  rill__tape_finish(&k->tape);
  MUST(k->m.blocks == 0);
  free(k->text);
  k->text = NULL;
}

/* The tape empty, and |data| in a block of its own that lives with it. */
static inline rill_str kit_text(kit *k, const void *data, size_t len) {
  rill__tape_clear(&k->tape);
  free(k->text);
  k->text = malloc(len + (len == 0));
  MUST(k->text != NULL);
  if (len > 0)
    memcpy(k->text, data, len);
  return (rill_str){k->text, len};
}

static inline int kit_json_n(kit *k, const char *text, size_t len) {
  return rill__json_read(&k->tape, kit_text(k, text, len), &k->limits);
}

static inline int kit_json(kit *k, const char *text) {
  return kit_json_n(k, text, strlen(text));
}

static inline int kit_msgpack(kit *k, const void *data, size_t len) {
  return rill__msgpack_read(&k->tape, kit_text(k, data, len), &k->limits);
}

static inline rill_value kit_value(const kit *k) {
  return (rill_value){k->tape.len > 0 ? k->tape.v : NULL};
}

/* |n| as JSON, terminated; to be freed. */
static inline char *kit_write(const rill__node *n) {
  rill__bytes out;
  char *text;

  rill__bytes_init(&out, &rill__alloc_default);
  rill__json_write(&out, n, NULL);
  MUST(!out.failed);
  text = malloc(out.len + 1);
  MUST(text != NULL);
  memcpy(text, out.data, out.len);
  text[out.len] = '\0';
  rill__bytes_finish(&out);
  return text;
}

static inline double kit_double(const rill__node *n) {
  return n->flags & RILL__NODE_RAW
             ? rill__number_double((rill_str){n->u.ptr, n->len})
             : n->u.d;
}

static inline bool kit_same_node(const rill__node *a, const rill__node *b) {
  if (a->type != b->type)
    return false;
  switch (a->type) {
  case RILL_BOOL:
    return a->u.b == b->u.b;
  case RILL_INT:
    return a->u.u == b->u.u &&
           ((a->flags ^ b->flags) & RILL__NODE_UNSIGNED) == 0;
  case RILL_DOUBLE: {
    double x = kit_double(a), y = kit_double(b);
    return memcmp(&x, &y, sizeof x) == 0;
  }
  case RILL_STRING:
  case RILL_BYTES:
    return a->len == b->len &&
           (a->len == 0 || memcmp(a->u.ptr, b->u.ptr, a->len) == 0);
  case RILL_ARRAY:
  case RILL_OBJECT:
    return a->len == b->len && a->u.nodes == b->u.nodes;
  default:
    return true;
  }
}

static inline bool kit_same(const rill__tape *a, const rill__tape *b) {
  if (a->len != b->len)
    return false;
  for (uint32_t i = 0; i < a->len; i++)
    if (!kit_same_node(&a->v[i], &b->v[i]))
      return false;
  return true;
}

/* What holds for every tape that was read: each container ends where it
 * says, within what it is in, and has as many parts as it says. */
static inline void kit_check(const rill__tape *t) {
  for (uint32_t i = 0; i < t->len; i++) {
    const rill__node *n = &t->v[i], *end, *part;
    uint64_t parts = 0;
    if (n->type < RILL_ARRAY)
      continue;
    MUST(n->u.nodes >= 1 && n->u.nodes <= t->len - i);
    end = rill__node_next(n);
    for (part = n + 1; part < end; part = rill__node_next(part), parts++)
      if (n->type == RILL_OBJECT && parts % 2 == 0)
        MUST(part->type == RILL_STRING);
    MUST(part == end);
    MUST(parts == (n->type == RILL_OBJECT ? 2 * (uint64_t)n->len : n->len));
  }
}

#endif
