/*
 * http_reader.h - the inside of a rill__http, shared by http.c (bytes to
 * lines to llhttp), http_head.c (what a head says) and http_body.c.
 */
#ifndef RILL__HTTP_READER_H
#define RILL__HTTP_READER_H

#include <llhttp.h>

#include "base/limits.h"
#include "wire/http.h"

/* Debian's llhttp 8 is loose unless told not to be; 9 is always strict. */
#if LLHTTP_VERSION_MAJOR < 9 && !LLHTTP_STRICT_MODE
#error "llhttp must be compiled with LLHTTP_STRICT_MODE=1"
#endif

/* A run of bytes in |head|, which moves while it grows. */
typedef struct rill__http_run {
  uint32_t at, len;
} rill__http_run;

typedef struct rill__http_field_runs {
  rill__http_run name, value;
} rill__http_field_runs;

typedef enum rill__http_phase {
  RILL__HTTP_START_LINE,
  RILL__HTTP_FIELDS,
  RILL__HTTP_COUNTED,     /* a body of |left| more bytes */
  RILL__HTTP_CHUNKED,     /* |left| more bytes of a chunk, or in a line */
  RILL__HTTP_UNTIL_CLOSE, /* a body that the end of the stream ends */
  RILL__HTTP_OVER,
  RILL__HTTP_FAILED
} rill__http_phase;

struct rill__http {
  rill__http_env *env;
  rill__http *next; /* spare list */
  llhttp_t parser;
  rill__bytes head; /* the lines of the head as received */
  rill__bytes body;
  rill__http_field_runs *fields;
  uint32_t nfields, field_cap;
  uint32_t nlines;     /* field lines seen */
  uint32_t line;       /* where the line being read begins in |head| */
  uint32_t first_line; /* length of the start line with CR LF */
  rill__http_phase phase;
  bool response;
  bool skipped;       /* an empty line in front of the request */
  bool complete;      /* llhttp says that the message is complete */
  bool trailer;       /* behind the last chunk */
  bool line_begun;    /* the line of a chunked body is not at its beginning */
  bool line_cr;       /* its last byte was CR */
  uint32_t line_left; /* bytes that it may still have */
  uint32_t trailer_left; /* bytes that the trailer may still have */
  uint64_t left;
  uint32_t most_body;
  int body_limit; /* whose number that is */
  rill__http_head info;
  rill__http_error error;
};

/* Keeps the first error; always false. */
bool rill__http_fail(rill__http *http, int status, const char *reason,
                     int limit);

/* Gives bytes to llhttp; false, and failed, where it refuses them. */
bool rill__http_parse(rill__http *http, const uint8_t *data, size_t len);

/* rill__http_feed in the phase of each kind of body. */
rill__http_step rill__http_feed_counted(rill__http *http, const uint8_t *data,
                                        size_t len, size_t *used);
rill__http_step rill__http_feed_chunked(rill__http *http, const uint8_t *data,
                                        size_t len, size_t *used);
rill__http_step rill__http_feed_until_close(rill__http *http,
                                            const uint8_t *data, size_t len,
                                            size_t *used);

/* Checks and takes apart the start line, given without its CR LF. */
bool rill__http_start_line(rill__http *http, rill_str line);
/* Judges the whole head, once its fields are known, and sets the phase. */
bool rill__http_judge(rill__http *http);

#endif
