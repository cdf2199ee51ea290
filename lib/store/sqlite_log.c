/*
 * sqlite_log.c - the rows of the table logs that are in use.
 *
 * Many appends in a row are for few logs.  Their rows are kept here, each at
 * the place that its name hashes to, and written once before the commit, or
 * when another log wants the place.
 */
#include <string.h>

#include "store/sqlite.h"

/*
 * FNV-1a.  Who chooses names that share a place makes them slower, as slow
 * as if nothing was kept; no more.
 */
static rill__log *place_of(rill__db *db, rill_str name) {
  uint32_t hash = 2166136261u;

  for (size_t i = 0; i < name.len; i++)
    hash = (hash ^ (uint8_t)name.ptr[i]) * 16777619u;
  return &db->logs[(hash ^ hash >> 16) % RILL__SQLITE_LOGS];
}

static bool is(const rill__log *log, rill_str name) {
  return log->id != 0 && log->len == name.len &&
         (name.len == 0 || memcmp(log->name, name.ptr, name.len) == 0);
}

static int save(rill__db *db, rill__log *log) {
  const rill__sql q = RILL__SQL_LOG_SAVE;
  int rc;

  if (log->id == 0 || !log->changed)
    return SQLITE_OK;
  sqlite3_bind_int64(db->sql[q], 1, log->id);
  rill__db_bind_u64(db, q, 2, log->first);
  rill__db_bind_u64(db, q, 3, log->last);
  rill__db_bind_u64(db, q, 4, log->count);
  rill__db_bind_u64(db, q, 5, log->bytes);
  rill__db_bind_u64(db, q, 6, log->oldest_ms);
  rc = rill__db_run(db, q);
  log->changed = rc != SQLITE_OK;
  return rc;
}

/* Makes the place empty, and gives it the name. */
static int take_place(rill__db *db, rill__log *log, rill_str name) {
  int rc = save(db, log);
  char *copy;

  if (rc != SQLITE_OK)
    return rc;
  log->id = 0;
  copy = sqlite3_realloc64(log->name, name.len + 1);
  if (copy == NULL)
    return SQLITE_NOMEM;
  if (name.len > 0)
    memcpy(copy, name.ptr, name.len);
  log->name = copy;
  log->len = name.len;
  return SQLITE_OK;
}

int rill__log_find(rill__db *db, rill_str name, rill__log **out) {
  const rill__sql q = RILL__SQL_LOG_FIND;
  rill__log *log = place_of(db, name);
  int rc;

  *out = is(log, name) ? log : NULL;
  if (*out != NULL)
    return SQLITE_OK;
  rc = rill__db_bind_str(db, q, 1, name);
  if (rc == SQLITE_OK)
    rc = sqlite3_step(db->sql[q]);
  if (rc == SQLITE_ROW && (rc = take_place(db, log, name)) == SQLITE_OK) {
    log->id = sqlite3_column_int64(db->sql[q], 0);
    log->first = rill__db_u64(db, q, 1);
    log->last = rill__db_u64(db, q, 2);
    log->count = rill__db_u64(db, q, 3);
    log->bytes = rill__db_u64(db, q, 4);
    log->oldest_ms = rill__db_u64(db, q, 5);
    *out = log;
  }
  return rill__db_end(db, q, rc);
}

int rill__log_add(rill__db *db, rill_str name, rill__log **out) {
  const rill__sql q = RILL__SQL_LOG_ADD;
  rill__log *log = place_of(db, name);
  char *kept;
  size_t len;
  int rc = take_place(db, log, name);

  if (rc == SQLITE_OK)
    rc = rill__db_bind_str(db, q, 1, name);
  if (rc == SQLITE_OK)
    rc = rill__db_run(db, q);
  if (rc != SQLITE_OK)
    return rc;
  kept = log->name;
  len = log->len;
  *log = (rill__log){.name = kept, .len = len, .first = 1};
  log->id = sqlite3_last_insert_rowid(db->db);
  *out = log;
  return SQLITE_OK;
}

int rill__logs_save(rill__db *db) {
  int rc = SQLITE_OK;

  for (size_t i = 0; rc == SQLITE_OK && i < RILL__SQLITE_LOGS; i++)
    rc = save(db, &db->logs[i]);
  return rc;
}

void rill__logs_forget(rill__db *db) {
  for (size_t i = 0; i < RILL__SQLITE_LOGS; i++) {
    sqlite3_free(db->logs[i].name);
    db->logs[i] = (rill__log){0};
  }
}
