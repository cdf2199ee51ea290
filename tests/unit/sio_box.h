/*
 * sio_box.h - a Socket.IO packet on its tape, with what both borrow from in
 * blocks of the exact size, and in words; for the unit tests.
 */
#ifndef SIO_BOX_H
#define SIO_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "sio.h"

/* As text has it, where an attachment is to go. */
#define PLACE(num) "{\"_placeholder\":true,\"num\":" num "}"

static const rill__value_limits limits = {32, 16384, 1024};

typedef struct box {
  rill__tape tape;
  rill__sio_packet packet;
  char *text;
  char *bytes[16];
  char told[1000];
} box;

static inline char *exact(const void *data, size_t len) {
  char *p = malloc(len + (len == 0));

  assert_non_null(p);
  memcpy(p, data, len);
  return p;
}

static inline void open_box(box *b) {
  memset(b, 0, sizeof *b);
  rill__tape_init(&b->tape, &rill__alloc_default);
}

static inline void close_box(box *b) {
  rill__tape_finish(&b->tape);
  free(b->text);
  for (size_t i = 0; i < 16; i++)
    free(b->bytes[i]);
}

/* "EVENT / 12 [...]", with bytes as {"$bytes":...}; "PROTO" and so on. */
static inline const char *tell(box *b, int rv) {
  static const char *const names[] = {"CONNECT", "DISCONNECT", "EVENT", "ACK",
                                      "CONNECT_ERROR"};
  const rill__sio_packet *p = &b->packet;
  char id[24] = "-";
  rill__bytes json;

  if (rv != 0) {
    snprintf(b->told, sizeof b->told, "%s", rill_errname(rv) + 9);
    return b->told;
  }
  rill__bytes_init(&json, &rill__alloc_default);
  if (p->data != RILL__SIO_NONE) {
    sio_check(&b->tape.v[p->data], &b->tape.v[b->tape.len]);
    rill__json_write(&json, &b->tape.v[p->data], NULL);
  }
  if (p->has_id)
    snprintf(id, sizeof id, "%llu", (unsigned long long)p->id);
  snprintf(b->told, sizeof b->told, "%s %.*s %s %.*s", names[p->type],
           (int)p->space.len, p->space.ptr, id, (int)json.len,
           json.data != NULL ? (char *)json.data : "");
  rill__bytes_finish(&json);
  return b->told;
}

static inline int read_text(box *b, const char *text) {
  size_t len = strlen(text);

  b->text = exact(text, len);
  return rill__sio_read(&b->packet, &b->tape, (rill_str){b->text, len}, &limits,
                        10);
}

/* Attachments are the bytes 1, 2, 2, 3, 3, 3 and so on. */
static inline int attach(box *b) {
  rill_str v[16];

  for (uint32_t i = 0; i < b->packet.attachments; i++) {
    char bytes[16];
    memset(bytes, (int)i + 1, sizeof bytes);
    b->bytes[i] = exact(bytes, i + 1);
    v[i] = (rill_str){b->bytes[i], i + 1};
  }
  return rill__sio_attach(&b->packet, &b->tape, v, b->packet.attachments);
}

/* The bytes that |text| has in hex. */
static inline void hex(const char *text, char *out, size_t *len) {
  *len = strlen(text) / 2;
  for (size_t i = 0; i < *len; i++) {
    unsigned byte;
    assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
    out[i] = (char)byte;
  }
}

#endif
