/*
 * list.h - intrusive doubly linked list with a head; all operations O(1).
 * An initialised node that is in no list points at itself.
 */
#ifndef RILL__LIST_H
#define RILL__LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rill__link {
  struct rill__link *next, *prev;
} rill__link;

#define RILL__CONTAINER(ptr, type, member)                                     \
  ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void rill__list_init(rill__link *l) { l->next = l->prev = l; }
static inline bool rill__list_empty(const rill__link *l) {
  return l->next == l;
}
static inline void rill__list_push(rill__link *list, rill__link *n) {
  n->prev = list->prev;
  n->next = list;
  list->prev->next = n;
  list->prev = n;
}
static inline void rill__list_remove(rill__link *n) {
  n->prev->next = n->next;
  n->next->prev = n->prev;
  rill__list_init(n);
}
/* The first node, taken out; NULL where the list is empty. */
static inline rill__link *rill__list_shift(rill__link *list) {
  rill__link *n = list->next;
  if (n == list)
    return NULL;
  rill__list_remove(n);
  return n;
}

/* Puts all nodes of |from| at the front of |to|. */
static inline void rill__list_splice(rill__link *to, rill__link *from) {
  if (rill__list_empty(from))
    return;
  from->prev->next = to->next;
  to->next->prev = from->prev;
  to->next = from->next;
  from->next->prev = to;
  rill__list_init(from);
}

#endif
