"""A run that reads what is new and carries the rest over (docs/incremental.md).

::

    version 3 ── its watermark, less lateness ─▶ low ── the source from low on ─▶ rules as ever
       │                                                accepted, rejected, deleted
       └── its parts, its rejects ──────────────▶ merged: the parts and rejects of version 4

Nothing is weakened for being incremental: what can't be had so is read whole, and the run says why.
What it reads is judged as ever; a record that is rejected takes the one of its key out of the
version, as a run over everything would. The new version is what that run would write, as far as a
watermark can tell: docs/incremental.md says what it can't.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt
from zhixin_connectors.protocol import Span
from zhixin_errors import PermanentSourceError, VerificationError, ZhixinError

from zhixin_gateway.datasets.arrow import pc
from zhixin_gateway.datasets.writer import VersionWriter
from zhixin_gateway.gate.parts import part_batches
from zhixin_gateway.pipeline import merging, sorting
from zhixin_gateway.pipeline.deletions import Deletions
from zhixin_gateway.pipeline.earlier_rejects import carry_rejects
from zhixin_gateway.pipeline.merging import ACCEPTED, GONE, RANK, Merged
from zhixin_gateway.pipeline.nowhere import Nowhere
from zhixin_gateway.pipeline.outcome import Whole
from zhixin_gateway.pipeline.partends import old_parts
from zhixin_gateway.pipeline.previous import previous_version
from zhixin_gateway.pipeline.releasing import rejects_before
from zhixin_gateway.pipeline.results import last_run
from zhixin_gateway.pipeline.writing import passed_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from zhixin_connectors.protocol import Extracted
    from zhixin_ledger.state import State
    from zhixin_schemas.model import Contract

    from zhixin_gateway.datasets.manifest import PartEntry
    from zhixin_gateway.pipeline.intake import Intake
    from zhixin_gateway.pipeline.outcome import Outcome
    from zhixin_gateway.pipeline.previous import Previous
    from zhixin_gateway.pipeline.releasing import Before
    from zhixin_gateway.pipeline.rereading import Source
    from zhixin_gateway.pipeline.staging import Work
    from zhixin_gateway.pipeline.treating import Treater

__all__ = ["Delta", "Reading", "Unsound", "decide"]

_AHEAD = dt.timedelta(days=2)
"""A watermark so far after the moment of reading tells nothing; less may be another zone."""


class Unsound(Exception):
    """A part of the version before is not what was stated: everything must be read."""


@dataclass(frozen=True)
class Reading:
    """Which records a run takes.

    Args:
        how: ``append``, ``key``, or ``full``.
        why: why all are taken though the contract lets a run take what is new; empty otherwise.
        watermark: the field that tells what is new; empty where the contract names none.
        before: the version that the others are carried over from; None: all are taken.
        low: the watermark that reading begins at, a scalar.
        since: the watermark of the version before, a scalar.
    """

    how: str
    why: str = ""
    watermark: str = ""
    before: Previous | None = None
    low: Any = None
    since: Any = None

    @property
    def span(self) -> Span | None:
        """What is asked of the source; None: all."""
        return None if self.before is None else Span(self.watermark, self.low, None, nulls=True)

    @property
    def order(self) -> tuple[str, ...]:
        """The order of records without a primary key; empty: the source's own."""
        return (self.watermark,) if self.watermark else ()

    @property
    def words(self) -> str:
        """What it reads, for people; empty where that is a matter of course."""
        if self.before is not None:
            return f"what is new since version {self.before.version} is read, by its watermark"
        return f"all records are read: {self.why}" if self.why else ""


def decide(
    work: Work,
    contract: Contract,
    known: State,
    inputs: Sequence[dict[str, Any]],
    *,
    everything: str = "",
) -> Reading:
    """Decide what a run reads.

    Args:
        work: the dataset's.
        contract: the run's.
        known: the ledger's state.
        inputs: what its records are checked against, as the manifest lists it.
        everything: why all records are to be read; empty: nobody asked for it.

    """
    wanted = contract.incremental
    if wanted is None:
        return Reading("full")
    before = previous_version(work.home.open_store(), known, contract.dataset)
    why = everything or _not_from(
        before, contract, known, inputs, last_run(work.home, work.dataset)
    )
    if why or before is None:
        return Reading("full", why, wanted.watermark)
    kind = contract.schema.field(wanted.watermark).type
    since = pa.scalar(str(before.manifest.source.watermark)).cast(kind)
    if _far_ahead(since, before.manifest.source.extracted_at):
        why = f"the watermark of version {before.version} lies in the future"
        return Reading("full", why, wanted.watermark)
    if why := _rejects_not_there(before, rejects_before(work, contract)):
        return Reading("full", why, wanted.watermark)
    low = _less(since, wanted.lateness)
    return Reading(wanted.how, "", wanted.watermark, before, low, since)


class Delta:
    """What a run read, and how it comes into the version before, where it was not all.

    Args:
        work: where it grows.
        contract: the run's.
        reading: which records are read.
        treater: makes what may be written of what was read.
        keep: write parts; a dry run only counts.

    Attributes:
        rejects: those of the version before, which are looked for among what is read.
        read: rows of the source so far, those marked as deleted too.
    """

    def __init__(
        self, work: Work, contract: Contract, reading: Reading, treater: Treater, *, keep: bool
    ) -> None:
        self.reading = reading
        self.rejects = None if reading.before is None else rejects_before(work, contract)
        self._work = work
        self._contract = contract
        self._treater = treater
        self._keep = keep
        self._key = contract.primary_key
        self._schema = contract.written_schema
        self._ranked = self._schema.append(pa.field(RANK, pa.int8()))
        self._order = (*self._key, RANK) if self._key else ()
        self._changes = sorting.RunWriter(self._folder, self._ranked, self._order)
        self._deletions = Deletions(contract)
        self.read = self._written = 0
        self._merged: Merged | None = None

    @property
    def _folder(self) -> Path:
        return self._work.folder / "changes"

    def take(self, extracted: Extracted, intake: Intake) -> None:
        """Take the next batch of the source, and give its records to the intake.

        Args:
            extracted: as it was read.
            intake: judges records.
        """
        self.read += extracted.batch.num_rows
        records, deleted = self._deletions.take(extracted)
        if deleted is not None:
            intake.see_deleted(deleted.batch)
            self._remove(deleted)
        if deleted is None or records.batch.num_rows:
            intake.take(records)

    def finish(self, intake: Intake, source: Source, greatest: Any) -> Outcome:  # noqa: ANN401
        """End the reading, and merge what was accepted into the version before.

        Args:
            intake: what took the records.
            source: reads the source once more, for raw texts that were not kept.
            greatest: the greatest watermark that was read, a scalar; None: there was none.

        Raises:
            PermanentSourceError: the source has no row any more at the last watermark.
            Unsound: a part of the version before is not what was stated.
        """
        again = self._deletions.without(source)
        if self.reading.before is None:
            return intake.finish(again)
        _refuse_backwards(self.reading, self.reading.before, greatest, self._contract)
        return intake.finish(again, merge=partial(self._merge, self.reading.before))

    def told(self) -> dict[str, Any] | None:
        """What the run's answer says of it; None where the contract lets each run read all."""
        if self._contract.incremental is None:
            return None
        merged = self._merged
        return {
            "how": self.reading.how,
            "why": self.reading.why,
            "read": self.read,
            "deleted": self._deletions.count,
            "carried": None if merged is None else merged.carried,
            "written": None if merged is None else self._written,
        }

    def _merge(self, before: Previous, accepted: int, quarantined: int) -> Whole:
        for batch in self._all_keys():
            self._gone(batch)
        excluded = np.load(self._work.excluded)
        for batch in passed_records(self._work, self._contract, excluded):
            if self.rejects is not None:
                self.rejects.see(batch)
            self._add(batch.columns, ACCEPTED)
        self._changes.close()
        try:
            entries, merged = self._write(before)
        except VerificationError as error:
            raise Unsound(error.message) from error
        self._merged = merged
        records = sum(entry.records for entry in entries)
        if records != before.manifest.records - merged.dropped + accepted:
            raise ZhixinError(
                f"{records:,} records came of {before.manifest.records:,} of version "
                f"{before.version}, {merged.dropped:,} replaced or removed and {accepted:,} read",
                code="records-lost",
                hint="nothing was published; this is an error of Zhixin's own, please report it",
            )
        if self.rejects is not None:
            quarantined = carry_rejects(
                self.rejects,
                self._contract,
                self._work.quarantine,
                low=self.reading.low,
                extracted=accepted + quarantined,
            )
        return Whole(records, quarantined, entries)

    def _remove(self, deleted: Extracted) -> None:
        """Let the records of these keys go from the version, and their rejects."""
        if self.reading.before is None:
            return
        batch = self._treater.treat(deleted).extracted.batch
        self._gone(batch)
        if self.rejects is not None:
            self.rejects.see(batch)

    def _all_keys(self) -> Iterator[pa.RecordBatch]:
        """The primary keys of all records that were read, rejected ones too."""
        if self._key:
            yield from sorting.merged(self._work.keys / "0", ())  # lint admits no other unique key

    def _gone(self, keys: pa.RecordBatch) -> None:
        self._add(
            [
                keys.column(field.name) if field.name in self._key
                else pa.nulls(keys.num_rows, field.type)
                for field in self._schema
            ],
            GONE,
        )  # fmt: skip

    def _add(self, columns: Sequence[Any], rank: int) -> None:
        ranks = pa.array(np.full(len(columns[0]), rank, dtype=np.int8))
        self._changes.add(pa.record_batch([*columns, ranks], schema=self._ranked))

    def _write(self, before: Previous) -> tuple[tuple[PartEntry, ...], Merged]:
        parts = old_parts(self._work, before, self._key, self.reading.watermark)
        new = sorting.merged(self._folder, self._order)
        files = before.store.files(before.manifest.dataset, before.version)

        def read(entry: PartEntry) -> Iterator[pa.RecordBatch]:
            return part_batches(files, [entry], self._schema)

        sink = self._work.sink(before) if self._keep else Nowhere()
        with VersionWriter(sink, self._schema, self._key, before=before.manifest) as writer:
            if self._key:
                merged = merging.merge(writer, parts, read, new, self._key)
            else:
                plain = (batch.drop_columns([RANK]) for batch in new)
                field = self.reading.watermark
                merged = merging.append(
                    writer, parts, read, plain, watermark=field, low=self.reading.low
                )
            entries = writer.finish()
        same = {part.root for part in before.manifest.parts}
        self._written = sum(entry.root not in same for entry in entries)
        return entries, merged


def _refuse_backwards(
    reading: Reading,
    before: Previous,
    greatest: Any,  # noqa: ANN401 - a scalar
    contract: Contract,
) -> None:
    """Refuse a source that has lost what it had at the last watermark."""
    if greatest is not None and pc.greater_equal(greatest, reading.since).as_py():
        return
    raise PermanentSourceError(
        f"the source of {contract.dataset} has no row any more at the watermark of version "
        f"{before.version} or beyond: rows were removed, or an older state was put back",
        code="watermark-backwards",
        hint="nothing was published; if the source is as it should be, `zhixin run --full` takes "
        "all of it",
    )


def _not_from(
    before: Previous | None,
    contract: Contract,
    known: State,
    inputs: Sequence[dict[str, Any]],
    last: dict[str, Any] | None,
) -> str:
    """Why a run can't go on from the version before; empty where it can."""
    fact = known.dataset(contract.dataset)
    if fact is None:
        return "there is no version yet"
    if before is None:
        return f"version {fact.version} is not whole in this home's store"
    manifest, version = before.manifest, before.version
    then = [(each.dataset, each.version, each.statement.hex()) for each in manifest.inputs]
    now = [(each["dataset"], each["version"], each["statement"]) for each in inputs]
    held = last is not None and (last.get("standing"), last.get("held_to")) == (version, [*inputs])
    reasons = {
        f"version {version} is withdrawn": version in fact.withdrawn,
        f"version {version} was made under another contract": (
            manifest.contract.sha256.hex() != contract.sha256
        ),
        f"version {version} has no watermark": manifest.source.watermark is None,
        "a dataset that records are checked against has a new version": then != now and not held,
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _rejects_not_there(before: Previous, rejects: Before | None) -> str:
    """Why the rejects of the version before can't be carried forward; empty where they can."""
    kept = 0
    if rejects is not None and rejects.rejects.version == before.version:
        if not rejects.comparable:
            return f"the rejects of version {before.version} are too many to be carried forward"
        kept = rejects.rejects.count
    if kept != before.manifest.quarantined:
        return f"the rejects of version {before.version} are not in this home any more"
    return ""


def _far_ahead(since: Any, then: dt.datetime) -> bool:  # noqa: ANN401 - a scalar
    """Whether a watermark that is a time lies after the moment of reading: nothing would be new."""
    if not (pt.is_timestamp(since.type) or pt.is_date(since.type)):
        return False
    latest = (then + _AHEAD).replace(tzinfo=None)
    if pt.is_date(since.type):
        return bool(since.as_py() > latest.date())
    return bool(since.as_py().replace(tzinfo=None) > latest)


def _less(since: Any, lateness: dt.timedelta | Decimal) -> Any:  # noqa: ANN401 - scalars
    """A watermark less the lateness; no further down than the type reaches."""
    kind, value = since.type, since.as_py()
    if isinstance(lateness, dt.timedelta):
        least = dt.date.min if pt.is_date(kind) else dt.datetime.min.replace(tzinfo=value.tzinfo)
        return pa.scalar(value - lateness if value - least > lateness else least, kind)
    if pt.is_decimal(kind):
        with localcontext(prec=100):
            step = Decimal(1).scaleb(-kind.scale)
            lowest = -(Decimal(10) ** (kind.precision - kind.scale)) + step
            return pa.scalar(max((value - lateness).quantize(step, ROUND_FLOOR), lowest), kind)
    if pt.is_integer(kind):
        lowest_number = 0 if pt.is_unsigned_integer(kind) else -(2**63)
        return pa.scalar(
            max(int((value - lateness).to_integral_value(ROUND_FLOOR)), lowest_number), kind
        )
    return since
