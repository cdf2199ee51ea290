/*
 * oom.h - what happens when an allocation fails: a hub with scripted clients,
 * and a sweep that lets each allocation of a scenario fail in turn.
 *
 * A scenario says what it has to say whatever became of it so far; it counts
 * what it reached in |score|, which has to be |full| where nothing fails.
 * What holds in all runs: calls return an error or succeed, peers that were
 * opened hear on_close once, what is written is well-formed, an open member
 * of a room got all that was sent to it, every block is given back, and with
 * memory again the same hub serves a new client.
 *
 * The program that includes this gives the two functions that follow; all
 * calls of the library are between oom_enter and oom_leave.
 */
#ifndef OOM_H
#define OOM_H

#include "oom_hub.h"

static inline client *oom_client(oom *o) {
  client *c = &o->c[o->n++];

  MUST(o->n <= OOM_CLIENTS);
  c->o = o;
  c->reads = true;
  reader_init(&c->rd, false, c);
  return c;
}

static inline client *oom_accept(oom *o) {
  client *c = oom_client(o);
  rill_conn_info info = {rill_s("192.0.2.7"), 99, false};

  if (o->hub == NULL)
    return c;
  oom_enter();
  if (rill_conn_new(&c->conn, o->hub, &info, o->now) == 0)
    rill_conn_set_arg(c->conn, (rill_conn_arg){.ptr = c});
  else
    MUST(c->conn == NULL);
  oom_leave();
  return c;
}

static inline void oom_say(client *c, const char *text) {
  buf_text(&c->tx, text);
  oom_turn(c->o);
}

static inline client *oom_open(oom *o, const char *path, const char *more) {
  client *c = oom_accept(o);
  char head[400];

  snprintf(head, sizeof head,
           "GET %s/%02d HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
           path, o->n - 1, more);
  oom_say(c, head);
  return c;
}

static inline void oom_frame(client *c, unsigned first, const void *data,
                             size_t len) {
  static const uint8_t mask[4] = {0x11, 0x52, 0x83, 0x44};
  const uint8_t *src = data;
  uint8_t head[14] = {(uint8_t)first};
  size_t n = 2;

  if (len < 126) {
    head[1] = (uint8_t)(0x80 | len);
  } else if (len < 65536) {
    head[1] = 0x80 | 126;
    head[2] = (uint8_t)(len >> 8);
    head[3] = (uint8_t)len;
    n = 4;
  } else {
    head[1] = 0x80 | 127;
    for (int i = 0; i < 8; i++)
      head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    n = 10;
  }
  memcpy(head + n, mask, 4);
  buf_add(&c->tx, head, n + 4);
  for (size_t i = 0; i < len; i++) {
    uint8_t b = src[i] ^ mask[i & 3];
    buf_add(&c->tx, &b, 1);
  }
}

static inline void oom_text(client *c, const char *text) {
  oom_frame(c, 0x81, text, strlen(text));
  oom_turn(c->o);
}

/* Compressed, without the tail. */
static inline void oom_packed(client *c, const void *data, size_t len) {
  uint8_t out[8192];
  z_stream z;

  memset(&z, 0, sizeof z);
  MUST(deflateInit2(&z, 6, Z_DEFLATED, -12, 5, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_in = (Bytef *)(uintptr_t)data;
  z.avail_in = (uInt)len;
  z.next_out = out;
  z.avail_out = sizeof out;
  MUST(deflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_out > 0);
  deflateEnd(&z);
  oom_frame(c, 0xc1, out, sizeof out - z.avail_out - 4);
  oom_turn(c->o);
}

static inline void oom_begin(oom *o, const rill_limits *limits) {
  rill_config config;
  rill_route_opts opts = {.handlers = &oom_handlers, .arg = o};
  const rill_room_opts newest = {.overflow = RILL_DROP_NEWEST};
  int rv;

  rill_config_init(&config);
  config.alloc = oom_alloc;
  config.random = oom_random;
  config.authenticate = oom_authenticate;
  config.authorize_join = oom_authorize;
  config.arg = o;
  if (limits != NULL)
    config.limits = *limits;
  config.limits.conns_per_address = RILL_UNLIMITED;
  config.limits.address_accepts_per_sec = RILL_UNLIMITED;
  oom_enter();
  rv = rill_hub_new(&o->hub, &config);
  if (rv == 0)
    rv = rill_route(o->hub, "/ws/:i", RILL_RAW, &opts);
  opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 8};
  if (rv == 0)
    rv = rill_route(o->hub, "/deflate/:i", RILL_RAW, &opts);
  opts.deflate.server_context_takeover = true;
  opts.deflate.client_context_takeover = true;
  if (rv == 0)
    rv = rill_route(o->hub, "/takeover/:i", RILL_RAW, &opts);
  if (rv == 0)
    rv = rill_handle(o->hub, "*", "/plain", oom_request, o);
  if (rv == 0)
    rv = rill_room_defaults(o->hub, "new*", &newest);
  if (rv != 0) {
    MUST(rv == RILL_ERR_NOMEM);
    rill_hub_free(o->hub);
    o->hub = NULL;
  }
  oom_leave();
}

/* ---- the sweep ---- */

typedef void (*oom_scenario)(oom *o);

/* The run that is under way, to be told when it aborts. */
static struct {
  uint64_t fail;
  bool on;
  const oom *o;
  uint64_t worse; /* runs that did not reach all of it */
} oom_now;

static inline void oom_report(int sig) {
  (void)sig;
  fprintf(stderr, "allocation %llu failed%s; score %u of %u\n",
          (unsigned long long)oom_now.fail,
          oom_now.on ? ", and all later ones" : "", oom_now.o->score,
          oom_now.o->full);
}

/* With memory again: does the hub still work? */
static inline void oom_works(oom *o) {
  client *c;
  unsigned before;

  o->async = false;
  if (o->hub == NULL || rill_is_drained(o->hub) || o->n == OOM_CLIENTS)
    return;
  c = oom_open(o, "/takeover",
               "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  if (c->rd.status == 503)
    return; /* it drains */
  MUST(c->was_open && c->rd.status == 101);
  before = c->rd.messages;
  oom_text(c, "echo this, please: it works, it works, it works");
  oom_text(c, "J");
  MUST(c->rd.messages == before + 1 && rill_in_room(c->peer, rill_s("other")));
}

static inline void oom_end(oom *o) {
  if (o->later != NULL) {
    oom_enter();
    rill_reject(o->later, 503, "too late");
    oom_leave();
    o->later = NULL;
  }
  oom_works(o);
  for (int i = 0; i < o->n; i++)
    if (o->c[i].conn != NULL)
      oom_close(&o->c[i]);
  oom_turn(o);
  for (int i = 0; i < o->n; i++) {
    client *c = &o->c[i];
    MUST(c->closed == (c->was_open || c->peer.hub != NULL));
    reader_finish(&c->rd);
    buf_clear(&c->tx);
  }
  oom_enter();
  rill_hub_free(o->hub);
  oom_leave();
}

/* Members that are still open have had all that their room was sent. */
static inline void oom_check_members(const oom *o) {
  for (int i = 0; i < o->n; i++) {
    const client *c = &o->c[i];
    if (c->member && c->closed == 0 && c->reads && c->conn != NULL &&
        rill_is_open(c->peer))
      MUST(c->rd.messages >= o->broadcasts - c->joined);
  }
}

/* One run; returns how many allocations it made. */
static inline uint64_t oom_run(oom_scenario scenario, uint64_t fail, bool on) {
  oom *o = calloc(1, sizeof *o);
  uint64_t count;

  MUST(o != NULL);
  o->seed = 88172645463325252u;
  o->now = 1000 * RILL_SEC;
  oom_now.fail = fail;
  oom_now.on = on;
  oom_now.o = o;
  signal(SIGABRT, oom_report);
  oom_fail(fail, on);
  scenario(o);
  count = oom_count();
  oom_fail(0, false);
  oom_check_members(o);
  oom_now.worse += o->score < o->full;
  if (fail == 0)
    MUST(o->score == o->full);
  oom_end(o);
  MUST(oom_live() == 0);
  free(o);
  return count;
}

static inline void oom_sweep(oom_scenario scenario) {
  uint64_t n = oom_run(scenario, 0, false);

  MUST(n > 0);
  oom_now.worse = 0;
  for (uint64_t i = 1; i <= n; i++) {
    oom_run(scenario, i, false);
    oom_run(scenario, i, true);
  }
  MUST(oom_now.worse > n / 4); /* it does fail */
}

#endif
