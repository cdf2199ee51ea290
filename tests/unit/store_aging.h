/*
 * store_aging.h - what rill/store.h says of a READ with |keep_ms|, for any
 * store: the test of each lends its hands.
 */
#ifndef STORE_AGING_H
#define STORE_AGING_H

#include <stdbool.h>
#include <stdint.h>

typedef struct store_hands {
  void *arg;
  /* Without limits; its number. */
  uint64_t (*append)(void *arg, const char *data, uint64_t time_ms);
  /* At most two, as "2=b 3=c | 2-3": the records, and the log's ends. */
  const char *(*read)(void *arg, uint64_t from, bool reverse, uint64_t keep_ms,
                      uint64_t time_ms);
} store_hands;

static inline void store_ages(const store_hands *h) {
  const uint64_t most = UINT64_MAX;

#define READS(from, reverse, keep_ms, time_ms, text)                           \
  assert_string_equal(h->read(h->arg, from, reverse, keep_ms, time_ms), text)

  READS(0, false, 100, 9999, "| 0-0");
  h->append(h->arg, "a", 1000);
  h->append(h->arg, "b", 1050);
  h->append(h->arg, "c", 1100);
  h->append(h->arg, "d", 1150);
  READS(0, false, 0, most, "1=a 2=b | 1-4"); /* no limit */
  READS(0, false, 100, 0, "1=a 2=b | 1-4");  /* no clock */
  READS(0, false, most, most, "1=a 2=b | 1-4");
  READS(0, false, 100, 1100, "1=a 2=b | 1-4"); /* just not too old */
  READS(0, false, 100, 1101, "2=b 3=c | 2-4");
  READS(0, false, 0, 1101, "2=b 3=c | 2-4"); /* it is gone */
  READS(most, true, 100, 1201, "4=d | 4-4");
  READS(1, false, 100, 1201, "4=d | 4-4");
  READS(4, true, 100, 1201, "| 4-4");
  READS(0, false, 100, 1251, "| 5-4"); /* the newest goes, too */
  READS(most, true, 100, 1251, "| 5-4");
  READS(0, false, 100, 1000, "| 5-4"); /* and does not come again */
  assert_int_equal(h->append(h->arg, "e", 2000), 5);
  READS(0, false, 100, 2050, "5=e | 5-5");
  /* a clock that steps back: no hole between what is there */
  assert_int_equal(h->append(h->arg, "f", 10), 6);
  READS(0, false, 100, 2050, "5=e 6=f | 5-6");
  READS(most, true, 100, 2101, "| 7-6");
  assert_int_equal(h->append(h->arg, "g", 3000), 7);
  READS(most, true, 100, 3000, "7=g | 7-7");
#undef READS
}

#endif
