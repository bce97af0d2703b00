r"""Equivocation reports: proof for anyone that a ledger's signers stood for two histories.

docs/formats.md 8. Two signed checkpoints of one ledger, and what shows that no tree has both::

    {"first":"ledger.gov.example/2026\n4\n…",    the smaller (of one size: whose text sorts first)
     "path":["<hex>",…],                          consistency proof from there to the second
     "root":"<hex>",                              the root that the second's tree has at that size
     "second":"ledger.gov.example/2026\n6\n…",
     "type":"zhixin/equivocation/v1"}

The path leads from `root` to the second checkpoint's root; so the second's tree begins with `root`,
and the first checkpoint says another. Of one size the path is empty and `root` is the second's.
Whoever signed both signed a lie: the log, a member whose witness should have noticed, or both. A
consistency proof that merely fails proves nothing, so no report is made of one.

Pure functions over bytes and a trust; `forks` finds and keeps reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zhixin_errors import FormatError, VerificationError

from zhixin_ledger import checkpoint, cosignature, encoding, merkle
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.keys import verify_ed25519
from zhixin_ledger.note import Note, known_lines
from zhixin_ledger.trust import Trust

__all__ = ["MAX_BYTES", "TYPE", "Finding", "Report", "Signed"]

TYPE = "zhixin/equivocation/v1"
MAX_BYTES = 1024 * 1024
_MAX_PATH = merkle.MAX_PATH + 1  # a consistency proof may have one more


@dataclass(frozen=True, slots=True)
class Signed:
    """Who stands behind one checkpoint.

    Attributes:
        log: whether a key of the log that was in force signed it.
        members: names of the members whose cosigner key that was in force cosigned it.
        quorum: whether these were as many as the quorum.
    """

    log: bool
    members: frozenset[str]
    quorum: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What a report proves.

    Attributes:
        origin: the ledger.
        sizes: of the first and the second checkpoint.
        signed: who stands behind each.
    """

    origin: str
    sizes: tuple[int, int]
    signed: tuple[Signed, Signed]

    @property
    def log(self) -> bool:
        """Whether the log signed both."""
        return all(signed.log for signed in self.signed)

    @property
    def members(self) -> tuple[str, ...]:
        """The members that cosigned both, sorted."""
        first, second = self.signed
        return tuple(sorted(first.members & second.members))

    @property
    def quorums(self) -> bool:
        """Whether both have a quorum: then receipts of both histories pass a gate."""
        return all(signed.quorum for signed in self.signed)


@dataclass(frozen=True, slots=True)
class Report:
    """Two checkpoints that no one tree has.

    Attributes:
        first: the smaller; of one size, the one whose text sorts first.
        second: the other.
        root: what the second's tree has at the first's size.
        path: the consistency proof from `root` to the second's root.
    """

    first: Note
    second: Note
    root: bytes
    path: tuple[bytes, ...]

    @classmethod
    def make(cls, one: Note, other: Note, root: bytes, path: Sequence[bytes]) -> Report:
        """Put a report together, in the order that the format has.

        Args:
            one: a checkpoint.
            other: one of the same size or a larger.
            root: what the other's tree has at the one's size.
            path: the consistency proof from there; empty where the sizes are equal.

        Raises:
            FormatError: a note that is no checkpoint.
            VerificationError: `unproven`: it shows no contradiction.
        """
        first, second = checkpoint.parse(one.text), checkpoint.parse(other.text)
        if first.size == second.size and other.text < one.text:
            one, other, root = other, one, first.root
        report = cls(one, other, root, tuple(path))
        report.check()
        return report

    @classmethod
    def parse(cls, data: bytes, what: str = "equivocation report") -> Report:
        """Read a report; whether it proves anything, `check` and `verify` say.

        Raises:
            FormatError: another form.
        """
        if len(data) > MAX_BYTES:
            raise FormatError(f"{what} is longer than {MAX_BYTES} bytes")
        value = encoding.parse_jcs(data, what)
        first, path, root, second, kind = encoding.members(
            value, what, ("first", "path", "root", "second", "type")
        )
        if kind != TYPE:
            raise FormatError(f"{what}: the type must be {TYPE}")
        items = encoding.as_array(path, f"{what}: path")
        if len(items) > _MAX_PATH:
            raise FormatError(f"{what}: path has more than {_MAX_PATH} hashes")
        report = cls(
            _note(first, f"{what}: first"),
            _note(second, f"{what}: second"),
            encoding.parse_hex(root, f"{what}: root"),
            tuple(encoding.parse_hex(item, f"{what}: path") for item in items),
        )
        one, other = report.checkpoints()
        if (one.size, report.first.text) >= (other.size, report.second.text):
            raise FormatError(f"{what}: first and second are not in their order")
        return report

    def to_bytes(self) -> bytes:
        """The report's bytes, in JCS."""
        return encoding.jcs(
            {
                "type": TYPE,
                "first": self.first.format().decode(),
                "second": self.second.format().decode(),
                "root": self.root.hex(),
                "path": [item.hex() for item in self.path],
            }
        )

    def checkpoints(self) -> tuple[Checkpoint, Checkpoint]:
        """What the two notes say; FormatError where one is no checkpoint."""
        return checkpoint.parse(self.first.text), checkpoint.parse(self.second.text)

    def check(self) -> None:
        """Hold the two trees against each other; signatures are not looked at.

        Raises:
            VerificationError: `unproven`: two ledgers, a path that does not lead from `root` to the
                second's root, or roots that agree.
        """
        first, second = self.checkpoints()
        if first.origin != second.origin:
            raise _unproven(f"one checkpoint is of {first.origin}, the other of {second.origin}")
        try:
            merkle.verify_consistency(first.size, second.size, self.root, second.root, self.path)
        except VerificationError as fault:
            raise _unproven("its path does not lead to the second checkpoint's root") from fault
        if self.root == first.root:
            raise _unproven("the second checkpoint's tree begins with the first's")

    def verify(self, trust: Trust) -> Finding:
        """Say what the report proves, by the keys that a trust names.

        Args:
            trust: of the ledger, up to any size.

        Raises:
            VerificationError: `unproven`: it shows no contradiction, or nobody whose keys the trust
                names signed both; `log-signature`, `quorum`: a known key's line fails.
        """
        self.check()
        first, second = self.checkpoints()
        if first.origin != trust.origin:
            raise _unproven(f"it is of the ledger {first.origin}, the trust of {trust.origin}")
        finding = Finding(
            trust.origin,
            (first.size, second.size),
            (_signed(self.first, first.size, trust), _signed(self.second, second.size, trust)),
        )
        if not finding.log and not finding.members:
            raise _unproven("nobody whose key was in force signed both checkpoints")
        return finding


def _note(value: encoding.Json, what: str) -> Note:
    note = Note.parse(encoding.as_text(value, what).encode("utf-8", "surrogatepass"), what)
    checkpoint.parse(note.text)
    return note


def _signed(note: Note, size: int, trust: Trust) -> Signed:
    log = False
    for number, line, key in known_lines(note, trust.log_keys(size)):
        if not verify_ed25519(key.public_key, note.text, line.signature):
            raise VerificationError(
                f"signature line {number} of the checkpoint of {size} entries, of the log's key "
                f"{key.name}+{key.key_id.hex()}, does not verify",
                code="log-signature",
            )
        log = True
    owners = {cosigner.key: cosigner.member for cosigner in trust.cosigners(size)}
    members = frozenset(owners[key] for key in cosignature.counted(note, owners))
    return Signed(log, members, len(members) >= trust.quorum(size))


def _unproven(why: str) -> VerificationError:
    return VerificationError(f"the report proves nothing: {why}", code="unproven")
