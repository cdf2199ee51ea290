/*
 * The builder: a tape that is written from outside.
 *
 * Each write goes through begin_value, which keeps the rules: one value at
 * the top or in an array, a key and then a value in an object.  Containers
 * get their number of nodes when they close, node 0 after every value at the
 * top, so that the tape is whole whenever nothing is open.
 */
#include "base/build.h"

#include <float.h>

#include "base/utf8.h"

void rill__builder_init(rill_builder *b, const rill__alloc *alloc) {
  *b = (rill_builder){.own = *alloc};
  rill__tape_init(&b->tape, alloc);
}

void rill__builder_finish(rill_builder *b) {
  rill__tape_finish(&b->tape);
}

rill_builder *rill_builder_new(rill_alloc_fn alloc, void *arg) {
  rill__alloc own = rill__alloc_default;
  rill_builder *b;

  if (alloc != NULL)
    own = (rill__alloc){alloc, arg};
  b = rill__malloc(&own, sizeof *b);
  if (b != NULL) {
    b->own = own;
    rill__builder_init(b, &b->own);
  }
  return b;
}

void rill_builder_free(rill_builder *b) {
  rill__alloc own;

  if (b == NULL)
    return;
  own = b->own;
  rill__builder_finish(b);
  rill__free(&own, b, sizeof *b);
}

void rill_builder_clear(rill_builder *b) {
  rill__tape_clear(&b->tape);
  b->bytes = 0;
  b->error = 0;
  b->has_key = false;
  b->depth = b->base = 0;
}

int rill_builder_error(const rill_builder *b) {
  return b->error == 0 && (b->depth > b->base || b->has_key) ? RILL_ERR_ARG
                                                             : b->error;
}

const rill__node *rill__builder_node(const rill_builder *b) {
  static const rill__node empty = {.type = RILL_ARRAY, .u.nodes = 1};

  if (b == NULL)
    return &empty;
  if (rill_builder_error(b) != 0)
    return NULL;
  return b->tape.len == 0 ? &empty : b->tape.v;
}

rill_value rill_builder_value(const rill_builder *b) {
  return (rill_value){rill__builder_node(b)};
}

static bool fail(rill_builder *b, int error) {
  if (b->error == 0)
    b->error = error;
  return false;
}

/* The container that is written to. */
static rill__node *parent(rill_builder *b) {
  return &b->tape.v[b->depth > 0 ? b->open[b->depth - 1] : 0];
}

/* |bytes| more are no more than there may be. */
static bool takes(rill_builder *b, size_t bytes) {
  if (bytes > RILL__BUILD_MAX || b->bytes + bytes > RILL__BUILD_MAX)
    return fail(b, RILL_ERR_TOO_BIG);
  b->bytes += bytes;
  return true;
}

/* May a value come now?  It counts in its container. */
static bool begin_value(rill_builder *b) {
  rill__node *in;

  if (b->error != 0)
    return false;
  if (b->tape.len == 0 && rill__tape_add(&b->tape, RILL_ARRAY) == NULL)
    return fail(b, RILL_ERR_NOMEM);
  in = parent(b);
  if (in->type == RILL_OBJECT && !b->has_key)
    return fail(b, RILL_ERR_ARG);
  in->len += in->type == RILL_ARRAY;
  b->has_key = false;
  return true;
}

/* A value is complete. */
static void end_value(rill_builder *b) {
  if (b->depth > b->base)
    return;
  b->tape.v[0].u.nodes = b->tape.len;
  if (b->base > 0)
    b->tape.v[1].u.nodes = b->tape.len - 1;
}

static rill__node *add(rill_builder *b, rill_type type) {
  rill__node *n;

  if (!takes(b, 1))
    return NULL;
  n = rill__tape_add(&b->tape, type);
  if (n == NULL)
    fail(b, RILL_ERR_NOMEM);
  return n;
}

static rill__node *add_scalar(rill_builder *b, rill_type type) {
  rill__node *n = begin_value(b) ? add(b, type) : NULL;

  if (n != NULL)
    end_value(b);
  return n;
}

/* A copy of |text| in the arena. */
static bool copy(rill_builder *b, rill_str *text) {
  char *room;

  if (!takes(b, text->len))
    return false;
  room = rill__tape_room(&b->tape, text->len);
  if (room == NULL)
    return fail(b, RILL_ERR_NOMEM);
  if (text->len > 0)
    memcpy(room, text->ptr, text->len);
  text->ptr = room;
  return true;
}

void rill_put_null(rill_builder *b) {
  add_scalar(b, RILL_NULL);
}

void rill_put_bool(rill_builder *b, bool value) {
  rill__node *n = add_scalar(b, RILL_BOOL);

  if (n != NULL)
    n->u.b = value;
}

void rill_put_int(rill_builder *b, int64_t value) {
  rill__node *n = add_scalar(b, RILL_INT);

  if (n != NULL)
    n->u.i = value;
}

void rill_put_uint(rill_builder *b, uint64_t value) {
  rill__node *n = add_scalar(b, RILL_INT);

  if (n == NULL)
    return;
  n->u.u = value;
  n->flags = value > INT64_MAX ? RILL__NODE_UNSIGNED : 0;
}

void rill_put_double(rill_builder *b, double value) {
  rill__node *n;

  if (!(value >= -DBL_MAX && value <= DBL_MAX)) {
    fail(b, RILL_ERR_ARG);
    return;
  }
  n = add_scalar(b, RILL_DOUBLE);
  if (n != NULL)
    n->u.d = value;
}

static void put_copy(rill_builder *b, rill_type type, rill_str text) {
  rill__node *n;

  if (b->error != 0 || !copy(b, &text))
    return;
  n = add_scalar(b, type);
  if (n == NULL)
    return;
  n->u.ptr = text.ptr;
  n->len = (uint32_t)text.len;
}

/* Text that may be taken; what is too long is not looked through. */
static bool check_text(rill_builder *b, rill_str text) {
  if (text.len > RILL__BUILD_MAX)
    return fail(b, RILL_ERR_TOO_BIG);
  return rill__utf8_valid(text.ptr, text.len) || fail(b, RILL_ERR_ARG);
}

void rill_put_str(rill_builder *b, rill_str text) {
  if (check_text(b, text))
    put_copy(b, RILL_STRING, text);
}

void rill_put_text(rill_builder *b, const char *text) {
  rill_put_str(b, rill_s(text));
}

void rill_put_bytes(rill_builder *b, const void *data, size_t len) {
  put_copy(b, RILL_BYTES, (rill_str){data, len});
}

/* Containers nested in |n|, itself included. */
static uint32_t depth_of(const rill__node *n) {
  const rill__node *end = rill__node_next(n), *open[RILL__VALUE_DEPTH];
  uint32_t depth = 0, most = 0;

  for (; n < end; n++) {
    while (depth > 0 && open[depth - 1] == n)
      depth--;
    if (n->type < RILL_ARRAY)
      continue;
    if (depth == RILL__VALUE_DEPTH)
      return depth + 1;
    open[depth++] = rill__node_next(n);
    most = depth > most ? depth : most;
  }
  return most;
}

/* One node and its text; containers keep their numbers. */
static bool copy_node(rill_builder *b, rill__node n) {
  rill_str text = {n.u.ptr, n.len};
  rill__node *to;

  n.flags &= (uint8_t)~RILL__NODE_PLACEHOLDER; /* that was said of a packet */
  if (n.type == RILL_STRING || n.type == RILL_BYTES ||
      n.flags & RILL__NODE_RAW) {
    if (!copy(b, &text))
      return false;
    n.u.ptr = text.ptr;
  }
  to = add(b, RILL_NULL);
  if (to == NULL)
    return false;
  *to = n;
  return true;
}

/*
 * The value may be one of this builder's own, and then moves with its tape:
 * it is found again by its distance.  If it is node 0, that changes with the
 * first step; so the first node is kept as it was.
 */
void rill_put_value(rill_builder *b, rill_value value) {
  const rill__node *n = value.node;
  uintptr_t at = (uintptr_t)n, own = (uintptr_t)b->tape.v;
  size_t index = SIZE_MAX, count;
  rill__node first;

  if (n == NULL) {
    rill_put_null(b);
    return;
  }
  if (b->depth + depth_of(n) > RILL__BUILD_DEPTH) {
    fail(b, RILL_ERR_TOO_BIG);
    return;
  }
  if (b->tape.v != NULL && at >= own &&
      at < own + b->tape.len * sizeof *b->tape.v)
    index = (at - own) / sizeof *b->tape.v;
  count = (size_t)(rill__node_next(n) - n);
  first = *n;
  if (!begin_value(b) || !copy_node(b, first))
    return;
  for (size_t i = 1; i < count; i++) {
    const rill__node *from = index != SIZE_MAX ? b->tape.v + index : n;
    if (!copy_node(b, from[i]))
      return;
  }
  end_value(b);
}

/* The text is copied, as the tape borrows from it. */
void rill_put_json(rill_builder *b, rill_str json) {
  rill__value_limits limits = {RILL__BUILD_DEPTH - b->depth, UINT32_MAX,
                               UINT32_MAX};
  int rv;

  if (b->error != 0 || !copy(b, &json) || !begin_value(b))
    return;
  rv = rill__json_read(&b->tape, json, &limits);
  if (rv != 0)
    fail(b, rv == RILL_ERR_LIMIT ? RILL_ERR_TOO_BIG : rv);
  else
    end_value(b);
}

static void open_container(rill_builder *b, rill_type type) {
  if (b->error == 0 && b->depth == RILL__BUILD_DEPTH)
    fail(b, RILL_ERR_TOO_BIG);
  if (begin_value(b) && add(b, type) != NULL)
    b->open[b->depth++] = b->tape.len - 1;
}

void rill_put_array(rill_builder *b) {
  open_container(b, RILL_ARRAY);
}

void rill_put_object(rill_builder *b) {
  open_container(b, RILL_OBJECT);
}

void rill_put_end(rill_builder *b) {
  uint32_t at;

  if (b->error != 0)
    return;
  if (b->depth == b->base || b->has_key) {
    fail(b, RILL_ERR_ARG);
    return;
  }
  at = b->open[--b->depth];
  b->tape.v[at].u.nodes = b->tape.len - at;
  end_value(b);
}

void rill__builder_object(rill_builder *b) {
  rill_builder_clear(b);
  rill_put_object(b);
  if (b->error != 0)
    return;
  b->base = 1;
  end_value(b);
}

void rill_put_key_str(rill_builder *b, rill_str key) {
  rill__node *n;

  if (b->error != 0)
    return;
  if (b->depth == 0 || b->has_key || parent(b)->type != RILL_OBJECT) {
    fail(b, RILL_ERR_ARG);
    return;
  }
  if (!check_text(b, key) || !copy(b, &key) ||
      (n = add(b, RILL_STRING)) == NULL)
    return;
  n->u.ptr = key.ptr;
  n->len = (uint32_t)key.len;
  parent(b)->len++;
  b->has_key = true;
}

void rill_put_key(rill_builder *b, const char *key) {
  if (key == NULL)
    fail(b, RILL_ERR_ARG);
  else
    rill_put_key_str(b, rill_s(key));
}

void rill_set_str(rill_builder *b, const char *key, rill_str text) {
  rill_put_key(b, key);
  rill_put_str(b, text);
}

void rill_set_text(rill_builder *b, const char *key, const char *text) {
  rill_put_key(b, key);
  rill_put_text(b, text);
}

void rill_set_int(rill_builder *b, const char *key, int64_t value) {
  rill_put_key(b, key);
  rill_put_int(b, value);
}

void rill_set_double(rill_builder *b, const char *key, double value) {
  rill_put_key(b, key);
  rill_put_double(b, value);
}

void rill_set_bool(rill_builder *b, const char *key, bool value) {
  rill_put_key(b, key);
  rill_put_bool(b, value);
}

void rill_set_value(rill_builder *b, const char *key, rill_value value) {
  rill_put_key(b, key);
  rill_put_value(b, value);
}
