"""The rejects that a home keeps: which there are, what they hold, for how long.

What a steward does with them stands in docs/quarantine.md.

::

    <quarantine>/bts.gov.example/flights/
      3.parquet          the rejects of version 3
      2.parquet
      2.release.json     what came of each of them with version 3: no contents
      attempt.parquet    those of the newest run that published nothing, until one does
      attempt.json       when that was, and why: no contents

They are the owner's alone, and are never changed: a record is mended where it comes from.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.datasets import directory

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from zhixin_gateway.home import Home
    from zhixin_gateway.pipeline.staging import Work

__all__ = [
    "ATTEMPT",
    "UNCHANGED",
    "Filter",
    "Rejects",
    "alike",
    "all_rejects",
    "batches",
    "digest",
    "digests",
    "drop_attempt",
    "files_of",
    "find",
    "keep_attempt",
    "of_dataset",
    "outdated",
    "reasons",
    "release_of",
    "remove",
    "schema_of",
    "told_of",
]

ATTEMPT = "attempt"
"""What stands for a version's number where nothing was published."""

UNCHANGED = "unchanged"
_NUMBER = re.compile("[1-9][0-9]*")
_ROWS = 1_024


@dataclass(frozen=True)
class Rejects:
    """One run's rejects.

    Args:
        dataset: ``member/name``.
        version: the version's number, or ``attempt``.
        path: of the Parquet file.
    """

    dataset: str
    version: int | str
    path: Path

    @property
    def name(self) -> str:
        """As a person names them: ``member/dataset@3``."""
        return f"{self.dataset}@{self.version}"

    @property
    def count(self) -> int:
        """How many records they are."""
        with _opened(self) as file:
            return int(file.metadata.num_rows)

    @property
    def at(self) -> datetime:
        """When they were set aside."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    def waits(self) -> bool:
        """Whether nobody knows yet what comes of them: no version has been published since."""
        if self.version == ATTEMPT:
            return True
        numbers = [int(path.stem) for path in self.path.parent.glob("*.parquet")
                   if _NUMBER.fullmatch(path.stem)]  # fmt: skip
        return self.version == max(numbers) and not _release_path(self).exists()


@dataclass(frozen=True)
class Filter:
    """Which records are asked for; all by default.

    Args:
        reason: those that broke this rule.
        field: those with a reason that looks at this field.
        row: the one at this position in the extraction.
    """

    reason: str | None = None
    field: str | None = None
    row: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != Filter()


def find(home: Home, dataset: str, version: int | str | None, *, pruned: bool = False) -> Rejects:
    """Find a version's rejects, by default the newest version's.

    Args:
        home: the owner's.
        dataset: ``member/name``.
        version: number, ``attempt``, or None for the newest.
        pruned: one too of which only what came of it is kept.

    Raises:
        ConfigError: this home has none.
    """
    there = list(of_dataset(home, dataset))
    numbered = [rejects for rejects in there if rejects.version != ATTEMPT]
    for rejects in there if version is not None else numbered[-1:] or there:
        if version in (None, rejects.version):
            return rejects
    gone = Rejects(dataset, version or 0, home.quarantine / dataset / f"{version}.parquet")
    if pruned and _release_path(gone).exists():
        return gone
    named = dataset if version is None else f"{dataset}@{version}"
    hint = "it lies with the dataset's owner, and only there"
    if dataset.partition("/")[0] == home.member:
        hint = "`zhixin quarantine list` shows what there is; a run that publishes leaves its own"
    raise ConfigError(f"there is no quarantine of {named} in this home", hint=hint)


def all_rejects(home: Home) -> Iterator[Rejects]:
    """All that a home keeps, dataset by dataset, the newest version last."""
    for folder in sorted(home.quarantine.glob("*/*")):
        if folder.is_dir():
            yield from of_dataset(home, f"{folder.parent.name}/{folder.name}")


def of_dataset(home: Home, dataset: str) -> Iterator[Rejects]:
    """Those of one dataset, the newest version last, and after it an attempt's."""
    folder = home.quarantine / dataset
    found = {path.stem: path for path in folder.glob("*.parquet")}
    for number in sorted(int(stem) for stem in found if _NUMBER.fullmatch(stem)):
        yield Rejects(dataset, number, found[str(number)])
    if ATTEMPT in found:
        yield Rejects(dataset, ATTEMPT, found[ATTEMPT])


def told_of(home: Home, rejects: Rejects) -> dict[str, Any]:
    """What else is known of a run: ``extracted``, ``accepted``, ``why``; what is not is None.

    The counts are the manifest's, or of a run that published nothing its own.
    """
    from zhixin_gateway.datasets.manifest import parse_manifest

    if rejects.version == ATTEMPT:
        told = _json(rejects.path.with_suffix(".json"))
        extracted = told.get("extracted")
        accepted = None if extracted is None else extracted - rejects.count
        return {"extracted": extracted, "accepted": accepted, "why": told.get("why")}
    store, name = home.open_store(), directory.MANIFEST_FILE
    try:
        manifest = parse_manifest(store.read(rejects.dataset, int(rejects.version), name))
    except (ConfigError, FormatError):
        return {"extracted": None, "accepted": None, "why": None}
    extracted = manifest.records + manifest.quarantined
    return {"extracted": extracted, "accepted": manifest.records, "why": None}


# ---- what they hold


@contextmanager
def _opened(rejects: Rejects) -> Iterator[pq.ParquetFile]:
    """Open a file of rejects.

    Raises:
        FormatError: it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(rejects.path) as file:
            yield file
    except PermissionError:
        raise
    except (pa.ArrowException, OSError) as error:
        state = "gone" if isinstance(error, FileNotFoundError) else "damaged"
        raise FormatError(
            f"the rejects of {rejects.name} are {state}: {rejects.path}",
            hint="put that file back from a backup, or move it away: nothing else needs it",
        ) from None


def schema_of(rejects: Rejects) -> pa.Schema:
    """The columns: ``_row``, ``_reasons``, and a text for each field."""
    with _opened(rejects) as file:
        return file.schema_arrow


def batches(rejects: Rejects, wanted: Filter = Filter()) -> Iterator[pa.RecordBatch]:
    """Read the records that are asked for, in order, in bounded memory."""
    import pyarrow as pa

    with _opened(rejects) as file:
        for batch in file.iter_batches(_ROWS):
            kept = batch if not wanted else batch.filter(pa.array(_mask(batch, wanted)))
            if kept.num_rows:
                yield kept


def _mask(batch: pa.RecordBatch, wanted: Filter) -> Any:  # noqa: ANN401 - numpy's
    import numpy as np

    from zhixin_gateway.datasets.arrow import pc

    mask = np.ones(batch.num_rows, dtype=bool)
    if wanted.row is not None:
        mask &= batch.column("_row").to_numpy() == wanted.row
    for name, sought in (("rule", wanted.reason), ("field", wanted.field)):
        if sought is None:
            continue
        told = pc.list_flatten(batch.column("_reasons"))
        owners = pc.list_parent_indices(batch.column("_reasons")).to_numpy()
        texts = pc.struct_field(told, [name]).to_pylist()
        named = [
            sought == text or (name == "field" and sought in text.split(", ")) for text in texts
        ]
        hit = np.zeros(batch.num_rows, dtype=bool)
        hit[owners[np.array(named, dtype=bool)]] = True
        mask &= hit
    return mask


def reasons(rejects: Rejects, wanted: Filter = Filter()) -> list[dict[str, Any]]:
    """Count the reasons of the records that are asked for, by rule, field and message."""
    counts: dict[tuple[str, str, str], int] = {}
    for batch in batches(rejects, wanted):
        for told in batch.column("_reasons").to_pylist():
            for why in told or ():
                key = (why["rule"], why["field"], why["message"])
                counts[key] = counts.get(key, 0) + 1
    return [
        {"rule": rule, "field": field, "message": message, "records": count}
        for (rule, field, message), count in sorted(counts.items())
    ]


def alike(one: Rejects, other: Rejects) -> bool:
    """Whether two files hold the same rejects, in whatever order and numbers."""
    if filecmp.cmp(one.path, other.path, shallow=False):
        return True
    return one.count == other.count and sorted(digests(one)) == sorted(digests(other))


def digests(rejects: Rejects) -> Iterator[bytes]:
    """Of each record in turn what tells it apart."""
    for batch in batches(rejects):
        yield from map(digest, batch.to_pylist())


def digest(record: dict[str, Any]) -> bytes:
    """What tells a reject apart: all but its number, whatever the order of its reasons.

    A run numbers them as it meets them, so that two runs may tell the same ones in another order.
    """
    _number, told, *texts = record.values()
    whole = [sorted(json.dumps(why) for why in told or ()), texts]
    return hashlib.sha256(json.dumps(whole).encode()).digest()


# ---- what came of them


def release_of(rejects: Rejects) -> dict[str, Any] | None:
    """What came of a version's rejects with the next one; None while none was published."""
    path = _release_path(rejects)
    return _json(path) if path.exists() else None


def _release_path(rejects: Rejects) -> Path:
    return rejects.path.with_suffix(".release.json")


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


# ---- a run that publishes nothing


def keep_attempt(work: Work, why: str, extracted: int | None) -> str:
    """Keep the rejects of a run that publishes nothing, in the place of the one before.

    Args:
        work: its staging, which keeps them too: another step may be at them.
        why: ``critical-rule``, ``unchanged``, …; where nothing changed and the newest version's
            rejects are the same, there is nothing to keep.
        extracted: how many records the source gave, where that is known.

    Returns:
        Where they are, as a sentence for people; empty where none are kept.
    """
    folder = work.home.quarantine / work.dataset
    staged = Rejects(work.dataset, ATTEMPT, work.quarantine)
    told_apart = staged.path.exists()  # a run may be refused before
    if not told_apart or not staged.count or (why == UNCHANGED and _known(work, staged)):
        drop_attempt(work)
        return ""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    told = {"why": why, "extracted": extracted}
    directory.write_whole(folder / f"{ATTEMPT}.json", json.dumps(told).encode())
    kept, fresh = folder / f"{ATTEMPT}.parquet", folder / f".{ATTEMPT}.new"
    fresh.unlink(missing_ok=True)
    fresh.hardlink_to(staged.path)
    fresh.replace(kept)
    fresh.unlink(missing_ok=True)  # a rename to the same file leaves both names
    directory.sync_folder(folder)
    return f"its rejects: zhixin quarantine show {work.dataset}@{ATTEMPT}"


def _known(work: Work, staged: Rejects) -> bool:
    """Whether the newest version's rejects are the very same."""
    numbered = [each for each in of_dataset(work.home, work.dataset) if each.version != ATTEMPT]
    return bool(numbered) and alike(staged, numbered[-1])


def drop_attempt(work: Work) -> None:
    """Remove what a run that published nothing left: its source has been read anew since."""
    for path in files_of(work.home, work.dataset, ATTEMPT):
        path.unlink(missing_ok=True)


def files_of(home: Home, dataset: str, version: int | str) -> list[Path]:
    """Where everything lies that is kept of a version's rejects, or of an attempt's."""
    folder = home.quarantine / dataset
    beside = "json" if version == ATTEMPT else "release.json"
    return [folder / f"{version}.{suffix}" for suffix in ("parquet", beside)]


# ---- retention


def outdated(
    home: Home, dataset: str | None, older_than: timedelta, *, waiting: bool, now: datetime
) -> list[Rejects]:
    """What may go: old enough, and known what came of it.

    Args:
        home: the owner's.
        dataset: of this one only.
        older_than: how long they have been kept at least.
        waiting: those too of which nobody knows yet what came of them.
        now: the time.
    """
    return [
        rejects
        for rejects in all_rejects(home)
        if dataset in (None, rejects.dataset)
        and now - rejects.at > older_than
        and (waiting or not rejects.waits() or not rejects.count)
    ]


def remove(home: Home, rejects: Rejects) -> int:
    """Remove one file of rejects; what came of them stays told.

    Returns:
        How many records it held.

    Raises:
        ConfigError: a run of this dataset is going on.
    """
    with home.lock(rejects.dataset):
        count = rejects.count
        rejects.path.unlink()
        if rejects.version == ATTEMPT:
            rejects.path.with_suffix(".json").unlink(missing_ok=True)
        directory.sync_folder(rejects.path.parent)
    return count
