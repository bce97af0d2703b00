"""The trust: what a consumer pins once, out of band (docs/formats.md 2.6).

A directory with two files, exported from a verified ledger::

    members.json   {"members":[{"cosigners":[{"from":"0","until":null,"vkey":"bts.gov.example/w…"}],
                    "logs":[…],"name":"bts.gov.example","standing":"active",
                    "statement_keys":[{"from":"0","key":"9iHU…","until":null}],
                    "titles":{"en":"…","zh":"…"},"validators":[]}],
                    "origin":"ledger.gov.example/2026","quorums":[{"from":"0","quorum":"3"}],
                    "root":"20b5…","size":"286","type":"zhixin/trust/v1"}
    policy.txt     the present as C2SP tlog-policy, for other tools; never read here

``members.json`` is the history of keys and quorums up to ``size``. A receipt is judged by what was
in force at its checkpoint's size (the index ``size - 1``), a statement by the keys in force at its
index; beyond the trust's own size the latest hold. A trust that does not parse, or that contradicts
itself, is a fault of the caller's set-up: `TrustError`, exit code 2, never a verdict on the data.

This module does not fetch, update or judge anything: it answers which key was in force when.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from zhixin_errors import FormatError, TrustError, VerificationError

from zhixin_ledger import encoding, keys, names
from zhixin_ledger.encoding import Json
from zhixin_ledger.files import sync_folder, write_whole
from zhixin_ledger.keys import VerifierKey
from zhixin_ledger.policy import format_policy
from zhixin_ledger.trust_history import Held, TrustMember, check_history

if TYPE_CHECKING:
    from zhixin_ledger.state import State

__all__ = [
    "MEMBERS_FILE",
    "POLICY_FILE",
    "CosignerKey",
    "StatementKey",
    "Trust",
    "check_reaches",
    "load_trust",
    "save_trust",
    "trust_of",
]

MEMBERS_FILE = "members.json"
POLICY_FILE = "policy.txt"
TYPE = "zhixin/trust/v1"
MAX_BYTES = 16 * 1024 * 1024
FINGERPRINT_BYTES = 20
COSIGNER_KINDS = (keys.COSIGNATURE_V1, keys.MLDSA44)

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class StatementKey:
    """A statement key in force, and whose it is."""

    member: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class CosignerKey:
    """A cosigner key in force at some size; ``ended`` tells that it has ended since."""

    member: str
    key: VerifierKey
    ended: bool


@dataclass(frozen=True)
class Trust:
    """A trust that parsed and does not contradict itself.

    Attributes:
        origin: the ledger's name.
        size: number of entries of the history; ends with a seal.
        root: 32 bytes, the tree's root at ``size``.
        quorums: (from, quorum), rising, the first from index 0.
        members: in slot order.
    """

    origin: str
    size: int
    root: bytes
    quorums: tuple[tuple[int, int], ...]
    members: tuple[TrustMember, ...]

    @classmethod
    def parse(cls, data: bytes) -> Trust:
        """Read the bytes of ``members.json``.

        Raises:
            TrustError: they are in no such form, or contradict themselves.
        """
        if len(data) > MAX_BYTES:
            raise TrustError(f"{MEMBERS_FILE} has more than {MAX_BYTES} bytes")
        try:
            trust = _parse(encoding.parse_jcs(data, MEMBERS_FILE))
            check_history(trust.size, trust.quorums, trust.members)
        except FormatError as error:
            raise TrustError(
                f"the trust can't be used: {error.message}",
                hint="export it again from a ledger that was verified",
            ) from error
        return trust

    @classmethod
    def make(
        cls,
        origin: str,
        size: int,
        root: bytes,
        quorums: Iterable[tuple[int, int]],
        member_facts: Iterable[Mapping[str, Json]],
    ) -> Trust:
        """Build a trust from a ledger's state.

        Args:
            origin: the ledger's name.
            size: a size that ends with a seal.
            root: 32 bytes, the tree's root at ``size``.
            quorums: (from, quorum) as they changed.
            member_facts: the member facts in slot order, as JSON; ``fact`` and ``entry`` are
                left out here.

        Raises:
            TrustError: what comes out is no trust.
        """
        value: Json = {
            "type": TYPE,
            "origin": origin,
            "size": str(size),
            "root": root.hex(),
            "quorums": [{"from": str(start), "quorum": str(k)} for start, k in quorums],
            "members": [
                {name: item for name, item in fact.items() if name not in ("fact", "entry")}
                for fact in member_facts
            ],
        }
        return cls.parse(encoding.jcs(value))

    def to_bytes(self) -> bytes:
        """The bytes of ``members.json``."""
        return encoding.jcs(
            {
                "type": TYPE,
                "origin": self.origin,
                "size": str(self.size),
                "root": self.root.hex(),
                "quorums": [{"from": str(start), "quorum": str(k)} for start, k in self.quorums],
                "members": [_member_json(member) for member in self.members],
            }
        )

    @property
    def fingerprint(self) -> str:
        """The trust in eight groups of four letters, to be read over the telephone.

        The first 160 bits of SHA-256 of ``members.json``: who could choose parts of two trusts
        would still need 2^80 trials to make them share it. The alphabet (base32) has no 0 and no 1.
        """
        digest = encoding.sha256(self.to_bytes())[:FINGERPRINT_BYTES]
        text = base64.b32encode(digest).decode("ascii").lower()
        return "-".join(text[start : start + 4] for start in range(0, len(text), 4))

    def matches(self, fingerprint: str) -> bool:
        """Whether a fingerprint as somebody typed it (case, spaces, hyphens aside) is this one."""
        typed = "".join(fingerprint.split()).replace("-", "").lower()
        return typed == self.fingerprint.replace("-", "")

    def log_keys(self, size: int) -> list[VerifierKey]:
        """The log keys in force at a checkpoint of ``size`` entries (at least 1)."""
        return [held.key for member in self.members for held in member.logs if held.at(size - 1)]

    def cosigners(self, size: int) -> list[CosignerKey]:
        """The cosigner keys in force at a checkpoint of ``size`` entries (at least 1)."""
        return [
            CosignerKey(member.name, held.key, ended=held.end is not None)
            for member in self.members
            for held in member.cosigners
            if held.at(size - 1)
        ]

    def quorum(self, size: int) -> int:
        """The quorum in force at a checkpoint of ``size`` entries (at least 1)."""
        in_force = self.quorums[0][1]
        for start, quorum in self.quorums:
            if start <= size - 1:
                in_force = quorum
        return in_force

    def statement_key(self, keyid: str, index: int) -> StatementKey | None:
        """The statement key of that ``keyid`` (hex) if it was in force at entry ``index``."""
        found = self._statement_keys.get(keyid)
        if found is None:
            return None
        member, held = found
        return StatementKey(member, held.key) if held.at(index) else None

    @cached_property
    def _statement_keys(self) -> dict[str, tuple[str, Held[bytes]]]:
        return {
            encoding.sha256_hex(held.key): (member.name, held)
            for member in self.members
            for held in member.statement_keys
        }

    def policy(self) -> str:
        """The text of ``policy.txt``: the present, for other tools (docs/formats.md 2.6)."""
        return format_policy(
            [key.text for key in self.log_keys(self.size)],
            [(cosigner.member, cosigner.key.text) for cosigner in self.cosigners(self.size)],
            self.quorum(self.size),
        )


def trust_of(state: State) -> Trust:
    """The trust of a ledger that the caller replayed, as of its last entry, a seal.

    Raises:
        TrustError: the ledger is empty, or its last block is open.
    """
    if state.origin is None or not state.sealed:
        raise TrustError("a trust can only be exported from a ledger that ends with a seal")
    return Trust.make(
        state.origin,
        state.size,
        state.root,
        state.quorums,
        [member.to_json() for member in state.members.values()],
    )


def load_trust(directory: Path) -> Trust:
    """Read the trust that a directory holds.

    Raises:
        TrustError: there is none, or it can't be used.
    """
    path = directory / MEMBERS_FILE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TrustError(
            f"there is no trust in {directory}: {MEMBERS_FILE} can't be read ({error.strerror})",
            hint="want the folder that `zhixin trust export` wrote; a home pins its own with "
            "`zhixin trust import DIR --fingerprint F`",
        ) from error
    return Trust.parse(data)


def save_trust(trust: Trust, directory: Path) -> None:
    """Write both files of a trust; ``members.json`` appears by one rename, after the other."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in ((POLICY_FILE, trust.policy().encode()), (MEMBERS_FILE, trust.to_bytes())):
        write_whole(directory / name, data)
    sync_folder(directory)


# Reading the form.


def _parse(value: Json) -> Trust:
    members, origin, quorums, root, size, kind = encoding.members(
        value, MEMBERS_FILE, ("members", "origin", "quorums", "root", "size", "type")
    )
    if kind != TYPE:
        raise FormatError(f"{MEMBERS_FILE}: type is not {TYPE}")
    return Trust(
        origin=names.check_origin(origin, "origin"),
        size=encoding.parse_uint(size, "size"),
        root=encoding.parse_hex(root, "root"),
        quorums=tuple(
            _parse_quorum(item, f"quorums[{at}]")
            for at, item in enumerate(encoding.as_array(quorums, "quorums"))
        ),
        members=tuple(
            _parse_member(item, f"members[{at}]", str(origin))
            for at, item in enumerate(encoding.as_array(members, "members"))
        ),
    )


def _parse_quorum(value: Json, what: str) -> tuple[int, int]:
    start, quorum = encoding.members(value, what, ("from", "quorum"))
    return (
        encoding.parse_uint(start, f"{what}.from"),
        encoding.parse_uint(quorum, f"{what}.quorum"),
    )


def _parse_member(value: Json, what: str, origin: str) -> TrustMember:
    cosigners, logs, name, standing, statement_keys, titles, validators = encoding.members(
        value,
        what,
        ("cosigners", "logs", "name", "standing", "statement_keys", "titles", "validators"),
    )
    name = names.check_member(name, f"{what}.name")
    if standing not in ("active", "left"):
        raise FormatError(f"{what}.standing: neither active nor left")
    return TrustMember(
        name=name,
        titles=_parse_titles(titles, f"{what}.titles"),
        active=standing == "active",
        statement_keys=_parse_keys(statement_keys, f"{what}.statement_keys"),
        cosigners=_parse_vkeys(cosigners, f"{what}.cosigners", f"{name}/witness", COSIGNER_KINDS),
        logs=_parse_vkeys(logs, f"{what}.logs", origin, (keys.ED25519,)),
        validators=_parse_keys(validators, f"{what}.validators"),
    )


def _parse_titles(value: Json, what: str) -> dict[str, str]:
    english, chinese = encoding.members(value, what, ("en", "zh"))
    return {
        "en": encoding.as_text(english, f"{what}.en"),
        "zh": encoding.as_text(chinese, f"{what}.zh"),
    }


def _parse_keys(value: Json, what: str) -> tuple[Held[bytes], ...]:
    held = []
    for at, item in enumerate(encoding.as_array(value, what)):
        place = f"{what}[{at}]"
        start, key, until = encoding.members(item, place, ("from", "key", "until"))
        public_key = keys.parse_public_key(key, f"{place}.key")
        held.append(_held(public_key, start, until, place))
    return tuple(held)


def _parse_vkeys(
    value: Json, what: str, name: str, kinds: Sequence[int]
) -> tuple[Held[VerifierKey], ...]:
    held = []
    for at, item in enumerate(encoding.as_array(value, what)):
        place = f"{what}[{at}]"
        start, until, vkey = encoding.members(item, place, ("from", "until", "vkey"))
        key = VerifierKey.parse(vkey, f"{place}.vkey")
        if key.name != name or key.kind not in kinds:
            allowed = " or ".join(f"0x{kind:02x}" for kind in kinds)
            raise FormatError(f"{place}.vkey: not a key named {name} of type {allowed}")
        held.append(_held(key, start, until, place))
    return tuple(held)


def _held(key: K, start: Json, until: Json, what: str) -> Held[K]:
    return Held(
        key,
        encoding.parse_uint(start, f"{what}.from"),
        None if until is None else encoding.parse_uint(until, f"{what}.until"),
    )


# Writing the form.


def _member_json(member: TrustMember) -> Json:
    return {
        "name": member.name,
        "titles": dict(member.titles),
        "standing": "active" if member.active else "left",
        "statement_keys": [_key_json("key", encoding.b64(h.key), h) for h in member.statement_keys],
        "cosigners": [_key_json("vkey", held.key.text, held) for held in member.cosigners],
        "logs": [_key_json("vkey", held.key.text, held) for held in member.logs],
        "validators": [
            _key_json("key", encoding.b64(held.key), held) for held in member.validators
        ],
    }


def _key_json(name: str, text: str, held: Held[K]) -> Json:
    return {
        name: text,
        "from": str(held.start),
        "until": None if held.end is None else str(held.end),
    }


def check_reaches(trust: Trust, origin: str | None, size: int, what: str) -> None:
    """Hold what is to move a trust forward to be of its ledger, and not to end before it.

    Args:
        trust: what is to be moved.
        origin: the ledger that `what` is of.
        size: how many entries it reaches over.
        what: names it for people.

    Raises:
        VerificationError: `other-origin`, `stale`.
    """
    if origin != trust.origin:
        raise VerificationError(
            f"{what} is of the ledger {origin}, not of {trust.origin}", code="other-origin"
        )
    if size < trust.size:
        raise VerificationError(
            f"{what} ends at {size} entries, before the trust's {trust.size}: "
            "it can only lead back",
            code="stale",
            details={"size": size, "trusted": trust.size},
        )
