/*
 * connect.c - who connects to a namespace of a session: authenticate asks,
 * now or later, then there is a peer, new or come back.
 *
 * The question is a rill_request as every other, with the head of the
 * handshake, but without a conn of its own.
 */
#include "hub/batch.h"
#include "hub/conn.h"
#include "hub/history.h"
#include "hub/recover.h"
#include "hub/session.h"

static void unlist(rill_request *req) {
  rill_request **at = &req->session->connects;

  while (*at != req)
    at = &(*at)->next;
  *at = req->next;
}

/* The verdict is given; who hooked it frees it. */
static void spent(rill_request *req) {
  req->answered = true;
  if (req->session != NULL)
    unlist(req);
  req->session = NULL;
  if (!req->hooked)
    rill__request_free(req);
}

/* The hook that has it finds out; the head was the session's. */
static void forsake(rill_request *req) {
  req->session = NULL;
  if (req->borrowed)
    req->http = NULL;
}

void rill__connects_drop(rill__session *s) {
  while (s->connects != NULL) {
    rill_request *req = s->connects;
    s->connects = req->next;
    forsake(req);
  }
}

/*
 * While a handler has |req| its head is its own: that may end the session,
 * and with it what the session has.
 */
static void lend_head(rill__session *s, rill_request *req) {
  if (s == NULL || !req->borrowed)
    return;
  req->http = s->head;
  req->borrowed = false;
  s->head = NULL;
}

static void return_head(rill__session *s, rill_request *req) {
  if (s == NULL || s->head != NULL || !req->connects || req->borrowed)
    return;
  s->head = req->http;
  req->borrowed = true;
}

int rill__connect_peer(rill__session *s, rill__space *space, rill_str user) {
  rill_conn *c = s->conn;
  rill__peer *p = rill__peer_new(s->hub, &s->route->opts);
  int rv = RILL_ERR_NOMEM;

  if (p == NULL)
    return rv;
  if (!rill__voice_new(p, space))
    goto failed;
  if (user.len > 0 && (rv = rill__user_add(p, user)) != 0)
    goto failed;
  p->voice->session = s;
  p->variant = c->variant;
  if (s->route->dialect == RILL_JSON)
    p->protocol = rill__format_of(c->variant) == RILL__AS_MSGPACK ? 2 : 1;
  rill__peer_bind(p, c);
  return 0;
failed:
  rill__peer_free(p);
  return rv;
}

/* Reads on, where the verdict was waited for: when |p| has been told. */
static void go_on(rill__session *s, rill__peer *p) {
  rill_conn *c = s->conn;

  if (s->route->dialect != RILL_JSON || !rill__conn_is(c, RILL__PAUSED))
    return;
  c->flags &= (uint16_t)~RILL__PAUSED;
  rill__peer_due(p, RILL__DUE_INPUT);
  rill__conn_ready(c);
}

/* What its rooms hold back is in their rings, too: it must not come twice. */
static void hand_out(rill__peer *p) {
  rill_hub *hub = p->hub;

  for (rill__member *m = p->rooms; m != NULL; m = m->next)
    rill__batch_flush(hub, m->room);
  rill__fanout_close(hub, &hub->fanout);
}

/*
 * A peer that may go on: its |*offset| is what its client knows.  Takes it
 * from a conn that has not noticed its end yet where the secret is new each
 * time; Socket.IO's stays the same, so there the first conn must be over.
 */
static rill__peer *returning(rill_request *req, rill_str user, uint64_t *offset,
                             bool *complete) {
  rill__session *s = req->session;
  rill_hub *hub = s->hub;
  rill__peer *p = rill__recover_find(hub, req->space, req->how.secret, user);
  uint64_t known;

  if (p != NULL && p->open && s->route->dialect == RILL_JSON &&
      p->conn != s->conn)
    rill__conn_ws_cut(p->conn, RILL_CAUSE_EOF, "it has come back");
  if (p != NULL)
    p = rill__recover_find(hub, req->space, req->how.secret, user);
  if (p == NULL || !p->away)
    return NULL;
  hand_out(p);
  if (req->session == NULL || s->conn->state != RILL__OPEN)
    return NULL;
  known = p->voice->since;
  *offset = known;
  if (req->how.offset.len > 0 &&
      !rill__offset_read(hub, req->how.offset, offset))
    return NULL;
  if (*offset < known) /* what is older was not for it */
    *offset = known;
  known = *offset;
  *offset = rill__history_fitting(p, known);
  *complete = *offset == known && rill__history_complete(p, known, true);
  if (*complete || s->route->dialect == RILL_JSON)
    return p;
  hub->metrics.recovered_gap_total++;
  rill__peer_give_up(p); /* for a stock client it is all or nothing */
  return NULL;
}

static void come_back(rill_request *req, rill__peer *p, uint64_t offset,
                      bool complete) {
  rill__session *s = req->session;
  rill_conn *c = s->conn;
  bool json = s->route->dialect == RILL_JSON;

  if (complete)
    s->hub->metrics.recovered_total++;
  else
    s->hub->metrics.recovered_gap_total++;
  p->voice->missed = complete ? 0 : RILL_ERR_LIMIT;
  p->voice->session = s;
  p->opts = &s->route->opts;
  rill__peer_return(p);
  rill__peer_bind(p, c);
  rill__peer_opened(p);
  if (json && !rill__voice_secret(p)) {
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return;
  }
  if (json)
    rill__envelope_connected(p, complete);
  rill__history_replay(p, offset);
  if (!json && p->open)
    rill__socketio_connected(p);
}

int rill__connect_accept(rill_request *req, rill_str user) {
  rill__session *s = req->session;
  rill__peer *p;
  uint64_t offset = 0;
  bool complete = false;
  int rv = 0;

  rill__fanout_close(s->hub, &s->hub->fanout);
  if (req->session == NULL) { /* closed for being slow, just now */
    spent(req);
    return RILL_ERR_CLOSED;
  }
  p = returning(req, user, &offset, &complete);
  if (req->session == NULL || s->conn->state != RILL__OPEN) {
    spent(req);
    return RILL_ERR_CLOSED;
  }
  if (p != NULL) {
    go_on(s, p);
    come_back(req, p, offset, complete);
    spent(req);
    return 0;
  }
  rv = rill__connect_peer(s, req->space, user);
  if (rv != 0) {
    rill__connect_reject(req, 503, rill_strerror(rv), NULL);
    return rv;
  }
  p = s->conn->peer;
  go_on(s, p);
  if (req->space->opts.recovery && !rill__voice_secret(p)) {
    rill__conn_ws_cut(s->conn, RILL_CAUSE_NOMEM, "out of memory");
    spent(req);
    return RILL_ERR_NOMEM;
  }
  req->answered = true;
  unlist(req);
  p->voice->opening = req;
  if (!req->hooked)
    rill__peer_due(p, RILL__DUE_OPEN);
  return 0;
}

int rill__connect_reject(rill_request *req, int status, const char *reason,
                         const rill__node *data) {
  rill__session *s = req->session;

  if (s->route->dialect == RILL_JSON)
    rill__envelope_refuse(s, status, reason, data);
  else
    rill__socketio_refuse(s, rill__space_name(req->space), reason, data);
  spent(req);
  return 0;
}

void rill__connect_open(rill__peer *p) {
  rill_request *req = p->voice->opening;
  rill_hub *hub = p->hub;
  rill_conn *c = p->conn;
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv = 0;

  if (req == NULL)
    return;
  p->voice->opening = NULL;
  req->session = NULL;
  req->hooked = false;
  if (c != NULL) /* a stream may be over already */
    lend_head(c->session, req);
  if (p->conn != NULL && p->conn->state == RILL__OPEN && !p->open) {
    rill__peer_opened(p);
    p->voice->since = hub->offset;
    if (rill__envelope_speaks(p))
      rill__envelope_connected(p, false);
    else if (p->voice->session != NULL &&
             p->voice->session->route->dialect == RILL_SOCKETIO)
      rill__socketio_connected(p);
  }
  if (p->told && h->on_open != NULL) { /* though it may be over already */
    hub->in_handler = true;
    rv = h->on_open(rill__peer_handle(p), req, arg);
    hub->in_handler = false;
    rill__peer_handled(p, rv);
  }
  if (c != NULL)
    return_head(c->session, req);
  if (p->conn != NULL && p->voice->session != NULL)
    rill__session_forget_head(p->voice->session);
  rill__request_free(req);
}

static rill_request *request_of(rill__session *s, rill__space *space,
                                uint32_t auth, const rill__connect *how) {
  rill_hub *hub = s->hub;
  rill_request *req = rill__request_new(hub);

  if (req == NULL) {
    rill__space_release(hub, space);
    return NULL;
  }
  req->session = s;
  req->space = space;
  space->npeers++; /* it stays as long as somebody asks for it */
  req->route = s->route;
  req->connects = true;
  req->verdict_by = rill__after(hub->now, hub->config.limits.verdict_ms);
  req->polled = rill__conn_is(s->conn, RILL__BOX);
  req->http = s->head;
  req->borrowed = true;
  rill__bytes_add(&req->address, s->address.data, s->address.len);
  if (auth != UINT32_MAX)
    rill_put_value(&req->auth, (rill_value){hub->tape.v + auth});
  rill__bytes_add(&req->secret, how->secret.ptr, how->secret.len);
  rill__bytes_add(&req->secret, how->offset.ptr, how->offset.len);
  req->how.secret = (rill_str){(const char *)req->secret.data, how->secret.len};
  req->how.offset = (rill_str){(const char *)req->secret.data + how->secret.len,
                               how->offset.len};
  if (!req->secret.failed && !req->address.failed &&
      rill_builder_error(&req->auth) == 0)
    return req;
  rill__request_free(req);
  return NULL;
}

int rill__connect_ask(rill__session *s, rill__space *space, uint32_t auth,
                      const rill__connect *how) {
  rill_hub *hub = s->hub;
  rill_conn *c = s->conn;
  rill_request *req = request_of(s, space, auth, how), **end;
  rill__peer *p;
  int rv;

  if (req == NULL)
    return rill__socketio_violation(s, RILL_ERR_NOMEM);
  for (end = &s->connects; *end != NULL;)
    end = &(*end)->next;
  *end = req;
  req->hooked = true;
  if (hub->config.authenticate == NULL) {
    rv = rill_accept(req, (rill_str){0});
  } else {
    lend_head(s, req);
    hub->in_handler = true;
    rv = hub->config.authenticate(req, hub->config.arg);
    hub->in_handler = false;
    return_head(c->session, req);
  }
  if (rv != RILL_LATER && !req->answered) {
    if (rv < 0)
      hub->metrics.handler_errors_total++;
    if (req->session != NULL)
      rill__connect_reject(req, 500, "no answer", NULL);
    req->answered = true;
  }
  req->hooked = false;
  if (!req->answered) {
    if (req->session != NULL) {
      if (s->route->dialect == RILL_JSON)
        c->flags |= RILL__PAUSED; /* what follows waits for the verdict */
      rill__conn_arm(c);
      rill__conn_ready(c);
    }
    return c->state >= RILL__FLUSH ? RILL_ERR_CLOSED : 0;
  }
  /* the hook may have accepted others after it */
  for (p = c->peer; p != NULL && p->voice->opening != req;)
    p = rill__peer_sibling(p);
  if (p != NULL)
    rill__connect_open(p);
  else
    rill__request_free(req);
  return c->state >= RILL__FLUSH ? RILL_ERR_CLOSED : 0;
}

rill_time rill__connects_due(const rill__session *s) {
  rill_time due = RILL_NEVER;

  for (const rill_request *r = s->connects; r != NULL; r = r->next)
    due = rill__sooner(due, r->verdict_by);
  return due;
}

/* The hook still has it, and finds out when it answers. */
void rill__connects_expire(rill__session *s) {
  rill_request **at = &s->connects, *r;
  rill_conn *c = s->conn; /* without memory for a refusal |s| is gone */

  while (c->state == RILL__OPEN && (r = *at) != NULL) {
    rill__space *space = r->space;
    if (r->verdict_by > s->hub->now) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    forsake(r);
    s->hub->metrics.limit_verdict_ms++;
    if (s->route->dialect == RILL_JSON)
      rill__envelope_refuse(s, 503, "no verdict in time", NULL);
    else
      rill__socketio_refuse(s, rill__space_name(space), "no verdict in time",
                            NULL);
  }
}

rill_value rill_request_auth(const rill_request *req) {
  return rill_value_at(rill_builder_value(&req->auth), 0);
}

rill_str rill_request_space(const rill_request *req) {
  return req->space != NULL ? rill__space_name(req->space) : rill_s("/");
}

rill_str rill_request_transport(const rill_request *req) {
  if (req->route != NULL && req->route->fn == NULL &&
      req->route->dialect == RILL_SSE)
    return rill_s("sse");
  if (req->connects)
    return rill_s(req->polled ? "polling" : "websocket");
  return rill_s(req->http != NULL && rill__http_head_of(req->http)->upgrade
                    ? "websocket"
                    : "polling");
}

rill_str rill_peer_transport(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL || p->conn == NULL)
    return (rill_str){0};
  if (p->conn->variant == RILL__AS_SSE)
    return rill_s("sse");
  return rill_s(rill__conn_is(p->conn, RILL__BOX) ? "polling" : "websocket");
}
