/*
 * visitor.c - a visitor: how it connects, what it says, how it loses its
 * connection and comes back.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kept.h"

static void opened(void *owner, wire *r) {
  visitor *v = owner;
  char text[200];

  (void)r;
  if (v->socketio)
    return; /* the server speaks first */
  if (v->secret[0] == '\0')
    snprintf(text, sizeof text, "{\"open\":{\"token\":\"v%u\"}}", v->id);
  else
    snprintf(text, sizeof text,
             "{\"open\":{\"token\":\"v%u\"},\"resume\":\"%s\"%s%s%s}", v->id,
             v->secret, v->offset[0] != '\0' ? ",\"offset\":\"" : "", v->offset,
             v->offset[0] != '\0' ? "\"" : "");
  visitor_packet(v, text);
}

static void ended(void *owner, wire *r) {
  (void)r;
  visitor_lose(owner, "cut");
}

static void body(void *owner, wire *r, int status, const uint8_t *data,
                 size_t len) {
  (void)r, (void)status, (void)data, (void)len;
  visitor_lose(owner, "refused");
}

static const wire_owner of_wires = {
    .opened = opened, .message = visitor_message, .body = body, .ended = ended};

visitor *visitor_new(world *w) {
  kept *k = w->kept;
  visitor *v;

  if (k->nvisitors == sizeof k->visitors / sizeof k->visitors[0])
    return NULL;
  v = calloc(1, sizeof *v);
  if (v == NULL)
    abort();
  k->visitors[k->nvisitors++] = v;
  v->w = w;
  v->id = k->nvisitors;
  v->user = v->id % KEPT_USERS;
  v->socketio = sim_chance(w, 40);
  for (int i = 0; i < KEPT_ROOMS; i++)
    v->seats[i].wants = sim_chance(w, 70);
  sim_later(w, sim_below(w, 800) * RILL_MSEC, visitor_start, v, 0);
  return v;
}

static void give_up(world *w, void *a, uint64_t life) {
  visitor *v = a;

  (void)w;
  if (v->life == life && v->state != TALKS && !v->left)
    visitor_lose(v, "no answer");
}

void visitor_start(world *w, void *a, uint64_t life) {
  visitor *v = a;

  if (v->left || v->wire != NULL || v->life != life)
    return;
  sim_note(w, "comes", v->id, v->user, v->socketio);
  v->state = AWAY_FROM_IT;
  v->wire = wire_new(w, &of_wires, v);
  wire_upgrade(v->wire,
               v->socketio ? "/sio/?EIO=4&transport=websocket" : "/json", "");
  sim_later(w, 12 * RILL_SEC, give_up, v, v->life);
}

/* What it has asked may still be answered, if it comes back as who it was. */
enum { LIVES = 4 };
static void forget_questions(visitor *v) {
  uint32_t left = 0;

  for (uint32_t i = 0; i < v->nquestions; i++)
    if (v->questions[i].life + LIVES > v->life)
      v->questions[left++] = v->questions[i];
  v->nquestions = left;
}

static void hang_up(visitor *v) {
  forget_questions(v);
  v->life++;
  wire_close(v->wire);
  v->wire = NULL;
  v->state = AWAY_FROM_IT;
  for (uint32_t i = 0; i < v->nheld; i++)
    free(v->held[i]);
  v->nheld = 0;
}

void visitor_lose(visitor *v, const char *why) {
  world *w = v->w;
  uint32_t most = w->calm ? 500 : sim_chance(w, 20) ? 9000 : 1500;

  if (v->wire == NULL)
    return;
  sim_note(w, why, v->id, v->life, (uint64_t)v->state);
  hang_up(v);
  if (!w->kept->ending && !v->left)
    sim_later(w, sim_below(w, most) * RILL_MSEC, visitor_start, v, v->life);
}

static void go(world *w, void *a, uint64_t life) {
  visitor *v = a;

  (void)w;
  if (v->life == life)
    hang_up(v);
}

void visitor_leave(visitor *v) {
  if (v->left)
    return;
  v->left = true;
  sim_note(v->w, "leaves", v->id, (uint64_t)v->state, 0);
  if (v->state != TALKS || sim_chance(v->w, 30)) {
    go(v->w, v, v->life);
    return;
  }
  if (v->socketio)
    visitor_packet(v, "41");
  else
    wire_frame(v->wire, 0x88, "\x03\xe8", 2);
  sim_later(v->w, RILL_SEC, go, v, v->life);
}

void visitor_free(visitor *v) {
  v->wire = NULL; /* the world has freed it */
  hang_up(v);
  free(v);
}

void visitor_packet(visitor *v, const char *text) {
  wire_frame(v->wire, 0x81, text, strlen(text));
}

void visitor_event(visitor *v, uint64_t id, const char *name,
                   const char *format, ...) {
  char arg[300], text[400], number[32] = "";
  va_list args;

  va_start(args, format);
  vsnprintf(arg, sizeof arg, format, args);
  va_end(args);
  if (id > 0)
    snprintf(number, sizeof number, "%s%llu",
             v->socketio ? "" : ",\"id\":", (unsigned long long)id);
  if (v->socketio)
    snprintf(text, sizeof text, "42%s[\"%s\",%s]", number, name, arg);
  else
    snprintf(text, sizeof text, "{\"event\":\"%s\",\"args\":[%s]%s}", name, arg,
             number);
  visitor_packet(v, text);
}

uint64_t visitor_ask(visitor *v, int kind, int room, uint64_t n) {
  if (v->nquestions == sizeof v->questions / sizeof v->questions[0])
    return 0;
  v->questions[v->nquestions++] =
      (question){++v->next_question, n, kind, room, v->life};
  return v->next_question;
}

static void join(visitor *v, int room) {
  seat *s = &v->seats[room];
  uint64_t id = visitor_ask(v, ASK_JOIN, room, 0);
  bool all = !s->knows && room != ROOM_RING && sim_chance(v->w, 30);
  char since[100] = "";

  if (id == 0)
    return;
  s->state = JOINING;
  s->said_since = s->knows || all;
  s->since = s->knows ? s->last : 0;
  s->skip_from = s->skip_to = 0;
  s->knows = s->said_since;
  s->last = s->since;
  s->has_people = s->hole = false;
  s->typing = 0;
  if (s->said_since)
    snprintf(since, sizeof since, ",\"since\":%llu,\"epoch\":\"%s\"",
             (unsigned long long)s->since, s->epoch);
  if (s->epoch[0] == '\0' && s->said_since)
    *strchr(since + 1, ',') = '\0';
  sim_note(v->w, "joins", v->id, (uint64_t)room, s->since);
  if (v->socketio || sim_chance(v->w, 30)) {
    visitor_event(v, id, "room:join", "{\"room\":\"%s\"%s}", kept_room(room),
                  since);
  } else {
    char text[200];
    snprintf(text, sizeof text, "{\"join\":\"%s\"%s,\"id\":%llu}",
             kept_room(room), since, (unsigned long long)id);
    visitor_packet(v, text);
  }
}

void visitor_settle(visitor *v) {
  for (int i = 0; i < KEPT_ROOMS && v->state == TALKS; i++)
    if (v->seats[i].wants && v->seats[i].state == OUT)
      join(v, i);
}

void visitor_leave_room(visitor *v, int room) {
  uint64_t id = visitor_ask(v, ASK_LEAVE, room, 0);

  if (id == 0)
    return;
  v->seats[room].state = LEAVING;
  visitor_event(v, id, "room:leave", "{\"room\":\"%s\"}", kept_room(room));
}

void visitor_say(visitor *v, saying *s) {
  uint64_t id = visitor_ask(v, ASK_SAY, s->room, s->id);

  s->life = v->life;
  sim_note(v->w, "says", v->id, s->id, (uint64_t)s->room);
  visitor_event(v, id, "say", "{\"room\":\"%s\",\"id\":\"v%u-%u\"}",
                kept_room(s->room), v->id, s->id);
}

static void say_something(visitor *v, int room) {
  if (v->nsayings == sizeof v->sayings / sizeof v->sayings[0])
    return;
  v->sayings[v->nsayings] = (saying){.id = v->nsayings + 1, .room = room};
  visitor_say(v, &v->sayings[v->nsayings++]);
}

static void read_receipt(visitor *v, int room) {
  kept *k = v->w->kept;
  const seat *s = &v->seats[room];
  uint64_t *most = &k->read_most[room][v->user], offset;

  if (room == ROOM_RING || !s->knows || s->last == 0 || v->user == 0)
    return;
  offset = 1 + sim_below(v->w, (uint32_t)s->last);
  if (offset > *most)
    *most = offset;
  visitor_event(v, visitor_ask(v, ASK_READ, room, offset), "receipt:read",
                "{\"room\":\"%s\",\"offset\":%llu}", kept_room(room),
                (unsigned long long)offset);
}

static void clear_note(visitor *v) {
  kept *k = v->w->kept;
  uint32_t i = sim_below(v->w, KEPT_NOTES);
  bool to = sim_chance(v->w, 30);

  if (v->user == 0 || !v->counted || !v->notes[i])
    return;
  for (uint32_t n = 0; n < k->nnotes; n++)
    if (k->notes[n].user == v->user &&
        (n == i || (to && k->notes[n].offset <= v->note_offsets[i])))
      k->notes[n].must = false; /* even where this is never answered */
  if (to)
    visitor_event(v, visitor_ask(v, ASK_CLEAR_TO, 0, v->note_offsets[i]),
                  "notification:ack", "{\"upTo\":%llu}",
                  (unsigned long long)v->note_offsets[i]);
  else
    visitor_event(v, visitor_ask(v, ASK_CLEAR, 0, i), "notification:ack",
                  "{\"id\":\"n%u\"}", i);
}

static void show(visitor *v) {
  static const char *const names[] = {"offline", "away", "online", "busy"};

  v->status = (int)sim_below(v->w, 4);
  visitor_event(v, 0, "presence:update", "{\"status\":\"%s\"}",
                names[v->status]);
}

/* One thing, as chance has it. */
void visitor_act(visitor *v) {
  int room = (int)sim_below(v->w, KEPT_ROOMS);
  uint32_t what = sim_below(v->w, 100);
  seat *s = &v->seats[room];

  if (v->state != TALKS || v->nquestions > 100)
    return;
  if (what < 45 && s->state == IN)
    say_something(v, room);
  else if (what < 52)
    show(v);
  else if (what < 60 && s->state == IN && v->user > 0)
    visitor_event(v, 0, sim_chance(v->w, 60) ? "typing:start" : "typing:stop",
                  "{\"room\":\"%s\"}", kept_room(room));
  else if (what < 70 && s->state == IN)
    read_receipt(v, room);
  else if (what < 84)
    clear_note(v);
  else if (what < 88 && s->state == IN)
    visitor_leave_room(v, room);
  else if (what < 90)
    s->wants |= s->state == OUT;
  else
    visitor_event(v, 0, "presence:heartbeat", "{}");
  visitor_settle(v);
}
