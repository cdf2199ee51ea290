/*
 * rill/conn.h - the contract between a conn and its loop.
 *
 * A conn is one byte stream: TCP, a Unix socket, a pipe in a test.  Whoever
 * moves its bytes (an adapter such as rill/epoll.h, or a host with its own
 * loop) does nothing but this:
 *
 *   bytes came          rill_feed(conn, bytes, len, now)
 *   the stream ended    rill_feed_end(conn, error, now)
 *   after each turn     while ((conn = rill_next_ready(hub)) != NULL) {
 *                         write what rill_pending shows, tell rill_sent;
 *                         do as rill_wants says;
 *                       }
 *   time passes         arm one timer for rill_deadline(hub),
 *                       then rill_tick(hub, now)
 *
 * examples/custom_loop.c is a whole program on poll(2).
 */
#ifndef RILL_CONN_H
#define RILL_CONN_H

#include <rill/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_conn rill_conn;

/* Laid out as struct iovec of POSIX. */
typedef struct rill_iov {
  const void *base;
  size_t len;
} rill_iov;

/*
 * Where a stream comes from.  |address| is text as inet_ntop writes it, or
 * "unix"; copied.  |secure| says that the bytes arrive over TLS that ends
 * before rill (for the origin check).
 */
typedef struct rill_conn_info {
  rill_str address;
  uint16_t port;
  bool secure;
} rill_conn_info;

/*
 * rill_conn_new makes the conn of an accepted stream.  The caller frees it
 * with rill_conn_free.  Admission limits are part of it: a conn beyond them
 * is made all the same, answers 503 or 429 and closes.
 *
 * RILL_ERR_NOMEM   out of memory: close the stream
 * RILL_ERR_RANDOM  no source of randomness: see rill_hub_provide
 */
RILL_API int rill_conn_new(rill_conn **out, rill_hub *hub,
                           const rill_conn_info *info, rill_time now);

/*
 * rill_conn_free forgets |conn|.  If its peer has not heard on_close yet, the
 * next rill_tick tells it.  Not from inside a handler.  NULL is fine.
 */
RILL_API void rill_conn_free(rill_conn *conn);

/* The adapter's own pointer; a union with an integer for a descriptor. */
typedef union rill_conn_arg {
  void *ptr;
  intptr_t num;
} rill_conn_arg;
RILL_API rill_conn_arg rill_conn_arg_of(const rill_conn *conn);
RILL_API void rill_conn_set_arg(rill_conn *conn, rill_conn_arg arg);

/*
 * rill_feed processes |len| > 0 bytes received from the peer at |now|.
 * |data| is borrowed for the call and may be written to: frames are unmasked
 * in place.  May run every handler.  Always takes all bytes; what a paused
 * peer may not see yet is kept.  After an error only rill_pending, rill_sent,
 * rill_wants and rill_conn_free are useful: what is pending tells the peer
 * why.
 *
 * RILL_ERR_PROTO    the peer broke HTTP, RFC 6455 or a limit
 * RILL_ERR_LIMIT    short of memory for messages (assembly_bytes)
 * RILL_ERR_NOMEM    out of memory; the connection is closed
 * RILL_ERR_HANDLER  a handler returned a negative value
 * RILL_ERR_CLOSED   the conn was over already
 */
RILL_API int rill_feed(rill_conn *conn, uint8_t *data, size_t len,
                       rill_time now);

/*
 * rill_feed_end says that no more bytes will come: the peer ended its side
 * (|error| 0) or the stream failed (|error| non-zero, the system's number,
 * for the log).  Runs on_close where there is a peer.
 */
RILL_API void rill_feed_end(rill_conn *conn, int error, rill_time now);

/*
 * rill_pending shows the bytes to write, in up to |max| pieces, and returns
 * how many pieces; they stay valid until the next call for this conn.
 * rill_sent takes |n| written bytes off; fewer than pending are normal and
 * mean that the stream takes no more for now.  Neither runs a handler.
 */
RILL_API size_t rill_pending(rill_conn *conn, rill_iov *iov, size_t max);
RILL_API void rill_sent(rill_conn *conn, size_t n, rill_time now);

/*
 * rill_wants says what to do for |conn|:
 *
 * RILL_WANT_READ   feed it bytes when there are some; otherwise do not read
 * RILL_WANT_WRITE  it has pending bytes: write when the stream takes some
 * RILL_WANT_FLUSH  beside WRITE: what is pending answers the last feed and
 *                  nothing else will join it in this turn, so write at once
 *                  (a hint: it is still warm in the cache)
 * RILL_WANT_DIAL   connect to rill_dial_target_of(conn), then rill_dialed
 * RILL_WANT_CLOSE  close the stream and rill_conn_free(conn); nothing else.
 *                  It comes only when nothing is pending or can be sent
 */
enum {
  RILL_WANT_READ = 1,
  RILL_WANT_WRITE = 2,
  RILL_WANT_FLUSH = 4,
  RILL_WANT_DIAL = 8,
  RILL_WANT_CLOSE = 16
};
RILL_API unsigned rill_wants(const rill_conn *conn);

/*
 * rill_next_ready returns the next conn whose wants or pending bytes have
 * changed since it was last returned, or NULL: each touched conn once, so
 * that a broadcast to thousands needs no scan.
 */
RILL_API rill_conn *rill_next_ready(rill_hub *hub);

/*
 * rill_deadline is when rill_tick is next due; RILL_NEVER if nothing waits.
 * Read it after each turn: one timer serves the whole hub.  It may lie in
 * the past: tick at once then.
 */
RILL_API rill_time rill_deadline(const rill_hub *hub);
/* rill_tick does what is due at |now|.  May run every handler. */
RILL_API void rill_tick(rill_hub *hub, rill_time now);

/*
 * rill_on_wake has |wake| called, from any thread, when rill_post has given
 * the hub something to do: it makes the loop call rill_tick soon.  NULL for
 * nobody.  When it returns no thread is inside the former |wake| any more.
 */
RILL_API void rill_on_wake(rill_hub *hub, void (*wake)(void *arg), void *arg);

/*
 * A stream to be dialed.  |path| is set instead of |host| and |port| for a
 * Unix socket.  Borrowed while the conn wants DIAL.
 */
typedef struct rill_dial_target {
  rill_str host;
  uint16_t port;
  rill_str path;
} rill_dial_target;
RILL_API const rill_dial_target *rill_dial_target_of(const rill_conn *conn);

/*
 * rill_dialed says that the stream is connected (|error| 0) or could not be:
 * RILL_ERR_RESOLVE, RILL_ERR_REFUSED, RILL_ERR_TIMEOUT or RILL_ERR_IO.  Runs
 * on_close in that case.
 */
RILL_API void rill_dialed(rill_conn *conn, int error, rill_time now);

#ifdef __cplusplus
}
#endif
#endif
