/*
 * A head is gathered line by line until its empty line; then llhttp reads it
 * in one piece.  The lines are looked at first because that is where
 * messages are smuggled: a line ends with CR LF and has no other CR, and no
 * line continues the one before it.  After llhttp there must be as many
 * fields as lines; so both have read the same, whichever llhttp it is.
 *
 *   START_LINE -> FIELDS -> COUNTED | CHUNKED | UNTIL_CLOSE -> OVER
 *
 * and FAILED from each of them; bodies are http_body.c's.  Every byte is copied
 * once and scanned a fixed number of times, however the input is cut.
 */
#include "wire/http_reader.h"

#include <assert.h>

/* Idle readers per hub, and the largest buffer that one keeps. */
#define SPARE_MAX 16
#define KEEP_BYTES 2048
#define FIRST_FIELDS 16

bool rill__http_fail(rill__http *http, int status, const char *reason,
                     int limit) {
  if (http->phase != RILL__HTTP_FAILED) {
    http->phase = RILL__HTTP_FAILED;
    http->error = (rill__http_error){status, reason, limit};
  }
  return false;
}

static bool no_memory(rill__http *http) {
  return rill__http_fail(http, 503, "out of memory", -1);
}

static rill__http *reader_of(llhttp_t *parser) {
  return parser->data;
}

static int field_trouble(rill__http *http) {
  rill__http_fail(http, 400, "a malformed header field", -1);
  return HPE_USER;
}

/* Goes on with |run| or begins it: a span may come in several pieces. */
static int add_span(rill__http *http, rill__http_run *run, const char *at,
                    size_t len) {
  uint32_t from = (uint32_t)(at - (const char *)http->head.data);

  if (run->at == 0)
    run->at = from;
  else if (from != run->at + run->len)
    return field_trouble(http);
  run->len += (uint32_t)len;
  return 0;
}

/* Does the name that ends where |at| begins go on, no value having come? */
static bool same_name(const rill__http *http, const char *at) {
  const rill__http_field_runs *last;

  if (http->nfields == 0)
    return false;
  last = &http->fields[http->nfields - 1];
  return last->value.at == 0 &&
         (const char *)http->head.data + last->name.at + last->name.len == at;
}

/* In a trailer there is nothing to note: it is dropped. */
static int on_field(llhttp_t *parser, const char *at, size_t len) {
  rill__http *http = reader_of(parser);

  if (http->phase != RILL__HTTP_FIELDS)
    return 0;
  if (!same_name(http, at)) {
    if (http->nfields == http->nlines)
      return field_trouble(http);
    http->fields[http->nfields++] = (rill__http_field_runs){{0, 0}, {0, 0}};
  }
  return add_span(http, &http->fields[http->nfields - 1].name, at, len);
}

static int on_value(llhttp_t *parser, const char *at, size_t len) {
  rill__http *http = reader_of(parser);

  if (http->phase != RILL__HTTP_FIELDS)
    return 0;
  if (http->nfields == 0)
    return field_trouble(http);
  return add_span(http, &http->fields[http->nfields - 1].value, at, len);
}

/* 1 tells llhttp that no body follows (RFC 9112 section 6.3, rule 1). */
static int on_head(llhttp_t *parser) {
  int status = llhttp_get_status_code(parser);

  return reader_of(parser)->response &&
         (status / 100 == 1 || status == 204 || status == 304);
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
  rill__http *http = reader_of(parser);

  rill__bytes_add(&http->body, at, len);
  if (!http->body.failed)
    return 0;
  no_memory(http);
  return HPE_USER;
}

static int on_chunk(llhttp_t *parser) {
  rill__http *http = reader_of(parser);
  uint64_t room = http->most_body - http->body.len;

  if (parser->content_length > room) {
    rill__http_fail(http, 413, "the body is too large", http->body_limit);
    return HPE_USER;
  }
  http->left = parser->content_length;
  if (http->left == 0) {
    http->trailer = true;
    http->trailer_left = http->env->limits->header_bytes;
    http->nlines = 0;
  }
  return 0;
}

static int on_complete(llhttp_t *parser) {
  reader_of(parser)->complete = true;
  return 0;
}

static const llhttp_settings_t settings = {.on_header_field = on_field,
                                           .on_header_value = on_value,
                                           .on_headers_complete = on_head,
                                           .on_body = on_body,
                                           .on_chunk_header = on_chunk,
                                           .on_message_complete = on_complete};

void rill__http_env_init(rill__http_env *env, const rill__alloc *alloc,
                         const rill_limits *limits) {
  *env = (rill__http_env){
      .alloc = alloc, .limits = limits, .most_body = limits->body_bytes};
}

static void destroy(rill__http *http) {
  const rill__alloc *alloc = http->env->alloc;

  rill__bytes_finish(&http->head);
  rill__bytes_finish(&http->body);
  rill__free(alloc, http->fields, http->field_cap * sizeof *http->fields);
  rill__free(alloc, http, sizeof *http);
}

void rill__http_env_finish(rill__http_env *env) {
  while (env->spare != NULL) {
    rill__http *http = env->spare;
    env->spare = http->next;
    destroy(http);
  }
  env->nspare = 0;
}

static rill__http *make(rill__http_env *env) {
  rill__http *http = rill__calloc(env->alloc, sizeof *http);

  if (http == NULL)
    return NULL;
  http->env = env;
  rill__bytes_init(&http->head, env->alloc);
  rill__bytes_init(&http->body, env->alloc);
  return http;
}

rill__http *rill__http_new(rill__http_env *env, bool response) {
  rill__http *http = env->spare;

  if (http != NULL) {
    env->spare = http->next;
    env->nspare--;
  } else if ((http = make(env)) == NULL) {
    return NULL;
  }
  llhttp_init(&http->parser, response ? HTTP_RESPONSE : HTTP_REQUEST,
              &settings);
  assert(http->parser.lenient_flags == 0);
  http->parser.data = http;
  http->response = response;
  http->most_body = response ? env->limits->body_bytes : env->most_body;
  http->body_limit = RILL__LIMIT_body_bytes;
  http->error.limit = -1;
  return http;
}

static void drop_large(rill__bytes *b, size_t keep) {
  if (b->cap > keep)
    rill__bytes_finish(b);
  else
    rill__bytes_clear(b);
}

/* Makes a used reader as new, but for small buffers. */
static void reset(rill__http *http) {
  rill__http clean = {.env = http->env};

  drop_large(&http->head, KEEP_BYTES);
  drop_large(&http->body, 0);
  if (http->field_cap > KEEP_BYTES / sizeof *http->fields) {
    rill__free(http->env->alloc, http->fields,
               http->field_cap * sizeof *http->fields);
    http->fields = NULL;
    http->field_cap = 0;
  }
  clean.head = http->head;
  clean.body = http->body;
  clean.fields = http->fields;
  clean.field_cap = http->field_cap;
  *http = clean;
}

void rill__http_free(rill__http *http) {
  if (http == NULL)
    return;
  if (http->env->nspare == SPARE_MAX) {
    destroy(http);
    return;
  }
  reset(http);
  http->next = http->env->spare;
  http->env->spare = http;
  http->env->nspare++;
}

/* Room for as many fields as there are lines: callbacks then cannot fail. */
static bool reserve_fields(rill__http *http) {
  uint32_t cap = http->nlines < FIRST_FIELDS ? FIRST_FIELDS : http->nlines;
  void *fields;

  if (cap <= http->field_cap)
    return true;
  fields = rill__realloc(http->env->alloc, http->fields,
                         http->field_cap * sizeof *http->fields,
                         cap * sizeof *http->fields);
  if (fields == NULL)
    return no_memory(http);
  http->fields = fields;
  http->field_cap = cap;
  return true;
}

bool rill__http_parse(rill__http *http, const uint8_t *data, size_t len) {
  llhttp_errno_t err = llhttp_execute(&http->parser, (const char *)data, len);
  const char *reason = llhttp_get_error_reason(&http->parser);

  if (http->phase == RILL__HTTP_FAILED)
    return false;
  if (err == HPE_OK || (err == HPE_PAUSED_UPGRADE && http->complete))
    return true;
  return rill__http_fail(http, err == HPE_INVALID_METHOD ? 501 : 400,
                         reason != NULL ? reason : "malformed message", -1);
}

/* How long the line being read may be, without its CR LF. */
static size_t line_room(const rill__http *http) {
  const rill_limits *limits = http->env->limits;
  size_t before = http->line - http->first_line + 2;

  if (http->phase == RILL__HTTP_START_LINE)
    return limits->request_line_bytes;
  return limits->header_bytes > before ? limits->header_bytes - before : 0;
}

static bool line_too_long(rill__http *http) {
  if (http->phase == RILL__HTTP_START_LINE)
    return rill__http_fail(http, 414, "the request line is too long",
                           RILL__LIMIT_request_line_bytes);
  return rill__http_fail(http, 431, "the header is too large",
                         RILL__LIMIT_header_bytes);
}

/*
 * Adds |len| > 0 bytes, the last of which may be LF, to the line being read.
 * What is too long is refused at the first byte beyond, however it comes.
 */
static bool add_to_line(rill__http *http, const uint8_t *data, size_t len) {
  size_t have = http->head.len - http->line + len, room = line_room(http);

  if (have > room + 2)
    return line_too_long(http);
  rill__bytes_add(&http->head, data, len);
  if (http->head.failed)
    return no_memory(http);
  if (data[len - 1] == '\n')
    have--;
  if (have > 0 && http->head.data[http->line + have - 1] == '\r')
    have--;
  return have <= room || line_too_long(http);
}

/* Tells what is plainly not HTTP from the first byte, not from the first LF. */
static bool plausible_start(rill__http *http, uint8_t first) {
  const char c = (char)first;

  if (http->response ? c == 'H' : rill__http_is_token((rill_str){&c, 1}))
    return true;
  if (!http->response && c == '\r' && !http->skipped)
    return true;
  return rill__http_fail(
      http, 400, first == 0x16 ? "TLS on a plain stream" : "not HTTP", -1);
}

static bool end_start_line(rill__http *http, rill_str line) {
  /* RFC 9112 section 2.2: one empty line in front is put up with. */
  if (line.len == 0) {
    if (http->skipped)
      return rill__http_fail(http, 400, "an empty start line", -1);
    http->skipped = true;
    http->head.len = 0;
    return true;
  }
  if (!rill__http_start_line(http, line))
    return false;
  http->info = (rill__http_head){.minor = 0}; /* its strings may yet move */
  http->line = http->first_line = (uint32_t)http->head.len;
  http->phase = RILL__HTTP_FIELDS;
  return true;
}

static bool end_field_line(rill__http *http, rill_str line) {
  if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
    return rill__http_fail(http, 400, "a field line is continued", -1);
  if (http->nlines == http->env->limits->header_count)
    return rill__http_fail(http, 431, "too many header fields",
                           RILL__LIMIT_header_count);
  http->nlines++;
  http->line = (uint32_t)http->head.len;
  return true;
}

static bool end_head(rill__http *http) {
  return reserve_fields(http) &&
         rill__http_parse(http, http->head.data, http->head.len) &&
         rill__http_judge(http);
}

/* A line is complete; |*head| is set where it ended the head. */
static bool end_line(rill__http *http, bool *head) {
  rill_str line = {(const char *)http->head.data + http->line,
                   http->head.len - http->line - 1};

  if (line.len == 0 || line.ptr[line.len - 1] != '\r')
    return rill__http_fail(http, 400, "LF without CR", -1);
  line.len--;
  if (line.len > 0 && memchr(line.ptr, '\r', line.len) != NULL)
    return rill__http_fail(http, 400, "CR without LF", -1);
  if (http->phase == RILL__HTTP_START_LINE)
    return end_start_line(http, line);
  if (line.len > 0)
    return end_field_line(http, line);
  *head = true;
  return end_head(http);
}

static rill__http_step feed_head(rill__http *http, const uint8_t *data,
                                 size_t len, size_t *used) {
  bool head = false;

  if (len > 0 && http->head.len == 0 &&
      !rill__bytes_reserve(&http->head, len < 1024 ? len : 1024)) {
    no_memory(http);
    return RILL__HTTP_BAD;
  }
  while (*used < len) {
    const uint8_t *from = data + *used, *lf = memchr(from, '\n', len - *used);
    size_t n = lf != NULL ? (size_t)(lf - from) + 1 : len - *used;

    if (http->head.len == 0 && !plausible_start(http, from[0]))
      return RILL__HTTP_BAD;
    if (!add_to_line(http, from, n) || (lf != NULL && !end_line(http, &head)))
      return RILL__HTTP_BAD;
    *used += n;
    if (head)
      return RILL__HTTP_HEAD;
  }
  return RILL__HTTP_MORE;
}

rill__http_step rill__http_feed(rill__http *http, const uint8_t *data,
                                size_t len, size_t *used) {
  *used = 0;
  switch (http->phase) {
  case RILL__HTTP_START_LINE:
  case RILL__HTTP_FIELDS:
    return feed_head(http, data, len, used);
  case RILL__HTTP_COUNTED:
    return rill__http_feed_counted(http, data, len, used);
  case RILL__HTTP_CHUNKED:
    return rill__http_feed_chunked(http, data, len, used);
  case RILL__HTTP_UNTIL_CLOSE:
    return rill__http_feed_until_close(http, data, len, used);
  case RILL__HTTP_OVER:
    return RILL__HTTP_DONE;
  case RILL__HTTP_FAILED:
    break;
  }
  return RILL__HTTP_BAD;
}

bool rill__http_feed_end(rill__http *http) {
  if (http->phase == RILL__HTTP_UNTIL_CLOSE)
    http->phase = RILL__HTTP_OVER;
  return http->phase == RILL__HTTP_OVER;
}

rill__http_error rill__http_error_of(const rill__http *http) {
  return http->error;
}
