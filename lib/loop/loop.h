/*
 * loop.h - what the files of the epoll adapter share.
 *
 * Each descriptor of a loop has a slot of 16 bytes in a table that the
 * descriptor indexes, so a connection costs no allocation here.  epoll's
 * user data is the descriptor and the slot's serial, which changes with each
 * close: an event of a batch that was meant for an earlier owner of the
 * number is known by it.
 *
 * A conn's arg tells where it is: a descriptor, a dial, or nothing yet.
 */
#ifndef RILL__LOOP_H
#define RILL__LOOP_H

#include <sys/epoll.h>
#include <sys/socket.h>

#include <rill/epoll.h>

#include "base/list.h"
#include "loop/resolve.h"

typedef struct rill__listener rill__listener;
typedef struct rill__loop_dial rill__loop_dial;

typedef enum rill__slot_kind {
  RILL__SLOT_FREE,
  RILL__SLOT_WAKE,
  RILL__SLOT_LISTENER,
  RILL__SLOT_EARLY, /* waits for its PROXY header: early.c */
  RILL__SLOT_CONN,
  RILL__SLOT_DIAL,
  RILL__SLOT_LINGER /* closed by us, waits for the peer: linger.c */
} rill__slot_kind;

typedef struct rill__slot {
  union {
    rill_conn *conn;
    rill__listener *listener;
    rill__loop_dial *dial;
    size_t left; /* of a lingering one: bytes it may still bring */
  } u;
  uint32_t serial;
  uint16_t interest; /* EPOLLIN... as the kernel has it; 0: not added */
  uint8_t kind;      /* rill__slot_kind */
  uint8_t flags;
} rill__slot;

enum {
  RILL__SLOT_BLOCKED = 1, /* the last write was short */
  RILL__SLOT_ENDED = 2,   /* no more bytes will come */
  RILL__SLOT_SECURE = 4   /* accepted by a secure listener */
};

/*
 * Descriptors of one kind that all wait equally long, the oldest first.  An
 * entry whose slot has another serial or kind by now is stale and skipped.
 * When it is full the oldest is closed before its time: the bound on what
 * such descriptors can cost.
 */
#define RILL__RING 4096u
typedef struct rill__ring {
  rill__slot_kind kind;
  uint32_t head, len;
  struct rill__ring_entry {
    rill_time due;
    int fd;
    uint32_t serial;
  } v[RILL__RING];
} rill__ring;

/*
 * One recv takes what a socket has, up to this.  Between a feed and the next
 * recv the buffer is free and joins small pieces for one send.
 */
#define RILL__BUFFER ((size_t)512 * 1024)
#define RILL__EVENTS 1024

/* A dial looks its name up, then connects; each has a time limit. */
enum { RILL__LOOP_RESOLVE, RILL__LOOP_CONNECT, RILL__LOOP_STAGES };

struct rill_epoll {
  rill_hub *hub;
  rill_time now;
  int fd;
  int wake;  /* eventfd */
  int spare; /* given up to close one where descriptors have run out */
  bool woken, stop;
  rill__slot *slots;
  size_t nslots;
  rill__link listeners; /* the newest last */
  rill__link dials[RILL__LOOP_STAGES];
  rill__resolver *resolver; /* made with the first name */
  size_t nlingering;
  rill__ring lingering, early;
  struct epoll_event events[RILL__EVENTS];
  uint8_t buffer[RILL__BUFFER];
};

/* epoll.c */
rill_time rill__loop_clock(void);
/* Gives |fd| a slot; false: out of memory, |fd| is the caller's as before. */
bool rill__slot_open(rill_epoll *loop, int fd, rill__slot_kind kind);
/* Closes |fd| and makes its slot free. */
void rill__slot_close(rill_epoll *loop, int fd);
/* Only changes reach the kernel.  false: it refused, errno says why. */
bool rill__slot_watch(rill_epoll *loop, int fd, uint32_t interest);
/* The conn of an accepted stream, whose slot is open; closes on failure. */
void rill__loop_admit(rill_epoll *loop, int fd, const rill_conn_info *info);

/* write.c: 0 when all is written, EAGAIN, or what went wrong. */
int rill__loop_write(rill_epoll *loop, rill_conn *conn, int fd);

/* linger.c */
void rill__ring_push(rill_epoll *loop, rill__ring *ring, int fd, rill_time due);
rill_time rill__ring_due(const rill__ring *ring);
/* Closes what is due. */
void rill__ring_expire(rill_epoll *loop, rill__ring *ring);
void rill__linger(rill_epoll *loop, int fd);
void rill__linger_ready(rill_epoll *loop, int fd);

/* early.c */
void rill__early_add(rill_epoll *loop, int fd, bool secure);
void rill__early_ready(rill_epoll *loop, int fd, uint32_t events);

/* connect.c: |conn| wants to be dialed and is not; _cancel: nobody waits. */
void rill__loop_dial_start(rill_epoll *loop, rill_conn *conn);
void rill__loop_dial_cancel(rill_epoll *loop, rill__loop_dial *dial);
void rill__loop_dial_ready(rill_epoll *loop, rill__loop_dial *dial);
void rill__loop_dial_resolved(rill_epoll *loop);
rill_time rill__loop_dial_due(const rill_epoll *loop);
void rill__loop_dial_expire(rill_epoll *loop);
/* For rill_epoll_free: all dials and their conns. */
void rill__loop_dial_free_all(rill_epoll *loop);

/*
 * A conn's arg: 0 while it has no stream, an odd number for a descriptor, a
 * pointer (even) for a dial.
 */
static inline int rill__conn_fd(const rill_conn *conn) {
  intptr_t num = rill_conn_arg_of(conn).num;
  return (num & 1) != 0 ? (int)(num >> 1) : -1;
}
static inline rill__loop_dial *rill__conn_dial(const rill_conn *conn) {
  rill_conn_arg arg = rill_conn_arg_of(conn);
  return (arg.num & 1) == 0 ? arg.ptr : NULL;
}
static inline void rill__conn_set_fd(rill_conn *conn, int fd) {
  rill_conn_set_arg(conn, (rill_conn_arg){.num = (intptr_t)fd * 2 + 1});
}

#endif
