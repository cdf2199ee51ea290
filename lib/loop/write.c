/*
 * write.c - what a conn has pending, in as few system calls as it takes.
 *
 * Long pieces go out as they lie.  For short ones an iovec costs the kernel
 * more than a copy costs here, so they are joined first.  Measured on TCP
 * over loopback, sendmsg to joined, in sender's CPU time: 2 or 4 pieces of
 * up to 2 KiB 1.2, 64 pieces of 128 bytes 2.1, of 1 KiB 1.4, of 2 KiB 1.0,
 * of 4 KiB 0.9, of 8 KiB 0.6.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "loop/loop.h"

#define PIECES 128
#define JOIN_BELOW 4096 /* their mean length */

_Static_assert((size_t)PIECES *JOIN_BELOW <= RILL__BUFFER,
               "joined pieces fit the buffer");
_Static_assert(sizeof(rill_iov) == sizeof(struct iovec) &&
                   offsetof(rill_iov, len) == offsetof(struct iovec, iov_len),
               "rill_iov is laid out as struct iovec");

static ssize_t send_joined(rill_epoll *loop, int fd, const rill_iov *iov,
                           size_t n) {
  size_t len = 0;

  for (size_t i = 0; i < n; i++) {
    memcpy(loop->buffer + len, iov[i].base, iov[i].len);
    len += iov[i].len;
  }
  return send(fd, loop->buffer, len, MSG_NOSIGNAL);
}

static ssize_t send_pieces(rill_epoll *loop, int fd, rill_iov *iov, size_t n,
                           size_t total) {
  struct msghdr msg = {0};

  if (n == 1)
    return send(fd, iov->base, iov->len, MSG_NOSIGNAL);
  if (total < n * JOIN_BELOW)
    return send_joined(loop, fd, iov, n);
  msg.msg_iov = (struct iovec *)(void *)iov;
  msg.msg_iovlen = n;
  return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

int rill__loop_write(rill_epoll *loop, rill_conn *conn, int fd) {
  rill_iov iov[PIECES];
  size_t n;

  while ((n = rill_pending(conn, iov, PIECES)) > 0) {
    size_t total = 0;
    ssize_t sent;

    for (size_t i = 0; i < n; i++)
      total += iov[i].len;
    sent = send_pieces(loop, fd, iov, n, total);
    if (sent < 0)
      return errno == EWOULDBLOCK || errno == EINTR ? EAGAIN : errno;
    rill_sent(conn, (size_t)sent, loop->now);
    if ((size_t)sent < total)
      return EAGAIN;
    if ((rill_wants(conn) & RILL_WANT_WRITE) == 0)
      return 0;
  }
  return 0;
}
