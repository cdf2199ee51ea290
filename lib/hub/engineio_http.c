/*
 * engineio_http.c - Engine.IO v4 over HTTP: handshake, long-polling, the
 * request for an upgrade.
 *
 * One GET and one POST of a session may be under way at a time; a second of
 * either ends the session, as the reference does.  What arrives is handled
 * in the order of its arrival; the answer to a POST waits as long as its
 * packets may not be read, so a peer that is throttled holds its client
 * back.
 */
#include "hub/engineio.h"

#include "base/utf8.h"
#include "hub/address.h"
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
    reply(req, rill__eio_status(error), "text/html", rill__eio_message(error),
          true);
  else
    reply(req, rill__eio_status(error), "application/json",
          rill__eio_body(error), !rill__conn_is(req->conn, RILL__KEEP));
}

static void reply_short(rill_request *req, int status, const char *body) {
  reply(req, status, "text/html", body, !rill__conn_is(req->conn, RILL__KEEP));
}

void rill__eio_reply_poll(rill_request *req, const char *packet) {
  reply(req, 200, "text/plain; charset=UTF-8", packet,
        !rill__conn_is(req->conn, RILL__KEEP));
}

static void write_open(rill__session *s, rill__bytes *out) {
  const rill_limits *l = &s->hub->config.limits;

  rill__bytes_str(out, "0");
  rill__eio_write_open(out, (rill_str){s->sid, RILL__SID},
                       rill__is_box(s->conn), l->ping_ms, l->pong_ms,
                       l->payload_bytes);
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
  rill__eio_set_variant(c, format_of(req->route, true));
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
  rill__eio_set_variant(c, format_of(req->route, false));
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
    rill__eio_write(c, (const char *)out.data);
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
    rill__eio_write(box, "6");
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

static void poll(rill__session *s, rill_request *req) {
  rill_conn *box = s->conn, *c = req->conn;

  if (s->poll != NULL) {
    reply_short(req, 400, "");
    rill__eio_end(s, "transport error");
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
    rill__eio_end(s, "transport error");
    return;
  }
  if (!rill__utf8_valid(body.ptr, body.len)) {
    reply_short(req, 200, "ok");
    rill__eio_end(s, "parse error");
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
  rill__eio_set_variant(c, format_of(req->route, false));
  if (rill__is_box(s->conn) && s->probe == NULL &&
      s->conn->state == RILL__OPEN) {
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

  if (s != NULL && rill__is_box(s->conn) && s->conn->state == RILL__OPEN) {
    rill__heartbeat_tick(s->conn); /* it may be too late by now */
    s = rill__session_find(req->hub, sid);
  }
  if (s == NULL || s->route != req->route)
    fail(req, RILL__EIO_SID);
  else if (websocket != head->upgrade)
    fail(req, RILL__EIO_REQUEST);
  else if (websocket)
    upgrade(s, req);
  else if (!rill__is_box(s->conn))
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
