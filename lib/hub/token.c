/*
 * Signed tokens: TEXT "." MAC, both base64url.  TEXT is the object, MAC the
 * HMAC-SHA-256 (RFC 2104) of TEXT as it stands in the token; so the
 * signature is checked before anything of the object is decoded or parsed,
 * and nothing is learned from a token that nobody has signed.
 *
 * Of each token there is one text: padding, foreign letters and bits that
 * should be zero are refused.  So a token can be compared, or listed as
 * revoked, as it is.
 */
#include <rill/token.h>

#include <mbedtls/md.h>

#include "base/base64.h"
#include "base/build.h"
#include "hub/hub.h"

enum {
  SECRET_MIN = 16,
  MAC_BYTES = 32,
  MAC_TEXT = 43, /* of base64url */
  /* The longest object: what is left of a token, decoded. */
  TEXT_MAX = RILL_TOKEN_MAX - 1 - MAC_TEXT,
  OBJECT_MAX = TEXT_MAX / 4 * 3,
  ROOM = RILL_TOKEN_MAX + 3 /* for padding */
};

/* |text| lies behind the struct, decoded: what the tape points into. */
struct rill_token {
  rill__alloc alloc;
  size_t size;
  rill__tape tape;
  rill_str user;
  uint64_t expires;
  char text[];
};

/* base64url without padding (RFC 4648 section 5); |out| has room for it. */
static size_t encode(char *out, const void *data, size_t len) {
  size_t n = rill__base64_len(len);

  rill__base64_encode(out, data, len);
  while (n > 0 && out[n - 1] == '=')
    n--;
  for (size_t i = 0; i < n; i++)
    out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
  return n;
}

/*
 * Decodes |text|, which is shorter than a token, into |out| of at least
 * text.len / 4 * 3 + 3 bytes.  -1: it is not base64url.
 */
static int64_t decode(void *out, rill_str text) {
  char standard[ROOM];
  size_t n = text.len;

  if (n > RILL_TOKEN_MAX)
    return -1;
  for (size_t i = 0; i < n; i++) {
    char c = text.ptr[i];
    if (c == '+' || c == '/' || c == '=')
      return -1;
    standard[i] = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  while (n % 4 != 0)
    standard[n++] = '=';
  return rill__base64_decode(out, (rill_str){standard, n});
}

/* mbedTLS allocates for it, which is all that can fail. */
static int sign(uint8_t mac[MAC_BYTES], rill_str secret, rill_str text) {
  const mbedtls_md_info_t *sha256 =
      mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);

  return mbedtls_md_hmac(sha256, (const uint8_t *)secret.ptr, secret.len,
                         (const uint8_t *)text.ptr, text.len, mac) == 0
             ? 0
             : RILL_ERR_NOMEM;
}

/* Takes as long whatever differs; volatile, so that no compiler ends early. */
static bool same_mac(const uint8_t *a, const uint8_t *b) {
  volatile uint8_t differ = 0;

  for (size_t i = 0; i < MAC_BYTES; i++)
    differ = (uint8_t)(differ | (a[i] ^ b[i]));
  return differ == 0;
}

static bool is_own(rill_str key) {
  return rill_str_eq(key, rill_s("sub")) || rill_str_eq(key, rill_s("exp"));
}

/* Adds the members of the first argument of |claims|. */
static int put_claims(rill_builder *b, const rill_builder *claims) {
  rill_value object = rill_value_at(rill_builder_value(claims), 0);
  rill_walk walk = rill_walk_begin(object);
  int rv = rill_builder_error(claims);

  if (rv != 0)
    return rv;
  if (rill_value_type(object) != RILL_OBJECT)
    return RILL_ERR_ARG;
  while (rill_walk_next(&walk)) {
    if (is_own(walk.key))
      return RILL_ERR_ARG;
    rill_put_key_str(b, walk.key);
    rill_put_value(b, walk.value);
  }
  return 0;
}

/* The object as JSON; |*len| may be more than there is room for. */
static int write_object(char *out, size_t size, size_t *len, rill_str user,
                        uint64_t expires, const rill_builder *claims) {
  rill_builder b;
  int rv = 0;

  rill__builder_init(&b, &rill__alloc_default);
  rill_put_object(&b);
  rill_set_str(&b, "sub", user);
  if (expires != 0) {
    rill_put_key(&b, "exp");
    rill_put_uint(&b, expires);
  }
  if (claims != NULL)
    rv = put_claims(&b, claims);
  rill_put_end(&b);
  if (rv == 0)
    rv = rill_builder_error(&b);
  if (rv == 0)
    *len = rill_value_json(rill_value_at(rill_builder_value(&b), 0), out, size);
  rill__builder_finish(&b);
  return rv;
}

int rill_token_make(char *out, size_t size, rill_str secret, rill_str user,
                    uint64_t expires, const rill_builder *claims) {
  char object[OBJECT_MAX + 1], text[ROOM];
  uint8_t mac[MAC_BYTES];
  size_t len = 0;
  int rv;

  if (size > 0)
    out[0] = '\0';
  if (secret.len < SECRET_MIN || user.len == 0)
    return RILL_ERR_ARG;
  rv = write_object(object, sizeof object, &len, user, expires, claims);
  if (rv != 0)
    return rv;
  if (len > OBJECT_MAX)
    return RILL_ERR_TOO_BIG;
  len = encode(text, object, len);
  rv = sign(mac, secret, (rill_str){text, len});
  if (rv != 0)
    return rv;
  text[len++] = '.';
  len += encode(text + len, mac, MAC_BYTES);
  if (len >= size)
    return RILL_ERR_TOO_BIG;
  memcpy(out, text, len);
  out[len] = '\0';
  return 0;
}

/* |token| as what is signed and the signature; false where it is not two. */
static bool split(rill_str token, rill_str *text, rill_str *mac) {
  const char *dot;

  if (token.len > RILL_TOKEN_MAX || token.len < MAC_TEXT + 1)
    return false;
  dot = token.ptr + token.len - MAC_TEXT - 1;
  *text = (rill_str){token.ptr, token.len - MAC_TEXT - 1};
  *mac = (rill_str){dot + 1, MAC_TEXT};
  return *dot == '.'; /* another one is no letter of either part */
}

static int check_mac(rill_str text, rill_str mac, rill_str secret) {
  uint8_t theirs[MAC_BYTES + 4], ours[MAC_BYTES];
  int rv;

  if (decode(theirs, mac) != MAC_BYTES)
    return RILL_ERR_FORBIDDEN;
  rv = sign(ours, secret, text);
  if (rv != 0)
    return rv;
  return same_mac(theirs, ours) ? 0 : RILL_ERR_FORBIDDEN;
}

/* A whole number of seconds, written as one. */
static bool is_seconds(rill_value v) {
  return rill_value_type(v) == RILL_INT &&
         (v.node->flags & RILL__NODE_UNSIGNED || v.node->u.i >= 0);
}

/*
 * Who it is and until when.  Each may be said once: of two that differ,
 * others might believe the other.
 */
static int read_object(rill_token *t, uint64_t now_ms) {
  rill_walk walk = rill_walk_begin(rill_token_claims(t));
  bool has_user = false, has_exp = false;

  if (rill_value_type(rill_token_claims(t)) != RILL_OBJECT)
    return RILL_ERR_FORBIDDEN;
  while (rill_walk_next(&walk)) {
    if (rill_str_eq(walk.key, rill_s("sub"))) {
      t->user = rill_value_str(walk.value);
      if (has_user || t->user.len == 0)
        return RILL_ERR_FORBIDDEN;
      has_user = true;
    } else if (rill_str_eq(walk.key, rill_s("exp"))) {
      if (has_exp || !is_seconds(walk.value))
        return RILL_ERR_FORBIDDEN;
      t->expires = rill_value_uint(walk.value, 0);
      has_exp = true;
    }
  }
  if (!has_user)
    return RILL_ERR_FORBIDDEN;
  return has_exp && now_ms / 1000 >= t->expires ? RILL_ERR_TIMEOUT : 0;
}

static int open_text(rill_token *t, rill_str text, uint64_t now_ms) {
  static const rill__value_limits limits = {RILL__BUILD_DEPTH, UINT32_MAX,
                                            UINT32_MAX};
  int64_t len = decode(t->text, text);
  int rv;

  if (len < 0)
    return RILL_ERR_FORBIDDEN;
  rv = rill__json_read(&t->tape, (rill_str){t->text, (size_t)len}, &limits);
  if (rv == 0 && !rill__value_unpack_bytes(&t->tape, 0))
    rv = t->tape.failed ? RILL_ERR_NOMEM : RILL_ERR_FORBIDDEN;
  if (rv != 0)
    return rv == RILL_ERR_NOMEM ? rv : RILL_ERR_FORBIDDEN;
  return read_object(t, now_ms);
}

static int token_read(rill_token **out, const rill__alloc *alloc,
                      rill_str token, rill_str secret, uint64_t now_ms) {
  rill_str text, mac;
  rill_token *t;
  size_t size;
  int rv;

  *out = NULL;
  if (secret.len < SECRET_MIN)
    return RILL_ERR_ARG;
  if (!split(token, &text, &mac))
    return RILL_ERR_FORBIDDEN;
  rv = check_mac(text, mac, secret);
  if (rv != 0)
    return rv;
  size = sizeof *t + text.len / 4 * 3 + 3;
  t = rill__malloc(alloc, size);
  if (t == NULL)
    return RILL_ERR_NOMEM;
  *t = (rill_token){.alloc = *alloc, .size = size};
  rill__tape_init(&t->tape, &t->alloc);
  rv = open_text(t, text, now_ms);
  if (rv != 0) {
    rill_token_free(t);
    return rv;
  }
  *out = t;
  return 0;
}

int rill_token_read(rill_token **out, rill_str token, rill_str secret,
                    uint64_t now_ms) {
  return token_read(out, &rill__alloc_default, token, secret, now_ms);
}

void rill_token_free(rill_token *token) {
  rill__alloc alloc;

  if (token == NULL)
    return;
  alloc = token->alloc;
  rill__tape_finish(&token->tape);
  rill__free(&alloc, token, token->size);
}

rill_str rill_token_user(const rill_token *token) {
  return token->user;
}

uint64_t rill_token_expires(const rill_token *token) {
  return token->expires;
}

rill_value rill_token_claims(const rill_token *token) {
  return (rill_value){token->tape.v};
}

int rill_token_authenticate(rill_request *req, void *secret) {
  rill_hub *hub = rill_request_hub(req);
  rill_token *token;
  int rv;

  if (hub->wall == NULL)
    return RILL_ERR_STATE; /* whether it has expired cannot be known */
  rv = token_read(&token, &hub->alloc, rill_request_credential(req),
                  rill_s(secret), hub->wall(hub->wall_arg));
  if (rv == RILL_ERR_FORBIDDEN)
    return rill_reject(req, 401, "the token is not valid");
  if (rv == RILL_ERR_TIMEOUT)
    return rill_reject(req, 401, "the token has expired");
  if (rv != 0)
    return rv;
  rv = rill_accept(req, rill_token_user(token));
  rill_token_free(token);
  return rv;
}
