#include "hub/conn.h"

#include <assert.h>

#include "hub/address.h"
#include "hub/peer.h"
#include "hub/session.h"

/*
 * Held input of a paused conn: a read or two of an adapter.  A host that
 * feeds on although RILL_WANT_READ is gone loses the conn, not the memory.
 * What a box holds is the rest of one POST, which has a limit of its own.
 */
#define HELD_MAX (4u << 20)

void rill__conn_ready(rill_conn *c) {
  if (rill__list_empty(&c->ready))
    rill__list_push(&c->hub->ready, &c->ready);
}

void rill__conn_arm(rill_conn *c) {
  rill_time due = c->since;

  if (c->state == RILL__OPEN)
    due = rill__heartbeat_due(c);
  else if (c->state == RILL__DEAD)
    due = RILL_NEVER;
  if ((c->state == RILL__HTTP || c->state == RILL__OPEN) && c->extra != NULL &&
      c->extra->held_due)
    due = c->hub->now;
  rill__heap_set(&c->hub->timers, &c->timer, due);
}

rill__conn_extra *rill__conn_extra_of(rill_conn *c) {
  if (c->extra == NULL) {
    c->extra = rill__calloc(&c->hub->alloc, sizeof *c->extra);
    if (c->extra != NULL) {
      rill__bytes_init(&c->extra->held, &c->hub->alloc);
      rill__bytes_init(&c->extra->address, &c->hub->alloc);
    }
  }
  return c->extra;
}

static void extra_free(rill_conn *c) {
  if (c->extra == NULL)
    return;
  rill__bytes_finish(&c->extra->held);
  rill__bytes_finish(&c->extra->address);
  if (c->extra->dial != NULL) {
    rill__bytes_finish(&c->extra->dial->url);
    rill__bytes_finish(&c->extra->dial->request);
    rill__free(&c->hub->alloc, c->extra->dial, sizeof *c->extra->dial);
  }
  rill__free(&c->hub->alloc, c->extra, sizeof *c->extra);
  c->extra = NULL;
}

bool rill__conn_hold(rill_conn *c, const uint8_t *data, size_t len) {
  rill__conn_extra *x = rill__conn_extra_of(c);
  size_t most = rill__conn_is(c, RILL__BOX)
                    ? c->hub->config.limits.payload_bytes
                    : HELD_MAX;

  if (x == NULL || x->held.len + len > most)
    return false;
  rill__bytes_add(&x->held, data, len);
  return !x->held.failed;
}

int rill__conn_make(rill_conn **out, rill_hub *hub, rill__state state) {
  rill_conn *c;
  int rv = rill__hub_seed(hub);

  *out = NULL;
  if (rv != 0)
    return rv;
  c = rill__timed_new(hub, sizeof *c);
  if (c == NULL)
    return RILL_ERR_NOMEM;
  c->hub = hub;
  c->state = (uint8_t)state;
  c->flags = RILL__LISTED;
  c->since = RILL_NEVER;
  c->heard = hub->now;
  rill__list_init(&c->ready);
  rill__timer_init(&c->timer, RILL__TIMER_CONN);
  rill__outq_init(&c->out);
  rill__ws_init(&c->ws, state == RILL__DIAL);
  rill__list_push(&hub->conns, &c->u.all);
  hub->nconns++;
  hub->metrics.conns_total++;
  *out = c;
  return 0;
}

/* Admission: 0, or the status of the refusal; -1: no memory. */
static int admit(rill_conn *c, rill_str address) {
  rill_hub *hub = c->hub;
  const rill_limits *l = &hub->config.limits;
  int status = rill__address_enter(c, address);

  if (status != 0)
    return status;
  if (hub->draining)
    return 503;
  if (hub->nconns > l->conns) {
    hub->metrics.limit_conns++;
    return 503;
  }
  if (hub->nhalf_open >= l->half_open) {
    hub->metrics.limit_half_open++;
    return 503;
  }
  if (!rill__bucket_take(&hub->accepts, hub->now, hub->rate.accepts, 1)) {
    hub->metrics.limit_accepts_per_sec++;
    return 503;
  }
  return 0;
}

int rill_conn_new(rill_conn **out, rill_hub *hub, const rill_conn_info *info,
                  rill_time now) {
  rill_conn *c;
  int rv, status;

  if (now > hub->now)
    hub->now = now;
  rv = rill__conn_make(&c, hub, RILL__HTTP);
  *out = c;
  if (rv != 0)
    return rv;
  c->port = info->port;
  if (info->secure)
    c->flags |= RILL__SECURE;
  status = admit(c, info->address);
  if (status < 0) {
    rill_conn_free(c);
    *out = NULL;
    return RILL_ERR_NOMEM;
  }
  if (status > 0) {
    rill__hub_log(hub, RILL_LOG_WARN, "conn.refuse", info->address,
                  rill__http_reason(status));
    rill__conn_http_error(c, status,
                          status == 429 ? "too many connections from there"
                                        : "too many connections");
  } else {
    c->flags |= RILL__HALF_OPEN;
    hub->nhalf_open++;
    c->since = rill__after(hub->now, hub->config.limits.head_ms);
    rill__conn_arm(c);
  }
  return 0;
}

void rill__conn_drop(rill_conn *c) {
  rill_hub *hub = c->hub;

  for (rill__peer *p = c->peer; p != NULL; p = rill__peer_sibling(p))
    p->conn = NULL;
  rill__session_conn_gone(c);
  rill__outq_finish(&c->out, &hub->out);
  rill__ws_finish(&c->ws, &hub->ws);
  rill__address_leave(c);
  extra_free(c);
  if (rill__conn_is(c, RILL__HALF_OPEN))
    hub->nhalf_open--;
  rill__list_remove(&c->ready);
  if (c->flags & RILL__LISTED)
    rill__list_remove(&c->u.all);
  hub->nconns--;
  rill__timed_free(hub, &c->timer, c, sizeof *c);
}

void rill_conn_free(rill_conn *c) {
  if (c == NULL)
    return;
  assert(!c->hub->in_call && "rill_conn_free from inside a handler");
  rill__fanout_close(c->hub, &c->hub->fanout);
  if (c->state != RILL__DEAD)
    rill__conn_ws_cut(c, RILL_CAUSE_IO, "the connection was given up");
  rill__conn_drop(c);
}

rill_conn_arg rill_conn_arg_of(const rill_conn *c) {
  return c->arg;
}
void rill_conn_set_arg(rill_conn *c, rill_conn_arg arg) {
  c->arg = arg;
}

/* Of the message in hand: nobody reads on. */
static void let_go(rill_conn *c) {
  if (c->state != RILL__VERDICT)
    rill__http_free(c->http);
  else if (c->request != NULL)
    rill__request_orphan(c->request);
  c->http = NULL;
}

void rill__conn_flush(rill_conn *c) {
  if (c->state == RILL__DEAD)
    return;
  let_go(c);
  c->state = RILL__FLUSH;
  c->since = rill__sooner(
      rill__after(c->hub->now, rill__conn_is(c, RILL__BOX)
                                   ? c->hub->config.limits.poll_close_ms
                                   : c->hub->config.limits.close_ms),
      c->hub->drain_end);
  if (c->out.bytes == 0 && !rill__conn_is(c, RILL__LINGER))
    rill__conn_kill(c);
  rill__conn_arm(c);
  rill__conn_ready(c);
}

void rill__conn_kill(rill_conn *c) {
  let_go(c);
  c->state = RILL__DEAD;
  rill__session_conn_gone(c);
  rill__outq_finish(&c->out, &c->hub->out);
  rill__conn_arm(c);
  rill__conn_ready(c);
}

void rill__conn_dial_fail(rill_conn *c, rill_cause cause, int status,
                          const char *reason) {
  rill__peer *p = c->peer;

  if (p != NULL) {
    rill__peer_unbind(p);
    rill__peer_end(p, cause, RILL_CLOSE_ABNORMAL, 0, (unsigned)status,
                   rill_s(reason));
  }
  rill__conn_kill(c);
}

bool rill__conn_write(rill_conn *c, const void *data, size_t len) {
  rill_hub *hub = c->hub;
  bool own, ok;
  rill__chunk *chunk = rill__out_room(&hub->out, &hub->chunks, len, &own);
  uint32_t from;

  if (chunk == NULL) {
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return false;
  }
  from = chunk->used;
  memcpy(chunk->data + from, data, len);
  chunk->used += (uint32_t)len;
  ok = rill__outq_push(&c->out, &hub->out, chunk, from, chunk->used,
                       RILL__OUT_CONTROL, 0);
  if (own)
    rill__chunk_unref(chunk);
  if (!ok) {
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return false;
  }
  c->flags |= RILL__ANSWER;
  rill__conn_ready(c);
  return true;
}

static int input(rill_conn *c, uint8_t *data, size_t len) {
  switch ((rill__state)c->state) {
  case RILL__HELLO:
    return c->extra->dial->input(c, data, len);
  case RILL__HTTP:
    return rill__conn_http_input(c, data, len);
  case RILL__OPEN:
  case RILL__CLOSING:
    if (rill__conn_is(c, RILL__BOX))
      return rill__session_payload(c, data, len);
    if (c->variant == RILL__AS_SSE && c->state == RILL__OPEN)
      return 0; /* a stream has nothing more to ask */
    return rill__conn_ws_input(c, data, len);
  case RILL__FLUSH:
    return rill__conn_is(c, RILL__LINGER) ? 0 : RILL_ERR_CLOSED;
  case RILL__DIAL:
  case RILL__VERDICT:
  case RILL__DEAD:
    break;
  }
  return RILL_ERR_CLOSED;
}

/* A client that does not read its answers (SOFT) gets no more of them. */
static bool stopped(const rill_conn *c) {
  if (!rill__conn_is(c, RILL__PAUSED | RILL__THROTTLED | RILL__SOFT))
    return c->state == RILL__VERDICT;
  return c->state == RILL__VERDICT || c->state == RILL__HTTP ||
         rill__conn_is(c, RILL__PAUSED | RILL__THROTTLED | RILL__BOX);
}

static inline bool held_back(const rill_conn *c) {
  return stopped(c) || (c->extra != NULL && c->extra->held.len > 0);
}

bool rill__conn_held_back(const rill_conn *c) {
  return held_back(c);
}

int rill_feed(rill_conn *c, uint8_t *data, size_t len, rill_time now) {
  rill_hub *hub = c->hub;
  int rv;

  assert(len > 0);
  rill__hub_enter(hub, now);
  hub->metrics.bytes_in_total += len;
  c->heard = hub->now;
  if (c->state < RILL__FLUSH && rill__conn_held_back(c)) {
    rv = 0;
    if (!rill__conn_hold(c, data, len)) {
      rill__conn_ws_cut(c, RILL_CAUSE_FLOOD, "fed while not reading");
      rv = RILL_ERR_PROTO;
    }
  } else {
    rv = input(c, data, len);
  }
  rill__hub_leave(hub);
  return rv;
}

/* Feeds what a pause has kept, as far as it goes. */
void rill__conn_feed_held(rill_conn *c) {
  rill__bytes held;

  if (c->extra == NULL)
    return;
  c->extra->held_due = false;
  while (c->extra->held.len > 0 && c->state < RILL__FLUSH && !stopped(c)) {
    held = c->extra->held;
    rill__bytes_init(&c->extra->held, &c->hub->alloc);
    input(c, held.data, held.len);
    rill__bytes_finish(&held);
  }
  if (c->extra->held.len == 0)
    rill__conn_ready(c); /* it wants to read again */
}

int rill__conn_early(rill_conn *c, uint8_t *data, size_t len) {
  if (len == 0 || (c->state != RILL__OPEN && c->state != RILL__CLOSING))
    return 0;
  if (!rill__conn_is(c, RILL__PAUSED))
    return rill__conn_ws_input(c, data, len);
  if (rill__conn_hold(c, data, len))
    return 0;
  rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
  return RILL_ERR_NOMEM;
}

void rill_feed_end(rill_conn *c, int error, rill_time now) {
  rill_hub *hub = c->hub;

  rill__hub_enter(hub, now);
  c->flags |= RILL__ENDED;
  switch ((rill__state)c->state) {
  case RILL__DIAL:
  case RILL__HELLO:
    rill__conn_dial_fail(c, RILL_CAUSE_DIAL, 0, "the connection was closed");
    break;
  case RILL__OPEN:
  case RILL__CLOSING:
    rill__conn_ws_cut(c, error != 0 ? RILL_CAUSE_IO : RILL_CAUSE_EOF,
                      error != 0 ? "the stream failed" : "the stream ended");
    break;
  case RILL__VERDICT:
    /* a client that has half-closed may still wait for its answer */
    if (error != 0 || c->request == NULL || c->request->upgrade ||
        rill__conn_is(c, RILL__WATCH))
      rill__conn_ws_cut(c, RILL_CAUSE_EOF, "the stream ended");
    else
      c->flags &= (uint16_t)~RILL__KEEP;
    break;
  case RILL__FLUSH:
    c->flags &= (uint16_t)~RILL__LINGER;
    if (error != 0 || c->out.bytes == 0)
      rill__conn_kill(c);
    break;
  case RILL__HTTP:
    if (error != 0 || c->out.bytes == 0)
      rill__conn_kill(c);
    else
      rill__conn_flush(c);
    break;
  case RILL__DEAD:
    break;
  }
  rill__hub_leave(hub);
}

size_t rill_pending(rill_conn *c, rill_iov *iov, size_t max) {
  rill__fanout_close(c->hub, &c->hub->fanout);
  return rill__outq_iov(&c->out, iov, max);
}

/* The queue is short again: read on, tell the sender. */
static void relax(rill_conn *c) {
  if (rill__conn_is(c, RILL__SOFT)) {
    c->flags &= (uint16_t)~RILL__SOFT;
    rill__heartbeat_again(c);
    rill__conn_http_again(c);
    if (rill__conn_is(c, RILL__BOX))
      rill__conn_held_due(c);
    rill__conn_ready(c);
  }
  if (rill__conn_is(c, RILL__BUSY_TOLD) && c->out.bytes == 0) {
    c->flags &= (uint16_t)~RILL__BUSY_TOLD;
    for (rill__peer *p = c->peer; p != NULL; p = rill__peer_sibling(p))
      rill__peer_due(p, RILL__DUE_DRAIN);
  }
}

void rill__conn_emptied(rill_conn *c) {
  c->flags &= (uint16_t) ~(RILL__ANSWER | RILL__BLOCKED);
  if (rill__conn_is(c, RILL__SOFT | RILL__BUSY_TOLD))
    relax(c);
  if (c->state == RILL__FLUSH)
    rill__conn_kill(c);
}

void rill__conn_held_due(rill_conn *c) {
  if (c->extra != NULL && c->extra->held.len > 0) {
    c->extra->held_due = true;
    rill__conn_arm(c);
  }
  rill__conn_ready(c);
}

void rill_sent(rill_conn *c, size_t n, rill_time now) {
  rill_hub *hub = c->hub;
  const rill_limits *l = &hub->config.limits;

  if (now > hub->now)
    hub->now = now;
  hub->metrics.bytes_out_total += n;
  rill__outq_consume(&c->out, &hub->out, n);
  c->flags &= (uint16_t) ~(RILL__ANSWER | RILL__BLOCKED);
  if (c->out.bytes > 0)
    c->flags |= RILL__BLOCKED;
  if (rill__conn_is(c, RILL__SOFT | RILL__BUSY_TOLD) &&
      c->out.bytes <= l->soft_bytes / 2 && c->out.count <= l->soft_count / 2)
    relax(c);
  if (c->out.bytes > 0)
    return;
  if (rill__conn_is(c, RILL__PONG_OWED))
    rill__conn_ws_pong(c);
  else if (c->state == RILL__FLUSH && !rill__conn_is(c, RILL__LINGER))
    rill__conn_kill(c);
}

unsigned rill_wants(const rill_conn *c) {
  unsigned wants = 0;

  if (c->state == RILL__DEAD)
    return RILL_WANT_CLOSE;
  if (c->state == RILL__DIAL)
    return RILL_WANT_DIAL;
  if (c->out.bytes > 0) {
    wants |= RILL_WANT_WRITE;
    if (rill__conn_is(c, RILL__ANSWER))
      wants |= RILL_WANT_FLUSH;
  }
  if (!rill__conn_is(c, RILL__ENDED | RILL__SOFT) &&
      (!held_back(c) || rill__conn_is(c, RILL__WATCH)) &&
      (c->state != RILL__FLUSH || rill__conn_is(c, RILL__LINGER)))
    wants |= RILL_WANT_READ;
  return wants;
}
