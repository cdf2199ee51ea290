/* test_connect.c - connecting: names, addresses, Unix sockets, giving up. */
#include "loop_fixture.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>

/*
 * getaddrinfo of this program: "more.test" has, before the right
 * address, one of no family and one where nobody listens, "slow.test" is not
 * answered until |gate| is open, and the rest is the system's.
 */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opens = PTHREAD_COND_INITIALIZER;
static bool gate_open;
static int gate_waiting, gate_passed;

typedef int getaddrinfo_fn(const char *node, const char *service,
                           const struct addrinfo *hints, struct addrinfo **res);

static int system_getaddrinfo(const char *node, const char *service,
                              const struct addrinfo *hints,
                              struct addrinfo **res) {
  union {
    void *object;
    getaddrinfo_fn *fn;
  } next = {.object = dlsym(RTLD_NEXT, "getaddrinfo")};

  return next.fn(node, service, hints, res);
}

static void pass_gate(void) {
  pthread_mutex_lock(&gate_lock);
  gate_waiting++;
  pthread_cond_broadcast(&gate_opens);
  while (!gate_open)
    pthread_cond_wait(&gate_opens, &gate_lock);
  gate_waiting--;
  gate_passed++;
  pthread_cond_broadcast(&gate_opens);
  pthread_mutex_unlock(&gate_lock);
}

static void set_gate(bool open) {
  pthread_mutex_lock(&gate_lock);
  gate_open = open;
  if (!open)
    gate_passed = 0;
  pthread_cond_broadcast(&gate_opens);
  pthread_mutex_unlock(&gate_lock);
}

static void await_gate(const int *count, int n) {
  pthread_mutex_lock(&gate_lock);
  while (*count < n)
    pthread_cond_wait(&gate_opens, &gate_lock);
  pthread_mutex_unlock(&gate_lock);
}

int getaddrinfo(const char *node, const char *service,
                const struct addrinfo *hints, struct addrinfo **res) {
  const bool numeric = (hints->ai_flags & AI_NUMERICHOST) != 0;
  struct addrinfo *other = NULL;
  int rv;

  if (numeric || strstr(node, ".test") == NULL)
    return system_getaddrinfo(node, service, hints, res);
  if (strcmp(node, "slow.test") == 0)
    pass_gate();
  rv = system_getaddrinfo("127.0.0.1", service, hints, res);
  if (strcmp(node, "more.test") == 0)
    for (int i = 0; i < 2 && rv == 0; i++) {
      rv = system_getaddrinfo("127.0.0.1", "1", hints, &other);
      if (rv == 0) {
        other->ai_next = *res;
        *res = other;
      }
    }
  if (rv == 0 && other != NULL)
    other->ai_addr->sa_family = AF_UNSPEC;
  return rv;
}

typedef struct ends {
  fixture f;
  counts server, dialed;
  rill_peer peer; /* the dialing one */
} ends;

static int greet(rill_peer peer, const rill_request *req, void *arg) {
  const rill_msg msg = rill_text("hello");

  (void)req;
  ((counts *)arg)->opened++;
  assert_int_equal(rill_send(peer, &msg), 0);
  return 0;
}

static int count_message(rill_peer peer, const rill_msg *msg, void *arg) {
  (void)peer;
  assert_int_equal(msg->len, 5);
  assert_memory_equal(msg->data, "hello", 5);
  ((counts *)arg)->messages++;
  return 0;
}

static const rill_handlers dialing = {
    .on_open = greet, .on_message = count_message, .on_close = count_close};

static void begin(ends *e) {
  memset(e, 0, sizeof *e);
  fixture_begin(&e->f);
  fixture_route(&e->f, &counting_echo, &e->server);
}

static void dial(ends *e, const char *url) {
  const rill_dial_opts opts = {.handlers = &dialing, .arg = &e->dialed};

  assert_int_equal(
      rill_dial(&e->peer, e->f.hub, url, &opts, rill_epoll_now(e->f.loop)), 0);
}

static void await(ends *e, const int *count) {
  for (int i = 0; i < 15000 && *count == 0; i++)
    turn(&e->f);
  assert_int_equal(*count, 1);
}

static void test_connect_reaches_a_unix_socket(void **state) {
  char url[160];
  ends e;

  (void)state;
  begin(&e);
  fixture_listen(&e.f);
  snprintf(url, sizeof url, "ws+unix:%s:/", e.f.path);
  dial(&e, url);
  await(&e, &e.dialed.messages);
  assert_int_equal(e.server.opened, 1);
  assert_int_equal(rill_close(e.peer, 1000, NULL), 0);
  await(&e, &e.dialed.closed);
  await(&e, &e.server.closed);
  assert_int_equal(e.server.cause, RILL_CAUSE_PEER);
  fixture_end(&e.f);
}

static void dial_tcp(const char *host) {
  char url[64];
  ends e;

  begin(&e);
  assert_int_equal(rill_epoll_listen(e.f.loop, "tcp://127.0.0.1:0", NULL), 0);
  snprintf(url, sizeof url, "ws://%s:%u/", host,
           (unsigned)rill_epoll_port(e.f.loop));
  dial(&e, url);
  await(&e, &e.dialed.messages);
  assert_int_equal(count_slots(&e.f, RILL__SLOT_DIAL), 0);
  fixture_end(&e.f);
}

/* No event comes before the loop has asked for one. */
static void test_connect_does_not_wait_for_an_event(void **state) {
  char url[160];
  rill_time start;
  ends e;

  (void)state;
  begin(&e);
  fixture_listen(&e.f);
  turn(&e.f);
  snprintf(url, sizeof url, "ws+unix:%s:/", e.f.path);
  dial(&e, url);
  start = rill__loop_clock();
  assert_int_equal(rill_epoll_turn(e.f.loop, 3000), 0);
  assert_true(rill__loop_clock() - start < 2 * RILL_SEC);
  assert_int_equal(count_slots(&e.f, RILL__SLOT_CONN), 2);
  fixture_end(&e.f);
}

static void test_connect_reaches_an_address(void **state) {
  (void)state;
  dial_tcp("127.0.0.1");
}

static void test_connect_reaches_a_name(void **state) {
  (void)state;
  dial_tcp("localhost");
}

static void test_connect_tries_all_addresses(void **state) {
  (void)state;
  dial_tcp("more.test");
}

static void test_connect_tells_that_nobody_listens(void **state) {
  struct sockaddr_in in = {.sin_family = AF_INET};
  socklen_t len = sizeof in;
  char url[160];
  ends e;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  (void)state;
  /* Bound and not listening, so that nobody else takes the port. */
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
  snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)ntohs(in.sin_port));
  begin(&e);
  dial(&e, url);
  await(&e, &e.dialed.closed);
  assert_int_equal(e.dialed.cause, RILL_CAUSE_DIAL);
  e.dialed.closed = 0;
  snprintf(url, sizeof url, "ws+unix:%s:/", e.f.path);
  dial(&e, url);
  await(&e, &e.dialed.closed);
  assert_int_equal(e.dialed.cause, RILL_CAUSE_DIAL);
  assert_int_equal(e.dialed.opened, 0);
  turn(&e.f);
  assert_int_equal(count_slots(&e.f, RILL__SLOT_DIAL), 0);
  assert_null(rill_next_ready(e.f.hub));
  fixture_end(&e.f);
  close(fd);
}

static void test_connect_tells_that_a_name_has_no_address(void **state) {
  ends e;

  (void)state;
  begin(&e);
  dial(&e, "ws://no-such-name.invalid/");
  await(&e, &e.dialed.closed);
  assert_int_equal(e.dialed.cause, RILL_CAUSE_DIAL);
  fixture_end(&e.f);
}

/* One more than there are workers, so that one is in the queue. */
enum { SLOW = 5, WORKERS = 4 };

static void dial_slow(ends *e, rill_peer peers[SLOW]) {
  set_gate(false);
  begin(e);
  for (int i = 0; i < SLOW; i++) {
    dial(e, "ws://slow.test:1/");
    peers[i] = e->peer;
  }
  turn(&e->f);
  await_gate(&gate_waiting, WORKERS);
}

static void test_connect_does_not_stop_the_loop(void **state) {
  rill_peer peers[SLOW];
  rill_time start;
  ends e;

  (void)state;
  dial_slow(&e, peers);
  start = rill__loop_clock();
  assert_int_equal(rill_epoll_turn(e.f.loop, 10), 0);
  assert_true(rill__loop_clock() - start < 3 * RILL_SEC);
  assert_int_equal(e.dialed.closed, 0);
  set_gate(true);
  for (int i = 0; i < PATIENCE && e.dialed.closed < SLOW; i++)
    turn(&e.f);
  assert_int_equal(e.dialed.closed, SLOW); /* nobody listens there */
  fixture_end(&e.f);
}

/* Queued or with a worker: the answer that comes later finds nobody. */
static void test_connect_can_be_given_up_in_a_lookup(void **state) {
  rill_peer peers[SLOW];
  ends e;

  (void)state;
  dial_slow(&e, peers);
  for (int i = 0; i < SLOW; i++)
    assert_int_equal(rill_cut(peers[i]), 0);
  for (int i = 0; i < PATIENCE && e.dialed.closed < SLOW; i++)
    turn(&e.f);
  assert_int_equal(e.dialed.closed, SLOW);
  set_gate(true);
  await_gate(&gate_passed, WORKERS);
  for (int i = 0; i < 10; i++)
    turn(&e.f);
  assert_int_equal(e.dialed.closed, SLOW);
  assert_int_equal(gate_passed, WORKERS); /* the queued one never ran */
  fixture_end(&e.f);
}

static void test_connect_gives_a_name_ten_seconds(void **state) {
  rill_peer peers[SLOW];
  ends e;

  (void)state;
  dial_slow(&e, peers);
  e.f.loop->now += 9 * RILL_SEC;
  rill__loop_dial_expire(e.f.loop);
  e.f.loop->now += 2 * RILL_SEC;
  assert_int_equal(e.dialed.closed, 0);
  rill__loop_dial_expire(e.f.loop);
  assert_int_equal(e.dialed.closed, SLOW);
  set_gate(true);
  await_gate(&gate_passed, WORKERS);
  turn(&e.f);
  fixture_end(&e.f);
}

/* Workers outlive the loop; what they share with it must not go early. */
static void test_connect_free_does_not_wait_for_a_lookup(void **state) {
  rill_peer peers[SLOW];
  ends e;

  (void)state;
  dial_slow(&e, peers);
  fixture_end(&e.f);
  set_gate(true);
  await_gate(&gate_passed, WORKERS);
  usleep(20000); /* for the sanitizers to see what the workers do then */
}

/* Closed at each step: not begun, resolved, connecting. */
static void test_connect_can_be_given_up_at_any_time(void **state) {
  (void)state;
  for (int turns = 0; turns < 8; turns++) {
    ends e;
    begin(&e);
    dial(&e, "ws://more.test:1/");
    for (int i = 0; i < turns; i++)
      assert_int_equal(rill_epoll_turn(e.f.loop, 0), 0);
    if (e.dialed.closed == 0) {
      assert_int_equal(rill_cut(e.peer), 0);
      await(&e, &e.dialed.closed);
    }
    for (int i = 0; i < 5; i++)
      turn(&e.f);
    assert_int_equal(e.dialed.closed, 1);
    assert_int_equal(count_slots(&e.f, RILL__SLOT_DIAL), 0);
    fixture_end(&e.f);
  }
}

/*
 * A TCP listener whose backlog is full drops what comes, and connect hangs.
 * A backlog of 0 holds one; one more is on its way in.
 */
static int listen_full(struct sockaddr_in *in, client fill[3]) {
  socklen_t len = sizeof *in;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  *in = (struct sockaddr_in){.sin_family = AF_INET};
  in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(bind(fd, (struct sockaddr *)in, sizeof *in), 0);
  assert_int_equal(listen(fd, 0), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)in, &len), 0);
  for (size_t i = 0; i < 3; i++) {
    fill[i] = client_of(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    (void)connect(fill[i].fd, (struct sockaddr *)in, sizeof *in);
  }
  return fd;
}

static void test_connect_gives_an_address_five_seconds(void **state) {
  struct sockaddr_in in;
  client fill[3];
  char url[64];
  ends e;
  int fd = listen_full(&in, fill);

  (void)state;
  snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)ntohs(in.sin_port));
  begin(&e);
  dial(&e, url);
  for (int i = 0; i < 20; i++)
    turn(&e.f);
  assert_int_equal(count_slots(&e.f, RILL__SLOT_DIAL), 1);
  assert_true(rill_epoll_timeout(e.f.loop) <= 5000);
  e.f.loop->now += 4 * RILL_SEC;
  rill__loop_dial_expire(e.f.loop);
  assert_int_equal(count_slots(&e.f, RILL__SLOT_DIAL), 1);
  assert_int_equal(e.dialed.closed, 0);
  e.f.loop->now += 2 * RILL_SEC;
  rill__loop_dial_expire(e.f.loop);
  assert_int_equal(count_slots(&e.f, RILL__SLOT_DIAL), 0);
  await(&e, &e.dialed.closed);
  assert_int_equal(e.dialed.cause, RILL_CAUSE_DIAL);
  for (size_t i = 0; i < 3; i++)
    client_close(&fill[i]);
  close(fd);
  fixture_end(&e.f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_connect_reaches_a_unix_socket),
      cmocka_unit_test(test_connect_does_not_wait_for_an_event),
      cmocka_unit_test(test_connect_reaches_an_address),
      cmocka_unit_test(test_connect_reaches_a_name),
      cmocka_unit_test(test_connect_tries_all_addresses),
      cmocka_unit_test(test_connect_tells_that_nobody_listens),
      cmocka_unit_test(test_connect_tells_that_a_name_has_no_address),
      cmocka_unit_test(test_connect_can_be_given_up_at_any_time),
      cmocka_unit_test(test_connect_does_not_stop_the_loop),
      cmocka_unit_test(test_connect_can_be_given_up_in_a_lookup),
      cmocka_unit_test(test_connect_gives_a_name_ten_seconds),
      cmocka_unit_test(test_connect_free_does_not_wait_for_a_lookup),
      cmocka_unit_test(test_connect_gives_an_address_five_seconds),
  };

  return cmocka_run_group_tests_name("connect", tests, NULL, NULL);
}
