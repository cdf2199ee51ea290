#include "base/ip_text.h"

static char *put_dec(char *p, unsigned n) {
  if (n >= 100)
    *p++ = (char)('0' + n / 100);
  if (n >= 10)
    *p++ = (char)('0' + n / 10 % 10);
  *p++ = (char)('0' + n % 10);
  return p;
}

static char *put_hex(char *p, unsigned n) {
  static const char digits[] = "0123456789abcdef";

  for (unsigned shift = 12; shift > 0; shift -= 4)
    if (n >> shift != 0)
      *p++ = digits[n >> shift & 15];
  *p++ = digits[n & 15];
  return p;
}

static char *put_quad(char *p, const uint8_t ip[4]) {
  for (int i = 0; i < 4; i++) {
    if (i > 0)
      *p++ = '.';
    p = put_dec(p, ip[i]);
  }
  return p;
}

size_t rill__ip4_text(const uint8_t ip[4], char out[RILL__IP_TEXT_MAX]) {
  char *end = put_quad(out, ip);

  *end = '\0';
  return (size_t)(end - out);
}

static unsigned group(const uint8_t ip[16], int i) {
  return (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
}

/* The longest run of zero groups, the first of equals; none below two. */
static int zero_run(const uint8_t ip[16], int *len) {
  int at = -1, n = 0;

  *len = 1;
  for (int i = 0; i < 8; i++) {
    n = group(ip, i) == 0 ? n + 1 : 0;
    if (n > *len) {
      *len = n;
      at = i - n + 1;
    }
  }
  return at;
}

/* ::ffff:a.b.c.d and the old ::a.b.c.d end in a dotted quad. */
static bool ends_in_quad(const uint8_t ip[16], int run_at, int run_len) {
  return run_at == 0 &&
         (run_len == 6 || (run_len == 5 && group(ip, 5) == 0xffff));
}

size_t rill__ip6_text(const uint8_t ip[16], char out[RILL__IP_TEXT_MAX]) {
  int run_len, run_at = zero_run(ip, &run_len), i = 0;
  bool quad = ends_in_quad(ip, run_at, run_len);
  char *p = out;

  while (i < (quad ? 6 : 8)) {
    if (i == run_at) {
      *p++ = ':';
      i += run_len;
      if (i == 8)
        *p++ = ':';
      continue;
    }
    if (i > 0)
      *p++ = ':';
    p = put_hex(p, group(ip, i++));
  }
  if (quad) {
    *p++ = ':';
    p = put_quad(p, ip + 12);
  }
  *p = '\0';
  return (size_t)(p - out);
}
