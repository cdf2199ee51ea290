/* test_memory.c - the store that forgets with its hub, by itself. */
#include "pair.h"

#include "hub/store.h"

#include "store_aging.h"

static uint64_t last;
static char text[200];

static void note(rill__work *w) {
  const rill_store_op *op = &w->op;
  size_t n = 0;

  assert_int_equal(op->status, 0);
  last = op->last;
  for (size_t i = 0; i < op->nrecords; i++)
    n += (size_t)snprintf(
        text + n, sizeof text - n, "%d=%.*s ", (int)op->records[i].offset,
        (int)op->records[i].data.len, op->records[i].data.ptr);
  snprintf(text + n, sizeof text - n, "| %d-%d", (int)op->first, (int)last);
}

static rill__work *work_of(pair *p, rill_store_kind kind, const char *data) {
  int rv;
  rill__work *w = rill__work_new(p->hub, kind, rill_s("log"), rill_s(data),
                                 rill_s(data), &rv);

  assert_non_null(w);
  w->done = note;
  return w;
}

static uint64_t append(void *arg, const char *data, uint64_t time_ms) {
  pair *p = arg;
  rill__work *w = work_of(p, RILL_STORE_APPEND, data);

  w->op.record.time_ms = time_ms;
  rill__work_submit(w);
  pair_turn(p);
  return last;
}

static const char *read_back(void *arg, uint64_t from, bool reverse,
                             uint64_t keep_ms, uint64_t time_ms) {
  pair *p = arg;
  rill__work *w = work_of(p, RILL_STORE_READ, "");

  w->op.from = from;
  w->op.reverse = reverse;
  w->op.limit = 2;
  w->op.keep_ms = keep_ms;
  w->op.record.time_ms = time_ms;
  rill__work_submit(w);
  pair_turn(p);
  return text;
}

static void test_memory_what_is_too_old_is_not_read(void **state) {
  pair *p = *state;

  pair_begin(p);
  store_ages(&(store_hands){p, append, read_back});
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_memory_what_is_too_old_is_not_read)};

  return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
