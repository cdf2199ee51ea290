/*
 * As test_oom.c, where every allocation counts that is made inside of a call
 * of the library, whoever makes it: wslay and mbedTLS take their memory from
 * malloc, not from the hub's allocator.  malloc is defined here, over
 * glibc's; so this program is not for sanitizers.
 */
#include <errno.h>
#include <stdlib.h>

#include "oom_scenarios.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static struct {
  bool inside;
  uint64_t calls, fail_at, fail_from;
  size_t live; /* blocks that were made inside and not freed there */
} libc;

static bool fails(void) {
  if (!libc.inside)
    return false;
  libc.calls++;
  if (libc.calls == libc.fail_at ||
      (libc.fail_from != 0 && libc.calls >= libc.fail_from)) {
    errno = ENOMEM;
    return true;
  }
  return false;
}

/* RILL_API: so that shared libraries find these and not glibc's. */
RILL_API void *malloc(size_t size) {
  void *p;

  if (fails())
    return NULL;
  p = __libc_malloc(size);
  libc.live += libc.inside && p != NULL;
  return p;
}

RILL_API void *calloc(size_t n, size_t size) {
  void *p;

  if (fails())
    return NULL;
  p = __libc_calloc(n, size);
  libc.live += libc.inside && p != NULL;
  return p;
}

RILL_API void *realloc(void *old, size_t size) {
  void *p;

  if (fails())
    return NULL;
  p = __libc_realloc(old, size);
  libc.live += libc.inside && old == NULL && p != NULL;
  return p;
}

RILL_API void free(void *p) {
  libc.live -= libc.inside && p != NULL;
  __libc_free(p);
}

static rill_alloc_fn oom_alloc = NULL;

static void oom_fail(uint64_t i, bool on) {
  libc.calls = 0;
  libc.fail_at = on ? 0 : i;
  libc.fail_from = on ? i : 0;
}

static uint64_t oom_count(void) {
  return libc.calls;
}
static size_t oom_live(void) {
  return libc.live;
}
static void oom_enter(void) {
  libc.inside = true;
}
static void oom_leave(void) {
  libc.inside = false;
}

#define OOM_X(name)                                                            \
  static void test_oom_libc_##name(void **state) {                             \
    (void)state;                                                               \
    oom_sweep(name);                                                           \
  }
OOM_SCENARIOS(OOM_X)
#undef OOM_X

int main(void) {
  const struct CMUnitTest tests[] = {
#define OOM_X(name) cmocka_unit_test(test_oom_libc_##name),
      OOM_SCENARIOS(OOM_X)
#undef OOM_X
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
