/*
 * engineio.c - Engine.IO v4: the HTTP side, the upgrade, and packets.
 *
 * One GET and one POST of a session may be under way at a time; a second of
 * either ends the session, as the reference does.  What arrives is handled
 * in the order of its arrival; the answer to a POST waits as long as its
 * packets may not be read, so a peer that is throttled holds its client
 * back.
 */
#include "hub/session.h"

#include "base/base64.h"
#include "base/utf8.h"
#include "hub/address.h"
#include "hub/conn.h"
#include "wire/deflate.h"
#include "wire/engineio.h"

static void reply(rill_request *req, int status, const char *type,
                  const char *body, bool close) {
  rill__bytes out;
  bool head_only = rill_str_eq(rill_request_method(req), rill_s("HEAD"));

  rill__bytes_init(&out, &req->hub->alloc);
  rill__http_begin_response(&out, status);
  rill__http_add_header(&out, rill_s("Content-Type"), rill_s(type));
  rill__bytes_str(&out, "Content-Length: ");
  rill__bytes_u64(&out, strlen(body));
  rill__bytes_str(&out, "\r\nCache-Control: no-store\r\n");
  rill__cors_headers(req, &out);
  if (close)
    rill__http_add_header(&out, rill_s("Connection"), rill_s("close"));
  rill__http_end(&out);
  if (!head_only)
    rill__bytes_str(&out, body);
  rill__request_answer(req, &out, NULL, close);
}

static void fail(rill_request *req, rill__eio_error error) {
  bool upgrade = rill__http_head_of(req->http)->upgrade;

  req->hub->metrics.bad_requests_total++;
  if (upgrade)
    reply(req, rill__eio_status(error), "text/html",
          rill__eio_message(error), true);
  else
    reply(req, rill__eio_status(error), "application/json",
          rill__eio_body(error), !rill__conn_is(req->conn, RILL__KEEP));
}

static void reply_short(rill_request *req, int status, const char *body) {
  reply(req, status, "text/html", body, !rill__conn_is(req->conn, RILL__KEEP));
}

static bool is_box(const rill_conn *c) { return rill__conn_is(c, RILL__BOX); }

/* One packet of this side's own, past the limits. */
static void write_packet(rill_conn *c, const char *packet) {
  if (is_box(c)) {
    rill__bytes out;
    rill__bytes_init(&out, &c->hub->alloc);
    rill__bytes_str(&out, "\x1e");
    rill__bytes_str(&out, packet);
    if (out.failed)
      rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    else
      rill__conn_write(c, out.data, out.len);
    rill__bytes_finish(&out);
  } else {
    rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_TEXT, packet,
                        strlen(packet));
  }
}

void rill__engineio_ping(rill_conn *c) { write_packet(c, "2"); }

static void write_open(rill__session *s, rill__bytes *out) {
  const rill_limits *l = &s->hub->config.limits;

  rill__bytes_str(out, "0");
  rill__eio_write_open(out, (rill_str){s->sid, RILL__SID}, is_box(s->conn),
                       l->ping_ms, l->pong_ms, l->payload_bytes);
}

static void set_cookie(rill__session *s, rill__bytes *out) {
  const char *name = s->route->opts.cookie;

  if (name == NULL)
    return;
  rill__bytes_str(out, "Set-Cookie: ");
  rill__bytes_str(out, name);
  rill__bytes_str(out, "=");
  rill__bytes_add(out, s->sid, RILL__SID);
  rill__bytes_str(out, "; Path=/; HttpOnly; SameSite=Lax\r\n");
}

static void begin_payload(rill_request *req, rill__bytes *out, size_t len) {
  rill__http_begin_response(out, 200);
  rill__http_add_header(out, rill_s("Content-Type"),
                        rill_s("text/plain; charset=UTF-8"));
  rill__bytes_str(out, "Content-Length: ");
  rill__bytes_u64(out, len);
  rill__bytes_str(out, "\r\nCache-Control: no-store\r\n");
  rill__cors_headers(req, out);
  if (!rill__conn_is(req->conn, RILL__KEEP))
    rill__http_add_header(out, rill_s("Connection"), rill_s("close"));
}

/* The variant that |s| has before a parser is known. */
static unsigned format_of(const rill__route *route, bool polled) {
  if (route->dialect == RILL_SOCKETIO)
    return polled ? RILL__AS_POLLED_SOCKETIO : RILL__AS_SOCKETIO;
  return polled ? RILL__AS_POLLED_ENGINEIO : RILL__AS_ENGINEIO;
}

static void set_variant(rill_conn *c, unsigned format) {
  c->ws.payload = true; /* what the handshake has announced */
  c->variant = (uint8_t)format;
  if (c->ws.pmd != NULL)
    c->variant = (uint8_t)(format + rill__pmd_send_bits(c->ws.pmd) - 8);
}

/* The queue of a session on long-polling; NULL: no memory. */
static rill_conn *box_new(rill_request *req) {
  rill_hub *hub = req->hub;
  rill_conn *c;

  if (rill__conn_make(&c, hub, RILL__OPEN) != 0)
    return NULL;
  rill__list_remove(&c->u.all);
  c->flags = RILL__BOX;
  c->u.rate.messages = c->u.rate.bytes = 0;
  c->port = req->conn->port;
  c->pinged = hub->now;
  set_variant(c, format_of(req->route, true));
  if (rill__address_share(c, req->conn, rill_request_address(req)))
    return c;
  rill__conn_kill(c);
  rill__conn_drop(c);
  return NULL;
}

static rill__session *box_session(rill_request *req) {
  rill_conn *c = box_new(req);
  rill__session *s = c != NULL ? rill__session_new(c, req, true) : NULL;

  if (s == NULL && c != NULL) {
    rill__conn_kill(c);
    rill__conn_drop(c);
  }
  return s;
}

/* A new session on long-polling: the handshake's answer is its OPEN. */
static int open_polling(rill_request *req, rill_str user) {
  rill_hub *hub = req->hub;
  bool full = hub->nconns >= hub->config.limits.conns;
  rill__session *s = full ? NULL : box_session(req);
  rill__bytes out, open;
  int rv = 0;

  if (s == NULL) {
    hub->metrics.limit_conns += full;
    rill__request_refuse(req, 503,
                         full ? "too many sessions" : "out of memory");
    return full ? RILL_ERR_LIMIT : RILL_ERR_NOMEM;
  }
  rill__bytes_init(&open, &hub->alloc);
  write_open(s, &open);
  rill__bytes_init(&out, &hub->alloc);
  begin_payload(req, &out, open.len);
  set_cookie(s, &out);
  rill__http_end(&out);
  rill__bytes_add(&out, open.data, open.len);
  out.failed |= open.failed;
  rill__bytes_finish(&open);
  rill__conn_arm(s->conn);
  if (req->route->dialect == RILL_ENGINEIO) {
    rv = rill__connect_peer(s, s->hub->spaces, user);
    if (rv != 0) {
      rill__bytes_finish(&out);
      rill__conn_ws_cut(s->conn, RILL_CAUSE_NOMEM, "out of memory");
      rill__request_refuse(req, 503, "out of memory");
      return rv;
    }
    s->conn->peer->voice->opening = req;
    rill__peer_due(s->conn->peer, RILL__DUE_OPEN);
    rill__request_answer_kept(req, &out);
    return 0;
  }
  s->head = rill__request_keep_head(req, &out);
  return 0;
}

/* A new session on a WebSocket. */
static int open_websocket(rill_request *req, rill_str user) {
  rill_conn *c = req->conn;
  rill__session *s = rill__session_new(c, req, true);
  int rv = s != NULL ? rill__handshake_answer(req, NULL) : RILL_ERR_NOMEM;

  if (rv == 0 && req->route->dialect == RILL_ENGINEIO)
    rv = rill__connect_peer(s, s->hub->spaces, user);
  if (rv != 0) {
    if (c->state != RILL__DEAD)
      rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return rv;
  }
  set_variant(c, format_of(req->route, false));
  return 0;
}

int rill__engineio_accept(rill_request *req, rill_str user) {
  return rill__http_head_of(req->http)->upgrade ? open_websocket(req, user)
                                                : open_polling(req, user);
}

/* The 101 is written: what follows are packets. */
void rill__engineio_opened(rill_conn *c) {
  rill__session *s = c->session;
  rill__bytes out;

  c->pinged = c->hub->now;
  if (c == s->probe)
    return;
  rill__bytes_init(&out, &c->hub->alloc);
  write_open(s, &out);
  rill__bytes_add(&out, "", 1);
  if (out.failed)
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
  else
    write_packet(c, (const char *)out.data);
  rill__bytes_finish(&out);
}

void rill__engineio_flush(rill_conn *box) {
  rill__session *s = box->session;
  rill_request *req;
  rill__bytes out;

  if (s == NULL)
    return;
  if (s->post != NULL && (box->extra == NULL || box->extra->held.len == 0)) {
    req = s->post;
    s->post = NULL;
    reply_short(req, 200, "ok");
  }
  if (box->state == RILL__DEAD || s->poll == NULL)
    return;
  if (box->out.bytes == 0 && s->probed)
    write_packet(box, "6");
  if (box->out.bytes == 0)
    return;
  req = s->poll;
  s->poll = NULL;
  rill__bytes_init(&out, &req->hub->alloc);
  begin_payload(req, &out, box->out.bytes - 1);
  rill__http_end(&out);
  box->out.head->from++; /* nothing is before the first separator */
  box->out.bytes--;
  if (rill__request_answer(req, &out, &box->out, false) == 0)
    rill__conn_emptied(box);
  else /* its client has not heard what it would be sent anew, and cut short */
    rill__conn_ws_cut(box, RILL_CAUSE_NOMEM, "out of memory");
}

/* The session breaks a rule: whoever waits is told, and it ends. */
static void end_session(rill__session *s, const char *reason) {
  rill__conn_ws_fail(s->conn, RILL_CAUSE_PROTO, RILL_CLOSE_PROTOCOL, reason);
}

static void poll(rill__session *s, rill_request *req) {
  rill_conn *box = s->conn, *c = req->conn;

  if (s->poll != NULL) {
    reply_short(req, 400, "");
    end_session(s, "transport error");
    return;
  }
  s->poll = req;
  req->session = s;
  c->flags |= RILL__WATCH;
  c->since = RILL_NEVER; /* the heartbeat of the session answers it */
  rill__conn_arm(c);
  rill__conn_ready(c);
  rill__conn_ready(box); /* what is there goes at the end of the turn */
}

static bool is_octets(const rill_request *req) {
  rill_str type = rill__http_header(req->http, "content-type", 0);
  static const char octets[] = "application/octet-stream";

  type.len = type.len < sizeof octets - 1 ? type.len : sizeof octets - 1;
  return rill__http_same(type, octets);
}

static void post(rill__session *s, rill_request *req) {
  rill_conn *box = s->conn;
  rill_str body = rill_request_body(req);
  rill_request *first = s->post;

  if (box->state != RILL__OPEN) {
    reply_short(req, 400, "");
    return;
  }
  if (first != NULL || is_octets(req)) {
    reply_short(req, 400, "");
    s->post = NULL;
    if (first != NULL && first->conn != NULL) {
      first->session = NULL; /* its end is not the session's */
      first->answered = true;
      rill__conn_kill(first->conn);
    }
    end_session(s, "transport error");
    return;
  }
  if (!rill__utf8_valid(body.ptr, body.len)) {
    reply_short(req, 200, "ok");
    end_session(s, "parse error");
    return;
  }
  req->session = s;
  box->heard = box->hub->now;
  if (rill__conn_held_back(box)) {
    if (!rill__conn_hold(box, (const uint8_t *)body.ptr, body.len))
      rill__conn_ws_cut(box, RILL_CAUSE_NOMEM, "out of memory");
  } else {
    rill__session_payload(box, rill__http_body_data(req->http), body.len);
  }
  if (box->session == s && box->extra != NULL && box->extra->held.len > 0) {
    s->post = req; /* answered when all of it has been read */
    req->conn->flags |= RILL__WATCH;
    req->conn->since = RILL_NEVER;
    rill__conn_arm(req->conn);
    return;
  }
  req->session = NULL;
  reply_short(req, 200, "ok");
}

void rill__engineio_lost(rill_request *req) {
  rill__session *s = req->session;
  bool poll = s->poll == req;

  req->session = NULL;
  if (poll)
    s->poll = NULL;
  else if (s->post == req)
    s->post = NULL;
  rill__conn_ws_cut(s->conn, poll ? RILL_CAUSE_EOF : RILL_CAUSE_IO,
                    poll ? "transport close" : "transport error");
}

/* A WebSocket for a session that exists. */
static void upgrade(rill__session *s, rill_request *req) {
  rill_conn *c = req->conn;
  const char *reason;

  if (rill__handshake_check(req, &reason) != 0) {
    fail(req, RILL__EIO_REQUEST);
    return;
  }
  if (rill__handshake_answer(req, NULL) != 0) {
    if (c->state != RILL__DEAD)
      rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return;
  }
  set_variant(c, format_of(req->route, false));
  if (is_box(s->conn) && s->probe == NULL && s->conn->state == RILL__OPEN) {
    s->probe = c;
    c->session = s;
    s->probed = false;
    s->probe_by = rill__after(s->hub->now, s->hub->config.limits.upgrade_ms);
  }
  rill__request_spent(req);
  rill__conn_opened(c);
  c->pinged = c->hub->now;
  if (c->session == NULL) /* it has been upgraded, or is being */
    rill__conn_ws_close(c, RILL_CAUSE_HOST, RILL_CLOSE_NONE, (rill_str){0});
}

static void with_session(rill_request *req, rill_str sid, bool websocket) {
  const rill__http_head *head = rill__http_head_of(req->http);
  rill__session *s = rill__session_find(req->hub, sid);

  if (s != NULL && is_box(s->conn) && s->conn->state == RILL__OPEN) {
    rill__heartbeat_tick(s->conn); /* it may be too late by now */
    s = rill__session_find(req->hub, sid);
  }
  if (s == NULL || s->route != req->route)
    fail(req, RILL__EIO_SID);
  else if (websocket != head->upgrade)
    fail(req, RILL__EIO_REQUEST);
  else if (websocket)
    upgrade(s, req);
  else if (!is_box(s->conn))
    fail(req, RILL__EIO_REQUEST);
  else if (rill_str_eq(head->method, rill_s("GET")))
    poll(s, req);
  else if (rill_str_eq(head->method, rill_s("POST")))
    post(s, req);
  else
    rill__request_refuse(req, 405, "not with that method");
}

/* 0, or the first rule that a request for a new session breaks. */
static int check_new(rill_request *req, bool websocket, rill__eio_error *e) {
  const rill__http_head *head = rill__http_head_of(req->http);
  const char *reason;

  if (!rill_str_eq(head->method, rill_s("GET")))
    *e = RILL__EIO_METHOD;
  else if (websocket != head->upgrade)
    *e = RILL__EIO_REQUEST;
  else if (!rill_str_eq(rill_request_query(req, "EIO"), rill_s("4")))
    *e = RILL__EIO_VERSION;
  else if (websocket && rill__handshake_check(req, &reason) != 0)
    *e = RILL__EIO_REQUEST;
  else
    return 0;
  return -1;
}

void rill__engineio_request(rill_request *req) {
  rill_str transport = rill_request_query(req, "transport");
  rill_str sid = rill_request_query(req, "sid");
  bool websocket = rill_str_eq(transport, rill_s("websocket"));
  rill__eio_error error;

  if (rill_str_eq(rill_request_method(req), rill_s("OPTIONS"))) {
    rill__cors_preflight(req);
  } else if (!websocket && !rill_str_eq(transport, rill_s("polling"))) {
    fail(req, RILL__EIO_TRANSPORT);
  } else if (!rill__origin_ok(req)) {
    req->hub->metrics.origin_refused_total++;
    rill__hub_log(req->hub, RILL_LOG_WARN, "request.origin",
                  rill__http_header(req->http, "origin", 0), NULL);
    fail(req, RILL__EIO_FORBIDDEN);
  } else if (sid.len > 0) {
    with_session(req, sid, websocket);
  } else if (check_new(req, websocket, &error) != 0) {
    fail(req, error);
  } else if (req->hub->draining) {
    rill__request_refuse(req, 503, "draining");
  } else if (req->route->dialect == RILL_ENGINEIO) {
    req->asks = true; /* authenticate is next */
  } else if (websocket) {
    if (open_websocket(req, (rill_str){0}) == 0)
      req->answered = true; /* the conn is opened when this returns */
  } else {
    open_polling(req, (rill_str){0});
  }
}

static void on_pong(rill_conn *c) {
  if (!rill__conn_is(c, RILL__PINGED))
    return;
  rill__conn_pong(c);
  c->pinged = c->hub->now; /* the next interval begins here */
  rill__conn_arm(c);
}

/* A packet but a MESSAGE, of a session that is not being upgraded. */
static int on_packet(rill_conn *c, rill__eio_type type) {
  switch (type) {
  case RILL__EIO_PONG:
    on_pong(c);
    return 0;
  case RILL__EIO_PING: /* only the server pings */
    end_session(c->session, "transport error");
    return RILL_ERR_PROTO;
  case RILL__EIO_CLOSE:
    if (is_box(c) && c->session->poll != NULL && c->out.bytes == 0)
      write_packet(c, "6");
    rill__conn_ws_gone(c, RILL_CAUSE_PEER, "transport close");
    return RILL_ERR_CLOSED;
  case RILL__EIO_OPEN:
  case RILL__EIO_UPGRADE:
  case RILL__EIO_NOOP:
  case RILL__EIO_MESSAGE:
    break;
  }
  return 0;
}

static int deliver(rill_conn *c, const rill__eio_packet *packet) {
  rill_msg msg = {.data = packet->data.ptr,
                  .len = packet->data.len,
                  .kind = packet->binary ? RILL_BINARY : RILL_TEXT};

  if (packet->type != RILL__EIO_MESSAGE)
    return on_packet(c, packet->type);
  return rill__session_dispatch(c->session, &msg);
}

int rill__session_payload(rill_conn *box, uint8_t *data, size_t len) {
  rill_str rest = {(const char *)data, len};
  rill__eio_packet packet;
  int more, rv = 0;

  while (box->state == RILL__OPEN && (more = rill__eio_next(&rest, &packet)) != 0) {
    if (more < 0) {
      end_session(box->session, "parse error");
      return RILL_ERR_PROTO;
    }
    if (packet.type == RILL__EIO_MESSAGE) {
      box->hub->metrics.messages_in_total++;
      rill__conn_charge(box, packet.data.len);
    }
    rv = deliver(box, &packet);
    if (rv < 0 || box->state != RILL__OPEN)
      return rv < 0 ? rv : RILL_ERR_CLOSED;
    if (rv == RILL_PAUSE)
      box->flags |= RILL__PAUSED;
    if (!rill__conn_is(box, RILL__PAUSED | RILL__THROTTLED) || rest.len == 0)
      continue;
    if (!rill__conn_hold(box, (const uint8_t *)rest.ptr, rest.len)) {
      rill__conn_ws_cut(box, RILL_CAUSE_NOMEM, "out of memory");
      return RILL_ERR_NOMEM;
    }
    return 0;
  }
  return rv;
}

/* One packet of long-polling as a frame. */
static bool carry_packet(rill_conn *c, rill_str packet) {
  int64_t len;

  if (packet.len == 0 || packet.ptr[0] == RILL__EIO_NOOP)
    return true;
  if (packet.ptr[0] != 'b')
    return rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_TEXT, packet.ptr,
                               packet.len);
  packet = (rill_str){packet.ptr + 1, packet.len - 1};
  len = rill__base64_decode((char *)(uintptr_t)packet.ptr, packet);
  return len >= 0 && rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_BINARY,
                                         packet.ptr, (size_t)len);
}

/* The queue of the box as frames of the WebSocket, whatever was in it. */
static bool carry_over(rill_conn *box, rill_conn *c) {
  rill__bytes all;
  rill_iov iov[16];
  size_t n;
  bool ok;

  rill__bytes_init(&all, &c->hub->alloc);
  while ((n = rill__outq_iov(&box->out, iov, 16)) > 0) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
      rill__bytes_add(&all, iov[i].base, iov[i].len);
      sum += iov[i].len;
    }
    rill__outq_consume(&box->out, &c->hub->out, sum);
  }
  ok = !all.failed;
  for (size_t at = 0; ok && at < all.len;) {
    uint32_t len = rill__out_unit(RILL__OUT_PACKETS, all.data + at,
                                  (uint32_t)(all.len - at));
    ok = carry_packet(c, (rill_str){(const char *)all.data + at + 1, len - 1});
    at += len;
  }
  rill__bytes_finish(&all);
  return ok;
}

/* The WebSocket takes over: peers, output and timers go to it. */
static int switch_over(rill__session *s) {
  rill_conn *box = s->conn, *c = s->probe;
  rill_request *poll = s->poll;
  bool carried;

  rill__fanout_close(c->hub, &c->hub->fanout);
  if (box->state != RILL__OPEN || c->state != RILL__OPEN)
    return RILL_ERR_CLOSED;
  if (s->post != NULL) { /* it must wait for the answer */
    end_session(s, "transport error");
    return RILL_ERR_PROTO;
  }
  s->probe = NULL;
  s->probe_by = RILL_NEVER;
  s->poll = NULL;
  s->conn = c;
  box->session = NULL;
  if (s->known && box->variant == RILL__AS_POLLED_SOCKETIO_MSGPACK)
    set_variant(c, RILL__AS_SOCKETIO_MSGPACK);
  c->peer = box->peer;
  box->peer = NULL;
  for (rill__peer *p = c->peer; p != NULL; p = rill__peer_sibling(p)) {
    p->conn = c;
    rill__peer_speaks(p, c->variant);
  }
  c->u.rate = box->u.rate;
  c->pinged = c->hub->now; /* armed anew: the ping of the box is void */
  c->flags |= box->flags & (RILL__PAUSED | RILL__BUSY_TOLD);
  carried = carry_over(box, c);
  rill__conn_kill(box);
  if (poll != NULL) /* a client that polls on although it has upgraded */
    reply(poll, 200, "text/plain; charset=UTF-8", "6",
          !rill__conn_is(poll->conn, RILL__KEEP));
  if (!carried) {
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return RILL_ERR_NOMEM;
  }
  c->hub->metrics.upgrades_total++;
  rill__conn_arm(c);
  return rill__conn_is(c, RILL__PAUSED) ? RILL_PAUSE : 0;
}

static int on_probe(rill_conn *c, const rill_msg *msg) {
  rill__session *s = c->session;
  rill_str text = {msg->data, msg->len};

  if (msg->kind == RILL_TEXT && rill_str_eq(text, rill_s("2probe"))) {
    write_packet(c, "3probe");
    s->probed = true;
    rill__conn_ready(s->conn); /* the waiting GET is let go */
    return 0;
  }
  if (msg->kind == RILL_TEXT && s->probed && rill_str_eq(text, rill_s("5")))
    return switch_over(s);
  rill__conn_ws_fail(c, RILL_CAUSE_PROTO, RILL_CLOSE_PROTOCOL,
                     "a probe was expected");
  return RILL_ERR_PROTO;
}

int rill__engineio_input(rill_conn *c, const rill_msg *msg) {
  rill__eio_packet packet = {RILL__EIO_MESSAGE, true,
                             {msg->data, msg->len}};

  if (c == c->session->probe)
    return on_probe(c, msg);
  if (msg->kind == RILL_TEXT &&
      !rill__eio_text((rill_str){msg->data, msg->len}, &packet)) {
    end_session(c->session, "parse error");
    return RILL_ERR_PROTO;
  }
  return deliver(c, &packet);
}

void rill__boxes_free(rill_hub *hub) {
  rill__link *next;

  while (hub->sessions != NULL)
    rill__conn_kill(hub->sessions->conn);
  for (rill__link *l = hub->ready.next; l != &hub->ready; l = next) {
    rill_conn *c = RILL__CONTAINER(l, rill_conn, ready);
    next = l->next;
    if (is_box(c)) /* those that are dead wait here */
      rill__conn_drop(c);
  }
}
