/*
 * crowd_presence.c - what it costs to tell ten thousand who is there.
 *
 *   arrive   all come into an empty room in one instant: until each has heard
 *            of each, a page in every window
 *   again    all are lost, and back within the grace: nobody hears of that,
 *            but each is told who is there, a page of them
 *   one, hundred  so many change their status within a window: one update for
 *            every member, from the changes to the last byte
 *   plain    an event of the same bytes as those of "one", sent by the host as
 *            often: what one encoding and ten thousand queues cost anyway
 *
 * Of each the CPU time, per peer or per window, and the bytes that go out per
 * peer; and the memory of a membership, in this room and in one without
 * presence.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crowd.h"

enum { WINDOWS = 21, WINDOW_MS = 250, HUNDRED = 100, PAGE = 500, KEPT = 256 };

typedef struct member {
  uint64_t version; /* of the room, as it heard last */
  uint32_t joined, states, plain;
} member;

static struct scene {
  const char *room;
  uint64_t updates, plain; /* that came to anybody */
  uint64_t version;        /* the newest */
  size_t users;            /* that each state must have */
  rill_str copies[KEPT];   /* of updates, by version; the first of plain */
  member members[CROWD_PEERS];
} s;

/* How often |text| is in |message|. */
static size_t times(rill_str message, const char *text) {
  size_t n = 0;

  while ((message = crowd_after(message, text)).ptr != NULL)
    n++;
  return n;
}

static void copy_drop(rill_str *copy) {
  free((char *)(uintptr_t)copy->ptr);
  *copy = (rill_str){0};
}

static void copy_keep(rill_str *copy, rill_str message) {
  char *own = malloc(message.len);

  crowd_must(own != NULL, "out of memory");
  memcpy(own, message.ptr, message.len);
  copy_drop(copy);
  *copy = (rill_str){own, message.len};
}

/* All must hear the same. */
static void compare(const rill_str *copy, rill_str message) {
  crowd_must(copy->len == message.len &&
                 memcmp(copy->ptr, message.ptr, message.len) == 0,
             "members hear different things");
}

static void heard_update(member *m, rill_str message) {
  uint64_t version = crowd_number(message, "\"version\":");
  rill_str *copy = &s.copies[version % KEPT];

  crowd_must(m->states > 0 && version == m->version + 1,
             "an update came twice, or not at all");
  m->version = version;
  if (version > s.version) {
    s.version = version;
    copy_keep(copy, message);
  }
  compare(copy, message);
  s.updates++;
}

static void heard_plain(member *m, rill_str message) {
  if (s.plain++ == 0)
    copy_keep(&s.copies[0], message);
  compare(&s.copies[0], message);
  crowd_must(crowd_number(message, "\"version\":") == m->version,
             "it is not what was sent");
  m->plain++;
}

static void heard_state(member *m, rill_str message) {
  m->version = crowd_number(message, "\"version\":");
  crowd_must(times(message, "\"userId\"") == s.users,
             "a state that does not say who is there");
  m->states++;
}

static void heard(crowd *c, size_t who, rill_str message) {
  member *m = &s.members[who];

  (void)c;
  if (rill_str_starts(message, "{\"event\":\"presence:update\"")) {
    heard_update(m, message);
  } else if (rill_str_starts(message, "{\"event\":\"presence:state\"")) {
    heard_state(m, message);
  } else if (rill_str_starts(message, "{\"joined\":")) {
    m->joined++;
  } else if (rill_str_starts(message, "{\"event\":\"plain\"")) {
    heard_plain(m, message);
  } else if (!rill_str_starts(message, "{\"open\":")) {
    crowd_unexpected(message);
  }
}

static void joins(crowd *c, size_t who, char out[CROWD_WORDS]) {
  (void)c;
  (void)who;
  snprintf(out, CROWD_WORDS, "{\"join\":\"%s\"}", s.room);
}

/* Everybody is where the room is, after so many answers and states. */
static void all_heard(uint32_t joined, uint32_t states) {
  for (size_t i = 0; i < CROWD_PEERS; i++)
    crowd_must(s.members[i].joined == joined && s.members[i].states == states &&
                   s.members[i].version == s.version,
               "somebody has not heard all of it");
}

/* Every user is in one of the updates: when they came nobody had been told. */
static void all_were_told(void) {
  static bool told[CROWD_PEERS];
  size_t n = 0;

  memset(told, 0, sizeof told);
  for (uint64_t v = 1; v <= s.version; v++) {
    rill_str rest = s.copies[v % KEPT];
    while ((rest = crowd_after(rest, "\"userId\":\"user-")).ptr != NULL) {
      size_t who = (size_t)crowd_number(rest, "");
      crowd_must(who < CROWD_PEERS && !told[who], "a user was told twice");
      told[who] = true;
      n++;
    }
  }
  crowd_must(n == CROWD_PEERS, "a user was not told");
}

static void report(const char *name, double ns, double bytes) {
  printf("\"%s_ns\":%.1f,\"%s_bytes\":%.1f,", name, ns, name, bytes);
}

/* What the hub has allocated when all is said and spares have gone. */
static size_t at_rest(crowd *c) {
  crowd_pass(c, 10 * RILL_SEC);
  return c->allocated;
}

static crowd *come(const char *room) {
  static const rill_room_opts watched = {.presence = true};
  rill_config config;
  crowd *c;

  s.room = room;
  rill_config_init(&config);
  c = crowd_new(&config, true, heard);
  crowd_must(rill_room_defaults(c->hub, "watched", &watched) == 0, "no room");
  crowd_connect(c);
  crowd_say(c, crowd_open);
  return c;
}

/* Returns the memory of a membership. */
static double arrive(crowd *c, bool told) {
  size_t before = at_rest(c);
  uint64_t bytes = c->bytes, ns;

  crowd_begin(c);
  crowd_say(c, joins);
  crowd_pass(c, RILL_MSEC * WINDOW_MS * (CROWD_PEERS / PAGE + 1));
  ns = crowd_end(c);
  all_heard(1, told);
  if (told) {
    all_were_told();
    report("arrive", (double)ns / CROWD_PEERS,
           (double)(c->bytes - bytes) / CROWD_PEERS);
  }
  return (double)(at_rest(c) - before) / CROWD_PEERS;
}

static void come_again(crowd *c) {
  uint64_t updates = s.updates, bytes, ns;

  for (size_t i = 0; i < CROWD_PEERS; i++)
    crowd_lose(c, i);
  crowd_pass(c, RILL_SEC);
  crowd_connect(c);
  crowd_say(c, crowd_open);
  s.users = PAGE;
  bytes = c->bytes;
  crowd_begin(c);
  crowd_say(c, joins);
  ns = crowd_end(c);
  bytes = c->bytes - bytes;
  at_rest(c);
  all_heard(2, 2);
  crowd_must(s.updates == updates, "who was back in time was told of");
  report("again", (double)ns / CROWD_PEERS, (double)bytes / CROWD_PEERS);
}

static int by_size(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return (a > b) - (a < b);
}

/* |n| members, far from each other, change their status to and fro. */
static void change(crowd *c, size_t n, rill_status status) {
  for (size_t i = 0; i < n; i++)
    crowd_must(rill_show(c->clients[i * (CROWD_PEERS / n)].peer, status) == 0,
               "it cannot show its status");
}

static void window(crowd *c, size_t n, rill_status status) {
  uint64_t updates = s.updates, version = s.version;
  rill_str told;

  crowd_begin(c);
  change(c, n, status);
  crowd_pass(c, RILL_MSEC * WINDOW_MS);
  told = s.copies[s.version % KEPT];
  crowd_must(s.version == version + 1 && s.updates == updates + CROWD_PEERS,
             "a member did not get the update");
  crowd_must(times(told, status == RILL_STATUS_AWAY
                             ? "\"status\":\"away\""
                             : "\"status\":\"online\"") == n,
             "the update does not tell all changes");
}

static void windows(crowd *c, const char *name, size_t n) {
  double ns[WINDOWS];
  uint64_t bytes = c->bytes;

  for (size_t i = 0; i < WINDOWS; i++) {
    window(c, n, i % 2 == 0 ? RILL_STATUS_AWAY : RILL_STATUS_ONLINE);
    ns[i] = (double)crowd_end(c);
  }
  change(c, n, RILL_STATUS_ONLINE);
  crowd_pass(c, RILL_MSEC * WINDOW_MS);
  all_heard(2, 2);
  qsort(ns, WINDOWS, sizeof ns[0], by_size);
  report(name, ns[WINDOWS / 2],
         (double)(c->bytes - bytes) / (WINDOWS + 1) / CROWD_PEERS);
}

/* What is between "args":[ and ],"room". */
static rill_str argument_of(rill_str message) {
  rill_str from = crowd_after(message, "\"args\":["), to;

  to = crowd_after(from, "],\"room\"");
  crowd_must(to.ptr != NULL, "an update without a room");
  from.len -= to.len + sizeof "],\"room\"" - 1;
  return from;
}

static void plain(crowd *c) {
  rill_str update = s.copies[s.version % KEPT];
  rill_builder *b;
  double ns[WINDOWS];
  uint64_t bytes = c->bytes;

  for (size_t i = 0; i < WINDOWS; i++) {
    uint64_t before = s.plain;
    crowd_begin(c);
    b = rill_build(c->hub);
    rill_put_json(b, argument_of(update));
    crowd_must(rill_emit_room(c->hub, rill_s(s.room), "plain", b, NULL) == 0,
               "it cannot be sent");
    crowd_pass(c, RILL_MSEC * WINDOW_MS);
    ns[i] = (double)crowd_end(c);
    crowd_must(s.plain == before + CROWD_PEERS, "a member did not get it");
  }
  for (size_t i = 0; i < CROWD_PEERS; i++)
    crowd_must(s.members[i].plain == WINDOWS, "one got what is another's");
  qsort(ns, WINDOWS, sizeof ns[0], by_size);
  report("plain", ns[WINDOWS / 2],
         (double)(c->bytes - bytes) / WINDOWS / CROWD_PEERS);
}

void crowd_presence(void) {
  crowd *c = come("watched");
  double watched = arrive(c, true), bare;

  come_again(c);
  windows(c, "hundred", HUNDRED);
  windows(c, "one", 1);
  plain(c);
  crowd_free(c);
  for (size_t i = 0; i < KEPT; i++)
    copy_drop(&s.copies[i]);
  memset(&s, 0, sizeof s);
  c = come("bare");
  bare = arrive(c, false);
  crowd_free(c);
  printf("\"member_bytes\":%.1f,\"bare_member_bytes\":%.1f", watched, bare);
}
