"""A small world for the pipeline: a ledger of two members, a database, contracts."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from zhixin_gateway import governing
from zhixin_gateway.datasets import hashing
from zhixin_gateway.founding import found
from zhixin_gateway.home import Home, create_home

OWNER, OTHER = "bts.gov.example", "faa.gov.example"

STOPS = """apiVersion: v3.2.0
kind: DataContract
id: bts.gov.example/stops
version: {version}
status: active
name: Stops
servers:
  - {{server: silo, type: custom}}
schema:
  - name: stops
    physicalName: stops
    logicalType: object
    properties:
      - {{name: day, logicalType: date, primaryKey: true, primaryKeyPosition: 1, required: true}}
      - {{name: line, logicalType: string, primaryKey: true, primaryKeyPosition: 2, required: true}}
      - {{name: seats, logicalType: integer, logicalTypeOptions: {{minimum: 0, maximum: 500}}}}
      - name: place
        logicalType: string
{place}
    quality:
      - type: library
        name: not-empty
        metric: rowCount
        mustBeGreaterThan: 0
        severity: critical
{quality}
"""
PLACES = """apiVersion: v3.2.0
kind: DataContract
id: faa.gov.example/places
version: 1.0.0
status: active
name: Places
servers:
  - {server: silo, type: custom}
schema:
  - name: places
    physicalName: places
    logicalType: object
    properties:
      - {name: code, logicalType: string, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: name, logicalType: string}
"""
AT_FAA = """        relationships:
          - id: place-at-faa
            to: faa.gov.example/places.yaml#/schema/places/properties/code
            customProperties: [{property: zhixin.severity, value: warning}]
"""


@pytest.fixture(scope="module", params=["kernel", "pure"])
def either_path(request):
    """Every test of a module twice: records hashed by the native kernel, and by the pure path."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pure":
            patch.setenv("ZHIXIN_KERNEL", "pure")
        assert (hashing.kernel() is None) == (request.param == "pure"), "make kernel"
        yield request.param


class World:
    """Two members' homes and one database, of which each reads its own tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "silo.db"
        homes = [
            create_home(folder / name, name, operator=name == OWNER) for name in (OWNER, OTHER)
        ]
        self.owner, self.other = (
            home.save(
                replace(
                    home.filed_settings(),
                    stores={
                        name: f"../{name}/store" for name in (OWNER, OTHER) if name != home.member
                    },
                    sources={"silo": f"sqlite:///{self.database}"},
                )
            )
            for home in found(homes[0], homes, "ledger.gov.example/test")
        )
        self.fill("stops", [])
        self.fill("places", [])

    def fill(self, table, rows):
        columns = {"stops": "day, line, seats, place", "places": "code, name"}[table]
        marks = ", ".join("?" for _ in columns.split(","))
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
            connection.execute(f"CREATE TABLE {table} ({columns})")
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.close()

    def stops(self, *, version="1.0.0", place="", quality=""):
        path = self.owner.path / "contracts" / "stops.odcs.yaml"
        path.write_text(STOPS.format(version=version, place=place, quality=quality))
        return path

    def places(self):
        path = self.other.path / "contracts" / "places.odcs.yaml"
        path.write_text(PLACES)
        return path


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def at_faa():
    """The lines that bind a stop's place to FAA's places."""
    return AT_FAA


@pytest.fixture
def some_stops():
    """Rows of stops: 3,000 sound ones (a day and two lines, many seats), in no order."""
    days = [
        f"2024-{month:02}-{day:02}"
        for month in range(1, 6)
        for day in range(1, 31)
        if (month, day) != (2, 30)
    ]
    rows = [(day, f"L{line:02}", (line * 7) % 500, "JFK") for line in range(21) for day in days]
    return sorted(rows[:3000], key=lambda row: (row[1], row[0]))


COUNCIL = tuple(f"{letter}.gov.example" for letter in "abcd")


class Council:
    """Four members' homes and the ledger that they founded; the first keeps the log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients = []

    def path(self, letter):
        return self.folder / f"{letter}.gov.example"

    def home(self, letter):
        return Home.open(self.path(letter), {})

    def state(self, letter):
        """The newest state, over the member's own copy; open until the test ends."""
        self.clients.append(self.home(letter).ledger_client())
        return self.clients[-1].sync()

    def agree(self, proposal, *letters):
        """Have a proposal signed in some members' homes."""
        for letter in letters:
            state = self.state(letter)
            weighed = governing.read_proposals(state, [proposal.to_bytes()])
            proposal = governing.sign(self.home(letter), state, weighed)
        return proposal

    def enact(self, proposal, letter):
        """Bring a proposal in from a member's home."""
        home = self.home(letter)
        with home.ledger_client() as client:
            weighed = governing.read_proposals(client.sync(), [proposal.to_bytes()])
            return governing.finish(home, client, governing.bring_in(client, weighed))


@pytest.fixture(scope="session")
def founded_council(tmp_path_factory):
    """The council as it was founded; copied for each test."""
    folder = tmp_path_factory.mktemp("council")
    homes = [create_home(folder / name, name, operator=name == COUNCIL[0]) for name in COUNCIL]
    found(homes[0], homes, "ledger.gov.example/council")
    return folder


@pytest.fixture
def council(founded_council, tmp_path):
    shutil.copytree(founded_council, tmp_path / "council")
    made = Council(tmp_path / "council")
    yield made
    for client in made.clients:
        client.close()
