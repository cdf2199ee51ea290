/*
 * books.c - which events each guest is owed, and what it got.
 */
#include <stdlib.h>
#include <string.h>

#include "events.h"

static void *grown(void *v, size_t n, size_t *cap, size_t size) {
  if (n < *cap)
    return v;
  *cap = *cap * 2 + 16;
  v = realloc(v, *cap * size);
  if (v == NULL)
    abort();
  return v;
}

guest *guest_new(world *w, rill_peer peer, caller *c) {
  events *s = w->events;
  rill_str sid = rill_peer_sid(peer);
  size_t cap = s->guests_cap;
  guest *g = calloc(1, sizeof *g);

  if (g == NULL)
    abort();
  s->guests = grown(s->guests, s->nguests, &cap, sizeof(guest *));
  s->guests_cap = (uint32_t)cap;
  s->guests[s->nguests++] = g;
  *g = (guest){.w = w, .id = s->nguests, .peer = peer, .caller = c};
  if (sid.len != 20)
    sim_breach(w, "I-OPEN", "a peer without an id", sid.len, 0);
  memcpy(g->sid, sid.ptr, 20);
  return g;
}

guest *guest_by_sid(world *w, rill_str sid) {
  events *s = w->events;

  for (uint32_t i = s->nguests; i > 0; i--)
    if (sid.len == 20 && memcmp(s->guests[i - 1]->sid, sid.ptr, 20) == 0)
      return s->guests[i - 1];
  return NULL;
}

uint32_t item_new(world *w, const item *it) {
  events *s = w->events;

  s->items = grown(s->items, s->nitems, &s->items_cap, sizeof *s->items);
  s->items[s->nitems++] = *it;
  s->items[s->nitems - 1].at = w->now;
  return (uint32_t)s->nitems;
}

static bool is_for(const item *it, const guest *g) {
  if (it->except == g)
    return false;
  return it->all || it->to == g || (it->rooms & g->rooms) != 0 ||
         (it->user != 0 && it->user == g->user);
}

static void owe(guest *g, uint32_t n, bool may_drop, bool kept) {
  owed *o = &g->owed[g->w->events->items[n - 1].held];

  o->v = grown(o->v, o->n, &o->cap, sizeof *o->v);
  o->v[o->n++] = (struct due){n, may_drop, kept};
}

void item_sent(world *w, uint32_t n, int rv) {
  events *s = w->events;
  item *it = &s->items[n - 1];

  it->may_drop |= rv < 0;
  if (rv == RILL_ERR_ARG || rv == RILL_ERR_LIMIT)
    return;
  for (uint32_t i = 0; i < s->nguests; i++) {
    guest *g = s->guests[i];
    bool kept = s->recovery && !it->fleeting && !g->sse;
    if (g->side == GUEST_CLOSED || !is_for(it, g) ||
        (g->side == GUEST_AWAY && !kept))
      continue;
    if (it->drops_older)
      guest_forgive(g, true);
    owe(g, n, it->may_drop || !rill_is_open(g->peer), kept);
    if (!rill_is_open(g->peer) && kept && !it->may_drop) {
      owed *o = &g->owed[it->held]; /* away, and it will be replayed */
      o->v[o->n - 1].may_drop = false;
    }
  }
}

void guest_owed_past(guest *g, size_t cursor) {
  events *s = g->w->events;

  for (size_t i = cursor; i < s->nitems; i++)
    if (!s->items[i].fleeting && is_for(&s->items[i], g))
      owe(g, (uint32_t)i + 1, true, false);
}

void guest_owed_held(guest *g) {
  const events *s = g->w->events;
  size_t i = s->nitems;

  while (i > 0 && s->items[i - 1].at + 5 * RILL_SEC > g->w->now)
    i--;
  for (; i < s->nitems; i++)
    if (s->items[i].held && is_for(&s->items[i], g))
      owe(g, (uint32_t)i + 1, true, false);
}

void guest_complete(guest *g) {
  const events *s = g->w->events;

  for (int k = 0; k < 2; k++)
    for (size_t i = g->owed[k].next; i < g->owed[k].n; i++) {
      struct due *d = &g->owed[k].v[i];
      const item *it = &s->items[d->n - 1];
      if (d->n <= g->opened_at && (it->rooms & g->rooms) != 0)
        d->may_drop = it->may_drop;
    }
}

void guest_got(guest *g, uint32_t n) {
  world *w = g->w;
  owed *o;

  if (n == 0 || n > w->events->nitems)
    sim_breach(w, "I-EVENT", "nobody has emitted it", g->id, n);
  o = &g->owed[w->events->items[n - 1].held];
  for (size_t i = o->next; i < o->n; i++) {
    if (o->v[i].n == n) {
      o->next = i + 1;
      return;
    }
    if (!o->v[i].may_drop)
      break;
  }
  for (size_t i = 0; i < o->next; i++)
    if (o->v[i].n == n)
      sim_breach(w, "I-EVENT", "it came twice, or late", g->id, n);
  for (size_t i = o->next; i < o->n; i++)
    if (o->v[i].n == n)
      sim_breach(w, "I-EVENT", "one before it is lost", o->v[o->next].n, n);
  sim_breach(w, "I-EVENT", "it is not for this one", g->id, n);
}

void guest_forgive(guest *g, bool all) {
  for (int k = 0; k < 2; k++)
    for (size_t i = g->owed[k].next; i < g->owed[k].n; i++)
      g->owed[k].v[i].may_drop |= all || !g->owed[k].v[i].kept;
}

void guest_whole(guest *g, const char *when) {
  for (int k = 0; k < 2; k++)
    for (size_t i = g->owed[k].next; i < g->owed[k].n; i++)
      if (!g->owed[k].v[i].may_drop)
        sim_breach(g->w, "I-LOST", when, g->id, g->owed[k].v[i].n);
}

void guests_free(world *w) {
  events *s = w->events;

  for (uint32_t i = 0; i < s->nguests; i++) {
    free(s->guests[i]->owed[0].v);
    free(s->guests[i]->owed[1].v);
    free(s->guests[i]);
  }
  free(s->guests);
  free(s->items);
}
