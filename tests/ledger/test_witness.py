"""Witnesses and mirrors against logs that lie: what breaks a rule or forks gets no cosignature."""

from __future__ import annotations

import shutil

import pytest
from zhixin_errors import LedgerRefused, LedgerUnavailable
from zhixin_ledger import (
    checkpoint,
    cosignature,
    dsse,
    files,
    forks,
    standing_check,
    statements,
    tiles,
)
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.client import member_object
from zhixin_ledger.equivocation import Report
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, MLDSA44
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note, parse_signature_lines
from zhixin_ledger.signers import MemorySigner, generate_signer, load_signer
from zhixin_ledger.state import Change
from zhixin_ledger.trust import trust_of
from zhixin_ledger.witness import Witness

PLANES = "faa.gov.example/planes"
WITNESS = "noaa.gov.example"


def witness_of(world, source, name: str = WITNESS, **options) -> Witness:
    home = world.home(name)
    mirror = Mirror(home / "ledger", **options)
    world.clients.append(mirror)
    return Witness(name, mirror, [load_signer(home / "keys/cosigner.pem")], source, world.clock)


def cosigned(witness: Witness, liar, note: Note | None = None) -> bytes:
    return witness.add_checkpoint(0, [], (note or liar.note()).format())


def refusal(witness: Witness, liar, note: Note | None = None) -> LedgerRefused:
    with pytest.raises(LedgerRefused) as refused:
        cosigned(witness, liar, note)
    return refused.value


def test_a_good_ledger_is_cosigned_once_it_was_replayed(world, liar):
    liar.follow([world.contract(PLANES)]).sealed()
    witness = witness_of(world, liar.source)
    (line,) = parse_signature_lines(cosigned(witness, liar))
    assert line.name == f"{WITNESS}/witness"
    mirror = Mirror(world.home(WITNESS) / "ledger")
    assert mirror.state().size == 4
    assert mirror.cosigned()[:2] == (4, liar.state.root)
    assert mirror.note() is None  # its quorum is not there yet
    mirror.close()


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (lambda world: world.version(PLANES), "duplicate"),
        (lambda world: world.version(PLANES, 3), "version-order"),
        (lambda world: world.version(PLANES, 2, signer="bts.gov.example"), "owner"),
        (lambda world: world.contract(PLANES)[:-1], "malformed"),
        (lambda world: b"nonsense", "malformed"),
        (lambda world: b"", "malformed"),
        (lambda world: b"[" * 60_000, "malformed"),
        (lambda world: world.signed(b"{}", "faa.gov.example"), "malformed"),
        (
            lambda world: world.contract(PLANES).replace(b'"sig":"', b'"sig":"AAAA', 1)[:-4],
            "malformed",
        ),
        (lambda world: b'{"seal":{}}', "seal"),
    ],
)
def test_a_log_with_one_entry_that_breaks_a_rule_gets_no_cosignature(world, liar, bad, code):
    liar.follow([world.contract(PLANES)]).sealed()
    liar.follow([world.version(PLANES)])
    liar.force(bad(world)).sealed()
    mirror = Mirror(world.home(WITNESS) / "ledger")
    fault = refusal(witness_of(world, liar.source), liar)
    assert fault.code == code
    assert fault.details["index"] == 5
    assert mirror.cosigned() is None
    assert mirror.state().size == 0
    mirror.close()


def test_a_state_root_that_is_not_ones_own_gets_no_cosignature(world, liar):
    liar.force(world.contract(PLANES), Change(())).sealed()
    fault = refusal(witness_of(world, liar.source), liar)
    assert (fault.code, fault.details["index"]) == ("state", 3)


def test_an_open_block_gets_no_cosignature(world, liar):
    liar.follow([world.contract(PLANES)])
    assert refusal(witness_of(world, liar.source), liar).code == "seal"


def test_a_size_within_a_block_gets_no_cosignature_though_its_entries_were_replayed(world, liar):
    liar.follow([world.contract(PLANES), world.contract("faa.gov.example/other")])
    within = liar.note()
    liar.sealed()
    witness = witness_of(world, liar.source)
    mirror = Mirror(world.home(WITNESS) / "ledger")
    mirror.follow(liar.note(), liar.source)  # the copy is ahead of what the witness cosigned
    assert refusal(witness, liar, within).code == "seal"
    assert mirror.cosigned() is None
    mirror.close()


def test_a_copy_put_back_from_a_backup_never_cosigns_against_the_checkpoint_it_kept(
    world, liar, make_liar
):
    cosigned(witness_of(world, liar.source), liar)  # of genesis alone
    database = world.home(WITNESS) / "ledger" / "mirror.sqlite"
    for client in world.clients:
        client.close()
    backup = database.read_bytes()

    liar.follow([world.contract(PLANES)]).sealed()
    liar.follow([world.version(PLANES)]).sealed()
    mirror = Mirror(database.parent)
    mirror.follow(liar.note(), liar.source)
    files.write_file(database.parent / "checkpoint", liar.note().format())
    mirror.close()
    database.write_bytes(backup)

    fork = make_liar("fork")
    fork.follow([world.contract("faa.gov.example/other")]).sealed()
    witness = witness_of(world, fork.source)
    note = fork.note().format()
    proof = tiles.Tiles(fork.source, 4).consistency_path(2)
    with pytest.raises(LedgerUnavailable) as behind:
        witness.add_checkpoint(2, proof, note)
    assert behind.value.code == "ledger-rolled-back"
    fork.follow([world.contract("faa.gov.example/m1")]).sealed()
    fork.follow([world.contract("faa.gov.example/m2")]).sealed()
    note = fork.note().format()
    proof = tiles.Tiles(fork.source, 8).consistency_path(2)
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(2, proof, note)
    assert refused.value.code == "forked"
    # The ledger that it knew brings it back to where it was.
    witness = witness_of(world, liar.source)
    tree = tiles.Tiles(liar.source, 6)
    assert witness.add_checkpoint(2, tree.consistency_path(2), liar.note().format())


def test_a_root_that_is_not_the_entries_gets_no_cosignature(world, liar):
    liar.follow([world.contract(PLANES)]).sealed()
    note = liar.note(root=b"\7" * 32)
    assert refusal(witness_of(world, liar.source), liar, note).code == "root"


def test_a_checkpoint_that_the_log_did_not_sign_gets_no_cosignature(world, liar):
    good = liar.note()
    text = good.text
    stranger = checkpoint.sign(checkpoint.parse(text), MemorySigner(b"\1" * 32))
    assert refusal(witness_of(world, liar.source), liar, stranger).code == "log-signature"
    line = good.signatures[0]
    nameless = Note(text, (type(line)("x", line.key_id, line.signature),))
    assert refusal(witness_of(world, liar.source), liar, nameless).code == "log-signature"


def test_a_note_that_is_none_gets_no_cosignature(world, liar):
    witness = witness_of(world, liar.source)
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(0, [], b"nonsense\n")
    assert refused.value.code == "malformed"


def test_another_ledger_gets_no_cosignature(world, liar):
    cosigned(witness_of(world, liar.source), liar)
    liar.world = type("Other", (), {"origin": "other.example/1", "log_signer": world.log_signer})
    assert refusal(witness_of(world, liar.source), liar).code == "other-origin"


def test_a_witness_that_is_pinned_to_a_ledger_takes_no_other(world, liar):
    witness = witness_of(world, liar.source, origin="other.example/1")
    assert refusal(witness, liar).code == "other-origin"


def test_a_witness_cosigns_on_and_again_but_never_back(world, liar):
    witness = witness_of(world, liar.source)
    first = liar.note()
    cosigned(witness, liar, first)
    liar.follow([world.contract(PLANES)]).sealed()
    second = liar.note()
    tree = tiles.Tiles(liar.source, 4)
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(0, [], second.format())
    assert refused.value.code == "witness-conflict"
    assert refused.value.details == {"size": 2}
    witness.add_checkpoint(2, tree.consistency_path(2), second.format())
    world.clock.move(3600)
    again = witness.add_checkpoint(4, [], second.format())
    (line,) = parse_signature_lines(again)
    assert int.from_bytes(line.signature[:8]) == int(world.clock().timestamp())
    world.clock.move(-7200)
    (line,) = parse_signature_lines(witness.add_checkpoint(4, [], second.format()))
    assert int.from_bytes(line.signature[:8]) == int(world.clock().timestamp()) + 7200
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(2, [], first.format())
    assert refused.value.code == "witness-conflict"
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(4, [], first.format())
    assert refused.value.code == "malformed"


def test_a_proof_from_nothing_or_a_wrong_one_gets_no_cosignature(world, liar):
    witness = witness_of(world, liar.source)
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(0, [b"\0" * 32], liar.note().format())
    assert refused.value.code == "forked"
    cosigned(witness, liar)
    liar.follow([world.contract(PLANES)]).sealed()
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(2, [b"\0" * 32], liar.note().format())
    assert refused.value.code == "forked"


def test_a_witness_that_saw_a_size_never_cosigns_a_fork(world, liar, make_liar):
    witness = witness_of(world, liar.source)
    liar.follow([world.contract(PLANES)]).sealed()
    cosigned(witness, liar)
    fork = make_liar("fork")
    fork.follow([world.contract("faa.gov.example/other")]).sealed()
    witness._source = fork.source
    for more in ("m1", "m2"):
        note = fork.note()
        size = checkpoint.parse(note.text).size
        proof = tiles.Tiles(fork.source, size).consistency_path(4) if size > 4 else []
        with pytest.raises(LedgerRefused) as refused:
            witness.add_checkpoint(4, proof, note.format())
        assert refused.value.code == "forked"
        fork.follow([world.contract(f"faa.gov.example/{more}")]).sealed()
    # Told that it had cosigned nothing, it does not forget either.
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(0, [], fork.note().format())
    assert refused.value.code == "witness-conflict"


def test_two_heads_of_one_ledger_never_both_reach_the_quorum(world, tmp_path, monkeypatch):
    other_log = tmp_path / "other-log"
    shutil.copytree(world.log_dir, other_log)
    client = world.client()
    client.submit(world.contract(PLANES))
    client.receipt(2)
    client.close()
    shutil.rmtree(world.log_dir)
    other_log.rename(world.log_dir)
    client = world.client("ntsb.gov.example")
    index = client.submit(world.contract("faa.gov.example/other"))
    assert index == 2
    with pytest.raises(LedgerUnavailable) as stopped:
        client.receipt(index)
    assert stopped.value.code == "ledger-rolled-back"
    # A log that signs nevertheless gets no cosignature.
    monkeypatch.setattr(standing_check, "check_log", lambda *_: True)
    with pytest.raises(LedgerUnavailable) as missing:
        client.receipt(index)
    assert missing.value.code == "quorum"
    assert missing.value.details["cosigned"] == 0
    assert not (world.log_dir / "checkpoint").exists()


def test_a_cosigner_key_that_is_not_in_force_is_not_used(world, liar):
    home = world.home(WITNESS)
    (home / "keys/cosigner.pem").unlink()
    generate_signer(home / "keys/cosigner.pem")
    assert refusal(witness_of(world, liar.source), liar).code == "witness-key"


def test_only_one_of_two_that_cosign_at_once_may(world, liar):
    witness = witness_of(world, liar.source)
    mirror = Mirror(world.home(WITNESS) / "ledger")
    made = checkpoint.parse(liar.note().text)
    mirror.record_cosigned(0, made, lambda _time, _note: (1, liar.note()))
    with pytest.raises(LedgerRefused) as refused:
        mirror.record_cosigned(0, made, lambda _time, _note: (1, liar.note()))
    assert refused.value.code == "witness-conflict"
    with pytest.raises(LedgerRefused):
        cosigned(witness, liar)
    mirror.close()


def test_a_tile_that_changes_between_two_readings_is_noticed(world, liar):
    """The copy is written from a second reading of what was replayed."""
    liar.follow([world.contract(PLANES)]).sealed()
    note = liar.note()

    class Changing:
        reads = 0

        def read(self, path: str) -> bytes | None:
            data = liar.source.read(path)
            if path.startswith("tile/entries"):
                self.reads += 1
                if self.reads > 1:
                    return data[:-3] + b"\0" + data[-2:]
            return data

    mirror = Mirror(world.home(WITNESS) / "ledger")
    with pytest.raises(LedgerRefused) as refused:
        mirror.follow(note, Changing())
    assert refused.value.code == "tile"
    assert mirror.state().size == 0
    mirror.follow(note, liar.source)
    assert mirror.tree().root() == liar.state.root
    mirror.close()


def test_a_log_that_serves_half_a_bundle_leaves_the_copy_as_it_was(world, liar):
    note = liar.note()
    path = next((liar.folder / "tile/entries").rglob("2"))
    data = path.read_bytes()
    mirror = Mirror(world.home(WITNESS) / "ledger")
    path.write_bytes(data[:-1])
    with pytest.raises(LedgerRefused) as refused:
        mirror.follow(note, liar.source)
    assert refused.value.code == "malformed"
    path.unlink()
    with pytest.raises(LedgerUnavailable):
        mirror.follow(note, liar.source)
    path.write_bytes(data)
    assert mirror.follow(note, liar.source).size == 2
    mirror.close()


def test_a_checkpoint_without_its_quorum_is_not_kept(world, liar):
    note = liar.note()
    mirror = Mirror(world.home(WITNESS) / "ledger")
    mirror.follow(note, liar.source)
    with pytest.raises(LedgerRefused) as refused:
        mirror.keep(note)
    assert refused.value.code == "quorum"
    bad = parse_signature_lines(cosigned(witness_of(world, liar.source, "bts.gov.example"), liar))
    line = bad[0]
    changed = line.signature[:-1] + bytes([line.signature[-1] ^ 1])
    broken = type(line)(line.name, line.key_id, changed)
    with pytest.raises(LedgerRefused) as refused:
        mirror.keep(note.with_signatures([broken]))
    assert refused.value.code == "quorum"
    with pytest.raises(LedgerRefused) as refused:
        mirror.keep(liar.note(root=b"\1" * 32))
    assert refused.value.code == "forked"
    assert mirror.note() is None
    mirror.close()


def test_a_statement_of_another_ledger_is_no_entry_here(world, liar):
    foreign = world.contract(PLANES)
    envelope = dsse.parse_envelope(foreign)
    payload = envelope.payload.replace(b"ledger.gov.example/2026", b"ledger.gov.example/2027")
    liar.force(world.signed(payload, "faa.gov.example")).sealed()
    assert refusal(witness_of(world, liar.source), liar).code == "other-origin"


# What it does besides refusing.


def test_who_signs_a_fork_is_reported_and_never_cosigned(world, liar, make_liar):
    witness = witness_of(world, liar.source)
    liar.follow([world.contract(PLANES)]).sealed()
    cosigned(witness, liar)
    fork = make_liar("fork")
    fork.follow([world.contract("faa.gov.example/other")]).sealed()
    witness._source = fork.source
    note = fork.note()
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(4, [], note.format())
    assert refused.value.code == "forked"
    copy = world.home(WITNESS) / "ledger"
    (kept,) = forks.kept(copy)
    assert kept.name == refused.value.details["report"]
    assert kept.name in refused.value.hint
    finding = Report.parse(kept.read_bytes()).verify(trust_of(liar.state))
    assert finding.log
    assert finding.sizes == (4, 4)
    # A larger one too, whose tiles the fork itself serves; and a copy that follows it says so.
    fork.follow([world.contract("faa.gov.example/more")]).sealed()
    larger = fork.note()
    path = tiles.Tiles(fork.source, 6).consistency_path(4)
    with pytest.raises(LedgerRefused):
        witness.add_checkpoint(4, path, larger.format())
    assert len(forks.kept(copy)) == 2
    mirror = Mirror(copy)
    with pytest.raises(LedgerRefused) as refused:
        mirror.follow(larger, fork.source)
    assert refused.value.details["report"] in [path.name for path in forks.kept(copy)]
    with pytest.raises(LedgerRefused) as refused:
        mirror.keep(note)
    assert refused.value.details["report"] == kept.name
    mirror.close()
    assert len(forks.kept(copy)) == 2


def test_nothing_is_reported_on_a_strangers_word(world, liar, make_liar):
    witness = witness_of(world, liar.source)
    liar.follow([world.contract(PLANES)]).sealed()
    cosigned(witness, liar)
    fork = make_liar("fork")
    fork.follow([world.contract("faa.gov.example/other")]).sealed()
    made = checkpoint.parse(fork.note().text)
    stranger = checkpoint.sign(made, MemorySigner(b"\1" * 32))
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(4, [], stranger.format())
    assert refused.value.code == "log-signature"
    line = stranger.signatures[0]
    posed = Note(
        stranger.text, (type(line)(line.name, liar.note().signatures[0].key_id, b"x" * 64),)
    )
    with pytest.raises(LedgerRefused) as refused:
        witness.add_checkpoint(4, [], posed.format())
    assert refused.value.code == "log-signature"
    assert forks.kept(world.home(WITNESS) / "ledger") == []


def test_the_signature_is_judged_before_the_size(world, liar):
    """C2SP: 403 comes before 400 and 409, so that only the log learns what was cosigned."""
    witness = witness_of(world, liar.source)
    cosigned(witness, liar)
    stranger = checkpoint.sign(checkpoint.parse(liar.note().text), MemorySigner(b"\1" * 32))
    for old_size in (0, 1, 2, 99):
        with pytest.raises(LedgerRefused) as refused:
            witness.add_checkpoint(old_size, [], stranger.format())
        assert refused.value.code == "log-signature"


def test_the_latest_cosigned_checkpoint_bears_the_log_and_the_witness(world, liar):
    cosigned(witness_of(world, liar.source), liar)
    mirror = Mirror(world.home(WITNESS) / "ledger")
    note = Note.parse(mirror.cosigned_note())
    mirror.close()
    assert [line.name for line in note.signatures] == [world.origin, f"{WITNESS}/witness"]
    cosignature.counted(note, liar.state.cosigner_keys())


@pytest.mark.parametrize("kind", [ED25519, MLDSA44])
def test_of_several_keys_the_one_in_force_signs_on_either_side_of_a_rotation(world, liar, kind):
    home = world.home(WITNESS)
    old = load_signer(home / "keys/cosigner.pem")
    new = generate_signer(home / "keys/cosigner-2.pem", kind=kind)
    mirror = Mirror(home / "ledger")
    world.clients.append(mirror)
    witness = Witness(WITNESS, mirror, [new, old], liar.source, world.clock)
    world.clock.move(7200)  # ahead, with the old key
    (line,) = parse_signature_lines(cosigned(witness, liar))
    key = cosignature.key_of(f"{WITNESS}/witness", old)
    assert cosignature.verify(line, key, liar.note().text) > int(world.clock().timestamp()) - 1
    world.clock.move(-7200)
    member = member_object(
        WITNESS,
        (WITNESS, "成员"),
        statement_key=world.signers[WITNESS].public_key,
        cosigner=cosignature.key_of(f"{WITNESS}/witness", new),
    )
    assert liar.state.ledger is not None
    payload = statements.member_statement(
        world.origin, "rotate", member, 3, liar.state.ledger.entry
    )
    liar.follow([world.signed(payload, *world.names)]).sealed()
    path = tiles.Tiles(liar.source, len(liar.entries))
    note = liar.note()
    (line,) = parse_signature_lines(
        witness.add_checkpoint(2, path.consistency_path(2), note.format())
    )
    key = cosignature.key_of(f"{WITNESS}/witness", new)
    # The clock that ran ahead cost the old key its use, not the new one.
    assert cosignature.verify(line, key, note.text) == int(world.clock().timestamp())
    assert key.kind == (COSIGNATURE_V1 if kind == ED25519 else MLDSA44)


def test_a_checkpoint_by_file_is_cosigned_as_one_by_wire(world, liar, make_liar):
    witness = witness_of(world, liar.source)
    liar.follow([world.contract(PLANES)]).sealed()
    note = witness.sign(liar.note().format())
    assert [line.name for line in note.signatures] == [world.origin, f"{WITNESS}/witness"]
    assert len(cosignature.counted(note, liar.state.cosigner_keys())) == 1
    earlier = checkpoint.sign(
        Checkpoint(world.origin, 2, tiles.Tiles(liar.source, 4).root(2)), world.log_signer
    )
    with pytest.raises(LedgerRefused) as refused:
        witness.sign(earlier.format())
    assert refused.value.code == "witness-conflict"
    fork = make_liar("fork")
    fork.follow([world.contract("faa.gov.example/other")]).sealed()
    fork.follow([world.contract("faa.gov.example/more")]).sealed()
    witness._source = fork.source
    with pytest.raises(LedgerRefused):
        witness.sign(fork.note().format())
    assert len(forks.kept(world.home(WITNESS) / "ledger")) == 1
    witness._source = liar.source
    liar.follow([world.contract("faa.gov.example/next")]).sealed()
    assert witness.sign(liar.note().format())
