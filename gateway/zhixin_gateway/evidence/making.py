"""Evidence made, and renewed: from a home's own copy of the ledger and a version in its store.

A bundle holds the version's own receipt, of the time when it was published, and one *stage*: the
standing, the governance and the trust of the newest checkpoint, whose tree begins with the
receipt's. A renewal adds a stage over the last one: cosignatures of then, by keys and algorithms of
then, over a tree that begins with all that was before. So what an algorithm signed before it broke
stays proved, as long as the chain was carried on before that.

Nothing is given out that ``verify.py`` does not accept.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError, LedgerError, VerificationError
from zhixin_ledger import checkpoint, governance, standing, tlogproof
from zhixin_ledger.encoding import jcs
from zhixin_ledger.note import Note, known_lines
from zhixin_ledger.tiles import Tiles
from zhixin_ledger.tlogproof import Receipt
from zhixin_ledger.trust import Trust, trust_of

from zhixin_gateway.datasets.directory import (
    CONTRACT_FILE,
    RECEIPT_FILE,
    STATEMENT_FILE,
)
from zhixin_gateway.evidence import archive, verify
from zhixin_gateway.gate.files import read_file

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient

    from zhixin_gateway.home import Home

__all__ = ["Evidence", "make_evidence", "renew_evidence"]

TYPE = "zhixin/evidence/v1"
_LIMITS = {name: verify.LIMITS[name] for name in (CONTRACT_FILE, STATEMENT_FILE, RECEIPT_FILE)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A bundle that verify.py accepted.

    Attributes:
        data: the zip's bytes.
        found: what verify.py found: `dataset`, `version`, `ledger_fingerprint`, `standing` and so
            on.
        proved: its sentences.
        warnings: sentences that a person must read.
    """

    data: bytes
    found: dict[str, object]
    proved: list[str]
    warnings: list[str]


def make_evidence(home: Home, dataset: str, version: int) -> Evidence:
    """Make the bundle of a version; it is fetched first if it does not lie in the home's store.

    Args:
        home: whose copy of the ledger, store and trust are used.
        dataset: ``member/name``.
        version: its number.

    Raises:
        VerificationError: the version is not what was stated, or the evidence does not hold.
        LedgerError: the ledger can't be reached and the copy does not suffice.
        ConfigError: the version can't be had.
    """
    client = home.ledger_client()
    _follow(client)
    small = _small_files(home, dataset, version)
    receipt = tlogproof.parse_receipt(small[RECEIPT_FILE])
    stage = _stage(client, dataset, receipt.index, receipt.checkpoint.size)
    label = {"type": TYPE, "dataset": dataset, "version": str(version)}
    files = {
        **stage,
        **small,
        RECEIPT_FILE: _known_lines_alone(receipt, Trust.parse(stage["trust/members.json"])),
        "evidence.json": jcs(label),
    }
    return _finished(files, home)


def renew_evidence(home: Home, bundle: Path) -> Evidence:
    """Renew a bundle: one stage more, of the newest checkpoint.

    Args:
        home: a home on the same ledger.
        bundle: a zip that `make_evidence` or this made.

    Raises:
        VerificationError: the bundle does not hold, so that there is nothing to renew; ``forked``:
            it is not of the ledger that this home copies.
        LedgerError: the ledger can't be reached and the copy does not suffice.
        ConfigError: there is no newer checkpoint than the bundle's last.
    """
    files = archive.read_bundle(bundle)
    dataset = str(_judged(files, home).found["dataset"])
    client = home.ledger_client()
    with suppress(LedgerError, ConfigError):
        client.refresh()  # an idle ledger has its newest checkpoint cosigned again
    _follow(client)
    number = verify.check_names(list(files))
    last = verify.parse_stage(number, files).made
    index = tlogproof.parse_receipt(files[RECEIPT_FILE]).index
    stage = _stage(client, dataset, index, last.size)
    made = verify.parse_receipt(stage[RECEIPT_FILE], RECEIPT_FILE)
    if (made.note, made.lines) == (last.note, last.lines):
        raise ConfigError(
            "the ledger has no newer checkpoint than the bundle's last",
            code="nothing-newer",
            hint="members cosign at least once an hour: try again later",
        )
    renewed = {f"renewals/{number + 1:04d}/{name}": data for name, data in stage.items()}
    return _finished({**files, **renewed}, home)


def _follow(client: LedgerClient) -> None:
    """Bring the copy up to date, or use it as it is where the ledger can't be reached."""
    try:
        client.sync()
    except LedgerError:
        if client.state().size == 0:
            raise


def _small_files(home: Home, dataset: str, version: int) -> dict[str, bytes]:
    """Statement, receipt and contract of a version that the gate takes.

    Standing is not asked: evidence of a version that was withdrawn is evidence too.
    """
    from zhixin_gateway.fetching import fetch
    from zhixin_gateway.gate import verify as verify_version

    store = home.open_store()
    if not store.is_there(dataset, version):
        fetch(home, dataset, version)
    place = store.place(dataset, version)
    verify_version(place, home.trust(), expect=f"{dataset}@{version}").require()
    files = store.files(dataset, version)
    return {name: read_file(files, name, limit) for name, limit in _LIMITS.items()}


def _stage(client: LedgerClient, dataset: str, index: int, before: int) -> dict[str, bytes]:
    """All of the newest checkpoint, whose tree is shown to begin with that of ``before`` entries.

    Args:
        client: brought up to date.
        dataset: ``member/name``.
        index: of the version's statement.
        before: size of the checkpoint that the bundle ended with.
    """
    signed = Note.parse(client.checkpoint())
    size = checkpoint.parse(signed.text).size
    state = client.state()
    if state.size != size:  # the copy is ahead: its witness has replayed what has no quorum yet
        state = standing.Replica(client.directory / standing.REPLICA).at(signed, client.source)
    trust, tree = trust_of(state), Tiles(client.source, size)
    note = _known_lines(signed, trust).format()
    heads = [before] if before < size else []
    return {
        RECEIPT_FILE: tlogproof.format_receipt(index, tree.inclusion_path(index), note),
        "governance.json": governance.make_chain(tree, state, note, heads),
        "standing.json": standing.make_standing(state, client.source, Note.parse(note), dataset),
        "trust/members.json": trust.to_bytes(),
        "trust/policy.txt": trust.policy().encode(),
    }


def _known_lines(note: Note, trust: Trust) -> Note:
    """The note without lines of strangers, which prove nothing and could change unseen."""
    size = checkpoint.parse(note.text).size
    keys = [*trust.log_keys(size), *(cosigner.key for cosigner in trust.cosigners(size))]
    return Note(note.text, tuple(line for _, line, _ in known_lines(note, keys)))


def _known_lines_alone(receipt: Receipt, trust: Trust) -> bytes:
    note = _known_lines(receipt.signed, trust).format()
    return tlogproof.format_receipt(receipt.index, receipt.path, note)


def _finished(files: dict[str, bytes], home: Home) -> Evidence:
    """Add what is for people, hold the whole to verify.py, and write it."""
    files = {
        **files,
        "FORMATS.md": archive.formats_text(),
        "verify.py": archive.verifier_text(),
        "README.txt": b"",
    }
    report = _judged(files, home)
    names = ("dataset", "version", "ledger", "ledger_fingerprint")
    template = Path(__file__).with_name("README.txt").read_text(encoding="utf-8")
    told = {name: report.found[name] for name in names}
    files["README.txt"] = template.format(**told).encode()
    return Evidence(archive.format_bundle(files), report.found, report.proved, report.warnings)


def _judged(files: dict[str, bytes], home: Home) -> verify.Report:
    """Hold a bundle to verify.py, and its members to the trust that this home pinned."""
    report = verify.Report()
    pinned = home.trust().to_bytes()
    question = verify.Question(report, datetime.now(UTC), even_withdrawn=True, pinned=pinned)
    try:
        verify.judge_bundle(files, question)
    except verify.Refused as fault:
        raise VerificationError(
            f"the evidence does not hold: {fault.message}", code=fault.code
        ) from fault
    return report
