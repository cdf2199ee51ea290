/*
 * guestemit.c - what the server's program does in the scene of events: it
 * emits to rooms, users and peers, asks for answers, pauses and closes.
 */
#include <stdlib.h>

#include "events.h"

void events_touched(world *w) { w->nodes[0].turn_open = true; }

typedef struct ask {
  world *w;
  uint32_t n;
} ask;

static void on_answers(rill_hub *hub, const rill_answers *a, void *arg) {
  ask *q = arg;
  world *w = q->w;

  sim_handler_enter(w, hub);
  w->events->asks--;
  sim_note(w, "answers", q->n, a->n, a->nmissing);
  if (a->status == RILL_ERR_NOMEM && !sim_fault(w, FAULT_NO_MEMORY))
    sim_breach(w, "I-OOM", "no memory for answers", a->n, a->nmissing);
  if (a->status != RILL_ERR_NOMEM &&
      (a->status == 0) != (a->nmissing == 0))
    sim_breach(w, "I-ACK", "all have answered, or not", a->n, a->nmissing);
  for (size_t i = 0; i < a->n && a->status != RILL_ERR_NOMEM; i++)
    if (rill_value_int(rill_value_at(a->v[i].args, 0), -1) != q->n)
      sim_breach(w, "I-ACK", "an answer to something else", q->n, i);
  sim_handler_leave(w);
  free(q);
}

static guest *some_guest(world *w) {
  events *s = w->events;
  guest *g;

  if (s->nguests == 0)
    return NULL;
  g = s->guests[sim_below(w, s->nguests)];
  return g->side == GUEST_CLOSED && s->nguests > 10
             ? s->guests[s->nguests - 1 - sim_below(w, 10)]
             : g;
}

rill_builder *events_args(world *w, uint32_t n, bool bytes) {
  rill_builder *b = rill_build(w->nodes[0].hub);
  uint8_t data[3] = {(uint8_t)n, (uint8_t)(n >> 8), 0xff};

  rill_put_uint(b, n);
  if (bytes)
    rill_put_bytes(b, data, sizeof data);
  return b;
}

/* To whom, by chance; fills |it|, |to| and |names|. */
static void audience(world *w, guest *g, item *it, rill_to *to,
                     rill_str names[2], rill_str *user) {
  uint32_t k = sim_below(w, 100), room = sim_below(w, HALLS);

  names[0] = events_room(room);
  to->rooms = names;
  if (k < 45) {
    it->rooms = 1u << room;
    to->nrooms = 1;
    if (k < 10) {
      uint32_t second = sim_below(w, HALLS);
      names[1] = events_room(second);
      it->rooms |= 1u << second;
      to->nrooms = 2;
    }
    if (k > 38 && g != NULL) {
      it->except = g;
      to->except = &g->peer;
      to->nexcept = 1;
    }
  } else if (k < 65 && g != NULL) {
    it->to = g;
    to->peers = &g->peer;
    to->npeers = 1;
  } else if (k < 80) {
    it->user = 1 + sim_below(w, 3);
    *user = events_user_name(it->user);
    to->users = user;
    to->nusers = 1;
  } else {
    it->all = to->all = true;
  }
  it->held = it->rooms == 1u << BATCH_HALL && to->nrooms == 1 &&
             it->except == NULL;
}

void events_emit(world *w) {
  guest *g = some_guest(w);
  rill_hub *hub = w->nodes[0].hub;
  item it = {.rooms = 0};
  rill_to to = {.all = false};
  rill_str names[2], user;
  rill_emit_opts opts = {.is_volatile = sim_chance(w, 7)};
  uint32_t k = sim_below(w, 100), n;
  bool bytes = k >= 85, keyed = k < 6;
  const char *name = keyed ? "key" : bytes ? "bin" : "ev";
  ask *q = NULL;
  int rv;

  audience(w, g, &it, &to, names, &user);
  if (k >= 6 && k < 14 && !opts.is_volatile) {
    q = calloc(1, sizeof *q);
    opts.on_answers = on_answers;
    opts.arg = q;
  } else if (k < 18 && sim_fault(w, FAULT_TIGHT)) {
    opts.overflow = sim_chance(w, 50) ? RILL_DROP_NEWEST : RILL_DROP_OLDEST;
    it.may_drop = true;
    it.drops_older = opts.overflow == RILL_DROP_OLDEST;
  }
  if (keyed) {
    item none = {.rooms = 0};
    opts.key = rill_s("k");
    opts.is_volatile = false;
    opts.overflow = RILL_OVERFLOW_DEFAULT;
    it = none;
  }
  it.fleeting = opts.is_volatile || q != NULL;
  it.may_drop |= opts.is_volatile;
  it.held &= !it.fleeting && !keyed;
  n = item_new(w, &it);
  if (q != NULL) {
    *q = (ask){w, n};
    w->events->asks++;
  }
  if (it.to != NULL && !keyed)
    rv = SIM_COMMAND(w, rill_emit_peer(g->peer, name,
                                       events_args(w, n, bytes), &opts));
  else
    rv = SIM_COMMAND(w, rill_emit(hub, &to, name, events_args(w, n, bytes),
                                  &opts));
  sim_note(w, "emit", n, it.rooms, (uint64_t)(int64_t)rv);
  if (q != NULL && rv < 0) {
    w->events->asks--;
    free(q);
  }
  item_sent(w, n, rv);
}

static void close_one(world *w, guest *g) {
  int rv = sim_chance(w, 40) ? SIM_COMMAND(w, rill_cut(g->peer))
                             : SIM_COMMAND(w, rill_close(g->peer, 4001, "go"));

  sim_note(w, "host closes", g->id, (uint64_t)(int64_t)rv, 0);
  if (rv == 0)
    g->closing = true;
}

static void posted(rill_hub *hub, void *arg) {
  world *w = arg;

  sim_handler_enter(w, hub);
  w->events->posts--;
  events_emit(w);
  sim_handler_leave(w);
}

void events_host_act(world *w) {
  uint32_t k = sim_below(w, 100);
  guest *g = some_guest(w);

  if (k < 80 || g == NULL || g->side != GUEST_OPEN) {
    for (uint32_t n = sim_chance(w, 10) ? 30 : 1; n > 0; n--)
      events_emit(w);
  } else if (k < 84 && sim_fault(w, FAULT_CLOSE) && sim_chance(w, 40)) {
    close_one(w, g);
  } else if (k < 90 && sim_fault(w, FAULT_PAUSE) && !g->sse && !g->paused) {
    if (SIM_COMMAND(w, rill_pause(g->peer)) == 0) {
      g->paused = true;
      sim_later(w, sim_below(w, 2500) * RILL_MSEC, events_resume, g, 0);
    }
  } else if (k < 93) {
    SIM_COMMAND(w, rill_ping(g->peer));
  } else if (k < 96) {
    if (SIM_COMMAND(w, rill_post(w->nodes[0].hub, posted, w)) == 0)
      w->events->posts++;
  } else {
    SIM_COMMAND(w, (rill_peer_queued(g->peer), 0));
  }
  events_touched(w);
}
