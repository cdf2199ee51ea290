/*
 * people_hears.h - what clients of fuzz_people.c must hear, and must not:
 * the numbers of a room one after the other, whether live, from the past or
 * both; nothing twice; answers once; crowds and notifications as they are.
 *
 * A client is checked only where it can know.  It is not where it joins a
 * room twice at a time, where the host moves it, or where it says what the
 * fuzzer likes: its view is lax then, until its next life.
 */
#ifndef PEOPLE_HEARS_H
#define PEOPLE_HEARS_H

#include "people.h"

static inline unsigned log_in(const client *c, unsigned room) {
  return c->space * ROOMS + room;
}

/* Events show their numbers; else they are known by the store. */
static inline bool is_numbered(const client *c) {
  return c->dialect == JSON || c->dialect == PACKED || c->dialect == SSE;
}

static inline bool is_lax(const client *c, unsigned room) {
  const known *k = known_by_sid(c->s, c->sid);

  return c->wild || c->views[room].lax ||
         (k == NULL ? c->sid[0] != '\0' : (k->moved >> room & 1) != 0) ||
         (c->s->lax[c->space] >> room & 1) != 0;
}

/* Need number |n| not come, or not be known for what it is? */
static inline bool may_miss(const client *c, unsigned room, uint64_t n) {
  const people *s = c->s;
  const book *b = &s->books[log_in(c, room)];

  if ((s->flags & MEMORY) != 0 || n >= NUMBERS)
    return true;
  if (!is_durable(room))
    return !is_numbered(c);
  if (b->silent[n])
    return true;
  return !is_numbered(c) && !serial_tells(s, b->serial[n]);
}

/* Is |b| the next after |a| that must come? */
static inline bool follows(const client *c, unsigned room, uint64_t a,
                           uint64_t b) {
  if (b <= a)
    return false;
  while (++a < b)
    if (!may_miss(c, room, a))
      return false;
  return true;
}

static inline void hear_number(client *c, unsigned room, uint64_t n) {
  view *v = &c->views[room];

  if (is_lax(c, room))
    return;
  MUST(v->state != OUT);
  if (v->knows)
    MUST(v->skips ? n > v->heard : follows(c, room, v->heard, n));
  if (!v->any)
    v->first = n;
  v->any = v->knows = true;
  v->skips = false;
  v->heard = n;
  if (v->state != JOINING)
    v->has = n;
}

static inline void hear_serial(client *c, unsigned serial) {
  uint8_t bit = (uint8_t)(1u << serial % 8);

  if (!serial_tells(c->s, serial))
    return;
  MUST(c->again || (c->serials[serial / 8] & bit) == 0);
  c->serials[serial / 8] |= bit;
}

/* May what it has heard come again? */
static inline bool hears_again(const client *c) {
  const known *k = known_by_sid(c->s, c->sid);

  return c->wild || c->s->lax[c->space] != 0 || (k != NULL && k->moved != 0);
}

/* |room| may be ROOMS: it was not said; |at| 0 likewise. */
static inline void hear_published(client *c, unsigned room, uint64_t at,
                                  unsigned serial) {
  people *s = c->s;
  bool sure = serial_tells(s, serial) && s->serials[serial].number > 0;

  c->again |= hears_again(c);
  hear_serial(c, serial);
  if (at > 0 && room < ROOMS && is_durable(room) && sure && !is_lax(c, room)) {
    MUST(s->serials[serial].log == log_in(c, room));
    MUST(s->serials[serial].number == at);
  }
  if (at == 0 && sure && !is_numbered(c) &&
      s->serials[serial].log / ROOMS == c->space) {
    room = s->serials[serial].log % ROOMS;
    at = s->serials[serial].number;
  }
  if (at > 0 && room < ROOMS && c->dialect != RAW)
    hear_number(c, room, at);
}

static inline bool same_epoch(const view *v, rill_str epoch) {
  return rill_str_eq((rill_str){v->epoch, v->epoch_len}, epoch);
}

/* Where all is kept, and the queue has room, only a page is the limit. */
static inline bool may_gap(const client *c, unsigned room, uint64_t at,
                           uint64_t to) {
  uint32_t page = c->s->hub->config.limits.history_page;

  return (room != DUR && room != ALLOWED_LATER) || (c->s->flags & TIGHT) != 0 ||
         (at > page && to == at - page);
}

/* It said how far it had heard: what came was all of the rest, or a gap. */
static inline void check_return(client *c, unsigned room, rill_value a,
                                uint64_t at, rill_str epoch) {
  view *v = &c->views[room];
  bool recovered = rill_get_bool(a, "recovered", false), stale = false;
  rill_value gap = rill_value_get(a, "gap");
  uint64_t next = v->since + 1;

  if (rill_value_type(gap) == RILL_ARRAY) {
    MUST(!recovered && rill_value_uint(rill_value_at(gap, 0), 0) == next);
    next = rill_value_uint(rill_value_at(gap, 1), 0) + 1;
    MUST(next > v->since + 1 && next <= at + 1);
    MUST(may_gap(c, room, at, next - 1));
  } else if (!recovered) {
    stale = true;
    next = at + 1;
  }
  if (!is_durable(room))
    MUST(v->since == 0 || same_epoch(v, epoch) || stale);
  if (v->since <= at && (v->since == 0 || same_epoch(v, epoch)))
    MUST(!stale);
  if (v->any)
    MUST(follows(c, room, next - 1, v->first) &&
         (v->heard >= at || follows(c, room, v->heard, at + 1)));
  else
    MUST(follows(c, room, next - 1, at + 1));
}

static inline void hear_joined(client *c, unsigned room, rill_value a) {
  view *v = &c->views[room];
  uint64_t at = rill_value_uint(rill_value_get(a, "at"), UINT64_MAX);
  rill_str epoch = rill_get_str(a, "epoch");
  bool checked = v->state == JOINING && !is_lax(c, room);

  v->state = IN;
  if (!checked)
    return;
  MUST(at != UINT64_MAX || !v->returns);
  if (v->returns)
    check_return(c, room, a, at, epoch);
  else if (at != UINT64_MAX && v->any)
    MUST(follows(c, room, at, v->first));
  if (at != UINT64_MAX && (!v->knows || at > v->heard))
    v->heard = at;
  v->knows |= at != UINT64_MAX;
  v->epoch_len = 0;
  if (v->knows && epoch.len < sizeof v->epoch) {
    v->has = v->heard;
    v->epoch_len = (uint8_t)epoch.len;
    memcpy(v->epoch, epoch.ptr, epoch.len);
  }
}

/* It is not in the room, and has not been. */
static inline void hear_refused(client *c, unsigned room) {
  view *v = &c->views[room];

  if (v->state == JOINING && !is_lax(c, room))
    MUST(!v->any);
  v->state = v->state == LEAVING ? v->state : OUT;
}

/* Nor does it hear who is there, or types. */
static inline void hear_left(client *c, unsigned room) {
  view *v = &c->views[room];

  v->state = OUT;
  v->crowd = false;
  v->typing = 0;
  memset(v->receipts, 0, sizeof v->receipts);
}

/* A page of history, as the events of an answer or as the host gets it. */
typedef struct page {
  const people *s;
  unsigned log;
  uint64_t since, before, first, last, at;
  uint32_t n;
} page;

static inline void hear_past(page *p, uint64_t at, unsigned serial) {
  const book *b = &p->s->books[p->log];

  MUST(at >= p->first && at <= p->last);
  if (p->n++ > 0)
    MUST(at == (p->before > 0 ? p->at - 1 : p->at + 1));
  else if (p->before > 0)
    MUST(at == (p->before <= p->last ? p->before - 1 : p->last));
  else
    MUST(at == (p->since + 1 > p->first ? p->since + 1 : p->first));
  p->at = at;
  if (is_booked(p->s, p->log) && at < NUMBERS)
    MUST(b->serial[at] == serial);
}

static inline void notice_forget(client *c, uint32_t i) {
  c->notices[i] = c->notices[--c->nnotices];
}

static inline void hear_cleared(client *c, uint64_t id, uint64_t up_to) {
  for (uint32_t i = c->nnotices; i-- > 0;)
    if (c->notices[i].id == id || c->notices[i].offset <= up_to)
      notice_forget(c, i);
}

static inline void hear_notice(client *c, uint64_t offset, uint64_t id,
                               uint64_t replaces) {
  uint32_t i = 0;

  if (replaces != 0)
    hear_cleared(c, replaces, 0);
  while (i < c->nnotices && c->notices[i].offset != offset)
    i++;
  c->lost_count |= i == NOTICES;
  if (i == NOTICES)
    return;
  if (i == c->nnotices)
    c->nnotices++;
  else
    MUST(c->notices[i].id == id);
  c->notices[i] = (notice){offset, id, ++c->tells};
}

static inline uint64_t newest_notice(const client *c) {
  uint64_t newest = 0;

  for (uint32_t i = 0; i < c->nnotices; i++)
    if (c->notices[i].offset > newest)
      newest = c->notices[i].offset;
  return newest;
}

/* It has been told of all: the |n| that were told last. */
static inline void hear_count(client *c, uint64_t n) {
  while (c->nnotices > n) {
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < c->nnotices; i++)
      if (c->notices[i].told < c->notices[oldest].told)
        oldest = i;
    notice_forget(c, oldest);
  }
  c->counted = true;
}

/* The place of an answer that it waits for; ASKED: it is none of its. */
static inline uint32_t asked_find(const client *c, uint64_t id) {
  uint32_t i = 0;

  while (i < c->nasked && c->asked[i].id != id)
    i++;
  return i < c->nasked ? i : ASKED;
}

static inline asked asked_take(client *c, uint32_t i) {
  asked a = c->asked[i];

  c->asked[i] = c->asked[--c->nasked];
  return a;
}

/* A peer that nobody has heard of before. */
static inline void new_life(client *c) {
  c->wild = c->again = c->all = c->all_part = false;
  c->follows = 0;
  c->nasked = 0;
  memset(c->serials, 0, sizeof c->serials);
  memset(c->status, 0, sizeof c->status);
  for (int i = 0; i < ROOMS; i++) {
    const view was = c->views[i];
    view *v = &c->views[i];
    *v = (view){.has = was.has, .epoch_len = was.epoch_len};
    memcpy(v->epoch, was.epoch, sizeof v->epoch);
  }
}

/*
 * A connection is about to be made: a life that may go on where the dialect
 * has such a thing.
 */
static inline void meet(client *c, unsigned user, unsigned space) {
  c->open = c->deaf = false;
  c->posted = 0;
  if (c->user != user || c->space != space)
    c->nnotices = 0;
  if (c->space != space)
    memset(c->views, 0, sizeof c->views);
  if (c->dialect >= SSE) {
    new_life(c);
    memset(c->sid, 0, sizeof c->sid);
    memset(c->secret, 0, sizeof c->secret);
  }
  c->user = (uint8_t)user;
  c->space = (uint8_t)space;
  c->counted = c->lost_count = false;
  c->stream.len = 0;
}

/* Its connection is over: what it waits for may still come, or not. */
static inline void part(client *c) {
  reader_finish(&c->rd);
  c->conn = NULL;
  c->open = false;
  for (uint32_t i = 0; i < c->nasked; i++)
    c->asked[i].must = false;
}

/* The peer that it was; |complete|: it misses nothing. */
static inline void life_goes_on(client *c, bool complete) {
  for (int i = 0; i < ROOMS; i++) {
    view *v = &c->views[i];
    v->lax |= v->state == JOINING || v->state == LEAVING;
    v->skips = !complete;
    v->crowd = false;
    v->typing = 0;
    memset(v->receipts, 0, sizeof v->receipts);
  }
  c->again |= c->views[0].lax;
  for (int i = 0; i < ROOMS; i++)
    c->again |= c->views[i].lax;
  c->all = false;
}

/* |secret| may be empty: it cannot come back. */
static inline void hear_open(client *c, rill_str sid, rill_str secret,
                             bool complete) {
  bool same = sid.len == RILL__SID && memcmp(c->sid, sid.ptr, RILL__SID) == 0;

  MUST(sid.len == RILL__SID);
  if (same)
    life_goes_on(c, complete);
  else
    new_life(c);
  memcpy(c->sid, sid.ptr, RILL__SID);
  memset(c->secret, 0, sizeof c->secret);
  if (secret.len == RILL__SID)
    memcpy(c->secret, secret.ptr, RILL__SID);
  c->open = true;
}

#endif
