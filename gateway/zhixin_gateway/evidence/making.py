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
from zhixin_ledger import governance, standing, tlogproof
from zhixin_ledger.checkpoint import parse as parse_checkpoint
from zhixin_ledger.encoding import jcs
from zhixin_ledger.note import Note
from zhixin_ledger.tiles import Tiles
from zhixin_ledger.trust import trust_of

from zhixin_gateway.datasets.directory import (
    CONTRACT_FILE,
    RECEIPT_FILE,
    STATEMENT_FILE,
    version_path,
)
from zhixin_gateway.evidence import archive, verify
from zhixin_gateway.gate.files import LocalDirectory, read_file

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
    label = {"type": TYPE, "dataset": dataset, "version": str(version)}
    files = {
        **small,
        **_stage(client, dataset, receipt.checkpoint.size),
        "evidence.json": jcs(label),
        "FORMATS.md": archive.formats_text(),
        "verify.py": archive.verifier_text(),
        "README.txt": b"",
    }
    found = _judged(files, home)
    files["README.txt"] = _readme(found)
    return _evidence(files, found)


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
    before = _judged(files, home).found
    client, dataset = home.ledger_client(), str(before["dataset"])
    with suppress(LedgerError, ConfigError):
        client.refresh()  # an idle ledger has its newest checkpoint cosigned again
    _follow(client)
    number = verify.check_names(list(files))
    last = f"renewals/{number:04d}/" if number else ""
    made = verify.parse_stage(number, files).made
    stage = _stage(client, dataset, made.size)
    index = tlogproof.parse_receipt(files[RECEIPT_FILE]).index
    stage[RECEIPT_FILE] = client.own_receipt(index)
    if stage["governance.json"] == files[last + "governance.json"] or _note(stage) == _note(
        {name: files[last + name] for name in stage}
    ):
        raise ConfigError(
            "the ledger has no newer checkpoint than the bundle's last",
            code="nothing-newer",
            hint="members cosign at least once an hour: try again later",
        )
    base = f"renewals/{number + 1:04d}/"
    files |= {base + name: data for name, data in stage.items()}
    files |= {"FORMATS.md": archive.formats_text(), "verify.py": archive.verifier_text()}
    found = _judged(files, home)
    files["README.txt"] = _readme(found)
    return _evidence(files, found)


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

    path = version_path(home.store, dataset, version)
    if not path.exists():
        path = fetch(home, dataset, version).path
    verify_version(path, home.trust(), expect=f"{dataset}@{version}").require()
    folder = LocalDirectory(path)
    return {name: read_file(folder, name, limit) for name, limit in _LIMITS.items()}


def _stage(client: LedgerClient, dataset: str, before: int) -> dict[str, bytes]:
    """All of the newest checkpoint, tied to the tree of ``before`` entries."""
    note = client.checkpoint()
    signed = Note.parse(note)
    size = parse_checkpoint(signed.text).size
    state = client.state()
    if state.size != size:  # the copy is ahead: its witness has replayed what has no quorum yet
        state = standing.Replica(client.directory / standing.REPLICA).at(signed, client.source)
    trust = trust_of(state)
    return {
        "governance.json": governance.make_chain(
            Tiles(client.source, size), state, note, [before] if before < size else []
        ),
        "standing.json": standing.make_standing(state, client.source, signed, dataset),
        "trust/members.json": trust.to_bytes(),
        "trust/policy.txt": trust.policy().encode(),
    }


def _note(stage: dict[str, bytes]) -> bytes:
    return tlogproof.parse_receipt(stage[RECEIPT_FILE]).note


def _judged(files: dict[str, bytes], home: Home) -> verify.Report:
    """Hold a bundle to verify.py, and its members to the trust that this home pinned."""
    report = verify.Report()
    question = verify.Question(
        report, datetime.now(UTC), even_withdrawn=True, pinned=home.trust().to_bytes()
    )
    try:
        verify.judge_bundle(files, question)
    except verify.Refused as fault:
        raise VerificationError(
            f"the evidence does not hold: {fault.message}", code=fault.code
        ) from fault
    return report


def _readme(report: verify.Report) -> bytes:
    found = report.found
    template = Path(__file__).with_name("README.txt").read_text(encoding="utf-8")
    return template.format(
        dataset=found["dataset"],
        version=found["version"],
        origin=found["ledger"],
        ledger_fingerprint=found["ledger_fingerprint"],
    ).encode()


def _evidence(files: dict[str, bytes], report: verify.Report) -> Evidence:
    return Evidence(archive.format_bundle(files), report.found, report.proved, report.warnings)
