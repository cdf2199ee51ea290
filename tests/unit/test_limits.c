/*
 * Every limit of rill/limits.h at n - 1, n and n + 1: its outcome and its
 * counter.  The table is made by RILL_LIMITS, so a limit without a case here
 * does not compile.
 *
 * A case brings what is limited to |at| and returns how often the outcome of
 * the limit came; where it did, it has checked that it was the right one.
 * LIMIT_OVER: it comes above n.  LIMIT_REACH: at n already (times, and the
 * soft limits).  LIMIT_TOLD: it never comes.
 */
#include "pair.h"

#include <zlib.h>

typedef enum limit_kind { LIMIT_OVER, LIMIT_REACH, LIMIT_TOLD } limit_kind;

typedef struct limit_case {
  uint32_t n;
  limit_kind kind;
  unsigned (*try)(pair *p, uint32_t at);
  const char *counter; /* NULL: its own */
} limit_case;

#define CASE_COUNTED(name, n, kind, counter)                                   \
  static unsigned try_##name(pair *p, uint32_t at);                            \
  static const limit_case case_##name = {n, kind, try_##name, counter};        \
  static unsigned try_##name(pair *p, uint32_t at)
#define CASE(name, n, kind) CASE_COUNTED(name, n, kind, NULL)

static char letters[1 << 20];

/* How a peer was closed, if it was. */
static bool closed_with(const end *e, unsigned code, rill_cause cause) {
  if (e->closed == 0)
    return false;
  assert_int_equal(e->how.sent, code);
  assert_int_equal(e->how.cause, cause);
  return true;
}

/* The answer to a request: |status| if refused, else |fine|. */
static bool answered(end *e, int status, int fine) {
  end_took(e);
  if (e->status == fine)
    return false;
  assert_int_equal(e->status, status);
  return true;
}

static int respond(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "request") == 0
             ? rill_respond(e->req, &(rill_response){0})
             : 0;
}

static end *begin_http(pair *p) {
  pair_begin(p);
  p->act = respond;
  assert_int_equal(rill_handle(p->hub, "*", "/*", pair_request, p), 0);
  return pair_accept(p);
}

static end *begin_open(pair *p) {
  pair_begin(p);
  return pair_open(p);
}

CASE(request_line_bytes, 100, LIMIT_OVER) {
  end *e = begin_http(p);

  buf_text(&e->tx, "GET /");
  buf_add(&e->tx, letters, at - strlen("GET / HTTP/1.1"));
  end_say(e, " HTTP/1.1\r\nHost: h\r\n\r\n");
  return answered(e, 414, 200);
}

CASE(header_bytes, 200, LIMIT_OVER) {
  end *e = begin_http(p);

  buf_text(&e->tx, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
  buf_add(&e->tx, letters, at - strlen("Host: h\r\nX: \r\n"));
  end_say(e, "\r\n\r\n");
  return answered(e, 431, 200);
}

CASE(header_count, 5, LIMIT_OVER) {
  end *e = begin_http(p);

  buf_text(&e->tx, "GET / HTTP/1.1\r\nHost: h\r\n");
  for (uint32_t i = 1; i < at; i++)
    buf_text(&e->tx, "X: y\r\n");
  end_say(e, "\r\n");
  return answered(e, 431, 200);
}

CASE(head_ms, 1000, LIMIT_REACH) {
  end *e = begin_http(p);

  end_say(e, "GET / HTTP/1.1\r\nHost");
  pair_pass(p, at * RILL_MSEC);
  return answered(e, 408, 0) && e->conn == NULL;
}

CASE(body_bytes, 50, LIMIT_OVER) {
  end *e = begin_http(p), *chunked = pair_accept(p);
  char head[128];
  bool refused;

  snprintf(head, sizeof head,
           "POST / HTTP/1.1\r\nHost: h\r\n"
           "Content-Length: %u\r\n\r\n",
           at);
  buf_text(&e->tx, head);
  buf_add(&e->tx, letters, at);
  snprintf(head, sizeof head,
           "POST / HTTP/1.1\r\nHost: h\r\n"
           "Transfer-Encoding: chunked\r\n\r\n%x\r\n",
           at);
  buf_text(&chunked->tx, head);
  buf_add(&chunked->tx, letters, at);
  end_say(chunked, "\r\n0\r\n\r\n");
  refused = answered(e, 413, 200);
  assert_int_equal(answered(chunked, 413, 200), refused);
  return refused ? 2 : 0;
}

CASE(body_ms, 1000, LIMIT_REACH) {
  end *e = begin_http(p);

  end_say(e, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx");
  pair_pass(p, at * RILL_MSEC);
  return answered(e, 408, 0) && e->conn == NULL;
}

static int later(pair *p, const event *e) {
  *(rill_request **)p->act_arg = e->req;
  return RILL_LATER;
}

CASE(verdict_ms, 1000, LIMIT_REACH) {
  rill_request *kept = NULL;
  end *e = begin_http(p);
  bool over;

  p->act = later;
  p->act_arg = &kept;
  end_say(e, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  pair_pass(p, at * RILL_MSEC);
  over = answered(e, 503, 0) && e->conn == NULL;
  assert_int_equal(rill_respond(kept, &(rill_response){0}),
                   over ? RILL_ERR_CLOSED : 0);
  pair_turn(p);
  return over;
}

CASE(keepalive_ms, 1000, LIMIT_REACH) {
  end *e = begin_http(p);

  end_say(e, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  pair_pass(p, at * RILL_MSEC);
  assert_false(answered(e, 0, 200));
  return e->conn == NULL;
}

CASE(message_bytes, 300, LIMIT_OVER) {
  end *e = begin_open(p), *parts = pair_open(p);

  end_frame(e, 0x82, letters, at);
  end_frame(parts, 0x02, letters, 100);
  end_frame(parts, 0x80, letters, at - 100);
  assert_int_equal(parts->closed, e->closed);
  return closed_with(e, 1009, RILL_CAUSE_TOO_BIG) ? 2 : 0;
}

CASE(fragments, 4, LIMIT_OVER) {
  end *e = begin_open(p);

  for (uint32_t i = 0; i < at; i++) /* empty ones count */
    end_put(e, (i == 0 ? 2u : 0u) | (i + 1 == at ? 0x80u : 0u), "", 0);
  pair_turn(p);
  return closed_with(e, 1008, RILL_CAUSE_FLOOD);
}

CASE(message_ms, 1000, LIMIT_REACH) {
  end *e = begin_open(p);

  end_frame(e, 0x02, "half", 4);
  pair_pass(p, at * RILL_MSEC);
  return closed_with(e, 1008, RILL_CAUSE_FLOOD);
}

CASE(control_per_sec, 10, LIMIT_OVER) {
  end *e;

  p->config.limits.control_burst = 1;
  e = begin_open(p);
  for (int i = 0; i < 20; i++) {
    end_frame(e, 0x8a, "", 0);
    pair_pass(p, RILL_SEC / at);
  }
  return closed_with(e, 1008, RILL_CAUSE_FLOOD);
}

CASE_COUNTED(control_burst, 5, LIMIT_OVER, "control_per_sec") {
  end *e;

  p->config.limits.control_per_sec = 1;
  e = begin_open(p);
  for (uint32_t i = 0; i < at; i++)
    end_put(e, 0x8a, "", 0);
  pair_turn(p);
  return closed_with(e, 1008, RILL_CAUSE_FLOOD);
}

CASE(assembly_bytes, 1000, LIMIT_OVER) {
  end *e = begin_open(p);

  /* the whole input at once, so that what is held is known exactly */
  p->cut = PAIR_WHOLE;
  end_frame(e, 0x02, letters, at - RILL__WS_HEADER_MAX);
  if (e->closed == 0)
    assert_int_equal(pair_metrics(p).assembly_bytes, at);
  return closed_with(e, 4013, RILL_CAUSE_OVERLOAD);
}

/* |size| zeros, deflated, with empty blocks behind them: |len| bytes. */
static bool deflated_to(size_t size, size_t len, buf *out) {
  static uint8_t zeros[1 << 20], packed[1 << 16];
  z_stream z = {0};
  size_t n;

  MUST(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_in = zeros;
  z.avail_in = (uInt)size;
  z.next_out = packed;
  z.avail_out = sizeof packed;
  MUST(deflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_in == 0);
  deflateEnd(&z);
  n = sizeof packed - z.avail_out;
  if (n - 4 > len || (len - (n - 4)) % 5 != 0)
    return false;
  buf_add(out, packed, n);
  while (out->len - 4 < len)
    buf_add(out, "\0\0\0\xff\xff", 5);
  out->len -= 4;
  return true;
}

CASE(inflate_ratio, 20, LIMIT_OVER) {
  rill_route_opts opts = {.deflate = {.enabled = true}};
  buf b = {NULL, 0, 0};
  size_t len = 1000;
  end *e;

  pair_begin(p);
  pair_route(p, "/z", &opts);
  e = pair_open_at(p, "/z", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  /* n, and one byte more or less */
  while (!deflated_to(len * 20 + at - 20, len, &b))
    len++;
  end_frame(e, 0xc2, b.data, len);
  buf_clear(&b);
  return closed_with(e, 1009, RILL_CAUSE_TOO_BIG);
}

CASE(close_ms, 1000, LIMIT_REACH) {
  end *e = begin_open(p);

  rill_close(e->peer, 4000, NULL);
  pair_pass(p, at * RILL_MSEC);
  return closed_with(e, 4000, RILL_CAUSE_HOST) && e->conn == NULL;
}

CASE(ping_ms, 1000, LIMIT_REACH) {
  end *e = begin_open(p);

  pair_pass(p, at * RILL_MSEC);
  return strcmp(end_took(e), "ping") == 0;
}

CASE(pong_ms, 1000, LIMIT_REACH) {
  end *e;

  p->config.limits.ping_ms = 500;
  e = begin_open(p);
  pair_pass(p, (500 + at) * RILL_MSEC);
  return closed_with(e, 0, RILL_CAUSE_TIMEOUT);
}

CASE(idle_ms, 1000, LIMIT_REACH) {
  end *e = begin_open(p);

  pair_pass(p, at * RILL_MSEC);
  return closed_with(e, 0, RILL_CAUSE_TIMEOUT);
}

/* |len| bytes on the wire, for one who does not read. */
static int send_bytes(end *e, uint32_t len, rill_str key) {
  rill_msg m = {.data = letters, .kind = RILL_BINARY, .key = key};

  m.len = len - (len < 128 ? 2 : len < 65540 ? 4 : 10);
  m.overflow = RILL_DROP_NEWEST;
  e->room = 0;
  return rill_send(e->peer, &m);
}

static bool is_busy(const end *e, int rv) {
  bool reads = (rill_wants(e->conn) & RILL_WANT_READ) != 0;

  assert_int_equal(rv, reads ? 0 : RILL_BUSY);
  return rv == RILL_BUSY;
}

CASE(soft_bytes, 100, LIMIT_REACH) {
  end *e = begin_open(p);

  return is_busy(e, send_bytes(e, at, (rill_str){0}));
}

CASE(soft_count, 5, LIMIT_REACH) {
  end *e = begin_open(p);
  int rv = 0;

  for (uint32_t i = 0; i < at; i++)
    rv = send_bytes(e, 3, (rill_str){0});
  return is_busy(e, rv);
}

CASE(queue_bytes, 1000, LIMIT_OVER) {
  end *e = begin_open(p);
  int rv;

  assert_int_equal(send_bytes(e, 100, (rill_str){0}), 0);
  rv = send_bytes(e, at - 100, (rill_str){0});
  assert_true(rv == 0 || rv == RILL_ERR_FULL);
  return rv != 0;
}

CASE(queue_count, 5, LIMIT_OVER) {
  end *e = begin_open(p);
  int rv = 0;

  for (uint32_t i = 0; i < at; i++)
    rv = send_bytes(e, 3, (rill_str){0});
  assert_true(rv == 0 || rv == RILL_ERR_FULL);
  return rv != 0;
}

CASE(slow_ms, 1000, LIMIT_REACH) {
  end *e;

  p->config.limits.soft_count = 1;
  e = begin_open(p);
  send_bytes(e, 3, (rill_str){0});
  pair_pass(p, at * RILL_MSEC);
  return closed_with(e, 4008, RILL_CAUSE_SLOW);
}

CASE(queues_total_bytes, 100000, LIMIT_OVER) {
  end *e;
  uint64_t held;

  p->config.limits.soft_bytes = RILL_UNLIMITED;
  e = begin_open(p);
  send_bytes(e, 3, (rill_str){0});
  held = pair_metrics(p).queued_bytes;
  /* one that has a chunk of its own size: its key and its frame */
  send_bytes(e, (uint32_t)(at - held - 1), rill_s("k"));
  if (rill_is_open(e->peer))
    assert_int_equal(pair_metrics(p).queued_bytes, at);
  pair_turn(p);
  return closed_with(e, 4013, RILL_CAUSE_OVERLOAD);
}

/* |n| conns, |gap| apart: was the last refused with |status|? */
static bool conns(pair *p, uint32_t n, rill_time gap, int status,
                  bool one_address) {
  end *e = NULL;
  char address[32];

  pair_begin(p);
  for (uint32_t i = 0; i < n; i++) {
    snprintf(address, sizeof address, "10.0.0.%u", one_address ? 1 : i);
    e = pair_accept_from(p, address, false);
    pair_pass(p, gap);
    if (i + 1 < n)
      assert_non_null(e->conn);
  }
  return answered(e, status, 0);
}

CASE(conns, 5, LIMIT_OVER) {
  return conns(p, at, 0, 503, false);
}

CASE(conns_per_address, 5, LIMIT_OVER) {
  return conns(p, at, 0, 429, true);
}

CASE(half_open, 5, LIMIT_OVER) {
  return conns(p, at, 0, 503, false);
}

CASE(accepts_per_sec, 10, LIMIT_OVER) {
  p->config.limits.accepts_burst = 1;
  return conns(p, 2, RILL_SEC / at, 503, false);
}

CASE_COUNTED(accepts_burst, 5, LIMIT_OVER, "accepts_per_sec") {
  p->config.limits.accepts_per_sec = 1;
  return conns(p, at, 0, 503, false);
}

CASE(address_accepts_per_sec, 10, LIMIT_OVER) {
  p->config.limits.address_accepts_burst = 1;
  return conns(p, 2, RILL_SEC / at, 429, true);
}

CASE_COUNTED(address_accepts_burst, 5, LIMIT_OVER, "address_accepts_per_sec") {
  p->config.limits.address_accepts_per_sec = 1;
  return conns(p, at, 0, 429, true);
}

static bool reading_paused(const end *e) {
  assert_int_equal(e->closed, 0);
  return (rill_wants(e->conn) & RILL_WANT_READ) == 0;
}

CASE(messages_per_sec, 10, LIMIT_OVER) {
  end *e;

  p->config.limits.messages_burst = 1;
  e = begin_open(p);
  end_text(e, "one");
  pair_pass(p, RILL_SEC / at);
  end_text(e, "two");
  return reading_paused(e);
}

CASE_COUNTED(messages_burst, 5, LIMIT_OVER, "messages_per_sec") {
  end *e;

  p->config.limits.messages_per_sec = 1;
  e = begin_open(p);
  for (uint32_t i = 0; i < at; i++)
    end_text(e, "m");
  return reading_paused(e);
}

CASE(bytes_per_sec, 1000, LIMIT_OVER) {
  end *e;

  p->config.limits.bytes_burst = 1000;
  e = begin_open(p);
  end_frame(e, 0x82, letters, 1000);
  pair_pass(p, RILL_SEC * 100 / at);
  end_frame(e, 0x82, letters, 100);
  return reading_paused(e);
}

CASE_COUNTED(bytes_burst, 1000, LIMIT_OVER, "bytes_per_sec") {
  end *e;

  p->config.limits.bytes_per_sec = 1;
  e = begin_open(p);
  end_frame(e, 0x82, letters, at);
  return reading_paused(e);
}

CASE(throttle_ms, 200, LIMIT_REACH) {
  end *e;

  p->config.limits.messages_per_sec = 10;
  p->config.limits.messages_burst = 1;
  e = begin_open(p);
  for (int i = 0; i < 20; i++) /* more at hand than the rate lets through */
    end_put(e, 0x81, "m", 1);
  pair_turn(p);
  if (e->fed < e->tx.len) /* an adapter has it in hand */
    end_feed(e, e->tx.data + e->fed, e->tx.len - e->fed);
  e->fed = e->tx.len;
  pair_pass(p, at * RILL_MSEC);
  return closed_with(e, 1008, RILL_CAUSE_FLOOD);
}

CASE(rooms_per_peer, 5, LIMIT_OVER) {
  end *e = begin_open(p);
  int rv = 0;

  for (uint32_t i = 0; i < at; i++) {
    char name[2] = {(char)('a' + i), 0};
    assert_int_equal(rv, 0);
    rv = rill_join(e->peer, rill_s(name));
  }
  assert_true(rv == 0 || rv == RILL_ERR_LIMIT);
  return rv != 0;
}

CASE(joins_pending, 5, LIMIT_OVER) {
  end *e = begin_open(p);
  int rv = 0;

  for (uint32_t i = 0; i < at; i++) {
    assert_int_equal(rv, 0);
    rv = rill_join_request(e->peer, rill_s("room"));
  }
  assert_true(rv == 0 || rv == RILL_ERR_LIMIT);
  return rv != 0;
}

CASE(name_bytes, 20, LIMIT_OVER) {
  end *e = begin_open(p);
  rill_str name = {letters, at};
  int rv = rill_join(e->peer, name);

  assert_int_equal(rill_join_request(e->peer, name), rv);
  assert_true(rv == 0 || rv == RILL_ERR_TOO_BIG);
  return rv != 0 ? 2 : 0;
}

#include "limits_events.h"
#include "limits_presence.h"
#include "limits_notify.h"

typedef struct row {
  const char *name;
  const limit_case *tried;
  size_t limit, counter; /* offsets */
} row;

static const row rows[] = {
#define RILL_X(name, def, max, outcome)                                        \
  {#name, &case_##name, offsetof(rill_limits, name),                           \
   offsetof(rill_metrics, limit_##name)},
    RILL_LIMITS(RILL_X)
#undef RILL_X
};
#define ROWS (sizeof rows / sizeof *rows)

static uint64_t count_of(const pair *p, const row *r) {
  rill_metrics m = pair_metrics(p);
  const char *name = r->tried->counter != NULL ? r->tried->counter : r->name;

  for (size_t i = 0; i < ROWS; i++)
    if (strcmp(rows[i].name, name) == 0)
      return *(uint64_t *)(void *)((char *)&m + rows[i].counter);
  fail();
  return 0;
}

/* All that are not on trial are out of the way. */
static void set_limits(rill_limits *l, const row *r) {
#define RILL_X(name, def, max, outcome) l->name = (max);
  RILL_LIMITS(RILL_X)
#undef RILL_X
  *(uint32_t *)(void *)((char *)l + r->limit) = r->tried->n;
}

static void complain(const pair *p, const row *r, uint32_t at,
                     const char *what) {
  print_error("%s: %u of %u %s; its counter is %u\n", r->name, at, r->tried->n,
              what, (unsigned)count_of(p, r));
}

static void test_limits_each_at_its_edge(void **state) {
  pair *p = *state;
  unsigned wrong = 0;

  memset(letters, 'l', sizeof letters);
  for (size_t i = 0; i < ROWS; i++)
    for (uint32_t step = 0; step < 3; step++) {
      const row *r = &rows[i];
      uint32_t n = r->tried->n;
      limit_kind kind = r->tried->kind;
      bool should = kind != LIMIT_TOLD && step >= (kind == LIMIT_OVER ? 2 : 1);
      unsigned did;
      set_limits(&p->config.limits, r);
      p->act = NULL;
      did = r->tried->try(p, n + step - 1);
      if ((did > 0) != should)
        complain(p, r, n + step - 1, did ? "has an outcome" : "has none");
      else if (count_of(p, r) != did)
        complain(p, r, n + step - 1, "is not counted so often");
      wrong += (did > 0) != should || count_of(p, r) != did;
      pair_reset(p);
    }
  assert_int_equal(wrong, 0);
}

/* The budget is for those who lag: who has nothing queued gets the next. */
static void test_limits_queues_total_spares_the_quick(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.queues_total_bytes = 1;
  pair_begin(p);
  e = pair_open(p);
  for (int i = 0; i < 3; i++) {
    rill_msg m = rill_text("x");
    assert_int_equal(rill_send(e->peer, &m), 0);
    pair_turn(p);
    assert_string_equal(end_took(e), "text x");
  }
}

/* A rate with an endless burst, or a burst without a rate, is none. */
static void test_limits_rates_need_both_numbers(void **state) {
  pair *p = *state;

  for (int i = 0; i < 2; i++) {
    rill_limits *l = &p->config.limits;
    end *e;
    l->messages_per_sec = l->bytes_per_sec = l->control_per_sec =
        i ? 1 : RILL_UNLIMITED;
    l->messages_burst = l->bytes_burst = l->control_burst =
        i ? RILL_UNLIMITED : 1;
    e = begin_open(p);
    for (int k = 0; k < 300; k++) {
      end_put(e, 0x82, letters, 1000);
      end_put(e, 0x8a, "", 0);
    }
    pair_turn(p);
    assert_int_equal(pair_metrics(p).messages_in_total, 300);
    assert_int_equal(e->closed, 0);
    pair_reset(p);
  }
}

/* The largest goes, not the one that happens to ask. */
static void test_limits_assembly_sheds_the_largest(void **state) {
  pair *p = *state;
  end *large, *small, *last;

  memset(letters, 'l', sizeof letters);
  p->config.limits.assembly_bytes = 20000;
  pair_begin(p);
  large = pair_open(p);
  small = pair_open(p);
  last = pair_open(p);
  end_frame(large, 0x02, letters, 12000);
  end_frame(small, 0x02, letters, 2000);
  assert_int_equal(large->closed, 0);
  end_frame(last, 0x02, letters, 8000);
  assert_int_equal(large->closed, 1);
  assert_int_equal(large->how.sent, 4013);
  assert_int_equal(large->how.cause, RILL_CAUSE_OVERLOAD);
  assert_int_equal(small->closed + last->closed, 0);
  end_frame(small, 0x80, "end", 3);
  end_frame(last, 0x80, "end", 3);
  assert_string_equal(pair_log(p), "0 close 11 1006/4013; 1 binary #2003; "
                                   "2 binary #8003");
  assert_int_equal(pair_metrics(p).limit_assembly_bytes, 1);
}

/* Dialing counts against the same limit as accepting. */
static void test_limits_conns_hold_for_dialing(void **state) {
  pair *p = *state;

  p->config.limits.conns = 1;
  pair_begin(p);
  pair_accept(p);
  assert_int_equal(rill_dial(NULL, p->hub, "ws://h/", NULL, p->now),
                   RILL_ERR_LIMIT);
  assert_int_equal(pair_metrics(p).limit_conns, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_limits_each_at_its_edge),
      PAIR_TEST(test_limits_queues_total_spares_the_quick),
      PAIR_TEST(test_limits_rates_need_both_numbers),
      PAIR_TEST(test_limits_assembly_sheds_the_largest),
      PAIR_TEST(test_limits_conns_hold_for_dialing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
