#include "wire/socketio.h"

static void put_char(rill__bytes *out, char c) {
  rill__bytes_add(out, &c, 1);
}

/* EVENT and ACK have a list as their data, be it empty. */
static bool has_list(const rill__sio_out *packet) {
  return packet->type == RILL__SIO_EVENT || packet->type == RILL__SIO_ACK;
}

static uint32_t count_bytes(const rill__node *args) {
  uint32_t n = 0;

  for (uint32_t i = 1; args != NULL && i < args->u.nodes; i++)
    n += args[i].type == RILL_BYTES;
  return n;
}

static void separate(rill__bytes *out, bool *first) {
  if (!*first)
    put_char(out, ',');
  *first = false;
}

static bool is_mark(const rill__node *key, const rill__node *value) {
  return value->type == RILL_BOOL && value->u.b &&
         rill_str_eq((rill_str){key->u.ptr, key->len}, rill_s("_placeholder"));
}

/*
 * Has data an object that a client would take for a placeholder?  With
 * |copy| its mark is made false there.
 */
static bool hide_marks(const rill__node *args, rill__node *copy) {
  bool found = false;

  for (uint32_t i = 0; i < args->u.nodes; i++) {
    const rill__node *key = &args[i + 1];
    uint32_t left = args[i].type == RILL_OBJECT ? args[i].len : 0;

    for (; left > 0; left--, key = rill__node_next(key + 1)) {
      if (!is_mark(key, key + 1))
        continue;
      found = true;
      if (copy != NULL)
        copy[key + 1 - args].u.b = false;
    }
  }
  return found;
}

static void write_list(rill__bytes *out, const rill__sio_out *packet,
                       const rill__node *args, rill__attachments *attachments) {
  const rill__node *n = args != NULL ? args + 1 : NULL;
  uint32_t left = args != NULL ? args->len : 0;
  bool first = true;

  put_char(out, '[');
  if (packet->type == RILL__SIO_EVENT) {
    separate(out, &first);
    rill__json_write_str(out, packet->name);
  }
  for (; left > 0; left--, n = rill__node_next(n)) {
    separate(out, &first);
    rill__json_write(out, n, attachments);
  }
  if (packet->tail.len > 0) {
    separate(out, &first);
    rill__json_write_str(out, packet->tail);
  }
  put_char(out, ']');
}

/*
 * Beside attachments the protocol has no way to say {"_placeholder":true}:
 * every client of a room would end its connection over one such object that
 * one of them sent on purpose.
 */
static void write_unmarked(rill__bytes *out, const rill__sio_out *packet,
                           rill__attachments *attachments) {
  const rill__node *args = packet->args;
  size_t size = args->u.nodes * sizeof *args;
  rill__node *copy = rill__malloc(out->alloc, size);

  if (copy == NULL) {
    out->failed = true;
    return;
  }
  memcpy(copy, args, size);
  hide_marks(args, copy);
  write_list(out, packet, copy, attachments);
  rill__free(out->alloc, copy, size);
}

void rill__sio_write(rill__bytes *out, const rill__sio_out *packet,
                     rill__attachments *attachments) {
  uint32_t bytes = has_list(packet) ? count_bytes(packet->args) : 0;

  /* BINARY_EVENT and BINARY_ACK are three above EVENT and ACK */
  put_char(out, (char)('0' + (int)packet->type + (bytes > 0 ? 3 : 0)));
  if (bytes > 0) {
    rill__bytes_u64(out, bytes);
    put_char(out, '-');
  }
  if (!rill_str_eq(packet->space, rill_s("/"))) {
    rill__bytes_add(out, packet->space.ptr, packet->space.len);
    put_char(out, ',');
  }
  if (packet->has_id)
    rill__bytes_u64(out, packet->id);
  if (bytes > 0 && hide_marks(packet->args, NULL))
    write_unmarked(out, packet, attachments);
  else if (has_list(packet))
    write_list(out, packet, packet->args, attachments);
  else if (packet->args != NULL)
    rill__json_write(out, packet->args, NULL);
}

static void pack_list(rill__bytes *out, const rill__sio_out *packet) {
  const rill__node *n = packet->args != NULL ? packet->args + 1 : NULL;
  uint32_t left = packet->args != NULL ? packet->args->len : 0;
  bool named = packet->type == RILL__SIO_EVENT;
  bool tailed = packet->tail.len > 0;

  rill__msgpack_write_array(out, left + named + tailed);
  if (named)
    rill__msgpack_write_str(out, packet->name);
  for (; left > 0; left--, n = rill__node_next(n))
    rill__msgpack_write(out, n);
  if (tailed)
    rill__msgpack_write_str(out, packet->tail);
}

static void pack_id(rill__bytes *out, const rill__sio_out *packet) {
  rill__msgpack_write_str(out, rill_s("id"));
  rill__msgpack_write_int(out, (int64_t)packet->id);
}

/* In the reference's order of members; the id of an ack comes first. */
void rill__sio_write_msgpack(rill__bytes *out, const rill__sio_out *packet) {
  bool has_data = has_list(packet) || packet->args != NULL;
  bool first = packet->has_id && packet->type == RILL__SIO_ACK;

  rill__msgpack_write_map(out, 2u + has_data + packet->has_id);
  if (first)
    pack_id(out, packet);
  rill__msgpack_write_str(out, rill_s("type"));
  rill__msgpack_write_int(out, packet->type);
  if (has_data) {
    rill__msgpack_write_str(out, rill_s("data"));
    if (has_list(packet))
      pack_list(out, packet);
    else
      rill__msgpack_write(out, packet->args);
  }
  rill__msgpack_write_str(out, rill_s("nsp"));
  rill__msgpack_write_str(out, packet->space);
  if (packet->has_id && !first)
    pack_id(out, packet);
}
