/*
 * rill/base.h - the vocabulary that every other header uses: strings, time,
 * errors, memory, randomness and the log.
 *
 * The core of rill makes no system call.  What a program usually takes from
 * the system enters here as a function or an argument: memory (rill_alloc),
 * randomness (rill_random_fn), wall-clock time (rill_wall_fn), and monotonic
 * time as the argument |now| of every call that may depend on it.
 */
#ifndef RILL_BASE_H
#define RILL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RILL_VERSION "0.1.0"

#if defined(__GNUC__)
#define RILL_API __attribute__((visibility("default")))
#define RILL_MUST_CHECK __attribute__((warn_unused_result))
#else
#define RILL_API
#define RILL_MUST_CHECK
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* rill_version returns RILL_VERSION of the library that runs. */
RILL_API const char *rill_version(void);

/*
 * rill_str is a borrowed run of |len| bytes, not terminated.  {NULL, 0} is
 * the empty string.
 */
typedef struct rill_str {
  const char *ptr;
  size_t len;
} rill_str;

/* RILL_STR makes a rill_str of a string literal, in constants too. */
#define RILL_STR(literal) {(literal), sizeof(literal) - 1}

/* rill_s makes a rill_str of a terminated string; NULL gives the empty one. */
RILL_API rill_str rill_s(const char *text);
RILL_API bool rill_str_eq(rill_str a, rill_str b);
RILL_API bool rill_str_starts(rill_str text, const char *prefix);

/*
 * rill_time is monotonic time in nanoseconds from any fixed start.  A host
 * reads its clock once per turn of its loop and passes that value on.
 * RILL_NEVER is later than every time.
 */
typedef uint64_t rill_time;
#define RILL_NEVER UINT64_MAX
#define RILL_USEC ((rill_time)1000)
#define RILL_MSEC ((rill_time)1000000)
#define RILL_SEC ((rill_time)1000000000)

/*
 * Errors.  Functions return 0, a negative RILL_ERR_*, or where it says so
 * one of the positive notices below.  Each function names the errors that it
 * can give and their causes.
 */
#define RILL_ERRORS(X)                                                         \
  X(NOMEM, -1, "out of memory")                                                \
  X(ARG, -2, "an argument is out of its range")                                \
  X(STATE, -3, "not possible in this state")                                   \
  X(CLOSED, -4, "the peer or connection is gone")                              \
  X(PROTO, -5, "the other side broke the protocol")                            \
  X(HANDLER, -6, "a handler returned an error")                                \
  X(FULL, -7, "a queue or the disk is full")                                   \
  X(LIMIT, -8, "a limit of the configuration is reached")                      \
  X(FORBIDDEN, -9, "not allowed")                                              \
  X(NOT_FOUND, -10, "no such thing")                                           \
  X(EXISTS, -11, "it is there already")                                        \
  X(TOO_BIG, -12, "longer than allowed")                                       \
  X(RANDOM, -13, "no randomness to be had")                                    \
  X(TIMEOUT, -14, "it took too long")                                          \
  X(REFUSED, -15, "the other side refused")                                    \
  X(RESOLVE, -16, "the name has no address")                                   \
  X(IO, -17, "the system reported an error")

enum {
#define RILL_X(name, value, text) RILL_ERR_##name = (value),
  RILL_ERRORS(RILL_X)
#undef RILL_X
};

/* Positive notices. */
enum {
  RILL_PAUSE = 1, /* from a handler: stop reading until rill_resume */
  RILL_LATER = 2, /* from a handler: the verdict follows */
  RILL_BUSY = 3,  /* from rill_send: taken, but wait for on_drain */
  RILL_STOP = 4   /* from a handler of rill_before: the event is dropped */
};

/*
 * rill_strerror returns one English line for |error|, rill_errname its name
 * ("RILL_ERR_NOMEM").  Both are static and never NULL.
 */
RILL_API const char *rill_strerror(int error);
RILL_API const char *rill_errname(int error);

/*
 * rill_alloc is the only source of memory of a hub: as realloc, with the
 * old size told.  |ptr| NULL (then |old_size| is 0) allocates, |new_size| 0
 * frees and returns NULL.  It returns NULL where there is no memory, and the
 * old block then stays.  The default is libc's realloc and free.
 * Of the libraries below zlib and yajl use it, libmpack allocates nothing,
 * wslay and mbedTLS call libc's malloc.
 */
typedef void *(*rill_alloc_fn)(void *arg, void *ptr, size_t old_size,
                               size_t new_size);

/*
 * rill_random_fn fills |out| with |len| bytes of a cryptographically secure
 * generator and returns 0; anything else is a failure, which closes the
 * connection that needed them.
 */
typedef int (*rill_random_fn)(void *arg, void *out, size_t len);

/* rill_wall_fn returns milliseconds since 1970-01-01 UTC. */
typedef uint64_t (*rill_wall_fn)(void *arg);

/*
 * The log.  One call is one event: |event| is a fixed lower-case name
 * (conn.refuse, request.bad, request.origin, request.reject, peer.open,
 * peer.fail, peer.close, hub.drain), |text| one line of at most 1 KiB in
 * which control bytes and invalid UTF-8 have been escaped.  Never contains
 * tokens, cookies or message contents.
 */
typedef enum rill_log_level {
  RILL_LOG_ERROR,
  RILL_LOG_WARN,
  RILL_LOG_INFO,
  RILL_LOG_DEBUG
} rill_log_level;
typedef void (*rill_log_fn)(void *arg, rill_log_level level, const char *event,
                            const char *text);

#ifdef __cplusplus
}
#endif
#endif
