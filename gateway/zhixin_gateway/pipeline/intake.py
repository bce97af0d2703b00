"""Records as they come in: judged batch by batch, passed ones handed on, rejected ones set aside.

While records come in the version's order they go straight into its parts: equal keys are neighbours
then, and a batch is held back until the next one shows whether its last record shares its key.
Where the order breaks, records go into sorted runs from there, and what was written before is taken
back at the end. Everything goes to disk; in memory stay a few batches, the buffers of the piles,
and the positions of rejected records (8 bytes each).

At the end other unique keys and relationships are compared over all records, and those that break
them are rejected too, though they had passed: their positions are ``excluded``, and the parts are
taken back.

Where the contract treats a field, the rules judge what was read and all piles hold what may be
written; keys and relationships are compared as they are written, for that is what others have.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from zhixin_connectors.protocol import Extracted, Misfit
from zhixin_schemas.compile import RowVerdict, RuleSet
from zhixin_schemas.quality import Past, Tally
from zhixin_schemas.rules import Rule
from zhixin_schemas.staged import StagedInput

from zhixin_gateway.datasets.canonical import too_long_mask
from zhixin_gateway.datasets.manifest import PartEntry
from zhixin_gateway.pipeline import sorting
from zhixin_gateway.pipeline.judging import Judge, numpy_mask, unread_cells
from zhixin_gateway.pipeline.order import KeyOrder, records_order, with_rows
from zhixin_gateway.pipeline.outcome import Outcome, Whole, check_balance, outcome_of
from zhixin_gateway.pipeline.recasting import FORM
from zhixin_gateway.pipeline.references import ReferencePile, rejected_by_references
from zhixin_gateway.pipeline.rejects import (
    ROW,
    Reason,
    ReasonPile,
    RejectPile,
    write_quarantine,
)
from zhixin_gateway.pipeline.rereading import Source, raw_texts
from zhixin_gateway.pipeline.staging import Work
from zhixin_gateway.pipeline.streaming import Parts
from zhixin_gateway.pipeline.treating import Treated, Treater
from zhixin_gateway.pipeline.uniqueness import KeyPile

__all__ = ["Intake"]

_NO_FORM = "the value that it is generalised to does not fit the field's type"
TOO_LONG = Reason("record.length", "", "the record's text exceeds 64 MiB")
_LATE_BATCH = 8_192
_NONE = np.empty(0, dtype=np.int64)


@dataclass
class _Held:
    """Accepted records of a batch whose last one may share its key with the next that comes."""

    batch: pa.RecordBatch
    rows: np.ndarray
    warned: np.ndarray
    extracted: Extracted


class Intake:
    """Takes the records of one extraction.

    Args:
        work: where piles grow.
        rules: the contract's, compiled.
        key_sets: verified keys, by the name of a relationship's rule.
        treater: makes what may be written of what was read.
        keep_input: keep all records for the second opinion too.
        past: what the versions before say, the newest first.
        targets: reads the other dataset's keys of a relationship that is decided at the end.
        parts: takes accepted records while they come in the version's order; None: all go into
            sorted runs.
    """

    def __init__(
        self,
        work: Work,
        rules: RuleSet,
        key_sets: dict[str, Any],
        treater: Treater,
        *,
        keep_input: bool = False,
        past: Sequence[Past] = (),
        targets: Mapping[str, Callable[[], Iterator[pa.RecordBatch]]] | None = None,
        parts: Parts | None = None,
    ) -> None:
        contract = rules.contract
        self._work = work
        self._rules = rules
        self._judge = Judge(rules, key_sets)
        self._treater = treater
        self._read_schema = contract.schema
        self.schema = treater.schema
        self._runs = sorting.RunWriter(
            work.records, with_rows(self.schema), records_order(contract.primary_key)
        )
        self._parts = parts
        self._key = frozenset(contract.primary_key)
        self._order = KeyOrder(contract.primary_key) if parts and contract.primary_key else None
        self._held: _Held | None = None
        self._shared: list[np.ndarray] = [_NONE]
        self._first_row: int | None = None
        self._rejects = RejectPile(work.rejects, self.schema.names)
        self._pairs = ReasonPile(work.reasons)
        self._keys: dict[frozenset[str], KeyPile] = {}
        for rule in rules.unique:
            fields = frozenset(rule.fields)
            if fields not in self._keys:
                folder = work.keys / str(len(self._keys))
                self._keys[fields] = KeyPile(folder, self.schema, rule.fields)
        self._targets = targets or {}
        self._references = [
            ReferencePile(
                work.keys / f"to-{at}", self.schema, rule, own=rule.name not in self._targets
            )
            for at, rule in enumerate(rules.late)
        ]
        self._reasons = {rule.name: at for at, rule in enumerate(rules.rules)}
        self._told = [Reason(rule.name, rule.field, rule.message) for rule in rules.rules]
        self._tally = Tally(rules)
        self._past = past
        self._rejected: list[np.ndarray] = [_NONE]
        self._unfit: dict[str, int] = {treater.line(field): 0 for field in treater.treatments}
        self._warned = 0
        self._accepted = 0
        self._input = StagedInput(work.input, rules) if keep_input else None

    def take(self, extracted: Extracted) -> None:
        """Judge a batch and put every record on its pile."""
        if self._first_row is None:
            self._first_row = extracted.first_row
        clear = pa.record_batch(extracted.batch.columns, schema=self._read_schema)
        treated = self._treater.treat(extracted)
        extracted = treated.extracted
        batch = pa.record_batch(extracted.batch.columns, schema=self.schema)
        rows = np.arange(extracted.first_row, extracted.first_row + batch.num_rows, dtype=np.int64)
        unread = unread_cells(extracted.misfits, batch)
        verdict = self._judge(clear, batch, unread)
        rejected = numpy_mask(verdict.rejected) | self._misfits(extracted.misfits, rows)
        rejected |= self._untreated(treated, rows)
        rejected |= self._too_long(batch, rows)
        self._tally.add(verdict, clear.filter(pa.array(~rejected)) if rejected.any() else clear)
        self._tell(verdict, rows)
        rejected |= self._compare_neighbours(batch, rows, rejected)
        warned = numpy_mask(verdict.warned)
        if rejected.any():
            self._reject(extracted, np.flatnonzero(rejected))
            kept = ~rejected
            self._pass(_Held(batch.filter(pa.array(kept)), rows[kept], warned[kept], extracted))
        else:
            self._pass(_Held(batch, rows, warned, extracted))
        for fields, keys in self._keys.items():
            if self._order is None or fields != self._key:
                keys.add(batch, rows)
        for pile in self._references:
            pile.add(batch, extracted.first_row)
        if self._input is not None:
            lost = {name: pa.array(mask) for name, mask in treated.failed.items()}
            self._input.add(batch, verdict, {**unread, **lost})

    def see_deleted(self, batch: pa.RecordBatch) -> None:
        """Look at rows that say that theirs are deleted: they are news, and no records."""
        self._tally.add_newest(batch)

    def finish(
        self,
        source: Source,
        position: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
        merge: Callable[[int, int], Whole] | None = None,
    ) -> Outcome:
        """Compare keys, and write the quarantine file.

        Args:
            source: reads the source once more, for raw texts that were not kept.
            position: gives the positions in the extraction of rows that are numbered otherwise.
            merge: given how many were accepted and how many rejected, makes the whole version of
                which they are a part; None: they are all.
        """
        rejected = self._close()
        excluded = self._compare_references(rejected, self._compare_keys(rejected, self._keys))
        warned = self._set_aside(rejected, excluded, source)
        quarantined = write_quarantine(
            self._work.quarantine,
            self._rejects.schema,
            self._work.rejects,
            self._work.reasons,
            self._told,
            position=position,
        )
        accepted = self._accepted - len(excluded)
        check_balance(self._tally.extracted, accepted, quarantined)
        whole = Whole(accepted, quarantined, self.entries)
        return outcome_of(
            self._tally,
            self._unfit,
            self._past,
            whole if merge is None else merge(accepted, quarantined),
            warned,
        )

    def hand_on(self, source: Source, decided: Sequence[str]) -> dict[str, Any]:
        """End the intake of one span of several: another one takes over all that it found.

        Args:
            source: reads the span once more, for raw texts that were not kept.
            decided: unique rules that no record of another span can break with one of this.

        Returns:
            What :meth:`take_over` goes on from, beside the piles.
        """
        rejected = self._close()
        ours = {frozenset(self._rules[name].fields) for name in decided}
        keys = {fields: pile for fields, pile in self._keys.items() if fields in ours}
        excluded = self._compare_keys(rejected, keys)
        warned = self._set_aside(rejected, excluded, source)
        for fields, pile in self._keys.items():
            pile.close()
            if fields in keys:
                shutil.rmtree(pile.folder)
        for reference in self._references:
            reference.close()
        np.save(self._work.rejected, np.sort(np.concatenate([rejected, excluded])))
        return {
            "counts": self._tally.counts(),
            "accepted": self._accepted - len(excluded),
            "warned": warned,
            "unfit": self._unfit,
            "reasons": [list(reason) for reason in self._told],
        }

    def take_over(self, told: Mapping[str, Any], work: Work, prefix: str) -> None:
        """Go on from what the intake of a span found.

        Args:
            told: what :meth:`hand_on` gave.
            work: where its piles lie; they stay there.
            prefix: no other span has it.
        """
        self._tally.add_counts(told["counts"])
        self._accepted += told["accepted"]
        self._warned += told["warned"]
        for name, count in told["unfit"].items():
            self._unfit[name] = self._unfit.get(name, 0) + count
        self._rejected.append(np.load(work.rejected))
        known = len(self._rules.rules)
        theirs = [Reason(*reason) for reason in told["reasons"][known:]]
        numbers = np.array([*range(known), *map(self._number, theirs)], dtype=np.int32)
        self._pairs.add_renumbered(work.reasons, numbers)
        for name in ("records", "rejects", "keys"):
            sorting.share(work.folder / name, self._work.folder / name, prefix)

    @property
    def entries(self) -> tuple[PartEntry, ...] | None:
        """The parts that hold the accepted records; None: they are in sorted runs."""
        return None if self._parts is None else self._parts.entries

    def _close(self) -> np.ndarray:
        """End what grows while records come; the positions of those that are rejected."""
        self._let_go()
        if self._parts is not None:
            self._parts.finish()
        if self._input is not None:
            self._input.close()
        rejected = np.sort(np.concatenate(self._rejected))
        if self._order is not None and self._order.broken:
            self._take_back(rejected)
        return rejected

    def _set_aside(self, rejected: np.ndarray, excluded: np.ndarray, source: Source) -> int:
        """Put records that had passed with the rejects; how many others have a warning."""
        np.save(self._work.excluded, excluded)
        if len(excluded):
            self._take_back(rejected)
        self._runs.close()
        if len(excluded):
            for rows, texts in raw_texts(self._treated(source), self._passed_before(excluded)):
                self._rejects.add(rows, texts)
        self._rejects.close()
        self._pairs.close()
        return self._count_warned(np.sort(np.concatenate([rejected, excluded])), len(excluded))

    def _compare_neighbours(
        self, batch: pa.RecordBatch, rows: np.ndarray, rejected: np.ndarray
    ) -> np.ndarray:
        """Which records share their key with a neighbour, while all come in the key's order.

        The keys of rejected records are kept: should the order break, theirs count too.
        """
        hit = np.zeros(len(rows), dtype=bool)
        if self._order is None:
            return hit
        pile = self._keys[self._key]
        shared = self._order.take(pile.keys(batch, rows))
        if self._order.broken:
            pile.add(batch, rows)
            return hit
        self._broke_key(shared)
        if len(shared) and shared[0] < rows[0]:
            self._reject_held(int(shared[0]))
            shared = shared[1:]
        hit[shared - rows[0]] = True
        gone = rejected | hit
        if gone.any():
            pile.add(batch.filter(pa.array(gone)), rows[gone])
        return hit

    def _broke_key(self, shared: np.ndarray) -> None:
        self._shared.append(shared)
        for rule in self._unique_over(self._key):
            self._tally.add_late(rule.name, len(shared))
            self._pairs.add(shared, self._reasons[rule.name])

    def _reject_held(self, row: int) -> None:
        """Reject the record before a batch, if it had passed."""
        held = self._held
        if held is None or not len(held.rows) or held.rows[-1] != row:
            return
        last = held.batch.num_rows - 1
        self._keys[self._key].add(held.batch.slice(last), held.rows[last:])
        self._reject(held.extracted, held.rows[last:] - held.extracted.first_row)
        self._held = _Held(
            held.batch.slice(0, last), held.rows[:last], held.warned[:last], held.extracted
        )

    def _reject(self, extracted: Extracted, at: np.ndarray) -> None:
        rows = extracted.first_row + at
        self._rejected.append(rows)
        self._rejects.add(rows, extracted.raw_texts(at.tolist()))

    def _pass(self, records: _Held) -> None:
        """Hand accepted records on; in the key's order one batch later."""
        self._let_go()
        if self._order is not None and not self._order.broken:
            self._held = records
        else:
            self._hand_on(records, streams=self._order is None)

    def _let_go(self) -> None:
        """Hand on what was held: it came in order, whatever came after it."""
        held, self._held = self._held, None
        if held is not None:
            self._hand_on(held, streams=True)

    def _hand_on(self, records: _Held, *, streams: bool) -> None:
        self._accepted += records.batch.num_rows
        self._warned += int(records.warned.sum())
        if streams and self._parts is not None:
            self._parts.add(records.batch)
        else:
            self._run(records.batch, records.rows)

    def _run(self, batch: pa.RecordBatch, rows: np.ndarray) -> None:
        columns = [*batch.columns, pa.array(rows)]
        self._runs.add(pa.record_batch(columns, schema=with_rows(self.schema)))

    def _take_back(self, rejected: np.ndarray) -> None:
        """Let sorted runs have what is in parts, and the piles of keys what they lack."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        for batch, rows in parts.taken_back(self.schema, self._first_row or 0, rejected):
            self._run(batch, rows)
            if self._order is not None and self._order.broken:
                self._keys[self._key].add(batch, rows)

    def _treated(self, source: Source) -> Source:
        """The source, treated: what is read again is compared with what was written."""

        def read() -> Iterator[Extracted]:
            for extracted in source():
                yield self._treater.treat(extracted).extracted

        return read

    def _passed_before(self, excluded: np.ndarray) -> Iterator[pa.RecordBatch]:
        """The records at these positions, as they were read, in the order of the positions."""
        late = sorting.RunWriter(self._work.late, with_rows(self.schema), [ROW])
        order = records_order(self._rules.contract.primary_key)
        for batch in sorting.merged(self._work.records, order):
            hit = np.isin(batch.column(batch.num_columns - 1).to_numpy(), excluded)
            if hit.any():
                late.add(batch.filter(pa.array(hit)))
        late.close()
        return sorting.merged(self._work.late, [ROW], _LATE_BATCH)

    def _misfits(self, misfits: Iterable[Misfit], rows: np.ndarray) -> np.ndarray:
        """Give every cell that did not fit its reason; which records have one."""
        hit = np.zeros(len(rows), dtype=bool)
        by_reason: dict[Reason, list[int]] = {}
        for misfit in misfits:
            hit[misfit.row] = True
            rule = f"{misfit.field}.type" if misfit.field else FORM
            by_reason.setdefault(Reason(rule, misfit.field, misfit.reason), []).append(misfit.row)
        broke: dict[str, set[int]] = {}
        for reason, at in by_reason.items():
            self._pairs.add(rows[sorted(at)], self._number(reason))
            broke.setdefault(reason.rule, set()).update(at)
        for rule, places in broke.items():
            self._unfit[rule] = self._unfit.get(rule, 0) + len(places)
        return hit

    def _untreated(self, treated: Treated, rows: np.ndarray) -> np.ndarray:
        """Reject the records of which a value has no treated form."""
        hit = np.zeros(len(rows), dtype=bool)
        for field, mask in treated.failed.items():
            line = self._treater.line(field)
            self._pairs.add(rows[mask], self._number(Reason(line, field, _NO_FORM)))
            self._unfit[line] += int(mask.sum())
            hit |= mask
        return hit

    def _too_long(self, batch: pa.RecordBatch, rows: np.ndarray) -> np.ndarray:
        mask = numpy_mask(too_long_mask(batch))
        if mask.any():
            self._pairs.add(rows[mask], self._number(TOO_LONG))
            self._unfit[TOO_LONG.rule] = self._unfit.get(TOO_LONG.rule, 0) + int(mask.sum())
        return mask

    def _tell(self, verdict: RowVerdict, rows: np.ndarray) -> None:
        for name, mask in verdict.failed.items():
            if mask.true_count:
                self._pairs.add(rows[numpy_mask(mask)], self._reasons[name])

    def _number(self, reason: Reason) -> int:
        """The number of a reason that no rule of the contract gives."""
        key = f"{reason.rule}\n{reason.message}"
        if key not in self._reasons:
            self._reasons[key] = len(self._told)
            self._told.append(reason)
        return self._reasons[key]

    def _compare_keys(
        self, rejected: np.ndarray, keys: Mapping[frozenset[str], KeyPile]
    ) -> np.ndarray:
        excluded = [_NONE]
        for fields, pile in keys.items():
            ordered = fields == self._key and self._order is not None
            if ordered and self._parts is not None:
                continue  # the order held: all that share their key were neighbours
            shared = pile.shared()
            if ordered:
                shared = np.setdiff1d(shared, np.concatenate(self._shared))
            for rule in self._unique_over(fields):
                self._tally.add_late(rule.name, len(shared))
                self._pairs.add(shared, self._reasons[rule.name])
                if rule.severity != "warning":
                    excluded.append(shared)
        return np.setdiff1d(np.concatenate(excluded), rejected)

    def _unique_over(self, fields: frozenset[str]) -> list[Rule]:
        return [rule for rule in self._rules.unique if frozenset(rule.fields) == fields]

    def _compare_references(self, rejected: np.ndarray, excluded: np.ndarray) -> np.ndarray:
        """Reject what points to nothing, or to what is rejected; with those excluded before."""
        if not self._references:
            return excluded
        for pile in self._references:
            if not pile.own:
                pile.add_targets(self._targets[pile.rule.name]())
        gone = np.union1d(rejected, excluded)
        broken, gone = rejected_by_references(self._references, gone)
        for name, rows in broken.items():
            self._tally.add_late(name, len(rows))
            self._pairs.add(rows, self._reasons[name])
        return np.setdiff1d(gone, rejected)

    def _count_warned(self, rejected: np.ndarray, excluded: int) -> int:
        """Accepted records with a warning: counted anew where keys changed who is accepted."""
        warnings = np.array(
            [self._reasons[rule.name] for rule in self._rules.rules if rule.severity == "warning"]
        )
        decided = (*self._rules.unique, *self._rules.late)
        late = any(rule.severity == "warning" for rule in decided)
        if not excluded and not late:
            return self._warned
        count, last = 0, -1
        for pairs in sorting.merged(self._work.reasons, [ROW, "rule"]):
            rows = pairs.column(0).to_numpy()[np.isin(pairs.column(1).to_numpy(), warnings)]
            rows = np.unique(rows)
            rows = rows[(rows > last) & ~np.isin(rows, rejected)]
            if len(rows):
                count, last = count + len(rows), int(rows[-1])
        return count
