/*
 * fuzz_people.c - rooms with a past, and who is in them: publishing, coming
 * back, presence, typing, notifications and receipts, of clients of every
 * dialect, on a store that is late, out of step, fails or is full, and that
 * outlives the hub.
 *
 * The first byte chooses (see people.h); the rest is a program of small
 * commands: what a client says, truthfully or not, time, blocked output, ends
 * of streams, what the store does, what the host calls, memory that fails,
 * and the end of the hub.
 *
 * Always: handlers run only inside of a call that may run them; what is told
 * of is told of once; memory stays within a bound and comes back.  Where it
 * does not fail: a member hears the numbers of its room one after the other,
 * none twice in its life, whether live or from the past, and what the store
 * has under them; who asks is answered once; and when it is calm, clients
 * know who is there, that nobody types, and what waits for them.
 */
#include "people_says.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A peer of the books, open or away, or nobody. */
static known *some_peer(people *s, uint8_t n) {
  for (uint32_t i = 0; i < PEERS; i++)
    if (s->peers[(n + i) % PEERS].state != GONE)
      return &s->peers[(n + i) % PEERS];
  return &s->peers[0];
}

static void join_step(client *c, input *in) {
  uint8_t how = take(in);
  unsigned room = how % ROOMS;
  uint64_t since = c->views[room].has;

  if ((how & 64) != 0)
    say_leave(c, room);
  else if ((how & 16) != 0 && (how & 32) != 0) { /* not the truth */
    since = take(in);
    c->views[room].lax = true;
    say_join(c, room, (how & 8) != 0, &since);
  } else {
    say_join(c, room, (how & 8) != 0, (how & 16) != 0 ? &since : NULL);
  }
}

/* How a stream ends, or how much of its output is taken. */
static void stream_step(people *s, client *c, input *in) {
  uint8_t how = take(in);
  buf bye = {NULL, 0, 0};

  switch (how % 8) {
  case 0:
    end_stream(s, c, 0);
    break;
  case 1:
    end_stream(s, c, 5);
    break;
  case 2:
    if (c->conn != NULL) {
      rill_conn_free(c->conn);
      part(c);
    }
    break;
  case 3: /* as it means it, or a page that is loaded again */
    put_frame(0x88,
              &(buf){(uint8_t[]){0x03, (how & 8) != 0 ? 0xe9 : 0xe8}, 2, 2},
              &bye);
    if (c->dialect != SSE && c->dialect != POST)
      feed(s, c, bye.data, bye.len);
    buf_clear(&bye);
    break;
  case 4:
    c->takes = how / 8 * 16u;
    break;
  default:
    c->takes = SIZE_MAX;
    if (c->conn != NULL)
      serve(s, c);
    break;
  }
}

/* Arguments that say their serial, with bytes of |n| attachments. */
static void put_args(rill_builder *b, unsigned room, unsigned how,
                     unsigned serial, unsigned n) {
  if ((how & SAY_STAMPED) != 0) {
    rill_put_object(b);
    rill_put_key(b, "n");
    rill_put_uint(b, serial);
    rill_put_end(b);
  } else {
    rill_put_text(b, room_names[room]);
  }
  rill_put_uint(b, how);
  rill_put_uint(b, serial);
  for (; n > 0; n--)
    rill_put_bytes(b, "\x00\xff", 2);
}

static void host_publish(people *s, input *in) {
  uint8_t where = take(in), how = take(in);
  unsigned room = where % ROOMS, space = where / ROOMS % 4 % SPACES;
  unsigned serial = next_serial(s), n = how / 32u;
  call *c = (how & SAY_DONE) != 0 ? call_new(s) : NULL;
  rill_publish_opts opts = {.space = rill_s(space_names[space]),
                            .stamp = (how & SAY_STAMPED) != 0,
                            .uncompressed = (how & SAY_PLAIN) != 0,
                            .done = c != NULL ? on_published : NULL,
                            .arg = c};
  rill_builder *b = rill_build(s->hub);
  char id[8];

  snprintf(id, sizeof id, "i%u", how / 16u);
  if ((how & SAY_NAMED) != 0)
    opts.id = rill_s(id);
  if (n == 7) /* as long as the queue of a tight hub, or of any */
    n = where >= 128 ? 300 : 60;
  put_args(b, room, how, serial, n);
  use_serial(s, serial);
  if (c != NULL) {
    c->log = (uint8_t)(space * ROOMS + room);
    c->serial = (uint16_t)serial;
  }
  call_made(c,
            rill_publish(s->hub, rill_s(room_names[room]), "said", b, &opts));
}

static void host_history(people *s, input *in) {
  uint8_t where = take(in), how = take(in);
  unsigned room = where % ROOMS, space = where / ROOMS % 4 % SPACES;
  call *c = call_new(s);
  bool all;

  if (c == NULL)
    return;
  c->log = (uint8_t)(space * ROOMS + room);
  c->asked = (rill_history_opts){.space = rill_s(space_names[space]),
                                 .limit = how % 4};
  if ((where & 64) != 0)
    c->asked.before = how / 4 > 0 ? how / 4u : UINT64_MAX;
  else if ((where & 128) != 0)
    c->asked.since = how / 4u;
  all = space == 0 && (where & 192) == 0 && c->asked.limit == 0;
  call_made(c, rill_history(s->hub, rill_s(room_names[room]),
                            all ? NULL : &c->asked, on_pasts, c));
}

static void host_notify(people *s, input *in) {
  uint8_t what = take(in), how = take(in), who = what % 64;
  call *c = (what & 128) == 0 ? call_new(s) : NULL;
  char id[8];
  rill_notify_opts opts = {.space = rill_s(space_names[who / 8 % SPACES]),
                           .key = rill_s((how & 4) != 0   ? "key"
                                         : (how & 8) != 0 ? "k2"
                                                          : NULL),
                           .ttl_ms = how / 64u * 700u,
                           .done = c != NULL ? on_notified : NULL,
                           .arg = c};
  rill_builder *b = rill_build(s->hub);

  snprintf(id, sizeof id, "n%d", how % 8);
  if ((how & 16) != 0)
    opts.id = rill_s(id);
  for (unsigned n = what / 64u; n > 0; n--)
    rill_put_text(b, "of something");
  for (unsigned n = (how & 32) != 0 ? take(in) % 8u : 0; n > 0; n--)
    rill_put_bytes(b, "some bytes, and there may be many of these", 42);
  call_made(c, rill_notify(s->hub, rill_s(user_names[who % USERS]), "mail", b,
                           &opts));
}

static void host_clear(people *s, input *in) {
  uint8_t who = take(in), how = take(in);
  rill_str space = rill_s(space_names[who / 8 % SPACES]);
  rill_str user = rill_s(user_names[who % USERS]);
  call *c = call_new(s);
  rill_notified_fn fn = c != NULL ? on_notified : NULL;
  char id[8];

  snprintf(id, sizeof id, "n%d", how % 8);
  if (who >= 192)
    call_made(c, rill_notify_ack(s->hub, space, user, rill_s(id), fn, c));
  else if (who >= 96)
    call_made(c, rill_notify_ack_to(s->hub, space, user, how, fn, c));
  else if (c != NULL)
    call_made(c, rill_notify_count(s->hub, space, user, fn, c));
}

static void host_receipt(people *s, input *in) {
  uint8_t who = take(in), how = take(in);
  rill_str space = rill_s(space_names[who / 8 % SPACES]);
  rill_str user = rill_s(user_names[who % USERS]);
  rill_str room = rill_s(room_names[how % ROOMS]);
  call *c = call_new(s);
  rill_read_opts opts = {.space = space,
                         .is_private = (who & 128) != 0,
                         .done = c != NULL ? on_receipt : NULL,
                         .arg = c};
  uint64_t offset = how / 8 < 31 ? how / 8u : UINT64_MAX;

  if (c != NULL)
    c->log = (uint8_t)(who / 8 % SPACES * ROOMS + how % ROOMS);
  if ((who & 64) != 0)
    call_made(c, rill_read_to(s->hub, room, user, offset, &opts));
  else if (c != NULL)
    call_made(c, rill_unread(s->hub, space, room, user, on_receipt, c));
}

static int see_user(const rill_presence *who, void *arg) {
  MUST(who->user.len > 0 && who->status != RILL_STATUS_OFFLINE);
  ++*(uint32_t *)arg;
  return 0;
}

static int see_peer(const rill_presence *who, void *arg) {
  MUST(rill_peer_id(who->peer) != 0); /* it may be closing */
  ++*(uint32_t *)arg;
  return 0;
}

static int see_typing(rill_str user, void *arg) {
  MUST(user.len > 0);
  return *(int *)arg;
}

/* What is asked in three ways is the same. */
static void host_asks(people *s, input *in) {
  uint8_t where = take(in);
  rill_str space = rill_s(space_names[where / 16 % SPACES]);
  rill_str room = rill_s((where & 8) != 0 ? NULL : room_names[where % ROOMS]);
  uint32_t users = 0, peers = 0;
  rill_occupancy n;
  int stop = where >= 128 ? 7 : 0;

  rill_typing_each(s->hub, space, room, see_typing, &stop);
  rill_presence_count(s->hub, space, room, &n);
  MUST(n.users == n.away + n.online + n.busy);
  if (rill_presence_users(s->hub, space, room, see_user, &users) !=
      RILL_ERR_NOMEM)
    MUST(users == n.users);
  if (rill_presence_peers(s->hub, space, room, see_peer, &peers) !=
      RILL_ERR_NOMEM)
    MUST(peers == n.peers);
}

static void host_watch(known *k, uint8_t which, bool on) {
  rill_str users[USERS + 1];
  size_t n = 0;

  for (unsigned i = 1; i < USERS; i++)
    if ((which >> i & 1) != 0)
      users[n++] = rill_s(user_names[i]);
  if ((which & 1) != 0)
    users[n++] = rill_s("not\na name");
  k->unwatched = true;
  if (on)
    rill_watch(k->peer, users, n);
  else
    rill_unwatch(k->peer, users, n);
}

static void host_shows(people *s, input *in) {
  uint8_t what = take(in), who = take(in), k = take(in);
  known *p = some_peer(s, who);
  rill_builder *b = rill_build(s->hub);

  switch (what % 8) {
  case 0:
    rill_show(p->peer, (rill_status)(k % 5));
    break;
  case 1:
    if (k > 128) {
      rill_put_bytes(b, "x", 1);
    } else if (k > 0) {
      rill_put_array(b);
      for (; k > 0; k--)
        rill_put_uint(b, k);
      rill_put_end(b);
    }
    rill_show_state(p->peer, rill_value_at(rill_builder_value(b), 0));
    break;
  case 2:
    rill_beat(p->peer);
    break;
  case 3:
    host_watch(p, k, true);
    break;
  case 4:
    host_watch(p, k, false);
    break;
  default:
    rill_typing(p->peer, rill_s(room_names[k % ROOMS]), k < 192);
    break;
  }
}

/* What hosts do to peers. */
static void host_step(people *s, input *in) {
  uint8_t what = take(in), who = take(in);
  unsigned which = what / 8 % ROOMS;
  known *k = some_peer(s, who);
  rill_str room = rill_s(room_names[which]);
  bool moves = !is_stream(k->peer);

  if (what % 8 >= 2 && what % 8 <= 4 && moves)
    host_moves(s, k->peer, which);
  switch (what % 8) {
  case 0:
    rill_close(k->peer, 1000, "bye");
    break;
  case 1:
    rill_cut(k->peer);
    break;
  case 2:
    if (moves)
      rill_join(k->peer, room);
    break;
  case 3:
    if (moves)
      rill_leave(k->peer, room);
    break;
  case 4:
    if (moves)
      rill_join_request(k->peer, room);
    break;
  case 5:
    rill_join_allow(k->peer, rill_s(room_names[ALLOWED_LATER]));
    break;
  case 6:
    rill_join_deny(k->peer, rill_s(room_names[ALLOWED_LATER]), -(int)which);
    break;
  default:
    rill_resume(k->peer);
    break;
  }
}

/* Other rules for a room, which may lose its past by them. */
static void rules_step(people *s, input *in) {
  uint8_t how = take(in);
  unsigned room = how % ROOMS;
  rill_room_opts opts = room_opts(room);

  if ((how & 8) != 0)
    opts.presence = !opts.presence;
  if ((how & 16) != 0)
    opts.typing = !opts.typing;
  if ((how & 32) != 0)
    opts.presence_window_ms = 800;
  if ((how & 192) == 192) {
    opts.durable = !opts.durable;
    for (unsigned i = 0; i < SPACES; i++)
      s->lax[i] |= (uint8_t)(1u << room);
  }
  rill_room_defaults(s->hub, room_names[room], &opts);
}

static void emit(people *s, input *in) {
  uint8_t how = take(in);
  rill_builder *b = rill_build(s->hub);
  rill_emit_opts opts = {.space = rill_s(space_names[how / 8 % 4 % SPACES]),
                         .is_volatile = (how & 64) != 0,
                         .key = rill_s(how >= 128 ? "key" : NULL)};

  rill_put_text(b, "a text that is of some length, as it fills the queues, "
                   "and is not kept in durable rooms");
  rill_emit_room(s->hub, rill_s(room_names[how % ROOMS]), "event", b, &opts);
}

static void store_step(people *s, input *in) {
  static const int statuses[] = {RILL_ERR_IO, RILL_ERR_IO, RILL_ERR_FULL,
                                 RILL_ERR_NOMEM, RILL_ERR_CLOSED};
  uint8_t how = take(in);
  store *t = &s->store;

  switch (how % 8) {
  case 0:
    t->keeps = !t->keeps;
    break;
  case 1:
    t->fails = take(in) & 31;
    t->status = statuses[how / 16 % 5];
    t->effect = (how & 8) != 0;
    break;
  case 2:
    t->fails = 0;
    break;
  case 3:
    t->memory.fail_at = (s->flags & MEMORY) != 0
                            ? t->memory.calls + 1 + how / 8u
                            : t->memory.fail_at;
    break;
  case 4:
    let_later(s, 1 + how / 8u, take(in));
    break;
  default:
    let(t, 1 + how / 8u, how % 8 == 5 ? 0 : take(in));
    break;
  }
}

static void time_step(people *s, input *in) {
  uint8_t n = take(in);

  if (n < 128)
    s->now += n * 20 * RILL_MSEC;
  else if (n < 192)
    s->skew += (n - 128u) * 200u;
  else
    s->skew -= (n - 192u) * 200u;
}

/* What a client that is there says. */
static void say_step(client *c, input *in, uint8_t op) {
  switch (op) {
  case 3:
  case 4:
  case 5:
    join_step(c, in);
    break;
  case 6:
  case 7:
  case 8:
    say_something(c, in);
    break;
  case 9:
  case 10:
  case 11:
  case 12:
    say_of_people(c, in);
    break;
  default:
    say_anything(c, in);
    break;
  }
}

static void step(people *s, input *in) {
  uint8_t op = take(in);
  client *c = &s->clients[op / 32 % CLIENTS];

  switch (op % 32) {
  case 0:
  case 1:
    come(c, in);
    break;
  case 2:
    stream_step(s, c, in);
    break;
  case 14:
    if (c->conn == NULL || c->dialect != POST)
      c = &s->nobody;
    post(c, &s->clients[(op / 32 + 1) % CLIENTS], in);
    break;
  case 15:
  case 16:
    host_publish(s, in);
    break;
  case 17:
    host_history(s, in);
    break;
  case 18:
    host_notify(s, in);
    break;
  case 19:
    host_clear(s, in);
    break;
  case 20:
    host_receipt(s, in);
    break;
  case 21:
    host_asks(s, in);
    break;
  case 22:
    host_shows(s, in);
    break;
  case 23:
    host_step(s, in);
    break;
  case 24:
    rules_step(s, in);
    break;
  case 25:
    emit(s, in);
    break;
  case 26:
  case 27:
    store_step(s, in);
    break;
  case 28:
    time_step(s, in);
    break;
  case 29:
    if ((s->flags & MEMORY) != 0)
      s->memory.fail_at = s->memory.calls + 1 + take(in);
    break;
  case 30:
    s->next = (uint8_t) "aexdp!"[take(in) % 6];
    break;
  case 31:
    if (op == 255)
      rill_drain(s->hub, RILL_SEC, s->now);
    else
      restart(s);
    break;
  default:
    if (c->conn == NULL || !c->open || c->dialect > SIO)
      c = &s->nobody;
    say_step(c, in, op % 32);
    break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static people s;
  input in = {data, size};

  if (size < 1)
    return 0;
  begin(&s, take(&in));
  while (in.left > 0) {
    step(&s, &in);
    if ((s.flags & LONG_TURNS) == 0 || (in.left & 3) == 0)
      turn(&s);
  }
  turn(&s);
  finish(&s);
  return 0;
}
