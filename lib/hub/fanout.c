#include "hub/fanout.h"

#include "hub/conn.h"
#include "hub/room.h"
#include "wire/deflate.h"

/* One message as each variant has it: a payload and its first header byte. */
typedef struct encoding {
  size_t from, len; /* in the scratch buffer, where packed */
  bool packed, wanted;
} encoding;

static uint8_t first_byte(const rill_msg *msg, bool packed) {
  return (uint8_t)(RILL__WS_FIN | (packed ? RILL__WS_RSV1 : 0) |
                   (msg->kind == RILL_TEXT ? RILL__WS_TEXT
                                           : RILL__WS_BINARY));
}

/* Compresses |msg| for each variant that |mix| has. */
static int pack(rill_hub *hub, const rill__mix *mix, const rill_msg *msg,
                encoding enc[RILL__VARIANTS]) {
  rill__bytes *scratch = &hub->fanout.scratch;
  uint32_t threshold = hub->deflate == NULL          ? UINT32_MAX
                       : hub->deflate->threshold == 0 ? 1024
                                                      : hub->deflate->threshold;

  scratch->alloc = &hub->alloc;
  rill__bytes_clear(scratch);
  for (unsigned v = 0; v < RILL__VARIANTS; v++) {
    enc[v] = (encoding){.len = msg->len, .wanted = mix->n[v] > 0};
    if (v == 0 || !enc[v].wanted || msg->uncompressed || msg->len < threshold)
      continue;
    enc[v].from = scratch->len;
    if (rill__pmd_deflate_shared(&hub->ws, (uint8_t)(v + 8), hub->deflate,
                                 msg->data, msg->len, scratch) != 0)
      return RILL_ERR_NOMEM;
    enc[v].len = scratch->len - enc[v].from;
    enc[v].packed = true;
    hub->metrics.deflated_total++;
  }
  return 0;
}

static bool has_room(const rill__fanout *f,
                     const encoding enc[RILL__VARIANTS]) {
  for (unsigned v = 0; v < RILL__VARIANTS; v++)
    if (enc[v].wanted &&
        (f->v[v].chunk == NULL ||
         rill__chunk_room(f->v[v].chunk) < enc[v].len + RILL__WS_HEADER_MAX))
      return false;
  return true;
}

/* Chunks with room for one message; the run is closed. */
static int make_room(rill_hub *hub, const encoding enc[RILL__VARIANTS]) {
  rill__fanout *f = &hub->fanout;

  for (unsigned v = 0; v < RILL__VARIANTS; v++) {
    struct rill__encoded *e = &f->v[v];
    size_t need = enc[v].len + RILL__WS_HEADER_MAX;
    if (!enc[v].wanted)
      continue;
    rill__out_rewind(e->chunk);
    if (e->chunk == NULL || rill__chunk_room(e->chunk) < need) {
      rill__chunk *fresh = rill__chunk_new(&hub->chunks, need);
      if (fresh == NULL)
        return RILL_ERR_NOMEM;
      rill__chunk_unref(e->chunk);
      e->chunk = fresh;
    }
    e->from = e->to = e->chunk->used;
  }
  return 0;
}

static void append(rill_hub *hub, const rill_msg *msg,
                   const encoding enc[RILL__VARIANTS]) {
  for (unsigned v = 0; v < RILL__VARIANTS; v++) {
    struct rill__encoded *e = &hub->fanout.v[v];
    const void *payload = msg->data;
    uint8_t *p;
    size_t n;
    if (!enc[v].wanted)
      continue;
    if (enc[v].packed)
      payload = hub->fanout.scratch.data + enc[v].from;
    p = e->chunk->data + e->chunk->used;
    n = rill__ws_header(p, first_byte(msg, enc[v].packed), enc[v].len, NULL);
    if (enc[v].len > 0)
      memcpy(p + n, payload, enc[v].len);
    e->chunk->used += (uint32_t)(n + enc[v].len);
    e->to = e->chunk->used;
    e->packed |= enc[v].packed;
  }
}

static void hand_out(rill_hub *hub, rill__peer *p) {
  rill__fanout *f = &hub->fanout;
  rill_conn *c = p->conn;
  struct rill__encoded *e;

  if (!p->open || c->variant == RILL__VARIANT_OWN)
    return;
  e = &f->v[c->variant];
  if (e->from == e->to)
    return;
  if (e->packed)
    rill__pmd_foreign(c->ws.pmd);
  c->flags &= (uint16_t)~RILL__ANSWER;
  rill__conn_queue(c, e->chunk, e->from, e->to, f->count, f->overflow);
}

/* Nothing of the last run is kept that is larger than usual. */
static void settle(rill__fanout *f) {
  for (unsigned v = 0; v < RILL__VARIANTS; v++) {
    struct rill__encoded *e = &f->v[v];
    e->packed = false;
    e->from = e->to;
    if (e->chunk != NULL && e->chunk->cap > RILL__CHUNK_STD) {
      rill__chunk_unref(e->chunk);
      e->chunk = NULL;
    }
  }
  f->count = 0;
}

/* The message is encoded: what was compressed is not needed again. */
static void trim(rill__bytes *scratch) {
  if (scratch->cap > RILL__CHUNK_STD)
    rill__bytes_finish(scratch);
}

void rill__fanout_close_(rill_hub *hub) {
  rill__fanout *f = &hub->fanout;

  f->open = false;
  if (f->room != NULL) {
    for (uint32_t i = 0; i < f->room->count; i++)
      hand_out(hub, f->room->members[i]->peer);
  } else {
    rill__peer *p;
    for (uint32_t slot = 0; (p = rill__peer_next(hub, &slot)) != NULL;)
      hand_out(hub, p);
  }
  settle(f);
}

void rill__fanout_finish(rill__fanout *f) {
  for (unsigned v = 0; v < RILL__VARIANTS; v++)
    rill__chunk_unref(f->v[v].chunk);
  if (f->scratch.alloc != NULL)
    rill__bytes_finish(&f->scratch);
}

/* Adds |msg| to the run for |room| (NULL: all), or begins one. */
static int run(rill_hub *hub, rill__room *room, const rill__mix *mix,
               const rill_msg *msg, rill_overflow overflow) {
  rill__fanout *f = &hub->fanout;
  encoding enc[RILL__VARIANTS];
  int rv;

  if (f->open && (f->room != room || f->overflow != overflow))
    rill__fanout_close(hub, f);
  rv = pack(hub, mix, msg, enc);
  if (rv != 0)
    return rv;
  if (!f->open || !has_room(f, enc)) {
    rill__fanout_close(hub, f);
    rv = make_room(hub, enc);
    if (rv != 0)
      return rv;
    f->open = true;
    f->room = room;
    f->overflow = overflow;
  }
  append(hub, msg, enc);
  f->count++;
  trim(&f->scratch);
  return 0;
}

/* To a set of peers at once: what a run cannot be. */
typedef struct once {
  rill_hub *hub;
  const rill_msg *msg;
  rill__chunk *keyed[RILL__VARIANTS];
} once;

static void reach(void *arg, rill__peer *p) {
  once *o = arg;
  rill__fanout *f = &o->hub->fanout;
  rill_conn *c = p->conn;

  if (!p->open || p->stamp == f->stamp)
    return;
  p->stamp = f->stamp;
  if (c->variant == RILL__VARIANT_OWN) {
    rill_msg own = *o->msg;
    rill__conn_send(c, &own, f->overflow);
  } else if (o->keyed[c->variant] != NULL) {
    rill__conn_queue_keyed(c, o->keyed[c->variant], f->overflow);
  } else {
    hand_out(o->hub, p);
  }
}

static void reach_room(once *o, rill__room *room) {
  for (uint32_t i = 0; room != NULL && i < room->count; i++)
    reach(o, room->members[i]->peer);
}

/* Marks whom |to| excepts as reached already. */
static void except(rill_hub *hub, const rill_to *to) {
  uint32_t stamp = hub->fanout.stamp;

  for (size_t i = 0; i < to->nexcept; i++) {
    rill__peer *p = rill__peer_of(to->except[i]);
    if (p != NULL && p->hub == hub)
      p->stamp = stamp;
  }
  for (size_t i = 0; i < to->nexcept_rooms; i++) {
    rill__room *room = rill__room_find(hub, to->except_rooms[i]);
    for (uint32_t k = 0; room != NULL && k < room->count; k++)
      room->members[k]->peer->stamp = stamp;
  }
}

static void next_stamp(rill_hub *hub) {
  rill__peer *p;

  if (++hub->fanout.stamp != 0)
    return;
  hub->fanout.stamp = 1; /* after 2^32 unions the marks begin anew */
  for (uint32_t slot = 0; (p = rill__peer_next(hub, &slot)) != NULL;)
    p->stamp = 0;
}

/* A keyed message is a chunk of its own per variant, its key in front. */
static int encode_keyed(once *o) {
  rill__fanout *f = &o->hub->fanout;
  rill_str key = o->msg->key;

  for (unsigned v = 0; v < RILL__VARIANTS; v++) {
    struct rill__encoded *e = &f->v[v];
    uint32_t len = e->to - e->from;
    if (len == 0)
      continue;
    o->keyed[v] = rill__chunk_small(&o->hub->chunks, key.len + len);
    if (o->keyed[v] == NULL)
      return RILL_ERR_NOMEM;
    memcpy(o->keyed[v]->data, key.ptr, key.len);
    memcpy(o->keyed[v]->data + key.len, e->chunk->data + e->from, len);
    o->keyed[v]->key_len = (uint32_t)key.len;
    o->keyed[v]->used = (uint32_t)key.len + len;
  }
  return 0;
}

/* The overflow policy of a message: its own, else its only room's. */
static rill_overflow policy(const rill__room *room, const rill_msg *msg) {
  if (msg->overflow != RILL_OVERFLOW_DEFAULT || room == NULL)
    return msg->overflow;
  return room->overflow;
}

static int send_once(rill_hub *hub, const rill_to *to, const rill_msg *msg,
                     rill_overflow overflow) {
  rill__fanout *f = &hub->fanout;
  once o = {hub, msg, {NULL}};
  encoding enc[RILL__VARIANTS];
  rill_msg plain = *msg;
  rill__peer *p;
  int rv;

  rill__fanout_close(hub, f);
  if (msg->key.len > 0)
    plain.uncompressed = true;
  f->overflow = overflow;
  rv = pack(hub, &f->all, &plain, enc);
  if (rv == 0)
    rv = make_room(hub, enc);
  if (rv != 0)
    return rv;
  append(hub, &plain, enc);
  f->count = 1;
  trim(&f->scratch);
  if (msg->key.len > 0)
    rv = encode_keyed(&o);
  if (rv == 0) {
    next_stamp(hub);
    except(hub, to);
    for (uint32_t slot = 0;
         to->all && (p = rill__peer_next(hub, &slot)) != NULL;)
      reach(&o, p);
    for (size_t i = 0; i < to->nrooms; i++)
      reach_room(&o, rill__room_find(hub, to->rooms[i]));
    for (size_t i = 0; i < to->nusers; i++) {
      rill__user *user = rill__user_find(hub, to->users[i]);
      if (user != NULL)
        rill__user_each(user, reach, &o);
    }
    for (size_t i = 0; i < to->npeers; i++)
      if ((p = rill__peer_of(to->peers[i])) != NULL && p->hub == hub)
        reach(&o, p);
  }
  for (unsigned v = 0; v < RILL__VARIANTS; v++)
    rill__chunk_unref(o.keyed[v]);
  settle(f);
  return rv;
}

/* Is it a room, or all, and nothing else? */
static bool is_run(const rill_to *to) {
  return to->nusers + to->npeers + to->nexcept + to->nexcept_rooms == 0 &&
         (to->all ? to->nrooms == 0 : to->nrooms == 1);
}

int rill_send_to(rill_hub *hub, const rill_to *to, const rill_msg *msg) {
  rill__room *room = NULL;
  const rill__mix *mix = &hub->fanout.all;

  if ((msg->kind != RILL_TEXT && msg->kind != RILL_BINARY) ||
      msg->len > RILL__CHUNK_MAX / 2)
    return RILL_ERR_ARG;
  if (to->nrooms == 1)
    room = rill__room_find(hub, to->rooms[0]);
  if (is_run(to) && !to->all) {
    if (room == NULL)
      return 0;
    mix = &room->mix;
  }
  if (!is_run(to) || msg->key.len > 0 || mix->n[RILL__VARIANT_OWN] > 0)
    return send_once(hub, to, msg, policy(room, msg));
  return run(hub, room, mix, msg, policy(room, msg));
}

int rill_send_all(rill_hub *hub, const rill_msg *msg) {
  return rill_send_to(hub, &(rill_to){.all = true}, msg);
}

int rill_send_room(rill_hub *hub, rill_str room, const rill_msg *msg) {
  return rill_send_to(hub, &(rill_to){.rooms = &room, .nrooms = 1}, msg);
}

int rill_send_user(rill_hub *hub, rill_str user, const rill_msg *msg) {
  return rill_send_to(hub, &(rill_to){.users = &user, .nusers = 1}, msg);
}
