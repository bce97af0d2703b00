"""The way of somebody new, from sources of one's own to verified frames, by the docs' own words.

A PostgreSQL table whose login has what docs/sources.md grants, an Excel sheet and a CSV in GB18030.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

ROOT = Path(__file__).parents[1]
GRANTS = re.findall(
    r"^```sql\n(.*?)^```$", (ROOT / "docs/sources.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
PASSWORD = "a b'c"


class Newcomer:
    """A shell in an empty folder, with the environment that was exported so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "city.gov.example"
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        }

    def __call__(self, command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def publish(self, infer: str, name: str, dates: str = "") -> str:
        """Infer, promise dates, lint, run and verify, as README does; gives what `cat` prints."""
        contract = f"city.gov.example/contracts/{name}.odcs.yaml"
        self(f"zhixin source infer {infer} --dataset city.gov.example/{name} > {contract}")
        if dates:
            self(f"sed -i.bak '/name: {dates}/{{n;s/string/date/;}}' {contract}")
        self(f"zhixin contract lint {contract} --against {infer.partition('--source ')[2]}")
        self(f"zhixin run {contract}")
        self(f"zhixin verify city.gov.example/store/city.gov.example/{name}/1 --deep")
        return self(f"zhixin cat city.gov.example/{name}").stdout


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    shell = Newcomer(tmp_path)
    shell("zhixin init city.gov.example")
    shell.environ["ZHIXIN_HOME"] = str(shell.home)
    return shell


@pytest.fixture
def registry(postgresql_url):
    """A table of one's own, and a login with nothing but the grants of docs/sources.md."""
    import psycopg

    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS registry CASCADE")
        connection.execute("CREATE SCHEMA registry")
        connection.execute(
            "CREATE TABLE registry.permits (id bigint PRIMARY KEY, holder text NOT NULL, "
            "valid_until date, note text)"
        )
        connection.execute(
            "INSERT INTO registry.permits VALUES (1, '王芳', '2030-01-01', 'x'), "
            "(2, 'Ines Alba', 'infinity', 'y'), (9007199254740993, 'Jo Roe', NULL, 'z')"
        )
        (grants,) = GRANTS
        connection.execute("DROP ROLE IF EXISTS zhixin")
        connection.execute(grants.replace("'…'", "'" + PASSWORD.replace("'", "''") + "'"))
        address = urlsplit(postgresql_url)
        place = f"zhixin@{address.hostname}:{address.port}"
        yield urlunsplit(address._replace(netloc=place))
        connection.execute("DROP SCHEMA registry CASCADE")
        connection.execute("DROP ROLE zhixin")


@pytest.mark.slow
def test_a_table_of_ones_own_by_a_login_that_has_the_grants_and_no_more(newcomer, registry):
    infer = f"'{registry}' registry.permits --source registry"
    refused = newcomer(f"zhixin source infer {infer} --dataset city.gov.example/permits", code=2)
    assert "ZHIXIN_SOURCES_REGISTRY_SECRET" in refused.stderr
    newcomer.environ["ZHIXIN_SOURCES_REGISTRY_SECRET"] = PASSWORD
    said = newcomer.publish(infer, "permits", dates="valid_until")
    assert said.splitlines() == [
        "id,holder,valid_until", "1,王芳,2030-01-01", "9007199254740993,Jo Roe,",
    ]  # fmt: skip
    shown = newcomer("zhixin quarantine show city.gov.example/permits@1").stdout
    assert "valid_until: infinity" in shown
    for file in newcomer.home.rglob("*"):
        if file.is_file():
            assert PASSWORD.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_a_sheet_of_a_workbook(newcomer):
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "一月"
    for row in (["编号", "名称", "金额"], [1, "甲", 12.5], [2, "乙", None]):
        sheet.append(row)
    book.save(newcomer.folder / "book.xlsx")
    assert newcomer.publish("book.xlsx '一月' --source books", "sheet").splitlines() == [
        "编号,名称,金额", "1,甲,12.5", "2,乙,",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_csv_in_gb18030(newcomer):
    file = newcomer.folder / "许可.csv"
    file.write_bytes("编号,名称\n00038,甲\n00127,㐀\n".encode("gb18030"))
    refused = newcomer("zhixin source infer 许可.csv 许可.csv", code=2)
    assert "gb18030" in refused.stderr, "an encoding is not guessed, and the way out is said"
    said = newcomer.publish(
        "许可.csv 许可.csv --option encoding=gb18030 --source licences", "licences"
    )
    assert said.splitlines() == ["编号,名称", "00038,甲", "00127,㐀"]
    frame = newcomer(
        "python -W error -c 'import zhixin_gateway as zhixin; "
        'print(zhixin.open("city.gov.example/licences").to_pandas().dtypes.to_dict())\''
    )
    assert "string" in frame.stdout
