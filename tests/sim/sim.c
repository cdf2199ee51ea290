/*
 * sim.c - the world: chance, the clock, the loops of the nodes, and what
 * happens next.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A turn of a loop takes no time; more turns than this do not move on. */
#define TURNS_AT_ONCE 20000
/* For each allocation the size it was asked for, and alignment. */
#define PREFIX 16
#define POISON 0xa5

uint64_t sim_random(world *w) {
  uint64_t z = (w->state += 0x9e3779b97f4a7c15u); /* splitmix64 */

  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint32_t sim_below(world *w, uint32_t n) {
  return (uint32_t)((sim_random(w) >> 32) * n >> 32);
}

bool sim_chance(world *w, uint32_t percent) {
  return sim_below(w, 100) < percent;
}

bool sim_fault(const world *w, int fault) {
  return (w->faults >> fault & 1) != 0;
}

void sim_note(world *w, const char *what, uint64_t a, uint64_t b, uint64_t c) {
  uint64_t words[4] = {w->now, a, b, c};

  for (const char *p = what; *p != '\0'; p++)
    w->hash = (w->hash ^ (uint8_t)*p) * 1099511628211u;
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < 64; k += 8)
      w->hash = (w->hash ^ (uint8_t)(words[i] >> k)) * 1099511628211u;
  if (w->trace)
    printf("%12.6f %-12s %llu %llu %llu\n", (double)w->now / 1e9, what,
           (unsigned long long)a, (unsigned long long)b,
           (unsigned long long)c);
}

_Noreturn void sim_breach(world *w, const char *oracle, const char *what,
                          uint64_t a, uint64_t b) {
  fflush(stdout);
  fprintf(stderr,
          "sim: seed %llu: %s: %s (%llu, %llu) at %.6f s\n"
          "sim: replay with: sim --seeds 1 --first %llu --trace\n",
          (unsigned long long)w->seed, oracle, what, (unsigned long long)a,
          (unsigned long long)b, (double)w->now / 1e9,
          (unsigned long long)w->seed);
  exit(1);
}

/* Memory of a node: told the truth about sizes, moved at each growth. */
static void *sim_alloc(void *arg, void *ptr, size_t old, size_t size) {
  node *n = arg;
  world *w = n->w;
  uint8_t *was = ptr, *p = NULL;

  if (was != NULL) {
    size_t told;
    memcpy(&told, was - PREFIX, sizeof told);
    if (told != old)
      sim_breach(w, "I-MEM", "a block's size was told wrong", told, old);
  } else if (old != 0) {
    sim_breach(w, "I-MEM", "a size of no block", old, 0);
  }
  if (size > 0) {
    w->allocs++;
    if (!w->calm && sim_fault(w, FAULT_NO_MEMORY) &&
        sim_below(w, 1500) == 0) {
      sim_note(w, "no memory", n->index, size, 0);
      return NULL;
    }
    p = malloc(size + PREFIX);
    if (p == NULL)
      abort();
    memcpy(p, &size, sizeof size);
    p += PREFIX;
    memset(p, POISON, size);
    if (was != NULL)
      memcpy(p, was, old < size ? old : size);
  }
  if (was != NULL) {
    memset(was, POISON, old);
    free(was - PREFIX);
  }
  n->live += size;
  n->live -= old;
  if (n->live > n->peak)
    n->peak = n->live;
  return p;
}

static int sim_fill(void *arg, void *out, size_t len) {
  node *n = arg;
  uint8_t *p = out;

  for (size_t i = 0; i < len; i++)
    p[i] = (uint8_t)(sim_random(n->w) >> 24);
  return 0;
}

static uint64_t sim_wall(void *arg) {
  const node *n = arg;
  return 1700000000000u + n->w->now / RILL_MSEC;
}

int sim_commanded(world *w, int rv) {
  w->command = NULL;
  return rv;
}

void sim_handler_enter(world *w, const rill_hub *hub) {
  if (w->command != NULL)
    sim_breach(w, "I-COMMAND", w->command, 0, 0);
  if (w->entry == NULL || w->entry->hub != hub)
    sim_breach(w, "I-COMMAND", "a handler outside of feed and tick", 0, 0);
  if (w->handling)
    sim_breach(w, "I-COMMAND", "a handler inside of a handler", 0, 0);
  w->handling = true;
}

void sim_handler_leave(world *w) { w->handling = false; }

void sim_world_init(world *w, uint64_t seed, uint32_t nnodes, bool trace) {
  memset(w, 0, sizeof *w);
  w->seed = seed;
  w->state = seed * 0x2545f4914f6cdd1du + 1;
  w->hash = 14695981039346656037u;
  w->trace = trace;
  w->now = RILL_SEC;
  w->nnodes = nnodes;
  w->nodes = calloc(nnodes, sizeof *w->nodes);
  if (w->nodes == NULL)
    abort();
  for (uint32_t i = 0; i < nnodes; i++) {
    w->nodes[i].w = w;
    w->nodes[i].index = i;
  }
  w->faults = (uint32_t)sim_random(w);
}

static void end_free(end *e) {
  free(e->in.data);
  free(e->in.segments);
  if (e->script != NULL)
    script_free(e->script);
  free(e);
}

void sim_world_finish(world *w) {
  for (uint32_t i = 0; i < w->nends; i++)
    end_free(w->ends[i]);
  free(w->ends);
  free(w->todos);
  free(w->nodes);
}

void sim_node_start(world *w, uint32_t index, rill_config *config) {
  node *n = &w->nodes[index];

  config->alloc = sim_alloc;
  config->alloc_arg = n;
  if (rill_hub_new(&n->hub, config) != 0)
    sim_breach(w, "setup", "rill_hub_new", index, 0);
  rill_hub_provide(n->hub, sim_fill, sim_wall, n);
  n->limits = config->limits;
}

void sim_node_stop(world *w, uint32_t index) {
  node *n = &w->nodes[index];
  rill_metrics m;

  rill_metrics_read(n->hub, &m);
  if (m.conns + m.peers + m.rooms + m.users + m.assembly_bytes > 0)
    sim_breach(w, "I-LEAK", "gauges are not zero", m.conns + m.peers,
               m.rooms + m.users);
  if (m.queued_bytes > 8 * 65536)
    sim_breach(w, "I-LEAK", "queues hold bytes", m.queued_bytes, 0);
  if (n->live > (1u << 20) + (m.deflated_total > 0 ? 5u << 20 : 0))
    sim_breach(w, "I-LEAK", "an empty hub holds memory", n->live, index);
  rill_hub_free(n->hub);
  n->hub = NULL;
  if (n->live != 0)
    sim_breach(w, "I-LEAK", "bytes are left", n->live, index);
}

/* ---- the loop of a node ---- */

/* A clock that may step back a little. */
rill_time sim_node_now(node *n) {
  world *w = n->w;

  if (!w->calm && sim_fault(w, FAULT_CLOCK_BACK) && sim_chance(w, 5))
    return w->now - sim_below(w, 900) * RILL_MSEC;
  return w->now;
}

static void enter(node *n) {
  n->w->steps++;
  n->w->entry = n;
  n->turn_open = true;
}

static void leave(node *n) {
  world *w = n->w;

  w->entry = NULL;
  if (w->handling)
    sim_breach(w, "I-COMMAND", "a handler did not end", 0, 0);
}

static void drop_conn(end *e) {
  node *n = e->node;

  enter(n);
  SIM_COMMAND(n->w, (rill_conn_free(e->conn), 0));
  leave(n);
  e->conn = NULL;
  n->conns--;
}

void sim_end_give_up(end *e) {
  sim_note(e->w, "give up", e->id, 0, 0);
  drop_conn(e);
  sim_end_close(e, true);
}

static void tell_end(end *e, int error) {
  node *n = e->node;

  if (e->told_end)
    return;
  e->told_end = true;
  sim_note(e->w, "ended", e->id, (uint64_t)error, 0);
  enter(n);
  rill_feed_end(e->conn, error, sim_node_now(n));
  leave(n);
}

static void look_for_poison(world *w, const uint8_t *p, size_t n) {
  size_t run = 0;

  for (size_t i = 0; i < n; i++) {
    run = p[i] == POISON ? run + 1 : 0;
    if (run == 8)
      sim_breach(w, "I-SECRET", "uninitialised memory on the wire", i, n);
  }
}

/* One write: what rill_pending shows, as far as the stream takes it. */
static void write_conn(end *e) {
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
  enter(e->node); /* allocations may fail */
  SIM_COMMAND(w, (rill_sent(e->conn, done, sim_node_now(e->node)), 0));
  leave(e->node);
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
    write_conn(e);
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

  if (l->message_bytes > 60000)
    all += 16u << 20; /* spares of large chunks */
  if (n->live > all)
    sim_breach(n->w, "I-MEM", "a hub holds more than its limits allow",
               n->live, all);
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

static void maybe_turn(node *n) {
  world *w = n->w;

  if (w->calm || !sim_fault(w, FAULT_BATCH) || sim_chance(w, 30))
    sim_node_turn(n);
}

static void tick(node *n) {
  world *w = n->w;

  if (++n->ticks_here > TURNS_AT_ONCE)
    sim_breach(w, "I-PROGRESS", "ticks without end", n->index,
               rill_deadline(n->hub));
  sim_note(w, "tick", n->index, 0, 0);
  enter(n);
  rill_tick(n->hub, w->now);
  leave(n);
  n->late = 0;
  if (!w->calm && sim_fault(w, FAULT_LATE_TIMER) && sim_chance(w, 20))
    n->late = sim_below(w, 2500) * RILL_MSEC;
  maybe_turn(n);
}

/* ---- what happens next ---- */

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

static bool wants_read(const end *e) {
  if (e->script != NULL)
    return script_reads(e->script);
  return (e->wants & RILL_WANT_READ) != 0;
}

static bool may_write(const end *e) {
  if (e->other == NULL || sim_lane_room(e->w, &e->other->in) == 0 ||
      e->written == e->cut_at)
    return false;
  if (e->script != NULL)
    return script_writable(e->script);
  return (e->wants & RILL_WANT_WRITE) != 0;
}

enum { NOTHING, READ, END, RESET, WRITE, BROKEN, DIALED };

/* What |e| could do now; one thing, the most urgent. */
static int possible(end *e) {
  world *w = e->w;
  lane *p = &e->in;

  if (e->dead || (e->conn == NULL && e->script == NULL))
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
  enter(of);
  rv = rill_feed(e->conn, block, n, sim_node_now(of));
  leave(of);
  sim_note(w, "fed", e->id, (uint64_t)(int64_t)rv, 0);
  memset(block, POISON, n);
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

  if (e->script != NULL) {
    uint8_t *block = malloc(n);
    if (block == NULL)
      abort();
    memcpy(block, e->in.data + e->in.head, n);
    consume(&e->in, n);
    script_read(e->script, block, n);
    free(block);
    return;
  }
  feed_from_exact_block(e, n);
  /* an adapter that has read more already hands that over as well */
  if (!w->calm && sim_fault(w, FAULT_LATE_READ) && e->in.arrived > 0 &&
      sim_chance(w, 30) && (rill_wants(e->conn) & RILL_WANT_CLOSE) == 0)
    feed_from_exact_block(e, how_much(w, e->in.arrived));
  maybe_turn(e->node);
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
  enter(e->node);
  rill_dialed(e->conn, e->dial_error, w->now);
  leave(e->node);
  maybe_turn(e->node);
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
    if (e->script != NULL) {
      e->told_end = true;
      script_ended(e->script);
    } else {
      tell_end(e, what == END ? 0 : what == RESET ? 104 : 32);
      maybe_turn(e->node);
    }
    break;
  case WRITE:
    if (e->script != NULL) {
      script_write(e->script);
    } else {
      write_conn(e);
      e->node->turn_open = true;
      maybe_turn(e->node);
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

static rill_time sooner(rill_time a, rill_time b) { return a < b ? a : b; }

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
    tick(&w->nodes[pick]);
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
      end_free(e);
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
      if (++actions > 400000 + 8 * w->bytes)
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
