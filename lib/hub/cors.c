/*
 * cors.c - what a page of another origin may read (the Fetch standard's CORS
 * protocol).  The list is the one that guards WebSocket; an origin that is
 * not on it gets no header, and no session either.
 */
#include "hub/session.h"

static bool any(const rill_config *config) {
  for (size_t i = 0; i < config->norigins; i++)
    if (strcmp(config->origins[i], "*") == 0)
      return true;
  return false;
}

void rill__cors_headers(const rill_request *req, rill__bytes *out) {
  rill_str origin = rill__http_header(req->http, "origin", 0);

  if (req->route == NULL || req->route->fn != NULL ||
      req->route->dialect == RILL_RAW || req->route->dialect == RILL_JSON)
    return;
  if (req->hub->config.norigins > 0 || req->route->opts.any_origin)
    rill__http_add_header(out, rill_s("Vary"), rill_s("Origin"));
  if (origin.len == 0 || !rill__origin_ok(req))
    return;
  /* named, never "*": then requests with credentials may be read as well */
  rill__http_add_header(out, rill_s("Access-Control-Allow-Origin"), origin);
  if (!any(&req->hub->config) && !req->route->opts.any_origin)
    rill__http_add_header(out, rill_s("Access-Control-Allow-Credentials"),
                          rill_s("true"));
}

void rill__cors_preflight(rill_request *req) {
  rill_str wanted =
      rill__http_header(req->http, "access-control-request-headers", 0);
  rill__bytes out;

  rill__bytes_init(&out, &req->hub->alloc);
  rill__http_begin_response(&out, 204);
  rill__cors_headers(req, &out);
  rill__http_add_header(&out, rill_s("Vary"),
                        rill_s("Access-Control-Request-Headers"));
  if (rill__origin_ok(req)) {
    rill__http_add_header(&out, rill_s("Access-Control-Allow-Methods"),
                          rill_s("GET, POST, OPTIONS"));
    if (wanted.len > 0)
      rill__http_add_header(&out, rill_s("Access-Control-Allow-Headers"),
                            wanted);
    rill__http_add_header(&out, rill_s("Access-Control-Max-Age"),
                          rill_s("600"));
  }
  rill__http_end(&out);
  rill__request_answer(req, &out, NULL, false);
}
