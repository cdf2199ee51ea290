/*
 * sim - runs the worlds of scenario.c and events_scene.c for many seeds:
 * every third is one of the latter.
 *
 *   sim [--seeds N] [--first SEED] [--replay SEEDS] [--once] [--trace]
 *       [--tally]
 *
 * Every eighth seed is run twice: the same seed must be the same run.  The
 * last line has a hash over all runs, to compare builds by.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "scene.h"

static uint64_t total_steps, total_bytes;

static uint64_t run(uint64_t seed, bool trace) {
  world w;
  uint64_t hash;

  sim_world_init(&w, seed, 3, trace);
  if (seed % 3 == 0)
    events_run(&w);
  else
    scene_run(&w);
  sim_world_finish(&w);
  total_steps += w.steps;
  total_bytes += w.bytes;
  hash = w.hash;
  return hash;
}

static uint64_t run_checked(uint64_t seed, bool twice, bool trace) {
  uint64_t hash = run(seed, trace);

  if (twice && run(seed, false) != hash) {
    fprintf(stderr, "sim: seed %" PRIu64 ": I-DET: two runs differ\n", seed);
    exit(1);
  }
  return hash;
}

static uint64_t mix(uint64_t all, uint64_t hash) {
  return (all ^ hash) * 1099511628211u;
}

/* Seeds that failed once, one a line; "#" begins a comment. */
static unsigned run_file(const char *path, uint64_t *all) {
  FILE *f = fopen(path, "r");
  char line[200];
  unsigned n = 0;

  if (f == NULL) {
    perror(path);
    exit(2);
  }
  while (fgets(line, sizeof line, f) != NULL) {
    char *rest;
    uint64_t seed = strtoull(line, &rest, 10);
    if (rest == line)
      continue;
    *all = mix(*all, run_checked(seed, true, false));
    n++;
  }
  fclose(f);
  return n;
}

int main(int argc, char **argv) {
  uint64_t seeds = 60, first = 1, all = 1;
  bool trace = false, once = false, given = false, tally = false;
  const char *file = NULL;
  unsigned from_file = 0;

  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--trace") == 0) {
      trace = true;
    } else if (strcmp(argv[i], "--tally") == 0) {
      tally = true;
    } else if (strcmp(argv[i], "--once") == 0) {
      once = true;
    } else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0) {
      seeds = strtoull(argv[++i], NULL, 10);
      given = true;
    } else if (i + 1 < argc && strcmp(argv[i], "--first") == 0) {
      first = strtoull(argv[++i], NULL, 10);
    } else if (i + 1 < argc && strcmp(argv[i], "--replay") == 0) {
      file = argv[++i];
    } else {
      fprintf(stderr, "usage: sim [--seeds N] [--first SEED] [--replay SEEDS] "
                      "[--once] [--trace] [--tally]\n");
      return 2;
    }
  }
  if (file != NULL) {
    from_file = run_file(file, &all);
    if (!given)
      seeds = 0;
  }
  for (uint64_t i = 0; i < seeds; i++)
    all = mix(all, run_checked(first + i, !once && i % 8 == 0, trace));
  if (tally)
    scene_print_tally();
  printf("sim: %" PRIu64 " seeds from %" PRIu64 ", %u from a file: good "
         "(%" PRIu64 " steps, %" PRIu64 " bytes, hash %016" PRIx64 ")\n",
         seeds, first, from_file, total_steps, total_bytes, all);
  return 0;
}
