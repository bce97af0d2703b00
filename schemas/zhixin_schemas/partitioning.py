"""How a source is divided, so that several workers read one version (docs/scale.md).

::

    - {property: zhixin.partition, value: id}                   # first field of the primary key
    - {property: zhixin.partitions, value: 8}                   # eight spans as wide as each other
    - {property: zhixin.partitions, value: [2024-01-01, 2025-01-01]}    # or three, by their bounds
    - {property: zhixin.immutable, value: true}                 # what is past never changes

A span is ``low <= field < high``. The first has no lower bound and takes the records without a
value, the last has no upper one: every record is in exactly one. Where the contract has a primary
key its first field divides, so that the spans one after another are in the key's order.

Pure description: where the values lie, only the source knows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from zhixin_schemas.document import Place
    from zhixin_schemas.model import Field, FieldType

__all__ = [
    "MOST_PARTITIONS",
    "PARTITION_OPTIONS",
    "Partitioning",
    "check_partitioning",
    "partitioning_of",
]

MOST_PARTITIONS = 1_000
_T = TypeVar("_T")
PARTITION_OPTIONS = ("partition", "partitions", "immutable")


@dataclass(frozen=True)
class Partitioning:
    """What a contract says of it.

    Args:
        field: whose values divide the records.
        count: how many spans are wanted, where no bounds are given; at least 2.
        bounds: canonical texts of the values at which a new span begins, rising.
        immutable: records that once were there never change, so that spans may be read at
            different moments.
    """

    field: str
    count: int
    bounds: tuple[str, ...] = ()
    immutable: bool = False


def partitioning_of(options: Mapping[str, Any]) -> Partitioning | None:
    """Read a sound contract's options; None where one worker reads all."""
    if "partition" not in options:
        return None
    wanted = options["partitions"]
    bounds = tuple(map(str, wanted)) if isinstance(wanted, list) else ()
    count = len(bounds) + 1 if bounds else int(wanted)
    return Partitioning(str(options["partition"]), count, bounds, bool(options.get("immutable")))


def check_partitioning(
    server: Place, options: Mapping[str, Any], fields: Iterable[Field], *, derived: bool
) -> None:
    """Hold the three options to each other and to the fields; problems go to the document.

    Args:
        server: whose custom properties they are.
        options: without the prefix, their values of the right kind.
        fields: of the contract.
        derived: the dataset is made by SQL.
    """
    if not any(name in options for name in PARTITION_OPTIONS):
        return
    if "incremental" in options:
        server.option(*PARTITION_OPTIONS).report(
            "a divided source is read whole each time: leave out zhixin.incremental, or these"
        )
        return
    if derived:
        server.option(*PARTITION_OPTIONS).report(
            "a derived dataset is not divided: DuckDB uses every core"
        )
        return
    if "partition" not in options or "partitions" not in options:
        server.option(*PARTITION_OPTIONS).report(
            "zhixin.partition names the field that divides the records, zhixin.partitions says "
            "into how many spans or at which values: both are needed"
        )
        return
    problem = _field_problem(str(options["partition"]), list(fields))
    if problem:
        server.option("partition").report(problem)
        return
    named = {field.name: field for field in fields}
    kind = named[str(options["partition"])].type
    problem = _bounds_problem(options["partitions"], kind)
    if problem:
        server.option("partitions").report(problem)


def _field_problem(name: str, fields: list[Field]) -> str:
    found = next((field for field in fields if field.name == name), None)
    if found is None:
        return f"the contract has no field {name}"
    first = min((f for f in fields if f.key_position), key=lambda f: f.key_position, default=None)
    if first is not None and first.name != name:
        return (
            f"records are ordered by the primary key, so its first field divides them: {first.name}"
        )
    if found.treatment is not None:
        return f"{name} is treated before it is written, so its own values may order nothing"
    if _reader(found.type) is None:
        return f"{name} is of no type that divides: integer, decimal, date, timestamp or string"
    return ""


def _bounds_problem(wanted: object, kind: FieldType) -> str:
    if not isinstance(wanted, list):
        if kind == "string":
            return "texts have no middle: give the values at which spans begin, such as [G, N, T]"
        return ""
    read = _reader(kind)
    values: list[Any] = []
    for text in map(str, wanted):
        try:
            values.append(None if read is None else read(text))
        except (ValueError, ArithmeticError):
            return f"a bound is no {kind} in its canonical form"
    if any(left >= right for left, right in pairwise(values)):
        return "the bounds rise, and none stands twice"
    return ""


def _reader(kind: FieldType) -> Callable[[str], Any] | None:
    """What reads a canonical text of a type as something that can be compared."""
    if not isinstance(kind, str):
        return None
    return Decimal if kind.startswith("decimal") else _READERS.get(kind)


def _whole(text: str) -> int:
    return _same(int(text), text, str(int(text)))


def _day(text: str) -> dt.date:
    found = dt.date.fromisoformat(text)
    return _same(found, text, found.isoformat())


def _naive(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    return _same(found, text, found.isoformat(), found.isoformat(timespec="microseconds"))


def _aware(text: str) -> dt.datetime:
    if not text.endswith("Z"):
        raise ValueError
    return _naive(text.removesuffix("Z"))


def _same(found: _T, text: str, *written: str) -> _T:
    if text not in written:
        raise ValueError
    return found


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": _whole,
    "unsigned": _whole,
    "date": _day,
    "timestamp": _naive,
    "timestamptz": _aware,
    "string": str.encode,
}
