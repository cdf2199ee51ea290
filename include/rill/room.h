/*
 * rill/room.h - rooms: named sets of peers, and sending to many.
 *
 * A room exists while it has members.  Names are 1 to name_bytes bytes of
 * UTF-8 without control bytes.  One message to a room is encoded once,
 * whatever the number of members, and each peer gets messages in the order
 * of the calls.
 *
 * Rooms belong to the namespace of their members (rill/event.h); where a
 * function takes a hub and a room, it is the room in "/".  A message for a
 * peer of a dialect with events is the event "message" with one argument, a
 * string or bytes.
 */
#ifndef RILL_ROOM_H
#define RILL_ROOM_H

#include <rill/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * rill_join makes |peer| a member of |room| (0 if it is one already); the
 * host has decided, no hook runs.  rill_leave ends it.
 *
 * RILL_ERR_CLOSED     the peer is gone or closing
 * RILL_ERR_ARG        the name is empty or has control bytes or bad UTF-8
 * RILL_ERR_TOO_BIG    the name is longer than name_bytes
 * RILL_ERR_LIMIT      the peer is in rooms_per_peer rooms
 * RILL_ERR_NOT_FOUND  (leave) it is no member
 * RILL_ERR_NOMEM      out of memory
 */
RILL_API int rill_join(rill_peer peer, rill_str room);
RILL_API int rill_leave(rill_peer peer, rill_str room);

/*
 * rill_join_request asks authorize_join of the config, which runs after the
 * handler that asks has returned; on_joined tells the outcome.  At most
 * joins_pending may be open per peer (RILL_ERR_LIMIT).  Other errors as
 * rill_join.
 *
 * rill_join_allow and rill_join_deny answer for a hook that returned
 * RILL_LATER: RILL_ERR_NOT_FOUND if none is open for that peer and room.
 * |error| is what on_joined will say, RILL_ERR_FORBIDDEN as a rule.
 */
RILL_API int rill_join_request(rill_peer peer, rill_str room);
RILL_API int rill_join_allow(rill_peer peer, rill_str room);
RILL_API int rill_join_deny(rill_peer peer, rill_str room, int error);

/* rill_room_count is the number of members; rill_in_room asks for one. */
RILL_API size_t rill_room_count(const rill_hub *hub, rill_str room);
RILL_API size_t rill_room_count_in(const rill_hub *hub, rill_str space,
                                   rill_str room);
RILL_API bool rill_in_room(rill_peer peer, rill_str room);

/*
 * rill_room_each and rill_peer_rooms call |fn| for each member or room, in
 * no order, until it returns non-zero, which they return.  |fn| must not
 * join or leave; it may send.
 */
RILL_API int rill_room_each(rill_hub *hub, rill_str room,
                            int (*fn)(rill_peer peer, void *arg), void *arg);
RILL_API int rill_room_each_in(rill_hub *hub, rill_str space, rill_str room,
                               int (*fn)(rill_peer peer, void *arg),
                               void *arg);
RILL_API int rill_peer_rooms(rill_peer peer,
                             int (*fn)(rill_str room, void *arg), void *arg);

/*
 * The peers of one user, and all peers that on_open has told of and on_close
 * not yet: those that are away as well.  |fn| as above; it may not close.
 */
RILL_API size_t rill_user_count(rill_hub *hub, rill_str user);
RILL_API int rill_user_each(rill_hub *hub, rill_str user,
                            int (*fn)(rill_peer peer, void *arg), void *arg);
RILL_API int rill_peer_each(rill_hub *hub,
                            int (*fn)(rill_peer peer, void *arg), void *arg);

/*
 * rill_to says to whom: the union of all that is named, each peer once,
 * without those of |except| and of |except_rooms|.
 */
typedef struct rill_to {
  bool all;
  const rill_str *rooms;
  size_t nrooms;
  const rill_str *users;
  size_t nusers;
  const rill_peer *peers;
  size_t npeers;
  const rill_peer *except;
  size_t nexcept;
  const rill_str *except_rooms;
  size_t nexcept_rooms;
  rill_str space; /* the namespace (rill/event.h); empty: "/" */
} rill_to;

/*
 * rill_send_to queues |msg| for each peer of |to|.  The policy of a full
 * queue acts for each peer by itself and shows in the counters.  Sending to
 * nobody is fine.
 *
 * RILL_ERR_ARG    |kind| is none
 * RILL_ERR_NOMEM  out of memory; nobody was sent anything
 */
RILL_API int rill_send_to(rill_hub *hub, const rill_to *to,
                          const rill_msg *msg);
RILL_API int rill_send_all(rill_hub *hub, const rill_msg *msg);
RILL_API int rill_send_room(rill_hub *hub, rill_str room, const rill_msg *msg);
RILL_API int rill_send_user(rill_hub *hub, rill_str user, const rill_msg *msg);

/*
 * rill_room_defaults sets options for the rooms whose names match |pattern|:
 * a name, or a prefix and "*".  The longest matching pattern counts.  For
 * rooms that exist already as well.
 */
typedef struct rill_room_opts {
  rill_overflow overflow;
  /*
   * History: the newest events of the room are kept in memory for those who
   * come back: at most |history| of them (0: none, unless its namespace has
   * recovery), for at most |history_ms| and |history_bytes| (0: as the
   * limits say).  A room with history lives on without members until it has
   * aged away.
   */
  uint32_t history, history_ms, history_bytes;
  /*
   * Batching: events for the room are held for up to |batch_ms| and go out
   * together, in one write per member; 0 for the end of the turn.  What is
   * sent to a member otherwise does not wait, and may overtake them.
   */
  uint32_t batch_ms;
  /*
   * Durable: what is published (rill/history.h) goes into the store first,
   * and stays there: the newest |keep_count| events, for |keep_ms|, in at
   * most |keep_bytes| (0: without that limit).  Who reads or comes back
   * after |keep_ms| is not shown them any more, though nothing new came, nor
   * longer than a moment from the history in memory; numbers go on.
   */
  bool durable;
  uint32_t keep_count;
  uint64_t keep_ms, keep_bytes;
  /*
   * Presence and typing (rill/presence.h): who is there, with a grace and a
   * window of its own (0: as the limits say), and who is typing.
   */
  bool presence, typing;
  uint32_t presence_grace_ms, presence_window_ms;
} rill_room_opts;
RILL_API int rill_room_defaults(rill_hub *hub, const char *pattern,
                                const rill_room_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
