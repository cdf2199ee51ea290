/*
 * rill/notify.h - what waits for a user: notifications, and how far it has
 * read.
 *
 * A notification is for one user of one namespace.  It is in the store
 * (rill/store.h) before anybody hears of it and stays there until the user
 * has acknowledged it, it has expired, a newer one of the same key has taken
 * its place, or notify_count newer ones have pushed it out.
 *
 * All peers of the user in the namespace that have events are told:
 *
 *   notification  {id, offset, name, data, timestamp, unread, key?, expires?,
 *                 replaces?}
 *   notification:cleared  {ids: [ID...], unread} or {upTo, unread}
 *   notification:count    {unread}
 *
 * |offset| numbers them, 1, 2, 3, ...; |data| is the argument (of several
 * the array, of none null); |unread| how many there are now; |replaces| the
 * id of the one whose place it takes.  Times are milliseconds since 1970.
 * "notification:cleared" tells of those that another device has
 * acknowledged, that have expired or were pushed out.
 *
 * A peer that opens, or comes back, is told of all that are not
 * acknowledged, the oldest first, and then gets "notification:count": what
 * it knew from earlier and was not told of again has been cleared.  So a
 * client may be told twice of the same |offset|, but misses none.  Where the
 * store fails, "notification:count" is {error: {code, message}}, and all are
 * told anew as soon as the store answers.
 *
 * One that has expired, or whose place another has taken, may be told once
 * more after a restart where the store failed to remove it.
 *
 * Who does not read a peer's queue empty in time is closed, as with
 * RILL_DISCONNECT, and told again when it is back.
 */
#ifndef RILL_NOTIFY_H
#define RILL_NOTIFY_H

#include <rill/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One notification; borrowed for the call that hands it out. */
typedef struct rill_notification {
  rill_str space, user;
  rill_str id, key, name;
  rill_value args; /* an array */
  uint64_t offset, time_ms;
  uint64_t expires_ms; /* 0: never */
  size_t peers;        /* of the user that are open */
} rill_notification;

/*
 * rill_notify_events turns notifications on for |space| (as rill_on), before
 * its first peer comes, and gives its peers two events:
 *
 *   notification:ack {id} or {upTo}  it has been seen, or all up to that
 *       offset have.  What is not there counts as seen.  Answer: {cleared,
 *       unread}
 *   notification:count {}  Answer: {unread}
 *
 * Errors are as of rill_event_fail: "busy", "store", "user" from a peer of
 * nobody.  |opts| is copied; NULL: all zero.
 *
 * RILL_ERR_STATE  peers are there already
 * or as rill_on
 */
typedef struct rill_notify_events_opts {
  /*
   * Called once for each notification that was not seen: at once where the
   * user has no open peer, else where it was not acknowledged within
   * |missed_ms| (0: only the first); to send it another way.  Runs as every
   * handler does.  A program that ends meanwhile does not call it later.
   */
  void (*on_missed)(rill_hub *hub, const rill_notification *n, void *arg);
  void *arg;
  uint32_t missed_ms;
} rill_notify_events_opts;
RILL_API int rill_notify_events(rill_hub *hub, const char *space,
                                const rill_notify_events_opts *opts);

/*
 * How it went: |status| is 0 or an error of the store; of rill_notify also
 * RILL_ERR_EXISTS for an |id| that is there already, at |offset|.  |peers|
 * were told, |cleared| have been acknowledged, |unread| are left.
 */
typedef struct rill_notified {
  int status;
  rill_str space, user;
  rill_str id;
  uint64_t offset, time_ms;
  size_t peers, cleared, unread;
} rill_notified;
typedef void (*rill_notified_fn)(rill_hub *hub, const rill_notified *notified,
                                 void *arg);

typedef struct rill_notify_opts {
  rill_str space; /* empty: "/" */
  /*
   * The writer's own name for it, as long as a name may be: notifying twice
   * is notifying once while the first is there.  Empty: the hub makes one up.
   */
  rill_str id;
  /* Takes the place of those of the same key, as long as a name may be. */
  rill_str key;
  uint64_t ttl_ms;       /* it expires after so long; 0: never */
  rill_notified_fn done; /* may be NULL; runs as every handler does */
  void *arg;
} rill_notify_opts;

/*
 * rill_notify keeps event |name| with what |args| has at its top level (NULL:
 * no arguments) for |user| and tells its peers.  The user need not be there,
 * nor have been.  |opts| may be NULL.
 *
 * RILL_ERR_ARG      as rill_emit; |user|, |id| or |key| cannot be a name
 * RILL_ERR_STATE    rill_notify_events was not called for the namespace, or
 *                   |ttl_ms| without a wall clock
 * RILL_ERR_TOO_BIG  more than notify_bytes of it, or nested too deep; a name
 *                   is longer than name_bytes
 * RILL_ERR_LIMIT    store_pending operations wait (this may take three); more
 *                   than |attachments| bytes values
 * RILL_ERR_RANDOM   no randomness for an id
 * RILL_ERR_NOMEM    out of memory; nothing has been kept
 * or the builder's error.  |done| is not called in these cases.
 */
RILL_API int rill_notify(rill_hub *hub, rill_str user, const char *name,
                         const rill_builder *args,
                         const rill_notify_opts *opts);

/*
 * rill_notify_ack acknowledges one notification for |user|, rill_notify_ack_to
 * all up to |offset|; rill_notify_count asks how many are left.  |done| (NULL
 * only for the first two) is called once, as a handler.  |space| empty: "/".
 * Errors as rill_notify.
 */
RILL_API int rill_notify_ack(rill_hub *hub, rill_str space, rill_str user,
                             rill_str id, rill_notified_fn done, void *arg);
RILL_API int rill_notify_ack_to(rill_hub *hub, rill_str space, rill_str user,
                                uint64_t offset, rill_notified_fn done,
                                void *arg);
RILL_API int rill_notify_count(rill_hub *hub, rill_str space, rill_str user,
                               rill_notified_fn done, void *arg);

/*
 * Read receipts: the number in a durable room (rill/history.h) up to which a
 * user has read.  It only grows, and is in the store before anybody hears of
 * it.  The room's members, the user's other devices among them, get
 *
 *   receipt:update  {room, users: [{userId, offset}...]}
 *
 * with all that has changed within receipt_window_ms.  A private receipt is
 * told to the user's own peers in the namespace only.
 */

/* |offset| is 0 where nothing has been read; |last| the newest there is. */
typedef struct rill_receipt {
  int status; /* 0, or an error of the store: the rest is then not known */
  rill_str space, room, user;
  uint64_t offset;
  uint64_t last, unread; /* of rill_unread */
} rill_receipt;
typedef void (*rill_receipt_fn)(rill_hub *hub, const rill_receipt *receipt,
                                void *arg);

typedef struct rill_read_opts {
  rill_str space; /* empty: "/" */
  bool is_private;
  rill_receipt_fn done; /* may be NULL; runs as every handler does */
  void *arg;
} rill_read_opts;

/*
 * rill_read_to says that |user| has read |room| up to |offset|; beyond the
 * room's newest it is that one.  |done| is told the offset that holds now.
 * |opts| may be NULL.
 *
 * RILL_ERR_ARG      |room| or |user| cannot be a name, or there is no such
 *                   namespace
 * RILL_ERR_TOO_BIG  a name is longer than name_bytes
 * RILL_ERR_STATE    the room is not durable
 * RILL_ERR_LIMIT    store_pending operations wait
 * RILL_ERR_NOMEM    out of memory
 */
RILL_API int rill_read_to(rill_hub *hub, rill_str room, rill_str user,
                          uint64_t offset, const rill_read_opts *opts);

/*
 * rill_unread asks how far |user| has read |room|, privately or not, and how
 * much is left: |fn| is called once, as a handler.  |space| empty: "/".
 * Errors as rill_read_to.
 */
RILL_API int rill_unread(rill_hub *hub, rill_str space, rill_str room,
                         rill_str user, rill_receipt_fn fn, void *arg);

/*
 * rill_receipt_events gives the peers of |space| (as rill_on), for rooms that
 * they are members of:
 *
 *   receipt:read {room, offset, private?}  as rill_read_to.  Answer: {room,
 *       offset}
 *   receipt:get {room}         Answer: {room, offset, last, unread}
 *   receipt:get {room, users: [NAME...]}  what others may know, of at most
 *       receipt_users.  Answer: {room, users: [{userId, offset}...]}
 *
 * Errors are as of rill_event_fail: "forbidden", "busy", "receipt", "store",
 * "user" from a peer of nobody.  |opts| is copied; NULL: all zero.  Errors as
 * rill_on.
 */
typedef struct rill_receipt_events_opts {
  bool is_private; /* all are, whatever the client says */
} rill_receipt_events_opts;
RILL_API int rill_receipt_events(rill_hub *hub, const char *space,
                                 const rill_receipt_events_opts *opts);

#ifdef __cplusplus
}
#endif
#endif
