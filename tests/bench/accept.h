/*
 * accept.h - the Sec-WebSocket-Accept value of RFC 6455 section 4.2.2.
 *
 * The bare program has its own SHA-1 so that it needs nothing but libc.
 */
#ifndef BENCH_ACCEPT_H
#define BENCH_ACCEPT_H

#define ACCEPT_KEY_LEN 24
#define ACCEPT_LEN 28

/*
 * accept_value writes the answer to the |ACCEPT_KEY_LEN| characters at
 * |key| to |out|, with a NUL behind.
 */
void accept_value(const char *key, char out[ACCEPT_LEN + 1]);

#endif
