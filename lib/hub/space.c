#include "hub/space.h"

#include "base/utf8.h"
#include "hub/history.h"
#include "hub/follower.h"

static rill__space *space_new(rill_hub *hub, rill_str name) {
  rill__space *s = rill__calloc(&hub->alloc, sizeof *s + name.len);
  rill__space **end = &hub->spaces;

  if (s == NULL)
    return NULL;
  s->hub = hub;
  s->rules = s;
  s->name_len = (uint32_t)name.len;
  memcpy(s->name, name.ptr, name.len);
  while (*end != NULL)
    end = &(*end)->next;
  *end = s;
  hub->nspaces++;
  return s;
}

static void space_free(rill_hub *hub, rill__space *s) {
  rill__space **at = &hub->spaces;

  while (*at != s)
    at = &(*at)->next;
  *at = s->next;
  hub->nspaces--;
  rill__ring_free(hub, s->ring);
  hub->follower->space_freed(hub, s);
  if (s->rules == s)
    rill__handlers_free(hub, s);
  rill__free(&hub->alloc, s, sizeof *s + s->name_len);
}

bool rill__spaces_init(rill_hub *hub) {
  return space_new(hub, rill_s("/")) != NULL;
}

void rill__spaces_free(rill_hub *hub) {
  while (hub->spaces != NULL)
    space_free(hub, hub->spaces);
}

rill__space *rill__space_find(const rill_hub *hub, rill_str name) {
  rill__space *s = hub->spaces;

  if (name.len == 0)
    return s;
  while (s != NULL && (s->pattern || !rill_str_eq(rill__space_name(s), name)))
    s = s->next;
  return s;
}

static rill__space *pattern_of(const rill_hub *hub, rill_str name) {
  rill__space *best = NULL;

  for (rill__space *s = hub->spaces; s != NULL; s = s->next)
    if (s->pattern && name.len >= s->name_len &&
        memcmp(name.ptr, s->name, s->name_len) == 0 &&
        (best == NULL || s->name_len > best->name_len))
      best = s;
  return best;
}

static bool name_ok(rill_hub *hub, rill_str name) {
  if (name.len == 0 || name.ptr[0] != '/' ||
      name.len > hub->config.limits.name_bytes ||
      !rill__utf8_valid(name.ptr, name.len))
    return false;
  for (size_t i = 0; i < name.len; i++)
    if ((uint8_t)name.ptr[i] < 0x20 || name.ptr[i] == ',')
      return false;
  return true;
}

rill__space *rill__space_open(rill_hub *hub, rill_str name, int *rv) {
  rill__space *s = rill__space_find(hub, name), *pattern;

  *rv = 0;
  if (s != NULL)
    return s;
  pattern = name_ok(hub, name) ? pattern_of(hub, name) : NULL;
  if (pattern == NULL)
    return NULL;
  if (pattern->opts.allow != NULL) {
    bool allowed;
    hub->in_handler = true;
    allowed = pattern->opts.allow(name, pattern->opts.arg);
    hub->in_handler = false;
    if (!allowed)
      return NULL;
  }
  if (hub->nspaces >= hub->config.limits.spaces) {
    hub->metrics.limit_spaces++;
    *rv = RILL_ERR_LIMIT;
    return NULL;
  }
  s = space_new(hub, name);
  if (s == NULL) {
    *rv = RILL_ERR_NOMEM;
    return NULL;
  }
  s->rules = pattern;
  s->opts = pattern->opts;
  return s;
}

rill__space *rill__space_rules_for(rill_hub *hub, rill_str name) {
  rill__space *s = rill__space_find(hub, name);

  if (s != NULL)
    return s->rules;
  return name_ok(hub, name) ? pattern_of(hub, name) : NULL;
}

void rill__space_release(rill_hub *hub, rill__space *s) {
  if (s->rules == s || s->npeers > 0 || s->nrooms > 0 ||
      !hub->follower->done_with_space(s))
    return;
  rill__fanout_close(hub, &hub->fanout);
  space_free(hub, s);
}

rill__space *rill__space_rules(rill_hub *hub, const char *name) {
  rill_str s = rill_s(name);

  if (s.len == 0)
    return hub->spaces;
  if (s.ptr[s.len - 1] != '*')
    return rill__space_find(hub, s);
  s.len--;
  for (rill__space *p = hub->spaces; p != NULL; p = p->next)
    if (p->pattern && rill_str_eq(rill__space_name(p), s))
      return p;
  return NULL;
}

int rill_space(rill_hub *hub, const char *name, const rill_space_opts *opts) {
  rill_str s = rill_s(name);
  bool pattern = s.len > 0 && s.ptr[s.len - 1] == '*';
  rill__space *space;

  if (!name_ok(hub, s))
    return RILL_ERR_ARG;
  if (rill_str_eq(s, rill_s("/"))) {
    if (hub->spaces->npeers > 0)
      return RILL_ERR_STATE;
    hub->spaces->opts = opts != NULL ? *opts : (rill_space_opts){0};
    hub->remembers |= hub->spaces->opts.recovery;
    return 0;
  }
  if (rill__space_rules(hub, name) != NULL)
    return RILL_ERR_EXISTS;
  s.len -= pattern;
  space = space_new(hub, s);
  if (space == NULL)
    return RILL_ERR_NOMEM;
  space->pattern = pattern;
  if (opts != NULL)
    space->opts = *opts;
  hub->remembers |= space->opts.recovery;
  return 0;
}

rill_str rill_peer_space(rill_peer peer) {
  rill__peer *p = rill__peer_of(peer);
  return p != NULL ? rill__space_name(rill__peer_space(p)) : (rill_str){0};
}
