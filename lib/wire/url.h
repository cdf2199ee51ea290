/*
 * url.h - the URLs that rill_dial takes:
 *
 *   ws://host[:port][/path][?query]         wss:// likewise
 *   ws+unix:/socket/path[:/request/path[?query]]
 *
 * A host in brackets is an IPv6 address.  User information, fragments,
 * spaces, control bytes and bytes above 7E are refused: what is not ASCII
 * must come percent-encoded.
 */
#ifndef RILL__URL_H
#define RILL__URL_H

#include <rill/base.h>

/* Strings are borrowed from the URL, or static. */
typedef struct rill__url {
  rill_str host; /* without brackets; empty for a Unix socket */
  rill_str port; /* decimal, 1 to 65535; the scheme's where none is named */
  rill_str authority; /* for Host: host and port as written, or "localhost" */
  rill_str unix_path; /* absolute; empty for TCP */
  /* "/" where there is none.  rill__http_begin_request puts a "/" in front
   * of one that begins with "?". */
  rill_str target;
  bool secure;
} rill__url;

/* 0, or RILL_ERR_ARG where |text| is no such URL. */
int rill__url_parse(rill_str text, rill__url *out);

#endif
