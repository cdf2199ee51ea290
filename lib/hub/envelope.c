/*
 * envelope.c - the dialect RILL_JSON: each message is one object, as JSON in
 * text or as MessagePack in binary.  man/rill-protocol.7 is its manual.
 */
#include "hub/ask.h"
#include "hub/conn.h"
#include "hub/emit.h"
#include "hub/event.h"
#include "hub/join.h"
#include "hub/session.h"

static bool packed(const rill_conn *c) {
  return rill__format_of(c->variant) == RILL__AS_MSGPACK;
}

bool rill__envelope_speaks(const rill__peer *p) {
  unsigned format = rill__format_of(p->variant);
  return format == RILL__AS_JSON || format == RILL__AS_MSGPACK;
}

/* Sends the object that is written in |out|, past the limits. */
static void send_written(rill_conn *c, rill__bytes *out) {
  uint8_t opcode = packed(c) ? RILL__WS_BINARY : RILL__WS_TEXT;

  rill__fanout_close(c->hub, &c->hub->fanout); /* that was emitted before */
  if (c->state == RILL__OPEN && out->failed)
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
  else if (c->state == RILL__OPEN)
    rill__conn_ws_frame(c, (uint8_t)(RILL__WS_FIN | opcode), out->data,
                        out->len);
  rill__bytes_finish(out);
}

static void send_object(rill_conn *c, rill_builder *b) {
  rill_value object = rill_value_at(rill_builder_value(b), 0);
  rill__bytes out;

  rill__bytes_init(&out, &c->hub->alloc);
  if (object.node == NULL)
    out.failed = true;
  else if (packed(c))
    rill__msgpack_write(&out, object.node);
  else
    rill__json_write(&out, object.node, NULL);
  send_written(c, &out);
}

/*
 * Sends {"ack":|id|,|key|:|n|}, or without the ack.  Not by a builder: |n|
 * may be nested as deep as that allows already.
 */
static void send_node(rill_conn *c, bool acks, uint64_t id, const char *key,
                      const rill__node *n) {
  rill__bytes out;

  rill__bytes_init(&out, &c->hub->alloc);
  if (packed(c)) {
    rill__msgpack_write_map(&out, 1u + acks);
    if (acks) {
      rill__msgpack_write_str(&out, rill_s("ack"));
      rill__msgpack_write_int(&out, (int64_t)id);
    }
    rill__msgpack_write_str(&out, rill_s(key));
    rill__msgpack_write(&out, n);
  } else {
    rill__bytes_str(&out, acks ? "{\"ack\":" : "{");
    if (acks)
      rill__bytes_u64(&out, id);
    rill__bytes_str(&out, acks ? ",\"" : "\"");
    rill__bytes_str(&out, key);
    rill__bytes_str(&out, "\":");
    rill__json_write(&out, n, NULL);
    rill__bytes_str(&out, "}");
  }
  send_written(c, &out);
}

static void begin(rill_hub *hub, rill_builder *b) {
  rill__builder_init(b, &hub->alloc);
  rill_put_object(b);
}

static void end(rill_conn *c, rill_builder *b) {
  rill_put_end(b);
  send_object(c, b);
  rill__builder_finish(b);
}

static void put_id(rill_builder *b, const char *key, bool wants, uint64_t id) {
  if (!wants)
    return;
  rill_put_key(b, key);
  rill_put_uint(b, id);
}

static void put_error(rill_builder *b, const char *code, const char *message,
                      const rill__node *data) {
  rill_put_key(b, "error");
  rill_put_object(b);
  rill_set_text(b, "code", code);
  rill_set_text(b, "message", message);
  if (data != NULL)
    rill_set_value(b, "data", (rill_value){data});
  rill_put_end(b);
}

/* An error that answers |id|, or just happened. */
static void tell_error(rill_conn *c, bool wants, uint64_t id, const char *code,
                       const char *message) {
  rill_builder b;

  begin(c->hub, &b);
  put_error(&b, code, message, NULL);
  put_id(&b, "id", wants, id);
  end(c, &b);
}

void rill__envelope_fail(rill__peer *p, bool wants, uint64_t id,
                         const char *code, const char *message) {
  rill_builder b;

  if (!p->open || p->conn == NULL)
    return;
  begin(p->hub, &b);
  put_id(&b, "ack", wants, id);
  put_error(&b, code, message, NULL);
  end(p->conn, &b);
}

void rill__envelope_connected(rill__peer *p, bool recovered) {
  const rill__voice *v = p->voice;
  rill_builder b;

  begin(p->hub, &b);
  rill_set_str(&b, "open", (rill_str){v->sid, RILL__SID});
  if (v->secretive)
    rill_set_str(&b, "session", (rill_str){v->secret, RILL__SID});
  rill_set_bool(&b, "recovered", recovered);
  end(p->conn, &b);
}

static const char *code_of(int status) {
  switch (status) {
  case 401:
    return "unauthorized";
  case 403:
    return "forbidden";
  case 429:
    return "too-many";
  case 503:
    return "unavailable";
  default:
    return "refused";
  }
}

/* Close codes below 4500 tell a client to come back. */
static unsigned close_of(int status) {
  return status == 429 || status >= 500
             ? RILL_CLOSE_AGAIN
             : 4000u + 500u + (unsigned)status - 400u;
}

void rill__envelope_refuse(rill__session *s, int status, const char *reason,
                           const rill__node *data) {
  rill_builder b;
  rill_str text = rill_s(reason);
  rill_conn *c = s->conn; /* without memory the session goes here */

  begin(s->hub, &b);
  put_error(&b, code_of(status), reason, data);
  end(c, &b);
  if (text.len > 123)
    text = rill_s(code_of(status));
  rill__conn_ws_close(c, RILL_CAUSE_REFUSED, close_of(status), text);
}

int rill__envelope_answer(rill__peer *p, uint64_t id, const rill__node *args) {
  bool busy;

  send_node(p->conn, true, id, "args", args);
  busy = p->conn != NULL && rill__conn_is(p->conn, RILL__SOFT);
  return p->conn == NULL ? RILL_ERR_CLOSED : busy ? RILL_BUSY : 0;
}

void rill__put_joined(rill_builder *b, rill_str room,
                      const rill__caught_up *c) {
  rill_set_str(b, "joined", room);
  if (c->known) {
    rill_put_key(b, "at");
    rill_put_uint(b, c->last);
  }
  if (c->epoch_len > 0)
    rill_set_str(b, "epoch", (rill_str){c->epoch, c->epoch_len});
  if (!c->returns)
    return;
  rill_set_bool(b, "recovered", c->gap_from == 0 && !c->stale);
  if (c->gap_from == 0)
    return;
  rill_put_key(b, "gap");
  rill_put_array(b);
  rill_put_uint(b, c->gap_from);
  rill_put_uint(b, c->gap_to);
  rill_put_end(b);
}

void rill__envelope_joined(rill__peer *p, rill_str room, int status,
                           const rill__join_how *how,
                           const rill__caught_up *caught_up) {
  rill_builder b;

  if (status != 0) {
    tell_error(p->conn, how->wants, how->id,
               rill__join_code(status, caught_up), rill_strerror(status));
    return;
  }
  begin(p->hub, &b);
  rill__put_joined(&b, room, caught_up);
  put_id(&b, "id", how->wants, how->id);
  end(p->conn, &b);
}

static void left(rill__peer *p, rill_str room, bool wants, uint64_t id) {
  rill_conn *c = p->conn; /* leaving may be the end of a slow one */
  rill_builder b;
  int rv = rill_leave(rill__peer_handle(p), room);

  if (rv != 0) {
    tell_error(c, wants, id, "leave", rill_strerror(rv));
    return;
  }
  begin(p->hub, &b);
  rill_set_str(&b, "left", room);
  put_id(&b, "id", wants, id);
  end(c, &b);
}

/* What a client may ask to be told the answer of. */
static bool read_id(rill_value m, const char *key, uint64_t *id) {
  rill_value v = rill_value_get(m, key);
  *id = rill_value_uint(v, RILL__SIO_ID_MAX + 1);
  return rill_value_type(v) != RILL_ABSENT && *id <= RILL__SIO_ID_MAX;
}

static int on_open(rill__session *s, rill_value m) {
  rill_hub *hub = s->hub;
  rill_value auth = rill_value_get(m, "open");
  rill__connect how = {.secret = rill_get_str(m, "resume"),
                       .offset = rill_get_str(m, "offset")};

  s->opening = true;
  return rill__connect_ask(s, hub->spaces, (uint32_t)(auth.node - hub->tape.v),
                           &how);
}

static int on_event(rill__peer *p, rill_value m, bool wants, uint64_t id) {
  static const rill__node none = {.type = RILL_ARRAY, .u.nodes = 1};
  rill_str name = rill_get_str(m, "event");
  rill_value args = rill_value_get(m, "args");

  if (rill_value_type(args) == RILL_ABSENT)
    args.node = &none;
  if (rill__event_name_check(p->hub, name) != 0 ||
      rill_value_type(args) != RILL_ARRAY) {
    rill__envelope_fail(p, wants, id, "bad-event",
                        "\"event\" is a name, \"args\" an array");
    return 0;
  }
  return rill__event_handle(p, name, args.node, wants, id);
}

static int join(rill__peer *p, rill_value m, rill_str room, bool wants,
                uint64_t id) {
  rill__caught_up none = {0};
  rill__join_how how = {.wants = wants, .id = id};
  int rv;

  how.returns = read_id(m, "since", &how.since);
  rill__join_epoch(&how, rill_get_str(m, "epoch"));
  rv = rill__join_ask(p, room, &how);
  none.later = rv == RILL_ERR_LIMIT;
  if (rv != 0)
    rill__envelope_joined(p, room, rv, &how, &none);
  return 0;
}

static int on_message(rill__peer *p, rill_value m) {
  uint64_t id, number;
  bool wants = read_id(m, "id", &id);
  rill_value v;
  rill_str room;

  if (rill_value_type(rill_value_get(m, "event")) == RILL_STRING)
    return on_event(p, m, wants, id);
  if (read_id(m, "ack", &number)) {
    v = rill_value_get(m, "args");
    if (rill_value_type(v) == RILL_ARRAY)
      rill__ask_answer(p, number, v.node);
    return 0;
  }
  room = rill_get_str(m, "join");
  if (room.ptr != NULL)
    return join(p, m, room, wants, id);
  room = rill_get_str(m, "leave");
  if (room.ptr != NULL) {
    left(p, room, wants, id);
    return 0;
  }
  v = rill_value_get(m, "ping");
  if (rill_value_type(v) != RILL_ABSENT)
    send_node(p->conn, false, 0, "pong", v.node);
  else
    tell_error(p->conn, wants, id, "bad-message",
               "one of open, event, ack, join, leave, ping is expected");
  return 0;
}

static int bad(rill_conn *c, int rv) {
  if (rv == RILL_ERR_LIMIT)
    rill__hub_breach(c->hub, c->hub->tape.limit);
  if (rv == RILL_ERR_NOMEM)
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
  else
    rill__conn_ws_fail(c, RILL_CAUSE_PROTO, RILL_CLOSE_INVALID,
                       packed(c) ? "a MessagePack map is expected"
                                 : "a JSON object is expected");
  return rv;
}

int rill__envelope_input(rill__session *s, const rill_msg *msg) {
  rill_hub *hub = s->hub;
  rill_conn *c = s->conn;
  const rill_limits *l = &hub->config.limits;
  rill__value_limits limits = {l->value_depth, l->value_nodes, l->key_bytes};
  rill_str data = {msg->data, msg->len};
  rill_value m;
  int rv;

  if (packed(c) != (msg->kind == RILL_BINARY))
    return bad(c, RILL_ERR_PROTO);
  rill__tape_clear(&hub->tape);
  rv = packed(c) ? rill__msgpack_read(&hub->tape, data, &limits)
                 : rill__json_read(&hub->tape, data, &limits);
  if (rv == 0 && (hub->tape.v[0].type != RILL_OBJECT ||
                  (!packed(c) && !rill__value_unpack_bytes(&hub->tape, 0))))
    rv = RILL_ERR_PROTO;
  if (rv != 0)
    return bad(c, rv);
  m.node = hub->tape.v;
  if (!s->opening) {
    if (rill_value_type(rill_value_get(m, "open")) == RILL_OBJECT)
      return on_open(s, m);
    rill__conn_ws_fail(c, RILL_CAUSE_PROTO, RILL_CLOSE_POLICY,
                       "\"open\" comes first");
    return RILL_ERR_PROTO;
  }
  if (c->peer == NULL || !c->peer->open)
    return 0; /* refused: the close is on its way */
  return on_message(c->peer, m);
}
