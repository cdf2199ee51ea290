/*
 * join.h - joins that ask first.
 */
#ifndef RILL__JOIN_H
#define RILL__JOIN_H

#include "hub/peer.h"

/*
 * rill_join_request for a client, whom the outcome is told as |id| asks.
 * Where |returns|, it has heard what was published up to number |since|, and
 * hears the rest before the outcome.
 */
#define RILL__EPOCH_MAX 32
typedef struct rill__join_how {
  bool wants, returns;
  bool by_event; /* it has asked by room:join, and is answered so */
  uint64_t id, since;
  /* what |since| counts in, as the client was told; catchup.c */
  bool has_epoch;
  char epoch[RILL__EPOCH_MAX];
  uint8_t epoch_len;
} rill__join_how;
int rill__join_ask(rill__peer *p, rill_str room, const rill__join_how *how);

/* |p| is away: what its client has asked for is not answered any more. */
void rill__joins_away(rill__peer *p);
/* Takes over what the client says. */
void rill__join_epoch(rill__join_how *how, rill_str epoch);

/* What a client that returns is told of its room. */
typedef struct rill__caught_up {
  char epoch[RILL__EPOCH_MAX];
  uint8_t epoch_len;
  bool known;          /* |last| is the newest number, |epoch| its epoch */
  bool stale;          /* |since| was of another epoch: nothing was sent */
  bool returns;
  bool later;          /* it was not let in, but may be if it asks again */
  uint64_t last;
  uint64_t gap_from, gap_to; /* numbers that are gone; 0: none */
} rill__caught_up;

/*
 * catchup.c: reads what |p| has missed in |room| since how->since and sends it.
 * 0 where that has been done, with |*out|; RILL_LATER: |serial| is handed to
 * rill__join_read, or 0 to rill__sse_caught_up; negative: it cannot be read.
 * Makes it a member.
 */
int rill__catch_up(rill__peer *p, rill_str room, const rill__join_how *how,
                   uint64_t serial, rill__caught_up *out);
/* What is known without reading of a room that has been joined. */
void rill__room_stands(const rill__peer *p, rill_str room,
                       rill__caught_up *out);
/* What a client is told that was not let in, for |status|. */
const char *rill__join_code(int status, const rill__caught_up *out);
/* Does join |serial| wait for the store? */
bool rill__join_reads(const rill__peer *p, uint64_t serial);
/*
 * The store has answered for join |serial|: 0 or an error.  Runs on_joined;
 * |p| may be gone then.
 */
void rill__join_read(rill__peer *p, uint64_t serial, int status,
                     const rill__caught_up *out);

#endif
