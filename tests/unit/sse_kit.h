/*
 * sse_kit.h - hooks that judge by name: of rooms "n..." are refused, "l..."
 * decided later, "1..." refused with -1, and "c..." cut their own peer.
 */
#ifndef SSE_KIT_H
#define SSE_KIT_H

#include "talk.h"

static rill_request *waiting;
static rill_peer joining;

static inline int judge(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "auth") == 0 && p->act_arg != NULL) {
    waiting = e->req;
    return RILL_LATER;
  }
  if (strcmp(e->name, "auth") == 0)
    return rill_accept(e->req, rill_s("ann"));
  if (strcmp(e->name, "authorize") != 0)
    return 0;
  joining = e->peer;
  switch (e->room.ptr[0]) {
  case 'l':
    return RILL_LATER;
  case 'n':
    return RILL_ERR_FORBIDDEN;
  case '1':
    return -1;
  case 'c':
    rill_cut(e->peer);
    rill_close(e->peer, 1000, NULL);
    return 0;
  default:
    return 0;
  }
}

static inline void judging(pair *p) {
  p->config.authenticate = pair_authenticate;
  p->config.authorize_join = talk_authorize;
  talk_begin(p);
  p->act = judge;
}

#endif
