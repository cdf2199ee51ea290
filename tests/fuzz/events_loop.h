/*
 * events_loop.h - the adapter of fuzz_events.c, how its hub is set up, and
 * how it ends: with nothing left.
 */
#ifndef EVENTS_LOOP_H
#define EVENTS_LOOP_H

#include "events.h"

static inline void done(events *s) {
  s->may_run = false;
  MUST(!s->handling);
  MUST(s->memory.bytes < MOST_MEMORY);
}

static inline void forget(stream *t) {
  reader_finish(&t->rd);
  t->conn = NULL;
}

static inline void write_some(events *s, stream *t) {
  rill_iov iov[3];
  size_t n = rill_pending(t->conn, iov, 3), written = 0;

  for (size_t i = 0; i < n && t->room > 0; i++) {
    size_t len = iov[i].len < t->room ? iov[i].len : t->room;
    reader_feed(&t->rd, iov[i].base, len);
    written += len;
    if (t->room != SIZE_MAX)
      t->room -= len;
  }
  if (t->rd.bad != NULL)
    fprintf(stderr, "what goes out: %s\n", t->rd.bad);
  MUST(t->rd.bad == NULL);
  rill_sent(t->conn, written, s->now);
}

static inline void serve(events *s, stream *t) {
  unsigned wants = rill_wants(t->conn);
  rill_iov iov[1];

  while ((wants & RILL_WANT_WRITE) != 0 && t->room > 0) {
    write_some(s, t);
    wants = rill_wants(t->conn);
  }
  if ((wants & RILL_WANT_CLOSE) == 0)
    return;
  MUST(wants == RILL_WANT_CLOSE && rill_pending(t->conn, iov, 1) == 0);
  rill_conn_free(t->conn);
  forget(t);
}

static inline void turn(events *s) {
  rill_conn *c;
  int rounds = 0;

  do {
    while ((c = rill_next_ready(s->hub)) != NULL) {
      MUST(++rounds < 3000);
      serve(s, rill_conn_arg_of(c).ptr);
    }
    if (rill_deadline(s->hub) > s->now)
      break;
    MUST(++rounds < 3000);
    s->may_run = true;
    rill_tick(s->hub, s->now);
    done(s);
  } while (true);
}

static inline void accept_stream(events *s, stream *t) {
  rill_conn_info info = {rill_s("192.0.2.1"), 1, false};
  rill_conn_arg arg = {.ptr = t};

  if (rill_conn_new(&t->conn, s->hub, &info, s->now) != 0) {
    t->conn = NULL;
    return;
  }
  t->room = SIZE_MAX;
  reader_init(&t->rd, false, s);
  t->rd.heads = true;
  rill_conn_set_arg(t->conn, arg);
}

/* Only what an adapter would read, in a block of its exact size. */
static inline void feed(events *s, stream *t, const uint8_t *data, size_t len) {
  uint8_t *exact;
  int rv;

  if (t->conn == NULL || len == 0 ||
      (rill_wants(t->conn) & RILL_WANT_READ) == 0)
    return;
  exact = malloc(len);
  MUST(exact != NULL);
  memcpy(exact, data, len);
  s->may_run = true;
  rv = rill_feed(t->conn, exact, len, s->now);
  done(s);
  free(exact);
  MUST(rv <= 0 && rv != RILL_ERR_ARG && rv != RILL_ERR_STATE);
}

static inline void end_stream(events *s, stream *t, int error) {
  if (t->conn == NULL || (rill_wants(t->conn) & RILL_WANT_CLOSE) != 0)
    return;
  s->may_run = true;
  rill_feed_end(t->conn, error, s->now);
  done(s);
}

static inline void set_limits(const events *s, rill_limits *l) {
  l->header_bytes = 1024;
  l->header_count = 20;
  l->body_bytes = l->message_bytes = l->payload_bytes = 3000;
  l->value_depth = 12;
  l->value_nodes = 300;
  l->joins_pending = 3;
  l->rooms_per_peer = 4;
  l->acks_pending = 6;
  l->attachments = 3;
  l->spaces = 6;
  l->spaces_per_session = 3;
  l->away_peers = 5;
  l->history_count = 12;
  l->history_ms = 6000;
  l->history_bytes = 4000;
  l->history_total_bytes = 9000;
  l->recovery_ms = 8000;
  l->address_accepts_burst = l->accepts_burst = 10000;
  if ((s->flags & TIGHT) == 0)
    return;
  l->soft_bytes = 500;
  l->soft_count = 4;
  l->queue_bytes = 1500;
  l->queue_count = 8;
  l->messages_per_sec = l->messages_burst = 5;
  l->bytes_per_sec = l->bytes_burst = 2000;
  l->conns = 5;
}

static inline void routes(events *s) {
  rill_route_opts opts = {.handlers = &handlers, .arg = s, .cookie = "io"};
  const rill_space_opts root = {.recovery = (s->flags & RECOVERY) != 0};
  const rill_space_opts other = {0};
  const rill_room_opts history = {.history = 5, .overflow = RILL_DROP_OLDEST};
  const rill_room_opts batch = {.batch_ms = 300, .history = 5};

  if ((s->flags & DEFLATE) != 0)
    opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 30};
  MUST(rill_route(s->hub, "/sio/", RILL_SOCKETIO, &opts) == 0);
  MUST(rill_route(s->hub, "/eio/", RILL_ENGINEIO, &opts) == 0);
  MUST(rill_route(s->hub, "/json", RILL_JSON, &opts) == 0);
  MUST(rill_route(s->hub, "/sse/:room", RILL_SSE, &opts) == 0);
  MUST(rill_route(s->hub, "/raw", RILL_RAW, &opts) == 0);
  MUST(rill_space(s->hub, "/", &root) == 0);
  MUST(rill_space(s->hub, "/n*", &root) == 0);
  MUST(rill_space(s->hub, "/other", &other) == 0);
  MUST(rill_room_defaults(s->hub, "h*", &history) == 0);
  MUST(rill_room_defaults(s->hub, "b*", &batch) == 0);
  MUST(rill_before(s->hub, NULL, before, s) == 0);
  MUST(rill_throttle(s->hub, NULL, "t", 2, 1000, false) == 0);
  MUST(rill_on(s->hub, NULL, "*", on_event, s) == 0);
  MUST(rill_on(s->hub, "/n*", "e", on_event, s) == 0);
  MUST(rill_on(s->hub, "/other", "*", on_event, s) == 0);
}

static inline void begin(events *s, uint8_t flags) {
  rill_config config;

  memset(s, 0, sizeof *s);
  s->flags = flags;
  s->seed = 88172645463325252u;
  s->now = 1000 * RILL_SEC;
  rill_config_init(&config);
  config.alloc = mem_fn;
  config.alloc_arg = &s->memory;
  config.random = fill_random;
  config.arg = s;
  config.authenticate = authenticate;
  config.authorize_join = authorize_join;
  set_limits(s, &config.limits);
  MUST(rill_hub_new(&s->hub, &config) == 0);
  routes(s);
}

/* Everything ends by itself once the streams have. */
static inline void finish(events *s) {
  rill_metrics m;

  s->memory.fail_at = 0;
  s->ending = true;
  while (s->nverdicts > 0)
    rill_reject(s->verdicts[--s->nverdicts], 503, "the end");
  for (int i = 0; i < PEERS; i++) /* a session that is paused has no end */
    rill_resume(s->peers[i].peer);
  for (int i = 0; i < STREAMS; i++) {
    stream *t = &s->streams[i];
    t->room = SIZE_MAX;
    if (t->conn != NULL)
      serve(s, t);
    turn(s);
    end_stream(s, t, 0);
  }
  turn(s);
  for (int i = 0; i < 3000 && rill_deadline(s->hub) != RILL_NEVER; i++) {
    turn(s);
    if (rill_deadline(s->hub) != RILL_NEVER && rill_deadline(s->hub) > s->now)
      s->now = rill_deadline(s->hub);
  }
  turn(s);
  MUST(rill_deadline(s->hub) == RILL_NEVER);
  for (int i = 0; i < STREAMS; i++)
    MUST(s->streams[i].conn == NULL);
  for (int i = 0; i < PEERS; i++) {
    MUST(s->peers[i].state == GONE);
    MUST(rill_peer_id(s->peers[i].peer) == 0);
  }
  for (uint32_t i = 0; i < s->nasks; i++)
    MUST(s->asks[i] != 1);
  rill_metrics_read(s->hub, &m);
  MUST(m.conns == 0 && m.peers == 0 && m.rooms == 0 && m.users == 0);
  MUST(m.sessions == 0 && m.away == 0 && m.history_bytes == 0);
  MUST(m.assembly_bytes == 0 && m.peers_total == s->npeers);
  MUST(s->hub->sids == NULL && s->hub->secrets == NULL);
  MUST(s->hub->asks == NULL && s->hub->nspaces == 3);
  rill_hub_free(s->hub);
  MUST(s->memory.bytes == 0 && s->memory.blocks == 0);
}

#endif
