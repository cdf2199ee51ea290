#include "wire/socketio.h"

#include <rill/value.h>

/* The types of the text that announce attachments. */
enum { BINARY_EVENT = 5, BINARY_ACK = 6 };

bool rill__sio_name_ok(rill_str name) {
  static const rill_str reserved[] = {
      RILL_STR("connect"),     RILL_STR("connect_error"),
      RILL_STR("disconnect"),  RILL_STR("disconnecting"),
      RILL_STR("newListener"), RILL_STR("removeListener")};

  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (rill_str_eq(name, reserved[i]))
      return false;
  return true;
}

static bool is_list(const rill__node *data) {
  return data != NULL && data->type == RILL_ARRAY;
}

static bool is_name(const rill__node *n) {
  if (n->type == RILL_STRING)
    return rill__sio_name_ok((rill_str){n->u.ptr, n->len});
  return n->type == RILL_INT || n->type == RILL_DOUBLE;
}

/* The rules of each type, whatever the packet was written in. */
static bool data_ok(const rill__sio_packet *packet, const rill__tape *tape) {
  const rill__node *data = NULL;

  if (packet->data != RILL__SIO_NONE)
    data = &tape->v[packet->data];
  switch (packet->type) {
  case RILL__SIO_CONNECT:
    return data == NULL || data->type == RILL_OBJECT;
  case RILL__SIO_DISCONNECT:
    return data == NULL;
  case RILL__SIO_EVENT:
    return is_list(data) && data->len > 0 && is_name(data + 1);
  case RILL__SIO_ACK:
    return is_list(data);
  case RILL__SIO_CONNECT_ERROR:
    break; /* a client has no connection to refuse */
  }
  return false;
}

static void begin(rill__sio_packet *packet, uint32_t most) {
  *packet = (rill__sio_packet){
      .space = RILL_STR("/"), .most = most, .data = RILL__SIO_NONE};
}

static bool take(rill_str *s, char c) {
  if (s->len == 0 || s->ptr[0] != c)
    return false;
  s->ptr++;
  s->len--;
  return true;
}

/*
 * How many digits were taken; a number beyond |most| becomes |most| + 1.
 * |most| is far from UINT64_MAX / 10.
 */
static size_t take_number(rill_str *s, uint64_t most, uint64_t *number) {
  size_t n = 0;

  *number = 0;
  for (; n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++) {
    *number = *number * 10 + (uint64_t)(s->ptr[n] - '0');
    if (*number > most)
      *number = most + 1;
  }
  s->ptr += n;
  s->len -= n;
  return n;
}

/* |*binary|: the number of attachments follows. */
static bool take_type(rill_str *s, rill__sio_packet *packet, bool *binary) {
  int type = s->len > 0 ? s->ptr[0] - '0' : -1;

  if (type < RILL__SIO_CONNECT || type > BINARY_ACK)
    return false;
  s->ptr++;
  s->len--;
  *binary = type == BINARY_EVENT || type == BINARY_ACK;
  if (*binary)
    type -= BINARY_EVENT - RILL__SIO_EVENT;
  packet->type = (rill__sio_type)type;
  return true;
}

static int take_attachments(rill_str *s, rill__sio_packet *packet,
                            rill__tape *tape) {
  uint64_t n;

  if (take_number(s, packet->most, &n) == 0 || !take(s, '-') || n == 0)
    return RILL_ERR_PROTO;
  if (n > packet->most)
    return rill__tape_over(tape, RILL__LIMIT_attachments);
  packet->attachments = (uint32_t)n;
  return 0;
}

static void take_space(rill_str *s, rill__sio_packet *packet) {
  const char *end;

  if (s->len == 0 || s->ptr[0] != '/')
    return;
  packet->space = *s;
  end = memchr(s->ptr, ',', s->len);
  if (end != NULL)
    packet->space.len = (size_t)(end - s->ptr);
  s->ptr += packet->space.len;
  s->len -= packet->space.len;
  take(s, ',');
}

static bool take_id(rill_str *s, rill__sio_packet *packet) {
  packet->has_id = take_number(s, RILL__SIO_ID_MAX, &packet->id) > 0;
  return packet->id <= RILL__SIO_ID_MAX;
}

/*
 * All data is an array or an object and begins right here: the reference
 * takes white space in front of it for an id.
 */
static int read_data(rill_str s, rill__sio_packet *packet, rill__tape *tape,
                     const rill__value_limits *limits) {
  if (s.len == 0)
    return 0;
  if (s.ptr[0] != '[' && s.ptr[0] != '{')
    return RILL_ERR_PROTO;
  packet->data = tape->len;
  return rill__json_read(tape, s, limits);
}

int rill__sio_read(rill__sio_packet *packet, rill__tape *tape, rill_str text,
                   const rill__value_limits *limits, uint32_t most) {
  bool binary;
  int rv = 0;

  begin(packet, most);
  if (!take_type(&text, packet, &binary))
    return RILL_ERR_PROTO;
  if (binary)
    rv = take_attachments(&text, packet, tape);
  if (rv != 0)
    return rv;
  take_space(&text, packet);
  if (!take_id(&text, packet))
    return RILL_ERR_PROTO;
  rv = read_data(text, packet, tape, limits);
  if (rv == 0 && !data_ok(packet, tape))
    rv = RILL_ERR_PROTO;
  return rv;
}

/* Where a key came twice, its last value counts; the reader marks any. */
static bool is_placeholder(const rill__node *n) {
  return n->type == RILL_OBJECT && (n->flags & RILL__NODE_PLACEHOLDER) != 0 &&
         rill_get_bool((rill_value){n}, "_placeholder", false);
}

/*
 * The tape grows shorter, since a placeholder has several nodes and bytes
 * have one: nodes move from |from| to |to|, and each container learns its
 * new size.  Until its end is reached, an open container holds where that
 * is, and which container it is in; so there is no stack and no depth.
 */
typedef struct mover {
  rill__node *v;
  uint32_t from, to;
  uint32_t open; /* the innermost, where it now is, or RILL__SIO_NONE */
} mover;

static void open_container(mover *m, uint32_t end) {
  m->v[m->to].u.u = (uint64_t)m->open << 32 | end;
  m->open = m->to;
}

static void close_containers(mover *m) {
  while (m->open != RILL__SIO_NONE) {
    rill__node *n = &m->v[m->open];
    uint32_t outer = (uint32_t)(n->u.u >> 32);

    if ((uint32_t)n->u.u != m->from)
      return;
    n->u.nodes = m->to - m->open;
    m->open = outer;
  }
}

static void move_node(mover *m) {
  rill__node n = m->v[m->from];

  m->v[m->to] = n;
  if (n.type >= RILL_ARRAY)
    open_container(m, m->from + n.u.nodes);
  m->from++;
  m->to++;
}

static bool move_attachment(mover *m, const rill_str *v, uint32_t n) {
  const rill__node *placeholder = &m->v[m->from];
  uint32_t size = placeholder->u.nodes;
  int64_t num = rill_get_int((rill_value){placeholder}, "num", -1);

  if (num < 0 || num >= (int64_t)n || v[num].len > UINT32_MAX)
    return false;
  m->v[m->to++] = (rill__node){
      .type = RILL_BYTES, .len = (uint32_t)v[num].len, .u.ptr = v[num].ptr};
  m->from += size;
  return true;
}

int rill__sio_attach(rill__sio_packet *packet, rill__tape *tape,
                     const rill_str *v, uint32_t n) {
  mover m = {tape->v, packet->data, packet->data, RILL__SIO_NONE};
  uint32_t placed = 0;

  while (m.from < tape->len) {
    if (!is_placeholder(&m.v[m.from])) {
      move_node(&m);
    } else if (placed++ == packet->most) {
      return rill__tape_over(tape, RILL__LIMIT_attachments);
    } else if (!move_attachment(&m, v, n)) {
      return RILL_ERR_PROTO;
    }
    close_containers(&m);
  }
  tape->len = m.to;
  return 0;
}

/* undefined, as notepack writes it, is as good as not there. */
static bool is_there(rill_value value) {
  rill_type type = rill_value_type(value);

  return type != RILL_ABSENT &&
         (type != RILL_NULL || (value.node->flags & RILL__NODE_UNDEFINED) == 0);
}

/* No namespace that the text of a packet could not name. */
static bool space_ok(rill_str space) {
  return rill_str_starts(space, "/") &&
         memchr(space.ptr, ',', space.len) == NULL;
}

static bool read_members(rill__sio_packet *packet, const rill__tape *tape,
                         rill_value map) {
  int64_t type = rill_get_int(map, "type", -1);
  rill_value id = rill_value_get(map, "id");
  rill_value data = rill_value_get(map, "data");

  if (type < RILL__SIO_CONNECT || type > RILL__SIO_CONNECT_ERROR)
    return false;
  packet->type = (rill__sio_type)type;
  packet->space = rill_get_str(map, "nsp");
  if (!space_ok(packet->space))
    return false;
  packet->has_id = is_there(id);
  if (packet->has_id) {
    int64_t number = rill_value_int(id, -1);

    if (number < 0 || number > (int64_t)RILL__SIO_ID_MAX)
      return false;
    packet->id = (uint64_t)number;
  }
  if (is_there(data))
    packet->data = (uint32_t)(data.node - tape->v);
  return data_ok(packet, tape);
}

int rill__sio_read_msgpack(rill__sio_packet *packet, rill__tape *tape,
                           rill_str data, const rill__value_limits *limits) {
  uint32_t at = tape->len;
  int rv = rill__msgpack_read(tape, data, limits);
  rill_value map;

  begin(packet, 0);
  if (rv != 0)
    return rv;
  map.node = &tape->v[at];
  return read_members(packet, tape, map) ? 0 : RILL_ERR_PROTO;
}
