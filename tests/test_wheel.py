"""The wheel stands beside Airflow and leaves a DAG folder's own packages alone."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "zhixin_errors",
    "zhixin_connectors",
    "zhixin_schemas",
    "zhixin_ledger",
    "zhixin_gateway",
]
IMPORT_ALL = """
import importlib, pkgutil, sys
names = []
for package in {packages}:
    root = importlib.import_module(package)
    assert "{home}" in root.__file__, root.__file__
    names += [m.name for m in pkgutil.walk_packages(root.__path__, package + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; it sees our dependencies, but not our source."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    [wheel] = folder.glob("*.whl")
    env = folder / "env"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(env)], check=True, timeout=60
    )
    python = env / "bin" / "python"
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    subprocess.run(
        [uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", python, wheel],
        check=True,
        timeout=60,
    )
    site = next((env / "lib").glob("python*/site-packages"))
    # A path line brings in packages, but no .pth file beside them: the editable install is unseen.
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(python: Path, code: str, folder: Path, **env: str) -> str:
    there = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code],
        cwd=folder,
        env={**there, "AIRFLOW_HOME": str(folder / "airflow"), **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_every_module_of_the_wheel_imports_from_another_folder(
    python: Path, tmp_path: Path
) -> None:
    code = IMPORT_ALL.format(packages=PACKAGES, home=python.parents[1])
    assert int(run(python, code, tmp_path)) > 50


def test_a_dag_folder_keeps_its_own_connectors_and_schemas(python: Path, tmp_path: Path) -> None:
    for name in ("connectors", "schemas", "ledger", "gateway"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"MINE = {name!r}\n")
    code = (
        "import sys; sys.path.append('.')\n"
        "import zhixin_gateway, connectors, schemas, ledger, gateway\n"
        "print(connectors.MINE, schemas.MINE, ledger.MINE, gateway.MINE)"
    )
    assert run(python, code, tmp_path).split() == ["connectors", "schemas", "ledger", "gateway"]


def test_importing_the_gateway_brings_in_nothing_heavy(python: Path, tmp_path: Path) -> None:
    code = (
        "import sys, zhixin_gateway, zhixin_gateway.cli\n"
        "heavy = {'airflow', 'great_expectations', 'pandas', 'pyarrow', 'sqlalchemy', 'duckdb'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(python, code, tmp_path).strip() == "[]"


def test_the_wheel_carries_the_catalogue_of_contracts(python: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.resources import files\n"
        "print(len(list((files('zhixin_schemas') / 'catalogue').glob('*/*.odcs.yaml'))))"
    )
    assert int(run(python, code, tmp_path)) >= 6


def test_the_wheel_carries_what_a_bundle_of_evidence_holds(python: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.resources import files\n"
        "from zhixin_gateway.evidence import archive\n"
        "there = files('zhixin_gateway') / 'evidence'\n"
        "assert archive.formats_text() == (there / 'FORMATS.md').read_bytes()\n"
        "print(len(archive.formats_text()) > 30_000, (there / 'README.txt').is_file())"
    )
    assert run(python, code, tmp_path).split() == ["True", "True"]
