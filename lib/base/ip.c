#include "base/ip.h"

#include <string.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Four decimal numbers of 0 to 255, no leading zeros. */
static bool parse_v4(rill_str s, uint8_t out[4]) {
  size_t i = 0;

  for (int part = 0; part < 4; part++) {
    unsigned n = 0;
    size_t start = i;
    if (part > 0 && (i >= s.len || s.ptr[i++] != '.'))
      return false;
    start = i;
    while (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9' && i - start < 3)
      n = n * 10 + (unsigned)(s.ptr[i++] - '0');
    if (i == start || n > 255 || (i - start > 1 && s.ptr[start] == '0'))
      return false;
    out[part] = (uint8_t)n;
  }
  return i == s.len;
}

static int hex(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One group of 1 to 4 hex digits at |*i|; -1 where there is none. */
static int parse_group(rill_str s, size_t *i) {
  size_t start = *i;
  int n = 0;

  while (*i < s.len && *i - start < 4 && hex(s.ptr[*i]) >= 0)
    n = n * 16 + hex(s.ptr[(*i)++]);
  return *i > start ? n : -1;
}

static bool parse_v6(rill_str s, uint8_t out[16]) {
  uint8_t b[16] = {0};
  size_t i = 0, n = 0, gap = 17; /* bytes before "::" */

  if (s.len >= 2 && s.ptr[0] == ':' && s.ptr[1] == ':') {
    gap = 0;
    i = 2;
  }
  while (i < s.len) {
    size_t start = i;
    int group = parse_group(s, &i);
    if (i < s.len && s.ptr[i] == '.' && n <= 12) { /* the last 32 bits */
      if (!parse_v4((rill_str){s.ptr + start, s.len - start}, b + n))
        return false;
      n += 4;
      i = s.len;
      break;
    }
    if (group < 0 || n > 14)
      return false;
    b[n++] = (uint8_t)(group >> 8);
    b[n++] = (uint8_t)group;
    if (i == s.len)
      break;
    if (s.ptr[i++] != ':' || i == s.len)
      return false;
    if (s.ptr[i] == ':') {
      if (gap != 17)
        return false;
      gap = n;
      i++;
    }
  }
  if (gap == 17 ? n != 16 : n > 14)
    return false;
  memset(out, 0, 16);
  if (gap == 17)
    gap = n;
  memcpy(out, b, gap);
  memcpy(out + 16 - (n - gap), b + gap, n - gap);
  return true;
}

bool rill__ip_parse(rill_str text, rill__ip *out) {
  const char *zone;

  if (text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
    text = (rill_str){text.ptr + 1, text.len - 2};
  if (text.len == 0)
    return false;
  if (memchr(text.ptr, ':', text.len) == NULL) {
    memcpy(out->b, v4_prefix, sizeof v4_prefix);
    return parse_v4(text, out->b + 12);
  }
  zone = memchr(text.ptr, '%', text.len);
  if (zone != NULL)
    text.len = (size_t)(zone - text.ptr);
  return parse_v6(text, out->b);
}

bool rill__ip_is_v4(const rill__ip *ip) {
  return memcmp(ip->b, v4_prefix, sizeof v4_prefix) == 0;
}

bool rill__net_parse(rill_str text, rill__net *out) {
  const char *slash =
      text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
  unsigned bits = 0, most;
  size_t i;

  if (slash == NULL) {
    out->bits = 128;
    return rill__ip_parse(text, &out->ip);
  }
  i = (size_t)(slash - text.ptr) + 1;
  if (!rill__ip_parse((rill_str){text.ptr, i - 1}, &out->ip) || i == text.len ||
      text.len - i > 3)
    return false;
  for (; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9')
      return false;
    bits = bits * 10 + (unsigned)(text.ptr[i] - '0');
  }
  most = rill__ip_is_v4(&out->ip) ? 32 : 128;
  if (bits > most)
    return false;
  out->bits = (uint8_t)(bits + 128 - most);
  return true;
}

bool rill__net_has(const rill__net *net, const rill__ip *ip) {
  size_t whole = net->bits / 8;
  unsigned rest = net->bits % 8;

  if (memcmp(net->ip.b, ip->b, whole) != 0)
    return false;
  return rest == 0 || ((net->ip.b[whole] ^ ip->b[whole]) >> (8 - rest)) == 0;
}
