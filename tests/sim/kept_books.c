/*
 * kept_books.c - rooms: what a visitor hears and is told is compared with
 * what is on the shelf.
 */
#include <stdio.h>
#include <string.h>

#include "kept.h"

/*
 * What it lacks from |from| to |to| it may lack: it has been told so, or is
 * going to be, or that was trimmed before the store had told anybody.
 */
static bool may_skip(visitor *v, int room, uint64_t from, uint64_t to) {
  seat *s = &v->seats[room];
  const shelf_log *log = room == ROOM_SHORT ? kept_log(v->w->kept, room) : NULL;

  if ((s->state == IN || s->state == LEAVING) && log != NULL && log->first > to)
    return true;
  if (v->w->kept->may_lose || s->hole) {
    s->hole = false;
    return true;
  }
  if (s->state != JOINING || !s->said_since || s->skip_from != 0)
    return false;
  s->skip_from = from; /* the answer has to say so */
  s->skip_to = to;
  return true;
}

static void heard_number(visitor *v, int room, uint64_t number) {
  seat *s = &v->seats[room];

  if (s->knows && number <= s->last)
    sim_breach(v->w, "I-ORDER", "an event came twice, or late", s->last,
               number);
  if (s->knows && number != s->last + 1 &&
      !may_skip(v, room, s->last + 1, number - 1))
    sim_breach(v->w, "I-LOST", "an event is missing", s->last, number);
  s->knows = true;
  s->last = number;
}

/*
 * The number of |id|, |at| where that was told: else the next behind |last|,
 * as it may have been trimmed and said again.
 */
static uint64_t number_of(const shelf_log *log, const char *id, uint64_t last,
                          uint64_t at) {
  uint64_t number;

  if (at != 0)
    return shelf_number(log, id, at - 1) == at ? at : 0;
  number = shelf_number(log, id, last);
  return number != 0 ? number : shelf_number(log, id, 0);
}

void book_heard(visitor *v, int room, rill_str id, uint32_t n, uint64_t at) {
  kept *k = v->w->kept;
  seat *s = &v->seats[room];
  uint64_t number = at;
  size_t last = k->npublications;
  char text[24];

  if (s->lost_track)
    return;
  if (n > k->npublications || id.len >= sizeof text)
    sim_breach(v->w, "I-EVENT", "nobody has published it", v->id, n);
  snprintf(text, sizeof text, "%.*s", (int)id.len, id.ptr);
  sim_note(v->w, "heard", v->id, n, at);
  for (; n == 0 && last > 0; last--) /* published as it came, without */
    if (strcmp(k->publications[last - 1].id, text) == 0)
      n = (uint32_t)last;
  if (n == 0 || s->state == OUT ||
      strcmp(k->publications[n - 1].id, text) != 0 ||
      k->publications[n - 1].room != room)
    sim_breach(v->w, "I-EVENT", "another event, or for others", v->id, n);
  if (room == ROOM_RING) {
    if (k->publications[n - 1].life == k->life && n <= s->newest)
      sim_breach(v->w, "I-ORDER", "it came twice, or late", s->newest, n);
    s->newest = n;
    if (at == 0)
      return; /* Socket.IO is not told the number */
  } else {
    number = number_of(kept_log(k, room), text, s->knows ? s->last : 0, at);
    if (number == 0)
      sim_breach(v->w, "I-KEPT", "it is not kept as it was told", number, at);
  }
  heard_number(v, room, number);
}

void book_joined(visitor *v, int room, rill_value answer) {
  const kept *k = v->w->kept;
  seat *s = &v->seats[room];
  rill_value gap = rill_value_get(answer, "gap");
  uint64_t at = (uint64_t)rill_get_int(answer, "at", 0);
  uint64_t from = (uint64_t)rill_value_int(rill_value_at(gap, 0), 0);
  uint64_t to = (uint64_t)rill_value_int(rill_value_at(gap, 1), 0);
  bool recovered = rill_get_bool(answer, "recovered", false), counts;

  if (!s->said_since) { /* behind |at| it hears them all */
    if (room == ROOM_RING && v->socketio)
      return; /* it cannot count on, where events have no number */
    if (s->knows || rill_value_type(rill_value_get(answer, "at")) != RILL_INT)
      sim_breach(v->w, "I-VERDICT", "it is not told where it stands", at, 0);
    s->knows = true;
    s->last = at;
    return;
  }
  counts = room != ROOM_RING || !v->socketio;
  if (recovered && (from != 0 || s->skip_from != 0))
    sim_breach(v->w, "I-VERDICT", "recovered, and some are missing", v->id, 0);
  if (!recovered && from == 0) { /* numbers of another life of the room */
    if (room != ROOM_RING)
      sim_breach(v->w, "I-VERDICT", "its numbers mean nothing", s->since, at);
    s->knows = true;
    s->last = at;
    s->newest = 0;
    return;
  }
  if (from != 0 && (from != s->since + 1 || to < from || to > at))
    sim_breach(v->w, "I-VERDICT", "a gap that is none", from, to);
  if (from != 0 && counts && s->skip_from == 0 && s->last == s->since &&
      to == at)
    s->last = to; /* nothing came behind it */
  else if (counts && !k->may_lose && (from != s->skip_from || to != s->skip_to))
    sim_breach(v->w, "I-VERDICT", "another gap than was there", from,
               s->skip_from);
  if (counts && s->last < at && !k->may_lose)
    sim_breach(v->w, "I-VERDICT", "it has not come so far", s->last, at);
  if (s->last < at)
    s->last = at;
}

void book_said(visitor *v, uint32_t saying_id, rill_value answer) {
  const kept *k = v->w->kept;
  saying *s = &v->sayings[saying_id - 1];
  uint64_t offset = (uint64_t)rill_get_int(answer, "offset", 0);
  char id[24];

  snprintf(id, sizeof id, "v%u-%u", v->id, s->id);
  if (!rill_str_eq(rill_get_str(answer, "id"), rill_s(id)))
    sim_breach(v->w, "I-ACK", "an answer to something else", v->id, s->id);
  if (s->room != ROOM_RING &&
      (offset == 0 ||
       shelf_number(kept_log(k, s->room), id, offset - 1) != offset))
    sim_breach(v->w, "I-KEPT", "acknowledged, and not kept", s->id, offset);
  s->answered = true;
}

/* In the room that keeps all nothing is there twice. */
static void check_log(world *w) {
  const shelf_log *log = kept_log(w->kept, ROOM_LONG);

  for (size_t i = 0; log != NULL && i < log->n; i++)
    if (shelf_number(log, log->v[i].id, i + 1) != 0)
      sim_breach(w, "I-ONCE", "published twice under one id", i + 1, 0);
}

static uint32_t unanswered(const visitor *v) {
  uint32_t n = 0;

  for (uint32_t i = 0; i < v->nquestions; i++)
    n += v->questions[i].life == v->life;
  return n;
}

void book_check(world *w) {
  const kept *k = w->kept;

  check_log(w);
  for (uint32_t i = 0; i < k->nvisitors; i++) {
    visitor *v = k->visitors[i];
    if (v->left)
      continue;
    if (v->state != TALKS || unanswered(v) > 0)
      sim_breach(w, "I-LIVE", "a visitor is not answered", v->id,
                 unanswered(v));
    for (int room = 0; room < KEPT_ROOMS; room++) {
      const seat *s = &v->seats[room];
      const shelf_log *log = room != ROOM_RING ? kept_log(k, room) : NULL;
      if (s->state != (s->wants         ? IN
                       : s->state == IN ? IN
                                        : OUT) ||
          (s->state == IN) !=
              rill_in_room(v->stay->peer, rill_s(kept_room(room))))
        sim_breach(w, "I-LIVE", "it is not where it wants to be", v->id,
                   (uint64_t)room);
      if (log != NULL && s->state == IN && s->knows && !s->hole &&
          s->last != log->n && !k->may_lose)
        sim_breach(w, "I-LOST", "it has not heard the last", s->last, log->n);
    }
    for (uint32_t n = 0; n < v->nsayings; n++)
      if (!v->sayings[n].answered && !v->sayings[n].given_up &&
          v->seats[v->sayings[n].room].state == IN)
        sim_breach(w, "I-ACK", "it was never answered", v->id, n + 1);
  }
}
