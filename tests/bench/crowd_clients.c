/*
 * crowd_clients.c - the streams of a crowd, and its time.
 *
 * What a conn has pending is looked at between rill_pending and rill_sent,
 * when the clock of the measurement stands.
 */
#define _GNU_SOURCE /* memmem, getrandom */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "crowd.h"

enum { STORE_SECONDS = 20 };

static const char upgrade[] =
    "GET /ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Protocol: rill.json.v1\r\n\r\n";

static uint64_t clock_ns(clockid_t id) {
  struct timespec t;

  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * RILL_SEC + (uint64_t)t.tv_nsec;
}

static void step_aside(crowd *c) {
  c->aside_from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void step_back(crowd *c) {
  c->aside += clock_ns(CLOCK_THREAD_CPUTIME_ID) - c->aside_from;
}

void crowd_begin(crowd *c) {
  c->aside = 0;
  c->from = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t crowd_end(crowd *c) {
  return clock_ns(CLOCK_PROCESS_CPUTIME_ID) - c->from - c->aside;
}

static void *count(void *arg, void *ptr, size_t old, size_t new) {
  crowd *c = arg;
  void *block = NULL;

  if (new == 0)
    free(ptr);
  else if ((block = realloc(ptr, new)) == NULL)
    return NULL;
  c->allocated += new - old;
  return block;
}

static int random_bytes(void *arg, void *out, size_t len) {
  (void)arg;
  return getrandom(out, len, 0) == (ssize_t)len ? 0 : -1;
}

static uint64_t wall(void *arg) {
  (void)arg;
  return UINT64_C(1700000000000);
}

static int authenticate(rill_request *req, void *arg) {
  (void)arg;
  return rill_accept(req, rill_get_str(rill_request_auth(req), "name"));
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  crowd *c = arg;
  size_t who = crowd_number(rill_peer_user(peer), "user-");

  (void)req;
  c->clients[who].peer = peer;
  return 0;
}

static void wake(void *arg) {
  crowd *c = arg;

  pthread_mutex_lock(&c->lock);
  c->woken = true;
  pthread_cond_signal(&c->cond);
  pthread_mutex_unlock(&c->lock);
}

static void set_limits(rill_limits *l) {
  l->conns = l->conns_per_address = l->half_open = RILL_UNLIMITED;
  l->accepts_per_sec = l->accepts_burst = RILL_UNLIMITED;
  l->address_accepts_per_sec = l->address_accepts_burst = RILL_UNLIMITED;
  l->ping_ms = l->idle_ms = RILL_UNLIMITED;
}

crowd *crowd_new(const rill_config *config, bool counts,
                 void (*heard)(crowd *c, size_t who, rill_str message)) {
  static const rill_handlers handlers = {.on_open = on_open};
  rill_config own = *config;
  crowd *c = calloc(1, sizeof *c);

  crowd_must(c != NULL, "out of memory");
  c->heard = heard;
  c->now = RILL_SEC;
  c->spoken = malloc((size_t)CROWD_TURN * CROWD_FRAME);
  crowd_must(c->spoken != NULL, "out of memory");
  pthread_mutex_init(&c->lock, NULL);
  pthread_cond_init(&c->cond, NULL);
  set_limits(&own.limits);
  own.authenticate = authenticate;
  own.random = random_bytes;
  own.wall = wall;
  if (counts) {
    own.alloc = count;
    own.alloc_arg = c;
  }
  crowd_must(
      rill_hub_new(&c->hub, &own) == 0 &&
          rill_route(c->hub, "/ws", RILL_JSON,
                     &(rill_route_opts){.handlers = &handlers, .arg = c}) == 0,
      "no hub");
  rill_on_wake(c->hub, wake, c);
  return c;
}

void crowd_free(crowd *c) {
  for (size_t i = 0; i < CROWD_PEERS; i++) {
    rill_conn_free(c->clients[i].conn);
    free(c->clients[i].rest);
  }
  rill_hub_free(c->hub);
  crowd_must(c->allocated == 0, "the hub has not given all memory back");
  free(c->joined);
  free(c->spoken);
  pthread_cond_destroy(&c->cond);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

static size_t take_head(crowd_client *client, rill_str bytes) {
  const char *end = memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4);

  if (end == NULL)
    return 0;
  crowd_must(rill_str_starts(bytes, "HTTP/1.1 101 "), "it was not let in");
  client->upgraded = true;
  return (size_t)(end - bytes.ptr) + 4;
}

/* Reads what is whole of |bytes|; the rest is kept. */
static void hear(crowd *c, size_t who, rill_str bytes) {
  crowd_client *client = &c->clients[who];
  rill_str message;
  uint8_t *rest = NULL;
  size_t n;

  if (!client->upgraded) {
    n = take_head(client, bytes);
    bytes = (rill_str){bytes.ptr + n, bytes.len - n};
  }
  while (client->upgraded && (n = crowd_frame_read(bytes, &message)) > 0) {
    c->messages++;
    c->heard(c, who, message);
    bytes = (rill_str){bytes.ptr + n, bytes.len - n};
  }
  if (bytes.len > 0) {
    rest = malloc(bytes.len);
    crowd_must(rest != NULL, "out of memory");
    memcpy(rest, bytes.ptr, bytes.len);
  }
  free(client->rest);
  client->rest = rest;
  client->nrest = bytes.len;
}

/* The bytes of |t| behind those that wait, in one piece. */
static rill_str join_pieces(crowd *c, const crowd_client *client,
                            const crowd_taken *t) {
  size_t size = client->nrest + t->bytes, at = client->nrest;

  if (t->n == 1 && client->nrest == 0)
    return (rill_str){t->v[0].base, t->v[0].len};
  if (size > c->joined_size) {
    c->joined = realloc(c->joined, size);
    crowd_must(c->joined != NULL, "out of memory");
    c->joined_size = size;
  }
  if (client->nrest > 0)
    memcpy(c->joined, client->rest, client->nrest);
  for (size_t i = 0; i < t->n; at += t->v[i++].len)
    memcpy(c->joined + at, t->v[i].base, t->v[i].len);
  return (rill_str){(const char *)c->joined, size};
}

static size_t take_ready(crowd *c) {
  size_t n = 0;
  rill_conn *conn;

  while (n < CROWD_PEERS && (conn = rill_next_ready(c->hub)) != NULL) {
    unsigned wants = rill_wants(conn);
    if ((wants & RILL_WANT_CLOSE) != 0) {
      size_t who = (size_t)rill_conn_arg_of(conn).num;
      crowd_must(who == CROWD_PEERS, "a stream was closed");
      rill_conn_free(conn);
    } else if ((wants & RILL_WANT_WRITE) != 0) {
      c->taken[n++].conn = conn;
    }
  }
  return n;
}

static void look_at(crowd *c, size_t n) {
  step_aside(c);
  for (size_t i = 0; i < n; i++) {
    crowd_taken *t = &c->taken[i];
    size_t who = (size_t)rill_conn_arg_of(t->conn).num;
    t->bytes = 0;
    for (size_t k = 0; k < t->n; k++)
      t->bytes += t->v[k].len;
    c->bytes += t->bytes;
    if (who < CROWD_PEERS)
      hear(c, who, join_pieces(c, &c->clients[who], t));
  }
  step_back(c);
}

/* Writes for the first |n| of |taken|, once; returns how many have more. */
static size_t write_once(crowd *c, size_t n) {
  size_t more = 0;

  for (size_t i = 0; i < n; i++) {
    crowd_taken *t = &c->taken[i];
    t->n = rill_pending(t->conn, t->v, CROWD_PIECES);
  }
  look_at(c, n);
  for (size_t i = 0; i < n; i++) {
    rill_conn *conn = c->taken[i].conn;
    rill_sent(conn, c->taken[i].bytes, c->now);
    if ((rill_wants(conn) & RILL_WANT_WRITE) != 0)
      c->taken[more++].conn = conn;
  }
  return more;
}

void crowd_settle(crowd *c) {
  size_t n;

  do {
    while (rill_deadline(c->hub) <= c->now)
      rill_tick(c->hub, c->now);
    n = take_ready(c);
    for (size_t left = n; left > 0;)
      left = write_once(c, left);
  } while (n > 0);
}

static void wait_for_wake(crowd *c) {
  struct timespec end;
  int rv = 0;

  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += STORE_SECONDS;
  pthread_mutex_lock(&c->lock);
  while (!c->woken && rv == 0)
    rv = pthread_cond_timedwait(&c->cond, &c->lock, &end);
  crowd_must(c->woken, "an answer does not come");
  c->woken = false;
  pthread_mutex_unlock(&c->lock);
}

void crowd_await(crowd *c, const size_t *count_of, size_t n) {
  crowd_settle(c);
  while (*count_of < n) {
    wait_for_wake(c);
    rill_tick(c->hub, c->now);
    crowd_settle(c);
  }
}

void crowd_pass(crowd *c, rill_time ns) {
  rill_time to = c->now + ns;

  crowd_settle(c);
  while (rill_deadline(c->hub) <= to) {
    if (rill_deadline(c->hub) > c->now)
      c->now = rill_deadline(c->hub);
    crowd_settle(c);
  }
  c->now = to;
}

static void feed(crowd *c, size_t who, uint8_t *data, size_t len) {
  crowd_must(rill_feed(c->clients[who].conn, data, len, c->now) == 0,
             "a message was refused");
}

static void connect_one(crowd *c, size_t who) {
  static const rill_conn_info info = {.address = RILL_STR("192.0.2.1"),
                                      .port = 4711};
  crowd_client *client = &c->clients[who];
  uint8_t data[sizeof upgrade];

  client->upgraded = false;
  crowd_must(rill_conn_new(&client->conn, c->hub, &info, c->now) == 0,
             "no conn");
  rill_conn_set_arg(client->conn, (rill_conn_arg){.num = (intptr_t)who});
  memcpy(data, upgrade, sizeof data);
  feed(c, who, data, sizeof upgrade - 1);
}

void crowd_connect(crowd *c) {
  for (size_t from = 0; from < CROWD_PEERS; from += CROWD_TURN) {
    for (size_t i = 0; i < CROWD_TURN; i++)
      if (c->clients[from + i].conn == NULL)
        connect_one(c, from + i);
    crowd_settle(c);
  }
  for (size_t i = 0; i < CROWD_PEERS; i++)
    crowd_must(c->clients[i].upgraded, "somebody waits for the handshake");
}

void crowd_say(crowd *c,
               void (*words)(crowd *c, size_t who, char out[CROWD_WORDS])) {
  size_t size[CROWD_TURN];
  char text[CROWD_WORDS];

  for (size_t from = 0; from < CROWD_PEERS; from += CROWD_TURN) {
    step_aside(c);
    for (size_t i = 0; i < CROWD_TURN; i++) {
      words(c, from + i, text);
      size[i] = crowd_frame_write(text, c->spoken + i * CROWD_FRAME);
    }
    step_back(c);
    for (size_t i = 0; i < CROWD_TURN; i++)
      feed(c, from + i, c->spoken + i * CROWD_FRAME, size[i]);
    crowd_settle(c);
  }
}

void crowd_open(crowd *c, size_t who, char out[CROWD_WORDS]) {
  (void)c;
  snprintf(out, CROWD_WORDS, "{\"open\":{\"name\":\"user-%zu\"}}", who);
}

void crowd_lose(crowd *c, size_t who) {
  rill_conn *conn = c->clients[who].conn;

  crowd_must(c->clients[who].nrest == 0, "half a message came");
  rill_conn_set_arg(conn, (rill_conn_arg){.num = CROWD_PEERS});
  c->clients[who].conn = NULL;
  rill_feed_end(conn, 0, c->now);
}
