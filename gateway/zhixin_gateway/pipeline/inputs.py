"""Other members' datasets as a run uses them: the newest version that stands, through the gate.

A relationship needs the keys that exist; a derived dataset needs the records. Either way the
version is fetched where it is not here yet, verified as its bytes are read, and stands among the
new version's inputs. A byte that was changed stops the run with the gate's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from zhixin_errors import ConfigError, ContractError

from zhixin_gateway.fetching import fetch, wanted_version
from zhixin_gateway.progress import Progress

if TYPE_CHECKING:
    from zhixin_ledger.state import State
    from zhixin_schemas.model import Contract

    from zhixin_gateway.gate import VerifiedDataset
    from zhixin_gateway.home import Home

__all__ = ["Inputs"]


Targets = Callable[[], Iterator[pa.RecordBatch]]

KEY_BYTES = 64 * 1024 * 1024
"""Keys of a relationship that take more are compared outside memory."""


class Inputs:
    """The verified datasets of one run, each opened once.

    Args:
        home: who runs.
        state: the ledger's: it says which version is the newest that stands.
        progress: told what is fetched.
        fixed: what :meth:`listed` gave to another process of the same run, whose versions are
            used, whatever is newer meanwhile.
    """

    def __init__(
        self,
        home: Home,
        state: State,
        progress: Progress,
        fixed: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self._fixed = {each["dataset"]: int(each["version"]) for each in fixed}
        self._home = home
        self._state = state
        self._progress = progress
        self._opened: dict[str, VerifiedDataset] = {}
        self._versions: dict[str, int] = {}

    def open(self, dataset: str) -> VerifiedDataset:
        """Open the newest standing version of a dataset.

        Args:
            dataset: ``member/name``.

        Raises:
            ConfigError: the ledger has no version of it that stands, or nobody says where it lies.
            VerificationError: the gate refuses it.
        """
        if dataset not in self._opened:
            from zhixin_gateway.opening import open_version

            version = self._fixed.get(dataset) or wanted_version(self._state, dataset)
            if dataset.partition("/")[0] != self._home.member:
                fetched = fetch(self._home, dataset, version)
                if fetched.new:
                    self._progress.say(f"fetched and verified {dataset}@{version}")
            self._opened[dataset] = open_version(self._home, dataset, version)
            self._versions[dataset] = version
        return self._opened[dataset]

    def keys_of(self, contract: Contract) -> tuple[dict[str, Any], dict[str, Targets]]:
        """The keys that a contract's relationships to other datasets are checked against.

        Returns:
            By rule, the keys that fit in memory; and what reads the others, as often as need be:
            those of several fields, and those that are too many.

        Raises:
            ConfigError: the other dataset has no version that stands.
            ContractError: it has no such field.
        """
        fitting: dict[str, Any] = {}
        others: dict[str, Targets] = {}
        for item in contract.relationships:
            if item.dataset == contract.dataset:
                continue
            opened = self.open(item.dataset)
            for target in item.targets:
                if target not in opened.schema.names:
                    raise ContractError(
                        f"{item.dataset}@{opened.version} has no field {target}, which the "
                        f'relationship "{item.rule}" points to',
                        code="relationship-field",
                        hint=f"it has {', '.join(opened.schema.names)}",
                    )
            keys = _keys(opened, item.targets[0]) if len(item.targets) == 1 else None
            if keys is None:
                others[item.rule] = partial(_columns, opened, item.targets)
            else:
                fitting[item.rule] = keys
        return fitting, others

    def listed(self) -> list[dict[str, Any]]:
        """What was opened, as the manifest lists it: sorted by dataset."""
        rows = []
        for dataset, version in sorted(self._versions.items(), key=lambda item: item[0].encode()):
            stated = self._state.stated(dataset, version)
            if stated is None:
                raise ConfigError(f"{dataset}@{version} is not in this home's copy of the ledger")
            rows.append(
                {"dataset": dataset, "version": version, "statement": stated.statement.hex()}
            )
        return rows


def _columns(opened: VerifiedDataset, names: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    for batch in opened.batches():
        yield batch.select(list(names))


def _keys(opened: VerifiedDataset, field: str) -> Any:  # noqa: ANN401 - an Arrow array
    """The different values of a field; None where they are too many for memory."""
    keys: Any = pa.array([], opened.schema.field(field).type)
    fresh: list[Any] = []
    for batch in opened.batches():
        fresh.append(pc.unique(batch.column(batch.schema.names.index(field))))
        if sum(each.nbytes for each in fresh) > KEY_BYTES:
            keys, fresh = pc.unique(pa.chunked_array([keys, *fresh])), []
        if keys.nbytes > KEY_BYTES:
            return None
    return pc.unique(pa.chunked_array([keys, *fresh])).drop_null()
