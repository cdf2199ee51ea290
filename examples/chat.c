/*
 * chat.c - a chat for every client there is: socket.io-client, plain
 * WebSocket and readers of server-sent events meet in the same rooms, which
 * remember what was said.
 *
 * Run it and open http://127.0.0.1:8080/ in two windows;
 * http://127.0.0.1:8080/?read=lobby only reads.  End it any way you like and
 * start it again: everything that was acknowledged is there.
 *
 * A client says who it is when it connects ("auth" of socket.io-client,
 * "open" of the JSON envelope): {"name":NAME,"key":KEY}, where KEY is a secret
 * of its own that keeps the name its own, or {"token":TOKEN} where the server
 * has a --secret.  Who has no name may read.
 *
 *   from a client                      and the answer, if it asks for one
 *     chat:message {roomId,text,tag}   {offset,id,timestamp}; |id| is the
 *                                      tag, and who does not know if it
 *                                      arrived sends it again with the same
 *     notify {userId,text}             a notification for somebody
 *   to clients
 *     chat:message {userId,roomId,text,id,timestamp}
 *
 * The rest is rill's own: room:join with |since|, room:leave and
 * room:history (rill/history.h), presence:state, presence:update and
 * presence:list, chat:typing and typing:update (rill/presence.h),
 * notification and notification:ack, receipt:read and receipt:get
 * (rill/notify.h).  GET /metrics has what the hub counts.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <rill/epoll.h>
#include <rill/history.h>
#include <rill/metrics.h>
#include <rill/notify.h>
#include <rill/presence.h>
#include <rill/sqlite.h>
#include <rill/token.h>

#include "words.h"

/* What the handlers share: their |arg|. */
struct chat {
  char *secret; /* NULL: everybody is a guest */
  bool verbose;
};

struct guest {
  rill_str name, key;
};

/* "Ann" and "ANN" are one name: two that look alike are a trap. */
static int has_name(rill_peer peer, void *arg) {
  rill_str user = rill_peer_user(peer);
  const struct guest *g = arg;

  return user.len == g->name.len &&
         strncasecmp(user.ptr, g->name.ptr, user.len) == 0 &&
         (g->key.len == 0 ||
          !rill_str_eq(rill_s(rill_peer_data(peer)), g->key));
}

static int authenticate(rill_request *req, void *arg) {
  const struct chat *chat = arg;
  rill_value auth = rill_request_auth(req);
  struct guest g = {rill_get_str(auth, "name"), rill_get_str(auth, "key")};

  if (chat->secret != NULL)
    return rill_token_authenticate(req, chat->secret);
  if (g.name.len > 0 && !is_word(g.name))
    return rill_reject(req, 400, "bad-name");
  if (g.name.len > 0 &&
      rill_peer_each(rill_request_hub(req), has_name, &g) != 0)
    return rill_reject(req, 409, "name-taken");
  return rill_accept(req, g.name);
}

/* Every room is open to everybody. */
static int authorize_join(rill_peer peer, rill_str room, void *arg) {
  (void)peer;
  (void)arg;
  return is_word(room) ? 0 : RILL_ERR_FORBIDDEN;
}

/* The data of a peer is its key. */
static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  rill_str key = rill_get_str(rill_request_auth(req), "key");
  char *copy = key.len > 0 ? strndup(key.ptr, key.len) : NULL;

  (void)arg;
  if (key.len > 0 && copy == NULL)
    return RILL_ERR_NOMEM; /* closes the connection */
  return rill_peer_set_data(peer, copy);
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  rill_str user = rill_peer_user(peer);
  const struct chat *chat = arg;

  if (chat->verbose)
    fprintf(stderr, "%.*s: %s\n", (int)user.len, user.ptr,
            rill_disconnect_reason(closed));
  free(rill_peer_data(peer));
}

/* Every event passes here first. */
static int before(rill_peer peer, const rill_event *ev, void *arg) {
  rill_str user = rill_peer_user(peer), name = rill_event_name(ev);
  const struct chat *chat = arg;
  char args[200];

  if (chat->verbose) {
    (void)rill_value_json(rill_event_args(ev), args, sizeof(args));
    fprintf(stderr, "%.*s: %.*s %s\n", (int)user.len, user.ptr,
            (int)name.len, name.ptr, args);
  }
  if (user.len > 0 || rill_str_starts(name, "room:") ||
      rill_str_eq(name, rill_s("presence:list")))
    return 0;
  (void)rill_event_fail(ev, "no-name", "come back with a name");
  return RILL_STOP;
}

/* Into the room's history, then to the room; then it is answered. */
static int chat_message(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value msg = rill_event_arg(ev, 0);
  rill_str room = rill_get_str(msg, "roomId"), tag = rill_get_str(msg, "tag");
  rill_publish_opts opts = {.ack = ev, .stamp = true};
  rill_builder *b;

  (void)arg;
  if (!rill_in_room(peer, room))
    return rill_event_fail(ev, "bad-room", "not in this room");
  if (!is_text(rill_get_str(msg, "text")))
    return rill_event_fail(ev, "bad-text", "1 to 4000 bytes, no controls");
  if (is_word(tag))
    opts.id = tag;
  b = rill_build_object(peer.hub);
  rill_set_str(b, "userId", rill_peer_user(peer));
  rill_set_str(b, "roomId", room);
  rill_set_str(b, "text", rill_get_str(msg, "text"));
  (void)rill_publish(peer.hub, room, "chat:message", b, &opts);
  return 0; /* what went wrong has been answered */
}

/* It waits for its user, who need not be here. */
static int notify(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value note = rill_event_arg(ev, 0);
  rill_str user = rill_get_str(note, "userId");
  rill_builder *b = rill_build_object(peer.hub);

  (void)arg;
  if (!is_word(user))
    return rill_event_fail(ev, "bad-name", "nobody has such a name");
  if (!is_text(rill_get_str(note, "text")))
    return rill_event_fail(ev, "bad-text", "1 to 4000 bytes, no controls");
  rill_set_str(b, "userId", rill_peer_user(peer));
  rill_set_str(b, "text", rill_get_str(note, "text"));
  if (rill_notify(peer.hub, user, "note", b, NULL) != 0)
    return rill_event_fail(ev, "not-sent", "try again");
  return rill_event_reply(ev, NULL);
}

/* Answers GET /metrics in the text format of Prometheus. */
static int on_metrics(rill_request *req, void *arg) {
  const rill_hub *hub = rill_request_hub(req);
  rill_response response = {.type = "text/plain; version=0.0.4"};
  size_t size = rill_metrics_text(hub, NULL, 0) + 1;
  char *text = malloc(size);
  int rv;

  (void)arg;
  if (text == NULL)
    return rill_reject(req, 503, "out of memory");
  response.body = text;
  response.body_len = rill_metrics_text(hub, text, size);
  rv = rill_respond(req, &response);
  free(text);
  return rv;
}

static int open_store(rill_hub *hub, const char *path) {
  rill_store *store;
  char error[200] = "";
  int rv = rill_sqlite_open(&store, path, NULL, error, sizeof(error));

  if (rv != 0) {
    fprintf(stderr, "chat: %s: %s\n", path, error);
    return rv;
  }
  rv = rill_store_use(hub, store);
  if (rv != 0)
    store->free(store);
  return rv;
}

/* What rill does by itself. */
static int set_up_rooms(rill_hub *hub) {
  const rill_space_opts space = {.recovery = true};
  const rill_room_opts room = {.history = 100,
                               .durable = true,
                               .keep_count = 100000,
                               .presence = true,
                               .typing = true};
  const rill_presence_opts presence = {.idle_ms = 5 * 60 * 1000};
  const rill_receipt_events_opts receipts = {.is_private = true};
  int rv;

  if ((rv = rill_space(hub, "/", &space)) != 0 ||
      (rv = rill_room_defaults(hub, "*", &room)) != 0 ||
      (rv = rill_room_events(hub, "/")) != 0 ||
      (rv = rill_presence_events(hub, "/", &presence)) != 0 ||
      (rv = rill_typing_events(hub, "/")) != 0 ||
      (rv = rill_notify_events(hub, "/", NULL)) != 0)
    return rv;
  return rill_receipt_events(hub, "/", &receipts);
}

static int set_up(rill_hub *hub, struct chat *chat, const char *web) {
  static const rill_handlers handlers = {.on_open = on_open,
                                         .on_close = on_close};
  const rill_route_opts route = {.handlers = &handlers, .arg = chat};
  int rv;

  if ((rv = rill_route(hub, "/ws", RILL_JSON, &route)) != 0 ||
      (rv = rill_route(hub, "/socket.io/", RILL_SOCKETIO, &route)) != 0 ||
      (rv = rill_route(hub, "/events/:room", RILL_SSE, &route)) != 0 ||
      (rv = rill_handle(hub, "GET", "/metrics", on_metrics, NULL)) != 0 ||
      (rv = rill_route_files(hub, "/", web)) != 0 ||
      (rv = rill_before(hub, "/", before, chat)) != 0 ||
      (rv = set_up_rooms(hub)) != 0 ||
      (rv = rill_throttle(hub, "/", "chat:message", 50, 5000, false)) != 0 ||
      (rv = rill_throttle(hub, "/", "room:history", 50, 5000, false)) != 0 ||
      (rv = rill_throttle(hub, "/", "presence:update", 5, 5000, true)) != 0 ||
      (rv = rill_throttle(hub, "/", "notify", 5, 5000, false)) != 0 ||
      (rv = rill_on(hub, "/", "chat:message", chat_message, chat)) != 0)
    return rv;
  return rill_on(hub, "/", "notify", notify, chat);
}

static const char usage[] =
    "usage: chat [--listen ADDRESS] [--web DIR] [--db FILE] [--secret TEXT]\n"
    "            [--verbose]\n"
    "  --listen ADDRESS  tcp://HOST:PORT or unix:PATH\n"
    "                    (default tcp://127.0.0.1:8080)\n"
    "  --web DIR         the page (default examples/web/chat)\n"
    "  --db FILE         where everything is kept (default chat.db), or\n"
    "                    \":memory:\" to forget it\n"
    "  --secret TEXT     who comes needs a token signed with it\n"
    "  --verbose         log every event\n";

int main(int argc, char **argv) {
  static const struct option flags[] = {
      {"listen", required_argument, NULL, 'l'},
      {"web", required_argument, NULL, 'w'},
      {"db", required_argument, NULL, 'd'},
      {"secret", required_argument, NULL, 's'},
      {"verbose", no_argument, NULL, 'v'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0}};
  const char *address = "tcp://127.0.0.1:8080", *web = "examples/web/chat";
  const char *db = "chat.db", *what = "";
  struct chat chat = {0};
  rill_config config;
  rill_hub *hub = NULL;
  int flag, rv;

  while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
    if (flag == 'l')
      address = optarg;
    else if (flag == 'w')
      web = optarg;
    else if (flag == 'd')
      db = optarg;
    else if (flag == 's')
      chat.secret = optarg;
    else if (flag == 'v')
      chat.verbose = true;
    else
      return fputs(usage, flag == 'h' ? stdout : stderr), flag != 'h';
  }
  rill_config_init(&config);
  config.arg = &chat;
  config.authenticate = authenticate;
  config.authorize_join = authorize_join;
  config.limits.message_bytes = 8 * TEXT_BYTES; /* escaped, and the rest */
  config.limits.rooms_per_peer = 16;
  rv = rill_hub_new(&hub, &config);
  if (rv == 0 && (rv = open_store(hub, db)) != 0)
    what = NULL; /* it has been told */
  if (rv == 0)
    rv = set_up(hub, &chat, what = web);
  if (rv == 0)
    rv = rill_epoll_serve(hub, what = address); /* drains on SIGTERM */
  if (rv != 0 && what != NULL)
    fprintf(stderr, "chat: %s: %s\n", what,
            rv == RILL_ERR_IO ? strerror(errno) : rill_strerror(rv));
  rill_hub_free(hub);
  return rv != 0;
}
