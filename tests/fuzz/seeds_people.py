#!/usr/bin/env python3
"""Writes the seeds of fuzz_people: tests/fuzz/corpus/people/NAME.

Run it in the folder of the project after a change of the input's format.
"""
import os

(RECOVERY, MEMORY, TIGHT, LONG_TURNS, NAMELESS, NO_STORE, EVERYONE,
 NO_WALL) = (1 << i for i in range(8))
OUT = 'tests/fuzz/corpus/people'

JSON, PACKED, SIO, SSE, RAW, POST = range(6)
BACK = 8
DUR, DKEEP, DCROWD, RING, RCROWD, PLAIN, LATER, DENIED = range(8)
NOBODY, ANN, BOB, CY, DEE = range(5)
NAMED, DONE, STAMPED = 1, 2, 4
(BEAT, SHOW, LIST, WATCH, UNWATCH, TYPING, QUIET, CHAT, CLEAR, CLEAR_TO,
 COUNT, READ, UNREAD, WHO_READ, HISTORY, NONSENSE) = range(16)
APPEND, STORE_READ, REMOVE, SET, GET = (1 << i for i in range(5))


def op(what, client=0):
    return bytes([what + 32 * client])


def come(client, dialect, user=ANN, space=0, back=0, rooms=0):
    return op(0, client) + bytes([dialect + back + 64 * space, user]) + (
        bytes([rooms]) if dialect == SSE else b'')


def lose(client=0, how=0):
    return op(2, client) + bytes([how])


def away(client=0):
    return lose(client, 1)


def bye(client=0, again=False):
    return lose(client, 11 if again else 3)


def block(client=0, most=0):
    return lose(client, 4 + 8 * most)


def free(client=0):
    return lose(client, 5)


def join(client, room, event=False, since=False, lie=None):
    how = room + 8 * event + 16 * (since or lie is not None)
    if lie is not None:
        return op(3, client) + bytes([how + 32, lie])
    return op(3, client) + bytes([how])


def leave(client, room):
    return op(3, client) + bytes([room + 64])


def text(data, raw=False):
    return bytes([len(data) + 128 * raw]) + data


def say(client, room, how=0, data=b'hi', quiet=False):
    return op(6, client) + bytes([room + 8 * quiet, how]) + text(data)


def ask(client, what, *args):
    return op(9, client) + bytes([what, *args])


def free_ask(client, what, data):
    return op(9, client) + bytes([what + 16]) + text(data, True)


def raw(client, data):
    return op(13, client) + bytes([len(data)]) + data


def post(client, room, how=0, session=True, data=b'hi', what=0):
    return op(14, client) + bytes(
        [room + 8 * session + 16 * what, how]) + (b'' if what else text(data))


def publish(room, how=DONE, space=0):
    return op(15) + bytes([room + 8 * space, how])


def past(room, how=0, space=0, before=False, since=False):
    return op(17) + bytes([room + 8 * space + 64 * before + 128 * since, how])


def notify(user, how=0, space=0, values=1, silent=False):
    return op(18) + bytes([_who(user, space) + 64 * values + 128 * silent,
                           how])


def _who(user, space):
    """A byte below 64 that names both."""
    return next(n for n in range(64)
                if n % 7 == user and n // 8 % 3 == space)


def _who_above(user, space, least, below):
    return next(n for n in range(least, below)
                if n % 7 == user and n // 8 % 3 == space)


def clear(user, name, space=0):
    return op(19) + bytes([_who_above(user, space, 192, 256), name])


def clear_to(user, offset, space=0):
    return op(19) + bytes([_who_above(user, space, 96, 192), offset])


def count(user, space=0):
    return op(19) + bytes([_who_above(user, space, 0, 96), 0])


def read_to(user, room, offset, space=0, private=False):
    least = 192 if private else 64
    who = next(n for n in range(least, least + 64)
               if n % 7 == user and n // 8 % 3 == space)
    return op(20) + bytes([who, room + 8 * offset])


def unread(user, room, space=0):
    return op(20) + bytes([_who(user, space), room])


def who(room, space=0):
    return op(21) + bytes([room + 16 * space])


def show(what, peer=0, k=0):
    return op(22) + bytes([what, peer, k])


def host(what, peer=0, room=0):
    return op(23) + bytes([what + 8 * room, peer])


def rules(room, how):
    return op(24) + bytes([room + how])


def emit(room, space=0, how=0):
    return op(25) + bytes([room + 8 * space + how])


def keep():
    return op(26) + b'\0'


def fails(kinds, status=0, effect=False):
    return op(26) + bytes([1 + 16 * status + 8 * effect, kinds])


def works():
    return op(26) + b'\2'


def let(n=1, which=None):
    if which is None:
        return op(26) + bytes([5 + 8 * (n - 1)])
    return op(26) + bytes([6 + 8 * (n - 1), which])


def let_later(n=1, which=0):
    return op(26) + bytes([4 + 8 * (n - 1), which])


def wait(ms):
    return op(28) + bytes([ms // 20])


def skew(ms):
    return op(28) + bytes([(128 if ms > 0 else 192) + abs(ms) // 200])


def no_memory(calls):
    return op(29) + bytes([calls])


def then(what):
    return op(30) + bytes([b'aexdp!'.index(what)])


RESTART = op(31)
DRAIN = bytes([255])

THREE = come(0, JSON, ANN) + come(1, SIO, BOB) + come(2, PACKED, CY)


def all_join(room):
    return join(0, room) + join(1, room) + join(2, room)


def come_back(client, dialect, room, user=ANN):
    return come(client, dialect, user) + join(client, room, since=True)


SEEDS = {
    'publish': THREE + all_join(DUR) + say(0, DUR) + say(1, DUR, DONE) +
               say(2, DUR, NAMED) * 2 + say(0, DUR, STAMPED) + publish(DUR) +
               publish(DUR, DONE + STAMPED) + publish(DUR, NAMED + DONE) * 2,
    'publish-late': THREE + all_join(DUR) + keep() +
                    (say(0, DUR) + publish(DKEEP) + say(1, DUR)) * 3 +
                    let(2, 1) + let_later(2) + say(2, DUR) + let(9),
    'publish-fails': THREE + all_join(DUR) + fails(APPEND) + say(0, DUR) +
                     publish(DUR) + fails(APPEND, effect=True) + say(1, DUR) +
                     publish(DUR) + works() + say(2, DUR),
    'publish-full': THREE + all_join(DUR) + fails(APPEND, 2) + say(0, DUR) +
                    publish(DUR) + works() + say(0, DUR),
    'publish-busy': THREE + join(0, DUR) + keep() + say(0, DUR) * 9 + let(9),
    'publish-ring': THREE + all_join(RING) + say(0, RING) +
                    say(1, RING, DONE + NAMED) * 2 + publish(RING) * 7 +
                    publish(RCROWD) + publish(PLAIN) + publish(DENIED),
    'publish-spaces': come(0, SIO, ANN, 1) + come(1, SIO, BOB, 2) +
                      join(0, DUR) + join(1, DUR) + publish(DUR, space=1) +
                      publish(DUR, space=2) + say(0, DUR) + say(1, DUR),
    'publish-bytes': THREE + all_join(DUR) + publish(DUR, DONE + 64) +
                     publish(DUR, DONE + 96),
    'publish-bytes-many': THREE + all_join(DUR) + publish(DUR, DONE + 224) +
                          publish(RING, DONE + 224),
    'publish-batch': THREE + all_join(RCROWD) + say(0, RCROWD) * 2 +
                     publish(RCROWD) + wait(320) + say(1, RCROWD),
    'publish-gone': THREE + keep() + say(0, DUR) + say(1, DUR, DONE) +
                    away(0) + then(b'x') + say(1, DUR) + then(b'd') +
                    say(2, DUR) + then(b'!') + say(2, DUR) + let(9),
    'publish-paused': THREE + then(b'p') + say(0, DUR) + say(0, DUR) +
                      host(7, 0) + say(0, DUR),
    'catch-up': THREE + all_join(DUR) + say(0, DUR) * 2 + away(0) + away(1) +
                publish(DUR) * 2 + come_back(0, JSON, DUR) +
                come_back(1, SIO, DUR, BOB) + say(0, DUR) + leave(2, DUR) +
                publish(DUR) + join(2, DUR, event=True, since=True),
    'catch-up-late': THREE + all_join(DUR) + publish(DUR) * 2 + away(0) +
                     publish(DUR) + keep() + come_back(0, JSON, DUR) +
                     publish(DUR) * 2 + let(2) + publish(DUR) + let(9),
    'catch-up-gap': THREE + all_join(DKEEP) + publish(DKEEP) + away(0) +
                    publish(DKEEP) * 9 + come_back(0, JSON, DKEEP) +
                    publish(DKEEP),
    'catch-up-page': THREE + all_join(DUR) + publish(DUR) + away(0) +
                     publish(DUR) * 12 + come_back(0, JSON, DUR) +
                     publish(DUR),
    'catch-up-fails': THREE + all_join(DUR) + publish(DUR) + away(0) +
                      publish(DUR) + fails(STORE_READ) +
                      come_back(0, JSON, DUR) + works() +
                      join(0, DUR, since=True) + publish(DUR),
    'catch-up-ring': THREE + all_join(RING) + publish(RING) * 3 + away(0) +
                     publish(RING) * 3 + come_back(0, JSON, RING) +
                     away(0) + publish(RING) * 8 + come_back(0, JSON, RING) +
                     publish(RING),
    'catch-up-lies': THREE + all_join(DUR) + publish(DUR) * 3 +
                     join(0, DUR, lie=1) + join(0, DUR, lie=9) +
                     publish(DUR),
    'catch-up-two': THREE + all_join(DUR) + all_join(RING) + publish(DUR) +
                    publish(RING) + keep() + leave(0, DUR) + leave(0, RING) +
                    join(0, DUR, since=True) + join(0, RING, since=True) +
                    publish(RING) + publish(DUR) + let(9),
    'catch-up-away': THREE + all_join(DUR) + publish(DUR) * 2 + leave(0, DUR) +
                     keep() + join(0, DUR, since=True) + away(0) + let(9) +
                     come(0, JSON, ANN, back=BACK) + let(9) +
                     join(0, RING) + publish(DUR),
    'catch-up-restart': THREE + all_join(DUR) + all_join(RING) +
                        publish(DUR) * 2 + publish(RING) + keep() +
                        publish(DUR) * 2 + let(1) + RESTART + THREE +
                        join(0, DUR, since=True) + join(0, RING, since=True) +
                        join(1, DUR, since=True) + join(2, DUR) +
                        publish(DUR) + let(9),
    'catch-up-queue': THREE + all_join(DUR) + publish(DUR) + away(0) +
                      say(1, DUR, data=b'x' * 63) * 9 +
                      come(0, JSON, ANN) + block(0, 2) +
                      join(0, DUR, since=True) + publish(DUR) + free(0),
    'catch-up-count': THREE + all_join(DUR) + publish(DUR) + away(0) +
                      publish(DUR) * 6 + come(0, JSON, ANN) + block(0) +
                      (emit(RING) + join(0, RING)) * 3 +
                      join(0, DUR, since=True) + publish(DUR) + free(0),
    'later': THREE + join(0, LATER) + join(1, LATER) + host(5, 0) +
             publish(LATER) + host(6, 1) + join(0, DENIED) + join(1, DENIED),
    'resume': THREE + all_join(DUR) + all_join(RING) + publish(DUR) +
              publish(RING) + away(0) + away(1) + publish(DUR) +
              publish(RING) + come(0, JSON, ANN, back=BACK) +
              come(1, SIO, BOB, back=BACK) + publish(DUR),
    'resume-gap': THREE + all_join(RING) + all_join(DUR) + publish(DUR) +
                  away(0) + (publish(RING) + publish(DUR)) * 8 +
                  come(0, JSON, ANN, back=BACK) + publish(RING) +
                  publish(DUR),
    'stream': come(0, SSE, ANN, rooms=1 << DUR) +
              come(1, SSE, BOB, rooms=1 << RING) + publish(DUR) * 2 +
              publish(RING) * 2 + away(0) + away(1) + publish(DUR) +
              publish(RING) + come(0, SSE, ANN, back=BACK, rooms=1 << DUR) +
              come(1, SSE, BOB, back=BACK, rooms=1 << RING) + publish(DUR) +
              RESTART + come(0, SSE, ANN, back=BACK, rooms=1 << DUR) +
              publish(DUR),
    'stream-late': come(0, SSE, ANN, rooms=1 << DKEEP) + publish(DKEEP) * 2 +
                   away(0) + publish(DKEEP) * 8 + wait(2500) * 3 + keep() +
                   come(0, SSE, ANN, back=BACK, rooms=1 << DKEEP) +
                   publish(DKEEP) + let(9),
    'stream-fails': come(0, SSE, ANN, rooms=1 << DUR) + publish(DUR) * 2 +
                    RESTART + fails(STORE_READ) +
                    come(0, SSE, ANN, back=BACK, rooms=1 << DUR),
    'stream-rooms': come(0, SSE, ANN, rooms=7) + come(1, SSE, BOB, rooms=64) +
                    come(2, SSE, CY, rooms=128) + publish(DUR) +
                    publish(DKEEP) + host(5, 1),
    'posts': come(1, SSE, ANN, rooms=1 << DUR) + come(0, POST, ANN) +
             post(0, DUR) + post(0, DUR, DONE + NAMED) +
             post(0, DUR, session=False) + keep() + post(0, DUR) +
             let(2) + post(0, DUR, what=1) + post(0, DUR, what=2) +
             post(0, DUR, what=3) + away(1) + let(4),
    'history': THREE + all_join(DUR) + join(0, RING) + publish(DUR) * 9 +
               publish(RING) * 7 + ask(0, HISTORY, DUR, 0) +
               ask(1, HISTORY, DUR + 8 + 32, 5 * 8 + 3) +
               ask(0, HISTORY, RING + 16, 3 * 8) +
               ask(0, HISTORY, RING + 8, 0) + ask(0, HISTORY, PLAIN, 0) +
               past(DUR) + past(DUR, 3, before=True) +
               past(RING, 5 * 4 + 2, before=True) +
               past(DUR, 3 * 4, since=True) + past(PLAIN) + past(DENIED),
    'history-late': THREE + all_join(DUR) + publish(DUR) * 3 + keep() +
                    ask(0, HISTORY, DUR, 0) + past(DUR) + away(0) + let(1) +
                    fails(STORE_READ) + let(1) + ask(1, HISTORY, DUR, 0) +
                    let(3),
    'history-bytes': THREE + all_join(DUR) + publish(DUR, 64) * 3 +
                     ask(0, HISTORY, DUR, 0) + ask(1, HISTORY, DUR, 0) +
                     ask(1, HISTORY, DUR + 32, 1),
    'restart': THREE + all_join(DUR) + keep() + say(0, DUR, DONE) +
               past(DUR) + notify(ANN) + read_to(ANN, DUR, 1) +
               ask(1, UNREAD, DUR) + ask(0, COUNT, 0) + count(BOB) +
               ask(0, HISTORY, DUR, 0) + join(2, DUR, since=True) + RESTART +
               THREE + all_join(DUR),
    'presence': THREE + all_join(DCROWD) + all_join(DKEEP) + wait(300) +
                ask(0, BEAT, 0) + ask(0, SHOW, 1 + 16) +
                ask(1, SHOW, 2) + text(b'at sea') + wait(300) +
                ask(1, SHOW, 4) + ask(0, LIST, DCROWD) +
                ask(1, LIST, DCROWD + 16) + ask(0, LIST, 8) + wait(300) +
                away(1) + wait(300) + come(1, SIO, BOB) + join(1, DCROWD) +
                wait(2000) + bye(2) + wait(300) + who(DCROWD) + who(8),
    'presence-tabs': come(0, JSON, ANN) + come(1, SIO, ANN) +
                     come(2, JSON, NOBODY) + come(3, JSON, BOB) +
                     join(0, PLAIN) + join(1, PLAIN) + join(2, PLAIN) +
                     join(3, PLAIN) + wait(300) + ask(0, SHOW, 1 + 24) +
                     wait(300) + bye(0) + wait(300) + bye(1, True) +
                     wait(1000) + who(PLAIN) + wait(1000),
    'presence-away': THREE + all_join(DCROWD) + wait(300) + away(0) +
                     wait(300) + come(0, JSON, ANN, back=BACK) + wait(300) +
                     away(0) + wait(2400) + come(0, JSON, ANN, back=BACK) +
                     wait(300),
    'presence-pages': come(0, JSON, ANN) + come(1, SIO, BOB) +
                      come(2, JSON, CY) + come(3, JSON, DEE) +
                      join(0, DCROWD) + join(1, DCROWD) + join(2, DCROWD) +
                      join(3, DCROWD) + wait(300) +
                      ask(0, LIST, DCROWD + 32) + ask(0, LIST, DCROWD + 16) +
                      away(1) + away(2) + away(3) + wait(2000),
    'presence-rules': THREE + all_join(RING) + all_join(DCROWD) +
                      rules(RING, 8) + rules(DCROWD, 8 + 32) + away(0) +
                      rules(DCROWD, 0) + rules(DCROWD, 16) + wait(300) +
                      rules(RING, 192) + publish(RING) + wait(2000),
    'presence-lapse': THREE + all_join(DCROWD) + ask(0, BEAT, 0) +
                      ask(1, BEAT, 0) + wait(1500) + ask(0, BEAT, 0) +
                      wait(2000) + ask(1, BEAT, 0) + show(2) + wait(2500) +
                      wait(300),
    'presence-host': THREE + all_join(DCROWD) + show(0, 0, 3) +
                     show(0, 1, 0) + show(1, 0, 5) + show(1, 1, 200) +
                     show(1, 2, 100) + show(1, 0, 0) + show(2) + wait(300) +
                     then(b'e') + show(0, 0, 1) + wait(300) + then(b'x') +
                     show(0, 1, 1) + wait(300),
    'watch': THREE + ask(0, WATCH, 7) + ask(1, WATCH, 1) + wait(300) +
             ask(2, SHOW, 1 + 24) + wait(300) + away(2) + wait(2000) +
             come(2, JSON, CY) + ask(0, UNWATCH, 2) + ask(0, WATCH, 127) +
             ask(0, WATCH, 0) + show(3, 0, 14) + show(3, 1, 1) +
             show(4, 1, 15) + wait(300) + away(0) +
             come(0, JSON, ANN, back=BACK) + bye(0) + wait(2000),
    'typing': THREE + all_join(DCROWD) + all_join(RCROWD) +
              ask(0, TYPING, DCROWD) + ask(1, CHAT, DCROWD + 8) +
              ask(2, TYPING, RCROWD) + wait(300) + join(0, RING) +
              say(0, DCROWD) + ask(1, QUIET, DCROWD) + wait(300) +
              ask(0, TYPING, DCROWD) * 12 + away(0) + wait(300) +
              leave(2, RCROWD) + wait(2540) + show(5, 1, DCROWD) +
              come(0, JSON, ANN) + wait(300) + join(0, DCROWD) + who(DCROWD),
    'notify': THREE + notify(ANN) + notify(BOB, 16 + 1) * 2 +
              notify(ANN, 4) * 2 + notify(ANN, 64) + notify(DEE, 16 + 2) +
              ask(0, COUNT, 0) + ask(1, CLEAR, 1) + wait(800) +
              ask(0, CLEAR_TO, 2) + wait(2000) + come(3, SIO, DEE) +
              come(4, JSON, ANN) + notify(ANN, values=0, silent=True) +
              clear(DEE, 2) + clear_to(ANN, 9) + count(ANN) + count(DEE),
    'notify-many': THREE + notify(ANN) * 9 + come(3, JSON, ANN) +
                   ask(3, CLEAR_TO, 5) + notify(ANN, 32) + b'\x07' +
                   notify(ANN, 32) + b'\x03' + skew(2000) + skew(-4000) +
                   notify(ANN, 192) + skew(3000) + wait(100) + wait(2000) +
                   notify(ANN, values=3) + notify(ANN, 32) + b'\x02',
    'notify-late': keep() + THREE + notify(ANN) + notify(ANN, 16) * 2 +
                   let(1, 1) + ask(0, CLEAR, 0) + let(2) + let_later(3, 1) +
                   clear_to(ANN, 1) + let(9) + come(3, JSON, ANN) + let(9),
    'notify-fails': THREE + notify(ANN) * 2 + fails(APPEND + REMOVE, effect=True) +
                    notify(ANN, 16) + clear(ANN, 0) + wait(1200) + works() +
                    notify(ANN, 16) + wait(1200) + fails(31) +
                    come(3, JSON, DEE) + notify(DEE) + count(DEE) +
                    wait(1200) + works() + wait(1200) + fails(SET) +
                    ask(0, CLEAR_TO, 1) + fails(SET, effect=True) +
                    ask(0, CLEAR_TO, 2) + wait(1200) + works() + wait(1200),
    'notify-missed': notify(ANN) + come(0, JSON, ANN) + notify(ANN) +
                     wait(2100) + then(b'a') + notify(BOB) + notify(ANN) +
                     then(b'a') + wait(2100) + notify(BOB, space=1) +
                     come(1, SIO, BOB, 1) + notify(BOB, space=1),
    'notify-slow': come(0, JSON, ANN) + block(0) + notify(ANN) * 6 +
                   emit(DUR) + free(0) + wait(100) + notify(ANN),
    'notify-newcomers': come(0, JSON, ANN) + keep() + publish(DUR) * 5 +
                        come(1, SIO, BOB) + come(2, JSON, CY) + wait(40) +
                        let(9) + wait(40) + let(9),
    'receipts': THREE + all_join(DUR) + publish(DUR) * 4 +
                ask(0, READ, DUR + 32) + ask(1, READ, DUR + 48 + 8) +
                ask(2, READ, DUR + 240) + ask(0, UNREAD, DUR) +
                ask(0, WHO_READ, DUR, 7) + ask(1, WHO_READ, DUR, 64) +
                ask(1, WHO_READ, DUR, 0) + wait(300) +
                read_to(ANN, DUR, 2) + read_to(BOB, DUR, 31) +
                read_to(CY, DUR, 1, private=True) + unread(BOB, DUR) +
                unread(ANN, RING) + wait(300),
    'receipts-late': THREE + all_join(DUR) + publish(DUR) * 3 + keep() +
                     ask(0, READ, DUR + 240) + ask(1, READ, DUR + 16) +
                     let(1) + ask(0, UNREAD, DUR) + let(2, 2) + fails(SET) +
                     let(9) + works() + fails(GET) + ask(0, UNREAD, DUR) +
                     ask(0, WHO_READ, DUR, 3) + let(9) + fails(SET, effect=True) +
                     ask(1, READ, DUR + 32) + let(9) + works() +
                     ask(1, READ, DUR + 16) + ask(1, READ, DUR + 48) +
                     let(9) + wait(300),
    'receipts-private': come(0, SIO, ANN, 2) + come(1, SIO, ANN, 2) +
                        come(2, SIO, BOB, 2) + all_join(DUR) +
                        publish(DUR, space=2) * 3 + ask(0, READ, DUR + 32) +
                        wait(300) + ask(2, WHO_READ, DUR, 1),
    'raw': come(0, RAW, ANN) + come(1, JSON, BOB) + join(1, DCROWD) +
           publish(DCROWD) + publish(RING) + say(1, DCROWD) + wait(300) +
           notify(ANN) + show(5, 0, DCROWD) + wait(300),
    'nonsense': THREE + all_join(DUR) + ask(0, NONSENSE, 0) +
                free_ask(0, HISTORY, b'{"room":"\x10\0","since":"x"}') +
                free_ask(1, LIST, b'{"room":"dur","after":-1}') +
                free_ask(0, WATCH, b'{"users":["",1,null]}') +
                free_ask(0, READ, b'{"room":"dur","offset":1.5}') +
                free_ask(1, WHO_READ, b'{"room":"dur","users":{}}') +
                free_ask(2, CLEAR, b'{"id":"\\u0001"}') +
                free_ask(0, SHOW, b'{"state":{"a":[1,{"b":null}]}}') +
                raw(0, b'{"join":"\x10\0","since":\x11\0,"epoch":"\x12\0"}') +
                raw(1, b'42["room:join",{"room":"\x10\0","since":-1}]') +
                raw(0, b'{"event":"room:join","args":[]}') +
                raw(1, b'42["typing:start"]') + raw(0, b'{"x"'),
    'host': THREE + all_join(DUR) + host(2, 0, RING) + host(3, 1, DUR) +
            host(4, 2, LATER) + host(5, 2) + publish(DUR) + publish(RING) +
            emit(RING) + emit(DUR) + host(0, 0) + host(1, 1) + publish(DUR),
    'drain': THREE + all_join(DCROWD) + keep() + say(0, DCROWD) + DRAIN +
             let(9) + wait(2000) + publish(DCROWD),
}
WITH = {
    RECOVERY: None,
    RECOVERY | TIGHT: None,
    LONG_TURNS | EVERYONE | RECOVERY: (
        'presence', 'presence-tabs', 'presence-away', 'presence-lapse',
        'presence-host', 'watch', 'publish', 'typing', 'restart'),
    NAMELESS: ('catch-up-restart', 'catch-up', 'stream', 'restart'),
    NO_STORE: ('publish', 'catch-up', 'catch-up-restart', 'stream', 'notify',
               'receipts', 'history'),
    NO_WALL: ('notify-many', 'presence-tabs', 'publish'),
    MEMORY | RECOVERY: (
        'publish', 'catch-up', 'catch-up-ring', 'resume', 'stream', 'history',
        'presence', 'presence-rules', 'watch', 'typing', 'notify',
        'notify-fails', 'receipts', 'restart', 'raw'),
}


def starve(program, every):
    """Memory fails behind each op, later and later: ops are not told apart,
    so it is put between those of seeds only as a prefix and a suffix."""
    return b''.join(no_memory(every * i) + program for i in range(1, 4))


def main():
    os.makedirs(OUT, exist_ok=True)
    for name, data in SEEDS.items():
        with open(os.path.join(OUT, name), 'wb') as f:
            f.write(b'\0' + data)
    for flags, names in WITH.items():
        for name in names or SEEDS:
            data = SEEDS[name]
            if flags & MEMORY:
                data = starve(data, 23)
            with open(os.path.join(OUT, '%s-%02x' % (name, flags)), 'wb') as f:
                f.write(bytes([flags]) + data)


main()
