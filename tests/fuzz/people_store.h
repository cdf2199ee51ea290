/*
 * people_store.h - the store of fuzz_people.c: one in memory that outlives
 * the hubs, behind a door that keeps operations back, lets them go out of
 * step, but each log's in order, and fails them with or without their effect.
 * It writes down which publication got which number.
 */
#ifndef PEOPLE_STORE_H
#define PEOPLE_STORE_H

#include "people.h"

#include <rill/store.h>

/* The log of a room of the programs; LOGS: it is another. */
static inline unsigned log_of(rill_str name) {
  for (unsigned i = 0; i < SPACES; i++)
    for (unsigned k = 0; k < ROOMS; k++) {
      char text[40];
      snprintf(text, sizeof text, "room%s\n%s", space_names[i], room_names[k]);
      if (rill_str_eq(name, rill_s(text)))
        return i * ROOMS + k;
    }
  return LOGS;
}

/* |op| has been appended. */
static inline void write_down(people *s, const rill_store_op *op, bool silent) {
  unsigned at = log_of(op->name), serial = 0;
  rill__tape tape;
  rill__item item;
  book *b;

  if (at == LOGS)
    return;
  b = &s->books[at];
  MUST(op->last == b->last + 1);
  rill__tape_init(&tape, &rill__alloc_default);
  MUST(rill__item_read(&tape, op->record.data, &item));
  serial = serial_of((rill_value){item.args}, 0);
  rill__tape_finish(&tape);
  b->last = op->last;
  if (op->last >= NUMBERS)
    return;
  b->serial[op->last] = (uint16_t)serial;
  b->silent[op->last] = silent;
  s->serials[serial].log = (uint8_t)at;
  s->serials[serial].number = (uint16_t)op->last;
}

/* The user whose receipts |name| has, in which log; NULL: it is another. */
static inline book *receipts_of(people *s, rill_str name, unsigned *user) {
  for (unsigned i = 0; i < LOGS; i++)
    for (*user = 1; *user < USERS; ++*user) {
      char text[60];
      int n = snprintf(text, sizeof text, "read\n%s\n%s\n%s",
                       space_names[i / ROOMS], room_names[i % ROOMS],
                       user_names[*user]);
      if (name.len == (size_t)n &&
          memcmp(name.ptr + 4, text + 4, (size_t)n - 4) == 0)
        return &s->books[i];
    }
  return NULL;
}

/* Others are to be told how far somebody has read, unless half of it fails. */
static inline void write_down_read(people *s, const rill_store_op *op,
                                   bool failed) {
  unsigned user;
  book *b = receipts_of(s, op->name, &user);

  if (b == NULL)
    return;
  b->unsure[user] |= failed;
  if (op->kind == RILL_STORE_SET && op->last == op->version &&
      rill_str_starts(op->name, "read"))
    b->read[user] = op->version;
}

/* What a failed operation shows is of no use. */
static inline void spoil(rill_store_op *op, int status) {
  op->status = status;
  op->first = op->last = 7777777;
  op->nrecords = 0;
}

static inline void store_do(store *t, rill_store_op *op) {
  people *s = t->s;
  bool fails = (t->fails >> op->kind & 1) != 0;

  if (op->kind >= RILL_STORE_SET && fails)
    write_down_read(s, op, true);
  if (fails && !(t->effect && t->status == RILL_ERR_IO)) {
    spoil(op, t->status);
    rill_store_complete(op);
    return;
  }
  t->inner->submit(t->inner, op);
  if (op->kind == RILL_STORE_APPEND && op->status == 0)
    write_down(s, op, fails);
  if (op->kind == RILL_STORE_SET && op->status == 0)
    write_down_read(s, op, fails);
  if (fails && op->status == 0) /* before the hub hears of it */
    spoil(op, RILL_ERR_IO);
}

/* Is |a| to be done before |b|?  A log and a value are two things. */
static inline bool same_run(const rill_store_op *a, const rill_store_op *b) {
  return (a->kind < RILL_STORE_SET) == (b->kind < RILL_STORE_SET) &&
         rill_str_eq(a->name, b->name);
}

/* Is no other to be done before |op|, which may be new? */
static inline bool is_first(const store *t, const rill_store_op *op) {
  const rill_store_op *o = t->first;

  while (o != NULL && o != op && !same_run(o, op))
    o = o->next;
  return o == NULL || o == op;
}

static inline void store_submit(rill_store *store_, rill_store_op *op) {
  store *t = (store *)(void *)store_;

  if (!t->keeps && is_first(t, op)) {
    store_do(t, op);
    return;
  }
  op->next = NULL;
  *t->end = op;
  t->end = &op->next;
  t->nkept++;
}

/* Lets one go: the |which|-th of those that may. */
static inline void let_one(store *t, unsigned which) {
  rill_store_op **at, *op;
  unsigned n = 0;

  for (op = t->first; op != NULL; op = op->next)
    n += is_first(t, op);
  if (n == 0)
    return;
  which %= n;
  for (at = &t->first; !is_first(t, *at) || which-- > 0; at = &(*at)->next)
    continue;
  op = *at;
  *at = op->next;
  if (op->next == NULL)
    t->end = at;
  t->nkept--;
  store_do(t, op);
}

static inline void let(store *t, unsigned n, unsigned which) {
  while (n-- > 0)
    let_one(t, which);
}

/* As a store with a thread of its own comes back. */
static inline void let_posted(rill_hub *hub, void *arg) {
  people *s = arg;
  store *t = &s->store;

  MUST(hub == s->hub && s->may_run && t->task < t->ntasks);
  let(t, t->tasks[t->task].n, t->tasks[t->task].which);
  if (++t->task == t->ntasks)
    t->task = t->ntasks = 0;
}

static inline void let_later(people *s, unsigned n, unsigned which) {
  store *t = &s->store;

  if (t->ntasks == sizeof t->tasks / sizeof *t->tasks)
    return;
  t->tasks[t->ntasks].n = (uint8_t)n;
  t->tasks[t->ntasks++].which = (uint8_t)which;
  if (rill_post(s->hub, let_posted, s) != 0)
    t->ntasks--;
}

static inline void store_attach(rill_store *store_, rill_hub *hub) {
  store *t = (store *)(void *)store_;
  t->inner->attach(t->inner, hub);
}

/* The program ends, and with it what was not written. */
static inline void store_free(rill_store *store_) {
  store *t = (store *)(void *)store_;

  t->first = NULL;
  t->end = &t->first;
  t->nkept = t->ntasks = t->task = 0;
}

static inline void store_init(people *s) {
  store *t = &s->store;

  t->store = (rill_store){
      .submit = store_submit, .attach = store_attach, .free = store_free};
  if ((s->flags & NAMELESS) == 0)
    memcpy(t->store.epoch, "lastsfor", RILL_STORE_EPOCH);
  t->s = s;
  t->end = &t->first;
  t->status = RILL_ERR_IO;
  t->inner = rill_store_memory(mem_fn, &t->memory);
  MUST(t->inner != NULL);
}

/*
 * For a hub that has just been made: the store in memory hashes with the
 * hub's secret, so all of them have the same; their epochs differ.
 */
static inline void store_use(people *s) {
  rill_hub *hub = s->hub;

  memset(hub->hash_key, 'k', sizeof hub->hash_key);
  memset(hub->epoch, 'a' + (int)(s->hubs % 26), sizeof hub->epoch);
  hub->epoch[0] = (char)('a' + s->hubs / 26 % 26);
  hub->seeded = true;
  if ((s->flags & NO_STORE) == 0)
    MUST(rill_store_use(hub, &s->store.store) == 0);
}

static inline void store_finish(people *s) {
  store *t = &s->store;

  t->inner->free(t->inner);
  MUST(t->memory.bytes == 0 && t->memory.blocks == 0);
}

#endif
