/* envelope_kit.h - clients of the envelope, in either form. */
#ifndef ENVELOPE_KIT_H
#define ENVELOPE_KIT_H

#include "talk.h"

#define OPENED "{\"open\":\"*\",\"recovered\":false}"

/* What both forms have in common is tested in both; |more| is its mark. */
static inline end *open_as(pair *p, bool packs) {
  return talk_json_at(p, "/json", packs);
}

/* The answer to |json|, as text whatever the form. */
static const char *ask(end *e, const char *json) {
  const char *text;

  say(e, json);
  text = said(e);
  return text[0] == '#' ? text + 1 : text;
}

static rill_request *waiting;

static inline int later(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "auth") != 0)
    return 0;
  waiting = e->req;
  return RILL_LATER;
}

static inline int reply_args(pair *p, const event *e) {
  (void)p;
  if (strcmp(e->name, "event") == 0 && rill_event_ack(talk_ev).wanted) {
    rill_builder *b = rill_build(p->hub);
    for (size_t i = 0; i < rill_event_count(talk_ev); i++)
      rill_put_value(b, rill_event_arg(talk_ev, i));
    assert_int_equal(rill_event_reply(talk_ev, b), 0);
  }
  return 0;
}

#endif
