/*
 * epoll.c - the loop: see rill/epoll.h and loop.h.
 *
 * A turn waits, feeds what has come, lets time pass, and then does for each
 * conn that was touched what it wants.  epoll is level-triggered: a conn
 * gets one recv per turn whatever it has, so that none starves the others,
 * and epoll reports the rest again; edges would need a second recv that only
 * says EAGAIN.  A descriptor of which nothing is wanted is taken out of
 * epoll, since EPOLLHUP cannot be masked.
 *
 * Handlers run in rill_feed, rill_feed_end, rill_dialed and rill_tick and
 * may add a listener, so the slot table may move there: no pointer into it
 * is kept across them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "loop/listen.h"
#include "loop/loop.h"

#define SLOTS_MIN 64

static uint64_t clock_ns(clockid_t id) {
  struct timespec ts;

  (void)clock_gettime(id, &ts);
  return (uint64_t)ts.tv_sec * RILL_SEC + (uint64_t)ts.tv_nsec;
}

rill_time rill__loop_clock(void) {
  return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t wall(void *arg) {
  (void)arg;
  return clock_ns(CLOCK_REALTIME) / RILL_MSEC;
}

static int fill_random(void *arg, void *out, size_t len) {
  uint8_t *at = out;

  (void)arg;
  while (len > 0) {
    ssize_t n = getrandom(at, len, 0);
    if (n < 0 && errno != EINTR)
      return -1;
    if (n > 0) {
      at += n;
      len -= (size_t)n;
    }
  }
  return 0;
}

static void wake(void *arg) {
  const rill_epoll *loop = arg;
  uint64_t one = 1;
  ssize_t n = write(loop->wake, &one, sizeof one);

  (void)n; /* fails only where the counter is full: the loop wakes anyway */
}

static bool grow(rill_epoll *loop, size_t need) {
  size_t n = loop->nslots > 0 ? loop->nslots : SLOTS_MIN;
  rill__slot *slots;

  while (n < need)
    n *= 2;
  slots = realloc(loop->slots, n * sizeof *slots);
  if (slots == NULL)
    return false;
  memset(slots + loop->nslots, 0, (n - loop->nslots) * sizeof *slots);
  loop->slots = slots;
  loop->nslots = n;
  return true;
}

bool rill__slot_open(rill_epoll *loop, int fd, rill__slot_kind kind) {
  if ((size_t)fd >= loop->nslots && !grow(loop, (size_t)fd + 1))
    return false;
  loop->slots[fd] =
      (rill__slot){.serial = loop->slots[fd].serial, .kind = (uint8_t)kind};
  return true;
}

void rill__slot_close(rill_epoll *loop, int fd) {
  loop->slots[fd] = (rill__slot){.serial = loop->slots[fd].serial + 1};
  close(fd); /* leaves epoll by it */
}

bool rill__slot_watch(rill_epoll *loop, int fd, uint32_t interest) {
  rill__slot *slot = &loop->slots[fd];
  struct epoll_event event = {.events = interest};
  int op = EPOLL_CTL_MOD;

  if ((uint16_t)interest == slot->interest)
    return true;
  event.data.u64 = (uint64_t)slot->serial << 32 | (uint32_t)fd;
  if (slot->interest == 0)
    op = EPOLL_CTL_ADD;
  else if (interest == 0)
    op = EPOLL_CTL_DEL;
  if (epoll_ctl(loop->fd, op, fd, &event) != 0)
    return false;
  slot->interest = (uint16_t)interest;
  return true;
}

static bool has(const rill_epoll *loop, int fd, unsigned flag) {
  return (loop->slots[fd].flags & flag) != 0;
}

/* No more bytes come from |fd|: |error| 0 for the end. */
static void end(rill_epoll *loop, rill_conn *conn, int fd, int error) {
  loop->slots[fd].flags |= RILL__SLOT_ENDED;
  rill_feed_end(conn, error, loop->now);
}

/* What came before a write failed still counts, a close frame above all. */
static void fail(rill_epoll *loop, rill_conn *conn, int fd, int error) {
  if ((rill_wants(conn) & RILL_WANT_READ) != 0 &&
      !has(loop, fd, RILL__SLOT_ENDED)) {
    ssize_t n = recv(fd, loop->buffer, RILL__BUFFER, 0);
    if (n > 0)
      (void)rill_feed(conn, loop->buffer, (size_t)n, loop->now);
  }
  end(loop, conn, fd, error);
}

static void close_conn(rill_epoll *loop, rill_conn *conn, int fd) {
  rill_conn_free(conn);
  if (has(loop, fd, RILL__SLOT_ENDED))
    rill__slot_close(loop, fd);
  else
    rill__linger(loop, fd);
}

/* Watches for what |wants| and the last write say. */
static bool watch(rill_epoll *loop, int fd, unsigned wants) {
  uint32_t interest = 0;

  if ((wants & RILL_WANT_READ) != 0 && !has(loop, fd, RILL__SLOT_ENDED))
    interest |= EPOLLIN;
  if (has(loop, fd, RILL__SLOT_BLOCKED))
    interest |= EPOLLOUT;
  return rill__slot_watch(loop, fd, interest);
}

/* Writes, closes, watches: as |conn|, which has a stream, wants. */
static void serve(rill_epoll *loop, rill_conn *conn, int fd) {
  unsigned wants = rill_wants(conn);

  if ((wants & RILL_WANT_WRITE) != 0 && !has(loop, fd, RILL__SLOT_BLOCKED)) {
    int error = rill__loop_write(loop, conn, fd);
    if (error == EAGAIN)
      loop->slots[fd].flags |= RILL__SLOT_BLOCKED;
    else if (error != 0)
      fail(loop, conn, fd, error);
    wants = rill_wants(conn);
  }
  if ((wants & RILL_WANT_CLOSE) == 0 && !watch(loop, fd, wants)) {
    fail(loop, conn, fd, errno);
    wants = rill_wants(conn);
  }
  if ((wants & RILL_WANT_CLOSE) != 0)
    close_conn(loop, conn, fd);
}

static void settle(rill_epoll *loop, rill_conn *conn) {
  unsigned wants = rill_wants(conn);
  rill__loop_dial *dial = rill__conn_dial(conn);
  int fd = rill__conn_fd(conn);

  if (fd >= 0) {
    serve(loop, conn, fd);
  } else if ((wants & RILL_WANT_CLOSE) != 0) {
    if (dial != NULL)
      rill__loop_dial_cancel(loop, dial);
    rill_conn_free(conn);
  } else if ((wants & RILL_WANT_DIAL) != 0 && dial == NULL) {
    rill__loop_dial_start(loop, conn);
  }
}

static void settle_all(rill_epoll *loop) {
  rill_conn *conn;

  while ((conn = rill_next_ready(loop->hub)) != NULL)
    settle(loop, conn);
}

void rill__loop_admit(rill_epoll *loop, int fd, const rill_conn_info *info) {
  rill_conn *conn;

  if (rill_conn_new(&conn, loop->hub, info, loop->now) != 0) {
    rill__slot_close(loop, fd);
    return;
  }
  loop->slots[fd].kind = RILL__SLOT_CONN;
  loop->slots[fd].u.conn = conn;
  rill__conn_set_fd(conn, fd);
  serve(loop, conn, fd);
}

static void read_conn(rill_epoll *loop, int fd) {
  rill_conn *conn = loop->slots[fd].u.conn;
  ssize_t n;

  if ((rill_wants(conn) & RILL_WANT_READ) == 0)
    return;
  n = recv(fd, loop->buffer, RILL__BUFFER, 0);
  if (n > 0)
    (void)rill_feed(conn, loop->buffer, (size_t)n, loop->now);
  else if (n == 0 || (errno != EAGAIN && errno != EINTR))
    end(loop, conn, fd, n == 0 ? 0 : errno);
  if ((rill_wants(conn) & RILL_WANT_FLUSH) != 0)
    serve(loop, conn, fd);
}

static void conn_ready(rill_epoll *loop, int fd, uint32_t events) {
  const uint32_t broken = EPOLLERR | EPOLLHUP;
  uint32_t interest = loop->slots[fd].interest;
  uint32_t serial = loop->slots[fd].serial;

  if ((interest & EPOLLOUT) != 0 && (events & (EPOLLOUT | broken)) != 0) {
    loop->slots[fd].flags &= (uint8_t)~RILL__SLOT_BLOCKED;
    serve(loop, loop->slots[fd].u.conn, fd);
  }
  if ((interest & EPOLLIN) != 0 && (events & (EPOLLIN | broken)) != 0 &&
      loop->slots[fd].serial == serial &&
      loop->slots[fd].kind == RILL__SLOT_CONN)
    read_conn(loop, fd);
}

static void woken(rill_epoll *loop) {
  uint64_t count;
  ssize_t n = read(loop->wake, &count, sizeof count);

  (void)n;
  loop->woken = true;
}

static void dispatch(rill_epoll *loop, const struct epoll_event *event) {
  int fd = (int)(uint32_t)event->data.u64;
  rill__slot slot = loop->slots[fd];

  if (slot.serial != event->data.u64 >> 32)
    return;
  switch ((rill__slot_kind)slot.kind) {
  case RILL__SLOT_FREE:
    break;
  case RILL__SLOT_WAKE:
    woken(loop);
    break;
  case RILL__SLOT_LISTENER:
    rill__accept(loop, slot.u.listener);
    break;
  case RILL__SLOT_EARLY:
    rill__early_ready(loop, fd, event->events);
    break;
  case RILL__SLOT_CONN:
    conn_ready(loop, fd, event->events);
    break;
  case RILL__SLOT_DIAL:
    rill__loop_dial_ready(loop, slot.u.dial);
    break;
  case RILL__SLOT_LINGER:
    rill__linger_ready(loop, fd);
    break;
  }
}

static void pass_time(rill_epoll *loop) {
  rill__ring_expire(loop, &loop->lingering);
  rill__ring_expire(loop, &loop->early);
  rill__accept_resume(loop);
  rill__loop_dial_expire(loop);
  if (loop->woken)
    rill__loop_dial_resolved(loop);
  if (loop->woken || rill_deadline(loop->hub) <= loop->now)
    rill_tick(loop->hub, loop->now);
  loop->woken = false;
}

static rill_time earlier(rill_time a, rill_time b) {
  return a < b ? a : b;
}

/* Rounded up: a timer that is not due yet must not make the loop spin. */
int rill_epoll_timeout(const rill_epoll *loop) {
  rill_time due = rill_deadline(loop->hub), now, ms;

  due = earlier(due, rill__ring_due(&loop->lingering));
  due = earlier(due, rill__ring_due(&loop->early));
  due = earlier(due, rill__accept_due(loop));
  due = earlier(due, rill__loop_dial_due(loop));
  if (due == RILL_NEVER)
    return -1;
  now = rill__loop_clock();
  if (due <= now)
    return 0;
  ms = (due - now - 1) / RILL_MSEC + 1;
  return ms < INT_MAX ? (int)ms : INT_MAX;
}

int rill_epoll_turn(rill_epoll *loop, int timeout_ms) {
  int wait, n;

  /* What was asked for outside of a turn must not wait for the next event. */
  settle_all(loop);
  wait = rill_epoll_timeout(loop);
  if (wait < 0 || (timeout_ms >= 0 && timeout_ms < wait))
    wait = timeout_ms;
  n = epoll_wait(loop->fd, loop->events, RILL__EVENTS, wait);
  if (n < 0 && errno != EINTR)
    return RILL_ERR_IO;
  loop->now = rill__loop_clock();
  for (int i = 0; i < n; i++)
    dispatch(loop, &loop->events[i]);
  pass_time(loop);
  settle_all(loop);
  return 0;
}

int rill_epoll_run(rill_epoll *loop) {
  int rv = 0;

  while (rv == 0 && !loop->stop &&
         (!rill_is_drained(loop->hub) || loop->nlingering > 0))
    rv = rill_epoll_turn(loop, -1);
  loop->stop = false;
  return rv;
}

void rill_epoll_stop(rill_epoll *loop) {
  loop->stop = true;
}

int rill_epoll_fd(const rill_epoll *loop) {
  return loop->fd;
}

rill_time rill_epoll_now(const rill_epoll *loop) {
  return loop->now;
}

int rill_epoll_drain(rill_epoll *loop, unsigned spread_ms) {
  rill__listeners_close(loop);
  loop->now = rill__loop_clock();
  return rill_drain(loop->hub, spread_ms * RILL_MSEC, loop->now);
}

static bool open_fds(rill_epoll *loop) {
  loop->fd = epoll_create1(EPOLL_CLOEXEC);
  loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return loop->fd >= 0 && loop->wake >= 0 && loop->spare >= 0;
}

static void close_fds(const rill_epoll *loop) {
  const int all[] = {loop->fd, loop->wake, loop->spare};
  int error = errno;

  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (all[i] >= 0)
      close(all[i]);
  errno = error;
}

int rill_epoll_new(rill_epoll **out, rill_hub *hub) {
  rill_epoll *loop = calloc(1, sizeof *loop);
  int rv = RILL_ERR_IO;

  *out = NULL;
  if (loop == NULL)
    return RILL_ERR_NOMEM;
  loop->hub = hub;
  loop->now = rill__loop_clock();
  loop->lingering.kind = RILL__SLOT_LINGER;
  loop->early.kind = RILL__SLOT_EARLY;
  rill__list_init(&loop->listeners);
  for (int i = 0; i < RILL__LOOP_STAGES; i++)
    rill__list_init(&loop->dials[i]);
  if (!open_fds(loop))
    goto fail;
  if (!rill__slot_open(loop, loop->wake, RILL__SLOT_WAKE)) {
    rv = RILL_ERR_NOMEM;
    goto fail;
  }
  if (!rill__slot_watch(loop, loop->wake, EPOLLIN))
    goto fail;
  rill_hub_provide(hub, fill_random, wall, NULL);
  rill_on_wake(hub, wake, loop);
  *out = loop;
  return 0;
fail:
  close_fds(loop);
  free(loop->slots);
  free(loop);
  return rv;
}

static void free_slot(rill_epoll *loop, int fd) {
  const rill__slot *slot = &loop->slots[fd];

  if (slot->kind == RILL__SLOT_CONN)
    rill_conn_free(slot->u.conn);
  if (slot->kind != RILL__SLOT_FREE && slot->kind != RILL__SLOT_WAKE)
    rill__slot_close(loop, fd);
}

void rill_epoll_free(rill_epoll *loop) {
  rill_conn *conn;

  if (loop == NULL)
    return;
  rill_on_wake(loop->hub, NULL, NULL);
  rill__listeners_close(loop);
  rill__loop_dial_free_all(loop);
  for (size_t fd = 0; fd < loop->nslots; fd++)
    free_slot(loop, (int)fd);
  /* What remains was dialed since the last turn and has no stream. */
  while ((conn = rill_next_ready(loop->hub)) != NULL)
    rill_conn_free(conn);
  rill__resolver_free(loop->resolver);
  close_fds(loop);
  free(loop->slots);
  free(loop);
}
