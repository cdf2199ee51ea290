/*
 * receipts.c - how far users have read.
 *
 * The store has two values for each user and room, whose versions are
 * offsets: "read" for everybody to know, and "seen" for the user alone.  The
 * greater of them is where the user is.
 *
 * A request has several operations under way at once, its parts; the first
 * failure of one is its status.  Where a client says that it has read beyond
 * what the hub knows to be the room's newest, the store is asked for that
 * first.
 */
#include <rill/notify.h>

#include "hub/event.h"
#include "hub/publish.h"
#include "people/receipts.h"
#include "hub/room.h"
#include "hub/store.h"

typedef enum kind { READ_TO, UNREAD, OTHERS } kind;

typedef struct request {
  rill_hub *hub;
  kind kind;
  bool is_private;
  unsigned parts; /* that have not come back */
  int status;
  uint64_t offset; /* READ_TO: what is said; then what holds */
  uint64_t mine;   /* READ_TO: what the set value is now */
  uint64_t last;
  bool changed;   /* READ_TO: it is news */
  rill_peer from; /* whose event it is, or nobody */
  rill_ack_to ack;
  rill_receipt_fn done;
  void *arg;
  rill_str space, room, user; /* in |text| */
  rill_str *users;            /* OTHERS: in |text| too */
  uint64_t *offsets;
  size_t nusers, size;
  char text[];
} request;

/* What is asked for. */
typedef struct question {
  kind kind;
  rill_str space, room, user;
  rill_value users; /* OTHERS: an array of names */
  uint64_t offset;
  bool is_private;
  const rill_event *ev;
  rill_receipt_fn done;
  void *arg;
} question;

static void request_free(request *r) {
  const rill__alloc *alloc = &r->hub->alloc;

  rill__free(alloc, r->users, r->nusers * sizeof *r->users);
  rill__free(alloc, r->offsets, r->nusers * sizeof *r->offsets);
  rill__free(alloc, r, r->size);
}

static rill_str copy(char **at, rill_str s) {
  rill_str out = {*at, s.len};

  if (s.len > 0)
    memcpy(*at, s.ptr, s.len);
  *at += s.len;
  return out;
}

static bool copy_users(request *r, const question *q, char *at) {
  rill_walk walk = rill_walk_begin(q->users);
  size_t n = rill_value_size(q->users);

  if (n == 0)
    return true;
  r->users = rill__calloc(&r->hub->alloc, n * sizeof *r->users);
  r->offsets = rill__calloc(&r->hub->alloc, n * sizeof *r->offsets);
  r->nusers = n;
  if (r->users == NULL || r->offsets == NULL)
    return false;
  for (size_t i = 0; rill_walk_next(&walk); i++)
    r->users[i] = copy(&at, rill_value_str(walk.value));
  return true;
}

static request *request_new(rill_hub *hub, const question *q) {
  size_t size = sizeof(request) + q->space.len + q->room.len + q->user.len;
  rill_walk walk = rill_walk_begin(q->users);
  request *r;
  char *at;

  while (rill_walk_next(&walk))
    size += rill_value_str(walk.value).len;
  r = rill__calloc(&hub->alloc, size);
  if (r == NULL)
    return NULL;
  r->hub = hub;
  r->kind = q->kind;
  r->is_private = q->is_private;
  r->offset = q->kind == READ_TO ? q->offset : 0;
  r->done = q->done;
  r->arg = q->arg;
  r->size = size;
  at = r->text;
  r->space = copy(&at, q->space);
  r->room = copy(&at, q->room);
  r->user = copy(&at, q->user);
  if (!copy_users(r, q, at)) {
    request_free(r);
    return NULL;
  }
  return r;
}

static rill__room *room_of(const request *r) {
  return rill__room_find(rill__space_find(r->hub, r->space), r->room);
}

static void put_receipt(rill_builder *b, rill_str user, uint64_t offset) {
  rill_put_object(b);
  rill_set_str(b, "userId", user);
  rill_put_key(b, "offset");
  rill_put_uint(b, offset);
  rill_put_end(b);
}

static void put_answer(rill_builder *b, const request *r,
                       const rill_receipt *out) {
  rill_put_object(b);
  rill_set_str(b, "room", r->room);
  if (r->kind == OTHERS) {
    rill_put_key(b, "users");
    rill_put_array(b);
    for (size_t i = 0; i < r->nusers; i++)
      put_receipt(b, r->users[i], r->offsets[i]);
    rill_put_end(b);
  } else {
    rill_put_key(b, "offset");
    rill_put_uint(b, out->offset);
  }
  if (r->kind == UNREAD) {
    rill_put_key(b, "last");
    rill_put_uint(b, out->last);
    rill_put_key(b, "unread");
    rill_put_uint(b, out->unread);
  }
  rill_put_end(b);
}

static void answer(const request *r, const rill_receipt *out) {
  rill_builder b;

  if (out->status != 0) {
    rill__ack_fail(r->ack,
                   rill_s(r->kind == READ_TO ? "receipt:read" : "receipt:get"),
                   rill__store_code(out->status), rill_strerror(out->status));
    return;
  }
  if (!r->ack.wanted)
    return;
  rill__builder_init(&b, &r->hub->alloc);
  put_answer(&b, r, out);
  rill__ack(r->ack, &b);
  rill__builder_finish(&b);
}

static void finish(request *r) {
  rill_hub *hub = r->hub;
  rill_receipt out = {
      .status = r->status, .space = r->space, .room = r->room, .user = r->user};

  if (r->status == 0) {
    out.offset = r->offset;
    out.last = r->last;
    out.unread = r->last > r->offset ? r->last - r->offset : 0;
  }
  if (r->status == 0 && r->changed) {
    hub->metrics.receipts_total++;
    rill__receipt_tell(hub, r->space, r->room, r->user,
                       r->is_private ? r->offset : r->mine, r->is_private);
  }
  if (r->from.hub != NULL)
    answer(r, &out);
  if (r->done != NULL) {
    hub->in_handler = true;
    r->done(hub, &out, r->arg);
    hub->in_handler = false;
  }
  request_free(r);
}

static void dropped(rill__work *w) {
  request *r = w->arg;

  if (r != NULL && --r->parts == 0)
    request_free(r);
}

/* The operations are made before the first is submitted: all or none. */
typedef struct batch {
  request *request;
  rill__link works;
  unsigned n;
  int rv;
} batch;

static void batch_begin(batch *b, request *r) {
  *b = (batch){.request = r};
  rill__list_init(&b->works);
}

static rill__work *batch_add(batch *b, rill_store_kind op, rill_str name,
                             void (*done)(rill__work *)) {
  rill_hub *hub = b->request->hub;
  rill_str none = {0};
  rill__work *w = NULL;

  if (b->rv == 0 && hub->nworks + b->n >= hub->config.limits.store_pending) {
    hub->metrics.limit_store_pending++;
    b->rv = RILL_ERR_LIMIT;
  }
  if (b->rv == 0)
    w = rill__work_new(hub, op, name, none, none, &b->rv);
  if (w == NULL)
    return NULL;
  w->done = done;
  w->drop = dropped;
  w->arg = b->request;
  rill__list_push(&b->works, &w->link);
  b->n++;
  return w;
}

/* 0, or why nothing has been submitted. */
static int batch_submit(batch *b) {
  rill__link *l;

  if (b->rv == 0)
    b->request->parts = b->n;
  while ((l = rill__list_shift(&b->works)) != NULL) {
    rill__work *w = RILL__CONTAINER(l, rill__work, link);
    if (b->rv == 0)
      rill__work_submit(w);
    else
      rill__work_free(w);
  }
  return b->rv;
}

/* What the value of |user| is called; it is in no name of a log. */
static rill__work *add_value(batch *b, rill_store_kind op, const char *what,
                             rill_str user, void (*done)(rill__work *)) {
  const request *r = b->request;
  rill__work *w = NULL;
  rill__bytes name;

  rill__bytes_init(&name, &r->hub->alloc);
  rill__bytes_str(&name, what);
  rill__bytes_add(&name, r->space.ptr, r->space.len);
  rill__bytes_add(&name, "\n", 1);
  rill__bytes_add(&name, r->room.ptr, r->room.len);
  rill__bytes_add(&name, "\n", 1);
  rill__bytes_add(&name, user.ptr, user.len);
  if (name.failed)
    b->rv = RILL_ERR_NOMEM;
  else
    w = batch_add(b, op, (rill_str){(char *)name.data, name.len}, done);
  rill__bytes_finish(&name);
  return w;
}

/* The number of the room's newest event. */
static void add_last(batch *b, void (*done)(rill__work *)) {
  const request *r = b->request;
  rill__work *w = NULL;
  rill__bytes name;

  rill__bytes_init(&name, &r->hub->alloc);
  if (!rill__log_name(&name, r->space, r->room))
    b->rv = RILL_ERR_NOMEM;
  else
    w = batch_add(b, RILL_STORE_READ, (rill_str){(char *)name.data, name.len},
                  done);
  if (w != NULL) {
    w->op.reverse = true;
    w->op.from = UINT64_MAX;
    w->op.limit = 1;
  }
  rill__bytes_finish(&name);
}

/* Counts a part that has come back; true: it was the last. */
static bool ended(rill__work *w) {
  request *r = w->arg;

  w->arg = NULL;
  if (r->status == 0)
    r->status = w->op.status;
  return --r->parts == 0;
}

static void value_read(rill__work *w) {
  request *r = w->arg;

  if (w->op.status == 0 && r->kind == OTHERS)
    r->offsets[w->op.from] = w->op.last; /* a GET has no use for it */
  else if (w->op.status == 0 && w->op.last > r->offset)
    r->offset = w->op.last;
  if (ended(w))
    finish(r);
}

static void last_read(rill__work *w) {
  request *r = w->arg;

  r->last = w->op.last;
  if (ended(w))
    finish(r);
}

static void value_set(rill__work *w) {
  request *r = w->arg;

  if (w->op.status == 0) {
    r->mine = w->op.last;
    r->changed = w->op.version > 0 && w->op.last == w->op.version;
    if (w->op.last > r->offset)
      r->offset = w->op.last;
  }
  if (ended(w))
    finish(r);
}

/* Sets the one value and reads the other. */
static int set(request *r) {
  const char *mine = r->is_private ? "seen\n" : "read\n";
  const char *other = r->is_private ? "read\n" : "seen\n";
  rill__work *w;
  batch b;

  batch_begin(&b, r);
  w = add_value(&b, RILL_STORE_SET, mine, r->user, value_set);
  if (w != NULL)
    w->op.version = r->offset;
  add_value(&b, RILL_STORE_GET, other, r->user, value_read);
  return batch_submit(&b);
}

static void newest_read(rill__work *w) {
  request *r = w->arg;

  if (r->offset > w->op.last)
    r->offset = w->op.last;
  ended(w);
  if (r->status == 0)
    r->status = set(r); /* of nothing, where the room is empty */
  if (r->status != 0)
    finish(r);
}

static int read_to(request *r) {
  const rill__room *room = room_of(r);
  batch b;

  if (room != NULL && room->last >= r->offset)
    return set(r);
  batch_begin(&b, r);
  add_last(&b, newest_read);
  return batch_submit(&b);
}

static int unread(request *r) {
  batch b;

  batch_begin(&b, r);
  add_last(&b, last_read);
  add_value(&b, RILL_STORE_GET, "read\n", r->user, value_read);
  add_value(&b, RILL_STORE_GET, "seen\n", r->user, value_read);
  return batch_submit(&b);
}

static int others(request *r) {
  batch b;

  batch_begin(&b, r);
  for (size_t i = 0; i < r->nusers; i++) {
    rill__work *w =
        add_value(&b, RILL_STORE_GET, "read\n", r->users[i], value_read);
    if (w != NULL)
      w->op.from = i;
  }
  return batch_submit(&b);
}

static int check(rill_hub *hub, question *q) {
  rill__space *space = rill__space_find(hub, q->space);
  rill_walk walk = rill_walk_begin(q->users);
  rill_room_opts opts;
  int rv = rill__name_check(hub, q->room);

  if (rv == 0 && q->kind != OTHERS)
    rv = rill__name_check(hub, q->user);
  while (rv == 0 && rill_walk_next(&walk))
    rv = rill__name_check(hub, rill_value_str(walk.value));
  if (rv == 0 && space == NULL)
    rv = RILL_ERR_ARG;
  if (rv != 0)
    return rv;
  q->space = rill__space_name(space);
  rill__room_opts_of(hub, space, q->room, &opts);
  return opts.durable ? 0 : RILL_ERR_STATE;
}

static int ask(rill_hub *hub, question *q) {
  static int (*const first[])(request *) = {
      [READ_TO] = read_to, [UNREAD] = unread, [OTHERS] = others};
  request *r;
  int rv = check(hub, q);

  if (rv != 0)
    return rv;
  r = request_new(hub, q);
  if (r == NULL)
    return RILL_ERR_NOMEM;
  if (q->ev != NULL) {
    r->ack = rill_event_ack(q->ev);
    r->from = r->ack.peer;
  }
  rv = first[q->kind](r);
  if (rv != 0)
    request_free(r);
  return rv;
}

int rill_read_to(rill_hub *hub, rill_str room, rill_str user, uint64_t offset,
                 const rill_read_opts *opts) {
  static const rill_read_opts plain;
  question q = {.kind = READ_TO, .room = room, .user = user, .offset = offset};

  if (opts == NULL)
    opts = &plain;
  q.space = opts->space;
  q.is_private = opts->is_private;
  q.done = opts->done;
  q.arg = opts->arg;
  return ask(hub, &q);
}

int rill_unread(rill_hub *hub, rill_str space, rill_str room, rill_str user,
                rill_receipt_fn fn, void *arg) {
  question q = {.kind = UNREAD,
                .space = space,
                .room = room,
                .user = user,
                .done = fn,
                .arg = arg};

  return ask(hub, &q);
}

/* A member's question. */
static int ask_for(rill_peer peer, const rill_event *ev, question *q) {
  int rv;

  q->space = rill_peer_space(peer);
  q->room = rill_get_str(rill_event_arg(ev, 0), "room");
  q->user = rill_peer_user(peer);
  q->ev = ev;
  if (!rill_in_room(peer, q->room))
    return rill_event_fail(ev, "forbidden", "receipts are for members");
  if (q->user.len == 0)
    return rill_event_fail(ev, "user", "receipts are of users");
  rv = ask(peer.hub, q);
  if (rv == 0)
    return 0;
  return rill_event_fail(ev, rv == RILL_ERR_LIMIT ? "busy" : "receipt",
                         rill_strerror(rv));
}

static int read_event(rill_peer peer, const rill_event *ev, bool is_private) {
  rill_value offset = rill_value_get(rill_event_arg(ev, 0), "offset");
  question q = {.kind = READ_TO,
                .offset = rill_value_uint(offset, 0),
                .is_private = is_private};

  if (rill_value_type(offset) != RILL_INT &&
      rill_value_type(offset) != RILL_DOUBLE)
    return rill_event_fail(ev, "receipt", "up to which offset?");
  return ask_for(peer, ev, &q);
}

static int on_read(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return read_event(peer, ev,
                    rill_get_bool(rill_event_arg(ev, 0), "private", false));
}

static int on_read_privately(rill_peer peer, const rill_event *ev, void *arg) {
  (void)arg;
  return read_event(peer, ev, true);
}

static int on_get(rill_peer peer, const rill_event *ev, void *arg) {
  rill_hub *hub = peer.hub;
  rill_value users = rill_value_get(rill_event_arg(ev, 0), "users");
  question q = {.kind = UNREAD};

  (void)arg;
  if (rill_value_type(users) != RILL_ABSENT) {
    if (rill_value_type(users) != RILL_ARRAY || rill_value_size(users) == 0)
      return rill_event_fail(ev, "receipt", "of which users?");
    if (rill_value_size(users) > hub->config.limits.receipt_users) {
      hub->metrics.limit_receipt_users++;
      return rill_event_fail(ev, "limit", rill_strerror(RILL_ERR_LIMIT));
    }
    q.kind = OTHERS;
    q.users = users;
  }
  return ask_for(peer, ev, &q);
}

int rill_receipt_events(rill_hub *hub, const char *space,
                        const rill_receipt_events_opts *opts) {
  bool is_private = opts != NULL && opts->is_private;
  int rv = rill_on(hub, space, "receipt:read",
                   is_private ? on_read_privately : on_read, NULL);

  if (rv == 0)
    rv = rill_on(hub, space, "receipt:get", on_get, NULL);
  return rv;
}
