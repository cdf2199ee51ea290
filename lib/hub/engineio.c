/*
 * engineio.c - Engine.IO v4: packets, heartbeat, and the WebSocket that takes
 * over.
 */
#include "hub/engineio.h"

#include "base/base64.h"
#include "wire/deflate.h"
#include "wire/engineio.h"

void rill__eio_write(rill_conn *c, const char *packet) {
  if (rill__is_box(c)) {
    rill__bytes out;
    rill__bytes_init(&out, &c->hub->alloc);
    rill__bytes_str(&out, "\x1e");
    rill__bytes_str(&out, packet);
    if (out.failed)
      rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    else
      rill__conn_write(c, out.data, out.len);
    rill__bytes_finish(&out);
  } else {
    rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_TEXT, packet,
                        strlen(packet));
  }
}

void rill__eio_end(rill__session *s, const char *reason) {
  rill__conn_ws_fail(s->conn, RILL_CAUSE_PROTO, RILL_CLOSE_PROTOCOL, reason);
}

void rill__eio_set_variant(rill_conn *c, unsigned format) {
  c->ws.payload = true; /* what the handshake has announced */
  c->variant = (uint8_t)format;
  if (c->ws.pmd != NULL)
    c->variant = (uint8_t)(format + rill__pmd_send_bits(c->ws.pmd) - 8);
}

void rill__engineio_ping(rill_conn *c) {
  rill__eio_write(c, "2");
}

static void on_pong(rill_conn *c) {
  if (!rill__conn_is(c, RILL__PINGED))
    return;
  rill__conn_pong(c);
  c->pinged = c->hub->now; /* the next interval begins here */
  rill__conn_arm(c);
}

/* A packet but a MESSAGE, of a session that is not being upgraded. */
static int on_packet(rill_conn *c, rill__eio_type type) {
  switch (type) {
  case RILL__EIO_PONG:
    on_pong(c);
    return 0;
  case RILL__EIO_PING: /* only the server pings */
    rill__eio_end(c->session, "transport error");
    return RILL_ERR_PROTO;
  case RILL__EIO_CLOSE:
    if (rill__is_box(c) && c->session->poll != NULL && c->out.bytes == 0)
      rill__eio_write(c, "6");
    rill__conn_ws_gone(c, RILL_CAUSE_PEER, "transport close");
    return RILL_ERR_CLOSED;
  case RILL__EIO_OPEN:
  case RILL__EIO_UPGRADE:
  case RILL__EIO_NOOP:
  case RILL__EIO_MESSAGE:
    break;
  }
  return 0;
}

static int deliver(rill_conn *c, const rill__eio_packet *packet) {
  rill_msg msg = {.data = packet->data.ptr,
                  .len = packet->data.len,
                  .kind = packet->binary ? RILL_BINARY : RILL_TEXT};

  if (packet->type != RILL__EIO_MESSAGE)
    return on_packet(c, packet->type);
  return rill__session_dispatch(c->session, &msg);
}

int rill__session_payload(rill_conn *box, uint8_t *data, size_t len) {
  rill_str rest = {(const char *)data, len};
  rill__eio_packet packet;
  int more, rv = 0;

  while (box->state == RILL__OPEN &&
         (more = rill__eio_next(&rest, &packet)) != 0) {
    if (more < 0) {
      rill__eio_end(box->session, "parse error");
      return RILL_ERR_PROTO;
    }
    if (packet.type == RILL__EIO_MESSAGE) {
      box->hub->metrics.messages_in_total++;
      rill__conn_charge(box, packet.data.len);
    }
    rv = deliver(box, &packet);
    if (rv < 0 || box->state != RILL__OPEN)
      return rv < 0 ? rv : RILL_ERR_CLOSED;
    if (rv == RILL_PAUSE)
      box->flags |= RILL__PAUSED;
    if (!rill__conn_is(box, RILL__PAUSED | RILL__THROTTLED) || rest.len == 0)
      continue;
    if (!rill__conn_hold(box, (const uint8_t *)rest.ptr, rest.len)) {
      rill__conn_ws_cut(box, RILL_CAUSE_NOMEM, "out of memory");
      return RILL_ERR_NOMEM;
    }
    return 0;
  }
  return rv;
}

/* One packet of long-polling as a frame. */
static bool carry_packet(rill_conn *c, rill_str packet) {
  int64_t len;

  if (packet.len == 0 || packet.ptr[0] == RILL__EIO_NOOP)
    return true;
  if (packet.ptr[0] != 'b')
    return rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_TEXT, packet.ptr,
                               packet.len);
  packet = (rill_str){packet.ptr + 1, packet.len - 1};
  len = rill__base64_decode((char *)(uintptr_t)packet.ptr, packet);
  return len >= 0 && rill__conn_ws_frame(c, RILL__WS_FIN | RILL__WS_BINARY,
                                         packet.ptr, (size_t)len);
}

/* The queue of the box as frames of the WebSocket, whatever was in it. */
static bool carry_over(rill_conn *box, rill_conn *c) {
  rill__bytes all;
  rill_iov iov[16];
  size_t n;
  bool ok;

  rill__bytes_init(&all, &c->hub->alloc);
  while ((n = rill__outq_iov(&box->out, iov, 16)) > 0) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
      rill__bytes_add(&all, iov[i].base, iov[i].len);
      sum += iov[i].len;
    }
    rill__outq_consume(&box->out, &c->hub->out, sum);
  }
  ok = !all.failed;
  for (size_t at = 0; ok && at < all.len;) {
    uint32_t len = rill__out_unit(RILL__OUT_PACKETS, all.data + at,
                                  (uint32_t)(all.len - at));
    ok = carry_packet(c, (rill_str){(const char *)all.data + at + 1, len - 1});
    at += len;
  }
  rill__bytes_finish(&all);
  return ok;
}

/* The WebSocket takes over: peers, output and timers go to it. */
static int switch_over(rill__session *s) {
  rill_conn *box = s->conn, *c = s->probe;
  rill_request *poll = s->poll;
  bool carried;

  rill__fanout_close(c->hub, &c->hub->fanout);
  if (box->state != RILL__OPEN || c->state != RILL__OPEN)
    return RILL_ERR_CLOSED;
  if (s->post != NULL) { /* it must wait for the answer */
    rill__eio_end(s, "transport error");
    return RILL_ERR_PROTO;
  }
  s->probe = NULL;
  s->probe_by = RILL_NEVER;
  s->poll = NULL;
  s->conn = c;
  box->session = NULL;
  if (s->known && box->variant == RILL__AS_POLLED_SOCKETIO_MSGPACK)
    rill__eio_set_variant(c, RILL__AS_SOCKETIO_MSGPACK);
  c->peer = box->peer;
  box->peer = NULL;
  for (rill__peer *p = c->peer; p != NULL; p = rill__peer_sibling(p)) {
    p->conn = c;
    rill__peer_speaks(p, c->variant);
  }
  c->u.rate = box->u.rate;
  c->pinged = c->hub->now; /* armed anew: the ping of the box is void */
  c->flags |= box->flags & (RILL__PAUSED | RILL__BUSY_TOLD);
  carried = carry_over(box, c);
  rill__conn_kill(box);
  if (poll != NULL) /* a client that polls on although it has upgraded */
    rill__eio_reply_poll(poll, "6");
  if (!carried) {
    rill__conn_ws_cut(c, RILL_CAUSE_NOMEM, "out of memory");
    return RILL_ERR_NOMEM;
  }
  c->hub->metrics.upgrades_total++;
  rill__conn_arm(c);
  return rill__conn_is(c, RILL__PAUSED) ? RILL_PAUSE : 0;
}

static int on_probe(rill_conn *c, const rill_msg *msg) {
  rill__session *s = c->session;
  rill_str text = {msg->data, msg->len};

  if (msg->kind == RILL_TEXT && rill_str_eq(text, rill_s("2probe"))) {
    rill__eio_write(c, "3probe");
    s->probed = true;
    rill__conn_ready(s->conn); /* the waiting GET is let go */
    return 0;
  }
  if (msg->kind == RILL_TEXT && s->probed && rill_str_eq(text, rill_s("5")))
    return switch_over(s);
  rill__conn_ws_fail(c, RILL_CAUSE_PROTO, RILL_CLOSE_PROTOCOL,
                     "a probe was expected");
  return RILL_ERR_PROTO;
}

int rill__engineio_input(rill_conn *c, const rill_msg *msg) {
  rill__eio_packet packet = {RILL__EIO_MESSAGE, true, {msg->data, msg->len}};

  if (c == c->session->probe)
    return on_probe(c, msg);
  if (msg->kind == RILL_TEXT &&
      !rill__eio_text((rill_str){msg->data, msg->len}, &packet)) {
    rill__eio_end(c->session, "parse error");
    return RILL_ERR_PROTO;
  }
  return deliver(c, &packet);
}

void rill__boxes_free(rill_hub *hub) {
  rill__link *next;

  while (hub->sessions != NULL)
    rill__conn_kill(hub->sessions->conn);
  for (rill__link *l = hub->ready.next; l != &hub->ready; l = next) {
    rill_conn *c = RILL__CONTAINER(l, rill_conn, ready);
    next = l->next;
    if (rill__is_box(c)) /* those that are dead wait here */
      rill__conn_drop(c);
  }
}
