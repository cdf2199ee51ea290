/*
 * events.h - the other scene: clients of Socket.IO, of the envelope and of
 * server-sent events, who lose their connections and come back, and a host
 * that emits numbered events to them.
 *
 * A caller is a client, over all its connections; a guest is a peer as the
 * host sees it.  A caller has one guest after the other; with recovery it
 * finds its guest again.  The books of a guest say which events it has to
 * get, in which order, and which of them may be missing.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "wire.h"

#define HALLS 5 /* of names below; the last one holds its events back */
#define BATCH_HALL 4
#define BATCH_MS 300

typedef struct caller caller;
typedef struct guest guest;
typedef struct events events;

/* ---- books.c ---- */

/* An emit of the host's, by its number. */
typedef struct item {
  uint32_t rooms;  /* it went to, as bits */
  uint32_t user;   /* or to this one's peers; 0: none */
  guest *to;       /* or to this one alone */
  guest *except;
  bool all, held;  /* to all; held back by its room */
  bool fleeting;   /* volatile, or asking: never recovered */
  bool may_drop;   /* the policy of a full queue, or want of memory */
  bool drops_older; /* others may go for it */
  rill_time at;
} item;

/* What a guest has to get, one way of ordering. */
typedef struct owed {
  struct due {
    uint32_t n;
    bool may_drop;
    bool kept; /* it can be recovered */
  } * v;
  size_t n, cap, next;
} owed;

struct guest {
  world *w;
  uint32_t id;
  rill_peer peer;
  caller *caller;
  char sid[21];
  enum { GUEST_OPEN, GUEST_AWAY, GUEST_CLOSED } side;
  bool sse, closing, paused, busy;
  uint32_t rooms, user;
  owed owed[2]; /* the second: of the room that holds back */
  size_t opened_at; /* items there were when it came */
  uint32_t up;      /* the newest event from it */
  bool gap;         /* some may have been lost on the way up */
};

guest *guest_new(world *w, rill_peer peer, caller *c);
guest *guest_by_sid(world *w, rill_str sid);
/* A new emit; its number. */
uint32_t item_new(world *w, const item *it);
/* The emit has been made, with |rv|: those it is for are owed it. */
void item_sent(world *w, uint32_t n, int rv);
/* What a stream that begins with |cursor| items behind it gets of the past. */
void guest_owed_past(guest *g, size_t cursor);
/* What its rooms hold back may come, or have gone. */
void guest_owed_held(guest *g);
void guest_got(guest *g, uint32_t n);
/* It may do without what it has not got, all of it or what is not kept. */
void guest_forgive(guest *g, bool all);
/* It has been told that it gets all of the past of its rooms. */
void guest_complete(guest *g);
void guest_whole(guest *g, const char *when);
void guests_free(world *w);

/* ---- caller.c ---- */
#define SIO_PATH "/sio/?EIO=4&transport="
enum { SOCKETIO, ENVELOPE, SSE };
enum { POLLING, UPGRADING, WEBSOCKET };

typedef struct packet {
  char *text; /* of Engine.IO, or the envelope's */
  size_t len;
  uint32_t up; /* the number of the event in it */
} packet;

typedef struct arrival {
  char name[8];
  uint32_t n;
  bool asks;
  uint64_t ask;
  char offset[32];
} arrival;

struct caller {
  world *w;
  uint32_t id;
  int dialect, plan;
  enum { DOWN, HELLO, CONNECTING, TALKING, LEFT } state;
  uint32_t life; /* grows with each loss of its connections */
  guest *guest;
  char sid[21];    /* of Engine.IO */
  char secret[21]; /* empty: there is none */
  char offset[32];
  size_t cursor; /* SSE: items up to |offset| */
  uint32_t rooms;  /* SSE: those it wants */
  wire *get, *post, *ws;
  bool polling, posting, on_ws;
  enum { UP_NONE, UP_OPENING, UP_PROBED } up_state;
  packet queue[64];
  uint32_t nqueue;
  uint32_t post_up; /* the newest event in the POST under way */
  uint32_t up;      /* events of this guest's so far */
  uint32_t newest_key;
  arrival held[600]; /* before it is connected */
  uint32_t nheld;
  arrival parts;     /* an event whose attachments are on their way */
  uint32_t nparts;
  struct answer {
    uint64_t id;
    uint32_t life;
  } answers[64]; /* awaited from the server */
  uint32_t nanswers;
  uint64_t next_id;
  char *stream; /* SSE: a block of it on its way */
  size_t stream_len, stream_cap;
};

caller *caller_new(world *w);
void caller_start(world *w, void *c, uint64_t life);
/* It loses everything but what it can come back with. */
void caller_lose(caller *c, const char *why);
void caller_leave(caller *c);
void caller_free(caller *c);
void caller_send_event(caller *c);
/* A new stream of its own. */
wire *caller_wire(caller *c);
/* ---- callerline.c ---- */
void caller_forget(caller *c); /* what it has not sent yet */
/* What comes by its streams. */
void caller_opened(void *c, wire *r); /* the 101 */
void caller_message(void *c, wire *r, bool text, const uint8_t *data,
                    size_t len);
void caller_body(void *c, wire *r, int status, const uint8_t *data,
                 size_t len);
void caller_stream(void *c, const uint8_t *data, size_t len);
void caller_ended(void *c, wire *r);

/* ---- listen.c: what callers make of what they are told ---- */
/* Of Engine.IO, without a body that is binary. */
void listen_packet(caller *c, const char *text, size_t len);
void listen_binary(caller *c, const uint8_t *data, size_t len);
void listen_envelope(caller *c, const char *text, size_t len);
void listen_block(caller *c, const char *text); /* of SSE */

/* ---- caller.c, for listen.c ---- */
void caller_connected(caller *c, rill_str sid, rill_str secret);
void caller_arrived(caller *c, const arrival *a);
void caller_answered(caller *c, uint64_t id);
void caller_packet(caller *c, uint32_t up, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- guesthost.c: the server's program ---- */
rill_str events_room(uint32_t i);
rill_str events_user(const caller *c);
rill_str events_user_name(uint32_t i);
extern const rill_handlers events_handlers;
int events_on_event(rill_peer peer, const rill_event *ev, void *arg);
void events_resume(world *w, void *g, uint64_t b);
/* ---- guestemit.c ---- */
void events_emit(world *w);
/* The arguments of event |n|. */
rill_builder *events_args(world *w, uint32_t n, bool bytes);
/* One command, as chance has it. */
void events_host_act(world *w);
/* After a command outside of any handler: the loop's turn has to end. */
void events_touched(world *w);
/* ---- guestsetup.c ---- */
caller *events_caller(world *w, rill_str token);
void events_host_setup(world *w);

struct events {
  world *w;
  caller **callers;
  uint32_t ncallers, callers_cap;
  guest **guests;
  uint32_t nguests, guests_cap;
  item *items; /* number n is at n - 1 */
  size_t nitems, items_cap;
  bool recovery, ending;
  uint32_t verdicts, asks, posts; /* open */
};

/* ---- events_scene.c ---- */
void events_run(world *w);

#endif
