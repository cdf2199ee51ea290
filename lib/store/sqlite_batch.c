/*
 * sqlite_batch.c - operations in transactions.
 *
 * A batch is tried as one transaction, without savepoints: they would cost
 * each operation more than all else.  Where an operation fails, all of it is
 * rolled back and each is done in a transaction of its own, so that only
 * what fails by itself fails.  Where the commit fails, all that wanted to
 * write has failed:
 *
 *   SQLITE_FULL   the WAL could not grow.  Its last frame, which would make
 *                 the others count, was not written: RILL_ERR_FULL.
 *   other         nobody knows: RILL_ERR_IO.  After a sync that failed the
 *                 system's own memory of the file may be wrong, so the
 *                 database is opened anew.
 *
 * What only reads saw what was not kept, and reads again.  A READ may have
 * let go of what is too old: by itself it passes over that without writing,
 * so a disk that is full, or takes no more, can be read.
 */
#include <time.h>

#include "store/sqlite.h"

static int rill_error(int rc) {
  switch (rc) {
  case SQLITE_FULL:
    return RILL_ERR_FULL;
  case SQLITE_NOMEM:
    return RILL_ERR_NOMEM;
  case SQLITE_TOOBIG:
    return RILL_ERR_ARG;
  default:
    return RILL_ERR_IO;
  }
}

static bool reads_only(const rill_store_op *op) {
  return op->kind == RILL_STORE_READ || op->kind == RILL_STORE_GET;
}

static void fail(rill_store_op *op, int status) {
  rill__op_free_results(op);
  op->status = status;
  op->first = op->last = 0;
  op->records = NULL;
  op->nrecords = 0;
  if (op->kind == RILL_STORE_GET)
    op->value = (rill_str){NULL, 0};
}

static void roll_back(rill__db *db) {
  if (!sqlite3_get_autocommit(db->db)) /* some errors do it by themselves */
    sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
  rill__logs_forget(db);
}

/* Is the connection to be trusted after |rc|? */
static void look_after(rill__db *db, int rc) {
  if (db->in_memory)
    return; /* there would be nothing to open */
  if (rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN ||
      !sqlite3_get_autocommit(db->db))
    rill__db_reopen(db);
}

static uint64_t now_us(void) {
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int commit(rill__db *db) {
  uint64_t from = now_us(), took;
  int rc = rill__db_run(db, RILL__SQL_COMMIT);

  took = now_us() - from;
  if (rc != SQLITE_OK)
    return rc;
  db->transactions++;
  db->commit_us = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
  db->commit_us_sum += took;
  if (took > db->commit_us_max)
    db->commit_us_max = took;
  return SQLITE_OK;
}

/*
 * From |op| to |end|, in one transaction.  *committing tells where it
 * failed; it is rolled back then.
 */
static int attempt(rill__db *db, rill_store_op *op, const rill_store_op *end,
                   bool *committing) {
  int rc = rill__db_run(db, RILL__SQL_BEGIN);

  *committing = false;
  for (; rc == SQLITE_OK && op != end; op = op->next)
    rc = rill__op_do(db, op);
  if (rc == SQLITE_OK)
    rc = rill__logs_save(db);
  if (rc == SQLITE_OK) {
    *committing = true;
    rc = commit(db);
  }
  if (rc != SQLITE_OK)
    roll_back(db);
  return rc;
}

/* One by itself, after it has failed with others. */
static void alone(rill__db *db, rill_store_op *op) {
  bool committing;
  int rc;

  db->looks_only = reads_only(op);
  rc = attempt(db, op, op->next, &committing);
  db->looks_only = false;
  if (rc == SQLITE_OK)
    return;
  look_after(db, rc);
  /* A commit that was short of memory may have written all the same. */
  fail(op, committing && rc == SQLITE_NOMEM ? RILL_ERR_IO : rill_error(rc));
}

void rill__batch_do(rill__db *db, rill_store_op *first) {
  bool committing = false;
  int rc = SQLITE_IOERR;

  if (db->db != NULL || rill__db_reopen(db) == 0) {
    rc = attempt(db, first, NULL, &committing);
    if (rc == SQLITE_OK)
      return;
    for (rill_store_op *op = first; op != NULL; op = op->next)
      rill__op_free_results(op);
    look_after(db, rc);
  }
  for (rill_store_op *op = first; op != NULL; op = op->next)
    if (committing && !reads_only(op))
      fail(op, rc == SQLITE_FULL ? RILL_ERR_FULL : RILL_ERR_IO);
    else if (db->db != NULL)
      alone(db, op);
    else
      fail(op, RILL_ERR_IO);
}
