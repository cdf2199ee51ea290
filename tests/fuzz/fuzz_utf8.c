/*
 * Oracles: the same verdict as the table of RFC 3629, in one piece and in
 * three, and BAD exactly from the first byte on that cannot be right.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/utf8_slow.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x) {
  if (!x)
    abort();
}

static rill__utf8 feed(rill__utf8 state, const uint8_t *data, size_t n) {
  uint8_t *exact = malloc(n + (n == 0));

  must(exact != NULL);
  memcpy(exact, data, n);
  state = rill__utf8_feed(state, exact, n);
  free(exact);
  return state;
}

static int outcome(rill__utf8 state) {
  return state == RILL__UTF8_BAD ? -1 : state != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t a, b, at = 0;
  rill__utf8 state;
  int want;

  if (size < 2)
    return 0;
  a = data[0];
  b = data[1];
  data += 2;
  size -= 2;
  a = a < size ? a : size;
  b = a + b < size ? a + b : size;
  want = slow_utf8(data, size, &at);
  must(outcome(feed(0, data, size)) == want);
  state = feed(0, data, a);
  state = feed(state, data + a, b - a);
  state = feed(state, data + b, size - b);
  must(outcome(state) == want);
  if (want < 0) {
    must(feed(0, data, at) != RILL__UTF8_BAD);
    must(feed(0, data, at + 1) == RILL__UTF8_BAD);
  }
  return 0;
}
