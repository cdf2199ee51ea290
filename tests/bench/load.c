/*
 * load.c - the command: options, one run, one line of JSON.
 *
 *   load echo   --port N [--conns 100] [--depth 1] [--size 64]
 *   load fanout --port N [--conns 1000] [--pubs 1] [--window 1] [--size 128]
 *   load idle   --port N [--conns 1000]
 *   load churn  --port N [--conns 100] [--size 64]
 *
 * Common: --pid N (the server's, for its CPU time and memory), --text,
 * --seconds S, --warmup S, --label NAME, --dialect ws|socketio|sse (churn
 * knows ws alone, sse is for fanout: its publishers are WebSockets beside
 * the streams).  Exit status 1 and a reason on stderr if anything went
 * wrong: then there is no line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

enum { MAX_SIZE = 16 * 1024 * 1024 };

static int usage(void) {
  fprintf(stderr, "usage: load echo|fanout|idle|churn --port N [--pid N]\n"
                  "  [--conns N] [--depth N] [--size BYTES] [--pubs N]\n"
                  "  [--window N] [--seconds S] [--warmup S] [--text]\n"
                  "  [--label NAME] [--dialect ws|socketio|sse]\n");
  return 2;
}

/* A whole number from |min| to |max|, or 0. */
static size_t number(const char *text, size_t min, size_t max) {
  char *end;
  unsigned long n = strtoul(text, &end, 10);

  return *end || n < min || n > max ? 0 : n;
}

static bool dialect_fits(const struct load_options *o) {
  if (!o->dialect)
    return false;
  if (!o->dialect->upgrades)
    return strcmp(o->work, "fanout") == 0;
  return strcmp(o->work, "churn") != 0 || !o->dialect->greet;
}

static bool options_read(struct load_options *o, int argc, char **argv) {
  static const struct option names[] = {
      {"port", 1, NULL, 'p'},   {"pid", 1, NULL, 'i'},
      {"conns", 1, NULL, 'c'},  {"depth", 1, NULL, 'd'},
      {"size", 1, NULL, 's'},   {"pubs", 1, NULL, 'b'},
      {"window", 1, NULL, 'w'}, {"seconds", 1, NULL, 't'},
      {"warmup", 1, NULL, 'u'}, {"label", 1, NULL, 'l'},
      {"text", 0, NULL, 'x'},   {"dialect", 1, NULL, 'a'},
      {NULL, 0, NULL, 0}};
  int name;

  while ((name = getopt_long(argc, argv, "", names, NULL)) != -1)
    switch (name) {
    case 'p':
      o->port = (int)number(optarg, 1, 65535);
      break;
    case 'i':
      o->pid = (int)number(optarg, 1, 1 << 30);
      break;
    case 'c':
      o->conns = number(optarg, 1, 1000000);
      break;
    case 'd':
      o->depth = number(optarg, 1, 65536);
      break;
    case 's':
      o->size = number(optarg, 1, MAX_SIZE);
      break;
    case 'b':
      o->pubs = number(optarg, 1, 64);
      break;
    case 'w':
      o->window = number(optarg, 1, 65536);
      break;
    case 't':
      o->seconds = strtod(optarg, NULL);
      break;
    case 'u':
      o->warmup = strtod(optarg, NULL);
      break;
    case 'l':
      o->label = optarg;
      break;
    case 'x':
      o->text = true;
      break;
    case 'a':
      o->dialect = load_dialect_find(optarg);
      break;
    default:
      return false;
    }
  return o->port && o->conns && o->depth && o->size && o->pubs && o->window &&
         o->seconds > 0 && o->seconds < 600 && o->warmup >= 0 &&
         o->warmup < 600 && optind == argc && dialect_fits(o);
}

static void options_default(struct load_options *o, const char *work) {
  bool fanout = strcmp(work, "fanout") == 0;

  o->work = work;
  o->label = "";
  o->dialect = load_dialect_find("ws");
  o->conns = fanout || strcmp(work, "idle") == 0 ? 1000 : 100;
  o->depth = o->pubs = o->window = 1;
  o->size = fanout ? 128 : 64;
  o->seconds = 2;
  o->warmup = 0.5;
}

static bool load_init(struct load *load) {
  const struct load_options *o = &load->options;
  const struct load_dialect *publisher = load_dialect_find("publisher");
  struct rlimit files;
  size_t i;

  load->count = o->conns + (o->dialect->upgrades ? 0 : o->pubs);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  load->poll_fd = epoll_create1(EPOLL_CLOEXEC);
  load->conns = calloc(load->count, sizeof *load->conns);
  load->input = malloc(LOAD_INPUT);
  if (load->poll_fd < 0 || !load->conns || !load->input)
    return false;
  for (i = 0; i < load->count; i++) {
    load->conns[i].id = i;
    load->conns[i].dialect = i < o->conns ? o->dialect : publisher;
  }
  return true;
}

static void load_finish(struct load *load) {
  size_t i;

  for (i = 0; load->conns && i < load->count; i++)
    load_close(load, &load->conns[i]);
  close(load->poll_fd);
  free(load->conns);
  free(load->input);
}

static double per_conn(const struct load *load, uint64_t memory) {
  double grown = (double)memory - (double)load->stats.memory_before;

  return grown / (double)(load->options.conns - 1);
}

static void report(const struct load *load) {
  const struct load_options *o = &load->options;
  const struct load_stats *s = &load->stats;
  double span = (double)(s->ended - s->began), ops = (double)s->ops;

  printf("{\"label\":\"%s\",\"work\":\"%s\",\"conns\":%zu,\"seconds\":%.3f,"
         "\"server_cpu\":%.4f,\"own_cpu\":%.4f",
         o->label, o->work, o->conns, span / 1e9, (double)s->server_cpu / span,
         (double)s->own_cpu / span);
  if (strcmp(o->work, "idle") == 0)
    printf(",\"bytes_per_conn\":%.1f,\"bytes_per_used_conn\":%.1f}\n",
           per_conn(load, s->memory_open), per_conn(load, s->memory_used));
  else
    printf(",\"ops\":%llu,\"per_second\":%.0f,\"server_ns_per_op\":%.1f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
           (unsigned long long)s->ops, ops * 1e9 / span,
           (double)s->server_cpu / ops, (double)stats_quantile(s, 0.5) / 1e3,
           (double)stats_quantile(s, 0.99) / 1e3, (double)s->slowest / 1e3);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(struct load *load);
  } works[] = {{"echo", load_echo},
               {"fanout", load_fanout},
               {"idle", load_idle},
               {"churn", load_churn}};
  static struct load load;
  size_t i = 0, count = sizeof works / sizeof works[0];

  while (argc > 1 && i < count && strcmp(argv[1], works[i].name) != 0)
    i++;
  if (argc < 2 || i == count)
    return usage();
  options_default(&load.options, works[i].name);
  if (!options_read(&load.options, argc - 1, argv + 1))
    return usage();
  if (i == 2 && (load.options.conns < 2 || !load.options.pid))
    return usage(); /* idle measures the growth of a process */
  signal(SIGPIPE, SIG_IGN);
  if (!load_init(&load))
    load_fail(&load, "%s", strerror(errno));
  else
    works[i].run(&load);
  if (!load.failure[0] && load.stats.ops == 0 && i != 2)
    load_fail(&load, "nothing came back in the measured time");
  if (load.failure[0])
    fprintf(stderr, "load: %s\n", load.failure);
  else
    report(&load);
  load_finish(&load);
  return load.failure[0] != '\0';
}
