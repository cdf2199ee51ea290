/*
 * sqlite.c - the database: opening, schema, statements.
 *
 * A database of ours has our application_id; its user_version is the version
 * of the schema, from FIRST on, or 0: it has no tables yet.  steps[] leads
 * from there to the first and from each to the next, all in one transaction.
 * Nothing is written to a file before it is known to be ours or empty.
 *
 * The lock on the file is exclusive from the first look until the end:
 * SQLite then keeps the index of the WAL in memory, and what this program
 * knows about the tables stays true.
 */
#include "store/sqlite.h"

#include <string.h>
#include <time.h>

/* A WAL that has grown beyond this in one transaction is cut again. */
#define WAL_KEPT "16777216"
/* Two programs that open at once could wait for each other: see try_for. */
#define TRY_MS 40

/* Version 1, with other tables, was in no release. */
#define FIRST 2
static const char *const steps[RILL__SQLITE_SCHEMA - FIRST + 1] = {
    "CREATE TABLE meta (epoch TEXT NOT NULL);"
    "INSERT INTO meta VALUES (lower(hex(randomblob(4))));"
    "CREATE TABLE logs ("
    "  id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
    "  first INTEGER NOT NULL, last INTEGER NOT NULL,"
    "  count INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    "  oldest_ms INTEGER NOT NULL);"
    "CREATE TABLE records ("
    "  log INTEGER NOT NULL, offset INTEGER NOT NULL,"
    "  time_ms INTEGER NOT NULL, id BLOB NOT NULL, data BLOB NOT NULL,"
    "  PRIMARY KEY (log, offset)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX records_id ON records (log, id) WHERE id <> x'';"
    "CREATE TABLE \"values\" ("
    "  name BLOB PRIMARY KEY, version INTEGER NOT NULL,"
    "  value BLOB NOT NULL) WITHOUT ROWID;",
};

#define COLUMNS "SELECT offset, time_ms, id, data FROM records "
static const char *const text[RILL__SQL_COUNT] = {
    [RILL__SQL_BEGIN] = "BEGIN IMMEDIATE",
    [RILL__SQL_COMMIT] = "COMMIT",
    [RILL__SQL_LOG_FIND] =
        "SELECT id, first, last, count, bytes, oldest_ms FROM logs "
        "WHERE name = ?1",
    [RILL__SQL_LOG_ADD] =
        "INSERT INTO logs (name, first, last, count, bytes, oldest_ms) "
        "VALUES (?1, 1, 0, 0, 0, 0)",
    [RILL__SQL_LOG_SAVE] =
        "UPDATE logs SET first = ?2, last = ?3, count = ?4, bytes = ?5, "
        "oldest_ms = ?6 WHERE id = ?1",
    [RILL__SQL_INSERT] = "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5)",
    [RILL__SQL_ID_FIND] = "SELECT offset FROM records "
                          "WHERE log = ?1 AND id = ?2 AND id <> x''",
    [RILL__SQL_OLDEST] = "SELECT offset, time_ms, length(data) "
                         "FROM records WHERE log = ?1 ORDER BY offset",
    [RILL__SQL_TRIM] = "DELETE FROM records WHERE log = ?1 AND offset < ?2",
    [RILL__SQL_BYTES_OF] =
        "SELECT length(data) FROM records WHERE log = ?1 AND offset = ?2",
    [RILL__SQL_REMOVE] = "DELETE FROM records WHERE log = ?1 AND offset = ?2",
    [RILL__SQL_READ] =
        COLUMNS "WHERE log = ?1 AND offset > ?2 ORDER BY offset LIMIT ?3",
    [RILL__SQL_READ_BACK] =
        COLUMNS "WHERE log = ?1 AND offset < ?2 AND offset >= ?4 "
                "ORDER BY offset DESC LIMIT ?3",
    [RILL__SQL_SET] =
        "INSERT INTO \"values\" VALUES (?1, ?2, ?3) ON CONFLICT (name) "
        "DO UPDATE SET version = excluded.version, value = excluded.value",
    [RILL__SQL_VERSION] = "SELECT version FROM \"values\" WHERE name = ?1",
    [RILL__SQL_GET] = "SELECT version, value FROM \"values\" WHERE name = ?1",
};

int rill__db_failed(rill__db *db, int rc) {
  if (rc != SQLITE_OK)
    sqlite3_snprintf(sizeof db->error, db->error, "%s",
                     db->db != NULL ? sqlite3_errmsg(db->db)
                                    : sqlite3_errstr(rc));
  return rc;
}

int rill__db_run(rill__db *db, rill__sql which) {
  int rc = sqlite3_step(db->sql[which]);

  sqlite3_reset(db->sql[which]);
  return rc == SQLITE_DONE ? SQLITE_OK : rill__db_failed(db, rc);
}

int rill__db_end(rill__db *db, rill__sql which, int rc) {
  if (rc == SQLITE_ROW || rc == SQLITE_DONE)
    rc = SQLITE_OK;
  rill__db_failed(db, rc);
  sqlite3_reset(db->sql[which]);
  return rc;
}

/* Numbers here are below 2^63, except where "above all" is meant. */
void rill__db_bind_u64(rill__db *db, rill__sql which, int at, uint64_t n) {
  sqlite3_bind_int64(db->sql[which], at,
                     n > INT64_MAX ? INT64_MAX : (int64_t)n);
}

/* Borrowed until the statement is bound anew. */
int rill__db_bind_str(rill__db *db, rill__sql which, int at, rill_str s) {
  return rill__db_failed(db, sqlite3_bind_blob64(db->sql[which], at,
                                                 s.len > 0 ? s.ptr : "", s.len,
                                                 SQLITE_STATIC));
}

uint64_t rill__db_u64(rill__db *db, rill__sql which, int column) {
  return (uint64_t)sqlite3_column_int64(db->sql[which], column);
}

static int exec(rill__db *db, const char *sql) {
  return rill__db_failed(db, sqlite3_exec(db->db, sql, NULL, NULL, NULL));
}

/* The first column of the first row, as a number. */
static int ask(rill__db *db, const char *sql, int64_t *out) {
  sqlite3_stmt *stmt = NULL;
  int rc = sqlite3_prepare_v2(db->db, sql, -1, &stmt, NULL);

  if (rc == SQLITE_OK) {
    rc = sqlite3_step(stmt);
    *out = sqlite3_column_int64(stmt, 0);
    if (rc == SQLITE_ROW)
      rc = SQLITE_OK;
    else if (rc == SQLITE_DONE)
      rc = SQLITE_CORRUPT;
  }
  rill__db_failed(db, rc);
  sqlite3_finalize(stmt);
  return rc;
}

static int rill_error(int rc) {
  return rc == SQLITE_OK      ? 0
         : rc == SQLITE_NOMEM ? RILL_ERR_NOMEM
                              : RILL_ERR_IO;
}

static int say(rill__db *db, int error, const char *what) {
  sqlite3_snprintf(sizeof db->error, db->error, "%s", what);
  return error;
}

/* Settings of the connection; none of them is written to the file. */
static int configure(rill__db *db) {
  static const char *const sync[] = {
      [RILL_SQLITE_FULL] = "PRAGMA synchronous=FULL",
      [RILL_SQLITE_NORMAL] = "PRAGMA synchronous=NORMAL",
      [RILL_SQLITE_EXTRA] = "PRAGMA synchronous=EXTRA",
  };
  int rc = exec(db, "PRAGMA locking_mode=EXCLUSIVE;"
                    "PRAGMA foreign_keys=OFF;"
                    "PRAGMA trusted_schema=OFF;"
                    "PRAGMA cell_size_check=ON;"
                    "PRAGMA temp_store=MEMORY;"
                    "PRAGMA journal_size_limit=" WAL_KEPT);

  return rc == SQLITE_OK ? exec(db, sync[db->opts.sync]) : rc;
}

/* Whose is it, and of which version?  0 for an empty file. */
static int identify(rill__db *db, bool create, int64_t *version) {
  int64_t application = 0, tables = 0;
  int rc = ask(db, "PRAGMA application_id", &application);

  if (rc == SQLITE_OK)
    rc = ask(db, "PRAGMA user_version", version);
  if (rc == SQLITE_OK)
    rc = ask(db, "SELECT count(*) FROM sqlite_schema", &tables);
  if (rc != SQLITE_OK)
    return rill_error(rc);
  if (application == RILL__SQLITE_APPLICATION) {
    if (*version > RILL__SQLITE_SCHEMA)
      return say(db, RILL_ERR_STATE,
                 "the database was written by a newer version of rill");
    if (*version < FIRST && *version != 0)
      return say(db, RILL_ERR_STATE,
                 "the database was written by no release of rill");
    return 0;
  }
  if (!create || application != 0 || *version != 0 || tables != 0)
    return say(db, RILL_ERR_IO, "it is a database of another program");
  return 0;
}

/* Inside of a transaction. */
static int migrate(rill__db *db, int64_t version) {
  char stamp[80];
  int rc = SQLITE_OK;

  if (version == RILL__SQLITE_SCHEMA)
    return SQLITE_OK;
  for (int64_t i = version == 0 ? 0 : version - FIRST + 1;
       rc == SQLITE_OK && i <= RILL__SQLITE_SCHEMA - FIRST; i++)
    rc = exec(db, steps[i]);
  sqlite3_snprintf(sizeof stamp, stamp,
                   "PRAGMA application_id=%d; PRAGMA user_version=%d",
                   RILL__SQLITE_APPLICATION, RILL__SQLITE_SCHEMA);
  return rc == SQLITE_OK ? exec(db, stamp) : rc;
}

static int wal_mode(rill__db *db) {
  sqlite3_stmt *stmt = NULL;
  int rc =
      sqlite3_prepare_v2(db->db, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);
  bool wal = false;

  if (rc == SQLITE_OK) {
    rc = sqlite3_step(stmt);
    wal = rc == SQLITE_ROW &&
          strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
    if (rc == SQLITE_ROW)
      rc = SQLITE_OK;
  }
  rill__db_failed(db, rc);
  sqlite3_finalize(stmt);
  if (rc == SQLITE_OK && !wal && !db->in_memory) {
    say(db, 0, "the file system allows no write-ahead log");
    return SQLITE_CANTOPEN;
  }
  return rc;
}

/* What the tables say of the whole store. */
static int load(rill__db *db) {
  sqlite3_stmt *stmt = NULL;
  int rc =
      sqlite3_prepare_v2(db->db, "SELECT epoch FROM meta", -1, &stmt, NULL);

  if (rc == SQLITE_OK) {
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == RILL_STORE_EPOCH) {
      memcpy(db->epoch, sqlite3_column_text(stmt, 0), RILL_STORE_EPOCH);
      rc = SQLITE_OK;
    } else if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
      rc = SQLITE_CORRUPT;
    }
  }
  rill__db_failed(db, rc);
  sqlite3_finalize(stmt);
  return rc;
}

static int prepare(rill__db *db) {
  int rc = SQLITE_OK;

  for (size_t i = 0; rc == SQLITE_OK && i < RILL__SQL_COUNT; i++)
    rc = rill__db_failed(db, sqlite3_prepare_v3(db->db, text[i], -1,
                                                SQLITE_PREPARE_PERSISTENT,
                                                &db->sql[i], NULL));
  return rc;
}

/* From an open connection to a database that is ready, or SQLite's error in
 * |*rc| and ours returned. */
static int set_up(rill__db *db, bool create, int *rc) {
  int64_t version = 0;
  int rv;

  *rc = configure(db);
  if (*rc == SQLITE_OK)
    *rc = exec(db, "BEGIN EXCLUSIVE");
  if (*rc != SQLITE_OK)
    return rill_error(*rc);
  rv = identify(db, create, &version);
  if (rv != 0)
    return rv;
  *rc = exec(db, "COMMIT");
  if (*rc == SQLITE_OK)
    *rc = wal_mode(db);
  if (*rc == SQLITE_OK)
    *rc = exec(db, "BEGIN EXCLUSIVE");
  if (*rc == SQLITE_OK)
    *rc = migrate(db, version);
  if (*rc == SQLITE_OK)
    *rc = exec(db, "COMMIT");
  if (*rc == SQLITE_OK)
    *rc = load(db);
  if (*rc == SQLITE_OK)
    *rc = prepare(db);
  return rill_error(*rc);
}

static void let_go(rill__db *db) {
  for (size_t i = 0; i < RILL__SQL_COUNT; i++) {
    sqlite3_finalize(db->sql[i]);
    db->sql[i] = NULL;
  }
  sqlite3_close(db->db);
  db->db = NULL;
  rill__logs_forget(db);
}

/*
 * One connection that waits for a lock keeps what it has: of two that open
 * at the same time each could hold what the other wants.  So it waits only
 * for a while and then lets go.
 */
static int try_for(rill__db *db, bool create, int *rc) {
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  int rv;

  *rc = sqlite3_open_v2(db->path, &db->db,
                        flags | (create ? SQLITE_OPEN_CREATE : 0), NULL);
  if (*rc == SQLITE_OK)
    *rc = sqlite3_busy_timeout(db->db, TRY_MS);
  rill__db_failed(db, *rc);
  rv = rill_error(*rc);
  if (rv == 0)
    rv = set_up(db, create, rc);
  if (rv == 0)
    sqlite3_busy_timeout(db->db, (int)db->opts.busy_ms);
  else
    let_go(db);
  return rv;
}

static int open_within(rill__db *db, bool create) {
  uint32_t waited = 0;
  uint8_t some = 0;
  int rc, rv = try_for(db, create, &rc);

  while (rv != 0 && rc == SQLITE_BUSY && waited < db->opts.busy_ms) {
    sqlite3_randomness(1, &some);
    sqlite3_sleep(5 + some % 16);
    waited += TRY_MS + 5 + some % 16;
    rv = try_for(db, create, &rc);
  }
  if (rv != 0 && rc == SQLITE_BUSY)
    say(db, 0, "another program uses the database");
  return rv;
}

int rill__db_open(rill__db *db) {
  db->in_memory = strcmp(db->path, ":memory:") == 0;
  if (db->path[0] == '\0') /* would be a temporary file of SQLite's */
    return say(db, RILL_ERR_IO, "a path is needed");
  return open_within(db, true);
}

int rill__db_reopen(rill__db *db) {
  char epoch[sizeof db->epoch];
  char error[sizeof db->error];
  int rv;

  memcpy(epoch, db->epoch, sizeof epoch);
  memcpy(error, db->error, sizeof error);
  /* What is in the WAL may not be what the disk has: it is not moved on. */
  if (db->db != NULL)
    sqlite3_db_config(db->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  let_go(db);
  rv = open_within(db, false);
  if (rv == 0 && strcmp(epoch, db->epoch) != 0)
    rv = say(db, RILL_ERR_IO, "the file is not the one it was");
  /*
   * After a sync that failed the system may take for written what is not.
   * Copying the WAL to the database writes and syncs it once more, elsewhere:
   * what can be read from here on is on the disk.
   */
  if (rv == 0)
    rv = rill_error(exec(db, "PRAGMA wal_checkpoint(TRUNCATE)"));
  if (rv == 0) {
    memcpy(db->error, error, sizeof error);
    return 0;
  }
  memcpy(db->epoch, epoch, sizeof epoch);
  let_go(db);
  return rv;
}

void rill__db_close(rill__db *db) {
  let_go(db);
}
