"""Four members as processes over HTTP: they publish while witnesses die, wait, and come back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("network")]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, str]:
    folder = tmp_path_factory.mktemp("network") / "demo"
    done = _demo(folder, "--network")
    return folder, json.loads(done.stdout), done.stderr


def _demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "zhixin_gateway.cli", "demo", str(folder), *options, "--json"],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def test_publishes_all_through_the_members_processes(network) -> None:
    folder, answer, _ = network
    assert len(answer["versions"]) == 7
    assert all(version["cosigners"] >= 3 for version in answer["versions"])
    assert [item["code"] for item in answer["shown"]] == [None] * 7 + [
        "part-digest",
        "manifest",
        "withdrawn",
    ]
    assert (folder / "logs" / "ledger.log").stat().st_size


def test_goes_on_with_three_and_waits_with_two(network) -> None:
    _, answer, told = network
    lines = [line.split()[0] for line in told.splitlines() if line[:1].isupper()]
    killed = [word for word in lines if word in ("KILLED", "WAITS", "RESTARTED")]
    assert killed == ["KILLED", "KILLED", "WAITS", "RESTARTED", "RESTARTED"]
    durable, proved = map(
        int, re.findall(r"WAITS .*: (\d+) entries are durable, (\d+) have", told)[0]
    )
    assert proved < durable, "the entry is in the ledger, and its proof is not there yet"
    weather = next(v for v in answer["versions"] if v["dataset"] == "noaa.gov.example/weather")
    assert weather["cosigners"] == 3


def test_leaves_no_process_behind(network) -> None:
    folder, _, _ = network
    ours = [
        entry
        for entry in Path("/proc").glob("[0-9]*/cmdline")
        if str(folder).encode() in _read(entry) and int(entry.parent.name) != os.getpid()
    ]
    assert ours == []


def test_a_second_demo_finds_its_members_again_and_publishes_nothing(network) -> None:
    folder, first, _ = network
    again = json.loads(_demo(folder).stdout)
    assert again["published"] == 0
    assert [v["root"] for v in again["versions"]] == [v["root"] for v in first["versions"]]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
