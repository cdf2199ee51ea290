/*
 * The JSON reader: yajl's events, straight to the tape.
 *
 * yajl knows the grammar but not all that is asked here, and it takes for
 * granted that there is memory.  So a scan goes before it, which
 *
 * - checks UTF-8, of which yajl lets overlong forms and surrogates pass;
 * - refuses \v and \f, which yajl takes for spaces;
 * - refuses escapes that are half a surrogate pair, which yajl replaces;
 * - refuses strings that do not end and a last word that is too long, which
 *   yajl would copy in the hope of more;
 * - measures the longest string with escapes, which yajl unescapes in a
 *   buffer of its own.
 *
 * With that the memory that yajl can need is known before it starts and is
 * reserved as a whole: on the stack, or, for a long string with escapes, in
 * one block.
 *
 * Up to the first error the scan and yajl agree on what is a string; behind
 * it nothing matters.
 */
#include <yajl/yajl_parse.h>

#include "base/utf8.h"
#include "base/value.h"

enum {
  /* The handle, lexer, stack of states and two buffers at their least, 2 KiB
   * each, with as much again in reserve. */
  POOL_BYTES = 8192,
  BUFFER_MIN = 2048,
  ALIGN = 16
};

/* Memory that is taken from one end; the last block can grow in place. */
typedef struct pool {
  char *at, *end;
  char *last;
} pool;

typedef struct reader {
  rill__tape *tape;
  rill_str text;
  rill__value_limits limits;
  uint32_t start; /* of the tape */
  uint32_t depth;
  uint32_t open[RILL__VALUE_DEPTH];
  bool is_key; /* the last node */
  int error;
} reader;

static void *pool_alloc(void *ctx, size_t size) {
  pool *p = ctx;

  size = (size + ALIGN - 1) / ALIGN * ALIGN;
  if (size > (size_t)(p->end - p->at))
    return NULL;
  p->last = p->at;
  p->at += size;
  return p->last;
}

static void *pool_realloc(void *ctx, void *ptr, size_t size) {
  pool *p = ctx;
  char *old = ptr, *moved;
  size_t kept;

  if (ptr == NULL)
    return pool_alloc(ctx, size);
  if (old == p->last)
    p->at = old;
  kept = (size_t)(p->at - old);
  moved = pool_alloc(ctx, size);
  if (moved != NULL && moved != old)
    memcpy(moved, old, size < kept ? size : kept);
  return moved;
}

static void pool_free(void *ctx, void *ptr) {
  (void)ctx;
  (void)ptr;
}

static int32_t hex4(const char *p) {
  int32_t code = 0;

  for (int i = 0; i < 4; i++) {
    char c = p[i];
    int32_t digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
    if (digit < 0)
      return -1;
    code = code << 4 | digit;
  }
  return code;
}

/* The length of the escape at |p|, a backslash; 0: not one. */
static size_t scan_escape(const char *p, const char *end) {
  size_t left = (size_t)(end - p);
  int32_t code, low;

  if (left < 2)
    return 0;
  if (p[1] != 'u')
    return 2; /* yajl knows which there are */
  code = left < 6 ? -1 : hex4(p + 2);
  if (code < 0 || (code >= 0xdc00 && code <= 0xdfff))
    return 0;
  if (code < 0xd800 || code > 0xdbff)
    return 6;
  low = left < 12 || p[6] != '\\' || p[7] != 'u' ? -1 : hex4(p + 8);
  return low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
}

/*
 * From behind a string's quote to its end, or NULL.  |quote| is looked for
 * once per quote, not once per escape.
 */
static const char *scan_string(const char *p, const char *end,
                               size_t *longest) {
  const char *begin = p, *quote = NULL, *escape;
  bool escaped = false;

  for (;;) {
    if (quote == NULL || quote < p)
      quote = memchr(p, '"', (size_t)(end - p));
    if (quote == NULL)
      return NULL;
    escape = memchr(p, '\\', (size_t)(quote - p));
    if (escape == NULL)
      break;
    size_t n = scan_escape(escape, end);
    if (n == 0)
      return NULL;
    escaped = true;
    p = escape + n;
  }
  if (escaped && (size_t)(quote - begin) > *longest)
    *longest = (size_t)(quote - begin);
  return quote + 1;
}

static bool ends_in_long_word(rill_str text) {
  static const char others[] = " \t\r\n[]{}:,\"";
  size_t n = 0;

  while (n < text.len && n <= RILL__NUMBER_MAX &&
         memchr(others, text.ptr[text.len - 1 - n], sizeof others - 1) == NULL)
    n++;
  return n > RILL__NUMBER_MAX;
}

static bool scan(rill_str text, size_t *longest) {
  const char *p = text.ptr, *end = text.ptr + text.len;

  *longest = 0;
  if (text.len == 0 || !rill__utf8_valid(text.ptr, text.len) ||
      memchr(text.ptr, '\v', text.len) != NULL ||
      memchr(text.ptr, '\f', text.len) != NULL || ends_in_long_word(text))
    return false;
  while (p != NULL && (p = memchr(p, '"', (size_t)(end - p))) != NULL) {
    p = scan_string(p + 1, end, longest);
    if (p == NULL)
      return false;
  }
  return true;
}

static int fail(reader *r, int error) {
  r->error = error;
  return 0;
}

/* The next node, which its array has one more of. */
static rill__node *add(reader *r, rill_type type) {
  rill__tape *t = r->tape;
  rill__node *n, *parent;

  if (t->len - r->start >= r->limits.nodes) {
    fail(r, rill__tape_over(t, RILL__LIMIT_value_nodes));
    return NULL;
  }
  n = rill__tape_add(t, type);
  if (n == NULL) {
    fail(r, RILL_ERR_NOMEM);
    return NULL;
  }
  r->is_key = false;
  if (r->depth > 0) {
    parent = &t->v[r->open[r->depth - 1]];
    parent->len += parent->type == RILL_ARRAY;
  }
  return n;
}

/* |p| as part of the caller's text, or else copied. */
static bool keep(reader *r, rill__node *n, const void *p, size_t len) {
  uintptr_t at = (uintptr_t)p, begin = (uintptr_t)r->text.ptr;
  char *copy;

  n->len = (uint32_t)len;
  if (at >= begin && at - begin <= r->text.len) {
    n->u.ptr = p;
    return true;
  }
  copy = rill__tape_room(r->tape, len);
  if (copy == NULL)
    return fail(r, RILL_ERR_NOMEM);
  if (len > 0)
    memcpy(copy, p, len);
  n->u.ptr = copy;
  return true;
}

static int on_null(void *ctx) {
  return add(ctx, RILL_NULL) != NULL;
}

static int on_boolean(void *ctx, int value) {
  static const char name[] = "_placeholder";
  reader *r = ctx;
  bool member = r->is_key;
  rill__node *n = add(r, RILL_BOOL);

  if (n == NULL)
    return 0;
  n->u.b = value != 0;
  if (value && member && n[-1].len == sizeof name - 1 &&
      memcmp(n[-1].u.ptr, name, sizeof name - 1) == 0)
    r->tape->v[r->open[r->depth - 1]].flags |= RILL__NODE_PLACEHOLDER;
  return 1;
}

static int on_number(void *ctx, const char *text, size_t len) {
  reader *r = ctx;
  rill__node *n;
  int64_t i;
  bool is_unsigned;

  if (len > RILL__NUMBER_MAX)
    return fail(r, RILL_ERR_PROTO);
  if (rill__number_int((rill_str){text, len}, &i, &is_unsigned)) {
    n = add(r, RILL_INT);
    if (n == NULL)
      return 0;
    n->u.i = i;
    n->flags = is_unsigned ? RILL__NODE_UNSIGNED : 0;
    return 1;
  }
  n = add(r, RILL_DOUBLE);
  if (n == NULL)
    return 0;
  n->flags = RILL__NODE_RAW;
  return keep(r, n, text, len);
}

static int on_string(void *ctx, const unsigned char *text, size_t len) {
  rill__node *n = add(ctx, RILL_STRING);

  return n != NULL && keep(ctx, n, text, len);
}

static int on_key(void *ctx, const unsigned char *text, size_t len) {
  reader *r = ctx;
  rill__node *n;

  if (len > r->limits.key)
    return fail(r, rill__tape_over(r->tape, RILL__LIMIT_key_bytes));
  n = add(r, RILL_STRING);
  if (n == NULL || !keep(r, n, text, len))
    return 0;
  r->tape->v[r->open[r->depth - 1]].len++;
  r->is_key = true;
  return 1;
}

static int begin(reader *r, rill_type type) {
  if (r->depth >= r->limits.depth)
    return fail(r, rill__tape_over(r->tape, RILL__LIMIT_value_depth));
  if (add(r, type) == NULL)
    return 0;
  r->open[r->depth++] = r->tape->len - 1;
  return 1;
}

static int on_start_map(void *ctx) {
  return begin(ctx, RILL_OBJECT);
}

static int on_start_array(void *ctx) {
  return begin(ctx, RILL_ARRAY);
}

static int on_end(void *ctx) {
  reader *r = ctx;
  uint32_t at = r->open[--r->depth];

  r->tape->v[at].u.nodes = r->tape->len - at;
  return 1;
}

static const yajl_callbacks events = {.yajl_null = on_null,
                                      .yajl_boolean = on_boolean,
                                      .yajl_number = on_number,
                                      .yajl_string = on_string,
                                      .yajl_start_map = on_start_map,
                                      .yajl_map_key = on_key,
                                      .yajl_end_map = on_end,
                                      .yajl_start_array = on_start_array,
                                      .yajl_end_array = on_end};

static int parse(reader *r, pool *memory) {
  yajl_alloc_funcs funcs = {pool_alloc, pool_realloc, pool_free, memory};
  yajl_handle yajl = yajl_alloc(&events, &funcs, r);
  yajl_status status;

  yajl_config(yajl, yajl_dont_validate_strings, 1); /* the scan did */
  status = yajl_parse(yajl, (const unsigned char *)r->text.ptr, r->text.len);
  if (status == yajl_status_ok)
    status = yajl_complete_parse(yajl);
  yajl_free(yajl);
  if (status == yajl_status_client_canceled)
    return r->error;
  return status == yajl_status_ok ? 0 : RILL_ERR_PROTO;
}

/*
 * Runs yajl with memory for a string of |longest| bytes with escapes, whose
 * buffer doubles until it is longer.
 */
static int parse_pooled(reader *r, size_t longest) {
  _Alignas(ALIGN) char some[POOL_BYTES];
  size_t size = BUFFER_MIN;
  char *block;
  int rv;

  if (longest < BUFFER_MIN)
    return parse(r, &(pool){some, some + sizeof some, NULL});
  while (size <= longest)
    size *= 2;
  size += sizeof some;
  block = rill__malloc(r->tape->alloc, size);
  if (block == NULL)
    return RILL_ERR_NOMEM;
  rv = parse(r, &(pool){block, block + size, NULL});
  rill__free(r->tape->alloc, block, size);
  return rv;
}

int rill__json_read(rill__tape *t, rill_str text,
                    const rill__value_limits *limits) {
  reader r = {.tape = t, .text = text, .limits = *limits, .start = t->len};
  size_t longest;
  int rv;

  if (t->failed)
    return RILL_ERR_NOMEM;
  if (text.len > INT32_MAX)
    return RILL_ERR_LIMIT;
  if (!scan(text, &longest))
    return RILL_ERR_PROTO;
  if (r.limits.depth > RILL__VALUE_DEPTH)
    r.limits.depth = RILL__VALUE_DEPTH;
  rv = parse_pooled(&r, longest);
  if (rv != 0)
    t->len = r.start;
  return rv;
}
