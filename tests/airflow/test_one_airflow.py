"""``make airflow``: one Airflow over four homes, from nothing to NTSB's version by one trigger.

Airflow's own scheduler runs everything; what happened is counted through its REST API. The tests
of this file are one story, in the order of its rounds.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from zhixin_gateway.airflow.plans import dag_id
from zhixin_gateway.airflow.rest import wait_until
from zhixin_gateway.airflow.services import AirflowServices, free_port

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

START = "zhixin.start"
# Appended to the DAG file: a worker dies by SIGKILL at a place that the test names, once.
KILLING = """
import os, signal
from pathlib import Path

from airflow.sdk import get_parsing_context

import connectors
import schemas


def _kill_once(place):
    mark = Path(os.environ["KILLS"]) / place
    if mark.exists():
        mark.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _patched(holder, name, place, after):
    real = getattr(holder, name)

    def patched(*args, **kwargs):
        if not after:
            _kill_once(place)
        answer = real(*args, **kwargs)
        if after:
            _kill_once(place)
        return answer

    setattr(holder, name, patched)


assert (connectors.MINE, schemas.MINE) == ("connectors", "schemas")
if get_parsing_context().task_id in ("extract_and_validate", "notarise"):
    from zhixin_gateway.pipeline.intake import Intake
    from zhixin_ledger.client import LedgerClient

    here = get_parsing_context().dag_id
    _patched(Intake, "take", f"{here} extracting", after=True)
    if get_parsing_context().task_id == "notarise":
        _patched(LedgerClient, "submit", f"{here} before submit", after=False)
        _patched(LedgerClient, "submit", f"{here} after submit", after=True)
"""


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agency's own DAG folder: our file, and packages named as rooms of ours are."""
    folder = tmp_path_factory.mktemp("dags")
    ours = (Path(__file__).parents[2] / "dags" / "zhixin_dags.py").read_text()
    (folder / "zhixin_dags.py").write_text(ours + KILLING)
    for name in ("connectors", "schemas"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"MINE = {name!r}\n")
    return folder


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of marks: a file named after a DAG and a place kills its worker there, once."""
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def server(
    world: Any, dags: Path, kills: Path, settings: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """What ``make airflow`` starts, with what it printed."""
    log = tmp_path_factory.mktemp("local") / "stderr"
    command = [sys.executable, "-m", "zhixin_gateway.airflow.local", str(world.folder)]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--dags", dags, "--port", str(free_port())],
            env={**os.environ, **settings(world.folder), "KILLS": str(kills)},
            stderr=stderr,
        )
    try:

        def printed() -> dict[str, str] | None:
            assert process.poll() is None, log.read_text()
            text = (
                r"at (?P<url>http://127.0.0.1:\d+)\nlogin: steward, password: (?P<password>\S+)\n"
            )
            found = re.search(text, log.read_text())
            return found.groupdict() if found else None

        told = wait_until("the address and the login", printed, 300, every_s=0.5)
        yield {**told, "process": process, "log": log}
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def airflow(server: dict[str, Any], world: Any, dags: Path) -> AirflowServices:
    """A handle on the running Airflow."""
    handle = AirflowServices(
        home=world.folder / "airflow",
        dags=dags,
        port=int(server["url"].rpartition(":")[2]),
        password=server["password"],
    )
    handle.wait_for_dags(START, *map(dag_id, [*world.five, world.derived]))
    return handle


def play_round(airflow: AirflowServices, derived: str) -> dict[str, Any]:
    """Trigger the start DAG once, and wait until the derived dataset's run has ended."""
    api = airflow.api
    before = len(api.runs(dag_id(derived)))
    events = len(api.asset_events())
    api.trigger(START)
    run = api.wait_for_run(dag_id(derived), timeout_s=400, count=before + 1)
    told = [event for event in api.asset_events()[events:] if event["name"] != "zhixin start"]
    return {"run": run, "events": told}


@pytest.fixture(scope="module")
def first(airflow: AirflowServices, world: Any) -> dict[str, Any]:
    """From nothing, by one trigger."""
    return play_round(airflow, world.derived)


def test_one_trigger_leads_from_nothing_to_the_derived_version(
    airflow: AirflowServices, world: Any, first: dict[str, Any]
) -> None:
    assert first["run"]["state"] == "success"
    assert first["run"]["run_type"] == "asset_triggered"
    runs = Counter(run["dag_id"] for run in airflow.api.runs())
    assert runs == {START: 1, **{dag_id(name): 1 for name in [*world.five, world.derived]}}
    assert all(world.versions(name) == [1] for name in [*world.five, world.derived])


def test_a_new_versions_event_says_dataset_version_root_and_index(
    world: Any, first: dict[str, Any]
) -> None:
    told = {event["name"]: event["extra"] for event in first["events"]}
    assert set(told) == {*world.five, world.derived}
    for name, extra in told.items():
        manifest = world.manifest(name, 1)
        assert extra == {
            "dataset": name,
            "version": 1,
            "root": manifest.root.hex(),
            "index": world.index(name, 1),
        }


def test_the_manifest_names_the_run_that_made_it(world: Any, first: dict[str, Any]) -> None:
    run = world.manifest(world.derived, 1).run
    expected = f"{dag_id(world.derived)}/{first['run']['dag_run_id']}"
    assert (run.orchestrator, run.id) == ("airflow", expected)


def test_the_derived_run_verifies_its_inputs_before_it_derives(
    airflow: AirflowServices, world: Any, first: dict[str, Any]
) -> None:
    run = first["run"]["dag_run_id"]
    tasks = airflow.api.tasks(dag_id(world.derived), run)
    verified = airflow.api.xcom(dag_id(world.derived), run, "verify_inputs")
    assert [item["dataset"] for item in verified] == list(world.inputs)
    assert tasks["verify_inputs"]["end_date"] < tasks["extract_and_validate"]["start_date"]
    assert tasks["second_opinion"]["end_date"] < tasks["notarise"]["start_date"]


@pytest.fixture(scope="module")
def second(
    airflow: AirflowServices, world: Any, kills: Path, first: dict[str, Any]
) -> dict[str, Any]:
    """Three of five sources changed, and three workers are killed at their work."""
    world.append(f"{world.noaa}/weather", "2013-01-01T13:00:00Z,9.2")
    world.append(f"{world.faa}/planes", "N804JB,200")
    world.append(f"{world.bts}/airlines", "B6,JetBlue")
    (kills / f"{world.noaa}.weather extracting").touch()
    (kills / f"{world.faa}.planes before submit").touch()
    (kills / f"{world.bts}.airlines after submit").touch()
    return play_round(airflow, world.derived)


@pytest.mark.parametrize(
    ("dataset", "task"),
    [
        ("noaa.gov.example/weather", "extract_and_validate"),
        ("faa.gov.example/planes", "notarise"),
        ("bts.gov.example/airlines", "notarise"),
    ],
)
def test_a_killed_task_is_tried_again_and_leaves_one_version(
    airflow: AirflowServices, world: Any, second: dict[str, Any], dataset: str, task: str
) -> None:
    run = airflow.api.runs(dag_id(dataset))[-1]
    tasks = airflow.api.tasks(dag_id(dataset), run["dag_run_id"])
    assert (run["state"], tasks[task]["state"], tasks[task]["try_number"]) == ("success",) * 2 + (
        2,
    )
    assert world.versions(dataset) == [1, 2]
    assert world.stated(dataset) == 2
    assert world.leftovers(dataset) == []


def test_a_round_in_which_some_changed_starts_the_derived_dataset_once(
    airflow: AirflowServices, world: Any, second: dict[str, Any]
) -> None:
    changed = {f"{world.noaa}/weather", f"{world.faa}/planes", f"{world.bts}/airlines"}
    names = Counter(event["name"] for event in second["events"])
    quiet = {f"{name} unchanged" for name in set(world.five) - changed}
    assert names == dict.fromkeys([*changed, *quiet, world.derived], 1)
    assert len(airflow.api.runs(dag_id(world.derived))) == 2
    inputs = {item.dataset: item.version for item in world.manifest(world.derived, 2).inputs}
    assert inputs == dict(zip(world.inputs, (1, 2, 2), strict=True))


def test_the_ledger_is_sound_after_the_killings(world: Any, second: dict[str, Any]) -> None:
    with world.home(world.bts).ledger_client() as client:
        client.sync()
        assert client.fsck().ok


@pytest.fixture(scope="module")
def alone(airflow: AirflowServices, world: Any, second: dict[str, Any]) -> dict[str, Any]:
    """The derived dataset by hand, and nothing changed."""
    events = len(airflow.api.asset_events())
    run_id = airflow.api.trigger(dag_id(world.derived))
    run = airflow.api.wait_for_run(dag_id(world.derived), run_id, timeout_s=120)
    return {"run": run, "events": airflow.api.asset_events()[events:]}


def test_a_run_without_change_publishes_nothing_and_tells_of_no_version(
    airflow: AirflowServices, world: Any, alone: dict[str, Any]
) -> None:
    tasks = airflow.api.tasks(dag_id(world.derived), alone["run"]["dag_run_id"])
    assert alone["run"]["state"] == "success"
    assert [event["name"] for event in alone["events"]] == [f"{world.derived} unchanged"]
    assert (tasks["notarise"]["state"], tasks["tell_unchanged"]["state"]) == ("skipped", "success")
    assert world.versions(world.derived) == [1, 2]


def test_what_a_person_must_mend_fails_at_the_first_try(
    airflow: AirflowServices, world: Any, alone: dict[str, Any]
) -> None:
    dataset = f"{world.bts}/airlines"
    table = world.table(dataset)
    text = table.read_text()
    table.write_text(text.replace("carrier,name", "carrier,title", 1))
    try:
        run = airflow.api.wait_for_run(
            dag_id(dataset), airflow.api.trigger(dag_id(dataset)), timeout_s=60
        )
    finally:
        table.write_text(text)
    tasks = airflow.api.tasks(dag_id(dataset), run["dag_run_id"])
    assert run["state"] == "failed"
    assert tasks["extract_and_validate"]["try_number"] == 1
    assert tasks["extract_and_validate"]["max_tries"] > 1
    said = airflow.api.log(dag_id(dataset), run["dag_run_id"], "extract_and_validate")
    assert "PermanentSourceError" in said
    assert "mend the source, or publish a new version of the contract" in said


def test_what_may_pass_by_itself_is_tried_again(
    airflow: AirflowServices, world: Any, alone: dict[str, Any]
) -> None:
    dataset = f"{world.bts}/airlines"
    api = airflow.api
    with world.home(world.bts).lock(dataset):
        run_id = api.trigger(dag_id(dataset))
        airflow.wait_for_try(dag_id(dataset), run_id, "extract_and_validate", 1, timeout_s=60)
    run = api.wait_for_run(dag_id(dataset), run_id, timeout_s=60)
    tasks = api.tasks(dag_id(dataset), run_id)
    assert run["state"] == "success"
    assert tasks["extract_and_validate"]["try_number"] >= 2


def test_fc_53_many_runs_over_an_unchanged_table_tell_of_one_version_at_most(
    airflow: AirflowServices, world: Any
) -> None:
    """Field case 53: what a backfill does, and nobody downstream is started by it.

    Assets start this DAG, so Airflow itself backfills it with no dates: its runs come by hand.
    """
    dataset, api = f"{world.bts}/airlines", airflow.api
    before, events = world.versions(dataset), len(api.asset_events())
    started = len(api.runs(dag_id(world.derived)))
    run_ids = [api.trigger(dag_id(dataset)) for _ in range(4)]
    runs = [api.wait_for_run(dag_id(dataset), run_id, timeout_s=300) for run_id in run_ids]
    assert [run["state"] for run in runs] == ["success"] * 4
    told = [event["name"] for event in api.asset_events()[events:]]
    assert len(world.versions(dataset)) - len(before) == told.count(dataset) <= 1
    assert told.count(f"{dataset} unchanged") == len(runs) - told.count(dataset)
    assert len(api.runs(dag_id(world.derived))) == started


def test_ctrl_c_stops_every_process(airflow: AirflowServices, server: dict[str, Any]) -> None:
    ours = psutil.Process(server["process"].pid).children(recursive=True)
    listening = {
        connection.laddr.ip
        for process in ours
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    assert len(ours) >= 4
    server["process"].send_signal(signal.SIGINT)
    assert server["process"].wait(60) == 0
    assert [process for process in ours if _lives(process)] == []
    assert "no process of Airflow's is left" in server["log"].read_text()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
