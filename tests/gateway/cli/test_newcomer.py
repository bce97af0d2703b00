"""What somebody meets who uses Zhixin for the first time: each mistake names its way out."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import click
import pytest
import zhixin_gateway
from zhixin_errors import ConfigError
from zhixin_gateway.cli.root import zhixin as root

THINGS = "agency.example/things"


@pytest.fixture
def handed(published, zhixin, tmp_path):
    """A version and its trust in a folder of somebody who has no home."""
    folder = tmp_path / "handed"
    shutil.copytree(published / "store" / THINGS / "1", folder / "things-1")
    assert zhixin("trust", "export", folder / "trust", home=published).code == 0
    return folder


def test_somebody_without_a_home_reads_what_was_handed_over(zhixin, handed):
    version, trust = handed / "things-1", handed / "trust"
    asked = ("--trust", trust, "--expect", f"{THINGS}@1")
    assert zhixin("verify", version, *asked).code == 0
    unasked = zhixin("cat", version, "--trust", trust, "--unsafe-no-standing")
    assert (unasked.code, "--expect MEMBER/DATASET@N" in unasked.err) == (2, True)
    unknown = zhixin("cat", version, *asked)
    assert (unknown.code, "--unsafe-no-standing" in unknown.err) == (1, True)
    read = zhixin("cat", version, *asked, "--unsafe-no-standing")
    assert (read.code, len(read.out.splitlines())) == (0, 4)
    other = zhixin("cat", version, "--trust", trust, "--expect", f"{THINGS}@2")
    assert (other.code, "(unexpected)" in other.err) == (1, True)


def test_python_takes_a_trusts_folder_where_it_takes_a_trust(handed, monkeypatch, tmp_path):
    monkeypatch.delenv("ZHIXIN_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    verdict = zhixin_gateway.verify(handed / "things-1", handed / "trust", expect=f"{THINGS}@1")
    assert verdict.ok
    opened = zhixin_gateway.open(
        "handed/things-1", trust="handed/trust", expect=THINGS, unsafe_no_standing=True
    )
    assert len(opened) == 3
    with pytest.raises(ConfigError, match="neither MEMBER/DATASET"):
        zhixin_gateway.open("handed/things-2", trust="handed/trust")


def test_a_folder_that_holds_no_version_is_asked_about(zhixin, handed):
    refused = zhixin("verify", handed, "--trust", handed / "trust")
    assert refused.out.startswith("REFUSED malformed")
    assert "the folder of one version" in refused.err


def test_who_stands_in_the_wrong_folder_is_told_of_the_homes_nearby(
    zhixin, agency, monkeypatch, tmp_path
):
    assert str(agency) in zhixin("ls").err
    monkeypatch.chdir(agency / "contracts")
    assert str(agency) in zhixin("ls").err
    (tmp_path / "far" / "away").mkdir(parents=True)
    told = zhixin("ls", home=tmp_path / "far" / "away" / ".." / "away")
    assert (told.code, "zhixin init" in told.err, ".." in told.err) == (2, True, False)


def test_what_is_no_dataset_is_a_mistake_in_usage(zhixin, published):
    for arguments in (
        ("lineage", "things"),
        ("get", "things"),
        ("quarantine", "show", "a/b"),
        ("withdraw", "agency.example/things@x", "--reason", "error"),
        ("init", "Agency"),
        ("run", "none.odcs.yaml"),
        ("run", "."),
        ("cat", "things"),
    ):
        told = zhixin(*arguments, home=published)
        assert told.code == 2, (arguments, told.err)


def test_a_database_under_its_plain_path_is_told_its_address(zhixin, agency, tmp_path):
    with sqlite3.connect(tmp_path / "office.db") as database:
        database.execute("CREATE TABLE permits (id INTEGER PRIMARY KEY)")
    database.close()
    address = f"sqlite:///{tmp_path / 'office.db'}"  # from the root, so that it holds in settings
    for command in (("check",), ("tables",), ("infer", "permits")):
        told = zhixin("source", command[0], "office.db", *command[1:], home=agency)
        assert (told.code, told.out, f"write {address}" in told.err) == (2, "", True), told.err
        assert zhixin("source", command[0], address, *command[1:], home=agency).code == 0


def test_a_misspelt_source_is_told_which_there_are(zhixin, agency):
    told = zhixin("source", "check", "thing", home=agency)
    assert (told.code, "there is things" in told.err) == (2, True)


def test_bad_sql_is_told_tables_and_fields(zhixin, published):
    for sql in ("SELECT nix FROM things", "SELECT * FROM thing"):
        told = zhixin("cat", THINGS, "--sql", sql, home=published)
        assert (told.code, "things has id, day, name, amount" in told.err) == (2, True), told.err
    told = zhixin("cat", THINGS, "--sql", "SELECT * FROM read_csv('things.csv')", home=published)
    assert (told.code, "may do neither" in told.err) == (2, True), told.err


def test_a_trial_counts_shared_keys_as_a_run_does(zhixin, agency):
    contract = agency / "contracts" / "things.odcs.yaml"
    assert "primaryKey: true" in contract.read_text()
    (agency.parent / "things.csv").write_text("id,day,name,amount\n1,,a,\n1,,b,\n2,,c,\n")
    tried = zhixin("contract", "lint", contract, "--against", "things", "--json", home=agency)
    assert tried.json["against"]["rejected"] == 2
    run = zhixin("run", contract, "--json", home=agency)
    assert (run.code, run.json["quarantined"]) == (0, 2)


@pytest.fixture
def rejected(zhixin, agency):
    """A version with one reject, whose name has a line end and a terminal's escape in it."""
    contract = agency / "contracts" / "things.odcs.yaml"
    text = contract.read_text().replace("- name: id\n", "- name: id\n        unique: true\n", 1)
    contract.write_text(text)
    rows = '1,,"two\nlines \x1b[31m 𠀀",\n1,,b,\n2,,c,\n'
    (agency.parent / "things.csv").write_text(f"id,day,name,amount\n{rows}", encoding="utf-8")
    assert zhixin("run", contract, home=agency).code == 0
    return agency


def test_a_value_stays_on_its_line(zhixin, rejected):
    shown = zhixin("quarantine", "show", THINGS, home=rejected)
    assert "name: two\\nlines \\x1b[31m 𠀀\n" in shown.out
    assert "record 0" in shown.err


def test_a_reason_that_nobody_has_is_told_which_there_are(zhixin, rejected):
    for command in ("list", "show"):
        told = zhixin("quarantine", command, THINGS, "--reason", "id.uniqe", home=rejected)
        assert (told.code, "there is id.unique" in told.err) == (0, True)


def test_an_owner_is_not_sent_to_the_owner(zhixin, agency):
    told = zhixin("quarantine", "show", THINGS, home=agency)
    assert (told.code, "owner" in told.err) == (2, False)


def test_a_key_that_is_open_to_others_stops_a_run_before_it_reads(zhixin, agency):
    (agency / "keys" / "statement.pem").chmod(0o644)
    told = zhixin("run", agency / "contracts" / "things.odcs.yaml", home=agency)
    assert (told.code, "chmod 600" in told.err, "extract" in told.err) == (2, True, False)


def test_a_version_that_is_not_whole_any_more_is_replaced_and_told(zhixin, published):
    (published / "store" / THINGS / "1" / "part-00000.parquet").unlink()
    again = zhixin("run", published / "contracts/things.odcs.yaml", "--json", home=published)
    assert (again.code, again.json["version"]) == (0, 2)
    assert f"{THINGS}@1 in this home's store is gone, not whole" in again.err
    assert zhixin("cat", THINGS, home=published).code == 0


def test_an_unchanged_source_of_a_withdrawn_version_is_told_the_way_out(zhixin, published):
    contract = published / "contracts/things.odcs.yaml"
    assert zhixin("withdraw", f"{THINGS}@1", "--reason", "error", home=published).code == 0
    again = zhixin("run", contract, home=published)
    assert (again.code, "that version is withdrawn; --force" in again.err) == (0, True)
    assert zhixin("run", contract, "--force", home=published).code == 0
    assert zhixin("cat", THINGS, home=published).code == 0


def test_what_the_system_refuses_names_file_and_way_out(zhixin, published, monkeypatch):
    def refuse(*_arguments, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/a/file")

    monkeypatch.setattr("zhixin_gateway.fetching.newest_standing", refuse)
    told = zhixin("get", THINGS, "--json", home=published)
    assert told.code == 2
    assert told.json["error"]["message"] == "/a/file: Permission denied"
    assert "the user to whom it belongs" in told.json["error"]["hint"]


def test_one_problem_is_told_once(zhixin, agency):
    contract = agency / "contracts" / "things.odcs.yaml"
    contract.write_text(contract.read_text().replace("required: true", "requried: true", 1))
    assert zhixin("contract", "lint", contract, home=agency).err.splitlines()[-1] == "1 problem"
    assert zhixin("run", contract, home=agency).err.count("unknown key") == 1


def commands(command=root, name="zhixin"):
    context = click.Context(command, info_name=name, **root.context_settings)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from commands(command.get_command(context, each), f"{name} {each}")
    else:
        yield name, command.get_help(context)


def test_every_commands_help_shows_how_it_is_called():
    found = dict(commands())
    assert len(found) > 25
    for name, text in found.items():
        assert f"  {name}" in text.partition("\n  Example")[2], name


def test_groups_tell_of_their_commands_in_whole_sentences():
    for name in root.list_commands(click.Context(root, **root.context_settings)):
        command = root.get_command(click.Context(root, **root.context_settings), name)
        if isinstance(command, click.Group):
            text = command.get_help(click.Context(command, info_name=name, **root.context_settings))
            assert "..." not in text.partition("Commands:")[2], name


IMPORTS = """
import importlib.abc, importlib.util, sys, time
from zhixin_gateway.cli.interrupts import listen

class Slow(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == "slow" else None
    def exec_module(self, module):
        print("importing", flush=True)
        until = time.monotonic() + 1
        try:
            while time.monotonic() < until:
                pass
        except KeyboardInterrupt:  # as some C code does
            print("swallowed", flush=True)

sys.meta_path.insert(0, Slow())
listen()
try:
    import slow
    time.sleep(20)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_during_an_import_is_kept_until_after_it():
    with subprocess.Popen([sys.executable, "-c", IMPORTS], stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == "importing\n"
        began = time.monotonic()
        it.send_signal(signal.SIGINT)
        assert it.stdout.read() == "interrupted\n"
    assert time.monotonic() - began < 10


def test_only_a_process_of_its_own_takes_the_signal(zhixin):
    before = signal.getsignal(signal.SIGINT)
    zhixin("--help")
    assert signal.getsignal(signal.SIGINT) is before
