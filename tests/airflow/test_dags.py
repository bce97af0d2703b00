"""What Airflow parses: the DAGs, built once in a process of their own because Airflow is heavy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from zhixin_gateway.airflow.plans import dag_id

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dags")]

FILE = Path(__file__).parents[2] / "dags" / "zhixin_dags.py"
# Runs the DAG folder's file as Airflow does, once for each case of the request.
LOOK = """
import json, os, runpy, sys

from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

seen = {}
for name, environment in json.loads(sys.argv[1]).items():
    os.environ.pop("_AIRFLOW_PARSING_CONTEXT_DAG_ID", None)
    os.environ.update(environment)
    made = runpy.run_path(sys.argv[2])
    seen[name] = {
        key: {
            "tasks": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
            "retries": {task.task_id: task.retries for task in dag.tasks},
            "tags": sorted(dag.tags),
            "max_active_runs": dag.max_active_runs,
            "serialised": json.dumps(DagSerialization.to_dict(dag), sort_keys=True).replace(
                environment["ZHIXIN_HOMES"], ""
            ),
        }
        for key, dag in made.items()
        if isinstance(dag, DAG)
    }
from zhixin_gateway.airflow.connections import connection_source

names = ("registry", "silo", "weather", "tokens", "nobody")
seen["sources"] = {name: connection_source(name) for name in names}
seen["shown"] = repr(seen["sources"])
from zhixin_gateway.airflow.factory import contract_is_refused

try:
    contract_is_refused("a.odcs.yaml:3: no kind")
except Exception as error:
    seen["refused"] = [str(error), error.hint]
print(json.dumps(seen))
"""
PARSING = "_AIRFLOW_PARSING_CONTEXT_DAG_ID"


@pytest.fixture(scope="module")
def seen(world: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow would see of the homes as they are, and of homes with changed contracts."""
    folder = tmp_path_factory.mktemp("dags")
    for name in ("changed", "broken", "none"):
        shutil.copytree(world.folder, folder / name)
    for dataset in world.five:
        path = world.contract(dataset).relative_to(world.folder)
        (folder / "none" / path).write_text("id: [")
    airports = Path(world.faa) / "contracts" / "airports.odcs.yaml"
    text = world.contract(f"{world.faa}/airports").read_text()
    (folder / "changed" / airports).write_text(text + "# another byte\n")
    (folder / "broken" / airports).write_text(text.replace("kind: DataContract", "kind: Other"))
    cases = {
        "all": {"ZHIXIN_HOMES": str(world.folder)},
        "changed": {"ZHIXIN_HOMES": str(folder / "changed")},
        "broken": {"ZHIXIN_HOMES": str(folder / "broken")},
        "none": {"ZHIXIN_HOMES": str(folder / "none")},
        "own": {"ZHIXIN_HOMES": str(world.folder / world.ntsb)},
        "one": {"ZHIXIN_HOMES": str(world.folder), PARSING: dag_id(f"{world.bts}/flights")},
        "start": {"ZHIXIN_HOMES": str(world.folder), PARSING: "zhixin.start"},
    }
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK, json.dumps(cases), FILE],
        env={
            **os.environ,
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW_CONN_REGISTRY": "postgres://reader:s%40cret@db.gov.example:5433/registry",
            "AIRFLOW_CONN_SILO": "sqlite:///silo.db",
            "AIRFLOW_CONN_WEATHER": json.dumps(
                {"conn_type": "http", "host": "api.example", "schema": "https", "port": 8443,
                 "login": "reader", "password": "s@cret"}
            ),
            "AIRFLOW_CONN_TOKENS": json.dumps(
                {"conn_type": "http", "host": "https://api.example/v2", "password": "s@cret",
                 "extra": {"auth": "oauth", "client_id": "me", "token_url": "https://id.example",
                           "X-Header": "5"}}
            ),
        },
        check=False, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr[-3000:]
    return json.loads(told.stdout.splitlines()[-1])


def test_there_is_a_dag_for_each_contract_and_one_to_start_them(seen: Any, world: Any) -> None:
    assert set(seen["all"]) == {"zhixin.start", *map(dag_id, [*world.five, world.derived])}
    assert set(seen["own"]) == {"zhixin.start", dag_id(world.derived)}


def test_a_worker_parses_just_the_dag_that_it_runs(seen: Any, world: Any) -> None:
    assert set(seen["one"]) == {dag_id(f"{world.bts}/flights")}
    assert set(seen["start"]) == {"zhixin.start"}


def test_a_dag_goes_from_extraction_to_the_notary_with_the_second_opinion_beside(
    seen: Any, world: Any
) -> None:
    chain = {
        "extract_and_validate": ["second_opinion", "write"],
        "write": ["notarise"],
        "second_opinion": ["notarise"],
        "notarise": ["ended", "tell_unchanged"],
        "tell_unchanged": ["ended"],
        "ended": [],
    }
    first = ["extract_and_validate"]
    assert seen["all"][dag_id(f"{world.noaa}/weather")]["tasks"] == chain
    flights = seen["all"][dag_id(f"{world.bts}/flights")]["tasks"]
    assert flights == {**chain, "wait_for_references": first}
    assert seen["all"][dag_id(world.derived)]["tasks"] == {**chain, "verify_inputs": first}


def test_every_task_that_works_is_tried_again_and_one_run_follows_another(seen: Any) -> None:
    for name, dag in seen["all"].items():
        tried = {task for task, retries in dag["retries"].items() if retries}
        assert dag["max_active_runs"] == 1
        if name != "zhixin.start":
            assert {"extract_and_validate", "write", "second_opinion", "notarise"} <= tried


def test_a_changed_contract_changes_its_dag_and_no_other(seen: Any, world: Any) -> None:
    moved = {
        name
        for name, dag in seen["all"].items()
        if dag["serialised"] != seen["changed"][name]["serialised"]
    }
    assert moved == {dag_id(f"{world.faa}/airports")}


def test_a_contract_that_cannot_be_used_is_a_dag_that_says_so(seen: Any, world: Any) -> None:
    assert set(seen["broken"]) == set(seen["all"])
    dag = seen["broken"][dag_id(f"{world.faa}/airports")]
    assert dag["tasks"] == {"contract_is_refused": []}
    assert "kind" in dag["serialised"]
    message, hint = seen["refused"]
    assert message == "a.odcs.yaml:3: no kind"
    assert "`zhixin contract lint`" in hint


def test_no_contract_that_can_be_used_takes_the_others_with_it(seen: Any) -> None:
    assert set(seen["none"]) == set(seen["all"])


def test_the_ledger_is_watched_where_inputs_are_made_elsewhere(seen: Any, world: Any) -> None:
    own, all_homes = (seen[case][dag_id(world.derived)]["serialised"] for case in ("own", "all"))
    assert "LedgerHeadTrigger" in own
    assert "LedgerHeadTrigger" not in all_homes
    for dataset in world.five:
        assert f"zhixin://{dataset}" in all_homes
        assert f"zhixin://{dataset}/unchanged" in all_homes


def test_an_airflow_connection_is_an_address_that_connectors_open(seen: Any) -> None:
    assert seen["sources"] == {
        "registry": ["postgresql+psycopg://reader:s%40cret@db.gov.example:5433/registry", {}],
        "silo": ["sqlite:///silo.db", {}],
        "weather": [
            "https://api.example:8443",
            {"auth": "basic", "user": "reader", "secret": "s@cret"},
        ],
        "tokens": [
            "https://api.example/v2",
            {
                "auth": "oauth",
                "client_id": "me",
                "token_url": "https://id.example",
                "secret": "s@cret",
            },
        ],
        "nobody": None,
    }
    assert "s@cret" not in seen["shown"]
