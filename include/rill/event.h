/*
 * rill/event.h - events: a name and arguments, with an optional answer.
 *
 * Peers of the dialects RILL_SOCKETIO and RILL_JSON send events, and peers
 * of every dialect get them: each emit is encoded once per way of writing
 * it, whoever the receivers are.
 *
 *   RILL_SOCKETIO  an EVENT packet, as socket.io-client expects it
 *   RILL_JSON      an envelope, see rill-protocol(7)
 *   RILL_SSE       event: NAME, data: the argument as JSON (of several the
 *                  array, of none null); text of rill_send as it is
 *   RILL_RAW       the text ["NAME",arguments...]
 *   RILL_ENGINEIO  the same
 *
 * Events live in a namespace, "/" unless said otherwise.  Namespaces are
 * worlds of their own: rooms of the same name in two of them are two rooms,
 * and an emit reaches peers of one.  Users span them.
 */
#ifndef RILL_EVENT_H
#define RILL_EVENT_H

#include <rill/room.h>
#include <rill/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A namespace beside "/", which always exists.  |name| begins with "/"; one
 * that ends in "*" stands for all that begin with what is before it, each a
 * namespace of its own, made when a peer first connects to it; |allow|,
 * where set, is then asked whether there may be one of that name.
 * |handlers| and |arg| take the place of the route's for its peers.  |opts|
 * is copied.  A call for "/" sets its options.
 *
 * RILL_ERR_ARG     the name is none
 * RILL_ERR_EXISTS  there is one of that name
 * RILL_ERR_STATE   ("/") peers are there already
 * RILL_ERR_NOMEM   out of memory
 */
typedef struct rill_space_opts {
  const rill_handlers *handlers; /* NULL: the route's */
  void *arg;
  bool (*allow)(rill_str name, void *arg);
  /*
   * Recovery: who loses its connection without having closed it stays, away
   * but in its rooms, for recovery_ms; who comes back within that time with
   * the secret of its session gets what it missed, as far as the rings of
   * its rooms reach (rill_room_opts.history, which recovery turns on for
   * every room of the namespace).  on_away and on_back tell the host.
   */
  bool recovery;
} rill_space_opts;
RILL_API int rill_space(rill_hub *hub, const char *name,
                        const rill_space_opts *opts);
/* The namespace of a peer or a room's peers; borrowed while the hub lives. */
RILL_API rill_str rill_peer_space(rill_peer peer);

/* An event in a handler, borrowed for the call. */
typedef struct rill_event rill_event;

RILL_API rill_str rill_event_name(const rill_event *ev);
RILL_API size_t rill_event_count(const rill_event *ev);
/* Argument |i|, without the name; absent beyond the last. */
RILL_API rill_value rill_event_arg(const rill_event *ev, size_t i);
/* All of them as an array. */
RILL_API rill_value rill_event_args(const rill_event *ev);

/*
 * Who sent |ev| may wait for an answer.  rill_event_ack is the handle to
 * answer it with, now or later (a value, as rill_peer is: harmless when the
 * peer has gone); rill_ack answers with what |args| has at its top level,
 * NULL for nothing.  rill_event_reply is both at once, and 0 where nobody
 * waits.  One answer counts: a client ignores another, and a POST has none to
 * give.
 *
 * RILL_ERR_STATE   nobody waits, or a POST has been answered
 * RILL_ERR_CLOSED  the peer is gone
 * RILL_ERR_LIMIT   more than |attachments| bytes values
 * or the builder's error
 */
typedef struct rill_ack_to {
  rill_peer peer;
  uint64_t id;
  bool wanted;
} rill_ack_to;
RILL_API rill_ack_to rill_event_ack(const rill_event *ev);
RILL_API int rill_ack(rill_ack_to to, const rill_builder *args);
RILL_API int rill_event_reply(const rill_event *ev, const rill_builder *args);

/*
 * rill_event_fail tells the sender what is wrong with its event: an answer
 * {"error":{"code":CODE,"message":MESSAGE}} where it waits for one, else an
 * event "error" with the same object and the name of the event.  Returns 0,
 * so that a handler can return what it returns.
 */
RILL_API int rill_event_fail(const rill_event *ev, const char *code,
                             const char *message);

/*
 * A handler of events.  Returns 0, RILL_PAUSE, or a negative value, which
 * closes the peer as in rill_handlers.
 */
typedef int (*rill_event_fn)(rill_peer peer, const rill_event *ev, void *arg);

/*
 * rill_on has |fn| called for each event |name| from a peer of |space|
 * (NULL: "/"; a pattern of rill_space: all that it stands for).  One
 * handler per name; RILL_ERR_EXISTS for a second, RILL_ERR_NOT_FOUND where
 * there is no such namespace, RILL_ERR_ARG without a name or handler.
 * |name| "*" is for those that no other handler takes.
 *
 * rill_before has |fn| called for every event of |space| before its handler,
 * in the order of the calls: to log, to check, to count.  It returns 0 to go
 * on, RILL_STOP to drop the event (it has answered, if it meant to), or a
 * negative value as above.
 */
RILL_API int rill_on(rill_hub *hub, const char *space, const char *name,
                     rill_event_fn fn, void *arg);
RILL_API int rill_before(rill_hub *hub, const char *space, rill_event_fn fn,
                         void *arg);

/*
 * rill_throttle lets each peer send at most |n| events |name| per |ms|; the
 * others are answered as by rill_event_fail with "throttled", or dropped
 * without a word where |quiet|, and counted.
 */
RILL_API int rill_throttle(rill_hub *hub, const char *space, const char *name,
                           uint32_t n, uint32_t ms, bool quiet);

/*
 * rill_build empties the hub's own builder and returns it: for the arguments
 * of one emit or answer, valid until the next call of rill_build.
 */
RILL_API rill_builder *rill_build(rill_hub *hub);
/*
 * rill_build_object begins one argument, an object that needs no
 * rill_put_end: what is set on the builder are its members.
 */
RILL_API rill_builder *rill_build_object(rill_hub *hub);

/*
 * The outcome of an emit that asked for answers: once for each emit, when
 * all have answered, or left, or |ack_ms| has passed.  Asked are the peers
 * that are open then and can answer: of RILL_SOCKETIO and RILL_JSON.
 */
typedef struct rill_answer {
  rill_peer peer;
  rill_value args; /* an array */
} rill_answer;
typedef struct rill_answers {
  const rill_answer *v;
  size_t n;
  const rill_peer *missing; /* who has not answered */
  size_t nmissing;
  /* 0: all have answered; RILL_ERR_CLOSED: all that are missing have left;
   * RILL_ERR_TIMEOUT; RILL_ERR_NOMEM: an answer could not be kept */
  int status;
} rill_answers;
typedef void (*rill_answers_fn)(rill_hub *hub, const rill_answers *answers,
                                void *arg);

typedef struct rill_emit_opts {
  rill_str space; /* empty: "/" */
  rill_overflow overflow;
  /* Only the newest unsent event of that key is kept per peer. */
  rill_str key;
  bool is_volatile;  /* only to peers with nothing queued; never recovered */
  bool uncompressed;
  bool local;        /* not to other nodes, where there is a bus */
  rill_answers_fn on_answers; /* ask for answers */
  void *arg;
  uint32_t ack_ms; /* 0: ack_ms of the limits */
} rill_emit_opts;

/*
 * rill_emit sends event |name| with what |args| has at its top level (NULL:
 * no arguments) to each peer of |to|, as rill_send_to does; |opts| may be
 * NULL.  rill_emit_peer and its kin name one audience; rill_emit_peer takes
 * the namespace from the peer and returns what rill_send would (rill/hub.h).
 *
 * RILL_ERR_ARG     the name is empty, longer than name_bytes, not UTF-8, or
 *                  reserved: connect, connect_error, disconnect,
 *                  disconnecting, newListener, removeListener
 * RILL_ERR_LIMIT   acks_pending emits already wait for their answers, or
 *                  |args| has more than |attachments| bytes values
 * RILL_ERR_STATE   (rill_emit_peer) it is asked for an answer and its dialect
 *                  has none
 * RILL_ERR_NOMEM   out of memory; nobody was sent anything
 * or the builder's error
 */
RILL_API int rill_emit(rill_hub *hub, const rill_to *to, const char *name,
                       const rill_builder *args, const rill_emit_opts *opts);
RILL_API int rill_emit_peer(rill_peer peer, const char *name,
                            const rill_builder *args,
                            const rill_emit_opts *opts);
RILL_API int rill_emit_room(rill_hub *hub, rill_str room, const char *name,
                            const rill_builder *args,
                            const rill_emit_opts *opts);
RILL_API int rill_emit_user(rill_hub *hub, rill_str user, const char *name,
                            const rill_builder *args,
                            const rill_emit_opts *opts);
RILL_API int rill_emit_all(rill_hub *hub, const char *name,
                           const rill_builder *args,
                           const rill_emit_opts *opts);
/* To the rooms of |from|'s namespace, but not to |from|. */
RILL_API int rill_emit_others(rill_peer from, rill_str room, const char *name,
                              const rill_builder *args,
                              const rill_emit_opts *opts);

/*
 * In authenticate and on_open: what the client said of itself when it
 * connected to a namespace (the "auth" of socket.io-client, the "open" of the
 * JSON envelope); absent for others.  rill_request_credential finds its
 * "token".  rill_request_space is the namespace, rill_request_transport
 * "websocket", "polling" or "sse".  The headers of a Socket.IO handshake are
 * there as long as more namespaces may follow, at most connect_ms.
 */
RILL_API rill_value rill_request_auth(const rill_request *req);
RILL_API rill_str rill_request_space(const rill_request *req);
RILL_API rill_str rill_request_transport(const rill_request *req);
/*
 * rill_reject_with refuses as rill_reject, with the first argument of |data|
 * beside the reason: the "data" of socket.io-client's connect_error.
 */
RILL_API int rill_reject_with(rill_request *req, int status,
                              const char *reason, const rill_builder *data);

/*
 * rill_peer_sid is the public id of a peer, 20 characters of [A-Za-z0-9_-],
 * as socket.io-client's socket.id; borrowed while the peer lives.  Empty for
 * dialects without events.  rill_find_sid finds the peer of one.
 */
RILL_API rill_str rill_peer_sid(rill_peer peer);
RILL_API rill_peer rill_find_sid(rill_hub *hub, rill_str sid);
/* rill_peer_transport: "websocket", "polling" or "sse". */
RILL_API rill_str rill_peer_transport(rill_peer peer);

/*
 * rill_disconnect_reason is Socket.IO's name of how a peer ended: "transport
 * close", "transport error", "ping timeout", "parse error", "forced close",
 * "forced server close", "client namespace disconnect", "server namespace
 * disconnect", "server shutting down".
 */
RILL_API const char *rill_disconnect_reason(const rill_closed *closed);

#ifdef __cplusplus
}
#endif
#endif
