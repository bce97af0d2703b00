"""From contract files to neutral plans: what a DAG must know, before Airflow comes in.

A folder of homes holds contracts, one file a dataset::

    homes/bts.gov.example/zhixin.toml
    homes/bts.gov.example/contracts/flights.odcs.yaml   →  DAG bts.gov.example.flights
    homes/ntsb.gov.example/contracts/…

What starts a dataset follows from where its inputs are made. One that reads a source starts with
the start DAG. A derived one starts when the agencies that it draws on have ended their round (each
of their datasets that the start DAG starts, and whatever else it stands on, has run), if all of its
inputs are made by this same Airflow; else the member's own copy of the ledger is watched, because
asset events do not reach another agency's Airflow.

A contract that can't be read still gets a plan, with its ``problem``: one bad file must not make
every other DAG vanish, nor vanish itself without a word. Pure but for reading files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from zhixin_errors import ConfigError, ZhixinError
from zhixin_schemas.loader import load_contract
from zhixin_schemas.model import MAX_CONTRACT_BYTES, Contract

from zhixin_gateway.settings import parse_settings

__all__ = ["CONTRACTS", "HOMES_VARIABLE", "DatasetPlan", "dag_id", "find_homes", "read_plans"]

HOMES_VARIABLE = "ZHIXIN_HOMES"
CONTRACTS = "contracts"
_SUFFIX = ".odcs.yaml"


@dataclass(frozen=True)
class DatasetPlan:
    """One dataset as the scheduler sees it.

    Args:
        dataset: ``member/name``.
        home: the owner's home.
        contract: the contract's file.
        version: the contract's version.
        sha256: of the contract's bytes; DAG versions move with it.
        description: for people.
        source: name of the source that it reads; empty where it is derived.
        inputs: what its SQL reads; empty where it reads a source.
        references: what its relationships are checked against.
        derived: it is made by SQL over verified datasets.
        divided: several workers read its source, each a span.
        held: they read one snapshot of it, which a task of its own holds.
        incremental: a run reads what is new, unless all is asked for.
        upstream: every dataset that must have run before it, if this Airflow makes them all.
        watched: its inputs are made elsewhere, so the ledger is watched.
        problem: why the contract can't be used; then nothing else but its place is known.
    """

    dataset: str
    home: Path
    contract: Path
    version: str = ""
    sha256: str = ""
    description: str = ""
    source: str = ""
    inputs: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    derived: bool = False
    divided: bool = False
    held: bool = False
    incremental: bool = False
    upstream: tuple[str, ...] = field(default=())
    watched: bool = False
    problem: str | None = None

    @property
    def dag_id(self) -> str:
        """The DAG's id: a dataset's name holds no dot, so this is unique."""
        return dag_id(self.dataset)

    @property
    def starts(self) -> bool:
        """Whether the start DAG starts it: it reads an agency's own source."""
        return not self.derived and self.problem is None

    @property
    def member(self) -> str:
        """The owner's name."""
        return self.dataset.partition("/")[0]


def dag_id(dataset: str) -> str:
    """Give the id of a dataset's DAG: ``bts.gov.example/flights`` → ``bts.gov.example.flights``.

    A file that is no sound contract may have any name; what an id can't hold becomes ``_``.
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", dataset.replace("/", "."))[:250]


def find_homes(folders: str | None = None) -> list[Path]:
    """Find the homes in one or more folders.

    Args:
        folders: folders of homes, or homes, separated as in ``PATH``; ``ZHIXIN_HOMES`` of the
            environment by default.

    Returns:
        The homes, absolute and sorted.

    Raises:
        ConfigError: no folder is named, or one is not there.
    """
    named = os.environ.get(HOMES_VARIABLE, "") if folders is None else folders
    if not named:
        raise ConfigError(
            "nothing says where the members' homes lie",
            hint=f"set {HOMES_VARIABLE} to a folder of homes, or to one home",
        )
    homes: set[Path] = set()
    for text in named.split(os.pathsep):
        folder = Path(text).absolute()
        if not folder.is_dir():
            raise ConfigError(f"{HOMES_VARIABLE} names {folder}, which is no folder")
        homes |= {path.parent for path in (folder / "zhixin.toml", *folder.glob("*/zhixin.toml"))}
    return sorted(home for home in homes if (home / "zhixin.toml").is_file())


def read_plans(homes: Iterable[Path], only: str | None = None) -> list[DatasetPlan]:
    """Read every contract of every home, each into one plan.

    Args:
        homes: folders with a ``zhixin.toml``.
        only: the id of the one DAG that is wanted; other contracts are not even parsed.

    Returns:
        The plans, sorted by dataset; two files for one dataset are one plan with a problem.
        With ``only`` what starts the dataset is left out: who runs a task need not know it.
    """
    if only is not None:
        found = [_read(*file) for file in _files(homes) if _may_make(file, only)]
        return [plan for plan in found if plan.dag_id == only][:1]
    plans = [_read(*file) for file in _files(homes)]
    by_dataset: dict[str, list[DatasetPlan]] = {}
    for plan in plans:
        by_dataset.setdefault(plan.dataset, []).append(plan)
    sound = {name: _one_of(twins) for name, twins in by_dataset.items()}
    return [_scheduled(sound[name], sound) for name in sorted(sound)]


def _may_make(file: tuple[Path, Path, str], only: str) -> bool:
    """Whether a contract may be that of a DAG: its name stands in its bytes, or in its path."""
    _, path, member = file
    dataset = "/".join(only.rsplit(".", 1))
    try:
        return only == dag_id(_guess(path, member)) or dataset.encode() in path.read_bytes()
    except OSError:
        return False


def _guess(path: Path, member: str) -> str:
    return f"{member}/{path.name.removesuffix(_SUFFIX)}"


def _files(homes: Iterable[Path]) -> Iterator[tuple[Path, Path, str]]:
    for home in homes:
        settings = home / "zhixin.toml"
        try:
            member = parse_settings(settings.read_text(encoding="utf-8"), str(settings)).member
        except (OSError, UnicodeDecodeError, ConfigError):
            # The folder bears the member's name as a rule; the tasks will say what is wrong.
            member = home.name
        for path in sorted((home / CONTRACTS).glob(f"*{_SUFFIX}")):
            yield home, path, member


def _read(home: Path, path: Path, member: str) -> DatasetPlan:
    guess = _guess(path, member)
    try:
        with path.open("rb") as file:
            contract = load_contract(file.read(MAX_CONTRACT_BYTES + 1), path.name)
    except (OSError, ZhixinError) as error:
        return DatasetPlan(guess, home, path, problem=str(error))
    if contract.member != member:
        said = f"{path.name} is a contract of {contract.member}, but the home is {member}'s"
        return DatasetPlan(guess, home, path, problem=said)
    return _plan(home, path, contract)


def _plan(home: Path, path: Path, contract: Contract) -> DatasetPlan:
    return DatasetPlan(
        dataset=contract.dataset,
        home=home,
        contract=path,
        version=contract.version,
        sha256=contract.sha256,
        description=contract.description or contract.titles.get("en", ""),
        source="" if contract.derived else contract.server,
        inputs=contract.inputs,
        references=tuple(
            sorted({to.dataset for to in contract.relationships} - {contract.dataset})
        ),
        derived=contract.derived,
        divided=contract.partitioning is not None,
        held=contract.partitioning is not None and not contract.partitioning.immutable,
        incremental=contract.incremental is not None,
    )


def _one_of(twins: list[DatasetPlan]) -> DatasetPlan:
    if len(twins) == 1:
        return twins[0]
    places = " and ".join(str(plan.contract) for plan in twins)
    return replace(twins[0], problem=f"two contracts for one dataset: {places}")


def _scheduled(plan: DatasetPlan, known: Mapping[str, DatasetPlan]) -> DatasetPlan:
    if not plan.derived or plan.problem is not None:
        return plan
    if any(name not in known for name in plan.inputs):
        return replace(plan, watched=True)
    needed = _needed(plan, known)
    agencies = {known[name].member for name in needed}
    rounds = {name for name, other in known.items() if other.member in agencies and other.starts}
    # A dataset with a problem never tells anything: who waited for it would wait for ever.
    upstream = {name for name in needed | rounds if known[name].problem is None}
    return replace(plan, upstream=tuple(sorted(upstream - {plan.dataset})))


def _needed(plan: DatasetPlan, known: Mapping[str, DatasetPlan]) -> set[str]:
    """Give all that a dataset stands on and this Airflow makes, inputs of inputs too."""
    found: set[str] = set()
    ahead = [*plan.inputs, *plan.references]
    while ahead:
        name = ahead.pop()
        if name in known and name not in found:
            found.add(name)
            ahead += (*known[name].inputs, *known[name].references)
    return found
