/*
 * A compressed message: what arrives of it is inflated at once, to the end
 * of the input's chunk, so that only the output is kept, and the first byte
 * too many ends it.
 */
#include "wire/deflate.h"
#include "wire/ws_input.h"

/* Below this much output no ratio is too good. */
#define RATIO_FREE 16384

/*
 * More than inflate_ratio?  Measured against the payload that the headers
 * so far have declared, not against what has arrived of it: so the verdict
 * does not hang on how the stream was cut.
 */
static bool is_bomb(const rill__ws_input *in, const rill_limits *limits) {
  return in->received > RATIO_FREE &&
         in->received > (uint64_t)in->declared * limits->inflate_ratio;
}

/* Room at the end of the chunk for what comes out next. */
static int make_room(rill__ws_input *in, rill__ws_env *env, size_t hint,
                     rill__ws_error *error) {
  size_t most = rill__ws_most(in->ws, env->limits) - in->received;
  size_t more = in->received < 256 ? 256 : in->received / 2;

  if (rill__ws_input_room(in) > 0)
    return 0;
  if (more < hint)
    more = hint;
  return rill__ws_input_reserve(
      in, env, in->received + (more < most ? more : most), error);
}

/* Takes |n| bytes that were inflated to |out| behind the message. */
static int take(rill__ws_input *in, const rill_limits *limits,
                const uint8_t *out, size_t n, rill__ws_error *error) {
  if (n > rill__ws_most(in->ws, limits) - in->received)
    return rill__ws_fail(error, RILL_ERR_PROTO, 1009,
                         rill__ws_most_limit(in->ws), "message too big");
  in->received += n;
  if (is_bomb(in, limits))
    return rill__ws_fail(error, RILL_ERR_PROTO, 1009,
                         RILL__LIMIT_inflate_ratio, "compressed too well");
  return rill__ws_check_text(in, out, n, error);
}

static int broken(rill__ws_error *error) {
  return rill__ws_fail(error, RILL_ERR_PROTO, 1007, -1,
                       "broken compressed data");
}

/*
 * Inflates all of |data|.  A message that is as large as may be gets one
 * more byte of room, elsewhere: it may end there, but not go on.  What comes
 * out is judged before the data that it came from, so that of two errors the
 * first is told, however the stream was cut.
 */
static int inflate_all(rill__ws_input *in, rill__ws_env *env,
                       const uint8_t *data, size_t n, rill__ws_error *error) {
  size_t max = rill__ws_most(in->ws, env->limits), room, was;
  uint8_t beyond[1], *out;
  int rv, inflated;

  do {
    out = beyond;
    was = sizeof beyond;
    if (in->received < max) {
      rv = make_room(in, env, n, error);
      if (rv != 0)
        return rv;
      out = rill__ws_input_end(in);
      was = rill__ws_input_room(in);
      if (was > max - in->received)
        was = max - in->received;
    }
    room = was;
    inflated = rill__pmd_inflate(in->ws->pmd, env, &data, &n, out, &room);
    rv = take(in, env->limits, out, was - room, error);
    if (rv != 0)
      return rv;
    if (inflated == RILL_ERR_NOMEM)
      return rill__ws_fail(error, inflated, 1011, -1, "out of memory");
    if (inflated != 0)
      return broken(error);
  } while (n > 0 || room == 0);
  return 0;
}

int rill__ws_inflate(rill__ws_input *in, rill__ws_env *env,
                     const uint8_t *data, size_t n, bool last,
                     rill__ws_error *error) {
  /* What every sender takes off the end (RFC 7692 section 7.2.2). */
  static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};
  rill__pmd *pmd = in->ws->pmd;
  int rv = 0;

  if (n > 0)
    rv = inflate_all(in, env, data, n, error);
  if (rv != 0 || !last)
    return rv;
  if (!rill__pmd_inflate_done(pmd))
    rv = inflate_all(in, env, tail, sizeof tail, error);
  if (rv == 0 && !rill__pmd_inflate_done(pmd))
    rv = broken(error);
  return rv;
}
