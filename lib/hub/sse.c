/*
 * sse.c - server-sent events (WHATWG HTML section 9.2) as a dialect: a GET
 * is a peer that only listens, a POST is an event of it.
 *
 * The stream ends with the connection: no length, no chunks.  Its rooms are
 * joined before the answer, so that who may not listen hears 403 and does
 * not come back.
 */
#include "hub/conn.h"
#include "hub/history.h"
#include "hub/room.h"
#include "hub/session.h"

/* The stream's end is at hand, of this side's will. */
void rill__sse_goodbye(rill_conn *c) {
  rill_hub *hub = c->hub;
  uint32_t spread, random = 0;
  rill__bytes out;

  /* who is sent away comes back at a time of its own */
  spread = hub->config.limits.retry_ms;
  if (hub->draining && hub->drain_spread / RILL_MSEC > spread)
    spread = (uint32_t)(hub->drain_spread / RILL_MSEC);
  if (rill__hub_random(hub, &random, sizeof random) != 0)
    random = 0;
  rill__bytes_init(&out, &hub->alloc);
  rill__bytes_str(&out, "retry: ");
  rill__bytes_u64(&out, 1 + random % spread);
  rill__bytes_str(&out, "\n\n");
  if (!out.failed)
    rill__conn_write(c, out.data, out.len);
  rill__bytes_finish(&out);
}

void rill__sse_ping(rill_conn *c) {
  c->pinged = c->hub->now;
  rill__conn_write(c, ":\n\n", 3);
}

static void write_head(rill_request *req, rill__bytes *out) {
  rill__http_begin_response(out, 200);
  rill__http_add_header(out, rill_s("Content-Type"),
                        rill_s("text/event-stream"));
  rill__http_add_header(out, rill_s("Cache-Control"),
                        rill_s("no-cache, no-store, no-transform"));
  rill__http_add_header(out, rill_s("X-Accel-Buffering"), rill_s("no"));
  rill__http_add_header(out, rill_s("Connection"), rill_s("close"));
  rill__cors_headers(req, out);
  rill__http_end(out);
}

static void write_retry(const rill_hub *hub, rill__bytes *out) {
  rill__bytes_str(out, "retry: ");
  rill__bytes_u64(out, hub->config.limits.retry_ms);
  rill__bytes_str(out, "\n");
}

/* The event "session", which says where the stream stands. */
static void write_session(rill__peer *p, rill__bytes *out, uint64_t offset,
                          uint64_t number, bool recovered) {
  const rill__voice *v = p->voice;
  char text[RILL__OFFSET_MAX];

  rill__bytes_str(out, "event: session\nid: ");
  rill__bytes_add(out, text, rill__offset_write(p->hub, offset, text));
  if (number > 0) {
    rill__bytes_str(out, ".");
    rill__bytes_u64(out, number);
  }
  rill__bytes_str(out, "\ndata: {\"sid\":\"");
  rill__bytes_add(out, v->sid, RILL__SID);
  rill__bytes_str(out, "\",\"session\":\"");
  rill__bytes_add(out, v->secret, RILL__SID);
  rill__bytes_str(out, "\",\"recovered\":");
  rill__bytes_str(out, recovered ? "true}\n\n" : "false}\n\n");
}

/* Where the client has been: a header, or a query on its first request. */
static rill_str last_id(const rill_request *req) {
  rill_str id = rill_request_header(req, "last-event-id");

  if (id.len == 0)
    id = rill_request_query(req, "lastEventId");
  return id;
}

/* The one durable room of a stream, NULL where it has others as well. */
static rill__room *durable_room(const rill__peer *p) {
  rill__room *room = p->nrooms == 1 ? p->rooms->room : NULL;
  return room != NULL && room->opts.durable ? room : NULL;
}

/* The head is written: what follows are events. */
static bool begin_stream(rill__peer *p, rill__bytes *out) {
  rill_conn *c = p->conn;
  bool ok = !out->failed && rill__conn_write(c, out->data, out->len);

  rill__bytes_finish(out);
  if (!ok) {
    if (c->state != RILL__DEAD)
      rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return false;
  }
  p->joining = false;
  c->request->answered = true;
  p->voice->opening = c->request;
  c->request = NULL;
  rill__conn_opened(c);
  c->flags &= (uint16_t)~RILL__WATCH;
  c->pinged = p->hub->now;
  rill__peer_opened(p);
  rill__conn_arm(c);
  return true;
}

void rill__sse_caught_up(rill__peer *p, int status,
                         const rill__caught_up *out) {
  rill_hub *hub = p->hub;
  rill__bytes text;
  bool recovered;

  if (p->conn == NULL || p->conn->state != RILL__OPEN)
    return;
  if (status != 0) { /* EventSource comes again with the same id */
    rill__conn_ws_fail(p->conn, RILL_CAUSE_OVERLOAD, RILL_CLOSE_AGAIN,
                       "the store failed");
    return;
  }
  recovered = out->returns && out->gap_from == 0 && !out->stale;
  hub->metrics.recovered_total += recovered;
  hub->metrics.recovered_gap_total += out->returns && !recovered;
  rill__bytes_init(&text, &hub->alloc);
  write_session(p, &text, hub->offset, out->last, recovered);
  if (!text.failed)
    rill__conn_write(p->conn, text.data, text.len);
  rill__bytes_finish(&text);
}

/*
 * Reads from the store what is missed behind |number|, NULL: where the room
 * stands; the room is entered anew after it.
 */
static void catch_up_from_store(rill__peer *p, rill__room *room,
                                const uint64_t *number) {
  rill__bytes name;
  const rill__join_how how = {.returns = number != NULL,
                              .since = number != NULL ? *number : 0};
  rill__caught_up none = {0};
  rill_str s;
  int rv = RILL_ERR_NOMEM;

  rill__bytes_init(&name, &p->hub->alloc);
  rill__bytes_add(&name, room->name, room->name_len);
  s = (rill_str){(char *)name.data, name.len};
  if (!name.failed) {
    rill__room_remove(p->rooms);
    rv = rill__catch_up(p, s, &how, 0, &none);
  }
  rill__bytes_finish(&name);
  if (rv != RILL_LATER)
    rill__sse_caught_up(p, rv, &none);
}

/* All rooms are joined: the stream begins. */
void rill__sse_open(rill__peer *p) {
  rill_hub *hub = p->hub;
  rill_request *req = p->conn->request;
  rill_str id = last_id(req);
  uint64_t offset = hub->offset, number = 0;
  bool known = rill__offset_read(hub, id, &offset);
  bool recovered = known && rill__history_complete(p, offset, false);
  rill__room *room = durable_room(p);
  bool returns = rill__offset_number(id, &number);
  bool stored = !recovered && room != NULL && (returns || !room->knows);
  rill__bytes out;

  rill__bytes_init(&out, &hub->alloc);
  write_head(req, &out);
  write_retry(hub, &out);
  if (stored)
    rill__bytes_str(&out, "\n");
  else
    write_session(p, &out, recovered ? offset : hub->offset,
                  room != NULL ? room->last : 0, recovered);
  if (!begin_stream(p, &out))
    return;
  if (stored) {
    catch_up_from_store(p, room, returns ? &number : NULL);
  } else {
    hub->metrics.recovered_total += recovered;
    hub->metrics.recovered_gap_total += !recovered && id.len > 0;
    if (known)
      rill__history_replay(p, offset);
  }
  rill__connect_open(p);
}

/* The client is refused after all. */
static void refuse(rill__peer *p, int status) {
  rill_request *req = p->conn->request;

  rill__peer_unbind(p);
  rill__peer_free(p);
  if (status == RILL_ERR_FORBIDDEN)
    rill__request_refuse(req, 403, "not allowed in that room");
  else
    rill__request_refuse(req, status == RILL_ERR_NOMEM ? 503 : 400,
                         rill_strerror(status));
}

bool rill__sse_joined(rill__peer *p, int status) {
  if (status != 0) {
    refuse(p, status);
    return false;
  }
  if (p->rare->joins != NULL)
    return true;
  rill__sse_open(p);
  return false;
}

/* Takes the next "room" of the query off |*rest|, decoded into |out|. */
static bool next_room(rill_str *rest, char *out, rill_str *room) {
  while (rest->len > 0) {
    rill_str pair = *rest;
    const char *end = memchr(rest->ptr, '&', rest->len);
    int64_t len;
    if (end != NULL)
      pair.len = (size_t)(end - rest->ptr);
    rest->ptr += pair.len + (end != NULL);
    rest->len -= pair.len + (end != NULL);
    if (!rill_str_starts(pair, "room="))
      continue;
    len =
        rill__http_unescape((rill_str){pair.ptr + 5, pair.len - 5}, true, out);
    *room = (rill_str){out, len < 0 ? 0 : (size_t)len};
    return true;
  }
  return false;
}

static int join_all(rill__peer *p, const rill_request *req) {
  static const rill__join_how how;
  rill_str param = rill_request_param(req, "room"), room;
  rill_str query = rill__http_head_of(req->http)->query;
  size_t size = (query.len > param.len ? query.len : param.len) + 1;
  char *out = rill__malloc(&p->hub->alloc, size);
  int64_t len;
  int rv = out == NULL ? RILL_ERR_NOMEM : 0;

  if (rv == 0 && param.ptr != NULL) {
    len = rill__http_unescape(param, false, out);
    rv = len < 0 ? RILL_ERR_ARG
                 : rill__join_ask(p, (rill_str){out, (size_t)len}, &how);
  }
  while (rv == 0 && next_room(&query, out, &room))
    rv = rill__join_ask(p, room, &how);
  rill__free(&p->hub->alloc, out, size);
  return rv;
}

/* authenticate has accepted a GET. */
static int accept_stream(rill_request *req, rill_str user) {
  rill_hub *hub = req->hub;
  rill_conn *c = req->conn;
  rill__peer *p = rill__peer_new(hub, &req->route->opts);
  int rv = RILL_ERR_NOMEM;

  if (p == NULL)
    goto failed;
  if (!rill__voice_new(p, hub->spaces) || !rill__voice_secret(p) ||
      (user.len > 0 && (rv = rill__user_add(p, user)) != 0)) {
    rill__peer_free(p);
    goto failed;
  }
  rv = 0;
  c->variant = p->variant = RILL__AS_SSE;
  p->joining = true;
  rill__peer_bind(p, c);
  req->answered = false; /* the rooms have to be asked for */
  req->accepted = true;
  c->flags |= RILL__WATCH;
  rill__conn_ready(c);
  rv = join_all(p, req);
  if (rv != 0)
    refuse(p, rv);
  else if (p->rare == NULL || p->rare->joins == NULL)
    rill__peer_due(p, RILL__DUE_OPEN);
  return rv;
failed:
  rill__request_refuse(req, 503, "out of memory");
  return rv;
}

int rill__sse_accept(rill_request *req, rill_str user) {
  return rill_str_eq(rill_request_method(req), rill_s("POST"))
             ? rill__sse_accept_post(req, user)
             : accept_stream(req, user);
}

static void wrong_method(rill_request *req) {
  bool head_only = rill_str_eq(rill_request_method(req), rill_s("HEAD"));
  bool close = !rill__conn_is(req->conn, RILL__KEEP);
  rill__bytes out;

  rill__bytes_init(&out, &req->hub->alloc);
  rill__http_begin_response(&out, 405);
  rill__http_add_header(&out, rill_s("Allow"), rill_s("GET, POST, OPTIONS"));
  rill__cors_headers(req, &out);
  rill__http_end_error(&out, 405, rill_s("not with that method"), close,
                       head_only);
  rill__request_answer(req, &out, NULL, close);
}

void rill__sse_request(rill_request *req) {
  rill_str method = rill_request_method(req);

  if (rill_str_eq(method, rill_s("OPTIONS"))) {
    rill__cors_preflight(req);
  } else if (!rill__origin_ok(req)) {
    req->hub->metrics.origin_refused_total++;
    rill__hub_log(req->hub, RILL_LOG_WARN, "request.origin",
                  rill__http_header(req->http, "origin", 0), NULL);
    rill__request_refuse(req, 403, "this origin is not allowed");
  } else if (rill_str_eq(method, rill_s("POST"))) {
    rill__sse_post(req);
  } else if (!rill_str_eq(method, rill_s("GET"))) {
    wrong_method(req);
  } else if (req->hub->draining) {
    /* anything but 200 would keep an EventSource from coming back */
    rill__bytes out;
    rill__bytes_init(&out, &req->hub->alloc);
    write_head(req, &out);
    write_retry(req->hub, &out);
    rill__bytes_str(&out, "\n");
    rill__request_answer(req, &out, NULL, true);
  } else {
    req->asks = true;
  }
}
