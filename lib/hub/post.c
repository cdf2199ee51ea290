/*
 * post.c - tasks from other threads: a stack that any thread pushes on and
 * the hub's thread takes whole, oldest first.
 */
#include "hub/hub.h"

struct rill__task {
  rill__task *next;
  void (*fn)(rill_hub *hub, void *arg);
  void *arg;
};

int rill_post(rill_hub *hub, void (*fn)(rill_hub *hub, void *arg), void *arg) {
  rill__task *task = rill__malloc(&hub->alloc, sizeof *task);
  void (*wake)(void *arg);

  if (task == NULL)
    return RILL_ERR_NOMEM;
  *task = (rill__task){atomic_load(&hub->posted), fn, arg};
  while (!atomic_compare_exchange_weak(&hub->posted, &task->next, task))
    ;
  atomic_fetch_add(&hub->posting, 1);
  wake = atomic_load(&hub->wake);
  if (wake != NULL)
    wake(atomic_load(&hub->wake_arg));
  atomic_fetch_sub(&hub->posting, 1);
  return 0;
}

/*
 * What |wake| needs may be gone when this returns: it waits for the threads
 * that are inside the old one, which is but a write to a descriptor.
 */
void rill_on_wake(rill_hub *hub, void (*wake)(void *arg), void *arg) {
  atomic_store(&hub->wake, NULL);
  while (atomic_load(&hub->posting) > 0)
    ;
  atomic_store(&hub->wake_arg, arg);
  atomic_store(&hub->wake, wake);
  if (wake != NULL && rill__posts_waiting(hub))
    wake(arg);
}

bool rill__posts_waiting(const rill_hub *hub) {
  return atomic_load(&hub->posted) != NULL;
}

static rill__task *take(rill_hub *hub) {
  rill__task *newest = atomic_exchange(&hub->posted, NULL), *oldest = NULL;

  while (newest != NULL) {
    rill__task *next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  return oldest;
}

void rill__posts_run(rill_hub *hub) {
  rill__task *task = take(hub);

  while (task != NULL) {
    rill__task *next = task->next;
    hub->in_handler = true;
    task->fn(hub, task->arg);
    hub->in_handler = false;
    rill__free(&hub->alloc, task, sizeof *task);
    task = next;
  }
}

void rill__posts_free(rill_hub *hub) {
  rill__task *task = take(hub);

  while (task != NULL) {
    rill__task *next = task->next;
    rill__free(&hub->alloc, task, sizeof *task);
    task = next;
  }
}
