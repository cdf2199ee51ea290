#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "base/ip.h"
#include "base/ip_text.h"

static uint64_t seed = 88172645463325252u;
static uint64_t random64(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static void same_as_libc(const uint8_t ip[16]) {
  char ours[RILL__IP_TEXT_MAX], theirs[RILL__IP_TEXT_MAX];
  rill__ip back;
  size_t len = rill__ip6_text(ip, ours);

  assert_non_null(inet_ntop(AF_INET6, ip, theirs, sizeof theirs));
  assert_string_equal(ours, theirs);
  assert_int_equal(len, strlen(ours));
  assert_true(rill__ip_parse(rill_s(ours), &back));
  assert_memory_equal(back.b, ip, 16);
}

/* Every pattern of zero groups, with groups of one to four digits. */
static void test_ip_text_writes_six_as_libc(void **state) {
  (void)state;
  for (unsigned mask = 0; mask < 256; mask++)
    for (int round = 0; round < 40; round++) {
      uint8_t ip[16];
      for (int i = 0; i < 8; i++) {
        unsigned n = mask >> i & 1 ? 0 : (unsigned)(random64() >> 20) & 0xffff;
        n >>= random64() >> 40 & 15;
        if ((random64() >> 33 & 7) == 0)
          n = 0xffff;
        ip[2 * i] = (uint8_t)(n >> 8);
        ip[2 * i + 1] = (uint8_t)n;
      }
      same_as_libc(ip);
      memset(ip, 0, 10);
      ip[10] = ip[11] = 0xff;
      same_as_libc(ip);
      ip[10] = ip[11] = 0;
      same_as_libc(ip);
    }
}

static void test_ip_text_writes_four(void **state) {
  char out[RILL__IP_TEXT_MAX];

  (void)state;
  assert_int_equal(rill__ip4_text((const uint8_t[4]){0, 9, 10, 99}, out), 9);
  assert_string_equal(out, "0.9.10.99");
  rill__ip4_text((const uint8_t[4]){100, 199, 255, 20}, out);
  assert_string_equal(out, "100.199.255.20");
}

/* What base/ip.h reads is what libc reads, where it has no extras. */
static void compare(const char *text) {
  size_t len = strlen(text);
  bool six = strchr(text, ':') != NULL;
  char *exact = malloc(len + (len == 0));
  uint8_t theirs[16];
  rill__ip ours;

  memcpy(exact, text, len);
  if (rill__ip_parse((rill_str){exact, len}, &ours) !=
      (inet_pton(six ? AF_INET6 : AF_INET, text, theirs) == 1))
    fail_msg("%s", text);
  else if (inet_pton(six ? AF_INET6 : AF_INET, text, theirs) == 1)
    assert_memory_equal(six ? ours.b : ours.b + 12, theirs, six ? 16 : 4);
  free(exact);
}

static void test_ip_text_is_read_back(void **state) {
  static const char *const texts[] = {"",
                                      ".",
                                      ":",
                                      "::",
                                      ":::",
                                      "::1",
                                      "1::",
                                      "1::2",
                                      "1::2::3",
                                      ":1",
                                      "1:",
                                      "1:2:3:4:5:6:7:8",
                                      "1:2:3:4:5:6:7",
                                      "1:2:3:4:5:6:7:8:9",
                                      "::2:3:4:5:6:7:8",
                                      "1:2:3:4:5:6:7::",
                                      "1:2:3:4:5:6:7:8::",
                                      "1:2:3:4::5:6:7:8",
                                      "12345::",
                                      "g::",
                                      "::1.2.3.4",
                                      "::1.2.3",
                                      "::1.2.3.4.5",
                                      "1:2:3:4:5:6:1.2.3.4",
                                      "1:2:3:4:5:6:7:1.2.3.4",
                                      "1.2.3.4::",
                                      "::1.2.3.4:5",
                                      "::ffff:1.2.3.256",
                                      "1.2.3.4",
                                      "1.2.3",
                                      "1.2.3.4.",
                                      ".1.2.3.4",
                                      "1..2.3",
                                      "01.2.3.4",
                                      "1.2.3.04",
                                      "0.0.0.0",
                                      "255.255.255.255",
                                      "256.1.1.1",
                                      "1.2.3.4 ",
                                      " 1.2.3.4",
                                      "1.2.3.1000",
                                      "1.2.3.-4",
                                      "FFFF::AbCd",

                                      "::0.0.0.0",
                                      "1:2:3:4:5::1.2.3.4",
                                      "1:2:3:4:5:6::1.2.3.4",
                                      "::1:",
                                      "1.2.3.00"};

  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    compare(texts[i]);
  for (int i = 0; i < 200000; i++) {
    static const char parts[] = ":::::....1203fA:";
    char text[24];
    size_t n = random64() >> 30 & 15;
    for (size_t k = 0; k < n; k++)
      text[k] = parts[random64() >> 35 & 15];
    text[n] = '\0';
    compare(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ip_text_writes_six_as_libc),
      cmocka_unit_test(test_ip_text_writes_four),
      cmocka_unit_test(test_ip_text_is_read_back),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
