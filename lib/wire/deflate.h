/*
 * deflate.h - permessage-deflate (RFC 7692) on zlib.
 */
#ifndef RILL__DEFLATE_H
#define RILL__DEFLATE_H

#include <rill/hub.h>

#include "base/bytes.h"
#include "wire/ws.h"

/*
 * What was agreed on for one connection.  A window of 8 bits is only ever
 * one that the other side asked this side to send with: zlib has none of
 * that size, so such messages are written without any reference back.
 */
typedef struct rill__pmd_params {
  bool server_no_takeover, client_no_takeover;
  uint8_t server_bits, client_bits; /* 8 to 15 */
} rill__pmd_params;

/* Are windows, levels and the like of |opts| in their ranges? */
bool rill__pmd_opts_ok(const rill_deflate_opts *opts);

/*
 * Negotiation.  accept reads all the offers of a Sec-WebSocket-Extensions
 * field (RFC 7692 section 7.1, RFC 6455 section 9.1): true and |params| and
 * the answer's value in |answer| for the first acceptable offer; false where
 * there is none, which is no error.  Linear in the length of |offers|.
 *
 * A client that does not offer client_max_window_bits may send with a window
 * of 15 bits whatever |opts| says; where |opts| says less, such a client is
 * told not to keep its window, so that what is held between messages stays
 * within |opts|.
 *
 * offer writes what a client asks for; confirm reads the server's answer:
 * false where it is not an answer to that offer (RFC 7692 section 7.1:
 * fail the connection).  An empty |answer| means that it was declined:
 * *on is then false.  An offer that is not enabled is the empty string.
 */
bool rill__pmd_accept(const rill_deflate_opts *opts, rill_str offers,
                      rill__pmd_params *params, char answer[160]);
void rill__pmd_offer(const rill_deflate_opts *opts, char offer[160]);
bool rill__pmd_confirm(const rill_deflate_opts *opts, rill_str answer,
                       rill__pmd_params *params, bool *on);

/*
 * The pmd of a WebSocket.  |opts| gives level, memory level and threshold
 * and is borrowed.  NULL: no memory.
 */
rill__pmd *rill__pmd_new(rill__ws_env *env, bool client,
                         const rill__pmd_params *params,
                         const rill_deflate_opts *opts);
void rill__pmd_free(rill__pmd *pmd, rill__ws_env *env); /* NULL is fine */

/* The window that this side may send with, and the threshold. */
uint8_t rill__pmd_send_bits(const rill__pmd *pmd);
uint32_t rill__pmd_threshold(const rill__pmd *pmd);
/* Does each message that this side compresses build on those before it? */
bool rill__pmd_keeps_window(const rill__pmd *pmd);

/*
 * Compresses a message to the end of |out| (without the 00 00 ff ff tail):
 * for one peer, with its window where takeover was agreed on; or for many,
 * without any, with a window of |bits|.  RILL_ERR_NOMEM is the only error,
 * and |out| is then as before.
 */
int rill__pmd_deflate(rill__pmd *pmd, rill__ws_env *env, const void *data,
                      size_t len, rill__bytes *out);
int rill__pmd_deflate_shared(rill__ws_env *env, uint8_t bits,
                             const rill_deflate_opts *opts, const void *data,
                             size_t len, rill__bytes *out);

/*
 * Tells that a message which this pmd did not compress has been sent
 * compressed: its window no longer matches the peer's, so it starts afresh.
 */
void rill__pmd_foreign(rill__pmd *pmd);

/*
 * Inflating: the reader's side.  begin before the first byte of a message
 * (RILL_ERR_NOMEM); then inflate, which reads from |*in| and writes to |out|
 * as much as it can, and leaves in |*in|, |*len| and |*room| what is left of
 * both.  Everything is read and written when |*len| is 0 and |*room| is not.
 *
 * done tells whether the bytes so far are a complete run of blocks.  Where
 * it is false at the end of a message, the tail that senders take off
 * (00 00 ff ff) is to be inflated too; where it is false then, the data was
 * not complete.  end follows begin in any case, NULL included.
 *
 * RILL_ERR_PROTO    not deflate data; a reference beyond the agreed window is
 *                   one where zlib notices it, which hangs on the cuts
 * RILL_ERR_NOMEM    out of memory
 */
int rill__pmd_inflate_begin(rill__pmd *pmd, rill__ws_env *env);
int rill__pmd_inflate(rill__pmd *pmd, rill__ws_env *env, const uint8_t **in,
                      size_t *len, uint8_t *out, size_t *room);
bool rill__pmd_inflate_done(const rill__pmd *pmd);
void rill__pmd_inflate_end(rill__pmd *pmd, rill__ws_env *env);

/* Frees the idle streams of zlib; part of rill__ws_env_finish. */
void rill__pmd_env_finish(rill__ws_env *env);

#endif
