/*
 * The JSON writer, into a growing buffer or, for rill_value_json, a fixed
 * one.  Its text has neither control bytes nor spaces, so that it can stand
 * in a line or between separators.
 */
#include "base/base64.h"
#include "base/value.h"

typedef struct writer {
  rill__bytes *out; /* NULL: |buf| */
  char *buf;
  size_t size, len;
  rill__attachments *attachments;
} writer;

typedef struct frame {
  uint64_t left; /* nodes to come; in an object, odd: a value is next */
  bool object, first;
} frame;

static void put(writer *w, const void *data, size_t len) {
  if (w->out != NULL) {
    rill__bytes_add(w->out, data, len);
    return;
  }
  if (len > 0 && w->len < w->size)
    memcpy(w->buf + w->len, data,
           len < w->size - w->len ? len : w->size - w->len);
  w->len += len;
}

static void put_text(writer *w, const char *text) {
  put(w, text, strlen(text));
}

/* What stands for |c| within quotes; the length, at most 6. */
static size_t escape(unsigned char c, char out[6]) {
  static const char hex[] = "0123456789abcdef";
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
  const char *p = c == 0 ? NULL : strchr(from, c);

  out[0] = '\\';
  if (p != NULL) {
    out[1] = to[p - from];
    return 2;
  }
  memcpy(out + 1, "u00", 3);
  out[4] = hex[c >> 4];
  out[5] = hex[c & 15];
  return 6;
}

static void put_str(writer *w, const char *p, size_t len) {
  size_t from = 0;

  put(w, "\"", 1);
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)p[i];
    char escaped[6];
    if (c >= 0x20 && c != '"' && c != '\\')
      continue;
    put(w, p + from, i - from);
    put(w, escaped, escape(c, escaped));
    from = i + 1;
  }
  put(w, p + from, len - from);
  put(w, "\"", 1);
}

static void put_u64(writer *w, uint64_t n) {
  char digits[20], *end = digits + sizeof digits;
  const char *from = rill__digits(end, n);

  put(w, from, (size_t)(end - from));
}

static void put_int(writer *w, const rill__node *n) {
  if (n->flags & RILL__NODE_UNSIGNED || n->u.i >= 0) {
    put_u64(w, n->u.u);
    return;
  }
  put(w, "-", 1);
  put_u64(w, -n->u.u);
}

static void put_double(writer *w, const rill__node *n) {
  char text[32];

  if (n->flags & RILL__NODE_RAW)
    put(w, n->u.ptr, n->len);
  else
    put(w, text, rill__number_text(n->u.d, text));
}

static void put_base64(writer *w, const char *p, size_t len) {
  put_text(w, "{\"$bytes\":\"");
  while (len > 0) {
    char text[256];
    size_t n = len < sizeof text / 4 * 3 ? len : sizeof text / 4 * 3;
    rill__base64_encode(text, p, n);
    put(w, text, rill__base64_len(n));
    p += n;
    len -= n;
  }
  put_text(w, "\"}");
}

static void put_bytes(writer *w, const rill__node *n) {
  rill__attachments *a = w->attachments;

  if (a == NULL) {
    put_base64(w, n->u.ptr, n->len);
    return;
  }
  put_text(w, "{\"_placeholder\":true,\"num\":");
  put_u64(w, a->len);
  put(w, "}", 1);
  if (a->len < a->cap)
    a->v[a->len] = (rill_str){n->u.ptr, n->len};
  a->len++;
}

static void put_scalar(writer *w, const rill__node *n) {
  switch (n->type) {
  case RILL_BOOL:
    put_text(w, n->u.b ? "true" : "false");
    return;
  case RILL_INT:
    put_int(w, n);
    return;
  case RILL_DOUBLE:
    put_double(w, n);
    return;
  case RILL_STRING:
    put_str(w, n->u.ptr, n->len);
    return;
  case RILL_BYTES:
    put_bytes(w, n);
    return;
  default:
    put_text(w, "null");
  }
}

static void separate(writer *w, frame *f) {
  if (f->object && f->left % 2 != 0)
    put(w, ":", 1);
  else if (!f->first)
    put(w, ",", 1);
  f->first = false;
  f->left--;
}

static void put_node(writer *w, const rill__node *n) {
  frame open[RILL__VALUE_DEPTH];
  uint32_t depth = 0;

  do {
    if (depth > 0)
      separate(w, &open[depth - 1]);
    if (n->type < RILL_ARRAY || depth == RILL__VALUE_DEPTH) {
      put_scalar(w, n); /* no tape is that deep */
      n = rill__node_next(n);
    } else {
      bool object = n->type == RILL_OBJECT;
      open[depth++] =
          (frame){object ? 2 * (uint64_t)n->len : n->len, object, true};
      put(w, object ? "{" : "[", 1);
      n++;
    }
    for (; depth > 0 && open[depth - 1].left == 0; depth--)
      put(w, open[depth - 1].object ? "}" : "]", 1);
  } while (depth > 0);
}

void rill__json_write(rill__bytes *out, const rill__node *n,
                      rill__attachments *attachments) {
  writer w = {.out = out, .attachments = attachments};

  if (n != NULL)
    put_node(&w, n);
  else
    put_text(&w, "null");
}

void rill__json_write_str(rill__bytes *out, rill_str text) {
  writer w = {.out = out};

  put_str(&w, text.ptr, text.len);
}

size_t rill_value_json(rill_value value, char *buf, size_t size) {
  writer w = {.buf = buf, .size = size};

  if (value.node != NULL)
    put_node(&w, value.node);
  else
    put_text(&w, "null");
  if (size > 0)
    buf[w.len < size ? w.len : size - 1] = '\0';
  return w.len;
}
