/*
 * load.h - a load generator for WebSocket servers, Socket.IO servers and
 * streams of server-sent events: one thread, one epoll.
 *
 * A load is a set of connections and a work that drives them.  The works
 * (echo, fanout, idle, churn) are plain functions that call load_open,
 * load_for and load_until; in between, the hooks of their load_work are
 * called for each connection.  The first failure ends everything: a run
 * with one wrong byte has no result.
 *
 * The servers must answer a message with one unfragmented frame, and not
 * ping during a run (fanout alone takes the heartbeats of dialects): then
 * what comes back is known byte by byte, and a plain comparison checks all
 * of it.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load_stats.h"

enum {
  LOAD_MAX_HEAD = 14,
  LOAD_MAX_FRAMING = LOAD_MAX_HEAD + 64, /* all that is around a payload */
  LOAD_INPUT = 256 * 1024
};

struct load;
struct load_conn;

/* How a connection speaks; load_dialect.c has them all. */
struct load_dialect {
  const char *name;
  const char *target; /* of the GET that opens a connection */
  bool upgrades;      /* to WebSocket; else the answer is a stream */
  bool text;          /* its frames are text, whatever was asked for */
  const char *before; /* what is around a payload */
  const char *after;
  /*
   * Takes what is said before the first message, of the |len| bytes at
   * |data| one piece (a frame, an event): returns its size, 0 if it is not
   * whole yet; |*last| says that messages follow.  NULL: there is nothing.
   */
  size_t (*greet)(struct load *load, struct load_conn *conn,
                  const uint8_t *data, size_t len, bool *last);
  /*
   * The size of the heartbeat that begins with the two bytes at |data|; 0:
   * it is none.  NULL: there are none.
   */
  size_t (*beat)(const uint8_t *data);
  const char *beat_answer; /* what is sent back; NULL: nothing */
};

/* load_dialect_find knows "ws", "socketio", "sse" and "publisher". */
const struct load_dialect *load_dialect_find(const char *name);

/*
 * load_server_frame and load_client_frame write the message with |len| bytes
 * of |payload| as either side does; |out| has LOAD_MAX_FRAMING bytes more.
 * They return its size.
 */
size_t load_server_frame(const struct load_dialect *dialect, bool text,
                         const uint8_t *payload, size_t len, uint8_t *out);
size_t load_client_frame(const struct load_dialect *dialect, bool text,
                         const uint8_t *payload, size_t len,
                         const uint8_t key[4], uint8_t *out);

/* load_beat_answer answers a heartbeat that |conn| got. */
void load_beat_answer(struct load *load, struct load_conn *conn);

struct load_options {
  const char *work;
  const char *label;
  int port;
  int pid;        /* the server, 0 when its use is not asked for */
  size_t conns;   /* connections, members or slots */
  size_t depth;   /* echo: messages under way per connection */
  size_t size;    /* payload bytes */
  size_t pubs;    /* fanout: members that publish */
  size_t window;  /* fanout: messages under way per publisher */
  double seconds; /* that are measured */
  double warmup;  /* before them */
  bool text;      /* text frames instead of binary */
  const struct load_dialect *dialect;
};

enum load_state { LOAD_CLOSED, LOAD_HEAD, LOAD_GREETING, LOAD_OPEN };

struct load_conn {
  size_t id; /* its place in load.conns */
  const struct load_dialect *dialect;
  int fd;
  enum load_state state;
  bool wants_write;
  uint8_t *kept; /* written, but not taken by the socket yet */
  size_t kept_len;
  char *head; /* the server's head, or greeting, while it is not whole */
  size_t head_len;
};

/* What a work does with its connections; each hook is required. */
struct load_work {
  /* The handshake is done, messages may follow. */
  void (*on_open)(struct load *load, struct load_conn *conn);
  /* |len| bytes came behind the handshake. */
  void (*on_bytes)(struct load *load, struct load_conn *conn,
                   const uint8_t *data, size_t len);
  /* The socket takes bytes again; nothing is kept. */
  void (*on_writable)(struct load *load, struct load_conn *conn);
  /* The server closed. */
  void (*on_eof)(struct load *load, struct load_conn *conn);
  /* All events of one turn have been handled. */
  void (*on_turn)(struct load *load);
};

struct load {
  struct load_options options;
  const struct load_work *work;
  void *arg; /* the work's own */
  struct load_conn *conns;
  size_t count;  /* of them: options.conns, and who else publishes */
  size_t opened; /* dialed so far */
  size_t ready;  /* of those, past the handshake */
  int poll_fd;
  uint64_t now;   /* ns, as of the last read */
  uint8_t *input; /* LOAD_INPUT bytes */
  struct load_stats stats;
  char failure[200]; /* empty while all is well */
};

/* load_clock is the monotonic time in ns. */
uint64_t load_clock(void);

/* load_fail keeps the first failure; whatever loops, ends. */
void load_fail(struct load *load, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* load_dial connects; on_open follows from a later turn. */
void load_dial(struct load *load, struct load_conn *conn);

/*
 * load_write sends a copy of |len| bytes; what the socket does not take is
 * kept and follows by itself.
 */
void load_write(struct load *load, struct load_conn *conn, const uint8_t *data,
                size_t len);

/* load_watch asks for on_writable, or asks no more. */
void load_watch(struct load *load, struct load_conn *conn, bool writable);

void load_close(struct load *load, struct load_conn *conn);

/* load_open dials |count| connections, few at a time, and waits for them. */
void load_open(struct load *load, size_t count);

/* load_for runs turns for |seconds|. */
void load_for(struct load *load, double seconds);

/* load_until runs turns until |done| says so; fails after |seconds|. */
void load_until(struct load *load, bool (*done)(const struct load *load),
                double seconds);

/*
 * load_head writes a frame's head to |out|: masked with |key| if it is not
 * NULL, as a client must.  Returns its size.
 */
size_t load_head(uint8_t *out, uint8_t opcode, size_t len, const uint8_t *key);

/*
 * load_measure runs the warm-up and the measured time; ops, latencies and
 * the CPU time of both sides are in load.stats afterwards.
 */
void load_measure(struct load *load);

void load_echo(struct load *load);
void load_fanout(struct load *load);
void load_idle(struct load *load);
void load_churn(struct load *load);

#endif
