"""How a run takes only what is new, and carries the rest over (docs/incremental.md).

::

    - {property: zhixin.watermark, value: updated_at}     # rises with every row that is new
    - {property: zhixin.incremental, value: key}          # … or changed; append: only with new ones
    - {property: zhixin.lateness, value: PT1H}            # so far below the last one is read again
    - {property: zhixin.deleted, value: deleted_at}       # a row that removes the record of its key

A run then looks at some records only. A rule that can be decided by those alone, or by what is
known of the others without reading them, is kept; every other one is refused here, not weakened.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from zhixin_schemas import rules as r
from zhixin_schemas.odcs import suggestion

if TYPE_CHECKING:
    from zhixin_schemas.document import Place
    from zhixin_schemas.model import Field

__all__ = ["Incremental", "check_incremental", "incremental_of", "lateness_problem"]

_NAMES = ("incremental", "lateness", "deleted")
_TIMES = ("date", "timestamp", "timestamptz")
_NUMBERS = ("integer", "unsigned")
_DURATION = re.compile(
    r"P(?=.)(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?"
    r"(?:T(?=.)(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,6})S)?)?"
)


@dataclass(frozen=True)
class Incremental:
    """What a contract says of it.

    Args:
        how: ``append``, rows are only ever added; ``key``, each replaces the record of its key.
        watermark: the field that tells what is new.
        lateness: how far below the last watermark a run reads again.
        deleted: the field that marks a row as deleted; empty where none does.
    """

    how: Literal["append", "key"]
    watermark: str
    lateness: dt.timedelta | Decimal
    deleted: str = ""


def incremental_of(options: Mapping[str, Any]) -> Incremental | None:
    """Read a sound contract's options; None where every run takes all."""
    if "incremental" not in options:
        return None
    how: Literal["append", "key"] = "key" if options["incremental"] == "key" else "append"
    said = options.get("lateness", 0)
    lateness = _duration(said) if isinstance(said, str) else Decimal(said)
    return Incremental(how, str(options["watermark"]), lateness, str(options.get("deleted", "")))


def lateness_problem(_name: str, value: object) -> str | None:
    """What is wrong with the value of ``zhixin.lateness`` alone, if anything."""
    if isinstance(value, str):
        sound = _DURATION.fullmatch(value) is not None
    else:
        sound = isinstance(value, int | Decimal) and not isinstance(value, bool) and value >= 0
    if sound:
        return None
    return (
        "zhixin.lateness is a duration of weeks, days, hours, minutes and seconds, such as PT1H or "
        "P2D, or beside a watermark of numbers a number"
    )


def check_incremental(
    server: Place,
    options: Mapping[str, Any],
    fields: Iterable[Field],
    rules: Iterable[r.Rule],
    *,
    dataset: str,
    derived: bool,
) -> None:
    """Hold the options to the fields and rules; problems go to the document.

    Args:
        server: whose custom properties they are.
        options: without the prefix, their values of the right kind.
        fields: of the contract.
        rules: of the contract.
        dataset: ``member/name``.
        derived: the dataset is made by SQL.
    """
    if not any(name in options for name in _NAMES):
        return
    if "incremental" not in options:
        server.option(*_NAMES).report(
            "this has a meaning beside zhixin.incremental, append or key, alone"
        )
        return
    named = {field.name: field for field in fields}
    key = tuple(field.name for field in named.values() if field.key_position)
    for problem in (
        *_source_problems(options, derived=derived),
        *_watermark_problems(options, named, key),
        *_key_problems(options, named, key),
    ):
        server.option("incremental").report(problem)
    for rule in rules:
        problem = _rule_problem(rule, dataset, key, str(options.get("watermark", "")))
        if problem:
            server.option("incremental").report(f'the rule "{rule.name}" {problem}')


def _source_problems(options: Mapping[str, Any], *, derived: bool) -> Iterator[str]:
    if derived:
        yield "a derived dataset is made anew from its inputs: leave out zhixin.incremental"
    if "partition" in options:
        yield "zhixin.partition divides a reading of all records: choose it or zhixin.incremental"


def _watermark_problems(
    options: Mapping[str, Any], named: Mapping[str, Field], key: tuple[str, ...]
) -> Iterator[str]:
    said_name = str(options.get("watermark", ""))
    field = named.get(said_name)
    kind = "" if field is None or field.treatment else str(field.type)
    number = kind in _NUMBERS or kind.startswith("decimal(")
    if field is None or not (number or kind in _TIMES):
        yield (
            "zhixin.watermark names the field that tells what is new: one of type integer, "
            f"decimal, date or timestamp that is written as it is{_unfit(said_name, named)}"
        )
        return
    if not key and not field.required:
        yield (
            f"without a primary key nothing but {field.name} tells a record that is read again: "
            "say required: true of it"
        )
    said = options.get("lateness")
    if said is not None and isinstance(said, str) == number:
        wanted = "number" if number else "duration, such as PT1H"
        yield f"{field.name} is of type {kind}: its zhixin.lateness is a {wanted}"
    elif kind == "date" and isinstance(said, str) and _duration(said) % dt.timedelta(days=1):
        yield f"{field.name} is a date: its zhixin.lateness is in whole days, such as P2D"


def _unfit(name: str, named: Mapping[str, Field], key: tuple[str, ...] = ()) -> str:
    """Say what there is to say of the field that was named: it is missing, or what it is."""
    if not name:
        return ""
    field = named.get(name)
    if field is None:
        return f"; the contract has no field {name}{suggestion(name, named)}"
    if name in key:
        return f"; {name} is in the key"
    return f"; {name} is {'treated' if field.treatment else f'of type {field.type}'}"


def _key_problems(
    options: Mapping[str, Any], named: Mapping[str, Field], key: tuple[str, ...]
) -> Iterator[str]:
    by_key = options["incremental"] == "key"
    if by_key and not key:
        yield "zhixin.incremental: key replaces records by their primary key: name one, or append"
    coarse = [n for n in key if (t := named[n].treatment) and t.kind == "generalise"]
    if coarse:
        yield f"{coarse[0]} is generalised, so the written key does not tell what a row replaces"
    if "deleted" not in options:
        return
    if not by_key:
        yield "rows that are only ever added are never deleted: zhixin.deleted goes with key"
        return
    field = named.get(str(options["deleted"]))
    fits = field is not None and field.treatment is None and field.name not in key
    if field is None or not fits or field.type not in ("boolean", *_TIMES):
        yield (
            "zhixin.deleted names a field outside the key that is true, or has a time, where the "
            f"row is deleted, and is written as it is{_unfit(str(options['deleted']), named, key)}"
        )


def _rule_problem(rule: r.Rule, dataset: str, key: tuple[str, ...], watermark: str) -> str:
    """Why a rule can't be decided by the records of one run, if it can't."""
    match rule.check:
        case r.Unique(fields) if set(fields) != set(key):
            return (
                "compares all records, and an incremental run reads some: only the primary key "
                "can be unique"
            )
        case r.Reference(_, other, _) if other == dataset:
            return "compares records of this dataset with each other, and not all are read"
        case r.WithinThreshold():
            return "counts over all records, and not all are read: let it reject, or warn"
        case r.RateJump(name, _, _) if name:
            return "compares shares of all records, and not all are read: watch the rejects' share"
        case r.Freshness(field) if field != watermark:
            return f"asks for the newest {field} of all records: let it ask for {watermark}"
        case _:
            return ""


def _duration(text: str) -> dt.timedelta:
    found = _DURATION.fullmatch(text)
    weeks, days, hours, minutes, seconds = map(int, found.groups("0")) if found else (0,) * 5
    return dt.timedelta(days, seconds, 0, 0, minutes, hours, weeks)
