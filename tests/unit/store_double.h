/*
 * store_double.h - a store that does as it is told: keeps operations until
 * they are let go, fails them with or without their effect, and outlives the
 * hub, as what a program has written outlives the program.
 *
 * Behind it is a store of memory; so that the next hub finds what this one
 * has written, double_use gives all of them the same hash key.
 */
#ifndef STORE_DOUBLE_H
#define STORE_DOUBLE_H

#include "pair.h"

#include "hub/store.h"

typedef struct store_double {
  rill_store store;
  rill_store *inner;
  rill_hub *hub;
  rill_store_op *first, **end; /* those that are kept */
  size_t nkept;
  bool keeps;
  unsigned fails; /* a bit for each kind that fails, with |status| */
  int status;
  bool effect;    /* though it has had its effect */
  bool inside;    /* the operation is for the inner store */
  unsigned count[RILL_STORE_GET + 1];
} store_double;

#define FAILS(kind) (1u << RILL_STORE_##kind)

static inline void double_shadow_done(rill__work *w) {
  store_double *d = (store_double *)(void *)w->op.store;
  rill_store_op *op = w->arg;

  op->status = d->status;
  rill_store_complete(op);
}

/* Has the inner store do the same, of which the hub hears a failure. */
static inline void double_do_and_fail(store_double *d, rill_store_op *op) {
  int rv;
  rill__work *w = rill__work_new(d->hub, op->kind, op->name, op->record.id,
                                 op->kind == RILL_STORE_SET ? op->value
                                                            : op->record.data,
                                 &rv);

  MUST(w != NULL);
  w->op.record.time_ms = op->record.time_ms;
  w->op.from = op->from;
  w->op.version = op->version;
  w->op.keep_count = op->keep_count;
  w->done = double_shadow_done;
  w->arg = op;
  d->inside = true;
  rill__work_submit(w);
  d->inside = false;
}

static inline void double_do(store_double *d, rill_store_op *op) {
  if ((d->fails >> op->kind & 1) == 0) {
    d->inner->submit(d->inner, op);
  } else if (d->effect) {
    double_do_and_fail(d, op);
  } else {
    op->status = d->status;
    rill_store_complete(op);
  }
}

static inline void double_submit(rill_store *store, rill_store_op *op) {
  store_double *d = (store_double *)(void *)store;

  if (d->inside) {
    d->inner->submit(d->inner, op);
    return;
  }
  d->count[op->kind]++;
  if (!d->keeps) {
    double_do(d, op);
    return;
  }
  op->next = NULL;
  *d->end = op;
  d->end = &op->next;
  d->nkept++;
}

/* Lets |n| operations go, the oldest first. */
static inline void double_let(store_double *d, size_t n) {
  while (n-- > 0 && d->first != NULL) {
    rill_store_op *op = d->first;
    d->first = op->next;
    if (d->first == NULL)
      d->end = &d->first;
    d->nkept--;
    double_do(d, op);
  }
}

static inline void double_attach(rill_store *store, rill_hub *hub) {
  store_double *d = (store_double *)(void *)store;

  d->hub = hub;
  d->inner->attach(d->inner, hub);
}

/* The program ends, and with it what was not written. */
static inline void double_free(rill_store *store) {
  store_double *d = (store_double *)(void *)store;

  d->first = NULL;
  d->end = &d->first;
  d->nkept = 0;
}

static inline void double_init(store_double *d) {
  *d = (store_double){.store = {.submit = double_submit,
                                .attach = double_attach,
                                .free = double_free},
                      .status = RILL_ERR_IO};
  memcpy(d->store.epoch, "aaaaaaaa", RILL_STORE_EPOCH);
  d->end = &d->first;
  d->inner = rill_store_memory(NULL, NULL);
  MUST(d->inner != NULL);
}

static inline void double_finish(store_double *d) {
  if (d->inner != NULL)
    d->inner->free(d->inner);
  d->inner = NULL;
}

/* For a hub that has just been made. */
static inline void double_use(store_double *d, pair *p) {
  memset(p->hub->hash_key, 'k', sizeof p->hub->hash_key);
  memset(p->hub->epoch, 'e', sizeof p->hub->epoch);
  p->hub->seeded = true;
  assert_int_equal(rill_store_use(p->hub, &d->store), 0);
}

#endif
