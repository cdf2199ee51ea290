/*
 * rill/hub.h - the hub: routes, requests, peers and what they send.
 *
 * A hub holds everything that shares rooms.  It belongs to one thread; a
 * program may have as many hubs as it likes.  The only call that other
 * threads may make is rill_post.
 *
 * Handlers run inside rill_feed, rill_feed_end, rill_dialed and rill_tick
 * (rill/conn.h), never inside a command: rill_send, rill_close, rill_join
 * and the others below only queue.  So no handler is entered from inside
 * another, and every command is legal in every handler.  Only rill_feed,
 * rill_tick, rill_conn_free and rill_hub_free are not; they assert it.
 */
#ifndef RILL_HUB_H
#define RILL_HUB_H

#include <rill/base.h>
#include <rill/limits.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_hub rill_hub;
typedef struct rill_request rill_request;

/*
 * rill_peer names who is on the other side: a handle, passed by value.  It
 * carries a generation, so a handle whose peer has gone is harmless: every
 * call with it returns RILL_ERR_CLOSED or nothing, for as long as its hub
 * lives.  The zero value names nobody.
 */
typedef struct rill_peer {
  rill_hub *hub;
  uint32_t slot;
  uint32_t generation;
} rill_peer;

static inline bool rill_peer_eq(rill_peer a, rill_peer b) {
  return a.hub == b.hub && a.slot == b.slot && a.generation == b.generation;
}

typedef enum rill_kind { RILL_TEXT = 1, RILL_BINARY = 2 } rill_kind;

/*
 * What happens to a message for a peer whose output queue has reached
 * queue_bytes or queue_count.  A message for an empty queue is always taken.
 */
typedef enum rill_overflow {
  RILL_OVERFLOW_DEFAULT, /* as the room says, then as the hub says */
  RILL_DISCONNECT,       /* close the peer with 4008 "slow" (the default) */
  RILL_DROP_NEWEST,      /* this message is not queued; it is counted */
  RILL_DROP_OLDEST       /* the oldest unsent messages make room */
} rill_overflow;

/*
 * rill_msg is one whole message.  |data| of a message in a handler is
 * borrowed for the call; rill_send and its kin copy or share it as needed.
 * Text must be UTF-8 (what arrives has been checked; what is sent is the
 * host's promise).  With |key| set only the newest unsent message of that
 * key is kept per peer: it takes the place of the older one.
 */
typedef struct rill_msg {
  const void *data;
  size_t len;
  rill_kind kind;
  rill_overflow overflow;
  rill_str key;
  bool uncompressed; /* do not deflate this one */
} rill_msg;

/* rill_text makes a text message of a terminated string, borrowed. */
RILL_API rill_msg rill_text(const char *text);

/* Why a peer is gone; |code| of rill_closed says what was on the wire. */
#define RILL_CAUSES(X)                                                         \
  X(PEER, "the peer closed")                                                   \
  X(HOST, "the host closed")                                                   \
  X(EOF, "the stream ended without a close")                                   \
  X(IO, "the stream failed")                                                   \
  X(PROTO, "protocol error")                                                   \
  X(UTF8, "text that is not UTF-8")                                            \
  X(TOO_BIG, "message too big")                                                \
  X(FLOOD, "more than the limits allow")                                       \
  X(TIMEOUT, "no sign of life")                                                \
  X(SLOW, "does not read fast enough")                                         \
  X(OVERLOAD, "the hub is short of memory for queues")                         \
  X(DRAIN, "the hub is draining")                                              \
  X(HANDLER, "a handler returned an error")                                    \
  X(NOMEM, "out of memory")                                                    \
  X(DIAL, "could not be reached")                                              \
  X(REFUSED, "the handshake was refused")

typedef enum rill_cause {
  RILL_CAUSE_NONE,
#define RILL_X(name, text) RILL_CAUSE_##name,
  RILL_CAUSES(RILL_X)
#undef RILL_X
} rill_cause;

RILL_API const char *rill_cause_text(rill_cause cause);

/*
 * Close codes (RFC 6455 section 7.4, the IANA registry, and rill's own).
 * Codes below 4500 tell a client to come back, 4500 to 4999 not to.
 */
enum {
  RILL_CLOSE_NORMAL = 1000,
  RILL_CLOSE_GOING_AWAY = 1001,
  RILL_CLOSE_PROTOCOL = 1002,
  RILL_CLOSE_UNSUPPORTED = 1003,
  RILL_CLOSE_NONE = 1005,     /* never on the wire: no code was given */
  RILL_CLOSE_ABNORMAL = 1006, /* never on the wire: no close frame came */
  RILL_CLOSE_INVALID = 1007,
  RILL_CLOSE_POLICY = 1008,
  RILL_CLOSE_TOO_BIG = 1009,
  RILL_CLOSE_EXTENSION = 1010,
  RILL_CLOSE_ERROR = 1011,
  RILL_CLOSE_RESTART = 1012,
  RILL_CLOSE_AGAIN = 1013,
  RILL_CLOSE_SLOW = 4008,
  RILL_CLOSE_OVERLOAD = 4013
};

/*
 * rill_closed is what on_close tells.  |code| is the code that the other
 * side sent; where it sent none, 1005, and without any close frame 1006.
 * |sent| is what this side sent, likewise; 0 for no close frame.  |reason| is
 * the other side's, valid UTF-8, borrowed; where |code| is 1006 it is this
 * side's explanation.  |status| is the HTTP status of a dialed handshake that
 * was refused, else 0.
 */
typedef struct rill_closed {
  rill_cause cause;
  uint16_t code;
  uint16_t sent;
  uint16_t status;
  rill_str reason;
} rill_closed;

/*
 * The handlers of a route or a dialed peer: a static const table; any may
 * be NULL.  |arg| is the route's.  A handler that returns a negative value
 * closes the peer with 1011 and cause RILL_CAUSE_HANDLER.
 */
typedef struct rill_handlers {
  /*
   * on_open: the peer is there and may be sent to.  |req| is its handshake,
   * borrowed for the call.  Returns 0 or a negative value.
   */
  int (*on_open)(rill_peer peer, const rill_request *req, void *arg);
  /*
   * on_message: one whole message.  Returns RILL_PAUSE, negative, or 0;
   * what rill_send returned is fine too: RILL_ERR_FULL and RILL_ERR_CLOSED
   * count as 0.
   */
  int (*on_message)(rill_peer peer, const rill_msg *msg, void *arg);
  /* on_drain: after RILL_BUSY the queue is empty again.  0 or negative. */
  int (*on_drain)(rill_peer peer, void *arg);
  /*
   * on_joined: the answer to rill_join_request: 0 or RILL_ERR_*.  A client's
   * own request ends without one where its connection is lost.
   */
  int (*on_joined)(rill_peer peer, rill_str room, int status, void *arg);
  /*
   * on_close: exactly once for each peer, and last.  The handle is still
   * good in here (for rill_peer_data, rill_peer_user, its rooms), then
   * stale.
   */
  void (*on_close)(rill_peer peer, const rill_closed *closed, void *arg);
  /*
   * on_away and on_back, where its namespace has recovery (rill/event.h):
   * the peer has lost its connection; it is back.  While it is away it is
   * not open but stays in its rooms, and events for it are kept.  |missed|
   * is 0 where it gets every event that it missed, RILL_ERR_LIMIT where some
   * are no longer kept.  Who does not come back in time hears on_close.
   * Return 0 or a negative value.
   */
  int (*on_away)(rill_peer peer, void *arg);
  int (*on_back)(rill_peer peer, int missed, void *arg);
} rill_handlers;

/*
 * rill_config is filled by rill_config_init and then changed where needed.
 * The hub copies it.  Each hook gets |arg| of the config.
 */
typedef struct rill_config {
  size_t size; /* set by rill_config_init */
  void *arg;

  rill_alloc_fn alloc; /* NULL: libc */
  void *alloc_arg;
  rill_random_fn random; /* NULL: the adapter's */
  rill_wall_fn wall;     /* NULL: the adapter's */
  rill_log_fn log;       /* NULL: no log */
  rill_log_level log_level;

  /*
   * authenticate says who opens a peer, before any answer is on the wire:
   * it calls rill_accept or rill_reject and returns what they returned, or
   * returns RILL_LATER and calls one of them later.  A negative value is a
   * refusal with 500.  NULL accepts everybody as nobody in particular.
   */
  int (*authenticate)(rill_request *req, void *arg);

  /*
   * authorize_join answers rill_join_request: 0 to allow, RILL_LATER (then
   * rill_join_allow or rill_join_deny), or negative to deny.
   */
  int (*authorize_join)(rill_peer peer, rill_str room, void *arg);

  /*
   * charge weighs a message for the rate limit: how many messages it
   * counts as, 0 for free.  NULL counts each as one.
   */
  uint32_t (*charge)(rill_peer peer, const rill_msg *msg, void *arg);

  /*
   * Origins allowed to open peers from a browser: exact serialized origins
   * ("https://example.org"), "*" for all.  A request without an Origin is
   * no browser's and passes.  With none listed a browser's page must come
   * from the host that the request names.
   */
  const char *const *origins;
  size_t norigins;

  /*
   * Addresses of proxies whose X-Forwarded-For is believed: "10.0.0.0/8",
   * "::1", "unix" for peers of Unix sockets.
   */
  const char *const *proxies;
  size_t nproxies;

  rill_overflow overflow; /* RILL_DISCONNECT unless set */
  rill_limits limits;
} rill_config;

/* rill_config_init fills |config| with the defaults of rill-limits(7). */
#define rill_config_init(config)                                               \
  rill_config_init_((config), sizeof(rill_config))
RILL_API void rill_config_init_(rill_config *config, size_t size);

/*
 * rill_hub_new makes a hub; |config| NULL means the defaults.  The caller
 * frees it with rill_hub_free after the adapter has let go of it.
 *
 * RILL_ERR_ARG    a limit is 0 or above its maximum; a proxy is no address
 * RILL_ERR_NOMEM  out of memory
 */
RILL_API int rill_hub_new(rill_hub **out, const rill_config *config);

/*
 * rill_hub_free frees |hub| and all of its peers, without running a
 * handler.  Every conn must have been freed.  NULL is fine.
 */
RILL_API void rill_hub_free(rill_hub *hub);

/*
 * rill_hub_provide sets randomness and wall-clock where the config left
 * them NULL.  Adapters call it; a host with its own loop does too, or fills
 * the config.
 */
RILL_API void rill_hub_provide(rill_hub *hub, rill_random_fn random,
                               rill_wall_fn wall, void *arg);

/*
 * rill_at_free has |fn| run inside rill_hub_free, the newest first: for
 * what a helper attached to the hub.  RILL_ERR_NOMEM: out of memory.
 */
RILL_API int rill_at_free(rill_hub *hub, void (*fn)(void *arg), void *arg);

/* How a client speaks. */
typedef enum rill_dialect {
  RILL_RAW, /* WebSocket; each message is one of the host's own */
  /*
   * Engine.IO v4 (long-polling, WebSocket, and the upgrade between them);
   * each message is one of the host's own.
   */
  RILL_ENGINEIO,
  RILL_SOCKETIO, /* Socket.IO v5 over Engine.IO v4: events */
  /*
   * Events in the envelope of rill-protocol(7) over WebSocket: subprotocol
   * "rill.json.v1" (also where none is asked for) or "rill.msgpack.v1".
   */
  RILL_JSON,
  /*
   * A stream of server-sent events on GET: the peer joins the room that
   * ":room" of the path names and each "room" of the query, if
   * authorize_join allows; without it 403 is the answer.  Its first event is
   * "session" with {"sid":..., "session":SECRET, "recovered":BOOL}.  POST of
   * {"event":NAME,"args":[...],"session":SECRET} to the same path is an
   * event from that peer; without a session from one that authenticate
   * accepts and that lives until it is answered.  The answer is
   * {"args":[...]} once the handler has answered, or has returned without
   * wanting to.
   */
  RILL_SSE
} rill_dialect;

/*
 * permessage-deflate (RFC 7692) of a route or a dialed peer.  Without
 * context takeover a connection holds no zlib state between messages; with
 * it about (1 << window bits) * 4 + (memory level) * 512 bytes for sending
 * and (1 << window bits) + 7 KiB for receiving.
 */
typedef struct rill_deflate_opts {
  bool enabled;
  bool server_context_takeover; /* may the server keep its window? */
  bool client_context_takeover; /* may the client keep its window? */
  uint8_t server_max_window_bits; /* 9 to 15; 0 means 12 */
  uint8_t client_max_window_bits; /* 9 to 15; 0 means 12 */
  uint8_t level;                  /* 1 to 9; 0 means 1 */
  uint8_t memory_level;           /* 1 to 9; 0 means 5 */
  uint32_t threshold;             /* shorter messages stay plain; 0: 1024 */
} rill_deflate_opts;

typedef struct rill_route_opts {
  const rill_handlers *handlers; /* borrowed as long as the hub lives */
  void *arg;
  rill_deflate_opts deflate;
  const char *const *subprotocols; /* by preference; borrowed as the hub */
  size_t nsubprotocols;
  bool any_origin; /* do not check the Origin on this route */
  /*
   * RILL_ENGINEIO, RILL_SOCKETIO: a cookie of that name is set to the
   * session's id, for load balancers that keep a client at one server;
   * borrowed as the hub.  NULL: none.
   */
  const char *cookie;
} rill_route_opts;

/*
 * rill_route serves |dialect| at |path|: an absolute path in which a
 * segment ":name" matches any one segment (rill_request_param) and a last
 * segment "*" any rest.  |opts| is copied.
 *
 * RILL_ERR_ARG     the path is none; a window or level is out of range
 * RILL_ERR_EXISTS  there is a route with that path
 * RILL_ERR_NOMEM   out of memory
 */
RILL_API int rill_route(rill_hub *hub, const char *path, rill_dialect dialect,
                        const rill_route_opts *opts);

/*
 * rill_handle answers plain requests at |path| (see rill_route) with |fn|,
 * which calls rill_respond and returns 0, or returns RILL_LATER and responds
 * later.  |method| is "GET" (HEAD is answered with it), "POST", ..., or "*".
 * A negative return is answered with 500.
 */
typedef int (*rill_request_fn)(rill_request *req, void *arg);
RILL_API int rill_handle(rill_hub *hub, const char *method, const char *path,
                         rill_request_fn fn, void *arg);

/*
 * A request is borrowed for the call in which it was handed out.  A hook
 * that returns RILL_LATER takes it over, until exactly one call of
 * rill_accept, rill_reject or rill_respond gives it back; the client may
 * have left by then, which that call says with RILL_ERR_CLOSED.
 */
RILL_API rill_str rill_request_method(const rill_request *req);
RILL_API rill_str rill_request_path(const rill_request *req);
/* rill_request_param is what ":name" of the route's path matched, raw. */
RILL_API rill_str rill_request_param(const rill_request *req, const char *name);
/* rill_request_query is the first |name| of the query, percent-decoded. */
RILL_API rill_str rill_request_query(const rill_request *req, const char *name);
/* rill_request_header is the first |name| header; names match in any case. */
RILL_API rill_str rill_request_header(const rill_request *req,
                                      const char *name);
RILL_API rill_str rill_request_body(const rill_request *req);
/* rill_request_address is the client's, proxies considered: "192.0.2.7". */
RILL_API rill_str rill_request_address(const rill_request *req);
/*
 * rill_request_credential is what the client offers to say who it is: the
 * token of "Authorization: Bearer", else "token" of the query.
 */
RILL_API rill_str rill_request_credential(const rill_request *req);
RILL_API rill_hub *rill_request_hub(const rill_request *req);

/*
 * rill_accept opens the peer, for |user| (copied; may be empty).
 * rill_reject answers with HTTP |status| (400 to 599) and |reason| in a JSON
 * body.  Both return 0 so that a hook can return what they return.
 *
 * RILL_ERR_CLOSED   the client has left, or the hub drains (answered with
 *                   503); the request is given back all the same
 * RILL_ERR_STATE    the request was answered before; or rill_accept of a
 *                   plain request, which is then still to be answered
 * RILL_ERR_ARG      |user| has control bytes or bad UTF-8; answered with 500
 * RILL_ERR_TOO_BIG  |user| is longer than name_bytes; answered with 500
 * RILL_ERR_NOMEM    out of memory; the connection is closed
 */
RILL_API int rill_accept(rill_request *req, rill_str user);
RILL_API int rill_reject(rill_request *req, int status, const char *reason);

typedef struct rill_header {
  const char *name, *value;
} rill_header;

/* |body| is copied.  |type| NULL means "text/plain; charset=utf-8". */
typedef struct rill_response {
  int status; /* 200 to 599; 0 means 200 */
  const char *type;
  const void *body;
  size_t body_len;
  const rill_header *headers;
  size_t nheaders;
} rill_response;

/*
 * rill_respond answers a plain request.  Names must be tokens and values
 * free of control bytes (RFC 9110 section 5.5).
 *
 * RILL_ERR_ARG     a header or the status is not valid; answered with 500
 * RILL_ERR_CLOSED  the client has left
 * RILL_ERR_STATE   the request was answered before
 * RILL_ERR_NOMEM   out of memory; the connection closes
 */
RILL_API int rill_respond(rill_request *req, const rill_response *response);

/*
 * rill_send queues |msg| for |peer|.  Returns 0, or RILL_BUSY: taken, but
 * soft_bytes or soft_count are reached; on_drain will follow.
 *
 * RILL_ERR_CLOSED  the peer is gone or closing
 * RILL_ERR_FULL    the queue is full and the policy dropped this message
 * RILL_ERR_ARG     |kind| is none
 * RILL_ERR_NOMEM   out of memory; the peer is closed, since it would miss it
 */
RILL_API int rill_send(rill_peer peer, const rill_msg *msg);

/*
 * rill_close starts the close handshake after what is queued: |code| 1000 to
 * 1003, 1007 to 1014, 3000 to 4999; |reason| at most 123 bytes of UTF-8, may
 * be NULL.
 *
 * Of a Socket.IO client it ends the one namespace, which has neither code nor
 * reason; rill_cut ends its whole connection.
 *
 * RILL_ERR_ARG     |code| or |reason| is not valid
 * RILL_ERR_CLOSED  the peer is gone or closing
 */
RILL_API int rill_close(rill_peer peer, int code, const char *reason);

/* rill_cut ends |peer| at once, without a close handshake. */
RILL_API int rill_cut(rill_peer peer);

/*
 * rill_pause stops reading from |peer| (at most what was read already is
 * kept); rill_resume goes on, at the next tick.
 */
RILL_API int rill_pause(rill_peer peer);
RILL_API int rill_resume(rill_peer peer);

/* rill_is_open is true from on_open until the close begins. */
RILL_API bool rill_is_open(rill_peer peer);
/* rill_peer_id is unique for the hub's life; 0 for a stale handle. */
RILL_API uint64_t rill_peer_id(rill_peer peer);
/* The user of rill_accept; borrowed while the peer lives. */
RILL_API rill_str rill_peer_user(rill_peer peer);
RILL_API rill_str rill_peer_subprotocol(rill_peer peer);
/* The client's address as text; borrowed while the peer lives. */
RILL_API rill_str rill_peer_address(rill_peer peer);
/* The client's port, as its conn was told; 0 where it has none. */
RILL_API uint16_t rill_peer_port(rill_peer peer);
/* A pointer of the host's per peer; NULL at first.  Free it in on_close. */
RILL_API void *rill_peer_data(rill_peer peer);
RILL_API int rill_peer_set_data(rill_peer peer, void *data);
/* Round trip of the last ping, in ns; RILL_NEVER before the first pong. */
RILL_API rill_time rill_peer_rtt(rill_peer peer);
/* Bytes queued and not yet taken by the adapter. */
RILL_API size_t rill_peer_queued(rill_peer peer);
/* rill_ping sends a ping now, outside of the heartbeat. */
RILL_API int rill_ping(rill_peer peer);
/* rill_peers counts the open peers of |hub|. */
RILL_API size_t rill_peers(const rill_hub *hub);

/*
 * rill_post has |fn| run on the hub's thread, inside its next rill_tick.
 * The only call that any thread may make, at any time in the life of the
 * hub; |alloc| of the config must then be thread-safe, as libc's is.
 * Posts of one thread run in order.
 */
RILL_API int rill_post(rill_hub *hub, void (*fn)(rill_hub *hub, void *arg),
                       void *arg);

/*
 * rill_drain begins an orderly end: nothing new is accepted (503), and
 * the peers are closed with 1001, in random order spread evenly over
 * |spread|; what is left at |spread| + close_ms is cut.  rill_is_drained
 * turns true when the last conn is gone.
 */
RILL_API int rill_drain(rill_hub *hub, rill_time spread, rill_time now);
RILL_API bool rill_is_drained(const rill_hub *hub);

#ifdef __cplusplus
}
#endif
#endif
