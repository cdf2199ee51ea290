/*
 * load_fanout.c - every message must reach every member, once and in order.
 *
 * All connections are members, the first |pubs| of them publish; members that
 * are streams only listen, and |pubs| connections beside them publish.  A
 * message is under way until the last member has it, so no server gains by a
 * backlog.  Its frame is kept for that long as the server must write it: each
 * member knows which message of which publisher it has to get next, and
 * compares.  A message starts with its publisher (one character) and its
 * number (eight hexadecimal digits); letters fill it up.
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
  uint8_t *payload;
  size_t first_pub;  /* the connection that publishes as number 0 */
  size_t mark_at;    /* where in a frame the payload begins */
  size_t frame_size;
  size_t under_way; /* messages */
  bool stopping;
};

/* Writes the message to its slot and, masked, to |out|; returns the size. */
static size_t pub_frame(struct fanout *f, const struct load_options *o,
                        size_t id, uint32_t number, uint8_t *out) {
  static const uint8_t key[4] = {0x9c, 0x35, 0xe1, 0x4a};
  const struct load_dialect *own =
      o->dialect->upgrades ? o->dialect : load_dialect_find("publisher");
  uint8_t *payload = f->payload;
  size_t i;

  payload[0] = (uint8_t)('0' + id);
  for (i = 1; i < MARK; i++)
    payload[i] = (uint8_t) "0123456789abcdef"[number >> (32 - 4 * i) & 15];
  for (i = MARK; i < o->size; i++)
    payload[i] = (uint8_t)('a' + (number + i) % 26);
  load_server_frame(o->dialect, o->text, payload, o->size,
                    f->pubs[id].slots[number % o->window].frame);
  return load_client_frame(own, o->text, payload, o->size, key, out);
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
  load_write(load, &load->conns[f->first_pub + id], f->out, len);
}

static bool member_frame(struct load *load, struct member *m,
                         const uint8_t *frame) {
  const struct load_options *o = &load->options;
  struct fanout *f = load->arg;
  size_t id = (size_t)frame[f->mark_at] - '0';
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

/* The size of what begins with the two bytes at |data|. */
static size_t member_need(const struct fanout *f, const struct load_conn *conn,
                          const uint8_t *data) {
  size_t beat = conn->dialect->beat ? conn->dialect->beat(data) : 0;

  return beat > 0 ? beat : f->frame_size;
}

/* Takes a message or a heartbeat, whole. */
static bool member_take(struct load *load, struct load_conn *conn,
                        const uint8_t *data, size_t size) {
  struct fanout *f = load->arg;

  if (size == f->frame_size)
    return member_frame(load, &f->members[conn->id], data);
  load_beat_answer(load, conn);
  return true;
}

/* Adds bytes to what is cut; returns how many, and takes what is whole. */
static size_t member_join(struct load *load, struct load_conn *conn,
                          const uint8_t *data, size_t len, bool *good) {
  struct fanout *f = load->arg;
  struct member *m = &f->members[conn->id];
  size_t need = m->cut_len < 2 ? 2 : member_need(f, conn, m->cut);
  size_t take = need - m->cut_len;

  if (take > len)
    take = len;
  memcpy(m->cut + m->cut_len, data, take);
  m->cut_len += take;
  if (m->cut_len == need && need > 2) {
    m->cut_len = 0;
    *good = member_take(load, conn, m->cut, need);
  }
  return take;
}

static void fanout_bytes(struct load *load, struct load_conn *conn,
                         const uint8_t *data, size_t len) {
  struct fanout *f = load->arg;
  bool good = conn->id < load->options.conns; /* who publishes hears none */
  struct member *m = good ? &f->members[conn->id] : NULL;
  size_t size;

  while (good && len > 0) {
    size = m->cut_len == 0 && len >= 2 ? member_need(f, conn, data) : len + 1;
    if (size <= len)
      good = member_take(load, conn, data, size);
    else
      size = member_join(load, conn, data, len, &good);
    data += size;
    len -= size;
  }
  if (!good)
    load_fail(load, "member %zu: a wrong, lost or doubled message", conn->id);
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

  if (load->ready < load->count || f->stopping)
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
  uint8_t *frame = malloc(o->size + LOAD_MAX_FRAMING);

  f->payload = calloc(1, o->size);
  if (!f->payload || !frame) {
    free(frame);
    return false;
  }
  f->frame_size =
      load_server_frame(o->dialect, o->text, f->payload, o->size, frame);
  free(frame);
  f->first_pub = o->dialect->upgrades ? 0 : o->conns;
  f->mark_at = f->frame_size - o->size - strlen(o->dialect->after);
  f->pubs = calloc(o->pubs, sizeof *f->pubs);
  f->slots = calloc(slots, sizeof *f->slots);
  f->frames = calloc(slots, f->frame_size);
  f->members = calloc(o->conns, sizeof *f->members);
  f->expects = calloc(o->conns * o->pubs, sizeof *f->expects);
  f->cuts = calloc(o->conns, f->frame_size);
  f->out = calloc(o->window, o->size + LOAD_MAX_FRAMING);
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
  free(f->payload);
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
    load_open(load, load->count);
    load_measure(load);
    fanout.stopping = true;
    load_until(load, fanout_drained, DRAIN_SECONDS);
  }
  fanout_finish(&fanout);
}
