/*
 * host.c - the server's program: its handlers, which check what they are
 * told, and the commands that it gives.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scene.h"

static const char *const rooms[ROOMS] = {"red",  "green", "blue",
                                         "old1", "old2",  "old3",
                                         "new1", "new2",  "new3"};
static const char *const users[USERS] = {"", "ann", "bob", "c\xc3\xa9line"};

rill_str host_room(uint32_t i) { return rill_s(rooms[i]); }

static rill_hub *hub_of(world *w) { return w->nodes[0].hub; }

/* A command outside of any handler: the loop's turn has to end after it. */
static void touched(world *w) { w->nodes[0].turn_open = true; }

static uint32_t room_index(world *w, rill_str room) {
  for (uint32_t i = 0; i < ROOMS; i++)
    if (rill_str_eq(room, host_room(i)))
      return i;
  sim_breach(w, "I-BYTES", "a room that nobody has named", room.len, 0);
}

/* ---- sending ---- */

static rill_overflow some_policy(world *w) {
  if (!sim_fault(w, FAULT_DROP) || sim_chance(w, 50))
    return RILL_OVERFLOW_DEFAULT;
  return (rill_overflow)(1 + sim_below(w, 3));
}

static size_t some_len(world *w) {
  if (sim_fault(w, FAULT_LARGE) && sim_chance(w, 10))
    return sim_below(w, w->nodes[0].limits.message_bytes);
  return sim_below(w, sim_chance(w, 80) ? 200 : 3000);
}

/* Fills |msg| as chance has it; returns its key's number, 0 for none. */
static uint8_t dress(world *w, rill_msg *msg) {
  static const char *const keys[4] = {"", "cursor", "k",
                                      "a key that is a little longer"};
  uint32_t key = 0;

  msg->uncompressed = sim_chance(w, 20);
  msg->overflow = some_policy(w);
  if (sim_fault(w, FAULT_KEYED) && sim_chance(w, 30))
    key = 1 + sim_below(w, 3);
  msg->key = rill_s(keys[key]);
  return (uint8_t)key;
}

static void book(world *w, pair *p, uint32_t id, uint8_t key,
                 rill_overflow policy, bool maybe) {
  flow_sent(w, &p->down, id, key,
            policy == RILL_DROP_NEWEST || policy == RILL_DROP_OLDEST,
            policy == RILL_DROP_OLDEST, maybe);
}

/* Sends |msg|, which is message |id|, to one peer. */
static void send_one(world *w, pair *p, rill_msg *msg, uint32_t id,
                     uint8_t key) {
  bool open = rill_is_open(p->server);
  int rv = SIM_COMMAND(w, rill_send(p->server, msg));

  sim_note(w, "send", p->id, id, (uint64_t)(int64_t)rv);
  if (rv == 0 || rv == RILL_BUSY) {
    if (!open || p->server_side != SIDE_OPEN)
      sim_breach(w, "I-CLOSE", "a closed peer took a message", p->id, id);
    book(w, p, id, key, msg->overflow, false);
    p->busy[0] |= rv == RILL_BUSY;
  } else if (rv == RILL_ERR_FULL) {
    if (msg->overflow == RILL_OVERFLOW_DEFAULT)
      sim_breach(w, "I-POLICY", "dropped although it must not be", p->id, id);
    if (msg->overflow == RILL_DROP_OLDEST)
      p->down.droppable = p->down.n;
  } else if (rv == RILL_ERR_NOMEM) {
    if (!sim_fault(w, FAULT_NO_MEMORY))
      sim_breach(w, "I-OOM", "no memory, it says", p->id, id);
  } else if (rv != RILL_ERR_CLOSED || rill_is_open(p->server)) {
    sim_breach(w, "I-CLOSE", "rill_send to an open peer", p->id,
               (uint64_t)(int64_t)rv);
  }
}

static void send_new(world *w, pair *p) {
  uint32_t id = message_new(w, some_len(w),
                            sim_chance(w, 50) ? RILL_TEXT : RILL_BINARY);
  rill_msg msg = message_msg(w, id);
  uint8_t key = dress(w, &msg);

  send_one(w, p, &msg, id, key);
}

/* Who is meant, by the books: 0 no, 1 yes, 2 perhaps. */
static int is_meant(const pair *p, const rill_to *to, uint32_t in,
                    uint32_t not_in, uint32_t user) {
  bool maybe = false, yes = to->all;

  if (p->server_side != SIDE_OPEN || !rill_is_open(p->server))
    return 0;
  yes |= (p->rooms & in) != 0 || (user != 0 && p->user == user);
  maybe = (p->rooms_maybe & in) != 0;
  for (size_t i = 0; i < to->npeers; i++)
    yes |= rill_peer_eq(to->peers[i], p->server);
  for (size_t i = 0; i < to->nexcept; i++)
    if (rill_peer_eq(to->except[i], p->server))
      return 0;
  if ((p->rooms & not_in) != 0)
    return 0;
  if ((p->rooms_maybe & not_in) != 0)
    return yes || maybe ? 2 : 0;
  return yes ? 1 : maybe ? 2 : 0;
}

static pair *some_pair(world *w) {
  scene *s = w->scene;
  uint32_t n = s->npairs, at;

  if (n == 0)
    return NULL;
  at = sim_below(w, n);
  for (uint32_t i = 0; i < n; i++) {
    pair *p = s->pairs[(at + i) % n];
    if (p->server_side == SIDE_OPEN || (i == 0 && sim_chance(w, 5)))
      return p;
  }
  return NULL;
}

static rill_overflow room_policy(uint32_t room) {
  return room < 3   ? RILL_OVERFLOW_DEFAULT
         : room < 6 ? RILL_DROP_OLDEST
                    : RILL_DROP_NEWEST;
}

/* Message |id| to an audience as chance has it. */
static void broadcast(world *w, rill_msg *msg, uint32_t id, uint8_t key) {
  scene *s = w->scene;
  rill_to to = {0};
  rill_str in[2], not_in, user_name;
  rill_peer peer, except;
  uint32_t in_bits = 0, not_bits = 0, user = 0, n = s->npairs, room;
  rill_overflow policy = msg->overflow;
  uint8_t *meant = calloc(n + 1, 1);
  int rv, kind = (int)sim_below(w, 10);
  pair *p;

  if (meant == NULL)
    abort();
  room = sim_below(w, ROOMS);
  in[0] = host_room(room);
  if (kind == 0) {
    to.all = true;
  } else if (kind == 1) {
    user = 1 + sim_below(w, USERS - 1);
    user_name = rill_s(users[user]);
    to.users = &user_name;
    to.nusers = 1;
  } else {
    to.rooms = in;
    to.nrooms = 1;
    in_bits = 1u << room;
    if (policy == RILL_OVERFLOW_DEFAULT)
      policy = room_policy(room);
  }
  if (kind == 2) {
    uint32_t second = sim_below(w, 3);
    in[1] = host_room(second);
    to.nrooms = 2;
    in_bits |= 1u << second;
  }
  if (kind >= 1 && kind <= 4 && (p = some_pair(w)) != NULL) {
    peer = p->server;
    to.peers = &peer;
    to.npeers = 1;
  }
  if (kind <= 3 && sim_chance(w, 50) && (p = some_pair(w)) != NULL) {
    except = p->server;
    to.except = &except;
    to.nexcept = 1;
    room = sim_below(w, ROOMS);
    not_in = host_room(room);
    to.except_rooms = &not_in;
    to.nexcept_rooms = 1;
    not_bits = 1u << room;
  }
  for (uint32_t i = 0; i < n; i++)
    meant[i] = (uint8_t)is_meant(s->pairs[i], &to, in_bits, not_bits, user);
  rv = SIM_COMMAND(w, rill_send_to(hub_of(w), &to, msg));
  sim_note(w, "broadcast", id, (uint64_t)kind, (uint64_t)(int64_t)rv);
  if (rv != 0 && (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY)))
    sim_breach(w, "I-OOM", "rill_send_to", id, (uint64_t)(int64_t)rv);
  for (uint32_t i = 0; i < n && rv == 0; i++)
    if (meant[i] != 0)
      book(w, s->pairs[i], id, key, policy, meant[i] == 2);
  free(meant);
}

static void broadcast_new(world *w) {
  uint32_t id = message_new(w, some_len(w),
                            sim_chance(w, 50) ? RILL_TEXT : RILL_BINARY);
  rill_msg msg = message_msg(w, id);
  uint8_t key = dress(w, &msg);

  broadcast(w, &msg, id, key);
}

/* ---- other commands ---- */

static void close_one(world *w, pair *p) {
  static const int codes[] = {1000, 1001, 1011, 3000, 4000, 4999};
  static const char *const reasons[] = {NULL, "", "bye",
                                        "\xc3\xa9\xe2\x82\xac"};
  int code = codes[sim_below(w, 6)];
  const char *reason = reasons[sim_below(w, 4)];
  bool open = rill_is_open(p->server);
  int rv;

  if (sim_chance(w, 30)) {
    rv = SIM_COMMAND(w, rill_cut(p->server));
    code = 0;
    open = p->server_side == SIDE_OPEN;
  } else {
    rv = SIM_COMMAND(w, rill_close(p->server, code, reason));
  }
  sim_note(w, "host closes", p->id, (uint64_t)code, (uint64_t)(int64_t)rv);
  if (rv == 0 && !open)
    sim_breach(w, "I-CLOSE", "closed twice", p->id, 0);
  if (rv == 0) {
    p->server_closing = true;
    if (p->server_code == 0)
      p->server_code = (uint16_t)code;
  }
}

static void resume(world *w, void *a, uint64_t b) {
  pair *p = a;

  (void)b;
  if (!p->paused[0])
    return;
  p->paused[0] = false;
  SIM_COMMAND(w, rill_resume(p->server));
  sim_note(w, "resume", p->id, 0, 0);
  touched(w);
}

static void pause_one(world *w, pair *p) {
  if (SIM_COMMAND(w, rill_pause(p->server)) != 0)
    return;
  sim_note(w, "pause", p->id, 0, 0);
  p->paused[0] = true;
  sim_later(w, sim_below(w, 3000) * RILL_MSEC, resume, p, 0);
}

static void join_one(world *w, pair *p, uint32_t room) {
  int rv = SIM_COMMAND(w, rill_join(p->server, host_room(room)));

  sim_note(w, "join", p->id, room, (uint64_t)(int64_t)rv);
  if (rv == 0)
    p->rooms |= 1u << room;
}

static void leave_one(world *w, pair *p, uint32_t room) {
  int rv = SIM_COMMAND(w, rill_leave(p->server, host_room(room)));
  uint32_t bit = 1u << room;

  sim_note(w, "leave", p->id, room, (uint64_t)(int64_t)rv);
  if (p->server_side == SIDE_OPEN && ((p->rooms | p->rooms_maybe) & bit) == 0 &&
      rv == 0)
    sim_breach(w, "I-ROOM", "left a room that it was not in", p->id, room);
  if ((p->rooms & bit) != 0 && rv == RILL_ERR_NOT_FOUND)
    sim_breach(w, "I-ROOM", "was not in its room", p->id, room);
  if (rv == 0) {
    p->rooms &= ~bit;
    p->rooms_maybe &= ~bit;
  }
}

static void check_rooms(world *w, const pair *p) {
  for (uint32_t i = 0; i < ROOMS; i++) {
    bool in = rill_in_room(p->server, host_room(i));
    if ((p->rooms_maybe >> i & 1) == 0 && in != ((p->rooms >> i & 1) != 0))
      sim_breach(w, "I-ROOM", "membership is not by the books", p->id, i);
  }
}

static void posted(rill_hub *hub, void *arg) {
  world *w = arg;

  sim_handler_enter(w, hub);
  w->scene->posts--;
  sim_note(w, "posted", 0, 0, 0);
  broadcast_new(w);
  sim_handler_leave(w);
}

static void post(world *w) {
  if (SIM_COMMAND(w, rill_post(hub_of(w), posted, w)) == 0)
    w->scene->posts++;
}

/* One command, as chance has it; in handlers too. */
static void command(world *w, pair *p) {
  uint32_t k = sim_below(w, 100);

  if (k < 35)
    broadcast_new(w);
  else if (p == NULL)
    return;
  else if (k < 65)
    send_new(w, p);
  else if (k < 72)
    join_one(w, p, sim_below(w, ROOMS));
  else if (k < 77)
    leave_one(w, p, sim_below(w, ROOMS));
  else if (k < 82)
    SIM_COMMAND(w, rill_join_request(p->server, host_room(sim_below(w, ROOMS))));
  else if (k < 85)
    SIM_COMMAND(w, rill_ping(p->server));
  else if (k < 88)
    post(w);
  else if (k < 91 && p->server_side == SIDE_OPEN)
    check_rooms(w, p);
  else if (k < 94 && sim_fault(w, FAULT_PAUSE))
    pause_one(w, p);
  else if (k < 96 && sim_fault(w, FAULT_CLOSE))
    close_one(w, p);
}

void host_act(world *w) {
  command(w, some_pair(w));
  touched(w);
}

/* ---- handlers ---- */

/* A handler fails now and then. */
static int failing(world *w, pair *p) {
  if (w->calm || !sim_fault(w, FAULT_HANDLER_ERROR) || !sim_chance(w, 1))
    return 0;
  sim_note(w, "handler fails", p->id, 0, 0);
  p->server_closing = true;
  return -77;
}

/* The pair's number, which is in the path. */
static uint32_t id_of(const rill_request *req) {
  rill_str id = rill_request_param(req, "id");
  uint32_t n = 0;

  for (size_t i = 0; i < id.len && id.ptr[i] >= '0' && id.ptr[i] <= '9'; i++)
    n = n * 10 + (uint32_t)(id.ptr[i] - '0');
  return n;
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  world *w = arg;
  uint32_t n = id_of(req);
  pair *p;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = pair_by_id(w, n);
  if (p == NULL || p->server_side != SIDE_NONE)
    sim_breach(w, "I-OPEN", "a peer that was not expected", n, 0);
  sim_note(w, "open", p->id, 0, 0);
  p->server = peer;
  p->server_side = SIDE_OPEN;
  if (!rill_str_eq(rill_peer_user(peer), rill_s(users[p->user])))
    sim_breach(w, "I-OPEN", "another user", p->id, p->user);
  SIM_COMMAND(w, rill_peer_set_data(peer, p));
  for (uint32_t k = sim_below(w, 4); k > 0 && !w->calm; k--)
    join_one(w, p, sim_below(w, ROOMS));
  if (!w->calm && sim_chance(w, 40))
    command(w, p);
  rv = failing(w, p);
  sim_handler_leave(w);
  return rv;
}

static pair *pair_of(world *w, rill_peer peer, const char *what) {
  pair *p = rill_peer_data(peer);

  if (p == NULL || !rill_peer_eq(p->server, peer))
    sim_breach(w, "I-CLOSE", "a handler for nobody", 0, 0);
  if (p->server_side != SIDE_OPEN)
    sim_breach(w, "I-CLOSE", what, p->id, 0);
  return p;
}

static int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  world *w = arg;
  pair *p;
  uint32_t id;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "a message after on_close");
  if (p->server_closing)
    sim_breach(w, "I-CLOSE", "a message after the close", p->id, 0);
  if (p->paused[0])
    sim_breach(w, "I-PAUSE", "a message although it is paused", p->id, 0);
  flow_got(w, &p->up, msg->kind, msg->data, msg->len, &id);
  sim_note(w, "host got", p->id, id, msg->len);
  if (!w->calm && sim_chance(w, 30)) {
    rill_msg echo = *msg;
    echo.overflow = some_policy(w);
    if (sim_chance(w, 30))
      broadcast(w, &echo, id, 0);
    send_one(w, p, &echo, id, 0);
  }
  if (!w->calm && sim_chance(w, 10))
    command(w, sim_chance(w, 50) ? p : some_pair(w));
  rv = failing(w, p);
  if (rv == 0 && !w->calm && sim_fault(w, FAULT_PAUSE) && sim_chance(w, 3)) {
    rv = RILL_PAUSE;
    p->paused[0] = true;
    sim_later(w, sim_below(w, 2000) * RILL_MSEC, resume, p, 0);
  }
  sim_handler_leave(w);
  return rv;
}

static int on_drain(rill_peer peer, void *arg) {
  world *w = arg;
  pair *p;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "on_drain after on_close");
  sim_note(w, "drained", p->id, 0, 0);
  if (!p->busy[0])
    sim_breach(w, "I-DRAINED", "on_drain that nobody waits for", p->id, 0);
  p->busy[0] = false;
  if (!w->calm && sim_chance(w, 30))
    command(w, p);
  rv = failing(w, p);
  sim_handler_leave(w);
  return rv;
}

static int on_joined(rill_peer peer, rill_str room, int status, void *arg) {
  world *w = arg;
  pair *p;
  uint32_t bit;
  int rv;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "on_joined after on_close");
  bit = 1u << room_index(w, room);
  sim_note(w, "joined", p->id, bit, (uint64_t)(int64_t)status);
  if (status == 0 && (p->rooms_maybe & bit) != 0)
    p->rooms |= bit;
  if (status == 0 || !rill_in_room(peer, room))
    p->rooms_maybe &= ~bit; /* else another request was granted */
  rv = failing(w, p);
  sim_handler_leave(w);
  return rv;
}

/* What on_close says must be true. */
static void check_closed(world *w, pair *p, const rill_closed *c) {
  uint64_t dropped = 0;
  rill_cause cause = c->cause;
  bool wrong = false;

  if (cause == RILL_CAUSE_PROTO || cause == RILL_CAUSE_UTF8 ||
      cause == RILL_CAUSE_TOO_BIG)
    wrong = !p->hostile;
  else if (cause == RILL_CAUSE_NOMEM)
    wrong = !sim_fault(w, FAULT_NO_MEMORY);
  else if (cause == RILL_CAUSE_HANDLER)
    wrong = !sim_fault(w, FAULT_HANDLER_ERROR);
  else if (cause == RILL_CAUSE_HOST)
    wrong = !p->server_closing;
  else if (cause == RILL_CAUSE_DRAIN)
    wrong = !w->scene->ending;
  else if (cause == RILL_CAUSE_NONE || cause == RILL_CAUSE_DIAL ||
           cause == RILL_CAUSE_REFUSED)
    wrong = true;
  if (wrong)
    sim_breach(w, "I-CAUSE", rill_cause_text(cause), p->id, c->code);
  if (cause != RILL_CAUSE_PEER || p->hostile || p->server_closing ||
      c->code == RILL_CLOSE_SLOW || c->code == RILL_CLOSE_OVERLOAD)
    return; /* the last two: what was queued was dropped */
  if (p->client_code != 0 && c->code != p->client_code &&
      c->code != RILL_CLOSE_ERROR)
    sim_breach(w, "I-CAUSE", "another close code", c->code, p->client_code);
  flow_whole(w, &p->up, "lost before the client's close", p->id, &dropped);
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  world *w = arg;
  pair *p;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "on_close twice");
  sim_note(w, "closed", p->id, closed->cause, closed->code);
  check_rooms(w, p);
  if (rill_is_open(peer))
    sim_breach(w, "I-CLOSE", "open in on_close", p->id, 0);
  check_closed(w, p, closed);
  p->server_side = SIDE_CLOSED;
  p->paused[0] = false;
  if (!w->calm && sim_chance(w, 30))
    command(w, sim_chance(w, 30) ? p : some_pair(w));
  sim_handler_leave(w);
}

static const rill_handlers handlers = {on_open, on_message, on_drain,
                                       on_joined, on_close};

/* ---- hooks ---- */

/* The request has been given back, whatever |rv| is. */
static int accept_as(world *w, rill_request *req, pair *p) {
  uint32_t user = sim_below(w, USERS);
  uint32_t was = p->user;
  int rv;

  p->user = user;
  rv = SIM_COMMAND(w, rill_accept(req, rill_s(users[user])));
  sim_note(w, "accept", p->id, user, (uint64_t)(int64_t)rv);
  if (rv != 0 && rv != RILL_ERR_CLOSED &&
      (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY)))
    sim_breach(w, "I-HTTP", "rill_accept", p->id, (uint64_t)(int64_t)rv);
  if (rv != 0)
    p->user = was;
  return rv;
}

static void respond(world *w, rill_request *req, const char *text) {
  const rill_header header = {"X-Sim", "yes"};
  rill_response r = {.body = text, .body_len = strlen(text),
                     .headers = &header, .nheaders = 1};
  int rv = SIM_COMMAND(w, rill_respond(req, &r));

  sim_note(w, "respond", r.body_len, (uint64_t)(int64_t)rv, 0);
  if (rv != 0 && rv != RILL_ERR_CLOSED &&
      (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY)))
    sim_breach(w, "I-HTTP", "rill_respond", (uint64_t)(int64_t)rv, 0);
}

static void decide(world *w, void *a, uint64_t id) {
  rill_request *req = a;

  w->scene->verdicts--;
  if (id == UINT64_MAX)
    respond(w, req, "later");
  else if (sim_chance(w, 70))
    accept_as(w, req, pair_by_id(w, (uint32_t)id));
  else
    SIM_COMMAND(w, rill_reject(req, 403, "not you"));
  touched(w);
}

static int authenticate(rill_request *req, void *arg) {
  world *w = ((node *)arg)->w;
  rill_str auth = rill_request_query(req, "auth");
  pair *p;
  int rv = RILL_LATER;

  sim_handler_enter(w, rill_request_hub(req));
  p = pair_by_id(w, id_of(req));
  if (p == NULL) {
    rv = SIM_COMMAND(w, rill_reject(req, 400, "no id"));
  } else if (rill_str_eq(auth, rill_s("now"))) {
    rv = accept_as(w, req, p);
  } else if (rill_str_eq(auth, rill_s("reject"))) {
    rv = sim_chance(w, 50) ? SIM_COMMAND(w, rill_reject(req, 401, "\"no\""))
                           : -1;
  } else {
    bool silent = rill_str_eq(auth, rill_s("silent"));
    w->scene->verdicts++;
    sim_later(w, sim_below(w, silent ? 9000 : 2000) * RILL_MSEC, decide, req,
              p->id);
  }
  sim_handler_leave(w);
  return rv;
}

static int hello(rill_request *req, void *arg) {
  world *w = arg;

  sim_handler_enter(w, rill_request_hub(req));
  respond(w, req, "hello");
  sim_handler_leave(w);
  return 0;
}

static int echo_body(rill_request *req, void *arg) {
  world *w = arg;
  rill_str body = rill_request_body(req);
  rill_response r = {.status = 201, .body = body.ptr, .body_len = body.len};

  sim_handler_enter(w, rill_request_hub(req));
  SIM_COMMAND(w, rill_respond(req, &r));
  sim_handler_leave(w);
  return 0;
}

static int later(rill_request *req, void *arg) {
  world *w = arg;

  sim_handler_enter(w, rill_request_hub(req));
  w->scene->verdicts++;
  sim_later(w, sim_below(w, 1500) * RILL_MSEC, decide, req, UINT64_MAX);
  sim_handler_leave(w);
  return RILL_LATER;
}

static int fail(rill_request *req, void *arg) {
  (void)req;
  (void)arg;
  return -5;
}

static void allow_or_deny(world *w, void *a, uint64_t room) {
  pair *p = a;
  uint32_t bit = 1u << room;
  int rv;

  if (sim_chance(w, 70)) {
    rv = SIM_COMMAND(w, rill_join_allow(p->server, host_room((uint32_t)room)));
    if (rv == 0)
      p->rooms_maybe |= bit & ~p->rooms;
  } else {
    rv = SIM_COMMAND(w, rill_join_deny(p->server, host_room((uint32_t)room),
                                       RILL_ERR_FORBIDDEN));
  }
  sim_note(w, "verdict", p->id, room, (uint64_t)(int64_t)rv);
  touched(w);
}

static int authorize_join(rill_peer peer, rill_str room, void *arg) {
  world *w = ((node *)arg)->w;
  pair *p;
  uint32_t i;
  int rv = RILL_LATER;

  sim_handler_enter(w, peer.hub);
  p = pair_of(w, peer, "authorize_join after on_close");
  i = room_index(w, room);
  switch (sim_fault(w, FAULT_ASYNC_JOIN) ? sim_below(w, 4) : 0) {
  case 0:
    p->rooms_maybe |= 1u << i & ~p->rooms;
    rv = 0;
    break;
  case 1:
    rv = RILL_ERR_FORBIDDEN;
    break;
  case 2:
    if (SIM_COMMAND(w, rill_join_allow(peer, room)) == 0)
      p->rooms_maybe |= 1u << i & ~p->rooms;
    break;
  default:
    sim_later(w, sim_below(w, 2000) * RILL_MSEC, allow_or_deny, p, i);
    break;
  }
  sim_note(w, "authorize", p->id, i, (uint64_t)(int64_t)rv);
  sim_handler_leave(w);
  return rv;
}

static uint32_t charge(rill_peer peer, const rill_msg *msg, void *arg) {
  world *w = ((node *)arg)->w;

  sim_handler_enter(w, peer.hub);
  sim_handler_leave(w);
  return msg->len > 1000 ? 3 : 1;
}

static void on_log(void *arg, rill_log_level level, const char *event,
                   const char *text) {
  world *w = ((node *)arg)->w;
  size_t n = strlen(text);

  if (n > 1024 || event[0] == '\0' || level > RILL_LOG_DEBUG)
    sim_breach(w, "I-LOG", event, n, level);
  for (size_t i = 0; i < n; i++)
    if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
      sim_breach(w, "I-LOG", "a control byte", (uint8_t)text[i], i);
}

/* ---- the start ---- */

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
  node *n = &w->nodes[0];
  end *e = sim_end_new(w);
  rill_conn_arg arg;
  char address[32];
  rill_conn_info info = {.port = (uint16_t)(1024 + e->id % 60000)};
  int rv;

  if (sim_chance(w, 10))
    snprintf(address, sizeof address, "unix");
  else if (sim_chance(w, 10))
    snprintf(address, sizeof address, "2001:db8::%u", 1 + sim_below(w, 9));
  else
    snprintf(address, sizeof address, "10.0.0.%u", 1 + sim_below(w, 20));
  info.address = rill_s(address);
  e->node = n;
  rv = rill_conn_new(&e->conn, n->hub, &info, sim_node_now(n));
  sim_note(w, "accepted", e->id, (uint64_t)(int64_t)rv, 0);
  if (rv != 0) {
    e->conn = NULL;
    if (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY))
      sim_breach(w, "I-OOM", "rill_conn_new", (uint64_t)(int64_t)rv, 0);
    return e;
  }
  n->conns++;
  n->turn_open = true;
  arg.ptr = e;
  rill_conn_set_arg(e->conn, arg);
  e->wants = rill_wants(e->conn);
  return e;
}

static void must(world *w, int rv, const char *what) {
  if (rv != 0)
    sim_breach(w, "setup", what, (uint64_t)(int64_t)rv, 0);
}

void host_setup(world *w) {
  rill_config config;
  rill_route_opts opts = {.handlers = &handlers, .arg = w};
  const rill_room_opts old = {RILL_DROP_OLDEST}, newest = {RILL_DROP_NEWEST};
  rill_hub *hub;

  rill_config_init(&config);
  set_limits(w, &config.limits);
  config.arg = &w->nodes[0];
  config.authenticate = authenticate;
  config.authorize_join = authorize_join;
  config.charge = sim_chance(w, 50) ? charge : NULL;
  config.log = on_log;
  config.log_level = RILL_LOG_DEBUG;
  sim_node_start(w, 0, &config);
  hub = w->nodes[0].hub;
  w->accept = accept_stream;
  must(w, rill_route(hub, "/plain/:id", RILL_RAW, &opts), "route");
  opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 50};
  must(w, rill_route(hub, "/deflate/:id", RILL_RAW, &opts), "route");
  opts.deflate.server_context_takeover = true;
  opts.deflate.client_context_takeover = true;
  opts.deflate.server_max_window_bits = (uint8_t)(9 + sim_below(w, 7));
  must(w, rill_route(hub, "/takeover/:id", RILL_RAW, &opts), "route");
  must(w, rill_handle(hub, "GET", "/hello", hello, w), "handle");
  must(w, rill_handle(hub, "POST", "/echo", echo_body, w), "handle");
  must(w, rill_handle(hub, "GET", "/later", later, w), "handle");
  must(w, rill_handle(hub, "*", "/fail", fail, w), "handle");
  must(w, rill_room_defaults(hub, "old*", &old), "room defaults");
  must(w, rill_room_defaults(hub, "new*", &newest), "room defaults");
}
