/*
 * load_echo.c - messages that must come back as they are.
 *
 * All connections send the same endless tape: FRAMES different frames, over
 * and over.  What comes back is the same tape without masks, so that a
 * connection is two positions, sending is a send from the tape, and checking
 * is a memcmp against the answers' tape, at any cut of the stream.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load.h"

enum {
  TAPE_SIZE = 64 * 1024, /* what a tape has at least: it stays in cache */
  DRAIN_SECONDS = 10
};

/* The same frames as a client and as a server write them. */
struct tape {
  uint8_t *client;
  uint8_t *server;
  size_t client_frame; /* sizes of one frame */
  size_t server_frame;
  size_t client_size; /* and of all */
  size_t server_size;
};

struct stream {
  uint64_t due;      /* frames to be sent, in all */
  uint64_t answered; /* frames that came back whole */
  uint64_t sent;     /* bytes */
  uint64_t received; /* bytes */
  uint64_t *since;   /* when each of the frames under way was sent */
};

struct echo {
  struct tape tape;
  struct stream *streams;
  uint64_t *since;
  size_t under_way; /* frames, over all connections */
  bool stopping;
};

static uint32_t random_next(uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

static void tape_frame(struct tape *tape, size_t at,
                       const struct load_options *o, uint8_t *payload,
                       uint32_t *seed) {
  bool text = o->text || o->dialect->text;
  uint32_t word = random_next(seed);
  uint8_t key[4];
  size_t i;

  memcpy(key, &word, 4);
  for (i = 0; i < o->size; i++) {
    word = random_next(seed);
    payload[i] = (uint8_t)(text ? 'a' + word % 26 : word);
  }
  load_client_frame(o->dialect, text, payload, o->size, key,
                    tape->client + at * tape->client_frame);
  load_server_frame(o->dialect, text, payload, o->size,
                    tape->server + at * tape->server_frame);
}

/*
 * More frames than are ever under way, so that one that is lost, doubled or
 * exchanged with another cannot pass.
 */
static bool tape_init(struct tape *tape, const struct load_options *options) {
  uint8_t *payload = calloc(1, 2 * options->size + LOAD_MAX_FRAMING);
  size_t size, frames, i;
  uint32_t seed = 20111;

  if (!payload)
    return false;
  size = load_server_frame(options->dialect, false, payload, options->size,
                           payload + options->size);
  frames = TAPE_SIZE / size + 1;
  if (frames < options->depth + 1)
    frames = options->depth + 1;
  tape->server_frame = size;
  tape->client_frame = size + 4;
  tape->server_size = frames * tape->server_frame;
  tape->client_size = frames * tape->client_frame;
  tape->client = malloc(tape->client_size);
  tape->server = malloc(tape->server_size);
  for (i = 0; tape->client && tape->server && i < frames; i++)
    tape_frame(tape, i, options, payload, &seed);
  free(payload);
  return tape->client && tape->server;
}

/* Sends what is due, as far as the socket takes it. */
static void stream_push(struct load *load, struct load_conn *conn) {
  struct echo *echo = load->arg;
  const struct tape *tape = &echo->tape;
  struct stream *s = &echo->streams[conn->id];
  uint64_t left = s->due * tape->client_frame - s->sent;
  size_t at, part;
  ssize_t n = 0;

  while (left > 0) {
    at = (size_t)(s->sent % tape->client_size);
    part = tape->client_size - at;
    if (part > left)
      part = (size_t)left;
    n = send(conn->fd, tape->client + at, part, MSG_NOSIGNAL);
    if (n < 0)
      break;
    s->sent += (uint64_t)n;
    left -= (uint64_t)n;
    if ((size_t)n < part)
      break;
  }
  if (n < 0 && errno != EAGAIN)
    load_fail(load, "send: %s", strerror(errno));
  else
    load_watch(load, conn, left > 0);
}

static void stream_more(struct load *load, struct load_conn *conn,
                        size_t frames) {
  struct echo *echo = load->arg;
  struct stream *s = &echo->streams[conn->id];
  const size_t depth = load->options.depth;

  for (; frames > 0; frames--)
    s->since[s->due++ % depth] = load->now;
  stream_push(load, conn);
}

static bool stream_check(const struct tape *tape, uint64_t received,
                         const uint8_t *data, size_t len) {
  size_t at = (size_t)(received % tape->server_size), part;

  while (len > 0) {
    part = tape->server_size - at;
    if (part > len)
      part = len;
    if (memcmp(tape->server + at, data, part) != 0)
      return false;
    data += part;
    len -= part;
    at = 0;
  }
  return true;
}

static void echo_bytes(struct load *load, struct load_conn *conn,
                       const uint8_t *data, size_t len) {
  struct echo *echo = load->arg;
  struct stream *s = &echo->streams[conn->id];
  uint64_t whole, i;

  if (!stream_check(&echo->tape, s->received, data, len)) {
    load_fail(load, "connection %zu: wrong bytes in echo %llu", conn->id,
              (unsigned long long)s->answered);
    return;
  }
  s->received += len;
  whole = s->received / echo->tape.server_frame;
  if (whole > s->due) {
    load_fail(load, "connection %zu: an echo of nothing", conn->id);
    return;
  }
  len = (size_t)(whole - s->answered);
  for (i = s->answered; i < whole; i++)
    stats_add(&load->stats, load->now - s->since[i % load->options.depth]);
  s->answered = whole;
  if (echo->stopping)
    echo->under_way -= len;
  else if (len > 0)
    stream_more(load, conn, len);
}

static void echo_open(struct load *load, struct load_conn *conn) {
  (void)load;
  (void)conn;
}

static void echo_eof(struct load *load, struct load_conn *conn) {
  load_fail(load, "connection %zu: closed by the server", conn->id);
}

static void echo_turn(struct load *load) {
  (void)load;
}

static bool echo_drained(const struct load *load) {
  return ((const struct echo *)load->arg)->under_way == 0;
}

static bool echo_init(struct load *load, struct echo *echo) {
  static const struct load_work work = {.on_open = echo_open,
                                        .on_bytes = echo_bytes,
                                        .on_writable = stream_push,
                                        .on_eof = echo_eof,
                                        .on_turn = echo_turn};
  const struct load_options *o = &load->options;
  size_t i;

  load->work = &work;
  load->arg = echo;
  echo->streams = calloc(o->conns, sizeof *echo->streams);
  echo->since = calloc(o->conns * o->depth, sizeof *echo->since);
  if (!echo->streams || !echo->since || !tape_init(&echo->tape, o)) {
    load_fail(load, "out of memory");
    return false;
  }
  for (i = 0; i < o->conns; i++)
    echo->streams[i].since = echo->since + i * o->depth;
  return true;
}

static void echo_finish(struct echo *echo) {
  free(echo->streams);
  free(echo->since);
  free(echo->tape.client);
  free(echo->tape.server);
}

void load_echo(struct load *load) {
  struct echo echo = {0};
  size_t i;

  if (echo_init(load, &echo)) {
    load_open(load, load->options.conns);
    load->now = load_clock();
    for (i = 0; i < load->ready && !load->failure[0]; i++)
      stream_more(load, &load->conns[i], load->options.depth);
    load_measure(load);
    echo.stopping = true;
    echo.under_way = load->options.conns * load->options.depth;
    load_until(load, echo_drained, DRAIN_SECONDS);
  }
  echo_finish(&echo);
}

/* The server's own memory, once it has come to rest. */
static uint64_t resting_memory(struct load *load) {
  load_for(load, 1);
  return stats_memory(load->options.pid);
}

static void echo_once(struct load *load, size_t from, size_t to) {
  struct echo *echo = load->arg;
  size_t i;

  echo->stopping = true;
  echo->under_way = to - from;
  for (i = from; i < to && !load->failure[0]; i++) {
    load->now = load_clock();
    stream_more(load, &load->conns[i], 1);
  }
  load_until(load, echo_drained, DRAIN_SECONDS);
}

/*
 * Idle connections: what each costs in memory, as it was opened and after it
 * had one message.  One connection warms the server up before.
 */
void load_idle(struct load *load) {
  struct echo echo = {0};
  const size_t conns = load->options.conns;

  load->options.depth = 1;
  if (echo_init(load, &echo)) {
    load_open(load, 1);
    echo_once(load, 0, 1);
    load->stats.memory_before = resting_memory(load);
    load_open(load, conns);
    load->stats.memory_open = resting_memory(load);
    stats_begin(&load->stats, load->options.pid, load_clock());
    load_for(load, load->options.seconds);
    stats_end(&load->stats, load->options.pid, load_clock());
    echo_once(load, 1, conns);
    load->stats.memory_used = resting_memory(load);
  }
  echo_finish(&echo);
}
