/*
 * visitor_hear.c - what a visitor makes of what it is told: the packets of
 * both dialects, and its own questions answered.
 */
#include <stdlib.h>
#include <string.h>

#include "kept.h"

static void set(char *out, size_t size, rill_str s) {
  size_t n = s.len < size ? s.len : size - 1;

  memset(out, 0, size);
  if (n > 0)
    memcpy(out, s.ptr, n);
}

/* It has said something and does not know what became of it. */
static void say_again(visitor *v) {
  for (uint32_t i = 0; i < v->nsayings; i++) {
    saying *s = &v->sayings[i];
    if (s->answered || s->given_up || s->life == v->life)
      continue;
    if (sim_chance(v->w, 25) && !v->w->calm)
      s->given_up = true;
    else if (v->seats[s->room].state == IN)
      visitor_say(v, s);
  }
}

static void come_later(world *w, void *a, uint64_t life) {
  visitor *v = a;

  (void)w;
  if (v->life != life || v->state != TALKS)
    return;
  visitor_settle(v);
  say_again(v);
}

static void try_again(visitor *v) {
  sim_later(v->w, sim_below(v->w, 1000) * RILL_MSEC, come_later, v, v->life);
}

/*
 * It is who it was, and where it was; but for what was under way, of which it
 * does not know: it leaves, to come in again.
 */
static void resumed(visitor *v, bool recovered) {
  for (int i = 0; i < KEPT_ROOMS; i++) {
    seat *s = &v->seats[i];
    s->hole |= !recovered;
    s->lost_track = s->state == JOINING || s->state == LEAVING;
    if (s->lost_track)
      visitor_leave_room(v, i);
  }
}

static void is_new(visitor *v) {
  for (int i = 0; i < KEPT_ROOMS; i++) {
    v->seats[i].state = OUT;
    v->seats[i].lost_track = false;
  }
  v->status = THERE;
  v->nquestions = 0;
  v->offset[0] = '\0';
}

void visitor_connected(visitor *v, rill_str sid, rill_str secret,
                       bool recovered) {
  stay *before = v->stay;
  uint32_t life = v->life;

  v->stay = kept_stay(v->w, sid);
  if (v->stay == NULL || v->stay->visitor != v || v->state == TALKS)
    sim_breach(v->w, "I-OPEN", "connected as nobody, or twice", v->id, sid.len);
  v->state = TALKS;
  set(v->secret, sizeof v->secret, secret);
  sim_note(v->w, "connected", v->id, v->stay->id, recovered);
  people_forget(v);
  if (v->stay == before)
    resumed(v, recovered);
  else if (recovered)
    sim_breach(v->w, "I-OPEN", "recovered as somebody else", v->id, 0);
  else
    is_new(v);
  for (uint32_t i = 0; i < v->nheld && v->life == life; i++) {
    char *text = v->held[i];
    v->held[i] = NULL;
    visitor_message(v, v->wire, true, (const uint8_t *)text, strlen(text));
    free(text);
  }
  if (v->life != life)
    return;
  v->nheld = 0;
  visitor_settle(v);
  say_again(v);
}

static void on_joined(visitor *v, const question *q, rill_value answer,
                      bool failed) {
  seat *s = &v->seats[q->room];

  sim_note(v->w, "joined", v->id, (uint64_t)q->room, failed);
  if (failed) {
    s->state = OUT;
    try_again(v);
    return;
  }
  book_joined(v, q->room, answer);
  s->state = IN;
  set(s->epoch, sizeof s->epoch, rill_get_str(answer, "epoch"));
  say_again(v);
}

static void on_answer(visitor *v, uint64_t id, rill_value answer,
                      rill_value error) {
  bool failed = rill_value_type(error) == RILL_OBJECT;
  question q = {.id = 0};

  for (uint32_t i = 0; i < v->nquestions; i++)
    if (v->questions[i].id == id) {
      q = v->questions[i];
      v->questions[i] = v->questions[--v->nquestions];
    }
  if (q.id == 0 && v->life > 0 && id <= v->next_question)
    return; /* of a life long ago */
  if (q.id == 0)
    sim_breach(v->w, "I-ACK", "an answer that nobody waits for", v->id, id);
  sim_note(v->w, "answer", v->id, (uint64_t)q.kind, failed);
  if (q.life != v->life && (q.kind == ASK_JOIN || q.kind == ASK_LEAVE))
    return; /* it has asked anew */
  switch (q.kind) {
  case ASK_JOIN:
    on_joined(v, &q, answer, failed);
    break;
  case ASK_LEAVE:
    v->seats[q.room].state = OUT;
    v->seats[q.room].lost_track = false;
    try_again(v);
    break;
  case ASK_SAY:
    v->sayings[q.n - 1].life = UINT32_MAX; /* it may be said again */
    if (failed)
      try_again(v);
    else
      book_said(v, (uint32_t)q.n, answer);
    break;
  default:
    if (!failed)
      people_answer(v, &q, answer);
    break;
  }
}

/* EPOCH-OFFSET.NUMBER: the number in the room, where it has one. */
static uint64_t number_in(rill_str offset) {
  const char *at = offset.len > 0 ? memchr(offset.ptr, '.', offset.len) : NULL;
  uint64_t n = 0;

  while (at != NULL && ++at < offset.ptr + offset.len)
    n = n * 10 + (uint64_t)(*at - '0');
  return n;
}

static void on_event(visitor *v, rill_str name, rill_value args, uint64_t at) {
  rill_value arg = rill_value_at(args, 0);
  size_t n = rill_value_size(args);

  if (v->socketio)
    at = number_in(rill_value_str(rill_value_at(args, n - 1)));
  if (rill_str_eq(name, rill_s("said")) || rill_str_eq(name, rill_s("say"))) {
    int room = kept_room_of(rill_get_str(arg, "room"));
    if (room < 0)
      sim_breach(v->w, "I-EVENT", "an event of no room", v->id, at);
    book_heard(v, room, rill_get_str(arg, "id"),
               (uint32_t)rill_get_int(arg, "n", 0), at);
  } else if (rill_str_eq(name, rill_s("error"))) {
    rill_str of = rill_get_str(arg, "event");
    if (of.len < 6 || memcmp(of.ptr, "typing", 6) != 0)
      sim_breach(v->w, "I-EVENT", "an error that nobody made", v->id, of.len);
  } else {
    people_event(v, name, arg);
  }
  if (v->socketio && n > 1)
    set(v->offset, sizeof v->offset,
        rill_value_str(rill_value_at(args, n - 1)));
}

static void on_envelope(visitor *v, rill_value m) {
  rill_value error = rill_value_get(m, "error"), answer = m;
  rill_str name = rill_get_str(m, "event");
  uint64_t id = (uint64_t)rill_get_int(m, "id", 0);

  if (rill_get_str(m, "open").len > 0) {
    visitor_connected(v, rill_get_str(m, "open"), rill_get_str(m, "session"),
                      rill_get_bool(m, "recovered", false));
    return;
  }
  if (v->state != TALKS && rill_value_type(error) == RILL_OBJECT)
    return; /* refused: the end follows */
  if (v->state != TALKS)
    sim_breach(v->w, "I-EVENT", "it came before the session", v->id, id);
  if (name.len > 0) {
    on_event(v, name, rill_value_get(m, "args"),
             (uint64_t)rill_get_int(m, "at", 0));
    if (rill_get_str(m, "offset").len > 0)
      set(v->offset, sizeof v->offset, rill_get_str(m, "offset"));
    return;
  }
  if (rill_value_type(rill_value_get(m, "ack")) == RILL_INT) {
    id = (uint64_t)rill_get_int(m, "ack", 0);
    answer = rill_value_at(rill_value_get(m, "args"), 0);
  }
  if (id > 0)
    on_answer(v, id, answer, error);
  else if (rill_value_type(error) != RILL_OBJECT)
    sim_breach(v->w, "I-WIRE", "an envelope of no kind", v->id, 0);
}

static void on_socketio(visitor *v, char kind, uint64_t id, rill_value value) {
  rill_walk walk;
  rill_value first = rill_value_at(value, 0);
  rill_builder *args;

  if (kind == '0') {
    bool same = v->stay != NULL &&
                rill_str_eq(rill_s(v->stay->sid), rill_get_str(value, "sid"));
    visitor_connected(v, rill_get_str(value, "sid"), rill_get_str(value, "pid"),
                      same);
  } else if (kind == '3') {
    on_answer(v, id, first, rill_value_get(first, "error"));
  } else if (kind == '2') {
    args = rill_builder_new(NULL, NULL);
    walk = rill_walk_begin(value);
    for (bool name = true; rill_walk_next(&walk); name = false)
      if (!name)
        rill_put_value(args, walk.value);
    on_event(v, rill_value_str(first), rill_builder_value(args), 0);
    rill_builder_free(args);
  } else {
    sim_breach(v->w, "I-WIRE", "a packet of no kind", v->id, (uint8_t)kind);
  }
}

static void on_packet(visitor *v, const char *text) {
  char hello[200], *rest;
  rill_builder *b;
  uint64_t id;

  if (*text == '2') {
    visitor_packet(v, "3");
  } else if (*text == '0') {
    v->state = HELLO_SAID;
    if (v->secret[0] == '\0')
      snprintf(hello, sizeof hello, "40{\"token\":\"v%u\"}", v->id);
    else
      snprintf(hello, sizeof hello,
               "40{\"token\":\"v%u\",\"pid\":\"%s\"%s%s%s}", v->id, v->secret,
               v->offset[0] != '\0' ? ",\"offset\":\"" : "", v->offset,
               v->offset[0] != '\0' ? "\"" : "");
    visitor_packet(v, hello);
  } else if (*text == '1' || strncmp(text, "41", 2) == 0) {
    v->secret[0] = '\0';
    visitor_lose(v, "disconnected");
  } else if (strncmp(text, "44", 2) == 0) {
    visitor_lose(v, "refused");
  } else if (strncmp(text, "42", 2) == 0 && v->state != TALKS) {
    if (v->nheld == sizeof v->held / sizeof v->held[0])
      abort();
    v->held[v->nheld++] = strdup(text);
  } else if (*text == '4') {
    id = strtoull(text + 2, &rest, 10);
    b = rill_builder_new(NULL, NULL);
    rill_put_json(b, rill_s(rest));
    if (rill_builder_error(b) != 0)
      sim_breach(v->w, "I-WIRE", "a packet that is no JSON", v->id, 0);
    on_socketio(v, text[1], id, rill_value_at(rill_builder_value(b), 0));
    rill_builder_free(b);
  } else if (*text != '6') {
    sim_breach(v->w, "I-WIRE", "a packet of no kind", v->id, (uint8_t)*text);
  }
}

void visitor_message(void *owner, wire *r, bool is_text, const uint8_t *data,
                     size_t len) {
  visitor *v = owner;
  rill_builder *b;
  char *text = malloc(len + 1);

  if (text == NULL || !is_text)
    abort();
  memcpy(text, data, len);
  text[len] = '\0';
  if (v->w->trace)
    printf("%12s v%u < %.200s\n", "", v->id, text);
  if (v->socketio) {
    on_packet(v, text);
  } else {
    b = rill_builder_new(NULL, NULL);
    rill_put_json(b, (rill_str){text, len});
    if (rill_builder_error(b) != 0)
      sim_breach(v->w, "I-WIRE", "a message that is no JSON", v->id, len);
    on_envelope(v, rill_value_at(rill_builder_value(b), 0));
    rill_builder_free(b);
  }
  free(text);
  (void)r;
}
