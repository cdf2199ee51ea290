/*
 * shelf.h - a store for hubs that end: it keeps what it has written, is slow,
 * fails and fills up, and forgets what was on its way when a hub goes.
 */
#ifndef SHELF_H
#define SHELF_H

#include "sim.h"

typedef struct shelf shelf;

/* One record of a log; those behind |first| of the log have been trimmed. */
typedef struct shelf_record {
  uint64_t offset, time_ms;
  char *id, *data;
  size_t id_len, len;
  bool removed;
} shelf_record;

typedef struct shelf_log {
  char name[64];
  shelf_record *v; /* all that ever were: number n is at n - 1 */
  size_t n, cap;
  uint64_t first;
  bool torn; /* what comes next at the end of a program is lost */
} shelf_log;

enum { SHELF_SLOW = 1, SHELF_FAILING = 2, SHELF_FULL = 4 };

shelf *shelf_new(world *w, unsigned faults);
void shelf_free(shelf *s);
/* For the next hub; the one before is gone. */
rill_store *shelf_store(shelf *s);
/* From now on nothing fails. */
void shelf_calm(shelf *s);
/* Has it failed, ever? */
bool shelf_fails(const shelf *s);
/* What is under way. */
size_t shelf_pending(const shelf *s);

const shelf_log *shelf_find(const shelf *s, const char *name);
/* The number, above |above|, under which |id| is in |log|; 0: it is not. */
uint64_t shelf_number(const shelf_log *log, const char *id, uint64_t above);

#endif
