/*
 * socketio.h - Socket.IO v5 packets, as JSON with binary attachments (the
 * default parser) and as MessagePack (socket.io-msgpack-parser 3).
 *
 *   <type>[<attachments>-][<namespace>,][<ack id>][<json>]
 *
 * What is read is checked against the rules of each type; what breaks them
 * is RILL_ERR_PROTO and closes the whole connection.
 */
#ifndef RILL__SOCKETIO_H
#define RILL__SOCKETIO_H

#include "base/value.h"

typedef enum rill__sio_type {
  RILL__SIO_CONNECT,
  RILL__SIO_DISCONNECT,
  RILL__SIO_EVENT,
  RILL__SIO_ACK,
  RILL__SIO_CONNECT_ERROR
} rill__sio_type;

#define RILL__SIO_NONE UINT32_MAX

/* Ids that a client may use: whole numbers that JavaScript has exactly. */
#define RILL__SIO_ID_MAX ((uint64_t)1 << 53)

typedef struct rill__sio_packet {
  rill__sio_type type;
  rill_str space; /* "/" and no ","; "/" alone where none was written */
  bool has_id;
  uint64_t id;
  uint32_t attachments; /* binary messages that follow */
  uint32_t most;        /* of them, and of placeholders */
  uint32_t data;        /* index of its node in the tape; RILL__SIO_NONE */
} rill__sio_packet;

/*
 * rill__sio_read reads the text of one Engine.IO MESSAGE, which is UTF-8,
 * into |packet| and its data to the end of |tape|; both borrow from it.
 * Binary events and acks are read as EVENT and ACK with |attachments| from 1
 * to |most|: read that many binary messages, then rill__sio_attach puts them
 * in place of the placeholders.  A packet without them is checked and
 * complete at once.
 *
 * An event's name may be a number, as the first of its data: the reference
 * lets it pass, and so does rill, with the empty string.
 *
 * After an error |packet| and what it added to |tape| mean nothing.
 *
 * RILL_ERR_PROTO  not a packet, or one that only a server sends
 * RILL_ERR_LIMIT  beyond |limits| or |most|     RILL_ERR_NOMEM
 */
int rill__sio_read(rill__sio_packet *packet, rill__tape *tape, rill_str text,
                   const rill__value_limits *limits, uint32_t most);
/*
 * rill__sio_attach puts |v| in place of the placeholders of |packet|, whose
 * data is the last of |tape|; the tape borrows from them.  Every placeholder
 * must name one of |v|.  Two may name the same, and none need name it, but
 * there are no more than |most| of them: else one large attachment, named
 * over and over, would become an event of any size.
 *
 * RILL_ERR_PROTO  a placeholder names none     RILL_ERR_LIMIT  too many
 */
int rill__sio_attach(rill__sio_packet *packet, rill__tape *tape,
                     const rill_str *v, uint32_t n);
/*
 * One binary message; attachments are inline.  Errors are those of
 * rill__sio_read.
 */
int rill__sio_read_msgpack(rill__sio_packet *packet, rill__tape *tape,
                           rill_str data, const rill__value_limits *limits);

/*
 * The way out.  |args| of EVENT is what follows the name, of ACK everything:
 * an array node or NULL for none.  |tail|, where not empty, is one more
 * string argument at the end: the offset of connection state recovery.
 */
typedef struct rill__sio_out {
  rill__sio_type type;
  rill_str space;
  bool has_id;
  uint64_t id;
  rill_str name;          /* EVENT */
  const rill__node *args; /* EVENT, ACK: array; CONNECT(_ERROR): object */
  rill_str tail;
} rill__sio_out;

/*
 * Appends the packet's text (without the Engine.IO type) and collects its
 * bytes in |attachments|, which is empty before; an EVENT or ACK with bytes
 * is written as BINARY_EVENT or BINARY_ACK.  In those a member
 * "_placeholder":true becomes false, or clients would take its object for a
 * placeholder.  The other types cannot have attachments: what bytes they
 * have are written as {"$bytes":"..."}.
 */
void rill__sio_write(rill__bytes *out, const rill__sio_out *packet,
                     rill__attachments *attachments);
void rill__sio_write_msgpack(rill__bytes *out, const rill__sio_out *packet);

/* May a peer send an event of that name?  Six are the libraries' own. */
bool rill__sio_name_ok(rill_str name);

#endif
