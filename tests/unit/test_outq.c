/*
 * Output queues against a model: a list of units, each a message or control
 * bytes, of which the first may be on the wire in part.
 */
#include "pair.h"

#include "hub/outq.h"

#define QUEUES 3
#define UNITS 4096

typedef struct unit {
  uint8_t bytes[700];
  size_t len, taken; /* taken: on the wire */
  bool message;
  char key; /* 0: none */
} unit;

typedef struct model {
  rill__outq q;
  unit *units[UNITS];
  size_t n;
} model;

typedef struct world {
  mem mem;
  rill__alloc alloc;
  rill__chunk_pool pool;
  rill__out_env env;
  model m[QUEUES];
  uint64_t seed;
  uint32_t serial;
} world;

static void world_init(world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  w->alloc = (rill__alloc){mem_fn, &w->mem};
  w->seed = seed;
  rill__chunk_pool_init(&w->pool, &w->alloc);
  rill__out_env_init(&w->env, &w->alloc);
  for (int i = 0; i < QUEUES; i++)
    rill__outq_init(&w->m[i].q);
}

static void model_remove(model *m, size_t i) {
  free(m->units[i]);
  m->n--;
  memmove(&m->units[i], &m->units[i + 1], (m->n - i) * sizeof m->units[0]);
}

static void world_finish(world *w) {
  for (int i = 0; i < QUEUES; i++) {
    while (w->m[i].n > 0)
      model_remove(&w->m[i], 0);
    rill__outq_finish(&w->m[i].q, &w->env);
  }
  rill__out_env_finish(&w->env);
  assert_int_equal(w->pool.held, 0);
  rill__chunk_pool_finish(&w->pool);
  assert_int_equal(w->mem.blocks, 0);
}

static uint64_t pick(world *w, uint64_t n) {
  return (xorshift(&w->seed) >> 16) % n;
}

/* A frame, or control bytes, that nobody else has. */
static unit *unit_new(world *w, bool message) {
  unit *u = calloc(1, sizeof *u);
  size_t payload = pick(w, 4) == 0 ? pick(w, 600) : pick(w, 20);

  MUST(u != NULL);
  u->message = message;
  if (message) {
    u->bytes[0] = 0x82;
    u->len = rill__ws_header(u->bytes, 0x82, payload, NULL) + payload;
  } else {
    u->len = payload + 1;
  }
  w->serial++;
  for (size_t i = u->len - payload; i < u->len; i++)
    u->bytes[i] = (uint8_t)(w->serial + i * 31);
  return u;
}

static uint32_t model_bytes(const model *m) {
  size_t n = 0;

  for (size_t i = 0; i < m->n; i++)
    n += m->units[i]->len - m->units[i]->taken;
  return (uint32_t)n;
}

static uint32_t model_count(const model *m) {
  uint32_t n = 0;

  for (size_t i = 0; i < m->n; i++)
    n += m->units[i]->message && m->units[i]->taken == 0;
  return n;
}

static void check(const model *m) {
  rill_iov iov[64];
  size_t pieces = rill__outq_iov(&m->q, iov, 64), piece = 0, at = 0;

  MUST(m->q.bytes == model_bytes(m));
  MUST(m->q.count == model_count(m));
  for (size_t i = 0; i < m->n && piece < pieces; i++)
    for (size_t k = m->units[i]->taken; k < m->units[i]->len; k++) {
      if (piece == pieces)
        break;
      MUST(((const uint8_t *)iov[piece].base)[at] == m->units[i]->bytes[k]);
      if (++at == iov[piece].len) {
        piece++;
        at = 0;
      }
    }
  MUST(m->q.bytes > 0 || pieces == 0);
}

static void push_direct(world *w, model *m) {
  unit *u = unit_new(w, pick(w, 4) > 0);
  bool own;
  rill__chunk *c = rill__out_room(&w->env, &w->pool, u->len, &own);
  uint32_t from = c->used;

  memcpy(c->data + from, u->bytes, u->len);
  c->used += (uint32_t)u->len;
  if (pick(w, 3) == 0) { /* what is in the way goes, as in an overflow */
    uint32_t max = (uint32_t)pick(w, 2000);
    uint32_t count = (uint32_t)pick(w, 20) + 1;
    uint32_t dropped =
        rill__outq_drop_oldest(&m->q, &w->env, (uint32_t)u->len, 1, max, count);
    size_t i = 0;
    while (i < m->n &&
           (model_bytes(m) + u->len > max || model_count(m) + 1 > count)) {
      if (m->units[i]->message && m->units[i]->taken == 0) {
        model_remove(m, i);
        dropped--;
      } else {
        i++;
      }
    }
    MUST(dropped == 0);
  }
  MUST(rill__outq_push(&m->q, &w->env, c, from, c->used,
                       u->message ? RILL__OUT_MESSAGES : RILL__OUT_CONTROL,
                       u->message));
  MUST(!own);
  m->units[m->n++] = u;
}

/* A run of messages in a chunk of its own, for all queues. */
static void push_run(world *w) {
  rill__chunk *c = rill__chunk_new(&w->pool, 1);
  uint32_t count = (uint32_t)pick(w, 5) + 1;

  for (uint32_t i = 0; i < count; i++) {
    unit *u = unit_new(w, true);
    memcpy(c->data + c->used, u->bytes, u->len);
    c->used += (uint32_t)u->len;
    for (int k = 0; k < QUEUES; k++) {
      unit *copy = malloc(sizeof *copy);
      MUST(copy != NULL);
      *copy = *u;
      w->m[k].units[w->m[k].n++] = copy;
    }
    free(u);
  }
  for (int k = 0; k < QUEUES; k++)
    MUST(rill__outq_push(&w->m[k].q, &w->env, c, 0, c->used, RILL__OUT_MESSAGES,
                         count));
  rill__chunk_unref(c);
}

static void push_keyed(world *w, model *m) {
  unit *u = unit_new(w, true);
  char key = (char)('a' + pick(w, 4));
  rill__chunk *c = rill__chunk_small(&w->pool, 1 + u->len);
  size_t i = 0;

  u->key = key;
  c->data[0] = (uint8_t)key;
  memcpy(c->data + 1, u->bytes, u->len);
  c->key_len = 1;
  c->used = (uint32_t)u->len + 1;
  while (i < m->n && (m->units[i]->key != key || m->units[i]->taken > 0))
    i++;
  if (i < m->n) {
    MUST(rill__outq_conflate(&m->q, c, 1, c->used, UINT32_MAX));
    free(m->units[i]);
    m->units[i] = u;
  } else {
    MUST(!rill__outq_conflate(&m->q, c, 1, c->used, UINT32_MAX));
    MUST(rill__outq_push(&m->q, &w->env, c, 1, c->used, RILL__OUT_MESSAGES, 1));
    m->units[m->n++] = u;
  }
  rill__chunk_unref(c);
}

static void consume(world *w, model *m) {
  size_t n = pick(w, 5) == 0 ? m->q.bytes : pick(w, m->q.bytes + 1);

  rill__outq_consume(&m->q, &w->env, n);
  while (n > 0) {
    unit *u = m->units[0];
    size_t part = u->len - u->taken < n ? u->len - u->taken : n;
    u->taken += part;
    n -= part;
    if (u->taken == u->len)
      model_remove(m, 0);
  }
}

static bool waits(const unit *u) {
  return u->message && u->taken == 0;
}

/* All messages that wait, or the first of them and what is behind it. */
static void drop(world *w, model *m) {
  size_t i = 0;

  if (pick(w, 2) == 0) {
    rill__outq_drop_all(&m->q, &w->env);
    while (i < m->n)
      if (waits(m->units[i]))
        model_remove(m, i);
      else
        i++;
    return;
  }
  rill__outq_cut(&m->q, &w->env);
  while (i < m->n && !waits(m->units[i]))
    i++;
  while (m->n > i)
    model_remove(m, m->n - 1);
}

static void test_outq_does_as_the_model(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    static world w;
    world_init(&w, seed * 0x9e3779b97f4a7c15u);
    for (int step = 0; step < 1500; step++) {
      model *m = &w.m[pick(&w, QUEUES)];
      switch (pick(&w, 8)) {
      case 0:
      case 1:
      case 2:
        push_direct(&w, m);
        break;
      case 3:
        push_run(&w);
        break;
      case 4:
        push_keyed(&w, m);
        break;
      case 5:
        if (pick(&w, 40) == 0)
          drop(&w, m);
        else
          consume(&w, m);
        break;
      default:
        consume(&w, m);
      }
      for (int i = 0; i < QUEUES; i++) {
        while (w.m[i].n > 200)
          consume(&w, &w.m[i]);
        check(&w.m[i]);
      }
    }
    world_finish(&w);
  }
}

/* Frames that lie behind each other are one piece, and share their chunk. */
static void test_outq_extents_grow(void **state) {
  static world w;
  rill__chunk *c;
  rill_iov iov[4];

  (void)state;
  world_init(&w, 1);
  c = rill__chunk_new(&w.pool, 1);
  memset(c->data, 0, 300);
  for (uint32_t i = 0; i < 100; i++)
    for (int k = 0; k < 2; k++)
      assert_true(rill__outq_push(&w.m[k].q, &w.env, c, i * 2, i * 2 + 2,
                                  RILL__OUT_MESSAGES, 1));
  assert_int_equal(rill__outq_iov(&w.m[0].q, iov, 4), 1);
  assert_int_equal(iov[0].len, 200);
  assert_int_equal(rill__outq_iov(&w.m[1].q, iov + 1, 3), 1);
  assert_ptr_equal(iov[0].base, iov[1].base);
  assert_int_equal(c->refs, 3);
  assert_true(rill__outq_push(&w.m[0].q, &w.env, c, 202, 204,
                              RILL__OUT_MESSAGES, 1)); /* a gap */
  assert_int_equal(rill__outq_iov(&w.m[0].q, iov, 4), 2);
  assert_true(
      rill__outq_push(&w.m[0].q, &w.env, c, 204, 206, RILL__OUT_CONTROL, 0));
  assert_int_equal(rill__outq_iov(&w.m[0].q, iov, 4), 3);
  assert_int_equal(rill__outq_iov(&w.m[0].q, iov, 1), 1);
  rill__chunk_unref(c);
  world_finish(&w);
}

static void test_outq_push_without_memory(void **state) {
  static world w;
  bool own;
  rill__chunk *c;

  (void)state;
  world_init(&w, 1);
  c = rill__out_room(&w.env, &w.pool, 10, &own);
  assert_false(own);
  memset(c->data, 0, 10);
  c->used = 10;
  w.mem.fail_at = w.mem.calls + 1;
  assert_false(
      rill__outq_push(&w.m[0].q, &w.env, c, 0, 10, RILL__OUT_MESSAGES, 1));
  assert_int_equal(w.m[0].q.bytes, 0);
  assert_int_equal(w.m[0].q.count, 0);
  assert_int_equal(c->refs, 1);
  w.mem.fail_at = w.mem.calls + 1;
  assert_null(rill__out_room(&w.env, &w.pool, RILL__CHUNK_STD + 1, &own));
  world_finish(&w);
}

/* The chunk of direct messages is begun anew only where nobody reads it. */
static void test_outq_direct_chunk_is_used_again(void **state) {
  static world w;

  (void)state;
  world_init(&w, 1);
  for (int i = 0; i < 100000; i++) {
    bool own;
    rill__chunk *c = rill__out_room(&w.env, &w.pool, 100, &own);
    uint32_t from = c->used;
    memset(c->data + from, 0, 100);
    c->used += 100;
    assert_true(rill__outq_push(&w.m[i % QUEUES].q, &w.env, c, from, c->used,
                                RILL__OUT_CONTROL, 0));
    if (i % 7 == 0)
      for (int k = 0; k < QUEUES; k++)
        rill__outq_consume(&w.m[k].q, &w.env, w.m[k].q.bytes);
  }
  assert_true(w.mem.peak < 3 * RILL__CHUNK_STD);
  world_finish(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_outq_does_as_the_model),
      cmocka_unit_test(test_outq_extents_grow),
      cmocka_unit_test(test_outq_push_without_memory),
      cmocka_unit_test(test_outq_direct_chunk_is_used_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
