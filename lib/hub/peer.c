#include "hub/peer.h"

#include "hub/address.h"
#include "hub/ask.h"
#include "hub/batch.h"
#include "hub/follower.h"
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

bool rill__peers_paused(const rill_conn *c) {
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
  if (paused && !rill__peers_paused(c)) { /* nobody is left to resume it */
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

void rill__peer_free(rill__peer *p) {
  rill_hub *hub = p->hub;
  uint32_t index = p->slot / PER_PAGE;
  rill__page *page = hub->peers.pages[index];

  rill__peer_undue(p);
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

void rill__peer_unbind(rill__peer *p) {
  rill_conn *c = p->conn;
  rill_str address = rill__address_text(c);
  rill__peer_rare *rare = p->told || p->dialed ? rill__peer_rare_of(p) : NULL;

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
  e->reason_len =
      (uint8_t)(reason.len < sizeof e->reason ? reason.len : sizeof e->reason);
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
