/*
 * conn.h - one byte stream.
 *
 * States, and what |since| means in each:
 *
 *   DIAL     wants to be connected            when to give up
 *   HELLO    client: the answer is awaited    when to give up
 *   HTTP     between or inside requests       when the request must be whole
 *   VERDICT  a request waits for its answer   when that is taken as 503
 *   OPEN     WebSocket messages               when the message in progress
 *                                             must be whole, or RILL_NEVER
 *   CLOSING  this side has sent a close       when to cut
 *   FLUSH    the rest of the output, no input when to cut
 *   DEAD     the adapter closes it            -
 *
 *   accepted: HTTP -> VERDICT -> HTTP (keep-alive) or OPEN
 *   dialed:   DIAL -> HELLO -> OPEN
 *   all:      OPEN -> CLOSING -> FLUSH -> DEAD, with short cuts to the right
 */
#ifndef RILL__CONN_H
#define RILL__CONN_H

#include "hub/hub.h"

typedef enum rill__state {
  RILL__DIAL,
  RILL__HELLO,
  RILL__HTTP,
  RILL__VERDICT,
  RILL__OPEN,
  RILL__CLOSING,
  RILL__FLUSH,
  RILL__DEAD
} rill__state;

/* Flags. */
enum {
  RILL__PAUSED = 1,      /* rill_pause, or a handler said RILL_PAUSE */
  RILL__THROTTLED = 2,   /* over a message rate; until |throttled_until| */
  RILL__SOFT = 4,        /* the queue is over its soft limit */
  RILL__BUSY_TOLD = 8,   /* rill_send said RILL_BUSY: on_drain is owed */
  RILL__ANSWER = 16,     /* the last output was for this conn alone */
  RILL__HALF_OPEN = 32,  /* counted in hub->nhalf_open */
  RILL__SECURE = 64,     /* TLS ends before rill */
  RILL__ENDED = 128,     /* the peer's side of the stream has ended */
  RILL__PINGED = 256,    /* a ping is not answered yet; |pinged| is when */
  RILL__PONG_OWED = 512, /* extra->pong waits for room in the queue */
  RILL__BLOCKED = 1024,  /* the stream took less than was pending */
  RILL__LINGER = 2048,   /* FLUSH of a client: the server closes first */
  RILL__KEEP = 4096,     /* the connection lives on after the answer */
  RILL__LISTED = 8192,   /* in hub->conns */
  RILL__BOX = 16384,     /* the queue of a polling session: no stream */
  RILL__WATCH = 32768    /* VERDICT, but an end of the stream matters */
};

/* What an outbound conn knows until it is open; client/dial.c makes it. */
typedef struct rill__dial {
  rill_dial_target target;
  rill__bytes url;     /* what target points into */
  rill__bytes request; /* the whole opening handshake */
  char accept[29];     /* the Sec-WebSocket-Accept to expect */
  int (*input)(rill_conn *c, uint8_t *data, size_t len); /* in HELLO */
} rill__dial;

/* What few conns need, made when needed. */
typedef struct rill__conn_extra {
  rill__bytes held;           /* input that a pause keeps */
  rill_time throttled_until;  /* reading goes on then */
  rill_time throttled_since;  /* first throttled without having caught up */
  rill_time slow;             /* with SOFT: since when */
  uint8_t pong[125];          /* the newest unanswered ping's payload */
  uint8_t pong_len;
  rill__bytes address;        /* where it is not the address record's */
  rill__dial *dial;           /* of an outbound conn */
  bool held_due;              /* the next tick feeds what is held */
} rill__conn_extra;

/* What a fan-out touches comes first, in one or two lines of the cache. */
struct rill_conn {
  rill__link ready; /* hub->ready */
  rill__outq out;
  uint16_t flags;
  uint16_t sent_code; /* of the close frame that was sent, or 0 */
  uint8_t state;
  union {
    uint8_t variant; /* OPEN: fanout.h */
    uint8_t cause;   /* CLOSING: rill_cause of this side's close */
  };
  uint16_t port;
  rill_hub *hub;
  rill_conn_arg arg;
  rill__conn_extra *extra;
  rill__peer *peer; /* the first of its peers; see rill__peer_sibling */
  rill__session *session; /* of a dialect that has sessions */
  rill__timer timer;
  rill_time since;
  rill_time heard;  /* the last bytes */
  rill_time pinged; /* when the outstanding ping was sent */
  rill_time controls; /* the bucket of control frames */
  union {
    rill__http *http;      /* in HTTP and HELLO: the head on its way */
    rill_request *request; /* in VERDICT, until it is answered */
  };
  rill__ws ws;
  union {
    rill__link all; /* in hub->conns, until it is OPEN */
    struct {
      rill_time messages, bytes; /* buckets, from then on */
    } rate;
  } u;
  rill__address *address;
};

static inline bool rill__conn_is(const rill_conn *c, unsigned flag) {
  return (c->flags & flag) != 0;
}

void rill__conn_ready(rill_conn *c);
/* Recomputes when the conn's timer is due. */
void rill__conn_arm(rill_conn *c);
rill__conn_extra *rill__conn_extra_of(rill_conn *c); /* NULL: no memory */
bool rill__conn_hold(rill_conn *c, const uint8_t *data, size_t len);

/* A conn with nothing decided yet: shared by accept and dial. */
int rill__conn_make(rill_conn **out, rill_hub *hub, rill__state state);

/* Frees a dead conn and what it holds. */
void rill__conn_drop(rill_conn *c);

/* Queues bytes that are not messages; false: no memory, the conn is cut. */
bool rill__conn_write(rill_conn *c, const void *data, size_t len);

/* Ends input; what is queued still goes out, then DEAD. */
void rill__conn_flush(rill_conn *c);
/* Ends at once. */
void rill__conn_kill(rill_conn *c);
/* Ends a conn in DIAL or HELLO: it did not come to be open. */
void rill__conn_dial_fail(rill_conn *c, rill_cause cause, int status,
                          const char *reason);

/* Feeds what a pause has kept, as far as it goes. */
void rill__conn_feed_held(rill_conn *c);

/* Must what is fed wait? */
bool rill__conn_held_back(const rill_conn *c);
/* Has the next tick feed what was held. */
void rill__conn_held_due(rill_conn *c);
/* The queue of a box is empty: what an adapter's last rill_sent does. */
void rill__conn_emptied(rill_conn *c);

/* What came behind a handshake: read now, or kept for a peer that pauses. */
int rill__conn_early(rill_conn *c, uint8_t *data, size_t len);

/* ---- conn_http.c: HTTP and VERDICT ---- */
int rill__conn_http_input(rill_conn *c, uint8_t *data, size_t len);
void rill__conn_http_error(rill_conn *c, int status, const char *reason);
void rill__conn_http_next(rill_conn *c); /* after an answer */
/* Has the next tick read what was held behind a request. */
void rill__conn_http_again(rill_conn *c);
void rill__conn_http_timeout(rill_conn *c);

/* ---- conn_ws.c: OPEN and CLOSING ---- */
int rill__conn_ws_input(rill_conn *c, uint8_t *data, size_t len);
void rill__conn_ws_open(rill_conn *c); /* the handshake is done */
/* The conn's part of that; |variant| is set. */
void rill__conn_opened(rill_conn *c);
/* As rill__ws_sink.on_message: gives |msg| to |p|. */
int rill__conn_ws_deliver(rill_conn *c, rill__peer *p, const rill_msg *msg);
/* Charges the rates for a message of |len| bytes. */
void rill__conn_charge(rill_conn *c, size_t len);
/* The answer to a ping is there. */
void rill__conn_pong(rill_conn *c);
/* The other side has said that it is over: no close frame. */
void rill__conn_ws_gone(rill_conn *c, rill_cause cause, const char *reason);
/* Begins a close: the frame is queued, |cause| is kept. */
void rill__conn_ws_close(rill_conn *c, rill_cause cause, unsigned code,
                         rill_str reason);
/* A failure of the peer's: close frame, on_close, no more input. */
void rill__conn_ws_fail(rill_conn *c, rill_cause cause, unsigned code,
                        const char *reason);
/* No close frame. */
void rill__conn_ws_cut(rill_conn *c, rill_cause cause, const char *reason);
bool rill__conn_ws_frame(rill_conn *c, uint8_t first, const void *data,
                         size_t len);
void rill__conn_ws_pong(rill_conn *c); /* the one that is owed */
void rill__conn_ws_ping(rill_conn *c);

/* ---- heartbeat.c ---- */
rill_time rill__heartbeat_due(const rill_conn *c);
void rill__heartbeat_tick(rill_conn *c);
/* Reading goes on: the silence until now does not count. */
void rill__heartbeat_again(rill_conn *c);
/* Stops reading until |until|. */
void rill__throttle(rill_conn *c, rill_time until);

/* ---- send.c: messages ---- */
/* In the conn's own format: 0, RILL_BUSY or an error of rill_send. */
int rill__conn_send_item(rill_conn *c, const rill__item *item,
                         rill_overflow overflow);
/* Queues |count| encoded messages of |kind|, bytes [from, to) of |chunk|. */
int rill__conn_queue(rill_conn *c, rill__chunk *chunk, uint32_t from,
                     uint32_t to, uint32_t count, uint32_t kind,
                     rill_overflow overflow);
/* Queues |chunk|, a key and one frame, or puts it in an older one's place. */
int rill__conn_queue_keyed(rill_conn *c, rill__chunk *chunk,
                           rill_overflow overflow);

#endif
