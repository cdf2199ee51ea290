#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include <float.h>
#include <stdio.h>
#include <time.h>

#include "base/value.h"
#include "mem.h"

static double read_exact(const char *text) {
  size_t len = strlen(text);
  char *exact = malloc(len + (len == 0));
  double d;

  MUST(exact != NULL);
  memcpy(exact, text, len);
  d = rill__number_double((rill_str){exact, len});
  free(exact);
  return d;
}

static const char *write_text(double d) {
  static char text[33];

  text[rill__number_text(d, text)] = '\0';
  return text;
}

static uint64_t bits_of(double d) {
  uint64_t bits;

  memcpy(&bits, &d, sizeof bits);
  return bits;
}

static double double_of(uint64_t bits) {
  double d;

  memcpy(&d, &bits, sizeof d);
  return d;
}

static bool is_finite(double d) {
  return d >= -DBL_MAX && d <= DBL_MAX;
}

/* Is the time of a test, in ms of the processor, not over yet? */
static bool within(clock_t begin, int ms) {
  return (clock() - begin) / (CLOCKS_PER_SEC / 1000) < ms;
}

static void same_as_libc(const char *text) {
  if (bits_of(read_exact(text)) != bits_of(strtod(text, NULL)))
    fail_msg("%s reads as %a", text, read_exact(text));
}

static void test_number_hard_ones(void **state) {
  static const char *const texts[] = {
      "0",
      "-0",
      "0.0",
      "-0e99999",
      "0e-99999",
      "1",
      "-1",
      "1e0",
      "1E+2",
      "0.1",
      "0.3",
      "9007199254740992",
      "9007199254740993",
      "9007199254740993.0000000000000000000000000000000001",
      "9007199254740991.5",
      "9007199254740992.5",
      "1e22",
      "1e23",
      "1e-22",
      "1e-23",
      "8.5e22",
      "123456789012345678901234567890",
      "2.2250738585072011e-308",
      "2.2250738585072012e-308",
      "2.2250738585072014e-308",
      "4.9406564584124654e-324",
      "5e-324",
      "2.4703282292062327208e-324",
      "2.4703282292062327209e-324",
      "2.4703282292062327e-324",
      "2e-324",
      "3e-324",
      "9.9e-325",
      "1e-325",
      "0.9e-324",
      "1e-400",
      "1e-99999999999",
      "1.7976931348623157e308",
      "1.7976931348623158e308",
      "1.7976931348623159e308",
      "1.8e308",
      "1e309",
      "1e310",
      "0.1e310",
      "1e99999999999",
      "-1e400",
      "0.00000000000000000000000000000000000000000000000000000001e364",
      "10000000000000000000000000000000000000000000000000000000000e-367",
      "9999999999999999999999999999999999999999999999999999999999999999",
      "6929495644600919.5",
      "3.2378839133029012895883524125015321748630943e-319",
      "0.500000000000000166533453693773481063544750213623046875",
      "7.410984687618698162648531893023320585475897039214871466383e-324"};

  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    assert_true(strlen(texts[i]) <= RILL__NUMBER_MAX);
    same_as_libc(texts[i]);
  }
}

static void test_number_form(void **state) {
  static const struct {
    double d;
    const char *text;
  } cases[] = {{0, "0"},
               {-0.0, "-0"},
               {1, "1"},
               {-1.5, "-1.5"},
               {0.1, "0.1"},
               {0.1 + 0.2, "0.30000000000000004"},
               {100, "100"},
               {1e15, "1000000000000000"},
               {123456789012345680.0, "123456789012345680"},
               {1e20, "100000000000000000000"},
               {1e21, "1e+21"},
               {1.5e21, "1.5e+21"},
               {999999999999999900000.0, "999999999999999900000"},
               {1e-6, "0.000001"},
               {1.234e-6, "0.000001234"},
               {1e-7, "1e-7"},
               {1.234e-7, "1.234e-7"},
               {1e100, "1e+100"},
               {5e-324, "5e-324"},
               {1.5e-323, "1.5e-323"},
               {DBL_MIN, "2.2250738585072014e-308"},
               {DBL_MAX, "1.7976931348623157e+308"},
               {-DBL_MAX, "-1.7976931348623157e+308"},
               {9007199254740993.0, "9007199254740992"},
               {5e-5, "0.00005"},
               {9.5367431640625e-7, "9.5367431640625e-7"},
               {299792.458, "299792.458"}};
  const double huge = DBL_MAX * 2;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_string_equal(write_text(cases[i].d), cases[i].text);
  assert_string_equal(write_text(huge), "null");
  assert_string_equal(write_text(-huge), "null");
  assert_string_equal(write_text(huge - huge), "null");
}

static void test_number_int_bounds(void **state) {
  static const struct {
    const char *text;
    bool ok, is_unsigned;
    uint64_t bits;
  } cases[] = {{"0", true, false, 0},
               {"7", true, false, 7},
               {"-7", true, false, (uint64_t)-7},
               {"9223372036854775807", true, false, INT64_MAX},
               {"9223372036854775808", true, true, (uint64_t)1 << 63},
               {"18446744073709551615", true, true, UINT64_MAX},
               {"18446744073709551616", false, false, 0},
               {"99999999999999999999", false, false, 0},
               {"-9223372036854775808", true, false, (uint64_t)1 << 63},
               {"-9223372036854775809", false, false, 0},
               {"-0", false, false, 0},
               {"1.0", false, false, 0},
               {"1e3", false, false, 0},
               {"", false, false, 0},
               {"-", false, false, 0}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t n = 0;
    bool is_unsigned = false;
    bool ok = rill__number_int(rill_s(cases[i].text), &n, &is_unsigned);
    assert_int_equal(ok, cases[i].ok);
    if (!ok)
      continue;
    assert_int_equal(is_unsigned, cases[i].is_unsigned);
    assert_true((uint64_t)n == cases[i].bits);
  }
}

/* Doubles of random bits: the text reads back, here and by libc, and libc
 * has no shorter one. */
static void test_number_random_doubles(void **state) {
  uint64_t seed = 88172645463325252u;
  clock_t begin = clock();
  uint64_t n = 0;

  (void)state;
  for (; within(begin, 400) || n < 1000; n++) {
    double d = double_of(xorshift(&seed));
    char text[64];
    if (n % 3 == 0) /* as people write them */
      d = (double)(int64_t)(xorshift(&seed) % 100000000) / 1000;
    if (n % 64 == 1)
      d = double_of(bits_of(d) & 0x800fffffffffffff);
    if (!is_finite(d))
      continue;
    snprintf(text, sizeof text, "%.17g", d);
    MUST(bits_of(read_exact(text)) == bits_of(d));
    snprintf(text, sizeof text, "%s", write_text(d));
    MUST(strlen(text) <= 26);
    MUST(bits_of(read_exact(text)) == bits_of(d));
    MUST(bits_of(strtod(text, NULL)) == bits_of(d));
  }
  assert_true(n >= 1000);
}

/* How many digits that are not zeros at either end. */
static int digits_of(const char *text) {
  char digits[64];
  int n = 0;

  for (; *text != '\0' && *text != 'e'; text++)
    if (*text >= '0' && *text <= '9' && (n > 0 || *text != '0'))
      digits[n++] = *text;
  while (n > 0 && digits[n - 1] == '0')
    n--;
  return n;
}

static void test_number_is_shortest(void **state) {
  uint64_t seed = 1181783497276652981u;
  clock_t begin = clock();

  (void)state;
  for (int i = 0; within(begin, 250) || i < 1000; i++) {
    double d = double_of(xorshift(&seed));
    char text[64];
    int n = 1;
    if (i % 8 == 0)
      d = double_of(bits_of(d) & 0x800fffffffffffff);
    if (!is_finite(d) || (d >= 0 && d <= 0))
      continue;
    for (; n < 17; n++) {
      snprintf(text, sizeof text, "%.*e", n - 1, d);
      if (bits_of(strtod(text, NULL)) == bits_of(d))
        break;
    }
    snprintf(text, sizeof text, "%.*e", n - 1, d);
    if (digits_of(write_text(d)) != digits_of(text))
      fail_msg("%s for %s", write_text(d), text);
  }
}

/* Texts of up to 64 characters, of which many lie near the middle between
 * two doubles. */
static void test_number_random_texts(void **state) {
  uint64_t seed = 2862933555777941757u;
  clock_t begin = clock();

  (void)state;
  for (int i = 0; within(begin, 300) || i < 1000; i++) {
    uint64_t x = xorshift(&seed);
    char text[128];
    if (i % 2 == 0) {
      /* the exact middle of two doubles, perhaps a little off */
      unsigned long long m = (x >> 11) | 1;
      snprintf(text, sizeof text, "%llu.5%0*d", m >> 1, (int)(x % 40),
               (int)(x >> 5 & 1));
    } else {
      snprintf(text, sizeof text, "%llu%019llu.%llue%d", (unsigned long long)x,
               (unsigned long long)xorshift(&seed) % 1000000000000000000u,
               (unsigned long long)xorshift(&seed) % 1000000,
               (int)(xorshift(&seed) % 720) - 380);
    }
    MUST(strlen(text) <= RILL__NUMBER_MAX);
    same_as_libc(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_number_hard_ones),
      cmocka_unit_test(test_number_form),
      cmocka_unit_test(test_number_int_bounds),
      cmocka_unit_test(test_number_random_doubles),
      cmocka_unit_test(test_number_is_shortest),
      cmocka_unit_test(test_number_random_texts),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
