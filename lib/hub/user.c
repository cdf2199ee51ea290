/*
 * user.c - all peers of one person.
 */
#include "hub/peer.h"
#include "hub/room.h"

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
  rill__user *u;
  int rv = rill__name_check(p->hub, name);

  if (rv != 0)
    return rv;
  u = rill__user_find(p->hub, name);
  if (u == NULL)
    u = user_new(p->hub, name);
  if (u == NULL)
    return RILL_ERR_NOMEM;
  p->user = u;
  rill__list_push(&u->peers, &p->user_link);
  return 0;
}

void rill__user_remove(rill__peer *p) {
  rill__user *u = p->user;

  if (u == NULL)
    return;
  p->user = NULL;
  rill__list_remove(&p->user_link);
  if (rill__list_empty(&u->peers))
    user_free(p->hub, u);
}

rill_str rill__user_name(const rill__user *u) {
  return (rill_str){u->name, u->name_len};
}

rill__link *rill__user_peers(rill__user *u) { return &u->peers; }

/* The peers are gone, so the users are. */
void rill__users_free(rill_hub *hub) {
  while (hub->users != NULL)
    user_free(hub, hub->users);
}
