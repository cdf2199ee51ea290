/*
 * suite_server.c - what the protocol suites of Engine.IO v4 and Socket.IO v5
 * expect to talk to: an echo at /engine.io/, and at /socket.io/ the
 * namespaces "/" and "/custom" with the events "auth", "message" and
 * "message-with-ack".
 */
#include "server.h"

static int on_echo(rill_peer peer, const rill_msg *msg, void *arg) {
  int rv = rill_send(peer, msg);

  (void)arg;
  return rv < 0 ? rv : 0;
}

/* Tells a new peer what it said of itself. */
static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  rill_builder *b = rill_build(peer.hub);
  rill_value auth = rill_request_auth(req);
  int rv;

  (void)arg;
  if (rill_value_type(auth) == RILL_OBJECT) {
    rill_put_value(b, auth);
  } else {
    rill_put_object(b);
    rill_put_end(b);
  }
  rv = rill_emit_peer(peer, "auth", b, NULL);
  return rv < 0 ? rv : 0;
}

static int on_message(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = build_all(peer.hub, rill_event_args(ev));
  int rv = rill_emit_peer(peer, "message-back", b, NULL);

  (void)arg;
  return rv < 0 ? rv : 0;
}

static int on_message_with_ack(rill_peer peer, const rill_event *ev,
                               void *arg) {
  (void)arg;
  /* without an ack id nobody waits, which is the sender's business */
  rill_event_reply(ev, build_all(peer.hub, rill_event_args(ev)));
  return 0;
}

typedef struct settings {
  const char *address;
  uint32_t ping_interval, ping_timeout; /* ms */
  uint32_t max_payload;                 /* bytes */
  int recovery;                         /* as getopt_long sets it */
} settings;

static int add_routes(rill_hub *hub, bool recovery) {
  static const char *const spaces[] = {"/", "/custom"};
  static const rill_handlers echo = {.on_message = on_echo};
  static const rill_handlers events = {.on_open = on_open};
  const rill_route_opts engine = {.handlers = &echo};
  const rill_route_opts socket = {.handlers = &events};
  const rill_space_opts space = {.recovery = recovery};
  int rv = rill_route(hub, "/engine.io/", RILL_ENGINEIO, &engine);

  if (rv == 0)
    rv = rill_route(hub, "/socket.io/", RILL_SOCKETIO, &socket);
  for (size_t i = 0; rv == 0 && i < sizeof(spaces) / sizeof(*spaces); i++) {
    rv = rill_space(hub, spaces[i], &space);
    if (rv == 0)
      rv = rill_on(hub, spaces[i], "message", on_message, NULL);
    if (rv == 0)
      rv = rill_on(hub, spaces[i], "message-with-ack", on_message_with_ack,
                   NULL);
  }
  return rv;
}

static int serve(const settings *set) {
  static const char *const origins[] = {"*"};
  rill_config config;
  rill_hub *hub = NULL;
  int rv;

  rill_config_init(&config);
  lift_limits(&config.limits);
  config.limits.ping_ms = set->ping_interval;
  config.limits.pong_ms = set->ping_timeout;
  config.limits.payload_bytes = set->max_payload;
  config.limits.message_bytes = set->max_payload;
  config.limits.connect_ms = 1000;
  config.origins = origins;
  config.norigins = 1;

  rv = rill_hub_new(&hub, &config);
  if (rv == 0)
    rv = add_routes(hub, set->recovery);
  return serve_and_free(hub, rv, set->address);
}

static const char usage[] =
    "usage: suite_server [options]\n"
    "  --listen ADDRESS     tcp://HOST:PORT or unix:PATH\n"
    "                       (default tcp://127.0.0.1:3000)\n"
    "  --ping-interval MS   (default 300)\n"
    "  --ping-timeout MS    (default 200)\n"
    "  --max-payload BYTES  (default 1000000)\n"
    "  --recovery           connection state recovery\n";

int main(int argc, char **argv) {
  settings set = {.address = "tcp://127.0.0.1:3000",
                  .ping_interval = 300,
                  .ping_timeout = 200,
                  .max_payload = 1000000};
  const struct option flags[] = {
      {"listen", required_argument, NULL, 'l'},
      {"ping-interval", required_argument, NULL, 'i'},
      {"ping-timeout", required_argument, NULL, 't'},
      {"max-payload", required_argument, NULL, 'm'},
      {"recovery", no_argument, &set.recovery, 1},
      {NULL, 0, NULL, 0}};
  bool ok = true;
  int flag;

  while (ok && (flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
    if (flag == 'l')
      set.address = optarg;
    else if (flag == 'i')
      ok = read_number("ping-interval", optarg, 86400000, &set.ping_interval);
    else if (flag == 't')
      ok = read_number("ping-timeout", optarg, 86400000, &set.ping_timeout);
    else if (flag == 'm')
      ok = read_number("max-payload", optarg, 67108864, &set.max_payload);
    else
      ok = flag == 0;
  }
  if (ok && optind == argc)
    return serve(&set);
  fputs(usage, stderr);
  return 2;
}
