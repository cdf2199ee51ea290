#include "base/siphash.h"

#include <string.h>

typedef struct sip {
  uint64_t v0, v1, v2, v3;
} sip;

/* Compilers know this as one load where the machine is little-endian. */
static inline uint64_t load64(const uint8_t *p) {
  return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 |
         (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 |
         (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static inline uint64_t rotate(uint64_t x, unsigned n) {
  return x << n | x >> (64 - n);
}

static inline void sip_round(sip *s) {
  s->v0 += s->v1;
  s->v2 += s->v3;
  s->v1 = rotate(s->v1, 13) ^ s->v0;
  s->v3 = rotate(s->v3, 16) ^ s->v2;
  s->v0 = rotate(s->v0, 32);
  s->v2 += s->v1;
  s->v0 += s->v3;
  s->v1 = rotate(s->v1, 17) ^ s->v2;
  s->v3 = rotate(s->v3, 21) ^ s->v0;
  s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(sip *s, uint64_t m) {
  s->v3 ^= m;
  sip_round(s);
  s->v0 ^= m;
}

uint64_t rill__siphash(const uint8_t key[16], const void *data, size_t len) {
  uint64_t k0 = load64(key), k1 = load64(key + 8);
  /* The constants spell "somepseudorandomlygeneratedbytes". */
  sip s = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
           k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
  const uint8_t *p = data;
  uint8_t tail[8] = {0};
  size_t left = len;

  for (; left >= 8; left -= 8, p += 8)
    sip_word(&s, load64(p));
  if (left > 0)
    memcpy(tail, p, left);
  tail[7] = (uint8_t)len;
  sip_word(&s, load64(tail));
  s.v2 ^= 0xff;
  sip_round(&s);
  sip_round(&s);
  sip_round(&s);
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
