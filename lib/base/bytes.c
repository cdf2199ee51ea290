#include "base/bytes.h"

void rill__bytes_init(rill__bytes *b, const rill__alloc *alloc) {
  *b = (rill__bytes){.alloc = alloc};
}

void rill__bytes_finish(rill__bytes *b) {
  rill__free(b->alloc, b->data, b->cap);
  rill__bytes_init(b, b->alloc);
}

void rill__bytes_clear(rill__bytes *b) {
  b->len = 0;
  b->failed = false;
}

bool rill__bytes_reserve(rill__bytes *b, size_t extra) {
  size_t need, cap = b->cap < 64 ? 64 : b->cap;
  void *data;

  if (b->failed)
    return false;
  if (!rill__add_size(b->len, extra, &need)) {
    b->failed = true;
    return false;
  }
  if (need <= b->cap)
    return true;
  while (cap < need)
    if (!rill__mul_size(cap, 2, &cap))
      cap = need;
  data = rill__realloc(b->alloc, b->data, b->cap, cap);
  if (data == NULL) {
    b->failed = true;
    return false;
  }
  b->data = data;
  b->cap = cap;
  return true;
}

void rill__bytes_add(rill__bytes *b, const void *data, size_t len) {
  if (len == 0 || !rill__bytes_reserve(b, len))
    return;
  memcpy(b->data + b->len, data, len);
  b->len += len;
}

void rill__bytes_str(rill__bytes *b, const char *text) {
  rill__bytes_add(b, text, strlen(text));
}

char *rill__digits(char *end, uint64_t n) {
  do {
    *--end = (char)('0' + n % 10);
    n /= 10;
  } while (n > 0);
  return end;
}

void rill__bytes_u64(rill__bytes *b, uint64_t n) {
  char digits[20], *end = digits + sizeof digits;
  const char *from = rill__digits(end, n);

  rill__bytes_add(b, from, (size_t)(end - from));
}
