/*
 * early.c - accepted streams that must begin with a PROXY protocol header.
 *
 * The header is only looked at (MSG_PEEK) until it is complete, so nothing
 * is kept for such a stream but its slot.  Bytes that stay unread would be
 * reported by a level-triggered epoll again and again: these descriptors,
 * and no others, are edge-triggered until then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "loop/listen.h"
#include "loop/loop.h"
#include "wire/proxy.h"

#define EARLY_TIME (5 * RILL_SEC)

void rill__early_add(rill_epoll *loop, int fd, bool secure) {
  loop->slots[fd].kind = RILL__SLOT_EARLY;
  loop->slots[fd].flags = secure ? RILL__SLOT_SECURE : 0;
  if (rill__slot_watch(loop, fd, EPOLLIN | EPOLLRDHUP | EPOLLET))
    rill__ring_push(loop, &loop->early, fd, loop->now + EARLY_TIME);
  else
    rill__slot_close(loop, fd);
}

/* Takes the header of |used| bytes off and makes the conn. */
static void admit(rill_epoll *loop, int fd, size_t used,
                  const rill__proxy *proxy) {
  bool secure = (loop->slots[fd].flags & RILL__SLOT_SECURE) != 0;
  rill__origin origin;

  (void)recv(fd, loop->buffer, used, 0);
  if (proxy->local) {
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    (void)getpeername(fd, (struct sockaddr *)&sa, &len);
    rill__origin_of(&origin, &sa);
  } else {
    origin.info.address =
        (rill_str){.ptr = proxy->address, .len = strlen(proxy->address)};
    origin.info.port = proxy->port;
  }
  origin.info.secure = secure;
  rill__loop_admit(loop, fd, &origin.info);
}

void rill__early_ready(rill_epoll *loop, int fd, uint32_t events) {
  ssize_t n = recv(fd, loop->buffer, RILL__PROXY_MAX, MSG_PEEK);
  rill__proxy proxy;
  size_t used = 0;
  int more = -1;

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n > 0)
    more = rill__proxy_parse(loop->buffer, (size_t)n, &used, &proxy);
  if (more == 0)
    admit(loop, fd, used, &proxy);
  else if (more < 0 || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
    rill__slot_close(loop, fd);
}
