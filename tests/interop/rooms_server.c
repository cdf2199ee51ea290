/*
 * rooms_server.c - rooms with all that a hub can keep of them, for clients of
 * any dialect: who is there, who types, what was said.
 *
 *   /socket.io/      Socket.IO
 *   /ws              the JSON envelope
 *   /events/:room    server-sent events
 *   /metrics         the counters, as Prometheus reads them
 *
 * The token is the name of the user.  Rooms by the beginning of their names:
 *
 *   chat*    durable, presence, typing
 *   short*   durable, the newest five
 *   aged*    durable, for half a second
 *   light*   durable, 2000 bytes
 *   ring*    the newest five in memory
 *   oldest*  durable; who is slow misses the oldest
 *   newest*  durable; who is slow misses the newest
 *   here*    presence
 *   closed*  nobody may join
 *
 * Events, beside those that the hub brings along:
 *
 *   chat:message {room, text, clientId?}  published in a room
 *   count {room?}   the answer is {peers, users, away, online, busy}
 *   latest {room, value}   sent to a room; who is slow gets the newest
 *   notify {user, text, id?, key?, ttl?}   the answer is {offset, id, peers,
 *                   unread, status}
 *
 * The room "log" gets event "changed" for each change of presence in the
 * namespace, and "missed" for each notification that was not seen.
 */
#include "server.h"

#include <rill/rill.h>
#include <rill/sqlite.h>

typedef struct settings {
  const char *address, *db;
  rill_limits limits;
  rill_presence_opts presence;
  rill_notify_events_opts notify;
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

static int on_latest(rill_peer peer, const rill_event *ev, void *arg) {
  const rill_emit_opts opts = {.key = RILL_STR("latest")};
  rill_value said = rill_event_arg(ev, 0);
  rill_builder *b = rill_build(peer.hub);

  (void)arg;
  rill_put_value(b, rill_value_get(said, "value"));
  rill_emit_room(peer.hub, rill_get_str(said, "room"), "latest", b, &opts);
  rill_event_reply(ev, NULL);
  return 0;
}

static void notified(rill_hub *hub, const rill_notified *n, void *arg) {
  rill_ack_to *to = arg;
  rill_builder *b = rill_build_object(hub);

  rill_set_int(b, "status", n->status);
  rill_set_str(b, "id", n->id);
  rill_set_int(b, "offset", (int64_t)n->offset);
  rill_set_int(b, "peers", (int64_t)n->peers);
  rill_set_int(b, "unread", (int64_t)n->unread);
  rill_ack(*to, b);
  free(to);
}

static int on_notify(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value note = rill_event_arg(ev, 0);
  rill_ack_to *to = malloc(sizeof *to);
  rill_notify_opts opts = {.id = rill_get_str(note, "id"),
                           .key = rill_get_str(note, "key"),
                           .ttl_ms = (uint64_t)rill_get_int(note, "ttl", 0),
                           .done = notified,
                           .arg = to};
  rill_builder *b = rill_build(peer.hub);
  int rv;

  (void)arg;
  if (to == NULL)
    return RILL_ERR_NOMEM;
  *to = rill_event_ack(ev);
  rill_put_str(b, rill_get_str(note, "text"));
  rv = rill_notify(peer.hub, rill_get_str(note, "user"), "note", b, &opts);
  if (rv == 0)
    return 0; /* the answer when it is kept */
  free(to);
  return rill_event_fail(ev, "notify", rill_strerror(rv));
}

static void on_missed(rill_hub *hub, const rill_notification *n, void *arg) {
  rill_builder *b = rill_build_object(hub);

  (void)arg;
  rill_set_str(b, "userId", n->user);
  rill_set_str(b, "id", n->id);
  rill_set_value(b, "args", n->args);
  rill_set_int(b, "peers", (int64_t)n->peers);
  rill_emit_room(hub, rill_s("log"), "missed", b, NULL);
}

static int on_metrics(rill_request *req, void *arg) {
  static char text[65536];
  rill_response response = {.body = text};

  (void)arg;
  response.body_len =
      rill_metrics_text(rill_request_hub(req), text, sizeof text);
  return rill_respond(req, &response);
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
      {"aged*", {.durable = true, .keep_ms = 500}},
      {"light*", {.durable = true, .keep_bytes = 2000}},
      {"ring*", {.history = 5}},
      {"oldest*", {.durable = true, .overflow = RILL_DROP_OLDEST}},
      {"newest*", {.durable = true, .overflow = RILL_DROP_NEWEST}},
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
    rv = rill_notify_events(hub, "/", &set->notify);
  if (rv == 0)
    rv = rill_receipt_events(hub, "/", NULL);
  if (rv == 0)
    rv = rill_on(hub, "/", "count", on_count, NULL);
  if (rv == 0)
    rv = rill_on(hub, "/", "latest", on_latest, NULL);
  if (rv == 0)
    rv = rill_on(hub, "/", "notify", on_notify, NULL);
  return rv;
}

static int add_routes(rill_hub *hub) {
  int rv = rill_route(hub, "/socket.io/", RILL_SOCKETIO, NULL);

  if (rv == 0)
    rv = rill_route(hub, "/ws", RILL_JSON, NULL);
  if (rv == 0)
    rv = rill_route(hub, "/events/:room", RILL_SSE, NULL);
  if (rv == 0)
    rv = rill_handle(hub, "GET", "/metrics", on_metrics, NULL);
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
    "  --missed MS         after which a notification counts as missed\n"
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
                  .presence = {.on_change = on_change},
                  .notify = {.on_missed = on_missed}};
  rill_presence_opts *p = &set.presence;
  const struct option flags[] = {{"listen", required_argument, NULL, 'l'},
                                 {"db", required_argument, NULL, 'd'},
                                 {"heartbeat", required_argument, NULL, 'h'},
                                 {"idle", required_argument, NULL, 'i'},
                                 {"sweep", required_argument, NULL, 's'},
                                 {"missed", required_argument, NULL, 'm'},
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
    else if (flag == 'm')
      ok = read_number("missed", optarg, 86400000, &set.notify.missed_ms);
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
