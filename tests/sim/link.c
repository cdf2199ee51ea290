/*
 * link.c - the links of the world: bytes that take time, windows that fill,
 * streams that break.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

end *sim_end_new(world *w) {
  end *e = calloc(1, sizeof *e);

  if (w->nends == w->ends_cap) {
    w->ends_cap = w->ends_cap * 2 + 16;
    w->ends = realloc(w->ends, w->ends_cap * sizeof *w->ends);
  }
  if (e == NULL || w->ends == NULL)
    abort();
  e->w = w;
  e->id = ++w->ids;
  e->dial_at = RILL_NEVER;
  e->cut_at = UINT64_MAX;
  e->in.window = 65536;
  w->ends[w->nends++] = e;
  return e;
}

static void shape(world *w, end *e) {
  lane *p = &e->in;

  p->delay = sim_below(w, 200) * RILL_USEC;
  if (w->calm)
    return;
  if (sim_fault(w, FAULT_DELAY))
    p->delay = (1 + sim_below(w, 300)) * RILL_MSEC;
  if (sim_fault(w, FAULT_NARROW) && sim_chance(w, 40)) {
    p->window = 64 + sim_below(w, 2000);
    p->bytes_per_sec = 5000 + sim_below(w, 50000);
  }
  if (sim_fault(w, FAULT_RESET) && sim_chance(w, 25))
    e->cut_at = sim_below(w, sim_chance(w, 50) ? 600 : 20000);
}

void sim_link(world *w, end *a, end *b) {
  a->other = b;
  b->other = a;
  shape(w, a);
  shape(w, b);
}

size_t sim_lane_room(const world *w, const lane *p) {
  if (p->eof || p->reset || w->now < p->stuck || p->len >= p->window)
    return 0;
  return p->window - p->len;
}

static void append(lane *p, const uint8_t *data, size_t len) {
  if (p->cap - p->head - p->len < len) {
    uint8_t *fresh;
    p->cap = p->len + len + 4096;
    fresh = malloc(p->cap);
    if (fresh == NULL)
      abort();
    if (p->len > 0)
      memcpy(fresh, p->data + p->head, p->len);
    free(p->data);
    p->data = fresh;
    p->head = 0;
  }
  memcpy(p->data + p->head + p->len, data, len);
  p->len += len;
}

static void add_segment(world *w, lane *p, size_t len) {
  rill_time at = w->now + p->delay;

  if (p->bytes_per_sec > 0) {
    rill_time from = p->last > w->now ? p->last : w->now + p->delay;
    at = from + len * RILL_SEC / p->bytes_per_sec;
  }
  if (at < p->last)
    at = p->last;
  p->last = at;
  if (p->first + p->nsegments == p->segments_cap) {
    if (p->first > 0) {
      memmove(p->segments, p->segments + p->first,
              p->nsegments * sizeof *p->segments);
      p->first = 0;
    } else {
      p->segments_cap = p->segments_cap * 2 + 8;
      p->segments = realloc(p->segments, p->segments_cap * sizeof *p->segments);
      if (p->segments == NULL)
        abort();
    }
  }
  p->segments[p->first + p->nsegments++] = (struct segment){len, at};
}

static void finish_lane(world *w, lane *p, bool reset) {
  if (p->reset || (p->eof && !reset))
    return;
  p->eof = !reset;
  p->reset = reset;
  p->ended = w->now + p->delay;
  if (!reset && p->ended < p->last)
    p->ended = p->last;
}

/* Both sides lose the stream, and what is on its way. */
static void cut(end *e) {
  world *w = e->w;

  sim_note(w, "cut", e->id, e->written, 0);
  finish_lane(w, &e->in, true);
  if (e->other != NULL)
    finish_lane(w, &e->other->in, true);
}

size_t sim_end_write(end *e, const uint8_t *data, size_t len) {
  world *w = e->w;
  size_t room = e->other != NULL ? sim_lane_room(w, &e->other->in) : 0;

  if (len > room)
    len = room;
  if (len > e->cut_at - e->written)
    len = (size_t)(e->cut_at - e->written);
  if (len > 0) {
    append(&e->other->in, data, len);
    add_segment(w, &e->other->in, len);
    e->written += len;
    w->bytes += len;
  }
  if (e->written == e->cut_at && !w->calm)
    cut(e);
  return len;
}

void sim_end_shut(end *e) {
  if (e->other != NULL)
    finish_lane(e->w, &e->other->in, false);
}

void sim_end_close(end *e, bool reset) {
  if (e->other != NULL) {
    finish_lane(e->w, &e->other->in, reset);
    e->other->other = NULL;
    e->other = NULL;
  }
  e->dead = true;
}
