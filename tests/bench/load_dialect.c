/*
 * load_dialect.c - how the servers are spoken to.
 *
 * "ws" is WebSocket without anything above it.  "socketio" is just enough of
 * Engine.IO v4 and Socket.IO v5 over WebSocket: the OPEN packet is answered
 * with a CONNECT of "/", messages are events "pub" with one string.  "sse" is
 * a stream of server-sent events of the room "bench"; "publisher" is the
 * WebSocket whose messages come out of it, as events "pub".
 */
#include <string.h>

#include "load.h"

static void mask(uint8_t *data, size_t len, const uint8_t key[4]) {
  size_t i;

  for (i = 0; i < len; i++)
    data[i] ^= key[i & 3];
}

/* |dialect|'s way of writing |payload|, without a frame. */
static size_t write_message(const struct load_dialect *dialect,
                            const uint8_t *payload, size_t len, uint8_t *out) {
  size_t before = strlen(dialect->before), after = strlen(dialect->after);

  memcpy(out, dialect->before, before);
  memcpy(out + before, payload, len);
  memcpy(out + before + len, dialect->after, after);
  return before + len + after;
}

static uint8_t opcode_of(const struct load_dialect *dialect, bool text) {
  return text || dialect->text ? 1 : 2;
}

static size_t message_size(const struct load_dialect *dialect, size_t len) {
  return strlen(dialect->before) + len + strlen(dialect->after);
}

size_t load_server_frame(const struct load_dialect *dialect, bool text,
                         const uint8_t *payload, size_t len, uint8_t *out) {
  size_t head = 0;

  if (dialect->upgrades)
    head = load_head(out, opcode_of(dialect, text), message_size(dialect, len),
                     NULL);
  return head + write_message(dialect, payload, len, out + head);
}

size_t load_client_frame(const struct load_dialect *dialect, bool text,
                         const uint8_t *payload, size_t len,
                         const uint8_t key[4], uint8_t *out) {
  size_t size = message_size(dialect, len);
  size_t head = load_head(out, opcode_of(dialect, text), size, key);

  write_message(dialect, payload, len, out + head);
  mask(out + head, size, key);
  return head + size;
}

/* A packet of this side's own: a short text frame. */
static void send_packet(struct load *load, struct load_conn *conn,
                        const char *packet) {
  static const uint8_t key[4] = {0x51, 0x2c, 0x07, 0xb8};
  uint8_t out[LOAD_MAX_HEAD + 16];
  size_t len = strlen(packet), head = load_head(out, 1, len, key);

  memcpy(out + head, packet, len);
  mask(out + head, len, key);
  load_write(load, conn, out, head + len);
}

void load_beat_answer(struct load *load, struct load_conn *conn) {
  if (conn->dialect->beat_answer)
    send_packet(load, conn, conn->dialect->beat_answer);
}

/* The first frame is 0{...}, which 40 answers; then comes 40{...}. */
static size_t socketio_greet(struct load *load, struct load_conn *conn,
                             const uint8_t *data, size_t len, bool *last) {
  size_t head = 2, size;

  if (len < 4)
    return 0;
  size = data[1];
  if (size == 126) {
    head = 4;
    size = (size_t)data[2] << 8 | data[3];
  }
  if (data[0] != 0x81 || data[1] > 126 || size < 2) {
    load_fail(load, "greeting: not a frame of a packet");
    return len;
  }
  if (len < head + size)
    return 0;
  if (memcmp(data + head, "0{", 2) == 0)
    send_packet(load, conn, "40");
  else if (memcmp(data + head, "40", 2) == 0)
    *last = true;
  else
    load_fail(load, "greeting: %.40s", (const char *)data + head);
  return head + size;
}

/* ping, a packet of one character. */
static size_t socketio_beat(const uint8_t *data) {
  return data[0] == 0x81 && data[1] == 1 ? 3 : 0;
}

/* One event, whatever it says. */
static size_t sse_greet(struct load *load, struct load_conn *conn,
                        const uint8_t *data, size_t len, bool *last) {
  const char *end = strstr((const char *)data, "\n\n");

  (void)load;
  (void)conn;
  (void)len; /* |data| is terminated */
  if (!end)
    return 0;
  *last = true;
  return (size_t)(end + 2 - (const char *)data);
}

/* A comment without text: a colon and an empty line. */
static size_t sse_beat(const uint8_t *data) {
  return data[0] == ':' ? 3 : 0;
}

const struct load_dialect *load_dialect_find(const char *name) {
  static const struct load_dialect dialects[] = {
      {.name = "ws", .target = "/", .upgrades = true, .before = "",
       .after = ""},
      {.name = "socketio",
       .target = "/socket.io/?EIO=4&transport=websocket",
       .upgrades = true,
       .text = true,
       .before = "42[\"pub\",\"",
       .after = "\"]",
       .greet = socketio_greet,
       .beat = socketio_beat,
       .beat_answer = "3"},
      {.name = "sse",
       .target = "/events?room=bench",
       .before = "event: pub\ndata: \"",
       .after = "\"\n\n",
       .greet = sse_greet,
       .beat = sse_beat},
      {.name = "publisher", .target = "/pub", .upgrades = true, .text = true,
       .before = "", .after = ""}};
  size_t i;

  for (i = 0; i < sizeof dialects / sizeof dialects[0]; i++)
    if (strcmp(dialects[i].name, name) == 0)
      return &dialects[i];
  return NULL;
}
