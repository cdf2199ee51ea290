#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/ws.h"

static const uint8_t mask[4] = {0x01, 0x80, 0xfe, 0x5a};

/* All alignments and lengths, from blocks without slack, all phases. */
static void test_mask_equals_bytewise(void **state) {
  (void)state;
  for (size_t align = 0; align < 16; align++)
    for (size_t len = 0; len <= 300; len++) {
      size_t phase = (align * 7 + len) & 3;
      uint8_t *src = malloc(align + len + 1), *dst = malloc(align + len + 1);
      uint8_t *in = src + 1 + align, *out = dst + 1 + align;
      assert_non_null(src);
      assert_non_null(dst);
      dst[align] = 0x77;
      for (size_t i = 0; i < len; i++)
        in[i] = (uint8_t)(i * 31 + align);
      rill__ws_mask(out, in, len, mask, phase);
      for (size_t i = 0; i < len; i++)
        assert_int_equal(out[i], in[i] ^ mask[(phase + i) & 3]);
      assert_int_equal(dst[align], 0x77);
      rill__ws_mask(out, out, len, mask, phase);
      assert_memory_equal(out, in, len);
      free(src);
      free(dst);
    }
}

/* In pieces with their phases, as in one. */
static void test_mask_goes_on_at_any_phase(void **state) {
  uint8_t whole[200], parts[200];

  (void)state;
  for (size_t i = 0; i < sizeof whole; i++)
    whole[i] = parts[i] = (uint8_t)i;
  rill__ws_mask(whole, whole, sizeof whole, mask, 0);
  for (size_t at = 0, n = 0; at < sizeof parts; at += n) {
    n = at % 23 + 1;
    if (n > sizeof parts - at)
      n = sizeof parts - at;
    rill__ws_mask(parts + at, parts + at, n, mask, at);
  }
  assert_memory_equal(parts, whole, sizeof whole);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mask_equals_bytewise),
      cmocka_unit_test(test_mask_goes_on_at_any_phase),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
