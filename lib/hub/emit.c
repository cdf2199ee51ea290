#include "hub/emit.h"

#include "base/utf8.h"
#include "hub/ask.h"
#include "hub/batch.h"
#include "hub/conn.h"
#include "hub/history.h"
#include "hub/session.h"
#include "wire/socketio.h"

static const rill_emit_opts plain;

int rill__event_name_check(rill_hub *hub, rill_str name) {
  if (name.len == 0 || !rill__sio_name_ok(name) ||
      !rill__utf8_valid(name.ptr, name.len))
    return RILL_ERR_ARG;
  if (name.len > hub->config.limits.name_bytes) {
    hub->metrics.limit_name_bytes++;
    return RILL_ERR_ARG;
  }
  for (size_t i = 0; i < name.len; i++)
    if ((uint8_t)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
      return RILL_ERR_ARG;
  return 0;
}

/* Fills |item|; 0, or what is wrong with what the host wants to emit. */
static int prepare(rill_hub *hub, const char *name, const rill_builder *args,
                   const rill_emit_opts *opts, rill__item *item) {
  int rv = rill__event_name_check(hub, rill_s(name));

  if (rv == 0 && args != NULL)
    rv = rill_builder_error(args);
  if (rv != 0)
    return rv;
  if (args != NULL && rill__bytes_in(rill_builder_value(args).node) >
                          hub->config.limits.attachments) {
    hub->metrics.limit_attachments++; /* stock clients would hang up */
    return RILL_ERR_LIMIT;
  }
  *item =
      (rill__item){.name = rill_s(name),
                   .args = args != NULL ? rill_builder_value(args).node : NULL,
                   .is_volatile = opts->is_volatile,
                   .overflow = opts->overflow,
                   .key = opts->key,
                   .uncompressed = opts->uncompressed};
  return 0;
}

/* A room alone, and nothing that makes this event a special one. */
static bool may_wait(const rill_to *to, const rill__item *item) {
  return !to->all && to->nrooms == 1 && to->nusers + to->npeers == 0 &&
         to->nexcept + to->nexcept_rooms == 0 && !item->asks &&
         !item->is_volatile && item->key.len == 0;
}

void rill__emit_keep(rill_hub *hub, rill__space *space, const rill_to *to,
                     rill__item *item, char *offset) {
  if (hub->remembers)
    item->offset =
        (rill_str){offset, rill__history_keep(hub, space, to, item, offset)};
  if (item->offset.len == 0 && space->opts.recovery)
    item->offset =
        (rill_str){offset, rill__offset_write(hub, hub->offset, offset)};
}

/* Offsets are given in the order in which events go out. */
static int send_item(rill_hub *hub, rill__space *space, const rill_to *to,
                     rill__item *item, rill__ask *ask) {
  char offset[RILL__OFFSET_MAX];

  for (size_t i = 0; hub->remembers && i < to->nrooms; i++) {
    rill__room *room = rill__room_find(space, to->rooms[i]);
    if (room == NULL)
      continue;
    if (may_wait(to, item) && rill__batch_take(hub, room, item))
      return 0;
    rill__batch_flush(hub, room);
  }
  rill__emit_keep(hub, space, to, item, offset);
  return rill__fanout_send(hub, to, item, ask != NULL ? rill__ask_expect : NULL,
                           ask);
}

int rill_emit(rill_hub *hub, const rill_to *to, const char *name,
              const rill_builder *args, const rill_emit_opts *opts) {
  rill_to whom = *to;
  rill__space *space;
  rill__item item;
  rill__ask *ask = NULL;
  int rv;

  if (opts == NULL)
    opts = &plain;
  if (opts->space.len > 0)
    whom.space = opts->space;
  space = rill__space_find(hub, whom.space);
  rv = prepare(hub, name, args, opts, &item);
  if (rv != 0)
    return rv;
  if (opts->on_answers != NULL) {
    ask = rill__ask_new(hub, opts, &rv);
    if (ask == NULL)
      return rv;
    item.asks = true;
    item.ask = ask->id;
  }
  rv = space != NULL ? send_item(hub, space, &whom, &item, ask) : 0;
  if (ask != NULL && rv != 0)
    rill__ask_drop(ask);
  else if (ask != NULL)
    rill__ask_begin(ask);
  return rv;
}

int rill__emit_item(rill_hub *hub, const rill_to *to, rill__item *item) {
  rill__space *space = rill__space_find(hub, to->space);
  return space != NULL ? send_item(hub, space, to, item, NULL) : 0;
}

/* To one peer, kept for it where that is away or has recovery. */
static int emit_to(rill__peer *p, const rill__item *it) {
  rill_hub *hub = p->hub;
  rill_peer peer = rill__peer_handle(p);
  rill_to to = {.peers = &peer, .npeers = 1};
  rill__item item = *it;
  char offset[RILL__OFFSET_MAX];
  bool kept = false;

  item.space = rill__space_name(rill__peer_space(p));
  item.recovery = rill__peer_space(p)->opts.recovery;
  if (rill__history_of_peer(p)) {
    size_t len =
        rill__history_keep(hub, rill__peer_space(p), &to, &item, offset);
    kept = len > 0;
    /* a client takes what comes last for the offset, so there is one */
    item.offset = (rill_str){
        offset, kept ? len : rill__offset_write(hub, hub->offset, offset)};
  }
  if (p->away)
    return kept ? 0 : RILL_ERR_CLOSED;
  if (p->conn == NULL || !p->open)
    return RILL_ERR_CLOSED;
  rill__fanout_close(hub, &hub->fanout);
  if (!p->open)
    return RILL_ERR_CLOSED;
  if (item.is_volatile &&
      (p->conn->out.bytes > 0 || (rill__conn_is(p->conn, RILL__BOX) &&
                                  !rill__session_polled(p->conn->session)))) {
    hub->metrics.dropped_volatile_total++;
    return RILL_ERR_FULL;
  }
  return rill__conn_send_item(p->conn, &item, item.overflow);
}

int rill__emit_message(rill__peer *p, const rill_msg *msg) {
  rill__item item;

  if (!rill__item_of(&item, msg))
    return RILL_ERR_ARG;
  return emit_to(p, &item);
}

int rill_emit_peer(rill_peer peer, const char *name, const rill_builder *args,
                   const rill_emit_opts *opts) {
  rill__peer *p = rill__peer_of(peer);
  rill__item item;
  rill__ask *ask = NULL;
  int rv;

  if (p == NULL || (!p->open && !p->away))
    return RILL_ERR_CLOSED;
  if (opts == NULL)
    opts = &plain;
  rv = prepare(p->hub, name, args, opts, &item);
  if (rv != 0)
    return rv;
  if (opts->on_answers != NULL && !rill__variant_answers(p->variant))
    return RILL_ERR_STATE;
  if (opts->on_answers != NULL) {
    ask = rill__ask_new(p->hub, opts, &rv);
    if (ask == NULL)
      return rv;
    item.asks = true;
    item.ask = ask->id;
    rill__ask_expect(ask, p);
  }
  rv = emit_to(p, &item);
  if (ask != NULL && rv < 0)
    rill__ask_drop(ask);
  else if (ask != NULL)
    rill__ask_begin(ask);
  return rv;
}

int rill_emit_room(rill_hub *hub, rill_str room, const char *name,
                   const rill_builder *args, const rill_emit_opts *opts) {
  return rill_emit(hub, &(rill_to){.rooms = &room, .nrooms = 1}, name, args,
                   opts);
}

int rill_emit_user(rill_hub *hub, rill_str user, const char *name,
                   const rill_builder *args, const rill_emit_opts *opts) {
  return rill_emit(hub, &(rill_to){.users = &user, .nusers = 1}, name, args,
                   opts);
}

int rill_emit_all(rill_hub *hub, const char *name, const rill_builder *args,
                  const rill_emit_opts *opts) {
  return rill_emit(hub, &(rill_to){.all = true}, name, args, opts);
}

int rill_emit_others(rill_peer from, rill_str room, const char *name,
                     const rill_builder *args, const rill_emit_opts *opts) {
  rill_to to = {.rooms = &room,
                .nrooms = 1,
                .except = &from,
                .nexcept = 1,
                .space = rill_peer_space(from)};

  if (rill__peer_of(from) == NULL) /* whose namespace nobody knows */
    return RILL_ERR_CLOSED;
  return rill_emit(from.hub, &to, name, args, opts);
}
