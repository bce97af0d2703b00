"""Several workers on one version: a plan, an extraction of each span, a join (docs/scale.md).

::

    plan ─▶ extract_partition × n ─▶ join ─▶ (second_opinion) ─▶ write ─▶ notarise
      └───▶ hold_snapshot, until the join has ended

    <home>/staging/bts.gov.example/flights/spans/
      snapshot.json   {"generation": 1, "name": "00000003-0000001B-1"}
      00003/          what came of the fourth span: result.json, rejects/ reasons/ keys/
      .00003-5f1c…/   an attempt at it

A worker needs the home's folder and its store, nothing else; it may be killed at any point, and be
run again by anyone. Each attempt has folders of its own, in the home and in the store, and counts
once its folder has been renamed to the span's: two attempts at once never mix, the first that is
whole stands. Nothing is part of the version before the join has seen every span (``joining.py``).

All workers read one moment of a database by its exported snapshot (``snapshots.py``); where the
contract calls past records immutable there is none.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from zhixin_connectors.protocol import Extracted, ReadRequest, Span
from zhixin_errors import ConfigError
from zhixin_ledger.encoding import format_time
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.loader import load_contract

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.directory import write_whole
from zhixin_gateway.datasets.manifest import PartEntry, entries_from_json, entries_to_json
from zhixin_gateway.lanes import ahead
from zhixin_gateway.pipeline import spans
from zhixin_gateway.pipeline.contracting import check_step
from zhixin_gateway.pipeline.extraction import insisted, look_at, read_contract
from zhixin_gateway.pipeline.inputs import Inputs
from zhixin_gateway.pipeline.intake import Intake
from zhixin_gateway.pipeline.notarising import known_state
from zhixin_gateway.pipeline.releasing import rejects_before
from zhixin_gateway.pipeline.snapshots import Held, held_snapshot
from zhixin_gateway.pipeline.staging import PLANNED, Staged, Work
from zhixin_gateway.pipeline.streaming import Parts, opened_parts
from zhixin_gateway.pipeline.treating import Treater
from zhixin_gateway.pipeline.watermark import Watermark
from zhixin_gateway.pipeline.writing import passed_records, summary, version_before
from zhixin_gateway.progress import NullProgress, Progress
from zhixin_gateway.pseudonyms import load_key

if TYPE_CHECKING:
    from zhixin_schemas.compile import RuleSet
    from zhixin_schemas.model import Contract
    from zhixin_schemas.partitioning import Partitioning

    from zhixin_gateway.home import Home

__all__ = [
    "ATTEMPTS",
    "SpanResult",
    "SpanWork",
    "Wanted",
    "at_moment",
    "attempt_parts",
    "extract_partition",
    "plan",
    "reading",
    "result_of",
]

ATTEMPTS = "attempts"
"""Where parts lie beside the version before the join."""
_RESULT = "result.json"
_SEEN = "seen.npy"


@dataclass(frozen=True)
class Wanted:
    """A span that is to be read: of which run, which one, and at which moment."""

    state: Staged
    index: int
    held: Held


@dataclass(frozen=True)
class SpanWork(Work):
    """The staging folder of one span, or of one attempt at it."""

    place: Path

    @property
    def folder(self) -> Path:
        """Where its piles lie."""
        return self.place


@dataclass(frozen=True)
class SpanResult:
    """What came of one span.

    Args:
        work: where its piles lie.
        token: of the run.
        told: what its intake handed on.
        generation: of the moment at which it was read.
        watermark: the greatest one's text, if any.
        folder: of its parts, in the version's sink.
        parts: what they are, in order; ``path`` is the name in that folder.
        streamed: they hold all that was not rejected in the span, in the order of the extraction;
            else its sorted runs say which record is which.
    """

    work: SpanWork
    token: str
    told: dict[str, Any]
    generation: int
    watermark: str | None
    folder: str
    parts: tuple[PartEntry, ...]
    streamed: bool

    @property
    def extracted(self) -> int:
        """Records that the source gave."""
        return int(self.told["counts"]["extracted"])

    def seen(self) -> np.ndarray | None:
        """Which rejects of the version before were among its records; None: there were none."""
        file = self.work.folder / _SEEN
        return np.load(file) if file.exists() else None

    def save(self) -> None:
        """Write it beside the piles."""
        told = {
            "token": self.token,
            "told": self.told,
            "generation": self.generation,
            "watermark": self.watermark,
            "folder": self.folder,
            "parts": entries_to_json(self.parts),
            "streamed": self.streamed,
        }
        write_whole(self.work.folder / _RESULT, json.dumps(told).encode())


def plan(
    home: Home,
    contract_path: Path,
    *,
    report: bool = False,
    orchestrator: str = "",
    run_id: str = "",
    progress: Progress | None = None,
) -> Staged:
    """Divide a source into spans, and prepare all that their workers need.

    Args:
        home: the owner's.
        contract_path: the contract's file.
        report: keep all records for the second opinion too.
        orchestrator: what runs this, for the manifest; may be empty.
        run_id: its name for the run.
        progress: told what happens.

    Returns:
        What the next steps go on from; ``spans`` lists the spans.

    Raises:
        ContractError: the contract is not sound, or is otherwise in the ledger.
        SourceError: the source can't be read, or can't let several read one moment.
        VerificationError: the gate refused a dataset that this one stands on.
        ConfigError: the contract does not divide its source, another run of this dataset is going
            on, or a signed version waits.
    """
    progress = progress or NullProgress()
    began = time.time()
    contract = read_contract(home, contract_path)
    wanted = contract.partitioning
    if wanted is None:
        raise ConfigError(
            f"the contract of {contract.dataset} does not divide its source",
            hint="docs/scale.md: zhixin.partition and zhixin.partitions",
        )
    Treater(contract, partial(load_key, home))
    Watermark(contract)
    work = Work(home, contract.dataset)
    with home.lock(contract.dataset):
        token = work.begin()
        try:
            seen = insisted(partial(look_at, home, contract, progress), progress)
            state = known_state(home.ledger_client(), progress)
            check_step(home, contract, state, progress)
            inputs = Inputs(home, state, progress)
            inputs.keys_of(contract)
            found = insisted(partial(_spans, home, contract, wanted), progress)
            version_before(work, state, progress)
            work.sink(None).below(ATTEMPTS)
            work.spans.mkdir(exist_ok=True)  # a late worker of an earlier run may have made it
        except BaseException:
            work.discard()
            raise
        directory.write_file(work.folder / "contract.yaml", contract.bytes)
        staged: Staged = {
            "token": token,
            "step": PLANNED,
            "began": began,
            "dataset": contract.dataset,
            "run": [orchestrator, run_id],
            "only_checked": sorted(
                {item.dataset for item in contract.relationships} - {contract.dataset}
            ),
            "inputs": inputs.listed(),
            "report": report,
            "extracted_at": format_time(dt.datetime.now(dt.UTC)),
            "snapshot": not wanted.immutable,
            "spans": [spans.to_json(span) for span in found],
            **seen,
        }
        work.save(staged)
        progress.say(f"{contract.dataset} is read in {len(found)} spans of {wanted.field}")
        return summary(staged)


def _spans(home: Home, contract: Contract, wanted: Partitioning) -> list[Span]:
    from zhixin_connectors.spans import bounds, exported_snapshot

    field = contract.schema.field(wanted.field)
    connector = home.open_source(contract.server, contract.options)
    if not wanted.immutable:
        with exported_snapshot(connector):
            pass  # a source that has none is refused here, before workers begin
    if wanted.bounds:
        return spans.given_spans(wanted, field.type)
    return spans.even_spans(wanted, bounds(connector, contract.object, field))


def extract_partition(
    home: Home, staged: Staged, index: int, *, progress: Progress | None = None
) -> Staged:
    """Read one span, hold it to the contract, and write its parts beside the version.

    Args:
        home: the owner's.
        staged: what ``plan`` answered.
        index: of the span, 0 ≤ index < len(spans).
        progress: told what happens.

    Returns:
        ``{index, extracted, records, parts}``; without counts where the join has ended meanwhile.

    Raises:
        SourceError: the source can't be read; transient where the snapshot was lost.
        ConfigError: the staging belongs to another run, or the store refuses.
    """
    work = Work(home, str(staged["dataset"]))
    state = work.expect(staged)
    if state["step"] != PLANNED:
        return {"index": index}
    told = progress or NullProgress()

    def attempt() -> SpanResult:
        return at_moment(work, Wanted(state, index, held_snapshot(work, state)), told)

    result = insisted(attempt, told)
    return {
        "index": index,
        "extracted": result.extracted,
        "records": result.told["accepted"],
        "parts": len(result.parts),
    }


def at_moment(work: Work, wanted: Wanted, progress: Progress) -> SpanResult:
    """Read a span at a moment, unless an earlier attempt at it is whole.

    Args:
        work: the run's.
        wanted: the span.
        progress: told what happens.
    """
    index, spans_in_all = wanted.index, len(wanted.state["spans"])
    token = wanted.state["token"]
    before = result_of(work, index, token)
    if before is not None and before.generation == wanted.held.generation:
        return before
    with _attempt(work, index) as (own, folder):
        progress.step("extract", f"{work.dataset}, span {index + 1} of {spans_in_all}")
        result = _extract(own, wanted, folder, progress)
        result.save()
        parts = len(result.parts)
        progress.done(f"{result.extracted:,} records, {parts} part{'s' * (parts != 1)}")
        work.expect(wanted.state)
        if _settled(work, own, result, index):
            return result
    standing = result_of(work, index, token)
    return result if standing is None else standing


@contextmanager
def _attempt(work: Work, index: int) -> Iterator[tuple[SpanWork, str]]:
    """Folders of an attempt's own, in the home and beside the version.

    They are removed where the attempt does not count in the end.
    """
    name = f"{index:05d}-{secrets.token_hex(8)}"
    own = SpanWork(work.home, work.dataset, work.spans / f".{name}")
    own.folder.mkdir()
    try:
        yield own, f"{ATTEMPTS}/{name}"
    finally:
        if own.folder.exists():
            shutil.rmtree(own.folder, ignore_errors=True)
            with suppress(ConfigError):
                work.sink(None).clear(f"{ATTEMPTS}/{name}")


def _extract(own: SpanWork, wanted: Wanted, folder: str, progress: Progress) -> SpanResult:
    home = own.home
    run = Work(home, own.dataset)
    contract = load_contract((run.folder / "contract.yaml").read_bytes())
    inputs = Inputs(home, home.ledger_client().state(), progress, wanted.state["inputs"])
    key_sets, targets = inputs.keys_of(contract)
    rules = compile_rules(contract, targets)
    source = partial(reading, home, contract, wanted)
    watermark = Watermark(contract)
    with attempt_parts(run, contract, folder) as parts:
        ordered = contract.treated.keys().isdisjoint(contract.primary_key)
        intake = Intake(
            own,
            rules,
            key_sets,
            Treater(contract, partial(load_key, home)),
            keep_input=wanted.state["report"],
            targets=targets,
            parts=parts if ordered else None,
        )
        with ahead(source) as batches:
            for extracted in batches:
                watermark.take(extracted)
                intake.take(extracted)
                progress.advance(extracted.batch.num_rows)
        decided = _decided(contract, rules)
        told = intake.hand_on(source, decided)
        entries = intake.entries
        _save_seen(own, parts)
    if entries is None:
        with attempt_parts(run, contract, folder) as parts:
            parts.take_all(passed_records(own, contract, np.load(own.excluded)))
            _save_seen(own, parts)
        if not rules.late and len(decided) == len(rules.unique):
            shutil.rmtree(own.records)  # no record that is in a part can be rejected any more
    return SpanResult(
        work=own,
        token=wanted.state["token"],
        told=told,
        generation=wanted.held.generation,
        watermark=watermark.text,
        folder=folder,
        parts=parts.entries if entries is None else entries,
        streamed=entries is not None,
    )


def _save_seen(own: SpanWork, parts: Parts) -> None:
    if parts.rejects_before is not None:
        np.save(own.folder / _SEEN, parts.rejects_before.seen())


def _decided(contract: Contract, rules: RuleSet) -> list[str]:
    """The unique rules that no two records of different spans break together."""
    wanted = contract.partitioning
    return [rule.name for rule in rules.unique if wanted and wanted.field in rule.fields]


def reading(home: Home, contract: Contract, wanted: Wanted) -> Iterator[Extracted]:
    """The records of a span, numbered behind those of the spans before it.

    Args:
        home: the owner's.
        contract: the dataset's.
        wanted: the span.
    """
    told = wanted.state["spans"][wanted.index]
    request = ReadRequest(
        object=contract.object,
        schema=contract.schema,
        order_by=contract.primary_key,
        options=contract.options,
        span=spans.from_json(told, contract.schema.field(told["field"]).type),
        snapshot=wanted.held.name,
    )
    base = spans.row_base(wanted.index)
    for extracted in home.open_source(contract.server, contract.options).read(request):
        yield replace(extracted, first_row=base + extracted.first_row)


@contextmanager
def attempt_parts(work: Work, contract: Contract, folder: str) -> Iterator[Parts]:
    """The way into parts beside the version.

    Args:
        work: the run's.
        contract: the dataset's.
        folder: below ``ATTEMPTS``.
    """
    before = version_before(work, work.home.ledger_client().state(), NullProgress())
    rejects = rejects_before(work, contract)
    with opened_parts(work.sink(before).below(folder), contract, before, rejects) as parts:
        yield parts


def result_of(work: Work, index: int, token: str) -> SpanResult | None:
    """What came of a span; None where no attempt of this run at it is whole.

    Args:
        work: the run's.
        index: of the span.
        token: of the run.
    """
    folder = _folder(work, index)
    try:
        told = json.loads((folder / _RESULT).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    if told["token"] != token:
        return None
    told["parts"] = entries_from_json(told["parts"])
    return SpanResult(work=SpanWork(work.home, work.dataset, folder), **told)


def _folder(work: Work, index: int) -> Path:
    return work.spans / f"{index:05d}"


def _settled(work: Work, own: SpanWork, result: SpanResult, index: int) -> bool:
    """Let an attempt count, unless one of the same moment, or a later one, does already."""
    target = _folder(work, index)
    while own.folder.exists():
        with suppress(OSError):  # onto a folder with something in it nothing can be renamed
            own.folder.rename(target)
            directory.sync_folder(work.spans)
            return True
        standing = result_of(work, index, result.token)
        if standing is not None and standing.generation >= result.generation:
            return False
        with suppress(OSError):  # another attempt at this moment may have done so
            target.rename(work.spans / f".{index:05d}-{secrets.token_hex(8)}")
    return False
