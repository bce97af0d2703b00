"""The member object and what it does to a member's fact: shared by genesis and member statements.

::

    {"cosigner":"bts.gov.example/witness+3f4a21fd+BLeo…","log":null,"name":"bts.gov.example",
     "statement_key":"9iHU…","titles":{"en":"…","zh":"…"},"validator":null}

No key is ever used twice, by anyone, for anything: keys are unique by their raw bytes over all
members' whole histories, and no two vkeys share name and key ID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from zhixin_errors import FormatError, LedgerRefused

from zhixin_ledger import encoding, keys, names
from zhixin_ledger.encoding import Json
from zhixin_ledger.facts import MemberFact, Span, Titles
from zhixin_ledger.keys import VerifierKey
from zhixin_ledger.kinds.base import check_quorum_rule
from zhixin_ledger.state import SignerKey

__all__ = [
    "MemberObject",
    "check_members",
    "check_new_keys",
    "end_keys",
    "member_object",
    "read_member",
    "set_keys",
]


@dataclass(frozen=True, slots=True)
class MemberObject:
    """What a statement says of a member; the vkeys as their text."""

    name: str
    titles: Titles
    statement_key: str
    cosigner: str | None
    log: str | None
    validator: str | None

    @property
    def signer(self) -> dict[str, SignerKey]:
        """The statement key that it names, by its `keyid`."""
        raw = encoding.unb64(self.statement_key, "statement key", 32)
        return {encoding.sha256_hex(raw): SignerKey(self.name, raw)}

    def key_texts(self) -> tuple[str, ...]:
        """Give the keys that it names, as the facts spell them."""
        found = (self.statement_key, self.cosigner, self.log, self.validator)
        return tuple(key for key in found if key is not None)


def member_object(
    name: str,
    titles: tuple[str, str],
    *,
    statement_key: bytes,
    cosigner: VerifierKey | None = None,
    log: VerifierKey | None = None,
    validator: bytes | None = None,
) -> dict[str, Json]:
    """Make a member object.

    Args:
        name: the member's name.
        titles: English and Chinese.
        statement_key: 32 raw bytes.
        cosigner: key of name `<name>/witness`.
        log: key whose name is the ledger's origin.
        validator: 32 raw bytes: the key of its consensus node.
    """
    return {
        "name": name,
        "titles": Titles(*titles).to_json(),
        "statement_key": encoding.b64(statement_key),
        "cosigner": None if cosigner is None else cosigner.text,
        "log": None if log is None else log.text,
        "validator": None if validator is None else encoding.b64(validator),
    }


def read_member(value: Json, origin: str, what: str = "member") -> MemberObject:
    """Read a member object.

    Args:
        value: the JSON.
        origin: the ledger's, which is the name of its log keys.
        what: how a message names it.

    Raises:
        FormatError: another form, or a key that can't be used.
    """
    name, titles, statement_key, cosigner, log, validator = encoding.members(
        value, what, ("name", "titles", "statement_key", "cosigner", "log", "validator")
    )
    name = names.check_member(name, f"{what}'s name")
    en, zh = encoding.members(titles, f"{what}'s titles", ("en", "zh"))
    return MemberObject(
        name,
        Titles(encoding.as_text(en, f"{what}'s title"), encoding.as_text(zh, f"{what}'s title")),
        _raw_key(statement_key, f"{what}'s statement key"),
        None
        if cosigner is None
        else _vkey(
            cosigner, f"{what}'s cosigner", f"{name}/witness", (keys.COSIGNATURE_V1, keys.MLDSA44)
        ),
        None if log is None else _vkey(log, f"{what}'s log", origin, (keys.ED25519,)),
        None if validator is None else _raw_key(validator, f"{what}'s validator"),
    )


def check_new_keys(new: Iterable[str], used: Iterable[MemberFact]) -> None:
    """Refuse keys that anyone used before, or that are there twice.

    Args:
        new: keys as the facts spell them.
        used: every member with its history.

    Raises:
        LedgerRefused: `key-used`.
    """
    taken = {part for member in used for span in member.spans() for part in _identities(span.key)}
    for key in new:
        parts = _identities(key)
        if taken & parts:
            raise LedgerRefused(
                "a key is never used twice, by anyone, for anything: make a new one",
                code="key-used",
            )
        taken |= parts


def set_keys(before: MemberFact | None, member: MemberObject, index: int) -> MemberFact:
    """Give a member's fact once the object holds: what differs from before ends and begins here."""
    empty: tuple[Span, ...] = ()
    return MemberFact(
        member.name,
        member.titles,
        active=True,
        entry=index,
        statement_keys=_turned(
            before.statement_keys if before else empty, member.statement_key, index
        ),
        cosigners=_turned(before.cosigners if before else empty, member.cosigner, index),
        logs=_turned(before.logs if before else empty, member.log, index),
        validators=_turned(before.validators if before else empty, member.validator, index),
    )


def end_keys(before: MemberFact, index: int) -> MemberFact:
    """Give a member's fact once it has left: all its keys end."""
    return MemberFact(
        before.name,
        before.titles,
        active=False,
        entry=index,
        statement_keys=_turned(before.statement_keys, None, index),
        cosigners=_turned(before.cosigners, None, index),
        logs=_turned(before.logs, None, index),
        validators=_turned(before.validators, None, index),
    )


def check_members(members: Iterable[MemberFact], quorum: int) -> None:
    """Hold the members, as they are after a statement, to what must always be so.

    Raises:
        LedgerRefused: `quorum-rule`, `no-log`.
    """
    active = [member for member in members if member.active]
    check_quorum_rule(quorum, sum(member.votes for member in active))
    if not any(member.log is not None for member in active):
        raise LedgerRefused("no active member would have a log", code="no-log")


def _turned(spans: tuple[Span, ...], key: str | None, index: int) -> tuple[Span, ...]:
    last = spans[-1] if spans and spans[-1].until is None else None
    if last is not None and last.key == key:
        return spans
    kept = (*spans[:-1], last.ended(index)) if last is not None else spans
    return kept if key is None else (*kept, Span(key, index))


def _raw_key(value: Json, what: str) -> str:
    return encoding.b64(keys.parse_public_key(value, what))


def _vkey(value: Json, what: str, name: str, kinds: tuple[int, ...]) -> str:
    vkey = VerifierKey.parse(value, what)
    if vkey.name != name:
        raise FormatError(f"{what} is not named {name}")
    if vkey.kind not in kinds:
        raise FormatError(f"{what} is of a type that can't be used there")
    return vkey.text


def _identities(key: str) -> set[tuple[str, bytes]]:
    """Give what must be unique of a key: its raw bytes, and a vkey's name with its key ID."""
    if "+" not in key[:-44]:  # a raw key is 44 characters of base64, which may hold a plus
        return {("", encoding.unb64(key, "key", 32))}
    vkey = VerifierKey.parse(key)
    return {("", vkey.public_key), (vkey.name, vkey.key_id)}
