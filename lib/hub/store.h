/*
 * store.h - what the hub asks its store, and what comes back.
 *
 * An operation is made with everything that it points to in one block,
 * submitted, and completed by the store at any time; what is to happen then
 * waits for the end of the call that runs, or the next tick, as everything
 * else that may run a handler.
 */
#ifndef RILL__STORE_H
#define RILL__STORE_H

#include <rill/store.h>

#include "hub/hub.h"

typedef struct rill__work rill__work;
struct rill__work {
  rill_store_op op;
  rill_hub *hub;
  rill__link link; /* in hub->works until |done| has run */
  /* Runs between handlers.  The results of |op| are valid. */
  void (*done)(rill__work *work);
  /* The hub goes: lets go of what |arg| holds.  May be NULL. */
  void (*drop)(rill__work *work);
  void *arg;
  bool complete;
  size_t size;
  void *results; /* a copy of what the store showed */
  size_t results_size;
  char bytes[];
};

/*
 * Makes an operation with copies of |name|, |id| and |data| (or the value of
 * a SET); NULL: no memory, or RILL_ERR_LIMIT in |*rv| where store_pending
 * operations wait already.
 */
rill__work *rill__work_new(rill_hub *hub, rill_store_kind kind, rill_str name,
                           rill_str id, rill_str data, int *rv);
/* A READ of what is no older than |keep_ms|; 0: of all that there is. */
void rill__work_keep_ms(rill__work *work, uint64_t keep_ms);
void rill__work_submit(rill__work *work);
/* Makes the results the work's own; false: no memory. */
bool rill__work_keep(rill__work *work);
/* Complete without the store: |done| runs as if it had been asked. */
void rill__work_finish(rill__work *work);
/* One that was not submitted. */
void rill__work_free(rill__work *work);
/*
 * What a client is told where an operation could not be made, or failed: it
 * may ask again later.
 */
static inline const char *rill__store_code(int status) {
  return status == RILL_ERR_LIMIT ? "busy" : "store";
}
void rill__works_deliver(rill_hub *hub);
void rill__store_free(rill_hub *hub);

#endif
