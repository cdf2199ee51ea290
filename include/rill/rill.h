/*
 * rill/rill.h - everything of the core; the adapters have their own headers.
 */
#ifndef RILL_RILL_H
#define RILL_RILL_H

#include <rill/base.h>
#include <rill/client.h>
#include <rill/conn.h>
#include <rill/event.h>
#include <rill/history.h>
#include <rill/hub.h>
#include <rill/limits.h>
#include <rill/metrics.h>
#include <rill/notify.h>
#include <rill/presence.h>
#include <rill/room.h>
#include <rill/store.h>
#include <rill/token.h>
#include <rill/value.h>

#endif
