"""Withdrawing a version: one statement, its owner's, and its cosigned checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zhixin_gateway.lineage import no_version

if TYPE_CHECKING:
    from zhixin_gateway.home import Home

__all__ = ["withdraw"]


def withdraw(
    home: Home, dataset: str, version: int, reason: str, replaced_by: int | None = None
) -> int:
    """Withdraw a version of an own dataset; nothing is deleted.

    Args:
        home: the owner's.
        dataset: ``member/name``.
        version: the version's number.
        reason: error, superseded, legal, privacy or other.
        replaced_by: a later version that stands.

    Returns:
        The index of the withdrawal in the ledger; it is in a cosigned checkpoint.

    Raises:
        ConfigError: the ledger has no such version.
        LedgerRefused: the rules refuse it: another member's, withdrawn already.
        LedgerUnavailable: the ledger or its quorum can't be reached.
    """
    from zhixin_ledger.client import withdrawal_statement
    from zhixin_ledger.dsse import sign_envelope

    client = home.ledger_client()
    stated = client.sync().stated(dataset, version)
    if stated is None:
        raise no_version(dataset, version)
    payload = withdrawal_statement(
        client.origin,
        dataset,
        version,
        reason=reason,
        manifest_sha256_hex=stated.manifest.hex(),
        replaced_by=replaced_by,
    )
    index = client.submit(sign_envelope(payload, [home.signer()]))
    client.receipt(index)
    return index
