"""A home of the release before opens, is taken over, works, and is refused by that one."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from zhixin_errors import ConfigError, LedgerUnavailable
from zhixin_gateway import home as homes
from zhixin_gateway import pipeline
from zhixin_gateway.auditing import audit_home
from zhixin_gateway.home import Home
from zhixin_gateway.settings import HOME_FORMAT, format_settings, parse_settings
from zhixin_ledger.database import FORMAT, Database

DATA = Path(__file__).with_name("data")
WHEEL = DATA / "zhixin_gateway-0.1.0-py3-none-any.whl"
STOPS = "city.gov.example/stops"


@pytest.fixture
def old(tmp_path):
    """The folder of a home that release 0.1.0 wrote."""
    with tarfile.open(DATA / "home-0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="tar")
    return tmp_path / "city"


def before(*arguments: str) -> subprocess.CompletedProcess:
    """Run the release before."""
    script = "from zhixin_gateway.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": str(WHEEL)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def clean(home: Home) -> bool:
    return all(report["ok"] for report in audit_home(home))


def form_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def test_a_home_of_the_release_before_opens_and_works(old):
    assert "needs_zhixin" not in (old / "zhixin.toml").read_text()
    home = Home.open(old)
    assert clean(home)
    (finished,) = pipeline.resume(home)  # what waited for its proof
    assert (finished.version, finished.pending) == (3, False)
    with closing(sqlite3.connect(old / "silo.db")) as database, database:
        database.execute("INSERT INTO stops VALUES ('D', 40)")
    result = pipeline.run(home, old / "contracts" / "stops.odcs.yaml")
    assert (result.version, result.pending) == (4, False)
    assert clean(home)
    assert (
        form_of(old / "log" / "log.sqlite") == form_of(old / "ledger" / "mirror.sqlite") == FORMAT
    )


def test_its_settings_keep_their_comments_and_say_what_they_need(old):
    text = (old / "zhixin.toml").read_text()
    (old / "zhixin.toml").chmod(0o640)
    for _ in range(2):  # done again, nothing changes
        Home.open(old)
        assert (old / "zhixin.toml").read_text() == f'needs_zhixin = "{HOME_FORMAT}"\n{text}'
    assert (old / "zhixin.toml").stat().st_mode & 0o777 == 0o640


def test_a_takeover_that_died_is_done_again(old, monkeypatch):
    text = (old / "zhixin.toml").read_text()

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(homes.Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        Home.open(old)
    monkeypatch.undo()
    assert (old / "zhixin.toml").read_text() == text
    assert before("--home", str(old), "ls").returncode == 0  # nothing was taken over yet
    home = Home.open(old)
    assert clean(home)
    assert "needs_zhixin" in (old / "zhixin.toml").read_text()


def test_a_home_that_may_not_be_written_is_read_as_it_is(old, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(homes, "write_whole", refuse)
    assert Home.open(old).member == "city.gov.example"


@pytest.mark.slow
def test_the_release_before_works_in_its_own_home_and_refuses_one_that_was_taken_over(old):
    assert before("--home", str(old), "ledger", "fsck").returncode == 0
    Home.open(old)
    for command in (("ls",), ("run", "contracts/stops.odcs.yaml"), ("status", "--resume")):
        refused = before("--home", str(old), *command)
        assert refused.returncode == 2, refused.stderr
        assert "zhixin.toml has a setting that nobody knows: needs_zhixin" in refused.stderr


def test_a_home_of_a_later_release_is_refused_clearly(old):
    text = (old / "zhixin.toml").read_text()
    for later in ("0.3", "1.0", "10.20"):
        (old / "zhixin.toml").write_text(f'needs_zhixin = "{later}"\nnovelty = true\n{text}')
        with pytest.raises(ConfigError, match=f"needs Zhixin {later}") as refused:
            Home.open(old)
        assert refused.value.code == "home-newer"
        assert "pip install" in refused.value.hint
    (old / "zhixin.toml").write_text(f'needs_zhixin = "soon"\n{text}')
    with pytest.raises(ConfigError, match="needs_zhixin is a release"):
        Home.open(old)


def test_a_database_of_a_later_release_is_refused_clearly(tmp_path):
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(LedgerUnavailable, match="later release") as refused:
        Database(tmp_path / "log.sqlite")
    assert refused.value.code == "ledger-newer"


def test_settings_are_always_written_in_our_form():
    settings = parse_settings('member = "a.example"\n', "zhixin.toml")
    assert settings.needs_zhixin == ""
    assert parse_settings(format_settings(settings), "zhixin.toml").needs_zhixin == HOME_FORMAT


def test_the_form_of_a_home_is_not_ahead_of_the_release():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    release = tuple(map(int, project["project"]["version"].split(".")[:2]))
    assert tuple(map(int, HOME_FORMAT.split("."))) <= release
