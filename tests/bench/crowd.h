/*
 * crowd.h - many clients of the envelope, in memory: without sockets what is
 * measured is the library, and nothing but the library.
 *
 * A crowd is the adapter of its hub and the clients behind it.  The time that
 * counts (crowd_begin, crowd_end) is the CPU time of the process, since a
 * store may have a thread, without what the clients do: writing and checking
 * messages stands aside.  The clock of the hub stands still but for
 * crowd_pass.
 *
 * Every message of every client goes to |heard|, which checks it.  What is
 * not as it should be ends the program: a wrong run has no figure.
 */
#ifndef BENCH_CROWD_H
#define BENCH_CROWD_H

#include <pthread.h>

#include <rill/rill.h>

enum {
  CROWD_PEERS = 10000,
  CROWD_TURN = 1000, /* how many speak in one turn of the loop */
  CROWD_WORDS = 256, /* the longest message of a client, and its end */
  CROWD_FRAME = CROWD_WORDS + 8,
  CROWD_PIECES = 4
};

typedef struct crowd crowd;

typedef struct crowd_client {
  rill_conn *conn; /* NULL: it has none */
  rill_peer peer;
  bool upgraded;
  uint8_t *rest; /* of a message that has not come whole; NULL: none */
  size_t nrest;
} crowd_client;

typedef struct crowd_taken {
  rill_conn *conn;
  size_t bytes, n;
  rill_iov v[CROWD_PIECES];
} crowd_taken;

struct crowd {
  rill_hub *hub;
  rill_time now;
  crowd_client clients[CROWD_PEERS];
  void (*heard)(crowd *c, size_t who, rill_str message);
  uint64_t messages, bytes; /* that the clients were sent, framing included */
  size_t allocated;         /* by the hub */

  uint64_t from, aside, aside_from; /* ns */
  crowd_taken taken[CROWD_PEERS];
  uint8_t *joined; /* pieces of one client, put together */
  size_t joined_size;
  uint8_t *spoken; /* of one turn */
  pthread_mutex_t lock;
  pthread_cond_t cond;
  bool woken;
};

/* crowd_clients.c */
/*
 * crowd_new makes a hub of |config|, that lets in as many as come and never
 * pings, and the route of its clients; client i is user "user-i".  With
 * |counts| what the hub allocates is counted, which no second thread may do.
 */
crowd *crowd_new(const rill_config *config, bool counts,
                 void (*heard)(crowd *c, size_t who, rill_str message));
void crowd_free(crowd *c);

void crowd_begin(crowd *c);
/* CPU time in ns since crowd_begin. */
uint64_t crowd_end(crowd *c);

/* Everybody without a conn gets one, as far as the WebSocket. */
void crowd_connect(crowd *c);
/* Everybody says what |words| writes for it. */
void crowd_say(crowd *c,
               void (*words)(crowd *c, size_t who, char out[CROWD_WORDS]));
/* The opening of the envelope, as user |who|. */
void crowd_open(crowd *c, size_t who, char out[CROWD_WORDS]);
/* The stream of |who| ends. */
void crowd_lose(crowd *c, size_t who);
/* Moves bytes until nothing moves. */
void crowd_settle(crowd *c);
/* As crowd_settle, until |*count| is |n|: a store may take its time. */
void crowd_await(crowd *c, const size_t *count, size_t n);
/* Time goes by, from one deadline to the next. */
void crowd_pass(crowd *c, rill_time ns);

/* crowd_words.c */
/* Ends the program with |what| unless |ok|. */
void crowd_must(bool ok, const char *what);
/* ... with a message that should not have come. */
void crowd_unexpected(rill_str message);
/* The size of the frame at the beginning of |bytes|; 0: it is not whole. */
size_t crowd_frame_read(rill_str bytes, rill_str *message);
/* Writes |text|, masked, into CROWD_FRAME bytes; returns the size. */
size_t crowd_frame_write(const char *text, uint8_t *out);
/* What follows the first |key| in |message|; NULL: it is not there. */
rill_str crowd_after(rill_str message, const char *key);
/* The number there; the string there, up to its quote. */
uint64_t crowd_number(rill_str message, const char *key);
void crowd_text(rill_str message, const char *key, char *out, size_t size);

/* crowd_resume.c and crowd_presence.c: each prints the members of an object. */
void crowd_resume(void);
void crowd_presence(void);

#endif
