/*
 * follower.h - who follows what happens to peers and rooms.
 *
 * Presence, typing, notifications and receipts stand above the hub: they
 * know it, it does not know them.  It tells this table, which rill_hub_new
 * sets.  None of these may run a handler of the host, or free a peer.
 */
#ifndef RILL__FOLLOWER_H
#define RILL__FOLLOWER_H

#include "hub/hub.h"

struct rill__voice;

struct rill__follower {
  void (*opened)(rill__peer *p); /* also one that has come back */
  void (*away)(rill__peer *p);
  void (*back)(rill__peer *p);   /* before it is open again */
  void (*closed)(rill__peer *p); /* it is being freed, its rooms are left */
  void (*silent)(struct rill__voice *v); /* its voice is being freed */
  bool (*joined)(rill__peer *p, rill__room *room); /* false: no memory */
  void (*left)(rill__peer *p, rill__room *room);
  void (*sent)(rill__room *room, rill_peer from); /* a publication; or NULL */
  bool (*ruled)(rill_hub *hub, rill__room *room); /* its options are others */
  /* Would nothing be lost if the room, or space, of nobody went? */
  bool (*done_with_room)(rill_hub *hub, rill__room *room);
  bool (*done_with_space)(const rill__space *space);
  void (*room_freed)(rill_hub *hub, rill__room *room);
  void (*space_freed)(rill_hub *hub, rill__space *space);
  void (*hub_freed)(rill_hub *hub);
  void (*tick)(rill_hub *hub, rill__timer *timer); /* of a kind it owns */
};

#endif
