"""How far a source had come: the greatest value of one field, in the manifest as ``watermark``.

It tells a reader how new the records are, with all digits. Where the contract says so, the next run
begins at it (:mod:`~zhixin_gateway.pipeline.incremental`); elsewhere each takes all the records of
its source, so that a change or a late record that keeps an old time is never missed.

A value that the contract's own rules for that field reject does not count: a number mistyped far
too high would hide every new record from the runs after it.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pyarrow.types as pt
from zhixin_connectors.protocol import Extracted
from zhixin_connectors.spans import values
from zhixin_errors import ContractError
from zhixin_schemas.compile import RuleSet
from zhixin_schemas.model import Contract

from zhixin_gateway.datasets.arrow import Array, pc
from zhixin_gateway.datasets.canonical import texts

__all__ = ["Watermark"]

_ORDERED = (pt.is_integer, pt.is_decimal, pt.is_date, pt.is_time, pt.is_timestamp)


class Watermark:
    """The greatest value so far of the field that ``zhixin.watermark`` names.

    Raises:
        ContractError: it names no field, or one without numbers or times, or one that is treated:
            the manifest would show what the records do not.
    """

    def __init__(self, contract: Contract) -> None:
        self._name = str(contract.options.get("watermark", ""))
        self._read: Any = None
        self._sound: Any = None
        if not self._name:
            return
        self._schema = schema = contract.schema
        self._kind = schema.field(self._name).type if self._name in schema.names else pa.null()
        ordered = any(accepts(self._kind) for accepts in _ORDERED)
        if not ordered or self._name in contract.treated:
            raise ContractError(
                f"{contract.dataset}: zhixin.watermark names {self._name}, which is no field of "
                "numbers or times that is written as it is",
                code="watermark",
                hint="name such a field, or leave it out",
            )
        own = [
            rule for rule in contract.rules
            if rule.kind == "row" and rule.severity != "warning" and {*rule.fields} == {self._name}
        ]  # fmt: skip
        self._rules = RuleSet(contract, own)

    def take(self, extracted: Extracted) -> None:
        """Look at a batch as it was read."""
        if not self._name:
            return
        column = values(extracted, self._name)
        self._read = _greater(self._read, column)
        if self._rules.rules:
            batch = pa.record_batch(extracted.batch.columns, schema=self._schema)
            column = column.filter(pc.invert(self._rules.check(batch, {}).rejected))
        self._sound = _greater(self._sound, column)

    def take_text(self, text: str | None) -> None:
        """Look at what another one found of other records.

        Args:
            text: its :attr:`text`.
        """
        if text is not None:
            if pt.is_time(self._kind):
                column: Any = pa.array([dt.time.fromisoformat(text)], self._kind)
            else:
                column = pa.array([text]).cast(self._kind)
            self._sound = _greater(self._sound, column)

    @property
    def greatest(self) -> Any:  # noqa: ANN401 - an Arrow scalar
        """The value of all that was read; None where none was asked for, or all were null."""
        return self._read

    @property
    def text(self) -> str | None:
        """The canonical text of the greatest that keeps the contract; None where there is none."""
        if self._sound is None:
            return None
        column: Any = pa.array([self._sound.as_py()], self._sound.type)
        record = texts(pa.record_batch([column], names=[self._name]))[0].as_py()
        return str(json.loads(record)[0])


def _greater(known: Any, column: Array) -> Any:  # noqa: ANN401 - Arrow scalars, or None
    """The greatest of a column's values and of the one that is known."""
    greatest = pc.max(column)
    if greatest.is_valid and (known is None or pc.greater(greatest, known).as_py()):
        return greatest
    return known
