/*
 * kept_people.c - what visitors are told of each other, and what waits for
 * them: compared with who is there, and with what the host has been told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kept.h"

static const char *const statuses[] = {"offline", "away", "online", "busy"};

uint64_t people_wall(const world *w) {
  return 1700000000000u + w->now / RILL_MSEC;
}

static uint32_t there(const seat *s) {
  uint32_t n = 0;

  for (int i = 0; i < KEPT_USERS; i++)
    n += s->people[i].there;
  return n;
}

static void take_person(visitor *v, seat *s, rill_value user) {
  uint32_t i = kept_user_of(v->w, rill_get_str(user, "userId"));
  rill_str status = rill_get_str(user, "status");
  int k = 0;

  while (k < 4 && !rill_str_eq(status, rill_s(statuses[k])))
    k++;
  if (k == 4 || i == 0)
    sim_breach(v->w, "I-PRESENCE", "a status that is none", v->id, i);
  s->people[i] = (struct person){k != DEAD, k};
}

static void on_presence(visitor *v, bool all, rill_value arg) {
  int room = kept_room_of(rill_get_str(arg, "room"));
  rill_walk walk = rill_walk_begin(rill_value_get(arg, "users"));
  uint64_t version = (uint64_t)rill_get_int(arg, "version", -1);
  uint64_t count = (uint64_t)rill_get_int(arg, "count", -1);
  seat *s;

  if (room < 0 || room == ROOM_SHORT)
    sim_breach(v->w, "I-PRESENCE", "of a room that has none", v->id, 0);
  s = &v->seats[room];
  if (s->lost_track)
    return;
  if (s->state == OUT)
    sim_breach(v->w, "I-PRESENCE", "of a room where it is not", v->id, 0);
  if (all)
    memset(s->people, 0, sizeof s->people);
  else if (!s->has_people || version != s->version + 1)
    sim_breach(v->w, "I-PRESENCE", "a version is missing", s->version, version);
  while (rill_walk_next(&walk))
    take_person(v, s, walk.value);
  s->has_people = true;
  s->version = version;
  s->count = count;
  sim_note(v->w, "people", v->id, (uint64_t)room, count);
  if (count != there(s))
    sim_breach(v->w, "I-PRESENCE", "another number than are told of", count,
               there(s));
}

static void on_typing(visitor *v, rill_value arg) {
  int room = kept_room_of(rill_get_str(arg, "room"));
  rill_walk walk = rill_walk_begin(rill_value_get(arg, "users"));

  if (room < 0 || (v->seats[room].state == OUT && !v->seats[room].lost_track))
    sim_breach(v->w, "I-TYPING", "of a room where it is not", v->id, 0);
  v->seats[room].typing = 0;
  while (rill_walk_next(&walk))
    v->seats[room].typing |= 1u
                             << kept_user_of(v->w, rill_value_str(walk.value));
}

static void on_receipts(visitor *v, rill_value arg, bool asked) {
  kept *k = v->w->kept;
  int room = kept_room_of(rill_get_str(arg, "room"));
  rill_walk walk = rill_walk_begin(rill_value_get(arg, "users"));

  if (room < 0 || room == ROOM_RING)
    sim_breach(v->w, "I-RECEIPT", "of a room that has none", v->id, 0);
  while (rill_walk_next(&walk)) {
    uint32_t user = kept_user_of(v->w, rill_get_str(walk.value, "userId"));
    uint64_t offset = (uint64_t)rill_get_int(walk.value, "offset", 0);
    uint64_t *last = &v->seats[room].read[user];
    if (offset < *last || offset > k->read_most[room][user])
      sim_breach(v->w, "I-RECEIPT", "less than before, or never said", *last,
                 offset);
    if (asked && offset < k->read[room][user])
      sim_breach(v->w, "I-RECEIPT", "what was answered is lost",
                 k->read[room][user], offset);
    *last = offset;
  }
}

static uint32_t waiting(const visitor *v) {
  uint32_t n = 0;

  for (uint32_t i = 0; i < KEPT_NOTES; i++)
    n += v->notes[i];
  return n;
}

/* More than that may be on their way, where it is told of all anew. */
static void check_unread(visitor *v, rill_value arg, bool all) {
  v->unread = (uint64_t)rill_get_int(arg, "unread", -1);
  if (v->counted &&
      (v->unread < waiting(v) || (all && v->unread != waiting(v))))
    sim_breach(v->w, "I-NOTE", "another number than are told of", v->unread,
               waiting(v));
}

static void on_note(visitor *v, rill_value arg) {
  kept *k = v->w->kept;
  uint32_t i = kept_note_of(v->w, rill_get_str(arg, "id"));
  uint64_t offset = (uint64_t)rill_get_int(arg, "offset", 0);
  rill_str replaces = rill_get_str(arg, "replaces");

  sim_note(v->w, "note", v->id, i, offset);
  if (k->notes[i].user != v->user || offset == 0 ||
      rill_get_int(rill_value_get(arg, "data"), "n", -1) != (int64_t)i)
    sim_breach(v->w, "I-NOTE", "for another user", v->id, i);
  if (replaces.len > 0)
    v->notes[kept_note_of(v->w, replaces)] = false;
  v->notes[i] = true;
  v->note_offsets[i] = offset;
  check_unread(v, arg, false);
}

static void clear_to(visitor *v, uint64_t offset) {
  for (uint32_t i = 0; i < KEPT_NOTES; i++)
    if (v->note_offsets[i] <= offset)
      v->notes[i] = false;
}

static void on_cleared(visitor *v, rill_value arg) {
  rill_walk walk = rill_walk_begin(rill_value_get(arg, "ids"));

  while (rill_walk_next(&walk))
    v->notes[kept_note_of(v->w, rill_value_str(walk.value))] = false;
  if (rill_get_int(arg, "upTo", 0) > 0)
    clear_to(v, (uint64_t)rill_get_int(arg, "upTo", 0));
  check_unread(v, arg, false);
}

static void on_count(visitor *v, rill_value arg) {
  v->counted = rill_value_type(rill_value_get(arg, "error")) != RILL_OBJECT;
  if (v->counted)
    check_unread(v, arg, true);
  else
    memset(v->notes, 0, sizeof v->notes); /* all are told anew */
}

void people_event(visitor *v, rill_str name, rill_value arg) {
  if (rill_str_eq(name, rill_s("presence:state")))
    on_presence(v, true, arg);
  else if (rill_str_eq(name, rill_s("presence:update")))
    on_presence(v, false, arg);
  else if (rill_str_eq(name, rill_s("typing:update")))
    on_typing(v, arg);
  else if (rill_str_eq(name, rill_s("receipt:update")))
    on_receipts(v, arg, false);
  else if (rill_str_eq(name, rill_s("notification")))
    on_note(v, arg);
  else if (rill_str_eq(name, rill_s("notification:cleared")))
    on_cleared(v, arg);
  else if (rill_str_eq(name, rill_s("notification:count")))
    on_count(v, arg);
  else
    sim_breach(v->w, "I-EVENT", "an event of no name", v->id, name.len);
}

void people_answer(visitor *v, const question *q, rill_value answer) {
  kept *k = v->w->kept;
  uint64_t offset;

  switch (q->kind) {
  case ASK_READ:
    offset = (uint64_t)rill_get_int(answer, "offset", 0);
    if (offset < q->n && offset < k->read[q->room][v->user])
      sim_breach(v->w, "I-RECEIPT", "less than was said", q->n, offset);
    if (offset > k->read[q->room][v->user])
      k->read[q->room][v->user] = offset;
    break;
  case ASK_CLEAR:
    v->notes[q->n] = k->notes[q->n].may = false;
    check_unread(v, answer, false);
    break;
  case ASK_CLEAR_TO:
    for (uint32_t i = 0; i < k->nnotes; i++)
      if (k->notes[i].user == v->user && k->notes[i].offset != 0 &&
          k->notes[i].offset <= q->n)
        k->notes[i].may = false;
    clear_to(v, q->n);
    check_unread(v, answer, false);
    break;
  case ASK_GET:
    on_receipts(v, answer, true);
    break;
  default:
    break;
  }
}

void people_forget(visitor *v) {
  for (int i = 0; i < KEPT_ROOMS; i++) {
    v->seats[i].has_people = false;
    v->seats[i].typing = 0;
  }
  memset(v->notes, 0, sizeof v->notes);
  v->counted = false;
}

/* The status of |user| in |room| that its visitors have shown. */
static int truth(const kept *k, int room, uint32_t user) {
  int best = DEAD;

  for (uint32_t i = 0; i < k->nvisitors; i++) {
    const visitor *v = k->visitors[i];
    if (!v->left && v->user == user && v->seats[room].state == IN &&
        v->status > best)
      best = v->status;
  }
  return best;
}

static void check_presence(visitor *v, int room) {
  const kept *k = v->w->kept;
  const seat *s = &v->seats[room];

  if (!s->has_people)
    sim_breach(v->w, "I-PRESENCE", "it was never told", v->id, (uint64_t)room);
  for (uint32_t user = 1; user < KEPT_USERS; user++) {
    int status = truth(k, room, user);
    if (s->people[user].there != (status != DEAD) ||
        (status != DEAD && s->people[user].status != status))
      sim_breach(v->w, "I-PRESENCE", "another status than is shown", user,
                 (uint64_t)status);
  }
}

static void check_notes(visitor *v) {
  const kept *k = v->w->kept;

  if (!v->counted || v->unread != waiting(v))
    sim_breach(v->w, "I-NOTE", "it was never told how many", v->unread,
               waiting(v));
  for (uint32_t i = 0; i < k->nnotes; i++) {
    const note *n = &k->notes[i];
    bool expired = n->expires != 0 && n->expires < people_wall(v->w);
    if (n->user != v->user)
      continue;
    if (n->must && !expired && !v->notes[i])
      sim_breach(v->w, "I-NOTE", "it waits, and was not told", v->id, i);
    if ((shelf_fails(k->shelf) || k->may_lose) &&
        (n->key > 0 || n->expires > 0))
      continue; /* what failed to be removed may be back after a restart */
    if (v->notes[i] &&
        (!n->may || (expired && n->expires + 2000 < people_wall(v->w))))
      sim_breach(v->w, "I-NOTE", "it is gone, and that was not told", v->id, i);
  }
}

void people_check(world *w) {
  const kept *k = w->kept;

  for (uint32_t i = 0; i < k->nvisitors; i++) {
    visitor *v = k->visitors[i];
    if (v->left)
      continue;
    for (int room = 0; room < KEPT_ROOMS; room++) {
      if (v->seats[room].state != IN)
        continue;
      if (v->seats[room].typing != 0)
        sim_breach(w, "I-TYPING", "somebody types for ever", v->id,
                   v->seats[room].typing);
      if (room != ROOM_SHORT)
        check_presence(v, room);
    }
    if (v->user != 0)
      check_notes(v);
  }
}
