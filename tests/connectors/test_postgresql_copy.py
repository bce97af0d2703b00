"""PostgreSQL's binary COPY as the kernel decodes it: in whatever pieces it comes, and broken."""

import struct
from itertools import pairwise

import pyarrow as pa
import pytest
import zhixin_kernel
from hypothesis import given
from hypothesis import strategies as st
from zhixin_connectors import postgresql_copy, postgresql_source
from zhixin_connectors.postgresql_copy import CopySession
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import PermanentSourceError, TransientSourceError

FORMS = ["int2", "int4", "int8", "float4", "float8", "bool", "text", "bytes", "date", "time",
         "timestamp", "instant"]  # fmt: skip
PACK = [">h", ">i", ">q", ">f", ">d", ">?", None, None, ">i", ">q", ">q", ">q"]
HEAD = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
ROW = (-2, 2**31 - 1, -(2**63), 0.1, 5e-324, True, "甲\U0010ffff", b"\0\xff", 0, 1, 0, 2**63 - 1)
WRAPPED = (2**63 - 1 + 946_684_800_000_000 + 2**63) % 2**64 - 2**63
SHOWN = [
    *ROW[:3], struct.unpack(">f", struct.pack(">f", 0.1))[0], *ROW[4:8],
    10_957, 1, 946_684_800_000_000, WRAPPED,
]  # fmt: skip


class Taken:
    def __init__(self, capsules):
        self.capsules = capsules

    def __arrow_c_array__(self, requested_schema=None):
        return self.capsules


def message(kind, body):
    return kind + struct.pack(">I", len(body) + 4) + body


READY = message(b"Z", b"T")


def row(values):
    cells = []
    for value, form in zip(values, PACK, strict=True):
        data = value.encode() if isinstance(value, str) else value
        if value is not None and form is not None:
            data = struct.pack(form, value)
        cells.append(
            struct.pack(">i", -1) if value is None else struct.pack(">i", len(data)) + data
        )
    return struct.pack(">h", len(values)) + b"".join(cells)


def stream(rows):
    bodies = [row(each) for each in rows] + [struct.pack(">h", -1)]
    bodies[0] = HEAD + bodies[0]
    return b"".join([
        message(b"H", b"\1\0\0"), *(message(b"d", body) for body in bodies),
        message(b"c", b""), message(b"C", b"COPY 1\0"), READY,
    ])  # fmt: skip


def decoded(chunks, most_rows=1_000, most_bytes=1 << 20):
    decoder = zhixin_kernel.CopyDecoder(FORMS, most_rows=most_rows, most_bytes=most_bytes)
    batches = []
    for chunk in chunks:
        full = decoder.feed(chunk)
        while full:
            batches.append(pa.record_batch(Taken(decoder.take())))
            full = decoder.feed(b"")
    if decoder.rows:
        batches.append(pa.record_batch(Taken(decoder.take())))
    for batch in batches:
        batch.validate(full=True)
    return decoder, batches


def numbers(batch):
    """Days and microseconds as numbers: some are beyond Python's dates."""
    columns = [
        column.view(pa.int64() if column.type.bit_width == 64 else pa.int32())
        if pa.types.is_temporal(column.type)
        else column
        for column in batch.columns
    ]
    return pa.record_batch(columns, names=batch.schema.names).to_pylist()


@given(
    rows=st.lists(st.lists(st.booleans(), min_size=12, max_size=12), max_size=9),
    ends=st.lists(st.integers(0, 10_000), max_size=20),
    most_rows=st.integers(1, 5),
)
def test_it_does_not_matter_in_which_pieces_it_comes(rows, ends, most_rows):
    sent = [[cell if keep else None for cell, keep in zip(ROW, row, strict=True)] for row in rows]
    data = stream(sent)
    edges = [0, *sorted(end % len(data) for end in ends), len(data)]
    pieces = [data[low:high] for low, high in pairwise(edges)]
    decoder, batches = decoded(pieces, most_rows)
    assert decoder.ready
    assert decoder.error is None
    assert all(batch.num_rows <= most_rows for batch in batches)
    assert [list(each.values()) for batch in batches for each in numbers(batch)] == [
        [cell if keep else None for cell, keep in zip(SHOWN, row, strict=True)] for row in rows
    ]


def test_a_batch_ends_by_its_bytes_too():
    _, batches = decoded([stream([ROW] * 6)], most_bytes=2 * len(row(ROW)))
    assert [batch.num_rows for batch in batches] == [2, 2, 2]


@given(at=st.integers(0, 400), bit=st.integers(0, 7), cut=st.integers(0, 400))
def test_what_is_broken_is_refused_or_read_as_it_stands(at, bit, cut):
    data = bytearray(stream([ROW, ROW]))
    data[at % len(data)] ^= 1 << bit
    try:
        _, batches = decoded([bytes(data[: len(data) - cut % len(data)])])
    except ValueError:
        return
    assert sum(batch.num_rows for batch in batches) <= 2


@pytest.mark.parametrize(
    "data",
    [
        message(b"d", b"PGCOPY\n\xff\r\n\1" + HEAD[11:] + row(ROW)),
        message(b"d", HEAD[:11] + struct.pack(">ii", 1 << 16, 0) + row(ROW)),
        message(b"d", HEAD + row(ROW)[:-1]),
        message(b"d", HEAD + struct.pack(">h", 3)),
        message(b"d", HEAD + row(ROW) + b"\0"),
        message(b"D", b""),
        b"H\0\0\0\3",
    ],
    ids=["signature", "flags", "cut", "columns", "more", "kind", "size"],
)
def test_another_form_is_refused(data):
    with pytest.raises(ValueError, match=r"\w"):
        decoded([data])


def test_a_text_that_is_not_utf8_is_refused():
    with pytest.raises(ValueError, match="UTF-8"):
        decoded([stream([ROW]).replace("甲".encode(), b"\xff\xfe\xfd")])


def test_what_the_server_says_of_an_error_is_kept():
    said = message(b"E", b"SERROR\0C22012\0Mdivision by zero\0\0") + message(b"Z", b"E")
    decoder, batches = decoded([stream([ROW])[: -len(READY)], said])
    assert decoder.ready
    assert dict(decoder.error)["C"] == "22012"
    assert len(batches) == 1


NUMBERS = pa.schema({"n": pa.int64()})


def test_an_error_in_the_middle_keeps_its_code(postgresql_url):
    query = "SELECT 100000 / (90000 - n) AS n FROM generate_series(1, 100000) n"
    with pytest.raises(PermanentSourceError, match="22012"):
        list(open_source(postgresql_url).read(ReadRequest(query, NUMBERS)))


def test_a_server_that_ends_the_connection_is_tried_again(postgresql_url):
    query = (
        "SELECT CASE n WHEN 90000 THEN pg_terminate_backend(pg_backend_pid())::int ELSE n END AS n "
        "FROM generate_series(1, 100000) n"
    )
    with pytest.raises(TransientSourceError):
        list(open_source(postgresql_url).read(ReadRequest(query, NUMBERS)))


@pytest.mark.parametrize("installed", [True, False])
def test_a_connection_that_is_encrypted_is_read_by_another(postgresql_url, monkeypatch, installed):
    begun = []
    own = postgresql_source.PostgresSource._begun

    def told(source, stack, kind, snapshot):
        begun.append(kind.__name__)
        return own(source, stack, kind, snapshot)

    monkeypatch.setattr(postgresql_source.PostgresSource, "_begun", told)
    monkeypatch.setattr(postgresql_source.postgresql_adbc, "is_installed", lambda: installed)
    monkeypatch.setattr(CopySession, "in_the_clear", False)
    query = ReadRequest("SELECT 1::int8 AS n", NUMBERS)
    assert [each.batch["n"].to_pylist() for each in open_source(postgresql_url).read(query)] == [
        [1]
    ]
    assert begun == ["CopySession", "AdbcSession" if installed else "TextSession"]


def test_a_kernel_that_is_off_or_of_another_protocol_is_not_called(monkeypatch):
    assert postgresql_copy.is_installed()
    with monkeypatch.context() as patch:
        patch.setenv("ZHIXIN_KERNEL", "pure")
        assert not postgresql_copy.is_installed()
    monkeypatch.setattr(zhixin_kernel, "PROTOCOL", zhixin_kernel.PROTOCOL + 1)
    assert not postgresql_copy.is_installed()
