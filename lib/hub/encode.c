#include "hub/encode.h"

#include "base/base64.h"
#include "hub/outq.h"
#include "wire/engineio.h"
#include "wire/socketio.h"
#include "wire/ws.h"

/* More bytes values in one event than any client would take. */
#define MOST_ATTACHMENTS 255

#define TEXT (RILL__WS_FIN | RILL__WS_TEXT)
#define BINARY (RILL__WS_FIN | RILL__WS_BINARY)

bool rill__item_of(rill__item *item, const rill_msg *msg) {
  *item = (rill__item){.msg = msg,
                       .overflow = msg->overflow,
                       .key = msg->key,
                       .uncompressed = msg->uncompressed};
  return (msg->kind == RILL_TEXT || msg->kind == RILL_BINARY) &&
         msg->len <= RILL__CHUNK_MAX / 2;
}

uint32_t rill__kind_of(unsigned variant) {
  if (variant == RILL__AS_SSE)
    return RILL__OUT_EVENTS;
  if (variant >= RILL__AS_POLLED && variant < RILL__AS_SSE)
    return RILL__OUT_PACKETS;
  return RILL__OUT_MESSAGES;
}

static void put(rill__bytes *out, rill_str s) {
  rill__bytes_add(out, s.ptr, s.len);
}

static void put_char(rill__bytes *out, char c) {
  rill__bytes_add(out, &c, 1);
}

static void put_base64(rill__bytes *out, rill_str data) {
  size_t len = rill__base64_len(data.len);

  if (!rill__bytes_reserve(out, len))
    return;
  rill__base64_encode((char *)out->data + out->len, data.ptr, data.len);
  out->len += len;
}

/* A message as the event "message" with one argument: |nodes| has two. */
static void as_event(const rill__item *item, rill__item *event,
                     rill__node nodes[2]) {
  const rill_msg *msg = item->msg;

  *event = *item;
  if (msg == NULL)
    return;
  nodes[0] = (rill__node){.type = RILL_ARRAY, .len = 1, .u.nodes = 2};
  nodes[1] =
      (rill__node){.type = msg->kind == RILL_TEXT ? RILL_STRING : RILL_BYTES,
                   .len = (uint32_t)msg->len,
                   .u.ptr = msg->data};
  event->msg = NULL;
  event->name = rill_s("message");
  event->args = nodes;
}

uint32_t rill__bytes_in(const rill__node *n) {
  uint32_t count = 0;

  for (uint32_t i = 1; n != NULL && i < n->u.nodes; i++)
    count += n[i].type == RILL_BYTES;
  return count;
}

bool rill__item_has_bytes(const rill__item *item) {
  return item->msg != NULL ? item->msg->kind == RILL_BINARY
                           : rill__bytes_in(item->args) > 0;
}

/* ["name",arguments...] */
static void write_array(rill__bytes *out, const rill__item *e) {
  const rill__node *n = e->args;

  put_char(out, '[');
  rill__json_write_str(out, e->name);
  for (uint32_t i = 0; n != NULL && i < e->args->len; i++) {
    n = i == 0 ? e->args + 1 : rill__node_next(n);
    put_char(out, ',');
    rill__json_write(out, n, NULL);
  }
  put_char(out, ']');
}

static void write_envelope(rill__bytes *out, const rill__item *e) {
  rill__bytes_str(out, "{\"event\":");
  rill__json_write_str(out, e->name);
  rill__bytes_str(out, ",\"args\":");
  if (e->args != NULL)
    rill__json_write(out, e->args, NULL);
  else
    rill__bytes_str(out, "[]");
  if (e->asks) {
    rill__bytes_str(out, ",\"id\":");
    rill__bytes_u64(out, e->ask);
  }
  if (e->room.len > 0) {
    rill__bytes_str(out, ",\"room\":");
    rill__json_write_str(out, e->room);
  }
  if (e->number > 0) {
    rill__bytes_str(out, ",\"at\":");
    rill__bytes_u64(out, e->number);
  }
  if (e->offset.len > 0) {
    rill__bytes_str(out, ",\"offset\":");
    rill__json_write_str(out, e->offset);
  }
  put_char(out, '}');
}

static void write_packed_envelope(rill__bytes *out, const rill__item *e) {
  uint32_t members =
      2u + e->asks + (e->room.len > 0) + (e->number > 0) + (e->offset.len > 0);

  rill__msgpack_write_map(out, members);
  rill__msgpack_write_str(out, rill_s("event"));
  rill__msgpack_write_str(out, e->name);
  rill__msgpack_write_str(out, rill_s("args"));
  if (e->args != NULL)
    rill__msgpack_write(out, e->args);
  else
    rill__msgpack_write_array(out, 0);
  if (e->asks) {
    rill__msgpack_write_str(out, rill_s("id"));
    rill__msgpack_write_int(out, (int64_t)e->ask);
  }
  if (e->room.len > 0) {
    rill__msgpack_write_str(out, rill_s("room"));
    rill__msgpack_write_str(out, e->room);
  }
  if (e->number > 0) {
    rill__msgpack_write_str(out, rill_s("at"));
    rill__msgpack_write_int(out, (int64_t)e->number);
  }
  if (e->offset.len > 0) {
    rill__msgpack_write_str(out, rill_s("offset"));
    rill__msgpack_write_str(out, e->offset);
  }
}

/* A line of "data:" for each line of |text|, whatever ends it. */
static void write_data(rill__bytes *out, rill_str text) {
  size_t from = 0;

  rill__bytes_str(out, "data: ");
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] != '\n' && text.ptr[i] != '\r')
      continue;
    put(out, (rill_str){text.ptr + from, i - from});
    rill__bytes_str(out, "\ndata: ");
    if (text.ptr[i] == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n')
      i++;
    from = i + 1;
  }
  if (text.len > from)
    put(out, (rill_str){text.ptr + from, text.len - from});
  put_char(out, '\n');
}

/*
 * Where the client is then; and the event's number in its room, which
 * outlives the epoch where the room does.
 */
enum { PLACE_MAX = RILL__OFFSET_MAX + 21 };
static rill_str place_of(const rill__item *e, char text[PLACE_MAX]) {
  char digits[20], *end = digits + sizeof digits;
  size_t len = e->offset.len;

  memcpy(text, e->offset.ptr, len);
  if (e->number > 0) {
    const char *number = rill__digits(end, e->number);
    text[len++] = '.';
    memcpy(text + len, number, (size_t)(end - number));
    len += (size_t)(end - number);
  }
  return (rill_str){text, len};
}

static void write_sse(rill__bytes *out, const rill__item *e,
                      const rill__item *event) {
  if (e->msg == NULL) {
    /* names have no control bytes: rill_emit has checked */
    rill__bytes_str(out, "event: ");
    put(out, e->name);
    put_char(out, '\n');
  }
  /* what would come again; a client keeps the id of the last that has one */
  if (e->offset.len > 0 && e->kept) {
    char place[PLACE_MAX];
    rill__bytes_str(out, "id: ");
    put(out, place_of(e, place));
    put_char(out, '\n');
  }
  if (e->msg != NULL && e->msg->kind == RILL_TEXT) {
    write_data(out, (rill_str){e->msg->data, e->msg->len});
  } else {
    const rill__node *args = event->args;
    rill__bytes_str(out, "data: ");
    if (args == NULL || args->len == 0)
      rill__bytes_str(out, "null");
    else /* JSON has no line breaks */
      rill__json_write(out, args->len == 1 ? args + 1 : args, NULL);
    put_char(out, '\n');
  }
  put_char(out, '\n');
}

static rill__sio_out packet_of(const rill__item *e, char place[PLACE_MAX]) {
  bool told = e->recovery && !e->asks && e->offset.len > 0;

  return (rill__sio_out){.type = e->answers ? RILL__SIO_ACK : RILL__SIO_EVENT,
                         .space = e->space,
                         .has_id = e->asks || e->answers,
                         .id = e->ask,
                         .name = e->name,
                         .args = e->args,
                         .tail = told ? place_of(e, place) : (rill_str){0}};
}

/* Frames one behind the other, where there is more than one. */
static void put_frame(rill__bytes *out, uint8_t first, rill_str data) {
  uint8_t header[RILL__WS_HEADER_MAX];

  rill__bytes_add(out, header, rill__ws_header(header, first, data.len, NULL));
  put(out, data);
}

/* The text is at |out|->from; puts a header in front of it. */
static void frame_in_place(rill__bytes *out, size_t from) {
  size_t len = out->len - from, n;
  uint8_t header[RILL__WS_HEADER_MAX];

  n = rill__ws_header(header, TEXT, len, NULL);
  if (!rill__bytes_reserve(out, n))
    return;
  memmove(out->data + from + n, out->data + from, len);
  memcpy(out->data + from, header, n);
  out->len += n;
}

static bool write_socketio(rill__bytes *out, const rill__sio_out *packet,
                           bool polled, rill__encoding *enc) {
  rill_str v[MOST_ATTACHMENTS];
  rill__attachments att = {v, 0, MOST_ATTACHMENTS};

  rill__bytes_str(out, polled ? "\x1e"
                                "4"
                              : "4");
  rill__sio_write(out, packet, &att);
  if (att.len > MOST_ATTACHMENTS)
    return false;
  enc->first = polled ? 0 : TEXT;
  if (att.len == 0)
    return true;
  enc->whole = true;
  if (!polled) {
    enc->first = 0;
    frame_in_place(out, enc->from);
  }
  for (uint32_t i = 0; i < att.len; i++) {
    if (polled) {
      rill__bytes_str(out, "\x1e"
                           "b");
      put_base64(out, v[i]);
    } else {
      put_frame(out, BINARY, v[i]);
    }
  }
  return true;
}

static void write_socketio_msgpack(rill__bytes *out,
                                   const rill__sio_out *packet, bool polled) {
  rill__bytes copy;

  if (!polled) {
    rill__sio_write_msgpack(out, packet);
    return;
  }
  rill__bytes_init(&copy, out->alloc);
  rill__sio_write_msgpack(&copy, packet);
  rill__bytes_str(out, "\x1e"
                       "b");
  if (copy.failed)
    out->failed = true;
  else
    put_base64(out, (rill_str){(const char *)copy.data, copy.len});
  rill__bytes_finish(&copy);
}

static void write_engineio(rill__bytes *out, const rill__item *item,
                           bool polled, rill__encoding *enc) {
  const rill_msg *msg = item->msg;
  bool binary = msg != NULL && msg->kind == RILL_BINARY;

  enc->first = polled ? 0 : binary ? BINARY : TEXT;
  if (polled)
    put_char(out, RILL__EIO_SEPARATOR);
  if (binary && !polled) {
    enc->data = msg->len > 0 ? msg->data : "";
    enc->len = msg->len;
  } else if (binary) {
    put_char(out, 'b');
    put_base64(out, (rill_str){msg->data, msg->len});
  } else {
    put_char(out, RILL__EIO_MESSAGE);
    if (msg != NULL)
      rill__bytes_add(out, msg->data, msg->len);
    else
      write_array(out, item);
  }
}

/* Text with a separator in it would be several packets of long-polling. */
static bool splits(const rill_msg *msg) {
  return msg != NULL && msg->kind == RILL_TEXT && msg->len > 0 &&
         memchr(msg->data, RILL__EIO_SEPARATOR, msg->len) != NULL;
}

bool rill__encode_packet(const rill__sio_out *packet, unsigned format,
                         rill__bytes *out, rill__encoding *enc) {
  bool polled = format >= RILL__AS_POLLED;

  *enc = (rill__encoding){.from = out->len};
  switch (format) {
  case RILL__AS_SOCKETIO:
  case RILL__AS_POLLED_SOCKETIO:
    if (!write_socketio(out, packet, polled, enc))
      return false;
    break;
  case RILL__AS_SOCKETIO_MSGPACK:
  case RILL__AS_POLLED_SOCKETIO_MSGPACK:
    enc->first = polled ? 0 : BINARY;
    write_socketio_msgpack(out, packet, polled);
    break;
  default:
    return false;
  }
  enc->len = out->len - enc->from;
  return !out->failed;
}

bool rill__encode(const rill__item *item, unsigned format, rill__bytes *out,
                  rill__encoding *enc) {
  rill__item e;
  rill__node nodes[2];
  rill__sio_out packet;
  char place[PLACE_MAX];

  *enc = (rill__encoding){.from = out->len, .first = TEXT};
  as_event(item, &e, nodes);
  switch (format) {
  case RILL__AS_RAW:
  case RILL__AS_OWN:
    if (item->msg != NULL) {
      enc->data = item->msg->len > 0 ? item->msg->data : "";
      enc->len = item->msg->len;
      enc->first = item->msg->kind == RILL_TEXT ? TEXT : BINARY;
      return true;
    }
    write_array(out, item);
    break;
  case RILL__AS_JSON:
    write_envelope(out, &e);
    break;
  case RILL__AS_MSGPACK:
    enc->first = BINARY;
    write_packed_envelope(out, &e);
    break;
  case RILL__AS_ENGINEIO:
  case RILL__AS_POLLED_ENGINEIO:
    if (splits(item->msg))
      return false;
    write_engineio(out, item, format == RILL__AS_POLLED_ENGINEIO, enc);
    break;
  case RILL__AS_SOCKETIO:
  case RILL__AS_POLLED_SOCKETIO:
  case RILL__AS_SOCKETIO_MSGPACK:
  case RILL__AS_POLLED_SOCKETIO_MSGPACK:
    packet = packet_of(&e, place);
    return rill__encode_packet(&packet, format, out, enc);
  case RILL__AS_SSE:
    enc->first = 0;
    write_sse(out, item, &e);
    break;
  default:
    return false;
  }
  if (enc->data == NULL)
    enc->len = out->len - enc->from;
  return !out->failed;
}
