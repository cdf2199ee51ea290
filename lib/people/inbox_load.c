/*
 * inbox_load.c - what the store has of an inbox: when it is read, and what
 * is made of it.
 */
#include "people/inbox.h"
#include "hub/store.h"

/*
 * What was read takes the place of what was known; those that on_missed
 * waits for it waits for still.
 */
static void adopt(rill__inbox *in) {
  rill__link *o = in->notices.next, *l;
  rill__link old;

  for (l = in->fresh.next; l != &in->fresh; l = l->next) {
    rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    rill__notice *was;
    while (o != &in->notices &&
           RILL__CONTAINER(o, rill__notice, link)->offset < n->offset)
      o = o->next;
    if (o == &in->notices)
      break;
    was = RILL__CONTAINER(o, rill__notice, link);
    if (was->offset == n->offset) {
      n->missed_at = was->missed_at;
      was->missed_at = RILL_NEVER;
    }
  }
  rill__list_init(&old);
  while ((l = rill__list_shift(&in->notices)) != NULL)
    rill__list_push(&old, l);
  while ((l = rill__list_shift(&old)) != NULL) {
    rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    if (n->missed_at != RILL_NEVER) {
      in->nwaiting--;
      in->hub->metrics.notify_waiting--;
    }
    rill__notice_free(in->hub, n);
  }
  in->count = 0;
  while ((l = rill__list_shift(&in->fresh)) != NULL) {
    rill__list_push(&in->notices, l);
    in->count++;
  }
}

/* Drops what the store still has though it is over. */
static void tidy(rill__inbox *in) {
  rill__link *l, *prev;

  for (l = in->notices.prev; l != &in->notices; l = prev) {
    rill__notice *n = RILL__CONTAINER(l, rill__notice, link);
    rill__notice *old;
    prev = l->prev;
    if (n->offset <= in->acked) {
      rill__inbox_unlink(in, n);
      rill__notice_free(in->hub, n);
      continue;
    }
    while ((old = rill__inbox_older(in, n)) != NULL) {
      if (prev == &old->link)
        prev = old->link.prev;
      rill__inbox_drop(in, old);
    }
  }
  while (in->count > in->hub->config.limits.notify_count) {
    in->hub->metrics.limit_notify_count++;
    rill__inbox_drop(in, RILL__CONTAINER(in->notices.next, rill__notice, link));
  }
}

static void run_callers(rill__inbox *in, int status) {
  rill__link *l;

  while ((l = rill__list_shift(&in->callers)) != NULL) {
    rill__caller *a = RILL__CONTAINER(l, rill__caller, link);
    in->hub->nasked--;
    a->run(a, status);
  }
}

static void load_ended(rill__inbox *in, int status) {
  if (status == 0) {
    in->state = RILL__INBOX_LOADED;
    adopt(in);
    tidy(in);
    run_callers(in, 0);
    rill__inbox_expire(in);
    rill__inbox_tell_rest(in);
    return;
  }
  in->state = RILL__INBOX_FAILED;
  in->retry_at = in->hub->now + RILL__INBOX_RETRY;
  rill__inbox_free_fresh(in);
  run_callers(in, status);
  rill__inbox_tell_failure(in, status);
}

/* The two answers come in any order. */
static void part_done(rill__inbox *in, int status) {
  if (in->load_status == 0)
    in->load_status = status;
  if (--in->loading > 0)
    return;
  load_ended(in, in->load_status);
  rill__inbox_settle(in);
}

static void mark_read(rill__work *w) {
  rill__inbox *in = w->arg;

  if (w->op.status == 0 && w->op.last > in->acked)
    in->acked = w->op.last;
  part_done(in, w->op.status);
}

static void log_read(rill__work *w) {
  rill__inbox *in = w->arg;
  int status = w->op.status;

  for (size_t i = 0; status == 0 && i < w->op.nrecords; i++) {
    rill__notice *n = rill__notice_new(in->hub, &w->op.records[i], &status);
    if (n != NULL) /* the newest comes first */
      rill__list_push(in->fresh.next, &n->link);
  }
  if (status == 0 && w->op.last > in->last)
    in->last = w->op.last;
  part_done(in, status);
}

void rill__inbox_load(rill__inbox *in) {
  rill_hub *hub = in->hub;
  rill_str name = rill__inbox_name(in), none = {0};
  int rv;
  rill__work *mark = rill__work_new(hub, RILL_STORE_GET, name, none, none, &rv);
  rill__work *log = NULL;

  if (mark != NULL)
    log = rill__work_new(hub, RILL_STORE_READ, name, none, none, &rv);
  if (log == NULL) {
    if (mark != NULL)
      rill__work_free(mark);
    load_ended(in, rv);
    return;
  }
  in->state = RILL__INBOX_LOADING;
  in->load_status = 0;
  in->loading = RILL__INBOX_LOAD;
  log->op.reverse = true;
  log->op.from = UINT64_MAX;
  log->op.limit = 2 * hub->config.limits.notify_count;
  mark->done = mark_read;
  log->done = log_read;
  mark->arg = log->arg = in;
  rill__work_submit(mark);
  rill__work_submit(log);
}

bool rill__inbox_may_load(const rill_hub *hub) {
  return hub->nworks == 0 ||
         hub->nworks + RILL__INBOX_LOAD <= hub->config.limits.store_pending / 2;
}

void rill__inbox_ask(rill__inbox *in, rill__caller *caller) {
  if (in->state == RILL__INBOX_LOADED) {
    caller->run(caller, 0);
    return;
  }
  rill__list_push(&in->callers, &caller->link);
  in->hub->nasked++;
  if (rill__inbox_unread(in))
    rill__inbox_load(in);
}
