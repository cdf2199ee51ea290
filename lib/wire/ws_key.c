#include <mbedtls/base64.h>
#include <mbedtls/sha1.h>
#include <mbedtls/version.h>

#include "wire/ws.h"

#define KEY_LEN 24    /* base64 of 16 bytes */
#define ACCEPT_LEN 28 /* base64 of 20 bytes */

/* RFC 6455 section 1.3. */
static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static int sha1(const uint8_t *data, size_t len, uint8_t out[20]) {
#if MBEDTLS_VERSION_MAJOR < 3
  return mbedtls_sha1_ret(data, len, out);
#else
  return mbedtls_sha1(data, len, out);
#endif
}

void rill__ws_accept_key(rill_str key, char out[29]) {
  uint8_t text[KEY_LEN + sizeof guid - 1], digest[20];
  uint8_t encoded[ACCEPT_LEN + 1];
  size_t n = 0;

  out[0] = '\0';
  if (key.len > KEY_LEN)
    return;
  if (key.len > 0)
    memcpy(text, key.ptr, key.len);
  memcpy(text + key.len, guid, sizeof guid - 1);
  if (sha1(text, key.len + sizeof guid - 1, digest) != 0)
    return;
  if (mbedtls_base64_encode(encoded, sizeof encoded, &n, digest,
                            sizeof digest) != 0)
    return;
  memcpy(out, encoded, n);
  out[n] = '\0';
}

static bool is_base64(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         (c >= '0' && c <= '9') || c == '+' || c == '/';
}

bool rill__ws_key_ok(rill_str key) {
  if (key.len != KEY_LEN)
    return false;
  for (size_t i = 0; i < KEY_LEN - 2; i++)
    if (!is_base64(key.ptr[i]))
      return false;
  return key.ptr[KEY_LEN - 2] == '=' && key.ptr[KEY_LEN - 1] == '=';
}
