/*
 * rill/value.h - what events carry: values as JSON knows them, and bytes.
 *
 * A rill_value is read where it lies: strings and bytes point into the
 * message that brought them, nothing is copied and nothing is to be freed.
 * It is borrowed as long as what it came from: an event for the call of its
 * handler, a builder until it is next written to.  Whether it arrived as
 * JSON or as MessagePack makes no difference.
 *
 * Every question may be asked of every value: one of another type answers
 * with the empty string, zero, or the fallback that was given, and the
 * absent value (what rill_value_get did not find) answers like null.  So a
 * handler reads what it needs and checks what came out of it.
 *
 * A rill_builder writes values.  Its calls keep the first error, which
 * rill_builder_error tells and every call that takes the builder returns.
 */
#ifndef RILL_VALUE_H
#define RILL_VALUE_H

#include <rill/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rill_type {
  RILL_ABSENT, /* there is no such value */
  RILL_NULL,
  RILL_BOOL,
  RILL_INT,    /* a whole number that fits int64_t or uint64_t */
  RILL_DOUBLE, /* every other number */
  RILL_STRING, /* UTF-8, checked */
  RILL_BYTES,
  RILL_ARRAY,
  RILL_OBJECT /* keys in the order of their arrival */
} rill_type;

typedef struct rill_value {
  const struct rill__node *node; /* NULL: absent */
} rill_value;

RILL_API rill_type rill_value_type(rill_value value);
/* Elements of an array, members of an object, bytes of a string or bytes. */
RILL_API size_t rill_value_size(rill_value value);
RILL_API rill_str rill_value_str(rill_value value); /* a string's text */
RILL_API rill_str rill_value_bytes(rill_value value);
RILL_API bool rill_value_bool(rill_value value, bool fallback);
/*
 * rill_value_int is |fallback| for what is no whole number within int64_t;
 * a double that is whole (1e3) counts.  rill_value_double takes both kinds
 * of numbers; one beyond its range (1e999) is |fallback|.
 */
RILL_API int64_t rill_value_int(rill_value value, int64_t fallback);
RILL_API uint64_t rill_value_uint(rill_value value, uint64_t fallback);
RILL_API double rill_value_double(rill_value value, double fallback);

/*
 * rill_value_at is an array's element, O(|index|); rill_value_get an
 * object's member |key|, O(members), the last where a key came twice.
 */
RILL_API rill_value rill_value_at(rill_value value, size_t index);
RILL_API rill_value rill_value_get(rill_value value, const char *key);
/* rill_get_str is rill_value_str of a member, and so on. */
RILL_API rill_str rill_get_str(rill_value object, const char *key);
RILL_API bool rill_get_bool(rill_value object, const char *key, bool fallback);
RILL_API int64_t rill_get_int(rill_value object, const char *key,
                              int64_t fallback);
RILL_API double rill_get_double(rill_value object, const char *key,
                                double fallback);

/*
 * A walk over an array or object:
 *
 *   rill_walk walk = rill_walk_begin(value);
 *   while (rill_walk_next(&walk)) use(walk.key, walk.value);
 *
 * |key| is empty in an array.  Any other value has nothing to walk over.
 */
typedef struct rill_walk {
  rill_str key;
  rill_value value;
  const struct rill__node *next_;
  size_t left_;
  bool object_;
} rill_walk;
RILL_API rill_walk rill_walk_begin(rill_value value);
RILL_API bool rill_walk_next(rill_walk *walk);

/*
 * rill_builder_new makes a builder that is freed with rill_builder_free
 * (NULL is fine); |alloc| NULL means libc.  It may be written and emptied
 * any number of times.  For one emit there is rill_build of rill/event.h,
 * which needs neither.  NULL: out of memory.
 */
typedef struct rill_builder rill_builder;
RILL_API rill_builder *rill_builder_new(rill_alloc_fn alloc, void *arg);
RILL_API void rill_builder_free(rill_builder *b);
RILL_API void rill_builder_clear(rill_builder *b);
/*
 * 0, or the first error:
 *
 * RILL_ERR_ARG      text is not UTF-8, a double is not finite, a key is
 *                   missing or stands where none may, rill_put_end closes
 *                   nothing, or (told at the end) something is open
 * RILL_ERR_TOO_BIG  nested deeper than 32, or longer than 2^31 bytes in all
 * RILL_ERR_PROTO    (rill_put_json) it is not JSON
 * RILL_ERR_NOMEM    out of memory
 */
RILL_API int rill_builder_error(const rill_builder *b);

/*
 * Each call writes the next value: at the top the next argument of the
 * event, in an array the next element, in an object what belongs to the key
 * before it.  Strings and bytes are copied.
 */
RILL_API void rill_put_null(rill_builder *b);
RILL_API void rill_put_bool(rill_builder *b, bool value);
RILL_API void rill_put_int(rill_builder *b, int64_t value);
RILL_API void rill_put_uint(rill_builder *b, uint64_t value);
RILL_API void rill_put_double(rill_builder *b, double value);
RILL_API void rill_put_str(rill_builder *b, rill_str text);
RILL_API void rill_put_text(rill_builder *b, const char *text);
RILL_API void rill_put_bytes(rill_builder *b, const void *data, size_t len);
/* A whole value from elsewhere; one that is absent is written as null. */
RILL_API void rill_put_value(rill_builder *b, rill_value value);
/* One JSON text (RFC 8259). */
RILL_API void rill_put_json(rill_builder *b, rill_str json);
RILL_API void rill_put_array(rill_builder *b);  /* until rill_put_end */
RILL_API void rill_put_object(rill_builder *b); /* until rill_put_end */
RILL_API void rill_put_end(rill_builder *b);
RILL_API void rill_put_key(rill_builder *b, const char *key);
RILL_API void rill_put_key_str(rill_builder *b, rill_str key);
/* rill_set_str is rill_put_key and rill_put_str, and so on. */
RILL_API void rill_set_str(rill_builder *b, const char *key, rill_str text);
RILL_API void rill_set_text(rill_builder *b, const char *key,
                            const char *text);
RILL_API void rill_set_int(rill_builder *b, const char *key, int64_t value);
RILL_API void rill_set_double(rill_builder *b, const char *key, double value);
RILL_API void rill_set_bool(rill_builder *b, const char *key, bool value);
RILL_API void rill_set_value(rill_builder *b, const char *key,
                             rill_value value);

/* All that is written, as one array; absent where there is an error. */
RILL_API rill_value rill_builder_value(const rill_builder *b);

/*
 * rill_value_json writes |value| as JSON into |buf| of |size| bytes, as
 * snprintf does: it returns the whole length without the terminator, and
 * what does not fit is cut.  Bytes are written as {"$bytes":"<base64>"}.
 */
RILL_API size_t rill_value_json(rill_value value, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
