#include "hub/config.h"

#include "base/ip.h"

static const rill_limits defaults = {
#define RILL_X(name, def, max, outcome) .name = (def),
    RILL_LIMITS(RILL_X)
#undef RILL_X
};

void rill_config_init_(rill_config *config, size_t size) {
  rill_config whole = {.size = size,
                       .log_level = RILL_LOG_INFO,
                       .overflow = RILL_DISCONNECT,
                       .limits = defaults};

  memcpy(config, &whole, size < sizeof whole ? size : sizeof whole);
}

static bool is_proxy(rill_str s) {
  rill__net net;
  return rill_str_eq(s, rill_s("unix")) || rill__net_parse(s, &net);
}

bool rill__config_take(rill_config *out, const rill_config *config) {
  rill_config_init(out);
  if (config == NULL)
    return true;
  if (config->size == 0 || config->size > sizeof *out)
    return false;
  memcpy(out, config, config->size);
  out->size = sizeof *out;
  if (out->overflow == RILL_OVERFLOW_DEFAULT)
    out->overflow = RILL_DISCONNECT;
  if (out->overflow > RILL_DROP_OLDEST)
    return false;
  for (size_t i = 0; i < out->nproxies; i++)
    if (!is_proxy(rill_s(out->proxies[i])))
      return false;
#define RILL_X(name, def, max, outcome)                                        \
  if (out->limits.name == 0 || out->limits.name > (max))                       \
    return false;
  RILL_LIMITS(RILL_X)
#undef RILL_X
  return true;
}
