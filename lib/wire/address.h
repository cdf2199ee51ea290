/* address.h - IP addresses as text, in the form of RFC 5952. */
#ifndef RILL__ADDRESS_H
#define RILL__ADDRESS_H

#include <rill/base.h>

/* Room for each, with NUL: ffff:...:255.255.255.255. */
#define RILL__ADDRESS_MAX 46

/* As inet_ntop would; returns the length. */
size_t rill__address_write4(const uint8_t ip[4], char out[RILL__ADDRESS_MAX]);
size_t rill__address_write6(const uint8_t ip[16], char out[RILL__ADDRESS_MAX]);

/* As inet_pton would: no leading zeros in |text| of IPv4, no zone. */
bool rill__address_read4(rill_str text, uint8_t ip[4]);
bool rill__address_read6(rill_str text, uint8_t ip[16]);

#endif
