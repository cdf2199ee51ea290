/*
 * presence.h - who is there.
 *
 * A crowd is the people of one room or of one namespace.  A person is a user
 * in a crowd.  A seat is one peer in one crowd; it may outlive its peer:
 *
 *   SEAT_LIVE   its peer is there, and |shown| is what that shows
 *   SEAT_HELD   the peer is lost, or away (recover.h): |shown| stays what it
 *               was, until |until|
 *   SEAT_EMPTY  the peer is away and the grace is over: offline
 *
 * A person has the status of its most present seat.  |told| is what the
 * others know, so a change that is undone before the crowd's window ends is
 * never told; and "presence:state" shows |told| too, as what it leaves out
 * comes with the next update.
 *
 * What a peer shows of itself is its attending, made with its first seat.
 */
#ifndef RILL__PRESENCE_H
#define RILL__PRESENCE_H

#include <rill/presence.h>

#include "hub/room.h"

typedef struct rill__crowd rill__crowd;
typedef struct rill__person rill__person;
typedef struct rill__seat rill__seat;
typedef struct rill__attending rill__attending;
typedef struct rill__watch rill__watch;
typedef struct rill__gone rill__gone;

enum { SEAT_LIVE, SEAT_HELD, SEAT_EMPTY };

struct rill__seat {
  rill__crowd *crowd;
  rill__person *person;  /* NULL: of nobody */
  rill__attending *who;  /* NULL: its peer is gone */
  rill__seat *next;      /* of the peer */
  rill__link of_person;  /* in person->seats, or without a peer ->lost */
  rill__link link;       /* in crowd->held, or live and in crowd->greets */
  rill_time until;       /* of SEAT_HELD */
  uint8_t state, shown;
  bool had_state;        /* its peer, which is gone, showed a state */
};

struct rill__person {
  UT_hash_handle hh; /* in crowd->people, by name */
  rill__crowd *crowd;
  rill__link seats;   /* those that set a state first, the last to do so */
  rill__link lost;
  rill__link link;    /* in crowd->changed */
  rill__link watches;
  uint32_t index;     /* in crowd->v */
  uint32_t counts[RILL_STATUS_BUSY + 1]; /* of seats, by what they show */
  uint64_t last_seen; /* 0: not known */
  uint8_t told, telling;
  bool told_state;    /* the others know a state of it */
  bool restated;      /* ... which is another by now */
  bool changed;       /* it is in crowd->changed */
  uint32_t name_len;
  char name[];
};

/* Who has gone, and is remembered for when that was. */
struct rill__gone {
  UT_hash_handle hh; /* in crowd->gone */
  uint64_t last_seen;
  uint32_t name_len;
  char name[];
};

struct rill__crowd {
  rill_hub *hub;
  rill__space *space;
  rill__room *room; /* NULL: the crowd of |space| */
  rill__timer timer;
  rill_time flush_at; /* RILL_NEVER: nobody has changed */
  rill__person *people;
  rill__person **v;
  uint32_t npeople, cap;
  uint32_t nlive;                            /* seats */
  uint32_t ntold;                            /* persons told as there */
  uint32_t by_status[RILL_STATUS_BUSY + 1];  /* persons, as they are */
  uint64_t version;
  rill__link changed, held, greets;
  rill__gone *gone; /* of a space, by name; the first to go first */
  rill__person *pinned; /* the host is being told of it */
};

/* What rill_presence_events set for a space, and for all of a pattern. */
typedef struct rill__presence {
  rill_hub *hub;
  rill_presence_opts opts;
  rill__timer timer;       /* for |beats| and |acts| */
  rill__link beats, acts;  /* attendings, the oldest first */
} rill__presence;

struct rill__attending {
  rill__peer *peer;
  rill__seat *seats;
  uint8_t status;    /* as it said itself */
  bool lapsed, idle; /* no heartbeat, no event for long */
  rill__link beats, acts;
  rill_time beat, act; /* the last */
  uint8_t *state;      /* as MessagePack */
  uint32_t state_len;
  uint32_t nwatches;
  rill__watch *watches; /* by person */
};

/* Somebody follows a person's status. */
struct rill__watch {
  UT_hash_handle hh; /* in who->watches */
  rill__person *person;
  rill__attending *who;
  rill__link link; /* in person->watches */
};

static inline rill_str rill__person_name(const rill__person *p) {
  return (rill_str){p->name, p->name_len};
}

/* person.c */
rill_status rill__person_status(const rill__person *p);
rill__person *rill__person_find(const rill__crowd *c, rill_str name);
/* The same, made where there is none; NULL: no memory. */
rill__person *rill__person_make(rill__crowd *c, rill_str name);
void rill__person_free(rill__person *p);
/* When somebody who has gone was seen; 0: not known. */
uint64_t rill__person_seen(const rill__crowd *c, rill_str name);
void rill__gone_free(rill__crowd *c); /* all of them */
/* It is to be told. */
void rill__person_changed(rill__person *p);
/* Frees it where there is no reason to keep it. */
void rill__person_settle(rill__person *p);

/* crowd.c */
/* The crowd of a room (or, NULL, of the space); NULL: no memory. */
rill__crowd *rill__crowd_make(rill_hub *hub, rill__space *space,
                              rill__room *room);
/* NULL is fine. */
void rill__crowd_free(rill_hub *hub, rill__crowd *c);
/*
 * The room is empty: its crowd goes where nobody is expected back.  false:
 * somebody is.
 */
bool rill__crowd_settle(rill_hub *hub, rill__room *room);
/* May the space of this crowd go? NULL is fine. */
bool rill__crowd_idle(const rill__crowd *c);
void rill__crowd_tick(rill__timer *timer);
void rill__crowd_arm(rill__crowd *c);
uint32_t rill__crowd_window(const rill__crowd *c); /* ms */
/* A seat for |a|, or the one that it already has; false: no memory. */
bool rill__crowd_enter(rill__crowd *c, rill__attending *a);
/* The end of it: held for its user where the peer was |lost|. */
void rill__seat_leave(rill__seat *s, bool lost);
void rill__seat_hold(rill__seat *s); /* its peer is away */
void rill__seat_take(rill__seat *s); /* ... and back */
void rill__seat_greet(rill__seat *s);
void rill__seat_show(rill__seat *s, unsigned status);
/* Its peer's state is another. */
void rill__seat_restate(rill__seat *s);

/* presence_tell.c */
/* Tells what has changed; a page of it at a time. */
void rill__crowd_flush(rill__crowd *c);
/* Tells |peers|, who have come or are back, how things are. */
void rill__crowd_greet(rill__crowd *c, const rill_peer *peers, size_t n);
/*
 * Writes a page (of persons, or of peers) that ends before |*at|, UINT32_MAX
 * for the first, as members of an open object.
 */
void rill__crowd_page(const rill__crowd *c, rill_builder *b, uint32_t at);
void rill__crowd_page_peers(const rill__crowd *c, rill_builder *b,
                            uint32_t at);
/* USER of rill/presence.h, as the others know it or are to know it. */
void rill__person_put(rill_builder *b, const rill__person *p, unsigned status,
                      bool state);
/* Reads the state of |a| to the end of |tape|. */
rill_value rill__state_read(rill__tape *tape, const rill__attending *a);
/* The attending whose state is the person's; NULL: none. */
const rill__attending *rill__person_stating(const rill__person *p);
/*
 * Sends an event to those of |to| that are there: kept for nobody, held back
 * for nobody.  With |key| it takes the place of an older one.
 */
int rill__tell(rill_hub *hub, rill__space *space, const rill_to *to,
               const char *name, const rill_builder *args, rill_str key);

/* presence.c */
/* Hooks of the peers; joined is false where there is no memory. */
bool rill__presence_joined(rill__peer *p, rill__room *room);
void rill__presence_left(rill__peer *p, rill__room *room);
void rill__presence_opened(rill__peer *p);
void rill__presence_away(rill__peer *p);
void rill__presence_back(rill__peer *p);
void rill__presence_closed(rill__peer *p); /* it is being freed */
/* The options of |room| are others; false: no memory. */
bool rill__presence_follow(rill_hub *hub, rill__room *room);
void rill__presence_free(rill_hub *hub, rill__presence *presence);
void rill__presence_tick(rill__timer *timer);
void rill__presence_acted(rill__attending *a); /* an event came */
unsigned rill__attending_shows(const rill__attending *a);
rill__attending *rill__attending_of(rill__peer *p); /* NULL: no memory */
/* The crowd that a question is about; NULL: there is none. */
rill__crowd *rill__crowd_find(const rill_hub *hub, rill_str space,
                              rill_str room);

/* watch.c */
void rill__watches_free(rill__attending *a);

#endif
