/*
 * pair_took.h - what the other side of a conn took, told as text.  A part of
 * pair.h.  It has a parser of frames and heads of its own, which shares
 * nothing with lib/wire.
 */
#ifndef PAIR_TOOK_H
#define PAIR_TOOK_H

/* One frame of the bytes at |data|; 0: it is not complete. */
typedef struct frame {
  bool fin, rsv1, masked;
  uint8_t opcode;
  uint8_t *data; /* unmasked where it lies */
  size_t len;
} frame;

static inline size_t frame_read(uint8_t *data, size_t len, frame *f) {
  size_t n, at = 2;
  uint8_t *mask = NULL;

  if (len < 2)
    return 0;
  *f = (frame){.fin = data[0] >> 7,
               .rsv1 = data[0] >> 6 & 1,
               .masked = data[1] >> 7,
               .opcode = data[0] & 15};
  MUST((data[0] & 0x30) == 0);
  n = data[1] & 127;
  if (n >= 126) {
    size_t size = n == 126 ? 2 : 8;
    if (len < 2 + size)
      return 0;
    for (n = 0; at < 2 + size; at++)
      n = n << 8 | data[at];
    MUST(n >= (size == 2 ? 126 : 65536)); /* the shortest form */
  }
  if (f->masked) {
    mask = data + at;
    at += 4;
  }
  if (len < at || len - at < n)
    return 0;
  f->data = data + at;
  f->len = n;
  if (mask != NULL)
    for (size_t i = 0; i < n; i++)
      f->data[i] ^= mask[i & 3];
  MUST(f->opcode < 8 || (f->fin && n <= 125));
  return at + n;
}

static inline bool end_next_frame(end *e, frame *f) {
  size_t n = frame_read(e->rx.data + e->told, e->rx.len - e->told, f);

  if (n > 0)
    MUST(f->masked == e->dialed);
  e->told += n;
  return n > 0;
}

static inline void tell(end *e, const char *what) {
  if (e->text.len > 0)
    buf_text(&e->text, "; ");
  buf_text(&e->text, what);
}

static inline void tell_frame(end *e, const frame *f) {
  static const char *const names[] = {
      "cont",  "text", "binary", "?", "?", "?", "?", "?",
      "close", "ping", "pong",   "?", "?", "?", "?", "?"};
  size_t from = 0;
  char number[32];

  tell(e, f->rsv1 ? "packed " : "");
  if (!f->fin)
    buf_text(&e->text, "part of ");
  buf_text(&e->text, names[f->opcode]);
  if (f->opcode == 8 && f->len > 0) {
    MUST(f->len >= 2);
    snprintf(number, sizeof number, " %u",
             (unsigned)f->data[0] << 8 | f->data[1]);
    buf_text(&e->text, number);
    from = 2;
  }
  if (f->len > from)
    buf_text(&e->text, " ");
  if (f->len <= 200 && !f->rsv1) {
    buf_add(&e->text, f->data + from, f->len - from);
  } else {
    snprintf(number, sizeof number, "#%zu", f->len);
    buf_text(&e->text, number);
  }
}

/* The value of header |name| in a head, copied to |out|; NULL: none. */
static inline const char *head_value(const buf *head, const char *name,
                                     char out[256]) {
  const char *line = (const char *)head->data;
  size_t len = strlen(name);

  while (line != NULL && (line = strstr(line, "\r\n")) != NULL) {
    line += 2;
    if (strncmp(line, name, len) == 0 && line[len] == ':') {
      size_t n = strcspn(line + len + 2, "\r");
      MUST(n < 256 && line[len + 1] == ' ');
      memcpy(out, line + len + 2, n);
      out[n] = '\0';
      return out;
    }
  }
  return NULL;
}

/* One HTTP head, and the body it announces; false: not complete. */
static inline bool tell_http(end *e) {
  char *from = (char *)e->rx.data + e->told, *stop;
  char value[256], line[256];
  const char *length;
  size_t head_len, body_len = 0, n;

  if (e->rx.len == e->told || (stop = strstr(from, "\r\n\r\n")) == NULL)
    return false;
  head_len = (size_t)(stop - from) + 4;
  buf_clear(&e->http_head);
  buf_add(&e->http_head, from, head_len);
  e->status = e->dialed ? 0 : (int)strtol(from + 9, NULL, 10);
  length = head_value(&e->http_head, "Content-Length", value);
  if (length != NULL && !e->head)
    body_len = (size_t)strtoul(length, NULL, 10);
  if (e->rx.len - e->told < head_len + body_len)
    return false;
  buf_clear(&e->http_body);
  buf_add(&e->http_body, from + head_len, body_len);
  e->told += head_len + body_len;
  e->head = false;
  n = strcspn(from, "\r");
  MUST(n < sizeof line);
  memcpy(line, from, n);
  line[n] = '\0';
  if (e->dialed) {
    tell(e, line);
    e->upgraded = true;
  } else {
    MUST(strncmp(line, "HTTP/1.1 ", 9) == 0);
    snprintf(value, sizeof value, "%d", e->status);
    tell(e, value);
    e->upgraded = e->status == 101;
  }
  return true;
}

/*
 * What came since the last call, as text: "101; text hello; ping; close 1000
 * bye; eof"; "" for nothing.  Answers are told by their status; see http_head
 * and http_body for the last.  A frame that is not complete is not told.
 */
static inline const char *end_took(end *e) {
  frame f;

  buf_clear(&e->text);
  buf_text(&e->text, "");
  for (;;) {
    if (!e->upgraded) {
      if (!tell_http(e))
        break;
    } else {
      if (!end_next_frame(e, &f))
        break;
      tell_frame(e, &f);
    }
  }
  if (e->conn == NULL && !e->eof_told) {
    e->eof_told = true;
    tell(e, "eof");
  }
  return (const char *)e->text.data;
}

#endif
