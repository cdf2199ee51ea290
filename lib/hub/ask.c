#include "hub/ask.h"

static void ask_free(rill__ask *a) {
  rill_hub *hub = a->hub;

  rill__bytes_finish(&a->answers);
  rill__free(&hub->alloc, a->table, a->places * sizeof *a->table);
  rill__free(&hub->alloc, a->v, a->cap * sizeof *a->v);
  rill__timed_free(hub, &a->timer, a, sizeof *a);
}

static void unlist(rill__ask *a) {
  const rill__alloc *map_alloc = &a->hub->alloc;

  HASH_DEL(a->hub->asks, a);
}

rill__ask *rill__ask_new(rill_hub *hub, const rill_emit_opts *opts, int *rv) {
  const rill__alloc *map_alloc = &hub->alloc;
  const rill_limits *l = &hub->config.limits;
  bool map_failed = false;
  rill__ask *a;

  *rv = RILL_ERR_LIMIT;
  if (HASH_COUNT(hub->asks) >= l->acks_pending) {
    hub->metrics.limit_acks_pending++;
    return NULL;
  }
  *rv = RILL_ERR_NOMEM;
  a = rill__timed_new(hub, sizeof *a);
  if (a == NULL)
    return NULL;
  a->hub = hub;
  a->id = hub->next_ask;
  a->fn = opts->on_answers;
  a->arg = opts->arg;
  rill__bytes_init(&a->answers, &hub->alloc);
  rill__timer_init(&a->timer, RILL__TIMER_ASK);
  HASH_ADD_BYHASHVALUE(hh, hub->asks, id, sizeof a->id, (unsigned)a->id, a);
  if (map_failed) {
    ask_free(a);
    return NULL;
  }
  hub->next_ask++;
  rill__heap_set(
      &hub->timers, &a->timer,
      rill__after(hub->now, opts->ack_ms != 0 ? opts->ack_ms : l->ack_ms));
  *rv = 0;
  return a;
}

void rill__ask_expect(void *arg, rill__peer *p) {
  rill__ask *a = arg;

  if (a->n == a->cap) {
    uint32_t cap = a->cap == 0 ? 4 : a->cap * 2;
    void *v = rill__realloc(&a->hub->alloc, a->v, a->cap * sizeof *a->v,
                            cap * sizeof *a->v);
    if (v == NULL) {
      a->status = RILL_ERR_NOMEM;
      return;
    }
    a->v = v;
    a->cap = cap;
  }
  a->v[a->n++] = (struct rill__asked){rill__peer_handle(p), UINT32_MAX, false};
  a->open++;
}

/* Told when the call that runs, or the next tick, ends. */
static void finish(rill__ask *a, int status) {
  rill_hub *hub = a->hub;

  if (a->over)
    return;
  a->over = true;
  if (a->status == 0)
    a->status = status;
  unlist(a);
  rill__heap_set(&hub->timers, &a->timer, RILL_NEVER);
  a->next = NULL;
  *hub->asks_end = a;
  hub->asks_end = &a->next;
}

static uint32_t place_of(const rill__ask *a, uint32_t slot) {
  return slot * 2654435769u & (a->places - 1);
}

static bool index_all(rill__ask *a) {
  uint32_t places = 8;

  while (places < a->n * 2)
    places *= 2;
  a->table = rill__calloc(&a->hub->alloc, places * sizeof *a->table);
  if (a->table == NULL)
    return false;
  a->places = places;
  for (uint32_t i = 0; i < a->n; i++) {
    uint32_t k = place_of(a, a->v[i].peer.slot);
    while (a->table[k] != 0)
      k = (k + 1) & (places - 1);
    a->table[k] = i + 1;
  }
  return true;
}

void rill__ask_begin(rill__ask *a) {
  if (a->open == 0)
    finish(a, 0);
  else if (!index_all(a))
    finish(a, RILL_ERR_NOMEM);
}

void rill__ask_drop(rill__ask *a) {
  unlist(a);
  ask_free(a);
}

void rill__ask_timeout(rill__ask *a) {
  a->hub->metrics.acks_timed_out_total += a->open;
  a->hub->metrics.limit_ack_ms++;
  finish(a, RILL_ERR_TIMEOUT);
}

static rill__ask *find(rill_hub *hub, uint64_t id) {
  rill__ask *a = NULL;

  if (hub->asks != NULL)
    HASH_FIND_BYHASHVALUE(hh, hub->asks, &id, sizeof id, (unsigned)id, a);
  return a;
}

static struct rill__asked *asked(rill__ask *a, const rill__peer *p) {
  uint32_t k = a->places > 0 ? place_of(a, p->slot) : 0;

  for (; a->places > 0 && a->table[k] != 0; k = (k + 1) & (a->places - 1))
    if (rill_peer_eq(a->v[a->table[k] - 1].peer, rill__peer_handle(p)))
      return &a->v[a->table[k] - 1];
  return NULL;
}

/* Everybody has answered or left. */
static void settle(rill__ask *a) {
  bool missing = false;

  if (a->open > 0)
    return;
  for (uint32_t i = 0; i < a->n; i++)
    missing |= a->v[i].at == UINT32_MAX;
  finish(a, missing ? RILL_ERR_CLOSED : 0);
}

void rill__ask_answer(rill__peer *p, uint64_t id, const rill__node *args) {
  rill__ask *a = find(p->hub, id);
  struct rill__asked *who = a != NULL ? asked(a, p) : NULL;
  size_t at;
  uint32_t len = 0;

  if (who == NULL || who->at != UINT32_MAX || who->left)
    return;
  at = a->answers.len;
  rill__bytes_add(&a->answers, &len, sizeof len);
  rill__msgpack_write(&a->answers, args);
  if (a->answers.failed || a->answers.len >= UINT32_MAX) {
    a->status = RILL_ERR_NOMEM;
    who->left = true;
  } else {
    len = (uint32_t)(a->answers.len - at - sizeof len);
    memcpy(a->answers.data + at, &len, sizeof len);
    who->at = (uint32_t)at;
  }
  a->open--;
  settle(a);
}

void rill__ask_left(rill__peer *p) {
  rill_hub *hub = p->hub;
  rill__ask *next;

  for (rill__ask *a = hub->asks; a != NULL; a = next) {
    struct rill__asked *who = asked(a, p);
    next = a->hh.next;
    if (who == NULL || who->at != UINT32_MAX || who->left)
      continue;
    who->left = true;
    a->open--;
    settle(a);
  }
}

/* Reads the answers back and calls the host. */
static void tell(rill__ask *a) {
  static const rill__value_limits none = {64, UINT32_MAX, UINT32_MAX};
  const rill__alloc *alloc = &a->hub->alloc;
  size_t size = a->n * (sizeof(rill_answer) + sizeof(rill_peer));
  rill_answers out = {.status = a->status};
  rill_answer *v = a->n > 0 ? rill__malloc(alloc, size) : NULL;
  rill_peer *missing = v != NULL ? (rill_peer *)(void *)(v + a->n) : NULL;
  uint32_t *at = a->n > 0 ? rill__malloc(alloc, a->n * sizeof *at) : NULL;
  rill__tape tape;

  rill__tape_init(&tape, alloc);
  if (a->n > 0 && (v == NULL || at == NULL))
    out.status = RILL_ERR_NOMEM;
  for (uint32_t i = 0; i < a->n && out.status != RILL_ERR_NOMEM; i++) {
    const uint8_t *data = a->answers.data + a->v[i].at;
    uint32_t len;
    if (a->v[i].at == UINT32_MAX) {
      missing[out.nmissing++] = a->v[i].peer;
      continue;
    }
    memcpy(&len, data, sizeof len);
    at[out.n] = tape.len;
    v[out.n++].peer = a->v[i].peer;
    if (rill__msgpack_read(&tape,
                           (rill_str){(const char *)data + sizeof len, len},
                           &none) != 0)
      out.status = RILL_ERR_NOMEM;
  }
  for (size_t i = 0; i < out.n; i++) /* nodes have moved until now */
    v[i].args.node = out.status == RILL_ERR_NOMEM ? NULL : tape.v + at[i];
  out.v = v;
  out.missing = missing;
  a->hub->in_handler = true;
  a->fn(a->hub, &out, a->arg);
  a->hub->in_handler = false;
  rill__tape_finish(&tape);
  rill__free(alloc, at, a->n * sizeof *at);
  rill__free(alloc, v, size);
}

void rill__asks_deliver(rill_hub *hub) {
  rill__ask *last = NULL;

  if (hub->asks_over != NULL)
    last = RILL__CONTAINER(hub->asks_end, rill__ask, next);
  while (hub->asks_over != NULL) {
    rill__ask *a = hub->asks_over;
    hub->asks_over = a->next;
    if (hub->asks_over == NULL)
      hub->asks_end = &hub->asks_over;
    bool done = a == last; /* what comes due meanwhile waits a turn */
    tell(a);
    ask_free(a);
    if (done)
      break;
  }
}

void rill__asks_free(rill_hub *hub) {
  while (hub->asks != NULL)
    rill__ask_drop(hub->asks);
  while (hub->asks_over != NULL) {
    rill__ask *a = hub->asks_over;
    hub->asks_over = a->next;
    ask_free(a);
  }
}
