"""From parts to a version's directory: contract and manifest. Nothing is signed here.

Where the records did not come in the version's order they lie in sorted runs, and the parts are
made of these.

May be run again: it begins anew in the staging folder beside the version's place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from zhixin_errors import LedgerUnavailable
from zhixin_ledger.encoding import parse_time
from zhixin_schemas.loader import load_contract
from zhixin_schemas.model import Contract

from zhixin_gateway.datasets import directory
from zhixin_gateway.datasets.manifest import (
    ContractRef,
    Input,
    Manifest,
    PartEntry,
    QualityItem,
    Run,
    Source,
    entries_from_json,
)
from zhixin_gateway.datasets.records import version_root
from zhixin_gateway.datasets.types import schema_fields
from zhixin_gateway.home import Home
from zhixin_gateway.pipeline import sorting
from zhixin_gateway.pipeline.order import records_order
from zhixin_gateway.pipeline.outcome import check_balance
from zhixin_gateway.pipeline.previous import Previous, previous_version
from zhixin_gateway.pipeline.releasing import Before, rejects_before
from zhixin_gateway.pipeline.staging import EXTRACTED, WRITTEN, Staged, Work
from zhixin_gateway.pipeline.streaming import opened_parts
from zhixin_gateway.progress import NullProgress, Progress

if TYPE_CHECKING:
    from zhixin_ledger.state import State

__all__ = ["came_of", "passed_records", "summary", "version_before", "write"]

_NOT_TOLD = {"inputs", "columns", "parts"}


def write(home: Home, staged: Staged, *, progress: Progress | None = None) -> Staged:
    """Write the parts, the contract and the manifest of a version into its staging folder.

    Args:
        home: the owner's.
        staged: what ``extract`` answered.
        progress: told what happens.

    Returns:
        What ``notarise`` goes on from.

    Raises:
        ConfigError: the staging belongs to another run, or the disk refuses.
    """
    progress = progress or NullProgress()
    work = Work(home, str(staged["dataset"]))
    with home.lock(work.dataset):
        state = work.expect(staged)
        if state["step"] == EXTRACTED:
            progress.step("write", work.dataset)
            contract = load_contract((work.folder / "contract.yaml").read_bytes())
            _version(work, contract, state, progress)
            state["step"] = WRITTEN
            work.save(state)
            shutil.rmtree(work.records, ignore_errors=True)
            progress.done()
        return summary(state)


def summary(state: Staged) -> Staged:
    """What travels between steps: all of the state but what the next step reads itself."""
    return {key: value for key, value in state.items() if key not in _NOT_TOLD}


def _version(work: Work, contract: Contract, state: Staged, progress: Progress) -> None:
    if state["parts"] is None:
        entries = _from_runs(work, contract, state, progress)
    else:
        entries = entries_from_json(state["parts"])
    manifest = _manifest(contract, entries, state)
    check_balance(int(state["extracted"]), manifest.records, manifest.quarantined)
    directory.write_file(work.version / directory.CONTRACT_FILE, contract.bytes)
    directory.write_file(work.version / directory.MANIFEST_FILE, manifest.to_bytes())
    state["records"] = manifest.records
    state["root"] = manifest.root.hex()


def _from_runs(
    work: Work, contract: Contract, state: Staged, progress: Progress
) -> tuple[PartEntry, ...]:
    """Make parts of sorted runs: the records did not come in the version's order."""
    shutil.rmtree(work.version, ignore_errors=True)
    rejects = rejects_before(work, contract)
    before = version_before(work, _known(work), NullProgress())
    with opened_parts(work.sink(before), contract, before, rejects) as parts:
        for batch in passed_records(work, contract, np.load(work.excluded)):
            parts.add(batch)
            progress.advance(batch.num_rows)
        parts.finish()
    state["released"] = came_of(work, rejects)
    return parts.entries


def passed_records(
    work: Work, contract: Contract, excluded: np.ndarray
) -> Iterator[pa.RecordBatch]:
    """Read sorted runs back, in the version's order.

    Args:
        work: where they lie.
        contract: the dataset's.
        excluded: positions of the records that are left out, rising.
    """
    for batch in sorting.merged(work.records, records_order(contract.primary_key)):
        kept = _without(batch, excluded)
        yield pa.record_batch(kept.columns[:-1], schema=contract.written_schema)


def came_of(work: Work, before: Before | None) -> dict[str, int] | None:
    """Keep what came of each reject of the version before, and give what a run says of it.

    Args:
        work: whose quarantine is written.
        before: it has seen all accepted records; None: there are no such rejects.
    """
    if before is None:
        return None
    told = before.outcome(work.quarantine)
    directory.write_file(work.release, json.dumps(told).encode())
    if "counts" not in told:
        return None
    counts = told["counts"]
    return {"version": told["version"], "records": counts["accepted"], "of": sum(counts.values())}


def _without(batch: pa.RecordBatch, excluded: np.ndarray) -> pa.RecordBatch:
    """Leave out records that were found to share a key after they had passed.

    Args:
        batch: its last column is the position in the extraction.
        excluded: positions, rising.
    """
    if not len(excluded):
        return batch
    rows = batch.column(batch.num_columns - 1).to_numpy()
    nearest = excluded[np.minimum(np.searchsorted(excluded, rows), len(excluded) - 1)]
    hit = nearest == rows
    return batch.filter(pa.array(~hit)) if hit.any() else batch


def _known(work: Work) -> State | None:
    try:
        return work.home.ledger_client().state()
    except LedgerUnavailable:
        return None


def version_before(work: Work, known: State | None, progress: Progress) -> Previous | None:
    """The version whose parts are taken over where they repeat, so that they keep their roots.

    Args:
        work: of the version that comes next.
        known: the ledger's state; None where it can't be had.
        progress: told where there is one, but not as it was stated.
    """
    if known is None:
        return None
    before = previous_version(work.store, known, work.dataset)
    fact = known.dataset(work.dataset)
    if before is None and fact is not None:
        erased = work.store.is_erased(work.dataset, fact.version)
        progress.warn(
            f"{work.dataset}@{fact.version} was erased; all that its source holds is published "
            "anew, with new salts: what must not be is taken out there first"
            if erased
            else f"{work.dataset}@{fact.version} in this home's store is gone, not whole, or not "
            "what was stated; a new version is published in its place"
        )
    return before


def _manifest(contract: Contract, entries: Sequence[PartEntry], state: Staged) -> Manifest:
    fields = schema_fields(contract.written_schema)
    return Manifest(
        dataset=contract.dataset,
        version=1,  # notarising sets the number: it follows from the ledger
        contract=ContractRef(contract.version, bytes.fromhex(contract.sha256)),
        fields=fields,
        records=sum(part.records for part in entries),
        root=version_root(fields, [(part.records, part.root) for part in entries]),
        parts=tuple(entries),
        quality=tuple(
            QualityItem(rule["rule"], rule["severity"], rule["checked"], rule["failed"])
            for rule in state["rules"]
        ),
        quarantined=int(state["quarantined"]),
        source=Source(
            contract.server,
            contract.object,
            parse_time(state["extracted_at"], "extracted_at"),
            state["watermark"],
        ),
        inputs=tuple(
            Input(item["dataset"], item["version"], bytes.fromhex(item["statement"]))
            for item in state["inputs"]
        ),
        run=Run(*state["run"]),
    )
