/*
 * store_bench.c - durable appends per second, beside a bare SQLite loop.
 *
 *   store_bench [--json] [SECONDS [ROUNDS [DIRECTORY]]]
 *
 * For 1, 16 and 128 in flight, and by turns so that both meet the same disk:
 *
 *   bare   one thread: BEGIN, as many INSERTs as are in flight, one UPDATE of
 *          the log's row, COMMIT; in the tables, with the settings and the
 *          indexes that the store has.  It knows everything beforehand: no
 *          names, no ids to look up, no queue, nobody to tell.
 *   store  a hub with as many appends in flight, each with an id; one that is
 *          completed is submitted again in the turn after.
 *
 * Prints the medians and the median of the ratios of the rounds, as a table
 * or one line of JSON.  What is not in the database afterwards has not been
 * written: then there is no figure.  Linked with
 * --wrap=rill_store_complete, as tests/unit/test_sqlite.c is.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rill/rill.h>
#include <rill/sqlite.h>
#include <sqlite3.h>

enum { MOST = 128, DATA = 120, ID = 16, ROUNDS = 64, WAIT_SECONDS = 20 };

typedef struct job {
  rill_store_op op;
  char id[ID + 1];
} job;

static struct bench {
  char path[400];
  pthread_mutex_t lock;
  pthread_cond_t cond;
  bool woken;
  rill_store *store;
  uint64_t submitted, completed;
  size_t nback;
  job *back[MOST]; /* completed in this turn */
} b = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static char data[DATA];

static void must(bool ok, const char *what) {
  if (ok)
    return;
  fprintf(stderr, "store_bench: %s\n", what);
  exit(1);
}

static double now(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
  struct timespec t;

  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void forget(void) {
  char path[420];

  unlink(b.path);
  snprintf(path, sizeof path, "%s-wal", b.path);
  unlink(path);
}

static void wake(void *arg) {
  (void)arg;
  pthread_mutex_lock(&b.lock);
  b.woken = true;
  pthread_cond_signal(&b.cond);
  pthread_mutex_unlock(&b.lock);
}

void __wrap_rill_store_complete(rill_store_op *op);
void __wrap_rill_store_complete(rill_store_op *op) {
  must(op->status == 0, rill_strerror(op->status));
  b.completed++;
  b.back[b.nback++] = (job *)(void *)op;
}

/* Ids as clients make them: not in order. */
static void make_id(char *id, uint64_t n) {
  snprintf(id, ID + 1, "%016" PRIx64, n * UINT64_C(0x9e3779b97f4a7c15));
}

static void submit(job *j) {
  uint64_t n = ++b.submitted;

  make_id(j->id, n);
  j->op = (rill_store_op){.kind = RILL_STORE_APPEND,
                          .name = RILL_STR("/ room"),
                          .expect = RILL_STORE_ANY};
  j->op.record = (rill_record){
      .time_ms = 1700000000000 + n, .id = {j->id, ID}, .data = {data, DATA}};
  b.store->submit(b.store, &j->op);
}

/* Until the store has something for the hub. */
static void sleep_until_woken(void) {
  struct timespec end;
  int rv = 0;

  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += WAIT_SECONDS;
  pthread_mutex_lock(&b.lock);
  while (!b.woken && rv == 0)
    rv = pthread_cond_timedwait(&b.cond, &b.lock, &end);
  must(b.woken, "the store does not answer");
  b.woken = false;
  pthread_mutex_unlock(&b.lock);
}

/* How many records lie in the database; no two have the same id. */
static uint64_t written(void) {
  sqlite3 *db = NULL;
  sqlite3_stmt *stmt = NULL;
  uint64_t n;

  must(sqlite3_open_v2(b.path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
           sqlite3_prepare_v2(db, "SELECT count(*) FROM records", -1, &stmt,
                              NULL) == SQLITE_OK &&
           sqlite3_step(stmt) == SQLITE_ROW,
       sqlite3_errmsg(db));
  n = (uint64_t)sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  return n;
}

/* Appends per second; *used: CPU time per append, in us. */
static double run_store(size_t flight, double seconds, double *used,
                        rill_sqlite_stats *stats) {
  static job jobs[MOST];
  char error[160];
  rill_hub *hub = NULL;
  rill_time tick = 0;
  uint64_t there;
  double from, end, took, cpu_from;

  forget();
  must(rill_hub_new(&hub, NULL) == 0, "no hub");
  rill_on_wake(hub, wake, NULL);
  must(rill_sqlite_open(&b.store, b.path, NULL, error, sizeof error) == 0,
       error);
  b.store->attach(b.store, hub);
  b.submitted = b.completed = b.nback = 0;
  for (size_t i = 0; i < flight; i++)
    submit(&jobs[i]);
  cpu_from = cpu();
  from = now();
  end = from + seconds;
  while (now() < end) {
    sleep_until_woken();
    rill_tick(hub, ++tick);
    for (size_t i = 0; i < b.nback; i++)
      submit(b.back[i]);
    b.nback = 0;
  }
  took = now() - from;
  *used = (cpu() - cpu_from) * 1e6 / (double)b.completed;
  rill_sqlite_stats_read(b.store, stats);
  b.store->free(b.store);
  rill_hub_free(hub);
  there = written();
  must(b.completed > 0 && there >= b.completed && there <= b.submitted,
       "what was said to be written is not there");
  return (double)b.completed / took;
}

static sqlite3_stmt *prepared(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = NULL;

  must(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt,
                          NULL) == SQLITE_OK,
       sqlite3_errmsg(db));
  return stmt;
}

static void step(sqlite3_stmt *stmt) {
  must(sqlite3_step(stmt) == SQLITE_DONE, "a step failed");
  sqlite3_reset(stmt);
}

static sqlite3 *bare_open(void) {
  rill_store *store = NULL;
  sqlite3 *db = NULL;

  forget();
  must(rill_sqlite_open(&store, b.path, NULL, NULL, 0) == 0, "no store");
  store->free(store); /* it has made the tables */
  must(sqlite3_open_v2(b.path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                       NULL) == SQLITE_OK &&
           sqlite3_exec(db,
                        "PRAGMA locking_mode=EXCLUSIVE;"
                        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                        "INSERT INTO logs VALUES "
                        "  (1, x'2f20726f6f6d', 1, 0, 0, 0, 0)",
                        NULL, NULL, NULL) == SQLITE_OK,
       "no database");
  return db;
}

static double run_bare(size_t flight, double seconds, double *used) {
  sqlite3 *db = bare_open();
  sqlite3_stmt *begin = prepared(db, "BEGIN IMMEDIATE");
  sqlite3_stmt *commit = prepared(db, "COMMIT");
  sqlite3_stmt *save = prepared(
      db, "UPDATE logs SET last = ?1, count = ?1, bytes = ?2 WHERE id = 1");
  sqlite3_stmt *insert =
      prepared(db, "INSERT INTO records VALUES (1, ?1, ?2, ?3, ?4)");
  double from, took, cpu_from = cpu();
  char id[ID + 1];
  int64_t n = 0;

  from = now();
  while ((took = now() - from) < seconds) {
    step(begin);
    for (size_t i = 0; i < flight; i++) {
      n++;
      make_id(id, (uint64_t)n);
      sqlite3_bind_int64(insert, 1, n);
      sqlite3_bind_int64(insert, 2, 1700000000000 + n);
      sqlite3_bind_blob(insert, 3, id, ID, SQLITE_STATIC);
      sqlite3_bind_blob(insert, 4, data, DATA, SQLITE_STATIC);
      step(insert);
    }
    sqlite3_bind_int64(save, 1, n);
    sqlite3_bind_int64(save, 2, n * DATA);
    step(save);
    step(commit);
  }
  *used = (cpu() - cpu_from) * 1e6 / (double)n;
  sqlite3_finalize(begin);
  sqlite3_finalize(commit);
  sqlite3_finalize(save);
  sqlite3_finalize(insert);
  sqlite3_close(db);
  must(n > 0 && written() == (uint64_t)n, "the loop has not written all");
  return (double)n / took;
}

static int compare(const void *x, const void *y) {
  double a = *(const double *)x, c = *(const double *)y;
  return (a > c) - (a < c);
}

static double median(double *v, size_t n) {
  qsort(v, n, sizeof *v, compare);
  return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

typedef struct result {
  size_t flight;
  double bare, store, ratio, least; /* per second */
  double cpu_bare, cpu_store;       /* us */
  double per_commit;
} result;

static void measure(result *r, size_t rounds, double seconds) {
  double bare[ROUNDS], store[ROUNDS], ratio[ROUNDS];
  double cpu_bare[ROUNDS], cpu_store[ROUNDS];
  rill_sqlite_stats stats = {0};

  for (size_t i = 0; i < rounds; i++) {
    bare[i] = run_bare(r->flight, seconds, &cpu_bare[i]);
    store[i] = run_store(r->flight, seconds, &cpu_store[i], &stats);
    ratio[i] = store[i] / bare[i];
  }
  r->bare = median(bare, rounds);
  r->store = median(store, rounds);
  r->ratio = median(ratio, rounds); /* and sorts them */
  r->least = ratio[0];
  r->cpu_bare = median(cpu_bare, rounds);
  r->cpu_store = median(cpu_store, rounds);
  r->per_commit = (double)stats.operations / (double)stats.transactions;
}

static void print(const result *r) {
  printf("%9zu %8.0f %8.0f  %5.2f  (%5.2f)  %11.1f %5.1f  %10.1f\n", r->flight,
         r->bare, r->store, r->ratio, r->least, r->cpu_bare, r->cpu_store,
         r->per_commit);
  fflush(stdout);
}

static void print_json(const result *r) {
  printf("\"bare_%zu\":%.1f,\"store_%zu\":%.1f,\"ratio_%zu\":%.4f,"
         "\"bare_us_%zu\":%.2f,\"store_us_%zu\":%.2f,"
         "\"per_commit_%zu\":%.2f",
         r->flight, r->bare, r->flight, r->store, r->flight, r->ratio,
         r->flight, r->cpu_bare, r->flight, r->cpu_store, r->flight,
         r->per_commit);
}

int main(int argc, char **argv) {
  static const size_t flights[] = {1, 16, 128};
  bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
  char **arg = argv + json;
  int args = argc - json;
  double seconds = args > 1 ? atof(arg[1]) : 1;
  size_t rounds = args > 2 ? (size_t)atoi(arg[2]) : 7;
  char dir[300];

  must(seconds > 0 && rounds > 0 && rounds <= ROUNDS, "1 to 64 rounds");
  snprintf(dir, sizeof dir, "%s/store-bench-XXXXXX",
           args > 3 ? arg[3] : "/tmp");
  must(mkdtemp(dir) != NULL, "no directory");
  snprintf(b.path, sizeof b.path, "%s/bench.db", dir);
  memset(data, 'd', sizeof data);
  fputs(json ? "{"
             : "in flight   bare/s  store/s  ratio  (least)  us CPU bare store"
               "  per commit\n",
        stdout);
  for (size_t i = 0; i < sizeof flights / sizeof flights[0]; i++) {
    result r = {.flight = flights[i]};
    measure(&r, rounds, seconds);
    if (!json) {
      print(&r);
      continue;
    }
    print_json(&r);
    fputs(i + 1 < sizeof flights / sizeof flights[0] ? "," : "}\n", stdout);
  }
  forget();
  rmdir(dir);
  return 0;
}
