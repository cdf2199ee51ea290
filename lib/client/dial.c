/*
 * dial.c - the client's side of the opening handshake (RFC 6455 4.1): the
 * states DIAL and HELLO.
 */
#include <rill/client.h>

#include <mbedtls/base64.h>

#include "hub/peer.h"
#include "hub/request.h"
#include "wire/deflate.h"
#include "wire/url.h"

/* The subprotocol of the answer must be one that was asked for. */
static bool take_subprotocol(rill_conn *c, rill_str answer) {
  const rill_route_opts *opts = c->peer->opts;

  if (answer.ptr == NULL)
    return true;
  for (size_t i = 0; i < opts->nsubprotocols; i++)
    if (rill_str_eq(rill_s(opts->subprotocols[i]), answer)) {
      c->peer->protocol = (uint8_t)(i + 1);
      return true;
    }
  return false;
}

/* The one reason that is not the server's fault. */
static const char no_memory[] = "out of memory";

static const char *take_extensions(rill_conn *c, rill_str answer) {
  const rill_deflate_opts *deflate = &c->peer->opts->deflate;
  rill__pmd_params params;
  bool on = false;

  if (answer.len == 0)
    return NULL;
  if (!deflate->enabled || !rill__pmd_confirm(deflate, answer, &params, &on))
    return "the server answered with an extension that was not asked for";
  if (!on)
    return NULL;
  c->ws.pmd = rill__pmd_new(&c->hub->ws, true, &params, deflate);
  return c->ws.pmd != NULL ? NULL : no_memory;
}

/* RFC 6455 4.1, the numbered list at its end: why the answer is none. */
static const char *judge(rill_conn *c) {
  const rill__http_head *head = rill__http_head_of(c->http);
  rill_str accept = rill__http_header(c->http, "sec-websocket-accept", 0);

  if (head->status != 101)
    return "the server did not switch protocols";
  if (!head->upgrade || !rill__http_has_token(c->http, "upgrade", "websocket"))
    return "the answer is no WebSocket upgrade";
  if (!rill_str_eq(accept, rill_s(c->extra->dial->accept)) ||
      rill__http_header(c->http, "sec-websocket-accept", 1).ptr != NULL)
    return "the Sec-WebSocket-Accept is wrong";
  if (rill__http_header(c->http, "sec-websocket-extensions", 1).ptr != NULL)
    return "the server answered with two lists of extensions";
  if (rill__http_header(c->http, "sec-websocket-protocol", 1).ptr != NULL ||
      !take_subprotocol(
          c, rill__http_header(c->http, "sec-websocket-protocol", 0)))
    return "the server chose a subprotocol that was not asked for";
  return take_extensions(
      c, rill__http_header(c->http, "sec-websocket-extensions", 0));
}

static void open_peer(rill_conn *c) {
  rill_hub *hub = c->hub;
  rill__peer *p = c->peer;
  rill_request none = {.hub = hub, .http = c->http};
  int rv = 0;

  c->http = NULL; /* a handler may cut the peer, and still ask its head */
  rill__conn_ws_open(c);
  if (p->opts->handlers->on_open != NULL) {
    hub->in_handler = true;
    rv = p->opts->handlers->on_open(rill__peer_handle(p), &none,
                                    p->opts->arg);
    hub->in_handler = false;
  }
  rill__peer_handled(p, rv);
  rill__http_free(none.http);
}

static int out_of_memory(rill_conn *c) {
  rill__conn_dial_fail(c, RILL_CAUSE_NOMEM, 0, no_memory);
  return RILL_ERR_NOMEM;
}

static int read_answer(rill_conn *c, uint8_t *data, size_t len) {
  size_t used = 0;
  rill__http_step step;
  const char *reason;

  if (c->http == NULL)
    c->http = rill__http_new(&c->hub->http, true);
  if (c->http == NULL)
    return out_of_memory(c);
  step = rill__http_feed(c->http, data, len, &used);
  if (step == RILL__HTTP_MORE)
    return 0;
  if (step == RILL__HTTP_BAD) {
    rill__http_error e = rill__http_error_of(c->http);
    if (e.status == 503)
      return out_of_memory(c);
    rill__conn_dial_fail(c, RILL_CAUSE_PROTO, 0, e.reason);
    return RILL_ERR_PROTO;
  }
  reason = judge(c);
  if (reason == no_memory)
    return out_of_memory(c);
  if (reason != NULL) {
    int status = rill__http_head_of(c->http)->status;
    rill__conn_dial_fail(c, status == 101 ? RILL_CAUSE_PROTO : RILL_CAUSE_REFUSED,
                    status == 101 ? 0 : status, reason);
    return RILL_ERR_PROTO;
  }
  open_peer(c);
  return rill__conn_early(c, data + used, len - used);
}

static int make_key(rill_hub *hub, char key[25]) {
  uint8_t nonce[16];
  size_t len;

  if (rill__hub_random(hub, nonce, sizeof nonce) != 0)
    return RILL_ERR_RANDOM;
  return mbedtls_base64_encode((uint8_t *)key, 25, &len, nonce,
                               sizeof nonce) == 0
             ? 0
             : RILL_ERR_RANDOM;
}

static void header(rill__bytes *out, const char *name, const char *value) {
  rill__http_add_header(out, rill_s(name), rill_s(value));
}

static rill_route_opts *copy_opts(rill_hub *hub, const rill_dial_opts *from) {
  size_t size = sizeof(rill__own_opts) + from->nsubprotocols * sizeof(char *);
  rill__own_opts *own;
  char *text;

  for (size_t i = 0; i < from->nsubprotocols; i++)
    size += rill_s(from->subprotocols[i]).len + 1;
  own = rill__calloc(&hub->alloc, size);
  if (own == NULL)
    return NULL;
  own->size = size;
  own->opts.handlers =
      from->handlers != NULL ? from->handlers : &rill__no_handlers;
  own->opts.arg = from->arg;
  own->opts.deflate = from->deflate;
  own->opts.subprotocols = own->names;
  own->opts.nsubprotocols = from->nsubprotocols;
  text = (char *)&own->names[from->nsubprotocols];
  for (size_t i = 0; i < from->nsubprotocols; i++) {
    size_t len = rill_s(from->subprotocols[i]).len + 1;
    memcpy(text, from->subprotocols[i], len);
    own->names[i] = text;
    text += len;
  }
  return &own->opts;
}

/* "a, b" of the subprotocols. */
static void add_protocols(rill__dial *d, const rill_dial_opts *opts) {
  rill__bytes list;

  if (opts->nsubprotocols == 0)
    return;
  rill__bytes_init(&list, d->request.alloc);
  for (size_t i = 0; i < opts->nsubprotocols; i++) {
    rill_str name = rill_s(opts->subprotocols[i]);
    if (i > 0)
      rill__bytes_str(&list, ", ");
    rill__bytes_add(&list, name.ptr, name.len);
  }
  if (list.failed)
    d->request.failed = true;
  else
    rill__http_add_header(&d->request, rill_s("Sec-WebSocket-Protocol"),
                          (rill_str){(char *)list.data, list.len});
  rill__bytes_finish(&list);
}

static int write_request(rill_hub *hub, rill__dial *d,
                         const rill__url *url, const rill_dial_opts *opts) {
  rill__bytes *out = &d->request;
  char key[25], offer[160];

  if (make_key(hub, key) != 0)
    return RILL_ERR_RANDOM;
  rill__ws_accept_key(rill_s(key), d->accept);
  rill__http_begin_request(out, rill_s("GET"), url->target);
  rill__http_add_header(out, rill_s("Host"), url->authority);
  header(out, "Upgrade", "websocket");
  header(out, "Connection", "Upgrade");
  header(out, "Sec-WebSocket-Key", key);
  header(out, "Sec-WebSocket-Version", "13");
  if (opts->origin != NULL)
    header(out, "Origin", opts->origin);
  add_protocols(d, opts);
  if (opts->deflate.enabled) {
    rill__pmd_offer(&opts->deflate, offer);
    header(out, "Sec-WebSocket-Extensions", offer);
  }
  for (size_t i = 0; i < opts->nheaders; i++)
    header(out, opts->headers[i].name, opts->headers[i].value);
  rill__http_end(out);
  return out->failed ? RILL_ERR_NOMEM : 0;
}

/* Decimal, 1 to 65535: rill__url_parse has checked. */
static uint16_t port_of(rill_str s) {
  unsigned n = 0;

  for (size_t i = 0; i < s.len; i++)
    n = n * 10 + (unsigned)(s.ptr[i] - '0');
  return (uint16_t)n;
}

static bool opts_ok(const rill_dial_opts *opts) {
  for (size_t i = 0; i < opts->nheaders; i++)
    if (!rill__http_is_token(rill_s(opts->headers[i].name)) ||
        !rill__http_is_value(rill_s(opts->headers[i].value)))
      return false;
  for (size_t i = 0; i < opts->nsubprotocols; i++)
    if (!rill__http_is_token(rill_s(opts->subprotocols[i])))
      return false;
  return rill__pmd_opts_ok(&opts->deflate) &&
         opts->nsubprotocols < UINT8_MAX &&
         (opts->origin == NULL || rill__http_is_value(rill_s(opts->origin)));
}

static int prepare(rill_conn *c, rill_str text, const rill_dial_opts *opts) {
  rill_hub *hub = c->hub;
  rill__conn_extra *x = rill__conn_extra_of(c);
  rill__dial *d;
  rill__url url;

  if (x == NULL)
    return RILL_ERR_NOMEM;
  d = rill__calloc(&hub->alloc, sizeof *d);
  if (d == NULL)
    return RILL_ERR_NOMEM;
  x->dial = d;
  d->input = read_answer;
  rill__bytes_init(&d->url, &hub->alloc);
  rill__bytes_init(&d->request, &hub->alloc);
  rill__bytes_add(&d->url, text.ptr, text.len);
  if (d->url.failed)
    return RILL_ERR_NOMEM;
  text.ptr = (const char *)d->url.data;
  if (rill__url_parse(text, &url) != 0 || url.secure)
    return RILL_ERR_ARG;
  d->target = (rill_dial_target){url.host, port_of(url.port), url.unix_path};
  return write_request(hub, d, &url, opts);
}

int rill_dial(rill_peer *out, rill_hub *hub, const char *url,
              const rill_dial_opts *opts, rill_time now) {
  static const rill_dial_opts none;
  rill_route_opts *own = NULL;
  rill__peer *p = NULL;
  rill_conn *c;
  int rv;

  if (out != NULL)
    *out = (rill_peer){0};
  if (opts == NULL)
    opts = &none;
  if (now > hub->now)
    hub->now = now;
  if (!opts_ok(opts))
    return RILL_ERR_ARG;
  if (hub->nconns >= hub->config.limits.conns) {
    hub->metrics.limit_conns++;
    return RILL_ERR_LIMIT;
  }
  if (hub->draining)
    return RILL_ERR_LIMIT;
  rv = rill__conn_make(&c, hub, RILL__DIAL);
  if (rv != 0)
    return rv;
  rv = prepare(c, rill_s(url), opts);
  if (rv == 0)
    own = copy_opts(hub, opts);
  if (own != NULL)
    p = rill__peer_new(hub, own);
  if (p == NULL) {
    if (own != NULL)
      rill__own_opts_free(hub, own);
    c->state = RILL__DEAD;
    rill__conn_drop(c);
    return rv != 0 ? rv : RILL_ERR_NOMEM;
  }
  p->dialed = true;
  p->conn = c;
  c->peer = p;
  c->since = rill__after(hub->now, hub->config.limits.head_ms);
  rill__conn_arm(c);
  rill__conn_ready(c);
  if (out != NULL)
    *out = rill__peer_handle(p);
  return 0;
}

const rill_dial_target *rill_dial_target_of(const rill_conn *c) {
  return c->extra != NULL && c->extra->dial != NULL ? &c->extra->dial->target
                                                    : NULL;
}

void rill_dialed(rill_conn *c, int error, rill_time now) {
  rill__hub_enter(c->hub, now);
  if (c->state == RILL__DIAL && error != 0) {
    rill__conn_dial_fail(c, RILL_CAUSE_DIAL, 0, rill_strerror(error));
  } else if (c->state == RILL__DIAL) {
    rill__dial *d = c->extra->dial;
    c->state = RILL__HELLO;
    if (rill__conn_write(c, d->request.data, d->request.len))
      rill__conn_ready(c);
    rill__bytes_finish(&d->request);
  }
  rill__hub_leave(c->hub);
}
