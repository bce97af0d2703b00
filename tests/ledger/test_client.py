"""A member's view: submit, receipt, copy; what it does when log or witnesses can't be reached."""

from __future__ import annotations

import hashlib

import pytest
from zhixin_errors import ConfigError, LedgerRefused, LedgerUnavailable
from zhixin_ledger import client as ledger
from zhixin_ledger import cosignature, merkle, tlogproof
from zhixin_ledger.audit import audit
from zhixin_ledger.client import LedgerClient, WitnessUrl
from zhixin_ledger.trust import Trust

PLANES = "faa.gov.example/planes"
FLIGHTS = "bts.gov.example/flights"


def published(client, data: bytes) -> tuple[int, bytes]:
    index = client.submit(data)
    return index, client.receipt(index)


def test_a_ledger_of_one_member_gives_receipts(make_world):
    world = make_world(members=1, quorum=1).found()
    client = world.client()
    index, receipt = published(client, world.contract(FLIGHTS))
    assert tlogproof.parse_receipt(receipt).index == index == 2


def test_a_receipt_proves_the_entry_to_whoever_has_the_trust(world):
    client = world.client("faa.gov.example")
    data = world.contract(PLANES)
    index, receipt = published(client, data)
    state = client.state()
    trust = Trust.make(
        client.origin,
        state.size,
        state.root,
        state.quorums,
        [member.to_json() for member in state.members.values()],
    )
    read = tlogproof.parse_receipt(receipt)
    made = read.checkpoint
    merkle.verify_inclusion(index, made.size, merkle.leaf_hash(data), read.path, made.root)
    cosigned = cosignature.counted(read.signed, [key.key for key in trust.cosigners(made.size)])
    assert len(cosigned) == 4
    assert set(cosigned.values()) == {int(world.clock().timestamp())}


def test_every_member_sees_the_same_ledger_in_its_own_copy(world):
    owner = world.client("faa.gov.example")
    entries = [world.contract(PLANES)]
    entries.append(world.version(PLANES))
    entries.append(world.version(PLANES, 2, previous=entries[1]))
    entries.append(world.withdrawal(PLANES, 1))
    for data in entries:
        published(owner, data)
    for name in world.names:
        client = world.client(name)
        state = client.sync()
        fact = state.dataset(PLANES)
        assert (fact.version, fact.withdrawn, fact.entry) == (2, (1,), 6)
        assert fact.statement_hex == hashlib.sha256(entries[2]).hexdigest()
        assert state.contract(PLANES).version == "1.0.0"
        assert state.stated(PLANES, 1).index == 4
        assert state.stated(PLANES, 9) is None
        assert client.dataset(PLANES) == fact
        assert client.stated(PLANES, 2).index == 6
        assert [item.dataset for item in state.datasets()] == [PLANES]
        assert client.entry(6) == entries[2]
        assert [index for index, _ in client.entries(5)] == list(range(5, 10))
        assert client.root_at(10) == state.root
        assert client.fsck().ok
        log, copy = world.log_dir, world.home(name) / "ledger"
        for path in copy.rglob("tile/**/*"):
            if path.is_file():
                assert path.read_bytes() == (log / path.relative_to(copy)).read_bytes()
    assert audit(world.log_dir).ok


def test_a_copy_works_without_the_log(world):
    client = world.client("ntsb.gov.example")
    published(client, world.contract("ntsb.gov.example/delays"))
    world.log_dir.rename(world.log_dir.with_name("away"))
    client = world.client("ntsb.gov.example")
    assert client.origin == world.origin
    assert client.state().size == 4
    assert tlogproof.parse_receipt(client.own_receipt(2)).index == 2
    with pytest.raises(LedgerUnavailable):
        client.sync()
    with pytest.raises(LedgerUnavailable) as missing:
        client.submit(world.contract(PLANES))
    assert missing.value.code == "ledger-missing"


def test_an_empty_copy_tells_that_it_is_empty(world):
    client = world.client()
    assert client.state().size == 0
    with pytest.raises(LedgerUnavailable) as empty:
        client.checkpoint()
    assert empty.value.code == "ledger-empty"
    with pytest.raises(LedgerUnavailable):
        client.own_receipt(0)


def test_the_quorum_is_enough_though_one_member_is_away(world):
    away = world.home("noaa.gov.example")
    away.rename(away.with_name("elsewhere"))
    client = world.client()
    _, receipt = published(client, world.contract(FLIGHTS))
    assert len(tlogproof.parse_receipt(receipt).signed.signatures) == 4


def test_without_the_quorum_the_proof_is_pending_and_comes_later(world):
    client = world.client("faa.gov.example", witnesses=world.witnesses[:2])
    index = client.submit(world.contract(PLANES))
    with pytest.raises(LedgerUnavailable) as pending:
        client.receipt(index)
    assert pending.value.code == "quorum"
    assert pending.value.exit_code == 3
    assert "too few witnesses" in pending.value.message
    assert not (world.log_dir / "checkpoint").exists()
    with pytest.raises(LedgerUnavailable):
        client.sync()
    again = world.client("faa.gov.example")
    assert again.submit(world.contract(PLANES)) == index
    assert tlogproof.parse_receipt(again.receipt(index)).index == index


def test_a_member_that_was_away_catches_up(world):
    few = [world.witnesses[at] for at in (0, 1, 2)]
    client = world.client("faa.gov.example", witnesses=few)
    published(client, world.contract(PLANES))
    all_of_them = world.client("faa.gov.example")
    _, receipt = published(all_of_them, world.version(PLANES))
    assert len(tlogproof.parse_receipt(receipt).signed.signatures) == 5


def test_what_another_process_left_unpublished_is_published_by_the_next_sync(world):
    mute = world.client("faa.gov.example", witnesses=[])
    index = mute.submit(world.contract(PLANES))
    state = world.client("ntsb.gov.example").sync()
    assert state.contract(PLANES).entry == index


def test_a_client_lets_go_of_its_databases(world):
    with LedgerClient.open(
        world.home("faa.gov.example") / "ledger", f"file:../{world.names[0]}", world.witnesses
    ) as client:
        assert client.origin == world.origin
        client.submit(world.contract(PLANES))
    client.close()


def test_a_member_whose_folder_can_not_be_written_costs_no_more_than_its_cosignature(world):
    (world.home("noaa.gov.example") / "ledger").write_bytes(b"a file where a folder should be")
    _, receipt = published(world.client(), world.contract(FLIGHTS))
    assert len(tlogproof.parse_receipt(receipt).signed.signatures) == 4


def test_an_idle_ledger_stays_fresh(world):
    client = world.client()
    published(client, world.contract(FLIGHTS))
    world.clock.move(3600)
    client.refresh()
    note = tlogproof.parse_receipt(client.own_receipt(2)).signed
    times = cosignature.counted(note, client.state().cosigner_keys())
    assert set(times.values()) == {int(world.clock().timestamp())}


def test_a_copy_that_is_pinned_to_a_ledger_takes_no_other(world):
    published(world.client(), world.contract(FLIGHTS))
    other = LedgerClient.open(
        world.home("faa.gov.example") / "ledger",
        f"file:../{world.names[0]}",
        world.witnesses,
        world.clock,
        origin="other.example/1",
    )
    world.clients.append(other)
    with pytest.raises(LedgerRefused) as refused:
        other.sync()
    assert refused.value.code == "other-origin"


def test_a_log_that_serves_nonsense_is_refused(world):
    client = world.client("ntsb.gov.example")
    published(client, world.contract("ntsb.gov.example/delays"))
    good = (world.log_dir / "checkpoint").read_bytes()
    (world.log_dir / "checkpoint").write_bytes(b"nonsense\n")
    with pytest.raises(LedgerRefused) as refused:
        client.sync()
    assert refused.value.code == "malformed"
    (world.log_dir / "checkpoint").write_bytes(good)
    assert client.sync().size == 4


def test_a_log_that_shows_another_past_is_refused(world):
    client = world.client("ntsb.gov.example")
    published(client, world.contract("ntsb.gov.example/delays"))
    note = (world.log_dir / "checkpoint").read_text().split("\n")
    from zhixin_ledger import checkpoint
    from zhixin_ledger.checkpoint import Checkpoint

    forged = checkpoint.sign(Checkpoint(note[0], 4, b"\5" * 32), world.log_signer)
    (world.log_dir / "checkpoint").write_bytes(forged.format())
    with pytest.raises(LedgerRefused) as refused:
        client.sync()
    assert refused.value.code == "forked"
    forged = checkpoint.sign(Checkpoint(note[0], 2, b"\5" * 32), world.log_signer)
    (world.log_dir / "checkpoint").write_bytes(forged.format())
    with pytest.raises(LedgerRefused) as refused:
        client.sync()
    assert refused.value.code == "forked"


def test_a_copy_that_is_ahead_judges_an_older_checkpoint_by_the_keys_of_its_time(world):
    from zhixin_ledger import statements
    from zhixin_ledger.keys import COSIGNATURE_V1, VerifierKey
    from zhixin_ledger.mirror import Mirror
    from zhixin_ledger.note import Note
    from zhixin_ledger.signers import generate_signer
    from zhixin_ledger.tiles import DirectorySource

    client = world.client(witnesses=world.witnesses[:3])
    published(client, world.contract(FLIGHTS))
    older = Note.parse(client.checkpoint())
    name = "faa.gov.example"
    key_file = world.home(name) / "keys/cosigner.pem"
    key_file.unlink()
    new = VerifierKey.make(f"{name}/witness", COSIGNATURE_V1, generate_signer(key_file).public_key)
    member = ledger.member_object(
        name, (name, "成员"), statement_key=world.signers[name].public_key, cosigner=new
    )
    entry = client.state().ledger.entry
    rotate = statements.member_statement(world.origin, "rotate", member, 3, entry)
    client.submit(world.signed(rotate, *world.names))
    client.receipt(4)
    newer = Note.parse(client.checkpoint())
    assert {line.key_id for line in older.signatures} != {line.key_id for line in newer.signatures}
    copy = Mirror(world.root / "copy")
    copy.follow(newer, DirectorySource(world.log_dir))
    copy.keep(older)
    assert copy.checkpoint().size == 4
    assert audit(world.root / "copy").ok
    copy.keep(newer)
    copy.keep(older)
    assert copy.checkpoint().size == 6
    assert copy.state().cosigner_keys(4) != copy.state().cosigner_keys(6)
    copy.close()


def test_a_log_that_shows_an_older_checkpoint_takes_nothing_back(world):
    client = world.client("ntsb.gov.example")
    published(client, world.contract("ntsb.gov.example/delays"))
    older = (world.log_dir / "checkpoint").read_bytes()
    published(client, world.contract(PLANES))
    client.close()
    client = world.client("ntsb.gov.example", witnesses=[])
    (world.log_dir / "checkpoint").write_bytes(older)
    assert client.sync().size == 6
    assert client.own_receipt(4)


def test_fsck_notices_a_record_that_is_not_the_entries(world):
    import sqlite3

    client = world.client()
    published(client, world.contract(FLIGHTS))
    assert client.fsck().ok
    database = sqlite3.connect(world.home(world.names[0]) / "ledger" / "mirror.sqlite")
    database.execute("UPDATE nodes SET hash = zeroblob(32) WHERE level = 0 AND idx = 1")
    database.execute("UPDATE nodes SET hash = zeroblob(32) WHERE level = 1 AND idx = 0")
    database.execute("UPDATE nodes SET hash = zeroblob(32) WHERE level = 2 AND idx = 0")
    database.commit()
    database.close()
    report = client.fsck()
    assert report.code == "state"


def test_a_database_that_is_none_is_told_and_not_a_crash(world):
    path = world.home(world.names[0]) / "ledger"
    path.mkdir()
    (path / "mirror.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(LedgerUnavailable) as damaged:
        world.client()
    assert damaged.value.code == "ledger-damaged"


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://u:p@h",
        "http://h:x",
        "http://[x",
        "file://[x",
        "../bts.gov.example",
        "file://host/x",
        "file:",
        "ftp:x",
    ],
)
def test_a_url_that_can_not_be_reached_is_a_fault_of_set_up(world, url):
    with pytest.raises(ConfigError):
        LedgerClient.open(world.home(world.names[0]) / "ledger", url)
    with pytest.raises(ConfigError):
        LedgerClient.open(
            world.home(world.names[0]) / "ledger",
            f"file:../{world.names[0]}",
            [WitnessUrl("faa.gov.example", url)],
        )


def test_absolute_and_escaped_file_urls_name_folders(world):
    from zhixin_ledger.transport import file_path

    base = world.root
    assert file_path("file:///a/b%20c", base) == file_path("file:/a/b%20c", base)
    assert str(file_path("file:/a/b%20c", base)) == "/a/b c"
    assert file_path("file:../x", base) == base / "../x"


def test_governance_and_withdrawal_by_a_quorum(world):
    from zhixin_ledger import statements
    from zhixin_ledger.signers import MemorySigner

    client = world.client()
    published(client, world.contract(PLANES))
    published(client, world.version(PLANES))
    three = world.names[:3]
    published(client, world.withdrawal(PLANES, 1, *three))
    assert client.state().dataset(PLANES).withdrawn == (1,)
    ledger_fact = client.state().ledger
    rules = statements.rules_statement(world.origin, 4, ledger_fact.entry)
    published(client, world.signed(rules, *three))
    assert client.state().quorum == 4
    new = MemorySigner(b"\x21" * 32)
    world.signers["usgs.gov.example"] = new
    member = ledger.member_object(
        "usgs.gov.example", ("USGS", "地质"), statement_key=new.public_key
    )
    join = statements.member_statement(world.origin, "join", member, 4, client.state().ledger.entry)
    published(client, world.signed(join, "usgs.gov.example", *world.names))
    assert client.state().members["usgs.gov.example"].active
    leave = statements.member_statement(
        world.origin, "leave", member, 3, client.state().ledger.entry
    )
    published(client, world.signed(leave, *world.names))
    assert not client.state().members["usgs.gov.example"].active
    assert client.state().quorums == ((0, 3), (8, 4), (12, 3))
    assert client.fsck().ok
