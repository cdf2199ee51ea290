#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

#include "ws_rig.h"

#define FIN RILL__WS_FIN
#define RSV1 RILL__WS_RSV1
#define TEXT RILL__WS_TEXT
#define BINARY RILL__WS_BINARY
#define CONT RILL__WS_CONT

static rill_deflate_opts with_bits(uint8_t bits, bool takeover) {
  return (rill_deflate_opts){.enabled = true,
                             .server_context_takeover = takeover,
                             .client_context_takeover = takeover,
                             .server_max_window_bits = bits,
                             .client_max_window_bits = bits};
}

/* Text like real messages: it repeats itself, near and far. */
static void fill(uint8_t *data, size_t len, uint32_t seed) {
  for (size_t i = 0; i < len; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = i > 500 && (seed >> 20) % 8 != 0 ? data[i - 1 - (i * 7) % 499]
                                               : (uint8_t)('a' + (seed >> 27));
  }
}

static void deflate_frame(rig *from, stream_buf *s, uint8_t opcode,
                          const void *data, size_t len) {
  rill__bytes out;

  rill__bytes_init(&out, &from->alloc);
  assert_int_equal(
      rill__pmd_deflate(from->ws.pmd, &from->env, data, len, &out), 0);
  put_frame(s, FIN | RSV1 | opcode, out.data, out.len);
  rill__bytes_finish(&out);
}

/* Each window, both ways, with and without takeover, messages of all sizes. */
static void test_deflate_round_trips(void **state) {
  static const size_t sizes[] = {5, 0, 1000, 1, 0, 40000, 262144, 300, 70000};
  static uint8_t data[262144];

  (void)state;
  for (uint8_t bits = 9; bits <= 15; bits++)
    for (int mode = 0; mode < 4; mode++) {
      rill_deflate_opts opts = with_bits(bits, (mode & 1) != 0);
      bool client = (mode & 2) != 0;
      stream_buf s = {.mask = client};
      rig from, to;
      rig_init(&from, client);
      rig_init(&to, !client);
      assert_true(rig_deflate(&from, &opts) && rig_deflate(&to, &opts));
      assert_int_equal(rill__pmd_send_bits(from.ws.pmd), bits);
      for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        fill(data, sizes[i], i / 2);
        deflate_frame(&from, &s, BINARY, data, sizes[i]);
        rig_note(&from, "B", data, sizes[i]);
        assert_int_equal(rig_stream(&to, s.data, s.len, i + 2), 0);
        stream_clear(&s);
      }
      assert_string_equal(to.log, from.log);
      rig_finish(&from);
      rig_finish(&to);
    }
}

/* With takeover the second of two equal messages is much shorter. */
static void test_deflate_takeover_pays(void **state) {
  static uint8_t data[600];

  (void)state;
  for (int takeover = 0; takeover < 2; takeover++) {
    rill_deflate_opts opts = with_bits(12, takeover != 0);
    size_t first, second;
    rill__bytes out;
    rig r;
    rig_init(&r, false);
    rill__bytes_init(&out, &r.alloc);
    assert_true(rig_deflate(&r, &opts));
    fill(data, sizeof data, 9);
    rill__pmd_deflate(r.ws.pmd, &r.env, data, sizeof data, &out);
    first = out.len;
    rill__pmd_deflate(r.ws.pmd, &r.env, data, sizeof data, &out);
    second = out.len - first;
    if (takeover != 0)
      assert_true(second * 4 < first);
    else
      assert_int_equal(second, first);
    rill__bytes_finish(&out);
    rig_finish(&r);
  }
}

/* Shared messages between own ones do not upset the peer's window. */
static void test_deflate_foreign_messages_between(void **state) {
  rill_deflate_opts opts = with_bits(12, true);
  stream_buf s = {.mask = false};
  static uint8_t data[3000];
  rill__bytes out;
  rig from, to;

  (void)state;
  rig_init(&from, false);
  rig_init(&to, true);
  assert_true(rig_deflate(&from, &opts) && rig_deflate(&to, &opts));
  for (uint32_t i = 0; i < 20; i++) {
    fill(data, sizeof data, i % 3);
    rig_note(&from, "B", data, sizeof data);
    if (i % 4 != 2) {
      deflate_frame(&from, &s, BINARY, data, sizeof data);
      continue;
    }
    rill__bytes_init(&out, &from.alloc);
    assert_int_equal(rill__pmd_deflate_shared(&from.env, 12, &opts, data,
                                              sizeof data, &out), 0);
    rill__pmd_foreign(from.ws.pmd);
    put_frame(&s, FIN | RSV1 | BINARY, out.data, out.len);
    rill__bytes_finish(&out);
  }
  assert_int_equal(rig_stream(&to, s.data, s.len, WHOLE), 0);
  assert_string_equal(to.log, from.log);
  rig_finish(&from);
  rig_finish(&to);
  stream_clear(&s);
}

/* With 8 bits asked for nothing refers back, so any window will do. */
static void test_deflate_for_a_window_of_8_bits(void **state) {
  rill__pmd_params params = {false, false, 8, 8};
  rill_deflate_opts opts = with_bits(9, true);
  stream_buf s = {.mask = false};
  static uint8_t data[3000];
  rig from, to;

  (void)state;
  memset(data, 'a', sizeof data);
  rig_init(&from, false);
  rig_init(&to, true);
  from.ws.pmd = rill__pmd_new(&from.env, false, &params, &opts);
  to.ws.pmd = rill__pmd_new(&to.env, true, &params, &opts);
  for (int i = 0; i < 3; i++) {
    rig_note(&from, "B", data, sizeof data);
    deflate_frame(&from, &s, BINARY, data, sizeof data);
  }
  /* One bit for each byte at least: no run was shortened to a reference. */
  assert_true(s.len > 3 * sizeof data / 8);
  assert_int_equal(rig_stream(&to, s.data, s.len, WHOLE), 0);
  assert_string_equal(to.log, from.log);
  rig_finish(&from);
  rig_finish(&to);
  stream_clear(&s);
}

static void stream_gives(const stream_buf *s, bool takeover,
                         const char *log) {
  rill_deflate_opts opts = with_bits(15, takeover);

  for (uint32_t cut = 0; cut < 8; cut++) {
    rig r;
    rig_init(&r, false);
    assert_true(rig_deflate(&r, &opts));
    rig_stream(&r, s->data, s->len, cut);
    assert_string_equal(r.log, log);
    rig_finish(&r);
  }
}

/* RFC 7692 section 7.2.3. */
static void test_inflate_the_examples(void **state) {
  stream_buf s = {.mask = true};

  (void)state;
  put_frame(&s, FIN | RSV1 | TEXT, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
  put_frame(&s, RSV1 | TEXT, "\xf2\x48\xcd", 3);
  put_frame(&s, FIN | RILL__WS_PING, "p", 1);
  put_frame(&s, FIN | CONT, "\xc9\xc9\x07\x00", 4);
  /* A stored block. */
  put_frame(&s, FIN | RSV1 | TEXT,
            "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11);
  /* A final block, with and without the byte behind it. */
  put_frame(&s, FIN | RSV1 | TEXT, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8);
  put_frame(&s, FIN | RSV1 | TEXT, "\xf3\x48\xcd\xc9\xc9\x07\x00", 7);
  /* Two blocks in one message. */
  put_frame(&s, FIN | RSV1 | TEXT,
            "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13);
  /* No compressed byte at all, and the empty message. */
  put_frame(&s, FIN | RSV1 | TEXT, "", 0);
  put_frame(&s, FIN | RSV1 | TEXT, "\x00", 1);
  put_frame(&s, RSV1 | TEXT, "", 0);
  put_frame(&s, FIN | CONT, "", 0);
  stream_gives(&s, false, "THello;<p;THello;THello;THello;THello;THello;T;T;"
                          "T;");
  /* With the window kept: the second refers to the first. */
  stream_clear(&s);
  put_frame(&s, FIN | RSV1 | TEXT, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
  put_frame(&s, FIN | RSV1 | TEXT, "\xf2\x00\x11\x00\x00", 5);
  put_frame(&s, FIN | RSV1 | TEXT, "\xf3\x48\xcd\xc9\xc9\x07\x00", 7);
  put_frame(&s, FIN | RSV1 | TEXT, "\xf2\x00\x11\x00\x00", 5);
  stream_gives(&s, true, "THello;THello;THello;THello;");
  /* Without it, there is nothing to refer to. */
  stream_gives(&s, false, "THello;!1007;");
  stream_clear(&s);
}

static void test_inflate_refuses_what_is_broken(void **state) {
  static const struct {
    const char *data;
    size_t len;
  } bad[] = {{"\xff", 1},
             {"\xf2\x48\xcd\xc9", 4},         /* ends inside of a block */
             {"\x00\x06\x00\xf9\xff\x48", 6}, /* and of a stored one */
             {"\x07\x00\x00", 3},
             {"\x00\x05\x00\x00\x00\x48\x65\x6c\x6c\x6f\x00", 11}};

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    stream_buf s = {.mask = true};
    put_frame(&s, FIN | RSV1 | BINARY, bad[i].data, bad[i].len);
    stream_gives(&s, true, "!1007;");
    stream_gives(&s, false, "!1007;");
    stream_clear(&s);
  }
}

/* A final block gives much more output than there is room at first. */
static void test_inflate_a_long_final_block(void **state) {
  static uint8_t data[5000], packed[6000];

  (void)state;
  for (size_t len = 200; len < sizeof data; len += len < 600 ? 1 : 173) {
    stream_buf s = {.mask = true};
    z_stream z = {0};
    rig log;
    memset(data, 'a', len);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -15, 8,
                                  Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = data;
    z.avail_in = (uInt)len;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    put_frame(&s, FIN | RSV1 | TEXT, packed, sizeof packed - z.avail_out);
    deflateEnd(&z);
    rig_init(&log, false);
    rig_note(&log, "T", data, len);
    stream_gives(&s, false, log.log);
    rig_finish(&log);
    stream_clear(&s);
  }
}

/* Each final block costs a copy of the window: not thousands of them. */
static void test_inflate_limits_final_blocks(void **state) {
  (void)state;
  for (size_t n = 16; n <= 18; n++) {
    stream_buf s = {.mask = true};
    uint8_t data[40];
    for (size_t i = 0; i < n; i++)
      memcpy(data + 2 * i, "\x03\x00", 2);
    put_frame(&s, FIN | RSV1 | BINARY, data, 2 * n);
    stream_gives(&s, true, n <= 17 ? "B;" : "!1007;");
    stream_clear(&s);
  }
}

static void test_inflate_checks_text(void **state) {
  stream_buf s = {.mask = true};
  rill_deflate_opts opts = with_bits(12, false);
  rig r;

  (void)state;
  rig_init(&r, true);
  assert_true(rig_deflate(&r, &opts));
  deflate_frame(&r, &s, TEXT, "\xe2\x82\xac", 3);
  deflate_frame(&r, &s, BINARY, "\xe2\x82", 2);
  deflate_frame(&r, &s, TEXT, "\xe2\x82", 2);
  stream_gives(&s, false, "T\xe2\x82\xac;B\xe2\x82;!1007;");
  stream_clear(&s);
  deflate_frame(&r, &s, TEXT, "a\xff" "b", 3);
  stream_gives(&s, false, "!1007;");
  stream_clear(&s);
  rig_finish(&r);
}

/* Outputs at the limit and around it, and around each step of growth. */
static void test_inflate_at_the_edges(void **state) {
  static uint8_t data[5000];
  rill_deflate_opts opts = with_bits(12, false);
  rig from;

  (void)state;
  fill(data, sizeof data, 5);
  rig_init(&from, true);
  assert_true(rig_deflate(&from, &opts));
  for (size_t n = 0; n < sizeof data; n = n < 1100 ? n + 1 : n + 97) {
    stream_buf s = {.mask = true};
    deflate_frame(&from, &s, BINARY, data, n);
    for (uint32_t limit = n > 1 ? (uint32_t)n - 1 : 1; limit <= n + 1;
         limit++) {
      rig r;
      rig_init(&r, false);
      r.limits.message_bytes = limit;
      assert_true(rig_deflate(&r, &opts));
      rig_stream(&r, s.data, s.len, (uint32_t)n % 5);
      if (n > limit) {
        assert_int_equal(r.events, 0);
        assert_int_equal(r.error.code, 1009);
        assert_int_equal(r.error.limit, RILL__LIMIT_message_bytes);
      } else {
        assert_int_equal(r.events, 1);
      }
      rig_finish(&r);
    }
    stream_clear(&s);
  }
  rig_finish(&from);
}

/* What cannot be compressed is a little longer on the wire than allowed. */
static void test_inflate_takes_noise_of_full_size(void **state) {
  static uint8_t data[262144];
  rill_deflate_opts opts = with_bits(15, false);
  uint32_t seed = 1;

  (void)state;
  for (size_t i = 0; i < sizeof data; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = (uint8_t)(seed >> 24);
  }
  for (uint8_t memory = 1; memory <= 9; memory++) {
    stream_buf s = {.mask = true};
    rig from, to;
    opts.memory_level = memory;
    opts.level = memory;
    rig_init(&from, true);
    rig_init(&to, false);
    assert_true(rig_deflate(&from, &opts) && rig_deflate(&to, &opts));
    deflate_frame(&from, &s, BINARY, data, sizeof data);
    assert_true(s.len > sizeof data);
    assert_int_equal(rig_stream(&to, s.data, s.len, WHOLE), 0);
    assert_int_equal(to.events, 1);
    rig_finish(&from);
    rig_finish(&to);
    stream_clear(&s);
  }
}

/*
 * 64 MiB of zeros in 64 KiB: in one frame, in fragments of one byte, and
 * with a window from an earlier message.
 */
static void test_inflate_stops_bombs(void **state) {
  size_t len = 64u << 20;
  uint8_t *zeros = calloc(1, len);

  (void)state;
  assert_non_null(zeros);
  for (int mode = 0; mode < 8; mode++) {
    bool takeover = (mode & 1) != 0, fragments = (mode & 2) != 0;
    bool by_ratio = (mode & 4) != 0;
    rill_deflate_opts opts = with_bits(15, takeover);
    stream_buf s = {.mask = true};
    rill__bytes out;
    rig from, to;
    opts.level = 9;
    rig_init(&from, true);
    rig_init(&to, false);
    assert_true(rig_deflate(&from, &opts) && rig_deflate(&to, &opts));
    to.limits.message_bytes = by_ratio ? 67108864 : 262144;
    to.limits.inflate_ratio = by_ratio ? 100 : 1100;
    to.limits.fragments = 1048576;
    if (takeover)
      deflate_frame(&from, &s, BINARY, zeros, 1000);
    rill__bytes_init(&out, &from.alloc);
    rill__pmd_deflate(from.ws.pmd, &from.env, zeros, len, &out);
    if (fragments)
      for (size_t i = 0; i < out.len; i++)
        put_frame(&s, (uint8_t)((i == 0 ? RSV1 | BINARY : CONT) |
                                (i + 1 == out.len ? FIN : 0)),
                  out.data + i, 1);
    else
      put_frame(&s, FIN | RSV1 | BINARY, out.data, out.len);
    assert_int_equal(rig_stream(&to, s.data, s.len, WHOLE), RILL_ERR_PROTO);
    assert_int_equal(to.events, takeover ? 1 : 0);
    assert_int_equal(to.error.code, 1009);
    assert_int_equal(to.error.limit, by_ratio ? RILL__LIMIT_inflate_ratio
                                              : RILL__LIMIT_message_bytes);
    /* 64 KiB may give 6.4 MiB; the limit is never passed by much. */
    assert_true(to.mem.largest <= (by_ratio ? 20000000 : 300000));
    rill__bytes_finish(&out);
    rig_finish(&from);
    rig_finish(&to);
    stream_clear(&s);
  }
  free(zeros);
}

/* The ratio is that of the whole frame, however it is cut; small is free. */
static void test_inflate_ratio_counts_above_16_kib(void **state) {
  static uint8_t zeros[40000];
  static const struct {
    size_t len;
    bool fine;
  } cases[] = {{16384, true}, {16385, false}, {40000, false}};
  rill_deflate_opts opts = with_bits(15, false);
  stream_buf s = {.mask = true};
  rig from, log;

  (void)state;
  opts.level = 9;
  rig_init(&from, true);
  assert_true(rig_deflate(&from, &opts));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    rig_init(&log, false);
    rig_note(&log, cases[i].fine ? "B" : "!1009", zeros,
             cases[i].fine ? cases[i].len : 0);
    deflate_frame(&from, &s, BINARY, zeros, cases[i].len);
    stream_gives(&s, false, log.log);
    stream_clear(&s);
    rig_finish(&log);
  }
  rig_finish(&from);
}

/* Without takeover nothing but the pmd itself is kept per connection. */
static void test_deflate_streams_are_pooled(void **state) {
  static uint8_t data[2000];
  rill_deflate_opts opts = with_bits(12, false);
  rill__bytes out;
  size_t live;
  long calls;
  rig r;

  (void)state;
  rig_init(&r, false);
  assert_true(rig_deflate(&r, &opts));
  rill__bytes_init(&out, &r.alloc);
  assert_true(rill__bytes_reserve(&out, 65536));
  rill__pmd_deflate(r.ws.pmd, &r.env, data, sizeof data, &out);
  live = r.mem.live;
  calls = r.mem.calls;
  for (int i = 0; i < 100; i++)
    rill__pmd_deflate(r.ws.pmd, &r.env, data, sizeof data, &out);
  assert_int_equal(r.mem.live, live);
  assert_int_equal(r.mem.calls, calls);
  /* Other parameters push out the oldest; four are kept. */
  for (int round = 0; round < 2; round++)
    for (uint8_t bits = 9; bits <= 15; bits++)
      rill__pmd_deflate_shared(&r.env, bits, &opts, data, sizeof data, &out);
  live = r.mem.live;
  for (uint8_t bits = 9; bits <= 15; bits++)
    rill__pmd_deflate_shared(&r.env, bits, &opts, data, sizeof data, &out);
  assert_int_equal(r.mem.live, live);
  rill__bytes_finish(&out);
  rig_finish(&r);
}

/* A failed allocation leaves |out| alone, and the next message is right. */
static void test_deflate_survives_any_failed_allocation(void **state) {
  static uint8_t data[20000];
  int failed = 0;

  (void)state;
  fill(data, sizeof data, 3);
  for (int takeover = 0; takeover < 2; takeover++)
    for (long i = 1;; i++) {
      rill_deflate_opts opts = with_bits(12, takeover != 0);
      stream_buf s = {.mask = true};
      rill__bytes out;
      long calls;
      rig from, to;
      rig_init(&from, true);
      rig_init(&to, false);
      assert_true(rig_deflate(&from, &opts) && rig_deflate(&to, &opts));
      rill__bytes_init(&out, &from.alloc);
      from.mem.fail_at = from.mem.calls + i;
      for (size_t k = 0; k < 4; k++) {
        size_t len = k == 2 ? 0 : sizeof data >> k, before = out.len;
        int rv = rill__pmd_deflate(from.ws.pmd, &from.env, data, len, &out);
        if (rv != 0) {
          assert_int_equal(rv, RILL_ERR_NOMEM);
          assert_int_equal(out.len, before);
          failed++;
          continue;
        }
        put_frame(&s, FIN | RSV1 | BINARY, out.data + before,
                  out.len - before);
        rig_note(&from, "B", data, len);
      }
      assert_int_equal(rig_stream(&to, s.data, s.len, WHOLE), 0);
      assert_string_equal(to.log, from.log);
      calls = from.mem.calls;
      rill__bytes_finish(&out);
      i = calls < from.mem.fail_at ? -1 : i;
      rig_finish(&from);
      rig_finish(&to);
      stream_clear(&s);
      if (i < 0)
        break;
    }
  assert_true(failed > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_deflate_round_trips),
      cmocka_unit_test(test_deflate_takeover_pays),
      cmocka_unit_test(test_deflate_foreign_messages_between),
      cmocka_unit_test(test_deflate_for_a_window_of_8_bits),
      cmocka_unit_test(test_inflate_the_examples),
      cmocka_unit_test(test_inflate_refuses_what_is_broken),
      cmocka_unit_test(test_inflate_a_long_final_block),
      cmocka_unit_test(test_inflate_limits_final_blocks),
      cmocka_unit_test(test_inflate_checks_text),
      cmocka_unit_test(test_inflate_at_the_edges),
      cmocka_unit_test(test_inflate_takes_noise_of_full_size),
      cmocka_unit_test(test_inflate_stops_bombs),
      cmocka_unit_test(test_inflate_ratio_counts_above_16_kib),
      cmocka_unit_test(test_deflate_streams_are_pooled),
      cmocka_unit_test(test_deflate_survives_any_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
