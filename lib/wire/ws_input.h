/*
 * ws_input.h - what a WebSocket holds while a frame or a message is begun
 * and not complete: the header so far, wslay's frame context, the message so
 * far.  Inputs are pooled; between messages a WebSocket has none.
 */
#ifndef RILL__WS_INPUT_H
#define RILL__WS_INPUT_H

#include <wslay/wslay.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "wire/ws.h"

#define RILL__WS_CONTROL_MAX 125

struct rill__ws_input {
  rill__link link; /* in env->assembling while there is a chunk */
  rill__ws *ws;
  rill__ws_input *next; /* spare list */

  wslay_frame_context_ptr frames;
  const uint8_t *head; /* header bytes that |frames| may read, */
  size_t nhead;
  size_t counted; /* and payload bytes that it is told of */

  /* The frame: header[0..have) of |need| are there; then the payload. */
  uint8_t header[RILL__WS_HEADER_MAX];
  uint8_t have, need;
  bool in_payload;
  bool fin;
  uint8_t opcode;
  uint8_t mask[4];
  uint64_t length, left;

  /* The message, from its first header on; kind 0: there is none. */
  uint8_t kind;
  bool compressed;
  rill__utf8 utf8;
  uint32_t frames_seen;
  size_t declared; /* payload of all frames begun */
  size_t received; /* bytes of the message, inflated, in |chunk| */
  rill__chunk *chunk;

  uint8_t control[RILL__WS_CONTROL_MAX];
};

/* Gives |ws| an input; false: no memory. */
bool rill__ws_input_take(rill__ws *ws, rill__ws_env *env);
/* Takes the input of |ws| back, with whatever it holds; none is fine. */
void rill__ws_input_give(rill__ws *ws, rill__ws_env *env);
void rill__ws_input_free_spares(rill__ws_env *env);

/*
 * Reads on in a header.  When it is complete, checked and within the limits,
 * |in_payload| is set.  |*used| is how many bytes it took.
 */
int rill__ws_input_header(rill__ws_input *in, rill__ws_env *env,
                          const uint8_t *data, size_t len, size_t *used,
                          rill__ws_error *error);

/* Tells the frame layer of |n| bytes of payload, at most |left|. */
int rill__ws_input_count(rill__ws_input *in, size_t n, rill__ws_error *error);
/* Between frames again. */
void rill__ws_input_frame_end(rill__ws_input *in);

/*
 * Makes room in the chunk for a message of |size| bytes, behind the
 * headroom; keeps assembly_bytes.
 */
int rill__ws_input_reserve(rill__ws_input *in, rill__ws_env *env, size_t size,
                           rill__ws_error *error);
/*
 * Inflates |n| bytes of payload, the last of the message where |last|, to
 * the end of the chunk.  Checks size, ratio and text as they come out.
 */
int rill__ws_inflate(rill__ws_input *in, rill__ws_env *env,
                     const uint8_t *data, size_t n, bool last,
                     rill__ws_error *error);

/* The chunk becomes the caller's; NULL where there is none. */
rill__chunk *rill__ws_input_take_chunk(rill__ws_input *in, rill__ws_env *env);

static inline uint8_t *rill__ws_input_end(const rill__ws_input *in) {
  return in->chunk->data + RILL__WS_HEADER_MAX + in->received;
}
static inline size_t rill__ws_input_room(const rill__ws_input *in) {
  return in->chunk == NULL
             ? 0
             : in->chunk->cap - RILL__WS_HEADER_MAX - in->received;
}

/* Fills |error| and returns |rv|. */
static inline int rill__ws_fail(rill__ws_error *error, int rv, uint16_t code,
                                int limit, const char *reason) {
  *error = (rill__ws_error){code, reason, limit};
  return rv;
}

static inline int rill__ws_bad_text(rill__ws_error *error) {
  return rill__ws_fail(error, RILL_ERR_PROTO, 1007, -1, "text is not UTF-8");
}

/* Goes on with the check of a text message; nothing for a binary one. */
static inline int rill__ws_check_text(rill__ws_input *in, const uint8_t *data,
                                      size_t n, rill__ws_error *error) {
  if (in->kind != RILL__WS_TEXT)
    return 0;
  in->utf8 = rill__utf8_feed(in->utf8, data, n);
  return in->utf8 == RILL__UTF8_BAD ? rill__ws_bad_text(error) : 0;
}

#endif
