/*
 * world.c - the world: chance, the trace, memory that is watched and fails.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For each allocation the size it was asked for, and alignment. */
#define PREFIX 16

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
           (unsigned long long)a, (unsigned long long)b, (unsigned long long)c);
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
    if (!w->calm && sim_fault(w, FAULT_NO_MEMORY) && sim_below(w, 1500) == 0) {
      sim_note(w, "no memory", n->index, size, 0);
      return NULL;
    }
    p = malloc(size + PREFIX);
    if (p == NULL)
      abort();
    memcpy(p, &size, sizeof size);
    p += PREFIX;
    memset(p, SIM_POISON, size);
    if (was != NULL)
      memcpy(p, was, old < size ? old : size);
  }
  if (was != NULL) {
    memset(was, SIM_POISON, old);
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

void sim_handler_leave(world *w) {
  w->handling = false;
}

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

void sim_end_free(end *e) {
  free(e->in.data);
  free(e->in.segments);
  if (e->script != NULL)
    script_free(e->script);
  if (e->wire != NULL)
    wire_free(e->wire);
  free(e);
}

void sim_ends_free(world *w) {
  for (uint32_t i = 0; i < w->nends; i++)
    sim_end_free(w->ends[i]);
  w->nends = 0;
}

void sim_world_finish(world *w) {
  sim_ends_free(w);
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
  if (m.sessions + m.away + m.history_bytes > 0)
    sim_breach(w, "I-LEAK", "sessions are left", m.sessions, m.away);
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

void sim_node_kill(world *w, uint32_t index) {
  node *n = &w->nodes[index];

  for (uint32_t i = 0; i < w->nends; i++)
    if (w->ends[i]->node == n && w->ends[i]->conn != NULL)
      sim_end_give_up(w->ends[i]);
  rill_hub_free(n->hub);
  n->hub = NULL;
  n->turn_open = false;
  n->late = 0;
  if (n->live != 0)
    sim_breach(w, "I-LEAK", "bytes are left", n->live, index);
}
