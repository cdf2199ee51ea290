/*
 * encode.h - one message or event as each format writes it.
 */
#ifndef RILL__ENCODE_H
#define RILL__ENCODE_H

#include "base/value.h"
#include "hub/fanout.h"
#include "wire/socketio.h"

#define RILL__OFFSET_MAX 32 /* of an offset as text */

/* What is sent: a message of the host's, or (|msg| NULL) an event. */
struct rill__item {
  const rill_msg *msg;
  rill_str name;
  const rill__node *args; /* an array, NULL for none */
  rill_str space;         /* "/" or its name */
  rill_str room;          /* the one room that it goes to, or empty */
  rill_str offset;        /* where the client is then, or empty */
  bool kept;              /* for those of its room who come again */
  bool recovery;          /* Socket.IO clients of |space| expect the offset */
  uint64_t number;        /* in its room, where it is published; 0: it is not */
  uint64_t time_ms;       /* then */
  rill_str id;            /* then */
  bool asks;              /* for an answer, by the number |ask| */
  bool answers;           /* it is the answer to |ask|: there is no name */
  uint64_t ask;
  bool is_volatile;
  /* as in rill_msg */
  rill_overflow overflow;
  rill_str key;
  bool uncompressed;
};

/* |msg| as an item, which borrows it; false: it is no valid message. */
bool rill__item_of(rill__item *item, const rill_msg *msg);

typedef struct rill__encoding {
  const void *data; /* NULL: at |from| of the scratch buffer */
  size_t from, len;
  uint8_t first; /* of the frame that is to hold it; 0: it is framed */
  bool whole;    /* several frames or packets that belong together */
} rill__encoding;

/*
 * Writes |item| in |format| to the end of |scratch|; false: out of memory,
 * or more bytes values than a message may have.
 */
bool rill__encode(const rill__item *item, unsigned format,
                  rill__bytes *scratch, rill__encoding *out);
/* The same for a packet of Socket.IO. */
bool rill__encode_packet(const rill__sio_out *packet, unsigned format,
                         rill__bytes *scratch, rill__encoding *out);
/* How many bytes values are in a container. */
uint32_t rill__bytes_in(const rill__node *n);
/* Are there bytes in it? Then some formats need several frames. */
bool rill__item_has_bytes(const rill__item *item);

#endif
