/*
 * The tape of value.h and its arena: a list of blocks, of which the first is
 * the one with room.
 */
#include "base/base64.h"
#include "base/value.h"

enum {
  NODES_MIN = 32,
  NODES_KEPT = 2048, /* of 16 bytes; with BLOCK_MAX the 64 KiB of clear */
  BLOCK_MIN = 1024,
  BLOCK_MAX = 32768
};

typedef struct rill__arena {
  struct rill__arena *next;
  size_t cap, used;
  char data[];
} arena;

void rill__tape_init(rill__tape *t, const rill__alloc *alloc) {
  *t = (rill__tape){.alloc = alloc, .limit = -1};
}

static void free_block(rill__tape *t, arena *a) {
  rill__free(t->alloc, a, sizeof *a + a->cap);
}

static void free_nodes(rill__tape *t) {
  rill__free(t->alloc, t->v, t->cap * sizeof *t->v);
  t->v = NULL;
  t->cap = 0;
}

void rill__tape_finish(rill__tape *t) {
  while (t->arena != NULL) {
    arena *next = t->arena->next;
    free_block(t, t->arena);
    t->arena = next;
  }
  free_nodes(t);
  rill__tape_init(t, t->alloc);
}

void rill__tape_clear(rill__tape *t) {
  arena *kept = NULL, *next;

  for (arena *a = t->arena; a != NULL; a = next) {
    next = a->next;
    if (a->cap > BLOCK_MAX || (kept != NULL && kept->cap >= a->cap)) {
      free_block(t, a);
      continue;
    }
    if (kept != NULL)
      free_block(t, kept);
    kept = a;
  }
  if (kept != NULL) {
    kept->next = NULL;
    kept->used = 0;
  }
  t->arena = kept;
  if (t->cap > NODES_KEPT)
    free_nodes(t);
  t->len = 0;
  t->failed = false;
  t->limit = -1;
}

static bool grow(rill__tape *t) {
  uint32_t cap = t->cap == 0 ? NODES_MIN : t->cap * 2;
  size_t size;
  rill__node *v = NULL;

  if (cap > t->cap && rill__mul_size(cap, sizeof *v, &size))
    v = rill__realloc(t->alloc, t->v, t->cap * sizeof *v, size);
  if (v == NULL) {
    t->failed = true;
    return false;
  }
  t->v = v;
  t->cap = cap;
  return true;
}

rill__node *rill__tape_add(rill__tape *t, rill_type type) {
  rill__node *n;

  if (t->failed || (t->len == t->cap && !grow(t)))
    return NULL;
  n = &t->v[t->len++];
  *n = (rill__node){.type = (uint8_t)type};
  if (type >= RILL_ARRAY)
    n->u.nodes = 1;
  return n;
}

/*
 * A block with room for |len|.  Blocks grow as more is wanted; what is large
 * gets one of its own behind the first, whose room is still good.
 */
static arena *add_block(rill__tape *t, size_t len) {
  arena *first = t->arena, *a;
  size_t cap = first == NULL ? BLOCK_MIN : first->cap * 2, size;

  if (cap > BLOCK_MAX)
    cap = BLOCK_MAX;
  if (cap < len)
    cap = len;
  if (!rill__add_size(sizeof *a, cap, &size) ||
      (a = rill__malloc(t->alloc, size)) == NULL)
    return NULL;
  *a = (arena){.cap = cap};
  if (first != NULL && len > BLOCK_MAX / 2) {
    a->next = first->next;
    first->next = a;
  } else {
    a->next = first;
    t->arena = a;
  }
  return a;
}

char *rill__tape_room(rill__tape *t, size_t len) {
  arena *a = t->arena;
  char *room;

  if (t->failed)
    return NULL;
  if (a == NULL || a->cap - a->used < len)
    a = add_block(t, len);
  if (a == NULL) {
    t->failed = true;
    return NULL;
  }
  room = a->data + a->used;
  a->used += len;
  return room;
}

/* Is |n| an object {"$bytes":"..."}? */
static bool is_packed(const rill__node *n) {
  static const char name[] = "$bytes";

  return n->type == RILL_OBJECT && n->len == 1 && n[2].type == RILL_STRING &&
         n[1].len == sizeof name - 1 &&
         memcmp(n[1].u.ptr, name, sizeof name - 1) == 0;
}

static bool unpack(rill__tape *t, rill__node *to, const rill__node *text) {
  char *room = rill__tape_room(t, text->len / 4 * 3);
  int64_t len;

  if (room == NULL)
    return false;
  len = rill__base64_decode(room, (rill_str){text->u.ptr, text->len});
  if (len < 0)
    return false;
  *to = (rill__node){.type = RILL_BYTES, .len = (uint32_t)len};
  to->u.ptr = room;
  return true;
}

/*
 * The nodes move down over those that vanish.  Each container on the way
 * knows where it ended, and gets its new length when that is reached.
 */
bool rill__value_unpack_bytes(rill__tape *t, uint32_t from) {
  struct {
    uint32_t node, end;
  } open[RILL__VALUE_DEPTH];
  uint32_t depth = 0, to = from;

  for (uint32_t at = from; at < t->len; to++) {
    rill__node *n = &t->v[at];
    if (is_packed(n)) {
      if (!unpack(t, &t->v[to], n + 2))
        return false;
      at += 3;
    } else {
      if (n->type >= RILL_ARRAY) {
        if (depth == RILL__VALUE_DEPTH)
          return false;
        open[depth].node = to;
        open[depth++].end = at + n->u.nodes;
      }
      t->v[to] = *n;
      at++;
    }
    for (; depth > 0 && open[depth - 1].end == at; depth--)
      t->v[open[depth - 1].node].u.nodes = to + 1 - open[depth - 1].node;
  }
  t->len = to;
  return true;
}
