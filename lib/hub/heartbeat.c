/*
 * heartbeat.c - the one timer of an open WebSocket: pings, idleness, the
 * message in progress, slowness, throttling.  Bytes that come do not touch
 * the timer; it looks at |heard| when it is due.
 */
#include "hub/conn.h"

#include "hub/session.h"

/* How late a loop's timer usually is. */
#define TIMER_SLACK (5 * RILL_MSEC)

static rill_time later(rill_time from, uint32_t ms) {
  return rill__after(from, ms);
}

/* While this side does not read, silence says nothing about the other. */
static bool deaf(const rill_conn *c) {
  return rill__conn_is(c, RILL__PAUSED | RILL__THROTTLED | RILL__SOFT) ||
         (c->peer != NULL && (c->peer->due & RILL__DUE_INPUT) != 0);
}

/*
 * Where the client must see a ping every ping_ms, whatever else it hears:
 * Engine.IO, and streams that nothing comes back on.
 */
static bool by_the_clock(const rill_conn *c) {
  return c->variant == RILL__AS_SSE ||
         (c->session != NULL && c->session->engineio);
}

/*
 * Such a client leaves where no ping comes, so it gets them also while what
 * it answers is not read.  Whether it lives shows when reading goes on.
 */
static rill_time unheard_due(const rill_conn *c) {
  if (!by_the_clock(c) || rill__conn_is(c, RILL__SOFT) ||
      (c->session != NULL && c == c->session->probe))
    return RILL_NEVER;
  return later(c->pinged, c->hub->config.limits.ping_ms);
}

static rill_time silence_due(const rill_conn *c) {
  const rill_limits *l = &c->hub->config.limits;
  rill_time due = c->since;

  if (c->session != NULL) {
    if (c == c->session->probe)
      return rill__session_due(c);
    due = rill__sooner(due, rill__session_due(c));
  }
  if (by_the_clock(c))
    return rill__sooner(due, later(c->pinged, rill__conn_is(c, RILL__PINGED)
                                                  ? l->pong_ms
                                                  : l->ping_ms));
  due = rill__sooner(due, later(c->heard, l->idle_ms));
  if (rill__conn_is(c, RILL__PINGED))
    return rill__sooner(due, later(c->pinged, l->pong_ms));
  return rill__sooner(
      due, later(c->heard > c->pinged ? c->heard : c->pinged, l->ping_ms));
}

void rill__heartbeat_again(rill_conn *c) {
  if (c->state != RILL__OPEN)
    return;
  c->heard = c->hub->now;
  if (rill__conn_is(c, RILL__PINGED))
    c->pinged = c->hub->now;
  if (c->since != RILL_NEVER)
    c->since = later(c->hub->now, c->hub->config.limits.message_ms);
  if (c->session != NULL && c->session->parts_by != RILL_NEVER)
    c->session->parts_by = later(c->hub->now, c->hub->config.limits.message_ms);
  rill__conn_arm(c);
}

/* An envelope reads nothing before the verdict on its "open". */
static bool judged(const rill_conn *c) {
  return c->peer == NULL && c->session != NULL && c->session->connects != NULL;
}

rill_time rill__heartbeat_due(const rill_conn *c) {
  const rill_limits *l = &c->hub->config.limits;
  rill_time due = deaf(c) ? unheard_due(c) : silence_due(c);

  if (judged(c))
    due = rill__sooner(due, rill__session_due(c));
  if (c->extra != NULL && c->extra->held_due)
    return c->hub->now;
  if (rill__conn_is(c, RILL__SOFT))
    due = rill__sooner(due, later(c->extra->slow, l->slow_ms));
  if (rill__conn_is(c, RILL__THROTTLED))
    due = rill__sooner(due, c->extra->throttled_until);
  return due;
}

/* The debt is paid: go on with what was held, unless it lasts too long. */
static void unthrottle(rill_conn *c) {
  const rill_limits *l = &c->hub->config.limits;
  rill__conn_extra *x = c->extra;

  if (c->hub->now < x->throttled_until)
    return;
  c->flags &= (uint16_t)~RILL__THROTTLED;
  rill__heartbeat_again(c);
  rill__conn_feed_held(c);
  if (c->state != RILL__OPEN)
    return;
  if (!rill__conn_is(c, RILL__THROTTLED)) {
    x->throttled_since = RILL_NEVER;
  } else if (later(x->throttled_since, l->throttle_ms) <= c->hub->now) {
    c->hub->metrics.limit_throttle_ms++;
    rill__conn_ws_fail(c, RILL_CAUSE_FLOOD, RILL_CLOSE_POLICY,
                       "more messages than allowed");
  }
}

void rill__throttle(rill_conn *c, rill_time until) {
  rill__conn_extra *x = rill__conn_extra_of(c);

  if (x == NULL)
    return; /* no memory to keep what is over: let it pass */
  if (!rill__conn_is(c, RILL__THROTTLED) && x->throttled_since == 0)
    x->throttled_since = RILL_NEVER;
  if (x->throttled_since == RILL_NEVER)
    x->throttled_since = c->hub->now;
  c->flags |= RILL__THROTTLED;
  x->throttled_until = until;
  rill__conn_arm(c);
}

void rill__heartbeat_tick(rill_conn *c) {
  rill_hub *hub = c->hub;
  const rill_limits *l = &hub->config.limits;
  rill_time now = hub->now;

  if (c->extra != NULL && c->extra->held_due)
    rill__conn_feed_held(c);
  if (c->state == RILL__OPEN && rill__conn_is(c, RILL__THROTTLED))
    unthrottle(c);
  if (c->state != RILL__OPEN)
    return;
  if (c->session != NULL && (!deaf(c) || judged(c)) &&
      rill__session_due(c) <= now) {
    rill__session_tick(c);
    return;
  }
  if (rill__conn_is(c, RILL__SOFT) &&
      later(c->extra->slow, l->slow_ms) <= now) {
    hub->metrics.limit_slow_ms++;
    hub->metrics.slow_closed_total++;
    rill__conn_ws_fail(c, RILL_CAUSE_SLOW, RILL_CLOSE_SLOW, "slow");
  } else if (deaf(c)) {
    if (unheard_due(c) <= now)
      rill__conn_ws_ping(c);
  } else if (c->since <= now) {
    hub->metrics.limit_message_ms++;
    rill__conn_ws_fail(c, RILL_CAUSE_FLOOD, RILL_CLOSE_POLICY,
                       "a message took too long");
  } else if (rill__conn_is(c, RILL__PINGED) &&
             later(c->pinged, l->pong_ms) <= now) {
    hub->metrics.limit_pong_ms++;
    hub->metrics.ping_timeouts_total++;
    if (c->session != NULL && c->session->engineio)
      rill__conn_ws_gone(c, RILL_CAUSE_TIMEOUT, "ping timeout");
    else
      rill__conn_ws_cut(c, RILL_CAUSE_TIMEOUT, "no pong");
  } else if (by_the_clock(c)) {
    rill_time due = later(c->pinged, l->ping_ms);
    if (!rill__conn_is(c, RILL__PINGED) && due <= now) {
      hub->metrics.limit_ping_ms++;
      rill__conn_ws_ping(c);
      /* what timers are late by is not given to the client as well */
      if (c->state == RILL__OPEN && now - due < TIMER_SLACK)
        c->pinged = due;
    }
  } else if (later(c->heard, l->idle_ms) <= now) {
    hub->metrics.limit_idle_ms++;
    rill__conn_ws_cut(c, RILL_CAUSE_TIMEOUT, "idle");
  } else if (!rill__conn_is(c, RILL__PINGED) &&
             later(c->heard > c->pinged ? c->heard : c->pinged, l->ping_ms) <=
                 now) {
    hub->metrics.limit_ping_ms++;
    rill__conn_ws_ping(c);
  }
}
