/*
 * http.h - HTTP/1.1 message heads and bodies, on llhttp (RFC 9110, 9112).
 *
 * A rill__http reads one message: it exists from the first byte of a head
 * until the message has been dealt with, then goes back to the pool, so an
 * idle connection has none.  llhttp runs in strict mode with no lenient
 * flag; what it lets through all the same is refused here: obs-fold, empty
 * or non-token names, a missing or second Host, versions but 1.0 and 1.1,
 * codings but chunked, and each size and count of rill/limits.h.
 *
 * What the limits count: request_line_bytes the first line without its CR
 * LF; header_bytes the field lines with theirs, but not the empty line;
 * trailers are held to header_bytes and header_count once more.  A reader
 * stops at the first byte beyond a limit and never holds more than that.
 */
#ifndef RILL__HTTP_H
#define RILL__HTTP_H

#include <rill/limits.h>

#include "base/bytes.h"

typedef struct rill__http rill__http;

/* Shared by all readers of a hub. */
typedef struct rill__http_env {
  const rill__alloc *alloc;
  const rill_limits *limits;
  uint32_t most_body; /* of any route; body_bytes unless raised */
  rill__http *spare; /* a few idle readers, buffers released */
  uint32_t nspare;
} rill__http_env;

void rill__http_env_init(rill__http_env *env, const rill__alloc *alloc,
                         const rill_limits *limits);
void rill__http_env_finish(rill__http_env *env);

/* A reader of a request, or (|response|) of an answer; NULL: no memory. */
rill__http *rill__http_new(rill__http_env *env, bool response);
void rill__http_free(rill__http *http); /* NULL is fine */

/*
 * rill__http_feed reads on.  |*used| is how many bytes it took; it stops
 * after the head (so that the head can be judged before a body is taken) and
 * after the message.  Bytes behind an upgrade request, or behind the head of
 * a 101, are not taken.
 */
typedef enum rill__http_step {
  RILL__HTTP_MORE, /* all bytes taken, not complete */
  RILL__HTTP_HEAD, /* the head is complete; feed again for the body */
  RILL__HTTP_DONE, /* the message is complete */
  RILL__HTTP_BAD   /* malformed or over a limit: see rill__http_error */
} rill__http_step;
rill__http_step rill__http_feed(rill__http *http, const uint8_t *data,
                                size_t len, size_t *used);

/*
 * The stream has ended: true where that ends the message, as it does the
 * body of an answer that says no length.  The reader is done then.
 */
bool rill__http_feed_end(rill__http *http);

/*
 * What is wrong: the status to answer, one line for people, which limit.
 * |reason| is static.
 */
typedef struct rill__http_error {
  int status;
  const char *reason;
  int limit; /* index into RILL_LIMITS, or -1 */
} rill__http_error;
rill__http_error rill__http_error_of(const rill__http *http);

/*
 * The head, from RILL__HTTP_HEAD on.  Strings are borrowed while the reader
 * lives.  |target| is as received, |path| its part before "?", |query| the
 * rest without it.  Absolute-form targets are taken apart (RFC 9112 section
 * 3.2.2): then |host| is the target's.  |host| has the port where one was
 * named, and is empty only for HTTP/1.0 without a Host.  CONNECT is refused.
 */
typedef struct rill__http_head {
  rill_str method, target, path, query, host;
  int minor;  /* of HTTP/1.minor */
  int status; /* of an answer */
  bool keep_alive;
  bool upgrade;      /* both Connection: upgrade and an Upgrade field */
  bool has_body;     /* a body is announced and is not empty */
  bool expect;       /* Expect: 100-continue */
} rill__http_head;
const rill__http_head *rill__http_head_of(const rill__http *http);

/* Header fields by index (order of arrival), or the first by name. */
size_t rill__http_count(const rill__http *http);
void rill__http_field(const rill__http *http, size_t i, rill_str *name,
                      rill_str *value);
/* NULL |ptr| where there is none.  |nth| counts equal names from 0. */
rill_str rill__http_header(const rill__http *http, const char *name,
                           size_t nth);
/* Is |token|, in any case, in the comma-separated lists of all |name| fields? */
bool rill__http_has_token(const rill__http *http, const char *name,
                          const char *token);
/* The body so far; in |data| it may be written to. */
rill_str rill__http_body(const rill__http *http);
uint8_t *rill__http_body_data(rill__http *http);
/*
 * After the head: the body may have at most |bytes|, which is the limit with
 * that number (RILL__LIMIT_...).  false where more are announced; the reader
 * has failed then, with 413.
 */
bool rill__http_limit_body(rill__http *http, uint32_t bytes, int limit);

/* Grammar (RFC 9110 section 5.6.2 and 5.5). */
bool rill__http_is_token(rill_str s);
bool rill__http_is_value(rill_str s);
bool rill__http_same(rill_str a, const char *b); /* in any case */
/* Only what may stand in a request target or a URL: 21-7E but "#". */
bool rill__http_is_target(rill_str s);
/*
 * A host with or without a port (RFC 3986 section 3.2.2 and 3.2.3, but no
 * comma): |*host_len| is how much of |s| is the host, brackets included.  An
 * empty port is fine, user information is not.
 */
bool rill__http_is_host(rill_str s, size_t *host_len);
/*
 * Takes the next member off a comma-separated |*list|, without the white
 * space around it; false at the end.  Empty members are skipped (RFC 9110
 * section 5.6.1).  Quoted strings are not known here.
 */
bool rill__http_next_item(rill_str *list, rill_str *item);

/*
 * Percent-decodes |in| ("+" is a space where |plus|) into |out|, which may
 * be the same memory; returns the length, or -1 for a broken escape.
 */
int64_t rill__http_unescape(rill_str in, bool plus, char *out);

/*
 * The one writer of heads.  begin writes the status or request line; header
 * checks name and value and marks |out| failed if they are not valid; end
 * writes the empty line.  Date and the like are the caller's.  A |target|
 * that is empty or begins with "?" gets a "/" in front.
 */
void rill__http_begin_response(rill__bytes *out, int status);
void rill__http_begin_request(rill__bytes *out, rill_str method,
                              rill_str target);
void rill__http_add_header(rill__bytes *out, rill_str name, rill_str value);
void rill__http_end(rill__bytes *out);
const char *rill__http_reason(int status);

/*
 * A whole error answer: {"error":{"status":N,"reason":"..."}} as JSON, with
 * Content-Length and, where |close|, Connection: close.  |head_only| leaves
 * the body out (the answer to HEAD).
 */
void rill__http_error_answer(rill__bytes *out, int status, rill_str reason,
                             bool close, bool head_only);
/* The same behind a status line and header fields that are written. */
void rill__http_end_error(rill__bytes *out, int status, rill_str reason,
                          bool close, bool head_only);

#endif
