#!/usr/bin/env python3
r"""Check an evidence bundle of a dataset, with Python 3.11 or later and `cryptography` alone.

    python -m venv v && v/bin/pip install cryptography
    v/bin/python verify.py BUNDLE.zip --fingerprint F [--dataset DIR] [--record PROOF.json]

This file needs nothing of Zhixin, no network and no clock but this machine's (or ``--at``). It is
written from FORMATS.md, which lies beside it, and shares no code with Zhixin: a second opinion. It
is meant to be read from top to bottom:

1. forms       bytes that stand for values: JSON (RFC 8785), base64, hex, integers, times, names
2. keys        Ed25519 and ML-DSA-44, each with the checks that libraries leave out
3. trees       RFC 6962: a leaf is in a tree, a tree is the beginning of a larger one
4. notes       signed checkpoints of the ledger, with the members' cosignatures; receipts
5. statements  what members sign: DSSE envelopes around in-toto statements
6. governance  from the founders' statement to who may sign today, decision by decision
7. trust       whose keys were in force when, as a consumer pins it
8. rows        what a receipt, a version's folder, a record proof and a standing must hold
9. bundle      the archive, its stages (made, then renewed), and the verdict

Exit codes: 0 everything that was asked holds; 1 refused, with a code; 2 the call is at fault.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import stat
import sys
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from io import FileIO
from itertools import pairwise
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Json = None | bool | str | list["Json"] | dict[str, "Json"]  # there are no numbers in our forms


class Refused(Exception):
    """The evidence does not hold; ``code`` is a name that docs and programs know."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Unusable(Exception):
    """The call is at fault, not the evidence: a folder that is not there, an option's form."""


def need(holds: object, message: str, code: str = "malformed") -> None:
    """Refuse unless it holds."""
    if not holds:
        raise Refused(code, message)


# --- 1. forms -------------------------------------------------------------------------------------

MAX_INT, MAX_DEPTH = 2**63 - 1, 64


def sha256(data: bytes) -> bytes:
    """H of the format specification."""
    return hashlib.sha256(data).digest()


def jcs(value: Json) -> bytes:
    """Canonical JSON: members sorted by UTF-16, shortest escapes, UTF-8."""
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode()


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return {name: _sorted(value[name]) for name in names}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _once(pairs: list[tuple[str, Json]]) -> Json:
    need(len(dict(pairs)) == len(pairs), "a JSON member is there twice")
    return dict(pairs)


def _no_number(_: str) -> Json:
    raise Refused("malformed", "a JSON number: integers are strings here")


def _deeper(value: Json, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    containers = [item for item in inner if isinstance(item, (list, dict))]
    return bool(containers) and (depth == 1 or any(_deeper(item, depth - 1) for item in containers))


def parse_json(data: bytes, what: str) -> Json:
    """Read canonical JSON and nothing else: what we write of it must be the very same bytes."""
    try:
        value: Json = json.loads(
            data.decode(),
            object_pairs_hook=_once,
            parse_int=_no_number,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
        need(not _deeper(value, MAX_DEPTH), f"{what} is nested too deep")
        same = jcs(value) == data
    except Refused as fault:
        raise Refused("malformed", f"{what}: {fault.message}") from fault
    except (ValueError, RecursionError) as fault:  # of JSON, of UTF-8, half of a surrogate pair
        raise Refused("malformed", f"{what} is not JSON in UTF-8") from fault
    need(same, f"{what} is not in canonical form (RFC 8785)")
    return value


def members(value: Json, names: str, what: str) -> list[Json]:
    """The values of exactly these members, in this order."""
    wanted = names.split()
    need(isinstance(value, dict) and value.keys() == set(wanted), f"{what}: want {names}")
    return [value[name] for name in wanted] if isinstance(value, dict) else []


def text(value: Json, what: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise Refused("malformed", f"{what} must be a string")
    return value


def array(value: Json, what: str) -> list[Json]:
    """An array."""
    if not isinstance(value, list):
        raise Refused("malformed", f"{what} must be an array")
    return value


def matched(value: Json, pattern: str, what: str) -> str:
    """A string of this form; ``re.match`` with ``$`` would let a newline pass."""
    found = text(value, what)
    need(re.fullmatch(pattern, found, re.ASCII), f"{what} is not in its form")
    return found


def uint(value: Json, what: str, least: int = 0) -> int:
    """An integer below 2^63 as a string; ``int`` alone would take "1_0", " 1" and "١"."""
    number = int(matched(value, r"0|[1-9][0-9]{0,18}", what))
    need(least <= number <= MAX_INT, f"{what} must lie between {least} and 2^63 - 1")
    return number


def unhex(value: Json, what: str, size: int = 32) -> bytes:
    """Lowercase hex of so many bytes."""
    return bytes.fromhex(matched(value, f"[0-9a-f]{{{2 * size}}}", what))


def unb64(value: Json, what: str, size: int | None = None) -> bytes:
    """Standard base64 with padding; encoded again it must be the same text."""
    given = text(value, what)
    try:
        data = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    need(b64(data) == given, f"{what} is not canonical base64")
    need(size is None or len(data) == size, f"{what} must have {size} bytes")
    return data


def b64(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode()


def moment(value: Json, what: str) -> datetime:
    """A time such as 2026-01-31T08:00:00.000000Z that is in the calendar."""
    given = matched(value, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", what)
    try:
        return datetime.strptime(given, "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError as fault:
        raise Refused("malformed", f"{what} is no time of the calendar") from fault


LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
MEMBER = rf"(?=.{{1,247}}\Z){LABEL}(?:\.{LABEL})+"
DATASET = rf"(?=[^/]{{1,247}}/){LABEL}(?:\.{LABEL})+/[a-z][a-z0-9-]{{0,62}}"
ORIGIN = r"[!-*,-~]{1,255}"
NUMBER = r"(?:0|[1-9][0-9]{0,18})"


def contract_version(value: Json, what: str) -> str:
    """Read ``major.minor.patch``."""
    found = matched(value, rf"{NUMBER}\.{NUMBER}\.{NUMBER}", what)
    for number in found.split("."):
        uint(number, what)
    return found


# --- 2. keys --------------------------------------------------------------------------------------

ED25519, COSIGNATURE, MLDSA44 = 1, 4, 6
KEY_BYTES = {ED25519: 32, COSIGNATURE: 32, MLDSA44: 1312}
SIGNATURE_BYTES = {ED25519: 64, COSIGNATURE: 72, MLDSA44: 2428}
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
LOW_ORDER = {0, 1, P - 1, Y8, P - Y8}  # the y of every point whose order divides 8


@lru_cache(4096)
def usable(raw: bytes) -> bool:
    """Whether an Ed25519 key may be used: libraries take some under which anything verifies."""
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    if len(raw) != 32 or y >= P or y in LOW_ORDER:
        return False  # not the one encoding of its point, or of low order
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return pow(x_squared, (P - 1) // 2, P) == 1  # else there is no such point on the curve


@lru_cache(4096)  # renewals repeat the older decisions
def verify_ed25519(raw: bytes, message: bytes, signature: bytes) -> bool:
    """RFC 8032 without cofactor, S below the group's order; the key was checked when read."""
    if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= L:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_mldsa44(raw: bytes, message: bytes, signature: bytes) -> bool | None:
    """FIPS 204, pure, empty context. None: this `cryptography` can't judge it."""
    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

        MLDSA44PublicKey.from_public_bytes(raw).verify(signature, message)
    except (ImportError, UnsupportedAlgorithm):
        return None
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True)
class Key:
    """A key as a vkey says it, ``name+key ID+base64``; a bare key has neither name nor ID."""

    text: str
    name: str
    key_id: bytes
    kind: int
    raw: bytes


def bare_key(value: Json, what: str) -> Key:
    """A raw Ed25519 key in base64."""
    raw = unb64(value, what, 32)
    need(usable(raw), f"{what}: a key that may not be used")
    return Key(b64(raw), "", b"", ED25519, raw)


def vkey(value: Json, name: str, kinds: Sequence[int], what: str) -> Key:
    """A vkey of this name and of one of these kinds. The base64 may hold a plus itself."""
    given = text(value, what)
    parts = given.split("+", 2)
    need(len(parts) == 3 and parts[0] == name, f"{what} must be a key named {name}")
    typed = unb64(parts[2], what)
    need(typed and typed[0] in kinds, f"{what} is of a type that can't be used there")
    need(len(typed) == 1 + KEY_BYTES[typed[0]], f"{what} has a wrong length")
    need(typed[0] == MLDSA44 or usable(typed[1:]), f"{what}: a key that may not be used")
    key_id = sha256(name.encode() + b"\n" + typed)[:4]
    need(unhex(parts[1], what, 4) == key_id, f"{what} has another key ID than its key")
    return Key(given, name, key_id, typed[0], typed[1:])


# --- 3. trees -------------------------------------------------------------------------------------


def leaf_hash(data: bytes) -> bytes:
    """A leaf's hash."""
    return sha256(b"\x00" + data)


def node_hash(left: bytes, right: bytes) -> bytes:
    """A node's hash."""
    return sha256(b"\x01" + left + right)


def tree_root(hashes: list[bytes]) -> bytes:
    """MTH over leaves whose hashes are given: at least one."""
    while len(hashes) > 1:
        pairs = [node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes) - 1, 2)]
        hashes = pairs + hashes[len(pairs) * 2 :]
    return hashes[0]


def included(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf is number ``index`` of the tree: the proof must have its exact length."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistent(
    small: int, size: int, small_root: bytes, root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the tree of ``size`` leaves begins with the tree of ``small``."""
    if not 0 < small <= size:
        return False
    if small == size:
        return not path and small_root == root
    proof = ([small_root] if small & (small - 1) == 0 else []) + list(path)
    if not path:
        return False
    at, last = small - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and old == small_root and new == root


def encoded(value: Json, what: str) -> bytes:
    """A text inside of JSON, as the bytes of the file that it is elsewhere."""
    return text(value, what).encode(errors="surrogatepass")


def hashes(value: Json, what: str) -> list[bytes]:
    """A path in JSON."""
    return [unhex(item, what) for item in array(value, what)]


# --- 4. notes -------------------------------------------------------------------------------------

MAX_RECEIPT, MAX_LINE = 256 * 1024, 65_535


@dataclass(frozen=True)
class Receipt:
    """A receipt in good form: a place, a path, and a checkpoint with its signature lines."""

    index: int
    path: list[bytes]
    note: bytes
    lines: list[tuple[str, bytes, bytes]]
    origin: str
    size: int
    root: bytes


def parse_receipt(data: bytes, what: str) -> Receipt:
    """Read a C2SP tlog-proof without ``extra``."""
    need(len(data) <= MAX_RECEIPT, f"{what} is too long")
    need(all(len(line) <= MAX_LINE for line in data.split(b"\n")), f"{what}: a line is too long")
    head, blank, signed = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
        content = signed.decode()
    except UnicodeDecodeError as fault:
        raise Refused("malformed", f"{what} is not UTF-8") from fault
    need(blank and lines[0] == "c2sp.org/tlog-proof@v1" and len(lines) >= 2, f"{what}: its head")
    need(lines[1].startswith("index ") and len(lines) <= 2 + 63, f"{what}: its index or path")
    # The text ends at the last empty line; no control but the newline may stand anywhere.
    need(not re.search(r"[\x00-\x09\x0b-\x1f]", content), f"{what} holds a control character")
    note, blank_line, signatures = content.rpartition("\n\n")
    need(blank_line and signatures.endswith("\n"), f"{what}: its checkpoint")
    three = note.split("\n")  # `splitlines` would break at U+2028 and others
    need(len(three) == 3, f"{what}: a checkpoint has exactly three lines")
    signature_lines = signatures[:-1].split("\n")
    need(len(signature_lines) <= 100, f"{what} has more than 100 signature lines")
    return Receipt(
        index=uint(lines[1][6:], f"{what}: index"),
        path=[unb64(line, f"{what}: path", 32) for line in lines[2:]],
        note=(note + "\n").encode(),
        lines=[_signature_line(line, what) for line in signature_lines],
        origin=matched(three[0], ORIGIN, f"{what}: origin"),
        size=uint(three[1], f"{what}: size", 1),
        root=unb64(three[2], f"{what}: root", 32),
    )


def _signature_line(line: str, what: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix("— ").partition(" ")
    good = line.startswith("— ") and name and "+" not in name and not re.search(r"\s", name)
    need(good and not any(map(str.isspace, name)), f"{what}: a signature line")
    payload = unb64(encoded, f"{what}: a signature line")
    need(len(payload) > 4, f"{what}: a signature line is too short")
    return name, payload[:4], payload[4:]


def cosigned_message(key: Key, receipt: Receipt, stamp: bytes) -> bytes:
    """What a cosigner of this kind signs; ``stamp`` is its time, uint64be."""
    if key.kind == COSIGNATURE:
        return b"cosignature/v1\ntime %d\n" % int.from_bytes(stamp, "big") + receipt.note
    name, origin = key.name.encode(), receipt.origin.encode()
    lengths = [bytes((len(name),)) + name, stamp, bytes((len(origin),)) + origin]
    span = (0).to_bytes(8, "big") + receipt.size.to_bytes(8, "big")
    return b"subtree/v1\n\0" + b"".join(lengths) + span + receipt.root


# --- 5. statements --------------------------------------------------------------------------------

MAX_ENTRY = 65_535
PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Statement:
    """An entry of the ledger in good form: what is stated, and who is said to have signed it."""

    entry: bytes
    signed: bytes
    signatures: list[tuple[str, bytes]]
    kind: str
    name: str
    digest: bytes
    predicate: Json


def parse_statement(entry: bytes, what: str) -> Statement:
    """Read a DSSE envelope around an in-toto statement."""
    need(len(entry) <= MAX_ENTRY, f"{what} is too long")
    payload, kind, given = members(parse_json(entry, what), "payload payloadType signatures", what)
    need(kind == PAYLOAD_TYPE, f"{what}: its payloadType")
    signatures = []
    for item in array(given, f"{what}: signatures"):
        keyid, signature = members(item, "keyid sig", f"{what}: a signature")
        signatures.append((unhex(keyid, what).hex(), unb64(signature, f"{what}: a signature", 64)))
    need(signatures, f"{what} has no signature")
    need(all(a < b for (a, _), (b, _) in pairwise(signatures)), f"{what}: signatures not sorted")
    body = unb64(payload, f"{what}: payload")
    frame = members(parse_json(body, what), "_type predicateType subject predicate", what)
    need(frame[0] == "https://in-toto.io/Statement/v1", f"{what}: its _type")
    subjects = array(frame[2], f"{what}: subject")
    need(len(subjects) == 1, f"{what} must have one subject")
    name, digest = members(subjects[0], "name digest", f"{what}: subject")
    (subject,) = members(digest, "sha256", f"{what}: subject")
    need(isinstance(frame[3], dict), f"{what}: its predicate")
    signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(body), body)
    return Statement(
        entry, signed, signatures, text(frame[1], what), text(name, what),
        unhex(subject, what), frame[3],
    )  # fmt: skip


@dataclass(frozen=True)
class Version:
    """What a dataset's statement says of one version."""

    statement: Statement
    origin: str
    dataset: str
    number: int
    root: bytes
    contract: tuple[str, bytes]
    inputs: list[tuple[str, int, bytes]]

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.dataset}@{self.number}"

    @property
    def owner(self) -> str:
        """The member that states it."""
        return self.dataset.partition("/")[0]


def parse_version(entry: bytes, what: str) -> Version:
    """Read a dataset's statement."""
    statement = parse_statement(entry, what)
    need(statement.kind == "urn:zhixin:dataset:v1", f"{what} is not a dataset's statement")
    origin, dataset, number, root, contract, previous, inputs = members(
        statement.predicate, "origin dataset version root contract previous inputs", what
    )
    version, digest = members(contract, "version sha256", f"{what}: contract")
    found = Version(
        statement,
        matched(origin, ORIGIN, f"{what}: origin"),
        matched(dataset, DATASET, f"{what}: dataset"),
        uint(number, f"{what}: version", 1),
        unhex(root, f"{what}: root"),
        (contract_version(version, f"{what}: contract"), unhex(digest, f"{what}: contract")),
        parse_inputs(inputs, what),
    )
    need(previous is None or unhex(previous, f"{what}: previous"), f"{what}: previous")
    need(statement.name == found.name, f"{what}: the subject's name")
    need(len(statement.signatures) == 1, f"{what} must carry its owner's signature alone")
    need((found.number == 1) == (previous is None), f"{what}: previous is null in version 1 only")
    return found


def parse_inputs(value: Json, what: str) -> list[tuple[str, int, bytes]]:
    """Read the versions that a version was made from: sorted, none twice."""
    found = []
    for item in array(value, f"{what}: inputs"):
        dataset, number, entry = members(item, "dataset version statement", f"{what}: inputs")
        name = matched(dataset, DATASET, f"{what}: inputs")
        found.append((name, uint(number, f"{what}: inputs", 1), unhex(entry, f"{what}: inputs")))
    need(all(a[:2] < b[:2] for a, b in pairwise(found)), f"{what}: inputs are not sorted")
    return found


# --- 6. governance --------------------------------------------------------------------------------

MAX_COSIGNERS = 64


@dataclass
class Span:
    """A key, and the entries at which it was in force: from ``start`` up to, not with, ``end``."""

    key: Key
    start: int
    end: int | None = None

    def at(self, index: int) -> bool:
        """Whether it was in force at this index."""
        return self.start <= index and (self.end is None or index < self.end)


KEYS = {"statement_keys": "key", "cosigners": "vkey", "logs": "vkey", "validators": "key"}


@dataclass
class Member:
    """A member and the history of its keys."""

    name: str
    titles: Json
    active: bool = True
    spans: dict[str, list[Span]] = field(default_factory=lambda: {k: [] for k in KEYS})

    def current(self, kind: str) -> Key | None:
        """The key of this kind that is in force now."""
        last = self.spans[kind][-1:]
        return last[0].key if last and last[0].end is None else None

    def votes(self) -> bool:
        """Only members that cosign vote."""
        return self.active and self.current("cosigners") is not None


def quorum_fits(quorum: int, cosigners: int) -> bool:
    """2k - n ≥ f + 1 with f = ⌊(n - 1) / 3⌋, and 1 ≤ k ≤ n ≤ 64: no two quorums without overlap."""
    least_overlap = (cosigners - 1) // 3 + 1
    return 1 <= quorum <= cosigners <= MAX_COSIGNERS and 2 * quorum - cosigners >= least_overlap


class Governance:
    """Who may sign, as decided statement by statement: each by the quorum in force before it."""

    def __init__(self) -> None:
        self.origin, self.entry, self.quorums = "", -1, list[tuple[int, int]]()
        self.members: dict[str, Member] = {}
        self.used: set[object] = set()

    def apply(self, index: int, entry: bytes) -> None:
        """Take in the next decision, or refuse it by the name of a rule (format section 5)."""
        what = f"the governance statement at entry {index}"
        statement = parse_statement(entry, what)
        need(statement.digest == sha256(jcs(statement.predicate)), f"{what}: its subject")
        takes = {
            "urn:zhixin:genesis:v1": self._genesis,
            "urn:zhixin:member:v1": self._member,
            "urn:zhixin:rules:v1": self._rules,
        }
        need(statement.kind in takes, f"{what} is of no kind that governs")
        first = statement.kind == "urn:zhixin:genesis:v1"
        need(first == (index == 0) == (self.entry < 0), f"{what}: its place", "genesis-place")
        takes[statement.kind](index, statement, what)
        self.entry = index
        voters = sum(member.votes() for member in self.members.values())
        need(quorum_fits(self.quorums[-1][1], voters), f"{what}: its quorum", "quorum-rule")
        logs = [m for m in self.members.values() if m.active and m.current("logs")]
        need(logs, f"{what}: no log would be left", "no-log")

    def _genesis(self, index: int, statement: Statement, what: str) -> None:
        origin, rules, quorum, founders = members(
            statement.predicate, "origin rules quorum members", what
        )
        self.origin = matched(origin, ORIGIN, what)
        need(statement.name == self.origin, f"{what}: its subject's name")
        read = [self._read_member(item, what) for item in array(founders, what)]
        self.quorums = [(0, uint(quorum, what))]
        own = [key.raw for _, keys in read if (key := keys["statement_keys"])]
        self._signers(statement, {sha256(raw).hex(): raw for raw in own}, what)
        need(rules == "1", f"{what}: unknown rules", "rules-unknown")
        for member, keys in read:
            need(member.name not in self.members, f"{what}: {member.name} twice", "member-twice")
            self.members[member.name] = member
            self._turn(member, keys, index, what)
        all_signed = len(statement.signatures) == len(read)
        need(all_signed, f"{what}: a founder has not signed", "founder-unsigned")

    def _member(self, index: int, statement: Statement, what: str) -> None:
        origin, action, item, quorum, previous = members(
            statement.predicate, "origin action member quorum previous", what
        )
        need(action in ("join", "leave", "rotate"), f"{what}: its action")
        named, keys = self._read_member(item, what)
        own, k = keys["statement_keys"], uint(quorum, what)
        need(statement.name == named.name, f"{what}: its subject's name")
        extra = {sha256(own.raw).hex(): own.raw} if own and action != "leave" else {}
        self._decided(statement, origin, previous, extra, what)
        signed = {keyid for keyid, _ in statement.signatures}
        need(extra.keys() <= signed, f"{what}: the key that it names did not sign", "own-key")
        member = self.members.get(named.name, named)
        if action == "join":
            there = named.name in self.members and member.active
            need(not there, f"{what}: {named.name} is a member", "member-active")
            member.active = True
        else:
            there = named.name in self.members and member.active
            need(there, f"{what}: {named.name} is no member", "member-inactive")
            same = all(keys[kind] == member.current(kind) for kind in KEYS)
            same &= member.titles == named.titles
            need(same or action != "leave", f"{what}: a leave changes nothing", "leave-changed")
            changes = not same or k != self.quorums[-1][1] or action == "leave"
            need(changes, f"{what} changes nothing", "nothing-changed")
        if action == "leave":
            keys, member.active = dict.fromkeys(KEYS), False
        member.titles, self.members[named.name] = named.titles, member
        self._turn(member, keys, index, what)
        self._set_quorum(index, k)

    def _rules(self, index: int, statement: Statement, what: str) -> None:
        origin, rules, quorum, previous = members(
            statement.predicate, "origin rules quorum previous", what
        )
        need(statement.name == origin, f"{what}: its subject's name")
        k = uint(quorum, what)
        self._decided(statement, origin, previous, {}, what)
        need(rules == "1", f"{what}: unknown rules", "rules-unknown")
        need(k != self.quorums[-1][1], f"{what} changes nothing", "nothing-changed")
        self._set_quorum(index, k)

    def _decided(
        self, statement: Statement, origin: Json, previous: Json, extra: dict[str, bytes], what: str
    ) -> None:
        """Of this ledger, next in the chain, signed by a quorum of those who vote before it."""
        before = uint(previous, what)
        votes = sum(self.members[name].votes() for name in self._signers(statement, extra, what))
        need(origin == self.origin, f"{what} was made for another ledger", "other-origin")
        due = self.quorums[-1][1]
        need(votes >= due, f"{what}: {votes} voting members signed, {due} are due", "quorum")
        need(before == self.entry, f"{what} does not follow on the one before", "previous")

    def _signers(self, statement: Statement, extra: dict[str, bytes], what: str) -> list[str]:
        """The members whose keys, in force before it, signed; every signature must verify."""
        in_force = {
            sha256(key.raw).hex(): (member.name, key.raw)
            for member in self.members.values()
            if (key := member.current("statement_keys"))
        }
        found = []
        for keyid, signature in statement.signatures:
            name, raw = in_force.get(keyid, (None, extra.get(keyid)))
            need(raw, f"{what} is signed by nobody's key", "unknown-signer")
            good = raw and verify_ed25519(raw, statement.signed, signature)
            need(good, f"{what}: a signature fails", "signature")
            found += [name] if name else []
        return found

    def _read_member(self, value: Json, what: str) -> tuple[Member, dict[str, Key | None]]:
        given, titles, key, cosigner, log, validator = members(
            value, "name titles statement_key cosigner log validator", what
        )
        name = matched(given, MEMBER, f"{what}: a member's name")
        for title in members(titles, "en zh", what):
            text(title, what)
        kinds = (COSIGNATURE, MLDSA44)
        keys = {
            "statement_keys": bare_key(key, what),
            "cosigners": vkey(cosigner, f"{name}/witness", kinds, what) if cosigner else None,
            "logs": vkey(log, self.origin, (ED25519,), what) if log else None,
            "validators": bare_key(validator, what) if validator else None,
        }
        need(all(item is None or item for item in (cosigner, log, validator)), f"{what}: a key")
        return Member(name, titles), keys

    def _turn(self, member: Member, keys: dict[str, Key | None], index: int, what: str) -> None:
        """End keys that are named no more and begin new ones: none was ever used by anyone."""
        for kind in KEYS:
            before, now = member.current(kind), keys[kind]
            if before == now:
                continue
            if before:
                member.spans[kind][-1].end = index
            if now:
                marks = {now.raw, *([(now.name, now.key_id)] if now.name else [])}
                need(not self.used & marks, f"{what}: a key was used before", "key-used")
                self.used |= marks
                member.spans[kind].append(Span(now, index))

    def _set_quorum(self, index: int, quorum: int) -> None:
        if quorum != self.quorums[-1][1]:
            self.quorums.append((index, quorum))


# --- 7. trust -------------------------------------------------------------------------------------


TRUST = "type origin size root quorums members"


@dataclass(frozen=True)
class Trust:
    """Whose keys were in force when, up to ``size`` entries of one ledger."""

    origin: str
    size: int
    root: bytes
    quorums: list[tuple[int, int]]
    members: list[Member]

    def in_force(self, kind: str, index: int) -> list[tuple[Member, Key]]:
        """The keys of a kind at an index."""
        return [(m, span.key) for m in self.members for span in m.spans[kind] if span.at(index)]

    def quorum(self, index: int) -> int:
        """How many members must cosign."""
        return [quorum for start, quorum in self.quorums if start <= index][-1]

    def to_bytes(self) -> bytes:
        """What ``members.json`` must be, to the byte."""
        whole: Json = {
            "type": "zhixin/trust/v1", "origin": self.origin, "size": str(self.size),
            "root": self.root.hex(),
            "quorums": [{"from": str(start), "quorum": str(k)} for start, k in self.quorums],
            "members": [
                {
                    "name": member.name, "titles": member.titles,
                    "standing": "active" if member.active else "left",
                    **{kind: _spans_json(kind, member.spans[kind]) for kind in KEYS},
                }
                for member in self.members
            ],
        }  # fmt: skip
        return jcs(whole)

    def policy(self) -> bytes:
        """What ``policy.txt`` must be: the present, for other tools."""
        logs = [f"log {key.text}" for _, key in self.in_force("logs", self.size - 1)]
        cosigners = self.in_force("cosigners", self.size - 1)
        witnesses = [f"witness {member.name} {key.text}" for member, key in cosigners]
        names = " ".join(member.name for member, _ in cosigners)
        group = f"group members {self.quorum(self.size - 1)} {names}"
        return "\n".join([*logs, *witnesses, group, "quorum members", ""]).encode()


def _spans_json(kind: str, spans: list[Span]) -> list[Json]:
    return [
        {
            KEYS[kind]: s.key.text,
            "from": str(s.start),
            "until": None if s.end is None else str(s.end),
        }
        for s in spans
    ]


def fingerprint(data: bytes) -> str:
    """160 bits of SHA-256, in eight groups to be read over the telephone."""
    letters = base64.b32encode(sha256(data)[:20]).decode().lower()
    return "-".join(letters[at : at + 4] for at in range(0, 32, 4))


def same_fingerprint(typed: str, data: bytes) -> bool:
    """Case, spaces and hyphens aside."""
    letters = "".join(typed.split()).replace("-", "").lower()
    return letters == fingerprint(data).replace("-", "")


# --- 8. rows --------------------------------------------------------------------------------------


@dataclass
class Report:
    """The rows that were asked, in their order, and what they found."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)
    section: str = "version"
    found: dict[str, object] = field(default_factory=dict)
    proved: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def row(self, name: str) -> Iterator[None]:
        """Ask one row; what its block refuses ends everything."""
        self.rows.append((self.section, name, "failed"))
        yield
        self.rows[-1] = (self.section, name, "passed")

    def skip(self, name: str) -> None:
        """Say that a row was not asked."""
        self.rows.append((self.section, name, "skipped"))

    def warn(self, sentence: str) -> None:
        """A sentence that must be read though everything holds; once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)


@dataclass(frozen=True)
class Question:
    """What is asked, besides the evidence itself, and where the answers go."""

    report: Report
    now: datetime
    asked: tuple[str, int | None] | None = None
    max_age: timedelta | None = None
    even_withdrawn: bool = False
    fingerprint: str | None = None
    pinned: bytes | None = None  # the members.json that the caller has
    without_ed25519: bool = False
    mldsa_only: frozenset[bytes] | None = None  # then these ML-DSA-44 keys alone count,
    least: int = 0  # and so many at least, whatever was decided by Ed25519 since


def check_log(receipt: Receipt, trust: Trust, what: str) -> None:
    """A log key in force signed, and no line of such a key fails."""
    code = "log-signature"
    need(receipt.origin == trust.origin, f"{what} is of the ledger {receipt.origin}", code)
    known = {(k.name, k.key_id): k for _, k in trust.in_force("logs", receipt.size - 1)}
    signed = False
    for name, key_id, signature in receipt.lines:
        if key := known.get((name, key_id)):
            signed = verify_ed25519(key.raw, receipt.note, signature)
            need(signed, f"{what}: the log's signature does not verify", code)
    need(signed, f"{what}: no log key in force signed", code)


def check_quorum(receipt: Receipt, trust: Trust, question: Question, what: str) -> datetime:
    """The quorum in force cosigned; gives the time that so many members confirm."""
    index, times = receipt.size - 1, dict[str, int]()
    known = {(k.name, k.key_id): (m, k) for m, k in trust.in_force("cosigners", index)}
    latest = (question.now + timedelta(minutes=5)).timestamp()
    for name, key_id, payload in receipt.lines:
        if (name, key_id) not in known:
            continue  # anyone may sign; who is no member does not count
        member, key = known[name, key_id]
        stamp, signature = payload[:8], payload[8:]
        seconds = int.from_bytes(stamp, "big")
        good = len(payload) == SIGNATURE_BYTES[key.kind] and seconds <= MAX_INT
        if good:
            check = verify_ed25519 if key.kind == COSIGNATURE else verify_mldsa44
            judged = check(key.raw, cosigned_message(key, receipt, stamp), signature)
            if judged is None:
                question.report.warn(
                    f"the ML-DSA-44 cosignature of {member.name} could not be judged and does not "
                    "count: this cryptography has no ML-DSA, a newer one has"
                )
                continue
            good = judged
        need(good, f"{what}: the cosignature of {member.name} does not verify", "quorum")
        counts = question.mldsa_only is None or key.raw in question.mldsa_only
        if counts and seconds <= latest:
            times[member.name] = max(seconds, times.get(member.name, 0))
    due = max(trust.quorum(index), question.least)
    kind = "cosignatures" if question.mldsa_only is None else "ML-DSA-44 cosignatures"
    need(len(times) >= due, f"{what} has {len(times)} {kind} that count, {due} are due", "quorum")
    forked = receipt.size == trust.size and receipt.root != trust.root
    need(not forked, f"{what} and the trust have two roots of one size", "forked")
    kth = sorted(times.values(), reverse=True)[due - 1]
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=kth)


def check_receipt(
    receipt: Receipt, entry: bytes, trust: Trust, question: Question, what: str
) -> datetime:
    """All that a receipt must hold; gives its time."""
    if question.mldsa_only is None:  # else the log's Ed25519 signature says nothing
        check_log(receipt, trust, what)
    time = check_quorum(receipt, trust, question, what)
    check_included(receipt, entry, what)
    return time


def check_included(receipt: Receipt, entry: bytes, what: str) -> None:
    """The entry is at its place in the tree."""
    held = included(receipt.index, receipt.size, leaf_hash(entry), receipt.path, receipt.root)
    need(held, f"{what}: it is not entry {receipt.index} of {receipt.size}", "inclusion")


def judge_statement(version: Version, receipt: Receipt, trust: Trust, question: Question) -> None:
    """The rows from ``unexpected`` to ``inclusion``."""
    with question.report.row("unexpected"):
        dataset, number = question.asked or (version.dataset, None)
        as_asked = dataset == version.dataset and number in (None, version.number)
        need(as_asked, f"this is {version.name}, another was asked for", "unexpected")
    with question.report.row("log-signature"):
        check_log(receipt, trust, "the receipt")
    with question.report.row("quorum"):
        time = check_quorum(receipt, trust, question, "the receipt")
    with question.report.row("statement-signature"):
        check_owner(version, receipt.index, trust)
    with question.report.row("inclusion"):
        check_included(receipt, version.statement.entry, "the statement")
    if receipt.size > trust.size:
        question.report.warn("a receipt is of later than the newest decision known here: keys may "
                             "have ended since")  # fmt: skip
    question.report.found |= {"dataset": version.dataset, "version": version.number}
    question.report.found |= {"index": receipt.index, "size": receipt.size, "time": time}


def check_owner(version: Version, index: int, trust: Trust) -> None:
    """Signed for this ledger by the key of its owner that was in force then."""
    code = "statement-signature"
    need(version.origin == trust.origin, "the statement is made for another ledger", code)
    ((keyid, signature),) = version.statement.signatures
    keys = {sha256(k.raw).hex(): (m, k) for m, k in trust.in_force("statement_keys", index)}
    need(keyid in keys, f"the statement's key was no member's at entry {index}", code)
    member, key = keys[keyid]
    good = verify_ed25519(key.raw, version.statement.signed, signature)
    need(good, f"the signature of {member.name} under the statement does not verify", code)
    need(member.name == version.owner, f"signed by {member.name}, not by its owner", "owner")


# A version's folder.

MAX_SMALL = {"contract.yaml": 1 << 20, "manifest.json": 64 << 20, "statement.json": MAX_ENTRY,
             "receipt.tlog-proof": MAX_RECEIPT}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """What a manifest says of one part."""

    path: str
    records: int
    size: int
    digest: bytes
    root: bytes


@dataclass(frozen=True)
class Manifest:
    """What a version's private description says, as far as it is judged here."""

    stated: tuple[object, ...]
    fields: Json
    records: int
    parts: list[Part]


def field_names(value: Json) -> list[str]:
    """The names of fields: at least one, none empty or twice. Types are only hashed here."""
    names = [text(members(item, "name type", "a field")[0], "a field's name") for item in
             array(value, "fields")]  # fmt: skip
    need(names and all(names) and len(set(names)) == len(names), "the names of the fields")
    return names


def parse_manifest(data: bytes) -> Manifest:
    """Read ``manifest.json``."""
    names = "dataset version contract fields records root parts quality quarantined source inputs"
    what = "manifest.json"
    kind, _, dataset, number, contract, fields, records, root, parts, *_, inputs = members(
        parse_json(data, what), f"type run {names}", what
    )
    need(kind == "zhixin/manifest/v1", f"{what}: its type")
    version, digest = members(contract, "version sha256", f"{what}: contract")
    stated = (
        matched(dataset, DATASET, f"{what}: dataset"),
        uint(number, f"{what}: version", 1),
        unhex(root, f"{what}: root"),
        (contract_version(version, f"{what}: contract"), unhex(digest, f"{what}: contract")),
        parse_inputs(inputs, what),
    )
    field_names(fields)
    listed = array(parts, f"{what}: parts")
    need(len(listed) <= 100_000, f"{what} has too many parts")
    found = [_part(item, f"part-{at:05d}.parquet") for at, item in enumerate(listed)]
    return Manifest(stated, fields, uint(records, f"{what}: records"), found)


def _part(value: Json, name: str) -> Part:
    path, records, size, digest, root, salt_key, content = members(
        value, "path records bytes sha256 root salt_key content", name
    )
    need(path == name, f"{name} is listed under another name")
    need(unhex(salt_key, name) and unhex(content, name), name)
    stated = uint(size, f"{name}: bytes")
    need(stated <= 256 << 20, f"{name} is stated too long")
    return Part(name, uint(records, name, 1), stated, unhex(digest, name), unhex(root, name))


def open_regular(path: Path, name: str) -> FileIO:
    """Open a regular file, never through a link, and never wait for a pipe."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        need(not path.is_symlink(), f"{name} is a link")
        handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as fault:
        raise Refused("malformed", f"{name} is not there, or not a regular file") from fault
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Refused("malformed", f"{name} is not a regular file")
    return FileIO(handle, "rb")


def read_small(path: Path, name: str, limit: int) -> bytes:
    """A file of at most so many bytes."""
    with open_regular(path, name) as file:
        chunks, left = [], limit + 1
        while left and (chunk := file.read(left)):
            chunks.append(chunk)
            left -= len(chunk)
    need(left, f"{name} is longer than {limit} bytes")
    return b"".join(chunks)


def check_part(folder: Path, part: Part) -> None:
    """A part has the bytes that its owner stated."""
    code = "part-digest"
    try:
        with open_regular(folder / part.path, part.path) as file:
            size = os.fstat(file.fileno()).st_size
            need(size == part.size, f"{part.path} has {size} bytes, stated {part.size}", code)
            digest = hashlib.file_digest(file, "sha256").digest()
    except (OSError, Refused) as fault:
        message = fault.message if isinstance(fault, Refused) else f"{part.path} can't be read"
        raise Refused(code, message) from fault
    need(digest == part.digest, f"{part.path} has other bytes than its owner stated", code)


def check_listing(folder: Path, manifest: Manifest) -> None:
    """No part less, no file more."""
    with os.scandir(folder) as listing:
        there = {entry.name: entry for entry in listing}
    for part in manifest.parts:
        need(part.path in there, f"{part.path} is not there", "part-missing")
        regular = there[part.path].is_file(follow_symlinks=False)
        need(regular, f"{part.path} is not a regular file")
    surplus = there.keys() - MAX_SMALL.keys() - {part.path for part in manifest.parts}
    need(not surplus, f"{len(surplus)} files are there that are not listed", "unlisted-file")


def judge_folder(folder: Path, trust: Trust, question: Question) -> tuple[Version, Receipt]:
    """A version's folder against the trust: all but what is inside of the Parquet files."""
    with question.report.row("malformed"):
        small = {name: read_small(folder / name, name, most) for name, most in MAX_SMALL.items()}
        try:
            small["contract.yaml"].decode()
        except UnicodeDecodeError as fault:
            raise Refused("malformed", "contract.yaml is not UTF-8") from fault
        manifest = parse_manifest(small["manifest.json"])
        version = parse_version(small["statement.json"], "statement.json")
        receipt = parse_receipt(small["receipt.tlog-proof"], "receipt.tlog-proof")
        check_listing(folder, manifest)
    judge_statement(version, receipt, trust, question)
    with question.report.row("manifest"):
        stated = version.dataset, version.number, version.root, version.contract, version.inputs
        good = sha256(small["manifest.json"]) == version.statement.digest
        need(good and manifest.stated == stated, "manifest.json is not the stated one", "manifest")
        total = sum(part.records for part in manifest.parts)
        need(total == manifest.records, "manifest.json: records do not add up", "manifest")
    with question.report.row("contract"):
        check_contract(version, small["contract.yaml"])
    with question.report.row("part-digest"), ThreadPoolExecutor(os.cpu_count()) as pool:
        # Hashing lets go of the interpreter, so that threads use all cores; judged in order.
        for done in [pool.submit(check_part, folder, part) for part in manifest.parts]:
            done.result()
    with question.report.row("root"):
        leaves = [fields_leaf(manifest.fields, len(manifest.parts))]
        leaves += [part_leaf(part.records, part.root) for part in manifest.parts]
        held = tree_root(leaves) == version.root
        need(held, "the root does not follow from fields and parts", "root")
    question.report.skip("record")  # the standard library can't read Parquet
    question.report.found["records"] = manifest.records
    return version, receipt


def check_contract(version: Version, contract: bytes) -> None:
    """The contract is the one that the statement names."""
    good = sha256(contract) == version.contract[1]
    need(good, "contract.yaml is not the contract that was stated", "contract")


def fields_leaf(fields: Json, parts: int) -> bytes:
    """The first leaf of a version's tree."""
    return leaf_hash(b"zhixin/fields/v1\n" + parts.to_bytes(8, "big") + jcs(fields))


def part_leaf(records: int, root: bytes) -> bytes:
    """A part's leaf in a version's tree."""
    return leaf_hash(b"zhixin/part/v1\n" + records.to_bytes(8, "big") + root)


# A single record.


def judge_record(data: bytes, trust: Trust, question: Question) -> tuple[Version, Receipt]:
    """A record proof against the trust: one record, and nothing of the others."""
    what = "the record proof"
    with question.report.row("malformed"):
        need(len(data) <= 64 << 20, f"{what} is too long")
        names = "type statement receipt fields fields_path parts part part_records part_root"
        kind, entry, receipt_text, fields, fields_path, *rest = members(
            parse_json(data, what), f"{names} part_path record salt values record_path", what
        )
        need(kind == "zhixin/record-proof/v1", f"{what}: its type")
        named, values = field_names(fields), array(rest[7], f"{what}: values")
        need(len(values) == len(named), f"{what}: as many values as fields")
        version = parse_version(unb64(entry, f"{what}: statement"), f"{what}: statement")
        receipt = parse_receipt(encoded(receipt_text, what), f"{what}: receipt")
        parts, part = uint(rest[0], f"{what}: parts", 1), uint(rest[1], f"{what}: part")
        records = uint(rest[2], f"{what}: part_records", 1)
        part_root, part_path = unhex(rest[3], what), hashes(rest[4], f"{what}: part_path")
        record, salt = uint(rest[5], f"{what}: record"), unhex(rest[6], f"{what}: salt", 16)
        first_path, path = hashes(fields_path, what), hashes(rest[8], f"{what}: record_path")
    judge_statement(version, receipt, trust, question)
    with question.report.row("root"):
        root, first = version.root, fields_leaf(fields, parts)
        held = included(0, parts + 1, first, first_path, root)
        held &= included(part + 1, parts + 1, part_leaf(records, part_root), part_path, root)
        need(held, "fields and part do not lead to the root that was stated", "root")
    with question.report.row("record"):
        leaf = leaf_hash(b"zhixin/record/v1\n" + salt + jcs(values))
        held = included(record, records, leaf, path, part_root)
        need(held, f"the values are not those of record {record} in part {part}", "record")
    question.report.found["record"] = dict(zip(named, values, strict=True))
    return version, receipt


# What the ledger's state says, under a seal: a dataset's standing, the chain of governance.


@dataclass(frozen=True)
class Sealed:
    """A fact of the ledger's state with its proof up to a checkpoint's last entry, a seal."""

    fact: Json
    slot: int
    path: list[bytes]
    seal: bytes
    facts: int
    state: bytes
    receipt: Receipt


def parse_sealed(data: bytes, kind: str, more: str, what: str) -> tuple[Sealed, list[Json]]:
    """Read what standing files and governance chains share; gives their other members besides."""
    given, fact, slot, path, sealed, receipt_text, *others = members(
        parse_json(data, what), f"type fact slot path seal receipt {more}", what
    )
    need(given == kind, f"{what}: its type")
    seal = unb64(sealed, f"{what}: seal")
    (body,) = members(parse_json(seal, f"{what}: seal"), "seal", f"{what}: seal")
    facts, first, height, previous, state, time = members(
        body, "facts first height previous state time", f"{what}: seal"
    )
    need(previous is None or unhex(previous, what), f"{what}: seal")
    uint(first, what), uint(height, what), moment(time, what)
    receipt = parse_receipt(encoded(receipt_text, what), f"{what}: receipt")
    need(receipt.index == receipt.size - 1, f"{what}: the seal is not the last entry")
    found = Sealed(fact, uint(slot, what), hashes(path, what), seal, uint(facts, what),
                   unhex(state, what), receipt)  # fmt: skip
    return found, others


def check_fact(sealed: Sealed, what: str) -> None:
    """The fact is in the state that the seal has."""
    leaf = leaf_hash(b"zhixin/fact/v1\n" + jcs(sealed.fact))
    held = included(sealed.slot, sealed.facts, leaf, sealed.path, sealed.state)
    need(held, f"{what}: the fact is not in the seal's state", "inclusion")


@dataclass(frozen=True)
class Standing:
    """What a standing file says of a dataset, as of one size of the ledger."""

    what: str
    sealed: Sealed
    dataset: str
    latest: int
    statement: bytes
    entry: int
    withdrawn: list[int]


def parse_standing(data: bytes, what: str) -> Standing:
    """Read a standing file."""
    need(len(data) <= 1 << 20, f"{what} is too long")
    sealed, _ = parse_sealed(data, "zhixin/standing/v1", "", what)
    about, dataset, number, statement, entry, withdrawn = members(
        sealed.fact, "fact dataset version statement entry withdrawn", f"{what}: fact"
    )
    need(about == "dataset", f"{what}: the fact is no dataset's")
    latest = uint(number, f"{what}: version", 1)
    gone = [uint(item, f"{what}: withdrawn", 1) for item in array(withdrawn, what)]
    rising = all(a < b for a, b in pairwise([*gone, latest + 1]))
    need(rising, f"{what}: withdrawn versions do not rise up to the latest")
    name = matched(dataset, DATASET, f"{what}: dataset")
    return Standing(what, sealed, name, latest, unhex(statement, what), uint(entry, what), gone)


def judge_claim(version: Version, found: Standing, trust: Trust, question: Question) -> datetime:
    """A standing file is of the version's dataset and holds by itself; gives its time."""
    same = found.dataset == version.dataset
    need(same, f"{found.what} is of another dataset", "unexpected")
    sealed = found.sealed
    time = check_receipt(sealed.receipt, sealed.seal, trust, question, found.what)
    check_fact(sealed, found.what)
    return time


def judge_standing(
    version: Version,
    receipt: Receipt,
    claims: Sequence[tuple[Standing, datetime]],
    question: Question,
) -> None:
    """One ledger, far enough, not withdrawn, the newest not too old: in this order."""
    roots, index = {receipt.size: receipt.root}, receipt.index
    for claim, _ in claims:
        made = claim.sealed.receipt
        same = roots.setdefault(made.size, made.root) == made.root
        need(same, f"{claim.what} has another root of {made.size} entries", "forked")
        bad = contradicts(version, index, claim)
        need(not bad, f"{claim.what} contradicts the statement of {version.name}", "forked")
    for claim, _ in claims:
        reaches = claim.sealed.receipt.size > index
        need(reaches, f"{claim.what} ends before the version's entry", "stale")
    for claim, _ in claims:
        gone = version.number in claim.withdrawn
        told = f"{version.name} is withdrawn, says {claim.what}"
        need(not gone or question.even_withdrawn, told, "withdrawn")
        if gone:
            question.report.warn(told)
    for claim, time in claims[-1:]:
        old = question.max_age is not None and question.now - time > question.max_age
        need(not old, f"{claim.what} is older than allowed, of {iso(time)}", "stale")


def contradicts(version: Version, index: int, claim: Standing) -> bool:
    """Whether under this claim the version could not be where its receipt has it."""
    knows = claim.sealed.receipt.size > index
    if claim.latest < version.number:
        return knows
    if claim.latest > version.number:
        return not knows or claim.entry <= index
    as_stated = (claim.statement, claim.entry) == (sha256(version.statement.entry), index)
    return not knows or not as_stated


# --- 9. bundle ------------------------------------------------------------------------------------

MAX_TRUST, MAX_CHAIN = 16 << 20, 64 << 20
LIMITS = {
    "README.txt": 1 << 20, "FORMATS.md": 1 << 20, "verify.py": 1 << 20, "evidence.json": MAX_ENTRY,
    "contract.yaml": 1 << 20, "statement.json": MAX_ENTRY, "receipt.tlog-proof": MAX_RECEIPT,
    "standing.json": 1 << 20, "governance.json": MAX_CHAIN,
    "trust/members.json": MAX_TRUST, "trust/policy.txt": MAX_TRUST,
}  # fmt: skip
STAGE = [*LIMITS][-5:]  # what each renewal brings anew
UNSIGNED = [*LIMITS][:3]
MAX_BUNDLE, MAX_RENEWALS = 512 << 20, 9999


def check_names(names: Sequence[str]) -> int:
    """Exactly the files of a bundle, each once; gives the number of renewals."""
    need(len(set(names)) == len(names), "the bundle has a name twice")
    count = len({name.split("/")[1] for name in names if name.startswith("renewals/")})
    need(count <= MAX_RENEWALS, "the bundle has too many renewals")
    later = {f"renewals/{number:04d}/{name}" for number in range(1, count + 1) for name in STAGE}
    surplus, missing = set(names) - later - LIMITS.keys(), (later | LIMITS.keys()) - set(names)
    need(not surplus, f"{len(surplus)} files of the bundle are none of its own", "unlisted-file")
    need(not missing, f"the bundle lacks {', '.join(sorted(missing)[:3])}", "part-missing")
    return count


def limit_of(name: str) -> int:
    """The most bytes of a file of the bundle."""
    return LIMITS[name.split("/", 2)[2] if name.startswith("renewals/") else name]


def read_folder(path: Path) -> dict[str, bytes]:
    """The files of a bundle that was unpacked."""
    names = []
    for folder, folders, files in os.walk(path):
        below = Path(folder).relative_to(path)
        need(len(below.parts) <= 3 and (folders or files), f"the folder {below}", "unlisted-file")
        need(not any((Path(folder) / name).is_symlink() for name in folders), "a folder is a link")
        names += [(below / name).as_posix() for name in files]
        need(len(names) <= MAX_RENEWALS * len(STAGE), "the bundle has too many files")
    check_names(names)
    return {name: read_small(path / name, name, limit_of(name)) for name in names}


def read_archive(path: Path) -> dict[str, bytes]:
    """The files of a zipped bundle. No name is used as a path: nothing is unpacked to a disk."""
    try:
        with open_regular(path, "the bundle") as raw, zipfile.ZipFile(raw) as archive:
            entries = archive.infolist()
            check_names([entry.filename for entry in entries])
            total = sum(entry.file_size for entry in entries) + os.fstat(raw.fileno()).st_size
            need(total <= 2 * MAX_BUNDLE, "the bundle is too large")
            return {entry.filename: read_entry(archive, entry) for entry in entries}
    except Refused:
        raise
    except Exception as fault:  # zipfile has a dozen kinds of error for what is no archive
        raise Refused("malformed", "the bundle is no zip archive") from fault


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """One file; whatever the archive says of its size, no more than its limit is unpacked."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    need(kind in (0, stat.S_IFREG), f"{entry.filename} is not a regular file")
    bounded = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    need(bounded, f"{entry.filename} is packed by a method that zipfile unpacks without bounds")
    limit = limit_of(entry.filename)
    with archive.open(entry) as file:
        data = file.read(limit + 1)
    need(len(data) <= limit, f"{entry.filename} is longer than {limit} bytes")
    return data


@dataclass(frozen=True)
class Chain:
    """A governance chain: every decision, under the ledger's fact, which names the last."""

    sealed: Sealed
    heads: dict[int, list[bytes]]
    decisions: list[tuple[int, bytes, list[bytes]]]

    @property
    def made(self) -> Receipt:
        """The receipt of the checkpoint's seal."""
        return self.sealed.receipt

    def trust(self, size: int, root: bytes) -> Trust:
        """What the decisions before ``size`` make."""
        governance = Governance()
        for index, entry, _ in self.decisions:
            if index < size:
                governance.apply(index, entry)
        known = list(governance.members.values())
        return Trust(governance.origin, size, root, governance.quorums, known)


def parse_chain(data: bytes, what: str) -> Chain:
    """Read a governance chain."""
    need(len(data) <= MAX_CHAIN, f"{what} is too long")
    sealed, (heads, statements) = parse_sealed(
        data, "zhixin/governance/v1", "heads statements", what
    )
    about = members(sealed.fact, "fact origin rules quorum entry", f"{what}: fact")
    need(about[0] == "ledger" and sealed.slot == 0, f"{what}: the first fact is the ledger's")
    decisions = []
    for item in array(statements, f"{what}: statements"):
        index, statement, path = members(item, "index statement path", what)
        decisions.append((uint(index, what), unb64(statement, what), hashes(path, what)))
    indexes = [index for index, _, _ in decisions]
    rise = indexes[:1] == [0] and all(a < b for a, b in pairwise([*indexes, sealed.receipt.index]))
    need(rise, f"{what}: the statements do not rise from genesis to the seal")
    pairs = [members(item, "size path", f"{what}: heads") for item in array(heads, what)]
    sizes = [uint(size, f"{what}: heads") for size, _ in pairs]
    need(all(a < b for a, b in pairwise([0, *sizes, sealed.receipt.size])), f"{what}: its heads")
    ways = dict(zip(sizes, [hashes(way, what) for _, way in pairs], strict=True))
    longest = max(map(len, [sealed.path, *ways.values(), *(path for _, _, path in decisions)]))
    need(longest <= 64, f"{what}: a path is too long")
    return Chain(sealed, ways, decisions)


def check_chain(chain: Chain, what: str) -> Trust:
    """Every decision is in the tree and follows on, and the ledger's fact names the last."""
    made = chain.made
    for index, entry, path in chain.decisions:
        held = included(index, made.size, leaf_hash(entry), path, made.root)
        need(held, f"{what}: the statement at {index} is not in the tree", "inclusion")
    trust, last = chain.trust(made.size, made.root), chain.decisions[-1][0]
    fact: Json = {
        "fact": "ledger",
        "origin": trust.origin,
        "rules": "1",
        "quorum": str(trust.quorum(last)),
        "entry": str(last),
    }
    need(chain.sealed.fact == fact, f"{what}: a later decision was left out", "incomplete")
    check_fact(chain.sealed, what)
    return trust


@dataclass(frozen=True)
class Stage:
    """The bundle as it was made, or one renewal: all of one checkpoint of the ledger."""

    name: str
    files: dict[str, bytes]
    chain: Chain
    standing: Standing
    receipt: Receipt

    @property
    def made(self) -> Receipt:
        """The receipt of the checkpoint's seal."""
        return self.chain.made


def parse_stage(number: int, files: dict[str, bytes]) -> Stage:
    """Read a stage's files."""
    name = f"renewal {number}" if number else "the bundle as made"
    base = f"renewals/{number:04d}/" if number else ""
    own = {each: files[base + each] for each in STAGE}
    chain = parse_chain(own["governance.json"], f"governance.json of {name}")
    standing = parse_standing(own["standing.json"], f"standing.json of {name}")
    receipt = parse_receipt(own["receipt.tlog-proof"], f"receipt.tlog-proof of {name}")
    one = {(r.note, *r.lines) for r in (chain.made, standing.sealed.receipt)}
    one |= {(receipt.note, *receipt.lines)} if number else set()
    need(len(one) == 1, f"{name}: its proofs are of different checkpoints")
    return Stage(name, own, chain, standing, receipt)


def check_stage(stage: Stage) -> Trust:
    """The stage's trust is what the members decided, to the byte."""
    trust = check_chain(stage.chain, f"the governance of {stage.name}")
    told = stage.files["trust/members.json"], stage.files["trust/policy.txt"]
    same = told == (trust.to_bytes(), trust.policy())
    need(same, f"the trust of {stage.name} is not what the members decided", "trust")
    return trust


def check_ledger(stages: list[Stage]) -> None:
    """Each stage's tree and history begin with those before: one ledger that only grew."""
    before = stages[0].receipt
    for at, stage in enumerate(stages):
        made = stage.made
        want = {before.size} - {made.size}
        need(stage.chain.heads.keys() == want, f"{stage.name}: heads of other sizes")
        path = stage.chain.heads.get(before.size, [])
        held = consistent(before.size, made.size, before.root, made.root, path)
        need(held, f"{stage.name}: its tree does not begin with the one before", "forked")
        earlier = stages[max(at - 1, 0)].chain.decisions
        again = zip(earlier, stage.chain.decisions, strict=False)
        same = all(a[:2] == b[:2] for a, b in again) and len(earlier) <= len(stage.chain.decisions)
        need(same, f"{stage.name}: another history of its members", "forked")
        before = made


def check_known(stages: list[Stage], trusts: list[Trust], question: Question) -> Trust | None:
    """Hold the bundle's ledger to what the caller knows; gives the trust that the caller knows."""
    newest, genesis = stages[-1], stages[0].chain.decisions[0][1]
    typed = question.fingerprint
    if typed is not None:
        if same_fingerprint(typed, genesis):
            return newest.chain.trust(1, b"")
        for stage, trust in zip(stages, trusts, strict=True):
            if same_fingerprint(typed, stage.files["trust/members.json"]):
                return trust
        raise Refused("trust", "neither ledger nor members have the fingerprint that was given")
    if question.pinned is None:
        return None
    given = parse_json(question.pinned, "members.json")
    _, _, own_size, own_root, *_ = members(given, TRUST, "members.json")
    size, root = uint(own_size, "size", 2), unhex(own_root, "root")
    known = newest.chain.trust(min(size, newest.made.size), root)
    same = past(given, known.size) == past(parse_json(known.to_bytes(), ""), known.size)
    need(same, "the bundle's members and quorums are not those of the trust given", "trust")
    roots = {each.size: each.root for stage in stages for each in (stage.receipt, stage.made)}
    need(size not in roots or roots[size] == root, "the trust given has another root", "forked")
    if size not in roots:
        question.report.warn(
            f"the trust given is of {size} entries, of which the bundle has no root: its members "
            "were compared, its root was not"
        )
    return known


def past(value: Json, size: int) -> Json:
    """A trust's history as it was at a size: what began since is not there, no end since then."""

    def since(item: Json, names: str) -> int:
        return uint(members(item, names, "a trust")[0], "from")

    def spans(items: Json, name: str) -> list[Json]:
        kept = []
        for item in array(items, "a trust"):
            start, end, key = members(item, f"from until {name}", "a trust")
            if uint(start, "from") < size:
                ended = end is not None and uint(end, "until") < size
                kept.append([start, end if ended else None, key])
        return list(kept)

    _, origin, _, _, quorums, listed = members(value, TRUST, "a trust")
    known = []
    for item in array(listed, "a trust"):  # titles and standing have no dates
        name, _, _, *lists = members(item, f"name titles standing {' '.join(KEYS)}", "a trust")
        keys = [spans(each, KEYS[kind]) for kind, each in zip(KEYS, lists, strict=True)]
        known += [[name, *keys]] if keys[0] else []
    rules = [item for item in array(quorums, "a trust") if since(item, "from quorum") < size]
    return [origin, list(rules), list(known)]


Judged = tuple[Version, Trust, list[tuple[Standing, datetime]]]


def judge_bundle(files: dict[str, bytes], question: Question) -> Judged:
    """The whole bundle, without the dataset itself."""
    report = question.report
    report.section = "bundle"
    with report.row("malformed"):
        version = parse_version(files["statement.json"], "statement.json")
        stages = [parse_stage(number, files) for number in range(check_names(list(files)) + 1)]
        label: Json = {"type": "zhixin/evidence/v1", "dataset": version.dataset,
                       "version": str(version.number)}  # fmt: skip
        need(files["evidence.json"] == jcs(label), "evidence.json is not of this statement")
    with report.row("governance"):
        trusts = [check_stage(stage) for stage in stages]
        check_ledger(stages)
    with report.row("trust"):
        known = check_known(stages, trusts, question)
    if known is None:
        report.rows[-1] = (report.section, "trust", "skipped")
    first, trust = stages[0].receipt, trusts[-1]
    with report.row("lines"):
        for receipt in (first, *(stage.made for stage in stages)):
            check_lines(receipt, trust)
    judge_statement(version, first, trust, question)
    with report.row("contract"):
        check_contract(version, files["contract.yaml"])
    claims = []
    for stage in stages:
        asked, report.section = question, stage.name
        if question.without_ed25519 and stage is stages[-1]:
            keys, least = mldsa_known(known)
            asked = replace(question, mldsa_only=keys, least=least)
        with report.row("checkpoint"):
            check_receipt(stage.made, stage.chain.sealed.seal, trust, asked, stage.name)
        with report.row("inclusion"):
            need(stage.receipt.index == first.index, f"{stage.name}: another entry", "inclusion")
            check_included(stage.receipt, version.statement.entry, stage.name)
            if stage is not stages[0]:  # the first receipt was judged above
                entry = version.statement.entry
                check_receipt(stage.receipt, entry, trust, asked, stage.name)
        with report.row("standing"):
            time = judge_claim(version, stage.standing, trust, asked)
            claims.append((stage.standing, time))
        told = told_of(stage, trust, time)
        if question.without_ed25519 and stage is not stages[-1]:
            told += " (that is what Ed25519 says: not counted here)"
        report.proved.append(told)
    report.section = "bundle"
    with report.row("standing"):
        judge_standing(version, first, claims, question)
    tell(version, stages, known, claims[-1], question)
    return version, trust, claims


def check_lines(receipt: Receipt, trust: Trust) -> None:
    """A bundle carries no signature line of anybody else: so no byte of it can change unseen."""
    index = receipt.size - 1
    known = [*trust.in_force("logs", index), *trust.in_force("cosigners", index)]
    ours = {(key.name, key.key_id) for _, key in known}
    foreign = [name for name, key_id, _ in receipt.lines if (name, key_id) not in ours]
    need(not foreign, f"the checkpoint of {receipt.size} entries has a line of nobody's key")


def mldsa_known(known: Trust | None) -> tuple[frozenset[bytes], int]:
    """If Ed25519 is broken, so are decisions on keys and quorum later than the caller knows."""
    if known is None:
        raise Refused("trust", "without Ed25519 only what you know can say whose ML-DSA-44 keys "
                      "count: give --fingerprint or --trust")  # fmt: skip
    spans = [span for member in known.members for span in member.spans["cosigners"]]
    keys = frozenset(span.key.raw for span in spans if span.key.kind == MLDSA44)
    return keys, known.quorum(known.size - 1)


# The verdict.

NOT_PROVED = (
    "that what the owner stated is true: only that the owner stated exactly this",
    "a legal time-stamp: a time is what so many members say, each by its own clock",
    "anything later than the newest checkpoint: ask for a renewed bundle",
    f"anything about {', '.join(UNSIGNED)}, which nobody signs: compare them with a copy of yours",
    "that nobody was shown another ledger: members that cosign two are found out by others",
    "anything once SHA-256 is broken: renewals help against broken signatures, not against that",
)


def iso(time: object) -> str:
    """A time to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(time, datetime) else "?"


def told_of(stage: Stage, trust: Trust, time: datetime) -> str:
    """By whom and by what the checkpoint of a stage is cosigned."""
    index, lines = stage.made.size - 1, {line[:2] for line in stage.made.lines}
    cosigners = trust.in_force("cosigners", index)
    kinds = [key.kind for _, key in cosigners if (key.name, key.key_id) in lines]
    return (
        f"{stage.name}: by {iso(time)} the ledger had {stage.made.size} entries, cosigned by "
        f"{kinds.count(COSIGNATURE)} members with Ed25519 and {kinds.count(MLDSA44)} with "
        f"ML-DSA-44, of {len(cosigners)}; {trust.quorum(index)} are due"
    )


def tell(
    version: Version,
    stages: list[Stage],
    known: Trust | None,
    newest: tuple[Standing, datetime],
    question: Question,
) -> None:
    """Say what holds."""
    (claim, time), report = newest, question.report
    # Without Ed25519 the first receipt's time is nobody's word, the newest checkpoint's is.
    by = time if question.without_ed25519 else report.found["time"]
    report.found |= {
        "ledger": version.origin,
        "ledger_fingerprint": fingerprint(stages[0].chain.decisions[0][1]),
        "trust_fingerprint": fingerprint(stages[-1].files["trust/members.json"]),
        "founders": [member.name for member in stages[0].chain.trust(1, b"").members],
        "standing": {"time": iso(time), "latest": claim.latest, "withdrawn": claim.withdrawn},
    }
    gone = ", ".join(map(str, claim.withdrawn)) or "none"
    report.proved[:0] = [
        f"{version.owner} stated {version.name} as entry {stages[0].receipt.index} of "
        f"{version.origin}, with manifest.json of SHA-256 {version.statement.digest.hex()}",
        f"a quorum of the members confirmed that by {iso(by)}",
        f"its contract is contract.yaml, version {version.contract[0]}",
        f"as of {iso(time)} the latest version is {claim.latest}, withdrawn are: {gone}",
    ]
    if known is None:
        report.warn(
            "NO KEY WAS COMPARED: whoever made this bundle may have made up the ledger too. Ask "
            "members, over another channel, for the ledger's fingerprint; give it by --fingerprint"
        )


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="verify.py", description="Check an evidence bundle of a dataset, offline."
    )
    add = found.add_argument
    add("bundle", type=Path, help="the bundle, zipped or unpacked")
    known = found.add_mutually_exclusive_group().add_argument
    known("--fingerprint", help="the ledger's or the trust's, as members told you")
    known("--trust", type=Path, metavar="DIR", help="a trust that you pinned: its folder")
    add("--expect", metavar="MEMBER/DATASET[@N]", help="what the bundle must be about")
    add("--dataset", type=Path, metavar="DIR", help="the version's folder, to be held to it")
    add("--record", type=Path, metavar="FILE", help="a record proof, to be held to it")
    add("--at", metavar="TIME", help="the time to judge at, such as 2036-01-31T08:00:00Z")
    add("--max-age", metavar="AGE", help="refuse an older standing: 90 (seconds), 12h, 7d")
    add("--even-withdrawn", action="store_true", help="a withdrawn version is no refusal")
    add("--without", choices=["ed25519"], help="count ML-DSA-44 alone in the newest checkpoint")
    add("--json", action="store_true", help="answer in JSON")
    return found


def asked_of(options: argparse.Namespace, report: Report) -> Question:
    """Read the options."""
    try:
        now = datetime.fromisoformat(options.at) if options.at else datetime.now(UTC)
        now = (now if now.tzinfo else now.replace(tzinfo=UTC)).astimezone(UTC)
        age = re.fullmatch(r"([0-9]{1,9})([smhd]?)", options.max_age or "0", re.ASCII)
        if age is None:
            raise ValueError("--max-age")
        seconds = int(age[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[age[2]]
        asked = None
        if options.expect is not None:
            dataset, at, number = options.expect.partition("@")
            matched(dataset, DATASET, "--expect")
            asked = dataset, uint(number, "--expect", 1) if at else None
        most = timedelta(seconds=seconds) if options.max_age else None
        return Question(report, now, asked, most, options.even_withdrawn, options.fingerprint,
                        without_ed25519=options.without is not None)  # fmt: skip
    except (ValueError, OverflowError, Refused) as fault:
        raise Unusable(f"an option can't be used: {fault}") from fault


def trust_given(folder: Path) -> bytes:
    """The trust that the caller pinned: if it is none, that is no verdict on the bundle."""
    try:
        data = read_small(folder / "members.json", "members.json", MAX_TRUST)
        past(parse_json(data, "members.json"), MAX_INT)
    except Refused as fault:
        raise Unusable(f"the trust given can't be used: {fault.message}") from fault
    return data


def judge(options: argparse.Namespace, report: Report) -> None:
    """Everything that was asked for."""
    question, bundle = asked_of(options, report), options.bundle
    for path in (bundle, options.dataset, options.record, options.trust):
        if path is not None and not path.exists():
            raise Unusable(f"{path} is not there")
    if options.dataset is not None and not options.dataset.is_dir():
        raise Unusable(f"{options.dataset} is no folder")
    if options.trust is not None:
        question = replace(question, pinned=trust_given(options.trust))
    files = read_folder(bundle) if bundle.is_dir() else read_archive(bundle.resolve())
    version, trust, claims = judge_bundle(files, question)
    held = replace(question, asked=(version.dataset, version.number))
    for section, path in (("dataset", options.dataset), ("record", options.record)):
        if path is None:
            continue
        report.section = section
        if section == "dataset":
            other, receipt = judge_folder(path, trust, held)
            told = f"is that version, byte for byte: {report.found['records']} records"
        else:
            proof = read_small(path.resolve(), "the record proof", 64 << 20)
            other, receipt = judge_record(proof, trust, held)
            told = (
                f"is one of its records: {json.dumps(report.found['record'], ensure_ascii=False)}"
            )
        with report.row("standing"):
            same = other.statement.entry == version.statement.entry
            need(same, "its statement is not the bundle's", "unexpected")
            judge_standing(other, receipt, claims, held)
        report.proved.append(f"{path} {told}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, tell, and give the exit code."""
    options, report = parser().parse_args(arguments), Report()
    code, message, status = None, "everything that was asked holds", 0
    try:
        judge(options, report)
    except Refused as fault:
        code, message, status = fault.code, fault.message, 1
    except (Unusable, OSError, MemoryError) as fault:
        code, message, status = "usage", str(fault) or type(fault).__name__, 2
    except Exception as fault:  # noqa: BLE001 - what nobody thought of is never a pass
        code, message, status = "internal", f"not judged: {type(fault).__name__}", 1
    told = (as_json if options.json else as_text)(report, code, message)
    # Whatever a record holds, the terminal only shows it.
    seen = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in told)
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write("".join(seen).encode(encoding, "backslashreplace").decode(encoding))
    return status


def as_json(report: Report, code: str | None, message: str) -> str:
    """The answer for programs."""
    found = {k: iso(v) if isinstance(v, datetime) else v for k, v in report.found.items()}
    rows = [{"section": s, "name": name, "status": status} for s, name, status in report.rows]
    proved = report.proved if code is None else []
    answer = {"ok": code is None, "code": code, "message": message, **found, "checks": rows,
              "proved": proved, "not_proved": NOT_PROVED, "warnings": report.warnings}  # fmt: skip
    return json.dumps(answer) + "\n"


def as_text(report: Report, code: str | None, message: str) -> str:
    """The answer for people."""
    lines = [f"{status:8} {section}: {name}" for section, name, status in report.rows]
    lines += [f"WARNING  {sentence}" for sentence in report.warnings]
    if code is not None:
        return "\n".join([*lines, "", f"REFUSED {code}: {message}", ""])
    for name in ("ledger", "ledger_fingerprint", "trust_fingerprint"):
        lines.append(f"{name.replace('_', ' ')}: {report.found[name]}")
    lines += ["", "PROVED", *(f"  - {sentence}" for sentence in report.proved)]
    lines += ["NOT PROVED", *(f"  - {sentence}" for sentence in NOT_PROVED)]
    return "\n".join([*lines, "", f"HOLDS {report.found['dataset']}@{report.found['version']}", ""])


if __name__ == "__main__":
    sys.exit(main())
