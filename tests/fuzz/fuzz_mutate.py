"""Changes of good inputs: of bytes, and of JSON by its structure, into payloads in base64 too.

JSON is written canonically again, so that a change gets past the first check of every parser here.
All chance comes from the generator that is given: hypothesis shrinks it, atheris seeds it.
"""

from __future__ import annotations

import base64
import binascii
import json
from random import Random
from typing import Any

TEXTS = (
    "", "0", "00", "-1", "1", "01", "9223372036854775807", "9223372036854775808", "9" * 5000, "+1",
    "1e3", "null", "a", "A" * 300, "bts.gov.example", "bts.gov.example/flights", "x/y@1", "\x00",
    "\n", "\r\n", "é", "e\u0301", "\ud7ff", "\ufeff", "😀", "AA==", "AB==", "A" * 43 + "=",
    "A" * 86 + "==", "0" * 64, "F" * 64, "2026-01-31T00:00:00.000000Z", "0000-00-00", "../..",
    "%00", "urn:zhixin:dataset:v1", "decimal(38,38)", "decimal(0,0)", "— a AAAA",
)  # fmt: skip
BYTES = (
    *(text.encode("utf-8", "surrogatepass") for text in TEXTS),
    b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\x94 ", b"\n\n", b"{}",
    b"[]", b'{"a":1,"a":1}', b"1.0", b"NaN", b"[" * 2000, b"\x00" * 64,
)  # fmt: skip
MAX_BYTES = 1 << 17


def mutated(seed: bytes, chance: Random) -> bytes:
    """Change a seed a few times, as JSON where it is some, half of the time."""
    data = seed
    if chance.random() < 0.5:
        changed = _json_mutated(data, chance)
        if changed is not None:
            return changed[:MAX_BYTES]
    for _ in range(chance.randint(1, 4)):
        data = _bytes_mutated(data, chance)
    return data[:MAX_BYTES]


def _bytes_mutated(data: bytes, chance: Random) -> bytes:
    start = chance.randint(0, len(data))
    end = min(len(data), start + chance.choice((0, 1, 1, 2, 8, 64, len(data))))
    piece = data[start:end]
    way = chance.randrange(7)
    if way == 0 and data:
        at = chance.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if way == 1:
        return data[:start] + data[end:]
    if way == 2:
        return data[:start] + piece * chance.randint(2, 5) + data[end:]
    if way == 3:
        return data[:start] + chance.randbytes(len(piece) or 1) + data[end:]
    if way == 4:
        return data[:start]
    if way == 5:
        lines = data.split(b"\n")
        at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines.insert(to, lines[at] if chance.random() < 0.5 else lines.pop(at))
        return b"\n".join(lines)
    return data[:start] + chance.choice(BYTES) + data[end:]


def _json_mutated(data: bytes, chance: Random) -> bytes | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict | list):
        return None
    for _ in range(chance.randint(1, 3)):
        value = _changed(value, chance)
    return canonical(value)


def canonical(value: Any) -> bytes:
    """JCS of text, as far as it can be written."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Any, chance: Random) -> Any:
    """Change one place somewhere in a value."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(sorted(value))
        rest = {key: item for key, item in value.items() if key != name}
        draw = chance.random()
        if draw < 0.08:
            return rest
        if draw < 0.14:
            return {**rest, chance.choice(TEXTS): value[name]}
        return {**rest, name: _changed(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at, draw = chance.randrange(len(value)), chance.random()
        if draw < 0.1:
            return value[:at] + value[at + 1 :]
        if draw < 0.2:
            return [*value, *(value[at:] * chance.randint(1, 3))]
        if draw < 0.25:
            return chance.sample(value, len(value))
        return [*value[:at], _changed(value[at], chance), *value[at + 1 :]]
    if isinstance(value, str) and chance.random() < 0.7:
        return _text_changed(value, chance)
    return chance.choice((None, True, 0, 1.5, {}, [], {"a": {}}, [[]], *TEXTS))


def _text_changed(text: str, chance: Random) -> str:
    try:
        inner = base64.b64decode(text, validate=True) if len(text) > 40 else None
    except (binascii.Error, ValueError):
        inner = None
    if inner is not None and chance.random() < 0.8:
        return base64.b64encode(mutated(inner, chance)).decode()
    changed = _bytes_mutated(text.encode("utf-8", "surrogatepass"), chance)
    return changed.decode("utf-8", "replace")
