#include "base/alloc.h"

#include <stdlib.h>

static void *libc_alloc(void *arg, void *ptr, size_t old, size_t size) {
  (void)arg;
  (void)old;
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  return realloc(ptr, size);
}

const rill__alloc rill__alloc_default = {libc_alloc, NULL};
