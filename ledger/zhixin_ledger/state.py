"""The state: all that follows from a ledger's entries, and nothing else.

Facts in their slots, the state tree over them, the log's own tree as a compact range, which
payloads are in, which versions were stated, and where the last seal stands. It is changed by one
entry at a time, by what ``admission`` and ``seal`` decided; here nothing is judged.

Memory is bounded: besides the members, everything lies in a :class:`~zhixin_ledger.store.Store`.
A state over a ``SqliteStore`` is part of the transaction that the store's connection is in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from zhixin_errors import FormatError, LedgerUnavailable

from zhixin_ledger import encoding, facts, merkle
from zhixin_ledger.fact_table import FactTable, parse_stored
from zhixin_ledger.facts import ContractFact, DatasetFact, Fact, LedgerFact, MemberFact, Span
from zhixin_ledger.keys import VerifierKey
from zhixin_ledger.merkle import CompactRange
from zhixin_ledger.store import MemoryStore, Stated, Store

__all__ = ["Change", "SealMark", "SignerKey", "State"]


@dataclass(frozen=True, slots=True)
class Change:
    """What one statement changes: the answer of its rule.

    Args:
        facts: facts to set, in the order in which new ones take their slots.
        stated: dataset, version and entry of a version that it states.
    """

    facts: tuple[Fact, ...]
    stated: tuple[str, int, Stated] | None = None


@dataclass(frozen=True, slots=True)
class SealMark:
    """The last seal: its height, its time as text, H of its bytes, and the state root in it."""

    height: int
    time: str
    hash_hex: str
    state_hex: str


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A statement key in force: whose it is, and its 32 raw bytes."""

    member: str
    public_key: bytes


class State:
    """The state after `size` entries.

    Args:
        store: where it is kept; a state that lies there already is taken up.
    """

    def __init__(self, store: Store | None = None) -> None:
        self.store: Store = MemoryStore() if store is None else store
        self.tree = CompactRange()
        self.seal: SealMark | None = None
        self.open_first = 0
        self._members: dict[str, MemberFact] = {}
        self._ledger: LedgerFact | None = None
        self._quorums: tuple[tuple[int, int], ...] = ()
        self._facts = FactTable(self.store, 0)
        self._signers: dict[str, SignerKey] | None = None
        data = self.store.head()
        if data is not None:
            self._take_up(data)

    # What a reader asks.

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.tree.size

    @property
    def root(self) -> bytes:
        """The root of the log's tree."""
        return self.tree.root()

    @property
    def ledger(self) -> LedgerFact | None:
        """The ledger's fact; None before genesis."""
        return self._ledger

    @property
    def origin(self) -> str | None:
        """The ledger's origin; None before genesis."""
        return None if self._ledger is None else self._ledger.origin

    @property
    def quorum(self) -> int:
        """How many cosigners a checkpoint needs now; 0 before genesis."""
        return 0 if self._ledger is None else self._ledger.quorum

    @property
    def quorums(self) -> tuple[tuple[int, int], ...]:
        """The quorum's history: (index of the statement, quorum) where the number changed."""
        return self._quorums

    @property
    def members(self) -> Mapping[str, MemberFact]:
        """Every member that ever was, by name, in slot order."""
        return MappingProxyType(self._members)

    @property
    def fact_count(self) -> int:
        """How many facts there are."""
        return self._facts.count

    @property
    def sealed(self) -> bool:
        """Say whether the last entry is a seal."""
        return self.size > 0 and self.open_first == self.size

    @property
    def facts(self) -> Iterator[Fact]:
        """Every fact, in slot order."""
        return (parse_stored(data) for _, data in self._facts.facts())

    def dataset(self, name: str) -> DatasetFact | None:
        """Give the fact of a dataset: its latest version, and which are withdrawn."""
        found = self._fact("dataset", name)
        return found if isinstance(found, DatasetFact) else None

    def contract(self, name: str) -> ContractFact | None:
        """Give the fact of a dataset's contract: its newest version."""
        found = self._fact("contract", name)
        return found if isinstance(found, ContractFact) else None

    def datasets(self) -> Iterator[DatasetFact]:
        """Give the facts of all datasets, in slot order."""
        for _, data in self._facts.facts("dataset "):
            found = parse_stored(data)
            if isinstance(found, DatasetFact):
                yield found

    def stated(self, dataset: str, version: int) -> Stated | None:
        """Give the entry that stated a version, withdrawn or not."""
        return self.store.stated(dataset, version)

    def payload_index(self, payload: bytes) -> int | None:
        """Give the index of the entry with exactly this payload."""
        return self.store.payload(hashlib.sha256(payload).digest())

    def signer(self, keyid_hex: str) -> SignerKey | None:
        """Give the statement key in force with this `keyid`."""
        if self._signers is None:
            self._signers = {}
            for member in self._members.values():
                if member.active and member.statement_key is not None:
                    raw = encoding.unb64(member.statement_key, "statement key", 32)
                    keyid = hashlib.sha256(raw).hexdigest()
                    self._signers[keyid] = SignerKey(member.name, raw)
        return self._signers.get(keyid_hex)

    def log_keys(self, size: int | None = None) -> tuple[VerifierKey, ...]:
        """Give the log keys in force at a checkpoint of `size` entries; now without it."""
        return self._keys((member.logs for member in self._members.values()), size)

    def cosigner_keys(self, size: int | None = None) -> tuple[VerifierKey, ...]:
        """Give the cosigner keys in force at a checkpoint of `size` entries; now without it."""
        return self._keys((member.cosigners for member in self._members.values()), size)

    def quorum_at(self, size: int) -> int:
        """Give the quorum in force at a checkpoint of `size` entries, at least 1."""
        return [quorum for start, quorum in self._quorums if start < size][-1]

    def _keys(self, spans: Iterable[tuple[Span, ...]], size: int | None) -> tuple[VerifierKey, ...]:
        index = (self.size if size is None else size) - 1
        return tuple(
            VerifierKey.parse(span.key) for keys in spans for span in keys if span.holds(index)
        )

    def state_root(self) -> bytes:
        """Give the root of the state tree over the current facts."""
        return self._facts.root()

    def fact_path(self, fact: Fact) -> tuple[int, list[bytes]]:
        """Give a current fact's slot and its inclusion proof in the state tree."""
        found = self._facts.get(fact.key)
        if found is None:
            raise KeyError(fact.key)
        return found[0], self._facts.path(found[0])

    # What the rules' answers change.

    def advance(self, entry: bytes, payload: bytes, change: Change) -> int:
        """Take in a statement that the rules let in; gives its index."""
        index = self.size
        for fact in change.facts:
            self._put(fact)
        if change.stated is not None:
            dataset, version, stated = change.stated
            self.store.put_stated(dataset, version, stated)
        self.store.put_payload(hashlib.sha256(payload).digest(), index)
        self.tree.append(merkle.leaf_hash(entry))
        return index

    def advance_seal(self, entry: bytes, mark: SealMark) -> int:
        """Take in a seal; gives its index."""
        index = self.size
        self.tree.append(merkle.leaf_hash(entry))
        self.seal = mark
        self.open_first = self.size
        return index

    def save(self) -> None:
        """Store the head, so that the store as it is now can be taken up again."""
        mark = self.seal
        self.state_root()  # the hashes of the state tree go to the store
        self.store.put_head(
            encoding.jcs(
                {
                    "size": str(self.size),
                    "hashes": [node.hex() for node in self.tree.hashes],
                    "facts": str(self.fact_count),
                    "open_first": str(self.open_first),
                    "quorums": [[str(start), str(quorum)] for start, quorum in self._quorums],
                    "seal": None
                    if mark is None
                    else [str(mark.height), mark.time, mark.hash_hex, mark.state_hex],
                }
            )
        )

    def _put(self, fact: Fact) -> None:
        self._facts.put(fact)
        if isinstance(fact, MemberFact):
            self._members[fact.name] = fact
            self._signers = None
        elif isinstance(fact, LedgerFact):
            if fact.quorum != self.quorum:
                self._quorums = (*self._quorums, (fact.entry, fact.quorum))
            self._ledger = fact

    def _fact(self, kind: str, name: str) -> Fact | None:
        found = self._facts.get(facts.fact_key(kind, name))
        return None if found is None else found[1]

    def _take_up(self, data: bytes) -> None:
        try:
            head = encoding.parse_jcs(data, "the state's head")
            size, hashes, count, first, quorums, seal = encoding.members(
                head, "head", ("size", "hashes", "facts", "open_first", "quorums", "seal")
            )
            self.tree = CompactRange.restore(
                encoding.parse_uint(size, "size"),
                [encoding.parse_hex(node, "hash") for node in encoding.as_array(hashes, "hashes")],
            )
            self._facts = FactTable(self.store, encoding.parse_uint(count, "facts"))
            self.open_first = encoding.parse_uint(first, "open_first")
            self._quorums = tuple(
                (encoding.parse_uint(start, "from"), encoding.parse_uint(quorum, "quorum"))
                for start, quorum in (
                    encoding.as_array(pair, "quorum")
                    for pair in encoding.as_array(quorums, "quorums")
                )
            )
            if seal is not None:
                height, time, hash_hex, state_hex = (
                    encoding.as_text(part, "seal") for part in encoding.as_array(seal, "seal")
                )
                self.seal = SealMark(
                    encoding.parse_uint(height, "height"), time, hash_hex, state_hex
                )
        except (FormatError, ValueError) as fault:
            raise LedgerUnavailable(
                "the ledger's own record of its state can't be read",
                code="ledger-damaged",
                hint="run `zhixin ledger fsck`",
            ) from fault
        for _, kept in self.store.facts("member "):
            member = parse_stored(kept)
            if isinstance(member, MemberFact):
                self._members[member.name] = member
        found = self._facts.get("ledger")
        ledger = None if found is None else found[1]
        self._ledger = ledger if isinstance(ledger, LedgerFact) else None
