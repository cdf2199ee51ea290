/*
 * Sec-WebSocket-Extensions (RFC 6455 section 9.1):
 *
 *   list      = extension *( "," extension )
 *   extension = token *( ";" param )
 *   param     = token [ "=" ( token | quoted-string ) ]
 *
 * where a quoted string must be a token once its quotes and backslashes are
 * gone.  The field is read once, from left to right; what an extension of
 * another name has for parameters is read over.
 */
#include "wire/deflate.h"

typedef struct scan {
  const char *p, *end;
} scan;

typedef struct param {
  rill_str name;
  bool has_value;
  char value[3]; /* its beginning: no valid value is longer than two */
  size_t len;
} param;

/* One offer or answer.  Bits 0: no such parameter; ANY: without a value. */
typedef struct asked {
  bool server_no_takeover, client_no_takeover;
  uint8_t server_bits, client_bits;
} asked;
#define ANY 16

static bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') ||
         (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void skip_space(scan *s) {
  while (s->p < s->end && (*s->p == ' ' || *s->p == '\t'))
    s->p++;
}

/* Takes |c| and the space around it. */
static bool take(scan *s, char c) {
  skip_space(s);
  if (s->p == s->end || *s->p != c)
    return false;
  s->p++;
  skip_space(s);
  return true;
}

static bool read_token(scan *s, rill_str *out) {
  out->ptr = s->p;
  while (s->p < s->end && is_token_char(*s->p))
    s->p++;
  out->len = (size_t)(s->p - out->ptr);
  return out->len > 0;
}

static void add_to_value(param *p, char c) {
  if (p->len < sizeof p->value)
    p->value[p->len] = c;
  p->len++;
}

static bool read_value(scan *s, param *p) {
  bool quoted = s->p < s->end && *s->p == '"';

  p->len = 0;
  if (quoted)
    s->p++;
  for (; s->p < s->end; s->p++) {
    if (quoted && *s->p == '"') {
      s->p++;
      return p->len > 0;
    }
    if (quoted && *s->p == '\\' && ++s->p == s->end)
      return false;
    if (!is_token_char(*s->p))
      break;
    add_to_value(p, *s->p);
  }
  return !quoted && p->len > 0;
}

/* false where it is malformed. */
static bool read_param(scan *s, param *p) {
  if (!read_token(s, &p->name))
    return false;
  p->has_value = take(s, '=');
  return !p->has_value || read_value(s, p);
}

static bool same(rill_str a, const char *b) {
  size_t len = strlen(b);

  return a.len == len && memcmp(a.ptr, b, len) == 0;
}

/* 8 to 15, without leading zeros; else 0. */
static uint8_t window_of(const param *p) {
  const char *v = p->value;

  if (p->len == 1 && (v[0] == '8' || v[0] == '9'))
    return (uint8_t)(v[0] - '0');
  if (p->len == 2 && v[0] == '1' && v[1] >= '0' && v[1] <= '5')
    return (uint8_t)(10 + v[1] - '0');
  return 0;
}

static bool note_flag(bool *flag, const param *p) {
  if (*flag || p->has_value)
    return false;
  return *flag = true;
}

static bool note_bits(uint8_t *bits, const param *p) {
  if (*bits != 0)
    return false;
  *bits = p->has_value ? window_of(p) : ANY;
  return *bits != 0;
}

/* false: a parameter that is unknown, a second time there, or not valid. */
static bool note(asked *a, const param *p) {
  if (same(p->name, "server_no_context_takeover"))
    return note_flag(&a->server_no_takeover, p);
  if (same(p->name, "client_no_context_takeover"))
    return note_flag(&a->client_no_takeover, p);
  if (same(p->name, "server_max_window_bits"))
    return p->has_value && note_bits(&a->server_bits, p);
  if (same(p->name, "client_max_window_bits"))
    return note_bits(&a->client_bits, p);
  return false;
}

/*
 * Reads one extension: false where it is malformed; |*valid| where it is
 * permessage-deflate with valid parameters.
 */
static bool read_extension(scan *s, asked *a, bool *valid) {
  rill_str name;
  param p;

  *a = (asked){0};
  if (!read_token(s, &name))
    return false;
  *valid = same(name, "permessage-deflate");
  while (take(s, ';')) {
    if (!read_param(s, &p))
      return false;
    *valid = *valid && note(a, &p);
  }
  return s->p == s->end || *s->p == ',';
}

static uint8_t bits_or(uint8_t bits) { return bits != 0 ? bits : 12; }

static uint8_t min_bits(uint8_t a, uint8_t b) { return a < b ? a : b; }

bool rill__pmd_opts_ok(const rill_deflate_opts *opts) {
  uint8_t server = bits_or(opts->server_max_window_bits);
  uint8_t client = bits_or(opts->client_max_window_bits);

  return server >= 9 && server <= 15 && client >= 9 && client <= 15 &&
         opts->level <= 9 && opts->memory_level <= 9;
}

static char *put(char *out, const char *text) {
  size_t n = strlen(text);

  memcpy(out, text, n);
  return out + n;
}

static char *put_bits(char *out, const char *name, uint8_t bits) {
  out = put(put(out, "; "), name);
  *out++ = '=';
  if (bits >= 10)
    *out++ = '1';
  *out++ = (char)('0' + bits % 10);
  return out;
}

/* Bits 0: not named; ANY: without a value.  At most 138 characters. */
static void write_extension(char out[160], const asked *a) {
  out = put(out, "permessage-deflate");
  if (a->server_no_takeover)
    out = put(out, "; server_no_context_takeover");
  if (a->client_no_takeover)
    out = put(out, "; client_no_context_takeover");
  if (a->server_bits != 0)
    out = put_bits(out, "server_max_window_bits", a->server_bits);
  if (a->client_bits == ANY)
    out = put(out, "; client_max_window_bits");
  else if (a->client_bits != 0)
    out = put_bits(out, "client_max_window_bits", a->client_bits);
  *out = '\0';
}

static void agree(const rill_deflate_opts *opts, const asked *offer,
                  rill__pmd_params *params, char answer[160]) {
  uint8_t server = bits_or(opts->server_max_window_bits);
  uint8_t client = bits_or(opts->client_max_window_bits);
  bool unbounded = offer->client_bits == 0 && client < 15;
  asked a = {
      .server_no_takeover =
          !opts->server_context_takeover || offer->server_no_takeover,
      .client_no_takeover = !opts->client_context_takeover ||
                            offer->client_no_takeover || unbounded,
  };

  if (offer->server_bits != 0)
    a.server_bits = server = min_bits(server, offer->server_bits);
  if (offer->client_bits != 0)
    a.client_bits = client = min_bits(client, offer->client_bits);
  else
    client = 15;
  *params = (rill__pmd_params){a.server_no_takeover, a.client_no_takeover,
                               server, client};
  write_extension(answer, &a);
}

bool rill__pmd_accept(const rill_deflate_opts *opts, rill_str offers,
                      rill__pmd_params *params, char answer[160]) {
  scan s = {offers.ptr, offers.ptr + offers.len};
  asked offer;
  bool valid;

  if (!opts->enabled || offers.len == 0)
    return false;
  for (;;) {
    while (take(&s, ','))
      ;
    if (s.p == s.end || !read_extension(&s, &offer, &valid))
      return false;
    if (valid) {
      agree(opts, &offer, params, answer);
      return true;
    }
  }
}

/* What a client with |opts| asks for. */
static asked wanted(const rill_deflate_opts *opts) {
  uint8_t server = bits_or(opts->server_max_window_bits);
  uint8_t client = bits_or(opts->client_max_window_bits);

  return (asked){.server_no_takeover = !opts->server_context_takeover,
                 .client_no_takeover = !opts->client_context_takeover,
                 .server_bits = server < 15 ? server : 0,
                 .client_bits = client < 15 ? client : ANY};
}

void rill__pmd_offer(const rill_deflate_opts *opts, char offer[160]) {
  asked a = wanted(opts);

  offer[0] = '\0';
  if (opts->enabled)
    write_extension(offer, &a);
}

bool rill__pmd_confirm(const rill_deflate_opts *opts, rill_str answer,
                       rill__pmd_params *params, bool *on) {
  asked offer = wanted(opts), a;
  scan s = {answer.ptr, answer.ptr + answer.len};
  bool valid;

  *on = false;
  if (answer.len == 0)
    return true;
  skip_space(&s);
  if (!opts->enabled || !read_extension(&s, &a, &valid) || !valid ||
      s.p != s.end)
    return false;
  /* What was asked of the server it must promise; it may promise more. */
  if (offer.server_no_takeover && !a.server_no_takeover)
    return false;
  if (offer.server_bits != 0 &&
      (a.server_bits == 0 || a.server_bits > offer.server_bits))
    return false;
  if (a.client_bits == ANY)
    return false;
  *params = (rill__pmd_params){
      .server_no_takeover = a.server_no_takeover,
      .client_no_takeover = a.client_no_takeover || offer.client_no_takeover,
      .server_bits = a.server_bits != 0 ? a.server_bits : 15,
      .client_bits = bits_or(opts->client_max_window_bits)};
  if (a.client_bits != 0)
    params->client_bits = min_bits(params->client_bits, a.client_bits);
  *on = true;
  return true;
}
