#include "pair.h"

#include <arpa/inet.h>

#include "base/ip.h"

static void test_ip_as_inet_pton(void **state) {
  static const char *const texts[] = {
      "0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1",
      "1::", "2001:db8::1", "2001:DB8::a:0:1", "1:2:3:4:5:6:7:8",
      "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8",
      "::ffff:192.0.2.1", "::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "fe80::1",
      /* none of these is one */
      "", ".", "1", "1.2.3", "1.2.3.4.", ".1.2.3.4", "1.2.3.4.5", "1.2.3.256",
      "1.2..4", "01.2.3.4", "1.2.3.04", "1.2.3.4 ", " 1.2.3.4", "1.2.3.a",
      "0x1.2.3.4", "1.2.3.1000", "+1.2.3.4", ":", ":::", "1:", ":1", "1::2::3",
      "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
      "12345::", "g::", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:1.2.3.4", "::1.2.3",
      "::1.2.3.4:5", "1.2.3.4::", "::1.2.3.256", "::01.2.3.4", "1:::2",
      "2001:db8::-1", "::1 "};

  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    uint8_t theirs[16] = {[10] = 0xff, [11] = 0xff};
    bool is_v6 = strchr(texts[i], ':') != NULL;
    bool good = inet_pton(is_v6 ? AF_INET6 : AF_INET, texts[i],
                          is_v6 ? theirs : theirs + 12) == 1;
    size_t len = strlen(texts[i]);
    char *exact = malloc(len > 0 ? len : 1);
    rill__ip ours;
    assert_non_null(exact);
    memcpy(exact, texts[i], len);
    if (rill__ip_parse((rill_str){exact, len}, &ours) != good)
      fail_msg("%s", texts[i]);
    if (good) {
      assert_memory_equal(ours.b, theirs, 16);
      assert_int_equal(rill__ip_is_v4(&ours),
                       !is_v6 || strstr(texts[i], "ffff:") != NULL);
    }
    free(exact);
  }
}

/* Random text of the right letters: as inet_pton again. */
static void test_ip_random(void **state) {
  static const char letters[] = "0123f:::...";
  uint64_t seed = 42;
  int good = 0;

  (void)state;
  for (int i = 0; i < 200000; i++) {
    char text[24];
    size_t len = xorshift(&seed) % 20 + 1;
    uint8_t theirs[16] = {[10] = 0xff, [11] = 0xff};
    rill__ip ours;
    bool is_v6, ok;
    for (size_t k = 0; k < len; k++)
      text[k] = letters[xorshift(&seed) % (sizeof letters - 1)];
    text[len] = '\0';
    is_v6 = strchr(text, ':') != NULL;
    ok = inet_pton(is_v6 ? AF_INET6 : AF_INET, text,
                   is_v6 ? theirs : theirs + 12) == 1;
    if (rill__ip_parse((rill_str){text, len}, &ours) != ok)
      fail_msg("%s", text);
    if (ok)
      assert_memory_equal(ours.b, theirs, 16);
    good += ok;
  }
  assert_true(good > 100);
}

static void test_ip_brackets_and_zones(void **state) {
  rill__ip a, b;

  (void)state;
  assert_true(rill__ip_parse(rill_s("[2001:db8::1]"), &a));
  assert_true(rill__ip_parse(rill_s("2001:db8::1"), &b));
  assert_memory_equal(a.b, b.b, 16);
  assert_true(rill__ip_parse(rill_s("fe80::1%eth0"), &a));
  assert_true(rill__ip_parse(rill_s("fe80::1"), &b));
  assert_memory_equal(a.b, b.b, 16);
  assert_false(rill__ip_parse(rill_s("[]"), &a));
  assert_false(rill__ip_parse(rill_s("[::1"), &a));
  assert_false(rill__ip_parse((rill_str){NULL, 0}, &a));
}

static void test_ip_networks(void **state) {
  static const struct {
    const char *net, *ip;
    bool has;
  } cases[] = {{"10.0.0.0/8", "10.255.0.1", true},
               {"10.0.0.0/8", "11.0.0.0", false},
               {"10.0.0.0/8", "::ffff:10.1.1.1", true},
               {"10.0.0.0/8", "2001:db8::1", false},
               {"192.0.2.0/25", "192.0.2.127", true},
               {"192.0.2.0/25", "192.0.2.128", false},
               {"192.0.2.7", "192.0.2.7", true},
               {"192.0.2.7", "192.0.2.6", false},
               {"192.0.2.7/32", "192.0.2.7", true},
               {"0.0.0.0/0", "203.0.113.1", true},
               {"0.0.0.0/0", "::1", false},
               {"::/0", "203.0.113.1", true},
               {"2001:db8::/33", "2001:db8:7fff::", true},
               {"2001:db8::/33", "2001:db8:8000::", false},
               {"2001:db8::1/128", "2001:db8::1", true},
               {"2001:db8::1/128", "2001:db8::2", false},
               {"2001:db8::/127", "2001:db8::1", true}};
  static const char *const bad[] = {"10.0.0.0/33",   "::/129", "10.0.0.0/",
                                    "10.0.0.0/-1",   "/8",     "10.0.0.0/8 ",
                                    "10.0.0.0/1000", "unix",   "",
                                    "10/8"};
  rill__net net;
  rill__ip ip;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_true(rill__net_parse(rill_s(cases[i].net), &net));
    assert_true(rill__ip_parse(rill_s(cases[i].ip), &ip));
    if (rill__net_has(&net, &ip) != cases[i].has)
      fail_msg("%s %s", cases[i].net, cases[i].ip);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(rill__net_parse(rill_s(bad[i]), &net));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ip_as_inet_pton),
      cmocka_unit_test(test_ip_random),
      cmocka_unit_test(test_ip_brackets_and_zones),
      cmocka_unit_test(test_ip_networks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
