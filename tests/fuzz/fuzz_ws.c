/*
 * fuzz_ws.c - a stream of frames, in both roles, with and without
 * permessage-deflate.
 *
 * The first byte chooses role, deflate, takeover and whether handlers
 * pause; the second is the seed of the cuts.  The rest is the stream.  It is
 * fed whole, byte by byte and in random cuts: the events must be the same,
 * what is held must stay in proportion to what has arrived, and at the end
 * everything must have been given back.
 */
#include "../unit/ws_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x)                                                                \
  do {                                                                         \
    if (!(x))                                                                  \
      abort();                                                                 \
  } while (0)

static void check_held(const rig *r, size_t fed) {
  size_t most = 4 * fed + 8192;

  MUST(r->env.assembly_bytes <=
       r->limits.message_bytes + 2 * RILL__WS_HEADER_MAX);
  if (r->ws.pmd != NULL)
    most = most * r->limits.inflate_ratio;
  MUST(r->env.assembly_bytes <= most);
}

static int run(rig *r, uint8_t flags, uint32_t cut, const uint8_t *data,
               size_t size) {
  /* A smaller window may be overstepped unnoticed, as the cuts happen. */
  static const rill_deflate_opts opts[2] = {
      {.enabled = true,
       .server_max_window_bits = 15,
       .client_max_window_bits = 15},
      {.enabled = true,
       .server_context_takeover = true,
       .client_context_takeover = true,
       .server_max_window_bits = 15,
       .client_max_window_bits = 15}};
  size_t at = 0;
  int rv = 0, calls = 0;

  rig_init(r, (flags & 1) != 0);
  r->limits.message_bytes = 20000;
  r->limits.fragments = 20;
  r->answer = (flags & 8) != 0 ? RILL_PAUSE : 0;
  if ((flags & 2) != 0)
    MUST(rig_deflate(r, &opts[(flags & 4) != 0]));
  while (at < size && rv >= 0) {
    size_t n = next_cut(&cut, size - at), end = at + n, used;
    do {
      rv = rig_feed(r, data + at, end - at, &used);
      at += used;
      /* Each call takes something or fails. */
      MUST(used > 0 || rv < 0);
      MUST(++calls <= (int)size + 1);
      check_held(r, at);
    } while (rv == RILL_PAUSE && at < end);
  }
  if (rv < 0)
    MUST(!rill__ws_mid_message(&r->ws) && r->env.assembly_bytes == 0);
  return rv < 0 ? rv : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  rig whole, other;
  int rv;

  if (size < 2)
    return 0;
  rv = run(&whole, data[0], WHOLE, data + 2, size - 2);
  for (int i = 0; i < 2; i++) {
    uint32_t cut = i == 0 ? BYTES : data[1] + 2u;
    MUST(run(&other, data[0], cut, data + 2, size - 2) == rv);
    MUST(strcmp(whole.log, other.log) == 0 && whole.len == other.len);
    MUST(whole.error.code == other.error.code &&
         whole.error.limit == other.error.limit);
    MUST(rill__ws_mid_message(&whole.ws) == rill__ws_mid_message(&other.ws));
    rig_finish(&other);
  }
  rig_finish(&whole);
  return 0;
}
