/*
 * voice.c - what peers with events have beside: ids, secrets, a namespace.
 */
#include "hub/peer.h"

#include "hub/event.h"
#include "hub/history.h"
#include "hub/follower.h"
#include "hub/session.h"

bool rill__random_id(rill_hub *hub, char out[RILL__SID]) {
  static const char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  uint8_t bytes[RILL__SID];

  if (rill__hub_random(hub, bytes, sizeof bytes) != 0)
    return false;
  for (size_t i = 0; i < RILL__SID; i++) /* 6 bits each: 120 in all */
    out[i] = digits[bytes[i] & 63];
  return true;
}

static unsigned hash_of(const rill_hub *hub, const char id[RILL__SID]) {
  return (unsigned)rill__hub_hash(hub, (rill_str){id, RILL__SID});
}

bool rill__voice_new(rill__peer *p, rill__space *space) {
  rill_hub *hub = p->hub;
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__voice *v = rill__calloc(&hub->alloc, sizeof *v);

  if (v == NULL)
    return false;
  v->peer = p;
  v->space = space;
  v->since = hub->offset;
  rill__list_init(&v->away);
  rill__list_init(&v->untold);
  if (rill__random_id(hub, v->sid))
    HASH_ADD_BYHASHVALUE(by_sid, hub->sids, sid, RILL__SID,
                         hash_of(hub, v->sid), v);
  else
    map_failed = true;
  if (map_failed) {
    rill__free(&hub->alloc, v, sizeof *v);
    return false;
  }
  space->npeers++;
  p->voice = v;
  return true;
}

void rill__voice_forget_secret(rill__peer *p) {
  const rill__alloc *map_alloc = &p->hub->alloc;

  if (!p->voice->secretive)
    return;
  HASH_DELETE(by_secret, p->hub->secrets, p->voice);
  p->voice->secretive = false;
}

bool rill__voice_secret(rill__peer *p) {
  rill_hub *hub = p->hub;
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__voice *v = p->voice;

  rill__voice_forget_secret(p);
  if (!rill__random_id(hub, v->secret))
    return false;
  HASH_ADD_BYHASHVALUE(by_secret, hub->secrets, secret, RILL__SID,
                       hash_of(hub, v->secret), v);
  v->secretive = !map_failed;
  return v->secretive;
}

rill__peer *rill__voice_by_secret(rill_hub *hub, rill_str secret) {
  rill__voice *v = NULL;

  if (secret.len != RILL__SID || hub->secrets == NULL)
    return NULL;
  HASH_FIND_BYHASHVALUE(by_secret, hub->secrets, secret.ptr, RILL__SID,
                        hash_of(hub, secret.ptr), v);
  return v != NULL ? v->peer : NULL;
}

void rill__voice_free(rill__peer *p) {
  rill_hub *hub = p->hub;
  const rill__alloc *map_alloc = &hub->alloc;
  rill__voice *v = p->voice;
  rill__space *space;

  if (v == NULL)
    return;
  space = v->space;
  rill__sse_posts_drop(p);
  if (v->opening != NULL && !v->opening->hooked)
    rill__request_free(v->opening);
  rill__voice_forget_secret(p);
  HASH_DELETE(by_sid, hub->sids, v);
  rill__ring_free(hub, v->ring);
  rill__rates_free(hub, v->rates);
  rill__list_remove(&v->away);
  hub->follower->silent(v);
  p->voice = NULL;
  rill__free(&hub->alloc, v, sizeof *v);
  space->npeers--;
  rill__space_release(hub, space);
}

rill_str rill_peer_sid(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL && p->voice != NULL ? (rill_str){p->voice->sid, RILL__SID}
                                       : (rill_str){0};
}

rill_peer rill_find_sid(rill_hub *hub, rill_str sid) {
  rill__voice *v = NULL;

  if (sid.len == RILL__SID && hub->sids != NULL)
    HASH_FIND_BYHASHVALUE(by_sid, hub->sids, sid.ptr, RILL__SID,
                          hash_of(hub, sid.ptr), v);
  return v != NULL ? rill__peer_handle(v->peer) : (rill_peer){0};
}
