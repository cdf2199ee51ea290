/*
 * mem.h - what tests of the core stand on: an allocator whose blocks know
 * their size, so that what the core tells of it is checked, and which can
 * fail; growing byte strings; random numbers from a seed.
 */
#ifndef MEM_H
#define MEM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Stops the program; assert would vanish with NDEBUG. */
#define MUST(x)                                                                \
  do {                                                                         \
    if (!(x)) {                                                                \
      fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #x);    \
      abort();                                                                 \
    }                                                                          \
  } while (0)

static inline uint64_t xorshift(uint64_t *seed) {
  uint64_t x = *seed;

  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *seed = x;
}

typedef struct mem {
  size_t blocks, bytes, peak;
  uint64_t calls;   /* blocks made or grown so far */
  uint64_t fail_at; /* the call that fails; 0: none */
} mem;

typedef struct mem_head {
  size_t size;
  uint64_t magic;
} mem_head;

#define MEM_MAGIC 0x726c6c6d656d2121u

static inline void *mem_fn(void *arg, void *ptr, size_t old, size_t size) {
  mem *m = arg;
  mem_head *h = NULL, *n;

  if (ptr != NULL) {
    h = (mem_head *)ptr - 1;
    MUST(h->magic == MEM_MAGIC);
    MUST(h->size == old);
  } else {
    MUST(old == 0);
  }
  if (size > 0 && ++m->calls == m->fail_at)
    return NULL;
  n = size > 0 ? malloc(sizeof *n + size) : NULL;
  if (n != NULL) {
    *n = (mem_head){size, MEM_MAGIC};
    memset(n + 1, 0xa5, size);
    if (h != NULL)
      memcpy(n + 1, ptr, old < size ? old : size);
    m->blocks++;
    m->bytes += size;
  } else {
    MUST(size == 0);
  }
  if (h != NULL) {
    h->magic = 0;
    m->blocks--;
    m->bytes -= old;
    free(h);
  }
  if (m->bytes > m->peak)
    m->peak = m->bytes;
  return n != NULL ? n + 1 : NULL;
}

typedef struct buf {
  uint8_t *data;
  size_t len, cap;
} buf;

static inline void buf_add(buf *b, const void *data, size_t len) {
  if (b->cap - b->len < len + 1) {
    b->cap = (b->len + len + 1) * 2;
    b->data = realloc(b->data, b->cap);
    MUST(b->data != NULL);
  }
  if (len > 0)
    memcpy(b->data + b->len, data, len);
  b->len += len;
  b->data[b->len] = 0; /* so that text is terminated */
}

static inline void buf_text(buf *b, const char *text) {
  buf_add(b, text, strlen(text));
}

static inline void buf_clear(buf *b) {
  free(b->data);
  *b = (buf){NULL, 0, 0};
}

#endif
