/*
 * peer.h - who is on the other side, as the host sees it.
 *
 * Peers live in pages that never move, so a handle is a place and a
 * generation; generations are never used twice in a hub.
 */
#ifndef RILL__PEER_H
#define RILL__PEER_H

#include "base/map.h"
#include "base/utf8.h"
#include "hub/hub.h"

/* What a peer waits to be told; see rill__peer_due. */
enum {
  RILL__DUE_CLOSE = 1,
  RILL__DUE_DRAIN = 2,
  RILL__DUE_JOINS = 4,
  RILL__DUE_INPUT = 8,  /* held input may be fed again */
  RILL__DUE_OPEN = 16,  /* accepted: on_open */
  RILL__DUE_QUEUED = 32, /* it is in the list */
  RILL__DUE_AWAY = 64,  /* it has lost its conn: on_away */
  RILL__DUE_BACK = 128  /* it has another: on_back */
};

typedef struct rill__join rill__join;
typedef struct rill__member rill__member;
typedef struct rill__in_user rill__in_user;

/* What on_close will say. */
typedef struct rill__ending {
  rill_cause cause;
  uint16_t code, sent, status;
  uint8_t reason_len;
  char reason[123];
} rill__ending;

/* What few peers need, made when needed. */
typedef struct rill__peer_rare {
  rill__join *joins; /* open requests */
  rill__ending ending;
  char address[46]; /* of its conn, which is gone; longer text is cut */
  uint8_t address_len;
  uint16_t port;
  bool ended; /* |ending| says how */
} rill__peer_rare;

/* How long ids and secrets are; nothing ends them. */
#define RILL__SID 20

/* What a peer of a dialect with events has beside. */
typedef struct rill__voice {
  rill__peer *peer;
  rill__space *space;
  rill__session *session; /* NULL: of SSE, or away */
  rill__peer *sibling;    /* the next of the same conn */
  char sid[RILL__SID];
  char secret[RILL__SID]; /* with recovery or SSE; else unused */
  UT_hash_handle by_sid, by_secret;
  struct rill__ring *ring; /* of events for it alone, with recovery */
  struct rill__rates *rates; /* of rill_throttle */
  rill__link away;         /* in hub->away, oldest first */
  rill_time away_until;
  struct rill__inbox *inbox; /* its user's, once it has been looked for */
  rill__link untold;       /* in hub->newcomers or inbox->untold */
  uint64_t told_to;        /* up to which it has been told */
  uint64_t since;          /* the offset when it came: it knows nothing older */
  int missed;              /* of on_back */
  rill_request *opening;   /* accepted: on_open is to see it */
  rill_request *posts;     /* SSE: events that wait for their answer */
  bool ack_taken;          /* its event will be answered later */
  bool secretive;          /* it is in hub->secrets */
  bool told_away;          /* what the host was told last */
} rill__voice;

struct rill__peer {
  rill_hub *hub;
  uint32_t slot;
  uint32_t generation; /* 0: the place is free */
  rill_conn *conn;     /* NULL once the stream is gone */
  rill_route_opts *opts; /* the route's; its own where dialed */
  void *data;
  rill__in_user *user;   /* NULL: of nobody */
  rill__member *rooms;   /* its memberships */
  rill__peer_rare *rare; /* NULL: nothing of it is needed */
  rill__voice *voice;    /* NULL: it has no events */
  struct rill__attending *attending; /* NULL: it has no presence */
  rill__peer *due_next;
  uint32_t stamp;  /* fanout.h */
  uint32_t rtt_us; /* of the last ping; UINT32_MAX: none yet */
  uint16_t nrooms;
  uint8_t variant; /* its conn's, for the rooms' mix */
  uint8_t due;
  uint8_t protocol; /* 1 + the index in opts->subprotocols; 0: none */
  bool open;   /* from on_open until the close begins */
  bool told;   /* on_open has run: on_close is owed */
  bool dialed; /* on_close is owed in any case */
  bool away;   /* not open, but it may come back */
  bool paused; /* its conn, which may have other peers, is not read */
  bool joining; /* SSE: not open before its rooms are joined */
  bool transient; /* of one POST: never open, gone when that is answered */
};

typedef struct rill__page {
  rill__peer peers[64];
  uint32_t used;
} rill__page;

/* The peer of a handle, NULL where it is stale. */
rill__peer *rill__peer_of(rill_peer handle);
/* The peer of a handle, with an open conn. */
rill__peer *rill__peer_open(rill_peer handle);
static inline rill_peer rill__peer_handle(const rill__peer *p) {
  return (rill_peer){p->hub, p->slot, p->generation};
}

/* Frees |rare| where nothing is in it any more. */
void rill__peer_rare_settle(rill__peer *p);
/* The next of the peers of one conn; c->peer is the first. */
static inline rill__peer *rill__peer_sibling(const rill__peer *p) {
  return p->voice != NULL ? p->voice->sibling : NULL;
}
/* Makes |p| one of the peers of |c|. */
void rill__peer_bind(rill__peer *p, rill_conn *c);
/* Its handlers and their |arg|: the space's, or the route's. */
const rill_handlers *rill__peer_handlers(const rill__peer *p, void **arg);

/* voice.c: false: no memory or randomness. */
bool rill__voice_new(rill__peer *p, rill__space *space);
void rill__voice_free(rill__peer *p);
/* Gives it a secret to come back with; false: no memory or randomness. */
bool rill__voice_secret(rill__peer *p);
void rill__voice_forget_secret(rill__peer *p);
rill__peer *rill__voice_by_secret(rill_hub *hub, rill_str secret);
/* RILL__SID random characters of [A-Za-z0-9_-]; false: no randomness. */
bool rill__random_id(rill_hub *hub, char out[RILL__SID]);

/* The options of a dialed peer: a copy that lives as long as it. */
typedef struct rill__own_opts {
  rill_route_opts opts;
  size_t size;
  const char *names[];
} rill__own_opts;
void rill__own_opts_free(rill_hub *hub, rill_route_opts *opts);

/* |opts| is borrowed, its handlers are not NULL.  NULL: no memory. */
rill__peer *rill__peer_new(rill_hub *hub, rill_route_opts *opts);
rill__peer_rare *rill__peer_rare_of(rill__peer *p); /* NULL: no memory */
/* Handlers that do nothing, for who gives none. */
extern const rill_handlers rill__no_handlers;
/* Out of every room, user and list; the handle turns stale. */
void rill__peer_free(rill__peer *p);
/* The next peer at or behind |*slot| (of any state), or NULL. */
rill__peer *rill__peer_next(rill_hub *hub, uint32_t *slot);

/* It waits for nothing any more. */
void rill__peer_undue(rill__peer *p);
/* Has |what| told to the peer when the call that runs, or a tick, ends. */
void rill__peer_due(rill__peer *p, unsigned what);
/* Parts it from its conn; what on_close may ask of that is kept. */
void rill__peer_unbind(rill__peer *p);
/* It is open from now on; |variant| of its conn is set. */
void rill__peer_opened(rill__peer *p);
/* It speaks otherwise from now on. */
void rill__peer_speaks(rill__peer *p, unsigned variant);
/* It is no longer open; its end follows. */
void rill__peer_stop(rill__peer *p);
/* Is one of the peers of |c| paused? */
bool rill__peers_paused(const rill_conn *c);
/* Ends it alone, not its conn, which has said so. */
void rill__peer_part(rill__peer *p, rill_cause cause, rill_str reason);
/*
 * The peer is over: on_close when due, in which it still has its rooms.  One
 * that the host has not seen is freed at once.
 */
void rill__peer_end(rill__peer *p, rill_cause cause, unsigned code,
                    unsigned sent, unsigned status, rill_str reason);
/* Keeps what on_close will say; the peer is not over yet. */
void rill__peer_ending(rill__peer *p, rill_cause cause, unsigned code,
                       unsigned sent, unsigned status, rill_str reason);
/* Tells what is due. */
void rill__peers_deliver(rill_hub *hub);

/* 0, or the handler's negative value after the peer has been closed. */
int rill__peer_handled(rill__peer *p, int rv);

/* user.c */
int rill__user_add(rill__peer *p, rill_str name);
void rill__user_remove(rill__peer *p);
rill__user *rill__user_find(rill_hub *hub, rill_str name);
rill_str rill__user_name(const rill__peer *p);
/* Calls |fn| for each peer of |user|; |fn| frees none. */
void rill__user_each(rill__user *user, void (*fn)(void *arg, rill__peer *p),
                     void *arg);

/* join.c */
bool rill__joins_deliver(rill__peer *p); /* false: it has been freed */
void rill__joins_free(rill__peer *p);

#endif
