/*
 * zlib's streams are the dear part: about 38 KiB to deflate and 11 KiB to
 * inflate with the default windows.  Where no context is taken over a pmd
 * has one only during a message (inflating) or a call (deflating), from the
 * pool of the hub; where one is, the pmd keeps its own from the first
 * message on.
 */
#define ZLIB_CONST
#include "wire/deflate.h"

#include <zlib.h>

/*
 * Idle streams kept.  Deflating lasts one call, so one stream per set of
 * parameters in use is enough; inflaters are held while messages arrive.
 */
#define DEFLATERS 4
#define INFLATERS 8

/* zlib counts in unsigned int. */
#define SLICE (1u << 30)

/* zlib's free tells no size: it is kept in front of each block. */
#define PREFIX 16

/*
 * Final blocks inside of one message that are gone over.  A sender may end
 * with one (RFC 7692 section 7.2.3.4); each costs a copy of the window, so
 * a message made of thousands would be an attack.
 */
#define FINALS 16

typedef struct stream {
  z_stream z;
  const rill__alloc *alloc;
  struct stream *next;
  uint8_t bits, level, memory; /* level 0: inflates */
} stream;

struct rill__pmd_pool {
  stream *deflaters, *inflaters;
  uint32_t ndeflaters, ninflaters;
};

struct rill__pmd {
  const rill_deflate_opts *opts;
  rill__pmd_params params;
  bool client;
  bool stale;     /* the deflater's window is not the peer's any more */
  bool final;     /* the inflater stands behind a final block, */
  bool done;      /* or at least behind a block and at a whole byte */
  uint8_t finals; /* in this message */
  stream *deflater, *inflater;
};

static voidpf zalloc(voidpf arg, uInt items, uInt size) {
  const stream *s = arg;
  size_t n;
  uint8_t *p;

  if (!rill__mul_size(items, size, &n) || !rill__add_size(n, PREFIX, &n))
    return Z_NULL;
  p = rill__malloc(s->alloc, n);
  if (p == NULL)
    return Z_NULL;
  memcpy(p, &n, sizeof n);
  return p + PREFIX;
}

static void zfree(voidpf arg, voidpf address) {
  const stream *s = arg;
  uint8_t *p = address;
  size_t n;

  if (p == NULL)
    return;
  p -= PREFIX;
  memcpy(&n, p, sizeof n);
  rill__free(s->alloc, p, n);
}

static stream *stream_new(const rill__alloc *alloc, uint8_t bits,
                          uint8_t level, uint8_t memory) {
  stream *s = rill__calloc(alloc, sizeof *s);
  int rv;

  if (s == NULL)
    return NULL;
  s->alloc = alloc;
  s->bits = bits;
  s->level = level;
  s->memory = memory;
  s->z.zalloc = zalloc;
  s->z.zfree = zfree;
  s->z.opaque = s;
  if (level == 0)
    rv = inflateInit2(&s->z, -(int)bits);
  else if (bits == 8)
    /* No references back are within any window. */
    rv = deflateInit2(&s->z, level, Z_DEFLATED, -9, memory, Z_HUFFMAN_ONLY);
  else
    rv = deflateInit2(&s->z, level, Z_DEFLATED, -(int)bits, memory,
                      Z_DEFAULT_STRATEGY);
  if (rv != Z_OK) {
    rill__free(alloc, s, sizeof *s);
    return NULL;
  }
  return s;
}

static void stream_free(stream *s) {
  if (s == NULL)
    return;
  if (s->level == 0)
    inflateEnd(&s->z);
  else
    deflateEnd(&s->z);
  rill__free(s->alloc, s, sizeof *s);
}

/* A stream without a past, of the pool where it has one that fits. */
static stream *stream_take(rill__ws_env *env, uint8_t bits, uint8_t level,
                           uint8_t memory) {
  stream **at = level == 0 ? &env->pmd->inflaters : &env->pmd->deflaters;
  stream *s;

  while ((s = *at) != NULL && (s->bits != bits || s->level != level ||
                               s->memory != memory))
    at = &s->next;
  if (s == NULL)
    return stream_new(env->alloc, bits, level, memory);
  *at = s->next;
  if (level == 0) {
    env->pmd->ninflaters--;
    inflateReset(&s->z);
  } else {
    env->pmd->ndeflaters--;
    deflateReset(&s->z);
  }
  return s;
}

/* The newest are kept: the last of a full list goes. */
static void stream_give(rill__ws_env *env, stream *s) {
  bool inflates = s->level == 0;
  stream **at = inflates ? &env->pmd->inflaters : &env->pmd->deflaters;
  uint32_t *n = inflates ? &env->pmd->ninflaters : &env->pmd->ndeflaters;

  s->next = *at;
  *at = s;
  if (++*n <= (inflates ? INFLATERS : DEFLATERS))
    return;
  while ((*at)->next != NULL)
    at = &(*at)->next;
  stream_free(*at);
  *at = NULL;
  --*n;
}

static bool pool_ready(rill__ws_env *env) {
  if (env->pmd == NULL)
    env->pmd = rill__calloc(env->alloc, sizeof *env->pmd);
  return env->pmd != NULL;
}

static void free_list(stream *s) {
  while (s != NULL) {
    stream *next = s->next;
    stream_free(s);
    s = next;
  }
}

void rill__pmd_pool_free(rill__ws_env *env) {
  if (env->pmd == NULL)
    return;
  free_list(env->pmd->deflaters);
  free_list(env->pmd->inflaters);
  rill__free(env->alloc, env->pmd, sizeof *env->pmd);
  env->pmd = NULL;
}

rill__pmd *rill__pmd_new(rill__ws_env *env, bool client,
                         const rill__pmd_params *params,
                         const rill_deflate_opts *opts) {
  rill__pmd *pmd;

  if (!pool_ready(env))
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
  stream_free(pmd->deflater);
  stream_free(pmd->inflater);
  rill__free(env->alloc, pmd, sizeof *pmd);
}

uint8_t rill__pmd_send_bits(const rill__pmd *pmd) {
  return pmd->client ? pmd->params.client_bits : pmd->params.server_bits;
}

uint32_t rill__pmd_threshold(const rill__pmd *pmd) {
  return pmd->opts->threshold != 0 ? pmd->opts->threshold : 1024;
}

static stream *take_deflater(rill__ws_env *env, uint8_t bits,
                             const rill_deflate_opts *opts) {
  return stream_take(env, bits, opts->level != 0 ? opts->level : 1,
                     opts->memory_level != 0 ? opts->memory_level : 5);
}

/*
 * Deflates up to a byte boundary.  zlib is done when it leaves room in its
 * output; with less than 7 bytes of it, it may begin the mark anew.
 */
static bool flush(stream *s, const uint8_t *data, size_t len,
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
static int compress_to(stream *s, const void *data, size_t len,
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
  stream *s;
  int rv;

  if (out->failed)
    return RILL_ERR_NOMEM;
  if (len == 0)
    return compress_nothing(out);
  s = pool_ready(env) ? take_deflater(env, bits, opts) : NULL;
  if (s == NULL)
    return RILL_ERR_NOMEM;
  rv = compress_to(s, data, len, out);
  stream_give(env, s);
  return rv;
}

int rill__pmd_deflate(rill__pmd *pmd, rill__ws_env *env, const void *data,
                      size_t len, rill__bytes *out) {
  uint8_t bits = rill__pmd_send_bits(pmd);
  int rv;

  if (pmd->client ? pmd->params.client_no_takeover
                  : pmd->params.server_no_takeover)
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
    pmd->inflater = stream_take(env, bits < 9 ? 9 : bits, 0, 0);
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
  stream_give(env, pmd->inflater);
  pmd->inflater = NULL;
}
