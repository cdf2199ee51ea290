/*
 * limits_notify.h - cases of test_limits.c: notifications and receipts.
 */
#ifndef LIMITS_NOTIFY_H
#define LIMITS_NOTIFY_H

#include <rill/notify.h>

#include "limits_presence.h"

static const rill_str user_0 = RILL_STR("u0");

static unsigned missed_calls;

static void count_missed(rill_hub *hub, const rill_notification *n,
                         void *arg) {
  (void)hub;
  (void)n;
  (void)arg;
  missed_calls++;
}

/* Notifications with a hook, and receipts in the durable room "r". */
static void begin_notify(pair *p) {
  static const rill_notify_events_opts opts = {.on_missed = count_missed,
                                               .missed_ms = 60000};
  static const rill_room_opts durable = {.durable = true};

  missed_calls = 0;
  p->config.authenticate = accept_named;
  begin_events(p, false);
  assert_int_equal(rill_room_defaults(p->hub, "r", &durable), 0);
  assert_int_equal(rill_notify_events(p->hub, NULL, &opts), 0);
  assert_int_equal(rill_receipt_events(p->hub, NULL, NULL), 0);
}

static void notified(rill_hub *hub, const rill_notified *n, void *arg) {
  (void)hub;
  assert_int_equal(n->status, 0);
  *(rill_notified *)arg = *n;
}

static int notify_user(pair *p, size_t len) {
  rill_builder *b = rill_build(p->hub);

  rill_put_str(b, (rill_str){letters, len});
  return rill_notify(p->hub, user_0, "n", b, NULL);
}

CASE(notify_count, 5, LIMIT_OVER) {
  rill_notified now = {0};

  begin_notify(p);
  for (uint32_t i = 0; i < at; i++)
    assert_int_equal(notify_user(p, 1), 0);
  pair_pass(p, 0);
  assert_int_equal(
      rill_notify_count(p->hub, no_space, user_0, notified, &now), 0);
  pair_pass(p, 0);
  assert_int_equal(now.unread, at < 5 ? at : 5);
  return at > 5;
}

/* An array, the name, when it expires, the key, the head of the text. */
#define NOTICE_BYTES (1 + 2 + 1 + 1 + 2)

CASE(notify_bytes, 200, LIMIT_OVER) {
  int rv;

  begin_notify(p);
  rv = notify_user(p, at - NOTICE_BYTES);
  assert_true(rv == 0 || rv == RILL_ERR_TOO_BIG);
  return rv != 0;
}

/* Those of a user who is there wait for their acknowledgement. */
CASE(notify_waiting, 3, LIMIT_OVER) {
  begin_notify(p);
  named_open(p, 0);
  for (uint32_t i = 0; i < at; i++)
    assert_int_equal(notify_user(p, 1), 0);
  pair_pass(p, 0);
  assert_int_equal(pair_metrics(p).notify_waiting, at < 3 ? at : 3);
  return missed_calls;
}

/* Users "u0", "u1", ... have read room "r", of one event. */
static void read_by(pair *p, uint32_t n) {
  assert_int_equal(rill_publish(p->hub, room_r, "e", NULL, NULL), 0);
  for (uint32_t i = 0; i < n; i++) {
    char name[16];
    snprintf(name, sizeof name, "u%u", i);
    assert_int_equal(rill_read_to(p->hub, room_r, rill_s(name), 1, NULL), 0);
  }
  pair_pass(p, 0);
}

CASE(receipt_window_ms, 100, LIMIT_REACH) {
  end *e;

  begin_notify(p);
  e = named_join(p, 0);
  read_by(p, 1);
  end_took(e);
  pair_pass(p, at * RILL_MSEC);
  return strstr(end_took(e), "receipt:update") != NULL;
}

/* What others may ask of at once, and what is held for a room. */
CASE(receipt_users, 3, LIMIT_OVER) {
  bool refused, told;
  char text[256];
  end *e;

  begin_notify(p);
  e = named_join(p, 0);
  read_by(p, at);
  told = strstr(end_took(e), "receipt:update") != NULL;
  snprintf(text, sizeof text,
           "{\"event\":\"receipt:get\",\"args\":[{\"room\":\"r\",\"users\":["
           "%.*s]}],\"id\":1}",
           (int)at * 5 - 1, "\"u0\",\"u1\",\"u2\",\"u3\"");
  end_text(e, text);
  refused = strstr(end_took(e), "\"limit\"") != NULL;
  assert_int_equal(told, refused);
  return refused ? 2 : 0;
}

#endif
