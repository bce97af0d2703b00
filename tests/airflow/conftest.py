"""A small world for Airflow: four homes with tables of a few rows, and Airflows started once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from zhixin_gateway import pipeline
from zhixin_gateway.datasets.manifest import Manifest, parse_manifest
from zhixin_gateway.founding import found
from zhixin_gateway.home import Home, create_home

BTS, FAA, NOAA, NTSB = (f"{name}.gov.example" for name in ("bts", "faa", "noaa", "ntsb"))
FIVE = (
    f"{BTS}/airlines",
    f"{BTS}/flights",
    f"{FAA}/airports",
    f"{FAA}/planes",
    f"{NOAA}/weather",
)
DERIVED = f"{NTSB}/delays-by-weather"

# dataset: (version, fields, key, extra of a field, rows)
TABLES: dict[str, str] = {
    f"{BTS}/airlines": "carrier,name\nAA,American\nUA,United\n",
    f"{BTS}/flights": (
        "time_hour,carrier,flight,tailnum,dest\n"
        "2013-01-01T10:00:00Z,UA,1545,N14228,IAH\n"
        "2013-01-01T11:00:00Z,AA,1141,N619AA,MIA\n"
        "2013-01-01T12:00:00Z,AA,725,N804JB,BQN\n"
    ),
    f"{FAA}/airports": "faa,name\nIAH,Houston\nMIA,Miami\n",
    f"{FAA}/planes": "tailnum,seats\nN14228,149\nN619AA,178\n",
    f"{NOAA}/weather": (
        "time_hour,wind_speed\n"
        "2013-01-01T10:00:00Z,10.36\n"
        "2013-01-01T11:00:00Z,8.05\n"
        "2013-01-01T12:00:00Z,1048.36\n"
    ),
}
FIELDS: dict[str, dict[str, str]] = {
    f"{BTS}/airlines": {"carrier": "string", "name": "string"},
    f"{BTS}/flights": {
        "time_hour": "timestamp",
        "carrier": "string",
        "flight": "integer",
        "tailnum": "string",
        "dest": "string",
    },
    f"{FAA}/airports": {"faa": "string", "name": "string"},
    f"{FAA}/planes": {"tailnum": "string", "seats": "integer"},
    f"{NOAA}/weather": {"time_hour": "timestamp", "wind_speed": "number"},
    DERIVED: {
        "time_hour": "timestamp",
        "flight": "integer",
        "wind_speed": "number",
        "seats": "integer",
    },
}
KEYS = {"airlines": 1, "flights": 3, "airports": 1, "planes": 1, "weather": 1}
KEYS["delays-by-weather"] = 2
EXTRAS = {
    "timestamp": "        logicalTypeOptions: {timezone: true}\n",
    "wind_speed": "        logicalTypeOptions: {minimum: 0, maximum: 253}\n",
    "dest": (
        "        relationships:\n"
        f"          - to: {FAA}/airports.yaml#/schema/airports/properties/faa\n"
        "            customProperties: [{property: zhixin.severity, value: warning}]\n"
    ),
}
SQL = f"""
    customProperties:
      - property: zhixin.sql
        value: |
          SELECT f.time_hour, f.flight, w.wind_speed, p.seats
          FROM "{BTS}/flights" AS f
          LEFT JOIN "{NOAA}/weather" AS w ON w.time_hour = f.time_hour
          LEFT JOIN "{FAA}/planes" AS p ON p.tailnum = f.tailnum
"""


def contract(dataset: str, version: str = "1.0.0") -> str:
    """Write a contract for one of the small tables."""
    name = dataset.partition("/")[2]
    server = "zhixin" if dataset == DERIVED else "silo"
    text = (
        "apiVersion: v3.1.0\nkind: DataContract\n"
        f"id: {dataset}\nversion: {version}\nstatus: active\n"
        f"servers:\n  - server: {server}\n    type: custom"
        + (SQL if dataset == DERIVED else "\n")
        + f"schema:\n  - name: {name.split('-')[0]}\n    physicalName: {name}.csv\n"
        "    logicalType: object\n    properties:\n"
    )
    for at, (field, kind) in enumerate(FIELDS[dataset].items(), 1):
        text += f"      - name: {field}\n        logicalType: {kind}\n"
        if at <= KEYS[name]:
            text += f"        primaryKey: true\n        primaryKeyPosition: {at}\n"
            text += "        required: true\n"
        text += EXTRAS.get(kind, "") + EXTRAS.get(field, "")
    return text


@dataclass(frozen=True)
class World:
    """Four homes with their silos, nothing published yet."""

    folder: Path
    bts: str = BTS
    faa: str = FAA
    noaa: str = NOAA
    ntsb: str = NTSB
    five: tuple[str, ...] = FIVE
    derived: str = DERIVED
    inputs: tuple[str, ...] = (f"{BTS}/flights", f"{FAA}/planes", f"{NOAA}/weather")

    def home(self, member: str) -> Home:
        """Open a member's home."""
        return Home.open(self.folder / member)

    def contract(self, dataset: str) -> Path:
        """Where a dataset's contract lies."""
        member, name = dataset.split("/")
        return self.folder / member / "contracts" / f"{name}.odcs.yaml"

    def table(self, dataset: str) -> Path:
        """Where the source's table lies."""
        member, name = dataset.split("/")
        return self.folder.parent / "silos" / member / f"{name}.csv"

    def append(self, dataset: str, row: str) -> None:
        """Add a record to a source."""
        table = self.table(dataset)
        table.write_text(table.read_text() + row + "\n")

    def publish(self, dataset: str) -> int | None:
        """Publish as the agency's own command line does, without Airflow."""
        home = self.home(dataset.partition("/")[0])
        return pipeline.run(home, self.contract(dataset)).version

    def folder_of(self, dataset: str) -> Path:
        """Where the owner's versions of a dataset lie."""
        return self.folder / dataset.partition("/")[0] / "store" / dataset

    def versions(self, dataset: str) -> list[int]:
        """The versions in the owner's store."""
        return sorted(int(path.name) for path in self.folder_of(dataset).glob("[0-9]*"))

    def leftovers(self, dataset: str) -> list[Path]:
        """What a run left behind in the owner's store and staging."""
        staging = self.folder / dataset.partition("/")[0] / "staging" / dataset
        return [*self.folder_of(dataset).glob(".*"), *staging.glob("*")]

    def manifest(self, dataset: str, version: int) -> Manifest:
        """A version's manifest."""
        path = self.folder_of(dataset) / str(version) / "manifest.json"
        return parse_manifest(path.read_bytes())

    def stated(self, dataset: str) -> int | None:
        """The newest version of a dataset that the ledger knows."""
        with self.home(BTS).ledger_client() as client:
            fact = client.sync().dataset(dataset)
        return None if fact is None else fact.version

    def index(self, dataset: str, version: int) -> int | None:
        """The index of a version's entry."""
        with self.home(BTS).ledger_client() as client:
            stated = client.sync().stated(dataset, version)
        return None if stated is None else stated.index


def make_world(folder: Path) -> World:
    """Found the ledger, fill the silos, and put the contracts into the homes."""
    world = World(folder / "homes")
    homes = []
    for member in (BTS, FAA, NOAA, NTSB):
        home = create_home(world.folder / member, member, operator=member == BTS)
        silo = folder / "silos" / member
        stores = {name: f"../{name}/store" for name in (BTS, FAA, NOAA) if name != member}
        home = home.save(
            replace(home.filed_settings(), sources={"silo": f"file:{silo}"}, stores=stores)
        )
        homes.append(home)
    found(homes[0], homes, "ledger.gov.example/airflow")
    for dataset in (*FIVE, DERIVED):
        world.contract(dataset).write_text(contract(dataset))
        if dataset in TABLES:
            world.table(dataset).parent.mkdir(parents=True, exist_ok=True)
            world.table(dataset).write_text(TABLES[dataset])
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One world a module."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def settings() -> Callable[[Path], dict[str, str]]:
    """Settings that make Airflow try again and look again soon."""

    def quick(homes: Path) -> dict[str, str]:
        waits = {"ZHIXIN_RETRY_DELAY_S": "2", "ZHIXIN_WATCH_S": "1"}
        return {"ZHIXIN_HOMES": str(homes), **waits}

    return quick
