/*
 * Oracles: what is read is a sound tape, and written in minimal widths is the
 * same again; it survives JSON, bytes and all; limits hold; memory is bounded
 * by the size, and its lack is no crash.
 *
 * The first byte makes the limits, the second which allocation fails.
 */
#include "../unit/value_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_limits(const rill__tape *t, const rill__value_limits *l) {
  const rill__node *open[RILL__VALUE_DEPTH + 1];
  uint32_t depth = 0;

  MUST(t->len <= l->nodes);
  for (const rill__node *n = t->v, *end = n + t->len; n < end; n++) {
    while (depth > 0 && open[depth - 1] == n)
      depth--;
    if (n->type >= RILL_ARRAY) {
      open[depth++] = rill__node_next(n);
      MUST(depth <= l->depth && depth <= RILL__VALUE_DEPTH);
    }
    if (n->type == RILL_OBJECT)
      MUST(n->len == 0 || n[1].len <= l->key);
  }
}

static void check_again(const kit *k, size_t size) {
  rill__bytes out, twice;
  kit again;

  rill__bytes_init(&out, &rill__alloc_default);
  rill__bytes_init(&twice, &rill__alloc_default);
  rill__msgpack_write(&out, k->tape.v);
  MUST(!out.failed && out.len <= 2 * size); /* float 32 is written as 64 */
  kit_begin(&again);
  MUST(kit_msgpack(&again, out.data, out.len) == 0);
  MUST(kit_same(&k->tape, &again.tape));
  rill__msgpack_write(&twice, again.tape.v);
  MUST(twice.len == out.len && memcmp(twice.data, out.data, out.len) == 0);
  kit_end(&again);
  rill__bytes_finish(&out);
  rill__bytes_finish(&twice);
}

/* A float, and what its text was read as: 3 for 3.0. */
static bool same_number(const rill__node *a, const rill__node *b) {
  if (b->type != RILL_INT)
    return kit_same_node(a, b);
  return (b->flags & RILL__NODE_UNSIGNED ? (double)b->u.u : (double)b->u.i) ==
         a->u.d;
}

/* Are there objects that only look like bytes? */
static bool has_bytes_key(const rill__tape *t) {
  for (uint32_t i = 0; i < t->len; i++)
    if (t->v[i].type == RILL_STRING && t->v[i].len == 6 &&
        memcmp(t->v[i].u.ptr, "$bytes", 6) == 0)
      return true;
  return false;
}

static void check_json(const kit *k) {
  char *text = kit_write(k->tape.v);
  kit again;

  kit_begin(&again);
  again.limits.depth++; /* bytes are objects now */
  MUST(kit_json(&again, text) == 0);
  if (!has_bytes_key(&k->tape)) {
    MUST(rill__value_unpack_bytes(&again.tape, 0));
    kit_check(&again.tape);
    MUST(again.tape.len == k->tape.len);
    for (uint32_t i = 0; i < k->tape.len; i++)
      MUST(k->tape.v[i].type == RILL_DOUBLE
               ? same_number(&k->tape.v[i], &again.tape.v[i])
               : kit_same_node(&k->tape.v[i], &again.tape.v[i]));
  }
  free(text);
  kit_end(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  kit k;
  int rv;

  if (size < 2)
    return 0;
  kit_begin(&k);
  if (data[0] & 1)
    k.limits =
        (rill__value_limits){data[0] >> 1 & 7, data[0] >> 4, data[0] >> 3 & 15};
  rv = kit_msgpack(&k, data + 2, size - 2);
  MUST(k.m.peak <= 64 * (size + 256));
  MUST(rv == 0 || rv == RILL_ERR_PROTO || rv == RILL_ERR_LIMIT);
  MUST(rv == 0 || k.tape.len == 0);
  if (rv == 0) {
    kit_check(&k.tape);
    check_limits(&k.tape, &k.limits);
    check_again(&k, size - 2);
    check_json(&k);
  }
  kit_end(&k);
  kit_begin(&k);
  k.m.fail_at = data[1] & 15;
  rv = kit_msgpack(&k, data + 2, size - 2);
  MUST(rv == 0 || k.tape.len == 0);
  kit_end(&k);
  return 0;
}
