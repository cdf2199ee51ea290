/* The small grammar of HTTP (RFC 9110 section 5.6, RFC 3986 section 3.2). */
#include "wire/http.h"

enum { TOKEN = 1, VALUE = 2, TARGET = 4, HOST = 8, HEX = 16 };

/* What each byte may be part of. */
#define ANY (VALUE | TARGET)
#define TEXT (VALUE | TARGET | TOKEN)
#define ALNUM (VALUE | TARGET | TOKEN | HOST)
#define X8(c) (c), (c), (c), (c), (c), (c), (c), (c)

static const uint8_t kinds[256] = {
    /* 00-1F: only the tab */
    0, 0, 0, 0, 0, 0, 0, 0, 0, VALUE, 0, 0, 0, 0, 0, 0, X8(0), X8(0),
    /* space ! " # $ % & ' ( ) * + , - . / */
    VALUE, ALNUM, ANY, VALUE | TOKEN, ALNUM, ALNUM, ALNUM, ALNUM, ANY | HOST,
    ANY | HOST, ALNUM, ALNUM, ANY, ALNUM, ALNUM, ANY,
    /* 0-9 : ; < = > ? */
    X8(ALNUM | HEX), ALNUM | HEX, ALNUM | HEX, ANY, ANY | HOST, ANY, ANY | HOST,
    ANY, ANY,
    /* @ A-Z [ \ ] ^ _ */
    ANY, ALNUM | HEX, ALNUM | HEX, ALNUM | HEX, ALNUM | HEX, ALNUM | HEX,
    ALNUM | HEX, ALNUM, X8(ALNUM), X8(ALNUM), ALNUM, ALNUM, ALNUM, ANY, ANY,
    ANY, TEXT, ALNUM,
    /* ` a-z { | } ~ DEL */
    TEXT, ALNUM | HEX, ALNUM | HEX, ALNUM | HEX, ALNUM | HEX, ALNUM | HEX,
    ALNUM | HEX, ALNUM, X8(ALNUM), X8(ALNUM), ALNUM, ALNUM, ALNUM, ANY, TEXT,
    ANY, ALNUM, 0,
    /* 80-FF: obs-text */
    X8(VALUE), X8(VALUE), X8(VALUE), X8(VALUE), X8(VALUE), X8(VALUE), X8(VALUE),
    X8(VALUE), X8(VALUE), X8(VALUE), X8(VALUE), X8(VALUE), X8(VALUE), X8(VALUE),
    X8(VALUE), X8(VALUE)};

static bool is_kind(char c, unsigned kind) {
  return (kinds[(uint8_t)c] & kind) != 0;
}

static bool all_kind(rill_str s, unsigned kind) {
  unsigned all = kind;

  for (size_t i = 0; i < s.len; i++)
    all &= kinds[(uint8_t)s.ptr[i]];
  return all != 0;
}

bool rill__http_is_token(rill_str s) {
  return s.len > 0 && all_kind(s, TOKEN);
}

/* Has |w| a byte below 20 or a 7F?  The tab is looked at one by one. */
static bool has_control(uint64_t w) {
  const uint64_t ones = 0x0101010101010101, high = ones * 0x80;
  uint64_t del = w ^ ones * 0x7f;

  return (((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & high;
}

bool rill__http_is_value(rill_str s) {
  uint64_t w;

  for (; s.len >= sizeof w; s.ptr += sizeof w, s.len -= sizeof w) {
    memcpy(&w, s.ptr, sizeof w);
    if (has_control(w) && !all_kind((rill_str){s.ptr, sizeof w}, VALUE))
      return false;
  }
  return all_kind(s, VALUE);
}

bool rill__http_is_target(rill_str s) {
  return all_kind(s, TARGET);
}

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool rill__http_same(rill_str a, const char *b) {
  size_t i = 0;

  if (a.len != strlen(b)) /* most names differ in it already */
    return false;
  while (i < a.len && lower(a.ptr[i]) == lower(b[i]))
    i++;
  return i == a.len;
}

/* The length of the part in brackets, or 0. */
static size_t bracketed(rill_str s) {
  size_t n = 1;

  while (n < s.len &&
         (is_kind(s.ptr[n], HEX) || s.ptr[n] == ':' || s.ptr[n] == '.'))
    n++;
  return n > 2 && n < s.len && s.ptr[n] == ']' ? n + 1 : 0;
}

static bool is_port(rill_str s) {
  unsigned n = 0;

  for (size_t i = 0; i < s.len; i++) {
    if (s.ptr[i] < '0' || s.ptr[i] > '9')
      return false;
    n = n * 10 + (unsigned)(s.ptr[i] - '0');
    if (n > 65535)
      return false;
  }
  return true;
}

bool rill__http_is_host(rill_str s, size_t *host_len) {
  size_t n = 0;

  if (s.len > 0 && s.ptr[0] == '[')
    n = bracketed(s);
  else
    while (n < s.len && is_kind(s.ptr[n], HOST))
      n++;
  *host_len = n;
  if (n == 0)
    return false;
  return n == s.len ||
         (s.ptr[n] == ':' && is_port((rill_str){s.ptr + n + 1, s.len - n - 1}));
}

static bool is_gap(char c) {
  return c == ' ' || c == '\t' || c == ',';
}

bool rill__http_next_item(rill_str *list, rill_str *item) {
  const char *p = list->ptr;
  size_t from = 0, to, end;

  while (from < list->len && is_gap(p[from]))
    from++;
  end = from;
  while (end < list->len && p[end] != ',')
    end++;
  if (end == from) {
    *list = (rill_str){NULL, 0};
    return false;
  }
  for (to = end; is_gap(p[to - 1]);)
    to--;
  *item = (rill_str){p + from, to - from};
  *list = (rill_str){p + end, list->len - end};
  return true;
}

static int hex_value(char c) {
  c = lower(c);
  if (c >= '0' && c <= '9')
    return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int64_t rill__http_unescape(rill_str in, bool plus, char *out) {
  size_t n = 0;

  for (size_t i = 0; i < in.len; i++) {
    char c = in.ptr[i];
    if (c == '%') {
      int high = i + 2 < in.len ? hex_value(in.ptr[i + 1]) : -1;
      int low = high >= 0 ? hex_value(in.ptr[i + 2]) : -1;
      if (low < 0)
        return -1;
      c = (char)(high << 4 | low);
      i += 2;
    } else if (c == '+' && plus) {
      c = ' ';
    }
    out[n++] = c;
  }
  return (int64_t)n;
}
