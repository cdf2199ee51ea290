/*
 * due.c - what peers wait to be told: handlers that a command, or the end of
 * a conn, has made due run when the call that runs, or a tick, ends.
 */
#include "hub/conn.h"
#include "hub/recover.h"
#include "hub/session.h"

void rill__peer_undue(rill__peer *p) {
  rill_hub *hub = p->hub;
  rill__peer **at = &hub->due;

  if ((p->due & RILL__DUE_QUEUED) == 0)
    return;
  while (*at != p)
    at = &(*at)->due_next;
  *at = p->due_next;
  if (hub->due_end == &p->due_next)
    hub->due_end = at;
}

void rill__peer_due(rill__peer *p, unsigned what) {
  if ((p->due & RILL__DUE_QUEUED) == 0) {
    p->due_next = NULL;
    *p->hub->due_end = p;
    p->hub->due_end = &p->due_next;
  }
  p->due |= (uint8_t)(what | RILL__DUE_QUEUED);
}

static void deliver_close(rill__peer *p) {
  rill_closed closed = {.cause = RILL_CAUSE_NOMEM,
                        .code = RILL_CLOSE_ABNORMAL,
                        .reason = rill_s("out of memory")};
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);

  if (p->transient) { /* whom nobody has heard of */
    rill__peer_free(p);
    return;
  }
  if (p->rare != NULL && p->rare->ended) {
    const rill__ending *e = &p->rare->ending;
    closed = (rill_closed){
        e->cause, e->code, e->sent, e->status, {e->reason, e->reason_len}};
  }
  rill__hub_log(p->hub, RILL_LOG_INFO, "peer.close",
                rill_s(rill_cause_text(closed.cause)), NULL);
  if (h->on_close != NULL) {
    p->hub->in_handler = true;
    h->on_close(rill__peer_handle(p), &closed, arg);
    p->hub->in_handler = false;
  }
  rill__peer_free(p);
}

static void deliver_away(rill__peer *p) {
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv = 0;

  if (h->on_away != NULL) {
    p->hub->in_handler = true;
    rv = h->on_away(rill__peer_handle(p), arg);
    p->hub->in_handler = false;
  }
  if (rv < 0 && p->away)
    rill__peer_give_up(p);
}

static void deliver_back(rill__peer *p) {
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv = 0;

  if (h->on_back != NULL) {
    p->hub->in_handler = true;
    rv = h->on_back(rill__peer_handle(p), p->voice->missed, arg);
    p->hub->in_handler = false;
  }
  rill__peer_handled(p, rv);
}

/* It may have come back and gone again before the host hears of either. */
static void deliver_moves(rill__peer *p, unsigned due) {
  rill__voice *v = p->voice;

  if (!v->told_away && (due & RILL__DUE_AWAY) != 0) {
    v->told_away = true;
    deliver_away(p);
  }
  if (v->told_away && (due & RILL__DUE_BACK) != 0) {
    v->told_away = false;
    deliver_back(p);
  }
  if (!v->told_away && p->away) {
    v->told_away = true;
    deliver_away(p);
  }
}

static void deliver_drain(rill__peer *p) {
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv;

  if (!p->open || h->on_drain == NULL)
    return;
  if (rill__conn_is(p->conn, RILL__BUSY_TOLD))
    return; /* full again meanwhile: it will be told then */
  p->hub->in_handler = true;
  rv = h->on_drain(rill__peer_handle(p), arg);
  p->hub->in_handler = false;
  rill__peer_handled(p, rv);
}

/* Accepted, and not open yet: as each dialect does it. */
static void deliver_open(rill__peer *p) {
  if (p->transient)
    rill__sse_posted(p);
  else if (p->joining)
    rill__sse_open(p);
  else if (p->voice != NULL && p->voice->opening != NULL)
    rill__connect_open(p);
  else if (p->conn != NULL && p->conn->state == RILL__VERDICT)
    rill__request_open(p->conn);
}

static void deliver(rill__peer *p, unsigned due) {
  if ((due & RILL__DUE_OPEN) != 0 && (p->conn != NULL || p->transient))
    deliver_open(p);
  if ((due & (RILL__DUE_AWAY | RILL__DUE_BACK)) != 0)
    deliver_moves(p, due);
  if ((due & RILL__DUE_JOINS) != 0 && !rill__joins_deliver(p))
    return; /* it is gone */
  if ((due & RILL__DUE_DRAIN) != 0)
    deliver_drain(p);
  if ((due & RILL__DUE_INPUT) != 0 && p->conn != NULL) {
    rill__heartbeat_again(p->conn);
    rill__conn_feed_held(p->conn);
  }
  if ((due & RILL__DUE_CLOSE) != 0)
    deliver_close(p);
}

/*
 * What comes due while handlers run waits for its turn behind what is due
 * already; a peer that is due again at once waits for the next tick, so that
 * two handlers cannot keep each other going for ever.
 */
void rill__peers_deliver(rill_hub *hub) {
  rill__peer *last = hub->due != NULL
                         ? RILL__CONTAINER(hub->due_end, rill__peer, due_next)
                         : NULL;
  bool more = last != NULL;

  while (more && hub->due != NULL) {
    rill__peer *p = hub->due;
    unsigned due = p->due;
    more = p != last;
    hub->due = p->due_next;
    if (hub->due == NULL)
      hub->due_end = &hub->due;
    p->due = 0;
    deliver(p, due);
  }
}
