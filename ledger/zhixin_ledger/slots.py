"""The state tree: an RFC 6962 tree over slots whose leaves may change.

A Merkle tree of n leaves is made of complete subtrees, one for each bit of n. Only complete ones
are kept, so one changed leaf re-hashes one path, and the root is folded from at most 63 hashes.
Changes are gathered and hashed when the root is asked for: a fact that changes many times in one
block costs one path.
"""

from __future__ import annotations

from zhixin_ledger import merkle
from zhixin_ledger.store import Node, Store

__all__ = ["SlotTree"]


class SlotTree:
    """The tree over a store's slots.

    Args:
        store: where the hashes of complete subtrees lie.
        size: how many slots there are.
    """

    def __init__(self, store: Store, size: int) -> None:
        self._store = store
        self._fresh: dict[int, bytes] = {}
        self.size = size

    def set_leaf(self, slot: int, leaf_hash: bytes) -> None:
        """Set a slot's leaf hash; `slot` may be one past the last, which adds one."""
        self._fresh[slot] = leaf_hash
        self.size = max(self.size, slot + 1)

    def root(self) -> bytes:
        """Give MTH over the leaves, having stored every hash that changed."""
        self._flush()
        return merkle.root_from(self._store.node, self.size)

    def path(self, slot: int) -> list[bytes]:
        """Give the inclusion proof of a slot, from the leaf's sibling up; 0 ≤ slot < size."""
        self._flush()
        return merkle.inclusion_path_from(self._store.node, slot, self.size)

    def _flush(self) -> None:
        """Store the fresh leaves and re-hash the complete subtrees above them."""
        changed, level = self._fresh, 0
        self._fresh = {}
        while changed:
            nodes: list[Node] = [(level, index, node) for index, node in sorted(changed.items())]
            self._store.put_nodes(nodes)
            complete = self.size >> (level + 1)
            parents = sorted({index >> 1 for index in changed if index >> 1 < complete})
            changed = {parent: self._joined(changed, level, parent) for parent in parents}
            level += 1

    def _joined(self, changed: dict[int, bytes], level: int, parent: int) -> bytes:
        left, right = 2 * parent, 2 * parent + 1
        return merkle.node_hash(
            changed.get(left) or self._store.node(level, left),
            changed.get(right) or self._store.node(level, right),
        )
