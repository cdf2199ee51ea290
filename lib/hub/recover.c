#include "hub/recover.h"

#include "hub/ask.h"
#include "hub/follower.h"
#include "hub/join.h"

bool rill__recoverable(const rill__peer *p, rill_cause cause) {
  const rill_hub *hub = p->hub;

  if (p->voice == NULL || !p->voice->space->opts.recovery || !p->told ||
      !p->voice->secretive || hub->draining || p->variant == RILL__AS_SSE)
    return false; /* a stream comes back as another peer, by its last id */
  switch (cause) {
  case RILL_CAUSE_EOF:
  case RILL_CAUSE_IO:
  case RILL_CAUSE_TIMEOUT:
  case RILL_CAUSE_SLOW:
  case RILL_CAUSE_OVERLOAD:
  case RILL_CAUSE_PEER: /* the transport alone: see rill__conn_ws's end */
    return true;
  default:
    return false;
  }
}

void rill__peer_leave(rill__peer *p, rill_cause cause, unsigned code,
                      unsigned sent, rill_str reason) {
  rill_hub *hub = p->hub;
  rill__voice *v = p->voice;

  rill__peer_unbind(p);
  if (hub->naway >= hub->config.limits.away_peers) {
    hub->metrics.limit_away_peers++;
    rill__peer_end(p, cause, code, sent, 0, reason);
    return;
  }
  rill__peer_ending(p, cause, code, sent, 0, reason);
  p->away = true;
  hub->naway++;
  v->away_until = rill__after(hub->now, hub->config.limits.recovery_ms);
  rill__list_push(&hub->away, &v->away);
  if (hub->away_timer.due == RILL_NEVER)
    rill__heap_set(&hub->timers, &hub->away_timer, v->away_until);
  rill__ask_left(p);
  rill__joins_away(p);
  hub->follower->away(p);
  rill__peer_due(p, RILL__DUE_AWAY);
}

static void no_longer_away(rill__peer *p) {
  p->away = false;
  p->hub->naway--;
  rill__list_remove(&p->voice->away);
}

void rill__peer_return(rill__peer *p) {
  no_longer_away(p);
  if (p->rare != NULL)
    p->rare->ended = false;
  p->hub->follower->back(p);
  rill__peer_due(p, RILL__DUE_BACK);
}

void rill__peer_give_up(rill__peer *p) {
  no_longer_away(p);
  rill__voice_forget_secret(p);
  p->hub->metrics
      .closed[p->rare != NULL && p->rare->ended ? p->rare->ending.cause
                                                : RILL_CAUSE_NOMEM]++;
  rill__peer_due(p, RILL__DUE_CLOSE);
}

rill__peer *rill__recover_find(rill_hub *hub, rill__space *space,
                               rill_str secret, rill_str user) {
  rill__peer *p = rill__voice_by_secret(hub, secret);
  rill_str name = {0};

  if (p == NULL || p->voice->space != space || !(p->away || p->open) ||
      p->variant == RILL__AS_SSE)
    return NULL;
  if (p->user != NULL)
    name = rill__user_name(p);
  return rill_str_eq(name, user) ? p : NULL;
}

void rill__away_tick(rill_hub *hub) {
  while (!rill__list_empty(&hub->away)) {
    rill__voice *v = RILL__CONTAINER(hub->away.next, rill__voice, away);
    if (v->away_until > hub->now) {
      rill__heap_set(&hub->timers, &hub->away_timer, v->away_until);
      break;
    }
    hub->metrics.limit_recovery_ms++;
    rill__peer_give_up(v->peer);
  }
}
