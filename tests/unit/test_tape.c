#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "value_kit.h"

static void test_tape_grows(void **state) {
  kit k;

  (void)state;
  kit_begin(&k);
  for (uint32_t i = 0; i < 5000; i++) {
    rill__node *n = rill__tape_add(&k.tape, RILL_INT);
    assert_non_null(n);
    assert_int_equal(n->u.u | n->len | n->flags, 0);
    n->u.u = i;
  }
  for (uint32_t i = 0; i < 5000; i++)
    assert_int_equal(k.tape.v[i].u.u, i);
  assert_true(k.m.calls < 12); /* it doubles */
  assert_int_equal(rill__tape_add(&k.tape, RILL_OBJECT)->u.nodes, 1);
  kit_end(&k);
}

/* Blocks stay where they are, and none is in another. */
static void test_tape_room_stays(void **state) {
  static const size_t sizes[] = {0, 1, 7, 100, 1000, 5000, 20000, 40000, 3};
  struct {
    char *at;
    size_t len;
  } rooms[400];
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < 400; i++) {
    rooms[i].len = sizes[i % (sizeof sizes / sizeof *sizes)];
    rooms[i].at = rill__tape_room(&k.tape, rooms[i].len);
    assert_non_null(rooms[i].at);
    memset(rooms[i].at, (int)(i & 0xff), rooms[i].len);
  }
  for (size_t i = 0; i < 400; i++)
    for (size_t at = 0; at < rooms[i].len; at++)
      assert_int_equal((uint8_t)rooms[i].at[at], i & 0xff);
  kit_end(&k);
}

static void test_tape_clear_keeps_64_kib(void **state) {
  uint64_t calls;
  kit k;

  (void)state;
  kit_begin(&k);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 10000; i++)
      assert_non_null(rill__tape_add(&k.tape, RILL_NULL));
    for (size_t len = 1; len < 100000; len *= 3)
      assert_non_null(rill__tape_room(&k.tape, len));
    assert_true(k.m.bytes > 200000);
    rill__tape_clear(&k.tape);
    assert_true(k.m.bytes <= 66000);
    assert_int_equal(k.tape.len, 0);
  }
  /* what is usual costs no allocation once it was there */
  for (int i = 0; i < 1000; i++)
    assert_non_null(rill__tape_add(&k.tape, RILL_NULL));
  assert_non_null(rill__tape_room(&k.tape, 3000));
  rill__tape_clear(&k.tape);
  calls = k.m.calls;
  for (int i = 0; i < 1000; i++)
    assert_non_null(rill__tape_add(&k.tape, RILL_NULL));
  assert_non_null(rill__tape_room(&k.tape, 3000));
  assert_true(k.m.calls == calls);
  kit_end(&k);
}

/* A failure sticks until clear. */
static void test_tape_out_of_memory(void **state) {
  kit k;

  (void)state;
  kit_begin(&k);
  k.m.fail_at = 1;
  assert_null(rill__tape_add(&k.tape, RILL_NULL));
  assert_true(k.tape.failed);
  assert_null(rill__tape_room(&k.tape, 1));
  assert_null(rill__tape_add(&k.tape, RILL_NULL));
  rill__tape_clear(&k.tape);
  assert_false(k.tape.failed);
  k.m.fail_at = k.m.calls + 1;
  assert_null(rill__tape_room(&k.tape, 1));
  assert_true(k.tape.failed);
  rill__tape_clear(&k.tape);
  assert_non_null(rill__tape_room(&k.tape, 1));
  assert_null(rill__tape_room(&k.tape, SIZE_MAX));
  kit_end(&k);
}

static void test_tape_unpacks_bytes(void **state) {
  static const struct {
    const char *json, *out; /* NULL: bad */
    uint32_t len, bytes;
  } cases[] = {
      {"{\"$bytes\":\"AQI=\"}", "{\"$bytes\":\"AQI=\"}", 1, 1},
      {"{\"$bytes\":\"\"}", "{\"$bytes\":\"\"}", 1, 1},
      {"{\"$bytes\":\"\\u0041QI=\"}", "{\"$bytes\":\"AQI=\"}", 1, 1},
      {"[1,{\"$bytes\":\"AQI=\"},[{\"$bytes\":\"/w==\"}],{\"a\":{\"b\":"
       "{\"$bytes\":\"\"},\"c\":[]}},2]",
       "[1,{\"$bytes\":\"AQI=\"},[{\"$bytes\":\"/w==\"}],{\"a\":{\"b\":"
       "{\"$bytes\":\"\"},\"c\":[]}},2]",
       13, 3},
      {"{\"$bytes\":1}", "{\"$bytes\":1}", 3, 0},
      {"{\"$bytes\":{\"$bytes\":\"AQ==\"}}",
       "{\"$bytes\":{\"$bytes\":\"AQ==\"}}", 3, 1},
      {"{\"$bytes\":\"AQ==\",\"x\":1}", "{\"$bytes\":\"AQ==\",\"x\":1}", 5, 0},
      {"{\"$byte\":\"AQ==\"}", "{\"$byte\":\"AQ==\"}", 3, 0},
      {"[[],[[]],{},[{}]]", "[[],[[]],{},[{}]]", 7, 0},
      {"\"$bytes\"", "\"$bytes\"", 1, 0},
      {"[\"$bytes\",\"AQ==\"]", "[\"$bytes\",\"AQ==\"]", 3, 0},
      {"{\"$bytes\":\"AQ=\"}", NULL, 0, 0},
      {"[1,{\"$bytes\":\"AR==\"}]", NULL, 0, 0}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint32_t bytes = 0;
    char *out;
    assert_int_equal(kit_json(&k, cases[i].json), 0);
    assert_int_equal(rill__value_unpack_bytes(&k.tape, 0),
                     cases[i].out != NULL);
    if (cases[i].out == NULL)
      continue;
    kit_check(&k.tape);
    assert_int_equal(k.tape.len, cases[i].len);
    for (uint32_t at = 0; at < k.tape.len; at++)
      bytes += k.tape.v[at].type == RILL_BYTES;
    assert_int_equal(bytes, cases[i].bytes);
    out = kit_write(k.tape.v);
    assert_string_equal(out, cases[i].out);
    free(out);
  }
  kit_end(&k);
}

/* From a node on; what is before stays. */
static void test_tape_unpacks_behind(void **state) {
  static const char json[] = "{\"a\":{\"$bytes\":\"AQI=\"}}";
  rill_str text;
  char *out;
  kit k;

  (void)state;
  kit_begin(&k);
  text = kit_text(&k, json, sizeof json - 1);
  assert_int_equal(rill__json_read(&k.tape, text, &k.limits), 0);
  assert_int_equal(rill__json_read(&k.tape, text, &k.limits), 0);
  assert_true(rill__value_unpack_bytes(&k.tape, 5));
  assert_int_equal(k.tape.len, 8);
  assert_int_equal(k.tape.v[2].type, RILL_OBJECT);
  assert_int_equal(k.tape.v[7].type, RILL_BYTES);
  out = kit_write(&k.tape.v[5]);
  assert_string_equal(out, json);
  free(out);
  kit_end(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tape_grows),
      cmocka_unit_test(test_tape_room_stays),
      cmocka_unit_test(test_tape_clear_keeps_64_kib),
      cmocka_unit_test(test_tape_out_of_memory),
      cmocka_unit_test(test_tape_unpacks_bytes),
      cmocka_unit_test(test_tape_unpacks_behind),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
