/*
 * events.h - the two halves of events_server: who may come in and where, and
 * what may be asked of it there.
 */
#ifndef INTEROP_EVENTS_H
#define INTEROP_EVENTS_H

#include "server.h"

#define MAX_NAMES 16
#define MAX_ASKS 64

typedef struct server {
  rill_ack_to asks[MAX_ASKS]; /* who waits for the outcome of its emit */
  rill_ack_to later[MAX_ASKS];
  size_t nlater;
  rill_request *held[MAX_ASKS]; /* who is kept waiting */
  size_t nheld;
} server;

/* Accepts or refuses, as the token says. */
int decide(rill_request *req);

/* Takes all commands of events_commands.c in |space|. */
int add_commands(rill_hub *hub, const char *space, server *s);

#endif
