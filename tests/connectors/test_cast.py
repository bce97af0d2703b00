"""The cast in bulk says the same as the grammar, for whatever text, and loses nothing."""

import datetime as dt
import math
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from zhixin_connectors.cast import cast_texts
from zhixin_connectors.grammar import Reading, Unfit, parse_text

UTC = pa.timestamp("us", tz="UTC")
TYPES = [
    pa.int64(),
    pa.uint64(),
    pa.float64(),
    pa.decimal128(5, 2),
    pa.decimal128(38, 18),
    pa.decimal128(4, 4),
    pa.bool_(),
    pa.date32(),
    pa.time64("us"),
    pa.timestamp("us"),
    UTC,
    pa.string(),
    pa.binary(),
    pa.list_(pa.float64()),
]
READINGS = [Reading(), Reading(zone=ZoneInfo("America/New_York"), binary="hex")]

numbers = st.from_regex(r"[+-]?[0-9]{0,22}\.?[0-9]{0,8}(?:[eE][+-]?[0-9]{1,3})?", fullmatch=True)
times = st.builds(
    "{:04d}-{:02d}-{:02d}{}{:02d}:{:02d}{}{}".format,
    st.integers(0, 9999),
    st.integers(0, 13),
    st.integers(0, 32),
    st.sampled_from(["T", " ", "", "t"]),
    st.integers(0, 25),
    st.integers(0, 61),
    st.sampled_from(["", ":00", ":59.5", ":60", ":01.1234567", ":01.1234560"]),
    st.sampled_from(["", "Z", "+08", "-0330", "+08:00", "+24:00", "z"]),
)
texts = st.one_of(
    numbers,
    times,
    times.map(lambda text: text[:10]),
    times.map(lambda text: text[11:]),
    st.sampled_from(
        ["", "true", "T", "0x10", "inf", "-nan", "NaN", "1_0", "１", "٣", "[1.5]", "AP8="]
    ),
    st.text(alphabet="0123456789+-.eExX :TZ\n\u0000", max_size=12),
    st.text(max_size=8),
)


def slowly(text, wanted, reading):
    try:
        return parse_text(text, wanted, reading), None
    except Unfit as unfit:
        return None, str(unfit)


@pytest.mark.parametrize("wanted", TYPES, ids=str)
@pytest.mark.parametrize("reading", READINGS, ids=["plain", "zone"])
@given(column=st.lists(st.none() | texts, max_size=12))
@example(column=["1", "2"])
@example(column=["1e400", "1"])
@example(column=["0x10"])
@example(column=["2050-07-01 12:00:00", "2024-03-10 02:30:00"])
@example(column=["2050-07-01 12:00:00"])
@example(column=["1880-07-01 12:00:00"])
@example(column=["nan"])
@example(column=["1.5", "-inf"])
@example(column=["0000-01-01", "2024-01-01"])
@example(column=["0001-01-01T00:00+08", "0000-12-31T23:00-03"])
@example(column=["9007199254740993", "1e-400", "0e5"])
@example(column=["100.0", "00000000000.5"])
def test_bulk_and_grammar_agree_on_every_text(wanted, reading, column):
    cast = cast_texts(pa.array(column, pa.string()), wanted, reading)
    cast.array.validate(full=True)
    assert cast.array.type == wanted
    expected = [(None, None) if text is None else slowly(text, wanted, reading) for text in column]
    assert cast.misfits == [(row, why) for row, (_, why) in enumerate(expected) if why]
    wrapped = pa.array([value for value, _ in expected], wanted)
    assert cast.array.equals(wrapped)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_every_integer_comes_back(values):
    assert back(map(str, values), pa.int64()) == values


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_every_unsigned_comes_back(values):
    assert back(map(str, values), pa.uint64()) == values


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_every_float_comes_back_to_the_bit(values):
    read = back(map(repr, values), pa.float64())
    assert [value.hex() for value in read] == [value.hex() for value in values]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False).filter(lambda v: abs(v) < 1e21)))
def test_every_float_written_out_without_exponent_comes_back(values):
    """As ECMAScript, so the canonical form, writes it."""
    written = [format(Decimal(repr(value)), "f").removesuffix(".0") for value in values]
    read = back(written, pa.float64())
    assert [value.hex() for value in read] == [value.hex() for value in values]


@given(st.lists(st.decimals(1 - 10**20, 10**20 - 1, places=18, allow_nan=False)))
def test_every_decimal_comes_back(values):
    assert back((format(value, "f") for value in values), pa.decimal128(38, 18)) == values


@given(st.lists(st.datetimes(timezones=st.just(dt.UTC))))
def test_every_instant_comes_back(values):
    written = [value.isoformat().replace("+00:00", "Z") for value in values]
    assert back(written, UTC) == values
    naive = [value.replace(tzinfo=None) for value in values]
    assert back((value.isoformat(" ") for value in naive), pa.timestamp("us")) == naive


@given(st.lists(st.dates()), st.lists(st.times()))
def test_every_date_and_time_comes_back(dates, clocks):
    assert back(map(str, dates), pa.date32()) == dates
    assert back(map(str, clocks), pa.time64("us")) == clocks


@given(st.lists(numbers))
def test_a_number_that_is_taken_is_the_number_of_the_text(column):
    for wanted in (pa.int64(), pa.decimal128(10, 3)):
        read = cast_texts(pa.array(column, pa.string()), wanted, Reading())
        for text, value in zip(column, read.array.to_pylist(), strict=True):
            assert value is None or Decimal(text) == value


@given(st.lists(numbers))
def test_a_float_that_is_taken_is_the_nearest_to_the_text(column):
    read = cast_texts(pa.array(column, pa.string()), pa.float64(), Reading())
    for text, value in zip(column, read.array.to_pylist(), strict=True):
        assert value is None or (math.isfinite(value) and value == float(text))


def back(written, wanted):
    cast = cast_texts(pa.array(list(written), pa.string()), wanted, Reading())
    assert cast.misfits == []
    return cast.array.to_pylist()


def test_a_slice_is_read_like_a_whole():
    column = pa.array(["0x1", "5", None, "x", "7"]).slice(1)
    cast = cast_texts(column, pa.int64(), Reading())
    assert cast.array.to_pylist() == [5, None, None, 7]
    assert cast.misfits == [(2, "not an integer")]
