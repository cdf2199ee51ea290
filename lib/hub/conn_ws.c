/*
 * conn_ws.c - the states OPEN and CLOSING: messages, control frames, the
 * close handshake (RFC 6455 5.5, 7).
 */
#include "hub/conn.h"

#include "hub/address.h"
#include "hub/batch.h"
#include "hub/recover.h"
#include "hub/session.h"
#include "wire/deflate.h"

void rill__conn_opened(rill_conn *c) {
  rill__fanout_close(c->hub, &c->hub->fanout);
  rill__list_remove(&c->u.all);
  c->flags &= (uint16_t)~RILL__LISTED;
  c->u.rate.messages = c->u.rate.bytes = 0;
  c->state = RILL__OPEN;
  c->since = RILL_NEVER;
  c->heard = c->hub->now;
  c->out.torn = c->out.bytes; /* the handshake, which is no frame */
  if (c->extra != NULL && c->extra->held.len > 0)
    rill__conn_held_due(c);
  rill__conn_arm(c);
  rill__conn_ready(c);
}

void rill__conn_ws_open(rill_conn *c) {
  if (c->session == NULL) {
    c->variant = RILL__AS_RAW;
    if (c->ws.client)
      c->variant = RILL__AS_OWN;
    else if (c->ws.pmd != NULL)
      c->variant = (uint8_t)(rill__pmd_send_bits(c->ws.pmd) - 8);
  }
  rill__conn_opened(c);
  if (c->session != NULL && c->session->engineio)
    rill__engineio_opened(c);
  if (c->peer != NULL && c->state == RILL__OPEN)
    rill__peer_opened(c->peer);
}

/*
 * Hands out what comes before a close.  That may end this very conn, for
 * being slow; so it is the first thing that a close does.
 */
static void hand_out(rill_conn *c) {
  rill__fanout_close(c->hub, &c->hub->fanout);
}

/* No more messages in or out of rooms; hand_out went before. */
static void stop(rill_conn *c) {
  for (rill__peer *p = c->peer; p != NULL; p = rill__peer_sibling(p))
    rill__peer_stop(p);
}

/* A client of the envelope that closes with 1000 means to leave. */
static bool means_it(const rill_conn *c, rill_cause cause, unsigned code) {
  return cause == RILL_CAUSE_PEER && c->session != NULL &&
         !c->session->engineio && code == RILL_CLOSE_NORMAL;
}

static void end(rill_conn *c, rill_cause cause, unsigned code,
                rill_str reason) {
  bool final = means_it(c, cause, code);
  rill__peer *p;

  while ((p = c->peer) != NULL) {
    rill__peer_stop(p);
    if (!final && rill__recoverable(p, cause)) {
      rill__peer_leave(p, cause, code, c->sent_code, reason);
      continue;
    }
    rill__peer_unbind(p);
    rill__peer_end(p, cause, code, c->sent_code, 0, reason);
  }
}

bool rill__conn_ws_frame(rill_conn *c, uint8_t first, const void *data,
                         size_t len) {
  uint8_t frame[RILL__WS_HEADER_MAX + 125], mask[4];
  size_t n;

  if (len > 125) { /* not a control frame, so never a masked one */
    n = rill__ws_header(frame, first, len, NULL);
    return rill__conn_write(c, frame, n) && rill__conn_write(c, data, len);
  }
  if (c->ws.client && rill__hub_random(c->hub, mask, sizeof mask) != 0) {
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "no randomness for a mask");
    return false;
  }
  n = rill__ws_header(frame, first, len, c->ws.client ? mask : NULL);
  if (c->ws.client)
    rill__ws_mask(frame + n, data, len, mask, 0);
  else if (len > 0)
    memcpy(frame + n, data, len);
  return rill__conn_write(c, frame, n + len);
}

/*
 * How an Engine.IO client sees it: no code but for what is too big, and for
 * who did not read fast enough and has missed something.
 */
static unsigned code_for(const rill_conn *c, unsigned code) {
  return c->session != NULL && c->session->engineio &&
                 code != RILL_CLOSE_TOO_BIG && code != RILL_CLOSE_SLOW
             ? RILL_CLOSE_NONE
             : code;
}

/* Can the other side answer a close? */
static bool shakes_hands(const rill_conn *c) {
  return !rill__conn_is(c, RILL__BOX) && c->variant != RILL__AS_SSE;
}

static bool send_close(rill_conn *c, unsigned code, rill_str reason) {
  uint8_t payload[125];
  size_t len = 0;

  if (!shakes_hands(c)) {
    if (rill__conn_is(c, RILL__BOX))
      return rill__conn_write(c,
                              "\x1e"
                              "1",
                              2);
    rill__sse_goodbye(c);
    return c->state == RILL__OPEN;
  }
  code = code_for(c, code);

  if (code != RILL_CLOSE_NONE) {
    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    len = 2;
    memcpy(payload + 2, reason.ptr != NULL ? reason.ptr : "", reason.len);
    len += reason.len;
  }
  c->sent_code = (uint16_t)code;
  return rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_CLOSE, payload, len);
}

/* What rooms hold back for the peers of |c| comes before an orderly end. */
static void flush_rooms(rill_conn *c) {
  for (rill__peer *p = c->peer; p != NULL; p = rill__peer_sibling(p))
    for (rill__member *m = p->rooms; m != NULL; m = m->next)
      rill__batch_flush(c->hub, m->room);
}

void rill__conn_ws_close(rill_conn *c, rill_cause cause, unsigned code,
                         rill_str reason) {
  flush_rooms(c);
  hand_out(c);
  if (c->state != RILL__OPEN || !send_close(c, code, reason))
    return;
  if (!shakes_hands(c)) {
    end(c, cause, code, reason);
    rill__conn_flush(c);
    return;
  }
  stop(c);
  c->cause = (uint8_t)cause;
  c->state = RILL__CLOSING;
  c->flags &= (uint16_t) ~(RILL__PAUSED | RILL__THROTTLED);
  c->since = rill__after(c->hub->now, c->hub->config.limits.close_ms);
  rill__conn_arm(c);
  rill__conn_ready(c);
  if (c->extra == NULL || c->extra->held.len == 0)
    return;
  if (c->peer != NULL)
    rill__peer_due(c->peer, RILL__DUE_INPUT);
  else
    rill__conn_feed_held(c); /* for the other side's close; nobody is told */
}

void rill__conn_ws_fail(rill_conn *c, rill_cause cause, unsigned code,
                        const char *reason) {
  hand_out(c);
  if (c->state >= RILL__FLUSH)
    return;
  if (rill__conn_is(c, RILL__BOX) && !rill__session_polled(c->session)) {
    rill__conn_ws_cut(c, cause, reason); /* nobody listens */
    return;
  }
  if (c->state == RILL__OPEN) {
    stop(c);
    if (cause == RILL_CAUSE_SLOW || cause == RILL_CAUSE_OVERLOAD)
      rill__outq_cut(&c->out, &c->hub->out);
    if (!send_close(c, code, rill_s(reason)))
      return;
  }
  rill__hub_log(c->hub, RILL_LOG_WARN, "peer.fail", rill__address_text(c),
                reason);
  end(c, cause, RILL_CLOSE_ABNORMAL, rill_s(reason));
  rill__conn_flush(c);
}

void rill__conn_ws_cut(rill_conn *c, rill_cause cause, const char *reason) {
  hand_out(c);
  if (c->state == RILL__DEAD)
    return;
  if (c->peer != NULL) {
    if (c->state == RILL__CLOSING)
      cause = (rill_cause)c->cause;
    end(c, cause, RILL_CLOSE_ABNORMAL, rill_s(reason));
  }
  rill__conn_kill(c);
}

void rill__conn_ws_gone(rill_conn *c, rill_cause cause, const char *reason) {
  hand_out(c);
  if (c->state >= RILL__FLUSH)
    return;
  end(c, cause, RILL_CLOSE_NONE, rill_s(reason));
  if (shakes_hands(c))
    send_close(c, RILL_CLOSE_NONE, (rill_str){0});
  if (rill__conn_is(c, RILL__BOX) && !rill__session_polled(c->session))
    rill__conn_kill(c);
  else
    rill__conn_flush(c);
}

/* The peer's close frame; |code| NONE where it has no body. */
static void on_close_frame(rill_conn *c, unsigned code, rill_str reason) {
  bool ours = c->state == RILL__CLOSING;
  rill_cause cause = ours ? (rill_cause)c->cause : RILL_CAUSE_PEER;

  hand_out(c);
  if (c->state >= RILL__FLUSH)
    return;
  if (!ours && !send_close(c, code, (rill_str){0}))
    return;
  end(c, cause, code, reason);
  if (c->ws.client && !rill__conn_is(c, RILL__ENDED))
    c->flags |= RILL__LINGER; /* RFC 6455 7.1.1: the server closes first */
  rill__conn_flush(c);
}

void rill__conn_ws_ping(rill_conn *c) {
  if (c->variant == RILL__AS_SSE && c->state == RILL__OPEN) {
    rill__sse_ping(c);
    c->hub->metrics.pings_total++;
    return;
  }
  if (c->session != NULL && c->session->engineio)
    rill__engineio_ping(c);
  else
    rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_PING, NULL, 0);
  if (c->state != RILL__OPEN)
    return;
  c->flags |= RILL__PINGED;
  c->pinged = c->hub->now;
  c->hub->metrics.pings_total++;
}

/* While the stream is blocked only the newest ping is answered (5.5.3). */
static void on_ping(rill_conn *c, const uint8_t *data, size_t len) {
  rill__conn_extra *x;

  if (c->state != RILL__OPEN)
    return;
  if (!rill__conn_is(c, RILL__BLOCKED)) {
    rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_PONG, data, len);
    return;
  }
  x = rill__conn_extra_of(c);
  if (x == NULL)
    return; /* a ping that is not answered: the peer may ask again */
  memcpy(x->pong, data, len);
  x->pong_len = (uint8_t)len;
  c->flags |= RILL__PONG_OWED;
}

void rill__conn_ws_pong(rill_conn *c) {
  c->flags &= (uint16_t)~RILL__PONG_OWED;
  if (c->state == RILL__OPEN)
    rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_PONG, c->extra->pong,
                        c->extra->pong_len);
}

void rill__conn_pong(rill_conn *c) {
  rill_time rtt;

  if (!rill__conn_is(c, RILL__PINGED))
    return;
  c->flags &= (uint16_t)~RILL__PINGED;
  rtt = (c->hub->now - c->pinged) / RILL_USEC;
  for (rill__peer *p = c->peer; p != NULL; p = rill__peer_sibling(p))
    p->rtt_us = rtt < UINT32_MAX ? (uint32_t)rtt : UINT32_MAX - 1;
}

/* The WebSocket's own; an Engine.IO session is asked by packets. */
static void on_pong(rill_conn *c) {
  if (c->session == NULL || !c->session->engineio)
    rill__conn_pong(c);
}

static int on_control(void *arg, uint8_t opcode, const uint8_t *data,
                      size_t len) {
  rill_conn *c = arg;

  if (opcode == RILL__WS_CLOSE) {
    unsigned code =
        len < 2 ? RILL_CLOSE_NONE : (unsigned)data[0] << 8 | data[1];
    rill_str reason = {(const char *)data + 2, len - 2};
    on_close_frame(c, code, len < 2 ? (rill_str){0} : reason);
    return 0;
  }
  if (!rill__bucket_take(&c->controls, c->hub->now, c->hub->rate.controls, 1)) {
    c->hub->metrics.limit_control_per_sec++;
    rill__conn_ws_fail(c, RILL_CAUSE_FLOOD, RILL_CLOSE_POLICY,
                       "too many control frames");
    return RILL_ERR_LIMIT;
  }
  if (opcode == RILL__WS_PING)
    on_ping(c, data, len);
  else
    on_pong(c);
  return c->state >= RILL__FLUSH ? RILL_ERR_CLOSED : 0;
}

/* Rates: above them reading stops until the debt is paid. */
static void charge(rill_conn *c, size_t len, uint32_t cost) {
  rill_hub *hub = c->hub;
  rill_time until, until_bytes;

  until = rill__bucket_over(&c->u.rate.messages, hub->now, hub->rate.messages,
                            cost);
  until_bytes = rill__bucket_over(&c->u.rate.bytes, hub->now, hub->rate.bytes,
                                  (uint32_t)len);
  hub->metrics.limit_messages_per_sec += until != 0;
  hub->metrics.limit_bytes_per_sec += until_bytes != 0;
  if (until_bytes > until)
    until = until_bytes;
  if (until > hub->now)
    rill__throttle(c, until);
}

void rill__conn_charge(rill_conn *c, size_t len) {
  if (c->hub->rate.charging)
    charge(c, len, 1);
}

/* What the host weighs each of its own messages with. */
static uint32_t cost_of(rill_conn *c, const rill_msg *msg) {
  rill_hub *hub = c->hub;
  uint32_t cost = 1;

  if (hub->config.charge == NULL || c->peer == NULL)
    return cost;
  hub->in_handler = true;
  cost = hub->config.charge(rill__peer_handle(c->peer), msg, hub->config.arg);
  hub->in_handler = false;
  return cost;
}

int rill__conn_ws_deliver(rill_conn *c, rill__peer *p, const rill_msg *msg) {
  rill_hub *hub = c->hub;
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv;

  if (!p->open || h->on_message == NULL)
    return 0;
  hub->in_handler = true;
  rv = h->on_message(rill__peer_handle(p), msg, arg);
  hub->in_handler = false;
  if (rv < 0 && rill__peer_handled(p, rv) < 0)
    return RILL_ERR_HANDLER;
  p->paused |= rv == RILL_PAUSE && p->open;
  return c->state >= RILL__FLUSH ? RILL_ERR_CLOSED : rv;
}

static int deliver_raw(rill_conn *c, const rill__ws_message *m,
                       const rill_msg *msg) {
  rill_hub *hub = c->hub;
  rill__peer *p = c->peer; /* it has no voice: the route's handlers */
  const rill_handlers *h = p->opts->handlers;
  int rv;

  if (!p->open || h->on_message == NULL)
    return 0;
  hub->delivering = m;
  hub->delivering_first = 0;
  hub->in_handler = true;
  rv = h->on_message(rill__peer_handle(p), msg, p->opts->arg);
  hub->in_handler = false;
  hub->delivering = NULL;
  if (rv < 0 && rill__peer_handled(p, rv) < 0)
    return RILL_ERR_HANDLER;
  return c->state >= RILL__FLUSH ? RILL_ERR_CLOSED : rv;
}

static int on_message(void *arg, const rill__ws_message *m) {
  rill_conn *c = arg;
  rill_hub *hub = c->hub;
  rill_msg msg;
  int rv = 0;

  if (c->state != RILL__OPEN)
    return 0; /* this side has closed: what still comes is not read */
  c->since = RILL_NEVER; /* the next one has a time of its own */
  hub->metrics.messages_in_total++;
  msg =
      (rill_msg){.data = m->data,
                 .len = m->len,
                 .kind = m->opcode == RILL__WS_TEXT ? RILL_TEXT : RILL_BINARY};
  if (hub->rate.charging) {
    uint32_t cost = cost_of(c, &msg);
    if (c->state == RILL__OPEN)
      charge(c, msg.len, cost);
  }
  if (c->state == RILL__OPEN)
    rv = c->session != NULL ? rill__session_message(c, &msg)
         : c->peer != NULL  ? deliver_raw(c, m, &msg)
                            : 0;
  if (c->state >= RILL__FLUSH)
    return rv < 0 ? rv : RILL_ERR_CLOSED;
  if (rv == RILL_ERR_HANDLER)
    return rv;
  if (rv == RILL_PAUSE && c->state == RILL__OPEN)
    c->flags |= RILL__PAUSED;
  return rill__conn_is(c, RILL__PAUSED | RILL__THROTTLED) ? RILL_PAUSE : 0;
}

static const rill__ws_sink sink = {on_message, on_control};

static rill_cause cause_of(unsigned code) {
  switch (code) {
  case RILL_CLOSE_INVALID:
    return RILL_CAUSE_UTF8;
  case RILL_CLOSE_TOO_BIG:
    return RILL_CAUSE_TOO_BIG;
  case RILL_CLOSE_POLICY:
    return RILL_CAUSE_FLOOD;
  case RILL_CLOSE_OVERLOAD:
    return RILL_CAUSE_OVERLOAD;
  case RILL_CLOSE_ERROR:
    return RILL_CAUSE_NOMEM;
  default:
    return RILL_CAUSE_PROTO;
  }
}

/* When must the message in progress be whole? */
static void watch_message(rill_conn *c) {
  bool mid = rill__ws_mid_message(&c->ws);

  if (c->state != RILL__OPEN || mid == (c->since != RILL_NEVER))
    return;
  c->since = mid ? rill__after(c->hub->now, c->hub->config.limits.message_ms)
                 : RILL_NEVER;
  if (c->since < c->timer.due)
    rill__conn_arm(c);
}

int rill__conn_ws_input(rill_conn *c, uint8_t *data, size_t len) {
  rill_hub *hub = c->hub;
  rill__ws_error error = {0, NULL, -1};
  size_t used = 0;
  int rv;

  rv = rill__ws_feed(&c->ws, &hub->ws, data, len, &used, &sink, c, &error);
  if (rv == 0) {
    watch_message(c);
    return 0;
  }
  if (rv == RILL_PAUSE) {
    if (used < len && !rill__conn_hold(c, data + used, len - used)) {
      rill__conn_ws_fail(c, RILL_CAUSE_NOMEM, RILL_CLOSE_ERROR,
                         "out of memory");
      return RILL_ERR_NOMEM;
    }
    rill__conn_ready(c);
    watch_message(c);
    return 0;
  }
  if (error.code != 0 && c->state < RILL__FLUSH) {
    rill__hub_breach(hub, error.limit);
    rill__conn_ws_fail(c, cause_of(error.code), error.code, error.reason);
  }
  if (rv == RILL_ERR_HANDLER && c->state < RILL__CLOSING)
    rill__conn_ws_fail(c, RILL_CAUSE_HANDLER, RILL_CLOSE_ERROR,
                       "a handler failed");
  rill__ws_finish(&c->ws, &hub->ws); /* nothing more is read */
  return rv;
}
