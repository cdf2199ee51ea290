/*
 * hub.h - the hub's own state, and what its parts ask of each other.
 */
#ifndef RILL__HUB_H
#define RILL__HUB_H

#include <stdatomic.h>

#include <rill/conn.h>
#include <rill/event.h>
#include <rill/metrics.h>
#include <rill/store.h>

#include "base/alloc.h"
#include "base/chunk.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/build.h"
#include "hub/fanout.h"
#include "hub/outq.h"
#include "wire/http.h"
#include "wire/ws.h"

typedef struct rill__peer rill__peer;
typedef struct rill__room rill__room;
typedef struct rill__user rill__user;
typedef struct rill__route rill__route;
typedef struct rill__address rill__address;
typedef struct rill__task rill__task;
typedef struct rill__space rill__space;
typedef struct rill__session rill__session;
typedef struct rill__ask rill__ask;
typedef struct rill__follower rill__follower;

/* A rate: what one unit costs, and how much may be owed.  unit 0: no limit. */
typedef struct rill__rate {
  rill_time unit, room;
} rill__rate;

/* Peers live in pages that never move; see hub/peer.c. */
typedef struct rill__peers {
  struct rill__page **pages;
  uint32_t npages, cap;
  uint32_t open_page; /* the lowest page that may have a free place */
  uint32_t generation;
  size_t open;
} rill__peers;

struct rill_hub {
  rill_config config;
  const rill__follower *follower; /* follower.h */
  rill__alloc alloc;
  rill_random_fn random;
  void *random_arg;
  rill_wall_fn wall;
  void *wall_arg;
  uint8_t hash_key[16];
  bool seeded; /* hash_key is random */

  rill_time now;   /* of the call that runs */
  bool in_call;    /* inside feed, tick or the like */
  bool in_handler; /* inside a handler of the host */
  const rill__ws_message *delivering; /* to on_message, for rill_send to share */
  bool draining;
  rill_time drain_begin, drain_spread;
  rill_time drain_end; /* what is left is cut then */
  uint32_t drain_places, drain_at, drain_stride; /* see drain.c */

  rill__heap timers;
  rill__timer drain_timer, trim_timer, away_timer, history_timer;
  size_t ntimers; /* that may be armed */
  rill__chunk_pool chunks;
  rill__http_env http;
  rill__ws_env ws;
  rill__out_env out;
  rill__fanout fanout;

  rill__link conns; /* those that were not open yet */
  size_t nconns, nhalf_open;
  rill__link ready; /* to be returned by rill_next_ready */
  rill__peer *due, **due_end; /* peers that a handler waits for */

  uint8_t delivering_first; /* header byte in front of it, once written */

  rill__route *routes;
  const rill_deflate_opts *deflate; /* how broadcasts are compressed */
  struct rill__room_rule *room_rules;
  rill__peers peers;
  rill__space *spaces; /* the first is "/" */
  uint32_t nspaces;
  rill__session *sessions;  /* by sid */
  size_t parts_bytes;       /* of packets that wait for attachments */
  struct rill__voice *sids; /* peers by public sid */
  struct rill__voice *secrets; /* those that can be recovered, by secret */
  rill__ask *asks;          /* emits that wait for answers, by number */
  rill__ask *asks_over, **asks_end; /* to be told */
  uint64_t next_ask, next_post, next_join;
  rill_builder build;       /* rill_build's */
  rill__tape tape;          /* the event that is being delivered */
  uint64_t offset;          /* of the newest event that can be recovered */
  char epoch[8];            /* of the offsets: random for each hub */
  rill__link away; /* voices of peers that are away, the first to go first */
  size_t naway;
  rill__link rings; /* with something in them */
  size_t history_bytes;     /* of all rings */
  rill_store *store;        /* NULL: nothing has been kept yet */
  rill__link works, works_done; /* operations of the store */
  size_t nworks;            /* of both lists */
  rill__link newcomers;     /* voices to be told what waits for their users */
  rill__timer notify_timer; /* of that */
  struct rill__inbox *inboxes; /* of users in use, by the name of their log */
  size_t nasked;            /* requests that wait for an inbox */
  struct rill__held *held_receipts; /* rooms with receipts to tell */
  uint64_t room_lives;
  bool remembers;           /* some room or space keeps or batches events */
  uint64_t history_lost;    /* the newest offset that was never kept */
  uint64_t history_gone;    /* the newest in a ring of a room that is gone */
  uint64_t durable_gone;    /* the newest that only a store has */
  rill__user *users;
  rill__address *addresses;
  rill__link idle_addresses; /* without a conn, oldest first */
  rill_time accepts;         /* the hub's accept bucket */

  struct rill__at_free *at_free;
  _Atomic(rill__task *) posted; /* newest first */
  _Atomic(void (*)(void *arg)) wake;
  _Atomic(void *) wake_arg;
  atomic_uint posting; /* threads that may be inside |wake| */

  struct {
    rill__rate accepts, address_accepts, controls, messages, bytes;
    bool charging; /* on_message is charged for at all */
    uint32_t easy_bytes, easy_count; /* queues below need no second look */
  } rate;

  rill_metrics metrics;
};

/*
 * Buckets as one time each (the generic cell rate algorithm): |*bucket| is
 * when it would be empty again.  take is true where |cost| units fit; over
 * always takes, and says until when the debt lasts (0: none).
 */
rill__rate rill__rate_of(uint32_t per_sec, uint32_t burst);
bool rill__bucket_take(rill_time *bucket, rill_time now, rill__rate rate,
                       uint32_t cost);
rill_time rill__bucket_over(rill_time *bucket, rill_time now, rill__rate rate,
                            uint32_t cost);

/* The kinds of rill__timer.kind. */
enum {
  RILL__TIMER_CONN,
  RILL__TIMER_DRAIN,
  RILL__TIMER_TRIM,
  RILL__TIMER_AWAY,
  RILL__TIMER_HISTORY,
  RILL__TIMER_ASK,
  RILL__TIMER_BATCH,
  RILL__TIMER_HEAL,
  RILL__TIMER_CROWD,
  RILL__TIMER_PRESENCE,
  RILL__TIMER_TYPING,
  RILL__TIMER_NOTIFY,
  RILL__TIMER_INBOX,
  RILL__TIMER_RECEIPTS
};
/* rill_hub_new, with who follows it. */
int rill__hub_new(rill_hub **out, const rill_config *config,
                  const rill__follower *follower);
/*
 * |size| zeroed bytes of an object that has one timer, and the timer's place
 * in the heap, so that arming it cannot fail; NULL: no memory.
 */
void *rill__timed_new(rill_hub *hub, size_t size);
/* Frees |object|, and disarms its |timer|, which is inside of it. */
void rill__timed_free(rill_hub *hub, rill__timer *timer, void *object,
                      size_t size);

/* Fills |out| from the hub's source; negative where there is none. */
int rill__hub_random(rill_hub *hub, void *out, size_t len);
/* Makes sure that hash_key is random. */
int rill__hub_seed(rill_hub *hub);
uint64_t rill__hub_hash(const rill_hub *hub, rill_str s);

/* Counts a breach of the limit with that index of RILL_LIMITS; -1: none. */
void rill__hub_breach(rill_hub *hub, int limit);

void rill__hub_log(rill_hub *hub, rill_log_level level, const char *event,
                   rill_str a, const char *b);


/* Every entry that may run handlers is between these two. */
void rill__hub_enter(rill_hub *hub, rill_time now);
void rill__hub_leave(rill_hub *hub);

/* |ms| of a limit as a time from |now|; RILL_UNLIMITED gives RILL_NEVER. */
static inline rill_time rill__after(rill_time now, uint32_t ms) {
  return ms == RILL_UNLIMITED ? RILL_NEVER : now + ms * RILL_MSEC;
}
static inline rill_time rill__sooner(rill_time a, rill_time b) {
  return a < b ? a : b;
}

/* The rest of rill_hub_free, each part's own. */
void rill__routes_free(rill_hub *hub);
void rill__rooms_free(rill_hub *hub);
void rill__users_free(rill_hub *hub);
void rill__addresses_free(rill_hub *hub);
void rill__peers_free(rill_hub *hub);
void rill__posts_free(rill_hub *hub);
void rill__posts_run(rill_hub *hub);
bool rill__posts_waiting(const rill_hub *hub);
void rill__drain_tick(rill_hub *hub);

#endif
