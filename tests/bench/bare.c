/*
 * bare.c - the least work that a WebSocket server can do: a yardstick.
 *
 *   bare PORT echo      every message goes back (also for churn and idle)
 *   bare PORT fanout    every message goes to every connection
 *   bare PORT socketio  the same behind the greetings of Socket.IO: events go
 *                       on as they came
 *   bare PORT sse       every message goes to every stream, as an event: who
 *                       asks without a key is a stream
 *
 * It is no usable server: no fragments, no limits, no UTF-8 check, no
 * timeouts.  What it does do, it does as a message library must: a message
 * is handed on when all of it is there, never cut through.
 *
 * Where the work went away:
 * - One read buffer for all; a connection owns memory only while a message
 *   is cut, or while its socket takes no more.  A row of the table below,
 *   24 bytes, is all that an idle one costs.
 * - A client's frame is four bytes longer than the server's: the answers to
 *   all frames of one read are made in the read buffer itself, one behind
 *   the other, and leave in one send.
 * - A big message is read to where its answer is sent from.
 * - In fanout and sse, the frames or events of one turn form one run of
 *   bytes, and each connection gets one send of it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accept.h"
#include "bare_frame.h"

enum {
  READ_SIZE = 512 * 1024,
  BIG = 64 * 1024, /* from here on a cut message gets its own buffer */
  EVENTS = 1024,
  TURN_OF_ACCEPT = 64,
  SPARES = 64,
  MAX_TAIL = 64 * 1024 * 1024
};

enum state { FREE, HEAD, OPEN, STREAM, CLOSING };

/*
 * A run of bytes: a cut input (|need| is 0), a big message under way (its
 * server frame; |need| bytes when whole, |key| already turned to the next
 * byte), or output that the socket did not take (from |off| on).
 */
struct run {
  size_t len, off, need, cap;
  uint32_t key;
  uint8_t data[];
};

struct conn {
  struct run *in;
  struct run *out;
  uint8_t state;
};

static struct conn *conns; /* by file descriptor */
static int top_fd, poll_fd, listen_fd;
static bool fanout;
static bool sse;
static bool socketio;
static uint8_t *input;
static struct run *batch; /* fanout: the frames of this turn */
static struct run *spares[SPARES];
static int spare_count;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static struct run *run_need(struct run *run, size_t room) {
  size_t len = run ? run->len : 0, cap = run ? run->cap : 0;

  if (cap - len >= room)
    return run;
  cap = len + room + (run ? cap : 0);
  run = realloc(run, sizeof *run + cap);
  if (!run)
    die("realloc");
  if (len == 0)
    memset(run, 0, sizeof *run);
  run->cap = cap;
  return run;
}

/* Big runs are kept: fresh pages would cost more than all the rest. */
static struct run *run_big(size_t cap) {
  struct run *run = spare_count > 0 ? spares[--spare_count] : NULL;

  if (run)
    run->len = run->off = run->need = 0;
  return run_need(run, cap);
}

static void run_free(struct run **run) {
  if (*run && (*run)->cap >= BIG && spare_count < SPARES)
    spares[spare_count++] = *run;
  else
    free(*run);
  *run = NULL;
}

static void conn_close(int fd) {
  struct conn *c = &conns[fd];

  close(fd);
  run_free(&c->in);
  run_free(&c->out);
  c->state = FREE;
}

static void conn_watch(int fd, uint32_t events) {
  struct epoll_event ev = {.events = events, .data.fd = fd};

  if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &ev) != 0)
    die("epoll_ctl");
}

/* Keeps what the socket did not take; reading rests until it has gone. */
static void conn_keep(int fd, const uint8_t *data, size_t len) {
  struct conn *c = &conns[fd];

  if (c->out && c->out->len + len > MAX_TAIL) {
    conn_close(fd);
    return;
  }
  if (!c->out)
    conn_watch(fd, EPOLLOUT);
  c->out = run_need(c->out, len);
  memcpy(c->out->data + c->out->len, data, len);
  c->out->len += len;
}

static void conn_send(int fd, const uint8_t *data, size_t len) {
  struct conn *c = &conns[fd];
  ssize_t n = 0;

  if (!c->out)
    n = send(fd, data, len, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) {
    conn_close(fd);
    return;
  }
  if (n < 0)
    n = 0;
  if ((size_t)n < len)
    conn_keep(fd, data + n, len - (size_t)n);
  else if (c->state == CLOSING)
    conn_close(fd);
}

/*
 * A run of its own needs no copy of what the socket does not take.  Nothing
 * is waiting before it: while something is, nothing is read.
 */
static void conn_send_run(int fd, struct run *run) {
  ssize_t n = send(fd, run->data, run->len, MSG_NOSIGNAL);

  run->off = n < 0 ? 0 : (size_t)n;
  if (n >= 0 && run->off == run->len) {
    run_free(&run);
    return;
  }
  conns[fd].out = run;
  if (n < 0 && errno != EAGAIN)
    conn_close(fd);
  else
    conn_watch(fd, EPOLLOUT);
}

static void conn_writable(int fd) {
  struct conn *c = &conns[fd];
  struct run *out = c->out;
  ssize_t n;

  n = send(fd, out->data + out->off, out->len - out->off, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) {
    conn_close(fd);
    return;
  }
  out->off += n < 0 ? 0 : (size_t)n;
  if (out->off < out->len)
    return;
  run_free(&c->out);
  if (c->state == CLOSING)
    conn_close(fd);
  else
    conn_watch(fd, EPOLLIN);
}

/* The event that a message becomes; the payload must not need escapes. */
static void batch_event(const struct frame *f, const uint8_t *payload) {
  static const char before[] = "event: pub\ndata: \"", after[] = "\"\n\n";
  uint8_t *at;

  batch = run_need(batch, f->len + sizeof before + sizeof after);
  at = batch->data + batch->len;
  memcpy(at, before, sizeof before - 1);
  unmask(at + sizeof before - 1, payload, f->len, f->key);
  memcpy(at + sizeof before - 1 + f->len, after, sizeof after - 1);
  batch->len += sizeof before - 1 + f->len + sizeof after - 1;
}

static void batch_add(const struct frame *f, const uint8_t *payload) {
  size_t head = head_size(f->len);

  if (sse) {
    batch_event(f, payload);
    return;
  }
  batch = run_need(batch, head + f->len);
  head_write(batch->data + batch->len, f->opcode, f->len);
  unmask(batch->data + batch->len + head, payload, f->len, f->key);
  batch->len += head + f->len;
}

/* A message is cut: what is there of it waits in memory of its own. */
static void input_keep(struct conn *c, const struct frame *f, const uint8_t *p,
                       size_t len) {
  size_t head;

  if (!f || f->len < BIG || sse) {
    c->in = run_need(NULL, len);
    memcpy(c->in->data, p, len);
    c->in->len = len;
    return;
  }
  head = head_size(f->len);
  c->in = run_big(head + f->len);
  c->in->need = head + f->len;
  head_write(c->in->data, f->opcode, f->len);
  c->in->key = unmask(c->in->data + head, p + f->head, len - f->head, f->key);
  c->in->len = head + len - f->head;
}

/*
 * CONNECT of "/", the only packet that is answered and not handed on.  True
 * where |payload| is that.
 */
static bool conn_connects(int fd, const struct frame *f,
                          const uint8_t *payload) {
  static const char answer[] = "\x81\x0d" "40{\"sid\":\"0\"}";
  uint8_t packet[2];

  if (!socketio || f->len != sizeof packet)
    return false;
  unmask(packet, payload, sizeof packet, f->key);
  if (memcmp(packet, "40", sizeof packet) != 0)
    return false;
  conn_send(fd, (const uint8_t *)answer, sizeof answer - 1);
  return true;
}

/*
 * Reads the frames in |len| bytes at |p|.  Answers grow from |from| to
 * |to|, which never overtakes the frame that is being read.
 */
static void conn_frames(int fd, uint8_t *p, size_t len) {
  struct conn *c = &conns[fd];
  uint8_t *end = p + len, *from = NULL, *to = NULL;
  struct frame f;
  int rv = 0;

  while (p < end && c->state == OPEN) {
    rv = frame_read(&f, p, (size_t)(end - p));
    if (rv <= 0 || (size_t)(end - p) < f.head + f.len)
      break;
    if (conn_connects(fd, &f, p + f.head)) {
      p += f.head + f.len;
      continue;
    }
    if (fanout && f.opcode < 8) {
      batch_add(&f, p + f.head);
    } else {
      if (!from)
        from = to = p + 4; /* so the first payload stays where it is */
      unmask(to + head_size(f.len), p + f.head, f.len, f.key);
      head_write(to, f.opcode, f.len);
      to += head_size(f.len) + f.len;
    }
    if (f.opcode == 8)
      c->state = CLOSING;
    p += f.head + f.len;
  }
  if (rv < 0) {
    conn_close(fd);
    return;
  }
  if (p < end && c->state == OPEN)
    input_keep(c, rv ? &f : NULL, p, (size_t)(end - p));
  if (to > from)
    conn_send(fd, from, (size_t)(to - from));
}

/* The begin of a stream, with an event that says so. */
static void conn_stream(int fd) {
  static const char head[] = "HTTP/1.1 200 OK\r\n"
                             "Content-Type: text/event-stream\r\n"
                             "Cache-Control: no-store\r\n"
                             "Connection: close\r\n\r\n"
                             "retry: 3000\nevent: session\ndata: {}\n\n";

  conns[fd].state = STREAM;
  conn_send(fd, (const uint8_t *)head, sizeof head - 1);
}

static void conn_head(int fd, uint8_t *p, size_t len) {
  static const char name[] = "\r\nSec-WebSocket-Key: ";
  static const char start[] = "HTTP/1.1 101 Switching Protocols\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: ";
  static const char open[] = "\x81\x0c" "0{\"sid\":\"0\"}";
  char answer[sizeof start + ACCEPT_LEN + 4 + sizeof open];
  size_t size = sizeof start - 1;
  const uint8_t *end = memmem(p, len, "\r\n\r\n", 4);
  const uint8_t *key = memmem(p, len, name, sizeof name - 1);

  if (!end) {
    input_keep(&conns[fd], NULL, p, len);
    return;
  }
  if (sse && !key) {
    conn_stream(fd);
    return;
  }
  if (!key || end - key < (ptrdiff_t)sizeof name - 1 + ACCEPT_KEY_LEN) {
    conn_close(fd);
    return;
  }
  memcpy(answer, start, sizeof start - 1);
  accept_value((const char *)key + sizeof name - 1, answer + size);
  size += ACCEPT_LEN;
  memcpy(answer + size, "\r\n\r\n", 4);
  size += 4;
  if (socketio) {
    memcpy(answer + size, open, sizeof open - 1);
    size += sizeof open - 1;
  }
  conns[fd].state = OPEN;
  conn_send(fd, (uint8_t *)answer, size);
  len -= (size_t)(end + 4 - p);
  if (len > 0 && conns[fd].state == OPEN)
    conn_frames(fd, p + (end + 4 - p), len);
}

/* The rest of a big message, straight to where its answer lies. */
static void conn_read_big(int fd) {
  struct conn *c = &conns[fd];
  struct run *in = c->in;
  uint8_t *at = in->data + in->len;
  ssize_t n = recv(fd, at, in->need - in->len, 0);

  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    conn_close(fd);
    return;
  }
  if (n < 0)
    return;
  in->key = unmask(at, at, (size_t)n, in->key);
  in->len += (size_t)n;
  if (in->len < in->need)
    return;
  c->in = NULL;
  if (fanout) {
    batch = run_need(batch, in->len);
    memcpy(batch->data + batch->len, in->data, in->len);
    batch->len += in->len;
    run_free(&in);
  } else {
    conn_send_run(fd, in);
  }
}

static void conn_readable(int fd) {
  struct conn *c = &conns[fd];
  size_t kept = 0;
  ssize_t n;

  if (c->in && c->in->need) {
    conn_read_big(fd);
    return;
  }
  if (c->in) {
    kept = c->in->len;
    memcpy(input, c->in->data, kept);
  }
  n = recv(fd, input + kept, READ_SIZE - kept, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    conn_close(fd);
    return;
  }
  if (n < 0)
    return;
  run_free(&c->in);
  if (c->state == HEAD)
    conn_head(fd, input, kept + (size_t)n);
  else if (c->state == OPEN)
    conn_frames(fd, input, kept + (size_t)n);
}

static void turn_accept(void) {
  struct epoll_event ev = {.events = EPOLLIN};
  int i, fd;

  for (i = 0; i < TURN_OF_ACCEPT; i++) {
    fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
      return;
    ev.data.fd = fd;
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
      die("epoll_ctl");
    conns[fd].state = HEAD;
    if (fd > top_fd)
      top_fd = fd;
  }
}

static void turn_fanout(void) {
  int fd;

  for (fd = 0; fd <= top_fd; fd++)
    if (conns[fd].state == (sse ? STREAM : OPEN))
      conn_send(fd, batch->data, batch->len);
  batch->len = 0;
}

static void turn(void) {
  static struct epoll_event events[EVENTS];
  int i, fd, n = epoll_wait(poll_fd, events, EVENTS, -1);

  for (i = 0; i < n; i++) {
    fd = events[i].data.fd;
    if (fd == listen_fd)
      turn_accept();
    else if (events[i].events & EPOLLOUT)
      conn_writable(fd);
    else
      conn_readable(fd);
  }
  if (batch && batch->len > 0)
    turn_fanout();
}

/* No delay is set once: on Linux, accepted sockets inherit it. */
static void open_listener(const char *port) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  struct epoll_event ev = {.events = EPOLLIN};
  const int on = 1;

  at.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  poll_fd = epoll_create1(EPOLL_CLOEXEC);
  listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (poll_fd < 0 || listen_fd < 0)
    die("socket");
  setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(listen_fd, (struct sockaddr *)&at, sizeof at) != 0 ||
      listen(listen_fd, 4096) != 0)
    die("listen");
  ev.data.fd = listen_fd;
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, listen_fd, &ev) != 0)
    die("epoll_ctl");
}

int main(int argc, char **argv) {
  struct rlimit files;

  sse = argc == 3 && strcmp(argv[2], "sse") == 0;
  socketio = argc == 3 && strcmp(argv[2], "socketio") == 0;
  fanout = sse || socketio || (argc == 3 && strcmp(argv[2], "fanout") == 0);
  if (argc != 3 || (!fanout && strcmp(argv[2], "echo") != 0)) {
    fprintf(stderr, "usage: bare PORT echo|fanout|socketio|sse\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  conns = calloc(files.rlim_cur, sizeof *conns);
  input = malloc(READ_SIZE);
  if (!conns || !input)
    die("malloc");
  open_listener(argv[1]);
  for (;;)
    turn();
}
