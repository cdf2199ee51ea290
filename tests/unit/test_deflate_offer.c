#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/deflate.h"

#define PMD "permessage-deflate"

/* All that this side can: no limits of its own. */
static const rill_deflate_opts open_opts = {.enabled = true,
                                            .server_context_takeover = true,
                                            .client_context_takeover = true,
                                            .server_max_window_bits = 15,
                                            .client_max_window_bits = 15};
/* The defaults: no takeover, 12 bits. */
static const rill_deflate_opts tight_opts = {.enabled = true};

/* NULL: no offer was acceptable. */
static void answers(const rill_deflate_opts *opts, const char *offers,
                    const char *expected, rill__pmd_params *params) {
  size_t len = strlen(offers);
  char *exact = malloc(len + 1), answer[160] = "";
  rill__pmd_params unused;
  bool ok;

  assert_non_null(exact);
  memcpy(exact, offers, len);
  ok = rill__pmd_accept(opts, (rill_str){exact, len},
                        params != NULL ? params : &unused, answer);
  free(exact);
  assert_true(ok == (expected != NULL));
  if (ok)
    assert_string_equal(answer, expected);
}

static void test_offer_is_answered(void **state) {
  rill__pmd_params p;

  (void)state;
  answers(&open_opts, PMD, PMD, &p);
  assert_false(p.server_no_takeover || p.client_no_takeover);
  assert_int_equal(p.server_bits, 15);
  assert_int_equal(p.client_bits, 15);

  answers(&open_opts,
          PMD "; client_max_window_bits; server_max_window_bits=10",
          PMD "; server_max_window_bits=10; client_max_window_bits=15", &p);
  assert_int_equal(p.server_bits, 10);

  answers(&open_opts, PMD ";server_no_context_takeover;"
                          "client_no_context_takeover",
          PMD "; server_no_context_takeover; client_no_context_takeover", &p);
  assert_true(p.server_no_takeover && p.client_no_takeover);

  answers(&tight_opts, PMD "; client_max_window_bits",
          PMD "; server_no_context_takeover; client_no_context_takeover"
              "; client_max_window_bits=12", &p);
  assert_int_equal(p.server_bits, 12);
  assert_int_equal(p.client_bits, 12);

  answers(&tight_opts, PMD "; client_max_window_bits=9",
          PMD "; server_no_context_takeover; client_no_context_takeover"
              "; client_max_window_bits=9", &p);
  assert_int_equal(p.client_bits, 9);

  answers(&open_opts, PMD "; server_max_window_bits=8",
          PMD "; server_max_window_bits=8", &p);
  assert_int_equal(p.server_bits, 8);
}

/* A client whose window cannot be limited may not keep it. */
static void test_offer_without_window_keeps_no_context(void **state) {
  rill_deflate_opts opts = open_opts;
  rill__pmd_params p;

  (void)state;
  opts.client_max_window_bits = 12;
  answers(&opts, PMD, PMD "; client_no_context_takeover", &p);
  assert_int_equal(p.client_bits, 15);
  assert_true(p.client_no_takeover);
  answers(&opts, PMD "; client_max_window_bits",
          PMD "; client_max_window_bits=12", &p);
  assert_false(p.client_no_takeover);
}

static void test_offer_window_values(void **state) {
  static const struct {
    const char *text;
    int bits; /* 0: not valid */
  } values[] = {
      {"=8", 8},      {"=9", 9},        {"=10", 10},    {"=15", 15},
      {"=\"9\"", 9},  {"=\"15\"", 15},  {"= 9", 9},     {"=9 ", 9},
      {"=\"\\9\"", 9}, {"", 0},         {"=", 0},       {"=\"\"", 0},
      {"=0", 0},      {"=1", 0},        {"=7", 0},      {"=16", 0},
      {"=015", 0},    {"=09", 0},       {"=08", 0},     {"=0x9", 0},
      {"=-9", 0},     {"=+9", 0},       {"=\"9 \"", 0}, {"=\" 9\"", 0},
      {"=4294967305", 0}, {"=150", 0},  {"=1 5", 0},    {"=\"9", 0},
      {"=9\"", 0},    {"=9;", 0},       {"=9=9", 0},    {"=\"9\\", 0},
      {"=\"9\"9", 0}, {"=a", 0},        {"=9.0", 0},    {"=1:", 0}};

  (void)state;
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    char offer[100], expected[100];
    rill__pmd_params p;
    sprintf(offer, PMD "; server_max_window_bits%s", values[i].text);
    sprintf(expected, PMD "; server_max_window_bits=%d", values[i].bits);
    answers(&open_opts, offer, values[i].bits != 0 ? expected : NULL, &p);
    if (values[i].bits != 0)
      assert_int_equal(p.server_bits, values[i].bits);
    if (values[i].text[0] == '\0')
      continue;
    sprintf(offer, PMD "; client_max_window_bits%s", values[i].text);
    sprintf(expected, PMD "; client_max_window_bits=%d", values[i].bits);
    answers(&open_opts, offer, values[i].bits != 0 ? expected : NULL, &p);
  }
}

static void test_offer_with_anything_odd_is_declined(void **state) {
  static const char *const bad[] = {
      "", " ", ",", "x", "deflate-frame", "permessage-deflatE", PMD "x",
      PMD ";", PMD "; ", PMD ";;", PMD "; =", PMD "; unknown",
      PMD "; unknown=1", PMD "; server_no_context_takeover=1",
      PMD "; server_no_context_takeover=\"\"",
      PMD "; client_no_context_takeover=true",
      PMD "; server_no_context_takeover; server_no_context_takeover",
      PMD "; client_no_context_takeover; client_no_context_takeover",
      PMD "; server_max_window_bits=10; server_max_window_bits=10",
      PMD "; client_max_window_bits; client_max_window_bits",
      PMD "; client_max_window_bits; client_max_window_bits=10",
      PMD " server_no_context_takeover", PMD "\n", PMD "; a\x01",
      "\"" PMD "\"", PMD "=1"};

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    answers(&open_opts, bad[i], NULL, NULL);
}

static void test_offer_after_offer_is_read(void **state) {
  (void)state;
  answers(&open_opts, "x-webkit-deflate-frame, " PMD, PMD, NULL);
  answers(&open_opts, "foo; bar=\"baz\"; a=1 , ,," PMD, PMD, NULL);
  answers(&open_opts, PMD "; unknown, " PMD, PMD, NULL);
  answers(&open_opts, PMD "; server_max_window_bits=7, " PMD
                          "; server_max_window_bits=9",
          PMD "; server_max_window_bits=9", NULL);
  answers(&open_opts, PMD "; client_max_window_bits=10, " PMD,
          PMD "; client_max_window_bits=10", NULL);
  /* What breaks the grammar breaks the field. */
  answers(&open_opts, "x; \"y\", " PMD, NULL, NULL);
  answers(&open_opts, "x; y=\"\", " PMD, NULL, NULL);
  answers(&open_opts, "x; y=\"a b\", " PMD, NULL, NULL);
}

static void test_offer_many_are_read_in_one_pass(void **state) {
  static const char one[] = PMD "; nothing=\"like\"; this,";
  size_t n = 20000, len = n * (sizeof one - 1);
  char *text = malloc(len + sizeof PMD - 1), answer[160];
  rill__pmd_params p;

  (void)state;
  assert_non_null(text);
  for (size_t i = 0; i < n; i++)
    memcpy(text + i * (sizeof one - 1), one, sizeof one - 1);
  assert_false(
      rill__pmd_accept(&open_opts, (rill_str){text, len}, &p, answer));
  memcpy(text + len, PMD, sizeof PMD - 1);
  assert_true(rill__pmd_accept(
      &open_opts, (rill_str){text, len + sizeof PMD - 1}, &p, answer));
  free(text);
}

static void test_offer_off_means_off(void **state) {
  static const rill_deflate_opts off = {.enabled = false};
  rill__pmd_params p;
  char offer[160];
  bool on;

  (void)state;
  answers(&off, PMD, NULL, NULL);
  rill__pmd_offer(&off, offer);
  assert_string_equal(offer, "");
  assert_true(rill__pmd_confirm(&off, (rill_str){NULL, 0}, &p, &on));
  assert_false(on);
  assert_false(rill__pmd_confirm(&off, rill_s(PMD), &p, &on));
}

static void test_offer_is_written(void **state) {
  char offer[160];

  (void)state;
  rill__pmd_offer(&open_opts, offer);
  assert_string_equal(offer, PMD "; client_max_window_bits");
  rill__pmd_offer(&tight_opts, offer);
  assert_string_equal(offer,
                      PMD "; server_no_context_takeover"
                          "; client_no_context_takeover"
                          "; server_max_window_bits=12"
                          "; client_max_window_bits=12");
}

static void test_answer_is_confirmed(void **state) {
  static const struct {
    const rill_deflate_opts *opts;
    const char *answer;
    bool fine;
    uint8_t server_bits, client_bits;
  } cases[] = {
      {&open_opts, PMD, true, 15, 15},
      {&open_opts, " " PMD " ; server_max_window_bits=8", true, 8, 15},
      {&open_opts, PMD "; client_max_window_bits=8", true, 15, 8},
      {&open_opts, PMD "; client_max_window_bits", false, 0, 0},
      {&open_opts, PMD "; client_max_window_bits=16", false, 0, 0},
      {&open_opts, PMD "; server_max_window_bits", false, 0, 0},
      {&open_opts, PMD "; unknown", false, 0, 0},
      {&open_opts, PMD ", " PMD, false, 0, 0},
      {&open_opts, "x", false, 0, 0},
      {&open_opts, " ", false, 0, 0},
      {&open_opts, PMD ", x", false, 0, 0},
      {&tight_opts, PMD, false, 0, 0},
      {&tight_opts, PMD "; server_no_context_takeover", false, 0, 0},
      {&tight_opts, PMD "; server_max_window_bits=12", false, 0, 0},
      {&tight_opts, PMD "; server_no_context_takeover"
                        "; server_max_window_bits=13", false, 0, 0},
      {&tight_opts, PMD "; server_no_context_takeover"
                        "; server_max_window_bits=11", true, 11, 12},
      {&tight_opts, PMD "; server_no_context_takeover"
                        "; client_max_window_bits=15"
                        "; server_max_window_bits=12", true, 12, 12}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rill__pmd_params p;
    bool on = false;
    assert_true(rill__pmd_confirm(cases[i].opts, rill_s(cases[i].answer), &p,
                                  &on) == cases[i].fine);
    assert_true(on == cases[i].fine);
    if (on) {
      assert_int_equal(p.server_bits, cases[i].server_bits);
      assert_int_equal(p.client_bits, cases[i].client_bits);
      assert_true(p.client_no_takeover == (cases[i].opts == &tight_opts));
    }
  }
}

/*
 * Whatever a rill client asks of a rill server is agreed on: who receives
 * has at least the window that the other side sends with.
 */
static void test_offer_and_answer_meet(void **state) {
  (void)state;
  for (uint8_t bits = 9; bits <= 15; bits++)
    for (uint8_t other = 9; other <= 15; other++)
      for (int flags = 0; flags < 16; flags++) {
        rill_deflate_opts c = {true, (flags & 1) != 0, (flags & 2) != 0,
                               bits, other, 0, 0, 0};
        rill_deflate_opts s = {true, (flags & 4) != 0, (flags & 8) != 0,
                               other, bits, 0, 0, 0};
        rill__pmd_params theirs, ours;
        char offer[160], answer[160];
        bool on;
        rill__pmd_offer(&c, offer);
        assert_true(rill__pmd_accept(&s, rill_s(offer), &theirs, answer));
        assert_true(rill__pmd_confirm(&c, rill_s(answer), &ours, &on));
        assert_true(on);
        assert_true(ours.server_bits >= theirs.server_bits);
        assert_true(theirs.client_bits >= ours.client_bits);
        assert_true(ours.server_no_takeover == theirs.server_no_takeover);
        assert_true(ours.client_no_takeover == theirs.client_no_takeover);
        assert_true(theirs.server_bits <= bits && ours.client_bits <= other);
      }
}

static void test_opts_have_ranges(void **state) {
  (void)state;
  for (int i = 0; i < 256; i++) {
    uint8_t v = (uint8_t)i;
    bool window = v == 0 || (v >= 9 && v <= 15), level = v <= 9;
    assert_true(rill__pmd_opts_ok(&(rill_deflate_opts){
                    .server_max_window_bits = v}) == window);
    assert_true(rill__pmd_opts_ok(&(rill_deflate_opts){
                    .client_max_window_bits = v}) == window);
    assert_true(rill__pmd_opts_ok(&(rill_deflate_opts){.level = v}) == level);
    assert_true(rill__pmd_opts_ok(&(rill_deflate_opts){.memory_level = v}) ==
                level);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_offer_is_answered),
      cmocka_unit_test(test_offer_without_window_keeps_no_context),
      cmocka_unit_test(test_offer_window_values),
      cmocka_unit_test(test_offer_with_anything_odd_is_declined),
      cmocka_unit_test(test_offer_after_offer_is_read),
      cmocka_unit_test(test_offer_many_are_read_in_one_pass),
      cmocka_unit_test(test_offer_off_means_off),
      cmocka_unit_test(test_offer_is_written),
      cmocka_unit_test(test_answer_is_confirmed),
      cmocka_unit_test(test_offer_and_answer_meet),
      cmocka_unit_test(test_opts_have_ranges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
