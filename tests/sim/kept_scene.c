/*
 * kept_scene.c - a run of the third scene: some seconds of talk in which
 * connections, the store and the program fail, then a calm after which
 * everybody has heard all that is kept and knows who is there.
 */
#include <stdlib.h>

#include "kept.h"
#include "scene.h"

static visitor *some_visitor(world *w) {
  kept *k = w->kept;
  return k->visitors[sim_below(w, k->nvisitors)];
}

static void act(world *w, void *a, uint64_t left) {
  uint32_t what = sim_below(w, 100);

  if (what < 25) {
    kept_act(w);
  } else if (what < 92) {
    for (uint32_t n = sim_chance(w, 20) ? 6 : 1; n > 0; n--)
      visitor_act(some_visitor(w));
  } else if (what < 94) {
    visitor_new(w);
  } else if (what < 95) {
    visitor_leave(some_visitor(w));
  } else if (what < 97 && sim_fault(w, FAULT_RESET)) {
    visitor_lose(some_visitor(w), "hangs up");
  } else {
    scene_misfortune(w);
  }
  if (left > 0 && !w->calm)
    sim_later(w, sim_below(w, 60) * RILL_MSEC, act, a, left - 1);
}

/* It says what it shows, in case that was lost, and asks who has read. */
static void settle(visitor *v) {
  static const char *const names[] = {"offline", "away", "online", "busy"};

  if (v->state != TALKS)
    return;
  visitor_event(v, 0, "presence:update", "{\"status\":\"%s\"}",
                names[v->status]);
  for (int room = 0; room < ROOM_RING; room++)
    if (v->seats[room].state == IN)
      visitor_event(v, visitor_ask(v, ASK_GET, room, 0), "receipt:get",
                    "{\"room\":\"%s\",\"users\":[\"ada\",\"bob\",\"cy\"]}",
                    kept_room(room));
}

/* The one that is killed has one that begins. */
static bool is_up(world *w) {
  return w->nodes[0].hub != NULL;
}

static void forget_readings(const kept *k) {
  if (k->readings > 0)
    sim_breach(k->w, "I-HISTORY", "a reading is not answered", k->readings, 0);
}

static bool all_gone(world *w) {
  return w->nodes[0].conns == 0 && !w->nodes[0].turn_open &&
         rill_deadline(w->nodes[0].hub) == RILL_NEVER;
}

static void end_all(world *w) {
  kept *k = w->kept;

  k->ending = true;
  if (sim_chance(w, 50))
    SIM_COMMAND(
        w, rill_drain(w->nodes[0].hub, sim_below(w, 3000) * RILL_MSEC, w->now));
  else
    for (uint32_t i = 0; i < k->nvisitors; i++)
      visitor_leave(k->visitors[i]);
  w->nodes[0].turn_open = true;
}

static void check_stays(world *w) {
  const kept *k = w->kept;

  for (size_t i = 0; i < k->nstays; i++)
    if (k->stays[i]->life == k->life && !k->stays[i]->closed)
      sim_breach(w, "I-CLOSE", "on_close never came", k->stays[i]->id, 0);
}

static void free_all(kept *k) {
  for (uint32_t i = 0; i < k->nvisitors; i++)
    visitor_free(k->visitors[i]);
  for (size_t i = 0; i < k->nstays; i++)
    free(k->stays[i]);
  free(k->stays);
  free(k->publications);
  shelf_free(k->shelf);
}

static void choose(world *w, kept *k) {
  unsigned faults = sim_below(w, 8);

  k->w = w;
  k->recovery = sim_chance(w, 50);
  k->crashes = sim_chance(w, 60);
  k->may_lose = sim_fault(w, FAULT_NO_MEMORY);
  k->shelf = shelf_new(w, faults);
  sim_note(w, "kept", faults, k->recovery, k->crashes);
}

void kept_run(world *w) {
  kept k = {.w = w};

  w->kept = &k;
  choose(w, &k);
  kept_begin(w);
  for (uint32_t n = 2 + sim_below(w, 8); n > 0; n--)
    visitor_new(w);
  sim_later(w, 0, act, NULL, 150 + sim_below(w, 350));
  sim_run(w, w->now + (4 + sim_below(w, 12)) * RILL_SEC, NULL);
  scene_calm(w);
  shelf_calm(k.shelf);
  sim_run(w, w->now + 5 * RILL_SEC, is_up);
  sim_run(w, w->now + 40 * RILL_SEC, NULL);
  for (uint32_t i = 0; i < k.nvisitors; i++)
    settle(k.visitors[i]);
  sim_run(w, w->now + 5 * RILL_SEC, NULL);
  forget_readings(&k);
  book_check(w);
  people_check(w);
  end_all(w);
  sim_run(w, w->now + 120 * RILL_SEC, all_gone);
  if (!all_gone(w))
    sim_breach(w, "I-LIVE", "something does not end", w->nodes[0].conns, 0);
  check_stays(w);
  sim_node_stop(w, 0);
  sim_ends_free(w);
  free_all(&k);
}
