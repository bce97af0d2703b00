"""Facts: what the ledger says now, one JSON object each (docs/formats.md, "State").

::

    {"dataset":"bts.gov.example/flights","entry":"29","fact":"dataset","statement":"fd96…",
     "version":"3","withdrawn":["1"]}

A fact keeps the slot in which it first appeared; its leaf data in the state tree is
``zhixin/fact/v1`` and a newline, and then its JCS. A fact carries no time and nothing that is not
in the ledger's entries. What may change a fact is decided in ``kinds/``; here is only its form.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from zhixin_errors import FormatError

from zhixin_ledger import encoding, names
from zhixin_ledger.encoding import Json

__all__ = [
    "FACT_DOMAIN",
    "ContractFact",
    "DatasetFact",
    "Fact",
    "LedgerFact",
    "MemberFact",
    "Span",
    "Titles",
    "fact_bytes",
    "fact_key",
    "leaf_data",
    "parse_fact",
]

FACT_DOMAIN = b"zhixin/fact/v1\n"


@dataclass(frozen=True, slots=True)
class Span:
    """One key and the entries at which it holds.

    Args:
        key: base64 of a raw Ed25519 key, or a vkey.
        start: index of the statement that set it (`from`).
        until: index of the statement that ended it, from which on it holds no more; None: still.
    """

    key: str
    start: int
    until: int | None = None

    def holds(self, index: int) -> bool:
        """Say whether the key is in force at an entry's index."""
        return self.start <= index and (self.until is None or index < self.until)

    def ended(self, index: int) -> Span:
        """Give the span as it is once the key has ended at `index`."""
        return Span(self.key, self.start, index)


@dataclass(frozen=True, slots=True)
class Titles:
    """A member's name for people, in English and Chinese."""

    en: str
    zh: str

    def to_json(self) -> dict[str, Json]:
        """Give the JSON object."""
        return {"en": self.en, "zh": self.zh}


@dataclass(frozen=True, slots=True)
class LedgerFact:
    """The ledger itself: always the fact of slot 0; governance statements set it."""

    origin: str
    rules: str
    quorum: int
    entry: int

    @property
    def key(self) -> str:
        """What this fact is about, for the slot's look-up."""
        return "ledger"

    def to_json(self) -> dict[str, Json]:
        """Give the JSON object."""
        return {
            "fact": "ledger",
            "origin": self.origin,
            "rules": self.rules,
            "quorum": str(self.quorum),
            "entry": str(self.entry),
        }


@dataclass(frozen=True, slots=True)
class MemberFact:
    """A member with the history of all its keys; the last of each may be in force."""

    name: str
    titles: Titles
    active: bool
    entry: int
    statement_keys: tuple[Span, ...]
    cosigners: tuple[Span, ...]
    logs: tuple[Span, ...]
    validators: tuple[Span, ...]

    @property
    def key(self) -> str:
        """What this fact is about, for the slot's look-up."""
        return f"member {self.name}"

    @property
    def statement_key(self) -> str | None:
        """The statement key in force now, base64, or None for a member that left."""
        return _current(self.statement_keys)

    @property
    def cosigner(self) -> str | None:
        """The cosigner's vkey in force now."""
        return _current(self.cosigners)

    @property
    def log(self) -> str | None:
        """The log's vkey in force now."""
        return _current(self.logs)

    @property
    def validator(self) -> str | None:
        """The consensus node's key in force now, base64."""
        return _current(self.validators)

    @property
    def votes(self) -> bool:
        """Say whether the member is active and cosigns, and so votes."""
        return self.active and self.cosigner is not None

    def spans(self) -> Iterable[Span]:
        """Give every key that the member ever had."""
        yield from self.statement_keys
        yield from self.cosigners
        yield from self.logs
        yield from self.validators

    def to_json(self) -> dict[str, Json]:
        """Give the JSON object."""
        return {
            "fact": "member",
            "name": self.name,
            "titles": self.titles.to_json(),
            "standing": "active" if self.active else "left",
            "entry": str(self.entry),
            "statement_keys": _spans_json(self.statement_keys, "key"),
            "cosigners": _spans_json(self.cosigners, "vkey"),
            "logs": _spans_json(self.logs, "vkey"),
            "validators": _spans_json(self.validators, "key"),
        }


@dataclass(frozen=True, slots=True)
class ContractFact:
    """The newest version of a dataset's contract."""

    dataset: str
    version: str
    sha256_hex: str
    entry: int

    @property
    def key(self) -> str:
        """What this fact is about, for the slot's look-up."""
        return f"contract {self.dataset}"

    def to_json(self) -> dict[str, Json]:
        """Give the JSON object."""
        return {
            "fact": "contract",
            "dataset": self.dataset,
            "version": self.version,
            "sha256": self.sha256_hex,
            "entry": str(self.entry),
        }


@dataclass(frozen=True, slots=True)
class DatasetFact:
    """The latest version of a dataset, and which of its versions are withdrawn.

    Args:
        dataset: `member/name`.
        version: the latest version, counted from 1.
        statement_hex: H of the entry that stated it.
        entry: index of that entry; a withdrawal leaves it.
        withdrawn: versions, rising.
    """

    dataset: str
    version: int
    statement_hex: str
    entry: int
    withdrawn: tuple[int, ...]

    @property
    def key(self) -> str:
        """What this fact is about, for the slot's look-up."""
        return f"dataset {self.dataset}"

    def to_json(self) -> dict[str, Json]:
        """Give the JSON object."""
        return {
            "fact": "dataset",
            "dataset": self.dataset,
            "version": str(self.version),
            "statement": self.statement_hex,
            "entry": str(self.entry),
            "withdrawn": [str(version) for version in self.withdrawn],
        }


Fact = LedgerFact | MemberFact | ContractFact | DatasetFact


def fact_key(kind: str, name: str) -> str:
    """Give the look-up key of a member's, contract's or dataset's fact."""
    return f"{kind} {name}"


def fact_bytes(fact: Fact) -> bytes:
    """Give a fact's JCS."""
    return encoding.jcs_of_texts(fact.to_json())


def leaf_data(fact: Fact) -> bytes:
    """Give a fact's leaf data in the state tree."""
    return FACT_DOMAIN + fact_bytes(fact)


def parse_fact(value: Json, what: str = "fact") -> Fact:
    """Read a fact's JSON object.

    Raises:
        FormatError: it is not exactly the form of one of the four facts.
    """
    kind = value.get("fact") if isinstance(value, dict) else None
    if kind == "ledger":
        return _ledger(value, what)
    if kind == "member":
        return _member(value, what)
    if kind == "contract":
        return _contract(value, what)
    if kind == "dataset":
        return _dataset(value, what)
    raise FormatError(f"{what} is neither a ledger's, member's, contract's nor dataset's")


def _ledger(value: Json, what: str) -> LedgerFact:
    _, origin, rules, quorum, entry = encoding.members(
        value, what, ("fact", "origin", "rules", "quorum", "entry")
    )
    return LedgerFact(
        names.check_origin(origin, f"{what}'s origin"),
        encoding.as_text(rules, f"{what}'s rules"),
        encoding.parse_uint(quorum, f"{what}'s quorum"),
        encoding.parse_uint(entry, f"{what}'s entry"),
    )


def _member(value: Json, what: str) -> MemberFact:
    _, name, titles, standing, entry, statements, cosigners, logs, validators = encoding.members(
        value,
        what,
        (
            "fact",
            "name",
            "titles",
            "standing",
            "entry",
            "statement_keys",
            "cosigners",
            "logs",
            "validators",
        ),
    )
    if standing not in ("active", "left"):
        raise FormatError(f"{what}'s standing is neither active nor left")
    en, zh = encoding.members(titles, f"{what}'s titles", ("en", "zh"))
    return MemberFact(
        names.check_member(name, f"{what}'s name"),
        Titles(encoding.as_text(en, "title"), encoding.as_text(zh, "title")),
        standing == "active",
        encoding.parse_uint(entry, f"{what}'s entry"),
        _spans(statements, f"{what}'s statement_keys", "key"),
        _spans(cosigners, f"{what}'s cosigners", "vkey"),
        _spans(logs, f"{what}'s logs", "vkey"),
        _spans(validators, f"{what}'s validators", "key"),
    )


def _contract(value: Json, what: str) -> ContractFact:
    _, dataset, version, sha256, entry = encoding.members(
        value, what, ("fact", "dataset", "version", "sha256", "entry")
    )
    dataset = encoding.as_text(dataset, f"{what}'s dataset")
    names.split_dataset(dataset, f"{what}'s dataset")
    version = encoding.as_text(version, f"{what}'s version")
    names.parse_contract_version(version, f"{what}'s version")
    sha256_hex = encoding.check_hex(sha256, f"{what}'s sha256")
    return ContractFact(dataset, version, sha256_hex, encoding.parse_uint(entry, f"{what}'s entry"))


def _dataset(value: Json, what: str) -> DatasetFact:
    _, dataset, version, statement, entry, withdrawn = encoding.members(
        value, what, ("fact", "dataset", "version", "statement", "entry", "withdrawn")
    )
    dataset = encoding.as_text(dataset, f"{what}'s dataset")
    names.split_dataset(dataset, f"{what}'s dataset")
    if not isinstance(withdrawn, list):
        raise FormatError(f"{what}'s withdrawn is not a list")
    numbers = tuple(encoding.parse_uint(item, f"{what}'s withdrawn") for item in withdrawn)
    number = encoding.parse_uint(version, f"{what}'s version")
    if number < 1 or (numbers and numbers[0] < 1):
        raise FormatError(f"{what}'s versions count from 1")
    if any(a >= b for a, b in pairwise(numbers)):
        raise FormatError(f"{what}'s withdrawn versions do not rise")
    return DatasetFact(
        dataset,
        number,
        encoding.check_hex(statement, f"{what}'s statement"),
        encoding.parse_uint(entry, f"{what}'s entry"),
        numbers,
    )


def _current(spans: tuple[Span, ...]) -> str | None:
    return spans[-1].key if spans and spans[-1].until is None else None


def _spans_json(spans: tuple[Span, ...], name: str) -> list[Json]:
    return [
        {
            name: span.key,
            "from": str(span.start),
            "until": None if span.until is None else str(span.until),
        }
        for span in spans
    ]


def _spans(value: Json, what: str, name: str) -> tuple[Span, ...]:
    if not isinstance(value, list):
        raise FormatError(f"{what} is not a list")
    found = []
    for item in value:
        key, start, until = encoding.members(item, what, (name, "from", "until"))
        found.append(
            Span(
                encoding.as_text(key, f"{what}'s {name}"),
                encoding.parse_uint(start, f"{what}'s from"),
                None if until is None else encoding.parse_uint(until, f"{what}'s until"),
            )
        )
    return tuple(found)
