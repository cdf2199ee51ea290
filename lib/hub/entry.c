/*
 * entry.c - one event that is kept: how it lies in memory, and the offsets
 * that clients see.
 */
#include "hub/history.h"

size_t rill__offset_write(const rill_hub *hub, uint64_t offset, char *text) {
  char digits[20], *end = digits + sizeof digits;
  const char *from = rill__digits(end, offset);
  size_t len = (size_t)(end - from);

  memcpy(text, hub->epoch, 8);
  text[8] = '-';
  memcpy(text + 9, from, len);
  return 9 + len;
}

/* 1 to 19 digits. */
static bool read_digits(rill_str text, uint64_t *n) {
  *n = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9')
      return false;
    *n = *n * 10 + (uint64_t)(text.ptr[i] - '0');
  }
  return text.len > 0 && text.len <= 19;
}

/* Cuts ".NUMBER" off |*text|; an empty string: there is none. */
static rill_str cut_number(rill_str *text) {
  const char *dot = text->len > 0 ? memchr(text->ptr, '.', text->len) : NULL;
  rill_str number = {0};

  if (dot == NULL)
    return number;
  number.len = text->len - (size_t)(dot + 1 - text->ptr);
  number.ptr = dot + 1;
  text->len = (size_t)(dot - text->ptr);
  return number;
}

bool rill__offset_read(const rill_hub *hub, rill_str text, uint64_t *offset) {
  uint64_t n;

  cut_number(&text);
  if (text.len < 10 || text.ptr[8] != '-' ||
      memcmp(text.ptr, hub->epoch, 8) != 0 ||
      !read_digits((rill_str){text.ptr + 9, text.len - 9}, &n))
    return false;
  if (n > hub->offset)
    return false;
  *offset = n;
  return true;
}

bool rill__offset_number(rill_str text, uint64_t *number) {
  return read_digits(cut_number(&text), number);
}

void rill__item_write(rill__bytes *out, const rill__item *item) {
  const rill__node *n = item->args;
  uint32_t nargs = n != NULL ? n->len : 0;

  if (item->msg != NULL) {
    rill__node data = {.type = item->msg->kind == RILL_TEXT ? RILL_STRING
                                                            : RILL_BYTES,
                       .len = (uint32_t)item->msg->len,
                       .u.ptr = item->msg->data};
    rill__msgpack_write_array(out, 2);
    rill__msgpack_write_str(out, rill_s("message"));
    rill__msgpack_write(out, &data);
    return;
  }
  rill__msgpack_write_array(out, nargs + 1);
  rill__msgpack_write_str(out, item->name);
  for (uint32_t i = 0; i < nargs; i++) {
    n = i == 0 ? item->args + 1 : rill__node_next(n);
    rill__msgpack_write(out, n);
  }
}

rill__entry *rill__entry_new(rill_hub *hub, const rill_to *to,
                             const rill__item *item) {
  rill__bytes out;
  rill__entry *e = NULL;
  size_t ids = to->nexcept + to->nexcept_rooms, size;
  char *bytes;

  if (ids > 65536)
    return NULL;
  rill__bytes_init(&out, &hub->alloc);
  rill__item_write(&out, item);
  size = sizeof *e + ids * sizeof e->data[0] + item->id.len + out.len;
  if (!out.failed && size < UINT32_MAX)
    e = rill__malloc(&hub->alloc, size);
  if (e != NULL) {
    *e = (rill__entry){.refs = 1,
                       .size = (uint32_t)size,
                       .len = (uint32_t)out.len,
                       .nexcept = (uint32_t)to->nexcept,
                       .nrooms = (uint32_t)to->nexcept_rooms,
                       .id_len = (uint32_t)item->id.len,
                       .number = item->number,
                       .time_ms = item->time_ms,
                       .at = hub->now};
    for (size_t i = 0; i < to->nexcept; i++)
      e->data[i] = rill_peer_id(to->except[i]);
    for (size_t i = 0; i < to->nexcept_rooms; i++)
      e->data[to->nexcept + i] = rill__hub_hash(hub, to->except_rooms[i]);
    bytes = (char *)(e->data + ids);
    if (item->id.len > 0)
      memcpy(bytes, item->id.ptr, item->id.len);
    memcpy(bytes + item->id.len, out.data, out.len);
  }
  rill__bytes_finish(&out);
  return e;
}

void rill__entry_unref(rill_hub *hub, rill__entry *e) {
  if (--e->refs > 0)
    return;
  rill__free(&hub->alloc, e, e->size);
}

bool rill__item_read(rill__tape *tape, rill_str data, rill__item *item) {
  static const rill__value_limits none = {RILL__VALUE_DEPTH, UINT32_MAX,
                                          UINT32_MAX};
  uint32_t from = tape->len;
  rill__node *n;

  if (rill__msgpack_read(tape, data, &none) != 0)
    return false;
  n = tape->v + from;
  if (n->type != RILL_ARRAY || n->len == 0 || n[1].type != RILL_STRING)
    return false; /* not of this library's writing */
  /* the name becomes the head of the arguments' own array */
  *item = (rill__item){.name = {n[1].u.ptr, n[1].len}};
  n[1] = (rill__node){
      .type = RILL_ARRAY, .len = n->len - 1, .u.nodes = n->u.nodes - 1};
  item->args = n + 1;
  return true;
}

uint64_t rill__event_most(rill__tape *tape, rill_str data) {
  enum { ATTACHED = 64 }; /* a placeholder, a packet's head, a frame's */
  rill__item item;
  uint64_t json, most;

  rill__tape_clear(tape);
  if (!rill__item_read(tape, data, &item))
    return UINT64_MAX / 2;
  json = rill_value_json((rill_value){item.args}, NULL, 0) +
         6 * item.name.len + /* escaped */
         (uint64_t)ATTACHED * rill__bytes_in(item.args);
  most = json > data.len ? json : data.len;
  return most + most / 64; /* deflated, what is random grows a little */
}

static const char *bytes_of(const rill__entry *e) {
  return (const char *)(e->data + e->nexcept + e->nrooms);
}

rill_str rill__entry_id(const rill__entry *e) {
  return (rill_str){bytes_of(e), e->id_len};
}

rill_str rill__entry_event(const rill__entry *e) {
  return (rill_str){bytes_of(e) + e->id_len, e->len};
}

bool rill__entry_item(const rill__entry *e, rill__tape *tape,
                      rill__item *item) {
  if (!rill__item_read(tape, rill__entry_event(e), item))
    return false;
  item->number = e->number;
  item->time_ms = e->time_ms;
  item->id = rill__entry_id(e);
  return true;
}
