"""What a DAG must know, from contract files; no Airflow in sight."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from zhixin_errors import ConfigError
from zhixin_gateway.airflow import local
from zhixin_gateway.airflow.plans import DatasetPlan, dag_id, find_homes, read_plans

pytestmark = [pytest.mark.xdist_group("plans")]


def plans_of(folder: Path) -> dict[str, DatasetPlan]:
    return {plan.dataset: plan for plan in read_plans(find_homes(str(folder)))}


@pytest.fixture
def homes(world: Any, tmp_path: Path) -> Path:
    """The homes' settings and contracts alone, to be spoilt."""
    for member in (world.bts, world.faa, world.noaa, world.ntsb):
        (tmp_path / member / "contracts").mkdir(parents=True)
        for path in [world.folder / member / "zhixin.toml"]:
            (tmp_path / member / path.name).write_bytes(path.read_bytes())
    for dataset in (*world.five, world.derived):
        path = world.contract(dataset)
        (tmp_path / path.relative_to(world.folder)).write_bytes(path.read_bytes())
    return tmp_path


def test_finds_the_homes_of_a_folder_and_a_home_by_itself(world: Any) -> None:
    members = {world.bts, world.faa, world.noaa, world.ntsb}
    assert {home.name for home in find_homes(str(world.folder))} == members
    one = world.folder / world.ntsb
    assert find_homes(str(one)) == [one]
    both = os.pathsep.join([str(one), str(world.folder / world.bts)])
    assert [home.name for home in find_homes(both)] == [world.bts, world.ntsb]


@pytest.mark.parametrize("folders", ["", "no/such/folder"])
def test_refuses_a_setting_that_names_no_folder(folders: str) -> None:
    with pytest.raises(ConfigError, match=r"homes lie|no folder"):
        find_homes(folders)


def test_a_derived_dataset_waits_for_every_dataset_of_the_agencies_it_draws_on(world: Any) -> None:
    plans = plans_of(world.folder)
    assert plans[world.derived].upstream == world.five
    assert not plans[world.derived].watched
    assert plans[world.derived].inputs == world.inputs


def test_a_derived_dataset_whose_inputs_are_made_elsewhere_watches_the_ledger(world: Any) -> None:
    [plan] = read_plans(find_homes(str(world.folder / world.ntsb)))
    assert plan.watched
    assert plan.upstream == ()


def test_a_relationship_is_waited_for_and_starts_nothing(world: Any) -> None:
    plan = plans_of(world.folder)[f"{world.bts}/flights"]
    assert plan.references == (f"{world.faa}/airports",)
    assert plan.upstream == ()


def test_a_contract_that_cannot_be_read_is_a_plan_with_its_problem(homes: Path, world: Any) -> None:
    path = homes / world.faa / "contracts" / "airports.odcs.yaml"
    path.write_text(path.read_text().replace("primaryKey:", "primaryKee:"))
    plans = plans_of(homes)
    assert "primaryKee" in str(plans[f"{world.faa}/airports"].problem)
    assert [name for name, plan in plans.items() if plan.problem] == [f"{world.faa}/airports"]
    assert f"{world.faa}/airports" not in plans[world.derived].upstream


def test_another_members_contract_in_a_home_is_a_problem(homes: Path, world: Any) -> None:
    source = homes / world.faa / "contracts" / "airports.odcs.yaml"
    (homes / world.noaa / "contracts" / "airports.odcs.yaml").write_bytes(source.read_bytes())
    plan = plans_of(homes)[f"{world.noaa}/airports"]
    assert f"the home is {world.noaa}'s" in str(plan.problem)


def test_two_contracts_for_one_dataset_are_a_problem(homes: Path, world: Any) -> None:
    source = homes / world.faa / "contracts" / "airports.odcs.yaml"
    source.with_name("again.odcs.yaml").write_bytes(source.read_bytes())
    plan = plans_of(homes)[f"{world.faa}/airports"]
    assert "two contracts for one dataset" in str(plan.problem)


def test_a_worker_reads_the_contract_of_its_own_dag_alone(world: Any) -> None:
    wanted = dag_id(f"{world.bts}/airlines")
    assert [plan.dag_id for plan in read_plans(find_homes(str(world.folder)), wanted)] == [wanted]


def test_a_worker_finds_the_dag_of_a_contract_that_broke_meanwhile(homes: Path, world: Any) -> None:
    (homes / world.faa / "contracts" / "airports.odcs.yaml").write_text("id: [")
    [plan] = read_plans(find_homes(str(homes)), dag_id(f"{world.faa}/airports"))
    assert plan.problem is not None


def test_a_file_of_any_name_has_an_id_that_airflow_takes(homes: Path, world: Any) -> None:
    (homes / world.faa / "contracts" / "my table (2)é.odcs.yaml").write_text("id: [")
    [plan] = [plan for plan in plans_of(homes).values() if plan.problem]
    assert plan.dag_id == f"{world.faa}.my_table__2__"
    assert read_plans(find_homes(str(homes)), plan.dag_id) == [plan]


def test_a_derived_dataset_waits_for_no_dataset_that_can_never_tell(
    homes: Path, world: Any
) -> None:
    for dataset in world.five:
        member, name = dataset.split("/")
        (homes / member / "contracts" / f"{name}.odcs.yaml").write_text("id: [")
    plan = plans_of(homes)[world.derived]
    assert (plan.upstream, plan.problem) == ((), None)


def test_plans_and_steps_are_read_without_airflow() -> None:
    code = (
        "import sys, zhixin_gateway.airflow, zhixin_gateway.airflow.plans\n"
        "import zhixin_gateway.airflow.steps, zhixin_gateway.airflow.services\n"
        "print(sorted({'airflow', 'great_expectations', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "[]"


def test_make_airflow_takes_homes_and_a_home_as_they_are(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(
        "zhixin_gateway.demo.world.open_world", lambda folder, *_: made.append(folder)
    )
    for folder in (world.folder, world.folder / world.ntsb):
        local.make_homes(folder)
    assert made == []
    local.make_homes(world.folder / "nothing-here")
    assert made == [world.folder / "nothing-here"]


def test_a_plan_says_whether_several_workers_read_and_one_holds_the_moment(
    homes: Path, world: Any
) -> None:
    path = homes / world.faa / "contracts" / "airports.odcs.yaml"
    text = path.read_text()
    said = "[{property: zhixin.partition, value: faa}, {property: zhixin.partitions, value: [M]}"
    for more, held in (("]", True), (", {property: zhixin.immutable, value: true}]", False)):
        options = f"type: custom\n    customProperties: {said}{more}\n"
        path.write_text(text.replace("type: custom\n", options))
        plan = plans_of(homes)[f"{world.faa}/airports"]
        assert (plan.problem, plan.divided, plan.held) == (None, True, held)
    assert not plans_of(homes)[f"{world.faa}/planes"].divided
