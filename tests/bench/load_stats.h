/* load_stats.h - what a run measures: operations, latencies, CPU, memory. */
#ifndef BENCH_LOAD_STATS_H
#define BENCH_LOAD_STATS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Latencies are counted in buckets: 32 per power of two, so that a quantile
 * is at most 3 % off.
 */
enum { STATS_STEPS = 32, STATS_BUCKETS = 60 * STATS_STEPS };

struct load_stats {
  uint64_t ops;   /* in the measured time */
  uint64_t began; /* ns */
  uint64_t ended;
  uint64_t server_cpu; /* ns, between the two */
  uint64_t own_cpu;
  uint64_t slowest;       /* ns */
  uint64_t memory_before; /* idle: bytes of the server */
  uint64_t memory_open;
  uint64_t memory_used; /* after one message on each connection */
  uint64_t buckets[STATS_BUCKETS];
};

/* stats_begin and stats_end frame the measured time; |pid| may be 0. */
void stats_begin(struct load_stats *stats, int pid, uint64_t now);
void stats_end(struct load_stats *stats, int pid, uint64_t now);

/* stats_latency counts a latency of |ns|. */
static inline void stats_latency(struct load_stats *stats, uint64_t ns) {
  unsigned shift = 0;
  size_t at;

  if (ns >= STATS_STEPS)
    shift = 58 - (unsigned)__builtin_clzll(ns);
  at = (size_t)(ns >> shift) + shift * STATS_STEPS;
  stats->buckets[at < STATS_BUCKETS ? at : STATS_BUCKETS - 1]++;
  if (ns > stats->slowest)
    stats->slowest = ns;
}

/* stats_add counts one operation that took |ns|. */
static inline void stats_add(struct load_stats *stats, uint64_t ns) {
  stats_latency(stats, ns);
  stats->ops++;
}

/* stats_quantile is the latency in ns that |part| (0 to 1) stay within. */
uint64_t stats_quantile(const struct load_stats *stats, double part);

/* stats_memory is the memory in bytes that only process |pid| has. */
uint64_t stats_memory(int pid);

/* stats_cpu is the CPU time in ns of all threads of process |pid|. */
uint64_t stats_cpu(int pid);

#endif
