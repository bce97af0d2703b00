"""The native kernel, where it is installed: ``zhixin-kernel``, built by ``make kernel``.

It does what :mod:`~zhixin_gateway.datasets.canonical` and
:mod:`~zhixin_gateway.datasets.hashing` do in pure Python, to the byte, much faster and without the
GIL. Without it, or with ``ZHIXIN_KERNEL=pure`` (or ``off``) in the environment, the
pure path serves. A kernel of another protocol is as none: ``zhixin doctor`` says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pyarrow as pa
from zhixin_errors import FormatError, VerificationError, ZhixinError

from zhixin_gateway.datasets.records import MAX_TEXTS_BYTES

_found: Any = None
with suppress(ImportError):
    import zhixin_kernel

    _found = zhixin_kernel

__all__ = ["PROTOCOL", "given", "installed", "load", "refusal"]

PROTOCOL = 1
"""What we know how to call; a kernel says which it answers to."""


def load() -> Any:  # noqa: ANN401 - a module, or None where the pure path serves
    """The kernel's module, or None where the pure path serves."""
    if os.environ.get("ZHIXIN_KERNEL", "") in ("off", "pure"):
        return None
    return _found if installed() == PROTOCOL else None


def installed() -> int | None:
    """The protocol of the kernel that is installed, whether or not it serves."""
    return None if _found is None else _found.PROTOCOL


def given(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[str] | None]:
    """What the kernel is called with: a batch, and names where the C data interface cuts them off.

    The interface carries no lengths: neither of buffers, which the kernel must be able to trust,
    nor of the names of structs' members, which end at U+0000 in it.

    Raises:
        FormatError: a buffer is shorter than its column says.
    """
    try:
        batch.validate()
    except pa.ArrowInvalid as error:
        raise FormatError("a batch whose buffers are not what its columns say") from error
    names = [name for field in batch.schema for name in _members(field.type)]
    return batch, names if any("\0" in name for name in names) else None


def _members(arrow: pa.DataType) -> Iterator[str]:
    if isinstance(arrow, pa.DictionaryType):
        arrow = arrow.value_type
    if isinstance(arrow, pa.ListType):
        yield from _members(arrow.value_type)
    elif isinstance(arrow, pa.StructType):
        for member in arrow:
            yield member.name
            yield from _members(member.type)


def refusal(error: Exception, max_text: int = 0) -> ZhixinError:
    """What the pure path would have said.

    Args:
        error: the kernel's ``Refused``.
        max_text: the most bytes of a record's text.
    """
    what, row = error.args
    if what == "no form":
        return FormatError(f"record {row} of the batch holds a value that has no canonical form")
    if what == "too long":
        return FormatError(f"the text of a record exceeds {max_text} bytes")
    if what == "too much":
        message = f"the texts of the part's records exceed {MAX_TEXTS_BYTES} bytes"
        return VerificationError(message, code="record")
    return FormatError(f"a batch that has no canonical texts ({what})")
