/* Tasks from other threads. */
#include "pair.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 4
#define EACH 5000

typedef struct board {
  rill_hub *hub;
  atomic_int wakes;
  int next[THREADS]; /* what each thread's next task must be */
  int total;
} board;

typedef struct job {
  board *b;
  int thread, n;
} job;

static board the;
static job jobs[THREADS][EACH];

static void run(rill_hub *hub, void *arg) {
  job *j = arg;

  MUST(hub == the.hub);
  MUST(j->n == j->b->next[j->thread]); /* those of one thread in order */
  j->b->next[j->thread]++;
  j->b->total++;
}

static void wake(void *arg) {
  board *b = arg;
  atomic_fetch_add(&b->wakes, 1);
}

static void *poster(void *arg) {
  int thread = (int)(intptr_t)arg;

  for (int i = 0; i < EACH; i++) {
    jobs[thread][i] = (job){&the, thread, i};
    MUST(rill_post(the.hub, run, &jobs[thread][i]) == 0);
  }
  return NULL;
}

static void test_post_from_many_threads(void **state) {
  pthread_t threads[THREADS];
  rill_time now = 1;

  (void)state;
  memset(&the, 0, sizeof the);
  assert_int_equal(rill_hub_new(&the.hub, NULL), 0);
  rill_on_wake(the.hub, wake, &the);
  for (intptr_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, poster, (void *)i), 0);
  while (the.total < THREADS * EACH)
    rill_tick(the.hub, now++);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(the.total, THREADS * EACH);
  assert_int_equal(atomic_load(&the.wakes), THREADS * EACH);
  rill_hub_free(the.hub);
}

static void say(rill_hub *hub, void *arg) {
  rill_msg m = rill_text("posted");
  (void)arg;
  rill_send_all(hub, &m);
}

static int posts;

static void again(rill_hub *hub, void *arg) {
  if (++posts < 5)
    assert_int_equal(rill_post(hub, again, arg), 0);
}

static void test_post_runs_in_the_next_tick(void **state) {
  pair *p = *state;
  end *e;

  pair_begin(p);
  e = pair_open(p);
  assert_int_equal(rill_post(p->hub, say, NULL), 0);
  assert_true(rill_deadline(p->hub) <= p->now);
  assert_string_equal(end_took(e), "");
  pair_turn(p);
  assert_string_equal(end_took(e), "text posted");
  posts = 0;
  rill_post(p->hub, again, NULL); /* one that posts waits for a tick more */
  pair_tick(p, p->hub);
  assert_int_equal(posts, 1);
  pair_tick(p, p->hub);
  assert_int_equal(posts, 2);
  pair_turn(p);
  assert_int_equal(posts, 5);
}

static void test_post_that_never_runs(void **state) {
  pair *p = *state;

  pair_begin(p);
  posts = 0;
  for (int i = 0; i < 3; i++)
    rill_post(p->hub, again, NULL);
  p->mem.fail_at = p->mem.calls + 1;
  assert_int_equal(rill_post(p->hub, again, NULL), RILL_ERR_NOMEM);
  rill_hub_free(p->hub); /* gives them back without running them */
  p->hub = NULL;
  assert_int_equal(posts, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_post_from_many_threads),
      PAIR_TEST(test_post_runs_in_the_next_tick),
      PAIR_TEST(test_post_that_never_runs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
