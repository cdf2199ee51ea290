/*
 * script.h - a client by hand, between script.c and script_text.c.
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "scene.h"

struct script {
  world *w;
  end *end;
  pair *pair;
  int kind;
  reader rd;
  uint8_t *out; /* to be written */
  size_t len, cap, sent;
  size_t drip;    /* bytes at a time, 0: as many as there are */
  rill_time next; /* nothing is written before */
  bool reads;
  bool closing; /* a close frame was written */
  bool leaving; /* to be closed once all is written */
  bool reset;   /* by a reset */
  unsigned asked, answered;
  bool said_close; /* an answer was the last of its connection */
};

/* Writes what a client of its kind has to say from the start. */
void script_compose(script *s);

#endif
