/* Limits and memory of what is not complete. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/ws_input.h"
#include "ws_rig.h"

#define FIN RILL__WS_FIN
#define TEXT RILL__WS_TEXT
#define BINARY RILL__WS_BINARY
#define CONT RILL__WS_CONT
#define PING RILL__WS_PING

/* wslay takes its memory from libc: this stands before its own function. */
static counter *wslay_counter;

int wslay_frame_context_init(wslay_frame_context_ptr *ctx,
                             const struct wslay_frame_callbacks *callbacks,
                             void *arg) {
  int (*real)(wslay_frame_context_ptr *, const struct wslay_frame_callbacks *,
              void *);
  void *symbol = dlsym(RTLD_NEXT, "wslay_frame_context_init");

  memcpy(&real, &symbol, sizeof real);
  if (wslay_counter != NULL &&
      ++wslay_counter->calls == wslay_counter->fail_at)
    return WSLAY_ERR_NOMEM;
  return real(ctx, callbacks, arg);
}

/* The header of a frame of |len| bytes, in its minimal form. */
static size_t header(uint8_t *out, uint8_t first, uint64_t len, bool client) {
  static const uint8_t mask[4] = {1, 2, 3, 4};

  return rill__ws_header(out, first, len, client ? NULL : mask);
}

/*
 * Any declared length, alone or behind a fragment, cut anywhere: judged by
 * the header, without memory for the payload.
 */
static void test_input_judges_length_by_header(void **state) {
  const uint64_t limit = 262144;
  const uint64_t lengths[] = {
      0, 1, 125, 126, 127, 65535, 65536, 65537, limit - 1, limit, limit + 1,
      (1u << 31) - 1, 1u << 31, (1ull << 31) + 1, (1ull << 32) - 1,
      1ull << 32, (1ull << 32) + 1, (1ull << 63) - 1, 1ull << 63, UINT64_MAX};

  (void)state;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    for (int variant = 0; variant < 4; variant++) {
      bool client = (variant & 1) != 0;
      size_t before = (variant & 2) != 0 ? 7 : 0;
      bool big = lengths[i] > limit - before;
      uint8_t head[RILL__WS_HEADER_MAX];
      size_t n = header(head, FIN | (before != 0 ? CONT : BINARY), lengths[i],
                        client);
      for (size_t cut = 0; cut < n; cut++) {
        stream_buf s = {.mask = !client};
        size_t used;
        int rv;
        rig r;
        rig_init(&r, client);
        if (before > 0) {
          put_text(&s, BINARY, "7 bytes");
          assert_int_equal(rig_stream(&r, s.data, s.len, WHOLE), 0);
        }
        rv = rig_feed(&r, head, cut, &used);
        assert_int_equal(rv, 0);
        rv = rig_feed(&r, head + cut, n - cut, &used);
        assert_int_equal(rv, big ? RILL_ERR_PROTO : 0);
        assert_true(r.mem.peak < 8192);
        if (big)
          assert_int_equal(r.error.code,
                           lengths[i] >> 63 != 0 ? 1002 : 1009);
        else
          assert_true(rill__ws_mid_message(&r.ws) == (lengths[i] > 0));
        rig_finish(&r);
        stream_clear(&s);
      }
    }
}

/* A header that is cut leaves the WebSocket in the middle of a message. */
static void test_input_knows_a_cut_header(void **state) {
  uint8_t head[RILL__WS_HEADER_MAX];
  size_t n = header(head, FIN | TEXT, 70000, false), used;

  (void)state;
  for (size_t cut = 1; cut <= n; cut++) {
    rig r;
    rig_init(&r, false);
    assert_false(rill__ws_mid_message(&r.ws));
    assert_int_equal(rig_feed(&r, head, cut, &used), 0);
    assert_true(rill__ws_mid_message(&r.ws));
    rig_finish(&r);
  }
}

static void test_input_limits_the_message(void **state) {
  (void)state;
  for (uint32_t limit = 1; limit < 2000; limit = limit * 3 + 7)
    for (uint32_t n = limit - 1; n <= limit + 1; n++)
      for (uint32_t split = 0; split <= n; split += n / 3 + 1) {
        uint8_t *data = calloc(1, n + 1);
        stream_buf s = {.mask = true};
        assert_non_null(data);
        put_frame(&s, BINARY, data, split);
        put_frame(&s, FIN | CONT, data, n - split);
        for (uint32_t cut = 0; cut < 4; cut++) {
          rig r;
          rig_init(&r, false);
          r.limits.message_bytes = limit;
          rig_stream(&r, s.data, s.len, cut);
          assert_int_equal(r.events, n <= limit ? 1 : 0);
          if (n > limit) {
            assert_int_equal(r.error.code, 1009);
            assert_int_equal(r.error.limit, RILL__LIMIT_message_bytes);
          }
          rig_finish(&r);
        }
        free(data);
        stream_clear(&s);
      }
}

/* Empty fragments count as well; what they pin stays small. */
static void test_input_limits_fragments(void **state) {
  (void)state;
  for (size_t size = 0; size < 2; size++)
    for (size_t n = 255; n <= 257; n++) {
      stream_buf s = {.mask = true};
      for (size_t i = 0; i < n; i++)
        put_frame(&s, (uint8_t)((i == 0 ? TEXT : CONT) |
                                (i + 1 == n ? FIN : 0)), "a", size);
      for (uint32_t cut = 0; cut < 4; cut++) {
        rig r;
        rig_init(&r, false);
        rig_stream(&r, s.data, s.len, cut);
        assert_int_equal(r.events, n <= 256 ? 1 : 0);
        if (n > 256) {
          assert_int_equal(r.error.code, 1008);
          assert_int_equal(r.error.limit, RILL__LIMIT_fragments);
        }
        assert_true(r.mem.peak <= 2 * n * size + 2048);
        assert_true(r.mem.calls <= 8); /* growing, not by one byte each */
        rig_finish(&r);
      }
      stream_clear(&s);
    }
}

/* Declared bytes that never come pin no memory; one-byte fragments neither. */
static void test_input_holds_what_arrived(void **state) {
  uint8_t head[RILL__WS_HEADER_MAX], data[4096] = {0};
  size_t n = header(head, FIN | BINARY, 60u << 20, false), used, got = 0;
  rig r;

  (void)state;
  rig_init(&r, false);
  r.limits.message_bytes = 64u << 20;
  assert_int_equal(rig_feed(&r, head, n, &used), 0);
  for (size_t step = 1; got < 1u << 20; got += step) {
    step = step * 2 < sizeof data ? step * 2 : sizeof data;
    assert_int_equal(rig_feed(&r, data, step, &used), 0);
    assert_true(r.env.assembly_bytes >= got + step);
    assert_true(r.env.assembly_bytes <= 4 * (got + step) + 8192);
  }
  rig_finish(&r);
}

/* A quarter of a large message is there: room for all of it, once. */
static void test_input_allocates_large_messages_once(void **state) {
  size_t size = 1u << 20, part = 1u << 18, used;
  stream_buf s = {.mask = true};
  uint8_t *data = calloc(1, size);
  long calls;
  rig r;

  (void)state;
  assert_non_null(data);
  put_frame(&s, FIN | BINARY, data, size);
  rig_init(&r, false);
  r.limits.message_bytes = 64u << 20;
  assert_int_equal(rig_feed(&r, s.data, part, &used), 0);
  calls = r.mem.calls;
  assert_true(r.env.assembly_bytes >= size);
  assert_true(r.env.assembly_bytes <= size + RILL__WS_HEADER_MAX);
  for (size_t at = part; at < s.len; at += part) {
    size_t n = s.len - at < part ? s.len - at : part;
    assert_int_equal(rig_feed(&r, s.data + at, n, &used), 0);
  }
  assert_int_equal(r.mem.calls, calls);
  assert_int_equal(r.events, 1);
  rig_finish(&r);
  free(data);
  stream_clear(&s);
}

/* Between messages nothing is held, and the pool keeps a few inputs. */
static void test_input_is_pooled(void **state) {
  enum { MANY = 20 };
  stream_buf s = {.mask = true};
  static rill__ws many[MANY];
  size_t used;
  long calls;
  rig r;

  (void)state;
  put_text(&s, FIN | TEXT, "abcdef");
  rig_init(&r, false);
  rig_stream(&r, s.data, s.len, BYTES);
  assert_null(r.ws.input);
  calls = r.mem.calls;
  rig_stream(&r, s.data, 8, BYTES);
  rig_stream(&r, s.data + 8, s.len - 8, BYTES);
  assert_int_equal(r.mem.calls, calls + 1); /* the chunk */

  for (int half = 0; half < 2; half++)
    for (int i = 0; i < MANY; i++) {
      uint8_t copy[64];
      size_t at = half == 0 ? 0 : 1, n = half == 0 ? 1 : s.len - 1;
      memcpy(copy, s.data, s.len);
      if (half == 0)
        rill__ws_init(&many[i], false);
      assert_int_equal(rill__ws_feed(&many[i], &r.env, copy + at, n, &used,
                                     &rig_sink, &r, &r.error), 0);
      assert_true(rill__ws_mid_message(&many[i]) == (half == 0));
    }
  assert_int_equal(r.env.nspare, 8);
  rig_finish(&r);
  stream_clear(&s);
}

/* What was left in the middle of a frame does not reach the next one. */
static void test_input_is_not_pooled_in_a_frame(void **state) {
  stream_buf s = {.mask = true};
  size_t used;
  rig r;

  (void)state;
  put_text(&s, FIN | TEXT, "abcdef");
  rig_init(&r, false);
  for (size_t cut = 1; cut < s.len; cut++) {
    assert_int_equal(rig_feed(&r, s.data, cut, &used), 0);
    rill__ws_drop(&r.ws, &r.env);
    rill__ws_init(&r.ws, false);
    assert_int_equal(rig_stream(&r, s.data, s.len, BYTES), 0);
    assert_int_equal(r.events, cut);
  }
  rig_finish(&r);
  stream_clear(&s);
}

typedef struct pair {
  rig r;
  rill__ws other;
  int shed;
} pair;

static void on_shed(void *arg, rill__ws *ws) {
  pair *p = arg;

  assert_ptr_equal(ws, &p->other);
  assert_false(rill__ws_mid_message(&p->other));
  p->shed++;
}

/* |mine| and |others| bytes are held; then |mine| grows. */
static int grow(pair *p, size_t others, size_t mine) {
  static uint8_t data[40000];
  uint8_t head[RILL__WS_HEADER_MAX];
  size_t n = header(head, BINARY, others, false), used;
  int rv;

  rig_init(&p->r, false);
  p->r.limits.assembly_bytes = 30000;
  p->r.env.shed = on_shed;
  p->r.env.shed_arg = p;
  p->shed = 0;
  rill__ws_init(&p->other, false);
  rv = rill__ws_feed(&p->other, &p->r.env, head, n, &used, &rig_sink, &p->r,
                     &p->r.error);
  assert_int_equal(rv, 0);
  rv = rill__ws_feed(&p->other, &p->r.env, data, others, &used, &rig_sink,
                     &p->r, &p->r.error);
  assert_int_equal(rv, 0);
  n = header(head, BINARY, mine, false);
  assert_int_equal(rig_feed(&p->r, head, n, &used), 0);
  return rig_feed(&p->r, data, mine, &used);
}

static void test_input_sheds_the_largest(void **state) {
  pair p;

  (void)state;
  /* Both fit: 15,000 and 14,000 with their headroom. */
  assert_int_equal(grow(&p, 15000, 14000), 0);
  assert_int_equal(p.shed, 0);
  assert_ptr_equal(rill__ws_largest(&p.r.env), &p.other);
  rill__ws_finish(&p.other, &p.r.env);
  assert_ptr_equal(rill__ws_largest(&p.r.env), &p.r.ws);
  rig_finish(&p.r);
  assert_null(rill__ws_largest(&p.r.env));

  /* Exactly full, and one byte more. */
  assert_int_equal(grow(&p, 15000, 15000 - 2 * RILL__WS_HEADER_MAX), 0);
  assert_int_equal(p.shed, 0);
  assert_int_equal(p.r.env.assembly_bytes, 30000);
  rill__ws_finish(&p.other, &p.r.env);
  rig_finish(&p.r);

  /* The other one is larger: it goes. */
  assert_int_equal(grow(&p, 15001, 15000 - 2 * RILL__WS_HEADER_MAX), 0);
  assert_int_equal(p.shed, 1);
  assert_true(p.other.ended);
  rill__ws_finish(&p.other, &p.r.env);
  rig_finish(&p.r);

  /* This one is: it fails. */
  assert_int_equal(grow(&p, 14000, 16000), RILL_ERR_LIMIT);
  assert_int_equal(p.shed, 0);
  assert_int_equal(p.r.error.code, 4013);
  assert_int_equal(p.r.error.limit, RILL__LIMIT_assembly_bytes);
  assert_true(rill__ws_mid_message(&p.other));
  rill__ws_finish(&p.other, &p.r.env);
  rig_finish(&p.r);
}

/* Every allocation fails once: an error or a success, and nothing leaks. */
static void test_input_survives_any_failed_allocation(void **state) {
  static const rill_deflate_opts plain = {.enabled = true},
                                 takeover = {.enabled = true,
                                             .server_context_takeover = true,
                                             .client_context_takeover = true};
  stream_buf s = {.mask = true};
  uint8_t big[3000];
  int failed = 0;

  (void)state;
  for (size_t i = 0; i < sizeof big; i++)
    big[i] = (uint8_t)('a' + i * i % 19);
  put_text(&s, FIN | TEXT, "short");
  put_frame(&s, TEXT, big, sizeof big);
  put_text(&s, FIN | PING, "ping");
  put_frame(&s, CONT, big, sizeof big);
  put_text(&s, FIN | CONT, "end");
  put_frame(&s, FIN | BINARY, big, sizeof big);
  /* RFC 7692 section 7.2.3: "Hello", fragmented, then as a final block. */
  put_frame(&s, RILL__WS_RSV1 | TEXT, "\xf2\x48\xcd", 3);
  put_frame(&s, FIN | CONT, "\xc9\xc9\x07\x00", 4);
  put_frame(&s, FIN | RILL__WS_RSV1 | TEXT,
            "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8);
  put_text(&s, FIN | RILL__WS_CLOSE, "\x03\xe8");

  for (int mode = 0; mode < 8; mode++)
    for (long i = 1;; i++) {
      int rv = RILL_ERR_NOMEM;
      long calls;
      rig r;
      rig_init(&r, false);
      wslay_counter = &r.mem;
      r.mem.fail_at = i;
      if (rig_deflate(&r, (mode & 1) != 0 ? &takeover : &plain))
        rv = rig_stream(&r, s.data, s.len, (uint32_t)mode / 2);
      wslay_counter = NULL;
      calls = r.mem.calls;
      if (rv == RILL_ERR_NOMEM) {
        failed++;
        if (r.ws.pmd != NULL)
          assert_int_equal(r.error.code, 1011);
      } else {
        assert_int_equal(rv, RILL_ERR_CLOSED);
        assert_int_equal(r.events, 7);
      }
      rig_finish(&r);
      if (calls < i) {
        assert_int_equal(rv, RILL_ERR_CLOSED);
        break;
      }
    }
  assert_true(failed > 40);
  stream_clear(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_input_judges_length_by_header),
      cmocka_unit_test(test_input_knows_a_cut_header),
      cmocka_unit_test(test_input_limits_the_message),
      cmocka_unit_test(test_input_limits_fragments),
      cmocka_unit_test(test_input_holds_what_arrived),
      cmocka_unit_test(test_input_allocates_large_messages_once),
      cmocka_unit_test(test_input_is_pooled),
      cmocka_unit_test(test_input_is_not_pooled_in_a_frame),
      cmocka_unit_test(test_input_sheds_the_largest),
      cmocka_unit_test(test_input_survives_any_failed_allocation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
