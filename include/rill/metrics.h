/*
 * rill/metrics.h - what a hub counts.
 */
#ifndef RILL_METRICS_H
#define RILL_METRICS_H

#include <rill/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, type, help): type is counter (only grows) or gauge. */
/* clang-format off */
#define RILL_METRICS(X) \
  X(conns, gauge, "open connections") \
  X(conns_total, counter, "connections accepted or dialed") \
  X(peers, gauge, "open peers") \
  X(peers_total, counter, "peers opened") \
  X(rooms, gauge, "rooms with members") \
  X(users, gauge, "users with peers") \
  X(requests_total, counter, "HTTP requests") \
  X(bad_requests_total, counter, "HTTP requests refused as malformed") \
  X(origin_refused_total, counter, "handshakes refused for their Origin") \
  X(auth_refused_total, counter, "handshakes refused by authenticate") \
  X(bytes_in_total, counter, "bytes fed") \
  X(bytes_out_total, counter, "bytes sent") \
  X(messages_in_total, counter, "messages received") \
  X(messages_out_total, counter, "messages queued, one per receiver") \
  X(deflated_total, counter, "messages compressed, once per encoding") \
  X(dropped_oldest_total, counter, "messages dropped by RILL_DROP_OLDEST") \
  X(dropped_newest_total, counter, "messages dropped by RILL_DROP_NEWEST") \
  X(conflated_total, counter, "messages replaced by a newer one") \
  X(dropped_volatile_total, counter, "volatile events that would have waited") \
  X(events_total, counter, "events received") \
  X(events_unknown_total, counter, "events that no handler takes") \
  X(events_throttled_total, counter, "events over the rate of rill_throttle") \
  X(acks_timed_out_total, counter, "answers that did not come in time") \
  X(sessions, gauge, "Engine.IO sessions") \
  X(upgrades_total, counter, "sessions that went from polling to WebSocket") \
  X(upgrades_failed_total, counter, "upgrades that were begun and not ended") \
  X(away, gauge, "peers that may still come back") \
  X(recovered_total, counter, "peers that came back and missed nothing") \
  X(recovered_gap_total, counter, "peers that came back to a gap") \
  X(history_bytes, gauge, "bytes of events kept for recovery") \
  X(published_total, counter, "events published into rooms") \
  X(published_again_total, counter, "publications under an id seen before") \
  X(healed_total, counter, "events read back that members had not heard") \
  X(store_operations_total, counter, "operations submitted to the store") \
  X(store_failures_total, counter, "operations that the store failed") \
  X(presence_updates_total, counter, "changes of presence that were told") \
  X(presence_undone_total, counter, "changes undone before they were told") \
  X(presence_held, gauge, "lost peers that count until their grace ends") \
  X(presence_seen, gauge, "users offline whose last seen is known") \
  X(typing_updates_total, counter, "lists of who types told to rooms") \
  X(notified_total, counter, "notifications kept") \
  X(notified_again_total, counter, "notifications under an id seen before") \
  X(notify_acked_total, counter, "notifications acknowledged") \
  X(notify_collapsed_total, counter, "notifications that a newer one replaced") \
  X(notify_expired_total, counter, "notifications that expired") \
  X(notify_missed_total, counter, "notifications that on_missed was told of") \
  X(inboxes, gauge, "users whose notifications are in memory") \
  X(notify_waiting, gauge, "notifications that on_missed waits for") \
  X(receipts_total, counter, "receipts kept") \
  X(receipt_updates_total, counter, "receipts told to rooms and users") \
  X(slow_closed_total, counter, "peers closed with 4008") \
  X(handler_errors_total, counter, "handlers that returned an error") \
  X(pings_total, counter, "pings sent") \
  X(ping_timeouts_total, counter, "peers cut for a missing pong") \
  X(queued_bytes, gauge, "bytes that output queues hold in memory") \
  X(assembly_bytes, gauge, "bytes of incomplete messages") \
  X(timers, gauge, "armed timers")
/* clang-format on */

typedef struct rill_metrics {
#define RILL_X(name, type, help) uint64_t name;
  RILL_METRICS(RILL_X)
#undef RILL_X
  /* how often each limit of rill/limits.h was reached */
#define RILL_X(name, def, max, outcome) uint64_t limit_##name;
  RILL_LIMITS(RILL_X)
#undef RILL_X
  /* closed peers by cause; index is rill_cause */
  uint64_t closed[RILL_CAUSE_REFUSED + 1];
} rill_metrics;

/* rill_metrics_read copies the counters of |hub|. */
RILL_API void rill_metrics_read(const rill_hub *hub, rill_metrics *out);

/*
 * rill_metrics_text writes them in the Prometheus text format (version
 * 0.0.4) into |buf| of |size| bytes, as snprintf does: it returns the whole
 * length without the terminator, and what did not fit is cut.
 */
RILL_API size_t rill_metrics_text(const rill_hub *hub, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
