/*
 * memory.c - the store that forgets with its hub.
 *
 * Every operation is done when it is submitted.  A log's records are in a
 * circle, oldest first; those with an id are in a map as well.
 */
#include <rill/store.h>

#include "base/map.h"
#include "hub/hub.h"

typedef struct kept {
  UT_hash_handle hh; /* in log->ids, where it has an id */
  rill_record record;
  size_t size;  /* of all of it */
  char bytes[]; /* id, then data */
} kept;

typedef struct entry {
  UT_hash_handle hh; /* in memory->entries, by name */
  kept **v;          /* of a log: a circle */
  uint32_t head, len, cap;
  uint64_t last, bytes;
  kept *ids;
  uint64_t version; /* of a value */
  char *value;
  size_t value_len;
  size_t name_len;
  char name[];
} entry;

typedef struct memory {
  rill_store store;
  rill__alloc alloc;
  rill_hub *hub; /* whose secret the hashes have: names come from clients */
  entry *logs, *values;
} memory;

static unsigned hash_of(const memory *m, rill_str name) {
  return (unsigned)rill__hub_hash(m->hub, name);
}

static entry *find(const memory *m, entry *all, rill_str name) {
  entry *e = NULL;

  if (all != NULL)
    HASH_FIND_BYHASHVALUE(hh, all, name.ptr, name.len, hash_of(m, name), e);
  return e;
}

static entry *make(memory *m, entry **all, rill_str name) {
  const rill__alloc *map_alloc = &m->alloc;
  bool map_failed = false;
  entry *e = find(m, *all, name);

  if (e != NULL)
    return e;
  e = rill__calloc(&m->alloc, sizeof *e + name.len);
  if (e == NULL)
    return NULL;
  e->name_len = name.len;
  if (name.len > 0)
    memcpy(e->name, name.ptr, name.len);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, *all, e->name, e->name_len, hash_of(m, name),
                              e);
  if (!map_failed)
    return e;
  rill__free(&m->alloc, e, sizeof *e + name.len);
  return NULL;
}

static kept **place(const entry *e, uint32_t i) {
  return &e->v[(e->head + i) % e->cap];
}

static void forget(memory *m, entry *e, kept *k) {
  const rill__alloc *map_alloc = &m->alloc;

  if (k->record.id.len > 0)
    HASH_DEL(e->ids, k);
  e->bytes -= k->record.data.len;
  rill__free(&m->alloc, k, k->size);
}

static void drop_oldest(memory *m, entry *e) {
  kept *k = *place(e, 0);

  e->head = (e->head + 1) % e->cap;
  e->len--;
  forget(m, e, k);
}

static void entry_free(memory *m, entry **all, entry *e) {
  const rill__alloc *map_alloc = &m->alloc;

  HASH_DEL(*all, e);
  while (e->len > 0)
    drop_oldest(m, e);
  rill__free(&m->alloc, e->v, e->cap * sizeof(kept *));
  rill__free(&m->alloc, e->value, e->value_len > 0 ? e->value_len : 1);
  rill__free(&m->alloc, e, sizeof *e + e->name_len);
}

static bool grow(memory *m, entry *e) {
  uint32_t cap = e->cap == 0 ? 16 : e->cap * 2;
  kept **v;

  if (e->len < e->cap)
    return true;
  v = rill__malloc(&m->alloc, cap * sizeof *v);
  if (v == NULL)
    return false;
  for (uint32_t i = 0; i < e->len; i++)
    v[i] = *place(e, i);
  rill__free(&m->alloc, e->v, e->cap * sizeof *v);
  e->v = v;
  e->cap = cap;
  e->head = 0;
  return true;
}

static kept *copy_of(memory *m, const rill_record *r) {
  size_t size = sizeof(kept) + r->id.len + r->data.len;
  kept *k = rill__calloc(&m->alloc, size);

  if (k == NULL)
    return NULL;
  k->size = size;
  k->record = *r;
  if (r->id.len > 0)
    memcpy(k->bytes, r->id.ptr, r->id.len);
  if (r->data.len > 0)
    memcpy(k->bytes + r->id.len, r->data.ptr, r->data.len);
  k->record.id.ptr = k->bytes;
  k->record.data.ptr = k->bytes + r->id.len;
  return k;
}

static bool oldest_aged(const entry *e, const rill_store_op *op) {
  uint64_t now = op->record.time_ms;

  return op->keep_ms > 0 && now > op->keep_ms &&
         (*place(e, 0))->record.time_ms < now - op->keep_ms;
}

static void trim(memory *m, entry *e, const rill_store_op *op) {
  while (e->len > 1 && ((op->keep_count > 0 && e->len > op->keep_count) ||
                        (op->keep_bytes > 0 && e->bytes > op->keep_bytes) ||
                        oldest_aged(e, op)))
    drop_oldest(m, e);
}

static int append(memory *m, rill_store_op *op) {
  const rill__alloc *map_alloc = &m->alloc;
  bool map_failed = false;
  entry *e = make(m, &m->logs, op->name);
  kept *k = NULL;

  if (e == NULL)
    return RILL_ERR_NOMEM;
  if (op->record.id.len > 0 && e->ids != NULL)
    HASH_FIND_BYHASHVALUE(hh, e->ids, op->record.id.ptr, op->record.id.len,
                          hash_of(m, op->record.id), k);
  if (k != NULL) {
    op->last = k->record.offset;
    return RILL_ERR_EXISTS;
  }
  op->last = e->last;
  if (op->expect != RILL_STORE_ANY && op->expect != e->last)
    return RILL_ERR_STATE;
  k = grow(m, e) ? copy_of(m, &op->record) : NULL;
  if (k == NULL)
    return RILL_ERR_NOMEM;
  if (k->record.id.len > 0)
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, e->ids, k->record.id.ptr, k->record.id.len,
                                hash_of(m, k->record.id), k);
  if (map_failed) {
    rill__free(&m->alloc, k, k->size);
    return RILL_ERR_NOMEM;
  }
  k->record.offset = op->last = ++e->last;
  *place(e, e->len++) = k;
  e->bytes += k->record.data.len;
  trim(m, e, op);
  return 0;
}

static uint64_t number_of(const entry *e, uint32_t i) {
  return (*place(e, i))->record.offset;
}

/* How many records are not above |from|, or below it. */
static uint32_t count_to(const entry *e, uint64_t from, bool below) {
  uint32_t low = 0, high = e->len;

  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    uint64_t number = number_of(e, mid);
    if (below ? number < from : number <= from)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static int read_log(memory *m, rill_store_op *op, rill_record **out) {
  entry *e = find(m, m->logs, op->name);
  uint32_t n, at;

  *out = NULL;
  op->nrecords = 0;
  op->first = op->last = 0;
  if (e == NULL)
    return 0;
  while (e->len > 0 && oldest_aged(e, op))
    drop_oldest(m, e);
  op->last = e->last;
  op->first = e->len > 0 ? number_of(e, 0) : e->last + 1;
  at = count_to(e, op->from, op->reverse);
  n = op->reverse ? at : e->len - at;
  if (n > op->limit)
    n = op->limit;
  if (n == 0)
    return 0;
  *out = rill__malloc(&m->alloc, n * sizeof **out);
  if (*out == NULL)
    return RILL_ERR_NOMEM;
  for (uint32_t i = 0; i < n; i++)
    (*out)[i] = (*place(e, op->reverse ? at - 1 - i : at + i))->record;
  op->records = *out;
  op->nrecords = n;
  return 0;
}

static int remove_one(memory *m, const rill_store_op *op) {
  entry *e = find(m, m->logs, op->name);
  uint32_t at;

  if (e == NULL || op->from == 0)
    return 0;
  at = count_to(e, op->from, true);
  if (at == e->len || number_of(e, at) != op->from)
    return 0;
  forget(m, e, *place(e, at));
  for (uint32_t i = at; i + 1 < e->len; i++)
    *place(e, i) = *place(e, i + 1);
  e->len--;
  return 0;
}

static int set(memory *m, rill_store_op *op) {
  entry *e = make(m, &m->values, op->name);
  char *value;

  if (e == NULL)
    return RILL_ERR_NOMEM;
  op->last = e->version;
  if (op->version <= e->version)
    return 0;
  value = rill__malloc(&m->alloc, op->value.len > 0 ? op->value.len : 1);
  if (value == NULL)
    return RILL_ERR_NOMEM;
  if (op->value.len > 0)
    memcpy(value, op->value.ptr, op->value.len);
  rill__free(&m->alloc, e->value, e->value_len > 0 ? e->value_len : 1);
  e->value = value;
  e->value_len = op->value.len;
  op->last = e->version = op->version;
  return 0;
}

static void get(memory *m, rill_store_op *op) {
  const entry *e = find(m, m->values, op->name);

  op->last = e != NULL ? e->version : 0;
  op->value = e != NULL ? (rill_str){e->value, e->value_len} : (rill_str){0};
}

static void submit(rill_store *store, rill_store_op *op) {
  memory *m = (memory *)(void *)store;
  rill_record *records = NULL;
  size_t n;

  switch (op->kind) {
  case RILL_STORE_APPEND:
    op->status = append(m, op);
    break;
  case RILL_STORE_READ:
    op->status = read_log(m, op, &records);
    break;
  case RILL_STORE_REMOVE:
    op->status = remove_one(m, op);
    break;
  case RILL_STORE_SET:
    op->status = set(m, op);
    break;
  case RILL_STORE_GET:
    get(m, op);
    op->status = 0;
    break;
  }
  n = op->nrecords;
  rill_store_complete(op);
  if (records != NULL)
    rill__free(&m->alloc, records, n * sizeof *records);
}

static void attach(rill_store *store, rill_hub *hub) {
  ((memory *)(void *)store)->hub = hub;
}

static void memory_free(rill_store *store) {
  memory *m = (memory *)(void *)store;
  rill__alloc alloc = m->alloc;

  while (m->logs != NULL)
    entry_free(m, &m->logs, m->logs);
  while (m->values != NULL)
    entry_free(m, &m->values, m->values);
  rill__free(&alloc, m, sizeof *m);
}

rill_store *rill_store_memory(rill_alloc_fn alloc, void *arg) {
  rill__alloc own = rill__alloc_default;
  memory *m;

  if (alloc != NULL)
    own = (rill__alloc){alloc, arg};
  m = rill__calloc(&own, sizeof *m);
  if (m == NULL)
    return NULL;
  m->alloc = own;
  m->store.submit = submit;
  m->store.attach = attach;
  m->store.free = memory_free;
  return &m->store;
}
