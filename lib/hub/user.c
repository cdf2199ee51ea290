/*
 * user.c - all peers of one person.
 */
#include "hub/peer.h"
#include "hub/room.h"

/* One peer of one user. */
struct rill__in_user {
  rill__user *user;
  rill__peer *peer;
  rill__link link;
};

struct rill__user {
  UT_hash_handle hh;
  rill__link peers;
  uint32_t name_len;
  char name[];
};

rill__user *rill__user_find(rill_hub *hub, rill_str name) {
  rill__user *u = NULL;

  if (name.len == 0 || hub->users == NULL)
    return NULL;
  HASH_FIND_BYHASHVALUE(hh, hub->users, name.ptr, name.len,
                        (unsigned)rill__hub_hash(hub, name), u);
  return u;
}

static rill__user *user_new(rill_hub *hub, rill_str name) {
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__user *u = rill__calloc(&hub->alloc, sizeof *u + name.len);

  if (u == NULL)
    return NULL;
  rill__list_init(&u->peers);
  u->name_len = (uint32_t)name.len;
  memcpy(u->name, name.ptr, name.len);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, hub->users, u->name, u->name_len,
                              (unsigned)rill__hub_hash(hub, name), u);
  if (map_failed) {
    rill__free(&hub->alloc, u, sizeof *u + name.len);
    return NULL;
  }
  hub->metrics.users++;
  return u;
}

static void user_free(rill_hub *hub, rill__user *u) {
  const rill__alloc *map_alloc = &hub->alloc;

  HASH_DEL(hub->users, u);
  hub->metrics.users--;
  rill__free(&hub->alloc, u, sizeof *u + u->name_len);
}

int rill__user_add(rill__peer *p, rill_str name) {
  rill__in_user *in;
  rill__user *u;
  int rv = rill__name_check(p->hub, name);

  if (rv != 0)
    return rv;
  in = rill__malloc(&p->hub->alloc, sizeof *in);
  if (in == NULL)
    return RILL_ERR_NOMEM;
  u = rill__user_find(p->hub, name);
  if (u == NULL)
    u = user_new(p->hub, name);
  if (u == NULL) {
    rill__free(&p->hub->alloc, in, sizeof *in);
    return RILL_ERR_NOMEM;
  }
  in->user = u;
  in->peer = p;
  rill__list_push(&u->peers, &in->link);
  p->user = in;
  return 0;
}

void rill__user_remove(rill__peer *p) {
  rill__in_user *in = p->user;
  rill__user *u;

  if (in == NULL)
    return;
  u = in->user;
  p->user = NULL;
  rill__list_remove(&in->link);
  rill__free(&p->hub->alloc, in, sizeof *in);
  if (rill__list_empty(&u->peers))
    user_free(p->hub, u);
}

rill_str rill__user_name(const rill__peer *p) {
  return (rill_str){p->user->user->name, p->user->user->name_len};
}

void rill__user_each(rill__user *u, void (*fn)(void *arg, rill__peer *p),
                     void *arg) {
  for (rill__link *l = u->peers.next; l != &u->peers; l = l->next)
    fn(arg, RILL__CONTAINER(l, rill__in_user, link)->peer);
}

size_t rill_user_count(rill_hub *hub, rill_str user) {
  const rill__user *u = rill__user_find(hub, user);
  size_t n = 0;

  for (const rill__link *l = u != NULL ? u->peers.next : NULL;
       l != NULL && l != &u->peers; l = l->next)
    n++;
  return n;
}

int rill_user_each(rill_hub *hub, rill_str user,
                   int (*fn)(rill_peer peer, void *arg), void *arg) {
  rill__user *u = rill__user_find(hub, user);
  int rv = 0;

  for (rill__link *l = u != NULL ? u->peers.next : NULL;
       l != NULL && l != &u->peers && rv == 0; l = l->next)
    rv = fn(rill__peer_handle(RILL__CONTAINER(l, rill__in_user, link)->peer),
            arg);
  return rv;
}

int rill_peer_each(rill_hub *hub, int (*fn)(rill_peer peer, void *arg),
                   void *arg) {
  rill__peer *p;
  int rv = 0;

  for (uint32_t slot = 0; rv == 0 && (p = rill__peer_next(hub, &slot)) != NULL;)
    if (p->told)
      rv = fn(rill__peer_handle(p), arg);
  return rv;
}

/* The peers are gone, so the users are. */
void rill__users_free(rill_hub *hub) {
  while (hub->users != NULL)
    user_free(hub, hub->users);
}
