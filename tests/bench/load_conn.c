/* load_conn.c - connections of a load: dialing, handshake, turns. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum {
  HEAD_SIZE = 4096,
  EVENTS = 1024,
  DIALING = 128, /* well below the backlog of any server */
  OPEN_SECONDS = 60
};

/* The key of RFC 6455 section 1.3, whose answer stands there too. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

uint64_t load_clock(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void load_fail(struct load *load, const char *format, ...) {
  va_list args;

  if (load->failure[0])
    return;
  va_start(args, format);
  vsnprintf(load->failure, sizeof load->failure, format, args);
  va_end(args);
}

size_t load_head(uint8_t *out, uint8_t opcode, size_t len, const uint8_t *key) {
  size_t size = 2, i, wide = len < 126 ? 0 : len < 65536 ? 2 : 8;

  out[0] = 0x80 | opcode;
  out[1] = (uint8_t)(wide == 0 ? len : wide == 2 ? 126 : 127);
  for (i = wide; i > 0; i--)
    out[size++] = (uint8_t)((uint64_t)len >> (8 * (i - 1)));
  if (key) {
    out[1] |= 0x80;
    memcpy(out + size, key, 4);
    size += 4;
  }
  return size;
}

void load_watch(struct load *load, struct load_conn *conn, bool writable) {
  struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = conn};

  if (conn->wants_write == writable)
    return;
  if (writable)
    ev.events |= EPOLLOUT;
  conn->wants_write = writable;
  if (epoll_ctl(load->poll_fd, EPOLL_CTL_MOD, conn->fd, &ev) != 0)
    load_fail(load, "epoll_ctl: %s", strerror(errno));
}

void load_close(struct load *load, struct load_conn *conn) {
  if (conn->state == LOAD_CLOSED)
    return;
  close(conn->fd);
  free(conn->kept);
  free(conn->head);
  conn->kept = NULL;
  conn->head = NULL;
  conn->kept_len = conn->head_len = 0;
  if (conn->state == LOAD_OPEN)
    load->ready--;
  load->opened--;
  conn->state = LOAD_CLOSED;
}

/* EAGAIN is also what a socket says that has not connected yet. */
void load_write(struct load *load, struct load_conn *conn, const uint8_t *data,
                size_t len) {
  uint8_t *kept;
  ssize_t n = 0;

  if (conn->kept_len == 0)
    n = send(conn->fd, data, len, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN && errno != ENOTCONN) {
    load_fail(load, "send: %s", strerror(errno));
    return;
  }
  if (n < 0)
    n = 0;
  if ((size_t)n == len)
    return;
  len -= (size_t)n;
  kept = realloc(conn->kept, conn->kept_len + len);
  if (!kept) {
    load_fail(load, "out of memory");
    return;
  }
  memcpy(kept + conn->kept_len, data + n, len);
  conn->kept = kept;
  conn->kept_len += len;
  load_watch(load, conn, true);
}

static void conn_writable(struct load *load, struct load_conn *conn) {
  size_t len = conn->kept_len;
  uint8_t *kept = conn->kept;

  if (len == 0) {
    load->work->on_writable(load, conn);
    return;
  }
  conn->kept = NULL;
  conn->kept_len = 0;
  load_watch(load, conn, false);
  load_write(load, conn, kept, len);
  free(kept);
}

static void conn_ask(struct load *load, struct load_conn *conn) {
  char head[400];
  int len = snprintf(head, sizeof head,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s",
                     conn->dialect->target,
                     conn->dialect->upgrades
                         ? "Upgrade: websocket\r\n"
                           "Connection: Upgrade\r\n"
                           "Sec-WebSocket-Key: " KEY "\r\n"
                           "Sec-WebSocket-Version: 13\r\n\r\n"
                         : "Accept: text/event-stream\r\n\r\n");

  load_write(load, conn, (const uint8_t *)head, (size_t)len);
}

void load_dial(struct load *load, struct load_conn *conn) {
  struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = conn};
  struct sockaddr_in to = {.sin_family = AF_INET};
  const int on = 1;

  to.sin_port = htons((uint16_t)load->options.port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (conn->fd < 0) {
    load_fail(load, "socket: %s", strerror(errno));
    return;
  }
  conn->state = LOAD_HEAD;
  conn->wants_write = false;
  load->opened++;
  setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(conn->fd, (struct sockaddr *)&to, sizeof to) != 0 &&
      errno != EINPROGRESS)
    load_fail(load, "connect: %s", strerror(errno));
  if (epoll_ctl(load->poll_fd, EPOLL_CTL_ADD, conn->fd, &ev) != 0)
    load_fail(load, "epoll_ctl: %s", strerror(errno));
  conn_ask(load, conn);
}

static void conn_open(struct load *load, struct load_conn *conn) {
  conn->state = LOAD_OPEN;
  load->ready++;
  load->work->on_open(load, conn);
}

/* The size of the server's head, 0 while it is not whole. */
static size_t conn_head(struct load *load, struct load_conn *conn) {
  bool upgrades = conn->dialect->upgrades;
  char *end = strstr(conn->head, "\r\n\r\n");

  if (!end)
    return 0;
  if (strncmp(conn->head, upgrades ? "HTTP/1.1 101 " : "HTTP/1.1 200 ", 13) ||
      (upgrades && !strstr(conn->head, ACCEPT)))
    load_fail(load, "handshake: refused, %.12s", conn->head);
  else if (conn->dialect->greet)
    conn->state = LOAD_GREETING;
  else
    conn_open(load, conn);
  return (size_t)(end + 4 - conn->head);
}

static size_t conn_greeting(struct load *load, struct load_conn *conn) {
  bool last = false;
  size_t size = conn->dialect->greet(load, conn, (uint8_t *)conn->head,
                                     conn->head_len, &last);

  if (last)
    conn_open(load, conn);
  return size;
}

/*
 * Takes bytes of the handshake; returns how many of the |len| it took.  What
 * is whole leaves conn->head, so that only new bytes can be too many.
 */
static size_t conn_handshake(struct load *load, struct load_conn *conn,
                             const uint8_t *data, size_t len) {
  size_t before = conn->head_len, take = HEAD_SIZE - 1 - before, size;

  if (!conn->head)
    conn->head = malloc(HEAD_SIZE);
  if (!conn->head || take == 0) {
    load_fail(load, "handshake: it has no end");
    return len;
  }
  if (take > len)
    take = len;
  memcpy(conn->head + before, data, take);
  conn->head_len += take;
  conn->head[conn->head_len] = '\0';
  size = conn->state == LOAD_HEAD ? conn_head(load, conn)
                                  : conn_greeting(load, conn);
  if (size == 0)
    return take;
  free(conn->head);
  conn->head = NULL;
  conn->head_len = 0;
  return size - before;
}

static void conn_readable(struct load *load, struct load_conn *conn) {
  const uint8_t *data = load->input;
  ssize_t n = recv(conn->fd, load->input, LOAD_INPUT, 0);
  size_t len, head = 0;

  if (n < 0 && errno == EAGAIN)
    return;
  if (n < 0) {
    load_fail(load, "recv: %s", strerror(errno));
    return;
  }
  if (n == 0) {
    load->work->on_eof(load, conn);
    return;
  }
  load->now = load_clock();
  len = (size_t)n;
  while (conn->state != LOAD_OPEN && head < len && !load->failure[0])
    head += conn_handshake(load, conn, data + head, len - head);
  if (head < len && !load->failure[0])
    load->work->on_bytes(load, conn, data + head, len - head);
}

static void load_turn(struct load *load, int timeout_ms) {
  struct epoll_event events[EVENTS];
  struct load_conn *conn;
  int i, n = epoll_wait(load->poll_fd, events, EVENTS, timeout_ms);

  load->now = load_clock();
  for (i = 0; i < n && !load->failure[0]; i++) {
    conn = events[i].data.ptr;
    if (events[i].events & EPOLLOUT)
      conn_writable(load, conn);
    if (events[i].events & ~(uint32_t)EPOLLOUT && !load->failure[0])
      conn_readable(load, conn);
  }
  if (!load->failure[0])
    load->work->on_turn(load);
}

void load_for(struct load *load, double seconds) {
  uint64_t end = load_clock() + (uint64_t)(seconds * 1e9);
  uint64_t now;

  while (!load->failure[0] && (now = load_clock()) < end)
    load_turn(load, (int)((end - now) / 1000000) + 1);
}

void load_until(struct load *load, bool (*done)(const struct load *load),
                double seconds) {
  uint64_t end = load_clock() + (uint64_t)(seconds * 1e9);

  while (!load->failure[0] && !done(load)) {
    if (load_clock() >= end)
      load_fail(load, "stalled: %zu of %zu connections open, %llu operations",
                load->ready, load->count,
                (unsigned long long)load->stats.ops);
    load_turn(load, 100);
  }
}

void load_open(struct load *load, size_t count) {
  uint64_t end = load_clock() + OPEN_SECONDS * (uint64_t)1000000000;
  size_t next = load->opened;

  while (!load->failure[0] && load->ready < count) {
    while (next < count && load->opened - load->ready < DIALING)
      load_dial(load, &load->conns[next++]);
    load_turn(load, 100);
    if (load_clock() >= end)
      load_fail(load, "only %zu of %zu connected", load->ready, count);
  }
}

void load_measure(struct load *load) {
  load_for(load, load->options.warmup);
  stats_begin(&load->stats, load->options.pid, load_clock());
  load_for(load, load->options.seconds);
  stats_end(&load->stats, load->options.pid, load_clock());
}
