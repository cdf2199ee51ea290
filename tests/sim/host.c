/*
 * host.c - the server's program: its handlers, which check what they are
 * told.
 */
#include "host.h"

/* A handler fails now and then. */
static int failing(world *w, pair *p) {
  if (w->calm || !sim_fault(w, FAULT_HANDLER_ERROR) || !sim_chance(w, 1))
    return 0;
  sim_note(w, "handler fails", p->id, 0, 0);
  p->server_closing = true;
  return -77;
}

/* The pair's number, which is in the path. */
uint32_t host_id_of(const rill_request *req) {
  rill_str id = rill_request_param(req, "id");
  uint32_t n = 0;

  for (size_t i = 0; i < id.len && id.ptr[i] >= '0' && id.ptr[i] <= '9'; i++)
    n = n * 10 + (uint32_t)(id.ptr[i] - '0');
  return n;
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  world *w = arg;
  uint32_t n = host_id_of(req);
  pair *p;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = pair_by_id(w, n);
  if (p == NULL || p->server_side != SIDE_NONE)
    sim_breach(w, "I-OPEN", "a peer that was not expected", n, 0);
  sim_note(w, "open", p->id, 0, 0);
  p->server = peer;
  p->server_side = SIDE_OPEN;
  if (!rill_str_eq(rill_peer_user(peer), rill_s(host_users[p->user])))
    sim_breach(w, "I-OPEN", "another user", p->id, p->user);
  SIM_COMMAND(w, rill_peer_set_data(peer, p));
  for (uint32_t k = sim_below(w, 4); k > 0 && !w->calm; k--)
    host_join(w, p, sim_below(w, ROOMS));
  if (!w->calm && sim_chance(w, 40))
    host_command(w, p);
  rv = failing(w, p);
  sim_handler_leave(w);
  return rv;
}

pair *host_pair_of(world *w, rill_peer peer, const char *what) {
  pair *p = rill_peer_data(peer);

  if (p == NULL || !rill_peer_eq(p->server, peer))
    sim_breach(w, "I-CLOSE", "a handler for nobody", 0, 0);
  if (p->server_side != SIDE_OPEN)
    sim_breach(w, "I-CLOSE", what, p->id, 0);
  return p;
}

static int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  world *w = arg;
  pair *p;
  uint32_t id;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = host_pair_of(w, peer, "a message after on_close");
  if (p->server_closing)
    sim_breach(w, "I-CLOSE", "a message after the close", p->id, 0);
  if (p->paused[0])
    sim_breach(w, "I-PAUSE", "a message although it is paused", p->id, 0);
  flow_got(w, &p->up, msg->kind, msg->data, msg->len, &id);
  sim_note(w, "host got", p->id, id, msg->len);
  if (!w->calm && sim_chance(w, 30)) {
    rill_msg echo = *msg;
    echo.overflow = host_policy(w);
    if (sim_chance(w, 30))
      host_broadcast(w, &echo, id, 0);
    host_send(w, p, &echo, id, 0);
  }
  if (!w->calm && sim_chance(w, 10))
    host_command(w, sim_chance(w, 50) ? p : host_some_pair(w));
  rv = failing(w, p);
  if (rv == 0 && !w->calm && sim_fault(w, FAULT_PAUSE) && sim_chance(w, 3)) {
    rv = RILL_PAUSE;
    p->paused[0] = true;
    sim_later(w, sim_below(w, 2000) * RILL_MSEC, host_resume, p, 0);
  }
  sim_handler_leave(w);
  return rv;
}

static int on_drain(rill_peer peer, void *arg) {
  world *w = arg;
  pair *p;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = host_pair_of(w, peer, "on_drain after on_close");
  sim_note(w, "drained", p->id, 0, 0);
  if (!p->busy[0])
    sim_breach(w, "I-DRAINED", "on_drain that nobody waits for", p->id, 0);
  p->busy[0] = false;
  if (!w->calm && sim_chance(w, 30))
    host_command(w, p);
  rv = failing(w, p);
  sim_handler_leave(w);
  return rv;
}

static int on_joined(rill_peer peer, rill_str room, int status, void *arg) {
  world *w = arg;
  pair *p;
  uint32_t bit;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = host_pair_of(w, peer, "on_joined after on_close");
  bit = 1u << host_room_index(w, room);
  sim_note(w, "joined", p->id, bit, (uint64_t)(int64_t)status);
  if (status == 0 && (p->rooms_maybe & bit) != 0)
    p->rooms |= bit;
  if (status == 0 || !rill_in_room(peer, room))
    p->rooms_maybe &= ~bit; /* else another request was granted */
  rv = failing(w, p);
  sim_handler_leave(w);
  return rv;
}

/* What on_close says must be true. */
static void check_closed(world *w, pair *p, const rill_closed *c) {
  uint64_t dropped = 0;
  rill_cause cause = c->cause;
  bool wrong = false;

  if (cause == RILL_CAUSE_PROTO || cause == RILL_CAUSE_UTF8 ||
      cause == RILL_CAUSE_TOO_BIG)
    wrong = !p->hostile;
  else if (cause == RILL_CAUSE_NOMEM)
    wrong = !sim_fault(w, FAULT_NO_MEMORY);
  else if (cause == RILL_CAUSE_HANDLER)
    wrong = !sim_fault(w, FAULT_HANDLER_ERROR);
  else if (cause == RILL_CAUSE_HOST)
    wrong = !p->server_closing;
  else if (cause == RILL_CAUSE_DRAIN)
    wrong = !w->scene->ending;
  else if (cause == RILL_CAUSE_NONE || cause == RILL_CAUSE_DIAL ||
           cause == RILL_CAUSE_REFUSED)
    wrong = true;
  if (wrong)
    sim_breach(w, "I-CAUSE", rill_cause_text(cause), p->id, c->code);
  if (cause != RILL_CAUSE_PEER || p->hostile || p->server_closing ||
      c->code == RILL_CLOSE_SLOW || c->code == RILL_CLOSE_OVERLOAD)
    return; /* the last two: what was queued was dropped */
  if (p->client_code != 0 && c->code != p->client_code &&
      c->code != RILL_CLOSE_ERROR)
    sim_breach(w, "I-CAUSE", "another close code", c->code, p->client_code);
  flow_whole(w, &p->up, "lost before the client's close", p->id, &dropped);
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  world *w = arg;
  pair *p;

  sim_handler_enter(w, peer.hub);
  p = host_pair_of(w, peer, "on_close twice");
  sim_note(w, "closed", p->id, closed->cause, closed->code);
  host_check_rooms(w, p);
  if (rill_is_open(peer))
    sim_breach(w, "I-CLOSE", "open in on_close", p->id, 0);
  check_closed(w, p, closed);
  p->server_side = SIDE_CLOSED;
  p->paused[0] = false;
  if (!w->calm && sim_chance(w, 30))
    host_command(w, sim_chance(w, 30) ? p : host_some_pair(w));
  sim_handler_leave(w);
}

const rill_handlers host_handlers = {
    .on_open = on_open,
    .on_message = on_message,
    .on_drain = on_drain,
    .on_joined = on_joined,
    .on_close = on_close};
