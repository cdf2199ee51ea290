/* echo.c - reply to every message with the same message. */
#include <stdio.h>
#include <string.h>

#include <rill/epoll.h>

static int on_message(rill_peer peer, const rill_msg *msg, void *arg) {
  (void)arg;
  return rill_send(peer, msg); /* msg itself lives during the call only */
}

int main(int argc, char **argv) {
  static const rill_handlers echo = {.on_message = on_message};
  const rill_route_opts opts = {.handlers = &echo};
  const char *address = "tcp://127.0.0.1:9000";
  rill_hub *hub = NULL;
  int rv;

  if (argc == 3 && strcmp(argv[1], "--listen") == 0) {
    address = argv[2];
  } else if (argc > 1) {
    puts("usage: echo [--listen tcp://HOST:PORT | unix:PATH]");
    return strcmp(argv[1], "--help") != 0;
  }
  rv = rill_hub_new(&hub, NULL);
  if (rv == 0)
    rv = rill_route(hub, "/", RILL_RAW, &opts);
  if (rv == 0)
    rv = rill_epoll_serve(hub, address);
  if (rv != 0)
    fprintf(stderr, "echo: %s: %s\n", address, rill_strerror(rv));
  rill_hub_free(hub);
  return rv != 0;
}
