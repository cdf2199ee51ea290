/*
 * Each allocation of a hub fails in turn, once and from there on, in a dozen
 * scenarios (oom_scenarios.h).  What libraries take from malloc behind the
 * hub's allocator is test_oom_libc.c's.
 */
#include "oom_scenarios.h"

static mem memory;
static uint64_t fail_from; /* this call and all later fail; 0: none */
static uint64_t began;     /* calls before oom_fail */

static void *failing_alloc(void *arg, void *ptr, size_t old, size_t size) {
  (void)arg;
  if (size > 0 && fail_from != 0 && memory.calls + 1 >= fail_from) {
    memory.calls++;
    return NULL;
  }
  return mem_fn(&memory, ptr, old, size);
}

static rill_alloc_fn oom_alloc = failing_alloc;

static void oom_fail(uint64_t i, bool on) {
  began = memory.calls;
  memory.fail_at = i != 0 && !on ? began + i : 0;
  fail_from = i != 0 && on ? began + i : 0;
}

static uint64_t oom_count(void) {
  return memory.calls - began;
}
static size_t oom_live(void) {
  return memory.blocks;
}
static void oom_enter(void) {}
static void oom_leave(void) {}

#define OOM_X(name)                                                            \
  static void test_oom_##name(void **state) {                                  \
    (void)state;                                                               \
    oom_sweep(name);                                                           \
  }
OOM_SCENARIOS(OOM_X)
#undef OOM_X

int main(void) {
  const struct CMUnitTest tests[] = {
#define OOM_X(name) cmocka_unit_test(test_oom_##name),
      OOM_SCENARIOS(OOM_X)
#undef OOM_X
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
