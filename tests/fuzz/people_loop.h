/*
 * people_loop.h - the adapter of fuzz_people.c, how its hubs are made, how
 * one ends in the middle of everything, and how the last one does: when all
 * is calm everybody knows what is so, and then nothing is left.
 */
#ifndef PEOPLE_LOOP_H
#define PEOPLE_LOOP_H

#include "people_host.h"
#include "people_reads.h"
#include "people/inbox.h"

static inline void done(people *s) {
  s->may_run = false;
  MUST(!s->handling);
  MUST(s->memory.bytes < MOST_MEMORY);
}

static inline void write_some(people *s, client *c) {
  rill_iov iov[3];
  size_t n = rill_pending(c->conn, iov, 3), written = 0;

  for (size_t i = 0; i < n && c->takes > 0; i++) {
    size_t len = iov[i].len < c->takes ? iov[i].len : c->takes;
    reader_feed(&c->rd, iov[i].base, len);
    written += len;
    if (c->takes != SIZE_MAX)
      c->takes -= len;
  }
  if (c->rd.bad != NULL)
    fprintf(stderr, "what goes out: %s\n", c->rd.bad);
  MUST(c->rd.bad == NULL);
  rill_sent(c->conn, written, s->now);
}

static inline void serve(people *s, client *c) {
  unsigned wants = rill_wants(c->conn);

  while ((wants & RILL_WANT_WRITE) != 0 && c->takes > 0) {
    write_some(s, c);
    wants = rill_wants(c->conn);
  }
  if ((wants & RILL_WANT_CLOSE) == 0)
    return;
  rill_conn_free(c->conn);
  part(c);
}

static inline void turn(people *s) {
  rill_conn *c;
  int rounds = 0;

  do {
    while ((c = rill_next_ready(s->hub)) != NULL) {
      MUST(++rounds < 3000);
      serve(s, rill_conn_arg_of(c).ptr);
    }
    if (rill_deadline(s->hub) > s->now)
      break;
    MUST(++rounds < 3000);
    s->may_run = true;
    rill_tick(s->hub, s->now);
    done(s);
  } while (true);
}

static inline void on_answer(void *arg, int status, bool close) {
  client *c = arg;

  (void)status;
  (void)close;
  MUST(c->dialect != POST || c->rd.answers <= c->posted + 1);
}

static inline bool accept_stream(people *s, client *c) {
  rill_conn_info info = {rill_s("192.0.2.1"), 1, false};
  rill_conn_arg arg = {.ptr = c};

  c->s = s;
  if (rill_conn_new(&c->conn, s->hub, &info, s->now) != 0) {
    c->conn = NULL;
    return false;
  }
  c->takes = SIZE_MAX;
  reader_init(&c->rd, false, c);
  c->rd.on_message = read_message;
  c->rd.on_stream = read_stream;
  c->rd.on_answer = on_answer;
  rill_conn_set_arg(c->conn, arg);
  return true;
}

/* Only what an adapter would read, in a block of its exact size. */
static inline void feed(people *s, client *c, const uint8_t *data, size_t len) {
  uint8_t *exact;
  int rv;

  if (c->conn == NULL || len == 0)
    return;
  if ((rill_wants(c->conn) & RILL_WANT_READ) == 0) {
    c->deaf = true;
    return;
  }
  exact = malloc(len);
  MUST(exact != NULL);
  memcpy(exact, data, len);
  s->may_run = true;
  rv = rill_feed(c->conn, exact, len, s->now);
  done(s);
  free(exact);
  MUST(rv <= 0 && rv != RILL_ERR_ARG && rv != RILL_ERR_STATE);
}

static inline void end_stream(people *s, client *c, int error) {
  if (c->conn == NULL || (rill_wants(c->conn) & RILL_WANT_CLOSE) != 0)
    return;
  s->may_run = true;
  rill_feed_end(c->conn, error, s->now);
  done(s);
}

static inline void set_limits(const people *s, rill_limits *l) {
  bool tight = (s->flags & TIGHT) != 0;

  l->ping_ms = l->pong_ms = l->idle_ms = RILL_UNLIMITED;
  l->messages_per_sec = l->messages_burst = RILL_UNLIMITED;
  l->bytes_per_sec = l->bytes_burst = RILL_UNLIMITED;
  l->address_accepts_burst = l->accepts_burst = 100000;
  l->attachments = 3;
  l->joins_pending = 3;
  l->rooms_per_peer = 6;
  l->away_peers = 4;
  l->recovery_ms = 4000;
  l->history_count = 12;
  l->history_ms = 3000;
  l->history_bytes = 2000;
  l->history_total_bytes = 6000;
  l->store_pending = tight ? 6 : HELD;
  l->history_page = tight ? 6 : 8;
  l->presence_grace_ms = 1500;
  l->presence_page = tight ? 2 : 50;
  l->presence_state_bytes = 64;
  l->presence_watched = tight ? 3 : 10;
  l->presence_held = tight ? 1 : 10;
  l->presence_seen = tight ? 1 : 10;
  l->typing_ms = 2500;
  l->typing_users = tight ? 1 : 50;
  l->notify_count = tight ? 2 : 6;
  l->notify_bytes = 120;
  l->notify_waiting = tight ? 1 : 50;
  l->receipt_users = tight ? 1 : 50;
  if (!tight)
    return;
  l->soft_bytes = 600;
  l->soft_count = 5;
  l->queue_bytes = 2500;
  l->queue_count = 8;
}

static inline rill_room_opts room_opts(unsigned room) {
  static const rill_room_opts all[ROOMS] = {
      [DUR] = {.durable = true},
      [DKEEP] = {.durable = true,
                 .keep_count = 4,
                 .keep_ms = 5000,
                 .keep_bytes = 300,
                 .presence = true,
                 .presence_grace_ms = 900,
                 .presence_window_ms = 100},
      [DCROWD] = {.durable = true,
                  .history = 5,
                  .presence = true,
                  .typing = true},
      [RING] = {.history = 5, .typing = true},
      [RCROWD] = {.history = 5,
                  .presence = true,
                  .typing = true,
                  .batch_ms = 300},
      [PLAIN] = {.presence = true},
      [ALLOWED_LATER] = {.durable = true}};

  return all[room];
}

static inline void set_space(people *s, unsigned which, const char *pattern) {
  rill_hub *hub = s->hub;
  const rill_space_opts space = {.recovery =
                                     which < 2 && (s->flags & RECOVERY) != 0};
  const rill_presence_opts presence = {
      .everyone = (s->flags & EVERYONE) != 0,
      .heartbeat_ms = (s->flags & EVERYONE) != 0 ? 2000 : 0,
      .idle_ms = (s->flags & EVERYONE) != 0 ? 1000 : 0,
      .sweep_ms = which == 1 ? 700 : 0,
      .grace_ms = which == 1 ? 500 : 0,
      .on_change = on_change,
      .arg = s};
  const rill_notify_events_opts notify = {.on_missed =
                                              which < 2 ? on_missed : NULL,
                                          .arg = s,
                                          .missed_ms = which == 0 ? 2000 : 0};
  const rill_receipt_events_opts receipts = {.is_private = which == 2};

  MUST(rill_space(hub, pattern, &space) == 0);
  MUST(rill_room_events(hub, pattern) == 0);
  MUST(rill_presence_events(hub, pattern, &presence) == 0);
  MUST(rill_typing_events(hub, pattern) == 0);
  MUST(rill_notify_events(hub, pattern, &notify) == 0);
  MUST(rill_receipt_events(hub, pattern, &receipts) == 0);
  MUST(rill_on(hub, pattern, "say", on_say, s) == 0);
}

static inline void set_routes(people *s) {
  rill_route_opts opts = {.handlers = &handlers, .arg = s};

  MUST(rill_route(s->hub, "/sio/", RILL_SOCKETIO, &opts) == 0);
  MUST(rill_route(s->hub, "/json", RILL_JSON, &opts) == 0);
  MUST(rill_route(s->hub, "/sse", RILL_SSE, &opts) == 0);
  MUST(rill_route(s->hub, "/raw", RILL_RAW, &opts) == 0);
}

static inline void hub_begin(people *s) {
  rill_config config;

  rill_config_init(&config);
  config.alloc = mem_fn;
  config.alloc_arg = &s->memory;
  config.random = fill_random;
  config.wall = (s->flags & NO_WALL) != 0 ? NULL : wall;
  config.arg = s;
  config.authenticate = authenticate;
  config.authorize_join = authorize_join;
  set_limits(s, &config.limits);
  MUST(rill_hub_new(&s->hub, &config) == 0);
  s->hubs++;
  s->npeers = 0;
  store_use(s);
  set_routes(s);
  set_space(s, 0, "/");
  set_space(s, 1, "/n*");
  set_space(s, 2, "/other");
  for (unsigned i = 0; i < ROOMS; i++) {
    const rill_room_opts opts = room_opts(i);
    MUST(rill_room_defaults(s->hub, room_names[i], &opts) == 0);
  }
  memset(s->lax, 0, sizeof s->lax);
}

/* Without a word to anybody; what calls wait for, nobody is told. */
static inline void hub_end(people *s) {
  for (int i = 0; i < CLIENTS; i++)
    if (s->clients[i].conn != NULL) {
      rill_conn_free(s->clients[i].conn);
      part(&s->clients[i]);
    }
  rill_hub_free(s->hub);
  s->hub = NULL;
  MUST(s->memory.bytes == 0 && s->memory.blocks == 0);
  memset(s->peers, 0, sizeof s->peers);
  for (uint32_t i = 0; i < s->ncalls; i++)
    if (s->calls[i].state == WAITS)
      s->calls[i].state = UNUSED;
}

/* The program ends, and is started again. */
static inline void restart(people *s) {
  s->memory.fail_at = 0;
  hub_end(s);
  for (int i = 0; i < ROOMS && (s->flags & NO_STORE) != 0; i++)
    for (int k = 0; k < CLIENTS; k++)
      s->clients[k].nnotices = 0;
  hub_begin(s);
}

static inline void begin(people *s, uint8_t flags) {
  memset(s, 0, sizeof *s);
  s->flags = flags;
  s->seed = 88172645463325252u;
  s->now = 1000 * RILL_SEC;
  for (int i = 0; i < CLIENTS; i++)
    s->clients[i].s = s;
  s->nobody.s = s;
  store_init(s);
  hub_begin(s);
}

/* It is a member, has heard all that it can, and knows it. */
static inline void check_number(const client *c, unsigned room) {
  const people *s = c->s;
  const view *v = &c->views[room];
  rill_str space = rill_s(space_names[c->space]);
  const rill__room *r = rill__room_find(rill__space_find(s->hub, space),
                                        rill_s(room_names[room]));
  uint64_t last = is_durable(room) ? s->books[log_in(c, room)].last
                  : r != NULL      ? r->last
                                   : 0;

  if (v->state != IN || !v->knows || is_lax(c, room) ||
      (is_durable(room) && (s->flags & NO_STORE) != 0))
    return;
  if (is_durable(room) || is_numbered(c))
    MUST(v->heard == last || follows(c, room, v->heard, last + 1));
}

static inline void check_users(const client *c, rill_str room,
                               const uint8_t status[USERS], uint8_t which) {
  const people *s = c->s;
  rill_str space = rill_s(space_names[c->space]);
  rill_presence is;

  for (unsigned i = 1; i < USERS; i++) {
    if ((which >> i & 1) == 0)
      continue;
    MUST(rill_presence_user(s->hub, space, room, rill_s(user_names[i]), &is) ==
         0);
    MUST(is.status == (rill_status)status[i]);
  }
}

/* Who is there, and that nobody types. */
static inline void check_crowd(const client *c, unsigned room) {
  const view *v = &c->views[room];
  rill_str name = rill_s(room_names[room]);
  rill_occupancy is;

  MUST(v->typing == 0 || is_lax(c, room));
  if (!v->crowd || rill_presence_count(c->s->hub, rill_s(space_names[c->space]),
                                       name, &is) != 0)
    return;
  MUST(v->count == is.users);
  if (!v->part)
    check_users(c, name, v->status, 0xff);
}

/* How far others have read, as far as it has heard of them at all. */
static inline void check_receipts(const client *c, unsigned room) {
  const view *v = &c->views[room];
  const book *b = &c->s->books[log_in(c, room)];

  if (!is_booked(c->s, log_in(c, room)) || is_lax(c, room))
    return;
  for (unsigned i = 1; i < USERS; i++)
    MUST(v->receipts[i] == 0 || b->unsure[i] || v->receipts[i] == b->read[i]);
}

static inline const rill__inbox *inbox_of(const client *c) {
  rill_str space = rill_s(space_names[c->space]);
  rill_str user = rill_s(user_names[c->user]);
  const rill__inbox *in = c->s->hub->inboxes;

  while (in != NULL &&
         !(rill_str_eq(in->space, space) && rill_str_eq(in->user, user)))
    in = in->hh.next;
  return in;
}

/* What waits for it, it knows. */
static inline void check_notices(const client *c) {
  const rill__inbox *in = inbox_of(c);

  if (c->dialect >= SSE || c->user == 0 || c->lost_count)
    return;
  MUST(c->counted && in != NULL && in->state == RILL__INBOX_LOADED);
  MUST(in->count == c->nnotices);
  for (uint32_t i = 0; i < c->nnotices; i++)
    MUST(rill__inbox_by_offset(in, c->notices[i].offset) != NULL);
}

static inline void check_client(client *c) {
  people *s = c->s;
  known *k = known_by_sid(s, c->sid);

  if (c->conn == NULL || !c->open || k == NULL || !rill_is_open(k->peer))
    return;
  for (uint32_t i = 0; i < c->nasked; i++)
    MUST(!c->asked[i].must || c->deaf);
  for (unsigned i = 0; i < ROOMS; i++) {
    if (!rill_in_room(k->peer, rill_s(room_names[i])))
      continue;
    check_number(c, i);
    if (c->dialect == SSE)
      continue;
    check_crowd(c, i);
    check_receipts(c, i);
  }
  if (c->dialect == SSE)
    return;
  check_notices(c);
  if (c->all && !c->all_part)
    check_users(c, (rill_str){0}, c->status, 0xff);
  else if (!k->unwatched)
    check_users(c, (rill_str){0}, c->status, c->follows);
}

/* Nothing fails or waits any more, and enough time passes for all. */
static inline void calm_down(people *s) {
  s->memory.fail_at = s->store.memory.fail_at = 0;
  s->ending = true;
  s->store.keeps = false;
  s->store.fails = 0;
  s->next = 0;
  for (int i = 0; i < CLIENTS; i++) {
    s->clients[i].takes = SIZE_MAX;
    if (s->clients[i].conn != NULL)
      serve(s, &s->clients[i]);
  }
  for (int k = 0; k < 40; k++) {
    for (int i = 0; i < PEERS; i++) {
      rill_resume(s->peers[i].peer);
      rill_join_allow(s->peers[i].peer, rill_s(room_names[ALLOWED_LATER]));
    }
    let(&s->store, HELD, 0);
    turn(s);
    s->now += 300 * RILL_MSEC;
    turn(s);
  }
}

static inline void check_calm(people *s) {
  const rill_hub *hub = s->hub;

  MUST(hub->nworks == 0 && hub->nasked == 0 && s->store.nkept == 0);
  for (uint32_t i = 0; i < s->ncalls; i++)
    MUST(s->calls[i].state != WAITS);
  for (int i = 0; i < CLIENTS; i++) {
    client *c = &s->clients[i];
    if (c->conn != NULL && c->dialect == POST)
      MUST(c->rd.answers >= c->posted || c->deaf);
    if ((s->flags & MEMORY) == 0)
      check_client(c);
  }
}

static inline void check_empty(people *s) {
  rill_metrics m;

  for (int i = 0; i < CLIENTS; i++)
    MUST(s->clients[i].conn == NULL);
  for (int i = 0; i < PEERS; i++)
    MUST(s->peers[i].state == GONE && rill_peer_id(s->peers[i].peer) == 0);
  rill_metrics_read(s->hub, &m);
  MUST(m.conns == 0 && m.peers == 0 && m.rooms == 0 && m.users == 0);
  MUST(m.sessions == 0 && m.away == 0 && m.history_bytes == 0);
  MUST(m.presence_held == 0 && m.inboxes == 0 && m.notify_waiting == 0);
  MUST(m.assembly_bytes == 0 && m.timers == 0);
  MUST(m.presence_seen <= s->hub->config.limits.presence_seen);
  MUST(m.peers_total == s->npeers && s->hub->held_receipts == NULL);
  MUST(s->hub->nspaces == 3 && s->hub->nworks == 0);
}

static inline void finish(people *s) {
  calm_down(s);
  check_calm(s);
  for (int i = 0; i < CLIENTS; i++) {
    turn(s);
    end_stream(s, &s->clients[i], 0);
  }
  for (int i = 0; i < 3000 && rill_deadline(s->hub) != RILL_NEVER; i++) {
    turn(s);
    if (rill_deadline(s->hub) != RILL_NEVER && rill_deadline(s->hub) > s->now)
      s->now = rill_deadline(s->hub);
  }
  turn(s);
  MUST(rill_deadline(s->hub) == RILL_NEVER);
  check_empty(s);
  hub_end(s);
  store_finish(s);
  for (int i = 0; i < CLIENTS; i++) {
    reader_finish(&s->clients[i].rd);
    buf_clear(&s->clients[i].stream);
  }
}

#endif
