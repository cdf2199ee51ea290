#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "value_kit.h"

/* |text| is read, and written as |want|. */
static void reads(kit *k, const char *text, const char *want) {
  char *out;

  if (kit_json(k, text) != 0)
    fail_msg("%s is refused", text);
  kit_check(&k->tape);
  out = kit_write(k->tape.v);
  assert_string_equal(out, want);
  free(out);
}

static void refused(kit *k, const char *text, size_t len) {
  if (kit_json_n(k, text, len) != RILL_ERR_PROTO)
    fail_msg("%s is not refused", text);
  assert_int_equal(k->tape.len, 0);
}

static void test_json_takes(void **state) {
  static const struct {
    const char *text, *out;
  } cases[] = {{"null", "null"},
               {" true ", "true"},
               {"\t\r\n false", "false"},
               {"\"\"", "\"\""},
               {"[]", "[]"},
               {" { } ", "{}"},
               {"[1, 2 ,[ 3]]", "[1,2,[3]]"},
               {"{\"a\":{\"b\":[{}]},\"a\":1}", "{\"a\":{\"b\":[{}]},\"a\":1}"},
               {"{\"\":0}", "{\"\":0}"},
               {"0", "0"},
               {"-0", "-0"},
               {"-12", "-12"},
               {"18446744073709551615", "18446744073709551615"},
               {"-9223372036854775808", "-9223372036854775808"},
               {"18446744073709551616", "18446744073709551616"},
               {"[1.50,1e3,1E-07,-0.0]", "[1.50,1e3,1E-07,-0.0]"},
               {"1e999", "1e999"},
               {"\"\\u0041\\n\\/\\\\\\\"\\b\\f\\r\\t\"",
                "\"A\\n/\\\\\\\"\\b\\f\\r\\t\""},
               {"\"\\u0000\\u001f\\u007f\"", "\"\\u0000\\u001f\x7f\""},
               {"\"\\uD83D\\ude00\"", "\"\xf0\x9f\x98\x80\""},
               {"\"\\uDBFF\\uDFFF\\ud800\\udc00\"",
                "\"\xf4\x8f\xbf\xbf\xf0\x90\x80\x80\""},
               {"\"\xe2\x80\xa8 \xc3\xa9 \xf0\x9f\x98\x80\"",
                "\"\xe2\x80\xa8 \xc3\xa9 \xf0\x9f\x98\x80\""},
               {"{\"k\\u0065y\":\"v\"}", "{\"key\":\"v\"}"}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    reads(&k, cases[i].text, cases[i].out);
  kit_end(&k);
}

static void test_json_refuses(void **state) {
#define BAD(text)                                                              \
  { text, sizeof(text) - 1 }
  static const struct {
    const char *text;
    size_t len;
  } cases[] = {BAD(""),
               BAD(" "),
               BAD("nul"),
               BAD("nulll"),
               BAD("True"),
               BAD("tru e"),
               BAD("NaN"),
               BAD("Infinity"),
               BAD("-"),
               BAD("+1"),
               BAD("01"),
               BAD("-01"),
               BAD("1."),
               BAD(".5"),
               BAD("1e"),
               BAD("1e+"),
               BAD("0x10"),
               BAD("1 2"),
               BAD("1,2"),
               BAD("[1] x"),
               BAD("[1]]"),
               BAD("[1,]"),
               BAD("[,1]"),
               BAD("[1 2]"),
               BAD("["),
               BAD("]"),
               BAD("{"),
               BAD("}"),
               BAD("[}"),
               BAD("{]"),
               BAD("{\"a\"}"),
               BAD("{\"a\":}"),
               BAD("{\"a\":1,}"),
               BAD("{1:2}"),
               BAD("{a:1}"),
               BAD("{\"a\" 1}"),
               BAD("{\"a\":1 \"b\":2}"),
               BAD("'a'"),
               BAD("\"a"),
               BAD("\"a\\\""),
               BAD("\"\\"),
               BAD("\"\\u\""),
               BAD("\"\\u12\""),
               BAD("\"\\u12g4\""),
               BAD("\"\\x41\""),
               BAD("\"\\'\""),
               BAD("\"\\a\""),
               BAD("\"a\nb\""),
               BAD("\"a\tb\""),
               BAD("\"a\x01\""),
               BAD("\"\0\""),
               BAD("\0"),
               BAD("1\0"),
               BAD("[\0]"),
               BAD("/**/1"),
               BAD("1//x"),
               BAD("[1/**/]"),
               BAD("\v1"),
               BAD("[1\f]"),
               BAD("\xa0"
                   "1"),
               BAD("\xef\xbb\xbf"
                   "1"),
               BAD("\xe2\x80\xa8"
                   "1"),
               BAD("\"\x80\""),
               BAD("\"\xff\""),
               BAD("\"\xc0\x80\""),
               BAD("\"\xc3\""),
               BAD("\"\xe0\x80\x80\""),
               BAD("\"\xed\xa0\x80\""),
               BAD("\"\xf4\x90\x80\x80\""),
               BAD("\"\xf0\x80\x80\x80\""),
               BAD("\"\\ud800\""),
               BAD("\"\\udc00\""),
               BAD("\"\\ud800x\""),
               BAD("\"\\ud800\\u0041\""),
               BAD("\"\\ud800\\ud800\""),
               BAD("\"\\udc00\\ud800\""),
               BAD("\"\\ud800\\\\udc00\""),
               BAD("{\"\\udfff\":1}"),
               BAD("\"\\ud83d\\ude0\"")};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    refused(&k, cases[i].text, cases[i].len);
  /* a backslash that is itself escaped begins nothing */
  reads(&k, "\"\\\\ud800\"", "\"\\\\ud800\"");
  kit_end(&k);
}

static void test_json_limits_numbers_to_64_characters(void **state) {
  static const struct {
    const char *before, *after;
  } shapes[] = {{"", ""}, {"[", "]"}, {"[", ",1]"}, {"{\"a\":", "}"}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t n = 63; n <= 65; n++)
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
      char number[66], text[100];
      memset(number, '7', n);
      number[n] = '\0';
      snprintf(text, sizeof text, "%s%s%s", shapes[i].before, number,
               shapes[i].after);
      assert_int_equal(kit_json(&k, text), n <= 64 ? 0 : RILL_ERR_PROTO);
    }
  kit_end(&k);
}

/* [[...]], and the same of objects; a scalar alone has depth 0. */
static char *nested(size_t depth, bool objects) {
  size_t len = objects ? 5 : 1;
  char *text = malloc(depth * (len + 1) + 2), *p = text;

  for (size_t i = 0; i < depth; i++, p += len)
    memcpy(p, objects ? "{\"a\":" : "[", len);
  *p++ = '1';
  memset(p, objects ? '}' : ']', depth);
  p[depth] = '\0';
  return text;
}

static void test_json_limits_depth(void **state) {
  kit k;

  (void)state;
  kit_begin(&k);
  for (uint32_t limit = 0; limit <= 100; limit += 5)
    for (uint32_t depth = limit > 0 ? limit - 1 : 0; depth <= limit + 1;
         depth++)
      for (int objects = 0; objects < 2; objects++) {
        uint32_t most = limit < 64 ? limit : 64;
        char *text = nested(depth, objects), *out;
        k.limits.depth = limit;
        if (depth > most) {
          assert_int_equal(kit_json(&k, text), RILL_ERR_LIMIT);
        } else {
          assert_int_equal(kit_json(&k, text), 0);
          kit_check(&k.tape);
          out = kit_write(k.tape.v);
          assert_string_equal(out, text);
          free(out);
        }
        free(text);
      }
  k.limits.depth = 64;
  for (uint32_t depth = 63; depth <= 65; depth++) {
    char *text = nested(depth, false);
    assert_int_equal(kit_json(&k, text), depth <= 64 ? 0 : RILL_ERR_LIMIT);
    free(text);
  }
  kit_end(&k);
}

static void test_json_limits_nodes(void **state) {
  static const char *const texts[] = {
      "[1,2,3,4,5]", "[[],[[]],{}]", "{\"a\":1,\"b\":{}}",
      "{\"a\":[],\"b\":\"c\"}", "[\"a\",true,null,1.5,[]]"};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    uint32_t n;
    k.limits.nodes = 1000;
    assert_int_equal(kit_json(&k, texts[i]), 0);
    n = k.tape.len;
    k.limits.nodes = n;
    assert_int_equal(kit_json(&k, texts[i]), 0);
    for (k.limits.nodes = n - 1; k.limits.nodes > 0; k.limits.nodes--)
      assert_int_equal(kit_json(&k, texts[i]), RILL_ERR_LIMIT);
  }
  kit_end(&k);
}

static void test_json_limits_keys(void **state) {
  kit k;

  (void)state;
  kit_begin(&k);
  k.limits.key = 4;
  assert_int_equal(kit_json(&k, "{\"abc\":\"abcdef\"}"), 0);
  assert_int_equal(kit_json(&k, "{\"abcd\":1}"), 0);
  assert_int_equal(kit_json(&k, "{\"abcde\":1}"), RILL_ERR_LIMIT);
  /* as it is, not as it is written */
  assert_int_equal(kit_json(&k, "{\"abc\\u0064\":1}"), 0);
  assert_int_equal(kit_json(&k, "{\"abc\\u0064e\":1}"), RILL_ERR_LIMIT);
  kit_end(&k);
}

static void test_json_borrows_from_the_text(void **state) {
  kit k;
  rill_str s;
  uint64_t calls;

  (void)state;
  kit_begin(&k);
  assert_int_equal(kit_json(&k, "{\"key\":[\"plain\",1.5,\"esc\\n\"]}"), 0);
  assert_ptr_equal(k.tape.v[1].u.ptr, k.text + 2);
  s = rill_value_str((rill_value){&k.tape.v[3]});
  assert_ptr_equal(s.ptr, k.text + 9);
  assert_ptr_equal(k.tape.v[4].u.ptr, k.text + 16);
  s = rill_value_str((rill_value){&k.tape.v[5]});
  assert_true(s.ptr < k.text || s.ptr > k.text + 28);
  assert_memory_equal(s.ptr, "esc\n", 4);
  /* and again without an allocation */
  calls = k.m.calls;
  assert_int_equal(kit_json(&k, "[\"plain\",\"esc\\n\",{\"a\":-0}]"), 0);
  assert_true(k.m.calls == calls);
  kit_end(&k);
}

static void test_json_appends(void **state) {
  kit k;
  rill_str text;

  (void)state;
  kit_begin(&k);
  text = kit_text(&k, "[1,2]", 5);
  assert_int_equal(rill__json_read(&k.tape, text, &k.limits), 0);
  assert_int_equal(rill__json_read(&k.tape, text, &k.limits), 0);
  assert_int_equal(k.tape.len, 6);
  assert_int_equal(k.tape.v[3].u.nodes, 3);
  text.len--;
  assert_int_equal(rill__json_read(&k.tape, text, &k.limits), RILL_ERR_PROTO);
  assert_int_equal(k.tape.len, 6);
  k.limits.nodes = 3; /* of this text */
  text.len++;
  assert_int_equal(rill__json_read(&k.tape, text, &k.limits), 0);
  kit_end(&k);
}

static void test_json_marks_placeholders(void **state) {
  static const struct {
    const char *text;
    uint32_t node;
    bool marked;
  } cases[] = {{"{\"_placeholder\":true,\"num\":0}", 0, true},
               {"{\"num\":0,\"_placeholder\":true}", 0, true},
               {"[{\"_placeholder\":true}]", 1, true},
               {"[{\"_placeholder\":true}]", 0, false},
               {"{\"_placeholder\":false,\"num\":0}", 0, false},
               {"{\"_placeholder\":1}", 0, false},
               {"{\"_placeholder\":[true]}", 0, false},
               {"{\"_placeholder\":[true]}", 2, false},
               {"{\"_placeholdes\":true}", 0, false},
               {"{\"x\":{\"\\u005fplaceholder\":true}}", 2, true},
               {"{\"x\":{\"_placeholder\":true}}", 0, false},
               {"[\"_placeholder\",true]", 0, false}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(kit_json(&k, cases[i].text), 0);
    assert_int_equal((k.tape.v[cases[i].node].flags & RILL__NODE_PLACEHOLDER) !=
                         0,
                     cases[i].marked);
  }
  kit_end(&k);
}

/* Strings with escapes around the sizes at which buffers grow, between each
 * other and at each end. */
static void test_json_long_escapes(void **state) {
  static const size_t sizes[] = {1,    2045, 2046, 2047,  2048,   2049,
                                 4095, 4096, 8192, 16384, 100000, 262144};
  size_t n = sizeof sizes / sizeof *sizes;
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) {
      size_t a = sizes[i], b = sizes[j];
      char *text = malloc(a + b + 16), *p = text;
      *p++ = '[';
      *p++ = '"';
      memset(p, 'a', a);
      memcpy(p + a - 1, "\\n\",\"\\t", 7);
      p += a + 6;
      memset(p, 'b', b);
      memcpy(p + b, "\"]", 3);
      assert_int_equal(kit_json(&k, text), 0);
      assert_int_equal(k.tape.v[1].len, a);
      assert_int_equal(k.tape.v[1].u.ptr[a - 1], '\n');
      assert_int_equal(k.tape.v[2].len, b + 1);
      assert_int_equal(k.tape.v[2].u.ptr[b], 'b');
      p[b] = '\0'; /* without an end */
      assert_int_equal(kit_json(&k, text), RILL_ERR_PROTO);
      free(text);
    }
  kit_end(&k);
}

/* Many escapes before a far quote are no reason to look for it often. */
static void test_json_escapes_cost_once(void **state) {
  size_t n = 1 << 20;
  char *text = malloc(2 * n + 3);
  kit k;

  (void)state;
  kit_begin(&k);
  text[0] = '"';
  for (size_t i = 0; i < n; i++)
    memcpy(text + 1 + 2 * i, "\\n", 2);
  memcpy(text + 1 + 2 * n, "\"", 2);
  assert_int_equal(kit_json(&k, text), 0);
  assert_int_equal(k.tape.v[0].len, n);
  free(text);
  kit_end(&k);
}

/* What fails fails as NOMEM and leaves nothing. */
static void test_json_out_of_memory(void **state) {
  static const char before[] = "[1,\"\\n\",[\"x\",2.5e3,{\"k\\u0065y\":\"";
  static const char after[] = "\\u00e9\"}]]";
  size_t head = sizeof before - 1, body = 9000;
  char *text = malloc(head + body + sizeof after);
  uint64_t n;
  kit k;

  (void)state;
  memcpy(text, before, head);
  memset(text + head, 'a', body);
  memcpy(text + head + body, after, sizeof after);
  kit_begin(&k);
  assert_int_equal(kit_json(&k, text), 0);
  n = k.m.calls;
  assert_true(n >= 4);
  kit_end(&k);
  for (uint64_t i = 1; i <= n; i++) {
    kit_begin(&k);
    k.m.fail_at = i;
    assert_int_equal(kit_json(&k, text), RILL_ERR_NOMEM);
    assert_int_equal(k.tape.len, 0);
    /* with memory again */
    assert_int_equal(kit_json(&k, text), 0);
    kit_end(&k);
  }
  free(text);
}

static void test_json_writes_attachments(void **state) {
  static const rill__node nodes[] = {
      {.type = RILL_ARRAY, .len = 3, .u.nodes = 4},
      {.type = RILL_BYTES, .len = 2, .u.ptr = "ab"},
      {.type = RILL_BYTES},
      {.type = RILL_BYTES, .len = 1, .u.ptr = "\xff"}};
  rill_str v[2];
  rill__attachments a = {v, 0, 2};
  rill__bytes out;

  (void)state;
  rill__bytes_init(&out, &rill__alloc_default);
  rill__json_write(&out, nodes, &a);
  rill__bytes_add(&out, "", 1);
  assert_string_equal((char *)out.data, "[{\"_placeholder\":true,\"num\":0},"
                                        "{\"_placeholder\":true,\"num\":1},"
                                        "{\"_placeholder\":true,\"num\":2}]");
  assert_int_equal(a.len, 3);
  assert_ptr_equal(v[0].ptr, nodes[1].u.ptr);
  assert_int_equal(v[0].len, 2);
  assert_int_equal(v[1].len, 0);
  rill__bytes_clear(&out);
  rill__json_write(&out, nodes, NULL);
  rill__bytes_add(&out, "", 1);
  assert_string_equal((char *)out.data,
                      "[{\"$bytes\":\"YWI=\"},{\"$bytes\":\"\"},"
                      "{\"$bytes\":\"/w==\"}]");
  rill__bytes_clear(&out);
  rill__json_write(&out, NULL, NULL);
  rill__json_write_str(&out, (rill_str){"a\"\x1e\n\0", 5});
  rill__bytes_add(&out, "", 1);
  assert_string_equal((char *)out.data, "null\"a\\\"\\u001e\\n\\u0000\"");
  rill__bytes_finish(&out);
}

/* No text has a byte that could end a line or a packet. */
static void test_json_writes_no_control_bytes(void **state) {
  char all[128];
  rill__bytes out;
  kit k;

  (void)state;
  kit_begin(&k);
  rill__bytes_init(&out, &rill__alloc_default);
  for (int i = 0; i < 128; i++)
    all[i] = (char)i;
  rill__json_write_str(&out, (rill_str){all, 128});
  for (size_t i = 0; i < out.len; i++)
    assert_true(out.data[i] >= 0x20);
  assert_int_equal(kit_json_n(&k, (char *)out.data, out.len), 0);
  assert_int_equal(k.tape.v[0].len, 128);
  assert_memory_equal(k.tape.v[0].u.ptr, all, 128);
  rill__bytes_finish(&out);
  kit_end(&k);
}

/* As snprintf: cut at each size, never a byte too far. */
static void test_json_into_a_fixed_buffer(void **state) {
  static const char text[] = "{\"a\":[1,-2.5,\"x\\ny\",null,true],\"b\":{}}";
  size_t len = sizeof text - 1;
  kit k;

  (void)state;
  kit_begin(&k);
  assert_int_equal(kit_json(&k, text), 0);
  assert_int_equal(rill_value_json(kit_value(&k), NULL, 0), len);
  for (size_t size = 1; size < len + 5; size++) {
    char *room = malloc(size);
    size_t n = size - 1 < len ? size - 1 : len;
    assert_int_equal(rill_value_json(kit_value(&k), room, size), len);
    assert_memory_equal(room, text, n);
    assert_int_equal(room[n], 0);
    free(room);
  }
  kit_end(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_json_takes),
      cmocka_unit_test(test_json_refuses),
      cmocka_unit_test(test_json_limits_numbers_to_64_characters),
      cmocka_unit_test(test_json_limits_depth),
      cmocka_unit_test(test_json_limits_nodes),
      cmocka_unit_test(test_json_limits_keys),
      cmocka_unit_test(test_json_borrows_from_the_text),
      cmocka_unit_test(test_json_appends),
      cmocka_unit_test(test_json_marks_placeholders),
      cmocka_unit_test(test_json_long_escapes),
      cmocka_unit_test(test_json_escapes_cost_once),
      cmocka_unit_test(test_json_out_of_memory),
      cmocka_unit_test(test_json_writes_attachments),
      cmocka_unit_test(test_json_writes_no_control_bytes),
      cmocka_unit_test(test_json_into_a_fixed_buffer),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
