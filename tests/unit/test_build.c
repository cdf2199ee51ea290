#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "base/build.h"
#include "value_kit.h"

#define HUGE ((size_t)1 << 31)

typedef void (*script)(rill_builder *b);

static mem books;

static rill_builder *begin(void) {
  rill_builder *b;

  memset(&books, 0, sizeof books);
  b = rill_builder_new(mem_fn, &books);
  assert_non_null(b);
  return b;
}

static void end(rill_builder *b) {
  rill_builder_free(b);
  assert_int_equal(books.blocks, 0);
}

static void holds(const rill_builder *b, const char *want) {
  char *out;

  assert_int_equal(rill_builder_error(b), 0);
  assert_non_null(rill_builder_value(b).node);
  if (b->tape.len > 0)
    kit_check(&b->tape);
  out = kit_write(rill__builder_node(b));
  assert_string_equal(out, want);
  free(out);
}

static void write_all(rill_builder *b) {
  rill_put_null(b);
  rill_put_bool(b, true);
  rill_put_int(b, -5);
  rill_put_uint(b, UINT64_MAX);
  rill_put_double(b, 0.1);
  rill_put_text(b, "a\"b");
  rill_put_text(b, NULL);
  rill_put_bytes(b, "\xff", 1);
  rill_put_bytes(b, NULL, 0);
  rill_put_array(b);
  rill_put_array(b);
  rill_put_end(b);
  rill_put_int(b, 1);
  rill_put_end(b);
  rill_put_object(b);
  rill_set_str(b, "s", rill_s("x"));
  rill_set_text(b, "t", "y");
  rill_set_int(b, "i", INT64_MIN);
  rill_set_double(b, "d", 1e21);
  rill_set_bool(b, "b", false);
  rill_put_key(b, "o");
  rill_put_object(b);
  rill_put_end(b);
  rill_put_key_str(b, (rill_str){"", 0});
  rill_put_array(b);
  rill_put_end(b);
  rill_put_key(b, "j");
  rill_put_json(b, rill_s(" {\"k\":[1.50,\"\\u00e9\"]} "));
  rill_set_value(b, "v", (rill_value){NULL});
  rill_put_end(b);
  rill_put_json(b, rill_s("-0"));
}

static const char all[] =
    "[null,true,-5,18446744073709551615,0.1,\"a\\\"b\",\"\",{\"$bytes\":"
    "\"/w==\"},{\"$bytes\":\"\"},[[],1],{\"s\":\"x\",\"t\":\"y\",\"i\":"
    "-9223372036854775808,\"d\":1e+21,\"b\":false,\"o\":{},\"\":[],\"j\":"
    "{\"k\":[1.50,\"\xc3\xa9\"]},\"v\":null},-0]";

static void test_build_writes(void **state) {
  rill_builder *b = begin();

  (void)state;
  for (int i = 0; i < 3; i++) {
    holds(b, "[]");
    write_all(b);
    holds(b, all);
    rill_builder_clear(b);
  }
  end(b);
  rill_builder_free(NULL);
}

static void test_build_nothing(void **state) {
  rill_builder *b = begin();

  (void)state;
  holds(b, "[]");
  assert_int_equal(rill__builder_node(NULL)->type, RILL_ARRAY);
  assert_int_equal(rill__builder_node(NULL)->len, 0);
  end(b);
}

/* Text is copied: what it was made of may go. */
static void test_build_copies(void **state) {
  rill_builder *b = begin();
  char text[] = "text", json[] = "[\"in\",2.5]", key[] = "key";

  (void)state;
  rill_put_text(b, text);
  rill_put_bytes(b, text, 4);
  rill_put_json(b, rill_s(json));
  rill_put_object(b);
  rill_put_key(b, key);
  rill_put_null(b);
  rill_put_end(b);
  memset(text, '!', 4);
  memset(json, '!', sizeof json - 1);
  memset(key, '!', 3);
  holds(b, "[\"text\",{\"$bytes\":\"dGV4dA==\"},[\"in\",2.5],{\"key\":null}]");
  end(b);
}

static void test_build_copies_values(void **state) {
  rill_builder *b = begin(), *c;
  kit k;

  (void)state;
  kit_begin(&k);
  assert_int_equal(
      kit_json(&k, "{\"a\":[1,-2.5e3,\"x\"],\"_placeholder\":true,\"e\":{}}"),
      0);
  rill_put_value(b, kit_value(&k));
  rill_put_value(b, rill_value_get(kit_value(&k), "a"));
  rill_put_array(b);
  rill_put_value(b, (rill_value){NULL});
  rill_put_end(b);
  kit_end(&k);
  holds(b, "[{\"a\":[1,-2.5e3,\"x\"],\"_placeholder\":true,\"e\":{}},"
           "[1,-2.5e3,\"x\"],[null]]");
  for (uint32_t i = 0; i < b->tape.len; i++)
    assert_false(b->tape.v[i].flags & RILL__NODE_PLACEHOLDER);
  c = rill_builder_new(NULL, NULL);
  rill_put_value(c, rill_builder_value(b));
  rill_builder_clear(b);
  rill_put_value(b, rill_value_at(rill_builder_value(c), 0));
  rill_builder_free(c);
  holds(b, "[[{\"a\":[1,-2.5e3,\"x\"],\"_placeholder\":true,\"e\":{}},"
           "[1,-2.5e3,\"x\"],[null]]]");
  end(b);
}

/* A part of itself, which moves while it is copied. */
static void test_build_copies_itself(void **state) {
  rill_builder *b = begin();
  rill_value v;

  (void)state;
  rill_put_json(b, rill_s("[1,[2,\"three\"]]"));
  for (int i = 0; i < 12; i++) {
    rill_put_value(b, rill_value_at(rill_builder_value(b), 0));
    rill_put_value(b, rill_builder_value(b));
    assert_int_equal(rill_builder_error(b), 0);
    kit_check(&b->tape);
  }
  v = rill_builder_value(b);
  assert_int_equal(rill_value_size(v), 25);
  v = rill_value_at(v, 23);
  assert_true(rill_str_eq(rill_value_str(rill_value_at(rill_value_at(v, 1), 1)),
                          rill_s("three")));
  end(b);
}

static void key_at_top(rill_builder *b) {
  rill_put_key(b, "k");
}
static void key_in_array(rill_builder *b) {
  rill_put_array(b);
  rill_put_key(b, "k");
  rill_put_end(b);
}
static void key_twice(rill_builder *b) {
  rill_put_object(b);
  rill_put_key(b, "k");
  rill_set_int(b, "k", 1);
  rill_put_end(b);
}
static void key_null(rill_builder *b) {
  rill_put_object(b);
  rill_set_int(b, NULL, 1);
  rill_put_end(b);
}
static void key_missing(rill_builder *b) {
  rill_put_object(b);
  rill_put_int(b, 1);
  rill_put_end(b);
}
static void key_missing_array(rill_builder *b) {
  rill_put_object(b);
  rill_put_array(b);
}
static void key_missing_json(rill_builder *b) {
  rill_put_object(b);
  rill_put_json(b, rill_s("1"));
  rill_put_end(b);
}
static void key_missing_value(rill_builder *b) {
  rill_put_object(b);
  rill_put_value(b, (rill_value){NULL});
  rill_put_end(b);
}
static void key_alone(rill_builder *b) {
  rill_put_object(b);
  rill_put_key(b, "k");
  rill_put_end(b);
}
static void key_not_utf8(rill_builder *b) {
  rill_put_object(b);
  rill_set_int(b, "\xff", 1);
  rill_put_end(b);
}
static void text_not_utf8(rill_builder *b) {
  rill_put_text(b, "\xc3");
}
static void end_of_nothing(rill_builder *b) {
  rill_put_end(b);
}
static void left_open(rill_builder *b) {
  rill_put_array(b);
}
static void left_open_twice(rill_builder *b) {
  rill_put_array(b);
  rill_put_object(b);
  rill_put_end(b);
}
static void infinite(rill_builder *b) {
  rill_put_double(b, 1e308 * 10);
}
static void no_number(rill_builder *b) {
  double huge = 1e308 * 10;
  rill_put_double(b, huge - huge);
}
static void no_json(rill_builder *b) {
  rill_put_json(b, rill_s("[1,]"));
}
static void json_empty(rill_builder *b) {
  rill_put_json(b, rill_s(""));
}
static void text_huge(rill_builder *b) {
  rill_put_str(b, (rill_str){"", HUGE + 1});
}
static void bytes_huge(rill_builder *b) {
  rill_put_bytes(b, "", HUGE + 1);
}
static void key_huge(rill_builder *b) {
  rill_put_object(b);
  rill_put_key_str(b, (rill_str){"", HUGE + 1});
}
static void json_huge(rill_builder *b) {
  rill_put_json(b, (rill_str){"", HUGE + 1});
}
static void sum_huge(rill_builder *b) {
  rill_put_text(b, "x");
  rill_put_bytes(b, "", HUGE - 1);
}

static void test_build_errors(void **state) {
  static const struct {
    script run;
    int error;
  } cases[] = {
      {key_at_top, RILL_ERR_ARG},       {key_in_array, RILL_ERR_ARG},
      {key_twice, RILL_ERR_ARG},        {key_null, RILL_ERR_ARG},
      {key_missing, RILL_ERR_ARG},      {key_missing_array, RILL_ERR_ARG},
      {key_missing_json, RILL_ERR_ARG}, {key_missing_value, RILL_ERR_ARG},
      {key_alone, RILL_ERR_ARG},        {key_not_utf8, RILL_ERR_ARG},
      {text_not_utf8, RILL_ERR_ARG},    {end_of_nothing, RILL_ERR_ARG},
      {left_open, RILL_ERR_ARG},        {left_open_twice, RILL_ERR_ARG},
      {infinite, RILL_ERR_ARG},         {no_number, RILL_ERR_ARG},
      {no_json, RILL_ERR_PROTO},        {json_empty, RILL_ERR_PROTO},
      {text_huge, RILL_ERR_TOO_BIG},    {bytes_huge, RILL_ERR_TOO_BIG},
      {key_huge, RILL_ERR_TOO_BIG},     {json_huge, RILL_ERR_TOO_BIG},
      {sum_huge, RILL_ERR_TOO_BIG}};
  rill_builder *b = begin();

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rill_put_int(b, 1);
    cases[i].run(b);
    if (rill_builder_error(b) != cases[i].error)
      fail_msg("case %zu: %d", i, rill_builder_error(b));
    assert_null(rill_builder_value(b).node);
    if (b->depth == 0 || b->error != 0) {
      write_all(b); /* changes nothing */
      assert_int_equal(rill_builder_error(b), cases[i].error);
    }
    rill_builder_clear(b);
    rill_put_int(b, 2);
    holds(b, "[2]");
    rill_builder_clear(b);
  }
  end(b);
}

static void nest(rill_builder *b, int depth) {
  for (int i = 0; i < depth; i++)
    if (i % 2 == 0) {
      rill_put_array(b);
    } else {
      rill_put_object(b);
      rill_put_key(b, "k");
    }
}

static void unnest(rill_builder *b, int depth) {
  for (int i = depth; i-- > 0;) {
    if (i % 2 != 0 && b->has_key)
      rill_put_null(b);
    rill_put_end(b);
  }
}

/* 32 deep, whichever way the last ones come. */
static void test_build_depth(void **state) {
  rill_builder *b = begin();
  kit k;

  (void)state;
  kit_begin(&k);
  for (int depth = 30; depth <= 34; depth++) {
    int error = depth <= 32 ? 0 : RILL_ERR_TOO_BIG;
    rill_builder_clear(b);
    nest(b, depth);
    unnest(b, depth);
    assert_int_equal(rill_builder_error(b), error);
    for (int inner = 0; inner <= 4; inner++) {
      static const char *const texts[] = {"1", "[]", "[1,[2],3]", "[[[],1],{}]",
                                          "[[],[{\"a\":{\"b\":[]}}]]"};
      static const int depths[] = {0, 1, 2, 3, 5};
      error = depth + depths[inner] <= 32 ? 0 : RILL_ERR_TOO_BIG;
      rill_builder_clear(b);
      nest(b, depth);
      rill_put_json(b, rill_s(texts[inner]));
      unnest(b, depth);
      assert_int_equal(rill_builder_error(b), error);
      rill_builder_clear(b);
      assert_int_equal(kit_json(&k, texts[inner]), 0);
      nest(b, depth);
      rill_put_value(b, kit_value(&k));
      unnest(b, depth);
      assert_int_equal(rill_builder_error(b), error);
    }
  }
  kit_end(&k);
  end(b);
}

static void test_build_out_of_memory(void **state) {
  rill_builder *b = begin();
  uint64_t n;

  (void)state;
  write_all(b);
  rill_put_bytes(b, books.bytes > 0 ? all : NULL, sizeof all);
  n = books.calls;
  assert_true(n >= 4);
  end(b);
  for (uint64_t i = 1; i <= n; i++) {
    memset(&books, 0, sizeof books);
    books.fail_at = i;
    b = rill_builder_new(mem_fn, &books);
    if (i == 1) {
      assert_null(b);
      continue;
    }
    write_all(b);
    rill_put_bytes(b, all, sizeof all);
    assert_int_equal(rill_builder_error(b), RILL_ERR_NOMEM);
    assert_null(rill_builder_value(b).node);
    rill_builder_clear(b);
    write_all(b);
    holds(b, all);
    end(b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_build_writes),
      cmocka_unit_test(test_build_nothing),
      cmocka_unit_test(test_build_copies),
      cmocka_unit_test(test_build_copies_values),
      cmocka_unit_test(test_build_copies_itself),
      cmocka_unit_test(test_build_errors),
      cmocka_unit_test(test_build_depth),
      cmocka_unit_test(test_build_out_of_memory),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
