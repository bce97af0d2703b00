"""Merkle trees of RFC 6962: roots, proofs, and their verification.

::

    leaf  SHA-256(0x00 ‖ data)             MTH of no leaves = SHA-256("")
    node  SHA-256(0x01 ‖ left ‖ right)     split at the largest power of two below the size

The ledger, its state, a part's records and a version's parts are all such trees; each puts its own
label into its leaves' data, so that no leaf of one passes for one of another. A *node* (level, i)
here is always complete: the root over leaves i·2^level up to, not including, (i+1)·2^level.

It does not store anything: `CompactRange` keeps ⌈log n⌉ hashes, `Tree` all of them, in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256 as _sha256

from zhixin_errors import FormatError, VerificationError

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "MAX_PATH",
    "CompactRange",
    "NodeReader",
    "Tree",
    "consistency_path",
    "consistency_path_from",
    "inclusion_path",
    "inclusion_path_from",
    "leaf_hash",
    "node_hash",
    "root",
    "root_from",
    "root_from_inclusion",
    "roots_from_consistency",
    "verify_consistency",
    "verify_inclusion",
]

HASH_BYTES = 32
MAX_PATH = 63
"""Hashes of the longest path, in a tree of fewer than 2^63 leaves."""

NodeReader = Callable[[int, int], bytes]
"""(level, index) → the hash of that complete node."""

EMPTY_ROOT = _sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf with this data: 32 bytes."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above two hashes of 32 bytes each."""
    return _sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """MTH over leaves whose hashes are given, in order."""
    level = list(leaf_hashes)
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        odd = level.pop() if len(level) % 2 else None
        pairs = iter(level)
        level = [
            _sha256(b"\x01" + left + right).digest()
            for left, right in zip(pairs, pairs, strict=True)
        ]
        if odd is not None:
            level.append(odd)
    return level[0]


class CompactRange:
    """The right edge of a growing tree: enough to append leaves and to tell the root.

    Attributes:
        size: leaves so far.
    """

    __slots__ = ("_edge", "size")

    def __init__(self) -> None:
        """Begin with the empty tree."""
        self.size = 0
        self._edge: list[bytes] = []

    @classmethod
    def restore(cls, size: int, hashes: Sequence[bytes]) -> CompactRange:
        """Take up a range where `hashes` left it.

        Args:
            size: leaves of the tree, 0 ≤ size < 2^63.
            hashes: one hash of 32 bytes per bit set in ``size``, the largest subtree first.

        Returns:
            The range.

        Raises:
            FormatError: hashes that don't fit the size.
        """
        if not 0 <= size < 2**63 or len(hashes) != size.bit_count():
            raise FormatError(f"{len(hashes)} hashes can't be the edge of a tree of {size} leaves")
        if any(len(item) != HASH_BYTES for item in hashes):
            raise FormatError("a tree's edge holds a hash that is not 32 bytes long")
        tree = cls()
        tree.size = size
        tree._edge = list(hashes)
        return tree

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The complete subtrees' hashes, the largest first."""
        return tuple(self._edge)

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf by its hash of 32 bytes."""
        edge, size, top = self._edge, self.size, leaf_hash
        while size & 1:
            top = _sha256(b"\x01" + edge.pop() + top).digest()
            size >>= 1
        edge.append(top)
        self.size += 1

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves by their hashes, in order."""
        edge, size = self._edge, self.size
        for top in leaf_hashes:
            bits = size
            while bits & 1:
                top = _sha256(b"\x01" + edge.pop() + top).digest()  # noqa: PLW2901 - hot loop
                bits >>= 1
            edge.append(top)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """MTH over all leaves so far."""
        return _fold(self._edge)


class Tree:
    """A whole tree in memory: any proof in O(log n), one changed leaf re-hashes one path."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        """Build from leaves' hashes, 32 bytes each."""
        self._levels: list[list[bytes]] = [list(leaf_hashes)]
        while len(below := self._levels[-1]) > 1:
            pairs = iter(below)
            self._levels.append([node_hash(a, b) for a, b in zip(pairs, pairs, strict=False)])

    @property
    def size(self) -> int:
        """Leaves so far."""
        return len(self._levels[0])

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete node; IndexError where there is none."""
        return self._levels[level][index]

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf by its hash of 32 bytes."""
        top = leaf_hash
        level = 0
        while True:
            if level == len(self._levels):
                self._levels.append([])
            row = self._levels[level]
            row.append(top)
            if len(row) % 2:
                return
            top = node_hash(row[-2], row[-1])
            level += 1

    def update(self, index: int, leaf_hash: bytes) -> None:
        """Put another leaf at ``index``, 0 ≤ index < size."""
        self._levels[0][index] = leaf_hash
        for level in range(1, len(self._levels)):
            index >>= 1
            if index >= len(self._levels[level]):
                return
            below = self._levels[level - 1]
            self._levels[level][index] = node_hash(below[2 * index], below[2 * index + 1])

    def root(self, size: int | None = None) -> bytes:
        """MTH over the first ``size`` leaves; over all without it."""
        return root_from(self.node, self.size if size is None else size)

    def inclusion_path(self, index: int, size: int | None = None) -> list[bytes]:
        """As the function of that name, over the first ``size`` leaves."""
        return inclusion_path_from(self.node, index, self.size if size is None else size)

    def consistency_path(self, old_size: int, size: int | None = None) -> list[bytes]:
        """As the function of that name, over the first ``size`` leaves."""
        return consistency_path_from(self.node, old_size, self.size if size is None else size)


# --- building proofs ------------------------------------------------------------------------------


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The root above complete subtrees that stand side by side, the largest first."""
    if not hashes:
        return EMPTY_ROOT
    top = hashes[-1]
    for left in reversed(hashes[:-1]):
        top = node_hash(left, top)
    return top


def _span_root(node: NodeReader, start: int, end: int) -> bytes:
    """MTH over leaves start … end−1; start is a multiple of the largest power of two inside."""
    hashes = []
    while start < end:
        level = (end - start).bit_length() - 1
        hashes.append(node(level, start >> level))
        start += 1 << level
    return _fold(hashes)


def root_from(node: NodeReader, size: int) -> bytes:
    """MTH over the first ``size`` leaves, from complete nodes."""
    return _span_root(node, 0, size)


def inclusion_path_from(node: NodeReader, index: int, size: int) -> list[bytes]:
    """The inclusion proof of a leaf, from complete nodes.

    Args:
        node: reads a complete node, such as from tiles.
        index: 0 ≤ index < size.
        size: leaves of the tree.

    Returns:
        Hashes from the leaf's sibling up.

    Raises:
        FormatError: index outside of the tree.
    """
    if not 0 <= index < size:
        raise FormatError(f"leaf {index} is not in a tree of {size} leaves")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < middle:
            path.append(_span_root(node, middle, end))
            end = middle
        else:
            path.append(_span_root(node, start, middle))
            start = middle
    return path[::-1]


def consistency_path_from(node: NodeReader, old_size: int, size: int) -> list[bytes]:
    """The proof that the tree of ``old_size`` leaves begins the one of ``size``.

    Args:
        node: reads a complete node, such as from tiles.
        old_size: 0 < old_size ≤ size.
        size: leaves of the newer tree.

    Returns:
        The proof; empty where both sizes are equal.

    Raises:
        FormatError: sizes out of order.
    """
    if not 0 < old_size <= size:
        raise FormatError(f"no consistency proof leads from {old_size} leaves to {size}")
    path = []
    start, end = 0, size
    whole = True  # whether start … old_size is a whole subtree of the old tree that r1 tells
    while end != old_size:
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        if old_size <= middle:
            path.append(_span_root(node, middle, end))
            end = middle
        else:
            path.append(_span_root(node, start, middle))
            start = middle
            whole = False
    if not whole:
        path.append(_span_root(node, start, end))
    return path[::-1]


def _node_of(leaf_hashes: Sequence[bytes]) -> NodeReader:
    def node(level: int, index: int) -> bytes:
        return root(leaf_hashes[index << level : (index + 1) << level])

    return node


def inclusion_path(leaf_hashes: Sequence[bytes], index: int, size: int) -> list[bytes]:
    """As `inclusion_path_from`, from the leaves' hashes; for many proofs build a `Tree`."""
    return inclusion_path_from(_node_of(leaf_hashes), index, size)


def consistency_path(leaf_hashes: Sequence[bytes], old_size: int, size: int) -> list[bytes]:
    """As `consistency_path_from`, from the leaves' hashes; for many proofs build a `Tree`."""
    return consistency_path_from(_node_of(leaf_hashes), old_size, size)


# --- verifying proofs -----------------------------------------------------------------------------


def _lengths(index: int, size: int) -> tuple[int, int]:
    """Of a leaf's path: hashes below and above the point where it meets the tree's right edge."""
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _check_hashes(hashes: Iterable[bytes], code: str) -> None:
    for item in hashes:
        if len(item) != HASH_BYTES:
            raise VerificationError(f"a hash has {len(item)} bytes, want {HASH_BYTES}", code=code)


def root_from_inclusion(index: int, size: int, leaf_hash: bytes, path: Sequence[bytes]) -> bytes:
    """The root that a leaf's inclusion proof leads to.

    Args:
        index: the leaf's place, 0 ≤ index < size.
        size: leaves of the tree.
        leaf_hash: 32 bytes.
        path: from the leaf's sibling up, 32 bytes each.

    Returns:
        32 bytes; who calls compares them with a root that is signed.

    Raises:
        VerificationError: ``inclusion``: the index is not below the size, a wrong length.
    """
    if not 0 <= index < size:
        raise VerificationError(f"leaf {index} is not in a tree of {size} leaves", code="inclusion")
    _check_hashes((leaf_hash, *path), "inclusion")
    inner, border = _lengths(index, size)
    if len(path) != inner + border:
        raise VerificationError(
            f"wrong proof length: got {len(path)} hashes, want {inner + border}", code="inclusion"
        )
    top = leaf_hash
    for level, sibling in enumerate(path[:inner]):
        top = node_hash(sibling, top) if index >> level & 1 else node_hash(top, sibling)
    for sibling in path[inner:]:
        top = node_hash(sibling, top)
    return top


def verify_inclusion(
    index: int, size: int, leaf_hash: bytes, path: Sequence[bytes], root: bytes
) -> None:
    """Hold a leaf's inclusion proof to a root.

    Args:
        index: the leaf's place, 0 ≤ index < size.
        size: leaves of the tree; from the same checkpoint as ``root``.
        leaf_hash: 32 bytes.
        path: from the leaf's sibling up, 32 bytes each.
        root: 32 bytes.

    Raises:
        VerificationError: ``inclusion``.
    """
    if root_from_inclusion(index, size, leaf_hash, path) != root:
        raise VerificationError(
            f"the proof of leaf {index} does not lead to the root of the tree of {size} leaves",
            code="inclusion",
        )


def roots_from_consistency(
    old_size: int, size: int, old_root: bytes, path: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """The old and the new root that a consistency proof leads to.

    Args:
        old_size: 0 < old_size ≤ size.
        size: leaves of the newer tree.
        old_root: 32 bytes; the proof goes out from it where ``old_size`` is a power of two or
            equals ``size``, and does without it else.
        path: the consistency proof, 32 bytes each; empty where both sizes are equal.

    Returns:
        Both roots, 32 bytes each; who calls compares them.

    Raises:
        VerificationError: ``forked``: sizes out of order, a wrong length.
    """
    if not 0 < old_size <= size:
        raise VerificationError(
            f"no consistency proof leads from {old_size} leaves to {size}", code="forked"
        )
    _check_hashes((old_root, *path), "forked")
    inner, border = _lengths(old_size - 1, size)
    shift = (old_size & -old_size).bit_length() - 1
    inner -= shift
    # A complete old tree is the first node itself; else the proof begins with the old edge's last.
    begins = 0 if old_size == 1 << shift else 1
    want = 0 if old_size == size else begins + inner + border
    if len(path) != want:
        raise VerificationError(
            f"wrong proof length: got {len(path)} hashes, want {want}", code="forked"
        )
    if old_size == size:
        return old_root, old_root
    seed = path[0] if begins else old_root
    return _chain(seed, path[begins:], inner, (old_size - 1) >> shift)


def verify_consistency(
    old_size: int, size: int, old_root: bytes, root: bytes, path: Sequence[bytes]
) -> None:
    """Hold two roots of one log together: the older tree must begin the newer.

    A tree of size 0 proves nothing here; who has no older checkpoint does not ask.

    Args:
        old_size: 0 < old_size ≤ size.
        size: leaves of the newer tree.
        old_root: 32 bytes.
        root: 32 bytes.
        path: the consistency proof, 32 bytes each; empty where both sizes are equal.

    Raises:
        VerificationError: ``forked``.
    """
    _check_hashes((root,), "forked")
    if roots_from_consistency(old_size, size, old_root, path) != (old_root, root):
        raise VerificationError(
            f"the tree of {size} leaves does not begin with the tree of {old_size} leaves: "
            "the ledger has forked, keep both checkpoints as evidence",
            code="forked",
        )


def _chain(seed: bytes, path: Sequence[bytes], inner: int, mask: int) -> tuple[bytes, bytes]:
    """The old and the new root that a consistency proof leads to."""
    old = new = seed
    for level, sibling in enumerate(path[:inner]):
        if mask >> level & 1:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    for sibling in path[inner:]:
        old = node_hash(sibling, old)
        new = node_hash(sibling, new)
    return old, new
