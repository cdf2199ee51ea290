/*
 * notice.h - one notification: its record in the store, and the event that
 * clients are told.
 *
 * A record's data is ["NAME",EXPIRES,"KEY",ARGUMENTS...] as MessagePack, its
 * id the notification's, its offset and time too.
 */
#ifndef RILL__NOTICE_H
#define RILL__NOTICE_H

#include "base/list.h"
#include "hub/hub.h"

/* One that is not acknowledged. */
typedef struct rill__notice {
  rill__link link; /* in inbox->notices */
  uint64_t offset, time_ms;
  uint64_t expires_ms;  /* 0: never */
  rill_time missed_at;  /* RILL_NEVER: on_missed does not wait for it */
  rill_str id, key, data; /* in |text|; the key within the data */
  size_t size;
  char text[];
} rill__notice;

/* Writes the data of a record; |out| says whether there was memory. */
void rill__notice_write(rill__bytes *out, rill_str name,
                        const rill__node *args, rill_str key,
                        uint64_t expires_ms);
/*
 * Makes one of a record.  NULL and |*rv|: no memory, or RILL_ERR_IO where
 * the data is not of this library's writing.
 */
rill__notice *rill__notice_new(rill_hub *hub, const rill_record *record,
                               int *rv);
void rill__notice_free(rill_hub *hub, rill__notice *n);
/* Its name and arguments, at the end of |tape|; false: no memory. */
bool rill__notice_read(const rill__notice *n, rill__tape *tape, rill_str *name,
                       rill_value *args);
/* Writes the event's argument; 0, or the builder's error. */
int rill__notice_put(rill_builder *b, const rill__notice *n, size_t unread,
                     rill_str replaces);

#endif
