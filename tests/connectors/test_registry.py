"""From a URL to a connector, and options that are refused by name."""

import importlib.metadata
import sqlite3
import subprocess
import sys

import pyarrow as pa
import pytest
from zhixin_connectors import options, registry
from zhixin_connectors.files import FileSource
from zhixin_connectors.options import parse_options
from zhixin_connectors.places import REMOTE_SCHEMES
from zhixin_connectors.registry import open_source, source_name
from zhixin_connectors.sql import SqlSource
from zhixin_connectors.sqlerrors import translate, translated
from zhixin_errors import ConfigError, PermanentSourceError, TransientSourceError
from zhixin_schemas.header import SOURCE_OPTIONS


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("/data/silo", FileSource),
        ("silo/a.csv", FileSource),
        ("file:///data/a.parquet", FileSource),
        ("csv:a.dat", FileSource),
        ("sqlite:///a.db", SqlSource),
        ("postgresql://user@host/db", SqlSource),
        ("postgresql+psycopg://user@host/db", SqlSource),
    ],
)
def test_a_url_names_its_connector(url, kind):
    assert isinstance(open_source(url), kind)


def test_csv_reads_a_file_of_any_name_as_csv(tmp_path, take):
    (tmp_path / "a b.dat").write_text("id\n1\n")
    for url in (f"csv:{tmp_path}/a b.dat", f"csv://{tmp_path}/a%20b.dat"):
        assert take(url, "a b.dat", {"id": pa.int64()})[0].num_rows == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret@host.example:5/db?password=secret",
        "mysql+pymysql://u:secret@host.example/db#secret",
        "https://u:secret@host.example/db?token=secret",
    ],
)
def test_a_name_made_of_a_url_holds_no_secret(url):
    assert source_name(url).endswith("db")
    assert "secret" not in source_name(url)
    assert "host" not in source_name(url)


@pytest.mark.parametrize(
    "url", ["", "nosuch://u:secret@h/db", "oracle+nosuch://u:secret@h/db", "mssql://u:secret@h/db"]
)
def test_a_source_that_cannot_be_is_refused_without_its_url(url):
    with pytest.raises(ConfigError) as refusal:
        open_source(url)
    assert "secret" not in f"{refusal.value} {refusal.value.hint}"
    assert refusal.value.hint


def test_the_group_of_entry_points_is_looked_up():
    assert importlib.metadata.entry_points(group="zhixin.connectors") is not None


def test_options_are_read_with_and_without_prefix_and_later_ones_hold():
    found = parse_options({"zhixin.null": "NA", "delimiter": "\\t"}, {"null": ["-"]})
    assert (found.null, found.delimiter) == (("-",), "\t")
    assert parse_options({"zhixin.timezone": "Asia/Shanghai"}).timezone.key == "Asia/Shanghai"


def test_contracts_and_connectors_know_the_same_options():
    assert set(options._READERS) <= set(SOURCE_OPTIONS)
    assert set(SOURCE_OPTIONS) - set(options._READERS) <= options._ELSEWHERE


@pytest.mark.parametrize(
    "options",
    [
        {"zhixin.nul": ["NA"]},
        {"null": 5},
        {"null": ["NA", 5]},
        {"nullQuoted": "yes"},
        {"delimiter": ";;"},
        {"delimiter": "，"},
        {"quote": "\n"},
        {"quote": ","},
        {"encoding": "nosuch"},
        {"encoding": "base64"},
        {"timezone": "China"},
        {"timezone": "../etc/passwd"},
        {"binary": "octal"},
    ],
)
def test_a_wrong_option_is_refused_by_its_name(options):
    with pytest.raises(ConfigError) as refusal:
        parse_options(options)
    assert next(iter(options)).removeprefix("zhixin.") in str(refusal.value)


@pytest.mark.parametrize("url", ["xml:/data/registry", "xml://host/registry"])
def test_a_scheme_that_nothing_brings_is_said_as_such(url):
    with pytest.raises(ConfigError, match="nothing is installed for xml:") as refusal:
        open_source(url)
    assert "a connector's package" in refusal.value.hint


def test_a_refused_login_names_the_variable_of_its_secret():
    error = sqlite3.OperationalError("password authentication failed")
    assert "ZHIXIN_SOURCES_CITY_2_SECRET" in translate(error, "city-2").hint
    assert "ZHIXIN_SOURCES_<NAME>_SECRET" in translate(error, "postgresql silo").hint


def test_a_drivers_words_are_never_passed_on():
    class OperationalError(Exception):
        pass

    error = translate(OperationalError("no route to secret.host for record 42"), "registry", "t")
    assert isinstance(error, TransientSourceError)
    assert "secret" not in f"{error} {error.hint} {error.details}"
    assert "42" not in str(error)
    assert "source registry, t" in str(error)
    assert isinstance(translate(ValueError("x"), "registry"), PermanentSourceError)


def test_faults_that_are_no_drivers_pass_through():
    with pytest.raises(ZeroDivisionError), translated("registry"):
        raise ZeroDivisionError


def test_the_seam_imports_no_driver():
    code = (
        "import sys, zhixin_connectors.registry, zhixin_connectors.files, zhixin_connectors.sql;"
        "print(sorted({'sqlalchemy', 'psycopg', 'pandas', 'duckdb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_file_system_has_its_scheme():
    assert {registry._BUILT_IN[scheme] for scheme in REMOTE_SCHEMES} == {registry._FILES}
