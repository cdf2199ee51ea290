#include "wire/address.h"

#include <string.h>

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

size_t rill__address_write4(const uint8_t ip[4], char out[RILL__ADDRESS_MAX]) {
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

size_t rill__address_write6(const uint8_t ip[16], char out[RILL__ADDRESS_MAX]) {
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

bool rill__address_read4(rill_str text, uint8_t ip[4]) {
  size_t i = 0;

  for (int part = 0; part < 4; part++) {
    unsigned n = 0;
    size_t from;

    if (part > 0 && (i >= text.len || text.ptr[i++] != '.'))
      return false;
    for (from = i; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9';
         i++) {
      n = n * 10 + (unsigned)(text.ptr[i] - '0');
      if (n > 255 || (i > from && text.ptr[from] == '0'))
        return false;
    }
    if (i == from)
      return false;
    ip[part] = (uint8_t)n;
  }
  return i == text.len;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

/* One group at |*i|; false where there are not one to four digits. */
static bool read_group(rill_str text, size_t *i, uint8_t out[2]) {
  unsigned n = 0;
  size_t from = *i;

  for (; *i < text.len && hex_value(text.ptr[*i]) >= 0; (*i)++) {
    if (*i - from == 4)
      return false;
    n = n << 4 | (unsigned)hex_value(text.ptr[*i]);
  }
  out[0] = (uint8_t)(n >> 8);
  out[1] = (uint8_t)n;
  return *i > from;
}

/* Groups from |*i| on to |ip|; stops behind a "::" or at the end. */
static bool read_groups(rill_str text, size_t *i, uint8_t *ip, int max,
                        int *count, bool *gap) {
  *gap = false;
  for (*count = 0; *i < text.len;) {
    rill_str rest = {text.ptr + *i, text.len - *i};

    if (*count + 2 <= max && rill__address_read4(rest, ip + 2 * *count)) {
      *count += 2;
      *i = text.len;
      return true;
    }
    if (*count == max || !read_group(text, i, ip + 2 * *count))
      return false;
    ++*count;
    if (*i == text.len)
      return true;
    if (text.ptr[(*i)++] != ':' || *i == text.len)
      return false;
    if (text.ptr[*i] == ':') {
      ++*i;
      *gap = true;
      return true;
    }
  }
  return true;
}

bool rill__address_read6(rill_str text, uint8_t ip[16]) {
  uint8_t tail[16];
  size_t i = 0;
  int head, n = 0;
  bool gap, again;

  memset(ip, 0, 16);
  if (text.len < 2)
    return false;
  if (text.ptr[0] == ':') {
    if (text.ptr[1] != ':')
      return false;
    i = 2;
    head = 0;
    gap = true;
  } else if (!read_groups(text, &i, ip, 8, &head, &gap)) {
    return false;
  }
  if (!gap || head == 8)
    return !gap && head == 8;
  if (!read_groups(text, &i, tail, 7 - head, &n, &again) || again)
    return false;
  memcpy(ip + 16 - 2 * n, tail, (size_t)n * 2);
  return true;
}
