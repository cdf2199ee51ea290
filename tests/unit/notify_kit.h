/*
 * notify_kit.h - peers with users, notifications and receipts, over a store
 * that does as it is told.
 *
 * A client's token is its user's name.  heard() tells what an end was told,
 * in short:
 *
 *   id@offset NAME DATA (unread)   a notification; "!id" in front of what it
 *                                  replaces
 *   -id... (unread), -<=N (unread) notification:cleared
 *   #N, #error                     notification:count
 *   room user:offset...            receipt:update
 *
 * and everything else as it came.
 */
#ifndef NOTIFY_KIT_H
#define NOTIFY_KIT_H

#include "talk.h"

#include <rill/history.h>

#include "store_double.h"

static store_double stored;
static char kit_done[4096];   /* what the host's functions were told */
static char kit_missed[4096]; /* what on_missed was told */

static inline int kit_accept(pair *p, const event *e) {
  (void)p;
  return strcmp(e->name, "auth") == 0
             ? rill_accept(e->req, rill_request_credential(e->req))
             : 0;
}

/* The wall is the clock, 1970 being its start. */
static inline uint64_t kit_wall(void *arg) {
  return ((pair *)arg)->now / RILL_MSEC;
}

__attribute__((format(printf, 3, 4))) static inline void
kit_add(char *out, size_t size, const char *format, ...) {
  size_t n = strlen(out);
  va_list args;

  if (n > 0)
    n += (size_t)snprintf(out + n, size - n, "; ");
  va_start(args, format);
  vsnprintf(out + n, size - n, format, args);
  va_end(args);
}

static inline void kit_on_missed(rill_hub *hub, const rill_notification *n,
                                 void *arg) {
  char json[300];

  (void)hub;
  (void)arg;
  rill_value_json(n->args, json, sizeof json);
  kit_add(kit_missed, sizeof kit_missed, "%.*s %.*s %.*s %s%s",
          (int)n->user.len, n->user.ptr, (int)n->id.len, n->id.ptr,
          (int)n->name.len, n->name.ptr, json, n->peers > 0 ? " there" : "");
}

/* A hub on |stored|, which has been made before. */
static inline void kit_begin_with(pair *p, uint32_t missed_ms,
                                  bool recovery) {
  const rill_notify_events_opts opts = {.on_missed = kit_on_missed,
                                        .missed_ms = missed_ms};
  static const rill_room_opts durable = {.durable = true};

  p->config.authenticate = pair_authenticate;
  p->config.wall = kit_wall;
  p->config.limits.ping_ms = RILL_UNLIMITED; /* nobody answers */
  p->config.limits.idle_ms = RILL_UNLIMITED;
  p->act = kit_accept;
  talk_begin(p);
  double_use(&stored, p);
  assert_int_equal(
      rill_space(p->hub, "/", &(rill_space_opts){.recovery = recovery}), 0);
  assert_int_equal(rill_space(p->hub, "/other", NULL), 0);
  assert_int_equal(rill_space(p->hub, "/t-*", NULL), 0);
  assert_int_equal(rill_room_defaults(p->hub, "r*", &durable), 0);
  assert_int_equal(rill_notify_events(p->hub, NULL, &opts), 0);
  assert_int_equal(rill_notify_events(p->hub, "/t-*", NULL), 0);
  assert_int_equal(rill_receipt_events(p->hub, NULL, NULL), 0);
  kit_done[0] = kit_missed[0] = '\0';
}

static inline void kit_begin(pair *p) {
  double_init(&stored);
  kit_begin_with(p, 0, false);
}

/* The program ends, however it stood, and another begins. */
static inline void kit_restart(pair *p) {
  pair_reset(p);
  stored.keeps = false;
  stored.fails = 0;
  kit_begin_with(p, 0, false);
}

static inline int kit_teardown(void **state) {
  int rv = pair_teardown(state);

  double_finish(&stored);
  return rv;
}

#define KIT_TEST(f)                                                            \
  { #f, f, pair_setup, kit_teardown, (void *)(uintptr_t)PAIR_WHOLE }

/* A peer of |user| with the envelope. */
static inline end *kit_open(pair *p, const char *user) {
  end *e = talk_connect(p, "/json", false);
  char text[64];

  snprintf(text, sizeof text, "{\"open\":{\"token\":\"%s\"}}", user);
  say(e, text);
  assert_int_equal(e->opened, 1);
  pair_log(p);
  return e;
}

static inline int kit_int(rill_value v, const char *key) {
  return (int)rill_get_int(v, key, -1);
}

static inline void kit_notification(char *out, size_t size, rill_value what) {
  rill_str id = rill_get_str(what, "id"), name = rill_get_str(what, "name");
  rill_str old = rill_get_str(what, "replaces");
  char json[300];

  rill_value_json(rill_value_get(what, "data"), json, sizeof json);
  kit_add(out, size, "%s%.*s%s%.*s@%d %.*s %s (%d)", old.len > 0 ? "!" : "",
          (int)old.len, old.ptr, old.len > 0 ? " " : "", (int)id.len, id.ptr,
          kit_int(what, "offset"), (int)name.len, name.ptr, json,
          kit_int(what, "unread"));
}

static inline void kit_cleared(char *out, size_t size, rill_value what) {
  rill_walk walk = rill_walk_begin(rill_value_get(what, "ids"));
  char ids[1000] = "";

  if (kit_int(what, "upTo") >= 0)
    snprintf(ids, sizeof ids, "<=%d", kit_int(what, "upTo"));
  while (rill_walk_next(&walk)) {
    rill_str id = rill_value_str(walk.value);
    snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s%.*s",
             ids[0] != '\0' ? "," : "", (int)id.len, id.ptr);
  }
  kit_add(out, size, "-%s (%d)", ids, kit_int(what, "unread"));
}

static inline void kit_receipts(char *out, size_t size, rill_value what) {
  rill_walk walk = rill_walk_begin(rill_value_get(what, "users"));
  rill_str room = rill_get_str(what, "room");
  char users[1000] = "";

  while (rill_walk_next(&walk)) {
    rill_str user = rill_get_str(walk.value, "userId");
    snprintf(users + strlen(users), sizeof users - strlen(users), " %.*s:%d",
             (int)user.len, user.ptr, kit_int(walk.value, "offset"));
  }
  kit_add(out, size, "%.*s%s", (int)room.len, room.ptr, users);
}

static inline void kit_line(char *out, size_t size, const char *line,
                            size_t len, rill_value m) {
  rill_str name = rill_get_str(m, "event");
  rill_value what = rill_value_at(rill_value_get(m, "args"), 0);

  if (rill_str_eq(name, rill_s("notification")))
    kit_notification(out, size, what);
  else if (rill_str_eq(name, rill_s("notification:cleared")))
    kit_cleared(out, size, what);
  else if (rill_str_eq(name, rill_s("notification:count")) &&
           rill_value_type(rill_value_get(what, "error")) == RILL_OBJECT)
    kit_add(out, size, "#error");
  else if (rill_str_eq(name, rill_s("notification:count")))
    kit_add(out, size, "#%d", kit_int(what, "unread"));
  else if (rill_str_eq(name, rill_s("receipt:update")))
    kit_receipts(out, size, what);
  else if (strncmp(line, "{\"open\":", 8) != 0)
    kit_add(out, size, "%.*s", (int)len, line);
}

/* What |e| was told since the last call, without its opening. */
static inline const char *heard(end *e) {
  static char out[16384];
  static const rill__value_limits limits = {60, 100000, 100000};
  const char *at = said(e);
  rill__tape tape;

  out[0] = '\0';
  rill__tape_init(&tape, &rill__alloc_default);
  while (*at != '\0') {
    size_t len = strcspn(at, "\n");
    rill__tape_clear(&tape);
    if (rill__json_read(&tape, (rill_str){at, len}, &limits) == 0)
      kit_line(out, sizeof out, at, len, (rill_value){tape.v});
    else
      kit_add(out, sizeof out, "%.*s", (int)len, at);
    at += len + (at[len] != '\0');
  }
  rill__tape_finish(&tape);
  return out;
}

static inline void kit_notified(rill_hub *hub, const rill_notified *n,
                                void *arg) {
  (void)hub;
  (void)arg;
  if (n->status != 0)
    kit_add(kit_done, sizeof kit_done, "%.*s %s", (int)n->id.len, n->id.ptr,
            rill_errname(n->status));
  else
    kit_add(kit_done, sizeof kit_done, "%.*s@%d peers %d cleared %d (%d)",
            (int)n->id.len, n->id.ptr, (int)n->offset, (int)n->peers,
            (int)n->cleared, (int)n->unread);
}

/* What the host's functions were told since the last call. */
static inline const char *told(char *what) {
  static char out[4096];

  memcpy(out, what, sizeof out);
  what[0] = '\0';
  return out;
}

/* Event "n" of id |id| for |user|; what comes of it is in kit_done. */
static inline int kit_notify_with(pair *p, const char *user, const char *id,
                                  rill_notify_opts opts) {
  rill_builder *b = rill_build(p->hub);

  rill_put_text(b, id);
  opts.id = rill_s(id);
  opts.done = kit_notified;
  return rill_notify(p->hub, rill_s(user), "n", b, &opts);
}

static inline void kit_notify(pair *p, const char *user, const char *id) {
  assert_int_equal(
      kit_notify_with(p, user, id, (rill_notify_opts){0}), 0);
  pair_turn(p);
}

static inline void kit_collapse(pair *p, const char *user, const char *id,
                                const char *key) {
  assert_int_equal(
      kit_notify_with(p, user, id, (rill_notify_opts){.key = rill_s(key)}),
      0);
  pair_turn(p);
}

/* What a new peer of |user| is told; it leaves again. */
static inline const char *kit_look(pair *p, const char *user) {
  static char out[16384];
  end *e = kit_open(p, user);

  snprintf(out, sizeof out, "%s", heard(e));
  end_bye(e, 1000, "");
  pair_log(p);
  return out;
}

#endif
