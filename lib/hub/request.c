#include "hub/request.h"

#include "hub/room.h"
#include "hub/session.h"

rill_request *rill__request_new(rill_hub *hub) {
  rill_request *req = rill__calloc(&hub->alloc, sizeof *req);

  if (req == NULL)
    return NULL;
  req->hub = hub;
  req->scratch = &req->memory;
  rill__bytes_init(&req->memory, &hub->alloc);
  rill__bytes_init(&req->address, &hub->alloc);
  rill__bytes_init(&req->secret, &hub->alloc);
  rill__builder_init(&req->auth, &hub->alloc);
  return req;
}

void rill__request_free(rill_request *req) {
  rill__bytes_finish(&req->memory);
  rill__bytes_finish(&req->address);
  rill__bytes_finish(&req->secret);
  rill__builder_finish(&req->auth);
  if (!req->borrowed)
    rill__http_free(req->http);
  if (req->space != NULL) {
    req->space->npeers--;
    rill__space_release(req->hub, req->space);
  }
  rill__free(&req->hub->alloc, req, sizeof *req);
}

/* The conn lets go of its request, which has been answered. */
static void request_done(rill_request *req) {
  req->conn->request = NULL;
  req->conn->flags &= (uint16_t)~RILL__WATCH;
  if (!req->hooked) /* else rill__request_run frees it */
    rill__request_free(req);
}

void rill__request_orphan(rill_request *req) {
  bool waits = req->session != NULL || req->poster != NULL || req->accepted;

  req->conn = NULL;
  if (req->session != NULL)
    rill__engineio_lost(req);
  if (req->poster != NULL)
    rill__sse_lost(req);
  if ((req->answered || waits) && !req->hooked)
    rill__request_free(req);
  else if (waits)
    req->answered = true;
}

int rill__request_answer(rill_request *req, rill__bytes *out, rill__outq *body,
                         bool close) {
  rill_conn *c = req->conn;
  int rv = 0;

  req->session = NULL;
  if (close)
    c->flags &= (uint16_t)~RILL__KEEP;
  req->answered = true;
  if (out->failed) {
    rv = RILL_ERR_NOMEM;
    request_done(req);
    rill__conn_kill(c);
  } else {
    bool ok = rill__conn_write(c, out->data, out->len);
    if (ok) {
      if (body != NULL)
        rill__outq_move(&c->out, body);
      request_done(req);
      rill__conn_http_next(c);
    } else { /* the conn was cut, and has let go of the request */
      rv = RILL_ERR_NOMEM;
    }
  }
  rill__bytes_finish(out);
  return rv;
}

static int answer(rill_request *req, rill__bytes *out, bool close) {
  return rill__request_answer(req, out, NULL, close);
}

/* Answers, and leaves the request to whoever still needs it. */
int rill__request_answer_kept(rill_request *req, rill__bytes *out) {
  bool hooked = req->hooked;
  int rv;

  req->hooked = true; /* nobody frees it */
  rv = answer(req, out, false);
  req->hooked = hooked;
  req->kept = true;
  return rv;
}

rill__http *rill__request_keep_head(rill_request *req, rill__bytes *out) {
  rill__http *http = req->http;
  bool hooked = req->hooked;

  req->hooked = true;
  answer(req, out, false);
  req->hooked = hooked;
  req->http = NULL;
  if (!hooked)
    rill__request_free(req);
  return http;
}

static int refuse(rill_request *req, int status, const char *reason,
                  const char *header, rill_str value) {
  rill_conn *c = req->conn;
  bool head_only = rill_str_eq(rill_request_method(req), rill_s("HEAD"));
  bool close = (req->upgrade && rill__http_head_of(req->http)->upgrade) ||
               !rill__conn_is(c, RILL__KEEP);
  rill__bytes out;

  rill__bytes_init(&out, &req->hub->alloc);
  rill__http_begin_response(&out, status);
  if (header != NULL)
    rill__http_add_header(&out, rill_s(header), value);
  rill__cors_headers(req, &out);
  rill__http_end_error(&out, status, rill_s(reason), close, head_only);
  return answer(req, &out, close);
}

int rill__request_refuse(rill_request *req, int status, const char *reason) {
  return refuse(req, status, reason, NULL, (rill_str){0});
}

/* What a dialect with requests of its own does before a hook, or instead. */
static bool dialect(rill_request *req) {
  rill_conn *c = req->conn;

  req->hooked = true; /* it may be answered within */
  if (req->route->dialect == RILL_SSE)
    rill__sse_request(req);
  else
    rill__engineio_request(req);
  req->hooked = false;
  if (req->asks && !req->answered)
    return false;
  if (req->answered && req->conn != NULL && c->request == req)
    rill__request_open(c);
  else if ((req->answered || req->conn == NULL) && !req->kept)
    rill__request_free(req);
  return true;
}

/* Answers what no hook needs to see: true if it did. */
static bool early(rill_request *req) {
  const rill__http_head *head = rill__http_head_of(req->http);
  const char *reason = NULL;
  bool wrong_method;
  int status;

  req->route =
      rill__route_find(req->hub, head->method, head->path, &wrong_method);
  if (req->route == NULL && wrong_method) {
    rill__bytes allow;
    rill__bytes_init(&allow, &req->hub->alloc);
    rill__route_allow(req->hub, head->path, &allow);
    refuse(req, 405, "not with that method", "Allow",
           (rill_str){(const char *)allow.data, allow.len});
    rill__bytes_finish(&allow);
    return true;
  }
  if (req->route == NULL) {
    refuse(req, 404, "nothing at that path", NULL, (rill_str){0});
    return true;
  }
  req->upgrade = req->route->fn == NULL;
  if (!req->upgrade)
    return false;
  if (req->route->dialect != RILL_RAW && req->route->dialect != RILL_JSON)
    return dialect(req);
  if (req->hub->draining) {
    refuse(req, 503, "draining", "Retry-After", rill_s("1"));
    return true;
  }
  status = rill__handshake_check(req, &reason);
  if (status == 426)
    refuse(req, 426, reason, "Sec-WebSocket-Version", rill_s("13"));
  else if (status != 0)
    refuse(req, status, reason, NULL, (rill_str){0});
  return status != 0;
}

static int run_hook(rill_request *req) {
  const rill_config *config = &req->hub->config;
  int rv;

  /* the envelope's "open" is what is judged there */
  if (req->upgrade &&
      (config->authenticate == NULL || req->route->dialect == RILL_JSON))
    return rill_accept(req, (rill_str){0});
  req->hub->in_handler = true;
  rv = req->upgrade ? config->authenticate(req, config->arg)
                    : req->route->fn(req, req->route->fn_arg);
  req->hub->in_handler = false;
  return rv;
}

int rill__request_run(rill_conn *c) {
  rill_hub *hub = c->hub;
  rill_request *req = rill__request_new(hub);
  int rv;

  if (req == NULL) {
    rill__conn_kill(c);
    return RILL_ERR_NOMEM;
  }
  hub->metrics.requests_total++;
  req->conn = c;
  req->http = c->http;
  c->http = NULL;
  c->request = req;
  c->state = RILL__VERDICT;
  if (rill__conn_is(c, RILL__HALF_OPEN)) {
    c->flags &= (uint16_t)~RILL__HALF_OPEN;
    hub->nhalf_open--;
  }
  c->flags &= (uint16_t)~RILL__KEEP;
  if (rill__http_head_of(req->http)->keep_alive)
    c->flags |= RILL__KEEP;
  c->since = rill__after(hub->now, hub->config.limits.verdict_ms);
  rill__conn_arm(c);

  if (!rill__request_find_address(req)) {
    rill__conn_kill(c); /* orphans the request */
    req->answered = true;
    rill__request_free(req);
    return RILL_ERR_NOMEM;
  }
  if (early(req))
    return 0;
  req->hooked = true;
  rv = run_hook(req);
  if (rv != RILL_LATER && !req->answered && !req->accepted &&
      req->poster == NULL) {
    if (rv < 0)
      hub->metrics.handler_errors_total++;
    if (req->conn != NULL)
      refuse(req, 500, "no answer", NULL, (rill_str){0});
    req->answered = true;
  }
  req->hooked = false;
  if (!req->answered)
    rill__conn_ready(c); /* it stops reading until the verdict */
  else if (c->request == req)
    rill__request_open(c);
  else if (!req->kept)
    rill__request_free(req);
  return 0;
}

void rill__request_expire(rill_conn *c) {
  rill_request *req = c->request;

  if (req != NULL) {
    /* the hook still has it: it finds out when it answers */
    rill__request_orphan(req);
    c->request = NULL;
    while (c->peer != NULL) { /* of a stream whose rooms are not decided */
      rill__peer *p = c->peer;
      rill__peer_unbind(p);
      rill__peer_free(p);
    }
  }
  rill__conn_http_error(c, 503, "no verdict in time");
}

/* 0, or why |req| cannot be answered; gives it back where the client left. */
static int answerable(rill_request *req) {
  if (req->answered || req->accepted || req->poster != NULL)
    return RILL_ERR_STATE;
  if (req->connects ? req->session != NULL : req->conn != NULL)
    return 0;
  req->answered = true;
  if (!req->hooked)
    rill__request_free(req);
  return RILL_ERR_CLOSED;
}

/* A refusal as the dialect has it. */
static int turn_away(rill_request *req, int status, const char *reason,
                     const rill__node *data) {
  if (req->connects)
    return rill__connect_reject(req, status, reason, data);
  if (status == 503)
    return refuse(req, 503, reason, "Retry-After", rill_s("1"));
  return refuse(req, status, reason, NULL, (rill_str){0});
}

int rill_accept(rill_request *req, rill_str user) {
  int rv = answerable(req);
  rill_conn *c;

  if (rv != 0)
    return rv;
  if (!req->upgrade && !req->connects)
    return RILL_ERR_STATE;
  if (req->hub->draining) {
    turn_away(req, 503, "draining", NULL);
    return RILL_ERR_CLOSED;
  }
  if (user.len > 0)
    rv = rill__name_check(req->hub, user);
  if (rv != 0) {
    turn_away(req, 500, "the user's name is not valid", NULL);
    return rv;
  }
  if (req->connects)
    return rill__connect_accept(req, user);
  if (req->route->dialect == RILL_SSE)
    return rill__sse_accept(req, user);
  c = req->conn;
  if (req->route->dialect == RILL_ENGINEIO) {
    bool websocket = rill__http_head_of(req->http)->upgrade;
    req->answered = websocket;
    rv = rill__engineio_accept(req, user);
    if (rv == 0 && websocket && !req->hooked)
      rill__peer_due(c->peer, RILL__DUE_OPEN);
    return rv;
  }
  req->answered = true;
  rv = rill__handshake_accept(req, user);
  if (rv == 0 && req->route->dialect == RILL_JSON)
    return 0; /* it is opened when the hook returns */
  if (rv == 0 && !req->hooked)
    rill__peer_due(c->peer, RILL__DUE_OPEN);
  return rv;
}

void rill__request_open(rill_conn *c) {
  rill_request *req = c->request;
  rill_hub *hub = c->hub;
  rill__peer *p;
  const rill_handlers *h;
  void *arg;
  int rv;

  c->request = NULL;
  rill__conn_ws_open(c);
  p = c->peer;
  if (p == NULL) { /* a session without anybody in it yet */
    if (c->session != NULL) {
      c->session->head = req->http;
      req->http = NULL;
    }
    rill__request_free(req);
    return;
  }
  h = rill__peer_handlers(p, &arg);
  if (h->on_open != NULL) {
    hub->in_handler = true;
    rv = h->on_open(rill__peer_handle(p), req, arg);
    hub->in_handler = false;
    rill__peer_handled(p, rv);
  }
  rill__request_free(req);
}

void rill__request_spent(rill_request *req) {
  req->answered = true;
  req->conn->request = NULL;
  if (!req->hooked)
    rill__request_free(req);
}

static int reject(rill_request *req, int status, const char *reason,
                  const rill__node *data) {
  int rv = answerable(req);

  if (rv != 0)
    return rv;
  if (req->upgrade || req->connects) {
    req->hub->metrics.auth_refused_total++;
    rill__hub_log(req->hub, RILL_LOG_INFO, "request.reject",
                  rill_request_address(req), reason);
  }
  if (status < 400 || status > 599)
    status = 500;
  return turn_away(req, status, reason, data);
}

int rill_reject(rill_request *req, int status, const char *reason) {
  return reject(req, status, reason, NULL);
}

int rill_reject_with(rill_request *req, int status, const char *reason,
                     const rill_builder *data) {
  rill_value first = {0};

  if (data != NULL)
    first = rill_value_at(rill_builder_value(data), 0);
  return reject(req, status, reason, first.node);
}

static void write_response(rill_request *req, const rill_response *r,
                           rill__bytes *out, bool close) {
  rill__bytes length;
  const char *type = r->type != NULL ? r->type : "text/plain; charset=utf-8";

  rill__http_begin_response(out, r->status == 0 ? 200 : r->status);
  rill__bytes_init(&length, &req->hub->alloc);
  rill__bytes_u64(&length, r->body_len);
  if (r->status != 204 && r->status != 304) {
    rill__http_add_header(out, rill_s("Content-Type"), rill_s(type));
    rill__http_add_header(out, rill_s("Content-Length"),
                          (rill_str){(char *)length.data, length.len});
  }
  for (size_t i = 0; i < r->nheaders; i++)
    rill__http_add_header(out, rill_s(r->headers[i].name),
                          rill_s(r->headers[i].value));
  if (close)
    rill__http_add_header(out, rill_s("Connection"), rill_s("close"));
  rill__http_end(out);
  if (!rill_str_eq(rill_request_method(req), rill_s("HEAD")) &&
      r->status != 204 && r->status != 304)
    rill__bytes_add(out, r->body, r->body_len);
  if (length.failed)
    out->failed = true;
  rill__bytes_finish(&length);
}

int rill_respond(rill_request *req, const rill_response *r) {
  int rv = answerable(req);
  rill__bytes out;
  bool close;

  if (rv != 0)
    return rv;
  for (size_t i = 0; i < r->nheaders; i++)
    if (!rill__http_is_token(rill_s(r->headers[i].name)) ||
        !rill__http_is_value(rill_s(r->headers[i].value)))
      rv = RILL_ERR_ARG;
  if ((r->status != 0 && (r->status < 200 || r->status > 599)) ||
      (r->type != NULL && !rill__http_is_value(rill_s(r->type))))
    rv = RILL_ERR_ARG;
  if (rv != 0 || req->upgrade) {
    refuse(req, 500, "the answer is not valid HTTP", NULL, (rill_str){0});
    return RILL_ERR_ARG;
  }
  close = !rill__conn_is(req->conn, RILL__KEEP) || req->hub->draining;
  rill__bytes_init(&out, &req->hub->alloc);
  write_response(req, r, &out, close);
  return answer(req, &out, close);
}

rill_str rill_request_method(const rill_request *req) {
  return req->http != NULL ? rill__http_head_of(req->http)->method
                           : (rill_str){0};
}

rill_str rill_request_path(const rill_request *req) {
  return req->http != NULL ? rill__http_head_of(req->http)->path
                           : (rill_str){0};
}

rill_str rill_request_param(const rill_request *req, const char *name) {
  if (req->route == NULL || req->http == NULL)
    return (rill_str){0};
  return rill__route_param(req->route, rill_request_path(req), name);
}

rill_str rill_request_header(const rill_request *req, const char *name) {
  return req->http != NULL ? rill__http_header(req->http, name, 0)
                           : (rill_str){0};
}

rill_str rill_request_body(const rill_request *req) {
  return req->http != NULL ? rill__http_body(req->http) : (rill_str){0};
}

rill_str rill_request_address(const rill_request *req) {
  return (rill_str){(const char *)req->address.data, req->address.len};
}

rill_hub *rill_request_hub(const rill_request *req) {
  return req->hub;
}

/* Cuts |*rest| at the first |at|; returns what stood before it. */
static rill_str cut(rill_str *rest, char at) {
  const char *p = rest->len > 0 ? memchr(rest->ptr, at, rest->len) : NULL;
  rill_str s = *rest;

  if (p == NULL) {
    *rest = (rill_str){0};
    return s;
  }
  s.len = (size_t)(p - rest->ptr);
  rest->len -= s.len + 1;
  rest->ptr = p + 1;
  return s;
}

rill_str rill_request_query(const rill_request *req, const char *name) {
  rill_str query =
      req->http != NULL ? rill__http_head_of(req->http)->query : (rill_str){0};
  rill_str rest = query, value = {0};
  rill__bytes *scratch = req->scratch;
  int64_t len;
  char *out;

  while (rest.len > 0) {
    value = cut(&rest, '&');
    if (rill_str_eq(cut(&value, '='), rill_s(name)))
      break;
    value = (rill_str){0};
  }
  if (value.len == 0 || scratch->failed)
    return (rill_str){0};
  if (scratch->cap == 0 && !rill__bytes_reserve(scratch, query.len))
    return (rill_str){0};
  /* each value has its own place, so that earlier results stay */
  out = (char *)scratch->data + (value.ptr - query.ptr);
  len = rill__http_unescape(value, true, out);
  return len < 0 ? (rill_str){0} : (rill_str){out, (size_t)len};
}

rill_str rill_request_credential(const rill_request *req) {
  rill_str token = rill_get_str(rill_request_auth(req), "token");
  rill_str auth = rill_request_header(req, "authorization");
  rill_str scheme = cut(&auth, ' ');

  if (token.len > 0)
    return token;
  if (rill__http_same(scheme, "bearer")) {
    while (auth.len > 0 && auth.ptr[0] == ' ') {
      auth.ptr++;
      auth.len--;
    }
    return auth;
  }
  return rill_request_query(req, "token");
}
