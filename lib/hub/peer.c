#include "hub/peer.h"

#include <assert.h>

#include "hub/address.h"
#include "hub/ask.h"
#include "hub/batch.h"
#include "hub/follower.h"
#include "hub/recover.h"
#include "hub/room.h"
#include "hub/session.h"

#define PER_PAGE 64u

const rill_handlers rill__no_handlers = {0};

rill__peer *rill__peer_of(rill_peer handle) {
  rill__page *page;
  rill__peer *p;

  if (handle.hub == NULL || handle.slot / PER_PAGE >= handle.hub->peers.npages)
    return NULL;
  page = handle.hub->peers.pages[handle.slot / PER_PAGE];
  if (page == NULL)
    return NULL;
  p = &page->peers[handle.slot % PER_PAGE];
  return p->generation == handle.generation && p->generation != 0 ? p : NULL;
}

rill__peer *rill__peer_open(rill_peer handle) {
  rill__peer *p = rill__peer_of(handle);
  return p != NULL && p->open ? p : NULL;
}

/* The index of a page with a free place, made if there is none. */
static int64_t page_with_room(rill_hub *hub) {
  rill__peers *all = &hub->peers;
  uint32_t i = all->open_page;
  rill__page *page;

  while (i < all->npages && all->pages[i] != NULL &&
         all->pages[i]->used == PER_PAGE)
    i++;
  all->open_page = i;
  if (i < all->npages && all->pages[i] != NULL)
    return i;
  if (i == all->cap) {
    uint32_t cap = all->cap == 0 ? 16 : all->cap * 2;
    void *pages =
        rill__realloc(&hub->alloc, all->pages, all->cap * sizeof *all->pages,
                      cap * sizeof *all->pages);
    if (pages == NULL)
      return -1;
    all->pages = pages;
    all->cap = cap;
  }
  page = rill__calloc(&hub->alloc, sizeof *page);
  if (page == NULL)
    return -1;
  all->pages[i] = page;
  if (i == all->npages)
    all->npages++;
  return i;
}

rill__peer *rill__peer_new(rill_hub *hub, rill_route_opts *opts) {
  int64_t index = page_with_room(hub);
  rill__page *page;
  uint32_t place = 0;
  rill__peer *p;

  if (index < 0)
    return NULL;
  page = hub->peers.pages[index];
  while (page->peers[place].generation != 0)
    place++;
  page->used++;
  p = &page->peers[place];
  if (++hub->peers.generation == 0)
    hub->peers.generation = 1;
  *p = (rill__peer){.hub = hub,
                    .slot = (uint32_t)index * PER_PAGE + place,
                    .generation = hub->peers.generation,
                    .opts = opts,
                    .rtt_us = UINT32_MAX};
  return p;
}

rill__peer_rare *rill__peer_rare_of(rill__peer *p) {
  if (p->rare == NULL)
    p->rare = rill__calloc(&p->hub->alloc, sizeof *p->rare);
  return p->rare;
}

void rill__peer_rare_settle(rill__peer *p) {
  rill__peer_rare *rare = p->rare;

  if (rare == NULL || rare->joins != NULL || rare->ended ||
      rare->address_len > 0)
    return;
  p->rare = NULL;
  rill__free(&p->hub->alloc, rare, sizeof *rare);
}

void rill__own_opts_free(rill_hub *hub, rill_route_opts *opts) {
  rill__own_opts *own = RILL__CONTAINER(opts, rill__own_opts, opts);
  rill__free(&hub->alloc, own, own->size);
}

static void unlink_conn(rill__peer *p) {
  rill__peer **at = &p->conn->peer;

  while (*at != NULL && *at != p)
    at = &(*at)->voice->sibling;
  if (*at == p)
    *at = rill__peer_sibling(p);
  if (p->voice != NULL)
    p->voice->sibling = NULL;
  p->conn = NULL;
}

void rill__peer_bind(rill__peer *p, rill_conn *c) {
  p->conn = c;
  if (p->voice != NULL)
    p->voice->sibling = c->peer;
  c->peer = p;
}

const rill_handlers *rill__peer_handlers(const rill__peer *p, void **arg) {
  const rill_space_opts *o = p->voice != NULL ? &p->voice->space->opts : NULL;

  if (o != NULL && o->handlers != NULL) {
    *arg = o->arg;
    return o->handlers;
  }
  *arg = p->opts->arg;
  return p->opts->handlers;
}

void rill__peer_opened(rill__peer *p) {
  rill_hub *hub = p->hub;
  rill_conn *c = p->conn;

  /* that was before its time */
  for (rill__member *m = p->rooms; m != NULL; m = m->next)
    rill__batch_flush(hub, m->room);
  rill__fanout_close(hub, &hub->fanout);
  if (p->conn == NULL)
    return;
  p->variant = c->variant;
  rill__peer_space(p)->mix |= rill__mix_of(p->variant);
  for (rill__member *m = p->rooms; m != NULL; m = m->next)
    m->room->mix |= rill__mix_of(p->variant); /* it has come back */
  hub->metrics.peers_total += !p->told;
  p->open = p->told = true;
  hub->peers.open++;
  hub->follower->opened(p);
  rill__hub_log(hub, RILL_LOG_INFO, "peer.open", rill__address_text(c), NULL);
}

void rill__peer_speaks(rill__peer *p, unsigned variant) {
  p->variant = (uint8_t)variant;
  rill__peer_space(p)->mix |= rill__mix_of(variant);
  for (rill__member *m = p->rooms; m != NULL; m = m->next)
    m->room->mix |= rill__mix_of(variant);
}

void rill__peer_stop(rill__peer *p) {
  if (!p->open)
    return;
  p->open = false;
  p->hub->peers.open--;
}

static bool somebody_paused(const rill_conn *c) {
  const rill__peer *p = c->peer;

  while (p != NULL && !p->paused)
    p = rill__peer_sibling(p);
  return p != NULL;
}

void rill__peer_part(rill__peer *p, rill_cause cause, rill_str reason) {
  rill_hub *hub = p->hub;
  rill_conn *c;
  bool paused;

  rill__fanout_close(hub, &hub->fanout);
  c = p->conn;
  if (c == NULL)
    return;
  paused = p->paused;
  rill__peer_stop(p);
  rill__peer_unbind(p);
  if (paused && !somebody_paused(c)) { /* nobody is left to resume it */
    c->flags &= (uint16_t)~RILL__PAUSED;
    rill__heartbeat_again(c);
    rill__conn_held_due(c);
  }
  rill__peer_end(p, cause, RILL_CLOSE_NONE, 0, 0, reason);
  if (c->peer == NULL && c->session != NULL) { /* it may connect again */
    c->session->connect_by =
        rill__after(hub->now, hub->config.limits.connect_ms);
    rill__conn_arm(c);
  }
}

static void undue(rill__peer *p) {
  rill_hub *hub = p->hub;
  rill__peer **at = &hub->due;

  if ((p->due & RILL__DUE_QUEUED) == 0)
    return;
  while (*at != p)
    at = &(*at)->due_next;
  *at = p->due_next;
  if (hub->due_end == &p->due_next)
    hub->due_end = at;
}

void rill__peer_free(rill__peer *p) {
  rill_hub *hub = p->hub;
  uint32_t index = p->slot / PER_PAGE;
  rill__page *page = hub->peers.pages[index];

  undue(p);
  rill__ask_left(p);
  rill__rooms_leave_all(p);
  hub->follower->closed(p);
  rill__joins_free(p);
  rill__user_remove(p);
  rill__free(&hub->alloc, p->rare, sizeof *p->rare);
  if (p->dialed)
    rill__own_opts_free(hub, p->opts);
  if (p->conn != NULL)
    unlink_conn(p);
  if (p->away)
    hub->naway--;
  rill__voice_free(p);
  memset(p, 0, sizeof *p);
  if (index < hub->peers.open_page)
    hub->peers.open_page = index;
  if (--page->used == 0) {
    hub->peers.pages[index] = NULL;
    rill__free(&hub->alloc, page, sizeof *page);
  }
}

rill__peer *rill__peer_next(rill_hub *hub, uint32_t *slot) {
  while (*slot / PER_PAGE < hub->peers.npages) {
    rill__page *page = hub->peers.pages[*slot / PER_PAGE];
    if (page == NULL) {
      *slot = (*slot / PER_PAGE + 1) * PER_PAGE;
      continue;
    }
    rill__peer *p = &page->peers[(*slot)++ % PER_PAGE];
    if (p->generation != 0)
      return p;
  }
  return NULL;
}

void rill__peers_free(rill_hub *hub) {
  rill__peer *p;

  for (uint32_t slot = 0; (p = rill__peer_next(hub, &slot)) != NULL;)
    rill__peer_free(p);
  rill__free(&hub->alloc, hub->peers.pages,
             hub->peers.cap * sizeof *hub->peers.pages);
}

void rill__peer_due(rill__peer *p, unsigned what) {
  if ((p->due & RILL__DUE_QUEUED) == 0) {
    p->due_next = NULL;
    *p->hub->due_end = p;
    p->hub->due_end = &p->due_next;
  }
  p->due |= (uint8_t)(what | RILL__DUE_QUEUED);
}

void rill__peer_unbind(rill__peer *p) {
  rill_conn *c = p->conn;
  rill_str address = rill__address_text(c);
  rill__peer_rare *rare =
      p->told || p->dialed ? rill__peer_rare_of(p) : NULL;

  if (rare != NULL) {
    rare->address_len =
        (uint8_t)(address.len < sizeof rare->address ? address.len
                                                     : sizeof rare->address);
    memcpy(rare->address, address.ptr, rare->address_len);
    rare->port = c->port;
  }
  unlink_conn(p);
  p->paused = false;
  if (p->voice != NULL)
    p->voice->session = NULL;
}

void rill__peer_ending(rill__peer *p, rill_cause cause, unsigned code,
                       unsigned sent, unsigned status, rill_str reason) {
  rill__peer_rare *rare = rill__peer_rare_of(p);
  rill__ending *e;

  if (rare == NULL)
    return; /* on_close says just that */
  e = &rare->ending;
  rare->ended = true;
  e->cause = cause;
  e->code = (uint16_t)code;
  e->sent = (uint16_t)sent;
  e->status = (uint16_t)status;
  e->reason_len = (uint8_t)(reason.len < sizeof e->reason ? reason.len
                                                          : sizeof e->reason);
  if (e->reason_len > 0)
    memcpy(e->reason, reason.ptr, e->reason_len);
}

void rill__peer_end(rill__peer *p, rill_cause cause, unsigned code,
                    unsigned sent, unsigned status, rill_str reason) {
  p->hub->metrics.closed[cause]++;
  if (!p->told && !p->dialed) {
    rill__peer_free(p);
    return;
  }
  if (p->voice != NULL)
    rill__voice_forget_secret(p);
  rill__ask_left(p);
  rill__peer_ending(p, cause, code, sent, status, reason);
  rill__peer_due(p, RILL__DUE_CLOSE);
}

static void deliver_close(rill__peer *p) {
  rill_closed closed = {.cause = RILL_CAUSE_NOMEM,
                        .code = RILL_CLOSE_ABNORMAL,
                        .reason = rill_s("out of memory")};
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);

  if (p->transient) { /* whom nobody has heard of */
    rill__peer_free(p);
    return;
  }
  if (p->rare != NULL && p->rare->ended) {
    const rill__ending *e = &p->rare->ending;
    closed = (rill_closed){e->cause, e->code, e->sent, e->status,
                           {e->reason, e->reason_len}};
  }
  rill__hub_log(p->hub, RILL_LOG_INFO, "peer.close",
                rill_s(rill_cause_text(closed.cause)), NULL);
  if (h->on_close != NULL) {
    p->hub->in_handler = true;
    h->on_close(rill__peer_handle(p), &closed, arg);
    p->hub->in_handler = false;
  }
  rill__peer_free(p);
}

static void deliver_away(rill__peer *p) {
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv = 0;

  if (h->on_away != NULL) {
    p->hub->in_handler = true;
    rv = h->on_away(rill__peer_handle(p), arg);
    p->hub->in_handler = false;
  }
  if (rv < 0 && p->away)
    rill__peer_give_up(p);
}

static void deliver_back(rill__peer *p) {
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv = 0;

  if (h->on_back != NULL) {
    p->hub->in_handler = true;
    rv = h->on_back(rill__peer_handle(p), p->voice->missed, arg);
    p->hub->in_handler = false;
  }
  rill__peer_handled(p, rv);
}

/* It may have come back and gone again before the host hears of either. */
static void deliver_moves(rill__peer *p, unsigned due) {
  rill__voice *v = p->voice;

  if (!v->told_away && (due & RILL__DUE_AWAY) != 0) {
    v->told_away = true;
    deliver_away(p);
  }
  if (v->told_away && (due & RILL__DUE_BACK) != 0) {
    v->told_away = false;
    deliver_back(p);
  }
  if (!v->told_away && p->away) {
    v->told_away = true;
    deliver_away(p);
  }
}

static void deliver_drain(rill__peer *p) {
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv;

  if (!p->open || h->on_drain == NULL)
    return;
  if (rill__conn_is(p->conn, RILL__BUSY_TOLD))
    return; /* full again meanwhile: it will be told then */
  p->hub->in_handler = true;
  rv = h->on_drain(rill__peer_handle(p), arg);
  p->hub->in_handler = false;
  rill__peer_handled(p, rv);
}

/* Accepted, and not open yet: as each dialect does it. */
static void deliver_open(rill__peer *p) {
  if (p->transient)
    rill__sse_posted(p);
  else if (p->joining)
    rill__sse_open(p);
  else if (p->voice != NULL && p->voice->opening != NULL)
    rill__connect_open(p);
  else if (p->conn != NULL && p->conn->state == RILL__VERDICT)
    rill__request_open(p->conn);
}

static void deliver(rill__peer *p, unsigned due) {
  if ((due & RILL__DUE_OPEN) != 0 && (p->conn != NULL || p->transient))
    deliver_open(p);
  if ((due & (RILL__DUE_AWAY | RILL__DUE_BACK)) != 0)
    deliver_moves(p, due);
  if ((due & RILL__DUE_JOINS) != 0 && !rill__joins_deliver(p))
    return; /* it is gone */
  if ((due & RILL__DUE_DRAIN) != 0)
    deliver_drain(p);
  if ((due & RILL__DUE_INPUT) != 0 && p->conn != NULL) {
    rill__heartbeat_again(p->conn);
    rill__conn_feed_held(p->conn);
  }
  if ((due & RILL__DUE_CLOSE) != 0)
    deliver_close(p);
}

/*
 * What comes due while handlers run waits for its turn behind what is due
 * already; a peer that is due again at once waits for the next tick, so that
 * two handlers cannot keep each other going for ever.
 */
void rill__peers_deliver(rill_hub *hub) {
  rill__peer *last = hub->due != NULL ? RILL__CONTAINER(hub->due_end,
                                                        rill__peer, due_next)
                                      : NULL;
  bool more = last != NULL;

  while (more && hub->due != NULL) {
    rill__peer *p = hub->due;
    unsigned due = p->due;
    more = p != last;
    hub->due = p->due_next;
    if (hub->due == NULL)
      hub->due_end = &hub->due;
    p->due = 0;
    deliver(p, due);
  }
}

int rill__peer_handled(rill__peer *p, int rv) {
  /* what rill_send said of a full or closed queue is no failure */
  if (rv >= 0 || rv == RILL_ERR_FULL || rv == RILL_ERR_CLOSED)
    return 0;
  p->hub->metrics.handler_errors_total++;
  if (p->conn != NULL)
    rill__conn_ws_fail(p->conn, RILL_CAUSE_HANDLER, RILL_CLOSE_ERROR,
                       "a handler failed");
  return RILL_ERR_HANDLER;
}

int rill_close(rill_peer peer, int code, const char *reason) {
  rill__peer *p = rill__peer_of(peer);
  rill_str why = rill_s(reason);

  if (p != NULL && p->away) {
    rill__peer_give_up(p);
    return 0;
  }
  p = rill__peer_open(peer);
  if (p == NULL)
    return RILL_ERR_CLOSED;
  if (code < 0 || !rill__ws_close_code_ok((unsigned)code) || why.len > 123 ||
      !rill__utf8_valid(why.ptr, why.len))
    return RILL_ERR_ARG;
  if (p->voice != NULL && p->voice->session != NULL &&
      p->voice->session->route->dialect == RILL_SOCKETIO) {
    rill__socketio_disconnect(p, RILL_CAUSE_HOST);
    return 0;
  }
  rill__conn_ws_close(p->conn, RILL_CAUSE_HOST, (unsigned)code, why);
  return 0;
}

int rill_cut(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p != NULL && p->away) {
    rill__peer_give_up(p);
    return 0;
  }
  if (p == NULL || p->conn == NULL || p->joining)
    return RILL_ERR_CLOSED; /* whom a hook judges is not there yet */
  rill__conn_ws_cut(p->conn, RILL_CAUSE_HOST, "cut");
  return 0;
}

int rill_pause(rill_peer peer) {
  rill__peer *p = rill__peer_open(peer);

  if (p == NULL)
    return RILL_ERR_CLOSED;
  p->paused = true;
  p->conn->flags |= RILL__PAUSED;
  rill__conn_ready(p->conn);
  return 0;
}

int rill_resume(rill_peer peer) {
  rill__peer *p = rill__peer_open(peer);

  if (p == NULL)
    return RILL_ERR_CLOSED;
  p->paused = false;
  if (!rill__conn_is(p->conn, RILL__PAUSED) || somebody_paused(p->conn))
    return 0;
  p->conn->flags &= (uint16_t)~RILL__PAUSED;
  rill__peer_due(p, RILL__DUE_INPUT);
  rill__conn_ready(p->conn);
  return 0;
}

int rill_ping(rill_peer peer) {
  rill__peer *p = rill__peer_open(peer);
  rill_conn *c;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  c = p->conn;
  if (!rill__conn_is(c, RILL__PINGED)) {
    rill__conn_ws_ping(c); /* without memory it cuts the conn */
    rill__conn_arm(c);
  }
  return 0;
}

bool rill_is_open(rill_peer peer) { return rill__peer_open(peer) != NULL; }

uint64_t rill_peer_id(rill_peer peer) {
  if (rill__peer_of(peer) == NULL)
    return 0;
  return (uint64_t)peer.generation << 32 | peer.slot;
}

rill_str rill_peer_user(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL && p->user != NULL ? rill__user_name(p) : (rill_str){0};
}

rill_str rill_peer_subprotocol(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL && p->protocol > 0
             ? rill_s(p->opts->subprotocols[p->protocol - 1])
             : (rill_str){0};
}

rill_str rill_peer_address(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL)
    return (rill_str){0};
  if (p->conn != NULL)
    return rill__address_text(p->conn);
  return p->rare == NULL
             ? (rill_str){0}
             : (rill_str){p->rare->address, p->rare->address_len};
}

uint16_t rill_peer_port(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL)
    return 0;
  if (p->conn != NULL)
    return p->conn->port;
  return p->rare != NULL ? p->rare->port : 0;
}

void *rill_peer_data(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL ? p->data : NULL;
}

int rill_peer_set_data(rill_peer peer, void *data) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL)
    return RILL_ERR_CLOSED;
  p->data = data;
  return 0;
}

rill_time rill_peer_rtt(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL && p->rtt_us != UINT32_MAX ? p->rtt_us * RILL_USEC
                                              : RILL_NEVER;
}

size_t rill_peer_queued(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL || p->conn == NULL)
    return 0;
  rill__fanout_close(p->hub, &p->hub->fanout);
  return p->conn != NULL ? p->conn->out.bytes : 0;
}

size_t rill_peers(const rill_hub *hub) { return hub->peers.open; }

static const char *const reasons[] = {
    "transport close",             "transport error",
    "ping timeout",                "parse error",
    "forced close",                "client namespace disconnect",
    "server namespace disconnect", "server shutting down",
    "forced server close"};

const char *rill_disconnect_reason(const rill_closed *closed) {
  for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
    if (rill_str_eq(closed->reason, rill_s(reasons[i])))
      return reasons[i];
  switch (closed->cause) {
  case RILL_CAUSE_PEER:
  case RILL_CAUSE_EOF:
    return "transport close";
  case RILL_CAUSE_TIMEOUT:
    return "ping timeout";
  case RILL_CAUSE_UTF8:
    return "parse error";
  case RILL_CAUSE_DRAIN:
    return "server shutting down";
  case RILL_CAUSE_HOST:
  case RILL_CAUSE_HANDLER:
    return "forced server close";
  case RILL_CAUSE_FLOOD:
    return "forced close";
  default:
    return "transport error";
  }
}
