"""A run that reads what is new says what a run that reads all says, as far as a watermark tells."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zhixin_errors import PermanentSourceError, ValidationRefused
from zhixin_gateway import pipeline
from zhixin_gateway.datasets import directory, hashing
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.erasing import erase
from zhixin_gateway.erasure_plan import Erasure
from zhixin_gateway.gate import verify
from zhixin_gateway.pipeline import incremental, running
from zhixin_gateway.pipeline.previous import past_quality
from zhixin_gateway.pipeline.staging import Work
from zhixin_gateway.progress import NullProgress
from zhixin_gateway.pseudonyms import make_key
from zhixin_gateway.withdrawing import withdraw
from zhixin_schemas.loader import load_contract_file

DATASET = "bts.gov.example/people"
HEAD = """apiVersion: v3.2.0
kind: DataContract
id: bts.gov.example/people
version: {version}
status: active
name: People
servers:
  - server: silo
    type: custom
    customProperties:
{options}
schema:
  - name: people
    physicalName: people
    logicalType: object
    properties:
"""
KEY = "{name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}"
FIELDS = """      - {name: rev, logicalType: integer%s}
      - {name: name, logicalType: string}
      - {name: size, logicalType: integer, logicalTypeOptions: {maximum: 9}}
      - {name: gone, logicalType: boolean}
"""
BY_KEY = {"watermark": "rev", "incremental": "key", "deleted": "gone"}
BY_APPENDING = {"watermark": "rev", "incremental": "append"}


class People:
    """A table of people, and the runs of its dataset."""

    def __init__(self, world):
        self.world, self.home = world, world.owner
        self.said = []
        with closing(self.open()) as db, db:
            db.execute("CREATE TABLE people (id, rev, name, size, gone)")

    def open(self):
        return sqlite3.connect(self.world.database)

    def put(self, *rows):
        """Let rows be there: id, rev, name, size; each in the place of its id."""
        with closing(self.open()) as db, db:
            for row in rows:
                db.execute("DELETE FROM people WHERE id = ?", row[:1])
                self.insert(row, db=db)

    def insert(self, *rows, db=None):
        """Add rows, whatever is there."""
        if db is None:
            with closing(self.open()) as own, own:
                self.insert(*rows, db=own)
            return
        for row in rows:
            values = [*row, *("x", 1, 0)[len(row) - 2 :]]
            db.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?)", values)

    def mark(self, key, rev):
        with closing(self.open()) as db, db:
            db.execute("UPDATE people SET gone = 1, rev = ? WHERE id = ?", (rev, key))

    def drop(self, where="1"):
        with closing(self.open()) as db, db:
            db.execute(f"DELETE FROM people WHERE {where}")

    def contract(self, options=None, *, key=KEY, version="1.0.0", quality="", required=False):
        lines = [f"      - {{property: zhixin.{n}, value: {v}}}"
                 for n, v in (BY_KEY if options is None else options).items()]  # fmt: skip
        text = HEAD.format(version=version, options="\n".join(lines))
        text += f"      - {key}\n" if key else "      - {name: id, logicalType: integer}\n"
        text += FIELDS % (", required: true" if required else "")
        text += "    quality:\n" + quality if quality else ""
        self.path = self.home.path / "contracts" / "people.odcs.yaml"
        self.path.write_text(text)
        return self

    def run(self, **options):
        said = self.said = []

        class Heard(NullProgress):
            def say(self, message):
                said.append(message)

            def warn(self, message):
                said.append(message)

        return pipeline.run(self.home, self.path, progress=Heard(), **options)

    def manifest(self, version):
        path = directory.version_path(self.home.store, DATASET, version)
        return parse_manifest((path / "manifest.json").read_bytes())

    def records(self, version):
        path = directory.version_path(self.home.store, DATASET, version)
        parts = self.manifest(version).parts
        return [r for part in parts for r in pq.read_table(path / part.path).to_pylist()]

    def ids(self, version):
        return [record["id"] for record in self.records(version)]

    def rejects(self, version):
        path = self.home.quarantine / DATASET / f"{version}.parquet"
        return pq.read_table(path).to_pylist()

    def read(self, result):
        """How a run read, and how many rows."""
        return result.incremental["how"], result.incremental["read"]


@pytest.fixture
def people(world, monkeypatch):
    monkeypatch.setenv("ZHIXIN_KERNEL", "off")
    monkeypatch.setattr(hashing, "CUT_RECORDS", 4)
    monkeypatch.setattr(hashing, "MAX_RECORDS", 16)
    monkeypatch.setattr(hashing, "CUT_BITS", 2)
    return People(world).contract()


@pytest.fixture
def hundred(people):
    """A version of a hundred people in many parts, all at watermark 1 but the last at 2."""
    people.put(*[(n, 1) for n in range(100)], (100, 2))
    assert people.run().version == 1
    people.put((3, 2, "said", 1))  # so that where parts end is known
    assert people.run().version == 2
    assert len(people.manifest(2).parts) > 8
    return people


@pytest.fixture
def opinions(monkeypatch):
    """What the second engine said, run after run."""
    said = []
    real = running.second_opinion

    def heard(*args, **more):
        said.append(real(*args, **more))

    monkeypatch.setattr(running, "second_opinion", heard)
    return said


def test_only_what_is_new_is_read_and_only_what_it_touches_is_written(hundred, monkeypatch):
    before = hundred.manifest(2)
    looked = []
    real = incremental.part_batches

    def watching(files, parts, *args, **more):
        looked.extend(part.path for part in parts)
        return real(files, parts, *args, **more)

    monkeypatch.setattr(incremental, "part_batches", watching)
    monkeypatch.setattr("zhixin_gateway.pipeline.partends.part_batches", watching)
    hundred.put((50, 3, "new", 1))
    result = hundred.run()
    assert hundred.read(result) == ("key", 3)
    assert result.incremental["carried"] == len(before.parts) - 3
    assert result.incremental["written"] == 1
    assert result.parts == {"carried": len(before.parts) - 1, "written": 1}
    after = hundred.manifest(3)
    changed = [a.path for a, b in zip(before.parts, after.parts, strict=True) if a != b]
    assert len(changed) == 1
    assert set(changed) <= set(looked)
    assert len(set(looked)) <= 4  # those of the three rows, and the one that the last run wrote
    assert (result.records, result.quarantined, result.version) == (101, 0, 3)
    assert after.source.watermark == "3"
    assert hundred.run(full=True).version is None


def test_a_run_without_anything_new_publishes_nothing(hundred):
    result = hundred.run()
    assert (result.version, result.standing) == (None, 2)
    assert result.incremental["how"] == "key"
    assert result.incremental["written"] == 0


def test_a_late_row_in_time_is_taken_and_one_below_is_not(hundred):
    hundred.contract({**BY_KEY, "lateness": 2}, version="1.1.0")
    hundred.put((200, 10))
    assert hundred.run().incremental["why"] == "version 2 was made under another contract"
    hundred.insert((201, 8), (202, 7))
    result = hundred.run()
    assert hundred.read(result) == ("key", 2)
    assert hundred.ids(result.version)[-2:] == [200, 201]
    assert hundred.ids(hundred.run(full=True).version)[-3:] == [200, 201, 202]


def test_a_corrected_row_takes_the_place_of_its_keys_record(hundred):
    hundred.put((50, 5, "better", 2))
    result = hundred.run()
    record = next(r for r in hundred.records(result.version) if r["id"] == 50)
    assert record == {"id": 50, "rev": 5, "name": "better", "size": 2, "gone": False}
    assert result.records == 101


def test_a_rejected_correction_takes_its_record_out_and_stands_in_quarantine(hundred):
    hundred.put((50, 5, "too big", 99))
    result = hundred.run()
    assert (result.records, result.quarantined, result.extracted) == (100, 1, 101)
    assert 50 not in hundred.ids(result.version)
    (reject,) = hundred.rejects(result.version)
    assert (reject["id"], reject["name"]) == ("50", "too big")
    assert hundred.run(full=True).version is None


def test_rejects_that_are_not_read_again_are_carried_forward_until_they_are_mended(hundred):
    hundred.put((50, 5, "big", 99), (60, 6, "huge", 99))
    first = hundred.run()
    hundred.put((70, 7, "news", 1))
    second = hundred.run()
    assert (second.quarantined, second.records, second.extracted) == (2, 99, 101)
    manifest = hundred.manifest(second.version)
    assert (manifest.quarantined, manifest.records) == (2, 99)
    assert sorted(r["id"] for r in hundred.rejects(second.version)) == ["50", "60"]
    assert len({r["_row"] for r in hundred.rejects(second.version)}) == 2
    hundred.put((50, 8, "mended", 9))
    third = hundred.run()
    assert (third.quarantined, third.records) == (1, 100)
    assert third.released == {"version": second.version, "records": 1, "of": 2}
    assert [r["id"] for r in hundred.rejects(third.version)] == ["60"]
    assert first.version == 3
    assert hundred.run(full=True).version is None


def test_the_same_rejects_again_leave_no_attempt(hundred):
    hundred.put((50, 5, "big", 99))
    version = hundred.run().version
    assert hundred.run().version is None
    assert not (hundred.home.quarantine / DATASET / "attempt.parquet").exists()
    hundred.put((70, 7, "news", 1))
    hundred.run()
    assert hundred.run().version is None
    assert not (hundred.home.quarantine / DATASET / "attempt.parquet").exists()
    assert version == 3


def test_a_marked_row_removes_the_record_of_its_key_and_is_none_itself(hundred):
    hundred.mark(50, 5)
    result = hundred.run()
    assert (result.records, result.quarantined) == (100, 0)
    assert 50 not in hundred.ids(result.version)
    assert result.incremental["deleted"] == 1
    assert hundred.manifest(result.version).source.watermark == "5"
    assert hundred.run(full=True).version is None


def test_a_marked_row_mends_a_reject_and_breaks_no_rule(hundred):
    hundred.put((50, 5, "big", 99))
    hundred.run()
    hundred.mark(50, 6)
    result = hundred.run()
    assert (result.records, result.quarantined) == (100, 0)
    assert hundred.run(full=True).version is None


def test_a_living_row_of_a_marked_ones_key_stays(hundred):
    hundred.mark(50, 5)
    hundred.insert((50, 5, "again", 1))
    result = hundred.run()
    assert (result.records, hundred.ids(result.version).count(50)) == (101, 1)
    assert hundred.run(full=True).version is None


def test_a_marked_row_without_a_key_is_a_reject(hundred):
    hundred.insert((None, 5, "whose?", 1, 1))
    result = hundred.run()
    assert (result.records, result.quarantined) == (101, 1)
    assert hundred.run(full=True).version is None


def test_two_rows_of_one_key_are_both_rejected_and_its_record_goes(hundred):
    hundred.drop("id = 50")
    hundred.insert((50, 5, "one", 1), (50, 5, "two", 1))
    result = hundred.run()
    assert (result.records, result.quarantined) == (100, 2)
    assert 50 not in hundred.ids(result.version)
    assert hundred.run(full=True).version is None


def test_rows_without_a_watermark_are_read_by_every_run(hundred):
    hundred.insert((300, None, "when?", 1))
    assert hundred.read(hundred.run()) == ("key", 3)
    result = hundred.run()
    assert (result.version, result.incremental["read"]) == (None, 3)
    hundred.put((300, None, "then", 1))
    result = hundred.run()
    assert hundred.records(result.version)[-1]["name"] == "then"


def test_what_is_deleted_from_the_table_goes_with_a_run_over_all(hundred):
    hundred.drop("id = 50")
    assert hundred.run().version is None
    assert 50 in hundred.ids(2)
    result = hundred.run(full=True)
    assert result.incremental["why"] == "all records were asked for"
    assert 50 not in hundred.ids(result.version)


def test_a_source_that_has_lost_its_newest_rows_is_refused_with_the_way_out(hundred):
    hundred.drop("rev = 2")
    with pytest.raises(PermanentSourceError) as caught:
        hundred.run()
    assert caught.value.code == "watermark-backwards"
    assert "--full" in caught.value.hint
    assert directory.list_versions(hundred.home.store, DATASET) == [1, 2]
    assert hundred.run(full=True).records == 99
    hundred.drop()
    with pytest.raises(PermanentSourceError):
        hundred.run()


def test_rules_about_the_whole_are_held_to_the_whole(hundred):
    rule = "{type: library, name: n, metric: rowCount, mustBeLessOrEqualTo: 102}"
    hundred.contract(version="1.1.0", quality=f"      - {rule}\n")
    hundred.put((200, 10))
    assert hundred.run().records == 102
    hundred.put((50, 11, "big", 99))
    assert hundred.run().extracted == 102
    hundred.put((201, 12))
    with pytest.raises(ValidationRefused, match="103 records"):
        hundred.run()
    hundred.drop("id = 201")
    hundred.mark(200, 12)
    assert hundred.run().records == 100


@pytest.mark.parametrize("why", ["gone", "damaged", "withdrawn", "rejects"])
def test_all_is_read_where_the_version_before_can_not_be_carried(hundred, why):
    folder = directory.version_path(hundred.home.store, DATASET, 2)
    part = folder / hundred.manifest(2).parts[2].path
    hundred.put((70, 3, "news", 1))
    told = {
        "gone": "version 2 is not whole in this home's store",
        "damaged": "part-00002.parquet has other bytes",
        "withdrawn": "version 2 is withdrawn",
        "rejects": "the rejects of version 3 are not in this home any more",
    }[why]
    if why == "gone":
        part.unlink()
    elif why == "damaged":
        part.write_bytes(part.read_bytes()[:-1] + b"!")
    elif why == "withdrawn":
        withdraw(hundred.home, DATASET, 2, "error")
    else:
        hundred.put((50, 3, "big", 99))
        hundred.run()
        (hundred.home.quarantine / DATASET / "3.parquet").unlink()
        hundred.put((71, 4, "news", 1))
    result = hundred.run()
    assert result.incremental["how"] == "full"
    assert told in result.incremental["why"]
    assert any(told in each for each in hundred.said)
    assert hundred.run(full=True).version is None


def test_without_a_key_rows_are_added_and_the_last_part_is_continued(people):
    people.contract(BY_APPENDING, key="", required=True)
    people.insert(*[(n, n) for n in range(50)])
    people.run()
    before = people.manifest(1)
    assert [part.records for part in before.parts] == [16, 16, 16, 2]
    people.insert(*[(n, n) for n in range(50, 70)])
    result = people.run()
    assert people.read(result) == ("append", 21)
    after = people.manifest(2)
    assert people.ids(2) == list(range(70))
    assert after.parts[:3] == before.parts[:3]
    people.insert((70, 69))
    assert people.ids(people.run().version)[-1] == 70
    assert people.run().version is None
    assert people.run(full=True).version is None


def test_without_a_key_rejects_are_known_by_their_watermark(people):
    people.contract(BY_APPENDING, key="", required=True)
    people.insert((1, 1), (2, 2, "big", 99), (3, None))
    assert people.run().quarantined == 2
    people.put((2, 2, "mended", 1), (4, 4))
    result = people.run()
    assert (result.quarantined, result.records) == (1, 3)
    people.put((4, 5, "big", 99))
    assert people.run().quarantined == 2
    people.insert((5, 6))
    assert people.run().quarantined == 2
    assert people.run().version is None
    assert people.run(full=True).version is None


def test_a_run_tells_what_it_read_in_json(hundred):
    hundred.put((70, 3, "news", 1))
    told = json.loads(json.dumps(hundred.run().to_json()))
    assert told["incremental"] == {
        "how": "key", "why": "", "read": 3, "deleted": 0,
        "carried": told["incremental"]["carried"], "written": 1,
    }  # fmt: skip
    assert told["extracted"] == 101


def test_a_dry_run_tells_the_whole_and_leaves_nothing(hundred):
    hundred.put((70, 3, "news", 1), (50, 3, "big", 99))
    result = hundred.run(dry_run=True)
    assert (result.records, result.quarantined, result.version) == (100, 1, None)
    assert directory.list_versions(hundred.home.store, DATASET) == [1, 2]
    assert hundred.run().records == 100


def test_where_parts_end_is_made_anew_from_a_damaged_file(hundred):
    path = Work(hundred.home, DATASET).ends
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    hundred.put((70, 3, "news", 1))
    assert hundred.run().version == 3
    path.unlink()
    hundred.put((70, 4, "newer", 1))
    assert hundred.run().version == 4
    assert hundred.run(full=True).version is None


def test_what_is_kept_of_where_parts_end_is_erased_with_the_records(hundred):
    assert (Work(hundred.home, DATASET).ends).is_file()
    folder = Work(hundred.home, DATASET).ends.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / ".people.4711.new").write_bytes(b"keys")  # as a run leaves it that was killed here
    (folder / ".people-of.4711.new").write_bytes(b"another dataset's")
    erase(hundred.home, Erasure(DATASET, (1, 2)))
    assert [path.name for path in folder.iterdir()] == [".people-of.4711.new"]
    hundred.drop("id = 50")
    result = hundred.run()
    assert result.incremental["why"] == "version 2 is not whole in this home's store"
    assert 50 not in hundred.ids(result.version)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "mark", "reject", "twice", "late", "null"]),
        st.integers(0, 60),
    ),
    max_size=12,
)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(CHANGES, min_size=2, max_size=4), st.integers(0, 2))
def test_any_history_says_what_reading_all_says(people, history, lateness):
    """Every change in time: then no run that reads all finds anything new."""
    people.drop()
    version = 1 + len(directory.list_versions(people.home.store, DATASET))
    people.contract({**BY_KEY, "lateness": 5 + lateness}, version=f"1.{version}.0")
    people.put(*[(n, 1) for n in range(0, 60, 2)])
    people.run()
    rev = 10
    people.put((61, rev))
    people.run()
    for changes in history:
        for what, key in changes:
            rev += 1
            if what == "mark":
                people.mark(key, rev)
            elif what == "reject":
                people.put((key, rev, "big", 99))
            elif what == "twice":
                people.put((key, rev, "one", 1))
                people.insert((key, rev, "two", 1))
            elif what == "late":
                people.put((key, rev - 3, "late", 1))
            else:
                people.put((key, None if what == "null" else rev, f"at {rev}", rev % 12))
        people.put((61, rev))
        result = people.run()
        assert result.incremental["how"] == "key"
        whole = people.run(full=True)
        assert whole.version is None
        assert (whole.records, whole.quarantined) == (result.records, result.quarantined)


@pytest.mark.parametrize(
    ("kind", "value", "lateness", "want"),
    [
        (pa.int64(), "10", Decimal("2.5"), "7"),
        (pa.int64(), "-9223372036854775807", Decimal(5), "-9223372036854775808"),
        (pa.uint64(), "3", Decimal(5), "0"),
        (pa.decimal128(5, 2), "1.00", Decimal("0.005"), "0.99"),
        (pa.decimal128(5, 2), "-999.00", Decimal(5), "-999.99"),
        (pa.date32(), "2026-03-01", dt.timedelta(days=1), "2026-02-28"),
        (pa.date32(), "0001-01-02", dt.timedelta(days=9), "0001-01-01"),
        (pa.timestamp("us"), "2026-03-01T00:00:00", dt.timedelta(microseconds=1),
         "2026-02-28T23:59:59.999999"),
        (pa.timestamp("us", "UTC"), "0001-01-02T00:00:00Z", dt.timedelta(days=9),
         "0001-01-01T00:00:00Z"),
        (pa.timestamp("us"), "2026-03-01T00:00:00", Decimal(0), "2026-03-01T00:00:00"),
    ],
)  # fmt: skip
def test_reading_begins_so_far_below_the_last_watermark(kind, value, lateness, want):
    got = incremental._less(pa.scalar(value).cast(kind), lateness)
    assert got.equals(pa.scalar(want).cast(kind))


def test_a_new_version_of_a_dataset_that_is_checked_against_makes_a_run_read_all(people):
    world = people.world
    world.fill("places", [("x", "a place")])
    assert pipeline.run(world.other, world.places()).version == 1
    people.contract()
    text = people.path.read_text()
    to = "faa.gov.example/places.yaml#/schema/places/properties/code"
    bound = f"{{name: name, logicalType: string, relationships: [{{id: known, to: '{to}'}}]}}"
    people.path.write_text(text.replace("{name: name, logicalType: string}", bound))
    people.put((1, 1), (2, 2, "y", 1))
    assert people.run().quarantined == 1
    assert people.run().incremental["how"] == "key"
    world.fill("places", [("x", "a place"), ("y", "another")])
    assert pipeline.run(world.other, world.places()).version == 2
    result = people.run()
    assert "has a new version" in result.incremental["why"]
    assert (result.records, result.quarantined) == (2, 0)
    assert people.run().incremental["how"] == "key"


def test_a_key_that_is_written_as_a_pseudonym_is_merged_by_it(people):
    make_key(people.home, "citizen")
    secret = KEY.replace("required: true", "required: true, customProperties: "
                         "[{property: zhixin.treatment, value: {pseudonym: citizen}}]")  # fmt: skip
    people.contract(key=secret)
    people.put(*[(n, 1) for n in range(40)], (40, 2), (41, 2, "big", 99))
    assert people.run().records == 41
    people.put((5, 3, "new", 1), (41, 3, "mended", 9), (6, 3, "big", 99))
    people.mark(7, 3)
    result = people.run()
    assert people.read(result) == ("key", 5)
    assert (result.records, result.quarantined) == (40, 1)
    assert people.run(full=True).version is None


COUNTED = "      - {metric: rowCount, mustBeGreaterThan: 50, name: enough}\n"
EXTERNAL = """      - {type: custom, engine: greatExpectations, name: usual, severity: warning,
         implementation: {expectation: expect_column_mean_to_be_between,
         arguments: {column: size, min_value: 0, max_value: 9}}}
"""


def test_the_second_engine_counts_what_was_read(hundred, opinions):
    hundred.contract(version="1.1.0", quality=COUNTED)
    assert hundred.run(report=True).records == opinions[-1]["rows"] == 101
    hundred.put((70, 3, "news", 1), (71, 3, "big", 99), (72, None, "twice", 1))
    hundred.insert((72, None, "twice", 2))
    result = hundred.run(report=True)
    assert hundred.read(result) == ("key", 6)
    assert (result.records, result.quarantined) == (99, 3)
    assert opinions[-1]["rows"] == 6
    assert opinions[-1]["not_checked"] == ["enough"]
    failed = {rule["rule"]: rule["failed"] for rule in opinions[-1]["rules"]}
    assert (failed["size.range"], failed["primary-key"]) == (1, 2)


def test_the_second_engine_may_have_nothing_to_count(hundred, opinions):
    hundred.drop("rev = 2")
    hundred.mark(50, 3)
    result = hundred.run(report=True)
    assert hundred.read(result) == ("key", 1)
    assert (result.version, result.records) == (3, 100)
    assert opinions[-1]["rows"] == 0


def test_a_rule_of_the_second_engine_alone_makes_a_run_read_all(hundred):
    hundred.contract(version="1.1.0", quality=EXTERNAL)
    hundred.run()
    hundred.put((70, 3, "news", 1))
    assert hundred.read(hundred.run()) == ("key", 3)
    hundred.put((71, 4, "news", 1))
    result = hundred.run(report=True)
    assert result.incremental["why"] == "the second engine counts usual over all records"
    assert result.records == 101


def test_the_command_says_what_was_read(hundred, zhixin):
    hundred.put((70, 3, "news", 1))
    ran = zhixin("run", hundred.path, "--home", hundred.home.path, "--json")
    assert "what is new since version 2 is read" in ran.err
    assert json.loads(ran.out)["incremental"]["how"] == "key"
    ran = zhixin("run", hundred.path, "--home", hundred.home.path, "--full", "--json")
    assert "all records are read: all records were asked for" in ran.err
    assert json.loads(ran.out)["version"] is None


@pytest.mark.slow
def test_on_an_object_store_unchanged_parts_are_carried_by_the_server(people, s3_url):
    people.home = people.home.save(replace(people.home.filed_settings(), store=s3_url))
    store = people.home.open_store()

    def parts(version):
        return parse_manifest(store.read(DATASET, version, "manifest.json")).parts

    people.put(*[(n, 1) for n in range(60)], (60, 2))
    assert people.run().version == 1
    people.put((30, 3, "new", 1), (31, 3, "big", 99))
    result = people.run()
    assert (result.records, result.quarantined) == (60, 1)
    assert result.incremental["carried"] > 3
    assert len({p.root for p in parts(1)} & {p.root for p in parts(2)}) >= len(parts(1)) - 2
    home = people.home
    place = store.place(DATASET, 2)
    assert verify(place, home.trust(), deep=True, ledger_copy=home.ledger_view()).records == 60
    assert people.run().version is None
    assert people.run(dry_run=True).records == 60
    assert people.run(full=True).version is None
    assert store.versions(DATASET) == [1, 2]


def test_a_rule_that_compares_shares_passes_over_versions_that_judged_some_records(hundred):
    hundred.put((50, 5, "big", 99))
    assert hundred.run().version == 3
    rule = ("{type: custom, engine: zhixin, name: n, implementation: "
            "{metric: failureRate, rule: size.range, mustNotJumpBy: 2, versions: 5}}")  # fmt: skip
    contract = hundred.contract({"watermark": "rev"}, version="1.1.0", quality=f"      - {rule}\n")
    state = hundred.home.ledger_client().sync()
    past = past_quality(hundred.home.open_store(), state, load_contract_file(contract.path))
    assert {each.version: "size.range" in each.failed for each in past} == {
        3: False, 2: False, 1: True,
    }  # fmt: skip


def test_without_a_key_records_have_the_order_of_their_watermark(people):
    people.contract(BY_APPENDING, key="", required=True)
    people.insert((1, 3), (2, 1), (3, 2))
    assert people.ids(people.run().version) == [2, 3, 1]
    people.insert((4, 5), (5, 4))
    assert people.ids(people.run().version) == [2, 3, 1, 5, 4]


def test_a_reject_whose_row_vanished_goes_with_a_version_of_a_run_that_reads_all(people):
    people.contract()
    people.put((1, 1), (2, 2, "x", 99), (3, 9))
    assert people.run().quarantined == 1
    people.drop("id = 2")
    whole = people.run(full=True)
    assert (whole.version, whole.quarantined, people.run().quarantined) == (None, 0, 1)
    forced = people.run(full=True, force=True)
    assert (forced.version, forced.quarantined, people.run().quarantined) == (2, 0, 0)
