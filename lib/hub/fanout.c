#include "hub/fanout.h"

#include "hub/conn.h"
#include "hub/emit.h"
#include "hub/encode.h"
#include "hub/room.h"
#include "hub/session.h"
#include "wire/deflate.h"

/* One item as each variant of a mix has it. */
typedef struct encodings {
  rill__mix mix;
  rill__encoding v[RILL__VARIANTS];
} encodings;

static uint32_t threshold_of(const rill_hub *hub) {
  if (hub->deflate == NULL)
    return UINT32_MAX;
  return hub->deflate->threshold == 0 ? 1024 : hub->deflate->threshold;
}

static const uint8_t *bytes_of(const rill_hub *hub, const rill__encoding *e) {
  return e->data != NULL ? e->data : hub->fanout.scratch.data + e->from;
}

/* Compresses |e| for a window of |bits| bits. */
static int pack(rill_hub *hub, rill__encoding *e, unsigned bits) {
  rill__bytes *scratch = &hub->fanout.scratch;
  size_t from;

  if (e->data == NULL && !rill__bytes_reserve(scratch, e->len + 256))
    return RILL_ERR_NOMEM;
  from = scratch->len;
  if (e->data == NULL) { /* the source must not move while it is read */
    rill__bytes packed;
    int rv;
    rill__bytes_init(&packed, &hub->alloc);
    rv = rill__pmd_deflate_shared(&hub->ws, (uint8_t)bits, hub->deflate,
                                  bytes_of(hub, e), e->len, &packed);
    rill__bytes_add(scratch, packed.data, packed.len);
    rill__bytes_finish(&packed);
    if (rv != 0 || scratch->failed)
      return RILL_ERR_NOMEM;
  } else if (rill__pmd_deflate_shared(&hub->ws, (uint8_t)bits, hub->deflate,
                                      e->data, e->len, scratch) != 0) {
    return RILL_ERR_NOMEM;
  }
  e->data = NULL;
  e->from = from;
  e->len = scratch->len - from;
  e->first |= RILL__WS_RSV1;
  hub->metrics.deflated_total++;
  return 0;
}

/* Encodes |item| once per format of |mix|, and once per window. */
static int encode(rill_hub *hub, const rill__item *item, rill__mix mix,
                  encodings *enc) {
  rill__bytes *scratch = &hub->fanout.scratch;
  uint32_t threshold = threshold_of(hub);
  unsigned format = RILL__VARIANTS;
  rill__encoding plain = {0};

  rill__bytes_clear(scratch);
  enc->mix = mix;
  while (mix != 0) {
    unsigned v = rill__mix_take(&mix); /* a format's variants are adjacent */
    unsigned bits = rill__window_of(v);
    if (rill__format_of(v) != format) {
      format = rill__format_of(v);
      if (!rill__encode(item, format, scratch, &plain))
        return scratch->failed ? RILL_ERR_NOMEM : RILL_ERR_ARG;
    }
    enc->v[v] = plain;
    if (bits > 0 && plain.first != 0 && !item->uncompressed &&
        plain.len >= threshold && pack(hub, &enc->v[v], bits) != 0)
      return RILL_ERR_NOMEM;
  }
  return 0;
}

static size_t room_for(const rill__encoding *e) {
  return e->len + (e->first != 0 ? RILL__WS_HEADER_MAX : 0);
}

static bool has_room(const rill__fanout *f, const encodings *enc) {
  for (rill__mix m = enc->mix; m != 0;) {
    unsigned v = rill__mix_take(&m);
    if (f->v[v].chunk == NULL ||
        rill__chunk_room(f->v[v].chunk) < room_for(&enc->v[v]))
      return false;
  }
  return true;
}

/* Chunks with room for one message; the run is closed. */
static int make_room(rill_hub *hub, const encodings *enc) {
  rill__fanout *f = &hub->fanout;

  for (rill__mix m = enc->mix; m != 0;) {
    unsigned v = rill__mix_take(&m);
    struct rill__encoded *e = &f->v[v];
    size_t need = room_for(&enc->v[v]);
    rill__out_rewind(e->chunk);
    if (e->chunk == NULL || rill__chunk_room(e->chunk) < need) {
      rill__chunk *fresh = rill__chunk_new(&hub->chunks, need);
      if (fresh == NULL)
        return RILL_ERR_NOMEM;
      rill__chunk_unref(e->chunk);
      e->chunk = fresh;
      f->chunks |= rill__mix_of(v);
    }
    e->from = e->to = e->chunk->used;
    e->kind = rill__kind_of(v);
  }
  f->mix = enc->mix;
  return 0;
}

static void append(rill_hub *hub, const encodings *enc) {
  for (rill__mix m = enc->mix; m != 0;) {
    unsigned v = rill__mix_take(&m);
    struct rill__encoded *e = &hub->fanout.v[v];
    const rill__encoding *x = &enc->v[v];
    uint8_t *p = e->chunk->data + e->chunk->used;
    size_t n = 0;
    if (x->first != 0)
      n = rill__ws_header(p, x->first, x->len, NULL);
    if (x->len > 0)
      memcpy(p + n, bytes_of(hub, x), x->len);
    e->chunk->used += (uint32_t)(n + x->len);
    e->to = e->chunk->used;
    e->packed |= (x->first & RILL__WS_RSV1) != 0;
    if (x->whole)
      e->kind = RILL__OUT_WHOLE;
  }
}

static inline void hand_out(rill__fanout *f, rill__peer *p) {
  rill_conn *c = p->conn;
  struct rill__encoded *e;

  if (!p->open || c->variant == RILL__AS_OWN)
    return;
  e = &f->v[c->variant];
  if (e->from == e->to)
    return;
  if (e->packed)
    rill__pmd_foreign(c->ws.pmd);
  c->flags &= (uint16_t)~RILL__ANSWER;
  rill__conn_queue(c, e->chunk, e->from, e->to, f->count, e->kind, f->overflow);
}

/* Nothing of the last run is kept that is larger than usual. */
static void settle(rill__fanout *f) {
  for (rill__mix m = f->mix; m != 0;) {
    unsigned v = rill__mix_take(&m);
    struct rill__encoded *e = &f->v[v];
    e->packed = false;
    e->from = e->to;
    if (e->chunk != NULL && e->chunk->cap > RILL__CHUNK_STD) {
      rill__chunk_unref(e->chunk);
      e->chunk = NULL;
    }
  }
  f->mix = 0;
  f->count = 0;
}

/* The message is encoded: what was compressed is not needed again. */
static void trim(rill__bytes *scratch) {
  if (scratch->cap > RILL__CHUNK_STD)
    rill__bytes_finish(scratch);
}

/*
 * Mixes only grow as peers come; who goes is noticed here, where each is
 * looked at anyway.
 */
void rill__fanout_close_(rill_hub *hub) {
  rill__fanout *f = &hub->fanout;
  rill__mix seen = 0;

  f->open = false;
  if (f->room != NULL) {
    for (uint32_t i = 0; i < f->room->count; i++) {
      rill__peer *p = f->room->members[i]->peer;
      seen |= rill__mix_of(p->variant);
      hand_out(f, p);
    }
    f->room->mix = seen;
  } else {
    rill__peer *p;
    for (uint32_t slot = 0; (p = rill__peer_next(hub, &slot)) != NULL;) {
      if (rill__peer_space(p) != f->space || !p->open)
        continue;
      seen |= rill__mix_of(p->variant);
      hand_out(f, p);
    }
    f->space->mix = seen;
  }
  settle(f);
}

void rill__fanout_finish(rill__fanout *f) {
  for (rill__mix m = f->chunks; m != 0;)
    rill__chunk_unref(f->v[rill__mix_take(&m)].chunk);
  if (f->scratch.alloc != NULL)
    rill__bytes_finish(&f->scratch);
}

/* Adds |item| to the run for |room| (NULL: all), or begins one. */
static int run(rill_hub *hub, rill__room *room, rill__space *space,
               rill__mix mix, const rill__item *item) {
  rill__fanout *f = &hub->fanout;
  encodings enc;
  int rv;

  if (f->open &&
      (f->room != room || f->space != space || f->overflow != item->overflow))
    rill__fanout_close(hub, f);
  if (f->open)
    mix = f->mix; /* it has been begun for these */
  rv = encode(hub, item, mix, &enc);
  if (rv != 0)
    return rv;
  if (!f->open || !has_room(f, &enc)) {
    rill__fanout_close(hub, f);
    rv = make_room(hub, &enc);
    if (rv != 0)
      return rv;
    f->open = true;
    f->room = room;
    f->space = space;
    f->overflow = item->overflow;
  }
  append(hub, &enc);
  f->count++;
  trim(&f->scratch);
  return 0;
}

/* To a set of peers at once: what a run cannot be. */
typedef struct once {
  rill_hub *hub;
  const rill__item *item;
  rill__space *space;
  rill__mix mix;
  rill__chunk *keyed[RILL__VARIANTS];
  void (*reached)(void *arg, rill__peer *p);
  void *arg;
} once;

/* Would a volatile item have to wait? */
static bool waits(const rill_conn *c) {
  return c->out.bytes > 0 ||
         (rill__conn_is(c, RILL__BOX) && !rill__session_polled(c->session));
}

bool rill__variant_answers(unsigned variant) {
  unsigned format = rill__format_of(variant);

  return format != RILL__AS_RAW && format != RILL__AS_OWN &&
         format != RILL__AS_ENGINEIO && format != RILL__AS_POLLED_ENGINEIO &&
         format != RILL__AS_SSE;
}

static void reach(void *arg, rill__peer *p) {
  once *o = arg;
  rill__fanout *f = &o->hub->fanout;
  rill_conn *c = p->conn;

  if (p->stamp == f->stamp || rill__peer_space(p) != o->space)
    return;
  p->stamp = f->stamp;
  if (!p->open)
    return;
  if (o->item->is_volatile && waits(c)) {
    o->hub->metrics.dropped_volatile_total++;
    return;
  }
  if (o->reached != NULL && rill__variant_answers(c->variant))
    o->reached(o->arg, p);
  if (c->variant == RILL__AS_OWN)
    rill__conn_send_item(c, o->item, f->overflow);
  else if (o->keyed[c->variant] != NULL)
    rill__conn_queue_keyed(c, o->keyed[c->variant], f->overflow);
  else
    hand_out(f, p);
}

static void reach_room(once *o, rill__room *room) {
  for (uint32_t i = 0; room != NULL && i < room->count; i++)
    reach(o, room->members[i]->peer);
}

/* Marks whom |to| excepts as reached already. */
static void except(rill_hub *hub, const once *o, const rill_to *to) {
  uint32_t stamp = hub->fanout.stamp;

  for (size_t i = 0; i < to->nexcept; i++) {
    rill__peer *p = rill__peer_of(to->except[i]);
    if (p != NULL && p->hub == hub)
      p->stamp = stamp;
  }
  for (size_t i = 0; i < to->nexcept_rooms; i++) {
    rill__room *room = rill__room_find(o->space, to->except_rooms[i]);
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
  rill_str key = o->item->key;

  for (rill__mix m = o->mix; m != 0;) {
    unsigned v = rill__mix_take(&m);
    struct rill__encoded *e = &f->v[v];
    uint32_t len = e->to - e->from;
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

static void reach_all(once *o, const rill_to *to) {
  rill_hub *hub = o->hub;
  rill__peer *p;

  for (uint32_t slot = 0; to->all && (p = rill__peer_next(hub, &slot)) != NULL;)
    if (p->open || p->away)
      reach(o, p);
  for (size_t i = 0; i < to->nrooms; i++)
    reach_room(o, rill__room_find(o->space, to->rooms[i]));
  for (size_t i = 0; i < to->nusers; i++) {
    rill__user *user = rill__user_find(hub, to->users[i]);
    if (user != NULL)
      rill__user_each(user, reach, o);
  }
  for (size_t i = 0; i < to->npeers; i++)
    if ((p = rill__peer_of(to->peers[i])) != NULL && p->hub == hub)
      reach(o, p);
}

static int send_once(once *o, const rill_to *to) {
  rill_hub *hub = o->hub;
  rill__fanout *f = &hub->fanout;
  rill__item item = *o->item;
  encodings enc;
  int rv;

  rill__fanout_close(hub, f);
  o->mix = o->space->mix & ~rill__mix_of(RILL__AS_OWN);
  if (item.key.len > 0)
    item.uncompressed = true;
  f->overflow = item.overflow;
  rv = encode(hub, &item, o->mix, &enc);
  if (rv == 0)
    rv = make_room(hub, &enc);
  if (rv != 0)
    return rv;
  append(hub, &enc);
  f->count = 1;
  trim(&f->scratch);
  if (item.key.len > 0)
    rv = encode_keyed(o);
  if (rv == 0) {
    next_stamp(hub);
    except(hub, o, to);
    reach_all(o, to);
  }
  for (rill__mix m = o->mix; m != 0;)
    rill__chunk_unref(o->keyed[rill__mix_take(&m)]);
  settle(f);
  return rv;
}

/* Does some variant of |mix| need several frames for |item|? */
static bool in_parts(const rill__item *item, rill__mix mix) {
  rill__mix parts = (rill__mix)0xff << RILL__AS_SOCKETIO |
                    rill__mix_of(RILL__AS_POLLED_SOCKETIO);

  return (mix & parts) != 0 && rill__item_has_bytes(item);
}

/* Is it a room, or all, and nothing else? */
static bool is_run(const rill_to *to) {
  return to->nusers + to->npeers + to->nexcept + to->nexcept_rooms == 0 &&
         (to->all ? to->nrooms == 0 : to->nrooms == 1);
}

int rill__fanout_send(rill_hub *hub, const rill_to *to, const rill__item *it,
                      void (*reached)(void *arg, rill__peer *p), void *arg) {
  rill__space *space = rill__space_find(hub, to->space);
  rill__item item = *it;
  rill__room *room = NULL;
  rill__mix mix;

  if (space == NULL)
    return 0;
  mix = space->mix;
  item.space = rill__space_name(space);
  item.recovery = space->opts.recovery;
  if (to->nrooms == 1)
    room = rill__room_find(space, to->rooms[0]);
  if (item.overflow == RILL_OVERFLOW_DEFAULT && room != NULL)
    item.overflow = room->overflow;
  if (room != NULL && !to->all && to->nusers + to->npeers == 0)
    item.room = rill__room_name(room);
  if (is_run(to) && !to->all) {
    if (room == NULL)
      return 0;
    mix = room->mix;
  }
  if (!is_run(to) || item.key.len > 0 || reached != NULL || item.is_volatile ||
      (mix & rill__mix_of(RILL__AS_OWN)) != 0 || in_parts(&item, mix)) {
    once o = {.hub = hub,
              .item = &item,
              .space = space,
              .reached = reached,
              .arg = arg};
    return send_once(&o, to);
  }
  if (mix == 0)
    return 0;
  return run(hub, room, space, mix, &item);
}

int rill_send_to(rill_hub *hub, const rill_to *to, const rill_msg *msg) {
  rill__item item;

  if (!rill__item_of(&item, msg))
    return RILL_ERR_ARG;
  return hub->remembers ? rill__emit_item(hub, to, &item)
                        : rill__fanout_send(hub, to, &item, NULL, NULL);
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
