#include "hub/store.h"

int rill_store_use(rill_hub *hub, rill_store *store) {
  if (hub->store != NULL || hub->peers.npages > 0)
    return RILL_ERR_STATE;
  hub->store = store;
  if (store->attach != NULL)
    store->attach(store, hub);
  return 0;
}

/* The default, made when something is to be kept for the first time. */
static bool have_store(rill_hub *hub) {
  if (hub->store != NULL)
    return true;
  hub->store = rill_store_memory(hub->alloc.fn, hub->alloc.arg);
  if (hub->store == NULL)
    return false;
  hub->store->attach(hub->store, hub);
  return true;
}

rill__work *rill__work_new(rill_hub *hub, rill_store_kind kind, rill_str name,
                           rill_str id, rill_str data, int *rv) {
  size_t size = sizeof(rill__work) + name.len + id.len + data.len;
  rill__work *w = NULL;
  char *at;

  *rv = RILL_ERR_LIMIT;
  if (hub->nworks >= hub->config.limits.store_pending) {
    hub->metrics.limit_store_pending++;
    return NULL;
  }
  *rv = rill__hub_seed(hub);
  if (*rv != 0)
    return NULL;
  *rv = RILL_ERR_NOMEM;
  if (have_store(hub))
    w = rill__calloc(&hub->alloc, size);
  if (w == NULL)
    return NULL;
  w->hub = hub;
  w->size = size;
  rill__list_init(&w->link);
  w->op.kind = kind;
  w->op.store = hub->store;
  w->op.expect = RILL_STORE_ANY;
  at = w->bytes;
  w->op.name = (rill_str){at, name.len};
  if (name.len > 0)
    memcpy(at, name.ptr, name.len);
  at += name.len;
  w->op.record.id = (rill_str){at, id.len};
  if (id.len > 0)
    memcpy(at, id.ptr, id.len);
  at += id.len;
  if (data.len > 0)
    memcpy(at, data.ptr, data.len);
  w->op.record.data = w->op.value = (rill_str){at, data.len};
  *rv = 0;
  return w;
}

void rill__work_free(rill__work *w) {
  rill_hub *hub = w->hub;

  rill__list_remove(&w->link);
  rill__free(&hub->alloc, w->results, w->results_size);
  rill__free(&hub->alloc, w, w->size);
}

void rill__work_keep_ms(rill__work *w, uint64_t keep_ms) {
  w->op.keep_ms = keep_ms;
  if (keep_ms > 0 && w->hub->wall != NULL)
    w->op.record.time_ms = w->hub->wall(w->hub->wall_arg);
}

void rill__work_submit(rill__work *w) {
  rill_hub *hub = w->hub;

  hub->nworks++;
  hub->metrics.store_operations_total++;
  rill__list_push(&hub->works, &w->link);
  hub->store->submit(hub->store, &w->op);
}

void rill__work_finish(rill__work *w) {
  w->hub->nworks++;
  w->complete = true;
  rill__list_push(&w->hub->works_done, &w->link);
}

/* Copies the results: the store's own are gone when this call returns. */
bool rill__work_keep(rill__work *w) {
  rill_store_op *op = &w->op;
  size_t size = op->nrecords * sizeof(rill_record);
  rill_record *records;
  char *at;

  for (size_t i = 0; i < op->nrecords; i++)
    size += op->records[i].id.len + op->records[i].data.len;
  if (op->kind == RILL_STORE_GET)
    size += op->value.len;
  if (size == 0)
    return true;
  w->results = rill__malloc(&w->hub->alloc, size);
  if (w->results == NULL)
    return false;
  w->results_size = size;
  records = w->results;
  at = (char *)(records + op->nrecords);
  for (size_t i = 0; i < op->nrecords; i++) {
    rill_record *r = &records[i];
    *r = op->records[i];
    if (r->id.len > 0)
      memcpy(at, r->id.ptr, r->id.len);
    r->id.ptr = at;
    at += r->id.len;
    if (r->data.len > 0)
      memcpy(at, r->data.ptr, r->data.len);
    r->data.ptr = at;
    at += r->data.len;
  }
  op->records = records;
  if (op->kind == RILL_STORE_GET) {
    if (op->value.len > 0)
      memcpy(at, op->value.ptr, op->value.len);
    op->value.ptr = at;
  }
  return true;
}

void rill_store_complete(rill_store_op *op) {
  rill__work *w = RILL__CONTAINER(op, rill__work, op);

  if (op->status == 0 && !rill__work_keep(w)) {
    op->status = RILL_ERR_NOMEM;
    op->nrecords = 0;
  }
  w->hub->metrics.store_failures_total += op->status != 0 &&
                                          op->status != RILL_ERR_EXISTS &&
                                          op->status != RILL_ERR_STATE;
  w->complete = true;
  rill__list_remove(&w->link);
  rill__list_push(&w->hub->works_done, &w->link);
}

void rill__works_deliver(rill_hub *hub) {
  rill__link *last = hub->works_done.prev, *l;
  bool more = last != &hub->works_done;

  while (more && (l = rill__list_shift(&hub->works_done)) != NULL) {
    rill__work *w = RILL__CONTAINER(l, rill__work, link);
    more = l != last; /* what is submitted and done meanwhile waits a turn */
    hub->nworks--;
    w->done(w);
    rill__work_free(w);
  }
}

static void drop_all(rill__link *list) {
  rill__link *l;

  while ((l = rill__list_shift(list)) != NULL) {
    rill__work *w = RILL__CONTAINER(l, rill__work, link);
    if (w->drop != NULL)
      w->drop(w);
    rill__work_free(w);
  }
}

void rill__store_free(rill_hub *hub) {
  if (hub->store != NULL)
    hub->store->free(hub->store);
  hub->store = NULL;
  drop_all(&hub->works);
  drop_all(&hub->works_done);
}
