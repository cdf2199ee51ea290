/*
 * Signed tokens: made and read, every byte of one changed, what was signed
 * but says nonsense, and the authenticate hook.
 */
#include "pair.h"

#include <mbedtls/md.h>
#include <rill/token.h>

#include "base/base64.h"

#define SECRET "0123456789abcdef"
#define SOON 2000000000u /* a second, and the wall-clock a moment before */
#define NOW ((SOON - 1) * (uint64_t)1000)

/* Computed with Python's hmac module. */
static const char known[] = "eyJzdWIiOiJhbm4iLCJleHAiOjIwMDAwMDAwMDB9."
                            "qebVcw_5K2_jmB565xUe9brw71qYjrnyq3n78aenojU";

static int make(char *out, const char *user, uint64_t expires,
                const rill_builder *claims) {
  return rill_token_make(out, RILL_TOKEN_MAX + 1, rill_s(SECRET),
                         rill_s(user), expires, claims);
}

/* Reads from a block of the exact size, which is gone afterwards. */
static int read_at(rill_token **out, const char *token, const char *secret,
                   uint64_t now_ms) {
  size_t len = strlen(token);
  char *exact = malloc(len + (len == 0));
  int rv;

  MUST(exact != NULL);
  memcpy(exact, token, len);
  rv = rill_token_read(out, (rill_str){exact, len}, rill_s(secret), now_ms);
  free(exact);
  assert_int_equal(*out != NULL, rv == 0);
  return rv;
}

/* The verdict alone. */
static int check(const char *token, uint64_t now_ms) {
  rill_token *t;
  int rv = read_at(&t, token, SECRET, now_ms);

  rill_token_free(t);
  return rv;
}

static size_t put_base64url(char *out, const void *data, size_t len) {
  size_t n = rill__base64_len(len);

  rill__base64_encode(out, data, len);
  while (n > 0 && out[n - 1] == '=')
    n--;
  for (size_t i = 0; i < n; i++)
    out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
  out[n] = '\0';
  return n;
}

/* Signs |text|, whatever it is. */
static void sign_text(char *out, const char *text) {
  uint8_t mac[32];
  size_t n = strlen(text);

  MUST(mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256),
                       (const uint8_t *)SECRET, sizeof SECRET - 1,
                       (const uint8_t *)text, n, mac) == 0);
  memmove(out, text, n);
  out[n] = '.';
  put_base64url(out + n + 1, mac, sizeof mac);
}

static void sign_object(char *out, const char *object) {
  char text[2048];

  put_base64url(text, object, strlen(object));
  sign_text(out, text);
}

static void test_token_known(void **state) {
  char out[RILL_TOKEN_MAX + 1];
  rill_token *t;

  (void)state;
  assert_int_equal(make(out, "ann", SOON, NULL), 0);
  assert_string_equal(out, known);
  assert_int_equal(read_at(&t, known, SECRET, NOW), 0);
  assert_true(rill_str_eq(rill_token_user(t), rill_s("ann")));
  assert_int_equal(rill_token_expires(t), SOON);
  assert_int_equal(rill_value_size(rill_token_claims(t)), 2);
  rill_token_free(t);
  rill_token_free(NULL);
}

static void test_token_expires(void **state) {
  char out[RILL_TOKEN_MAX + 1];
  rill_token *t;

  (void)state;
  assert_int_equal(check(known, SOON * (uint64_t)1000 - 1), 0);
  assert_int_equal(check(known, SOON * (uint64_t)1000), RILL_ERR_TIMEOUT);
  assert_int_equal(check(known, UINT64_MAX), RILL_ERR_TIMEOUT);
  assert_int_equal(make(out, "ann", 0, NULL), 0);
  assert_int_equal(read_at(&t, out, SECRET, UINT64_MAX), 0);
  assert_int_equal(rill_token_expires(t), 0);
  rill_token_free(t);
  assert_int_equal(make(out, "ann", UINT64_MAX, NULL), 0);
  assert_int_equal(check(out, UINT64_MAX), 0);
}

static void test_token_claims(void **state) {
  rill_builder *b = rill_builder_new(NULL, NULL);
  char out[RILL_TOKEN_MAX + 1];
  rill_value claims;
  rill_token *t;

  (void)state;
  rill_put_object(b);
  rill_set_text(b, "role", "\"admin\"\n\xc3\xa9");
  rill_put_key(b, "rooms");
  rill_put_json(b, rill_s("[1,2.50,{\"deep\":[null,true]}]"));
  rill_put_key(b, "key");
  rill_put_bytes(b, "\0\xff", 2);
  rill_put_end(b);
  assert_int_equal(make(out, "ann", SOON, b), 0);
  rill_builder_free(b);
  assert_int_equal(read_at(&t, out, SECRET, NOW), 0);
  claims = rill_token_claims(t);
  assert_true(rill_str_eq(rill_get_str(claims, "sub"), rill_s("ann")));
  assert_int_equal(rill_get_int(claims, "exp", 0), SOON);
  assert_true(rill_str_eq(rill_get_str(claims, "role"),
                          rill_s("\"admin\"\n\xc3\xa9")));
  assert_int_equal(rill_value_size(rill_value_get(claims, "rooms")), 3);
  assert_memory_equal(rill_value_bytes(rill_value_get(claims, "key")).ptr,
                      "\0\xff", 2);
  rill_token_free(t);
}

static void test_token_claims_that_are_none(void **state) {
  static const char *const bad[] = {
      "1", "[]", "\"x\"", "null", "{\"sub\":\"eve\"}", "{\"a\":1,\"exp\":9}"};
  rill_builder *b = rill_builder_new(NULL, NULL);
  char out[RILL_TOKEN_MAX + 1] = "x";

  (void)state;
  assert_int_equal(make(out, "ann", SOON, b), RILL_ERR_ARG); /* none at all */
  assert_string_equal(out, "");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    rill_builder_clear(b);
    rill_put_json(b, rill_s(bad[i]));
    assert_int_equal(make(out, "ann", SOON, b), RILL_ERR_ARG);
  }
  rill_builder_clear(b);
  rill_put_object(b); /* left open */
  assert_int_equal(make(out, "ann", SOON, b), RILL_ERR_ARG);
  rill_builder_clear(b);
  rill_put_json(b, rill_s("{"));
  assert_int_equal(make(out, "ann", SOON, b), RILL_ERR_PROTO);
  rill_builder_free(b);
}

static void test_token_secrets(void **state) {
  char out[RILL_TOKEN_MAX + 1];
  const rill_str user = RILL_STR("ann");
  rill_token *t;

  (void)state;
  for (size_t n = 0; n <= 200; n++) {
    char *secret = malloc(n + 1);
    int rv = n < 16 ? RILL_ERR_ARG : 0;
    MUST(secret != NULL);
    memset(secret, 'k', n);
    secret[n] = '\0';
    assert_int_equal(rill_token_make(out, sizeof out, (rill_str){secret, n},
                                     user, SOON, NULL),
                     rv);
    assert_int_equal(read_at(&t, rv == 0 ? out : known, secret, NOW), rv);
    rill_token_free(t);
    if (rv == 0) {
      secret[n - 1]++;
      assert_int_equal(read_at(&t, out, secret, NOW), RILL_ERR_FORBIDDEN);
    }
    free(secret);
  }
}

static void test_token_users(void **state) {
  static const char *const bad[] = {"", "\x80", "a\xc3", "\xed\xa0\x80"};
  char out[RILL_TOKEN_MAX + 1];

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(make(out, bad[i], SOON, NULL), RILL_ERR_ARG);
}

/* {"sub":""} is 10 bytes, of 735 that fit. */
static void test_token_longest(void **state) {
  char user[800], out[RILL_TOKEN_MAX + 1], small[128];
  size_t len;

  (void)state;
  memset(user, 'u', sizeof user);
  user[726] = '\0';
  assert_int_equal(make(out, user, 0, NULL), RILL_ERR_TOO_BIG);
  assert_string_equal(out, "");
  user[725] = '\0';
  assert_int_equal(make(out, user, 0, NULL), 0);
  assert_int_equal(strlen(out), RILL_TOKEN_MAX);
  assert_int_equal(check(out, NOW), 0);
  user[724] = '\0';
  assert_int_equal(make(out, user, 0, NULL), 0);
  assert_int_equal(check(out, NOW), 0);
  len = strlen(known);
  for (size_t size = 0; size <= len + 1; size++) {
    char *exact = malloc(size + (size == 0));
    int rv = rill_token_make(exact, size, rill_s(SECRET), rill_s("ann"), SOON,
                             NULL);
    assert_int_equal(rv, size > len ? 0 : RILL_ERR_TOO_BIG);
    free(exact);
  }
  assert_int_equal(rill_token_make(small, sizeof small, rill_s(SECRET),
                                   rill_s("ann"), SOON, NULL),
                   0);
  assert_string_equal(small, known);
}

/* One that is signed and a byte too long. */
static void test_token_too_long(void **state) {
  char object[800], out[2048];

  (void)state;
  for (size_t n = 734; n <= 736; n++) {
    memset(object, ' ', n);
    memcpy(object, "{\"sub\":\"ann\"}", 13);
    object[n] = '\0';
    sign_object(out, object);
    assert_int_equal(check(out, NOW), n <= 735 ? 0 : RILL_ERR_FORBIDDEN);
  }
}

/* Each byte as each other, each one left out, one more at each place. */
static void test_token_changed(void **state) {
  char out[sizeof known + 1];
  size_t len = sizeof known - 1;

  (void)state;
  for (size_t i = 0; i < len; i++) {
    memcpy(out, known, len + 1);
    for (int c = 1; c < 256; c++) {
      out[i] = (char)c;
      assert_int_equal(check(out, NOW),
                       (char)c == known[i] ? 0 : RILL_ERR_FORBIDDEN);
    }
    memcpy(out + i, known + i + 1, len - i);
    assert_int_equal(check(out, NOW), RILL_ERR_FORBIDDEN);
  }
  for (size_t i = 0; i <= len; i++) {
    static const char more[] = "A.=-_+/ \n";
    for (size_t j = 0; j < sizeof more - 1; j++) {
      memcpy(out, known, i);
      out[i] = more[j];
      memcpy(out + i + 1, known + i, len - i + 1);
      assert_int_equal(check(out, NOW), RILL_ERR_FORBIDDEN);
    }
  }
  for (size_t n = 0; n < len; n++) {
    memcpy(out, known, n);
    out[n] = '\0';
    assert_int_equal(check(out, NOW), RILL_ERR_FORBIDDEN);
  }
}

/* The signature holds, but of what is no one text. */
static void test_token_texts(void **state) {
  static const struct {
    const char *text;
    int rv;
  } cases[] = {{"eyJzdWIiOiJhIn0", 0}, /* {"sub":"a"} */
               {"eyJzdWIiOiJhIn1", RILL_ERR_FORBIDDEN}, /* a stray bit */
               {"eyJzdWIiOiJhIn0=", RILL_ERR_FORBIDDEN},
               {"eyJzdWIiOiJhIn0A", RILL_ERR_FORBIDDEN}, /* a NUL behind */
               {"eyJzdWIiOiJhIn0AA", RILL_ERR_FORBIDDEN},
               {"eyJzdWIiOiI-Pz4_In0", 0}, /* {"sub":">?>?"} */
               {"eyJzdWIiOiI+Pz4/In0", RILL_ERR_FORBIDDEN},
               {"eyJzdWIiOiI-Pz4/In0", RILL_ERR_FORBIDDEN},
               {"eyJzdWIi.OiJhIn0", RILL_ERR_FORBIDDEN},
               {".eyJzdWIiOiJhIn0", RILL_ERR_FORBIDDEN},
               {"eyJzdWIiOiJhIn0.", RILL_ERR_FORBIDDEN},
               {"eyJzdWIiOiJhIn0\n", RILL_ERR_FORBIDDEN},
               {"\x80", RILL_ERR_FORBIDDEN},
               {"A", RILL_ERR_FORBIDDEN},
               {"", RILL_ERR_FORBIDDEN}};
  char out[256];

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    sign_text(out, cases[i].text);
    if (check(out, NOW) != cases[i].rv)
      fail_msg("%s is something else", cases[i].text);
  }
}

static void test_token_objects(void **state) {
  static const struct {
    const char *object;
    int rv;
  } cases[] = {
      {"{\"sub\":\"a\",\"exp\":2000000000}", 0},
      {" { \"exp\" : 2000000000 , \"sub\" : \"a\" } ", 0},
      {"{\"\\u0073ub\":\"\\u0061\"}", 0},
      {"{\"sub\":\"a\",\"exp\":18446744073709551615}", 0},
      {"{\"sub\":\"a\",\"exp\":1999999999}", RILL_ERR_TIMEOUT},
      {"{\"sub\":\"a\",\"exp\":0}", RILL_ERR_TIMEOUT},
      {"{\"sub\":\"a\",\"exp\":-1}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"exp\":2000000000.0}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"exp\":2e9}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"exp\":18446744073709551616}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"exp\":\"2000000000\"}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"exp\":null}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"exp\":2000000000,\"exp\":2000000001}",
       RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"sub\":\"a\"}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"\"}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":1}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":{\"$bytes\":\"YQ==\"}}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"k\":{\"$bytes\":\"YQ==\"}}", 0},
      {"{\"sub\":\"a\",\"k\":{\"$bytes\":\"YQ\"}}", RILL_ERR_FORBIDDEN},
      {"{\"exp\":2000000000}", RILL_ERR_FORBIDDEN},
      {"{\"x\":{\"sub\":\"a\"}}", RILL_ERR_FORBIDDEN},
      {"{}", RILL_ERR_FORBIDDEN},
      {"[{\"sub\":\"a\"}]", RILL_ERR_FORBIDDEN},
      {"\"sub\"", RILL_ERR_FORBIDDEN},
      {"{\"$bytes\":\"YQ==\"}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\"}}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\"", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"\xff\"}", RILL_ERR_FORBIDDEN},
      {"{\"sub\":\"a\",\"k\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"
       "]]]]]]]]]]]]]]]]}",
       RILL_ERR_FORBIDDEN}};
  char out[512];

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    sign_object(out, cases[i].object);
    if (check(out, NOW) != cases[i].rv)
      fail_msg("%s is something else", cases[i].object);
  }
}

static uint64_t wall(void *arg) {
  (void)arg;
  return NOW;
}

static int authenticate(pair *p, const event *e) {
  if (strcmp(e->name, "auth") == 0)
    return rill_token_authenticate(e->req, p->act_arg);
  return 0;
}

static end *knock(pair *p, const char *path, const char *more) {
  end *e = pair_accept(p);

  end_hello(e, path, more);
  return e;
}

static void begin(pair *p, const char *secret) {
  p->config.authenticate = pair_authenticate;
  p->act = authenticate;
  p->act_arg = (void *)(uintptr_t)secret;
  pair_begin(p);
}

static void test_token_authenticates(void **state) {
  pair *p = *state;
  char path[RILL_TOKEN_MAX + 20], header[200], old[RILL_TOKEN_MAX + 1];
  end *e;

  p->config.wall = wall;
  begin(p, SECRET);
  snprintf(path, sizeof path, "/ws?token=%s", known);
  e = knock(p, path, "");
  assert_string_equal(end_took(e), "101");
  assert_true(rill_str_eq(rill_peer_user(e->peer), rill_s("ann")));
  snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", known);
  e = knock(p, "/ws", header);
  assert_string_equal(end_took(e), "101");
  assert_true(rill_str_eq(rill_peer_user(e->peer), rill_s("ann")));
  e = knock(p, "/ws", "");
  assert_string_equal(end_took(e), "401; eof");
  assert_non_null(strstr((char *)e->http_body.data, "not valid"));
  e = knock(p, "/ws?token=x.y", "");
  assert_string_equal(end_took(e), "401; eof");
  assert_int_equal(make(old, "ann", SOON - 1, NULL), 0);
  snprintf(path, sizeof path, "/ws?token=%s", old);
  e = knock(p, path, "");
  assert_string_equal(end_took(e), "401; eof");
  assert_non_null(strstr((char *)e->http_body.data, "expired"));
}

/* What the host has done wrong is no verdict about the client. */
static void test_token_authenticates_nobody(void **state) {
  pair *p = *state;
  char path[200];

  snprintf(path, sizeof path, "/ws?token=%s", known);
  begin(p, SECRET); /* no wall-clock */
  assert_string_equal(end_took(knock(p, path, "")), "500; eof");
  pair_reset(p);
  p->config.wall = wall;
  begin(p, "0123456789abcde");
  assert_string_equal(end_took(knock(p, path, "")), "500; eof");
  pair_reset(p);
  begin(p, NULL);
  assert_string_equal(end_took(knock(p, path, "")), "500; eof");
}

static void test_token_without_memory(void **state) {
  pair *p = *state;
  char header[200];
  int opened = 0;

  p->config.wall = wall;
  begin(p, SECRET);
  snprintf(header, sizeof header, "Authorization: Bearer %s\r\n", known);
  for (uint64_t i = 1; opened == 0; i++) {
    end *e = pair_accept(p);
    p->mem.calls = 0;
    p->mem.fail_at = i;
    end_hello(e, "/ws", header);
    p->mem.fail_at = 0;
    opened = e->opened;
    assert_true(opened || e->conn == NULL || e->status != 101);
    assert_true(i < 1000);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_token_known),
      cmocka_unit_test(test_token_expires),
      cmocka_unit_test(test_token_claims),
      cmocka_unit_test(test_token_claims_that_are_none),
      cmocka_unit_test(test_token_secrets),
      cmocka_unit_test(test_token_users),
      cmocka_unit_test(test_token_longest),
      cmocka_unit_test(test_token_too_long),
      cmocka_unit_test(test_token_changed),
      cmocka_unit_test(test_token_texts),
      cmocka_unit_test(test_token_objects),
      PAIR_TEST(test_token_authenticates),
      PAIR_TEST(test_token_authenticates_nobody),
      PAIR_TEST(test_token_without_memory),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
