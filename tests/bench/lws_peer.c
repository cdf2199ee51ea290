/*
 * lws_peer.c - libwebsockets as a peer: echoes, or sends each message to all.
 *
 *   lws_peer PORT echo|fanout
 *
 * Each session has a queue of references to messages and writes until it is
 * empty or the socket is full.  Whole messages are answered, as the other
 * servers do: fragments are gathered first.
 */
#include <libwebsockets.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shared by all queues that it stands in. */
struct message {
  size_t len;
  size_t cap;
  unsigned refs;
  bool binary;
  unsigned char data[]; /* LWS_PRE bytes of room before the payload */
};

struct entry {
  struct entry *next;
  struct message *message;
};

struct session {
  struct lws *wsi;
  struct session *next; /* of all sessions */
  struct message *input;
  struct entry *first;
  struct entry **last;
};

static struct session *sessions;
static bool fanout;
static volatile sig_atomic_t stopped;

static void message_unref(struct message *message) {
  if (message && --message->refs == 0)
    free(message);
}

/* Grows in steps that double, for what comes in pieces. */
static struct message *message_add(struct message *m, const void *data,
                                   size_t len, size_t more) {
  size_t need = (m ? m->len : 0) + len;
  struct message *grown = m;

  if (!m || need > m->cap) {
    need += more > need ? more : need;
    grown = realloc(m, sizeof *m + LWS_PRE + need);
    if (!grown)
      return NULL;
    grown->cap = need;
    if (!m) {
      grown->len = 0;
      grown->refs = 1;
    }
  }
  memcpy(grown->data + LWS_PRE + grown->len, data, len);
  grown->len += len;
  return grown;
}

static int session_queue(struct session *s, struct message *message) {
  struct entry *entry = malloc(sizeof *entry);

  if (!entry)
    return -1;
  entry->next = NULL;
  entry->message = message;
  message->refs++;
  *s->last = entry;
  s->last = &entry->next;
  lws_callback_on_writable(s->wsi);
  return 0;
}

static int session_receive(struct session *s, const void *data, size_t len) {
  struct message *m;
  struct session *to;
  int rv = 0;

  m = message_add(s->input, data, len, lws_remaining_packet_payload(s->wsi));
  if (!m)
    return -1;
  s->input = m;
  m->binary = lws_frame_is_binary(s->wsi) != 0;
  if (lws_remaining_packet_payload(s->wsi) > 0 ||
      !lws_is_final_fragment(s->wsi))
    return 0;
  s->input = NULL;
  if (!fanout)
    rv = session_queue(s, m);
  else
    for (to = sessions; to && rv == 0; to = to->next)
      rv = session_queue(to, m);
  message_unref(m);
  return rv;
}

static void session_pop(struct session *s) {
  struct entry *entry = s->first;

  s->first = entry->next;
  if (!s->first)
    s->last = &s->first;
  message_unref(entry->message);
  free(entry);
}

static int session_write(struct session *s) {
  struct message *m;

  while (s->first && !lws_send_pipe_choked(s->wsi)) {
    m = s->first->message;
    if (lws_write(s->wsi, m->data + LWS_PRE, m->len,
                  m->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < 0)
      return -1;
    session_pop(s);
  }
  if (s->first)
    lws_callback_on_writable(s->wsi);
  return 0;
}

static void session_open(struct session *s, struct lws *wsi) {
  memset(s, 0, sizeof *s);
  s->wsi = wsi;
  s->last = &s->first;
  s->next = sessions;
  sessions = s;
}

static void session_end(struct session *s) {
  struct session **at = &sessions;

  while (*at && *at != s)
    at = &(*at)->next;
  if (*at)
    *at = s->next;
  while (s->first)
    session_pop(s);
  message_unref(s->input);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason,
                    void *user, void *in, size_t len) {
  struct session *s = user;

  switch (reason) {
  case LWS_CALLBACK_ESTABLISHED:
    session_open(s, wsi);
    return 0;
  case LWS_CALLBACK_RECEIVE:
    return session_receive(s, in, len);
  case LWS_CALLBACK_SERVER_WRITEABLE:
    return session_write(s);
  case LWS_CALLBACK_CLOSED:
    session_end(s);
    return 0;
  default:
    return lws_callback_http_dummy(wsi, reason, user, in, len);
  }
}

static void on_signal(int number) {
  (void)number;
  stopped = 1;
}

int main(int argc, char **argv) {
  static const struct lws_protocols protocols[] = {
      {"bench", on_event, sizeof(struct session), 65536, 0, NULL, 0},
      {NULL, NULL, 0, 0, 0, NULL, 0}};
  struct lws_context_creation_info info;
  struct lws_context *context;

  if (argc != 3 || (strcmp(argv[2], "echo") && strcmp(argv[2], "fanout"))) {
    fprintf(stderr, "usage: lws_peer PORT echo|fanout\n");
    return 2;
  }
  fanout = strcmp(argv[2], "fanout") == 0;
  signal(SIGTERM, on_signal);
  lws_set_log_level(LLL_ERR, NULL);
  memset(&info, 0, sizeof info);
  info.port = (int)strtol(argv[1], NULL, 10);
  info.iface = "127.0.0.1";
  info.protocols = protocols;
  info.options = LWS_SERVER_OPTION_DISABLE_IPV6;
  info.pt_serv_buf_size = 65536;
  context = lws_create_context(&info);
  if (!context)
    return 1;
  while (!stopped && lws_service(context, 0) >= 0)
    ;
  lws_context_destroy(context);
  return 0;
}
