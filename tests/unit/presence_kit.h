/*
 * presence_kit.h - peers with users, in rooms with presence and typing.
 *
 * A client's token is its user's name; without one it is of nobody.  heard()
 * tells what an end was told: the events of presence and typing in short.
 */
#ifndef PRESENCE_KIT_H
#define PRESENCE_KIT_H

#include "talk.h"

#include "people/presence.h"

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

static inline void kit_begin(pair *p, bool recovery) {
  static const rill_room_opts opts = {.presence = true, .typing = true};

  p->config.authenticate = pair_authenticate;
  p->config.wall = kit_wall;
  p->config.limits.ping_ms = RILL_UNLIMITED; /* nobody answers */
  p->config.limits.idle_ms = RILL_UNLIMITED;
  p->act = kit_accept;
  talk_begin(p);
  assert_int_equal(
      rill_space(p->hub, "/", &(rill_space_opts){.recovery = recovery}), 0);
  assert_int_equal(rill_room_defaults(p->hub, "r*", &opts), 0);
}

/* |e|'s peer again on a new conn, with the secret of the old. */
static inline end *kit_again(pair *p, end *e, const char *user) {
  end *again = talk_connect(p, "/json", false);
  char text[128];

  snprintf(text, sizeof text,
           "{\"open\":{\"token\":\"%s\"},\"resume\":\"%s\"}", user,
           talk_secret[e->index]);
  talk_is(again, e);
  say(again, text);
  return again;
}

static inline void kit_add(char *out, size_t size, const char *text) {
  size_t at = strlen(out), len = strlen(text);

  MUST(at + len < size);
  memcpy(out + at, text, len + 1);
}

static inline void kit_user(char *out, size_t size, rill_value user) {
  rill_str name = rill_get_str(user, "userId");
  rill_str status = rill_get_str(user, "status");
  rill_value state = rill_value_get(user, "state");
  char text[400];

  snprintf(text, sizeof text, " %.*s:%.*s", (int)name.len, name.ptr,
           (int)status.len, status.ptr);
  kit_add(out, size, text);
  if (rill_get_int(user, "lastSeen", 0) > 0) {
    snprintf(text, sizeof text, "@%lld",
             (long long)rill_get_int(user, "lastSeen", 0));
    kit_add(out, size, text);
  }
  if (rill_value_type(state) != RILL_ABSENT) {
    rill_value_json(state, text, sizeof text);
    kit_add(out, size, "=");
    kit_add(out, size, text);
  }
}

static inline void kit_event(char *out, size_t size, rill_value m) {
  rill_str name = rill_get_str(m, "event");
  rill_value what = rill_value_at(rill_value_get(m, "args"), 0);
  rill_walk walk = rill_walk_begin(rill_value_get(what, "users"));
  char text[400];

  if (rill_value_type(rill_value_get(m, "event")) != RILL_STRING)
    return;
  if (out[0] != '\0')
    kit_add(out, size, "; ");
  snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
  kit_add(out, size, strchr(text, ':') != NULL ? strchr(text, ':') + 1 : text);
  if (rill_value_type(rill_value_get(what, "userId")) == RILL_STRING)
    kit_user(out, size, what);
  while (rill_walk_next(&walk)) {
    if (rill_value_type(walk.value) == RILL_OBJECT) {
      kit_user(out, size, walk.value);
    } else {
      snprintf(text, sizeof text, " %.*s",
               (int)rill_value_str(walk.value).len,
               rill_value_str(walk.value).ptr);
      kit_add(out, size, text);
    }
  }
  if (rill_get_int(what, "next", 0) > 0)
    kit_add(out, size, " ...");
}

/* The events since the last call: "state ann:online; update ben:away". */
static inline const char *heard(end *e) {
  static char out[8192];
  static const rill__value_limits limits = {60, 100000, 100000};
  const char *at = said(e);
  rill__tape tape;

  out[0] = '\0';
  rill__tape_init(&tape, &rill__alloc_default);
  while (*at != '\0') {
    size_t len = strcspn(at, "\n");
    rill__tape_clear(&tape);
    if (rill__json_read(&tape, (rill_str){at, len}, &limits) == 0)
      kit_event(out, sizeof out, (rill_value){tape.v});
    at += len + (at[len] != '\0');
  }
  rill__tape_finish(&tape);
  return out;
}

static char kit_told[8192];

/*
 * A peer of |user| with the envelope; in |room|, unless NULL.  What it heard
 * when it opened is in kit_told.
 */
static inline end *kit_open(pair *p, const char *user, const char *room) {
  end *e = talk_connect(p, "/json", false);
  char text[64];

  snprintf(text, sizeof text, "{\"open\":{\"token\":\"%s\"}}", user);
  say(e, text);
  assert_int_equal(e->opened, 1);
  snprintf(kit_told, sizeof kit_told, "%s", heard(e));
  if (room != NULL)
    assert_int_equal(rill_join(e->peer, rill_s(room)), 0);
  pair_turn(p);
  pair_log(p);
  return e;
}

/* Lets a window pass. */
static inline void kit_window(pair *p) {
  pair_pass(p, p->config.limits.presence_window_ms * RILL_MSEC);
}

#endif
