"""Footers and page headers that contradict themselves, their file or the fields."""

from __future__ import annotations

import pyarrow as pa
import pytest
from zhixin_errors import VerificationError
from zhixin_gateway.datasets.parquet import PartReader

INTEGERS = pa.schema([("x", pa.int64())])
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12


def body(craft, count=2):
    return craft.levels(count, 1) + bytes(8 * count)


def refused(data, why=None, schema=INTEGERS):
    with pytest.raises(VerificationError, match=why) as caught:
        PartReader(data, schema).check()
    assert caught.value.code == "record"


def test_the_file_that_the_cases_alter_is_good(craft):
    data = craft.one_column(craft.INTEGER, [craft.page(body(craft), 2)], 2)
    (batch,) = PartReader(data, INTEGERS).batches()
    assert batch.column(0).to_pylist() == [0, 0]


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ({3: (LIST, (I64, [0, 2]))}, None),
        ({2: (LIST, (I64, [2])), 3: (LIST, (I64, [0, 2]))}, None),
        ({3: (LIST, (I64, [0, 1, 2]))}, "other levels"),
        ({2: (LIST, (I64, [0, 2]))}, "other levels"),
        ({1: (I64, 5)}, "without strings"),
    ],
)
def test_size_statistics_that_arrow_ends_the_process_over_are_refused(craft, sizes, why):
    data = craft.one_column(
        craft.INTEGER, [craft.page(body(craft), 2)], 2, meta={16: (STRUCT, sizes)}
    )
    if why:
        refused(data, why)
    else:
        assert PartReader(data, INTEGERS).records == 2


@pytest.mark.parametrize(
    "meta",
    [
        {2: (LIST, (BINARY, [b""]))},
        {3: (LIST, (I32, [0]))},
        {13: (LIST, (I32, [0]))},
        {16: (STRUCT, {3: (LIST, (I32, [0, 2]))})},
    ],
)
def test_a_list_of_another_kind_is_refused_for_a_decoder_does_not_look_at_kinds(craft, meta):
    data = craft.one_column(craft.INTEGER, [craft.page(body(craft), 2)], 2, meta=meta)
    refused(data, "another kind")


def test_refuses_a_column_of_geometry(craft):
    data = craft.one_column(craft.INTEGER, [craft.page(body(craft), 2)], 2, meta={17: (STRUCT, {})})
    refused(data, "places on a map")


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ({"uncompressed": -1}, "negative size"),
        ({"size": -1}, "negative size"),
        ({"size": 10_000}, "beyond its column"),
        ({"uncompressed": 2**28 + 1}, "at most 268435456"),
        ({"kind": 2}, "ends within"),
        ({"values": -1}, "negative number of values"),
        ({"values": 3}, "pages hold 3 values, its footer says 2"),
        ({"values": 1}, "ends within"),
    ],
)
def test_refuses_pages_that_lie(craft, page, why):
    options = {"values": 2, **page}
    refused(craft.one_column(craft.INTEGER, [craft.page(body(craft), **options)], 2), why)


def test_refuses_a_second_dictionary_and_unknown_pages(craft):
    dictionary = craft.page(bytes(8), 1, kind=2)
    data = craft.one_column(
        craft.INTEGER, [dictionary, dictionary, craft.page(body(craft), 2)], 2, dictionary=True
    )
    refused(data, "not a column's first")
    odd = craft.thrift({1: (I32, 9), 2: (I32, 0), 3: (I32, 0)})
    refused(craft.one_column(craft.INTEGER, [odd], 2), "unknown kind 9")
    bare = craft.thrift({1: (I32, 0), 2: (I32, 0), 3: (I32, 0)})
    refused(craft.one_column(craft.INTEGER, [bare], 2), "without its header")


def test_takes_an_index_page_for_what_it_is(craft):
    index = craft.thrift({1: (I32, 1), 2: (I32, 2**31 - 1), 3: (I32, 0), 6: (STRUCT, {})})
    refused(craft.one_column(craft.INTEGER, [index, craft.page(body(craft), 2)], 2), "at most")


def test_refuses_levels_longer_than_their_page(craft):
    inner = {1: (I32, 2), 2: (I32, 0), 3: (I32, 2), 4: (I32, 0), 5: (I32, 99), 6: (I32, 0)}
    header = craft.thrift({1: (I32, 3), 2: (I32, 16), 3: (I32, 16), 8: (STRUCT, inner)})
    refused(craft.one_column(craft.INTEGER, [header + bytes(16)], 2), "levels are longer")


@pytest.mark.parametrize(
    ("chunk", "why"),
    [
        ({"offset": 0}, "within the file"),
        ({"offset": 10**9}, "within the file"),
        ({"size": 10**9}, "within the file"),
        ({"size": -1}, "within the file"),
        ({"values": -1, "rows": 2}, "within the file"),
        ({"values": 3, "rows": 2}, "as many values"),
        ({"values": 2, "rows": 3}, "as many values"),
        ({"physical": 5}, "another type than the schema"),
    ],
)
def test_refuses_columns_that_lie(craft, chunk, why):
    options = {"values": 2, **chunk}
    page = craft.page(body(craft), 2)
    values, rows = options.pop("values"), options.pop("rows", None)
    refused(craft.one_column(craft.INTEGER, [page], values, rows, **options), why)


def test_refuses_row_groups_that_do_not_add_up(craft):
    page = craft.page(body(craft), 2)
    chunk = {"pages": [page], "values": 2, "physical": 2}
    leaf = [craft.leaf(b"x", craft.INTEGER)]
    refused(craft.parquet(leaf, [(2, [chunk])], rows=3), "add up")
    refused(craft.parquet(leaf, [], rows=0), "add up")
    refused(craft.parquet(leaf, [(2, [chunk, chunk])]), "other columns")
    refused(craft.parquet(leaf, [(-2, [chunk])], rows=-2), "negative number of rows")


def test_row_groups_over_the_same_bytes_are_no_way_around(craft):
    """Overlapping columns cost nothing in the file: what they hold is still counted."""
    page = craft.page(craft.levels(2**24, 0), 2**24)
    chunk = {"pages": [page], "values": 2**24, "physical": 2}
    again = {"pages": [], "values": 2**24, "physical": 2, "offset": 4, "size": len(page)}
    leaf = [craft.leaf(b"x", craft.INTEGER)]
    groups = [(2**24, [chunk])] + [(2**24, [again])] * 8
    refused(craft.parquet(leaf, groups), "exceed 268435456 bytes")


def test_refuses_schemas_that_end_early_or_go_on(craft):
    chunk = {"pages": [craft.page(body(craft), 2)], "values": 2, "physical": 2}
    leaf = craft.leaf(b"x", craft.INTEGER)
    refused(craft.parquet([], [(2, [chunk])]), "ends early")
    refused(craft.parquet([leaf, leaf], [(2, [chunk])]), "no field stands for")
    refused(craft.parquet([craft.leaf(b"\xff", craft.INTEGER)], [(2, [chunk])]), "not UTF-8")


@pytest.mark.parametrize(
    "element",
    [
        {1: (I32, 2), 3: (I32, 1), 10: (STRUCT, {})},
        {1: (I32, 2), 3: (I32, 1), 10: (STRUCT, {1: (STRUCT, {}), 6: (STRUCT, {})})},
        {1: (I32, 2), 3: (I32, 1), 10: (STRUCT, {8: (STRUCT, {1: (1, True)})})},
        {1: (I32, 2), 3: (I32, 1), 10: (STRUCT, {12: (STRUCT, {})})},
        {1: (I32, 2), 3: (I32, 1), 6: (I32, 20)},
        {1: (I32, 2), 3: (I32, 1), 6: (I32, 10)},
        {1: (I32, 2), 3: (I32, 2)},
        {1: (I32, 2)},
        {3: (I32, 1), 5: (I32, 1)},
    ],
)
def test_refuses_every_other_annotation(craft, element):
    chunk = {"pages": [craft.page(body(craft), 2)], "values": 2, "physical": 2}
    refused(craft.parquet([craft.leaf(b"x", element)], [(2, [chunk])]))


def test_refuses_a_fixed_decimal_of_other_widths(craft):
    schema = pa.schema([("x", pa.decimal128(5, 2))])
    for width in (0, 17, 2**31 - 1):
        element = {1: (I32, 7), 2: (I32, width), 3: (I32, 1), 6: (I32, 5), 7: (I32, 2), 8: (I32, 5)}
        chunk = {"pages": [craft.page(body(craft), 2)], "values": 2, "physical": 7}
        refused(craft.parquet([craft.leaf(b"x", element)], [(2, [chunk])]), "decimals of", schema)


def test_refuses_a_footer_beyond_any_real_one(craft):
    good = craft.one_column(craft.INTEGER, [craft.page(body(craft), 2)], 2)
    for size in (0, 2**24 + 1, 2**32 - 1, len(good)):
        refused(good[:-8] + size.to_bytes(4, "little") + b"PAR1")
    refused(b"PARE" + good[4:-4] + b"PARE", "not a Parquet file")


def test_refuses_columns_of_other_files_and_encrypted_ones(craft):
    def file(column):
        columns = (LIST, (STRUCT, [column]))
        group = {1: columns, 2: (I64, 0), 3: (I64, 2)}
        root = {4: (BINARY, b"schema"), 5: (I32, 1)}
        whole = {
            1: (I32, 2),
            2: (LIST, (STRUCT, [root, craft.leaf(b"x", craft.INTEGER)])),
            3: (I64, 2),
            4: (LIST, (STRUCT, [group])),
        }
        written = craft.thrift(whole)
        return b"PAR1" + written + len(written).to_bytes(4, "little") + b"PAR1"

    refused(file({1: (BINARY, b"other.parquet"), 2: (I64, 0)}), "another file")
    refused(file({2: (I64, 0), 8: (STRUCT, {})}), "encrypted column")
    refused(file({2: (I64, 0)}), "without its description")
    refused(encrypted(craft), "encrypted footer")


def encrypted(craft):
    written = craft.thrift({1: (I32, 2), 8: (STRUCT, {})})
    return b"PAR1" + written + len(written).to_bytes(4, "little") + b"PAR1"
