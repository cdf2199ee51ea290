/*
 * guestsetup.c - the server as the seed makes it, and whom it lets in.
 */
#include <stdio.h>

#include "events.h"

caller *events_caller(world *w, rill_str token) {
  uint32_t id = 0;

  for (size_t i = 1; i < token.len; i++)
    id = id * 10 + (uint32_t)(token.ptr[i] - '0');
  return token.len > 1 && id <= w->events->ncallers && id > 0
             ? w->events->callers[id - 1]
             : NULL;
}

static int accept_as(world *w, rill_request *req, const caller *c) {
  return SIM_COMMAND(w, rill_accept(req, events_user(c)));
}

static void decide(world *w, void *a, uint64_t id) {
  w->events->verdicts--;
  if (sim_chance(w, 85) || w->calm)
    accept_as(w, a, w->events->callers[id - 1]);
  else
    SIM_COMMAND(w, rill_reject(a, 403, "not you"));
  events_touched(w);
}

static int authenticate(rill_request *req, void *arg) {
  world *w = ((node *)arg)->w;
  caller *c;
  int rv = RILL_LATER;

  sim_handler_enter(w, rill_request_hub(req));
  c = events_caller(w, rill_request_credential(req));
  if (c == NULL && !sim_fault(w, FAULT_NO_MEMORY))
    sim_breach(w, "I-OPEN", "nobody asks", 0, 0);
  if (c == NULL) {
    rv = SIM_COMMAND(w, rill_reject(req, 503, "no token"));
  } else if (w->calm || !sim_fault(w, FAULT_AUTH) || sim_chance(w, 60)) {
    rv = accept_as(w, req, c);
  } else if (sim_chance(w, 20)) {
    rv = SIM_COMMAND(w, rill_reject(req, 401, "\"no\""));
  } else {
    w->events->verdicts++;
    sim_later(w, sim_below(w, 2500) * RILL_MSEC, decide, req, c->id);
  }
  sim_handler_leave(w);
  return rv;
}

static void set_limits(world *w, rill_limits *l) {
  sim_event_limits(l);
  l->header_bytes = 2048;
  l->payload_bytes = 8192;
  l->upgrade_ms = 3000;
  l->poll_close_ms = 3000;
  l->ack_ms = 3000;
  if (!sim_fault(w, FAULT_TIGHT))
    return;
  l->soft_bytes = 600;
  l->soft_count = 8;
  l->queue_bytes = 3000;
  l->queue_count = 40;
  l->history_count = 40;
  l->history_bytes = 4000;
  l->away_peers = 3;
}

static end *accept_stream(world *w) {
  const rill_conn_info info = {rill_s("10.0.0.1"), (uint16_t)(w->ids + 1),
                               false};

  return sim_accept(w, &info);
}

void events_host_setup(world *w) {
  rill_config config;
  rill_route_opts opts = {.handlers = &events_handlers, .arg = w};
  const rill_space_opts root = {.recovery = w->events->recovery};
  const rill_room_opts history = {.history = 100};
  const rill_room_opts batch = {.batch_ms = BATCH_MS};
  rill_hub *hub;

  rill_config_init(&config);
  set_limits(w, &config.limits);
  config.arg = &w->nodes[0];
  config.authenticate = authenticate;
  sim_node_start(w, 0, &config);
  hub = w->nodes[0].hub;
  w->accept = accept_stream;
  sim_must(w, rill_route(hub, "/sse", RILL_SSE, &opts), "route");
  sim_must(w, rill_route(hub, "/sse/:room", RILL_SSE, &opts), "route");
  if (sim_fault(w, FAULT_DEFLATE))
    opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 20};
  sim_must(w, rill_route(hub, "/sio/", RILL_SOCKETIO, &opts), "route");
  sim_must(w, rill_route(hub, "/json", RILL_JSON, &opts), "route");
  sim_must(w, rill_space(hub, "/", &root), "space");
  sim_must(w, rill_room_defaults(hub, "h*", &history), "room defaults");
  sim_must(w, rill_room_defaults(hub, "b*", &batch), "room defaults");
  sim_must(w, rill_on(hub, NULL, "up", events_on_event, w), "on");
  sim_must(w, rill_on(hub, NULL, "ask", events_on_event, w), "on");
}
