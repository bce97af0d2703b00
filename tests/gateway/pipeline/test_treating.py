"""Pseudonyms and generalised values: exact, and made before anything is written."""

import datetime as dt
import hmac
from decimal import Context, Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_connectors.protocol import Extracted, Misfit
from zhixin_gateway.datasets.types import schema_fields
from zhixin_gateway.pipeline.treating import WITHHELD, Treater
from zhixin_schemas.loader import load_contract

KEY = bytes(range(32))
HEAD = """apiVersion: v3.2.0
kind: DataContract
id: city.gov.example/people
version: 1.0.0
status: active
name: People
servers: [{server: silo, type: custom}]
schema:
  - name: people
    physicalName: people
    properties:
      - {name: plain, logicalType: string}
"""


def treater(kind, treatment):
    line = (
        f"      - {{name: x, {kind}, "
        f"customProperties: [{{property: zhixin.treatment, value: {treatment}}}]}}\n"
    )
    return Treater(load_contract((HEAD + line).encode()), {"citizen": KEY}.__getitem__)


EVERY_TYPE = """
      - {name: a, logicalType: boolean}
      - {name: b, logicalType: integer}
      - {name: c, logicalType: integer, logicalTypeOptions: {format: u64}}
      - {name: d, logicalType: number, physicalType: 'decimal(38,4)'}
      - {name: e, logicalType: number}
      - {name: f, logicalType: string, logicalTypeOptions: {format: binary}}
      - {name: g, logicalType: date}
      - {name: h, logicalType: time}
      - {name: i, logicalType: timestamp}
      - {name: j, logicalType: timestamp, logicalTypeOptions: {timezone: true}}
      - {name: k, logicalType: array, items: {logicalType: array, items: {logicalType: date}}}
      - {name: l, logicalType: object, properties: [{name: x, logicalType: integer}]}
      - name: m
        logicalType: date
        customProperties: [{property: zhixin.treatment, value: {pseudonym: citizen}}]
"""


def test_the_schema_of_a_contract_is_what_its_manifest_will_say():
    contract = load_contract((HEAD + EVERY_TYPE.lstrip("\n")).encode())
    assert schema_fields(contract.written_schema) == [
        {"name": field.name, "type": field.written_type} for field in contract.fields
    ]


def batch(values, arrow, misfits=(), raw=None):
    columns = [pa.array(["p"] * len(values)), pa.array(values, arrow)]
    whole = pa.record_batch(columns, names=["plain", "x"])
    texts = raw or [None if value is None else str(value) for value in values]

    def source(rows):
        told = [["p"] * len(rows), [texts[row] for row in rows]]
        return pa.record_batch([pa.array(t, pa.string()) for t in told], names=["plain", "x"])

    return Extracted(whole, misfits, 0, source)


def treated(kind, treatment, values, arrow):
    made = treater(kind, treatment).treat(batch(values, arrow))
    return made.extracted.batch.column(1).to_pylist(), made.failed


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.none(), max_size=8))
def test_a_pseudonym_is_the_hmac_of_the_canonical_text(values):
    got, failed = treated("logicalType: string", "{pseudonym: citizen}", values, pa.string())
    assert got == [
        None if v is None else hmac.new(KEY, v.encode(), "sha256").hexdigest() for v in values
    ]
    assert failed == {}


@pytest.mark.parametrize(
    ("kind", "arrow", "value", "text"),
    [
        ("logicalType: integer", pa.int64(), -7, "-7"),
        ("logicalType: date", pa.date32(), dt.date(1949, 12, 31), "1949-12-31"),
        ("logicalType: number", pa.float64(), -0.0, "-0"),
        ("logicalType: number, physicalType: 'decimal(5,2)'", pa.decimal128(5, 2),
         Decimal("7.50"), "7.50"),
        ("logicalType: timestamp", pa.timestamp("us"), dt.datetime.fromisoformat("2024-01-01"),
         "2024-01-01T00:00:00.000000"),
        ("logicalType: string, logicalTypeOptions: {format: binary}", pa.binary(), b"\x00", "AA=="),
    ],
)  # fmt: skip
def test_the_text_of_every_type_is_the_canonical_one(kind, arrow, value, text):
    got, _ = treated(kind, "{pseudonym: citizen}", [value, 0.0 if text == "-0" else None], arrow)
    assert got[0] == hmac.new(KEY, text.encode(), "sha256").hexdigest() != got[1]


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none()), st.integers(1, 2**63 - 1))
def test_an_integer_goes_down_to_a_multiple(values, step):
    treatment = f"{{generalise: {{step: {step}}}}}"
    got, failed = treated("logicalType: integer", treatment, values, pa.int64())
    right = [None if v is None else v // step * step for v in values]
    assert got == [None if v is None or v < -(2**63) else v for v in right]
    lost = [v is not None and v < -(2**63) for v in right]
    assert (failed["x"].tolist() if failed else [False] * len(values)) == lost


@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(1, 1000))
def test_so_does_an_unsigned_one(values, step):
    kind = "logicalType: integer, logicalTypeOptions: {format: u64}"
    got, _ = treated(kind, f"{{generalise: {{step: {step}}}}}", values, pa.uint64())
    assert got == [v // step * step for v in values]


@given(st.lists(st.integers(-(10**37), 10**37)), st.integers(1, 10**20))
def test_a_decimal_goes_down_to_a_multiple_exactly(cents, step):
    kind = "logicalType: number, physicalType: 'decimal(38,2)'"
    exact = Context(prec=60)
    values = [exact.scaleb(Decimal(cent), -2) for cent in cents]
    treatment = f"{{generalise: {{step: {exact.scaleb(Decimal(step), -2):f}}}}}"
    got, _ = treated(kind, treatment, values, pa.decimal128(38, 2))
    assert [int(exact.scaleb(v, 2)) for v in got] == [cent // step * step for cent in cents]


def test_a_decimal_that_leaves_its_type_is_told():
    kind = "logicalType: number, physicalType: 'decimal(4,2)'"
    values = [Decimal("-99.99"), Decimal("-0.01"), None]
    got, failed = treated(kind, "{generalise: {step: 5}}", values, pa.decimal128(4, 2))
    assert got == [None, Decimal("-5.00"), None]
    assert failed["x"].tolist() == [True, False, False]


@given(st.lists(st.dates() | st.none()))
def test_a_date_goes_to_the_first_of_its_month_or_year(values):
    months, _ = treated("logicalType: date", "{generalise: {to: month}}", values, pa.date32())
    years, _ = treated("logicalType: date", "{generalise: {to: year}}", values, pa.date32())
    assert months == [v and v.replace(day=1) for v in values]
    assert years == [v and v.replace(month=1, day=1) for v in values]


@pytest.mark.parametrize("zone", [None, "UTC"])
@given(values=st.lists(st.datetimes() | st.none()))
def test_a_timestamp_goes_to_the_first_instant_of_its_month(zone, values):
    kind = "logicalType: timestamp" + (", logicalTypeOptions: {timezone: true}" if zone else "")
    values = [v and v.replace(tzinfo=dt.UTC if zone else None) for v in values]
    got, _ = treated(kind, "{generalise: {to: month}}", values, pa.timestamp("us", zone))
    assert got == [
        v and v.replace(day=1, hour=0, minute=0, second=0, microsecond=0) for v in values
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.integers(1, 5))
def test_a_text_keeps_its_first_characters(values, count):
    treatment = f"{{generalise: {{prefix: {count}}}}}"
    got, _ = treated("logicalType: string", treatment, values, pa.string())
    assert got == [v[:count] for v in values]


def test_texts_for_the_quarantine_hold_no_clear_value():
    made = treater("logicalType: integer", "{pseudonym: citizen}")
    misfits = [Misfit(1, "x", "not a number", "SECRET"), Misfit(2, "", "ragged", "p,SECRET,more")]
    done = made.treat(batch([7, None, None, None], pa.int64(), misfits,
                            ["007", "SECRET", "SECRET", None]))  # fmt: skip
    raw = done.extracted.raw_texts([3, 2, 1, 0]).to_pydict()
    seven = hmac.new(KEY, b"7", "sha256").hexdigest()
    unread = "unread:" + hmac.new(KEY, b"SECRET", "sha256").hexdigest()
    assert raw == {"plain": ["p", WITHHELD, "p", "p"], "x": [None, WITHHELD, unread, seven]}
    assert "SECRET" not in repr([m.raw for m in done.extracted.misfits])
    general = treater("logicalType: integer", "{generalise: {step: 5}}")
    done = general.treat(batch([7, None], pa.int64(), misfits[:1], ["007", "SECRET"]))
    assert done.extracted.raw_texts([0, 1]).to_pydict()["x"] == ["5", WITHHELD]


def test_a_record_without_treatment_passes_as_it_is():
    contract = load_contract((HEAD + "      - {name: x, logicalType: integer}\n").encode())
    one = batch([1], pa.int64())
    assert Treater(contract, lambda _: KEY).treat(one).extracted is one
