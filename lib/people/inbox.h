/*
 * inbox.h - what waits for one user of one namespace, in memory while it is
 * needed: a peer of the user is there, something is asked about it, or
 * on_missed waits.
 *
 * The store has a log of notices under the inbox's name, and a value of the
 * same name whose version is the offset up to which all are acknowledged; so
 * acknowledging many is one operation.  Notices that are acknowledged
 * singly, replaced, expired or pushed out are removed from the log.  Only an
 * acknowledgement waits for that: what else was to be removed and was not is
 * found by the next loading, which drops it for the same reason.
 *
 * NEW      nothing is known; nothing was asked of the store
 * LOADING  the store has been asked; |loading| answers are due
 * LOADED   |notices| is what there is
 * FAILED   it could not be read, or an operation failed of which nobody can
 *          say whether it took effect: to be read (again) at |retry_at|, or
 *          when somebody asks.  |notices| is what was known
 *
 * A voice is in |untold| until its peer has been told of all notices; one
 * that is in no list and is open is told of what changes.
 */
#ifndef RILL__INBOX_H
#define RILL__INBOX_H

#include "people/notice.h"
#include "hub/space.h"

/* Who waits for an inbox to be loaded. */
typedef struct rill__caller rill__caller;
struct rill__caller {
  rill__link link;
  void (*run)(rill__caller *caller, int status); /* not 0: why it was not */
  void (*drop)(rill__caller *caller);            /* the hub goes */
};

typedef enum rill__inbox_state {
  RILL__INBOX_NEW,
  RILL__INBOX_LOADING,
  RILL__INBOX_LOADED,
  RILL__INBOX_FAILED
} rill__inbox_state;

typedef struct rill__inbox {
  UT_hash_handle hh; /* in hub->inboxes, by name */
  rill_hub *hub;
  rill__space *rules;
  rill__timer timer;
  rill__inbox_state state;
  unsigned loading;
  int load_status;
  bool tells_failure;  /* somebody in |untold| has not heard of one */
  rill_time retry_at;
  rill_time more_at;   /* LOADED: when those in |untold| are told the rest */
  rill__link notices;  /* the oldest first */
  rill__link fresh;    /* LOADING: those that were read */
  rill__link untold, callers;
  uint32_t count;      /* of |notices| */
  uint32_t nwaiting;   /* of them with a missed_at */
  uint32_t nvoices;    /* that point here */
  uint32_t busy;       /* requests on their way */
  uint64_t last;       /* the newest offset that there ever was */
  uint64_t acked;      /* all up to here are */
  rill_str space, user; /* in |name| */
  uint32_t name_len;
  char name[];
} rill__inbox;

static inline rill_str rill__inbox_name(const rill__inbox *in) {
  return (rill_str){in->name, in->name_len};
}
/* The one of |user| in |space|, made where there is none; NULL: no memory. */
rill__inbox *rill__inbox_of(rill_hub *hub, rill__space *rules, rill_str space,
                            rill_str user);
/* Frees it where nothing needs it, else sets its timer. */
void rill__inbox_settle(rill__inbox *in);
/* Has |caller| run when it is loaded: now, where it is. */
void rill__inbox_ask(rill__inbox *in, rill__caller *caller);
/* |voice| is to be told of all there is. */
void rill__inbox_enter(rill__inbox *in, rill__voice *voice);
/* It is being freed. */
void rill__inbox_leave(rill__voice *voice);
/* What is in memory may not be what is in the store. */
void rill__inbox_doubt(rill__inbox *in);
void rill__inbox_tick(rill__timer *timer);
void rill__inboxes_free(rill_hub *hub);

/* How long after a failure, or a shortage of memory, it is tried again. */
#define RILL__INBOX_RETRY RILL_SEC

/* |n| is none of its notices any more. */
void rill__inbox_unlink(rill__inbox *in, rill__notice *n);
/* Out of the store; where that fails the next loading finds it again. */
void rill__inbox_forget(rill__inbox *in, uint64_t offset);
/* Both, and frees it. */
void rill__inbox_drop(rill__inbox *in, rill__notice *n);
/* Milliseconds since 1970; 0: nobody knows. */
static inline uint64_t rill__inbox_wall(const rill_hub *hub) {
  return hub->wall != NULL ? hub->wall(hub->wall_arg) : 0;
}
/* When |n| expires, if it is |wall| now; RILL_NEVER: not to be foreseen. */
rill_time rill__notice_expiry(const rill_hub *hub, const rill__notice *n,
                              uint64_t wall);
rill__notice *rill__inbox_by_id(const rill__inbox *in, rill_str id);
rill__notice *rill__inbox_by_offset(const rill__inbox *in, uint64_t offset);
/* One before |n| with the key of |n|; NULL: none. */
rill__notice *rill__inbox_older(const rill__inbox *in, const rill__notice *n);

/* Lets go of what was read so far. */
void rill__inbox_free_fresh(rill__inbox *in);

/* inbox_load.c */
/* Is the store to be asked before anything can be done? */
static inline bool rill__inbox_unread(const rill__inbox *in) {
  return in->state == RILL__INBOX_NEW || in->state == RILL__INBOX_FAILED;
}
/* Asks it: two operations. */
#define RILL__INBOX_LOAD 2
void rill__inbox_load(rill__inbox *in);
/*
 * May it be asked for those that can wait?  When many come back at once they
 * must not take all of store_pending from who writes.
 */
bool rill__inbox_may_load(const rill_hub *hub);
/* How long they wait, then. */
#define RILL__INBOX_PAUSE (10 * RILL_MSEC)

/* inbox_tell.c */
/* Is |p| one that is told of this inbox? */
bool rill__inbox_hears(const rill__inbox *in, const rill__peer *p);
/* Drops what has expired, and tells of it. */
void rill__inbox_expire(rill__inbox *in);
/* Calls on_missed for what it has waited for long enough. */
void rill__inbox_miss(rill__inbox *in);
/* Tells those in |untold|, as far as their queues take it. */
void rill__inbox_tell_rest(rill__inbox *in);
/* Tells them that the store has failed. */
void rill__inbox_tell_failure(rill__inbox *in, int status);
/* A new one, which the store has; returns how many peers are told. */
size_t rill__inbox_add(rill__inbox *in, rill__notice *n);
/* |n| has been acknowledged, or all up to |offset|: tells all but |from|. */
void rill__inbox_clear(rill__inbox *in, rill__notice *n, rill_peer from);
size_t rill__inbox_clear_to(rill__inbox *in, uint64_t offset, rill_peer from);

#endif
