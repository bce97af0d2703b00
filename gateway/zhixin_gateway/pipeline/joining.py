"""From the spans of several workers to one version: the last step of a divided extraction.

::

    spans/00000/ ┐                              attempts/00000-…/part-00000 ─▶ part-00000.parquet
    spans/00001/ ┼─ counts, keys, rejects ─▶ ok  attempts/00001-…/part-00000 ─▶ part-00001.parquet
    spans/00002/ ┘   over all records            attempts/00001-…/part-00001 ─▶ part-00002.parquet

It takes over what each span's intake found: unique keys and relationships are compared over all
records, rules about the whole decided over the sums, before a part has its name. A record that is
rejected only here is taken out of its span's parts, which are written anew; the others stay as
their workers wrote them. May be run again at any point.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from zhixin_errors import ConfigError, TransientSourceError, ValidationRefused
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.loader import load_contract
from zhixin_schemas.staged import merge_staged

from zhixin_gateway.datasets.manifest import entries_to_json, part_name
from zhixin_gateway.pipeline.extraction import keep_rejects, refuse, state_contract_of
from zhixin_gateway.pipeline.inputs import Inputs
from zhixin_gateway.pipeline.intake import Intake
from zhixin_gateway.pipeline.notarising import known_state
from zhixin_gateway.pipeline.outcome import Outcome
from zhixin_gateway.pipeline.partitions import (
    ATTEMPTS,
    SpanResult,
    Wanted,
    at_moment,
    attempt_parts,
    reading,
    result_of,
)
from zhixin_gateway.pipeline.previous import past_quality
from zhixin_gateway.pipeline.releasing import rejects_before
from zhixin_gateway.pipeline.snapshots import Held, held_snapshot
from zhixin_gateway.pipeline.spans import ROWS_OF_A_SPAN, row_base
from zhixin_gateway.pipeline.staging import EXTRACTED, JOINED, PLANNED, Staged, Work
from zhixin_gateway.pipeline.streaming import Parts, read_back
from zhixin_gateway.pipeline.treating import Treater
from zhixin_gateway.pipeline.watermark import Watermark
from zhixin_gateway.pipeline.writing import came_of, passed_records, summary
from zhixin_gateway.progress import NullProgress, Progress
from zhixin_gateway.pseudonyms import load_key

if TYPE_CHECKING:
    import pyarrow as pa
    from zhixin_connectors.protocol import Extracted
    from zhixin_schemas.model import Contract

    from zhixin_gateway.home import Home

__all__ = ["join"]

_AT_ONCE = 8
"""Parts that get their names at once: on an object store each is copied within it."""


def join(home: Home, staged: Staged, *, progress: Progress | None = None) -> Staged:
    """Make one extraction of all spans, and give their parts the names that they bear for good.

    Args:
        home: the owner's.
        staged: what ``plan`` answered.
        progress: told what happens.

    Returns:
        What ``write`` and ``second_opinion`` go on from, as ``extract`` would have.

    Raises:
        ConfigError: a span was not extracted, or the staging belongs to another run.
        TransientSourceError: spans were read at different moments, and no moment is held now at
            which they could be read anew.
        ValidationRefused: a critical rule is broken, or no record is left.
        ContractError: the ledger has the contract otherwise.
    """
    progress = progress or NullProgress()
    work = Work(home, str(staged["dataset"]))
    with home.lock(work.dataset):
        state = work.expect(staged)
        if state["step"] == PLANNED:
            progress.step("join", work.dataset)
            try:
                state |= _joined(work, state, progress)
            except ValidationRefused as error:
                keep_rejects(work, error, progress)
                work.discard()
                raise
            state["step"] = JOINED
            work.save(state)
            progress.done(f"{state['extracted']:,} records, {state['quarantined']:,} quarantined")
        if state["step"] == JOINED:
            _name(work, state.pop("named"))
            state["step"] = EXTRACTED
            work.save(state)
            shutil.rmtree(work.spans, ignore_errors=True)
        return summary(state)


def _name(work: Work, named: Iterable[Sequence[str]]) -> None:
    """Give parts their names; who died in the midst of it goes on."""
    sink = work.sink(None)

    def give(old_and_new: Sequence[str]) -> None:
        old, new = old_and_new
        try:
            sink.rename(old, new)
        except ConfigError:
            with sink.open(new):  # it has it already
                pass

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(give, named))
    sink.sync()
    sink.clear(ATTEMPTS)


def _joined(work: Work, state: Staged, progress: Progress) -> Staged:
    home = work.home
    contract = load_contract((work.folder / "contract.yaml").read_bytes())
    found = _at_one_moment(work, state, progress)
    client = home.ledger_client()
    known = known_state(client, progress)
    state_contract_of(home, client, contract, known, progress)
    inputs = Inputs(home, known, progress, state["inputs"])
    key_sets, targets = inputs.keys_of(contract)
    for folder in (work.records, work.rejects, work.reasons, work.keys, work.late):
        shutil.rmtree(folder, ignore_errors=True)
    parts = _SpansParts(work, found)
    intake = Intake(
        work,
        compile_rules(contract, targets),
        key_sets,
        Treater(contract, partial(load_key, home)),
        past=past_quality(work.store, known, contract),
        targets=targets,
        parts=parts,
    )
    for index, result in enumerate(found):
        intake.take_over(result.told, result.work, f"{index:05d}")
    offsets = np.cumsum([0, *(result.extracted for result in found)])
    source = partial(_again, work, contract, state)
    outcome = intake.finish(source, partial(_position, offsets))
    refuse(contract, outcome)
    for alert in outcome.alerts:
        progress.warn(alert)
    if state["report"]:
        files = [result.work.input for result in found]
        merge_staged(files, offsets.tolist(), work.input)
    _refuse_changed(work, found)
    if outcome.entries is None:
        found = _without_excluded(work, contract, found)
    return _told(work, contract, found, outcome)


def _told(work: Work, contract: Contract, found: list[SpanResult], outcome: Outcome) -> Staged:
    before = rejects_before(work, contract)
    for result in found:
        seen = result.seen()
        if before is not None and seen is not None:
            before.take_over(seen)
    watermark = Watermark(contract)
    for result in found:
        watermark.take_text(result.watermark)
    olds = [f"{result.folder}/{part.path}" for result in found for part in result.parts]
    entries = [
        replace(part, path=part_name(number))
        for number, part in enumerate(part for result in found for part in result.parts)
    ]
    return {
        "watermark": watermark.text,
        **outcome.told(),
        "released": came_of(work, before),
        "parts": entries_to_json(entries),
        "named": [[old, entry.path] for old, entry in zip(olds, entries, strict=True)],
    }


def _at_one_moment(work: Work, state: Staged, progress: Progress) -> list[SpanResult]:
    """What came of every span, all read at the same moment; those that were not are read anew."""
    indexes = range(len(state["spans"]))
    find = partial(result_of, work, token=state["token"])
    found = [find(index) for index in indexes]
    missing = [index for index in indexes if found[index] is None]
    if missing:
        raise ConfigError(
            f"spans of {work.dataset} were not extracted: {', '.join(map(str, missing))}",
            code="partition-missing",
            hint="run their tasks again, and then the join",
        )
    whole = [result for result in found if result is not None]
    if len({result.generation for result in whole}) == 1:
        return whole
    held = held_snapshot(work, state)
    for index, result in enumerate(whole):
        if result.generation != held.generation:
            progress.warn(
                f"the snapshot was lost after span {index + 1} of {work.dataset} had been read: "
                "it is read anew, as of the moment of the others"
            )
            at_moment(work, Wanted(state, index, held), progress)
    return [anew for index in indexes if (anew := find(index)) is not None]


def _refuse_changed(work: Work, found: list[SpanResult]) -> None:
    """See that no late worker has put another reading in place of one that was taken over."""
    now = [result_of(work, index, result.token) for index, result in enumerate(found)]
    if [each and each.folder for each in now] != [result.folder for result in found]:
        raise TransientSourceError(
            f"a late worker of {work.dataset} read a span anew while all were joined",
            code="partition-late",
            hint="join them again",
        )


def _position(offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Positions in the whole extraction of records that are numbered span by span."""
    positions: np.ndarray = offsets[rows // ROWS_OF_A_SPAN] + rows % ROWS_OF_A_SPAN
    return positions


def _again(work: Work, contract: Contract, state: Staged) -> Iterator[Extracted]:
    """The records of the spans of which some are rejected only now, read once more."""
    for index in _touched(work):
        held = Held(0, "")
        if state["snapshot"]:
            held = held_snapshot(work, state, wait_s=0)
        yield from reading(work.home, contract, Wanted(state, index, held))


def _touched(work: Work) -> list[int]:
    """The spans of which records are rejected only now."""
    excluded = np.load(work.excluded)
    return [int(index) for index in np.unique(excluded // ROWS_OF_A_SPAN)]


class _SpansParts(Parts):
    """The parts that workers have written, as an intake wants them: it may want records back.

    Args:
        work: the run's.
        found: what came of every span.
    """

    def __init__(self, work: Work, found: list[SpanResult]) -> None:
        self._work = work
        self._found = found
        self.rejects_before = None
        self.entries = ()

    def finish(self) -> None:
        """Nothing: they are durable."""

    def taken_back(
        self,
        schema: pa.Schema,
        first_row: int,  # noqa: ARG002 - each span has its own
        rejected: np.ndarray,  # noqa: ARG002 - likewise
    ) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """The records of the spans that are touched, but for those whose runs are shared."""
        for index in _touched(self._work):
            if self._found[index].streamed:
                yield from _records(self._work, schema, self._found[index], index)


def _records(
    work: Work, schema: pa.Schema, result: SpanResult, index: int
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    """Read a streamed span's parts, with the records' positions."""
    sink = work.sink(None).below(result.folder)
    rejected = np.load(result.work.rejected)
    return read_back(sink, result.parts, schema, row_base(index), rejected)


def _without_excluded(work: Work, contract: Contract, found: list[SpanResult]) -> list[SpanResult]:
    """Write the parts of the spans anew of which records are rejected only now."""
    excluded = np.load(work.excluded)
    changed = list(found)
    for index in _touched(work):
        result = found[index]
        folder = f"{ATTEMPTS}/{index:05d}-{secrets.token_hex(8)}"
        with attempt_parts(work, contract, folder) as parts:
            if result.streamed:
                for batch, rows in _records(work, contract.written_schema, result, index):
                    parts.add(batch.filter(np.isin(rows, excluded, invert=True)))
                parts.finish()
            else:
                gone = np.union1d(np.load(result.work.excluded), excluded)
                parts.take_all(passed_records(result.work, contract, gone))
            changed[index] = replace(result, folder=folder, parts=parts.entries)
    return changed
