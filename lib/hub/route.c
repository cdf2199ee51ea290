#include "hub/route.h"

#include "hub/peer.h"
#include "wire/deflate.h"

/* Takes the next segment of |*rest|, which begins with "/". */
static rill_str segment(rill_str *rest) {
  rill_str s = {rest->ptr + 1, 0};

  while (s.len + 1 < rest->len && s.ptr[s.len] != '/')
    s.len++;
  rest->ptr += s.len + 1;
  rest->len -= s.len + 1;
  return s;
}

static bool is_rest(rill_str pattern) {
  return pattern.len == 1 && pattern.ptr[0] == '*';
}

/* Ranks a segment: literal 3, any one 2, any rest 1, no match 0. */
static int match_segment(rill_str pattern, rill_str s) {
  if (is_rest(pattern))
    return 1;
  if (pattern.len > 1 && pattern.ptr[0] == ':')
    return s.len > 0 ? 2 : 0;
  return rill_str_eq(pattern, s) ? 3 : 0;
}

/*
 * Compares |a| and |b|, which both match |path|: positive where |a| is more
 * specific at the first segment in which they differ.
 */
static int compare(rill_str a, rill_str b, rill_str path) {
  while (a.len > 0 && b.len > 0 && path.len > 0) {
    rill_str s = segment(&path);
    rill_str sa = segment(&a), sb = segment(&b);
    int d = match_segment(sa, s) - match_segment(sb, s);
    if (d != 0 || is_rest(sa))
      return d;
  }
  return 0;
}

static bool matches(rill_str pattern, rill_str path) {
  while (pattern.len > 0 && path.len > 0) {
    rill_str p = segment(&pattern);
    if (is_rest(p))
      return true;
    if (match_segment(p, segment(&path)) == 0)
      return false;
  }
  return pattern.len == path.len;
}

static bool takes(const rill__route *r, rill_str method) {
  if (r->fn == NULL) /* dialects over plain requests judge for themselves */
    return r->dialect == RILL_RAW || r->dialect == RILL_JSON
               ? rill_str_eq(method, rill_s("GET"))
               : true;
  if (is_rest(r->method) || rill_str_eq(r->method, method))
    return true;
  return rill_str_eq(method, rill_s("HEAD")) &&
         rill_str_eq(r->method, rill_s("GET"));
}

rill__route *rill__route_find(const rill_hub *hub, rill_str method,
                              rill_str path, bool *wrong_method) {
  rill__route *best = NULL;

  *wrong_method = false;
  for (rill__route *r = hub->routes; r != NULL; r = r->next) {
    if (!matches(r->pattern, path))
      continue;
    if (!takes(r, method)) {
      *wrong_method = true;
      continue;
    }
    if (best == NULL || compare(r->pattern, best->pattern, path) > 0)
      best = r;
  }
  return best;
}

static rill_str method_of(const rill__route *r) {
  return r->fn != NULL ? r->method : rill_s("GET"); /* and what it judges */
}

/* Has a route before |r| the same method at |path|? */
static bool named(const rill_hub *hub, rill_str path, const rill__route *r) {
  for (const rill__route *o = hub->routes; o != r; o = o->next)
    if (matches(o->pattern, path) && (o->fn != NULL) == (r->fn != NULL) &&
        rill_str_eq(method_of(o), method_of(r)))
      return true;
  return false;
}

void rill__route_allow(const rill_hub *hub, rill_str path, rill__bytes *out) {
  for (const rill__route *r = hub->routes; r != NULL; r = r->next) {
    rill_str method = method_of(r);
    if (!matches(r->pattern, path) || named(hub, path, r))
      continue;
    if (out->len > 0)
      rill__bytes_str(out, ", ");
    rill__bytes_add(out, method.ptr, method.len);
    if (r->fn != NULL && rill_str_eq(method, rill_s("GET")))
      rill__bytes_str(out, ", HEAD");
  }
}

rill_str rill__route_param(const rill__route *route, rill_str path,
                           const char *name) {
  rill_str pattern = route->pattern;

  while (pattern.len > 0 && path.len > 0) {
    rill_str rest = path;
    rill_str p = segment(&pattern), s = segment(&path);
    if (is_rest(p)) /* "*" is the rest, without its "/" */
      return strcmp(name, "*") == 0 ? (rill_str){rest.ptr + 1, rest.len - 1}
                                    : (rill_str){0};
    if (p.len > 1 && p.ptr[0] == ':' &&
        rill_str_eq((rill_str){p.ptr + 1, p.len - 1}, rill_s(name)))
      return s;
  }
  return (rill_str){0};
}

static bool pattern_ok(rill_str pattern) {
  if (pattern.len == 0 || pattern.ptr[0] != '/')
    return false;
  while (pattern.len > 0)
    if (is_rest(segment(&pattern)) && pattern.len > 0)
      return false;
  return true;
}

static int add(rill_hub *hub, const char *method, const char *path,
               const rill__route *like) {
  rill_str pattern = rill_s(path), verb = rill_s(method);
  rill__route *r, **end = &hub->routes;
  size_t size = sizeof *r + pattern.len + verb.len + 2;

  if (!pattern_ok(pattern) || verb.len == 0)
    return RILL_ERR_ARG;
  for (; *end != NULL; end = &(*end)->next)
    if (rill_str_eq((*end)->pattern, pattern) &&
        ((*end)->fn == NULL) == (like->fn == NULL) &&
        rill_str_eq((*end)->method, verb))
      return RILL_ERR_EXISTS;
  r = rill__malloc(&hub->alloc, size);
  if (r == NULL)
    return RILL_ERR_NOMEM;
  *r = *like;
  memcpy(r->text, path, pattern.len + 1);
  memcpy(r->text + pattern.len + 1, method, verb.len + 1);
  r->pattern = (rill_str){r->text, pattern.len};
  r->method = (rill_str){r->text + pattern.len + 1, verb.len};
  r->next = NULL;
  *end = r;
  if (hub->deflate == NULL && r->opts.deflate.enabled)
    hub->deflate = &r->opts.deflate;
  return 0;
}

static const char *const envelopes[] = {"rill.json.v1", "rill.msgpack.v1"};

int rill_route(rill_hub *hub, const char *path, rill_dialect dialect,
               const rill_route_opts *opts) {
  rill__route like = {.dialect = dialect};

  if (opts != NULL)
    like.opts = *opts;
  if (dialect > RILL_SSE || !rill__pmd_opts_ok(&like.opts.deflate) ||
      like.opts.nsubprotocols > UINT8_MAX - 1)
    return RILL_ERR_ARG;
  if (dialect == RILL_JSON) {
    like.opts.subprotocols = envelopes;
    like.opts.nsubprotocols = 2;
  }
  if (hub->config.limits.payload_bytes > hub->http.most_body &&
      (dialect == RILL_SOCKETIO || dialect == RILL_ENGINEIO))
    hub->http.most_body = hub->config.limits.payload_bytes;
  if (like.opts.handlers == NULL)
    like.opts.handlers = &rill__no_handlers;
  return add(hub, "GET", path, &like);
}

int rill_handle(rill_hub *hub, const char *method, const char *path,
                rill_request_fn fn, void *arg) {
  rill__route like = {.fn = fn, .fn_arg = arg};

  return fn == NULL ? RILL_ERR_ARG : add(hub, method, path, &like);
}

void rill__routes_free(rill_hub *hub) {
  while (hub->routes != NULL) {
    rill__route *r = hub->routes;
    hub->routes = r->next;
    rill__free(&hub->alloc, r, sizeof *r + r->pattern.len + r->method.len + 2);
  }
}
