/*
 * sqlite.h - the inside of the SQLite store.
 *
 * From below: rill__db is the open database with its statements, and knows
 * the logs that were used last (sqlite.c, sqlite_log.c); an operation is
 * done in a transaction that runs (sqlite_ops.c); a batch of operations is
 * one transaction, or several where that fails (sqlite_batch.c); and a
 * thread takes batches from the hub and gives them back (sqlite_thread.c).
 *
 * All memory of the store's own is SQLite's (sqlite3_malloc64).
 */
#ifndef RILL__SQLITE_H
#define RILL__SQLITE_H

#include <sqlite3.h>

#include <rill/sqlite.h>

#define RILL__SQLITE_APPLICATION 0x72696c6c /* "rill" */
#define RILL__SQLITE_SCHEMA 2
#define RILL__SQLITE_LOGS 64
#define RILL__SQLITE_ERROR 160

/* The statements; their text is in sqlite.c. */
typedef enum rill__sql {
  RILL__SQL_BEGIN,
  RILL__SQL_COMMIT,
  RILL__SQL_LOG_FIND,
  RILL__SQL_LOG_ADD,
  RILL__SQL_LOG_SAVE,
  RILL__SQL_INSERT,
  RILL__SQL_ID_FIND,
  RILL__SQL_OLDEST,
  RILL__SQL_TRIM,
  RILL__SQL_BYTES_OF,
  RILL__SQL_REMOVE,
  RILL__SQL_READ,
  RILL__SQL_READ_BACK,
  RILL__SQL_SET,
  RILL__SQL_VERSION,
  RILL__SQL_GET,
  RILL__SQL_COUNT
} rill__sql;

/*
 * A row of the table logs.  |count| and |bytes| are of the records that are
 * there, |first| the number of the oldest of them, |oldest_ms| its time.
 * Where none is there, |first| is |last| + 1.
 */
typedef struct rill__log {
  int64_t id; /* 0: this place is empty */
  char *name;
  size_t len;
  uint64_t first, last, count, bytes, oldest_ms;
  bool changed; /* and not yet written to the table */
} rill__log;

/*
 * |logs| is good as long as nobody else writes, which the lock on the file
 * sees to, and until a transaction is rolled back.
 */
typedef struct rill__db {
  const char *path;
  rill_sqlite_opts opts;
  bool in_memory;
  bool looks_only; /* a READ passes over what is too old */
  sqlite3 *db;     /* NULL: could not be opened again */
  sqlite3_stmt *sql[RILL__SQL_COUNT];
  rill__log logs[RILL__SQLITE_LOGS];
  char epoch[RILL_STORE_EPOCH + 1];
  uint64_t transactions, commit_us_sum, commit_us_max;
  uint32_t commit_us;             /* of the last commit */
  char error[RILL__SQLITE_ERROR]; /* of the last that failed */
} rill__db;

/* |path| and |opts| are set, the rest is zero.  RILL_ERR_*; see |error|. */
int rill__db_open(rill__db *db);
/*
 * Lets go of everything and opens the same database once more, which must
 * be there and have the same epoch.
 */
int rill__db_reopen(rill__db *db);
void rill__db_close(rill__db *db);
/* Keeps what SQLite says; returns |rc|. */
int rill__db_failed(rill__db *db, int rc);

/* Results of these are SQLite's. */

/* sqlite3_reset gives the error of the step before; 0 where it was fine. */
int rill__db_run(rill__db *db, rill__sql which);
/* Ends a reading that came to |rc|: rows and their end are fine. */
int rill__db_end(rill__db *db, rill__sql which, int rc);
void rill__db_bind_u64(rill__db *db, rill__sql which, int at, uint64_t n);
int rill__db_bind_str(rill__db *db, rill__sql which, int at, rill_str s);
uint64_t rill__db_u64(rill__db *db, rill__sql which, int column);

/* NULL in |*out| where there is no such log. */
int rill__log_find(rill__db *db, rill_str name, rill__log **out);
int rill__log_add(rill__db *db, rill_str name, rill__log **out);
/* Writes what has changed: before a commit. */
int rill__logs_save(rill__db *db);
/* After a rollback. */
void rill__logs_forget(rill__db *db);

/*
 * Does one operation in the transaction that runs.  SQLITE_OK: its status
 * and results are set.  Anything else: the transaction must be rolled back.
 */
int rill__op_do(rill__db *db, rill_store_op *op);
/* Frees what rill__op_do left in op->own. */
void rill__op_free_results(rill_store_op *op);

/*
 * Does and commits |op| and those behind it.  What has status 0 afterwards
 * is on the disk.
 */
void rill__batch_do(rill__db *db, rill_store_op *op);

#endif
