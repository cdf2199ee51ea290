/*
 * host_command.c - what else it does, at any time and inside of handlers.
 */
#include "host.h"

static void close_one(world *w, pair *p) {
  static const int codes[] = {1000, 1001, 1011, 3000, 4000, 4999};
  static const char *const reasons[] = {NULL, "", "bye",
                                        "\xc3\xa9\xe2\x82\xac"};
  int code = codes[sim_below(w, 6)];
  const char *reason = reasons[sim_below(w, 4)];
  bool open = rill_is_open(p->server);
  int rv;

  if (sim_chance(w, 30)) {
    rv = SIM_COMMAND(w, rill_cut(p->server));
    code = 0;
    open = p->server_side == SIDE_OPEN;
  } else {
    rv = SIM_COMMAND(w, rill_close(p->server, code, reason));
  }
  sim_note(w, "host closes", p->id, (uint64_t)code, (uint64_t)(int64_t)rv);
  if (rv == 0 && !open)
    sim_breach(w, "I-CLOSE", "closed twice", p->id, 0);
  if (rv == 0) {
    p->server_closing = true;
    if (p->server_code == 0)
      p->server_code = (uint16_t)code;
  }
}

void host_resume(world *w, void *a, uint64_t b) {
  pair *p = a;

  (void)b;
  if (!p->paused[0])
    return;
  p->paused[0] = false;
  SIM_COMMAND(w, rill_resume(p->server));
  sim_note(w, "resume", p->id, 0, 0);
  host_touched(w);
}

static void pause_one(world *w, pair *p) {
  if (SIM_COMMAND(w, rill_pause(p->server)) != 0)
    return;
  sim_note(w, "pause", p->id, 0, 0);
  p->paused[0] = true;
  sim_later(w, sim_below(w, 3000) * RILL_MSEC, host_resume, p, 0);
}

void host_join(world *w, pair *p, uint32_t room) {
  int rv = SIM_COMMAND(w, rill_join(p->server, host_room(room)));

  sim_note(w, "join", p->id, room, (uint64_t)(int64_t)rv);
  if (rv == 0)
    p->rooms |= 1u << room;
}

static void leave_one(world *w, pair *p, uint32_t room) {
  int rv = SIM_COMMAND(w, rill_leave(p->server, host_room(room)));
  uint32_t bit = 1u << room;

  sim_note(w, "leave", p->id, room, (uint64_t)(int64_t)rv);
  if (p->server_side == SIDE_OPEN && ((p->rooms | p->rooms_maybe) & bit) == 0 &&
      rv == 0)
    sim_breach(w, "I-ROOM", "left a room that it was not in", p->id, room);
  if ((p->rooms & bit) != 0 && rv == RILL_ERR_NOT_FOUND)
    sim_breach(w, "I-ROOM", "was not in its room", p->id, room);
  if (rv == 0) {
    p->rooms &= ~bit;
    p->rooms_maybe &= ~bit;
  }
}

void host_check_rooms(world *w, const pair *p) {
  for (uint32_t i = 0; i < ROOMS; i++) {
    bool in = rill_in_room(p->server, host_room(i));
    if ((p->rooms_maybe >> i & 1) == 0 && in != ((p->rooms >> i & 1) != 0))
      sim_breach(w, "I-ROOM", "membership is not by the books", p->id, i);
  }
}

static void posted(rill_hub *hub, void *arg) {
  world *w = arg;

  sim_handler_enter(w, hub);
  w->scene->posts--;
  sim_note(w, "posted", 0, 0, 0);
  host_broadcast_new(w);
  sim_handler_leave(w);
}

static void post(world *w) {
  if (SIM_COMMAND(w, rill_post(host_hub(w), posted, w)) == 0)
    w->scene->posts++;
}

/* One command, as chance has it; in handlers too. */
void host_command(world *w, pair *p) {
  uint32_t k = sim_below(w, 100);

  if (k < 35)
    host_broadcast_new(w);
  else if (p == NULL)
    return;
  else if (k < 65)
    host_send_new(w, p);
  else if (k < 72)
    host_join(w, p, sim_below(w, ROOMS));
  else if (k < 77)
    leave_one(w, p, sim_below(w, ROOMS));
  else if (k < 82)
    SIM_COMMAND(w,
                rill_join_request(p->server, host_room(sim_below(w, ROOMS))));
  else if (k < 85)
    SIM_COMMAND(w, rill_ping(p->server));
  else if (k < 88)
    post(w);
  else if (k < 91 && p->server_side == SIDE_OPEN)
    host_check_rooms(w, p);
  else if (k < 94 && sim_fault(w, FAULT_PAUSE))
    pause_one(w, p);
  else if (k < 96 && sim_fault(w, FAULT_CLOSE))
    close_one(w, p);
}

/* Sometimes more is to be done in a turn than a peer can take. */
void host_act(world *w) {
  pair *p = host_some_pair(w);
  uint32_t n = sim_chance(w, 15) ? 2 + sim_below(w, 20) : 1;

  while (n-- > 0)
    host_command(w, sim_chance(w, 70) ? p : host_some_pair(w));
  host_touched(w);
}
