/*
 * Oracles: the verdict is that of a checker that follows RFC 8259 rule by
 * rule, and of the limits; what is read is a sound tape, and written again is
 * the same; it survives MessagePack; no text holds a control byte; memory is
 * bounded by the size, and its lack is no crash.
 *
 * The first byte makes the limits, the second which allocation fails.
 */
#include "../unit/value_kit.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct checker {
  const uint8_t *p, *end;
  bool over; /* a limit */
  uint64_t nodes;
  uint32_t depth;
  rill__value_limits limits;
} checker;

static bool check_value(checker *c);

static int peek(const checker *c) {
  return c->p < c->end ? *c->p : -1;
}

static bool take(checker *c, int byte) {
  if (peek(c) != byte)
    return false;
  c->p++;
  return true;
}

static void skip_space(checker *c) {
  while (take(c, ' ') || take(c, '\t') || take(c, '\r') || take(c, '\n'))
    continue;
}

static bool take_word(checker *c, const char *word) {
  for (; *word != '\0'; word++)
    if (!take(c, *word))
      return false;
  return true;
}

static size_t take_digits(checker *c) {
  size_t n = 0;

  while (peek(c) >= '0' && peek(c) <= '9') {
    c->p++;
    n++;
  }
  return n;
}

static bool check_number(checker *c) {
  const uint8_t *begin = c->p;

  take(c, '-');
  if (!take(c, '0') && take_digits(c) == 0)
    return false;
  if (take(c, '.') && take_digits(c) == 0)
    return false;
  if (take(c, 'e') || take(c, 'E')) {
    if (!take(c, '+'))
      take(c, '-');
    if (take_digits(c) == 0)
      return false;
  }
  return c->p - begin <= RILL__NUMBER_MAX;
}

static int take_hex4(checker *c) {
  int code = 0;

  for (int i = 0; i < 4; i++, c->p++) {
    int b = peek(c);
    if (b >= '0' && b <= '9')
      code = code * 16 + b - '0';
    else if ((b | 32) >= 'a' && (b | 32) <= 'f')
      code = code * 16 + (b | 32) - 'a' + 10;
    else
      return -1;
  }
  return code;
}

/* The bytes of UTF-8 that an escape stands for; 0: it is none. */
static size_t check_escape(checker *c) {
  int code;

  if (!take(c, 'u')) {
    if (peek(c) < 1 || strchr("\"\\/bfnrt", peek(c)) == NULL)
      return 0;
    c->p++;
    return 1;
  }
  code = take_hex4(c);
  if (code < 0 || (code >= 0xdc00 && code < 0xe000))
    return 0;
  if (code >= 0xd800 && code < 0xdc00) {
    if (!take(c, '\\') || !take(c, 'u'))
      return 0;
    code = take_hex4(c);
    return code >= 0xdc00 && code < 0xe000 ? 4 : 0;
  }
  return code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
}

static bool check_string(checker *c, size_t *len) {
  *len = 0;
  if (!take(c, '"'))
    return false;
  for (;;) {
    if (take(c, '"'))
      return true;
    if (take(c, '\\')) {
      size_t n = check_escape(c);
      if (n == 0)
        return false;
      *len += n;
      continue;
    }
    if (peek(c) < 0x20)
      return false;
    c->p++;
    ++*len;
  }
}

static void count(checker *c) {
  if (++c->nodes > c->limits.nodes)
    c->over = true;
}

static bool check_member(checker *c) {
  size_t len;

  skip_space(c);
  if (!check_string(c, &len))
    return false;
  count(c);
  if (len > c->limits.key)
    c->over = true;
  skip_space(c);
  return take(c, ':');
}

static bool check_container(checker *c, bool object) {
  int close = object ? '}' : ']';

  c->p++;
  if (++c->depth > c->limits.depth)
    c->over = true;
  if (c->depth > 1000) /* as deep as this one looks */
    return false;
  skip_space(c);
  if (!take(c, close)) {
    do {
      if ((object && !check_member(c)) || !check_value(c))
        return false;
    } while (take(c, ','));
    if (!take(c, close))
      return false;
  }
  c->depth--;
  return true;
}

static bool check_value(checker *c) {
  size_t len;
  bool ok;

  skip_space(c);
  count(c);
  switch (peek(c)) {
  case '[':
  case '{':
    ok = check_container(c, peek(c) == '{');
    break;
  case '"':
    ok = check_string(c, &len);
    break;
  case 't':
    ok = take_word(c, "true");
    break;
  case 'f':
    ok = take_word(c, "false");
    break;
  case 'n':
    ok = take_word(c, "null");
    break;
  default:
    ok = check_number(c);
  }
  skip_space(c);
  return ok;
}

static void check_verdict(const uint8_t *data, size_t size, int rv,
                          const rill__value_limits *limits) {
  checker c = {.p = data, .end = data + size, .limits = *limits};
  bool valid = rill__utf8_valid(data, size) && check_value(&c) && c.p == c.end;

  MUST(rv == 0 || rv == RILL_ERR_PROTO || rv == RILL_ERR_LIMIT);
  if (rv == 0)
    MUST(valid && !c.over);
  else if (rv == RILL_ERR_PROTO)
    MUST(!valid);
  else
    MUST(c.over); /* before or behind what else is wrong */
}

static void check_text(const uint8_t *text, size_t len) {
  for (size_t i = 0; i < len; i++)
    MUST(text[i] >= 0x20);
  MUST(rill__utf8_valid(text, len));
}

static void check_again(const kit *k) {
  rill__bytes out;
  char *fixed;
  kit again;

  rill__bytes_init(&out, &rill__alloc_default);
  rill__json_write(&out, k->tape.v, NULL);
  MUST(!out.failed);
  check_text(out.data, out.len);
  kit_begin(&again);
  MUST(kit_json_n(&again, (char *)out.data, out.len) == 0);
  MUST(kit_same(&k->tape, &again.tape));
  fixed = malloc(out.len + 1);
  MUST(fixed != NULL);
  MUST(rill_value_json(kit_value(k), fixed, out.len + 1) == out.len);
  MUST(memcmp(fixed, out.data, out.len) == 0);
  free(fixed);
  if (rill__value_unpack_bytes(&again.tape, 0))
    kit_check(&again.tape);
  kit_end(&again);
  rill__bytes_finish(&out);
}

/* A number of a text, and what MessagePack made of it. */
static bool same_number(const rill__node *a, const rill__node *b) {
  double d = kit_double(a);

  if (!(d - d <= 0))
    return b->type == RILL_NULL; /* beyond the range */
  if (b->type == RILL_INT)
    return (double)b->u.i == d;
  return kit_same_node(a, b);
}

static void check_msgpack(const kit *k) {
  rill__bytes out, twice;
  kit again;

  rill__bytes_init(&out, &rill__alloc_default);
  rill__bytes_init(&twice, &rill__alloc_default);
  rill__msgpack_write(&out, k->tape.v);
  kit_begin(&again);
  MUST(kit_msgpack(&again, out.data, out.len) == 0);
  kit_check(&again.tape);
  MUST(again.tape.len == k->tape.len);
  for (uint32_t i = 0; i < k->tape.len; i++)
    MUST(k->tape.v[i].type == RILL_DOUBLE
             ? same_number(&k->tape.v[i], &again.tape.v[i])
             : kit_same_node(&k->tape.v[i], &again.tape.v[i]));
  rill__msgpack_write(&twice, again.tape.v);
  MUST(twice.len == out.len && memcmp(twice.data, out.data, out.len) == 0);
  kit_end(&again);
  rill__bytes_finish(&out);
  rill__bytes_finish(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  kit k;
  int rv;

  if (size < 2)
    return 0;
  kit_begin(&k);
  if (data[0] & 1)
    k.limits =
        (rill__value_limits){data[0] >> 1 & 7, data[0] >> 4, data[0] >> 3 & 15};
  rv = kit_json_n(&k, (const char *)data + 2, size - 2);
  MUST(k.m.peak <= 64 * (size + 256));
  check_verdict(data + 2, size - 2, rv, &k.limits);
  MUST(rv == 0 || k.tape.len == 0);
  if (rv == 0) {
    kit_check(&k.tape);
    check_again(&k);
    check_msgpack(&k);
  }
  kit_end(&k);
  kit_begin(&k);
  k.m.fail_at = data[1] & 15;
  rv = kit_json_n(&k, (const char *)data + 2, size - 2);
  MUST(rv == 0 || k.tape.len == 0);
  kit_end(&k);
  return 0;
}
