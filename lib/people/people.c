/*
 * people.c - what follows the hub: each event of follower.h, for each of
 * those who want it.  And the one function that puts both together.
 */
#include "hub/follower.h"
#include "people/inbox.h"
#include "people/notify.h"
#include "people/presence.h"
#include "people/receipts.h"
#include "people/typing.h"

static void opened(rill__peer *p) {
  rill__presence_opened(p);
  rill__typing_opened(p);
  rill__notify_opened(p);
}

static void away(rill__peer *p) {
  rill__presence_away(p);
  rill__typing_away(p);
}

static bool joined(rill__peer *p, rill__room *room) {
  if (!rill__presence_joined(p, room))
    return false;
  rill__typing_joined(p, room);
  return true;
}

static void left(rill__peer *p, rill__room *room) {
  rill__presence_left(p, room);
  rill__typing_left(p, room);
}

static bool done_with_space(const rill__space *space) {
  return rill__crowd_idle(space->crowd);
}

static void room_freed(rill_hub *hub, rill__room *room) {
  rill__crowd_free(hub, room->crowd);
  rill__typing_free(hub, room->typing);
}

static void space_freed(rill_hub *hub, rill__space *space) {
  rill__crowd_free(hub, space->crowd);
  rill__presence_free(hub, space->presence);
  rill__notify_free(hub, space->notify);
}

static void hub_freed(rill_hub *hub) {
  rill__inboxes_free(hub);
  rill__receipts_free(hub);
}

static void tick(rill_hub *hub, rill__timer *t) {
  switch (t->kind) {
  case RILL__TIMER_CROWD:
    rill__crowd_tick(t);
    break;
  case RILL__TIMER_PRESENCE:
    rill__presence_tick(t);
    break;
  case RILL__TIMER_TYPING:
    rill__typing_tick(t);
    break;
  case RILL__TIMER_NOTIFY:
    rill__notify_tick(hub);
    break;
  case RILL__TIMER_INBOX:
    rill__inbox_tick(t);
    break;
  case RILL__TIMER_RECEIPTS:
    rill__receipts_tick(t);
    break;
  default:
    break;
  }
}

static const rill__follower people = {.opened = opened,
                                      .away = away,
                                      .back = rill__presence_back,
                                      .closed = rill__presence_closed,
                                      .silent = rill__inbox_leave,
                                      .joined = joined,
                                      .left = left,
                                      .sent = rill__typing_sent,
                                      .ruled = rill__presence_follow,
                                      .done_with_room = rill__crowd_settle,
                                      .done_with_space = done_with_space,
                                      .room_freed = room_freed,
                                      .space_freed = space_freed,
                                      .hub_freed = hub_freed,
                                      .tick = tick};

int rill_hub_new(rill_hub **out, const rill_config *config) {
  return rill__hub_new(out, config, &people);
}
