/*
 * join.c - joins that ask first: authorize_join, now or later, and
 * on_joined.
 */
#include "hub/join.h"

#include "hub/room.h"
#include "hub/session.h"
#include "hub/store.h"

struct rill__join {
  rill__join *next;
  enum { JOIN_ASK, JOIN_WAIT, JOIN_READ, JOIN_DONE } state;
  int status;  /* of JOIN_DONE */
  bool client; /* it asked itself, and is told */
  bool denied; /* by the host, whatever |status| it gave */
  bool answered;
  bool dropped; /* its client was lost: nobody is told */
  rill__join_how how;
  uint64_t serial; /* of JOIN_READ */
  rill__caught_up caught_up;
  uint32_t room_len;
  char room[];
};

static rill_str room_of(const rill__join *j) {
  return (rill_str){j->room, j->room_len};
}

static void join_free(rill_hub *hub, rill__join *j) {
  rill__free(&hub->alloc, j, sizeof *j + j->room_len);
}

void rill__joins_free(rill__peer *p) {
  while (p->rare != NULL && p->rare->joins != NULL) {
    rill__join *j = p->rare->joins;
    p->rare->joins = j->next;
    join_free(p->hub, j);
  }
}

/* Marked only: a hook may be running that was asked about one of them. */
void rill__joins_away(rill__peer *p) {
  rill__join *j = p->rare != NULL ? p->rare->joins : NULL;

  for (; j != NULL; j = j->next)
    if (j->client) {
      j->state = JOIN_DONE;
      j->dropped = true;
      rill__peer_due(p, RILL__DUE_JOINS);
    }
}

static int request(rill__peer *p, rill_str room, rill__join **out) {
  rill__join *j, **end;
  rill__peer_rare *rare;
  uint32_t n = 0;
  int rv = rill__name_check(p->hub, room);

  if (rv != 0)
    return rv;
  rare = rill__peer_rare_of(p);
  if (rare == NULL)
    return RILL_ERR_NOMEM;
  for (end = &rare->joins; *end != NULL; end = &(*end)->next)
    n++;
  if (n >= p->hub->config.limits.joins_pending) {
    p->hub->metrics.limit_joins_pending++;
    return RILL_ERR_LIMIT;
  }
  j = rill__malloc(&p->hub->alloc, sizeof *j + room.len);
  if (j == NULL)
    return RILL_ERR_NOMEM;
  *j = (rill__join){.state = JOIN_ASK, .room_len = (uint32_t)room.len};
  memcpy(j->room, room.ptr, room.len);
  *end = j;
  *out = j;
  rill__peer_due(p, RILL__DUE_JOINS);
  return 0;
}

int rill_join_request(rill_peer peer, rill_str room) {
  rill__peer *p = rill__peer_open(peer);
  rill__join *j;

  return p == NULL ? RILL_ERR_CLOSED : request(p, room, &j);
}

int rill__join_ask(rill__peer *p, rill_str room, const rill__join_how *how) {
  rill__join *j;
  int rv = request(p, room, &j);

  if (rv != 0)
    return rv;
  j->client = true;
  j->how = *how;
  return 0;
}

static void decide(rill__peer *p, rill__join *j, int verdict) {
  j->state = JOIN_DONE;
  j->denied = verdict != 0;
  j->status = verdict;
  if (verdict != 0)
    return;
  if (!j->client || p->joining) { /* a stream catches up when it is open */
    j->status = rill__room_add(p, room_of(j));
    return;
  }
  j->serial = ++p->hub->next_join;
  j->status = rill__catch_up(p, room_of(j), &j->how, j->serial, &j->caught_up);
  if (j->status == RILL_LATER)
    j->state = JOIN_READ;
}

const char *rill__join_code(int status, const rill__caught_up *out) {
  if (status == RILL_ERR_FORBIDDEN)
    return "forbidden";
  if (!out->later)
    return "join";
  return rill__store_code(status);
}

static rill__join *reading(const rill__peer *p, uint64_t serial) {
  rill__join *j = p->rare != NULL ? p->rare->joins : NULL;

  while (j != NULL && (j->state != JOIN_READ || j->serial != serial))
    j = j->next;
  return j;
}

bool rill__join_reads(const rill__peer *p, uint64_t serial) {
  return reading(p, serial) != NULL;
}

void rill__join_read(rill__peer *p, uint64_t serial, int status,
                     const rill__caught_up *out) {
  rill__join *j = reading(p, serial);

  if (j == NULL)
    return;
  j->state = JOIN_DONE;
  j->status = status;
  j->caught_up = *out;
  rill__joins_deliver(p); /* before anything that is said there now */
}

/* Its client is told at once: what is said in the room from now on follows. */
static void answer(rill__peer *p, rill__join *j) {
  if (j->answered || !j->client || !p->open)
    return;
  j->answered = true;
  if (!j->how.by_event && rill__envelope_speaks(p))
    rill__envelope_joined(p, room_of(j), j->status, &j->how, &j->caught_up);
  else
    rill__room_event_joined(p, room_of(j), j->status, &j->how, &j->caught_up);
}

static bool may_join(const rill__peer *p) {
  return p->open || p->joining;
}

static int settle(rill_peer peer, rill_str room, int verdict) {
  rill__peer *p = rill__peer_of(peer);

  if (p == NULL || !may_join(p))
    return RILL_ERR_CLOSED;
  if (p->rare == NULL)
    return RILL_ERR_NOT_FOUND;
  for (rill__join *j = p->rare->joins; j != NULL; j = j->next)
    if (j->state == JOIN_WAIT && rill_str_eq(room_of(j), room)) {
      decide(p, j, verdict);
      rill__peer_due(p, RILL__DUE_JOINS);
      if (j->state == JOIN_DONE)
        answer(p, j);
      return 0;
    }
  return RILL_ERR_NOT_FOUND;
}

int rill_join_allow(rill_peer peer, rill_str room) {
  return settle(peer, room, 0);
}

int rill_join_deny(rill_peer peer, rill_str room, int error) {
  return settle(peer, room, error < 0 ? error : RILL_ERR_FORBIDDEN);
}

static void ask(rill__peer *p, rill__join *j) {
  const rill_config *config = &p->hub->config;
  int rv = 0;

  j->state = JOIN_WAIT; /* the hook may answer by rill_join_allow */
  if (config->authorize_join != NULL) {
    p->hub->in_handler = true;
    rv = config->authorize_join(rill__peer_handle(p), room_of(j), config->arg);
    p->hub->in_handler = false;
  }
  if (j->state == JOIN_WAIT && rv != RILL_LATER)
    decide(p, j, rv < 0 ? rv : 0);
}

static void tell(rill__peer *p, rill__join *j) {
  void *arg;
  const rill_handlers *h = rill__peer_handlers(p, &arg);
  int rv = 0;

  answer(p, j);
  if (p->open && h->on_joined != NULL) {
    p->hub->in_handler = true;
    rv = h->on_joined(rill__peer_handle(p), room_of(j), j->status, arg);
    p->hub->in_handler = false;
  }
  join_free(p->hub, j);
  rill__peer_handled(p, rv);
}

/* Takes out the first that is over and can be told; NULL: there is none. */
static rill__join *take_done(const rill__peer *p) {
  for (rill__join **at = &p->rare->joins, *j; (j = *at) != NULL; at = &j->next)
    if (j->dropped || (j->state == JOIN_DONE && may_join(p))) {
      *at = j->next;
      return j;
    }
  return NULL;
}

/*
 * Each as soon as there is a verdict: who is in the room hears what is said
 * there, and has to know from where on it counts.
 */
bool rill__joins_deliver(rill__peer *p) {
  rill__peer_rare *rare = p->rare;
  rill_peer peer = rill__peer_handle(p);
  rill__join *j;

  if (rare == NULL) /* told already, with those before */
    return true;
  for (j = rare->joins; j != NULL && may_join(p); j = j->next)
    if (j->state == JOIN_ASK)
      ask(p, j);
  while ((j = take_done(p)) != NULL) {
    if (j->dropped) {
      join_free(p->hub, j);
    } else if (p->joining) { /* a stream that is not open yet */
      int status = j->denied ? RILL_ERR_FORBIDDEN : j->status;
      join_free(p->hub, j);
      if (!rill__sse_joined(p, status))
        return rill__peer_of(peer) != NULL;
    } else {
      tell(p, j);
    }
  }
  rill__peer_rare_settle(p);
  return true;
}
