#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "base/base64.h"
#include "mem.h"

static const struct {
  const char *bytes, *text;
} vectors[] = {{"", ""},
               {"f", "Zg=="},
               {"fo", "Zm8="},
               {"foo", "Zm9v"},
               {"foob", "Zm9vYg=="},
               {"fooba", "Zm9vYmE="},
               {"foobar", "Zm9vYmFy"},
               {"\xfb\xff\xbf", "+/+/"}};

static int64_t decode(const char *text, uint8_t *out) {
  size_t len = strlen(text);
  char *exact = malloc(len + (len == 0));
  uint8_t *room = malloc(len / 4 * 3 + (len < 4));
  int64_t n;

  MUST(exact != NULL && room != NULL);
  memcpy(exact, text, len);
  n = rill__base64_decode(room, (rill_str){exact, len});
  if (n > 0)
    memcpy(out, room, (size_t)n);
  free(exact);
  free(room);
  return n;
}

static void test_base64_vectors(void **state) {
  uint8_t out[64];

  (void)state;
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    size_t n = strlen(vectors[i].bytes), len = strlen(vectors[i].text);
    char *text = malloc(len + 1);
    assert_int_equal(rill__base64_len(n), len);
    rill__base64_encode(text, vectors[i].bytes, n);
    assert_memory_equal(text, vectors[i].text, len);
    assert_int_equal(decode(vectors[i].text, out), n);
    assert_memory_equal(out, vectors[i].bytes, n);
    free(text);
  }
}

static void test_base64_refuses(void **state) {
  static const char *const bad[] = {
      "Z",        "Zg",      "Zg=",         "Zg===",    "=",        "====",
      "Z===",     "Zh==",    "Zm9=",        "Zm8=Zm8=", "Zg==Zg==", "Zm9-",
      "Zm_v",     "Zm9v\n",  " Zm9",        "Zm 9",     "Zg=v",     "=Zm9",
      "Zm9vZ===", "Zm9\x80", "Zm9vZm9\xc3", "\x80mmm",  "mm\x7fm",  "@AAA"};
  uint8_t out[64];

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(decode(bad[i], out), -1);
}

/* Every length and byte comes back, in place too, by one text alone. */
static void test_base64_round_trips(void **state) {
  uint64_t seed = 88172645463325252u;

  (void)state;
  for (size_t n = 0; n < 300; n++) {
    uint8_t *data = malloc(n + (n == 0));
    size_t len = rill__base64_len(n);
    char *text = malloc(len + (len == 0));
    for (size_t i = 0; i < n; i++)
      data[i] = (uint8_t)xorshift(&seed);
    rill__base64_encode(text, data, n);
    assert_int_equal(rill__base64_decode(text, (rill_str){text, len}), n);
    assert_memory_equal(text, data, n);
    free(data);
    free(text);
  }
}

/* Each letter but the right one of 256 is refused or decodes differently. */
static void test_base64_letters(void **state) {
  int valid = 0;

  (void)state;
  for (int c = 0; c < 256; c++) {
    char text[4] = {'A', 'A', 'A', (char)c};
    uint8_t out[3];
    if (rill__base64_decode(out, (rill_str){text, 4}) != 3)
      continue;
    assert_int_equal(out[0] | out[1], 0);
    rill__base64_encode(text, out, 3);
    assert_int_equal(text[3], (char)c);
    valid++;
  }
  assert_int_equal(valid, 64);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_base64_vectors),
      cmocka_unit_test(test_base64_refuses),
      cmocka_unit_test(test_base64_round_trips),
      cmocka_unit_test(test_base64_letters),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
