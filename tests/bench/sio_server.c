/*
 * sio_server.c - rill with events: what sio_peer.mjs and `bare PORT sse` do.
 *
 *   sio_server PORT echo|fanout
 *
 * Peers of Socket.IO are in the room "bench"; their event "pub" goes back, or
 * to all of the room.  /events streams the rooms that it is asked for, and
 * each message to the WebSocket /pub is an event "pub" for the room.
 *
 * What protects a public server from its clients is off, so that a
 * measurement meets the library and not its limits.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rill/epoll.h>
#include <rill/event.h>

static const char room[] = "bench";

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  (void)req;
  (void)arg;
  return rill_join(peer, rill_s(room));
}

static int on_echo(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);
  int rv;

  (void)arg;
  rill_put_value(b, rill_event_arg(ev, 0));
  rv = rill_emit_peer(peer, "pub", b, NULL);
  return rv < 0 ? rv : 0;
}

static int on_pub(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);
  int rv;

  (void)arg;
  rill_put_value(b, rill_event_arg(ev, 0));
  rv = rill_emit_room(peer.hub, rill_s(room), "pub", b, NULL);
  return rv < 0 ? rv : 0;
}

static int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  rill_builder *b = rill_build(peer.hub);
  int rv;

  (void)arg;
  rill_put_str(b, (rill_str){msg->data, msg->len});
  rv = rill_emit_room(peer.hub, rill_s(room), "pub", b, NULL);
  return rv < 0 ? rv : 0;
}

static void set_limits(rill_limits *l) {
  l->message_bytes = l->payload_bytes = 16 * 1024 * 1024;
  l->message_ms = l->assembly_bytes = RILL_UNLIMITED;
  l->ping_ms = l->pong_ms = 3600 * 1000;
  l->idle_ms = RILL_UNLIMITED;
  l->queue_bytes = 64 * 1024 * 1024;
  l->soft_bytes = l->queue_bytes / 4;
  l->queue_count = l->soft_count = RILL_UNLIMITED;
  l->queues_total_bytes = l->slow_ms = RILL_UNLIMITED;
  l->conns = l->conns_per_address = l->half_open = RILL_UNLIMITED;
  l->accepts_per_sec = l->accepts_burst = RILL_UNLIMITED;
  l->address_accepts_per_sec = l->address_accepts_burst = RILL_UNLIMITED;
  l->messages_per_sec = l->messages_burst = RILL_UNLIMITED;
  l->bytes_per_sec = l->bytes_burst = RILL_UNLIMITED;
}

static int add_routes(rill_hub *hub, bool fanout) {
  static const rill_handlers events = {.on_open = on_open}, none = {0};
  static const rill_handlers publisher = {.on_message = on_message};
  int rv = rill_route(hub, "/socket.io/", RILL_SOCKETIO,
                      &(rill_route_opts){.handlers = &events});

  if (rv == 0)
    rv = rill_route(hub, "/events", RILL_SSE,
                    &(rill_route_opts){.handlers = &none});
  if (rv == 0)
    rv = rill_route(hub, "/pub", RILL_RAW,
                    &(rill_route_opts){.handlers = &publisher});
  if (rv == 0)
    rv = rill_on(hub, NULL, "pub", fanout ? on_pub : on_echo, NULL);
  return rv;
}

int main(int argc, char **argv) {
  char address[64];
  rill_config config;
  rill_hub *hub = NULL;
  int rv;

  if (argc != 3 || (strcmp(argv[2], "echo") && strcmp(argv[2], "fanout"))) {
    fprintf(stderr, "usage: sio_server PORT echo|fanout\n");
    return 2;
  }
  snprintf(address, sizeof address, "tcp://127.0.0.1:%s", argv[1]);
  rill_config_init(&config);
  set_limits(&config.limits);
  rv = rill_hub_new(&hub, &config);
  if (rv == 0)
    rv = add_routes(hub, strcmp(argv[2], "fanout") == 0);
  if (rv == 0)
    rv = rill_epoll_serve(hub, address);
  if (rv != 0)
    fprintf(stderr, "sio_server: %s: %s\n", address,
            rv == RILL_ERR_IO ? strerror(errno) : rill_strerror(rv));
  rill_hub_free(hub);
  return rv != 0;
}
