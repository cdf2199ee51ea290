/*
 * rill/token.h - signed tokens: who somebody is, until when.
 *
 * A token is two parts of base64url without padding and a dot between them:
 * a JSON object {"sub":USER,"exp":SECONDS,...}, and the HMAC-SHA-256 of the
 * first part, as it stands there, under a secret of the host.  Without "exp"
 * it never expires.  Whoever has the secret makes tokens (another service,
 * the login page); the hub only checks them, in constant time.  It is not a
 * JWT: there is one algorithm, so none to choose and none to be tricked with.
 *
 * These functions use libc's memory, except rill_token_authenticate, which
 * uses its hub's; mbedTLS has its own of libc.
 */
#ifndef RILL_TOKEN_H
#define RILL_TOKEN_H

#include <rill/hub.h>
#include <rill/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The longest token that is made or read, without its terminator. */
#define RILL_TOKEN_MAX 1024

/*
 * rill_token_make writes a terminated token for |user| into |out| of |size|
 * bytes; where it fails, the empty string.  |expires| is in seconds since
 * 1970 UTC, 0 for never.  |claims| may be NULL, or a builder whose first
 * argument is an object: its members are added.  |secret| has at least 16
 * bytes.
 *
 * RILL_ERR_ARG      the secret is short, the user empty or not UTF-8, a
 *                   claim is named sub or exp, |claims| has no object
 * RILL_ERR_TOO_BIG  it does not fit |size| or RILL_TOKEN_MAX
 * RILL_ERR_NOMEM    out of memory
 * or the builder's error
 */
RILL_API int rill_token_make(char *out, size_t size, rill_str secret,
                             rill_str user, uint64_t expires,
                             const rill_builder *claims);

/*
 * rill_token_read checks |token| at |now_ms| (milliseconds since 1970, as
 * rill_wall_fn tells) and returns 0 with |*out|, which is freed with
 * rill_token_free and needs neither |token| nor |secret| any more, or NULL
 * and
 *
 * RILL_ERR_ARG        the secret is short
 * RILL_ERR_FORBIDDEN  the token is malformed or not signed with |secret|
 * RILL_ERR_TIMEOUT    it has expired: the second "exp" has begun
 * RILL_ERR_NOMEM      out of memory
 */
typedef struct rill_token rill_token;
RILL_API int rill_token_read(rill_token **out, rill_str token, rill_str secret,
                             uint64_t now_ms);
RILL_API void rill_token_free(rill_token *token); /* NULL is fine */
/* What it says; borrowed while |token| lives.  Expires 0: never. */
RILL_API rill_str rill_token_user(const rill_token *token);
RILL_API uint64_t rill_token_expires(const rill_token *token);
/* The whole object, "sub" and "exp" among its members. */
RILL_API rill_value rill_token_claims(const rill_token *token);

/*
 * rill_token_authenticate is all of that as an authenticate hook: it reads
 * rill_request_credential and accepts for its user, or rejects with 401.
 * |secret| is the hook's |arg|, or what a hook of the host's passes on: a
 * terminated string.  The hub's wall-clock says what time it is.
 *
 * RILL_ERR_ARG     the secret is short
 * RILL_ERR_STATE   the hub has no wall-clock: see rill_hub_provide
 * RILL_ERR_NOMEM   out of memory
 * all of which the hub answers with 500; or as rill_accept
 */
RILL_API int rill_token_authenticate(rill_request *req, void *secret);

#ifdef __cplusplus
}
#endif
#endif
