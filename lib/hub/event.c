#include "hub/event.h"

#include "hub/encode.h"
#include "hub/session.h"

struct rill__on {
  UT_hash_handle hh; /* in space->handlers */
  rill_event_fn fn;  /* NULL: only a rate */
  void *arg;
  rill__rate rate;   /* unit 0: none */
  uint32_t throttle; /* the place of its buckets */
  bool quiet;
  uint32_t name_len;
  char name[];
};

struct rill__before {
  rill__before *next;
  rill_event_fn fn;
  void *arg;
};

/* A peer's buckets, by rill__on.throttle. */
struct rill__rates {
  uint32_t n;
  rill_time bucket[];
};

void rill__rates_free(rill_hub *hub, struct rill__rates *r) {
  if (r != NULL)
    rill__free(&hub->alloc, r, sizeof *r + r->n * sizeof r->bucket[0]);
}

static rill__on *on_find(const rill__space *s, rill_str name) {
  rill__on *on = NULL;

  /* no secret in this hash: only the host adds names */
  if (s->handlers != NULL)
    HASH_FIND(hh, s->handlers, name.ptr, name.len, on);
  return on;
}

static rill__on *on_make(rill_hub *hub, rill__space *s, rill_str name) {
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__on *on = on_find(s, name);

  if (on != NULL)
    return on;
  on = rill__calloc(&hub->alloc, sizeof *on + name.len);
  if (on == NULL)
    return NULL;
  on->name_len = (uint32_t)name.len;
  memcpy(on->name, name.ptr, name.len);
  HASH_ADD_KEYPTR(hh, s->handlers, on->name, on->name_len, on);
  if (!map_failed)
    return on;
  rill__free(&hub->alloc, on, sizeof *on + name.len);
  return NULL;
}

void rill__handlers_free(rill_hub *hub, rill__space *s) {
  const rill__alloc *map_alloc = &hub->alloc;

  while (s->handlers != NULL) {
    rill__on *on = s->handlers;
    HASH_DEL(s->handlers, on);
    rill__free(&hub->alloc, on, sizeof *on + on->name_len);
  }
  while (s->befores != NULL) {
    rill__before *b = s->befores;
    s->befores = b->next;
    rill__free(&hub->alloc, b, sizeof *b);
  }
}

static int rules_of(rill_hub *hub, const char *space, rill__space **out) {
  *out = rill__space_rules(hub, space);
  return *out == NULL ? RILL_ERR_NOT_FOUND : 0;
}

int rill_on(rill_hub *hub, const char *space, const char *name,
            rill_event_fn fn, void *arg) {
  rill__space *s;
  rill__on *on;
  int rv = rules_of(hub, space, &s);

  if (rv != 0)
    return rv;
  if (fn == NULL || rill_s(name).len == 0)
    return RILL_ERR_ARG;
  on = on_make(hub, s, rill_s(name));
  if (on == NULL)
    return RILL_ERR_NOMEM;
  if (on->fn != NULL)
    return RILL_ERR_EXISTS;
  on->fn = fn;
  on->arg = arg;
  return 0;
}

int rill_before(rill_hub *hub, const char *space, rill_event_fn fn, void *arg) {
  rill__space *s;
  rill__before *b, **end;
  int rv = rules_of(hub, space, &s);

  if (rv != 0)
    return rv;
  if (fn == NULL)
    return RILL_ERR_ARG;
  b = rill__malloc(&hub->alloc, sizeof *b);
  if (b == NULL)
    return RILL_ERR_NOMEM;
  *b = (rill__before){NULL, fn, arg};
  for (end = &s->befores; *end != NULL;)
    end = &(*end)->next;
  *end = b;
  return 0;
}

int rill_throttle(rill_hub *hub, const char *space, const char *name,
                  uint32_t n, uint32_t ms, bool quiet) {
  rill__space *s;
  rill__on *on;
  int rv = rules_of(hub, space, &s);

  if (rv != 0)
    return rv;
  if (n == 0 || ms == 0 || ms == RILL_UNLIMITED || rill_s(name).len == 0)
    return RILL_ERR_ARG;
  on = on_make(hub, s, rill_s(name));
  if (on == NULL)
    return RILL_ERR_NOMEM;
  if (on->rate.unit == 0)
    on->throttle = s->nthrottles++;
  on->rate.unit = ms * RILL_MSEC / n;
  if (on->rate.unit == 0)
    on->rate.unit = 1;
  on->rate.room = on->rate.unit * n;
  on->quiet = quiet;
  return 0;
}

/* Is one more event of |on| too many? Without memory it is not. */
static bool too_many(rill__peer *p, const rill__on *on) {
  rill_hub *hub = p->hub;
  struct rill__rates *r = p->voice->rates;
  uint32_t n = p->voice->space->rules->nthrottles;

  if (on == NULL || on->rate.unit == 0)
    return false;
  if (r == NULL || r->n <= on->throttle) {
    struct rill__rates *more =
        rill__calloc(&hub->alloc, sizeof *r + n * sizeof r->bucket[0]);
    if (more == NULL)
      return false;
    more->n = n;
    if (r != NULL)
      memcpy(more->bucket, r->bucket, r->n * sizeof r->bucket[0]);
    rill__rates_free(hub, r);
    p->voice->rates = r = more;
  }
  return !rill__bucket_take(&r->bucket[on->throttle], hub->now, on->rate, 1);
}

static int call(rill__peer *p, rill_event_fn fn, const rill_event *ev,
                void *arg) {
  int rv;

  p->hub->in_handler = true;
  rv = fn(rill__peer_handle(p), ev, arg);
  p->hub->in_handler = false;
  return rv;
}

/* 0, RILL_STOP or negative. */
static int before(rill__peer *p, const rill_event *ev) {
  int rv = 0;

  for (const rill__before *b = p->voice->space->rules->befores;
       b != NULL && rv == 0; b = b->next) {
    rv = call(p, b->fn, ev, b->arg);
    if (!p->open && !p->transient)
      return RILL_STOP; /* it was closed */
  }
  return rv;
}

int rill__event_handle(rill__peer *p, rill_str name, const rill__node *args,
                       bool wants, uint64_t id) {
  rill_hub *hub = p->hub;
  const rill__on *on;
  rill_event ev = {.peer = p,
                   .name = name,
                   .args = args,
                   .ack = {rill__peer_handle(p), id, wants}};
  int rv;

  hub->metrics.events_total++;
  if (name.len > hub->config.limits.name_bytes) {
    hub->metrics.limit_name_bytes++;
    return rill_event_fail(&ev, "bad-event", "the name is too long");
  }
  on = on_find(p->voice->space->rules, ev.name);
  if (too_many(p, on)) {
    hub->metrics.events_throttled_total++;
    if (!on->quiet)
      rill_event_fail(&ev, "throttled", "too many of these events");
    return 0;
  }
  rv = before(p, &ev);
  if (rv == RILL_STOP)
    return 0;
  if (rv == 0 && (on == NULL || on->fn == NULL))
    on = on_find(p->voice->space->rules, rill_s("*"));
  if (rv == 0 && on != NULL && on->fn != NULL) {
    rv = call(p, on->fn, &ev, on->arg);
  } else if (rv == 0) {
    hub->metrics.events_unknown_total++;
    rill__session_unknown(&ev);
  }
  if (rv < 0 && rill__peer_handled(p, rv) < 0)
    return RILL_ERR_HANDLER;
  p->paused |= rv == RILL_PAUSE && p->open;
  return rv == RILL_PAUSE ? RILL_PAUSE : 0;
}

int rill__event_deliver(rill__peer *p, uint32_t at, bool wants, uint64_t id) {
  rill__node *n = p->hub->tape.v + at;
  char digits[RILL__NUMBER_MAX + 1];
  rill_str name = {n[1].u.ptr, n[1].len};

  if (n[1].type != RILL_STRING) { /* a number: its text is the name */
    name.ptr = digits;
    name.len = rill_value_json((rill_value){n + 1}, digits, sizeof digits);
    if (name.len >= sizeof digits)
      name.len = sizeof digits - 1;
  }
  /* the name becomes the head of the arguments' own array */
  n[1] = (rill__node){
      .type = RILL_ARRAY, .len = n->len - 1, .u.nodes = n->u.nodes - 1};
  return rill__event_handle(p, name, n + 1, wants, id);
}

rill_str rill_event_name(const rill_event *ev) {
  return ev->name;
}
size_t rill_event_count(const rill_event *ev) {
  return ev->args->len;
}

rill_value rill_event_arg(const rill_event *ev, size_t i) {
  return rill_value_at((rill_value){ev->args}, i);
}

rill_value rill_event_args(const rill_event *ev) {
  return (rill_value){ev->args};
}

rill_ack_to rill_event_ack(const rill_event *ev) {
  ev->peer->voice->ack_taken = true;
  return ev->ack;
}

int rill_ack(rill_ack_to to, const rill_builder *args) {
  static const rill__node none = {.type = RILL_ARRAY, .u.nodes = 1};
  rill__peer *p = rill__peer_of(to.peer);
  int rv = args != NULL ? rill_builder_error(args) : 0;

  if (!to.wanted)
    return RILL_ERR_STATE;
  if (p == NULL || p->voice == NULL)
    return RILL_ERR_CLOSED;
  if (rv != 0)
    return rv;
  if (args != NULL && rill__bytes_in(rill_builder_value(args).node) >
                          p->hub->config.limits.attachments) {
    p->hub->metrics.limit_attachments++;
    return RILL_ERR_LIMIT;
  }
  return rill__event_answer(
      p, to.id, args != NULL ? rill_builder_value(args).node : &none);
}

int rill_event_reply(const rill_event *ev, const rill_builder *args) {
  return ev->ack.wanted ? rill_ack(ev->ack, args) : 0;
}

int rill__ack(rill_ack_to to, const rill_builder *args) {
  int rv = rill_ack(to, args);
  rill__peer *p = rv == RILL_ERR_NOMEM ? rill__peer_of(to.peer) : NULL;

  if (p != NULL && p->conn != NULL)
    rill__conn_ws_cut(p->conn, RILL_CAUSE_NOMEM, "out of memory");
  return rv;
}

void rill__ack_fail(rill_ack_to ack, rill_str event, const char *code,
                    const char *message) {
  rill__peer *p = rill__peer_of(ack.peer);
  rill_builder b;

  if (p == NULL || p->voice == NULL)
    return;
  if (rill__sse_speaks(p)) {
    if (ack.wanted)
      rill__sse_fail(p, ack.id, code, message);
    return;
  }
  if (rill__envelope_speaks(p)) {
    rill__envelope_fail(p, ack.wanted, ack.id, code, message);
    return;
  }
  rill__builder_init(&b, &p->hub->alloc);
  rill_put_object(&b);
  if (ack.wanted) {
    rill_put_key(&b, "error");
    rill_put_object(&b);
  }
  rill_set_text(&b, "code", code);
  rill_set_text(&b, "message", message);
  if (ack.wanted)
    rill_put_end(&b);
  else
    rill_set_str(&b, "event", event);
  rill_put_end(&b);
  if (ack.wanted)
    rill__ack(ack, &b);
  else
    rill_emit_peer(ack.peer, "error", &b, NULL);
  rill__builder_finish(&b);
}

int rill_event_fail(const rill_event *ev, const char *code,
                    const char *message) {
  rill__ack_fail(ev->ack, ev->name, code, message);
  return 0;
}

rill_builder *rill_build_object(rill_hub *hub) {
  rill__builder_object(&hub->build);
  return &hub->build;
}

rill_builder *rill_build(rill_hub *hub) {
  rill_builder_clear(&hub->build);
  return &hub->build;
}
