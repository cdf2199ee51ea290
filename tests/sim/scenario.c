/*
 * scenario.c - a run: some seconds of traffic with faults, a calm in which
 * all that was sent has to arrive, and an end after which nothing is left.
 */
#include <stdio.h>
#include <stdlib.h>

#include "scene.h"

static end *some_end(world *w) {
  return w->nends > 0 ? w->ends[sim_below(w, w->nends)] : NULL;
}

void scene_misfortune(world *w) {
  end *e = some_end(w);

  if (e == NULL || e->dead || e->other == NULL)
    return;
  switch (sim_below(w, 4)) {
  case 0:
    if (sim_fault(w, FAULT_ZERO_WINDOW))
      e->in.stuck = w->now + sim_below(w, 6000) * RILL_MSEC;
    break;
  case 1:
    if (sim_fault(w, FAULT_RESET) && sim_chance(w, 20))
      e->cut_at = e->written + sim_below(w, 50);
    break;
  case 2:
    if (sim_fault(w, FAULT_GIVE_UP) && sim_chance(w, 20) && e->conn != NULL)
      sim_end_give_up(e);
    break;
  default:
    if (sim_fault(w, FAULT_HALF_CLOSE) && sim_chance(w, 10) &&
        e->conn != NULL)
      sim_end_shut(e->other); /* as if a middle box had ended it */
    break;
  }
}

static void new_client(world *w) {
  static const int faults[SCRIPT_KINDS] = {-1,
                                           FAULT_GARBAGE,
                                           FAULT_BAD_FRAMES,
                                           FAULT_FLOOD,
                                           FAULT_NO_READ,
                                           FAULT_HALF_OPEN,
                                           FAULT_FRAGMENTS,
                                           FAULT_REQUESTS};
  int kind = (int)sim_below(w, SCRIPT_KINDS);

  if (sim_chance(w, 60))
    peers_dial(w);
  else if (faults[kind] < 0 || sim_fault(w, faults[kind]))
    script_start(w, kind);
}

static void act(world *w, void *a, uint64_t left) {
  uint32_t n =
      sim_fault(w, FAULT_BURST) && sim_chance(w, 5) ? 10 + sim_below(w, 40) : 1;

  while (n-- > 0) {
    uint32_t k = sim_below(w, 100);
    if (k < 45)
      host_act(w);
    else if (k < 85)
      peers_act(w);
    else if (k < 91)
      new_client(w);
    else
      scene_misfortune(w);
  }
  if (left > 0 && !w->calm)
    sim_later(w, sim_below(w, 40) * RILL_MSEC, act, a, left - 1);
}

void scene_calm(world *w) {
  w->calm = true;
  sim_note(w, "calm", 0, 0, 0);
  for (uint32_t i = 0; i < w->nends; i++) {
    end *e = w->ends[i];
    e->in.stuck = 0;
    e->in.window = 1u << 20;
    e->in.bytes_per_sec = 0;
    e->cut_at = UINT64_MAX;
  }
  for (uint32_t i = 0; i < w->nnodes; i++) {
    w->nodes[i].turn_open = true;
    w->nodes[i].late = 0;
  }
}

/* Everything is well again and nobody begins anything new. */
static void calm_down(world *w) {
  scene *s = w->scene;

  scene_calm(w);
  for (uint32_t i = 0; i < w->nends; i++) {
    end *e = w->ends[i];
    if (e->script != NULL && script_pair(e->script)->hostile)
      script_leave(e->script);
  }
  for (uint32_t i = 0; i < s->npairs; i++) {
    pair *p = s->pairs[i];
    if (p->paused[0])
      SIM_COMMAND(w, rill_resume(p->server));
    if (p->paused[1])
      SIM_COMMAND(w, rill_resume(p->client));
    p->paused[0] = p->paused[1] = false;
  }
}

/* Where both sides are open, all has come; nobody waits for on_drain. */
static void check_arrived(world *w) {
  scene *s = w->scene;
  uint64_t dropped = 0, none = 0;
  rill_metrics m;

  for (uint32_t i = 0; i < s->npairs; i++) {
    pair *p = s->pairs[i];
    bool open = p->client_side == SIDE_OPEN && p->server_side == SIDE_OPEN &&
                !p->client_closing && !p->server_closing && !p->hostile;
    if (!open)
      continue;
    flow_whole(w, &p->down, "never came to the client", p->id, &dropped);
    flow_whole(w, &p->up, "never came to the server", p->id, &none);
    if (p->busy[0] || p->busy[1])
      sim_breach(w, "I-DRAINED", "on_drain never came", p->id, p->busy[1]);
  }
  rill_metrics_read(w->nodes[0].hub, &m);
  if (dropped >
      m.dropped_oldest_total + m.dropped_newest_total + m.conflated_total)
    sim_breach(w, "I-LOST", "more is missing than was dropped", dropped,
               m.dropped_oldest_total + m.dropped_newest_total);
  if (none > 0)
    sim_breach(w, "I-LOST", "dropped on the way up", none, 0);
}

static bool all_gone(world *w) {
  scene *s = w->scene;

  if (s->verdicts > 0 || s->posts > 0)
    return false;
  for (uint32_t i = 0; i < w->nnodes; i++)
    if (w->nodes[i].conns > 0 || w->nodes[i].turn_open ||
        rill_deadline(w->nodes[i].hub) != RILL_NEVER)
      return false;
  return true;
}

/* Nobody is left at the end of a drain, whatever the peers do. */
static void drained(world *w, void *a, uint64_t b) {
  node *n = &w->nodes[0];

  (void)a;
  (void)b;
  sim_node_turn(n);
  if (n->conns > 0 || rill_peers(n->hub) > 0)
    sim_breach(w, "I-DRAIN", "somebody is left", n->conns, rill_peers(n->hub));
  if (!rill_is_drained(n->hub) && rill_deadline(n->hub) > w->now)
    sim_breach(w, "I-DRAIN", "it does not say that it is done", n->conns, 0);
}

static void drain(world *w) {
  rill_time spread = sim_below(w, 5000) * RILL_MSEC;
  int rv = SIM_COMMAND(w, rill_drain(w->nodes[0].hub, spread, w->now));

  if (rv != 0)
    sim_breach(w, "I-DRAIN", "rill_drain", (uint64_t)(int64_t)rv, 0);
  sim_later(w, spread + (w->nodes[0].limits.close_ms + 1) * RILL_MSEC, drained,
            NULL, 0);
  w->nodes[0].turn_open = true;
}

static void end_all(world *w) {
  scene *s = w->scene;
  uint32_t how = sim_below(w, 3);

  s->ending = true;
  sim_note(w, "ending", how, 0, 0);
  for (uint32_t i = 0; i < w->nends; i++)
    if (w->ends[i]->script != NULL)
      script_leave(w->ends[i]->script);
  if (how == 0) {
    drain(w);
    return;
  }
  for (uint32_t i = 0; i < s->npairs; i++) {
    pair *p = s->pairs[i];
    if (p->server_side == SIDE_OPEN && (how == 1 || p->script != NULL)) {
      p->server_closing = true;
      if (SIM_COMMAND(w, rill_close(p->server, 1000, NULL)) == 0 &&
          p->server_code == 0)
        p->server_code = 1000;
    }
    if (p->script == NULL && p->client_side != SIDE_CLOSED &&
        p->client.hub != NULL) {
      p->client_closing = true;
      if (how == 2 && SIM_COMMAND(w, rill_close(p->client, 1000, NULL)) == 0)
        p->client_code = p->client_code == 0 ? 1000 : p->client_code;
    }
  }
  for (uint32_t i = 0; i < w->nnodes; i++)
    w->nodes[i].turn_open = true;
}

static void check_books(world *w) {
  scene *s = w->scene;
  rill_metrics m;
  uint64_t opened = 0;

  for (uint32_t i = 0; i < s->npairs; i++) {
    pair *p = s->pairs[i];
    opened += p->server_side != SIDE_NONE;
    if (p->server_side == SIDE_OPEN)
      sim_breach(w, "I-CLOSE", "on_close never came", p->id, 0);
    if (p->client.hub != NULL && p->client_side != SIDE_CLOSED)
      sim_breach(w, "I-CLOSE", "the client's on_close never came", p->id, 0);
    if (rill_is_open(p->server) || rill_peer_id(p->server) != 0)
      sim_breach(w, "I-CLOSE", "a handle is not stale", p->id, 0);
  }
  rill_metrics_read(w->nodes[0].hub, &m);
  if (m.peers_total != opened)
    sim_breach(w, "I-OPEN", "on_open was not told of all", m.peers_total,
               opened);
}

/* What has been provoked so far, over all runs: is the world harsh enough? */
static rill_metrics tally;

void scene_add_to_tally(world *w) {
  rill_metrics m;

  for (uint32_t i = 0; i < w->nnodes; i++) {
    if (w->nodes[i].hub == NULL)
      continue;
    rill_metrics_read(w->nodes[i].hub, &m);
#define SIM_X(name, type, help) tally.name += m.name;
    RILL_METRICS(SIM_X)
#undef SIM_X
#define SIM_X(name, def, max, outcome) tally.limit_##name += m.limit_##name;
    RILL_LIMITS(SIM_X)
#undef SIM_X
    for (int k = 0; k <= RILL_CAUSE_REFUSED; k++)
      tally.closed[k] += m.closed[k];
  }
}

void scene_print_tally(void) {
#define SIM_X(name, type, help)                                                \
  printf("%-32s %llu\n", #name, (unsigned long long)tally.name);
  RILL_METRICS(SIM_X)
#undef SIM_X
#define SIM_X(name, def, max, outcome)                                         \
  printf("limit %-26s %llu\n", #name, (unsigned long long)tally.limit_##name);
  RILL_LIMITS(SIM_X)
#undef SIM_X
  for (int k = 0; k <= RILL_CAUSE_REFUSED; k++)
    printf("closed: %-24.24s %llu\n", rill_cause_text((rill_cause)k),
           (unsigned long long)tally.closed[k]);
}

void scene_run(world *w) {
  scene s = {.w = w};

  w->scene = &s;
  w->calm = true; /* while it is set up */
  host_setup(w);
  peers_setup(w);
  w->calm = false;
  for (uint32_t n = 3 + sim_below(w, 20); n > 0; n--)
    new_client(w);
  sim_later(w, 0, act, NULL, 150 + sim_below(w, 350));
  sim_run(w, w->now + (4 + sim_below(w, 12)) * RILL_SEC, NULL);
  calm_down(w);
  sim_run(w, w->now + 15 * RILL_SEC, NULL);
  check_arrived(w);
  end_all(w);
  sim_run(w, w->now + 120 * RILL_SEC, all_gone);
  if (!all_gone(w))
    sim_breach(w, "I-LIVE", "something does not end", w->nodes[0].conns,
               s.verdicts);
  check_books(w);
  scene_add_to_tally(w);
  for (uint32_t i = 0; i < w->nnodes; i++)
    sim_node_stop(w, i);
  sim_ends_free(w); /* scripts that nobody has closed */
  pairs_free(w);
}
