"""Into which spans a table is divided: ``low <= field < high``, every record in exactly one.

::

    values from 1 to 100, four spans:   (…, 26)  [26, 51)  [51, 76)  [76, …)
                                         + nulls

The first has no lower bound and the last no upper one, so that what lies outside of the bounds that
were seen, or has no value, is in one of them too. Spans are as wide as each other, not as full:
where values lie unevenly the contract gives the bounds. Between two steps they travel as JSON.

A record is numbered within its span; ``row_base`` puts the numbers of a later span behind all those
of the spans before it, so that piles of several spans can be merged as one.
"""

from __future__ import annotations

import datetime as dt
from decimal import Context, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt
from zhixin_connectors.protocol import Span

from zhixin_gateway.pipeline.treating import scalar_texts

if TYPE_CHECKING:
    from zhixin_connectors.spans import Bounds
    from zhixin_schemas.partitioning import Partitioning

__all__ = ["ROWS_OF_A_SPAN", "even_spans", "from_json", "given_spans", "row_base", "to_json"]

ROWS_OF_A_SPAN = 1 << 40
"""No span has so many records; a thousand spans' numbers still fit 64 bits."""

_EXACT = Context(prec=100)
_EPOCH_DAYS = dt.date(1970, 1, 1).toordinal()


def row_base(index: int) -> int:
    """Where the numbers of a span's records begin."""
    return index * ROWS_OF_A_SPAN


def given_spans(wanted: Partitioning, kind: pa.DataType) -> list[Span]:
    """The spans of a contract that gives the values at which they begin.

    Args:
        wanted: with bounds.
        kind: the field's type.
    """
    return _between(wanted.field, [_scalar(text, kind) for text in wanted.bounds])


def even_spans(wanted: Partitioning, bounds: Bounds) -> list[Span]:
    """Spans of one width from the least to the greatest value; fewer where the values are few.

    Args:
        wanted: how many, and of which field.
        bounds: what the source said; without values there is one span, of everything.
    """
    if not (bounds.low.is_valid and bounds.high.is_valid):
        return _between(wanted.field, [])
    kind = bounds.low.type
    least, greatest = _number(bounds.low), _number(bounds.high)
    width = greatest - least + 1
    starts = {least + width * at // wanted.count for at in range(1, wanted.count)} - {least}
    return _between(wanted.field, [_from_number(number, kind) for number in sorted(starts)])


def to_json(span: Span) -> dict[str, Any]:
    """A span as it travels: bounds as canonical texts, null for none."""
    return {"field": span.field, "low": _text(span.low), "high": _text(span.high),
            "nulls": span.nulls}  # fmt: skip


def from_json(told: dict[str, Any], kind: pa.DataType) -> Span:
    """A span that travelled.

    Args:
        told: what :func:`to_json` gave.
        kind: the field's type.
    """
    low, high = (None if told[at] is None else _scalar(told[at], kind) for at in ("low", "high"))
    return Span(told["field"], low, high, nulls=told["nulls"])


def _between(field: str, starts: list[Any]) -> list[Span]:
    edges = [None, *starts, None]
    return [Span(field, low, high, nulls=low is None) for low, high in pairwise(edges)]


def _text(bound: Any) -> str | None:  # noqa: ANN401 - an Arrow scalar
    return None if bound is None else scalar_texts(pa.array([bound.as_py()], bound.type))[0]


def _scalar(text: str, kind: pa.DataType) -> Any:  # noqa: ANN401 - an Arrow scalar
    return pa.scalar(text).cast(kind)


def _number(value: Any) -> int:  # noqa: ANN401 - an Arrow scalar
    """A value as a whole number of its type's smallest steps."""
    if pt.is_timestamp(value.type):
        return int(value.value)
    found = value.as_py()
    if isinstance(found, Decimal):
        return int(found.scaleb(value.type.scale, _EXACT))
    return found.toordinal() - _EPOCH_DAYS if isinstance(found, dt.date) else int(found)


def _from_number(number: int, kind: pa.DataType) -> Any:  # noqa: ANN401 - an Arrow scalar
    if pt.is_decimal(kind):
        return pa.scalar(Decimal(number).scaleb(-kind.scale, _EXACT), kind)
    if pt.is_date(kind):
        return pa.scalar(dt.date.fromordinal(number + _EPOCH_DAYS), kind)
    return pa.scalar(number, kind)
