/*
 * kept.h - the third scene: what outlives connections, and the program.
 * Rooms whose events are numbered and kept, presence, typing, notifications
 * and receipts, on a store that fails; and a host that is killed and begins
 * anew.
 *
 * A visitor is a client of the envelope or of Socket.IO with as much sense as
 * its documentation asks for: it remembers the number of the last event of
 * each room, comes back with it, and says again what was not answered.  A
 * stay is a peer, as the host sees it.  What is true is on the shelf.
 */
#ifndef KEPT_H
#define KEPT_H

#include "shelf.h"
#include "wire.h"

/* The second keeps the newest 20 only, the third is no more than a ring. */
enum { ROOM_LONG, ROOM_SHORT, ROOM_RING, KEPT_ROOMS };
#define KEPT_USERS 4 /* the first is nobody */
#define KEPT_NOTES 60
#define SHORT_COUNT 20
#define RING_COUNT 30

typedef struct visitor visitor;
typedef struct kept kept;

enum { DEAD, AWAY, THERE, BUSY }; /* statuses, in the order of rill_status */

/* What a visitor knows of a room. */
typedef struct seat {
  enum { OUT, JOINING, IN, LEAVING } state;
  bool wants;
  bool knows; /* |last| is the number of the newest that it has */
  uint64_t last;
  uint32_t newest; /* of the ring: the host's count of the newest */
  char epoch[33];
  bool said_since;                    /* the join under way has said |since| */
  uint64_t since, skip_from, skip_to; /* what was left out since then */
  bool hole;                          /* it has been told that some are lost */
  bool lost_track; /* came back while it was joining or leaving */
  bool has_people; /* it has been told who is there */
  uint64_t version, count;
  struct person {
    bool there;
    int status;
  } people[KEPT_USERS];
  unsigned typing; /* users, as bits */
  uint64_t read[KEPT_USERS];
} seat;

/* One thing that a visitor says, under one id, until it is answered. */
typedef struct saying {
  uint32_t id;
  int room;
  bool answered, given_up;
  uint32_t life; /* of the visitor when it was said last */
} saying;

enum {
  ASK_JOIN,
  ASK_LEAVE,
  ASK_SAY,
  ASK_READ,
  ASK_CLEAR,
  ASK_CLEAR_TO,
  ASK_GET
};

typedef struct question {
  uint64_t id, n;
  int kind, room;
  uint32_t life; /* of the visitor */
} question;

struct visitor {
  world *w;
  uint32_t id, user;
  bool socketio, left;
  enum { AWAY_FROM_IT, HELLO_SAID, TALKS } state;
  uint32_t life; /* grows with each loss of its connection */
  wire *wire;
  struct stay *stay;
  char secret[24], offset[40];
  seat seats[KEPT_ROOMS];
  int status; /* what it has shown last */
  saying sayings[40];
  uint32_t nsayings;
  question questions[192]; /* all that it may have asked in a few lives */
  uint32_t nquestions;
  uint64_t next_question;
  char *held[300]; /* events before the answer to its connecting */
  uint32_t nheld;
  bool notes[KEPT_NOTES]; /* those that wait for its user */
  uint64_t note_offsets[KEPT_NOTES];
  bool counted; /* it has been told of all of them */
  uint64_t unread;
};

typedef struct stay {
  uint32_t id;
  rill_peer peer;
  visitor *visitor;
  char sid[21];
  bool closed;
  uint32_t life; /* of the host */
} stay;

/* A notification: whether it may be there still, and whether it must. */
typedef struct note {
  uint32_t user, key; /* 0: none */
  uint64_t offset, expires;
  bool may, must, sure; /* sure: the host has been told that it is kept */
} note;

/* What the host has published, by its own count. */
typedef struct publication {
  int room;
  char id[24];
  uint32_t life;
} publication;

struct kept {
  world *w;
  shelf *shelf;
  visitor *visitors[24];
  uint32_t nvisitors;
  stay **stays;
  size_t nstays, stays_cap;
  publication *publications; /* number n is at n - 1 */
  size_t npublications, publications_cap;
  note notes[KEPT_NOTES];
  uint32_t nnotes;
  uint64_t read[KEPT_ROOMS][KEPT_USERS];      /* has been answered */
  uint64_t read_most[KEPT_ROOMS][KEPT_USERS]; /* has been said */
  uint32_t life;     /* of the host; grows with each that ends */
  uint32_t readings; /* of its own, under way */
  struct reading *reading;
  bool recovery, crashes, may_lose, ending;
};

/* ---- kept_host.c ---- */
const char *kept_room(int room);
const char *kept_user(uint32_t user);
int kept_room_of(rill_str name); /* -1: none */
uint32_t kept_user_of(world *w, rill_str name);
uint32_t kept_note_of(world *w, rill_str id);
const shelf_log *kept_log(const kept *k, int room);
void kept_begin(world *w);
void kept_kill(world *w);
/* ---- kept_act.c: what the host does of itself ---- */
void kept_act(world *w);
void kept_touched(world *w);
void kept_forget_readings(kept *k);
void kept_publish(world *w, int room, const char *id, const rill_event *ev);
stay *kept_stay(world *w, rill_str sid);

/* ---- visitor.c ---- */
visitor *visitor_new(world *w);
void visitor_start(world *w, void *v, uint64_t life);
void visitor_lose(visitor *v, const char *why);
void visitor_leave(visitor *v);
void visitor_free(visitor *v);
void visitor_act(visitor *v);
/* Joins what it wants to be in and is not. */
void visitor_settle(visitor *v);
void visitor_leave_room(visitor *v, int room);
void visitor_event(visitor *v, uint64_t id, const char *name,
                   const char *format, ...)
    __attribute__((format(printf, 4, 5)));
uint64_t visitor_ask(visitor *v, int kind, int room, uint64_t n);
void visitor_say(visitor *v, saying *s);
void visitor_packet(visitor *v, const char *text);

/* ---- visitor_hear.c ---- */
void visitor_message(void *v, wire *r, bool text, const uint8_t *data,
                     size_t len);
void visitor_connected(visitor *v, rill_str sid, rill_str secret,
                       bool recovered);

/* ---- kept_books.c: rooms ---- */
void book_heard(visitor *v, int room, rill_str id, uint32_t n, uint64_t at);
void book_joined(visitor *v, int room, rill_value answer);
void book_said(visitor *v, uint32_t saying_id, rill_value answer);
void book_check(world *w);

/* ---- kept_people.c: presence, typing, notifications, receipts ---- */
void people_event(visitor *v, rill_str name, rill_value arg);
void people_answer(visitor *v, const question *q, rill_value answer);
/* A connection begins: what it knew of others is of the last one. */
void people_forget(visitor *v);
void people_check(world *w);
uint64_t people_wall(const world *w);

/* ---- kept_scene.c ---- */
void kept_run(world *w);

#endif
