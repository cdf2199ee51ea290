#include "people/notice.h"

#include "base/utf8.h"
#include "hub/history.h"

/* Nodes in front of the arguments: when it expires, and the key. */
#define BEFORE 2

void rill__notice_write(rill__bytes *out, rill_str name, const rill__node *args,
                        rill_str key, uint64_t expires_ms) {
  uint32_t nargs = args != NULL ? args->len : 0;
  const rill__node *n = args;

  rill__msgpack_write_array(out, 1 + BEFORE + nargs);
  rill__msgpack_write_str(out, name);
  rill__msgpack_write_int(out, expires_ms > INT64_MAX ? INT64_MAX
                                                      : (int64_t)expires_ms);
  rill__msgpack_write_str(out, key);
  for (uint32_t i = 0; i < nargs; i++) {
    n = i == 0 ? args + 1 : rill__node_next(n);
    rill__msgpack_write(out, n);
  }
}

/* What is in front of the arguments becomes their own array's head. */
static bool split(rill__node *args, rill_str *key, uint64_t *expires_ms,
                  rill_value *rest) {
  if (args->len < BEFORE || args[1].type != RILL_INT ||
      args[2].type != RILL_STRING)
    return false;
  *expires_ms = rill_value_uint((rill_value){args + 1}, 0);
  *key = (rill_str){args[2].u.ptr, args[2].len};
  args[2] = (rill__node){.type = RILL_ARRAY,
                         .len = args->len - BEFORE,
                         .u.nodes = args->u.nodes - BEFORE};
  rest->node = args + 2;
  return true;
}

static bool read(rill_str data, rill__tape *tape, rill_str *name, rill_str *key,
                 uint64_t *expires_ms, rill_value *args) {
  rill__item item;

  if (!rill__item_read(tape, data, &item))
    return false;
  *name = item.name;
  return split(tape->v + (item.args - tape->v), key, expires_ms, args);
}

bool rill__notice_read(const rill__notice *n, rill__tape *tape, rill_str *name,
                       rill_value *args) {
  rill_str key;
  uint64_t expires_ms;

  return read(n->data, tape, name, &key, &expires_ms, args);
}

rill__notice *rill__notice_new(rill_hub *hub, const rill_record *r, int *rv) {
  size_t size = sizeof(rill__notice) + r->id.len + r->data.len;
  rill__notice *n = rill__malloc(&hub->alloc, size);
  rill__tape tape;
  rill_str name;
  rill_value args;

  *rv = RILL_ERR_NOMEM;
  if (n == NULL)
    return NULL;
  *n = (rill__notice){.offset = r->offset,
                      .time_ms = r->time_ms,
                      .missed_at = RILL_NEVER,
                      .id = {n->text, r->id.len},
                      .data = {n->text + r->id.len, r->data.len},
                      .size = size};
  if (r->id.len > 0)
    memcpy(n->text, r->id.ptr, r->id.len);
  if (r->data.len > 0)
    memcpy(n->text + r->id.len, r->data.ptr, r->data.len);
  rill__list_init(&n->link);
  rill__tape_init(&tape, &hub->alloc);
  *rv = 0;
  if (!rill__utf8_valid(n->id.ptr, n->id.len) ||
      !read(n->data, &tape, &name, &n->key, &n->expires_ms, &args)) {
    *rv = tape.failed ? RILL_ERR_NOMEM : RILL_ERR_IO;
    rill__notice_free(hub, n);
    n = NULL;
  }
  rill__tape_finish(&tape);
  return n;
}

void rill__notice_free(rill_hub *hub, rill__notice *n) {
  if (n != NULL)
    rill__free(&hub->alloc, n, n->size);
}

static void put_uint(rill_builder *b, const char *key, uint64_t n) {
  rill_put_key(b, key);
  rill_put_uint(b, n);
}

/* One argument as it is, several as an array, none as null. */
static void put_data(rill_builder *b, rill_value args) {
  size_t n = rill_value_size(args);

  rill_put_key(b, "data");
  rill_put_value(b, n == 0   ? (rill_value){0}
                    : n == 1 ? rill_value_at(args, 0)
                             : args);
}

int rill__notice_put(rill_builder *b, const rill__notice *n, size_t unread,
                     rill_str replaces) {
  rill__tape tape;
  rill_str name;
  rill_value args;

  rill__tape_init(&tape, b->tape.alloc);
  if (rill__notice_read(n, &tape, &name, &args)) {
    rill_put_object(b);
    rill_set_str(b, "id", n->id);
    put_uint(b, "offset", n->offset);
    rill_set_str(b, "name", name);
    put_data(b, args);
    put_uint(b, "timestamp", n->time_ms);
    put_uint(b, "unread", unread);
    if (n->key.len > 0)
      rill_set_str(b, "key", n->key);
    if (n->expires_ms > 0)
      put_uint(b, "expires", n->expires_ms);
    if (replaces.len > 0)
      rill_set_str(b, "replaces", replaces);
    rill_put_end(b);
  } else {
    b->error = RILL_ERR_NOMEM; /* it was read before */
  }
  rill__tape_finish(&tape);
  return rill_builder_error(b);
}
