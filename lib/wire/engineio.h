/*
 * engineio.h - Engine.IO v4: packets, the payloads of long-polling, and the
 * fixed answers of its HTTP side.  Pure functions; sessions are in
 * hub/session.h.
 *
 * Over WebSocket a packet is one message: text is its type and data, binary
 * is the data of a MESSAGE.  In a payload packets are joined by 0x1e, and
 * binary data is "b" and base64.
 */
#ifndef RILL__ENGINEIO_H
#define RILL__ENGINEIO_H

#include "base/bytes.h"

typedef enum rill__eio_type {
  RILL__EIO_OPEN = '0',
  RILL__EIO_CLOSE = '1',
  RILL__EIO_PING = '2',
  RILL__EIO_PONG = '3',
  RILL__EIO_MESSAGE = '4',
  RILL__EIO_UPGRADE = '5',
  RILL__EIO_NOOP = '6'
} rill__eio_type;

#define RILL__EIO_SEPARATOR '\x1e'

typedef struct rill__eio_packet {
  rill__eio_type type;
  bool binary;   /* of a MESSAGE */
  rill_str data; /* binary: decoded */
} rill__eio_packet;

/*
 * rill__eio_text reads a text message of a WebSocket, which has been checked
 * to be UTF-8.  false: not a packet.  "b" and base64 is none here: v4 sends
 * bytes as bytes.
 */
bool rill__eio_text(rill_str text, rill__eio_packet *packet);
/*
 * rill__eio_next takes the next packet off |*payload|: 1 where there is one,
 * 0 at the end, -1 where it is not valid (a parse error; nothing behind it
 * is read, and every later call says the same).  An empty payload is not
 * valid, nor is text that is no UTF-8.  Base64 is decoded in place, so the
 * payload is written to.
 */
int rill__eio_next(rill_str *payload, rill__eio_packet *packet);

/*
 * The data of OPEN: |upgrade| says that WebSocket is offered.  |sid| is of
 * letters, digits, "-" and "_".
 */
void rill__eio_write_open(rill__bytes *out, rill_str sid, bool upgrade,
                          uint32_t ping_ms, uint32_t pong_ms,
                          uint32_t max_payload);

/* The errors of the HTTP side; their codes are the protocol's. */
typedef enum rill__eio_error {
  RILL__EIO_TRANSPORT, /* 0 Transport unknown */
  RILL__EIO_SID,       /* 1 Session ID unknown */
  RILL__EIO_METHOD,    /* 2 Bad handshake method */
  RILL__EIO_REQUEST,   /* 3 Bad request */
  RILL__EIO_FORBIDDEN, /* 4 Forbidden */
  RILL__EIO_VERSION    /* 5 Unsupported protocol version */
} rill__eio_error;
int rill__eio_status(rill__eio_error error); /* 400, or 403 for FORBIDDEN */
/* {"code":N,"message":"..."}, static. */
const char *rill__eio_body(rill__eio_error error);
const char *rill__eio_message(rill__eio_error error);

#endif
