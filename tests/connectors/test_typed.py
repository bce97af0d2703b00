"""Arrow columns and drivers' values as the wanted types."""

import datetime as dt
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_connectors.columns import from_values, null_words
from zhixin_connectors.grammar import Reading
from zhixin_connectors.typed import cast_typed, raw_texts

UTC = pa.timestamp("us", tz="UTC")
NS = pa.timestamp("ns")
BAD = object()
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DEEP = pa.list_(pa.list_(pa.list_(pa.int64())))


def ints(values, kind):
    return pa.array(values, pa.int64()).view(kind)


COLUMNS = [
    (pa.array([5.0, -0.0, 5.5, 1e20, float("nan")]), pa.int64(), [5, 0, BAD, BAD, BAD]),
    (pa.array([2.0**53, 2.890820399946209e16, 1e17]), pa.int64(), [2**53, BAD, 10**17]),
    (pa.array([Decimal("5.000"), Decimal("5.5")]), pa.int64(), [5, BAD]),
    (pa.array([2**64 - 1, 1], pa.uint64()), pa.int64(), [BAD, 1]),
    (pa.array([2**64 - 1, 1], pa.uint64()), pa.uint64(), [2**64 - 1, 1]),
    (pa.array([-1, 1], pa.int8()), pa.uint64(), [BAD, 1]),
    (pa.array([True]), pa.int64(), [BAD]),
    (pa.array([0.1, 1e22, 0.001]), pa.decimal128(5, 2), [Decimal("0.10"), BAD, BAD]),
    (pa.array([5, 1000], pa.int32()), pa.decimal128(5, 2), [Decimal("5.00"), BAD]),
    (pa.array([Decimal("1.10"), Decimal("1.11")]), pa.decimal128(5, 1), [Decimal("1.1"), BAD]),
    (pa.array([0.1], pa.float32()), pa.float64(), [0.10000000149011612]),
    (pa.array([1.5, float("inf"), float("nan"), None]), pa.float64(), [1.5, BAD, BAD, None]),
    (pa.array([2**53, 2**53 + 1]), pa.float64(), [2.0**53, BAD]),
    (pa.array([Decimal("0.1")]), pa.float64(), [0.1]),
    (pa.array([1, 0, 2, None]), pa.bool_(), [True, False, BAD, None]),
    (pa.array([0.0]), pa.bool_(), [BAD]),
    (pa.array(["a", "b", "a"]).dictionary_encode(), pa.string(), ["a", "b", "a"]),
    (pa.array(["7", "x"], pa.large_string()), pa.int64(), [7, BAD]),
    (pa.array(["a"], pa.string_view()), pa.string(), ["a"]),
    (pa.array([b"a"]), pa.string(), [BAD]),
    (pa.array([b"abcd"], pa.binary(4)), pa.binary(), [b"abcd"]),
    (pa.array(["YWJj"]), pa.binary(), [BAD]),
    (pa.array([5], pa.int16()), pa.string(), ["5"]),
    (pa.array([5.0, 1e21]), pa.string(), ["5", "1e+21"]),
    (ints([0, 86_400_000], pa.date64()), pa.date32(), [dt.date(1970, 1, 1), dt.date(1970, 1, 2)]),
    (ints([0, 1], pa.timestamp("us")), pa.date32(), [dt.date(1970, 1, 1), BAD]),
    (ints([0], UTC), pa.date32(), [BAD]),
    (pa.array([2_932_897], pa.int32()).view(pa.date32()), pa.date32(), [BAD]),
    (ints([0, 86_400_000_000, -1], pa.time64("us")), pa.time64("us"), [dt.time(), BAD, BAD]),
    (ints([1_000, 1], pa.time64("ns")), pa.time64("us"), [dt.time(0, 0, 0, 1), BAD]),
    (ints([0, 1], NS), UTC, [BAD, BAD]),
    (ints([0], UTC), pa.timestamp("us"), [BAD]),
    (ints([2**62, 0], pa.timestamp("us")), pa.timestamp("us"), [BAD, EPOCH.replace(tzinfo=None)]),
    (ints([0, 1], pa.timestamp("ns", "Asia/Tokyo")), UTC, [EPOCH, BAD]),
    (ints([1], pa.timestamp("s", "Asia/Tokyo")), UTC, [EPOCH + dt.timedelta(seconds=1)]),
    (ints([1], pa.duration("us")), pa.time64("us"), [BAD]),
    (pa.nulls(2), pa.date32(), [None, None]),
    (pa.array([[1.0], [1.5], None, []]), pa.list_(pa.int64()), [[1], BAD, None, []]),
    (pa.array([[1, None]], pa.large_list(pa.int8())), pa.list_(pa.int64()), [[1, None]]),
    (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), pa.list_(pa.int64()), [[1, 2]]),
    (pa.array([1]), pa.list_(pa.int64()), [BAD]),
    (
        pa.array([{"b": "x", "a": 1.0}, {"b": "y", "a": 1.5}, None]),
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
        [{"a": 1, "b": "x"}, BAD, None],
    ),
    (pa.array([{"a": 1}]), pa.struct([("b", pa.int64())]), [BAD]),
    (pa.array([[[["1"], ["x"]]], [[["2"]]]]), DEEP, [BAD, [[[2]]]]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "wanted", "values"), COLUMNS)
def test_a_column_is_exact_or_a_misfit(column, wanted, values):
    for padded in (column, pa.concat_arrays([column, column]).slice(len(column))):
        cast = cast_typed(padded, wanted, Reading(binary=""))
        cast.array.validate(full=True)
        assert cast.array.type == wanted
        assert cast.array.to_pylist() == [None if v is BAD else v for v in values]
        assert [row for row, _ in cast.misfits] == [r for r, v in enumerate(values) if v is BAD]
        assert all(raw_texts(padded, [row])[0] is not None for row, _ in cast.misfits)


def test_a_uuid_is_text_and_its_text_is_its_raw_text():
    known = uuid.UUID(int=5)
    column = pa.array([known.bytes], pa.uuid())
    assert cast_typed(column, pa.string(), Reading()).array.to_pylist() == [str(known)]
    assert raw_texts(column, [0]) == [str(known)]


def test_values_of_several_kinds_in_one_column_are_judged_one_by_one():
    column = from_values([None, 42, "abc", 1.5, b"\0\xff", 2**63, "7", True, Decimal("9.0")])
    cast = column.cast(pa.int64(), Reading(binary=""))
    assert cast.array.to_pylist() == [None, 42, None, None, None, None, 7, None, 9]
    assert [row for row, _ in cast.misfits] == [2, 3, 4, 5, 7]
    assert column.raw([4, 5, 0, 2]) == ["\\x00ff", "9223372036854775808", None, "abc"]


def test_times_with_and_without_offset_in_one_column_are_not_mixed_up():
    naive = dt.datetime(2024, 1, 1)  # noqa: DTZ001
    aware = dt.datetime(2024, 1, 1, 8, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    cast = from_values([naive, aware]).cast(UTC, Reading())
    assert cast.array.to_pylist() == [None, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]
    cast = from_values([naive, aware, aware.timetz()]).cast(pa.timestamp("us"), Reading())
    assert cast.array.to_pylist() == [naive, None, None]


def test_local_times_become_instants_by_the_named_zone():
    local = [(2024, 7, 1, 12), (2050, 7, 1, 12), (2024, 3, 10, 2, 30), (2024, 11, 3, 1, 30)]
    column = pa.array([dt.datetime(*each) for each in local] + [None])  # noqa: DTZ001
    reading = Reading(zone=ZoneInfo("America/New_York"))
    cast = cast_typed(column, UTC, reading)
    read = [dt.datetime(year, 7, 1, 16, tzinfo=dt.UTC) for year in (2024, 2050)]
    assert cast.array.to_pylist() == [*read, None, None, None]
    assert [row for row, _ in cast.misfits] == [2, 3]
    assert cast_typed(column.slice(0, 2), UTC, reading).array.to_pylist() == read
    assert cast_typed(column.slice(0, 1), UTC, reading).array.to_pylist() == read[:1]


def test_a_duration_is_shown_as_mysql_writes_it():
    column = from_values([dt.timedelta(hours=25, minutes=30), -dt.timedelta(minutes=30)])
    cast = column.cast(pa.time64("us"), Reading())
    assert [row for row, _ in cast.misfits] == [0, 1]
    assert column.raw([0, 1]) == ["25:30:00", "-00:30:00"]


def test_lone_surrogates_are_no_text():
    column = from_values(["a\udcffb", "ok", None])
    cast = column.cast(pa.string(), Reading())
    assert cast.array.to_pylist() == [None, "ok", None]
    assert column.raw([0]) == ["a\\xffb"]


def test_null_words_touch_texts_only():
    column = from_values(["NA", 5, None], ["NA", "5"])
    assert column.cast(pa.int64(), Reading()).array.to_pylist() == [None, 5, None]
    numbers = from_values([5])
    assert null_words(numbers, ["5"]) is numbers


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.decimals(),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    st.timedeltas(),
    st.uuids(),
)
WANTED = st.sampled_from(
    [
        pa.int64(),
        pa.uint64(),
        pa.float64(),
        pa.decimal128(20, 5),
        pa.string(),
        pa.binary(),
        pa.bool_(),
        pa.date32(),
        pa.time64("us"),
        pa.timestamp("us"),
        UTC,
        pa.list_(pa.int64()),
        pa.struct([("a", pa.string())]),
    ]
)


@given(values=st.lists(scalars, max_size=8), wanted=WANTED)
def test_no_value_raises_and_none_is_lost(values, wanted):
    column = from_values(values)
    cast = column.cast(wanted, Reading(binary=""))
    cast.array.validate(full=True)
    bad = {row for row, _ in cast.misfits}
    for row, (value, read) in enumerate(zip(values, cast.array.to_pylist(), strict=True)):
        assert (read is None) == (value is None or row in bad)
    raw = column.raw(range(len(values)))
    assert [text is None for text in raw] == [value is None for value in values]
