/*
 * value.h - values as a tape: nodes in the order of the text, each container
 * followed by what is in it.
 *
 * JSON, MessagePack and builders all write the same tape, so reading,
 * checking and writing exist once.  A tape owns its nodes and an arena for
 * what had to be copied (unescaped strings); everything else is borrowed
 * from the text that was read.
 */
#ifndef RILL__VALUE_H
#define RILL__VALUE_H

#include <rill/value.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/limits.h"

/* Whatever the limits say: the writers' stack, as long as value_depth's max. */
#define RILL__VALUE_DEPTH 64
/* The longest text of a number: more digits than a double can tell apart. */
#define RILL__NUMBER_MAX 64

/* Flags of a node. */
enum {
  RILL__NODE_UNSIGNED = 1,   /* INT: |u| above INT64_MAX */
  RILL__NODE_RAW = 2,        /* DOUBLE: |ptr|, |len| is its JSON text */
  RILL__NODE_UNDEFINED = 4,  /* NULL: notepack's undefined */
  RILL__NODE_PLACEHOLDER = 8 /* OBJECT: has "_placeholder":true (JSON) */
};

/* In an object each member is two nodes, its key (a STRING) and its value. */
typedef struct rill__node {
  uint8_t type; /* rill_type */
  uint8_t flags;
  uint32_t len; /* bytes, elements, or members */
  union {
    const char *ptr; /* STRING, BYTES, raw DOUBLE */
    int64_t i;
    uint64_t u;
    double d;
    bool b;
    uint32_t nodes; /* ARRAY, OBJECT: of it and all in it */
  } u;
} rill__node;

static inline const rill__node *rill__node_next(const rill__node *n) {
  return n + (n->type >= RILL_ARRAY ? n->u.nodes : 1);
}

/* Limits of one text.  A scalar alone has depth 0; keys are nodes too. */
typedef struct rill__value_limits {
  uint32_t depth; /* nested containers: value_depth, RILL__VALUE_DEPTH */
  uint32_t nodes; /* value_nodes */
  uint32_t key;   /* bytes of an object's key: key_bytes */
} rill__value_limits;

typedef struct rill__tape {
  const rill__alloc *alloc;
  rill__node *v;
  uint32_t len, cap;
  struct rill__arena *arena; /* blocks that never move */
  bool failed;               /* out of memory */
  int limit; /* of RILL_ERR_LIMIT: which, as RILL__LIMIT_...; -1: none */
} rill__tape;

/* RILL_ERR_LIMIT, for the limit with that number (base/limits.h). */
static inline int rill__tape_over(rill__tape *t, int limit) {
  t->limit = limit;
  return RILL_ERR_LIMIT;
}

void rill__tape_init(rill__tape *t, const rill__alloc *alloc);
void rill__tape_finish(rill__tape *t);
/* Empties it; keeps a usual amount of memory (64 KiB) for the next text. */
void rill__tape_clear(rill__tape *t);
/* The next node, or NULL (and |failed|).  Earlier nodes may move. */
rill__node *rill__tape_add(rill__tape *t, rill_type type);
/* |len| bytes in the arena, or NULL (and |failed|). */
char *rill__tape_room(rill__tape *t, size_t len);

/*
 * rill__json_read appends the one value that |text| is (RFC 8259) and
 * returns 0.  Stricter than the RFC asks: UTF-8 is checked, escapes that are
 * half a surrogate pair and numbers of more than RILL__NUMBER_MAX characters
 * are malformed.  Whole numbers that fit become INT, others keep their text,
 * so that what is passed on is what came.  |text| is borrowed as long as the
 * tape.  After a failure the tape is as long as before.
 *
 * RILL_ERR_PROTO  malformed    RILL_ERR_LIMIT  beyond |limits|
 * RILL_ERR_NOMEM
 */
int rill__json_read(rill__tape *t, rill_str text,
                    const rill__value_limits *limits);
/*
 * rill__msgpack_read appends the one value that |data| is.  str must be
 * UTF-8 and keys str.  What JavaScript's encoders write is read as what it
 * meant: bin and ext of type 0 are BYTES, but fixext 1 of type 0 is
 * undefined (NULL) and fixext 8 of type 0 a date, as is the timestamp (type
 * -1): INT of milliseconds since 1970.  Other ext are refused.  A float that
 * is not finite is NULL, as it is in JSON.  Errors as above.
 */
int rill__msgpack_read(rill__tape *t, rill_str data,
                       const rill__value_limits *limits);

/*
 * How bytes are written in JSON: as {"$bytes":"<base64>"}, or as Socket.IO's
 * {"_placeholder":true,"num":N} with the bytes collected in document order.
 */
typedef struct rill__attachments {
  rill_str *v;
  uint32_t len, cap; /* |v| is the caller's; beyond |cap| only |len| grows */
} rill__attachments;

/* |n| NULL: null.  |attachments| NULL: $bytes. */
void rill__json_write(rill__bytes *out, const rill__node *n,
                      rill__attachments *attachments);
void rill__json_write_str(rill__bytes *out, rill_str text);
/*
 * Minimal widths.  Doubles are float 64; raw ones that are whole up to 2^53
 * are integers, as the same number of JavaScript would be.
 */
void rill__msgpack_write(rill__bytes *out, const rill__node *n);
void rill__msgpack_write_str(rill__bytes *out, rill_str text);
void rill__msgpack_write_int(rill__bytes *out, int64_t i);
void rill__msgpack_write_map(rill__bytes *out, uint32_t members);
void rill__msgpack_write_array(rill__bytes *out, uint32_t elements);

/*
 * JSON numbers without libc and its locale.  rill__number_double
 * is the nearest double (ties to even; beyond its range infinite) of a JSON
 * number of at most RILL__NUMBER_MAX characters.  rill__number_text writes
 * the shortest text that reads back the same, in JavaScript's form but with
 * the sign of -0, and returns its length; "null" for what is not finite.
 */
double rill__number_double(rill_str text);
size_t rill__number_text(double d, char out[32]);
/*
 * true and |*i|, where |text| (a JSON number) has neither fraction nor
 * exponent and fits; |*is_unsigned|: |*i| is the bits of a uint64_t above
 * INT64_MAX.  "-0" is none: an integer would lose the sign.
 */
bool rill__number_int(rill_str text, int64_t *i, bool *is_unsigned);

/*
 * {"$bytes":"<base64>"} objects from node |from| on become BYTES, and the
 * tape shorter.  false: bad base64, or out of memory (|failed|); what is
 * behind |from| is then of no use.
 */
bool rill__value_unpack_bytes(rill__tape *t, uint32_t from);

#endif
