/*
 * fuzz_session.c - a whole session: a hub, the fuzzed conn (accepted or
 * dialed), and a second conn in the same room.
 *
 * The first byte chooses the role, deflate, and whether the rest is a stream
 * or a program.  A stream is fed whole, byte by byte and in random cuts:
 * what the handlers see and what goes out must be the same.  A program is a
 * list of steps: bytes, frames, time, writes in part, and commands.
 *
 * Always: handlers run only inside of a call that may run them; on_close
 * comes once, for each peer that was opened or dialed, and last; nothing is
 * delivered behind a violation; what goes out is well-formed for an
 * independent reader; memory stays within a bound, and all of it comes back.
 */
#include "session_loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHOLE, BYTES, RANDOM };

static void run_stream(session *s, uint8_t flags, int cut, uint64_t seed,
                       const uint8_t *data, size_t size) {
  input in = {data, size};
  buf all = {NULL, 0, 0};
  int rv = 0;

  begin(s, flags);
  if ((flags & HELLO) != 0)
    put_hello(s, &all, "a");
  if ((flags & COOKED) == 0)
    buf_add(&all, data, size);
  while ((flags & COOKED) != 0 && in.left > 0 && all.len < 60000)
    cook(s, &in, &all);
  for (size_t at = 0, n; at < all.len && rv == 0; at += n) {
    n = all.len - at;
    if (cut == BYTES)
      n = 1;
    else if (cut == RANDOM && n > 1)
      n = 1 + xorshift(&seed) % (n > 50 ? 50 : n);
    rv = feed(s, &s->a, all.data + at, n);
    turn(s);
    while (s->a.paused)
      resume(s, &s->a);
    if (s->a.conn == NULL)
      break;
  }
  buf_clear(&all);
  if (s->a.violated && s->a.opened && !s->a.closing)
    MUST(s->a.rd.closes == 1);
  finish(s);
}

static void check_same(const session *x, const session *y) {
  if (x->log.len != y->log.len || x->a.out.len != y->a.out.len)
    fprintf(stderr, "whole, %zu out:\n%scut, %zu out:\n%s", x->a.out.len,
            x->log.len > 0 ? (char *)x->log.data : "", y->a.out.len,
            y->log.len > 0 ? (char *)y->log.data : "");
  MUST(x->log.len == y->log.len && x->a.out.len == y->a.out.len);
  if (x->log.len > 0)
    MUST(memcmp(x->log.data, y->log.data, x->log.len) == 0);
  if (x->a.out.len > 0)
    MUST(memcmp(x->a.out.data, y->a.out.data, x->a.out.len) == 0);
}

static void try_stream(uint8_t flags, const uint8_t *data, size_t size) {
  static session whole, other;
  uint64_t seed = 0x9e3779b97f4a7c15u + size;

  run_stream(&whole, flags, WHOLE, 0, data, size);
  for (int cut = size < 3000 ? BYTES : RANDOM; cut <= RANDOM; cut++) {
    run_stream(&other, flags, cut, seed, data, size);
    check_same(&whole, &other);
    clear(&other);
  }
  clear(&whole);
}

static void posted(rill_hub *hub, void *arg) {
  session *s = arg;
  rill_msg msg = rill_text("posted");

  MUST(s->may_run && !s->handling);
  rill_send_all(hub, &msg);
}

static void send_something(session *s, input *in, bool room) {
  static const char text[] =
      "some text that is repeated, some text that is repeated, so that it "
      "can be compressed, some text that is repeated";
  uint8_t how = take(in);
  rill_msg msg = {.data = text,
                  .len = take(in) % sizeof text,
                  .kind = (how & 1) != 0 ? RILL_TEXT : RILL_BINARY,
                  .overflow = (rill_overflow)(how >> 1 & 3),
                  .uncompressed = (how & 8) != 0};
  rill_peer except[1] = {s->a.peer};
  rill_str names[2] = {rill_s("room"), rill_s("other")};
  rill_to to = {.rooms = names,
                .nrooms = 2,
                .except = except,
                .nexcept = (how & 64) != 0};

  if ((how & 16) != 0)
    msg.key = rill_s((how & 32) != 0 ? "k" : "key");
  if (!room)
    rill_send(s->a.peer, &msg);
  else if ((how & 128) != 0)
    rill_send_to(s->hub, &to, &msg);
  else
    rill_send_room(s->hub, names[0], &msg);
}

static void command(session *s, stream *t, uint8_t what) {
  switch (what % 9) {
  case 0:
    if (rill_close(t->peer, 1000, "bye") == 0)
      t->closing = true;
    break;
  case 1:
    rill_join(t->peer, rill_s("other"));
    break;
  case 2:
    rill_join_request(t->peer, rill_s("third"));
    break;
  case 3:
    rill_leave(t->peer, rill_s("room"));
    break;
  case 4:
    if (rill_pause(t->peer) == 0)
      t->paused = true;
    break;
  case 5:
    rill_ping(t->peer);
    break;
  case 6:
    rill_post(s->hub, posted, s);
    break;
  case 7:
    rill_cut(t->peer);
    break;
  default:
    if (s->later != NULL)
      rill_respond(s->later, &(rill_response){.body = "x", .body_len = 1});
    s->later = NULL;
    break;
  }
}

static void feed_step(session *s, input *in, bool cooked) {
  buf bytes = {NULL, 0, 0};
  unsigned wants = s->a.conn != NULL ? rill_wants(s->a.conn) : 0;

  if (cooked) {
    cook(s, in, &bytes);
  } else {
    size_t n = take(in);
    if (n > in->left)
      n = in->left;
    buf_add(&bytes, in->p, n);
    in->p += n;
    in->left -= n;
  }
  if ((wants & RILL_WANT_READ) != 0)
    feed(s, &s->a, bytes.data, bytes.len);
  buf_clear(&bytes);
}

static void step(session *s, input *in) {
  uint8_t op = take(in);

  switch (op % 12) {
  case 0:
    feed_step(s, in, false);
    break;
  case 1:
  case 2:
    feed_step(s, in, true);
    break;
  case 3:
    s->now += take(in) * 50 * RILL_MSEC;
    break;
  case 4:
    s->a.room = take(in);
    if (s->a.conn != NULL)
      serve(s, &s->a);
    break;
  case 5:
    s->a.room = SIZE_MAX;
    if (s->a.conn != NULL)
      serve(s, &s->a);
    break;
  case 6:
    send_something(s, in, false);
    break;
  case 7:
    send_something(s, in, true);
    break;
  case 8:
    command(s, &s->a, take(in));
    break;
  case 9:
    s->a.next = (uint8_t) "ebkcxlp!"[take(in) % 8];
    break;
  case 10:
    resume(s, &s->a);
    break;
  default:
    if (op < 200)
      command(s, &s->b, (uint8_t)(op / 12));
    else if (op < 230)
      rill_drain(s->hub, RILL_SEC, s->now);
    else
      end_stream(s, &s->a);
    break;
  }
}

static void try_program(uint8_t flags, const uint8_t *data, size_t size) {
  static session s;
  input in = {data, size};
  buf hello = {NULL, 0, 0};

  begin(&s, flags);
  if ((flags & HELLO) != 0) {
    put_hello(&s, &hello, "a");
    feed(&s, &s.a, hello.data, hello.len);
    buf_clear(&hello);
    turn(&s);
  }
  while (in.left > 0) {
    step(&s, &in);
    if ((s.flags & LONG_TURNS) == 0 ||
        (in.left & 1) == 0) /* else a long turn */
      turn(&s);
  }
  turn(&s);
  finish(&s);
  clear(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1)
    return 0;
  if ((data[0] & PROGRAM) != 0)
    try_program(data[0], data + 1, size - 1);
  else
    try_stream(data[0], data + 1, size - 1);
  return 0;
}
