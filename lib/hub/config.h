/* config.h - the host's settings, checked. */
#ifndef RILL__CONFIG_H
#define RILL__CONFIG_H

#include "base/alloc.h"
#include <rill/hub.h>

/* Copies |config| (NULL: the defaults); false if a value is out of range. */
bool rill__config_take(rill_config *out, const rill_config *config);

#endif
