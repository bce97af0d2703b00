import os
import threading
from dataclasses import replace

import pytest
import zhixin_gateway
from zhixin_errors import ConfigError, FormatError, TransientSourceError, VerificationError
from zhixin_gateway import pipeline
from zhixin_gateway.datasets import directory
from zhixin_gateway.fetching import fetch, newest_standing, parse_name
from zhixin_gateway.withdrawing import withdraw

PLACES = "faa.gov.example/places"


@pytest.fixture
def published(world):
    world.fill("places", [("JFK", "Kennedy"), ("LGA", "La Guardia")])
    pipeline.run(world.other, world.places())
    world.owner.ledger_client().sync()
    return world


def _version(home):
    return directory.version_path(home.store, PLACES, 1)


def test_a_fetched_version_is_the_owners_to_the_byte(published):
    fetched = fetch(published.owner, PLACES, 1)
    assert fetched.new
    assert fetched.path == _version(published.owner)
    theirs = {p.name: p.read_bytes() for p in _version(published.other).iterdir()}
    assert {p.name: p.read_bytes() for p in fetched.path.iterdir()} == theirs
    assert not fetch(published.owner, PLACES, 1).new


def test_stores_are_reached_by_url_too(published):
    home = published.owner
    stores = {"faa.gov.example": f"file://{published.other.store}"}
    home = home.save(replace(home.filed_settings(), stores=stores))
    assert fetch(home, PLACES, 1).verdict.ok


@pytest.mark.parametrize("store", ["nonsense://x/y", "file:///nowhere/at/all"])
def test_a_store_that_is_not_there_is_said(published, store):
    home = published.owner
    home = home.save(replace(home.filed_settings(), stores={"faa.gov.example": store}))
    with pytest.raises(ConfigError):
        fetch(home, PLACES, 1)


@pytest.mark.parametrize("what", ["link", "folder", "surplus", "flipped", "missing"])
def test_what_the_gate_refuses_is_not_kept(published, what):
    folder = _version(published.other)
    part = folder / "part-00000.parquet"
    if what == "link":
        part.rename(folder.parent / "elsewhere")
        part.symlink_to(folder.parent / "elsewhere")
    elif what == "folder":
        part.unlink()
        part.mkdir()
    elif what == "surplus":
        (folder / "notes.txt").write_text("x")
    elif what == "flipped":
        part.write_bytes(part.read_bytes()[:-1] + b"x")
    else:
        part.unlink()
    with pytest.raises(VerificationError) as caught:
        fetch(published.owner, PLACES, 1)
    assert caught.value.code == {
        "link": "malformed", "folder": "malformed", "surplus": "unlisted-file",
        "flipped": "part-digest", "missing": "part-missing",
    }[what]  # fmt: skip
    assert list((published.owner.store / PLACES).iterdir()) == []


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_hostile_store_neither_holds_up_a_fetch_nor_fills_the_disk(
    published, monkeypatch, scheme
):
    folder = _version(published.other)
    home, stores = published.owner, {"faa.gov.example": f"{scheme}{published.other.store}"}
    home = home.save(replace(home.filed_settings(), stores=stores))
    written = []
    monkeypatch.setattr(directory, "sync_folder", lambda path: written.append(_bytes(path)))

    def refused():
        with pytest.raises(VerificationError) as caught:
            fetch(home, PLACES, 1)
        return caught.value.code

    whole = _bytes(folder)
    part = folder / "part-00000.parquet"
    good = part.read_bytes()
    os.truncate(part, 1 << 40)
    assert refused() == "part-digest"
    assert written.pop() == whole + 1
    part.write_bytes(good)
    (folder / "part-00001.parquet").touch()
    os.truncate(folder / "part-00001.parquet", 1 << 40)
    assert refused() == "unlisted-file"
    assert written.pop() == whole + 1
    (folder / "part-00001.parquet").unlink()
    os.truncate(folder / "contract.yaml", 1 << 40)
    assert refused() == "malformed"
    part.unlink()
    os.mkfifo(part)
    assert refused() == "malformed"
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    assert refused() == "malformed"


def test_a_store_that_lists_without_end_is_refused(published, monkeypatch):
    from zhixin_gateway import fetching

    monkeypatch.setattr(fetching, "_MOST_FILES", 4)
    with pytest.raises(VerificationError) as caught:
        fetch(published.owner, PLACES, 1)
    assert caught.value.code == "unlisted-file"


def _bytes(folder):
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def test_another_version_under_the_number_is_refused(published):
    _version(published.other).rename(_version(published.other).with_name("2"))
    with pytest.raises(VerificationError) as caught:
        fetch(published.owner, PLACES, 2)
    assert caught.value.code == "unexpected"


def test_what_a_fetch_that_died_has_left_goes_with_the_next(published):
    left = published.owner.store / PLACES / ".staging-dead"
    left.mkdir(parents=True)
    fetch(published.owner, PLACES, 1)
    assert not left.exists()


def test_two_that_fetch_at_once_both_have_it(published):
    results = []

    def go():
        results.append(fetch(published.owner, PLACES, 1))

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.new for result in results) == [False, False, False, True]


def test_a_store_that_cannot_be_read_now_is_worth_a_retry(published, monkeypatch):
    from zhixin_gateway import fetching

    def failing(_source, _staging):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(fetching, "_copy_folder", failing)
    with pytest.raises(TransientSourceError):
        fetch(published.owner, PLACES, 1)


def test_names_are_read_strictly():
    assert parse_name("a.example/b@3") == ("a.example/b", 3)
    assert parse_name("a.example/b") == ("a.example/b", None)
    for bad in ("a.example", "a.example/b@", "a.example/b@0", "a.example/b@x", "A.example/b"):
        with pytest.raises(FormatError):
            parse_name(bad)


def test_opening_a_name_fetches_the_newest_that_stands(published):
    opened = zhixin_gateway.open(PLACES, home=published.owner)
    assert (opened.version, opened.records) == (1, 2)
    withdraw(published.other, PLACES, 1, "other")
    with pytest.raises(ConfigError) as caught:
        zhixin_gateway.open(PLACES, home=published.owner)
    assert caught.value.code == "no-version"
    state = published.owner.ledger_client().sync()
    assert newest_standing(state, PLACES) is None
    assert newest_standing(state, "faa.gov.example/none") is None


def test_opening_a_path_needs_a_trust_and_says_what_it_expects(published, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZHIXIN_HOME", raising=False)
    path, trust = _version(published.other), published.other.trust_dir
    with pytest.raises(VerificationError) as caught:
        zhixin_gateway.open(path, trust=trust)
    assert caught.value.code == "stale"
    opened = zhixin_gateway.open(path, trust=trust, unsafe_no_standing=True)
    assert opened.to_pandas().shape == (2, 2)
    assert zhixin_gateway.open(str(path), home=published.other).records == 2
    with pytest.raises(ConfigError, match="no home and no trust") as caught:
        zhixin_gateway.open(path)
    assert "trust=" in caught.value.hint
    with pytest.raises(ConfigError, match="only a home"):
        zhixin_gateway.open(PLACES, trust=trust)
    moved = tmp_path / "moved"
    path.rename(moved)
    with pytest.raises(ConfigError, match="which version"):
        zhixin_gateway.open(moved, trust=trust)
    assert zhixin_gateway.open(moved, home=published.other, expect=PLACES).version == 1
