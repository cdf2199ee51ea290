/*
 * events_server.c - a server that does what its clients tell it with events,
 * so that tests of any dialect find both directions of everything in one
 * place.
 *
 *   /socket.io/      Socket.IO: namespaces "/", "/recovery" (which keeps who
 *                    was cut off), "/dyn-*" but "/dyn-forbidden", "/private"
 *                    (only for users)
 *   /ws              the JSON envelope
 *   /events/:room    server-sent events, and POST
 *   /raw             plain WebSocket: each message goes to the room "raw"
 *   /page/           the files of --web
 *
 * The token "user:NAME" is accepted for that user, "late:NAME" a turn later,
 * "hold:NAME" when somebody says "release"; "bad" and "bad-late" are refused
 * with data; nothing is accepted for nobody; what has a dot is a signed token
 * of the secret below.
 *
 * Peers in the room "log" get an event "log" for each peer that comes or
 * goes and for each event of somebody else.
 */
#include "events.h"

#include <rill/token.h>

static const char secret[] = "interop-interop-interop";

static server state;

/* Tells the room "log" what happened to |peer|. */
static void note(rill_peer peer, const char *what, const char *key,
                 rill_str value) {
  rill_builder *b = rill_build(peer.hub);

  rill_put_object(b);
  rill_set_text(b, "what", what);
  rill_set_str(b, "sid", rill_peer_sid(peer));
  rill_set_str(b, "user", rill_peer_user(peer));
  rill_set_str(b, "space", rill_peer_space(peer));
  rill_set_str(b, key, value);
  rill_put_end(b);
  rill_emit_room(peer.hub, rill_s("log"), "log", b, NULL);
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  (void)arg;
  note(peer, "open", "transport", rill_request_transport(req));
  return 0;
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  (void)arg;
  note(peer, "close", "reason", rill_s(rill_disconnect_reason(closed)));
}

static int on_away(rill_peer peer, void *arg) {
  (void)arg;
  note(peer, "away", "reason", rill_s(""));
  return 0;
}

static int on_back(rill_peer peer, int missed, void *arg) {
  (void)arg;
  note(peer, "back", "missed", rill_s(missed == 0 ? "" : rill_errname(missed)));
  return 0;
}

static int on_joined(rill_peer peer, rill_str room, int status, void *arg) {
  (void)arg;
  note(peer, status == 0 ? "joined" : "denied", "room", room);
  return 0;
}

static int refuse(rill_request *req) {
  rill_builder *b = rill_build(rill_request_hub(req));

  rill_put_object(b);
  rill_set_text(b, "code", "E_TOKEN");
  rill_set_bool(b, "retry", false);
  rill_put_end(b);
  return rill_reject_with(req, 401, "not authorized", b);
}

int decide(rill_request *req) {
  rill_str token = rill_request_credential(req);

  if (memchr(token.ptr ? token.ptr : "", '.', token.len) != NULL)
    return rill_token_authenticate(req, (void *)(uintptr_t)secret);
  if (rill_str_starts(token, "user:") || rill_str_starts(token, "late:") ||
      rill_str_starts(token, "hold:")) {
    rill_str user = {token.ptr + 5, token.len - 5};
    return rill_accept(req, user);
  }
  if (token.len > 0 || rill_str_eq(rill_request_space(req), rill_s("/private")))
    return refuse(req);
  return rill_accept(req, rill_s(""));
}

static void decide_late(rill_hub *hub, void *arg) {
  (void)hub;
  decide(arg);
}

static int authenticate(rill_request *req, void *arg) {
  rill_str token = rill_request_credential(req);

  (void)arg;
  if (rill_str_starts(token, "hold:") && state.nheld < MAX_ASKS) {
    state.held[state.nheld++] = req;
    return RILL_LATER;
  }
  if (!rill_str_starts(token, "late:") && !rill_str_starts(token, "bad-late"))
    return decide(req);
  if (rill_post(rill_request_hub(req), decide_late, req) != 0)
    return rill_reject(req, 503, "out of memory");
  return RILL_LATER;
}

/* Rooms that begin with "private" are for users, with "closed" for nobody. */
static int authorize_join(rill_peer peer, rill_str room, void *arg) {
  (void)arg;
  if (rill_str_starts(room, "closed") ||
      (rill_str_starts(room, "private") && rill_peer_user(peer).len == 0))
    return RILL_ERR_FORBIDDEN;
  return 0;
}

static bool allow_space(rill_str name, void *arg) {
  (void)arg;
  return !rill_str_eq(name, rill_s("/dyn-forbidden"));
}

static int log_event(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  if (!rill_in_room(peer, rill_s("log")))
    note(peer, "event", "name", rill_event_name(ev));
  return 0;
}

static int on_raw_open(rill_peer peer, const rill_request *req, void *arg) {
  (void)req;
  (void)arg;
  return rill_join(peer, rill_s("raw"));
}

static int on_raw_message(rill_peer peer, const rill_msg *msg, void *arg) {
  int rv = rill_send_room(peer.hub, rill_s("raw"), msg);

  (void)arg;
  return rv < 0 ? rv : 0;
}

static const char *const spaces[] = {"/", "/recovery", "/dyn-*", "/private"};

static int add_events(rill_hub *hub, const char *space) {
  int rv = rill_before(hub, space, log_event, NULL);

  return rv == 0 ? add_commands(hub, space, &state) : rv;
}

typedef struct settings {
  const char *address, *web;
  const char *origins[MAX_NAMES];
  size_t norigins;
  rill_limits limits;
  int recovery; /* in "/" as well */
} settings;

static int add_spaces(rill_hub *hub, bool recovery) {
  int rv = 0;

  for (size_t i = 0; rv == 0 && i < sizeof(spaces) / sizeof(*spaces); i++) {
    rill_space_opts opts = {.recovery = (i == 0 && recovery) || i == 1};
    if (i == 2)
      opts.allow = allow_space;
    rv = rill_space(hub, spaces[i], &opts);
    if (rv == 0)
      rv = add_events(hub, spaces[i]);
  }
  return rv;
}

static int add_routes(rill_hub *hub, const settings *set) {
  static const rill_handlers events = {.on_open = on_open,
                                       .on_away = on_away,
                                       .on_back = on_back,
                                       .on_joined = on_joined,
                                       .on_close = on_close};
  static const rill_handlers raw = {.on_open = on_raw_open,
                                    .on_message = on_raw_message};
  const rill_route_opts event_opts = {.handlers = &events};
  const rill_route_opts raw_opts = {.handlers = &raw};
  const rill_room_opts history = {.history = 100};
  int rv = rill_route(hub, "/socket.io/", RILL_SOCKETIO, &event_opts);

  if (rv == 0)
    rv = rill_route(hub, "/ws", RILL_JSON, &event_opts);
  if (rv == 0)
    rv = rill_route(hub, "/events/:room", RILL_SSE, &event_opts);
  if (rv == 0)
    rv = rill_route(hub, "/raw", RILL_RAW, &raw_opts);
  if (rv == 0)
    rv = rill_room_defaults(hub, "kept*", &history);
  if (rv == 0 && set->web != NULL)
    rv = rill_route_files(hub, "/page/", set->web);
  return rv;
}

static int serve(const settings *set) {
  rill_config config;
  rill_hub *hub = NULL;
  int rv;

  rill_config_init(&config);
  config.limits = set->limits;
  config.origins = set->origins;
  config.norigins = set->norigins;
  config.authenticate = authenticate;
  config.authorize_join = authorize_join;

  rv = rill_hub_new(&hub, &config);
  if (rv == 0)
    rv = add_spaces(hub, set->recovery);
  if (rv == 0)
    rv = add_routes(hub, set);
  return serve_and_free(hub, rv, set->address);
}

static const char usage[] =
    "usage: events_server [options]\n"
    "  --listen ADDRESS    tcp://HOST:PORT or unix:PATH\n"
    "                      (default tcp://127.0.0.1:9000)\n"
    "  --origin ORIGIN     a page's that may connect; several times\n"
    "  --recovery          in the namespace / too\n"
    "  --web FOLDER        files for /page/\n"
    "  --LIMIT N           a limit by its name in rill/limits.h\n";

/* Sets one limit by its name in rill/limits.h. */
static bool set_limit(settings *set, const char *name, const char *value) {
  rill_limits *l = &set->limits;

#define RILL_X(field, def, max, outcome)                                       \
  if (strcmp(name, #field) == 0)                                               \
    return read_number(name, value, max, &l->field);
  RILL_LIMITS(RILL_X)
#undef RILL_X
  return false;
}

int main(int argc, char **argv) {
  settings set = {.address = "tcp://127.0.0.1:9000"};
  const struct option flags[] = {{"listen", required_argument, NULL, 'l'},
                                 {"origin", required_argument, NULL, 'o'},
                                 {"web", required_argument, NULL, 'w'},
                                 {"recovery", no_argument, &set.recovery, 1},
#define RILL_X(field, def, max, outcome) {#field, required_argument, NULL, 'n'},
                                 RILL_LIMITS(RILL_X)
#undef RILL_X
                                     {NULL, 0, NULL, 0}};
  rill_config config;
  bool ok = true;
  int flag, at;

  rill_config_init(&config);
  set.limits = config.limits;
  lift_limits(&set.limits);
  while (ok && (flag = getopt_long(argc, argv, "", flags, &at)) != -1) {
    if (flag == 'l')
      set.address = optarg;
    else if (flag == 'o')
      ok = set.norigins < MAX_NAMES;
    else if (flag == 'w')
      set.web = optarg;
    else if (flag == 'n')
      ok = set_limit(&set, flags[at].name, optarg);
    else
      ok = flag == 0;
    if (ok && flag == 'o')
      set.origins[set.norigins++] = optarg;
  }
  if (ok && optind == argc)
    return serve(&set);
  fputs(usage, stderr);
  return 2;
}
