"""A version's withdrawal (`urn:zhixin:withdrawal:v1`), by its owner alone or by a quorum.

::

    {"dataset":"bts.gov.example/flights","origin":"ledger.gov.example/2026","reason":"error",
     "replaced_by":"2","version":"1"}

Subject: as the version's own statement. With one signature it is the owner's, with more a
quorum's. Only a quorum withdraws what a member left behind.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, replace

from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import encoding, names
from zhixin_ledger.facts import DatasetFact
from zhixin_ledger.intoto import Statement
from zhixin_ledger.kinds import base
from zhixin_ledger.state import Change, State

__all__ = ["REASONS", "WITHDRAWAL", "Withdrawal"]

REASONS = ("error", "superseded", "legal", "privacy", "other")


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a withdrawal says; `manifest_hex` is the subject's digest."""

    dataset: str
    version: int
    reason: str
    replaced_by: int | None
    manifest_hex: str


def read(statement: Statement) -> Withdrawal:
    """Read the form.

    Raises:
        FormatError: another form.
    """
    _, dataset, version, reason, replaced_by = base.predicate(
        statement, ("origin", "dataset", "version", "reason", "replaced_by")
    )
    reason = encoding.as_text(reason, "reason")
    if reason not in REASONS:
        raise FormatError(f"the reason is none of {', '.join(REASONS)}")
    withdrawal = Withdrawal(
        names.check_dataset(dataset, "dataset"),
        names.parse_version(version, "version"),
        reason,
        None if replaced_by is None else names.parse_version(replaced_by, "replaced_by"),
        statement.subject_sha256.hex(),
    )
    base.check_subject(statement, f"{withdrawal.dataset}@{withdrawal.version}")
    return withdrawal


def rule(state: State, withdrawal: Withdrawal, entry: base.Entry) -> Change:
    """Say what a withdrawal changes.

    Raises:
        LedgerRefused: `owner`, `quorum`, `version-unknown`, `subject`, `withdrawn`, `replaced-by`.
    """
    if len(entry.signers) == 1:
        base.owner_signs(entry, withdrawal.dataset)
    else:
        base.check_quorum(state, entry)
    name = f"{withdrawal.dataset}@{withdrawal.version}"
    stated = state.stated(withdrawal.dataset, withdrawal.version)
    fact = state.dataset(withdrawal.dataset)
    if stated is None or fact is None:
        raise LedgerRefused(f"{name} was never stated", code="version-unknown")
    if stated.manifest.hex() != withdrawal.manifest_hex:
        raise LedgerRefused(f"the subject is not that of the statement of {name}", code="subject")
    if withdrawal.version in fact.withdrawn:
        raise LedgerRefused(f"{name} is withdrawn already", code="withdrawn")
    _check_replacement(fact, withdrawal)
    withdrawn = list(fact.withdrawn)
    insort(withdrawn, withdrawal.version)
    return Change((replace(fact, withdrawn=tuple(withdrawn)),))


def _check_replacement(fact: DatasetFact, withdrawal: Withdrawal) -> None:
    by = withdrawal.replaced_by
    stands = by is None or (withdrawal.version < by <= fact.version and by not in fact.withdrawn)
    if not stands:
        raise LedgerRefused(
            f"{withdrawal.dataset}@{by} is no later version that stands", code="replaced-by"
        )


WITHDRAWAL = base.Kind("urn:zhixin:withdrawal:v1", read, rule)
