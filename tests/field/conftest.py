"""A member of its own for each field case: its home, its source, its contract, its commands.

::

    def test_fc_03_decimals_are_exact(agency):
        agency.sqlite("10-sqlite-dynamic.sql")                      # a case's script; or SQL itself
        contract = agency.contract(
            "measure",
            {"id": {"type": "integer", "required": True}, "v": "integer", "t": "string"},
        )
        assert agency.run(contract).code == 0                       # `zhixin run FILE --json`
        assert agency.rows("measure") == [["1", "", "x"], …]        # `zhixin cat --format csv`
        assert agency.rejects("measure") == [(2, "v", "v.type", "abc"), …]
        assert agency.manifest("measure")["quarantined"] == "5"

Every command goes through the real ``main`` in this process, 0.2 s of CPU for a home and its
ledger of one; ``agency.process(…)`` starts one of its own, for what is killed.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from fastapi import FastAPI
from zhixin_gateway.founding import found
from zhixin_gateway.home import Home, create_home
from zhixin_ledger.http.answers import tell_problems
from zhixin_ledger.http.serving import running
from zhixin_ledger.http.tile_routes import tile_routes

FILES = Path(__file__).parent / "files"
MEMBER = "agency.gov.example"

_OPTIONS = {
    "unsigned": {"format": "u64"},
    "binary": {"format": "binary"},
    "timestamptz": {"timezone": True},
}
_LOGICAL = {
    "unsigned": "integer",
    "binary": "string",
    "timestamptz": "timestamp",
    "float": "number",
}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True  # contracts refuse anchors


class Agency:
    """One member: a home, a folder ``inbox`` for files and a database ``office.db``.

    Args:
        zhixin: the fixture.
        home: the member's home, made already.
    """

    def __init__(self, zhixin, home: Path) -> None:
        self._zhixin = zhixin
        self.home = home
        self.member = home.name
        self.inbox = home.parent / f"{home.name}.inbox"
        self.database = home.parent / f"{home.name}.db"
        self.inbox.mkdir(exist_ok=True)

    # Commands

    def zhixin(self, *arguments):
        """Run ``zhixin --home HOME …``; gives ``code``, ``out``, ``err``, ``json``, ``lines``."""
        return self._zhixin(*arguments, home=self.home)

    def process(self, *arguments, **options):
        """The same as a process of its own, started and not waited for (``subprocess.Popen``)."""
        command = [sys.executable, "-m", "zhixin_gateway.cli", "--home", self.home, *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([str(item) for item in command], **{**pipes, **options})

    def run(self, contract, *options):
        """``zhixin run CONTRACT --json``; the answer is in ``.json``."""
        return self.zhixin("run", contract, "--json", *options)

    # Sources

    def source(self, name: str, url: object, **settings: str) -> str:
        """Write ``[sources.NAME]`` of zhixin.toml; gives the name."""
        file = self.home / "zhixin.toml"
        text = re.sub(rf"\[sources\.{name}\]\n(?:[^\[].*\n)*", "", file.read_text("utf-8"))
        lines = {"url": str(url), **settings}
        text += f"\n[sources.{name}]\n"
        text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
        file.write_text(text, "utf-8")
        return name

    def sqlite(self, script: str) -> str:
        """Run a case's script (its name under ``files``), or SQL, in the source ``office``."""
        sql = (FILES / script).read_text("utf-8") if script.endswith(".sql") else script
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(sql)
        return self.source("office", f"sqlite:///{self.database}")

    def files(self, *names: str) -> str:
        """Copy inputs of a case, unchanged, into the source ``inbox``."""
        for name in names:
            if (FILES / name).is_dir():
                shutil.copytree(FILES / name, self.inbox / name, dirs_exist_ok=True)
            else:
                shutil.copyfile(FILES / name, self.inbox / name)
        return self.source("inbox", self.inbox)

    def file(self, name: str, contents: bytes | str) -> str:
        """Write a file of one's own into the source ``inbox``."""
        data = contents if isinstance(contents, bytes) else contents.encode()
        (self.inbox / name).write_bytes(data)
        return self.source("inbox", self.inbox)

    # The ledger

    def ledger(self, url: str) -> None:
        """Name another place where the ledger is reached."""
        home = Home.open(self.home)
        home.save(replace(home.filed_settings(), ledger_url=url))

    # Contracts

    def contract(
        self,
        name: str,
        fields: dict,
        *,
        table: str | None = None,
        source: str | None = None,
        version: str = "1.0.0",
        key: tuple[str, ...] = (),
        quality: tuple[dict, ...] = (),
        **options: object,
    ) -> Path:
        """Write a contract.

        Args:
            name: the dataset's, after ``member/``.
            fields: by name a manifest type (``integer``, ``decimal(20,4)``, ``timestamptz`` …), or
                ``{"type": …}`` besides ODCS's own keys of a property.
            table: table or file in the source; the dataset's name by default.
            source: its name; ``inbox`` where the table has a suffix, else ``office``.
            version: the contract's.
            key: the primary key's fields, in order.
            quality: entries under the object.
            options: of the source, such as ``encoding="gb18030"`` for ``zhixin.encoding``.
        """
        table = table or name
        source = source or ("inbox" if "." in table else "office")
        server: dict = {"server": source, "type": "custom"}
        if options:
            server["customProperties"] = [
                {"property": f"zhixin.{option}", "value": value}
                for option, value in options.items()
            ]
        schema: dict = {"name": name.replace("-", "_"), "physicalName": table}
        schema["logicalType"] = "object"
        schema["properties"] = [_property(field, kind, key) for field, kind in fields.items()]
        if quality:
            schema["quality"] = list(quality)
        document = {"apiVersion": "v3.2.0", "kind": "DataContract"}
        document |= {"id": f"{self.member}/{name}", "version": version, "status": "active"}
        document |= {"servers": [server], "schema": [schema]}
        dumped = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False)
        return self.contract_text(name, dumped)

    def case_contract(self, file: str, name: str, *, table: str, source: str = "inbox") -> Path:
        """Take a case's contract with the id, server and table that Zhixin wants besides ODCS."""
        text = (FILES / file).read_text("utf-8")
        text = re.sub(r"^id: .*$", f"id: {self.member}/{name}", text, flags=re.MULTILINE)
        server = f"servers: [{{server: {source}, type: custom}}]\nschema:\n"
        text = text.replace("schema:\n", server, 1)
        text = re.sub(r"(\n( +)- name: .*\n)", rf"\1\2  physicalName: {table}\n", text, count=1)
        return self.contract_text(name, text)

    def contract_text(self, name: str, text: str) -> Path:
        """Write a contract's own text under ``contracts/``."""
        path = self.home / "contracts" / f"{name}.odcs.yaml"
        path.write_text(text, "utf-8")
        return path

    # What came of it

    def name(self, dataset: str) -> str:
        """``member/dataset`` from ``dataset``, ``dataset@1`` or the whole name."""
        return dataset if "/" in dataset else f"{self.member}/{dataset}"

    def rows(self, dataset: str, *options) -> list[list[str]]:
        """The records as ``zhixin cat --format csv`` prints them, without the header."""
        said = self.zhixin("cat", self.name(dataset), "--format", "csv", *options)
        assert said.code == 0, said.err
        return list(csv.reader(io.StringIO(said.out, newline="")))[1:]

    def records(self, dataset: str, *options) -> list[dict]:
        """The records as ``zhixin cat --format json`` prints them."""
        said = self.zhixin("cat", self.name(dataset), "--format", "json", *options)
        assert said.code == 0, said.err
        return said.lines

    def frame(self, dataset: str):
        """The pandas frame that the gate yields."""
        return self.opened(dataset).to_pandas()

    def texts(self, dataset: str) -> list[str]:
        """The canonical texts of the records, in their order."""
        from zhixin_gateway.datasets.canonical import texts

        batches = self.opened(dataset).batches()
        return [text for batch in batches for text in texts(batch).to_pylist()]

    def opened(self, dataset: str):
        """The dataset through the gate, from Python."""
        import zhixin_gateway

        return zhixin_gateway.open(self.name(dataset), home=self.home)

    def rejects(self, dataset: str) -> list[tuple[int, str, str, str | None]]:
        """``zhixin quarantine show --json`` as (row, field, rule, raw), one for each reason."""
        said = self.zhixin("quarantine", "show", self.name(dataset), "--json")
        assert said.code == 0, said.err
        return [
            (row["_row"], why["field"], why["rule"], row.get(why["field"]))
            for row in said.lines
            for why in row["_reasons"]
        ]

    def messages(self, dataset: str) -> dict[tuple[int, str], str]:
        """What each reason says to people, by (row, field)."""
        said = self.zhixin("quarantine", "show", self.name(dataset), "--json")
        return {
            (row["_row"], why["field"]): why["message"]
            for row in said.lines
            for why in row["_reasons"]
        }

    def version(self, dataset: str) -> Path:
        """The directory of a version; the newest where none is named."""
        name, _, number = self.name(dataset).partition("@")
        folder = self.home / "store" / name
        return folder / (number or str(max(self.versions(name), default=0)))

    def versions(self, dataset: str) -> list[int]:
        """The numbers of the versions that lie in the store."""
        folder = self.home / "store" / self.name(dataset)
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(int(path.name) for path in found if path.name.isdecimal())

    def manifest(self, dataset: str) -> dict:
        """A version's manifest; its numbers are texts."""
        return json.loads((self.version(dataset) / "manifest.json").read_bytes())

    def contents(self, dataset: str) -> list[str]:
        """``content`` of each part: equal for equal records, wherever they came from."""
        return [part["content"] for part in self.manifest(dataset)["parts"]]

    @staticmethod
    def content_of(texts: list[str]) -> str:
        """``content`` of a part, computed from the canonical texts themselves."""
        return hashlib.sha256("".join(f"{text}\n" for text in texts).encode()).hexdigest()


def _property(name: str, kind: object, key: tuple[str, ...]) -> dict:
    """A property in ODCS's words."""
    given = dict(kind) if isinstance(kind, dict) else {"type": kind}
    short = given.pop("type", None)
    made: dict = {"name": name}
    if short is not None:
        made["logicalType"] = "number" if "(" in short else _LOGICAL.get(short, short)
        if "(" in short:
            made["physicalType"] = short
        if short in _OPTIONS:
            given["logicalTypeOptions"] = _OPTIONS[short] | given.get("logicalTypeOptions", {})
    if name in key:
        made |= {"required": True, "primaryKey": True, "primaryKeyPosition": key.index(name) + 1}
    return made | given


@pytest.fixture
def agency(zhixin, tmp_path) -> Agency:
    """A member with a ledger of one (see the head of this file)."""
    assert zhixin("init", MEMBER).code == 0
    return Agency(zhixin, tmp_path / MEMBER)


@pytest.fixture
def members(zhixin, tmp_path):
    """Members with one ledger: ``a, b = members("a.gov.example", "b.gov.example")``.

    The first keeps the log; all cosign, and fetch from each other's stores.
    """

    def make(*names: str, origin: str = "ledger.gov.example/field") -> list[Agency]:
        homes = [create_home(tmp_path / name, name, operator=name == names[0]) for name in names]
        for home in found(homes[0], homes, origin):
            stores = {name: f"../{name}/store" for name in names if name != home.member}
            home.save(replace(home.filed_settings(), stores=stores))
        return [Agency(zhixin, tmp_path / name) for name in names]

    return make


@pytest.fixture
def serving():
    """Serve a member's log, or its witness, by a process of its own; gives the URL.

    ::

        with serving(agency) as url:                           # `zhixin ledger serve`
            agency.ledger(url)
        with serving(agency, "witness", "--poll", "0.1") as url: …
    """

    @contextmanager
    def serve(member: Agency, what: str = "ledger", *options: str, port: int = 0, **more):
        given = (what, "serve", "--json", "--no-access-log", "--port", port, *options)
        with (member.home.parent / f"{member.member}.{what}.log").open("ab") as told:
            process = member.process(*given, stderr=told, **more)
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    return serve


@pytest.fixture
def serve_files():
    """Serve a ledger's folder as it lies there, without looking at it; gives the URL."""
    with ExitStack() as stack:

        def serve(folder: Path) -> str:
            app = FastAPI()
            tell_problems(app)
            app.include_router(tile_routes(folder))
            return stack.enter_context(running(app))

        yield serve


class Clocks:
    """The clock of who publishes and cosigns, and the clock of who verifies, in this process."""

    def __init__(self, monkeypatch) -> None:
        self._patch = monkeypatch

    def publishing(self, **off: float) -> None:
        """Set it so far off, as ``timedelta`` takes it."""
        shifted = _shifted(dt.timedelta(**off))
        self._patch.setattr("zhixin_ledger.client.datetime", shifted)
        module = SimpleNamespace(datetime=shifted, UTC=dt.UTC)
        self._patch.setattr("zhixin_gateway.witnessing.dt", module)

    def verifying(self, **off: float) -> None:
        """The same for the consumer's."""
        module = import_module("zhixin_gateway.gate.verify")  # its package has a function so named
        self._patch.setattr(module, "datetime", _shifted(dt.timedelta(**off)))


def _shifted(off: dt.timedelta) -> type[dt.datetime]:
    class Shifted(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime.now(tz) + off

    return Shifted


@pytest.fixture
def clocks(monkeypatch) -> Clocks:
    """Clocks that are off: ``clocks.publishing(hours=-2)``, ``clocks.verifying(hours=1)``."""
    return Clocks(monkeypatch)
