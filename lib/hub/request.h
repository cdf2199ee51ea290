/*
 * request.h - a request on its way to an answer.
 *
 * It is made when a head (and body) is complete.  While a hook has it (LATER)
 * it may outlive its conn; |conn| is then NULL and the answer finds nobody.
 */
#ifndef RILL__REQUEST_H
#define RILL__REQUEST_H

#include "base/build.h"
#include "hub/conn.h"
#include "hub/route.h"

/* A peer that a client wants to go on with; recover.h. */
typedef struct rill__connect {
  rill_str secret, offset;
} rill__connect;

struct rill_request {
  rill_hub *hub;
  rill_conn *conn; /* NULL: the client has left, or it |connects| */
  rill__http *http;
  rill__route *route;
  rill_request *next;     /* in session->connects or voice->posts */
  rill__session *session; /* whose poll, post or connect it is */
  rill__space *space;     /* of a connect */
  rill_builder auth;      /* what the client says of itself */
  rill__connect how;
  rill__bytes secret;     /* where |how| points */
  rill__peer *poster;     /* whose event a POST has brought */
  uint64_t id;            /* of that, for its answer */
  rill_time verdict_by;   /* of a connect */
  rill__bytes *scratch; /* decoded query parameters */
  rill__bytes memory;   /* where scratch points */
  rill__bytes address;  /* the client's, proxies considered */
  bool upgrade;         /* rill_accept is the answer, else rill_respond */
  bool asks;            /* a dialect wants authenticate to be asked */
  bool connects;        /* to a namespace of |session| */
  bool polled;          /* that is on long-polling */
  bool borrowed;        /* |http| is the session's */
  bool accepted;        /* but not answered: rooms are being joined */
  bool hooked;          /* the call of the hook has not returned */
  bool kept;            /* it is a voice's |opening| */
  bool answered;
};

/* Makes conn->request of conn->http and runs its hook. */
int rill__request_run(rill_conn *c);
/* For what asks without a head of its own; NULL: no memory. */
rill_request *rill__request_new(rill_hub *hub);
void rill__request_free(rill_request *req);
/*
 * Answers with |out|, which it finishes, and with all of |body|'s queue
 * behind it; |close| ends the connection.  The request is given back.
 */
int rill__request_answer(rill_request *req, rill__bytes *out,
                         rill__outq *body, bool close);
/* The same, but the request, or its head alone, is the caller's. */
int rill__request_answer_kept(rill_request *req, rill__bytes *out);
rill__http *rill__request_keep_head(rill_request *req, rill__bytes *out);
/* An error as JSON. */
int rill__request_refuse(rill_request *req, int status, const char *reason);
/* It has been answered with an upgrade, and nobody needs it any more. */
void rill__request_spent(rill_request *req);

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
/* The 101 alone; |*protocol| (may be NULL) is 1 + the subprotocol's index. */
int rill__handshake_answer(rill_request *req, uint8_t *protocol);

/* origin.c */
bool rill__origin_ok(const rill_request *req);
/* Fills req->address from the conn's and X-Forwarded-For. */
bool rill__request_find_address(rill_request *req);

#endif
