/*
 * sim.h - a deterministic world around hubs: links, a clock, one source of
 * chance, and oracles that watch all the time.
 *
 * A world has nodes (a hub and its loop), links between two ends, and work
 * that is due at a time.  An end is a rill_conn of a node or a script, which
 * writes bytes by hand.  Of all that could happen next one thing is picked
 * at random, so connections are reordered among each other, never within.
 * Nothing reads a real clock, and nothing is ordered by addresses: a seed is
 * a run, the same on every machine.
 */
#ifndef SIM_H
#define SIM_H

#include <rill/rill.h>

#include "reader.h"

/* What may go wrong; each seed enables a random half. */
#define SIM_FAULTS(X)                                                          \
  X(DELAY)                                                                     \
  X(SHORT_WRITE)                                                               \
  X(SMALL_READ)                                                                \
  X(ZERO_WINDOW)                                                               \
  X(NARROW)                                                                    \
  X(RESET)                                                                     \
  X(HALF_CLOSE)                                                                \
  X(GIVE_UP)                                                                   \
  X(LATE_READ)                                                                 \
  X(LATE_TIMER)                                                                \
  X(CLOCK_BACK)                                                                \
  X(BATCH)                                                                     \
  X(NO_MEMORY)                                                                 \
  X(GARBAGE)                                                                   \
  X(BAD_FRAMES)                                                                \
  X(FLOOD)                                                                     \
  X(NO_READ)                                                                   \
  X(HALF_OPEN)                                                                 \
  X(FRAGMENTS)                                                                 \
  X(REQUESTS)                                                                  \
  X(DEFLATE)                                                                   \
  X(PAUSE)                                                                     \
  X(HANDLER_ERROR)                                                             \
  X(CLOSE)                                                                     \
  X(KEYED)                                                                     \
  X(DROP)                                                                      \
  X(AUTH)                                                                      \
  X(ASYNC_JOIN)                                                                \
  X(LARGE)                                                                     \
  X(TIGHT)                                                                     \
  X(BURST)                                                                     \
  X(ADMIT)

enum {
#define SIM_X(name) FAULT_##name,
  SIM_FAULTS(SIM_X)
#undef SIM_X
      FAULTS
};

typedef struct world world;
typedef struct node node;
typedef struct end end;
typedef struct pair pair;
typedef struct script script;
typedef struct wire wire;

/* Bytes on their way to one end. */
typedef struct lane {
  uint8_t *data;
  size_t head, len, cap; /* written and not read */
  size_t arrived;        /* of these, at the end */
  struct segment {
    size_t len;
    rill_time at;
  } * segments;
  size_t first, nsegments, segments_cap;
  rill_time last;  /* arrival of the newest segment */
  size_t window;   /* most that is written and not read */
  rill_time stuck; /* no window until then */
  rill_time delay;
  uint64_t bytes_per_sec;
  bool eof, reset; /* behind the data; instead of it */
  rill_time ended; /* when that arrives */
} lane;

struct end {
  world *w;
  uint32_t id;
  end *other;      /* NULL: it has closed */
  node *node;      /* of a conn */
  rill_conn *conn; /* NULL where a script is */
  script *script;
  wire *wire; /* of a caller; see events.h */
  lane in;
  uint64_t written, cut_at; /* the link is cut behind that many bytes */
  unsigned wants;           /* as last seen */
  bool told_end, dead;
  rill_time dial_at; /* when the dialed stream connects, else NEVER */
  int dial_error;
  pair *pair;
};

struct node {
  world *w;
  uint32_t index;
  rill_hub *hub;
  rill_limits limits;
  bool turn_open; /* something ran and rill_next_ready was not asked yet */
  rill_time late; /* the next tick comes so much too late */
  size_t live, peak;
  size_t conns;
  uint64_t ticks_here; /* without the clock moving */
};

typedef void (*todo_fn)(world *w, void *a, uint64_t b);

struct world {
  uint64_t seed, state, hash;
  uint32_t faults;
  bool trace, calm; /* calm: no more faults */
  rill_time now, wall;
  uint64_t steps, bytes, allocs;
  uint32_t ids;

  node *nodes;
  uint32_t nnodes;
  end **ends;
  uint32_t nends, ends_cap;
  struct todo {
    rill_time at;
    todo_fn fn;
    void *a;
    uint64_t b;
  } * todos;
  uint32_t ntodos, todos_cap;

  const char *command; /* that runs */
  node *entry;         /* whose rill_feed or the like runs */
  bool handling;       /* a handler runs */

  /* The scenario's: makes the server's end of a new stream. */
  end *(*accept)(world *w);
  struct scene *scene;
  struct events *events; /* of the second scene */
  struct kept *kept;     /* of the third */
};

/* What memory is filled with before and after its use. */
#define SIM_POISON 0xa5

/*
 * ---- chance ----
 * Never two of these in the arguments of one call: compilers differ in the
 * order in which they evaluate them.
 */
uint64_t sim_random(world *w);
/* Below |n|, which is not 0. */
uint32_t sim_below(world *w, uint32_t n);
bool sim_chance(world *w, uint32_t percent);
bool sim_fault(const world *w, int fault);

/* ---- the trace and the oracles ---- */
void sim_note(world *w, const char *what, uint64_t a, uint64_t b, uint64_t c);
/* Prints the seed, the oracle and how to replay it; does not return. */
_Noreturn void sim_breach(world *w, const char *oracle, const char *what,
                          uint64_t a, uint64_t b);

/* Runs a command of the library, during which no handler may run. */
#define SIM_COMMAND(w, call) ((w)->command = #call, sim_commanded((w), (call)))
int sim_commanded(world *w, int rv);
void sim_handler_enter(world *w, const rill_hub *hub);
void sim_handler_leave(world *w);

/* ---- the world ---- */
void sim_world_init(world *w, uint64_t seed, uint32_t nnodes, bool trace);
void sim_world_finish(world *w);
void sim_end_free(end *e);
void sim_ends_free(world *w);
/* Makes the hub of a node; |config| gets allocator, randomness and clock. */
void sim_node_start(world *w, uint32_t index, rill_config *config);
/* Every conn has been freed; frees the hub and looks for leaks. */
void sim_node_stop(world *w, uint32_t index);
/* The program ends here and now, with all of its streams. */
void sim_node_kill(world *w, uint32_t index);
/* Ends the turn of |n|: what rill_next_ready says is done. */
void sim_node_turn(node *n);
rill_time sim_node_now(node *n);

/* The first node's end of a new stream; without a conn where none is to be had. */
end *sim_accept(world *w, const rill_conn_info *info);
/* What the scenes of clients with events have in common. */
void sim_event_limits(rill_limits *l);
void sim_must(world *w, int rv, const char *what); /* while it is set up */

void sim_later(world *w, rill_time in, todo_fn fn, void *a, uint64_t b);
/* Runs until |until|, or until |done| says so. */
void sim_run(world *w, rill_time until, bool (*done)(world *w));

/* ---- node.c, for sim.c ---- */
/* Around every call that may run handlers. */
void sim_enter(node *n);
void sim_leave(node *n);
void sim_tell_end(end *e, int error);
void sim_write_conn(end *e);
/* Ends the turn, unless this node does more in one. */
void sim_maybe_turn(node *n);
void sim_tick(node *n);

/* ---- links ---- */
end *sim_end_new(world *w);
/* Joins two ends, with the faults of the day. */
void sim_link(world *w, end *a, end *b);
/* Joins |e| to a new end of the server's. */
void sim_connect(world *w, end *e);
/* This end is closed: the other sees the end of the stream, or a reset. */
void sim_end_close(end *e, bool reset);
/* No more bytes from this end, which reads on. */
void sim_end_shut(end *e);
size_t sim_lane_room(const world *w, const lane *p);
size_t sim_end_write(end *e, const uint8_t *data, size_t len);
/* The adapter gives the conn up without having been asked to. */
void sim_end_give_up(end *e);

/* ---- script.c: clients by hand ---- */
enum {
  SCRIPT_GOOD, /* keeps the protocol */
  SCRIPT_GARBAGE,
  SCRIPT_BAD_FRAMES,
  SCRIPT_FLOOD,
  SCRIPT_NO_READ,
  SCRIPT_HALF_OPEN,
  SCRIPT_FRAGMENTS,
  SCRIPT_REQUESTS,
  SCRIPT_KINDS
};
void script_start(world *w, int kind);
void script_free(script *s);
/* Bytes to write now? */
bool script_writable(const script *s);
void script_write(script *s);
bool script_reads(const script *s);
void script_read(script *s, const uint8_t *data, size_t len);
void script_ended(script *s);
rill_time script_next(const script *s);
/* A whole client frame, and a message of a pair. */
void script_frame(script *s, uint8_t first, const void *data, size_t len);
void script_message(script *s, uint32_t id);
void script_leave(script *s);
/* The handshake is done and no close has been said. */
bool script_is_talking(const script *s);
pair *script_pair(const script *s);

/* ---- wire.c: the streams of callers ---- */
void wire_free(wire *r);
bool wire_writable(const wire *r);
void wire_write(wire *r);
void wire_read(wire *r, const uint8_t *data, size_t len);
void wire_ended(wire *r);

/* ---- pair.c: what is known of the two sides of a connection ---- */
enum { SIDE_NONE, SIDE_OPEN, SIDE_CLOSED };

/* Messages one way, in the order in which they were sent. */
typedef struct flow {
  struct entry {
    uint32_t id;
    uint8_t key; /* 0: none */
    bool may_drop, maybe, seen;
  } * v;
  size_t n, cap;
  size_t next;       /* the first that may come now */
  size_t droppable;  /* those before it may have been dropped */
  size_t key_at[16]; /* per key, behind the last seen */
  uint64_t seen;
} flow;

struct pair {
  world *w;
  uint32_t id;
  script *script;   /* the client, by hand */
  rill_peer client; /* the client, dialed */
  node *client_node;
  rill_peer server;
  int client_side, server_side;
  bool client_closing, server_closing; /* that host has begun a close */
  bool hostile;
  uint16_t client_code, server_code; /* of the host's rill_close */
  flow down, up;                     /* from and to the server */
  uint32_t rooms, rooms_maybe;
  uint32_t user;  /* 0: nobody */
  bool paused[2]; /* server, client */
  bool busy[2];   /* rill_send said so: on_drain is owed */
};

pair *pair_new(world *w);
pair *pair_by_id(world *w, uint32_t id);
void pairs_free(world *w);

/* A new message; its bytes follow from its id. */
uint32_t message_new(world *w, size_t len, rill_kind kind);
uint32_t message_some(world *w, size_t len); /* of either kind */
/* Nobody may ever get it. */
void message_forbid(world *w, uint32_t id);
const uint8_t *message_bytes(world *w, uint32_t id, size_t *len,
                             rill_kind *kind);
rill_msg message_msg(world *w, uint32_t id);

void flow_sent(world *w, flow *f, uint32_t id, uint8_t key, bool may_drop,
               bool drops_older, bool maybe);
/* Something came: it must be the next of those that were sent. */
void flow_got(world *w, flow *f, rill_kind kind, const void *data, size_t len,
              uint32_t *id);
/* All that may not be dropped has come; counts the others. */
void flow_whole(world *w, const flow *f, const char *when, uint64_t who,
                uint64_t *dropped);

/* ---- scenario.c ---- */
void scene_run(world *w);
/* One thing goes wrong with some link. */
void scene_misfortune(world *w);
/* Links and nodes are well again, and stay so. */
void scene_calm(world *w);
void scene_add_to_tally(world *w);
/* What all runs have counted. */
void scene_print_tally(void);

#endif
