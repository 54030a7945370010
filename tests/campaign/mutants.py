"""Damaged and hostile copies of a file's bytes: seeded, so that a finding can be made again."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

_EXTREMES = (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"7777", b"\0" * 8, b"\xff" * 8, b"99999999999999999999")
_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**70,
    1e400,
    -0.5,
    float("nan"),
    "",
    "\0",
    "../..",
    "/etc/passwd",
    "\ud800",
    "s3://k:s@b/x",
    "x" * 5000,
    [],
    {},
    [[[]]],
    {"": {}},
    ["a", 1, None],
)
_DEEP = "@deep@"


def mutants(data: bytes, rnd: random.Random, count: int) -> Iterator[bytes]:
    """Changed copies: bits flipped, parts cut, zeroed, repeated, moved, exchanged for rubbish or extreme numbers."""
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rnd.choice((1, 1, 2, 8))):
            _change(changed, rnd)
        yield bytes(changed)


def json_mutants(data: bytes, rnd: random.Random, count: int) -> Iterator[bytes]:
    """Copies of a JSON document with values removed, exchanged for odd ones or for each other; some as `mutants`."""
    whole = json.loads(data)
    for number in range(count):
        if number % 5 == 4:
            yield next(mutants(data, rnd, 1))
            continue
        changed = json.loads(data)
        for _ in range(rnd.choice((1, 1, 1, 3))):
            changed = _exchanged(changed, rnd, whole)
        depth = rnd.choice((50, 3000, 100_000))
        yield json.dumps(changed).replace(f'"{_DEEP}"', "[" * depth + "]" * depth).encode()


def _change(changed: bytearray, rnd: random.Random) -> None:
    start = rnd.randrange(len(changed)) if changed else 0
    end = min(len(changed), start + rnd.choice((1, 4, 64, 512, len(changed))))
    match rnd.randrange(8):
        case 0 | 1 if changed:
            changed[start] ^= 1 << rnd.randrange(8)
        case 2:
            del changed[start:]
        case 3:
            changed[start:end] = bytes(end - start)
        case 4:
            changed[start:end] = rnd.randbytes(min(end - start, 64))
        case 5:
            changed[start:start] = changed[start:end]
        case 6:
            extreme = rnd.choice(_EXTREMES)
            changed[start : start + len(extreme)] = extreme
        case _:
            del changed[start:end]


def _exchanged(value: Any, rnd: random.Random, whole: Any) -> Any:
    """`value` with one part of it, at any depth, exchanged or removed."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or rnd.random() < 0.1:
        return copy.deepcopy(rnd.choice((*_ODD, _DEEP, whole)))  # a later change may go into it
    key = rnd.choice(keys)
    if rnd.random() < 0.1:
        del value[key]
    elif isinstance(value, dict) and rnd.random() < 0.05:
        value[rnd.choice(("", "\0", "x" * 300, "a/../b"))] = value.pop(key)
    else:
        value[key] = _exchanged(value[key], rnd, whole)
    return value
