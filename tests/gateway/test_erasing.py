"""Erasure: what it destroys, what it refuses, what stays, and that what stays confirms nothing."""

import base64
import hashlib
import json
import shutil
from contextlib import closing
from copy import copy

import pyarrow.parquet as pq
import pytest
from zhixin_errors import ConfigError, LedgerRefused, LedgerUnavailable, ValidationRefused
from zhixin_gateway import pipeline
from zhixin_gateway.auditing import audit_home
from zhixin_gateway.backups.making import make_backup
from zhixin_gateway.backups.restoring import restore_backup
from zhixin_gateway.checkup import check_up
from zhixin_gateway.datasets import canonical, directory
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.datasets.records import leaf_hashes, salts
from zhixin_gateway.erasing import erase, resume, unfinished
from zhixin_gateway.erasure_plan import Erasure, derived_from, plan
from zhixin_gateway.fetching import fetch
from zhixin_gateway.gate import verify
from zhixin_gateway.home import Home
from zhixin_gateway.lineage import lineage
from zhixin_gateway.pipeline.staging import Work
from zhixin_gateway.standing_file import find_beside
from zhixin_gateway.withdrawing import withdraw

from tests.gateway.conftest import AT_FAA, World

PLACES = "faa.gov.example/places"
STOPS = "bts.gov.example/stops"
KNOWN = [("JFK", "Kennedy 4711"), ("LGA", "La Guardia 9242"), ("SFO", "San Francisco 1")]
REJECT = (None, "Nobody 1234")


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """places@1 and @2 of the same part, stops@1 made from places@2; each test has its own copy."""
    world = World(tmp_path_factory.mktemp("founded") / "homes")
    world.fill("places", [*KNOWN, REJECT])
    for _ in range(2):
        pipeline.run(world.other, world.places(), force=True)
    world.fill("stops", [("2024-01-02", "B", 10, "JFK")])
    pipeline.run(world.owner, world.stops(place=AT_FAA))
    with world.other.ledger_client() as client:  # what is open while it is copied may be half there
        client.sync()
    return world


@pytest.fixture
def world(founded, tmp_path):
    world = copy(founded)
    world.folder = shutil.copytree(founded.folder, tmp_path / "homes")
    world.owner, world.other = (
        Home.open(world.folder / home.member) for home in (founded.owner, founded.other)
    )
    for home in (world.owner, world.other):
        home.save(home.filed_settings())
    return world


def place(home, version):
    return directory.version_path(home.store, PLACES, version)


def add_all_that_an_erasure_must_find(home):
    """Standing files beside, a report, what a dead run left, and a manifest in a scratch file."""
    for version in (1, 2):
        fetch(home, PLACES, version)
    report = home.reports / PLACES / "20260101T000000" / "index.html"
    report.parent.mkdir(parents=True)
    report.write_text("<td>Kennedy 4711</td>")
    for folder in (Work(home, PLACES).folder, directory.new_staging(home.store, PLACES)):
        shutil.copytree(place(home, 1), folder, dirs_exist_ok=True)
    shutil.copytree(place(home, 1), Work(home, PLACES).version)


def secrets_of(home, versions):
    """Whatever could confirm a record: by itself, or from the record's known text."""
    found = {}
    for version in versions:
        folder = place(home, version)
        data = (folder / "manifest.json").read_bytes()
        found[f"manifest {version}"] = data
        for part in parse_manifest(data).parts:
            table = pq.read_table(folder / part.path)
            texts = canonical.texts(table.combine_chunks().to_batches()[0])
            run = salts(part.salt_key, 0, part.records)
            raw = {
                "salt key": part.salt_key,
                "part root": part.root,
                "content": part.content,
                "part digest": part.sha256,
            }
            for number, text in enumerate(texts.to_pylist()):
                line = text.encode()
                raw[f"salt {number}"] = run[16 * number : 16 * number + 16]
                raw[f"H(text {number})"] = hashlib.sha256(line).digest()
                raw[f"H(text {number} newline)"] = hashlib.sha256(line + b"\n").digest()
                found[f"text {number}"] = line
            for number, leaf in enumerate(leaf_hashes(texts, part.salt_key)):
                raw[f"leaf {number}"] = leaf
            for name, value in raw.items():
                found[f"{name} of {version}"] = value
                found[f"{name} of {version}, hex"] = value.hex().encode()
                found[f"{name} of {version}, base64"] = base64.b64encode(value).rstrip(b"=")
            found[f"part {version}"] = (folder / part.path).read_bytes()
    for _, name in [*KNOWN, REJECT]:
        found[name] = name.encode()
    return found


def remaining(world):
    """Every file of the erasing home, and of the ledger wherever it lies, read raw."""
    for root in (world.other.path, world.owner.path / "log", world.owner.path / "ledger"):
        for path in sorted(root.rglob("*")):
            if path.is_file():
                yield path, path.read_bytes()


def hits(world, secrets):
    return {
        (name, path.name)
        for path, data in remaining(world)
        for name, secret in secrets.items()
        if secret in data
    }


def test_from_what_stays_no_known_record_can_be_confirmed(world):
    home = world.other
    add_all_that_an_erasure_must_find(home)
    secrets = secrets_of(home, (1, 2))
    before = {name for name, _ in hits(world, secrets)}
    assert before > {"manifest 1", "part 2", "salt key of 1, hex", "content of 1, hex"}
    assert "Kennedy 4711" in before
    erase(home, plan(home, PLACES, [1, 2]))
    assert hits(world, secrets) == set()
    kept = directory.erased_path(home.store, PLACES, 1)
    assert sorted(path.name for path in kept.iterdir()) == [
        "contract.yaml",
        "receipt.tlog-proof",
        "standing.json",
        "statement.json",
    ]
    left = [path.name for path in directory.dataset_path(home.store, PLACES).iterdir()]
    assert sorted(left) == ["1.erased", "2.erased"]
    assert not list(home.quarantine.glob(f"{PLACES}/*"))
    assert not (home.reports / PLACES).exists()


def test_every_other_proof_and_the_whole_audit_still_pass(world):
    home = world.other
    erase(home, plan(home, PLACES, [1, 2]))
    for each in (home, world.owner):
        each.ledger_client().sync()
        assert all(part["ok"] for part in audit_home(each))
    stops = directory.version_path(world.owner.store, STOPS, 1)
    options = {"ledger_copy": world.owner.ledger_view(), "deep": True}
    verdict = verify(stops, world.owner.trust(), **options)
    assert verdict.ok
    assert any("places@2 was withdrawn since" in text for text in verdict.warnings)
    strict = verify(stops, world.owner.trust(), strict_inputs=True, **options)
    assert strict.code == "withdrawn"
    kept = directory.erased_path(home.store, PLACES, 2)
    lineage(home.ledger_client(), STOPS, 1)
    theirs = place(world.owner, 2)  # a consumer's own copy is its own to destroy, and refused
    verdict = verify(theirs, home.pinned_trust(), standings=[kept / "standing.json"])
    assert verdict.code == "withdrawn"


def test_versions_that_carry_the_same_part_are_erased_together_or_not_at_all(world):
    home = world.other
    for versions, missing in (([1], [2]), ([2], [1])):
        with pytest.raises(ValidationRefused) as caught:
            plan(home, PLACES, versions)
        assert caught.value.code == "erase-shared"
        assert caught.value.details["missing"] == missing
        assert f"{PLACES}@1 {PLACES}@2`" in caught.value.hint
        assert "can't be read" not in caught.value.message
    assert plan(home, PLACES, [2, 1, 1]).versions == (1, 2)


def test_a_version_of_other_parts_stays_and_is_told_of(world):
    home = world.other
    world.fill("places", KNOWN[:2])
    pipeline.run(home, world.places())
    erasure = plan(home, PLACES, [1, 2])
    assert erasure.others == (3,)
    erase(home, erasure)
    assert directory.list_versions(home.store, PLACES) == [3]
    options = {"ledger_copy": home.ledger_view(), "deep": True}
    assert verify(place(home, 3), home.trust(), **options).ok
    withdraw(home, PLACES, 3, "error")  # it is here all the same
    assert plan(home, PLACES, [1]).others == (3,)


def test_a_version_that_is_not_whole_here_may_carry_any_part(world):
    home = world.other
    world.fill("places", KNOWN[:2])
    pipeline.run(home, world.places())
    shutil.rmtree(place(home, 3))
    with pytest.raises(ValidationRefused) as caught:
        plan(home, PLACES, [1, 2])
    assert caught.value.details["missing"] == [3]
    assert caught.value.details["unread"] == [3]
    assert f"{PLACES}@3 can't be read here, which may carry any" in caught.value.message
    assert "put back first" in caught.value.hint
    erase(home, plan(home, PLACES, [1, 2, 3]))
    assert home.ledger_client().dataset(PLACES).withdrawn == (1, 2, 3)


def test_what_was_made_from_it_is_told_with_its_owners(world):
    erasure = plan(world.other, PLACES, [1, 2])
    [derived] = erasure.derived
    assert derived.to_json() == {
        "version": f"{STOPS}@1",
        "owner": "bts.gov.example",
        "withdrawn": False,
    }
    assert derived_from(world.owner.ledger_client(), STOPS, [1]) == ()
    assert [str(path) for path in erasure.linked] == []
    (world.folder / "backup").hardlink_to(place(world.other, 1) / "part-00000.parquet")
    assert len(plan(world.other, PLACES, [1, 2]).linked) == 1


def test_of_a_part_that_is_carried_only_a_name_outside_of_what_goes_is_told(world):
    for _ in range(2):
        pipeline.run(world.other, world.places(), force=True)
    versions = [1, 2, 3, 4]
    part = place(world.other, 4) / "part-00000.parquet"
    assert part.samefile(place(world.other, 3) / part.name)
    assert plan(world.other, PLACES, versions).linked == ()
    (world.folder / "backup").hardlink_to(part)
    linked = plan(world.other, PLACES, versions).linked
    assert len(linked) > 1
    assert part in linked


def test_what_can_not_be_erased_is_refused(world):
    home = world.other
    with pytest.raises(ConfigError, match="its owner erases it"):
        plan(world.owner, PLACES, [1, 2])
    with pytest.raises(ConfigError, match="has no"):
        plan(home, PLACES, [1, 2, 9])
    work = Work(home, PLACES)
    work.folder.mkdir(parents=True)
    work.save({"step": "signed"})
    with pytest.raises(ValidationRefused) as caught:
        plan(home, PLACES, [1, 2])
    assert caught.value.code == "proof-pending"


@pytest.mark.parametrize("what", ["version", "part", "quarantine"])
def test_what_lies_behind_a_link_would_stay_and_is_not_called_erased(world, tmp_path, what):
    """An archive disk, say: the link would go, and every record lie there still."""
    home = world.other
    path = {
        "version": place(home, 1),
        "part": place(home, 1) / "part-00000.parquet",
        "quarantine": home.quarantine / PLACES / "1.parquet",
    }[what]
    assert path.exists()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link") as refused:
        plan(home, PLACES, [1, 2])
    assert str(path) in refused.value.message
    with pytest.raises(ConfigError, match="is a link"):
        erase(home, Erasure(PLACES, (1, 2)))
    assert place(home, 2).is_dir()
    assert home.ledger_client().sync().dataset(PLACES).withdrawn == ()


def test_nothing_is_destroyed_before_the_withdrawal_has_its_quorum(world, tmp_path):
    home = world.other
    secrets = secrets_of(home, (1, 2))
    gone = (world.owner.path / "ledger").rename(tmp_path / "gone")
    key = (world.owner.path / "keys" / "cosigner.pem").rename(tmp_path / "key")
    for _ in range(3):  # the last finds both withdrawn in a copy that is ahead of every quorum
        with pytest.raises(LedgerUnavailable) as caught:
            erase(home, plan(home, PLACES, [1, 2]))
        assert caught.value.details["pending"]
    assert home.ledger_client().dataset(PLACES).withdrawn == (1, 2)
    assert directory.list_versions(home.store, PLACES) == [1, 2]
    assert [erasure.names for erasure in unfinished(home)] == [[f"{PLACES}@1", f"{PLACES}@2"]]
    assert any("not erased to the end" in found.message for found in check_up(home))
    shutil.rmtree(world.owner.path / "ledger", ignore_errors=True)
    gone.rename(world.owner.path / "ledger")
    key.rename(world.owner.path / "keys" / "cosigner.pem")
    resume(home)
    assert hits(world, secrets) == set()
    assert unfinished(home) == []


def test_a_refused_withdrawal_leaves_all_as_it_was(world, monkeypatch):
    home = world.other

    def refused(*_):
        raise LedgerRefused("the member left", code="owner")

    monkeypatch.setattr("zhixin_gateway.withdrawing.withdraw", refused)
    with pytest.raises(LedgerRefused):
        erase(home, plan(home, PLACES, [1, 2]))
    assert unfinished(home) == []
    assert directory.list_versions(home.store, PLACES) == [1, 2]


class Died(BaseException):
    """As if the power went."""


STEPS = [
    "withdraw",
    *(
        step
        for n in (1, 2)
        for step in (
            f"aside {n}",
            f"keep {n} contract.yaml",
            f"keep {n} statement.json",
            f"keep {n} receipt.tlog-proof",
            f"unlink {n}",
            f"quarantine {n}",
            f"standing {n}",
        )
    ),
    "staging",
    "done",
]


@pytest.mark.parametrize(
    ("step", "again"),
    [*((step, "resume") for step in STEPS), *((step, "erase") for step in STEPS[1:5])],
)
def test_an_erasure_that_died_is_finished(step, again, world):
    home = world.other
    add_all_that_an_erasure_must_find(home)
    secrets = secrets_of(home, (1, 2))
    steps = []

    def die(name):
        steps.append(name)
        if name == step:
            raise Died

    with pytest.raises(Died):
        erase(home, plan(home, PLACES, [1, 2]), die)
    assert all(
        verify(place(home, version), home.trust(), ledger_copy=home.ledger_view()).code
        in (None, "withdrawn")
        for version in directory.list_versions(home.store, PLACES)
    )
    if again == "resume":
        assert [erasure.versions for erasure in resume(home)] == [(1, 2)]
    else:
        erase(home, plan(home, PLACES, [1, 2]))
    assert unfinished(home) == []
    assert hits(world, secrets) == set()
    for version in (1, 2):
        kept = directory.erased_path(home.store, PLACES, version)
        assert len(list(kept.iterdir())) == 4
    assert steps == STEPS[: len(steps)]
    assert all(part["ok"] for part in audit_home(home))


def test_an_erased_version_is_withdrawn_again_by_nobody(world):
    home = world.other
    for version in (1, 2):
        withdraw(home, PLACES, version, "error")
    assert erase(home, plan(home, PLACES, [1, 2])) == []
    assert erase(home, plan(home, PLACES, [1, 2])) == []
    assert directory.list_versions(home.store, PLACES) == []


def test_the_next_run_publishes_anew_with_new_salts(world):
    home = world.other
    before = parse_manifest((place(home, 2) / "manifest.json").read_bytes())
    erase(home, plan(home, PLACES, [1, 2]))
    told = []
    progress = Told(told)
    world.fill("places", KNOWN[1:])
    result = pipeline.run(home, world.places(), progress=progress)
    assert result.version == 3
    assert any("was erased" in text for text in told)
    after = parse_manifest((place(home, 3) / "manifest.json").read_bytes())
    assert {part.salt_key for part in after.parts}.isdisjoint(p.salt_key for p in before.parts)
    assert verify(place(home, 3), home.trust(), ledger_copy=home.ledger_view(), deep=True).ok
    again = pipeline.run(home, world.places())
    assert (again.version, again.standing) == (None, 3)


class Told:
    """A display that keeps warnings."""

    def __init__(self, told):
        self.told = told

    def warn(self, text):
        self.told.append(text)

    def __getattr__(self, name):
        return lambda *_args, **_options: None


def test_a_backup_that_is_put_back_is_noticed(world, tmp_path):
    home = world.other
    backup = shutil.copytree(place(home, 1), tmp_path / "backup")
    erase(home, plan(home, PLACES, [1, 2]))
    assert not any("withdrawn for privacy" in found.message and found.state == "warn"
                   for found in check_up(home))  # fmt: skip
    shutil.copytree(backup, place(home, 1))
    [warning] = [found for found in check_up(home) if found.check == "erasures"]
    assert (warning.state, f"`zhixin erase {PLACES}@1`" in warning.message) == ("warn", True)
    erase(home, plan(home, PLACES, [1]))
    assert not place(home, 1).exists()
    world.owner.ledger_client().sync()
    theirs = [found for found in check_up(world.owner) if found.check == "erasures"]
    assert [f"{PLACES}@2 was withdrawn for privacy" in found.message for found in theirs] == [True]


def test_what_lies_beside_goes_too(world):
    home = world.other
    fetch(home, PLACES, 1)
    assert find_beside(place(home, 1))
    erase(home, plan(home, PLACES, [1, 2]))
    assert not find_beside(place(home, 1))


def test_a_marker_that_can_not_be_read_stops(world):
    home = world.other
    marker = home.path / "erasing" / f"{PLACES}.json"
    marker.parent.mkdir(parents=True)
    marker.write_text(json.dumps({"versions": "all"}))
    with pytest.raises(ConfigError, match="which versions"):
        unfinished(home)
    with closing(marker.open("w")):
        pass
    with pytest.raises(ConfigError, match="which versions"):
        resume(home)


def test_a_backup_that_is_made_after_it_keeps_what_stays_and_no_more(world, tmp_path):
    home = world.other
    secrets = secrets_of(home, (1, 2))
    erase(home, plan(home, PLACES, [1, 2]))
    make_backup(home, tmp_path / "backup.tar")
    restore_backup(tmp_path / "backup.tar", tmp_path / "restored" / home.member)
    world.other = restored = Home.open(tmp_path / "restored" / home.member)
    kept = directory.erased_path(restored.store, PLACES, 2)
    assert (kept / "receipt.tlog-proof").is_file()
    assert hits(world, secrets) == set()
