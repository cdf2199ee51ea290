/*
 * rill/presence.h - who is there, and who is typing.
 *
 * Presence is of users: all peers of one user (tabs, devices) count as one,
 * with the status of the most present of them.  It is kept per room, where
 * rill_room_opts.presence is set, and per namespace, where
 * rill_presence_events was called; the two do not depend on each other.
 * Peers of nobody (without a user) are counted, and no more.
 *
 * A peer that leaves (rill_leave, a close that means it) is gone at once.
 * One that is lost (its stream ended or failed, no sign of life, a browser's
 * page closed or loaded again, the hub drains) counts as before for
 * presence_grace_ms; where its user comes back meanwhile, with the same
 * session or a new one, nobody hears of anything.
 *
 * Who joins a room with presence gets event "presence:state", and then
 * "presence:update" with what has changed, in one event for all changes
 * within presence_window_ms; what has been undone within it is not told.
 * These events are for who is there: they are not kept for those who are
 * away, who get a new "presence:state" when they are back.
 *
 *   presence:state   {room, version, count, peers, users: [USER...], next?}
 *   presence:update  {room, version, count, peers, users: [USER...], more?}
 *   USER             {userId, status, lastSeen?, state?}
 *
 * |count| users are there, with |peers| peers; |version| grows by one with
 * each update, so that a client notices one that it missed.  |next| says
 * that there are more users, beyond presence_page or 64 KiB: ask
 * "presence:list".
 * |more| says that so many have changed, beyond presence_named or 64 KiB, that
 * none is named: the counts are right, names are for "presence:list".
 * |lastSeen| (milliseconds since 1970) is of those who are offline.  |state|
 * null: it had one and has none any more.
 */
#ifndef RILL_PRESENCE_H
#define RILL_PRESENCE_H

#include <rill/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of several peers' the greatest counts. */
typedef enum rill_status {
  RILL_STATUS_OFFLINE, /* of a peer that is there: it does not show itself */
  RILL_STATUS_AWAY,    /* it said so, or has done nothing for idle_ms */
  RILL_STATUS_ONLINE,
  RILL_STATUS_BUSY
} rill_status;
/* "offline", "away", "online", "busy". */
RILL_API const char *rill_status_text(rill_status status);

/* A user, or one peer; borrowed for the call that hands it out. */
typedef struct rill_presence {
  rill_str user;         /* empty: a peer of nobody */
  rill_peer peer;        /* nobody where it is about a user */
  rill_status status;
  uint64_t last_seen_ms; /* of who is offline; 0: not known */
  rill_value state;      /* of a user: what its peers set last */
} rill_presence;

/*
 * What a peer shows, in all of its rooms and its namespace.  rill_show sets
 * its status: RILL_STATUS_ONLINE until then.  rill_show_state sets a value
 * for the others to see (copied; null or absent: none): a place, a colour.
 * rill_beat is a sign of life, see heartbeat_ms below.
 *
 * RILL_ERR_CLOSED   the peer is gone or away
 * RILL_ERR_ARG      the status is none; bytes in the value
 * RILL_ERR_TOO_BIG  the value, as MessagePack, is longer than
 *                   presence_state_bytes, or nested deeper than 29
 * RILL_ERR_NOMEM    out of memory
 */
RILL_API int rill_show(rill_peer peer, rill_status status);
RILL_API int rill_show_state(rill_peer peer, rill_value state);
RILL_API int rill_beat(rill_peer peer);

/*
 * Questions about a room, or where |room| is empty about the namespace.
 * They answer for this moment, before others have been told.  |space| empty:
 * "/".
 *
 * rill_presence_count is O(1).  rill_presence_users and rill_presence_peers
 * call |fn| for each user who is not offline, or each peer, in no order,
 * until it returns non-zero, which they return; |fn| may send, and must not
 * join, leave, show or watch.  rill_presence_user is one user: |*out| is
 * offline where nobody knows it, and its |state| always absent.
 *
 * RILL_ERR_NOT_FOUND  nobody is there, or presence is not on
 */
typedef struct rill_occupancy {
  uint32_t peers;     /* that are there, of users or of nobody */
  uint32_t users;     /* not offline: the sum of the next three */
  uint32_t away, online, busy;
} rill_occupancy;
RILL_API int rill_presence_count(rill_hub *hub, rill_str space, rill_str room,
                                 rill_occupancy *out);
RILL_API int rill_presence_users(rill_hub *hub, rill_str space, rill_str room,
                                 int (*fn)(const rill_presence *user,
                                           void *arg),
                                 void *arg);
RILL_API int rill_presence_peers(rill_hub *hub, rill_str space, rill_str room,
                                 int (*fn)(const rill_presence *peer,
                                           void *arg),
                                 void *arg);
RILL_API int rill_presence_user(rill_hub *hub, rill_str space, rill_str room,
                                rill_str user, rill_presence *out);

/*
 * rill_watch has |peer| told of the status of |users| in its namespace, by
 * events "presence:update" USER, whether they share a room or not; all of
 * them or none.  rill_unwatch ends it; users that were not watched are fine.
 *
 * RILL_ERR_CLOSED  the peer is gone or away
 * RILL_ERR_STATE   rill_presence_events was not called for its namespace
 * RILL_ERR_ARG     a name is none
 * RILL_ERR_TOO_BIG a name is longer than name_bytes
 * RILL_ERR_LIMIT   more than presence_watched in all
 * RILL_ERR_NOMEM   out of memory
 */
RILL_API int rill_watch(rill_peer peer, const rill_str *users, size_t n);
RILL_API int rill_unwatch(rill_peer peer, const rill_str *users, size_t n);

/*
 * rill_presence_events keeps presence for |space| (as rill_on), before its
 * first peer comes, and gives its peers these events:
 *
 *   presence:heartbeat {}  a sign of life
 *   presence:update {status?, state?}  as rill_show and rill_show_state
 *   presence:list {room?, after?, view?}  a page of a room that it is in, of
 *       at most presence_page: as presence:state, or with |view| "peers"
 *       {room?, members: [{id?, userId?, status, state?}], next?}.  |after| is
 *       the |next| of the page before.  Without a room the namespace,
 *       where |everyone| is set
 *   presence:watch {users: [NAME...]}  as rill_watch.  Answer: {users:
 *       [USER...]}
 *   presence:unwatch {users: [NAME...]}  as rill_unwatch
 *
 * Errors are as of rill_event_fail.  |opts| is copied; NULL: all zero.
 *
 * What a simple server does, heartbeats and a sweep over a table, is
 * {.heartbeat_ms = 60000, .sweep_ms = 30000, .everyone = true}.
 *
 * RILL_ERR_STATE  peers are there already
 * or as rill_on
 */
typedef struct rill_presence_opts {
  uint32_t grace_ms, window_ms; /* of the namespace; 0: as the limits say */
  /*
   * A peer that has sent a heartbeat and then none for so long is offline
   * until the next; 0: a connection is sign of life enough.
   */
  uint32_t heartbeat_ms;
  /*
   * A peer that sends no event but heartbeats for so long is away until the
   * next; 0: only who says so.
   */
  uint32_t idle_ms;
  uint32_t sweep_ms; /* how often both are looked for at most; 0: at once */
  /*
   * Each change of a user's status is event "presence:update" USER for all
   * peers of the namespace, and who connects gets "presence:state" without
   * a room.
   */
  bool everyone;
  /*
   * Called with each change of a user's status in the namespace once it has
   * been told, as handlers are; for instance to keep when it was last seen.
   */
  void (*on_change)(rill_hub *hub, const rill_presence *user, void *arg);
  void *arg;
} rill_presence_opts;
RILL_API int rill_presence_events(rill_hub *hub, const char *space,
                                  const rill_presence_opts *opts);

/*
 * Who is typing, in rooms with rill_room_opts.typing: a user does from the
 * start that one of its peers tells until its stop, a message of that user
 * (rill_publish with its event), its leaving or its end, but at most
 * typing_ms from the last start.  Each change of the list is told to the
 * room at most once in typing_window_ms, and to who joins:
 *
 *   typing:update {room, count, users: [NAME...]}
 *
 * with all names, but at most typing_users of |count|.  It is never kept,
 * and a newer one takes the place of one that is still queued.
 *
 * rill_typing starts or stops for |peer|'s user.  rill_typing_each calls
 * |fn| for each user as rill_presence_users does.
 *
 * RILL_ERR_CLOSED     the peer is gone or away
 * RILL_ERR_NOT_FOUND  it is not in the room, or typing is not on there
 * RILL_ERR_STATE      it is of nobody
 * RILL_ERR_NOMEM      out of memory
 */
RILL_API int rill_typing(rill_peer peer, rill_str room, bool typing);
RILL_API int rill_typing_each(rill_hub *hub, rill_str space, rill_str room,
                              int (*fn)(rill_str user, void *arg), void *arg);

/*
 * rill_typing_events gives the peers of |space| (as rill_on):
 *
 *   typing:start {room}
 *   typing:stop {room}
 *   chat:typing {roomId, isTyping}
 *
 * ten starts in five seconds from a peer, the others are dropped without a
 * word (rill_throttle).  Errors as rill_on.
 */
RILL_API int rill_typing_events(rill_hub *hub, const char *space);

#ifdef __cplusplus
}
#endif
#endif
