/*
 * http_feed.h - runs a stream of HTTP messages through readers in any cuts
 * and writes down all that can be seen of them, so that two runs can be
 * compared.  Pieces lie in blocks of their exact size.
 */
#ifndef HTTP_FEED_H
#define HTTP_FEED_H

#include <stdlib.h>

#include "wire/http.h"

/* Stops the program; assert would vanish with NDEBUG. */
#define MUST(x)                                                                \
  do {                                                                         \
    if (!(x))                                                                  \
      abort();                                                                 \
  } while (0)

/* How the input is cut: 0 whole, 1 by bytes, else seeded random pieces. */
typedef struct http_cuts {
  uint64_t seed;
} http_cuts;

static inline size_t http_cut(http_cuts *cuts, size_t left) {
  uint64_t x = cuts->seed;

  if (x < 2)
    return x == 0 ? left : 1;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  cuts->seed = x | 2;
  x = (x >> 20) % ((x >> 8 & 3) == 0 ? 200 : 9) + 1;
  return x < left ? (size_t)x : left;
}

typedef struct http_run {
  rill__http_env *env;
  bool response;
  bool ended; /* the stream ends behind the input */
  rill__http *http;
  bool over;   /* failed, or another protocol follows */
  uint64_t at; /* of the input */
  rill__bytes log;
} http_run;

static inline void http_log(http_run *run, const char *what, rill_str s) {
  rill__bytes_str(&run->log, what);
  rill__bytes_str(&run->log, "=");
  rill__bytes_add(&run->log, s.ptr, s.len);
  rill__bytes_str(&run->log, "\n");
}

static inline void http_log_n(http_run *run, const char *what, int64_t n) {
  rill__bytes_str(&run->log, what);
  rill__bytes_str(&run->log, n < 0 ? "=-" : "=");
  rill__bytes_u64(&run->log, n < 0 ? (uint64_t)-n : (uint64_t)n);
  rill__bytes_str(&run->log, "\n");
}

static inline void http_log_head(http_run *run) {
  const rill__http_head *head = rill__http_head_of(run->http);

  http_log_n(run, "head", (int64_t)run->at);
  http_log(run, "method", head->method);
  http_log(run, "target", head->target);
  http_log(run, "path", head->path);
  http_log(run, "query", head->query);
  http_log(run, "host", head->host);
  http_log_n(run, "minor", head->minor);
  http_log_n(run, "status", head->status);
  http_log_n(run, "flags",
             head->keep_alive | head->upgrade << 1 | head->has_body << 2 |
                 head->expect << 3);
  for (size_t i = 0; i < rill__http_count(run->http); i++) {
    rill_str name, value;
    rill__http_field(run->http, i, &name, &value);
    MUST(rill__http_is_token(name) && rill__http_is_value(value));
    http_log(run, "name", name);
    http_log(run, "value", value);
  }
}

/* What follows an upgrade or a 101 is another protocol. */
static inline void http_done(http_run *run) {
  const rill__http_head *head = rill__http_head_of(run->http);

  run->over = head->status == 101 || (head->upgrade && !head->has_body);
  http_log_n(run, "done", (int64_t)run->at);
  http_log(run, "body", rill__http_body(run->http));
  rill__http_free(run->http);
  run->http = NULL;
}

static inline void http_bad(http_run *run) {
  rill__http_error error = rill__http_error_of(run->http);

  http_log_n(run, "bad", error.status);
  http_log_n(run, "limit", error.limit);
  http_log(run, "reason", rill_s(error.reason));
  run->over = true;
}

/* One piece, which may end several messages. */
static inline void http_piece(http_run *run, const uint8_t *data, size_t len) {
  bool more = true;

  while (!run->over && more) {
    size_t used = 0;
    rill__http_step step;

    if (run->http == NULL && len == 0)
      return;
    if (run->http == NULL)
      MUST((run->http = rill__http_new(run->env, run->response)) != NULL);
    step = rill__http_feed(run->http, data, len, &used);
    MUST(used <= len && (step != RILL__HTTP_MORE || used == len));
    data += used;
    len -= used;
    run->at += used;
    more = step == RILL__HTTP_HEAD || len > 0;
    if (step == RILL__HTTP_HEAD)
      http_log_head(run);
    else if (step == RILL__HTTP_DONE)
      http_done(run);
    else if (step == RILL__HTTP_BAD)
      http_bad(run);
  }
}

/* Runs it all; the caller finishes run->log. */
static inline void http_run_all(http_run *run, const uint8_t *data, size_t len,
                                http_cuts cuts) {
  rill__bytes_init(&run->log, &rill__alloc_default);
  for (size_t at = 0; at < len && !run->over;) {
    size_t n = http_cut(&cuts, len - at);
    uint8_t *piece = malloc(n);
    MUST(piece != NULL);
    memcpy(piece, data + at, n);
    http_piece(run, piece, n);
    free(piece);
    at += n;
  }
  if (!run->over && run->http != NULL) {
    rill__bytes_str(&run->log, "more\n");
    if (run->ended && rill__http_feed_end(run->http))
      http_done(run);
  }
  rill__http_free(run->http);
  run->http = NULL;
  MUST(!run->log.failed);
}

#endif
