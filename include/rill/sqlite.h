/*
 * rill/sqlite.h - a store in an SQLite database (librill-sqlite).
 *
 * The database is used from one thread of the store's own, in WAL mode.
 * Operations that wait are written in one transaction (group commit), so
 * many small ones cost one sync; reads see every append before them.
 */
#ifndef RILL_SQLITE_H
#define RILL_SQLITE_H

#include <rill/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_sqlite_sync {
  RILL_SQLITE_FULL,   /* what is acknowledged survives a loss of power */
  RILL_SQLITE_NORMAL, /* ... a crash of the program, not always of power */
  RILL_SQLITE_EXTRA
} rill_sqlite_sync;

typedef struct rill_sqlite_opts {
  rill_sqlite_sync sync;
  uint32_t busy_ms;   /* how long to wait for another's lock; 0: 5000 */
  uint32_t batch;     /* most operations of one transaction; 0: 256 */
} rill_sqlite_opts;

/*
 * rill_sqlite_open opens or creates the database |path| (":memory:" works
 * and forgets) and starts the thread.  |opts| may be NULL.  |error|, where
 * not NULL, gets a terminated line on failure.
 *
 * RILL_ERR_IO      it cannot be opened, another program uses it, or it is no
 *                  database of ours
 * RILL_ERR_STATE   its schema is of a newer version than this library knows,
 *                  or was in no release
 * RILL_ERR_NOMEM   out of memory, or of threads
 * RILL_ERR_ARG     |opts| has a sync that does not exist
 */
RILL_API int rill_sqlite_open(rill_store **out, const char *path,
                              const rill_sqlite_opts *opts, char *error,
                              size_t error_size);

/* What it has done, for metrics; any thread. */
typedef struct rill_sqlite_stats {
  uint64_t operations, transactions, failures;
  uint64_t commit_us_sum, commit_us_max;
  uint64_t waiting; /* operations not yet taken up */
  char error[160];  /* what was said of the last that failed, or empty */
} rill_sqlite_stats;
RILL_API void rill_sqlite_stats_read(rill_store *store,
                                     rill_sqlite_stats *out);

#ifdef __cplusplus
}
#endif
#endif
