"""Every block of the README runs, in its order, and prints what the README says."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from zhixin_schemas.lint import lint

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    kind: str
    text: str

    @property
    def is_make(self) -> bool:
        return self.text.startswith("make ")


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [Block(kind, text.strip()) for kind, text in found]


def shell(text: str, folder: Path) -> str:
    """Run commands as a reader would, who stays in one shell: exports last."""
    env = folder / ".env.sh"
    env.touch()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f". {env}\n{text}\nexport -p > {env}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
        },
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def python(text: str, folder: Path) -> str:
    (folder / "block.py").write_text(text, encoding="utf-8")
    return shell("python -W error block.py", folder)


@pytest.mark.slow
def test_every_block_runs_in_its_order(tmp_path: Path) -> None:
    said, ran = "", 0
    for block in blocks():
        if block.kind == "python":
            said = python(block.text, tmp_path)
        elif block.kind == "sh" and not block.is_make:
            said = shell(block.text, tmp_path)
        elif block.kind == "text" and not block.text.startswith("dataset"):
            assert block.text in said
        else:
            continue
        ran += 1
    assert ran >= 7


def test_every_make_target_of_the_readme_is_there() -> None:
    targets = [block.text.split()[1] for block in blocks() if block.kind == "sh" and block.is_make]
    assert {"demo", "test", "airflow"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
def test_three_members_begin_as_the_page_on_networks_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    text = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "".join(found)
    for port in ("8701", "8702", "8703"):
        with socket.create_server(("127.0.0.1", 0)) as free:
            text = text.replace(port, str(free.getsockname()[1]))
    said = shell(text, tmp_path)
    for member in ("bts", "faa", "ntsb"):
        assert re.search(rf"^{member}.gov.example +active +yes ", said, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_the_demo_ends_as_the_readme_says(demo) -> None:
    _, answer = demo
    [table] = [block.text for block in blocks() if block.text.startswith("dataset ")]
    rows = [line.split() for line in table.splitlines()[1:]]
    names = ("dataset", "version", "records", "quarantined", "warned")
    assert rows == [
        [f"{version[name]:,}" if name in names[2:] else str(version[name]) for name in names]
        for version in answer["versions"]
    ]
    [session] = [block.text for block in blocks() if block.kind == "console"]
    for shown in answer["shown"]:
        if not shown["ok"]:
            assert f"REFUSED   {shown['what']}: {shown['code']}" in session


def test_the_examples_of_contracts_can_be_used() -> None:
    page = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    first, rules, *more = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert lint(first.encode()) == []
    head, _, _ = first.partition("    properties:")
    assert lint((head + rules).encode()) == []
    known = ("dest", "runway", "diverted_from", "id")
    fields = "".join(f"      - {{name: {name}, logicalType: string}}\n" for name in known)
    for block in more:
        within = fields + block if block.startswith("    relationships:") else block
        assert lint((head + "    properties:\n" + within).encode()) == [], block


def test_the_readme_is_within_what_a_reader_takes_in() -> None:
    assert README.count("\n") < 220
