/*
 * host_setup.c - the server as the seed makes it: limits, routes, admission.
 */
#include <stdio.h>

#include "host.h"

static void set_limits(world *w, rill_limits *l) {
  l->head_ms = 2000;
  l->body_ms = l->verdict_ms = l->keepalive_ms = 3000;
  l->header_bytes = 2048;
  l->body_bytes = 4096;
  l->message_bytes = sim_fault(w, FAULT_LARGE) ? 150000 : 4096;
  l->fragments = 30;
  l->message_ms = 3000;
  l->close_ms = 1000;
  l->ping_ms = 4000;
  l->pong_ms = 3000;
  l->idle_ms = 9000;
  l->soft_bytes = 8192;
  l->soft_count = 64;
  l->queue_bytes = sim_fault(w, FAULT_LARGE) ? 200000 : 32768;
  l->queue_count = 256;
  l->slow_ms = 4000;
  l->queues_total_bytes = 8u << 20;
  l->assembly_bytes = 1u << 20;
  l->conns = 60;
  l->half_open = 40;
  l->rooms_per_peer = 6;
  l->joins_pending = 3;
  if (sim_fault(w, FAULT_FLOOD)) {
    l->bytes_per_sec = 20000;
    l->bytes_burst = l->message_bytes + 20000;
    l->throttle_ms = 200 + sim_below(w, 2000);
  } else {
    l->messages_per_sec = l->messages_burst = RILL_UNLIMITED;
    l->bytes_per_sec = l->bytes_burst = RILL_UNLIMITED;
  }
  if (sim_fault(w, FAULT_ADMIT)) {
    l->conns = 10 + sim_below(w, 20);
    l->half_open = 4;
    l->conns_per_address = 3;
    l->accepts_per_sec = l->accepts_burst = 10;
    l->address_accepts_per_sec = l->address_accepts_burst = 2;
  }
  if (sim_chance(w, 20))
    l->idle_ms = 5000;
  if (sim_fault(w, FAULT_TIGHT)) {
    l->soft_bytes = 512;
    l->soft_count = 4;
    l->queue_bytes = 2048;
    l->queue_count = 8;
    l->assembly_bytes = l->message_bytes + 8192;
    l->queues_total_bytes = 600000 + sim_below(w, 600000);
  }
}

static end *accept_stream(world *w) {
  char address[32];
  rill_conn_info info = {.port = (uint16_t)(1024 + w->ids % 60000)};

  if (sim_chance(w, 10))
    snprintf(address, sizeof address, "unix");
  else if (sim_chance(w, 10))
    snprintf(address, sizeof address, "2001:db8::%u", 1 + sim_below(w, 9));
  else
    snprintf(address, sizeof address, "10.0.0.%u", 1 + sim_below(w, 20));
  info.address = rill_s(address);
  return sim_accept(w, &info);
}

void host_setup(world *w) {
  rill_config config;
  rill_route_opts opts = {.handlers = &host_handlers, .arg = w};
  const rill_room_opts old = {.overflow = RILL_DROP_OLDEST},
                       newest = {.overflow = RILL_DROP_NEWEST};
  rill_hub *hub;

  rill_config_init(&config);
  set_limits(w, &config.limits);
  config.arg = &w->nodes[0];
  config.authenticate = host_authenticate;
  config.authorize_join = host_authorize_join;
  config.charge = sim_chance(w, 50) ? host_charge : NULL;
  config.log = host_on_log;
  config.log_level = RILL_LOG_DEBUG;
  sim_node_start(w, 0, &config);
  hub = w->nodes[0].hub;
  w->accept = accept_stream;
  sim_must(w, rill_route(hub, "/plain/:id", RILL_RAW, &opts), "route");
  opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 50};
  sim_must(w, rill_route(hub, "/deflate/:id", RILL_RAW, &opts), "route");
  opts.deflate.server_context_takeover = true;
  opts.deflate.client_context_takeover = true;
  opts.deflate.server_max_window_bits = (uint8_t)(9 + sim_below(w, 7));
  sim_must(w, rill_route(hub, "/takeover/:id", RILL_RAW, &opts), "route");
  sim_must(w, rill_handle(hub, "GET", "/hello", host_hello, w), "handle");
  sim_must(w, rill_handle(hub, "POST", "/echo", host_echo_body, w), "handle");
  sim_must(w, rill_handle(hub, "GET", "/later", host_later, w), "handle");
  sim_must(w, rill_handle(hub, "*", "/fail", host_fail, w), "handle");
  sim_must(w, rill_room_defaults(hub, "old*", &old), "room defaults");
  sim_must(w, rill_room_defaults(hub, "new*", &newest), "room defaults");
}
