/*
 * The SQLite store when the disk, the memory or the program fails.  What
 * must hold each time: an operation that was completed with 0 is there
 * whatever comes, one that "has not taken effect" is not, numbers have no
 * gap, and a log that cannot be read is an error and not an empty log.
 */
#define _GNU_SOURCE
#include "sqlite_rig.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "sqlite_faults.h"

static int setup(void **state) {
  static rig r;

  rig_init(&r);
  faults_none();
  *state = &r;
  return 0;
}

static int teardown(void **state) {
  faults_none();
  rig_finish(*state);
  return 0;
}

static int put(rig *r, const char *id) {
  job j = append_of("room", id, id, 1);
  int status = rig_do(r, &j);

  job_free(&j);
  return status;
}

/* The data of all records of the room, or the error's name. */
static const char *room(rig *r) {
  static char out[4096];
  job j = read_of("room", 0, 1000);
  size_t n = 0;

  out[0] = '\0';
  if (rig_do(r, &j) != 0)
    return rill_errname(j.op.status);
  for (size_t i = 0; i < j.nrecords; i++) {
    MUST(j.records[i].offset == i + 1);
    n += (size_t)snprintf(out + n, sizeof out - n, "%.*s ",
                          (int)j.records[i].data.len, j.records[i].data.ptr);
  }
  MUST(j.op.last == j.nrecords);
  job_free(&j);
  return out;
}

static void test_sqlite_faults_a_sync_that_fails(void **state) {
  rig *r = *state;
  rill_sqlite_stats stats;
  struct stat wal;
  char path[128];
  int status;

  rig_open(r, NULL);
  assert_int_equal(put(r, "a"), 0);
  snprintf(path, sizeof path, "%s-wal", r->path);
  MUST(stat(path, &wal) == 0 && wal.st_size > 0);
  faults_set(FAULT_SYNC, 1, 0, 0);
  assert_int_equal(put(r, "b"), RILL_ERR_IO);
  assert_int_equal(faults.hits, 1);
  /* what the system took for written has been written again, elsewhere */
  MUST(stat(path, &wal) == 0 && wal.st_size == 0);
  rill_sqlite_stats_read(r->store, &stats);
  assert_string_not_equal(stats.error, "");
  /* it may be there: the same id says so */
  status = put(r, "b");
  assert_true(status == 0 || status == RILL_ERR_EXISTS);
  assert_int_equal(put(r, "c"), 0);
  assert_string_equal(room(r), "a b c ");
  rig_reopen(r);
  assert_string_equal(room(r), "a b c ");
}

/* As long as it cannot be opened again all fails; then it is as it was. */
static void test_sqlite_faults_a_disk_that_is_gone(void **state) {
  rig *r = *state;
  job j = get_of("key");

  rig_open(r, NULL);
  assert_int_equal(put(r, "a"), 0);
  faults_set(FAULT_ANY, 1, 1, 0);
  assert_int_equal(put(r, "b"), RILL_ERR_IO);
  assert_string_equal(room(r), "RILL_ERR_IO");
  assert_int_equal(rig_do(r, &j), RILL_ERR_IO);
  job_free(&j);
  assert_int_equal(put(r, "c"), RILL_ERR_IO);
  faults_none();
  assert_true(strcmp(room(r), "a ") == 0 || strcmp(room(r), "a b ") == 0);
  assert_int_equal(put(r, "d"), 0);
}

/* Another file under the name is not taken for the one that was there. */
static void test_sqlite_faults_a_file_that_was_changed(void **state) {
  rig *r = *state;
  char moved[128];

  rig_open(r, NULL);
  assert_int_equal(put(r, "a"), 0);
  rig_shut(r);
  snprintf(moved, sizeof moved, "%s/moved", r->dir);
  for (int i = 0; i < 3; i++) {
    rig_open(r, NULL);
    assert_string_equal(room(r), "a ");
    MUST(rename(r->path, moved) == 0);
    if (i == 1) {
      sqlite3 *db;
      MUST(sqlite3_open(r->path, &db) == SQLITE_OK);
      MUST(sqlite3_exec(db, "CREATE TABLE x(y)", 0, 0, 0) == SQLITE_OK);
      sqlite3_close(db);
    } else if (i == 2) {
      rig other = *r;
      pthread_mutex_init(&other.lock, NULL);
      pthread_cond_init(&other.cond, NULL);
      rig_open(&other, NULL);
      rig_shut(&other);
    }
    faults_set(FAULT_SYNC | FAULT_WRITE, 1, 0, 0);
    assert_int_equal(put(r, "b"), RILL_ERR_IO);
    faults_none();
    assert_string_equal(room(r), "RILL_ERR_IO");
    assert_int_equal(put(r, "b"), RILL_ERR_IO);
    MUST((access(r->path, F_OK) == 0) == (i > 0)); /* none is made */
    rig_shut(r);
    MUST(rename(moved, r->path) == 0);
    snprintf(moved, sizeof moved, "%s-wal", r->path);
    unlink(moved);
    snprintf(moved, sizeof moved, "%s/moved", r->dir);
  }
}

static void test_sqlite_faults_a_full_disk(void **state) {
  rig *r = *state;
  job jobs[4];

  rig_open(r, NULL);
  assert_int_equal(put(r, "a"), 0);
  for (int round = 0; round < 3; round++) {
    faults_set(FAULT_WRITE, 1, 1, SQLITE_FULL);
    jobs[0] = append_of("room", "x", "x", 5);
    jobs[1] = read_of("room", 0, 9); /* what it sees is not kept */
    jobs[2] = set_of("key", 1, "v");
    jobs[3] = get_of("key");
    for (int i = 0; i < 4; i++)
      rig_submit(r, &jobs[i]);
    for (int i = 0; i < 4; i++)
      rig_wait(r, &jobs[i]);
    assert_int_equal(jobs[0].op.status, RILL_ERR_FULL);
    assert_int_equal(jobs[2].op.status, RILL_ERR_FULL);
    assert_int_equal(jobs[1].op.status, 0); /* reads go on */
    assert_int_equal(jobs[1].nrecords, 1);
    assert_int_equal(jobs[3].op.status, 0);
    assert_int_equal(jobs[3].op.last, 0);
    for (int i = 0; i < 4; i++)
      job_free(&jobs[i]);
  }
  faults_none();
  assert_string_equal(room(r), "a ");
  assert_int_equal(put(r, "x"), 0);
  assert_string_equal(room(r), "a x ");
  rig_reopen(r);
  assert_string_equal(room(r), "a x ");
}

/* What is too old, and what is not, in "aged"; read as it is at 1300. */
static void age(rig *r) {
  static const uint64_t times[] = {1000, 1001, 1250};

  for (size_t i = 0; i < 3; i++) {
    job j = append_of("aged", "", "x", times[i]);
    MUST(rig_do(r, &j) == 0);
    job_free(&j);
  }
}

static job aged_read(void) {
  job j = read_of("aged", 0, 9);

  j.op.keep_ms = 100;
  j.op.record.time_ms = 1300;
  return j;
}

static void shows_the_newest(job *j) {
  MUST(j->op.first == 3 && j->op.last == 3);
  MUST(j->nrecords == 1 && j->records[0].offset == 3);
  job_free(j);
}

/* How many records of it the file has, where the log's row says the same. */
static int64_t aged_rows(rig *r) {
  return rig_sql(r, "PRAGMA locking_mode=EXCLUSIVE;" /* as the store */
                    "SELECT iif(count = n AND bytes = n AND first = 4 - n, n, "
                    "-1) FROM logs, (SELECT count(*) AS n FROM records)");
}

/* What should go cannot, and is not shown; later it goes. */
static void test_sqlite_faults_a_full_disk_is_read(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  age(r);
  for (int i = 0; i < 4; i++) {
    job back = aged_read(), ends = aged_read(), all = read_of("aged", 0, 9);
    back.op.reverse = true;
    back.op.from = UINT64_MAX;
    ends.op.limit = 0;
    /* where writing fails for another reason, it is opened again before */
    faults_set(FAULT_WRITE, 1, i < 2, i < 2 ? SQLITE_FULL : 0);
    MUST(rig_do(r, &back) == 0);
    assert_true(faults.hits > 0);
    if (i < 2)
      MUST(rig_do(r, &ends) == 0 && ends.op.first == 3 && ends.op.last == 3);
    faults_none();
    shows_the_newest(&back);
    MUST(rig_do(r, &all) == 0 && all.nrecords == 3 && all.op.first == 1);
    job_free(&all);
  }
  rig_shut(r);
  assert_int_equal(aged_rows(r), 3);
  rig_open(r, NULL);
  for (int i = 0; i < 2; i++) {
    job j = aged_read();
    MUST(rig_do(r, &j) == 0);
    shows_the_newest(&j);
  }
  rig_shut(r);
  assert_int_equal(aged_rows(r), 1);
}

/* Every call to the disk fails in turn while a reading lets go. */
static void test_sqlite_faults_while_a_reading_trims(void **state) {
  rig *r = *state;
  rill_sqlite_opts opts = {.busy_ms = 1};
  int told = 0;

  for (int lasting = 0; lasting < 2; lasting++)
    for (int at = 1, hits = 1; hits > 0; at++) {
      job j = aged_read(), again = aged_read();
      int64_t rows;
      rig_open(r, &opts);
      age(r);
      rig_shut(r);
      rig_open(r, &opts);
      faults_set(FAULT_ANY, at, lasting, 0);
      MUST(rig_do(r, &j) == 0 || j.op.status == RILL_ERR_IO);
      hits = faults.hits;
      faults_none();
      if (j.op.status == 0)
        shows_the_newest(&j);
      told += hits > 0 && j.op.status == 0;
      rig_shut(r);
      rows = aged_rows(r);
      MUST(rows == 3 || rows == 1);
      rig_open(r, &opts);
      MUST(rig_do(r, &again) == 0);
      shows_the_newest(&again);
      rig_shut(r);
      unlink(r->path);
    }
  assert_true(told > 0); /* it was read again */
}

/* One that does not fit takes none of its batch with it. */
static void test_sqlite_faults_one_that_does_not_fit(void **state) {
  rig *r = *state;
  static char big[4000000];
  job jobs[5];

  memset(big, 'b', sizeof big);
  rig_open(r, NULL);
  assert_int_equal(put(r, "a"), 0);
  jobs[0] = append_of("other", "", "to have the thread at work", 5);
  jobs[1] = append_of("room", "b", "b", 5);
  jobs[2] = append_of("room", "c", "", 6);
  jobs[2].op.record.data = (rill_str){big, sizeof big};
  jobs[3] = append_of("room", "d", "d", 7);
  jobs[4] = read_of("room", 0, 0);
  faults.room = 1000000;
  for (int i = 0; i < 5; i++)
    rig_submit(r, &jobs[i]);
  for (int i = 0; i < 5; i++)
    rig_wait(r, &jobs[i]);
  assert_true(faults.hits > 0);
  for (int i = 0; i < 5; i++)
    assert_int_equal(jobs[i].op.status, i == 2 ? RILL_ERR_FULL : 0);
  assert_int_equal(jobs[1].op.last, 2);
  assert_int_equal(jobs[3].op.last, 3);
  assert_int_equal(jobs[4].op.last, 3);
  assert_string_equal(room(r), "a b d ");
}

static void test_sqlite_faults_reads_that_fail(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  assert_int_equal(put(r, "a"), 0);
  rig_reopen(r);
  faults_set(FAULT_READ, 1, 0, 0);
  assert_string_equal(room(r), "a "); /* once: it is opened again */
  rig_reopen(r);
  faults_set(FAULT_READ, 1, 1, 0);
  assert_string_equal(room(r), "RILL_ERR_IO");
  faults_none();
  assert_string_equal(room(r), "a ");
}

static atomic_int hub_calls, hub_fails, hub_blocks;

/* The hub's memory, from two threads. */
static void *hub_alloc(void *arg, void *p, size_t old, size_t size) {
  (void)arg;
  (void)old;
  if (size > 0) {
    hub_calls++;
    if (hub_fails > 0 && hub_fails-- > 0)
      return NULL;
  }
  hub_blocks += (p == NULL) - (size == 0);
  if (size > 0)
    return realloc(p, size);
  free(p);
  return NULL;
}

/* A hub that has no memory for the post: it is told later. */
static void test_sqlite_faults_a_post_that_fails(void **state) {
  rig *r = *state;
  rill_sqlite_stats stats = {0};
  rill_config config;
  job j = append_of("room", "", "a", 1), k = append_of("room", "", "b", 2);

  rig_open(r, NULL);
  rill_hub_free(r->hub);
  rill_config_init(&config);
  config.alloc = hub_alloc;
  hub_blocks = 0;
  assert_int_equal(rill_hub_new(&r->hub, &config), 0);
  rill_on_wake(r->hub, rig_wake, r);
  r->store->attach(r->store, r->hub);
  hub_calls = 0;
  hub_fails = 3;
  assert_int_equal(rig_do(r, &j), 0);
  assert_int_equal(hub_calls, 4);
  hub_fails = 1000;
  rig_submit(r, &k); /* freed while it cannot be told */
  while (stats.operations < 2 || hub_calls < 6)
    rill_sqlite_stats_read(r->store, &stats);
  assert_int_equal(stats.failures, 0);
  hub_fails = 0;
  r->store->free(r->store);
  r->store = NULL;
  assert_int_equal(k.complete, 0);
  rig_shut(r);
  assert_int_equal(hub_blocks, 0);
}

/*
 * The story: appends to two logs, values, reads, all in flight at once.  Its
 * operations are known by their place.
 */
#define STORY 40
static job story[STORY];
static char story_ids[STORY][8];

static void story_tell(rig *r) {
  for (size_t i = 0; i < STORY; i++) {
    snprintf(story_ids[i], sizeof story_ids[i], "s%zu", i);
    if (i % 5 == 3)
      story[i] = set_of(story_ids[i], i + 1, story_ids[i]);
    else if (i % 5 == 4)
      story[i] = read_of("even", 0, 100);
    else
      story[i] =
          append_of(i % 2 ? "odd" : "even", story_ids[i], story_ids[i], i + 1);
    rig_submit(r, &story[i]);
    if (i % 10 == 9)
      rig_wait(r, &story[i]);
  }
}

static bool without_effect(int status) {
  return status == RILL_ERR_FULL || status == RILL_ERR_NOMEM ||
         status == RILL_ERR_ARG;
}

static void log_holds(rig *r, const char *name) {
  job j = read_of(name, 0, 1000);
  size_t found = 0, may = 0;

  MUST(rig_do(r, &j) == 0);
  MUST(j.op.last == j.nrecords);
  for (size_t i = 0; i < j.nrecords; i++)
    MUST(j.records[i].offset == i + 1); /* no gap, none twice */
  for (size_t i = 0; i < STORY; i++) {
    const rill_store_op *op = &story[i].op;
    bool there = false;
    if (op->kind != RILL_STORE_APPEND || !rill_str_eq(op->name, rill_s(name)))
      continue;
    for (size_t k = 0; k < j.nrecords; k++)
      if (rill_str_eq(j.records[k].id, op->record.id)) {
        MUST(!there && rill_str_eq(j.records[k].data, op->record.data));
        MUST(op->status != 0 || j.records[k].offset == op->last);
        there = true;
      }
    MUST(op->status != 0 || there);
    MUST(!without_effect(op->status) || !there);
    found += there;
    may++;
  }
  MUST(found == j.nrecords && found <= may);
  job_free(&j);
}

static void story_holds(rig *r) {
  log_holds(r, "odd");
  log_holds(r, "even");
  for (size_t i = 3; i < STORY; i += 5) {
    job j = get_of(story_ids[i]);
    MUST(rig_do(r, &j) == 0);
    MUST(story[i].op.status != 0 || j.op.last == i + 1);
    MUST(!without_effect(story[i].op.status) || j.op.last == 0);
    MUST(j.op.last == 0 || memcmp(j.value, story_ids[i], 2) == 0);
    job_free(&j);
  }
  /* A read that succeeded saw all that had been told so, in order. */
  for (size_t i = 4; i < STORY; i += 5) {
    if (story[i].op.status != 0)
      continue;
    for (size_t k = 0; k < i; k++)
      if (story[k].op.kind == RILL_STORE_APPEND && k % 2 == 0 &&
          story[k].op.status == 0)
        MUST(story[i].op.last >= story[k].op.last);
  }
}

static void story_end(void) {
  for (size_t i = 0; i < STORY; i++) {
    MUST(story[i].complete == 1);
    job_free(&story[i]);
  }
}

/* Every call to the disk fails in turn, once or from then on. */
static void sweep_disk(rig *r, int code, int step) {
  rill_sqlite_opts opts = {.busy_ms = 1};

  for (int lasting = 0; lasting < 2; lasting++)
    for (int at = 1, hits = 1; hits > 0; at += step) {
      rig_open(r, &opts);
      faults_set(FAULT_ANY, at, lasting, code);
      story_tell(r);
      hits = faults.hits;
      faults_none();
      story_holds(r); /* as this program sees it */
      rig_reopen(r);
      story_holds(r); /* and the next one */
      rig_shut(r);
      story_end();
      unlink(r->path);
    }
}

static void test_sqlite_faults_any_error_of_the_disk(void **state) {
  sweep_disk(*state, 0, 1);
}

static void test_sqlite_faults_any_full_disk(void **state) {
  sweep_disk(*state, SQLITE_FULL, 1);
}

/* Opening, too: it fails, or it is open and whole. */
static void test_sqlite_faults_while_opening(void **state) {
  rig *r = *state;

  for (int old = 0; old < 2; old++)
    for (int at = 1, hits = 1; hits > 0; at++) {
      int rv;
      unlink(r->path);
      if (old) {
        rig_open(r, NULL);
        put(r, "a");
        rig_shut(r);
      }
      faults_set(FAULT_ANY, at, 0, 0);
      rv = rig_try(r, NULL);
      hits = faults.hits;
      faults_none();
      MUST(rv == 0 || rv == RILL_ERR_IO);
      rig_shut(r);
      rig_open(r, NULL);
      assert_string_equal(room(r), old ? "a " : "");
      rig_shut(r);
    }
}

static void test_sqlite_faults_any_want_of_memory(void **state) {
  rig *r = *state;
  rill_sqlite_opts opts = {.busy_ms = 1, .sync = RILL_SQLITE_NORMAL};

  for (int lasting = 0; lasting < 2; lasting++)
    for (int at = 1, hits = 1; hits > 0; at += 1 + at / 24) {
      rig_open(r, &opts);
      faults_none();
      faults.memory_lasting = lasting;
      faults.memory_at = at;
      story_tell(r);
      hits = faults.memory_hits;
      faults_none();
      story_holds(r);
      rig_reopen(r);
      story_holds(r);
      rig_shut(r);
      story_end();
      unlink(r->path);
    }
}

static void test_sqlite_faults_no_memory_to_open(void **state) {
  rig *r = *state;

  for (int at = 1, hits = 1; hits > 0; at += 1 + at / 24) {
    int rv;
    faults_none();
    faults.memory_at = at;
    rv = rig_try(r, NULL);
    hits = faults.memory_hits;
    faults_none();
    MUST(rv == 0 || rv == RILL_ERR_NOMEM || rv == RILL_ERR_IO);
    rig_shut(r);
    rig_open(r, NULL);
    assert_string_equal(room(r), "");
    rig_shut(r);
    unlink(r->path);
  }
}

/*
 * Killed at work.  The child has a window of appends in flight and tells
 * each that was completed with 0 through the pipe; the parent kills it at
 * any moment and looks what is there.
 */
#define WINDOW 48
typedef struct told {
  uint32_t n, offset;
} told;

static struct child {
  rig *r;
  int pipe;
  uint32_t next;
  job jobs[WINDOW];
  char ids[WINDOW][16];
} child;

static void child_submit(job *j) {
  size_t at = (size_t)(j - child.jobs);
  uint32_t n = child.next++;

  snprintf(child.ids[at], sizeof child.ids[at], "%u", n);
  *j = append_of(n % 3 ? "all" : "few", child.ids[at], child.ids[at], n + 1);
  j->op.keep_count = n % 3 ? 0 : 7;
  rig_submit(child.r, j);
}

static void child_done(job *j) {
  told t = {(uint32_t)strtoul(child.ids[j - child.jobs], NULL, 10),
            (uint32_t)j->op.last};

  MUST(j->op.status == 0);
  MUST(write(child.pipe, &t, sizeof t) == sizeof t);
  job_free(j);
  child_submit(j);
  j->then = child_done;
}

static _Noreturn void child_run(rig *r, int fd, uint32_t next) {
  child.r = r;
  child.pipe = fd;
  child.next = next;
  rig_open(r, NULL);
  for (size_t i = 0; i < WINDOW; i++) {
    child_submit(&child.jobs[i]);
    child.jobs[i].then = child_done;
  }
  for (;;)
    rig_turn(r);
}

static uint32_t *acks; /* by number: its offset */
static uint32_t nacks;

static int64_t now_ms(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void hear(told t) {
  MUST(t.n < 10000000 && t.offset > 0);
  if (t.n >= nacks) {
    uint32_t most = t.n * 2 + 1000;
    acks = realloc(acks, most * sizeof *acks);
    MUST(acks != NULL);
    memset(acks + nacks, 0, (most - nacks) * sizeof *acks);
    nacks = most;
  }
  MUST(acks[t.n] == 0); /* told once */
  acks[t.n] = t.offset;
}

/* What the child tells in |ms|; -1: until it tells no more. */
static void listen_for(int fd, int64_t ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  int64_t end = now_ms() + ms;
  told t;

  while (ms < 0 || now_ms() < end)
    if (poll(&p, 1, ms < 0 ? -1 : 1) > 0) {
      if (read(fd, &t, sizeof t) != sizeof t)
        return;
      hear(t);
    }
}

static uint32_t number_of(rill_str s) {
  uint32_t n = 0;

  for (size_t i = 0; i < s.len; i++)
    n = n * 10 + (uint32_t)(s.ptr[i] - '0');
  return n;
}

/* Returns a number that has not been used. */
static uint32_t look(rig *r) {
  job all = read_of("all", 0, UINT32_MAX), few = read_of("few", 0, 100);
  uint32_t most = 0;
  uint64_t before = 0;

  MUST(rig_do(r, &all) == 0 && rig_do(r, &few) == 0);
  MUST(all.op.last == all.nrecords);
  for (size_t i = 0; i < all.nrecords; i++) {
    uint32_t n = number_of(all.records[i].id);
    MUST(all.records[i].offset == i + 1);
    MUST(n % 3 != 0 && n + 1 == all.records[i].time_ms);
    MUST(all.records[i].time_ms > before); /* in order, none twice */
    before = all.records[i].time_ms;
    MUST(n >= nacks || acks[n] == 0 || acks[n] == i + 1);
    if (n + 1 > most)
      most = n + 1;
  }
  for (uint32_t n = 0; n < nacks; n++) /* all that was told is there */
    if (acks[n] == 0) {
      continue;
    } else if (n % 3 != 0) {
      MUST(acks[n] <= all.nrecords);
      MUST(all.records[acks[n] - 1].time_ms == n + 1);
    } else {
      MUST(few.op.last >= acks[n]);
    }
  MUST(few.nrecords <= 7);
  for (size_t i = 0; i < few.nrecords; i++) {
    uint32_t n = number_of(few.records[i].id);
    MUST(few.records[i].offset == few.op.first + i);
    MUST(n >= nacks || acks[n] == 0 || acks[n] == few.records[i].offset);
    if (n + 1 > most)
      most = n + 1;
  }
  job_free(&all);
  job_free(&few);
  return most + WINDOW;
}

static void test_sqlite_faults_killed_at_work(void **state) {
  rig *r = *state;
  const char *more = getenv("RILL_KILLS");
  int rounds = more != NULL ? atoi(more) : 20;
  uint64_t seed = (uint64_t)time(NULL) * 2654435761u | 1;
  uint32_t next = 0, told_before = 0;

  printf("kills: %d rounds, seed %llu\n", rounds, (unsigned long long)seed);
  for (int i = 0; i < rounds; i++) {
    int fds[2], status;
    pid_t pid;
    struct pollfd p;
    MUST(pipe(fds) == 0);
    fflush(NULL);
    pid = fork();
    MUST(pid >= 0);
    if (pid == 0)
      child_run(r, fds[1], next);
    close(fds[1]);
    p = (struct pollfd){.fd = fds[0], .events = POLLIN};
    if (i % 4 != 3) /* sometimes while it opens */
      MUST(poll(&p, 1, 20000) == 1);
    listen_for(fds[0], (int64_t)(xorshift(&seed) % 60));
    MUST(kill(pid, SIGKILL) == 0);
    MUST(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
         WTERMSIG(status) == SIGKILL);
    listen_for(fds[0], -1);
    close(fds[0]);
    rig_open(r, NULL);
    next = look(r);
    rig_shut(r);
  }
  for (uint32_t n = 0; n < nacks; n++)
    told_before += acks[n] != 0;
  printf("kills: %u appends were told and are there\n", told_before);
  assert_true(told_before > 100);
  free(acks);
  acks = NULL;
  nacks = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_sqlite_faults_a_sync_that_fails),
      TEST(test_sqlite_faults_a_disk_that_is_gone),
      TEST(test_sqlite_faults_a_file_that_was_changed),
      TEST(test_sqlite_faults_a_full_disk),
      TEST(test_sqlite_faults_a_full_disk_is_read),
      TEST(test_sqlite_faults_while_a_reading_trims),
      TEST(test_sqlite_faults_one_that_does_not_fit),
      TEST(test_sqlite_faults_reads_that_fail),
      TEST(test_sqlite_faults_a_post_that_fails),
      TEST(test_sqlite_faults_any_error_of_the_disk),
      TEST(test_sqlite_faults_any_full_disk),
      TEST(test_sqlite_faults_while_opening),
      TEST(test_sqlite_faults_any_want_of_memory),
      TEST(test_sqlite_faults_no_memory_to_open),
      TEST(test_sqlite_faults_killed_at_work),
  };
  faults_begin();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
