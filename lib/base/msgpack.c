/*
 * MessagePack on the tokenizer of libmpack, which allocates nothing.
 *
 * A token does not tell which of its widths was on the wire, but for ext
 * that matters: notepack writes undefined as fixext 1 and binary data of one
 * byte as ext 8, both of type 0.  So the first byte is looked at as well.
 *
 * Negative integers are written without libmpack 1.0.5, which takes a width
 * too small for -129 and -32769 and writes most below -2^32 as something else.
 * What it says of ext is unsigned.
 */
#include "base/utf8.h"
#include "base/value.h"

#include <mpack.h>

#include <float.h>

enum {
  FIXINT_MIN = -32,
  INT8 = 0xd0, /* and 16, 32, 64 */
  FIXEXT1 = 0xd4,
  FIXEXT8 = 0xd7,
  EXT_NOTEPACK = 0,
  EXT_TIMESTAMP = 0xff, /* -1 */
  NSEC_PER_MSEC = 1000000,
  NSEC_PER_SEC = 1000000000
};

typedef struct frame {
  uint32_t node;
  uint64_t left; /* nodes to come; in an object, even: a key is next */
} frame;

typedef struct reader {
  rill__tape *tape;
  const char *at;
  size_t left;
  rill__value_limits limits;
  uint32_t start; /* of the tape */
  uint32_t depth;
  frame open[RILL__VALUE_DEPTH];
} reader;

static bool at_key(const reader *r) {
  const frame *f;

  if (r->depth == 0)
    return false;
  f = &r->open[r->depth - 1];
  return r->tape->v[f->node].type == RILL_OBJECT && f->left % 2 == 0;
}

static int set_int(rill__node *n, int64_t i) {
  n->type = RILL_INT;
  n->u.i = i;
  return 0;
}

static int set_uint(rill__node *n, uint64_t u) {
  n->type = RILL_INT;
  n->flags = u > INT64_MAX ? RILL__NODE_UNSIGNED : 0;
  n->u.u = u;
  return 0;
}

static uint64_t bits_of(const mpack_token_t *tok) {
  return (uint64_t)tok->data.value.hi << 32 | tok->data.value.lo;
}

static int64_t as_signed(uint64_t x) {
  int64_t i;

  memcpy(&i, &x, sizeof i);
  return i;
}

static int set_float(rill__node *n, const mpack_token_t *tok) {
  uint64_t bits = bits_of(tok);
  uint32_t bits32 = tok->data.value.lo;
  double d;
  float f;

  memcpy(&d, &bits, sizeof d);
  memcpy(&f, &bits32, sizeof f);
  if (tok->length == 4)
    d = (double)f;
  n->type = RILL_DOUBLE;
  n->u.d = d;
  if (!(d >= -DBL_MAX && d <= DBL_MAX))
    *n = (rill__node){.type = RILL_NULL};
  return 0;
}

static uint64_t big_endian(const char *p, size_t len) {
  uint64_t x = 0;

  for (size_t i = 0; i < len; i++)
    x = x << 8 | (uint8_t)p[i];
  return x;
}

/* The timestamp of the MessagePack specification, in its three lengths. */
static int set_timestamp(rill__node *n, const char *p, size_t len) {
  uint64_t nsec = 0;
  int64_t sec;

  if (len == 4) {
    sec = (int64_t)big_endian(p, 4);
  } else if (len == 8) {
    uint64_t x = big_endian(p, 8);
    nsec = x >> 34;
    sec = (int64_t)(x & (((uint64_t)1 << 34) - 1));
  } else if (len == 12) {
    nsec = big_endian(p, 4);
    sec = as_signed(big_endian(p + 4, 8));
  } else {
    return RILL_ERR_PROTO;
  }
  if (nsec >= NSEC_PER_SEC || __builtin_mul_overflow(sec, 1000, &sec) ||
      __builtin_add_overflow(sec, (int64_t)(nsec / NSEC_PER_MSEC), &sec))
    return RILL_ERR_PROTO;
  return set_int(n, sec);
}

static int set_text(rill__node *n, rill_type type, const char *p, size_t len) {
  n->type = (uint8_t)type;
  n->len = (uint32_t)len;
  n->u.ptr = p;
  return 0;
}

static int set_ext(rill__node *n, int type, uint8_t first, const char *p,
                   size_t len) {
  if (type == EXT_TIMESTAMP)
    return set_timestamp(n, p, len);
  if (type != EXT_NOTEPACK)
    return RILL_ERR_PROTO;
  if (first == FIXEXT8)
    return set_int(n, as_signed(big_endian(p, 8)));
  if (first != FIXEXT1)
    return set_text(n, RILL_BYTES, p, len);
  n->flags = RILL__NODE_UNDEFINED;
  return 0;
}

/* What follows the token as its bytes, which are all there. */
static int set_chunk(reader *r, rill__node *n, const mpack_token_t *tok,
                     uint8_t first) {
  const char *p = r->at;
  size_t len = tok->length;

  if (len > r->left)
    return RILL_ERR_PROTO;
  r->at += len;
  r->left -= len;
  if (tok->type == MPACK_TOKEN_EXT)
    return set_ext(n, tok->data.ext_type & 0xff, first, p, len);
  if (tok->type == MPACK_TOKEN_BIN)
    return set_text(n, RILL_BYTES, p, len);
  return rill__utf8_valid(p, len) ? set_text(n, RILL_STRING, p, len)
                                  : RILL_ERR_PROTO;
}

/* Each element has a byte at least, so a length cannot promise too much. */
static int set_container(reader *r, rill__node *n, const mpack_token_t *tok) {
  bool map = tok->type == MPACK_TOKEN_MAP;
  uint64_t nodes = map ? 2 * (uint64_t)tok->length : tok->length;

  if (nodes > r->left)
    return RILL_ERR_PROTO;
  if (r->depth >= r->limits.depth)
    return rill__tape_over(r->tape, RILL__LIMIT_value_depth);
  n->type = map ? RILL_OBJECT : RILL_ARRAY;
  n->len = tok->length;
  n->u.nodes = 1;
  r->open[r->depth++] = (frame){r->tape->len - 1, nodes};
  return 0;
}

static int set_node(reader *r, rill__node *n, const mpack_token_t *tok,
                    uint8_t first) {
  switch (tok->type) {
  case MPACK_TOKEN_NIL:
    return 0;
  case MPACK_TOKEN_BOOLEAN:
    n->type = RILL_BOOL;
    n->u.b = tok->data.value.lo != 0;
    return 0;
  case MPACK_TOKEN_UINT:
    return set_uint(n, bits_of(tok));
  case MPACK_TOKEN_SINT:
    return set_int(n, mpack_unpack_sint(*tok));
  case MPACK_TOKEN_FLOAT:
    return set_float(n, tok);
  case MPACK_TOKEN_STR:
  case MPACK_TOKEN_BIN:
  case MPACK_TOKEN_EXT:
    return set_chunk(r, n, tok, first);
  case MPACK_TOKEN_ARRAY:
  case MPACK_TOKEN_MAP:
    return set_container(r, n, tok);
  default:
    return RILL_ERR_PROTO;
  }
}

static int read_node(reader *r) {
  mpack_tokbuf_t buffer;
  mpack_token_t tok;
  uint8_t first = r->left > 0 ? (uint8_t)*r->at : 0;
  rill__node *n;

  mpack_tokbuf_init(&buffer);
  if (r->left == 0 || mpack_read(&buffer, &r->at, &r->left, &tok) != MPACK_OK)
    return RILL_ERR_PROTO;
  if (at_key(r)) {
    if (tok.type != MPACK_TOKEN_STR)
      return RILL_ERR_PROTO;
    if (tok.length > r->limits.key)
      return rill__tape_over(r->tape, RILL__LIMIT_key_bytes);
  }
  if (r->tape->len - r->start >= r->limits.nodes)
    return rill__tape_over(r->tape, RILL__LIMIT_value_nodes);
  n = rill__tape_add(r->tape, RILL_NULL);
  if (n == NULL)
    return RILL_ERR_NOMEM;
  if (r->depth > 0)
    r->open[r->depth - 1].left--;
  return set_node(r, n, &tok, first);
}

static int read_all(reader *r) {
  do {
    int rv = read_node(r);
    if (rv != 0)
      return rv;
    for (; r->depth > 0 && r->open[r->depth - 1].left == 0; r->depth--) {
      uint32_t at = r->open[r->depth - 1].node;
      r->tape->v[at].u.nodes = r->tape->len - at;
    }
  } while (r->depth > 0);
  return r->left == 0 ? 0 : RILL_ERR_PROTO;
}

int rill__msgpack_read(rill__tape *t, rill_str data,
                       const rill__value_limits *limits) {
  reader r = {.tape = t,
              .at = data.ptr,
              .left = data.len,
              .limits = *limits,
              .start = t->len};
  int rv;

  if (t->failed)
    return RILL_ERR_NOMEM;
  if (data.len > INT32_MAX)
    return RILL_ERR_LIMIT;
  if (r.limits.depth > RILL__VALUE_DEPTH)
    r.limits.depth = RILL__VALUE_DEPTH;
  rv = read_all(&r);
  if (rv != 0)
    t->len = r.start;
  return rv;
}

static void write_token(rill__bytes *out, mpack_token_t tok) {
  mpack_tokbuf_t buffer;
  char room[MPACK_MAX_TOKEN_LEN], *at = room;
  size_t left = sizeof room;

  mpack_tokbuf_init(&buffer);
  mpack_write(&buffer, &at, &left, &tok);
  rill__bytes_add(out, room, sizeof room - left);
}

static void write_negative(rill__bytes *out, int64_t i) {
  uint32_t width = i >= INT8_MIN    ? 0
                   : i >= INT16_MIN ? 1
                   : i >= INT32_MIN ? 2
                                    : 3;
  uint8_t room[9] = {(uint8_t)(INT8 + width)};
  uint32_t n = 1u << width;

  if (i >= FIXINT_MIN) {
    room[0] = (uint8_t)i;
    n = 0;
  }
  for (uint32_t at = 0; at < n; at++)
    room[1 + at] = (uint8_t)((uint64_t)i >> 8 * (n - 1 - at));
  rill__bytes_add(out, room, 1 + n);
}

void rill__msgpack_write_int(rill__bytes *out, int64_t i) {
  if (i < 0)
    write_negative(out, i);
  else
    write_token(out, mpack_pack_uint((uint64_t)i));
}

void rill__msgpack_write_str(rill__bytes *out, rill_str text) {
  write_token(out, mpack_pack_str((uint32_t)text.len));
  rill__bytes_add(out, text.ptr, text.len);
}

void rill__msgpack_write_map(rill__bytes *out, uint32_t members) {
  write_token(out, mpack_pack_map(members));
}

void rill__msgpack_write_array(rill__bytes *out, uint32_t elements) {
  write_token(out, mpack_pack_array(elements));
}

/* Not mpack_pack_float, which makes it float 32 where nothing is lost. */
static void write_float(rill__bytes *out, double d) {
  mpack_token_t tok = {.type = MPACK_TOKEN_FLOAT, .length = 8};
  uint64_t bits;

  memcpy(&bits, &d, sizeof bits);
  tok.data.value.hi = (uint32_t)(bits >> 32);
  tok.data.value.lo = (uint32_t)bits;
  write_token(out, tok);
}

static void write_double(rill__bytes *out, const rill__node *n) {
  bool raw = (n->flags & RILL__NODE_RAW) != 0;
  double d = raw ? rill__number_double((rill_str){n->u.ptr, n->len}) : n->u.d;

  if (!(d >= -DBL_MAX && d <= DBL_MAX))
    write_token(out, mpack_pack_nil());
  else if (raw && d >= -0x1p53 && d <= 0x1p53 && (double)(int64_t)d == d &&
           (d < 0 || d > 0 || n->u.ptr[0] != '-'))
    rill__msgpack_write_int(out, (int64_t)d);
  else
    write_float(out, d);
}

static void write_node(rill__bytes *out, const rill__node *n) {
  switch (n->type) {
  case RILL_BOOL:
    write_token(out, mpack_pack_boolean(n->u.b));
    return;
  case RILL_INT:
    if (n->flags & RILL__NODE_UNSIGNED)
      write_token(out, mpack_pack_uint(n->u.u));
    else
      rill__msgpack_write_int(out, n->u.i);
    return;
  case RILL_DOUBLE:
    write_double(out, n);
    return;
  case RILL_STRING:
    rill__msgpack_write_str(out, (rill_str){n->u.ptr, n->len});
    return;
  case RILL_BYTES:
    write_token(out, mpack_pack_bin(n->len));
    rill__bytes_add(out, n->u.ptr, n->len);
    return;
  case RILL_ARRAY:
    rill__msgpack_write_array(out, n->len);
    return;
  case RILL_OBJECT:
    rill__msgpack_write_map(out, n->len);
    return;
  default:
    write_token(out, mpack_pack_nil());
  }
}

/* The tape has the order of the wire, and lengths come first in both. */
void rill__msgpack_write(rill__bytes *out, const rill__node *n) {
  const rill__node *end;

  if (n == NULL) {
    write_token(out, mpack_pack_nil());
    return;
  }
  for (end = rill__node_next(n); n < end; n++)
    write_node(out, n);
}
