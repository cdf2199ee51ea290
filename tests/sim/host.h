/*
 * host.h - what the parts of the server's program ask of each other.
 */
#ifndef HOST_H
#define HOST_H

#include "scene.h"

extern const char *const host_users[USERS];
extern const rill_handlers host_handlers;

/* ---- host_send.c ---- */
rill_hub *host_hub(world *w);
/* After a command outside of any handler: the loop's turn has to end. */
void host_touched(world *w);
uint32_t host_room_index(world *w, rill_str room);
pair *host_some_pair(world *w);
rill_overflow host_policy(world *w);
/* Sends |msg|, which is message |id|: to one, or to an audience. */
void host_send(world *w, pair *p, rill_msg *msg, uint32_t id, uint8_t key);
void host_send_new(world *w, pair *p);
void host_broadcast(world *w, rill_msg *msg, uint32_t id, uint8_t key);
void host_broadcast_new(world *w);

/* ---- host_command.c ---- */
void host_join(world *w, pair *p, uint32_t room);
void host_check_rooms(world *w, const pair *p);
void host_resume(world *w, void *a, uint64_t b);
/* One command, as chance has it; in handlers too. */
void host_command(world *w, pair *p);

/* ---- host.c ---- */
/* The pair's number, which is in the path. */
uint32_t host_id_of(const rill_request *req);
pair *host_pair_of(world *w, rill_peer peer, const char *what);

/* ---- host_hooks.c ---- */
int host_authenticate(rill_request *req, void *arg);
int host_authorize_join(rill_peer peer, rill_str room, void *arg);
uint32_t host_charge(rill_peer peer, const rill_msg *msg, void *arg);
void host_on_log(void *arg, rill_log_level level, const char *event,
                 const char *text);
int host_hello(rill_request *req, void *arg);
int host_echo_body(rill_request *req, void *arg);
int host_later(rill_request *req, void *arg);
int host_fail(rill_request *req, void *arg);

#endif
