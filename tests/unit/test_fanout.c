/*
 * Sending to many: each message once to each, in the order of the calls,
 * encoded once however many there are.
 */
#include "pair.h"

#include <zlib.h>

typedef struct reader {
  end *e;
  z_stream z;
  bool deflate, takeover;
  buf got;      /* every message, each followed by LF */
  buf expected; /* by the model */
  size_t packed, plain;
} reader;

static void reader_open(pair *p, reader *r, const char *path,
                        const char *offer) {
  char value[256];
  const char *answer, *bits;
  int window = 15;

  memset(r, 0, sizeof *r);
  r->e = pair_open_at(p, path, offer);
  answer = head_value(&r->e->http_head, "Sec-WebSocket-Extensions", value);
  r->deflate = answer != NULL;
  buf_text(&r->got, "");
  buf_text(&r->expected, "");
  if (!r->deflate)
    return;
  r->takeover = strstr(answer, "server_no_context_takeover") == NULL;
  bits = strstr(answer, "server_max_window_bits=");
  if (bits != NULL)
    window = (int)strtol(bits + strlen("server_max_window_bits="), NULL, 10);
  MUST(inflateInit2(&r->z, -window) == Z_OK);
}

static void reader_close(reader *r) {
  if (r->deflate)
    inflateEnd(&r->z);
  buf_clear(&r->got);
  buf_clear(&r->expected);
}

static void inflate_frame(reader *r, frame *f) {
  static uint8_t out[1 << 20];
  uint8_t *in = malloc(f->len + 4);

  MUST(in != NULL && r->deflate);
  memcpy(in, f->data, f->len);
  memcpy(in + f->len, "\0\0\xff\xff", 4);
  r->z.next_in = in;
  r->z.avail_in = (uInt)f->len + 4;
  r->z.next_out = out;
  r->z.avail_out = sizeof out;
  MUST(inflate(&r->z, Z_SYNC_FLUSH) == Z_OK && r->z.avail_in == 0);
  buf_add(&r->got, out, sizeof out - r->z.avail_out);
  if (!r->takeover)
    MUST(inflateReset(&r->z) == Z_OK);
  free(in);
  r->packed++;
}

/* All messages that have come. */
static void reader_read(reader *r) {
  frame f;

  while (end_next_frame(r->e, &f)) {
    if (f.opcode == 9)
      continue;
    MUST(f.opcode == 1 && f.fin);
    if (f.rsv1) {
      inflate_frame(r, &f);
    } else {
      buf_add(&r->got, f.data, f.len);
      r->plain++;
    }
    buf_text(&r->got, "\n");
  }
}

static void expect(reader *r, const char *text) {
  buf_text(&r->expected, text);
  buf_text(&r->expected, "\n");
}

static void test_fanout_encodes_once(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("the same bytes");
  rill_iov iov[3][4];
  end *e[3];

  pair_begin(p);
  for (int i = 0; i < 3; i++) {
    e[i] = pair_open(p);
    rill_join(e[i]->peer, rill_s("r"));
  }
  for (int i = 0; i < 5; i++)
    rill_send_room(p->hub, rill_s("r"), &m);
  assert_int_equal(rill_peer_queued(e[1]->peer), 5 * 16);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(rill_pending(e[i]->conn, iov[i], 4), 1);
    assert_int_equal(iov[i][0].len, 5 * 16);
    assert_ptr_equal(iov[i][0].base, iov[0][0].base);
  }
  /* a union likewise, behind them in the same chunk */
  assert_int_equal(
      rill_send_to(p->hub,
                   &(rill_to){.all = true, .except = &e[1]->peer, .nexcept = 1},
                   &m),
      0);
  assert_int_equal(rill_pending(e[0]->conn, iov[0], 4), 1);
  assert_int_equal(iov[0][0].len, 6 * 16);
  assert_int_equal(rill_pending(e[1]->conn, iov[1], 4), 1);
  assert_int_equal(iov[1][0].len, 5 * 16);
  assert_int_equal(pair_metrics(p).messages_out_total, 17);
}

static void test_fanout_compresses_once_per_window(void **state) {
  rill_route_opts opts = {.deflate = {.enabled = true,
                                      .server_max_window_bits = 15,
                                      .server_context_takeover = true,
                                      .threshold = 10}};
  pair *p = *state;
  rill_msg m = rill_text("compressed once, once, once, once, once, once");
  rill_iov iov[4][2];
  end *e[4];

  pair_begin(p);
  pair_route(p, "/z", &opts);
  e[0] =
      pair_open_at(p, "/z", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
  e[1] = pair_open_at(p, "/z",
                      "Sec-WebSocket-Extensions: permessage-deflate; "
                      "server_no_context_takeover\r\n");
  e[2] = pair_open_at(p, "/z",
                      "Sec-WebSocket-Extensions: permessage-deflate; "
                      "server_max_window_bits=10\r\n");
  e[3] = pair_open_at(p, "/z", "");
  rill_send_all(p->hub, &m);
  for (int i = 0; i < 4; i++)
    assert_int_equal(rill_pending(e[i]->conn, iov[i], 2), 1);
  assert_ptr_equal(iov[0][0].base, iov[1][0].base);
  assert_ptr_not_equal(iov[0][0].base, iov[2][0].base);
  assert_ptr_not_equal(iov[0][0].base, iov[3][0].base);
  assert_true(iov[0][0].len < iov[3][0].len);
  assert_int_equal(pair_metrics(p).deflated_total, 2);
  /* short ones, and those that are to stay plain, do so */
  m.uncompressed = true;
  rill_send_all(p->hub, &m);
  m = rill_text("short");
  rill_send_all(p->hub, &m);
  pair_turn(p);
  for (int i = 0; i < 4; i++)
    assert_non_null(strstr(end_took(e[i]),
                           "; text compressed once, once, once, once, once, "
                           "once; text short"));
  assert_int_equal(pair_metrics(p).deflated_total, 2);
}

static void test_fanout_union_without_duplicates(void **state) {
  pair *p = *state;
  enum { N = 24, ROOMS = 5 };
  static const char *const rooms[ROOMS] = {"a", "b", "c", "d", "none"};
  end *e[N];
  bool in[N][ROOMS] = {{false}};

  p->quiet = true;
  pair_begin(p);
  for (int i = 0; i < N; i++) {
    e[i] = pair_open(p);
    for (int k = 0; k < ROOMS - 1; k++)
      if (xorshift(&p->seed) >> 20 & 1) {
        in[i][k] = true;
        rill_join(e[i]->peer, rill_s(rooms[k]));
      }
  }
  for (int step = 0; step < 2000; step++) {
    rill_str some[4], not_some[4];
    rill_peer peers[6], not_peers[6];
    rill_to to = {.rooms = some,
                  .peers = peers,
                  .except = not_peers,
                  .except_rooms = not_some};
    bool reached[N] = {false};
    char text[16];
    rill_msg m;
    uint64_t r = xorshift(&p->seed) >> 10;
    to.all = r % 8 == 0;
    for (int i = 0; i < N; i++)
      reached[i] = to.all;
    for (size_t n = r / 8 % 4; to.nrooms < n; to.nrooms++) {
      uint64_t k = xorshift(&p->seed) % ROOMS;
      some[to.nrooms] = rill_s(rooms[k]); /* perhaps one twice */
      for (int i = 0; i < N; i++)
        reached[i] |= in[i][k];
    }
    for (size_t n = r / 32 % 6; to.npeers < n; to.npeers++) {
      uint64_t i = xorshift(&p->seed) % N;
      peers[to.npeers] = e[i]->peer;
      reached[i] = true;
    }
    for (size_t n = r / 256 % 8 == 0 ? 3 : 0; to.nexcept < n; to.nexcept++) {
      uint64_t i = xorshift(&p->seed) % N;
      not_peers[to.nexcept] = e[i]->peer;
      reached[i] = false;
    }
    for (size_t n = r / 2048 % 6 == 0 ? 2 : 0; to.nexcept_rooms < n;
         to.nexcept_rooms++) {
      uint64_t k = xorshift(&p->seed) % ROOMS;
      not_some[to.nexcept_rooms] = rill_s(rooms[k]);
      for (int i = 0; i < N; i++)
        reached[i] &= !in[i][k];
    }
    snprintf(text, sizeof text, "%d", step);
    m = rill_text(text);
    assert_int_equal(rill_send_to(p->hub, &to, &m), 0);
    pair_turn(p);
    for (int i = 0; i < N; i++) {
      char took[32];
      snprintf(took, sizeof took, "text %d", step);
      assert_string_equal(end_took(e[i]), reached[i] ? took : "");
    }
  }
}

static int be_user(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "auth") == 0
             ? rill_accept(e->req, rill_request_query(e->req, "token"))
             : 0;
}

static void test_fanout_to_users(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("x");
  rill_str both[] = {RILL_STR("ann"), RILL_STR("bob"), RILL_STR("ann"),
                     RILL_STR("nobody")};
  end *ann1, *ann2, *bob, *anonymous;

  p->config.authenticate = pair_authenticate;
  p->act = be_user;
  pair_begin(p);
  ann1 = pair_open_at(p, "/ws?token=ann", "");
  ann2 = pair_open_at(p, "/ws?token=ann", "");
  bob = pair_open_at(p, "/ws?token=bob", "");
  anonymous = pair_open_at(p, "/ws", "");
  assert_int_equal(pair_metrics(p).users, 2);
  assert_int_equal(rill_send_user(p->hub, rill_s("ann"), &m), 0);
  assert_int_equal(rill_send_user(p->hub, rill_s("nobody"), &m), 0);
  assert_int_equal(rill_send_user(p->hub, rill_s(""), &m), 0);
  pair_turn(p);
  assert_string_equal(end_took(ann1), "text x");
  assert_string_equal(end_took(ann2), "text x");
  assert_string_equal(end_took(bob), "");
  rill_send_to(
      p->hub,
      &(rill_to){
          .users = both, .nusers = 4, .except = &ann1->peer, .nexcept = 1},
      &m);
  pair_turn(p);
  assert_string_equal(end_took(ann1), "");
  assert_string_equal(end_took(ann2), "text x");
  assert_string_equal(end_took(bob), "text x");
  assert_string_equal(end_took(anonymous), "");
  rill_cut(ann1->peer);
  rill_cut(bob->peer);
  pair_turn(p);
  assert_int_equal(pair_metrics(p).users, 1);
  rill_send_user(p->hub, rill_s("ann"), &m);
  rill_send_user(p->hub, rill_s("bob"), &m);
  pair_turn(p);
  assert_string_equal(end_took(ann2), "text x");
}

static void test_fanout_handles_that_are_none(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("x"), none = {.kind = (rill_kind)3};
  rill_peer peers[3] = {{0}};
  end *e, *gone;

  pair_begin(p);
  e = pair_open(p);
  gone = pair_open(p);
  rill_cut(gone->peer);
  pair_turn(p);
  assert_int_equal(rill_hub_new(&p->other, &p->config), 0);
  peers[1] = gone->peer;
  peers[2] = (rill_peer){p->other, e->peer.slot, e->peer.generation};
  assert_int_equal(
      rill_send_to(p->hub, &(rill_to){.peers = peers, .npeers = 3}, &m), 0);
  assert_int_equal(rill_send_to(p->hub, &(rill_to){0}, &m), 0);
  assert_int_equal(rill_send_room(p->hub, rill_s("none"), &m), 0);
  assert_int_equal(rill_send_all(p->hub, &none), RILL_ERR_ARG);
  assert_int_equal(rill_send_to(p->hub, &(rill_to){.peers = peers}, &none),
                   RILL_ERR_ARG);
  pair_turn(p);
  assert_string_equal(end_took(e), "");
  rill_send_to(p->hub, &(rill_to){.all = true, .except = peers, .nexcept = 3},
               &m);
  pair_turn(p);
  assert_string_equal(end_took(e), "text x");
}

static const char *words(pair *p, char *out, int serial) {
  static const char *const some[] = {"alpha ", "beta ", "gamma ", "delta "};
  size_t n = xorshift(&p->seed) % 4 == 0 ? 60 : 3;

  sprintf(out, "%d ", serial);
  for (size_t i = 0; i < n; i++)
    strcat(out, some[xorshift(&p->seed) >> 30 & 3]);
  return out;
}

/*
 * Everything interleaved, to peers of every kind: what each gets is what a
 * list per peer says, in that order.
 */
static void test_fanout_order_of_the_calls(void **state) {
  enum { N = 14 };
  static const char *const offers[] = {
      "",
      "Sec-WebSocket-Extensions: permessage-deflate\r\n",
      "Sec-WebSocket-Extensions: permessage-deflate; "
      "server_no_context_takeover\r\n",
      "Sec-WebSocket-Extensions: permessage-deflate; "
      "server_max_window_bits=9\r\n",
      "Sec-WebSocket-Extensions: permessage-deflate; "
      "server_max_window_bits=8\r\n",
      "Sec-WebSocket-Extensions: permessage-deflate; "
      "server_max_window_bits=12; server_no_context_takeover\r\n"};
  rill_route_opts opts = {.deflate = {.enabled = true,
                                      .server_max_window_bits = 15,
                                      .server_context_takeover = true,
                                      .client_context_takeover = true,
                                      .threshold = 60}};
  pair *p = *state;
  static reader r[N];
  bool in[N][2] = {{false}};
  char text[1024];
  size_t packed = 0, plain = 0;

  p->quiet = true;
  p->config.limits.soft_bytes = p->config.limits.queue_bytes = 64 << 20;
  p->config.limits.soft_count = p->config.limits.queue_count = 100000;
  pair_begin(p);
  pair_route(p, "/z", &opts);
  for (int i = 0; i < N; i++)
    reader_open(p, &r[i], i == N - 1 ? "/ws" : "/z", offers[i % 6]);
  for (int step = 0; step < 3000; step++) {
    uint64_t x = xorshift(&p->seed) >> 12;
    int i = (int)(x / 16 % N), room = (int)(x / 512 % 2);
    rill_str name = rill_s(room ? "red" : "blue");
    rill_msg m = rill_text(words(p, text, step));
    rill_to to = {
        .rooms = &name, .nrooms = 1, .except = &r[i].e->peer, .nexcept = 1};
    m.uncompressed = x / 1024 % 8 == 0;
    switch (x % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
      rill_send(r[i].e->peer, &m);
      expect(&r[i], text);
      break;
    case 4:
    case 5:
    case 6:
    case 7:
      rill_send_room(p->hub, name, &m);
      for (int k = 0; k < N; k++)
        if (in[k][room])
          expect(&r[k], text);
      break;
    case 8:
    case 9:
      rill_send_all(p->hub, &m);
      for (int k = 0; k < N; k++)
        expect(&r[k], text);
      break;
    case 10:
      rill_send_to(p->hub, &to, &m);
      for (int k = 0; k < N; k++)
        if (in[k][room] && k != i)
          expect(&r[k], text);
      break;
    case 11:
      rill_join(r[i].e->peer, name);
      in[i][room] = true;
      break;
    case 12:
      rill_leave(r[i].e->peer, name);
      in[i][room] = false;
      break;
    case 13:
      r[i].e->room = x / 4096 % 300;
      break;
    case 14:
      end_room(r[i].e, SIZE_MAX);
      break;
    default:
      rill_ping(r[i].e->peer);
      pair_turn(p);
    }
  }
  for (int i = 0; i < N; i++)
    end_room(r[i].e, SIZE_MAX);
  for (int i = 0; i < N; i++) {
    reader_read(&r[i]);
    assert_int_equal(r[i].got.len, r[i].expected.len);
    assert_memory_equal(r[i].got.data, r[i].expected.data, r[i].got.len);
    assert_true(r[i].plain > 100);
    assert_int_equal(r[i].packed > 0, r[i].deflate);
    packed += r[i].packed;
    plain += r[i].plain;
    reader_close(&r[i]);
  }
  assert_int_equal(pair_metrics(p).messages_out_total, packed + plain);
}

/* Joining, leaving and closing in the middle of a run cut it at that point. */
static void test_fanout_members_of_the_moment(void **state) {
  pair *p = *state;
  rill_msg one = rill_text("1"), two = rill_text("2"), three = rill_text("3");
  end *a, *b, *c;

  pair_begin(p);
  a = pair_open(p);
  b = pair_open(p);
  c = pair_open(p);
  rill_join(a->peer, rill_s("r"));
  rill_join(c->peer, rill_s("r"));
  rill_send_room(p->hub, rill_s("r"), &one);
  rill_join(b->peer, rill_s("r"));
  rill_close(c->peer, 1000, NULL);
  rill_send_room(p->hub, rill_s("r"), &two);
  rill_leave(a->peer, rill_s("r"));
  rill_send_room(p->hub, rill_s("r"), &three);
  pair_turn(p);
  assert_string_equal(end_took(a), "text 1; text 2");
  assert_string_equal(end_took(b), "text 2; text 3");
  assert_string_equal(end_took(c), "text 1; close 1000");
}

/* One that opens between two messages to all gets the second. */
static void test_fanout_to_all_of_the_moment(void **state) {
  pair *p = *state;
  rill_msg one = rill_text("1"), two = rill_text("2");
  end *a, *b;

  pair_begin(p);
  a = pair_open(p);
  rill_send_all(p->hub, &one);
  b = pair_accept(p);
  end_hello(b, "/ws", "");
  rill_send_all(p->hub, &two);
  pair_turn(p);
  assert_string_equal(end_took(a), "text 1; text 2");
  assert_string_equal(end_took(b), "101; text 2");
}

static void test_fanout_slow_members_do_not_matter(void **state) {
  pair *p = *state;
  rill_msg m = rill_text("on and on");
  end *e[6];

  p->config.limits.queue_count = 10;
  pair_begin(p);
  for (int i = 0; i < 6; i++) {
    e[i] = pair_open(p);
    rill_join(e[i]->peer, rill_s("r"));
    if (i % 2 == 0)
      e[i]->room = 3;
  }
  for (int i = 0; i < 30; i++) {
    rill_send_room(p->hub, rill_s("r"), &m);
    if (i % 5 == 0)
      pair_turn(p);
  }
  pair_turn(p);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(e[i]->closed, i % 2 == 0);
    if (i % 2 == 0)
      assert_int_equal(e[i]->how.cause, RILL_CAUSE_SLOW);
    end_room(e[i], SIZE_MAX);
  }
  /* the slow: the frame on the wire is whole, then the close */
  assert_string_equal(end_took(e[0]), "text on and on; close 4008 slow; eof");
  assert_int_equal(strlen(end_took(e[1])), 30 * strlen("text on and on; ") - 2);
  assert_int_equal(pair_metrics(p).slow_closed_total, 3);
}

/* A run that does not fit as a whole: as many as fit. */
static void test_fanout_runs_are_taken_as_far_as_they_fit(void **state) {
  static const rill_overflow policies[] = {RILL_DROP_NEWEST, RILL_DROP_OLDEST};
  pair *p = *state;

  p->config.limits.queue_count = 5;
  for (int k = 0; k < 2; k++) {
    end *e;
    pair_begin(p);
    rill_room_defaults(p->hub, "r", &(rill_room_opts){.overflow = policies[k]});
    e = pair_open(p);
    e->room = 0;
    rill_join(e->peer, rill_s("r"));
    for (int i = 0; i < 8; i++) {
      char text[2] = {(char)('0' + i), 0};
      rill_msg m = rill_text(text);
      rill_send_room(p->hub, rill_s("r"), &m);
      if (i == 0)
        pair_turn(p); /* it is queued: the others come on top */
    }
    pair_turn(p);
    end_room(e, SIZE_MAX);
    assert_string_equal(end_took(e),
                        k == 0 ? "text 0; text 1; text 2; text 3; text 4"
                               : "text 3; text 4; text 5; text 6; text 7");
    assert_int_equal(pair_metrics(p).dropped_newest_total, k == 0 ? 3 : 0);
    assert_int_equal(pair_metrics(p).dropped_oldest_total, k == 1 ? 3 : 0);
    pair_reset(p);
  }
}

static void test_fanout_keyed(void **state) {
  pair *p = *state;
  end *a, *b;

  pair_begin(p);
  a = pair_open(p);
  b = pair_open(p);
  a->room = 0;
  for (int i = 0; i < 9; i++) {
    char text[3] = {(char)('a' + i % 2), (char)('0' + i), 0};
    rill_msg m = rill_text(text);
    m.key = rill_s(i % 2 == 0 ? "x" : "y");
    rill_send_all(p->hub, &m);
    pair_turn(p);
  }
  assert_string_equal(end_took(b), "text a0; text b1; text a2; text b3; "
                                   "text a4; text b5; text a6; text b7; "
                                   "text a8");
  end_room(a, SIZE_MAX);
  assert_string_equal(end_took(a), "text a8; text b7");
  assert_int_equal(pair_metrics(p).conflated_total, 7);
}

static void test_fanout_large_messages(void **state) {
  pair *p = *state;
  static char bytes[300000];
  rill_msg m = {.data = bytes, .len = sizeof bytes, .kind = RILL_BINARY};
  rill_msg small = rill_text("small");
  rill_iov iov[2][8];
  end *e[2];

  memset(bytes, 'L', sizeof bytes);
  pair_begin(p);
  for (int i = 0; i < 2; i++)
    e[i] = pair_open(p);
  rill_send_all(p->hub, &small);
  rill_send_all(p->hub, &m);
  rill_send_all(p->hub, &m);
  rill_send_all(p->hub, &small);
  for (int i = 0; i < 2; i++)
    assert_true(rill_pending(e[i]->conn, iov[i], 8) >= 3);
  for (int k = 0; k < 3; k++)
    assert_ptr_equal(iov[0][k].base, iov[1][k].base);
  pair_turn(p);
  for (int i = 0; i < 2; i++)
    assert_string_equal(end_took(e[i]), "text small; binary #300000; "
                                        "binary #300000; text small");
}

static void test_fanout_without_memory(void **state) {
  rill_route_opts opts = {.deflate = {.enabled = true, .threshold = 10}};
  pair *p = *state;
  static char bytes[70000];
  rill_msg m = {.data = bytes, .len = sizeof bytes, .kind = RILL_BINARY};
  bool failed = true;

  memset(bytes, 'a', sizeof bytes);
  p->quiet = true;
  for (uint64_t n = 1; failed; n++) {
    end *e[3];
    pair_begin(p);
    pair_route(p, "/z", &opts);
    for (int i = 0; i < 3; i++) {
      e[i] = pair_open_at(p, i ? "/z" : "/ws",
                          "Sec-WebSocket-Extensions: permessage-deflate\r\n");
      rill_join(e[i]->peer, rill_s("r"));
    }
    p->mem.fail_at = p->mem.calls + n;
    failed = rill_send_room(p->hub, rill_s("r"), &m) != 0;
    if (failed) {
      p->mem.fail_at = 0;
      pair_turn(p);
      for (int i = 0; i < 3; i++) /* nobody was sent anything */
        assert_string_equal(end_took(e[i]), "");
    } else {
      /* handing it out may fail, too: that one is cut, the others have it */
      pair_turn(p);
      failed = p->mem.calls >= p->mem.fail_at;
      for (int i = 0; i < 3; i++)
        assert_true(e[i]->closed || end_took(e[i])[0] != '\0');
    }
    p->mem.fail_at = 0;
    pair_reset(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PAIR_TEST(test_fanout_encodes_once),
      PAIR_TEST(test_fanout_compresses_once_per_window),
      PAIR_TEST(test_fanout_union_without_duplicates),
      PAIR_TEST(test_fanout_to_users),
      PAIR_TEST(test_fanout_handles_that_are_none),
      PAIR_CASE(test_fanout_order_of_the_calls, " (cut 2)", 2),
      PAIR_CASE(test_fanout_order_of_the_calls, " (cut 3)", 3),
      PAIR_CASE(test_fanout_order_of_the_calls, " (cut 4)", 4),
      PAIR_CASE(test_fanout_order_of_the_calls, " (cut 5)", 5),
      PAIR_TEST(test_fanout_members_of_the_moment),
      PAIR_TEST(test_fanout_to_all_of_the_moment),
      PAIR_TESTS(test_fanout_slow_members_do_not_matter),
      PAIR_TEST(test_fanout_runs_are_taken_as_far_as_they_fit),
      PAIR_TEST(test_fanout_keyed),
      PAIR_TESTS(test_fanout_large_messages),
      PAIR_TEST(test_fanout_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
