/*
 * catchup.c - who comes into a room again and says up to which number it has
 * heard: the rest, once and in order, and a verdict.
 *
 * Where the room is durable and its ring does not reach so far, membership
 * begins when the store has answered: operations on one log come back in
 * order, so what the reading shows is exactly what has been sent before.
 */
#include "hub/conn.h"
#include "hub/heal.h"
#include "hub/history.h"
#include "hub/join.h"
#include "hub/publish.h"
#include "hub/session.h"
#include "hub/store.h"

typedef struct returning {
  rill_peer peer;
  uint64_t serial;
  rill__join_how how;
  size_t room_len;
  char room[];
} returning;

void rill__join_epoch(rill__join_how *how, rill_str epoch) {
  how->has_epoch = epoch.ptr != NULL;
  how->epoch_len = (uint8_t)(epoch.len <= RILL__EPOCH_MAX ? epoch.len : 0);
  if (how->epoch_len > 0)
    memcpy(how->epoch, epoch.ptr, epoch.len);
}

/*
 * What numbers of a room count in.  A durable room's go on as long as its
 * store does; others begin anew with each life of the room.
 */
static void write_epoch(const rill_hub *hub, const rill__room *room,
                        bool durable, rill__caught_up *out) {
  bool lasts = durable && hub->store != NULL && hub->store->epoch[0] != '\0';
  uint64_t life = durable || room == NULL ? 0 : room->life;
  char digits[20], *end = digits + sizeof digits;
  const char *from = rill__digits(end, life);
  size_t len = (size_t)(end - from);

  memcpy(out->epoch, lasts ? hub->store->epoch : hub->epoch, 8);
  out->epoch[8] = '.';
  memcpy(out->epoch + 9, from, len);
  out->epoch_len = (uint8_t)(9 + len);
}

static bool same_epoch(const rill__join_how *how, const rill__caught_up *out) {
  return how->epoch_len == out->epoch_len &&
         memcmp(how->epoch, out->epoch, out->epoch_len) == 0;
}

void rill__room_stands(const rill__peer *p, rill_str room,
                       rill__caught_up *out) {
  const rill__room *r = rill__room_find(rill__peer_space(p), room);

  if (r == NULL || r->opts.history == 0)
    return;
  write_epoch(p->hub, r, r->opts.durable, out);
  out->last = r->last;
  out->known = !r->opts.durable || r->knows;
}

static size_t size_of(const returning *r) {
  return sizeof *r + r->room_len;
}

static void drop(rill__work *w) {
  if (w->arg != NULL)
    rill__free(&w->hub->alloc, w->arg, size_of(w->arg));
}

static void send_record(rill__peer *p, rill__tape *tape, rill_str room,
                        const rill_record *r) {
  rill__item item;
  char offset[RILL__OFFSET_MAX];

  if (p->conn == NULL || p->conn->state != RILL__OPEN)
    return;
  rill__tape_clear(tape);
  if (!rill__item_read(tape, r->data, &item)) {
    rill__conn_ws_cut(p->conn, RILL_CAUSE_NOMEM, "out of memory");
    return;
  }
  item.space = rill__space_name(rill__peer_space(p));
  item.recovery = rill__peer_space(p)->opts.recovery;
  item.room = room;
  item.number = r->offset;
  item.kept = true;
  item.offset =
      (rill_str){offset, rill__offset_write(p->hub, p->hub->offset, offset)};
  rill__conn_send_item(p->conn, &item, RILL_DISCONNECT);
}

/*
 * How many of the |n| newest the queue takes, with a place left for the
 * answer.  The rest is a gap: who is sent more is taken for slow, comes
 * again, and misses the same.
 */
static size_t fitting(const rill__peer *p, rill__tape *tape, rill_str room,
                      const rill_record *v, size_t n) {
  const rill_conn *c = p->conn;
  const rill_limits *l = &p->hub->config.limits;
  /* of an event and of the answer: names, numbers, what is around them */
  const uint64_t around =
      256 + 2 * (room.len + rill__space_name(rill__peer_space(p)).len);
  uint64_t bytes, count;

  if (c == NULL)
    return 0;
  bytes = c->out.bytes + around;
  count = c->out.count + (uint64_t)1;
  for (size_t i = 0; i < n; i++) { /* the newest first */
    bytes += around + rill__event_most(tape, v[i].data);
    if (++count > l->queue_count) {
      p->hub->metrics.limit_queue_count++;
      return i;
    }
    if (bytes > l->queue_bytes) {
      p->hub->metrics.limit_queue_bytes++;
      return i;
    }
  }
  return n;
}

/* |v| has the newest |n| records, the newest first. */
static void send_missed(rill__peer *p, rill_str room, const rill_record *v,
                        size_t n, const rill__join_how *how, uint64_t last,
                        bool durable, rill__caught_up *out) {
  rill__tape tape;
  uint64_t next = last + 1; /* the oldest that there is */
  uint64_t since = how->since;

  *out = (rill__caught_up){.known = true, .returns = true, .last = last};
  write_epoch(p->hub, rill__room_find(rill__peer_space(p), room), durable, out);
  /*
   * A store that lasts never counts anew, so no epoch need be shown; nor for
   * 0, who has nothing that could be of another.
   */
  out->stale =
      since > last ||
      (since > 0 && !same_epoch(how, out) &&
       (how->has_epoch || !durable || p->hub->store->epoch[0] == '\0'));
  if (out->stale)
    return;

  rill__tape_init(&tape, &p->hub->alloc);
  while (n > 0 && v[n - 1].offset <= since)
    n--;
  n = fitting(p, &tape, room, v, n);
  if (n > 0)
    next = v[n - 1].offset;
  if (next > since + 1) {
    out->gap_from = since + 1;
    out->gap_to = next - 1;
  }
  while (n > 0)
    send_record(p, &tape, room, &v[--n]);
  rill__tape_finish(&tape);
}

/*
 * Makes |p| a member of a durable room whose newest records are in |op|.
 * Where it |returns|, it is going to get them from |op|: those that the others
 * have not heard yet are sent to them before.
 */
static int enter(rill__peer *p, rill_str room, const rill_store_op *op,
                 bool returns) {
  rill__room *r = rill__room_find(rill__peer_space(p), room);
  int rv = 0;

  if (returns && r != NULL && r->knows)
    rv = rill__room_hear(p->hub, r, op);
  if (rv == 0)
    rv = rill__room_add(p, room);
  if (rv != 0)
    return rv;
  r = rill__room_find(rill__peer_space(p), room);
  if (!r->knows) {
    r->knows = true;
    r->last = op->last;
  }
  return 0;
}

static void read_done(rill__work *w) {
  returning *r = w->arg;
  rill__peer *p = rill__peer_of(r->peer);
  rill_str room = {r->room, r->room_len};
  rill__caught_up out = {0};
  int status = w->op.status;

  out.later = status != 0;
  if (p != NULL && (r->serial == 0 || rill__join_reads(p, r->serial))) {
    if (status == 0)
      status = enter(p, room, &w->op, r->how.returns);
    if (status == 0 && r->how.returns)
      send_missed(p, room, w->op.records, w->op.nrecords, &r->how, w->op.last,
                  true, &out);
    else if (status == 0)
      rill__room_stands(p, room, &out);
    if (r->serial > 0)
      rill__join_read(p, r->serial, status, &out);
    else
      rill__sse_caught_up(p, status, &out);
  }
  rill__free(&w->hub->alloc, r, size_of(r));
  w->arg = NULL;
}

static int ask_store(rill__peer *p, rill_str room, const rill__join_how *how,
                     uint64_t serial, uint64_t keep_ms, rill__caught_up *out) {
  rill_hub *hub = p->hub;
  const rill_str none = {0};
  rill__work *w;
  returning *r = rill__malloc(&hub->alloc, sizeof *r + room.len);
  int rv = RILL_ERR_NOMEM;

  out->later = true;
  if (r == NULL)
    return rv;
  *r = (returning){rill__peer_handle(p), serial, *how, room.len};
  memcpy(r->room, room.ptr, room.len);
  w = rill__log_work(hub, RILL_STORE_READ,
                     rill__space_name(rill__peer_space(p)), room, none, none,
                     &rv);
  if (w == NULL) {
    rill__free(&hub->alloc, r, size_of(r));
    return rv;
  }
  w->op.reverse = true;
  w->op.from = UINT64_MAX;
  w->op.limit = how->returns ? hub->config.limits.history_page : 1;
  w->arg = r;
  w->done = read_done;
  w->drop = drop;
  rill__work_keep_ms(w, keep_ms);
  rill__work_submit(w);
  return RILL_LATER;
}

/*
 * The ring of a durable room has |v|, its newest, the newest first: is that
 * all behind |since|?
 */
static bool reaches(const rill__room *r, const rill_record *v, size_t n,
                    uint64_t since) {
  if (n == 0 || v[0].offset != r->last)
    return since >= r->last;
  return v[n - 1].offset <= since || v[n - 1].offset == since + 1;
}

int rill__catch_up(rill__peer *p, rill_str room, const rill__join_how *how,
                   uint64_t serial, rill__caught_up *out) {
  rill_hub *hub = p->hub;
  uint32_t n, most = hub->config.limits.history_page;
  rill_store_op op = {.reverse = true, .from = UINT64_MAX, .limit = most};
  rill__room *r = rill__room_find(rill__peer_space(p), room);
  rill_room_opts opts;
  rill_record *v;
  int rv;

  rill__room_opts_of(hub, rill__peer_space(p), room, &opts);
  if (opts.durable && (r == NULL || !rill__room_whole(r)))
    return ask_store(p, room, how, serial, opts.keep_ms, out);
  if (!how->returns) {
    rv = rill__room_add(p, room);
    if (rv == 0)
      rill__room_stands(p, room, out);
    return rv;
  }
  v = rill__malloc(&hub->alloc, most * sizeof *v);
  if (v == NULL)
    return RILL_ERR_NOMEM;
  n = rill__ring_read(r != NULL ? r->ring : NULL, &op, v);
  if (opts.durable && !reaches(r, v, n, how->since)) {
    rill__free(&hub->alloc, v, most * sizeof *v);
    return ask_store(p, room, how, serial, opts.keep_ms, out);
  }
  rv = rill__room_add(p, room);
  if (rv == 0) {
    r = rill__room_find(rill__peer_space(p), room);
    send_missed(p, room, v, n, how, r->last, opts.durable, out);
  }
  rill__free(&hub->alloc, v, most * sizeof *v);
  return rv;
}
