/* crowd_words.c - what the clients of a crowd say and hear: frames, text. */
#define _GNU_SOURCE /* memmem */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"

void crowd_must(bool ok, const char *what) {
  if (ok)
    return;
  fprintf(stderr, "crowd: %s\n", what);
  exit(1);
}

void crowd_unexpected(rill_str message) {
  fprintf(stderr, "crowd: a message that nobody expects: %.*s\n",
          (int)(message.len < 200 ? message.len : 200), message.ptr);
  exit(1);
}

size_t crowd_frame_read(rill_str bytes, rill_str *message) {
  const uint8_t *b = (const uint8_t *)bytes.ptr;
  size_t head = 2, len;

  if (bytes.len < 10 && (bytes.len < 2 || bytes.len < b[1] + 2u))
    return 0;
  crowd_must(b[0] == 0x81 && b[1] < 0x80, "a frame that is no whole text");
  len = b[1];
  if (len >= 126) {
    head = len == 126 ? 4 : 10;
    len = 0;
    for (size_t i = 2; i < head; i++)
      len = len << 8 | b[i];
  }
  if (bytes.len < head + len)
    return 0;
  *message = (rill_str){bytes.ptr + head, len};
  return head + len;
}

size_t crowd_frame_write(const char *text, uint8_t *out) {
  static const uint8_t key[4] = {0x12, 0x9a, 0x5c, 0xe7};
  size_t len = strlen(text), head = len < 126 ? 2 : 4;

  out[0] = 0x81;
  out[1] = (uint8_t)(0x80 | (len < 126 ? len : 126));
  if (len >= 126) {
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
  }
  memcpy(out + head, key, 4);
  for (size_t i = 0; i < len; i++)
    out[head + 4 + i] = (uint8_t)text[i] ^ key[i & 3];
  return head + 4 + len;
}

rill_str crowd_after(rill_str message, const char *key) {
  size_t len = strlen(key);
  const char *at =
      message.len > 0 ? memmem(message.ptr, message.len, key, len) : NULL;

  if (at == NULL)
    return (rill_str){0};
  at += len;
  return (rill_str){at, message.len - (size_t)(at - message.ptr)};
}

uint64_t crowd_number(rill_str message, const char *key) {
  rill_str at = crowd_after(message, key);
  uint64_t n = 0;

  crowd_must(at.len > 0 && *at.ptr >= '0' && *at.ptr <= '9', key);
  for (; at.len > 0 && *at.ptr >= '0' && *at.ptr <= '9'; at.ptr++, at.len--)
    n = n * 10 + (uint64_t)(*at.ptr - '0');
  return n;
}

void crowd_text(rill_str message, const char *key, char *out, size_t size) {
  rill_str at = crowd_after(message, key);
  const char *end = at.len > 0 ? memchr(at.ptr, '"', at.len) : NULL;
  size_t len = end != NULL ? (size_t)(end - at.ptr) : size;

  crowd_must(len < size, key);
  memcpy(out, at.ptr, len);
  out[len] = '\0';
}
