#include "sio_box.h"

static void unpacks(const char *packed, const char *want) {
  char bytes[600];
  size_t len;
  box b;

  open_box(&b);
  hex(packed, bytes, &len);
  b.text = exact(bytes, len);
  if (strcmp(tell(&b, rill__sio_read_msgpack(&b.packet, &b.tape,
                                             (rill_str){b.text, len},
                                             &limits)), want) != 0)
    fail_msg("%s: %s is not %s", packed, b.told, want);
  close_box(&b);
}

#define TYPE(t) "a474797065" t
#define DATA(d) "a464617461" d
#define NSP(n) "a36e7370" n
#define MAIN NSP("a12f")
#define ID(i) "a26964" i
#define UNDEFINED "d40000"
#define NIL "c0"

static void test_socketio_unpacks(void **state) {
  (void)state;
  /* as the stock client writes them */
  unpacks("83" TYPE("00") DATA(UNDEFINED) MAIN, "CONNECT / - ");
  unpacks("83a47479706502a46461746192a2686901a36e7370a12f",
          "EVENT / - [\"hi\",1]");
  unpacks("84a2696403a47479706503a46461746191a172a36e7370a62f61646d696e",
          "ACK /admin 3 [\"r\"]");
  unpacks("82a47479706501a36e7370a12f", "DISCONNECT / - ");
  unpacks("85" TYPE("02") DATA("91a165")
          "a76f7074696f6e7381a8636f6d7072657373c3" ID("07") MAIN,
          "EVENT / 7 [\"e\"]");
  unpacks("82" TYPE("00") MAIN, "CONNECT / - ");
  unpacks("83" TYPE("00") DATA("80") MAIN, "CONNECT / - {}");
  unpacks("84" TYPE("01") DATA(UNDEFINED) ID(UNDEFINED) MAIN,
          "DISCONNECT / - ");
  unpacks("83" MAIN DATA("9101") TYPE("02"), "EVENT / - [1]");
  unpacks("83" TYPE("03") MAIN DATA("90"), "ACK / - []");
  /* whole numbers of another width, and a key that came twice */
  unpacks("83" TYPE("cb4000000000000000") MAIN DATA("91a165"),
          "EVENT / - [\"e\"]");
  unpacks("84" TYPE("00") MAIN DATA("91a165") TYPE("02"), "EVENT / - [\"e\"]");
  unpacks("84" TYPE("02") MAIN DATA("91a165") ID("cf0020000000000000"),
          "EVENT / 9007199254740992 [\"e\"]");
  /* bytes in all their forms */
  unpacks("83" TYPE("02") MAIN DATA("95a165c401" "01c70200" "0202c7010003"
                                    UNDEFINED),
          "EVENT / - [\"e\",{\"$bytes\":\"AQ==\"},{\"$bytes\":\"AgI=\"},"
          "{\"$bytes\":\"Aw==\"},null]");
  /* a date, in milliseconds */
  unpacks("83" TYPE("02") MAIN DATA("92a165d7000000018bcfe56800"),
          "EVENT / - [\"e\",1700000000000]");
  /* placeholders mean nothing here */
  unpacks("83" TYPE("03") MAIN
          DATA("9182ac5f706c616365686f6c646572c3a36e756d00"),
          "ACK / - [{\"_placeholder\":true,\"num\":0}]");
}

static void test_socketio_refuses_what_is_packed_wrongly(void **state) {
  static const char *const bad[] = {
      "", "00", "c0", "90", "a0", "80", UNDEFINED,
      /* a member is missing */
      "81" TYPE("00"), "81" MAIN, "82" TYPE("02") MAIN, "82" TYPE("03") MAIN,
      /* type */
      "82" TYPE("05") MAIN, "82" TYPE("06") MAIN, "82" TYPE("ff") MAIN,
      "82" TYPE("a130") MAIN, "82" TYPE(NIL) MAIN, "82" TYPE(UNDEFINED) MAIN,
      "82" TYPE("c2") MAIN, "82" TYPE("cb3fe0000000000000") MAIN,
      "83" TYPE("04") MAIN DATA("80"), /* CONNECT_ERROR */
      "83" TYPE("05") MAIN DATA("91a165"),
      /* namespace */
      "82" TYPE("00") NSP("a0"), "82" TYPE("00") NSP("a161"),
      "82" TYPE("00") NSP(NIL), "82" TYPE("00") NSP(UNDEFINED),
      "82" TYPE("00") NSP("a32f612c"), "82" TYPE("00") NSP("c4012f"),
      "82" TYPE("00") NSP("01"),
      /* id */
      "83" TYPE("00") MAIN ID("ff"), "83" TYPE("00") MAIN ID(NIL),
      "83" TYPE("00") MAIN ID("a131"),
      "83" TYPE("00") MAIN ID("cb3fe0000000000000"),
      "83" TYPE("00") MAIN ID("cf0020000000000001"),
      "83" TYPE("00") MAIN ID("cfffffffffffffffff"),
      /* data */
      "83" TYPE("00") MAIN DATA(NIL), "83" TYPE("00") MAIN DATA("90"),
      "83" TYPE("01") MAIN DATA(NIL), "83" TYPE("01") MAIN DATA("80"),
      "83" TYPE("02") MAIN DATA("90"), "83" TYPE("02") MAIN DATA("80"),
      "83" TYPE("02") MAIN DATA(NIL), "83" TYPE("02") MAIN DATA(UNDEFINED),
      "83" TYPE("02") MAIN DATA("91c0"), "83" TYPE("02") MAIN DATA("91c40165"),
      "83" TYPE("02") MAIN DATA("91" UNDEFINED),
      "83" TYPE("02") MAIN DATA("91a7636f6e6e656374"),
      "83" TYPE("03") MAIN DATA(NIL), "83" TYPE("03") MAIN DATA("80"),
      /* cut off, or more behind it */
      "82" TYPE("00") "a36e7370a1", "82" TYPE("00") MAIN "00",
      "83" TYPE("00") MAIN, "c1"};

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    unpacks(bad[i], "PROTO");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_socketio_unpacks),
      cmocka_unit_test(test_socketio_refuses_what_is_packed_wrongly)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
