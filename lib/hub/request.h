/*
 * request.h - a request on its way to an answer.
 *
 * It is made when a head (and body) is complete.  While a hook has it (LATER)
 * it may outlive its conn; |conn| is then NULL and the answer finds nobody.
 */
#ifndef RILL__REQUEST_H
#define RILL__REQUEST_H

#include "hub/conn.h"
#include "hub/route.h"

struct rill_request {
  rill_hub *hub;
  rill_conn *conn; /* NULL: the client has left */
  rill__http *http;
  rill__route *route;
  rill__bytes *scratch; /* decoded query parameters */
  rill__bytes memory;   /* where scratch points */
  rill__bytes address;  /* the client's, proxies considered */
  bool upgrade;         /* rill_accept is the answer, else rill_respond */
  bool hooked;          /* the call of the hook has not returned */
  bool answered;
};

/* Makes conn->request of conn->http and runs its hook. */
int rill__request_run(rill_conn *c);
/* The client has left: frees it, or leaves it to the hook that has it. */
void rill__request_orphan(rill_request *req);
/* Answers for a hook that has not, and gives the request up to it. */
void rill__request_expire(rill_conn *c);

/* An accepted upgrade: on_open, then messages. */
void rill__request_open(rill_conn *c);

/* handshake.c: 0, or the status that refuses the upgrade. */
int rill__handshake_check(rill_request *req, const char **reason);
/* Writes the 101 and makes the peer; negative: the conn is over. */
int rill__handshake_accept(rill_request *req, rill_str user);

/* origin.c */
bool rill__origin_ok(const rill_request *req);
/* Fills req->address from the conn's and X-Forwarded-For. */
bool rill__request_find_address(rill_request *req);

#endif
