/*
 * kept_host.c - the server of the third scene: as the seed makes it, whom it
 * lets in, and how it is killed.
 */
#include <stdlib.h>
#include <string.h>

#include "kept.h"

static const char *const rooms[KEPT_ROOMS] = {"long", "short", "ring"};
static const char *const users[KEPT_USERS] = {"", "ada", "bob", "cy"};

const char *kept_room(int room) {
  return rooms[room];
}
const char *kept_user(uint32_t user) {
  return users[user];
}

int kept_room_of(rill_str name) {
  for (int i = 0; i < KEPT_ROOMS; i++)
    if (rill_str_eq(name, rill_s(rooms[i])))
      return i;
  return -1;
}

uint32_t kept_user_of(world *w, rill_str name) {
  for (uint32_t i = 1; i < KEPT_USERS; i++)
    if (rill_str_eq(name, rill_s(users[i])))
      return i;
  sim_breach(w, "I-EVENT", "a user of no name", name.len, 0);
}

uint32_t kept_note_of(world *w, rill_str id) {
  uint32_t n = 0;

  for (size_t i = 1; i < id.len; i++)
    n = n * 10 + (uint32_t)(id.ptr[i] - '0');
  if (id.len < 2 || id.ptr[0] != 'n' || n >= w->kept->nnotes)
    sim_breach(w, "I-NOTE", "an id of none", id.len, n);
  return n;
}

const shelf_log *kept_log(const kept *k, int room) {
  return shelf_find(k->shelf,
                    room == ROOM_LONG ? "room/\nlong" : "room/\nshort");
}

static visitor *visitor_of(world *w, rill_str token) {
  uint32_t id = 0;

  for (size_t i = 1; i < token.len; i++)
    id = id * 10 + (uint32_t)(token.ptr[i] - '0');
  if (token.len < 2 || id == 0 || id > w->kept->nvisitors)
    return NULL;
  return w->kept->visitors[id - 1];
}

stay *kept_stay(world *w, rill_str sid) {
  kept *k = w->kept;

  for (size_t i = k->nstays; i > 0; i--)
    if (rill_str_eq(sid, rill_s(k->stays[i - 1]->sid)))
      return k->stays[i - 1];
  return NULL;
}

static int authenticate(rill_request *req, void *arg) {
  world *w = ((node *)arg)->w;
  visitor *v;
  int rv;

  sim_handler_enter(w, rill_request_hub(req));
  v = visitor_of(w, rill_request_credential(req));
  if (v == NULL && !w->kept->may_lose)
    sim_breach(w, "I-OPEN", "nobody asks", 0, 0);
  if (v == NULL)
    rv = SIM_COMMAND(w, rill_reject(req, 503, "no token"));
  else
    rv = SIM_COMMAND(w, rill_accept(req, rill_s(users[v->user])));
  sim_handler_leave(w);
  return rv;
}

/* A join that the host thinks about. */
typedef struct thought {
  rill_peer peer;
  int room;
} thought;

static void allow(world *w, void *a, uint64_t life) {
  thought *t = a;

  if (life == w->kept->life) {
    SIM_COMMAND(w, rill_join_allow(t->peer, rill_s(rooms[t->room])));
    kept_touched(w);
  }
  free(t);
}

static int authorize_join(rill_peer peer, rill_str room, void *arg) {
  world *w = ((node *)arg)->w;
  thought *t;
  int rv = 0;

  sim_handler_enter(w, peer.hub);
  if (kept_room_of(room) < 0)
    sim_breach(w, "I-EVENT", "a room of no name", room.len, 0);
  if (sim_fault(w, FAULT_ASYNC_JOIN) && sim_chance(w, 30)) {
    t = malloc(sizeof *t);
    if (t == NULL)
      abort();
    *t = (thought){peer, kept_room_of(room)};
    sim_later(w, sim_below(w, 800) * RILL_MSEC, allow, t, w->kept->life);
    rv = RILL_LATER;
  }
  sim_handler_leave(w);
  return rv;
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  world *w = arg;
  kept *k = w->kept;
  rill_str sid = rill_peer_sid(peer);
  stay *s = calloc(1, sizeof *s);

  sim_handler_enter(w, peer.hub);
  if (k->nstays == k->stays_cap) {
    k->stays_cap = k->stays_cap * 2 + 16;
    k->stays = realloc(k->stays, k->stays_cap * sizeof(stay *));
  }
  if (s == NULL || k->stays == NULL)
    abort();
  k->stays[k->nstays++] = s;
  *s = (stay){.id = (uint32_t)k->nstays,
              .peer = peer,
              .visitor = visitor_of(w, rill_request_credential(req)),
              .life = k->life};
  if (sid.len != 20 || s->visitor == NULL)
    sim_breach(w, "I-OPEN", "a peer without an id", sid.len, 0);
  memcpy(s->sid, sid.ptr, 20);
  SIM_COMMAND(w, rill_peer_set_data(peer, s));
  sim_note(w, "open", s->visitor->id, s->id, 0);
  sim_handler_leave(w);
  return 0;
}

static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  world *w = arg;
  stay *s = rill_peer_data(peer);

  sim_handler_enter(w, peer.hub);
  if (s == NULL || s->closed || s->life != w->kept->life)
    sim_breach(w, "I-CLOSE", "on_close twice, or of nobody", 0, 0);
  sim_note(w, "closed", s->id, closed->cause, closed->code);
  s->closed = true;
  sim_handler_leave(w);
}

static const rill_handlers handlers = {.on_open = on_open,
                                       .on_close = on_close};

static int on_say(rill_peer peer, const rill_event *ev, void *arg) {
  world *w = arg;
  rill_str id = rill_get_str(rill_event_arg(ev, 0), "id");
  int room = kept_room_of(rill_get_str(rill_event_arg(ev, 0), "room"));
  char text[24] = "";

  sim_handler_enter(w, peer.hub);
  if (room < 0 || id.len >= sizeof text)
    sim_breach(w, "I-UP", "another event than was said", id.len, 0);
  memcpy(text, id.ptr, id.len);
  kept_publish(w, room, text, ev);
  sim_handler_leave(w);
  return 0;
}

static void set_limits(world *w, rill_limits *l) {
  sim_event_limits(l);
  l->history_page = 25;
  l->presence_grace_ms = 3000;
  l->typing_ms = 3000;
  if (!sim_fault(w, FAULT_TIGHT))
    return;
  l->store_pending = 12;
  l->queue_count = 60;
  l->queue_bytes = 8000;
  l->presence_held = 2;
  l->presence_seen = 2;
  l->away_peers = 3;
  l->receipt_users = 2;
}

static end *accept_stream(world *w) {
  const rill_conn_info info = {rill_s("10.0.0.1"), (uint16_t)(w->ids + 1),
                               false};

  return sim_accept(w, &info);
}

static void set_rooms(world *w, rill_hub *hub) {
  const rill_room_opts all = {
      .durable = true, .presence = true, .typing = true};
  const rill_room_opts some = {
      .durable = true, .typing = true, .keep_count = SHORT_COUNT};
  const rill_room_opts ring = {
      .history = RING_COUNT, .presence = true, .typing = true};

  sim_must(w, rill_room_defaults(hub, rooms[ROOM_LONG], &all), "room defaults");
  sim_must(w, rill_room_defaults(hub, rooms[ROOM_SHORT], &some),
           "room defaults");
  sim_must(w, rill_room_defaults(hub, rooms[ROOM_RING], &ring),
           "room defaults");
}

void kept_begin(world *w) {
  bool calm = w->calm;
  rill_config config;
  rill_route_opts opts = {.handlers = &handlers, .arg = w};
  const rill_space_opts root = {.recovery = w->kept->recovery};
  rill_hub *hub;

  w->calm = true; /* while it is set up */
  rill_config_init(&config);
  set_limits(w, &config.limits);
  config.arg = &w->nodes[0];
  config.authenticate = authenticate;
  config.authorize_join = authorize_join;
  sim_node_start(w, 0, &config);
  hub = w->nodes[0].hub;
  w->accept = accept_stream;
  sim_must(w, rill_store_use(hub, shelf_store(w->kept->shelf)), "store");
  if (sim_fault(w, FAULT_DEFLATE))
    opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 20};
  sim_must(w, rill_route(hub, "/sio/", RILL_SOCKETIO, &opts), "route");
  sim_must(w, rill_route(hub, "/json", RILL_JSON, &opts), "route");
  sim_must(w, rill_space(hub, "/", &root), "space");
  set_rooms(w, hub);
  sim_must(w, rill_on(hub, NULL, "say", on_say, w), "on");
  sim_must(w, rill_room_events(hub, NULL), "room events");
  sim_must(w, rill_presence_events(hub, NULL, NULL), "presence events");
  sim_must(w, rill_typing_events(hub, NULL), "typing events");
  sim_must(w, rill_notify_events(hub, NULL, NULL), "notify events");
  sim_must(w, rill_receipt_events(hub, NULL, NULL), "receipt events");
  w->calm = calm;
  sim_note(w, "begins", w->kept->life, 0, 0);
}

void kept_kill(world *w) {
  sim_note(w, "killed", w->kept->life, shelf_pending(w->kept->shelf), 0);
  w->kept->life++;
  kept_forget_readings(w->kept);
  sim_node_kill(w, 0);
}
