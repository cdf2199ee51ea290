/*
 * fuzz_deflate.c - permessage-deflate: the negotiation, the inflater and
 * round trips.  The first byte chooses which; the second has options.
 *
 * Negotiation: an answer to any offer must be one that a client which asked
 * for nothing in particular can confirm.  Inflating: any data, cut anywhere,
 * gives the same output or the same error.  Round trips: messages made of
 * the input come out as they went in.
 */
#include "../unit/ws_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                \
  do {                                                                         \
    if (!(x))                                                                  \
      abort();                                                                 \
  } while (0)

static rill_deflate_opts opts_of(uint8_t b) {
  return (rill_deflate_opts){
      .enabled = true,
      .server_context_takeover = (b & 1) != 0,
      .client_context_takeover = (b & 2) != 0,
      .server_max_window_bits = (uint8_t)(9 + (b >> 2) % 7),
      .client_max_window_bits = (uint8_t)(9 + (b >> 5) % 7),
      .level = (uint8_t)(1 + b % 9),
      .memory_level = (uint8_t)(1 + b % 7)};
}

static void negotiate(uint8_t b, const char *text, size_t len) {
  const rill_deflate_opts open = opts_of(3 | 6 << 2), opts = opts_of(b);
  rill__pmd_params server, client;
  char answer[160];
  bool on;

  if (rill__pmd_accept(&opts, (rill_str){text, len}, &server, answer)) {
    rill_deflate_opts any = open;
    any.client_max_window_bits = 15;
    MUST(strlen(answer) < sizeof answer);
    MUST(rill__pmd_confirm(&any, rill_s(answer), &client, &on) && on);
    MUST(client.server_bits >= server.server_bits);
    MUST(client.client_bits <= server.client_bits);
    MUST(client.server_no_takeover == server.server_no_takeover);
    MUST(client.client_no_takeover == server.client_no_takeover);
    MUST(server.server_bits >= 8 &&
         server.server_bits <= opts.server_max_window_bits);
    MUST(server.client_bits >= 8 && server.client_bits <= 15);
  }
  if (rill__pmd_confirm(&opts, (rill_str){text, len}, &client, &on) && on) {
    MUST(client.client_bits >= 8 &&
         client.client_bits <= opts.client_max_window_bits);
    MUST(client.server_bits >= 8 &&
         client.server_bits <= opts.server_max_window_bits);
    MUST(client.client_no_takeover || opts.client_context_takeover);
    MUST(client.server_no_takeover || opts.server_context_takeover);
  }
}

/* Runs |data| as messages parted by each 0xaa; notes output and result. */
static void inflate_run(rig *r, uint8_t b, size_t step, size_t space,
                        const uint8_t *data, size_t size) {
  rill_deflate_opts opts = opts_of(b);
  uint8_t *out = malloc(space);
  size_t total = 0, at = 0;
  int rv = 0;

  /* A smaller window may be overstepped unnoticed, as the cuts happen. */
  opts.client_max_window_bits = 15;
  rig_init(r, false);
  MUST(out != NULL && rig_deflate(r, &opts));
  MUST(rill__pmd_inflate_begin(r->ws.pmd, &r->env) == 0);
  while (at < size && rv == 0) {
    size_t len = size - at < step ? size - at : step, room;
    const uint8_t *end = memchr(data + at, 0xaa, len), *in = data + at;
    if (end != NULL)
      len = (size_t)(end - in);
    at += len + (end != NULL ? 1 : 0);
    do {
      room = space;
      rv = rill__pmd_inflate(r->ws.pmd, &r->env, &in, &len, out, &room);
      MUST(room <= space);
      for (size_t i = 0; i < space - room; i++)
        rig_note(r, "", out + i, 1);
      total += space - room;
    } while (rv == 0 && (len > 0 || room == 0) && total < 100000);
    if (rv == 0 && end != NULL) {
      rig_note(r, rill__pmd_inflate_done(r->ws.pmd) ? "done" : "open", NULL,
               0);
      rill__pmd_inflate_end(r->ws.pmd, &r->env);
      MUST(rill__pmd_inflate_begin(r->ws.pmd, &r->env) == 0);
    }
    if (total >= 100000)
      break;
  }
  if (rv != 0)
    rig_note(r, "bad", NULL, 0);
  rill__pmd_inflate_end(r->ws.pmd, &r->env);
  free(out);
}

static void inflate_alike(uint8_t b, const uint8_t *data, size_t size) {
  rig whole, cut;

  inflate_run(&whole, b, size + 1, 4096, data, size);
  inflate_run(&cut, b, 1 + b % 5u, 1 + b % 7u, data, size);
  /* Beyond 100,000 bytes both stop, but not at the same byte. */
  if (whole.len < 190000 && cut.len < 190000)
    MUST(strcmp(whole.log, cut.log) == 0);
  rig_finish(&whole);
  rig_finish(&cut);
}

static void round_trip(uint8_t b, const uint8_t *data, size_t size) {
  const rill_deflate_opts opts = opts_of(b);
  stream_buf s = {.mask = false};
  size_t at = 0;
  rill__bytes out;
  rig from, to;

  rig_init(&from, false);
  rig_init(&to, true);
  to.limits.inflate_ratio = 1100;
  MUST(rig_deflate(&from, &opts) && rig_deflate(&to, &opts));
  rill__bytes_init(&out, &from.alloc);
  while (at < size) {
    size_t n = data[at++], repeat;
    if (n > size - at)
      n = size - at;
    repeat = n > 0 ? 1 + data[at] % 16u : 1;
    for (size_t i = 0; i < repeat; i++) {
      rill__bytes_clear(&out);
      if (i % 5 == 3) {
        MUST(rill__pmd_deflate_shared(&from.env,
                                      rill__pmd_send_bits(from.ws.pmd), &opts,
                                      data + at, n, &out) == 0);
        rill__pmd_foreign(from.ws.pmd);
      } else {
        MUST(rill__pmd_deflate(from.ws.pmd, &from.env, data + at, n, &out) ==
             0);
      }
      put_frame(&s, RILL__WS_FIN | RILL__WS_RSV1 | RILL__WS_BINARY, out.data,
                out.len);
      rig_note(&from, "B", data + at, n);
    }
    at += n;
  }
  MUST(rig_stream(&to, s.data, s.len, b) == 0);
  MUST(strcmp(from.log, to.log) == 0);
  rill__bytes_finish(&out);
  rig_finish(&from);
  rig_finish(&to);
  stream_clear(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2)
    return 0;
  switch (data[0] % 3) {
  case 0:
    negotiate(data[1], (const char *)data + 2, size - 2);
    break;
  case 1:
    inflate_alike(data[1], data + 2, size - 2);
    break;
  default:
    round_trip(data[1], data + 2, size - 2);
  }
  return 0;
}
