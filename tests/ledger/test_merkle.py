"""Trees of RFC 6962, held to vectors, to a slow reference and to every small mutation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError, VerificationError
from zhixin_ledger import merkle

VECTORS = Path(__file__).parents[1] / "vectors"

RFC_LEAVES = [
    bytes.fromhex(data)
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
RFC_ROOTS = ["6e340b9c", "fac54203", "aeb6bcfe", "d37ee418", "4e3bbb1f", "76e67dad", "ddb89be4"]
RFC_ROOT_OF_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def slow_root(data: list[bytes]) -> bytes:
    """MTH as RFC 6962 writes it down."""
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return hashlib.sha256(b"\0" + data[0]).digest()
    k = 1
    while 2 * k < len(data):
        k *= 2
    return hashlib.sha256(b"\1" + slow_root(data[:k]) + slow_root(data[k:])).digest()


def slow_path(m: int, data: list[bytes]) -> list[bytes]:
    """PATH as RFC 6962 writes it down."""
    if len(data) == 1:
        return []
    k = 1
    while 2 * k < len(data):
        k *= 2
    if m < k:
        return [*slow_path(m, data[:k]), slow_root(data[k:])]
    return [*slow_path(m - k, data[k:]), slow_root(data[:k])]


def slow_proof(m: int, data: list[bytes], known: bool = True) -> list[bytes]:
    """SUBPROOF as RFC 6962 writes it down."""
    if m == len(data):
        return [] if known else [slow_root(data)]
    k = 1
    while 2 * k < len(data):
        k *= 2
    if m <= k:
        return [*slow_proof(m, data[:k], known), slow_root(data[k:])]
    return [*slow_proof(m - k, data[k:], False), slow_root(data[:k])]


def leaves(count: int) -> tuple[list[bytes], list[bytes]]:
    data = [b"leaf %d" % number for number in range(count)]
    return data, [merkle.leaf_hash(item) for item in data]


def vectors() -> dict:
    return json.loads((VECTORS / "merkle.json").read_text())


def test_hashes_leaves_and_nodes_as_rfc_6962():
    assert merkle.leaf_hash(b"L123456").hex() == (
        "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    )
    assert merkle.node_hash(b"N123", b"N456").hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )
    assert merkle.EMPTY_ROOT.hex().startswith("e3b0c442")
    assert merkle.leaf_hash(b"").hex().startswith("6e340b9c")
    assert merkle.root([]) == merkle.EMPTY_ROOT == merkle.CompactRange().root()
    assert merkle.Tree().root() == merkle.EMPTY_ROOT


def test_gives_the_roots_of_the_classic_eight_leaves():
    hashes = [merkle.leaf_hash(data) for data in RFC_LEAVES]
    for size, begins in enumerate(RFC_ROOTS, 1):
        assert merkle.root(hashes[:size]).hex().startswith(begins)
    assert merkle.root(hashes).hex() == RFC_ROOT_OF_8


def test_gives_the_roots_of_the_vectors():
    case = vectors()
    hashes = [merkle.leaf_hash(bytes.fromhex(data)) for data in case["leaf_data"]]
    assert [item.hex() for item in hashes] == case["leaf_hashes"]
    assert merkle.EMPTY_ROOT.hex() == case["empty_root"]
    tree, edge = merkle.Tree(), merkle.CompactRange()
    for size, item in enumerate(hashes, 1):
        tree.append(item)
        edge.append(item)
        wanted = case["roots"][str(size)]
        assert merkle.root(hashes[:size]).hex() == tree.root().hex() == edge.root().hex() == wanted


def test_gives_and_takes_the_inclusion_proofs_of_the_vectors():
    case = vectors()
    hashes = [bytes.fromhex(item) for item in case["leaf_hashes"]]
    tree = merkle.Tree(hashes)
    for proof in case["inclusion"]:
        index, size = int(proof["index"]), int(proof["size"])
        path = [bytes.fromhex(item) for item in proof["path"]]
        assert tree.inclusion_path(index, size) == path
        assert merkle.inclusion_path(hashes, index, size) == path
        merkle.verify_inclusion(index, size, hashes[index], path, tree.root(size))


def test_gives_and_takes_the_consistency_proofs_of_the_vectors():
    case = vectors()
    hashes = [bytes.fromhex(item) for item in case["leaf_hashes"]]
    tree = merkle.Tree(hashes)
    for proof in case["consistency"]:
        old, size = int(proof["from"]), int(proof["to"])
        path = [bytes.fromhex(item) for item in proof["path"]]
        assert tree.consistency_path(old, size) == path
        assert merkle.consistency_path(hashes, old, size) == path
        merkle.verify_consistency(old, size, tree.root(old), tree.root(size), path)


def test_agrees_with_the_slow_tree_for_all_small_sizes():
    for size in range(1, 34):
        data, hashes = leaves(size)
        tree = merkle.Tree(hashes)
        assert tree.root() == slow_root(data) == merkle.root(hashes)
        for index in range(size):
            assert tree.inclusion_path(index) == slow_path(index, data)
        for old in range(1, size + 1):
            assert tree.consistency_path(old) == slow_proof(old, data)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 600), st.data())
def test_proofs_of_any_size_verify_and_no_other_statement_does(size, data):
    _, hashes = leaves(size)
    tree = merkle.Tree(hashes)
    index = data.draw(st.integers(0, size - 1))
    path = tree.inclusion_path(index)
    merkle.verify_inclusion(index, size, hashes[index], path, tree.root())
    other = data.draw(st.integers(0, size + 2).filter(lambda number: number != index))
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(other, size, hashes[index], path, tree.root())
    for wrong in (path[:-1], [*path, *path[-1:]], [*path[::-1], b"\0" * 32]):
        if path:
            with pytest.raises(VerificationError):
                merkle.verify_inclusion(index, size, hashes[index], wrong, tree.root())
    old = data.draw(st.integers(1, size))
    proof = tree.consistency_path(old)
    merkle.verify_consistency(old, size, tree.root(old), tree.root(), proof)
    place = data.draw(st.integers(0, 31))
    spoilt = bytearray(tree.root(old))
    spoilt[place] ^= 1
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old, size, bytes(spoilt), tree.root(), proof)


def test_every_flipped_bit_of_a_consistency_proof_is_seen():
    _, hashes = leaves(13)
    tree = merkle.Tree(hashes)
    for old in range(1, 13):
        proof = tree.consistency_path(old)
        for place in range(len(proof)):
            spoilt = list(proof)
            spoilt[place] = bytes([spoilt[place][0] ^ 1]) + spoilt[place][1:]
            with pytest.raises(VerificationError):
                merkle.verify_consistency(old, 13, tree.root(old), tree.root(), spoilt)


def test_refuses_index_beyond_size():
    root = merkle.leaf_hash(b"")
    for index, size in ((1, 1), (-1, 1), (0, 0), (2**63, 1)):
        with pytest.raises(VerificationError, match="is not in a tree of"):
            merkle.verify_inclusion(index, size, root, [], root)


def test_refuses_hashes_that_are_not_32_bytes():
    short, leaf = b"\0" * 31, merkle.leaf_hash(b"")
    for leaf_hash, path in ((short, [leaf]), (leaf, [short])):
        with pytest.raises(VerificationError, match="a hash has 31 bytes, want 32"):
            merkle.root_from_inclusion(0, 2, leaf_hash, path)
    with pytest.raises(VerificationError, match="a hash has 31 bytes, want 32"):
        merkle.verify_consistency(1, 1, short, short, [])


def test_says_how_long_a_proof_should_be():
    leaf = merkle.leaf_hash(b"")
    with pytest.raises(VerificationError, match="wrong proof length: got 2 hashes, want 3"):
        merkle.root_from_inclusion(0, 8, leaf, [leaf] * 2)
    with pytest.raises(VerificationError, match="wrong proof length: got 1 hashes, want 0"):
        merkle.verify_consistency(4, 4, leaf, leaf, [leaf])
    with pytest.raises(VerificationError, match="wrong proof length: got 0 hashes, want 1"):
        merkle.verify_consistency(1, 2, leaf, leaf, [])


def test_two_roots_of_one_size_are_a_fork():
    a, b = merkle.leaf_hash(b"a"), merkle.leaf_hash(b"b")
    merkle.verify_consistency(1, 1, a, a, [])
    with pytest.raises(VerificationError, match="forked") as caught:
        merkle.verify_consistency(1, 1, a, b, [])
    assert caught.value.code == "forked"


@pytest.mark.parametrize(("old", "size"), [(0, 0), (0, 1), (2, 1), (-1, 1)])
def test_an_empty_or_larger_older_tree_proves_nothing(old, size):
    leaf = merkle.leaf_hash(b"")
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old, size, leaf, leaf, [])
    with pytest.raises(FormatError):
        merkle.consistency_path([leaf], old, size)


def test_builds_no_proof_of_a_leaf_that_is_not_there():
    with pytest.raises(FormatError, match="leaf 1 is not in a tree of 1 leaves"):
        merkle.Tree([merkle.leaf_hash(b"")]).inclusion_path(1)


@pytest.mark.parametrize("index", [0, 2**62, 2**63 - 2])
def test_verifies_in_the_largest_tree(index):
    size = 2**63 - 1
    inner = (index ^ (size - 1)).bit_length()
    path = [merkle.leaf_hash(b"")] * (inner + (index >> inner).bit_count())
    assert len(path) <= merkle.MAX_PATH
    root = merkle.root_from_inclusion(index, size, merkle.EMPTY_ROOT, path)
    merkle.verify_inclusion(index, size, merkle.EMPTY_ROOT, path, root)


@given(st.integers(0, 70), st.integers(0, 70))
def test_a_compact_range_goes_on_where_it_was_left(first, more):
    _, hashes = leaves(first + more)
    edge = merkle.CompactRange()
    edge.extend(hashes[:first])
    again = merkle.CompactRange.restore(edge.size, edge.hashes)
    for item in hashes[first:]:
        again.append(item)
    assert again.size == first + more
    assert again.root() == merkle.root(hashes)


@pytest.mark.parametrize(
    ("size", "hashes"), [(1, []), (0, [b"\0" * 32]), (2, [b"\0" * 31]), (-1, []), (2**63, [b""])]
)
def test_a_compact_range_refuses_an_edge_that_does_not_fit(size, hashes):
    with pytest.raises(FormatError):
        merkle.CompactRange.restore(size, hashes)


@given(st.integers(1, 40), st.data())
def test_a_changed_leaf_changes_its_path_alone(size, data):
    _, hashes = leaves(size)
    tree = merkle.Tree(hashes)
    index = data.draw(st.integers(0, size - 1))
    hashes[index] = merkle.leaf_hash(b"changed")
    tree.update(index, hashes[index])
    assert tree.root() == merkle.root(hashes)
    assert tree.size == size
    assert tree.inclusion_path(index) == merkle.inclusion_path(hashes, index, size)
    assert tree.node(0, index) == hashes[index]


def test_a_tree_that_grew_is_the_tree_that_was_built():
    _, hashes = leaves(130)
    grown = merkle.Tree()
    for count, item in enumerate(hashes, 1):
        grown.append(item)
        assert grown.root() == merkle.Tree(hashes[:count]).root()
