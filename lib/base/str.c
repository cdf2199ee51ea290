#include <string.h>

#include <rill/base.h>

const char *rill_version(void) {
  return RILL_VERSION;
}

rill_str rill_s(const char *text) {
  return (rill_str){text, text != NULL ? strlen(text) : 0};
}

/* memcmp may not be given NULL, not even for nothing: hence the length. */
static bool same_bytes(const char *a, const char *b, size_t len) {
  return len == 0 || memcmp(a, b, len) == 0;
}

bool rill_str_eq(rill_str a, rill_str b) {
  return a.len == b.len && same_bytes(a.ptr, b.ptr, a.len);
}

bool rill_str_starts(rill_str text, const char *prefix) {
  rill_str p = rill_s(prefix);

  return text.len >= p.len && same_bytes(text.ptr, p.ptr, p.len);
}

const char *rill_strerror(int error) {
  switch (error) {
  case 0:
    return "no error";
#define RILL_X(name, value, text)                                              \
  case RILL_ERR_##name:                                                        \
    return text;
    RILL_ERRORS(RILL_X)
#undef RILL_X
  case RILL_PAUSE:
    return "reading is to pause";
  case RILL_LATER:
    return "the verdict follows";
  case RILL_BUSY:
    return "taken, but the queue is long";
  default:
    return "unknown error";
  }
}

const char *rill_errname(int error) {
  switch (error) {
  case 0:
    return "0";
#define RILL_X(name, value, text)                                              \
  case RILL_ERR_##name:                                                        \
    return "RILL_ERR_" #name;
    RILL_ERRORS(RILL_X)
#undef RILL_X
  case RILL_PAUSE:
    return "RILL_PAUSE";
  case RILL_LATER:
    return "RILL_LATER";
  case RILL_BUSY:
    return "RILL_BUSY";
  default:
    return "unknown";
  }
}
