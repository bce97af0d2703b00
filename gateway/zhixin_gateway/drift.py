"""Schema drift: how a source's columns differ from the contract, and from those of the last run.

::

    missing   fee is missing; was it renamed to fee_cny?
    type      seats was INTEGER and is TEXT
    new       remark is not in the contract: it never leaves the source

The columns of the last published run lie in the home beside that run's answer,
``runs/<member>/<dataset>.columns.json``: names and declared types, never a value. What is missing
stops a run before its first record (by the connector, which knows what a record must have); the
rest is told. A column that the contract does not name never leaves the source.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zhixin_connectors.checks import alike, nearest
from zhixin_connectors.protocol import SeenColumn

from zhixin_gateway.datasets.directory import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from zhixin_connectors.protocol import Connector
    from zhixin_schemas.model import Contract

    from zhixin_gateway.home import Home

__all__ = ["Drift", "find_drift", "last_columns", "look", "remember_columns"]


@dataclass(frozen=True)
class Drift:
    """One difference.

    Args:
        kind: missing, new, gone, type, nullable or order.
        column: its name; empty for the order.
        message: one sentence.
    """

    kind: str
    column: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Give the three parts for ``--json``."""
        return dict(vars(self))


def look(connector: Connector, contract: Contract) -> list[SeenColumn]:
    """The columns that a contract's source has now.

    Raises:
        SourceError: the source or its object can't be looked at.
    """
    seen = list(connector.columns(contract.object))
    if contract.options.get("headerRows") == 0 and len(seen) == len(contract.fields):
        named = zip(seen, contract.fields, strict=True)  # without a header, by their position
        return [column._replace(name=field.name) for column, field in named]
    return seen


def find_drift(
    contract: Contract, now: Sequence[SeenColumn], before: Sequence[SeenColumn] | None
) -> list[Drift]:
    """Compare a source's columns with a contract, and with those of the last published run.

    Args:
        contract: what is wanted.
        now: the source's columns.
        before: those of the last published run; None where there was none, or nobody remembers.

    Returns:
        What is missing first. A column that was there at the last run already, and that the
        contract does not name, is nothing new.
    """
    wanted = [field.name for field in contract.fields]
    optional = contract.options.get("optional", ())
    there = {column.name: column for column in now if column.name}
    known = {column.name: column for column in before or () if column.name}
    surplus = [name for name in there if name not in wanted]
    if len(surplus) == len(there) and not any(column.source_type for column in now):
        surplus = alike(surplus, wanted)  # no header, it seems: they are a record's values
    lacking = [name for name in wanted if name not in there and name not in optional]
    found = [_missing(name, surplus, there, known) for name in lacking]
    for name in [name for name in wanted if name in there and name in known]:
        found += _changed(known[name], there[name])
    for name in [name for name in surplus if name not in known]:
        told = f"{name} is not in the contract: it never leaves the source"
        found.append(Drift("new", name, told if before is None else f"{name} is new; {told}"))
    for name in [name for name in known if name not in there and name not in wanted]:
        found.append(Drift("gone", name, f"{name}, which the contract does not name, is gone"))
    common = [name for name in known if name in there]
    if common != [name for name in there if name in known]:
        found.append(Drift("order", "", "the columns stand in another order"))
    return found


def _missing(
    name: str,
    surplus: Sequence[str],
    there: dict[str, SeenColumn],
    known: dict[str, SeenColumn],
) -> Drift:
    """Say that a column is missing, and under which name it may be there."""
    fresh = [other for other in surplus if other not in known]
    same = [
        other
        for other in fresh
        if name in known and known[name].source_type == there[other].source_type != ""
    ]
    renamed = nearest(name, fresh) or (same[0] if len(same) == 1 else "")
    told = f"{name} is missing" + (f"; was it renamed to {renamed}?" if renamed else "")
    return Drift("missing", name, told)


def _changed(old: SeenColumn, new: SeenColumn) -> list[Drift]:
    found = []
    if old.source_type != new.source_type:
        told = f"{old.name} was {old.source_type or 'of no type'} and is {new.source_type}"
        found.append(Drift("type", old.name, told))
    if None not in (old.nullable, new.nullable) and old.nullable != new.nullable:
        told = f"{old.name} {'may be null now' if new.nullable else 'is never null any more'}"
        found.append(Drift("nullable", old.name, told))
    return found


def remember_columns(home: Home, dataset: str, columns: Sequence[Sequence[object]]) -> None:
    """Keep the columns of a run that was published.

    Args:
        home: the home that ran.
        dataset: ``member/name``.
        columns: (name, declared type, nullable) each.
    """
    path = _file(home, dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps([list(column) for column in columns]).encode())


def last_columns(home: Home, dataset: str) -> list[SeenColumn] | None:
    """The columns of the last published run; None where nobody remembers."""
    try:
        return [SeenColumn(*column) for column in json.loads(_file(home, dataset).read_bytes())]
    except (OSError, ValueError, TypeError):
        return None


def _file(home: Home, dataset: str) -> Path:
    return home.path / "runs" / f"{dataset}.columns.json"
