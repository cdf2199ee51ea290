/*
 * ask.h - emits that wait for answers.
 *
 * One number serves all receivers of an emit, so that it is encoded once;
 * who of them has answered is kept in a list.
 */
#ifndef RILL__ASK_H
#define RILL__ASK_H

#include "hub/encode.h"
#include "hub/peer.h"

struct rill__ask {
  UT_hash_handle hh; /* in hub->asks */
  uint64_t id;
  rill_hub *hub;
  rill__ask *next; /* those that are over, to be told */
  rill__timer timer;
  rill_answers_fn fn;
  void *arg;
  struct rill__asked {
    rill_peer peer;
    uint32_t at; /* its answer in |answers|; UINT32_MAX: none yet */
    bool left;
  } *v;
  uint32_t n, cap, open;
  uint32_t *table; /* 1 + places in |v| by the peer's slot; open addressing */
  uint32_t places; /* of the table: a power of two */
  int status;
  bool over;
  rill__bytes answers; /* arrays as MessagePack, each behind its length */
};

/* NULL: RILL_ERR_LIMIT or RILL_ERR_NOMEM in |*rv|. */
rill__ask *rill__ask_new(rill_hub *hub, const rill_emit_opts *opts, int *rv);
/* |arg| is the ask: |p| is one of those who may answer. */
void rill__ask_expect(void *arg, rill__peer *p);
/* All are known: without any it is over at once. */
void rill__ask_begin(rill__ask *ask);
/* It has not been sent. */
void rill__ask_drop(rill__ask *ask);
/* The answer of |p|: |args| is an array node.  Unknown ones are ignored. */
void rill__ask_answer(rill__peer *p, uint64_t id, const rill__node *args);
/* |p| is gone and will not answer. */
void rill__ask_left(rill__peer *p);
void rill__ask_timeout(rill__ask *ask);
void rill__asks_deliver(rill_hub *hub);
void rill__asks_free(rill_hub *hub);

#endif
