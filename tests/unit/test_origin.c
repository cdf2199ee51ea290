/* Who asks: the Origin of a browser's page, and what proxies report. */
#include "pair.h"

/* The answer to a handshake with that Host and these header lines. */
static int status(pair *p, const char *address, bool secure, const char *host,
                  const char *lines) {
  end *e = pair_accept_from(p, address, secure);

  buf_text(&e->tx, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n"
                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: " PAIR_KEY "\r\nHost: ");
  buf_text(&e->tx, host);
  buf_text(&e->tx, "\r\n");
  buf_text(&e->tx, lines);
  end_say(e, "\r\n");
  end_took(e);
  assert_int_equal(e->opened, e->status == 101);
  return e->status;
}

static void test_origin_of_the_same_host(void **state) {
  static const struct {
    const char *host, *lines;
    bool plain, secure; /* passes over a plain, a secure stream */
  } cases[] = {
      {"example.org", "", true, true}, /* no browser */
      {"example.org", "Origin: http://example.org\r\n", true, false},
      {"example.org", "Origin: https://example.org\r\n", false, true},
      {"example.org", "Origin: HTTP://example.org\r\n", false, false},
      {"Example.ORG", "Origin: http://example.org\r\n", true, false},
      {"example.org:80", "Origin: http://example.org\r\n", true, false},
      {"example.org", "Origin: http://example.org:80\r\n", true, false},
      {"example.org:443", "Origin: https://example.org\r\n", false, true},
      {"example.org", "Origin: https://example.org:443\r\n", false, true},
      {"example.org:443", "Origin: http://example.org\r\n", false, false},
      {"example.org:8080", "Origin: http://example.org:8080\r\n", true, false},
      {"example.org:8080", "Origin: http://example.org\r\n", false, false},
      {"example.org", "Origin: http://example.org:8080\r\n", false, false},
      {"example.org", "Origin: null\r\n", false, false},
      {"example.org", "Origin: \r\n", false, false},
      {"example.org", "Origin: http://example.org.\r\n", false, false},
      {"example.org", "Origin: http://example.org.evil.net\r\n", false, false},
      {"example.org", "Origin: http://evilexample.org\r\n", false, false},
      {"example.org", "Origin: http://example.or\r\n", false, false},
      {"example.org", "Origin: http://user@example.org\r\n", false, false},
      {"example.org", "Origin: http://example.org/\r\n", false, false},
      {"example.org", "Origin: example.org\r\n", false, false},
      {"example.org", "Origin: //example.org\r\n", false, false},
      {"example.org", "Origin: http://\r\n", false, false},
      {"example.org", "Origin: http:// example.org\r\n", false, false},
      {"example.org", "Origin: ftp://example.org\r\n", false, false},
      {"example.org", "Origin: http://xn--exmple-cua.org\r\n", false, false},
      {"example.org",
       "Origin: http://example.org\r\nOrigin: http://example.org\r\n", false,
       false},
      {"example.org",
       "Origin: http://example.org\r\nOrigin: http://evil.net\r\n", false,
       false},
      {"example.org", "Origin: http://example.org, http://evil.net\r\n", false,
       false},
      {"[::1]:9000", "Origin: http://[::1]:9000\r\n", true, false},
      {"127.0.0.1", "Origin: http://localhost\r\n", false, false}};
  pair *p = *state;
  uint64_t refused = 0;

  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int secure = 0; secure < 2; secure++) {
      bool good = secure ? cases[i].secure : cases[i].plain;
      assert_int_equal(
          status(p, "192.0.2.1", secure != 0, cases[i].host, cases[i].lines),
          good ? 101 : 403);
      refused += !good;
    }
  assert_int_equal(pair_metrics(p).origin_refused_total, refused);
}

static void test_origin_allow_list(void **state) {
  static const char *const list[] = {"https://example.org",
                                     "http://localhost:3000"};
  static const struct {
    const char *lines;
    bool good;
  } cases[] = {
      {"", true},
      {"Origin: https://example.org\r\n", true},
      {"Origin: http://localhost:3000\r\n", true},
      {"Origin: http://example.org\r\n", false},
      {"Origin: https://example.org:443\r\n", false},
      {"Origin: https://EXAMPLE.org\r\n", false},
      {"Origin: https://example.org.evil.net\r\n", false},
      {"Origin: http://localhost\r\n", false},
      {"Origin: null\r\n", false},
      {"Origin: http://h\r\n", false}, /* the host is not listed */
      {"Origin: https://example.org\r\nOrigin: https://example.org\r\n",
       false}};
  pair *p = *state;

  p->config.origins = list;
  p->config.norigins = 2;
  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(status(p, "192.0.2.1", false, "h", cases[i].lines),
                     cases[i].good ? 101 : 403);
}

static void test_origin_any(void **state) {
  static const char *const list[] = {"*"};
  rill_route_opts opts = {.any_origin = true};
  pair *p = *state;

  p->config.origins = list;
  p->config.norigins = 1;
  pair_begin(p);
  assert_int_equal(status(p, "192.0.2.1", false, "h", "Origin: http://x\r\n"),
                   101);
  assert_int_equal(status(p, "192.0.2.1", false, "h", "Origin: null\r\n"), 101);
  pair_reset(p);
  p->config.norigins = 0;
  pair_begin(p);
  pair_route(p, "/open", &opts);
  pair_open_at(p, "/open", "Origin: http://anywhere.example\r\n");
}

/* A plain request may come from any page: it is no peer. */
static void test_origin_is_for_peers(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  assert_int_equal(rill_handle(p->hub, "GET", "/page", pair_request, p), 0);
  e = pair_accept(p);
  end_say(e, "GET /page HTTP/1.1\r\nHost: h\r\nOrigin: http://x\r\n\r\n");
  assert_string_equal(end_took(e), "500"); /* the handler did not answer */
}

static void test_origin_forwarded_for(void **state) {
  static const char *const proxies[] = {"10.0.0.0/8", "::1", "2001:db8:1::/48",
                                        "unix"};
  static const struct {
    const char *from, *lines, *address;
  } cases[] = {
      {"192.0.2.7", "", "192.0.2.7"},
      {"192.0.2.7", "X-Forwarded-For: 203.0.113.9\r\n", "192.0.2.7"},
      {"10.1.2.3", "", "10.1.2.3"},
      {"10.1.2.3", "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"},
      {"::ffff:10.1.2.3", "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"},
      {"11.1.2.3", "X-Forwarded-For: 203.0.113.9\r\n", "11.1.2.3"},
      {"::1", "X-Forwarded-For: 2001:db8::5\r\n", "2001:db8::5"},
      {"2001:db8:1:2::3", "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"},
      {"2001:db8:2::3", "X-Forwarded-For: 203.0.113.9\r\n", "2001:db8:2::3"},
      {"unix", "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"},
      {"10.1.2.3", "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n", "203.0.113.9"},
      {"10.1.2.3", "X-Forwarded-For: 203.0.113.9 ,\t10.9.9.9\r\n",
       "203.0.113.9"},
      {"10.1.2.3",
       "X-Forwarded-For: 6.6.6.6,203.0.113.9, 10.9.9.9,10.8.8.8\r\n",
       "203.0.113.9"},
      {"10.1.2.3", "X-Forwarded-For: 10.2.2.2, 10.3.3.3\r\n", "10.2.2.2"},
      {"10.1.2.3",
       "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.9.9.9\r\n",
       "203.0.113.9"},
      {"10.1.2.3",
       "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.9\r\n",
       "203.0.113.9"},
      {"10.1.2.3", "X-Forwarded-For: unknown\r\n", "10.1.2.3"},
      {"10.1.2.3", "X-Forwarded-For: 203.0.113.9, rubbish\r\n", "10.1.2.3"},
      {"10.1.2.3", "X-Forwarded-For: \r\n", "10.1.2.3"},
      {"10.1.2.3", "X-Forwarded-For: ,,\r\n", "10.1.2.3"},
      {"10.1.2.3", "X-Forwarded-For: 203.0.113.999\r\n", "10.1.2.3"}};
  pair *p = *state;

  p->config.proxies = proxies;
  p->config.nproxies = 4;
  pair_begin(p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    end *e;
    rill_str address;
    assert_int_equal(status(p, cases[i].from, false, "h", cases[i].lines), 101);
    e = p->ends[p->nends - 1];
    address = rill_peer_address(e->peer);
    assert_int_equal(address.len, strlen(cases[i].address));
    assert_memory_equal(address.ptr, cases[i].address, address.len);
  }
}

static void test_origin_proxies_must_be_addresses(void **state) {
  static const char *const bad[] = {
      "", "10.0.0.0/33", "example.org", "10.0", "::1/129", "/8", "10.0.0.0/"};
  pair *p = *state;

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    p->config.proxies = &bad[i];
    p->config.nproxies = 1;
    assert_int_equal(rill_hub_new(&p->hub, &p->config), RILL_ERR_ARG);
    assert_null(p->hub);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_origin_of_the_same_host),
      PAIR_CASE(test_origin_of_the_same_host, " (bytes)", 1),
      PAIR_TEST(test_origin_allow_list),
      PAIR_TEST(test_origin_any),
      PAIR_TEST(test_origin_is_for_peers),
      PAIR_TESTS(test_origin_forwarded_for),
      PAIR_TEST(test_origin_proxies_must_be_addresses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
