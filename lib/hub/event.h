/*
 * event.h - events on their way in: who handles them, and how often they
 * may come.
 */
#ifndef RILL__EVENT_H
#define RILL__EVENT_H

#include "hub/space.h"

struct rill_event {
  rill__peer *peer;
  rill_str name;
  const rill__node *args; /* an array */
  rill_ack_to ack;
};

/*
 * Gives the event whose array ["name",args...] is node |at| of hub->tape to
 * its handlers.  Returns what the host's handlers said: 0, RILL_PAUSE, or a
 * negative value after the peer has been closed.
 */
int rill__event_deliver(rill__peer *p, uint32_t at, bool wants, uint64_t id);
/* The same, of a name and an array of arguments. */
int rill__event_handle(rill__peer *p, rill_str name, const rill__node *args,
                       bool wants, uint64_t id);

/* Writes an answer as the peer's dialect does; as rill_send. */
int rill__event_answer(rill__peer *p, uint64_t id, const rill__node *args);

/*
 * As rill_ack, for answers of the hub's own: where there is no memory for one
 * the peer is cut, as it would wait for it for ever.
 */
int rill__ack(rill_ack_to to, const rill_builder *args);
/* As rill_event_fail, of an event that is past. */
void rill__ack_fail(rill_ack_to ack, rill_str event, const char *code,
                    const char *message);

void rill__rates_free(rill_hub *hub, struct rill__rates *rates);

#endif
