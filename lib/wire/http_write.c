/* The one writer of heads, so that no name or value goes out unchecked. */
#include "base/utf8.h"
#include "wire/http.h"

/* The registered ones that this library or a host is likely to send. */
#define REASONS(X)                                                             \
  X(100, "Continue")                                                           \
  X(101, "Switching Protocols")                                                \
  X(200, "OK")                                                                 \
  X(201, "Created")                                                            \
  X(202, "Accepted")                                                           \
  X(204, "No Content")                                                         \
  X(206, "Partial Content")                                                    \
  X(301, "Moved Permanently")                                                  \
  X(302, "Found")                                                              \
  X(303, "See Other")                                                          \
  X(304, "Not Modified")                                                       \
  X(307, "Temporary Redirect")                                                 \
  X(308, "Permanent Redirect")                                                 \
  X(400, "Bad Request")                                                        \
  X(401, "Unauthorized")                                                       \
  X(403, "Forbidden")                                                          \
  X(404, "Not Found")                                                          \
  X(405, "Method Not Allowed")                                                 \
  X(406, "Not Acceptable")                                                     \
  X(408, "Request Timeout")                                                    \
  X(409, "Conflict")                                                           \
  X(410, "Gone")                                                               \
  X(411, "Length Required")                                                    \
  X(412, "Precondition Failed")                                                \
  X(413, "Content Too Large")                                                  \
  X(414, "URI Too Long")                                                       \
  X(415, "Unsupported Media Type")                                             \
  X(416, "Range Not Satisfiable")                                              \
  X(417, "Expectation Failed")                                                 \
  X(421, "Misdirected Request")                                                \
  X(422, "Unprocessable Content")                                              \
  X(426, "Upgrade Required")                                                   \
  X(428, "Precondition Required")                                              \
  X(429, "Too Many Requests")                                                  \
  X(431, "Request Header Fields Too Large")                                    \
  X(500, "Internal Server Error")                                              \
  X(501, "Not Implemented")                                                    \
  X(502, "Bad Gateway")                                                        \
  X(503, "Service Unavailable")                                                \
  X(504, "Gateway Timeout")                                                    \
  X(505, "HTTP Version Not Supported")

const char *rill__http_reason(int status) {
  switch (status) {
#define CASE(code, text)                                                       \
  case code:                                                                   \
    return text;
    REASONS(CASE)
#undef CASE
  default:
    return "Unknown";
  }
}

static void add_str(rill__bytes *out, rill_str s) {
  rill__bytes_add(out, s.ptr, s.len);
}

void rill__http_begin_response(rill__bytes *out, int status) {
  if (status < 100 || status > 999) {
    out->failed = true;
    return;
  }
  rill__bytes_str(out, "HTTP/1.1 ");
  rill__bytes_u64(out, (uint64_t)status);
  rill__bytes_str(out, " ");
  rill__bytes_str(out, rill__http_reason(status));
  rill__bytes_str(out, "\r\n");
}

void rill__http_begin_request(rill__bytes *out, rill_str method,
                              rill_str target) {
  if (!rill__http_is_token(method) || !rill__http_is_target(target)) {
    out->failed = true;
    return;
  }
  add_str(out, method);
  rill__bytes_str(out, target.len == 0 || target.ptr[0] == '?' ? " /" : " ");
  add_str(out, target);
  rill__bytes_str(out, " HTTP/1.1\r\n");
}

void rill__http_add_header(rill__bytes *out, rill_str name, rill_str value) {
  if (!rill__http_is_token(name) || !rill__http_is_value(value)) {
    out->failed = true;
    return;
  }
  add_str(out, name);
  rill__bytes_str(out, ": ");
  add_str(out, value);
  rill__bytes_str(out, "\r\n");
}

void rill__http_end(rill__bytes *out) {
  rill__bytes_str(out, "\r\n");
}

/*
 * One byte of a JSON string, to |out| of at least 6 bytes; its length.  Of
 * text that is not |utf8|, bytes above 7F become "?".
 */
static size_t json_byte(uint8_t c, bool utf8, uint8_t *out) {
  static const char digits[] = "0123456789abcdef";

  if (c < 0x20) {
    memcpy(out, "\\u00", 4);
    out[4] = (uint8_t)digits[c >> 4];
    out[5] = (uint8_t)digits[c & 15];
    return 6;
  }
  if (c == '"' || c == '\\') {
    out[0] = '\\';
    out[1] = c;
    return 2;
  }
  out[0] = c > 0x7f && !utf8 ? '?' : c;
  return 1;
}

static const char json_start[] = "{\"error\":{\"status\":";
static const char json_middle[] = ",\"reason\":\"";
static const char json_end[] = "\"}}";

static size_t json_len(rill_str reason, bool utf8) {
  uint8_t scratch[6];
  /* The status has three digits. */
  size_t n = sizeof json_start + 3 + sizeof json_middle + sizeof json_end - 3;

  for (size_t i = 0; i < reason.len; i++)
    n += json_byte((uint8_t)reason.ptr[i], utf8, scratch);
  return n;
}

static void write_json(rill__bytes *out, int status, rill_str reason,
                       bool utf8) {
  uint8_t c[6];

  rill__bytes_str(out, json_start);
  rill__bytes_u64(out, (uint64_t)status);
  rill__bytes_str(out, json_middle);
  for (size_t i = 0; i < reason.len; i++)
    rill__bytes_add(out, c, json_byte((uint8_t)reason.ptr[i], utf8, c));
  rill__bytes_str(out, json_end);
}

void rill__http_end_error(rill__bytes *out, int status, rill_str reason,
                          bool close, bool head_only) {
  bool utf8 = rill__utf8_valid(reason.ptr, reason.len);

  rill__http_add_header(out, rill_s("Content-Type"),
                        rill_s("application/json"));
  rill__bytes_str(out, "Content-Length: ");
  rill__bytes_u64(out, json_len(reason, utf8));
  rill__bytes_str(out, "\r\n");
  if (close)
    rill__http_add_header(out, rill_s("Connection"), rill_s("close"));
  rill__http_end(out);
  if (!head_only)
    write_json(out, status, reason, utf8);
}

void rill__http_error_answer(rill__bytes *out, int status, rill_str reason,
                             bool close, bool head_only) {
  rill__http_begin_response(out, status);
  rill__http_end_error(out, status, reason, close, head_only);
}
