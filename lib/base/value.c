/* Reading of values: each question checks the type that it is about. */
#include "base/value.h"

#include <float.h>

static const rill_value absent = {NULL};

static bool is(rill_value value, rill_type type) {
  return value.node != NULL && value.node->type == type;
}

static rill_str text(const rill__node *n) {
  return (rill_str){n->u.ptr, n->len};
}

rill_type rill_value_type(rill_value value) {
  return value.node == NULL ? RILL_ABSENT : (rill_type)value.node->type;
}

size_t rill_value_size(rill_value value) {
  return rill_value_type(value) >= RILL_STRING ? value.node->len : 0;
}

rill_str rill_value_str(rill_value value) {
  return is(value, RILL_STRING) ? text(value.node) : (rill_str){NULL, 0};
}

rill_str rill_value_bytes(rill_value value) {
  return is(value, RILL_BYTES) ? text(value.node) : (rill_str){NULL, 0};
}

bool rill_value_bool(rill_value value, bool fallback) {
  return is(value, RILL_BOOL) ? value.node->u.b : fallback;
}

/* A text such as 1e999 has no double. */
static bool get_double(const rill__node *n, double *d) {
  *d = n->flags & RILL__NODE_RAW ? rill__number_double(text(n)) : n->u.d;
  return *d >= -DBL_MAX && *d <= DBL_MAX;
}

int64_t rill_value_int(rill_value value, int64_t fallback) {
  double d;

  if (is(value, RILL_INT))
    return value.node->flags & RILL__NODE_UNSIGNED ? fallback : value.node->u.i;
  if (is(value, RILL_DOUBLE) && get_double(value.node, &d) && d >= -0x1p63 &&
      d < 0x1p63 && (double)(int64_t)d == d)
    return (int64_t)d;
  return fallback;
}

uint64_t rill_value_uint(rill_value value, uint64_t fallback) {
  double d;

  if (is(value, RILL_INT))
    return value.node->flags & RILL__NODE_UNSIGNED || value.node->u.i >= 0
               ? value.node->u.u
               : fallback;
  if (is(value, RILL_DOUBLE) && get_double(value.node, &d) && d >= 0 &&
      d < 0x1p64 && (double)(uint64_t)d == d)
    return (uint64_t)d;
  return fallback;
}

double rill_value_double(rill_value value, double fallback) {
  double d;

  if (is(value, RILL_INT))
    return value.node->flags & RILL__NODE_UNSIGNED ? (double)value.node->u.u
                                                   : (double)value.node->u.i;
  return is(value, RILL_DOUBLE) && get_double(value.node, &d) ? d : fallback;
}

rill_walk rill_walk_begin(rill_value value) {
  rill_walk walk = {.object_ = is(value, RILL_OBJECT)};

  if (walk.object_ || is(value, RILL_ARRAY)) {
    walk.next_ = value.node + 1;
    walk.left_ = value.node->len;
  }
  return walk;
}

bool rill_walk_next(rill_walk *walk) {
  if (walk->left_ == 0) {
    walk->key = (rill_str){NULL, 0};
    walk->value = absent;
    return false;
  }
  walk->left_--;
  if (walk->object_)
    walk->key = text(walk->next_++);
  walk->value.node = walk->next_;
  walk->next_ = rill__node_next(walk->next_);
  return true;
}

rill_value rill_value_at(rill_value value, size_t index) {
  const rill__node *n;

  if (!is(value, RILL_ARRAY) || index >= value.node->len)
    return absent;
  n = value.node + 1;
  while (index-- > 0)
    n = rill__node_next(n);
  return (rill_value){n};
}

rill_value rill_value_get(rill_value value, const char *key) {
  rill_str name = rill_s(key);
  rill_value found = absent;
  const rill__node *n;

  if (!is(value, RILL_OBJECT))
    return absent;
  n = value.node + 1;
  for (uint32_t left = value.node->len; left > 0; left--) {
    if (n->len == name.len &&
        (name.len == 0 || memcmp(n->u.ptr, name.ptr, name.len) == 0))
      found.node = n + 1;
    n = rill__node_next(n + 1);
  }
  return found;
}

rill_str rill_get_str(rill_value object, const char *key) {
  return rill_value_str(rill_value_get(object, key));
}

bool rill_get_bool(rill_value object, const char *key, bool fallback) {
  return rill_value_bool(rill_value_get(object, key), fallback);
}

int64_t rill_get_int(rill_value object, const char *key, int64_t fallback) {
  return rill_value_int(rill_value_get(object, key), fallback);
}

double rill_get_double(rill_value object, const char *key, double fallback) {
  return rill_value_double(rill_value_get(object, key), fallback);
}
