/*
 * rooms_server.c - rooms with all that a hub can keep of them, for clients of
 * any dialect: who is there, who types, what was said.
 *
 *   /socket.io/      Socket.IO
 *   /ws              the JSON envelope
 *   /events/:room    server-sent events
 *
 * The token is the name of the user.  Rooms by the beginning of their names:
 *
 *   chat*    durable, presence, typing
 *   short*   durable, the newest five
 *   ring*    the newest five in memory
 *   here*    presence
 *   closed*  nobody may join
 *
 * Events, beside those that the hub brings along:
 *
 *   chat:message {room, text, clientId?}  published in a room
 *   count {room?}   the answer is {peers, users, away, online, busy}
 *
 * The room "log" gets event "changed" for each change of presence in the
 * namespace.
 */
#include "server.h"

#include <rill/rill.h>
#include <rill/sqlite.h>

typedef struct settings {
  const char *address, *db;
  rill_limits limits;
  rill_presence_opts presence;
  int everyone; /* as getopt_long sets it */
  int forgets;  /* no recovery */
} settings;

static int authenticate(rill_request *req, void *arg) {
  (void)arg;
  return rill_accept(req, rill_request_credential(req));
}

static int authorize_join(rill_peer peer, rill_str room, void *arg) {
  (void)peer;
  (void)arg;
  return rill_str_starts(room, "closed") ? RILL_ERR_FORBIDDEN : 0;
}

static int on_message(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value said = rill_event_arg(ev, 0);
  rill_str room = rill_get_str(said, "room");
  const rill_publish_opts opts = {.id = rill_get_str(said, "clientId"),
                                  .stamp = true};

  (void)arg;
  if (!rill_in_room(peer, room))
    return rill_event_fail(ev, "room", "not a member of the room");
  rill_publish_event(ev, room, &opts);
  return 0;
}

static int on_count(rill_peer peer, const rill_event *ev, void *arg) {
  rill_occupancy n = {0};
  rill_builder *b;

  (void)arg;
  rill_presence_count(peer.hub, rill_peer_space(peer),
                      rill_get_str(rill_event_arg(ev, 0), "room"), &n);
  b = rill_build_object(peer.hub);
  rill_set_int(b, "peers", n.peers);
  rill_set_int(b, "users", n.users);
  rill_set_int(b, "away", n.away);
  rill_set_int(b, "online", n.online);
  rill_set_int(b, "busy", n.busy);
  rill_event_reply(ev, b);
  return 0;
}

static void on_change(rill_hub *hub, const rill_presence *user, void *arg) {
  rill_builder *b = rill_build_object(hub);

  (void)arg;
  rill_set_str(b, "userId", user->user);
  rill_set_text(b, "status", rill_status_text(user->status));
  rill_set_int(b, "lastSeen", (int64_t)user->last_seen_ms);
  rill_emit_room(hub, rill_s("log"), "changed", b, NULL);
}

static int add_rooms(rill_hub *hub) {
  static const struct {
    const char *pattern;
    rill_room_opts opts;
  } rooms[] = {
      {"chat*", {.durable = true, .presence = true, .typing = true}},
      {"short*", {.durable = true, .keep_count = 5}},
      {"ring*", {.history = 5}},
      {"here*", {.presence = true}}};
  int rv = 0;

  for (size_t i = 0; rv == 0 && i < sizeof(rooms) / sizeof(*rooms); i++)
    rv = rill_room_defaults(hub, rooms[i].pattern, &rooms[i].opts);
  return rv;
}

static int add_events(rill_hub *hub, const settings *set) {
  const rill_space_opts space = {.recovery = !set->forgets};
  int rv = rill_space(hub, "/", &space);

  if (rv == 0)
    rv = rill_presence_events(hub, "/", &set->presence);
  if (rv == 0)
    rv = rill_typing_events(hub, "/");
  if (rv == 0)
    rv = rill_room_events(hub, "/");
  if (rv == 0)
    rv = rill_on(hub, "/", "chat:message", on_message, NULL);
  if (rv == 0)
    rv = rill_on(hub, "/", "count", on_count, NULL);
  return rv;
}

static int add_routes(rill_hub *hub) {
  int rv = rill_route(hub, "/socket.io/", RILL_SOCKETIO, NULL);

  if (rv == 0)
    rv = rill_route(hub, "/ws", RILL_JSON, NULL);
  if (rv == 0)
    rv = rill_route(hub, "/events/:room", RILL_SSE, NULL);
  return rv;
}

static int use_database(rill_hub *hub, const char *path) {
  rill_store *store;
  char error[160];
  int rv = rill_sqlite_open(&store, path, NULL, error, sizeof error);

  if (rv != 0) {
    fprintf(stderr, "%s: %s\n", path, error);
    return rv;
  }
  rv = rill_store_use(hub, store);
  if (rv != 0)
    store->free(store);
  return rv;
}

static int serve(const settings *set) {
  rill_config config;
  rill_hub *hub = NULL;
  int rv;

  rill_config_init(&config);
  config.limits = set->limits;
  config.authenticate = authenticate;
  config.authorize_join = authorize_join;
  rv = rill_hub_new(&hub, &config);
  if (rv == 0 && set->db != NULL && use_database(hub, set->db) != 0) {
    rill_hub_free(hub);
    return 1; /* it has been told why */
  }
  if (rv == 0)
    rv = add_rooms(hub);
  if (rv == 0)
    rv = add_events(hub, set);
  if (rv == 0)
    rv = add_routes(hub);
  return serve_and_free(hub, rv, set->address);
}

static const char usage[] =
    "usage: rooms_server [options]\n"
    "  --listen ADDRESS    tcp://HOST:PORT or unix:PATH\n"
    "                      (default tcp://127.0.0.1:9000)\n"
    "  --db FILE           an SQLite database (default: in memory)\n"
    "  --heartbeat MS      presence by heartbeats\n"
    "  --idle MS           who does nothing for so long is away\n"
    "  --sweep MS          how often both are looked for\n"
    "  --everyone          presence of the namespace is told to all\n"
    "  --forgets           no recovery\n"
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
  settings set = {.address = "tcp://127.0.0.1:9000",
                  .presence = {.on_change = on_change}};
  rill_presence_opts *p = &set.presence;
  const struct option flags[] = {{"listen", required_argument, NULL, 'l'},
                                 {"db", required_argument, NULL, 'd'},
                                 {"heartbeat", required_argument, NULL, 'h'},
                                 {"idle", required_argument, NULL, 'i'},
                                 {"sweep", required_argument, NULL, 's'},
                                 {"everyone", no_argument, &set.everyone, 1},
                                 {"forgets", no_argument, &set.forgets, 1},
#define RILL_X(field, def, max, outcome) {#field, required_argument, NULL, 'n'},
                                 RILL_LIMITS(RILL_X)
#undef RILL_X
                                     {NULL, 0, NULL, 0}};
  rill_config config;
  bool ok = true;
  int flag, at = 0;

  rill_config_init(&config);
  set.limits = config.limits;
  lift_limits(&set.limits);
  while (ok && (flag = getopt_long(argc, argv, "", flags, &at)) != -1) {
    if (flag == 'l')
      set.address = optarg;
    else if (flag == 'd')
      set.db = optarg;
    else if (flag == 'h')
      ok = read_number("heartbeat", optarg, 86400000, &p->heartbeat_ms);
    else if (flag == 'i')
      ok = read_number("idle", optarg, 86400000, &p->idle_ms);
    else if (flag == 's')
      ok = read_number("sweep", optarg, 86400000, &p->sweep_ms);
    else if (flag == 'n')
      ok = set_limit(&set, flags[at].name, optarg);
    else
      ok = flag == 0;
  }
  p->everyone = set.everyone;
  if (ok && optind == argc)
    return serve(&set);
  fputs(usage, stderr);
  return 2;
}
