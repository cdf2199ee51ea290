/*
 * resolve.c - see resolve.h.
 *
 * A lookup is on the queue, then with a worker, then on the done list.  The
 * lock guards the lists and each |owner|.  One that is cancelled while a
 * worker has it loses its owner and is dropped when it is done.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "loop/resolve.h"

#define WORKERS 4
#define HOST_MAX 253 /* RFC 1035 section 2.3.4, without the last dot */

struct rill__lookup {
  rill__link link;
  void *owner;
  struct addrinfo *found;
  enum { QUEUED, RUNNING, DONE } state;
  char port[6];
  char host[HOST_MAX + 1];
};

struct rill__resolver {
  pthread_mutex_t lock;
  pthread_cond_t more;
  rill__link queue, done;
  unsigned refs; /* the loop's and each worker's */
  unsigned queued, idle;
  int wake; /* -1: the loop has gone */
};

static void lookup_free(rill__lookup *lookup) {
  if (lookup->found != NULL)
    freeaddrinfo(lookup->found);
  free(lookup);
}

static rill__lookup *lookup_shift(rill__link *list) {
  rill__link *link = rill__list_shift(list);
  return link == NULL ? NULL : RILL__CONTAINER(link, rill__lookup, link);
}

rill__resolver *rill__resolver_new(int wake) {
  rill__resolver *r = calloc(1, sizeof *r);

  if (r == NULL)
    return NULL;
  if (pthread_mutex_init(&r->lock, NULL) != 0) {
    free(r);
    return NULL;
  }
  if (pthread_cond_init(&r->more, NULL) != 0) {
    pthread_mutex_destroy(&r->lock);
    free(r);
    return NULL;
  }
  rill__list_init(&r->queue);
  rill__list_init(&r->done);
  r->refs = 1;
  r->wake = wake;
  return r;
}

/* Called with the lock, which it gives up. */
static void unref(rill__resolver *r) {
  bool last = --r->refs == 0;
  rill__lookup *lookup;

  pthread_mutex_unlock(&r->lock);
  if (!last)
    return;
  while ((lookup = lookup_shift(&r->queue)) != NULL ||
         (lookup = lookup_shift(&r->done)) != NULL)
    lookup_free(lookup);
  pthread_cond_destroy(&r->more);
  pthread_mutex_destroy(&r->lock);
  free(r);
}

void rill__resolver_free(rill__resolver *r) {
  if (r == NULL)
    return;
  pthread_mutex_lock(&r->lock);
  r->wake = -1;
  pthread_cond_broadcast(&r->more);
  unref(r);
}

static struct addrinfo *resolve(const char *host, const char *port, int flags) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC,
                           .ai_socktype = SOCK_STREAM,
                           .ai_flags = flags | AI_NUMERICSERV};
  struct addrinfo *found = NULL;

  return getaddrinfo(host, port, &hints, &found) == 0 ? found : NULL;
}

/* Called with the lock, returns with it. */
static void work(rill__resolver *r, rill__lookup *lookup) {
  lookup->state = RUNNING;
  pthread_mutex_unlock(&r->lock);
  lookup->found = resolve(lookup->host, lookup->port, 0);
  pthread_mutex_lock(&r->lock);
  lookup->state = DONE;
  rill__list_push(&r->done, &lookup->link);
  if (r->wake >= 0) {
    uint64_t one = 1;
    /* It fails only where the counter is full: the loop wakes anyway. */
    ssize_t n = write(r->wake, &one, sizeof one);
    (void)n;
  }
}

static void *worker(void *arg) {
  rill__resolver *r = arg;
  rill__lookup *lookup;

  pthread_mutex_lock(&r->lock);
  while (r->wake >= 0) {
    lookup = lookup_shift(&r->queue);
    if (lookup != NULL) {
      r->queued--;
      work(r, lookup);
    } else {
      r->idle++;
      pthread_cond_wait(&r->more, &r->lock);
      r->idle--;
    }
  }
  unref(r);
  return NULL;
}

/* The host's signals are not for a worker. */
static bool start_worker(rill__resolver *r) {
  sigset_t all, before;
  pthread_attr_t attr;
  pthread_t thread;
  bool ok;

  if (pthread_attr_init(&attr) != 0)
    return false;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  ok = pthread_create(&thread, &attr, worker, r) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  return ok;
}

/* Called with the lock: a worker for what is queued.  false: there is none. */
static bool staff(rill__resolver *r) {
  if (r->queued > r->idle && r->refs - 1 < WORKERS && start_worker(r))
    r->refs++;
  pthread_cond_signal(&r->more);
  return r->refs > 1;
}

static bool copy_host(char *out, rill_str host) {
  if (host.len == 0 || host.len > HOST_MAX ||
      memchr(host.ptr, '\0', host.len) != NULL)
    return false;
  memcpy(out, host.ptr, host.len);
  out[host.len] = '\0';
  return true;
}

rill__lookup *rill__lookup_start(rill__resolver *r, rill_str host,
                                 uint16_t port, void *owner) {
  rill__lookup *lookup = calloc(1, sizeof *lookup);
  bool ok;

  if (lookup == NULL)
    return NULL;
  if (!copy_host(lookup->host, host)) {
    free(lookup);
    return NULL;
  }
  snprintf(lookup->port, sizeof lookup->port, "%u", (unsigned)port);
  lookup->owner = owner;
  pthread_mutex_lock(&r->lock);
  rill__list_push(&r->queue, &lookup->link);
  r->queued++;
  ok = staff(r);
  if (!ok) {
    rill__list_remove(&lookup->link);
    r->queued--;
  }
  pthread_mutex_unlock(&r->lock);
  if (!ok) {
    free(lookup);
    return NULL;
  }
  return lookup;
}

void rill__lookup_cancel(rill__resolver *r, rill__lookup *lookup) {
  bool running;

  pthread_mutex_lock(&r->lock);
  running = lookup->state == RUNNING;
  lookup->owner = NULL;
  if (!running)
    rill__list_remove(&lookup->link);
  if (lookup->state == QUEUED)
    r->queued--;
  pthread_mutex_unlock(&r->lock);
  if (!running)
    lookup_free(lookup);
}

void *rill__lookup_next(rill__resolver *r, struct addrinfo **found) {
  rill__lookup *lookup;
  void *owner = NULL;

  *found = NULL;
  while (owner == NULL) {
    pthread_mutex_lock(&r->lock);
    lookup = lookup_shift(&r->done);
    pthread_mutex_unlock(&r->lock);
    if (lookup == NULL)
      return NULL;
    owner = lookup->owner;
    if (owner != NULL) {
      *found = lookup->found;
      lookup->found = NULL;
    }
    lookup_free(lookup);
  }
  return owner;
}

struct addrinfo *rill__lookup_numeric(rill_str host, uint16_t port) {
  char name[HOST_MAX + 1], service[6];

  if (!copy_host(name, host))
    return NULL;
  snprintf(service, sizeof service, "%u", (unsigned)port);
  return resolve(name, service, AI_NUMERICHOST);
}
