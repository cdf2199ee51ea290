/*
 * sqlite_thread.c - the store's thread, and how operations get there and
 * back.
 *
 * submit puts an operation on |waiting|; the thread takes up to |batch| of
 * them, does them, puts them on |done| and posts |deliver|, which completes
 * all that is done on the hub's thread.  |posted| is true while a task is on
 * its way, so there is at most one.  Where rill_post has no memory the thread
 * tries again later: nothing that is done stays untold.
 *
 * The lingering.  Who waits for an answer to go on (a client that sends the
 * next message after the ack) comes back in the moment after a batch.  Taken
 * at once, the next batch would be those few that did not fit the last one,
 * and all would go round in two halves, each with a sync of its own.  So the
 * thread waits until as many are there as it has just given back, but no
 * longer than a part of what a commit takes.  Where that was in vain the next
 * batch is small, and so is what is waited for after it.
 *
 * The end.  The hub frees its store when no task of it runs any more and
 * before it forgets those that wait (rill/store.h), so |deliver| never sees
 * a store that is gone.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "store/sqlite.h"

#define BUSY_MS 5000
#define BATCH 256
/* Of the last commit's time, and never more than LINGER_US. */
#define LINGER_PART 2
#define LINGER_US 1000
#define POST_AGAIN_US 10000

typedef struct list {
  rill_store_op *first, **end;
  size_t len;
} list;

typedef struct rill__sqlite {
  rill_store store; /* first */
  rill_hub *hub;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t more;

  /* Under |lock|. */
  list waiting, done;
  size_t wanted; /* the thread sleeps until so many wait; 0: it does not */
  bool stop, posted;
  rill_sqlite_stats stats;

  /* The thread's. */
  rill__db db;
  char path[];
} rill__sqlite;

static rill__sqlite *of(rill_store *store) {
  return (rill__sqlite *)(void *)store;
}

static void list_init(list *l) {
  l->first = NULL;
  l->end = &l->first;
  l->len = 0;
}

static void list_push(list *l, rill_store_op *op) {
  op->next = NULL;
  *l->end = op;
  l->end = &op->next;
  l->len++;
}

/* Moves at most |most| from the front of |from| to the end of |to|. */
static void list_move(list *to, list *from, size_t most) {
  while (from->first != NULL && most-- > 0) {
    rill_store_op *op = from->first;
    from->first = op->next;
    from->len--;
    list_push(to, op);
  }
  if (from->first == NULL)
    from->end = &from->first;
}

/* On the hub's thread. */
static void deliver(rill_hub *hub, void *arg) {
  rill__sqlite *s = arg;
  rill_store_op *op;
  list done;

  (void)hub;
  list_init(&done);
  pthread_mutex_lock(&s->lock);
  list_move(&done, &s->done, SIZE_MAX);
  s->posted = false;
  pthread_mutex_unlock(&s->lock);
  while ((op = done.first) != NULL) {
    rill_store_op results = *op; /* the hub may free |op| */
    done.first = op->next;
    rill_store_complete(op);
    rill__op_free_results(&results);
  }
}

/* With the lock held, which it lets go of meanwhile. */
static void post(rill__sqlite *s) {
  if (s->done.first == NULL || s->posted)
    return;
  s->posted = true;
  pthread_mutex_unlock(&s->lock);
  if (rill_post(s->hub, deliver, s) == 0) {
    pthread_mutex_lock(&s->lock);
    return;
  }
  pthread_mutex_lock(&s->lock);
  s->posted = false;
}

static struct timespec after(uint64_t us) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  us += (uint64_t)t.tv_nsec / 1000;
  t.tv_sec += (time_t)(us / 1000000);
  t.tv_nsec = (long)(us % 1000000) * 1000;
  return t;
}

/* With the lock held: sleeps until |n| wait, or |us| are over (0: never). */
static void wait_for(rill__sqlite *s, size_t n, uint64_t us) {
  struct timespec end = {0};

  if (us > 0)
    end = after(us);
  s->wanted = n;
  while (s->waiting.len < n && !s->stop) {
    if (us == 0)
      pthread_cond_wait(&s->more, &s->lock);
    else if (pthread_cond_timedwait(&s->more, &s->lock, &end) != 0)
      break;
  }
  s->wanted = 0;
}

/* The next batch; |last| is the size of the one before.  false: the end. */
static bool take(rill__sqlite *s, size_t last, list *batch) {
  uint64_t linger = s->db.commit_us / LINGER_PART;

  list_init(batch);
  pthread_mutex_lock(&s->lock);
  if (last > 1 && linger > 0)
    wait_for(s, last, linger < LINGER_US ? linger : LINGER_US);
  while (s->waiting.first == NULL && !s->stop) {
    bool untold = s->done.first != NULL && !s->posted;
    wait_for(s, 1, untold ? POST_AGAIN_US : 0);
    post(s);
  }
  if (!s->stop) {
    list_move(batch, &s->waiting, s->db.opts.batch);
    s->stats.waiting = s->waiting.len;
  }
  pthread_mutex_unlock(&s->lock);
  return batch->first != NULL;
}

static bool failed(const rill_store_op *op) {
  return op->status != 0 && op->status != RILL_ERR_EXISTS &&
         op->status != RILL_ERR_STATE;
}

static void give_back(rill__sqlite *s, list *batch) {
  uint64_t failures = 0;

  for (const rill_store_op *op = batch->first; op != NULL; op = op->next)
    failures += failed(op);
  pthread_mutex_lock(&s->lock);
  s->stats.operations += batch->len;
  s->stats.failures += failures;
  s->stats.transactions = s->db.transactions;
  s->stats.commit_us_sum = s->db.commit_us_sum;
  s->stats.commit_us_max = s->db.commit_us_max;
  if (failures > 0)
    memcpy(s->stats.error, s->db.error, sizeof s->stats.error);
  list_move(&s->done, batch, SIZE_MAX);
  if (!s->stop)
    post(s);
  pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg) {
  rill__sqlite *s = arg;
  size_t last = 0;
  list batch;

  while (take(s, last, &batch)) {
    last = batch.len;
    rill__batch_do(&s->db, batch.first);
    give_back(s, &batch);
  }
  return NULL;
}

static void submit(rill_store *store, rill_store_op *op) {
  rill__sqlite *s = of(store);

  assert(s->hub != NULL && "rill_store_use first");
  op->own = NULL;
  pthread_mutex_lock(&s->lock);
  list_push(&s->waiting, op);
  s->stats.waiting = s->waiting.len;
  if (s->wanted > 0 &&
      (s->waiting.len >= s->wanted || s->waiting.len >= s->db.opts.batch))
    pthread_cond_signal(&s->more);
  pthread_mutex_unlock(&s->lock);
}

static void attach(rill_store *store, rill_hub *hub) {
  of(store)->hub = hub;
}

static void free_all(rill__sqlite *s) {
  pthread_cond_destroy(&s->more);
  pthread_mutex_destroy(&s->lock);
  rill__db_close(&s->db);
  sqlite3_free(s);
}

static void sqlite_free(rill_store *store) {
  rill__sqlite *s = of(store);

  pthread_mutex_lock(&s->lock);
  s->stop = true;
  pthread_cond_signal(&s->more);
  pthread_mutex_unlock(&s->lock);
  pthread_join(s->thread, NULL);
  for (rill_store_op *op = s->done.first; op != NULL; op = op->next)
    rill__op_free_results(op);
  free_all(s);
}

/* Signals are for the program's own threads. */
static int start(rill__sqlite *s) {
  sigset_t all, old;
  int rv;

  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  rv = pthread_create(&s->thread, NULL, run, s);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return rv == 0 ? 0 : RILL_ERR_NOMEM;
}

static rill__sqlite *make(const char *path, const rill_sqlite_opts *opts) {
  size_t len = strlen(path) + 1;
  rill__sqlite *s = sqlite3_malloc64(sizeof *s + len);
  pthread_condattr_t monotonic;

  if (s == NULL)
    return NULL;
  memset(s, 0, sizeof *s);
  memcpy(s->path, path, len);
  s->store.submit = submit;
  s->store.attach = attach;
  s->store.free = sqlite_free;
  list_init(&s->waiting);
  list_init(&s->done);
  s->db.path = s->path;
  if (opts != NULL)
    s->db.opts = *opts;
  if (s->db.opts.busy_ms == 0)
    s->db.opts.busy_ms = BUSY_MS;
  if (s->db.opts.busy_ms > INT32_MAX)
    s->db.opts.busy_ms = INT32_MAX;
  if (s->db.opts.batch == 0)
    s->db.opts.batch = BATCH;
  /* None of these can fail on Linux; elsewhere for want of memory. */
  pthread_mutex_init(&s->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&s->more, &monotonic);
  pthread_condattr_destroy(&monotonic);
  return s;
}

static void say(char *error, size_t size, const char *what) {
  if (error != NULL && size > 0)
    sqlite3_snprintf(size < INT32_MAX ? (int)size : INT32_MAX, error, "%s",
                     what);
}

int rill_sqlite_open(rill_store **out, const char *path,
                     const rill_sqlite_opts *opts, char *error,
                     size_t error_size) {
  rill__sqlite *s = NULL;
  int rv = RILL_ERR_NOMEM;

  *out = NULL;
  if (opts != NULL && (unsigned)opts->sync > RILL_SQLITE_EXTRA) {
    say(error, error_size, "no such way to sync");
    return RILL_ERR_ARG;
  }
  s = make(path, opts);
  if (s != NULL) {
    rv = rill__db_open(&s->db);
    if (rv != 0)
      say(error, error_size, s->db.error);
  } else {
    say(error, error_size, "out of memory");
  }
  if (rv == 0) {
    if (!s->db.in_memory)
      memcpy(s->store.epoch, s->db.epoch, sizeof s->store.epoch);
    rv = start(s);
    if (rv != 0)
      say(error, error_size, "no thread to be had");
  }
  if (rv == 0)
    *out = &s->store;
  else if (s != NULL)
    free_all(s);
  return rv;
}

void rill_sqlite_stats_read(rill_store *store, rill_sqlite_stats *out) {
  rill__sqlite *s = of(store);

  pthread_mutex_lock(&s->lock);
  *out = s->stats;
  pthread_mutex_unlock(&s->lock);
}
