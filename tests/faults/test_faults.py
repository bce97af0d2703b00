"""A sample of `make faults`: death, a failing disk or a full one, at any point where it writes.

The campaign runs as a program of its own, because the shim must be loaded before Python is. It
fails where gcc is missing: these faults are what the ledger promises to stand.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).with_name("campaign.py")
EVERY = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(560), pytest.mark.xdist_group("faults")]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each case of the sample left."""
    answer = tmp_path_factory.mktemp("faults") / "outcomes.json"
    command = [sys.executable, str(CAMPAIGN), "--every", str(EVERY), "--json", str(answer)]
    done = subprocess.run(
        [*command, "--workers", "1"], capture_output=True, text=True, timeout=500, check=False
    )
    assert answer.exists(), done.stdout + done.stderr
    return json.loads(answer.read_text())


@pytest.mark.parametrize("kind", ["kill -9", "torn write", "EIO", "ENOSPC", "loss of power"])
def test_whatever_happens_nothing_is_lost_and_no_second_history_signed(outcomes, kind):
    mine = [item for item in outcomes if item["kind"] == kind]
    assert len(mine) > 5
    assert [item for item in mine if item["faults"]] == []


def test_the_sample_reaches_every_part(outcomes):
    assert {item["role"] for item in outcomes} == {"engine", "witness", "mirror"}
