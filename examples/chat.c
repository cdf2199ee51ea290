/*
 * chat.c - a chat server with rooms, and the page that goes with it.
 *
 * It shows the whole shape of a program on rill: a hub with its limits, a
 * route with its handlers, data of its own per peer, rooms, plain requests,
 * and a main loop.  Run it, open http://127.0.0.1:8080/ in two windows.
 *
 * The protocol is made of lines; each is one WebSocket text message at /ws.
 * A NAME, ROOM, KEY or TAG is a word of 1 to 32 bytes, see is_word below.
 *
 *   from the client
 *     name NAME [KEY]      to be called NAME.  Who comes back after a lost
 *                          connection shows the same KEY, a secret of its
 *                          own choice, and gets its name back from the old
 *                          connection, which may not have ended yet.
 *     join ROOM            needs a name
 *     leave ROOM
 *     say ROOM TAG TEXT    TAG is the client's name for this message, TEXT
 *                          1 to 4000 bytes up to the end.  Who does not know
 *                          whether a message arrived sends it again under
 *                          the same TAG; who hears a TAG twice drops the
 *                          second.
 *     ping                 to see whether the connection is alive
 *
 *   from the server
 *     welcome ID           the connection is ready, and has this number
 *     named NAME           to who asked for a name
 *     renamed OLD NEW      to everybody who shares a room with them
 *     joined ROOM NAME     to the room, the new member included
 *     names ROOM NAME ...  then to the new member: who is here, in as many
 *                          lines as it takes
 *     left ROOM NAME       to the room, who leaves included
 *     said ROOM MILLIS TAG NAME TEXT
 *                          to the room, the sender included, for whom it is
 *                          the receipt.  MILLIS is the time of the server
 *                          since 1970.
 *     error WHY ABOUT      WHY is one of bad-line bad-word no-name
 *                          name-taken bad-room too-many-rooms bad-text;
 *                          ABOUT is the NAME, ROOM or TAG in question, or -
 *     pong
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rill/epoll.h>
#include <rill/metrics.h>
#include <rill/room.h>

enum {
  WORD_BYTES = 32,
  TEXT_BYTES = 4000,
  /* the longest line is "said" */
  LINE_BYTES = TEXT_BYTES + 4 * WORD_BYTES + 64,
  /* that one guest may be in */
  ROOMS = 16,
  /* a close code; 4500 and above: do not come back by yourself */
  CLOSE_REPLACED = 4500
};

/* A guest is one connection: what rill_peer_data points to. */
struct guest {
  rill_peer peer;
  char name[WORD_BYTES + 1]; /* empty until it has one */
  char key[WORD_BYTES + 1];  /* empty: none */
  struct guest *prev, *next;
};

/* Everything that the handlers share: the |arg| of the route. */
struct chat {
  rill_hub *hub;
  struct guest *guests;
};

/*
 * Words.  Room and user names are letters, digits, "-", "_", "." and what
 * other scripts have, but nothing that cannot be seen: the prefixes below
 * are the UTF-8 of control codes, spaces, and marks that change the
 * direction of writing.
 */
static bool is_word(rill_str word) {
  static const char *const unseen[] = {"\xc2",         "\xe2\x80",
                                       "\xe2\x81",     "\xe3\x80\x80",
                                       "\xef\xbb\xbf", "\xf3\xa0"};
  size_t i, k;

  if (word.len == 0 || word.len > WORD_BYTES)
    return false;
  for (i = 0; i < word.len; i++) {
    unsigned char c = (unsigned char)word.ptr[i];
    rill_str rest = {word.ptr + i, word.len - i};

    if (c < 0x80 && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
        !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
      return false;
    for (k = 0; k < sizeof(unseen) / sizeof(unseen[0]); k++)
      if (rill_str_starts(rest, unseen[k]))
        return false;
  }
  return true;
}

/* Text may have line breaks and tabs, and no other control codes. */
static bool is_text(rill_str text) {
  size_t i;

  if (text.len == 0 || text.len > TEXT_BYTES)
    return false;
  for (i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];

    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
      return false;
  }
  return true;
}

/* Takes the first word and the space behind it off |line|. */
static rill_str next_word(rill_str *line) {
  const char *space = line->len > 0 ? memchr(line->ptr, ' ', line->len) : NULL;
  rill_str word = *line;

  if (space == NULL) {
    *line = (rill_str){NULL, 0};
  } else {
    word.len = (size_t)(space - line->ptr);
    line->ptr += word.len + 1;
    line->len -= word.len + 1;
  }
  return word;
}

static void copy_word(char out[WORD_BYTES + 1], rill_str word) {
  if (word.len > 0)
    memcpy(out, word.ptr, word.len);
  out[word.len] = '\0';
}

/* "Ann" and "ANN" are one name: two that look alike are a trap. */
static bool same_name(rill_str a, rill_str b) {
  size_t i;

  if (a.len != b.len)
    return false;
  for (i = 0; i < a.len; i++) {
    char x = a.ptr[i], y = b.ptr[i];

    if (x >= 'A' && x <= 'Z')
      x = (char)(x - 'A' + 'a');
    if (y >= 'A' && y <= 'Z')
      y = (char)(y - 'A' + 'a');
    if (x != y)
      return false;
  }
  return true;
}

/* For a rill_str as an argument of "%.*s". */
#define ARG(str) (int)(str).len, (str).ptr

/*
 * tell sends a line to one guest, tell_rooms to all members of rooms, each
 * once, but for |except|, which may be NULL.
 *
 * Nobody looks at the result of tell: where a guest is leaving or too slow
 * for its line, the hub has closed it already, and on_close will come.
 */
static void tell(struct guest *to, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int tell_rooms(struct chat *chat, const rill_str *rooms, size_t nrooms,
                      const struct guest *except, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void tell(struct guest *to, const char *format, ...) {
  char line[LINE_BYTES];
  rill_msg msg;
  va_list args;

  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  msg = rill_text(line);
  (void)rill_send(to->peer, &msg);
}

static int tell_rooms(struct chat *chat, const rill_str *rooms, size_t nrooms,
                      const struct guest *except, const char *format, ...) {
  rill_to to = {.rooms = rooms, .nrooms = nrooms};
  char line[LINE_BYTES];
  rill_msg msg;
  va_list args;

  if (except != NULL) {
    to.except = &except->peer;
    to.nexcept = 1;
  }
  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  msg = rill_text(line);
  return rill_send_to(chat->hub, &to, &msg);
}

/* The rooms that a guest is in; they stay valid until it leaves one. */
struct room_list {
  rill_str rooms[ROOMS];
  size_t count;
};

static int add_room(rill_str room, void *arg) {
  struct room_list *list = arg;

  list->rooms[list->count++] = room;
  return list->count == ROOMS;
}

static struct room_list rooms_of(const struct guest *guest) {
  struct room_list list = {.count = 0};

  (void)rill_peer_rooms(guest->peer, add_room, &list);
  return list;
}

/*
 * who_is_here tells |to| the members of a room: names are gathered until
 * the line is full, then the next line begins.
 */
struct roll {
  struct guest *to;
  rill_str room;
  size_t len;
  char names[TEXT_BYTES];
};

static void tell_roll(struct roll *roll) {
  if (roll->len > 0)
    tell(roll->to, "names %.*s%.*s", ARG(roll->room), (int)roll->len,
         roll->names);
  roll->len = 0;
}

static int add_name(rill_peer peer, void *arg) {
  const struct guest *member = rill_peer_data(peer);
  struct roll *roll = arg;
  size_t len = strlen(member->name);

  if (len == 0) /* its name went to its newer connection */
    return 0;
  if (roll->len + 1 + len > sizeof(roll->names))
    tell_roll(roll);
  roll->names[roll->len] = ' ';
  memcpy(roll->names + roll->len + 1, member->name, len);
  roll->len += 1 + len;
  return 0;
}

static void who_is_here(struct chat *chat, struct guest *to, rill_str room) {
  struct roll roll = {.to = to, .room = room};

  (void)rill_room_each(chat->hub, room, add_name, &roll);
  tell_roll(&roll);
}

/*
 * give_up_name says goodbye in all rooms of a guest whose connection is
 * over, or has lost its name to a newer one.
 */
static void give_up_name(struct chat *chat, struct guest *guest) {
  struct room_list list = rooms_of(guest);
  size_t i;

  for (i = 0; i < list.count && guest->name[0] != '\0'; i++)
    (void)tell_rooms(chat, &list.rooms[i], 1, guest, "left %.*s %s",
                     ARG(list.rooms[i]), guest->name);
  guest->name[0] = '\0';
}

static struct guest *find_guest(struct chat *chat, rill_str name) {
  struct guest *guest;

  for (guest = chat->guests; guest != NULL; guest = guest->next)
    if (same_name(rill_s(guest->name), name))
      return guest;
  return NULL;
}

static int on_name(struct chat *chat, struct guest *me, rill_str line) {
  rill_str name = next_word(&line), key = next_word(&line);
  struct room_list list = rooms_of(me);
  struct guest *holder;

  if (!is_word(name) || (key.len > 0 && !is_word(key))) {
    tell(me, "error bad-word -");
    return 0;
  }
  holder = find_guest(chat, name);
  if (holder != NULL && holder != me) {
    if (key.len == 0 || !rill_str_eq(key, rill_s(holder->key))) {
      tell(me, "error name-taken %.*s", ARG(name));
      return 0;
    }
    give_up_name(chat, holder);
    (void)rill_close(holder->peer, CLOSE_REPLACED, "a newer connection");
  }
  if (list.count > 0)
    (void)tell_rooms(chat, list.rooms, list.count, me, "renamed %s %.*s",
                     me->name, ARG(name));
  copy_word(me->name, name);
  copy_word(me->key, key);
  tell(me, "named %s", me->name);
  return 0;
}

static int on_join(struct chat *chat, struct guest *me, rill_str line) {
  rill_str room = next_word(&line);
  int rv;

  if (!is_word(room)) {
    tell(me, "error bad-word -");
    return 0;
  }
  if (me->name[0] == '\0') {
    tell(me, "error no-name %.*s", ARG(room));
    return 0;
  }
  if (rill_in_room(me->peer, room))
    return 0;
  rv = rill_join(me->peer, room);
  if (rv == RILL_ERR_LIMIT) {
    tell(me, "error too-many-rooms %.*s", ARG(room));
    return 0;
  }
  if (rv != 0)
    return rv; /* closes the connection */
  rv = tell_rooms(chat, &room, 1, NULL, "joined %.*s %s", ARG(room), me->name);
  who_is_here(chat, me, room);
  return rv;
}

static int on_leave(struct chat *chat, struct guest *me, rill_str line) {
  rill_str room = next_word(&line);

  if (!is_word(room)) {
    tell(me, "error bad-word -");
    return 0;
  }
  if (me->name[0] == '\0' || !rill_in_room(me->peer, room)) {
    tell(me, "error bad-room %.*s", ARG(room));
    return 0;
  }
  (void)tell_rooms(chat, &room, 1, NULL, "left %.*s %s", ARG(room), me->name);
  return rill_leave(me->peer, room);
}

static int on_say(struct chat *chat, struct guest *me, rill_str line) {
  rill_str room = next_word(&line), tag = next_word(&line);
  struct timespec now = {0};

  if (!is_word(tag)) {
    tell(me, "error bad-word -");
    return 0;
  }
  if (me->name[0] == '\0' || !rill_in_room(me->peer, room)) {
    tell(me, "error bad-room %.*s", ARG(tag));
    return 0;
  }
  if (!is_text(line)) {
    tell(me, "error bad-text %.*s", ARG(tag));
    return 0;
  }
  clock_gettime(CLOCK_REALTIME, &now);
  return tell_rooms(chat, &room, 1, NULL, "said %.*s %lld %.*s %s %.*s",
                    ARG(room),
                    (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
                    ARG(tag), me->name, ARG(line));
}

static int on_ping(struct chat *chat, struct guest *me, rill_str line) {
  (void)chat;
  (void)line;
  tell(me, "pong");
  return 0;
}

/* The handlers of the route. */

static int on_open(rill_peer peer, const rill_request *req, void *arg) {
  struct chat *chat = arg;
  struct guest *me = calloc(1, sizeof(*me));

  (void)req;
  if (me == NULL)
    return RILL_ERR_NOMEM;
  me->peer = peer;
  me->next = chat->guests;
  if (me->next != NULL)
    me->next->prev = me;
  chat->guests = me;
  (void)rill_peer_set_data(peer, me);
  tell(me, "welcome %llu", (unsigned long long)rill_peer_id(peer));
  return 0;
}

static int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  static const struct {
    const char *word;
    int (*run)(struct chat *chat, struct guest *me, rill_str line);
  } commands[] = {{"name", on_name},
                  {"join", on_join},
                  {"leave", on_leave},
                  {"say", on_say},
                  {"ping", on_ping}};
  rill_str line = {msg->data, msg->len};
  struct guest *me = rill_peer_data(peer);
  rill_str word;
  size_t i;

  if (msg->kind != RILL_TEXT) {
    (void)rill_close(peer, RILL_CLOSE_UNSUPPORTED, "text only");
    return 0;
  }
  word = next_word(&line);
  for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
    if (rill_str_eq(word, rill_s(commands[i].word)))
      return commands[i].run(arg, me, line);
  tell(me, "error bad-line -");
  return 0;
}

/* |arg| is the chat; the guest, and its place in the list, end here. */
static void on_close(rill_peer peer, const rill_closed *closed, void *arg) {
  struct guest *me = rill_peer_data(peer);
  struct chat *chat = arg;

  (void)closed;
  if (me == NULL) /* there was no memory for it in on_open */
    return;
  give_up_name(chat, me);
  if (me->next != NULL)
    me->next->prev = me->prev;
  if (me->prev != NULL)
    me->prev->next = me->next;
  else
    chat->guests = me->next;
  free(me);
}

/* Plain requests: /health for whoever supervises this program. */
static int on_health(rill_request *req, void *arg) {
  const struct chat *chat = arg;
  char body[64];
  int len = snprintf(body, sizeof(body), "{\"status\":\"ok\",\"peers\":%zu}\n",
                     rill_peers(chat->hub));
  rill_response response = {
      .type = "application/json", .body = body, .body_len = (size_t)len};

  return rill_respond(req, &response);
}

/* /metrics in the text format of Prometheus. */
static int on_metrics(rill_request *req, void *arg) {
  const struct chat *chat = arg;
  rill_response response = {.type = "text/plain; version=0.0.4"};
  size_t size = rill_metrics_text(chat->hub, NULL, 0) + 1;
  char *text = malloc(size);
  int rv;

  if (text == NULL)
    return rill_reject(req, 503, "out of memory");
  response.body_len = rill_metrics_text(chat->hub, text, size);
  response.body = text;
  rv = rill_respond(req, &response);
  free(text);
  return rv;
}

static int serve(const char *address, const char *web) {
  static const rill_handlers handlers = {
      .on_open = on_open, .on_message = on_message, .on_close = on_close};
  struct chat chat = {NULL, NULL};
  rill_route_opts opts = {.handlers = &handlers, .arg = &chat};
  rill_config config;
  int rv;

  rill_config_init(&config);
  config.limits.message_bytes = 2 * LINE_BYTES; /* longer is no mistake */
  config.limits.rooms_per_peer = ROOMS;

  rv = rill_hub_new(&chat.hub, &config);
  if (rv == 0)
    rv = rill_route(chat.hub, "/ws", RILL_RAW, &opts);
  if (rv == 0)
    rv = rill_handle(chat.hub, "GET", "/health", on_health, &chat);
  if (rv == 0)
    rv = rill_handle(chat.hub, "GET", "/metrics", on_metrics, &chat);
  if (rv == 0) {
    rv = rill_route_files(chat.hub, "/", web);
    if (rv != 0)
      address = web; /* is what the complaint is about */
  }
  if (rv == 0)
    rv = rill_epoll_serve(chat.hub, address);
  if (rv != 0)
    fprintf(stderr, "chat: %s: %s\n", address,
            rv == RILL_ERR_IO ? strerror(errno) : rill_strerror(rv));

  /* Freeing the hub runs no handler: who is still here goes now. */
  rill_hub_free(chat.hub);
  while (chat.guests != NULL) {
    struct guest *next = chat.guests->next;

    free(chat.guests);
    chat.guests = next;
  }
  return rv != 0;
}

static const char usage[] =
    "usage: chat [--listen ADDRESS] [--web DIR]\n"
    "  --listen ADDRESS  tcp://HOST:PORT or unix:PATH\n"
    "                    (default tcp://127.0.0.1:8080)\n"
    "  --web DIR         the page (default examples/web/chat)\n"
    "  --help            this text\n";

int main(int argc, char **argv) {
  static const struct option flags[] = {
      {"listen", required_argument, NULL, 'l'},
      {"web", required_argument, NULL, 'w'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0}};
  const char *address = "tcp://127.0.0.1:8080";
  const char *web = "examples/web/chat";
  int flag;

  while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
    if (flag == 'l') {
      address = optarg;
    } else if (flag == 'w') {
      web = optarg;
    } else {
      fputs(usage, flag == 'h' ? stdout : stderr);
      return flag == 'h' ? 0 : 2;
    }
  }
  if (optind < argc) {
    fputs(usage, stderr);
    return 2;
  }
  return serve(address, web);
}
