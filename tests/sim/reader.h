/*
 * reader.h - reads what one side writes, strictly and independently of lib/:
 * HTTP heads and bodies, then WebSocket frames, inflated where that was
 * agreed on.  Whatever is not well-formed sets |bad|.
 */
#ifndef READER_H
#define READER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

typedef struct reader {
  bool from_client; /* a request, and masked frames */
  bool frames;      /* the upgrade is done */
  bool deflate, fresh_window, inflating;
  int bits;
  z_stream z;
  uint8_t *buf;
  size_t len, cap;
  uint8_t *message; /* the fragments so far; the inflated message */
  size_t message_len, message_cap;
  uint8_t opcode; /* of the message in progress, 0: none */
  bool compressed;
  bool stream; /* server-sent events: the body has no end */

  const char *bad; /* what is wrong with the stream */
  int status;      /* of the last answer */
  unsigned answers, messages, pings, pongs, closes;
  unsigned close_code;
  char close_reason[124];
  /* Some answers may be to HEAD: no body begins as an answer does. */
  bool heads;

  void *arg;
  void (*on_message)(void *arg, bool text, const uint8_t *data, size_t len);
  void (*on_ping)(void *arg, const uint8_t *data, size_t len);
  void (*on_answer)(void *arg, int status, bool close);
  void (*on_body)(void *arg, int status, const uint8_t *data, size_t len);
  void (*on_stream)(void *arg, const uint8_t *data, size_t len);
} reader;

static inline void reader_init(reader *r, bool from_client, void *arg) {
  memset(r, 0, sizeof *r);
  r->from_client = from_client;
  r->arg = arg;
  r->bits = 15;
}

static inline void reader_finish(reader *r) {
  if (r->inflating)
    inflateEnd(&r->z);
  free(r->buf);
  free(r->message);
  r->buf = r->message = NULL;
  r->inflating = false;
}

static inline void reader__append(uint8_t **to, size_t *len, size_t *cap,
                                  const uint8_t *data, size_t n) {
  if (*cap - *len < n) {
    *cap = *cap * 2 + n;
    *to = realloc(*to, *cap);
    if (*to == NULL)
      abort();
  }
  if (n > 0)
    memcpy(*to + *len, data, n);
  *len += n;
}

/* The value of a header field in a head that ends with an empty line. */
static inline const char *reader__field(const char *head, const char *name,
                                        char out[256]) {
  size_t n = strlen(name);

  out[0] = '\0';
  for (const char *line = strstr(head, "\r\n"); line != NULL;
       line = strstr(line, "\r\n")) {
    line += 2;
    if (strncmp(line, name, n) == 0 && line[n] == ':') {
      const char *v = line + n + 1, *e = strstr(v, "\r\n");
      size_t len;
      while (*v == ' ')
        v++;
      len = (size_t)(e - v) < 255 ? (size_t)(e - v) : 255;
      memcpy(out, v, len);
      out[len] = '\0';
      return out;
    }
  }
  return NULL;
}

static inline void reader__agree(reader *r, const char *extensions) {
  const char *side = r->from_client ? "client" : "server";
  char name[40];
  const char *p;

  r->deflate = strncmp(extensions, "permessage-deflate", 18) == 0;
  if (!r->deflate)
    r->bad = "an unknown extension";
  sprintf(name, "%s_no_context_takeover", side);
  r->fresh_window = strstr(extensions, name) != NULL;
  sprintf(name, "%s_max_window_bits=", side);
  p = strstr(extensions, name);
  if (p != NULL)
    r->bits = atoi(p + strlen(name));
}

/* Takes an answer off the front of |buf|; false: not complete. */
static inline bool reader__answer(reader *r) {
  char value[256], *head;
  const char *end = NULL;
  size_t head_len, body = 0;

  for (size_t i = 3; i < r->len && end == NULL; i++)
    if (memcmp(r->buf + i - 3, "\r\n\r\n", 4) == 0)
      end = (const char *)r->buf + i + 1;
  if (end == NULL) {
    if (r->len > 16384)
      r->bad = "a head without end";
    return false;
  }
  head_len = (size_t)(end - (const char *)r->buf);
  head = calloc(1, head_len + 1);
  if (head == NULL)
    abort();
  memcpy(head, r->buf, head_len);
  if (strlen(head) != head_len)
    r->bad = "a NUL in a head";
  if (r->from_client) {
    if (strncmp(head, "GET ", 4) != 0)
      r->bad = "not a request";
    r->frames = true;
  } else if (strncmp(head, "HTTP/1.1 ", 9) != 0 ||
             (r->status = atoi(head + 9)) < 100 || r->status > 599) {
    r->bad = "not a status line";
  } else if (r->status == 101) {
    r->frames = true;
    if (reader__field(head, "Sec-WebSocket-Extensions", value) != NULL)
      reader__agree(r, value);
  } else if (r->status != 100) {
    bool close = reader__field(head, "Connection", value) != NULL &&
                 strcmp(value, "close") == 0;
    if (reader__field(head, "Content-Length", value) != NULL)
      body = (size_t)atol(value);
    else if (reader__field(head, "Content-Type", value) != NULL)
      r->stream = strcmp(value, "text/event-stream") == 0;
    if (r->heads && r->len - head_len >= 5 &&
        memcmp(r->buf + head_len, "HTTP/", 5) == 0)
      body = 0;
    if (r->len - head_len < body) {
      free(head);
      return false;
    }
    r->answers++;
    if (r->on_answer != NULL)
      r->on_answer(r->arg, r->status, close);
    if (r->on_body != NULL && !r->stream)
      r->on_body(r->arg, r->status, r->buf + head_len, body);
  } else if (head_len != strlen("HTTP/1.1 100 Continue\r\n\r\n")) {
    r->bad = "a strange 100";
  }
  free(head);
  memmove(r->buf, r->buf + head_len + body, r->len - head_len - body);
  r->len -= head_len + body;
  return true;
}

static inline bool reader__utf8(const uint8_t *s, size_t n) {
  for (size_t i = 0; i < n;) {
    uint32_t c = s[i], least;
    size_t more;
    if (c < 0x80) {
      i++;
      continue;
    }
    more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
    if (c < 0xc0 || c > 0xf7 || i + more >= n)
      return false;
    c &= 0x3fu >> more;
    for (size_t k = 1; k <= more; k++) {
      if ((s[i + k] & 0xc0) != 0x80)
        return false;
      c = c << 6 | (s[i + k] & 0x3fu);
    }
    if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
      return false;
    i += more + 1;
  }
  return true;
}

static inline void reader__inflate(reader *r) {
  static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};
  uint8_t out[4096], *packed;
  size_t packed_len;
  int rv;

  reader__append(&r->message, &r->message_len, &r->message_cap, tail, 4);
  packed = r->message;
  packed_len = r->message_len;
  r->message = NULL;
  r->message_len = r->message_cap = 0;
  if (!r->inflating) {
    if (inflateInit2(&r->z, -(r->bits < 9 ? 9 : r->bits)) != Z_OK)
      abort();
    r->inflating = true;
  } else if (r->fresh_window) {
    inflateReset(&r->z);
  }
  r->z.next_in = packed;
  r->z.avail_in = (uInt)packed_len;
  do {
    r->z.next_out = out;
    r->z.avail_out = sizeof out;
    rv = inflate(&r->z, Z_SYNC_FLUSH);
    if (rv != Z_OK && rv != Z_BUF_ERROR)
      r->bad = "a message that does not inflate";
    reader__append(&r->message, &r->message_len, &r->message_cap, out,
                   sizeof out - r->z.avail_out);
  } while (r->bad == NULL && r->z.avail_out == 0);
  if (r->z.avail_in != 0)
    r->bad = "bytes behind a deflated message";
  free(packed);
}

static inline void reader__control(reader *r, uint8_t opcode, const uint8_t *p,
                                   size_t n) {
  if (opcode == 0x9) {
    r->pings++;
    if (r->on_ping != NULL)
      r->on_ping(r->arg, p, n);
  } else if (opcode == 0xa) {
    r->pongs++;
  } else {
    r->closes++;
    r->close_code = n >= 2 ? (unsigned)p[0] << 8 | p[1] : 1005;
    if (n == 1 ||
        (n >= 2 && (r->close_code < 1000 || r->close_code > 4999 ||
                    (r->close_code >= 1004 && r->close_code <= 1006))))
      r->bad = "a close that says nothing valid";
    if (n > 2) {
      memcpy(r->close_reason, p + 2, n - 2);
      r->close_reason[n - 2] = '\0';
      if (!reader__utf8(p + 2, n - 2))
        r->bad = "a close reason that is not UTF-8";
    }
  }
}

static inline void reader__data(reader *r, uint8_t first, const uint8_t *p,
                                size_t n) {
  uint8_t opcode = first & 0xf;

  if ((opcode == 0) == (r->opcode == 0)) {
    r->bad = "fragments out of order";
    return;
  }
  if (opcode != 0) {
    r->opcode = opcode;
    r->compressed = (first & 0x40) != 0;
    r->message_len = 0;
  }
  reader__append(&r->message, &r->message_len, &r->message_cap, p, n);
  if ((first & 0x80) == 0)
    return;
  if (r->compressed)
    reader__inflate(r);
  if (r->opcode == 1 && !reader__utf8(r->message, r->message_len))
    r->bad = "text that is not UTF-8";
  r->messages++;
  if (r->bad == NULL && r->on_message != NULL)
    r->on_message(r->arg, r->opcode == 1, r->message, r->message_len);
  r->opcode = 0;
  r->message_len = 0;
}

/* Takes a frame off the front of |buf|; false: not complete. */
static inline bool reader__frame(reader *r) {
  uint8_t *p = r->buf, first, opcode;
  size_t head = 2;
  uint64_t n;

  if (r->len < 2)
    return false;
  first = p[0];
  opcode = first & 0xf;
  n = p[1] & 0x7f;
  if (r->closes > 0)
    r->bad = "a frame behind a close";
  if (((p[1] & 0x80) != 0) != r->from_client)
    r->bad = "wrong masking";
  if ((first & 0x30) != 0 ||
      ((first & 0x40) != 0 && (!r->deflate || (opcode != 1 && opcode != 2))))
    r->bad = "a reserved bit";
  if (opcode > 10 || (opcode > 2 && opcode < 8))
    r->bad = "a reserved opcode";
  if (opcode >= 8 && (n > 125 || (first & 0x80) == 0))
    r->bad = "a control frame that is none";
  if (r->bad != NULL)
    return false;
  if (n >= 126) {
    size_t more = n == 126 ? 2 : 8;
    if (r->len < 2 + more)
      return false;
    n = 0;
    for (size_t i = 0; i < more; i++)
      n = n << 8 | p[2 + i];
    head += more;
    if (n < 126 || (more == 8 && n < 65536))
      r->bad = "a length that is not minimal";
  }
  if (r->from_client)
    head += 4;
  if (r->len < head || r->len - head < n)
    return false;
  if (r->from_client)
    for (size_t i = 0; i < n; i++)
      p[head + i] ^= p[head - 4 + (i & 3)];
  if (opcode >= 8)
    reader__control(r, opcode, p + head, (size_t)n);
  else
    reader__data(r, first, p + head, (size_t)n);
  head += (size_t)n;
  memmove(r->buf, r->buf + head, r->len - head);
  r->len -= head;
  return true;
}

static inline void reader_feed(reader *r, const uint8_t *data, size_t len) {
  reader__append(&r->buf, &r->len, &r->cap, data, len);
  while (r->bad == NULL && r->len > 0 && !r->stream &&
         (r->frames ? reader__frame(r) : reader__answer(r)))
    ;
  if (!r->stream || r->len == 0)
    return;
  if (r->on_stream != NULL)
    r->on_stream(r->arg, r->buf, r->len);
  r->len = 0;
}

/* May the stream end here?  Not inside of a frame or an answer. */
static inline bool reader_whole(const reader *r) {
  return r->len == 0 && r->opcode == 0;
}

#endif
