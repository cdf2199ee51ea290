/*
 * rill/store.h - where a hub keeps what must outlive the program.
 *
 * A store holds logs and values.  A log is a run of records under a name,
 * numbered 1, 2, 3, ... without a gap; old records may be trimmed away, and
 * numbers are never used twice.  A value is a few bytes under a key, with a
 * version that only grows.  Rooms, notifications and receipts are made of
 * these two, and documents can be: a record may be appended on condition
 * that the log has not grown.
 *
 * The hub submits operations; the store completes each exactly once, with
 * rill_store_complete on the hub's thread: within the call (memory) or later
 * (a store with a thread of its own comes back by rill_post).  Operations on
 * one log take effect, and are completed, in the order of their submission.
 * An APPEND or SET that is completed with 0 survives whatever the store says
 * that it survives; one that failed may be submitted again with the same
 * |id|.
 *
 * Hosts use rill_store_use with a store from here (rill_store_memory) or
 * from a library such as rill/sqlite.h.  The rest of this header is for who
 * writes a store.
 */
#ifndef RILL_STORE_H
#define RILL_STORE_H

#include <rill/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rill_store rill_store;
typedef struct rill_store_op rill_store_op;

/*
 * rill_store_use has |hub| keep things in |store|, which it frees with
 * itself.  Before the first conn.
 *
 * RILL_ERR_STATE   there is a store already, or there are peers; |store| is
 *                  still the caller's, for its |free|
 */
RILL_API int rill_store_use(rill_hub *hub, rill_store *store);

/*
 * rill_store_memory makes a store that forgets everything with its hub: the
 * default where none is used.  NULL: out of memory.
 */
RILL_API rill_store *rill_store_memory(rill_alloc_fn alloc, void *arg);

typedef struct rill_record {
  uint64_t offset;  /* in its log, from 1 */
  uint64_t time_ms; /* since 1970 UTC */
  rill_str id;      /* the writer's name for it, may be empty */
  rill_str data;
} rill_record;

typedef enum rill_store_kind {
  RILL_STORE_APPEND,
  RILL_STORE_READ,
  RILL_STORE_REMOVE,
  RILL_STORE_SET,
  RILL_STORE_GET
} rill_store_kind;

/*
 * One operation.  The hub owns it and what it points to until it is
 * completed, when the store's results need to be valid only during
 * rill_store_complete.
 *
 * APPEND  |record| (but its offset) to |name|, if |expect| is the number of
 *         the log's last record (0: it is empty) or RILL_STORE_ANY.  Then
 *         the oldest records beyond |keep_count|, or older than |keep_ms|
 *         before record.time_ms, or beyond |keep_bytes| of data, go (0: no
 *         such limit; the newest always stays).  Results: |last|, the new
 *         record's offset.  Where |record.id| is not empty and one of the
 *         log's records has it: RILL_ERR_EXISTS, with that one's offset in
 *         |last|, and nothing is appended.  Where the log has grown:
 *         RILL_ERR_STATE and |last|.
 * READ    at most |limit| records of |name|, in order: those whose number is
 *         above |from|; |reverse|: the newest ones below |from|, newest
 *         first.  What is older than |keep_ms| before record.time_ms, the
 *         time of the reading, goes before that as it does for APPEND, and
 *         here the newest may go too: numbers go on behind it.  Results:
 *         |records|, |nrecords|, and |first| and |last|, the numbers at the
 *         ends of the log (0: it never had a record; first > last: all are
 *         trimmed).  A store that cannot write passes over what should go.
 * REMOVE  the record |from| of |name|; 0 also where there is none.  Numbers
 *         are not given anew: |first| is the next that is there.
 * SET     |value| under |name|, if |version| is above that of what is there.
 *         Results: |last|, the version that is there now; 0 also where
 *         nothing was changed.
 * GET     Results: |value| and |last|, its version (0: there is none).
 *
 * |status| is 0 or
 *
 * RILL_ERR_IO      the store failed; it may have taken effect or not
 * RILL_ERR_FULL    no room on the disk; it has not taken effect
 * RILL_ERR_NOMEM   out of memory; it has not taken effect
 * RILL_ERR_CLOSED  the store is closing; it has not taken effect
 * RILL_ERR_ARG     a number of 2^63 or more, or data that the store cannot
 *                  hold; it has not taken effect
 */
#define RILL_STORE_ANY UINT64_MAX
struct rill_store_op {
  rill_store_kind kind;
  rill_str name;
  rill_record record;
  uint64_t expect, from, version;
  uint64_t keep_bytes, keep_ms;
  uint32_t keep_count, limit;
  bool reverse;

  int status;
  uint64_t first, last;
  const rill_record *records;
  size_t nrecords;
  rill_str value; /* SET: in; GET: out */

  rill_store *store;   /* set by the hub */
  rill_store_op *next; /* the store's, until it is completed */
  void *own;           /* the store's */
};

/*
 * What a store is: the first member of its own struct.  |submit| takes an
 * operation; |free| lets go of everything, operations that are not complete
 * included (the hub frees them; they are not completed any more).  The hub
 * calls it when it goes: no task that the store has posted runs any more,
 * but those that it posts until |free| returns are still given back.
 * |attach|, may be NULL, tells the hub whose it is now.
 *
 * |epoch| names the run of numbers in this store: RILL_STORE_EPOCH letters
 * or digits, made by the store when it is created and kept in it; empty
 * where it does not outlive the program.
 */
#define RILL_STORE_EPOCH 8
struct rill_store {
  void (*submit)(rill_store *store, rill_store_op *op);
  void (*attach)(rill_store *store, rill_hub *hub);
  void (*free)(rill_store *store);
  char epoch[RILL_STORE_EPOCH + 1];
};

/* On the hub's thread, once for each operation. */
RILL_API void rill_store_complete(rill_store_op *op);

#ifdef __cplusplus
}
#endif
#endif
