#!/usr/bin/env python3
"""Checks golden.tsv, or writes it anew, without any of this module's Go code.

    python3 golden.py          check golden.tsv; exit 1 if a value differs
    python3 golden.py --write  write golden.tsv

It needs nothing but Python 3.8. It is written from the specification of XXH64
(https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) and from the
jump hash paper (arXiv:1406.2294), and may serve as a model for a port.
"""

import pathlib
import struct
import sys

M64 = (1 << 64) - 1
P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def rotl(x, r):
    return ((x << r) | (x >> (64 - r))) & M64


def round64(acc, lane):
    return rotl((acc + lane * P2) & M64, 31) * P1 & M64


def xxh64(data):
    """XXH64 with seed 0."""
    pos, size = 0, len(data)
    if size >= 32:
        acc = [(P1 + P2) & M64, P2, 0, -P1 & M64]
        while size - pos >= 32:
            lanes = struct.unpack_from("<4Q", data, pos)
            acc = [round64(a, lane) for a, lane in zip(acc, lanes)]
            pos += 32
        h = sum(rotl(a, r) for a, r in zip(acc, (1, 7, 12, 18))) & M64
        for a in acc:
            h = ((h ^ round64(0, a)) * P1 + P4) & M64
    else:
        h = P5
    h = (h + size) & M64
    while size - pos >= 8:
        (lane,) = struct.unpack_from("<Q", data, pos)
        h = (rotl(h ^ round64(0, lane), 27) * P1 + P4) & M64
        pos += 8
    if size - pos >= 4:
        (lane,) = struct.unpack_from("<I", data, pos)
        h = (rotl(h ^ (lane * P1 & M64), 23) * P2 + P3) & M64
        pos += 4
    for byte in data[pos:]:
        h = rotl(h ^ (byte * P5 & M64), 11) * P1 & M64
    h = (h ^ (h >> 33)) * P2 & M64
    h = (h ^ (h >> 29)) * P3 & M64
    return h ^ (h >> 32)


def jump(h, n):
    """Jump consistent hash. Python's float is an IEEE 754 double."""
    b, j = 0, 0
    while j < n:
        b = j
        h = (h * 2862933555777941757 + 1) & M64
        j = int(float(b + 1) * (float(1 << 31) / float((h >> 33) + 1)))
    return b


COUNTS = (1, 2, 3, 7, 16, 100, 1000, 65536)


def pattern(size):
    return bytes((i * 7 + 3) & 0xFF for i in range(size))


def keys():
    yield b""
    yield from (b"a", b"abc", b"user:123", b"user:124", b"session/8f14e45f")
    yield from (b"\x00", b"\x00\x00", b"\xff", b"\xff\xfe\xfd", b"\xc3\x28", b"a\x00b")
    yield "Schneezaun ❄ 雪".encode()
    yield b"Nobody inspects the spammish repetition"
    # One of each length up to past the hash's block of 32 bytes, so that every
    # way through its tail is taken, and then some long ones.
    yield from (pattern(size) for size in range(2, 42))
    yield from (pattern(size) for size in (63, 64, 65, 127, 256, 1000))


HEADER = """\
# Golden vectors of package partition. Every implementation must agree with them.
# Lines that start with # are comments. Columns are separated by one tab:
#   key   the key's bytes in hexadecimal; empty for the empty key
#   hash  XXH64 of the key, seed 0, as 16 hexadecimal digits (most significant first)
#   n=N   the key's partition in a map of N partitions, decimal
# The first line without # names the columns. Written and checked by golden.py.
"""


def table():
    lines = ["\t".join(["key", "hash", *(f"n={n}" for n in COUNTS)])]
    for key in keys():
        h = xxh64(key)
        parts = (str(jump(h, n)) for n in COUNTS)
        lines.append("\t".join([key.hex(), f"{h:016x}", *parts]))
    return HEADER + "\n".join(lines) + "\n"


def main():
    # Published values first, so that this file can't agree with itself alone.
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"abc") == 0x44BC2CF5AD770999
    assert xxh64(b"Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1

    path = pathlib.Path(__file__).with_name("golden.tsv")
    if sys.argv[1:] == ["--write"]:
        path.write_bytes(table().encode())
    elif sys.argv[1:]:
        sys.exit(__doc__)
    elif path.read_bytes() != table().encode():
        sys.exit(f"{path.name} differs from what this program computes")


if __name__ == "__main__":
    main()
