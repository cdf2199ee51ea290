#!/usr/bin/env python3
"""Writes the seeds of fuzz_session: tests/fuzz/corpus/session/NAME.

Run it in the folder of the project after a change of the input's format.
"""
import os
import struct
import zlib

DIALED, DEFLATE, PROGRAM, COOKED, HELLO, LONG_TURNS = 1, 2, 4, 8, 16, 32
OUT = 'tests/fuzz/corpus/session'
MASK = bytes([0x37, 0xfa, 0x21, 0x3d])


def frame(first, payload, masked=True):
    """A frame as RFC 6455 section 5.2 has it."""
    n = len(payload)
    bit = 0x80 if masked else 0
    if n < 126:
        head = struct.pack('>BB', first, bit | n)
    elif n < 65536:
        head = struct.pack('>BBH', first, bit | 126, n)
    else:
        head = struct.pack('>BBQ', first, bit | 127, n)
    if not masked:
        return head + payload
    return head + MASK + bytes(c ^ MASK[i & 3] for i, c in enumerate(payload))


def cooked(first, payload):
    """A frame for the target to build: at most 199 bytes."""
    return bytes([first, len(payload)]) + payload


def deflated(payload):
    z = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (z.compress(payload) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]


def close(code, reason=b''):
    return struct.pack('>H', code) + reason


STREAMS = {
    'hello': frame(0x81, b'Hello'),
    'fragmented': frame(0x01, b'Hel') + frame(0x80, b'lo'),
    'ping': frame(0x89, b'Hello') + frame(0x8a, b''),
    'binary-256': frame(0x82, bytes(range(256))),
    'between': frame(0x01, b'e\xc3') + frame(0x89, b'x') +
               frame(0x80, b'\xa9'),
    'bad-text': frame(0x81, b'\xc3\x28') + frame(0x81, b'echo'),
    'reserved': frame(0x93, b'x') + frame(0x81, b'echo'),
    'continuation': frame(0x80, b'of nothing'),
    'too-big': frame(0x82, b'e' * 3001),
    'limit': frame(0x82, b'e' * 3000),
    'fragments': frame(0x02, b'e') + frame(0x00, b'x') * 9 +
                 frame(0x80, b''),
    'close': frame(0x81, b'echo') + frame(0x88, close(1000, b'bye')),
    'close-empty': frame(0x88, b''),
    'close-bad': frame(0x88, close(1005)),
    'close-asked': frame(0x81, b'close') + frame(0x88, close(4001)),
    'pause': frame(0x81, b'pause') + frame(0x81, b'echo'),
    'fail': frame(0x81, b'!') + frame(0x81, b'echo'),
    'broadcast': frame(0x81, b'b' * 100) + frame(0x81, b'l') +
                 frame(0x81, b'b'),
    'keyed': frame(0x81, b'k' * 40) * 3,
    'pings': frame(0x89, b'') * 25,
    'deflated': frame(0xc1, deflated(b'echo ' * 30)) * 2,
    'bomb': frame(0xc2, deflated(b'\0' * 60000)),
    'broken': frame(0xc2, b'\xff\xff\xff'),
}

HEADS = {
    'get': b'GET /plain HTTP/1.1\r\nHost: a\r\n\r\n',
    'pipelined': b'GET /plain HTTP/1.1\r\nHost: a\r\n\r\n' * 3,
    'post': b'POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n'
            b'hello',
    'chunked': b'POST /plain HTTP/1.1\r\nHost: a\r\n'
               b'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    'expect': b'POST /plain HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n'
              b'Content-Length: 2\r\n\r\nok',
    'missing': b'HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n'
               b'GET /r HTTP/1.1\r\nHost: a\r\n\r\n',
    'long': b'GET /plain HTTP/1.1\r\nHost: a\r\nX: ' + b'y' * 1100,
    'old': b'GET /plain HTTP/1.0\r\n\r\n',
    'bad': b'GET /plain HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n',
    'refused': b'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno',
}


def raw(data):
    return bytes([0, len(data)]) + data


def cook(first, payload):
    return bytes([1]) + cooked(first, payload)


def pass_time(units):
    return bytes([3, units])


BLOCK, DRAIN, EOF = bytes([4, 0]), bytes([203]), bytes([239])
FREE, RESUME = bytes([5]), bytes([10])


def room(n):
    return bytes([4, n])


def send(how, n=100):
    return bytes([6, how, n])


def broadcast(how, n=100):
    return bytes([7, how, n])


def command(n):
    return bytes([8, n])


def then(n):
    return bytes([9, n])


PROGRAMS = {
    'echo': cook(0x81, b'echo') * 3,
    'slow': BLOCK + send(3) * 20,
    'newest': BLOCK + send(5) * 20 + FREE,
    'oldest': BLOCK + send(7) * 20 + FREE + send(7),
    'rooms': BLOCK + (broadcast(7) + send(7)) * 10 + room(77) + FREE,
    'keyed': BLOCK + send(0x11, 9) + send(0x11, 90) + send(0x31) +
             broadcast(0x91) + FREE,
    'union': broadcast(0xc1) + broadcast(0x81) + broadcast(0x40),
    'partly': room(3) + send(1) + room(50) + send(7) * 20 + room(99) + FREE,
    'pause': command(4) + cook(0x81, b'echo') + RESUME + cook(0x81, b'p') +
             RESUME,
    'closes': command(0) + cook(0x81, b'echo') + cook(0x88, close(1000)),
    'cut': send(1) + command(7) + send(1),
    'joins': command(1) + command(2) + command(2) + command(2) + command(3),
    'idle': pass_time(250) * 5,
    'ping': command(5) + cook(0x8a, b'') + pass_time(250) * 3,
    'posts': command(6) * 3 + send(1),
    'drain': cook(0x81, b'echo') + DRAIN + pass_time(30) * 4,
    'eof': cook(0x01, b'begun') + EOF + send(1),
    'fails': then(7) + cook(0x81, b'echo') + send(1),
    'half': cook(0x01, b'begun') + pass_time(250) * 4,
    'later': raw(b'GET /plain?later=1 HTTP/1.1\r\nHost: a\r\n\r\n') +
             raw(b'GET /plain HTTP/1.1\r\nHost: a\r\n\r\n') + command(8),
}


def write(name, flags, data):
    with open(os.path.join(OUT, name), 'wb') as f:
        f.write(bytes([flags]) + data)


def main():
    os.makedirs(OUT, exist_ok=True)
    for name, data in STREAMS.items():
        deflate = DEFLATE if name in ('deflated', 'bomb', 'broken') else 0
        write('stream-' + name, HELLO | deflate, data)
        if deflate == 0:
            write('stream-' + name + '-cooked', HELLO | COOKED | DEFLATE,
                  cooked(data[0], b'echo ' * 9))
    for name in ('hello', 'fragmented', 'close', 'pings'):
        plain = {'hello': frame(0x81, b'Hello', False),
                 'fragmented': frame(0x01, b'e', False) +
                               frame(0x80, b'nd', False),
                 'close': frame(0x88, close(1001), False),
                 'pings': frame(0x89, b'x', False) * 9}[name]
        write('client-' + name, HELLO | DIALED, plain)
    write('client-deflated', HELLO | DIALED | DEFLATE,
          frame(0xc1, deflated(b'echo ' * 30), False) * 2)
    for name, data in HEADS.items():
        write('head-' + name, DIALED if name == 'refused' else 0, data)
    for name, data in PROGRAMS.items():
        hello = 0 if name == 'later' else HELLO
        write('program-' + name, PROGRAM | hello | DEFLATE, data)
        write('client-program-' + name, PROGRAM | HELLO | DIALED | LONG_TURNS,
              data)


main()
