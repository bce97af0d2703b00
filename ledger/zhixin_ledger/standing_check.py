"""Whether a log or a witness may sign on, or is an older copy of itself that was put back.

::

    log/restored, ledger/restored     {"own": false}    this folder was put back from a backup,
                                                         or rebuilt: ask before anything is signed

Who signs from an older copy signs a second history with a good key. So before its first signature
in a process a log asks its witnesses for the latest checkpoint that they cosigned, and a witness
asks the log, and other members, for the largest that it cosigned itself. What proves that more was
signed stops the signature (`ledger-rolled-back`, `witness-rolled-back`); a witness that can replay
the rest first does so and goes on.

One member alone can't stop a log by a made-up checkpoint: only one that the log itself signed
counts. Without the flag who can't be reached is passed over, for the quorum would be missing
anyhow; with it, enough must have answered that every quorum of the past is among them. `own` says
whether this home's own other half still counts as somebody else: not after a whole home was put
back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from zhixin_errors import FormatError, LedgerRefused, LedgerUnavailable, VerificationError
from zhixin_errors import ZhixinError as Fault

from zhixin_ledger import checkpoint, cosignature, tiles
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.files import sync_folder, writable, write_file
from zhixin_ledger.gathering import WitnessTransport
from zhixin_ledger.keys import ED25519, VerifierKey
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note
from zhixin_ledger.signers import Signer
from zhixin_ledger.state import State
from zhixin_ledger.tiles import TileSource

__all__ = [
    "LOG_ROLLED_BACK",
    "RESTORED",
    "WITNESS_ROLLED_BACK",
    "check_log",
    "check_witness",
    "clear_restored",
    "is_restored",
    "mark_restored",
    "refuse_restored",
]

RESTORED = "restored"
LOG_ROLLED_BACK = "ledger-rolled-back"
WITNESS_ROLLED_BACK = "witness-rolled-back"
_ASKED_AT_ONCE = 8
_REBUILD = (
    "bring it up to date with `zhixin ledger rebuild --from MIRROR`, any member's copy, then sign"
)


@dataclass(frozen=True, slots=True)
class _Told:
    """What somebody answered: its latest checkpoint, or why there is no answer."""

    name: str
    note: Note | None = None
    fault: str | None = None


def mark_restored(directory: Path, *, own: bool) -> None:
    """Say that a log's or mirror's folder was put back: it asks before it signs.

    Args:
        directory: the folder.
        own: whether this home's own other half (its mirror, its log) was not put back with it.
    """
    write_file(directory / RESTORED, json.dumps({"own": own}).encode())


def is_restored(directory: Path) -> bool:
    """Say whether a folder was put back and nobody confirmed it yet."""
    return (directory / RESTORED).exists()


def clear_restored(directory: Path) -> None:
    """Forget that a folder was put back: it was confirmed."""
    with writable(directory):
        (directory / RESTORED).unlink(missing_ok=True)
        sync_folder(directory)


def refuse_restored(directory: Path) -> None:
    """Refuse to take entries into a log that was put back and is not confirmed yet.

    Raises:
        LedgerUnavailable: `ledger-rolled-back`.
    """
    if is_restored(directory):
        raise LedgerUnavailable(
            f"the ledger in {directory} was put back and is not confirmed by its witnesses yet: "
            "an index given now could be given twice",
            code=LOG_ROLLED_BACK,
            hint="`zhixin ledger log` asks them; " + _REBUILD,
        )


def check_log(
    directory: Path,
    state: State,
    root_at: Callable[[int], bytes | None],
    signer: Signer,
    witnesses: Sequence[WitnessTransport],
) -> bool:
    """Ask the witnesses whether this log signed more than it remembers.

    Args:
        directory: the log's folder.
        state: the log's state now.
        root_at: the root of its first so many entries, where a block of it ends there.
        signer: the log's key.
        witnesses: who is asked, all at once.

    Returns:
        Whether anybody answered, so that this process need not ask again.

    Raises:
        LedgerUnavailable: `ledger-rolled-back`: it signed more, or something else, or it was put
            back and too few can be asked.
    """
    origin = state.origin or ""
    told = _ask(witnesses, origin)
    keys = _log_keys(state, signer, origin)
    for answer in told:
        made = None if answer.note is None else _signed_by(answer.note, origin, keys)
        if made is not None and (made.size > state.size or root_at(made.size) != made.root):
            raise LedgerUnavailable(
                f"this log signed a checkpoint of {made.size} entries, which {answer.name} "
                f"cosigned, and the {state.size} entries here are not of it: an older copy was "
                "put back",
                code=LOG_ROLLED_BACK,
                hint=_REBUILD,
                details={"size": made.size, "own": state.size, "witness": answer.name},
            )
    if is_restored(directory):
        _confirm_log(directory, state, signer, told)
    return any(answer.fault is None for answer in told)


def _ask(witnesses: Sequence[WitnessTransport], origin: str) -> list[_Told]:
    def ask(witness: WitnessTransport) -> _Told:
        try:
            data = witness.latest(origin)
            return _Told(witness.name, None if data is None else Note.parse(data, "its checkpoint"))
        except Fault as fault:
            return _Told(witness.name, fault=f"{witness.name}: {fault.message}")

    if not witnesses:
        return []
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        return list(pool.map(ask, witnesses))


def _log_keys(state: State, signer: Signer, origin: str) -> list[VerifierKey]:
    """Every key that this log ever signed with, as far as it knows."""
    known = {span.key for member in state.members.values() for span in member.logs}
    keys = {VerifierKey.parse(text) for text in known}
    return [*(keys | {VerifierKey.make(origin, ED25519, signer.public_key)})]


def _signed_by(note: Note, origin: str, keys: Iterable[VerifierKey]) -> Checkpoint | None:
    """Give a checkpoint that one of these log keys signed; None for any other note."""
    try:
        return checkpoint.verify_log(note, origin, keys)
    except (FormatError, VerificationError):
        return None


def _confirm_log(directory: Path, state: State, signer: Signer, told: Sequence[_Told]) -> None:
    """Want an answer of so many others that every quorum of the past is among them."""
    own = _operator(state, signer)
    counts_own = _own_counts(directory)
    answered = {
        answer.name
        for answer in told
        if answer.fault is None and (counts_own or answer.name != own)
    }
    voting = sum(member.votes for member in state.members.values())
    due = voting - state.quorum + 1
    if len(answered) < due:
        faults = "; ".join(answer.fault for answer in told if answer.fault)
        raise LedgerUnavailable(
            f"this log was put back, and {len(answered)} of the {due} members that must say where "
            f"they stand could be asked{': ' if faults else ''}{faults}",
            code=LOG_ROLLED_BACK,
            hint="try again when they can be reached; if you know that nothing was published "
            "after the backup, say so by `zhixin ledger rebuild --nothing-newer`",
            details={"answered": len(answered), "due": due},
        )
    clear_restored(directory)


def _operator(state: State, signer: Signer) -> str | None:
    for member in state.members.values():
        if any(VerifierKey.parse(span.key).public_key == signer.public_key for span in member.logs):
            return member.name
    return None


def _own_counts(directory: Path) -> bool:
    try:
        told = json.loads((directory / RESTORED).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("own") is True


def check_witness(
    member: str,
    mirror: Mirror,
    signers: Sequence[Signer],
    source: TileSource,
    peers: Sequence[WitnessTransport] = (),
) -> None:
    """Ask the log and other members whether this witness cosigned more than it remembers.

    What it cosigned beyond is replayed and taken up, so that it goes on from there.

    Args:
        member: the witness's own name.
        mirror: its copy.
        signers: its cosigner keys.
        source: the log's files.
        peers: other members' witnesses.

    Raises:
        LedgerUnavailable: `witness-rolled-back`: it cosigned what the entries here contradict, or
            what can't be fetched now; or it was put back and nobody can be asked.
    """
    keys = [cosignature.key_of(f"{member}/witness", signer) for signer in signers]
    restored = is_restored(mirror.directory)
    origin = mirror.origin
    others = [peer for peer in peers if peer.name != member] if restored and origin else []
    told = [_published(source), *_ask(others, origin or "")]
    for answer in told:
        if answer.note is not None:
            _take_up(answer.note, keys, mirror, source, restored=restored)
    if restored:
        # The log's word alone is not enough: it is the log who could lead onto another history.
        if all(answer.fault is not None for answer in (told[1:] or told)):
            raise LedgerUnavailable(
                f"the witness of {member} was put back, and nobody else can be asked what it "
                f"cosigned since: {'; '.join(a.fault for a in told if a.fault)}",
                code=WITNESS_ROLLED_BACK,
                hint="try again when one of them can be reached",
            )
        clear_restored(mirror.directory)


def _published(source: TileSource) -> _Told:
    try:
        data = source.read(tiles.CHECKPOINT)
        if data is None:
            return _Told("the log", fault="the log: it has published no checkpoint")
        return _Told("the log", Note.parse(data, "the log's checkpoint"))
    except Fault as fault:
        return _Told("the log", fault=f"the log: {fault.message}")


def _take_up(
    note: Note, keys: Sequence[VerifierKey], mirror: Mirror, source: TileSource, *, restored: bool
) -> None:
    """Go on from a checkpoint that the witness cosigned, or that the log signed meanwhile."""
    try:
        made = checkpoint.parse(note.text)
    except FormatError:
        return
    if mirror.origin not in (None, made.origin):
        return
    last = mirror.cosigned()
    known = last is not None and made.size <= last[0]
    if known and mirror.tree().root(made.size) == made.root:
        return
    time_s = _own_time(note, keys)
    # What the log signed may be what was cosigned since: to be passed over only by who forgot
    # nothing.
    binds = time_s is not None or (restored and _signed_by_known_log(note, mirror))
    if known and binds:
        raise _contradicted(made, own=time_s is not None)
    if known or (time_s is None and not restored):
        return
    try:
        mirror.follow(note, source)
    except LedgerRefused as fault:
        if not binds:
            return  # the log's own affair: it is refused when it asks for a cosignature
        raise _contradicted(made, own=time_s is not None) from fault
    except LedgerUnavailable as fault:
        if not binds:
            return
        who = "this witness cosigned" if time_s is not None else "the log signed"
        raise LedgerUnavailable(
            f"{who} {made.size} entries before the older copy here was put back, and the rest "
            f"can't be fetched now: {fault.message}",
            code=WITNESS_ROLLED_BACK,
            hint="`zhixin ledger rebuild --from MIRROR`, any other member's copy",
        ) from fault
    mirror.take_up_cosigned(made, time_s or 0, note)


def _signed_by_known_log(note: Note, mirror: Mirror) -> bool:
    """Say whether a log's key that the copy knows signed, so that nobody else can have made it."""
    state = mirror.state()
    known = {span.key for member in state.members.values() for span in member.logs}
    keys = [VerifierKey.parse(text) for text in known]
    return _signed_by(note, state.origin or "", keys) is not None


def _own_time(note: Note, keys: Sequence[VerifierKey]) -> int | None:
    """Give the time of the witness's own good lines under a note, if there is one."""
    known = {(key.name, key.key_id): key for key in keys}
    times = []
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is not None:
            try:
                times.append(cosignature.verify(line, key, note.text))
            except (FormatError, VerificationError):
                continue
    return max(times, default=None)


def _contradicted(made: Checkpoint, *, own: bool) -> LedgerUnavailable:
    told = (
        f"this witness cosigned another tree of {made.size} entries than the one in its copy: its "
        "copy was put back, or exchanged"
        if own
        else f"the log signed another tree of {made.size} entries than it shows now, and this "
        "witness, whose copy was put back, may have cosigned that"
    )
    return LedgerUnavailable(
        told,
        code=WITNESS_ROLLED_BACK,
        hint="`zhixin ledger fsck` says which; until then it signs nothing",
        details={"size": made.size},
    )
