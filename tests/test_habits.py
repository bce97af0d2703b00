"""The habits of the project that a tool can hold."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
INPUTS = ("tests/vectors/", "tests/field/")
BINARY = {".parquet", ".png", ".whl", ".xz"}
ALONE = "gateway/zhixin_gateway/evidence/verify.py"
"""Travels with evidence as one file that imports nothing of ours: it can't be two."""


def tracked() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        if str(path.relative_to(ROOT)).startswith(INPUTS) or path.suffix in BINARY:
            continue
        found.append((path, path.read_text(encoding="utf-8")))
    return found


def test_no_file_names_a_machine_a_neighbour_folder_or_a_registry() -> None:
    # Spelled in pieces, so that this file does not find itself.
    banned = re.compile(
        "|".join(
            [
                r"/wo" r"rk/",
                r"\.\./sha" r"red",
                r"py" r"pi\.org",
                r"pythonho" r"sted",
                r"proxy\.go" r"lang",
                r"sum\.go" r"lang",
                r"registry\.np" r"mjs",
                r"deb\.deb" r"ian",
                r"/ro" r"ot/",
            ]
        )
    )
    hits = [
        f"{path.relative_to(ROOT)}:{number}"
        for path, text in texts()
        for number, line in enumerate(text.split("\n"), 1)
        if banned.search(line)
    ]
    assert hits == []


def test_every_room_has_a_short_readme() -> None:
    for room in (
        "errors",
        "connectors",
        "schemas",
        "ledger",
        "gateway",
        "native",
        "dags",
        "docker",
    ):
        lines = (ROOT / room / "README.md").read_text(encoding="utf-8").splitlines()
        assert 3 <= len(lines) <= 40, room


def test_every_dependency_says_why() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads("\n".join(lines))["project"]
    for dependency in project["dependencies"]:
        [line] = [entry for entry in lines if entry.strip().startswith(f'"{dependency}"')]
        assert "# " in line, dependency


def test_the_locks_pin_with_hashes() -> None:
    locks = [*(ROOT / "requirements").glob("*.txt"), *(ROOT / "benchmarks" / "peers").glob("*.txt")]
    for lock in sorted(locks):
        for block in lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            if block.strip() and not block.startswith("#"):
                assert "==" in block, f"{lock.name}: {block[:60]}"
                assert "--hash=sha256:" in block, f"{lock.name}: {block[:60]}"


def test_the_kernels_crates_are_pinned_with_hashes_and_say_why() -> None:
    lock = tomllib.loads((ROOT / "native/crates.lock").read_text(encoding="utf-8"))
    crates = [package for package in lock["package"] if package["name"] != "zhixin-kernel"]
    assert len(crates) > 10
    for crate in crates:
        assert (crate["source"], len(crate["checksum"])) == ("registry", 64), crate["name"]
    text = (ROOT / "native/Cargo.toml").read_text(encoding="utf-8")
    for name in tomllib.loads(text)["dependencies"]:
        assert re.search(rf"^{name} = .*# \w", text, flags=re.MULTILINE), name


def test_unsafe_stands_at_the_boundary_alone() -> None:
    found = {path.name for path in (ROOT / "native/src").glob("*.rs")
             if re.search(r"\bunsafe\b", path.read_text(encoding="utf-8"))}  # fmt: skip
    assert found == {"boundary.rs"}


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    for target in phony.split():
        assert re.search(rf"^{target}:.*## ", makefile, flags=re.MULTILINE), target


def test_files_and_functions_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): text.count("\n")
        for path, text in texts()
        if path.suffix == ".py" and "tests" not in path.parts and text.count("\n") > 500
    }
    assert long.keys() <= {ALONE}
