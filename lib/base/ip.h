/*
 * ip.h - addresses as text and as 16 bytes (IPv4 mapped, RFC 4291 2.5.5.2).
 */
#ifndef RILL__IP_H
#define RILL__IP_H

#include <rill/base.h>

typedef struct rill__ip {
  uint8_t b[16];
} rill__ip;

/* "192.0.2.1", "2001:db8::1", with brackets or a %zone at will. */
bool rill__ip_parse(rill_str text, rill__ip *out);
bool rill__ip_is_v4(const rill__ip *ip);

/* An address, or address/bits. */
typedef struct rill__net {
  rill__ip ip;
  uint8_t bits; /* of 128 */
} rill__net;
bool rill__net_parse(rill_str text, rill__net *out);
bool rill__net_has(const rill__net *net, const rill__ip *ip);

#endif
