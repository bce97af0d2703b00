"""Cutting and hashing: the kernel and the pure path give the same bytes, or the same refusal."""

from __future__ import annotations

import itertools
import json
import math
import struct
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError, VerificationError, ZhixinError
from zhixin_gateway.datasets import canonical, hashing, native, records
from zhixin_gateway.datasets.types import fields_schema, parse_type

KEY = bytes(range(32))
PATHS = ["kernel", "pure"]
REFUSED = (FormatError, "malformed")


def on(path, work):
    """What a path answers: its value, or the kind and code of its refusal."""
    with pytest.MonkeyPatch.context() as patch:
        if path == "pure":
            patch.setenv("ZHIXIN_KERNEL", "pure")
        assert (hashing.kernel() is None) == (path == "pure")
        try:
            return work()
        except ZhixinError as error:
            return type(error), error.code


def alike(work):
    """Both paths' answer, which must be one."""
    kernel, pure = (on(path, work) for path in PATHS)
    assert kernel == pure
    return kernel


def digested(batches, key=KEY):
    digest = hashing.new_digest(key, keep_leaves=True)
    for batch in batches:
        digest.append(batch)
    return (
        digest.records,
        digest.text_bytes,
        digest.root(),
        digest.content(),
        list(digest.leaves),
    )


def cut(batches, schema, key_fields=(), *, content_only=False):
    salt_keys = itertools.count()
    cutter = hashing.new_cutter(
        schema,
        key_fields,
        content_only=content_only,
        new_salt_key=lambda size: next(salt_keys).to_bytes(size, "big"),
    )
    return [cutter.feed(batch) for batch in batches], cutter.end()


def one_column(array):
    return pa.RecordBatch.from_arrays([array], names=["x"])


def sliced(batch, steps):
    starts = [0]
    while starts[-1] < batch.num_rows:
        starts.append(starts[-1] + steps[len(starts) % len(steps)])
    return [batch.slice(a, b - a) for a, b in itertools.pairwise(starts)]


def shrink(patch, **changed):
    """The rule with small numbers."""
    rule = {"CUT_RECORDS": 4, "MAX_RECORDS": 16, "CUT_BYTES": 400, "CUT_BITS": 2, **changed}
    for name, value in rule.items():
        patch.setattr(hashing, name, value)


def test_the_kernel_serves_where_it_is_installed_and_not_switched_off(monkeypatch):
    assert hashing.kernel() is not None, "the tests need the kernel: make kernel"
    for off in ("off", "pure"):
        monkeypatch.setenv("ZHIXIN_KERNEL", off)
        assert hashing.kernel() is None
    monkeypatch.delenv("ZHIXIN_KERNEL")
    monkeypatch.setattr(native, "PROTOCOL", native.PROTOCOL + 1)
    assert hashing.kernel() is None
    assert isinstance(hashing.new_digest(KEY), hashing._PureDigest)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_both_paths_cut_and_hash_alike(forms, data):
    fields = data.draw(forms.field_lists())
    drawn = data.draw(forms.record_lists(fields))
    schema = fields_schema(fields)
    batch = forms.to_batch(fields, drawn * data.draw(st.integers(1, 12)), schema)
    batches = sliced(batch, data.draw(st.lists(st.integers(1, 30), min_size=1, max_size=4)))
    names = [field["name"] for field in fields]
    key = data.draw(st.lists(st.sampled_from(names), unique=True))
    content_only = data.draw(st.booleans())
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, CUT_BYTES=data.draw(st.sampled_from([40, 400, 10**9])))
        ended, last = alike(lambda: cut(batches, schema, key, content_only=content_only))
    parts = [part for each in ended for _, part in each] + ([last] if last else [])
    assert sum(part.records for part in parts) == batch.num_rows
    assert all((part.root is None) == content_only for part in parts)
    alike(lambda: digested(batches))
    alike(lambda: canonical.texts(batch).to_pylist())


def coded(array):
    """The same values with dictionaries in the place of strings and binaries, at every level."""
    if isinstance(array, pa.ListArray):
        mask = array.is_null() if array.null_count else None
        offsets = np.zeros(len(array) + 1, dtype=np.int32)
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        np.cumsum(lengths, out=offsets[1:])
        return pa.ListArray.from_arrays(pa.array(offsets), coded(array.flatten()), mask=mask)
    if isinstance(array, pa.StructArray):
        mask = array.is_null() if array.null_count else None
        names = [member.name for member in array.type]
        return pa.StructArray.from_arrays([coded(m) for m in array.flatten()], names, mask=mask)
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        return array.dictionary_encode()
    return array


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_dictionaries_hash_like_what_they_stand_for(forms, data):
    fields = data.draw(forms.field_lists())
    drawn = data.draw(forms.record_lists(fields)) * data.draw(st.integers(1, 12))
    plain = forms.to_batch(fields, drawn, fields_schema(fields))
    names = plain.schema.names
    batch = pa.RecordBatch.from_arrays([coded(column) for column in plain.columns], names=names)
    start = data.draw(st.integers(0, batch.num_rows - 1))
    answer = alike(lambda: digested([batch.slice(start)]))
    assert answer == on("pure", lambda: digested([plain.slice(start)]))


@pytest.mark.parametrize("path", PATHS)
def test_walks_the_vectors(vectors, forms, path):
    case = json.loads((vectors / "canonical/records.json").read_text())
    rows = [
        [forms.from_vector(f["type"], v) for f, v in zip(case["fields"], r["values"], strict=True)]
        for r in case["records"]
    ]
    batch = forms.to_batch(case["fields"], rows, fields_schema(case["fields"]))
    key = bytes.fromhex(case["salt_key"])
    count, size, root, content, leaves = on(path, lambda: digested(sliced(batch, [3, 1]), key))
    assert (count, root.hex(), content.hex()) == (len(rows), case["part_root"], case["content"])
    assert size == sum(len(record["text"].encode()) for record in case["records"])
    assert [leaf.hex() for leaf in leaves] == [r["leaf_hash"] for r in case["records"]]


RAW = {
    "float": lambda chance: struct.unpack("<d", chance.randbytes(8))[0],
    "date": lambda chance: chance.choice([-719_163, -719_162, 0, 2_932_896, 2_932_897, 2**31 - 1]),
    "time": lambda chance: chance.choice([-1, 0, 86_399_999_999, 86_400_000_000, -(2**63)]),
    "timestamp": lambda chance: chance.choice(
        [0, -62_135_596_800_000_001, 253_402_300_800_000_000]
    ),
    "timestamptz": lambda chance: chance.randrange(-(2**63), 2**63),
    "string": lambda chance: chance.choice([b"\xff", b"\xed\xa0\x80", b"a", b"\xf4\x90\x80\x80"]),
    "decimal(5,2)": lambda chance: chance.choice([99_999, 100_000, -99_999, -100_000]),
    "decimal(38,0)": lambda chance: chance.choice([10**38 - 1, 10**38, -(10**38), 2**127 - 1]),
}


@settings(deadline=None, max_examples=150)
@given(kind=st.sampled_from(sorted(RAW)), chance=st.randoms(use_true_random=False))
def test_both_paths_refuse_the_same_values(forms, kind, chance):
    values = [None if chance.random() < 0.3 else RAW[kind](chance) for _ in range(3)]
    array = forms.to_array(kind, values, parse_type(kind))
    answer = alike(lambda: digested([one_column(array)]))
    refused = any(canonical.invalid_mask(one_column(array)).to_pylist())
    assert (answer == REFUSED) == refused
    listed = pa.ListArray.from_arrays(pa.array([0, 2, 3], pa.int32()), array)
    alike(lambda: digested([one_column(listed).slice(1)]))
    alike(lambda: cut([one_column(listed)], one_column(listed).schema))


def test_every_character_is_written_alike():
    planes = [chr(at) for at in range(0x110000) if not 0xD800 <= at < 0xE000]
    one_each = pa.array(planes[:70_000] + planes[-3000:])
    many = pa.array(["".join(planes[at : at + 997]) for at in range(0, len(planes), 997)])
    alike(lambda: digested([one_column(one_each), one_column(many)]))


def test_extreme_floats_are_written_alike():
    chance = np.random.default_rng(8)
    bits = chance.integers(0, 2**64, 30_000, dtype=np.uint64).view(np.float64)
    whole = chance.integers(-(2**60), 2**60, 10_000).astype(np.float64)
    powers = [math.ldexp(1.0, e) for e in range(-1074, 1024)]
    tens = [float(f"1e{e}") for e in range(-323, 309)]
    near = [math.nextafter(v, to) for v in (*powers, *tens) for to in (0.0, math.inf)]
    made = np.concatenate([bits[np.isfinite(bits)], whole, powers, tens, near, [0.0, -0.0]])
    array = pa.array(made[np.isfinite(made)])
    alike(lambda: digested([one_column(array), one_column(pa.array(-made[np.isfinite(made)]))]))


def test_huge_texts_are_written_alike(monkeypatch):
    monkeypatch.setattr(hashing, "CUT_BYTES", 3_000_000)
    texts = ["x" * 2_000_000, '"\x00\n' * 300_000, "", "é" * 700_000]
    batch = one_column(pa.array(texts * 2))
    ended, _ = alike(lambda: cut([batch, batch.slice(3, 2)], batch.schema))
    assert [row for row, _ in ended[0]] == [2, 5, 6]
    raw = one_column(pa.array([b"\x00" * 5_000_000, b"", None, b"abc"]))
    alike(lambda: digested([raw]))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("length", "taken"), [(96, True), (97, False)])
def test_a_text_beyond_the_limit_is_refused(monkeypatch, path, length, taken):
    monkeypatch.setattr(hashing, "MAX_RECORD_BYTES", 100)
    batch = one_column(pa.array(["", "x" * length]))
    answer = on(path, lambda: cut([batch], batch.schema))
    assert (answer == REFUSED) != taken


@pytest.mark.parametrize("path", PATHS)
def test_texts_of_a_part_beyond_the_limit_are_refused(monkeypatch, path):
    for place in (records, hashing):
        monkeypatch.setattr(place, "MAX_TEXTS_BYTES", 30)
    batch = one_column(pa.array(["x" * 10]))
    assert on(path, lambda: digested([batch, batch]))[:2] == (2, 28)
    assert on(path, lambda: digested([batch, batch, batch])) == (VerificationError, "record")
    endless = pa.DictionaryArray.from_arrays(pa.array([0] * 9, pa.int32()), pa.array(["y" * 10**5]))
    assert on(path, lambda: digested([one_column(endless)])) == (VerificationError, "record")


def test_lists_without_items_and_columns_without_values():
    empty = pa.array([[], None, []], pa.list_(pa.field("element", pa.string())))
    pair = pa.array([None, {"a": None}], pa.struct([("a", pa.list_(pa.int64()))]))
    for array in (empty, empty.slice(1), pair, pa.nulls(5, pa.float64()), pair.slice(0, 0)):
        alike(lambda array=array: digested([one_column(array)]))


def test_names_that_hold_u0000_stand_whole_in_the_text():
    inner = pa.array([{"b\0c": "x", "b\0a": "y"}])
    pair = pa.StructArray.from_arrays([pa.array([1]), inner], ["\0", "a\0"])
    batch = one_column(pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), pair))
    alike(lambda: digested([batch]))
    (text,) = alike(lambda: canonical.texts(batch).to_pylist())
    assert json.loads(text) == [[{"\0": "1", "a\0": {"b\0a": "y", "b\0c": "x"}}]]


def test_a_batch_beyond_the_fields_is_refused():
    batch = one_column(pa.array([1]))
    for other in (pa.record_batch({"y": [1]}), one_column(pa.array([1], pa.int32()))):
        assert alike(lambda other=other: cut([other], batch.schema)) == REFUSED


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_salt_key_of_another_length_is_refused(path, size):
    assert on(path, lambda: digested([], bytes(size))) == REFUSED


def broken_arrays():
    """Arrays that no honest writer makes; pyarrow's cheap check does not see what is wrong."""
    text = pa.py_buffer(b"abcdef")

    def offsets(*values):
        return pa.py_buffer(struct.pack(f"<{len(values)}i", *values))

    yield pa.Array.from_buffers(pa.string(), 2, [None, offsets(0, 5, 3), text])
    yield pa.Array.from_buffers(pa.string(), 2, [None, offsets(0, -1, 3), text])
    yield pa.Array.from_buffers(pa.binary(), 2, [None, offsets(4, 2, 6), text])
    listed = pa.list_(pa.int64())
    items = [pa.array([1, 2, 3])]
    yield pa.Array.from_buffers(listed, 2, [None, offsets(0, 3, 1)], children=items)
    yield pa.Array.from_buffers(listed, 2, [None, offsets(0, 9, 3)], children=items)
    indices = pa.array([0, 7], pa.int32())
    yield pa.DictionaryArray.from_arrays(indices, pa.array(["a"]), safe=False)
    yield pa.DictionaryArray.from_arrays(pa.array([-1], pa.int32()), pa.array(["a"]), safe=False)


def test_the_kernel_refuses_arrays_that_point_beyond_themselves():
    for array in broken_arrays():
        batch = one_column(array)
        assert on("kernel", lambda batch=batch: digested([batch])) == REFUSED
        assert on("kernel", lambda batch=batch: cut([batch], batch.schema))[0] is FormatError


def test_buffers_that_are_too_short_never_reach_the_kernel():
    narrow = one_column(pa.array([1] * 900, pa.int8()))
    short = pa.ipc.read_record_batch(narrow.serialize(), pa.schema([("x", pa.int64())]))
    assert on("kernel", lambda: digested([short])) == REFUSED


def test_after_a_refusal_the_kernel_takes_nothing_more():
    bad, good = one_column(pa.array([1.0, math.nan])), one_column(pa.array([1.0]))
    cutter, digest = hashing.new_cutter(good.schema), hashing.new_digest(KEY)
    for take in (cutter.feed, digest.append):
        with pytest.raises(FormatError, match="record 1 "):
            take(bad)
        with pytest.raises(FormatError, match="earlier"):
            take(good)
    with pytest.raises(FormatError, match="earlier"):
        cutter.end()


def test_an_error_of_the_salts_source_goes_through():
    def broken(_size):
        raise KeyError("no entropy")

    cutter = hashing.new_cutter(one_column(pa.array([1])).schema, new_salt_key=broken)
    with pytest.raises(KeyError):
        cutter.feed(one_column(pa.array([1])))


def test_the_kernel_leaves_the_interpreter_to_others():
    batch = one_column(pa.array(["x" * 1000] * 60_000))
    digest = hashing.new_digest(KEY)
    for _ in range(5):
        busy = threading.Thread(target=digest.append, args=[batch])
        gaps, begun, last = [], time.perf_counter(), time.perf_counter()
        busy.start()
        while busy.is_alive():
            time.sleep(0.0005)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now
        digest = hashing.new_digest(KEY)
        if max(gaps) < (last - begun) / 2:
            return
    raise AssertionError(f"{max(gaps):.3f} of {last - begun:.3f} s without a turn")
