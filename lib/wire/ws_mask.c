#include "wire/ws.h"

/*
 * A block is XORed at once: gcc and clang turn a vector type into the
 * vector instructions that the machine is known to have, or into words.
 * Memory is read and written through memcpy, so alignment does not matter.
 */
#if defined(__GNUC__)
typedef uint32_t block __attribute__((vector_size(16)));
#else
typedef struct block {
  uint32_t w[4];
} block;
#endif

static inline void mask_block(uint8_t *dst, const uint8_t *src, block keys) {
  block v;

  memcpy(&v, src, sizeof v);
#if defined(__GNUC__)
  v ^= keys;
#else
  for (int i = 0; i < 4; i++)
    v.w[i] ^= keys.w[i];
#endif
  memcpy(dst, &v, sizeof v);
}

void rill__ws_mask(uint8_t *dst, const uint8_t *src, size_t len,
                   const uint8_t mask[4], size_t phase) {
  uint8_t turned[4];
  uint32_t key, part;

  memcpy(turned, mask, 4);
  if ((phase & 3) != 0)
    for (size_t i = 0; i < 4; i++)
      turned[i] = mask[(phase + i) & 3];
  memcpy(&key, turned, 4);
  const block keys = {key, key, key, key};

  for (; len >= 64; len -= 64) {
    mask_block(dst, src, keys);
    mask_block(dst + 16, src + 16, keys);
    mask_block(dst + 32, src + 32, keys);
    mask_block(dst + 48, src + 48, keys);
    src += 64;
    dst += 64;
  }
  for (; len >= 16; len -= 16) {
    mask_block(dst, src, keys);
    src += 16;
    dst += 16;
  }
  for (; len >= 4; len -= 4) {
    memcpy(&part, src, 4);
    part ^= key;
    memcpy(dst, &part, 4);
    src += 4;
    dst += 4;
  }
  for (size_t i = 0; i < len; i++)
    dst[i] = src[i] ^ turned[i];
}
