"""Making statements: the payloads that owners and founders sign.

Each gives the payload's bytes (in-toto, JCS), to be signed with ``dsse.sign_envelope``. What may
stand in them is checked by reading them again with the rules' own readers, so nothing is signed
that the ledger could not take.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zhixin_errors import FormatError

from zhixin_ledger import dsse, encoding, intoto
from zhixin_ledger.encoding import Json
from zhixin_ledger.intoto import Statement
from zhixin_ledger.kinds import KINDS
from zhixin_ledger.kinds.genesis import RULES
from zhixin_ledger.kinds.membership import member_object
from zhixin_ledger.signers import Signer

__all__ = [
    "contract_statement",
    "dataset_statement",
    "make_genesis",
    "member_object",
    "member_statement",
    "rules_statement",
    "withdrawal_statement",
]


def contract_statement(origin: str, dataset: str, version: str, sha256_hex: str) -> bytes:
    """Make the statement of a contract's version.

    Args:
        origin: the ledger's.
        dataset: `member/name`.
        version: `major.minor.patch`.
        sha256_hex: H of contract.yaml.

    Raises:
        FormatError: a value that can't stand in it.
    """
    return _payload(
        "contract",
        f"{dataset}@{version}",
        encoding.parse_hex(sha256_hex, "contract's sha256"),
        {"origin": origin, "dataset": dataset, "version": version},
    )


def dataset_statement(
    origin: str,
    dataset: str,
    version: int,
    *,
    root_hex: str,
    contract: tuple[str, str],
    previous_hex: str | None,
    inputs: Sequence[tuple[str, int, str]],
    manifest_sha256_hex: str,
) -> bytes:
    """Make the statement of a dataset's version.

    Args:
        origin: the ledger's.
        dataset: `member/name`.
        version: from 1.
        root_hex: the version's root.
        contract: version and sha256 in hex of the contract that it keeps.
        previous_hex: H of the entry of the version before; None for version 1.
        inputs: (dataset, version, H of that version's entry in hex), sorted, no pair twice.
        manifest_sha256_hex: H of manifest.json.

    Raises:
        FormatError: a value that can't stand in it.
    """
    return _payload(
        "dataset",
        f"{dataset}@{version}",
        encoding.parse_hex(manifest_sha256_hex, "manifest's sha256"),
        {
            "origin": origin,
            "dataset": dataset,
            "version": str(version),
            "root": root_hex,
            "contract": {"version": contract[0], "sha256": contract[1]},
            "previous": previous_hex,
            "inputs": [
                {"dataset": name, "version": str(number), "statement": statement_hex}
                for name, number, statement_hex in inputs
            ],
        },
    )


def withdrawal_statement(
    origin: str,
    dataset: str,
    version: int,
    *,
    reason: str,
    manifest_sha256_hex: str,
    replaced_by: int | None = None,
) -> bytes:
    """Make a withdrawal.

    Args:
        origin: the ledger's.
        dataset: `member/name`.
        version: the one to withdraw.
        reason: error, superseded, legal, privacy or other.
        manifest_sha256_hex: the subject's digest of the version's own statement.
        replaced_by: a later version that stands, or None.

    Raises:
        FormatError: a value that can't stand in it.
    """
    return _payload(
        "withdrawal",
        f"{dataset}@{version}",
        encoding.parse_hex(manifest_sha256_hex, "manifest's sha256"),
        {
            "origin": origin,
            "dataset": dataset,
            "version": str(version),
            "reason": reason,
            "replaced_by": None if replaced_by is None else str(replaced_by),
        },
    )


def make_genesis(
    origin: str, quorum: int, members: Sequence[dict[str, Json]], signers: Iterable[Signer]
) -> bytes:
    """Make the genesis statement's envelope.

    Args:
        origin: the new ledger's.
        quorum: k of the founding members that cosign.
        members: their member objects (`member_object`), in the order of their slots.
        signers: the statement keys of all of them.

    Raises:
        FormatError: a value that can't stand in it.
    """
    predicate: dict[str, Json] = {
        "origin": origin,
        "rules": RULES,
        "quorum": str(quorum),
        "members": list(members),
    }
    return dsse.sign_envelope(_about_itself("genesis", origin, predicate), signers)


def member_statement(
    origin: str, action: str, member: dict[str, Json], quorum: int, previous: int
) -> bytes:
    """Make a member statement: join, leave or rotate.

    Args:
        origin: the ledger's.
        action: join, leave or rotate.
        member: the member object (`member_object`).
        quorum: from then on.
        previous: the ledger fact's `entry`.

    Raises:
        FormatError: a value that can't stand in it.
    """
    return _about_itself(
        "member",
        str(member["name"]),
        {
            "origin": origin,
            "action": action,
            "member": member,
            "quorum": str(quorum),
            "previous": str(previous),
        },
    )


def rules_statement(origin: str, quorum: int, previous: int) -> bytes:
    """Make a rules statement: another quorum.

    Args:
        origin: the ledger's.
        quorum: from then on.
        previous: the ledger fact's `entry`.

    Raises:
        FormatError: a value that can't stand in it.
    """
    return _about_itself(
        "rules",
        origin,
        {"origin": origin, "rules": RULES, "quorum": str(quorum), "previous": str(previous)},
    )


def _about_itself(kind: str, name: str, predicate: dict[str, Json]) -> bytes:
    return _payload(kind, name, encoding.sha256(encoding.jcs(predicate)), predicate)


def _payload(kind: str, name: str, sha256: bytes, predicate: dict[str, Json]) -> bytes:
    predicate_type = f"urn:zhixin:{kind}:v1"
    payload = intoto.format_statement(Statement(predicate_type, name, sha256, predicate))
    known = KINDS.get(predicate_type)
    if known is None:
        raise FormatError(f"{kind} is no kind of statement")
    known.read(intoto.parse_statement(payload))
    return payload
