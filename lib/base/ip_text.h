/*
 * ip_text.h - the other direction of ip.h: addresses as inet_ntop writes
 * them (RFC 5952).  Each returns the length of the text, which ends with NUL.
 */
#ifndef RILL__IP_TEXT_H
#define RILL__IP_TEXT_H

#include <rill/base.h>

/* Room for each, with NUL: INET6_ADDRSTRLEN of POSIX. */
#define RILL__IP_TEXT_MAX 46

size_t rill__ip4_text(const uint8_t ip[4], char out[RILL__IP_TEXT_MAX]);
size_t rill__ip6_text(const uint8_t ip[16], char out[RILL__IP_TEXT_MAX]);

#endif
