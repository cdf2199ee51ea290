#include "wire/engineio.h"

#include "base/base64.h"
#include "base/utf8.h"

/*
 * Where a payload points once its last packet is taken.  Nothing behind a
 * separator is an empty packet and not the end, so length alone cannot tell.
 */
static const char past_last[1] = "";

bool rill__eio_text(rill_str text, rill__eio_packet *packet) {
  if (text.len == 0 || text.ptr[0] < RILL__EIO_OPEN ||
      text.ptr[0] > RILL__EIO_NOOP)
    return false;
  packet->type = (rill__eio_type)text.ptr[0];
  packet->binary = false;
  packet->data = (rill_str){text.ptr + 1, text.len - 1};
  return true;
}

/* |text| is what follows the "b"; its own memory takes the bytes. */
static bool read_base64(rill_str text, rill__eio_packet *packet) {
  char *bytes = (char *)(uintptr_t)text.ptr;
  int64_t len = rill__base64_decode(bytes, text);

  if (len < 0)
    return false;
  packet->type = RILL__EIO_MESSAGE;
  packet->binary = true;
  packet->data = (rill_str){bytes, (size_t)len};
  return true;
}

static bool read_packet(rill_str text, rill__eio_packet *packet) {
  if (text.len > 0 && text.ptr[0] == 'b')
    return read_base64((rill_str){text.ptr + 1, text.len - 1}, packet);
  return rill__eio_text(text, packet) &&
         rill__utf8_valid(packet->data.ptr, packet->data.len);
}

int rill__eio_next(rill_str *payload, rill__eio_packet *packet) {
  rill_str text = *payload, rest = {past_last, 0};
  const char *end = NULL;

  if (text.ptr == past_last)
    return 0;
  if (text.len > 0)
    end = memchr(text.ptr, RILL__EIO_SEPARATOR, text.len);
  if (end != NULL) {
    text.len = (size_t)(end - text.ptr);
    rest = (rill_str){end + 1, payload->len - text.len - 1};
  }
  if (!read_packet(text, packet)) {
    *payload = (rill_str){NULL, 0}; /* which is not valid either */
    return -1;
  }
  *payload = rest;
  return 1;
}

void rill__eio_write_open(rill__bytes *out, rill_str sid, bool upgrade,
                          uint32_t ping_ms, uint32_t pong_ms,
                          uint32_t max_payload) {
  rill__bytes_str(out, "{\"sid\":\"");
  rill__bytes_add(out, sid.ptr, sid.len);
  rill__bytes_str(out, "\",\"upgrades\":[");
  rill__bytes_str(out, upgrade ? "\"websocket\"" : "");
  rill__bytes_str(out, "],\"pingInterval\":");
  rill__bytes_u64(out, ping_ms);
  rill__bytes_str(out, ",\"pingTimeout\":");
  rill__bytes_u64(out, pong_ms);
  rill__bytes_str(out, ",\"maxPayload\":");
  rill__bytes_u64(out, max_payload);
  rill__bytes_str(out, "}");
}

int rill__eio_status(rill__eio_error error) {
  return error == RILL__EIO_FORBIDDEN ? 403 : 400;
}

/* Text and body of an error are one list, so that they cannot differ. */
#define ERRORS(X)                                                              \
  X(RILL__EIO_TRANSPORT, "0", "Transport unknown")                             \
  X(RILL__EIO_SID, "1", "Session ID unknown")                                  \
  X(RILL__EIO_METHOD, "2", "Bad handshake method")                             \
  X(RILL__EIO_REQUEST, "3", "Bad request")                                     \
  X(RILL__EIO_FORBIDDEN, "4", "Forbidden")                                     \
  X(RILL__EIO_VERSION, "5", "Unsupported protocol version")

const char *rill__eio_body(rill__eio_error error) {
  switch (error) {
#define BODY(name, code, text)                                                 \
  case name:                                                                   \
    return "{\"code\":" code ",\"message\":\"" text "\"}";
    ERRORS(BODY)
#undef BODY
  }
  return "";
}

const char *rill__eio_message(rill__eio_error error) {
  switch (error) {
#define MESSAGE(name, code, text)                                              \
  case name:                                                                   \
    return text;
    ERRORS(MESSAGE)
#undef MESSAGE
  }
  return "";
}
