/*
 * crowd.c - the command: what ten thousand peers cost, without sockets.
 *
 *   crowd resume      all come back with what they saw last
 *   crowd presence    who is there, told to all
 *
 * Prints one line of JSON.  Exit status 1 and a reason on stderr if anybody
 * got something else than what it was owed: then the line has no end.
 */
#include <stdio.h>
#include <string.h>

#include "crowd.h"

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } works[] = {{"resume", crowd_resume}, {"presence", crowd_presence}};

  for (size_t i = 0; argc == 2 && i < sizeof works / sizeof works[0]; i++)
    if (strcmp(argv[1], works[i].name) == 0) {
      printf("{");
      works[i].run();
      printf("}\n");
      return 0;
    }
  fprintf(stderr, "usage: crowd resume|presence\n");
  return 2;
}
