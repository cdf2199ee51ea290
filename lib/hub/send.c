/*
 * send.c - messages into the queue of one conn, and what a full one does.
 */
#include "hub/conn.h"

#include "hub/emit.h"
#include "hub/encode.h"
#include "hub/peer.h"
#include "wire/deflate.h"

static uint8_t opcode_of(const rill_msg *msg) {
  return msg->kind == RILL_TEXT ? RILL__WS_TEXT : RILL__WS_BINARY;
}

static bool fits(const rill_conn *c, uint32_t len, uint32_t count) {
  const rill_limits *l = &c->hub->config.limits;

  return c->out.bytes == 0 ||
         ((uint64_t)c->out.bytes + len <= l->queue_bytes &&
          (uint64_t)c->out.count + count <= l->queue_count);
}

/* Over the soft limits: stop reading, start the clock of slowness. */
static void watch_soft(rill_conn *c) {
  rill_hub *hub = c->hub;
  rill__conn_extra *x;
  const rill_limits *l = &hub->config.limits;

  if (rill__conn_is(c, RILL__SOFT) ||
      (c->out.bytes < l->soft_bytes && c->out.count < l->soft_count))
    return;
  x = rill__conn_extra_of(c);
  if (x == NULL)
    return; /* without memory for the clock only the hard limits hold */
  c->flags |= RILL__SOFT;
  hub->metrics.limit_soft_bytes += c->out.bytes >= l->soft_bytes;
  hub->metrics.limit_soft_count += c->out.count >= l->soft_count;
  x->slow = hub->now;
  rill__conn_arm(c);
}

static int push(rill_conn *c, rill__chunk *chunk, uint32_t from, uint32_t to,
                uint32_t count, uint32_t kind) {
  rill_hub *hub = c->hub;

  if (hub->chunks.held > hub->config.limits.queues_total_bytes &&
      c->out.bytes > 0) {
    hub->metrics.limit_queues_total_bytes++;
    rill__conn_ws_fail(c, RILL_CAUSE_OVERLOAD, RILL_CLOSE_OVERLOAD,
                       "short of memory for queues");
    return RILL_ERR_CLOSED;
  }
  if (!rill__outq_push(&c->out, &hub->out, chunk, from, to, kind, count)) {
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return RILL_ERR_NOMEM;
  }
  hub->metrics.messages_out_total += count;
  watch_soft(c);
  rill__conn_ready(c);
  return 0;
}

static bool keeps_window(const rill_conn *c) {
  return c->ws.pmd != NULL && rill__pmd_keeps_window(c->ws.pmd);
}

/*
 * Drops messages until |len| bytes more fit.  Where a window is kept, each
 * compressed message builds on those before it: none can be taken out of
 * their midst, so all that wait go, and the next begins afresh.
 */
static void drop_oldest(rill_conn *c, uint32_t len) {
  rill_hub *hub = c->hub;
  const rill_limits *l = &hub->config.limits;
  uint32_t n;

  if (keeps_window(c)) {
    rill__pmd_foreign(c->ws.pmd);
    n = rill__outq_drop_all(&c->out, &hub->out);
  } else {
    n = rill__outq_drop_oldest(&c->out, &hub->out, len, 1, l->queue_bytes,
                               l->queue_count);
  }
  hub->metrics.dropped_oldest_total += n;
}

static rill_overflow policy_of(const rill_conn *c, rill_overflow policy) {
  return policy != RILL_OVERFLOW_DEFAULT ? policy : c->hub->config.overflow;
}

static int overflow(rill_conn *c, rill__chunk *chunk, uint32_t from,
                    uint32_t to, uint32_t kind, rill_overflow policy) {
  rill_hub *hub = c->hub;
  const rill_limits *l = &hub->config.limits;

  if (c->out.bytes + (uint64_t)(to - from) > l->queue_bytes)
    hub->metrics.limit_queue_bytes++;
  else
    hub->metrics.limit_queue_count++;
  policy = policy_of(c, policy);
  if (policy == RILL_DROP_OLDEST) {
    drop_oldest(c, to - from);
    if (fits(c, to - from, 1))
      return push(c, chunk, from, to, 1, kind);
  }
  if (policy == RILL_DISCONNECT) {
    hub->metrics.slow_closed_total++;
    rill__conn_ws_fail(c, RILL_CAUSE_SLOW, RILL_CLOSE_SLOW, "slow");
    return RILL_ERR_CLOSED;
  }
  hub->metrics.dropped_newest_total++;
  return RILL_ERR_FULL;
}

int rill__conn_queue(rill_conn *c, rill__chunk *chunk, uint32_t from,
                     uint32_t to, uint32_t count, uint32_t kind,
                     rill_overflow policy) {
  int rv = 0;

  if (c->state != RILL__OPEN)
    return RILL_ERR_CLOSED;
  if (fits(c, to - from, count))
    return push(c, chunk, from, to, count, kind);
  while (from < to && c->state == RILL__OPEN) { /* as many as fit */
    uint32_t end = from + rill__out_unit(kind, chunk->data + from, to - from);
    if (fits(c, end - from, 1))
      rv = push(c, chunk, from, end, 1, kind);
    else
      rv = overflow(c, chunk, from, end, kind, policy);
    from = end;
  }
  return rv;
}

/*
 * A frame of |payload| at the end of |chunk|, where room has been made;
 * |first| 0 says that it needs no header.
 */
static bool put_frame(rill_conn *c, rill__chunk *chunk, uint8_t first,
                      const void *payload, size_t len) {
  uint8_t mask[4], *p = chunk->data + chunk->used;
  size_t n = 0;

  if (c->ws.client && rill__hub_random(c->hub, mask, sizeof mask) != 0)
    return false;
  if (first != 0)
    n = rill__ws_header(p, first, len, c->ws.client ? mask : NULL);
  if (c->ws.client)
    rill__ws_mask(p + n, payload, len, mask, 0);
  else if (len > 0)
    memcpy(p + n, payload, len);
  chunk->used += (uint32_t)(n + len);
  return true;
}

/*
 * The message that on_message has in hand, in a chunk of its own, goes out as
 * it lies there: a header in front of it is all that is written.
 */
static bool shareable(const rill_conn *c, const rill_msg *msg) {
  const rill__ws_message *m = c->hub->delivering;
  uint8_t first = (uint8_t)(RILL__WS_FIN | opcode_of(msg));

  return m != NULL && m->chunk != NULL && m->data == msg->data &&
         m->len == msg->len && !c->ws.client && msg->key.len == 0 &&
         (c->hub->delivering_first == 0 || c->hub->delivering_first == first);
}

static int share(rill_conn *c, const rill_msg *msg, rill_overflow policy) {
  rill_hub *hub = c->hub;
  const rill__ws_message *m = hub->delivering;
  size_t n = rill__ws_header_len(m->len, false);
  uint32_t at = (uint32_t)(m->data - m->chunk->data);

  hub->delivering_first = (uint8_t)(RILL__WS_FIN | opcode_of(msg));
  rill__ws_header(m->data - n, hub->delivering_first, m->len, NULL);
  return rill__conn_queue(c, m->chunk, at - (uint32_t)n, at + (uint32_t)m->len,
                          1, RILL__OUT_MESSAGES, policy);
}

int rill__conn_queue_keyed(rill_conn *c, rill__chunk *chunk,
                           rill_overflow policy) {
  if (!rill__outq_conflate(&c->out, chunk, chunk->key_len, chunk->used,
                           c->hub->config.limits.queue_bytes))
    return rill__conn_queue(c, chunk, chunk->key_len, chunk->used, 1,
                            RILL__OUT_WHOLE, policy);
  if (c->hub->remembers && c->peer != NULL && c->peer->voice != NULL)
    rill__outq_put_last(&c->out, chunk); /* offsets go out in their order */
  c->hub->metrics.conflated_total++;
  watch_soft(c);
  rill__conn_ready(c);
  return 0;
}

/* A keyed message has a chunk of its own, its key in front. */
static int queue_keyed(rill_conn *c, uint8_t first, const void *payload,
                       size_t len, rill_str key, rill_overflow policy) {
  rill_hub *hub = c->hub;
  size_t room = key.len + rill__ws_header_len(len, c->ws.client) + len;
  rill__chunk *chunk = rill__chunk_small(&hub->chunks, room);
  int rv = RILL_ERR_NOMEM;

  if (chunk == NULL)
    return rv;
  memcpy(chunk->data, key.ptr, key.len);
  chunk->key_len = chunk->used = (uint32_t)key.len;
  if (put_frame(c, chunk, first, payload, len))
    rv = rill__conn_queue_keyed(c, chunk, policy);
  rill__chunk_unref(chunk);
  return rv;
}

static int queue_frame(rill_conn *c, uint8_t first, const void *payload,
                       size_t len, uint32_t kind, rill_overflow policy) {
  rill_hub *hub = c->hub;
  size_t room = rill__ws_header_len(len, c->ws.client) + len;
  uint32_t from;
  bool own;
  rill__chunk *chunk = rill__out_room(&hub->out, &hub->chunks, room, &own);
  int rv = RILL_ERR_NOMEM;

  if (chunk == NULL)
    return rv;
  from = chunk->used;
  if (put_frame(c, chunk, first, payload, len)) {
    rv = rill__conn_queue(c, chunk, from, chunk->used, 1, kind, policy);
    if (rv != 0 && !own && chunk->refs == 1)
      chunk->used = from;
  }
  if (own)
    rill__chunk_unref(chunk);
  return rv;
}

static int queue_payload(rill_conn *c, rill_str key, uint8_t first,
                         const void *payload, size_t len, uint32_t kind,
                         rill_overflow policy) {
  if (key.len > 0)
    return queue_keyed(c, first, payload, len, key, policy);
  return queue_frame(c, first, payload, len, kind, policy);
}

/*
 * Where a window is kept, what is to be dropped for a message has to go
 * before that is compressed: it would build on what went.
 */
static void make_way(rill_conn *c, size_t len, rill_overflow policy) {
  uint32_t most = (uint32_t)(len + len / 8 + 64); /* compressed, framed */

  if (!keeps_window(c) || policy_of(c, policy) != RILL_DROP_OLDEST ||
      fits(c, most, 1))
    return;
  c->hub->metrics.limit_queue_bytes++;
  drop_oldest(c, most);
}

static int send_deflated(rill_conn *c, uint8_t first, const void *data,
                         size_t len, rill_overflow policy) {
  rill_hub *hub = c->hub;
  rill__bytes packed;
  int rv;

  make_way(c, len, policy);
  rill__bytes_init(&packed, &hub->alloc);
  rv = rill__pmd_deflate(c->ws.pmd, &hub->ws, data, len, &packed);
  if (rv == 0) {
    hub->metrics.deflated_total++;
    rv = queue_frame(c, (uint8_t)(first | RILL__WS_RSV1), packed.data,
                     packed.len, RILL__OUT_MESSAGES, policy);
    if (rv != 0)
      rill__pmd_foreign(c->ws.pmd); /* the peer will not have seen it */
  }
  rill__bytes_finish(&packed);
  return rv;
}

/*
 * The common case, straight: one more plain frame behind the last one that
 * was written for this conn, far from any limit.
 */
static bool append(rill_conn *c, const rill_msg *msg) {
  rill_hub *hub = c->hub;
  rill__chunk *chunk = hub->out.direct;
  rill__extent *tail = c->out.tail;
  size_t n, room = msg->len + RILL__WS_HEADER_MAX;

  if (tail == NULL || tail->chunk != chunk || tail->to != chunk->used ||
      tail->kind != RILL__OUT_MESSAGES || room > rill__chunk_room(chunk) ||
      c->ws.pmd != NULL || c->ws.client || msg->key.len > 0 ||
      c->out.bytes + room >= hub->rate.easy_bytes ||
      c->out.count + 1 >= hub->rate.easy_count)
    return false;
  n = rill__ws_header(chunk->data + chunk->used,
                      (uint8_t)(RILL__WS_FIN | opcode_of(msg)), msg->len, NULL);
  if (msg->len > 0)
    memcpy(chunk->data + chunk->used + n, msg->data, msg->len);
  n += msg->len;
  chunk->used += (uint32_t)n;
  tail->to = chunk->used;
  c->out.bytes += (uint32_t)n;
  c->out.count++;
  hub->metrics.messages_out_total++;
  return true;
}

static bool deflates(const rill_conn *c, bool uncompressed, rill_str key,
                     size_t len) {
  return c->ws.pmd != NULL && !uncompressed && key.len == 0 &&
         len >= rill__pmd_threshold(c->ws.pmd);
}

/* What rill_send says of a message that was queued, or was not. */
static int sent(rill_conn *c, int rv) {
  if (rv == RILL_ERR_NOMEM)
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
  if (rv != 0)
    return rv;
  c->flags |= RILL__ANSWER;
  if (!rill__conn_is(c, RILL__SOFT))
    return 0;
  c->flags |= RILL__BUSY_TOLD;
  return RILL_BUSY;
}

static int send_raw(rill_conn *c, const rill_msg *msg, rill_overflow policy) {
  rill_hub *hub = c->hub;
  uint8_t first = (uint8_t)(RILL__WS_FIN | opcode_of(msg));

  rill__fanout_close(hub, &hub->fanout);
  if (append(c, msg))
    return 0;
  if (deflates(c, msg->uncompressed, msg->key, msg->len))
    return sent(c, send_deflated(c, first, msg->data, msg->len, policy));
  if (shareable(c, msg))
    return sent(c, share(c, msg, policy));
  return sent(c, queue_payload(c, msg->key, first, msg->data, msg->len,
                               RILL__OUT_MESSAGES, policy));
}

int rill__conn_send_item(rill_conn *c, const rill__item *item,
                         rill_overflow policy) {
  rill_hub *hub = c->hub;
  rill__bytes out;
  rill__encoding e;
  int rv = RILL_ERR_ARG;

  rill__fanout_close(hub, &hub->fanout);
  if (c->state != RILL__OPEN) /* closed for being slow, just now */
    return RILL_ERR_CLOSED;
  rill__bytes_init(&out, &hub->alloc);
  if (rill__encode(item, rill__format_of(c->variant), &out, &e)) {
    const void *data = e.data != NULL ? e.data : out.data + e.from;
    if (e.first != 0 && deflates(c, item->uncompressed, item->key, e.len))
      rv = send_deflated(c, e.first, data, e.len, policy);
    else
      rv = queue_payload(c, item->key, e.first, data, e.len,
                         e.whole ? RILL__OUT_WHOLE : rill__kind_of(c->variant),
                         policy);
  } else if (out.failed) {
    rv = RILL_ERR_NOMEM;
  }
  rill__bytes_finish(&out);
  return sent(c, rv);
}

int rill_send(rill_peer peer, const rill_msg *msg) {
  rill__peer *p = rill__peer_of(peer);

  if (p != NULL && p->voice != NULL && p->away)
    return rill__emit_message(p, msg);
  if (p == NULL || p->conn == NULL)
    return RILL_ERR_CLOSED;
  if (!p->open)
    return p->dialed && p->conn->state <= RILL__HELLO ? RILL_ERR_STATE
                                                      : RILL_ERR_CLOSED;
  if ((msg->kind != RILL_TEXT && msg->kind != RILL_BINARY) ||
      msg->len > RILL__CHUNK_MAX / 2)
    return RILL_ERR_ARG;
  if (p->voice != NULL)
    return rill__emit_message(p, msg);
  return send_raw(p->conn, msg, msg->overflow);
}

rill_msg rill_text(const char *text) {
  return (rill_msg){.data = text, .len = strlen(text), .kind = RILL_TEXT};
}
