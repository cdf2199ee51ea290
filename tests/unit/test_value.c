#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "value_kit.h"

static rill_value get(const kit *k, const char *key) {
  return rill_value_get(kit_value(k), key);
}

static bool is_str(rill_str s, const char *want) {
  return rill_str_eq(s, rill_s(want));
}

static const char sample[] =
    "{\"null\":null,\"yes\":true,\"no\":false,\"int\":-7,\"whole\":1e3,"
    "\"half\":2.5,\"text\":\"hello\",\"list\":[1,[2,3],{\"x\":4},5],"
    "\"obj\":{\"a\":1,\"b\":[2]},\"big\":18446744073709551615,"
    "\"last\":\"end\"}";

static void test_value_types(void **state) {
  static const struct {
    const char *key;
    rill_type type;
    size_t size;
  } cases[] = {{"null", RILL_NULL, 0},      {"yes", RILL_BOOL, 0},
               {"int", RILL_INT, 0},        {"whole", RILL_DOUBLE, 0},
               {"half", RILL_DOUBLE, 0},    {"text", RILL_STRING, 5},
               {"list", RILL_ARRAY, 4},     {"obj", RILL_OBJECT, 2},
               {"big", RILL_INT, 0},        {"last", RILL_STRING, 3},
               {"nothing", RILL_ABSENT, 0}, {"nul", RILL_ABSENT, 0},
               {"", RILL_ABSENT, 0}};
  kit k;

  (void)state;
  kit_begin(&k);
  assert_int_equal(kit_json(&k, sample), 0);
  assert_int_equal(rill_value_size(kit_value(&k)), 11);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rill_value v = get(&k, cases[i].key);
    assert_int_equal(rill_value_type(v), cases[i].type);
    assert_int_equal(rill_value_size(v), cases[i].size);
  }
  kit_end(&k);
}

/* Every question to every value: only its own has an answer. */
static void test_value_answers_any_question(void **state) {
  rill_walk walk;
  kit k;

  (void)state;
  kit_begin(&k);
  assert_int_equal(kit_json(&k, sample), 0);
  walk = rill_walk_begin(kit_value(&k));
  for (bool more = true; more;) {
    rill_value v;
    rill_type t;
    more = rill_walk_next(&walk);
    v = walk.value; /* the absent one at the end */
    t = rill_value_type(v);
    assert_int_equal(more, t != RILL_ABSENT);
    assert_int_equal(rill_value_str(v).len > 0, t == RILL_STRING);
    assert_int_equal(rill_value_bytes(v).len, 0);
    if (t != RILL_BOOL)
      assert_true(rill_value_bool(v, true) && !rill_value_bool(v, false));
    if (t != RILL_INT && t != RILL_DOUBLE) {
      assert_int_equal(rill_value_int(v, 99), 99);
      assert_int_equal(rill_value_uint(v, 99), 99);
      assert_true(rill_value_double(v, 99) == 99);
    }
    if (t != RILL_ARRAY)
      assert_int_equal(rill_value_type(rill_value_at(v, 0)), RILL_ABSENT);
    if (t != RILL_OBJECT)
      assert_int_equal(rill_value_type(rill_value_get(v, "a")), RILL_ABSENT);
    if (t < RILL_ARRAY) {
      rill_walk none = rill_walk_begin(v);
      assert_false(rill_walk_next(&none));
    }
  }
  assert_false(rill_walk_next(&walk));
  kit_end(&k);
}

static void test_value_members(void **state) {
  rill_value list, v;
  kit k;

  (void)state;
  kit_begin(&k);
  assert_int_equal(kit_json(&k, sample), 0);
  v = kit_value(&k);
  assert_true(is_str(rill_get_str(v, "text"), "hello"));
  assert_true(is_str(rill_get_str(v, "last"), "end"));
  assert_int_equal(rill_get_str(v, "int").len, 0);
  assert_true(rill_get_bool(v, "yes", false));
  assert_false(rill_get_bool(v, "no", true));
  assert_true(rill_get_bool(v, "null", true));
  assert_int_equal(rill_get_int(v, "int", 1), -7);
  assert_int_equal(rill_get_int(v, "half", 1), 1);
  assert_int_equal(rill_get_int(v, "nothing", 5), 5);
  assert_true(rill_get_double(v, "half", 0) == 2.5);
  assert_true(rill_get_double(v, "int", 0) == -7);
  assert_int_equal(rill_get_int(get(&k, "obj"), "a", 0), 1);
  assert_int_equal(rill_value_type(rill_value_get(v, NULL)), RILL_ABSENT);
  list = get(&k, "list");
  assert_int_equal(rill_value_int(rill_value_at(list, 0), 0), 1);
  assert_int_equal(rill_value_size(rill_value_at(list, 1)), 2);
  assert_int_equal(rill_get_int(rill_value_at(list, 2), "x", 0), 4);
  assert_int_equal(rill_value_int(rill_value_at(list, 3), 0), 5);
  assert_int_equal(rill_value_type(rill_value_at(list, 4)), RILL_ABSENT);
  assert_int_equal(rill_value_type(rill_value_at(list, SIZE_MAX)), RILL_ABSENT);
  /* of two, the last; a key is all its bytes */
  assert_int_equal(kit_json(&k, "{\"a\":1,\"ab\":2,\"a\":3,\"a\\u0000\":4}"),
                   0);
  assert_int_equal(rill_get_int(kit_value(&k), "a", 0), 3);
  assert_int_equal(rill_value_size(kit_value(&k)), 4);
  assert_int_equal(kit_json(&k, "{\"\":1}"), 0);
  assert_int_equal(rill_get_int(kit_value(&k), "", 0), 1);
  kit_end(&k);
}

static void test_value_walks(void **state) {
  static const char *const keys[] = {"a", "b", "c"};
  rill_walk walk;
  size_t n = 0;
  kit k;

  (void)state;
  kit_begin(&k);
  assert_int_equal(kit_json(&k, "{\"a\":[[],1],\"b\":{\"x\":{}},\"c\":2}"), 0);
  walk = rill_walk_begin(kit_value(&k));
  for (; rill_walk_next(&walk); n++)
    assert_true(n < 3 && is_str(walk.key, keys[n]));
  assert_int_equal(n, 3);
  assert_int_equal(kit_json(&k, "[[1,2],{},3]"), 0);
  walk = rill_walk_begin(kit_value(&k));
  for (n = 0; rill_walk_next(&walk); n++) {
    assert_int_equal(walk.key.len, 0);
    assert_ptr_equal(walk.value.node, rill_value_at(kit_value(&k), n).node);
  }
  assert_int_equal(n, 3);
  kit_end(&k);
}

/* Each number, as the three kinds that it may be asked for. */
static void test_value_numbers(void **state) {
  static const struct {
    const char *text;
    int64_t i;
    uint64_t u;
    double d;
  } cases[] = {{"0", 0, 0, 0},
               {"-0", 0, 0, -0.0},
               {"1e3", 1000, 1000, 1000},
               {"2.50e1", 25, 25, 25},
               {"-1.0", -1, 77, -1},
               {"0.5", 77, 77, 0.5},
               {"-5", -5, 77, -5},
               {"9223372036854775807", INT64_MAX, INT64_MAX, 0x1p63},
               {"9223372036854775808", 77, (uint64_t)1 << 63, 0x1p63},
               {"18446744073709551615", 77, UINT64_MAX, 0x1p64},
               {"18446744073709551616", 77, 77, 0x1p64},
               {"-9223372036854775808", INT64_MIN, 77, -0x1p63},
               {"-9223372036854775809", INT64_MIN, 77, -0x1p63},
               {"-9.3e18", 77, 77, -9.3e18},
               {"9.3e18", 77, 9300000000000000000u, 9.3e18},
               {"1e999", 77, 77, 77},
               {"-1e999", 77, 77, 77},
               {"1e-999", 0, 0, 0}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double d;
    assert_int_equal(kit_json(&k, cases[i].text), 0);
    d = rill_value_double(kit_value(&k), 77);
    if (rill_value_int(kit_value(&k), 77) != cases[i].i ||
        rill_value_uint(kit_value(&k), 77) != cases[i].u ||
        memcmp(&d, &cases[i].d, sizeof d) != 0)
      fail_msg("%s is something else", cases[i].text);
  }
  kit_end(&k);
}

static void test_value_bytes(void **state) {
  kit k;

  (void)state;
  kit_begin(&k);
  assert_int_equal(kit_msgpack(&k, "\x92\xc4\x02\0\xff\xa1x", 7), 0);
  assert_int_equal(rill_value_bytes(rill_value_at(kit_value(&k), 0)).len, 2);
  assert_ptr_equal(rill_value_bytes(rill_value_at(kit_value(&k), 0)).ptr,
                   k.text + 3);
  assert_int_equal(rill_value_str(rill_value_at(kit_value(&k), 0)).len, 0);
  assert_int_equal(rill_value_size(rill_value_at(kit_value(&k), 0)), 2);
  assert_int_equal(rill_value_bytes(rill_value_at(kit_value(&k), 1)).len, 0);
  kit_end(&k);
}

static void test_value_absent(void **state) {
  const rill_value absent = {NULL};
  rill_walk walk = rill_walk_begin(absent);
  char text[8];

  (void)state;
  assert_int_equal(rill_value_type(absent), RILL_ABSENT);
  assert_int_equal(rill_value_size(absent), 0);
  assert_false(rill_walk_next(&walk));
  assert_int_equal(rill_value_type(rill_value_at(absent, 0)), RILL_ABSENT);
  assert_int_equal(rill_value_type(rill_value_get(absent, "a")), RILL_ABSENT);
  assert_int_equal(rill_get_int(absent, "a", 3), 3);
  assert_int_equal(rill_value_json(absent, text, sizeof text), 4);
  assert_string_equal(text, "null");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_value_types),
      cmocka_unit_test(test_value_answers_any_question),
      cmocka_unit_test(test_value_members),
      cmocka_unit_test(test_value_walks),
      cmocka_unit_test(test_value_numbers),
      cmocka_unit_test(test_value_bytes),
      cmocka_unit_test(test_value_absent),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
