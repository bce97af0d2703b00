"""Evaluates an expression over a record batch, with SQL's three values.

Integers are computed in 64 bits where that fits and in decimal256 where a batch overflows, so no
result wraps; the parser has seen to it that 76 digits suffice. Comparisons of an integer with a
float go through double, as in SQL.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from zhixin_schemas.arrow import arrow_type
from zhixin_schemas.expressions import (
    Arithmetic,
    Between,
    Column,
    Comparison,
    Connective,
    Expression,
    In,
    IsNull,
    Like,
    Literal_,
    Node,
    Not,
)

__all__ = ["evaluate"]

Datum: TypeAlias = Any  # pa.Array or pa.Scalar: the stubs know no common name

_COMPARE = {
    "=": "equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
_CHECKED = {"+": "add_checked", "-": "subtract_checked", "*": "multiply_checked"}
_PLAIN = {"+": "add", "-": "subtract", "*": "multiply"}


def evaluate(expression: Expression, batch: pa.RecordBatch) -> pa.BooleanArray:
    """Give true, false or null for each row."""
    result = _node(expression.root, batch)
    if isinstance(result, pa.Scalar):
        return pa.array([result.as_py()] * batch.num_rows, pa.bool_())
    values: pa.BooleanArray = result
    return values


def _node(node: Node, batch: pa.RecordBatch) -> Datum:  # noqa: PLR0911 - one return a kind
    match node:
        case Column():
            return batch.column(node.name)
        case Literal_():
            return _literal(node)
        case Arithmetic():
            return _arithmetic(node, batch)
        case Comparison():
            left, right = _pair(node.left, node.right, batch)
            return pc.call_function(_COMPARE[node.operator], [left, right])
        case Connective():
            name = "and_kleene" if node.operator == "AND" else "or_kleene"
            return pc.call_function(name, [_node(node.left, batch), _node(node.right, batch)])
        case Not():
            return pc.invert(_node(node.operand, batch))
        case IsNull():
            return pc.is_null(_node(node.operand, batch))
        case Like():
            return pc.match_like(_node(node.operand, batch), node.pattern)
        case _:
            return _set(node, batch)


def _set(node: In | Between, batch: pa.RecordBatch) -> Datum:
    """Spell IN and BETWEEN out in comparisons, whose null semantics are right already."""
    if isinstance(node, Between):
        low = Comparison(">=", node.operand, node.low)
        high = Comparison("<=", node.operand, node.high)
        return pc.and_kleene(_node(low, batch), _node(high, batch))
    result = _node(Comparison("=", node.operand, node.values[0]), batch)
    for value in node.values[1:]:
        result = pc.or_kleene(result, _node(Comparison("=", node.operand, value), batch))
    return result


def _literal(node: Literal_) -> pa.Scalar[Any]:
    if node.value is None:
        return pa.scalar(None, pa.bool_())
    if node.family == "exact":
        value = Decimal(node.value)  # type: ignore[arg-type]
        whole = value == value.to_integral_value() and -(2**63) <= value < 2**63
        if whole:
            return pa.scalar(int(value), pa.int64())
        return pa.scalar(value, pa.decimal128(node.precision, node.scale))
    return pa.scalar(node.value, arrow_type(str(node.family)))


def _arithmetic(node: Arithmetic, batch: pa.RecordBatch) -> Datum:
    left, right = _node(node.left, batch), _node(node.right, batch)
    if node.family == "float":
        return pc.call_function(_PLAIN[node.operator], [_float(left), _float(right)])
    if pa.types.is_int64(left.type) and pa.types.is_int64(right.type):
        try:
            return pc.call_function(_CHECKED[node.operator], [left, right])
        except pa.ArrowInvalid:
            pass  # a row overflows: exact digits for this batch
    return pc.call_function(_PLAIN[node.operator], [_digits(left), _digits(right)])


def _pair(left: Node, right: Node, batch: pa.RecordBatch) -> tuple[Datum, Datum]:
    """Evaluate both sides and bring numbers into one form."""
    one, two = _node(left, batch), _node(right, batch)
    if "float" in (left.family, right.family):
        return _float(one), _float(two)
    if left.family == "exact" and one.type != two.type:
        one, two = _digits(one), _digits(two)
        return _aligned(one, two)
    return one, two


def _aligned(one: Datum, two: Datum) -> tuple[Datum, Datum]:
    scale = max(one.type.scale, two.type.scale)
    whole = max(one.type.precision - one.type.scale, two.type.precision - two.type.scale)
    wide = pa.decimal256(min(76, whole + scale), scale)
    return one.cast(wide), two.cast(wide)


def _float(datum: Datum) -> Datum:
    if pa.types.is_float64(datum.type):
        return datum
    return pc.cast(datum, pa.float64(), safe=False)


def _digits(datum: Datum) -> Datum:
    """Cast whole numbers and decimals to decimal256 with their own digits."""
    kind = datum.type
    if pa.types.is_int64(kind):
        return pc.cast(datum, pa.decimal256(19, 0))
    if pa.types.is_uint64(kind):
        return pc.cast(datum, pa.decimal256(20, 0))
    if pa.types.is_decimal128(kind):
        return pc.cast(datum, pa.decimal256(kind.precision, kind.scale))
    return datum
