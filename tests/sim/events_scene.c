/*
 * events_scene.c - a run of the scene of events: some seconds of traffic
 * with faults, a calm in which everybody finds back and gets what it is
 * owed, and an end after which nothing is left.
 */
#include <stdlib.h>

#include "events.h"
#include "scene.h"

static caller *some_caller(world *w) {
  events *s = w->events;
  return s->callers[sim_below(w, s->ncallers)];
}

static void act(world *w, void *a, uint64_t left) {
  uint32_t k = sim_below(w, 100);

  if (k < 40) {
    events_host_act(w);
  } else if (k < 88) {
    for (uint32_t n = sim_chance(w, 20) ? 6 : 1; n > 0; n--)
      caller_send_event(some_caller(w));
  } else if (k < 90) {
    caller_new(w);
  } else if (k < 92) {
    caller_leave(some_caller(w));
  } else if (k < 94 && sim_fault(w, FAULT_RESET)) {
    caller_lose(some_caller(w), "hangs up");
  } else {
    scene_misfortune(w);
  }
  if (left > 0 && !w->calm)
    sim_later(w, sim_below(w, 60) * RILL_MSEC, act, a, left - 1);
}

static void calm_down(world *w) {
  events *s = w->events;

  scene_calm(w);
  for (uint32_t i = 0; i < s->nguests; i++) {
    if (s->guests[i]->paused)
      SIM_COMMAND(w, rill_resume(s->guests[i]->peer));
    s->guests[i]->paused = false;
  }
}

/* Everybody is connected, and has all that it is owed. */
static void check_arrived(world *w) {
  events *s = w->events;

  for (uint32_t i = 0; i < s->ncallers; i++) {
    caller *c = s->callers[i];
    if (c->state == LEFT)
      continue;
    if (c->state != TALKING)
      sim_breach(w, "I-LIVE", "a caller is not connected", c->id,
                 (uint64_t)c->state);
    if (c->guest->side != GUEST_OPEN)
      sim_breach(w, "I-LIVE", "a caller has not heard of its end", c->id,
                 c->guest->id);
    guest_whole(c->guest, "never came");
    if (c->dialect != SSE && c->guest->up != c->up && !c->guest->gap)
      sim_breach(w, "I-LOST", "never came to the host", c->up, c->guest->up);
    for (uint32_t k = 0; k < c->nanswers; k++)
      if (c->answers[k].life == c->life)
        sim_breach(w, "I-ACK", "never answered", c->id, c->answers[k].id);
    if (c->plan == UPGRADING && c->dialect == SOCKETIO && !c->on_ws)
      sim_breach(w, "I-LIVE", "it was never upgraded", c->id, 0);
  }
}

static bool all_gone(world *w) {
  const events *s = w->events;

  return s->verdicts + s->posts + s->asks == 0 && w->nodes[0].conns == 0 &&
         !w->nodes[0].turn_open &&
         rill_deadline(w->nodes[0].hub) == RILL_NEVER;
}

static void end_all(world *w) {
  events *s = w->events;
  uint32_t how = sim_below(w, 3);

  s->ending = true;
  sim_note(w, "ending", how, 0, 0);
  if (how == 0)
    SIM_COMMAND(w, rill_drain(w->nodes[0].hub,
                              sim_below(w, 3000) * RILL_MSEC, w->now));
  for (uint32_t i = 0; i < s->nguests && how == 1; i++)
    if (SIM_COMMAND(w, rill_close(s->guests[i]->peer, 1000, NULL)) == 0)
      s->guests[i]->closing = true;
  for (uint32_t i = 0; i < s->ncallers; i++)
    if (how == 2 || s->callers[i]->state != TALKING)
      caller_leave(s->callers[i]);
  w->nodes[0].turn_open = true;
}

static void check_books(world *w) {
  events *s = w->events;
  rill_metrics m;

  for (uint32_t i = 0; i < s->nguests; i++) {
    guest *g = s->guests[i];
    if (g->side != GUEST_CLOSED)
      sim_breach(w, "I-CLOSE", "on_close never came", g->id, g->side);
    if (rill_peer_id(g->peer) != 0)
      sim_breach(w, "I-CLOSE", "a handle is not stale", g->id, 0);
  }
  rill_metrics_read(w->nodes[0].hub, &m);
  if (m.peers_total != s->nguests)
    sim_breach(w, "I-OPEN", "on_open was not told of all", m.peers_total,
               s->nguests);
}

void events_run(world *w) {
  events s = {.w = w};

  w->events = &s;
  w->calm = true; /* while it is set up */
  s.recovery = sim_chance(w, 75);
  events_host_setup(w);
  w->calm = false;
  for (uint32_t n = 2 + sim_below(w, 12); n > 0; n--)
    caller_new(w);
  sim_later(w, 0, act, NULL, 150 + sim_below(w, 350));
  sim_run(w, w->now + (4 + sim_below(w, 12)) * RILL_SEC, NULL);
  calm_down(w);
  sim_run(w, w->now + 30 * RILL_SEC, NULL);
  check_arrived(w);
  end_all(w);
  sim_run(w, w->now + 120 * RILL_SEC, all_gone);
  if (!all_gone(w))
    sim_breach(w, "I-LIVE", "something does not end", w->nodes[0].conns,
               s.asks + s.verdicts);
  check_books(w);
  scene_add_to_tally(w);
  sim_node_stop(w, 0);
  sim_ends_free(w);
  for (uint32_t i = 0; i < s.ncallers; i++)
    caller_free(s.callers[i]);
  free(s.callers);
  guests_free(w);
}
