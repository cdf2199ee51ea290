#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "value_kit.h"

/* Bytes and the length of a literal with NULs. */
#define B(text) text, sizeof(text) - 1

static void reads(kit *k, const char *data, size_t len, const char *want) {
  char *out;

  if (kit_msgpack(k, data, len) != 0)
    fail_msg("%s is refused", want);
  kit_check(&k->tape);
  out = kit_write(k->tape.v);
  assert_string_equal(out, want);
  free(out);
}

static void writes(const rill__node *n, const char *want, size_t len) {
  rill__bytes out;

  rill__bytes_init(&out, &rill__alloc_default);
  rill__msgpack_write(&out, n);
  assert_int_equal(out.len, len);
  assert_memory_equal(out.data, want, len);
  rill__bytes_finish(&out);
}

/* What socket.io-msgpack-parser writes. */
static const struct {
  const char *data;
  size_t len;
  const char *json;
} golden[] = {
    {B("\x83\xa4type\x02\xa4"
       "data\x92\xa2hi\x01\xa3nsp\xa1/"),
     "{\"type\":2,\"data\":[\"hi\",1],\"nsp\":\"/\"}"},
    {B("\x84\xa2id\x03\xa4type\x03\xa4"
       "data\x91\xa1r\xa3nsp\xa6/admin"),
     "{\"id\":3,\"type\":3,\"data\":[\"r\"],\"nsp\":\"/admin\"}"},
    {B("\x82\xa4type\x01\xa3nsp\xa1/"), "{\"type\":1,\"nsp\":\"/\"}"},
    {B("\x93\xa6rw_JM0\x83\xa4type\x02\xa4"
       "data\x94\xa5hello\x01\xa1x\x81\xa1"
       "a\xc3\xa3nsp\xa1/\x83\xa5rooms\x90\xa6"
       "except\x90\xa5"
       "flags\x80"),
     "[\"rw_JM0\",{\"type\":2,\"data\":[\"hello\",1,\"x\",{\"a\":true}],"
     "\"nsp\":\"/\"},{\"rooms\":[],\"except\":[],\"flags\":{}}]"}};

static void test_msgpack_golden(void **state) {
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
    reads(&k, golden[i].data, golden[i].len, golden[i].json);
    writes(k.tape.v, golden[i].data, golden[i].len);
    assert_int_equal(kit_json(&k, golden[i].json), 0);
    writes(k.tape.v, golden[i].data, golden[i].len);
  }
  kit_end(&k);
}

/* Each width at its bounds: |json| is written as |data| and read from it. */
static void test_msgpack_minimal_integers(void **state) {
  static const struct {
    const char *json, *data;
    size_t len;
  } cases[] = {
      {"0", B("\0")},
      {"127", B("\x7f")},
      {"128", B("\xcc\x80")},
      {"255", B("\xcc\xff")},
      {"256", B("\xcd\x01\0")},
      {"65535", B("\xcd\xff\xff")},
      {"65536", B("\xce\0\x01\0\0")},
      {"4294967295", B("\xce\xff\xff\xff\xff")},
      {"4294967296", B("\xcf\0\0\0\x01\0\0\0\0")},
      {"9223372036854775807", B("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff")},
      {"9223372036854775808", B("\xcf\x80\0\0\0\0\0\0\0")},
      {"18446744073709551615", B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")},
      {"-1", B("\xff")},
      {"-32", B("\xe0")},
      {"-33", B("\xd0\xdf")},
      {"-128", B("\xd0\x80")},
      {"-129", B("\xd1\xff\x7f")},
      {"-32768", B("\xd1\x80\0")},
      {"-32769", B("\xd2\xff\xff\x7f\xff")},
      {"-2147483648", B("\xd2\x80\0\0\0")},
      {"-2147483649", B("\xd3\xff\xff\xff\xff\x7f\xff\xff\xff")},
      {"-9223372036854775808", B("\xd3\x80\0\0\0\0\0\0\0")}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(kit_json(&k, cases[i].json), 0);
    writes(k.tape.v, cases[i].data, cases[i].len);
    reads(&k, cases[i].data, cases[i].len, cases[i].json);
  }
  kit_end(&k);
}

static void test_msgpack_reads_any_width(void **state) {
  static const struct {
    const char *json, *data;
    size_t len;
  } cases[] = {{"1", B("\xcc\x01")},
               {"1", B("\xcf\0\0\0\0\0\0\0\x01")},
               {"1", B("\xd0\x01")},
               {"1", B("\xd1\0\x01")},
               {"1", B("\xd2\0\0\0\x01")},
               {"1", B("\xd3\0\0\0\0\0\0\0\x01")},
               {"5000000000", B("\xd3\0\0\0\x01\x2a\x05\xf2\0")},
               {"-1", B("\xd3\xff\xff\xff\xff\xff\xff\xff\xff")},
               {"-5000000000", B("\xd3\xff\xff\xff\xfe\xd5\xfa\x0e\0")},
               {"-1", B("\xd0\xff")},
               {"-1", B("\xd1\xff\xff")},
               {"-1", B("\xd2\xff\xff\xff\xff")},
               {"\"a\"", B("\xd9\x01"
                           "a")},
               {"\"a\"", B("\xda\0\x01"
                           "a")},
               {"\"a\"", B("\xdb\0\0\0\x01"
                           "a")},
               {"\"\"", B("\xa0")},
               {"[null]", B("\xdc\0\x01\xc0")},
               {"[false]", B("\xdd\0\0\0\x01\xc2")},
               {"{\"a\":1}", B("\xde\0\x01\xa1"
                               "a\x01")},
               {"{\"a\":{}}", B("\xdf\0\0\0\x01\xa1"
                                "a\x80")},
               {"{\"$bytes\":\"AQI=\"}", B("\xc4\x02\x01\x02")},
               {"{\"$bytes\":\"AQI=\"}", B("\xc5\0\x02\x01\x02")},
               {"{\"$bytes\":\"AQI=\"}", B("\xc6\0\0\0\x02\x01\x02")},
               {"{\"$bytes\":\"\"}", B("\xc4\0")},
               {"1.5", B("\xca\x3f\xc0\0\0")},
               {"-0.1", B("\xcb\xbf\xb9\x99\x99\x99\x99\x99\x9a")}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    reads(&k, cases[i].data, cases[i].len, cases[i].json);
  kit_end(&k);
}

static void test_msgpack_of_javascript(void **state) {
  static const struct {
    const char *json, *data;
    size_t len;
  } cases[] = {
      /* undefined, in the client's CONNECT */
      {"{\"type\":0,\"data\":null,\"nsp\":\"/\"}",
       B("\x83\xa4type\0\xa4"
         "data\xd4\0\0\xa3nsp\xa1/")},
      /* a Uint8Array: ext of type 0, of any length */
      {"{\"$bytes\":\"\"}", B("\xc7\0\0")},
      {"{\"$bytes\":\"BQ==\"}", B("\xc7\x01\0\x05")},
      {"{\"$bytes\":\"AQIDBAUGBwg=\"}",
       B("\xc7\x08\0\x01\x02\x03\x04\x05\x06\x07\x08")},
      {"{\"$bytes\":\"AQI=\"}", B("\xc8\0\x02\0\x01\x02")},
      {"{\"$bytes\":\"AQI=\"}", B("\xc9\0\0\0\x02\0\x01\x02")},
      {"{\"$bytes\":\"AQI=\"}", B("\xd5\0\x01\x02")},
      /* a Date */
      {"1700000000123", B("\xd7\0\0\0\x01\x8b\xcf\xe5\x68\x7b")},
      {"-1", B("\xd7\0\xff\xff\xff\xff\xff\xff\xff\xff")},
      {"1700000000000", B("\xd6\xff\x65\x53\xf1\0")},
      {"1700000000123", B("\xd7\xff\x1d\x53\x53\0\x65\x53\xf1\0")},
      {"-500", B("\xc7\x0c\xff\x1d\xcd\x65\0\xff\xff\xff\xff\xff\xff\xff\xff")},
      /* NaN and the infinities */
      {"null", B("\xcb\x7f\xf8\0\0\0\0\0\0")},
      {"null", B("\xcb\xff\xf0\0\0\0\0\0\0")},
      {"null", B("\xca\x7f\x80\0\0")}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    reads(&k, cases[i].data, cases[i].len, cases[i].json);
  assert_int_equal(kit_msgpack(&k, B("\xd4\0\0")), 0);
  assert_int_equal(k.tape.v[0].flags, RILL__NODE_UNDEFINED);
  assert_int_equal(kit_msgpack(&k, B("\xc0")), 0);
  assert_int_equal(k.tape.v[0].flags, 0);
  kit_end(&k);
}

static void test_msgpack_refuses(void **state) {
  static const struct {
    const char *data;
    size_t len;
  } cases[] = {
      {B("")},
      {B("\xc1")},
      {B("\x91")},
      {B("\x81\xa1"
         "a")},
      {B("\xa2"
         "a")},
      {B("\xc4\x02"
         "a")},
      {B("\xcc")},
      {B("\xcd\0")},
      {B("\xce\0\0\0")},
      {B("\xcf\0\0\0\0\0\0\0")},
      {B("\xcb\0\0\0\0\0\0\0")},
      {B("\xca\0\0\0")},
      {B("\xda\0")},
      {B("\xdb\xff\xff\xff\xff")},
      {B("\xdd\xff\xff\xff\xff")},
      {B("\xdf\xff\xff\xff\xff")},
      {B("\xdf\x80\0\0\0\xa0\xc0")},
      {B("\xc6\xff\xff\xff\xff")},
      {B("\xc0\xc0")},
      {B("\x90\0")},
      /* keys */
      {B("\x81\x01\x01")},
      {B("\x81\xc0\x01")},
      {B("\x81\xc4\x01"
         "a\x01")},
      {B("\x81\x90\x01")},
      {B("\x82\xa1"
         "a\x01\x01\x01")},
      {B("\x81\xa1\xff\x01")},
      /* UTF-8 */
      {B("\xa1\x80")},
      {B("\xa2\xc0\x80")},
      {B("\xa3\xed\xa0\x80")},
      {B("\xd9\x01\xc3")},
      /* ext */
      {B("\xd4\x01\0")},
      {B("\xd7\x05\0\0\0\0\0\0\0\0")},
      {B("\xc7\x01\x7f\0")},
      {B("\xc7\x05\0\0")},
      {B("\xd4\0")},
      {B("\xd7\0\0\0\0\0\0\0\0")},
      {B("\xd4\xff\0")},
      {B("\xd5\xff\0\0")},
      {B("\xc7\0\xff")},
      /* nanoseconds that are a second, seconds that are no milliseconds */
      {B("\xd7\xff\xee\x6b\x28\0\0\0\0\0")},
      {B("\xc7\x0c\xff\x3b\x9a\xca\0\0\0\0\0\0\0\0\0")},
      {B("\xc7\x0c\xff\0\0\0\0\x7f\0\0\0\0\0\0\0")},
      {B("\xc7\x0c\xff\0\0\0\0\x80\0\0\0\0\0\0\0")}};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (kit_msgpack(&k, cases[i].data, cases[i].len) != RILL_ERR_PROTO)
      fail_msg("case %zu is not refused", i);
    assert_int_equal(k.tape.len, 0);
  }
  kit_end(&k);
}

static void test_msgpack_writes_numbers(void **state) {
  static const struct {
    const char *json, *data;
    size_t len;
  } cases[] = {{"1e3", B("\xcd\x03\xe8")},
               {"-2.0", B("\xfe")},
               {"0.0", B("\0")},
               {"-0", B("\xcb\x80\0\0\0\0\0\0\0")},
               {"1.5", B("\xcb\x3f\xf8\0\0\0\0\0\0")},
               {"9007199254740992.0", B("\xcf\0\x20\0\0\0\0\0\0")},
               {"9007199254740994.0", B("\xcb\x43\x40\0\0\0\0\0\x01")},
               {"1e300", B("\xcb\x7e\x37\xe4\x3c\x88\0\x75\x9c")},
               {"1e999", B("\xc0")}};
  rill__node whole = {.type = RILL_DOUBLE, .u.d = 3};
  kit k;

  (void)state;
  kit_begin(&k);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(kit_json(&k, cases[i].json), 0);
    writes(k.tape.v, cases[i].data, cases[i].len);
  }
  writes(&whole, B("\xcb\x40\x08\0\0\0\0\0\0"));
  writes(NULL, B("\xc0"));
  kit_end(&k);
}

/* The head of what has |n| parts or bytes. */
static void head(rill_type type, uint32_t n, const char *want, size_t len) {
  rill__bytes out;
  char *text = malloc((size_t)n + 1);

  memset(text, 'x', (size_t)n + 1);
  rill__bytes_init(&out, &rill__alloc_default);
  if (type == RILL_STRING)
    rill__msgpack_write_str(&out, (rill_str){text, n});
  else if (type == RILL_ARRAY)
    rill__msgpack_write_array(&out, n);
  else if (type == RILL_OBJECT)
    rill__msgpack_write_map(&out, n);
  else
    rill__msgpack_write(
        &out, &(rill__node){.type = RILL_BYTES, .len = n, .u.ptr = text});
  assert_memory_equal(out.data, want, len);
  assert_int_equal(out.len, len + (type < RILL_ARRAY ? n : 0));
  rill__bytes_finish(&out);
  free(text);
}

static void test_msgpack_minimal_heads(void **state) {
  (void)state;
  head(RILL_STRING, 0, B("\xa0"));
  head(RILL_STRING, 31, B("\xbf"));
  head(RILL_STRING, 32, B("\xd9\x20"));
  head(RILL_STRING, 255, B("\xd9\xff"));
  head(RILL_STRING, 256, B("\xda\x01\0"));
  head(RILL_STRING, 65535, B("\xda\xff\xff"));
  head(RILL_STRING, 65536, B("\xdb\0\x01\0\0"));
  head(RILL_BYTES, 0, B("\xc4\0"));
  head(RILL_BYTES, 255, B("\xc4\xff"));
  head(RILL_BYTES, 256, B("\xc5\x01\0"));
  head(RILL_BYTES, 65536, B("\xc6\0\x01\0\0"));
  head(RILL_ARRAY, 15, B("\x9f"));
  head(RILL_ARRAY, 16, B("\xdc\0\x10"));
  head(RILL_ARRAY, 65535, B("\xdc\xff\xff"));
  head(RILL_ARRAY, 65536, B("\xdd\0\x01\0\0"));
  head(RILL_OBJECT, 15, B("\x8f"));
  head(RILL_OBJECT, 16, B("\xde\0\x10"));
  head(RILL_OBJECT, 65536, B("\xdf\0\x01\0\0"));
}

static void test_msgpack_limits(void **state) {
  char deep[101];
  kit k;

  (void)state;
  kit_begin(&k);
  memset(deep, '\x91', 100);
  deep[100] = '\x01';
  for (uint32_t limit = 0; limit <= 80; limit += 8)
    for (uint32_t depth = limit > 0 ? limit - 1 : 0; depth <= limit + 1;
         depth++) {
      uint32_t most = limit < 64 ? limit : 64;
      k.limits.depth = limit;
      assert_int_equal(kit_msgpack(&k, deep + 100 - depth, depth + 1),
                       depth <= most ? 0 : RILL_ERR_LIMIT);
      kit_check(&k.tape);
    }
  k.limits.depth = 3;
  for (uint32_t nodes = 0; nodes <= 8; nodes++) {
    k.limits.nodes = nodes;
    assert_int_equal(kit_msgpack(&k, B("\x92\x81\xa1"
                                       "a\x90\xd4\0\0")),
                     nodes >= 5 ? 0 : RILL_ERR_LIMIT);
  }
  for (k.limits.key = 1; k.limits.key <= 3; k.limits.key++)
    assert_int_equal(kit_msgpack(&k, B("\x81\xa2kk\xa3vvv")),
                     k.limits.key >= 2 ? 0 : RILL_ERR_LIMIT);
  kit_end(&k);
}

static void test_msgpack_out_of_memory(void **state) {
  char data[301];
  uint64_t n;
  kit k;

  (void)state;
  memset(data, '\xc3', sizeof data);
  memcpy(data, "\xdc\x01\x2a", 3);
  kit_begin(&k);
  assert_int_equal(kit_msgpack(&k, data, sizeof data), 0);
  n = k.m.calls;
  assert_true(n >= 3);
  kit_end(&k);
  for (uint64_t i = 1; i <= n; i++) {
    kit_begin(&k);
    k.m.fail_at = i;
    assert_int_equal(kit_msgpack(&k, data, sizeof data), RILL_ERR_NOMEM);
    assert_int_equal(k.tape.len, 0);
    assert_int_equal(kit_msgpack(&k, data, sizeof data), 0);
    kit_end(&k);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_msgpack_golden),
      cmocka_unit_test(test_msgpack_minimal_integers),
      cmocka_unit_test(test_msgpack_reads_any_width),
      cmocka_unit_test(test_msgpack_of_javascript),
      cmocka_unit_test(test_msgpack_refuses),
      cmocka_unit_test(test_msgpack_writes_numbers),
      cmocka_unit_test(test_msgpack_minimal_heads),
      cmocka_unit_test(test_msgpack_limits),
      cmocka_unit_test(test_msgpack_out_of_memory),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
