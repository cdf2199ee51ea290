/* emit_kit.h - Socket.IO peers by their ends, and joining in short. */
#ifndef EMIT_KIT_H
#define EMIT_KIT_H

#include "talk.h"

static inline rill_peer sio_peer(const end *e) {
  rill_peer peer =
      rill_find_sid(e->p->hub, (rill_str){talk_sid[e->index], RILL__SID});

  assert_true(rill_is_open(peer));
  return peer;
}

/* CONNECT of socket.io-msgpack-parser: {type:0,nsp:"/"}. */
#define PACKED_CONNECT "\x82\xa4type\x00\xa3nsp\xa1/"

static inline end *sio_packed(pair *p) {
  end *e = pair_accept(p);

  end_hello(e, "/socket.io/?EIO=4&transport=websocket", "");
  assert_true(rill_str_starts(rill_s(end_took(e)), "101; text 0{"));
  end_frame(e, 0x82, PACKED_CONNECT, sizeof PACKED_CONNECT - 1);
  assert_true(rill_str_starts(rill_s(said(e)), "#{\"type\":0"));
  return e;
}

static inline void join(rill_peer peer, const char *room) {
  assert_int_equal(rill_join(peer, rill_s(room)), 0);
}

#endif
