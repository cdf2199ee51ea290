/* accept.c - SHA-1 of exactly 60 bytes, and base64 of exactly 20. */
#include "accept.h"

#include <stdint.h>
#include <string.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static uint32_t rotate(uint32_t x, unsigned by) {
  return x << by | x >> (32 - by);
}

static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d) {
  if (round < 20)
    return ((b & c) | (~b & d)) + 0x5a827999u;
  if (round < 40)
    return (b ^ c ^ d) + 0x6ed9eba1u;
  if (round < 60)
    return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
  return (b ^ c ^ d) + 0xca62c1d6u;
}

/* One block of FIPS 180-4 section 6.1.2. */
static void sha1_block(uint32_t h[5], const uint8_t block[64]) {
  uint32_t w[80], v[5], next;
  unsigned i;

  for (i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
           (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
  for (; i < 80; i++)
    w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);

  memcpy(v, h, sizeof v);
  for (i = 0; i < 80; i++) {
    next = rotate(v[0], 5) + mix(i, v[1], v[2], v[3]) + v[4] + w[i];
    v[4] = v[3];
    v[3] = v[2];
    v[2] = rotate(v[1], 30);
    v[1] = v[0];
    v[0] = next;
  }
  for (i = 0; i < 5; i++)
    h[i] += v[i];
}

/* Key and GUID are 60 bytes: with the padding they always fill two blocks. */
static void sha1_of_key(const char *key, uint8_t digest[20]) {
  uint32_t h[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u,
                   0xc3d2e1f0u};
  const size_t len = ACCEPT_KEY_LEN + sizeof GUID - 1;
  uint8_t block[128] = {0};
  unsigned i;

  memcpy(block, key, ACCEPT_KEY_LEN);
  memcpy(block + ACCEPT_KEY_LEN, GUID, sizeof GUID - 1);
  block[len] = 0x80;
  block[126] = (uint8_t)(len * 8 >> 8);
  block[127] = (uint8_t)(len * 8);
  sha1_block(h, block);
  sha1_block(h, block + 64);
  for (i = 0; i < 20; i++)
    digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void accept_value(const char *key, char out[ACCEPT_LEN + 1]) {
  static const char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint8_t digest[21] = {0};
  uint32_t group;
  unsigned i;

  sha1_of_key(key, digest);
  for (i = 0; i < 7; i++) {
    group = (uint32_t)digest[3 * i] << 16 | (uint32_t)digest[3 * i + 1] << 8 |
            digest[3 * i + 2];
    out[4 * i] = digits[group >> 18];
    out[4 * i + 1] = digits[group >> 12 & 63];
    out[4 * i + 2] = digits[group >> 6 & 63];
    out[4 * i + 3] = digits[group & 63];
  }
  out[ACCEPT_LEN - 1] = '=';
  out[ACCEPT_LEN] = '\0';
}
