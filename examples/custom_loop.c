/*
 * custom_loop.c - an echo server on a loop of its own: the whole contract of
 * rill/conn.h over poll(2).  For a program that has a loop already; others
 * take rill/epoll.h.
 *
 *   custom_loop [--listen tcp://HOST:PORT | unix:PATH]
 */
#define _GNU_SOURCE /* accept4, getrandom, ppoll */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rill/rill.h>

/* Place 0 is the listener's; a conn's arg is its place. */
enum { PLACES = 1024 };
static struct pollfd polls[PLACES];
static rill_conn *conns[PLACES];
static int fds[PLACES];
static nfds_t used = 1;
static volatile sig_atomic_t terminated;

static void on_signal(int number) {
  terminated = number;
}

static uint64_t clock_ns(clockid_t id) {
  struct timespec ts;

  clock_gettime(id, &ts);
  return (uint64_t)ts.tv_sec * RILL_SEC + (uint64_t)ts.tv_nsec;
}

static rill_time now(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t wall(void *arg) {
  (void)arg;
  return clock_ns(CLOCK_REALTIME) / RILL_MSEC;
}

static int random_bytes(void *arg, void *out, size_t len) {
  (void)arg;
  return getrandom(out, len, 0) == (ssize_t)len ? 0 : -1;
}

static int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  int rv = rill_send(peer, msg);

  (void)arg;
  return rv < 0 ? rv : 0;
}

static void accept_one(rill_hub *hub) {
  struct sockaddr_storage sa;
  struct sockaddr *from = (struct sockaddr *)&sa;
  socklen_t len = sizeof sa;
  char host[64] = "unix";
  rill_conn_info info = {.address = {host, 0}};
  int fd = accept4(fds[0], from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

  if (fd < 0)
    return;
  if (from->sa_family != AF_UNIX)
    getnameinfo(from, len, host, sizeof host, NULL, 0, NI_NUMERICHOST);
  info.address.len = strlen(host);
  if (used == PLACES || rill_conn_new(&conns[used], hub, &info, now()) != 0) {
    close(fd);
    return;
  }
  rill_conn_set_arg(conns[used], (rill_conn_arg){.num = (intptr_t)used});
  polls[used] = (struct pollfd){.fd = fd, .events = POLLIN};
  fds[used++] = fd;
}

/* The last stream takes the place of the one that goes. */
static void remove_at(nfds_t i) {
  close(fds[i]);
  rill_conn_free(conns[i]);
  if (i == --used)
    return;
  polls[i] = polls[used];
  fds[i] = fds[used];
  conns[i] = conns[used];
  rill_conn_set_arg(conns[i], (rill_conn_arg){.num = (intptr_t)i});
}

static void receive(rill_conn *conn, int fd) {
  static uint8_t buffer[65536];
  ssize_t n;

  if ((rill_wants(conn) & RILL_WANT_READ) == 0)
    return;
  n = recv(fd, buffer, sizeof buffer, 0);
  if (n > 0)
    rill_feed(conn, buffer, (size_t)n, now());
  else if (n == 0 || (errno != EAGAIN && errno != EINTR))
    rill_feed_end(conn, n == 0 ? 0 : errno, now());
}

/* Writes for as long as the stream takes all. */
static void write_pending(rill_conn *conn, int fd) {
  rill_iov piece;
  ssize_t n;

  while (rill_pending(conn, &piece, 1) > 0) {
    n = send(fd, piece.base, piece.len, MSG_NOSIGNAL);
    if (n > 0)
      rill_sent(conn, (size_t)n, now());
    else if (errno != EAGAIN && errno != EINTR)
      rill_feed_end(conn, errno, now());
    if (n < (ssize_t)piece.len)
      return;
  }
}

/* Does as |conn| wants.  poll cannot mask POLLHUP, but skips fd -1. */
static void settle(rill_conn *conn) {
  nfds_t i = (nfds_t)rill_conn_arg_of(conn).num;
  unsigned wants;

  write_pending(conn, fds[i]);
  wants = rill_wants(conn);
  polls[i].events = (short)(((wants & RILL_WANT_READ) ? POLLIN : 0) |
                            ((wants & RILL_WANT_WRITE) ? POLLOUT : 0));
  polls[i].fd = polls[i].events != 0 ? fds[i] : -1;
  if (wants & RILL_WANT_CLOSE)
    remove_at(i);
}

/* The signals are let in while this waits, and only then. */
static int wait_for_events(const rill_hub *hub, const sigset_t *let_in) {
  rill_time due = rill_deadline(hub), t = now();
  rill_time wait = due > t ? due - t : 0;
  struct timespec ts = {.tv_sec = (time_t)(wait / RILL_SEC),
                        .tv_nsec = (long)(wait % RILL_SEC)};

  return ppoll(polls, used, due == RILL_NEVER ? NULL : &ts, let_in);
}

static void turn(rill_hub *hub, const sigset_t *let_in) {
  const int broken = POLLERR | POLLHUP;
  rill_conn *conn;

  if (wait_for_events(hub, let_in) > 0) {
    for (nfds_t i = used; --i > 0;) { /* downwards: settle may remove */
      if (polls[i].revents & (POLLIN | broken))
        receive(conns[i], fds[i]);
      if (polls[i].revents & (POLLOUT | broken))
        settle(conns[i]);
    }
    if (polls[0].revents)
      accept_one(hub);
  }
  rill_tick(hub, now());
  while ((conn = rill_next_ready(hub)) != NULL)
    settle(conn);
}

static void serve(rill_hub *hub) {
  struct sigaction action = {.sa_handler = on_signal};
  bool draining = false;
  sigset_t blocked, before;

  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  sigaction(SIGTERM, &action, NULL);
  polls[0] = (struct pollfd){.fd = fds[0], .events = POLLIN};
  while (!rill_is_drained(hub)) {
    turn(hub, &before);
    if (terminated && !draining) {
      draining = true;
      close(fds[0]);
      polls[0].fd = -1;
      rill_drain(hub, RILL_SEC, now());
    }
  }
}

static int listen_at(const struct sockaddr *sa, socklen_t len) {
  int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (sa->sa_family != AF_UNIX)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return bind(fd, sa, len) == 0 && listen(fd, 128) == 0 ? fd : -1;
}

static int listen_unix(const char *path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  int fd;

  if (strlen(path) >= sizeof sun.sun_path)
    return -1;
  memcpy(sun.sun_path, path, strlen(path));
  unlink(path);
  fd = listen_at((struct sockaddr *)&sun, sizeof sun);
  if (fd >= 0)
    printf("listening on unix:%s\n", path);
  return fd;
}

static int listen_tcp(const char *text) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
  char host[64], port[8];
  int fd;

  if (sscanf(text, "[%63[^]]]:%7s", host, port) != 2 &&
      sscanf(text, "%63[^:]:%7s", host, port) != 2)
    return -1;
  if (getaddrinfo(host, port, &hints, &ai) != 0)
    return -1;
  fd = listen_at(ai->ai_addr, ai->ai_addrlen);
  if (fd >= 0 && getsockname(fd, ai->ai_addr, &ai->ai_addrlen) == 0 &&
      getnameinfo(ai->ai_addr, ai->ai_addrlen, NULL, 0, port, sizeof port,
                  NI_NUMERICSERV) == 0)
    printf("listening on tcp://%.*s:%s\n", (int)(strrchr(text, ':') - text),
           text, port);
  freeaddrinfo(ai);
  return fd;
}

int main(int argc, char **argv) {
  static const rill_handlers echo = {.on_message = on_message};
  const rill_route_opts opts = {.handlers = &echo};
  const char *at = argc == 3 && strcmp(argv[1], "--listen") == 0
                       ? argv[2]
                       : "tcp://127.0.0.1:9000";
  rill_config config;
  rill_hub *hub = NULL;
  int rv;

  rill_config_init(&config);
  config.random = random_bytes;
  config.wall = wall;
  fds[0] = strncmp(at, "unix:", 5) == 0    ? listen_unix(at + 5)
           : strncmp(at, "tcp://", 6) == 0 ? listen_tcp(at + 6)
                                           : -1;
  rv = fds[0] < 0 ? RILL_ERR_IO : rill_hub_new(&hub, &config);
  if (rv == 0)
    rv = rill_route(hub, "/", RILL_RAW, &opts);
  fflush(stdout);
  if (rv == 0)
    serve(hub);
  else
    fprintf(stderr, "custom_loop: %s: %s\n", at, rill_strerror(rv));
  rill_hub_free(hub);
  return rv != 0;
}
