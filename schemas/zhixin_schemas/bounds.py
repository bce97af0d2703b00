"""Brings the contract's numbers and texts into a column's own type, exactly.

A bound between two values that the type can hold moves to the nearer one inside the range: above
0.5 for an integer is from 1. So both engines compare values of one type, and nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import pyarrow as pa

from zhixin_schemas.rules import Bound, Range, Value

__all__ = ["Ends", "inclusive_range", "value_set"]

_EXACT = Context(prec=500)


@dataclass(frozen=True)
class Ends:
    """A range in a column's type.

    Args:
        low: lowest value, as an Arrow scalar; None where any is low enough.
        high: highest value.
        low_exclusive: the end itself is outside; never for integers and decimals.
        high_exclusive: likewise.
        empty: no value of the type lies inside.
    """

    low: pa.Scalar[Any] | None = None
    high: pa.Scalar[Any] | None = None
    low_exclusive: bool = False
    high_exclusive: bool = False
    empty: bool = False


def inclusive_range(check: Range, kind: pa.DataType) -> Ends:
    """Give a rule's range in a column's type."""
    step = _step(kind)
    if step is None:
        return Ends(
            _scalar(check.low, kind),
            _scalar(check.high, kind),
            check.low is not None and check.low.exclusive,
            check.high is not None and check.high.exclusive,
        )
    lowest, highest = _limits(kind)
    low, high = lowest, highest
    if check.low is not None:
        low = max(low, _inside(check.low, step, ROUND_CEILING, step))
    if check.high is not None:
        high = min(high, _inside(check.high, step, ROUND_FLOOR, -step))
    if low > high:
        return Ends(empty=True)
    return Ends(
        None if low == lowest else _number(low, kind),
        None if high == highest else _number(high, kind),
    )


def value_set(values: Sequence[Value], kind: pa.DataType) -> pa.Array[Any]:
    """Give listed values as an array of a column's type, without those it can't hold."""
    step = _step(kind)
    if step is None:
        listed = [_plain(value, kind) for value in values]
        if pa.types.is_float64(kind) and 0.0 in listed:
            listed += [0.0, -0.0]  # equal by value, though Arrow's sets tell them apart
        return pa.array(listed, kind)
    lowest, highest = _limits(kind)
    held = []
    for value in values:
        number = Decimal(value)  # type: ignore[arg-type]
        if lowest <= number <= highest and number == _round(number, step, ROUND_FLOOR):
            held.append(_number(number, kind).as_py())
    return pa.array(held, kind)


def _step(kind: pa.DataType) -> Decimal | None:
    """Give the distance of two neighbours; None for floats, texts and times."""
    if pa.types.is_integer(kind):
        return Decimal(1)
    return Decimal(1).scaleb(-kind.scale) if isinstance(kind, pa.Decimal128Type) else None


def _limits(kind: pa.DataType) -> tuple[Decimal, Decimal]:
    if isinstance(kind, pa.Decimal128Type):
        highest = _EXACT.scaleb(Decimal(10**kind.precision - 1), -kind.scale)
        return -highest, highest
    if pa.types.is_uint64(kind):
        return Decimal(0), Decimal(2**64 - 1)
    return Decimal(-(2**63)), Decimal(2**63 - 1)


def _round(number: Decimal, step: Decimal, mode: str) -> Decimal:
    return number.quantize(step, rounding=mode, context=_EXACT)


def _inside(bound: Bound, step: Decimal, mode: str, inward: Decimal) -> Decimal:
    """Move a bound to the first value of the type that is inside."""
    number = Decimal(bound.value)  # type: ignore[arg-type]
    if abs(number) >= Decimal(10) ** 80:  # beyond every type: no digits to round
        return number
    rounded = _round(number, step, mode)
    return _EXACT.add(rounded, inward) if bound.exclusive and rounded == number else rounded


def _number(value: Decimal, kind: pa.DataType) -> pa.Scalar[Any]:
    if isinstance(kind, pa.Decimal128Type):
        return pa.scalar(value, kind)
    return pa.scalar(int(value), kind)


def _scalar(bound: Bound | None, kind: pa.DataType) -> pa.Scalar[Any] | None:
    return None if bound is None else pa.scalar(_plain(bound.value, kind), kind)


def _plain(value: Value, kind: pa.DataType) -> Any:  # noqa: ANN401 - any Python value that Arrow takes
    return float(value) if pa.types.is_float64(kind) else value  # type: ignore[arg-type]
