/*
 * people.h - what fuzz_people.c knows: of its hub, which may be one of
 * several in a row, of its store, and of clients that say and hear.
 */
#ifndef PEOPLE_H
#define PEOPLE_H

#include <rill/rill.h>

#include "../sim/reader.h"
#include "../unit/mem.h"
#include "hub/history.h"
#include "hub/hub.h"

/*
 * The first byte of a program.  NAMELESS: the store has no epoch; NO_STORE:
 * the hub makes its own; EVERYONE: heartbeats, and all are told of all;
 * MEMORY: it may fail, so that what is told may be lost.
 */
enum {
  RECOVERY = 1,
  MEMORY = 2,
  TIGHT = 4,
  LONG_TURNS = 8,
  NAMELESS = 16,
  NO_STORE = 32,
  EVERYONE = 64,
  NO_WALL = 128
};

#define CLIENTS 6
#define PEERS 48
#define ROOMS 8
#define SPACES 3
#define LOGS (SPACES * ROOMS)
#define USERS 7
#define CALLS 300
#define SERIALS 512 /* publications that are told apart */
#define NUMBERS 640 /* of one log, with those under no serial */
#define ASKED 40
#define NOTICES 24
#define HELD 40 /* operations that the store keeps back */

/* Fewer bytes than this a hub of these limits holds, whatever happens. */
#define MOST_MEMORY (6u << 20)

/* What rooms keep and tell goes by their names; see set_rooms. */
static const char *const room_names[ROOMS] = {
    "dur", "dkeep", "dcrowd", "ring", "rcrowd", "plain", "later", "no"};
enum { DUR, DKEEP, DCROWD, RING, RCROWD, PLAIN, ALLOWED_LATER, DENIED };
static const char *const space_names[SPACES] = {"/", "/nx", "/other"};
static const char *const user_names[USERS] = {"",    "ann", "bob", "cy",
                                              "dee", "eve", "fay"};

/* How something is to be published; the rest is its name, where NAMED. */
enum { SAY_NAMED = 1, SAY_DONE = 2, SAY_STAMPED = 4, SAY_PLAIN = 8 };

typedef struct input {
  const uint8_t *p;
  size_t left;
} input;

/* A peer that the host has heard of. */
typedef struct known {
  rill_peer peer;
  enum { GONE, OPEN, AWAY } state;
  char sid[RILL__SID];
  uint8_t moved;  /* rooms that the host has moved it into or out of */
  bool unwatched; /* the host has changed whom it follows */
} known;

struct people;

/* A call of the host whose outcome is told later, and once. */
typedef struct call {
  struct people *s;
  enum { UNUSED, WAITS, TOLD } state;
  uint8_t log; /* LOGS: it is about another */
  uint16_t serial;
  rill_history_opts asked;
} call;

/* What a client knows of a room; numbers as hears.h says. */
typedef struct view {
  enum { OUT, JOINING, IN, LEAVING } state;
  bool lax;   /* what it is sent cannot be foreseen any more */
  bool skips; /* once, as it came back to a gap */
  bool returns;
  uint64_t since; /* JOINING: as it said */
  bool any;       /* some were heard, from |first| on */
  uint64_t first;
  bool knows; /* |heard| is the newest that it was sent */
  uint64_t heard;
  uint64_t has;   /* the newest, whatever its life */
  char epoch[40]; /* that |has| counts in */
  uint8_t epoch_len;
  bool crowd; /* it has been told of a crowd */
  bool part;  /* ... and knows only a page of it */
  uint64_t version, count;
  uint8_t status[USERS];
  uint64_t typing;
  uint64_t receipts[USERS];
} view;

/* An answer that a client waits for. */
typedef struct asked {
  uint64_t id;
  uint8_t what, room;
  uint64_t since, before;
  bool must; /* it comes as long as the connection lasts */
} asked;

/* A notification that waits, as a client knows it. */
typedef struct notice {
  uint64_t offset, id; /* the id's hash */
  uint32_t told;       /* when, in calls of telling */
} notice;

typedef enum dialect { JSON, PACKED, SIO, SSE, RAW, POST } dialect;

typedef struct client {
  struct people *s;
  rill_conn *conn;
  reader rd;
  size_t takes; /* bytes that the stream takes */
  dialect dialect;
  uint8_t space, user, rooms; /* of a stream of SSE: a bit for each */
  bool open;
  bool wild; /* it says what it likes, under whatever number */
  bool deaf; /* the hub did not read something that it said */
  char sid[RILL__SID], secret[RILL__SID];
  char offset[64];
  uint8_t offset_len;
  uint8_t offset_room; /* a stream's, whose number was |offset_number| */
  uint64_t offset_number;
  buf stream; /* what has come of it and is not an event yet */
  view views[ROOMS];
  asked asked[ASKED];
  uint32_t nasked;
  uint64_t next_id;
  uint32_t posted;              /* requests that are to be answered */
  uint8_t serials[SERIALS / 8]; /* heard in this life */
  bool again;                   /* it may hear them twice */
  notice notices[NOTICES];
  uint32_t nnotices, tells;
  bool counted; /* it has been told how many there are */
  bool lost_count;
  uint8_t follows;    /* users, a bit for each, once it has been answered */
  bool all, all_part; /* it has been told of the namespace */
  uint8_t status[USERS];
} client;

/* What the store was given, for what clients hear to be held against. */
typedef struct book {
  uint64_t last;
  uint64_t read[USERS]; /* how far each is known to have read */
  bool unsure[USERS];   /* ... or not, as the half of it failed */
  uint16_t serial[NUMBERS];
  bool silent[NUMBERS]; /* nobody is told of it: the hub thinks it failed */
} book;

typedef struct store {
  rill_store store; /* first, as it is the hub's */
  rill_store *inner;
  mem memory;
  struct people *s;
  rill_store_op *first, **end; /* those that are kept */
  uint32_t nkept;
  bool keeps;
  uint8_t fails; /* a bit for each kind that fails, with |status| */
  int status;
  bool effect; /* though it has had its effect */
  struct {
    uint8_t n, which;
  } tasks[8]; /* that are posted, to let operations go */
  uint32_t ntasks, task;
} store;

typedef struct people {
  mem memory;
  rill_hub *hub;
  uint32_t hubs; /* so far */
  rill_time now;
  uint64_t skew; /* of the wall clock, ms */
  uint64_t seed;
  uint8_t flags;
  bool may_run, handling, ending;
  store store;
  client clients[CLIENTS];
  client nobody; /* says what those say who are not there */
  known peers[PEERS];
  uint32_t npeers; /* opened at this hub */
  call calls[CALLS];
  uint32_t ncalls;
  uint32_t nserials;
  struct {
    uint8_t log;
    uint8_t used;    /* more than once: it says nothing */
    uint16_t number; /* 0: not known */
  } serials[SERIALS];
  book books[LOGS];
  uint8_t lax[SPACES]; /* rooms whose rules have been changed */
  uint8_t next;        /* what the next handler does */
} people;

static inline uint8_t take(input *in) {
  if (in->left == 0)
    return 0;
  in->left--;
  return *in->p++;
}

static inline int fill_random(void *arg, void *out, size_t len) {
  people *s = arg;
  uint8_t *p = out;

  while (len-- > 0)
    *p++ = (uint8_t)(xorshift(&s->seed) >> 24);
  return 0;
}

static inline uint64_t wall(void *arg) {
  const people *s = arg;
  return 1700000000000u + s->now / RILL_MSEC + s->skew;
}

static inline void enter(people *s) {
  MUST(s->may_run && !s->handling);
  s->handling = true;
}

static inline int leave(people *s, int rv) {
  s->handling = false;
  return rv;
}

/* The place of |name| in |names|; |n|: it is none of them. */
static inline unsigned place_of(rill_str name, const char *const *names,
                                unsigned n) {
  unsigned i = 0;

  while (i < n && !rill_str_eq(name, rill_s(names[i])))
    i++;
  return i;
}

/* The serial in the arguments of a publication; 0: it has none. */
static inline unsigned serial_of(rill_value args, size_t first) {
  rill_value head = rill_value_at(args, first);
  uint64_t n;

  if (rill_value_type(head) == RILL_OBJECT)
    n = rill_value_uint(rill_value_get(head, "n"), 0);
  else
    n = rill_value_uint(rill_value_at(args, first + 2), 0);
  return n < SERIALS ? (unsigned)n : 0;
}

/* A new one; 0: there are none left. */
static inline unsigned next_serial(people *s) {
  return s->nserials + 1 < SERIALS ? ++s->nserials : 0;
}

static inline void use_serial(people *s, unsigned n) {
  if (n > 0 && s->serials[n].used < 2)
    s->serials[n].used++;
}

/* Is it of one publication, and no other? */
static inline bool serial_tells(const people *s, unsigned n) {
  return n > 0 && s->serials[n].used == 1;
}

static inline bool is_durable(unsigned room) {
  return room <= DCROWD || room == ALLOWED_LATER;
}

/* Is the store's book on the log to be trusted? */
static inline bool is_booked(const people *s, unsigned log) {
  return log < LOGS && is_durable(log % ROOMS) && (s->flags & NO_STORE) == 0 &&
         (s->lax[log / ROOMS] >> log % ROOMS & 1) == 0;
}

/* The books of the host on the peer with that sid; NULL: none. */
static inline known *known_by_sid(people *s, const char *sid) {
  for (int i = 0; i < PEERS; i++)
    if (sid[0] != '\0' && s->peers[i].peer.hub != NULL &&
        memcmp(s->peers[i].sid, sid, RILL__SID) == 0)
      return &s->peers[i];
  return NULL;
}

#endif
