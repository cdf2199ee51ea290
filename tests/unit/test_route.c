/* Which path is served how. */
#include "pair.h"

static int tell_route(rill_request *req, void *arg) {
  rill_str all = rill_request_param(req, "*");
  rill_str id = rill_request_param(req, "id");
  char text[128];
  int n = snprintf(text, sizeof text, "%s id=%.*s rest=%.*s", (char *)arg,
                   (int)id.len, id.len > 0 ? id.ptr : "", (int)all.len,
                   all.len > 0 ? all.ptr : "");

  return rill_respond(req,
                      &(rill_response){.body = text, .body_len = (size_t)n});
}

static const char *get(pair *p, const char *method, const char *path) {
  end *e = pair_accept(p);
  static char out[200];

  e->head = strcmp(method, "HEAD") == 0;
  buf_text(&e->tx, method);
  buf_text(&e->tx, " ");
  buf_text(&e->tx, path);
  end_say(e, " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  end_took(e);
  if (e->status == 200)
    snprintf(out, sizeof out, "%s", e->head ? "" : (char *)e->http_body.data);
  else
    snprintf(out, sizeof out, "%d", e->status);
  return out;
}

static void add(pair *p, const char *method, const char *path) {
  assert_int_equal(
      rill_handle(p->hub, method, path, tell_route, (void *)(uintptr_t)path),
      0);
}

static void test_route_most_specific_wins(void **state) {
  pair *p = *state;

  for (int order = 0; order < 2; order++) {
    static const char *const paths[] = {"/",      "/*",     "/a",
                                        "/a/:id", "/a/b",   "/a/*",
                                        "/:id/c", "/a/b/*", "/:id/:two/d"};
    pair_begin(p);
    for (int i = 0; i < 9; i++)
      add(p, "GET", paths[order ? 8 - i : i]);
    assert_string_equal(get(p, "GET", "/"), "/ id= rest=");
    assert_string_equal(get(p, "GET", "/a"), "/a id= rest=");
    assert_string_equal(get(p, "GET", "/b"), "/* id= rest=b");
    assert_string_equal(get(p, "GET", "/a/b"), "/a/b id= rest=");
    assert_string_equal(get(p, "GET", "/a/x"), "/a/:id id=x rest=");
    assert_string_equal(get(p, "GET", "/a/x/y"), "/a/* id= rest=x/y");
    assert_string_equal(get(p, "GET", "/a/b/"), "/a/b/* id= rest=");
    assert_string_equal(get(p, "GET", "/a/b/y/z"), "/a/b/* id= rest=y/z");
    assert_string_equal(get(p, "GET", "/x/c"), "/:id/c id=x rest=");
    assert_string_equal(get(p, "GET", "/a/c"), "/a/:id id=c rest=");
    assert_string_equal(get(p, "GET", "/x/y/d"), "/:id/:two/d id=x rest=");
    assert_string_equal(get(p, "GET", "/a/"), "/a/* id= rest=");
    assert_string_equal(get(p, "GET", "//c"), "/* id= rest=/c");
    assert_string_equal(get(p, "GET", "/x/c/"), "/* id= rest=x/c/");
    pair_reset(p);
  }
}

static void test_route_methods(void **state) {
  pair *p = *state;

  pair_begin(p);
  add(p, "GET", "/g");
  add(p, "POST", "/g");
  add(p, "DELETE", "/d");
  add(p, "*", "/all");
  assert_string_equal(get(p, "GET", "/g"), "/g id= rest=");
  assert_string_equal(get(p, "HEAD", "/g"), "");
  assert_string_equal(get(p, "POST", "/g"), "/g id= rest=");
  assert_string_equal(get(p, "PUT", "/g"), "405");
  assert_string_equal(get(p, "get", "/g"), "501");
  assert_string_equal(get(p, "DELETE", "/d"), "/d id= rest=");
  assert_string_equal(get(p, "HEAD", "/d"), "405");
  assert_string_equal(get(p, "PATCH", "/all"), "/all id= rest=");
  assert_string_equal(get(p, "OPTIONS", "/all"), "/all id= rest=");
}

static void test_route_arguments(void **state) {
  static const char *const bad[] = {"", "a", "ws", "/*/a", "/a/*/", "*"};
  rill_route_opts opts = {.deflate = {.enabled = true}};
  pair *p = *state;

  pair_begin(p);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(rill_route(p->hub, bad[i], RILL_RAW, NULL), RILL_ERR_ARG);
    assert_int_equal(rill_handle(p->hub, "GET", bad[i], pair_request, p),
                     RILL_ERR_ARG);
  }
  assert_int_equal(rill_handle(p->hub, "GET", "/x", NULL, p), RILL_ERR_ARG);
  assert_int_equal(rill_handle(p->hub, "", "/x", pair_request, p),
                   RILL_ERR_ARG);
  assert_int_equal(rill_route(p->hub, "/x", (rill_dialect)99, NULL),
                   RILL_ERR_ARG);
  for (int bits = 1; bits < 20; bits++) {
    opts.deflate.server_max_window_bits = (uint8_t)bits;
    assert_int_equal(rill_route(p->hub, "/x/:y", RILL_RAW, &opts),
                     bits >= 9 && bits <= 15 ? bits == 9 ? 0 : RILL_ERR_EXISTS
                                             : RILL_ERR_ARG);
  }
  assert_int_equal(rill_route(p->hub, "/ws", RILL_RAW, NULL), RILL_ERR_EXISTS);
  assert_int_equal(rill_handle(p->hub, "GET", "/h", pair_request, p), 0);
  assert_int_equal(rill_handle(p->hub, "POST", "/h", pair_request, p), 0);
  assert_int_equal(rill_handle(p->hub, "GET", "/h", pair_request, p),
                   RILL_ERR_EXISTS);
}

/* A route without handlers serves peers that nobody listens to. */
static void test_route_without_handlers(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  assert_int_equal(rill_route(p->hub, "/mute", RILL_RAW, NULL), 0);
  e = pair_accept(p);
  end_hello(e, "/mute", "");
  end_text(e, "anybody?");
  end_bye(e, 1000, "");
  assert_string_equal(end_took(e), "101; close 1000; eof");
}

static int check_param(pair *p, const event *e) {
  (void)p;
  assert_true(rill_str_eq(rill_request_param(e->req, "room"), rill_s("blue")));
  assert_true(rill_str_eq(rill_request_query(e->req, "x"), rill_s("1")));
  return 0;
}

static void test_route_params_reach_on_open(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  pair_route(p, "/rooms/:room/ws", NULL);
  p->act = check_param;
  e = pair_accept(p);
  end_hello(e, "/rooms/blue/ws?x=1", "");
  assert_string_equal(end_took(e), "101");
  assert_string_equal(pair_log(p), "0 open");
  assert_string_equal(get(p, "GET", "/rooms/ws"), "404");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_route_most_specific_wins),
      PAIR_TEST(test_route_methods),
      PAIR_TEST(test_route_arguments),
      PAIR_TEST(test_route_without_handlers),
      PAIR_TEST(test_route_params_reach_on_open),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
