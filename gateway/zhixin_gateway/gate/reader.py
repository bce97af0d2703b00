"""`VerifiedDataset`: the only thing that has methods that yield data (docs/formats.md 4).

::

    flights = open_version("store/bts.gov.example/flights/3", trust,
                           expect="bts.gov.example/flights@3", ledger_copy=view)
    flights.to_pandas()

It is made by a verification that held, and by nothing else. What it yields was decoded from the
very bytes that were hashed: each part is copied privately while it is hashed, and the copy is
decoded; a file swapped after the check is refused as it is read. Statistics in the files are never
believed: SQL runs over Arrow batches.

With ``streaming`` the parts are judged as they are read, not before: records of a part are given
once that part held, so the first are there before the last part is read, and a part that fails ends
the reading though records of others were given. With ``columns`` or ``parts`` only these are read;
that the bytes are their owner's is known of every part that is read, values are looked at in the
columns that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from zhixin_errors import ConfigError, VerificationError

from zhixin_gateway.gate.parts import part_batches
from zhixin_gateway.gate.verify import Examination, Options, StandingSource, examine
from zhixin_gateway.progress import NullProgress, Progress

if TYPE_CHECKING:
    import pandas as pd
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.datasets.manifest import Manifest, PartEntry
    from zhixin_gateway.gate.standing import ClaimSource, LedgerView
    from zhixin_gateway.gate.verdict import Verdict

__all__ = ["VerifiedDataset", "open_version"]


class VerifiedDataset:
    """A version that verified, and its data.

    Args:
        examination: one whose verdict is good; `open_version` makes it.

    Attributes:
        verdict: what the verification answered.
        manifest: the version's description; it holds salt keys, so it is as private as the data.
        contract: the contract's bytes.
    """

    def __init__(self, examination: Examination) -> None:
        if examination.version is None or not examination.verdict.ok:
            raise VerificationError(examination.verdict.message, code=examination.verdict.code)
        self._files = examination.files
        self._options = examination.options
        self.verdict: Verdict = examination.verdict
        self.manifest: Manifest = examination.version.manifest
        self.contract: bytes = examination.version.contract
        self.statement: bytes = examination.version.stated.entry

    @property
    def dataset(self) -> str:
        """``member/name``."""
        return self.manifest.dataset

    @property
    def version(self) -> int:
        """The version's number."""
        return self.manifest.version

    @property
    def name(self) -> str:
        """As people write it, ``member/name@N``."""
        return f"{self.dataset}@{self.version}"

    @property
    def schema(self) -> pa.Schema:
        """The fields as an Arrow schema."""
        return self.manifest.schema

    @property
    def records(self) -> int:
        """How many records there are."""
        return self.manifest.records

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person must read though everything holds."""
        return self.verdict.warnings

    def __len__(self) -> int:
        return self.records

    def __repr__(self) -> str:
        """Name and size; never contents."""
        return f"<VerifiedDataset {self.name}: {self.records} records>"

    def batches(
        self, columns: Sequence[str] | None = None, *, parts: Sequence[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The records, in the owner's order, in bounded memory.

        Args:
            columns: names of the fields that are wanted, in this order; None: all.
            parts: numbers of the parts that are wanted, from 0, in this order; None: all.

        Returns:
            Batches of the fields' types, one after another.

        Raises:
            ConfigError: there is no such field or part, or one is named twice.
            VerificationError: while they are read: ``part-digest``: a file changed since it was
                verified, or, when streaming, is not its owner's; ``record``: a part can't be
                decoded. No record of that part was given.
        """
        return part_batches(
            self._files,
            self._chosen(parts),
            self.schema,
            columns=None if columns is None else self._columns(columns),
            deep=self._options.streaming and self._options.deep,
        )

    def reader(
        self, columns: Sequence[str] | None = None, *, parts: Sequence[int] | None = None
    ) -> pa.RecordBatchReader:
        """As `batches`, for what wants a reader."""
        batches = self.batches(columns, parts=parts)
        return pa.RecordBatchReader.from_batches(self._schema_of(columns), batches)

    def __arrow_c_schema__(self) -> Any:  # noqa: ANN401 - a capsule
        """The schema, for any library that speaks Arrow's PyCapsule interface."""
        return self.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:  # noqa: ANN401 - capsules
        """The records, for any library that speaks Arrow's PyCapsule interface."""
        reader: Any = self.reader()
        return reader.__arrow_c_stream__(requested_schema)

    def to_arrow(
        self, columns: Sequence[str] | None = None, *, parts: Sequence[int] | None = None
    ) -> pa.Table:
        """Records as one table, as `batches` takes them; nothing is given unless all decode."""
        batches = self.batches(columns, parts=parts)
        return pa.Table.from_batches(batches, self._schema_of(columns))

    def to_pandas(
        self, columns: Sequence[str] | None = None, *, parts: Sequence[int] | None = None
    ) -> pd.DataFrame:
        """The same as a frame with Arrow-backed types: integers stay exact beside nulls."""
        import pandas as pd

        table = self.to_arrow(columns, parts=parts)
        frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def _schema_of(self, columns: Sequence[str] | None) -> pa.Schema:
        if columns is None:
            return self.schema
        return pa.schema([self.schema.field(name) for name in self._columns(columns)])

    def _columns(self, columns: Sequence[str]) -> list[str]:
        chosen = [columns] if isinstance(columns, str) else list(columns)
        unknown = [name for name in chosen if name not in self.schema.names]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            what = f"has no field {unknown[0]!r}" if unknown else "needs each field once, and one"
            raise ConfigError(
                f"{self.name} {what}",
                code="columns",
                hint=f"its fields are {', '.join(self.schema.names)}",
            )
        return chosen

    def _chosen(self, numbers: Sequence[int] | None) -> Sequence[PartEntry]:
        entries = self.manifest.parts
        if numbers is None:
            return entries
        if len(set(numbers)) < len(numbers) or not all(0 <= at < len(entries) for at in numbers):
            raise ConfigError(
                f"{self.name} has no such part, or one was named twice",
                hint=f"parts: {len(entries)}, numbered from 0; name each once",
                code="parts",
            )
        return [entries[at] for at in numbers]

    def sql(self, sql: str) -> pa.Table:
        """The answer to a query over this dataset.

        Args:
            sql: one SELECT in DuckDB's dialect; the table is ``"member/name"`` (quoted, for its
                dots), or the dataset's own name.

        Raises:
            ConfigError: the SQL can't be run.
        """
        from zhixin_gateway.gate.query import query

        own_name = self.dataset.partition("/")[2]
        return query(sql, {self.dataset: self, own_name: self}).read_all()


def open_version(
    path: Path | str,
    trust: Trust,
    *,
    expect: str,
    unsafe_no_standing: bool = False,
    deep: bool = False,
    now: datetime | None = None,
    max_age: timedelta | None = None,
    standings: Sequence[StandingSource] = (),
    ledger_copy: LedgerView | None = None,
    strict_inputs: bool = False,
    current_keys: bool = False,
    ledger: ClaimSource | None = None,
    beside: bool = False,
    progress: Progress | None = None,
    streaming: bool = False,
    threads: int | None = None,
) -> VerifiedDataset:
    """Verify a version's directory and give its data.

    Args:
        path: the directory.
        trust: what the caller pinned.
        expect: ``MEMBER/DATASET[@N]``: what the caller wants to read; always said.
        unsafe_no_standing: read though nothing tells whether the version was withdrawn since.
        deep: recompute every record tree first.
        now: the verifier's clock, aware; None: this machine's.
        max_age: how old a standing, or without one the receipt, may be.
        standings: standing files, or their bytes: the version's and its inputs'.
        ledger_copy: the home's copy of the ledger.
        strict_inputs: a withdrawn input refuses, and so does one without a standing.
        current_keys: cosigner keys that have ended since do not count.
        ledger: a ledger that is asked over the network (`zhixin_gateway.online.ask`).
        beside: the standing files were found beside the directory, nobody named them.
        progress: is told of each part's records.
        streaming: judge each part as it is read, not all before the first record is given; all else
            is judged now. With ``deep`` a part's tree is recomputed before its records are given.
        threads: how many parts are verified at once; None: as many as there are cores.

    Returns:
        The verified dataset.

    Raises:
        VerificationError: with the gate's code; nothing was yielded.
        ConfigError: the set-up is at fault.
        LedgerUnavailable: ``ledger`` can't be reached.
    """
    if not expect:
        raise ConfigError("say which dataset you expect: expect='MEMBER/DATASET[@N]'")
    options = Options(
        expect=expect,
        deep=deep,
        now=now,
        max_age=max_age,
        standings=standings,
        ledger_copy=ledger_copy,
        strict_inputs=strict_inputs,
        current_keys=current_keys,
        require_standing=not unsafe_no_standing,
        ledger=ledger,
        beside=beside,
        progress=progress or NullProgress(),
        reading=True,
        streaming=streaming,
        threads=threads,
    )
    examination = examine(path, trust, options)
    if examination.verdict.code == "stale" and not (standings or ledger_copy or ledger):
        message = (
            f"{examination.verdict.message}, or read it anyway: "
            "unsafe_no_standing=True, on the command line --unsafe-no-standing"
        )
        examination = replace(examination, verdict=replace(examination.verdict, message=message))
    examination.verdict.require()
    return VerifiedDataset(examination)
