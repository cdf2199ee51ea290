/*
 * scene.h - what the scenario and its books share.
 */
#ifndef SCENE_H
#define SCENE_H

#include "sim.h"

#define ROOMS 9
#define USERS 4 /* 1 to 3; 0 is nobody */

/* A request whose verdict is still to come. */
typedef struct verdict {
  rill_request *req;
  bool plain;
} verdict;

typedef struct scene {
  world *w;
  struct message {
    uint32_t len;
    rill_kind kind;
    bool forbidden;
    uint64_t salt;
  } * messages;
  uint32_t nmessages, messages_cap;
  uint8_t *bytes; /* of the message looked at last */
  size_t bytes_cap;
  pair **pairs;
  uint32_t npairs, pairs_cap;

  uint32_t verdicts; /* open */
  uint32_t posts;    /* not run yet */
  bool ending;       /* no new work */
  uint64_t requests_seen;
} scene;

/* host.c: the server's handlers and what its host does. */
void host_setup(world *w);
void host_act(world *w);
rill_str host_room(uint32_t i);

/* peers.c: the dialed clients. */
void peers_setup(world *w);
void peers_dial(world *w);
void peers_act(world *w);

#endif
