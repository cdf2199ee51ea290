#!/usr/bin/env python3
"""Writes the seeds of fuzz_events: tests/fuzz/corpus/events/NAME.

Run it in the folder of the project after a change of the input's format.
"""
import os

RECOVERY, LATER, TIGHT, LONG_TURNS, DEFLATE = 1, 2, 4, 8, 16
OUT = 'tests/fuzz/corpus/events'

# What put_escaped replaces; the byte behind counts back or on.
SECRET, OFFSET, SID, ASK = b'\1\0', b'\2\0', b'\3\0', b'\4\0'

(SIO_OPEN, SIO_POLL, SIO_POST, SIO_UPGRADE, SIO_WS, EIO_OPEN, EIO_POLL,
 EIO_POST, EIO_UPGRADE, EIO_WS, JSON, PACKED, SSE, SSE_POST, RAW,
 OPTIONS) = range(16)
WITH_SID = (SIO_POLL, SIO_POST, SIO_UPGRADE, EIO_POLL, EIO_POST, EIO_UPGRADE)


def op(what, stream=0):
    return bytes([what + 16 * stream])


def length(data):
    """How many bytes of the program: each escape counts as one."""
    n, i = 0, 0
    while i < len(data):
        i += 2 if data[i] in (1, 2, 3, 4) else 1
        n += 1
    return bytes([n])


def request(what, stream=0, body=None, more=0, last_id=None):
    out = op(0, stream) + bytes([what | more])
    if what in WITH_SID:
        out += b'\0'
    if last_id is not None:
        out += bytes([last_id])
    if body is not None:
        out += length(body) + body
    return out


def last_id(what, stream, back):
    return request(what, stream, more=32, last_id=back)


def frame(data, stream=0, first=0x81):
    return op(1, stream) + bytes([first]) + length(data) + data


def raw(data, stream=0):
    return op(2, stream) + length(data) + data


def wait(units):
    return op(4) + bytes([units])


def emit(how, who=0):
    return op(7) + bytes([how, who])


def command(what, who=0, room=0):
    return op(9) + bytes([what + 16 * room, who])


def then(what):
    return op(13) + bytes([b'ealfoqcxjp!'.index(what)])


def verdict(n):
    return op(10) + bytes([n])


def end(stream=0):
    return op(11, stream)


BLOCK, FREE = op(5) + b'\0', op(6)

OPENED = request(SIO_OPEN) + request(SIO_POST, body=b'40')
POLLED = OPENED + request(SIO_POLL)
EVENTS = b'42["e",1]\x1e421["a",{"x":"y"}]\x1e42["o","\xc3\xa9"]'
BYTES = (b'451-["a",{"_placeholder":true,"num":0}]\x1ebAQIDBA==')
UPGRADED = POLLED + request(SIO_UPGRADE, 1) + frame(b'2probe', 1) + \
    frame(b'5', 1)
WS = request(SIO_WS) + frame(b'40')
ENVELOPE = request(JSON) + frame(b'{"open":{"token":"x"}}')
PACKED_OPEN = request(PACKED) + \
    frame(b'\x81\xa4open\x81\xa5token\xa1x', first=0x82)
STREAM = request(SSE)
PACK_CONNECT = b'\x82\xa4type\x00\xa3nsp\xa1/'
PACK_EVENT = (b'\x84\xa4type\x05\xa3nsp\xa1/\xa4data\x93\xa1a\x07\xc4\x03xyz'
              b'\xa2id\x05')

SEEDS = {
    'polling': POLLED + request(SIO_POST, 1, EVENTS) + request(SIO_POLL),
    'polling-binary': POLLED + request(SIO_POST, 1, BYTES) +
                      request(SIO_POLL),
    'polling-ping': POLLED + wait(250) + request(SIO_POST, 1, b'3') + wait(250) * 2,
    'polling-close': POLLED + request(SIO_POST, 1, b'1'),
    'polling-twice': POLLED + request(SIO_POLL, 1),
    'polling-bad': POLLED + request(SIO_POST, 1, b'4\x1e\x1e9'),
    'posts-twice': OPENED + then(b'p') +
                   request(SIO_POST, 1, EVENTS) + request(SIO_POST, 2, EVENTS),
    'post-paused': OPENED + then(b'p') + request(SIO_POST, 1, EVENTS) +
                   op(14) + b'\0' + request(SIO_POLL, 2),
    'post-lost': OPENED + then(b'p') + request(SIO_POST, 1, EVENTS) + end(1),
    'post-fails': OPENED + then(b'!') + request(SIO_POST, 1, EVENTS),
    'poll-lost': POLLED + end(),
    'upgrade': UPGRADED + frame(EVENTS[:9], 1) + emit(128) + emit(0, 8) +
               frame(b'43' + ASK + b'["yes"]', 1),
    'upgrade-raced': POLLED + request(SIO_UPGRADE, 1) + emit(128) +
                     frame(b'2probe', 1) + emit(128, 4) + emit(128) +
                     frame(b'5', 1) + emit(128) + frame(b'3', 1) + wait(250),
    'upgrade-late': POLLED + request(SIO_UPGRADE, 1) + wait(120),
    'upgrade-lost': POLLED + request(SIO_UPGRADE, 1) + frame(b'2probe', 1) +
                    end(1) + request(SIO_POLL),
    'upgrade-twice': POLLED + request(SIO_UPGRADE, 1) +
                     request(SIO_UPGRADE, 2) + frame(b'2probe', 1),
    'websocket': WS + frame(b'421["a",1]') + frame(b'42["e"]') + emit(128) +
                 frame(b'2') + frame(b'1'),
    'attachments': WS + frame(b'452-["e",{"_placeholder":true,"num":1},'
                              b'{"_placeholder":true,"num":0}]') +
                   frame(b'one', first=0x82) + frame(b'two', first=0x82),
    'attachments-late': WS + frame(b'452-["e",{"_placeholder":true,"num":0},'
                                   b'{"_placeholder":true,"num":1}]') +
                        frame(b'one', first=0x82) + wait(250) * 2,
    'attachments-text': WS + frame(b'451-["e",{"_placeholder":true,"num":0}]')
                        + frame(b'42["e"]'),
    'msgpack': request(SIO_WS) + frame(PACK_CONNECT, first=0x82) +
               frame(PACK_EVENT, first=0x82) + emit(128, 4),
    'msgpack-polled': request(SIO_OPEN) +
                      request(SIO_POST, body=b'bgqR0eXBlAKNuc3ChLw==') +
                      request(SIO_POLL) + emit(128, 4) +
                      request(SIO_UPGRADE, 1) + frame(b'2probe', 1) +
                      frame(b'5', 1),
    'spaces': request(SIO_WS) + frame(b'40/nx,{"token":"x"}') +
              frame(b'40/other,') + frame(b'40/none,') + frame(b'42/nx,["e"]') +
              emit(129, 2) + frame(b'41/nx,') + frame(b'42/other,["c"]') +
              frame(b'42/other,["e"]'),
    'auth-no': request(SIO_WS) + frame(b'40{"token":"no"}') +
               frame(b'40{"token":"fail"}') + wait(250) * 2,
    'auth-later': request(SIO_WS) + frame(b'40{"token":"later"}') +
                  frame(b'40/nx,{"token":"later"}') + verdict(1) + verdict(0),
    'auth-lost': request(SIO_WS) + frame(b'40/nx,{"token":"later"}') + end() +
                 verdict(1),
    'resume': WS + emit(144) + end() + emit(144) * 2 + emit(128) +
              request(SIO_WS, 1) +
              frame(b'40{"pid":"' + SECRET + b'","offset":"\2\2"}', 1) +
              emit(144),
    'resume-gap': WS + end() + emit(144) * 20 + request(SIO_WS, 1) +
                  frame(b'40{"pid":"' + SECRET + b'"}', 1),
    'resume-late': WS + end() + wait(100) + request(SIO_WS, 1) +
                   frame(b'40{"pid":"' + SECRET + b'"}', 1),
    'resume-polled': POLLED + emit(144) + end() + emit(144) +
                     request(SIO_OPEN, 2) +
                     request(SIO_POST, 2, b'40{"pid":"' + SECRET +
                             b'","offset":"' + OFFSET + b'"}') +
                     request(SIO_POLL, 2),
    'away-closed': WS + end() + command(0) + command(1),
    'envelope': ENVELOPE + frame(b'{"event":"a","args":[1,{"$bytes":"AQI="}],'
                                 b'"id":3}') +
                frame(b'{"join":"hall","id":4}') + frame(b'{"leave":"hall"}') +
                frame(b'{"join":"no"}') + frame(b'{"ping":1}') +
                frame(b'{"event":"unknown"}') + emit(0, 8) +
                frame(b'{"ack":' + ASK + b',"args":[1]}') + emit(128, 4) +
                frame(b'\x03\xe8', first=0x88),
    'envelope-packed': PACKED_OPEN +
                       frame(b'\x83\xa5event\xa1a\xa4args\x92\x01\xc4\x01x'
                             b'\xa2id\x02', first=0x82) + emit(128, 4),
    'envelope-resume': ENVELOPE + frame(b'{"join":"hall"}') + emit(129) +
                       end() + emit(129) * 2 + request(JSON, 1) +
                       frame(b'{"open":{"token":"x"},"resume":"' + SECRET +
                             b'","offset":"\2\1"}', 1) + emit(129),
    'envelope-steals': ENVELOPE + request(JSON, 1) +
                       frame(b'{"open":{"token":"x"},"resume":"' + SECRET +
                             b'"}', 1),
    'envelope-later': request(JSON) + frame(b'{"open":{"token":"later"}}') +
                      frame(b'{"event":"e"}') + verdict(1),
    'envelope-no': request(JSON) + frame(b'{"open":{"token":"no"}}') +
                   frame(b'\x11\xc5', first=0x88),
    'sse': STREAM + emit(129) + emit(1, 16) +
           request(SSE_POST, 1, b'{"event":"e","args":[1],"session":"' +
                   SECRET + b'"}') +
           request(SSE_POST, 1, b'{"event":"a","args":[1]}') + wait(250) * 2,
    'sse-later': STREAM + then(b'l') +
                 request(SSE_POST, 1, b'{"event":"x","session":"' + SECRET +
                         b'"}') + command(10),
    'sse-lost': STREAM + then(b'l') +
                request(SSE_POST, 1, b'{"event":"x","session":"' + SECRET +
                        b'"}') + end() + request(SSE_POST, 2,
                                                 b'{"event":"l"}') + end(2),
    'sse-resume': STREAM + emit(129) * 2 + end() + emit(129) * 2 +
                  last_id(SSE, 1, 2) + emit(129),
    'sse-no': request(SSE, more=16) + request(SSE, 1, more=64) +
              request(OPTIONS, 2, more=64),
    'sse-blocked': STREAM + BLOCK + emit(129) * 30 + FREE,
    'engineio': request(EIO_OPEN) + request(EIO_POST, 1, b'4hello\x1ebAQI=') +
                request(EIO_POLL) + emit(128) + emit(1, 16),
    'engineio-websocket': request(EIO_WS) + frame(b'4hello') +
                          frame(b'bytes', first=0x82) + emit(128),
    'engineio-upgrade': request(EIO_OPEN) + request(EIO_POLL) +
                        request(EIO_UPGRADE, 1) + frame(b'2probe', 1) +
                        frame(b'5', 1) + frame(b'4hello', 1),
    'raw': request(RAW) + frame(b'echo') + emit(128) + emit(1, 16),
    'all': WS + request(JSON, 1) + frame(b'{"open":{}}', 1) +
           request(SSE, 2) + request(EIO_WS, 3) + request(RAW, 4) +
           request(PACKED, 5) + frame(b'\x81\xa4open\x80', 5, 0x82) +
           emit(144, 4) * 2 + emit(0, 24) + emit(129) + emit(208) * 2,
    'batch': WS + command(2, 0, 1) + emit(128, 1) * 3 + emit(128) + wait(5) +
             emit(128, 1) + end() + emit(128, 1) + wait(5),
    'keyed': WS + BLOCK + emit(192) * 3 + emit(128) + emit(192) + FREE,
    'volatile': WS + BLOCK + emit(128) + emit(160) * 2 + FREE + emit(160),
    'throttled': WS + frame(b'42["t"]') * 4 + frame(b'421["t"]'),
    'joins': ENVELOPE + then(b'j') + frame(b'{"event":"x"}') +
             command(4, 0, 3) + frame(b'{"join":"later"}') * 4 +
             command(5, 0, 3),
    'drain': WS + STREAM[:1] + request(SSE, 1) + end() + command(11, 255) +
             wait(60),
    'asks': WS + emit(0, 8) + emit(0, 24) + frame(b'43' + ASK + b'[1]') +
            emit(0, 8) + wait(40) + emit(0, 8) + end(),
    'garbage': raw(b'GET /sio/?transport=what HTTP/1.1\r\nHost: a\r\n\r\n') +
               raw(b'GET /sio/?EIO=3&transport=polling HTTP/1.1\r\nHost: a'
                   b'\r\n\r\n') + raw(b'PUT /sio/?EIO=4&transport=polling '
                                      b'HTTP/1.1\r\nHost: a\r\n\r\n'),
}


def write(name, flags, data):
    with open(os.path.join(OUT, name), 'wb') as f:
        f.write(bytes([flags]) + data)


def main():
    os.makedirs(OUT, exist_ok=True)
    for name, data in SEEDS.items():
        write(name, RECOVERY if 'steals' in name else 0, data)
        write(name + '-back', RECOVERY | LONG_TURNS, data)
    for name in ('all', 'batch', 'upgrade-raced', 'resume', 'envelope', 'sse'):
        write(name + '-tight', RECOVERY | TIGHT | DEFLATE, SEEDS[name])
        write(name + '-later', RECOVERY | LATER,
              SEEDS[name] + verdict(1) * 3)


main()
