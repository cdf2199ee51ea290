/*
 * archive.c - reading what was published: from the store where the room is
 * durable, else from its ring.
 */
#include "hub/history.h"
#include "hub/publish.h"
#include "hub/store.h"

/* One reading on its way. */
typedef struct reading {
  rill_hub *hub;
  rill_pasts_fn fn;
  rill__drop_fn drop; /* may be NULL */
  void *arg;
} reading;

static void reading_drop(rill__work *w) {
  const reading *r = w->arg;

  if (r->drop != NULL)
    r->drop(w->hub, r->arg);
  rill__free(&w->hub->alloc, w->arg, sizeof(reading));
}

/* Turns records into events: the nodes of all are in |tape|. */
static int read_back(const rill_store_op *op, rill__tape *tape, rill_past *v,
                     uint32_t *at) {
  for (size_t i = 0; i < op->nrecords; i++) {
    const rill_record *r = &op->records[i];
    rill__item item;
    if (!rill__item_read(tape, r->data, &item))
      return tape->failed ? RILL_ERR_NOMEM : RILL_ERR_IO;
    at[i] = (uint32_t)(item.args - tape->v);
    v[i] = (rill_past){.offset = r->offset,
                       .time_ms = r->time_ms,
                       .id = r->id,
                       .name = item.name};
  }
  for (size_t i = 0; i < op->nrecords; i++) /* nodes have moved until now */
    v[i].args.node = tape->v + at[i];
  return 0;
}

static void tell(rill__work *w) {
  reading *r = w->arg;
  const rill_store_op *op = &w->op;
  const rill__alloc *alloc = &w->hub->alloc;
  size_t n = op->status == 0 ? op->nrecords : 0;
  rill_pasts out = {.status = op->status, .first = op->first, .last = op->last};
  rill_past *v = n > 0 ? rill__calloc(alloc, n * sizeof *v) : NULL;
  uint32_t *at = n > 0 ? rill__calloc(alloc, n * sizeof *at) : NULL;
  rill__tape tape;

  rill__tape_init(&tape, alloc);
  if (n > 0)
    out.status =
        v == NULL || at == NULL ? RILL_ERR_NOMEM : read_back(op, &tape, v, at);
  if (out.status == 0) {
    out.v = v;
    out.n = n;
  }
  w->hub->in_handler = true;
  r->fn(w->hub, &out, r->arg);
  w->hub->in_handler = false;
  rill__tape_finish(&tape);
  rill__free(alloc, at, n * sizeof *at);
  rill__free(alloc, v, n * sizeof *v);
  rill__free(alloc, r, sizeof *r);
  w->arg = NULL;
}

/* The ring's answer, as the store would give it. */
static bool read_ring(rill__work *w, const rill__room *room) {
  rill_store_op *op = &w->op;
  size_t size = op->limit * sizeof(rill_record);
  rill_record *v;
  bool ok;

  op->last = room != NULL ? room->last : 0;
  if (room == NULL || room->ring == NULL)
    return true;
  v = rill__malloc(&w->hub->alloc, size);
  if (v == NULL)
    return false;
  op->records = v;
  op->nrecords = rill__ring_read(room->ring, op, v);
  ok = rill__work_keep(w);
  rill__free(&w->hub->alloc, v, size);
  return ok;
}

static rill__work *work_of(rill_hub *hub, rill__space *space, rill_str room,
                           const rill_history_opts *opts, int *rv) {
  const rill_str none = {0};
  uint32_t most = hub->config.limits.history_page;
  rill__work *w = rill__log_work(hub, RILL_STORE_READ, rill__space_name(space),
                                 room, none, none, rv);

  if (w == NULL)
    return NULL;
  w->op.reverse = opts->before > 0;
  w->op.from = opts->before > 0 ? opts->before : opts->since;
  hub->metrics.limit_history_page += opts->limit > most;
  w->op.limit = opts->limit == 0 || opts->limit > most ? most : opts->limit;
  return w;
}

int rill__history(rill_hub *hub, rill_str room, const rill_history_opts *opts,
                  rill_pasts_fn fn, rill__drop_fn drop, void *arg) {
  static const rill_history_opts all;
  rill__space *space;
  rill_room_opts kept;
  rill__work *w;
  reading *r;
  int rv = rill__name_check(hub, room);

  if (opts == NULL)
    opts = &all;
  space = rill__space_find(hub, opts->space);
  if (rv != 0 || space == NULL)
    return rv != 0 ? rv : RILL_ERR_ARG;
  w = work_of(hub, space, room, opts, &rv);
  if (w == NULL)
    return rv;
  r = rill__malloc(&hub->alloc, sizeof *r);
  if (r == NULL) {
    rill__work_free(w);
    return RILL_ERR_NOMEM;
  }
  *r = (reading){hub, fn, drop, arg};
  w->arg = r;
  w->done = tell;
  w->drop = reading_drop;
  rill__room_opts_of(hub, space, room, &kept);
  if (kept.durable) {
    rill__work_keep_ms(w, kept.keep_ms);
    rill__work_submit(w);
    return 0;
  }
  if (!read_ring(w, rill__room_find(space, room)))
    w->op.status = RILL_ERR_NOMEM;
  rill__work_finish(w);
  return 0;
}

int rill_history(rill_hub *hub, rill_str room, const rill_history_opts *opts,
                 rill_pasts_fn fn, void *arg) {
  return rill__history(hub, room, opts, fn, NULL, arg);
}
