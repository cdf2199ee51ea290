/*
 * host_send.c - what the server's program sends, and to whom, by the books.
 */
#include <stdlib.h>
#include <string.h>

#include "host.h"

static const char *const rooms[ROOMS] = {
    "red", "green", "blue", "old1", "old2", "old3", "new1", "new2", "new3"};
const char *const host_users[USERS] = {"", "ann", "bob", "c\xc3\xa9line"};

rill_str host_room(uint32_t i) {
  return rill_s(rooms[i]);
}

rill_hub *host_hub(world *w) {
  return w->nodes[0].hub;
}

/* A command outside of any handler: the loop's turn has to end after it. */
void host_touched(world *w) {
  w->nodes[0].turn_open = true;
}

uint32_t host_room_index(world *w, rill_str room) {
  for (uint32_t i = 0; i < ROOMS; i++)
    if (rill_str_eq(room, host_room(i)))
      return i;
  sim_breach(w, "I-BYTES", "a room that nobody has named", room.len, 0);
}

rill_overflow host_policy(world *w) {
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
  static const char *const keys[4] = {"", "cursor", "curses",
                                      "a key that is a little longer"};
  uint32_t key = 0;

  msg->uncompressed = sim_chance(w, 20);
  msg->overflow = host_policy(w);
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

/* The limit holds for all but the only message and what is no message. */
static void check_queue(world *w, const pair *p) {
  const rill_limits *l = &w->nodes[0].limits;
  size_t queued = rill_peer_queued(p->server);
  size_t most = l->queue_bytes > l->message_bytes + 14u
                    ? l->queue_bytes
                    : l->message_bytes + 14u;

  if (queued > most + 2048)
    sim_breach(w, "I-MEM", "a queue is over its limit", queued, most);
}

/* Sends |msg|, which is message |id|, to one peer. */
void host_send(world *w, pair *p, rill_msg *msg, uint32_t id, uint8_t key) {
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
  check_queue(w, p);
}

void host_send_new(world *w, pair *p) {
  uint32_t id = message_some(w, some_len(w));
  rill_msg msg = message_msg(w, id);
  uint8_t key = dress(w, &msg);

  host_send(w, p, &msg, id, key);
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

pair *host_some_pair(world *w) {
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
void host_broadcast(world *w, rill_msg *msg, uint32_t id, uint8_t key) {
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
    user_name = rill_s(host_users[user]);
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
  if (kind >= 1 && kind <= 4 && (p = host_some_pair(w)) != NULL) {
    peer = p->server;
    to.peers = &peer;
    to.npeers = 1;
  }
  if (kind <= 3 && sim_chance(w, 50) && (p = host_some_pair(w)) != NULL) {
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
  rv = SIM_COMMAND(w, rill_send_to(host_hub(w), &to, msg));
  sim_note(w, "broadcast", id, (uint64_t)kind, (uint64_t)(int64_t)rv);
  if (rv != 0 && (rv != RILL_ERR_NOMEM || !sim_fault(w, FAULT_NO_MEMORY)))
    sim_breach(w, "I-OOM", "rill_send_to", id, (uint64_t)(int64_t)rv);
  for (uint32_t i = 0; i < n && rv == 0; i++)
    if (meant[i] != 0)
      book(w, s->pairs[i], id, key, policy, meant[i] == 2);
  free(meant);
}

void host_broadcast_new(world *w) {
  uint32_t id = message_some(w, some_len(w));
  rill_msg msg = message_msg(w, id);
  uint8_t key = dress(w, &msg);

  host_broadcast(w, &msg, id, key);
}
