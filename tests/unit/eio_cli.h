/*
 * eio_cli.h - what a client of eio.h says and hears.  A part of eio.h.
 */
#ifndef EIO_CLI_H
#define EIO_CLI_H

#define WS_LINES                                                               \
  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
  "Sec-WebSocket-Key: " PAIR_KEY "\r\n"

/* Adds a request to what |e| says; |body| NULL has none. */
static inline void http_put(end *e, const char *method, const char *target,
                            const char *more, const char *body, size_t len) {
  char head[1200];

  snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: example.org\r\n%s",
           method, target, more);
  buf_text(&e->tx, head);
  if (body != NULL) {
    snprintf(head, sizeof head,
             "Content-Type: text/plain;charset=UTF-8\r\n"
             "Content-Length: %zu\r\n",
             len);
    buf_text(&e->tx, head);
  }
  buf_text(&e->tx, "\r\n");
  if (body != NULL)
    buf_add(&e->tx, body, len);
}

/* "200 ok", with "; eof" where the stream ended; "" for no answer yet. */
static inline const char *http_answer(end *e) {
  static buf out;
  const char *took = end_took(e), *rest = strstr(took, "; eof");

  buf_clear(&out);
  buf_add(&out, took, rest != NULL ? (size_t)(rest - took) : strlen(took));
  if (took[0] >= '1' && took[0] <= '9' && e->http_body.len > 0) {
    buf_text(&out, " ");
    buf_add(&out, e->http_body.data, e->http_body.len);
  }
  buf_text(&out, rest != NULL ? rest : "");
  return (const char *)out.data;
}

static inline const char *http(end *e, const char *method, const char *target,
                               const char *more, const char *body) {
  http_put(e, method, target, more, body, body != NULL ? strlen(body) : 0);
  pair_turn(e->p);
  return http_answer(e);
}

/* A header of the last answer, "" where there is none. */
static inline const char *http_said(const end *e, const char *name) {
  static char value[256];
  return head_value(&e->http_head, name, value) != NULL ? value : "";
}

static inline cli *cli_new(world *w, const char *path) {
  cli *c = &w->cli[w->nclis++];

  MUST(w->nclis <= 32);
  *c = (cli){.w = w, .path = path};
  return c;
}

static inline const char *cli_target(const cli *c, const char *transport) {
  static char text[200];

  snprintf(text, sizeof text, "%s?EIO=4&transport=%s%s%s", c->path, transport,
           c->sid[0] != '\0' ? "&sid=" : "", c->sid);
  return text;
}

static inline void heard(cli *c, const char *what, size_t len) {
  if (c->heard.len > 0)
    buf_text(&c->heard, " | ");
  buf_add(&c->heard, what, len);
}

/* The 20 characters behind |key| in |text|, taken to |out| if they are there.
 */
static inline bool take_id(const char *text, const char *key, char *out) {
  const char *at = strstr(text, key);

  if (at == NULL || strlen(at) < strlen(key) + RILL__SID)
    return false;
  memcpy(out, at + strlen(key), RILL__SID);
  out[RILL__SID] = '\0';
  return true;
}

/* A new session on long-polling; its OPEN has been taken. */
static inline cli *cli_polling(world *w, const char *path) {
  cli *c = cli_new(w, path);
  const char *text;

  c->get = pair_accept(w->p);
  text = http(c->get, "GET", cli_target(c, "polling"), "", NULL);
  MUST(strncmp(text, "200 0{\"sid\":\"", 13) == 0);
  MUST(take_id(text, "\"sid\":\"", c->sid));
  return c;
}

static inline void ws_hello(end *e, const char *target, const char *more) {
  end_hello(e, target, more);
}

static inline cli *cli_websocket(world *w, const char *path) {
  cli *c = cli_new(w, path);
  const char *text;

  c->ws = pair_accept(w->p);
  ws_hello(c->ws, cli_target(c, "websocket"), "");
  text = end_took(c->ws);
  MUST(strncmp(text, "101; text 0{\"sid\":\"", 19) == 0);
  MUST(take_id(text, "\"sid\":\"", c->sid));
  return c;
}

static inline cli *cli_json(world *w) {
  cli *c = cli_new(w, "/json");

  c->raw = true;
  c->ws = pair_accept(w->p);
  ws_hello(c->ws, "/json", "");
  MUST(strcmp(end_took(c->ws), "101") == 0);
  return c;
}

/* Begins a GET where none is under way. */
static inline void cli_poll(cli *c) {
  if (c->waits)
    return;
  if (c->get == NULL || c->get->conn == NULL)
    c->get = pair_accept(c->w->p);
  http_put(c->get, "GET", cli_target(c, "polling"), "", NULL, 0);
  pair_turn(c->w->p);
  c->waits = true;
}

/* POSTs |len| bytes and returns the answer. */
static inline const char *cli_post_bytes(cli *c, const char *body, size_t len) {
  if (c->post == NULL || c->post->conn == NULL)
    c->post = pair_accept(c->w->p);
  http_put(c->post, "POST", cli_target(c, "polling"), "", body, len);
  pair_turn(c->w->p);
  return http_answer(c->post);
}

static inline const char *cli_post(cli *c, const char *body) {
  return cli_post_bytes(c, body, strlen(body));
}

static inline void ws_say(end *e, const char *packet) {
  uint8_t bytes[4096];
  size_t len = strlen(packet);
  int64_t n;

  if (packet[0] != 'b') {
    end_put(e, 0x81, packet, len);
    return;
  }
  MUST(len <= sizeof bytes);
  n = rill__base64_decode((char *)bytes, (rill_str){packet + 1, len - 1});
  MUST(n >= 0);
  end_put(e, 0x82, bytes, (size_t)n);
}

/* Says packets, joined by "|", the way the client is on. */
static inline void cli_say(cli *c, const char *packets) {
  size_t len = strlen(packets), from = 0;
  char one[4096];

  MUST(len < sizeof one);
  if (c->ws == NULL) {
    memcpy(one, packets, len + 1);
    for (char *at = one; *at != '\0'; at++)
      if (*at == '|')
        *at = '\x1e';
    assert_string_equal(cli_post(c, one), "200 ok");
    return;
  }
  while (from <= len) {
    size_t n = strcspn(packets + from, "|");
    memcpy(one, packets + from, n);
    one[n] = '\0';
    ws_say(c->ws, one);
    from += n + 1;
  }
  pair_turn(c->w->p);
}

static inline void hear_payload(cli *c) {
  const char *at = (const char *)c->get->http_body.data;
  size_t left = c->get->http_body.len;

  for (;;) {
    const char *to = left > 0 ? memchr(at, '\x1e', left) : NULL;
    size_t n = to != NULL ? (size_t)(to - at) : left;
    heard(c, at, n);
    if (to == NULL)
      break;
    at += n + 1;
    left -= n + 1;
  }
}

static inline void hear_polled(cli *c) {
  for (;;) {
    const char *took;
    cli_poll(c);
    took = end_took(c->get);
    if (took[0] == '\0')
      return; /* it waits */
    c->waits = false;
    if (strncmp(took, "200", 3) != 0) {
      heard(c, took, strlen(took));
      return;
    }
    hear_payload(c);
  }
}

static inline void hear_frame(cli *c, const frame *f) {
  static const char *const names[] = {"close", "ping", "pong"};
  char text[8300];

  MUST(f->fin && !f->rsv1);
  if (f->opcode == 1) {
    heard(c, (const char *)f->data, f->len);
  } else if (f->opcode == 2) {
    MUST(f->len < 6000);
    text[0] = 'b';
    rill__base64_encode(text + 1, (const char *)f->data, f->len);
    heard(c, text, 1 + rill__base64_len(f->len));
  } else {
    MUST(f->opcode >= 8 && f->opcode <= 10);
    snprintf(text, sizeof text, f->opcode == 8 && f->len >= 2 ? "%s %u" : "%s",
             names[f->opcode - 8],
             f->len >= 2 ? (unsigned)f->data[0] << 8 | f->data[1] : 0u);
    heard(c, text, strlen(text));
  }
}

static inline void hear_frames(cli *c) {
  frame f;

  while (end_next_frame(c->ws, &f))
    hear_frame(c, &f);
  if (c->ws->conn == NULL && !c->ws->eof_told) {
    c->ws->eof_told = true;
    heard(c, "eof", 3);
  }
}

/* Ids and epochs are random: they are kept, and told as one character. */
static inline void mask(cli *c, buf *out) {
  static const char *const keys[] = {"\"sid\":\"", "\"pid\":\"", "\"open\":\"",
                                     "\"session\":\""};
  const char *text = (const char *)c->heard.data;

  for (size_t i = 0; i < c->heard.len;) {
    bool found = false;
    for (size_t k = 0; k < 4 && !found; k++) {
      size_t n = strlen(keys[k]);
      char *to = k % 2 == 0 ? c->id : c->pid;
      if (c->heard.len - i < n + RILL__SID + 1 ||
          memcmp(text + i, keys[k], n) != 0 || text[i + n + RILL__SID] != '"')
        continue;
      memcpy(to, text + i + n, RILL__SID);
      to[RILL__SID] = '\0';
      buf_text(out, keys[k]);
      buf_text(out, "*");
      i += n + RILL__SID;
      found = true;
    }
    if (!found && c->heard.len - i > 9 && c->w->hub->epoch[0] != '\0' &&
        memcmp(text + i, c->w->hub->epoch, 8) == 0 && text[i + 8] == '-') {
      size_t n = 9 + strspn(text + i + 9, "0123456789");
      memcpy(c->offset, text + i, n);
      c->offset[n] = '\0';
      buf_text(out, "@");
      i += 9;
      found = true;
    }
    if (!found)
      buf_add(out, text + i++, 1);
  }
}

/* All that came since the last call, "" for nothing. */
static inline const char *cli_hears(cli *c) {
  static buf out;

  pair_turn(c->w->p);
  if (c->ws == NULL)
    hear_polled(c);
  else
    hear_frames(c);
  buf_clear(&out);
  buf_text(&out, "");
  mask(c, &out);
  buf_clear(&c->heard);
  return (const char *)out.data;
}

/* Asks for an upgrade: the WebSocket of the probe, which has been answered. */
static inline end *cli_probe(cli *c) {
  end *e = pair_accept(c->w->p);

  ws_hello(e, cli_target(c, "websocket"), "");
  assert_string_equal(end_took(e), "101");
  end_text(e, "2probe");
  assert_string_equal(end_took(e), "text 3probe");
  return e;
}

static inline void cli_switch(cli *c, end *probe) {
  end_text(probe, "5");
  c->ws = probe;
  c->waits = false;
}

static inline cli *cli_upgraded(world *w, const char *path) {
  cli *c = cli_polling(w, path);

  cli_switch(c, cli_probe(c));
  return c;
}

static inline cli *cli_by(world *w, int how, const char *path) {
  return how == BY_POLLING     ? cli_polling(w, path)
         : how == BY_WEBSOCKET ? cli_websocket(w, path)
                               : cli_upgraded(w, path);
}

/* The stream, or streams, end without a word. */
static inline void cli_cut(cli *c) {
  if (c->ws != NULL) {
    if (c->ws->conn != NULL)
      end_eof(c->ws, 0);
    return;
  }
  pair_turn(c->w->p);
  for (cli_poll(c); end_took(c->get)[0] == '2'; cli_poll(c))
    c->waits = false; /* what it brings is lost on the way */
  if (c->get->conn != NULL)
    end_eof(c->get, 0); /* of one that is under way: it is noticed */
}

/* A Socket.IO client in "/" with its CONNECT answered. */
static inline cli *sio_by(world *w, int how) {
  cli *c = cli_by(w, how, "/socket.io/");

  cli_say(c, "40");
  MUST(strncmp(cli_hears(c), "40{\"sid\":\"*\"", 12) == 0);
  return c;
}

#endif
