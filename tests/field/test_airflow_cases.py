"""Field cases of Airflow: what a scheduler does to a day, and to a month at once.

What a running Airflow does with many starts is in tests/airflow/test_one_airflow.py, by the same
numbers. Here are Airflow's own timetables, and the steps that its tasks call.
"""

from __future__ import annotations

import datetime as dt
import inspect
import json
import os
import subprocess
import sys
from zoneinfo import ZoneInfo

import pytest
from zhixin_errors import ValidationRefused
from zhixin_gateway import pipeline
from zhixin_gateway.airflow import steps
from zhixin_gateway.home import Home

FIELDS = {"id": {"type": "integer", "required": True}}
NEW_YORK = ZoneInfo("America/New_York")


def run_as(agency, contract, run):
    """What a dataset's tasks do in the name of a run, but for the second opinion beside."""
    staged = pipeline.extract(
        Home.open(agency.home), contract, orchestrator=steps.ORCHESTRATOR, run_id=run
    )
    return steps.notarise(str(agency.home), steps.write(str(agency.home), staged))


def table(agency, records):
    agency.file("permits.csv", "id\n" + "".join(f"{number}\n" for number in range(records)))
    return agency.contract("permits", FIELDS, table="permits.csv", key=("id",))


# FC-52: days on which clocks change.

SCHEDULE = """
import datetime as dt, json, sys
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.timetables.base import TimeRestriction
from zhixin_gateway.airflow.factory import DagOptions, start_dag
import pendulum

timetable = coerce_to_core_timetable(start_dag(DagOptions(schedule="0 2 * * *")).timetable)
told = []
for first, last in json.loads(sys.argv[1]):
    first, last = (pendulum.parse(text, tz="America/New_York") for text in (first, last))
    within, info = TimeRestriction(first, last, catchup=True), None
    while True:
        interval = None if info is None else info.data_interval
        info = timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=within)
        if info is None:
            break
        told.append(info.run_after.isoformat())
print(json.dumps(told))
"""
SPRING, AUTUMN = ("2024-03-08", "2024-03-12T23:59:59"), ("2024-11-01", "2024-11-05T23:59:59")


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    """When Airflow's own timetable starts our DAG with this cron, over both changes of clocks."""
    settings = {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__DEFAULT_TIMEZONE": "America/New_York",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCHEDULE, json.dumps([SPRING, AUTUMN])],
        env={**os.environ, **settings}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [dt.datetime.fromisoformat(text) for text in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.slow
@pytest.mark.xdist_group("plans")
def test_fc_52_each_calendar_day_is_started_once(scheduled):
    days = [when.astimezone(NEW_YORK).date().isoformat() for when in scheduled]
    wanted = [f"2024-03-{day:02}" for day in range(8, 13)]
    assert days == wanted + [f"2024-11-{day:02}" for day in range(1, 6)]


@pytest.mark.slow
@pytest.mark.xdist_group("plans")
def test_fc_52_each_days_records_are_one_version_that_names_its_run(agency, scheduled):
    """The table grows a record a day; a manual run comes at 07:30Z on 10 March."""
    manual = dt.datetime(2024, 3, 10, 7, 30, tzinfo=dt.UTC)
    spring = [when for when in scheduled if when.month == 3]
    wanted = []
    for number, when in enumerate(spring, 1):
        contract = table(agency, number)
        wanted.append(f"permits/scheduled__{when.isoformat()}")
        assert run_as(agency, contract, wanted[-1])["version"] == number
        if when.astimezone(NEW_YORK).date() == manual.astimezone(NEW_YORK).date():
            by_hand = run_as(agency, contract, f"permits/manual__{manual.isoformat()}")
            assert by_hand["version"] is None, "it finds nothing that the day's run had not"
    assert agency.versions("permits") == [1, 2, 3, 4, 5]
    manifests = [agency.manifest(f"permits@{number}") for number in range(1, 6)]
    assert [each["run"]["id"] for each in manifests] == wanted
    assert [each["records"] for each in manifests] == ["1", "2", "3", "4", "5"]


def test_fc_52_nothing_of_ours_looks_at_an_interval_or_a_logical_date():
    from importlib.util import find_spec
    from pathlib import Path

    for name in ("factory", "steps", "plans", "watching", "trigger"):
        spec = find_spec(f"zhixin_gateway.airflow.{name}")
        source = Path(spec.origin).read_text("utf-8")
        for word in ("data_interval", "logical_date", "execution_date", "ds_nodash"):
            assert word not in source, (name, word)
    assert "run" in inspect.signature(steps.extract_and_validate).parameters


# FC-53: a month of runs over one table.


def test_fc_53_a_backfill_over_an_unchanged_table_is_one_version(agency):
    """Of thirty runs one tells of a version; the others are skipped where they would tell."""
    contract = table(agency, 3)
    told = []
    for day in range(30):
        when = dt.datetime(2024, 6, 1, 2, tzinfo=dt.UTC) + dt.timedelta(days=day)
        result = run_as(agency, contract, f"permits/backfill__{when.isoformat()}")
        told.append(result["version"])
    assert told == [1] + [None] * 29
    assert agency.versions("permits") == [1]


def test_fc_53_a_run_that_a_critical_rule_stopped_tells_of_nothing(agency):
    contract = table(agency, 3)
    assert run_as(agency, contract, "permits/first")["version"] == 1
    quality = {"type": "library", "name": "enough", "metric": "rowCount", "severity": "critical"}
    agency.file("permits.csv", "id\n1\n")
    stopped = agency.contract(
        "permits",
        FIELDS,
        table="permits.csv",
        key=("id",),
        version="1.1.0",
        quality=({**quality, "mustBeGreaterThan": 2},),
    )
    with pytest.raises(ValidationRefused) as caught:  # the task fails: Airflow emits no event
        run_as(agency, stopped, "permits/second")
    assert "enough" in str(caught.value)
    assert agency.versions("permits") == [1]


def test_fc_53_versions_never_go_back_in_time(agency):
    """Runs of earlier days that come later take later numbers and later times."""
    for number, day in enumerate(("2024-06-30", "2024-06-01", "2024-06-15"), 1):
        contract = table(agency, number)
        assert run_as(agency, contract, f"permits/backfill__{day}")["version"] == number
    times = [agency.manifest(f"permits@{n}")["source"]["extracted_at"] for n in (1, 2, 3)]
    assert times == sorted(times)
