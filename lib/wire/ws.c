/*
 * The feed loop.  Where no message is begun the short path is tried first;
 * whatever it does not take goes through an input: see ws_input.c for its
 * states.  Both give the same events for the same bytes, however these are
 * cut.
 */
#include "wire/ws.h"

#include "wire/deflate.h"
#include "wire/ws_input.h"

/* One call of rill__ws_feed. */
typedef struct feed {
  rill__ws *ws;
  rill__ws_env *env;
  const rill__ws_sink *sink;
  void *arg;
  rill__ws_error *error;
} feed;

int rill__ws_env_init(rill__ws_env *env, const rill__alloc *alloc,
                      const rill_limits *limits, rill__chunk_pool *chunks) {
  *env = (rill__ws_env){.alloc = alloc, .limits = limits, .chunks = chunks};
  rill__list_init(&env->assembling);
  return 0;
}

void rill__ws_env_finish(rill__ws_env *env) {
  rill__ws_input_free_spares(env);
  rill__pmd_env_finish(env);
}

void rill__ws_init(rill__ws *ws, bool client) {
  *ws = (rill__ws){.client = client};
}

void rill__ws_drop(rill__ws *ws, rill__ws_env *env) {
  rill__ws_input_give(ws, env);
  ws->ended = true;
}

void rill__ws_finish(rill__ws *ws, rill__ws_env *env) {
  rill__ws_drop(ws, env);
  rill__pmd_free(ws->pmd, env);
  ws->pmd = NULL;
}

rill__ws *rill__ws_largest(const rill__ws_env *env) {
  rill__ws_input *largest = NULL;

  for (rill__link *l = env->assembling.next; l != &env->assembling;
       l = l->next) {
    rill__ws_input *in = RILL__CONTAINER(l, rill__ws_input, link);
    if (largest == NULL || in->chunk->cap > largest->chunk->cap)
      largest = in;
  }
  return largest != NULL ? largest->ws : NULL;
}

uint64_t rill__ws_frame_len(const uint8_t *data) {
  uint8_t n = data[1] & 0x7f;
  uint64_t len = 0;

  if (n < 126)
    len = n;
  else
    for (int i = 0; i < (n == 126 ? 2 : 8); i++)
      len = len << 8 | data[2 + i];
  return len + (n < 126 ? 2u : n == 126 ? 4u : 10u) +
         ((data[1] & 0x80) != 0 ? 4u : 0u);
}

bool rill__ws_close_code_ok(unsigned code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

/* What a handler returned, as a return value of rill__ws_feed. */
static int verdict(int rv, rill__ws_error *error) {
  if (rv < 0)
    return rill__ws_fail(error, RILL_ERR_HANDLER, 0, -1, "handler failed");
  return rv == RILL_PAUSE ? RILL_PAUSE : 0;
}

/*
 * The short path: a whole unfragmented data frame.  |*took| stays 0 where
 * |data| does not begin with one, or where anything is odd about it: the
 * long path then says what.
 */
static int read_short(const feed *f, uint8_t *data, size_t len,
                      size_t *took) {
  size_t head = 2;
  uint64_t n;
  rill__ws_message msg;

  if (len < 2 || (data[0] != (RILL__WS_FIN | RILL__WS_TEXT) &&
                  data[0] != (RILL__WS_FIN | RILL__WS_BINARY)))
    return 0;
  n = data[1] & 0x7f;
  if ((data[1] & 0x80) == (f->ws->client ? 0x80 : 0))
    return 0;
  if (n == 126) {
    if (len < 4)
      return 0;
    n = (uint64_t)data[2] << 8 | data[3];
    if (n < 126)
      return 0;
    head = 4;
  } else if (n == 127) {
    if (len < 10)
      return 0;
    n = 0;
    for (int i = 2; i < 10; i++)
      n = n << 8 | data[i];
    if (n < 65536)
      return 0;
    head = 10;
  }
  if (!f->ws->client)
    head += 4;
  if (n > rill__ws_most(f->ws, f->env->limits) || len < head || len - head < n)
    return 0;

  msg = (rill__ws_message){.data = data + head, .len = (size_t)n,
                           .opcode = data[0] & 0xf};
  if (!f->ws->client)
    rill__ws_mask(msg.data, msg.data, msg.len, msg.data - 4, 0);
  *took = head + msg.len;
  if (msg.opcode == RILL__WS_TEXT && !rill__utf8_valid(msg.data, msg.len))
    return rill__ws_bad_text(f->error);
  return verdict(f->sink->on_message(f->arg, &msg), f->error);
}

/*
 * Gives the message to the sink.  The input is given back first, so that a
 * handler finds the WebSocket between messages.
 */
static int deliver(const feed *f, uint8_t *data, size_t len) {
  rill__ws_input *in = f->ws->input;
  uint8_t none[1];
  rill__ws_message msg = {.data = data, .len = len, .opcode = in->kind};
  int rv;

  if (in->kind == RILL__WS_TEXT && in->utf8 != 0)
    return rill__ws_bad_text(f->error);
  if (data == NULL) {
    msg.data = none;
    msg.len = in->received;
    msg.chunk = rill__ws_input_take_chunk(in, f->env);
    if (msg.chunk != NULL)
      msg.data = msg.chunk->data + RILL__WS_HEADER_MAX;
  }
  rill__ws_input_give(f->ws, f->env);
  rv = f->sink->on_message(f->arg, &msg);
  rill__chunk_unref(msg.chunk);
  return verdict(rv, f->error);
}

/* Unmasks |n| bytes of payload from |src|; |done| went before them. */
static void unmask(const rill__ws_input *in, uint8_t *dst, const uint8_t *src,
                   size_t n, uint64_t done) {
  if (!in->ws->client)
    rill__ws_mask(dst, src, n, in->mask, (size_t)(done & 3));
  else if (dst != src)
    memcpy(dst, src, n);
}

static int read_plain(const feed *f, uint8_t *data, size_t n, uint64_t done) {
  rill__ws_input *in = f->ws->input;
  uint8_t *end;
  int rv;

  if (n == 0)
    return 0;
  rv = rill__ws_input_reserve(in, f->env, in->received + n, f->error);
  if (rv != 0)
    return rv;
  end = rill__ws_input_end(in);
  unmask(in, end, data, n, done);
  in->received += n;
  return rill__ws_check_text(in, end, n, f->error);
}

static int read_data(const feed *f, uint8_t *data, size_t n, uint64_t done) {
  rill__ws_input *in = f->ws->input;
  int rv;

  if (in->compressed) {
    unmask(in, data, data, n, done);
    rv = rill__ws_inflate(in, f->env, data, n, in->fin && in->left == 0,
                          f->error);
  } else if (in->fin && in->chunk == NULL && n == in->length) {
    /* All of it is here, only its header was cut: no copy. */
    unmask(in, data, data, n, 0);
    rv = rill__ws_check_text(in, data, n, f->error);
    if (rv == 0) {
      rill__ws_input_frame_end(in);
      return deliver(f, data, n);
    }
  } else {
    rv = read_plain(f, data, n, done);
  }
  if (rv != 0 || in->left > 0)
    return rv;
  rill__ws_input_frame_end(in);
  return in->fin ? deliver(f, NULL, 0) : 0;
}

static int check_close(const uint8_t *data, size_t len,
                       rill__ws_error *error) {
  if (len == 0)
    return 0;
  if (len == 1 || !rill__ws_close_code_ok((unsigned)data[0] << 8 | data[1]))
    return rill__ws_fail(error, RILL_ERR_PROTO, 1002, -1, "bad close code");
  if (!rill__utf8_valid(data + 2, len - 2))
    return rill__ws_bad_text(error);
  return 0;
}

static int read_control(const feed *f, uint8_t *data, size_t n,
                        uint64_t done) {
  rill__ws_input *in = f->ws->input;
  uint8_t opcode = in->opcode, copy[RILL__WS_CONTROL_MAX];
  size_t len = (size_t)in->length;
  int rv;

  if (n == len) {
    unmask(in, data, data, n, 0);
  } else {
    unmask(in, in->control + done, data, n, done);
    if (in->left > 0)
      return 0;
    memcpy(copy, in->control, len);
    data = copy;
  }
  rill__ws_input_frame_end(in);
  if (in->kind == 0)
    rill__ws_input_give(f->ws, f->env);
  if (opcode == RILL__WS_CLOSE) {
    rv = check_close(data, len, f->error);
    if (rv != 0)
      return rv;
  }
  rv = verdict(f->sink->on_control(f->arg, opcode, data, len), f->error);
  if (opcode == RILL__WS_CLOSE && rv != RILL_ERR_HANDLER)
    rv = RILL_ERR_CLOSED;
  return rv;
}

static int read_payload(const feed *f, uint8_t *data, size_t len,
                        size_t *took) {
  rill__ws_input *in = f->ws->input;
  size_t n = in->left < len ? (size_t)in->left : len;
  uint64_t done = in->length - in->left;
  int rv = rill__ws_input_count(in, n, f->error);

  *took = n;
  if (rv != 0)
    return rv;
  return in->opcode >= RILL__WS_CLOSE ? read_control(f, data, n, done)
                                      : read_data(f, data, n, done);
}

/* The long path: some bytes of a header, of a payload, or of both. */
static int read_long(const feed *f, uint8_t *data, size_t len,
                     size_t *took) {
  rill__ws *ws = f->ws;
  size_t n;
  int rv;

  if (ws->input == NULL && !rill__ws_input_take(ws, f->env))
    return rill__ws_fail(f->error, RILL_ERR_NOMEM, 1011, -1, "out of memory");
  if (!ws->input->in_payload) {
    rv = rill__ws_input_header(ws->input, f->env, data, len, took, f->error);
    if (rv != 0 || !ws->input->in_payload)
      return rv;
    /* An empty payload is complete with its header. */
    if (*took == len && ws->input->length > 0)
      return 0;
  }
  rv = read_payload(f, data + *took, len - *took, &n);
  *took += n;
  return rv;
}

int rill__ws_feed(rill__ws *ws, rill__ws_env *env, uint8_t *data, size_t len,
                  size_t *used, const rill__ws_sink *sink, void *arg,
                  rill__ws_error *error) {
  const feed f = {ws, env, sink, arg, error};
  size_t at = 0;
  int rv = 0;

  *error = (rill__ws_error){.limit = -1};
  while (rv == 0 && at < len) {
    size_t took = 0;
    if (ws->ended) {
      rv = RILL_ERR_CLOSED;
      break;
    }
    if (ws->input == NULL)
      rv = read_short(&f, data + at, len - at, &took);
    if (took == 0)
      rv = read_long(&f, data + at, len - at, &took);
    at += took;
  }
  *used = at;
  if (rv < 0)
    rill__ws_drop(ws, env);
  return rv;
}
