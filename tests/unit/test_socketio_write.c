#include "sio_box.h"

/* What was read from |text| is written as |want|; |packed|: and in hex. */
static void writes(const char *text, const char *want, const char *packed) {
  rill_str v[16];
  rill__attachments attachments = {v, 0, 16};
  char bytes[400];
  size_t len;
  sio_again again;
  rill__bytes out;
  box b;

  open_box(&b);
  assert_int_equal(read_text(&b, text), 0);
  if (b.packet.attachments > 0)
    assert_int_equal(attach(&b), 0);
  again = sio_again_of(&b.packet, &b.tape);
  rill__bytes_init(&out, &rill__alloc_default);
  rill__sio_write(&out, &again.out, &attachments);
  assert_false(out.failed);
  if (!rill_str_eq((rill_str){(char *)out.data, out.len}, rill_s(want)))
    fail_msg("%.*s is not %s", (int)out.len, (char *)out.data, want);
  assert_int_equal(attachments.len, b.packet.attachments);
  for (uint32_t i = 0; i < attachments.len; i++) {
    assert_int_equal(v[i].len, i + 1);
    assert_memory_equal(v[i].ptr, b.bytes[i], i + 1);
  }
  rill__bytes_clear(&out);
  rill__sio_write_msgpack(&out, &again.out);
  hex(packed, bytes, &len);
  assert_int_equal(out.len, len);
  assert_memory_equal(out.data, bytes, len);
  rill__bytes_finish(&out);
  free(again.list);
  close_box(&b);
}

static void test_socketio_writes(void **state) {
  (void)state;
  writes("0", "0", "82a47479706500a36e7370a12f");
  writes("0/a,{\"sid\":\"x\"}", "0/a,{\"sid\":\"x\"}",
         "83a47479706500a46461746181a3736964a178a36e7370a22f61");
  writes("1", "1", "82a47479706501a36e7370a12f");
  writes("1/a", "1/a,", "82a47479706501a36e7370a22f61");
  writes("2[\"hi\",1]", "2[\"hi\",1]",
         "83a47479706502a46461746192a2686901a36e7370a12f");
  writes("2/a,12[\"\"]", "2/a,12[\"\"]",
         "84a47479706502a46461746191a0a36e7370a22f61a269640c");
  writes("3/admin,3[\"r\"]", "3/admin,3[\"r\"]",
         "84a2696403a47479706503a46461746191a172a36e7370a62f61646d696e");
  writes("30[]", "30[]", "84a2696400a47479706503a46461746190a36e7370a12f");
  writes("52-0[\"b\"," PLACE("0") ",[" PLACE("1") "]]",
         "52-0[\"b\"," PLACE("0") ",[" PLACE("1") "]]",
         "84a47479706502a46461746193a162c4010191c4020202a36e7370a12f"
         "a2696400");
  writes("61-9[" PLACE("0") "]", "61-9[" PLACE("0") "]",
         "84a2696409a47479706503a46461746191c40101a36e7370a12f");
}

/* The offset of recovery is the last argument; a list may be absent. */
static void test_socketio_writes_a_tail(void **state) {
  rill__sio_out out = {.type = RILL__SIO_EVENT,
                       .space = RILL_STR("/"),
                       .name = RILL_STR("e\"")};
  rill__node args[2] = {{.type = RILL_ARRAY, .len = 1, .u.nodes = 2},
                        {.type = RILL_INT, .u.i = -1}};
  static const struct {
    bool args, tail;
    const char *text, *packed;
  } cases[] = {
      {false, false, "2[\"e\\\"\"]",
       "83a47479706502a46461746191a26522a36e7370a12f"},
      {false, true, "2[\"e\\\"\",\"Q.0\"]",
       "83a47479706502a46461746192a26522a3512e30a36e7370a12f"},
      {true, true, "2[\"e\\\"\",-1,\"Q.0\"]",
       "83a47479706502a46461746193a26522ffa3512e30a36e7370a12f"}};
  rill__attachments none = {NULL, 0, 0};
  rill__bytes b;
  char bytes[100];
  size_t len;

  (void)state;
  rill__bytes_init(&b, &rill__alloc_default);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    out.args = cases[i].args ? args : NULL;
    out.tail = rill_s(cases[i].tail ? "Q.0" : "");
    rill__bytes_clear(&b);
    rill__sio_write(&b, &out, &none);
    assert_int_equal(b.len, strlen(cases[i].text));
    assert_memory_equal(b.data, cases[i].text, b.len);
    rill__bytes_clear(&b);
    rill__sio_write_msgpack(&b, &out);
    hex(cases[i].packed, bytes, &len);
    assert_int_equal(b.len, len);
    assert_memory_equal(b.data, bytes, len);
  }
  rill__bytes_finish(&b);
}

/* Bytes where a client expects none, and more than there is room for. */
static void test_socketio_writes_bytes(void **state) {
  rill__node object[3] = {{.type = RILL_OBJECT, .len = 1, .u.nodes = 3},
                          {.type = RILL_STRING, .len = 1, .u.ptr = "d"},
                          {.type = RILL_BYTES, .len = 1, .u.ptr = "\1"}};
  rill__node list[3] = {{.type = RILL_ARRAY, .len = 2, .u.nodes = 3},
                        {.type = RILL_BYTES, .len = 1, .u.ptr = "\1"},
                        {.type = RILL_BYTES, .len = 1, .u.ptr = "\2"}};
  static const char error[] = "4{\"d\":{\"$bytes\":\"AQ==\"}}";
  static const char ack[] = "62-7[" PLACE("0") "," PLACE("1") "]";
  rill__sio_out out = {.type = RILL__SIO_CONNECT_ERROR,
                       .space = RILL_STR("/"),
                       .args = object};
  rill_str v[1] = {{NULL, 0}};
  rill__attachments attachments = {v, 0, 1};
  rill__bytes b;

  (void)state;
  rill__bytes_init(&b, &rill__alloc_default);
  rill__sio_write(&b, &out, &attachments);
  assert_int_equal(b.len, sizeof error - 1);
  assert_memory_equal(b.data, error, b.len);
  assert_int_equal(attachments.len, 0);
  out = (rill__sio_out){.type = RILL__SIO_ACK,
                        .space = RILL_STR("/"),
                        .has_id = true,
                        .id = 7,
                        .args = list};
  rill__bytes_clear(&b);
  rill__sio_write(&b, &out, &attachments);
  assert_int_equal(b.len, sizeof ack - 1);
  assert_memory_equal(b.data, ack, b.len);
  assert_int_equal(attachments.len, 2);
  assert_ptr_equal(v[0].ptr, list[1].u.ptr);
  rill__bytes_finish(&b);
}

/* One of a room must not be able to make the others' clients give up. */
static void test_socketio_hides_false_placeholders(void **state) {
  rill__node v[] = {{.type = RILL_ARRAY, .len = 4, .u.nodes = 11},
                    {.type = RILL_OBJECT, .len = 1, .u.nodes = 7},
                    {.type = RILL_STRING, .len = 1, .u.ptr = "a"},
                    {.type = RILL_OBJECT, .len = 1, .u.nodes = 5},
                    {.type = RILL_STRING, .len = 1, .u.ptr = "b"},
                    {.type = RILL_OBJECT, .len = 1, .u.nodes = 3},
                    {.type = RILL_STRING, .len = 12, .u.ptr = "_placeholder"},
                    {.type = RILL_BOOL, .u.b = true},
                    {.type = RILL_STRING, .len = 12, .u.ptr = "_placeholder"},
                    {.type = RILL_BOOL, .u.b = true},
                    {.type = RILL_BYTES, .len = 1, .u.ptr = "\1"}};
  static const char with[] =
      "61-[{\"a\":{\"b\":{\"_placeholder\":false}}},\"_placeholder\",true,"
      PLACE("0") "]";
  static const char without[] =
      "3[{\"a\":{\"b\":{\"_placeholder\":true}}},\"_placeholder\",true,null]";
  rill__sio_out out = {
      .type = RILL__SIO_ACK, .space = RILL_STR("/"), .args = v};
  rill__bytes b;
  bool done = false;

  (void)state;
  for (uint64_t i = 1; !done; i++) {
    mem m = {.fail_at = i};
    rill__alloc alloc = {mem_fn, &m};
    rill_str attached[1];
    rill__attachments attachments = {attached, 0, 1};
    rill__bytes_init(&b, &alloc);
    rill__sio_write(&b, &out, &attachments);
    done = !b.failed;
    if (done) {
      assert_int_equal(b.len, sizeof with - 1);
      assert_memory_equal(b.data, with, b.len);
    }
    assert_true(v[7].u.b); /* what was given stays */
    rill__bytes_finish(&b);
    assert_int_equal(m.blocks, 0);
  }
  rill__bytes_init(&b, &rill__alloc_default);
  v[10].type = RILL_NULL;
  rill__sio_write(&b, &out, NULL);
  assert_int_equal(b.len, sizeof without - 1);
  assert_memory_equal(b.data, without, b.len);
  rill__bytes_finish(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_socketio_writes),
      cmocka_unit_test(test_socketio_writes_a_tail),
      cmocka_unit_test(test_socketio_writes_bytes),
      cmocka_unit_test(test_socketio_hides_false_placeholders)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
