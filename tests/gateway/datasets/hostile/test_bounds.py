"""Parts that claim to be gigabytes are refused before their values are expanded."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import pyarrow as pa
import pytest
from zhixin_errors import VerificationError
from zhixin_gateway.datasets import bounds
from zhixin_gateway.datasets.footer import Chunk, Page, PageKind
from zhixin_gateway.datasets.lengths import longest_value, prefix_bytes
from zhixin_gateway.datasets.parquet import PartReader

MIB = 1024 * 1024
STRINGS = pa.schema([("x", pa.string())])
INTEGERS = pa.schema([("x", pa.int64())])
LISTS = pa.schema([("x", pa.list_(pa.field("element", pa.int64())))])
DECIMALS = pa.schema([("x", pa.decimal128(5, 2))])


def refusal(data, schema):
    """Why a part is refused; empty where it is not."""
    try:
        PartReader(data, schema).check()
    except VerificationError as error:
        return f"{error.code}: {error}"
    return ""


def bombs(craft):
    """Each a file of a few bytes to a few megabytes, and its schema."""
    long = b"a" * MIB
    lists = pa.schema([("x", pa.list_(pa.field("element", pa.string())))])
    value_page = craft.page(craft.levels(1, 1) + craft.strings(b"a"), 1, uncompressed=2**31 - 1)
    zeros = pa.compress(bytes(200 * MIB), "zstd", asbytes=True)
    inflating = craft.page(zeros, 1, uncompressed=200 * MIB)
    repeating = craft.levels(65_536, 1) + craft.delta_strings([long] * 65_536)
    return {
        "a long value behind many indices": (craft.repeated(long, 60_000), STRINGS),
        "just more than a reader needs to hold": (craft.repeated(long, 1500), STRINGS),
        "the same for binary": (
            craft.repeated(long, 60_000, {1: (5, 6), 3: (5, 1)}),
            pa.schema([("x", pa.binary())]),
        ),
        "values that repeat the one before": (
            craft.one_column(craft.STRING, [craft.page(repeating, 65_536, encoding=7)], 65_536),
            STRINGS,
        ),
        "a page that says it is two gigabytes": (
            craft.one_column(craft.STRING, [value_page], 1, codec=6),
            STRINGS,
        ),
        "pages by the dozen that inflate": (
            craft.one_column(craft.STRING, [inflating] * 40, 40, codec=6),
            STRINGS,
        ),
        "rows by the milliard": (
            craft.one_column(craft.INTEGER, [craft.page(craft.levels(2**30, 0), 2**30)], 2**30),
            INTEGERS,
        ),
        "a list by the milliard": (craft.one_list(2**30), LISTS),
        "a list of many strings": (craft.one_list(80_000_000, craft.STRING), lists),
        "a decimal of a mebibyte behind many indices": (
            craft.repeated(bytes(MIB), 60_000, craft.DECIMAL),
            DECIMALS,
        ),
    }


RUN = """
import json, pathlib, resource, sys, time
import pyarrow as pa
from zhixin_errors import VerificationError
from zhixin_gateway.datasets.parquet import PartReader

resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
answers = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.parquet")):
    schema = pa.ipc.read_schema(pa.py_buffer(path.with_suffix(".schema").read_bytes()))
    begun = time.process_time()
    with path.open("rb") as file:
        try:
            PartReader(file, schema).check()
            answer = None
        except VerificationError as error:
            answer = error.code
    status = pathlib.Path("/proc/self/status").read_text()  # ru_maxrss begins with the parent's
    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
    answers[path.stem] = [answer, peak, round(time.process_time() - begun, 1)]
print(json.dumps(answers))
"""


def test_hostile_parts_are_refused_in_bounded_memory(craft, tmp_path):
    for name, (data, schema) in bombs(craft).items():
        (tmp_path / f"{name}.parquet").write_bytes(data)
        (tmp_path / f"{name}.schema").write_bytes(schema.serialize().to_pybytes())
    command = [sys.executable, "-c", RUN, tmp_path]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert {name: answer[0] for name, answer in answers.items()} == dict.fromkeys(
        bombs(craft), "record"
    )
    assert max(peak for _, peak, _ in answers.values()) < 900, answers
    assert max(seconds for *_, seconds in answers.values()) < 20, answers


def test_a_good_file_of_the_same_making_is_read(craft):
    for data, schema, wanted in (
        (craft.repeated(b"abc", 5), STRINGS, ["abc"] * 5),
        (craft.one_list(4), LISTS, [[None] * 4]),
        (craft.repeated(b"\x01\x00", 3, craft.DECIMAL), DECIMALS, None),
    ):
        (batch,) = PartReader(data, schema).batches()
        assert wanted is None or batch.column(0).to_pylist() == wanted
    body = craft.levels(4, 1) + craft.delta_strings([b"abc", b"abc", b"b", b"b"])
    data = craft.one_column(craft.STRING, [craft.page(body, 4, encoding=7)], 4)
    (batch,) = PartReader(data, STRINGS).batches()
    assert batch.column(0).to_pylist() == ["abc", "abc", "b", "b"]


@pytest.mark.parametrize("length", [0, 1, 100, 5000])
def test_adds_up_what_values_repeat(craft, length):
    values = [b"a" * length] * 300 + [b"b"] * 200 + [b""] * 100
    wanted = 299 * length + 199
    raw = craft.delta_strings(values)
    for kind, lead in ((PageKind.DATA, craft.levels(600, 1)), (PageKind.DATA_V2, b"xyz")):
        body = lead + raw
        page = Page(kind, 0, len(body), len(body), 600, 7, len(lead) if kind == 3 else None)
        assert prefix_bytes(memoryview(body), Chunk(6, 0, 600, 0, 0, 0, None), page,
                            nested=False) == wanted  # fmt: skip


def test_finds_the_longest_value_of_a_dictionary(craft):
    raw = craft.strings(b"a", b"", b"abc" * 50, b"b")
    data = pa.compress(raw, "snappy", asbytes=True)
    page = Page(PageKind.DICTIONARY, 0, len(data), len(raw), 4, 0)
    assert longest_value(memoryview(data), Chunk(6, 1, 4, 0, 0, 0, None), page) == 150


@pytest.mark.parametrize(
    ("raw", "count"),
    [(b"", 1), (b"\x80" * 11, 1), (b"\x80\x01\x04\x05\x00\x00", 9), (b"\x80\x01\x03\x02\x00", 2),
     (b"\x80\x01\x04\x01\x01", 1), (b"\x80\x01\x04\x02\x00\x00\x28\x00\x00\x00", 2),
     (b"\x80\x01\x04\x02\x00\x01\x00\x00\x00\x00", 2),
     (b"\x80\x01\x80\x01\x02\x00" + bytes(129), 2)],
)  # fmt: skip
def test_lengths_that_are_not_in_their_form_are_refused(raw, count):
    body = struct.pack("<I", 0) + raw
    page = Page(PageKind.DATA, 0, len(body), len(body), count, 7)
    with pytest.raises(VerificationError) as caught:
        prefix_bytes(memoryview(body), Chunk(6, 0, count, 0, 0, 0, None), page, nested=False)
    assert caught.value.code == "record"


def test_refuses_more_strings_to_be_measured_than_texts_can_hold(craft, monkeypatch):
    body = craft.levels(4, 1) + craft.delta_strings([b"abc"] * 4)
    data = craft.one_column(craft.STRING, [craft.page(body, 4, encoding=7)] * 3, 12)
    assert refusal(data, STRINGS) == ""
    monkeypatch.setattr(bounds, "MAX_MEASURED_VALUES", 11)
    assert "measured" in refusal(data, STRINGS)
    monkeypatch.setattr(bounds, "MAX_MEASURED_VALUES", 0)
    monkeypatch.setattr(bounds, "_LARGE_DICTIONARY", 0)
    assert "measured" in refusal(craft.repeated(b"abc", 5), STRINGS)


def test_refuses_more_pages_open_at_once_than_fit(craft, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_OPEN_BYTES", 10)
    assert "needed together" in refusal(craft.repeated(b"abc", 5), STRINGS)


def test_refuses_more_listed_values_than_one_record_can_take(craft, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_LISTED_VALUES", 3)
    assert "values in lists" in refusal(craft.one_list(4), LISTS)
    monkeypatch.setattr(bounds, "MAX_LISTED_VALUES", 4)
    assert refusal(craft.one_list(4), LISTS) == ""


def test_a_column_that_shares_its_path_with_another_is_measured_too(craft):
    """`a.b` and the member `b` of `a` have one path, so neither is decoded as a dictionary."""
    schema = pa.schema([("a.b", pa.string()), ("a", pa.struct([("b", pa.string())]))])
    elements = [
        craft.leaf(b"a.b", craft.STRING),
        craft.group(b"a", 1),
        craft.leaf(b"b", craft.STRING),
    ]

    def column(value, count, level):
        width = 1 if level == 1 else 2
        body = craft.levels(count, level, width) + craft.one_index(count)
        pages = [craft.page(craft.strings(value), 1, kind=2), craft.page(body, count, encoding=8)]
        return {"pages": pages, "values": count, "physical": 6, "dictionary": True}

    def file(value, count):
        columns = [column(value, count, 1), column(value, count, 2)]
        return craft.parquet(elements, [(count, columns)], columns=2)

    assert refusal(file(b"xy", 3), schema) == ""
    (batch,) = PartReader(file(b"xy", 3), schema).batches()
    assert batch.to_pylist() == [{"a.b": "xy", "a": {"b": "xy"}}] * 3
    assert "exceed" in refusal(file(b"a" * MIB, 60_000), schema)


def delta_beside_dictionary(craft, value, count):
    indices = craft.page(craft.levels(count, 1) + craft.one_index(count), count, encoding=8)
    other = craft.page(craft.levels(2, 1) + craft.delta_strings([b"b", b"b"]), 2, encoding=7)
    pages = [craft.page(craft.strings(value), 1, kind=2), indices, other]
    return craft.one_column(craft.STRING, pages, count + 2, dictionary=True)


def test_a_dictionary_beside_a_delta_encoding_is_measured_too(craft):
    """Arrow gives no dictionary then: the longest value bounds what the indices stand for."""
    (batch,) = PartReader(delta_beside_dictionary(craft, b"a", 3), STRINGS).batches()
    assert batch.column(0).to_pylist() == ["a", "a", "a", "b", "b"]
    assert "exceed" in refusal(delta_beside_dictionary(craft, b"a" * MIB, 60_000), STRINGS)


def test_indices_without_a_dictionary_are_refused(craft):
    indices = craft.page(craft.levels(3, 1) + craft.one_index(3), 3, encoding=8)
    data = craft.one_column(craft.STRING, [indices], 3)
    assert "without a dictionary" in refusal(data, STRINGS)


def test_every_refusal_of_a_header_has_the_code_record(craft):
    for data, schema in bombs(craft).values():
        assert refusal(data, schema).startswith("record: part: ")
