"""Thrift's compact protocol: what it means, and that hostile bytes only ever give a refusal."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import VerificationError
from zhixin_gateway.datasets.footer import Chunk, read_footer, read_pages
from zhixin_gateway.datasets.thrift import (
    BINARY,
    I32,
    I64,
    LIST,
    STRUCT,
    ThriftReader,
    boolean,
    integer,
    optional,
)


def read(text, budget=100):
    data = bytes.fromhex(text)
    return ThriftReader(memoryview(data), 0, len(data), budget).struct()


def test_reads_fields_by_number_and_kind():
    fields = read("15 03  16 808004  18 02 6162  11  12  19 25 02 04  1c 15 01 00  00")
    assert integer(fields, 1) == -2
    assert integer(fields, 2, I64) == 32_768
    assert optional(fields, 3, BINARY) == b"ab"
    assert boolean(fields, 4) is True
    assert boolean(fields, 5) is False
    assert optional(fields, 6, LIST) == [1, 2]
    assert integer(optional(fields, 7, STRUCT), 1) == -1
    assert optional(fields, 8, I32) is None
    assert boolean(fields, 8, default=True) is True


def test_skips_kinds_that_parquet_does_not_use():
    fields = read("17 0000000000000000  13 ff  14 02  1a 11 01  1b 00  1b 01 55 02 04  15 06  00")
    assert integer(fields, 7) == 3


def test_a_field_of_another_kind_is_refused():
    fields = read("15 02 00")
    for ask in (lambda: optional(fields, 1, I64), lambda: integer(fields, 1, I64)):
        with pytest.raises(VerificationError, match="another kind"):
            ask()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ends within"),
        ("15", "ends within"),
        ("15 02", "ends within"),
        ("15 02 05 02 02 00", "do not rise"),
        ("15 8080808080 00", "ends within"),
        ("15 8080808010 00", "32 bits"),
        ("16 ffffffffffffffffffff7f 00", "10 bytes"),
        ("18 05 61 00", "longer than the bytes"),
        ("19 f5 7f 00", "longer than the bytes"),
        ("1b 7f 55 00", "longer than the bytes"),
        ("1d 00", "unknown kind"),
        ("1c" * 40 + "00" * 40, "nested deeper"),
        ("19" * 40 + "00" * 40, "nested deeper"),
    ],
)
def test_refuses_what_is_not_in_the_protocol(text, why):
    with pytest.raises(VerificationError, match=why) as caught:
        read(text)
    assert caught.value.code == "record"


def test_reads_no_more_values_than_its_budget():
    assert read("15 02 15 02 00", budget=2)
    with pytest.raises(VerificationError, match="more values"):
        read("15 02 15 02 15 02 00", budget=2)


@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(VerificationError):
        ThriftReader(memoryview(data), 0, len(data), 1000).struct()
    part = b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1"
    with contextlib.suppress(VerificationError):
        read_footer(memoryview(part))
    with contextlib.suppress(VerificationError):
        list(read_pages(memoryview(data), Chunk(6, 0, 5, 0, len(data), 0, None)))
