/*
 * session.h - what lies between a conn and its peers where a dialect has
 * something of its own there: Engine.IO with its transports, Socket.IO with
 * its namespaces, the envelope with its "open".
 *
 * An Engine.IO session on long-polling has no stream.  Its output waits in a
 * conn without one, the box: a queue with limits, variant and timer like
 * every other, so that nothing that sends needs to know.  A GET takes what
 * is in the box away; where it is empty the GET waits (|poll|).
 *
 *   polling:   conn = box                        probe = NULL
 *   upgrading: conn = box                        probe = the WebSocket
 *   upgraded:  conn = the WebSocket (the box is gone)
 *
 * The session goes with its conn.
 */
#ifndef RILL__SESSION_H
#define RILL__SESSION_H

#include "hub/join.h"
#include "hub/request.h"
#include "hub/space.h"
#include "wire/socketio.h"

/* A packet whose attachments are on their way. */
typedef struct rill__parts {
  rill__bytes data;  /* the text, then the attachments */
  uint32_t text_len, n, want;
  uint32_t ends[];   /* of each attachment, in |data| */
} rill__parts;

struct rill__session {
  UT_hash_handle hh; /* in hub->sessions */
  char sid[RILL__SID];
  rill_hub *hub;
  rill__route *route;
  rill_conn *conn;
  rill_conn *probe;
  rill_request *poll;     /* a GET that waits for output */
  rill_request *post;     /* a POST of which a part could not be read yet */
  rill_request *connects; /* verdicts that are awaited */
  rill__http *head;       /* the handshake, as long as it may be asked for */
  rill__bytes address;    /* of the client, proxies considered */
  rill__parts *parts;
  rill__bytes parted;     /* namespaces that this side has ended; a hash each */
  rill_time connect_by;   /* without a peer by then it is closed */
  rill_time probe_by;     /* the probe must be an upgrade by then */
  rill_time parts_by;
  bool engineio;          /* it has a sid and transports */
  bool probed;            /* the probe has been answered */
  bool known;             /* the parser is known: the variant is right */
  bool opening;           /* Envelope: "open" has come */
};

/* A session of |c|, with a sid.  NULL: no memory. */
rill__session *rill__session_new(rill_conn *c, rill_request *req,
                                 bool engineio);
rill__session *rill__session_find(rill_hub *hub, rill_str sid);
/* |c| is over: a probe is forgotten, a session's own conn ends it. */
void rill__session_conn_gone(rill_conn *c);
/* Does a GET wait? */
bool rill__session_polled(const rill__session *s);
/* When the session itself has something to do; and does it. */
rill_time rill__session_due(const rill_conn *c);
void rill__session_tick(rill_conn *c);

/* A message of a WebSocket.  As rill__ws_sink.on_message. */
int rill__session_message(rill_conn *c, const rill_msg *msg);
/* A message in an Engine.IO packet. */
int rill__session_dispatch(rill__session *s, const rill_msg *msg);
/* A payload of long-polling, or what was held of one; engineio.c. */
int rill__session_payload(rill_conn *box, uint8_t *data, size_t len);
/* NULL is fine. */
void rill__parts_free(rill_hub *hub, rill__parts *p);
/* The handshake is kept only while there may be more namespaces. */
void rill__session_forget_head(rill__session *s);

/* The peer of the session's conn in |space|. */
rill__peer *rill__session_peer(const rill__session *s,
                               const rill__space *space);
/* This side has ended |space|: what the client still says there is dropped. */
void rill__session_parted(rill__session *s, const rill__space *space);
bool rill__session_has_parted(const rill__session *s, rill_str space);
/* An event that no handler takes. */
void rill__session_unknown(const rill_event *ev);

/* engineio.c: requests at a route of RILL_ENGINEIO and RILL_SOCKETIO. */
void rill__engineio_request(rill_request *req);
int rill__engineio_accept(rill_request *req, rill_str user);
void rill__engineio_opened(rill_conn *c); /* the 101 is written */
int rill__engineio_input(rill_conn *c, const rill_msg *msg);
/* Answers the waiting GET with what is in the box; the end of a turn. */
void rill__engineio_flush(rill_conn *box);
void rill__engineio_ping(rill_conn *c);
void rill__boxes_free(rill_hub *hub);
/* The conn of a waiting GET, or of a POST, has gone. */
void rill__engineio_lost(rill_request *req);

/* socketio.c */
int rill__socketio_input(rill__session *s, const rill_msg *msg);
void rill__socketio_connected(rill__peer *p);
void rill__socketio_refuse(rill__session *s, rill_str space,
                           const char *reason, const rill__node *data);
int rill__socketio_answer(rill__peer *p, uint64_t id, const rill__node *args);
/* Ends |p| alone, which its client is told. */
void rill__socketio_disconnect(rill__peer *p, rill_cause cause);
/* The packet breaks the protocol: the whole conn ends. */
int rill__socketio_violation(rill__session *s, int rv);

/* envelope.c */
int rill__envelope_input(rill__session *s, const rill_msg *msg);
void rill__envelope_connected(rill__peer *p, bool recovered);
void rill__envelope_refuse(rill__session *s, int status, const char *reason,
                           const rill__node *data);
int rill__envelope_answer(rill__peer *p, uint64_t id, const rill__node *args);
bool rill__envelope_speaks(const rill__peer *p);
void rill__envelope_fail(rill__peer *p, bool wants, uint64_t id,
                         const char *code, const char *message);
void rill__envelope_joined(rill__peer *p, rill_str room, int status,
                           const rill__join_how *how,
                           const rill__caught_up *caught_up);
/* room_events.c: the same to a client that asked by an event. */
void rill__room_event_joined(rill__peer *p, rill_str room, int status,
                             const rill__join_how *how,
                             const rill__caught_up *caught_up);
/* Its members: joined or left, and what it has missed. */
void rill__put_joined(rill_builder *b, rill_str room,
                      const rill__caught_up *caught_up);

/*
 * connect.c: asks authenticate whether a peer of |s| may be in |space|;
 * |auth| is its node in hub->tape or NULL.  The verdict may come later.
 */
int rill__connect_ask(rill__session *s, rill__space *space, uint32_t auth,
                      const rill__connect *how);
int rill__connect_accept(rill_request *req, rill_str user);
int rill__connect_reject(rill_request *req, int status, const char *reason,
                         const rill__node *data);
void rill__connects_drop(rill__session *s);
/* When the next verdict must be there; refuses those that are late. */
rill_time rill__connects_due(const rill__session *s);
void rill__connects_expire(rill__session *s);
/* A peer of |s|, not open yet. */
int rill__connect_peer(rill__session *s, rill__space *space, rill_str user);
/* Tells the host, where the verdict came later. */
void rill__connect_open(rill__peer *p);

/* sse.c */
void rill__sse_request(rill_request *req);
int rill__sse_accept(rill_request *req, rill_str user);
/* A room is joined, or not; false: |p| has no more to join, or is gone. */
bool rill__sse_joined(rill__peer *p, int status);
/* Begins the stream: the rooms are joined. */
void rill__sse_open(rill__peer *p);
/* What a stream has missed has been sent; 0, or why it has not. */
void rill__sse_caught_up(rill__peer *p, int status,
                         const rill__caught_up *out);
void rill__sse_fail(rill__peer *p, uint64_t id, const char *code,
                    const char *message);
/* sse_post.c: a POST, and one that authenticate has accepted. */
void rill__sse_post(rill_request *req);
int rill__sse_accept_post(rill_request *req, rill_str user);
bool rill__sse_speaks(const rill__peer *p);
void rill__sse_lost(rill_request *req);
/* Tells the event of a POST that has been accepted. */
void rill__sse_posted(rill__peer *p);
void rill__sse_posts_drop(rill__peer *p);
void rill__sse_goodbye(rill_conn *c);
void rill__sse_ping(rill_conn *c);
int rill__sse_answer(rill__peer *p, uint64_t id, const rill__node *args);

/* cors.c: what a browser of another origin may read; see origin.c. */
void rill__cors_headers(const rill_request *req, rill__bytes *out);
/* Answers OPTIONS. */
void rill__cors_preflight(rill_request *req);

#endif
