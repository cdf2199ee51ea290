/*
 * rill/history.h - events that are numbered and kept: publishing into a
 * room, and reading back what was published.
 *
 * A room with history or |durable| (rill_room_opts) numbers what is
 * published in it: 1, 2, 3, ..., in the one order in which every member gets
 * it.  Where it is durable the store (rill/store.h) has it before anybody
 * hears of it, so what has been acknowledged is there after a crash, and
 * numbers go on where they stopped.  rill_emit into such a room is for what
 * need not be kept (typing, presence): it has no number.
 */
#ifndef RILL_HISTORY_H
#define RILL_HISTORY_H

#include <rill/event.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How a publication went: |status| 0, RILL_ERR_EXISTS for an |id| that was
 * published before (|offset| is that one's; nothing has been sent again), or
 * an error of the store.
 */
typedef struct rill_published {
  int status;
  uint64_t offset;
  uint64_t time_ms;
  rill_str id;
} rill_published;
typedef void (*rill_published_fn)(rill_hub *hub,
                                  const rill_published *published, void *arg);

typedef struct rill_publish_opts {
  rill_str space; /* empty: "/" */
  /*
   * Answered when the event is safe, with {"offset":N,"id":ID,
   * "timestamp":MS}, or as rill_event_fail does.
   */
  const rill_event *ack;
  /*
   * The writer's own name for it, 1 to name_bytes bytes: publishing it twice
   * is publishing it once, as long as the first is in the room's history
   * (where that is in memory alone: among its newest 1024).
   * Empty: the hub makes one up.
   */
  rill_str id;
  /* The first argument, an object, gets "id" and "timestamp". */
  bool stamp;
  bool uncompressed;
  rill_published_fn done; /* may be NULL; runs as every handler does */
  void *arg;
} rill_publish_opts;

/*
 * rill_publish numbers event |name| in |room|, keeps it as the room's options
 * say, and sends it to every member.  |opts| may be NULL.
 *
 * RILL_ERR_ARG    as rill_emit; |stamp| without an object; |id| too long
 * RILL_ERR_LIMIT  room_pending publications wait in that room, or
 *                 store_pending operations: tell the writer to slow down;
 *                 or more than |attachments| bytes values
 * RILL_ERR_NOMEM  out of memory; nothing has been published
 * or the builder's error.  |ack| is answered in these cases too.
 */
RILL_API int rill_publish(rill_hub *hub, rill_str room, const char *name,
                          const rill_builder *args,
                          const rill_publish_opts *opts);

/* rill_publish_event publishes |ev| as it came, and answers it. */
RILL_API int rill_publish_event(const rill_event *ev, rill_str room,
                                const rill_publish_opts *opts);

/* One published event.  |args| is an array. */
typedef struct rill_past {
  uint64_t offset;
  uint64_t time_ms;
  rill_str id;
  rill_str name;
  rill_value args;
} rill_past;

/*
 * What was asked for, in the order asked for.  |first| and |last| are the
 * oldest and newest numbers that are kept (0, 0: there never was any).
 */
typedef struct rill_pasts {
  int status; /* 0, or an error of the store */
  const rill_past *v;
  size_t n;
  uint64_t first, last;
} rill_pasts;
typedef void (*rill_pasts_fn)(rill_hub *hub, const rill_pasts *pasts,
                              void *arg);

typedef struct rill_history_opts {
  rill_str space;
  uint64_t since;  /* only later ones, the oldest first */
  uint64_t before; /* not 0: only earlier ones, the newest first */
  uint32_t limit;  /* 0, and at most: history_page */
} rill_history_opts;

/*
 * rill_history reads what was published in |room| and calls |fn| with it
 * once, as a handler, when the store has answered.  |opts| may be NULL: the
 * oldest first.
 *
 * RILL_ERR_ARG    the room's name is none
 * RILL_ERR_LIMIT  store_pending operations wait
 * RILL_ERR_NOMEM  out of memory
 */
RILL_API int rill_history(rill_hub *hub, rill_str room,
                          const rill_history_opts *opts, rill_pasts_fn fn,
                          void *arg);

/*
 * rill_room_events gives the peers of |space| (as rill_on) three events:
 *
 *   room:join {room, since?, epoch?}  asks authorize_join; with |since|, the
 *       number of the last event that the client has, it gets the later ones
 *       first.  |epoch| is what it was told that numbers count in; without
 *       the right one nothing is sent (since 0, and a durable room in a store
 *       that lasts, need none).
 *       Answer: {joined, at?, epoch?, recovered?, gap?: [from, to]}: |at| is
 *       the newest number there, where the room numbers its events, and the
 *       gap is no longer kept, or more than history_page and the queue
 *       take at once
 *   room:leave {room}         Answer: {left}
 *   room:history {room, since?, before?, limit?}, for members.  Answer:
 *       {first, last, events: [{at, id, timestamp, event, args}]}
 *
 * Errors are as of rill_event_fail.  The JSON envelope has "join" and
 * "leave" of its own, with the same |since|.  Errors as rill_on.
 */
RILL_API int rill_room_events(rill_hub *hub, const char *space);

#ifdef __cplusplus
}
#endif
#endif
