"""A member's witness: it cosigns what it has replayed, and nothing else (C2SP tlog-witness).

A cosignature by a member's key says that the member itself fetched, hashed and put through the
rules every entry up to the checkpoint, that it ends with a seal, and that the seal's state root is
its own. So a log with one entry that breaks a rule gets no cosignature, and a witness that saw
one tree of a ledger never cosigns another.

Order of checks, with the code of the refusal and the status that C2SP gives it: malformed 400 →
unknown origin 404 → the log's signature 403 → old size above the new 400 → another size cosigned
last 409 → proof 422 → replay → check-and-record in one transaction, and only then the answer. What
the log signed and the copy contradicts is kept as a report (`forks`).

A witness may have several keys, of both kinds; the one that the ledger's own rules have in force at
the checkpoint's size signs, so that a rotation needs no moment at which keys are exchanged. Times
never go back under one key: a clock that was put back changes nothing, and one that ran ahead costs
the key its use until that time, or until it is rotated.
"""

from __future__ import annotations

from collections.abc import Sequence

from zhixin_errors import FormatError, LedgerRefused, VerificationError

from zhixin_ledger import checkpoint, cosignature, merkle, standing_check
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.gathering import WitnessTransport, conflict
from zhixin_ledger.keys import verify_ed25519
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note, SignatureLine, known_lines
from zhixin_ledger.signers import Signer
from zhixin_ledger.state import State
from zhixin_ledger.steps import Clock
from zhixin_ledger.tiles import TileSource

__all__ = ["Witness"]


class Witness:
    """Cosigns for one member.

    Args:
        member: the member's name; its keys' name is `<member>/witness`.
        mirror: the member's own copy, which keeps what was cosigned last.
        signers: the cosigner keys, used for nothing else.
        source: where the member fetches the log's entries.
        clock: gives aware times.
        peers: other members' witnesses, who are asked too where the copy was put back.
    """

    def __init__(  # noqa: PLR0917 - what a witness is made of
        self,
        member: str,
        mirror: Mirror,
        signers: Sequence[Signer],
        source: TileSource,
        clock: Clock,
        peers: Sequence[WitnessTransport] = (),
    ) -> None:
        self.member = member
        self._mirror = mirror
        self._signers = tuple(signers)
        self._source = source
        self._clock = clock
        self._peers = peers
        self._asked = False

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        """Cosign a checkpoint that follows from what was cosigned last.

        Args:
            old_size: what the log thinks that was; 0 for nothing.
            proof: consistency proof from there, empty for 0.
            note: the checkpoint, signed by the log.

        Returns:
            The signature lines, one for each of its keys that is in force.

        Raises:
            LedgerRefused: `malformed`, `other-origin`, `log-signature`, `witness-conflict`,
                `forked`, `witness-key`, or the code of the rule that an entry breaks.
            LedgerUnavailable: the log's entries can't be fetched, or another process is busy;
                `witness-rolled-back`: it cosigned more than its copy remembers.
        """
        made, signed = self._known(note)
        self._check_standing()
        last_size, last_root = self._last()
        if old_size > made.size:
            raise LedgerRefused("the old size is above the checkpoint's", code="malformed")
        if old_size != last_size:
            raise conflict(last_size)
        try:
            _check_consistent(last_size, last_root, made, proof)
        except LedgerRefused as fault:
            self._mirror.keep_evidence(fault, signed, self._source, (old_size, proof))
            raise
        return self._cosign(made, signed, last_size)

    def sign(self, note: bytes) -> Note:
        """Cosign a checkpoint that came by file: the copy itself shows that it follows.

        Args:
            note: the checkpoint, signed by the log.

        Returns:
            The note with this witness's lines after those that it came with.

        Raises:
            LedgerRefused: as `add_checkpoint`; `witness-conflict` for one that is smaller than what
                was cosigned last.
            LedgerUnavailable: as there.
        """
        made, signed = self._known(note)
        self._check_standing()
        last_size, last_root = self._last()
        if last_size > made.size:
            raise conflict(last_size)
        self._mirror.follow(signed, self._source)
        if last_size and self._mirror.tree().root(last_size) != last_root:
            raise LedgerRefused("the copy is not of what was cosigned last", code="forked")
        lines = self._cosign(made, signed, last_size)
        return Note.parse(signed.format() + lines)

    def _known(self, note: bytes) -> tuple[Checkpoint, Note]:
        """Refuse what is no checkpoint, another ledger's, and what the log has not signed."""
        try:
            signed = Note.parse(note, "the checkpoint")
            made = checkpoint.parse(signed.text)
        except FormatError as fault:
            raise LedgerRefused(fault.message, code="malformed") from fault
        origin = self._mirror.origin
        if origin is not None and made.origin != origin:
            raise LedgerRefused(
                f"this witness follows {origin}, not {made.origin}", code="other-origin"
            )
        state = self._mirror.state()
        if state.size == 0:
            if all(line.name != made.origin for line in signed.signatures):
                raise LedgerRefused("the log has not signed the checkpoint", code="log-signature")
        elif not _signed_by_log(made, signed, state):
            # A log key may have come into force in entries that are not replayed yet.
            try:
                self._mirror.follow(signed, self._source)
            except LedgerRefused as fault:
                raise LedgerRefused(
                    "no key of the log that this witness knows has signed the checkpoint",
                    code="log-signature",
                ) from fault
        return made, signed

    def _check_standing(self) -> None:
        """Before the first cosignature, ask others what this witness cosigned already."""
        if not self._asked or standing_check.is_restored(self._mirror.directory):
            standing_check.check_witness(
                self.member, self._mirror, self._signers, self._source, self._peers
            )
            self._asked = True

    def _last(self) -> tuple[int, bytes]:
        last = self._mirror.cosigned()
        return (0, b"") if last is None else last[:2]

    def _cosign(self, made: Checkpoint, signed: Note, last_size: int) -> bytes:
        """Replay, then sign and record in one transaction; gives the lines."""
        try:
            state = self._mirror.follow(signed, self._source)
        except LedgerRefused as fault:
            fault.details["replay"] = True  # of the entries, not of the question
            raise
        name = f"{self.member}/witness"
        in_force = {key.public_key for key in state.cosigner_keys(made.size) if key.name == name}
        signers = [signer for signer in self._signers if signer.public_key in in_force]
        if not signers:
            raise LedgerRefused(
                f"the cosigner key of {self.member} is not in force at {made.size} entries",
                code="witness-key",
            )
        log_lines = tuple(line for _, line, _ in known_lines(signed, state.log_keys(made.size)))
        lines: list[SignatureLine] = []

        def cosign(last_s: int, last: Note | None) -> tuple[int, Note]:
            now_s = int(self._clock().timestamp())
            times = []
            for signer in signers:
                times.append(_next_time(now_s, name, signer, last_s, last))
                lines.append(cosignature.cosign(signed.text, name, signer, times[-1]))
            return max(times), Note(signed.text, log_lines).with_signatures(lines)

        self._mirror.record_cosigned(last_size, made, cosign)
        return "".join(line.line for line in lines).encode()


def _signed_by_log(made: Checkpoint, signed: Note, state: State) -> bool:
    """Say whether a known log key signed; a known key's line that fails refuses the whole."""
    good = False
    for _, line, key in known_lines(signed, state.log_keys(made.size)):
        if not verify_ed25519(key.public_key, signed.text, line.signature):
            raise LedgerRefused(
                f"the line of the log's key {key.name}+{key.key_id.hex()} does not verify",
                code="log-signature",
            )
        good = True
    return good


def _next_time(now_s: int, name: str, signer: Signer, last_s: int, last: Note | None) -> int:
    """Give the time to sign with: the clock's, but never before the key's last."""
    if last is not None:
        key = cosignature.key_of(name, signer)
        last_s = max(
            (
                int.from_bytes(line.signature[: cosignature.TIME_BYTES])
                for line in last.signatures
                if (line.name, line.key_id) == (key.name, key.key_id)
            ),
            default=0,
        )
    return max(now_s, last_s)


def _check_consistent(size: int, root: bytes, made: Checkpoint, proof: Sequence[bytes]) -> None:
    if size == 0:
        if proof:
            raise LedgerRefused("nothing proves from size 0", code="forked")
        return
    try:
        merkle.verify_consistency(size, made.size, root, made.root, proof)
    except VerificationError as fault:
        raise LedgerRefused(
            f"the checkpoint of {made.size} entries does not begin with the {size} that were "
            f"cosigned: {fault.message}",
            code="forked",
        ) from fault
