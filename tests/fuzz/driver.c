/*
 * driver.c - a main for fuzz targets without libFuzzer: runs each file of
 * the folders given, and the empty input, through the target.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path) {
  FILE *f = fopen(path, "rb");
  uint8_t *data = NULL;
  long size = -1;
  int rv = -1;

  if (f == NULL)
    return -1;
  if (fseek(f, 0, SEEK_END) == 0)
    size = ftell(f);
  if (size >= 0 && fseek(f, 0, SEEK_SET) == 0)
    data = malloc((size_t)size + (size == 0)); /* exact, for ASan */
  if (data != NULL && fread(data, 1, (size_t)size, f) == (size_t)size)
    rv = LLVMFuzzerTestOneInput(data, (size_t)size);
  free(data);
  fclose(f);
  return rv;
}

/* How many files ran; negative: one could not be read. */
static int run_folder(const char *folder) {
  DIR *dir = opendir(folder);
  struct dirent *entry;
  char path[4096];
  int n = 0;

  if (dir == NULL)
    return -1;
  while (n >= 0 && (entry = readdir(dir)) != NULL) {
    if (entry->d_name[0] == '.')
      continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    n = run_file(path) < 0 ? -1 : n + 1;
  }
  closedir(dir);
  return n;
}

int main(int argc, char **argv) {
  int total = 0;

  if (LLVMFuzzerTestOneInput((const uint8_t *)"", 0) < 0)
    return 1;
  for (int i = 1; i < argc; i++) {
    int n = run_folder(argv[i]);
    if (n <= 0) {
      fprintf(stderr, "%s: no inputs\n", argv[i]);
      return 1;
    }
    total += n;
  }
  printf("%d inputs\n", total);
  return 0;
}
