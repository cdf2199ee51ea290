/*
 * oom_events.h - what happens to events, sessions and recovery when an
 * allocation fails: eio.h's world, with clients that go on saying what they
 * have to say whatever became of it.
 *
 * Each allocation of a scenario fails in turn, once and from there on.  What
 * holds in all runs is what eio.h checks (each peer that was opened hears
 * one on_close, no session is left, every block is given back with its
 * size), that who is still there has heard every event that the hub said it
 * had taken, and that with memory again the same hub serves new clients.
 */
#ifndef OOM_EVENTS_H
#define OOM_EVENTS_H

#include <signal.h>

#include "eio.h"

#include "hub/session.h"

typedef struct run {
  world *w;
  unsigned score, full;
  uint64_t fail;
  bool on;
  bool begun;         /* the hub has all its routes */
  char taken[40][16]; /* names of the room's events that rill_emit took */
  size_t ntaken, nemits;
} run;

/* The run that is under way, to be told where it aborts; its failures. */
static struct {
  run *r;
  uint64_t from; /* this call and all later fail; 0: none */
  uint64_t worse;
} oom_now;

static void *oom_events_alloc(void *arg, void *ptr, size_t old, size_t size) {
  pair *p = arg;

  if (size > 0 && oom_now.from != 0 && p->mem.calls + 1 >= oom_now.from) {
    p->mem.calls++;
    return NULL;
  }
  return mem_fn(&p->mem, ptr, old, size);
}

static void may_lack(int rv) {
  MUST(rv >= 0 || rv == RILL_ERR_NOMEM);
}

static bool all_ok(const int *rv, size_t n) {
  for (size_t i = 0; i < n; i++) {
    may_lack(rv[i]);
    if (rv[i] < 0)
      return false;
  }
  return true;
}

static int authorize(rill_peer peer, rill_str room, void *arg) {
  (void)peer;
  (void)room;
  (void)arg;
  return 0;
}

/* The hub with all its routes; false: it could not be had. */
static bool run_begin(run *r, bool recovery) {
  static const rill_room_opts kept = {.history = 20};
  static const rill_room_opts slow = {.history = 20, .batch_ms = 10};
  world *w = r->w;
  pair *p = w->p;
  rill_route_opts opts = {.handlers = &eio_handlers, .arg = w};
  const rill_space_opts space = {.recovery = recovery};

  p->config.authorize_join = authorize;
  may_lack(rill_hub_new(&p->hub, &p->config));
  w->hub = p->hub;
  if (p->hub == NULL)
    return false;
  {
    rill_hub *hub = w->hub;
    const int rv[] = {
        rill_route(hub, "/engine.io/", RILL_ENGINEIO, &opts),
        rill_route(hub, "/json", RILL_JSON, &opts),
        rill_route(hub, "/sse/:room", RILL_SSE, &opts),
        (opts.deflate = (rill_deflate_opts){.enabled = true, .threshold = 16},
         rill_route(hub, "/socket.io/", RILL_SOCKETIO, &opts)),
        rill_space(hub, "/", &space),
        rill_space(hub, "/dyn-*", &space),
        rill_room_defaults(hub, "kept*", &kept),
        rill_room_defaults(hub, "slow*", &slow),
        rill_on(hub, "/", "*", eio_event, w),
        rill_on(hub, "/dyn-*", "*", eio_event, w)};
    return r->begun = all_ok(rv, sizeof rv / sizeof *rv);
  }
}

static end *run_accept(run *r) {
  rill_conn_info info = {rill_s("192.0.2.1"), 4711, false};
  rill_conn *conn;
  int rv;

  if (r->w->hub == NULL)
    return NULL;
  rv = rill_conn_new(&conn, r->w->hub, &info, r->w->p->now);
  may_lack(rv);
  return rv == 0 ? pair_end_new(r->w->p, r->w->hub, conn) : NULL;
}

/* Says a request on a stream of its own, or on |*e|; its answer. */
static const char *run_http(run *r, end **e, const char *method,
                            const char *target, const char *more,
                            const char *body) {
  if (*e == NULL || (*e)->conn == NULL)
    *e = run_accept(r);
  if (*e == NULL)
    return "";
  http_put(*e, method, target, more, body, body != NULL ? strlen(body) : 0);
  pair_turn(r->w->p);
  return (*e)->upgraded ? "" : http_answer(*e);
}

/* Notes what a client of any transport has heard; |c|->heard keeps it all. */
static void run_hear(run *r, cli *c) {
  frame f;

  (void)r;
  if (c->ws == NULL)
    return;
  buf_clear(&c->ws->text);
  if (!c->ws->upgraded)
    tell_http(c->ws);
  while (c->ws->upgraded && end_next_frame(c->ws, &f)) {
    if (f.rsv1) { /* compressed: it is enough that it came */
      heard(c, "packed", 6);
      continue;
    }
    if (f.opcode == 1)
      heard(c, (const char *)f.data, f.len);
    else if (f.opcode == 2)
      heard(c, "binary", 6);
  }
}

static void run_polled(run *r, cli *c) {
  for (int i = 0; i < 4 && c->ws == NULL && c->sid[0] != '\0'; i++) {
    const char *took;
    if (!c->waits) {
      took = run_http(r, &c->get, "GET", cli_target(c, "polling"), "", NULL);
    } else {
      pair_turn(r->w->p);
      took = c->get != NULL ? http_answer(c->get) : "";
    }
    c->waits = took[0] == '\0' && c->get != NULL && c->get->conn != NULL;
    if (c->waits)
      return;
    if (strncmp(took, "200", 3) != 0) { /* a client gives up then */
      c->sid[0] = '\0';
      return;
    }
    heard(c, took, strlen(took));
  }
}

/* All that it has heard so far; |c|->id and so on are the newest. */
static const char *run_hears(run *r, cli *c) {
  const char *text;

  if (r->w->hub == NULL)
    return "";
  pair_turn(r->w->p);
  run_polled(r, c);
  run_hear(r, c);
  text = c->heard.data != NULL ? (const char *)c->heard.data : "";
  for (const char *at = text; take_id(at, "\"pid\":\"", c->pid);)
    at = strstr(at, "\"pid\":\"") + 1;
  for (const char *at = text; take_id(at, "\"session\":\"", c->pid);)
    at = strstr(at, "\"session\":\"") + 1;
  return text;
}

static void run_websocket(run *r, cli *c, const char *target,
                          const char *more) {
  char lines[400];

  snprintf(lines, sizeof lines, "%s%s", WS_LINES, more);
  c->ws = run_accept(r);
  if (c->ws == NULL)
    return;
  http_put(c->ws, "GET", target, lines, NULL, 0);
  pair_turn(r->w->p);
}

static cli *run_open(run *r, int how, const char *path) {
  cli *c = cli_new(r->w, path);

  if (how == BY_WEBSOCKET) {
    run_websocket(r, c, cli_target(c, "websocket"), "");
    take_id(run_hears(r, c), "\"sid\":\"", c->sid);
    return c;
  }
  take_id(run_http(r, &c->get, "GET", cli_target(c, "polling"), "", NULL),
          "\"sid\":\"", c->sid);
  return c;
}

static void run_say(run *r, cli *c, const char *packets) {
  char one[2048];
  size_t len = strlen(packets), from = 0;

  MUST(len < sizeof one);
  if (c->ws == NULL) {
    memcpy(one, packets, len + 1);
    for (char *at = one; *at != '\0'; at++)
      if (*at == '|')
        *at = '\x1e';
    if (c->sid[0] != '\0')
      run_http(r, &c->post, "POST", cli_target(c, "polling"), "", one);
    return;
  }
  while (from <= len) {
    size_t n = strcspn(packets + from, "|");
    memcpy(one, packets + from, n);
    one[n] = '\0';
    if (c->ws->conn != NULL)
      ws_say(c->ws, one);
    from += n + 1;
  }
  pair_turn(r->w->p);
}

/* |before| the switch something may be queued. */
static void run_upgrade(run *r, cli *c, void (*before)(run *r)) {
  end *e;

  if (c->sid[0] == '\0')
    return;
  e = run_accept(r);
  if (e == NULL)
    return;
  http_put(e, "GET", cli_target(c, "websocket"), WS_LINES, NULL, 0);
  end_put(e, 0x81, "2probe", 6);
  pair_turn(r->w->p);
  if (strcmp(end_took(e), "101; text 3probe") != 0)
    return;
  run_polled(r, c);
  if (before != NULL)
    before(r);
  end_text(e, "5");
  c->ws = e;
}

static void run_eof(run *r, cli *c) {
  end *e = c->ws != NULL ? c->ws : c->get;

  run_polled(r, c);
  if (e != NULL && e->conn != NULL)
    end_eof(e, 0);
}

/* An event of a name of its own to "room"; who is there must hear it. */
static void run_emit(run *r, const rill_builder *args) {
  rill_str room = rill_s("room");
  char name[16];
  int rv;

  if (r->w->hub == NULL)
    return;
  snprintf(name, sizeof name, "event%zu.", r->nemits++);
  rv = rill_emit_room(r->w->hub, room, name, args, NULL);
  may_lack(rv);
  MUST(r->ntaken < 40);
  if (rv == 0)
    memcpy(r->taken[r->ntaken++], name, sizeof name);
}

/*
 * The peer in "/" that |c| has been told it is, if it is open and in the
 * room, and (|back|) has come back so often.
 */
static const seen *run_member(run *r, const cli *c, const char *text,
                              int back) {
  char id[RILL__SID + 1];
  const seen *s;
  rill_peer peer;

  if ((!take_id(text, "40{\"sid\":\"", id) &&
       !take_id(text, "{\"open\":\"", id)) ||
      (c->ws == NULL && c->sid[0] == '\0'))
    return NULL;
  peer = rill_find_sid(r->w->hub, (rill_str){id, RILL__SID});
  s = seen_of(r->w, peer);
  return s != NULL && s->closed == 0 && s->back == back && rill_is_open(peer) &&
                 rill_in_room(peer, rill_s("room"))
             ? s
             : NULL;
}

/* Who is in the room, and was before the first event, has heard them all. */
static void run_check(run *r, cli *c) {
  const char *text = run_hears(r, c);

  if (r->w->hub == NULL || run_member(r, c, text, 0) == NULL)
    return;
  for (size_t i = 0; i < r->ntaken; i++)
    if (strstr(text, r->taken[i]) == NULL) {
      fprintf(stderr, "%s: %s is missing\n", text, r->taken[i]);
      abort();
    }
}

static unsigned run_count(const char *text, const char *what) {
  unsigned n = 0;

  for (; (text = strstr(text, what)) != NULL; text++)
    n++;
  return n;
}

/* With memory again: does the hub still work? */
static void run_works(run *r) {
  world *w = r->w;
  cli *c;

  w->act = NULL;
  if (!r->begun)
    return;
  w->hub->config.authenticate = NULL;
  for (int how = BY_POLLING; how <= BY_WEBSOCKET; how++) {
    size_t n = w->n;
    c = run_open(r, how, "/socket.io/");
    run_say(r, c, "40");
    MUST(w->n == n + 1);
    run_say(r, c, "42[\"hello\"]");
    may_lack(rill_emit_peer(w->seen[n].peer, "well", NULL, NULL));
    MUST(strstr(run_hears(r, c), "[\"well\"") != NULL);
  }
}

/* Each conn is a stream's, or the queue of a session on long-polling. */
static void run_strays(run *r) {
  rill_hub *hub = r->w->hub;
  size_t n = 0;

  if (hub == NULL)
    return;
  pair_turn(r->w->p);
  for (size_t i = 0; i < r->w->p->nends; i++)
    n += r->w->p->ends[i]->conn != NULL;
  for (rill__session *s = hub->sessions; s != NULL; s = s->hh.next)
    n += rill__conn_is(s->conn, RILL__BOX);
  MUST(n == hub->nconns);
}

typedef void (*run_scenario)(run *r);

/* One run; returns how many allocations the scenario made. */
static uint64_t run_once(run_scenario scenario, uint64_t fail, bool on) {
  void *state = (void *)(uintptr_t)PAIR_WHOLE;
  run r = {.fail = fail, .on = on};
  uint64_t count;
  pair *p;

  MUST(eio_setup(&state) == 0);
  r.w = state;
  r.w->lacks = fail != 0;
  p = r.w->p;
  p->quiet = true;
  p->config.alloc = oom_events_alloc;
  p->config.alloc_arg = p;
  oom_now.r = &r;
  p->mem.fail_at = on ? 0 : fail;
  oom_now.from = on ? fail : 0;
  scenario(&r);
  count = p->mem.calls;
  p->mem.fail_at = 0;
  oom_now.from = 0;
  r.w->lacks = false;
  oom_now.worse += r.score < r.full;
  if (fail == 0 && r.score != r.full) {
    fprintf(stderr, "score %u of %u\n", r.score, r.full);
    MUST(r.score == r.full);
  }
  run_strays(&r);
  run_works(&r);
  MUST(eio_teardown(&state) == 0);
  return count;
}

static void run_report(int sig) {
  (void)sig;
  fprintf(stderr, "allocation %llu failed%s; score %u of %u\n",
          (unsigned long long)oom_now.r->fail,
          oom_now.r->on ? ", and all later ones" : "", oom_now.r->score,
          oom_now.r->full);
}

static void run_sweep(run_scenario scenario) {
  uint64_t n;

  signal(SIGABRT, run_report);
  n = run_once(scenario, 0, false);
  MUST(n > 0);
  oom_now.worse = 0;
  for (uint64_t i = 1; i <= n; i++) {
    run_once(scenario, i, false);
    run_once(scenario, i, true);
  }
  MUST(oom_now.worse > n / 4); /* it does fail */
}

#endif
