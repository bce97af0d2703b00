"""Which texts a type takes, case by case (docs/formats.md 2.2: exact or a reject)."""

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from zhixin_connectors.grammar import Reading, Unfit, parse_text

UTC = pa.timestamp("us", tz="UTC")
NAIVE = pa.timestamp("us")
TIME = pa.time64("us")
LIST = pa.list_(pa.int64())
STRUCT = pa.struct([("a", pa.int64()), ("b", pa.string())])


def utc(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC)


def naive(*parts):
    return dt.datetime(*parts)  # noqa: DTZ001 (without an offset on purpose)


ACCEPTED = [
    (pa.int64(), "5", 5),
    (pa.int64(), "-5", -5),
    (pa.int64(), "+5", 5),
    (pa.int64(), "007", 7),
    (pa.int64(), "5.000", 5),
    (pa.int64(), "-0", 0),
    (pa.int64(), "9223372036854775807", 2**63 - 1),
    (pa.int64(), "-9223372036854775808", -(2**63)),
    (pa.uint64(), "18446744073709551615", 2**64 - 1),
    (pa.decimal128(5, 2), "1.10", Decimal("1.10")),
    (pa.decimal128(5, 2), "1.100000", Decimal("1.10")),
    (pa.decimal128(5, 2), "000000000000001.5", Decimal("1.50")),
    (pa.decimal128(5, 2), ".5", Decimal("0.50")),
    (pa.decimal128(5, 2), "-0.00", Decimal(0)),
    (pa.decimal128(5, 5), "0.99999", Decimal("0.99999")),
    (pa.float64(), "0.1", 0.1),
    (pa.float64(), "1e-7", 1e-7),
    (pa.float64(), "9007199254740992", 2.0**53),
    (pa.float64(), "1152921504606847000", 2.0**60),
    (pa.float64(), "10.357019999999999", 10.357019999999999),
    (pa.bool_(), "TRUE", True),
    (pa.bool_(), "f", False),
    (pa.bool_(), "0", False),
    (pa.date32(), "2024-02-29", dt.date(2024, 2, 29)),
    (pa.date32(), "0001-01-01", dt.date(1, 1, 1)),
    (pa.date32(), "9999-12-31", dt.date(9999, 12, 31)),
    (pa.date32(), "2024-01-05 00:00:00.000", dt.date(2024, 1, 5)),
    (TIME, "23:59:59.999999", dt.time(23, 59, 59, 999999)),
    (TIME, "09:30", dt.time(9, 30)),
    (TIME, "09:30:00.1230000000", dt.time(9, 30, 0, 123000)),
    (NAIVE, "2024-01-05T09:30:00.5", naive(2024, 1, 5, 9, 30, 0, 500000)),
    (NAIVE, "2024-01-05 09:30", naive(2024, 1, 5, 9, 30)),
    (UTC, "2024-01-05T09:00:00+08:00", utc(2024, 1, 5, 1)),
    (UTC, "2024-01-05 09:00:00+0800", utc(2024, 1, 5, 1)),
    (UTC, "2024-01-05 09:00:00-03", utc(2024, 1, 5, 12)),
    (UTC, "2024-01-05T09:00:00Z", utc(2024, 1, 5, 9)),
    (pa.string(), " \u0000１ ", " \u0000１ "),
    (pa.binary(), "AP8=", b"\x00\xff"),
    (LIST, "[1, null, 1e2]", [1, None, 100]),
    (LIST, "null", None),
    (STRUCT, '{"b":"x","a":2.0}', {"a": 2, "b": "x"}),
]

REFUSED = [
    (pa.int64(), "1e3", "exponent"),
    (pa.int64(), "5.5", "fraction"),
    (pa.int64(), "9223372036854775808", "64 bits"),
    (pa.int64(), "0x10", "not an integer"),
    (pa.int64(), "1_000", "not an integer"),
    (pa.int64(), "1,200", "not an integer"),
    (pa.int64(), " 5", "not an integer"),
    (pa.int64(), "5\n", "not an integer"),
    (pa.int64(), "５", "not an integer"),
    (pa.int64(), "", "not an integer"),
    (pa.int64(), ".", "not an integer"),
    (pa.int64(), "9" * 5000, "too many digits"),
    (pa.uint64(), "-1", "below zero"),
    (pa.uint64(), "18446744073709551616", "64 bits"),
    (pa.decimal128(5, 2), "1.005", "more than 2 decimals"),
    (pa.decimal128(5, 2), "1000", "more than 3 digits"),
    (pa.decimal128(5, 2), "NaN", "not a decimal"),
    (pa.decimal128(5, 2), "9.90101E+17", "exponent"),
    (pa.float64(), "NaN", "finite"),
    (pa.float64(), "-Infinity", "finite"),
    (pa.float64(), "1e400", "range"),
    (pa.float64(), "1e-400", "range"),
    (pa.float64(), "9007199254740993", "exactly"),
    (pa.float64(), "1,5", "not a number"),
    (pa.bool_(), "2", "not a boolean"),
    (pa.bool_(), "yes", "not a boolean"),
    (pa.date32(), "2021-02-29", "calendar"),
    (pa.date32(), "0000-00-00", "calendar"),
    (pa.date32(), "10000-01-01", "not a date"),
    (pa.date32(), "infinity", "not a date"),
    (pa.date32(), "0044-03-15 BC", "not a date"),
    (pa.date32(), "2021-3-5", "not a date"),
    (pa.date32(), "20210305", "not a date"),
    (pa.date32(), "２０２１-03-05", "not a date"),
    (pa.date32(), "2024-01-05 09:00:00", "time of day"),
    (pa.date32(), "2024-01-05 00:00:00Z", "time of day"),
    (TIME, "24:00:00", "24:00"),
    (TIME, "23:59:60", "24:00"),
    (TIME, "-00:30:00", "not a time"),
    (TIME, "09:00:00+08", "not a time"),
    (TIME, "09:00:00.1234567", "microsecond"),
    (NAIVE, "2024-01-05", "without a time"),
    (NAIVE, "2024-01-05T24:00:00", "24:00"),
    (NAIVE, "2024-01-05T09:00:00Z", "offset"),
    (NAIVE, "2024-01-05t09:00:00", "not a timestamp"),
    (UTC, "2024-01-05T09:00:00", "names no time zone"),
    (UTC, "2024-01-05T09:00:00+24:00", "not an offset"),
    (UTC, "0001-01-01T00:00:00+01", "years"),
    (UTC, "9999-12-31T23:59:59-01", "years"),
    (pa.binary(), "AP8", "base64"),
    (pa.binary(), "AP9=", "base64"),
    (pa.binary(), "A P8=", "base64"),
    (LIST, "[1,", "not JSON"),
    (LIST, "[NaN]", "not finite"),
    (LIST, '["x"]', "not an integer"),
    (LIST, "[" * 100_000, "nested more than 64 deep"),
    (STRUCT, '{"a":1,"a":2,"b":null}', "twice"),
    (STRUCT, '{"a":1}', "other members"),
    (STRUCT, '{"a":1,"b":true}', "boolean"),
    (pa.list_(pa.string()), '["\\ud800"]', "surrogate"),
    (LIST, "[1e99999]", "range"),
]


@pytest.mark.parametrize(("wanted", "text", "value"), ACCEPTED)
def test_takes_what_the_type_says_exactly(wanted, text, value):
    assert parse_text(text, wanted, Reading()) == value


@pytest.mark.parametrize(("wanted", "text", "reason"), REFUSED)
def test_refuses_what_the_type_cannot_say(wanted, text, reason):
    with pytest.raises(Unfit, match=reason) as refusal:
        parse_text(text, wanted, Reading())
    assert len(text) < 3 or text not in str(refusal.value)


def test_negative_zero_of_a_float_keeps_its_sign():
    assert str(parse_text("-0", pa.float64(), Reading())) == "-0.0"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-07-01 12:00:00", utc(2024, 7, 1, 16)),
        ("2050-07-01 12:00:00", utc(2050, 7, 1, 16)),
        ("2024-07-01 12:00:00Z", utc(2024, 7, 1, 12)),
        ("2024-03-10 02:30:00", "does not exist"),
        ("2024-11-03 01:30:00", "happened twice"),
    ],
)
def test_a_named_zone_reads_local_times_and_refuses_those_that_are_none_or_two(text, value):
    reading = Reading(zone=ZoneInfo("America/New_York"))
    if isinstance(value, str):
        with pytest.raises(Unfit, match=value):
            parse_text(text, UTC, reading)
    else:
        assert parse_text(text, UTC, reading) == value


def test_binary_is_read_as_the_source_writes_it():
    assert parse_text("00fF", pa.binary(), Reading(binary="hex")) == b"\x00\xff"
    assert parse_text("\\x00ff", pa.binary(), Reading(binary="pg")) == b"\x00\xff"
    for text, binary in (("00f", "hex"), ("eA==", ""), ("zz", "pg")):
        with pytest.raises(Unfit):
            parse_text(text, pa.binary(), Reading(binary=binary))
