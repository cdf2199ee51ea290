/*
 * load_fanout.c - every message must reach every member, once and in order.
 *
 * All connections are members, the first |pubs| of them publish.  A message
 * is under way until the last member has it, so no server gains by a backlog.
 * Its frame is kept for that long as the server must write it: each member
 * knows which message of which publisher it has to get next, and compares.
 * A message starts with its publisher (one character) and its number (eight
 * hexadecimal digits); letters fill it up.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { MARK = 9, MAX_PUBS = 64, DRAIN_SECONDS = 10 };

struct slot {
  uint8_t *frame; /* as the server writes it */
  uint64_t since; /* when it was published */
  size_t reached; /* members that have it */
};

struct pub {
  struct slot *slots; /* |window| of them, by number */
  uint32_t next;      /* number of the message to publish next */
  uint32_t done;      /* all before it reached everybody */
};

struct member {
  uint32_t *expects; /* per publisher */
  uint8_t *cut;      /* the begin of a frame */
  size_t cut_len;
};

struct fanout {
  struct pub *pubs;
  struct member *members;
  struct slot *slots;
  uint8_t *frames;   /* of all slots */
  uint32_t *expects; /* of all members */
  uint8_t *cuts;     /* of all members */
  uint8_t *out;      /* one publisher's messages of a turn */
  uint8_t head[LOAD_MAX_HEAD];
  size_t head_size;
  size_t frame_size;
  size_t under_way; /* messages */
  bool stopping;
};

/* Writes the message to its slot and, masked, to |out|; returns the size. */
static size_t pub_frame(struct fanout *f, const struct load_options *o,
                        size_t id, uint32_t number, uint8_t *out) {
  static const uint8_t key[4] = {0x9c, 0x35, 0xe1, 0x4a};
  uint8_t *server = f->pubs[id].slots[number % o->window].frame;
  size_t head = load_head(out, o->text ? 1 : 2, o->size, key), i;

  memcpy(server, f->head, f->head_size);
  server += f->head_size;
  server[0] = (uint8_t)('0' + id);
  for (i = 1; i < MARK; i++)
    server[i] = (uint8_t) "0123456789abcdef"[number >> (32 - 4 * i) & 15];
  for (i = MARK; i < o->size; i++)
    server[i] = (uint8_t)('a' + (number + i) % 26);
  for (i = 0; i < o->size; i++)
    out[head + i] = server[i] ^ key[i & 3];
  return head + o->size;
}

static void pub_publish(struct load *load, size_t id) {
  const struct load_options *o = &load->options;
  struct fanout *f = load->arg;
  struct pub *pub = &f->pubs[id];
  struct slot *slot;
  size_t len = 0;

  if (pub->next - pub->done == o->window)
    return;
  for (; pub->next - pub->done < o->window; pub->next++) {
    len += pub_frame(f, o, id, pub->next, f->out + len);
    slot = &pub->slots[pub->next % o->window];
    slot->since = load->now;
    slot->reached = 0;
    f->under_way++;
  }
  load_write(load, &load->conns[id], f->out, len);
}

static bool member_frame(struct load *load, struct member *m,
                         const uint8_t *frame) {
  const struct load_options *o = &load->options;
  struct fanout *f = load->arg;
  size_t id = (size_t)frame[f->head_size] - '0';
  struct slot *slot;
  struct pub *pub;

  if (id >= o->pubs)
    return false;
  pub = &f->pubs[id];
  slot = &pub->slots[m->expects[id] % o->window];
  if (m->expects[id] == pub->next ||
      memcmp(slot->frame, frame, f->frame_size) != 0)
    return false;
  m->expects[id]++;
  load->stats.ops++;
  if (++slot->reached == o->conns) {
    stats_latency(&load->stats, load->now - slot->since);
    pub->done++;
    f->under_way--;
  }
  return true;
}

static void fanout_bytes(struct load *load, struct load_conn *conn,
                         const uint8_t *data, size_t len) {
  struct fanout *f = load->arg;
  struct member *m = &f->members[conn->id];
  const size_t size = f->frame_size;
  size_t rest = size - m->cut_len;
  bool good = true;

  if (m->cut_len > 0 && len >= rest) {
    memcpy(m->cut + m->cut_len, data, rest);
    m->cut_len = 0;
    good = member_frame(load, m, m->cut);
    data += rest;
    len -= rest;
  }
  if (m->cut_len == 0)
    for (; good && len >= size; data += size, len -= size)
      good = member_frame(load, m, data);
  if (!good) {
    load_fail(load, "member %zu: a wrong, lost or doubled message", conn->id);
    return;
  }
  memcpy(m->cut + m->cut_len, data, len);
  m->cut_len += len;
}

static void fanout_open(struct load *load, struct load_conn *conn) {
  (void)load;
  (void)conn;
}

static void fanout_writable(struct load *load, struct load_conn *conn) {
  load_watch(load, conn, false);
}

static void fanout_eof(struct load *load, struct load_conn *conn) {
  load_fail(load, "member %zu: closed by the server", conn->id);
}

static void fanout_turn(struct load *load) {
  struct fanout *f = load->arg;
  size_t i;

  if (load->ready < load->options.conns || f->stopping)
    return;
  load->now = load_clock();
  for (i = 0; i < load->options.pubs; i++)
    pub_publish(load, i);
}

static bool fanout_drained(const struct load *load) {
  return ((const struct fanout *)load->arg)->under_way == 0;
}

static bool fanout_alloc(struct fanout *f, const struct load_options *o) {
  const size_t slots = o->pubs * o->window;

  f->head_size = load_head(f->head, o->text ? 1 : 2, o->size, NULL);
  f->frame_size = f->head_size + o->size;
  f->pubs = calloc(o->pubs, sizeof *f->pubs);
  f->slots = calloc(slots, sizeof *f->slots);
  f->frames = calloc(slots, f->frame_size);
  f->members = calloc(o->conns, sizeof *f->members);
  f->expects = calloc(o->conns * o->pubs, sizeof *f->expects);
  f->cuts = calloc(o->conns, f->frame_size);
  f->out = calloc(o->window, f->frame_size + 4);
  return f->pubs && f->slots && f->frames && f->members && f->expects &&
         f->cuts && f->out;
}

static void fanout_init(struct fanout *f, const struct load_options *o) {
  size_t i;

  for (i = 0; i < o->pubs * o->window; i++)
    f->slots[i].frame = f->frames + i * f->frame_size;
  for (i = 0; i < o->pubs; i++)
    f->pubs[i].slots = f->slots + i * o->window;
  for (i = 0; i < o->conns; i++) {
    f->members[i].expects = f->expects + i * o->pubs;
    f->members[i].cut = f->cuts + i * f->frame_size;
  }
}

static void fanout_finish(struct fanout *f) {
  free(f->pubs);
  free(f->slots);
  free(f->frames);
  free(f->members);
  free(f->expects);
  free(f->cuts);
  free(f->out);
}

void load_fanout(struct load *load) {
  static const struct load_work work = {.on_open = fanout_open,
                                        .on_bytes = fanout_bytes,
                                        .on_writable = fanout_writable,
                                        .on_eof = fanout_eof,
                                        .on_turn = fanout_turn};
  const struct load_options *o = &load->options;
  struct fanout fanout = {0};

  load->work = &work;
  load->arg = &fanout;
  if (o->size < MARK || o->pubs > MAX_PUBS || o->pubs > o->conns) {
    load_fail(load, "fanout: size from %d, at most %d publishers", MARK,
              MAX_PUBS);
  } else if (!fanout_alloc(&fanout, o)) {
    load_fail(load, "out of memory");
  } else {
    fanout_init(&fanout, o);
    load_open(load, o->conns);
    load_measure(load);
    fanout.stopping = true;
    load_until(load, fanout_drained, DRAIN_SECONDS);
  }
  fanout_finish(&fanout);
}
