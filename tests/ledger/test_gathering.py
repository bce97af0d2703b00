"""Gathering cosignatures: only what verifies counts, and the quorum is never pretended."""

from __future__ import annotations

import threading
import time

import pytest
from zhixin_errors import LedgerRefused, LedgerUnavailable
from zhixin_ledger import checkpoint, cosignature, gathering
from zhixin_ledger.note import parse_signature_lines
from zhixin_ledger.signers import MemorySigner, load_signer
from zhixin_ledger.tiles import DirectorySource


class Fake:
    """A witness that answers as it is told; an exception is raised."""

    def __init__(self, name: str, *answers: bytes | Exception) -> None:
        self.name = name
        self.answers = list(answers)
        self.asked: list[int] = []

    def add_checkpoint(self, old_size, proof, note) -> bytes:
        self.asked.append(old_size)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def published(world):
    client = world.client()
    client.submit(world.contract("bts.gov.example/flights"))
    client.receipt(2)
    state = client.state()
    note = checkpoint.sign(
        checkpoint.Checkpoint(world.origin, state.size, state.root), world.log_signer
    )
    lines = {}
    for name in world.names:
        signer = load_signer(world.home(name) / "keys/cosigner.pem")
        lines[name] = cosignature.cosign(note.text, f"{name}/witness", signer, 7).line.encode()
    return state, note, lines, DirectorySource(world.log_dir)


def test_the_quorum_of_good_lines_is_enough(published):
    state, note, lines, source = published
    witnesses = [Fake(name, line) for name, line in lines.items()]
    sizes: dict[str, int] = {}
    full = gathering.gather(note, state, witnesses, source, sizes)
    assert len(full.signatures) == 5
    assert set(sizes.values()) == {4}


def test_surplus_lines_are_left_out_and_failing_ones_do_not_count(published):
    state, note, lines, source = published
    (first, second, third, fourth) = lines.values()
    stranger = cosignature.cosign(note.text, "x/witness", MemorySigner(b"\1" * 32), 7)
    (line,) = parse_signature_lines(third)
    changed = line.signature[:-1] + bytes([line.signature[-1] ^ 1])
    broken = type(line)(line.name, line.key_id, changed).line.encode()
    witnesses = [
        Fake("a", first + stranger.line.encode()),
        Fake("b", second),
        Fake("c", broken),
        Fake("d", stranger.line.encode()),
    ]
    with pytest.raises(LedgerUnavailable) as missing:
        gathering.gather(note, state, witnesses, source, {})
    assert missing.value.details == {"cosigned": 2, "quorum": 3}
    assert "c: a cosignature by noaa.gov.example/witness" in missing.value.message
    assert "d: none of its keys is in force" in missing.value.message
    full = gathering.gather(
        note, state, [Fake("a", first), Fake("b", second), Fake("d", fourth + first)], source, {}
    )
    assert len(full.signatures) == 4


@pytest.mark.parametrize(
    "fault",
    [
        LedgerUnavailable("not reached"),
        LedgerRefused("no", code="forked"),
        LedgerRefused("another", code="witness-conflict", details={"size": 99}),
        LedgerRefused("another", code="witness-conflict", details={"size": "x"}),
    ],
)
def test_a_witness_that_fails_does_not_stop_the_others(published, fault):
    state, note, lines, source = published
    good = [Fake(name, line) for name, line in list(lines.items())[:3]]
    gathering.gather(note, state, [Fake("bad", fault), *good], source, {})
    with pytest.raises(LedgerUnavailable, match="bad: "):
        gathering.gather(note, state, [Fake("bad", fault)], source, {})


def test_a_witness_that_cosigned_another_size_is_asked_once_more(published):
    state, note, lines, source = published
    conflict = LedgerRefused("2", code="witness-conflict", details={"size": 2})
    witnesses = [Fake(name, conflict, line) for name, line in lines.items()]
    gathering.gather(note, state, witnesses, source, {})
    assert [witness.asked for witness in witnesses] == [[0, 2]] * 4
    stubborn = Fake("s", conflict, conflict)
    with pytest.raises(LedgerUnavailable):
        gathering.gather(note, state, [stubborn], source, {})
    assert stubborn.asked == [0, 2]


def test_an_answer_that_is_no_signature_line_does_not_count(published):
    state, note, _, source = published
    with pytest.raises(LedgerUnavailable, match="nonsense: "):
        gathering.gather(note, state, [Fake("nonsense", b"hello")], source, {})


class Slow(Fake):
    """A witness that answers only when it is let go."""

    def __init__(self, name: str, *answers: bytes | Exception) -> None:
        super().__init__(name, *answers)
        self.let_go = threading.Event()

    def add_checkpoint(self, old_size, proof, note) -> bytes:
        self.let_go.wait(30)
        return super().add_checkpoint(old_size, proof, note)


def test_a_witness_that_hangs_holds_nothing_up_once_the_quorum_is_there(published):
    state, note, lines, source = published
    (name, line), *others = lines.items()
    slow = Slow(name, line)
    began = time.monotonic()
    full = gathering.gather(
        note, state, [slow, *(Fake(*each) for each in others)], source, {}, grace_s=0.2
    )
    assert time.monotonic() - began < 10
    assert len(full.signatures) == 4
    slow.let_go.set()


def test_all_are_asked_at_once_and_stand_in_their_order(published):
    state, note, lines, source = published
    slow = [Slow(name, line) for name, line in lines.items()]
    threading.Timer(0.2, lambda: [each.let_go.set() for each in reversed(slow)]).start()
    full = gathering.gather(note, state, slow, source, {})
    assert [line.name for line in full.signatures[1:]] == [f"{name}/witness" for name in lines]


def test_an_observer_hears_what_became_of_each(published):
    state, note, lines, source = published
    witnesses = [Fake(name, line) for name, line in list(lines.items())[:3]]
    witnesses.append(Fake("dead", LedgerUnavailable("not reached")))
    told = {}
    gathering.gather(
        note,
        state,
        witnesses,
        source,
        {},
        observe=lambda who, fault: told.update({who.name: fault}),
    )
    assert told.pop("dead").message == "not reached"
    assert set(told.values()) == {None}


def test_a_fault_of_ours_is_no_answer_of_a_witness(published):
    state, note, _, source = published
    with pytest.raises(ZeroDivisionError):
        gathering.gather(note, state, [Fake("ours", ZeroDivisionError())], source, {})


def test_a_witness_that_cosigned_more_meanwhile_is_not_told_of_it(published):
    state, note, lines, source = published
    witnesses = [Fake(name, line) for name, line in lines.items()]
    gathering.gather(note, state, witnesses, source, dict.fromkeys(lines, 9))
    assert [witness.asked for witness in witnesses] == [[0]] * 4
