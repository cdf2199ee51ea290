#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ws_rig.h"

#define FIN RILL__WS_FIN
#define RSV1 RILL__WS_RSV1
#define TEXT RILL__WS_TEXT
#define BINARY RILL__WS_BINARY
#define CONT RILL__WS_CONT
#define CLOSE RILL__WS_CLOSE
#define PING RILL__WS_PING
#define PONG RILL__WS_PONG

static const rill_deflate_opts deflate_opts = {.enabled = true};

/* |s| gives |log|, whole, byte by byte and cut at random. */
static void gives(const stream_buf *s, bool client, bool deflate,
                  const char *log) {
  for (uint32_t cut = 0; cut < 12; cut++) {
    rig r;
    rig_init(&r, client);
    if (deflate)
      assert_true(rig_deflate(&r, &deflate_opts));
    rig_stream(&r, s->data, s->len, cut);
    assert_string_equal(r.log, log);
    rig_finish(&r);
  }
}

static void server_gives(stream_buf *s, const char *log) {
  gives(s, false, false, log);
  stream_clear(s);
}

/* Sizes around each form of the length, out and in, as minimal as can be. */
static void test_ws_every_size_survives(void **state) {
  static const size_t sizes[] = {0,   1,     2,     124,   125,   126,  127,
                                 128, 65534, 65535, 65536, 65537, 70000};

  (void)state;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int client = 0; client < 2; client++) {
      stream_buf s = {.mask = client == 0};
      uint8_t *data = malloc(sizes[i] + 1);
      size_t head = (sizes[i] < 126 ? 2 : sizes[i] < 65536 ? 4 : 10) +
                    (client == 0 ? 4u : 0u);
      rig r;
      assert_non_null(data);
      memset(data, 'q', sizes[i]);
      put_frame(&s, FIN | TEXT, data, sizes[i]);
      assert_int_equal(s.len, sizes[i] + head);
      assert_int_equal(rill__ws_frame_len(s.data), s.len);
      assert_int_equal(rill__ws_header_len(sizes[i], client == 0), head);
      rig_init(&r, client != 0);
      rig_note(&r, "T", data, sizes[i]);
      gives(&s, client != 0, false, r.log);
      rig_finish(&r);
      free(data);
      stream_clear(&s);
    }
}

static void test_ws_lengths_must_be_minimal(void **state) {
  static const uint8_t forms[][10] = {
      {0x82, 0xfe, 0, 125}, {0x82, 0xfe, 0, 0},
      {0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
      {0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 5},
      {0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0},
      {0x89, 0xfe, 0, 126}, {0x09, 0x80}, {0x08, 0x80}};

  (void)state;
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    stream_buf s = {.mask = true};
    uint8_t n = forms[i][1] & 0x7f;
    uint8_t payload[200] = {0};
    put_bytes(&s, forms[i], n == 127 ? 10 : n == 126 ? 4 : 2);
    put_bytes(&s, payload, sizeof payload);
    server_gives(&s, "!1002;");
  }
}

/* The eight RSV values, on every opcode, negotiated or not. */
static void test_ws_reserved_bits(void **state) {
  (void)state;
  for (unsigned rsv = 1; rsv < 8; rsv++)
    for (int deflate = 0; deflate < 2; deflate++)
      for (uint8_t opcode = 0; opcode < 16; opcode++) {
        stream_buf s = {.mask = true};
        bool fine = rsv == 4 && deflate && (opcode == TEXT || opcode == BINARY);
        if (opcode == CONT)
          put_text(&s, TEXT, "x");
        put_frame(&s, (uint8_t)(FIN | rsv << 4 | opcode), "\0", 1);
        gives(&s, false, deflate != 0,
              !fine ? "!1002;" : opcode == TEXT ? "T;" : "B;");
        stream_clear(&s);
      }
}

static void test_ws_reserved_opcodes(void **state) {
  (void)state;
  for (uint8_t opcode = 3; opcode < 16; opcode++)
    if (opcode < CLOSE || opcode > PONG) {
      stream_buf s = {.mask = true};
      put_frame(&s, FIN | opcode, "", 0);
      server_gives(&s, "!1002;");
    }
}

static void test_ws_masking_is_the_clients_duty(void **state) {
  static const uint8_t opcodes[] = {FIN | TEXT, BINARY, FIN | PING};

  (void)state;
  for (size_t i = 0; i < sizeof opcodes; i++)
    for (int client = 0; client < 2; client++) {
      stream_buf s = {.mask = client != 0};
      put_frame(&s, opcodes[i], "a", 1);
      gives(&s, client != 0, false, "!1002;");
      stream_clear(&s);
    }
}

/*
 * A model of the order of frames: symbols are an opcode, FIN, and a payload
 * of none or one byte.
 */
#define SYMBOLS 24

static uint8_t symbol_first(unsigned symbol) {
  static const uint8_t opcodes[] = {TEXT, BINARY, CONT, PING, PONG, CLOSE};

  return (uint8_t)(opcodes[symbol / 4] | ((symbol & 2) != 0 ? FIN : 0));
}

static void model(const unsigned *symbols, size_t n, char *log) {
  char message[32] = "", kind = 0;
  size_t len = 0;

  *log = '\0';
  for (size_t i = 0; i < n; i++) {
    uint8_t first = symbol_first(symbols[i]), opcode = first & 0xf;
    bool fin = (first & FIN) != 0, byte = (symbols[i] & 1) != 0;
    if (opcode >= CLOSE) {
      if (!fin || (opcode == CLOSE && byte)) {
        sprintf(log, "!1002;");
        return;
      }
      log += sprintf(log, "%c%s;", "x<>"[opcode - CLOSE], byte ? "a" : "");
      if (opcode == CLOSE)
        return;
      continue;
    }
    if ((opcode == CONT) != (kind != 0)) {
      sprintf(log, "!1002;");
      return;
    }
    if (opcode != CONT)
      kind = opcode == TEXT ? 'T' : 'B';
    if (byte)
      message[len++] = 'a';
    message[len] = '\0';
    if (fin) {
      log += sprintf(log, "%c%s;", kind, message);
      kind = 0;
      len = 0;
    }
  }
}

static void check_sequence(const unsigned *symbols, size_t n) {
  stream_buf s = {.mask = true};
  char log[200];

  for (size_t i = 0; i < n; i++)
    put_frame(&s, symbol_first(symbols[i]), "a", symbols[i] & 1);
  model(symbols, n, log);
  for (uint32_t cut = 0; cut < 3; cut++) {
    rig r;
    rig_init(&r, false);
    rig_stream(&r, s.data, s.len, cut);
    assert_string_equal(r.log, log);
    rig_finish(&r);
  }
  stream_clear(&s);
}

/* All sequences of up to three frames, and a sample of longer ones. */
static void test_ws_order_of_frames(void **state) {
  unsigned v[9];
  uint32_t seed = 4711;

  (void)state;
  for (v[0] = 0; v[0] < SYMBOLS; v[0]++) {
    check_sequence(v, 1);
    for (v[1] = 0; v[1] < SYMBOLS; v[1]++) {
      check_sequence(v, 2);
      for (v[2] = 0; v[2] < SYMBOLS; v[2]++)
        check_sequence(v, 3);
    }
  }
  for (int i = 0; i < 5000; i++) {
    size_t n = 4 + (size_t)i % 6;
    for (size_t k = 0; k < n; k++) {
      seed = seed * 1664525u + 1013904223u;
      v[k] = (seed >> 24) % SYMBOLS;
      /* Mostly frames that may go on, so that the sample gets deep. */
      if (k + 1 < n && v[k] >= 20)
        v[k] -= 8;
    }
    check_sequence(v, n);
  }
}

static void test_ws_control_between_fragments(void **state) {
  stream_buf s = {.mask = true};
  uint8_t long_ping[125];
  rig r;

  (void)state;
  memset(long_ping, 'p', sizeof long_ping);
  put_text(&s, TEXT, "one ");
  put_text(&s, FIN | PING, "ping");
  put_text(&s, CONT, "two ");
  put_frame(&s, FIN | PING, long_ping, sizeof long_ping);
  put_text(&s, FIN | PONG, "");
  put_text(&s, FIN | CONT, "three");
  put_text(&s, FIN | BINARY, "next");
  rig_init(&r, false);
  rig_note(&r, "<", (const uint8_t *)"ping", 4);
  rig_note(&r, "<", long_ping, sizeof long_ping);
  rig_note(&r, ">", NULL, 0);
  rig_note(&r, "T", (const uint8_t *)"one two three", 13);
  rig_note(&r, "B", (const uint8_t *)"next", 4);
  server_gives(&s, r.log);
  rig_finish(&r);
}

/* Cut in two at every byte. */
static void test_ws_any_cut_gives_the_same(void **state) {
  stream_buf s = {.mask = true};
  uint8_t big[300];
  rig whole;

  (void)state;
  memset(big, 'b', sizeof big);
  put_text(&s, FIN | TEXT, "h\xc3\xa9llo");
  put_text(&s, TEXT, "\xe2\x82");
  put_text(&s, FIN | PING, "p");
  put_text(&s, FIN | CONT, "\xac");
  put_frame(&s, FIN | BINARY, big, sizeof big);
  put_text(&s, FIN | CLOSE, "\x03\xe8" "bye");
  put_text(&s, FIN | TEXT, "never");
  rig_init(&whole, false);
  assert_int_equal(rig_stream(&whole, s.data, s.len, WHOLE), RILL_ERR_CLOSED);
  for (size_t at = 0; at <= s.len; at++) {
    size_t used;
    int rv;
    rig r;
    rig_init(&r, false);
    rv = rig_feed(&r, s.data, at, &used);
    if (rv == 0)
      rv = rig_feed(&r, s.data + at, s.len - at, &used);
    assert_int_equal(rv, RILL_ERR_CLOSED);
    assert_string_equal(r.log, whole.log);
    rig_finish(&r);
  }
  rig_finish(&whole);
  stream_clear(&s);
}

/* Fed byte by byte, text is refused with its first wrong byte. */
static void test_ws_bad_text_is_refused_at_once(void **state) {
  static const struct {
    const char *text;
    size_t wrong;
  } cases[] = {{"ab\xff" "cd", 2},      {"\xc0\xaf", 0},
               {"\xed\xa0\x80", 1},     {"x\xf4\x90\x80\x80", 2},
               {"\xe2\x82" "a", 2},     {"\xf0\x80\x80\x80", 1}};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int fragmented = 0; fragmented < 2; fragmented++) {
      stream_buf s = {.mask = true};
      size_t at = 6 + cases[i].wrong, used = 0, n = 0;
      rig r;
      rig_init(&r, false);
      if (fragmented != 0)
        for (const char *p = cases[i].text; *p != '\0'; p++)
          put_frame(&s, p == cases[i].text ? TEXT : CONT, p, 1);
      else
        put_text(&s, FIN | TEXT, cases[i].text);
      if (fragmented != 0)
        at = cases[i].wrong * 7 + 6;
      while (n < s.len && rig_feed(&r, s.data + n, 1, &used) == 0)
        n++;
      assert_int_equal(n, at);
      assert_int_equal(r.error.code, 1007);
      assert_int_equal(r.events, 0);
      rig_finish(&r);
      stream_clear(&s);
    }
}

static void test_ws_text_may_not_end_in_a_character(void **state) {
  stream_buf s = {.mask = true};

  (void)state;
  put_text(&s, FIN | TEXT, "a\xe2\x82");
  server_gives(&s, "!1007;");
  put_text(&s, TEXT, "\xe2\x82");
  put_text(&s, FIN | CONT, "");
  server_gives(&s, "!1007;");
  put_text(&s, FIN | BINARY, "a\xe2\x82");
  server_gives(&s, "Ba\xe2\x82;");
}

static void test_ws_close_codes(void **state) {
  (void)state;
  for (unsigned code = 0; code < 5100; code++) {
    bool ok = (code >= 1000 && code <= 1003) ||
              (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    stream_buf s = {.mask = true};
    int rv;
    rig r;
    rig_init(&r, false);
    put_frame(&s, FIN | CLOSE, payload, 2);
    rv = rig_stream(&r, s.data, s.len, code % 3);
    assert_int_equal(rv, ok ? RILL_ERR_CLOSED : RILL_ERR_PROTO);
    assert_int_equal(r.events, ok ? 1 : 0);
    assert_int_equal(r.error.code, ok ? 0 : 1002);
    assert_true(rill__ws_close_code_ok(code) == ok);
    rig_finish(&r);
    stream_clear(&s);
  }
}

static void test_ws_close_reasons(void **state) {
  stream_buf s = {.mask = true};
  char longest[126] = "\x03\xe8";

  (void)state;
  put_text(&s, FIN | CLOSE, "\x03\xe8" "a\xc3\xa9" "b\xc3\xa9" "c");
  server_gives(&s, "x\x03\xe8" "a\xc3\xa9" "b\xc3\xa9" "c;");
  put_text(&s, FIN | CLOSE, "\x03\xe8" "a\xff");
  server_gives(&s, "!1007;");
  put_text(&s, FIN | CLOSE, "\x03\xe8" "a\xc3");
  server_gives(&s, "!1007;");
  put_frame(&s, FIN | CLOSE, "\x03", 1);
  server_gives(&s, "!1002;");
  put_frame(&s, FIN | CLOSE, "", 0);
  put_text(&s, FIN | TEXT, "no more");
  server_gives(&s, "x;");
  memset(longest + 2, 'r', 123);
  put_frame(&s, FIN | CLOSE, longest, 125);
  {
    rig r;
    rig_init(&r, false);
    rig_note(&r, "x", (const uint8_t *)longest, 125);
    server_gives(&s, r.log);
    rig_finish(&r);
  }
}

/* After the first violation nothing is handed out, nor taken. */
static void test_ws_an_error_is_final(void **state) {
  stream_buf s = {.mask = true};
  size_t used;
  rig r;

  (void)state;
  put_text(&s, FIN | TEXT, "good");
  put_text(&s, FIN | 0x3, "bad");
  put_text(&s, FIN | TEXT, "late");
  server_gives(&s, "Tgood;!1002;");

  put_text(&s, FIN | TEXT, "late");
  rig_init(&r, false);
  assert_int_equal(rig_feed(&r, (const uint8_t *)"\x83\x80", 2, &used),
                   RILL_ERR_PROTO);
  assert_false(rill__ws_mid_message(&r.ws));
  assert_int_equal(rig_feed(&r, s.data, s.len, &used), RILL_ERR_CLOSED);
  assert_int_equal(used, 0);
  assert_int_equal(r.events, 0);
  rig_finish(&r);
  stream_clear(&s);
}

static void test_ws_pause_stops_behind_the_message(void **state) {
  stream_buf s = {.mask = true};
  size_t used, first;
  rig r;

  (void)state;
  put_text(&s, FIN | TEXT, "one");
  first = s.len;
  put_text(&s, FIN | PING, "two");
  put_text(&s, TEXT, "thr");
  put_text(&s, FIN | CONT, "ee");
  for (uint32_t cut = 0; cut < 12; cut++) {
    rig_init(&r, false);
    r.answer = RILL_PAUSE;
    assert_int_equal(rig_stream(&r, s.data, s.len, cut), 0);
    assert_string_equal(r.log, "Tone;<two;Tthree;");
    rig_finish(&r);
  }
  rig_init(&r, false);
  r.answer = RILL_PAUSE;
  assert_int_equal(rig_feed(&r, s.data, s.len, &used), RILL_PAUSE);
  assert_int_equal(used, first);
  r.answer = RILL_BUSY; /* no other notice means anything here */
  assert_int_equal(rig_feed(&r, s.data + used, s.len - used, &used), 0);
  assert_string_equal(r.log, "Tone;<two;Tthree;");
  rig_finish(&r);
  stream_clear(&s);
}

static void test_ws_handler_errors_end_it(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    stream_buf s = {.mask = true};
    size_t used;
    rig r;
    rig_init(&r, false);
    r.answer = RILL_ERR_STATE;
    if (kind == 0)
      put_text(&s, FIN | TEXT, "a");
    if (kind == 1)
      put_text(&s, FIN | PING, "a");
    if (kind == 2) {
      put_text(&s, TEXT, "a");
      put_text(&s, FIN | CONT, "a");
    }
    if (kind == 3)
      put_text(&s, FIN | CLOSE, "");
    put_text(&s, FIN | TEXT, "late");
    assert_int_equal(rig_feed(&r, s.data, s.len, &used), RILL_ERR_HANDLER);
    assert_int_equal(r.error.code, 0);
    assert_int_equal(r.events, 1);
    rig_finish(&r);
    stream_clear(&s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ws_every_size_survives),
      cmocka_unit_test(test_ws_lengths_must_be_minimal),
      cmocka_unit_test(test_ws_reserved_bits),
      cmocka_unit_test(test_ws_reserved_opcodes),
      cmocka_unit_test(test_ws_masking_is_the_clients_duty),
      cmocka_unit_test(test_ws_order_of_frames),
      cmocka_unit_test(test_ws_control_between_fragments),
      cmocka_unit_test(test_ws_any_cut_gives_the_same),
      cmocka_unit_test(test_ws_bad_text_is_refused_at_once),
      cmocka_unit_test(test_ws_text_may_not_end_in_a_character),
      cmocka_unit_test(test_ws_close_codes),
      cmocka_unit_test(test_ws_close_reasons),
      cmocka_unit_test(test_ws_an_error_is_final),
      cmocka_unit_test(test_ws_pause_stops_behind_the_message),
      cmocka_unit_test(test_ws_handler_errors_end_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
