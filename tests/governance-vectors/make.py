"""Makes the vectors of governance chains: `python tests/governance-vectors/make.py`.

Keys, times and values are made up and always the same, so that the files come out the same. A
negative case has one fault; all that follows from it is made anew, well signed and cosigned, as a
ledger's writer together with its members' cosigner keys could. What stops it is the one check.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from zhixin_ledger import (
    admission,
    checkpoint,
    cosignature,
    dsse,
    encoding,
    governance,
    merkle,
    seal,
    statements,
    tlogproof,
)
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.facts import LedgerFact
from zhixin_ledger.keys import COSIGNATURE_V1, ED25519, MLDSA44, VerifierKey, verify_ed25519
from zhixin_ledger.kinds import base
from zhixin_ledger.signers import MemorySigner
from zhixin_ledger.state import Change, State
from zhixin_ledger.trust import Trust, trust_of

FOLDER = Path(__file__).parent
ORIGIN = "ledger.gov.example/2026"
A, B, C, D, E = (f"{letter}.gov.example" for letter in "abcde")
FOUNDERS = (A, B, C, D)
START = datetime(2026, 2, 3, 8, 0, tzinfo=UTC)


def key(label: str) -> MemorySigner:
    """The made-up key of a label."""
    return MemorySigner(hashlib.sha256(label.encode()).digest())


class Ledger:
    """A ledger in memory whose every key the caller has.

    Args:
        salt: makes the keys of another ledger.
        origin: its name.
    """

    def __init__(self, salt: str = "", origin: str = ORIGIN) -> None:
        self.salt = salt
        self.origin = origin
        self.state = State()
        self.entries: list[bytes] = []
        self.decided: list[int] = []
        self.now = START
        self.keys: dict[str, MemorySigner] = {}  # "<member> <use>" → the key in force
        self.logs = (A,)

    # Members and their keys.

    def hold(self, member: str, use: str, label: str = "") -> MemorySigner:
        """Make a member's key for one use; later labels make later keys."""
        made = key(f"{self.salt}{member} {use} {label}")
        self.keys[f"{member} {use}"] = made
        return made

    def member(self, name: str, **changed: object) -> dict:
        """The member object with the keys that are held now."""
        log = self.keys.get(f"{name} log")
        cosigner = self.keys.get(f"{name} witness")
        kind = MLDSA44 if cosigner is not None and cosigner.kind == MLDSA44 else COSIGNATURE_V1
        return {
            **statements.member_object(
                name,
                (name.partition(".")[0].upper(), "成员"),
                statement_key=self.keys[f"{name} statement"].public_key,
                cosigner=None
                if cosigner is None
                else VerifierKey.make(f"{name}/witness", kind, cosigner.public_key),
                log=None if log is None else VerifierKey.make(self.origin, ED25519, log.public_key),
            ),
            **changed,
        }

    # Entries.

    def found(self, names: tuple[str, ...] = FOUNDERS, quorum: int = 3) -> Ledger:
        """Genesis and its seal."""
        for name in names:
            self.hold(name, "statement")
            self.hold(name, "witness")
            if name in self.logs:
                self.hold(name, "log")
        signers = [self.keys[f"{name} statement"] for name in names]
        members = [self.member(name) for name in names]
        self.add(statements.make_genesis(self.origin, quorum, members, signers))
        return self.close()

    def add(self, entry: bytes, verify: Callable[..., bool] = verify_ed25519) -> int:
        """Take a statement in by the rules; with another `verify`, though a signature fails."""
        index = admission.take_in(self.state, admission.judge(self.state, entry, verify))
        self.entries.append(entry)
        if self.state.ledger is not None and self.state.ledger.entry == index:
            self.decided.append(index)
        return index

    def decide(self, payload: bytes, *signers: str | MemorySigner) -> int:
        """Sign a decision with members' statement keys in force, or others, and take it in."""
        return self.add(self.signed(payload, *signers))

    def force(self, entry: bytes) -> Ledger:
        """Take in what no rule lets in, as a decision that changes nothing, and seal."""
        before = self.state.ledger
        fact = LedgerFact(before.origin, before.rules, before.quorum, self.state.size)
        payload = dsse.parse_envelope(entry).payload
        self.decided.append(self.state.advance(entry, payload, Change((fact,))))
        self.entries.append(entry)
        return self.close()

    def signed(self, payload: bytes, *signers: str | MemorySigner) -> bytes:
        """Sign a payload."""
        return dsse.sign_envelope(
            payload,
            [self.keys[f"{who} statement"] if isinstance(who, str) else who for who in signers],
        )

    def change(self, action: str, member: dict, quorum: int, previous: int | None = None) -> bytes:
        """The payload of a member statement."""
        at = self.state.ledger.entry if previous is None else previous
        return statements.member_statement(self.origin, action, member, quorum, at)

    def rules(self, quorum: int) -> bytes:
        """The payload of a rules statement."""
        return statements.rules_statement(self.origin, quorum, self.state.ledger.entry)

    def contract(self, member: str, name: str = "x") -> int:
        """An entry that decides nothing."""
        digest = hashlib.sha256(name.encode()).hexdigest()
        payload = statements.contract_statement(self.origin, f"{member}/{name}", "1.0.0", digest)
        return self.add(self.signed(payload, member))

    def close(self) -> Ledger:
        """Seal the block."""
        self.now += timedelta(minutes=1)
        entry = seal.make_seal(self.state, self.now)
        seal.apply_seal(self.state, entry)
        self.entries.append(entry)
        return self

    # What others get.

    @property
    def leaves(self) -> list[bytes]:
        """The leaf hashes."""
        return [merkle.leaf_hash(entry) for entry in self.entries]

    def trust(self) -> Trust:
        """The trust as of now."""
        return trust_of(self.state)

    def note(self, cosigners: tuple[str | MemorySigner, ...] = (), logs: tuple = ()) -> bytes:
        """The checkpoint as of now, signed by the log; cosigned by all, or by those given."""
        made = Checkpoint(self.origin, len(self.entries), self.state.root)
        first, *others = [
            self.keys[f"{who} log"] if isinstance(who, str) else who for who in logs or self.logs
        ]
        note = checkpoint.sign(made, first)
        note = note.with_signatures(
            [checkpoint.log_line(note.text, self.origin, each) for each in others]
        )
        time_s = int(self.now.timestamp())
        names = [name for name, member in self.state.members.items() if member.votes]
        lines = [
            cosignature.cosign(note.text, f"{name}/witness", self.keys[f"{name} witness"], time_s)
            if isinstance(name, str)
            else cosignature.cosign(note.text, name[0], name[1], time_s)
            for name in cosigners or names
        ]
        return note.with_signatures(lines).format()

    def chain(
        self,
        sizes: tuple[int, ...] = (),
        note: bytes = b"",
        decided: list[int] | None = None,
    ) -> bytes:
        """The chain as of now, written down here once more: `governance.make_chain` must agree."""
        leaves, size = self.leaves, len(self.entries)
        hexes = lambda path: [item.hex() for item in path]  # noqa: E731
        slot, path = self.state.fact_path(self.state.ledger)
        proof = merkle.inclusion_path(leaves, size - 1, size)
        return encoding.jcs(
            {
                "type": "zhixin/governance/v1",
                "heads": [
                    {"size": str(old), "path": hexes(merkle.consistency_path(leaves, old, size))}
                    for old in sizes
                ],
                "fact": self.state.ledger.to_json(),
                "slot": str(slot),
                "path": hexes(path),
                "seal": encoding.b64(self.entries[-1]),
                "receipt": tlogproof.format_receipt(size - 1, proof, note or self.note()).decode(),
                "statements": [
                    {
                        "index": str(index),
                        "statement": encoding.b64(self.entries[index]),
                        "path": hexes(merkle.inclusion_path(leaves, index, size)),
                    }
                    for index in (self.decided if decided is None else decided)
                ],
            }
        )


@contextmanager
def lax(*checks: str) -> Iterator[None]:
    """Let a ledger's writer leave out rules: these functions of `kinds.base` check nothing."""
    with mock.patch.multiple(base, **{check: lambda *_: None for check in checks}):
        yield


# The story of the good cases, step by step.


def four() -> Ledger:
    """Four members, and an entry that decides nothing: size 4, the trust of most cases."""
    ledger = Ledger().found()
    ledger.contract(A)
    return ledger.close()


def joined(ledger: Ledger, *signers: str, quorum: int = 4) -> Ledger:
    """E joins."""
    ledger.hold(E, "statement")
    ledger.hold(E, "witness")
    ledger.decide(ledger.change("join", ledger.member(E), quorum), *(signers or (A, B, C)), E)
    return ledger.close()


def rotated(ledger: Ledger, *signers: str) -> Ledger:
    """A gets another statement key, and B another cosigner key: two rotated keys."""
    signers = signers or (B, C, D, E)
    new = ledger.hold(A, "statement", "2")
    ledger.decide(ledger.change("rotate", ledger.member(A), 4), *signers, new)
    ledger.hold(B, "witness", "2")
    ledger.decide(ledger.change("rotate", ledger.member(B), 4), *signers)
    return ledger.close()


def five() -> Ledger:
    """Five members with two rotated keys, and an entry of the fifth: size 11."""
    ledger = rotated(joined(four()))
    ledger.contract(E)
    return ledger.close()


def edited(chain: bytes, edit: Callable[[dict], None]) -> bytes:
    """A chain whose JSON was changed."""
    value = json.loads(chain)
    edit(value)
    return encoding.jcs(value)


# The cases: name → (why, trust, chain, code).

Case = tuple[str, Trust, bytes, str | None]


def good() -> Iterator[tuple[str, Case]]:
    """Chains that hold."""
    ledger = five()
    trust = four().trust()
    yield "four-to-five", ("a fifth member and two rotated keys", trust, ledger.chain((4,)), None)
    yield (
        "just-enough-cosigned",
        (
            "no cosignature more than the quorum",
            trust,
            ledger.chain((4,), ledger.note((A, B, C, D))),
            None,
        ),
    )
    yield (
        "many-heads",
        ("any of several trusts can follow", trust, ledger.chain((2, 4, 6, 9)), None),
    )
    yield (
        "from-genesis",
        ("from genesis and its seal", Ledger().found().trust(), ledger.chain((2,)), None),
    )
    yield (
        "from-odd-size",
        ("from a size that is no power of two", joined(four()).trust(), ledger.chain((6,)), None),
    )
    yield "same-size", ("nothing new: the trust's own size", ledger.trust(), ledger.chain(), None)
    longer = five()
    longer.contract(B)
    yield (
        "nothing-decided",
        ("entries came, no decision", ledger.trust(), longer.close().chain((11,)), None),
    )
    left = five()
    left.decide(left.change("leave", left.member(D), 3), A, B, C, E)
    left.close()
    left.decide(left.rules(4), A, B, C)
    yield (
        "left-and-rules",
        ("a member left, then another quorum", trust, left.close().chain((4,)), None),
    )
    log = five()
    new = log.hold(C, "log")
    log.decide(log.change("rotate", log.member(C), 4), A, B, C, E)
    del log.keys[f"{A} log"]
    log.decide(log.change("rotate", log.member(A), 4), A, B, C, E)
    yield (
        "log-moved",
        (
            "another member's log key signs",
            trust,
            log.close().chain((4,), log.note(logs=(new,))),
            None,
        ),
    )


def refused_by_rules() -> Iterator[tuple[str, Case]]:
    """Chains with a decision that the rules refuse."""
    trust = four().trust()
    short = joined(four())
    with lax("check_quorum"):
        rotated(short, B, C, E)
    yield "quorum-one-short", ("one signature too few", trust, short.chain((4,)), "quorum")
    alone = four()
    with lax("check_quorum"):
        joined(alone, A, B)
    yield (
        "quorum-own-key-counts-not",
        ("the joining member's signature does not count", trust, alone.chain((4,)), "quorum"),
    )
    gone = five()
    left_key = gone.keys[f"{D} statement"]
    gone.decide(gone.change("leave", gone.member(D), 4), A, B, C, E)
    gone.close()
    with mock.patch.object(
        State, "signer", lambda _, keyid: base.SignerKey(D, left_key.public_key)
        if keyid == dsse.keyid(left_key.public_key) else KNOWN(gone.state, keyid)
    ), lax("check_quorum"):  # fmt: skip
        gone.decide(gone.rules(3), A, B, C, left_key)
    yield (
        "unknown-signer-left",
        ("a member that left signs", trust, gone.close().chain((4,)), "unknown-signer"),
    )
    yield "unknown-signer-ended-key", _ended_key(trust)
    forged = joined(four())
    new = forged.hold(C, "statement", "2")
    entry = forged.signed(forged.change("rotate", forged.member(C), 4), A, B, D, E, new)
    value = json.loads(entry)
    first = value["signatures"][0]["sig"]
    value["signatures"][0]["sig"] = ("B" if first[0] == "A" else "A") + first[1:]
    forged.add(encoding.jcs(value), verify=lambda *_: True)
    yield (
        "signature-fails",
        ("a signature fails", trust, forged.close().chain((4,)), "signature"),
    )
    own = joined(four())
    own.hold(C, "statement", "2")
    payload = own.change("rotate", own.member(C), 4)
    own.hold(C, "statement")
    with mock.patch("zhixin_ledger.kinds.membership.MemberObject.signer", {}):
        own.decide(payload, A, B, D, E)
    yield "own-key", ("the new key did not sign", trust, own.close().chain((4,)), "own-key")
    replay = joined(four())
    stale = replay.change("rotate", replay.member(A, titles={"en": "x", "zh": ""}), 4, 0)
    with mock.patch.object(base, "governed", lambda state, _: state.ledger):
        replay.decide(stale, A, B, C, D)
    yield (
        "previous-stale",
        ("a decision names an older one", trust, replay.close().chain((4,)), "previous"),
    )
    again = joined(four())
    with mock.patch("zhixin_ledger.kinds.membership.check_new_keys", return_value=None):
        again.keys[f"{B} statement"] = again.keys[f"{C} statement"]
        payload = again.change("rotate", again.member(B), 4)
        again.hold(B, "statement")
        again.decide(payload, A, C, D, E)
    yield "key-used", ("another's key", trust, again.close().chain((4,)), "key-used")
    low = joined(four())
    with (
        mock.patch("zhixin_ledger.kinds.membership.check_quorum_rule", return_value=None),
        mock.patch("zhixin_ledger.trust_history._check_every_index", return_value=None),
    ):
        low.decide(low.rules(2), A, B, C, D)
        chain = low.close().chain((4,))
    yield "quorum-rule", ("two of five", trust, chain, "quorum-rule")

    twice = four()
    chain = twice.force(twice.entries[0]).chain((4,))
    yield "genesis-place", ("genesis again", trust, chain, "genesis-place")
    foreign = four()
    payload = statements.rules_statement("ledger.other.example/2026", 4, 0)
    chain = foreign.force(foreign.signed(payload, A, B, C, D)).chain((4,))
    yield (
        "other-origin-statement",
        ("a decision that was made for another ledger", trust, chain, "other-origin"),
    )


KNOWN = State.signer


def _ended_key(trust: Trust) -> Case:
    ledger = joined(four())
    old = ledger.keys[f"{A} statement"]
    rotated(ledger)
    with mock.patch.object(
        State, "signer", lambda _, keyid: base.SignerKey(A, old.public_key)
        if keyid == dsse.keyid(old.public_key) else KNOWN(ledger.state, keyid)
    ), lax("check_quorum"):  # fmt: skip
        ledger.decide(ledger.rules(5), B, C, D, old)
    chain = ledger.close().chain((4,))
    return "a key that a rotation ended signs", trust, chain, "unknown-signer"


def refused_history() -> Iterator[tuple[str, Case]]:
    """Chains of another ledger, or not of all of this one."""
    ledger, trust = five(), four().trust()
    yield (
        "incomplete-end",
        (
            "the last decision is left out",
            trust,
            ledger.chain((4,), decided=[0, 4, 6]),
            "incomplete",
        ),
    )
    yield (
        "previous-gap",
        ("a decision is left out inside", trust, ledger.chain((4,), decided=[0, 4, 7]), "previous"),
    )
    yield (
        "malformed-no-genesis",
        ("genesis is left out", trust, ledger.chain((4,), decided=[4, 6, 7]), "malformed"),
    )
    yield (
        "malformed-no-decision",
        (
            "a statement that decides nothing",
            trust,
            ledger.chain((4,), decided=[0, 2, 4, 6, 7]),
            "malformed",
        ),
    )
    yield (
        "stale",
        ("it ends before the trust", ledger.trust(), joined(four()).chain((4,)), "stale"),
    )
    yield (
        "head-missing",
        ("it does not go out from the trust's size", trust, ledger.chain((2, 6)), "head-missing"),
    )
    other = Ledger().found()
    other.contract(B, "y")
    other.close()
    second = joined(other).chain((4,))
    yield "forked-head", ("another tree of the trust's size", trust, second, "forked")
    same = Ledger().found()
    same.contract(B, "y")
    yield "forked-same-size", ("another tree, as long", trust, same.close().chain(), "forked")
    claims = Trust.parse(
        trust.to_bytes().replace(b'"en":"B"', b'"en":"Z"')
    )  # a trust that its exporter made up
    yield (
        "forked-history",
        ("the trust's members were never so", claims, ledger.chain((4,)), "forked"),
    )
    foreign = Ledger(origin="ledger.other.example/2026").found()
    yield (
        "other-origin",
        ("another ledger's", trust, foreign.chain(), "other-origin"),
    )


def refused_proofs() -> Iterator[tuple[str, Case]]:
    """Chains with a proof or signature that does not hold."""
    ledger, trust = five(), four().trust()
    chain = ledger.chain((2, 4, 6))

    def flip(text: str) -> str:
        return ("0" if text[0] != "0" else "1") + text[1:]

    def edit(where: tuple) -> Callable[[dict], None]:
        def change(value: dict) -> None:
            *way, last = where
            place = value
            for step in way:
                place = place[step]
            place[last] = flip(place[last])

        return change

    places = {
        "inclusion-statement": ("statements", 2, "path", 0),
        "inclusion-genesis": ("statements", 0, "path", 1),
        "inclusion-fact": ("path", 0),
        "forked-head-path": ("heads", 1, "path", 0),
        "forked-other-head-path": ("heads", 2, "path", 1),
    }
    for name, where in places.items():
        code = name.partition("-")[0]
        yield name, ("a hash is another", trust, edited(chain, edit(where)), code)

    def quorum_5(value: dict) -> None:
        value["fact"]["quorum"] = "5"

    yield (
        "incomplete-fact",
        ("the fact says another quorum", trust, edited(chain, quorum_5), "incomplete"),
    )

    def short(value: dict) -> None:
        value["heads"][1]["path"].pop()

    yield "forked-head-short", ("a proof is too short", trust, edited(chain, short), "forked")
    few = ledger.chain((4,), ledger.note((A, C, D)))
    yield "quorum-cosigners", ("one cosignature too few", trust, few, "quorum")
    old = ledger.note((A, C, D, (f"{B}/witness", key(f"{B} witness "))))
    yield (
        "quorum-ended-cosigner",
        ("a cosigner key that a rotation ended", trust, ledger.chain((4,), old), "quorum"),
    )
    bad = ledger.note((A, B, C, D, (f"{E}/witness", _Wrong(ledger.keys[f"{E} witness"]))))
    yield (
        "quorum-cosignature-fails",
        ("a known cosigner's line fails", trust, ledger.chain((4,), bad), "quorum"),
    )
    stranger = ledger.note(logs=(key("stranger"),))
    yield (
        "log-signature",
        ("no log key in force signed", trust, ledger.chain((4,), stranger), "log-signature"),
    )


class _Wrong(MemorySigner):
    """Signs something else."""

    def __init__(self, right: MemorySigner) -> None:
        self._right = right

    @property
    def public_key(self) -> bytes:
        return self._right.public_key

    def sign(self, message: bytes) -> bytes:
        return self._right.sign(message + b"x")


def malformed() -> Iterator[tuple[str, Case]]:
    """Chains in another form."""
    ledger, trust = five(), four().trust()
    chain = ledger.chain((2, 4))

    def put(*way: object, value: object) -> bytes:
        def change(whole: dict) -> None:
            *path, last = way
            place = whole
            for step in path:
                place = place[step]
            place[last] = value

        return edited(chain, change)

    earlier = encoding.b64(ledger.entries[8])
    contract = ledger.state.contract(f"{A}/x")
    cases: dict[str, bytes] = {
        "type": put("type", value="zhixin/governance/v2"),
        "slot": put("slot", value="1"),
        "surplus": put("more", value="1"),
        "number": chain.replace(b'"slot":"0"', b'"slot":0'),
        "newline": chain + b"\n",
        "empty": b"",
        "fact-kind": put("fact", value=contract.to_json() if contract else None),
        "seal-base64": put("seal", value=encoding.b64(ledger.entries[-1]) + "="),
        "seal-statement": put("seal", value=encoding.b64(ledger.entries[0])),
        "heads-order": put("heads", value=json.loads(chain)["heads"][::-1]),
        "heads-beyond": put("heads", 1, "size", value="11"),
        "heads-zero": put("heads", 0, "size", value="0"),
        "statements-none": put("statements", value=[]),
        "statement-at-seal": put("statements", 3, "index", value="10"),
        "statement-is-seal": put("statements", 3, "statement", value=earlier),
        "path-long": put("path", value=["00" * 32] * 65),
        "receipt": put("receipt", value=json.loads(chain)["receipt"] + "x"),
        "receipt-surrogate": chain.replace(b'"receipt":"', b'"receipt":"\\ud800'),
        "receipt-index": put(
            "receipt", value=json.loads(chain)["receipt"].replace("index 10", "index 9")
        ),
    }
    for name, data in cases.items():
        # What is a statement only by its place is not in the tree.
        code = "inclusion" if name == "statement-is-seal" else "malformed"
        yield f"{code}-{name}", ("another form", trust, data, code)
    newer = joined(four())
    with (
        mock.patch("zhixin_ledger.kinds.rules.KNOWN", "2"),
        mock.patch.object(statements, "RULES", "2"),
    ):
        newer.decide(newer.rules(4), A, B, C, D)
    newer.close()
    yield (
        "rules-unknown",
        ("rules that nobody knows yet", trust, newer.chain((4,)), "rules-unknown"),
    )


def cases() -> dict[str, Case]:
    """All cases by name."""
    found: dict[str, Case] = {f"good-{name}": case for name, case in good()}
    for group in (refused_by_rules, refused_history, refused_proofs, malformed):
        found.update(group())
    return found


def files() -> dict[str, bytes]:
    """The vectors' files."""
    return {
        f"{name}.json": (
            json.dumps(
                {
                    "why": why,
                    "code": code,
                    "trust": encoding.b64(trust.to_bytes()),
                    "chain": encoding.b64(chain),
                    "after": None
                    if code
                    else encoding.b64(governance.follow(trust, chain).to_bytes()),
                },
                ensure_ascii=False,
                indent=1,
            )
            + "\n"
        ).encode()
        for name, (why, trust, chain, code) in cases().items()
    }


if __name__ == "__main__":
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for file, data in files().items():
        (FOLDER / file).write_bytes(data)
