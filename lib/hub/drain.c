/*
 * drain.c - an orderly end: the peers leave one by one, in an order that
 * nobody can foresee, spread evenly over a window.
 *
 * The order is slot * stride modulo the number of places, with a random
 * stride: a permutation without memory.
 */
#include "hub/conn.h"
#include "hub/recover.h"
#include "hub/session.h"

/* A year: what is longer is a mistake, and would overflow. */
#define MOST_SPREAD (365 * 86400 * RILL_SEC)

static uint32_t gcd(uint32_t a, uint32_t b) {
  while (b != 0) {
    uint32_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

static uint32_t random_stride(rill_hub *hub, uint32_t places) {
  uint32_t stride = 1;

  if (rill__hub_random(hub, &stride, sizeof stride) != 0)
    stride = 1; /* in order, then */
  stride = stride % places + 1;
  while (gcd(stride, places) != 1)
    stride = stride % places + 1;
  return stride;
}

/* Conns that only wait for a next request have nothing to lose. */
static void close_idle(rill_hub *hub) {
  rill__link *next;

  for (rill__link *l = hub->conns.next; l != &hub->conns; l = next) {
    rill_conn *c = RILL__CONTAINER(l, rill_conn, u.all);
    next = l->next;
    if (c->state == RILL__HTTP && c->http == NULL)
      rill__conn_flush(c);
    else if (c->state == RILL__DIAL || c->state == RILL__HELLO)
      rill__conn_dial_fail(c, RILL_CAUSE_DRAIN, 0, "draining");
  }
}

int rill_drain(rill_hub *hub, rill_time spread, rill_time now) {
  uint32_t places = hub->peers.npages * 64;

  if (hub->draining)
    return RILL_ERR_STATE;
  if (now > hub->now)
    hub->now = now;
  hub->draining = true;
  rill__hub_log(hub, RILL_LOG_INFO, "hub.drain", (rill_str){0}, NULL);
  hub->drain_begin = hub->now;
  if (spread > MOST_SPREAD)
    spread = MOST_SPREAD;
  hub->drain_spread = spread;
  hub->drain_end = hub->now + spread + hub->config.limits.close_ms * RILL_MSEC;
  while (!rill__list_empty(&hub->away)) /* there is nothing to come back to */
    rill__peer_give_up(
        RILL__CONTAINER(hub->away.next, rill__voice, away)->peer);
  hub->drain_places = places;
  hub->drain_at = 0;
  hub->drain_stride = places > 0 ? random_stride(hub, places) : 1;
  close_idle(hub);
  rill__heap_set(&hub->timers, &hub->drain_timer, hub->now);
  return 0;
}

static void close_one(rill_hub *hub, uint32_t i) {
  uint32_t slot =
      (uint32_t)((uint64_t)i * hub->drain_stride % hub->drain_places);
  rill__peer *p = rill__peer_next(hub, &(uint32_t){slot});

  if (p != NULL && p->slot == slot && p->open)
    rill__conn_ws_close(p->conn, RILL_CAUSE_DRAIN, RILL_CLOSE_GOING_AWAY,
                        rill_s("draining"));
}

/* Conns in FLUSH that were open have this end in their own timers. */
static void cut_all(rill_hub *hub) {
  rill__link *next;
  rill__peer *p;

  for (uint32_t slot = 0; (p = rill__peer_next(hub, &slot)) != NULL;)
    if (p->conn != NULL)
      rill__conn_ws_cut(p->conn, RILL_CAUSE_DRAIN, "draining");
  for (rill__link *l = hub->conns.next; l != &hub->conns; l = next) {
    next = l->next;
    rill__conn_ws_cut(RILL__CONTAINER(l, rill_conn, u.all), RILL_CAUSE_DRAIN,
                      "draining");
  }
  while (hub->sessions != NULL && hub->sessions->conn->state != RILL__DEAD)
    rill__conn_ws_cut(hub->sessions->conn, RILL_CAUSE_DRAIN, "draining");
}

/* Closes those whose time has come; the next tick is for the next one. */
void rill__drain_tick(rill_hub *hub) {
  rill_time next = RILL_NEVER;

  while (hub->drain_at < hub->drain_places) {
    rill_time due = hub->drain_begin +
                    hub->drain_spread / hub->drain_places * hub->drain_at;
    if (due > hub->now) {
      next = due;
      break;
    }
    close_one(hub, hub->drain_at++);
  }
  if (next == RILL_NEVER && hub->drain_end <= hub->now)
    cut_all(hub);
  else
    rill__heap_set(&hub->timers, &hub->drain_timer,
                   rill__sooner(next, hub->drain_end));
}

bool rill_is_drained(const rill_hub *hub) {
  return hub->draining && hub->nconns == 0 && hub->due == NULL;
}
