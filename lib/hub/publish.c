/*
 * publish.c - events that a room numbers: into the store where the room is
 * durable, and only then to its members.
 *
 * Operations on one log come back in the order of their submission, so the
 * order of the store is the order in which members hear.
 */
#include <rill/history.h>

#include "hub/emit.h"
#include "hub/event.h"
#include "hub/heal.h"
#include "hub/history.h"
#include "hub/publish.h"
#include "hub/store.h"
#include "hub/follower.h"

static const rill_publish_opts plain;

/* One publication on its way. */
typedef struct publication {
  rill_hub *hub;
  rill__space *space; /* held by its count of rooms' users */
  rill__room *room;   /* while the store has it */
  rill_ack_to ack;
  rill_published_fn done;
  void *arg;
  bool uncompressed;
  bool own_id; /* the writer's: it may be published already */
  uint64_t time_ms;
  size_t id_len, room_len, size;
  char text[]; /* id, then the room's name */
} publication;

static rill_str id_of(const publication *p) {
  return (rill_str){p->text, p->id_len};
}

static rill_str room_of(const publication *p) {
  return (rill_str){p->text + p->id_len, p->room_len};
}

static void publication_free(publication *p) {
  rill_hub *hub = p->hub;

  p->space->npeers--;
  rill__space_release(hub, p->space);
  rill__free(&hub->alloc, p, p->size);
}

bool rill__log_name(rill__bytes *out, rill_str space, rill_str room) {
  rill__bytes_str(out, "room");
  rill__bytes_add(out, space.ptr, space.len);
  rill__bytes_add(out, "\n", 1); /* in no name of either */
  rill__bytes_add(out, room.ptr, room.len);
  return !out->failed;
}

rill__work *rill__log_work(rill_hub *hub, rill_store_kind kind, rill_str space,
                           rill_str room, rill_str id, rill_str data, int *rv) {
  rill__bytes name;
  rill__work *w = NULL;

  *rv = RILL_ERR_NOMEM;
  rill__bytes_init(&name, &hub->alloc);
  if (rill__log_name(&name, space, room))
    w = rill__work_new(hub, kind, (rill_str){(char *)name.data, name.len}, id,
                       data, rv);
  rill__bytes_finish(&name);
  return w;
}

/* Of "busy" and "store" the writer may hope that it passes. */
static const char *code_of(int status) {
  switch (status) {
  case RILL_ERR_LIMIT:
  case RILL_ERR_FULL:
  case RILL_ERR_IO:
  case RILL_ERR_CLOSED:
  case RILL_ERR_NOMEM:
    return rill__store_code(status);
  default:
    return "publish";
  }
}

/* Tells the writer, by its answer and by the host's function. */
static void tell(const publication *p, int status, uint64_t offset) {
  rill_published out = {status, offset, p->time_ms, id_of(p)};
  rill_builder b;

  if (p->ack.wanted && (status == 0 || status == RILL_ERR_EXISTS)) {
    rill__builder_init(&b, &p->hub->alloc);
    rill_put_object(&b);
    rill_put_key(&b, "offset");
    rill_put_uint(&b, offset);
    rill_set_str(&b, "id", out.id);
    rill_put_key(&b, "timestamp");
    rill_put_uint(&b, p->time_ms);
    rill_put_end(&b);
    rill__ack(p->ack, &b);
    rill__builder_finish(&b);
  } else if (p->ack.wanted) {
    rill__ack_fail(p->ack, rill_s("publish"), code_of(status),
                   rill_strerror(status));
  }
}

/* Calls the host: only from where handlers may run. */
static void call_done(const publication *p, int status, uint64_t offset) {
  rill_published out = {status, offset, p->time_ms, id_of(p)};

  if (p->done == NULL)
    return;
  p->hub->in_handler = true;
  p->done(p->hub, &out, p->arg);
  p->hub->in_handler = false;
}

static void dropped(rill__work *w) {
  if (w->arg != NULL)
    publication_free(w->arg);
}

static void call_later(rill__work *w) {
  publication *p = w->arg;

  w->arg = NULL;
  call_done(p, w->op.status, w->op.last);
  publication_free(p);
}

/*
 * What is decided at once is told as what is not: by a work that is made
 * before anything is sent, so that |done| is sure to run.
 */
static rill__work *later_of(publication *p, int *rv) {
  rill__work *w = rill__work_new(p->hub, RILL_STORE_GET, (rill_str){0},
                                 (rill_str){0}, (rill_str){0}, rv);

  if (w == NULL)
    return NULL;
  w->done = call_later;
  w->drop = dropped;
  return w;
}

static void tell_later(rill__work *w, publication *p, int status,
                       uint64_t offset) {
  w->op.status = status;
  w->op.last = offset;
  w->arg = p;
  rill__work_finish(w);
}

int rill__publish_item(rill_hub *hub, rill__space *space, rill_str room,
                       rill__item *item, const rill_record *as) {
  rill_to to = {.rooms = &room, .nrooms = 1, .space = rill__space_name(space)};
  rill__room *r;
  int rv;

  item->number = as->offset;
  item->time_ms = as->time_ms;
  item->id = as->id;
  rv = rill__emit_item(hub, &to, item);
  r = rv != 0 ? rill__room_find(space, room) : NULL;
  if (r != NULL && as->offset > 0)
    rill__ring_take_back(hub, r->ring, as->offset);
  return rv;
}

/* Its writer has sent it: it types no more. */
static void writer_sent(const publication *p) {
  p->hub->follower->sent(rill__room_find(p->space, room_of(p)), p->ack.peer);
}

/* Sends what is numbered |at| now. */
static int hand_out(const publication *p, rill__item *item, uint64_t at) {
  const rill_record as = {.offset = at, .time_ms = p->time_ms, .id = id_of(p)};

  item->uncompressed = p->uncompressed;
  writer_sent(p);
  return rill__publish_item(p->hub, p->space, room_of(p), item, &as);
}

static int hand_out_stored(const publication *p, const rill__work *w) {
  rill__tape tape;
  rill__item item;
  int rv = RILL_ERR_NOMEM;

  rill__tape_init(&tape, &p->hub->alloc);
  if (rill__item_read(&tape, w->op.record.data, &item))
    rv = hand_out(p, &item, w->op.last);
  rill__tape_finish(&tape);
  return rv;
}

/* It is in the log: now it is heard, but not before what is in front of it. */
static void hand_on(const publication *p, const rill__work *w) {
  rill_hub *hub = p->hub;
  rill__room *room = p->room;
  uint64_t last = w->op.last;

  if (!rill__room_follows(room, last)) {
    writer_sent(p);
    rill__room_heal(hub, room);
    return;
  }
  if (hand_out_stored(p, w) != 0) {
    hub->history_lost = hub->offset;
    last--;
  }
  if (room->count == 0 && room->ring == NULL) /* who comes back missed it */
    hub->durable_gone = ++hub->offset;
  room->knows = true;
  room->last = last;
  if (last < w->op.last)
    rill__room_heal(hub, room);
}

/* The store has it, or has not, or may have it. */
static void stored(rill__work *w) {
  publication *p = w->arg;
  rill__room *room = p->room;
  int status = w->op.status;

  w->arg = NULL;
  if (status == 0) {
    hand_on(p, w);
    p->hub->metrics.published_total++;
  } else if (status == RILL_ERR_IO && room->knows) {
    rill__room_heal(p->hub, room);
  }
  room->publishing--;
  rill__room_settle(p->hub, room);
  p->hub->metrics.published_again_total += status == RILL_ERR_EXISTS;
  tell(p, status, w->op.last);
  call_done(p, status, w->op.last);
  publication_free(p);
}

static rill__work *append_of(publication *p, const rill__item *item, int *rv) {
  rill__bytes data;
  rill__work *w = NULL;

  *rv = RILL_ERR_NOMEM;
  rill__bytes_init(&data, &p->hub->alloc);
  rill__item_write(&data, item);
  if (!data.failed)
    w = rill__log_work(p->hub, RILL_STORE_APPEND, rill__space_name(p->space),
                       room_of(p), id_of(p),
                       (rill_str){(char *)data.data, data.len}, rv);
  rill__bytes_finish(&data);
  return w;
}

static int store(publication *p, const rill__item *item,
                 const rill_room_opts *opts) {
  rill_hub *hub = p->hub;
  rill__room *room = rill__room_make(hub, p->space, room_of(p));
  rill__work *w;
  int rv;

  if (room == NULL)
    return RILL_ERR_NOMEM;
  if (room->publishing >= hub->config.limits.room_pending) {
    hub->metrics.limit_room_pending++;
    return RILL_ERR_LIMIT;
  }
  if (room->count > 0) /* else who comes finds out */
    rill__room_learn(hub, room);
  w = append_of(p, item, &rv);
  if (w == NULL) {
    rill__room_settle(hub, room);
    return rv;
  }
  w->op.record.time_ms = p->time_ms;
  w->op.keep_count = opts->keep_count;
  w->op.keep_ms = opts->keep_ms;
  w->op.keep_bytes = opts->keep_bytes;
  w->done = stored;
  w->drop = dropped;
  w->arg = p;
  p->room = room;
  room->publishing++;
  rill__work_submit(w);
  return 0;
}

/* Copies |object| without what the stamp sets, then sets it. */
static void put_stamped(rill_builder *b, rill_value object,
                        const publication *p) {
  rill_walk walk = rill_walk_begin(object);

  rill_put_object(b);
  while (rill_walk_next(&walk)) {
    if (rill_str_eq(walk.key, rill_s("id")) ||
        rill_str_eq(walk.key, rill_s("timestamp")))
      continue;
    rill_put_key_str(b, walk.key);
    rill_put_value(b, walk.value);
  }
  rill_set_str(b, "id", id_of(p));
  rill_put_key(b, "timestamp");
  rill_put_uint(b, p->time_ms);
  rill_put_end(b);
}

static int stamp(rill_builder *b, rill_value args, const publication *p) {
  size_t n = rill_value_size(args);

  if (rill_value_type(rill_value_at(args, 0)) != RILL_OBJECT)
    return RILL_ERR_ARG;
  put_stamped(b, rill_value_at(args, 0), p);
  for (size_t i = 1; i < n; i++)
    rill_put_value(b, rill_value_at(args, i));
  return rill_builder_error(b);
}

static publication *publication_new(rill_hub *hub, rill__space *space,
                                    rill_str room,
                                    const rill_publish_opts *opts) {
  size_t id_len = opts->id.len > 0 ? opts->id.len : RILL__SID;
  size_t size = sizeof(publication) + id_len + room.len;
  publication *p = rill__calloc(&hub->alloc, size);

  if (p == NULL)
    return NULL;
  *p = (publication){.hub = hub,
                     .space = space,
                     .done = opts->done,
                     .arg = opts->arg,
                     .uncompressed = opts->uncompressed,
                     .own_id = opts->id.len > 0,
                     .id_len = id_len,
                     .room_len = room.len,
                     .size = size};
  if (hub->wall != NULL)
    p->time_ms = hub->wall(hub->wall_arg);
  if (opts->ack != NULL)
    p->ack = rill_event_ack(opts->ack);
  if (opts->id.len > 0)
    memcpy(p->text, opts->id.ptr, id_len);
  else if (!rill__random_id(hub, p->text))
    memset(p->text, '0', RILL__SID);
  memcpy(p->text + id_len, room.ptr, room.len);
  space->npeers++;
  return p;
}

/* A room that only keeps a ring, or nothing: numbered here and now. */
static int number(publication *p, rill__item *item, uint64_t *at) {
  rill__room *room = rill__room_find(p->space, room_of(p));
  rill_room_opts opts;
  int rv;

  *at = 0;
  if (room == NULL) {
    rill__room_opts_of(p->hub, p->space, room_of(p), &opts);
    if (opts.history > 0)
      room = rill__room_make(p->hub, p->space, room_of(p));
  }
  if (room == NULL) /* nobody is there, and nothing is kept */
    return hand_out(p, item, 0);
  if (p->own_id)
    *at = rill__ring_number_of(room->ring, id_of(p));
  if (*at > 0)
    return RILL_ERR_EXISTS;
  *at = room->last + 1;
  rv = hand_out(p, item, *at);
  room = rill__room_find(p->space, room_of(p));
  if (room == NULL)
    return rv;
  if (rv == 0)
    room->last = *at;
  rill__room_settle(p->hub, room); /* it may have been made, and keep nothing */
  return rv;
}

/* As rill_publish; |args| is an array or absent. */
static int publish(rill_hub *hub, rill_str room, rill_str name, rill_value args,
                   const rill_publish_opts *opts) {
  rill__space *space = rill__space_find(hub, opts->space);
  rill_room_opts kept;
  rill__item item = {.name = name};
  publication *p;
  rill_builder stamped;
  rill__work *later = NULL;
  uint64_t at = 0;
  int rv = rill__name_check(hub, room);

  if (rv == 0)
    rv = rill__event_name_check(hub, name);
  if (rv == 0 &&
      (space == NULL || opts->id.len > hub->config.limits.name_bytes))
    rv = RILL_ERR_ARG;
  if (rv == 0 && rill__bytes_in(args.node) > hub->config.limits.attachments) {
    hub->metrics.limit_attachments++; /* as rill_emit: for all to hear it */
    rv = RILL_ERR_LIMIT;
  }
  p = rv == 0 ? publication_new(hub, space, room, opts) : NULL;
  if (p == NULL) {
    if (opts->ack != NULL)
      rill_event_fail(opts->ack, "publish",
                      rill_strerror(rv != 0 ? rv : RILL_ERR_NOMEM));
    return rv != 0 ? rv : RILL_ERR_NOMEM;
  }
  rill__builder_init(&stamped, &hub->alloc);
  if (opts->stamp) {
    rv = stamp(&stamped, args, p);
    args = rill_builder_value(&stamped);
  }
  item.args = args.node;
  rill__room_opts_of(hub, space, room, &kept);
  if (rv == 0 && kept.durable) {
    rv = store(p, &item, &kept);
    if (rv == 0) {
      rill__builder_finish(&stamped);
      return 0; /* the rest when it is safe */
    }
  } else if (rv == 0) {
    if (p->done != NULL)
      later = later_of(p, &rv);
    if (rv == 0)
      rv = number(p, &item, &at);
    hub->metrics.published_total += rv == 0;
    hub->metrics.published_again_total += rv == RILL_ERR_EXISTS;
  }
  if (rv == 0 || rv == RILL_ERR_EXISTS || p->ack.wanted)
    tell(p, rv, at);
  rill__builder_finish(&stamped);
  if (later != NULL && (rv == RILL_ERR_EXISTS || rv == 0)) {
    tell_later(later, p, rv, at);
    return 0;
  }
  if (later != NULL)
    rill__work_free(later);
  publication_free(p);
  return rv == RILL_ERR_EXISTS ? 0 : rv;
}

int rill_publish(rill_hub *hub, rill_str room, const char *name,
                 const rill_builder *args, const rill_publish_opts *opts) {
  int rv = args != NULL ? rill_builder_error(args) : 0;
  rill_value value = {0};

  if (rv != 0) {
    if (opts != NULL && opts->ack != NULL)
      rill_event_fail(opts->ack, "publish", rill_strerror(rv));
    return rv;
  }
  if (args != NULL)
    value = rill_builder_value(args);
  return publish(hub, room, rill_s(name), value, opts != NULL ? opts : &plain);
}

int rill_publish_event(const rill_event *ev, rill_str room,
                       const rill_publish_opts *opts) {
  rill_publish_opts own = opts != NULL ? *opts : plain;
  rill_peer from = rill_event_ack(ev).peer;

  own.ack = ev;
  own.space = rill_peer_space(from);
  return publish(from.hub, room, rill_event_name(ev), rill_event_args(ev),
                 &own);
}
