/*
 * The input is the payload of a POST.  Oracles: the packets lie within it;
 * written again they are the input, as far as it was valid; behind the first
 * that is not valid there is nothing.
 */
#include "../unit/mem.h"
#include "base/base64.h"
#include "base/utf8.h"
#include "wire/engineio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_base64(buf *b, rill_str bytes) {
  size_t len = rill__base64_len(bytes.len);
  char *text = malloc(len + 1);

  rill__base64_encode(text, bytes.ptr, bytes.len);
  buf_add(b, text, len);
  free(text);
}

static void write_again(buf *b, const rill__eio_packet *packet, bool first) {
  char type = (char)packet->type;

  if (!first)
    buf_text(b, "\x1e");
  if (packet->binary) {
    MUST(packet->type == RILL__EIO_MESSAGE);
    buf_text(b, "b");
    add_base64(b, packet->data);
  } else {
    MUST(rill__utf8_valid(packet->data.ptr, packet->data.len));
    buf_add(b, &type, 1);
    buf_add(b, packet->data.ptr, packet->data.len);
  }
}

static void check_message(const char *text, size_t size) {
  rill__eio_packet packet;

  if (!rill__eio_text((rill_str){text, size}, &packet))
    return;
  MUST(packet.data.ptr == text + 1 && packet.data.len == size - 1);
  MUST((char)packet.type == text[0] && text[0] >= '0' && text[0] <= '6');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *exact = malloc(size + (size == 0));
  rill_str left = {exact, size};
  rill__eio_packet packet;
  buf again = {NULL, 0, 0};
  bool first = true;
  int rv;

  memcpy(exact, data, size);
  check_message(exact, size);
  while ((rv = rill__eio_next(&left, &packet)) == 1) {
    MUST(packet.data.ptr > exact);
    MUST(packet.data.ptr + packet.data.len <= exact + size);
    write_again(&again, &packet, first);
    first = false;
  }
  MUST(rv == 0 || rv == -1);
  MUST(rill__eio_next(&left, &packet) == rv);
  MUST(rv == 0 ? again.len == size : again.len < size || size == 0);
  MUST(again.len == 0 || memcmp(again.data, data, again.len) == 0);
  MUST(rv == 0 || again.len == 0 || data[again.len] == 0x1e);
  MUST(size > 0 || rv == -1);
  buf_clear(&again);
  free(exact);
  return 0;
}
