/*
 * typing.c - who is typing: users, until a deadline that each start moves.
 *
 * A typer is typing or not, and was told as typing or not; those for whom
 * the two differ are what the next window has to tell.  All deadlines are
 * equally far away, so a list in the order of the starts is in the order of
 * the deadlines.
 */
#include "people/typing.h"

#include "hub/event.h"
#include "people/presence.h"

typedef struct typer {
  UT_hash_handle hh;  /* in typing->typers, by name */
  rill__link order;   /* in typing->order, while typing */
  rill__link differs; /* in typing->differ */
  rill_time until;
  rill_peer peer; /* that started last */
  bool typing, told;
  uint32_t name_len;
  char name[];
} typer;

struct rill__typing {
  rill_hub *hub;
  rill__room *room;
  rill__timer timer;
  rill_time flush_at; /* RILL_NEVER: nothing to tell */
  typer *typers;
  rill__link order, differ;
  uint32_t count;
  rill_peer *joined; /* to be told of the list */
  uint32_t njoined, cap;
};

static void arm(rill__typing *t) {
  rill_time due = t->flush_at;

  if (!rill__list_empty(&t->order))
    due =
        rill__sooner(due, RILL__CONTAINER(t->order.next, typer, order)->until);
  if (t->njoined > 0)
    due = t->hub->now;
  rill__heap_set(&t->hub->timers, &t->timer, due);
}

static rill__typing *typing_of(rill_hub *hub, rill__room *room) {
  rill__typing *t = room->typing;

  if (t != NULL)
    return t;
  t = rill__timed_new(hub, sizeof *t);
  if (t == NULL)
    return NULL;
  t->hub = hub;
  t->room = room;
  t->flush_at = RILL_NEVER;
  rill__timer_init(&t->timer, RILL__TIMER_TYPING);
  rill__list_init(&t->order);
  rill__list_init(&t->differ);
  return room->typing = t;
}

static typer *find(const rill__typing *t, rill_str name) {
  typer *y = NULL;

  if (t->typers != NULL)
    HASH_FIND_BYHASHVALUE(hh, t->typers, name.ptr, name.len,
                          (unsigned)rill__hub_hash(t->hub, name), y);
  return y;
}

static typer *typer_of(rill__typing *t, rill_str name) {
  const rill__alloc *map_alloc = &t->hub->alloc;
  bool map_failed = false;
  typer *y = find(t, name);

  if (y != NULL)
    return y;
  y = rill__calloc(map_alloc, sizeof *y + name.len);
  if (y == NULL)
    return NULL;
  rill__list_init(&y->order);
  rill__list_init(&y->differs);
  y->name_len = (uint32_t)name.len;
  memcpy(y->name, name.ptr, name.len);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->typers, y->name, y->name_len,
                              (unsigned)rill__hub_hash(t->hub, name), y);
  if (!map_failed)
    return y;
  rill__free(map_alloc, y, sizeof *y + name.len);
  return NULL;
}

static void typer_free(rill__typing *t, typer *y) {
  const rill__alloc *map_alloc = &t->hub->alloc;

  HASH_DEL(t->typers, y);
  rill__list_remove(&y->order);
  rill__list_remove(&y->differs);
  rill__free(map_alloc, y, sizeof *y + y->name_len);
}

void rill__typing_free(rill_hub *hub, rill__typing *t) {
  if (t == NULL)
    return;
  while (t->typers != NULL)
    typer_free(t, t->typers);
  t->room->typing = NULL;
  rill__free(&hub->alloc, t->joined, t->cap * sizeof *t->joined);
  rill__timed_free(hub, &t->timer, t, sizeof *t);
}

/* It types, or no more. */
static void set(rill__typing *t, typer *y, bool typing) {
  if (y->typing == typing)
    return;
  y->typing = typing;
  if (typing)
    t->count++;
  else
    t->count--;
  rill__list_remove(&y->order);
  rill__list_remove(&y->differs);
  if (y->told == typing) {
    if (!typing)
      typer_free(t, y);
    return; /* undone before anybody knew */
  }
  rill__list_push(&t->differ, &y->differs);
  if (t->flush_at == RILL_NEVER)
    t->flush_at =
        t->hub->now + t->hub->config.limits.typing_window_ms * RILL_MSEC;
}

static int start(rill__peer *p, rill__room *room) {
  rill__typing *t = typing_of(p->hub, room);
  typer *y = t != NULL ? typer_of(t, rill__user_name(p)) : NULL;

  if (y == NULL)
    return RILL_ERR_NOMEM;
  set(t, y, true);
  y->peer = rill__peer_handle(p);
  y->until = p->hub->now + p->hub->config.limits.typing_ms * RILL_MSEC;
  rill__list_remove(&y->order);
  rill__list_push(&t->order, &y->order);
  arm(t);
  return 0;
}

static void stop(rill__room *room, rill_str user) {
  typer *y = room->typing != NULL ? find(room->typing, user) : NULL;

  if (y == NULL)
    return;
  set(room->typing, y, false);
  arm(room->typing);
}

void rill__typing_sent(rill__room *room, rill_peer from) {
  const rill__peer *p = rill__peer_of(from);

  if (room != NULL && p != NULL && p->user != NULL)
    stop(room, rill__user_name(p));
}

void rill__typing_left(rill__peer *p, rill__room *room) {
  const typer *y;

  if (room->typing == NULL || p->user == NULL)
    return;
  y = find(room->typing, rill__user_name(p));
  if (y != NULL && rill_peer_eq(y->peer, rill__peer_handle(p)))
    stop(room, rill__user_name(p));
}

void rill__typing_away(rill__peer *p) {
  for (const rill__member *m = p->rooms; m != NULL; m = m->next)
    rill__typing_left(p, m->room);
}

/* Without memory it learns of the next change. */
void rill__typing_joined(rill__peer *p, rill__room *room) {
  rill__typing *t = room->typing;

  if (t == NULL || t->count == 0 || !p->open)
    return;
  if (t->njoined == t->cap) {
    uint32_t cap = t->cap == 0 ? 4 : t->cap * 2;
    void *v =
        rill__realloc(&t->hub->alloc, t->joined, t->cap * sizeof *t->joined,
                      cap * sizeof *t->joined);
    if (v == NULL)
      return;
    t->joined = v;
    t->cap = cap;
  }
  t->joined[t->njoined++] = rill__peer_handle(p);
  arm(t);
}

void rill__typing_opened(rill__peer *p) {
  for (const rill__member *m = p->rooms; m != NULL; m = m->next)
    rill__typing_joined(p, m->room);
}

static uint32_t known(const rill__typing *t) {
  uint32_t n = 0;

  for (const typer *y = t->typers; y != NULL; y = y->hh.next)
    n += y->told;
  return n;
}

/* Those who type, in the order of their starts; or those who are |known|. */
static void put_names(const rill__typing *t, rill_builder *b, bool all) {
  uint32_t left = t->hub->config.limits.typing_users;

  for (rill__link *l = t->order.next; all && l != &t->order && left > 0;
       l = l->next, left--) {
    const typer *y = RILL__CONTAINER(l, typer, order);
    rill_put_str(b, (rill_str){y->name, y->name_len});
  }
  for (const typer *y = t->typers; !all && y != NULL && left > 0;
       y = y->hh.next) {
    if (!y->told)
      continue;
    rill_put_str(b, (rill_str){y->name, y->name_len});
    left--;
  }
}

static void put_list(const rill__typing *t, rill_builder *b, bool all,
                     uint32_t count) {
  t->hub->metrics.limit_typing_users +=
      count > t->hub->config.limits.typing_users;
  rill_put_object(b);
  rill_set_str(b, "room", rill__room_name(t->room));
  rill_set_int(b, "count", count);
  rill_put_key(b, "users");
  rill_put_array(b);
  put_names(t, b, all);
  rill_put_end(b);
  rill_put_end(b);
}

static void expire(rill__typing *t) {
  while (!rill__list_empty(&t->order)) {
    typer *y = RILL__CONTAINER(t->order.next, typer, order);
    if (y->until > t->hub->now)
      break;
    t->hub->metrics.limit_typing_ms++;
    set(t, y, false);
  }
}

/*
 * Those of |telling| are what is being told.  Telling may close a slow peer,
 * so one of them may stop, or start, before it ends: that is news then.
 */
static void begin_telling(rill__typing *t, rill__link *telling) {
  rill__list_init(telling);
  rill__list_splice(telling, &t->differ);
  for (rill__link *l = telling->next; l != telling; l = l->next) {
    typer *y = RILL__CONTAINER(l, typer, differs);
    y->told = y->typing;
  }
}

static void end_telling(rill__typing *t, rill__link *telling, bool heard) {
  rill__link *l;

  while ((l = rill__list_shift(telling)) != NULL) {
    typer *y = RILL__CONTAINER(l, typer, differs);
    if (!heard) {
      y->told = !y->told;
      rill__list_push(&t->differ, l);
    } else if (!y->typing) {
      typer_free(t, y);
    }
  }
}

/* Some of those who have just come may have gone again. */
static size_t still_there(rill__typing *t) {
  size_t n = 0;

  for (uint32_t i = 0; i < t->njoined; i++) {
    const rill__peer *p = rill__peer_open(t->joined[i]);
    if (p != NULL && rill__room_member(p, rill__room_name(t->room)) != NULL)
      t->joined[n++] = t->joined[i];
  }
  return n;
}

/*
 * To the room, or to those who have just come: what the others know, as what
 * is undone before they know more is not told.
 */
static void tell(rill__typing *t, bool all) {
  rill_hub *hub = t->hub;
  rill_str name = rill__room_name(t->room);
  rill_to to = {.rooms = &name,
                .nrooms = all,
                .peers = t->joined,
                .npeers = all ? 0 : still_there(t)};
  uint32_t count = all ? t->count : known(t);
  rill__bytes key;
  rill_builder b;
  rill__link telling;
  int rv = RILL_ERR_NOMEM;

  if (!all && count == 0)
    return;
  rill__bytes_init(&key, &hub->alloc);
  rill__builder_init(&b, &hub->alloc);
  rill__bytes_str(&key, "typing:update ");
  rill__bytes_add(&key, name.ptr, name.len);
  put_list(t, &b, all, count);
  if (all)
    begin_telling(t, &telling);
  if (!key.failed)
    rv = rill__tell(hub, t->room->space, &to, "typing:update", &b,
                    (rill_str){(char *)key.data, key.len});
  if (all) {
    hub->metrics.typing_updates_total += rv != RILL_ERR_NOMEM;
    end_telling(t, &telling, rv != RILL_ERR_NOMEM);
  }
  rill__builder_finish(&b);
  rill__bytes_finish(&key);
}

void rill__typing_tick(rill__timer *timer) {
  rill__typing *t = RILL__CONTAINER(timer, rill__typing, timer);
  rill_hub *hub = t->hub;
  rill_time window = hub->config.limits.typing_window_ms * RILL_MSEC;
  bool all;

  expire(t);
  all = t->flush_at <= hub->now && !rill__list_empty(&t->differ);
  if (t->flush_at <= hub->now)
    t->flush_at = RILL_NEVER;
  if (all) {
    hub->metrics.limit_typing_window_ms++;
    tell(t, true);
    if (!rill__list_empty(&t->differ)) /* no memory: once more */
      t->flush_at = hub->now + window;
  } else if (t->njoined > 0) {
    tell(t, false);
  }
  t->njoined = 0;
  if (t->typers == NULL)
    rill__typing_free(hub, t);
  else
    arm(t);
}

int rill_typing(rill_peer peer, rill_str room, bool typing) {
  rill__peer *p = rill__peer_open(peer);
  const rill__member *m;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  m = rill__room_member(p, room);
  if (m == NULL || !m->room->opts.typing)
    return RILL_ERR_NOT_FOUND;
  if (p->user == NULL)
    return RILL_ERR_STATE;
  if (typing)
    return start(p, m->room);
  stop(m->room, rill__user_name(p));
  return 0;
}

int rill_typing_each(rill_hub *hub, rill_str space, rill_str room,
                     int (*fn)(rill_str user, void *arg), void *arg) {
  const rill__room *r = rill__room_find(rill__space_find(hub, space), room);
  const rill__typing *t = r != NULL ? r->typing : NULL;
  int rv = 0;

  for (rill__link *l = t != NULL ? t->order.next : NULL;
       t != NULL && l != &t->order && rv == 0; l = l->next) {
    const typer *y = RILL__CONTAINER(l, typer, order);
    rv = fn((rill_str){y->name, y->name_len}, arg);
  }
  return rv;
}

static int typed(const rill_event *ev, rill_peer peer, rill_str room,
                 bool typing) {
  rill_ack_to ack = rill_event_ack(ev);
  int rv = rill_typing(peer, room, typing);

  if (rv != 0)
    return rill_event_fail(ev, "typing", rill_strerror(rv));
  if (ack.wanted)
    rill__ack(ack, NULL);
  return 0;
}

static int on_start(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return typed(ev, peer, rill_get_str(rill_event_arg(ev, 0), "room"), true);
}

static int on_stop(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return typed(ev, peer, rill_get_str(rill_event_arg(ev, 0), "room"), false);
}

static int on_typing(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value what = rill_event_arg(ev, 0);

  (void)arg;
  return typed(ev, peer, rill_get_str(what, "roomId"),
               rill_get_bool(what, "isTyping", false));
}

int rill_typing_events(rill_hub *hub, const char *space) {
  int rv = rill_on(hub, space, "typing:start", on_start, NULL);

  if (rv == 0)
    rv = rill_on(hub, space, "typing:stop", on_stop, NULL);
  if (rv == 0)
    rv = rill_on(hub, space, "chat:typing", on_typing, NULL);
  if (rv == 0)
    rv = rill_throttle(hub, space, "typing:start", 10, 5000, true);
  if (rv == 0)
    rv = rill_throttle(hub, space, "chat:typing", 10, 5000, true);
  return rv;
}
