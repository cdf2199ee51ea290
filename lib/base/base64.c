#include "base/base64.h"

static const char letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void rill__base64_encode(char *out, const void *data, size_t len) {
  const uint8_t *p = data;

  for (; len >= 3; len -= 3, p += 3) {
    *out++ = letters[p[0] >> 2];
    *out++ = letters[(p[0] & 3) << 4 | p[1] >> 4];
    *out++ = letters[(p[1] & 15) << 2 | p[2] >> 6];
    *out++ = letters[p[2] & 63];
  }
  if (len == 0)
    return;
  *out++ = letters[p[0] >> 2];
  if (len == 1) {
    *out++ = letters[(p[0] & 3) << 4];
    *out++ = '=';
  } else {
    *out++ = letters[(p[0] & 3) << 4 | p[1] >> 4];
    *out++ = letters[(p[1] & 15) << 2];
  }
  *out = '=';
}

/* The six bits of a letter; above 63 for what is none. */
static uint32_t sextet(char c) {
  if (c >= 'A' && c <= 'Z')
    return (uint32_t)(c - 'A');
  if (c >= 'a' && c <= 'z')
    return (uint32_t)(c - 'a') + 26;
  if (c >= '0' && c <= '9')
    return (uint32_t)(c - '0') + 52;
  return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* The last four letters, of which the last one or two may be padding. */
static int decode_last(uint8_t *out, const char *p) {
  uint32_t a = sextet(p[0]), b = sextet(p[1]), c, d;

  if (a > 63 || b > 63)
    return -1;
  if (p[2] == '=') {
    if (p[3] != '=' || (b & 15) != 0)
      return -1;
    out[0] = (uint8_t)(a << 2 | b >> 4);
    return 1;
  }
  c = sextet(p[2]);
  d = p[3] == '=' ? 0 : sextet(p[3]);
  if (c > 63 || d > 63 || (p[3] == '=' && (c & 3) != 0))
    return -1;
  out[0] = (uint8_t)(a << 2 | b >> 4);
  out[1] = (uint8_t)(b << 4 | c >> 2);
  if (p[3] == '=')
    return 2;
  out[2] = (uint8_t)(c << 6 | d);
  return 3;
}

int64_t rill__base64_decode(void *out, rill_str text) {
  uint8_t *to = out;
  const char *p = text.ptr;
  size_t left = text.len;
  int last;

  if (left % 4 != 0)
    return -1;
  if (left == 0)
    return 0;
  for (; left > 4; left -= 4, p += 4) {
    uint32_t a = sextet(p[0]), b = sextet(p[1]);
    uint32_t c = sextet(p[2]), d = sextet(p[3]);
    if ((a | b | c | d) > 63)
      return -1;
    *to++ = (uint8_t)(a << 2 | b >> 4);
    *to++ = (uint8_t)(b << 4 | c >> 2);
    *to++ = (uint8_t)(c << 6 | d);
  }
  last = decode_last(to, p);
  return last < 0 ? -1 : (int64_t)(text.len / 4 - 1) * 3 + last;
}
