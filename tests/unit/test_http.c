#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http_feed.h"

static const rill_limits limits = {
#define RILL_X(name, def, max, outcome) .name = (def),
    RILL_LIMITS(RILL_X)
#undef RILL_X
};
#define LIMIT(name) ((int)(offsetof(rill_limits, name) / sizeof(uint32_t)))

static int setup(void **state) {
  static rill__http_env env;

  rill__http_env_init(&env, &rill__alloc_default, &limits);
  *state = &env;
  return 0;
}

static int teardown(void **state) {
  rill__http_env_finish(*state);
  return 0;
}

/*
 * Runs |data| whole, by bytes and in 40 random cuts: the log of all of them
 * must be the same.  It is returned as a string, to be freed.
 */
static char *run_cuts(rill__http_env *env, bool response, bool ended,
                      const void *data, size_t len) {
  char *first = NULL;

  for (uint64_t seed = 0; seed < 42; seed++) {
    http_run run = {.env = env, .response = response, .ended = ended};
    http_run_all(&run, data, len, (http_cuts){seed < 2 ? seed : seed * 7919});
    rill__bytes_add(&run.log, "", 1);
    if (first == NULL) {
      first = malloc(run.log.len);
      assert_non_null(first);
      memcpy(first, run.log.data, run.log.len);
    } else {
      assert_string_equal(first, (char *)run.log.data);
    }
    rill__bytes_finish(&run.log);
  }
  return first;
}

static void expect(char *log, const char *want) {
  if (strstr(log, want) == NULL) {
    print_error("log:\n%s\nlacks: %s\n", log, want);
    fail();
  }
}

static void expect_bad(char *log, int status, int limit, const char *input) {
  char want[64];

  snprintf(want, sizeof want, "bad=%d\nlimit=%d\n", status, limit);
  if (strstr(log, want) == NULL) {
    print_error("input:\n%s\nlog:\n%s\nlacks: %s\n", input, log, want);
    fail();
  }
  free(log);
}

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"

static void test_http_reads_a_request(void **state) {
  static const char text[] = "GET /a/b?x=1&y HTTP/1.1\r\n"
                             "Host: example.org:8080\r\n"
                             "X-Empty:\r\n"
                             "X-Padded: \t v 1 \t \r\n"
                             "x-high: caf\xc3\xa9\r\n"
                             "Expect: 100-continue\r\n\r\n";
  char *log = run_cuts(*state, false, false, text, sizeof text - 1);

  assert_string_equal(
      log, "head=118\nmethod=GET\ntarget=/a/b?x=1&y\npath=/a/b\nquery=x=1&y\n"
           "host=example.org:8080\nminor=1\nstatus=0\nflags=9\n"
           "name=Host\nvalue=example.org:8080\nname=X-Empty\nvalue=\n"
           "name=X-Padded\nvalue=v 1\nname=x-high\nvalue=caf\xc3\xa9\n"
           "name=Expect\nvalue=100-continue\ndone=118\nbody=\n");
  free(log);
}

static void test_http_finds_fields_and_tokens(void **state) {
  static const char text[] =
      GET HOST "A: 1\r\nB: x, ,y\r\na: 2\r\nb: Z\r\n\r\n";
  rill__http *http = rill__http_new(*state, false);
  size_t used;

  assert_int_equal(
      rill__http_feed(http, (const uint8_t *)text, sizeof text - 1, &used),
      RILL__HTTP_HEAD);
  assert_int_equal(rill__http_count(http), 5);
  assert_true(rill__http_same(rill__http_header(http, "a", 0), "1"));
  assert_true(rill__http_same(rill__http_header(http, "A", 1), "2"));
  assert_null(rill__http_header(http, "A", 2).ptr);
  assert_null(rill__http_header(http, "C", 0).ptr);
  assert_true(rill__http_has_token(http, "b", "X"));
  assert_true(rill__http_has_token(http, "B", "y"));
  assert_true(rill__http_has_token(http, "B", "z"));
  assert_false(rill__http_has_token(http, "B", ""));
  assert_false(rill__http_has_token(http, "B", "x, "));
  assert_false(rill__http_has_token(http, "A", "3"));
  rill__http_free(http);
}

static void test_http_takes_targets_apart(void **state) {
  static const struct {
    const char *line, *want;
  } cases[] = {
      {"GET / HTTP/1.1", "path=/\nquery=\nhost=a\n"},
      {"GET /? HTTP/1.1", "path=/\nquery=\nhost=a\n"},
      {"GET /x?a?b HTTP/1.1", "path=/x\nquery=a?b\nhost=a\n"},
      {"OPTIONS * HTTP/1.1", "path=*\nquery=\nhost=a\n"},
      {"GET http://b:1/x?y HTTP/1.1", "path=/x\nquery=y\nhost=b:1\n"},
      {"GET HTTPS://b HTTP/1.1", "path=/\nquery=\nhost=b\n"},
      {"GET ws://[::1]:9?q HTTP/1.1", "path=/\nquery=q\nhost=[::1]:9\n"},
      {"GET //b/x HTTP/1.1", "path=//b/x\nquery=\nhost=a\n"},
      {"GET * HTTP/1.1", "bad=400\n"},
      {"GET x HTTP/1.1", "bad=400\n"},
      {"GET http:// HTTP/1.1", "bad=400\n"},
      {"GET http:///x HTTP/1.1", "bad=400\n"},
      {"GET http://u@b/ HTTP/1.1", "bad=400\n"},
      {"GET http://b:65536/ HTTP/1.1", "bad=400\n"},
      {"GET ftp://b/ HTTP/1.1", "bad=400\n"},
      {"GET /x#y HTTP/1.1", "bad=400\n"},
      {"GET /\xc3\xa9 HTTP/1.1", "bad=400\n"},
      {"GET /a\tb HTTP/1.1", "bad=400\n"},
      {"CONNECT a:1 HTTP/1.1", "bad=501\n"},
      {"FROB / HTTP/1.1", "bad=501\n"},
      {"get / HTTP/1.1", "bad=501\n"},
  };

  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[128], *log;
    int n = snprintf(text, sizeof text, "%s\r\n" HOST "\r\n", cases[i].line);
    log = run_cuts(*state, false, false, text, (size_t)n);
    expect(log, cases[i].want);
    free(log);
  }
}

#define ONE "POST / HTTP/1.1\r\n" HOST
#define CHUNKED ONE "Transfer-Encoding: chunked\r\n\r\n"
#define BAD(status, text)                                                      \
  { status, text, sizeof(text) - 1 }
static const struct {
  int status;
  const char *text;
  size_t len;
} smuggling[] = {
    /* line ends */
    BAD(400, "GET / HTTP/1.1\nHost: a\n\n"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    BAD(400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    BAD(400, "GET / HTTP/1.1\rHost: a\r\n\r\n"),
    BAD(400, GET HOST "X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD(400, GET HOST "X: a\r\rY: b\r\n\r\n"),
    BAD(400, GET HOST "X: a\r\r\n\r\n"),
    BAD(400, GET HOST "\rX: a\r\n\r\n"),
    BAD(400, GET HOST "\r\r\n"),
    BAD(400, "\n" GET HOST "\r\n"),
    BAD(400, "\r\n\r\n" GET HOST "\r\n"),
    BAD(400, "\r\r\n" GET HOST "\r\n"),
    BAD(400, " " GET HOST "\r\n"),
    /* continued lines */
    BAD(400, GET HOST "X: a\r\n b\r\n\r\n"),
    BAD(400, GET HOST "X: a\r\n\tb\r\n\r\n"),
    BAD(400, GET HOST "X: a\r\n \r\n\r\n"),
    BAD(400, GET " X: a\r\n" HOST "\r\n"),
    BAD(400, ONE "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: chunked\r\n , identity\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Content-Length: 1\r\n 0\r\n\r\n0123456789"),
    /* names */
    BAD(400, GET HOST ": a\r\n\r\n"),
    BAD(400, GET HOST ":\r\n\r\n"),
    BAD(400, GET HOST "X : a\r\n\r\n"),
    BAD(400, GET HOST "X\t: a\r\n\r\n"),
    BAD(400, GET "Host : a\r\n\r\n"),
    BAD(400, GET HOST "Content-Length : 3\r\n\r\nabc"),
    BAD(400, GET HOST "X\r\n\r\n"),
    BAD(400, GET HOST "X Y: a\r\n\r\n"),
    BAD(400, GET HOST "X(Y): a\r\n\r\n"),
    BAD(400, GET HOST "X\x01Y: a\r\n\r\n"),
    BAD(400, GET HOST "X\xc3\xa9: a\r\n\r\n"),
    BAD(400, GET HOST "X\0Y: a\r\n\r\n"),
    BAD(400, GET HOST "\0: a\r\n\r\n"),
    BAD(400, GET HOST "\"X\": a\r\n\r\n"),
    /* values */
    BAD(400, GET HOST "X: a\0b\r\n\r\n"),
    BAD(400, GET HOST "X: \0\r\n\r\n"),
    BAD(400, GET HOST "X: a\x7f\r\n\r\n"),
    BAD(400, GET HOST "X: a\x0b\r\n\r\n"),
    BAD(400, GET HOST "X: a\x1b[31m\r\n\r\n"),
    /* start lines and versions */
    BAD(400, "GET /\r\n\r\n"),
    BAD(400, "GET\r\n\r\n"),
    BAD(400, "GET / \r\n" HOST "\r\n"),
    BAD(400, "GET  / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET /  HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTP/1.1 \r\n" HOST "\r\n"),
    BAD(400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTP/1.1x\r\n" HOST "\r\n"),
    BAD(400, "GET / http/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTP/1\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTP/1.10\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTP/+1.1\r\n" HOST "\r\n"),
    BAD(400, "GET / HTTQ/1.1\r\n" HOST "\r\n"),
    BAD(400, "GET /\0 HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "G\0T / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "G@T / HTTP/1.1\r\n" HOST "\r\n"),
    BAD(400, "HTTP/1.1 200 OK\r\n\r\n"),
    BAD(505, "GET / HTTP/0.9\r\n" HOST "\r\n"),
    BAD(505, "GET / HTTP/1.2\r\n" HOST "\r\n"),
    BAD(505, "GET / HTTP/2.0\r\n" HOST "\r\n"),
    BAD(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BAD(400, "\x16\x03\x01\x02\x00\x01"),
    BAD(400, "PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\n" GET HOST "\r\n"),
    BAD(400, "SETUP / RTSP/1.0\r\n" HOST "\r\n"),
    BAD(400, "SOURCE / ICE/1.0\r\n" HOST "\r\n"),
    /* hosts */
    BAD(400, GET "\r\n"),
    BAD(400, GET "Host:\r\n\r\n"),
    BAD(400, GET HOST HOST "\r\n"),
    BAD(400, GET HOST "host: b\r\n\r\n"),
    BAD(400, GET "Host: a, b\r\n\r\n"),
    BAD(400, GET "Host: a,b\r\n\r\n"),
    BAD(400, GET "Host: a b\r\n\r\n"),
    BAD(400, GET "Host: u@a\r\n\r\n"),
    BAD(400, GET "Host: a/b\r\n\r\n"),
    BAD(400, GET "Host: a:b\r\n\r\n"),
    BAD(400, GET "Host: a:65536\r\n\r\n"),
    BAD(400, GET "Host: a:1:2\r\n\r\n"),
    BAD(400, GET "Host: [::1\r\n\r\n"),
    BAD(400, GET "Host: []\r\n\r\n"),
    BAD(400, GET "Host: ::1\r\n\r\n"),
    BAD(400, "GET http://a/ HTTP/1.1\r\n\r\n"),
    BAD(400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
    /* lengths */
    BAD(400, ONE "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: 3, 3\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: 3,4\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: +3\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: -3\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: -0\r\n\r\n"),
    BAD(400, ONE "Content-Length: 0x3\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: 3a\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: a\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: 3 3\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: 3.0\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: \"3\"\r\n\r\nabc"),
    BAD(400, ONE "Content-Length:\r\n\r\n"),
    BAD(400, ONE "Content-Length: 18446744073709551616\r\n\r\n"),
    BAD(400, ONE "Content-Length: 18446744073709551619\r\n\r\nabc"),
    BAD(400, ONE "Content-Length: 99999999999999999999999\r\n\r\n"),
    /* both, and codings */
    BAD(400, ONE "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
                 "0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"
                 "0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"
                 "\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"
                 "\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: identity\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: chunked;x=1\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
    BAD(400, ONE "Transfer-Encoding: \x0b"
                 "chunked\r\n\r\n0\r\n\r\n"),
    BAD(501, ONE "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    BAD(400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
             "0\r\n\r\n"),
    /* chunks */
    BAD(400, CHUNKED "\r\n"),
    BAD(400, CHUNKED "x\r\n"),
    BAD(400, CHUNKED "-1\r\n"),
    BAD(400, CHUNKED "+1\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "0x1\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED " 1\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1 \r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1\ra\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1\r\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1\r\na\n0\r\n\r\n"),
    BAD(400, CHUNKED "1\r\nab\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1\r\na0\r\n\r\n"),
    BAD(400, CHUNKED "2\r\na\r\n0\r\n\r\nGET /"),
    BAD(400, CHUNKED "1;\n\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1;a\nb\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1;a\rb\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1;a=\"\n\"\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "1;\0\r\na\r\n0\r\n\r\n"),
    BAD(400, CHUNKED "10000000000000000\r\n"),
    BAD(400, CHUNKED "ffffffffffffffffff\r\n"),
    BAD(413, CHUNKED "ffffffffffffffff\r\n"),
    BAD(413, CHUNKED "7fffffffffffffff\r\n"),
    /* trailers */
    BAD(400, CHUNKED "0\r\nX: a\nY: b\r\n\r\n"),
    BAD(400, CHUNKED "0\r\nX: a\r\n b\r\n\r\n"),
    BAD(400, CHUNKED "0\r\n X: a\r\n\r\n"),
    BAD(400, CHUNKED "0\r\n: a\r\n\r\n"),
    BAD(400, CHUNKED "0\r\nX : a\r\n\r\n"),
    BAD(400, CHUNKED "0\r\nX: a\rb\r\n\r\n"),
    BAD(400, CHUNKED "0\r\nX\r\n\r\n"),
    BAD(400, CHUNKED "0\r\n\n"),
    BAD(400, CHUNKED "0\r\n\r\r\n"),
    /* a body that a tunnel would swallow */
    BAD(400, ONE "Connection: upgrade\r\nUpgrade: websocket\r\n"
                 "Content-Length: 1\r\n\r\na"),
    BAD(400, ONE "Connection: upgrade\r\nUpgrade: h2c, WebSocket\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
};

static void test_http_refuses_what_smuggles(void **state) {
  for (size_t i = 0; i < sizeof smuggling / sizeof *smuggling; i++) {
    char *log =
        run_cuts(*state, false, true, smuggling[i].text, smuggling[i].len);
    if (strstr(log, "done=") != NULL)
      fail_msg("taken: %s", smuggling[i].text);
    expect_bad(log, smuggling[i].status,
               smuggling[i].status == 413 ? LIMIT(body_bytes) : -1,
               smuggling[i].text);
  }
}

static void test_http_accepts_what_only_looks_odd(void **state) {
  static const struct {
    const char *text, *want;
  } cases[] = {
      {"\r\n" GET HOST "\r\n", "done=29\n"},
      {GET "Host: a:\r\n\r\n", "host=a:\n"},
      {GET "Host:a\r\n\r\n", "host=a\n"},
      {GET "hOST: [::1]:80\r\n\r\n", "host=[::1]:80\n"},
      {"GET / HTTP/1.0\r\n\r\n", "host=\nminor=0\nstatus=0\nflags=0\n"},
      {ONE "Content-Length: 000003\r\n\r\nabc", "body=abc\n"},
      {ONE "Content-Length: 3 \r\n\r\nabc", "body=abc\n"},
      {ONE "Content-Length: 0\r\n\r\n", "flags=1\n"},
      {ONE "Transfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n", "body=a\n"},
      {CHUNKED "001\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n",
       "body=a0123456789\n"},
      {CHUNKED "1;x\r\na\r\n1;y=1\r\nb\r\n0;e\r\n\r\n", "body=ab\n"},
      {CHUNKED "1\r\na\r\n0\r\nHost: b\r\nY:\r\n\r\n", "body=a\n"},
      {GET HOST "Connection: close\r\n\r\n", "flags=0\n"},
      {GET HOST "Connection: x, CLOSE\t\r\n\r\n", "flags=0\n"},
      {GET HOST "Connection: keep-alive, closet\r\n\r\n", "flags=1\n"},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "flags=1\n"},
      {ONE "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na",
       "flags=7\n"},
  };

  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *log =
        run_cuts(*state, false, false, cases[i].text, strlen(cases[i].text));
    expect(log, cases[i].want);
    assert_null(strstr(log, "bad="));
    free(log);
  }
}

static void test_http_stops_before_the_bytes_of_an_upgrade(void **state) {
  static const char ws[] = GET HOST "Upgrade: websocket\r\n"
                                    "Connection: keep-alive, Upgrade\r\n\r\n"
                                    "\x81\x80....GET / HTTP/1.1\r\n";
  static const char no[] = GET HOST "Upgrade: websocket\r\n\r\n" GET HOST
                                    "Connection: upgrade\r\n\r\n";
  static const char old[] = "GET / HTTP/1.0\r\nUpgrade: websocket\r\n"
                            "Connection: keep-alive, upgrade\r\n\r\n";
  char *log = run_cuts(*state, false, false, ws, sizeof ws - 1);

  expect(log, "head=80\n");
  expect(log, "flags=3\n");
  expect(log, "done=80\n");
  assert_null(strstr(log, "bad="));
  free(log);
  log = run_cuts(*state, false, false, no, sizeof no - 1);
  expect(log, "flags=1\n");
  expect(log, "done=95\n");
  free(log);
  log = run_cuts(*state, false, false, old, sizeof old - 1);
  expect(log, "flags=1\n");
  free(log);
}

static void test_http_reads_pipelined_requests(void **state) {
  static const char text[] =
      GET HOST "\r\n" ONE "Content-Length: 3\r\n\r\nabc" CHUNKED
               "2\r\nde\r\n0\r\n\r\n\r\n" GET HOST "\r\n" GET;
  char *log = run_cuts(*state, false, false, text, sizeof text - 1);

  expect(log, "done=27\nbody=\nhead=");
  expect(log, "body=abc\nhead=");
  expect(log, "body=de\nhead=");
  expect(log, "body=\nmore\n");
  free(log);
}

static void test_http_reads_answers(void **state) {
  static const struct {
    const char *text, *want;
  } cases[] = {
      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
       "Connection: Upgrade\r\n\r\n\x81\x01x",
       "status=101\nflags=3\nname=Upgrade\nvalue=websocket\nname=Connection\n"
       "value=Upgrade\ndone=77\n"},
      {"HTTP/1.1 101 x\r\n\r\nabc", "flags=1\ndone=18\n"},
      {"HTTP/1.1 101 x\r\nContent-Length: 3\r\n\r\nabc", "done=37\nbody=\n"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
       "Content-Length: 2\r\n\r\nabHTTP/1.1 204 \r\n\r\n",
       "status=204\nflags=1\ndone=82\n"},
      {"HTTP/1.1 304 x\r\nContent-Length: 9999999\r\n\r\nHTTP/1.1 200 x\r\n",
       "flags=1\nname=Content-Length\nvalue=9999999\ndone=43\nbody=\nmore\n"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
       "3\r\nabc\r\n0\r\n\r\n",
       "body=abc\n"},
      {"HTTP/1.1 200\r\n\r\nabc", "flags=4\nmore\ndone=19\nbody=abc\n"},
      {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nab",
       "flags=4\nname=Connection\nvalue=keep-alive\nmore\ndone=45\nbody=ab\n"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", "value=3\nmore\n"},
      {"HTTP/1.1 403 caf\xc3\xa9\r\nContent-Length: 0\r\n\r\n",
       "status=403\nflags=1\n"},
  };

  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *log =
        run_cuts(*state, true, true, cases[i].text, strlen(cases[i].text));
    expect(log, cases[i].want);
    assert_null(strstr(log, "bad="));
    free(log);
  }
}

static void test_http_refuses_bad_answers(void **state) {
  static const char *const cases[] = {
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 O\rK\r\n\r\n",
      "HTTP/1.1 20 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 600 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 +20 OK\r\n\r\n",
      "HTTP/1.1  200 OK\r\n\r\n",
      "HTTP/1.1\r\n\r\n",
      "HTTP/1.1 200 O\x7fK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
      "HTTP/1.1 200 OK\r\n: a\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\na",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"
      "\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 204 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"
      "\r\n\r\n0\r\n\r\n",
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  };
  char *log;

  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    expect_bad(run_cuts(*state, true, true, cases[i], strlen(cases[i])), 400,
               -1, cases[i]);
  log = run_cuts(*state, true, true, "HTTP/2.0 200 OK\r\n\r\n", 19);
  expect_bad(log, 505, -1, "HTTP/2.0");
}

/* |pre|, then |n| times |fill|, then |post|. */
static char *sized(rill__http_env *env, const char *pre, const char *fill,
                   size_t n, const char *post) {
  rill__bytes b;
  char *log;

  rill__bytes_init(&b, &rill__alloc_default);
  rill__bytes_str(&b, pre);
  for (size_t i = 0; i < n; i++)
    rill__bytes_str(&b, fill);
  rill__bytes_str(&b, post);
  assert_false(b.failed);
  log = run_cuts(env, false, false, b.data, b.len);
  rill__bytes_finish(&b);
  return log;
}

/* n-1 and n are complete, n+1 is refused. */
static void boundary(rill__http_env *env, const char *pre, const char *fill,
                     size_t n, const char *post, int status, int limit) {
  for (size_t i = n - 1; i <= n; i++) {
    char *log = sized(env, pre, fill, i, post);
    expect(log, "done=");
    assert_null(strstr(log, "bad="));
    free(log);
  }
  expect_bad(sized(env, pre, fill, n + 1, post), status, limit, pre);
}

static rill__http_env *small_env(rill__http_env *env, rill_limits *small) {
  *small = limits;
  small->request_line_bytes = 64;
  small->header_bytes = 100;
  small->header_count = 5;
  small->body_bytes = 50;
  rill__http_env_init(env, &rill__alloc_default, small);
  return env;
}

static void test_http_holds_the_limits_of_a_head(void **state) {
  rill_limits small;
  rill__http_env env;

  (void)state;
  small_env(&env, &small);
  /* "GET /", 50, " HTTP/1.1" */
  boundary(&env, "GET /", "x", 50, " HTTP/1.1\r\n" HOST "\r\n", 414,
           LIMIT(request_line_bytes));
  /* HOST has 9, "X: " and CR LF 5 bytes */
  boundary(&env, GET HOST "X: ", "x", 86, "\r\n\r\n", 431, LIMIT(header_bytes));
  boundary(&env, GET HOST, "X:\r\n", 4, "\r\n", 431, LIMIT(header_count));
  /* with no end in sight */
  expect_bad(sized(&env, "", "x", 65, ""), 414, LIMIT(request_line_bytes), "");
  expect_bad(sized(&env, GET, "x", 5000, ""), 431, LIMIT(header_bytes), "");
  rill__http_env_finish(&env);
}

static void test_http_holds_the_limits_of_a_body(void **state) {
  rill_limits small;
  rill__http_env env;
  char text[128];

  (void)state;
  small_env(&env, &small);
  for (int n = 49; n <= 51; n++) {
    snprintf(text, sizeof text, ONE "Content-Length: %d\r\n\r\n", n);
    char *log = sized(&env, text, "x", (size_t)n, "");
    if (n <= 50)
      expect(log, "done=");
    else
      expect(log, "bad=413\nlimit=4\n");
    free(log);
  }
  assert_int_equal(LIMIT(body_bytes), 4);
  boundary(&env, CHUNKED, "1\r\nx\r\n", 50, "0\r\n\r\n", 413,
           LIMIT(body_bytes));
  boundary(&env, CHUNKED "1\r\nx\r\n0\r\nX: ", "x", 95, "\r\n\r\n", 431,
           LIMIT(header_bytes));
  boundary(&env, CHUNKED "0\r\n", "X:\r\n", 5, "\r\n", 431,
           LIMIT(header_count));
  /* "1;" and CR LF */
  boundary(&env, CHUNKED "1;", "x", 252, "\r\nx\r\n0\r\n\r\n", 400, -1);
  boundary(&env, CHUNKED, "0", 254, "\r\n\r\n", 400, -1);
  rill__http_env_finish(&env);
}

static void test_http_holds_the_limit_of_an_endless_answer(void **state) {
  rill_limits small;
  rill__http_env env;
  char text[128] = "HTTP/1.1 200 OK\r\n\r\n";
  size_t head = strlen(text);

  (void)state;
  small_env(&env, &small);
  memset(text + head, 'x', 51);
  for (size_t n = 49; n <= 51; n++) {
    char *log = run_cuts(&env, true, true, text, head + n);
    expect(log, n <= 50 ? "done=" : "bad=413\nlimit=4\n");
    free(log);
  }
  rill__http_env_finish(&env);
}

static void test_http_needs_the_end_of_a_message(void **state) {
  static const char text[] = ONE "Transfer-Encoding: chunked\r\n\r\n"
                                 "1\r\na\r\n0\r\nX: a\r\n\r\n";

  for (size_t n = 1; n < sizeof text - 1; n++) {
    char *log = run_cuts(*state, false, true, text, n);
    expect(log, "more\n");
    assert_null(strstr(log, "done="));
    free(log);
  }
}

/* Counts what is held, and fails the |fail_at|th call. */
typedef struct meter {
  size_t held, peak, calls, fail_at;
} meter;

static void *metered(void *arg, void *ptr, size_t old, size_t size) {
  meter *m = arg;
  void *p;

  if (size > 0 && ++m->calls == m->fail_at)
    return NULL;
  p = rill__alloc_default.fn(NULL, ptr, old, size);
  m->held += size - old;
  if (m->held > m->peak)
    m->peak = m->held;
  return p;
}

static void test_http_survives_lack_of_memory(void **state) {
  static const char text[] = ONE "Content-Length: 200\r\n\r\n";
  static uint8_t body[200];
  bool done = false;

  (void)state;
  for (size_t at = 1; !done; at++) {
    meter m = {.fail_at = at};
    rill__alloc alloc = {metered, &m};
    rill__http_env env;
    rill__http *http;
    size_t used;

    rill__http_env_init(&env, &alloc, &limits);
    http = rill__http_new(&env, false);
    if (http != NULL) {
      rill__http_step step =
          rill__http_feed(http, (const uint8_t *)text, sizeof text - 1, &used);
      if (step == RILL__HTTP_HEAD)
        step = rill__http_feed(http, body, sizeof body, &used);
      done = step == RILL__HTTP_DONE;
      if (!done) {
        assert_int_equal(step, RILL__HTTP_BAD);
        assert_int_equal(rill__http_error_of(http).status, 503);
      }
      rill__http_free(http);
    }
    rill__http_env_finish(&env);
    assert_int_equal(m.held, 0);
    assert_true(at < 20);
  }
}

static void test_http_pool_keeps_little(void **state) {
  meter m = {.held = 0};
  rill__alloc alloc = {metered, &m};
  rill__http *many[40];
  rill__http_env env;
  char *big = malloc(100000);
  size_t used, calls;

  (void)state;
  rill__http_env_init(&env, &alloc, &limits);
  snprintf(big, 100000, ONE "X: %04000d\r\nContent-Length: 90000\r\n\r\n", 1);
  for (int i = 0; i < 40; i++) {
    many[i] = rill__http_new(&env, false);
    assert_int_equal(
        rill__http_feed(many[i], (uint8_t *)big, strlen(big), &used),
        RILL__HTTP_HEAD);
    assert_int_equal(rill__http_feed(many[i], (uint8_t *)big, 90000, &used),
                     RILL__HTTP_DONE);
  }
  for (int i = 0; i < 40; i++)
    rill__http_free(many[i]);
  assert_true(m.held < 16 * 4096);
  calls = m.calls;
  many[0] = rill__http_new(&env, true);
  assert_int_equal(m.calls, calls);
  assert_int_equal(rill__http_count(many[0]), 0);
  assert_int_equal(rill__http_head_of(many[0])->target.len, 0);
  assert_int_equal(rill__http_error_of(many[0]).limit, -1);
  rill__http_free(many[0]);
  rill__http_env_finish(&env);
  assert_int_equal(m.held, 0);
  free(big);
}

/* A line without an end is refused before it is kept. */
static void test_http_keeps_no_endless_line(void **state) {
  meter m = {.held = 0};
  rill__alloc alloc = {metered, &m};
  uint8_t *line = malloc(100000);
  rill__http_env env;
  rill__http *http;
  size_t used;

  (void)state;
  memset(line, 'x', 100000);
  rill__http_env_init(&env, &alloc, &limits);
  http = rill__http_new(&env, false);
  assert_int_equal(rill__http_feed(http, line, 100000, &used), RILL__HTTP_BAD);
  assert_int_equal(rill__http_error_of(http).status, 414);
  assert_true(m.peak < 4096);
  rill__http_free(http);
  rill__http_env_finish(&env);
  free(line);
}

/* What is declared is not allocated before it comes. */
static void test_http_allocates_what_has_come(void **state) {
  static const char text[] = ONE "Content-Length: 262144\r\n\r\nabc";
  meter m = {.held = 0};
  rill__alloc alloc = {metered, &m};
  rill__http_env env;
  rill__http *http;
  size_t used, n = sizeof text - 1;

  (void)state;
  rill__http_env_init(&env, &alloc, &limits);
  http = rill__http_new(&env, false);
  assert_int_equal(rill__http_feed(http, (const uint8_t *)text, n, &used),
                   RILL__HTTP_HEAD);
  assert_int_equal(
      rill__http_feed(http, (const uint8_t *)text + used, n - used, &used),
      RILL__HTTP_MORE);
  assert_true(m.peak < 4096);
  rill__http_free(http);
  rill__http_env_finish(&env);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_http_reads_a_request),
      cmocka_unit_test(test_http_finds_fields_and_tokens),
      cmocka_unit_test(test_http_takes_targets_apart),
      cmocka_unit_test(test_http_refuses_what_smuggles),
      cmocka_unit_test(test_http_accepts_what_only_looks_odd),
      cmocka_unit_test(test_http_stops_before_the_bytes_of_an_upgrade),
      cmocka_unit_test(test_http_reads_pipelined_requests),
      cmocka_unit_test(test_http_reads_answers),
      cmocka_unit_test(test_http_refuses_bad_answers),
      cmocka_unit_test(test_http_holds_the_limits_of_a_head),
      cmocka_unit_test(test_http_holds_the_limits_of_a_body),
      cmocka_unit_test(test_http_holds_the_limit_of_an_endless_answer),
      cmocka_unit_test(test_http_needs_the_end_of_a_message),
      cmocka_unit_test(test_http_survives_lack_of_memory),
      cmocka_unit_test(test_http_pool_keeps_little),
      cmocka_unit_test(test_http_keeps_no_endless_line),
      cmocka_unit_test(test_http_allocates_what_has_come),
  };

  return cmocka_run_group_tests(tests, setup, teardown);
}
