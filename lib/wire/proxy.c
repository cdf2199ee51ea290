/*
 * Version 1 is a line, "PROXY TCP4 192.0.2.7 192.0.2.1 5000 80" CR LF, of at
 * most 107 bytes.  Version 2 is 12 fixed bytes; version and command; family
 * and transport; the length of the rest in two bytes; the addresses, and
 * then type-length-values, which are skipped.
 */
#include "wire/proxy.h"

#include <string.h>

#include "base/ip.h"
#include "base/ip_text.h"

#define V1_MAX 107
#define V2_HEADER 16

static const uint8_t v1_start[6] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const uint8_t v2_start[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                     0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static bool begins(const uint8_t *data, size_t len, const uint8_t *start,
                   size_t n) {
  return len > 0 && memcmp(data, start, len < n ? len : n) == 0;
}

/* The word up to the next space; false where it is empty. */
static bool take_word(rill_str *line, rill_str *word) {
  size_t n = 0;

  while (n < line->len && line->ptr[n] != ' ')
    n++;
  *word = (rill_str){line->ptr, n};
  *line = n < line->len ? (rill_str){line->ptr + n + 1, line->len - n - 1}
                        : (rill_str){line->ptr + n, 0};
  return n > 0;
}

static bool read_port(rill_str s, uint16_t *port) {
  unsigned n = 0;

  if (s.len == 0 || s.len > 5 || (s.len > 1 && s.ptr[0] == '0'))
    return false;
  for (size_t i = 0; i < s.len; i++) {
    if (s.ptr[i] < '0' || s.ptr[i] > '9')
      return false;
    n = n * 10 + (unsigned)(s.ptr[i] - '0');
  }
  *port = (uint16_t)n;
  return n <= 65535;
}

/* Only what is of the family named: no brackets, no zone. */
static bool read_ip(rill_str s, bool six, rill__ip *ip) {
  bool colon = false;

  for (size_t i = 0; i < s.len; i++) {
    if (s.ptr[i] == '[' || s.ptr[i] == '%')
      return false;
    colon |= s.ptr[i] == ':';
  }
  return colon == six && rill__ip_parse(s, ip);
}

static int read_line(rill_str line, rill__proxy *out) {
  rill_str word[5]; /* family, source, destination, and their ports */
  rill__ip from, to;
  uint16_t to_port;
  bool six;

  if (!take_word(&line, &word[0]))
    return RILL_ERR_PROTO;
  if (rill_str_eq(word[0], rill_s("UNKNOWN"))) {
    out->local = true;
    return 0;
  }
  for (int i = 1; i < 5; i++)
    if (!take_word(&line, &word[i]))
      return RILL_ERR_PROTO;
  six = rill_str_eq(word[0], rill_s("TCP6"));
  if (line.ptr != word[4].ptr + word[4].len || /* more follows */
      !(six || rill_str_eq(word[0], rill_s("TCP4"))) ||
      !read_ip(word[1], six, &from) || !read_ip(word[2], six, &to) ||
      !read_port(word[3], &out->port) || !read_port(word[4], &to_port))
    return RILL_ERR_PROTO;
  if (six)
    rill__ip6_text(from.b, out->address);
  else
    rill__ip4_text(from.b + 12, out->address);
  return 0;
}

static int parse_v1(const uint8_t *data, size_t len, size_t *used,
                    rill__proxy *out) {
  size_t seen = len < V1_MAX ? len : V1_MAX;
  const uint8_t *cr = memchr(data, '\r', seen), *lf = memchr(data, '\n', seen);
  size_t n;

  if (lf == NULL && (cr == NULL || cr == data + len - 1))
    return seen < V1_MAX ? 1 : RILL_ERR_PROTO;
  if (cr == NULL || lf != cr + 1)
    return RILL_ERR_PROTO;
  n = (size_t)(cr - data) - sizeof v1_start;
  *used = n + sizeof v1_start + 2;
  return read_line((rill_str){(const char *)data + sizeof v1_start, n}, out);
}

static int parse_v2(const uint8_t *data, size_t len, size_t *used,
                    rill__proxy *out) {
  const uint8_t *body = data + V2_HEADER;
  bool local;
  size_t n;

  if (len > 12 && data[12] != 0x20 && data[12] != 0x21)
    return RILL_ERR_PROTO;
  if (len < V2_HEADER)
    return 1;
  local = data[12] == 0x20;
  n = (size_t)data[14] << 8 | data[15];
  if (V2_HEADER + n > RILL__PROXY_MAX)
    return RILL_ERR_PROTO;
  if (len < V2_HEADER + n)
    return 1;
  *used = V2_HEADER + n;
  if (local || data[13] == 0x00 || (data[13] == 0x31 && n >= 216)) {
    out->local = true;
  } else if (data[13] == 0x11 && n >= 12) {
    out->port = (uint16_t)(body[8] << 8 | body[9]);
    rill__ip4_text(body, out->address);
  } else if (data[13] == 0x21 && n >= 36) {
    out->port = (uint16_t)(body[32] << 8 | body[33]);
    rill__ip6_text(body, out->address);
  } else {
    return RILL_ERR_PROTO;
  }
  return 0;
}

int rill__proxy_parse(const uint8_t *data, size_t len, size_t *used,
                      rill__proxy *out) {
  *used = 0;
  *out = (rill__proxy){.port = 0};
  if (len == 0)
    return 1;
  if (begins(data, len, v2_start, sizeof v2_start))
    return parse_v2(data, len, used, out);
  if (!begins(data, len, v1_start, sizeof v1_start))
    return RILL_ERR_PROTO;
  return len < sizeof v1_start ? 1 : parse_v1(data, len, used, out);
}
