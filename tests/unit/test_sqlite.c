/* The SQLite store: operations, the schema, opening, the end. */
#include "sqlite_rig.h"
#include "store_aging.h"

static int setup(void **state) {
  static rig r;

  rig_init(&r);
  *state = &r;
  return 0;
}

static int teardown(void **state) {
  rig_finish(*state);
  return 0;
}

/* The new record's number, or the error. */
static int64_t put(rig *r, const char *name, const char *id, const char *data,
                   uint64_t time_ms) {
  job j = append_of(name, id, data, time_ms);
  int status = rig_do(r, &j);
  int64_t last = (int64_t)j.op.last;

  job_free(&j);
  return status == 0 ? last : status;
}

/* "2=b 3=c | 2-3": the records, and the log's ends. */
static const char *took(rig *r, job j) {
  static char out[4096];
  size_t n = 0;

  assert_int_equal(rig_do(r, &j), 0);
  for (size_t i = 0; i < j.nrecords; i++) {
    const rill_record *rec = &j.records[i];
    n += (size_t)snprintf(out + n, sizeof out - n, "%d=%.*s ", (int)rec->offset,
                          (int)rec->data.len, rec->data.ptr);
  }
  snprintf(out + n, sizeof out - n, "| %d-%d", (int)j.op.first, (int)j.op.last);
  job_free(&j);
  return out;
}

#define TOOK(job, text) assert_string_equal(took(r, job), text)

static job back(job j) {
  j.op.reverse = true;
  return j;
}

static void test_sqlite_numbers_records(void **state) {
  rig *r = *state;
  job j = append_of("room", "id-1", "first", 7);

  rig_open(r, NULL);
  assert_int_equal(rig_do(r, &j), 0);
  assert_int_equal(j.op.last, 1);
  assert_int_equal(put(r, "room", "", "second", 9), 2);
  assert_int_equal(put(r, "other", "", "x", 10), 1); /* a log by itself */
  assert_int_equal(put(r, "room", "", "", 11), 3);
  job_free(&j);
  j = read_of("room", 0, 10);
  assert_int_equal(rig_do(r, &j), 0);
  assert_int_equal(j.nrecords, 3);
  assert_int_equal(j.records[0].offset, 1);
  assert_int_equal(j.records[0].time_ms, 7);
  assert_true(rill_str_eq(j.records[0].id, rill_s("id-1")));
  assert_true(rill_str_eq(j.records[0].data, rill_s("first")));
  assert_int_equal(j.records[1].id.len, 0);
  assert_int_equal(j.records[2].data.len, 0);
  assert_int_equal(j.op.first, 1);
  assert_int_equal(j.op.last, 3);
  job_free(&j);
}

static void test_sqlite_reads_from_anywhere(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  put(r, "room", "", "a", 10);
  put(r, "room", "", "b", 20);
  put(r, "room", "", "c", 30);
  put(r, "room", "", "d", 40);
  TOOK(read_of("room", 0, 9), "1=a 2=b 3=c 4=d | 1-4");
  TOOK(read_of("room", 2, 9), "3=c 4=d | 1-4");
  TOOK(read_of("room", 2, 1), "3=c | 1-4");
  TOOK(read_of("room", 3, 9), "4=d | 1-4");
  TOOK(read_of("room", 4, 9), "| 1-4");
  TOOK(read_of("room", UINT64_MAX, 9), "| 1-4");
  TOOK(read_of("room", 0, 0), "| 1-4");
  TOOK(read_of("room", 0, UINT32_MAX), "1=a 2=b 3=c 4=d | 1-4");
  TOOK(read_of("nobody", 0, 9), "| 0-0");
  TOOK(back(read_of("room", UINT64_MAX, 2)), "4=d 3=c | 1-4");
  TOOK(back(read_of("room", 4, 2)), "3=c 2=b | 1-4");
  TOOK(back(read_of("room", 2, 2)), "1=a | 1-4");
  TOOK(back(read_of("room", 1, 2)), "| 1-4");
  TOOK(back(read_of("room", 0, 2)), "| 1-4");
}

static void test_sqlite_an_id_comes_once(void **state) {
  rig *r = *state;
  job j = append_of("room", "x", "again", 9);

  rig_open(r, NULL);
  assert_int_equal(put(r, "room", "x", "a", 1), 1);
  assert_int_equal(put(r, "room", "y", "b", 2), 2);
  assert_int_equal(put(r, "room", "", "c", 3), 3); /* no id: as many as */
  assert_int_equal(put(r, "room", "", "d", 4), 4); /* there are */
  assert_int_equal(put(r, "other", "x", "e", 5), 1);
  assert_int_equal(put(r, "room", "X", "f", 6), 5);
  assert_int_equal(rig_do(r, &j), RILL_ERR_EXISTS);
  assert_int_equal(j.op.last, 1);
  job_free(&j);
  rig_reopen(r);
  j = append_of("room", "y", "again", 9);
  assert_int_equal(rig_do(r, &j), RILL_ERR_EXISTS);
  assert_int_equal(j.op.last, 2);
  job_free(&j);
  j = append_of("room", "y", "again", 9); /* it is known before the log's */
  j.op.expect = 1;                        /* growth is: a retry must see it */
  assert_int_equal(rig_do(r, &j), RILL_ERR_EXISTS);
  assert_int_equal(j.op.last, 2);
  job_free(&j);
  TOOK(read_of("room", 0, 9), "1=a 2=b 3=c 4=d 5=f | 1-5");
  j = append_of("room", "x", "new", 9); /* trimmed away: not known any more */
  j.op.keep_count = 1;
  put(r, "room", "", "g", 8);
  assert_int_equal(rig_do(r, &j), RILL_ERR_EXISTS);
  job_free(&j);
  j = append_of("room", "", "h", 9);
  j.op.keep_count = 1;
  assert_int_equal(rig_do(r, &j), 0);
  job_free(&j);
  assert_int_equal(put(r, "room", "x", "new", 10), 8);
}

static void test_sqlite_appends_on_condition(void **state) {
  rig *r = *state;
  static const struct {
    uint64_t expect;
    int status;
    uint64_t last;
  } steps[] = {{1, RILL_ERR_STATE, 0}, {0, 0, 1}, {0, RILL_ERR_STATE, 1},
               {2, RILL_ERR_STATE, 1}, {1, 0, 2}, {RILL_STORE_ANY, 0, 3},
               {2, RILL_ERR_STATE, 3}, {3, 0, 4}};

  rig_open(r, NULL);
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    job j = append_of("doc", "", "op", i + 1);
    j.op.expect = steps[i].expect;
    assert_int_equal(rig_do(r, &j), steps[i].status);
    assert_int_equal(j.op.last, steps[i].last);
    job_free(&j);
  }
}

static job keep(job j, uint32_t count, uint64_t ms, uint64_t bytes) {
  j.op.keep_count = count;
  j.op.keep_ms = ms;
  j.op.keep_bytes = bytes;
  return j;
}

static void do_ok(rig *r, job j) {
  assert_int_equal(rig_do(r, &j), 0);
  job_free(&j);
}

static void test_sqlite_trims_by_count(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  do_ok(r, keep(append_of("room", "", "a", 10), 3, 0, 0));
  do_ok(r, keep(append_of("room", "", "b", 20), 3, 0, 0));
  do_ok(r, keep(append_of("room", "", "c", 30), 3, 0, 0)); /* three stay */
  TOOK(read_of("room", 0, 9), "1=a 2=b 3=c | 1-3");
  do_ok(r,
        keep(append_of("room", "", "d", 40), 3, 0, 0)); /* of four one goes */
  TOOK(read_of("room", 0, 9), "2=b 3=c 4=d | 2-4");
  do_ok(r, keep(append_of("room", "", "e", 50), 1, 0, 0));
  TOOK(read_of("room", 0, 9), "5=e | 5-5");
  rig_reopen(r);
  TOOK(read_of("room", 0, 9), "5=e | 5-5");
  assert_int_equal(put(r, "room", "", "f", 60), 6);
}

static void test_sqlite_trims_by_bytes(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  do_ok(r, keep(append_of("room", "long id", "aaaa", 1), 0, 0, 10));
  do_ok(r, keep(append_of("room", "", "bbb", 2), 0, 0, 10));
  do_ok(r, keep(append_of("room", "", "ccc", 3), 0, 0, 10)); /* ten bytes */
  TOOK(read_of("room", 0, 9), "1=aaaa 2=bbb 3=ccc | 1-3");
  do_ok(r, keep(append_of("room", "", "d", 4), 0, 0, 10));
  TOOK(read_of("room", 0, 9), "2=bbb 3=ccc 4=d | 2-4");
  do_ok(r, keep(append_of("room", "", "eeeeeeeeeeeeeeeee", 5), 0, 0, 10));
  TOOK(read_of("room", 0, 9), "5=eeeeeeeeeeeeeeeee | 5-5");
}

static job at(job j, uint64_t time_ms) {
  j.op.record.time_ms = time_ms;
  return j;
}

static void test_sqlite_trims_by_age(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  do_ok(r, at(keep(append_of("room", "", "a", 1), 0, 100, 0), 1000));
  do_ok(r, at(keep(append_of("room", "", "b", 2), 0, 100, 0), 1001));
  do_ok(r, at(keep(append_of("room", "", "c", 3), 0, 100, 0), 1100));
  TOOK(read_of("room", 0, 9), "1=a 2=b 3=c | 1-3");
  do_ok(r, at(keep(append_of("room", "", "d", 4), 0, 100, 0), 1101));
  TOOK(read_of("room", 0, 9), "2=b 3=c 4=d | 2-4");
  /* a clock that steps back */
  do_ok(r, at(keep(append_of("room", "", "e", 5), 0, 100, 0), 5));
  TOOK(read_of("room", 0, 9), "2=b 3=c 4=d 5=e | 2-5");
  do_ok(r, at(keep(append_of("room", "", "f", 6), 0, UINT64_MAX, 0), 99999));
  TOOK(read_of("room", 4, 9), "5=e 6=f | 2-6");
  do_ok(r, at(keep(append_of("room", "", "g", 7), 0, 1, 0), 199999));
  TOOK(read_of("room", 0, 9), "7=g | 7-7");
}

static uint64_t aging_append(void *arg, const char *data, uint64_t time_ms) {
  return (uint64_t)put(arg, "room", data, data, time_ms);
}

static const char *aging_read(void *arg, uint64_t from, bool reverse,
                              uint64_t keep_ms, uint64_t time_ms) {
  job j = at(keep(read_of("room", from, 2), 0, keep_ms, 0), time_ms);

  j.op.reverse = reverse;
  return took(arg, j);
}

static void test_sqlite_what_is_too_old_is_not_read(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  store_ages(&(store_hands){r, aging_append, aging_read});
  rig_reopen(r);
  TOOK(read_of("room", 0, 9), "7=g | 7-7");
  assert_int_equal(put(r, "room", "a", "again", 3000), 8);
  TOOK(at(keep(read_of("room", 0, 9), 0, 1, 0), 4000), "| 9-8");
  rig_shut(r);
  assert_int_equal(rig_sql(r, "SELECT count(*) FROM records"), 0);
  assert_int_equal(
      rig_sql(r, "SELECT first * 1000 + count * 10 + bytes FROM logs"), 9000);
}

static void test_sqlite_trims_many_at_once(void **state) {
  rig *r = *state;
  static job jobs[1000];

  rig_open(r, NULL);
  for (size_t i = 0; i < 1000; i++) {
    jobs[i] = append_of("room", "", "12345", i + 1);
    rig_submit(r, &jobs[i]);
  }
  for (size_t i = 0; i < 1000; i++)
    rig_wait(r, &jobs[i]);
  do_ok(r, keep(append_of("room", "", "z", 1001), 0, 0, 16));
  TOOK(read_of("room", 0, 9), "998=12345 999=12345 1000=12345 1001=z "
                              "| 998-1001");
  rig_shut(r);
  assert_int_equal(rig_sql(r, "SELECT count(*) FROM records"), 4);
  assert_int_equal(rig_sql(r, "SELECT bytes FROM logs"), 16);
}

static void test_sqlite_removes(void **state) {
  rig *r = *state;
  job j;

  rig_open(r, NULL);
  for (uint64_t i = 1; i <= 5; i++)
    put(r, "user", i == 3 ? "three" : "", i % 2 ? "odd" : "even", i * 10);
  for (size_t i = 0; i < 4; i++) {
    static const uint64_t which[] = {3, 3, 1, 99};
    j = read_of("user", which[i], 0);
    j.op.kind = RILL_STORE_REMOVE;
    do_ok(r, j);
  }
  TOOK(read_of("user", 0, 9), "2=even 4=even 5=odd | 2-5");
  assert_int_equal(put(r, "user", "three", "new", 60), 6); /* may come again */
  for (uint64_t i = 0; i <= 7; i++) {
    j = read_of("user", i, 0);
    j.op.kind = RILL_STORE_REMOVE;
    do_ok(r, j);
  }
  TOOK(read_of("user", 0, 9), "| 7-6");
  rig_reopen(r);
  TOOK(read_of("user", 0, 9), "| 7-6");
  assert_int_equal(put(r, "user", "", "seven", 70), 7); /* no number twice */
  TOOK(read_of("user", 0, 9), "7=seven | 7-7");
  j = read_of("nobody", 1, 0);
  j.op.kind = RILL_STORE_REMOVE;
  do_ok(r, j);
  /* holes do not count: two are there */
  put(r, "user", "", "eight", 80);
  put(r, "user", "", "nine", 90);
  j = read_of("user", 8, 0);
  j.op.kind = RILL_STORE_REMOVE;
  do_ok(r, j);
  do_ok(r, keep(append_of("user", "", "ten", 100), 3, 0, 0));
  TOOK(read_of("user", 0, 9), "7=seven 9=nine 10=ten | 7-10");
  do_ok(r, keep(append_of("user", "", "eleven", 110), 3, 0, 0));
  TOOK(read_of("user", 0, 9), "9=nine 10=ten 11=eleven | 9-11");
  rig_shut(r);
  assert_int_equal(rig_sql(r, "SELECT count * 100 + bytes FROM logs"), 313);
}

static void test_sqlite_values(void **state) {
  rig *r = *state;
  job j = get_of("key");
  static const struct {
    uint64_t version, last;
    const char *value;
  } steps[] = {{0, 0, ""},     {5, 5, "five"},
               {4, 5, "five"}, {5, 5, "five"},
               {6, 6, "six"},  {7, 7, ""},
               {1, 7, ""},     {INT64_MAX, INT64_MAX, "most"}};

  rig_open(r, NULL);
  assert_int_equal(rig_do(r, &j), 0);
  assert_int_equal(j.op.last, 0);
  assert_int_equal(j.op.value.len, 0);
  job_free(&j);
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    char text[16];
    snprintf(text, sizeof text, "%s", steps[i].value);
    if (steps[i].version != 0 && steps[i].version < steps[i].last)
      snprintf(text, sizeof text, "older");
    if (i == 3)
      snprintf(text, sizeof text, "same");
    j = set_of("key", steps[i].version, i == 0 ? "none" : text);
    assert_int_equal(rig_do(r, &j), 0);
    assert_int_equal(j.op.last, steps[i].last);
    job_free(&j);
    j = get_of("key");
    assert_int_equal(rig_do(r, &j), 0);
    assert_int_equal(j.op.last, steps[i].last);
    assert_int_equal(j.op.value.len, strlen(steps[i].value));
    assert_memory_equal(j.value, steps[i].value, strlen(steps[i].value));
    job_free(&j);
  }
  j = get_of("kez");
  assert_int_equal(rig_do(r, &j), 0);
  assert_int_equal(j.op.last, 0);
  job_free(&j);
}

static void test_sqlite_refuses_what_it_cannot_hold(void **state) {
  rig *r = *state;
  job j = append_of("room", "", "x", (uint64_t)INT64_MAX + 1);

  rig_open(r, NULL);
  assert_int_equal(rig_do(r, &j), RILL_ERR_ARG);
  j = append_of("room", "", "x", UINT64_MAX);
  assert_int_equal(rig_do(r, &j), RILL_ERR_ARG);
  j = set_of("key", (uint64_t)INT64_MAX + 1, "x");
  assert_int_equal(rig_do(r, &j), RILL_ERR_ARG);
  j = get_of("key");
  j.op.kind = (rill_store_kind)99;
  assert_int_equal(rig_do(r, &j), RILL_ERR_ARG);
  j = append_of("room", "", "x", INT64_MAX);
  assert_int_equal(rig_do(r, &j), 0);
}

/* Names, ids and data are bytes; the empty one is a name as well. */
static void test_sqlite_takes_any_bytes(void **state) {
  rig *r = *state;
  static const char raw[] = "a\0b\xff'\"";
  rill_str bytes = {raw, sizeof raw - 1}, shorter = {raw, 1}, none = {0};
  rill_str names[] = {bytes, shorter, none};

  rig_open(r, NULL);
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < 3; i++) {
      job j = append_of("", "", "", 1);
      j.op.name = names[i];
      j.op.record.id = bytes;
      j.op.record.data = (rill_str){raw, i};
      assert_int_equal(rig_do(r, &j), round == 0 ? 0 : RILL_ERR_EXISTS);
      assert_int_equal(j.op.last, 1);
      job_free(&j);
      j = read_of("", 0, 9);
      j.op.name = names[i];
      assert_int_equal(rig_do(r, &j), 0);
      assert_int_equal(j.nrecords, 1);
      assert_true(rill_str_eq(j.records[0].id, bytes));
      assert_true(rill_str_eq(j.records[0].data, (rill_str){raw, i}));
      job_free(&j);
      j = set_of("", 1, "");
      j.op.name = names[i];
      j.op.value = bytes;
      assert_int_equal(rig_do(r, &j), 0);
      job_free(&j);
      j = get_of("");
      j.op.name = names[i];
      assert_int_equal(rig_do(r, &j), 0);
      assert_int_equal(j.op.last, 1);
      assert_memory_equal(j.value, raw, sizeof raw - 1);
      job_free(&j);
    }
    rig_reopen(r);
  }
}

static void test_sqlite_big_records(void **state) {
  rig *r = *state;
  size_t len = 3000000;
  char *big = malloc(len);
  job j = append_of("room", "", "", 1);

  rig_open(r, NULL);
  for (size_t i = 0; i < len; i++)
    big[i] = (char)(i * 31 >> 3);
  j.op.record.data = (rill_str){big, len};
  assert_int_equal(rig_do(r, &j), 0);
  job_free(&j);
  put(r, "room", "", "small", 2);
  rig_reopen(r);
  j = read_of("room", 0, 9);
  assert_int_equal(rig_do(r, &j), 0);
  assert_int_equal(j.nrecords, 2);
  assert_int_equal(j.records[0].data.len, len);
  assert_memory_equal(j.records[0].data.ptr, big, len);
  job_free(&j);
  free(big);
}

/* More logs than are kept in memory, each in turn. */
static void test_sqlite_many_logs(void **state) {
  rig *r = *state;
  static job jobs[600];
  static char names[600][16];

  rig_open(r, NULL);
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < 600; i++) {
      snprintf(names[i], sizeof names[i], "room-%zu", i);
      jobs[i] = append_of(names[i], "", "x", i + 1);
      rig_submit(r, &jobs[i]);
    }
    for (size_t i = 0; i < 600; i++) {
      rig_wait(r, &jobs[i]);
      assert_int_equal(jobs[i].op.status, 0);
      assert_int_equal(jobs[i].op.last, round + 1);
    }
  }
  rig_reopen(r);
  for (size_t i = 0; i < 600; i++)
    assert_int_equal(put(r, names[i], "", "y", 1), 4);
}

/*
 * All at once, batches of every size: the completions come in the order of
 * the submissions, and a read sees what was submitted before it.
 */
static void test_sqlite_keeps_the_order(void **state) {
  rig *r = *state;
  static job jobs[900];
  static const uint32_t batches[] = {1, 2, 7, 256, 0};

  for (size_t b = 0; b < 5; b++) {
    rill_sqlite_opts opts = {.batch = batches[b], .sync = RILL_SQLITE_NORMAL};
    char name[16];
    uint64_t first;
    rill_sqlite_stats stats;
    snprintf(name, sizeof name, "room-%zu", b);
    rig_open(r, &opts);
    for (size_t i = 0; i < 900; i++) {
      jobs[i] = i % 3 == 2 ? back(read_of(name, UINT64_MAX, 1))
                           : append_of(name, "", "x", i + 1);
      rig_submit(r, &jobs[i]);
    }
    rig_wait(r, &jobs[899]);
    first = jobs[0].when;
    for (size_t i = 0; i < 900; i++) {
      assert_int_equal(jobs[i].complete, 1);
      assert_int_equal(jobs[i].op.status, 0);
      assert_true(jobs[i].when == first + i);
      assert_int_equal(jobs[i].op.last, i / 3 * 2 + (i % 3 == 0 ? 1 : 2));
      if (i % 3 == 2)
        assert_int_equal(jobs[i].records[0].offset, jobs[i].op.last);
      job_free(&jobs[i]);
    }
    rill_sqlite_stats_read(r->store, &stats);
    assert_int_equal(stats.operations, 900);
    assert_int_equal(stats.failures, 0);
    assert_int_equal(stats.waiting, 0);
    assert_string_equal(stats.error, "");
    assert_true(stats.transactions >= 900 / (batches[b] ? batches[b] : 256));
    assert_true(stats.transactions <= 900);
    if (batches[b] == 1)
      assert_int_equal(stats.transactions, 900);
    assert_true(stats.commit_us_max <= stats.commit_us_sum);
    rig_shut(r);
  }
}

static job *chain_next;
static rig *chain_rig;
static void chain(job *j) {
  if (++chain_next < j + 2)
    rig_submit(chain_rig, chain_next);
}

/* From inside of a completion. */
static void test_sqlite_submits_when_completed(void **state) {
  rig *r = *state;
  static job jobs[50];

  rig_open(r, NULL);
  for (size_t i = 0; i < 50; i++) {
    jobs[i] = append_of("room", "", "x", i + 1);
    jobs[i].then = i < 49 ? chain : NULL;
  }
  chain_rig = r;
  chain_next = jobs;
  rig_submit(r, jobs);
  rig_wait(r, &jobs[49]);
  assert_int_equal(jobs[49].op.last, 50);
}

static void test_sqlite_keeps_all_when_reopened(void **state) {
  rig *r = *state;
  char epoch[RILL_STORE_EPOCH + 1];
  job j;

  rig_open(r, NULL);
  memcpy(epoch, r->store->epoch, sizeof epoch);
  assert_int_equal(strspn(epoch, "0123456789abcdefghijklmnopqrstuvwxyz"),
                   RILL_STORE_EPOCH);
  put(r, "room", "id", "a", 70);
  put(r, "room", "", "b", 90);
  put(r, "other", "", "c", 80);
  do_ok(r, set_of("key", 3, "value"));
  do_ok(r, keep(append_of("room", "", "d", 85), 1, 0, 0));
  for (int i = 0; i < 3; i++) {
    rig_reopen(r);
    assert_string_equal(r->store->epoch, epoch);
    TOOK(read_of("room", 0, 9), "3=d | 3-3");
    TOOK(read_of("other", 0, 9), "1=c | 1-1");
    j = get_of("key");
    assert_int_equal(rig_do(r, &j), 0);
    assert_int_equal(j.op.last, 3);
    assert_memory_equal(j.value, "value", 5);
    job_free(&j);
  }
  rig_shut(r);
  unlink(r->path);
  rig_open(r, NULL); /* another database is another run of numbers */
  assert_string_not_equal(r->store->epoch, epoch);
}

static void test_sqlite_in_memory(void **state) {
  rig *r = *state;

  snprintf(r->path, sizeof r->path, ":memory:");
  rig_open(r, NULL);
  assert_string_equal(r->store->epoch, "");
  assert_int_equal(put(r, "room", "", "a", 1), 1);
  TOOK(read_of("room", 0, 9), "1=a | 1-1");
  rig_reopen(r);
  TOOK(read_of("room", 0, 9), "| 0-0");
}

static void test_sqlite_file_is_as_promised(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  put(r, "room", "", "a", 1);
  rig_shut(r);
  assert_int_equal(rig_sql(r, "PRAGMA user_version"), 2);
  assert_int_equal(rig_sql(r, "PRAGMA application_id"), 0x72696c6c);
  assert_int_equal(rig_sql(r, "SELECT journal_mode = 'wal' FROM "
                              "pragma_journal_mode"),
                   1);
  assert_int_equal(rig_sql(r, "SELECT integrity_check = 'ok' FROM "
                              "pragma_integrity_check"),
                   1);
}

static void test_sqlite_newer_schema_is_refused(void **state) {
  rig *r = *state;

  rig_open(r, NULL);
  put(r, "room", "", "a", 1);
  rig_shut(r);
  rig_sql(r, "PRAGMA user_version=3");
  assert_int_equal(rig_try(r, NULL), RILL_ERR_STATE);
  rig_shut(r);
  assert_int_equal(rig_sql(r, "PRAGMA user_version"), 3);
  rig_sql(r, "PRAGMA user_version=2");
  rig_open(r, NULL);
  TOOK(read_of("room", 0, 9), "1=a | 1-1");
}

/* Version 1 had cursors, and its rows would be misread. */
static void test_sqlite_unreleased_schema_is_refused(void **state) {
  rig *r = *state;

  rig_sql(r, "PRAGMA application_id=0x72696c6c; PRAGMA user_version=1;"
             "CREATE TABLE meta (epoch TEXT NOT NULL, cursor INTEGER);"
             "INSERT INTO meta VALUES ('01234567', 7);"
             "CREATE TABLE records (log, offset, cursor, time_ms, id, data);");
  assert_int_equal(rig_try(r, NULL), RILL_ERR_STATE);
  assert_non_null(strstr(r->error, "no release"));
  rig_shut(r);
  assert_int_equal(rig_sql(r, "PRAGMA user_version"), 1); /* as it was */
  assert_int_equal(rig_sql(r, "SELECT cursor FROM meta"), 7);
  assert_int_equal(rig_sql(r, "SELECT count(*) FROM sqlite_schema"), 2);
  rig_sql(r, "PRAGMA user_version=-1");
  assert_int_equal(rig_try(r, NULL), RILL_ERR_STATE);
}

/* Version 0 had nothing but its stamp, and here a table of somebody's. */
static void test_sqlite_older_schema_is_migrated(void **state) {
  rig *r = *state;

  rig_sql(r, "PRAGMA application_id=0x72696c6c; CREATE TABLE own(x);"
             "INSERT INTO own VALUES (42)");
  rig_open(r, NULL);
  assert_int_equal(put(r, "room", "", "a", 1), 1);
  rig_shut(r);
  assert_int_equal(rig_sql(r, "PRAGMA user_version"), 2);
  assert_int_equal(rig_sql(r, "SELECT x FROM own"), 42);
}

static void test_sqlite_migration_is_all_or_nothing(void **state) {
  rig *r = *state;

  /* the third table of the step is there already */
  rig_sql(r, "PRAGMA application_id=0x72696c6c; CREATE TABLE records(x)");
  assert_int_equal(rig_try(r, NULL), RILL_ERR_IO);
  assert_non_null(strstr(r->error, "records"));
  rig_shut(r);
  assert_int_equal(rig_sql(r, "PRAGMA user_version"), 0);
  assert_int_equal(rig_sql(r, "SELECT count(*) FROM sqlite_schema"), 1);
}

static void write_file(rig *r, const char *bytes, size_t len, long from) {
  FILE *f = fopen(r->path, from < 0 ? "wb" : "r+b");

  MUST(f != NULL && (from < 0 || fseek(f, from, SEEK_SET) == 0));
  MUST(fwrite(bytes, 1, len, f) == len);
  fclose(f);
}

static void test_sqlite_other_files_are_refused(void **state) {
  rig *r = *state;
  char noise[8192], now[sizeof noise];
  FILE *f;

  memset(noise, 'x', sizeof noise);
  write_file(r, noise, sizeof noise, -1);
  assert_int_equal(rig_try(r, NULL), RILL_ERR_IO);
  rig_shut(r);
  f = fopen(r->path, "rb"); /* and it is as it was */
  assert_int_equal(fread(now, 1, sizeof now, f), sizeof now);
  fclose(f);
  assert_memory_equal(now, noise, sizeof noise);
  unlink(r->path);

  rig_sql(r, "CREATE TABLE theirs(x)"); /* another program's */
  assert_int_equal(rig_try(r, NULL), RILL_ERR_IO);
  assert_non_null(strstr(r->error, "another program"));
  rig_shut(r);
  assert_int_equal(rig_sql(r, "SELECT count(*) FROM sqlite_schema"), 1);
  assert_int_equal(rig_sql(r, "SELECT journal_mode = 'delete' FROM "
                              "pragma_journal_mode"),
                   1);
  unlink(r->path);
  rig_sql(r, "PRAGMA application_id=7; PRAGMA user_version=1");
  assert_int_equal(rig_try(r, NULL), RILL_ERR_IO);
  rig_shut(r);

  snprintf(r->path, sizeof r->path, "%s/none/store.db", r->dir);
  assert_int_equal(rig_try(r, NULL), RILL_ERR_IO);
  rig_shut(r);
  r->path[0] = '\0';
  assert_int_equal(rig_try(r, NULL), RILL_ERR_IO);
  rig_shut(r);
}

static void test_sqlite_empty_file_is_a_new_database(void **state) {
  rig *r = *state;

  write_file(r, "", 0, -1);
  rig_open(r, NULL);
  assert_int_equal(put(r, "room", "", "a", 1), 1);
}

/* A page that is broken: an error, never an empty room. */
static void test_sqlite_corrupt_pages_are_errors(void **state) {
  rig *r = *state;
  char noise[4096], line[512];
  rill_sqlite_stats stats;
  job j;
  int64_t page;

  rig_open(r, NULL);
  put(r, "room", "", "a", 1);
  rig_shut(r);
  page = rig_sql(r, "SELECT rootpage FROM sqlite_schema WHERE name='records'");
  memset(noise, 0x5a, sizeof noise);
  write_file(r, noise, sizeof noise, (long)(page - 1) * 4096);
  rig_open(r, NULL);
  j = read_of("room", 0, 9);
  assert_int_equal(rig_do(r, &j), RILL_ERR_IO);
  assert_int_equal(j.nrecords, 0);
  assert_int_equal(put(r, "room", "", "b", 2), RILL_ERR_IO);
  rill_sqlite_stats_read(r->store, &stats);
  assert_int_equal(stats.failures, 2);
  assert_non_null(strstr(stats.error, "malformed"));
  do_ok(r, set_of("key", 1, "other tables work on"));
  rig_shut(r);
  /* and where the row of the log is not what the records are */
  unlink(r->path);
  rig_open(r, NULL);
  put(r, "room", "", "a", 1);
  rig_shut(r);
  snprintf(line, sizeof line, "UPDATE logs SET last = 0, count = 0");
  rig_sql(r, line);
  rig_open(r, NULL);
  assert_int_equal(put(r, "room", "", "b", 2), RILL_ERR_IO);
}

static void test_sqlite_one_program_at_a_time(void **state) {
  rig *r = *state;
  rig second = *r;
  rill_sqlite_opts opts = {.busy_ms = 50};

  rig_open(r, NULL);
  pthread_mutex_init(&second.lock, NULL);
  pthread_cond_init(&second.cond, NULL);
  assert_int_equal(rig_try(&second, &opts), RILL_ERR_IO);
  assert_non_null(strstr(second.error, "another program uses"));
  rig_shut(&second);
  assert_int_equal(put(r, "room", "", "a", 1), 1);
  rig_shut(r);
  rig_open(&second, &opts); /* now it is free */
  assert_string_equal(took(&second, read_of("room", 0, 9)), "1=a | 1-1");
  rig_shut(&second);
}

static void *free_later(void *arg) {
  struct timespec t = {.tv_nsec = 150000000};

  nanosleep(&t, NULL);
  ((rill_store *)arg)->free(arg);
  return NULL;
}

/* The one before is just about to end. */
static void test_sqlite_waits_for_the_lock(void **state) {
  rig *r = *state;
  pthread_t thread;
  rill_store *first;

  rig_open(r, NULL);
  put(r, "room", "", "a", 1);
  first = r->store;
  r->store = NULL;
  assert_int_equal(pthread_create(&thread, NULL, free_later, first), 0);
  rill_hub_free(r->hub);
  rig_open(r, NULL);
  pthread_join(thread, NULL);
  TOOK(read_of("room", 0, 9), "1=a | 1-1");
}

static void *open_one(void *arg) {
  rig *r = arg;
  int rv = rig_try(r, NULL);

  if (rv == 0) {
    put(r, "room", "", "x", 1);
    rig_shut(r);
  }
  return (void *)(intptr_t)rv;
}

/* Two that make the database at once: each gets its turn. */
static void test_sqlite_opened_by_two_at_once(void **state) {
  rig *r = *state;
  rig two[2];
  pthread_t threads[2];
  void *rv;

  for (int i = 0; i < 2; i++) {
    two[i] = *r;
    pthread_mutex_init(&two[i].lock, NULL);
    pthread_cond_init(&two[i].cond, NULL);
    pthread_create(&threads[i], NULL, open_one, &two[i]);
  }
  for (int i = 0; i < 2; i++) {
    pthread_join(threads[i], &rv);
    assert_null(rv);
  }
  rig_open(r, NULL);
  TOOK(read_of("room", 0, 9), "1=x 2=x | 1-2");
}

static void test_sqlite_bad_options(void **state) {
  rig *r = *state;
  rill_sqlite_opts opts = {.sync = (rill_sqlite_sync)7};

  assert_int_equal(rig_try(r, &opts), RILL_ERR_ARG);
  rig_shut(r);
  opts = (rill_sqlite_opts){
      .sync = RILL_SQLITE_EXTRA, .busy_ms = UINT32_MAX, .batch = UINT32_MAX};
  rig_open(r, &opts);
  assert_int_equal(put(r, "room", "", "a", 1), 1);
}

/*
 * Freed with operations in every state: none is completed afterwards, what
 * is waiting is dropped, and what was posted is given back with the hub.
 */
static void test_sqlite_freed_at_work(void **state) {
  rig *r = *state;
  static job jobs[400];
  rill_sqlite_opts opts = {.batch = 16, .sync = RILL_SQLITE_NORMAL};

  for (int round = 0; round < 12; round++) {
    uint64_t seen;
    rig_open(r, &opts);
    for (size_t i = 0; i < 400; i++) {
      jobs[i] = i % 4 == 3 ? read_of("room", 0, 5)
                           : append_of("room", "", "x", i + 1);
      rig_submit(r, &jobs[i]);
    }
    for (int i = 0; i < round && !jobs[399].complete; i++)
      rig_turn(r);
    seen = completions;
    if (round % 2) {
      struct timespec t = {.tv_nsec = 3000000}; /* some are done, untold */
      nanosleep(&t, NULL);
    }
    rig_shut(r);
    assert_true(completions == seen);
    for (size_t i = 0; i < 400; i++)
      if (jobs[i].complete)
        job_free(&jobs[i]);
  }
  rig_open(r, NULL);
  assert_true(put(r, "room", "", "x", 1) > 0);
}

static void test_sqlite_freed_unused(void **state) {
  rig *r = *state;
  rill_store *store;

  assert_int_equal(rill_sqlite_open(&store, r->path, NULL, NULL, 0), 0);
  store->free(store); /* no hub has taken it */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_sqlite_numbers_records),
      TEST(test_sqlite_reads_from_anywhere),
      TEST(test_sqlite_an_id_comes_once),
      TEST(test_sqlite_appends_on_condition),
      TEST(test_sqlite_trims_by_count),
      TEST(test_sqlite_trims_by_bytes),
      TEST(test_sqlite_trims_by_age),
      TEST(test_sqlite_what_is_too_old_is_not_read),
      TEST(test_sqlite_trims_many_at_once),
      TEST(test_sqlite_removes),
      TEST(test_sqlite_values),
      TEST(test_sqlite_refuses_what_it_cannot_hold),
      TEST(test_sqlite_takes_any_bytes),
      TEST(test_sqlite_big_records),
      TEST(test_sqlite_many_logs),
      TEST(test_sqlite_keeps_the_order),
      TEST(test_sqlite_submits_when_completed),
      TEST(test_sqlite_keeps_all_when_reopened),
      TEST(test_sqlite_in_memory),
      TEST(test_sqlite_file_is_as_promised),
      TEST(test_sqlite_newer_schema_is_refused),
      TEST(test_sqlite_unreleased_schema_is_refused),
      TEST(test_sqlite_older_schema_is_migrated),
      TEST(test_sqlite_migration_is_all_or_nothing),
      TEST(test_sqlite_other_files_are_refused),
      TEST(test_sqlite_empty_file_is_a_new_database),
      TEST(test_sqlite_corrupt_pages_are_errors),
      TEST(test_sqlite_one_program_at_a_time),
      TEST(test_sqlite_waits_for_the_lock),
      TEST(test_sqlite_opened_by_two_at_once),
      TEST(test_sqlite_bad_options),
      TEST(test_sqlite_freed_at_work),
      TEST(test_sqlite_freed_unused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
