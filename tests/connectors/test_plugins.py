"""Connectors of other packages: found by entry point, held to the protocol, never in our way."""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from zhixin_connectors.holding import HeldConnector
from zhixin_connectors.protocol import Extracted, Misfit, ReadRequest, SeenColumn, Span, TableInfo
from zhixin_connectors.registry import open_source
from zhixin_connectors.testing import take
from zhixin_errors import ConfigError, PermanentSourceError, TransientSourceError, ZhixinError

GUIDE = (Path(__file__).parents[2] / "docs/connectors.md").read_text(encoding="utf-8")
SECRET = "hunter2"
SCHEMA = pa.schema({"id": pa.int64(), "name": pa.string()})


def blocks():
    """The guide's files by name, and its commands."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    files = {}
    for kind, text in found:
        first, _, rest = text.partition("\n")
        files[first.removeprefix("# ") if kind != "sh" else "sh"] = rest if kind != "sh" else text
    return files


def install(folder, package, scheme, target, code=""):
    """What pip leaves of a package: its module and its metadata."""
    module = target.partition(":")[0]
    if code:
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
    about = folder / f"{package.replace('-', '_')}-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(f"[zhixin.connectors]\n{scheme} = {target}\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path of modules, as site-packages is."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


# --- the guide


@pytest.fixture
def guide(tmp_path):
    """The guide's package, installed; gives a function that runs a command with it."""
    files = blocks()
    site = tmp_path / "site"
    site.mkdir()
    project = tomllib.loads(files["pyproject.toml"])["project"]
    points = project["entry-points"]["zhixin.connectors"]
    for scheme, target in points.items():
        install(site, project["name"], scheme, target, files["zhixin_xml.py"])
    (tmp_path / "test_zhixin_xml.py").write_text(files["test_zhixin_xml.py"], encoding="utf-8")

    def run(*command):
        environment = {**os.environ, "PYTHONPATH": str(site), "ZHIXIN_HOME": str(tmp_path / "home")}
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", *map(str, command)], env=environment,
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return run


@pytest.mark.slow
def test_the_guides_package_passes_the_guides_tests(guide):
    done = guide("pytest", "-q", "-p", "no:cacheprovider", "test_zhixin_xml.py")
    assert done.returncode == 0, done.stdout[-3000:]
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    assert f"the same {passed} promises" in GUIDE


@pytest.mark.slow
def test_the_guides_commands_publish_a_dataset(guide, tmp_path):
    data = tmp_path / "data" / "registry"
    data.mkdir(parents=True)
    rows = "".join(
        f"<permit><id>{n}</id><fee>{fee}</fee></permit>"
        for n, fee in [(1, "2.50"), (2, "free"), (3, "0.10")]
    )
    (data / "permits.xml").write_text(f"<permits>{rows}</permits>", encoding="utf-8")
    assert guide("zhixin_gateway.cli", "init", "xml.gov.example", "--home", "home").returncode == 0
    settings = tmp_path / "home" / "zhixin.toml"
    said = blocks()["zhixin.toml"].replace("/data/registry", str(data))
    settings.write_text(settings.read_text() + "\n" + said)
    pip, tables, infer, run = blocks()["sh"].strip().splitlines()
    assert pip.startswith("pip install")
    command = tables.replace("xml:/data/registry", "registry").split()[1:]
    listed = guide("zhixin_gateway.cli", *command)
    assert "permits" in listed.stdout, listed.stderr
    command = infer.replace("xml:/data/registry", "registry").partition(" > ")[0].split()[1:]
    contract = guide("zhixin_gateway.cli", *command)
    assert contract.returncode == 0, contract.stderr
    text = contract.stdout.replace("logicalType: string", "logicalType: number", 1)
    text = re.sub(
        r"- name: id\n.*?(?=\n +- name)",
        "- name: id\n        logicalType: integer\n        required: true\n"
        "        primaryKey: true\n        primaryKeyPosition: 1",
        text,
        flags=re.DOTALL,
    )
    (tmp_path / "home" / "contracts" / "permits.odcs.yaml").write_text(text, encoding="utf-8")
    done = guide("zhixin_gateway.cli", *f"{run} --json".replace(
        "contracts/", "home/contracts/").split()[1:])  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"extracted": 3' in done.stdout or '"extracted":3' in done.stdout


# --- packages that are at odds with one another or with us


def test_a_package_is_found_by_its_scheme_and_given_what_it_needs(site):
    code = (
        "from zhixin_connectors.protocol import *\n"
        "class C:\n"
        "    def __init__(self, *told): self.told, self.name = told, told[2]\n"
        "    def check(self): raise ConfigError\n"
        "    tables = columns = count = describe = read = check\n"
    )
    install(site, "abacus", "Abacus", "plugin_abacus:C", code)
    source = open_source("abacus://x", {"rods": 13, "secret": SECRET}, name="beads")
    assert isinstance(source, HeldConnector)
    assert source.name == "beads"
    assert source._inner.told == ("abacus://x", {"rods": 13, "secret": SECRET}, "beads")


def test_two_packages_of_one_scheme_are_refused_by_their_names(site):
    install(site, "abacus", "beads", "plugin_a:C")
    install(site, "soroban", "beads", "plugin_b:C")
    with pytest.raises(ConfigError, match="abacus and soroban both bring a connector") as refusal:
        open_source("beads://x")
    assert refusal.value.code == "connector-twice"


@pytest.mark.parametrize("scheme", ["sqlite", "file", "csv", "https", "postgresql", "json"])
def test_what_is_built_in_is_not_taken_over(site, scheme):
    install(site, "thief", scheme, "plugin_thief:C", "raise SystemExit('ran')")
    source = open_source(f"{scheme}://localhost/x")
    assert type(source).__module__.startswith("zhixin_connectors.")
    assert not isinstance(source, HeldConnector)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module_of_hunter2", "fails as it is opened .ModuleNotFoundError"),
        ("x = 5", "fails as it is opened .AttributeError"),
        ("def C(*_): raise ValueError('hunter2')", "fails as it is opened .ValueError"),
        ("raise SystemExit(0)", "fails as it is opened .SystemExit"),
        ("def C(*_): return None", "is no connector: it lacks a method"),
        ("class C:\n name = 'x'\n def __init__(self, *_): pass", "it lacks a method"),
    ],
)
def test_a_package_that_can_not_be_opened_is_named(site, code, said):
    install(site, "abacus-connector", "abacus", "plugin_bad:C", code)
    with pytest.raises(ConfigError, match=said) as refusal:
        open_source("abacus://u:hunter2@h/x", name="beads")
    error = refusal.value
    assert "source beads" in error.message
    assert "abacus-connector" in error.message
    assert error.code == "connector-broken"
    assert SECRET not in f"{error} {error.hint}"


def test_its_own_refusal_is_passed_on(site):
    code = (
        "from zhixin_errors import ConfigError\n"
        "def C(*_): raise ConfigError('no rods', code='rods')\n"
    )
    install(site, "abacus", "abacus", "plugin_refusing:C", code)
    with pytest.raises(ConfigError) as refusal:
        open_source("abacus://x")
    assert refusal.value.code == "rods"


# --- conduct


BATCH = pa.RecordBatch.from_pydict({"id": [1, None], "name": ["a", "b"]}, schema=SCHEMA)
TEXTS = pa.RecordBatch.from_pydict({"id": ["1", "x"], "name": ["a", "b"]})
GOOD = Extracted(BATCH, [Misfit(1, "id", "not an integer", "x")], 0, TEXTS.take)


class Plugin:
    """Yields what it was given; raises what is an exception."""

    name = "beads"

    def __init__(self, *given):
        self.given = given
        self.closed = False

    def check(self):
        return self._answer()

    def tables(self):
        return self._answer()

    def columns(self, table):
        return self._answer()

    def count(self, table):
        return self._answer()

    def describe(self, table, *, rows=0):
        return self._answer()

    def read(self, request):
        self.stream = self._stream()  # held, so that nothing closes it by chance
        return self.stream

    def _stream(self):
        try:
            for each in self.given:
                if isinstance(each, BaseException):
                    raise each
                yield each
        finally:
            self.closed = True

    def _answer(self):
        (given,) = self.given
        if isinstance(given, BaseException):
            raise given
        return given


def held(*given):
    return HeldConnector(Plugin(*given), "beads", "abacus-connector")


def with_rows(rows):
    columns = [pa.array(range(rows), pa.int64()), pa.array(["a"] * rows)]
    return replace(GOOD, batch=pa.RecordBatch.from_arrays(columns, schema=SCHEMA), misfits=[])


def test_records_outside_of_the_span_and_counts_that_are_none_are_refused():
    span = Span("id", pa.scalar(1, pa.int64()), pa.scalar(3, pa.int64()))
    request = ReadRequest("t", SCHEMA, span=span)
    within = replace(GOOD, first_row=0)  # a misfit may lie anywhere
    assert len(list(held(within).read(request))) == 1
    with pytest.raises(PermanentSourceError, match="outside of the span") as refusal:
        list(held(with_rows(2)).read(request))
    assert refusal.value.code == "connector-broken"
    assert held(5).count("t") == 5
    assert held(None).count("t") is None
    for wrong in (-1, "5", 1.5, True):
        with pytest.raises(PermanentSourceError, match="count gives something else"):
            held(wrong).count("t")


def test_a_connector_that_keeps_to_the_protocol_is_passed_on():
    second = replace(with_rows(3), first_row=2)
    table, misfits, raw = take_plugin(held(GOOD, second))
    assert table.column("id").to_pylist() == [1, None, 0, 1, 2]
    assert misfits == [(1, "id", "not an integer", "x")]
    assert raw.num_rows == 5
    assert held([TableInfo("a", "b")]).tables() == [TableInfo("a", "b")]
    assert held([SeenColumn("a")]).columns("t") == [SeenColumn("a")]
    assert held(None).check() is None


def take_plugin(source):
    def raw(rows):
        return pa.RecordBatch.from_pydict({n: [""] * len(rows) for n in SCHEMA.names})

    inner = source._inner
    inner.given = [replace(each, raw_source=raw) for each in inner.given]
    return take(source, "t", SCHEMA)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "read gives something else than Extracted"),
        (BATCH, "read gives something else than Extracted"),
        (replace(GOOD, batch=None), "read gives something else than RecordBatch"),
        (replace(GOOD, batch=BATCH.select(["id"])), "another schema than was asked for"),
        (replace(GOOD, batch=BATCH.select(["name", "id"])), "another schema than was asked for"),
        (replace(GOOD, batch=TEXTS), "another schema than was asked for"),
        (replace(GOOD, first_row=1), "begins at row 1, and not at 0"),
        (with_rows(11), "a batch of more than 10 rows"),
        (replace(GOOD, misfits=[(1, "id", "r", "x")]), "something else than Misfit"),
        (replace(GOOD, misfits=None), "something else than Misfit"),
        (replace(GOOD, misfits=[Misfit(2, "id", "r", "x")]), "a row that its batch does not have"),
        (replace(GOOD, misfits=[Misfit(-1, "id", "r", "x")]), "a row that its batch does not have"),
        (replace(GOOD, misfits=[Misfit(1, "no", "r", "x")]), "a field that was not asked for"),
        (replace(GOOD, misfits=[Misfit(0, "id", "r", "x")]), "misfit of id whose cell is not null"),
        (ValueError(f"words of the source {SECRET}"), "read fails for t .ValueError"),
        (replace(GOOD, misfits=[Misfit("1", "id", "r", "x")]), "a position and three texts"),
        (replace(GOOD, misfits=[Misfit(1.0, "id", "r", "x")]), "a position and three texts"),
        (replace(GOOD, misfits=[Misfit(1, None, "r", "x")]), "a position and three texts"),
        (replace(GOOD, misfits=[Misfit(1, "id", None, "x")]), "a position and three texts"),
        (replace(GOOD, misfits=[Misfit(1, "id", "r", b"x")]), "a position and three texts"),
        (replace(GOOD, misfits=[Misfit(1, "id", "r", "\ud800")]), "a position and three texts"),
        (replace(GOOD, misfits=[Misfit(1, "id", "r", "x")] * 2), "misfits twice, or not in"),
        (replace(GOOD, misfits=[Misfit(1, "", "r", "x"), Misfit(0, "", "r", "x")]), "not in the o"),
        (SystemError(SECRET), "read fails for t .SystemError"),
        (SystemExit(0), "read fails for t .SystemExit"),
    ],
)
def test_a_connector_that_breaks_the_protocol_is_refused_by_its_package(given, said):
    with pytest.raises(PermanentSourceError, match=said) as refusal:
        list(held(given).read(ReadRequest("t", SCHEMA, batch_rows=10)))
    error = refusal.value
    assert error.message.startswith("source beads: the connector of the package abacus-connector")
    assert error.code == "connector-broken"
    assert SECRET not in f"{error} {error.hint} {error.details}"


def test_a_batch_that_arrow_finds_damaged_is_refused():
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\x09\0\0\0\x01\0\0\0"), pa.py_buffer(b"ab")]
    )
    batch = pa.RecordBatch.from_arrays([pa.array([1, None], pa.int64()), broken], schema=SCHEMA)
    with pytest.raises(PermanentSourceError, match="Arrow finds damaged"):
        list(held(replace(GOOD, batch=batch)).read(ReadRequest("t", SCHEMA)))


@pytest.mark.parametrize(
    "raw",
    [lambda rows: None, lambda rows: TEXTS, BATCH.take, lambda rows: 1 / 0],
)
def test_raw_texts_are_checked_too(raw):
    first = next(held(replace(GOOD, raw_source=raw)).read(ReadRequest("t", SCHEMA)))
    with pytest.raises(PermanentSourceError, match="raw_texts") as refusal:
        first.raw_texts(pa.array([1]))
    assert refusal.value.code == "connector-broken"


@pytest.mark.parametrize("method", ["tables", "columns", "describe"])
@pytest.mark.parametrize("given", [None, 5, [5], ValueError(SECRET)])
def test_what_it_says_of_its_tables_is_checked(method, given):
    source = held(given)
    with pytest.raises(PermanentSourceError) as refusal:
        getattr(source, method)(*([] if method == "tables" else ["t"]))
    assert refusal.value.code == "connector-broken"
    assert SECRET not in str(refusal.value)


def test_its_own_errors_are_passed_on_as_they_are():
    for error in (TransientSourceError("a lock"), PermanentSourceError("no table")):
        with pytest.raises(ZhixinError) as caught:
            list(held(GOOD, error).read(ReadRequest("t", SCHEMA)))
        assert caught.value is error


def test_an_extraction_that_is_left_early_closes_the_plugin():
    source = held(GOOD, GOOD)
    stream = source.read(ReadRequest("t", SCHEMA))
    next(stream)
    stream.close()
    assert source._inner.closed
