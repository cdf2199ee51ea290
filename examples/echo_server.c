/*
 * echo_server.c - echo.c with its settings as flags: a target for
 * conformance suites and load generators.
 *
 * What protects a public server from its clients is off here (admission,
 * rates, control frames) or far away (queues), so that a measurement meets
 * the library and not its limits.  rill-limits(7) has the usual values.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rill/epoll.h>
#include <rill/metrics.h>
#include <rill/room.h>

typedef struct settings {
  const char *address;
  uint32_t max_message;   /* bytes */
  uint32_t max_fragments; /* per message */
  uint32_t idle;          /* seconds; 0: never; UINT32_MAX: as the library */
  int deflate, broadcast, metrics; /* booleans, as getopt_long sets them */
} settings;

static int on_echo(rill_peer peer, const rill_msg *msg, void *arg) {
  int rv = rill_send(peer, msg);

  (void)arg;
  return rv < 0 ? rv : 0;
}

static int on_broadcast(rill_peer peer, const rill_msg *msg, void *arg) {
  int rv = rill_send_all(peer.hub, msg);

  (void)arg;
  return rv < 0 ? rv : 0;
}

/* Answers GET /metrics in the text format of Prometheus. */
static int on_metrics(rill_request *req, void *arg) {
  const rill_hub *hub = rill_request_hub(req);
  rill_response response = {.type = "text/plain; version=0.0.4"};
  size_t size = rill_metrics_text(hub, NULL, 0) + 1;
  char *text = malloc(size);
  int rv;

  (void)arg;
  if (text == NULL)
    return rill_reject(req, 503, "out of memory");
  response.body_len = rill_metrics_text(hub, text, size);
  response.body = text;
  rv = rill_respond(req, &response);
  free(text);
  return rv;
}

static void set_limits(rill_limits *limits, const settings *set) {
  uint64_t queue = 8 * (uint64_t)set->max_message;

  limits->message_bytes = set->max_message;
  limits->fragments = set->max_fragments;
  limits->message_ms = RILL_UNLIMITED;
  limits->assembly_bytes = RILL_UNLIMITED;
  limits->inflate_ratio = 1100; /* a run of zeros is fair here */
  limits->control_per_sec = limits->control_burst = RILL_UNLIMITED;

  if (set->idle == 0) {
    limits->ping_ms = limits->pong_ms = limits->idle_ms = RILL_UNLIMITED;
  } else if (set->idle != UINT32_MAX) {
    limits->ping_ms = limits->pong_ms = set->idle * 500;
    limits->idle_ms = set->idle * 1000;
  }

  if (queue < 64 * 1024 * 1024)
    queue = 64 * 1024 * 1024;
  limits->queue_bytes = (uint32_t)queue;
  limits->soft_bytes = (uint32_t)(queue / 4);
  limits->queue_count = limits->soft_count = RILL_UNLIMITED;
  limits->queues_total_bytes = limits->slow_ms = RILL_UNLIMITED;

  limits->conns = limits->conns_per_address = RILL_UNLIMITED;
  limits->half_open = RILL_UNLIMITED;
  limits->accepts_per_sec = limits->accepts_burst = RILL_UNLIMITED;
  limits->address_accepts_per_sec = RILL_UNLIMITED;
  limits->address_accepts_burst = RILL_UNLIMITED;
  limits->messages_per_sec = limits->messages_burst = RILL_UNLIMITED;
  limits->bytes_per_sec = limits->bytes_burst = RILL_UNLIMITED;
}

/* What --deflate allows: everything that a client may ask for. */
static void set_deflate(rill_deflate_opts *deflate) {
  deflate->enabled = true;
  deflate->server_context_takeover = true;
  deflate->client_context_takeover = true;
  deflate->server_max_window_bits = 15;
  deflate->client_max_window_bits = 15;
  deflate->memory_level = 8;
  deflate->threshold = 1; /* short messages too */
}

static int serve(const settings *set) {
  static const rill_handlers echo = {.on_message = on_echo};
  static const rill_handlers broadcast = {.on_message = on_broadcast};
  rill_route_opts opts = {.handlers = set->broadcast ? &broadcast : &echo,
                          .any_origin = true};
  rill_config config;
  rill_hub *hub = NULL;
  int rv;

  rill_config_init(&config);
  set_limits(&config.limits, set);
  if (set->deflate)
    set_deflate(&opts.deflate);

  rv = rill_hub_new(&hub, &config);
  if (rv == 0)
    rv = rill_route(hub, "/", RILL_RAW, &opts);
  if (rv == 0)
    rv = rill_route(hub, "/*", RILL_RAW, &opts);
  if (rv == 0 && set->metrics)
    rv = rill_handle(hub, "GET", "/metrics", on_metrics, NULL);
  if (rv == 0)
    rv = rill_epoll_serve(hub, set->address);
  if (rv != 0)
    fprintf(stderr, "echo_server: %s: %s\n", set->address,
            rv == RILL_ERR_IO ? strerror(errno) : rill_strerror(rv));
  rill_hub_free(hub);
  return rv != 0;
}

static const char usage[] =
    "usage: echo_server [options]\n"
    "  --listen ADDRESS    tcp://HOST:PORT or unix:PATH\n"
    "                      (default tcp://127.0.0.1:9000)\n"
    "  --deflate           permessage-deflate, with context takeover and\n"
    "                      15 bits of window where the client wants them\n"
    "  --max-message BYTES longest message (default and most: 67108864)\n"
    "  --max-fragments N   most fragments per message\n"
    "                      (default and most: 1048576)\n"
    "  --idle SECONDS      cut who is silent for so long, after a ping at\n"
    "                      half of it; 0 for never (default 45)\n"
    "  --broadcast         send each message to all, not back to its sender\n"
    "  --metrics           counters at /metrics, for Prometheus\n"
    "  --help              this text\n";

/* Reads a number of |min| to |max|; false and a complaint if it is none. */
static bool read_number(const char *flag, const char *text, uint32_t min,
                        uint32_t max, uint32_t *out) {
  char *end = NULL;
  uintmax_t value;

  errno = 0;
  value = strtoumax(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min ||
      value > max) {
    fprintf(stderr,
            "echo_server: --%s: \"%s\" is not %" PRIu32 " to %" PRIu32 "\n",
            flag, text, min, max);
    return false;
  }
  *out = (uint32_t)value;
  return true;
}

/* Reads the flags.  Returns -1 to go on, or the exit status. */
static int read_flags(settings *set, int argc, char **argv) {
  const struct option flags[] = {
      {"listen", required_argument, NULL, 'l'},
      {"max-message", required_argument, NULL, 'm'},
      {"max-fragments", required_argument, NULL, 'f'},
      {"idle", required_argument, NULL, 'i'},
      {"help", no_argument, NULL, 'h'},
      {"deflate", no_argument, &set->deflate, 1},
      {"broadcast", no_argument, &set->broadcast, 1},
      {"metrics", no_argument, &set->metrics, 1},
      {NULL, 0, NULL, 0}};
  bool ok = true;
  int flag;

  while (ok && (flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
    if (flag == 'l')
      set->address = optarg;
    else if (flag == 'm')
      ok = read_number("max-message", optarg, 1, 67108864, &set->max_message);
    else if (flag == 'f')
      ok =
          read_number("max-fragments", optarg, 1, 1048576, &set->max_fragments);
    else if (flag == 'i')
      ok = read_number("idle", optarg, 0, 86400, &set->idle);
    else if (flag == 'h')
      return fputs(usage, stdout) < 0;
    else
      ok = flag == 0;
  }
  if (ok && optind == argc)
    return -1;
  fputs(usage, stderr);
  return 2;
}

int main(int argc, char **argv) {
  settings set = {.address = "tcp://127.0.0.1:9000",
                  .max_message = 67108864,
                  .max_fragments = 1048576,
                  .idle = UINT32_MAX};
  int status = read_flags(&set, argc, argv);

  return status >= 0 ? status : serve(&set);
}
