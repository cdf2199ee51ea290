/*
 * seed_server.c - the chat that issues and tutorials begin with, as a Node
 * server would have it: who connects shows a signed token, messages are kept
 * with an id and a time, others see who types, everybody sees who is there.
 *
 *   chat:join ROOM             the answer is what has been said there
 *   chat:message {room, text}  stored, sent to the room as {id, at, from,
 *                              room, text}; the answer is the id
 *   chat:typing {room, typing} to the others in the room, with "from"
 *   presence:update {status}   to all, with "user"
 *   notify {user, text}        to every tab of that user
 *   history                    what was logged: the names of all events
 */
#include "server.h"

#include <time.h>

#include <rill/token.h>

static const char secret[] = "a secret of the seed server";

#define MAX_KEPT 100
#define MAX_TEXT 256

typedef struct chat {
  struct {
    int64_t id, at;
    char from[MAX_TEXT], room[MAX_TEXT], text[MAX_TEXT];
  } kept[MAX_KEPT];
  int64_t next;   /* id */
  char log[4096]; /* names of events, a comma behind each */
} chat;

static chat state;

static int64_t wall_ms(void) {
  struct timespec ts = {0};

  clock_gettime(CLOCK_REALTIME, &ts);
  return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void copy_text(char *out, rill_str text) {
  size_t len = text.len < MAX_TEXT ? text.len : MAX_TEXT - 1;

  if (len > 0)
    memcpy(out, text.ptr, len);
  out[len] = '\0';
}

static void put_message(rill_builder *b, const chat *c, size_t i) {
  rill_put_object(b);
  rill_set_int(b, "id", c->kept[i].id);
  rill_set_int(b, "at", c->kept[i].at);
  rill_set_text(b, "from", c->kept[i].from);
  rill_set_text(b, "room", c->kept[i].room);
  rill_set_text(b, "text", c->kept[i].text);
  rill_put_end(b);
}

/* {user, status} to all but |peer|. */
static void tell_presence(rill_peer peer, const char *name, rill_str status) {
  rill_builder *b = rill_build(peer.hub);
  const rill_to others = {.all = true, .except = &peer, .nexcept = 1};

  rill_put_object(b);
  rill_set_str(b, "user", rill_peer_user(peer));
  rill_set_str(b, "status", status);
  rill_put_end(b);
  rill_emit(peer.hub, &others, name, b, NULL);
}

/* socket.join(`user:${id}`) */
static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  char room[MAX_TEXT + 5];
  rill_str user = rill_peer_user(peer);

  (void)req;
  (void)arg;
  if (user.len >= MAX_TEXT)
    return RILL_ERR_TOO_BIG;
  memcpy(room, "user:", 5);
  copy_text(room + 5, user);
  tell_presence(peer, "presence:update", rill_s("online"));
  return rill_join(peer, rill_s(room));
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  (void)arg;
  tell_presence(peer, "user:left", rill_s(rill_disconnect_reason(closed)));
}

/* socket.onAny */
static int log_event(rill_peer peer, const rill_event *ev, void *arg) {
  chat *c = arg;
  rill_str name = rill_event_name(ev);
  size_t at = strlen(c->log);

  (void)peer;
  if (at + name.len + 2 <= sizeof(c->log)) {
    memcpy(c->log + at, name.ptr, name.len);
    memcpy(c->log + at + name.len, ",", 2);
  }
  return 0;
}

static int on_history(rill_peer peer, const rill_event *ev, void *arg) {
  const chat *c = arg;
  rill_builder *b = rill_build(peer.hub);

  rill_put_text(b, c->log);
  rill_event_reply(ev, b);
  return 0;
}

static int on_join(rill_peer peer, const rill_event *ev, void *arg) {
  const chat *c = arg;
  rill_str room = rill_value_str(rill_event_arg(ev, 0));
  rill_builder *b;
  int rv = rill_join(peer, room);

  if (rv != 0)
    return rill_event_fail(ev, "room", rill_strerror(rv));
  b = rill_build(peer.hub);
  rill_put_array(b);
  for (size_t i = 0; i < MAX_KEPT && (int64_t)i < c->next; i++)
    if (rill_str_eq(rill_s(c->kept[i].room), room))
      put_message(b, c, i);
  rill_put_end(b);
  rill_event_reply(ev, b);
  return 0;
}

static int on_message(rill_peer peer, const rill_event *ev, void *arg) {
  chat *c = arg;
  rill_value said = rill_event_arg(ev, 0);
  rill_str room = rill_get_str(said, "room");
  size_t i = (size_t)c->next % MAX_KEPT;
  rill_builder *b;

  if (!rill_in_room(peer, room))
    return rill_event_fail(ev, "room", "not a member of the room");
  if (rill_get_str(said, "text").len >= MAX_TEXT)
    return rill_event_fail(ev, "text", "it is too long");
  c->kept[i].id = c->next++;
  c->kept[i].at = wall_ms();
  copy_text(c->kept[i].from, rill_peer_user(peer));
  copy_text(c->kept[i].room, room);
  copy_text(c->kept[i].text, rill_get_str(said, "text"));

  b = rill_build(peer.hub);
  put_message(b, c, i);
  rill_emit_room(peer.hub, room, "chat:message", b, NULL);
  b = rill_build(peer.hub);
  rill_put_int(b, c->kept[i].id);
  rill_event_reply(ev, b);
  return 0;
}

static int on_typing(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value said = rill_event_arg(ev, 0);
  rill_builder *b = rill_build(peer.hub);
  const rill_emit_opts opts = {.is_volatile = true};
  int rv;

  (void)arg;
  rill_put_object(b);
  rill_set_str(b, "from", rill_peer_user(peer));
  rill_set_bool(b, "typing", rill_get_bool(said, "typing", false));
  rill_put_end(b);
  rv = rill_emit_others(peer, rill_get_str(said, "room"), "chat:typing", b,
                        &opts);
  return rv < 0 ? rv : 0;
}

static int on_presence(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);
  int rv;

  (void)arg;
  rill_put_object(b);
  rill_set_str(b, "user", rill_peer_user(peer));
  rill_set_value(b, "status", rill_value_get(rill_event_arg(ev, 0), "status"));
  rill_put_end(b);
  rv = rill_emit_all(peer.hub, "presence:update", b, NULL);
  return rv < 0 ? rv : 0;
}

static int on_notify(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value what = rill_event_arg(ev, 0);
  rill_builder *b = rill_build(peer.hub);
  char room[MAX_TEXT + 5];
  int rv;

  (void)arg;
  memcpy(room, "user:", 5);
  copy_text(room + 5, rill_get_str(what, "user"));
  rill_put_object(b);
  rill_set_str(b, "from", rill_peer_user(peer));
  rill_set_str(b, "text", rill_get_str(what, "text"));
  rill_put_end(b);
  rv = rill_emit_room(peer.hub, rill_s(room), "notification", b, NULL);
  return rv < 0 ? rv : 0;
}

static int add_events(rill_hub *hub) {
  static const struct {
    const char *name;
    rill_event_fn fn;
  } events[] = {{"chat:join", on_join},     {"chat:message", on_message},
                {"chat:typing", on_typing}, {"presence:update", on_presence},
                {"notify", on_notify},      {"history", on_history}};
  int rv = rill_before(hub, NULL, log_event, &state);

  for (size_t i = 0; rv == 0 && i < sizeof(events) / sizeof(*events); i++)
    rv = rill_on(hub, NULL, events[i].name, events[i].fn, &state);
  return rv;
}

int main(int argc, char **argv) {
  static const rill_handlers handlers = {.on_open = on_open,
                                         .on_close = on_close};
  const rill_route_opts opts = {.handlers = &handlers};
  rill_hub *hub = NULL;
  rill_config config;
  int rv;

  if (argc != 3 || strcmp(argv[1], "--listen") != 0) {
    fputs("usage: seed_server --listen tcp://HOST:PORT\n", stderr);
    return 2;
  }
  rill_config_init(&config);
  lift_limits(&config.limits); /* Node's polling connects for each request */
  config.authenticate = rill_token_authenticate;
  config.arg = (void *)(uintptr_t)secret;
  rv = rill_hub_new(&hub, &config);
  if (rv == 0)
    rv = rill_route(hub, "/socket.io/", RILL_SOCKETIO, &opts);
  if (rv == 0)
    rv = add_events(hub);
  return serve_and_free(hub, rv, argv[2]);
}
