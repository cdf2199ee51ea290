/*
 * caller.c - a client: how it connects, speaks, loses its connection and
 * comes back.  Events that come before the answer to its connecting are held
 * until then, as the stock clients do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"

static const wire_owner owner_of_wires = {.opened = caller_opened,
                                          .message = caller_message,
                                          .body = caller_body,
                                          .stream = caller_stream,
                                          .ended = caller_ended};

wire *caller_wire(caller *c) {
  return wire_new(c->w, &owner_of_wires, c);
}

caller *caller_new(world *w) {
  events *s = w->events;
  caller *c = calloc(1, sizeof *c);
  uint32_t dialect = sim_below(w, 10);

  if (c == NULL)
    abort();
  if (s->ncallers == s->callers_cap) {
    s->callers_cap = s->callers_cap * 2 + 16;
    s->callers = realloc(s->callers, s->callers_cap * sizeof(caller *));
    if (s->callers == NULL)
      abort();
  }
  s->callers[s->ncallers++] = c;
  c->w = w;
  c->id = s->ncallers;
  c->dialect = dialect < 6 ? SOCKETIO : dialect < 8 ? ENVELOPE : SSE;
  c->plan = (int)sim_below(w, 3);
  c->rooms = 1 + sim_below(w, 7);
  sim_later(w, sim_below(w, 500) * RILL_MSEC, caller_start, c, 0);
  return c;
}

static void give_up(world *w, void *a, uint64_t life) {
  caller *c = a;

  if (c->life == life && c->state != TALKING && c->state != LEFT)
    caller_lose(c, "no answer");
  (void)w;
}

void caller_start(world *w, void *a, uint64_t life) {
  caller *c = a;
  char rooms[60] = "";

  if (c->state != DOWN || c->life != life)
    return;
  c->state = HELLO;
  sim_note(w, "call", c->id, (uint64_t)c->dialect, c->rooms);
  sim_later(w, 12 * RILL_SEC, give_up, c, c->life);
  if (c->dialect == ENVELOPE) {
    c->ws = caller_wire(c);
    wire_upgrade(c->ws, "/json", "");
  } else if (c->dialect == SSE) {
    for (uint32_t i = 1; i < 3; i++)
      if ((c->rooms >> i & 1) != 0)
        sprintf(rooms + strlen(rooms), "&room=%s", events_room(i).ptr);
    c->get = caller_wire(c);
    wire_text(c->get, "GET /sse%s?token=c%u%s HTTP/1.1\r\nHost: a\r\n",
              (c->rooms & 1) != 0 ? "/r0" : "", c->id, rooms);
    if (c->offset[0] != '\0')
      wire_text(c->get, "Last-Event-ID: %s\r\n", c->offset);
    wire_text(c->get, "\r\n");
    c->get->asked++;
  } else if (c->plan == WEBSOCKET) {
    c->on_ws = true;
    c->ws = caller_wire(c);
    wire_upgrade(c->ws, "/sio/?EIO=4&transport=websocket", "");
  } else {
    c->get = caller_wire(c);
    wire_text(c->get, "GET " SIO_PATH "polling HTTP/1.1\r\nHost: a\r\n\r\n");
    c->get->asked++;
    c->polling = true;
  }
}

void caller_opened(void *owner, wire *r) {
  caller *c = owner;

  if (c->dialect == ENVELOPE) {
    c->state = CONNECTING;
    if (c->secret[0] == '\0')
      caller_packet(c, 0, "{\"open\":{\"token\":\"c%u\"}}", c->id);
    else
      caller_packet(c, 0,
                    "{\"open\":{\"token\":\"c%u\"},\"resume\":\"%s\""
                    ",\"offset\":\"%s\"}",
                    c->id, c->secret, c->offset);
  } else if (!c->on_ws) {
    wire_frame(r, 0x81, "2probe", 6);
  }
}

void caller_ended(void *owner, wire *r) {
  caller *c = owner;

  if (r == c->get && c->dialect == SOCKETIO && !c->polling) {
    c->get = NULL; /* between two requests: nothing is lost */
    wire_close(r);
  } else if (r == c->post && !c->posting) {
    c->post = NULL;
    wire_close(r);
  } else if (r == c->ws && !c->on_ws && c->dialect == SOCKETIO &&
             c->up_state == UP_OPENING) {
    c->up_state = UP_NONE; /* it stays with polling */
    c->plan = POLLING;
    c->ws = NULL;
    wire_close(r);
  } else {
    caller_lose(c, "cut");
  }
}

static void hang_up(caller *c) {
  c->life++;
  wire_close(c->get);
  wire_close(c->post);
  wire_close(c->ws);
  c->get = c->post = c->ws = NULL;
  c->polling = c->posting = c->on_ws = false;
  c->up_state = UP_NONE;
  c->post_up = 0;
  c->nparts = c->nheld = 0;
  c->stream_len = 0;
  caller_forget(c);
}

void caller_lose(caller *c, const char *why) {
  world *w = c->w;
  uint32_t most = sim_chance(w, 20) ? 9000 : 1500;

  if (c->state == DOWN || c->state == LEFT)
    return;
  sim_note(w, why, c->id, (uint64_t)c->state, c->life);
  hang_up(c);
  c->state = DOWN;
  if (!w->events->ending)
    sim_later(w, sim_below(w, w->calm ? 500 : most) * RILL_MSEC, caller_start,
              c, c->life);
}

static void go(world *w, void *a, uint64_t life) {
  caller *c = a;

  (void)w;
  if (c->life != life)
    return;
  hang_up(c);
  c->state = LEFT;
}

/* For good: with a word, or without. */
void caller_leave(caller *c) {
  world *w = c->w;

  if (c->state == LEFT)
    return;
  sim_note(w, "leaves", c->id, (uint64_t)c->state, 0);
  if (c->state != TALKING || sim_chance(w, 30)) {
    go(w, c, c->life);
    return;
  }
  if (c->dialect == SOCKETIO)
    caller_packet(c, 0, sim_chance(w, 50) ? "41" : "1");
  else if (c->dialect == ENVELOPE)
    wire_frame(c->ws, 0x88, "\x03\xe8", 2);
  sim_later(w, RILL_SEC, go, c, c->life);
}

static void deliver(caller *c, const arrival *a) {
  world *w = c->w;

  sim_note(w, "got", c->id, a->n, a->asks);
  if (strcmp(a->name, "key") == 0) {
    if (a->n <= c->newest_key)
      sim_breach(w, "I-KEYED", "an older value behind a newer", c->newest_key,
                 a->n);
    c->newest_key = a->n;
  } else if (strcmp(a->name, "error") == 0) {
    sim_breach(w, "I-EVENT", "an error that nobody made", c->id, 0);
  } else {
    guest_got(c->guest, a->n);
  }
  if (a->offset[0] != '\0') {
    memcpy(c->offset, a->offset, sizeof c->offset);
    c->cursor = a->n; /* back, where a replay follows a fresh session */
  }
  if (!a->asks || !sim_chance(w, 85))
    return;
  if (c->dialect == SOCKETIO)
    caller_packet(c, 0, "43%llu[%u]", (unsigned long long)a->ask, a->n);
  else
    caller_packet(c, 0, "{\"ack\":%llu,\"args\":[%u]}",
                  (unsigned long long)a->ask, a->n);
}

void caller_connected(caller *c, rill_str sid, rill_str secret) {
  guest *g = guest_by_sid(c->w, sid);
  uint32_t n = c->nheld, life = c->life;

  if (g == NULL || c->state == TALKING)
    sim_breach(c->w, "I-OPEN", "connected to nobody", c->id, sid.len);
  sim_note(c->w, "connected", c->id, g->id, c->guest == g);
  if (c->guest != g) {
    c->up = 0;
    c->newest_key = 0;
    c->nanswers = 0;
    if (c->dialect != SSE)
      c->offset[0] = '\0';
    if (n > 0)
      sim_breach(c->w, "I-EVENT", "events before its session", c->id, n);
  }
  c->guest = g;
  if (g->caller != c)
    sim_breach(c->w, "I-OPEN", "connected as somebody else", c->id, g->id);
  memset(c->secret, 0, sizeof c->secret);
  if (secret.len == 20)
    memcpy(c->secret, secret.ptr, 20);
  c->state = TALKING;
  c->nheld = 0;
  for (uint32_t i = 0; i < n && c->life == life; i++)
    deliver(c, &c->held[i]);
}

void caller_arrived(caller *c, const arrival *a) {
  if (c->state == TALKING) {
    deliver(c, a);
    return;
  }
  if (c->dialect != SOCKETIO || c->state != CONNECTING)
    sim_breach(c->w, "I-EVENT", "an event before the session", c->id, a->n);
  if (c->nheld < sizeof c->held / sizeof c->held[0])
    c->held[c->nheld++] = *a;
}

void caller_answered(caller *c, uint64_t id) {
  for (uint32_t i = 0; i < c->nanswers; i++)
    if (c->answers[i].id == id) {
      c->answers[i] = c->answers[--c->nanswers];
      return;
    }
  sim_breach(c->w, "I-ACK", "an answer that nobody waits for", c->id, id);
}

static void post_event(caller *c) {
  char body[120];

  if (c->posting || c->secret[0] == '\0')
    return;
  if (c->post == NULL)
    c->post = caller_wire(c);
  c->post_up = ++c->up;
  snprintf(body, sizeof body,
           "{\"event\":\"up\",\"args\":[%u],\"session\":\"%s\"}", c->up,
           c->secret);
  wire_text(c->post,
            "POST /sse%s?token=c%u HTTP/1.1\r\nHost: a\r\n"
            "Content-Length: %zu\r\n\r\n%s",
            (c->rooms & 1) != 0 ? "/r0" : "", c->id, strlen(body), body);
  c->post->asked++;
  c->posting = true;
}

void caller_send_event(caller *c) {
  world *w = c->w;
  bool acked = sim_chance(w, 40) && c->nanswers < 64, bytes;
  const char *name = acked ? "ask" : "up";
  char id[24] = "";

  if (c->state != TALKING || c->nqueue > 50)
    return;
  if (c->dialect == SSE) {
    post_event(c);
    return;
  }
  c->up++;
  if (acked) {
    c->answers[c->nanswers++] = (struct answer){++c->next_id, c->life};
    snprintf(id, sizeof id, "%s%llu", c->dialect == SOCKETIO ? "" : ",\"id\":",
             (unsigned long long)c->next_id);
  }
  sim_note(w, "says", c->id, c->up, acked);
  if (c->dialect == ENVELOPE) {
    caller_packet(c, c->up, "{\"event\":\"%s\",\"args\":[%u]%s}", name, c->up,
                  id);
    return;
  }
  bytes = sim_chance(w, 20);
  if (!bytes) {
    caller_packet(c, c->up, "42%s[\"%s\",%u]", id, name, c->up);
    return;
  }
  caller_packet(c, 0, "451-%s[\"%s\",%u,{\"_placeholder\":true,\"num\":0}]",
                id, name, c->up);
  caller_packet(c, c->up, "bAQID");
}

void caller_free(caller *c) {
  caller_forget(c);
  free(c->stream);
  free(c);
}
