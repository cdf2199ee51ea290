/*
 * siphash.h - SipHash-1-3 (Aumasson, Bernstein 2012), 64 bits.
 *
 * For maps whose keys a peer chooses: without the secret |key| nobody can
 * make keys that collide.  One and three rounds instead of two and four are
 * enough for that, and not a MAC.
 */
#ifndef RILL__SIPHASH_H
#define RILL__SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t rill__siphash(const uint8_t key[16], const void *data, size_t len);

#endif
