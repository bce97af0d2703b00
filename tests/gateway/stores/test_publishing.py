"""Publishing on an object store: whole versions or none, and every byte of them held."""

import json
from dataclasses import replace

import pytest
import zhixin_gateway
from zhixin_errors import ConfigError, LedgerUnavailable, VerificationError
from zhixin_gateway import pipeline
from zhixin_gateway.backups.making import make_backup
from zhixin_gateway.checkup import check_up
from zhixin_gateway.datasets import hashing
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.erasing import erase
from zhixin_gateway.erasure_plan import plan
from zhixin_gateway.fetching import fetch
from zhixin_gateway.gate import verify
from zhixin_gateway.home import Home
from zhixin_gateway.pipeline import joining, partitions
from zhixin_gateway.pipeline.staging import Work
from zhixin_gateway.stores import open_store
from zhixin_gateway.withdrawing import withdraw

from tests.gateway.stores.breaking import Fault

DATASET = "bts.gov.example/stops"
FILES = ["contract.yaml", "manifest.json", "part-00000.parquet", "receipt.tlog-proof",
         "statement.json"]  # fmt: skip


def on(home, store):
    return home.save(replace(home.filed_settings(), store=store))


@pytest.fixture
def owner(world, some_stops, s3_url):
    """A member whose versions lie in the bucket, with a table to publish."""
    world.fill("stops", some_stops)
    world.owner = on(world.owner, s3_url)
    return world.owner


@pytest.fixture
def run(world, owner):
    contract = world.stops()
    return lambda **options: pipeline.run(owner, contract, **options)


def contents(store):
    """The bytes of each file of version 1."""
    found = {}
    for name in FILES:
        with store.files(DATASET, 1).open(name) as file:
            found[name] = file.read()
    return found


def names(home, version):
    return sorted(home.open_store().sizes(DATASET, version))


def test_a_version_appears_whole_and_verifies_by_its_address(owner, run):
    result = run()
    assert names(owner, 1) == FILES
    store = owner.open_store()
    assert (store.datasets(), store.versions(DATASET)) == ([DATASET], [1])
    assert result.path == store.place(DATASET, 1)
    verdict = verify(result.path, owner.trust(), deep=True, ledger_copy=owner.ledger_view())
    assert (verdict.ok, verdict.records) == (True, 3_000)
    opened = zhixin_gateway.open(DATASET, home=owner)
    assert zhixin_gateway.open(result.path, home=owner).to_arrow() == opened.to_arrow()
    with pytest.raises(ConfigError, match="which version"):
        zhixin_gateway.open(store.name + "?x", trust=owner.trust_dir)


def test_a_run_that_finds_nothing_new_leaves_nothing_and_a_change_keeps_the_rest(
    owner, world, run, some_stops
):
    run()
    assert run().version is None
    assert [each.name for each in owner.open_store().objects.below(DATASET).listed()] == ["1"]
    forced = run(force=True)
    assert forced.version == 2
    first, second = (
        parse_manifest(owner.open_store().read(DATASET, n, "manifest.json")) for n in (1, 2)
    )
    assert [part.salt_key for part in first.parts] == [part.salt_key for part in second.parts]
    tags = [owner.open_store().objects.below(f"{DATASET}/{n}").tag(FILES[2]) for n in (1, 2)]
    assert tags[0] == tags[1]
    world.fill("stops", some_stops[1:])
    assert run().version == 3
    assert verify(
        owner.open_store().place(DATASET, 3), owner.trust(), deep=True, expect=f"{DATASET}@3"
    ).ok


def test_a_carried_part_that_was_changed_in_the_store_is_written_anew(owner, run):
    run()
    objects = owner.open_store().objects.below(f"{DATASET}/1")
    with objects.open(FILES[2]) as file:
        data = file.read()
    objects.put(FILES[2], data[:-9] + b"x" + data[-8:])
    run(force=True)
    assert verify(owner.open_store().place(DATASET, 2), owner.trust(), deep=True).ok
    assert verify(owner.open_store().place(DATASET, 1), owner.trust()).code == "part-digest"


def test_what_a_run_that_died_has_left_goes_and_no_version_does(owner, run):
    run()
    objects = owner.open_store().objects.below(DATASET)
    for left in ("2", "7", ".staging-2/attempt"):
        objects.below(left).put("part-00000.parquet", b"half")
    objects.below("1.erased").put("contract.yaml", b"kept")
    assert owner.open_store().versions(DATASET) == [1]
    run(force=True)
    assert [each.name for each in objects.listed()] == ["1", "1.erased", "2"]
    assert names(owner, 2) == FILES


def test_a_number_that_is_taken_is_never_written_over(owner, run, world, some_stops):
    run()
    before = owner.open_store().read(DATASET, 1, "statement.json")
    objects = owner.open_store().objects.below(DATASET)
    for name in FILES:
        objects.below("2").copy(objects.below("1"), name, name)
    world.fill("stops", some_stops[1:])
    with pytest.raises(ConfigError, match="never replaced") as caught:
        run()
    assert caught.value.code == "store-taken"
    assert names(owner, 2) == FILES
    assert owner.open_store().read(DATASET, 2, "statement.json") == before


def test_without_the_ledger_it_waits_and_is_finished_later(owner, run, monkeypatch):
    from zhixin_ledger.client import LedgerClient

    def gone(*_):
        raise LedgerUnavailable("it is away")

    for step in ("submit", "receipt"):
        with monkeypatch.context() as patch:
            patch.setattr(LedgerClient, step, gone)
            assert run().pending
    assert owner.open_store().versions(DATASET) == []
    assert names(owner, 1) == ["part-00000.parquet"]
    (finished,) = pipeline.resume(owner)
    assert (finished.version, finished.pending) == (1, False)
    assert names(owner, 1) == FILES
    assert not Work(owner, DATASET).folder.exists()


@pytest.mark.slow
def test_a_store_that_does_not_answer_at_the_end_is_finished_later(
    owner, run, breaking, broken_url
):
    broken = on(owner, broken_url)
    breaking.faults.append(Fault("PUT", "receipt.tlog-proof", 503, times=5))
    result = pipeline.run(broken, broken.path / "contracts" / "stops.odcs.yaml")
    assert result.pending
    assert breaking.faults[0].met == 5
    assert broken.open_store().versions(DATASET) == []
    (finished,) = pipeline.resume(broken)
    assert finished.version == 1
    assert names(owner, 1) == FILES


def test_a_signed_version_whose_parts_were_taken_away_is_let_go(owner, run, monkeypatch):
    from zhixin_ledger.client import LedgerClient

    def gone(*_):
        raise LedgerUnavailable("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(LedgerClient, "receipt", gone)
        assert run().pending
    owner.open_store().objects.below(f"{DATASET}/1").delete("part-00000.parquet")
    with pytest.raises(ConfigError, match="is gone") as caught:
        pipeline.resume(owner)
    assert caught.value.code == "staging"
    assert run().version == 2  # the ledger has version 1: it is lost, and said to be


def test_the_last_object_is_the_receipt(owner, run, breaking, broken_url):
    broken = on(owner, broken_url)
    pipeline.run(broken, broken.path / "contracts" / "stops.odcs.yaml")
    written = [each.split(" ")[1].split("?")[0].rpartition("/")[2]
               for each in breaking.seen if each.startswith("PUT ")]  # fmt: skip
    assert written == [FILES[2], "contract.yaml", "manifest.json", "statement.json", FILES[3]]


@pytest.mark.parametrize("way", ["to a folder", "from a folder", "between buckets"])
def test_versions_are_fetched_wherever_they_lie(owner, run, world, way, s3_url):
    result = run()
    theirs = world.other
    theirs.ledger_client().sync()
    if way == "from a folder":
        local = fetch(owner, DATASET, 1, world.folder / "away").path
        stores = {"bts.gov.example": str(local.parents[2])}
    else:
        stores = {"bts.gov.example": s3_url}
    settings = replace(theirs.filed_settings(), stores=stores)
    if way != "to a folder":
        settings = replace(settings, store=s3_url.replace("/store?", "/theirs?"))
    theirs = theirs.save(settings)
    fetched = fetch(theirs, DATASET, 1)
    assert (fetched.new, fetched.verdict.ok) == (True, True)
    assert fetched.path != result.path
    assert contents(theirs.open_store()) == contents(owner.open_store())
    assert not fetch(theirs, DATASET, 1).new
    assert list(theirs.staging.glob("fetch-*")) == []


def test_what_the_gate_refuses_is_not_kept_and_never_a_version(owner, run, world, s3_url):
    run()
    owner.open_store().objects.below(f"{DATASET}/1/inside").put("x", b"")
    theirs = world.other
    theirs.ledger_client().sync()
    settings = replace(theirs.filed_settings(), stores={"bts.gov.example": s3_url})
    theirs = theirs.save(replace(settings, store=s3_url.replace("/store?", "/theirs?")))
    with pytest.raises(VerificationError) as caught:
        fetch(theirs, DATASET, 1)
    assert caught.value.code == "unlisted-file"
    assert theirs.open_store().objects.listed() == []
    with pytest.raises(ConfigError) as missing:
        fetch(theirs, DATASET, 2)
    assert missing.value.code == "not-there"


def test_an_erased_version_is_gone_but_for_what_tells_of_it(owner, run):
    run()
    erasure = plan(owner, DATASET, [1])
    assert str(owner.open_store().place(DATASET, 1)) in erasure.to_json()["files"]
    assert erasure.keeper == ""
    steps = []
    with pytest.raises(KeyboardInterrupt):
        erase(owner, erasure, lambda name: steps.append(name) or _stop_at(name, "quarantine 1"))
    store = owner.open_store()
    assert store.versions(DATASET) == []
    erase(owner, erasure)
    assert (names(owner, 1), store.is_erased(DATASET, 1)) == ([], True)
    kept = store.objects.below(f"{DATASET}/1.erased").sizes()
    assert sorted(kept) == ["contract.yaml", "receipt.tlog-proof", "standing.json",
                            "statement.json"]  # fmt: skip
    assert json.loads((owner.path / "runs" / f"{DATASET}.json").read_text())["version"] == 1


def _stop_at(name, last):
    if name == last:
        raise KeyboardInterrupt


def test_a_bucket_that_keeps_old_versions_is_told_before_an_erasure(owner, run, s3_url, s3_port):
    from tests.gateway.stores.test_objects import keep_versions

    keep_versions(s3_url, s3_port)
    run()
    assert plan(owner, DATASET, [1]).keeper == owner.open_store().name


def test_withdrawn_is_withdrawn_there_too(owner, run):
    run()
    withdraw(owner, DATASET, 1, "error")
    verdict = verify(
        owner.open_store().place(DATASET, 1), owner.trust(), ledger_copy=owner.ledger_view()
    )
    assert verdict.code == "withdrawn"


def test_settings_and_environment_name_it_and_hold_no_secret(owner, s3_url):
    assert Home.open(owner.path).open_store().name.startswith("s3://bucket-")
    assert Home.open(owner.path, {"ZHIXIN_STORE": "elsewhere"}).store == owner.path / "elsewhere"
    with pytest.raises(ConfigError) as caught:
        _ = Home.open(owner.path).store
    assert caught.value.code == "store-remote"
    with pytest.raises(ConfigError, match="no place"):
        Home.open(owner.path, {"ZHIXIN_STORE": s3_url.replace("s3://", "s3://key:secret@")})
    file = owner.path / "zhixin.toml"
    file.write_text(file.read_text().replace("s3://", "s3://key:secret@", 1))
    with pytest.raises(ConfigError, match="no place") as held:
        Home.open(owner.path)
    assert "secret@" not in held.value.message


def test_doctor_tries_what_a_store_must_allow(owner, run, world, s3_url, s3_port):
    from tests.gateway.stores.test_objects import keep_versions

    run()
    theirs = world.other
    stores = {"bts.gov.example": s3_url, "c.example": s3_url.replace("bucket-", "nobucket-")}
    theirs = theirs.save(replace(theirs.filed_settings(), stores=stores))
    told = [(each.state, each.message) for each in check_up(theirs) if each.check == "stores"]
    assert [state for state, _ in told] == ["ok", "fail"]
    assert "1 datasets lie there" in told[0][1]
    assert "no such bucket" in told[1][1]
    keep_versions(s3_url, s3_port)
    told = [(each.state, each.message) for each in check_up(owner) if each.check == "stores"]
    assert [state for state, _ in told] == ["ok", "warn", "ok"]
    assert "keeps old versions" in told[1][1]
    assert owner.open_store().datasets() == [DATASET]
    assert [each.name for each in owner.open_store().objects.listed()] == ["bts.gov.example"]


def test_http_is_for_this_machine_alone(s3_url):
    assert not open_store(s3_url).is_in_clear
    assert open_store(s3_url.replace("127.0.0.1", "minio.example")).is_in_clear
    assert not open_store("s3://bucket/x?region=cn-north-1").is_in_clear


def test_doctor_says_what_it_may_not_do(owner, breaking, broken_url):
    breaking.faults.append(Fault("PUT", "", 403))
    found = [each for each in check_up(on(owner, broken_url)) if each.check == "stores"]
    assert found[0].state == "fail"
    assert "may not do it" in found[0].message


def test_a_backup_has_all_but_the_versions(owner, run, world):
    run()
    backup = make_backup(owner, world.folder / "backup.tar")
    assert any("object store" in item["why"] for item in backup.left_out)


def let_say(contract, **options):
    lines = "".join(f"      - {{property: zhixin.{n}, value: {v}}}\n" for n, v in options.items())
    text = contract.read_text().replace(
        "  - {server: silo, type: custom}\n",
        f"  - server: silo\n    type: custom\n    customProperties:\n{lines}",
    )
    contract.write_text(text)


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of some records each, whatever hashes them."""
    monkeypatch.setenv("ZHIXIN_KERNEL", "off")
    for name, value in (("CUT_RECORDS", 64), ("MAX_RECORDS", 512), ("CUT_BITS", 4)):
        monkeypatch.setattr(hashing, name, value)


def test_what_is_new_is_added_and_all_other_parts_are_carried(
    owner, world, some_stops, small_parts, breaking, broken_url
):
    contract = world.stops()
    let_say(contract, watermark="day", incremental="key")
    pipeline.run(owner, contract)
    world.fill("stops", [*some_stops, ("2024-09-01", "L99", 1, "JFK")])
    result = pipeline.run(on(owner, broken_url), contract)
    assert (result.version, result.records) == (2, 3_001)
    first, second = (
        parse_manifest(owner.open_store().read(DATASET, n, "manifest.json")) for n in (1, 2)
    )
    kept = {part.salt_key for part in first.parts} & {part.salt_key for part in second.parts}
    assert len(kept) == len(first.parts) - 1 > 5
    sent = {each.split("?")[0] for each in breaking.seen if "PUT" in each and "part-" in each}
    assert len(sent) == len(kept) + 1  # a copy is a PUT too, without a body
    place = owner.open_store().place(DATASET, 2)
    assert verify(place, owner.trust(), deep=True, ledger_copy=owner.ledger_view()).ok


def test_workers_write_to_the_store_side_by_side(owner, world):
    contract = world.stops()
    let_say(contract, partition="day", partitions='["2024-02-01", "2024-03-01"]', immutable="true")
    staged = partitions.plan(owner, contract)
    for index in (2, 0, 0, 1):
        partitions.extract_partition(owner, staged, index)
    result = pipeline.notarise(owner, pipeline.write(owner, joining.join(owner, staged)))
    assert (result.version, result.records) == (1, 3_000)
    parts = [f"part-{number:05}.parquet" for number in range(3)]
    assert names(owner, 1) == sorted([*parts, *(set(FILES) - {FILES[2]})])
    assert [each.name for each in owner.open_store().objects.below(DATASET).listed()] == ["1"]
    assert verify(result.path, owner.trust(), deep=True, ledger_copy=owner.ledger_view()).ok


def test_an_object_that_changes_after_the_check_is_refused_as_it_is_read(owner, run):
    run()
    opened = zhixin_gateway.open(DATASET, home=owner)
    objects = owner.open_store().objects.below(f"{DATASET}/1")
    with objects.open(FILES[2]) as file:
        data = file.read()
    objects.put(FILES[2], data[:-9] + b"x" + data[-8:])
    with pytest.raises(VerificationError) as caught:
        opened.to_arrow()
    assert caught.value.code == "part-digest"
    objects.delete(FILES[2])
    with pytest.raises(VerificationError) as gone:
        opened.to_arrow()
    assert gone.value.code == "part-digest"


@pytest.mark.parametrize("name", FILES)
def test_nothing_hides_below_a_files_name(owner, run, name):
    """In a bucket an object may have the name of what looks like a folder."""
    result = run()
    owner.open_store().objects.below(f"{DATASET}/1/{name}").put("hidden.parquet", b"x")
    verdict = verify(result.path, owner.trust(), ledger_copy=owner.ledger_view())
    assert (verdict.code, f"{name} is a folder" in verdict.message) == ("malformed", True)


def test_a_bucket_that_vanishes_is_said(owner, run, s3_url, s3_port):
    import boto3

    result = run()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{s3_port}", region_name="us-east-1")
    bucket = s3_url.split("/")[2]
    for item in client.list_objects_v2(Bucket=bucket)["Contents"]:
        client.delete_object(Bucket=bucket, Key=item["Key"])
    client.delete_bucket(Bucket=bucket)
    client.close()
    for act in (run, lambda: verify(result.path, owner.trust()), owner.open_store().datasets):
        with pytest.raises(ConfigError) as caught:
            act()
        assert caught.value.code == "store-missing"
