/*
 * log.c - one event, one line: what would forge a second line or hide in a
 * terminal is escaped.
 */
#include "hub/hub.h"

#include "base/utf8.h"

#define LINE 1024

/* The length of the character at |p| if it may stand in a log, else 0. */
static size_t plain(const char *p, size_t len) {
  uint8_t c = (uint8_t)p[0];
  size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

  if (c < 0x20 || c == 0x7f || n > len || !rill__utf8_valid(p, n))
    return 0;
  return n;
}

static size_t put(char *line, size_t at, rill_str s) {
  static const char hex[] = "0123456789abcdef";

  for (size_t i = 0; i < s.len && at < LINE - 5;) {
    size_t n = plain(s.ptr + i, s.len - i);
    if (n > 0) {
      memcpy(line + at, s.ptr + i, n);
      at += n;
      i += n;
    } else {
      uint8_t c = (uint8_t)s.ptr[i++];
      line[at++] = '\\';
      line[at++] = 'x';
      line[at++] = hex[c >> 4];
      line[at++] = hex[c & 15];
    }
  }
  return at;
}

void rill__hub_log(rill_hub *hub, rill_log_level level, const char *event,
                   rill_str a, const char *b) {
  char line[LINE];
  size_t at = 0;

  if (hub->config.log == NULL || level > hub->config.log_level)
    return;
  at = put(line, at, a);
  if (at > 0 && b != NULL)
    line[at++] = ' ';
  at = put(line, at, rill_s(b));
  line[at] = '\0';
  hub->config.log(hub->config.arg, level, event, line);
}
