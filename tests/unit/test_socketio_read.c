#include "sio_box.h"

static void reads(const char *text, const char *want) {
  box b;
  int rv;

  open_box(&b);
  rv = read_text(&b, text);
  if (rv == 0 && b.packet.attachments > 0)
    rv = attach(&b);
  if (strcmp(tell(&b, rv), want) != 0)
    fail_msg("%s: %s is not %s", text, b.told, want);
  close_box(&b);
}

static void refuses(const char *text) { reads(text, "PROTO"); }

static void test_socketio_reads_each_type(void **state) {
  (void)state;
  reads("0", "CONNECT / - ");
  reads("0{\"token\":\"x\"}", "CONNECT / - {\"token\":\"x\"}");
  reads("0/admin,{\"token\":\"x\"}", "CONNECT /admin - {\"token\":\"x\"}");
  reads("0/admin,", "CONNECT /admin - ");
  reads("0/admin", "CONNECT /admin - ");
  reads("0/nope?x=1,", "CONNECT /nope?x=1 - ");
  reads("01", "CONNECT / 1 ");
  reads("1", "DISCONNECT / - ");
  reads("1/admin,", "DISCONNECT /admin - ");
  reads("2[\"ev\",1,{}]", "EVENT / - [\"ev\",1,{}]");
  reads("2/admin,12[\"ev\"]", "EVENT /admin 12 [\"ev\"]");
  reads("2/,[\"ev\"]", "EVENT / - [\"ev\"]");
  reads("20[\"ev\"]", "EVENT / 0 [\"ev\"]");
  reads("2[5,\"x\"]", "EVENT / - [5,\"x\"]");
  reads("2[1.5]", "EVENT / - [1.5]");
  reads("3[]", "ACK / - []");
  reads("30[]", "ACK / 0 []");
  reads("3/admin,13[\"x\"]", "ACK /admin 13 [\"x\"]");
  reads("3/\xc3\xa4,013[null]", "ACK /\xc3\xa4 13 [null]");
  reads("2[\"ev\" ] ", "EVENT / - [\"ev\"]");
}

static void test_socketio_refuses(void **state) {
  static const char *const bad[] = {
      /* no packet */
      "", "7", "9", "a", "-1", " 0", "/", "[", "7[\"ev\"]",
      /* data that the type does not have */
      "0[]", "0null", "0\"x\"", "0/a,1[]", "1{}", "1[]", "1null", "2",
      "2/admin,", "21", "2{}", "2null", "2\"ev\"", "2[]", "2[null]",
      "2[true]", "2[[]]", "2[{}]", "3", "31", "3{}", "3null",
      /* what a server sends */
      "4", "4{\"message\":\"x\"}", "4/admin,{}", "4\"x\"",
      /* no JSON, or not all of it */
      "2[", "2[\"ev\"", "2[\"ev\"]]", "2[\"ev\"]x", "2[\"ev\",]", "2[ev]",
      "2[\"\xff\"]", "2[\"ev\",\"\\ud800\"]", "0{", "0{\"a\"}", "0{}{}",
      /* the reference takes white space for an id */
      "2 [\"ev\"]", "2\n[\"ev\"]", "2/a, [\"ev\"]", "21 [\"ev\"]", "0 ",
      /* no id */
      "2-1[\"ev\"]", "2+1[\"ev\"]", "21.5[\"ev\"]", "2a[\"ev\"]",
      "2,[\"ev\"]", "2/a,b[\"ev\"]"};

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    refuses(bad[i]);
}

static void test_socketio_ids_are_what_javascript_has_exactly(void **state) {
  (void)state;
  reads("29007199254740991[\"e\"]", "EVENT / 9007199254740991 [\"e\"]");
  reads("29007199254740992[\"e\"]", "EVENT / 9007199254740992 [\"e\"]");
  refuses("29007199254740993[\"e\"]");
  refuses("290071992547409920[\"e\"]");
  refuses("218446744073709551616[\"e\"]"); /* 2^64 */
  refuses("299999999999999999999999999999999999999999[\"e\"]");
  reads("200000000000000000000000000007[\"e\"]", "EVENT / 7 [\"e\"]");
}

static void test_socketio_reserved_names_are_refused(void **state) {
  static const char *const reserved[] = {"connect",       "connect_error",
                                         "disconnect",    "disconnecting",
                                         "newListener",   "removeListener"};
  static const char *const fine[] = {"",           "error",      "connection",
                                     "Connect",    "connect ",   "connec",
                                     "disconnectin", "constructor",
                                     "__proto__",  "newlistener"};
  char text[100], want[120];

  (void)state;
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
    assert_false(rill__sio_name_ok(rill_s(reserved[i])));
    snprintf(text, sizeof text, "2[\"%s\"]", reserved[i]);
    refuses(text);
    snprintf(text, sizeof text, "2[\"\\u00%x%s\"]", (unsigned)reserved[i][0],
             reserved[i] + 1);
    refuses(text);
    snprintf(text, sizeof text,
             "51-[\"%s\",{\"_placeholder\":true,\"num\":0}]", reserved[i]);
    refuses(text);
    /* an ack has no name */
    snprintf(text, sizeof text, "31[\"%s\"]", reserved[i]);
    snprintf(want, sizeof want, "ACK / 1 [\"%s\"]", reserved[i]);
    reads(text, want);
  }
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
    assert_true(rill__sio_name_ok(rill_s(fine[i])));
    snprintf(text, sizeof text, "2[\"%s\"]", fine[i]);
    snprintf(want, sizeof want, "EVENT / - [\"%s\"]", fine[i]);
    reads(text, want);
  }
}

static void test_socketio_attachments_take_their_places(void **state) {
  (void)state;
  reads("51-[\"b\"," PLACE("0") "]",
        "EVENT / - [\"b\",{\"$bytes\":\"AQ==\"}]");
  reads("61-0[\"r\"," PLACE("0") "]",
        "ACK / 0 [\"r\",{\"$bytes\":\"AQ==\"}]");
  reads("51-/admin,7[\"b\"," PLACE("0") "]",
        "EVENT /admin 7 [\"b\",{\"$bytes\":\"AQ==\"}]");
  reads("52-[\"b\"," PLACE("1") "," PLACE("0") "]",
        "EVENT / - [\"b\",{\"$bytes\":\"AgI=\"},{\"$bytes\":\"AQ==\"}]");
  reads("62-[[],{\"a\":[[" PLACE("0") ",{}],1],\"b\":" PLACE("1") ",\"c\":[]},"
        "{}]",
        "ACK / - [[],{\"a\":[[{\"$bytes\":\"AQ==\"},{}],1],"
        "\"b\":{\"$bytes\":\"AgI=\"},\"c\":[]},{}]");
  /* more members, another order, and a name with an escape */
  reads("61-[{\"x\":[[{}]],\"num\":0,\"\\u005fplaceholder\":true,\"y\":{}},1]",
        "ACK / - [{\"$bytes\":\"AQ==\"},1]");
  /* what is inside of a placeholder is gone with it */
  reads("61-[{\"_placeholder\":true,\"num\":0,\"x\":" PLACE("9") "}]",
        "ACK / - [{\"$bytes\":\"AQ==\"}]");
  /* the last of two members counts */
  reads("61-[{\"_placeholder\":true,\"_placeholder\":1,\"num\":7}]",
        "ACK / - [{\"_placeholder\":true,\"_placeholder\":1,\"num\":7}]");
  reads("61-[{\"_placeholder\":1,\"num\":9,\"_placeholder\":true,\"num\":0}]",
        "ACK / - [{\"$bytes\":\"AQ==\"}]");
}

static void test_socketio_placeholders_name_an_attachment(void **state) {
  static const char *const bad[] = {
      "-1",  "2",     "3",    "0.5",   "1.5",  "\"0\"",
      "null", "true", "[]",   "{}",    "1e308", "-1e308",
      "1e400", "4294967296",  "18446744073709551616", "-9223372036854775808"};
  static const char *const good[] = {"0", "-0", "0.0", "0e5", "0E-400"};
  char text[200];

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    snprintf(text, sizeof text,
             "52-[\"b\",{\"_placeholder\":true,\"num\":%s}]", bad[i]);
    refuses(text);
  }
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    snprintf(text, sizeof text,
             "52-[\"b\",{\"_placeholder\":true,\"num\":%s}]", good[i]);
    reads(text, "EVENT / - [\"b\",{\"$bytes\":\"AQ==\"}]");
  }
  reads("52-[\"b\"," PLACE("1") "]",
        "EVENT / - [\"b\",{\"$bytes\":\"AgI=\"}]");
  reads("52-[\"b\"," PLACE("1e0") "]",
        "EVENT / - [\"b\",{\"$bytes\":\"AgI=\"}]");
  refuses("51-[\"b\",{\"_placeholder\":true}]");
  refuses("51-[" PLACE("0") "]"); /* a name is no bytes */
  /* a later one counts as well */
  refuses("61-[" PLACE("0") ",{\"a\":[" PLACE("1") "]}]");
}

static void test_socketio_what_is_no_placeholder_stays(void **state) {
  (void)state;
  reads("51-[\"b\",{\"_placeholder\":false,\"num\":0}]",
        "EVENT / - [\"b\",{\"_placeholder\":false,\"num\":0}]");
  reads("51-[\"b\",{\"_placeholder\":1,\"num\":0},{\"num\":0},"
        "\"_placeholder\",true]",
        "EVENT / - [\"b\",{\"_placeholder\":1,\"num\":0},{\"num\":0},"
        "\"_placeholder\",true]");
  reads("51-[\"b\",{\"a\":{\"_placeholder\":\"true\"}}]",
        "EVENT / - [\"b\",{\"a\":{\"_placeholder\":\"true\"}}]");
  /* in a packet without attachments it is data as any */
  reads("2[\"b\"," PLACE("0") "]", "EVENT / - [\"b\"," PLACE("0") "]");
  reads("3[" PLACE("-1") "]", "ACK / - [" PLACE("-1") "]");
  reads("0" PLACE("0"), "CONNECT / - " PLACE("0"));
}

static void test_socketio_the_number_of_attachments(void **state) {
  (void)state;
  reads("510-[\"b\"," PLACE("9") "]",
        "EVENT / - [\"b\",{\"$bytes\":\"CgoKCgoKCgoKCg==\"}]");
  reads("511-[\"b\"]", "LIMIT");
  reads("599999999999999999999999-[\"b\"]", "LIMIT");
  reads("501-[\"b\"]", "EVENT / - [\"b\"]"); /* never used */
  refuses("50-[\"b\"]");
  refuses("5[\"b\"]");
  refuses("5-[\"b\"]");
  refuses("5");
  refuses("51");
  refuses("51[\"b\"]");
  refuses("5-1-[\"b\"]");
  refuses("5+1-[\"b\"]");
  refuses("51.0-[\"b\"]");
  refuses("51e0-[\"b\"]");
  refuses("50x1-[\"b\"]");
  refuses("5 1-[\"b\"]");
  refuses("51-");
  refuses("61-7");
  refuses("51-{}");
  refuses("51-[]");
  refuses("21-[\"b\"]"); /* not of a binary type */
}

/* Two may name the same, but no more than a packet may have attachments. */
static void test_socketio_placeholders_repeat_within_bounds(void **state) {
  char text[1000] = "51-[\"b\"", want[1000] = "EVENT / - [\"b\"";

  (void)state;
  for (int i = 0; i < 10; i++) {
    strcat(text, "," PLACE("0"));
    strcat(want, ",{\"$bytes\":\"AQ==\"}");
  }
  strcat(text, "]");
  strcat(want, "]");
  reads(text, want);
  text[strlen(text) - 1] = '\0';
  strcat(text, "," PLACE("0") "]");
  reads(text, "LIMIT");
}

static void test_socketio_keeps_the_limits_of_values(void **state) {
  static const rill__value_limits small = {3, 6, 4};
  static const struct {
    const char *text;
    int rv;
  } cases[] = {{"2[\"e\",[[]]]", 0},
               {"2[\"e\",[[[]]]]", RILL_ERR_LIMIT},
               {"2[\"e\",1,2,3,4]", 0},
               {"2[\"e\",1,2,3,4,5]", RILL_ERR_LIMIT},
               {"0{\"four\":1}", 0},
               {"0{\"five5\":1}", RILL_ERR_LIMIT}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rill_str text = rill_s(cases[i].text);
    rill__sio_packet packet;
    rill__tape tape;
    rill__tape_init(&tape, &rill__alloc_default);
    assert_int_equal(rill__sio_read(&packet, &tape, text, &small, 10),
                     cases[i].rv);
    rill__tape_finish(&tape);
  }
}

/* The tape may hold other packets; theirs stay as they are. */
static void test_socketio_reads_behind_what_is_there(void **state) {
  rill_str attachment = RILL_STR("\7");
  rill__sio_packet first, second;
  rill__tape tape;
  rill__node *n;

  (void)state;
  rill__tape_init(&tape, &rill__alloc_default);
  assert_int_equal(rill__sio_read(&first, &tape, rill_s("2[\"a\",1]"), &limits,
                                  10), 0);
  assert_int_equal(
      rill__sio_read(&second, &tape, rill_s("51-[\"b\",[" PLACE("0") ",2]]"),
                     &limits, 10), 0);
  assert_int_equal(second.data, 3);
  assert_int_equal(second.attachments, 1);
  assert_int_equal(rill__sio_attach(&second, &tape, &attachment, 1), 0);
  assert_int_equal(tape.len, 8);
  n = &tape.v[first.data];
  assert_int_equal(n->u.nodes, 3);
  n = &tape.v[second.data];
  assert_int_equal(n->u.nodes, 5);
  assert_int_equal(n[2].u.nodes, 3);
  assert_int_equal(n[3].type, RILL_BYTES);
  assert_ptr_equal(n[3].u.ptr, attachment.ptr); /* not copied */
  assert_int_equal(n[4].u.i, 2);
  rill__tape_finish(&tape);
}

static void test_socketio_attachments_fit_a_node(void **state) {
  rill__sio_packet packet;
  rill__tape tape;

  (void)state;
  for (size_t extra = 0; extra < 2; extra++) {
    rill_str v = {"", (size_t)UINT32_MAX + extra}; /* nobody reads it */
    rill__tape_init(&tape, &rill__alloc_default);
    assert_int_equal(rill__sio_read(&packet, &tape,
                                    rill_s("61-[" PLACE("0") "]"), &limits,
                                    10),
                     0);
    assert_int_equal(rill__sio_attach(&packet, &tape, &v, 1),
                     extra == 0 ? 0 : RILL_ERR_PROTO);
    rill__tape_finish(&tape);
  }
}

static void test_socketio_without_memory_says_so(void **state) {
  static const char text[] = "51-/a,7[\"\\u0062\",{\"\\u0061\":[1,2,3,4,5]}]";
  bool done = false;

  (void)state;
  for (uint64_t i = 1; !done; i++) {
    mem m = {.fail_at = i};
    rill__alloc alloc = {mem_fn, &m};
    rill__sio_packet packet;
    rill__tape tape;
    int rv;
    rill__tape_init(&tape, &alloc);
    rv = rill__sio_read(&packet, &tape, rill_s(text), &limits, 10);
    done = rv == 0;
    assert_true(done || rv == RILL_ERR_NOMEM);
    assert_true(done || m.calls >= i);
    assert_true(!done || i > 1);
    rill__tape_finish(&tape);
    assert_int_equal(m.blocks, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_socketio_reads_each_type),
      cmocka_unit_test(test_socketio_refuses),
      cmocka_unit_test(test_socketio_ids_are_what_javascript_has_exactly),
      cmocka_unit_test(test_socketio_reserved_names_are_refused),
      cmocka_unit_test(test_socketio_attachments_take_their_places),
      cmocka_unit_test(test_socketio_placeholders_name_an_attachment),
      cmocka_unit_test(test_socketio_what_is_no_placeholder_stays),
      cmocka_unit_test(test_socketio_the_number_of_attachments),
      cmocka_unit_test(test_socketio_placeholders_repeat_within_bounds),
      cmocka_unit_test(test_socketio_keeps_the_limits_of_values),
      cmocka_unit_test(test_socketio_reads_behind_what_is_there),
      cmocka_unit_test(test_socketio_attachments_fit_a_node),
      cmocka_unit_test(test_socketio_without_memory_says_so)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
