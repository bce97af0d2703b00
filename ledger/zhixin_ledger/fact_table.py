"""The facts in their slots, and the state tree over them.

Facts that a block changes are kept in memory until its seal asks for the root: one that changes
many times is written and hashed once. A few thousand facts that were asked for or set stay parsed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from zhixin_ledger import encoding, facts, merkle
from zhixin_ledger.facts import Fact
from zhixin_ledger.slots import SlotTree
from zhixin_ledger.store import Store

__all__ = ["FactTable", "parse_stored"]

_KEPT = 4096  # facts, changed and unchanged each


class FactTable:
    """The facts of one state.

    Args:
        store: where they lie.
        count: how many there are in it.
    """

    def __init__(self, store: Store, count: int) -> None:
        self._store = store
        self._slots = SlotTree(store, count)
        self._count = count
        self._changed: dict[str, tuple[int, Fact]] = {}
        self._kept: OrderedDict[str, tuple[int, Fact]] = OrderedDict()

    @property
    def count(self) -> int:
        """How many facts there are."""
        return self._count

    def get(self, key: str) -> tuple[int, Fact] | None:
        """Give the slot and the fact with this key."""
        found = self._changed.get(key) or self._kept.get(key)
        if found is None:
            stored = self._store.fact(key)
            if stored is None:
                return None
            found = (stored[0], parse_stored(stored[1]))
            self._keep(key, found)
        return found

    def put(self, fact: Fact) -> None:
        """Set a fact: in its slot, or in the next free one."""
        key = fact.key
        found = self.get(key)
        if found is None:
            slot = self._count
            self._count += 1
        else:
            slot = found[0]
        self._changed[key] = (slot, fact)
        if len(self._changed) >= _KEPT:
            self.root()  # a block without end must not fill the memory

    def facts(self, prefix: str = "") -> Iterator[tuple[int, bytes]]:
        """Give slot and JCS of every fact whose key starts so, in slot order."""
        self._write()
        return self._store.facts(prefix)

    def root(self) -> bytes:
        """Give the root of the state tree; everything is in the store then."""
        self._write()
        return self._slots.root()

    def path(self, slot: int) -> list[bytes]:
        """Give a slot's inclusion proof in the state tree."""
        self._write()
        return self._slots.path(slot)

    def _write(self) -> None:
        rows = []
        for key, (slot, fact) in self._changed.items():
            data = facts.fact_bytes(fact)
            rows.append((slot, key, data))
            self._slots.set_leaf(slot, merkle.leaf_hash(facts.FACT_DOMAIN + data))
            self._keep(key, (slot, fact))
        if rows:
            self._store.put_facts(sorted(rows))
        self._changed = {}

    def _keep(self, key: str, found: tuple[int, Fact]) -> None:
        self._kept[key] = found
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def parse_stored(data: bytes) -> Fact:
    """Read a fact's bytes from the store."""
    return facts.parse_fact(encoding.parse_jcs(data, "a stored fact"), "a stored fact")
