/*
 * build.h - the inside of a rill_builder, for who embeds one.
 *
 * Node 0 of the tape is the array of all that is written; it comes with the
 * first value.  Containers that are open have |nodes| 1 until they close.
 */
#ifndef RILL__BUILD_H
#define RILL__BUILD_H

#include "base/value.h"

/* Containers open at a time, the array of node 0 not counted. */
#define RILL__BUILD_DEPTH 32
/* Bytes of text, and nodes as one byte each. */
#define RILL__BUILD_MAX ((uint64_t)1 << 31)

struct rill_builder {
  rill__alloc own; /* of rill_builder_new */
  rill__tape tape;
  uint64_t bytes;
  int error;
  bool has_key; /* in an object: its value is next */
  uint32_t depth;
  uint32_t base; /* 1: the object of rill__builder_object, always whole */
  uint32_t open[RILL__BUILD_DEPTH];
};

/* |alloc| must outlive the builder. */
void rill__builder_init(rill_builder *b, const rill__alloc *alloc);
void rill__builder_finish(rill_builder *b);
/*
 * Empties it and begins an object that needs no end: it is whole after each
 * of its members.
 */
void rill__builder_object(rill_builder *b);
/*
 * All that is written as one array; NULL where rill_builder_error says so.
 * |b| NULL: an empty array.
 */
const rill__node *rill__builder_node(const rill_builder *b);

#endif
