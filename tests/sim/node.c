/*
 * node.c - the loop of a node: an adapter that does what conn.h says, with
 * the faults of the day, and looks at what that has come to.
 */
#include "sim.h"

/* A turn of a loop takes no time; more turns than this do not move on. */
#define TURNS_AT_ONCE 20000

/* A clock that may step back a little. */
rill_time sim_node_now(node *n) {
  world *w = n->w;

  if (!w->calm && sim_fault(w, FAULT_CLOCK_BACK) && sim_chance(w, 5))
    return w->now - sim_below(w, 900) * RILL_MSEC;
  return w->now;
}

void sim_enter(node *n) {
  n->w->steps++;
  n->w->entry = n;
  n->turn_open = true;
}

void sim_leave(node *n) {
  world *w = n->w;

  w->entry = NULL;
  if (w->handling)
    sim_breach(w, "I-COMMAND", "a handler did not end", 0, 0);
}

static void drop_conn(end *e) {
  node *n = e->node;

  sim_enter(n);
  SIM_COMMAND(n->w, (rill_conn_free(e->conn), 0));
  sim_leave(n);
  e->conn = NULL;
  n->conns--;
}

void sim_end_give_up(end *e) {
  sim_note(e->w, "give up", e->id, 0, 0);
  drop_conn(e);
  sim_end_close(e, true);
}

void sim_tell_end(end *e, int error) {
  node *n = e->node;

  if (e->told_end)
    return;
  e->told_end = true;
  sim_note(e->w, "ended", e->id, (uint64_t)error, 0);
  sim_enter(n);
  rill_feed_end(e->conn, error, sim_node_now(n));
  sim_leave(n);
}

static void look_for_poison(world *w, const uint8_t *p, size_t n) {
  size_t run = 0;

  for (size_t i = 0; i < n; i++) {
    run = p[i] == SIM_POISON ? run + 1 : 0;
    if (run == 8)
      sim_breach(w, "I-SECRET", "uninitialised memory on the wire", i, n);
  }
}

/* One write: what rill_pending shows, as far as the stream takes it. */
void sim_write_conn(end *e) {
  world *w = e->w;
  rill_iov iov[64];
  size_t pieces = 1 + sim_below(w, 64), n, all = 0, limit = SIZE_MAX;
  size_t done = 0;

  n = rill_pending(e->conn, iov, pieces);
  if (!w->calm && sim_fault(w, FAULT_SHORT_WRITE) && sim_chance(w, 50))
    limit = 1 + sim_below(w, sim_chance(w, 50) ? 4 : 3000);
  for (size_t i = 0; i < n; i++) {
    size_t len = iov[i].len < limit - all ? iov[i].len : limit - all, took;
    if (len == 0)
      break;
    all += len;
    took = sim_end_write(e, iov[i].base, len);
    look_for_poison(w, iov[i].base, took);
    w->hash = (w->hash ^ took) * 1099511628211u;
    done += took;
    if (took < len)
      break;
  }
  w->steps++;
  sim_enter(e->node); /* allocations may fail */
  SIM_COMMAND(w, (rill_sent(e->conn, done, sim_node_now(e->node)), 0));
  sim_leave(e->node);
  e->wants &= ~(unsigned)RILL_WANT_WRITE;
  e->wants |= rill_wants(e->conn) & RILL_WANT_WRITE;
}

static void start_dial(end *e) {
  world *w = e->w;
  const rill_dial_target *t = rill_dial_target_of(e->conn);

  if (t == NULL || e->dial_at != RILL_NEVER)
    return;
  e->dial_at = w->now + sim_below(w, 50) * RILL_MSEC;
  e->dial_error = 0;
  if (sim_fault(w, FAULT_RESET) && sim_chance(w, 6))
    e->dial_error = RILL_ERR_REFUSED;
  if (sim_fault(w, FAULT_HALF_OPEN) && sim_chance(w, 6))
    e->dial_at = w->now + 3600 * RILL_SEC; /* the conn has to give up */
}

/* Does as rill_wants says. */
static void serve(end *e) {
  world *w = e->w;
  rill_iov iov[1];
  unsigned wants = rill_wants(e->conn);

  if ((wants & RILL_WANT_CLOSE) != 0) {
    if (wants != RILL_WANT_CLOSE || rill_pending(e->conn, iov, 1) != 0)
      sim_breach(w, "I-WANTS", "CLOSE with something left", wants, 0);
    sim_note(w, "close", e->id, 0, 0);
    drop_conn(e);
    sim_end_close(e, false);
    return;
  }
  if ((wants & RILL_WANT_DIAL) != 0)
    start_dial(e);
  if ((wants & RILL_WANT_WRITE) != 0 && e->other != NULL)
    sim_write_conn(e);
  e->wants = rill_wants(e->conn);
}

static end *end_of(node *n, const rill_conn *c) {
  end *e = rill_conn_arg_of(c).ptr;

  if (e == NULL) { /* newly dialed */
    rill_conn_arg arg;
    e = sim_end_new(n->w);
    e->node = n;
    e->conn = (rill_conn *)(uintptr_t)c;
    arg.ptr = e;
    rill_conn_set_arg(e->conn, arg);
    n->conns++;
  }
  return e;
}

/* After a turn nothing may have changed without having been told. */
static void check_told(node *n) {
  const unsigned bits = RILL_WANT_READ | RILL_WANT_DIAL | RILL_WANT_CLOSE;
  world *w = n->w;

  for (uint32_t i = 0; i < w->nends; i++) {
    end *e = w->ends[i];
    if (e->conn == NULL || e->node != n)
      continue;
    if (e->told_end) /* it knows that there is nothing to read */
      e->wants &= ~(unsigned)RILL_WANT_READ;
    if ((rill_wants(e->conn) & bits & (e->told_end ? ~1u : ~0u)) !=
        (e->wants & bits))
      sim_breach(w, "I-READY", "wants changed unheard", e->wants,
                 rill_wants(e->conn));
  }
}

/* What a hub may hold at most; see the limits that scenario.c sets. */
static void check_memory(node *n) {
  const rill_limits *l = &n->limits;
  uint64_t conn = 24576 + l->header_bytes * 3u + l->body_bytes * 2u +
                  l->message_bytes * 3u + 2u * l->queue_bytes + 131072;
  uint64_t all = (6u << 20) + n->conns * conn + l->queues_total_bytes;

  if (n->w->events != NULL) { /* queues without a stream; who is away */
    rill_metrics m;
    rill_metrics_read(n->hub, &m);
    if (m.history_bytes > l->history_total_bytes)
      sim_breach(n->w, "I-MEM", "history beyond its limit", m.history_bytes, 0);
    all += m.sessions * conn + (m.peers + m.away) * 4096 + m.history_bytes * 2;
  }
  if (l->message_bytes > 60000)
    all += 16u << 20; /* spares of large chunks */
  if (n->live > all)
    sim_breach(n->w, "I-MEM", "a hub holds more than its limits allow", n->live,
               all);
}

void sim_node_turn(node *n) {
  rill_conn *c;
  uint64_t rounds = 0;

  while (n->turn_open) {
    n->turn_open = false;
    while ((c = rill_next_ready(n->hub)) != NULL) {
      serve(end_of(n, c));
      if (++rounds > TURNS_AT_ONCE)
        sim_breach(n->w, "I-PROGRESS", "a turn without end", n->index, 0);
    }
  }
  check_told(n);
  check_memory(n);
}

void sim_maybe_turn(node *n) {
  world *w = n->w;

  if (w->calm || !sim_fault(w, FAULT_BATCH) || sim_chance(w, 30))
    sim_node_turn(n);
}

void sim_tick(node *n) {
  world *w = n->w;

  if (++n->ticks_here > TURNS_AT_ONCE)
    sim_breach(w, "I-PROGRESS", "ticks without end", n->index,
               rill_deadline(n->hub));
  sim_note(w, "tick", n->index, 0, 0);
  sim_enter(n);
  rill_tick(n->hub, w->now);
  sim_leave(n);
  n->late = 0;
  if (!w->calm && sim_fault(w, FAULT_LATE_TIMER) && sim_chance(w, 20))
    n->late = sim_below(w, 2500) * RILL_MSEC;
  sim_maybe_turn(n);
}

end *sim_accept(world *w, const rill_conn_info *info) {
  node *n = &w->nodes[0];
  end *e = sim_end_new(w);
  rill_conn_arg arg = {.ptr = e};
  int rv = RILL_ERR_CLOSED; /* nobody listens */

  e->node = n;
  if (n->hub != NULL)
    rv = rill_conn_new(&e->conn, n->hub, info, sim_node_now(n));
  sim_note(w, "accepted", e->id, (uint64_t)(int64_t)rv, 0);
  if (rv != 0) {
    e->conn = NULL;
    if (n->hub != NULL &&
        (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY)))
      sim_breach(w, "I-OOM", "rill_conn_new", (uint64_t)(int64_t)rv, 0);
    return e;
  }
  n->conns++;
  n->turn_open = true;
  rill_conn_set_arg(e->conn, arg);
  e->wants = rill_wants(e->conn);
  return e;
}

void sim_event_limits(rill_limits *l) {
  l->head_ms = 2000;
  l->body_ms = l->verdict_ms = l->keepalive_ms = 3000;
  l->body_bytes = l->message_bytes = 8192;
  l->message_ms = 3000;
  l->close_ms = 1000;
  l->ping_ms = 4000;
  l->pong_ms = 3000;
  l->idle_ms = 9000;
  l->slow_ms = 4000;
  l->queue_bytes = 65536;
  l->queues_total_bytes = 8u << 20;
  l->connect_ms = 5000;
  l->recovery_ms = 6000;
  l->history_ms = 9000;
  l->conns_per_address = l->conns = 200;
  l->accepts_per_sec = l->accepts_burst = RILL_UNLIMITED;
  l->address_accepts_per_sec = l->address_accepts_burst = RILL_UNLIMITED;
  l->messages_per_sec = l->messages_burst = RILL_UNLIMITED;
  l->bytes_per_sec = l->bytes_burst = RILL_UNLIMITED;
  l->control_per_sec = l->control_burst = RILL_UNLIMITED;
}

void sim_must(world *w, int rv, const char *what) {
  if (rv != 0)
    sim_breach(w, "setup", what, (uint64_t)(int64_t)rv, 0);
}
