/*
 * ws.h - WebSocket framing (RFC 6455): bytes to messages and back.
 *
 * Reading.  A whole unfragmented frame that lies in the bytes fed is read
 * by the short path: header check, unmask in place, UTF-8, handler; nothing
 * is allocated or copied.  Everything else (frames cut by the end of the
 * bytes, fragments, control frames, compressed messages) takes a
 * rill__ws_input from the pool, in which wslay's frame layer reads headers and
 * counts payload, and gives it back when the message is complete: an idle
 * connection holds none.
 *
 * Payload is unmasked and checked as it arrives, so that text which is not
 * UTF-8 is refused with its first wrong byte, and a message that is too big
 * with its header.
 */
#ifndef RILL__WS_H
#define RILL__WS_H

#include <rill/limits.h>

#include "base/chunk.h"
#include "base/limits.h"
#include "base/list.h"

enum {
  RILL__WS_CONT = 0x0,
  RILL__WS_TEXT = 0x1,
  RILL__WS_BINARY = 0x2,
  RILL__WS_CLOSE = 0x8,
  RILL__WS_PING = 0x9,
  RILL__WS_PONG = 0xa,
  RILL__WS_FIN = 0x80,
  RILL__WS_RSV1 = 0x40
};

/* The longest header of a frame: 2 + 8 + 4 bytes. */
#define RILL__WS_HEADER_MAX 14

typedef struct rill__ws rill__ws;
typedef struct rill__ws_input rill__ws_input; /* wire/ws_input.h */
typedef struct rill__pmd rill__pmd;           /* wire/deflate.h */

/* Shared by all WebSockets of a hub. */
typedef struct rill__ws_env {
  const rill__alloc *alloc;
  const rill_limits *limits;
  rill__chunk_pool *chunks;
  rill__link assembling; /* the inputs that hold a part of a message */
  size_t assembly_bytes; /* capacity of the chunks of these */
  rill__ws_input *spare; /* idle inputs, with their wslay contexts */
  uint32_t nspare;
  struct rill__zstream_pool *zstreams; /* idle ones; wire/zstream.h */
  /*
   * Called from inside a feed of another WebSocket, where assembly_bytes is
   * reached and |ws| has the largest part of a message: that part has
   * been dropped, its WebSocket reads nothing more, and it should be closed
   * with 4013.  Must not feed.  NULL: the WebSocket being fed fails instead.
   */
  void (*shed)(void *arg, rill__ws *ws);
  void *shed_arg;
} rill__ws_env;

/* Returns 0.  |shed| is NULL afterwards; set it as needed. */
int rill__ws_env_init(rill__ws_env *env, const rill__alloc *alloc,
                      const rill_limits *limits, rill__chunk_pool *chunks);
/* Every WebSocket must have been finished. */
void rill__ws_env_finish(rill__ws_env *env);

/* One WebSocket; embedded in its conn. */
struct rill__ws {
  rill__ws_input *input; /* NULL between messages */
  rill__pmd *pmd;        /* NULL: permessage-deflate was not negotiated */
  bool client;           /* this side is the client: it masks */
  bool ended;            /* a close, an error or a drop: nothing is read */
  bool payload;          /* messages may be as long as payload_bytes */
};

/* The most bytes of one message, and the limit that says so. */
static inline uint32_t rill__ws_most(const rill__ws *ws,
                                     const rill_limits *limits) {
  return ws->payload ? limits->payload_bytes : limits->message_bytes;
}
static inline int rill__ws_most_limit(const rill__ws *ws) {
  return ws->payload ? RILL__LIMIT_payload_bytes : RILL__LIMIT_message_bytes;
}

void rill__ws_init(rill__ws *ws, bool client);
/* Gives back what it holds, the pmd too. */
void rill__ws_finish(rill__ws *ws, rill__ws_env *env);
/* Lets go of a message that is not complete; nothing more is read. */
void rill__ws_drop(rill__ws *ws, rill__ws_env *env);
/* The one that holds the largest part of a message, or NULL.  O(these). */
rill__ws *rill__ws_largest(const rill__ws_env *env);

/* A complete message.  |data| is borrowed for the call and may be written. */
typedef struct rill__ws_message {
  uint8_t *data;
  size_t len;
  uint8_t opcode; /* RILL__WS_TEXT or RILL__WS_BINARY */
  /*
   * Where |data| is in a chunk of its own, with at least
   * RILL__WS_HEADER_MAX bytes in front of it, the chunk, else NULL.  Who
   * takes a reference may put a header there and send it on.
   */
  rill__chunk *chunk;
} rill__ws_message;

typedef struct rill__ws_sink {
  /* 0 to go on, RILL_PAUSE to stop behind this message, negative to fail. */
  int (*on_message)(void *arg, const rill__ws_message *msg);
  /*
   * A ping, pong or close, of at most 125 bytes, unmasked, contiguous.  A
   * close has been checked (length, code, UTF-8 of its reason).  Returns as
   * on_message; after a close nothing more is read.
   */
  int (*on_control)(void *arg, uint8_t opcode, const uint8_t *data,
                    size_t len);
} rill__ws_sink;

/* Why reading failed. */
typedef struct rill__ws_error {
  uint16_t code;      /* the close code to send, 0 where a handler failed */
  const char *reason; /* static, at most 123 bytes */
  int limit;          /* RILL__LIMIT_... of base/limits.h, or -1 */
} rill__ws_error;

/*
 * rill__ws_feed reads |len| bytes; |*used| is how many it took: all of them,
 * except after RILL_PAUSE, a close frame or an error.  |data| is written to.
 * After an error what was held of a message is gone, and further calls take
 * nothing and return RILL_ERR_CLOSED.
 *
 * RILL_PAUSE        the sink asked for it; feed the rest later
 * RILL_ERR_CLOSED   a close frame came (on_control has seen it)
 * RILL_ERR_PROTO    the peer broke the protocol or a limit: |error|
 * RILL_ERR_LIMIT    assembly_bytes is reached and this WebSocket holds the
 *                   most: |error| has 4013
 * RILL_ERR_NOMEM    out of memory: |error| has 1011
 * RILL_ERR_HANDLER  the sink failed
 */
int rill__ws_feed(rill__ws *ws, rill__ws_env *env, uint8_t *data, size_t len,
                  size_t *used, const rill__ws_sink *sink, void *arg,
                  rill__ws_error *error);

/* Is a frame or a message begun and not complete? */
static inline bool rill__ws_mid_message(const rill__ws *ws) {
  return ws->input != NULL;
}

/*
 * rill__ws_header writes a frame header: |first| is FIN, RSV1 and opcode;
 * |mask| NULL for none.  Returns its length, at most RILL__WS_HEADER_MAX.
 */
static inline size_t rill__ws_header(uint8_t *out, uint8_t first, uint64_t len,
                                     const uint8_t mask[4]) {
  uint8_t bit = mask != NULL ? 0x80 : 0;
  size_t n = 2;

  out[0] = first;
  if (len < 126) {
    out[1] = (uint8_t)(bit | len);
  } else if (len < 65536) {
    out[1] = bit | 126;
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
    n = 4;
  } else {
    out[1] = bit | 127;
    for (int i = 0; i < 8; i++)
      out[2 + i] = (uint8_t)(len >> (56 - 8 * i));
    n = 10;
  }
  if (mask != NULL) {
    memcpy(out + n, mask, 4);
    n += 4;
  }
  return n;
}

/* The length of the header that rill__ws_header would write. */
static inline size_t rill__ws_header_len(uint64_t len, bool masked) {
  return (len < 126 ? 2u : len < 65536 ? 4u : 10u) + (masked ? 4u : 0u);
}

/*
 * The whole length of the frame whose header begins at |data|; the header
 * must be complete.  Only for frames that this side wrote.
 */
uint64_t rill__ws_frame_len(const uint8_t *data);

/*
 * Masks or unmasks |len| bytes from |src| to |dst| (the same, or not
 * overlapping); |phase| is the position in the payload (RFC 6455 5.3).
 */
void rill__ws_mask(uint8_t *dst, const uint8_t *src, size_t len,
                   const uint8_t mask[4], size_t phase);

/* May |code| stand in a close frame? (RFC 6455 7.4, IANA: 1000-1003,
 * 1007-1014, 3000-4999.) */
bool rill__ws_close_code_ok(unsigned code);

/*
 * Sec-WebSocket-Accept of |key| (RFC 6455 4.2.2): 28 characters and NUL; the
 * empty string where |key| is no key or SHA-1 is not to be had.
 */
void rill__ws_accept_key(rill_str key, char out[29]);
/* Is |key| base64 of 16 bytes? */
bool rill__ws_key_ok(rill_str key);

#endif
