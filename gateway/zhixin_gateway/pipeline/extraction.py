"""The first step of a run: source → rules → parts, rejects set aside.

The source is read in a thread, records are judged in the caller's, cut and hashed in another and
encoded in a fourth, a few batches apart. Where they do not come in the version's order they go into
sorted runs, and ``write`` makes the parts.

Nothing is published here but the contract, if it is new, and not before the source gave a record.

May be run again at any time: it begins anew. A version that was signed and waits for its proof is
never thrown away; it must be finished first. Where the source fails for a reason that may pass, it
is read anew from the start, twice at most: nothing of the reading before is kept.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from zhixin_connectors.protocol import Extracted, ReadRequest
from zhixin_errors import (
    ConfigError,
    LedgerUnavailable,
    SourceError,
    TransientSourceError,
    ValidationRefused,
)
from zhixin_ledger.encoding import format_time
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.loader import load_contract_file
from zhixin_schemas.model import Contract
from zhixin_schemas.rules import External, RejectedShare

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import entries_to_json
from zhixin_gateway.drift import find_drift, last_columns, look
from zhixin_gateway.home import Home
from zhixin_gateway.lanes import ahead
from zhixin_gateway.pipeline.contracting import check_step, publish_contract
from zhixin_gateway.pipeline.incremental import Delta, Reading, Unsound, decide
from zhixin_gateway.pipeline.inputs import Inputs
from zhixin_gateway.pipeline.intake import Intake
from zhixin_gateway.pipeline.notarising import known_state
from zhixin_gateway.pipeline.outcome import Outcome
from zhixin_gateway.pipeline.previous import Previous, past_quality
from zhixin_gateway.pipeline.releasing import rejects_before
from zhixin_gateway.pipeline.rereading import Source
from zhixin_gateway.pipeline.staging import EXTRACTED, Staged, Work
from zhixin_gateway.pipeline.streaming import Parts, opened_parts
from zhixin_gateway.pipeline.treating import Treater
from zhixin_gateway.pipeline.watermark import Watermark
from zhixin_gateway.pipeline.writing import came_of, summary, version_before
from zhixin_gateway.progress import NullProgress, Progress
from zhixin_gateway.pseudonyms import load_key
from zhixin_gateway.quarantine import keep_attempt

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.state import State

__all__ = [
    "extract",
    "insisted",
    "keep_rejects",
    "look_at",
    "read_contract",
    "refuse",
    "state_contract_of",
]

_MOST_TOLD = 10
T = TypeVar("T")
_ASKS_AFTER_S = 5.0
_WAITS_S = (2.0, 10.0)
"""Before the second and the third attempt, each half as long or half as long again."""


def read_contract(home: Home, path: Path) -> Contract:
    """Read a contract that this home is to publish under.

    Raises:
        ContractError: it can't be read or is not sound.
        ConfigError: it is another member's.
    """
    contract = load_contract_file(path)
    if contract.member != home.member:
        raise ConfigError(
            f"{path.name} is a contract of {contract.member}, but this home is {home.member}'s",
            hint="each member publishes under its own name; choose the home by --home",
        )
    return contract


def extract(
    home: Home,
    contract_path: Path,
    *,
    report: bool = False,
    full: bool = False,
    publish: bool = True,
    orchestrator: str = "",
    run_id: str = "",
    progress: Progress | None = None,
) -> Staged:
    """Read the source, hold every record to the contract, and stage what came of it.

    Args:
        home: the owner's.
        contract_path: the contract's file.
        report: keep all records for the second opinion too.
        full: read all of them, also where the contract lets a run read what is new.
        publish: state the contract in the ledger if it is new there; a dry run does not.
        orchestrator: what runs this, for the manifest; may be empty.
        run_id: its name for the run.
        progress: told what happens.

    Returns:
        What ``write`` and ``second_opinion`` go on from: small, JSON, no record's contents.

    Raises:
        ContractError: the contract is not sound, or the ledger has its version otherwise.
        SourceError: the source can't be read, or not now.
        VerificationError: the gate refused a dataset that this one stands on.
        ValidationRefused: a critical rule is broken, or no record is left.
        ConfigError: another run of this dataset is going on, a signed version waits, or the key
            of a pseudonym is not in this home.
    """
    progress = progress or NullProgress()
    began = time.time()
    contract = read_contract(home, contract_path)
    treater = Treater(contract, partial(load_key, home))
    Watermark(contract)  # one that can't be is refused before the source is looked at
    work = Work(home, contract.dataset)
    with home.lock(contract.dataset):
        token = work.begin()
        try:
            seen = insisted(partial(look_at, home, contract, progress), progress)
            client = home.ledger_client()
            state = known_state(client, progress)
            check_step(home, contract, state, progress)
            stating = partial(state_contract_of, home, client, contract, state, progress)
            state_once = cache(stating if publish else lambda: None)  # whatever the attempts
            inputs = Inputs(home, state, progress)
            key_sets, targets = inputs.keys_of(contract)
            past = past_quality(home.open_store(), state, contract)

            reading = decide(
                work,
                contract,
                state,
                inputs.listed(),
                everything=_all_wanted(contract, full, report),
            )
            before = version_before(work, state, progress) if publish else None

            def read(reading: Reading) -> Staged:
                work.begin()
                source = _source(home, contract, inputs, reading)
                streams = publish and reading.before is None
                with _parts(work, contract, before) if streams else nullcontext() as parts:
                    intake = Intake(
                        work,
                        compile_rules(contract, targets),
                        key_sets,
                        treater,
                        keep_input=report,
                        past=past,
                        targets=targets,
                        parts=parts,
                    )
                    count = partial(_count, home, contract, reading)
                    delta = Delta(work, contract, reading, treater, keep=publish)
                    told = _extract(
                        contract, source, intake, delta,
                        state_contract=state_once, count=count, progress=progress,
                    )  # fmt: skip
                    if told["parts"] is not None:
                        rejects = delta.rejects if parts is None else parts.rejects_before
                        told["released"] = came_of(work, rejects)
                    return told | seen

            def attempt() -> Staged:
                try:
                    return read(reading)
                except Unsound as error:
                    return read(Reading("full", str(error), reading.watermark))

            told = insisted(attempt, progress)
        except BaseException as error:
            if isinstance(error, ValidationRefused) and publish:
                keep_rejects(work, error, progress)
            work.discard()
            raise
        directory.write_file(work.folder / "contract.yaml", contract.bytes)
        staged: Staged = {
            "token": token,
            "step": EXTRACTED,
            "began": began,
            "dataset": contract.dataset,
            "run": [orchestrator, run_id],
            "only_checked": sorted(
                {item.dataset for item in contract.relationships}
                - {contract.dataset, *contract.inputs}
            ),
            "inputs": inputs.listed(),
            "report": report,
            **told,
        }
        work.save(staged)
        return summary(staged)


def keep_rejects(work: Work, error: ValidationRefused, progress: Progress) -> None:
    """Keep the rejects of a run that publishes nothing: the steward needs them most now."""
    extracted = error.details.get("extracted")
    known = extracted if isinstance(extracted, int) else None
    if kept := keep_attempt(work, error.code, known):
        progress.say(kept)


def state_contract_of(
    home: Home, client: LedgerClient, contract: Contract, state: State, progress: Progress
) -> None:
    """State a contract in the ledger, if it is new there; where it can't be reached it waits."""
    try:
        index = publish_contract(home, client, contract, state)
    except LedgerUnavailable as error:
        progress.warn(f"the contract waits to be published: {error.message}")
        return
    if index is not None:
        progress.say(f"contract {contract.dataset}@{contract.version} is entry {index}")


def insisted(attempt: Callable[[], T], progress: Progress) -> T:
    """Try again where the source fails for a reason that may pass."""
    for number, wait_s in enumerate(_WAITS_S, start=2):
        try:
            return attempt()
        except TransientSourceError as error:
            wait_s *= random.uniform(0.5, 1.5)  # noqa: PLW2901, S311 - not all at the same moment
            progress.warn(
                f"{error.message}; it is read anew in {wait_s:.0f} s "
                f"(attempt {number} of {len(_WAITS_S) + 1})"
            )
        time.sleep(wait_s)
    return attempt()


def _extract(
    contract: Contract,
    source: Source,
    intake: Intake,
    delta: Delta,
    *,
    state_contract: Callable[[], None],
    count: Callable[[], int | None],
    progress: Progress,
) -> Staged:
    extracted_at = format_time(dt.datetime.now(dt.UTC))
    if delta.reading.words:
        progress.say(f"{contract.dataset}: {delta.reading.words}")
    watermark = Watermark(contract)
    if (before := delta.reading.before) is not None:
        watermark.take_text(before.manifest.source.watermark)
    progress.step("extract", contract.dataset)
    with ahead(source) as batches:
        for extracted in _paced(batches, count, progress):
            state_contract()  # not before a record: a misspelt column costs no version of it
            watermark.take(extracted)
            delta.take(extracted, intake)
    state_contract()
    outcome = delta.finish(intake, source, watermark.greatest)
    read = f"{delta.read:,} rows read; " if delta.reading.before is not None else ""
    progress.done(f"{read}{outcome.extracted:,} records, {outcome.quarantined:,} quarantined")
    refuse(contract, outcome)
    for alert in outcome.alerts:
        progress.warn(alert)
    return {
        "extracted_at": extracted_at,
        "watermark": watermark.text,
        **outcome.told(),
        "parts": None if outcome.entries is None else entries_to_json(outcome.entries),
        "incremental": delta.told(),
    }


def _paced(
    batches: Iterable[Extracted], count: Callable[[], int | None], progress: Progress
) -> Iterator[Extracted]:
    """Tell of each batch once it is worked; who reads for long hears how much there is."""
    began, asked = time.monotonic(), False
    for extracted in batches:
        if not asked and time.monotonic() - began >= _ASKS_AFTER_S:
            asked = True
            if (total := count()) is not None:
                progress.expect(total)
        yield extracted
        progress.advance(extracted.batch.num_rows, extracted.batch.nbytes)


def _count(home: Home, contract: Contract, reading: Reading) -> int | None:
    """About how many records come, where the source knows it without reading."""
    if contract.sql is not None or reading.before is not None:
        return None
    try:
        return home.open_source(contract.server, contract.options).count(contract.object)
    except SourceError:
        return None  # what is wrong there is told where records are read


@contextmanager
def _parts(work: Work, contract: Contract, before: Previous | None) -> Iterator[Parts | None]:
    """The way of accepted records into parts, where they may come in the version's order."""
    if not contract.treated.keys().isdisjoint(contract.primary_key):
        yield None  # no source orders by what is made of its values
        return
    rejects = rejects_before(work, contract)
    with opened_parts(work.sink(before), contract, before, rejects) as parts:
        yield parts


def look_at(home: Home, contract: Contract, progress: Progress) -> Staged:
    """Tell how the source's columns differ from the contract, and from those of the last run.

    What is missing is told here too; reading refuses it, by every name at once.
    """
    if contract.derived:
        return {"columns": [], "drift": []}
    columns = look(home.open_source(contract.server, contract.options), contract)
    drift = find_drift(contract, columns, last_columns(home, contract.dataset))
    if drift:
        told = "; ".join(each.message for each in drift[:_MOST_TOLD])
        more = f"; and {len(drift) - _MOST_TOLD} more" if len(drift) > _MOST_TOLD else ""
        progress.warn(f"columns of the source of {contract.dataset}: {told}{more}")
    return {"columns": columns, "drift": [each.to_json() for each in drift]}


def refuse(contract: Contract, outcome: Outcome) -> None:
    """Refuse what may not be published: a critical rule is broken, or no record is left.

    That the source has no records is something to say; that all it has are rejects is a fault of
    source or contract, and would put an empty version in the place of a full one.
    """
    if outcome.broken:
        first, message = next(iter(outcome.broken.items()))
        code = "critical-rule"
        why = f"because a critical rule is broken: {first}: {message}"
        hint = "nothing was published; the newest version stays what it was"
    elif outcome.quarantined and not outcome.accepted and not _says_how_many(contract):
        code = "all-rejected"
        why = f"because all {outcome.extracted:,} records are rejected"
        hint = (
            "nothing was published; mend the source or the contract, or let the contract allow it: "
            "{metric: rejectedRows, mustBeLessOrEqualTo: 100, unit: percent}"
        )
    else:
        return
    raise ValidationRefused(
        f"{contract.dataset} is not published, {why}",
        code=code,
        hint=hint,
        details={
            "dataset": contract.dataset,
            "extracted": outcome.extracted,
            "quarantined": outcome.quarantined,
            "broken": outcome.broken,
            "rules": outcome.rules,
        },
    )


def _says_how_many(contract: Contract) -> bool:
    """Whether a rule of the contract's own says how many rejects there may be."""
    return any(isinstance(rule.check, RejectedShare) for rule in contract.rules)


def _all_wanted(contract: Contract, full: bool, report: bool) -> str:
    """Why somebody wants all records to be read; empty where nobody does."""
    if full:
        return "all records were asked for"
    external = [rule.name for rule in contract.rules if isinstance(rule.check, External)]
    return f"the second engine counts {external[0]} over all records" if report and external else ""


def _source(home: Home, contract: Contract, inputs: Inputs, reading: Reading) -> Source:
    """Where records come from; may be called again to read them once more."""
    schema = contract.schema
    if contract.sql is not None:
        from zhixin_gateway.pipeline.derivation import derived

        opened = {name: inputs.open(name) for name in contract.inputs}
        sql = contract.sql
        return lambda: derived(opened, sql, schema)
    connector = home.open_source(contract.server, contract.options)
    request = ReadRequest(
        object=contract.object,
        schema=schema,
        order_by=contract.primary_key or reading.order,
        options=contract.options,
        span=reading.span,
    )
    return lambda: connector.read(request)
