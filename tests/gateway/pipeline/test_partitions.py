"""Several workers on one version: the same records, rejects and counts as one reading gives."""

import json
import shutil
import threading
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import zhixin_gateway
from zhixin_errors import (
    ConfigError,
    PermanentSourceError,
    TransientSourceError,
    ValidationRefused,
    ZhixinError,
)
from zhixin_gateway import pipeline
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.gate.verify import verify
from zhixin_gateway.pipeline import joining, partitions, snapshots
from zhixin_gateway.pipeline.staging import Work
from zhixin_gateway.progress import NullProgress
from zhixin_gateway.stores.objectsink import ObjectSink

DATASET = "bts.gov.example/stops"
WARNS = """      - {type: custom, engine: zhixin, name: crowded, severity: warning,
         implementation: seats < 100}
"""
DAYS = ["2024-02-01", "2024-03-01", "2024-04-01"]


class Seen(NullProgress):
    """Counts what a run tells while its processes read."""

    records = 0

    def advance(self, records, size_bytes=0):
        self.records += records


def divided(contract, by="day", into=DAYS, immutable=True, extra=""):
    """Let a contract divide its source."""
    said = {"partition": by, "partitions": json.dumps(into)}
    said |= {"immutable": "true"} if immutable else {}
    lines = "".join(f"      - {{property: zhixin.{n}, value: {v}}}\n" for n, v in said.items())
    text = contract.read_text().replace(
        "  - {server: silo, type: custom}\n",
        f"  - server: silo\n    type: custom\n    customProperties:\n{lines}{extra}",
    )
    contract.write_text(text)
    return contract


def manifest_of(home, version):
    path = home.store / DATASET / str(version) / "manifest.json"
    return parse_manifest(path.read_bytes())


def rejects_of(home, version):
    path = home.quarantine / DATASET / f"{version}.parquet"
    return pq.read_table(path).to_pylist()


def records_of(home, version):
    rows = []
    for part in manifest_of(home, version).parts:
        rows += pq.read_table(home.store / DATASET / str(version) / part.path).to_pylist()
    return rows


def spoilt(some_stops):
    """Rows with rejects of every kind: a rule's, misfits, keys that come twice, nulls."""
    rows = sorted(some_stops)
    rows[10] = (*rows[10][:2], 501, "JFK")
    rows[1500] = (*rows[1500][:2], "many", "JFK")
    rows[2900] = (*rows[2900][:2], 9999, "JFK")
    rows[40] = rows[41][:2] + rows[40][2:]
    rows[2000] = rows[2001][:2] + rows[2000][2:]
    rows[7] = (None, *rows[7][1:])
    rows[8] = ("soon", *rows[8][1:])
    return rows


def in_spans(home, contract, *, report=False):
    staged = partitions.plan(home, contract, report=report)
    for index in reversed(range(len(staged["spans"]))):
        partitions.extract_partition(home, staged, index)
    return joining.join(home, staged)


def test_spans_make_the_same_version_as_one_reading(world, some_stops):
    world.fill("stops", spoilt(some_stops))
    whole = pipeline.run(world.owner, world.stops(quality=WARNS))
    assert whole.warned > 100
    contract = divided(world.stops(version="1.0.1", quality=WARNS))
    staged = in_spans(world.owner, contract)
    result = pipeline.notarise(world.owner, pipeline.write(world.owner, staged))
    assert result.version == 2
    assert (result.records, result.quarantined, result.warned) == (
        whole.records, whole.quarantined, whole.warned,
    )  # fmt: skip
    assert result.rules == whole.rules
    assert records_of(world.owner, 2) == records_of(world.owner, 1)
    assert len(manifest_of(world.owner, 2).parts) == len(DAYS) + 1


def test_rejects_have_their_reasons_and_positions_in_the_whole_extraction(world, some_stops):
    rows = spoilt(some_stops)
    world.fill("stops", rows)
    contract = divided(world.stops())
    result = pipeline.run(world.owner, contract)
    rejects = rejects_of(world.owner, 1)
    at = [row["_row"] for row in rejects]
    assert at == sorted(set(at))
    assert len(at) == result.quarantined
    span = {row[0]: sum(row[0] >= day for day in DAYS) for row in rows if row[0]} | {"soon": 0}
    order = sorted(rows, key=lambda row: (span.get(row[0], 0), row[0] or "", row[1]))
    expected = {str(row[2]): at for at, row in enumerate(order) if row[2] in (501, "many", 9999)}
    assert {row["seats"]: row["_row"] for row in rejects if row["seats"] in expected} == expected
    pipeline.run(world.owner, world.stops(version="1.0.1"), force=True)
    plain = [{**row, "_row": None} for row in rejects_of(world.owner, 2)]
    key = lambda row: json.dumps(row, sort_keys=True)  # noqa: E731
    assert sorted(({**row, "_row": None} for row in rejects), key=key) == sorted(plain, key=key)


@pytest.mark.slow
def test_a_run_of_several_processes_makes_the_same_parts_as_a_run_of_one(world, some_stops):
    world.fill("stops", spoilt(some_stops))
    contract = divided(world.stops())
    first = pipeline.run(world.owner, contract)
    seen = Seen()
    again = pipeline.run(world.owner, contract, workers=2, progress=seen)
    assert seen.records == again.extracted
    assert (first.version, again.version, again.standing) == (1, None, 1)
    forced = pipeline.run(world.owner, contract, workers=3, force=True)
    assert forced.version == 2
    one, two = (manifest_of(world.owner, version) for version in (1, 2))
    assert one.parts == two.parts  # carried over: bytes, salts and roots are the first run's
    assert rejects_of(world.owner, 1) == rejects_of(world.owner, 2)


def test_what_only_all_spans_together_tell_is_decided_before_a_part_has_its_name(world, some_stops):
    rows = sorted(some_stops)
    rows[5] = (*rows[5][:3], "ONE")
    rows[2995] = (*rows[2995][:3], "ONE")
    rows = [(*row[:3], f"P{at}") if row[3] != "ONE" else row for at, row in enumerate(rows)]
    world.fill("stops", rows)
    unique = "      - {type: library, metric: duplicateValues, name: one-place, mustBe: 0}\n"
    contract = world.stops()
    contract.write_text(contract.read_text().replace(
        "      - name: place\n        logicalType: string\n",
        "      - name: place\n        logicalType: string\n        unique: true\n",
    ))  # fmt: skip
    assert unique
    whole = pipeline.run(world.owner, contract)
    assert whole.quarantined == 2
    divided(contract).write_text(contract.read_text().replace("version: 1.0.0", "version: 1.0.1"))
    staged = in_spans(world.owner, contract, report=False)
    result = pipeline.notarise(world.owner, pipeline.write(world.owner, staged), force=True)
    assert (result.version, result.records, result.rules) == (2, whole.records, whole.rules)
    assert records_of(world.owner, 2) == records_of(world.owner, 1)
    assert [row["_reasons"] for row in rejects_of(world.owner, 2)] == [
        row["_reasons"] for row in rejects_of(world.owner, 1)
    ]
    assert {row["_row"] for row in rejects_of(world.owner, 2)} == {5, 2995}


def test_a_record_may_point_to_one_of_another_span_and_falls_with_it(world, some_stops):
    rows = [(*row[:3], "L03") for row in sorted(some_stops)]
    rows[3] = (*rows[3][:3], "X1")  # stands in the last span, and is sound
    rows[2998] = ("2024-05-28", "X1", 5, "L03")
    rows[4] = (*rows[4][:3], "X2")  # its target is rejected there, and what points to it too
    rows[2999] = ("2024-05-28", "X2", 9999, "L03")
    rows[1500] = ("2024-03-15", "X3", 5, "X2")
    rows[1501] = ("2024-03-15", "X4", 5, "X3")
    world.fill("stops", rows)
    own = """        relationships:
          - id: place-here
            to: bts.gov.example/stops.yaml#/schema/stops/properties/line
"""
    whole = pipeline.run(world.owner, world.stops(place=own))
    assert whole.quarantined == 4
    staged = in_spans(world.owner, divided(world.stops(version="1.0.1", place=own)), report=False)
    result = pipeline.notarise(world.owner, pipeline.write(world.owner, staged), force=True)
    assert (result.records, result.quarantined, result.rules) == (
        whole.records, whole.quarantined, whole.rules,
    )  # fmt: skip
    assert records_of(world.owner, 2) == records_of(world.owner, 1)
    one, two = (rejects_of(world.owner, version) for version in (1, 2))
    assert [row["_reasons"] for row in one] == [row["_reasons"] for row in two]


@pytest.fixture
def in_postgresql(world, some_stops, postgresql_url):
    """The owner's home with its stops in PostgreSQL, and a way to run SQL there."""
    import sqlalchemy as sa

    engine = sa.create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:", 1))

    def execute(*statements):
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    execute(
        "DROP TABLE IF EXISTS stops",
        "CREATE TABLE stops (day date, line text, seats int, place text)",
    )
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO stops VALUES (:a, :b, :c, :d)"),
            [dict(zip("abcd", row, strict=True)) for row in some_stops],
        )
    yield zhixin_gateway.Home.open(world.owner.path, sources={"silo": postgresql_url}), execute
    engine.dispose()


def test_spans_of_postgresql_are_read_at_one_moment_whatever_is_written_meanwhile(
    world, in_postgresql
):
    home, execute = in_postgresql
    contract = divided(world.stops(), immutable=False)
    staged = partitions.plan(home, contract)
    assert len(staged["spans"]) == 4
    work = Work(home, DATASET)
    with snapshots.holding(work, NullProgress()):
        partitions.extract_partition(home, staged, 0)
        execute("DELETE FROM stops WHERE seats > 100", "INSERT INTO stops VALUES "
                "('2024-01-01', 'new', 1, 'x'), ('2024-05-30', 'new', 1, 'x')")  # fmt: skip
        for index in (3, 2, 1):
            partitions.extract_partition(home, staged, index)
        joined = joining.join(home, staged)
    result = pipeline.notarise(home, pipeline.write(home, joined))
    assert (result.version, result.records) == (1, 3000)
    assert not any(row["line"] == "new" for row in records_of(home, 1))


def test_rejects_that_came_in_and_the_watermark_are_those_of_all_spans(world, some_stops):
    rows = spoilt(some_stops)
    world.fill("stops", rows)
    mark = "      - {property: zhixin.watermark, value: seats}\n"
    first = pipeline.run(world.owner, divided(world.stops(), extra=mark))
    rows[1500] = (*rows[1500][:2], 499, "JFK")  # of the second span and of the last one
    rows[2900] = (*rows[2900][:2], 500, "JFK")
    world.fill("stops", rows)
    second = pipeline.run(world.owner, divided(world.stops(), extra=mark))
    assert second.released == {"version": 1, "records": 2, "of": first.quarantined}
    assert [manifest_of(world.owner, version).source.watermark for version in (1, 2)] == [
        "140", "500",
    ]  # fmt: skip


def test_two_attempts_at_one_span_do_not_mix_and_one_counts(world, some_stops, monkeypatch):
    world.fill("stops", some_stops)
    staged = partitions.plan(world.owner, divided(world.stops()))
    settled, met = partitions._settled, []

    def meet(work, own, result, index):
        if index == 1 and not met:
            met.append("another attempt")
            met.append(partitions.extract_partition(world.owner, staged, 1))
        return settled(work, own, result, index)

    monkeypatch.setattr(partitions, "_settled", meet)
    answers = [partitions.extract_partition(world.owner, staged, index) for index in range(4)]
    assert answers[1] == met[1]
    work = Work(world.owner, DATASET)
    assert sorted(path.name for path in work.spans.iterdir()) == [f"{n:05d}" for n in range(4)]
    assert len(list((work.version / "attempts").iterdir())) == 4
    joined = joining.join(world.owner, staged)
    result = pipeline.notarise(world.owner, pipeline.write(world.owner, joined))
    assert (result.version, result.records) == (1, 3000)
    assert not (world.owner.store / DATASET / "1" / "attempts").exists()


def test_a_worker_that_comes_after_the_join_writes_nothing(world, some_stops):
    world.fill("stops", some_stops)
    staged = partitions.plan(world.owner, divided(world.stops()))
    for index in range(4):
        partitions.extract_partition(world.owner, staged, index)
    joined = joining.join(world.owner, staged)
    assert partitions.extract_partition(world.owner, staged, 2) == {"index": 2}
    assert joining.join(world.owner, staged) == joined  # its answer was lost, and it is asked again
    with pytest.raises(ConfigError, match="can't write"):  # one that had begun before the join
        Work(world.owner, DATASET).sink(None).below("attempts/late")
    assert pipeline.notarise(world.owner, pipeline.write(world.owner, joined)).version == 1


def test_a_join_waits_for_every_span_and_a_new_run_makes_old_workers_harmless(world, some_stops):
    world.fill("stops", some_stops)
    contract = divided(world.stops())
    staged = partitions.plan(world.owner, contract)
    for index in (0, 1, 3):
        partitions.extract_partition(world.owner, staged, index)
    with pytest.raises(ConfigError) as refused:
        joining.join(world.owner, staged)
    assert (refused.value.code, "extracted: 2" in refused.value.message) == (
        "partition-missing", True,
    )  # fmt: skip
    again = partitions.plan(world.owner, contract)
    for step in (partitions.extract_partition, lambda *a: joining.join(*a[:2])):
        with pytest.raises(ConfigError) as gone:
            step(world.owner, staged, 2)
        assert gone.value.code == "staging"
    assert partitions.extract_partition(world.owner, again, 2)["index"] == 2


def test_a_reading_that_is_replaced_while_all_are_joined_is_joined_again(
    world, some_stops, monkeypatch
):
    world.fill("stops", some_stops)
    staged = partitions.plan(world.owner, divided(world.stops()))
    for index in range(4):
        partitions.extract_partition(world.owner, staged, index)
    whole, refuse = Work(world.owner, DATASET).spans / "00001" / "result.json", joining.refuse
    told = whole.read_text()

    def replaced(*arguments):
        whole.write_text(told.replace("attempts/00001-", "attempts/00001-a-later-one-"))
        refuse(*arguments)

    monkeypatch.setattr(joining, "refuse", replaced)
    with pytest.raises(TransientSourceError) as late:
        joining.join(world.owner, staged)
    assert late.value.code == "partition-late"
    monkeypatch.undo()
    whole.write_text(told)
    joined = joining.join(world.owner, staged)
    assert pipeline.notarise(world.owner, pipeline.write(world.owner, joined)).records == 3000


def test_what_a_late_worker_of_an_earlier_run_left_counts_for_nothing(world, some_stops):
    world.fill("stops", some_stops)
    contract = divided(world.stops())
    staged = partitions.plan(world.owner, contract)
    partitions.extract_partition(world.owner, staged, 1)
    work = Work(world.owner, DATASET)
    left = world.folder / "left"
    shutil.copytree(work.spans / "00001", left)
    again = partitions.plan(world.owner, contract)
    shutil.copytree(left, work.spans / "00001")
    with pytest.raises(ConfigError, match="not extracted: 0, 1, 2, 3"):
        joining.join(world.owner, again)
    for index in range(4):
        partitions.extract_partition(world.owner, again, index)
    joined = joining.join(world.owner, again)
    assert pipeline.notarise(world.owner, pipeline.write(world.owner, joined)).records == 3000


def test_a_source_without_snapshots_is_divided_only_where_its_past_is_immutable(world, some_stops):
    world.fill("stops", some_stops)
    with pytest.raises(PermanentSourceError) as refused:
        partitions.plan(world.owner, divided(world.stops(), immutable=False))
    assert refused.value.code == "snapshot-unsupported"
    assert "immutable" in str(refused.value.hint)
    assert not Work(world.owner, DATASET).folder.exists()


def test_a_broken_critical_rule_leaves_the_rejects_and_nothing_else(world, some_stops):
    world.fill("stops", spoilt(some_stops))
    contract = divided(world.stops(quality=(
        "      - {type: library, metric: rowCount, name: few, mustBeLessThan: 2999,"
        " severity: critical}\n"
    )))  # fmt: skip
    with pytest.raises(ValidationRefused) as refused:
        pipeline.run(world.owner, contract, workers=1)
    assert refused.value.code == "critical-rule"
    assert refused.value.details["extracted"] == 3000
    assert not Work(world.owner, DATASET).folder.exists()
    assert (world.owner.quarantine / DATASET / "attempt.parquet").exists()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_whose_source_fails_leaves_nothing(world, some_stops, workers):
    world.fill("stops", some_stops)
    contract = divided(world.stops())
    missing = "physicalName: stops\n", "physicalName: queries/stops.sql\n"
    contract.write_text(contract.read_text().replace(*missing))
    query = world.owner.path / "queries" / "stops.sql"
    query.parent.mkdir()
    query.write_text("SELECT day, line, abs(-9223372036854775807 - (seats > 90)) AS seats, place "
                     "FROM stops")  # fmt: skip
    with pytest.raises(ZhixinError):
        pipeline.run(world.owner, contract, workers=workers)
    assert not Work(world.owner, DATASET).folder.exists()
    assert not list((world.owner.store / DATASET).glob(".*"))


def test_a_moment_that_nobody_holds_is_worth_a_retry(world, in_postgresql):
    home, _ = in_postgresql
    staged = partitions.plan(home, divided(world.stops(), immutable=False))
    work = Work(home, DATASET)
    with pytest.raises(TransientSourceError) as none:
        snapshots.held_snapshot(work, work.expect(staged), wait_s=0)
    assert none.value.code == "snapshot"
    with snapshots.holding(work, NullProgress()):
        held = snapshots.held_snapshot(work, work.expect(staged))
    wanted = partitions.Wanted(work.expect(staged), 0, held)
    with pytest.raises(TransientSourceError) as gone:
        partitions.at_moment(work, wanted, NullProgress())
    assert gone.value.code == "snapshot-gone"
    assert [path.name for path in work.spans.iterdir()] == ["snapshot.json"]


def test_a_moment_that_was_let_go_is_waited_for_by_nobody(world, in_postgresql):
    home, _ = in_postgresql
    staged = partitions.plan(home, divided(world.stops(), immutable=False))
    work = Work(home, DATASET)
    with snapshots.holding(work, NullProgress()):
        partitions.extract_partition(home, staged, 0)
        snapshots.release_snapshot(work, staged)
    with pytest.raises(ConfigError) as ended:
        partitions.extract_partition(home, staged, 1)
    assert ended.value.code == "staging"
    assert "clear its run from plan_spans on" in ended.value.hint


def test_spans_of_an_earlier_moment_are_read_anew_at_the_join(world, in_postgresql):
    home, execute = in_postgresql
    staged = partitions.plan(home, divided(world.stops(), immutable=False))
    work = Work(home, DATASET)
    with snapshots.holding(work, NullProgress()):
        for index in (0, 1):
            partitions.extract_partition(home, staged, index)
    execute("INSERT INTO stops VALUES ('2024-01-01', 'new', 1, 'x')")
    with snapshots.holding(work, NullProgress()):
        for index in (2, 3):
            partitions.extract_partition(home, staged, index)
        joined = joining.join(home, staged)
    result = pipeline.notarise(home, pipeline.write(home, joined))
    assert result.records == 3001
    assert sum(row["line"] == "new" for row in records_of(home, 1)) == 1


def test_the_holder_ends_with_the_join_or_when_it_is_let_go(world, in_postgresql):
    home, _ = in_postgresql
    contract = divided(world.stops(), immutable=False)
    for ending in ("join", "release", "anew"):
        staged = partitions.plan(home, contract)
        work = Work(home, DATASET)
        holder = threading.Thread(
            target=snapshots.hold_snapshot, args=(home, staged), kwargs={"every_s": 0.05}
        )
        holder.start()
        snapshots.held_snapshot(work, work.expect(staged))
        if ending == "join":
            for index in range(4):
                partitions.extract_partition(home, staged, index)
            joining.join(home, staged)
        elif ending == "release":
            snapshots.release_snapshot(work, staged)
        else:
            staged = partitions.plan(home, contract)
        holder.join(20)
        assert not holder.is_alive(), ending
    with pytest.raises(TransientSourceError, match="was held for"):
        snapshots.hold_snapshot(home, staged, most_s=0)


def test_a_holder_whose_session_the_database_ended_says_so(world, in_postgresql, monkeypatch):
    home, execute = in_postgresql
    staged = partitions.plan(home, divided(world.stops(), immutable=False))
    work, met = Work(home, DATASET), []

    def hold():
        with pytest.raises(TransientSourceError) as gone:
            snapshots.hold_snapshot(home, staged, every_s=0.05)
        met.append(gone.value.code)

    monkeypatch.setattr(snapshots, "_LOOK_S", 0.2)
    holder = threading.Thread(target=hold)
    holder.start()
    snapshots.held_snapshot(work, work.expect(staged))
    execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE state = 'idle in transaction' AND pid <> pg_backend_pid()"
    )
    holder.join(20)
    assert met == ["snapshot-gone"]
    with pytest.raises(TransientSourceError) as none:  # its name is not handed out any more
        snapshots.held_snapshot(work, work.expect(staged), wait_s=0)
    assert none.value.code == "snapshot"


@pytest.mark.parametrize("into", [2, 5])
def test_a_number_of_spans_is_made_of_the_bounds_that_the_database_tells(
    world, some_stops, in_postgresql, into
):
    home, _ = in_postgresql
    world.fill("stops", some_stops)
    for each, immutable in ((home, False), (world.owner, True)):
        staged = partitions.plan(each, divided(world.stops(), into=into, immutable=immutable))
        assert len(staged["spans"]) == into
        first, last = staged["spans"][0], staged["spans"][-1]
        assert (first["low"], first["nulls"], last["high"]) == (None, True, None)
        assert all("2024-01-01" < span["low"] < "2024-05-30" for span in staged["spans"][1:])


@pytest.mark.slow
def test_parts_go_straight_to_an_object_store_and_get_their_names_there(
    world, some_stops, s3_url, monkeypatch
):
    world.fill("stops", spoilt(some_stops))
    home = world.owner.save(replace(world.owner.filed_settings(), store=s3_url))
    contract = divided(world.stops())
    staged = partitions.plan(home, contract)
    for index in range(4):
        partitions.extract_partition(home, staged, index)
    work, died = Work(home, DATASET), []
    rename = ObjectSink.rename

    def dying(self, old, new):
        if new == "part-00002.parquet" and not died:
            died.append(new)
            raise KeyboardInterrupt
        rename(self, old, new)

    monkeypatch.setattr(ObjectSink, "rename", dying)
    with pytest.raises(KeyboardInterrupt):
        joining.join(home, staged)
    assert work.step == "joined"
    joined = joining.join(home, staged)
    result = pipeline.notarise(home, pipeline.write(home, joined))
    assert result.version == 1
    store = home.open_store()
    found = parse_manifest(store.read(DATASET, 1, "manifest.json"))
    assert [part.path for part in found.parts] == [f"part-{n:05d}.parquet" for n in range(4)]
    assert set(store.sizes(DATASET, 1)) == {
        *(part.path for part in found.parts),
        "contract.yaml", "manifest.json", "statement.json", "receipt.tlog-proof",
    }  # fmt: skip
    assert verify(store.place(DATASET, 1), home.trust(), deep=True).ok
    assert store.objects.below(DATASET).listed()[0].name == "1"
    assert len(store.objects.below(DATASET).listed()) == 1
    assert pipeline.run(home, contract).version is None  # what is the same is carried, not copied


@pytest.mark.parametrize(
    "step",
    [
        ["zhixin_gateway.pipeline.partitions", "", "_settled", "before", 2],
        ["zhixin_gateway.pipeline.partitions", "", "_settled", "after", 3],
        ["zhixin_gateway.pipeline.joining", "", "_joined", "after", 1],
        ["zhixin_gateway.datasets.sinks", "LocalSink", "rename", "after", 4],
    ],
    ids=lambda step: f"{step[2]}-{step[3]}",
)
def test_a_run_that_is_killed_is_run_again_and_leaves_one_version(world, some_stops, runner, step):
    world.fill("stops", spoilt(some_stops))
    contract = divided(world.stops())
    assert runner(world.owner, contract, step) == -9
    assert runner(world.owner, contract) == 0
    assert sorted(path.name for path in (world.owner.store / DATASET).iterdir()) == ["1"]
    files = {path.name for path in (world.owner.store / DATASET / "1").iterdir()}
    assert {name for name in files if name.startswith("part-")} == {
        f"part-{number:05d}.parquet" for number in range(4)
    }
    assert len(files) == 4 + 4
