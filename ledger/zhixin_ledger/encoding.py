"""The few ways in which bytes stand for values: JSON (JCS), base64, hex, integers, times.

docs/formats.md 1: JSON is JCS (RFC 8785) in UTF-8 without a newline at the end, and has no numbers;
an integer is a string. Every reader here takes exactly what the writer beside it gives::

    {"dataset":"bts.gov.example/flights","previous":null,"version":"3"}
    9iHUhNnvLIeLvVWBZSo4XwgVzt5lSzEAzDP8niAveGY=
    2026-01-31T08:00:00.000000Z

It does not know any format's members: those stand in the module of the format.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from zhixin_errors import FormatError

__all__ = [
    "MAX_DEPTH",
    "MAX_INT",
    "Json",
    "JsonInput",
    "as_array",
    "as_object",
    "as_text",
    "b64",
    "check_hex",
    "format_time",
    "jcs",
    "jcs_of_texts",
    "members",
    "parse_hex",
    "parse_jcs",
    "parse_json_object_lenient",
    "parse_time",
    "parse_uint",
    "sha256",
    "sha256_hex",
    "unb64",
]

Json = str | bool | list["Json"] | dict[str, "Json"] | None
"""What a reader gives: there are no numbers."""

JsonInput = str | bool | Sequence["JsonInput"] | Mapping[str, "JsonInput"] | None
"""What a writer takes: tuples and other mappings too."""

MAX_DEPTH = 64
"""Arrays and objects around a value. The deepest of our forms needs less than 32."""

MAX_INT = 2**63 - 1

_SHA256_HEX = re.compile(r"[0-9a-f]{64}")
_UINT = re.compile(r"0|[1-9][0-9]{0,18}")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})Z"
)
_encoder = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_sorting_encoder = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), sort_keys=True
)


def sha256(data: bytes) -> bytes:
    """``H`` of the specification: SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: bytes) -> str:
    """``H`` as 64 lowercase hex digits."""
    return hashlib.sha256(data).hexdigest()


# --- JSON ---------------------------------------------------------------------------------------


def jcs(value: JsonInput) -> bytes:
    """Write a value as canonical JSON.

    Args:
        value: strings, booleans, None, sequences and mappings of these.

    Returns:
        RFC 8785 bytes: members by the UTF-16 code units of their names, shortest escapes.

    Raises:
        FormatError: a number, another type, half of a surrogate pair, or more than ``MAX_DEPTH``
            arrays and objects inside each other.
    """
    try:
        return _encoder.encode(_ordered(value, 0)).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError("JSON text holds half of a surrogate pair") from error


def jcs_of_texts(value: JsonInput) -> bytes:
    """Write a value as `jcs` does, in a third of the time, without checking what it is made of.

    Args:
        value: of strings, booleans, None, lists and dictionaries alone; all names in ASCII, in
            which the order of code points is that of UTF-16 code units.

    Raises:
        FormatError: half of a surrogate pair.
    """
    try:
        return _sorting_encoder.encode(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise FormatError("JSON text holds half of a surrogate pair") from error


def _ordered(value: JsonInput, depth: int) -> Json:
    if value is None or isinstance(value, (str, bool)):
        return value
    if depth >= MAX_DEPTH:
        raise FormatError(f"JSON is nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise FormatError("a JSON member's name must be a string")
        return {name: _ordered(value[name], depth + 1) for name in sorted(value, key=_utf16)}
    if isinstance(value, (list, tuple)):
        return [_ordered(item, depth + 1) for item in value]
    raise FormatError(f"JSON here holds no {type(value).__name__}: integers are strings")


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")


def _rises(names: list[str]) -> bool:
    """Whether names stand in JCS order. In ASCII, code points order as UTF-16 code units do."""
    key = None if "".join(names).isascii() else _utf16
    return names == sorted(names, key=key)


class _Refused(ValueError):
    """A value that JSON has and our formats have not."""


def _refuse_number(text: str) -> NoReturn:  # noqa: ARG001 - the hook's signature
    raise _Refused("a number: integers are strings here")


def _unique(pairs: list[tuple[str, Json]]) -> Json:
    members_ = dict(pairs)
    if len(members_) != len(pairs):
        raise _Refused("a member that is there twice")
    return members_


def _in_order(pairs: list[tuple[str, Json]]) -> Json:
    members_ = dict(pairs)
    if len(members_) != len(pairs):
        raise _Refused("a member that is there twice")
    if not _rises([name for name, _ in pairs]):
        raise _Refused("members that are not in JCS order")
    return members_


def _decoder(canonical: bool) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_in_order if canonical else _unique,
        parse_int=_refuse_number,
        parse_float=_refuse_number,
        parse_constant=_refuse_number,
    )


_canonical_decoder = _decoder(canonical=True)
_lenient_decoder = _decoder(canonical=False)
_plain_decoder = json.JSONDecoder(
    parse_int=_refuse_number, parse_float=_refuse_number, parse_constant=_refuse_number
)


def _decode(data: bytes, what: str, decoder: json.JSONDecoder) -> tuple[Json, str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{what} is not UTF-8 at byte {error.start}") from error
    if text.startswith("\ufeff"):
        raise FormatError(f"{what} begins with a byte order mark")
    try:
        value: Json = decoder.decode(text)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{what} is not JSON: {error.msg.lower()}, at character {error.pos}"
        ) from error
    except _Refused as error:
        raise FormatError(f"{what} holds {error}") from error
    except RecursionError as error:
        raise FormatError(f"{what} is nested deeper than {MAX_DEPTH}") from error
    # Nothing nests deeper than there are brackets.
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise FormatError(f"{what} is nested deeper than {MAX_DEPTH}")
    return value, text


def _deeper_than(value: Json, depth: int) -> bool:
    """Whether containers go deeper, level by level: no recursion, each container seen once."""
    level = [value] if isinstance(value, (list, dict)) else []
    while level:
        if depth == 0:
            return True
        depth -= 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (list, dict))
        ]
    return False


def parse_jcs(data: bytes, what: str) -> Json:
    """Read canonical JSON: exactly the bytes that `jcs` writes, nothing else.

    Args:
        data: the whole file or value.
        what: how a message names it ("manifest.json").

    Returns:
        The value; dictionaries are in JCS order.

    Raises:
        FormatError: not UTF-8, not JSON, other white space, escapes or order, a byte order mark,
            a member twice, a number, half of a surrogate pair, nesting beyond ``MAX_DEPTH``.
    """
    try:
        return _read_at_once(data)
    except ValueError:  # the careful reader says what is wrong, or takes what was too much at once
        value, text = _decode(data, what, _canonical_decoder)
    written = _encoder.encode(value)
    if written != text:
        raise FormatError(
            f"{what} is not canonical JSON (RFC 8785): it differs at character "
            f"{_first_difference(written, text)}"
        )
    return value


def _read_at_once(data: bytes) -> Json:
    """Read canonical ASCII of few brackets without a call into Python for every object.

    What C's writer makes of the value, its names sorted, is the text again. So each name stands
    once and in order, and there is no other white space and no other escape: a name twice would be
    missing from it, and half a surrogate pair or what need not be escaped would not be ASCII.

    Raises:
        ValueError: it is another text, or it can't be told so fast.
    """
    text = data.decode("ascii")
    if text.count("[") + text.count("{") > MAX_DEPTH:
        raise ValueError
    value: Json
    value, end = _plain_decoder.raw_decode(text)
    if end != len(text) or _sorting_encoder.encode(value) != text:
        raise ValueError
    return value


def _first_difference(a: str, b: str) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def parse_json_object_lenient(data: bytes, what: str) -> dict[str, Json]:
    """Read a JSON object in any layout: for admission to the ledger alone (docs/formats.md 2.8).

    Args:
        data: the whole value.
        what: how a message names it.

    Returns:
        The object's members.

    Raises:
        FormatError: as `parse_jcs`, but white space, escapes and order are free.
    """
    value, text = _decode(data, what, _lenient_decoder)
    if "\\" in text:  # only an escape can bring half of a surrogate pair in
        try:
            _encoder.encode(value).encode("utf-8")
        except UnicodeEncodeError as error:
            raise FormatError(f"{what} holds half of a surrogate pair") from error
    return as_object(value, what)


def as_object(value: Json, what: str) -> dict[str, Json]:
    """The value, if it is an object; else FormatError."""
    if not isinstance(value, dict):
        raise FormatError(f"{what} must be a JSON object")
    return value


def as_array(value: Json, what: str) -> list[Json]:
    """The value, if it is an array; else FormatError."""
    if not isinstance(value, list):
        raise FormatError(f"{what} must be a JSON array")
    return value


def as_text(value: Json, what: str) -> str:
    """The value, if it is a string; else FormatError."""
    if not isinstance(value, str):
        raise FormatError(f"{what} must be a JSON string")
    return value


def members(value: Json, what: str, names: Sequence[str]) -> tuple[Json, ...]:
    """The values of exactly these members.

    Args:
        value: what should be an object.
        what: how a message names it.
        names: all members that the form has.

    Returns:
        Their values, in the order of ``names``.

    Raises:
        FormatError: no object, a member missing, or one too many.
    """
    try:
        if type(value) is dict and len(value) == len(names):
            return tuple([value[name] for name in names])
    except KeyError:
        pass  # which ones is told below
    given = as_object(value, what)
    missing = [name for name in names if name not in given]
    if missing:
        raise FormatError(f"{what} lacks {', '.join(missing)}")
    if len(given) != len(names):
        surplus = sorted(set(given) - set(names))
        shown = ", ".join(ascii(name[:40]) for name in surplus[:3])
        raise FormatError(f"{what} has {len(surplus)} unknown members, such as {shown}")
    return tuple(given[name] for name in names)


# --- base64, hex, integers, times -----------------------------------------------------------------


def b64(data: bytes) -> str:
    """Standard base64 with padding."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def unb64(text: Json, what: str, length: int | None = None) -> bytes:
    """Read standard base64: only the one text that `b64` writes.

    Args:
        text: the text; another JSON value is refused.
        what: how a message names it.
        length: exact number of bytes wanted, where there is one.

    Returns:
        The bytes.

    Raises:
        FormatError: another alphabet, white space, no padding, bits after the end, other length.
    """
    given = as_text(text, what)
    data = _unb64_at_once(given)
    if data is None:
        try:
            data = base64.b64decode(given, validate=True)
        except ValueError as error:
            raise FormatError(f"{what} is not standard base64 with padding") from error
        raise FormatError(f"{what} is not canonical base64: bits are set after its end")
    if length is not None and len(data) != length:
        raise FormatError(f"{what} has {len(data)} bytes, want {length}")
    return data


def _unb64_at_once(given: str) -> bytes | None:
    """Read what `b64` writes; None for any other text."""
    try:
        data = binascii.a2b_base64(given)
    except ValueError:
        return None
    return data if b64(data) == given else None


def parse_hex(text: Json, what: str, size: int = 32) -> bytes:
    """Read lowercase hex.

    Args:
        text: the text; another JSON value is refused.
        what: how a message names it.
        size: exact number of bytes.

    Returns:
        ``size`` bytes.

    Raises:
        FormatError: another length, upper case, anything that is no hex digit.
    """
    given = as_text(text, what)
    if len(given) != 2 * size or not given.isascii():
        raise FormatError(f"{what} must be {2 * size} lowercase hex digits")
    try:
        data = bytes.fromhex(given)
    except ValueError as error:
        raise FormatError(f"{what} must be {2 * size} lowercase hex digits") from error
    if data.hex() != given:
        raise FormatError(f"{what} must be {2 * size} lowercase hex digits")
    return data


def check_hex(text: Json, what: str, size: int = 32) -> str:
    """The text itself, if `parse_hex` reads it; else FormatError."""
    if size == 32 and isinstance(text, str) and _SHA256_HEX.fullmatch(text):
        return text
    parse_hex(text, what, size)
    return as_text(text, what)


def parse_uint(text: Json, what: str) -> int:
    """Read an integer of docs/formats.md 1: ``0|[1-9][0-9]*``, below 2^63, as a string.

    Args:
        text: the text; another JSON value is refused.
        what: how a message names it.

    Returns:
        0 ≤ the integer < 2^63.

    Raises:
        FormatError: a sign, a leading zero, other digits, white space, 2^63 or more.
    """
    given = as_text(text, what)
    if _UINT.fullmatch(given) is None or (value := int(given)) > MAX_INT:
        raise FormatError(f"{what} must be an integer below 2^63, written without leading zeros")
    return value


def format_time(time: datetime) -> str:
    """Write a time as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``.

    Args:
        time: aware; of any offset.

    Returns:
        The time in UTC.

    Raises:
        FormatError: a naive time, or one that leaves the years 0001 to 9999 in UTC.
    """
    if time.tzinfo is None:
        raise FormatError("a time must have an offset")
    try:
        utc = time.astimezone(UTC)
    except OverflowError as error:
        raise FormatError("a time must lie in the years 0001 to 9999") from error
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: Json, what: str) -> datetime:
    """Read a time: only what `format_time` writes.

    Args:
        text: the text; another JSON value is refused.
        what: how a message names it.

    Returns:
        An aware time in UTC.

    Raises:
        FormatError: another form, a date that is none, a leap second.
    """
    match = _TIME.fullmatch(as_text(text, what))
    if match is None:
        raise FormatError(f"{what} must be a time like 2026-01-31T08:00:00.000000Z")
    year, month, day, hour, minute, second, micros = map(int, match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC)
    except ValueError as error:
        raise FormatError(f"{what} is no valid date and time") from error
