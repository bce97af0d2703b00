"""Spans leave nothing out, overlap nowhere, and come back from JSON as they went."""

import datetime as dt
from decimal import Context, Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_connectors.protocol import Span
from zhixin_connectors.spans import Bounds, inside
from zhixin_gateway.pipeline import spans
from zhixin_schemas.partitioning import Partitioning

INSTANTS = st.datetimes()
KINDS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.decimal128(38, 2): st.integers(-(10**38) + 1, 10**38 - 1).map(
        lambda units: Decimal(units).scaleb(-2, Context(prec=100))
    ),
    pa.date32(): st.dates(),
    pa.timestamp("us"): INSTANTS,
    pa.timestamp("us", "UTC"): INSTANTS.map(lambda when: when.replace(tzinfo=dt.UTC)),
}


def bounds(kind, low, high):
    return Bounds(pa.scalar(low, kind), pa.scalar(high, kind), 0)


def held(values, kind, found):
    """How many spans have each value."""
    column = pa.array(values, kind)
    return [
        sum(mask)
        for mask in zip(*(inside(column, span).to_pylist() for span in found), strict=True)
    ]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_value_is_in_exactly_one_span_whatever_was_seen_of_the_bounds(kind):
    @given(st.lists(KINDS[kind], min_size=2, max_size=8), st.integers(2, 9))
    def check(values, count):
        low, high = sorted(values[:2])
        found = spans.even_spans(Partitioning("x", count), bounds(kind, low, high))
        assert 1 <= len(found) <= count
        assert held([None, low, high, *values], kind, found) == [1] * (3 + len(values))
        told = [spans.to_json(span) for span in found]
        assert [spans.from_json(each, kind) for each in told] == found

    check()


def test_spans_are_as_wide_as_each_other():
    told = [
        spans.to_json(span)
        for span in spans.even_spans(Partitioning("x", 4), bounds(pa.int64(), 1, 100))
    ]
    assert [(each["low"], each["high"], each["nulls"]) for each in told] == [
        (None, "26", True),
        ("26", "51", False),
        ("51", "76", False),
        ("76", None, False),
    ]


def test_a_source_without_values_is_one_span_of_everything():
    [span] = spans.even_spans(Partitioning("x", 4), bounds(pa.int64(), None, None))
    assert span == Span("x", nulls=True)


def test_few_values_make_few_spans():
    assert len(spans.even_spans(Partitioning("x", 9), bounds(pa.int64(), 7, 9))) == 3


@pytest.mark.parametrize(
    ("kind", "texts", "values"),
    [
        (pa.string(), ("G", "N"), ["A", "G", "M", "N", "智", None]),
        (pa.int64(), ("-5", "10"), [-6, -5, 9, 10, None]),
        (pa.date32(), ("2024-01-01",), [dt.date(2023, 12, 31), dt.date(2024, 1, 1)]),
        (pa.decimal128(8, 2), ("1.5", "20.00"), [Decimal("1.49"), Decimal("1.50")]),
    ],
)
def test_spans_begin_at_the_values_that_a_contract_gives(kind, texts, values):
    found = spans.given_spans(Partitioning("x", len(texts) + 1, texts), kind)
    assert len(found) == len(texts) + 1
    assert held(values, kind, found) == [1] * len(values)
    assert [spans.from_json(spans.to_json(span), kind) for span in found] == found


def test_the_numbers_of_a_later_span_are_behind_those_of_all_before():
    assert spans.row_base(1) == spans.ROWS_OF_A_SPAN
    assert spans.row_base(999) + spans.ROWS_OF_A_SPAN < 2**63
