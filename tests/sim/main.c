/*
 * sim - runs the worlds of scenario.c, events_scene.c and kept_scene.c for
 * many seeds; which one is the seed's choice, but for --scene: "bytes",
 * "events" or "kept".
 *
 *   sim [--seeds N] [--first SEED] [--replay SEEDS] [--once] [--trace]
 *       [--tally] [--scene NAME]
 *
 * Every eighth seed is run twice: the same seed must be the same run.  The
 * last line has a hash over all runs, to compare builds by.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "kept.h"
#include "scene.h"

static uint64_t total_steps, total_bytes;

typedef void (*scene_fn)(world *w);

static const struct {
  const char *name;
  scene_fn run;
} scenes[] = {{"bytes", scene_run}, {"events", events_run}, {"kept", kept_run}};

/* NULL where the seed shall choose, or there is none of this name. */
static scene_fn only;

static scene_fn scene_named(const char *name) {
  for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
    if (strcmp(scenes[i].name, name) == 0)
      return scenes[i].run;
  return NULL;
}

static scene_fn scene_of(uint64_t seed) {
  if (only != NULL)
    return only;
  return seed % 3 == 0 ? events_run : seed % 6 == 4 ? kept_run : scene_run;
}

static uint64_t run(uint64_t seed, bool trace) {
  world w;
  uint64_t hash;

  sim_world_init(&w, seed, 3, trace);
  scene_of(seed)(&w);
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

/* Seeds that failed once, one a line, and the scene where it is not the
 * seed's choice; "#" begins a comment. */
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
    rest[strcspn(rest, "\n")] = '\0';
    only = scene_named(rest + strspn(rest, " "));
    *all = mix(*all, run_checked(seed, true, false));
    n++;
  }
  only = NULL;
  fclose(f);
  return n;
}

int main(int argc, char **argv) {
  uint64_t seeds = 60, first = 1, all = 1;
  bool trace = false, once = false, given = false, tally = false;
  const char *file = NULL;
  scene_fn chosen = NULL;
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
    } else if (i + 1 < argc && strcmp(argv[i], "--scene") == 0 &&
               scene_named(argv[i + 1]) != NULL) {
      chosen = scene_named(argv[++i]);
    } else {
      fprintf(stderr, "usage: sim [--seeds N] [--first SEED] [--replay SEEDS] "
                      "[--once] [--trace] [--tally] [--scene NAME]\n");
      return 2;
    }
  }
  if (file != NULL) {
    from_file = run_file(file, &all);
    if (!given)
      seeds = 0;
  }
  only = chosen;
  for (uint64_t i = 0; i < seeds; i++)
    all = mix(all, run_checked(first + i, !once && i % 8 == 0, trace));
  if (tally)
    scene_print_tally();
  printf("sim: %" PRIu64 " seeds from %" PRIu64 ", %u from a file: good "
         "(%" PRIu64 " steps, %" PRIu64 " bytes, hash %016" PRIx64 ")\n",
         seeds, first, from_file, total_steps, total_bytes, all);
  return 0;
}
