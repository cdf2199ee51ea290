/*
 * pair.c - the books: which messages were sent on each connection, and what
 * therefore may arrive.
 *
 * A message's bytes follow from its id, which is its first eight characters,
 * so that whoever receives it can check every byte.
 */
#include <stdlib.h>
#include <string.h>

#include "scene.h"

/* ---- messages ---- */

static void *grow(void *p, uint32_t n, uint32_t *cap, size_t size) {
  if (n < *cap)
    return p;
  *cap = *cap * 2 + 64;
  p = realloc(p, *cap * size);
  if (p == NULL)
    abort();
  return p;
}

uint32_t message_new(world *w, size_t len, rill_kind kind) {
  scene *s = w->scene;

  if (len < 8)
    len = 8;
  s->messages =
      grow(s->messages, s->nmessages, &s->messages_cap, sizeof *s->messages);
  s->messages[s->nmessages] =
      (struct message){(uint32_t)len, kind, false, w->seed};
  return s->nmessages++;
}

uint32_t message_some(world *w, size_t len) {
  return message_new(w, len, sim_chance(w, 50) ? RILL_TEXT : RILL_BINARY);
}

void message_forbid(world *w, uint32_t id) {
  w->scene->messages[id].forbidden = true;
}

/* Words of a small vocabulary: it compresses, but not by a hundred. */
static void fill_text(uint8_t *p, size_t n, uint64_t x) {
  static const char *const words[8] = {
      "rill ",        "stream",           "\xc3\xa9t\xc3\xa9 ",
      "\xe2\x82\xac", "\xf0\x9f\x98\x80", "0123456789",
      "aaaaaaaaaa",   "{\"k\":"};
  size_t at = 0;

  while (at < n) {
    const char *word;
    size_t len;
    x = x * 6364136223846793005u + 1442695040888963407u;
    word = words[x >> 61];
    len = strlen(word);
    if ((x >> 40 & 3) == 0 || len > n - at) {
      p[at++] = (uint8_t)('a' + (x >> 50 & 15));
    } else {
      memcpy(p + at, word, len);
      at += len;
    }
  }
}

static void fill_binary(uint8_t *p, size_t n, uint64_t x) {
  for (size_t i = 0; i < n; i++) {
    if ((i & 7) == 0)
      x = x * 6364136223846793005u + 1442695040888963407u;
    p[i] = (uint8_t)((x >> 62) == 0 ? x >> 32 : x >> (8 + (i & 7)));
    if (p[i] == 0xa5) /* the poison of sim.c */
      p[i] = 0xa4;
  }
}

const uint8_t *message_bytes(world *w, uint32_t id, size_t *len,
                             rill_kind *kind) {
  static const char digits[] = "0123456789abcdef";
  scene *s = w->scene;
  const struct message *m = &s->messages[id];
  uint64_t x = m->salt * 31 + id;

  if (s->bytes_cap < m->len) {
    s->bytes_cap = m->len;
    s->bytes = realloc(s->bytes, s->bytes_cap);
    if (s->bytes == NULL)
      abort();
  }
  for (int i = 0; i < 8; i++)
    s->bytes[i] = (uint8_t)digits[id >> (28 - 4 * i) & 15];
  if (m->kind == RILL_TEXT)
    fill_text(s->bytes + 8, m->len - 8, x);
  else
    fill_binary(s->bytes + 8, m->len - 8, x);
  *len = m->len;
  *kind = m->kind;
  return s->bytes;
}

rill_msg message_msg(world *w, uint32_t id) {
  rill_msg msg = {0};

  msg.data = message_bytes(w, id, &msg.len, &msg.kind);
  return msg;
}

/* The id of a message that came, after a look at every byte. */
static uint32_t identify(world *w, rill_kind kind, const uint8_t *data,
                         size_t len) {
  uint32_t id = 0;
  size_t whole;
  rill_kind meant;
  const uint8_t *bytes;

  if (len < 8)
    sim_breach(w, "I-BYTES", "a message that nobody sent", len, 0);
  for (int i = 0; i < 8; i++) {
    uint8_t c = data[i];
    id = id << 4 | ((c <= '9' ? c - 48u : c - 87u) & 15u);
  }
  if (id >= w->scene->nmessages)
    sim_breach(w, "I-BYTES", "a message that nobody sent", id, len);
  if (w->scene->messages[id].forbidden)
    sim_breach(w, "I-TERMINAL", "a message behind a violation", id, len);
  bytes = message_bytes(w, id, &whole, &meant);
  if (whole != len || meant != kind || memcmp(bytes, data, len) != 0)
    sim_breach(w, "I-BYTES", "a message has changed", id, len);
  return id;
}

/* ---- flows ---- */

void flow_sent(world *w, flow *f, uint32_t id, uint8_t key, bool may_drop,
               bool drops_older, bool maybe) {
  if (f->n == f->cap) {
    f->cap = f->cap * 2 + 16;
    f->v = realloc(f->v, f->cap * sizeof *f->v);
    if (f->v == NULL)
      abort();
  }
  if (drops_older)
    f->droppable = f->n;
  f->v[f->n++] = (struct entry){id, key, may_drop, maybe, false};
  (void)w;
}

/* A keyed message may take the place of an older one: only keys are in
 * order. */
static bool got_keyed(flow *f, uint32_t id) {
  for (size_t i = 0; i < f->n; i++) {
    struct entry *e = &f->v[i];
    if (e->key == 0 || e->id != id || e->seen || i < f->key_at[e->key])
      continue;
    e->seen = true;
    f->key_at[e->key] = i + 1;
    return true;
  }
  return false;
}

/*
 * Need the message at |k| not have come?  A newer one with its key may have
 * taken its place.  Or was it what was taken for an equal one before it,
 * which need not have come itself?
 */
static bool excused(const flow *f, size_t k) {
  const struct entry *e = &f->v[k];

  if (e->seen || e->may_drop || e->maybe || k < f->droppable)
    return true;
  for (size_t i = k + 1; e->key != 0 && i < f->n; i++)
    if (f->v[i].key == e->key)
      return true;
  for (size_t i = 0; i < k; i++)
    if (f->v[i].id == e->id && f->v[i].seen && excused(f, i))
      return true;
  return false;
}

void flow_got(world *w, flow *f, rill_kind kind, const void *data, size_t len,
              uint32_t *id_out) {
  uint32_t id = identify(w, kind, data, len);
  size_t i = f->next;

  *id_out = id;
  f->seen++;
  while (i < f->n && (f->v[i].key != 0 || f->v[i].id != id))
    i++;
  if (i == f->n) {
    if (got_keyed(f, id))
      return;
    sim_breach(w, "I-ORDER", "a message twice, out of order or not for here",
               id, f->next);
  }
  for (size_t k = f->next; k < i; k++)
    if (!excused(f, k))
      sim_breach(w, "I-NOGAP", "a message was left out", f->v[k].id, id);
  f->v[i].seen = true;
  f->next = i + 1;
}

/* Was the one at |k| taken for an equal one that need not have come? */
static bool taken_for_equal(const flow *f, size_t k) {
  for (size_t i = 0; i < k; i++)
    if (f->v[i].id == f->v[k].id && f->v[i].seen && f->v[i].maybe)
      return true;
  return false;
}

void flow_whole(world *w, const flow *f, const char *when, uint64_t who,
                uint64_t *dropped) {
  for (size_t i = 0; i < f->n; i++) {
    const struct entry *e = &f->v[i];
    if (e->seen || e->maybe || taken_for_equal(f, i))
      continue;
    ++*dropped;
    if (!excused(f, i))
      sim_breach(w, "I-LOST", when, who, e->id);
  }
}

/* ---- pairs ---- */

pair *pair_new(world *w) {
  scene *s = w->scene;
  pair *p = calloc(1, sizeof *p);

  if (p == NULL)
    abort();
  s->pairs = grow(s->pairs, s->npairs, &s->pairs_cap, sizeof *s->pairs);
  p->w = w;
  p->id = s->npairs;
  s->pairs[s->npairs++] = p;
  return p;
}

pair *pair_by_id(world *w, uint32_t id) {
  return id < w->scene->npairs ? w->scene->pairs[id] : NULL;
}

void pairs_free(world *w) {
  scene *s = w->scene;

  for (uint32_t i = 0; i < s->npairs; i++) {
    free(s->pairs[i]->down.v);
    free(s->pairs[i]->up.v);
    free(s->pairs[i]);
  }
  free(s->pairs);
  free(s->messages);
  free(s->bytes);
}
