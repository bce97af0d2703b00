r"""Record trees: salts, leaves, a part's root and content, a version's root.

Section 2.2 of the formats. ``MTH`` is RFC 6962's tree, ``H`` SHA-256::

    leaf data of record j   "zhixin/record/v1\n" ‖ salt_j (16 bytes) ‖ text
    salt_j                  bytes 16j … 16j+15 of AES-256-CTR's key stream under the salt key
    root of a part          MTH over its records' leaf data
    content of a part       H over all texts, each followed by one newline byte
    root of a version       MTH over "zhixin/fields/v1\n" ‖ uint64be(parts) ‖ JCS of fields,
                            then per part "zhixin/part/v1\n" ‖ uint64be(records) ‖ part root

It does not read files: :class:`PartDigest` is fed with texts, batch after batch, and keeps only the
tree's right edge.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

from zhixin_errors import FormatError, VerificationError
from zhixin_ledger import merkle
from zhixin_ledger.encoding import jcs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from zhixin_ledger.encoding import Json

__all__ = [
    "MAX_TEXTS_BYTES",
    "SALT_BYTES",
    "SALT_KEY_BYTES",
    "PartDigest",
    "fields_leaf",
    "leaf_hashes",
    "part_leaf",
    "record_leaf",
    "salts",
    "text_run",
    "version_leaves",
    "version_root",
]

SALT_BYTES = 16
SALT_KEY_BYTES = 32
MAX_TEXTS_BYTES = 256 * 1024 * 1024
"""A part's texts with their newlines."""

_RECORD = b"zhixin/record/v1\n"
_PART = b"zhixin/part/v1\n"
_FIELDS = b"zhixin/fields/v1\n"
_LEAF = b"\x00"
_LONG_BYTES = 32 * 1024 * 1024
"""Texts beyond this are hashed where they lie, not copied first."""

Run = bytes | memoryview


def salts(salt_key: bytes, start: int, count: int) -> bytes:
    """Derive the salts of a run of records.

    Args:
        salt_key: 32 bytes.
        start: position in the part of the first record; 0 ≤ start.
        count: how many records.

    Returns:
        16 bytes a record, one after another.

    Raises:
        FormatError: the key is not 32 bytes long.
    """
    if len(salt_key) != SALT_KEY_BYTES:
        raise FormatError(f"salt key: got {len(salt_key)} bytes, want {SALT_KEY_BYTES}")
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    counter = modes.CTR(start.to_bytes(SALT_BYTES, "big"))
    stream = Cipher(algorithms.AES(salt_key), counter).encryptor()
    return stream.update(bytes(SALT_BYTES * count)) + stream.finalize()


def record_leaf(salt: bytes, text: bytes) -> bytes:
    """Hash one record's leaf: 32 bytes, RFC 6962's prefix included."""
    return merkle.leaf_hash(_RECORD + salt + text)


def part_leaf(records: int, root: bytes) -> bytes:
    """Hash the leaf of a part in its version's tree."""
    return merkle.leaf_hash(_PART + _uint64(records, "records of a part") + root)


def fields_leaf(fields: Sequence[Json], parts: int) -> bytes:
    """Hash the first leaf of a version's tree: the fields and the number of parts."""
    return merkle.leaf_hash(_FIELDS + _uint64(parts, "number of parts") + jcs(list(fields)))


def version_leaves(fields: Sequence[Json], parts: Iterable[tuple[int, bytes]]) -> list[bytes]:
    """Hash all leaves of a version's tree.

    Args:
        fields: the manifest's ``fields``, as JSON.
        parts: number of records and root of each part, in order.

    Returns:
        One leaf hash for the fields, then one a part.
    """
    leaves = [part_leaf(records, root) for records, root in parts]
    return [fields_leaf(fields, len(leaves)), *leaves]


def version_root(fields: Sequence[Json], parts: Iterable[tuple[int, bytes]]) -> bytes:
    """Compute a version's root; arguments as for :func:`version_leaves`."""
    return merkle.root(version_leaves(fields, parts))


def leaf_hashes(texts: pa.LargeStringArray, salt_key: bytes, start: int = 0) -> list[bytes]:
    """Hash the leaves of a run of records.

    Args:
        texts: canonical texts, without nulls.
        salt_key: the part's, 32 bytes.
        start: position in the part of the first.

    Returns:
        32 bytes a record.
    """
    raw, edges = text_run(texts)
    return _hashed(raw, edges, salts(salt_key, start, len(texts)))


class PartDigest:
    """A part's root and content, computed while its records pass by.

    Args:
        salt_key: the part's, 32 bytes; None: its content alone, without leaves.
        keep_leaves: keep every leaf hash (32 bytes a record), for a record's path.

    Attributes:
        records: records so far.
        text_bytes: bytes of their texts, without newlines.
        leaves: the leaf hashes, where they are kept.
    """

    def __init__(self, salt_key: bytes | None, *, keep_leaves: bool = False) -> None:
        """Begin an empty part."""
        self._salt_key = salt_key
        self._tree = merkle.CompactRange()
        self._content = hashlib.sha256()
        self._keep_leaves = keep_leaves
        self.records = 0
        self.text_bytes = 0
        self.leaves: list[bytes] = []

    def append(self, texts: pa.LargeStringArray) -> None:
        """Take in the next records' texts.

        Raises:
            VerificationError: with them the part's texts exceed 256 MiB (``record``).
        """
        if not len(texts):
            return
        raw, edges = text_run(texts)
        self._check_size(len(raw), len(texts))
        self._hash_lines(raw, edges)
        if self._salt_key is not None:
            hashes = _hashed(raw, edges, salts(self._salt_key, self.records, len(texts)))
            self._tree.extend(hashes)
            if self._keep_leaves:
                self.leaves += hashes
        self.records += len(texts)
        self.text_bytes += len(raw)

    def _hash_lines(self, raw: Run, edges: list[int]) -> None:
        spans = pairwise(edges)
        if isinstance(raw, bytes):
            self._content.update(b"".join([raw[start:end] + b"\n" for start, end in spans]))
            return
        for start, end in spans:
            self._content.update(raw[start:end])
            self._content.update(b"\n")

    def _check_size(self, more_bytes: int, more_records: int) -> None:
        lines = self.text_bytes + self.records + more_bytes + more_records
        if lines > MAX_TEXTS_BYTES:
            raise VerificationError(
                f"the texts of the part's first {self.records + more_records} records exceed "
                f"{MAX_TEXTS_BYTES} bytes",
                code="record",
            )

    def root(self) -> bytes:
        """MTH over the records so far; 32 bytes."""
        return self._tree.root()

    def content(self) -> bytes:
        """H over the texts so far, each with its newline; 32 bytes."""
        return self._content.copy().digest()


def _uint64(number: int, what: str) -> bytes:
    if not 0 <= number < 2**64:
        raise FormatError(f"{what}: {number} is not an unsigned 64-bit integer")
    return number.to_bytes(8, "big")


def text_run(texts: pa.LargeStringArray) -> tuple[Run, list[int]]:
    """The texts' bytes in one run, and where each begins and ends in it; long runs uncopied."""
    from zhixin_gateway.datasets.arrow import value_bytes  # a shallow verification has no texts

    shown, edges = value_bytes(texts)
    raw = shown.data if len(shown) > _LONG_BYTES else shown.tobytes()
    return raw, edges.tolist()


def _hashed(raw: Run, edges: list[int], salted: bytes) -> list[bytes]:
    sha256, before = hashlib.sha256, _LEAF + _RECORD
    hashes: list[bytes] = []
    at = start = 0
    for end in edges[1:]:
        if end - start > _LONG_BYTES:
            whole = sha256(before + salted[at : at + SALT_BYTES])
            whole.update(raw[start:end])
        else:
            whole = sha256(before + salted[at : at + SALT_BYTES] + raw[start:end])
        hashes.append(whole.digest())
        at += SALT_BYTES
        start = end
    return hashes
