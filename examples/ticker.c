/*
 * ticker.c - a dashboard: prices and the counters of the hub itself, as
 * server-sent events, four times a second.
 *
 * Run it and open http://127.0.0.1:8081/, or look at the bare stream:
 *
 *   curl -N 'http://127.0.0.1:8081/events/BROOK?room=metrics'
 *
 * There is a room for each symbol and one for the counters; a stream names
 * those that it wants.  Events have ids, and each room keeps the last minute
 * of them: a browser that was cut off says which id it saw last, and gets
 * what came after.
 *
 * /metrics has the same and more of the counters for Prometheus.
 *
 * It also shows rill as a guest in a loop that is not its own.  The program
 * polls three descriptors: one of rill, one of a timer, one of signals.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <rill/epoll.h>
#include <rill/event.h>
#include <rill/metrics.h>

enum {
  SYMBOLS = 4,
  PER_SECOND = 4,
  KEPT = 60 * PER_SECOND, /* prices of each symbol, and events of each room */
  DRAIN_MS = 1000
};

/* The random walk of one price. */
struct symbol {
  const char *name;
  double price;
  double past[KEPT]; /* price |n| is at n % KEPT */
};

struct ticker {
  rill_hub *hub;
  struct symbol symbols[SYMBOLS];
  uint64_t count; /* of prices so far, the same for all symbols */
  uint64_t random;
};

static struct symbol *find_symbol(struct ticker *t, rill_str name) {
  size_t i;

  for (i = 0; i < SYMBOLS; i++)
    if (rill_str_eq(rill_s(t->symbols[i].name), name))
      return &t->symbols[i];
  return NULL;
}

/* A stream may have the rooms that there are; another one is answered 403. */
static int authorize_join(rill_peer peer, rill_str room, void *arg) {
  (void)peer;
  return rill_str_eq(room, rill_s("metrics")) || find_symbol(arg, room) != NULL
             ? 0
             : RILL_ERR_FORBIDDEN;
}

/* Evenly from -1 to 1 (xorshift64; there is nothing to win here). */
static double noise(struct ticker *t) {
  t->random ^= t->random << 13;
  t->random ^= t->random >> 7;
  t->random ^= t->random << 17;
  return (double)(int64_t)t->random / 9223372036854775808.0;
}

/* To the room of a symbol: {"symbol":NAME,"n":NUMBER,"price":PRICE}. */
static void tell_price(struct ticker *t, struct symbol *s) {
  rill_builder *b = rill_build(t->hub);

  s->price *= 1 + 0.004 * noise(t);
  s->past[t->count % KEPT] = s->price;
  rill_put_object(b);
  rill_set_text(b, "symbol", s->name);
  rill_set_int(b, "n", (int64_t)t->count);
  rill_set_double(b, "price", s->price);
  rill_put_end(b);
  (void)rill_emit_room(t->hub, rill_s(s->name), "price", b, NULL);
}

/* To "metrics": {"n":NUMBER,NAME:VALUE,...} of some of rill/metrics.h. */
static void tell_metrics(struct ticker *t) {
  rill_builder *b = rill_build(t->hub);
  rill_metrics m;

  rill_metrics_read(t->hub, &m);
  rill_put_object(b);
  rill_set_int(b, "n", (int64_t)t->count);
  rill_set_int(b, "peers", (int64_t)m.peers);
  rill_set_int(b, "messages_out_total", (int64_t)m.messages_out_total);
  rill_set_int(b, "bytes_out_total", (int64_t)m.bytes_out_total);
  rill_set_int(b, "requests_total", (int64_t)m.requests_total);
  rill_set_int(b, "queued_bytes", (int64_t)m.queued_bytes);
  rill_set_int(b, "history_bytes", (int64_t)m.history_bytes);
  rill_put_end(b);
  (void)rill_emit_room(t->hub, rill_s("metrics"), "metrics", b, NULL);
}

static void tell_all(struct ticker *t) {
  size_t i;

  for (i = 0; i < SYMBOLS; i++)
    tell_price(t, &t->symbols[i]);
  tell_metrics(t);
  t->count++;
}

/*
 * The other direction: a page that begins POSTs the event "past" with a
 * symbol, so that its chart need not begin empty.  The answer is
 * {"n":NUMBER OF THE FIRST,"prices":[...]}.
 */
static int on_past(rill_peer peer, const rill_event *ev, void *arg) {
  struct ticker *t = arg;
  const struct symbol *s =
      find_symbol(t, rill_value_str(rill_event_arg(ev, 0)));
  uint64_t n = t->count > KEPT ? t->count - KEPT : 0;
  rill_builder *b = rill_build(t->hub);

  (void)peer;
  if (s == NULL)
    return rill_event_fail(ev, "symbol", "there is none of that name");
  rill_put_object(b);
  rill_set_int(b, "n", (int64_t)n);
  rill_put_key(b, "prices");
  rill_put_array(b);
  for (; n < t->count; n++)
    rill_put_double(b, s->past[n % KEPT]);
  rill_put_end(b);
  rill_put_end(b);
  (void)rill_event_reply(ev, b); /* fails where no answer is wanted */
  return 0;
}

/* All the counters, for Prometheus. */
static int on_metrics(rill_request *req, void *arg) {
  const struct ticker *t = arg;
  rill_response response = {.type = "text/plain; version=0.0.4"};
  size_t size = rill_metrics_text(t->hub, NULL, 0) + 1;
  char *text = malloc(size);
  int rv;

  if (text == NULL)
    return rill_reject(req, 503, "out of memory");
  response.body_len = rill_metrics_text(t->hub, text, size);
  response.body = text;
  rv = rill_respond(req, &response); /* copies the body */
  free(text);
  return rv;
}

static int set_up(struct ticker *t, const char *web) {
  static const rill_room_opts opts = {.history = KEPT,
                                      .history_ms = 1000 * KEPT / PER_SECOND};
  static const rill_route_opts route = {.handlers = NULL};
  rill_config config;
  int rv;

  rill_config_init(&config);
  config.arg = t;
  config.authorize_join = authorize_join;
  rv = rill_hub_new(&t->hub, &config);
  if (rv == 0)
    rv = rill_route(t->hub, "/events/:room", RILL_SSE, &route);
  if (rv == 0)
    rv = rill_room_defaults(t->hub, "*", &opts);
  if (rv == 0)
    rv = rill_on(t->hub, NULL, "past", on_past, t);
  if (rv == 0)
    rv = rill_handle(t->hub, "GET", "/metrics", on_metrics, t);
  if (rv == 0)
    rv = rill_route_files(t->hub, "/", web);
  return rv;
}

/* The host's loop: until a signal, and then until everybody has left. */
static int run(struct ticker *t, rill_epoll *loop, int timer, int signals) {
  struct pollfd fds[] = {{.fd = rill_epoll_fd(loop), .events = POLLIN},
                         {.fd = timer, .events = POLLIN},
                         {.fd = signals, .events = POLLIN}};
  struct signalfd_siginfo info;
  uint64_t ticks;
  bool draining = false;
  int rv = 0;

  while (rv == 0 && !rill_is_drained(t->hub)) {
    if (poll(fds, 3, rill_epoll_timeout(loop)) < 0 && errno != EINTR)
      return RILL_ERR_IO;
    /* a read takes what made the descriptor readable */
    if (read(timer, &ticks, sizeof(ticks)) > 0)
      tell_all(t);
    if (read(signals, &info, sizeof(info)) > 0) {
      if (draining)
        return 0; /* the second signal: at once */
      draining = true;
      rv = rill_epoll_drain(loop, DRAIN_MS);
    }
    if (rv == 0)
      rv = rill_epoll_turn(loop, 0); /* what came, and what was told */
  }
  return rv;
}

static int serve(struct ticker *t, rill_epoll *loop, const char *address) {
  const struct itimerspec every = {{0, 1000000000L / PER_SECOND},
                                   {0, 1000000000L / PER_SECOND}};
  int rv = rill_epoll_listen(loop, address, NULL), timer, signals;
  sigset_t set;

  if (rv != 0)
    return rv;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  rv = RILL_ERR_IO;
  if (timer >= 0 && signals >= 0 && sigprocmask(SIG_BLOCK, &set, NULL) == 0 &&
      timerfd_settime(timer, 0, &every, NULL) == 0) {
    printf("listening on %s\n", address);
    fflush(stdout);
    rv = run(t, loop, timer, signals);
  }
  if (timer >= 0)
    close(timer);
  if (signals >= 0)
    close(signals);
  return rv;
}

int main(int argc, char **argv) {
  struct ticker ticker = {
      .symbols = {{.name = "BROOK", .price = 40},
                  {.name = "CREEK", .price = 125},
                  {.name = "RIVER", .price = 310},
                  {.name = "DELTA", .price = 7}},
      .random = (uint64_t)time(NULL) | 1};
  const char *address = "tcp://127.0.0.1:8081", *web = "examples/web/ticker";
  rill_epoll *loop = NULL;
  int i, rv;

  for (i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--listen") == 0)
      address = argv[i + 1];
    else if (strcmp(argv[i], "--web") == 0)
      web = argv[i + 1];
    else
      break;
  }
  if (i < argc) {
    puts("usage: ticker [--listen tcp://HOST:PORT | unix:PATH] [--web DIR]");
    return strcmp(argv[i], "--help") == 0 ? 0 : 2;
  }
  rv = set_up(&ticker, web);
  if (rv == 0)
    rv = rill_epoll_new(&loop, ticker.hub);
  if (rv == 0)
    rv = serve(&ticker, loop, address);
  if (rv != 0)
    fprintf(stderr, "ticker: %s: %s\n", address,
            rv == RILL_ERR_IO ? strerror(errno) : rill_strerror(rv));
  rill_epoll_free(loop);
  rill_hub_free(ticker.hub);
  return rv != 0;
}
