/*
 * sqlite_ops.c - each operation, inside of a transaction that runs.
 *
 * Functions return SQLite's result.  What the contract calls a refusal
 * (RILL_ERR_EXISTS, RILL_ERR_STATE, RILL_ERR_ARG) is none of SQLite's errors
 * and changes nothing.
 */
#include <string.h>

#include "store/sqlite.h"

static int refuse(rill_store_op *op, int status, uint64_t last) {
  op->status = status;
  op->last = last;
  return SQLITE_OK;
}

/* The number of the record with that id, 0 where there is none. */
static int find_id(rill__db *db, const rill__log *log, rill_str id,
                   uint64_t *out) {
  const rill__sql q = RILL__SQL_ID_FIND;
  int rc;

  *out = 0;
  if (log == NULL || id.len == 0)
    return SQLITE_OK;
  sqlite3_bind_int64(db->sql[q], 1, log->id);
  rc = rill__db_bind_str(db, q, 2, id);
  if (rc == SQLITE_OK)
    rc = sqlite3_step(db->sql[q]);
  if (rc == SQLITE_ROW)
    *out = rill__db_u64(db, q, 0);
  return rill__db_end(db, q, rc);
}

/* One that was stored before is told so, whatever it expects. */
static int unexpected(rill__db *db, rill_store_op *op, const rill__log *log) {
  uint64_t there;
  int rc = find_id(db, log, op->record.id, &there);

  if (rc != SQLITE_OK)
    return rc;
  return there != 0 ? refuse(op, RILL_ERR_EXISTS, there)
                    : refuse(op, RILL_ERR_STATE, log != NULL ? log->last : 0);
}

/* SQLITE_CONSTRAINT: the log has that id already. */
static int insert(rill__db *db, const rill__log *log, const rill_record *r) {
  const rill__sql q = RILL__SQL_INSERT;
  int rc;

  sqlite3_bind_int64(db->sql[q], 1, log->id);
  rill__db_bind_u64(db, q, 2, log->last + 1);
  rill__db_bind_u64(db, q, 3, r->time_ms);
  rc = rill__db_bind_str(db, q, 4, r->id);
  if (rc == SQLITE_OK)
    rc = rill__db_bind_str(db, q, 5, r->data);
  if (rc != SQLITE_OK)
    return rc;
  rc = sqlite3_step(db->sql[q]);
  if (rc != SQLITE_DONE && rc != SQLITE_CONSTRAINT)
    rill__db_failed(db, rc);
  sqlite3_reset(db->sql[q]);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Must the oldest of |log| go? */
static bool must_go(const rill_store_op *op, const rill__log *log) {
  bool aged = op->keep_ms > 0 && op->record.time_ms > log->oldest_ms &&
              op->record.time_ms - log->oldest_ms > op->keep_ms;

  if (op->kind == RILL_STORE_READ)
    return log->count > 0 && aged;
  return log->count > 1 &&
         ((op->keep_count > 0 && log->count > op->keep_count) ||
          (op->keep_bytes > 0 && log->bytes > op->keep_bytes) || aged);
}

/* Makes |log|, a copy, what it is without those that must go. */
static int pass_over(rill__db *db, const rill_store_op *op, rill__log *log) {
  const rill__sql q = RILL__SQL_OLDEST;
  int rc;

  if (!must_go(op, log))
    return SQLITE_OK;
  sqlite3_bind_int64(db->sql[q], 1, log->id);
  while ((rc = sqlite3_step(db->sql[q])) == SQLITE_ROW) {
    log->first = rill__db_u64(db, q, 0);
    log->oldest_ms = rill__db_u64(db, q, 1);
    if (!must_go(op, log))
      break;
    log->count--;
    log->bytes -= rill__db_u64(db, q, 2);
  }
  if (rc == (log->count > 0 ? SQLITE_DONE : SQLITE_ROW))
    rc = SQLITE_CORRUPT; /* fewer than the log says, or more */
  if (log->count == 0)
    log->first = log->last + 1;
  return rill__db_end(db, q, rc);
}

/* Lets go of what |left| has no more. */
static int let_go(rill__db *db, rill__log *log, const rill__log *left) {
  const rill__sql q = RILL__SQL_TRIM;

  if (left->first == log->first)
    return SQLITE_OK;
  *log = *left;
  log->changed = true;
  sqlite3_bind_int64(db->sql[q], 1, log->id);
  rill__db_bind_u64(db, q, 2, log->first);
  return rill__db_run(db, q);
}

static int append(rill__db *db, rill_store_op *op) {
  const rill_record *r = &op->record;
  uint64_t there;
  rill__log *log, left;
  int rc;

  if (r->time_ms > INT64_MAX)
    return refuse(op, RILL_ERR_ARG, 0);
  rc = rill__log_find(db, op->name, &log);
  if (rc != SQLITE_OK)
    return rc;
  if (op->expect != RILL_STORE_ANY &&
      op->expect != (log != NULL ? log->last : 0))
    return unexpected(db, op, log);
  if (log == NULL)
    rc = rill__log_add(db, op->name, &log);
  if (rc == SQLITE_OK)
    rc = insert(db, log, r);
  if (rc == SQLITE_CONSTRAINT) {
    rc = find_id(db, log, r->id, &there);
    if (rc != SQLITE_OK)
      return rc;
    /* or is there a record beyond the last? */
    return there != 0 ? refuse(op, RILL_ERR_EXISTS, there)
                      : rill__db_failed(db, SQLITE_CORRUPT);
  }
  if (rc != SQLITE_OK)
    return rc;
  op->last = ++log->last;
  log->changed = true;
  log->bytes += r->data.len;
  if (log->count++ == 0) {
    log->first = log->last;
    log->oldest_ms = r->time_ms;
  }
  left = *log;
  rc = pass_over(db, op, &left);
  return rc == SQLITE_OK ? let_go(db, log, &left) : rc;
}

/* The oldest of |log| is another one now. */
static int find_oldest(rill__db *db, rill__log *log) {
  const rill__sql q = RILL__SQL_OLDEST;
  int rc;

  log->first = log->last + 1;
  if (log->count == 0)
    return SQLITE_OK;
  sqlite3_bind_int64(db->sql[q], 1, log->id);
  rc = sqlite3_step(db->sql[q]);
  if (rc == SQLITE_ROW) {
    log->first = rill__db_u64(db, q, 0);
    log->oldest_ms = rill__db_u64(db, q, 1);
  } else if (rc == SQLITE_DONE) {
    rc = SQLITE_CORRUPT;
  }
  if (rc != SQLITE_ROW)
    rill__db_failed(db, rc);
  sqlite3_reset(db->sql[q]);
  return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int remove_one(rill__db *db, const rill_store_op *op) {
  const rill__sql q = RILL__SQL_BYTES_OF;
  uint64_t bytes = 0;
  rill__log *log;
  int rc = rill__log_find(db, op->name, &log);

  if (rc != SQLITE_OK || log == NULL || op->from < log->first ||
      op->from > log->last)
    return rc;
  sqlite3_bind_int64(db->sql[q], 1, log->id);
  rill__db_bind_u64(db, q, 2, op->from);
  rc = sqlite3_step(db->sql[q]);
  bytes = rc == SQLITE_ROW ? rill__db_u64(db, q, 0) : 0;
  if (rc != SQLITE_ROW && rc != SQLITE_DONE)
    rill__db_failed(db, rc);
  sqlite3_reset(db->sql[q]);
  if (rc != SQLITE_ROW)
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
  sqlite3_bind_int64(db->sql[RILL__SQL_REMOVE], 1, log->id);
  rill__db_bind_u64(db, RILL__SQL_REMOVE, 2, op->from);
  rc = rill__db_run(db, RILL__SQL_REMOVE);
  if (rc != SQLITE_OK)
    return rc;
  log->changed = true;
  log->count--;
  log->bytes -= bytes;
  return op->from == log->first ? find_oldest(db, log) : SQLITE_OK;
}

/*
 * The results of a READ or GET, in op->own: records, and the bytes of their
 * ids and data one after the other.
 */
typedef struct rows {
  rill_record *records;
  char *bytes;
  size_t n, cap, len, bytes_cap;
} rows;

/* |*block| has room for |need| units of |size| bytes. */
static bool grow(void *block, size_t *cap, size_t need, size_t size) {
  void **at = block, *p;
  size_t most = *cap;

  if (need <= most)
    return true;
  most = need > most * 2 ? need : most * 2;
  p = sqlite3_realloc64(*at, (sqlite3_uint64)most * size);
  if (p == NULL)
    return false;
  *at = p;
  *cap = most;
  return true;
}

static bool keep_bytes(rows *out, sqlite3_stmt *stmt, int column, size_t *len) {
  const void *p = sqlite3_column_blob(stmt, column);

  *len = (size_t)sqlite3_column_bytes(stmt, column);
  /* a value that could not be read in is NULL, as an empty one */
  if (p == NULL && sqlite3_errcode(sqlite3_db_handle(stmt)) == SQLITE_NOMEM)
    return false;
  if (!grow(&out->bytes, &out->bytes_cap, out->len + *len + 1, 1))
    return false;
  if (*len > 0)
    memcpy(out->bytes + out->len, p, *len);
  out->len += *len;
  return true;
}

static bool keep_row(rill__db *db, rows *out, rill__sql q) {
  rill_record *r;

  if (!grow(&out->records, &out->cap, out->n + 1, sizeof *r))
    return false;
  r = &out->records[out->n++];
  r->offset = rill__db_u64(db, q, 0);
  r->time_ms = rill__db_u64(db, q, 1);
  return keep_bytes(out, db->sql[q], 2, &r->id.len) &&
         keep_bytes(out, db->sql[q], 3, &r->data.len);
}

/* The bytes have moved while they grew: now they stay. */
static void show(rill_store_op *op, rows *out) {
  char *at = out->bytes;

  for (size_t i = 0; i < out->n; i++) {
    out->records[i].id.ptr = at;
    at += out->records[i].id.len;
    out->records[i].data.ptr = at;
    at += out->records[i].data.len;
  }
  op->records = out->records;
  op->nrecords = out->n;
}

static rows *rows_new(rill_store_op *op) {
  rows *out = sqlite3_malloc64(sizeof *out);

  if (out != NULL)
    *out = (rows){0};
  op->own = out;
  return out;
}

static int read_log(rill__db *db, rill_store_op *op) {
  const rill__sql q = op->reverse ? RILL__SQL_READ_BACK : RILL__SQL_READ;
  uint64_t from = op->from;
  rill__log *log, left;
  rows *out;
  int rc = rill__log_find(db, op->name, &log);

  if (rc != SQLITE_OK || log == NULL)
    return rc;
  left = *log;
  rc = pass_over(db, op, &left);
  if (rc == SQLITE_OK && !db->looks_only)
    rc = let_go(db, log, &left);
  if (rc != SQLITE_OK)
    return rc;
  op->first = left.first;
  op->last = left.last;
  if (op->limit == 0)
    return SQLITE_OK;
  if (!op->reverse && from < op->first)
    from = op->first - 1;
  out = rows_new(op);
  if (out == NULL)
    return SQLITE_NOMEM;
  sqlite3_bind_int64(db->sql[q], 1, log->id);
  rill__db_bind_u64(db, q, 2, from);
  rill__db_bind_u64(db, q, 3, op->limit);
  if (op->reverse)
    rill__db_bind_u64(db, q, 4, op->first);
  while ((rc = sqlite3_step(db->sql[q])) == SQLITE_ROW)
    if (!keep_row(db, out, q)) {
      rc = SQLITE_NOMEM;
      break;
    }
  if (rc == SQLITE_DONE)
    show(op, out);
  else
    rill__db_failed(db, rc);
  sqlite3_reset(db->sql[q]);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int set(rill__db *db, rill_store_op *op) {
  rill__sql q = RILL__SQL_VERSION;
  int rc;

  if (op->version > INT64_MAX)
    return refuse(op, RILL_ERR_ARG, 0);
  rc = rill__db_bind_str(db, q, 1, op->name);
  if (rc == SQLITE_OK)
    rc = sqlite3_step(db->sql[q]);
  if (rc == SQLITE_ROW)
    op->last = rill__db_u64(db, q, 0);
  rc = rill__db_end(db, q, rc);
  if (rc != SQLITE_OK)
    return rc;
  if (op->version <= op->last)
    return SQLITE_OK;
  q = RILL__SQL_SET;
  rc = rill__db_bind_str(db, q, 1, op->name);
  rill__db_bind_u64(db, q, 2, op->version);
  if (rc == SQLITE_OK)
    rc = rill__db_bind_str(db, q, 3, op->value);
  if (rc == SQLITE_OK)
    rc = rill__db_run(db, q);
  op->last = op->version;
  return rc;
}

static int get(rill__db *db, rill_store_op *op) {
  const rill__sql q = RILL__SQL_GET;
  rows *out = rows_new(op);
  int rc;

  op->value = (rill_str){NULL, 0};
  if (out == NULL)
    return SQLITE_NOMEM;
  rc = rill__db_bind_str(db, q, 1, op->name);
  if (rc == SQLITE_OK)
    rc = sqlite3_step(db->sql[q]);
  if (rc == SQLITE_ROW) {
    op->last = rill__db_u64(db, q, 0);
    if (!keep_bytes(out, db->sql[q], 1, &op->value.len))
      rc = SQLITE_NOMEM;
    op->value.ptr = out->bytes;
  }
  return rill__db_end(db, q, rc);
}

void rill__op_free_results(rill_store_op *op) {
  rows *out = op->own;

  if (out == NULL)
    return;
  sqlite3_free(out->records);
  sqlite3_free(out->bytes);
  sqlite3_free(out);
  op->own = NULL;
}

int rill__op_do(rill__db *db, rill_store_op *op) {
  op->status = 0;
  op->first = op->last = 0;
  op->records = NULL;
  op->nrecords = 0;
  op->own = NULL;
  switch (op->kind) {
  case RILL_STORE_APPEND:
    return append(db, op);
  case RILL_STORE_READ:
    return read_log(db, op);
  case RILL_STORE_REMOVE:
    return remove_one(db, op);
  case RILL_STORE_SET:
    return set(db, op);
  case RILL_STORE_GET:
    return get(db, op);
  }
  return refuse(op, RILL_ERR_ARG, 0);
}
