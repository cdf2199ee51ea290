/*
 * origin.c - who asks: the Origin of a browser's page, and the address that
 * a trusted proxy reports.
 */
#include "hub/request.h"

#include "base/ip.h"
#include "hub/address.h"

static rill_str tail(rill_str s, size_t from) {
  return (rill_str){s.ptr + from, s.len - from};
}

static bool strip(rill_str *s, const char *end) {
  rill_str e = rill_s(end);

  if (s->len <= e.len || !rill_str_eq(tail(*s, s->len - e.len), e))
    return false;
  s->len -= e.len;
  return true;
}

static bool same_host(rill_str a, rill_str b) {
  if (a.len != b.len || a.len == 0)
    return false;
  for (size_t i = 0; i < a.len; i++) {
    char x = a.ptr[i], y = b.ptr[i];
    if (x >= 'A' && x <= 'Z')
      x = (char)(x | 0x20);
    if (y >= 'A' && y <= 'Z')
      y = (char)(y | 0x20);
    if (x != y)
      return false;
  }
  return true;
}

/* Is |origin| the origin of the host that the request names? */
static bool same_origin(const rill_request *req, rill_str origin) {
  bool secure = rill__conn_is(req->conn, RILL__SECURE);
  const char *scheme = secure ? "https://" : "http://";
  const char *port = secure ? ":443" : ":80";
  rill_str host = rill__http_head_of(req->http)->host;

  if (host.len == 0)
    host = rill__http_header(req->http, "host", 0);
  if (!rill_str_starts(origin, scheme))
    return false;
  origin = tail(origin, rill_s(scheme).len);
  strip(&origin, port);
  strip(&host, port);
  return same_host(origin, host);
}

bool rill__origin_ok(const rill_request *req) {
  const rill_config *config = &req->hub->config;
  rill_str origin = rill__http_header(req->http, "origin", 0);

  if (origin.ptr == NULL || req->route->opts.any_origin)
    return true;
  if (rill__http_header(req->http, "origin", 1).ptr != NULL)
    return false;
  if (config->norigins == 0)
    return same_origin(req, origin);
  for (size_t i = 0; i < config->norigins; i++)
    if (strcmp(config->origins[i], "*") == 0 ||
        rill_str_eq(origin, rill_s(config->origins[i])))
      return true;
  return false;
}

/* The last element of |*list|, taken off, without blanks around it. */
static rill_str last(rill_str *list) {
  size_t i = list->len;
  rill_str s;

  while (i > 0 && list->ptr[i - 1] != ',')
    i--;
  s = tail(*list, i);
  list->len = i > 0 ? i - 1 : 0;
  while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
    s = tail(s, 1);
  while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
    s.len--;
  return s;
}

/*
 * From the nearest hop outwards: as long as a hop is a trusted proxy, what it
 * says about the hop before it counts.
 */
bool rill__request_find_address(rill_request *req) {
  rill_str client = rill__address_text(req->conn);
  size_t fields = 0;

  while (rill__http_header(req->http, "x-forwarded-for", fields).ptr != NULL)
    fields++;
  while (fields > 0 && rill__address_trusted(req->hub, client)) {
    rill_str list = rill__http_header(req->http, "x-forwarded-for", --fields);
    while (list.len > 0 && rill__address_trusted(req->hub, client)) {
      rill_str hop = last(&list);
      rill__ip ip;
      if (!rill__ip_parse(hop, &ip))
        goto done; /* a proxy wrote something else: believe no further */
      client = hop;
    }
  }
done:
  rill__bytes_add(&req->address, client.ptr, client.len);
  return !req->address.failed;
}
