/*
 * The contract of a conn with its loop, and how connections end: on_close
 * exactly once on every path (pair.h checks), with the right words.
 */
#include "pair.h"

static void test_conn_carries_messages_both_ways(void **state) {
  pair *p = *state;
  end *e;
  rill_msg reply = {.data = "\x01\x02", .len = 2, .kind = RILL_BINARY};

  pair_begin(p);
  e = pair_open(p);
  end_text(e, "hello");
  end_frame(e, 0x82, "bytes", 5);
  end_frame(e, 0x01, "in ", 3);
  end_frame(e, 0x00, "three ", 6);
  end_frame(e, 0x80, "parts", 5);
  end_frame(e, 0x81, "", 0);
  assert_string_equal(
      pair_log(p),
      "0 text hello; 0 binary bytes; 0 text in three parts; 0 text ");
  assert_int_equal(rill_send(e->peer, &reply), 0);
  reply = rill_text("there");
  assert_int_equal(rill_send(e->peer, &reply), 0);
  pair_turn(p);
  assert_string_equal(end_took(e), "binary \x01\x02; text there");
}

static void test_conn_answers_a_close(void **state) {
  static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008,
                                  1009, 1010, 1011, 1012, 1013, 1014,
                                  3000, 3999, 4000, 4999};
  pair *p = *state;
  char took[64];

  pair_begin(p);
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    end *e = pair_open(p);
    end_bye(e, good[i], "so long");
    snprintf(took, sizeof took, "close %u; eof", good[i]);
    assert_string_equal(end_took(e), took);
    assert_int_equal(e->how.cause, RILL_CAUSE_PEER);
    assert_int_equal(e->how.code, good[i]);
    assert_int_equal(e->how.sent, good[i]);
    assert_string_equal(e->why, "so long");
  }
}

static void test_conn_answers_a_close_without_code(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  end_bye(e, 0, "");
  assert_string_equal(end_took(e), "close; eof");
  assert_int_equal(e->how.cause, RILL_CAUSE_PEER);
  assert_int_equal(e->how.code, 1005);
  assert_string_equal(e->why, "");
}

static void test_conn_refuses_close_codes_that_are_none(void **state) {
  static const unsigned bad[] = {0,    1,    999,  1004, 1005, 1006,
                                 1015, 1016, 1999, 2999, 5000, 65535};
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    end *e = pair_open(p);
    uint8_t body[2] = {(uint8_t)(bad[i] >> 8), (uint8_t)bad[i]};
    end_frame(e, 0x88, body, 2);
    assert_string_equal(end_took(e), "close 1002 bad close code; eof");
    assert_int_equal(e->how.cause, RILL_CAUSE_PROTO);
    assert_int_equal(e->how.code, 1006);
    assert_int_equal(e->how.sent, 1002);
  }
}

/* What the peer does wrong, how it is told, and what on_close says. */
static void test_conn_fails_who_breaks_the_protocol(void **state) {
  static const struct {
    const char *bytes;
    size_t len;
    unsigned code;
    rill_cause cause;
  } cases[] = {
      {"\x81\x01x", 3, 1002, RILL_CAUSE_PROTO},            /* unmasked */
      {"\x83\x80\0\0\0\0", 6, 1002, RILL_CAUSE_PROTO},     /* opcode */
      {"\x91\x80\0\0\0\0", 6, 1002, RILL_CAUSE_PROTO},     /* RSV */
      {"\xc1\x80\0\0\0\0", 6, 1002, RILL_CAUSE_PROTO},     /* RSV1 */
      {"\x80\x80\0\0\0\0", 6, 1002, RILL_CAUSE_PROTO},     /* continuation */
      {"\x09\x80\0\0\0\0", 6, 1002, RILL_CAUSE_PROTO},     /* half a ping */
      {"\x88\x81\0\0\0\0\x03", 7, 1002, RILL_CAUSE_PROTO}, /* half a code */
      {"\x81\x81\0\0\0\0\xff", 7, 1007, RILL_CAUSE_UTF8},  /* text */
      {"\x88\x83\0\0\0\0\x03\xe8\xff", 9, 1007, RILL_CAUSE_UTF8},
      {"\x82\xff\0\0\0\0\1\0\0\0\0\0\0\0", 14, 1009, RILL_CAUSE_TOO_BIG}};
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e = pair_open(p);
    const char *took;
    /* behind it comes what nobody may see any more */
    buf_add(&e->tx, cases[i].bytes, cases[i].len);
    end_text(e, "too late");
    took = end_took(e);
    assert_int_equal(strncmp(took, "close ", 6), 0);
    assert_int_equal(strtoul(took + 6, NULL, 10), cases[i].code);
    assert_string_equal(took + strlen(took) - 5, "; eof");
    assert_int_equal(e->how.cause, cases[i].cause);
    assert_int_equal(e->how.code, 1006);
    assert_int_equal(e->how.sent, cases[i].code);
    assert_int_equal(e->error, RILL_ERR_PROTO);
    assert_null(strstr(pair_log(p), "too late"));
  }
}

static void test_conn_close_by_the_host(void **state) {
  pair *p = *state;
  rill_msg last = rill_text("last words");
  end *e;

  pair_begin(p);
  e = pair_open(p);
  assert_int_equal(rill_send(e->peer, &last), 0);
  assert_int_equal(rill_close(e->peer, 4001, "enough"), 0);
  assert_false(rill_is_open(e->peer));
  assert_int_equal(rill_send(e->peer, &last), RILL_ERR_CLOSED);
  assert_int_equal(rill_close(e->peer, 1000, NULL), RILL_ERR_CLOSED);
  pair_turn(p);
  assert_string_equal(end_took(e), "text last words; close 4001 enough");
  assert_int_equal(e->closed, 0);
  end_text(e, "crossing on the way"); /* is not told */
  end_bye(e, 4001, "fine");
  assert_string_equal(end_took(e), "eof");
  assert_string_equal(pair_log(p), "0 close 2 4001/4001");
  assert_string_equal(e->why, "fine");
}

static void test_conn_close_by_both_at_once(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  assert_int_equal(rill_close(e->peer, 1001, ""), 0);
  end_bye(e, 1000, "me first");
  assert_string_equal(end_took(e), "close 1001; eof");
  assert_string_equal(pair_log(p), "0 close 2 1000/1001");
}

static void test_conn_close_arguments(void **state) {
  static const int bad[] = {-1,   0,    999,  1004, 1005,
                            1006, 1015, 2999, 5000, 65536 + 1000};
  pair *p = *state;
  char reason[125];
  end *e;

  pair_begin(p);
  e = pair_open(p);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(rill_close(e->peer, bad[i], NULL), RILL_ERR_ARG);
  assert_int_equal(rill_close(e->peer, 1000, "\xff"), RILL_ERR_ARG);
  memset(reason, 'r', sizeof reason);
  reason[124] = '\0';
  assert_int_equal(rill_close(e->peer, 1000, reason), RILL_ERR_ARG);
  assert_true(rill_is_open(e->peer));
  reason[123] = '\0';
  assert_int_equal(rill_close(e->peer, 1000, reason), 0);
  pair_turn(p);
  assert_int_equal(strlen(end_took(e)), strlen("close 1000 ") + 123);
}

static void test_conn_close_unanswered_is_cut(void **state) {
  pair *p = *state;
  end *e;

  p->config.limits.close_ms = 700;
  pair_begin(p);
  e = pair_open(p);
  rill_close(e->peer, 1000, NULL);
  pair_pass(p, 700 * RILL_MSEC - 1);
  assert_string_equal(end_took(e), "close 1000");
  assert_int_equal(e->closed, 0);
  pair_pass(p, 1);
  assert_string_equal(end_took(e), "eof");
  assert_string_equal(pair_log(p), "0 close 2 1006/1000");
}

static void test_conn_cut_by_the_host(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  assert_int_equal(rill_cut(e->peer), 0);
  assert_int_equal(rill_cut(e->peer), RILL_ERR_CLOSED);
  assert_int_equal(e->closed, 0); /* a command runs no handler */
  pair_turn(p);
  assert_string_equal(end_took(e), "eof");
  assert_string_equal(pair_log(p), "0 close 2 1006/0");
}

static void test_conn_end_of_the_stream(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  end_eof(e, 0);
  assert_string_equal(pair_log(p), "0 close 3 1006/0");
  e = pair_open(p);
  end_eof(e, 104);
  assert_string_equal(pair_log(p), "1 close 4 1006/0");
  e = pair_open(p); /* in the middle of a message */
  buf_add(&e->tx, "\x81\x85\0\0\0\0he", 8);
  end_eof(e, 0);
  assert_string_equal(pair_log(p), "2 close 3 1006/0");
  e = pair_open(p); /* while this side closes */
  rill_close(e->peer, 4000, NULL);
  end_eof(e, 0);
  assert_string_equal(pair_log(p), "3 close 2 1006/4000");
  assert_string_equal(end_took(e), "close 4000; eof");
}

static void test_conn_free_without_an_end(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  rill_conn_free(e->conn);
  e->conn = NULL;
  assert_int_equal(e->closed, 0);
  assert_false(rill_is_open(e->peer));
  assert_true(rill_deadline(p->hub) <= p->now);
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 close 4 1006/0");
  assert_int_equal(rill_peer_id(e->peer), 0);
}

/* Cut anywhere, from the first byte of the handshake: no message is half. */
static void test_conn_cut_at_every_byte(void **state) {
  pair *p = *state;
  buf all = {NULL, 0, 0};
  end *e;

  pair_begin(p);
  e = pair_accept(p);
  end_hello(e, "/ws", "");
  end_text(e, "one");
  end_frame(e, 0x01, "tw", 2);
  end_frame(e, 0x80, "o", 1);
  end_bye(e, 1000, "bye");
  buf_add(&all, e->tx.data, e->tx.len);
  assert_string_equal(pair_log(p), "0 open; 0 text one; 0 text two; "
                                   "0 close 1 1000/1000");
  for (size_t n = 0; n < all.len; n++) {
    const char *log;
    e = pair_accept(p);
    buf_add(&e->tx, all.data, n);
    end_eof(e, (int)(n & 1));
    assert_null(e->conn);
    assert_int_equal(e->opened, e->closed);
    log = pair_log(p);
    assert_true(strstr(log, "text") == NULL || strstr(log, "text one"));
    assert_true(strstr(log, "text tw") == NULL || strstr(log, "text two"));
  }
  assert_int_equal(pair_metrics(p).conns, 0);
  assert_int_equal(rill_peers(p->hub), 0);
  buf_clear(&all);
}

static int fail_at(pair *p, const event *e) {
  return strcmp(e->name, p->act_arg) == 0 ? -42 : 0;
}

static void test_conn_handler_errors(void **state) {
  static const char *const names[] = {"open", "message", "drain", "joined"};
  pair *p = *state;

  p->config.limits.soft_count = 2;
  pair_begin(p);
  for (size_t i = 0; i < 4; i++) {
    rill_msg m = rill_text("m");
    end *e;
    p->act = NULL;
    e = pair_accept(p);
    p->act = fail_at;
    p->act_arg = (void *)(uintptr_t)names[i];
    end_hello(e, "/ws", "");
    if (i == 1)
      end_text(e, "fails");
    if (i == 2) {
      rill_send(e->peer, &m);
      assert_int_equal(rill_send(e->peer, &m), RILL_BUSY);
      pair_turn(p);
    }
    if (i == 3)
      rill_join_request(e->peer, rill_s("room"));
    pair_turn(p);
    assert_string_equal(strstr(end_took(e), "close"),
                        "close 1011 a handler failed; eof");
    assert_int_equal(e->how.cause, RILL_CAUSE_HANDLER);
    assert_int_equal(e->how.sent, 1011);
    if (i == 1)
      assert_int_equal(e->error, RILL_ERR_HANDLER);
  }
  assert_int_equal(pair_metrics(p).handler_errors_total, 4);
}

static void test_conn_wants(void **state) {
  pair *p = *state;
  rill_conn_info info = {rill_s("192.0.2.1"), 1, false};
  static const char hello[] =
      "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket"
      "\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: " PAIR_KEY "\r\n\r\n";
  rill_iov iov[4];
  rill_conn *c;
  end *e;

  pair_begin(p);
  assert_int_equal(rill_conn_new(&c, p->hub, &info, p->now), 0);
  e = pair_end_new(p, p->hub, c);
  assert_null(rill_next_ready(p->hub));
  assert_int_equal(rill_wants(c), RILL_WANT_READ);
  assert_int_equal(rill_pending(c, iov, 4), 0);
  assert_null(rill_dial_target_of(c));
  end_feed(e, hello, sizeof hello - 1);
  assert_ptr_equal(rill_next_ready(p->hub), c);
  assert_null(rill_next_ready(p->hub));
  assert_int_equal(rill_wants(c),
                   RILL_WANT_READ | RILL_WANT_WRITE | RILL_WANT_FLUSH);
  assert_int_equal(rill_pending(c, iov, 4), 1);
  rill_sent(c, iov[0].len, p->now);
  assert_int_equal(rill_wants(c), RILL_WANT_READ);
  /* a message to all is no answer: more may join it in this turn */
  rill_send_all(p->hub, &(rill_msg){"x", 1, RILL_TEXT, 0, {0}, false});
  assert_ptr_equal(rill_next_ready(p->hub), c);
  assert_int_equal(rill_wants(c), RILL_WANT_READ | RILL_WANT_WRITE);
  rill_pause(e->peer);
  assert_int_equal(rill_wants(c), RILL_WANT_WRITE);
  rill_cut(e->peer);
  assert_int_equal(rill_wants(c), RILL_WANT_CLOSE);
  assert_int_equal(rill_pending(c, iov, 4), 0);
  assert_int_equal(end_feed(e, "x", 1), RILL_ERR_CLOSED);
  end_feed_end(e, 0);
  rill_sent(c, 0, p->now);
  assert_int_equal(rill_wants(c), RILL_WANT_CLOSE);
}

static void test_conn_is_ready_once_per_turn(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("many");
  end *e[3];

  pair_begin(p);
  for (int i = 0; i < 3; i++)
    e[i] = pair_open(p);
  for (int i = 0; i < 30; i++) {
    rill_send(e[0]->peer, &m);
    rill_send_all(p->hub, &m);
  }
  for (int i = 0; i < 3; i++)
    assert_non_null(rill_next_ready(p->hub));
  assert_null(rill_next_ready(p->hub));
}

static bool is_ready(const pair *p, const end *e) {
  rill_conn *c;
  bool ready = false;

  while ((c = rill_next_ready(p->hub)) != NULL)
    ready |= c == e->conn;
  return ready;
}

/* An adapter looks only at conns that are ready: so each change makes one. */
static void test_conn_is_ready_when_its_wants_change(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("m");
  end *e;

  p->config.limits.soft_count = 2;
  p->config.limits.messages_per_sec = 10;
  p->config.limits.messages_burst = 1;
  pair_begin(p);
  e = pair_open(p);
  assert_false(is_ready(p, e));
  rill_pause(e->peer);
  assert_true(is_ready(p, e));
  rill_resume(e->peer);
  assert_true(is_ready(p, e));
  pair_turn(p);
  rill_send(e->peer, &m);
  rill_send(e->peer, &m); /* reading pauses */
  assert_true(is_ready(p, e));
  assert_int_equal(rill_wants(e->conn) & RILL_WANT_READ, 0);
  rill_sent(e->conn, 3, p->now);
  assert_true(rill_wants(e->conn) & RILL_WANT_READ);
  assert_true(is_ready(p, e));
  rill_sent(e->conn, 3, p->now);
  pair_turn(p);
  end_feed(e, "\x81\x80\0\0\0\0\x81\x80\0\0\0\0", 12); /* too fast */
  assert_true(is_ready(p, e));
  assert_int_equal(rill_wants(e->conn), 0);
  p->now += RILL_SEC;
  pair_tick(p, p->hub);
  assert_true(is_ready(p, e));
  assert_int_equal(rill_wants(e->conn), RILL_WANT_READ);
  rill_cut(e->peer);
  assert_true(is_ready(p, e));
  assert_int_equal(rill_wants(e->conn), RILL_WANT_CLOSE);
  pair_turn(p);
}

/* Thirty messages to one conn in one turn are one piece to write. */
static void test_conn_messages_of_a_turn_are_one_piece(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("one of thirty");
  rill_iov iov[4];
  end *e;

  pair_begin(p);
  e = pair_open(p);
  for (int i = 0; i < 30; i++)
    rill_send(e->peer, &m);
  assert_int_equal(rill_pending(e->conn, iov, 4), 1);
  assert_int_equal(iov[0].len, 30 * (2 + 13));
  assert_int_equal(rill_peer_queued(e->peer), iov[0].len);
}

/* Whatever is taken at a time, what comes is the same. */
static void test_conn_partial_writes_at_every_byte(void **state) {
  pair *p = *state;
  rill_msg small = rill_text("small"), big = {.kind = RILL_BINARY};
  char bytes[300];
  size_t all = 0;
  end *e;

  memset(bytes, 'b', sizeof bytes);
  big.data = bytes;
  big.len = sizeof bytes;
  pair_begin(p);
  for (size_t first = 0; first == 0 || first <= all; first++) {
    e = pair_open(p);
    e->room = 0;
    rill_send(e->peer, &small);
    rill_send_all(p->hub, &small);
    rill_send(e->peer, &big);
    rill_ping(e->peer);
    rill_close(e->peer, 1000, "end");
    all = rill_peer_queued(e->peer);
    end_room(e, first);
    end_room(e, SIZE_MAX);
    assert_string_equal(
        end_took(e),
        "text small; text small; binary #300; ping; close 1000 end");
    assert_int_equal(rill_peer_queued(e->peer), 0);
    rill_cut(e->peer);
    pair_turn(p);
  }
  assert_int_equal(all, 7 + 7 + 304 + 2 + 7);
}

static void test_conn_arg_is_the_adapters(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_accept(p);
  rill_conn_set_arg(e->conn, (rill_conn_arg){.num = 7});
  assert_int_equal(rill_conn_arg_of(e->conn).num, 7);
  rill_conn_set_arg(e->conn, (rill_conn_arg){.ptr = e});
  rill_conn_free(NULL);
}

static void test_conn_answers_pings(void **state) {
  pair *p = *state;
  char body[126];
  end *e;

  memset(body, 'p', sizeof body);
  pair_begin(p);
  e = pair_open(p);
  end_frame(e, 0x89, "", 0);
  end_frame(e, 0x89, "echo", 4);
  end_frame(e, 0x01, "half ", 5); /* inside of a message, too */
  end_frame(e, 0x89, body, 125);
  end_frame(e, 0x80, "whole", 5);
  body[125] = '\0';
  {
    char took[200];
    snprintf(took, sizeof took, "pong; pong echo; pong %s", body);
    assert_string_equal(end_took(e), took);
  }
  assert_string_equal(pair_log(p), "0 text half whole");
  end_frame(e, 0x8a, "unasked", 7); /* a pong may come unasked */
  assert_string_equal(end_took(e), "");
}

static void test_conn_answers_the_newest_ping_when_blocked(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("in the way");
  end *e;

  pair_begin(p);
  e = pair_open(p);
  e->room = 5;
  rill_send(e->peer, &m);
  pair_turn(p);
  for (char i = 'a'; i < 'a' + 15; i++)
    end_frame(e, 0x89, &i, 1);
  assert_int_equal(rill_peer_queued(e->peer), 12 - 5);
  end_room(e, SIZE_MAX);
  assert_string_equal(end_took(e), "text in the way; pong o");
  end_frame(e, 0x89, "again", 5);
  assert_string_equal(end_took(e), "pong again");
}

static void test_conn_measures_the_round_trip(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  assert_int_equal(rill_peer_rtt(e->peer), RILL_NEVER);
  assert_int_equal(rill_ping(e->peer), 0);
  assert_int_equal(rill_ping(e->peer), 0); /* one at a time */
  pair_turn(p);
  assert_string_equal(end_took(e), "ping");
  pair_pass(p, 12345 * RILL_USEC);
  end_frame(e, 0x8a, "", 0);
  assert_int_equal(rill_peer_rtt(e->peer), 12345 * RILL_USEC);
}

static int pause_each(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "message") == 0 ? RILL_PAUSE : 0;
}

static void test_conn_pause_by_return_value(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  p->act = pause_each;
  end_put(e, 0x81, "1", 1);
  end_put(e, 0x81, "2", 1);
  end_text(e, "3");
  assert_string_equal(pair_log(p), "0 text 1");
  assert_int_equal(rill_wants(e->conn) & RILL_WANT_READ, 0);
  assert_int_equal(rill_resume(e->peer), 0);
  assert_string_equal(pair_log(p), ""); /* the next tick delivers it */
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 text 2");
  rill_resume(e->peer);
  pair_turn(p);
  rill_resume(e->peer);
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 text 3");
  assert_true(rill_wants(e->conn) & RILL_WANT_READ);
}

static void test_conn_pause_by_command(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  assert_int_equal(rill_pause(e->peer), 0);
  end_text(e, "waits");
  assert_string_equal(pair_log(p), "");
  rill_resume(e->peer);
  pair_turn(p);
  assert_string_equal(pair_log(p), "0 text waits");
}

static int pause_at_open(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "open") == 0)
    rill_pause(e->peer);
  return 0;
}

static void test_conn_pause_in_on_open_holds_early_bytes(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_accept(p);
  p->act = pause_at_open;
  buf_add(&e->tx, "", 0);
  end_hello(e, "/ws", "");
  p->act = NULL;
  assert_string_equal(pair_log(p), "0 open");
  e = pair_accept(p);
  p->act = pause_at_open;
  {
    end *early = e;
    buf_text(&early->tx, "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: " PAIR_KEY "\r\n\r\n");
    end_put(early, 0x81, "early", 5);
    end_text(early, "birds");
  }
  assert_string_equal(pair_log(p), "1 open");
  rill_resume(e->peer);
  pair_turn(p);
  assert_string_equal(pair_log(p), "1 text early; 1 text birds");
}

static int close_at_open(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "open") == 0)
    rill_close(e->peer, 4000, "no");
  return 0;
}

/* Bytes behind the upgrade are still read for the close that answers ours. */
static void test_conn_close_in_on_open_with_early_bytes(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_accept(p);
  p->act = close_at_open;
  buf_text(&e->tx, "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: " PAIR_KEY "\r\n\r\n");
  end_put(e, 0x01, "half a ", 7);
  end_put(e, 0x80, "message", 7);
  end_bye(e, 4000, "well then");
  assert_string_equal(end_took(e), "101; close 4000 no; eof");
  assert_string_equal(pair_log(p), "0 open; 0 close 2 4000/4000");
}

static int close_and_pause(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "message") != 0)
    return 0;
  rill_close(e->peer, 4000, NULL);
  return RILL_PAUSE;
}

/* A pause that comes with a close does not keep the answer from being read. */
static void test_conn_pause_after_close_is_void(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  p->act = close_and_pause;
  end_put(e, 0x81, "x", 1);
  end_bye(e, 4000, "");
  assert_string_equal(end_took(e), "close 4000; eof");
  assert_string_equal(pair_log(p), "0 text x; 0 close 2 4000/4000");
}

/* A host that feeds on while the conn does not read loses it, no memory. */
static void test_conn_fed_while_not_reading(void **state) {
  pair *p = *state;
  static uint8_t bytes[1 << 20];
  size_t before;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  rill_pause(e->peer);
  before = p->mem.bytes;
  for (int i = 0; i < 8 && e->closed == 0; i++)
    end_feed(e, bytes, sizeof bytes);
  assert_int_equal(e->closed, 1);
  assert_int_equal(e->how.cause, RILL_CAUSE_FLOOD);
  assert_true(p->mem.peak - before <= (16u << 20));
}

static void test_conn_clock_that_steps_back_stands_still(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  p->now -= 500 * RILL_SEC;
  end_text(e, "before my time");
  assert_string_equal(pair_log(p), "0 text before my time");
  pair_tick(p, p->hub);
  assert_int_equal(e->closed, 0);
  p->now += 500 * RILL_SEC;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TESTS(test_conn_carries_messages_both_ways),
      PAIR_TESTS(test_conn_answers_a_close),
      PAIR_TESTS(test_conn_answers_a_close_without_code),
      PAIR_TESTS(test_conn_refuses_close_codes_that_are_none),
      PAIR_TESTS(test_conn_fails_who_breaks_the_protocol),
      PAIR_TESTS(test_conn_close_by_the_host),
      PAIR_TESTS(test_conn_close_by_both_at_once),
      PAIR_TEST(test_conn_close_arguments),
      PAIR_TEST(test_conn_close_unanswered_is_cut),
      PAIR_TEST(test_conn_cut_by_the_host),
      PAIR_TESTS(test_conn_end_of_the_stream),
      PAIR_TEST(test_conn_free_without_an_end),
      PAIR_TESTS(test_conn_cut_at_every_byte),
      PAIR_TESTS(test_conn_handler_errors),
      PAIR_TEST(test_conn_wants),
      PAIR_TEST(test_conn_is_ready_once_per_turn),
      PAIR_TEST(test_conn_is_ready_when_its_wants_change),
      PAIR_TEST(test_conn_messages_of_a_turn_are_one_piece),
      PAIR_TEST(test_conn_partial_writes_at_every_byte),
      PAIR_TEST(test_conn_arg_is_the_adapters),
      PAIR_TESTS(test_conn_answers_pings),
      PAIR_TESTS(test_conn_answers_the_newest_ping_when_blocked),
      PAIR_TEST(test_conn_measures_the_round_trip),
      PAIR_TESTS(test_conn_pause_by_return_value),
      PAIR_TESTS(test_conn_pause_by_command),
      PAIR_TESTS(test_conn_pause_in_on_open_holds_early_bytes),
      PAIR_TESTS(test_conn_close_in_on_open_with_early_bytes),
      PAIR_TESTS(test_conn_pause_after_close_is_void),
      PAIR_TEST(test_conn_fed_while_not_reading),
      PAIR_TEST(test_conn_clock_that_steps_back_stands_still),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
