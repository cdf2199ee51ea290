/*
 * handshake.c - the server's side of the opening handshake (RFC 6455 4.2).
 */
#include "hub/request.h"

#include "hub/address.h"
#include "hub/session.h"
#include "wire/deflate.h"

int rill__handshake_check(rill_request *req, const char **reason) {
  const rill__http_head *head = rill__http_head_of(req->http);
  rill_str version = rill__http_header(req->http, "sec-websocket-version", 0);

  if (!head->upgrade || head->minor < 1 ||
      !rill__http_has_token(req->http, "upgrade", "websocket")) {
    *reason = "a WebSocket handshake is expected here";
    return 426;
  }
  if (!rill_str_eq(version, rill_s("13")) ||
      rill__http_header(req->http, "sec-websocket-version", 1).ptr != NULL) {
    *reason = "only version 13 is spoken here";
    return 426;
  }
  if (!rill__ws_key_ok(rill__http_header(req->http, "sec-websocket-key", 0)) ||
      rill__http_header(req->http, "sec-websocket-key", 1).ptr != NULL) {
    *reason = "the Sec-WebSocket-Key is not valid";
    return 400;
  }
  if (!rill__origin_ok(req)) {
    req->hub->metrics.origin_refused_total++;
    rill__hub_log(req->hub, RILL_LOG_WARN, "request.origin",
                  rill__http_header(req->http, "origin", 0), NULL);
    *reason = "this origin is not allowed";
    return 403;
  }
  return 0;
}

/* The first of the route's subprotocols that the client offers: 1 + index. */
static uint8_t choose_subprotocol(const rill_request *req) {
  const rill_route_opts *opts = &req->route->opts;

  for (size_t i = 0; i < opts->nsubprotocols; i++)
    if (rill__http_has_token(req->http, "sec-websocket-protocol",
                             opts->subprotocols[i]))
      return (uint8_t)(i + 1);
  return 0;
}

/* Several fields count as one list (RFC 9110 5.3). */
static bool negotiate(const rill_request *req, rill__pmd_params *params,
                      char answer[160]) {
  rill_str offers;

  for (size_t i = 0;; i++) {
    offers = rill__http_header(req->http, "sec-websocket-extensions", i);
    if (offers.ptr == NULL)
      return false;
    if (rill__pmd_accept(&req->route->opts.deflate, offers, params, answer))
      return true;
  }
}

static bool write_answer(const rill_request *req, uint8_t protocol,
                         const char *extensions) {
  char accept[29];
  rill__bytes out;
  bool ok;

  rill__ws_accept_key(rill__http_header(req->http, "sec-websocket-key", 0),
                      accept);
  rill__bytes_init(&out, &req->hub->alloc);
  rill__http_begin_response(&out, 101);
  rill__http_add_header(&out, rill_s("Upgrade"), rill_s("websocket"));
  rill__http_add_header(&out, rill_s("Connection"), rill_s("Upgrade"));
  rill__http_add_header(&out, rill_s("Sec-WebSocket-Accept"), rill_s(accept));
  if (protocol > 0)
    rill__http_add_header(&out, rill_s("Sec-WebSocket-Protocol"),
                          rill_s(req->route->opts.subprotocols[protocol - 1]));
  if (extensions != NULL)
    rill__http_add_header(&out, rill_s("Sec-WebSocket-Extensions"),
                          rill_s(extensions));
  rill__http_end(&out);
  ok = !out.failed && rill__conn_write(req->conn, out.data, out.len);
  rill__bytes_finish(&out);
  return ok;
}

/* What the conn needs before the answer may be written. */
static int prepare(rill_request *req, rill__pmd_params *params, bool deflate) {
  rill_hub *hub = req->hub;
  rill_conn *c = req->conn;
  rill_route_opts *opts = &req->route->opts;
  rill_str address = rill_request_address(req);

  if (!rill_str_eq(address, rill__address_text(c))) {
    rill__conn_extra *x = rill__conn_extra_of(c);
    if (x == NULL)
      return RILL_ERR_NOMEM;
    rill__bytes_clear(&x->address);
    rill__bytes_add(&x->address, address.ptr, address.len);
    if (x->address.failed)
      return RILL_ERR_NOMEM;
  }
  if (deflate) {
    c->ws.pmd = rill__pmd_new(&hub->ws, false, params, &opts->deflate);
    if (c->ws.pmd == NULL)
      return RILL_ERR_NOMEM;
  }
  return 0;
}

int rill__handshake_answer(rill_request *req, uint8_t *chosen) {
  rill__pmd_params params;
  char answer[160];
  bool deflate =
      req->route->opts.deflate.enabled && negotiate(req, &params, answer);
  uint8_t protocol = choose_subprotocol(req);
  int rv = prepare(req, &params, deflate);

  if (rv == 0 && !write_answer(req, protocol, deflate ? answer : NULL))
    rv = RILL_ERR_NOMEM;
  if (rv != 0)
    return rv; /* the conn may have been cut, and its peer with it */
  if (chosen != NULL)
    *chosen = protocol;
  req->conn->since = RILL_NEVER;
  rill__conn_arm(req->conn);
  return 0;
}

/* The envelope's session; its peer comes with "open". */
static int accept_envelope(rill_request *req) {
  rill_conn *c = req->conn;
  rill__session *s = rill__session_new(c, req, false);
  uint8_t protocol;
  int rv = s != NULL ? rill__handshake_answer(req, &protocol) : RILL_ERR_NOMEM;

  if (rv != 0)
    return rv;
  c->variant = protocol == 2 ? RILL__AS_MSGPACK : RILL__AS_JSON;
  if (c->ws.pmd != NULL)
    c->variant = (uint8_t)(c->variant + rill__pmd_send_bits(c->ws.pmd) - 8);
  return 0;
}

static int accept_raw(rill_request *req, rill_str user) {
  rill_conn *c = req->conn;
  rill__peer *p = rill__peer_new(req->hub, &req->route->opts);

  if (p == NULL)
    return RILL_ERR_NOMEM;
  rill__peer_bind(p, c);
  if (user.len > 0 && rill__user_add(p, user) != 0)
    return RILL_ERR_NOMEM;
  return rill__handshake_answer(req, &p->protocol);
}

int rill__handshake_accept(rill_request *req, rill_str user) {
  rill_conn *c = req->conn; /* the request may go with it */
  int rv = req->route->dialect == RILL_JSON ? accept_envelope(req)
                                            : accept_raw(req, user);

  if (rv != 0 && c->state != RILL__DEAD)
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
  return rv;
}
