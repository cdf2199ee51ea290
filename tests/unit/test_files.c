/* test_files.c - a folder as a part of the hub's paths. */
#include "loop_fixture.h"

#include <sys/stat.h>

typedef struct site {
  fixture f;
  char root[80]; /* |f.dir|/site, served; beside it lies secret.txt */
} site;

static void put(const char *root, const char *name, const char *text,
                size_t len) {
  char path[160];
  int fd;

  snprintf(path, sizeof path, "%s/%s", root, name);
  fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, len), len);
  close(fd);
}

static void make_dir(const char *root, const char *name) {
  char path[160];

  snprintf(path, sizeof path, "%s/%s", root, name);
  assert_int_equal(mkdir(path, 0755), 0);
}

static void make_link(const char *root, const char *name, const char *to) {
  char path[160];

  snprintf(path, sizeof path, "%s/%s", root, name);
  assert_int_equal(symlink(to, path), 0);
}

static void begin(site *s) {
  fixture_begin(&s->f);
  fixture_listen(&s->f);
  snprintf(s->root, sizeof s->root, "%s/site", s->f.dir);
  put(s->f.dir, "secret.txt", "secret", 6);
  make_dir(s->f.dir, "site");
  make_dir(s->root, "sub");
  make_dir(s->root, "empty");
  make_dir(s->root, ".git");
  put(s->root, "index.html", "<p>home", 7);
  put(s->root, "sub/index.html", "<p>sub", 6);
  put(s->root, "a b.TXT", "spaced", 6);
  put(s->root, "app.js", "js", 2);
  put(s->root, "none", "none", 4);
  put(s->root, "zero.css", "", 0);
  put(s->root, ".hidden", "hidden", 6);
  put(s->root, ".git/config", "hidden", 6);
  make_link(s->root, "out.txt", "../secret.txt");
  make_link(s->root, "up", "..");
  make_link(s->root, "in.txt", "app.js");
}

static void end(site *s) {
  static const char *const names[] = {"site/sub/index.html",
                                      "site/sub",
                                      "site/empty",
                                      "site/.git/config",
                                      "site/.git",
                                      "site/index.html",
                                      "site/a b.TXT",
                                      "site/app.js",
                                      "site/none",
                                      "site/zero.css",
                                      "site/.hidden",
                                      "site/out.txt",
                                      "site/up",
                                      "site/in.txt",
                                      "site/big.bin",
                                      "site/fifo",
                                      "site",
                                      "secret.txt"};
  char path[160];

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf(path, sizeof path, "%s/%s", s->f.dir, names[i]);
    (void)remove(path);
  }
  fixture_end(&s->f);
}

typedef struct answer {
  int status;
  char head[2048];
  char body[256];
  size_t len; /* of the body */
} answer;

static bool has(const answer *a, const char *line) {
  char with_ends[512];

  snprintf(with_ends, sizeof with_ends, "\r\n%s\r\n", line);
  return strcasestr(a->head, with_ends) != NULL;
}

/* One request on a connection of its own. */
static answer ask(site *s, const char *method, const char *path,
                  const char *more) {
  char request[2048];
  client c = connect_unix(&s->f);
  answer a = {0};
  size_t head;

  snprintf(request, sizeof request,
           "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", method,
           path, more);
  client_text(&s->f, &c, request);
  client_await_end(&s->f, &c);
  head = client_head(&s->f, &c);
  assert_true(head < sizeof a.head);
  memcpy(a.head, c.in, head);
  a.len = c.len - head;
  memcpy(a.body, c.in + head, a.len < 255 ? a.len : 255);
  assert_int_equal(sscanf(a.head, "HTTP/1.1 %d", &a.status), 1);
  client_close(&c);
  return a;
}

static void expect(site *s, const char *path, const char *body,
                   const char *type) {
  char line[128];
  answer a = ask(s, "GET", path, "");

  assert_int_equal(a.status, 200);
  assert_string_equal(a.body, body);
  snprintf(line, sizeof line, "Content-Type: %s", type);
  assert_true(has(&a, line));
  assert_true(has(&a, "X-Content-Type-Options: nosniff"));
}

static void expect_status(site *s, const char *path, int status) {
  answer a = ask(s, "GET", path, "");

  if (a.status != status)
    print_error("%s: %d\n", path, a.status);
  assert_int_equal(a.status, status);
  assert_null(strstr(a.body, "secret"));
  assert_null(strstr(a.body, "hidden"));
}

static void test_files_serves_by_type(void **state) {
  site s;

  (void)state;
  begin(&s);
  assert_int_equal(rill_route_files(s.f.hub, "/", s.root), 0);
  expect(&s, "/", "<p>home", "text/html; charset=utf-8");
  expect(&s, "/index.html", "<p>home", "text/html; charset=utf-8");
  expect(&s, "/sub/", "<p>sub", "text/html; charset=utf-8");
  expect(&s, "/app.js", "js", "text/javascript; charset=utf-8");
  expect(&s, "/app.js?v=1", "js", "text/javascript; charset=utf-8");
  expect(&s, "/%61pp.j%73", "js", "text/javascript; charset=utf-8");
  expect(&s, "/a%20b.TXT", "spaced", "text/plain; charset=utf-8");
  expect(&s, "/none", "none", "application/octet-stream");
  expect(&s, "/zero.css", "", "text/css; charset=utf-8");
  end(&s);
}

static void test_files_lies_below_its_path(void **state) {
  site s;

  (void)state;
  begin(&s);
  assert_int_equal(rill_route_files(s.f.hub, "/static/", s.root), 0);
  expect(&s, "/static/", "<p>home", "text/html; charset=utf-8");
  expect(&s, "/static/sub/", "<p>sub", "text/html; charset=utf-8");
  expect_status(&s, "/", 404);
  expect_status(&s, "/app.js", 404);
  expect_status(&s, "/staticapp.js", 404);
  end(&s);
}

static void test_files_has_no_way_out(void **state) {
  static const char *const paths[] = {
      "/../secret.txt",
      "/%2e%2e/secret.txt",
      "/%2E./secret.txt",
      "/..%2fsecret.txt",
      "/sub%2findex.html",
      "/sub/../../secret.txt",
      "/sub/%2e%2e/%2e%2e/secret.txt",
      "/..%5csecret.txt",
      "/out.txt",
      "/up/secret.txt",
      "/in.txt",
      "/.hidden",
      "/%2ehidden",
      "/.git/config",
      "/.",
      "/./app.js",
      "//app.js",
      "//etc/passwd",
      "/%2fetc/passwd",
      "/app.js%00.html",
      "/app.js%00",
      "/app.js/",
      "/app.js/x",
      "/app.js%",
      "/app.js%2",
      "/app.js%zz",
      "/%0d%0aapp.js",
      "/no-such",
      "/empty/",
      "/sub//index.html",
  };
  char path[1400] = "/";
  site s;

  (void)state;
  begin(&s);
  assert_int_equal(rill_route_files(s.f.hub, "/", s.root), 0);
  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
    expect_status(&s, paths[i], 404);
  memset(path + 1, 'a', 1300);
  expect_status(&s, path, 404);
  /* A pipe must not stop the loop. */
  snprintf(path, sizeof path, "%s/fifo", s.root);
  assert_int_equal(mkfifo(path, 0644), 0);
  expect_status(&s, "/fifo", 404);
  end(&s);
}

static void test_files_sends_folders_to_their_slash(void **state) {
  site s;
  answer a;

  (void)state;
  begin(&s);
  assert_int_equal(rill_route_files(s.f.hub, "/", s.root), 0);
  a = ask(&s, "GET", "/sub", "");
  assert_int_equal(a.status, 308);
  assert_true(has(&a, "Location: /sub/"));
  a = ask(&s, "GET", "/s%75b?x=1", "");
  assert_int_equal(a.status, 308);
  assert_true(has(&a, "Location: /s%75b/"));
  end(&s);
}

static void test_files_knows_what_the_client_has(void **state) {
  char etag[128], line[320];
  const char *at;
  site s;
  answer a;

  (void)state;
  begin(&s);
  assert_int_equal(rill_route_files(s.f.hub, "/", s.root), 0);
  a = ask(&s, "GET", "/app.js", "");
  assert_true(has(&a, "Cache-Control: no-cache"));
  at = strcasestr(a.head, "ETag: ");
  assert_non_null(at);
  assert_int_equal(sscanf(at + 6, "%127[^\r]", etag), 1);

  static const char *const hits[] = {
      "If-None-Match: %s\r\n", "If-None-Match: W/%s\r\n",
      "If-None-Match: \"x\" ,  %s , \"y\"\r\n", "If-None-Match: *%.0s\r\n"};
  for (size_t i = 0; i < sizeof hits / sizeof hits[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, sizeof line, hits[i], etag);
#pragma GCC diagnostic pop
    a = ask(&s, "GET", "/app.js", line);
    assert_int_equal(a.status, 304);
    assert_int_equal(a.len, 0);
    snprintf(line, sizeof line, "ETag: %s", etag);
    assert_true(has(&a, line));
  }
  a = ask(&s, "GET", "/app.js", "If-None-Match: \"x\", W/\"y\"\r\n");
  assert_int_equal(a.status, 200);
  /* Another content is another tag, also of the same length. */
  put(s.root, "app.js", "JS", 2);
  snprintf(line, sizeof line, "If-None-Match: %s\r\n", etag);
  a = ask(&s, "GET", "/app.js", line);
  assert_int_equal(a.status, 200);
  assert_string_equal(a.body, "JS");
  end(&s);
}

static void test_files_answers_head_and_no_other_method(void **state) {
  site s;
  answer a;

  (void)state;
  begin(&s);
  assert_int_equal(rill_route_files(s.f.hub, "/", s.root), 0);
  a = ask(&s, "HEAD", "/", "");
  assert_int_equal(a.status, 200);
  assert_true(has(&a, "Content-Length: 7"));
  assert_int_equal(a.len, 0);
  a = ask(&s, "POST", "/", "Content-Length: 0\r\n");
  assert_int_equal(a.status, 405);
  end(&s);
}

static void test_files_stops_at_16_mib(void **state) {
  const off_t limit = 16 * 1024 * 1024;
  char path[160];
  site s;
  answer a;

  (void)state;
  begin(&s);
  assert_int_equal(rill_route_files(s.f.hub, "/", s.root), 0);
  put(s.root, "big.bin", "", 0);
  snprintf(path, sizeof path, "%s/big.bin", s.root);
  assert_int_equal(truncate(path, limit), 0);
  a = ask(&s, "GET", "/big.bin", "");
  assert_int_equal(a.status, 200);
  assert_int_equal(a.len, limit);
  assert_int_equal(truncate(path, limit + 1), 0);
  expect_status(&s, "/big.bin", 500);
  end(&s);
}

static void test_files_refuses_bad_arguments(void **state) {
  site s;
  char path[160];

  (void)state;
  begin(&s);
  assert_int_equal(rill_route_files(s.f.hub, "", s.root), RILL_ERR_ARG);
  assert_int_equal(rill_route_files(s.f.hub, "/a", s.root), RILL_ERR_ARG);
  assert_int_equal(rill_route_files(s.f.hub, "a/", s.root), RILL_ERR_ARG);
  errno = 0;
  assert_int_equal(rill_route_files(s.f.hub, "/", "/no/such"), RILL_ERR_IO);
  assert_int_equal(errno, ENOENT);
  snprintf(path, sizeof path, "%s/app.js", s.root);
  assert_int_equal(rill_route_files(s.f.hub, "/", path), RILL_ERR_IO);
  assert_int_equal(errno, ENOTDIR);
  assert_int_equal(rill_route_files(s.f.hub, "/", s.root), 0);
  assert_int_equal(rill_route_files(s.f.hub, "/", s.root), RILL_ERR_EXISTS);
  end(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_files_serves_by_type),
      cmocka_unit_test(test_files_lies_below_its_path),
      cmocka_unit_test(test_files_has_no_way_out),
      cmocka_unit_test(test_files_sends_folders_to_their_slash),
      cmocka_unit_test(test_files_knows_what_the_client_has),
      cmocka_unit_test(test_files_answers_head_and_no_other_method),
      cmocka_unit_test(test_files_stops_at_16_mib),
      cmocka_unit_test(test_files_refuses_bad_arguments),
  };

  return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
