/*
 * peers.c - the clients that hubs dial, and what their hosts do.
 */
#include <stdio.h>
#include <string.h>

#include "scene.h"

static pair *pair_of(world *w, rill_peer peer, const char *what) {
  pair *p = rill_peer_data(peer);

  if (p == NULL || !rill_peer_eq(p->client, peer))
    sim_breach(w, "I-CLOSE", "a client's handler for nobody", 0, 0);
  if (p->client_side == SIDE_CLOSED)
    sim_breach(w, "I-CLOSE", what, p->id, 0);
  return p;
}

static void touched(pair *p) {
  p->client_node->turn_open = true;
}

static void send_up(world *w, pair *p) {
  uint32_t max = w->nodes[0].limits.message_bytes, id;
  size_t len = sim_below(w, sim_chance(w, 90) ? 300 : max);
  rill_msg msg;
  int rv;

  id = message_some(w, len);
  msg = message_msg(w, id);
  msg.uncompressed = sim_chance(w, 20);
  rv = SIM_COMMAND(w, rill_send(p->client, &msg));
  sim_note(w, "client sends", p->id, id, (uint64_t)(int64_t)rv);
  if (rv == 0 || rv == RILL_BUSY) {
    flow_sent(w, &p->up, id, 0, false, false, false);
    p->busy[1] |= rv == RILL_BUSY;
  } else if (rv == RILL_ERR_STATE && p->client_side != SIDE_NONE) {
    sim_breach(w, "I-CLOSE", "not open, it says", p->id, 0);
  }
}

static void end_client(world *w, pair *p) {
  int code = (int)(4000 + sim_below(w, 900)), rv;

  if (sim_chance(w, 30)) {
    code = 0;
    rv = SIM_COMMAND(w, rill_cut(p->client));
  } else {
    rv = SIM_COMMAND(w, rill_close(p->client, code, "done"));
  }
  sim_note(w, "client closes", p->id, (uint64_t)code, (uint64_t)(int64_t)rv);
  if (rv != 0)
    return;
  p->client_closing = true;
  if (p->client_code == 0)
    p->client_code = (uint16_t)code;
}

static void resume(world *w, void *a, uint64_t b) {
  pair *p = a;

  (void)b;
  if (!p->paused[1])
    return;
  p->paused[1] = false;
  SIM_COMMAND(w, rill_resume(p->client));
  touched(p);
}

static void command(world *w, pair *p) {
  uint32_t k = sim_below(w, 100);

  if (k < 75)
    send_up(w, p);
  else if (k < 80)
    SIM_COMMAND(w, rill_ping(p->client));
  else if (k < 88 && sim_fault(w, FAULT_CLOSE))
    end_client(w, p);
  else if (k < 94 && sim_fault(w, FAULT_PAUSE) &&
           SIM_COMMAND(w, rill_pause(p->client)) == 0) {
    p->paused[1] = true;
    sim_later(w, sim_below(w, 3000) * RILL_MSEC, resume, p, 0);
  }
}

static int failing(world *w, pair *p) {
  if (w->calm || !sim_fault(w, FAULT_HANDLER_ERROR) || !sim_chance(w, 1))
    return 0;
  p->client_closing = true;
  return RILL_ERR_HANDLER;
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  world *w = arg;
  pair *p;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "on_open after on_close");
  if (p->client_side != SIDE_NONE || req == NULL)
    sim_breach(w, "I-OPEN", "a client opens twice", p->id, 0);
  sim_note(w, "client open", p->id, 0, 0);
  p->client_side = SIDE_OPEN;
  for (uint32_t n = sim_below(w, 3); n > 0 && !w->calm; n--)
    command(w, p);
  rv = failing(w, p);
  sim_handler_leave(w);
  return rv;
}

static int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  world *w = arg;
  pair *p;
  uint32_t id;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "a message after the client's on_close");
  if (p->client_side != SIDE_OPEN || p->client_closing)
    sim_breach(w, "I-CLOSE", "a message for a closing client", p->id, 0);
  if (p->paused[1])
    sim_breach(w, "I-PAUSE", "a message for a paused client", p->id, 0);
  flow_got(w, &p->down, msg->kind, msg->data, msg->len, &id);
  sim_note(w, "client got", p->id, id, msg->len);
  if (!w->calm && sim_chance(w, 8))
    command(w, p);
  rv = failing(w, p);
  sim_handler_leave(w);
  return rv;
}

static int on_drain(rill_peer peer, void *arg) {
  world *w = arg;
  pair *p;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "on_drain after the client's on_close");
  if (!p->busy[1])
    sim_breach(w, "I-DRAINED", "a client's that nobody waits for", p->id, 0);
  p->busy[1] = false;
  sim_handler_leave(w);
  return 0;
}

/* The server keeps the protocol, so a client never has to complain. */
static void check_closed(world *w, pair *p, const rill_closed *c) {
  uint64_t dropped = 0;

  switch (c->cause) {
  case RILL_CAUSE_NONE:
  case RILL_CAUSE_UTF8:
  case RILL_CAUSE_TOO_BIG:
  case RILL_CAUSE_PROTO:
    sim_breach(w, "I-CAUSE", rill_cause_text(c->cause), p->id, c->sent);
  case RILL_CAUSE_NOMEM:
    if (!sim_fault(w, FAULT_NO_MEMORY))
      sim_breach(w, "I-CAUSE", rill_cause_text(c->cause), p->id, c->sent);
    break;
  case RILL_CAUSE_PEER:
    if (p->client_closing || c->code == RILL_CLOSE_SLOW ||
        c->code == RILL_CLOSE_OVERLOAD)
      break;
    if (p->server_code != 0 && c->code != p->server_code &&
        c->code != RILL_CLOSE_GOING_AWAY && c->code != RILL_CLOSE_ERROR &&
        c->code != RILL_CLOSE_POLICY)
      sim_breach(w, "I-CAUSE", "another code than the host's", c->code,
                 p->server_code);
    flow_whole(w, &p->down, "lost before the server's close", p->id, &dropped);
    break;
  default:
    break;
  }
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  world *w = arg;
  pair *p;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "the client's on_close twice");
  sim_note(w, "client end", p->id, closed->cause, closed->code);
  check_closed(w, p, closed);
  p->client_side = SIDE_CLOSED;
  p->paused[1] = false;
  sim_handler_leave(w);
}

static const rill_handlers handlers = {
    .on_open = on_open,
    .on_message = on_message,
    .on_drain = on_drain,
    .on_close = on_close};

void peers_dial(world *w) {
  static const char *const auths[] = {"now",   "now",    "now",   "now",
                                      "later", "reject", "silent"};
  static const char *const paths[] = {"/plain", "/deflate", "/takeover",
                                      "/nothing"};
  node *n = &w->nodes[1 + sim_below(w, w->nnodes - 1)];
  const char *auth = sim_fault(w, FAULT_AUTH) ? auths[sim_below(w, 7)] : "now";
  rill_dial_opts opts = {.handlers = &handlers, .arg = w};
  const char *scheme =
      sim_chance(w, 10) ? "ws+unix:/run/sim:" : "ws://sim.example:8080";
  const char *path = paths[sim_chance(w, 3) ? 3 : sim_below(w, 3)];
  char url[200];
  pair *p = pair_new(w);
  int rv;

  if (sim_fault(w, FAULT_DEFLATE) && sim_chance(w, 70)) {
    opts.deflate.enabled = true;
    opts.deflate.threshold = 40;
    opts.deflate.server_context_takeover = sim_chance(w, 50);
    opts.deflate.client_context_takeover = sim_chance(w, 50);
    opts.deflate.client_max_window_bits = (uint8_t)(9 + sim_below(w, 7));
  }
  snprintf(url, sizeof url, "%s%s/%u?auth=%s", scheme, path, (unsigned)p->id,
           auth);
  rv = SIM_COMMAND(w, rill_dial(&p->client, n->hub, url, &opts, w->now));
  sim_note(w, "dial", p->id, n->index, (uint64_t)(int64_t)rv);
  n->turn_open = true;
  p->client_node = n;
  if (rv == 0) {
    SIM_COMMAND(w, rill_peer_set_data(p->client, p));
    return;
  }
  p->client_side = SIDE_CLOSED;
  if (rv != RILL_ERR_LIMIT &&
      (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY)))
    sim_breach(w, "I-OOM", "rill_dial", (uint64_t)(int64_t)rv, 0);
}

static void script_act(world *w, pair *p) {
  uint32_t id = message_some(w, sim_below(w, 400));

  if (script_is_talking(p->script)) {
    flow_sent(w, &p->up, id, 0, false, false, false);
    script_message(p->script, id);
  }
}

void peers_act(world *w) {
  scene *s = w->scene;
  uint32_t at = sim_below(w, s->npairs);

  for (uint32_t i = 0; i < s->npairs; i++) {
    pair *p = s->pairs[(at + i) % s->npairs];
    if (p->client_side == SIDE_CLOSED || p->hostile)
      continue;
    if (p->script != NULL) {
      script_act(w, p);
      return;
    }
    if (p->client_side == SIDE_OPEN || sim_chance(w, 5)) {
      command(w, p);
      touched(p);
      return;
    }
  }
}

void peers_setup(world *w) {
  for (uint32_t i = 1; i < w->nnodes; i++) {
    rill_config config;
    rill_config_init(&config);
    config.limits.messages_per_sec = RILL_UNLIMITED;
    config.limits.bytes_per_sec = RILL_UNLIMITED;
    config.limits.head_ms = 4000;
    config.limits.close_ms = 2000;
    config.limits.conns = 30;
    if (sim_fault(w, FAULT_TIGHT)) {
      config.limits.soft_bytes = 2000;
      config.limits.soft_count = 10;
      config.limits.queue_bytes = 10000;
    }
    config.limits.queues_total_bytes = 8u << 20;
    sim_node_start(w, i, &config);
  }
}
