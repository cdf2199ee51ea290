#include "hub/outq.h"

#include "wire/engineio.h"
#include "wire/ws.h"

/* Idle extents kept: a turn's fan-out to a few thousand members. */
#define SPARES 4096

void rill__out_env_init(rill__out_env *env, const rill__alloc *alloc) {
  *env = (rill__out_env){.alloc = alloc};
}

void rill__out_env_finish(rill__out_env *env) {
  rill__chunk_unref(env->direct);
  env->direct = NULL;
  while (env->spare != NULL) {
    rill__extent *e = env->spare;
    env->spare = e->next;
    rill__free(env->alloc, e, sizeof *e);
  }
  env->nspare = 0;
}

void rill__outq_init(rill__outq *q) {
  *q = (rill__outq){0};
}

static rill__extent *extent_new(rill__out_env *env) {
  rill__extent *e = env->spare;

  if (e == NULL)
    return rill__malloc(env->alloc, sizeof *e);
  env->spare = e->next;
  env->nspare--;
  return e;
}

static void extent_free(rill__out_env *env, rill__extent *e) {
  rill__chunk *chunk = e->chunk;

  if (env->nspare < SPARES) {
    e->next = env->spare;
    env->spare = e;
    env->nspare++;
  } else {
    rill__free(env->alloc, e, sizeof *e);
  }
  rill__chunk_unref(chunk);
}

/* Takes out the head, or the extent behind |prev|. */
static void extent_drop(rill__outq *q, rill__out_env *env, rill__extent *prev,
                        rill__extent *e) {
  if (prev == NULL)
    q->head = e->next;
  else
    prev->next = e->next;
  if (q->tail == e)
    q->tail = prev;
  extent_free(env, e);
}

void rill__outq_finish(rill__outq *q, rill__out_env *env) {
  while (q->head != NULL)
    extent_drop(q, env, NULL, q->head);
  rill__outq_init(q);
}

bool rill__outq_push(rill__outq *q, rill__out_env *env, rill__chunk *chunk,
                     uint32_t from, uint32_t to, uint32_t kind,
                     uint32_t count) {
  rill__extent *e = q->tail;

  if (e != NULL && e->chunk == chunk && e->to == from && e->kind == kind &&
      chunk->key_len == 0 && kind != RILL__OUT_WHOLE) {
    e->to = to;
  } else {
    e = extent_new(env);
    if (e == NULL)
      return false;
    *e = (rill__extent){
        .chunk = rill__chunk_ref(chunk), .from = from, .to = to, .kind = kind};
    if (q->tail == NULL)
      q->head = e;
    else
      q->tail->next = e;
    q->tail = e;
  }
  q->bytes += to - from;
  q->count += count;
  return true;
}

size_t rill__outq_iov(const rill__outq *q, rill_iov *iov, size_t max) {
  size_t n = 0;

  for (const rill__extent *e = q->head; e != NULL && n < max; e = e->next)
    iov[n++] = (rill_iov){e->chunk->data + e->from, e->to - e->from};
  return n;
}

static uint32_t packet_len(const uint8_t *data, uint32_t left) {
  const uint8_t *next =
      left > 1 ? memchr(data + 1, RILL__EIO_SEPARATOR, left - 1) : NULL;
  return next != NULL ? (uint32_t)(next - data) : left;
}

static uint32_t event_len(const uint8_t *data, uint32_t left) {
  const uint8_t *at = data, *end = data + left, *lf;

  while (at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
    if (lf + 1 < end && lf[1] == '\n')
      return (uint32_t)(lf + 2 - data);
    at = lf + 1;
  }
  return left;
}

uint32_t rill__out_unit(uint32_t kind, const uint8_t *data, uint32_t left) {
  uint64_t len;

  switch (kind) {
  case RILL__OUT_MESSAGES:
    len = rill__ws_frame_len(data);
    return len < left ? (uint32_t)len : left;
  case RILL__OUT_PACKETS:
    return packet_len(data, left);
  case RILL__OUT_EVENTS:
    return event_len(data, left);
  default:
    return left;
  }
}

/* The unit that begins at the head of |e|: a message, or the whole extent. */
static uint32_t unit_len(const rill__extent *e) {
  return rill__out_unit(e->kind, e->chunk->data + e->from, e->to - e->from);
}

void rill__outq_move(rill__outq *to, rill__outq *from) {
  if (from->head == NULL)
    return;
  for (rill__extent *e = from->head; e != NULL; e = e->next)
    e->kind = RILL__OUT_CONTROL;
  if (to->tail == NULL)
    to->head = from->head;
  else
    to->tail->next = from->head;
  to->tail = from->tail;
  to->bytes += from->bytes;
  rill__outq_init(from);
}

static void advance(rill__outq *q, rill__out_env *env, uint32_t n) {
  rill__extent *e = q->head;

  e->from += n;
  q->bytes -= n;
  if (e->from == e->to)
    extent_drop(q, env, NULL, e);
}

void rill__outq_consume(rill__outq *q, rill__out_env *env, size_t n) {
  if (n >= q->bytes) {
    rill__outq_finish(q, env);
    return;
  }
  while (n > 0) {
    uint32_t unit = q->torn;
    if (unit == 0) {
      unit = unit_len(q->head);
      if (q->head->kind != RILL__OUT_CONTROL && q->count > 0)
        q->count--;
    }
    if (unit > n) {
      q->torn = unit - (uint32_t)n;
      unit = (uint32_t)n;
    } else {
      q->torn = 0;
    }
    n -= unit;
    while (unit > 0) { /* a head may lie in several extents */
      uint32_t part = q->head->to - q->head->from;
      if (part > unit)
        part = unit;
      advance(q, env, part);
      unit -= part;
    }
  }
}

/* The first extent whose front is not on the wire yet, and where it begins. */
static rill__extent *first_whole(const rill__outq *q, rill__extent **prev,
                                 uint32_t *skip) {
  rill__extent *e = q->head;
  uint32_t torn = q->torn;

  *prev = NULL;
  while (e != NULL && torn >= e->to - e->from) {
    torn -= e->to - e->from;
    *prev = e;
    e = e->next;
  }
  *skip = torn;
  return e;
}

/*
 * Cuts the message at |skip| bytes into |e| out.  Where torn bytes precede
 * it in the same extent, these get an extent of their own first.
 */
static bool split_torn(rill__outq *q, rill__out_env *env, rill__extent *e,
                       uint32_t skip) {
  rill__extent *rest = extent_new(env);

  if (rest == NULL)
    return false;
  *rest = *e;
  rill__chunk_ref(e->chunk);
  rest->from += skip;
  e->to = e->from + skip;
  e->kind = RILL__OUT_CONTROL;
  e->next = rest;
  if (q->tail == e)
    q->tail = rest;
  return true;
}

/*
 * The first extent of which nothing is on the wire, behind |*prev|, cut free
 * of what is; false: no memory.
 */
static bool first_free(rill__outq *q, rill__out_env *env, rill__extent **prev,
                       rill__extent **out) {
  uint32_t skip;

  *out = first_whole(q, prev, &skip);
  if (*out == NULL || skip == 0)
    return true;
  if (!split_torn(q, env, *out, skip))
    return false;
  *prev = *out;
  *out = (*out)->next;
  return true;
}

uint32_t rill__outq_drop_oldest(rill__outq *q, rill__out_env *env,
                                uint32_t bytes, uint32_t count,
                                uint32_t max_bytes, uint32_t max_count) {
  rill__extent *prev, *e;
  uint32_t dropped = 0;

  if (!first_free(q, env, &prev, &e))
    return 0;
  while (e != NULL && ((uint64_t)q->bytes + bytes > max_bytes ||
                       (uint64_t)q->count + count > max_count)) {
    uint32_t len;
    if (e->kind == RILL__OUT_CONTROL) {
      prev = e;
      e = e->next;
      continue;
    }
    len = unit_len(e);
    e->from += len;
    q->bytes -= len;
    q->count--;
    dropped++;
    if (e->from == e->to) {
      rill__extent *next = e->next;
      extent_drop(q, env, prev, e);
      e = next;
    }
  }
  return dropped;
}

uint32_t rill__outq_drop_all(rill__outq *q, rill__out_env *env) {
  return rill__outq_drop_oldest(q, env, 1, 1, 0, 0);
}

void rill__outq_cut(rill__outq *q, rill__out_env *env) {
  rill__extent *prev, *e;

  if (!first_free(q, env, &prev, &e))
    return;
  while (e != NULL && e->kind == RILL__OUT_CONTROL) { /* a head */
    prev = e;
    e = e->next;
  }
  while (e != NULL) {
    rill__extent *next = e->next;
    q->bytes -= e->to - e->from;
    extent_drop(q, env, prev, e);
    e = next;
  }
  q->count = 0;
}

static bool same_key(const rill__chunk *a, const rill__chunk *b) {
  return a->key_len == b->key_len && memcmp(a->data, b->data, a->key_len) == 0;
}

/*
 * The last one counts: there are two where a longer one did not fit in the
 * place of the first, and the older must not come behind the newer.
 */
bool rill__outq_conflate(rill__outq *q, rill__chunk *chunk, uint32_t from,
                         uint32_t to, uint32_t max_bytes) {
  rill__extent *prev, *e, *last = NULL;
  uint32_t skip, rest;

  e = first_whole(q, &prev, &skip);
  if (e != NULL && skip > 0)
    e = e->next;
  for (; e != NULL; e = e->next)
    if (e->chunk->key_len > 0 && same_key(e->chunk, chunk))
      last = e;
  if (last == NULL)
    return false;
  rest = q->bytes - (last->to - last->from);
  if (rest > 0 && (uint64_t)rest + (to - from) > max_bytes)
    return false;
  q->bytes = rest + (to - from);
  rill__chunk_ref(chunk);
  rill__chunk_unref(last->chunk);
  last->chunk = chunk;
  last->from = from;
  last->to = to;
  return true;
}

void rill__outq_put_last(rill__outq *q, const rill__chunk *chunk) {
  rill__extent **at = &q->head, *e;

  while (*at != NULL && (*at)->chunk != chunk)
    at = &(*at)->next;
  e = *at;
  if (e == NULL || e == q->tail)
    return;
  *at = e->next;
  e->next = NULL;
  q->tail->next = e;
  q->tail = e;
}

rill__chunk *rill__out_room(rill__out_env *env, rill__chunk_pool *pool,
                            size_t len, bool *own) {
  *own = len > RILL__CHUNK_STD;
  if (*own)
    return rill__chunk_new(pool, len);
  rill__out_rewind(env->direct);
  if (env->direct == NULL || rill__chunk_room(env->direct) < len) {
    rill__chunk *fresh = rill__chunk_new(pool, RILL__CHUNK_STD);
    if (fresh == NULL)
      return NULL;
    rill__chunk_unref(env->direct);
    env->direct = fresh;
  }
  return env->direct;
}
