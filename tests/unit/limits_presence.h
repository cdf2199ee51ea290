/*
 * limits_presence.h - cases of test_limits.c: who is there, who types.
 */
#ifndef LIMITS_PRESENCE_H
#define LIMITS_PRESENCE_H

#include <rill/presence.h>

#include "limits_events.h"

static const rill_str no_space = {0}, room_r = RILL_STR("r");

static int accept_named(rill_request *req, void *arg) {
  (void)arg;
  return rill_accept(req, rill_request_credential(req));
}

static uint64_t wall_of_2000(void *arg) {
  (void)arg;
  return 946684800000u;
}

/* Room "r" with presence and typing, and the namespace with presence. */
static void begin_presence(pair *p) {
  static const rill_room_opts opts = {.presence = true, .typing = true};
  static const rill_presence_opts all = {.window_ms = 100};

  p->config.authenticate = accept_named;
  begin_events(p, false);
  assert_int_equal(rill_room_defaults(p->hub, "r", &opts), 0);
  assert_int_equal(rill_presence_events(p->hub, NULL, &all), 0);
}

/* User "u|i|", whom heard.peer is then. */
static end *named_open(pair *p, unsigned i) {
  end *e = pair_accept(p);
  char text[64];

  end_hello(e, "/json", "");
  snprintf(text, sizeof text, "{\"open\":{\"token\":\"u%u\"}}", i);
  end_text(e, text);
  assert_int_equal(heard.opened, i + 1);
  end_took(e);
  return e;
}

static end *named_join(pair *p, unsigned i) {
  end *e = named_open(p, i);

  assert_int_equal(rill_join(heard.peer, room_r), 0);
  pair_turn(p);
  return e;
}

static uint32_t users_in(pair *p, rill_str room) {
  rill_occupancy o;

  assert_int_equal(rill_presence_count(p->hub, no_space, room, &o), 0);
  return o.users;
}

CASE(presence_grace_ms, 1000, LIMIT_REACH) {
  rill_presence_opts other = {.grace_ms = 5000};

  p->config.authenticate = accept_named;
  begin_events(p, false);
  assert_int_equal(
      rill_room_defaults(p->hub, "r", &(rill_room_opts){.presence = true}), 0);
  assert_int_equal(rill_presence_events(p->hub, NULL, &other), 0);
  named_join(p, 0);
  end_eof(named_join(p, 1), 0);
  pair_pass(p, at * RILL_MSEC);
  assert_int_equal(users_in(p, (rill_str){0}), 2); /* as |other| says */
  return users_in(p, room_r) == 1;
}

CASE(presence_window_ms, 1000, LIMIT_REACH) {
  end *e;

  p->config.authenticate = accept_named;
  begin_events(p, false);
  assert_int_equal(
      rill_room_defaults(p->hub, "r", &(rill_room_opts){.presence = true}), 0);
  e = named_join(p, 0);
  pair_pass(p, at * RILL_MSEC);
  return strstr(end_took(e), "presence:update") != NULL;
}

CASE(presence_page, 3, LIMIT_OVER) {
  end *e = NULL;

  begin_presence(p);
  for (uint32_t i = 0; i < at; i++) {
    assert_true(e == NULL || strstr(end_took(e), "\"next\"") == NULL);
    e = named_join(p, i);
  }
  return strstr(end_took(e), "\"next\":1}") != NULL;
}

CASE(presence_named, 3, LIMIT_OVER) {
  const rill_room_opts opts = {.presence = true, .presence_window_ms = 100};
  end *e = NULL;

  p->config.authenticate = accept_named;
  begin_events(p, false);
  assert_int_equal(rill_room_defaults(p->hub, "r", &opts), 0);
  for (uint32_t i = 0; i < at; i++)
    e = named_join(p, i);
  pair_pass(p, 100 * RILL_MSEC);
  return strstr(end_took(e), "\"users\":[],\"more\":4}") != NULL;
}

CASE(presence_state_bytes, 20, LIMIT_OVER) {
  rill_builder *b;
  int rv;

  begin_presence(p);
  named_join(p, 0);
  b = rill_build(p->hub);
  rill_put_str(b, (rill_str){letters, at - 1});
  rv = rill_show_state(heard.peer,
                       rill_value_at(rill_builder_value(b), 0));
  assert_true(rv == 0 || rv == RILL_ERR_TOO_BIG);
  return rv != 0;
}

CASE(presence_watched, 3, LIMIT_OVER) {
  static const rill_str names[] = {RILL_STR("a"), RILL_STR("b"),
                                   RILL_STR("c"), RILL_STR("d")};
  int rv;

  begin_presence(p);
  named_open(p, 0);
  assert_int_equal(rill_watch(heard.peer, names, 1), 0);
  rv = rill_watch(heard.peer, names, at); /* the first is one already */
  assert_true(rv == 0 || rv == RILL_ERR_LIMIT);
  return rv != 0;
}

CASE(presence_held, 4, LIMIT_OVER) {
  end *e[5];

  begin_presence(p);
  for (uint32_t i = 0; i < at; i++)
    e[i] = named_open(p, i);
  for (uint32_t i = 0; i < at; i++)
    end_eof(e[i], 0);
  return at - users_in(p, (rill_str){0});
}

CASE(presence_seen, 2, LIMIT_OVER) {
  rill_presence who;

  p->config.wall = wall_of_2000;
  begin_presence(p);
  for (uint32_t i = 0; i < at; i++) {
    end_bye(named_open(p, i), 1000, "");
    pair_pass(p, RILL_SEC);
  }
  for (uint32_t i = 1; i < at; i++) {
    char name[3] = {'u', (char)('0' + i), '\0'};
    rill_presence_user(p->hub, no_space, no_space, rill_s(name), &who);
    assert_int_equal(who.last_seen_ms, wall_of_2000(NULL));
  }
  rill_presence_user(p->hub, no_space, no_space, rill_s("u0"), &who);
  return who.last_seen_ms == 0;
}

static int count_typer(rill_str user, void *arg) {
  (void)user;
  ++*(unsigned *)arg;
  return 0;
}

CASE(typing_ms, 1000, LIMIT_REACH) {
  unsigned n = 0;

  begin_presence(p);
  named_join(p, 0);
  assert_int_equal(rill_typing(heard.peer, room_r, true), 0);
  pair_pass(p, at * RILL_MSEC);
  rill_typing_each(p->hub, no_space, room_r, count_typer, &n);
  return n == 0;
}

CASE(typing_window_ms, 1000, LIMIT_REACH) {
  end *e;

  begin_presence(p);
  e = named_join(p, 0);
  assert_int_equal(rill_typing(heard.peer, room_r, true), 0);
  pair_pass(p, at * RILL_MSEC);
  return strstr(end_took(e), "typing:update") != NULL;
}

CASE(typing_users, 2, LIMIT_OVER) {
  const char *told, *names = "\"u0\",\"u1\"]";
  char want[64];
  end *e = NULL;

  begin_presence(p);
  for (uint32_t i = 0; i < at; i++) {
    e = named_join(p, i);
    assert_int_equal(rill_typing(heard.peer, room_r, true), 0);
  }
  pair_pass(p, 60 * RILL_SEC);
  told = strstr(end_took(e), "typing:update");
  assert_non_null(told);
  snprintf(want, sizeof want, "\"count\":%u,\"users\":[%s", at,
           at > 1 ? names : "\"u0\"]");
  assert_non_null(strstr(told, want));
  return at > 2;
}

#endif
