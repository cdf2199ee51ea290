#include "wire/url.h"

#include <string.h>

#include "base/ip.h"
#include "wire/http.h"

/* sun_path of Linux has 108 bytes, with its NUL. */
#define UNIX_PATH_MAX_LEN 107

static rill_str after(rill_str s, size_t n) {
  return (rill_str){s.ptr + n, s.len - n};
}

/* Takes |scheme| (lower case) off |*s|. */
static bool take_scheme(rill_str *s, const char *scheme) {
  size_t n = strlen(scheme);

  if (s->len < n || !rill__http_same((rill_str){s->ptr, n}, scheme))
    return false;
  *s = after(*s, n);
  return true;
}

static int parse_authority(rill__url *out) {
  rill_str a = out->authority;
  rill__ip ip;
  size_t n;

  if (!rill__http_is_host(a, &n))
    return RILL_ERR_ARG;
  out->host = (rill_str){a.ptr, n};
  if (a.ptr[0] == '[') {
    out->host = (rill_str){a.ptr + 1, n - 2};
    if (memchr(out->host.ptr, ':', n - 2) == NULL ||
        !rill__ip_parse(out->host, &ip))
      return RILL_ERR_ARG;
  }
  if (n + 1 >= a.len)
    return 0; /* no port, or an empty one */
  out->port = after(a, n + 1);
  while (out->port.len > 0 && out->port.ptr[0] == '0')
    out->port = after(out->port, 1);
  return out->port.len > 0 ? 0 : RILL_ERR_ARG;
}

static int parse_tcp(rill_str rest, rill__url *out) {
  size_t n = 0;

  while (n < rest.len && rest.ptr[n] != '/' && rest.ptr[n] != '?')
    n++;
  out->authority = (rill_str){rest.ptr, n};
  if (n < rest.len)
    out->target = after(rest, n);
  return parse_authority(out);
}

/* The socket's path ends at the first ":/", so that it may have a colon. */
static int parse_unix(rill_str rest, rill__url *out) {
  size_t n = 0;

  while (n < rest.len &&
         !(rest.ptr[n] == ':' && n + 1 < rest.len && rest.ptr[n + 1] == '/')) {
    if (rest.ptr[n] == '?')
      return RILL_ERR_ARG; /* a query without ":/path" */
    n++;
  }
  if (n == 0 || n > UNIX_PATH_MAX_LEN || rest.ptr[0] != '/')
    return RILL_ERR_ARG;
  out->unix_path = (rill_str){rest.ptr, n};
  out->authority = rill_s("localhost");
  if (n < rest.len)
    out->target = after(rest, n + 1);
  return 0;
}

int rill__url_parse(rill_str text, rill__url *out) {
  *out = (rill__url){.port = RILL_STR("80"), .target = RILL_STR("/")};
  if (!rill__http_is_target(text))
    return RILL_ERR_ARG;
  if (take_scheme(&text, "ws+unix:")) {
    out->port = rill_s("");
    return parse_unix(text, out);
  }
  if (take_scheme(&text, "wss://")) {
    out->secure = true;
    out->port = rill_s("443");
    return parse_tcp(text, out);
  }
  if (take_scheme(&text, "ws://"))
    return parse_tcp(text, out);
  return RILL_ERR_ARG;
}
