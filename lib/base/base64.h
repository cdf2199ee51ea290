/*
 * base64.h - RFC 4648 section 4: the standard alphabet, padded.
 */
#ifndef RILL__BASE64_H
#define RILL__BASE64_H

#include <rill/base.h>

/* The length of |n| bytes as text. */
static inline size_t rill__base64_len(size_t n) { return (n + 2) / 3 * 4; }
/* Writes rill__base64_len(len) characters. */
void rill__base64_encode(char *out, const void *data, size_t len);
/*
 * Decodes |text| into |out|, which has room for text.len / 4 * 3 bytes and
 * may be |text|'s own memory; returns the length, or -1 where it is not
 * base64: a foreign character, bad padding, bits that should be zero.
 */
int64_t rill__base64_decode(void *out, rill_str text);

#endif
