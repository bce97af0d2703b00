"""The audit of one member: every version that it ever stated, and that there is no other.

A ledger's copy is verified as a whole first, against a pinned trust: a list from a copy that nobody
checked proves nothing. Then every entry is read once more. What the rules had to hold already
(versions consecutive, each naming the entry of the one before) is held again here on its own, so
that a copy that fails can still be told where it was tampered with.

The proofs that go with it are what others check with their own tools: each statement with its
receipt, and of each dataset a standing, whose fact says which version is the last.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zhixin_errors import ConfigError, FormatError, VerificationError, ZhixinError
from zhixin_ledger import (
    checkpoint,
    cosignature,
    dsse,
    encoding,
    governance,
    intoto,
    merkle,
    seal,
)
from zhixin_ledger.kinds import KINDS
from zhixin_ledger.kinds.contract import Contract
from zhixin_ledger.kinds.dataset import DatasetVersion
from zhixin_ledger.kinds.genesis import Genesis
from zhixin_ledger.kinds.member import MemberChange
from zhixin_ledger.kinds.withdrawal import Withdrawal
from zhixin_ledger.tiles import Tiles

from zhixin_gateway.datasets.directory import write_whole
from zhixin_gateway.trusting import Replayed, verified

if TYPE_CHECKING:
    from zhixin_ledger.intoto import Statement
    from zhixin_ledger.tiles import TileSource
    from zhixin_ledger.trust import Trust

__all__ = [
    "Act",
    "Gap",
    "MemberAudit",
    "Version",
    "audit_member",
    "gaps_in",
    "unlike_facts",
    "write_proofs",
]


@dataclass(slots=True)
class Version:
    """One version that the member stated.

    Attributes:
        dataset: ``member/name``.
        version: its number.
        index: of its entry.
        time: of the seal that closed its block; empty in an open one.
        statement: H of its entry.
        manifest: H of its manifest.
        root: its root.
        contract: the version of the contract that it keeps.
        previous: H of the entry of the version before; None for the first.
        inputs: what it was made from, as ``member/name@n``.
        withdrawn: {index, time, reason, replaced_by, by}, or None.
    """

    dataset: str
    version: int
    index: int
    time: str
    statement: str
    manifest: str
    root: str
    contract: str
    previous: str | None
    inputs: tuple[str, ...]
    withdrawn: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """What the member, or a quorum about it, stated besides.

    Attributes:
        index: of the entry.
        time: of its seal.
        what: ``contract``, ``withdrawal``, ``founded``, ``joined``, ``left``, ``rotated``, or
            ``signed`` for a decision on others that it signed.
        subject: what it is about.
    """

    index: int
    time: str
    what: str
    subject: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a member's statements don't follow on.

    Attributes:
        code: ``version-order``: a number is left out or comes twice; ``previous``: another entry
            is named; ``fact``: the ledger's state knows another latest version.
        dataset: whose.
        version: the version at fault.
        index: of its entry.
        message: one sentence.
    """

    code: str
    dataset: str
    version: int
    index: int
    message: str


@dataclass(slots=True)
class MemberAudit:
    """All that one member ever stated.

    Attributes:
        member: the member's name.
        origin: the ledger's.
        size: entries of the ledger.
        root: its root in hex.
        time: of its last seal.
        cosigned: members that cosigned that checkpoint.
        versions: in the order of their entries.
        acts: likewise.
        gaps: none in a copy that holds.
    """

    member: str
    origin: str = ""
    size: int = 0
    root: str = ""
    time: str = ""
    cosigned: tuple[str, ...] = ()
    versions: list[Version] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The answer for programs."""
        return {
            "ok": not self.gaps,
            "code": self.gaps[0].code if self.gaps else None,
            **asdict(self),
        }

    @property
    def indexes(self) -> list[int]:
        """The entries that it is about."""
        found = {each.index for each in self.versions} | {act.index for act in self.acts}
        found |= {each.withdrawn["index"] for each in self.versions if each.withdrawn}
        return sorted(found)


def audit_member(
    member: str, trust: Trust, source: TileSource, what: str
) -> tuple[MemberAudit, Replayed]:
    """Verify a ledger's copy, then list all that a member ever stated in it.

    Args:
        member: the member's name.
        trust: as it is pinned.
        source: the copy's files.
        what: names them for people.

    Returns:
        The list, and the copy as it was replayed.

    Raises:
        VerificationError: the copy does not hold; the audit's code, ``details["gaps"]`` what can
            be seen of the member's statements all the same.
        ConfigError: ``member-unknown``: the ledger never had such a member.
    """
    try:
        found = verified(trust, source, what)
    except VerificationError as error:
        gaps = [asdict(gap) for gap in _seen_gaps(member, source)]
        raise VerificationError(
            error.message + (f"; of {member}: {gaps[0]['message']}" if gaps else ""),
            code=error.code,
            hint=error.hint,
            details={**error.details, "gaps": gaps},
        ) from error
    if member not in found.state.members:
        raise ConfigError(
            f"{member} was never a member of {found.state.origin}",
            code="member-unknown",
            hint="`zhixin member list` shows who is",
        )
    audit = _read(member, _as_audited(found, what))
    made = checkpoint.parse(found.note.text)
    keys = found.state.cosigner_keys(made.size)
    audit.origin, audit.size, audit.root = made.origin, made.size, made.root.hex()
    audit.cosigned = tuple(
        sorted(key.name.removesuffix("/witness") for key in cosignature.counted(found.note, keys))
    )
    audit.gaps = gaps_in(audit.versions)
    audit.gaps += unlike_facts(audit, found)
    return audit, found


def _as_audited(found: Replayed, what: str) -> Iterator[bytes]:
    """Give the entries that were audited: they are read again, and a server could serve others."""
    tree = merkle.CompactRange()
    for entry in found.tree.entries():
        tree.append(merkle.leaf_hash(entry))
        yield entry
    if tree.root() != found.state.root:
        raise VerificationError(f"{what} serves other entries than it did before", code="root")


def gaps_in(versions: Iterable[Version]) -> list[Gap]:
    """Hold versions to be consecutive, each naming the entry of the one before.

    Args:
        versions: in the order of their entries.
    """
    last: dict[str, Version] = {}
    gaps: list[Gap] = []
    for each in versions:
        before = last.get(each.dataset)
        number, statement = (0, None) if before is None else (before.version, before.statement)
        name = f"{each.dataset}@{each.version}"
        where = (each.dataset, each.version, each.index)
        if each.version != number + 1:
            gaps.append(
                Gap("version-order", *where, f"{name} comes after version {number or 'none'}")
            )
        elif each.previous != statement:
            gaps.append(Gap("previous", *where, f"{name} names another entry as the one before"))
        last[each.dataset] = each
    return gaps


def unlike_facts(audit: MemberAudit, found: Replayed) -> Iterator[Gap]:
    """Hold a list to the facts that the members cosigned with the state.

    Args:
        audit: the list.
        found: the copy.
    """
    last = {each.dataset: each for each in audit.versions}
    for fact in found.state.datasets():
        if fact.dataset.partition("/")[0] != audit.member:
            continue
        each = last.pop(fact.dataset, None)
        if each is None or (each.version, each.statement) != (fact.version, fact.statement_hex):
            yield Gap(
                "fact",
                fact.dataset,
                fact.version,
                fact.entry,
                f"the ledger's state has {fact.dataset}@{fact.version} as the latest",
            )
    for each in last.values():
        yield Gap(
            "fact", each.dataset, each.version, each.index, f"the state has no {each.dataset}"
        )


def _seen_gaps(member: str, source: TileSource) -> list[Gap]:
    """What can be read of a copy that does not hold."""
    try:
        note = source.read("checkpoint")
        if note is None:
            return []
        size = checkpoint.parse(note.partition(b"\n\n")[0] + b"\n").size
        return gaps_in(_read(member, Tiles(source, size).entries()).versions)
    except ZhixinError:
        return []


# --- reading the entries --------------------------------------------------------------------------


class _Reader:
    """Goes through the entries and keeps what concerns one member."""

    def __init__(self, member: str) -> None:
        self.audit = MemberAudit(member)
        self._own_keys: set[str] = set()
        self._open: list[Version | Act | dict[str, Any]] = []
        self._versions: dict[tuple[str, int], Version] = {}

    def entry(self, index: int, data: bytes) -> None:
        """Take the next entry."""
        if seal.is_seal(data):
            self._close(seal.parse_seal(data).time)
            return
        envelope = dsse.parse_envelope(data)
        statement = intoto.parse_statement(envelope.payload)
        signers = [keyid for keyid, _ in envelope.signatures]
        kind = KINDS.get(statement.predicate_type)
        if kind is None:
            raise FormatError("a statement of an unknown kind")
        self._statement(index, data, kind.read(statement), statement, signers)

    def _statement(
        self, index: int, data: bytes, model: object, statement: Statement, signers: list[str]
    ) -> None:
        if isinstance(model, DatasetVersion):
            if self._own(model.dataset):
                self._version(index, data, model)
        elif isinstance(model, Contract):
            if self._own(model.dataset):
                self._act(index, "contract", f"{model.dataset} {model.version_text}")
        elif isinstance(model, Withdrawal):
            self._withdrawal(index, model, signers)
        else:
            self._decision(index, model, statement, signers)

    def _own(self, dataset: str) -> bool:
        return dataset.partition("/")[0] == self.audit.member

    def _version(self, index: int, data: bytes, stated: DatasetVersion) -> None:
        made = Version(
            stated.dataset,
            stated.version,
            index,
            "",
            encoding.sha256_hex(data),
            stated.manifest_hex,
            stated.root_hex,
            stated.contract_version,
            stated.previous_hex,
            tuple(f"{each.dataset}@{each.version}" for each in stated.inputs),
        )
        self.audit.versions.append(made)
        self._versions[made.dataset, made.version] = made
        self._open.append(made)

    def _withdrawal(self, index: int, model: Withdrawal, signers: list[str]) -> None:
        name = f"{model.dataset}@{model.version}"
        signed = bool(self._own_keys & set(signers))
        if self._own(model.dataset):
            told: dict[str, Any] = {
                "index": index,
                "time": "",
                "reason": model.reason,
                "replaced_by": model.replaced_by,
                "by": "owner" if len(signers) == 1 else "quorum",
            }
            stated = self._versions.get((model.dataset, model.version))
            if stated is not None:
                stated.withdrawn = told
                self._open.append(told)
        if signed:
            self._act(index, "withdrawal", name)

    def _decision(
        self, index: int, model: object, statement: Statement, signers: list[str]
    ) -> None:
        name = self.audit.member
        if isinstance(model, Genesis):
            for founder in model.members:
                if founder.name == name:
                    self._own_keys = set(founder.signer)
                    self._act(index, "founded", model.origin)
        elif isinstance(model, MemberChange) and model.member.name == name:
            done = {"join": "joined", "leave": "left", "rotate": "rotated"}[model.action]
            self._act(index, done, model.member.name)
            self._own_keys = set() if model.action == "leave" else set(model.member.signer)
        elif self._own_keys & set(signers):
            self._act(index, "signed", f"{statement.subject_name}")

    def _act(self, index: int, what: str, subject: str) -> None:
        self._open.append(Act(index, "", what, subject))

    def _close(self, time: str) -> None:
        """A seal gives all of its block its time."""
        for each in self._open:
            if isinstance(each, Version):
                each.time = time
            elif isinstance(each, Act):
                self.audit.acts.append(Act(each.index, time, each.what, each.subject))
            else:
                each["time"] = time
        self._open = []
        self.audit.time = time


def _read(member: str, entries: Iterable[bytes]) -> MemberAudit:
    reader = _Reader(member)
    for index, data in enumerate(entries):
        reader.entry(index, data)
    return reader.audit


# --- proofs ---------------------------------------------------------------------------------------


def write_proofs(audit: MemberAudit, found: Replayed, trust: Trust, folder: Path) -> int:
    """Write what a third party checks with its own tools; gives how many statements there are.

    ::

        <index>.statement.json      each entry's exact bytes
        <index>.tlog-proof          its receipt under the newest checkpoint
        <dataset>.standing.json     that no later version was stated, and which are withdrawn
        governance.json             the chain on which the trust follows to that checkpoint
        audit.json                  the list itself

    Args:
        audit: the list.
        found: the copy.
        trust: as it is pinned.
        folder: where they go; new or empty.

    Raises:
        ConfigError: something lies there.
    """
    from zhixin_ledger.standing import make_standing
    from zhixin_ledger.tlogproof import format_receipt

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already", hint="name a folder that is new")
    folder.mkdir(parents=True, exist_ok=True)
    note = found.note.format()
    for index in audit.indexes:
        entry = found.tree.entry(index)
        receipt = format_receipt(index, found.tree.inclusion_path(index), note)
        write_whole(folder / f"{index}.statement.json", entry)
        write_whole(folder / f"{index}.tlog-proof", receipt)
    for dataset in sorted({each.dataset for each in audit.versions}):
        data = make_standing(found.state, found.source, found.note, dataset)
        write_whole(folder / f"{dataset.partition('/')[2]}.standing.json", data)
    chain = governance.make_chain(found.tree, found.state, note, [trust.size])
    write_whole(folder / "governance.json", chain)
    told = json.dumps(audit.to_json(), ensure_ascii=False, indent=1) + "\n"
    write_whole(folder / "audit.json", told.encode())
    return len(audit.indexes)
