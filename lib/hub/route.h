/*
 * route.h - which path is served how.
 */
#ifndef RILL__ROUTE_H
#define RILL__ROUTE_H

#include "hub/hub.h"

/* A dialect at a path, or (|fn| set) a handler of plain requests. */
struct rill__route {
  rill__route *next;
  rill_dialect dialect;
  rill_route_opts opts;
  rill_request_fn fn;
  void *fn_arg;
  rill_str method; /* of a handler; "*" for all */
  rill_str pattern;
  char text[]; /* pattern and method, each terminated */
};

/*
 * The most specific route for |path|: literal segments before ":name" before
 * "*".  Of handlers the one for |method|; where only others match the path,
 * NULL and |*wrong_method|.
 */
rill__route *rill__route_find(const rill_hub *hub, rill_str method,
                                    rill_str path, bool *wrong_method);
/* What ":name" of the route's pattern stands for in |path|. */
rill_str rill__route_param(const rill__route *route, rill_str path,
                           const char *name);
/* The methods of the handlers at |path|, for Allow. */
void rill__route_allow(const rill_hub *hub, rill_str path, rill__bytes *out);

#endif
