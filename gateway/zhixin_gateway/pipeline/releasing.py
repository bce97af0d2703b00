"""What came of the rejects of the version before: each is looked for in the new one.

::

    rejected in version 2 ── its key among the accepted records of version 3 ─▶ accepted
                          ── among the rejects of version 3 ─▶ rejected, for the same reasons or
                          ── in neither ─▶ gone                            otherwise: for others
                          ── its texts were withheld ─▶ unknown

A record is known by its primary key, read from the raw texts as the contract's types; where it has
none, or its key can't be read, by all its texts. So nothing is marked or edited: a reject comes in
because its source was mended, or because a new contract takes it. What is kept are counts and
positions, never contents.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from zhixin_gateway.datasets.arrow import Array, pc
from zhixin_gateway.datasets.canonical import texts
from zhixin_gateway.pipeline.recasting import reading_of, recast
from zhixin_gateway.pipeline.treating import WITHHELD
from zhixin_gateway.quarantine import ATTEMPT, Rejects, batches, of_dataset, schema_of

if TYPE_CHECKING:
    from pathlib import Path

    from zhixin_schemas.model import Contract

    from zhixin_gateway.pipeline.staging import Work

__all__ = ["OUTCOMES", "Before", "rejects_before"]

OUTCOMES = ("accepted", "rejected", "otherwise", "gone", "unknown")
_MAX_KEY_BYTES = 256 * 1024 * 1024
_AT_ONCE_BYTES = 8 * 1024 * 1024
"""Keys are looked up in such lots: each look-up hashes all that are known anew."""


def rejects_before(work: Work, contract: Contract) -> Before | None:
    """The rejects of the newest version that has any left, if there are some."""
    numbered = [found for found in of_dataset(work.home, contract.dataset)
                if found.version != ATTEMPT]  # fmt: skip
    if not numbered or not numbered[-1].count:
        return None
    return Before(numbered[-1], contract)


class Before:
    """The rejects of the version before, while their like is looked for.

    Args:
        rejects: them.
        contract: the new version's.

    Attributes:
        rejects: them.
    """

    def __init__(self, rejects: Rejects, contract: Contract) -> None:
        self.rejects = rejects
        self._contract = contract
        self._schema = contract.written_schema
        self._key = contract.primary_key or tuple(self._schema.names)
        self._reading = reading_of(contract.options)
        self._rows: list[np.ndarray] = []
        self._why: list[str] = []
        found: list[Any] = []
        size = 0
        self._why_not = "" if set(self._key) <= set(schema_of(rejects).names) else "key"
        for batch in batches(rejects) if self.comparable else ():
            found.append(self._keys(batch))
            size += found[-1].nbytes
            self._rows.append(batch.column("_row").to_numpy())
            self._why += map(sys.intern, _rules(batch))
            if size > _MAX_KEY_BYTES:
                self._why_not = "size"
                break
        keys: Any = pa.chunked_array(found, pa.large_string()).combine_chunks()
        coded = keys.dictionary_encode()
        self._known: Any = coded.dictionary
        self._of_row = pc.fill_null(coded.indices, -1).to_numpy()
        self._accepted = np.zeros(len(self._known), dtype=bool)
        self._now: dict[int, str] = {}
        self._waiting: list[Any] = []

    @property
    def comparable(self) -> bool:
        """Whether they can be looked for."""
        return not self._why_not

    def see(self, accepted: pa.RecordBatch) -> None:
        """Look at accepted records of the new version.

        Args:
            accepted: of the dataset's schema.
        """
        if self.comparable and accepted.num_rows and len(self._known):
            self._waiting.append(texts(accepted.select(list(self._key))))
            if _size(self._waiting) > _AT_ONCE_BYTES:
                self._look_up()

    def seen(self) -> np.ndarray:
        """Which of the rejects' keys were among the records that were looked at."""
        self._look_up()
        return self._accepted

    def take_over(self, seen: np.ndarray) -> None:
        """Go on from what others saw, each of other records.

        Args:
            seen: what :meth:`seen` gave to one of them, of the same rejects.
        """
        self._accepted |= seen

    def _look_up(self) -> None:
        hit = self._places(self._waiting)
        self._accepted[hit[hit >= 0]] = True
        self._waiting.clear()

    def _places(self, keys: list[Any]) -> np.ndarray:
        """Which of the known keys each is; -1 for none."""
        sought = pa.chunked_array(keys, self._known.type)
        hit = pc.fill_null(pc.index_in(sought, value_set=self._known), -1)
        places: np.ndarray = hit.to_numpy()
        return places

    def outcome(self, new: Path) -> dict[str, Any]:
        """Tell what came of each.

        Args:
            new: the new version's file of rejects.

        Returns:
            ``{version, key, counts, rows}``: by outcome, how many and their positions; without
            counts where the two can't be compared: then ``why`` is ``key``, the new version has
            another, or ``size``, they are too many for memory.
        """
        told: dict[str, Any] = {"version": self.rejects.version, "key": self._named_key()}
        if not self.comparable:
            return {**told, "why": self._why_not}
        self._look_up()
        keys: list[Any] = []
        why_now: list[str] = []
        for batch in batches(Rejects(self.rejects.dataset, "new", new)):
            keys.append(self._keys(batch))
            why_now += map(sys.intern, _rules(batch))
            if _size(keys) > _AT_ONCE_BYTES:
                self._reject(keys, why_now)
        self._reject(keys, why_now)
        rows: dict[str, list[int]] = {name: [] for name in OUTCOMES}
        at = np.concatenate([np.empty(0, dtype=np.int64), *self._rows]).tolist()
        for row, place, why in zip(at, self._of_row.tolist(), self._why, strict=True):
            rows[self._one(place, why)].append(row)
        return {**told, "counts": {name: len(rows[name]) for name in OUTCOMES}, "rows": rows}

    def _reject(self, keys: list[Any], why_now: list[str]) -> None:
        """Take a lot of the new version's rejects, and empty it."""
        for place, rules in zip(self._places(keys).tolist(), why_now, strict=True):
            if place >= 0:
                self._now[place] = rules
        keys.clear()
        why_now.clear()

    def _one(self, place: int, why: str) -> str:
        if place < 0:
            return "unknown"
        if place in self._now:
            return "rejected" if self._now[place] == why else "otherwise"
        return "accepted" if self._accepted[place] else "gone"

    def _named_key(self) -> list[str]:
        return list(self._contract.primary_key)

    def _keys(self, rejects: pa.RecordBatch) -> Array:
        """By what each is known again; null where its texts were withheld."""
        schema = pa.schema([self._schema.field(name) for name in self._key])
        read = recast(rejects, schema, self._reading)
        whole = read.whole()
        if self._contract.primary_key:
            for column in read.batch.columns:
                whole &= column.is_valid().to_numpy(zero_copy_only=False)
        keys: list[str | None] = list(texts(read.batch).to_pylist())
        names = [name for name in rejects.schema.names if not name.startswith("_")]
        withheld = bool(self._contract.treated)
        columns = [] if whole.all() else [rejects.column(name).to_pylist() for name in names]
        for place in np.flatnonzero(~whole).tolist():
            raw = [column[place] for column in columns]
            lost = withheld and WITHHELD in raw
            keys[place] = None if lost else "raw:" + json.dumps(raw, ensure_ascii=False)
        if withheld:
            keys = [None if key and WITHHELD in key else key for key in keys]
        return pa.array(keys, pa.large_string())


def _size(keys: list[Any]) -> int:
    return sum(each.nbytes for each in keys)


def _rules(batch: pa.RecordBatch) -> Iterator[str]:
    """Each record's rules as one text, to be compared."""
    for told in batch.column("_reasons").to_pylist():
        yield "\n".join(sorted({why["rule"] for why in told or ()}))
