/*
 * Oracles: with more bytes the verdict only goes from "more" to one of the
 * others, and then stays; no more than RILL__PROXY_MAX bytes are asked for;
 * an address is one that libc reads and writes the same.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "wire/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool x) {
  if (!x)
    abort();
}

static int parse(const uint8_t *data, size_t n, size_t *used,
                 rill__proxy *out) {
  uint8_t *exact = malloc(n + (n == 0));
  int rv;

  must(exact != NULL);
  memcpy(exact, data, n);
  rv = rill__proxy_parse(exact, n, used, out);
  free(exact);
  return rv;
}

static void check_address(const char *text) {
  int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
  char again[INET6_ADDRSTRLEN];
  uint8_t ip[16];

  must(inet_pton(family, text, ip) == 1);
  must(inet_ntop(family, ip, again, sizeof again) != NULL);
  must(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int last = 1;
  size_t first = 0;

  for (size_t n = 0; n <= size && n <= RILL__PROXY_MAX + 8; n++) {
    rill__proxy out;
    size_t used;
    int rv = parse(data, n, &used, &out);

    must(rv == 0 || rv == 1 || rv == RILL_ERR_PROTO);
    must(last == 1 || rv == last);
    must(rv != 1 || n < RILL__PROXY_MAX);
    if (rv == 0) {
      first = last == 1 ? n : first;
      must(used == first);
      must(out.local == (out.address[0] == '\0'));
      if (!out.local)
        check_address(out.address);
    }
    last = rv;
  }
  return 0;
}
