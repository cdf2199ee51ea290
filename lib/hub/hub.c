/*
 * hub.c - a hub's birth, its turn, and its end.
 */
#include "hub/hub.h"

#include <assert.h>

#include "base/siphash.h"
#include "hub/ask.h"
#include "hub/batch.h"
#include "hub/config.h"
#include "hub/conn.h"
#include "hub/follower.h"
#include "hub/heal.h"
#include "hub/history.h"
#include "hub/recover.h"
#include "hub/session.h"
#include "hub/space.h"
#include "hub/store.h"

typedef struct rill__at_free {
  struct rill__at_free *next;
  void (*fn)(void *arg);
  void *arg;
} rill__at_free;

/* Large spare chunks that nobody has used for so long are freed. */
#define TRIM_AFTER (2 * RILL_SEC)

/* The largest input is shed: it has the least right to the memory. */
static void shed(void *arg, rill__ws *ws) {
  rill_hub *hub = arg;

  hub->metrics.limit_assembly_bytes++;
  rill__conn_ws_fail(RILL__CONTAINER(ws, rill_conn, ws), RILL_CAUSE_OVERLOAD,
                     RILL_CLOSE_OVERLOAD, "short of memory for messages");
  rill__ws_finish(ws, &hub->ws);
}

static void set_rates(rill_hub *hub) {
  const rill_limits *l = &hub->config.limits;

  hub->rate.accepts = rill__rate_of(l->accepts_per_sec, l->accepts_burst);
  hub->rate.address_accepts =
      rill__rate_of(l->address_accepts_per_sec, l->address_accepts_burst);
  hub->rate.controls = rill__rate_of(l->control_per_sec, l->control_burst);
  hub->rate.messages = rill__rate_of(l->messages_per_sec, l->messages_burst);
  hub->rate.bytes = rill__rate_of(l->bytes_per_sec, l->bytes_burst);
  hub->rate.charging = hub->rate.messages.unit != 0 ||
                       hub->rate.bytes.unit != 0 || hub->config.charge != NULL;
  hub->rate.easy_bytes =
      l->soft_bytes < l->queue_bytes ? l->soft_bytes : l->queue_bytes;
  hub->rate.easy_count =
      l->soft_count < l->queue_count ? l->soft_count : l->queue_count;
}

int rill__hub_new(rill_hub **out, const rill_config *config,
                  const rill__follower *follower) {
  rill_config taken;
  rill__alloc alloc = rill__alloc_default;
  rill_hub *hub;
  int rv;

  *out = NULL;
  if (!rill__config_take(&taken, config))
    return RILL_ERR_ARG;
  if (taken.alloc != NULL)
    alloc = (rill__alloc){taken.alloc, taken.alloc_arg};
  hub = rill__calloc(&alloc, sizeof *hub);
  if (hub == NULL)
    return RILL_ERR_NOMEM;
  hub->config = taken;
  hub->follower = follower;
  hub->alloc = alloc;
  hub->random = taken.random;
  hub->random_arg = taken.arg;
  hub->wall = taken.wall;
  hub->wall_arg = taken.arg;
  hub->drain_end = RILL_NEVER;
  set_rates(hub);
  hub->due_end = &hub->due;
  hub->asks_end = &hub->asks_over;
  atomic_init(&hub->posted, NULL);
  atomic_init(&hub->wake, NULL);
  atomic_init(&hub->wake_arg, NULL);
  atomic_init(&hub->posting, 0);
  rill__heap_init(&hub->timers, &hub->alloc);
  rill__timer_init(&hub->drain_timer, RILL__TIMER_DRAIN);
  rill__timer_init(&hub->trim_timer, RILL__TIMER_TRIM);
  rill__timer_init(&hub->away_timer, RILL__TIMER_AWAY);
  rill__timer_init(&hub->history_timer, RILL__TIMER_HISTORY);
  rill__timer_init(&hub->notify_timer, RILL__TIMER_NOTIFY);
  hub->ntimers = 5;
  rill__chunk_pool_init(&hub->chunks, &hub->alloc);
  rill__http_env_init(&hub->http, &hub->alloc, &hub->config.limits);
  rill__out_env_init(&hub->out, &hub->alloc);
  rill__list_init(&hub->conns);
  rill__list_init(&hub->ready);
  rill__list_init(&hub->idle_addresses);
  rill__list_init(&hub->away);
  rill__list_init(&hub->rings);
  rill__list_init(&hub->works);
  rill__list_init(&hub->works_done);
  rill__list_init(&hub->newcomers);
  rill__tape_init(&hub->tape, &hub->alloc);
  rill__builder_init(&hub->build, &hub->alloc);
  rill__bytes_init(&hub->fanout.scratch, &hub->alloc);
  rv = rill__ws_env_init(&hub->ws, &hub->alloc, &hub->config.limits,
                         &hub->chunks);
  hub->ws.shed = shed;
  hub->ws.shed_arg = hub;
  if (rv == 0 && (!rill__heap_reserve(&hub->timers, (uint32_t)hub->ntimers) ||
                  !rill__spaces_init(hub)))
    rv = RILL_ERR_NOMEM;
  if (rv != 0) {
    rill_hub_free(hub);
    return rv;
  }
  *out = hub;
  return 0;
}

void rill_hub_free(rill_hub *hub) {
  rill__alloc alloc;

  if (hub == NULL)
    return;
  assert(!hub->in_call && "rill_hub_free from inside a handler");
  rill__boxes_free(hub);
  assert(hub->nconns == 0 && "free the conns before the hub");
  while (hub->at_free != NULL) {
    rill__at_free *a = hub->at_free;
    hub->at_free = a->next;
    a->fn(a->arg);
    rill__free(&hub->alloc, a, sizeof *a);
  }
  rill__store_free(hub); /* its thread may post until then */
  rill__posts_free(hub);
  rill__peers_free(hub);
  hub->follower->hub_freed(hub);
  rill__asks_free(hub);
  rill__rooms_free(hub);
  rill__spaces_free(hub);
  rill__users_free(hub);
  rill__addresses_free(hub);
  rill__routes_free(hub);
  rill__fanout_finish(&hub->fanout);
  rill__tape_finish(&hub->tape);
  rill__builder_finish(&hub->build);
  rill__out_env_finish(&hub->out);
  rill__ws_env_finish(&hub->ws);
  rill__http_env_finish(&hub->http);
  rill__chunk_pool_finish(&hub->chunks);
  rill__heap_finish(&hub->timers);
  alloc = hub->alloc;
  rill__free(&alloc, hub, sizeof *hub);
}

int rill_at_free(rill_hub *hub, void (*fn)(void *arg), void *arg) {
  rill__at_free *a = rill__malloc(&hub->alloc, sizeof *a);

  if (a == NULL)
    return RILL_ERR_NOMEM;
  *a = (rill__at_free){hub->at_free, fn, arg};
  hub->at_free = a;
  return 0;
}

void rill_hub_provide(rill_hub *hub, rill_random_fn random, rill_wall_fn wall,
                      void *arg) {
  if (hub->random == NULL) {
    hub->random = random;
    hub->random_arg = arg;
  }
  if (hub->wall == NULL) {
    hub->wall = wall;
    hub->wall_arg = arg;
  }
}

void *rill__timed_new(rill_hub *hub, size_t size) {
  void *object;

  if (hub->ntimers >= UINT32_MAX - 1 ||
      !rill__heap_reserve(&hub->timers, (uint32_t)hub->ntimers + 1))
    return NULL;
  object = rill__calloc(&hub->alloc, size);
  if (object != NULL)
    hub->ntimers++;
  return object;
}

void rill__timed_free(rill_hub *hub, rill__timer *timer, void *object,
                      size_t size) {
  rill__heap_set(&hub->timers, timer, RILL_NEVER);
  hub->ntimers--;
  rill__free(&hub->alloc, object, size);
}

int rill__hub_random(rill_hub *hub, void *out, size_t len) {
  if (hub->random == NULL || hub->random(hub->random_arg, out, len) != 0)
    return RILL_ERR_RANDOM;
  return 0;
}

int rill__hub_seed(rill_hub *hub) {
  uint8_t epoch[sizeof hub->epoch];

  if (hub->seeded)
    return 0;
  if (rill__hub_random(hub, hub->hash_key, sizeof hub->hash_key) != 0 ||
      rill__hub_random(hub, epoch, sizeof epoch) != 0)
    return RILL_ERR_RANDOM;
  for (size_t i = 0; i < sizeof epoch; i++)
    hub->epoch[i] = (char)('a' + epoch[i] % 26);
  hub->seeded = true;
  return 0;
}

uint64_t rill__hub_hash(const rill_hub *hub, rill_str s) {
  return rill__siphash(hub->hash_key, s.ptr, s.len);
}

void rill__hub_enter(rill_hub *hub, rill_time now) {
  assert(!hub->in_call && "rill_feed or rill_tick from inside a handler");
  hub->in_call = true;
  if (now > hub->now)
    hub->now = now; /* a clock that steps back stands still */
}

void rill__hub_leave(rill_hub *hub) {
  if (hub->due != NULL)
    rill__peers_deliver(hub);
  if (hub->asks_over != NULL)
    rill__asks_deliver(hub);
  if (!rill__list_empty(&hub->works_done))
    rill__works_deliver(hub);
  hub->in_call = false;
}

rill_time rill_deadline(const rill_hub *hub) {
  if (hub->due != NULL || hub->asks_over != NULL ||
      !rill__list_empty(&hub->works_done) || rill__posts_waiting(hub))
    return 0;
  return rill__heap_next(&hub->timers);
}

static void trim(rill_hub *hub) {
  if (!rill__chunk_pool_trim(&hub->chunks))
    rill__heap_set(&hub->timers, &hub->trim_timer, hub->now + TRIM_AFTER);
}

static void conn_due(rill_conn *c) {
  switch ((rill__state)c->state) {
  case RILL__DIAL:
  case RILL__HELLO:
    rill__conn_dial_fail(c, RILL_CAUSE_DIAL, 0, "no answer in time");
    break;
  case RILL__HTTP:
  case RILL__VERDICT:
    rill__conn_http_timeout(c);
    break;
  case RILL__OPEN:
    rill__heartbeat_tick(c);
    break;
  case RILL__CLOSING:
    c->hub->metrics.limit_close_ms++;
    rill__conn_ws_cut(c, (rill_cause)c->cause, "the close was not answered");
    break;
  case RILL__FLUSH:
    if (rill__conn_is(c, RILL__BOX))
      c->hub->metrics.limit_poll_close_ms++;
    else
      c->hub->metrics.limit_close_ms++;
    rill__conn_kill(c);
    break;
  case RILL__DEAD:
    break;
  }
  rill__conn_arm(c);
}

static void timer_due(rill_hub *hub, rill__timer *t) {
  switch (t->kind) {
  case RILL__TIMER_CONN:
    conn_due(RILL__CONTAINER(t, rill_conn, timer));
    break;
  case RILL__TIMER_DRAIN:
    rill__drain_tick(hub);
    break;
  case RILL__TIMER_TRIM:
    trim(hub);
    break;
  case RILL__TIMER_AWAY:
    rill__away_tick(hub);
    break;
  case RILL__TIMER_HISTORY:
    rill__history_tick(hub);
    break;
  case RILL__TIMER_ASK:
    rill__ask_timeout(RILL__CONTAINER(t, rill__ask, timer));
    break;
  case RILL__TIMER_BATCH:
    rill__batch_tick(hub, t);
    break;
  case RILL__TIMER_HEAL:
    rill__heal_tick(hub, t);
    break;
  default:
    hub->follower->tick(hub, t);
    break;
  }
}

void rill_tick(rill_hub *hub, rill_time now) {
  rill__timer *t;
  uint32_t most = hub->timers.len; /* a timer re-armed for now waits a turn */

  rill__hub_enter(hub, now);
  rill__posts_run(hub);
  while (most-- > 0 && (t = rill__heap_pop(&hub->timers, hub->now)) != NULL)
    timer_due(hub, t);
  rill__hub_leave(hub);
}

/* A conn's first two lines of the cache. */
static void prefetch(const void *p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
  __builtin_prefetch((const char *)p + 64);
#else
  (void)p;
#endif
}

rill_conn *rill_next_ready(rill_hub *hub) {
  rill__link *l;

  rill__fanout_close(hub, &hub->fanout);
  while ((l = rill__list_shift(&hub->ready)) != NULL) {
    rill_conn *c = RILL__CONTAINER(l, rill_conn, ready);
    if (!rill__conn_is(c, RILL__BOX))
      break;
    /* a queue without a stream: its output goes to whoever polls */
    rill__engineio_flush(c);
    if (c->state == RILL__DEAD)
      rill__conn_drop(c);
  }
  prefetch(hub->ready.next); /* while the adapter writes for this one */
  if (l == NULL && hub->chunks.large != NULL &&
      hub->trim_timer.due == RILL_NEVER)
    rill__heap_set(&hub->timers, &hub->trim_timer, hub->now + TRIM_AFTER);
  return l != NULL ? RILL__CONTAINER(l, rill_conn, ready) : NULL;
}
