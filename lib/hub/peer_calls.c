/*
 * peer_calls.c - what a host asks of a peer, and about it.
 */
#include "hub/address.h"
#include "hub/recover.h"
#include "hub/session.h"

int rill_close(rill_peer peer, int code, const char *reason) {
  rill__peer *p = rill__peer_of(peer);
  rill_str why = rill_s(reason);

  if (p != NULL && p->away) {
    rill__peer_give_up(p);
    return 0;
  }
  p = rill__peer_open(peer);
  if (p == NULL)
    return RILL_ERR_CLOSED;
  if (code < 0 || !rill__ws_close_code_ok((unsigned)code) || why.len > 123 ||
      !rill__utf8_valid(why.ptr, why.len))
    return RILL_ERR_ARG;
  if (p->voice != NULL && p->voice->session != NULL &&
      p->voice->session->route->dialect == RILL_SOCKETIO) {
    rill__socketio_disconnect(p, RILL_CAUSE_HOST);
    return 0;
  }
  rill__conn_ws_close(p->conn, RILL_CAUSE_HOST, (unsigned)code, why);
  return 0;
}

int rill_cut(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p != NULL && p->away) {
    rill__peer_give_up(p);
    return 0;
  }
  if (p == NULL || p->conn == NULL || p->joining)
    return RILL_ERR_CLOSED; /* whom a hook judges is not there yet */
  rill__conn_ws_cut(p->conn, RILL_CAUSE_HOST, "cut");
  return 0;
}

int rill_pause(rill_peer peer) {
  rill__peer *p = rill__peer_open(peer);

  if (p == NULL)
    return RILL_ERR_CLOSED;
  p->paused = true;
  p->conn->flags |= RILL__PAUSED;
  rill__conn_ready(p->conn);
  return 0;
}

int rill_resume(rill_peer peer) {
  rill__peer *p = rill__peer_open(peer);

  if (p == NULL)
    return RILL_ERR_CLOSED;
  p->paused = false;
  if (!rill__conn_is(p->conn, RILL__PAUSED) || rill__peers_paused(p->conn))
    return 0;
  p->conn->flags &= (uint16_t)~RILL__PAUSED;
  rill__peer_due(p, RILL__DUE_INPUT);
  rill__conn_ready(p->conn);
  return 0;
}

int rill_ping(rill_peer peer) {
  rill__peer *p = rill__peer_open(peer);
  rill_conn *c;

  if (p == NULL)
    return RILL_ERR_CLOSED;
  c = p->conn;
  if (!rill__conn_is(c, RILL__PINGED)) {
    rill__conn_ws_ping(c); /* without memory it cuts the conn */
    rill__conn_arm(c);
  }
  return 0;
}

bool rill_is_open(rill_peer peer) {
  return rill__peer_open(peer) != NULL;
}

uint64_t rill_peer_id(rill_peer peer) {
  if (rill__peer_of(peer) == NULL)
    return 0;
  return (uint64_t)peer.generation << 32 | peer.slot;
}

rill_str rill_peer_user(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL && p->user != NULL ? rill__user_name(p) : (rill_str){0};
}

rill_str rill_peer_subprotocol(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL && p->protocol > 0
             ? rill_s(p->opts->subprotocols[p->protocol - 1])
             : (rill_str){0};
}

rill_str rill_peer_address(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL)
    return (rill_str){0};
  if (p->conn != NULL)
    return rill__address_text(p->conn);
  return p->rare == NULL ? (rill_str){0}
                         : (rill_str){p->rare->address, p->rare->address_len};
}

uint16_t rill_peer_port(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL)
    return 0;
  if (p->conn != NULL)
    return p->conn->port;
  return p->rare != NULL ? p->rare->port : 0;
}

void *rill_peer_data(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL ? p->data : NULL;
}

int rill_peer_set_data(rill_peer peer, void *data) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL)
    return RILL_ERR_CLOSED;
  p->data = data;
  return 0;
}

rill_time rill_peer_rtt(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL && p->rtt_us != UINT32_MAX ? p->rtt_us * RILL_USEC
                                              : RILL_NEVER;
}

size_t rill_peer_queued(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL || p->conn == NULL)
    return 0;
  rill__fanout_close(p->hub, &p->hub->fanout);
  return p->conn != NULL ? p->conn->out.bytes : 0;
}

size_t rill_peers(const rill_hub *hub) {
  return hub->peers.open;
}

static const char *const reasons[] = {"transport close",
                                      "transport error",
                                      "ping timeout",
                                      "parse error",
                                      "forced close",
                                      "client namespace disconnect",
                                      "server namespace disconnect",
                                      "server shutting down",
                                      "forced server close"};

const char *rill_disconnect_reason(const rill_closed *closed) {
  for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
    if (rill_str_eq(closed->reason, rill_s(reasons[i])))
      return reasons[i];
  switch (closed->cause) {
  case RILL_CAUSE_PEER:
  case RILL_CAUSE_EOF:
    return "transport close";
  case RILL_CAUSE_TIMEOUT:
    return "ping timeout";
  case RILL_CAUSE_UTF8:
    return "parse error";
  case RILL_CAUSE_DRAIN:
    return "server shutting down";
  case RILL_CAUSE_HOST:
  case RILL_CAUSE_HANDLER:
    return "forced server close";
  case RILL_CAUSE_FLOOD:
    return "forced close";
  default:
    return "transport error";
  }
}
