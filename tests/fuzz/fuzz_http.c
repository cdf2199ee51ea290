/*
 * Any input as a stream of requests or answers.  The first byte chooses the
 * kind and the limits, the second the cuts.  Oracles: however it is cut, all
 * that can be seen is the same; each call takes bytes or says why not; memory
 * stays within what the limits allow; a head that was taken, written again,
 * reads the same.
 */
#include "../unit/http_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t held, peak;

static void *metered(void *arg, void *ptr, size_t old, size_t size) {
  void *p = rill__alloc_default.fn(arg, ptr, old, size);

  held += size - old;
  peak = held > peak ? held : peak;
  return p;
}

static void choose_limits(rill_limits *limits, bool small) {
  *limits = (rill_limits){.request_line_bytes = small ? 20 : 4096,
                          .header_bytes = small ? 60 : 8192,
                          .header_count = small ? 4 : 64,
                          .body_bytes = small ? 16 : 262144};
}

/* A reader with its buffers, which double, and the least that they have. */
static size_t most(const rill_limits *l) {
  size_t head = 2 * ((size_t)l->request_line_bytes + l->header_bytes + 8);

  return 1024 + (head < 2048 ? 2048 : head) + 16 * 80 +
         2 * (size_t)l->body_bytes + 64;
}

/* Reads |b| as one head; NULL where it is none. */
static rill__http *read_head(rill__http_env *env, const uint8_t *data,
                             size_t len) {
  rill__http *http = rill__http_new(env, false);
  size_t used;

  MUST(http != NULL);
  if (rill__http_feed(http, data, len, &used) == RILL__HTTP_HEAD)
    return http;
  rill__http_free(http);
  return NULL;
}

static void write_head(const rill__http *http, rill__bytes *out) {
  const rill__http_head *head = rill__http_head_of(http);

  rill__http_begin_request(out, head->method, head->target);
  for (size_t i = 0; i < rill__http_count(http); i++) {
    rill_str name, value;
    rill__http_field(http, i, &name, &value);
    rill__http_add_header(out, name, value);
  }
  rill__http_end(out);
  MUST(!out->failed);
}

static void round_trip(const uint8_t *data, size_t len) {
  rill_limits limits;
  rill__http_env env;
  rill__bytes once, again;
  rill__http *http;

  choose_limits(&limits, false);
  limits.header_bytes = 65536; /* "a:b" is written as "a: b" */
  rill__http_env_init(&env, &rill__alloc_default, &limits);
  rill__bytes_init(&once, &rill__alloc_default);
  rill__bytes_init(&again, &rill__alloc_default);
  http = read_head(&env, data, len);
  if (http != NULL && rill__http_head_of(http)->minor == 1) {
    rill__http *second;
    write_head(http, &once);
    MUST((second = read_head(&env, once.data, once.len)) != NULL);
    write_head(second, &again);
    MUST(once.len == again.len);
    MUST(memcmp(once.data, again.data, once.len) == 0);
    MUST(rill_str_eq(rill__http_head_of(http)->host,
                     rill__http_head_of(second)->host));
    MUST(rill__http_head_of(http)->has_body ==
         rill__http_head_of(second)->has_body);
    rill__http_free(second);
  }
  rill__http_free(http);
  rill__bytes_finish(&once);
  rill__bytes_finish(&again);
  rill__http_env_finish(&env);
}

static rill__bytes run(const uint8_t *data, size_t size, uint8_t how,
                       uint64_t seed) {
  static const rill__alloc alloc = {metered, NULL};
  rill_limits limits;
  rill__http_env env;
  http_run run = {.env = &env, .response = how & 1, .ended = how & 2};

  choose_limits(&limits, how & 4);
  rill__http_env_init(&env, &alloc, &limits);
  held = peak = 0;
  http_run_all(&run, data, size, (http_cuts){seed});
  MUST(peak <= most(&limits));
  rill__http_env_finish(&env);
  MUST(held == 0);
  return run.log;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  rill__bytes whole;

  if (size < 2)
    return 0;
  whole = run(data + 2, size - 2, data[0], 0);
  for (uint64_t i = 1; i < 4; i++) {
    uint64_t seed = i == 1 ? 1 : (data[1] + 2u) * i;
    rill__bytes cut = run(data + 2, size - 2, data[0], seed);
    MUST(cut.len == whole.len);
    MUST(cut.len == 0 || memcmp(cut.data, whole.data, cut.len) == 0);
    rill__bytes_finish(&cut);
  }
  rill__bytes_finish(&whole);
  round_trip(data + 2, size - 2);
  return 0;
}
