/*
 * resolve.h - names to addresses without stopping the loop.
 *
 * getaddrinfo blocks, so it runs on up to four worker threads, started when
 * there is work.  An answer writes the eventfd and waits to be collected.
 * All calls but the workers' own are the loop's.
 */
#ifndef RILL__RESOLVE_H
#define RILL__RESOLVE_H

#include <netdb.h>

#include <rill/base.h>

typedef struct rill__resolver rill__resolver;
typedef struct rill__lookup rill__lookup;

/* |wake| stays the caller's.  NULL: out of memory. */
rill__resolver *rill__resolver_new(int wake);
/*
 * Returns at once, even where a worker hangs in getaddrinfo: the last of
 * them frees what is left.
 */
void rill__resolver_free(rill__resolver *r);

/* |host| is copied.  NULL: out of memory or threads. */
rill__lookup *rill__lookup_start(rill__resolver *r, rill_str host,
                                 uint16_t port, void *owner);
/* The owner will not be told; |lookup| is gone. */
void rill__lookup_cancel(rill__resolver *r, rill__lookup *lookup);
/*
 * The owner of the next lookup that is done, which is then gone, or NULL.
 * *found is the caller's to free (freeaddrinfo), NULL if there is no address.
 */
void *rill__lookup_next(rill__resolver *r, struct addrinfo **found);

/* The addresses of |host| that is one itself, else NULL; does not block. */
struct addrinfo *rill__lookup_numeric(rill_str host, uint16_t port);

#endif
