/* test_serve.c - rill_epoll_serve, in a process of its own. */
#include "loop_fixture.h"

#include <signal.h>
#include <sys/wait.h>

typedef struct server {
  pid_t pid;
  FILE *out;
  unsigned port;
} server;

static void on_host_signal(int number) {
  (void)number;
}

/* The child; its status says what went wrong. */
static int serve(const char *address, int out) {
  static const rill_handlers handlers = {.on_message = NULL};
  const rill_route_opts opts = {.handlers = &handlers};
  struct sigaction host = {.sa_handler = on_host_signal}, after;
  rill_hub *hub;

  if (dup2(out, STDOUT_FILENO) < 0)
    return 2;
  sigaction(SIGINT, &host, NULL);
  if (rill_hub_new(&hub, NULL) != 0 ||
      rill_route(hub, "/", RILL_RAW, &opts) != 0)
    return 3;
  if (rill_epoll_serve(hub, address) != 0)
    return 4;
  rill_hub_free(hub);
  sigaction(SIGINT, NULL, &after);
  return after.sa_handler == on_host_signal ? 0 : 5;
}

static server begin(const char *address) {
  server s = {0};
  int fds[2];
  char line[256] = "";

  assert_int_equal(pipe(fds), 0);
  fflush(NULL);
  s.pid = fork();
  assert_true(s.pid >= 0);
  if (s.pid == 0) {
    close(fds[0]);
    _exit(serve(address, fds[1]));
  }
  close(fds[1]);
  s.out = fdopen(fds[0], "r");
  assert_non_null(fgets(line, sizeof line, s.out));
  if (strncmp(address, "unix:", 5) == 0) {
    assert_int_equal(strncmp(line, "listening on ", 13), 0);
    assert_int_equal(strncmp(line + 13, address, strlen(address)), 0);
    assert_string_equal(line + 13 + strlen(address), "\n");
  } else {
    assert_int_equal(sscanf(line, "listening on tcp://127.0.0.1:%u\n", &s.port),
                     1);
    assert_int_not_equal(s.port, 0);
  }
  return s;
}

static void end(server *s) {
  int status = -1;

  assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  fclose(s->out);
}

static client upgrade(int fd) {
  client c = {.fd = fd};

  assert_int_equal(
      send(fd, upgrade_request, sizeof upgrade_request - 1, MSG_NOSIGNAL),
      sizeof upgrade_request - 1);
  while (c.len < 4 || memcmp(c.in + c.len - 4, "\r\n\r\n", 4) != 0) {
    size_t before = c.len;
    client_read(&c, 1);
    assert_int_equal(c.len, before + 1);
  }
  client_drop(&c, c.len);
  return c;
}

static int connect_blocking(unsigned port) {
  struct sockaddr_in in = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  in.sin_port = htons((uint16_t)port);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
  return fd;
}

static void test_serve_ends_on_a_signal(void **state) {
  static const int signals[] = {SIGTERM, SIGINT};

  (void)state;
  for (size_t i = 0; i < 2; i++) {
    server s = begin("tcp://127.0.0.1:0");
    kill(s.pid, signals[i]);
    end(&s);
  }
}

static void test_serve_drains_on_a_signal(void **state) {
  static const uint8_t code[2] = {0x03, 0xe9};
  server s = begin("tcp://127.0.0.1:0");
  client c = upgrade(connect_blocking(s.port));
  uint8_t wire[16];
  size_t len = frame(wire, FRAME_CLOSE, code, 2, true);

  (void)state;
  kill(s.pid, SIGTERM);
  while (c.len < 4)
    client_read(&c, 4 - c.len);
  assert_int_equal(c.in[0], FRAME_CLOSE);
  assert_memory_equal(c.in + 2, code, 2);
  assert_int_equal(send(c.fd, wire, len, MSG_NOSIGNAL), len);
  client_close(&c);
  end(&s);
}

/* The client never answers the close: the second signal does not wait. */
static void test_serve_leaves_at_once_on_the_second_signal(void **state) {
  server s = begin("tcp://127.0.0.1:0");
  client c = upgrade(connect_blocking(s.port));
  rill_time before = rill__loop_clock();

  (void)state;
  kill(s.pid, SIGINT);
  usleep(20000); /* two pending signals of one kind would be one */
  kill(s.pid, SIGINT);
  end(&s);
  assert_true(rill__loop_clock() - before < 4 * RILL_SEC);
  client_close(&c);
}

static void test_serve_listens_at_a_unix_socket(void **state) {
  char address[64];
  server s;

  (void)state;
  snprintf(address, sizeof address, "unix:/tmp/rill-serve-%ld", (long)getpid());
  s = begin(address);
  assert_int_equal(access(address + 5, F_OK), 0);
  kill(s.pid, SIGTERM);
  end(&s);
  assert_int_equal(access(address + 5, F_OK), -1);
}

static void test_serve_tells_what_is_wrong(void **state) {
  rill_hub *hub;

  (void)state;
  assert_int_equal(rill_hub_new(&hub, NULL), 0);
  assert_int_equal(rill_epoll_serve(hub, "nowhere"), RILL_ERR_ARG);
  errno = 0;
  assert_int_equal(rill_epoll_serve(hub, "unix:/no/such/dir/x"), RILL_ERR_IO);
  assert_int_equal(errno, ENOENT);
  rill_hub_free(hub);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_serve_ends_on_a_signal),
      cmocka_unit_test(test_serve_drains_on_a_signal),
      cmocka_unit_test(test_serve_leaves_at_once_on_the_second_signal),
      cmocka_unit_test(test_serve_listens_at_a_unix_socket),
      cmocka_unit_test(test_serve_tells_what_is_wrong),
  };

  return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}
