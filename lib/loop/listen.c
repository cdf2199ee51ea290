/*
 * listen.c - see listen.h.
 *
 * A turn accepts at most ACCEPTS streams per listener, so that a storm of
 * connections does not starve those that are open.  Where descriptors have
 * run out accept(2) leaves the stream in the backlog and would report it
 * again at once: the loop then answers what waits by closing it, one by one
 * through a spare descriptor, and pauses the listener.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/listen.h"

#define ACCEPTS 64
#define PAUSE_MIN (100 * RILL_MSEC)
#define PAUSE_MAX RILL_SEC

static bool parse_port(const char *text, uint16_t *out) {
  unsigned port = 0;

  if (*text == '\0')
    return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9')
      return false;
    port = port * 10 + (unsigned)(*text - '0');
    if (port > UINT16_MAX)
      return false;
  }
  *out = (uint16_t)port;
  return true;
}

static bool parse_tcp(rill__endpoint *out, const char *text) {
  const char *colon = strrchr(text, ':');
  char host[INET6_ADDRSTRLEN + 2];
  uint16_t port;
  size_t len;

  if (colon == NULL || !parse_port(colon + 1, &port))
    return false;
  len = (size_t)(colon - text);
  if (len >= sizeof host)
    return false;
  memcpy(host, text, len);
  host[len] = '\0';
  if (inet_pton(AF_INET, host, &out->u.in.sin_addr) == 1) {
    out->u.in.sin_family = AF_INET;
    out->u.in.sin_port = htons(port);
    out->len = sizeof out->u.in;
    return true;
  }
  if (len < 2 || host[0] != '[' || host[len - 1] != ']')
    return false;
  host[len - 1] = '\0';
  if (inet_pton(AF_INET6, host + 1, &out->u.in6.sin6_addr) != 1)
    return false;
  out->u.in6.sin6_family = AF_INET6;
  out->u.in6.sin6_port = htons(port);
  out->len = sizeof out->u.in6;
  return true;
}

static bool parse_unix(rill__endpoint *out, const char *path) {
  size_t len = strlen(path);

  if (len == 0 || len >= sizeof out->u.un.sun_path)
    return false;
  out->u.un.sun_family = AF_UNIX;
  memcpy(out->u.un.sun_path, path, len + 1);
  out->len = sizeof out->u.un;
  return true;
}

bool rill__endpoint_parse(rill__endpoint *out, const char *text) {
  memset(out, 0, sizeof *out);
  if (strncmp(text, "tcp://", 6) == 0)
    return parse_tcp(out, text + 6);
  if (strncmp(text, "unix:", 5) == 0)
    return parse_unix(out, text + 5);
  return false;
}

void rill__origin_of(rill__origin *out, const struct sockaddr_storage *sa) {
  const struct sockaddr_in *in = (const void *)sa;
  const struct sockaddr_in6 *in6 = (const void *)sa;
  const char *text = NULL;

  memset(&out->info, 0, sizeof out->info);
  if (sa->ss_family == AF_INET) {
    text = inet_ntop(AF_INET, &in->sin_addr, out->address, sizeof out->address);
    out->info.port = ntohs(in->sin_port);
  } else if (sa->ss_family == AF_INET6) {
    /* A v4 client of a v6 socket is still that client to the limits. */
    const uint8_t *bytes = in6->sin6_addr.s6_addr;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    text = inet_ntop(mapped ? AF_INET : AF_INET6, bytes + (mapped ? 12 : 0),
                     out->address, sizeof out->address);
    out->info.port = ntohs(in6->sin6_port);
  }
  if (text == NULL)
    text = "unix";
  out->info.address = (rill_str){.ptr = text, .len = strlen(text)};
}

static bool is_socket(const char *path) {
  struct stat st;

  return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Nobody listens at a socket that refuses: its server is gone. */
static void remove_stale(const rill__endpoint *address) {
  int fd;

  if (!is_socket(address->u.un.sun_path))
    return;
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return;
  if (connect(fd, &address->u.sa, address->len) != 0 && errno == ECONNREFUSED)
    (void)unlink(address->u.un.sun_path);
  close(fd);
}

/*
 * fchmod before bind gives the file its mode from the start, less the
 * umask, so that it is never open wider than asked; chmod adds the rest.
 */
static bool bind_unix(rill__listener *listener, const rill__endpoint *address,
                      unsigned mode) {
  const char *path = address->u.un.sun_path;
  struct stat st;

  remove_stale(address);
  if (fchmod(listener->fd, mode) != 0 ||
      bind(listener->fd, &address->u.sa, address->len) != 0)
    return false;
  memcpy(listener->path, path, strlen(path) + 1);
  if (lstat(path, &st) != 0)
    return false;
  listener->dev = st.st_dev;
  listener->ino = st.st_ino;
  return chmod(path, mode) == 0;
}

static bool set(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

/* On Linux accepted sockets inherit TCP_NODELAY: one call for all. */
static bool bind_tcp(rill__listener *listener, const rill__endpoint *address,
                     bool reuse_port) {
  rill__endpoint bound = {.len = sizeof bound.u};
  int fd = listener->fd;

  if (!set(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
      !set(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
      (reuse_port && !set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) ||
      (address->u.sa.sa_family == AF_INET6 &&
       !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) ||
      bind(fd, &address->u.sa, address->len) != 0 ||
      getsockname(fd, &bound.u.sa, &bound.len) != 0)
    return false;
  listener->port =
      ntohs(address->u.sa.sa_family == AF_INET6 ? bound.u.in6.sin6_port
                                                : bound.u.in.sin_port);
  return true;
}

/* Removes the file, unless another server has put its own there since. */
static void unlink_own(const rill__listener *listener) {
  struct stat st;

  if (listener->path[0] != '\0' && lstat(listener->path, &st) == 0 &&
      st.st_dev == listener->dev && st.st_ino == listener->ino)
    (void)unlink(listener->path);
}

static void listener_close(rill_epoll *loop, rill__listener *listener) {
  int error = errno;

  rill__list_remove(&listener->link);
  unlink_own(listener);
  rill__slot_close(loop, listener->fd);
  free(listener);
  errno = error;
}

static rill__listener *listener_new(rill_epoll *loop, int family) {
  rill__listener *listener = calloc(1, sizeof *listener);

  if (listener == NULL)
    return NULL;
  listener->paused = RILL_NEVER;
  listener->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener->fd < 0) {
    free(listener);
    return NULL;
  }
  if (!rill__slot_open(loop, listener->fd, RILL__SLOT_LISTENER)) {
    close(listener->fd);
    free(listener);
    errno = ENOMEM;
    return NULL;
  }
  loop->slots[listener->fd].u.listener = listener;
  rill__list_push(&loop->listeners, &listener->link);
  return listener;
}

int rill_epoll_listen(rill_epoll *loop, const char *address,
                      const rill_listen_opts *opts) {
  static const rill_listen_opts defaults;
  rill__listener *listener;
  rill__endpoint at;
  bool is_unix, ok;

  if (opts == NULL)
    opts = &defaults;
  if (address == NULL || opts->backlog < 0 || opts->unix_mode > 0777 ||
      !rill__endpoint_parse(&at, address))
    return RILL_ERR_ARG;
  listener = listener_new(loop, at.u.sa.sa_family);
  if (listener == NULL)
    return errno == ENOMEM ? RILL_ERR_NOMEM : RILL_ERR_IO;
  listener->proxy_protocol = opts->proxy_protocol;
  listener->secure = opts->secure;
  is_unix = at.u.sa.sa_family == AF_UNIX;
  ok = is_unix ? bind_unix(listener, &at,
                           opts->unix_mode > 0 ? opts->unix_mode : 0600)
               : bind_tcp(listener, &at, opts->reuse_port);
  if (!ok ||
      listen(listener->fd, opts->backlog > 0 ? opts->backlog : 4096) != 0 ||
      !rill__slot_watch(loop, listener->fd, EPOLLIN)) {
    listener_close(loop, listener);
    return RILL_ERR_IO;
  }
  return 0;
}

static rill__listener *listener_of(rill__link *link) {
  return RILL__CONTAINER(link, rill__listener, link);
}

uint16_t rill_epoll_port(const rill_epoll *loop) {
  const rill__link *all = &loop->listeners;

  for (rill__link *l = all->prev; l != all; l = l->prev)
    if (listener_of(l)->port > 0)
      return listener_of(l)->port;
  return 0;
}

void rill__listeners_close(rill_epoll *loop) {
  while (!rill__list_empty(&loop->listeners))
    listener_close(loop, listener_of(loop->listeners.next));
}

static void take(rill_epoll *loop, const rill__listener *listener, int fd,
                 const struct sockaddr_storage *sa) {
  rill__origin origin;

  if (!rill__slot_open(loop, fd, RILL__SLOT_CONN)) {
    close(fd);
  } else if (listener->proxy_protocol) {
    rill__early_add(loop, fd, listener->secure);
  } else {
    rill__origin_of(&origin, sa);
    origin.info.secure = listener->secure;
    rill__loop_admit(loop, fd, &origin.info);
  }
}

/* Closes up to |n| that wait, so that their clients know. */
static void shed(rill_epoll *loop, const rill__listener *listener, int n) {
  int fd = 0;

  while (n-- > 0 && fd >= 0 && loop->spare >= 0) {
    close(loop->spare);
    fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
      close(fd);
    loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
}

static void pause_accepting(rill_epoll *loop, rill__listener *listener) {
  listener->pause = listener->pause == 0 ? PAUSE_MIN : listener->pause * 2;
  if (listener->pause > PAUSE_MAX)
    listener->pause = PAUSE_MAX;
  listener->paused = loop->now + listener->pause;
  (void)rill__slot_watch(loop, listener->fd, 0);
}

static bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

/* Other errors than a shortage are those of one stream: see accept(2). */
void rill__accept(rill_epoll *loop, rill__listener *listener) {
  int accepted = 0;

  for (int i = 0; i < ACCEPTS; i++) {
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    int fd = accept4(listener->fd, (struct sockaddr *)&sa, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
      accepted++;
      listener->pause = 0;
      take(loop, listener, fd, &sa);
    } else if (errno == EAGAIN) {
      return;
    } else if (is_shortage(errno)) {
      shed(loop, listener, ACCEPTS - i);
      pause_accepting(loop, listener);
      return;
    }
  }
  if (accepted == 0)
    pause_accepting(loop, listener);
}

rill_time rill__accept_due(const rill_epoll *loop) {
  const rill__link *all = &loop->listeners;
  rill_time due = RILL_NEVER;

  for (rill__link *l = all->next; l != all; l = l->next)
    if (listener_of(l)->paused < due)
      due = listener_of(l)->paused;
  return due;
}

void rill__accept_resume(rill_epoll *loop) {
  const rill__link *all = &loop->listeners;

  for (rill__link *l = all->next; l != all; l = l->next) {
    rill__listener *listener = listener_of(l);
    if (listener->paused > loop->now)
      continue;
    listener->paused = RILL_NEVER;
    if (!rill__slot_watch(loop, listener->fd, EPOLLIN))
      pause_accepting(loop, listener);
  }
}
