"""kill -9 before every step of a publication, and two processes at once: no gap, no repeat."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from zhixin_ledger import seal, tlogproof
from zhixin_ledger.audit import audit
from zhixin_ledger.embedded import DATABASE

WORKER = Path(__file__).with_name("crash_worker.py")
PLANES = "faa.gov.example/planes"
OWNER = "faa.gov.example"

# Every step, and which occurrence of it: the first, one in the middle, one in the second round.
STEPS = [
    ("before-commit", 1),
    ("inside-commit", 1),
    ("after-commit", 1),
    ("before-tiles", 1),
    ("bundle", 1),
    ("tile", 1),
    ("drop-partial", 1),
    ("before-sign", 1),
    ("before-cosign", 1),
    ("mirror-tiles", 1),
    ("mirror-tiles", 3),
    ("mirror-commit", 1),
    ("mirror-commit", 4),
    ("witness-record", 2),
    ("witness-answer", 1),
    ("witness-answer", 3),
    ("before-publish", 1),
    ("after-publish", 1),
    ("mirror-checkpoint", 1),
    ("inside-commit", 2),
    ("before-publish", 2),
]


def started(world, files: list[Path], step: str = "", nth: int = 0, owner: str = OWNER):
    command = [
        sys.executable,
        str(WORKER),
        str(world.home(owner)),
        f"file:{world.home(world.names[0])}",
        step,
        str(nth),
        *(f"{name}=file:{world.home(name)}" for name in world.names),
        *map(str, files),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(process) -> list[int]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    return [int(line) for line in out.split()]


def written(tmp_path: Path, envelopes: list[bytes]) -> list[Path]:
    files = []
    for number, data in enumerate(envelopes):
        files.append(tmp_path / f"envelope-{number}.json")
        files[-1].write_bytes(data)
    return files


def statements_in(world) -> list[bytes]:
    database = sqlite3.connect(world.log_dir / DATABASE)
    rows = database.execute("SELECT data FROM entries ORDER BY idx").fetchall()
    database.close()
    return [row[0] for row in rows if not seal.is_seal(row[0])]


def check_clean(world) -> None:
    """Whatever is published is whole: at the log and in every copy."""
    folders = [world.log_dir, *(world.home(name) / "ledger" for name in world.names)]
    for folder in folders:
        if (folder / "checkpoint").exists():
            report = audit(folder)
            assert report.ok, (folder, report.message)


QUICK = {("inside-commit", 1), ("bundle", 1), ("witness-answer", 3), ("before-publish", 1)}


@pytest.mark.parametrize(
    ("step", "nth"),
    [
        pytest.param(
            *step, marks=() if step in QUICK else pytest.mark.slow, id="-".join(map(str, step))
        )
        for step in STEPS
    ],
)
def test_a_killed_publication_is_finished_by_the_next(world, tmp_path, step, nth):
    envelopes = [world.contract(PLANES), world.version(PLANES)]
    files = written(tmp_path, envelopes)
    process = started(world, files, step, nth)
    _, err = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, err.decode()
    check_clean(world)

    client = world.client(OWNER)
    for data in envelopes:
        index = client.submit(data)
        assert tlogproof.parse_receipt(client.receipt(index)).index == index
    assert statements_in(world)[1:] == envelopes
    for name in world.names:
        other = world.client(name)
        assert other.sync().dataset(PLANES).version == 1
        assert other.fsck().ok
    check_clean(world)
    assert audit(world.log_dir).entries == 6


def test_two_processes_that_write_at_once_lose_nothing(world, tmp_path):
    of_owner = {
        owner: [world.contract(f"{owner}/d{at}") for at in range(6)]
        for owner in ("faa.gov.example", "noaa.gov.example")
    }
    processes = []
    for owner, envelopes in of_owner.items():
        folder = tmp_path / owner
        folder.mkdir()
        processes.append(started(world, written(folder, envelopes), owner=owner))
    indexes = [index for process in processes for index in finished(process)]
    assert len(set(indexes)) == 12
    entries = statements_in(world)[1:]
    assert sorted(entries) == sorted(data for group in of_owner.values() for data in group)
    check_clean(world)
    assert {world.client(name).sync().root for name in world.names} == {world.client().state().root}
