/*
 * bare_frame.h - the frames of RFC 6455 as the bare program needs them.
 *
 * In a header, so that the compiler sees all of the little work at once.
 */
#ifndef BENCH_BARE_FRAME_H
#define BENCH_BARE_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MAX_MESSAGE = 16 * 1024 * 1024 };

/* One client frame as it lies in the buffer. */
struct frame {
  uint8_t opcode;
  uint32_t key;
  size_t head, len;
};

/* What every machine handles in one vector register, or in a few words. */
typedef uint32_t block __attribute__((vector_size(16)));

static inline void block_unmask(uint8_t *dst, const uint8_t *src, block keys) {
  block v;

  memcpy(&v, src, sizeof v);
  v ^= keys;
  memcpy(dst, &v, sizeof v);
}

/*
 * Removes the mask from |len| bytes and moves them down from |src| to |dst|
 * (which may be the same); returns the key turned to the byte that follows.
 */
static inline uint32_t unmask(uint8_t *dst, const uint8_t *src, size_t len,
                              uint32_t key) {
  const block keys = {key, key, key, key};
  uint8_t bytes[8];
  uint32_t word;
  size_t i = 0;

  for (; i + 64 <= len; i += 64) {
    block_unmask(dst + i, src + i, keys);
    block_unmask(dst + i + 16, src + i + 16, keys);
    block_unmask(dst + i + 32, src + i + 32, keys);
    block_unmask(dst + i + 48, src + i + 48, keys);
  }
  for (; i + 4 <= len; i += 4) {
    memcpy(&word, src + i, 4);
    word ^= key;
    memcpy(dst + i, &word, 4);
  }
  memcpy(bytes, &key, 4);
  memcpy(bytes + 4, &key, 4);
  for (; i < len; i++)
    dst[i] = src[i] ^ bytes[i & 3];
  memcpy(&key, bytes + (len & 3), 4);
  return key;
}

static inline size_t head_size(size_t len) {
  return len < 126 ? 2 : len < 65536 ? 4 : 10;
}

/* The server's head; a ping's answer is a pong. */
static inline void head_write(uint8_t *p, uint8_t opcode, size_t len) {
  unsigned i;

  p[0] = 0x80 | (opcode == 9 ? 10 : opcode);
  if (len < 126) {
    p[1] = (uint8_t)len;
  } else if (len < 65536) {
    p[1] = 126;
    p[2] = (uint8_t)(len >> 8);
    p[3] = (uint8_t)len;
  } else {
    p[1] = 127;
    for (i = 0; i < 8; i++)
      p[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
  }
}

/* 1: a head was read; 0: more bytes needed; -1: not what is spoken here. */
static inline int frame_read(struct frame *f, const uint8_t *p, size_t avail) {
  unsigned i;

  if (avail < 6)
    return 0;
  if ((p[0] & 0xf0) != 0x80 || !(p[1] & 0x80))
    return -1;
  f->opcode = p[0] & 15;
  f->len = p[1] & 127;
  f->head = 6;
  if (f->len == 126) {
    f->len = (size_t)p[2] << 8 | p[3];
    f->head = 8;
  } else if (f->len == 127) {
    f->head = 14;
  }
  if (avail < f->head)
    return 0;
  if (f->head == 14)
    for (f->len = 0, i = 2; i < 10; i++)
      f->len = f->len << 8 | p[i];
  memcpy(&f->key, p + f->head - 4, 4);
  return f->len > MAX_MESSAGE ? -1 : 1;
}

#endif
