/*
 * events_commands.c - what the clients of events_server may tell it: each
 * function's comment begins with the event and its arguments.
 */
#include "events.h"

static int reply_int(const rill_event *ev, rill_peer peer, int64_t value) {
  rill_builder *b = rill_build(peer.hub);

  rill_put_int(b, value);
  rill_event_reply(ev, b);
  return 0;
}

/* echo ANY...: the same comes back as an event. */
static int on_echo(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  rill_emit_peer(peer, "echo", build_all(peer.hub, rill_event_args(ev)), NULL);
  return 0;
}

/* ask ANY...: the same comes back as the answer. */
static int on_ask(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  rill_event_reply(ev, build_all(peer.hub, rill_event_args(ev)));
  return 0;
}

static void answer_late(rill_hub *hub, void *arg) {
  server *s = arg;

  for (size_t i = 0; i < s->nlater; i++) {
    rill_builder *b = rill_build(hub);
    rill_put_text(b, "late");
    rill_ack(s->later[i], b);
  }
  s->nlater = 0;
}

/* ask-late: "late" is the answer, after the handler has returned. */
static int on_ask_late(rill_peer peer, const rill_event *ev, void *arg) {
  server *s = arg;

  if (s->nlater < MAX_ASKS)
    s->later[s->nlater++] = rill_event_ack(ev);
  return rill_post(peer.hub, answer_late, s);
}

/* held: how many wait.  release: they do no longer; the results of it. */
static int on_held(rill_peer peer, const rill_event *ev, void *arg) {
  const server *s = arg;

  return reply_int(ev, peer, (int64_t)s->nheld);
}

static int on_release(rill_peer peer, const rill_event *ev, void *arg) {
  server *s = arg;
  int results[MAX_ASKS];
  size_t n = s->nheld;
  rill_builder *b;

  for (size_t i = 0; i < n; i++)
    results[i] = decide(s->held[i]);
  s->nheld = 0;
  b = rill_build(peer.hub);
  rill_put_array(b);
  for (size_t i = 0; i < n; i++)
    rill_put_int(b, results[i]);
  rill_put_end(b);
  rill_event_reply(ev, b);
  return 0;
}

/* never: no answer. */
static int on_never(rill_peer peer, const rill_event *ev, void *arg) {
  (void)peer;
  (void)ev;
  (void)arg;
  return 0;
}

/* fail: the answer is an error. */
static int on_fail(rill_peer peer, const rill_event *ev, void *arg) {
  (void)peer;
  (void)arg;
  return rill_event_fail(ev, "nope", "it was told to fail");
}

/* whoami: what the server knows of its peer. */
static int on_whoami(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);

  (void)arg;
  rill_put_object(b);
  rill_set_str(b, "sid", rill_peer_sid(peer));
  rill_set_str(b, "user", rill_peer_user(peer));
  rill_set_str(b, "space", rill_peer_space(peer));
  rill_set_str(b, "transport", rill_peer_transport(peer));
  rill_set_str(b, "address", rill_peer_address(peer));
  rill_set_bool(
      b, "found",
      rill_peer_eq(peer, rill_find_sid(peer.hub, rill_peer_sid(peer))));
  rill_put_end(b);
  rill_event_reply(ev, b);
  return 0;
}

/* types ANY...: the type of each argument by number, and its size. */
static int on_types(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);
  rill_walk walk = rill_walk_begin(rill_event_args(ev));

  (void)arg;
  while (rill_walk_next(&walk)) {
    rill_put_array(b);
    rill_put_int(b, rill_value_type(walk.value));
    rill_put_uint(b, rill_value_size(walk.value));
    rill_put_end(b);
  }
  rill_event_reply(ev, b);
  return 0;
}

/* json ANY: its text, as rill_value_json writes it. */
static int on_json(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);
  char text[1024];
  size_t len = rill_value_json(rill_event_arg(ev, 0), text, sizeof(text));
  rill_str out = {text, len < sizeof(text) ? len : sizeof(text) - 1};

  (void)arg;
  rill_put_str(b, out);
  rill_event_reply(ev, b);
  return 0;
}

/* join ROOM, leave ROOM, join-request ROOM: the answer is the result. */
static int on_join(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return reply_int(ev, peer,
                   rill_join(peer, rill_value_str(rill_event_arg(ev, 0))));
}

static int on_leave(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return reply_int(ev, peer,
                   rill_leave(peer, rill_value_str(rill_event_arg(ev, 0))));
}

static int on_join_request(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return reply_int(
      ev, peer, rill_join_request(peer, rill_value_str(rill_event_arg(ev, 0))));
}

static int put_room(rill_str room, void *arg) {
  rill_put_str(arg, room);
  return 0;
}

static int put_sid(rill_peer peer, void *arg) {
  rill_put_str(arg, rill_peer_sid(peer));
  return 0;
}

/* rooms: those that the peer is in. */
static int on_rooms(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);

  (void)arg;
  rill_put_array(b);
  rill_peer_rooms(peer, put_room, b);
  rill_put_end(b);
  rill_event_reply(ev, b);
  return 0;
}

/* members ROOM: the sids of who is in it, in the peer's namespace. */
static int on_members(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);

  (void)arg;
  rill_put_array(b);
  rill_room_each_in(peer.hub, rill_peer_space(peer),
                    rill_value_str(rill_event_arg(ev, 0)), put_sid, b);
  rill_put_end(b);
  rill_event_reply(ev, b);
  return 0;
}

/* The peer that the first argument names, the sender by default. */
static rill_peer target_of(rill_peer peer, const rill_event *ev) {
  rill_str sid = rill_value_str(rill_event_arg(ev, 0));

  return sid.len == 0 ? peer : rill_find_sid(peer.hub, sid);
}

/*
 * kick SID: the server ends it with a close, cut SID: without one.  The
 * answer, 0 where there is such a peer, comes first: it may be the sender.
 */
static int on_kick(rill_peer peer, const rill_event *ev, void *arg) {
  rill_peer target = target_of(peer, ev);

  (void)arg;
  reply_int(ev, peer, rill_is_open(target) ? 0 : RILL_ERR_CLOSED);
  rill_close(target, RILL_CLOSE_NORMAL, "kicked");
  return 0;
}

static int on_cut(rill_peer peer, const rill_event *ev, void *arg) {
  rill_peer target = target_of(peer, ev);

  (void)arg;
  reply_int(ev, peer, rill_is_open(target) ? 0 : RILL_ERR_CLOSED);
  rill_cut(target);
  return 0;
}

/* break: the handler returns an error. */
static int on_break(rill_peer peer, const rill_event *ev, void *arg) {
  (void)peer;
  (void)ev;
  (void)arg;
  return RILL_ERR_NOT_FOUND;
}

/* An audience of at most MAX_NAMES of each, as the command of "emit" says. */
typedef struct audience {
  rill_to to;
  rill_str rooms[MAX_NAMES], users[MAX_NAMES], except_rooms[MAX_NAMES];
  rill_peer peers[MAX_NAMES], except[MAX_NAMES];
} audience;

static size_t read_names(rill_value list, rill_str *names) {
  rill_walk walk = rill_walk_begin(list);
  size_t n = 0;

  while (n < MAX_NAMES && rill_walk_next(&walk))
    names[n++] = rill_value_str(walk.value);
  return n;
}

static size_t read_peers(rill_hub *hub, rill_value list, rill_peer *peers) {
  rill_walk walk = rill_walk_begin(list);
  size_t n = 0;

  while (n < MAX_NAMES && rill_walk_next(&walk))
    peers[n++] = rill_find_sid(hub, rill_value_str(walk.value));
  return n;
}

static void read_audience(audience *a, rill_peer from, rill_value cmd) {
  memset(a, 0, sizeof(*a));
  a->to.all = rill_get_bool(cmd, "all", false);
  a->to.rooms = a->rooms;
  a->to.nrooms = read_names(rill_value_get(cmd, "rooms"), a->rooms);
  a->to.users = a->users;
  a->to.nusers = read_names(rill_value_get(cmd, "users"), a->users);
  a->to.peers = a->peers;
  a->to.npeers = read_peers(from.hub, rill_value_get(cmd, "sids"), a->peers);
  a->to.except_rooms = a->except_rooms;
  a->to.nexcept_rooms =
      read_names(rill_value_get(cmd, "except_rooms"), a->except_rooms);
  a->to.except = a->except;
  if (rill_get_bool(cmd, "except_me", false))
    a->except[a->to.nexcept++] = from;
  a->to.space = rill_get_str(cmd, "space");
  if (a->to.space.len == 0)
    a->to.space = rill_peer_space(from);
}

static void on_answers(rill_hub *hub, const rill_answers *answers, void *arg) {
  rill_ack_to *ask = arg;
  rill_builder *b = rill_build(hub);

  rill_put_object(b);
  rill_set_int(b, "status", answers->status);
  rill_put_key(b, "answers");
  rill_put_array(b);
  for (size_t i = 0; i < answers->n; i++) {
    rill_put_object(b);
    rill_set_str(b, "sid", rill_peer_sid(answers->v[i].peer));
    rill_set_value(b, "args", answers->v[i].args);
    rill_put_end(b);
  }
  rill_put_end(b);
  rill_set_int(b, "missing", (int64_t)answers->nmissing);
  rill_put_end(b);
  rill_ack(*ask, b);
  ask->wanted = false;
}

static rill_ack_to *free_ask(server *s) {
  for (size_t i = 0; i < MAX_ASKS; i++)
    if (!s->asks[i].wanted)
      return &s->asks[i];
  return NULL;
}

static int emit_one(rill_peer from, rill_value cmd, const audience *a,
                    const rill_emit_opts *opts, int64_t number) {
  char name[512];
  rill_str text = rill_get_str(cmd, "name");
  rill_builder *b = build_all(from.hub, rill_value_get(cmd, "args"));

  if (text.len >= sizeof(name) || memchr(text.ptr, '\0', text.len) != NULL)
    return RILL_ERR_ARG;
  memcpy(name, text.ptr, text.len);
  name[text.len] = '\0';
  if (number >= 0)
    rill_put_int(b, number);
  return rill_emit(from.hub, &a->to, name, b, opts);
}

/*
 * emit {name, args, all, rooms, users, sids, except_rooms, except_me, space,
 * key, volatile, ask: MS, times: N}: the answer is the result, or what
 * on_answers tells where "ask" is set.  With "times" it is emitted so many
 * times, with a number from 0 as one more argument.
 */
static int on_emit(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value cmd = rill_event_arg(ev, 0);
  int64_t times = rill_get_int(cmd, "times", -1);
  rill_emit_opts opts = {.space = rill_get_str(cmd, "space"),
                         .key = rill_get_str(cmd, "key"),
                         .is_volatile = rill_get_bool(cmd, "volatile", false)};
  audience a;
  int rv = 0;

  read_audience(&a, peer, cmd);
  opts.space = a.to.space;
  opts.ack_ms = (uint32_t)rill_get_int(cmd, "ask", 0);
  if (opts.ack_ms != 0) {
    rill_ack_to *ask = free_ask(arg);
    if (ask == NULL)
      return rill_event_fail(ev, "busy", "too many ask at once");
    *ask = rill_event_ack(ev);
    opts.on_answers = on_answers;
    opts.arg = ask;
  }
  if (times < 0)
    rv = emit_one(peer, cmd, &a, &opts, -1);
  for (int64_t i = 0; i < times && rv >= 0; i++)
    rv = emit_one(peer, cmd, &a, &opts, i);
  if (opts.on_answers == NULL || rv < 0)
    return reply_int(ev, peer, rv);
  return 0;
}

/* send ROOM TEXT: a message of the host's, not an event. */
static int on_send(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value value = rill_event_arg(ev, 1);
  bool text = rill_value_type(value) == RILL_STRING;
  rill_str data = text ? rill_value_str(value) : rill_value_bytes(value);
  const rill_msg msg = {.data = data.ptr,
                        .len = data.len,
                        .kind = text ? RILL_TEXT : RILL_BINARY};

  (void)arg;
  return reply_int(
      ev, peer,
      rill_send_room(peer.hub, rill_value_str(rill_event_arg(ev, 0)), &msg));
}

/* Who sent what nobody knows hears of it. */
static int on_unknown(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder *b = rill_build(peer.hub);

  (void)arg;
  rill_put_str(b, rill_event_name(ev));
  rill_put_value(b, rill_event_args(ev));
  rill_emit_peer(peer, "unknown", b, NULL);
  return 0;
}

static const struct command {
  const char *name;
  rill_event_fn fn;
} commands[] = {{"echo", on_echo},
                {"ask", on_ask},
                {"ask-late", on_ask_late},
                {"never", on_never},
                {"held", on_held},
                {"release", on_release},
                {"fail", on_fail},
                {"whoami", on_whoami},
                {"types", on_types},
                {"json", on_json},
                {"join", on_join},
                {"leave", on_leave},
                {"join-request", on_join_request},
                {"rooms", on_rooms},
                {"members", on_members},
                {"kick", on_kick},
                {"cut", on_cut},
                {"break", on_break},
                {"emit", on_emit},
                {"send", on_send},
                {"limited", on_ask},
                {"quiet", on_ask},
                {"*", on_unknown}};

int add_commands(rill_hub *hub, const char *space, server *s) {
  int rv = 0;

  for (size_t i = 0; rv == 0 && i < sizeof(commands) / sizeof(*commands); i++)
    rv = rill_on(hub, space, commands[i].name, commands[i].fn, s);
  if (rv == 0)
    rv = rill_throttle(hub, space, "limited", 3, 60000, false);
  if (rv == 0)
    rv = rill_throttle(hub, space, "quiet", 3, 60000, true);
  return rv;
}
