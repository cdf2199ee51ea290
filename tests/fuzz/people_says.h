/*
 * people_says.h - what clients of fuzz_people.c say: requests, envelopes and
 * packets with bytes of the program inside, and the truth about what they
 * have heard, unless the program wants otherwise.
 */
#ifndef PEOPLE_SAYS_H
#define PEOPLE_SAYS_H

#include "people_loop.h"

static inline void put_number(buf *out, uint64_t n) {
  char text[24];

  snprintf(text, sizeof text, "%llu", (unsigned long long)n);
  buf_text(out, text);
}

/* |text| as JSON, whatever it is. */
static inline void put_string(buf *out, const char *text, size_t len) {
  buf_text(out, "\"");
  for (size_t i = 0; i < len; i++) {
    uint8_t c = (uint8_t)text[i];
    char escaped[8];
    if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
      buf_add(out, &c, 1);
    } else {
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      buf_text(out, escaped);
    }
  }
  buf_text(out, "\"");
}

static inline void put_name(buf *out, const char *key, const char *name) {
  buf_text(out, key);
  put_string(out, name, strlen(name));
}

static inline void put_room(buf *out, unsigned room) {
  put_name(out, "{\"room\":", room_names[room]);
}

static inline void put_sid(buf *out, const char *id) {
  put_string(out, id, id[0] != '\0' ? RILL__SID : 0);
}

/* A byte of the program for what no fuzzer guesses; 0x10 + what. */
static inline void put_known(const client *c, uint8_t what, uint8_t k,
                             buf *out) {
  const view *v = &c->views[k % ROOMS];

  if (what == 0x10)
    buf_text(out, room_names[k % ROOMS]);
  else if (what == 0x11)
    put_number(out, v->has + k / ROOMS);
  else if (what == 0x12)
    buf_add(out, v->epoch, v->epoch_len);
  else if (what == 0x13)
    buf_text(out, user_names[k % USERS]);
  else if (what == 0x14)
    put_sid(out, c->secret);
  else
    buf_add(out, c->offset, c->offset_len);
}

/* The next |len| bytes of the program, with what they stand for. */
static inline void put_raw(const client *c, input *in, size_t len, buf *out) {
  for (; len > 0 && in->left > 0; len--) {
    uint8_t b = take(in);
    if (b >= 0x10 && b <= 0x15)
      put_known(c, b, take(in), out);
    else
      buf_add(out, &b, 1);
  }
}

/* A value: the program's as it is, or as a string. */
static inline void put_text(const client *c, input *in, buf *out) {
  uint8_t how = take(in);
  buf text = {NULL, 0, 0};

  put_raw(c, in, how & 63, &text);
  if ((how & 128) != 0)
    buf_add(out, text.data, text.len);
  else
    put_string(out, (const char *)text.data, text.len);
  buf_clear(&text);
}

/* Some of the users, by the bits of |which|; the last one is nobody's name. */
static inline void put_users(buf *out, uint8_t which) {
  bool any = false;

  buf_text(out, "{\"users\":[");
  for (unsigned i = 1; i <= USERS; i++) {
    if ((which >> (i - 1) & 1) == 0)
      continue;
    put_name(out, any ? "," : "", i < USERS ? user_names[i] : "\n");
    any = true;
  }
  buf_text(out, "]}");
}

static inline void put_frame(uint8_t first, const buf *body, buf *out) {
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  uint8_t head[4] = {first, 0};

  head[1] = (uint8_t)(0x80 | (body->len < 126 ? body->len : 126));
  head[2] = (uint8_t)(body->len >> 8);
  head[3] = (uint8_t)body->len;
  buf_add(out, head, body->len < 126 ? 2 : 4);
  buf_add(out, mask, 4);
  for (size_t i = 0; i < body->len; i++) {
    uint8_t b = body->data[i] ^ mask[i & 3];
    buf_add(out, &b, 1);
  }
}

/* |text| as MessagePack; what is no JSON goes as it is. */
static inline void pack(buf *text) {
  static const rill__value_limits none = {RILL__VALUE_DEPTH, UINT32_MAX,
                                          UINT32_MAX};
  rill__tape tape;
  rill__bytes out;

  rill__tape_init(&tape, &rill__alloc_default);
  rill__bytes_init(&out, &rill__alloc_default);
  if (rill__json_read(&tape, (rill_str){(char *)text->data, text->len},
                      &none) == 0) {
    rill__msgpack_write(&out, tape.v);
    text->len = 0;
    buf_add(text, out.data, out.len);
  }
  rill__bytes_finish(&out);
  rill__tape_finish(&tape);
}

/* Sends |text|, which is freed. */
static inline void say(client *c, buf *text) {
  buf frame = {NULL, 0, 0};
  uint8_t first = c->dialect == PACKED ? 0x82 : 0x81;

  if (c->dialect == PACKED)
    pack(text);
  put_frame(first, text, &frame);
  if (c->dialect != SSE && c->dialect != POST)
    feed(c->s, c, frame.data, frame.len);
  buf_clear(&frame);
  buf_clear(text);
}

/* A number under which |a| is answered; the caller says |a|. */
static inline uint64_t ask(client *c, asked a) {
  a.id = ++c->next_id;
  if (c->nasked == ASKED)
    c->wild = true; /* more than it remembers */
  else
    c->asked[c->nasked++] = a;
  return a.id;
}

/* An event with |args|, which are freed; |id| 0: without an answer. */
static inline void say_event(client *c, const char *name, uint64_t id,
                             buf *args) {
  buf out = {NULL, 0, 0};

  if (c->dialect == SIO) {
    buf_text(&out, "42");
    if (c->space > 0) {
      buf_text(&out, space_names[c->space]);
      buf_text(&out, ",");
    }
    if (id > 0)
      put_number(&out, id);
    put_name(&out, "[", name);
    buf_text(&out, args->len > 0 ? "," : "");
  } else {
    put_name(&out, "{\"event\":", name);
    buf_text(&out, ",\"args\":[");
  }
  buf_add(&out, args->data, args->len);
  buf_text(&out, "]");
  if (c->dialect != SIO && id > 0) {
    buf_text(&out, ",\"id\":");
    put_number(&out, id);
  }
  buf_text(&out, c->dialect == SIO ? "" : "}");
  buf_clear(args);
  say(c, &out);
}

/* Into |room|; with |since| a number that it has, or says that it has. */
static inline void say_join(client *c, unsigned room, bool by_event,
                            const uint64_t *since) {
  view *v = &c->views[room];
  buf out = {NULL, 0, 0};
  uint64_t id = ask(c, (asked){.what = ASK_JOIN,
                               .room = (uint8_t)room,
                               .must = room != ALLOWED_LATER});

  by_event |= c->dialect == SIO;
  v->lax |= v->state != OUT ||
            (since != NULL && c->dialect == SIO && !is_durable(room));
  c->again |= v->lax;
  v->state = JOINING;
  v->any = v->knows = v->skips = false;
  v->returns = since != NULL;
  v->since = since != NULL ? *since : 0;
  put_name(&out, by_event ? "{\"room\":" : "{\"join\":", room_names[room]);
  if (since != NULL) {
    buf_text(&out, ",\"since\":");
    put_number(&out, *since);
  }
  if (since != NULL && v->epoch_len > 0) {
    buf_text(&out, ",\"epoch\":");
    put_string(&out, v->epoch, v->epoch_len);
  }
  if (!by_event) {
    buf_text(&out, ",\"id\":");
    put_number(&out, id);
  }
  buf_text(&out, "}");
  if (by_event)
    say_event(c, "room:join", id, &out);
  else
    say(c, &out);
}

static inline void say_leave(client *c, unsigned room) {
  view *v = &c->views[room];
  buf out = {NULL, 0, 0};
  bool by_event = c->dialect == SIO;
  uint64_t id =
      ask(c, (asked){.what = ASK_LEAVE, .room = (uint8_t)room, .must = true});

  v->lax |= v->state != IN && v->state != OUT;
  v->state = LEAVING;
  put_name(&out, by_event ? "{\"room\":" : "{\"leave\":", room_names[room]);
  if (!by_event) {
    buf_text(&out, ",\"id\":");
    put_number(&out, id);
  }
  buf_text(&out, "}");
  if (by_event)
    say_event(c, "room:leave", id, &out);
  else
    say(c, &out);
}

/* What the host publishes, in a room and in a way that the program says. */
static inline void put_say(const client *c, input *in, unsigned room,
                           unsigned how, unsigned serial, buf *out) {
  put_name(out, "", room_names[room]);
  buf_text(out, ",");
  put_number(out, how);
  buf_text(out, ",");
  put_number(out, serial);
  buf_text(out, ",");
  put_text(c, in, out);
}

static inline void say_something(client *c, input *in) {
  uint8_t which = take(in), how = take(in);
  unsigned room = which % ROOMS, serial = next_serial(c->s);
  uint64_t id = 0;
  buf args = {NULL, 0, 0};

  if ((which & 8) == 0)
    id = ask(c, (asked){.what = ASK_SAY,
                        .room = (uint8_t)room,
                        .since = serial,
                        .before = how & SAY_NAMED,
                        .must = true});
  put_say(c, in, room, how, serial, &args);
  say_event(c, "say", id, &args);
}

enum {
  SAY_BEAT,
  SAY_SHOW,
  SAY_LIST,
  SAY_WATCH,
  SAY_UNWATCH,
  SAY_TYPING,
  SAY_QUIET,
  SAY_CHAT,
  SAY_CLEAR,
  SAY_CLEAR_TO,
  SAY_COUNT,
  SAY_READ,
  SAY_UNREAD,
  SAY_WHO_READ,
  SAY_HISTORY,
  SAY_NONSENSE
};

static const char *const said_names[] = {
    "presence:heartbeat", "presence:update",
    "presence:list",      "presence:watch",
    "presence:unwatch",   "typing:start",
    "typing:stop",        "chat:typing",
    "notification:ack",   "notification:ack",
    "notification:count", "receipt:read",
    "receipt:get",        "receipt:get",
    "room:history",       "nonsense"};

static inline void put_field(buf *out, const char *key, uint64_t n) {
  buf_text(out, key);
  put_number(out, n);
}

static inline void put_show(const client *c, input *in, uint8_t k, buf *out) {
  bool text = (k & 1) != 0;

  buf_text(out, "{");
  if (text)
    put_name(out, "\"status\":",
             k / 8 < 4 ? rill_status_text((rill_status)(k / 8)) : "gone");
  if ((k & 2) != 0) {
    buf_text(out, text ? ",\"state\":" : "\"state\":");
    put_text(c, in, out);
  } else if ((k & 4) != 0) {
    buf_text(out, text ? ",\"state\":null" : "\"state\":null");
  }
  buf_text(out, "}");
}

static inline void put_history(uint8_t k, uint8_t n, buf *out, asked *a) {
  put_room(out, a->room);
  if ((k & 8) != 0) {
    a->before = n / 8 > 0 ? n / 8 : UINT64_MAX / 1024;
    put_field(out, ",\"before\":", a->before);
  } else if ((k & 16) != 0) {
    a->since = n / 8;
    put_field(out, ",\"since\":", a->since);
  }
  if ((k & 32) != 0)
    put_field(out, ",\"limit\":", n % 8);
  buf_text(out, "}");
  a->what = ASK_HISTORY;
}

/* An id that it was told, or one of the host's names. */
static inline void put_clear(const client *c, uint8_t k, buf *out, asked *a) {
  char id[8];

  snprintf(id, sizeof id, "n%d", k % 8);
  put_name(out, "{\"id\":", id);
  buf_text(out, "}");
  a->what = ASK_CLEAR;
  a->since = id_hash(rill_s(id));
  (void)c;
}

/* The one argument of event |what|; says in |a| what to make of an answer. */
static inline void put_arg(client *c, input *in, unsigned what, buf *out,
                           asked *a) {
  uint8_t k = take(in);

  a->room = k % ROOMS;
  if (what == SAY_SHOW) {
    put_show(c, in, k, out);
  } else if (what == SAY_LIST) {
    put_room(out, a->room);
    if ((k & 8) != 0)
      out->len = 1; /* of the namespace */
    put_field(out, out->len > 1 ? ",\"after\":" : "\"after\":", k / 32u);
    buf_text(out, (k & 16) != 0 ? ",\"view\":\"peers\"}" : "}");
  } else if (what == SAY_WATCH || what == SAY_UNWATCH) {
    put_users(out, k);
    a->what = what == SAY_WATCH ? ASK_WATCH : PLAIN_ASK;
    a->since = (uint8_t)(k << 1);
    if (what == SAY_UNWATCH)
      c->follows &= (uint8_t) ~(k << 1);
  } else if (what == SAY_TYPING || what == SAY_QUIET) {
    put_room(out, a->room);
    buf_text(out, "}");
  } else if (what == SAY_CHAT) {
    put_name(out, "{\"roomId\":", room_names[a->room]);
    buf_text(out, (k & 8) != 0 ? ",\"isTyping\":true}" : "}");
  } else if (what == SAY_CLEAR) {
    put_clear(c, k, out, a);
  } else if (what == SAY_CLEAR_TO) {
    put_field(out, "{\"upTo\":", k);
    buf_text(out, "}");
    a->what = ASK_CLEAR_TO;
    a->since = k;
    c->lost_count |= k > newest_notice(c); /* more than it can know of */
  } else if (what == SAY_READ) {
    put_room(out, a->room);
    put_field(out, ",\"offset\":", k / 16 < 15 ? k / 16u : UINT64_MAX / 2048);
    buf_text(out, (k & 8) != 0 ? ",\"private\":true}" : "}");
  } else if (what == SAY_UNREAD) {
    put_room(out, a->room);
    buf_text(out, "}");
  } else if (what == SAY_WHO_READ) {
    put_users(out, take(in));
    out->len--;
    put_name(out, ",\"room\":", room_names[a->room]);
    buf_text(out, "}");
  } else if (what == SAY_HISTORY) {
    put_history(k, take(in), out, a);
  } else {
    buf_text(out, "{}");
  }
}

/* There may be too many starts; Socket.IO leaves unknown events unanswered. */
static inline bool is_answered(const client *c, unsigned what) {
  return what != SAY_TYPING && what != SAY_CHAT &&
         (what != SAY_NONSENSE || c->dialect != SIO);
}

/* One of the events that the library serves. */
static inline void say_of_people(client *c, input *in) {
  uint8_t which = take(in);
  unsigned what = which % 16;
  asked a = {.what = PLAIN_ASK, .must = is_answered(c, what)};
  buf args = {NULL, 0, 0};

  if ((which & 16) != 0) { /* as the program says */
    put_text(c, in, &args);
    c->lost_count |= what == SAY_CLEAR || what == SAY_CLEAR_TO;
    c->follows = what == SAY_UNWATCH ? 0 : c->follows;
  } else {
    put_arg(c, in, what, &args, &a);
  }
  if (what == SAY_CLEAR || what == SAY_CLEAR_TO)
    which &= (uint8_t)~32; /* or it would not know when */
  say_event(c, said_names[what], (which & 32) == 0 ? ask(c, a) : 0, &args);
}

/* A message of the program's, or a packet, whatever it is. */
static inline void say_anything(client *c, input *in) {
  buf out = {NULL, 0, 0};

  c->wild = c->again = c->lost_count = true;
  c->follows = 0;
  put_raw(c, in, take(in), &out);
  say(c, &out);
}

static inline void put_auth(const client *c, bool back, buf *out) {
  put_name(out, "{\"token\":", user_names[c->user]);
  if (c->dialect != SIO)
    buf_text(out, "}");
  if (back && c->secret[0] != '\0') {
    buf_text(out, c->dialect == SIO ? ",\"pid\":" : ",\"resume\":");
    put_sid(out, c->secret);
    if (c->offset_len > 0) {
      buf_text(out, ",\"offset\":");
      put_string(out, c->offset, c->offset_len);
    }
  }
  if (c->dialect == SIO)
    buf_text(out, "}");
}

/* The first message, which says who it is. */
static inline void say_open(client *c, bool back) {
  buf out = {NULL, 0, 0};

  if (c->dialect == SIO) {
    buf_text(&out, "40");
    if (c->space > 0) {
      buf_text(&out, space_names[c->space]);
      buf_text(&out, ",");
    }
    put_auth(c, back, &out);
  } else {
    buf_text(&out, "{\"open\":");
    put_auth(c, back, &out);
    buf_text(&out, "}");
  }
  say(c, &out);
}

/* The rooms of a stream, and where it has been. */
static inline void put_stream(client *c, bool back, buf *out) {
  unsigned room = stream_room(c);
  view *v = room < ROOMS ? &c->views[room] : NULL;

  for (unsigned i = 0; i < ROOMS; i++) {
    if ((c->rooms >> i & 1) == 0)
      continue;
    buf_text(out, "&room=");
    buf_text(out, room_names[i]);
    c->views[i].state = IN;
  }
  buf_text(out, " HTTP/1.1\r\nHost: a\r\n");
  if (!back || c->offset_len == 0)
    return;
  buf_text(out, "Last-Event-ID: ");
  buf_add(out, c->offset, c->offset_len);
  buf_text(out, "\r\n");
  if (v != NULL && c->offset_room == room && is_durable(room))
    v->since = c->offset_number;
}

static inline void put_request(client *c, bool back, buf *out) {
  static const char *const targets[] = {
      "GET /json?a=",
      "GET /json?protocol=msgpack&a=",
      "GET /sio/?EIO=4&transport=websocket&a=",
      "GET /sse?token=",
      "GET /raw?token=",
      "POST /sse?token="};

  buf_text(out, targets[c->dialect]);
  buf_text(out, user_names[c->user]);
  if (c->dialect == SSE)
    put_stream(c, back, out);
  else
    buf_text(out, " HTTP/1.1\r\nHost: a\r\n");
  if (c->dialect != SSE)
    buf_text(out, "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
  if (c->dialect == PACKED)
    buf_text(out, "Sec-WebSocket-Protocol: rill.msgpack.v1\r\n");
  buf_text(out, "\r\n");
}

/* A new connection, of another sort perhaps. */
static inline void come(client *c, input *in) {
  uint8_t how = take(in), who = take(in);
  bool back = (how & 8) != 0;
  dialect sort = (dialect)(how % 8 % 6);
  uint8_t space = how / 64 % SPACES, rooms = sort == SSE ? take(in) : 0;
  buf out = {NULL, 0, 0};

  end_stream(c->s, c, 0);
  turn(c->s);
  if (c->conn != NULL)
    return;
  c->dialect = sort;
  c->rooms = rooms;
  meet(c, (uint8_t)(who % USERS), c->dialect == SIO ? space : 0);
  if (!accept_stream(c->s, c) || c->dialect == POST)
    return;
  put_request(c, back, &out);
  feed(c->s, c, out.data, out.len);
  buf_clear(&out);
  if (c->dialect != SSE && c->dialect != RAW)
    say_open(c, back);
}

/* What a page says by fetch, as the stream of |from| or as nobody's. */
static inline void post(client *c, const client *from, input *in) {
  static const char *const events[] = {"say", "room:history", "room:join",
                                       "receipt:get"};
  uint8_t which = take(in), how = take(in);
  buf out = {NULL, 0, 0}, body = {NULL, 0, 0};

  put_name(&body, "{\"event\":", events[which / 16 % 4]);
  buf_text(&body, ",\"args\":[");
  if (which / 16 % 4 == 0) {
    put_say(c, in, which % ROOMS, how, next_serial(c->s), &body);
  } else {
    put_room(&body, which % ROOMS);
    buf_text(&body, "}");
  }
  buf_text(&body, "]");
  if ((which & 8) != 0) {
    buf_text(&body, ",\"session\":");
    put_sid(&body, from->secret);
  }
  buf_text(&body, "}");
  buf_text(&out, "POST /sse?token=");
  buf_text(&out, user_names[c->user]);
  buf_text(&out, " HTTP/1.1\r\nHost: a\r\nContent-Length: ");
  put_number(&out, body.len);
  buf_text(&out, "\r\n\r\n");
  buf_add(&out, body.data, body.len);
  c->posted++;
  feed(c->s, c, out.data, out.len);
  buf_clear(&out);
  buf_clear(&body);
}

#endif
