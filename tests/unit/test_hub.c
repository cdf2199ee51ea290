/* A hub's birth, its settings, its end, and its log. */
#include "pair.h"

#include "hub/config.h"

static void test_hub_defaults(void **state) {
  rill_config config;
  rill_hub *hub;

  (void)state;
  rill_config_init(&config);
  assert_int_equal(config.size, sizeof config);
  assert_int_equal(config.overflow, RILL_DISCONNECT);
#define RILL_X(name, def, max, outcome)                                        \
  assert_int_equal(config.limits.name, (def));
  RILL_LIMITS(RILL_X)
#undef RILL_X
  assert_int_equal(rill_hub_new(&hub, NULL), 0);
  rill_hub_free(hub);
  rill_hub_free(NULL);
}

/* A host that was built with an older, shorter rill_config. */
static void test_hub_config_may_be_shorter(void **state) {
  struct {
    size_t size;
    void *arg;
    rill_alloc_fn alloc;
    void *alloc_arg;
  } old;
  mem m = {0};
  rill_hub *hub;

  (void)state;
  rill_config_init_((rill_config *)(void *)&old, sizeof old);
  assert_int_equal(old.size, sizeof old);
  old.alloc = mem_fn;
  old.alloc_arg = &m;
  assert_int_equal(rill_hub_new(&hub, (rill_config *)(void *)&old), 0);
  assert_true(m.blocks > 0);
  rill_hub_free(hub);
  assert_int_equal(m.blocks, 0);
}

static void test_hub_config_is_checked(void **state) {
  rill_config config;
  rill_hub *hub;

  (void)state;
#define RILL_X(name, def, max, outcome)                                        \
  rill_config_init(&config);                                                   \
  config.limits.name = 0;                                                      \
  assert_int_equal(rill_hub_new(&hub, &config), RILL_ERR_ARG);                 \
  assert_null(hub);                                                            \
  config.limits.name = (max);                                                  \
  assert_int_equal(rill_hub_new(&hub, &config), 0);                            \
  rill_hub_free(hub);                                                          \
  config.limits.name = 1;                                                      \
  assert_int_equal(rill_hub_new(&hub, &config), 0);                            \
  rill_hub_free(hub);                                                          \
  if ((max) != RILL_UNLIMITED) {                                               \
    config.limits.name = (uint32_t)((max) + 1u);                               \
    assert_int_equal(rill_hub_new(&hub, &config), RILL_ERR_ARG);               \
  }
  RILL_LIMITS(RILL_X)
#undef RILL_X
  rill_config_init(&config);
  config.size = 0;
  assert_int_equal(rill_hub_new(&hub, &config), RILL_ERR_ARG);
  config.size = sizeof config + 1;
  assert_int_equal(rill_hub_new(&hub, &config), RILL_ERR_ARG);
  rill_config_init(&config);
  config.overflow = (rill_overflow)4;
  assert_int_equal(rill_hub_new(&hub, &config), RILL_ERR_ARG);
}

static void test_hub_without_memory(void **state) {
  pair *p = *state;
  uint64_t n = 0;
  int rv;

  do {
    p->mem = (mem){.fail_at = ++n};
    rv = rill_hub_new(&p->hub, &p->config);
    if (rv != 0) {
      assert_int_equal(rv, RILL_ERR_NOMEM);
      assert_null(p->hub);
      assert_int_equal(p->mem.blocks, 0);
    }
  } while (rv != 0);
  assert_true(n > 1);
  p->mem.fail_at = 0;
}

static void note_free(void *arg) {
  char *text = ((void **)arg)[0], *what = ((void **)arg)[1];
  strcat(text, what);
}

static void test_hub_runs_what_is_due_at_its_end(void **state) {
  pair *p = *state;
  char text[16] = "";
  void *one[] = {text, (void *)(uintptr_t) "1"};
  void *two[] = {text, (void *)(uintptr_t) "2"};

  pair_begin(p);
  assert_int_equal(rill_at_free(p->hub, note_free, one), 0);
  assert_int_equal(rill_at_free(p->hub, note_free, two), 0);
  p->mem.fail_at = p->mem.calls + 1;
  assert_int_equal(rill_at_free(p->hub, note_free, two), RILL_ERR_NOMEM);
  p->mem.fail_at = 0;
  rill_hub_free(p->hub);
  p->hub = NULL;
  assert_string_equal(text, "21"); /* the newest first */
}

static int other_random(void *arg, void *out, size_t len) {
  ++*(int *)arg;
  memset(out, 7, len);
  return 0;
}

static void test_hub_is_provided_with_what_is_missing(void **state) {
  pair *p = *state;
  int asked = 0;

  pair_begin(p);
  rill_hub_provide(p->hub, other_random, NULL, &asked);
  pair_open(p);
  assert_int_equal(asked, 0); /* the config had its own */
  pair_reset(p);
  p->config.random = NULL;
  pair_begin(p);
  rill_hub_provide(p->hub, other_random, NULL, &asked);
  pair_open(p);
  assert_true(asked > 0);
}

static void test_hub_freed_with_things_in_flight(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("never read");

  pair_begin(p);
  for (int i = 0; i < 10; i++) {
    end *e = pair_open(p);
    rill_join(e->peer, rill_s("r"));
    rill_join_request(e->peer, rill_s("s"));
    rill_peer_set_data(e->peer, p);
    e->room = 0;
    rill_send(e->peer, &m);
    buf_add(&e->tx, "\x01\x85\0\0\0\0he", 8);
  }
  pair_turn(p);
  rill_send_room(p->hub, rill_s("r"), &m);
  for (size_t i = 0; i < p->nends; i++) {
    rill_conn_free(p->ends[i]->conn);
    p->ends[i]->conn = NULL;
    p->ends[i]->closed = 1; /* no handler runs any more: none is owed */
  }
  rill_hub_free(p->hub);
  p->hub = NULL;
  assert_string_equal(strstr(pair_log(p), "close") == NULL ? "none" : "some",
                      "none");
}

static void test_hub_deadline(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  assert_int_equal(rill_deadline(p->hub), RILL_NEVER);
  e = pair_accept(p);
  assert_int_equal(rill_deadline(p->hub), p->now + 10 * RILL_SEC);
  rill_conn_free(e->conn);
  e->conn = NULL;
  assert_int_equal(rill_deadline(p->hub), RILL_NEVER);
  e = pair_open(p);
  assert_int_equal(rill_deadline(p->hub), p->now + 25 * RILL_SEC);
  rill_join_request(e->peer, rill_s("r"));
  assert_true(rill_deadline(p->hub) <= p->now);
  pair_tick(p, p->hub);
  assert_int_equal(rill_deadline(p->hub), p->now + 25 * RILL_SEC);
}

typedef struct lines {
  int n;
  char event[64], text[2000];
} lines;

static lines logged;

static void take_line(void *arg, rill_log_level level, const char *name,
                      const char *text) {
  (void)arg;
  assert_true(level <= RILL_LOG_DEBUG);
  assert_true(strlen(text) <= 1024);
  for (const char *c = text; *c != '\0'; c++)
    assert_true((uint8_t)*c >= 0x20 && *c != 0x7f);
  assert_true(rill__utf8_valid(text, strlen(text)));
  logged.n++;
  snprintf(logged.event, sizeof logged.event, "%s", name);
  snprintf(logged.text, sizeof logged.text, "%s", text);
}

static void test_hub_log_is_one_line(void **state) {
  pair *p = *state;
  char flood[5000];
  static const char nasty[] = "a\r\nb\x1b[31m\x7f\xff\xc3\x28\xe2\x82\xac";

  p->config.log = take_line;
  pair_begin(p);
  logged = (lines){0};
  rill__hub_log(p->hub, RILL_LOG_DEBUG, "too.deep", rill_s("x"), NULL);
  assert_int_equal(logged.n, 0);
  rill__hub_log(p->hub, RILL_LOG_INFO, "test.event",
                (rill_str){nasty, sizeof nasty - 1}, "and more");
  assert_string_equal(logged.event, "test.event");
  assert_string_equal(logged.text, "a\\x0d\\x0ab\\x1b[31m\\x7f\\xff\\xc3("
                                   "\xe2\x82\xac and more");
  memset(flood, '\n', sizeof flood);
  rill__hub_log(p->hub, RILL_LOG_WARN, "flood", (rill_str){flood, sizeof flood},
                "more");
  assert_in_range(strlen(logged.text), 1000, 1024);
  for (size_t len = 1000; len < 1030; len++) { /* a euro at the very end */
    memset(flood, 'x', sizeof flood);
    memcpy(flood + len - 3, "\xe2\x82\xac", 3);
    rill__hub_log(p->hub, RILL_LOG_WARN, "end", (rill_str){flood, len}, "b");
  }
  rill__hub_log(p->hub, RILL_LOG_WARN, "none", (rill_str){0}, NULL);
  assert_string_equal(logged.text, "");
}

/* Secrets and contents never come into the log. */
static char whole_log[1 << 16];

static void keep_line(void *arg, rill_log_level level, const char *name,
                      const char *text) {
  (void)arg;
  (void)level;
  strncat(whole_log, name, sizeof whole_log - strlen(whole_log) - 1);
  strncat(whole_log, text, sizeof whole_log - strlen(whole_log) - 1);
}

static void test_hub_log_keeps_secrets(void **state) {
  pair *p = *state;
  end *e;

  whole_log[0] = '\0';
  p->config.log = keep_line;
  p->config.log_level = RILL_LOG_DEBUG;
  pair_begin(p);
  e = pair_open_at(p, "/ws?token=CANARY1",
                   "Cookie: sid=CANARY2\r\n"
                   "Authorization: Bearer CANARY3\r\n");
  end_text(e, "CANARY4");
  end_bye(e, 1000, "CANARY5");
  e = pair_open_at(p, "/ws?token=CANARY6", "");
  end_frame(e, 0x83, "CANARY7", 7);
  e = pair_accept(p);
  end_say(e, "GET /?token=CANARY8 HTTP/1.1\r\nCookie: CANARY9\r\n\r\n");
  e = pair_accept(p);
  end_say(e, "CANARY10 \x01 garbage\r\n\r\n");
  assert_true(strlen(whole_log) > 0);
  assert_null(strstr(whole_log, "CANARY"));
}

/* Large buffers are given back when they have been idle for a while. */
static void test_hub_gives_large_buffers_back(void **state) {
  pair *p = *state;
  static char large[3 << 20];
  rill_msg m = {.data = large, .len = sizeof large, .kind = RILL_BINARY};
  size_t idle;
  end *e;

  p->config.limits.queue_bytes = p->config.limits.soft_bytes = 64 << 20;
  pair_begin(p);
  e = pair_open(p);
  idle = p->mem.bytes;
  for (int i = 0; i < 3; i++)
    rill_send(e->peer, &m);
  pair_turn(p);
  assert_string_equal(end_took(e), "binary #3145728; binary #3145728; "
                                   "binary #3145728");
  assert_true(p->mem.bytes > idle + sizeof large); /* for the next ones */
  pair_pass(p, 6 * RILL_SEC);
  assert_true(p->mem.bytes < idle + (1 << 18));
}

static int accept_user(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "auth") == 0 ? rill_accept(e->req, rill_s("user")) : 0;
}

/* Without memory at any point: conns end, nothing leaks, the hub goes on. */
static void test_hub_survives_the_want_of_memory(void **state) {
  rill_route_opts opts = {.deflate = {.enabled = true,
                                      .threshold = 4,
                                      .server_context_takeover = true,
                                      .client_context_takeover = true}};
  static const char *const proxies[] = {"2001:db8::/32"};
  pair *p = *state;
  bool failed = true;
  uint64_t n = 1;

  p->quiet = true;
  p->config.authenticate = pair_authenticate;
  p->config.proxies = proxies;
  p->config.nproxies = 1;
  for (; failed; n++) {
    rill_msg m = rill_text("to a room, to a room, to a room");
    rill_conn_info info = {rill_s("2001:db8::1"), 1, false};
    end *e[2] = {NULL, NULL};
    pair_begin(p);
    p->act = accept_user;
    pair_route(p, "/z", &opts);
    assert_int_equal(rill_handle(p->hub, "GET", "/h", pair_request, p), 0);
    p->mem.fail_at = p->mem.calls + n;
    for (int i = 0; i < 2; i++) {
      rill_conn *c;
      if (rill_conn_new(&c, p->hub, &info, p->now) != 0) {
        assert_null(c);
        continue;
      }
      e[i] = pair_end_new(p, p->hub, c);
      end_say(e[i], "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"
                    "GET /h HTTP/1.1\r\nHost: h\r\n\r\n");
      if (e[i]->conn != NULL)
        end_hello(e[i], i ? "/ws" : "/z?q=%41",
                  "X-Forwarded-For: 203.0.113.9\r\n"
                  "Sec-WebSocket-Extensions: permessage-deflate\r\n");
      if (e[i]->opened) {
        rill_join(e[i]->peer, rill_s("r"));
        rill_join_request(e[i]->peer, rill_s("s"));
      }
    }
    pair_turn(p);
    rill_send_room(p->hub, rill_s("r"), &m);
    m.key = rill_s("k");
    rill_send_all(p->hub, &m);
    for (int i = 0; i < 2; i++) {
      if (e[i] == NULL || e[i]->conn == NULL || !e[i]->opened)
        continue;
      end_frame(e[i], 0x01, "in ", 3);
      if (e[i]->conn != NULL)
        end_frame(e[i], 0x80, "parts", 5);
      rill_send(e[i]->peer, &m);
      rill_pause(e[i]->peer);
      if (e[i]->conn != NULL)
        end_text(e[i], "held");
      rill_resume(e[i]->peer);
      pair_turn(p);
      if (e[i]->conn != NULL)
        end_bye(e[i], 1000, "bye");
    }
    rill_dial(NULL, p->hub, "ws://example.org/", NULL, p->now);
    rill_drain(p->hub, 0, p->now);
    pair_turn(p);
    failed = p->mem.calls >= p->mem.fail_at;
    p->mem.fail_at = 0;
    if (!failed)
      assert_int_equal(e[0]->closed + e[1]->closed, 2);
    pair_reset(p);
  }
  assert_true(n > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hub_defaults),
      cmocka_unit_test(test_hub_config_may_be_shorter),
      cmocka_unit_test(test_hub_config_is_checked),
      PAIR_TEST(test_hub_without_memory),
      PAIR_TEST(test_hub_runs_what_is_due_at_its_end),
      PAIR_TEST(test_hub_is_provided_with_what_is_missing),
      PAIR_TEST(test_hub_freed_with_things_in_flight),
      PAIR_TEST(test_hub_deadline),
      PAIR_TEST(test_hub_log_is_one_line),
      PAIR_TEST(test_hub_log_keeps_secrets),
      PAIR_TEST(test_hub_gives_large_buffers_back),
      PAIR_TESTS(test_hub_survives_the_want_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
