/*
 * kept_act.c - what the host of the third scene does of itself: publishes,
 * notifies, reads back; and what it is told of that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kept.h"

void kept_touched(world *w) {
  node *n = &w->nodes[0];

  n->turn_open = true;
  sim_maybe_turn(n);
}

static void published(rill_hub *hub, const rill_published *out, void *arg) {
  world *w = arg;
  kept *k = w->kept;
  char id[24] = "";
  int room = -1;

  sim_handler_enter(w, hub);
  if (out->id.len >= sizeof id)
    sim_breach(w, "I-KEPT", "an id that nobody gave", out->id.len, 0);
  memcpy(id, out->id.ptr, out->id.len);
  for (size_t i = k->npublications; i > 0 && room < 0; i--)
    if (strcmp(k->publications[i - 1].id, id) == 0)
      room = k->publications[i - 1].room;
  sim_note(w, "published", out->offset, (uint64_t)(int64_t)out->status, 0);
  if (room < 0)
    sim_breach(w, "I-KEPT", "an id that nobody gave", out->offset, 0);
  if (room != ROOM_RING &&
      (out->status == 0 || out->status == RILL_ERR_EXISTS) &&
      shelf_number(kept_log(k, room), id, out->offset - 1) != out->offset)
    sim_breach(w, "I-KEPT", "published, and not kept", out->offset, 0);
  sim_handler_leave(w);
}

static void note_publication(kept *k, int room, const char *id) {
  if (k->npublications == k->publications_cap) {
    k->publications_cap = k->publications_cap * 2 + 64;
    k->publications =
        realloc(k->publications, k->publications_cap * sizeof *k->publications);
    if (k->publications == NULL)
      abort();
  }
  k->publications[k->npublications] =
      (publication){.room = room, .life = k->life};
  snprintf(k->publications[k->npublications++].id, 24, "%s", id);
}

void kept_publish(world *w, int room, const char *id, const rill_event *ev) {
  kept *k = w->kept;
  rill_publish_opts opts = {.id = rill_s(id),
                            .stamp = true,
                            .ack = ev,
                            .done = sim_chance(w, 50) ? published : NULL,
                            .arg = w};
  rill_builder *b;
  int rv;

  note_publication(k, room, id);
  sim_note(w, "publishes", k->npublications, (uint64_t)room, 0);
  if (ev != NULL && room != ROOM_RING && sim_chance(w, 30)) {
    rv = SIM_COMMAND(w, rill_publish_event(ev, rill_s(kept_room(room)), &opts));
  } else {
    b = rill_build(w->nodes[0].hub);
    rill_put_object(b);
    rill_set_text(b, "room", kept_room(room));
    rill_set_int(b, "n", (int64_t)k->npublications);
    rill_put_end(b);
    rv = SIM_COMMAND(w, rill_publish(w->nodes[0].hub, rill_s(kept_room(room)),
                                     "said", b, &opts));
  }
  if (rv != 0 && rv != RILL_ERR_LIMIT && rv != RILL_ERR_NOMEM)
    sim_breach(w, "I-KEPT", "it cannot be published", (uint64_t)(int64_t)rv, 0);
}

static void notified(rill_hub *hub, const rill_notified *out, void *arg) {
  world *w = arg;
  kept *k = w->kept;
  uint32_t i = kept_note_of(w, out->id);
  note *n = &k->notes[i];

  sim_handler_enter(w, hub);
  sim_note(w, "notified", i, out->offset, (uint64_t)(int64_t)out->status);
  if (out->status == 0) {
    n->offset = out->offset;
    n->sure = true;
    for (uint32_t j = 0; j < i && n->key > 0; j++)
      if (k->notes[j].user == n->user && k->notes[j].key == n->key &&
          k->notes[j].sure)
        k->notes[j].may = false; /* this one has its place */
  } else {
    n->must = false;
    n->may = out->status == RILL_ERR_IO;
  }
  sim_handler_leave(w);
}

static void notify(world *w) {
  static const char *const keys[] = {"", "red", "blue"};
  kept *k = w->kept;
  uint32_t i = k->nnotes;
  note *n = &k->notes[i];
  char id[24];
  rill_notify_opts opts = {.done = notified, .arg = w};
  rill_builder *b = rill_build(w->nodes[0].hub);
  int rv;

  if (i == KEPT_NOTES)
    return;
  *n = (note){.user = 1 + sim_below(w, KEPT_USERS - 1),
              .key = sim_below(w, 6),
              .may = true,
              .must = true};
  n->key = n->key < 3 ? n->key : 0;
  k->nnotes++;
  if (sim_chance(w, 20)) {
    opts.ttl_ms = 500 + sim_below(w, 5000);
    n->expires = people_wall(w) + opts.ttl_ms;
  }
  snprintf(id, sizeof id, "n%u", i);
  opts.id = rill_s(id);
  opts.key = rill_s(keys[n->key]);
  rill_put_object(b);
  rill_set_int(b, "n", i);
  rill_put_end(b);
  for (uint32_t j = 0; j < i && n->key > 0; j++)
    if (k->notes[j].user == n->user && k->notes[j].key == n->key)
      k->notes[j].must = false;
  rv = SIM_COMMAND(w, rill_notify(w->nodes[0].hub, rill_s(kept_user(n->user)),
                                  "note", b, &opts));
  sim_note(w, "notify", i, n->user, (uint64_t)(int64_t)rv);
  if (rv != 0)
    n->may = n->must = false;
}

/* What is under way when the program is killed may be there, or not. */
static void forget_unsure(kept *k) {
  for (uint32_t i = 0; i < k->nnotes; i++)
    k->notes[i].must &= k->notes[i].sure;
}

typedef struct reading {
  struct reading *next; /* of those under way */
  world *w;
  int room;
  rill_history_opts opts;
  uint32_t life;
} reading;

static void forget_reading(kept *k, const reading *r) {
  struct reading **at = &k->reading;

  while (*at != r)
    at = &(*at)->next;
  *at = r->next;
  k->readings--;
}

/* The program is killed: nobody calls back. */
void kept_forget_readings(kept *k) {
  while (k->reading != NULL) {
    reading *r = k->reading;
    forget_reading(k, r);
    free(r);
  }
}

static void check_past(world *w, const reading *r, const rill_pasts *pasts) {
  const shelf_log *log = kept_log(w->kept, r->room);
  uint64_t at = r->opts.since;

  for (size_t i = 0; i < pasts->n; i++) {
    const rill_past *p = &pasts->v[i];
    bool next = r->opts.before == 0 ? p->offset == at + 1 || i == 0
                                    : p->offset + 1 == at || i == 0;
    if (!next || p->offset == 0 || p->offset > log->n ||
        !rill_str_eq(rill_s(log->v[p->offset - 1].id), p->id))
      sim_breach(w, "I-HISTORY", "not what is kept", p->offset, at);
    at = p->offset;
  }
}

static void has_read(rill_hub *hub, const rill_pasts *pasts, void *arg) {
  reading *r = arg;
  world *w = r->w;

  sim_handler_enter(w, hub);
  sim_note(w, "read", pasts->n, pasts->last, (uint64_t)(int64_t)pasts->status);
  forget_reading(w->kept, r);
  if (pasts->status == 0 && r->room != ROOM_RING)
    check_past(w, r, pasts);
  if (pasts->status != 0 && pasts->n > 0)
    sim_breach(w, "I-HISTORY", "an error with events", pasts->n, 0);
  sim_handler_leave(w);
  free(r);
}

static void read_back(world *w) {
  reading *r = calloc(1, sizeof *r);
  int rv;

  if (r == NULL)
    abort();
  r->w = w;
  r->room = (int)sim_below(w, KEPT_ROOMS);
  r->opts.limit = sim_below(w, 30);
  if (sim_chance(w, 50))
    r->opts.since = sim_below(w, 100);
  else
    r->opts.before = 1 + sim_below(w, 100);
  rv = SIM_COMMAND(w, rill_history(w->nodes[0].hub, rill_s(kept_room(r->room)),
                                   &r->opts, has_read, r));
  if (rv != 0) {
    free(r);
    return;
  }
  r->next = w->kept->reading;
  w->kept->reading = r;
  w->kept->readings++;
}

static void begin_again(world *w, void *a, uint64_t b) {
  (void)a, (void)b;
  kept_begin(w);
}

void kept_act(world *w) {
  kept *k = w->kept;
  uint32_t what = sim_below(w, 100);
  char id[24];

  if (w->nodes[0].hub == NULL)
    return;
  if (what < 45) {
    snprintf(id, sizeof id, "h%zu", k->npublications);
    kept_publish(w, (int)sim_below(w, KEPT_ROOMS), id, NULL);
  } else if (what < 75) {
    notify(w);
  } else if (what < 97) {
    read_back(w);
  } else if (k->crashes) {
    forget_unsure(k);
    kept_kill(w);
    sim_later(w, sim_below(w, 1500) * RILL_MSEC, begin_again, NULL, 0);
    return;
  }
  kept_touched(w);
}
