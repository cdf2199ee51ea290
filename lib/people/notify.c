/*
 * notify.c - notifications: what hosts and clients ask of an inbox.
 *
 * A request has its operation of the store from the beginning.  It is
 * submitted when the inbox is loaded; or completed without the store, where
 * there is nothing to do or the inbox could not be loaded.  Either way the
 * rest happens when the operation is delivered.
 */
#include "people/notify.h"

#include "hub/encode.h"
#include "hub/emit.h"
#include "hub/event.h"
#include "hub/room.h"
#include "hub/store.h"

typedef enum kind { NOTIFY, ACK, ACK_TO, COUNT } kind;

typedef struct request {
  rill__caller caller;
  rill__inbox *inbox;
  rill__work *work;
  kind kind;
  rill__notice *notice; /* NOTIFY: ready to be kept */
  uint64_t up_to;       /* ACK_TO */
  rill_peer from;       /* whose event it is, or nobody */
  rill_ack_to ack;
  rill_notified_fn done;
  void *arg;
  size_t id_len;
  char id[];
} request;

/* What is asked for. */
typedef struct question {
  kind kind;
  rill__space *rules;
  rill_str space, user, id;
  uint64_t up_to;
  rill__notice *notice;
  const rill_event *ev;
  rill_notified_fn done;
  void *arg;
} question;

static void request_free(request *r) {
  rill_hub *hub = r->inbox->hub;

  rill__notice_free(hub, r->notice);
  rill__free(&hub->alloc, r, sizeof *r + r->id_len);
}

static void dropped(rill__work *w) {
  request *r = w->arg;

  r->inbox->busy--;
  request_free(r);
}

/* One whose operation was not submitted. */
static void drop_caller(rill__caller *caller) {
  request *r = RILL__CONTAINER(caller, request, caller);

  rill__work_free(r->work);
  request_free(r);
}

/* Asks the store, where that is still needed. */
static void run(rill__caller *caller, int status) {
  request *r = RILL__CONTAINER(caller, request, caller);
  const rill__inbox *in = r->inbox;
  rill__work *w = r->work;
  const rill__notice *n = NULL;

  if (r->kind == ACK)
    n = rill__inbox_by_id(in, (rill_str){r->id, r->id_len});
  if (r->up_to > in->last) /* what has not been written is not acknowledged */
    r->up_to = in->last;
  w->op.status = status;
  w->op.from = n != NULL ? n->offset : 0;
  w->op.version = r->up_to;
  if (status == 0 && (r->kind == NOTIFY || n != NULL ||
                      (r->kind == ACK_TO && r->up_to > in->acked)))
    rill__work_submit(w);
  else
    rill__work_finish(w);
}

/* The client's answer. */
static void answer(const request *r, const rill_notified *out) {
  rill_builder b;

  if (out->status != 0) {
    rill__ack_fail(
        r->ack,
        rill_s(r->kind == COUNT ? "notification:count" : "notification:ack"),
        rill__store_code(out->status), rill_strerror(out->status));
    return;
  }
  if (!r->ack.wanted)
    return;
  rill__builder_init(&b, &r->inbox->hub->alloc);
  rill_put_object(&b);
  if (r->kind != COUNT) {
    rill_put_key(&b, "cleared");
    rill_put_uint(&b, out->cleared);
  }
  rill_put_key(&b, "unread");
  rill_put_uint(&b, out->unread);
  rill_put_end(&b);
  rill__ack(r->ack, &b);
  rill__builder_finish(&b);
}

/* The store has done it: what that means in memory, and to whom. */
static void apply(request *r, const rill_store_op *op, rill_notified *out) {
  rill__inbox *in = r->inbox;
  rill__notice *n;

  switch (r->kind) {
  case NOTIFY:
    n = r->notice;
    r->notice = NULL;
    n->offset = op->last;
    out->peers = rill__inbox_add(in, n);
    break;
  case ACK:
    n = op->from > 0 ? rill__inbox_by_offset(in, op->from) : NULL;
    out->cleared = n != NULL;
    if (n != NULL)
      rill__inbox_clear(in, n, r->from);
    break;
  case ACK_TO:
    out->cleared = rill__inbox_clear_to(in, r->up_to, r->from);
    break;
  case COUNT:
    break;
  }
}

/* May what is in memory be another than what is in the store now? */
static bool doubtful(const request *r, const rill_notified *out) {
  const rill__inbox *in = r->inbox;

  if (out->status == RILL_ERR_IO)
    return true;
  return out->status == RILL_ERR_EXISTS && out->offset > in->last;
}

static void done(rill__work *w) {
  request *r = w->arg;
  rill__inbox *in = r->inbox;
  rill_hub *hub = in->hub;
  rill_notified out = {.status = w->op.status,
                       .space = in->space,
                       .user = in->user,
                       .id = {r->id, r->id_len}};

  if (r->kind == NOTIFY) {
    out.time_ms = w->op.record.time_ms;
    out.offset =
        out.status == 0 || out.status == RILL_ERR_EXISTS ? w->op.last : 0;
    hub->metrics.notified_again_total += out.status == RILL_ERR_EXISTS;
  }
  if (out.status == 0)
    apply(r, &w->op, &out);
  else if (doubtful(r, &out))
    rill__inbox_doubt(in);
  out.unread = in->count;
  if (r->from.hub != NULL)
    answer(r, &out);
  if (r->done != NULL) {
    hub->in_handler = true;
    r->done(hub, &out, r->arg);
    hub->in_handler = false;
  }
  request_free(r);
  in->busy--;
  rill__inbox_settle(in);
}

static rill__work *work_of(const question *q, const rill__inbox *in, int *rv) {
  static const rill_store_kind kinds[] = {[NOTIFY] = RILL_STORE_APPEND,
                                          [ACK] = RILL_STORE_REMOVE,
                                          [ACK_TO] = RILL_STORE_SET,
                                          [COUNT] = RILL_STORE_GET};
  rill_hub *hub = in->hub;
  const rill__notice *n = q->notice;
  size_t needs = 1;
  rill__work *w;

  if (rill__inbox_unread(in))
    needs += RILL__INBOX_LOAD;
  if (hub->nworks + hub->nasked + needs > hub->config.limits.store_pending) {
    hub->metrics.limit_store_pending++;
    *rv = RILL_ERR_LIMIT;
    return NULL;
  }
  w = rill__work_new(hub, kinds[q->kind], rill__inbox_name(in),
                     n != NULL ? n->id : (rill_str){0},
                     n != NULL ? n->data : (rill_str){0}, rv);
  if (w == NULL || n == NULL)
    return w;
  w->op.record.time_ms = n->time_ms;
  /* a bound for what could not be removed; see inbox.h */
  w->op.keep_count = 2 * hub->config.limits.notify_count;
  return w;
}

/* Takes q->notice, in any case. */
static int ask(rill_hub *hub, const question *q) {
  rill__inbox *in = rill__inbox_of(hub, q->rules, q->space, q->user);
  rill__work *w = NULL;
  request *r = NULL;
  int rv = RILL_ERR_NOMEM;

  if (in != NULL)
    w = work_of(q, in, &rv);
  if (w != NULL) {
    r = rill__calloc(&hub->alloc, sizeof *r + q->id.len);
    rv = r != NULL ? 0 : RILL_ERR_NOMEM;
  }
  if (r == NULL) {
    if (w != NULL)
      rill__work_free(w);
    if (in != NULL)
      rill__inbox_settle(in);
    rill__notice_free(hub, q->notice);
    return rv;
  }
  *r = (request){.caller = {.run = run, .drop = drop_caller},
                 .inbox = in,
                 .work = w,
                 .kind = q->kind,
                 .notice = q->notice,
                 .up_to = q->up_to,
                 .done = q->done,
                 .arg = q->arg,
                 .id_len = q->id.len};
  if (q->id.len > 0)
    memcpy(r->id, q->id.ptr, q->id.len);
  if (q->ev != NULL) {
    r->ack = rill_event_ack(q->ev);
    r->from = r->ack.peer;
  }
  rill__list_init(&r->caller.link);
  w->done = done;
  w->drop = dropped;
  w->arg = r;
  in->busy++;
  rill__inbox_ask(in, &r->caller);
  return 0;
}

/* Fills the names of |q|; 0, or what is wrong with them. */
static int address(rill_hub *hub, question *q, rill_str space, rill_str user) {
  q->space = space.len > 0 ? space : rill_s("/");
  q->user = user;
  q->rules = rill__space_rules_for(hub, q->space);
  if (q->rules == NULL || q->rules->notify == NULL)
    return RILL_ERR_STATE;
  return rill__name_check(hub, user);
}

/* What is wrong with what the host wants to notify of; 0: nothing. */
static int check(rill_hub *hub, const char *name, const rill_builder *args,
                 const rill_notify_opts *opts) {
  int rv = rill__event_name_check(hub, rill_s(name));

  if (rv == 0 && opts->id.len > 0)
    rv = rill__name_check(hub, opts->id);
  if (rv == 0 && opts->key.len > 0)
    rv = rill__name_check(hub, opts->key);
  if (rv == 0 && opts->ttl_ms > 0 && hub->wall == NULL)
    rv = RILL_ERR_STATE;
  if (rv == 0 && args != NULL)
    rv = rill_builder_error(args);
  if (rv == 0 && args != NULL &&
      rill__bytes_in(rill_builder_value(args).node) >
          hub->config.limits.attachments) {
    hub->metrics.limit_attachments++;
    rv = RILL_ERR_LIMIT;
  }
  return rv;
}

/* Can clients be told of it? */
static int try_event(rill_hub *hub, const rill__notice *n) {
  rill_builder b;
  int rv;

  rill__builder_init(&b, &hub->alloc);
  rv = rill__notice_put(&b, n, 0, n->id);
  rill__builder_finish(&b);
  return rv;
}

static rill__notice *notice_of(rill_hub *hub, const char *name,
                               const rill_builder *args, rill_str id,
                               const rill_notify_opts *opts, int *rv) {
  rill_record record = {.id = id};
  uint64_t expires = 0;
  rill__notice *n = NULL;
  rill__bytes data;

  if (hub->wall != NULL)
    record.time_ms = hub->wall(hub->wall_arg);
  if (opts->ttl_ms > 0)
    expires = opts->ttl_ms < UINT64_MAX - record.time_ms
                  ? record.time_ms + opts->ttl_ms
                  : UINT64_MAX;
  rill__bytes_init(&data, &hub->alloc);
  rill__notice_write(&data, rill_s(name), rill__builder_node(args), opts->key,
                     expires);
  record.data = (rill_str){(char *)data.data, data.len};
  if (data.failed) {
    *rv = RILL_ERR_NOMEM;
  } else if (data.len > hub->config.limits.notify_bytes) {
    hub->metrics.limit_notify_bytes++;
    *rv = RILL_ERR_TOO_BIG;
  } else {
    n = rill__notice_new(hub, &record, rv);
  }
  rill__bytes_finish(&data);
  if (n != NULL)
    *rv = try_event(hub, n);
  if (*rv == 0)
    return n;
  rill__notice_free(hub, n);
  return NULL;
}

int rill_notify(rill_hub *hub, rill_str user, const char *name,
                const rill_builder *args, const rill_notify_opts *opts) {
  static const rill_notify_opts plain;
  char made[RILL__SID];
  question q = {.kind = NOTIFY};
  int rv;

  if (opts == NULL)
    opts = &plain;
  rv = address(hub, &q, opts->space, user);
  if (rv == 0)
    rv = check(hub, name, args, opts);
  q.id = opts->id;
  if (rv == 0 && q.id.len == 0) {
    if (!rill__random_id(hub, made))
      return RILL_ERR_RANDOM;
    q.id = (rill_str){made, sizeof made};
  }
  if (rv != 0)
    return rv;
  q.notice = notice_of(hub, name, args, q.id, opts, &rv);
  if (q.notice == NULL)
    return rv;
  q.done = opts->done;
  q.arg = opts->arg;
  return ask(hub, &q);
}

int rill_notify_ack(rill_hub *hub, rill_str space, rill_str user, rill_str id,
                    rill_notified_fn fn, void *arg) {
  question q = {.kind = ACK, .id = id, .done = fn, .arg = arg};
  int rv = address(hub, &q, space, user);

  if (rv == 0)
    rv = rill__name_check(hub, id);
  return rv != 0 ? rv : ask(hub, &q);
}

int rill_notify_ack_to(rill_hub *hub, rill_str space, rill_str user,
                       uint64_t offset, rill_notified_fn fn, void *arg) {
  question q = {.kind = ACK_TO, .up_to = offset, .done = fn, .arg = arg};
  int rv = address(hub, &q, space, user);

  return rv != 0 ? rv : ask(hub, &q);
}

int rill_notify_count(rill_hub *hub, rill_str space, rill_str user,
                      rill_notified_fn fn, void *arg) {
  question q = {.kind = COUNT, .done = fn, .arg = arg};
  int rv = address(hub, &q, space, user);

  return rv != 0 ? rv : ask(hub, &q);
}

/* A client's question about its own inbox. */
static int ask_for(rill_peer peer, const rill_event *ev, question *q) {
  rill_str user = rill_peer_user(peer);
  int rv;

  if (user.len == 0)
    return rill_event_fail(ev, "user", "notifications are for users");
  q->ev = ev;
  rv = address(peer.hub, q, rill_peer_space(peer), user);
  if (rv == 0)
    rv = ask(peer.hub, q);
  if (rv == 0)
    return 0;
  return rill_event_fail(ev, rv == RILL_ERR_LIMIT ? "busy" : "notify",
                         rill_strerror(rv));
}

static int on_ack(rill_peer peer, const rill_event *ev, void *arg) {
  rill_value what = rill_event_arg(ev, 0);
  rill_value up_to = rill_value_get(what, "upTo");
  question q = {.kind = ACK, .id = rill_get_str(what, "id")};

  (void)arg;
  if (rill_value_type(up_to) == RILL_INT ||
      rill_value_type(up_to) == RILL_DOUBLE) {
    q = (question){.kind = ACK_TO, .up_to = rill_value_uint(up_to, 0)};
  } else if (q.id.len == 0 || rill__name_check(peer.hub, q.id) != 0) {
    return rill_event_fail(ev, "notify", "an id, or upTo an offset");
  }
  return ask_for(peer, ev, &q);
}

static int on_count(rill_peer peer, const rill_event *ev, void *arg) {
  question q = {.kind = COUNT};

  (void)arg;
  return ask_for(peer, ev, &q);
}

int rill_notify_events(rill_hub *hub, const char *space,
                       const rill_notify_events_opts *opts) {
  rill__space *s = rill__space_rules(hub, space);
  int rv;

  if (s == NULL)
    return RILL_ERR_NOT_FOUND;
  if (s->notify != NULL)
    return RILL_ERR_EXISTS;
  if (s->npeers > 0)
    return RILL_ERR_STATE;
  rv = rill_on(hub, space, "notification:ack", on_ack, NULL);
  if (rv == 0)
    rv = rill_on(hub, space, "notification:count", on_count, NULL);
  if (rv != 0)
    return rv;
  s->notify = rill__calloc(&hub->alloc, sizeof *s->notify);
  if (s->notify == NULL)
    return RILL_ERR_NOMEM;
  if (opts != NULL)
    s->notify->opts = *opts;
  return 0;
}

void rill__notify_free(rill_hub *hub, rill__notify *notify) {
  rill__free(&hub->alloc, notify, sizeof *notify);
}

/*
 * It has not been told that it is open: what is for it follows with the next
 * tick.
 */
void rill__notify_opened(rill__peer *p) {
  rill_hub *hub = p->hub;

  if (p->voice == NULL || p->user == NULL ||
      p->voice->space->rules->notify == NULL)
    return;
  rill__list_remove(&p->voice->untold);
  rill__list_push(&hub->newcomers, &p->voice->untold);
  rill__heap_set(&hub->timers, &hub->notify_timer, hub->now);
}

void rill__notify_tick(rill_hub *hub) {
  rill__link *l;

  while ((l = rill__list_shift(&hub->newcomers)) != NULL) {
    rill__voice *v = RILL__CONTAINER(l, rill__voice, untold);
    rill__inbox *in = v->inbox;
    if (!v->peer->open)
      continue; /* gone already; or away, and a newcomer when it is back */
    if (in == NULL)
      in = rill__inbox_of(hub, v->space->rules, rill__space_name(v->space),
                          rill__user_name(v->peer));
    if (in == NULL || (rill__inbox_unread(in) && !rill__inbox_may_load(hub))) {
      rill__list_push(hub->newcomers.next, l); /* the first again */
      rill__heap_set(&hub->timers, &hub->notify_timer,
                     hub->now +
                         (in == NULL ? RILL__INBOX_RETRY : RILL__INBOX_PAUSE));
      if (in != NULL)
        rill__inbox_settle(in);
      return;
    }
    rill__inbox_enter(in, v);
  }
}
