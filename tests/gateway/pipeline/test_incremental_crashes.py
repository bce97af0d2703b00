"""kill -9 while an incremental run merges, then run again: the version before or the next one."""

import signal

import pyarrow.parquet as pq
import pytest
from zhixin_gateway.auditing import audit_home
from zhixin_gateway.datasets import directory
from zhixin_gateway.gate import verify

from tests.gateway.pipeline.test_incremental import DATASET, People

PIPELINE = "zhixin_gateway.pipeline"
WORK = (f"{PIPELINE}.staging", "Work")
STEPS = {
    "once what is new is read": [f"{PIPELINE}.intake", "Intake", "finish", "before", 1],
    "before where parts end is kept": [f"{PIPELINE}.partends", "", "_save", "before", 1],
    "after where parts end is kept": [f"{PIPELINE}.partends", "", "_save", "after", 1],
    "while a part is merged": [f"{PIPELINE}.merging", "", "_combined", "after", 1],
    "after the merge": [f"{PIPELINE}.merging", "", "merge", "after", 1],
    "after rejects are carried": [f"{PIPELINE}.incremental", "", "carry_rejects", "after", 1],
    "before it is told that all is extracted": [*WORK, "save", "before", 1],
    "after it is told that all is written": [*WORK, "save", "after", 2],
    "after it is told that it is signed": [*WORK, "save", "after", 3],
    "after the rename": ["zhixin_gateway.datasets.directory", "", "publish", "after", 1],
}


QUICK = ("while a part is merged", "after rejects are carried", "after the rename")


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, id=name, marks=() if name in QUICK else pytest.mark.slow)
        for name, step in STEPS.items()
    ],
)
def test_killed_and_run_again_it_goes_on_from_the_last_published_version(world, runner, step):
    people = People(world).contract()
    people.put(*[(n, 1) for n in range(40)], (40, 2), (41, 2, "big", 99))
    home, contract = people.home, people.path
    assert runner(home, contract) == 0
    people.put((5, 3, "new", 1), (6, 3, "bad", 99), (50, 3))
    people.mark(7, 3)
    assert runner(home, contract, step) == -signal.SIGKILL
    assert directory.list_versions(home.store, DATASET) in ([1], [1, 2])
    assert runner(home, contract) == 0
    assert runner(home, contract) == 0

    assert directory.list_versions(home.store, DATASET) == [1, 2]
    path = directory.version_path(home.store, DATASET, 2)
    verdict = verify(path, home.trust(), deep=True, ledger_copy=home.ledger_view())
    assert (verdict.ok, verdict.records) == (True, 40)
    assert [n for n in range(51) if n not in people.ids(2)] == [6, 7, *range(41, 50)]
    rejects = pq.read_table(home.quarantine / DATASET / "2.parquet").to_pylist()
    assert sorted(row["id"] for row in rejects) == ["41", "6"]
    assert people.manifest(2).quarantined == 2
    assert people.run(full=True).version is None
    assert {report["code"] for report in audit_home(home)} == {None}
    assert [p for p in home.staging.rglob("*") if p.is_file() and p.suffix != ".lock"] == []
