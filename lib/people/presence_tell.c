/*
 * presence_tell.c - what the others hear of a crowd: updates, snapshots and
 * pages.
 *
 * A page goes through an array from its end to its beginning.  Who goes away
 * meanwhile has its place taken by the last of the array, which has been
 * listed already or came later and is told by an update; so nobody is left
 * out, and where to go on is a number.
 */
#include "hub/conn.h"
#include "hub/history.h"
#include "people/presence.h"

/* A page ends early beyond so many bytes: states may be long. */
#define MOST_BYTES 65536u

const char *rill_status_text(rill_status status) {
  static const char *const texts[] = {"offline", "away", "online", "busy"};

  return texts[status <= RILL_STATUS_BUSY ? status : RILL_STATUS_OFFLINE];
}

/* As rill_emit writes it, but kept in no ring and no batch. */
static bool item_of(rill_hub *hub, const rill__space *space, const char *name,
                    const rill_builder *args, rill_str key,
                    char offset[RILL__OFFSET_MAX], rill__item *item) {
  if (rill_builder_error(args) != 0)
    return false;
  *item = (rill__item){.name = rill_s(name),
                       .args = rill_builder_value(args).node,
                       .space = rill__space_name(space),
                       .recovery = space->opts.recovery,
                       .key = key};
  if (space->opts.recovery) /* clients take what comes last for the offset */
    item->offset =
        (rill_str){offset, rill__offset_write(hub, hub->offset, offset)};
  return true;
}

int rill__tell(rill_hub *hub, rill__space *space, const rill_to *to,
               const char *name, const rill_builder *args, rill_str key) {
  char offset[RILL__OFFSET_MAX];
  rill_to whom = *to;
  rill__item item;

  if (!item_of(hub, space, name, args, key, offset, &item))
    return RILL_ERR_NOMEM;
  whom.space = rill__space_name(space);
  return rill__fanout_send(hub, &whom, &item, NULL, NULL);
}

static int tell_peer(rill__peer *p, const char *name,
                     const rill_builder *args) {
  char offset[RILL__OFFSET_MAX];
  rill__item item;

  if (!p->open || p->conn == NULL)
    return RILL_ERR_CLOSED;
  if (!item_of(p->hub, rill__peer_space(p), name, args, (rill_str){0}, offset,
               &item))
    return RILL_ERR_NOMEM;
  rill__fanout_close(p->hub, &p->hub->fanout);
  if (!p->open)
    return RILL_ERR_CLOSED;
  return rill__conn_send_item(p->conn, &item, RILL_OVERFLOW_DEFAULT);
}

rill_value rill__state_read(rill__tape *tape, const rill__attending *a) {
  static const rill__value_limits limits = {RILL__VALUE_DEPTH, UINT32_MAX,
                                            UINT32_MAX};
  uint32_t at = tape->len;
  rill_str text = {(const char *)a->state, a->state_len};

  if (a->state_len == 0 || rill__msgpack_read(tape, text, &limits) != 0)
    return (rill_value){0};
  return (rill_value){tape->v + at};
}

const rill__attending *rill__person_stating(const rill__person *p) {
  const rill__seat *s;

  if (rill__list_empty(&p->seats))
    return NULL;
  s = RILL__CONTAINER(p->seats.next, rill__seat, of_person);
  return s->who->state_len > 0 ? s->who : NULL;
}

static void put_state(rill_builder *b, const rill__attending *a) {
  rill__tape tape;

  rill__tape_init(&tape, b->tape.alloc);
  rill_set_value(b, "state", rill__state_read(&tape, a));
  if (tape.failed)
    b->error = RILL_ERR_NOMEM;
  rill__tape_finish(&tape);
}

void rill__person_put(rill_builder *b, const rill__person *p, unsigned status,
                      bool state) {
  const rill__attending *a = rill__person_stating(p);

  rill_put_object(b);
  rill_set_str(b, "userId", rill__person_name(p));
  rill_set_text(b, "status", rill_status_text((rill_status)status));
  if (status == RILL_STATUS_OFFLINE && p->last_seen > 0) {
    rill_put_key(b, "lastSeen");
    rill_put_uint(b, p->last_seen);
  }
  if (status != RILL_STATUS_OFFLINE && a != NULL)
    put_state(b, a);
  else if (status != RILL_STATUS_OFFLINE && state && p->told_state)
    rill_set_value(b, "state", (rill_value){0});
  rill_put_end(b);
}

static void put_uint(rill_builder *b, const char *key, uint64_t n) {
  rill_put_key(b, key);
  rill_put_uint(b, n);
}

/* |count|: of those who are told as there, so that it goes with the names. */
static void put_head(const rill__crowd *c, rill_builder *b, uint32_t count) {
  if (c->room != NULL)
    rill_set_str(b, "room", rill__room_name(c->room));
  put_uint(b, "version", c->version);
  put_uint(b, "count", count);
  put_uint(b, "peers", c->nlive);
}

/* The end of the page before place |*at|, which becomes its beginning. */
static uint32_t page_of(const rill__crowd *c, uint32_t n, uint32_t *at) {
  uint32_t page = c->hub->config.limits.presence_page;
  uint32_t end = *at < n ? *at : n;

  *at = end > page ? end - page : 0;
  return end;
}

static void put_next(const rill__crowd *c, rill_builder *b, uint32_t at) {
  if (at == 0)
    return;
  c->hub->metrics.limit_presence_page++;
  put_uint(b, "next", at);
}

void rill__crowd_page(const rill__crowd *c, rill_builder *b, uint32_t at) {
  uint32_t end = page_of(c, c->npeople, &at);

  put_head(c, b, c->ntold);
  rill_put_key(b, "users");
  rill_put_array(b);
  for (; end > at && b->bytes < MOST_BYTES; end--)
    if (c->v[end - 1]->told != RILL_STATUS_OFFLINE)
      rill__person_put(b, c->v[end - 1], c->v[end - 1]->told, false);
  rill_put_end(b);
  put_next(c, b, end);
}

static void put_peer(rill_builder *b, const rill__crowd *c,
                     const rill__peer *p) {
  const rill__attending *a = p->attending;
  const rill__seat *s = a != NULL ? a->seats : NULL;

  while (s != NULL && s->crowd != c)
    s = s->next;
  if (s == NULL || s->shown == RILL_STATUS_OFFLINE)
    return;
  rill_put_object(b);
  if (p->voice != NULL)
    rill_set_str(b, "id", (rill_str){p->voice->sid, RILL__SID});
  if (p->user != NULL)
    rill_set_str(b, "userId", rill__user_name(p));
  rill_set_text(b, "status", rill_status_text((rill_status)s->shown));
  if (a->state_len > 0)
    put_state(b, a);
  rill_put_end(b);
}

void rill__crowd_page_peers(const rill__crowd *c, rill_builder *b,
                            uint32_t at) {
  uint32_t end = page_of(c, c->room->count, &at);

  rill_set_str(b, "room", rill__room_name(c->room));
  rill_put_key(b, "members");
  rill_put_array(b);
  for (; end > at && b->bytes < MOST_BYTES; end--)
    put_peer(b, c, c->room->members[end - 1]->peer);
  rill_put_end(b);
  put_next(c, b, end);
}

static void put_watched(rill_builder *b, const rill__attending *a) {
  rill_put_key(b, "users");
  rill_put_array(b);
  for (const rill__watch *w = a->watches; w != NULL; w = w->hh.next)
    rill__person_put(b, w->person, w->person->told, false);
  rill_put_end(b);
}

/* One that cannot be told how things are would be wrong about them. */
static void cut(rill_peer peer) {
  rill__peer *p = rill__peer_open(peer);

  if (p != NULL && p->conn != NULL)
    rill__conn_ws_cut(p->conn, RILL_CAUSE_NOMEM, "out of memory");
}

static void greet_watcher(rill__peer *p) {
  rill_builder b;

  rill__builder_init(&b, &p->hub->alloc);
  rill_put_object(&b);
  put_watched(&b, p->attending);
  rill_put_end(&b);
  if (tell_peer(p, "presence:state", &b) == RILL_ERR_NOMEM)
    cut(rill__peer_handle(p));
  rill__builder_finish(&b);
}

static void greet_watchers(const rill_peer *peers, size_t n) {
  for (size_t i = 0; i < n; i++) {
    rill__peer *p = rill__peer_open(peers[i]);
    if (p != NULL && p->attending->nwatches > 0)
      greet_watcher(p);
  }
}

/* Those who are not open yet are greeted when they are. */
void rill__crowd_greet(rill__crowd *c, const rill_peer *peers, size_t n) {
  const rill__presence *conf = c->space->rules->presence;
  rill_to to = {.peers = peers, .npeers = n};
  rill__peer *first = rill__peer_open(peers[0]);
  rill_builder b;
  int rv;

  if (c->room == NULL && !conf->opts.everyone) {
    greet_watchers(peers, n);
    return;
  }
  rill__builder_init(&b, &c->hub->alloc);
  rill_put_object(&b);
  rill__crowd_page(c, &b, UINT32_MAX);
  rill_put_end(&b);
  if (n > 1)
    rv = rill__tell(c->hub, c->space, &to, "presence:state", &b, (rill_str){0});
  else
    rv = first != NULL ? tell_peer(first, "presence:state", &b) : 0;
  rill__builder_finish(&b);
  for (size_t i = 0; rv == RILL_ERR_NOMEM && i < n; i++)
    cut(peers[i]);
}

/* Is there something to tell of it? */
static bool differs(const rill__person *p) {
  unsigned status = rill__person_status(p);

  return status != p->told ||
         (p->restated && status != RILL_STATUS_OFFLINE &&
          (p->told_state || rill__person_stating(p) != NULL));
}

/* The others know |status| of |p| now. */
static void told(rill__person *p, unsigned status) {
  rill_hub *hub = p->crowd->hub;

  if (differs(p))
    hub->metrics.presence_updates_total++;
  else
    hub->metrics.presence_undone_total++;
  p->crowd->ntold += status != RILL_STATUS_OFFLINE;
  p->crowd->ntold -= p->told != RILL_STATUS_OFFLINE;
  p->told = (uint8_t)status;
  p->told_state =
      status != RILL_STATUS_OFFLINE && rill__person_stating(p) != NULL;
  p->restated = false;
  p->changed = false;
  rill__list_remove(&p->link);
  if (rill__person_status(p) != status)
    rill__person_changed(p); /* while it was being told */
  else
    rill__person_settle(p);
}

/*
 * Decides what is told of those who have changed; returns how many are to be
 * named, and in |*count| how many are there then.
 */
static uint32_t decide(rill__crowd *c, uint32_t *count) {
  uint32_t n = 0;

  *count = c->ntold;
  for (rill__link *l = c->changed.next; l != &c->changed; l = l->next) {
    rill__person *p = RILL__CONTAINER(l, rill__person, link);
    p->telling = (uint8_t)rill__person_status(p);
    *count += p->telling != RILL_STATUS_OFFLINE;
    *count -= p->told != RILL_STATUS_OFFLINE;
    n += differs(p);
  }
  return n;
}

/* With the names of those who have changed, or as |more| their number. */
static void put_update(const rill__crowd *c, rill_builder *b, uint32_t count,
                       uint32_t more) {
  rill_put_object(b);
  put_head(c, b, count);
  rill_put_key(b, "users");
  rill_put_array(b);
  for (rill__link *l = c->changed.next;
       more == 0 && l != &c->changed && b->bytes <= MOST_BYTES; l = l->next) {
    rill__person *p = RILL__CONTAINER(l, rill__person, link);
    if (differs(p))
      rill__person_put(b, p, p->telling, true);
  }
  rill_put_end(b);
  if (more > 0)
    put_uint(b, "more", more);
  rill_put_end(b);
}

/*
 * The names of all who come at once, for all who are there, would be the
 * square of their number: many are told as a number.
 */
static void put_bounded(const rill__crowd *c, rill_builder *b, uint32_t count,
                        uint32_t some) {
  rill_hub *hub = c->hub;

  if (some <= hub->config.limits.presence_named) {
    put_update(c, b, count, 0);
    if (b->bytes <= MOST_BYTES)
      return;
    rill_builder_clear(b);
  }
  hub->metrics.limit_presence_named++;
  put_update(c, b, count, some);
}

static void flush_room(rill__crowd *c) {
  rill_str name = rill__room_name(c->room);
  rill_to to = {.rooms = &name, .nrooms = 1};
  uint32_t count, some = decide(c, &count);
  rill_builder b;
  rill__link telling;
  int rv = 0;

  rill__builder_init(&b, &c->hub->alloc);
  c->version += some > 0;
  if (some > 0)
    put_bounded(c, &b, count, some);
  rill__list_init(&telling); /* telling may close a slow peer: that is news */
  rill__list_splice(&telling, &c->changed);
  if (some > 0)
    rv =
        rill__tell(c->hub, c->space, &to, "presence:update", &b, (rill_str){0});
  rill__builder_finish(&b);
  if (rv == RILL_ERR_NOMEM) {
    c->version--;
    rill__list_splice(&c->changed, &telling);
    return;
  }
  while (!rill__list_empty(&telling)) {
    rill__person *p = RILL__CONTAINER(telling.next, rill__person, link);
    told(p, p->telling);
  }
}

/* To everybody in the space, or to those who follow |p|. */
static int tell_followers(rill__crowd *c, const rill__person *p,
                          const rill_builder *b) {
  rill_hub *hub = c->hub;
  rill_to to = {.all = c->space->rules->presence->opts.everyone};
  size_t n = 0;
  rill_peer *peers = NULL;
  int rv;

  if (!to.all) {
    for (const rill__link *l = p->watches.next; l != &p->watches; l = l->next)
      n++;
    if (n == 0)
      return 0;
    peers = rill__malloc(&hub->alloc, n * sizeof *peers);
    if (peers == NULL)
      return RILL_ERR_NOMEM;
    for (rill__link *l = p->watches.next; l != &p->watches; l = l->next)
      peers[to.npeers++] =
          rill__peer_handle(RILL__CONTAINER(l, rill__watch, link)->who->peer);
    to.peers = peers;
  }
  rv = rill__tell(hub, c->space, &to, "presence:update", b, (rill_str){0});
  rill__free(&hub->alloc, peers, n * sizeof *peers);
  return rv;
}

/* The host hears of it last, as it may do anything. */
static void tell_host(rill__person *p, unsigned status) {
  rill__crowd *c = p->crowd;
  const rill_presence_opts *o = &c->space->rules->presence->opts;
  rill_presence user = {.user = rill__person_name(p),
                        .status = (rill_status)status};

  if (o->on_change == NULL)
    return;
  if (status == RILL_STATUS_OFFLINE)
    user.last_seen_ms = p->last_seen;
  c->hub->in_handler = true;
  o->on_change(c->hub, &user, o->arg);
  c->hub->in_handler = false;
}

/* false: no memory; it is told in the next window. */
static bool flush_person(rill__crowd *c, rill__person *p) {
  unsigned status = rill__person_status(p);
  bool moved = status != p->told;
  rill_builder b;
  int rv = 0;

  if (differs(p)) {
    rill__builder_init(&b, &c->hub->alloc);
    rill__person_put(&b, p, status, true);
    rv = tell_followers(c, p, &b);
    rill__builder_finish(&b);
  }
  if (rv == RILL_ERR_NOMEM)
    return false;
  c->pinned = p;
  told(p, status);
  if (moved)
    tell_host(p, status);
  c->pinned = NULL;
  rill__person_settle(p);
  return true;
}

void rill__crowd_flush(rill__crowd *c) {
  uint32_t n = 0, page = c->hub->config.limits.presence_page;

  if (c->room != NULL) {
    flush_room(c);
    return;
  }
  c->version++;
  while (n++ < page && !rill__list_empty(&c->changed) &&
         flush_person(c, RILL__CONTAINER(c->changed.next, rill__person, link)))
    continue;
}
