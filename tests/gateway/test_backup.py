"""Backups of a home at work, put back into a new folder, and what then is signed."""

from __future__ import annotations

import datetime as dt
import io
import json
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from zhixin_errors import ConfigError, FormatError, LedgerRefused, LedgerUnavailable
from zhixin_gateway import pipeline
from zhixin_gateway.auditing import audit_home
from zhixin_gateway.backups.archive import MANIFEST, ArchiveWriter
from zhixin_gateway.backups.making import make_backup
from zhixin_gateway.backups.restoring import restore_backup
from zhixin_gateway.cli import main
from zhixin_gateway.home import Home
from zhixin_gateway.repairing import rebuild
from zhixin_ledger import standing_check
from zhixin_ledger.embedded import Engine

STOPS = "bts.gov.example/stops"
ROWS = [("2024-01-02", "B", 10, "JFK"), ("2024-01-03", "C", 20, "LGA")]


def contents(folder: Path) -> dict[str, bytes]:
    passing = (".lock", "-wal", "-shm", "restored", ".sqlite", ".json")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(passing)
    }


def put_in_place(world, archive: Path) -> Home:
    """The owner's home is lost; the backup takes its place, where the others reach it."""
    lost = world.owner.path
    shutil.rmtree(lost)
    restore_backup(archive, lost)
    return Home.open(lost)


def clean(home: Home) -> bool:
    return all(report["ok"] for report in audit_home(home))


def published(world, *rows, version: str = "1.0.0"):
    world.fill("stops", [*ROWS, *rows])
    return pipeline.run(world.owner, world.stops(version=version))


def test_a_home_comes_back_as_it_was(world, tmp_path):
    published(world)
    archive = tmp_path / "backup.tar"
    made = make_backup(world.owner, archive)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert (made.keys, made.left_out, made.entries) == (True, [], 6)
    restored = restore_backup(archive, tmp_path / "new")
    assert (restored.member, restored.entries, restored.log) == ("bts.gov.example", 6, True)
    assert contents(tmp_path / "new") == contents(world.owner.path)
    for name in ("keys", "quarantine", "staging"):
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new/keys/statement.pem").stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".*"))
    home = Home.open(tmp_path / "new")
    assert clean(home)
    for folder in ("log", "ledger"):
        assert standing_check.is_restored(home.path / folder)


def test_a_restored_home_that_is_the_newest_goes_on(world, tmp_path):
    published(world)
    make_backup(world.owner, tmp_path / "b.tar")
    home = put_in_place(world, tmp_path / "b.tar")
    world.owner = home
    result = published(world, ("2024-01-04", "D", 30, "EWR"))
    assert (result.version, result.pending) == (2, False)
    assert not standing_check.is_restored(home.path / "log")
    assert clean(home)
    assert clean(world.other)


def test_an_older_restored_log_signs_nothing_and_catches_up_from_a_mirror(world, tmp_path):
    published(world)
    make_backup(world.owner, tmp_path / "b.tar")
    published(world, ("2024-01-04", "D", 30, "EWR"))
    with world.other.ledger_client() as client:
        assert client.sync().size == 8
    home = world.owner = put_in_place(world, tmp_path / "b.tar")
    with home.ledger_client() as client, pytest.raises(LedgerUnavailable) as refused:
        client.refresh()
    assert refused.value.code == "ledger-rolled-back"
    pending = published(world, ("2024-01-05", "E", 30, "EWR"))
    assert pending.pending  # waits: nothing is taken in, nothing is signed
    log, copy = rebuild(home, str(world.other.path))
    assert (log.entries, log.lost) == (8, [])
    assert copy.entries in (6, 8)
    # It took a number that had been given since; the rules refuse it, and the run is made anew.
    with pytest.raises(LedgerRefused) as taken:
        pipeline.resume(home)
    assert taken.value.code == "version-order"
    result = published(world, ("2024-01-05", "E", 30, "EWR"))
    assert (result.version, result.pending) == (3, False)
    assert clean(home)


def test_a_queue_that_waited_when_the_backup_was_made_is_finished_afterwards(world, tmp_path):
    published(world)
    log = world.owner.path / "log"
    away = log.rename(log.with_name("away"))
    waiting = published(world, ("2024-01-04", "D", 30, "EWR"))
    assert waiting.pending
    away.rename(log)
    make_backup(world.owner, tmp_path / "b.tar")
    home = put_in_place(world, tmp_path / "b.tar")
    (finished,) = pipeline.resume(home)
    assert (finished.version, finished.pending) == (2, False)
    assert (home.store / STOPS / "2" / "receipt.tlog-proof").is_file()
    assert clean(home)


def test_a_backup_while_others_publish_is_whole(world, tmp_path):
    published(world)
    stop, faults = threading.Event(), []

    def work() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                with world.other.ledger_client() as client:
                    from zhixin_ledger.client import contract_statement
                    from zhixin_ledger.dsse import sign_envelope

                    payload = contract_statement(
                        client.origin, f"faa.gov.example/d{number}", "1.0.0", "ab" * 32
                    )
                    client.receipt(client.submit(sign_envelope(payload, [world.other.signer()])))
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(3):
            make_backup(world.owner, tmp_path / f"{number}.tar")
    finally:
        stop.set()
        thread.join(60)
    assert not faults
    for number in range(3):
        restore_backup(tmp_path / f"{number}.tar", tmp_path / f"home-{number}")
        home = Home.open(tmp_path / f"home-{number}")
        assert clean(home), audit_home(home)


def test_a_home_whose_server_runs_is_backed_up_too(world, tmp_path):
    published(world)
    engine = Engine(
        world.owner.path / "log",
        world.owner.signer("log.pem"),
        clock=lambda: dt.datetime.now(dt.UTC),
        hold=True,
    )
    make_backup(world.owner, tmp_path / "b.tar")
    engine.close()
    restore_backup(tmp_path / "b.tar", tmp_path / "new")
    assert clean(Home.open(tmp_path / "new"))


def test_a_run_under_way_is_left_out_and_told(world, tmp_path):
    published(world)
    world.fill("stops", [*ROWS, ("2024-01-04", "D", 30, "EWR")])
    staged = pipeline.extract(world.owner, world.stops())
    with world.owner.lock(STOPS):
        made = make_backup(world.owner, tmp_path / "b.tar")
    assert [item["path"] for item in made.left_out] == [f"staging/{STOPS}"]
    home = put_in_place(world, tmp_path / "b.tar")
    assert not (home.staging / STOPS / "state.json").exists()
    with pytest.raises(ConfigError, match="not staged any more"):
        pipeline.write(home, staged)


def test_keys_and_all_but_the_ledger_can_be_left_out(world, tmp_path):
    published(world)
    made = make_backup(world.owner, tmp_path / "b.tar", keys=False)
    assert not made.keys
    with tarfile.open(tmp_path / "b.tar") as tar:
        names = tar.getnames()
    assert not [name for name in names if "pem" in name]
    assert not restore_backup(tmp_path / "b.tar", tmp_path / "new").keys
    make_backup(world.owner, tmp_path / "l.tar", ledger_only=True)
    restored = restore_backup(tmp_path / "l.tar", tmp_path / "ledger-alone")
    assert restored.ledger_only
    assert sorted(path.name for path in (tmp_path / "ledger-alone").iterdir()) == ["ledger", "log"]
    shutil.rmtree(world.owner.path / "log")
    (log, _) = rebuild(world.owner, str(tmp_path / "ledger-alone"))
    assert log.entries == 6
    assert clean(world.owner)


def test_what_lies_outside_of_the_home_is_told(world, tmp_path):
    published(world)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(world.owner.store, elsewhere)
    home = world.owner.save(replace(world.owner.filed_settings(), store=str(elsewhere)))
    (home.path / "link").symlink_to(elsewhere)
    made = make_backup(home, tmp_path / "b.tar")
    assert {item["path"] for item in made.left_out} == {str(elsewhere), "link"}


@pytest.mark.parametrize("what", ["keys", "keys/statement.pem"])
def test_keys_behind_a_link_are_not_said_to_be_in_it(world, tmp_path, what):
    """Where secrets are mounted they are links: who restores must not find that out then."""
    published(world)
    path = world.owner.path / what
    path.rename(tmp_path / "secret")
    path.symlink_to(tmp_path / "secret")
    made = make_backup(world.owner, tmp_path / "b.tar")
    assert [item["path"] for item in made.left_out] == [what]
    assert not made.keys
    assert not restore_backup(tmp_path / "b.tar", tmp_path / "new").keys


def test_a_manifest_of_other_types_is_refused_before_anything_is_there(tmp_path):
    writer = ArchiveWriter(tmp_path / "b.tar")
    writer.finish({"entries": "many"})
    with pytest.raises(FormatError, match="entries"):
        restore_backup(tmp_path / "b.tar", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_every_flipped_byte_of_a_files_contents_is_found(world, tmp_path):
    published(world)
    archive = tmp_path / "b.tar"
    make_backup(world.owner, archive)
    with tarfile.open(archive) as tar:
        members = [(info.name, info.offset_data, info.size) for info in tar if info.size]
    whole = archive.read_bytes()
    chance = random.Random(20261126)
    for name, start, size in [*chance.sample(members, 12), members[-1]]:
        at = start + chance.randrange(size)
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(FormatError) as refused:
            restore_backup(archive, tmp_path / "new")
        assert refused.value.code == "backup-damaged"
        if name != MANIFEST:
            assert name in refused.value.message
    for cut in (0, 100, len(whole) // 2, members[-1][1]):
        archive.write_bytes(whole[:cut])
        with pytest.raises(FormatError):
            restore_backup(archive, tmp_path / "new")
    assert not list(tmp_path.glob("*new*"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_an_archive_never_writes_outside_of_its_folder(tmp_path, name):
    (tmp_path / "file").write_text("x")
    writer = ArchiveWriter(tmp_path / "b.tar")
    writer.add(name, tmp_path / "file")
    writer.finish({})
    with pytest.raises(FormatError, match="no file of a home"):
        restore_backup(tmp_path / "b.tar", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "file"]


def test_no_more_is_put_back_than_an_archive_holds(tmp_path):
    """A sparse file of a few bytes would be as long as its header says."""
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("GNUSparseFile.0/seen")
        info.size = 512
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "seen",
            "GNU.sparse.realsize": str(64 << 20),
        }
        tar.addfile(info, io.BytesIO(b"1\n0\n0\n".ljust(512, b"\0")))
    with pytest.raises(FormatError, match="no file of a home"):
        restore_backup(tmp_path / "b.tar", tmp_path / "new")


def test_a_link_or_a_missing_file_in_an_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        info = tarfile.TarInfo("keys")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(info)
    (tmp_path / "file").write_text("x")
    writer = ArchiveWriter(tmp_path / "missing.tar")
    writer.add("a", tmp_path / "file")
    writer._files["b"] = {**writer._files["a"], "path": "b"}
    writer.finish({})
    for archive, told in (("link", "no file of a home"), ("missing", "b is missing")):
        with pytest.raises(FormatError, match=told):
            restore_backup(tmp_path / f"{archive}.tar", tmp_path / "new")


def test_nothing_is_ever_overwritten(world, tmp_path):
    archive = tmp_path / "b.tar"
    make_backup(world.owner, archive)
    with pytest.raises(ConfigError, match="never overwritten"):
        make_backup(world.owner, archive)
    with pytest.raises(ConfigError, match="in the home itself"):
        make_backup(world.owner, world.owner.path / "b.tar")
    (tmp_path / "new").mkdir()
    restore_backup(archive, tmp_path / "new")
    with pytest.raises(ConfigError, match="new folder only"):
        restore_backup(archive, tmp_path / "new")


def test_the_commands_say_what_is_in_it_and_what_comes_next(world, tmp_path, capsys):
    home, archive, new = world.owner.path, tmp_path / "b.tar", tmp_path / "new"
    assert main(["backup", str(archive), "--home", str(home)]) == 0
    assert "KEYS" in capsys.readouterr().err
    assert main(["restore", str(archive), str(new), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["member"] == "bts.gov.example"
    assert "ledger fsck" in told.err
    assert "status --resume" in told.err
    main(["doctor", "--home", str(new), "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    # It reached the ledger, so that its log was confirmed by the other member; the witness waits.
    told = [check["message"] for check in found if check["check"] == "put back"]
    assert [message.split(" was")[0] for message in told] == ["the witness"]
    archive.write_bytes(archive.read_bytes()[:-9000])
    assert main(["restore", str(archive), str(tmp_path / "other")]) == 1
    assert "backup-damaged" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert main(["ledger", "rebuild", "--home", str(new), "--nothing-newer", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["confirmed"] == ["own copy"]
    assert main(["ledger", "rebuild", "--home", str(new)]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_a_full_disk_leaves_no_archive(world, tmp_path):
    published(world)
    script = (
        "import resource, sys, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000));"
        "from zhixin_gateway.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script, "backup", str(out / "b.tar"), "--home",
         str(world.owner.path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr
    assert not list(out.iterdir())
