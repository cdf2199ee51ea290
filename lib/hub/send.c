/*
 * send.c - messages into the queue of one conn, and what a full one does.
 */
#include "hub/conn.h"

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
                uint32_t count) {
  rill_hub *hub = c->hub;

  if (hub->chunks.held > hub->config.limits.queues_total_bytes &&
      c->out.bytes > 0) {
    hub->metrics.limit_queues_total_bytes++;
    rill__conn_ws_fail(c, RILL_CAUSE_OVERLOAD, RILL_CLOSE_OVERLOAD,
                       "short of memory for queues");
    return RILL_ERR_CLOSED;
  }
  if (!rill__outq_push(&c->out, &hub->out, chunk, from, to,
                       RILL__OUT_MESSAGES, count)) {
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
                    uint32_t to, rill_overflow policy) {
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
      return push(c, chunk, from, to, 1);
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
                     uint32_t to, uint32_t count, rill_overflow policy) {
  int rv = 0;

  if (c->state != RILL__OPEN)
    return RILL_ERR_CLOSED;
  if (fits(c, to - from, count))
    return push(c, chunk, from, to, count);
  while (from < to && c->state == RILL__OPEN) { /* as many as fit */
    uint32_t end =
        from + (uint32_t)rill__ws_frame_len(chunk->data + from);
    if (fits(c, end - from, 1))
      rv = push(c, chunk, from, end, 1);
    else
      rv = overflow(c, chunk, from, end, policy);
    from = end;
  }
  return rv;
}

/* A frame of |payload| at the end of |chunk|; room has been made. */
static bool put_frame(rill_conn *c, rill__chunk *chunk, uint8_t first,
                      const void *payload, size_t len) {
  uint8_t mask[4], *p = chunk->data + chunk->used;
  size_t n;

  if (c->ws.client && rill__hub_random(c->hub, mask, sizeof mask) != 0)
    return false;
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
  return rill__conn_queue(c, m->chunk, at - (uint32_t)n,
                          at + (uint32_t)m->len, 1, policy);
}

int rill__conn_queue_keyed(rill_conn *c, rill__chunk *chunk,
                           rill_overflow policy) {
  if (!rill__outq_conflate(&c->out, chunk, chunk->key_len, chunk->used,
                           c->hub->config.limits.queue_bytes))
    return rill__conn_queue(c, chunk, chunk->key_len, chunk->used, 1, policy);
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
                       size_t len, rill_overflow policy) {
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
    rv = rill__conn_queue(c, chunk, from, chunk->used, 1, policy);
    if (rv != 0 && !own && chunk->refs == 1)
      chunk->used = from;
  }
  if (own)
    rill__chunk_unref(chunk);
  return rv;
}

static int queue_payload(rill_conn *c, const rill_msg *msg, uint8_t first,
                         const void *payload, size_t len,
                         rill_overflow policy) {
  if (msg->key.len > 0)
    return queue_keyed(c, first, payload, len, msg->key, policy);
  return queue_frame(c, first, payload, len, policy);
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

static int send_deflated(rill_conn *c, const rill_msg *msg,
                         rill_overflow policy) {
  rill_hub *hub = c->hub;
  rill__bytes packed;
  int rv;

  make_way(c, msg->len, policy);
  rill__bytes_init(&packed, &hub->alloc);
  rv = rill__pmd_deflate(c->ws.pmd, &hub->ws, msg->data, msg->len, &packed);
  if (rv == 0) {
    hub->metrics.deflated_total++;
    rv = queue_payload(
        c, msg, (uint8_t)(RILL__WS_FIN | RILL__WS_RSV1 | opcode_of(msg)),
        packed.data, packed.len, policy);
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
                      (uint8_t)(RILL__WS_FIN | opcode_of(msg)), msg->len,
                      NULL);
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

int rill__conn_send(rill_conn *c, const rill_msg *msg, rill_overflow policy) {
  rill_hub *hub = c->hub;
  int rv;

  rill__fanout_close(hub, &hub->fanout);
  if (append(c, msg))
    return 0;
  if (c->ws.pmd != NULL && !msg->uncompressed && msg->key.len == 0 &&
      msg->len >= rill__pmd_threshold(c->ws.pmd))
    rv = send_deflated(c, msg, policy);
  else if (shareable(c, msg))
    rv = share(c, msg, policy);
  else
    rv = queue_payload(c, msg, (uint8_t)(RILL__WS_FIN | opcode_of(msg)),
                       msg->data, msg->len, policy);
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

int rill_send(rill_peer peer, const rill_msg *msg) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL || p->conn == NULL)
    return RILL_ERR_CLOSED;
  if (!p->open)
    return p->dialed && p->conn->state <= RILL__HELLO ? RILL_ERR_STATE
                                                      : RILL_ERR_CLOSED;
  if ((msg->kind != RILL_TEXT && msg->kind != RILL_BINARY) ||
      msg->len > RILL__CHUNK_MAX / 2)
    return RILL_ERR_ARG;
  return rill__conn_send(p->conn, msg, msg->overflow);
}

rill_msg rill_text(const char *text) {
  return (rill_msg){
      .data = text, .len = strlen(text), .kind = RILL_TEXT};
}
