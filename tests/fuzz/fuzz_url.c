/*
 * Oracles: the parts lie within the URL or are static; put together again
 * they make a URL with the same parts; nothing that splits a head is in them.
 */
#include "../unit/http_feed.h"
#include "wire/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(rill__bytes *b, rill_str s) {
  rill__bytes_add(b, s.ptr, s.len);
}

static void put_together(const rill__url *url, rill__bytes *b) {
  if (url->unix_path.len > 0) {
    rill__bytes_str(b, "ws+unix:");
    add(b, url->unix_path);
    rill__bytes_str(b, ":");
  } else {
    bool six = memchr(url->host.ptr, ':', url->host.len) != NULL;
    rill__bytes_str(b, url->secure ? "wss://" : "ws://");
    rill__bytes_str(b, six ? "[" : "");
    add(b, url->host);
    rill__bytes_str(b, six ? "]:" : ":");
    add(b, url->port);
  }
  add(b, url->target);
  MUST(!b->failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *exact = malloc(size + (size == 0));
  rill__url url, again;
  rill__bytes b;

  memcpy(exact, data, size);
  if (rill__url_parse((rill_str){exact, size}, &url) == 0) {
    rill__bytes_init(&b, &rill__alloc_default);
    put_together(&url, &b);
    MUST(rill__url_parse((rill_str){(char *)b.data, b.len}, &again) == 0);
    MUST(rill_str_eq(url.host, again.host));
    MUST(rill_str_eq(url.port, again.port));
    MUST(rill_str_eq(url.unix_path, again.unix_path));
    MUST(rill_str_eq(url.target, again.target));
    MUST(url.secure == again.secure);
    MUST((url.host.len == 0) != (url.unix_path.len == 0));
    MUST(url.unix_path.len <= 107 && url.target.len > 0);
    rill__bytes_clear(&b);
    rill__http_begin_request(&b, rill_s("GET"), url.target);
    rill__http_add_header(&b, rill_s("Host"), url.authority);
    MUST(!b.failed);
    rill__bytes_finish(&b);
  }
  free(exact);
  return 0;
}
