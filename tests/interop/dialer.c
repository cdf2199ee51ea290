/*
 * dialer.c - a client of echo servers, made of rill/client.h and the epoll
 * adapter.  It has two ways of working:
 *
 *   dialer URL [options]
 *     sends messages of many sizes, text and binary, and compares every echo
 *     byte for byte.  Exits with 0 if all came back and the connection was
 *     closed in good order.
 *
 *   dialer --autobahn URL [--deflate] [--agent NAME]
 *     runs all cases of Autobahn's fuzzing server: it echoes what comes, and
 *     has the reports written at the end.  What is right is in the reports.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/client.h>
#include <rill/epoll.h>

enum { MAX_BYTES = 1 << 20 };

/* Lengths around every border of the frame format, then some in between. */
static const uint32_t sizes[] = {0,     1,     2,     125,    126,
                                 127,   128,   1000,  1024,   4095,
                                 65535, 65536, 65537, 200000, MAX_BYTES};
enum { NSIZES = sizeof(sizes) / sizeof(sizes[0]) };

struct dialer {
  rill_hub *hub;
  rill_epoll *loop;
  rill_dial_opts opts;
  const char *url;
  int status; /* the program's */

  /* the echo check */
  uint32_t messages, window, sent, received;
  int expect_code;      /* the server closes with it; 0: this side closes */
  int expect_status;    /* of a refused handshake; 0: it succeeds */
  const char *protocol; /* expected; NULL: any */
  uint8_t *message;     /* MAX_BYTES */

  /* Autobahn */
  const char *agent;
  uint32_t cases, current;
};

static void fail(struct dialer *d, const char *what) {
  fprintf(stderr, "dialer: message %" PRIu32 ": %s\n", d->received, what);
  d->status = 1;
}

/*
 * Message |index| is the same whenever it is made: its length and bytes come
 * from the index alone.  Odd ones are text: "%", "&", U+00E4 and U+20AC in
 * an order that a generator draws, so that a border may cut each of them.
 */
static rill_msg make_message(struct dialer *d, uint32_t index) {
  static const char *const parts[] = {"%", "&", "\xc3\xa4", "\xe2\x82\xac"};
  uint32_t size = sizes[index % NSIZES], i = 0;
  uint64_t state = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
  rill_msg msg = {.data = d->message, .len = size};

  msg.kind = index % 2 != 0 ? RILL_TEXT : RILL_BINARY;
  while (i < size) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    if (msg.kind == RILL_TEXT) {
      const char *part = parts[(state >> 20) & 3];
      uint32_t len = (uint32_t)strlen(part);

      if (len > size - i) {
        part = "%";
        len = 1;
      }
      memcpy(d->message + i, part, len);
      i += len;
    } else {
      /* runs, so that there is something to compress */
      uint32_t run = (uint32_t)(state >> 8) % 12 + 1;

      for (; run > 0 && i < size; run--)
        d->message[i++] = (uint8_t)(state >> 30);
    }
  }
  return msg;
}

/* Keeps |window| messages on their way. */
static int send_more(struct dialer *d, rill_peer peer) {
  while (d->sent < d->messages && d->sent - d->received < d->window) {
    rill_msg msg = make_message(d, d->sent);
    int rv = rill_send(peer, &msg);

    if (rv < 0) {
      fail(d, rill_strerror(rv));
      return rv;
    }
    d->sent++;
  }
  if (d->received == d->messages && d->expect_code == 0)
    return rill_close(peer, RILL_CLOSE_NORMAL, "all is well");
  return 0;
}

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  struct dialer *d = arg;
  rill_str protocol = rill_peer_subprotocol(peer);

  (void)req;
  if (d->protocol != NULL && !rill_str_eq(protocol, rill_s(d->protocol))) {
    fail(d, "not the subprotocol that was expected");
    return -1;
  }
  return send_more(d, peer);
}

static int on_echo(rill_peer peer, const rill_msg *msg, void *arg) {
  struct dialer *d = arg;
  rill_msg expected = make_message(d, d->received);

  if (d->received == d->sent)
    fail(d, "came without having been sent");
  else if (msg->kind != expected.kind)
    fail(d, "the echo is of the other kind");
  else if (msg->len != expected.len)
    fail(d, "the echo has another length");
  else if (msg->len > 0 && memcmp(msg->data, expected.data, msg->len) != 0)
    fail(d, "the echo has other bytes");
  if (d->status != 0)
    return -1;
  d->received++;
  return send_more(d, peer);
}

static void on_echo_close(rill_peer peer, const rill_closed *closed,
                          void *arg) {
  struct dialer *d = arg;
  int code = d->expect_code != 0 ? d->expect_code : RILL_CLOSE_NORMAL;

  (void)peer;
  if (d->expect_status != 0) {
    if (closed->cause != RILL_CAUSE_REFUSED ||
        closed->status != d->expect_status)
      fail(d, "the handshake was not refused as expected");
  } else if (d->received != d->messages) {
    fail(d, "the connection ended too early");
  } else if (closed->code != code) {
    fail(d, "another close code than expected");
  }
  if (d->status != 0)
    fprintf(stderr, "dialer: closed: %s, code %d, sent %d, status %d, %.*s\n",
            rill_cause_text(closed->cause), closed->code, closed->sent,
            closed->status, (int)closed->reason.len,
            closed->reason.len > 0 ? closed->reason.ptr : "");
  rill_epoll_stop(d->loop);
}

static const rill_handlers echo_check = {
    .on_open = on_open, .on_message = on_echo, .on_close = on_echo_close};

/*
 * Autobahn: one connection asks for the number of cases, one runs each case,
 * the last one has the reports written.  |current| is 0, 1 to |cases|, and
 * |cases| + 1.
 */
static int on_case_message(rill_peer peer, const rill_msg *msg, void *arg) {
  struct dialer *d = arg;
  const char *digits = msg->data;
  int rv = 0;

  if (d->current > 0) {
    rv = rill_send(peer, msg);
    return rv < 0 ? rv : 0;
  }
  d->cases = 0;
  for (size_t i = 0; i < msg->len && i < 6; i++)
    if (digits[i] >= '0' && digits[i] <= '9')
      d->cases = d->cases * 10 + (uint32_t)(digits[i] - '0');
  return 0;
}

static void next_case(struct dialer *d);

static void on_case_close(rill_peer peer, const rill_closed *closed,
                          void *arg) {
  struct dialer *d = arg;

  (void)peer;
  if (closed->cause == RILL_CAUSE_DIAL || closed->cause == RILL_CAUSE_REFUSED ||
      d->cases == 0) {
    fprintf(stderr, "dialer: step %" PRIu32 ": %s\n", d->current,
            rill_cause_text(closed->cause));
    d->status = 1;
    rill_epoll_stop(d->loop);
  } else if (d->current > d->cases) {
    printf("%" PRIu32 " cases were run\n", d->cases);
    rill_epoll_stop(d->loop);
  } else {
    d->current++;
    next_case(d);
  }
}

static const rill_handlers autobahn = {.on_message = on_case_message,
                                       .on_close = on_case_close};

static void next_case(struct dialer *d) {
  char url[512];
  int rv;

  if (d->current == 0)
    snprintf(url, sizeof(url), "%s/getCaseCount", d->url);
  else if (d->current <= d->cases)
    snprintf(url, sizeof(url), "%s/runCase?case=%" PRIu32 "&agent=%s", d->url,
             d->current, d->agent);
  else
    snprintf(url, sizeof(url), "%s/updateReports?agent=%s", d->url, d->agent);
  rv = rill_dial(NULL, d->hub, url, &d->opts, rill_epoll_now(d->loop));
  if (rv != 0) {
    fprintf(stderr, "dialer: %s: %s\n", url, rill_strerror(rv));
    d->status = 1;
    rill_epoll_stop(d->loop);
  }
}

/* Limits that no honest echo server can meet. */
static void set_limits(rill_limits *limits) {
  limits->message_bytes = 64 << 20;
  limits->fragments = 1 << 20;
  limits->assembly_bytes = RILL_UNLIMITED;
  limits->inflate_ratio = 1100;
  limits->message_ms = RILL_UNLIMITED;
  limits->control_per_sec = limits->control_burst = RILL_UNLIMITED;
  limits->queue_bytes = 512 << 20;
  limits->queue_count = limits->soft_count = RILL_UNLIMITED;
  limits->soft_bytes = 64 << 20;
  limits->queues_total_bytes = limits->slow_ms = RILL_UNLIMITED;
  limits->messages_per_sec = limits->messages_burst = RILL_UNLIMITED;
  limits->bytes_per_sec = limits->bytes_burst = RILL_UNLIMITED;
}

static int run(struct dialer *d) {
  rill_config config;
  int rv;

  rill_config_init(&config);
  set_limits(&config.limits);
  d->opts.handlers = d->agent != NULL ? &autobahn : &echo_check;
  d->opts.arg = d;
  rv = rill_hub_new(&d->hub, &config);
  if (rv == 0)
    rv = rill_epoll_new(&d->loop, d->hub);
  if (rv == 0) {
    if (d->agent != NULL)
      next_case(d);
    else
      rv = rill_dial(NULL, d->hub, d->url, &d->opts, rill_epoll_now(d->loop));
  }
  if (rv == 0 && d->status == 0)
    rv = rill_epoll_run(d->loop);
  if (rv != 0)
    fprintf(stderr, "dialer: %s: %s\n", d->url, rill_strerror(rv));
  rill_epoll_free(d->loop);
  rill_hub_free(d->hub);
  return rv != 0 || d->status != 0;
}

static const char usage[] =
    "usage: dialer URL [options]\n"
    "       dialer --autobahn URL [--deflate] [--agent NAME]\n"
    "  --messages N          how many messages to send (default 30)\n"
    "  --window N            how many of them at once (default 1)\n"
    "  --deflate             offer permessage-deflate, with all windows\n"
    "  --no-takeover         without keeping them between messages\n"
    "  --bits N              with windows of N bits, 9 to 15\n"
    "  --protocol NAME       offer this subprotocol, and insist on it\n"
    "  --expect-code CODE    let the server close, with this code\n"
    "  --expect-status CODE  have the handshake refused with this status\n"
    "  --autobahn            URL is that of a fuzzing server\n"
    "  --agent NAME          as which the reports show it (default rill)\n";

static uint32_t number(const char *text) {
  return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv) {
  static const struct option flags[] = {
      {"messages", required_argument, NULL, 'm'},
      {"window", required_argument, NULL, 'w'},
      {"deflate", no_argument, NULL, 'd'},
      {"no-takeover", no_argument, NULL, 'n'},
      {"bits", required_argument, NULL, 'b'},
      {"protocol", required_argument, NULL, 'p'},
      {"expect-code", required_argument, NULL, 'c'},
      {"expect-status", required_argument, NULL, 's'},
      {"autobahn", no_argument, NULL, 'a'},
      {"agent", required_argument, NULL, 'g'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0}};
  struct dialer d = {.messages = 30, .window = 1};
  rill_deflate_opts *deflate = &d.opts.deflate;
  const char *agent = "rill";
  bool fuzzed = false, takeover = true;
  uint8_t bits = 15;
  int flag, status;

  while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
    switch (flag) {
    case 'm':
      d.messages = number(optarg);
      break;
    case 'w':
      d.window = number(optarg);
      break;
    case 'd':
      deflate->enabled = true;
      break;
    case 'n':
      takeover = false;
      break;
    case 'b':
      bits = (uint8_t)number(optarg);
      break;
    case 'p':
      d.protocol = optarg;
      break;
    case 'c':
      d.expect_code = (int)number(optarg);
      break;
    case 's':
      d.expect_status = (int)number(optarg);
      break;
    case 'a':
      fuzzed = true;
      break;
    case 'g':
      agent = optarg;
      break;
    default:
      fputs(usage, flag == 'h' ? stdout : stderr);
      return flag == 'h' ? 0 : 2;
    }
  }
  if (optind + 1 != argc) {
    fputs(usage, stderr);
    return 2;
  }
  d.url = argv[optind];
  d.agent = fuzzed ? agent : NULL;
  if (d.protocol != NULL) {
    d.opts.subprotocols = &d.protocol;
    d.opts.nsubprotocols = 1;
  }
  deflate->server_context_takeover = takeover;
  deflate->client_context_takeover = takeover;
  deflate->server_max_window_bits = bits;
  deflate->client_max_window_bits = bits;
  deflate->memory_level = 8;
  deflate->threshold = 1;
  d.message = malloc(MAX_BYTES);
  if (d.message == NULL) {
    fputs("dialer: out of memory\n", stderr);
    return 1;
  }
  status = run(&d);
  free(d.message);
  return status;
}
