#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "mem.h"
#include "wire/engineio.h"

/* An exact block, so that a read beyond it is seen; at least one byte. */
static char *exact(const char *text, size_t len) {
  char *p = malloc(len + (len == 0));

  assert_non_null(p);
  memcpy(p, text, len);
  return p;
}

static void test_engineio_reads_text(void **state) {
  static const struct {
    const char *text, *data;
  } good[] = {{"0", ""},       {"1", ""},       {"2", ""},
              {"2probe", "probe"}, {"3probe", "probe"}, {"4", ""},
              {"4a\x1e" "b", "a\x1e" "b"}, {"4\xc3\xa4", "\xc3\xa4"},
              {"5", ""},       {"6", ""},       {"40{}", "0{}"}};
  static const char *const bad[] = {"", "7", "9", "/", "a", "b", "bAQID",
                                    " 4", "-1", "\xc3\xa4", "B"};
  rill__eio_packet packet;

  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    size_t len = strlen(good[i].text);
    char *text = exact(good[i].text, len);
    assert_true(rill__eio_text((rill_str){text, len}, &packet));
    assert_int_equal(packet.type, good[i].text[0]);
    assert_false(packet.binary);
    assert_true(rill_str_eq(packet.data, rill_s(good[i].data)));
    free(text);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    size_t len = strlen(bad[i]);
    char *text = exact(bad[i], len);
    assert_false(rill__eio_text((rill_str){text, len}, &packet));
    free(text);
  }
  assert_false(rill__eio_text((rill_str){NULL, 0}, &packet));
  assert_false(rill__eio_text((rill_str){"\0", 1}, &packet));
}

/*
 * A payload as "<type><data>" of each packet, binary as "b<hex>", with ","
 * behind each, and the last answer of rill__eio_next.
 */
static void describe(const char *bytes, size_t len, char *out, size_t size) {
  char *text = exact(bytes, len);
  rill_str payload = {text, len};
  rill__eio_packet packet;
  size_t n = 0;
  int rv;

  while ((rv = rill__eio_next(&payload, &packet)) == 1) {
    if (!packet.binary)
      n += (size_t)snprintf(out + n, size - n, "%c%.*s,", (char)packet.type,
                            (int)packet.data.len, packet.data.ptr);
    else
      assert_int_equal(packet.type, RILL__EIO_MESSAGE);
    n += (size_t)snprintf(out + n, size - n, "%s", packet.binary ? "b" : "");
    for (size_t i = 0; packet.binary && i < packet.data.len; i++)
      n += (size_t)snprintf(out + n, size - n, "%02x",
                            (uint8_t)packet.data.ptr[i]);
    n += (size_t)snprintf(out + n, size - n, "%s", packet.binary ? "," : "");
    assert_true(n < size);
  }
  snprintf(out + n, size - n, "%d", rv);
  /* the answer stays */
  assert_int_equal(rill__eio_next(&payload, &packet), rv);
  assert_int_equal(rill__eio_next(&payload, &packet), rv);
  free(text);
}

static void payload(const char *text, const char *want) {
  char got[400];

  describe(text, strlen(text), got, sizeof got);
  if (strcmp(got, want) != 0)
    fail_msg("%s: %s is not %s", text, got, want);
}

static void test_engineio_takes_payloads_apart(void **state) {
  (void)state;
  payload("4", "4,0");
  payload("40", "40,0");
  payload("4hello\x1e" "2\x1e" "4w\xc3\xb6rld", "4hello,2,4w\xc3\xb6rld,0");
  payload("1", "1,0");
  payload("6\x1e" "1", "6,1,0");
  payload("bAQID", "b010203,0");
  payload("452-[]\x1e" "bAQID\x1e" "bBAU=\x1e" "bBg==",
          "452-[],b010203,b0405,b06,0");
  payload("b", "b,0");
  payload("b\x1e" "b\x1e" "4", "b,b,4,0");
  payload("4b", "4b,0");
}

static void test_engineio_stops_at_the_first_bad_packet(void **state) {
  (void)state;
  payload("", "-1");
  payload("7", "-1");
  payload("\x1e", "-1");
  payload("\x1e" "4a", "-1");
  payload("4a\x1e", "4a,-1");
  payload("4a\x1e\x1e" "4b", "4a,-1");
  payload("4a\x1e" "abc\x1e" "4b", "4a,-1");
  payload("4a\x1e" "bAQI\x1e" "4b", "4a,-1"); /* not padded */
  payload("bAQID=", "-1");
  payload("bAQ_D", "-1"); /* the other alphabet */
  payload("bAQID\n", "-1");
  payload("bAQJ=", "-1"); /* bits that should be zero */
  payload("bAQ==AQ==", "-1");
  payload("4\xc3", "-1");
  payload("4\xc0\x80", "-1");
  payload("4\xed\xa0\x80", "-1");
  payload("4\xc3\x1e\xa4", "-1"); /* a character ends with its packet */
}

static void test_engineio_an_empty_payload_is_bad(void **state) {
  rill_str nothing = {NULL, 0};
  rill__eio_packet packet;
  char got[40];

  (void)state;
  assert_int_equal(rill__eio_next(&nothing, &packet), -1);
  describe("4\0a", 3, got, sizeof got);
  assert_string_equal(got, "4,0"); /* NUL is a character as any */
  describe("\0", 1, got, sizeof got);
  assert_string_equal(got, "-1");
}

static void test_engineio_decodes_in_place(void **state) {
  static const char three[] = "bAQID\x1e" "bAQID\x1e" "bBAUG";
  char *text = exact(three, sizeof three - 1);
  rill_str left = {text, sizeof three - 1};
  rill__eio_packet first, second, third;

  (void)state;
  assert_int_equal(rill__eio_next(&left, &first), 1);
  assert_int_equal(rill__eio_next(&left, &second), 1);
  assert_int_equal(rill__eio_next(&left, &third), 1);
  assert_int_equal(rill__eio_next(&left, &third), 0);
  /* what was taken before is still there */
  assert_true(first.data.ptr > text && first.data.ptr < second.data.ptr);
  assert_int_equal(first.data.len, 3);
  assert_memory_equal(first.data.ptr, "\1\2\3", 3);
  assert_memory_equal(second.data.ptr, "\1\2\3", 3);
  assert_memory_equal(third.data.ptr, "\4\5\6", 3);
  free(text);
}

static void test_engineio_writes_open(void **state) {
  rill__bytes b;
  static const char with[] =
      "{\"sid\":\"lv_VI97HAXpY6yYWAAAC\",\"upgrades\":[\"websocket\"],"
      "\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}";
  static const char without[] =
      "{\"sid\":\"s\",\"upgrades\":[],\"pingInterval\":0,"
      "\"pingTimeout\":4294967295,\"maxPayload\":1}";

  (void)state;
  rill__bytes_init(&b, &rill__alloc_default);
  rill__eio_write_open(&b, rill_s("lv_VI97HAXpY6yYWAAAC"), true, 25000, 20000,
                       1000000);
  assert_false(b.failed);
  assert_int_equal(b.len, sizeof with - 1);
  assert_memory_equal(b.data, with, b.len);
  rill__bytes_clear(&b);
  rill__eio_write_open(&b, rill_s("s"), false, 0, UINT32_MAX, 1);
  assert_int_equal(b.len, sizeof without - 1);
  assert_memory_equal(b.data, without, b.len);
  rill__bytes_finish(&b);
}

static void test_engineio_open_without_memory_fails(void **state) {
  mem m = {.fail_at = 1};
  rill__alloc alloc = {mem_fn, &m};
  rill__bytes b;

  (void)state;
  rill__bytes_init(&b, &alloc);
  rill__eio_write_open(&b, rill_s("s"), true, 1, 2, 3);
  assert_true(b.failed);
  rill__bytes_finish(&b);
  assert_int_equal(m.blocks, 0);
}

static void test_engineio_errors_are_the_protocols(void **state) {
  static const char *const text[] = {"Transport unknown",
                                     "Session ID unknown",
                                     "Bad handshake method",
                                     "Bad request",
                                     "Forbidden",
                                     "Unsupported protocol version"};
  char body[100];

  (void)state;
  for (int i = 0; i < 6; i++) {
    rill__eio_error error = (rill__eio_error)i;
    snprintf(body, sizeof body, "{\"code\":%d,\"message\":\"%s\"}", i, text[i]);
    assert_string_equal(rill__eio_body(error), body);
    assert_string_equal(rill__eio_message(error), text[i]);
    assert_int_equal(rill__eio_status(error), i == 4 ? 403 : 400);
  }
  assert_int_equal(RILL__EIO_VERSION, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_engineio_reads_text),
      cmocka_unit_test(test_engineio_takes_payloads_apart),
      cmocka_unit_test(test_engineio_stops_at_the_first_bad_packet),
      cmocka_unit_test(test_engineio_an_empty_payload_is_bad),
      cmocka_unit_test(test_engineio_decodes_in_place),
      cmocka_unit_test(test_engineio_writes_open),
      cmocka_unit_test(test_engineio_open_without_memory_fails),
      cmocka_unit_test(test_engineio_errors_are_the_protocols)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
