/*
 * crowd_resume.c - what it costs that ten thousand come back at once.
 *
 * They are in one room, are lost by ninths, and after each ninth something
 * more is published: so they miss 1 to 9 events, 5 on average, of a room that
 * has published a thousand before.  Then all come back with what they saw
 * last, and must hear what they missed, once and in order, and that it was
 * all.  By kind of return:
 *
 *   ring     "join" with the room's number; the room keeps a ring
 *   session  "open" with the secret of the session
 *   memory   as ring, but the room is durable, in the store in memory
 *   sqlite   ... in a database, which answers from a thread of its own
 *
 * Of each: CPU time per peer, from the new conn to the last byte; the part of
 * it after the WebSocket and the opening are there; and the operations that
 * the store was asked for.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rill/sqlite.h>

#include "crowd.h"

enum { BEFORE = 990, NINTHS = 9, LAST = BEFORE + 1 + NINTHS };

typedef enum way { RING, SESSION, MEMORY, SQLITE } way;

typedef struct guest {
  uint64_t at; /* of the last event that it heard */
  char secret[32], offset[64], epoch[40];
  bool joined, back, recovered;
} guest;

static struct scene {
  way way;
  bool returning;
  size_t joined, back, published;
  guest guests[CROWD_PEERS];
} s;

static void heard_event(guest *g, rill_str message) {
  uint64_t at = crowd_number(message, "\"at\":");

  crowd_must(at == g->at + 1, "an event came twice, or not at all");
  g->at = at;
  if (s.way == SESSION)
    crowd_text(message, "\"offset\":\"", g->offset, sizeof g->offset);
}

static bool says(rill_str message, const char *text) {
  return crowd_after(message, text).ptr != NULL;
}

static void heard_open(guest *g, rill_str message) {
  if (s.way != SESSION)
    return;
  crowd_text(message, "\"session\":\"", g->secret, sizeof g->secret);
  if (s.returning)
    g->recovered = says(message, "\"recovered\":true");
}

static void heard_joined(guest *g, rill_str message) {
  if (!g->joined)
    g->at = BEFORE;
  s.joined += !g->joined;
  g->joined = true;
  crowd_text(message, "\"epoch\":\"", g->epoch, sizeof g->epoch);
  if (s.returning)
    g->recovered = says(message, "\"recovered\":true") &&
                   crowd_number(message, "\"at\":") == LAST;
}

static void heard(crowd *c, size_t who, rill_str message) {
  guest *g = &s.guests[who];

  (void)c;
  if (rill_str_starts(message, "{\"event\":\"said\""))
    heard_event(g, message);
  else if (rill_str_starts(message, "{\"open\":"))
    heard_open(g, message);
  else if (rill_str_starts(message, "{\"joined\":"))
    heard_joined(g, message);
  else
    crowd_unexpected(message);
  if (!s.returning || g->back || !g->recovered || g->at != LAST)
    return;
  g->back = true;
  s.back++;
}

static void joins(crowd *c, size_t who, char out[CROWD_WORDS]) {
  const guest *g = &s.guests[who];

  (void)c;
  if (s.returning)
    snprintf(out, CROWD_WORDS,
             "{\"join\":\"room\",\"since\":%" PRIu64
             ",\"epoch\":\"%s\",\"id\":1}",
             g->at, g->epoch);
  else
    snprintf(out, CROWD_WORDS, "{\"join\":\"room\",\"id\":1}");
}

static void resumes(crowd *c, size_t who, char out[CROWD_WORDS]) {
  const guest *g = &s.guests[who];

  (void)c;
  snprintf(out, CROWD_WORDS,
           "{\"open\":{\"name\":\"user-%zu\"},\"resume\":\"%s\","
           "\"offset\":\"%s\"}",
           who, g->secret, g->offset);
}

static void on_published(rill_hub *hub, const rill_published *published,
                         void *arg) {
  (void)hub;
  (void)arg;
  crowd_must(published->status == 0, "it could not be published");
  s.published++;
}

static void publish(crowd *c) {
  rill_builder *b = rill_build_object(c->hub);
  size_t before = s.published;

  rill_set_text(b, "from", "somebody");
  rill_set_text(b, "text",
                "a hundred bytes, more or less, are what people "
                "say at a time when they are not too talkative");
  crowd_must(rill_publish(c->hub, rill_s("room"), "said", b,
                          &(rill_publish_opts){.done = on_published}) == 0,
             "it could not be published");
  crowd_await(c, &s.published, before + 1);
}

static void set_room(crowd *c) {
  rill_room_opts room = {.history = LAST,
                         .durable = s.way == MEMORY || s.way == SQLITE};
  rill_space_opts space = {.recovery = s.way == SESSION};

  crowd_must(rill_room_defaults(c->hub, "room", &room) == 0 &&
                 rill_space(c->hub, "/", &space) == 0,
             "no room");
}

static void use_sqlite(crowd *c, char *path, size_t size) {
  char error[160] = "no directory";
  char dir[] = "/tmp/crowd-XXXXXX";
  rill_store *store = NULL;

  crowd_must(mkdtemp(dir) != NULL, error);
  snprintf(path, size, "%s/crowd.db", dir);
  crowd_must(rill_sqlite_open(&store, path, NULL, error, sizeof error) == 0,
             error);
  crowd_must(rill_store_use(c->hub, store) == 0, "no store");
}

static void forget(char *path) {
  unlink(path);
  *strrchr(path, '/') = '\0';
  rmdir(path);
}

/* All are in the room; then nobody is, and each has missed something. */
static void come_and_go(crowd *c) {
  for (int i = 0; i < BEFORE; i++)
    publish(c);
  crowd_connect(c);
  crowd_say(c, crowd_open);
  crowd_say(c, joins);
  crowd_await(c, &s.joined, CROWD_PEERS);
  publish(c);
  for (size_t n = 0; n < NINTHS; n++) {
    for (size_t i = n; i < CROWD_PEERS; i += NINTHS)
      crowd_lose(c, i);
    publish(c);
  }
  for (size_t i = 0; i < CROWD_PEERS; i++)
    crowd_must(s.guests[i].at == BEFORE + 1 + i % NINTHS,
               "what was published live did not come");
}

static uint64_t operations(const crowd *c) {
  rill_metrics m;

  rill_metrics_read(c->hub, &m);
  return m.store_operations_total;
}

static void come_back(crowd *c, const char *name) {
  uint64_t before = operations(c), events = c->messages, bytes = c->bytes;
  uint64_t there, all;

  s.returning = true;
  crowd_begin(c);
  crowd_connect(c);
  if (s.way == SESSION) {
    there = crowd_end(c);
    crowd_say(c, resumes);
  } else {
    crowd_say(c, crowd_open);
    there = crowd_end(c);
    crowd_say(c, joins);
  }
  crowd_await(c, &s.back, CROWD_PEERS);
  all = crowd_end(c);
  events = c->messages - events;
  bytes = c->bytes - bytes;
  printf("\"%s_ns\":%.1f,\"%s_part_ns\":%.1f,\"%s_reads\":%" PRIu64
         ",\"%s_messages\":%.2f,\"%s_bytes\":%.1f",
         name, (double)all / CROWD_PEERS, name,
         (double)(all - there) / CROWD_PEERS, name, operations(c) - before,
         name, (double)events / CROWD_PEERS, name, (double)bytes / CROWD_PEERS);
}

static void run(way by, const char *name) {
  rill_config config;
  char path[64] = "";
  crowd *c;

  memset(&s, 0, sizeof s);
  s.way = by;
  rill_config_init(&config);
  config.limits.history_bytes = 1u << 20;
  /* they come faster than a thread reads, and beyond it are refused */
  config.limits.store_pending = CROWD_PEERS;
  c = crowd_new(&config, false, heard);
  if (by == SQLITE)
    use_sqlite(c, path, sizeof path);
  set_room(c);
  come_and_go(c);
  come_back(c, name);
  crowd_free(c);
  if (by == SQLITE)
    forget(path);
}

void crowd_resume(void) {
  run(RING, "ring");
  printf(",");
  run(SESSION, "session");
  printf(",");
  run(MEMORY, "memory");
  printf(",");
  run(SQLITE, "sqlite");
}
