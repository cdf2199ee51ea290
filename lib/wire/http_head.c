/*
 * What a head says: the start line, the target (RFC 9112 section 3), and the
 * fields that decide how the connection goes on (RFC 9112 sections 6 and 9).
 */
#include "wire/http_reader.h"

/* What judge gathers from the fields, of which each is looked at once. */
typedef struct fields {
  rill_str host, length, coding;
  unsigned nhosts, nlengths, ncodings;
  bool close, keep_alive, connection_upgrade, upgrade, websocket, expect;
} fields;

static bool bad(rill__http *http, const char *reason) {
  return rill__http_fail(http, 400, reason, -1);
}

static rill_str cut(rill_str s, size_t from, size_t to) {
  return (rill_str){s.ptr + from, to - from};
}

static size_t find(rill_str s, char c) {
  const char *p = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;

  return p != NULL ? (size_t)(p - s.ptr) : s.len;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static bool read_version(rill__http *http, rill_str s) {
  if (s.len != 8 || memcmp(s.ptr, "HTTP/", 5) != 0 || s.ptr[6] != '.' ||
      s.ptr[5] < '0' || s.ptr[5] > '9' || s.ptr[7] < '0' || s.ptr[7] > '9')
    return bad(http, "a malformed version");
  if (s.ptr[5] != '1' || s.ptr[7] > '1')
    return rill__http_fail(http, 505, "only HTTP/1.1 and 1.0 are spoken", -1);
  http->info.minor = s.ptr[7] - '0';
  return true;
}

static void split_path(rill__http_head *info, rill_str rest) {
  size_t q = find(rest, '?');

  info->path = cut(rest, 0, q);
  info->query = q < rest.len ? cut(rest, q + 1, rest.len) : rill_s("");
  if (info->path.len == 0)
    info->path = rill_s("/");
}

/* "http://host/path": the host here counts, not that of the field. */
static bool split_absolute(rill__http *http, rill_str target) {
  static const char *const schemes[] = {"http://", "https://", "ws://",
                                        "wss://"};
  size_t n = 0, end, host_len;

  for (size_t i = 0; i < sizeof schemes / sizeof *schemes && n == 0; i++) {
    size_t len = strlen(schemes[i]);
    if (target.len > len && rill__http_same(cut(target, 0, len), schemes[i]))
      n = len;
  }
  if (n == 0)
    return bad(http, "a malformed target");
  end = n;
  while (end < target.len && target.ptr[end] != '/' && target.ptr[end] != '?')
    end++;
  http->info.host = cut(target, n, end);
  if (!rill__http_is_host(http->info.host, &host_len))
    return bad(http, "a malformed host");
  split_path(&http->info, cut(target, end, target.len));
  return true;
}

static bool request_line(rill__http *http, rill_str line) {
  size_t a = find(line, ' '), b;
  rill__http_head *info = &http->info;
  rill_str rest;

  if (a == line.len)
    return bad(http, "a malformed request line");
  info->method = cut(line, 0, a);
  rest = cut(line, a + 1, line.len);
  b = find(rest, ' ');
  if (b == rest.len)
    return bad(http, "a malformed request line");
  info->target = cut(rest, 0, b);
  if (!read_version(http, cut(rest, b + 1, rest.len)))
    return false;
  if (!rill__http_is_token(info->method))
    return bad(http, "a malformed method");
  if (rill_str_eq(info->method, rill_s("CONNECT")))
    return rill__http_fail(http, 501, "CONNECT is not offered", -1);
  if (info->target.len == 0 || !rill__http_is_target(info->target))
    return bad(http, "a malformed target");
  return true;
}

static bool status_line(rill__http *http, rill_str line) {
  int status = 0;

  if (line.len < 12 || line.ptr[8] != ' ')
    return bad(http, "a malformed status line");
  if (!read_version(http, cut(line, 0, 8)))
    return false;
  for (int i = 9; i < 12; i++) {
    if (line.ptr[i] < '0' || line.ptr[i] > '9')
      return bad(http, "a malformed status");
    status = status * 10 + (line.ptr[i] - '0');
  }
  if (status < 100 || status > 599)
    return bad(http, "a malformed status");
  if (line.len > 12 &&
      (line.ptr[12] != ' ' || !rill__http_is_value(cut(line, 13, line.len))))
    return bad(http, "a malformed reason");
  http->info.status = status;
  return true;
}

/*
 * The strings of info point into |head|, which may move until the head is
 * complete.  So the line is only checked when it comes, and taken apart by
 * judge.
 */
bool rill__http_start_line(rill__http *http, rill_str line) {
  return http->response ? status_line(http, line) : request_line(http, line);
}

static rill_str text_of(const rill__http *http, rill__http_run run) {
  return (rill_str){(const char *)http->head.data + run.at, run.len};
}

size_t rill__http_count(const rill__http *http) {
  return http->nfields;
}

void rill__http_field(const rill__http *http, size_t i, rill_str *name,
                      rill_str *value) {
  *name = text_of(http, http->fields[i].name);
  *value = text_of(http, http->fields[i].value);
}

static bool is_space(char c) {
  return c == ' ' || c == '\t';
}

/* llhttp leaves white space behind a value: it is no part of it. */
static bool check_field(rill__http *http, rill__http_field_runs *field) {
  const char *value = (const char *)http->head.data + field->value.at;

  while (field->value.len > 0 && is_space(value[field->value.len - 1]))
    field->value.len--;
  if (!rill__http_is_token(text_of(http, field->name)))
    return bad(http, "a malformed field name");
  if (!rill__http_is_value(text_of(http, field->value)))
    return bad(http, "a malformed field value");
  return true;
}

static void note_connection(fields *f, rill_str list) {
  rill_str item;

  while (rill__http_next_item(&list, &item)) {
    f->close |= rill__http_same(item, "close");
    f->keep_alive |= rill__http_same(item, "keep-alive");
    f->connection_upgrade |= rill__http_same(item, "upgrade");
  }
}

static void note_upgrade(fields *f, rill_str list) {
  rill_str item;

  while (rill__http_next_item(&list, &item)) {
    f->upgrade = true;
    f->websocket |= rill__http_same(item, "websocket");
  }
}

static void note_field(fields *f, rill_str name, rill_str value) {
  switch (name.len) {
  case 4:
    if (rill__http_same(name, "host")) {
      f->host = value;
      f->nhosts++;
    }
    break;
  case 6:
    if (rill__http_same(name, "expect"))
      f->expect |= rill__http_same(value, "100-continue");
    break;
  case 7:
    if (rill__http_same(name, "upgrade"))
      note_upgrade(f, value);
    break;
  case 10:
    if (rill__http_same(name, "connection"))
      note_connection(f, value);
    break;
  case 14:
    if (rill__http_same(name, "content-length")) {
      f->length = value;
      f->nlengths++;
    }
    break;
  case 17:
    if (rill__http_same(name, "transfer-encoding")) {
      f->coding = value;
      f->ncodings++;
    }
    break;
  default:
    break;
  }
}

static bool gather(rill__http *http, fields *f) {
  if (http->nfields != http->nlines)
    return bad(http, "a malformed header field");
  for (uint32_t i = 0; i < http->nfields; i++) {
    rill_str name, value;
    if (!check_field(http, &http->fields[i]))
      return false;
    rill__http_field(http, i, &name, &value);
    note_field(f, name, value);
  }
  return true;
}

/* RFC 9112 section 3.2. */
static bool judge_target(rill__http *http, const fields *f) {
  rill__http_head *info = &http->info;
  size_t host_len;

  if (f->nhosts > 1 || (f->nhosts == 0 && info->minor > 0))
    return bad(http, "exactly one Host is needed");
  if (f->nhosts == 1 && !rill__http_is_host(f->host, &host_len))
    return bad(http, "a malformed host");
  info->host = f->host;
  if (info->target.ptr[0] == '/') {
    split_path(info, info->target);
    return true;
  }
  if (rill_str_eq(info->target, rill_s("*")) &&
      rill_str_eq(info->method, rill_s("OPTIONS"))) {
    info->path = info->target;
    return true;
  }
  return split_absolute(http, info->target);
}

/* 1*DIGIT; what does not fit is as bad as what is none. */
static bool read_length(rill_str s, uint64_t *out) {
  *out = 0;
  for (size_t i = 0; i < s.len; i++) {
    if (s.ptr[i] < '0' || s.ptr[i] > '9' || *out > UINT64_MAX / 10 - 1)
      return false;
    *out = *out * 10 + (uint64_t)(s.ptr[i] - '0');
  }
  return s.len > 0;
}

static void expect_body(rill__http *http, rill__http_phase phase) {
  http->phase = phase;
  http->info.has_body = true;
}

/*
 * RFC 9112 section 6.3.  What may be read in two ways is refused, in answers
 * too: both fields, a field twice, any coding but chunked, and a coding in
 * HTTP/1.0.
 */
static bool judge_body(rill__http *http, const fields *f) {
  int status = http->info.status;

  http->phase = RILL__HTTP_OVER;
  if (f->ncodings > 1 || f->nlengths > 1 || (f->ncodings && f->nlengths) ||
      (f->ncodings && http->info.minor == 0))
    return bad(http, "an ambiguous body length");
  if (f->nlengths > 0 && !read_length(f->length, &http->left))
    return bad(http, "a malformed Content-Length");
  if (f->ncodings > 0 && f->coding.len == 0)
    return bad(http, "a malformed Transfer-Encoding");
  if (f->ncodings > 0 && !rill__http_same(f->coding, "chunked"))
    return rill__http_fail(http, 501, "only chunked coding is understood", -1);
  if (http->response && (status / 100 == 1 || status == 204 || status == 304)) {
    http->left = 0;
  } else if (f->ncodings > 0) {
    expect_body(http, RILL__HTTP_CHUNKED);
  } else if (http->left > http->most_body) {
    return rill__http_fail(http, 413, "the body is too large",
                           http->body_limit);
  } else if (http->left > 0) {
    expect_body(http, RILL__HTTP_COUNTED);
  } else if (http->response && f->nlengths == 0) {
    expect_body(http, RILL__HTTP_UNTIL_CLOSE);
  }
  /* llhttp has come to its own conclusion: it must be the same. */
  if (http->complete == http->info.has_body)
    return bad(http, "an ambiguous body length");
  return true;
}

/* RFC 9112 section 9.3; RFC 9110 sections 7.8 and 10.1.1. */
static bool judge_connection(rill__http *http, const fields *f) {
  rill__http_head *info = &http->info;

  info->keep_alive = !f->close && (info->minor > 0 || f->keep_alive) &&
                     http->phase != RILL__HTTP_UNTIL_CLOSE;
  info->upgrade = info->minor > 0 && f->connection_upgrade && f->upgrade;
  info->expect = info->minor > 0 && f->expect;
  if (!http->response && info->upgrade && f->websocket && info->has_body)
    return bad(http, "a body in front of a WebSocket");
  return true;
}

bool rill__http_judge(rill__http *http) {
  rill_str line = {(const char *)http->head.data, http->first_line - 2};
  fields f = {.nhosts = 0};

  return rill__http_start_line(http, line) && gather(http, &f) &&
         (http->response || judge_target(http, &f)) && judge_body(http, &f) &&
         judge_connection(http, &f);
}

const rill__http_head *rill__http_head_of(const rill__http *http) {
  return &http->info;
}

rill_str rill__http_header(const rill__http *http, const char *name,
                           size_t nth) {
  rill_str key, value;

  for (size_t i = 0; i < http->nfields; i++) {
    rill__http_field(http, i, &key, &value);
    if (rill__http_same(key, name) && nth-- == 0)
      return value;
  }
  return (rill_str){NULL, 0};
}

bool rill__http_has_token(const rill__http *http, const char *name,
                          const char *token) {
  rill_str key, list, item;

  for (size_t i = 0; i < http->nfields; i++) {
    rill__http_field(http, i, &key, &list);
    if (!rill__http_same(key, name))
      continue;
    while (rill__http_next_item(&list, &item))
      if (rill__http_same(item, token))
        return true;
  }
  return false;
}

uint8_t *rill__http_body_data(rill__http *http) { return http->body.data; }

bool rill__http_limit_body(rill__http *http, uint32_t bytes, int limit) {
  http->most_body = bytes;
  http->body_limit = limit;
  if (http->phase != RILL__HTTP_COUNTED || http->left <= bytes)
    return true;
  return rill__http_fail(http, 413, "the body is too large", limit);
}

rill_str rill__http_body(const rill__http *http) {
  return (rill_str){(const char *)http->body.data, http->body.len};
}
