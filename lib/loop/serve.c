/*
 * serve.c - rill_epoll_serve: a whole main loop that ends by signal.
 *
 * A handler, and not signalfd: that one needs the signals blocked in every
 * thread of the program, also in those that the host started before.  It
 * counts and wakes the loop, whose eventfd it keeps in a static variable;
 * so only one loop of a process can serve at a time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loop/loop.h"

#define DRAIN_MS 5000

static atomic_bool serving;
static atomic_int signal_count;
static atomic_int signal_wake;

static const int signals[] = {SIGTERM, SIGINT};
#define SIGNALS (sizeof signals / sizeof signals[0])

static void on_signal(int number) {
  int error = errno;
  uint64_t one = 1;
  ssize_t n;

  (void)number;
  atomic_fetch_add(&signal_count, 1);
  n = write(atomic_load(&signal_wake), &one, sizeof one);
  (void)n;
  errno = error;
}

static void catch_signals(const rill_epoll *loop,
                          struct sigaction before[SIGNALS]) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

  sigemptyset(&action.sa_mask);
  atomic_store(&signal_count, 0);
  atomic_store(&signal_wake, loop->wake);
  for (size_t i = 0; i < SIGNALS; i++)
    (void)sigaction(signals[i], &action, &before[i]);
}

static void release_signals(const struct sigaction before[SIGNALS]) {
  for (size_t i = 0; i < SIGNALS; i++)
    (void)sigaction(signals[i], &before[i], NULL);
}

/* With port 0 the one that was taken; else the address as it is. */
static void announce(const rill_epoll *loop, const char *address) {
  const char *colon = strrchr(address, ':');

  if (strncmp(address, "tcp://", 6) == 0 && colon != NULL)
    printf("listening on %.*s:%u\n", (int)(colon - address), address,
           (unsigned)rill_epoll_port(loop));
  else
    printf("listening on %s\n", address);
  fflush(stdout);
}

static int turn_until_signals(rill_epoll *loop) {
  bool draining = false;
  int rv = 0;

  while (rv == 0 && atomic_load(&signal_count) < 2 && !loop->stop &&
         (!rill_is_drained(loop->hub) || loop->nlingering > 0)) {
    rv = rill_epoll_turn(loop, -1);
    if (rv == 0 && !draining && atomic_load(&signal_count) > 0) {
      draining = true;
      rv = rill_epoll_drain(loop, DRAIN_MS);
    }
  }
  return rv;
}

static int serve(rill_epoll *loop, const char *address) {
  struct sigaction before[SIGNALS];
  int rv = rill_epoll_listen(loop, address, NULL);

  if (rv != 0)
    return rv;
  catch_signals(loop, before);
  announce(loop, address);
  rv = turn_until_signals(loop);
  release_signals(before);
  return rv;
}

int rill_epoll_serve(rill_hub *hub, const char *address) {
  rill_epoll *loop = NULL;
  int rv;

  if (atomic_exchange(&serving, true))
    return RILL_ERR_STATE;
  rv = rill_epoll_new(&loop, hub);
  if (rv == 0)
    rv = serve(loop, address);
  rill_epoll_free(loop);
  atomic_store(&serving, false);
  return rv;
}
