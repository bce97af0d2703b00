"""Expressions: what parses, what is refused, and SQL's three values against a slow reference."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import ContractError
from zhixin_schemas.evaluate import evaluate
from zhixin_schemas.expressions import nulls_pass, parse_expression

TYPES = {
    "a": "integer",
    "b": "integer",
    "u": "unsigned",
    "d": "decimal(10,2)",
    "w": "decimal(38,10)",
    "f": "float",
    "s": "string",
    "day": "date",
    "at": "time",
    "ts": "timestamp",
    "tz": "timestamptz",
    "flag": "boolean",
    "raw": "binary",
    "many": {"list": "string"},
    "dep time": "integer",
}


def batch(**columns):
    kinds = {
        "a": pa.int64(), "b": pa.int64(), "u": pa.uint64(), "d": pa.decimal128(10, 2),
        "w": pa.decimal128(38, 10), "f": pa.float64(), "s": pa.string(), "day": pa.date32(),
        "at": pa.time64("us"), "ts": pa.timestamp("us"), "tz": pa.timestamp("us", "UTC"),
        "flag": pa.bool_(), "dep time": pa.int64(),
    }  # fmt: skip
    return pa.record_batch({name: pa.array(v, kinds[name]) for name, v in columns.items()})


def result(text, **columns):
    return evaluate(parse_expression(text, TYPES), batch(**columns)).to_pylist()


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("a < b", {"a": [1, 2, None], "b": [2, 1, 1]}, [True, False, None]),
        ("NOT a = b", {"a": [1, None], "b": [1, 1]}, [False, None]),
        ("a IS NULL OR a > 0", {"a": [None, 1, -1]}, [True, True, False]),
        ("a IS NOT NULL AND a > 0", {"a": [None, 1, -1]}, [False, True, False]),
        ("a IN (1, 2)", {"a": [1, 3, None]}, [True, False, None]),
        ("a NOT IN (1, 2)", {"a": [1, 3, None]}, [False, True, None]),
        ("a BETWEEN 1 AND b", {"a": [1, 5, None], "b": [1, 4, 1]}, [True, False, None]),
        ("a NOT BETWEEN 1 AND 2", {"a": [1, 5]}, [False, True]),
        (
            "s LIKE 'A_%'",
            {"s": ["AB", "A", "Ab\nc", "一B", None]},
            [True, False, True, False, None],
        ),
        ("s NOT LIKE '%x'", {"s": ["ax", "b"]}, [False, True]),
        ("s = 'it''s'", {"s": ["it's", "its"]}, [True, False]),
        ("s <> ''", {"s": ["", " "]}, [False, True]),
        ("flag", {"flag": [True, False, None]}, [True, False, None]),
        ("flag = FALSE", {"flag": [True, False]}, [False, True]),
        ("TRUE", {"a": [1, 2]}, [True, True]),
        ('"dep time" > 5', {"dep time": [5, 6]}, [False, True]),
        ("a * 100 + b = 517", {"a": [5, 5], "b": [17, 18]}, [True, False]),
        ("a - b > -3", {"a": [1, 1], "b": [4, 3]}, [False, True]),
        ("-a = 5", {"a": [-5, 5]}, [True, False]),
        ("a > 1.5", {"a": [1, 2]}, [False, True]),
        ("d = 1.5", {"d": [Decimal("1.50"), Decimal("1.51")]}, [True, False]),
        ("d + 0.001 > 1.5", {"d": [Decimal("1.50"), Decimal("1.49")]}, [True, False]),
        ("w * 2 >= d", {"w": [Decimal("0.5")], "d": [Decimal("1.00")]}, [True]),
        ("f * 2 > 1", {"f": [0.5, 0.6, float("nan")]}, [False, True, False]),
        ("u > a", {"u": [2**64 - 1, 0], "a": [-1, -1]}, [True, True]),
        ("day >= '2013-01-01'", {"day": [dt.date(2013, 1, 1), dt.date(1, 1, 1)]}, [True, False]),
        ("at < '12:00'", {"at": [dt.time(11, 59), dt.time(12)]}, [True, False]),
        (
            "ts < '2013-01-01T00:00:00'",
            {"ts": [dt.datetime.fromisoformat("2012-01-01"), None]},
            [True, None],
        ),
        (
            "tz = '2013-01-01T08:00:00+08:00'",
            {"tz": [dt.datetime(2013, 1, 1, tzinfo=dt.UTC)]},
            [True],
        ),
        # integers that overflow 64 bits are computed exactly
        ("a + b > 0", {"a": [2**63 - 1, 1], "b": [2**63 - 1, -1]}, [True, False]),
        ("a * b > 0", {"a": [2**63 - 1, -3], "b": [2**63 - 1, 2]}, [True, False]),
        ("a * b * 2 > 0", {"a": [2**63 - 1], "b": [2**63 - 1]}, [True]),
        ("-a > 0", {"a": [-(2**63)]}, [True]),
        ("u + 1 > 18446744073709551615", {"u": [2**64 - 1]}, [True]),
    ],
)
def test_means_what_sql_means(text, columns, expected):
    assert result(text, **columns) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a / b = 1", '"a / b" is not admitted'),
        ("a % 2 = 0", "is not admitted"),
        ("length(s) = 3", "is not admitted"),
        ("CASE WHEN a = 1 THEN TRUE ELSE FALSE END", "is not admitted"),
        ("CAST(a AS TEXT) = '1'", "is not admitted"),
        ("a = (SELECT 1)", "is not admitted"),
        ("a IN (SELECT 1)", "is not admitted"),
        ("a IN (b)", "something else than literals"),
        ("a IN (NULL)", "say IS NULL"),
        ("s ILIKE 'a'", "is not admitted"),
        ("s SIMILAR TO 'a'", "is not admitted"),
        ("s LIKE s", "a text literal"),
        (r"s LIKE 'a\_'", "without a backslash"),
        ("s LIKE 'a!_' ESCAPE '!'", "is not admitted"),
        ("a LIKE 'a'", "wants a text field"),
        ("flag IS TRUE", "is not admitted"),
        ("t.a = 1", "is not admitted"),
        ("many IS NULL", "a list or an object"),
        ("c = 1", '"c" is no field'),
        ("dayy = '2013-01-01'", 'did you mean "day"'),
        ("a = NULL", "say IS NULL"),
        ("a = 'x'", "compares an exact number with string"),
        ("day = 'yesterday'", "no date"),
        ("ts = '2013-01-01T00:00:00Z'", "no timestamp"),
        ("tz = '2013-01-01'", "no timestamptz"),
        ("s + 1 = 2", "no numbers"),
        ("NOT a", "is not true or false"),
        ("a AND flag", "is not true or false"),
        ("a", "not true or false"),
        ("", "one expression"),
        ("a = 1; b = 2", "not several statements"),
        ("a =", "does not parse"),
        ("'", "does not parse"),
        ("u * u * u * u = 1", "more than 76 digits"),
        ("w * w = u * u", "more than 76 digits"),
        ("f = 1e400", "too many digits"),
        ("a = 1" + " AND a = 1" * 150, "nested too deep"),
        ("(" * 3000 + "a = 1" + ")" * 3000, "more than 4096"),
        ("(" * 1500 + "flag" + ")" * 1500, "too deep"),
        ("a = $1", "is not admitted"),
        ("a = ?", "is not admitted"),
        ("*", "is not admitted"),
        ("a BETWEEN SYMMETRIC 2 AND 1", "is not admitted"),
        ("DELETE FROM x", "is not admitted"),
    ],
)
def test_refuses_and_names_the_place(text, says):
    with pytest.raises(ContractError, match=re.escape(says)):
        parse_expression(text, TYPES)


def test_names_the_fields_and_those_whose_null_passes():
    expression = parse_expression("a IS NULL OR (a < b AND s LIKE 'x')", TYPES)
    assert expression.fields == ("a", "b", "s")
    assert nulls_pass(expression) == ("b", "s")


# ---- a slow, obvious reference


_NUMBERS = st.sampled_from(["a", "b", "d", "1", "0", "-3", "1.5", "9223372036854775807"])
_SUMS = st.recursive(
    _NUMBERS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({' '.join(t)})"),
    max_leaves=3,
)
_COMPARED = st.tuples(_SUMS, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), _SUMS).map(
    " ".join
)
_LEAVES = (
    _COMPARED
    | st.sampled_from(["a IS NULL", "d IS NOT NULL", "a IN (1, 2)", "b NOT IN (0)", "flag"])
    | st.tuples(_SUMS, _NUMBERS, _NUMBERS).map(lambda t: f"{t[0]} BETWEEN {t[1]} AND {t[2]}")
)
_EXPRESSIONS = st.recursive(
    _LEAVES,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda t: f"({' '.join(t)})")
        | inner.map(lambda t: f"NOT ({t})")
    ),
    max_leaves=5,
)
_INTEGERS = st.none() | st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1)
_ROWS = st.fixed_dictionaries(
    {
        "a": _INTEGERS,
        "b": _INTEGERS,
        "d": st.none() | st.decimals(-9999, 9999, places=2),
        "flag": st.none() | st.booleans(),
    }
)


@settings(deadline=None)
@given(_EXPRESSIONS, st.lists(_ROWS, min_size=1, max_size=6))
def test_agrees_with_duckdb(text, rows):
    import duckdb

    columns = {name: [row[name] for row in rows] for name in ("a", "b", "d", "flag")}
    found = result(text, **columns)
    table = pa.table(batch(**columns)).cast(  # hugeint-free: DuckDB overflows where we do not
        pa.schema([("a", pa.decimal128(19, 0)), ("b", pa.decimal128(19, 0)),
                   ("d", pa.decimal128(10, 2)), ("flag", pa.bool_())])
    )  # fmt: skip
    with duckdb.connect() as connection:
        connection.register("t", table)
        try:
            answer = connection.sql(f"SELECT {text} AS x FROM t").fetchall()
        except duckdb.Error:
            return  # more than 38 digits: DuckDB gives up, we do not
    assert found == [row[0] for row in answer]


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("ab=<>()'\" \n1.+-*andornotINISNULL,;%", max_size=30))
def test_no_error_but_our_own(text):
    with contextlib.suppress(ContractError):
        parse_expression(text, TYPES)
