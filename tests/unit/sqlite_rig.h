/*
 * sqlite_rig.h - a store in a directory of its own, and the side of the hub:
 * it submits, sleeps until it is woken, and ticks.
 *
 * The test is linked with --wrap=rill_store_complete, so what the store
 * completes comes here and not to the hub.  Results are copied to blocks of
 * their exact size before the store's own are gone.
 */
#ifndef SQLITE_RIG_H
#define SQLITE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

#include <rill/rill.h>
#include <rill/sqlite.h>
#include <sqlite3.h>

#include "mem.h"

typedef struct rig {
  char dir[64], path[96], error[200];
  rill_hub *hub;
  rill_store *store;
  rill_time now;
  pthread_mutex_t lock;
  pthread_cond_t cond;
  int woken; /* under |lock| */
} rig;

typedef struct job {
  rill_store_op op;
  int complete;         /* how often */
  uint64_t when;        /* the how manieth completion it was */
  rill_record *records; /* copies, each with blocks of its own */
  size_t nrecords;
  char *value;
  void (*then)(struct job *j);
} job;

static uint64_t completions;

static inline char *copy_of(rill_str s) {
  char *p = malloc(s.len > 0 ? s.len : 1);

  MUST(p != NULL && (s.len == 0 || s.ptr != NULL));
  if (s.len > 0)
    memcpy(p, s.ptr, s.len);
  return p;
}

void __wrap_rill_store_complete(rill_store_op *op);
void __wrap_rill_store_complete(rill_store_op *op) {
  job *j = (job *)(void *)op;

  j->complete++;
  j->when = ++completions;
  j->nrecords = op->nrecords;
  if (op->nrecords > 0)
    j->records = calloc(op->nrecords, sizeof *j->records);
  for (size_t i = 0; i < op->nrecords; i++) {
    rill_record *r = &j->records[i];
    *r = op->records[i];
    r->id.ptr = copy_of(r->id);
    r->data.ptr = copy_of(r->data);
  }
  if (op->kind == RILL_STORE_GET)
    j->value = copy_of(op->value);
  if (j->then != NULL)
    j->then(j);
}

static inline void job_free(job *j) {
  for (size_t i = 0; i < j->nrecords; i++) {
    free((void *)(uintptr_t)j->records[i].id.ptr);
    free((void *)(uintptr_t)j->records[i].data.ptr);
  }
  free(j->records);
  free(j->value);
  *j = (job){0};
}

static inline void rig_wake(void *arg) {
  rig *r = arg;

  pthread_mutex_lock(&r->lock);
  r->woken++;
  pthread_cond_signal(&r->cond);
  pthread_mutex_unlock(&r->lock);
}

/* Sleeps until somebody has posted, and lets the hub run it. */
static inline void rig_turn(rig *r) {
  pthread_mutex_lock(&r->lock);
  while (r->woken == 0)
    pthread_cond_wait(&r->cond, &r->lock);
  r->woken = 0;
  pthread_mutex_unlock(&r->lock);
  rill_tick(r->hub, ++r->now);
}

static inline void rig_submit(rig *r, job *j) {
  r->store->submit(r->store, &j->op);
}

static inline void rig_wait(rig *r, const job *j) {
  while (j->complete == 0)
    rig_turn(r);
  MUST(j->complete == 1);
}

/* Submits, waits and returns the status; its results stay in |j|. */
static inline int rig_do(rig *r, job *j) {
  rig_submit(r, j);
  rig_wait(r, j);
  return j->op.status;
}

static inline int rig_try(rig *r, const rill_sqlite_opts *opts) {
  int rv;

  r->error[0] = '\0';
  MUST(rill_hub_new(&r->hub, NULL) == 0);
  rill_on_wake(r->hub, rig_wake, r);
  rv = rill_sqlite_open(&r->store, r->path, opts, r->error, sizeof r->error);
  if (rv == 0)
    r->store->attach(r->store, r->hub);
  else
    MUST(r->store == NULL && r->error[0] != '\0');
  return rv;
}

/* As the hub does it: the store, then what it has posted. */
static inline void rig_shut(rig *r) {
  if (r->store != NULL)
    r->store->free(r->store);
  r->store = NULL;
  rill_hub_free(r->hub);
  r->hub = NULL;
  r->woken = 0;
}

static inline void rig_open(rig *r, const rill_sqlite_opts *opts) {
  if (rig_try(r, opts) != 0) {
    fprintf(stderr, "%s\n", r->error);
    abort();
  }
}

static inline void rig_reopen(rig *r) {
  rig_shut(r);
  rig_open(r, NULL);
}

static inline void rig_init(rig *r) {
  *r = (rig){.dir = "/tmp/rill-sqlite-XXXXXX"};
  MUST(mkdtemp(r->dir) != NULL);
  snprintf(r->path, sizeof r->path, "%s/store.db", r->dir);
  pthread_mutex_init(&r->lock, NULL);
  pthread_cond_init(&r->cond, NULL);
}

static inline void rig_finish(rig *r) {
  DIR *dir;
  struct dirent *e;

  if (r->hub != NULL)
    rig_shut(r);
  dir = opendir(r->dir);
  while (dir != NULL && (e = readdir(dir)) != NULL) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", r->dir, e->d_name);
    if (e->d_name[0] != '.')
      unlink(path);
  }
  closedir(dir);
  rmdir(r->dir);
  pthread_cond_destroy(&r->cond);
  pthread_mutex_destroy(&r->lock);
}

/* A file looked at, or made, with SQLite alone; the store is not open. */
static inline int64_t rig_sql(rig *r, const char *sql) {
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  const char *tail = sql;
  int64_t n = -1;

  MUST(sqlite3_open(r->path, &db) == SQLITE_OK);
  while (*tail != '\0') {
    int rc = sqlite3_prepare_v2(db, tail, -1, &stmt, &tail);
    if (rc == SQLITE_OK && stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW)
      n = sqlite3_column_int64(stmt, 0);
    if (rc != SQLITE_OK || sqlite3_finalize(stmt) != SQLITE_OK) {
      fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
      abort();
    }
  }
  sqlite3_close(db);
  return n;
}

static inline job append_of(const char *name, const char *id, const char *data,
                            uint64_t time_ms) {
  job j = {0};

  j.op.kind = RILL_STORE_APPEND;
  j.op.name = rill_s(name);
  j.op.expect = RILL_STORE_ANY;
  j.op.record = (rill_record){.time_ms = time_ms};
  j.op.record.id = rill_s(id);
  j.op.record.data = rill_s(data);
  return j;
}

static inline job read_of(const char *name, uint64_t from, uint32_t limit) {
  job j = {0};

  j.op.kind = RILL_STORE_READ;
  j.op.name = rill_s(name);
  j.op.from = from;
  j.op.limit = limit;
  return j;
}

static inline job set_of(const char *name, uint64_t version,
                         const char *value) {
  job j = {0};

  j.op.kind = RILL_STORE_SET;
  j.op.name = rill_s(name);
  j.op.version = version;
  j.op.value = rill_s(value);
  return j;
}

static inline job get_of(const char *name) {
  job j = {0};

  j.op.kind = RILL_STORE_GET;
  j.op.name = rill_s(name);
  return j;
}

#endif
