/*
 * socketio.c - Socket.IO v5 in the hub: packets to peers and back.
 *
 * Each namespace that a client connects to is a peer of its own on the one
 * conn.  Which parser the client has shows in its first packet: text is
 * JSON, binary is MessagePack.
 */
#include "hub/ask.h"
#include "hub/conn.h"
#include "hub/event.h"
#include "hub/session.h"

static rill__value_limits limits_of(const rill_hub *hub) {
  const rill_limits *l = &hub->config.limits;
  return (rill__value_limits){l->value_depth, l->value_nodes, l->key_bytes};
}

static bool packed(const rill_conn *c) {
  unsigned format = rill__format_of(c->variant);
  return format == RILL__AS_SOCKETIO_MSGPACK ||
         format == RILL__AS_POLLED_SOCKETIO_MSGPACK;
}

static bool polled(const rill_conn *c) {
  return rill__conn_is(c, RILL__BOX);
}

/* A packet of this side's own, past the limits: 0 or RILL_ERR_NOMEM. */
static int write_packet(rill_conn *c, const rill__sio_out *packet) {
  rill__bytes out;
  rill__encoding e;
  bool ok;

  rill__bytes_init(&out, &c->hub->alloc);
  ok = rill__encode_packet(packet, rill__format_of(c->variant), &out, &e);
  if (ok && e.first != 0)
    ok = rill__conn_ws_frame(c, e.first, out.data + e.from, e.len);
  else if (ok)
    ok = rill__conn_write(c, out.data + e.from, e.len);
  rill__bytes_finish(&out);
  if (!ok)
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
  return ok ? 0 : RILL_ERR_NOMEM;
}

int rill__socketio_violation(rill__session *s, int rv) {
  rill_conn *c = s->conn;

  if (rv == RILL_ERR_LIMIT)
    rill__hub_breach(s->hub, s->hub->tape.limit);
  if (rv == RILL_ERR_NOMEM)
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
  else
    rill__conn_ws_fail(c, RILL_CAUSE_PROTO, RILL_CLOSE_PROTOCOL,
                       "forced close");
  return rv;
}

void rill__socketio_connected(rill__peer *p) {
  rill__node v[5] = {{.type = RILL_OBJECT, .len = 1, .u.nodes = 3},
                     {.type = RILL_STRING, .len = 3, .u.ptr = "sid"},
                     {.type = RILL_STRING, .len = RILL__SID},
                     {.type = RILL_STRING, .len = 3, .u.ptr = "pid"},
                     {.type = RILL_STRING, .len = RILL__SID}};
  rill__sio_out packet = {.type = RILL__SIO_CONNECT,
                          .space = rill__space_name(p->voice->space),
                          .args = v};

  v[2].u.ptr = p->voice->sid;
  v[4].u.ptr = p->voice->secret;
  if (p->voice->secretive) {
    v[0].len = 2;
    v[0].u.nodes = 5;
  }
  write_packet(p->conn, &packet);
}

void rill__socketio_refuse(rill__session *s, rill_str space, const char *reason,
                           const rill__node *data) {
  rill_builder b;
  rill_value whole;
  rill__sio_out packet = {.type = RILL__SIO_CONNECT_ERROR, .space = space};

  if (s->conn->state != RILL__OPEN)
    return;
  rill__builder_init(&b, &s->hub->alloc);
  rill_put_object(&b);
  rill_set_text(&b, "message", reason);
  if (data != NULL)
    rill_set_value(&b, "data", (rill_value){data});
  rill_put_end(&b);
  whole = rill_value_at(rill_builder_value(&b), 0);
  packet.args = whole.node;
  if (whole.node == NULL)
    rill__conn_ws_cut(s->conn, RILL_CAUSE_NOMEM, "out of memory");
  else
    write_packet(s->conn, &packet);
  rill__builder_finish(&b);
}

int rill__socketio_answer(rill__peer *p, uint64_t id, const rill__node *args) {
  rill__item item = {.space = rill__space_name(p->voice->space),
                     .args = args,
                     .ask = id,
                     .answers = true};

  return rill__conn_send_item(p->conn, &item, RILL_OVERFLOW_DEFAULT);
}

void rill__socketio_disconnect(rill__peer *p, rill_cause cause) {
  rill__sio_out packet = {.type = RILL__SIO_DISCONNECT,
                          .space = rill__space_name(p->voice->space)};

  rill__fanout_close(p->hub, &p->hub->fanout);
  if (!p->open || write_packet(p->conn, &packet) != 0)
    return;
  rill__session_parted(p->voice->session, p->voice->space);
  rill__peer_part(p, cause, rill_s("server namespace disconnect"));
}

static rill_str member(const rill_hub *hub, uint32_t at, const char *key) {
  if (at == UINT32_MAX)
    return (rill_str){0};
  return rill_get_str((rill_value){hub->tape.v + at}, key);
}

/* A namespace is asked for. */
static int on_connect(rill__session *s, const rill__sio_packet *packet) {
  rill_hub *hub = s->hub;
  rill__space *space;
  rill__connect how = {0};
  uint32_t n = 0;
  int rv;

  for (rill_request *r = s->connects; r != NULL; r = r->next) {
    if (rill_str_eq(rill__space_name(r->space), packet->space))
      return rill__socketio_violation(s, RILL_ERR_PROTO);
    n++;
  }
  for (rill__peer *p = s->conn->peer; p != NULL; p = rill__peer_sibling(p))
    n++;
  if (n >= hub->config.limits.spaces_per_session) {
    hub->metrics.limit_spaces_per_session++;
    rill__socketio_refuse(s, packet->space, "too many namespaces", NULL);
    return 0;
  }
  space = rill__space_open(hub, packet->space, &rv);
  if (space == NULL) {
    rill__socketio_refuse(s, packet->space,
                          rv == 0 ? "Invalid namespace" : rill_strerror(rv),
                          NULL);
    return 0;
  }
  if (rill__session_peer(s, space) != NULL)
    return rill__socketio_violation(s, RILL_ERR_PROTO);
  how.secret = member(hub, packet->data, "pid");
  how.offset = member(hub, packet->data, "offset");
  return rill__connect_ask(s, space, packet->data, &how);
}

static int on_packet(rill__session *s, const rill__sio_packet *packet) {
  rill__peer *p;
  rill__space *space;

  if (packet->type == RILL__SIO_CONNECT)
    return on_connect(s, packet);
  space = rill__space_find(s->hub, packet->space);
  p = space != NULL ? rill__session_peer(s, space) : NULL;
  if (p == NULL || !p->open) {
    /* one that this side has disconnected may still be speaking */
    if (rill__session_has_parted(s, packet->space))
      return 0;
    return rill__socketio_violation(s, RILL_ERR_PROTO);
  }
  switch (packet->type) {
  case RILL__SIO_EVENT:
    return rill__event_deliver(p, packet->data, packet->has_id, packet->id);
  case RILL__SIO_ACK:
    if (packet->has_id)
      rill__ask_answer(p, packet->id, s->hub->tape.v + packet->data);
    return 0;
  case RILL__SIO_DISCONNECT:
    rill__peer_part(p, RILL_CAUSE_PEER, rill_s("client namespace disconnect"));
    return 0;
  case RILL__SIO_CONNECT:
  case RILL__SIO_CONNECT_ERROR:
    break;
  }
  return rill__socketio_violation(s, RILL_ERR_PROTO);
}

static rill__session *largest(const rill_hub *hub) {
  rill__session *most = NULL;

  for (rill__session *s = hub->sessions; s != NULL; s = s->hh.next)
    if (s->parts != NULL && s->conn->state == RILL__OPEN &&
        (most == NULL || s->parts->data.len > most->parts->data.len))
      most = s;
  return most;
}

/* As with messages in frames: the largest is shed. */
static void shed(rill__session *s) {
  rill__parts *p = s->parts;

  s->hub->metrics.limit_assembly_bytes++;
  s->parts = NULL;
  s->parts_by = RILL_NEVER;
  rill__parts_free(s->hub, p);
  rill__conn_ws_fail(s->conn, RILL_CAUSE_OVERLOAD, RILL_CLOSE_OVERLOAD,
                     "short of memory for messages");
}

/* Is there room for |extra| bytes more of |s|? Else it has been shed. */
static bool make_room(rill__session *s, size_t extra) {
  rill_hub *hub = s->hub;
  rill_conn *c = s->conn; /* to shed another may be the end of |s| */
  size_t limit = hub->config.limits.assembly_bytes;
  size_t size = s->parts->data.len + extra;

  while (limit != RILL_UNLIMITED && c->state == RILL__OPEN &&
         hub->ws.assembly_bytes + hub->parts_bytes + extra > limit) {
    rill__session *most = largest(hub);
    if (most != NULL && most->parts->data.len > size)
      shed(most);
    else
      shed(s);
  }
  return c->state == RILL__OPEN;
}

/* Adds |msg| to |s|->parts: 0, or the conn ends. */
static int keep_part(rill__session *s, const rill_msg *msg) {
  rill__parts *p = s->parts;
  size_t before = p->data.len;

  if (!make_room(s, msg->len))
    return RILL_ERR_CLOSED;
  rill__bytes_add(&p->data, msg->data, msg->len);
  s->hub->parts_bytes += p->data.len - before;
  return p->data.failed ? rill__socketio_violation(s, RILL_ERR_NOMEM) : 0;
}

/* Keeps the text of a packet until its attachments are there. */
static int begin_parts(rill__session *s, uint32_t want, const rill_msg *msg) {
  rill_hub *hub = s->hub;
  rill__parts *p =
      rill__calloc(&hub->alloc, sizeof *p + want * sizeof p->ends[0]);

  if (p == NULL)
    return rill__socketio_violation(s, RILL_ERR_NOMEM);
  rill__bytes_init(&p->data, &hub->alloc);
  p->want = want;
  p->text_len = (uint32_t)msg->len;
  s->parts = p;
  s->parts_by = rill__after(hub->now, hub->config.limits.message_ms);
  rill__conn_arm(s->conn);
  return keep_part(s, msg);
}

static int complete(rill__session *s, rill__parts *p) {
  rill_hub *hub = s->hub;
  rill__value_limits limits = limits_of(hub);
  rill__sio_packet packet;
  rill_str v[255];
  uint32_t at = p->text_len;
  int rv;

  for (uint32_t i = 0; i < p->n; i++) {
    v[i] = (rill_str){(const char *)p->data.data + at, p->ends[i] - at};
    at = p->ends[i];
  }
  rill__tape_clear(&hub->tape);
  rv = rill__sio_read(&packet, &hub->tape,
                      (rill_str){(const char *)p->data.data, p->text_len},
                      &limits, hub->config.limits.attachments);
  if (rv == 0)
    rv = rill__sio_attach(&packet, &hub->tape, v, p->n);
  return rv == 0 ? on_packet(s, &packet) : rill__socketio_violation(s, rv);
}

static int add_part(rill__session *s, const rill_msg *msg) {
  rill__parts *p = s->parts;
  const rill_limits *l = &s->hub->config.limits;
  rill_hub *hub = s->hub;
  int rv;

  if (p->data.len + msg->len > l->payload_bytes) {
    s->hub->metrics.limit_payload_bytes++;
    rill__conn_ws_fail(s->conn, RILL_CAUSE_TOO_BIG, RILL_CLOSE_TOO_BIG,
                       "message too big");
    return RILL_ERR_PROTO;
  }
  rv = keep_part(s, msg);
  if (rv != 0)
    return rv;
  p->ends[p->n++] = (uint32_t)p->data.len;
  if (p->n < p->want)
    return 0;
  s->parts = NULL; /* handlers may end the session: it is gone then */
  s->parts_by = RILL_NEVER;
  rv = complete(s, p);
  rill__parts_free(hub, p);
  return rv;
}

/* The first packet shows the parser. */
static void learn(rill__session *s, const rill_msg *msg) {
  rill_conn *c = s->conn;

  if (s->known)
    return;
  s->known = true;
  if (msg->kind != RILL_BINARY)
    return;
  c->variant = polled(c) ? RILL__AS_POLLED_SOCKETIO_MSGPACK
                         : (uint8_t)(c->variant - RILL__AS_SOCKETIO +
                                     RILL__AS_SOCKETIO_MSGPACK);
}

int rill__socketio_input(rill__session *s, const rill_msg *msg) {
  rill_hub *hub = s->hub;
  rill__value_limits limits = limits_of(hub);
  rill__sio_packet packet;
  rill_str data = {msg->data, msg->len};
  int rv;

  learn(s, msg);
  if (s->parts != NULL)
    return msg->kind == RILL_BINARY
               ? add_part(s, msg)
               : rill__socketio_violation(s, RILL_ERR_PROTO);
  if (packed(s->conn) != (msg->kind == RILL_BINARY))
    return rill__socketio_violation(s, RILL_ERR_PROTO);
  rill__tape_clear(&hub->tape);
  rv = packed(s->conn)
           ? rill__sio_read_msgpack(&packet, &hub->tape, data, &limits)
           : rill__sio_read(&packet, &hub->tape, data, &limits,
                            hub->config.limits.attachments);
  if (rv != 0)
    return rill__socketio_violation(s, rv);
  if (packet.attachments > 0)
    return begin_parts(s, packet.attachments, msg);
  return on_packet(s, &packet);
}
