"""in-toto Statements v1: the frame in which every kind of statement speaks.

docs/formats.md 2.4; JCS on one line, with exactly one subject that has a SHA-256 alone::

    {"_type":"https://in-toto.io/Statement/v1",
     "predicate":{…},"predicateType":"urn:zhixin:dataset:v1",
     "subject":[{"digest":{"sha256":"<hex>"},"name":"bts.gov.example/flights@3"}]}

It does not know what the predicates hold: each kind's own file does (``kinds/``).
"""

from __future__ import annotations

from dataclasses import dataclass

from zhixin_errors import FormatError

from zhixin_ledger.encoding import (
    Json,
    as_array,
    as_object,
    as_text,
    jcs,
    members,
    parse_hex,
    parse_jcs,
)

__all__ = ["STATEMENT_TYPE", "Statement", "format_statement", "parse_statement"]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement whose frame is good.

    Attributes:
        predicate_type: such as ``urn:zhixin:dataset:v1``; may be one that nobody knows.
        subject_name: what it is about.
        subject_sha256: 32 bytes.
        predicate: its members, not yet looked at.
    """

    predicate_type: str
    subject_name: str
    subject_sha256: bytes
    predicate: dict[str, Json]


def format_statement(statement: Statement) -> bytes:
    """Write a statement: an envelope's payload."""
    return jcs(
        {
            "_type": STATEMENT_TYPE,
            "predicate": statement.predicate,
            "predicateType": statement.predicate_type,
            "subject": [
                {
                    "digest": {"sha256": statement.subject_sha256.hex()},
                    "name": statement.subject_name,
                }
            ],
        }
    )


def parse_statement(payload: bytes, what: str = "statement") -> Statement:
    """Read a statement's frame.

    Args:
        payload: an envelope's payload, as it was signed.
        what: how a message names it.

    Returns:
        The statement.

    Raises:
        FormatError: not JCS, another ``_type``, unknown members, not exactly one subject with a
            SHA-256 alone.
    """
    kind, predicate, predicate_type, subjects = members(
        parse_jcs(payload, what), what, ("_type", "predicate", "predicateType", "subject")
    )
    if kind != STATEMENT_TYPE:
        raise FormatError(f"{what}'s _type must be {STATEMENT_TYPE}")
    given = as_array(subjects, f"{what}'s subject")
    if len(given) != 1:
        raise FormatError(f"{what} has {len(given)} subjects, want exactly one")
    digest, name = members(given[0], f"{what}'s subject", ("digest", "name"))
    (sha256,) = members(digest, f"{what}'s subject digest", ("sha256",))
    return Statement(
        as_text(predicate_type, f"{what}'s predicateType"),
        as_text(name, f"{what}'s subject name"),
        parse_hex(sha256, f"{what}'s subject sha256"),
        as_object(predicate, f"{what}'s predicate"),
    )
