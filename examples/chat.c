/*
 * chat.c - a chat for every client there is: socket.io-client, plain
 * WebSocket and readers of server-sent events meet in the same rooms.
 *
 * Run it and open http://127.0.0.1:8080/ in two windows;
 * http://127.0.0.1:8080/?read=lobby only reads.
 *
 * A client says who it is when it connects ("auth" of socket.io-client,
 * "open" of the JSON envelope): {"name":NAME,"key":KEY}, where KEY is a secret
 * of its own that keeps the name its own, or {"token":TOKEN} where the server
 * has a --secret.  Who has no name may read.
 *
 *   from a client                      and the answer, if it asks for one
 *     chat:join {roomId}               {userId,roomId,members:[userId...],
 *                                       messages:[as chat:message below...]}
 *     chat:leave {roomId}
 *     chat:message {roomId,text,tag}   {id,timestamp}; who does not know if
 *                                      it arrived sends it again with the
 *                                      same tag, and receivers drop doubles
 *     chat:typing {roomId,isTyping}
 *     presence:update {status}
 *     notify {userId,text}
 *   to clients
 *     chat:joined {userId,roomId}      chat:left {userId,roomId}
 *     chat:message {userId,roomId,text,tag,id,timestamp}
 *     chat:typing {userId,roomId,isTyping}
 *     presence:update {userId,status}  "online", "away" (its connection is
 *                                      lost), "offline", or what it said
 *     notification {userId,text}       to one user
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <rill/epoll.h>
#include <rill/event.h>
#include <rill/token.h>

#include "words.h"

enum {
  ROOMS = 16, /* that one connection may be in */
  KEPT = 500  /* messages, of all rooms together */
};

/* What the handlers share: their |arg|. */
struct chat {
  rill_hub *hub;
  char *secret; /* NULL: everybody is a guest */
  bool verbose;
  uint64_t next_id;
  rill_builder *log[KEPT]; /* the message |id| is at id % KEPT */
};

/* The room of all who have a name; it is no word, so nobody can join it. */
static const rill_str everybody = RILL_STR("*everybody");

/* The argument of what is told of somebody; rill_put_end finishes it. */
static rill_builder *about(rill_peer peer, rill_str room) {
  rill_builder *b = rill_build(peer.hub);

  rill_put_object(b);
  rill_set_str(b, "userId", rill_peer_user(peer));
  if (room.len > 0)
    rill_set_str(b, "roomId", room);
  return b;
}

static int is_same_user(rill_peer member, void *arg) {
  const rill_peer *me = arg;

  return !rill_peer_eq(member, *me) &&
         rill_str_eq(rill_peer_user(member), rill_peer_user(*me));
}

/* That |me| comes or goes is news where its user has no other connection. */
static bool is_news(rill_peer me, rill_str room) {
  return rill_peer_user(me).len > 0 &&
         rill_room_each(me.hub, room, is_same_user, &me) == 0;
}

/*
 * Nobody looks at what an emit of news returns: who is too slow for it has
 * been closed by the hub, and on_close will come.
 */
static void tell_room(rill_peer me, rill_str room, const char *event) {
  rill_builder *b = about(me, room);

  rill_put_end(b);
  if (is_news(me, room))
    (void)rill_emit_others(me, room, event, b, NULL);
}

static void tell_status(rill_peer me, rill_str status) {
  rill_builder *b = about(me, rill_s(NULL));

  rill_set_str(b, "status", status);
  rill_put_end(b);
  (void)rill_emit_all(me.hub, "presence:update", b, NULL);
}

struct guest {
  rill_str name, key;
};

/* "Ann" and "ANN" are one name: two that look alike are a trap. */
static int has_name(rill_peer member, void *arg) {
  rill_str user = rill_peer_user(member);
  const struct guest *g = arg;

  return user.len == g->name.len &&
         strncasecmp(user.ptr, g->name.ptr, user.len) == 0 &&
         (g->key.len == 0 ||
          !rill_str_eq(rill_s(rill_peer_data(member)), g->key));
}

static int authenticate(rill_request *req, void *arg) {
  const struct chat *chat = arg;
  rill_value auth = rill_request_auth(req);
  struct guest g = {rill_get_str(auth, "name"), rill_get_str(auth, "key")};

  if (chat->secret != NULL)
    return rill_token_authenticate(req, chat->secret);
  if (g.name.len > 0 && !is_word(g.name))
    return rill_reject(req, 400, "bad-name");
  if (rill_room_each(chat->hub, everybody, has_name, &g) != 0)
    return rill_reject(req, 409, "name-taken");
  return rill_accept(req, g.name);
}

/* For who joins without chat:join: streams of events may read every room. */
static int authorize_join(rill_peer peer, rill_str room, void *arg) {
  bool reads = rill_str_eq(rill_peer_transport(peer), rill_s("sse"));

  (void)arg;
  return reads && is_word(room) ? 0 : RILL_ERR_FORBIDDEN;
}

/* The data of a peer is its key. */
static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  rill_str key = rill_get_str(rill_request_auth(req), "key");
  char *copy = key.len > 0 ? strndup(key.ptr, key.len) : NULL;

  (void)arg;
  if (rill_peer_set_data(peer, copy) != 0 || (key.len > 0 && copy == NULL))
    return RILL_ERR_NOMEM; /* closes the connection */
  if (rill_peer_user(peer).len == 0)
    return 0; /* a reader */
  tell_status(peer, rill_s("online"));
  return rill_join(peer, everybody);
}

/* A connection was lost; its peer stays in its rooms and may come back. */
static int on_away(rill_peer peer, void *arg) {
  (void)arg;
  if (is_news(peer, everybody))
    tell_status(peer, rill_s("away"));
  return 0;
}

static int on_back(rill_peer peer, int missed, void *arg) {
  (void)missed;
  (void)arg;
  if (is_news(peer, everybody))
    tell_status(peer, rill_s("online"));
  return 0;
}

static int tell_left(rill_str room, void *arg) {
  const rill_peer *peer = arg;

  if (is_word(room))
    tell_room(*peer, room, "chat:left");
  else if (is_news(*peer, room))
    tell_status(*peer, rill_s("offline"));
  return 0;
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  const struct chat *chat = arg;
  rill_str user = rill_peer_user(peer);

  if (chat->verbose)
    fprintf(stderr, "%.*s: %s\n", (int)user.len, user.ptr,
            rill_disconnect_reason(closed));
  (void)rill_peer_rooms(peer, tell_left, &peer);
  free(rill_peer_data(peer));
}

static rill_str room_of(const rill_event *ev) {
  return rill_get_str(rill_event_arg(ev, 0), "roomId");
}

static int reply(const rill_event *ev, const rill_builder *args) {
  int rv = rill_event_reply(ev, args);

  return rv == RILL_ERR_STATE ? 0 : rv; /* no answer was wanted */
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
  if (rill_str_eq(name, rill_s("chat:join")))
    return 0;
  if (user.len == 0)
    (void)rill_event_fail(ev, "no-name", "come back with a name");
  else if (rill_str_starts(name, "chat:") &&
           (!is_word(room_of(ev)) || !rill_in_room(peer, room_of(ev))))
    (void)rill_event_fail(ev, "bad-room", "not in this room");
  else
    return 0;
  return RILL_STOP;
}

static int put_member(rill_peer peer, void *arg) {
  if (rill_peer_user(peer).len > 0)
    rill_put_str(arg, rill_peer_user(peer));
  return 0;
}

static int chat_join(rill_peer peer, const rill_event *ev, void *arg) {
  struct chat *chat = arg;
  rill_str room = room_of(ev);
  rill_value msg;
  rill_builder *b;
  uint64_t id;
  int rv;

  if (!is_word(room))
    return rill_event_fail(ev, "bad-room", "not the name of a room");
  if (!rill_in_room(peer, room)) {
    rv = rill_join(peer, room);
    if (rv != 0)
      return rill_event_fail(ev, "not-joined", rill_strerror(rv));
    tell_room(peer, room, "chat:joined");
  }
  b = about(peer, room);
  rill_put_key(b, "members");
  rill_put_array(b);
  (void)rill_room_each(chat->hub, room, put_member, b);
  rill_put_end(b);
  rill_put_key(b, "messages");
  rill_put_array(b);
  for (id = chat->next_id; id < chat->next_id + KEPT; id++) {
    if (chat->log[id % KEPT] == NULL)
      continue;
    msg = rill_value_at(rill_builder_value(chat->log[id % KEPT]), 0);
    if (rill_str_eq(rill_get_str(msg, "roomId"), room))
      rill_put_value(b, msg);
  }
  rill_put_end(b);
  rill_put_end(b);
  return reply(ev, b);
}

static int chat_leave(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  tell_room(peer, room_of(ev), "chat:left");
  (void)rill_event_reply(ev, NULL);
  return rill_leave(peer, room_of(ev));
}

/* Numbers a message, keeps it in the log, and sends it to its room. */
static int chat_message(rill_peer peer, const rill_event *ev, void *arg) {
  struct chat *chat = arg;
  rill_value msg = rill_event_arg(ev, 0);
  rill_builder **place = &chat->log[chat->next_id % KEPT], *b;
  struct timespec now = {0};
  int64_t timestamp;

  if (!is_text(rill_get_str(msg, "text")))
    return rill_event_fail(ev, "bad-text", "1 to 4000 bytes, no controls");
  b = rill_builder_new(NULL, NULL);
  if (b == NULL)
    return rill_event_fail(ev, "not-sent", "try again");
  clock_gettime(CLOCK_REALTIME, &now);
  timestamp = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  rill_put_object(b);
  rill_set_str(b, "userId", rill_peer_user(peer));
  rill_set_str(b, "roomId", room_of(ev));
  rill_set_str(b, "text", rill_get_str(msg, "text"));
  if (is_word(rill_get_str(msg, "tag")))
    rill_set_str(b, "tag", rill_get_str(msg, "tag"));
  rill_set_int(b, "id", (int64_t)chat->next_id);
  rill_set_int(b, "timestamp", timestamp);
  rill_put_end(b);
  if (rill_emit_room(chat->hub, room_of(ev), "chat:message", b, NULL) != 0) {
    rill_builder_free(b);
    return rill_event_fail(ev, "not-sent", "try again");
  }
  rill_builder_free(*place);
  *place = b;
  b = rill_build(chat->hub);
  rill_put_object(b);
  rill_set_int(b, "id", (int64_t)chat->next_id++);
  rill_set_int(b, "timestamp", timestamp);
  rill_put_end(b);
  return reply(ev, b);
}

static int chat_typing(rill_peer peer, const rill_event *ev, void *arg) {
  static const rill_emit_opts opts = {.is_volatile = true};
  rill_builder *b = about(peer, room_of(ev));

  (void)arg;
  rill_set_bool(b, "isTyping",
                rill_get_bool(rill_event_arg(ev, 0), "isTyping", true));
  rill_put_end(b);
  (void)rill_emit_others(peer, room_of(ev), "chat:typing", b, &opts);
  return 0;
}

static int presence_update(rill_peer peer, const rill_event *ev, void *arg) {
  rill_str status = rill_get_str(rill_event_arg(ev, 0), "status");

  (void)arg;
  if (!is_word(status))
    return rill_event_fail(ev, "bad-status", "a word is wanted");
  tell_status(peer, status);
  return 0;
}

static int notify(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value note = rill_event_arg(ev, 0);
  rill_builder *b = about(peer, rill_s(NULL));

  (void)arg;
  if (!is_text(rill_get_str(note, "text")))
    return rill_event_fail(ev, "bad-text", "1 to 4000 bytes, no controls");
  rill_set_str(b, "text", rill_get_str(note, "text"));
  rill_put_end(b);
  (void)rill_emit_user(peer.hub, rill_get_str(note, "userId"), "notification",
                       b, NULL);
  return reply(ev, NULL);
}

/* Everything that the hub is told before it runs. */
static int set_up(struct chat *chat, const char *web) {
  static const rill_handlers handlers = {.on_open = on_open,
                                         .on_away = on_away,
                                         .on_back = on_back,
                                         .on_close = on_close};
  const rill_route_opts route = {.handlers = &handlers, .arg = chat};
  const rill_space_opts space = {.recovery = true};
  const rill_room_opts room = {.history = 100};
  rill_config config;
  rill_hub *hub;
  int rv;

  rill_config_init(&config);
  config.arg = chat;
  config.authenticate = authenticate;
  config.authorize_join = authorize_join;
  config.limits.message_bytes = 8 * TEXT_BYTES; /* escaped, and the rest */
  config.limits.rooms_per_peer = ROOMS + 1;
  if ((rv = rill_hub_new(&hub, &config)) != 0)
    return rv;
  chat->hub = hub;
  if ((rv = rill_route(hub, "/ws", RILL_JSON, &route)) != 0 ||
      (rv = rill_route(hub, "/socket.io/", RILL_SOCKETIO, &route)) != 0 ||
      (rv = rill_route(hub, "/events/:room", RILL_SSE, &route)) != 0 ||
      (rv = rill_route_files(hub, "/", web)) != 0 ||
      (rv = rill_space(hub, "/", &space)) != 0 ||
      (rv = rill_room_defaults(hub, "*", &room)) != 0 ||
      (rv = rill_before(hub, "/", before, chat)) != 0 ||
      (rv = rill_throttle(hub, "/", "chat:message", 50, 5000, false)) != 0 ||
      (rv = rill_throttle(hub, "/", "chat:typing", 5, 2000, true)) != 0 ||
      (rv = rill_throttle(hub, "/", "presence:update", 5, 5000, true)) != 0 ||
      (rv = rill_throttle(hub, "/", "notify", 5, 5000, false)) != 0 ||
      (rv = rill_on(hub, "/", "chat:join", chat_join, chat)) != 0 ||
      (rv = rill_on(hub, "/", "chat:leave", chat_leave, chat)) != 0 ||
      (rv = rill_on(hub, "/", "chat:message", chat_message, chat)) != 0 ||
      (rv = rill_on(hub, "/", "chat:typing", chat_typing, chat)) != 0 ||
      (rv = rill_on(hub, "/", "presence:update", presence_update, chat)) != 0)
    return rv;
  return rill_on(hub, "/", "notify", notify, chat);
}

static const char usage[] =
    "usage: chat [--listen ADDRESS] [--web DIR] [--secret TEXT] [--verbose]\n"
    "  --listen ADDRESS  tcp://HOST:PORT or unix:PATH\n"
    "                    (default tcp://127.0.0.1:8080)\n"
    "  --web DIR         the page (default examples/web/chat)\n"
    "  --secret TEXT     who comes needs a token signed with it\n"
    "  --verbose         log every event\n";

int main(int argc, char **argv) {
  static const struct option flags[] = {
      {"listen", required_argument, NULL, 'l'},
      {"web", required_argument, NULL, 'w'},
      {"secret", required_argument, NULL, 's'},
      {"verbose", no_argument, NULL, 'v'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0}};
  const char *address = "tcp://127.0.0.1:8080", *web = "examples/web/chat";
  struct chat chat = {.next_id = 1};
  int flag, rv, i;

  while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
    if (flag == 'l')
      address = optarg;
    else if (flag == 'w')
      web = optarg;
    else if (flag == 's')
      chat.secret = optarg;
    else if (flag == 'v')
      chat.verbose = true;
    else
      return fputs(usage, flag == 'h' ? stdout : stderr), flag != 'h';
  }
  rv = set_up(&chat, web);
  if (rv == 0)
    rv = rill_epoll_serve(chat.hub, web = address); /* drains on SIGTERM */
  if (rv != 0)
    fprintf(stderr, "chat: %s: %s\n", web,
            rv == RILL_ERR_IO ? strerror(errno) : rill_strerror(rv));
  rill_hub_free(chat.hub);
  for (i = 0; i < KEPT; i++)
    rill_builder_free(chat.log[i]);
  return rv != 0;
}
