/*
 * host_hooks.c - the server's hooks, whose verdicts come now or later, and
 * its answers to plain requests.
 */
#include <string.h>

#include "host.h"

/* The request has been given back, whatever |rv| is. */
static int accept_as(world *w, rill_request *req, pair *p) {
  uint32_t user = sim_below(w, USERS);
  uint32_t was = p->user;
  int rv;

  p->user = user;
  rv = SIM_COMMAND(w, rill_accept(req, rill_s(host_users[user])));
  sim_note(w, "accept", p->id, user, (uint64_t)(int64_t)rv);
  if (rv != 0 && rv != RILL_ERR_CLOSED &&
      (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY)))
    sim_breach(w, "I-HTTP", "rill_accept", p->id, (uint64_t)(int64_t)rv);
  if (rv != 0)
    p->user = was;
  return rv;
}

static void respond(world *w, rill_request *req, const char *text) {
  const rill_header header = {"X-Sim", "yes"};
  rill_response r = {.body = text,
                     .body_len = strlen(text),
                     .headers = &header,
                     .nheaders = 1};
  int rv = SIM_COMMAND(w, rill_respond(req, &r));

  sim_note(w, "respond", r.body_len, (uint64_t)(int64_t)rv, 0);
  if (rv != 0 && rv != RILL_ERR_CLOSED &&
      (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY)))
    sim_breach(w, "I-HTTP", "rill_respond", (uint64_t)(int64_t)rv, 0);
}

static void decide(world *w, void *a, uint64_t id) {
  rill_request *req = a;

  w->scene->verdicts--;
  if (id == UINT64_MAX)
    respond(w, req, "later");
  else if (sim_chance(w, 70))
    accept_as(w, req, pair_by_id(w, (uint32_t)id));
  else
    SIM_COMMAND(w, rill_reject(req, 403, "not you"));
  host_touched(w);
}

int host_authenticate(rill_request *req, void *arg) {
  world *w = ((node *)arg)->w;
  rill_str auth = rill_request_query(req, "auth");
  pair *p;
  int rv = RILL_LATER;

  sim_handler_enter(w, rill_request_hub(req));
  p = pair_by_id(w, host_id_of(req));
  if (p == NULL) {
    rv = SIM_COMMAND(w, rill_reject(req, 400, "no id"));
  } else if (rill_str_eq(auth, rill_s("now"))) {
    rv = accept_as(w, req, p);
  } else if (rill_str_eq(auth, rill_s("reject"))) {
    rv = sim_chance(w, 50) ? SIM_COMMAND(w, rill_reject(req, 401, "\"no\""))
                           : -1;
  } else {
    bool silent = rill_str_eq(auth, rill_s("silent"));
    w->scene->verdicts++;
    sim_later(w, sim_below(w, silent ? 9000 : 2000) * RILL_MSEC, decide, req,
              p->id);
  }
  sim_handler_leave(w);
  return rv;
}

int host_hello(rill_request *req, void *arg) {
  world *w = arg;

  sim_handler_enter(w, rill_request_hub(req));
  respond(w, req, "hello");
  sim_handler_leave(w);
  return 0;
}

int host_echo_body(rill_request *req, void *arg) {
  world *w = arg;
  rill_str body = rill_request_body(req);
  rill_response r = {.status = 201, .body = body.ptr, .body_len = body.len};

  sim_handler_enter(w, rill_request_hub(req));
  SIM_COMMAND(w, rill_respond(req, &r));
  sim_handler_leave(w);
  return 0;
}

int host_later(rill_request *req, void *arg) {
  world *w = arg;

  sim_handler_enter(w, rill_request_hub(req));
  w->scene->verdicts++;
  sim_later(w, sim_below(w, 1500) * RILL_MSEC, decide, req, UINT64_MAX);
  sim_handler_leave(w);
  return RILL_LATER;
}

int host_fail(rill_request *req, void *arg) {
  (void)req;
  (void)arg;
  return -5;
}

static void allow_or_deny(world *w, void *a, uint64_t room) {
  pair *p = a;
  uint32_t bit = 1u << room;
  int rv;

  if (sim_chance(w, 70)) {
    rv = SIM_COMMAND(w, rill_join_allow(p->server, host_room((uint32_t)room)));
    if (rv == 0)
      p->rooms_maybe |= bit & ~p->rooms;
  } else {
    rv = SIM_COMMAND(w, rill_join_deny(p->server, host_room((uint32_t)room),
                                       RILL_ERR_FORBIDDEN));
  }
  sim_note(w, "verdict", p->id, room, (uint64_t)(int64_t)rv);
  host_touched(w);
}

int host_authorize_join(rill_peer peer, rill_str room, void *arg) {
  world *w = ((node *)arg)->w;
  pair *p;
  uint32_t i;
  int rv = RILL_LATER;

  sim_handler_enter(w, peer.hub);
  p = host_pair_of(w, peer, "authorize_join after on_close");
  i = host_room_index(w, room);
  switch (sim_fault(w, FAULT_ASYNC_JOIN) ? sim_below(w, 4) : 0) {
  case 0:
    p->rooms_maybe |= 1u << i & ~p->rooms;
    rv = 0;
    break;
  case 1:
    rv = RILL_ERR_FORBIDDEN;
    break;
  case 2:
    if (SIM_COMMAND(w, rill_join_allow(peer, room)) == 0)
      p->rooms_maybe |= 1u << i & ~p->rooms;
    break;
  default:
    sim_later(w, sim_below(w, 2000) * RILL_MSEC, allow_or_deny, p, i);
    break;
  }
  sim_note(w, "authorize", p->id, i, (uint64_t)(int64_t)rv);
  sim_handler_leave(w);
  return rv;
}

uint32_t host_charge(rill_peer peer, const rill_msg *msg, void *arg) {
  world *w = ((node *)arg)->w;

  sim_handler_enter(w, peer.hub);
  sim_handler_leave(w);
  return msg->len > 1000 ? 3 : 1;
}

void host_on_log(void *arg, rill_log_level level, const char *event,
                 const char *text) {
  world *w = ((node *)arg)->w;
  size_t n = strlen(text);

  if (n > 1024 || event[0] == '\0' || level > RILL_LOG_DEBUG)
    sim_breach(w, "I-LOG", event, n, level);
  for (size_t i = 0; i < n; i++)
    if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
      sim_breach(w, "I-LOG", "a control byte", (uint8_t)text[i], i);
}
