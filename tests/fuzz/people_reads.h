/*
 * people_reads.h - from bytes to what a client of fuzz_people.c hears:
 * envelopes, packets of Socket.IO, and streams of server-sent events.
 */
#ifndef PEOPLE_READS_H
#define PEOPLE_READS_H

#include "people_hears.h"

/* What a client has asked for, where the answer is more than its coming. */
enum {
  PLAIN_ASK,
  ASK_JOIN,
  ASK_LEAVE,
  ASK_HISTORY,
  ASK_SAY,
  ASK_CLEAR,
  ASK_CLEAR_TO,
  ASK_COUNT,
  ASK_WATCH,
  ASK_QUIET
};

/* An event; the arguments begin at |first| of |args|. */
typedef struct heard {
  rill_str name;
  rill_value args;
  size_t first;
  rill_str room;
  uint64_t at;
} heard;

static inline uint64_t get_uint(rill_value object, const char *key) {
  return rill_value_uint(rill_value_get(object, key), 0);
}

/* Of a notification's id: what it is found by. */
static inline uint64_t id_hash(rill_str id) {
  uint64_t h = 14695981039346656037u;

  for (size_t i = 0; i < id.len; i++)
    h = (h ^ (uint8_t)id.ptr[i]) * 1099511628211u;
  return id.len > 0 ? h | 1 : 0;
}

static inline unsigned room_of(rill_value object) {
  return place_of(rill_get_str(object, "room"), room_names, ROOMS);
}

static inline unsigned status_of(rill_value user) {
  rill_str text = rill_get_str(user, "status");
  unsigned n = RILL_STATUS_OFFLINE;

  while (n <= RILL_STATUS_BUSY &&
         !rill_str_eq(text, rill_s(rill_status_text((rill_status)n))))
    n++;
  MUST(n <= RILL_STATUS_BUSY);
  return n;
}

static inline void read_users(rill_value list, uint8_t status[USERS]) {
  rill_walk walk = rill_walk_begin(list);

  while (rill_walk_next(&walk)) {
    unsigned user =
        place_of(rill_get_str(walk.value, "userId"), user_names, USERS);
    unsigned now = status_of(walk.value);
    if (user < USERS)
      status[user] = (uint8_t)now;
  }
}

/* "presence:state" and "presence:update", of a room. */
static inline void read_crowd(client *c, rill_value o, bool all) {
  unsigned room = room_of(o);
  uint64_t version = get_uint(o, "version");
  view *v;

  if (room == ROOMS)
    return;
  v = &c->views[room];
  if (!all && !v->crowd)
    return;
  MUST(all || version == v->version + 1 || (c->s->flags & MEMORY) != 0);
  if (all) {
    memset(v->status, 0, sizeof v->status);
    v->part = rill_value_type(rill_value_get(o, "next")) != RILL_ABSENT;
  }
  v->crowd = true;
  v->version = version;
  v->count = get_uint(o, "count");
  read_users(rill_value_get(o, "users"), v->status);
}

static inline void read_state(client *c, rill_value o) {
  bool all = rill_value_type(rill_value_get(o, "version")) != RILL_ABSENT;

  if (rill_get_str(o, "room").len > 0) {
    read_crowd(c, o, true);
    return;
  }
  if (all) {
    memset(c->status, 0, sizeof c->status);
    c->all = true;
    c->all_part = rill_value_type(rill_value_get(o, "next")) != RILL_ABSENT;
  }
  read_users(rill_value_get(o, "users"), c->status);
}

static inline void read_update(client *c, rill_value o) {
  unsigned user;

  if (rill_get_str(o, "room").len > 0) {
    read_crowd(c, o, false);
    return;
  }
  user = place_of(rill_get_str(o, "userId"), user_names, USERS);
  if (user < USERS)
    c->status[user] = (uint8_t)status_of(o);
}

static inline void read_typing(client *c, rill_value o) {
  unsigned room = room_of(o);
  uint64_t n = rill_value_size(rill_value_get(o, "users"));

  MUST(n <= get_uint(o, "count"));
  if (room < ROOMS)
    c->views[room].typing = get_uint(o, "count");
}

/* They only grow; one's own are told in two ways. */
static inline void read_receipts(client *c, rill_value o) {
  rill_walk walk = rill_walk_begin(rill_value_get(o, "users"));
  unsigned room = room_of(o);

  while (room < ROOMS && rill_walk_next(&walk)) {
    unsigned user =
        place_of(rill_get_str(walk.value, "userId"), user_names, USERS);
    uint64_t offset = get_uint(walk.value, "offset");
    if (user == USERS || user == c->user)
      continue;
    MUST(offset >= c->views[room].receipts[user]);
    MUST(!is_booked(c->s, log_in(c, room)) ||
         offset <= c->s->books[log_in(c, room)].last);
    c->views[room].receipts[user] = offset;
  }
}

static inline void read_cleared(client *c, rill_value o) {
  rill_walk walk = rill_walk_begin(rill_value_get(o, "ids"));

  while (rill_walk_next(&walk))
    hear_cleared(c, id_hash(rill_value_str(walk.value)), 0);
  hear_cleared(c, 0, get_uint(o, "upTo"));
}

static inline void read_event(client *c, const heard *h) {
  rill_value o = rill_value_at(h->args, h->first);
  unsigned room = place_of(h->room, room_names, ROOMS);

  if (rill_str_eq(h->name, rill_s("presence:state")))
    read_state(c, o);
  else if (rill_str_eq(h->name, rill_s("presence:update")))
    read_update(c, o);
  else if (rill_str_eq(h->name, rill_s("typing:update")))
    read_typing(c, o);
  else if (rill_str_eq(h->name, rill_s("receipt:update")))
    read_receipts(c, o);
  else if (rill_str_eq(h->name, rill_s("notification")))
    hear_notice(c, get_uint(o, "offset"), id_hash(rill_get_str(o, "id")),
                id_hash(rill_get_str(o, "replaces")));
  else if (rill_str_eq(h->name, rill_s("notification:cleared")))
    read_cleared(c, o);
  else if (rill_str_eq(h->name, rill_s("notification:count")) &&
           rill_value_type(rill_value_get(o, "unread")) != RILL_ABSENT)
    hear_count(c, get_uint(o, "unread"));
  else if (rill_str_eq(h->name, rill_s("say")) ||
           rill_str_eq(h->name, rill_s("said")))
    hear_published(c, room, h->at, serial_of(h->args, h->first));
}

static inline void read_history(client *c, const asked *a, rill_value o) {
  rill_walk walk = rill_walk_begin(rill_value_get(o, "events"));
  page p = {.s = c->s,
            .log = log_in(c, a->room),
            .since = a->since,
            .before = a->before,
            .first = get_uint(o, "first"),
            .last = get_uint(o, "last")};

  while (rill_walk_next(&walk))
    hear_past(&p, get_uint(walk.value, "at"),
              serial_of(rill_value_get(walk.value, "args"), 0));
}

static inline void read_saved(const client *c, const asked *a, rill_value o) {
  const people *s = c->s;
  uint64_t at = get_uint(o, "offset");
  unsigned serial = (unsigned)a->since;

  if (is_booked(s, log_in(c, a->room)) && serial_tells(s, serial) &&
      a->before == 0)
    MUST(s->serials[serial].number == at || at >= NUMBERS);
}

/* |o| is the first argument of the answer, or the answer. */
static inline void read_answer(client *c, uint64_t id, rill_value o,
                               bool failed) {
  uint32_t i = asked_find(c, id);
  asked a;

  MUST(i < ASKED || c->wild);
  if (i == ASKED)
    return;
  a = asked_take(c, i);
  failed |= rill_value_type(rill_value_get(o, "error")) == RILL_OBJECT;
  if (a.what == ASK_JOIN && failed)
    hear_refused(c, a.room);
  else if (a.what == ASK_JOIN)
    hear_joined(c, a.room, o);
  else if (a.what == ASK_LEAVE)
    hear_left(c, a.room);
  else if (a.what == ASK_HISTORY && !failed)
    read_history(c, &a, o);
  else if (a.what == ASK_SAY && !failed)
    read_saved(c, &a, o);
  else if (a.what == ASK_CLEAR && !failed)
    hear_cleared(c, a.since, 0);
  else if (a.what == ASK_CLEAR_TO && !failed)
    hear_cleared(c, 0, a.since);
  else if (a.what == ASK_WATCH && !failed)
    read_users(rill_value_get(o, "users"), c->status);
  if (a.what == ASK_WATCH && !failed)
    c->follows |= (uint8_t)a.since;
}

static inline void take_offset(client *c, rill_str offset) {
  if (offset.len == 0 || offset.len > sizeof c->offset)
    return;
  memcpy(c->offset, offset.ptr, offset.len);
  c->offset_len = (uint8_t)offset.len;
  c->offset_room = ROOMS;
}

static inline void read_envelope(client *c, rill_value m) {
  bool failed = rill_value_type(rill_value_get(m, "error")) == RILL_OBJECT;
  uint64_t id = rill_value_uint(rill_value_get(m, "id"), UINT64_MAX);
  uint64_t ack = rill_value_uint(rill_value_get(m, "ack"), UINT64_MAX);
  heard h = {.name = rill_get_str(m, "event"),
             .args = rill_value_get(m, "args"),
             .room = rill_get_str(m, "room"),
             .at = get_uint(m, "at")};

  if (h.name.len > 0) {
    take_offset(c, rill_get_str(m, "offset"));
    read_event(c, &h);
  } else if (rill_get_str(m, "open").len > 0) {
    hear_open(c, rill_get_str(m, "open"), rill_get_str(m, "session"),
              rill_get_bool(m, "recovered", false));
  } else if (ack != UINT64_MAX) {
    read_answer(c, ack, rill_value_at(h.args, 0), failed);
  } else if (id != UINT64_MAX) {
    read_answer(c, id, m, failed);
  }
}

/* Where the namespace has recovery, an offset is the last argument. */
static inline void read_tail(client *c, rill_value args) {
  size_t n = rill_value_size(args);
  rill_str tail = rill_value_str(rill_value_at(args, n > 0 ? n - 1 : 0));

  if ((c->s->flags & RECOVERY) != 0 && c->space < 2 && n > 1)
    take_offset(c, tail);
}

static inline void read_packet(client *c, char type, uint64_t id,
                               rill_value data) {
  heard h = {
      .name = rill_value_str(rill_value_at(data, 0)), .args = data, .first = 1};

  if (type == '0') {
    hear_open(c, rill_get_str(data, "sid"), rill_get_str(data, "pid"), true);
  } else if (type == '1') {
    c->open = false; /* the host has closed it */
    memset(c->sid, 0, sizeof c->sid);
  } else if (type == '2' || type == '5') {
    read_tail(c, data);
    read_event(c, &h);
  } else if (type == '3' || type == '6') {
    read_answer(c, id, rill_value_at(data, 0), false);
  }
}

static inline rill_value parse(rill__tape *tape, bool packed,
                               const uint8_t *data, size_t len) {
  static const rill__value_limits none = {RILL__VALUE_DEPTH, UINT32_MAX,
                                          UINT32_MAX};
  rill_str text = {(const char *)data, len};

  MUST((packed ? rill__msgpack_read(tape, text, &none)
               : rill__json_read(tape, text, &none)) == 0);
  return (rill_value){tape->v};
}

/* A packet of Engine.IO, then of Socket.IO. */
static inline void read_socketio(client *c, const uint8_t *data, size_t len) {
  size_t i = 2;
  uint64_t id = 0;
  rill__tape tape;

  if (len < 2 || data[0] != '4')
    return;
  if (data[1] == '5' || data[1] == '6')
    while (i < len && data[i++] != '-')
      continue;
  if (i < len && data[i] == '/')
    while (i < len && data[i++] != ',')
      continue;
  while (i < len && data[i] >= '0' && data[i] <= '9')
    id = id * 10 + (uint64_t)(data[i++] - '0');
  rill__tape_init(&tape, &rill__alloc_default);
  if (i < len)
    read_packet(c, (char)data[1], id, parse(&tape, false, data + i, len - i));
  else
    read_packet(c, (char)data[1], id, (rill_value){0});
  rill__tape_finish(&tape);
}

static inline void read_message(void *arg, bool text, const uint8_t *data,
                                size_t len) {
  client *c = arg;
  rill__tape tape;
  heard h = {.first = 1};

  if (c->dialect == SIO) {
    if (text)
      read_socketio(c, data, len);
    return;
  }
  rill__tape_init(&tape, &rill__alloc_default);
  h.args = parse(&tape, !text, data, len);
  if (c->dialect != RAW) {
    read_envelope(c, h.args);
  } else {
    h.name = rill_value_str(rill_value_at(h.args, 0));
    read_event(c, &h);
  }
  rill__tape_finish(&tape);
}

/* The room of a stream, where it has but one. */
static inline unsigned stream_room(const client *c) {
  for (unsigned i = 0; i < ROOMS; i++)
    if (c->rooms == 1u << i)
      return i;
  return ROOMS;
}

/* "EPOCH-OFFSET" or "EPOCH-OFFSET.NUMBER" */
static inline uint64_t number_in(rill_str id) {
  const char *dot = id.len > 0 ? memchr(id.ptr, '.', id.len) : NULL;
  uint64_t n = 0;

  if (dot == NULL)
    return 0;
  for (dot++; dot < id.ptr + id.len; dot++)
    n = n * 10 + (uint64_t)(*dot - '0');
  return n;
}

/* The stream has begun, or goes on, behind what its id said. */
static inline void read_session(client *c, rill_value o) {
  unsigned room = stream_room(c);
  view *v = room < ROOMS ? &c->views[room] : NULL;
  bool complete = rill_get_bool(o, "recovered", false);

  memcpy(c->secret, rill_get_str(o, "session").ptr, RILL__SID);
  memcpy(c->sid, rill_get_str(o, "sid").ptr, RILL__SID);
  c->open = true;
  if (v == NULL || v->since == 0 || !complete || is_lax(c, room))
    return;
  if (v->any) {
    MUST(follows(c, room, v->since, v->first));
  } else { /* the rest comes behind this */
    v->knows = true;
    v->heard = v->since;
  }
}

static inline void read_stream_event(client *c, rill_str name, rill_str id,
                                     rill_value data) {
  unsigned room = stream_room(c);
  heard h = {.name = name, .args = data, .at = number_in(id)};

  if (rill_str_eq(name, rill_s("session")))
    read_session(c, data);
  if (room < ROOMS)
    h.room = rill_s(room_names[room]);
  if (rill_value_type(data) == RILL_ARRAY)
    read_event(c, &h);
  if (id.len == 0)
    return;
  take_offset(c, id);
  c->offset_room = (uint8_t)room;
  c->offset_number =
      room < ROOMS && c->views[room].knows ? c->views[room].heard : 0;
}

static inline bool cut_field(rill_str *line, const char *field) {
  if (!rill_str_starts(*line, field))
    return false;
  line->ptr += strlen(field);
  line->len -= strlen(field);
  return true;
}

/* One event of a stream, without the empty line behind it. */
static inline void read_block(client *c, const char *text, size_t len) {
  rill_str name = {0}, id = {0}, data = {0};
  rill__tape tape;

  while (len > 0) {
    const char *end = memchr(text, '\n', len);
    size_t n = end != NULL ? (size_t)(end - text) : len;
    rill_str line = {text, n};
    if (cut_field(&line, "event: "))
      name = line;
    else if (cut_field(&line, "id: "))
      id = line;
    else if (cut_field(&line, "data: "))
      data = line;
    n += end != NULL;
    text += n;
    len -= n;
  }
  if (name.len == 0 || data.len == 0)
    return;
  rill__tape_init(&tape, &rill__alloc_default);
  read_stream_event(c, name, id,
                    parse(&tape, false, (const uint8_t *)data.ptr, data.len));
  rill__tape_finish(&tape);
}

/* What is not a whole event yet stays. */
static inline void read_stream(void *arg, const uint8_t *data, size_t len) {
  client *c = arg;
  buf *b = &c->stream;
  char *end;

  buf_add(b, data, len);
  while ((end = strstr((char *)b->data, "\n\n")) != NULL) {
    size_t n = (size_t)(end - (char *)b->data);
    read_block(c, (char *)b->data, n);
    memmove(b->data, b->data + n + 2, b->len - n - 2);
    b->len -= n + 2;
    b->data[b->len] = 0;
  }
}

#endif
