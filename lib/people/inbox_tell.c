/*
 * inbox_tell.c - what peers and the host hear of an inbox.
 */
#include "hub/conn.h"
#include "hub/history.h"
#include "people/inbox.h"
#include "people/notify.h"

/* A peer whose queue is filling is told the rest after so long. */
#define PAUSE (50 * RILL_MSEC)

bool rill__inbox_hears(const rill__inbox *in, const rill__peer *p) {
  return p->open && p->voice != NULL &&
         rill_str_eq(rill__space_name(p->voice->space), in->space);
}

/*
 * To one peer: kept in no ring, as it is told anew when it comes back.  One
 * that would miss it is closed.
 */
static int send(rill__peer *p, const char *name, const rill_builder *args) {
  rill_hub *hub = p->hub;
  rill__space *space = rill__peer_space(p);
  char offset[RILL__OFFSET_MAX];
  rill__item item = {.name = rill_s(name),
                     .space = rill__space_name(space),
                     .recovery = space->opts.recovery};

  rill__fanout_close(hub, &hub->fanout);
  if (!p->open || p->conn == NULL || p->conn->state != RILL__OPEN)
    return RILL_ERR_CLOSED;
  item.args = rill__builder_node(args);
  if (item.args == NULL) {
    rill__conn_ws_cut(p->conn, RILL_CAUSE_NOMEM, "out of memory");
    return RILL_ERR_NOMEM;
  }
  if (space->opts.recovery) /* clients take what comes last for the offset */
    item.offset =
        (rill_str){offset, rill__offset_write(hub, hub->offset, offset)};
  return rill__conn_send_item(p->conn, &item, RILL_DISCONNECT);
}

typedef struct telling {
  rill__inbox *in;
  const char *name;
  const rill_builder *args;
  rill_peer except;
  bool all; /* those too that have been told of a part: of what is over */
  uint64_t part; /* not 0: only those, and if they have been told of that */
  size_t told;
} telling;

/* Is |p| among those that are being told of a part, up to |offset| at least? */
static bool told_part(const rill__peer *p, uint64_t offset) {
  return !rill__list_empty(&p->voice->untold) && p->voice->told_to >= offset;
}

static void tell_one(void *arg, rill__peer *p) {
  telling *t = arg;

  if (!rill__inbox_hears(t->in, p) ||
      rill_peer_eq(rill__peer_handle(p), t->except))
    return;
  if (t->part > 0 && !told_part(p, t->part))
    return;
  if (!rill__list_empty(&p->voice->untold) &&
      (!t->all || p->voice->told_to == 0))
    t->told++; /* it will hear of it with the rest */
  else
    t->told += send(p, t->name, t->args) >= 0;
}

static size_t tell(rill__inbox *in, telling t) {
  rill__user *user = rill__user_find(in->hub, in->user);

  t.in = in;
  if (user != NULL)
    rill__user_each(user, tell_one, &t);
  return t.told;
}

static void tell_cleared(rill__inbox *in, const rill_builder *args,
                         rill_peer except, uint64_t part) {
  tell(in, (telling){.name = "notification:cleared",
                     .args = args,
                     .except = except,
                     .all = true,
                     .part = part});
}

static void count_one(void *arg, rill__peer *p) {
  telling *t = arg;
  t->told += rill__inbox_hears(t->in, p);
}

static size_t peers_of(rill__inbox *in) {
  telling t = {.in = in};
  rill__user *user = rill__user_find(in->hub, in->user);

  if (user != NULL)
    rill__user_each(user, count_one, &t);
  return t.told;
}

static void put_unread(rill_builder *b, size_t n) {
  rill_put_key(b, "unread");
  rill_put_uint(b, n);
}

/* "notification:cleared" with ids, as far as they are put between the two. */
static void begin_cleared(const rill__inbox *in, rill_builder *b) {
  rill__builder_init(b, &in->hub->alloc);
  rill_put_object(b);
  rill_put_key(b, "ids");
  rill_put_array(b);
}

static void end_cleared(rill__inbox *in, rill_builder *b, rill_peer from,
                        uint64_t part) {
  rill_put_end(b);
  put_unread(b, in->count);
  rill_put_end(b);
  tell_cleared(in, b, from, part);
  rill__builder_finish(b);
}

void rill__inbox_clear(rill__inbox *in, rill__notice *n, rill_peer from) {
  rill_builder b;

  begin_cleared(in, &b);
  rill_put_str(&b, n->id);
  rill__inbox_unlink(in, n);
  rill__notice_free(in->hub, n);
  in->hub->metrics.notify_acked_total++;
  end_cleared(in, &b, from, 0);
}

size_t rill__inbox_clear_to(rill__inbox *in, uint64_t offset, rill_peer from) {
  size_t cleared = 0;
  rill_builder b;

  if (offset > in->acked)
    in->acked = offset;
  while (!rill__list_empty(&in->notices)) {
    rill__notice *n = RILL__CONTAINER(in->notices.next, rill__notice, link);
    if (n->offset > offset)
      break;
    rill__inbox_unlink(in, n);
    rill__notice_free(in->hub, n);
    cleared++;
  }
  in->hub->metrics.notify_acked_total += cleared;
  if (cleared == 0)
    return 0;
  rill__builder_init(&b, &in->hub->alloc);
  rill_put_object(&b);
  rill_put_key(&b, "upTo");
  rill_put_uint(&b, offset);
  put_unread(&b, in->count);
  rill_put_end(&b);
  tell_cleared(in, &b, from, 0);
  rill__builder_finish(&b);
  return cleared;
}

static bool missed_hook(const rill__inbox *in) {
  return in->rules->notify->opts.on_missed != NULL;
}

/* Has on_missed called for |n| at |at|, which may be now. */
static void wait(rill__inbox *in, rill__notice *n, rill_time at) {
  n->missed_at = at;
  in->nwaiting++;
  in->hub->metrics.notify_waiting++;
}

static void missed(rill__inbox *in, rill__notice *n) {
  rill_hub *hub = in->hub;
  const rill_notify_events_opts *o = &in->rules->notify->opts;
  rill__tape tape;
  rill_notification out = {.space = in->space,
                           .user = in->user,
                           .id = n->id,
                           .key = n->key,
                           .offset = n->offset,
                           .time_ms = n->time_ms,
                           .expires_ms = n->expires_ms,
                           .peers = peers_of(in)};

  rill__tape_init(&tape, &hub->alloc);
  if (rill__notice_read(n, &tape, &out.name, &out.args)) {
    hub->metrics.notify_missed_total++;
    hub->in_handler = true;
    o->on_missed(hub, &out, o->arg);
    hub->in_handler = false;
  } else { /* no memory at the moment */
    wait(in, n, hub->now + RILL__INBOX_RETRY);
  }
  rill__tape_finish(&tape);
}

static void watch(rill__inbox *in, rill__notice *n, size_t peers) {
  rill_hub *hub = in->hub;
  uint32_t ms = in->rules->notify->opts.missed_ms;

  if (!missed_hook(in) || (peers > 0 && ms == 0))
    return;
  if (peers > 0 &&
      hub->metrics.notify_waiting < hub->config.limits.notify_waiting) {
    wait(in, n, hub->now + ms * RILL_MSEC);
    return;
  }
  hub->metrics.limit_notify_waiting += peers > 0;
  missed(in, n);
}

void rill__inbox_miss(rill__inbox *in) {
  for (rill__link *l = in->notices.next; l != &in->notices; l = l->next) {
    rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    if (n->missed_at > in->hub->now)
      continue;
    n->missed_at = RILL_NEVER;
    in->nwaiting--;
    in->hub->metrics.notify_waiting--;
    missed(in, n);
  }
}

static void push_out(rill__inbox *in) {
  rill_builder b;
  bool any = in->count > in->hub->config.limits.notify_count;

  if (any)
    begin_cleared(in, &b);
  while (in->count > in->hub->config.limits.notify_count) {
    rill__notice *n = RILL__CONTAINER(in->notices.next, rill__notice, link);
    in->hub->metrics.limit_notify_count++;
    rill_put_str(&b, n->id);
    rill__inbox_drop(in, n);
  }
  if (any)
    end_cleared(in, &b, (rill_peer){0}, 0);
}

/*
 * |old| is no more, in favour of a newer one: those that hear of that with
 * the rest hear of this now, if they have been told of |old|.
 */
static void replace(rill__inbox *in, rill__notice *old) {
  rill_builder b;

  in->hub->metrics.notify_collapsed_total++;
  rill__inbox_forget(in, old->offset);
  rill__inbox_unlink(in, old);
  begin_cleared(in, &b);
  rill_put_str(&b, old->id);
  end_cleared(in, &b, (rill_peer){0}, old->offset);
}

size_t rill__inbox_add(rill__inbox *in, rill__notice *n) {
  rill_hub *hub = in->hub;
  rill__notice *old;
  rill_builder b;
  size_t peers;

  rill__list_push(&in->notices, &n->link);
  in->count++;
  in->last = n->offset;
  hub->metrics.notified_total++;
  old = rill__inbox_older(in, n);
  if (old != NULL)
    replace(in, old);
  push_out(in);
  rill__builder_init(&b, &hub->alloc);
  rill__notice_put(&b, n, in->count, old != NULL ? old->id : (rill_str){0});
  peers = tell(in, (telling){.name = "notification", .args = &b});
  rill__builder_finish(&b);
  if (old != NULL)
    rill__notice_free(hub, old);
  watch(in, n, peers);
  return peers;
}

static void tell_count(rill__peer *p, const rill__inbox *in, int status) {
  rill_builder b;

  rill__builder_init(&b, &p->hub->alloc);
  rill_put_object(&b);
  if (status != 0) {
    rill_put_key(&b, "error");
    rill_put_object(&b);
    rill_set_text(&b, "code", "store");
    rill_set_text(&b, "message", rill_strerror(status));
    rill_put_end(&b);
  } else {
    put_unread(&b, in->count);
  }
  rill_put_end(&b);
  send(p, "notification:count", &b);
  rill__builder_finish(&b);
}

/* From where it stopped; false: its queue is filling. */
static bool tell_all(rill__inbox *in, rill__voice *v) {
  rill__peer *p = v->peer;
  rill_builder b;
  int rv = 0;

  rill__builder_init(&b, &p->hub->alloc);
  for (rill__link *l = in->notices.next;
       rv == 0 && l != &in->notices && rill__inbox_hears(in, p); l = l->next) {
    const rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    if (n->offset <= v->told_to)
      continue;
    rill_builder_clear(&b);
    rill__notice_put(&b, n, in->count, (rill_str){0});
    rv = send(p, "notification", &b);
    if (rv >= 0)
      v->told_to = n->offset;
  }
  rill__builder_finish(&b);
  if (rv == 0 && rill__inbox_hears(in, p))
    tell_count(p, in, 0);
  return rv != RILL_BUSY;
}

void rill__inbox_expire(rill__inbox *in) {
  uint64_t wall = rill__inbox_wall(in->hub);
  rill_builder b;
  bool any = false;

  for (rill__link *l = in->notices.next, *next; l != &in->notices; l = next) {
    rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    next = l->next;
    if (rill__notice_expiry(in->hub, n, wall) > in->hub->now)
      continue;
    if (!any)
      begin_cleared(in, &b);
    any = true;
    in->hub->metrics.notify_expired_total++;
    rill_put_str(&b, n->id);
    rill__inbox_drop(in, n);
  }
  if (any)
    end_cleared(in, &b, (rill_peer){0}, 0);
}

static bool filling(const rill__voice *v) {
  const rill_conn *c = v->peer->conn;
  return v->peer->open && c != NULL && rill__conn_is(c, RILL__SOFT);
}

void rill__inbox_tell_rest(rill__inbox *in) {
  rill__link *l;
  rill__link later;

  rill__list_init(&later);
  while ((l = rill__list_shift(&in->untold)) != NULL) {
    rill__voice *v = RILL__CONTAINER(l, rill__voice, untold);
    if (filling(v) || !tell_all(in, v))
      rill__list_push(&later, l);
  }
  while ((l = rill__list_shift(&later)) != NULL)
    rill__list_push(&in->untold, l);
  in->more_at = in->hub->now + PAUSE;
}

void rill__inbox_tell_failure(rill__inbox *in, int status) {
  if (!in->tells_failure)
    return;
  in->tells_failure = false;
  for (rill__link *l = in->untold.next; l != &in->untold; l = l->next)
    tell_count(RILL__CONTAINER(l, rill__voice, untold)->peer, in, status);
}
