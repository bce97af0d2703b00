"""NTSB with an Airflow of its own: the ledger's head starts it, nobody triggers anything.

The other agencies publish by their command lines. This Airflow is the stack of ``docker/`` without
Docker: each service's command goes through the image's entry point, on PostgreSQL.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from zhixin_gateway.airflow.plans import dag_id
from zhixin_gateway.airflow.services import PROGRAMS, AirflowServices

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

ROOT = Path(__file__).parents[2]
ENTRYPOINT = ROOT / "docker" / "entrypoint.sh"
# What differs outside of a container: places and ports, which the services choose themselves.
PLACES = {
    "AIRFLOW_HOME",
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
}


def compose() -> dict[str, Any]:
    """The stack as compose reads it."""
    text = (ROOT / "docker" / "compose.yaml").read_text()
    return yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text))


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Secrets as ``make-secrets.sh`` makes them."""
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([ROOT / "docker" / "make-secrets.sh", folder], check=True, timeout=30)
    return folder


@pytest.fixture(scope="module")
def database(postgresql_url: str, secrets: Path) -> str:
    """A database of Airflow's own in the tests' PostgreSQL; its host, port and name."""
    import sqlalchemy as sa

    url = sa.make_url(postgresql_url).set(drivername="postgresql+psycopg")
    password = (secrets / "database-password").read_text()
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE ROLE airflow LOGIN PASSWORD '{password}'"))
        connection.execute(sa.text("CREATE DATABASE airflow OWNER airflow"))
    engine.dispose()
    return f"{url.host}:{url.port}/airflow"


@pytest.fixture(scope="module")
def environment(
    world: Any, settings: Any, secrets: Path, database: str, tmp_path_factory: Any
) -> dict[str, str]:
    """The environment of compose's services, with places of this machine."""
    homes = tmp_path_factory.mktemp("own")
    (homes / world.ntsb).symlink_to(world.folder / world.ntsb)
    given = compose()["x-member"]["environment"]
    return {
        **{name: value for name, value in given.items() if name not in PLACES},
        **settings(homes),
        "ZHIXIN_MEMBER": world.ntsb,
        "ZHIXIN_DATABASE": database,
        "ZHIXIN_SECRETS": str(secrets),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def airflow(
    environment: dict[str, str], secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowServices]:
    """NTSB's Airflow, started once, by the image's entry point."""
    services = AirflowServices(
        home=tmp_path_factory.mktemp("airflow"),
        dags=ROOT / "dags",
        env=environment,
        command=[str(ENTRYPOINT)],
        migration=["init"],
        password=json.loads((secrets / "airflow-passwords.json").read_text())["steward"],
    )
    with services:
        yield services


@pytest.fixture(scope="module")
def first(airflow: AirflowServices, world: Any) -> dict[str, Any]:
    """The five are published elsewhere; nobody triggers anything here."""
    dag = dag_id(world.derived)
    airflow.wait_for_dags(dag)
    early = len(airflow.api.runs(dag))
    for dataset in sorted(world.five, key=lambda name: "flights" in name):
        assert world.publish(dataset) == 1
    run = airflow.api.wait_for_run(dag, timeout_s=200)
    return {"early": early, "run": run}


def test_the_ledgers_head_starts_the_derived_dataset_and_nobody_else_does(
    airflow: AirflowServices, world: Any, first: dict[str, Any]
) -> None:
    assert first["early"] == 0
    assert (first["run"]["state"], first["run"]["run_type"]) == ("success", "asset_triggered")
    assert {run["dag_id"] for run in airflow.api.runs()} == {dag_id(world.derived)}
    assert len(airflow.api.runs()) == 1
    assert world.versions(world.derived) == [1]


def test_an_airflow_over_one_home_knows_that_homes_datasets_only(
    airflow: AirflowServices, world: Any, first: dict[str, Any]
) -> None:
    assert set(airflow.api.dags()) == {"zhixin.start", dag_id(world.derived)}


def test_the_watchers_event_names_the_versions_that_it_saw(
    airflow: AirflowServices, world: Any, first: dict[str, Any]
) -> None:
    [event] = airflow.api.asset_events(f"{world.derived} inputs")
    assert event["extra"]["payload"]["inputs"] == dict.fromkeys(world.inputs, 1)


@pytest.fixture(scope="module")
def second(airflow: AirflowServices, world: Any, first: dict[str, Any]) -> dict[str, Any]:
    """One agency publishes its next version."""
    world.append(f"{world.bts}/flights", "2013-01-01T12:00:00Z,UA,11,N14228,MIA")
    assert world.publish(f"{world.bts}/flights") == 2
    return airflow.api.wait_for_run(dag_id(world.derived), timeout_s=200, count=2)


def test_another_agencys_next_version_leads_to_the_next_derived_one(
    airflow: AirflowServices, world: Any, second: dict[str, Any]
) -> None:
    assert second["state"] == "success"
    inputs = {item.dataset: item.version for item in world.manifest(world.derived, 2).inputs}
    assert inputs == dict(zip(world.inputs, (2, 1, 1), strict=True))
    assert len(airflow.api.runs(dag_id(world.derived))) == 2


def test_an_event_is_a_hint_and_the_ledger_says_what_is_newest(
    airflow: AirflowServices, world: Any, second: dict[str, Any]
) -> None:
    dag = dag_id(world.derived)
    lie = {"payload": {"inputs": {f"{world.bts}/flights": 99}}}
    airflow.api.emit(f"{world.derived} inputs", lie)
    run = airflow.api.wait_for_run(dag, timeout_s=200, count=3)
    verified = airflow.api.xcom(dag, run["dag_run_id"], "verify_inputs")
    assert {item["dataset"]: item["version"] for item in verified}[f"{world.bts}/flights"] == 2
    assert "flights@99; the ledger's newest that stands is 2" in airflow.api.log(
        dag, run["dag_run_id"], "verify_inputs"
    )
    assert world.versions(world.derived) == [1, 2]


def test_a_flipped_byte_stops_the_run_before_anything_is_derived(
    airflow: AirflowServices, world: Any, second: dict[str, Any]
) -> None:
    dag = dag_id(world.derived)
    part = world.folder / world.ntsb / "store" / world.bts / "flights/2/part-00000.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    try:
        run = airflow.api.wait_for_run(dag, airflow.api.trigger(dag), timeout_s=120)
    finally:
        part.write_bytes(whole)
    tasks = airflow.api.tasks(dag, run["dag_run_id"])
    assert run["state"] == "failed"
    assert (tasks["verify_inputs"]["state"], tasks["verify_inputs"]["try_number"]) == ("failed", 1)
    assert tasks["extract_and_validate"]["state"] == "upstream_failed"
    assert "part-00000.parquet" in airflow.api.log(dag, run["dag_run_id"], "verify_inputs")


def test_every_command_of_compose_is_one_that_was_started_here() -> None:
    ours = {
        name: service["command"]
        for name, service in compose()["services"].items()
        if name != "postgresql"
    }
    started = {program[0]: list(program) for program in PROGRAMS}
    # What the command line's services are called with is asked of it in the next test.
    ours = {name: command for name, command in ours.items() if command[0] != "zhixin"}
    assert ours == {**started, "init": ["init"]}


def test_compose_looks_for_a_dead_schedulers_tasks_as_soon_as_make_airflow(tmp_path: Path) -> None:
    name = "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL"
    here = AirflowServices(home=tmp_path, dags=tmp_path).settings()[name]
    assert float(here) <= 30  # five minutes, where nothing is said
    assert compose()["x-member"]["environment"][name] == here


def test_the_entry_point_makes_a_home_for_a_new_member(
    airflow: AirflowServices, environment: dict[str, str], tmp_path: Path
) -> None:
    env = {
        **environment,
        "ZHIXIN_HOMES": str(tmp_path),
        "ZHIXIN_MEMBER": "new.gov.example",
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
    }
    subprocess.run([ENTRYPOINT, "init"], env=env, check=True, timeout=120)
    assert (tmp_path / "new.gov.example" / "zhixin.toml").is_file()
    for name, said in (("gateway", "verify"), ("witness", "cosign"), ("ledger", "log")):
        command = [word for word in compose()["services"][name]["command"] if word != "--help"]
        told = subprocess.run(
            [ENTRYPOINT, *command, "--help"],
            env=env, check=True, timeout=60, capture_output=True, text=True,
        )  # fmt: skip
        assert said in told.stdout
