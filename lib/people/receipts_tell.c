/*
 * receipts_tell.c - what others hear of receipts.
 */
#include "people/receipts.h"

#include "people/presence.h"

/* The newest receipt of a user. */
typedef struct receipt {
  UT_hash_handle hh; /* in held->users, by name */
  uint64_t offset;
  uint32_t name_len;
  char name[]; /* "+" or, of a private one, "-", then the user */
} receipt;

/* The receipts of a room. */
typedef struct rill__held held;
struct rill__held {
  UT_hash_handle hh; /* in hub->held_receipts, by name */
  rill_hub *hub;
  rill__timer timer;
  receipt *users;
  uint32_t count;
  rill_str space, room; /* in |name| */
  uint32_t name_len;
  char name[]; /* space, line feed, room */
};

static unsigned hash_of(const rill_hub *hub, rill_str name) {
  return (unsigned)rill__hub_hash(hub, name);
}

static held *held_new(rill_hub *hub, rill_str name, size_t space_len) {
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  held *h;

  h = rill__timed_new(hub, sizeof *h + name.len);
  if (h == NULL)
    return NULL;
  h->hub = hub;
  h->name_len = (uint32_t)name.len;
  memcpy(h->name, name.ptr, name.len);
  h->space = (rill_str){h->name, space_len};
  h->room = (rill_str){h->name + space_len + 1, name.len - space_len - 1};
  rill__timer_init(&h->timer, RILL__TIMER_RECEIPTS);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, hub->held_receipts, h->name, h->name_len,
                              hash_of(hub, name), h);
  if (!map_failed)
    return h;
  rill__timed_free(hub, &h->timer, h, sizeof *h + h->name_len);
  return NULL;
}

static held *held_of(rill_hub *hub, rill_str space, rill_str room) {
  rill__bytes name;
  held *h = NULL;

  rill__bytes_init(&name, &hub->alloc);
  rill__bytes_add(&name, space.ptr, space.len);
  rill__bytes_add(&name, "\n", 1);
  rill__bytes_add(&name, room.ptr, room.len);
  if (!name.failed) {
    rill_str n = {(char *)name.data, name.len};
    if (hub->held_receipts != NULL)
      HASH_FIND_BYHASHVALUE(hh, hub->held_receipts, n.ptr, n.len,
                            hash_of(hub, n), h);
    if (h == NULL)
      h = held_new(hub, n, space.len);
  }
  rill__bytes_finish(&name);
  return h;
}

static void forget(held *h, receipt *r) {
  const rill__alloc *map_alloc = &h->hub->alloc;

  HASH_DEL(h->users, r);
  h->count--;
  rill__free(map_alloc, r, sizeof *r + r->name_len);
}

static void held_free(held *h) {
  rill_hub *hub = h->hub;
  const rill__alloc *map_alloc = &hub->alloc;

  while (h->users != NULL)
    forget(h, h->users);
  HASH_DEL(hub->held_receipts, h);
  rill__timed_free(hub, &h->timer, h, sizeof *h + h->name_len);
}

static receipt *receipt_new(held *h, rill_str name) {
  const rill__alloc *map_alloc = &h->hub->alloc;
  bool map_failed = false;
  receipt *r = rill__calloc(map_alloc, sizeof *r + name.len);

  if (r == NULL)
    return NULL;
  r->name_len = (uint32_t)name.len;
  memcpy(r->name, name.ptr, name.len);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, h->users, r->name, r->name_len,
                              hash_of(h->hub, name), r);
  if (map_failed) {
    rill__free(map_alloc, r, sizeof *r + name.len);
    return NULL;
  }
  h->count++;
  return r;
}

static void begin(const held *h, rill_builder *b) {
  rill__builder_init(b, &h->hub->alloc);
  rill_put_object(b);
  rill_set_str(b, "room", h->room);
  rill_put_key(b, "users");
  rill_put_array(b);
}

static void put(rill_builder *b, const receipt *r) {
  rill_put_object(b);
  rill_set_str(b, "userId", (rill_str){r->name + 1, r->name_len - 1});
  rill_put_key(b, "offset");
  rill_put_uint(b, r->offset);
  rill_put_end(b);
}

/* false: there was no memory for it. */
static bool end(const held *h, rill_builder *b, const rill_to *to) {
  rill_hub *hub = h->hub;
  rill__space *space = rill__space_find(hub, h->space);
  int rv = 0;

  rill_put_end(b);
  rill_put_end(b);
  if (space != NULL) /* else nobody is there */
    rv = rill__tell(hub, space, to, "receipt:update", b, (rill_str){0});
  rill__builder_finish(b);
  return rv != RILL_ERR_NOMEM;
}

static void tell_privately(held *h) {
  receipt *r, *next;

  for (r = h->users; r != NULL; r = next) {
    rill_str user = {r->name + 1, r->name_len - 1};
    rill_to to = {.users = &user, .nusers = 1};
    rill_builder b;
    next = r->hh.next;
    if (r->name[0] != '-')
      continue;
    begin(h, &b);
    put(&b, r);
    if (!end(h, &b, &to))
      return;
    h->hub->metrics.receipt_updates_total++;
    forget(h, r);
  }
}

static void tell_room(held *h) {
  rill_to to = {.rooms = &h->room, .nrooms = 1};
  receipt *r, *next;
  rill_builder b;
  bool any = false;

  for (r = h->users; r != NULL; r = r->hh.next) {
    if (r->name[0] != '+')
      continue;
    if (!any)
      begin(h, &b);
    any = true;
    put(&b, r);
  }
  if (!any || !end(h, &b, &to))
    return;
  for (r = h->users; r != NULL; r = next) {
    next = r->hh.next;
    if (r->name[0] != '+')
      continue;
    h->hub->metrics.receipt_updates_total++;
    forget(h, r);
  }
}

static void arm(held *h) {
  rill_hub *hub = h->hub;
  rill_time window = hub->config.limits.receipt_window_ms * RILL_MSEC;

  if (h->timer.due == RILL_NEVER)
    rill__heap_set(&hub->timers, &h->timer, hub->now + window);
}

/* What there is no memory for is told with the next window. */
static void flush(held *h) {
  tell_room(h);
  tell_privately(h);
  if (h->count == 0)
    held_free(h);
  else
    arm(h);
}

static receipt *receipt_of(held *h, rill_str user, bool is_private) {
  rill_hub *hub = h->hub;
  receipt *r = NULL;
  rill__bytes name;

  rill__bytes_init(&name, &hub->alloc);
  rill__bytes_str(&name, is_private ? "-" : "+");
  rill__bytes_add(&name, user.ptr, user.len);
  if (!name.failed) {
    rill_str n = {(char *)name.data, name.len};
    if (h->users != NULL)
      HASH_FIND_BYHASHVALUE(hh, h->users, n.ptr, n.len, hash_of(hub, n), r);
    if (r == NULL)
      r = receipt_new(h, n);
  }
  rill__bytes_finish(&name);
  return r;
}

void rill__receipt_tell(rill_hub *hub, rill_str space, rill_str room,
                        rill_str user, uint64_t offset, bool is_private) {
  held *h = held_of(hub, space, room);
  receipt *r = h != NULL ? receipt_of(h, user, is_private) : NULL;

  if (r != NULL)
    r->offset = offset; /* what a store says of a version only grows */
  if (h == NULL)
    return;
  if (h->count > hub->config.limits.receipt_users) {
    hub->metrics.limit_receipt_users++;
    flush(h);
  } else if (h->count > 0) {
    arm(h);
  } else {
    held_free(h);
  }
}

void rill__receipts_tick(rill__timer *timer) {
  held *h = RILL__CONTAINER(timer, held, timer);

  h->hub->metrics.limit_receipt_window_ms++;
  flush(h);
}

void rill__receipts_free(rill_hub *hub) {
  while (hub->held_receipts != NULL)
    held_free(hub->held_receipts);
}
