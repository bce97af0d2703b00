"""A vector's case laid out on disk, and asked as its README says."""

import base64
import json
import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from zhixin_gateway.gate import verify, verify_record
from zhixin_ledger.trust import load_trust

VECTORS = Path(__file__).parents[2] / "vectors"
RESULTS = json.loads((VECTORS / "results.json").read_text())


def contents(item):
    """The bytes that an item stands for."""
    if isinstance(item, str):
        return base64.b64decode(item)
    head, repeat = base64.b64decode(item["head"]), base64.b64decode(item["repeat"])
    tail = base64.b64decode(item.get("tail", ""))
    return head + repeat * int(item["times"]) + tail


def put(path, item):
    """Put one item of `files` or `trust` over what lies there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if item is None:
        return
    if isinstance(item, dict) and "link" in item:
        path.symlink_to(item["link"])
    elif isinstance(item, dict) and item.get("dir"):
        path.mkdir()
    else:
        path.write_bytes(contents(item))


@dataclass
class Case:
    """A case of the vectors, laid out in a scratch folder."""

    given: dict
    folder: Path
    trust_folder: Path

    def options(self):
        given = self.given
        standings = [given[name] for name in ("standing",) if name in given]
        standings += given.get("input_standing", [])
        return {
            "expect": given.get("expect"),
            "deep": given.get("deep", False),
            "now": datetime.fromisoformat(given.get("now", RESULTS["now"])),
            "max_age": timedelta(seconds=int(given["max_age"])) if "max_age" in given else None,
            "standings": [contents(item) for item in standings],
            "strict_inputs": given.get("strict_inputs", False),
            "current_keys": given.get("current_keys", False),
            "require_standing": given.get("require_standing", False),
        }

    def verify(self, **changes):
        options = {**self.options(), **changes}
        trust = load_trust(self.trust_folder)
        if "record_proof" in self.given:
            del options["deep"]
            return verify_record(contents(self.given["record_proof"]), trust, **options)
        if self.given.get("relative"):
            before = Path.cwd()
            os.chdir(self.folder.parent)
            try:
                return verify(self.folder.name, trust, **options)
            finally:
                os.chdir(before)
        return verify(self.folder, trust, **options)


@pytest.fixture
def lay_out(tmp_path):
    """A function that lays out a case and gives the `Case`."""

    def make(case):
        given = json.loads(case.read_text()) if isinstance(case, Path) else case
        trust_folder = tmp_path / "trust"
        shutil.copytree(VECTORS / given.get("trust_dir", "trust"), trust_folder)
        for name, item in given.get("trust", {}).items():
            put(trust_folder / name, item)
        if "expect" in given and "path" not in given:
            place = "anything"
        else:
            place = given.get("path", given.get("base", "nothing"))
        folder = tmp_path / "store" / place
        if "record_proof" not in given:
            shutil.copytree(VECTORS / "versions" / given["base"], folder)
            for name, item in given.get("files", {}).items():
                put(folder / name, item)
        return Case(given, folder, trust_folder)

    return make


@pytest.fixture(scope="session")
def vectors():
    """The folder of the vectors."""
    return VECTORS


@pytest.fixture(scope="session")
def results():
    """What results.json says."""
    return RESULTS
