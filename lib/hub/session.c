#include "hub/session.h"

#include "hub/conn.h"
#include "hub/event.h"

static unsigned hash_of(const rill_hub *hub, rill_str sid) {
  return (unsigned)rill__hub_hash(hub, sid);
}

rill__session *rill__session_find(rill_hub *hub, rill_str sid) {
  rill__session *s = NULL;

  if (sid.len == RILL__SID && hub->sessions != NULL)
    HASH_FIND_BYHASHVALUE(hh, hub->sessions, sid.ptr, RILL__SID,
                          hash_of(hub, sid), s);
  return s;
}

rill__session *rill__session_new(rill_conn *c, rill_request *req,
                                 bool engineio) {
  rill_hub *hub = c->hub;
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__session *s = rill__calloc(&hub->alloc, sizeof *s);
  rill_str address = rill_request_address(req);

  if (s == NULL)
    return NULL;
  s->hub = hub;
  s->conn = c;
  s->route = req->route;
  s->probe_by = s->parts_by = RILL_NEVER;
  s->connect_by = rill__after(hub->now, hub->config.limits.connect_ms);
  rill__bytes_init(&s->parted, &hub->alloc);
  rill__bytes_init(&s->address, &hub->alloc);
  rill__bytes_add(&s->address, address.ptr, address.len);
  if (rill__random_id(hub, s->sid)) /* the envelope's is known to nobody */
    HASH_ADD_BYHASHVALUE(hh, hub->sessions, sid, RILL__SID,
                         hash_of(hub, (rill_str){s->sid, RILL__SID}), s);
  else
    map_failed = true;
  if (map_failed || s->address.failed) {
    if (!map_failed)
      HASH_DEL(hub->sessions, s);
    rill__bytes_finish(&s->address);
    rill__free(&hub->alloc, s, sizeof *s);
    return NULL;
  }
  s->engineio = engineio;
  hub->metrics.sessions += engineio;
  c->session = s;
  return s;
}

void rill__session_forget_head(rill__session *s) {
  /* "/" alone has no more to ask for */
  if (s->hub->nspaces > 1 && s->route->dialect == RILL_SOCKETIO)
    return;
  rill__http_free(s->head);
  s->head = NULL;
}

void rill__parts_free(rill_hub *hub, rill__parts *p) {
  if (p == NULL)
    return;
  hub->parts_bytes -= p->data.len;
  rill__bytes_finish(&p->data);
  rill__free(&hub->alloc, p, sizeof *p + p->want * sizeof p->ends[0]);
}

static void session_free(rill__session *s) {
  rill_hub *hub = s->hub;
  const rill__alloc *map_alloc = &hub->alloc;

  HASH_DEL(hub->sessions, s);
  hub->metrics.sessions -= s->engineio;
  rill__parts_free(hub, s->parts);
  rill__http_free(s->head);
  rill__bytes_finish(&s->parted);
  rill__bytes_finish(&s->address);
  rill__free(&hub->alloc, s, sizeof *s);
}

/* A GET or POST that waits is answered: the session is no more. */
static void dismiss(rill_request **req) {
  rill_request *r = *req;

  *req = NULL;
  if (r != NULL)
    rill__request_refuse(r, 400, "the session has ended");
}

void rill__session_conn_gone(rill_conn *c) {
  rill__session *s = c->session;
  rill_conn *probe;

  c->session = NULL;
  if (s == NULL)
    return;
  if (c == s->probe) {
    s->probe = NULL;
    s->probed = false; /* polls wait again */
    s->probe_by = RILL_NEVER;
    s->hub->metrics.upgrades_failed_total++;
    return;
  }
  probe = s->probe;
  s->probe = NULL;
  rill__connects_drop(s);
  dismiss(&s->poll);
  dismiss(&s->post);
  if (probe != NULL) {
    probe->session = NULL;
    rill__conn_ws_cut(probe, RILL_CAUSE_EOF, "the session has ended");
  }
  session_free(s);
}

void rill__session_parted(rill__session *s, const rill__space *space) {
  uint64_t hash = rill__hub_hash(s->hub, rill__space_name(space));

  if (!rill__session_has_parted(s, rill__space_name(space)) &&
      s->parted.len < s->hub->config.limits.spaces_per_session * sizeof hash)
    rill__bytes_add(&s->parted, &hash, sizeof hash);
}

bool rill__session_has_parted(const rill__session *s, rill_str space) {
  uint64_t hash = rill__hub_hash(s->hub, space), one;

  for (size_t at = 0; at + sizeof one <= s->parted.len; at += sizeof one) {
    memcpy(&one, s->parted.data + at, sizeof one);
    if (one == hash)
      return true;
  }
  return false;
}

bool rill__session_polled(const rill__session *s) {
  return s->poll != NULL;
}

rill__peer *rill__session_peer(const rill__session *s,
                               const rill__space *space) {
  rill__peer *p = s->conn->peer;

  while (p != NULL && rill__peer_space(p) != space)
    p = rill__peer_sibling(p);
  return p;
}

/* Is the head kept for nobody but who may still connect? */
static bool head_is_over(const rill__session *s) {
  return s->head != NULL && s->connects == NULL;
}

rill_time rill__session_due(const rill_conn *c) {
  const rill__session *s = c->session;
  rill_time due = s->parts_by;

  if (c == s->probe)
    return s->probe_by;
  if (s->connects != NULL)
    due = rill__sooner(due, rill__connects_due(s));
  if (c->peer == NULL || head_is_over(s))
    due = rill__sooner(due, s->connect_by);
  return due;
}

void rill__session_tick(rill_conn *c) {
  rill__session *s = c->session;
  rill_hub *hub = c->hub;

  if (c == s->probe && s->probe_by <= hub->now) {
    hub->metrics.limit_upgrade_ms++;
    rill__conn_ws_fail(c, RILL_CAUSE_TIMEOUT, RILL_CLOSE_POLICY,
                       "no upgrade in time");
  } else if (c != s->probe && rill__connects_due(s) <= hub->now) {
    rill__connects_expire(s);
  } else if (c != s->probe && c->peer != NULL && head_is_over(s) &&
             s->connect_by <= hub->now) {
    rill__http_free(s->head); /* who connects now is not asked its headers */
    s->head = NULL;
  } else if (c != s->probe && c->peer == NULL && s->connect_by <= hub->now) {
    hub->metrics.limit_connect_ms++;
    rill__conn_ws_fail(c, RILL_CAUSE_TIMEOUT, RILL_CLOSE_POLICY,
                       "nobody has connected in time");
  } else if (s->parts_by <= hub->now) {
    hub->metrics.limit_message_ms++;
    rill__conn_ws_fail(c, RILL_CAUSE_FLOOD, RILL_CLOSE_POLICY,
                       "a message took too long");
  }
}

int rill__session_message(rill_conn *c, const rill_msg *msg) {
  if (c->session->route->dialect == RILL_JSON)
    return rill__envelope_input(c->session, msg);
  return rill__engineio_input(c, msg);
}

int rill__session_dispatch(rill__session *s, const rill_msg *msg) {
  if (s->route->dialect == RILL_SOCKETIO)
    return rill__socketio_input(s, msg);
  if (s->conn->peer == NULL)
    return 0; /* its verdict has not come, or was against it */
  return rill__conn_ws_deliver(s->conn, s->conn->peer, msg);
}

void rill__session_unknown(const rill_event *ev) {
  if (rill__envelope_speaks(ev->peer) || rill__sse_speaks(ev->peer))
    rill_event_fail(ev, "unknown", "nobody here knows such an event");
}

int rill__event_answer(rill__peer *p, uint64_t id, const rill__node *args) {
  if (rill__sse_speaks(p))
    return rill__sse_answer(p, id, args);
  if (!p->open || p->conn == NULL)
    return RILL_ERR_CLOSED;
  rill__fanout_close(p->hub, &p->hub->fanout);
  if (!p->open)
    return RILL_ERR_CLOSED;
  return rill__envelope_speaks(p) ? rill__envelope_answer(p, id, args)
                                  : rill__socketio_answer(p, id, args);
}
