/*
 * sim.c - what happens next.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static void arrive(world *w, lane *p) {
  while (p->nsegments > 0 && p->segments[p->first].at <= w->now) {
    p->arrived += p->segments[p->first].len;
    p->first++;
    p->nsegments--;
  }
}

static void consume(lane *p, size_t n) {
  p->head += n;
  p->len -= n;
  p->arrived -= n;
}

static bool by_hand(const end *e) {
  return e->script != NULL || e->wire != NULL;
}

static bool wants_read(const end *e) {
  if (e->script != NULL)
    return script_reads(e->script);
  if (e->wire != NULL)
    return true;
  return (e->wants & RILL_WANT_READ) != 0;
}

static bool may_write(const end *e) {
  if (e->other == NULL || sim_lane_room(e->w, &e->other->in) == 0 ||
      e->written == e->cut_at)
    return false;
  if (e->script != NULL)
    return script_writable(e->script);
  if (e->wire != NULL)
    return wire_writable(e->wire);
  return (e->wants & RILL_WANT_WRITE) != 0;
}

enum { NOTHING, READ, END, RESET, WRITE, BROKEN, DIALED };

/* What |e| could do now; one thing, the most urgent. */
static int possible(end *e) {
  world *w = e->w;
  lane *p = &e->in;

  if (e->dead || (e->conn == NULL && !by_hand(e)))
    return NOTHING;
  if (e->dial_at <= w->now)
    return DIALED;
  arrive(w, p);
  if (p->reset && p->ended <= w->now && !e->told_end)
    return RESET;
  if (!p->reset && p->arrived > 0 && wants_read(e))
    return READ;
  if (p->eof && p->len == 0 && p->ended <= w->now && !e->told_end &&
      wants_read(e))
    return END;
  if (may_write(e))
    return WRITE;
  if (e->other == NULL && e->conn != NULL && e->dial_at == RILL_NEVER &&
      (e->wants & RILL_WANT_WRITE) != 0 && !e->told_end && p->ended <= w->now)
    return BROKEN; /* writing fails: nobody is there */
  return NOTHING;
}

static void feed_from_exact_block(end *e, size_t n) {
  node *of = e->node;
  world *w = e->w;
  uint8_t *block = malloc(n);
  int rv;

  if (block == NULL)
    abort();
  memcpy(block, e->in.data + e->in.head, n);
  consume(&e->in, n);
  sim_note(w, "feed", e->id, n, 0);
  sim_enter(of);
  rv = rill_feed(e->conn, block, n, sim_node_now(of));
  sim_leave(of);
  sim_note(w, "fed", e->id, (uint64_t)(int64_t)rv, 0);
  memset(block, SIM_POISON, n);
  free(block);
}

static size_t how_much(world *w, size_t arrived) {
  size_t n = arrived;

  if (w->calm || !sim_fault(w, FAULT_SMALL_READ))
    return n;
  n = sim_chance(w, 40) ? 1 : 1 + sim_below(w, 200);
  return n < arrived ? n : arrived;
}

static void read_end(end *e) {
  world *w = e->w;
  size_t n = how_much(w, e->in.arrived);

  if (by_hand(e)) {
    uint8_t *block = malloc(n);
    if (block == NULL)
      abort();
    memcpy(block, e->in.data + e->in.head, n);
    consume(&e->in, n);
    if (e->script != NULL)
      script_read(e->script, block, n);
    else
      wire_read(e->wire, block, n);
    free(block);
    return;
  }
  feed_from_exact_block(e, n);
  /* an adapter that has read more already hands that over as well */
  if (!w->calm && sim_fault(w, FAULT_LATE_READ) && e->in.arrived > 0 &&
      sim_chance(w, 30) && (rill_wants(e->conn) & RILL_WANT_CLOSE) == 0)
    feed_from_exact_block(e, how_much(w, e->in.arrived));
  sim_maybe_turn(e->node);
}

void sim_connect(world *w, end *e) {
  end *other = w->accept(w);

  sim_link(w, e, other);
  if (other->conn == NULL)
    sim_end_close(other, true);
}

static void dialed(end *e) {
  world *w = e->w;

  e->dial_at = RILL_NEVER;
  if ((rill_wants(e->conn) & RILL_WANT_DIAL) == 0)
    return;
  sim_note(w, "dialed", e->id, (uint64_t)(int64_t)e->dial_error, 0);
  if (e->dial_error == 0)
    sim_connect(w, e);
  sim_enter(e->node);
  rill_dialed(e->conn, e->dial_error, w->now);
  sim_leave(e->node);
  sim_maybe_turn(e->node);
}

static void act(end *e, int what) {
  world *w = e->w;

  switch (what) {
  case READ:
    read_end(e);
    break;
  case END:
  case RESET:
  case BROKEN:
    if (by_hand(e)) {
      e->told_end = true;
      if (e->script != NULL)
        script_ended(e->script);
      else
        wire_ended(e->wire);
    } else {
      sim_tell_end(e, what == END ? 0 : what == RESET ? 104 : 32);
      sim_maybe_turn(e->node);
    }
    break;
  case WRITE:
    if (e->script != NULL) {
      script_write(e->script);
    } else if (e->wire != NULL) {
      wire_write(e->wire);
    } else {
      sim_write_conn(e);
      e->node->turn_open = true;
      sim_maybe_turn(e->node);
    }
    break;
  case DIALED:
    dialed(e);
    break;
  default:
    break;
  }
  (void)w;
}

void sim_later(world *w, rill_time in, todo_fn fn, void *a, uint64_t b) {
  if (w->ntodos == w->todos_cap) {
    w->todos_cap = w->todos_cap * 2 + 16;
    w->todos = realloc(w->todos, w->todos_cap * sizeof *w->todos);
    if (w->todos == NULL)
      abort();
  }
  w->todos[w->ntodos++] = (struct todo){w->now + in, fn, a, b};
}

static rill_time sooner(rill_time a, rill_time b) {
  return a < b ? a : b;
}

/* Nodes that batch end their turn before time moves on. */
static bool end_turns(world *w) {
  bool any = false;

  for (uint32_t i = 0; i < w->nnodes; i++) {
    node *n = &w->nodes[i];
    if (n->hub == NULL || !n->turn_open)
      continue;
    sim_node_turn(n);
    any = true;
  }
  return any;
}

/* Does one of the things that can be done now, if there are some. */
static bool do_something(world *w) {
  uint32_t seen = 0, pick = 0, n = 0;
  enum { E, N, T } kind = E;
  int what = NOTHING;

  for (uint32_t i = 0; i < w->nends; i++) {
    int can = possible(w->ends[i]);
    if (can != NOTHING && sim_below(w, ++seen) == 0) {
      kind = E;
      pick = i;
      what = can;
    }
  }
  for (n = 0; n < w->nnodes; n++) {
    const node *of = &w->nodes[n];
    rill_time due = of->hub != NULL ? rill_deadline(of->hub) : RILL_NEVER;
    if (due != 0 && due != RILL_NEVER)
      due += of->late;
    if (due <= w->now && sim_below(w, ++seen) == 0) {
      kind = N;
      pick = n;
    }
  }
  for (n = 0; n < w->ntodos; n++)
    if (w->todos[n].at <= w->now && sim_below(w, ++seen) == 0) {
      kind = T;
      pick = n;
    }
  if (seen == 0)
    return false;
  if (kind == E) {
    act(w->ends[pick], what);
  } else if (kind == N) {
    sim_tick(&w->nodes[pick]);
  } else {
    struct todo t = w->todos[pick];
    w->todos[pick] = w->todos[--w->ntodos];
    t.fn(w, t.a, t.b);
  }
  return true;
}

static rill_time next_of_end(const end *e) {
  rill_time next = e->dial_at;
  const lane *p = &e->in;

  if (e->dead)
    return RILL_NEVER;
  if (p->nsegments > 0)
    next = sooner(next, p->segments[p->first].at);
  if ((p->eof || p->reset) && !e->told_end)
    next = sooner(next, p->ended);
  if (e->other != NULL)
    next = sooner(next, e->other->in.stuck > e->w->now ? e->other->in.stuck
                                                       : RILL_NEVER);
  if (e->script != NULL)
    next = sooner(next, script_next(e->script));
  return next;
}

static rill_time next_time(world *w) {
  rill_time next = RILL_NEVER;

  for (uint32_t i = 0; i < w->nends; i++) {
    rill_time at = next_of_end(w->ends[i]);
    if (at > w->now)
      next = sooner(next, at);
  }
  for (uint32_t i = 0; i < w->nnodes; i++) {
    node *n = &w->nodes[i];
    rill_time due = n->hub != NULL ? rill_deadline(n->hub) : RILL_NEVER;
    if (due != RILL_NEVER)
      next = sooner(next, due + n->late);
    n->ticks_here = 0;
  }
  for (uint32_t i = 0; i < w->ntodos; i++)
    next = sooner(next, w->todos[i].at);
  return next;
}

/* Ends that are done with are forgotten. */
static void sweep(world *w) {
  uint32_t kept = 0;

  for (uint32_t i = 0; i < w->nends; i++) {
    end *e = w->ends[i];
    if (e->dead)
      sim_end_free(e);
    else
      w->ends[kept++] = e;
  }
  w->nends = kept;
}

void sim_run(world *w, rill_time until, bool (*done)(world *w)) {
  uint64_t actions = 0;
  rill_time next;

  while (done == NULL || !done(w)) {
    if (do_something(w)) {
      /* linear in the bytes moved, the time and the commands */
      if (++actions > 50000 + 4 * w->bytes)
        sim_breach(w, "I-PROGRESS", "too much happens", actions, w->bytes);
      continue;
    }
    if (end_turns(w))
      continue;
    sweep(w);
    next = next_time(w);
    if (next > until) {
      w->now = until;
      break;
    }
    w->now = next;
  }
}
