/*
 * load_churn.c - connections that come and go.
 *
 * Each slot connects, upgrades, sends one message, checks the echo, sends a
 * Close frame, checks the answer and waits for the end of the stream; then it
 * starts anew.  The server closes first, as RFC 6455 section 7.1.1 has it, so
 * the ports of this side do not run out.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "load.h"

static const uint8_t close_frame[8] = {0x88, 0x82, 0x11, 0x22,
                                       0x33, 0x44, 0x12, 0xca};
static const uint8_t close_answer[4] = {0x88, 0x02, 0x03, 0xe8};

struct visit {
  uint64_t since;
  size_t received; /* bytes of the two answers */
};

struct churn {
  struct visit *visits;
  uint8_t *message;
  uint8_t *answers; /* the echo, and the Close frame behind it */
  size_t message_size;
  size_t echo_size;
  bool stopping;
};

static void churn_open(struct load *load, struct load_conn *conn) {
  struct churn *churn = load->arg;

  load_write(load, conn, churn->message, churn->message_size);
}

static void churn_bytes(struct load *load, struct load_conn *conn,
                        const uint8_t *data, size_t len) {
  struct churn *churn = load->arg;
  struct visit *visit = &churn->visits[conn->id];
  size_t before = visit->received;

  if (before + len > churn->echo_size + sizeof close_answer ||
      memcmp(churn->answers + before, data, len) != 0) {
    load_fail(load, "slot %zu: a wrong answer", conn->id);
    return;
  }
  visit->received += len;
  if (before < churn->echo_size && visit->received >= churn->echo_size)
    load_write(load, conn, close_frame, sizeof close_frame);
}

static void churn_writable(struct load *load, struct load_conn *conn) {
  load_watch(load, conn, false);
}

static void churn_dial(struct load *load, struct load_conn *conn) {
  struct churn *churn = load->arg;
  struct visit *visit = &churn->visits[conn->id];

  visit->since = load_clock();
  visit->received = 0;
  load_dial(load, conn);
}

static void churn_eof(struct load *load, struct load_conn *conn) {
  struct churn *churn = load->arg;
  struct visit *visit = &churn->visits[conn->id];

  if (visit->received != churn->echo_size + sizeof close_answer) {
    load_fail(load, "slot %zu: closed before its answers", conn->id);
    return;
  }
  load_close(load, conn);
  stats_add(&load->stats, load_clock() - visit->since);
  if (!churn->stopping)
    churn_dial(load, conn);
}

static void churn_turn(struct load *load) {
  (void)load;
}

static bool churn_ended(const struct load *load) {
  return load->opened == 0;
}

static bool churn_init(struct churn *churn, const struct load_options *o) {
  static const uint8_t key[4] = {0x10, 0x7f, 0xa2, 0x3b};
  const uint8_t opcode = o->text ? 1 : 2;
  size_t i, head;

  churn->visits = calloc(o->conns, sizeof *churn->visits);
  churn->message = malloc(LOAD_MAX_HEAD + o->size);
  churn->answers = malloc(LOAD_MAX_HEAD + o->size + sizeof close_answer);
  if (!churn->visits || !churn->message || !churn->answers)
    return false;
  churn->message_size = load_head(churn->message, opcode, o->size, key);
  head = load_head(churn->answers, opcode, o->size, NULL);
  for (i = 0; i < o->size; i++) {
    churn->answers[head + i] = (uint8_t)('a' + i % 26);
    churn->message[churn->message_size + i] =
        churn->answers[head + i] ^ key[i & 3];
  }
  churn->message_size += o->size;
  churn->echo_size = head + o->size;
  memcpy(churn->answers + churn->echo_size, close_answer, sizeof close_answer);
  return true;
}

void load_churn(struct load *load) {
  static const struct load_work work = {.on_open = churn_open,
                                        .on_bytes = churn_bytes,
                                        .on_writable = churn_writable,
                                        .on_eof = churn_eof,
                                        .on_turn = churn_turn};
  struct churn churn = {0};
  size_t i;

  load->work = &work;
  load->arg = &churn;
  if (!churn_init(&churn, &load->options))
    load_fail(load, "out of memory");
  for (i = 0; i < load->options.conns && !load->failure[0]; i++)
    churn_dial(load, &load->conns[i]);
  load_measure(load);
  churn.stopping = true;
  load_until(load, churn_ended, 10);
  free(churn.visits);
  free(churn.message);
  free(churn.answers);
}
