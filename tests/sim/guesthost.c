/*
 * guesthost.c - the server's program in the scene of events: its handlers,
 * which keep the books on what they are told.
 */
#include <stdlib.h>

#include "events.h"

static const char *const rooms[HALLS] = {"r0", "r1", "h2", "r3", "b4"};
static const char *const users[] = {"", "ada", "bob", "cy"};

rill_str events_room(uint32_t i) { return rill_s(rooms[i]); }
rill_str events_user(const caller *c) { return rill_s(users[c->id % 4]); }
rill_str events_user_name(uint32_t i) { return rill_s(users[i]); }

static guest *guest_of(world *w, rill_peer peer, const char *what) {
  guest *g = rill_peer_data(peer);

  if (g == NULL || !rill_peer_eq(g->peer, peer) || g->side == GUEST_CLOSED)
    sim_breach(w, "I-CLOSE", what, g != NULL ? g->id : 0, 0);
  return g;
}

static void join(world *w, guest *g, uint32_t room) {
  int rv = SIM_COMMAND(w, rill_join(g->peer, events_room(room)));

  sim_note(w, "join", g->id, room, (uint64_t)(int64_t)rv);
  if (rv == 0)
    g->rooms |= 1u << room;
}

static int failing(world *w, guest *g) {
  if (w->calm || !sim_fault(w, FAULT_HANDLER_ERROR) || sim_below(w, 150) > 0)
    return 0;
  g->closing = true;
  sim_note(w, "handler fails", g->id, 0, 0);
  return -77;
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  world *w = arg;
  caller *c;
  guest *g;
  int rv;

  sim_handler_enter(w, peer.hub);
  c = events_caller(w, rill_request_credential(req));
  if (c == NULL || rill_peer_data(peer) != NULL)
    sim_breach(w, "I-OPEN", "a peer that was not expected", c != NULL, 0);
  g = guest_new(w, peer, c);
  SIM_COMMAND(w, rill_peer_set_data(peer, g));
  sim_note(w, "open", c->id, g->id, (uint64_t)c->dialect);
  g->sse = c->dialect == SSE;
  g->user = c->id % 4;
  if (!rill_str_eq(rill_peer_user(peer), events_user(c)))
    sim_breach(w, "I-OPEN", "another user", g->id, g->user);
  g->opened_at = w->events->nitems;
  if (g->sse) {
    g->rooms = c->rooms;
    if (c->offset[0] != '\0')
      guest_owed_past(g, c->cursor);
  } else {
    for (uint32_t i = 0; i < HALLS; i++)
      if (sim_chance(w, 40))
        join(w, g, i);
    guest_owed_held(g);
  }
  rv = failing(w, g);
  sim_handler_leave(w);
  return rv;
}

static int on_away(rill_peer peer, void *arg) {
  world *w = arg;
  guest *g;

  sim_handler_enter(w, peer.hub);
  g = guest_of(w, peer, "away after its close");
  sim_note(w, "away", g->id, 0, 0);
  if (g->side != GUEST_OPEN || !w->events->recovery)
    sim_breach(w, "I-AWAY", "away, and was not there", g->id, 0);
  g->side = GUEST_AWAY;
  g->paused = g->busy = false;
  sim_handler_leave(w);
  return 0;
}

static int on_back(rill_peer peer, int missed, void *arg) {
  world *w = arg;
  guest *g;

  sim_handler_enter(w, peer.hub);
  g = guest_of(w, peer, "back after its close");
  sim_note(w, "back", g->id, (uint64_t)(int64_t)missed, 0);
  if (g->side != GUEST_AWAY)
    sim_breach(w, "I-AWAY", "back, and was not away", g->id, 0);
  g->side = GUEST_OPEN;
  g->gap = true;
  guest_forgive(g, missed != 0);
  sim_handler_leave(w);
  return 0;
}

static void check_cause(world *w, const guest *g, const rill_closed *c) {
  bool wrong = false;

  if (c->cause == RILL_CAUSE_HOST)
    wrong = !g->closing;
  else if (c->cause == RILL_CAUSE_DRAIN)
    wrong = !w->events->ending;
  else if (c->cause == RILL_CAUSE_NOMEM)
    wrong = !sim_fault(w, FAULT_NO_MEMORY);
  else if (c->cause == RILL_CAUSE_HANDLER)
    wrong = !sim_fault(w, FAULT_HANDLER_ERROR);
  else if (c->cause == RILL_CAUSE_FLOOD) /* an attachment that took too long */
    wrong = (w->faults & (1u << FAULT_DELAY | 1u << FAULT_NARROW |
                          1u << FAULT_ZERO_WINDOW | 1u << FAULT_RESET |
                          1u << FAULT_GIVE_UP | 1u << FAULT_HALF_CLOSE)) == 0;
  else
    wrong = c->cause == RILL_CAUSE_PROTO || c->cause == RILL_CAUSE_UTF8 ||
            c->cause == RILL_CAUSE_TOO_BIG || c->cause == RILL_CAUSE_NONE ||
            c->cause == RILL_CAUSE_REFUSED;
  if (wrong)
    sim_breach(w, "I-CAUSE", rill_cause_text(c->cause), g->id, c->code);
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  world *w = arg;
  guest *g;

  sim_handler_enter(w, peer.hub);
  g = guest_of(w, peer, "on_close twice");
  sim_note(w, "closed", g->id, closed->cause, closed->code);
  if (rill_is_open(peer))
    sim_breach(w, "I-CLOSE", "open in on_close", g->id, 0);
  check_cause(w, g, closed);
  g->side = GUEST_CLOSED;
  sim_handler_leave(w);
}

static int on_drain(rill_peer peer, void *arg) {
  world *w = arg;

  sim_handler_enter(w, peer.hub);
  guest_of(w, peer, "on_drain after its close");
  sim_handler_leave(w);
  return 0;
}

const rill_handlers events_handlers = {.on_open = on_open,
                                       .on_drain = on_drain,
                                       .on_close = on_close,
                                       .on_away = on_away,
                                       .on_back = on_back};

typedef struct late {
  rill_ack_to to;
  uint32_t n;
} late;

static void answer_late(world *w, void *a, uint64_t b) {
  late *l = a;

  (void)b;
  w->events->posts--;
  SIM_COMMAND(w, rill_ack(l->to, events_args(w, l->n, false)));
  events_touched(w);
  free(l);
}

void events_resume(world *w, void *a, uint64_t b) {
  guest *g = a;

  (void)b;
  if (!g->paused)
    return;
  g->paused = false;
  SIM_COMMAND(w, rill_resume(g->peer));
  events_touched(w);
}
static void check_up(world *w, guest *g, const rill_event *ev) {
  uint32_t n = (uint32_t)rill_value_int(rill_event_arg(ev, 0), 0);

  sim_note(w, "host got", g->id, n, 0);
  if (n <= g->up)
    sim_breach(w, "I-UP", "an event that came before", g->id, n);
  if (n != g->up + 1 && !g->gap)
    sim_breach(w, "I-UP", "an event is lost on the way up", g->id, n);
  g->gap = false;
  g->up = n;
  if (rill_event_count(ev) > 1 &&
      !rill_str_eq(rill_value_bytes(rill_event_arg(ev, 1)),
                   rill_s("\x01\x02\x03")))
    sim_breach(w, "I-UP", "another attachment", g->id, n);
}

int events_on_event(rill_peer peer, const rill_event *ev, void *arg) {
  world *w = arg;
  guest *g;
  int rv;

  sim_handler_enter(w, peer.hub);
  g = guest_of(w, peer, "an event after its close");
  if (g->side != GUEST_OPEN || !rill_is_open(peer))
    sim_breach(w, "I-CLOSE", "an event of one who is not open", g->id, 0);
  if (g->paused && !g->sse)
    sim_breach(w, "I-PAUSE", "an event although it is paused", g->id, 0);
  check_up(w, g, ev);
  if (rill_str_eq(rill_event_name(ev), rill_s("ask"))) {
    if (sim_chance(w, 60)) {
      SIM_COMMAND(w, rill_event_reply(ev, events_args(w, g->up, false)));
    } else {
      late *l = calloc(1, sizeof *l);
      *l = (late){rill_event_ack(ev), g->up};
      w->events->posts++;
      sim_later(w, sim_below(w, 3000) * RILL_MSEC, answer_late, l, 0);
    }
  }
  if (!w->calm && sim_chance(w, 20))
    events_emit(w);
  rv = failing(w, g);
  if (rv == 0 && !w->calm && !g->sse && sim_fault(w, FAULT_PAUSE) &&
      sim_chance(w, 4) && rill_is_open(peer)) {
    rv = RILL_PAUSE;
    g->paused = true;
    sim_later(w, sim_below(w, 2000) * RILL_MSEC, events_resume, g, 0);
  }
  sim_handler_leave(w);
  return rv;
}
