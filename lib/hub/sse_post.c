/*
 * sse_post.c - the other direction of server-sent events: a POST is an event,
 * of the stream whose session it names, or of a peer that lives for it.
 */
#include "hub/conn.h"
#include "hub/emit.h"
#include "hub/event.h"
#include "hub/session.h"

static void answer_json(rill_request *req, int status, const rill__node *args,
                        const char *code, const char *message) {
  rill__bytes out, body;

  rill__bytes_init(&body, &req->hub->alloc);
  if (args != NULL) {
    rill__bytes_str(&body, "{\"args\":");
    rill__json_write(&body, args, NULL);
  } else {
    rill__bytes_str(&body, "{\"error\":{\"code\":");
    rill__json_write_str(&body, rill_s(code));
    rill__bytes_str(&body, ",\"message\":");
    rill__json_write_str(&body, rill_s(message));
    rill__bytes_str(&body, "}");
  }
  rill__bytes_str(&body, "}");
  rill__bytes_init(&out, &req->hub->alloc);
  rill__http_begin_response(&out, status);
  rill__http_add_header(&out, rill_s("Content-Type"),
                        rill_s("application/json"));
  rill__bytes_str(&out, "Content-Length: ");
  rill__bytes_u64(&out, body.len);
  rill__bytes_str(&out, "\r\nCache-Control: no-store\r\n");
  rill__cors_headers(req, &out);
  if (!rill__conn_is(req->conn, RILL__KEEP))
    rill__http_add_header(&out, rill_s("Connection"), rill_s("close"));
  rill__http_end(&out);
  rill__bytes_add(&out, body.data, body.len);
  out.failed |= body.failed;
  rill__bytes_finish(&body);
  rill__request_answer(req, &out, NULL, false);
}

static rill_request **post_of(rill__peer *p, uint64_t id) {
  rill_request **at = &p->voice->posts;

  while (*at != NULL && (*at)->id != id)
    at = &(*at)->next;
  return at;
}

/* Takes the POST off its peer, who may have been made for it. */
static void unlist(rill__peer *p, rill_request **at) {
  rill_request *req = *at;

  *at = req->next;
  req->poster = NULL;
  if (p->transient)
    rill__peer_due(p, RILL__DUE_CLOSE);
}

int rill__sse_answer(rill__peer *p, uint64_t id, const rill__node *args) {
  rill_request **at = post_of(p, id), *req = *at;

  if (req == NULL)
    return RILL_ERR_STATE;
  unlist(p, at);
  answer_json(req, 200, args, NULL, NULL);
  return 0;
}

static void fail(rill__peer *p, uint64_t id, int status, const char *code,
                 const char *message) {
  rill_request **at = post_of(p, id), *req = *at;

  if (req == NULL)
    return;
  unlist(p, at);
  answer_json(req, status, NULL, code, message);
}

void rill__sse_fail(rill__peer *p, uint64_t id, const char *code,
                    const char *message) {
  fail(p, id, 422, code, message);
}

bool rill__sse_speaks(const rill__peer *p) {
  return p->transient || p->variant == RILL__AS_SSE;
}

void rill__sse_lost(rill_request *req) {
  rill__peer *p = req->poster;
  unlist(p, post_of(p, req->id));
}

void rill__sse_posts_drop(rill__peer *p) {
  while (p->voice->posts != NULL) {
    rill_request *req = p->voice->posts;
    p->voice->posts = req->next;
    req->poster = NULL;
    if (req->conn != NULL)
      answer_json(req, 410, NULL, "gone", "the stream has ended");
  }
}

static void bad(rill_request *req, const char *message) {
  answer_json(req, 400, NULL, "bad-event", message);
}

/* The body, in hub->tape: false where it has been refused. */
static bool read_post(rill_request *req, rill_value *m) {
  rill_hub *hub = req->hub;
  const rill_limits *l = &hub->config.limits;
  rill__value_limits limits = {l->value_depth, l->value_nodes, l->key_bytes};
  int rv;

  rill__tape_clear(&hub->tape);
  rv = rill__json_read(&hub->tape, rill_request_body(req), &limits);
  if (rv == 0 && hub->tape.v[0].type == RILL_OBJECT &&
      rill__value_unpack_bytes(&hub->tape, 0)) {
    m->node = hub->tape.v;
    return true;
  }
  if (rv == RILL_ERR_LIMIT)
    rill__hub_breach(hub, hub->tape.limit);
  bad(req, "the body is {\"event\":NAME,\"args\":[...]}");
  return false;
}

/* |p| has an event to be answered: the end of its client matters. */
static void list(rill__peer *p, rill_request *req) {
  req->id = ++req->hub->next_post;
  req->poster = p;
  req->next = p->voice->posts;
  p->voice->posts = req;
  req->conn->flags |= RILL__WATCH;
}

/* Gives the event of |req| to the handlers, as one of |p|'s. */
static void handle_post(rill_request *req, rill__peer *p, rill_value m) {
  static const rill__node none = {.type = RILL_ARRAY, .u.nodes = 1};
  rill_str name = rill_get_str(m, "event");
  rill_value args = rill_value_get(m, "args");
  uint64_t id;

  if (rill_value_type(args) == RILL_ABSENT)
    args.node = &none;
  if (rill__event_name_check(req->hub, name) != 0 ||
      rill_value_type(args) != RILL_ARRAY) {
    if (p->transient)
      rill__peer_due(p, RILL__DUE_CLOSE);
    bad(req, "\"event\" is a name, \"args\" an array");
    return;
  }
  list(p, req);
  id = req->id;
  p->voice->ack_taken = false;
  if (rill__event_handle(p, name, args.node, true, id) < 0)
    fail(p, id, 500, "failed", "a handler failed");
  else if (!p->voice->ack_taken && *post_of(p, id) != NULL)
    rill__sse_answer(p, id, &none); /* nobody means to answer */
}

void rill__sse_posted(rill__peer *p) {
  rill_request *req = p->voice->posts;
  rill_value m;

  if (req == NULL)
    return; /* the client has left */
  p->voice->posts = req->next;
  req->poster = NULL;
  if (read_post(req, &m))
    handle_post(req, p, m);
  else
    rill__peer_due(p, RILL__DUE_CLOSE);
}

/*
 * authenticate has accepted a POST without a session.  Its event is told
 * when the call that runs, or the next tick, ends: this is a command.
 */
int rill__sse_accept_post(rill_request *req, rill_str user) {
  rill_hub *hub = req->hub;
  rill__peer *p = rill__peer_new(hub, &req->route->opts);
  int rv = RILL_ERR_NOMEM;

  if (p != NULL)
    p->transient = true;
  if (p == NULL || !rill__voice_new(p, hub->spaces) ||
      (user.len > 0 && (rv = rill__user_add(p, user)) != 0)) {
    if (p != NULL)
      rill__peer_free(p);
    rill__request_refuse(req, 503, "out of memory");
    return rv;
  }
  list(p, req);
  rill__peer_due(p, RILL__DUE_OPEN);
  return 0;
}

void rill__sse_post(rill_request *req) {
  rill_value m;
  rill_str secret;
  rill__peer *p;

  if (!read_post(req, &m))
    return;
  secret = rill_get_str(m, "session");
  if (secret.ptr == NULL) {
    req->asks = true; /* authenticate is next */
    return;
  }
  p = rill__voice_by_secret(req->hub, secret);
  if (p == NULL || !p->open || p->conn->variant != RILL__AS_SSE ||
      p->opts != &req->route->opts) {
    answer_json(req, 410, NULL, "gone", "there is no such session");
    return;
  }
  p->conn->heard = req->hub->now;
  rill__conn_charge(p->conn, rill_request_body(req).len);
  handle_post(req, p, m);
}
