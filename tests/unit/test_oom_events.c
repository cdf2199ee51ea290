/*
 * Each allocation fails in turn, once and from there on, while clients of
 * Engine.IO, Socket.IO, the envelope and server-sent events say and hear
 * what they have to; see oom_events.h.
 */
#include <signal.h>

#include "oom_events.h"

/* Answers every event with its arguments, and emits them back. */
static int answers(world *w, const happening *h) {
  rill_builder *b;
  int rv;

  if (h->msg != NULL) {
    rv = rill_send(h->who->peer, h->msg);
    MUST(rv >= 0 || rv == RILL_ERR_NOMEM || rv == RILL_ERR_CLOSED);
    return 0;
  }
  if (h->ev == NULL)
    return 0;
  b = rill_build(w->hub);
  for (size_t i = 0; i < rill_event_count(h->ev); i++)
    rill_put_value(b, rill_event_arg(h->ev, i));
  rv = rill_ack(rill_event_ack(h->ev), b);
  if (rv == RILL_ERR_STATE && h->who != NULL)
    rv = rill_emit_peer(h->who->peer, "back", b, NULL);
  MUST(rv >= 0 || rv == RILL_ERR_NOMEM || rv == RILL_ERR_CLOSED ||
       h->who == NULL);
  return 0;
}

static void join(run *r, size_t i, const char *room) {
  int rv;

  if (i >= r->w->n)
    return;
  rv = rill_join(r->w->seen[i].peer, rill_s(room));
  MUST(rv == 0 || rv == RILL_ERR_NOMEM || rv == RILL_ERR_CLOSED);
}

static rill_peer peer_at(run *r, size_t i) {
  const rill_peer nobody = {0};
  return i < r->w->n ? r->w->seen[i].peer : nobody;
}

static void polling(run *r) {
  rill_builder *b;
  const char *text;
  cli *c;

  r->w->act = answers;
  if (!run_begin(r, false))
    return;
  c = run_open(r, BY_POLLING, "/socket.io/");
  run_say(r, c, "40{\"token\":\"x\"}");
  join(r, 0, "room");
  run_hears(r, c);
  run_emit(r, NULL);
  run_say(r, c, "42[\"one\",1]|4217[\"two\",{\"a\":[1,2,3]}]");
  run_say(r, c, "451-[\"b\",{\"_placeholder\":true,\"num\":0}]|bAQID");
  b = rill_build(r->w->hub);
  rill_put_text(b, "some text");
  rill_put_bytes(b, "bytes", 5);
  if (rill_builder_error(b) == 0)
    run_emit(r, b);
  run_check(r, c);
  text = run_hears(r, c);
  r->score = run_count(text, "[\"back\",") + run_count(text, "4317[{") +
             run_count(text, "[\"event");
  r->full = 5;
  run_say(r, c, "41");
  run_say(r, c, "40/dyn-a,|40/nope,");
  run_say(r, c, "1");
}

/* To be carried over. */
static void queue(run *r) {
  static char big[30000];
  rill_msg msg = rill_text("queued");

  if (r->w->n == 0)
    return;
  rill_send(peer_at(r, 0), &msg);
  memset(big, 'x', sizeof big);
  msg = (rill_msg){.data = big, .len = sizeof big, .kind = RILL_BINARY};
  rill_send(peer_at(r, 0), &msg);
}

static void upgrade(run *r) {
  const char *text;
  cli *c;

  r->w->act = answers;
  if (!run_begin(r, false))
    return;
  c = run_open(r, BY_POLLING, "/engine.io/");
  run_hears(r, c);
  run_say(r, c, "4one|bAQID");
  run_hears(r, c);
  run_upgrade(r, c, queue);
  run_say(r, c, "4two|bAQID");
  text = run_hears(r, c);
  r->score = run_count(text, "one") + run_count(text, "queued") +
             run_count(text, "two") + run_count(text, "binary");
  r->full = 5;
  run_eof(r, c);
}

static void websocket(run *r) {
  cli *c[3];
  const char *text;
  rill_builder *b;

  r->w->act = answers;
  if (!run_begin(r, false))
    return;
  for (int i = 0; i < 3; i++) {
    c[i] = cli_new(r->w, "/socket.io/");
    run_websocket(r, c[i], cli_target(c[i], "websocket"),
                  i == 2 ? "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                         : "");
    run_say(r, c[i], "40|40/dyn-a,");
  }
  for (size_t i = 0; i < r->w->n; i++)
    join(r, i, "room");
  run_emit(r, NULL);
  b = rill_build(r->w->hub);
  rill_put_text(b, "long enough to be compressed, to be compressed");
  if (rill_builder_error(b) == 0)
    run_emit(r, b);
  rill_put_bytes(b, "some bytes", 10);
  if (rill_builder_error(b) == 0)
    run_emit(r, b);
  run_say(r, c[0], "42[\"x\",\"y\"]|42/dyn-a,0[\"x\"]");
  for (int i = 0; i < 2; i++) {
    run_check(r, c[i]);
    text = run_hears(r, c[i]);
    r->score += run_count(text, "[\"event") + run_count(text, "\"back\"") +
                run_count(text, "43/dyn-a,0[]");
  }
  r->score += run_count(run_hears(r, c[2]), "packed");
  r->full = 3 + 2 + 3 + 1;
  if (r->w->n > 0)
    rill_close(peer_at(r, 0), 1000, NULL);
  run_eof(r, c[0]);
}

#define MP_CONNECT "bg6R0eXBlAKRkYXRh1AAAo25zcKEv"
#define MP_HI "bg6R0eXBlAqRkYXRhkqJoaQGjbnNwoS8="

static void msgpack(run *r) {
  const char *text;

  r->w->act = answers;
  if (!run_begin(r, false))
    return;
  for (int how = 0; how < 2; how++) {
    cli *c = run_open(r, how, "/socket.io/");
    run_say(r, c, MP_CONNECT);
    run_say(r, c, MP_HI "|" MP_HI);
    text = run_hears(r, c);
    r->score += how == BY_POLLING ? run_count(text, "\x1e"
                                                    "bg6R0eXBlAq")
                                  : run_count(text, "binary");
    if (how == BY_POLLING)
      run_upgrade(r, c, NULL);
    run_say(r, c, MP_HI);
    r->score += run_count(run_hears(r, c), "binary") > 0;
    run_eof(r, c);
  }
  r->full = 7;
}

static void on_answers(rill_hub *hub, const rill_answers *a, void *arg) {
  run *r = arg;

  (void)hub;
  for (size_t i = 0; i < a->n; i++)
    MUST(rill_value_type(a->v[i].args) == RILL_ARRAY ||
         a->status == RILL_ERR_NOMEM);
  r->score += (unsigned)(a->n * 10 + a->nmissing);
  r->w->count--; /* each is told once */
}

static void acks(run *r) {
  const rill_emit_opts ask = {
      .on_answers = on_answers, .arg = r, .ack_ms = 100};
  cli *c[3];

  if (!run_begin(r, false))
    return;
  for (int i = 0; i < 3; i++) {
    c[i] = run_open(r, i % 2, "/socket.io/");
    run_say(r, c[i], i == 1 ? MP_CONNECT : "40");
    run_hears(r, c[i]);
  }
  for (int i = 0; i < 3; i++) {
    int rv = rill_emit_all(r->w->hub, "ask", NULL, &ask);
    may_lack(rv);
    r->w->count += rv == 0;
    for (int k = 0; k < 3; k++)
      run_hears(r, c[k]);
    if (i == 0) {
      run_say(r, c[0], "430[\"yes\",{\"a\":1}]");
      run_say(r, c[2], "461-0[{\"_placeholder\":true,\"num\":0}]|bAQID");
      run_say(r, c[1], "bhKR0eXBlA6RkYXRhkaFto25zcKEvomlkAA==");
    }
    if (i == 1)
      run_eof(r, c[0]);
    pair_pass(r->w->p, 150 * RILL_MSEC);
  }
  r->full = 30 + 3 + 2;
  MUST(r->w->count == 0);
}

/* Comes back as |old|. */
static cli *again(run *r, int how, const cli *old) {
  cli *c =
      how == BY_ALL ? cli_new(r->w, "/json") : run_open(r, how, "/socket.io/");
  char text[200];

  if (how == BY_ALL) {
    run_websocket(r, c, "/json", "");
    snprintf(text, sizeof text, "{\"open\":{},\"resume\":\"%s\"}", old->pid);
  } else {
    snprintf(text, sizeof text, "40{\"pid\":\"%s\"}", old->pid);
  }
  run_say(r, c, text);
  return c;
}

static void recovery(run *r) {
  cli *c[3], *back[3];
  rill_builder *b;

  if (!run_begin(r, true))
    return;
  for (int i = 0; i < 3; i++) {
    if (i < 2) {
      c[i] = run_open(r, i, "/socket.io/");
      run_say(r, c[i], "40");
    } else {
      c[i] = cli_new(r->w, "/json");
      run_websocket(r, c[i], "/json", "");
      run_say(r, c[i], "{\"open\":{}}");
    }
    run_hears(r, c[i]);
  }
  for (size_t i = 0; i < r->w->n; i++) {
    join(r, i, "room");
    join(r, i, "slow");
  }
  run_emit(r, NULL);
  for (int i = 0; i < 3; i++)
    run_eof(r, c[i]);
  b = rill_build(r->w->hub);
  rill_put_bytes(b, "bytes", 5);
  if (rill_builder_error(b) == 0)
    run_emit(r, b);
  for (int i = 0; i < 2; i++) {
    may_lack(rill_emit_room(r->w->hub, rill_s("slow"), "slow", NULL, NULL));
    may_lack(rill_emit_all(r->w->hub, "all", NULL, NULL));
  }
  for (int i = 0; i < 3; i++) {
    const char *text;
    const seen *back_as;
    back[i] = again(r, i == 2 ? BY_ALL : i, c[i]);
    pair_pass(r->w->p, 20 * RILL_MSEC);
    text = run_hears(r, back[i]);
    /* what is not there was told as a gap */
    back_as = r->w->hub != NULL ? run_member(r, back[i], text, 1) : NULL;
    if (back_as != NULL && back_as->missed == 0)
      for (size_t k = 0; k < r->ntaken; k++)
        if (run_count(text, r->taken[k]) != 1) {
          fprintf(stderr, "%s: %s is not there once\n", text, r->taken[k]);
          abort();
        }
    MUST(run_count(text, "\"slow\"") <= 4); /* none comes twice */
    r->score += run_count(text, "\"all\"") + run_count(text, "[\"slow\"") +
                run_count(text, "\"slow\",\"args\"");
  }
  r->full = 3 * 4;
  run_emit(r, NULL);
  pair_pass(r->w->p, 130 * RILL_SEC);
}

static void envelope(run *r) {
  cli *c[2];
  const char *text;

  r->w->act = answers;
  if (!run_begin(r, false))
    return;
  for (int i = 0; i < 2; i++) {
    c[i] = cli_new(r->w, "/json");
    run_websocket(r, c[i], "/json",
                  i == 0 ? "" : "Sec-WebSocket-Protocol: rill.msgpack.v1\r\n");
    run_say(r, c[i], i == 0 ? "{\"open\":{\"token\":\"x\"}}" : "bgaRvcGVugA==");
    join(r, (size_t)i, "room");
  }
  run_emit(r, NULL);
  run_say(r, c[0], "{\"event\":\"a\",\"args\":[1,\"two\"],\"id\":1}");
  run_say(r, c[0], "{\"join\":\"kept\",\"id\":2}");
  run_say(r, c[0], "{\"leave\":\"kept\",\"id\":3}");
  run_say(r, c[0], "{\"ping\":4}");
  run_say(r, c[0], "{\"nonsense\":5,\"id\":5}");
  run_say(r, c[1], "bgqVldmVudKFhpGFyZ3ORAQ==");
  for (int i = 0; i < 2; i++) {
    if (i == 0)
      run_check(r, c[i]);
    text = run_hears(r, c[i]);
    r->score += run_count(text, "\"ack\":1") + run_count(text, "\"joined\"") +
                run_count(text, "\"left\"") + run_count(text, "\"pong\"") +
                run_count(text, "bad-message") + run_count(text, "event0.") +
                run_count(text, "binary");
  }
  r->full = 6 + 3;
  run_say(r, c[0], "[]");
  if (c[1]->ws != NULL && c[1]->ws->conn != NULL)
    end_bye(c[1]->ws, 1000, "");
}

/* What a stream has brought, as it came. */
static unsigned streamed(const end *e, const char *what) {
  return e != NULL && e->rx.data != NULL
             ? run_count((const char *)e->rx.data, what)
             : 0;
}

static void sse(run *r) {
  rill_str room = rill_s("kept");
  char lines[100];
  end *e[2] = {NULL, NULL}, *post = NULL;

  r->w->act = answers;
  r->w->strangers = true;
  if (!run_begin(r, false))
    return;
  run_accept(r); /* the hub hears what time it is */
  for (int i = 0; i < 3; i++)
    may_lack(rill_emit_room(r->w->hub, room, "old", NULL, NULL));
  for (int i = 0; i < 2; i++) {
    e[i] = run_accept(r);
    if (e[i] == NULL)
      continue;
    snprintf(lines, sizeof lines, "Last-Event-ID: %.8s-1\r\n",
             r->w->hub->epoch);
    http_put(e[i], "GET", "/sse/kept", i == 0 ? "" : lines, NULL, 0);
    pair_turn(r->w->p);
  }
  for (int i = 0; i < 2; i++) {
    rill_builder *b = rill_build(r->w->hub);
    rill_put_text(b, "two\nlines");
    rill_put_bytes(b, "bytes", 5);
    if (rill_builder_error(b) == 0)
      may_lack(rill_emit_room(r->w->hub, room, "new", b, NULL));
    pair_turn(r->w->p);
  }
  r->score += strncmp(run_http(r, &post, "POST", "/sse/kept", "",
                               "{\"event\":\"a\",\"args\":[1]}"),
                      "200", 3) == 0;
  pair_pass(r->w->p, 30 * RILL_SEC);
  r->score += streamed(e[0], "event: new") + streamed(e[1], "event: new") +
              streamed(e[1], "event: old") +
              (streamed(e[0], "event: session") > 0);
  r->full = 1 + 2 + 2 + 2 + 1;
}

static int later(world *w, const happening *h) {
  if (strcmp(h->name, "auth") != 0)
    return answers(w, h);
  if (w->later != NULL)
    return rill_accept(h->req, rill_s("bob"));
  w->later = h->req;
  return RILL_LATER;
}

/* Verdicts that come later, on each dialect that asks for one. */
static void verdicts(run *r) {
  rill_builder *b;

  r->w->act = later;
  r->w->p->config.authenticate = eio_authenticate;
  if (!run_begin(r, false))
    return;
  for (int i = 0; i < 8; i++) {
    cli *c = i < 4 ? run_open(r, i % 2, "/socket.io/")
                   : cli_new(r->w, i < 6 ? "/engine.io/" : "/json");
    int rv = 0;
    if (i < 4)
      run_say(r, c, i < 2 ? "40" : "40/dyn-b,{\"token\":\"a\"}");
    else if (i == 4)
      run_http(r, &c->get, "GET", cli_target(c, "polling"), "", NULL);
    else
      run_websocket(r, c, i == 5 ? cli_target(c, "websocket") : "/json", "");
    if (i > 5)
      run_say(r, c, "{\"open\":{}}|{\"event\":\"soon\"}");
    if (i == 2)
      run_eof(r, c);
    if (r->w->later != NULL) {
      rill_request *req = r->w->later;
      r->w->later = NULL;
      b = rill_build(r->w->hub);
      rill_put_text(b, "some data");
      if (i == 1 || i == 7)
        rv = rill_reject_with(req, 403, "no", b);
      else
        rv = rill_accept(req, rill_s("ann"));
      MUST(rv == 0 || rv == RILL_ERR_NOMEM || rv == RILL_ERR_CLOSED);
      r->score += rv == 0;
    }
    pair_turn(r->w->p);
    run_hears(r, c);
    r->score += run_count(run_hears(r, c), "no");
  }
  r->score += (unsigned)r->w->n;
  r->full = 7 + 2 + 5;
}

#define SCENARIOS(X)                                                           \
  X(polling)                                                                   \
  X(upgrade)                                                                   \
  X(websocket)                                                                 \
  X(msgpack)                                                                   \
  X(acks)                                                                      \
  X(recovery)                                                                  \
  X(envelope)                                                                  \
  X(sse)                                                                       \
  X(verdicts)

#define OOM_X(name)                                                            \
  static void test_oom_events_##name(void **state) {                           \
    (void)state;                                                               \
    run_sweep(name);                                                           \
  }
SCENARIOS(OOM_X)
#undef OOM_X

int main(void) {
  const struct CMUnitTest tests[] = {
#define OOM_X(name) cmocka_unit_test(test_oom_events_##name),
      SCENARIOS(OOM_X)
#undef OOM_X
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
