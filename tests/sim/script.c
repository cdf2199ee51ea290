/*
 * script.c - clients that write their bytes by hand: one kind keeps the
 * protocol, one speaks plain HTTP, the others are hostile.  All of them read
 * what the server says with the independent reader of reader.h.
 */
#include <stdlib.h>

#include "script.h"

static void on_message(void *arg, bool text, const uint8_t *data, size_t len) {
  script *s = arg;
  uint32_t id;

  flow_got(s->w, &s->pair->down, text ? RILL_TEXT : RILL_BINARY, data, len,
           &id);
  sim_note(s->w, "script got", s->pair->id, id, len);
}

static void on_ping(void *arg, const uint8_t *data, size_t len) {
  script *s = arg;

  if (s->kind == SCRIPT_GOOD && !s->closing)
    script_frame(s, 0x8a, data, len);
}

static void on_answer(void *arg, int status, bool close) {
  script *s = arg;

  sim_note(s->w, "answer", s->end->id, (uint64_t)status, s->answered);
  s->answered++;
  s->said_close |= close;
  if (s->kind == SCRIPT_REQUESTS && s->answered > s->asked)
    sim_breach(s->w, "I-HTTP", "more answers than requests", s->answered,
               s->asked);
}

static void leave_later(world *w, void *a, uint64_t id) {
  (void)a;
  for (uint32_t i = 0; i < w->nends; i++) {
    script *s = w->ends[i]->script;
    if (s != NULL && w->ends[i]->id == id)
      script_leave(s);
  }
}

static void connect_script(world *w, void *a, uint64_t b) {
  (void)b;
  sim_connect(w, a);
}

void script_start(world *w, int kind) {
  script *s = calloc(1, sizeof *s);
  end *e = sim_end_new(w);

  if (s == NULL)
    abort();
  *s = (script){.w = w,
                .end = e,
                .pair = pair_new(w),
                .kind = kind,
                .reads = true,
                .next = w->now};
  s->pair->script = s;
  s->pair->hostile = kind != SCRIPT_GOOD && kind != SCRIPT_REQUESTS;
  s->pair->client_side = SIDE_OPEN;
  e->script = s;
  e->pair = s->pair;
  reader_init(&s->rd, false, s);
  s->rd.on_message = on_message;
  s->rd.on_ping = on_ping;
  s->rd.on_answer = on_answer;
  script_compose(s);
  sim_later(w, sim_below(w, 20) * RILL_MSEC, connect_script, e, 0);
  sim_later(w, (1 + sim_below(w, 20)) * RILL_SEC, leave_later, NULL, e->id);
}

void script_free(script *s) {
  s->pair->script = NULL;
  s->pair->client_side = SIDE_CLOSED;
  reader_finish(&s->rd);
  free(s->out);
  free(s);
}

bool script_writable(const script *s) {
  return s->sent < s->len && s->w->now >= s->next;
}

rill_time script_next(const script *s) {
  return s->sent < s->len && s->next > s->w->now ? s->next : RILL_NEVER;
}

static void leave_now(script *s) {
  sim_note(s->w, "script left", s->end->id, s->sent, s->reset);
  sim_end_close(s->end, s->reset);
}

void script_write(script *s) {
  size_t n = s->len - s->sent;

  if (s->drip > 0 && n > s->drip) {
    n = s->drip;
    s->next = s->w->now + sim_below(s->w, 500) * RILL_MSEC;
  }
  s->sent += sim_end_write(s->end, s->out + s->sent, n);
  if (s->leaving && s->sent == s->len)
    leave_now(s);
}

bool script_reads(const script *s) {
  return s->reads;
}

void script_read(script *s, const uint8_t *data, size_t len) {
  world *w = s->w;

  sim_note(w, "script reads", s->end->id, len, 0);
  reader_feed(&s->rd, data, len);
  if (s->rd.bad != NULL)
    sim_breach(w, "I-WIRE", s->rd.bad, s->pair->id, (uint64_t)s->kind);
  if (s->rd.closes > 0 && s->kind == SCRIPT_GOOD) {
    pair *p = s->pair;
    uint64_t dropped = 0;
    if (!s->closing && s->rd.close_code != RILL_CLOSE_SLOW &&
        s->rd.close_code != RILL_CLOSE_OVERLOAD)
      flow_whole(w, &p->down, "lost before a close", p->id, &dropped);
    if (!s->closing)
      script_frame(s, 0x88, "\x03\xe8", 2);
    s->closing = true;
  }
}

void script_ended(script *s) {
  world *w = s->w;
  bool whole = s->end->in.eof && s->sent == s->len;

  sim_note(w, "script ended", s->end->id, s->rd.status > 0, s->rd.closes);
  if (s->rd.closes > 0 && s->rd.len > 0)
    sim_breach(w, "I-WIRE", "bytes behind a close", s->pair->id, s->rd.len);
  if (s->kind == SCRIPT_REQUESTS && whole && s->answered < s->asked &&
      !s->said_close && !w->scene->ending &&
      (w->faults & (1u << FAULT_NO_MEMORY | 1u << FAULT_ZERO_WINDOW |
                    1u << FAULT_LATE_TIMER)) == 0)
    sim_breach(w, "I-HTTP", "a request without an answer", s->asked,
               s->answered);
  sim_end_close(s->end, false);
}

void script_leave(script *s) {
  world *w = s->w;

  s->reads = true;
  if (s->end->dead || s->leaving || s->end->other == NULL)
    return;
  if (s->kind == SCRIPT_GOOD && s->rd.frames && sim_chance(w, 70)) {
    if (!s->closing)
      script_frame(s, 0x88, "\x03\xe9go", 4);
    s->closing = true;
    return; /* the server closes first */
  }
  if (sim_fault(w, FAULT_HALF_CLOSE) && sim_chance(w, 50) && !w->calm &&
      s->sent == s->len) {
    sim_end_shut(s->end);
    return;
  }
  s->reset = sim_chance(w, 50);
  s->leaving = true;
  if (s->sent == s->len || s->drip > 0 || w->calm)
    leave_now(s);
}

pair *script_pair(const script *s) {
  return s->pair;
}

bool script_is_talking(const script *s) {
  return s->kind == SCRIPT_GOOD && s->rd.frames && !s->closing && !s->end->dead;
}
