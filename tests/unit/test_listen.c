/* test_listen.c - addresses, accepting, and the PROXY protocol. */
#include "loop_fixture.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "loop/listen.h"

static void test_listen_takes_numeric_addresses_only(void **state) {
  static const char *const good[] = {"tcp://127.0.0.1:0", "tcp://0.0.0.0:65535",
                                     "tcp://[::1]:80", "unix:a"};
  static const char *const bad[] = {
      "",
      "tcp://",
      "tcp://127.0.0.1",
      "tcp://127.0.0.1:",
      "tcp://127.0.0.1:65536",
      "tcp://127.0.0.1:99999999999",
      "tcp://127.0.0.1:-1",
      "tcp://127.0.0.1:1x",
      "tcp://127.0.0.1:+1",
      "tcp://localhost:1",
      "tcp://127.1:1",
      "tcp://::1:80",
      "tcp://[::1]",
      "tcp://[::1:80",
      "tcp://[127.0.0.1]:80",
      "tcp://[1111:2222:3333:4444:5555:6666:7777:8888:9]:1",
      "TCP://127.0.0.1:1",
      "unix:",
      "127.0.0.1:80"};
  rill__endpoint out;
  char path[128] = "unix:";

  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    assert_true(rill__endpoint_parse(&out, good[i]));
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_false(rill__endpoint_parse(&out, bad[i]));
  memset(path + 5, 'p', 107);
  assert_true(rill__endpoint_parse(&out, path));
  path[5 + 107] = 'p';
  assert_false(rill__endpoint_parse(&out, path));
}

static void test_listen_shows_v4_clients_of_v6_sockets_as_v4(void **state) {
  struct sockaddr_storage sa = {0};
  struct sockaddr_in6 *in6 = (void *)&sa;
  rill__origin origin;

  (void)state;
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(1234);
  inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6->sin6_addr);
  rill__origin_of(&origin, &sa);
  assert_int_equal(origin.info.address.len, 9);
  assert_memory_equal(origin.info.address.ptr, "192.0.2.7", 9);
  assert_int_equal(origin.info.port, 1234);
  inet_pton(AF_INET6, "2001:db8::1", &in6->sin6_addr);
  rill__origin_of(&origin, &sa);
  assert_memory_equal(origin.info.address.ptr, "2001:db8::1", 11);
}

static void test_listen_refuses_bad_arguments(void **state) {
  rill_listen_opts opts = {.backlog = -1};
  fixture f;

  (void)state;
  fixture_begin(&f);
  assert_int_equal(rill_epoll_listen(f.loop, "nowhere", NULL), RILL_ERR_ARG);
  assert_int_equal(rill_epoll_listen(f.loop, NULL, NULL), RILL_ERR_ARG);
  assert_int_equal(rill_epoll_listen(f.loop, f.address, &opts), RILL_ERR_ARG);
  opts = (rill_listen_opts){.unix_mode = 01777};
  assert_int_equal(rill_epoll_listen(f.loop, f.address, &opts), RILL_ERR_ARG);
  errno = 0;
  assert_int_equal(rill_epoll_listen(f.loop, "unix:/no/such/dir/x", NULL),
                   RILL_ERR_IO);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(count_slots(&f, RILL__SLOT_LISTENER), 0);
  fixture_end(&f);
}

static unsigned mode_of(const char *path) {
  struct stat st;

  assert_int_equal(lstat(path, &st), 0);
  assert_true(S_ISSOCK(st.st_mode));
  return st.st_mode & 0777;
}

static void test_listen_gives_a_unix_socket_its_mode(void **state) {
  rill_listen_opts opts = {.unix_mode = 0666};
  fixture f, g;

  (void)state;
  fixture_begin(&f);
  fixture_listen(&f);
  assert_int_equal(mode_of(f.path), 0600);
  fixture_begin(&g);
  assert_int_equal(rill_epoll_listen(g.loop, g.address, &opts), 0);
  assert_int_equal(mode_of(g.path), 0666);
  fixture_end(&g);
  fixture_end(&f);
}

static void test_listen_replaces_only_a_stale_socket(void **state) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  fixture f, g;
  int fd;

  (void)state;
  fixture_begin(&f);
  fixture_begin(&g);
  /* Stale: bound once, and nobody listens. */
  memcpy(sun.sun_path, f.path, strlen(f.path));
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
  close(fd);
  fixture_listen(&f);
  /* Alive. */
  assert_int_equal(rill_epoll_listen(g.loop, f.address, NULL), RILL_ERR_IO);
  assert_int_equal(errno, EADDRINUSE);
  mode_of(f.path);
  /* Not a socket. */
  fd = open(g.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  close(fd);
  assert_int_equal(rill_epoll_listen(g.loop, g.address, NULL), RILL_ERR_IO);
  assert_int_equal(errno, EADDRINUSE);
  assert_int_equal(access(g.path, F_OK), 0);
  fixture_end(&g);
  fixture_end(&f);
}

static void test_listen_leaves_a_socket_that_is_not_its_own(void **state) {
  fixture f, g;
  client c;

  (void)state;
  fixture_begin(&f);
  fixture_listen(&f);
  assert_int_equal(unlink(f.path), 0);
  fixture_begin(&g);
  assert_int_equal(rill_epoll_listen(g.loop, f.address, NULL), 0);
  rill_epoll_free(f.loop);
  f.loop = NULL;
  c = connect_unix(&f);
  client_close(&c);
  fixture_end(&g);
  fixture_end(&f);
}

static void test_listen_accepts_a_bounded_number_per_turn(void **state) {
  client all[100];
  fixture f;

  (void)state;
  fixture_begin(&f);
  fixture_listen(&f);
  for (size_t i = 0; i < 100; i++)
    all[i] = connect_unix(&f);
  assert_int_equal(rill_epoll_turn(f.loop, 0), 0);
  assert_int_equal(count_slots(&f, RILL__SLOT_CONN), 64);
  assert_int_equal(rill_epoll_turn(f.loop, 0), 0);
  assert_int_equal(count_slots(&f, RILL__SLOT_CONN), 100);
  for (size_t i = 0; i < 100; i++)
    client_close(&all[i]);
  fixture_end(&f);
}

/* ---- no descriptors left ---- */

static struct rlimit set_limit(rlim_t n) {
  struct rlimit before, now;

  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  now = before;
  now.rlim_cur = n;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
  return before;
}

static void test_listen_sheds_and_pauses_without_descriptors(void **state) {
  struct rlimit before;
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  rill__listener *listener;
  rill_time start;
  client more[8], c;
  fixture f;
  counts n = {0};
  size_t ended = 0;

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  fixture_listen(&f);
  listener = RILL__CONTAINER(f.loop->listeners.next, rill__listener, link);
  c = connect_unix(&f);
  client_upgrade(&f, &c);
  memcpy(sun.sun_path, f.path, strlen(f.path));
  for (size_t i = 0; i < 8; i++)
    more[i] = client_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  /* Two more streams fit. */
  before = set_limit((rlim_t)more[7].fd + 3);
  for (size_t i = 0; i < 8; i++)
    assert_int_equal(connect(more[i].fd, (struct sockaddr *)&sun, sizeof sun),
                     0);
  turn(&f);
  assert_int_equal(count_slots(&f, RILL__SLOT_CONN), 3);
  for (size_t i = 0; i < 8; i++) {
    client_read(&more[i], 1);
    ended += more[i].ended || more[i].error != 0;
  }
  assert_int_equal(ended, 6);
  assert_true(f.loop->spare >= 0);
  assert_int_equal(listener->pause, 100 * RILL_MSEC);

  /* While it pauses the others live, and the loop sleeps. */
  client_message(&f, &c, "still here");
  client_expect(&f, &c, "still here");
  for (size_t i = 2; i < 8; i++)
    client_close(&more[i]);
  more[2] = client_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  assert_int_equal(connect(more[2].fd, (struct sockaddr *)&sun, sizeof sun), 0);
  start = rill__loop_clock();
  assert_int_equal(rill_epoll_turn(f.loop, 20), 0);
  assert_true(rill__loop_clock() - start >= 19 * RILL_MSEC);
  assert_int_equal(count_slots(&f, RILL__SLOT_CONN), 3);

  /* Then it accepts again. */
  setrlimit(RLIMIT_NOFILE, &before);
  for (int i = 0; i < 200 && count_slots(&f, RILL__SLOT_CONN) < 4; i++)
    turn(&f);
  assert_int_equal(count_slots(&f, RILL__SLOT_CONN), 4);
  assert_int_equal(listener->pause, 0);
  for (size_t i = 0; i < 3; i++)
    client_close(&more[i]);
  client_close(&c);
  fixture_end(&f);
}

static void test_listen_pauses_longer_up_to_a_second(void **state) {
  rill__listener *listener;
  struct rlimit before;
  fixture f;
  client c = {.fd = -1};
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  static const rill_time pauses[] = {100, 200, 400, 800, 1000, 1000};

  (void)state;
  fixture_begin(&f);
  fixture_listen(&f);
  listener = RILL__CONTAINER(f.loop->listeners.next, rill__listener, link);
  memcpy(sun.sun_path, f.path, strlen(f.path));
  for (size_t i = 0; i < 6; i++) {
    c = client_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    before = set_limit((rlim_t)c.fd + 1);
    assert_int_equal(connect(c.fd, (struct sockaddr *)&sun, sizeof sun), 0);
    rill__accept(f.loop, listener);
    assert_int_equal(listener->pause, pauses[i] * RILL_MSEC);
    assert_int_equal(rill__accept_due(f.loop), f.loop->now + listener->pause);
    f.loop->now += listener->pause - 1;
    rill__accept_resume(f.loop);
    assert_int_not_equal(listener->paused, RILL_NEVER);
    f.loop->now += 1;
    rill__accept_resume(f.loop);
    assert_int_equal(listener->paused, RILL_NEVER);
    setrlimit(RLIMIT_NOFILE, &before);
    client_close(&c);
  }
  fixture_end(&f);
}

/* ---- the PROXY protocol ---- */

static const rill_listen_opts proxied = {.proxy_protocol = true};

static void one_by_one(fixture *f, client *c, const void *data, size_t len) {
  for (size_t i = 0; i < len; i++) {
    client_send(f, c, (const uint8_t *)data + i, 1);
    assert_int_equal(rill_epoll_turn(f->loop, 0), 0);
  }
}

static void test_listen_reads_a_proxy_header_in_any_cuts(void **state) {
  static const char v1[] = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n";
  static const uint8_t v2[] = {'\r', '\n', '\r', '\n', 0,    '\r', '\n',
                               'Q',  'U',  'I',  'T',  '\n', 0x21, 0x11,
                               0,    12,   192,  0,    2,    8,    198,
                               51,   100,  1,    0x12, 0x67, 0,    80};
  fixture f;
  counts n = {0};
  client c;

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  assert_int_equal(rill_epoll_listen(f.loop, f.address, &proxied), 0);

  c = connect_unix(&f);
  turn(&f);
  one_by_one(&f, &c, v1, sizeof v1 - 1);
  client_upgrade(&f, &c);
  assert_string_equal(n.address, "192.0.2.7");
  client_message(&f, &c, "one");
  client_expect(&f, &c, "one");
  client_close(&c);

  /* With the request in the same segment. */
  c = connect_unix(&f);
  client_send(&f, &c, v2, sizeof v2);
  client_upgrade(&f, &c);
  assert_string_equal(n.address, "192.0.2.8");
  client_close(&c);

  /* The proxy's own: the stream's address counts. */
  c = connect_unix(&f);
  client_text(&f, &c, "PROXY UNKNOWN\r\n");
  client_upgrade(&f, &c);
  assert_string_equal(n.address, "unix");
  client_close(&c);
  assert_int_equal(n.opened, 3);
  fixture_end(&f);
}

static void test_listen_closes_what_has_no_proxy_header(void **state) {
  static const char *const bad[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PX",
                                    "PROXY TCP4 1.2.3.4\r\n"};
  fixture f;
  client c;

  (void)state;
  fixture_begin(&f);
  assert_int_equal(rill_epoll_listen(f.loop, f.address, &proxied), 0);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    c = connect_unix(&f);
    client_text(&f, &c, bad[i]);
    client_await_end(&f, &c);
    assert_int_equal(c.len, 0);
    client_close(&c);
  }
  /* Ended in the middle of one. */
  c = connect_unix(&f);
  client_text(&f, &c, "PROXY TCP4 ");
  turn(&f);
  assert_int_equal(count_slots(&f, RILL__SLOT_EARLY), 1);
  assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
  client_await_end(&f, &c);
  client_close(&c);
  assert_int_equal(count_slots(&f, RILL__SLOT_EARLY), 0);
  assert_int_equal(count_slots(&f, RILL__SLOT_CONN), 0);
  fixture_end(&f);
}

static void test_listen_waits_five_seconds_for_a_proxy_header(void **state) {
  fixture f;
  counts n = {0};
  client slow, open;
  rill_time start;

  (void)state;
  fixture_begin(&f);
  fixture_route(&f, &counting_echo, &n);
  assert_int_equal(rill_epoll_listen(f.loop, f.address, &proxied), 0);
  open = connect_unix(&f);
  client_text(&f, &open, "PROXY UNKNOWN\r\n");
  client_upgrade(&f, &open);
  slow = connect_unix(&f);
  client_text(&f, &slow, "PROXY ");
  turn(&f);
  turn(&f);
  /* Half a header is no reason to turn again and again. */
  start = rill__loop_clock();
  assert_int_equal(rill_epoll_turn(f.loop, 20), 0);
  assert_true(rill__loop_clock() - start >= 19 * RILL_MSEC);
  assert_true(rill_epoll_timeout(f.loop) > 4000);
  assert_true(rill_epoll_timeout(f.loop) <= 5000);
  f.loop->now += 4 * RILL_SEC;
  rill__ring_expire(f.loop, &f.loop->early);
  assert_int_equal(count_slots(&f, RILL__SLOT_EARLY), 1);
  for (size_t i = 0; i < RILL__RING; i++)
    f.loop->early.v[i].due = rill__loop_clock();
  turn(&f);
  assert_int_equal(count_slots(&f, RILL__SLOT_EARLY), 0);
  client_await_end(&f, &slow);
  /* The time of one that has shown its header is over. */
  client_message(&f, &open, "alive");
  client_expect(&f, &open, "alive");
  client_close(&slow);
  client_close(&open);
  fixture_end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_listen_takes_numeric_addresses_only),
      cmocka_unit_test(test_listen_shows_v4_clients_of_v6_sockets_as_v4),
      cmocka_unit_test(test_listen_refuses_bad_arguments),
      cmocka_unit_test(test_listen_gives_a_unix_socket_its_mode),
      cmocka_unit_test(test_listen_replaces_only_a_stale_socket),
      cmocka_unit_test(test_listen_leaves_a_socket_that_is_not_its_own),
      cmocka_unit_test(test_listen_accepts_a_bounded_number_per_turn),
      cmocka_unit_test(test_listen_sheds_and_pauses_without_descriptors),
      cmocka_unit_test(test_listen_pauses_longer_up_to_a_second),
      cmocka_unit_test(test_listen_reads_a_proxy_header_in_any_cuts),
      cmocka_unit_test(test_listen_closes_what_has_no_proxy_header),
      cmocka_unit_test(test_listen_waits_five_seconds_for_a_proxy_header),
  };

  return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
