"""A member's witness: it cosigns what it has replayed, and nothing else (C2SP tlog-witness).

A cosignature by a member's key says that the member itself fetched, hashed and put through the
rules every entry up to the checkpoint, that it ends with a seal, and that the seal's state root is
its own. So a log with one entry that breaks a rule gets no cosignature, and a witness that saw
one tree of a ledger never cosigns another.

Order of checks, with the code of the refusal and the status that C2SP gives it: malformed 400 →
unknown origin 404 → the log's signature 403 → old size above the new 400 → another size cosigned
last 409 → proof 422 → replay → check-and-record in one transaction, and only then the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from zhixin_errors import FormatError, LedgerRefused, VerificationError

from zhixin_ledger import checkpoint, cosignature, merkle, standing_check
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.gathering import WitnessTransport
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note, SignatureLine, known_lines
from zhixin_ledger.signers import Signer
from zhixin_ledger.steps import Clock
from zhixin_ledger.tiles import TileSource

__all__ = ["Witness"]


class Witness:
    """Cosigns for one member.

    Args:
        member: the member's name; its key's name is `<member>/witness`.
        mirror: the member's own copy, which keeps what was cosigned last.
        signer: the cosigner key, used for nothing else.
        source: where the member fetches the log's entries.
        clock: gives aware times.
        peers: other members' witnesses, who are asked too where the copy was put back.
    """

    def __init__(
        self,
        member: str,
        mirror: Mirror,
        signer: Signer,
        source: TileSource,
        clock: Clock,
        *,
        peers: Sequence[WitnessTransport] = (),
    ) -> None:
        self.member = member
        self._mirror = mirror
        self._signer = signer
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
            The signature line.

        Raises:
            LedgerRefused: `malformed`, `other-origin`, `log-signature`, `witness-conflict`,
                `forked`, `witness-key`, or the code of the rule that an entry breaks.
            LedgerUnavailable: the log's entries can't be fetched, or another process is busy;
                `witness-rolled-back`: it cosigned more than its copy remembers.
        """
        try:
            signed = Note.parse(note, "the checkpoint")
            made = checkpoint.parse(signed.text)
        except FormatError as fault:
            raise LedgerRefused(fault.message, code="malformed") from fault
        self._check_known(made, signed)
        self._check_standing()
        last = self._mirror.cosigned()
        if old_size > made.size:
            raise LedgerRefused("the old size is above the checkpoint's", code="malformed")
        last_size = 0 if last is None else last[0]
        if old_size != last_size:
            raise LedgerRefused(
                f"the witness cosigned {last_size} entries last",
                code="witness-conflict",
                details={"size": last_size},
            )
        if last is None:
            if proof:
                raise LedgerRefused("nothing proves from size 0", code="forked")
        else:
            _check_consistent(last[0], last[1], made, proof)
        state = self._mirror.follow(signed, self._source)
        name = f"{self.member}/witness"
        keys = [key for key in state.cosigner_keys(made.size) if key.name == name]
        if self._signer.public_key not in [key.public_key for key in keys]:
            raise LedgerRefused(
                f"the cosigner key of {self.member} is not in force at {made.size} entries",
                code="witness-key",
            )
        log_lines = tuple(line for _, line, _ in known_lines(signed, state.log_keys(made.size)))
        lines: list[SignatureLine] = []

        def cosign(time_s: int) -> Note:
            lines.append(cosignature.cosign(signed.text, name, self._signer, time_s))
            return Note(signed.text, log_lines).with_signatures(lines)

        now_s = int(self._clock().timestamp())
        self._mirror.record_cosigned(last_size, made, now_s, cosign)
        return "".join(line.line for line in lines).encode()

    def _check_standing(self) -> None:
        """Before the first cosignature, ask others what this witness cosigned already."""
        if not self._asked or standing_check.is_restored(self._mirror.directory):
            standing_check.check_witness(
                self.member, self._mirror, self._signer, self._source, self._peers
            )
            self._asked = True

    def _check_known(self, made: Checkpoint, signed: Note) -> None:
        """Refuse another ledger's checkpoint, and one that no log signed, before any work."""
        origin = self._mirror.origin
        if origin is not None and made.origin != origin:
            raise LedgerRefused(
                f"this witness follows {origin}, not {made.origin}", code="other-origin"
            )
        if all(line.name != made.origin for line in signed.signatures):
            raise LedgerRefused("the log has not signed the checkpoint", code="log-signature")


def _check_consistent(size: int, root: bytes, made: Checkpoint, proof: Sequence[bytes]) -> None:
    if size == made.size and root == made.root and not proof:
        return
    try:
        merkle.verify_consistency(size, made.size, root, made.root, proof)
    except VerificationError as fault:
        raise LedgerRefused(
            f"the checkpoint of {made.size} entries does not begin with the {size} that were "
            f"cosigned: {fault.message}",
            code="forked",
        ) from fault
