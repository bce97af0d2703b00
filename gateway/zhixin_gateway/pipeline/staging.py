"""What a run that has not ended has made so far, and where it lies.

::

    <home>/staging/bts.gov.example/flights/
      state.json           {"token": …, "step": "extracted" | "written" | "signed", …}; where
                           several read the source, "planned" and "joined" come before
      spans/               what came of each span, where several do (partitions.py)
      records/             sorted runs of the records that passed (Arrow IPC)
      rejects/ reasons/    what was rejected, and why
      late/                what had passed until keys were compared; excluded.npy: their positions
      input.parquet        all extracted records, for the second opinion (only where one is asked)
      quarantine.parquet   the version's rejects
      release.json         what came of the rejects of the version before
    <store>/bts.gov.example/flights/
      .staging-run/        the version's directory, complete but for the receipt; on an object store
                           its small files lie in ``version/`` above, and its parts in their place

``state.json`` is replaced by one rename after what it tells of is on disk; whatever lies here
without it is worth nothing and is thrown away. Once ``step`` is ``signed`` the statement may stand
in the ledger: the folder is then finished, never thrown away. Only small dicts (``Staged``) travel
between steps; the token ties them to this folder.
"""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, SourceError

from zhixin_gateway.datasets.directory import write_whole
from zhixin_gateway.home import Home

if TYPE_CHECKING:
    from zhixin_gateway.datasets.sinks import PartSink
    from zhixin_gateway.pipeline.previous import Previous
    from zhixin_gateway.stores import Store

__all__ = ["EXTRACTED", "JOINED", "PLANNED", "SIGNED", "WRITTEN", "Staged", "Work"]

Staged = dict[str, Any]
"""What travels between steps: JSON, a few hundred bytes, no record's contents."""

PLANNED = "planned"
JOINED = "joined"
EXTRACTED = "extracted"
WRITTEN = "written"
SIGNED = "signed"


@dataclass(frozen=True)
class Work:
    """The staging folder of one dataset."""

    home: Home
    dataset: str

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self.home.staging / self.dataset

    @property
    def records(self) -> Path:
        """Sorted runs of records that passed."""
        return self.folder / "records"

    @property
    def rejects(self) -> Path:
        """Runs of rejected records, as raw texts."""
        return self.folder / "rejects"

    @property
    def spans(self) -> Path:
        """What came of each span of the source, where several workers read it."""
        return self.folder / "spans"

    @property
    def late(self) -> Path:
        """Sorted runs of records that had passed, until keys were compared."""
        return self.folder / "late"

    @property
    def rejected(self) -> Path:
        """Positions of a span's rejected records, for who joins it with others."""
        return self.folder / "rejected.npy"

    @property
    def excluded(self) -> Path:
        """Positions of the records that had passed, and were rejected when keys were compared."""
        return self.folder / "excluded.npy"

    @property
    def reasons(self) -> Path:
        """Runs of (row, rule): every rule that a record broke."""
        return self.folder / "reasons"

    @property
    def keys(self) -> Path:
        """Runs of the fields that must be unique, a folder a rule."""
        return self.folder / "keys"

    @property
    def input(self) -> Path:
        """All extracted records, as the second opinion reads them."""
        return self.folder / "input.parquet"

    @property
    def version(self) -> Path:
        """The version's directory, or on an object store its small files."""
        return self.store.staged(self.dataset, self.folder)

    @property
    def store(self) -> Store:
        """Where the version will appear."""
        return self.home.open_store()

    @property
    def quarantine(self) -> Path:
        """The version's rejects."""
        return self.folder / "quarantine.parquet"

    @property
    def ends(self) -> Path:
        """Where the parts of the newest version end, which stays: keys of records."""
        return self.home.path / "ends" / self.dataset

    @property
    def release(self) -> Path:
        """What came of the rejects of the version before."""
        return self.folder / "release.json"

    def begin(self) -> str:
        """Throw away what lies here, and give a new token.

        Raises:
            ConfigError: what lies here may stand in the ledger: finish it first.
        """
        if self.step == SIGNED:
            raise ConfigError(
                f"a signed version of {self.dataset} waits for its proof",
                code="proof-pending",
                hint="finish it with `zhixin status --resume`",
            )
        self.discard()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # whoever still writes there
        return secrets.token_hex(16)

    def discard(self) -> None:
        """Throw away what lies here."""
        (self.folder / "state.json").unlink(missing_ok=True)
        with suppress(ConfigError, SourceError):  # the next run of the dataset tries again
            self.store.drop(self.version, self.dataset)
        shutil.rmtree(self.folder, ignore_errors=True)

    def sink(self, before: Previous | None) -> PartSink:
        """Where the parts of the version that comes next are written.

        Its number follows from this home's copy of the ledger; the dataset's lock is held, and
        nobody else may publish under its name.

        Args:
            before: the version whose parts may be carried.
        """
        fact = self.home.ledger_client().state().dataset(self.dataset)
        number = 1 if fact is None else fact.version + 1
        self.version.mkdir(parents=True, exist_ok=True)
        carried = None if before is None else before.version
        return self.store.sink(self.version, self.dataset, number, carried)

    def save(self, state: Staged) -> None:
        """Tell, durably, how far this is."""
        write_whole(self.folder / "state.json", json.dumps(state, ensure_ascii=False).encode())

    def load(self) -> Staged | None:
        """How far this is; None where nothing that counts lies here."""
        try:
            state = json.loads((self.folder / "state.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return state if isinstance(state, dict) else None

    @property
    def step(self) -> str | None:
        """The last step that was finished, if any."""
        state = self.load()
        return None if state is None else str(state.get("step"))

    def expect(self, staged: Staged) -> Staged:
        """Give the state that a step goes on from.

        Args:
            staged: what the step before answered.

        Raises:
            ConfigError: another run has begun anew since, or the folder is gone.
        """
        state = self.load()
        if state is None or state.get("token") != staged.get("token"):
            raise ConfigError(
                f"what was extracted of {self.dataset} is not staged any more",
                code="staging",
                hint="begin again with the extraction: run the dataset again; under Airflow "
                "trigger it, or clear its run from extract_and_validate (or plan_spans) on, "
                "downstream too",
            )
        return state


def unfinished(home: Home) -> list[Work]:
    """Every dataset of a home whose signed version waits for its proof."""
    found = []
    for path in sorted(home.staging.glob("*/*/state.json")):
        work = Work(home, f"{path.parent.parent.name}/{path.parent.name}")
        if work.step == SIGNED:
            found.append(work)
    return found
