/*
 * rill/limits.h - every limit of a hub, in one table.
 *
 * X(name, default, max, outcome): |default| is what rill_config_init sets,
 * |max| the largest value that rill_hub_new takes, |outcome| what happens
 * when the limit is reached.  The struct rill_limits, its defaults, its
 * checks, the counters (rill_metrics.limit_NAME) and the table in
 * rill-limits(7) are made from it.  Zero is refused; RILL_UNLIMITED turns a
 * limit off where |max| is RILL_UNLIMITED.
 *
 * Units are in the names: bytes, ms, or a count.
 */
#ifndef RILL_LIMITS_H
#define RILL_LIMITS_H

#include <stdint.h>

#define RILL_UNLIMITED UINT32_MAX

/* clang-format off */
#define RILL_LIMITS(X) \
  /* HTTP */ \
  X(request_line_bytes,      4096,     16384,  "414") \
  X(header_bytes,            8192,     65536,  "431") \
  X(header_count,              64,       256,  "431") \
  X(head_ms,                10000,    600000,  "408, close") \
  X(body_bytes,            262144,  67108864,  "413") \
  X(body_ms,                15000,    600000,  "408, close") \
  X(verdict_ms,             10000,    600000,  "503, close") \
  X(keepalive_ms,           15000,    600000,  "close") \
  /* WebSocket */ \
  X(message_bytes,         262144,  67108864,  "1009") \
  X(fragments,                256,   1048576,  "1008") \
  X(message_ms,             30000,  RILL_UNLIMITED, "1008") \
  X(control_per_sec,           10,  RILL_UNLIMITED, "1008") \
  X(control_burst,             20,  RILL_UNLIMITED, "1008") \
  X(assembly_bytes,      67108864,  RILL_UNLIMITED, "4013 for the largest") \
  X(inflate_ratio,            100,      1100,  "1009") \
  X(close_ms,                5000,     60000,  "cut") \
  X(ping_ms,                25000,  RILL_UNLIMITED, "a ping is sent") \
  X(pong_ms,                20000,  RILL_UNLIMITED, "cut") \
  X(idle_ms,                45000,  RILL_UNLIMITED, "cut") \
  /* output */ \
  X(soft_bytes,             65536,  RILL_UNLIMITED, "RILL_BUSY, reading pauses") \
  X(soft_count,               256,  RILL_UNLIMITED, "RILL_BUSY, reading pauses") \
  X(queue_bytes,          1048576,  RILL_UNLIMITED, "the overflow policy") \
  X(queue_count,             1024,  RILL_UNLIMITED, "the overflow policy") \
  X(slow_ms,                10000,  RILL_UNLIMITED, "4008") \
  X(queues_total_bytes, 268435456,  RILL_UNLIMITED, "4013 for the writer's peer") \
  /* admission */ \
  X(conns,                  10000,  RILL_UNLIMITED, "503") \
  X(conns_per_address,         64,  RILL_UNLIMITED, "429") \
  X(half_open,               1024,  RILL_UNLIMITED, "503") \
  X(accepts_per_sec,          200,  RILL_UNLIMITED, "503") \
  X(accepts_burst,            400,  RILL_UNLIMITED, "503") \
  X(address_accepts_per_sec,   10,  RILL_UNLIMITED, "429") \
  X(address_accepts_burst,     40,  RILL_UNLIMITED, "429") \
  /* what a peer may do */ \
  X(messages_per_sec,          50,  RILL_UNLIMITED, "reading pauses, then 1008") \
  X(messages_burst,           100,  RILL_UNLIMITED, "reading pauses, then 1008") \
  X(bytes_per_sec,         131072,  RILL_UNLIMITED, "reading pauses, then 1008") \
  X(bytes_burst,           524288,  RILL_UNLIMITED, "reading pauses, then 1008") \
  X(throttle_ms,             2000,  RILL_UNLIMITED, "1008") \
  X(rooms_per_peer,           128,      4096,  "RILL_ERR_LIMIT") \
  X(joins_pending,            128,      4096,  "RILL_ERR_LIMIT") \
  X(name_bytes,               255,      1024,  "RILL_ERR_TOO_BIG") \
  /* events */ \
  X(value_depth,               32,        60,  "parse error, close") \
  X(value_nodes,            16384,   1048576,  "parse error, close") \
  X(key_bytes,               1024,     65536,  "parse error, close") \
  X(attachments,               10,       255,  "parse error, close") \
  X(acks_pending,            1024,  RILL_UNLIMITED, "RILL_ERR_LIMIT") \
  X(ack_ms,                 10000,    600000,  "RILL_ERR_TIMEOUT to the caller") \
  /* sessions */ \
  X(payload_bytes,        1000000,  67108864,  "413, 1009") \
  X(connect_ms,             45000,    600000,  "close") \
  X(upgrade_ms,             10000,    600000,  "the WebSocket is closed") \
  X(poll_close_ms,          30000,    600000,  "the session ends unheard") \
  X(spaces_per_session,        16,       255,  "CONNECT_ERROR") \
  X(spaces,                  1024,  RILL_UNLIMITED, "CONNECT_ERROR") \
  /* recovery and history */ \
  X(recovery_ms,           120000,  86400000,  "on_close") \
  X(away_peers,             10000,  RILL_UNLIMITED, "on_close at once") \
  X(history_count,           1000,   1048576,  "the oldest is forgotten") \
  X(history_ms,            120000,  RILL_UNLIMITED, "the oldest is forgotten") \
  X(history_bytes,         262144,  RILL_UNLIMITED, "the oldest is forgotten") \
  X(history_total_bytes, 67108864,  RILL_UNLIMITED, "nothing more is kept") \
  X(retry_ms,                3000,   3600000,  "what SSE clients are told") \
  X(store_pending,           1024,  RILL_UNLIMITED, "RILL_ERR_LIMIT") \
  X(room_pending,             256,  RILL_UNLIMITED, "RILL_ERR_LIMIT") \
  X(history_page,             100,     10000,  "no more in one reading") \
  /* presence and typing */ \
  X(presence_grace_ms,      15000,   3600000,  "who was lost is offline") \
  X(presence_window_ms,       250,     60000,  "what has changed is told") \
  X(presence_page,            500,     10000,  "the rest is told later") \
  X(presence_named,           100,     10000,  "counted, not named") \
  X(presence_state_bytes,    1024,     65536,  "RILL_ERR_TOO_BIG") \
  X(presence_watched,        1000,    100000,  "RILL_ERR_LIMIT") \
  X(presence_held,          10000,  RILL_UNLIMITED, "offline at once") \
  X(presence_seen,          10000,  RILL_UNLIMITED, "the oldest is forgotten") \
  X(typing_ms,               6000,    600000,  "it types no more") \
  X(typing_window_ms,         250,     60000,  "what has changed is told") \
  X(typing_users,              50,     10000,  "no more names, but a count") \
  /* notifications and receipts */ \
  X(notify_count,             100,      1000,  "the oldest is dropped") \
  X(notify_bytes,            4096,   1048576,  "RILL_ERR_TOO_BIG") \
  X(notify_waiting,         10000,  RILL_UNLIMITED, "missed at once") \
  X(receipt_window_ms,        250,     60000,  "what has changed is told") \
  X(receipt_users,            100,     10000,  "told at once; or an error")
/* clang-format on */

typedef struct rill_limits {
#define RILL_X(name, def, max, outcome) uint32_t name;
  RILL_LIMITS(RILL_X)
#undef RILL_X
} rill_limits;

#endif
