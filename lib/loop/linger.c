/*
 * linger.c - closing a stream so that its last bytes arrive.
 *
 * close(2) of a TCP socket that holds unread bytes, or gets some later,
 * sends a reset, and a reset may destroy what the peer has not read yet: the
 * close frame or the error answer.  So this side is ended first, and what
 * still comes is read away until the peer ends its own, for at most
 * LINGER_TIME and LINGER_BYTES, and RILL__RING streams at once.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "loop/loop.h"

#define LINGER_TIME RILL_SEC
/* What may be on its way behind a message that was too large. */
#define LINGER_BYTES ((size_t)1024 * 1024)

static struct rill__ring_entry *ring_at(rill__ring *ring, uint32_t i) {
  return &ring->v[(ring->head + i) % RILL__RING];
}

static bool is_stale(const rill_epoll *loop, rill__ring *ring) {
  const struct rill__ring_entry *entry = ring_at(ring, 0);
  const rill__slot *slot = &loop->slots[entry->fd];

  return slot->serial != entry->serial || slot->kind != ring->kind;
}

static void ring_shift(rill__ring *ring) {
  ring->head = (ring->head + 1) % RILL__RING;
  ring->len--;
}

static void skip_stale(rill_epoll *loop, rill__ring *ring) {
  while (ring->len > 0 && is_stale(loop, ring))
    ring_shift(ring);
}

static void close_entry(rill_epoll *loop, int fd) {
  if (loop->slots[fd].kind == RILL__SLOT_LINGER)
    loop->nlingering--;
  rill__slot_close(loop, fd);
}

void rill__ring_push(rill_epoll *loop, rill__ring *ring, int fd,
                     rill_time due) {
  skip_stale(loop, ring);
  if (ring->len == RILL__RING) {
    close_entry(loop, ring_at(ring, 0)->fd);
    ring_shift(ring);
  }
  *ring_at(ring, ring->len++) = (struct rill__ring_entry){
      .due = due, .fd = fd, .serial = loop->slots[fd].serial};
}

rill_time rill__ring_due(const rill__ring *ring) {
  return ring->len > 0 ? ring->v[ring->head].due : RILL_NEVER;
}

void rill__ring_expire(rill_epoll *loop, rill__ring *ring) {
  for (;;) {
    skip_stale(loop, ring);
    if (rill__ring_due(ring) > loop->now || ring->len == 0)
      return;
    close_entry(loop, ring_at(ring, 0)->fd);
    ring_shift(ring);
  }
}

void rill__linger(rill_epoll *loop, int fd) {
  rill__slot *slot = &loop->slots[fd];

  if (shutdown(fd, SHUT_WR) != 0 || !rill__slot_watch(loop, fd, EPOLLIN)) {
    rill__slot_close(loop, fd);
    return;
  }
  slot->kind = RILL__SLOT_LINGER;
  slot->u.left = LINGER_BYTES;
  loop->nlingering++;
  rill__ring_push(loop, &loop->lingering, fd, loop->now + LINGER_TIME);
}

void rill__linger_ready(rill_epoll *loop, int fd) {
  rill__slot *slot = &loop->slots[fd];
  ssize_t n = recv(fd, loop->buffer, slot->u.left, 0);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n > 0 && (size_t)n < slot->u.left)
    slot->u.left -= (size_t)n;
  else
    close_entry(loop, fd);
}
