/*
 * An input is in one of these states:
 *
 *   between frames   have == 0, !in_payload.  With kind == 0 this is a
 *                    message boundary and the input goes back to the pool.
 *   in a header      0 < have < need.  need is 2, and the whole length once
 *                    the first two bytes are there and have been checked.
 *   in a payload     in_payload; |left| of |length| bytes are to come.
 *
 * The header goes to wslay with its MASK bit cleared and without the key, as
 * a server's frame: wslay then leaves the payload alone.  What it would read
 * of the payload is only counted: the callback returns a number and writes
 * nothing, so the bytes are looked at once, where they are.  That wslay
 * never reads the payload of such a frame is not promised by its manual; its
 * buffer is zeroed memory, so that nothing worse than a wrong count could
 * come of it, and the count is checked when the frame ends.
 *
 * Between frames wslay has used up all that it was given, and its context is
 * as new; so contexts are pooled with the inputs, and one that was left in
 * the middle of a frame is freed.
 */
#include "wire/ws_input.h"

#include "wire/deflate.h"

/* Enough for the frames that a turn leaves cut; about 4.5 KiB each. */
#define SPARES 8

/*
 * A chunk may be larger than four times of what has arrived by this much, so
 * that small messages are allocated once.
 */
#define SLACK 4096

static ssize_t on_recv(uint8_t *buf, size_t len, int flags, void *arg) {
  rill__ws_input *in = arg;
  size_t n;

  (void)flags;
  if (in->nhead > 0) {
    n = in->nhead < len ? in->nhead : len;
    memcpy(buf, in->head, n);
    in->head += n;
    in->nhead -= n;
  } else {
    n = in->counted < len ? in->counted : len;
    in->counted -= n;
  }
  return n > 0 ? (ssize_t)n : -1;
}

static rill__ws_input *input_new(rill__ws_env *env) {
  static const struct wslay_frame_callbacks callbacks = {NULL, on_recv, NULL};
  rill__ws_input *in = rill__calloc(env->alloc, sizeof *in);

  if (in == NULL)
    return NULL;
  if (wslay_frame_context_init(&in->frames, &callbacks, in) != 0) {
    rill__free(env->alloc, in, sizeof *in);
    return NULL;
  }
  in->need = 2;
  rill__list_init(&in->link);
  return in;
}

static void input_free(rill__ws_input *in, rill__ws_env *env) {
  wslay_frame_context_free(in->frames);
  rill__free(env->alloc, in, sizeof *in);
}

bool rill__ws_input_take(rill__ws *ws, rill__ws_env *env) {
  rill__ws_input *in = env->spare;

  if (in != NULL) {
    env->spare = in->next;
    env->nspare--;
  } else if ((in = input_new(env)) == NULL) {
    return false;
  }
  in->ws = ws;
  ws->input = in;
  return true;
}

void rill__ws_input_give(rill__ws *ws, rill__ws_env *env) {
  rill__ws_input *in = ws->input;

  if (in == NULL)
    return;
  ws->input = NULL;
  rill__chunk_unref(rill__ws_input_take_chunk(in, env));
  if (in->compressed)
    rill__pmd_inflate_end(ws->pmd, env);
  if (in->have != 0 || in->in_payload || env->nspare >= SPARES) {
    input_free(in, env);
    return;
  }
  in->kind = 0;
  in->compressed = false;
  in->next = env->spare;
  env->spare = in;
  env->nspare++;
}

void rill__ws_input_free_spares(rill__ws_env *env) {
  while (env->spare != NULL) {
    rill__ws_input *in = env->spare;
    env->spare = in->next;
    input_free(in, env);
  }
  env->nspare = 0;
}

static int broken(rill__ws_error *error, const char *reason) {
  return rill__ws_fail(error, RILL_ERR_PROTO, 1002, -1, reason);
}

static void collect(rill__ws_input *in, const uint8_t *data, size_t len,
                    size_t *used) {
  size_t n = (size_t)in->need - in->have;

  if (n > len - *used)
    n = len - *used;
  memcpy(in->header + in->have, data + *used, n);
  in->have = (uint8_t)(in->have + n);
  *used += n;
}

static bool is_control(uint8_t opcode) { return (opcode & 0x8) != 0; }

/*
 * What the first two bytes tell that wslay's frame layer does not look at:
 * the role, reserved bits and opcodes, and the order of fragments.
 */
static int check_start(const rill__ws_input *in, rill__ws_error *error) {
  uint8_t first = in->header[0], opcode = first & 0xf;
  bool masked = (in->header[1] & 0x80) != 0;
  uint8_t allowed = 0;

  if (masked == in->ws->client)
    return broken(error, masked ? "masked frame from a server"
                                : "unmasked frame from a client");
  if (opcode > RILL__WS_PONG ||
      (opcode > RILL__WS_BINARY && opcode < RILL__WS_CLOSE))
    return broken(error, "reserved opcode");
  if (in->ws->pmd != NULL &&
      (opcode == RILL__WS_TEXT || opcode == RILL__WS_BINARY))
    allowed = RILL__WS_RSV1;
  if ((first & 0x70 & ~allowed) != 0)
    return broken(error, "reserved bit");
  if (opcode == RILL__WS_CONT && in->kind == 0)
    return broken(error, "continuation of nothing");
  if (!is_control(opcode) && opcode != RILL__WS_CONT && in->kind != 0)
    return broken(error, "new message inside of a message");
  return 0;
}

static uint8_t header_need(const uint8_t *header) {
  uint8_t n = header[1] & 0x7f;

  return (uint8_t)((n == 126 ? 4 : n == 127 ? 10 : 2) +
                   ((header[1] & 0x80) != 0 ? 4 : 0));
}

static uint64_t header_length(const uint8_t *header) {
  uint8_t n = header[1] & 0x7f;
  uint64_t length = 0;

  if (n < 126)
    return n;
  for (int i = 0; i < (n == 126 ? 2 : 8); i++)
    length = length << 8 | header[2 + i];
  return length;
}

static int begin_message(rill__ws_input *in, rill__ws_env *env,
                         rill__ws_error *error) {
  in->kind = in->opcode;
  in->utf8 = 0;
  in->frames_seen = 0;
  in->declared = 0;
  in->received = 0;
  if ((in->header[0] & RILL__WS_RSV1) == 0)
    return 0;
  if (rill__pmd_inflate_begin(in->ws->pmd, env) != 0)
    return rill__ws_fail(error, RILL_ERR_NOMEM, 1011, -1, "out of memory");
  in->compressed = true;
  return 0;
}

/*
 * The size is judged before a byte of the frame is kept.  A compressed
 * message is judged by what comes out of it; but what cannot be compressed
 * grows a little on the wire, by less than an eighth.
 */
static int begin_data(rill__ws_input *in, rill__ws_env *env,
                      rill__ws_error *error) {
  size_t max = rill__ws_most(in->ws, env->limits);
  int rv = 0;

  if (in->opcode != RILL__WS_CONT)
    rv = begin_message(in, env, error);
  if (rv != 0)
    return rv;
  if (++in->frames_seen > env->limits->fragments)
    return rill__ws_fail(error, RILL_ERR_PROTO, 1008, RILL__LIMIT_fragments,
                         "too many fragments");
  if (in->compressed)
    max += max / 8 + 64;
  if (in->length > max - in->declared)
    return rill__ws_fail(error, RILL_ERR_PROTO, 1009,
                         rill__ws_most_limit(in->ws), "message too big");
  in->declared += (size_t)in->length;
  return 0;
}

static int begin_frame(rill__ws_input *in, rill__ws_env *env,
                       rill__ws_error *error) {
  struct wslay_frame_iocb frame;
  ssize_t r;

  in->fin = (in->header[0] & RILL__WS_FIN) != 0;
  in->opcode = in->header[0] & 0xf;
  in->length = in->left = header_length(in->header);
  in->nhead = in->need;
  if (!in->ws->client) {
    in->nhead -= 4;
    memcpy(in->mask, in->header + in->nhead, 4);
    in->header[1] &= 0x7f;
  }
  in->head = in->header;
  in->counted = 0;
  r = wslay_frame_recv(in->frames, &frame);
  if (r < 0 && r != WSLAY_ERR_WANT_READ)
    return broken(error, "malformed frame header");
  in->in_payload = true;
  return is_control(in->opcode) ? 0 : begin_data(in, env, error);
}

int rill__ws_input_header(rill__ws_input *in, rill__ws_env *env,
                          const uint8_t *data, size_t len, size_t *used,
                          rill__ws_error *error) {
  int rv;

  *used = 0;
  collect(in, data, len, used);
  if (in->have < in->need)
    return 0;
  if (in->need == 2) {
    rv = check_start(in, error);
    if (rv != 0)
      return rv;
    in->need = header_need(in->header);
    collect(in, data, len, used);
  }
  return in->have < in->need ? 0 : begin_frame(in, env, error);
}

int rill__ws_input_count(rill__ws_input *in, size_t n, rill__ws_error *error) {
  struct wslay_frame_iocb frame;

  in->left -= n;
  in->counted = n;
  while (in->counted > 0) {
    ssize_t r = wslay_frame_recv(in->frames, &frame);
    if (r <= 0 || frame.payload_length != in->length)
      return rill__ws_fail(error, RILL_ERR_PROTO, 1011, -1,
                           "frame layer out of step");
  }
  return 0;
}

void rill__ws_input_frame_end(rill__ws_input *in) {
  in->have = 0;
  in->need = 2;
  in->in_payload = false;
}

/*
 * How large a chunk to make for |need| bytes: the whole frame where a
 * quarter of it is there, so that a large message is allocated once; twice
 * the old one where more frames follow, so that many small ones are not
 * copied over and over; but never much more than what has arrived.
 */
static size_t chunk_size(const rill__ws_input *in, const rill__ws_env *env,
                         size_t need) {
  size_t old = in->chunk != NULL ? in->chunk->cap : 0;
  size_t room = rill__ws_most(in->ws, env->limits), want = need, most;

  if (!in->compressed && in->declared > want)
    want = in->declared;
  if ((in->compressed || !in->fin) && want < old * 2)
    want = old * 2;
  most = need * 4 + SLACK;
  if (most > room)
    most = room;
  if (want > most)
    want = most;
  return (want > need ? want : need) + RILL__WS_HEADER_MAX;
}

static int overload(rill__ws_error *error) {
  return rill__ws_fail(error, RILL_ERR_LIMIT, 4013,
                       RILL__LIMIT_assembly_bytes, "overload");
}

/*
 * Lets the largest go until |extra| bytes more fit, where this one, of then
 * |size|, is not the largest itself.
 */
static int make_room(rill__ws_input *in, rill__ws_env *env, size_t extra,
                     size_t size, rill__ws_error *error) {
  size_t limit = env->limits->assembly_bytes;

  if (limit == RILL_UNLIMITED)
    return 0;
  while (env->assembly_bytes > limit || extra > limit - env->assembly_bytes) {
    rill__ws *largest = rill__ws_largest(env);
    if (largest == NULL || largest == in->ws || env->shed == NULL ||
        largest->input->chunk->cap <= size)
      return overload(error);
    rill__ws_drop(largest, env);
    env->shed(env->shed_arg, largest);
  }
  return 0;
}

int rill__ws_input_reserve(rill__ws_input *in, rill__ws_env *env, size_t size,
                           rill__ws_error *error) {
  rill__chunk *old = in->chunk, *chunk;
  size_t was = old != NULL ? old->cap : 0, cap;
  int rv;

  if (size + RILL__WS_HEADER_MAX <= was)
    return 0;
  cap = chunk_size(in, env, size);
  rv = make_room(in, env, cap - was, cap, error);
  if (rv != 0)
    return rv;
  chunk = old != NULL ? rill__chunk_grow(old, cap)
                      : rill__chunk_small(env->chunks, cap);
  if (chunk == NULL)
    return rill__ws_fail(error, RILL_ERR_NOMEM, 1011, -1, "out of memory");
  in->chunk = chunk;
  env->assembly_bytes += chunk->cap - was;
  if (old == NULL)
    rill__list_push(&env->assembling, &in->link);
  return 0;
}

rill__chunk *rill__ws_input_take_chunk(rill__ws_input *in, rill__ws_env *env) {
  rill__chunk *chunk = in->chunk;

  if (chunk == NULL)
    return NULL;
  in->chunk = NULL;
  rill__list_remove(&in->link);
  env->assembly_bytes -= chunk->cap;
  chunk->used = (uint32_t)(RILL__WS_HEADER_MAX + in->received);
  return chunk;
}
