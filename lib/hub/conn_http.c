/*
 * conn_http.c - the states HTTP and VERDICT: heads, bodies, answers.
 */
#include "hub/conn.h"

#include "hub/address.h"
#include "hub/session.h"

static void counted_error(rill_conn *c) {
  rill__http_error e = rill__http_error_of(c->http);

  c->hub->metrics.bad_requests_total++;
  rill__hub_log(c->hub, RILL_LOG_WARN, "request.bad", rill__address_text(c),
                e.reason);
  rill__hub_breach(c->hub, e.limit);
  rill__conn_http_error(c, e.status, e.reason);
}

void rill__conn_http_error(rill_conn *c, int status, const char *reason) {
  rill__bytes out;

  rill__bytes_init(&out, &c->hub->alloc);
  rill__http_error_answer(&out, status, rill_s(reason), true, false);
  if (out.failed)
    rill__conn_kill(c);
  else if (rill__conn_write(c, out.data, out.len))
    rill__conn_flush(c);
  rill__bytes_finish(&out);
}

/*
 * The answer to a body that is too large for its route: what CORS asks for
 * is on it, and whose session it is for is untouched.
 */
static void too_large(rill_conn *c, rill__route *route) {
  rill_request req = {
      .hub = c->hub, .conn = c, .http = c->http, .route = route};
  rill__bytes out;

  c->hub->metrics.bad_requests_total++;
  rill__bytes_init(&out, &c->hub->alloc);
  rill__http_begin_response(&out, 413);
  rill__cors_headers(&req, &out);
  rill__http_end_error(&out, 413, rill_s("the body is too large"), true, false);
  if (out.failed)
    rill__conn_kill(c);
  else if (rill__conn_write(c, out.data, out.len))
    rill__conn_flush(c);
  rill__bytes_finish(&out);
}

/* Is the body a payload of long-polling? */
static bool is_payload(const rill__route *route) {
  return route != NULL && route->fn == NULL &&
         (route->dialect == RILL_SOCKETIO || route->dialect == RILL_ENGINEIO);
}

/* Holds the body to what its route takes. */
static bool limit_body(rill_conn *c, const rill__route *route) {
  const rill_limits *l = &c->hub->config.limits;

  return is_payload(route) ? rill__http_limit_body(c->http, l->payload_bytes,
                                                   RILL__LIMIT_payload_bytes)
                           : rill__http_limit_body(c->http, l->body_bytes,
                                                   RILL__LIMIT_body_bytes);
}

/* A head is complete: may the body come? */
static bool go_on(rill_conn *c) {
  const rill__http_head *head = rill__http_head_of(c->http);
  static const char proceed[] = "HTTP/1.1 100 Continue\r\n\r\n";
  rill__route *route;
  bool wrong;

  if (!head->has_body)
    return true;
  route = rill__route_find(c->hub, head->method, head->path, &wrong);
  if (!limit_body(c, route)) {
    rill__hub_breach(c->hub, is_payload(route) ? RILL__LIMIT_payload_bytes
                                               : RILL__LIMIT_body_bytes);
    too_large(c, route);
    return false;
  }
  if (head->upgrade) {
    rill__conn_http_error(c, 400, "an upgrade request has no body");
    return false;
  }
  c->since = rill__after(c->hub->now, c->hub->config.limits.body_ms);
  rill__conn_arm(c);
  return !head->expect || rill__conn_write(c, proceed, sizeof proceed - 1);
}

/*
 * Reads on.  A request that is answered at once leaves the state HTTP or
 * OPEN, and what follows in |data| is read there; one that waits keeps it.
 */
int rill__conn_http_input(rill_conn *c, uint8_t *data, size_t len) {
  rill_hub *hub = c->hub;

  while (len > 0 && c->state == RILL__HTTP && !rill__conn_is(c, RILL__SOFT)) {
    size_t used = 0;
    rill__http_step step;

    if (c->http == NULL) {
      c->http = rill__http_new(&hub->http, false);
      if (c->http == NULL) {
        rill__conn_kill(c);
        return RILL_ERR_NOMEM;
      }
      if (!rill__conn_is(c, RILL__HALF_OPEN)) {
        c->since = rill__after(hub->now, hub->config.limits.head_ms);
        rill__conn_arm(c);
      }
    }
    step = rill__http_feed(c->http, data, len, &used);
    data += used;
    len -= used;
    if (step == RILL__HTTP_BAD) {
      counted_error(c);
      return RILL_ERR_PROTO;
    }
    if (step == RILL__HTTP_HEAD && !go_on(c))
      return RILL_ERR_PROTO;
    if (step == RILL__HTTP_HEAD && !rill__http_head_of(c->http)->has_body)
      step = RILL__HTTP_DONE;
    if (step == RILL__HTTP_DONE) {
      int rv = rill__request_run(c);
      if (rv < 0)
        return rv;
    }
  }
  if (len == 0)
    return 0;
  if (c->state <= RILL__VERDICT && !rill__conn_hold(c, data, len)) {
    rill__conn_kill(c);
    return RILL_ERR_NOMEM;
  }
  /* behind the last request of a connection nothing is read */
  return rill__conn_early(c, data, len);
}

void rill__conn_http_next(rill_conn *c) {
  rill_hub *hub = c->hub;

  if (!rill__conn_is(c, RILL__KEEP) || hub->draining) {
    rill__conn_flush(c);
    return;
  }
  c->state = RILL__HTTP;
  c->since = rill__after(hub->now, hub->config.limits.keepalive_ms);
  if (c->out.bytes >= hub->config.limits.soft_bytes) {
    c->flags |= RILL__SOFT;
    hub->metrics.limit_soft_bytes++;
  }
  rill__conn_http_again(c);
  rill__conn_arm(c);
  rill__conn_ready(c);
}

void rill__conn_http_again(rill_conn *c) {
  if (c->state != RILL__HTTP || c->extra == NULL || c->extra->held.len == 0 ||
      rill__conn_is(c, RILL__SOFT))
    return;
  c->extra->held_due = true;
  rill__conn_arm(c);
}

void rill__conn_http_timeout(rill_conn *c) {
  rill_hub *hub = c->hub;

  if (c->state == RILL__HTTP && c->extra != NULL && c->extra->held_due) {
    rill__conn_feed_held(c);
  } else if (c->state == RILL__VERDICT) {
    hub->metrics.limit_verdict_ms++;
    rill__request_expire(c);
  } else if (c->http == NULL && !rill__conn_is(c, RILL__HALF_OPEN)) {
    hub->metrics.limit_keepalive_ms++;
    rill__conn_flush(c);
  } else {
    bool body = c->http != NULL &&
                rill__http_head_of(c->http)->method.len > 0 &&
                rill__http_head_of(c->http)->has_body;
    hub->metrics.limit_head_ms += !body;
    hub->metrics.limit_body_ms += body;
    rill__conn_http_error(c, 408, "the request took too long");
  }
}
