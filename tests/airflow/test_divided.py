"""Two workers of Airflow on one version: one is killed, then the join, then who holds the moment.

Airflow's own scheduler runs a dataset that its contract divides into four spans of a PostgreSQL
table, three tasks at once: two that read and one that holds the snapshot. The tests are one story;
the last is of a dataset of the same agency that is incremental.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from zhixin_errors import ConfigError
from zhixin_gateway.airflow.plans import dag_id
from zhixin_gateway.airflow.rest import wait_until
from zhixin_gateway.airflow.services import AirflowServices
from zhixin_gateway.datasets.manifest import Manifest, parse_manifest
from zhixin_gateway.datasets.records import version_root
from zhixin_gateway.datasets.sinks import LocalSink
from zhixin_gateway.datasets.types import schema_fields
from zhixin_gateway.datasets.writer import VersionWriter
from zhixin_gateway.founding import found
from zhixin_gateway.gate.verify import verify
from zhixin_gateway.home import Home, create_home
from zhixin_gateway.opening import open_version

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

MEMBER = "cbp.gov.example"
DATASET = f"{MEMBER}/crossings"
DAG = dag_id(DATASET)
COUNT = 400_000
SPANS = [100_000, 200_000, 300_000]
CONTRACT = f"""apiVersion: v3.1.0
kind: DataContract
id: {DATASET}
version: 1.0.0
status: active
servers:
  - server: border
    type: custom
    customProperties:
      - {{property: zhixin.partition, value: id}}
      - {{property: zhixin.partitions, value: {SPANS}}}
schema:
  - name: crossings
    physicalName: crossings
    logicalType: object
    properties:
      - {{name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}}
      - {{name: port, logicalType: string}}
      - {{name: weight, logicalType: number, logicalTypeOptions: {{minimum: 0}}}}
"""
PERMITS = f"{MEMBER}/permits"
PERMITS_CONTRACT = f"""apiVersion: v3.1.0
kind: DataContract
id: {PERMITS}
version: 1.0.0
status: active
servers:
  - server: border
    type: custom
    customProperties:
      - {{property: zhixin.watermark, value: rev}}
      - {{property: zhixin.incremental, value: key}}
schema:
  - name: permits
    physicalName: permits
    logicalType: object
    properties:
      - {{name: id, logicalType: integer, primaryKey: true, primaryKeyPosition: 1, required: true}}
      - {{name: rev, logicalType: integer, logicalTypeOptions: {{minimum: 0}}}}
"""
SCHEMA = pa.schema([("id", pa.int64()), ("port", pa.string()), ("weight", pa.float64())])
# Appended to the DAG file: a task dies by SIGKILL at a place that the test names, once.
KILLING = """
import os, signal, time
from pathlib import Path

from airflow.sdk import get_parsing_context

_MARKS = Path(os.environ["KILLS"])


def _kill_once(place):
    if (_MARKS / place).exists():
        (_MARKS / place).unlink()
        os.kill(os.getpid(), signal.SIGKILL)


if get_parsing_context().task_id == "extract_span":
    from zhixin_gateway.pipeline import partitions
    from zhixin_gateway.pipeline.intake import Intake

    _at_moment, _take, _span = partitions.at_moment, Intake.take, []

    def _watched(work, wanted, progress):
        _span[:] = [wanted.index]
        while wanted.index and (_MARKS / "holder").exists():
            time.sleep(0.1)  # only the first span is read before the holder dies
        return _at_moment(work, wanted, progress)

    def _taken(self, extracted):
        _take(self, extracted)
        _kill_once(f"span {_span[0]}")

    partitions.at_moment, Intake.take = _watched, _taken

if get_parsing_context().task_id == "join_spans":
    from zhixin_gateway.pipeline import joining

    _name = joining._name

    def _named(work, named):
        if (_MARKS / "join").exists():
            for old, new in named[:2]:
                work.sink(None).rename(old, new)
        _kill_once("join")  # half of the parts have their names
        _name(work, named)

    joining._name = _named

if get_parsing_context().task_id == "hold_snapshot":
    from zhixin_gateway.pipeline import snapshots

    _is_wanted = snapshots._is_wanted

    def _asked(work, staged):
        if (work.spans / "00000" / "result.json").exists():
            _kill_once("holder")
        return _is_wanted(work, staged)

    snapshots._is_wanted = _asked
"""


@pytest.fixture(scope="module")
def sql(postgresql_url: str) -> Iterator[Callable[..., None]]:
    """Runs statements in the agency's database, which has its table of crossings."""
    import sqlalchemy as sa

    url = sa.make_url(postgresql_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url)

    def execute(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    execute(
        "DROP TABLE IF EXISTS crossings",
        "CREATE TABLE crossings (id bigint PRIMARY KEY, port text, weight float8)",
        "INSERT INTO crossings SELECT n, 'port ' || mod(n, 97), mod(n, 1009) "
        f"FROM generate_series(1, {COUNT}) AS n",
        "UPDATE crossings SET weight = -1 WHERE mod(id, 50000) = 7",
        "DROP TABLE IF EXISTS permits",
        "CREATE TABLE permits (id bigint PRIMARY KEY, rev bigint)",
        "INSERT INTO permits SELECT n, n FROM generate_series(1, 9) AS n",
    )
    yield execute
    engine.dispose()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The agency's home, with its contracts; where the source is, Airflow alone knows."""
    made = create_home(tmp_path_factory.mktemp("homes") / MEMBER, MEMBER, operator=True)
    (made.path / "contracts" / "crossings.odcs.yaml").write_text(CONTRACT)
    (made.path / "contracts" / "permits.odcs.yaml").write_text(PERMITS_CONTRACT)
    return found(made, [made], "ledger.gov.example/divided")[0]


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of marks: a file named after a place kills the task that comes there, once."""
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def airflow(
    home: Home,
    sql: Any,
    postgresql_url: str,
    kills: Path,
    settings: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[AirflowServices]:
    """One Airflow that runs three tasks at once."""
    dags = tmp_path_factory.mktemp("dags")
    ours = (Path(__file__).parents[2] / "dags" / "zhixin_dags.py").read_text()
    (dags / "zhixin_dags.py").write_text(ours + KILLING)
    env = {
        **settings(home.path),
        "KILLS": str(kills),
        "AIRFLOW_CONN_BORDER": postgresql_url.replace("postgresql:", "postgres:", 1),
    }
    services = AirflowServices(tmp_path_factory.mktemp("airflow"), dags, env, parallelism=3)
    with services:
        services.wait_for_dags(DAG, dag_id(PERMITS))
        yield services


def tries(airflow: AirflowServices, run_id: str) -> dict[str, int]:
    """Wait for a run to succeed; how often each task was tried that was not done at once."""
    run = airflow.api.wait_for_run(DAG, run_id, timeout_s=300)
    tasks = airflow.api.instances(DAG, run_id)
    assert run["state"] == "success", {each["task_id"]: each["state"] for each in tasks}
    names = {
        f"{each['task_id']} {each['map_index']}"
        if each["map_index"] >= 0
        else each["task_id"]: each
        for each in tasks
    }
    return {name: each["try_number"] for name, each in names.items() if each["try_number"] > 1}


def manifest(home: Home, version: int, dataset: str = DATASET) -> Manifest:
    return parse_manifest((home.store / dataset / str(version) / "manifest.json").read_bytes())


def records(home: Home, version: int) -> pa.Table:
    """The version's records, as the gate gives them after a deep verification."""
    path = home.store / DATASET / str(version)
    assert verify(path, home.trust(), deep=True).ok
    return open_version(home, DATASET, version).reader().read_all()


def single_worker(home: Home, version: int, folder: Path, expected: pa.Table) -> bytes:
    """The root that one writer comes to, span after span, with the manifest's salt keys."""
    keys = iter([part.salt_key for part in manifest(home, version).parts])
    roots = []
    for low, high in pairwise([0, *SPANS, 10**9]):
        mask = pc.and_(pc.greater_equal(expected["id"], low), pc.less(expected["id"], high))
        place = folder / str(low)
        place.mkdir()
        with VersionWriter(
            LocalSink(place), SCHEMA, ["id"], new_salt_key=lambda _: next(keys)
        ) as writer:
            for batch in expected.filter(mask).to_batches():
                writer.write(batch)
            roots += [(part.records, part.root) for part in writer.finish()]
    assert next(keys, None) is None
    return version_root(schema_fields(SCHEMA), roots)


def expected(sql: Any, more: tuple[tuple[int, str, float], ...] = ()) -> pa.Table:
    """What the version must hold: all crossings but those of a negative weight."""
    ids = [n for n in range(1, COUNT + 1) if n % 50_000 != 7]
    rows = [(n, f"port {n % 97}", float(n % 1009)) for n in ids]
    columns = list(zip(*sorted([*rows, *more]), strict=True))
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


def test_a_worker_that_is_killed_costs_its_span_and_the_version_is_one_workers(
    airflow: AirflowServices, home: Home, kills: Path, sql: Any, tmp_path: Path
) -> None:
    (kills / "span 2").touch()
    tasks = airflow.api.request("GET", f"/api/v2/dags/{DAG}/tasks")["tasks"]
    downstream = {task["task_id"]: set(task["downstream_task_ids"]) for task in tasks}
    assert downstream["plan_spans"] == {"extract_span", "join_spans", "hold_snapshot", "let_go"}
    assert downstream["join_spans"] == {"write", "second_opinion", "let_go"}
    assert {task["task_id"]: task["trigger_rule"] for task in tasks}["let_go"] == "all_done"
    assert tries(airflow, airflow.api.trigger(DAG)) == {"extract_span 2": 2}
    found = manifest(home, 1)
    assert [part.path for part in found.parts] == [f"part-{n:05d}.parquet" for n in range(4)]
    assert sorted(path.name for path in (home.store / DATASET).iterdir()) == ["1"]
    assert len(list((home.store / DATASET / "1").iterdir())) == 4 + 4
    assert records(home, 1).equals(expected(sql))
    assert found.quarantined == COUNT // 50_000
    assert single_worker(home, 1, tmp_path, expected(sql)) == found.root
    assert not home.staging.joinpath(DATASET).exists()


def test_a_join_that_is_killed_among_the_names_goes_on(
    airflow: AirflowServices, home: Home, kills: Path, sql: Any, tmp_path: Path
) -> None:
    more = ((COUNT + 1, "new", 1.0),)
    sql(f"INSERT INTO crossings VALUES ({COUNT + 1}, 'new', 1)")
    (kills / "join").touch()
    assert tries(airflow, airflow.api.trigger(DAG)) == {"join_spans": 2}
    before, found = manifest(home, 1), manifest(home, 2)
    assert found.parts[:3] == before.parts[:3]  # carried over as they were
    assert records(home, 2).equals(expected(sql, more))
    assert single_worker(home, 2, tmp_path, expected(sql, more)) == found.root


def test_where_the_holder_is_killed_every_span_is_of_the_later_moment(
    airflow: AirflowServices, home: Home, kills: Path, sql: Any, tmp_path: Path
) -> None:
    (kills / "holder").touch()
    run = airflow.api.trigger(DAG)
    gone = lambda: None if (kills / "holder").exists() else True  # noqa: E731
    wait_until("the holder to be killed", gone, 120, every_s=0.1)
    sql("INSERT INTO crossings VALUES (0, 'newer', 2)")  # in the span that was read already
    tried = tries(airflow, run)
    assert tried["hold_snapshot"] == 2
    assert "extract_span 0" not in tried
    more = ((0, "newer", 2.0), (COUNT + 1, "new", 1.0))
    assert records(home, 3).equals(expected(sql, more))
    assert single_worker(home, 3, tmp_path, expected(sql, more)) == manifest(home, 3).root
    assert sorted(path.name for path in (home.store / DATASET).iterdir()) == ["1", "2", "3"]


def test_an_incremental_dataset_reads_what_is_new_and_all_where_that_is_asked_for(
    airflow: AirflowServices, home: Home, sql: Any
) -> None:
    dag = dag_id(PERMITS)

    def published(version: int, **conf: Any) -> tuple[list[int], int]:
        """The version's records by id, and how many records the run looked at."""
        run = airflow.api.wait_for_run(dag, airflow.api.trigger(dag, **conf), timeout_s=300)
        assert run["state"] == "success"
        quality = {item.rule: item.checked for item in manifest(home, version, PERMITS).quality}
        ids = open_version(home, PERMITS, version).to_arrow(["id"])["id"].to_pylist()
        return ids, quality["rev.range"]

    assert published(1) == ([*range(1, 10)], 9)
    sql("DELETE FROM permits WHERE id = 1", "INSERT INTO permits VALUES (10, 10)")
    assert published(2) == ([*range(1, 11)], 2)  # no watermark tells of a row that is gone
    assert published(3, full=True) == ([*range(2, 11)], 9)
    with pytest.raises(ConfigError, match=r"40[0-9]|422"):
        airflow.api.trigger(dag, full="perhaps")
