/* load_stats.c - counting, and reading what /proc knows of the server. */
#define _GNU_SOURCE
#include "load_stats.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t stats_cpu(int pid) {
  char path[64], file[400];
  uint64_t total = 0, ns;
  struct dirent *entry;
  DIR *tasks;
  FILE *f;

  snprintf(path, sizeof path, "/proc/%d/task", pid);
  tasks = opendir(path);
  if (!tasks)
    return 0;
  while ((entry = readdir(tasks)) != NULL) {
    snprintf(file, sizeof file, "%s/%s/schedstat", path, entry->d_name);
    f = entry->d_name[0] == '.' ? NULL : fopen(file, "r");
    if (!f)
      continue;
    if (fscanf(f, "%" SCNu64, &ns) == 1)
      total += ns;
    fclose(f);
  }
  closedir(tasks);
  return total;
}

uint64_t stats_memory(int pid) {
  uint64_t total = 0, kib;
  char path[64], line[200];
  FILE *f;

  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
  f = fopen(path, "r");
  if (!f)
    return 0;
  while (fgets(line, sizeof line, f))
    if (sscanf(line, "Private_Clean: %" SCNu64, &kib) == 1 ||
        sscanf(line, "Private_Dirty: %" SCNu64, &kib) == 1)
      total += kib * 1024;
  fclose(f);
  return total;
}

static uint64_t own_cpu(void) {
  struct timespec t;

  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void stats_begin(struct load_stats *stats, int pid, uint64_t now) {
  memset(stats->buckets, 0, sizeof stats->buckets);
  stats->ops = 0;
  stats->slowest = 0;
  stats->server_cpu = pid ? stats_cpu(pid) : 0;
  stats->own_cpu = own_cpu();
  stats->began = now;
}

void stats_end(struct load_stats *stats, int pid, uint64_t now) {
  stats->server_cpu = (pid ? stats_cpu(pid) : 0) - stats->server_cpu;
  stats->own_cpu = own_cpu() - stats->own_cpu;
  stats->ended = now;
}

static uint64_t bucket_value(size_t at) {
  size_t shift;

  if (at < 2 * STATS_STEPS)
    return at;
  shift = at / STATS_STEPS - 1;
  return (uint64_t)(at - shift * STATS_STEPS) << shift;
}

uint64_t stats_quantile(const struct load_stats *stats, double part) {
  double left = 0;
  size_t i;

  for (i = 0; i < STATS_BUCKETS; i++)
    left += part * (double)stats->buckets[i];
  for (i = 0; i < STATS_BUCKETS; i++) {
    left -= (double)stats->buckets[i];
    if (left < 0)
      break;
  }
  return i < STATS_BUCKETS ? bucket_value(i) : stats->slowest;
}
