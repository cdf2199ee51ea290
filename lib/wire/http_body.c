/*
 * Bodies.  They are cut so that each piece given to llhttp ends where a
 * chunk, a line or the message ends: llhttp never sees a byte of what
 * follows, and needs no pausing.
 *
 * In a chunked body the chunk's bytes (|left| of them) alternate with lines:
 * the empty line that ends them, the line with the next size, and behind the
 * last chunk (|trailer|) the trailer fields, which are checked and dropped.
 * |line_begun| and |line_cr| carry a line over the end of the input.
 */
#include "wire/http_reader.h"

/*
 * The longest line with the size of a chunk, extensions and CR LF included.
 * Without it a peer could send one chunk header for ever (CVE-2024-22019).
 */
#define CHUNK_LINE_MAX 256

static rill__http_step body_step(rill__http *http) {
  if (http->phase == RILL__HTTP_FAILED)
    return RILL__HTTP_BAD;
  if (!http->complete)
    return RILL__HTTP_MORE;
  http->phase = RILL__HTTP_OVER;
  return RILL__HTTP_DONE;
}

rill__http_step rill__http_feed_counted(rill__http *http, const uint8_t *data,
                                        size_t len, size_t *used) {
  size_t n = len < http->left ? len : (size_t)http->left;

  http->left -= n;
  *used = n;
  if (n > 0)
    rill__http_parse(http, data, n);
  return body_step(http);
}

rill__http_step rill__http_feed_until_close(rill__http *http,
                                            const uint8_t *data, size_t len,
                                            size_t *used) {
  if (len > http->most_body - http->body.len)
    rill__http_fail(http, 413, "the body is too large", http->body_limit);
  else if (len > 0)
    rill__http_parse(http, data, len);
  *used = len;
  return body_step(http);
}

static bool trailer_too_large(rill__http *http) {
  return rill__http_fail(http, 431, "the trailer is too large",
                         RILL__LIMIT_header_bytes);
}

/* A line of a chunked body begins with |first|. */
static bool begin_line(rill__http *http, uint8_t first) {
  http->line_begun = true;
  http->line_left = CHUNK_LINE_MAX;
  if (!http->trailer || first == '\r')
    return true; /* the empty line behind the trailer is not counted */
  http->line_left = http->trailer_left;
  if (http->line_left == 0)
    return trailer_too_large(http);
  if (first == ' ' || first == '\t' || first == ':')
    return rill__http_fail(http, 400, "a malformed trailer", -1);
  if (http->nlines++ == http->env->limits->header_count)
    return rill__http_fail(http, 431, "too many trailer fields",
                           RILL__LIMIT_header_count);
  return true;
}

/*
 * Takes what it may of a line of a chunked body: |*n| bytes.  They go to
 * llhttp before they are judged here, so that the outcome is the same however
 * the input is cut.
 */
static bool feed_line(rill__http *http, const uint8_t *data, size_t len,
                      size_t *n) {
  const uint8_t *lf;
  bool trailer, cr = http->line_cr;

  if (!http->line_begun && !begin_line(http, data[0]))
    return false;
  trailer = http->trailer;
  *n = len < http->line_left ? len : http->line_left;
  lf = memchr(data, '\n', *n);
  if (lf != NULL)
    *n = (size_t)(lf - data) + 1;
  http->line_left -= (uint32_t)*n;
  http->line_cr = data[*n - 1] == '\r';
  if (!rill__http_parse(http, data, *n))
    return false;
  if (lf != NULL && (lf > data ? lf[-1] != '\r' : !cr))
    return rill__http_fail(http, 400, "LF without CR", -1);
  if (trailer && lf != NULL)
    http->trailer_left = http->line_left;
  http->line_begun = lf == NULL;
  if (lf != NULL || http->line_left > 0)
    return true;
  return trailer ? trailer_too_large(http)
                 : rill__http_fail(http, 400, "the line of a chunk is too long",
                                   -1);
}

rill__http_step rill__http_feed_chunked(rill__http *http, const uint8_t *data,
                                        size_t len, size_t *used) {
  while (*used < len && !http->complete) {
    const uint8_t *from = data + *used;
    size_t n = len - *used;

    if (http->left > 0) {
      n = n < http->left ? n : (size_t)http->left;
      http->left -= n;
      if (!rill__http_parse(http, from, n))
        break;
    } else if (!feed_line(http, from, n, &n)) {
      break;
    }
    *used += n;
  }
  return body_step(http);
}
