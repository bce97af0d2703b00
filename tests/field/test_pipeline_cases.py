"""Field cases of the pipeline: what must neither stop nor be lost, whatever else is down."""

from __future__ import annotations

import json
import time

import pytest

FIELDS = {"id": {"type": "integer", "required": True}}
NAMES = ("permits", "stops")


# FC-49: the ledger is away. An extraction goes on, its proof is pending, and comes later.


class Office:
    """A member with two datasets, and a ledger in another member's home that can be taken away."""

    def __init__(self, members) -> None:
        self.operator, self.member = members("ledger.gov.example", "office.gov.example")
        self._log = self.operator.home / "log"
        self._away = self._log.with_name("away")

    def stop(self) -> None:
        self._log.rename(self._away)

    def start(self) -> None:
        self._away.rename(self._log)

    def contract(self, name, records):
        lines = "".join(f"{number}\n" for number in range(records))
        self.member.file(f"{name}.csv", f"id\n{lines}")
        return self.member.contract(name, FIELDS, table=f"{name}.csv", key=("id",))

    def run(self, name, records=1):
        return self.member.run(self.contract(name, records))

    def proves(self, name, *numbers):
        """Each version verifies, and the ledger states them in their order, once each."""
        assert self.member.versions(name) == list(numbers)
        for number in numbers:
            path = self.member.version(f"{name}@{number}")
            told = self.member.zhixin("verify", path, "--deep", "--json")
            assert told.code == 0, told.err
        said = self.member.zhixin("ledger", "log", "--json").json["entries"]
        stated = [entry["subject"] for entry in said if entry["kind"] == "dataset"]
        ours = [subject for subject in stated if subject.startswith(f"{self.member.name(name)}@")]
        assert ours == [f"{self.member.name(name)}@{number}" for number in numbers]


@pytest.fixture
def office(members):
    return Office(members)


def gone(office):
    """What a consumer is told meanwhile of the version that waits: nothing is shown unproved."""
    for number in (2, 3):
        for command in (("get",), ("cat",)):
            told = office.operator.zhixin(*command, f"office.gov.example/permits@{number}")
            assert (told.code, told.out) != (0, "")
            assert told.code in (1, 2, 3)
            assert told.out == ""


def test_fc_49_what_was_published_while_the_ledger_was_away_is_proved_later(office):
    """Version 1 is proved; then the ledger stops, and two datasets go on."""
    for name in NAMES:
        assert office.run(name).code == 0
    office.stop()
    for name in NAMES:
        waits = office.run(name, 2)
        assert (waits.code, waits.json["pending"], waits.json["version"]) == (3, True, 2)
        assert (waits.json["records"], waits.json["index"]) == (2, None)
        assert office.member.versions(name) == [1]
    extracted = office.member.home / "staging"
    parts = {path: path.stat().st_mtime_ns for path in extracted.rglob("*.parquet")}
    assert len(parts) >= len(NAMES)
    assert office.member.zhixin("status", "--resume").code == 3
    for name in NAMES:  # the next run says the same, and does not throw away what waits
        assert office.run(name, 3).json["version"] == 2
    assert {path: path.stat().st_mtime_ns for path in parts} == parts, "nothing extracted again"
    office.start()
    gone(office)
    resumed = office.member.zhixin("status", "--resume", "--json")
    assert resumed.code == 0, resumed.err
    for name in NAMES:
        assert office.run(name, 3).json["version"] == 3
        office.proves(name, 1, 2, 3)
    assert office.member.zhixin("status", "--resume").code == 0
    assert office.member.versions("permits") == [1, 2, 3]


def test_fc_49_a_ledger_that_was_never_reached_since_init(agency):
    """A ledger of one whose log is not there: nothing had ever been proved through it."""
    log, away = agency.home / "log", agency.home / "away"
    log.rename(away)
    contract = agency.contract("permits", FIELDS, table="permits.csv", key=("id",))
    agency.file("permits.csv", "id\n1\n2\n")
    for _ in range(2):
        waits = agency.run(contract)
        assert (waits.code, waits.json["pending"], waits.json["records"]) == (3, True, 2)
    away.rename(log)
    done = agency.zhixin("status", "--resume", "--json")
    assert done.code == 0, done.err
    assert agency.rows("permits") == [["1"], ["2"]]
    assert agency.versions("permits") == [1]


def killed(office, *arguments, when):
    """Run a command and kill it as a power failure does, as soon as something is so."""
    process = office.member.process(*arguments)
    deadline = time.monotonic() + 60
    try:
        while not when() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.1, 0.3])
def test_fc_49_a_resume_that_was_killed_in_the_midst_is_done_once(office, delay_s):
    """Killed at several moments after it began to bring the versions in."""
    for name in NAMES:
        assert office.run(name).code == 0
    office.stop()
    for name in NAMES:
        assert office.run(name, 2).code == 3
    office.start()
    database = office.operator.home / "log" / "log.sqlite"
    before = database.stat().st_mtime_ns
    began = []

    def in_the_midst():
        wal = database.with_name("log.sqlite-wal")
        if not began and (wal.exists() or database.stat().st_mtime_ns != before):
            began.append(time.monotonic())
        return began and time.monotonic() - began[0] >= delay_s

    killed(office, "status", "--resume", when=in_the_midst)
    for _ in range(2):
        done = office.member.zhixin("status", "--resume")
        assert done.code == 0, done.err
    for name in NAMES:
        office.proves(name, 1, 2)


# FC-55: texts that look alike.


def test_fc_55_names_that_look_alike_are_ten_and_stay_as_they_came(agency):
    agency.files("55-lookalikes.csv")
    contract = agency.contract(
        "people",
        {"id": "integer", "name": {"type": "string", "unique": True}},
        table="55-lookalikes.csv",
        key=("id",),
    )
    ran = agency.run(contract)
    assert ran.code == 0, ran.err
    assert (ran.json["records"], ran.json["quarantined"]) == (10, 0)
    lines = (agency.inbox / "55-lookalikes.csv").read_text("utf-8").splitlines()[1:]
    wanted = [line.split(",") for line in lines]
    assert sorted(agency.rows("people"), key=lambda row: int(row[0])) == wanted
    names = dict(wanted)
    assert (names["4"], names["5"]) == ("\u75e2", "\uf9e5"), "NFC would make them one"
    frame = agency.frame("people")
    assert sorted(frame["name"]) == sorted(names.values())


def test_fc_55_a_name_twice_by_code_points_is_a_duplicate(agency):
    """The rule is at work: both records of a name that does stand twice are rejected."""
    agency.file("people.csv", "id,name\n1,\u75e2\n2,\uf9e5\n3,\u75e2\n")
    contract = agency.contract(
        "people",
        {"id": "integer", "name": {"type": "string", "unique": True}},
        table="people.csv",
        key=("id",),
    )
    assert agency.run(contract).json["quarantined"] == 2
    assert agency.rows("people") == [["2", "\uf9e5"]]
    assert [row[:3] for row in agency.rejects("people")] == [
        (0, "name", "name.unique"),
        (2, "name", "name.unique"),
    ]


def test_fc_55_keys_that_look_alike_are_two_keys(agency):
    """The sibling: primary key, its order by bytes, and equality in a reference."""
    agency.files("55-lookalikes.csv")
    names = agency.contract(
        "names", {"name": "string", "id": "integer"}, table="55-lookalikes.csv", key=("name",)
    )
    assert agency.run(names).json["records"] == 10
    ordered = [row[0] for row in agency.rows("names")]
    assert ordered == sorted(ordered, key=str.encode)
    rows = agency.rows("names", "--sql", "SELECT count(DISTINCT name) AS n FROM names")
    assert rows == [["10"]]
    found = agency.rows("names", "--sql", "SELECT id FROM names WHERE name = '\u75e2'")
    assert found == [["4"]]


@pytest.mark.parametrize(("names", "accepted"), [(("\u75e2",), 1), (("\u75e2", "\uf9e5"), 2)])
def test_fc_55_a_reference_is_by_code_points(members, names, accepted):
    there, here = members("there.gov.example", "here.gov.example")
    there.file("names.csv", "name\n" + "".join(f"{name}\n" for name in names))
    assert there.run(there.contract("names", {"name": "string"}, table="names.csv", key=("name",)))
    here.file("people.csv", "id,name\n4,\u75e2\n5,\uf9e5\n")
    to = "there.gov.example/names.yaml#/schema/names/properties/name"
    contract = here.contract(
        "people",
        {"id": "integer", "name": {"type": "string", "relationships": [{"to": to}]}},
        table="people.csv",
        key=("id",),
    )
    ran = here.run(contract)
    assert ran.code == 0, ran.err
    assert ran.json["records"] == accepted
    assert json.loads(json.dumps(here.rows("people")))[0] == ["4", "\u75e2"]
