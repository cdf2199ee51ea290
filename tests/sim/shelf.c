/*
 * shelf.c - the store of the third scene, with a plain model behind it: what
 * rill/store.h says, in as few words as possible.
 */
#include "shelf.h"

#include <stdlib.h>
#include <string.h>

typedef struct value {
  char name[64];
  uint64_t version;
  char *data;
  size_t len;
} value;

struct shelf {
  rill_store store; /* first */
  world *w;
  rill_hub *hub;
  unsigned faults;
  bool failed;
  shelf_log *logs;
  size_t nlogs;
  value *values;
  size_t nvalues;
  rill_store_op *first, **end; /* under way, in the order of submission */
  uint64_t life;               /* grows with each hub that ends */
  rill_record *read;
};

static void *copy_of(rill_str s) {
  char *p = malloc(s.len + 1);

  if (p == NULL)
    abort();
  if (s.len > 0)
    memcpy(p, s.ptr, s.len);
  p[s.len] = '\0';
  return p;
}

static void name_of(char out[64], rill_str name) {
  if (name.len >= 64)
    abort();
  memset(out, 0, 64);
  memcpy(out, name.ptr, name.len);
}

static shelf_log *log_of(shelf *s, rill_str name) {
  char text[64];

  name_of(text, name);
  for (size_t i = 0; i < s->nlogs; i++)
    if (strcmp(s->logs[i].name, text) == 0)
      return &s->logs[i];
  s->logs = realloc(s->logs, (s->nlogs + 1) * sizeof *s->logs);
  if (s->logs == NULL)
    abort();
  s->logs[s->nlogs] = (shelf_log){.first = 1};
  memcpy(s->logs[s->nlogs].name, text, sizeof text);
  return &s->logs[s->nlogs++];
}

static value *value_of(shelf *s, rill_str name) {
  char text[64];

  name_of(text, name);
  for (size_t i = 0; i < s->nvalues; i++)
    if (strcmp(s->values[i].name, text) == 0)
      return &s->values[i];
  s->values = realloc(s->values, (s->nvalues + 1) * sizeof *s->values);
  if (s->values == NULL)
    abort();
  s->values[s->nvalues] = (value){.version = 0};
  memcpy(s->values[s->nvalues].name, text, sizeof text);
  return &s->values[s->nvalues++];
}

const shelf_log *shelf_find(const shelf *s, const char *name) {
  for (size_t i = 0; i < s->nlogs; i++)
    if (strcmp(s->logs[i].name, name) == 0)
      return &s->logs[i];
  return NULL;
}

uint64_t shelf_number(const shelf_log *log, const char *id, uint64_t above) {
  for (size_t i = (size_t)above; log != NULL && i < log->n; i++)
    if (strcmp(log->v[i].id, id) == 0)
      return i + 1;
  return 0;
}

static bool too_old(const shelf_record *r, const rill_store_op *op) {
  return op->keep_ms > 0 && r->time_ms + op->keep_ms < op->record.time_ms;
}

static void trim(shelf_log *l, const rill_store_op *op) {
  uint64_t kept = 0, bytes = 0, from = l->n + 1;

  for (uint64_t at = l->n; at >= l->first; at--) { /* the newest always stays */
    const shelf_record *r = &l->v[at - 1];
    if (r->removed)
      continue;
    kept++;
    bytes += r->len;
    if (at < l->n &&
        ((op->keep_count > 0 && kept > op->keep_count) ||
         (op->keep_bytes > 0 && bytes > op->keep_bytes) || too_old(r, op)))
      break;
    from = at;
  }
  l->first = from;
}

static int append(shelf *s, rill_store_op *op) {
  shelf_log *l = log_of(s, op->name);
  const rill_record *r = &op->record;

  for (uint64_t at = l->first; at <= l->n && r->id.len > 0; at++)
    if (!l->v[at - 1].removed &&
        rill_str_eq((rill_str){l->v[at - 1].id, l->v[at - 1].id_len}, r->id)) {
      op->last = at;
      return RILL_ERR_EXISTS;
    }
  op->last = l->n;
  if (op->expect != RILL_STORE_ANY && op->expect != l->n)
    return RILL_ERR_STATE;
  if (l->n == l->cap) {
    l->cap = l->cap * 2 + 64;
    l->v = realloc(l->v, l->cap * sizeof *l->v);
    if (l->v == NULL)
      abort();
  }
  l->v[l->n] = (shelf_record){.offset = l->n + 1,
                              .time_ms = r->time_ms,
                              .id = copy_of(r->id),
                              .id_len = r->id.len,
                              .data = copy_of(r->data),
                              .len = r->data.len};
  op->last = ++l->n;
  trim(l, op);
  return 0;
}

static int read_log(shelf *s, rill_store_op *op) {
  shelf_log *l = log_of(s, op->name);
  uint64_t first, at;
  size_t n = 0;

  while (l->first <= l->n &&
         (l->v[l->first - 1].removed || too_old(&l->v[l->first - 1], op)))
    l->first++;
  first = l->first;
  op->first = l->n > 0 ? first : 0;
  op->last = l->n;
  s->read = realloc(s->read, (op->limit + 1) * sizeof *s->read);
  if (s->read == NULL)
    abort();
  at = op->reverse ? (op->from > l->n ? l->n : op->from - 1) : op->from + 1;
  if (op->reverse && op->from == 0)
    at = 0;
  if (!op->reverse && at < first)
    at = first;
  for (; n < op->limit && at >= first && at <= l->n && at > 0;
       at += op->reverse ? (uint64_t)-1 : 1) {
    const shelf_record *r = &l->v[at - 1];
    if (!r->removed)
      s->read[n++] = (rill_record){.offset = at,
                                   .time_ms = r->time_ms,
                                   .id = {r->id, r->id_len},
                                   .data = {r->data, r->len}};
  }
  op->records = s->read;
  op->nrecords = n;
  return 0;
}

static int apply(shelf *s, rill_store_op *op) {
  shelf_log *l;
  value *v;

  switch (op->kind) {
  case RILL_STORE_APPEND:
    return append(s, op);
  case RILL_STORE_READ:
    return read_log(s, op);
  case RILL_STORE_REMOVE:
    l = log_of(s, op->name);
    if (op->from > 0 && op->from <= l->n)
      l->v[op->from - 1].removed = true;
    return 0;
  case RILL_STORE_SET:
    v = value_of(s, op->name);
    if (op->version > v->version) {
      free(v->data);
      v->data = copy_of(op->value);
      v->len = op->value.len;
      v->version = op->version;
    }
    op->last = v->version;
    return 0;
  case RILL_STORE_GET:
    v = value_of(s, op->name);
    op->value = (rill_str){v->data, v->len};
    op->last = v->version;
    return 0;
  }
  abort();
}

/* Fails, with its effect or without; 0: it does not. */
static int failure(shelf *s, rill_store_op *op) {
  bool writes = op->kind != RILL_STORE_READ && op->kind != RILL_STORE_GET;

  if ((s->faults & (SHELF_FULL | SHELF_FAILING)) == 0 || s->w->calm ||
      !sim_chance(s->w, 8))
    return 0;
  s->failed = true;
  if (writes && (s->faults & SHELF_FULL) != 0 && sim_chance(s->w, 50))
    return RILL_ERR_FULL;
  if ((s->faults & SHELF_FAILING) == 0)
    return 0;
  if (writes && sim_chance(s->w, 50))
    apply(s, op);
  return RILL_ERR_IO;
}

static void complete(shelf *s, rill_store_op *op) {
  world *w = s->w;
  uint64_t last = op->last;
  int rv = failure(s, op);

  if (rv != 0)
    op->last = last;
  else
    rv = apply(s, op);
  op->status = rv;
  sim_note(w, "store", (uint64_t)op->kind, op->last, (uint64_t)(int64_t)rv);
  rill_store_complete(op);
}

static bool same_log(const rill_store_op *a, const rill_store_op *b) {
  return rill_str_eq(a->name, b->name);
}

/* The |nth| of those under way has its turn, but never before another of
 * its log. */
static void some_done(world *w, void *a, uint64_t life) {
  shelf *s = a;
  rill_store_op **at = &s->first, *op;
  node *n = &w->nodes[0];
  uint32_t k;

  if (life != s->life || s->first == NULL)
    return;
  for (k = sim_below(w, 4); k > 0 && (*at)->next != NULL; k--)
    at = &(*at)->next;
  for (rill_store_op **p = &s->first; p != at; p = &(*p)->next)
    if (same_log(*p, *at)) {
      at = p;
      break;
    }
  op = *at;
  *at = op->next;
  if (*at == NULL)
    s->end = at;
  SIM_COMMAND(w, (complete(s, op), 0));
  n->turn_open = true;
  sim_maybe_turn(n);
}

static void submit(rill_store *store, rill_store_op *op) {
  shelf *s = (shelf *)(void *)store;
  world *w = s->w;
  uint32_t most = (s->faults & SHELF_SLOW) != 0 && !w->calm ? 1500 : 20;

  if (s->first == NULL && sim_chance(w, 30)) {
    complete(s, op);
    return;
  }
  op->next = NULL;
  *s->end = op;
  s->end = &op->next;
  sim_later(w, sim_below(w, most) * RILL_MSEC, some_done, s, s->life);
}

static void attach(rill_store *store, rill_hub *hub) {
  ((shelf *)(void *)store)->hub = hub;
}

/* The program ends: of each log some of what was under way is written. */
static void let_go(rill_store *store) {
  shelf *s = (shelf *)(void *)store;

  for (size_t i = 0; i < s->nlogs; i++)
    s->logs[i].torn = sim_chance(s->w, 30);
  for (rill_store_op *op = s->first; op != NULL; op = op->next) {
    shelf_log *l = log_of(s, op->name); /* values are named as logs here */
    l->torn |= !sim_chance(s->w, 60);
    if (!l->torn)
      apply(s, op);
  }
  s->first = NULL;
  s->end = &s->first;
  s->life++;
}

shelf *shelf_new(world *w, unsigned faults) {
  shelf *s = calloc(1, sizeof *s);

  if (s == NULL)
    abort();
  s->w = w;
  s->faults = faults;
  s->store = (rill_store){.submit = submit, .attach = attach, .free = let_go};
  memcpy(s->store.epoch, "shelf000", RILL_STORE_EPOCH);
  s->end = &s->first;
  return s;
}

rill_store *shelf_store(shelf *s) {
  return &s->store;
}

void shelf_calm(shelf *s) {
  s->faults = 0;
}

bool shelf_fails(const shelf *s) {
  return s->failed;
}

size_t shelf_pending(const shelf *s) {
  size_t n = 0;

  for (const rill_store_op *op = s->first; op != NULL; op = op->next)
    n++;
  return n;
}

void shelf_free(shelf *s) {
  for (size_t i = 0; i < s->nlogs; i++) {
    for (size_t k = 0; k < s->logs[i].n; k++) {
      free(s->logs[i].v[k].id);
      free(s->logs[i].v[k].data);
    }
    free(s->logs[i].v);
  }
  for (size_t i = 0; i < s->nvalues; i++)
    free(s->values[i].data);
  free(s->logs);
  free(s->values);
  free(s->read);
  free(s);
}
