/*
 * room_events.c - rooms for clients that only have events: room:join,
 * room:leave and room:history, as the envelope's "join" and "leave".
 */
#include "hub/event.h"
#include "hub/publish.h"
#include "hub/session.h"

#include <rill/history.h>

/* Answers with the one object that has been begun in |b|. */
static int answer(rill_ack_to ack, rill_builder *b) {
  int rv = 0;

  rill_put_end(b);
  if (ack.wanted)
    rv = rill__ack(ack, b);
  rill__builder_finish(b);
  return rv;
}

static void begin(rill_hub *hub, rill_builder *b) {
  rill__builder_init(b, &hub->alloc);
  rill_put_object(b);
}

void rill__room_event_joined(rill__peer *p, rill_str room, int status,
                             const rill__join_how *how,
                             const rill__caught_up *caught_up) {
  rill_ack_to ack = {rill__peer_handle(p), how->id, how->wants};
  rill_builder b;

  if (status != 0) {
    rill__ack_fail(ack, rill_s("room:join"),
                   rill__join_code(status, caught_up), rill_strerror(status));
    return;
  }
  begin(p->hub, &b);
  rill__put_joined(&b, room, caught_up);
  answer(ack, &b);
}

static rill_str room_of(const rill_event *ev) {
  return rill_get_str(rill_event_arg(ev, 0), "room");
}

static int on_join(rill_peer peer, const rill_event *ev, void *arg) {
  rill__caught_up none = {0};
  rill__peer *p = rill__peer_of(peer);
  rill_value since = rill_value_get(rill_event_arg(ev, 0), "since");
  rill_ack_to ack = rill_event_ack(ev);
  rill__join_how how = {.wants = ack.wanted, .by_event = true, .id = ack.id};
  int rv;

  (void)arg;
  how.since = rill_value_uint(since, UINT64_MAX);
  how.returns = how.since != UINT64_MAX;
  rill__join_epoch(&how, rill_get_str(rill_event_arg(ev, 0), "epoch"));
  if (rill__sse_speaks(p))
    return rill_event_fail(ev, "join", "a stream's rooms are in its path");
  rv = rill__join_ask(p, room_of(ev), &how);
  none.later = rv == RILL_ERR_LIMIT;
  if (rv != 0)
    rill__room_event_joined(p, room_of(ev), rv, &how, &none);
  return 0;
}

static int on_leave(rill_peer peer, const rill_event *ev, void *arg) {
  rill_builder b;
  int rv = rill_leave(peer, room_of(ev));

  (void)arg;
  if (rv != 0)
    return rill_event_fail(ev, "leave", rill_strerror(rv));
  begin(peer.hub, &b);
  rill_set_str(&b, "left", room_of(ev));
  answer(rill_event_ack(ev), &b);
  return 0;
}

/* Who waits for a page of history. */
typedef struct waiting {
  rill_ack_to ack;
} waiting;

static void put_past(rill_builder *b, const rill_past *past) {
  rill_put_object(b);
  rill_put_key(b, "at");
  rill_put_uint(b, past->offset);
  rill_set_str(b, "id", past->id);
  rill_put_key(b, "timestamp");
  rill_put_uint(b, past->time_ms);
  rill_set_str(b, "event", past->name);
  rill_set_value(b, "args", past->args);
  rill_put_end(b);
}

static void waiting_free(rill_hub *hub, void *arg) {
  rill__free(&hub->alloc, arg, sizeof(waiting));
}

static void on_page(rill_hub *hub, const rill_pasts *pasts, void *arg) {
  waiting *w = arg;
  rill_builder b;

  if (pasts->status != 0) {
    rill__ack_fail(w->ack, rill_s("room:history"), "store",
                   rill_strerror(pasts->status));
  } else {
    begin(hub, &b);
    rill_put_key(&b, "first");
    rill_put_uint(&b, pasts->first);
    rill_put_key(&b, "last");
    rill_put_uint(&b, pasts->last);
    rill_put_key(&b, "events");
    rill_put_array(&b);
    for (size_t i = 0; i < pasts->n; i++)
      put_past(&b, &pasts->v[i]);
    rill_put_end(&b);
    if (answer(w->ack, &b) == RILL_ERR_LIMIT) /* a smaller page may do */
      rill__ack_fail(w->ack, rill_s("room:history"), "too-big",
                     "too many bytes values for one answer");
  }
  waiting_free(hub, w);
}

/* What is asked for beyond a page is a page. */
static uint32_t page_of(rill_value ask) {
  uint64_t limit = rill_value_uint(rill_value_get(ask, "limit"), 0);
  return limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

static int on_history(rill_peer peer, const rill_event *ev, void *arg) {
  rill_hub *hub = peer.hub;
  rill_value ask = rill_event_arg(ev, 0);
  rill_history_opts opts = {
      .space = rill_peer_space(peer),
      .since = rill_value_uint(rill_value_get(ask, "since"), 0),
      .before = rill_value_uint(rill_value_get(ask, "before"), 0),
      .limit = page_of(ask)};
  waiting *w;
  int rv;

  (void)arg;
  if (!rill_in_room(peer, room_of(ev)))
    return rill_event_fail(ev, "forbidden", "only members may read");
  w = rill__malloc(&hub->alloc, sizeof *w);
  if (w == NULL)
    return rill_event_fail(ev, "busy", rill_strerror(RILL_ERR_NOMEM));
  w->ack = rill_event_ack(ev);
  rv = rill__history(hub, room_of(ev), &opts, on_page, waiting_free, w);
  if (rv == 0)
    return 0;
  waiting_free(hub, w);
  return rill_event_fail(ev, rv == RILL_ERR_LIMIT ? "busy" : "history",
                         rill_strerror(rv));
}

int rill_room_events(rill_hub *hub, const char *space) {
  int rv = rill_on(hub, space, "room:join", on_join, NULL);

  if (rv == 0)
    rv = rill_on(hub, space, "room:leave", on_leave, NULL);
  if (rv == 0)
    rv = rill_on(hub, space, "room:history", on_history, NULL);
  return rv;
}
