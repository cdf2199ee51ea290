/*
 * Where no context is taken over a pmd has a stream of zlib only during a
 * message (inflating) or a call (deflating), from the pool of the hub; where
 * one is, the pmd keeps its own from the first message on.
 */
#include "wire/deflate.h"

#include "wire/zstream.h"

/* zlib counts in unsigned int. */
#define SLICE (1u << 30)

/*
 * Final blocks inside of one message that are gone over.  A sender may end
 * with one (RFC 7692 section 7.2.3.4); each costs a copy of the window, so
 * a message made of thousands would be an attack.
 */
#define FINALS 16

struct rill__pmd {
  const rill_deflate_opts *opts;
  rill__pmd_params params;
  bool client;
  bool stale;     /* the deflater's window is not the peer's any more */
  bool final;     /* the inflater stands behind a final block, */
  bool done;      /* or at least behind a block and at a whole byte */
  uint8_t finals; /* in this message */
  rill__zstream *deflater, *inflater;
};

rill__pmd *rill__pmd_new(rill__ws_env *env, bool client,
                         const rill__pmd_params *params,
                         const rill_deflate_opts *opts) {
  rill__pmd *pmd;

  if (!rill__zstream_pool_ready(env))
    return NULL;
  pmd = rill__calloc(env->alloc, sizeof *pmd);
  if (pmd == NULL)
    return NULL;
  pmd->opts = opts;
  pmd->params = *params;
  pmd->client = client;
  return pmd;
}

void rill__pmd_free(rill__pmd *pmd, rill__ws_env *env) {
  if (pmd == NULL)
    return;
  rill__zstream_free(pmd->deflater);
  rill__zstream_free(pmd->inflater);
  rill__free(env->alloc, pmd, sizeof *pmd);
}

uint8_t rill__pmd_send_bits(const rill__pmd *pmd) {
  return pmd->client ? pmd->params.client_bits : pmd->params.server_bits;
}

uint32_t rill__pmd_threshold(const rill__pmd *pmd) {
  return pmd->opts->threshold != 0 ? pmd->opts->threshold : 1024;
}

bool rill__pmd_keeps_window(const rill__pmd *pmd) {
  return pmd->client ? !pmd->params.client_no_takeover
                     : !pmd->params.server_no_takeover;
}

static rill__zstream *take_deflater(rill__ws_env *env, uint8_t bits,
                             const rill_deflate_opts *opts) {
  return rill__zstream_take(env, bits, opts->level != 0 ? opts->level : 1,
                     opts->memory_level != 0 ? opts->memory_level : 5);
}

/*
 * Deflates up to a byte boundary.  zlib is done when it leaves room in its
 * output; with less than 7 bytes of it, it may begin the mark anew.
 */
static bool flush(rill__zstream *s, const uint8_t *data, size_t len,
                  rill__bytes *out) {
  int mode;

  if (!rill__bytes_reserve(out, deflateBound(&s->z, (uLong)len)))
    return false;
  do {
    uInt n = len < SLICE ? (uInt)len : SLICE;
    s->z.next_in = data;
    s->z.avail_in = n;
    data += n;
    len -= n;
    mode = len > 0 ? Z_NO_FLUSH : Z_SYNC_FLUSH;
    do {
      size_t room;
      if (!rill__bytes_reserve(out, 64))
        return false;
      room = out->cap - out->len;
      if (room > SLICE)
        room = SLICE;
      s->z.next_out = out->data + out->len;
      s->z.avail_out = (uInt)room;
      deflate(&s->z, mode);
      out->len += room - s->z.avail_out;
    } while (s->z.avail_out == 0);
  } while (len > 0);
  return true;
}

/* As flush, without the tail, and |out| as before where it fails. */
static int compress_to(rill__zstream *s, const void *data, size_t len,
                       rill__bytes *out) {
  static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};
  size_t before = out->len;

  if (!flush(s, data, len, out) || out->len - before <= sizeof tail ||
      memcmp(out->data + out->len - sizeof tail, tail, sizeof tail) != 0) {
    out->len = before;
    out->failed = false;
    return RILL_ERR_NOMEM;
  }
  out->len -= sizeof tail;
  return 0;
}

/* A message without bytes: one empty block (RFC 7692 section 7.2.3.6). */
static int compress_nothing(rill__bytes *out) {
  if (!rill__bytes_reserve(out, 1)) {
    out->failed = false;
    return RILL_ERR_NOMEM;
  }
  out->data[out->len++] = 0x00;
  return 0;
}

int rill__pmd_deflate_shared(rill__ws_env *env, uint8_t bits,
                             const rill_deflate_opts *opts, const void *data,
                             size_t len, rill__bytes *out) {
  rill__zstream *s;
  int rv;

  if (out->failed)
    return RILL_ERR_NOMEM;
  if (len == 0)
    return compress_nothing(out);
  s = rill__zstream_pool_ready(env) ? take_deflater(env, bits, opts) : NULL;
  if (s == NULL)
    return RILL_ERR_NOMEM;
  rv = compress_to(s, data, len, out);
  rill__zstream_give(env, s);
  return rv;
}

int rill__pmd_deflate(rill__pmd *pmd, rill__ws_env *env, const void *data,
                      size_t len, rill__bytes *out) {
  uint8_t bits = rill__pmd_send_bits(pmd);
  int rv;

  if (!rill__pmd_keeps_window(pmd))
    return rill__pmd_deflate_shared(env, bits, pmd->opts, data, len, out);
  if (out->failed)
    return RILL_ERR_NOMEM;
  if (len == 0)
    return compress_nothing(out);
  if (pmd->deflater == NULL)
    pmd->deflater = take_deflater(env, bits, pmd->opts);
  else if (pmd->stale)
    deflateReset(&pmd->deflater->z);
  if (pmd->deflater == NULL)
    return RILL_ERR_NOMEM;
  rv = compress_to(pmd->deflater, data, len, out);
  pmd->stale = rv != 0;
  return rv;
}

void rill__pmd_foreign(rill__pmd *pmd) { pmd->stale = true; }

static bool inflate_takeover(const rill__pmd *pmd) {
  return pmd->client ? !pmd->params.server_no_takeover
                     : !pmd->params.client_no_takeover;
}

int rill__pmd_inflate_begin(rill__pmd *pmd, rill__ws_env *env) {
  uint8_t bits =
      pmd->client ? pmd->params.server_bits : pmd->params.client_bits;

  if (pmd->inflater == NULL) {
    pmd->inflater = rill__zstream_take(env, bits < 9 ? 9 : bits, 0, 0);
    if (pmd->inflater == NULL)
      return RILL_ERR_NOMEM;
    pmd->final = false;
    pmd->done = true;
  }
  pmd->finals = 0;
  return 0;
}

/*
 * Behind a final block zlib would stop.  The peer's window lives on, so it
 * is carried over to a new start.
 */
static int begin_anew(rill__pmd *pmd, rill__ws_env *env) {
  z_stream *z = &pmd->inflater->z;
  uInt len = 0;
  uint8_t *window;
  int rv = RILL_ERR_PROTO;

  if (++pmd->finals > FINALS)
    return rv;
  window = rill__malloc(env->alloc, 1u << 15);
  if (window == NULL)
    return RILL_ERR_NOMEM;
  if (inflateGetDictionary(z, window, &len) == Z_OK &&
      inflateReset(z) == Z_OK &&
      (len == 0 || inflateSetDictionary(z, window, len) == Z_OK)) {
    pmd->final = false;
    rv = 0;
  }
  rill__free(env->alloc, window, 1u << 15);
  return rv;
}

int rill__pmd_inflate(rill__pmd *pmd, rill__ws_env *env, const uint8_t **in,
                      size_t *len, uint8_t *out, size_t *room) {
  z_stream *z = &pmd->inflater->z;
  uInt take = *len < SLICE ? (uInt)*len : SLICE;
  uInt give = *room < SLICE ? (uInt)*room : SLICE;
  int rv;

  if (pmd->final) {
    rv = take > 0 ? begin_anew(pmd, env) : 0;
    if (rv != 0 || take == 0)
      return rv;
  }
  z->next_in = *in;
  z->avail_in = take;
  z->next_out = out;
  z->avail_out = give;
  rv = inflate(z, Z_SYNC_FLUSH);
  *in += take - z->avail_in;
  *len -= take - z->avail_in;
  *room -= give - z->avail_out;
  /*
   * Directly behind a block and with no bits left over (zlib.h at inflate);
   * what zlib says of a call without progress is not to be relied on.
   */
  if (z->avail_in < take || z->avail_out < give)
    pmd->done = (z->data_type & (128 | 63)) == 128;
  if (rv == Z_STREAM_END) {
    pmd->final = pmd->done = true;
    return 0;
  }
  if (rv == Z_MEM_ERROR)
    return RILL_ERR_NOMEM;
  /* Z_BUF_ERROR is nothing to do, which is right unless there was. */
  if (rv != Z_OK && (rv != Z_BUF_ERROR || (take > 0 && give > 0)))
    return RILL_ERR_PROTO;
  return 0;
}

bool rill__pmd_inflate_done(const rill__pmd *pmd) { return pmd->done; }

void rill__pmd_inflate_end(rill__pmd *pmd, rill__ws_env *env) {
  if (pmd == NULL || pmd->inflater == NULL || inflate_takeover(pmd))
    return;
  rill__zstream_give(env, pmd->inflater);
  pmd->inflater = NULL;
}

void rill__pmd_env_finish(rill__ws_env *env) { rill__zstream_pool_free(env); }
