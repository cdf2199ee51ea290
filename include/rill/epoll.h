/*
 * rill/epoll.h - the adapter for Linux: sockets, clock and loop for a hub.
 * Link with pkg-config rill-epoll.
 *
 * It can own the loop (rill_epoll_run, rill_epoll_serve) or live in another
 * one: watch rill_epoll_fd for reading and call rill_epoll_turn when it is
 * readable or when rill_epoll_timeout has passed.
 *
 * One thread, the hub's.  rill_post (rill/hub.h) wakes it from others.  No
 * call here may be made from a handler except rill_epoll_listen,
 * rill_epoll_stop and rill_epoll_now.
 *
 * It also connects what rill_dial (rill/client.h) asks for: names are looked
 * up on threads of its own, all addresses are tried in turn, for five seconds
 * each.  A stream that the hub closes lingers for up to a second, so that the
 * last bytes arrive.  Where descriptors run out, waiting streams are closed
 * and accepting pauses, for 100 ms at first and up to a second.  No write
 * raises SIGPIPE.
 */
#ifndef RILL_EPOLL_H
#define RILL_EPOLL_H

#include <rill/conn.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_epoll rill_epoll;

/*
 * rill_epoll_new binds |hub| to a new loop and provides it with randomness
 * (getrandom) and wall-clock.  Freed with rill_epoll_free, before the hub.
 *
 * RILL_ERR_IO     the system refused a descriptor; errno says why
 * RILL_ERR_NOMEM  out of memory
 */
RILL_API int rill_epoll_new(rill_epoll **out, rill_hub *hub);

/*
 * rill_epoll_free closes all sockets and frees the loop and its conns.
 * Peers that are open hear no on_close.  No other thread may be inside
 * rill_post meanwhile.  NULL is fine.
 */
RILL_API void rill_epoll_free(rill_epoll *loop);

typedef struct rill_listen_opts {
  int backlog;         /* 0: 4096 */
  bool proxy_protocol; /* begins with a PROXY header, within 5 seconds */
  bool reuse_port;     /* SO_REUSEPORT */
  bool secure;         /* TLS ends before this listener */
  unsigned unix_mode;  /* permissions of a Unix socket; 0: 0600 */
} rill_listen_opts;

/*
 * rill_epoll_listen accepts at |address|: "tcp://HOST:PORT" (numeric, IPv6
 * in brackets; port 0 takes a free one; "[::]" takes IPv4 too) or "unix:PATH"
 * (a stale socket is replaced, and removed at the end).  |opts| may be NULL.
 *
 * RILL_ERR_ARG    the address is none, or an option is out of range
 * RILL_ERR_IO     it could not be bound; errno says why
 * RILL_ERR_NOMEM  out of memory
 */
RILL_API int rill_epoll_listen(rill_epoll *loop, const char *address,
                               const rill_listen_opts *opts);

/* rill_epoll_port is the port of the newest TCP listener, 0 if none. */
RILL_API uint16_t rill_epoll_port(const rill_epoll *loop);

/*
 * rill_epoll_run turns until rill_epoll_stop, or until the hub is drained
 * after rill_drain.  0 or RILL_ERR_IO.
 */
RILL_API int rill_epoll_run(rill_epoll *loop);
RILL_API void rill_epoll_stop(rill_epoll *loop);

/*
 * For another loop: the descriptor to watch, how long it may wait (in ms,
 * -1 for ever), and one turn that waits at most |timeout_ms| (-1: as long as
 * rill_epoll_timeout says).  After commands from outside of a handler, as
 * rill_send or rill_dial, a turn of 0 ms carries them out.
 * RILL_ERR_IO: epoll failed; errno says why.
 */
RILL_API int rill_epoll_fd(const rill_epoll *loop);
RILL_API int rill_epoll_timeout(const rill_epoll *loop);
RILL_API int rill_epoll_turn(rill_epoll *loop, int timeout_ms);

/* rill_epoll_now is the time of this turn. */
RILL_API rill_time rill_epoll_now(const rill_epoll *loop);

/*
 * rill_epoll_drain stops listening and drains the hub over |spread_ms|.
 * Errors as rill_drain.
 */
RILL_API int rill_epoll_drain(rill_epoll *loop, unsigned spread_ms);

/*
 * rill_epoll_serve is a whole main loop: listens at |address|, prints
 * "listening on ADDRESS" to stdout, runs, drains over five seconds on
 * SIGTERM or SIGINT (leaves at once on the second), and returns 0 then.  The
 * actions of the two signals are as before when it returns.  Errors as
 * rill_epoll_new and rill_epoll_listen, and
 *
 * RILL_ERR_STATE  another loop of this process serves
 */
RILL_API int rill_epoll_serve(rill_hub *hub, const char *address);

/*
 * rill_route_files answers GET and HEAD below |path| ("/" or "/static/")
 * with the files of the folder |dir|, index.html for a folder: by type, with
 * an ETag (304), never outside of it.  Symbolic links, and names that begin
 * with a dot, are not served.  A helper for pages that ship with a program:
 * each file is read when asked for, at most 16 MiB.
 *
 * RILL_ERR_ARG     |path| does not begin and end with "/"
 * RILL_ERR_IO      |dir| is no folder; errno says why
 * RILL_ERR_EXISTS  there is a handler at that path
 * RILL_ERR_NOMEM   out of memory
 */
RILL_API int rill_route_files(rill_hub *hub, const char *path, const char *dir);

#ifdef __cplusplus
}
#endif
#endif
