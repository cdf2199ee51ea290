#include "people/inbox.h"

#include "hub/store.h"

static unsigned hash_of(const rill_hub *hub, rill_str name) {
  return (unsigned)rill__hub_hash(hub, name);
}

static bool name_of(rill__bytes *out, rill_str space, rill_str user) {
  rill__bytes_str(out, "notify\n"); /* which is in no name */
  rill__bytes_add(out, space.ptr, space.len);
  rill__bytes_add(out, "\n", 1);
  rill__bytes_add(out, user.ptr, user.len);
  return !out->failed;
}

static rill__inbox *find(const rill_hub *hub, rill_str name) {
  rill__inbox *in = NULL;

  if (hub->inboxes != NULL)
    HASH_FIND_BYHASHVALUE(hh, hub->inboxes, name.ptr, name.len,
                          hash_of(hub, name), in);
  return in;
}

static rill__inbox *inbox_new(rill_hub *hub, rill__space *rules, rill_str name,
                              size_t user_len) {
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__inbox *in;

  in = rill__timed_new(hub, sizeof *in + name.len);
  if (in == NULL)
    return NULL;
  in->hub = hub;
  in->rules = rules;
  in->name_len = (uint32_t)name.len;
  memcpy(in->name, name.ptr, name.len);
  in->user = (rill_str){in->name + name.len - user_len, user_len};
  in->space.ptr = in->name + sizeof "notify\n" - 1;
  in->space.len = (size_t)(in->user.ptr - in->space.ptr) - 1;
  rill__timer_init(&in->timer, RILL__TIMER_INBOX);
  rill__list_init(&in->notices);
  rill__list_init(&in->fresh);
  rill__list_init(&in->untold);
  rill__list_init(&in->callers);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, hub->inboxes, in->name, in->name_len,
                              hash_of(hub, name), in);
  if (map_failed) {
    rill__timed_free(hub, &in->timer, in, sizeof *in + in->name_len);
    return NULL;
  }
  hub->metrics.inboxes++;
  return in;
}

rill__inbox *rill__inbox_of(rill_hub *hub, rill__space *rules, rill_str space,
                            rill_str user) {
  rill__inbox *in = NULL;
  rill__bytes name;

  if (rill__hub_seed(hub) != 0)
    return NULL;
  rill__bytes_init(&name, &hub->alloc);
  if (name_of(&name, space, user)) {
    rill_str n = {(char *)name.data, name.len};
    in = find(hub, n);
    if (in == NULL)
      in = inbox_new(hub, rules, n, user.len);
  }
  rill__bytes_finish(&name);
  return in;
}

void rill__inbox_unlink(rill__inbox *in, rill__notice *n) {
  rill__list_remove(&n->link);
  in->count--;
  if (n->missed_at == RILL_NEVER)
    return;
  n->missed_at = RILL_NEVER;
  in->nwaiting--;
  in->hub->metrics.notify_waiting--;
}

static void free_notices(rill__inbox *in) {
  while (!rill__list_empty(&in->notices)) {
    rill__notice *n = RILL__CONTAINER(in->notices.next, rill__notice, link);
    rill__inbox_unlink(in, n);
    rill__notice_free(in->hub, n);
  }
}

void rill__inbox_free_fresh(rill__inbox *in) {
  rill__link *l;

  while ((l = rill__list_shift(&in->fresh)) != NULL)
    rill__notice_free(in->hub, RILL__CONTAINER(l, rill__notice, link));
}

static void inbox_free(rill__inbox *in) {
  rill_hub *hub = in->hub;
  const rill__alloc *map_alloc = &hub->alloc;

  HASH_DEL(hub->inboxes, in);
  free_notices(in);
  rill__inbox_free_fresh(in);
  hub->metrics.inboxes--;
  rill__timed_free(hub, &in->timer, in, sizeof *in + in->name_len);
}

rill_time rill__notice_expiry(const rill_hub *hub, const rill__notice *n,
                              uint64_t wall) {
  uint64_t left;

  if (n->expires_ms == 0 || wall == 0)
    return RILL_NEVER;
  left = n->expires_ms > wall ? n->expires_ms - wall : 0;
  return left < (RILL_NEVER - hub->now) / RILL_MSEC
             ? hub->now + left * RILL_MSEC
             : RILL_NEVER;
}

static void arm(rill__inbox *in) {
  uint64_t wall = rill__inbox_wall(in->hub);
  rill_time due = RILL_NEVER;

  if (in->state == RILL__INBOX_FAILED)
    due = in->retry_at;
  if (in->state == RILL__INBOX_LOADED && !rill__list_empty(&in->untold))
    due = in->more_at;
  for (rill__link *l = in->notices.next;
       in->state == RILL__INBOX_LOADED && l != &in->notices; l = l->next) {
    const rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    due = rill__sooner(due, n->missed_at);
    due = rill__sooner(due, rill__notice_expiry(in->hub, n, wall));
  }
  rill__heap_set(&in->hub->timers, &in->timer, due);
}

void rill__inbox_settle(rill__inbox *in) {
  if (in->nvoices + in->busy + in->loading + in->nwaiting == 0)
    inbox_free(in);
  else
    arm(in);
}

static void nothing(rill__work *w) {
  (void)w;
}

void rill__inbox_forget(rill__inbox *in, uint64_t offset) {
  int rv;
  rill__work *w =
      rill__work_new(in->hub, RILL_STORE_REMOVE, rill__inbox_name(in),
                     (rill_str){0}, (rill_str){0}, &rv);

  if (w == NULL)
    return;
  w->op.from = offset;
  w->done = nothing;
  rill__work_submit(w);
}

void rill__inbox_drop(rill__inbox *in, rill__notice *n) {
  rill__inbox_forget(in, n->offset);
  rill__inbox_unlink(in, n);
  rill__notice_free(in->hub, n);
}

rill__notice *rill__inbox_by_id(const rill__inbox *in, rill_str id) {
  for (rill__link *l = in->notices.next; l != &in->notices; l = l->next) {
    rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    if (rill_str_eq(n->id, id))
      return n;
  }
  return NULL;
}

rill__notice *rill__inbox_by_offset(const rill__inbox *in, uint64_t offset) {
  for (rill__link *l = in->notices.prev; l != &in->notices; l = l->prev) {
    rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    if (n->offset <= offset)
      return n->offset == offset ? n : NULL;
  }
  return NULL;
}

rill__notice *rill__inbox_older(const rill__inbox *in, const rill__notice *n) {
  if (n->key.len == 0)
    return NULL;
  for (rill__link *l = n->link.prev; l != &in->notices; l = l->prev) {
    rill__notice *o = RILL__CONTAINER(l, rill__notice, link);
    if (rill_str_eq(o->key, n->key))
      return o;
  }
  return NULL;
}

void rill__inbox_enter(rill__inbox *in, rill__voice *v) {
  if (v->inbox == NULL)
    in->nvoices++;
  v->inbox = in;
  rill__list_remove(&v->untold);
  rill__list_push(&in->untold, &v->untold);
  in->tells_failure = true;
  v->told_to = 0;
  if (in->state == RILL__INBOX_LOADED) {
    rill__inbox_expire(in);
    rill__inbox_tell_rest(in);
  } else if (rill__inbox_unread(in)) {
    rill__inbox_load(in);
  }
  rill__inbox_settle(in);
}

void rill__inbox_leave(rill__voice *v) {
  rill__inbox *in = v->inbox;

  rill__list_remove(&v->untold);
  v->inbox = NULL;
  if (in == NULL)
    return;
  in->nvoices--;
  rill__inbox_settle(in);
}

static void doubt_one(void *arg, rill__peer *p) {
  rill__inbox *in = arg;

  if (!rill__inbox_hears(in, p) || p->voice->inbox != in)
    return;
  rill__list_remove(&p->voice->untold);
  rill__list_push(&in->untold, &p->voice->untold);
  p->voice->told_to = 0;
}

void rill__inbox_doubt(rill__inbox *in) {
  rill__user *user = rill__user_find(in->hub, in->user);

  if (in->state != RILL__INBOX_LOADED)
    return;
  in->state = RILL__INBOX_FAILED;
  in->retry_at = in->hub->now + RILL__INBOX_RETRY;
  if (user != NULL)
    rill__user_each(user, doubt_one, in);
  in->tells_failure = true; /* what they know is told anew, or is over */
  rill__inbox_tell_failure(in, RILL_ERR_IO);
}

void rill__inbox_tick(rill__timer *timer) {
  rill__inbox *in = RILL__CONTAINER(timer, rill__inbox, timer);

  if (in->state == RILL__INBOX_FAILED && rill__inbox_may_load(in->hub)) {
    rill__inbox_load(in);
  } else if (in->state == RILL__INBOX_FAILED) {
    in->retry_at = in->hub->now + RILL__INBOX_PAUSE;
  } else if (in->state == RILL__INBOX_LOADED) {
    rill__inbox_expire(in);
    rill__inbox_miss(in);
    rill__inbox_tell_rest(in);
  }
  rill__inbox_settle(in);
}

void rill__inboxes_free(rill_hub *hub) {
  rill__link *l;

  while (hub->inboxes != NULL) {
    while ((l = rill__list_shift(&hub->inboxes->callers)) != NULL) {
      rill__caller *c = RILL__CONTAINER(l, rill__caller, link);
      c->drop(c);
    }
    inbox_free(hub->inboxes);
  }
}
