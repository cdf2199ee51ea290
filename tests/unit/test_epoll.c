/* test_epoll.c - the loop: reading, writing, teardown, time, other threads. */
#include "loop_fixture.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

static void test_epoll_echoes_over_a_unix_socket(void **state) {
  fixture f;
  counts n = {0};
  client c;

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  assert_string_equal(n.address, "unix");
  client_message(&f, &c, "hello");
  client_expect(&f, &c, "hello");
  assert_int_equal(n.messages, 1);
  client_close(&c);
  fixture_end(&f);
}

static int server_fd(const fixture *f) {
  for (size_t i = 0; i < f->loop->nslots; i++)
    if (f->loop->slots[i].kind == RILL__SLOT_CONN)
      return (int)i;
  return -1;
}

static void test_epoll_echoes_over_tcp_without_delay(void **state) {
  fixture f;
  counts n = {0};
  client c;
  int on = 0;
  socklen_t len = sizeof on;

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  assert_int_equal(rill_epoll_port(f.loop), 0);
  assert_int_equal(rill_epoll_listen(f.loop, "tcp://127.0.0.1:0", NULL), 0);
  assert_int_not_equal(rill_epoll_port(f.loop), 0);
  c = connect_tcp(rill_epoll_port(f.loop));
  client_upgrade(&f, &c);
  assert_string_equal(n.address, "127.0.0.1");
  client_message(&f, &c, "hello");
  client_expect(&f, &c, "hello");
  assert_int_equal(
      getsockopt(server_fd(&f), IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
  assert_int_equal(on, 1);
  client_close(&c);
  fixture_end(&f);
}

/* 1 MiB through a send buffer of a few KiB, to a client that reads little. */
static void test_epoll_partial_writes_lose_nothing(void **state) {
  const size_t size = 1 << 20;
  uint8_t *data = malloc(size), *wire = malloc(size + 14);
  uint8_t *expected = malloc(size + 14);
  size_t sent = 0, len, want;
  int small = 1;
  fixture f;
  counts n = {0};
  client c;

  (void)state;
  for (size_t i = 0; i < size; i++)
    data[i] = (uint8_t)(i * 2654435761u >> 13);
  len = frame(wire, FRAME_BINARY, data, size, true);
  want = frame(expected, FRAME_BINARY, data, size, false);
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  assert_int_equal(
      setsockopt(server_fd(&f), SOL_SOCKET, SO_SNDBUF, &small, sizeof small),
      0);
  for (int i = 0; i < 100000 && c.len < want; i++) {
    ssize_t k = send(c.fd, wire + sent, len - sent, MSG_NOSIGNAL);
    if (k > 0)
      sent += (size_t)k;
    assert_int_equal(rill_epoll_turn(f.loop, 0), 0);
    client_read(&c, 3001);
    assert_int_equal(c.error, 0);
    /* Interest in writing exactly while something is left over. */
    if (sent == len && c.len > 0 && c.len + 65536 < want)
      assert_true(f.loop->slots[server_fd(&f)].interest & EPOLLOUT);
  }
  assert_int_equal(c.len, want);
  assert_memory_equal(c.in, expected, want);
  turn(&f);
  assert_int_equal(f.loop->slots[server_fd(&f)].interest, EPOLLIN);
  client_close(&c);
  fixture_end(&f);
  free(data);
  free(wire);
  free(expected);
}

/* ---- teardown ---- */

static rill_peer pair[2];

static int remember(rill_peer peer, const rill_request *req, void *arg) {
  counts *n = arg;

  (void)req;
  pair[n->opened++ % 2] = peer;
  return 0;
}

static int cut_self(rill_peer peer, const rill_msg *msg, void *arg) {
  (void)msg;
  ((counts *)arg)->messages++;
  return rill_cut(peer);
}

static int cut_other(rill_peer peer, const rill_msg *msg, void *arg) {
  rill_peer other = rill_peer_eq(peer, pair[0]) ? pair[1] : pair[0];

  (void)msg;
  ((counts *)arg)->messages++;
  return rill_cut(other);
}

static void both_send(rill_handlers *handlers, counts *n, int messages) {
  fixture f;
  client a, b;
  uint8_t wire[64];
  size_t len = frame(wire, FRAME_TEXT, (const uint8_t *)"x", 1, true);

  handlers->on_open = remember;
  handlers->on_close = count_close;
  fixture_begin(&f);
  fixture_route(&f, handlers, n);
  fixture_listen(&f);
  a = connect_unix(&f);
  b = connect_unix(&f);
  client_upgrade(&f, &a);
  client_upgrade(&f, &b);
  /* Two messages each are there before the one batch that has both. */
  for (int i = 0; i < 2; i++) {
    assert_int_equal(send(a.fd, wire, len, 0), len);
    assert_int_equal(send(b.fd, wire, len, 0), len);
  }
  turn(&f);
  turn(&f);
  assert_int_equal(n->messages, messages);
  client_close(&a);
  client_close(&b);
  for (int i = 0; i < 50 && count_slots(&f, RILL__SLOT_CONN) +
                                    count_slots(&f, RILL__SLOT_LINGER) >
                                0;
       i++)
    turn(&f);
  assert_int_equal(count_slots(&f, RILL__SLOT_CONN), 0);
  assert_int_equal(count_slots(&f, RILL__SLOT_LINGER), 0);
  assert_int_equal(f.loop->nlingering, 0);
  assert_int_equal(n->closed, 2);
  fixture_end(&f);
}

static void test_epoll_conn_closed_in_its_own_handler(void **state) {
  rill_handlers handlers = {.on_message = cut_self};
  counts n = {0};

  (void)state;
  both_send(&handlers, &n, 2);
}

static void test_epoll_conn_closed_by_another_in_its_batch(void **state) {
  rill_handlers handlers = {.on_message = cut_other};
  counts n = {0};

  (void)state;
  both_send(&handlers, &n, 2); /* both messages of the first one only */
}

static int pause_other(rill_peer peer, const rill_msg *msg, void *arg) {
  rill_peer other = rill_peer_eq(peer, pair[0]) ? pair[1] : pair[0];

  (void)msg;
  ((counts *)arg)->messages++;
  return rill_pause(other);
}

static void test_epoll_conn_paused_by_another_is_not_read(void **state) {
  static const rill_handlers handlers = {.on_open = remember,
                                         .on_message = pause_other};
  uint8_t wire[64];
  size_t len = frame(wire, FRAME_TEXT, (const uint8_t *)"x", 1, true);
  rill_metrics before, after;
  fixture f;
  counts n = {0};
  client a, b;

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &handlers, &n);
  fixture_listen(&f);
  a = connect_unix(&f);
  b = connect_unix(&f);
  client_upgrade(&f, &a);
  client_upgrade(&f, &b);
  rill_metrics_read(f.hub, &before);
  assert_int_equal(send(a.fd, wire, len, 0), len);
  assert_int_equal(send(b.fd, wire, len, 0), len);
  turn(&f);
  turn(&f);
  rill_metrics_read(f.hub, &after);
  assert_int_equal(n.messages, 1);
  assert_int_equal(after.bytes_in_total - before.bytes_in_total, len);
  client_close(&a);
  client_close(&b);
  fixture_end(&f);
}

static void test_epoll_paused_peer_that_hangs_up_does_not_spin(void **state) {
  fixture f;
  counts n = {0};
  client c;
  rill_time before;

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  assert_int_equal(rill_pause(n.last), 0);
  client_message(&f, &c, "late");
  turn(&f);
  client_close(&c);
  before = rill__loop_clock();
  assert_int_equal(rill_epoll_turn(f.loop, 30), 0);
  assert_true(rill__loop_clock() - before >= 29 * RILL_MSEC);
  assert_int_equal(n.messages, 0);
  assert_int_equal(rill_resume(n.last), 0);
  for (int i = 0; i < 50 && n.closed == 0; i++)
    turn(&f);
  assert_int_equal(n.messages, 1); /* it was there before the end */
  assert_int_equal(n.closed, 1);
  fixture_end(&f);
}

static volatile sig_atomic_t pipe_signals;
static void on_pipe(int number) {
  (void)number;
  pipe_signals++;
}

static void test_epoll_never_raises_sigpipe(void **state) {
  struct sigaction action = {.sa_handler = on_pipe}, before;
  fixture f;
  counts n = {0};
  client c;
  const rill_msg msg = rill_text("to nobody");

  (void)state;
  pipe_signals = 0;
  sigaction(SIGPIPE, &action, &before);
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  client_close(&c);
  assert_int_equal(rill_send(n.last, &msg), 0);
  for (int i = 0; i < 50 && n.closed == 0; i++)
    turn(&f);
  assert_int_equal(n.closed, 1);
  assert_int_equal(pipe_signals, 0);
  fixture_end(&f);
  sigaction(SIGPIPE, &before, NULL);
}

/* The close frame that came before the stream failed is what counts. */
static void test_epoll_reads_a_close_before_a_failed_write(void **state) {
  static const uint8_t code[2] = {0x03, 0xe8};
  uint8_t wire[32];
  fixture f;
  counts n = {0};
  client c;
  const rill_msg msg = rill_text("too late");

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  client_send(&f, &c, wire, frame(wire, FRAME_CLOSE, code, 2, true));
  client_close(&c);
  assert_int_equal(rill_send(n.last, &msg), 0);
  for (int i = 0; i < 50 && n.closed == 0; i++)
    turn(&f);
  assert_int_equal(n.closed, 1);
  assert_int_equal(n.cause, RILL_CAUSE_PEER);
  fixture_end(&f);
}

static int hello(rill_request *req, void *arg) {
  const rill_response response = {.body = "hello", .body_len = 5};

  (void)arg;
  return rill_respond(req, &response);
}

static void test_epoll_answers_a_client_that_has_half_closed(void **state) {
  fixture f;
  client c;

  (void)state;
  fixture_begin(&f);
  assert_int_equal(rill_handle(f.hub, "GET", "/hello", hello, NULL), 0);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_text(&f, &c, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
  client_await_end(&f, &c);
  assert_int_equal(c.error, 0);
  assert_true(c.len > 17);
  assert_memory_equal(c.in, "HTTP/1.1 200", 12);
  assert_memory_equal(c.in + c.len - 5, "hello", 5);
  client_close(&c);
  fixture_end(&f);
}

/* Unread input at close(2) would reset the stream and eat the answer. */
static void test_epoll_lingers_so_that_an_answer_arrives(void **state) {
  const size_t junk = 48 * 1024;
  uint8_t *data = malloc(junk);
  fixture f;
  client c;

  (void)state;
  memset(data, 'a', junk);
  fixture_begin(&f);
  assert_int_equal(rill_epoll_listen(f.loop, "tcp://127.0.0.1:0", NULL), 0);
  c = connect_tcp(rill_epoll_port(f.loop));
  client_text(&f, &c, "GET / HTTP/9.9\r\n\r\n");
  turn(&f);
  turn(&f);
  client_send(&f, &c, data, junk);
  turn(&f);
  turn(&f);
  assert_int_equal(f.loop->nlingering, 1);
  client_await_end(&f, &c);
  assert_int_equal(c.error, 0);
  assert_true(c.len > 12);
  assert_memory_equal(c.in, "HTTP/1.1 ", 9);
  client_close(&c);
  turn(&f);
  turn(&f);
  assert_int_equal(f.loop->nlingering, 0);
  fixture_end(&f);
  free(data);
}

static void test_epoll_lingers_only_so_long_and_so_much(void **state) {
  fixture f;
  client c;
  uint8_t data[4096] = {0};
  size_t sent = 0;

  (void)state;
  fixture_begin(&f);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_text(&f, &c, "bad\r\n\r\n");
  for (int i = 0; i < 50 && f.loop->nlingering == 0; i++)
    turn(&f);
  assert_int_equal(f.loop->nlingering, 1);
  for (int i = 0; i < 5000 && f.loop->nlingering > 0; i++) {
    ssize_t n = send(c.fd, data, sizeof data, MSG_NOSIGNAL);
    if (n > 0)
      sent += (size_t)n;
    turn(&f);
  }
  assert_int_equal(f.loop->nlingering, 0);
  assert_true(sent >= 1024 * 1024 && sent <= 1032 * 1024);
  client_close(&c);
  c = connect_unix(&f);
  client_text(&f, &c, "bad\r\n\r\n");
  for (int i = 0; i < 50 && f.loop->nlingering == 0; i++)
    turn(&f);
  assert_int_equal(f.loop->nlingering, 1);
  f.loop->now += RILL_SEC - RILL_MSEC * 500;
  rill__ring_expire(f.loop, &f.loop->lingering);
  assert_int_equal(f.loop->nlingering, 1);
  f.loop->now += RILL_SEC;
  rill__ring_expire(f.loop, &f.loop->lingering);
  assert_int_equal(f.loop->nlingering, 0);
  client_close(&c);
  fixture_end(&f);
}

/* ---- time, other threads, other loops ---- */

static void post_counter(rill_hub *hub, void *arg) {
  (void)hub;
  ++*(int *)arg;
}

typedef struct poster {
  rill_hub *hub;
  int *count;
} poster;

static void *post_many(void *arg) {
  poster *p = arg;

  for (int i = 0; i < 1000; i++)
    if (rill_post(p->hub, post_counter, p->count) != 0)
      return p;
  return NULL;
}

static void test_epoll_runs_posts_of_other_threads(void **state) {
  pthread_t threads[2];
  void *failed = NULL;
  int count = 0;
  fixture f;
  poster p;

  (void)state;
  fixture_begin(&f);
  p = (poster){f.hub, &count};
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, post_many, &p), 0);
  for (int i = 0; i < PATIENCE && count < 2000; i++)
    assert_int_equal(rill_epoll_turn(f.loop, 1000), 0);
  assert_int_equal(count, 2000);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(pthread_join(threads[i], &failed), 0);
    assert_null(failed);
  }
  fixture_end(&f);
}

static void test_epoll_lives_in_another_loop(void **state) {
  fixture f;
  counts n = {0};
  client c;
  struct pollfd host;
  const rill_msg msg = rill_text("from outside of a turn");

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  host = (struct pollfd){.fd = rill_epoll_fd(f.loop), .events = POLLIN};
  assert_int_equal(poll(&host, 1, 0), 0);
  c = connect_unix(&f);
  assert_int_equal(poll(&host, 1, 1000), 1);
  assert_int_equal(rill_epoll_turn(f.loop, 0), 0);
  assert_int_equal(poll(&host, 1, 0), 0);
  assert_int_equal(send(c.fd, upgrade_request, sizeof upgrade_request - 1, 0),
                   sizeof upgrade_request - 1);
  assert_int_equal(poll(&host, 1, 1000), 1);
  assert_int_equal(rill_epoll_turn(f.loop, 0), 0);
  assert_int_equal(n.opened, 1);
  client_read(&c, 4096);
  client_drop(&c, c.len);
  assert_int_equal(rill_send(n.last, &msg), 0);
  assert_int_equal(rill_epoll_turn(f.loop, 0), 0);
  client_read(&c, 4096);
  assert_true(c.len > 2);
  /* The heartbeat is due some time. */
  assert_true(rill_epoll_timeout(f.loop) > 0);
  client_close(&c);
  fixture_end(&f);
}

static int stop_loop(rill_peer peer, const rill_msg *msg, void *arg) {
  fixture *f = arg;

  (void)peer, (void)msg;
  /* A listener more, so that tables move under the handler. */
  assert_int_equal(rill_epoll_listen(f->loop, "tcp://127.0.0.1:0", NULL), 0);
  rill_epoll_stop(f->loop);
  return 0;
}

static void test_epoll_run_ends_by_stop_from_a_handler(void **state) {
  static const rill_handlers handlers = {.on_message = stop_loop};
  fixture f;
  client c;
  uint8_t wire[16];
  size_t len = frame(wire, FRAME_TEXT, NULL, 0, true);

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &handlers, &f);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  assert_int_equal(send(c.fd, wire, len, 0), len);
  assert_int_equal(rill_epoll_run(f.loop), 0);
  assert_int_not_equal(rill_epoll_port(f.loop), 0);
  client_close(&c);
  fixture_end(&f);
}

static void test_epoll_run_ends_when_drained(void **state) {
  static const uint8_t code[2] = {0x03, 0xe9};
  fixture f;
  counts n = {0};
  client c;
  uint8_t wire[16];
  size_t len = frame(wire, FRAME_CLOSE, code, 2, true);

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  assert_int_equal(rill_epoll_drain(f.loop, 10), 0);
  assert_int_equal(access(f.path, F_OK), -1); /* no longer listens */
  client_await(&f, &c, 4);
  assert_int_equal(c.in[0], FRAME_CLOSE);
  assert_memory_equal(c.in + 2, code, 2);
  assert_int_equal(send(c.fd, wire, len, 0), len);
  client_close(&c);
  assert_int_equal(rill_epoll_run(f.loop), 0);
  assert_int_equal(n.closed, 1);
  assert_int_equal(n.cause, RILL_CAUSE_DRAIN);
  fixture_end(&f);
}

static void test_epoll_free_closes_what_is_open(void **state) {
  fixture f;
  counts n = {0};
  client c;

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  rill_epoll_free(f.loop);
  rill_epoll_free(NULL);
  f.loop = NULL;
  assert_int_equal(n.closed, 0);
  client_read(&c, 64);
  assert_true(c.ended);
  assert_int_equal(access(f.path, F_OK), -1);
  client_close(&c);
  fixture_end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_epoll_echoes_over_a_unix_socket),
      cmocka_unit_test(test_epoll_echoes_over_tcp_without_delay),
      cmocka_unit_test(test_epoll_partial_writes_lose_nothing),
      cmocka_unit_test(test_epoll_conn_closed_in_its_own_handler),
      cmocka_unit_test(test_epoll_conn_closed_by_another_in_its_batch),
      cmocka_unit_test(test_epoll_conn_paused_by_another_is_not_read),
      cmocka_unit_test(test_epoll_paused_peer_that_hangs_up_does_not_spin),
      cmocka_unit_test(test_epoll_never_raises_sigpipe),
      cmocka_unit_test(test_epoll_reads_a_close_before_a_failed_write),
      cmocka_unit_test(test_epoll_answers_a_client_that_has_half_closed),
      cmocka_unit_test(test_epoll_lingers_so_that_an_answer_arrives),
      cmocka_unit_test(test_epoll_lingers_only_so_long_and_so_much),
      cmocka_unit_test(test_epoll_runs_posts_of_other_threads),
      cmocka_unit_test(test_epoll_lives_in_another_loop),
      cmocka_unit_test(test_epoll_run_ends_by_stop_from_a_handler),
      cmocka_unit_test(test_epoll_run_ends_when_drained),
      cmocka_unit_test(test_epoll_free_closes_what_is_open),
  };

  return cmocka_run_group_tests_name("epoll", tests, NULL, NULL);
}
