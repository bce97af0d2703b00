"""kill -9 at every step of a run, then run again: one complete version, no repeat, no gap."""

import signal
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from zhixin_gateway.auditing import audit_home
from zhixin_gateway.datasets import directory
from zhixin_gateway.gate import verify

DATASET = "bts.gov.example/stops"
PIPELINE = "zhixin_gateway.pipeline"
WORK = (f"{PIPELINE}.staging", "Work")
CLIENT = ("zhixin_ledger.client", "LedgerClient")

STEPS = {
    "before the contract is submitted": [*CLIENT, "submit", "before", 1],
    "after the contract is submitted": [*CLIENT, "submit", "after", 1],
    "while extracting": [f"{PIPELINE}.intake", "Intake", "take", "before", 2],
    "before keys are compared": [f"{PIPELINE}.intake", "Intake", "finish", "before", 1],
    "after keys are compared": [f"{PIPELINE}.intake", "Intake", "finish", "after", 1],
    "before it is told that all is extracted": [*WORK, "save", "before", 1],
    "after it is told that all is extracted": [*WORK, "save", "after", 1],
    "while parts are written": [
        "zhixin_gateway.datasets.writer",
        "VersionWriter",
        "write",
        "after",
        1,
    ],
    "after parts are written": [
        "zhixin_gateway.datasets.writer",
        "VersionWriter",
        "finish",
        "after",
        1,
    ],
    "before it is told that all is written": [*WORK, "save", "before", 2],
    "after it is told that all is written": [*WORK, "save", "after", 2],
    "before the manifest has its name": ["name", "manifest.json"],
    "before the statement has its name": ["name", "statement.json"],
    "while signing": [f"{PIPELINE}.notarising", "", "sign_envelope", "after", 1],
    "before it is told that it is signed": [*WORK, "save", "before", 3],
    "after it is told that it is signed": [*WORK, "save", "after", 3],
    "before the version is submitted": [*CLIENT, "submit", "before", 2],
    "before the ledger's commit": ["engine", "before-commit", 2],
    "inside the ledger's commit": ["engine", "inside-commit", 2],
    "after the ledger's commit": ["engine", "after-commit", 2],
    "after the version is submitted": [*CLIENT, "submit", "after", 2],
    "after its index is kept": [*WORK, "save", "after", 4],
    "before the receipt": [*CLIENT, "receipt", "before", 1],
    "after the receipt came": [*CLIENT, "receipt", "after", 1],
    "before the receipt has its name": ["name", "receipt.tlog-proof"],
    "before the rejects move": [f"{PIPELINE}.notarising", "", "_publish", "before", 1],
    "before the rename": ["zhixin_gateway.datasets.directory", "", "publish", "before", 1],
    "after the rename": ["zhixin_gateway.datasets.directory", "", "publish", "after", 1],
    "after the run is remembered": [f"{PIPELINE}.notarising", "", "remember_run", "after", 1],
}


OBJECTS = "zhixin_gateway.stores.objects"
STORE = "zhixin_gateway.stores.objectstore"
ON_OBJECTS = {
    "while a part is uploaded": [OBJECTS, "Writing", "write", "after", 1],
    "before a part's upload ends": [OBJECTS, "Writing", "close", "before", 1],
    "after the last part": [OBJECTS, "Writing", "close", "after", 1],
    "before parts are held to the manifest": [
        STORE, "ObjectStore", "settle", "before", 1,
    ],
    "between the last part and the small files": [OBJECTS, "Objects", "put", "before", 1],
    "between the small files and the receipt": [OBJECTS, "Objects", "put", "before", 4],
    "after the receipt": [OBJECTS, "Objects", "put", "after", 4],
    "before the staged files go": [STORE, "Path", "rename", "before", 1],
    "after the staged files went": [STORE, "Path", "rename", "after", 1],
}  # fmt: skip
QUICK = ("while a part is uploaded", "between the last part and the small files",
         "between the small files and the receipt", "after the receipt")  # fmt: skip
LATER = (
    *(name for name in ON_OBJECTS if name not in QUICK),
    "after it is told that all is extracted", "after it is told that it is signed",
    "inside the ledger's commit", "before the receipt", "before the rejects move",
    "after the run is remembered",
)  # fmt: skip
CASES = [
    *(pytest.param("folder", step, id=f"folder-{name}") for name, step in STEPS.items()),
    *(pytest.param("objects", ON_OBJECTS[name], id=f"objects-{name}") for name in QUICK),
    *(
        pytest.param("objects", step, id=f"objects-{name}", marks=pytest.mark.slow)
        for name, step in (ON_OBJECTS | STEPS).items()
        if name in LATER
    ),
]


@pytest.mark.parametrize(("where", "step"), CASES)
def test_killed_and_run_again_there_is_one_complete_version(
    world, some_stops, runner, where, step, request
):
    home, contract = world.owner, world.stops()
    if where == "objects":
        home = home.save(replace(home.filed_settings(), store=request.getfixturevalue("s3_url")))
    world.fill("stops", [*some_stops, ("2024-01-01", "X", -1, None)])
    assert runner(home, contract, step) == -signal.SIGKILL
    assert runner(home, contract) == 0
    assert runner(home, contract) == 0

    store = home.open_store()
    assert store.versions(DATASET) == [1]
    verdict = verify(
        store.place(DATASET, 1), home.trust(), deep=True, ledger_copy=home.ledger_view()
    )
    assert (verdict.ok, verdict.records) == (True, 3_000)
    rejects = pq.read_table(home.quarantine / DATASET / "1.parquet").to_pylist()
    assert [row["line"] for row in rejects] == ["X"]
    fact = home.ledger_client().sync().dataset(DATASET)
    assert (fact.version, fact.withdrawn) == (1, ())
    assert [report["code"] for report in audit_home(home)] == [None] * 4
    left = [p for p in home.staging.rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == []
    if where == "objects":
        lying = [each.name for each in store.objects.below(DATASET).listed()]
    else:
        lying = [p.name for p in directory.dataset_path(home.store, DATASET).iterdir()]
    assert lying == ["1"]
