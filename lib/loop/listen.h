/*
 * listen.h - addresses, listening sockets, and accepting.
 */
#ifndef RILL__LISTEN_H
#define RILL__LISTEN_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/list.h"
#include "loop/loop.h"

struct rill__listener {
  rill__link link; /* of loop->listeners */
  int fd;
  uint16_t port; /* 0: a Unix socket */
  bool proxy_protocol, secure;
  rill_time paused; /* accepts again at this time; RILL_NEVER: it does now */
  rill_time pause;  /* how long the last pause was */
  dev_t dev;        /* which file |path| was when it was bound */
  ino_t ino;
  char path[sizeof((struct sockaddr_un *)0)->sun_path];
};

/* An address that rill_epoll_listen takes. */
typedef struct rill__endpoint {
  union {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
  } u;
  socklen_t len;
} rill__endpoint;

bool rill__endpoint_parse(rill__endpoint *out, const char *text);

/* Where a stream comes from, as text; |info| borrows |address|. */
typedef struct rill__origin {
  rill_conn_info info;
  char address[46]; /* INET6_ADDRSTRLEN */
} rill__origin;

void rill__origin_of(rill__origin *out, const struct sockaddr_storage *sa);

void rill__accept(rill_epoll *loop, rill__listener *listener);
/* When the next pause ends, and ending those that are over. */
rill_time rill__accept_due(const rill_epoll *loop);
void rill__accept_resume(rill_epoll *loop);
void rill__listeners_close(rill_epoll *loop);

#endif
