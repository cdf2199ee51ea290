/*
 * connect.c - connecting the conns that want it.
 *
 * A dial looks its name up (unless the host is an address), then connects to
 * one address after the other until one answers.  Each step has its time;
 * dials of a step wait equally long, so a list of them is in order of time.
 * Nothing here calls a handler but through rill_dialed, and each path to it
 * frees the dial first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/loop.h"

static const rill_time step_time[RILL__LOOP_STAGES] = {
    [RILL__LOOP_RESOLVE] = 10 * RILL_SEC,
    [RILL__LOOP_CONNECT] = 5 * RILL_SEC,
};

struct rill__loop_dial {
  rill__link link; /* of loop->dials */
  rill_time due;
  rill_conn *conn;
  rill__lookup *lookup;          /* while it runs */
  struct addrinfo *found, *next; /* all addresses; what is untried */
  int fd;                        /* -1: none */
  int error;                     /* of the last address */
};

static void arm(rill_epoll *loop, rill__loop_dial *dial, int stage) {
  rill__list_remove(&dial->link);
  dial->due = loop->now + step_time[stage];
  rill__list_push(&loop->dials[stage], &dial->link);
}

static void dial_free(rill_epoll *loop, rill__loop_dial *dial) {
  rill__list_remove(&dial->link);
  if (dial->lookup != NULL)
    rill__lookup_cancel(loop->resolver, dial->lookup);
  if (dial->fd >= 0)
    rill__slot_close(loop, dial->fd);
  if (dial->found != NULL)
    freeaddrinfo(dial->found);
  free(dial);
}

void rill__loop_dial_cancel(rill_epoll *loop, rill__loop_dial *dial) {
  rill_conn_set_arg(dial->conn, (rill_conn_arg){.num = 0});
  dial_free(loop, dial);
}

static void failed(rill_epoll *loop, rill__loop_dial *dial, int error) {
  rill_conn *conn = dial->conn;

  rill__loop_dial_cancel(loop, dial);
  rill_dialed(conn, error, loop->now);
}

static void connected(rill_epoll *loop, rill__loop_dial *dial) {
  rill_conn *conn = dial->conn;
  rill__slot *slot = &loop->slots[dial->fd];

  slot->kind = RILL__SLOT_CONN;
  slot->u.conn = conn;
  rill__conn_set_fd(conn, dial->fd);
  dial->fd = -1;
  dial_free(loop, dial);
  rill_dialed(conn, 0, loop->now);
}

static int error_of(int error) {
  switch (error) {
  case ECONNREFUSED:
  case ENOENT: /* of a Unix socket, as the next: its backlog is full */
  case EAGAIN:
    return RILL_ERR_REFUSED;
  case ETIMEDOUT:
    return RILL_ERR_TIMEOUT;
  default:
    return RILL_ERR_IO;
  }
}

/* 0: connected; EINPROGRESS; or what is wrong, and there is no socket. */
static int try_address(rill_epoll *loop, rill__loop_dial *dial,
                       const struct sockaddr *sa, socklen_t len) {
  int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, on = 1, error = 0;
  int fd = socket(sa->sa_family, type, 0);

  if (fd < 0)
    return errno;
  if (!rill__slot_open(loop, fd, RILL__SLOT_DIAL)) {
    close(fd);
    return ENOMEM;
  }
  if (sa->sa_family != AF_UNIX)
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, sa, len) != 0)
    error = errno;
  if (error == EINPROGRESS && !rill__slot_watch(loop, fd, EPOLLOUT))
    error = errno;
  if (error != 0 && error != EINPROGRESS) {
    rill__slot_close(loop, fd);
    return error;
  }
  loop->slots[fd].u.dial = dial;
  dial->fd = fd;
  return error;
}

static void try_next(rill_epoll *loop, rill__loop_dial *dial) {
  while (dial->next != NULL) {
    struct addrinfo *ai = dial->next;
    int error = try_address(loop, dial, ai->ai_addr, ai->ai_addrlen);

    dial->next = ai->ai_next;
    if (error == 0) {
      connected(loop, dial);
      return;
    }
    if (error == EINPROGRESS) {
      arm(loop, dial, RILL__LOOP_CONNECT);
      return;
    }
    dial->error = error_of(error);
  }
  failed(loop, dial, dial->error);
}

/* The address being tried did not answer, for |error|. */
static void give_up(rill_epoll *loop, rill__loop_dial *dial, int error) {
  rill__slot_close(loop, dial->fd);
  dial->fd = -1;
  dial->error = error;
  try_next(loop, dial);
}

static void start_unix(rill_epoll *loop, rill__loop_dial *dial, rill_str path) {
  struct sockaddr_un sun = {.sun_family = AF_UNIX};
  int error;

  if (path.len >= sizeof sun.sun_path) {
    failed(loop, dial, RILL_ERR_IO);
    return;
  }
  memcpy(sun.sun_path, path.ptr, path.len);
  error = try_address(loop, dial, (struct sockaddr *)&sun, sizeof sun);
  if (error == 0)
    connected(loop, dial);
  else if (error == EINPROGRESS)
    arm(loop, dial, RILL__LOOP_CONNECT);
  else
    failed(loop, dial, error_of(error));
}

static void start_name(rill_epoll *loop, rill__loop_dial *dial, rill_str host,
                       uint16_t port) {
  if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
    host = (rill_str){.ptr = host.ptr + 1, .len = host.len - 2};
  dial->found = dial->next = rill__lookup_numeric(host, port);
  if (dial->found != NULL) {
    try_next(loop, dial);
    return;
  }
  if (loop->resolver == NULL)
    loop->resolver = rill__resolver_new(loop->wake);
  if (loop->resolver != NULL)
    dial->lookup = rill__lookup_start(loop->resolver, host, port, dial);
  if (dial->lookup != NULL)
    arm(loop, dial, RILL__LOOP_RESOLVE);
  else
    failed(loop, dial, RILL_ERR_RESOLVE);
}

void rill__loop_dial_start(rill_epoll *loop, rill_conn *conn) {
  const rill_dial_target *target = rill_dial_target_of(conn);
  rill__loop_dial *dial = calloc(1, sizeof *dial);

  if (dial == NULL) {
    rill_dialed(conn, RILL_ERR_IO, loop->now);
    return;
  }
  rill__list_init(&dial->link);
  dial->conn = conn;
  dial->fd = -1;
  dial->error = RILL_ERR_RESOLVE;
  rill_conn_set_arg(conn, (rill_conn_arg){.ptr = dial});
  if (target->path.len > 0)
    start_unix(loop, dial, target->path);
  else
    start_name(loop, dial, target->host, target->port);
}

void rill__loop_dial_ready(rill_epoll *loop, rill__loop_dial *dial) {
  int error = 0;
  socklen_t len = sizeof error;

  if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
    error = errno;
  if (error == 0)
    connected(loop, dial);
  else
    give_up(loop, dial, error_of(error));
}

void rill__loop_dial_resolved(rill_epoll *loop) {
  struct addrinfo *found;
  rill__loop_dial *dial;

  while (loop->resolver != NULL &&
         (dial = rill__lookup_next(loop->resolver, &found)) != NULL) {
    dial->lookup = NULL;
    dial->found = dial->next = found;
    try_next(loop, dial);
  }
}

static rill__loop_dial *first(const rill_epoll *loop, int stage) {
  const rill__link *list = &loop->dials[stage];

  return rill__list_empty(list)
             ? NULL
             : RILL__CONTAINER(list->next, rill__loop_dial, link);
}

rill_time rill__loop_dial_due(const rill_epoll *loop) {
  rill_time due = RILL_NEVER;

  for (int stage = 0; stage < RILL__LOOP_STAGES; stage++) {
    const rill__loop_dial *dial = first(loop, stage);
    if (dial != NULL && dial->due < due)
      due = dial->due;
  }
  return due;
}

void rill__loop_dial_expire(rill_epoll *loop) {
  rill__loop_dial *dial;

  while ((dial = first(loop, RILL__LOOP_RESOLVE)) != NULL &&
         dial->due <= loop->now)
    failed(loop, dial, RILL_ERR_TIMEOUT);
  while ((dial = first(loop, RILL__LOOP_CONNECT)) != NULL &&
         dial->due <= loop->now)
    give_up(loop, dial, RILL_ERR_TIMEOUT);
}

void rill__loop_dial_free_all(rill_epoll *loop) {
  for (int stage = 0; stage < RILL__LOOP_STAGES; stage++) {
    rill__loop_dial *dial;
    while ((dial = first(loop, stage)) != NULL) {
      rill_conn *conn = dial->conn;
      rill__loop_dial_cancel(loop, dial);
      rill_conn_free(conn);
    }
  }
}
