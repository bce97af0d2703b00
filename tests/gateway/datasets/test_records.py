"""Record trees: salts, leaves, roots and content, by the vectors and by definition."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError, VerificationError
from zhixin_gateway.datasets import records
from zhixin_gateway.datasets.canonical import texts
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.datasets.types import fields_schema
from zhixin_ledger import merkle


@pytest.fixture(scope="module")
def case(vectors):
    return json.loads((vectors / "canonical/records.json").read_text())


@pytest.fixture(scope="module")
def written(case, forms):
    rows = [
        [forms.from_vector(f["type"], v) for f, v in zip(case["fields"], r["values"], strict=True)]
        for r in case["records"]
    ]
    return texts(forms.to_batch(case["fields"], rows, fields_schema(case["fields"])))


def test_derives_every_salt_of_the_vectors(vectors):
    for case in json.loads((vectors / "salts.json").read_text()):
        key = bytes.fromhex(case["salt_key"])
        for item in case["salts"]:
            assert records.salts(key, int(item["record"]), 1).hex() == item["salt"]
        first = records.salts(key, 0, 257)
        assert first[16 * 255 : 16 * 256] == records.salts(key, 255, 1)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_refuses_salt_keys_of_another_length(size):
    with pytest.raises(FormatError, match=f"got {size} bytes, want 32"):
        records.salts(bytes(size), 0, 1)


def test_hashes_the_leaves_of_the_vectors(case, written):
    key = bytes.fromhex(case["salt_key"])
    wanted = [record["leaf_hash"] for record in case["records"]]
    assert [leaf.hex() for leaf in records.leaf_hashes(written, key)] == wanted
    assert [leaf.hex() for leaf in records.leaf_hashes(written.slice(5), key, 5)] == wanted[5:]
    for record in case["records"]:
        leaf = records.record_leaf(bytes.fromhex(record["salt"]), record["text"].encode())
        assert leaf.hex() == record["leaf_hash"]
        assert leaf == merkle.leaf_hash(bytes.fromhex(record["leaf_data"]))


@pytest.mark.parametrize("step", [1, 3, 100])
def test_computes_root_and_content_however_the_records_come(case, written, step):
    digest = records.PartDigest(bytes.fromhex(case["salt_key"]), keep_leaves=True)
    for start in range(0, len(written), step):
        digest.append(written.slice(start, step))
    assert digest.root().hex() == case["part_root"]
    assert digest.content().hex() == case["content"]
    assert digest.records == len(case["records"])
    assert digest.text_bytes == sum(len(r["text"].encode()) for r in case["records"])
    for index, record in enumerate(case["records"]):
        path = merkle.inclusion_path(digest.leaves, index, digest.records)
        assert [item.hex() for item in path] == record["path"]


def test_computes_the_version_roots_of_the_vectors(case):
    root = bytes.fromhex(case["part_root"])
    part = (len(case["records"]), root)
    computed = {
        "version_root_without_parts": records.version_root(case["fields"], []),
        "version_root_of_this_part_alone": records.version_root(case["fields"], [part]),
        "version_root_of_this_part_thrice": records.version_root(case["fields"], [part] * 3),
    }
    assert {name: value.hex() for name, value in computed.items()} == {
        name: case[name] for name in computed
    }


def test_computes_the_root_of_every_version(vectors):
    manifests = list((vectors / "versions").rglob("manifest.json"))
    assert len(manifests) > 10
    for path in manifests:
        manifest = parse_manifest(path.read_bytes())
        assert manifest.computed_root() == manifest.root
        assert manifest.computed_records() == manifest.records


def slow_digest(lines, key):
    leaves = [
        merkle.leaf_hash(b"zhixin/record/v1\n" + records.salts(key, at, 1) + line)
        for at, line in enumerate(lines)
    ]
    return slow_root(leaves), hashlib.sha256(b"".join(line + b"\n" for line in lines)).digest()


def slow_root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return merkle.node_hash(slow_root(leaves[:k]), slow_root(leaves[k:]))


@settings(deadline=None)
@given(
    lines=st.lists(st.text(st.characters(codec="utf-8"), max_size=9), min_size=1, max_size=40),
    key=st.binary(min_size=32, max_size=32),
    cut=st.integers(0, 40),
)
def test_root_and_content_are_those_of_the_definition(lines, key, cut):
    array = pa.array(lines, pa.large_string())
    digest = records.PartDigest(key)
    for piece in (array.slice(0, cut), array.slice(cut)):
        digest.append(piece)
    assert (digest.root(), digest.content()) == slow_digest([x.encode() for x in lines], key)


def test_long_texts_hash_like_short_ones(monkeypatch):
    lines = pa.array(["a" * 50, "", "b" * 70], pa.large_string())
    wanted = slow_digest([line.encode() for line in lines.to_pylist()], bytes(32))
    monkeypatch.setattr(records, "_LONG_BYTES", 60)
    digest = records.PartDigest(bytes(32))
    digest.append(lines)
    assert (digest.root(), digest.content()) == wanted


def test_refuses_texts_beyond_256_mib(monkeypatch):
    monkeypatch.setattr(records, "MAX_TEXTS_BYTES", 10)
    digest = records.PartDigest(bytes(32))
    digest.append(pa.array(["1234", "123"], pa.large_string()))
    with pytest.raises(VerificationError) as caught:
        digest.append(pa.array(["1"], pa.large_string()))
    assert caught.value.code == "record"


def test_counts_are_unsigned_64_bit_integers():
    for count in (-1, 2**64):
        with pytest.raises(FormatError):
            records.part_leaf(count, bytes(32))
