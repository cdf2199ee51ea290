#include <rill/metrics.h>

#include "hub/hub.h"

void rill__hub_breach(rill_hub *hub, int limit) {
  static const size_t at[] = {
#define RILL_X(name, def, max, outcome) offsetof(rill_metrics, limit_##name),
      RILL_LIMITS(RILL_X)
#undef RILL_X
  };
  if (limit >= 0 && (size_t)limit < sizeof at / sizeof at[0])
    ++*(uint64_t *)(void *)((char *)&hub->metrics + at[limit]);
}

void rill_metrics_read(const rill_hub *hub, rill_metrics *out) {
  *out = hub->metrics;
  out->conns = hub->nconns;
  out->peers = hub->peers.open;
  out->queued_bytes = hub->chunks.held - hub->ws.assembly_bytes;
  out->assembly_bytes = hub->ws.assembly_bytes + hub->parts_bytes;
  out->timers = hub->timers.len;
  out->away = hub->naway;
  out->history_bytes = hub->history_bytes;
}

/* Writes what fits, counts all. */
typedef struct text {
  char *buf;
  size_t size, len;
} text;

static void put(text *t, const char *s) {
  for (; *s != '\0'; s++, t->len++)
    if (t->len + 1 < t->size)
      t->buf[t->len] = *s;
}

static void put_u64(text *t, uint64_t n) {
  char digits[21] = "";

  put(t, rill__digits(digits + sizeof digits - 1, n));
}

static void put_head(text *t, const char *name, const char *type,
                     const char *help) {
  put(t, "# HELP rill_");
  put(t, name);
  put(t, " ");
  put(t, help);
  put(t, "\n# TYPE rill_");
  put(t, name);
  put(t, " ");
  put(t, type);
  put(t, "\n");
}

static void put_sample(text *t, const char *name, const char *label,
                       const char *value, uint64_t n) {
  put(t, "rill_");
  put(t, name);
  if (label != NULL) {
    put(t, "{");
    put(t, label);
    put(t, "=\"");
    put(t, value);
    put(t, "\"}");
  }
  put(t, " ");
  put_u64(t, n);
  put(t, "\n");
}

size_t rill_metrics_text(const rill_hub *hub, char *buf, size_t size) {
  static const char *const causes[] = {"none",
#define RILL_X(name, text) #name,
                                       RILL_CAUSES(RILL_X)
#undef RILL_X
  };
  text t = {buf, size, 0};
  rill_metrics m;

  rill_metrics_read(hub, &m);
#define RILL_X(name, type, help)                                               \
  put_head(&t, #name, #type, help);                                            \
  put_sample(&t, #name, NULL, NULL, m.name);
  RILL_METRICS(RILL_X)
#undef RILL_X
  put_head(&t, "limit_reached_total", "counter",
           "how often a limit was reached");
#define RILL_X(name, def, max, outcome)                                        \
  put_sample(&t, "limit_reached_total", "limit", #name, m.limit_##name);
  RILL_LIMITS(RILL_X)
#undef RILL_X
  put_head(&t, "closed_total", "counter", "peers closed, by cause");
  for (size_t i = 1; i < sizeof causes / sizeof causes[0]; i++)
    put_sample(&t, "closed_total", "cause", causes[i], m.closed[i]);
  if (size > 0)
    buf[t.len < size ? t.len : size - 1] = '\0';
  return t.len;
}

const char *rill_cause_text(rill_cause cause) {
  switch (cause) {
  case RILL_CAUSE_NONE:
    break;
#define RILL_X(name, text)                                                     \
  case RILL_CAUSE_##name:                                                      \
    return text;
    RILL_CAUSES(RILL_X)
#undef RILL_X
  }
  return "not closed";
}
