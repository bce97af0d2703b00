"""Names: members, datasets, origins, versions (docs/formats.md 2.1).

::

    bts.gov.example              a member: lowercase DNS name, two labels or more, ≤ 247 bytes
    flights                      a dataset's own name: [a-z][a-z0-9-]{0,62}
    bts.gov.example/flights      both together: the dataset
    bts.gov.example/flights@3    a version of it
    ledger.gov.example/2026      a ledger's origin: ASCII 0x21 to 0x7e without +, ≤ 255 bytes
    1.10.0                       a contract's version: three integers, compared as numbers

It does not look anything up: whether a member exists is the state's business.
"""

from __future__ import annotations

import re
from functools import lru_cache

from zhixin_errors import FormatError

from zhixin_ledger.encoding import MAX_INT, Json, as_text, parse_uint

__all__ = [
    "MAX_MEMBER_BYTES",
    "MAX_ORIGIN_BYTES",
    "check_dataset",
    "check_dataset_name",
    "check_member",
    "check_origin",
    "parse_contract_version",
    "parse_dataset_version",
    "parse_version",
    "split_dataset",
]

MAX_MEMBER_BYTES = 247
"""255 less ``/witness``: a member's cosigner key name still fits where 255 bytes do."""
MAX_ORIGIN_BYTES = 255

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_MEMBER = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_DATASET = re.compile(r"[a-z][a-z0-9-]{0,62}")
_NUMBER = r"(0|[1-9][0-9]{0,18})"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_ORIGIN = re.compile(r"[!-*,-~]{1,255}")


def check_member(name: Json, what: str = "member name") -> str:
    """The name, if it is a member's; else FormatError."""
    text = as_text(name, what)
    if len(text) > MAX_MEMBER_BYTES or _MEMBER.fullmatch(text) is None:
        raise FormatError(
            f"{what} must be a lowercase DNS name of two labels or more, at most "
            f"{MAX_MEMBER_BYTES} bytes, such as bts.gov.example"
        )
    return text


def check_dataset_name(name: Json, what: str = "dataset name") -> str:
    """The name, if it is a dataset's own, without its member; else FormatError."""
    text = as_text(name, what)
    if _DATASET.fullmatch(text) is None:
        raise FormatError(
            f"{what} must be a lowercase letter and then at most 62 of a-z, 0-9 and -, "
            "such as flights"
        )
    return text


def split_dataset(name: Json, what: str = "dataset") -> tuple[str, str]:
    """Split ``member/name``.

    Args:
        name: such as ``bts.gov.example/flights``.
        what: how a message names it.

    Returns:
        The member and the dataset's own name.

    Raises:
        FormatError: not exactly one slash, or a part that is no such name.
    """
    text = as_text(name, what)
    try:
        return _split_good(text)
    except ValueError:
        pass  # what is wrong is told below
    member, slash, own = text.partition("/")
    if not slash:
        raise FormatError(f"{what} must be MEMBER/DATASET, such as bts.gov.example/flights")
    return check_member(member, f"the member of {what}"), check_dataset_name(own, f"{what}'s name")


@lru_cache(maxsize=4096)
def _split_good(text: str) -> tuple[str, str]:
    """Split a good name; ValueError, which is not kept, for any other."""
    member, _, own = text.partition("/")
    if len(member) > MAX_MEMBER_BYTES or not _MEMBER.fullmatch(member):
        raise ValueError
    if not _DATASET.fullmatch(own):
        raise ValueError
    return member, own


def check_dataset(name: Json, what: str = "dataset") -> str:
    """The name, if it is ``member/name``; else FormatError."""
    split_dataset(name, what)
    return as_text(name, what)


def parse_version(text: Json, what: str = "version") -> int:
    """Read a dataset's version: an integer from 1 on."""
    number = parse_uint(text, what)
    if number == 0:
        raise FormatError(f"{what} must be 1 or more: versions count from 1")
    return number


def parse_dataset_version(text: Json, what: str = "dataset version") -> tuple[str, int]:
    """Split ``member/name@number``.

    Args:
        text: such as ``bts.gov.example/flights@3``.
        what: how a message names it.

    Returns:
        The dataset and its version.

    Raises:
        FormatError: another form.
    """
    dataset, at, number = as_text(text, what).partition("@")
    if not at:
        raise FormatError(f"{what} must be MEMBER/DATASET@N, such as bts.gov.example/flights@3")
    return check_dataset(dataset, what), parse_version(number, f"the number of {what}")


def check_origin(origin: Json, what: str = "origin") -> str:
    """The origin, if it can be a ledger's; else FormatError."""
    text = as_text(origin, what)
    if _ORIGIN.fullmatch(text) is None:
        raise FormatError(
            f"{what} must be 1 to {MAX_ORIGIN_BYTES} visible ASCII characters without +, "
            "such as ledger.gov.example/2026"
        )
    return text


@lru_cache(maxsize=1024)
def _version_parts(text: str) -> tuple[int, int, int]:
    """Read a good contract version; ValueError, which is not kept, for any other."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError
    major, minor, patch = map(int, match.groups())
    if max(major, minor, patch) > MAX_INT:
        raise ValueError
    return major, minor, patch


def parse_contract_version(text: Json, what: str = "contract version") -> tuple[int, int, int]:
    """Read ``major.minor.patch``.

    Args:
        text: such as ``1.10.0``.
        what: how a message names it.

    Returns:
        Three integers; tuples compare as versions do.

    Raises:
        FormatError: not three integers of docs/formats.md 1.
    """
    given = as_text(text, what)
    try:
        return _version_parts(given)
    except ValueError:
        pass  # what is wrong is told below
    parts = given.split(".")
    if len(parts) != 3:
        raise FormatError(f"{what} must be major.minor.patch, such as 1.0.0")
    major, minor, patch = (parse_uint(part, f"each number of {what}") for part in parts)
    return major, minor, patch
