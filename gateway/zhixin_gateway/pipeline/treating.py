"""Treatment of fields: pseudonyms and generalised values, made before anything is written.

::

    id_no   "110105194912310022"  ─ pseudonym ─▶  "5f1c…" (64 hex digits)
    born    1949-12-31            ─ month ─────▶  1949-12-01      year: 1949-01-01
    income  -7                    ─ step 5 ────▶  -10
    area    "110105"              ─ prefix 4 ──▶  "1101"

The rules judge what was read, in memory; what goes on from here, to sorted runs, key piles, the
quarantine or the second opinion, is what :meth:`Treater.treat` gives. A quarantine's texts too: of
a treated field they are the treated value's canonical text; of one that can't be read the
pseudonym's ``unread:`` and the HMAC of the raw text, so that the same text is found again, or
``(withheld)``. Of a record that can't be read as a whole all texts are withheld, because nobody
knows which field a text there belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from zhixin_connectors.protocol import Extracted, Misfit

from zhixin_gateway.datasets.arrow import Array, pc
from zhixin_gateway.datasets.canonical import texts
from zhixin_gateway.pseudonyms import pseudonym

if TYPE_CHECKING:
    from zhixin_schemas.model import Contract
    from zhixin_schemas.treatment import Treatment

__all__ = ["UNREAD", "WITHHELD", "Treated", "Treater", "scalar_texts"]

UNREAD = "unread:"
WITHHELD = "(withheld)"
_EXACT = Context(prec=100)


@dataclass(frozen=True)
class Treated:
    """A batch as it may be written.

    Args:
        extracted: of the dataset's schema; no text in it is a treated field's own.
        failed: by field, which records' values have no treated form in the field's type.
    """

    extracted: Extracted
    failed: dict[str, np.ndarray]


class Treater:
    """Treats the batches of one extraction.

    Args:
        contract: whose treatments they are.
        key_of: gives a pseudonym's key by its name.

    Raises:
        ConfigError: a key is missing.
    """

    def __init__(self, contract: Contract, key_of: Callable[[str], bytes]) -> None:
        self.treatments: dict[str, Treatment] = contract.treated
        self.schema = contract.written_schema
        self._keys = {
            name: key_of(name)
            for name in sorted({item.key for item in self.treatments.values() if item.key})
        }

    def line(self, field: str) -> str:
        """Name of a treatment's line in the manifest's quality, such as ``born.generalise``."""
        return f"{field}.{self.treatments[field].kind}"

    def treat(self, extracted: Extracted) -> Treated:
        """Give a batch as it may be written."""
        if not self.treatments:
            return Treated(extracted, {})
        columns, failed = [], {}
        for field, column in zip(self.schema, extracted.batch.columns, strict=True):
            treatment = self.treatments.get(field.name)
            if treatment is not None:
                column, bad = self._column(treatment, column, field.type)  # noqa: PLW2901
                if bad.any():
                    failed[field.name] = bad
            columns.append(column)
        batch = pa.record_batch(columns, schema=self.schema)
        raw = _RawTexts(self, extracted, batch, failed)
        told = [self._misfit(misfit) for misfit in extracted.misfits]
        return Treated(Extracted(batch, told, extracted.first_row, raw), failed)

    def unread(self, field: str, raw: str) -> str:
        """What stands in the quarantine for a text that can't be read.

        Args:
            field: a treated one.
            raw: the source's text.
        """
        key = self._keys.get(self.treatments[field].key)
        return WITHHELD if key is None else UNREAD + pseudonym(key, raw)

    def _misfit(self, misfit: Misfit) -> Misfit:
        if not misfit.field:
            return misfit._replace(raw=WITHHELD)
        if misfit.field not in self.treatments:
            return misfit
        return misfit._replace(raw=self.unread(misfit.field, misfit.raw))

    def _column(
        self, treatment: Treatment, column: Array, wanted: pa.DataType
    ) -> tuple[Array, np.ndarray]:
        if treatment.how == "pseudonym":
            key = self._keys[treatment.key]
            made = _by_value(column, wanted, lambda value: pseudonym(key, value), scalar_texts)
        elif treatment.how == "prefix":
            made = pc.utf8_slice_codeunits(column, 0, int(treatment.by))
        elif treatment.how == "step":
            made = _floored(column, treatment.by)
        else:
            made = _start_of(column, "M" if treatment.how == "month" else "Y")
        lost = made.is_null().to_numpy(zero_copy_only=False)
        return made, lost & column.is_valid().to_numpy(zero_copy_only=False)


class _RawTexts:
    """The texts of chosen rows, as they may lie in the quarantine."""

    def __init__(
        self, treater: Treater, extracted: Extracted, batch: pa.RecordBatch, failed: dict[str, Any]
    ) -> None:
        self._treater = treater
        self._extracted = extracted
        self._batch = batch
        self._failed = failed
        self._whole = {misfit.row for misfit in extracted.misfits if not misfit.field}
        self._unread = {(misfit.row, misfit.field) for misfit in extracted.misfits}

    def __call__(self, rows: Sequence[int]) -> pa.RecordBatch:
        raw = self._extracted.raw_texts(rows)
        columns = []
        for at, name in enumerate(self._batch.schema.names):
            found = raw.column(at).to_pylist()
            if name in self._treater.treatments:
                found = self._treated(name, at, rows, found)
            told = [
                WITHHELD if row in self._whole else text
                for row, text in zip(rows, found, strict=True)
            ]
            columns.append(pa.array(told, pa.string()))
        return pa.RecordBatch.from_arrays(columns, schema=raw.schema)

    def _treated(
        self, name: str, at: int, rows: Sequence[int], raw: Iterable[str | None]
    ) -> list[str | None]:
        own = scalar_texts(self._batch.column(at).take(pa.array(rows, pa.int64())))
        failed = self._failed.get(name)
        for place, (row, text) in enumerate(zip(rows, raw, strict=True)):
            if (row, name) in self._unread:
                own[place] = self._treater.unread(name, text or "")
            elif failed is not None and failed[row]:
                own[place] = WITHHELD
        return own


def scalar_texts(column: Array) -> list[str | None]:
    """Canonical texts of a column of scalars, None for null."""
    if pa.types.is_string(column.type):
        return list(column.to_pylist())
    written = texts(pa.record_batch([column], names=["_"])).to_pylist()
    return [json.loads(str(text))[0] for text in written]


def _by_value(
    column: Array,
    wanted: pa.DataType,
    make: Callable[[Any], Any],
    spell: Callable[[Array], list[Any]] = lambda column: list(column.to_pylist()),
) -> Array:
    """Make a column from each value, those that repeat once; null stays null."""
    if pa.types.is_floating(column.type):  # 0 and -0 are one to Arrow's dictionary
        values = [None if value is None else make(value) for value in spell(column)]
        return pa.array(values, wanted)
    coded = column.dictionary_encode()
    made = pa.array([make(value) for value in spell(coded.dictionary)], wanted)
    return made.take(coded.indices)


def _start_of(column: Array, unit: str) -> Array:
    """The first day, or instant, of the month or year; of a timestamptz in UTC."""
    width, own = (pa.int32(), "D") if pa.types.is_date32(column.type) else (pa.int64(), "us")
    counts = pc.fill_null(column.view(width), 0).to_numpy().astype(np.int64)
    floored = counts.view(f"datetime64[{own}]").astype(f"datetime64[{unit}]")
    back = floored.astype(f"datetime64[{own}]").view(np.int64)
    lost = column.is_null().to_numpy(zero_copy_only=False)
    started: Array = pa.array(back, pa.int64(), mask=lost).cast(width).view(column.type)
    return started


def _floored(column: Array, step: int | Decimal) -> Array:
    """The multiple of the step below or at each number; null where the type has none."""
    if pa.types.is_decimal(column.type):
        scale, end = column.type.scale, 10**column.type.precision
        units = int(_EXACT.scaleb(Decimal(step), scale))

        def floor(value: Decimal) -> Decimal | None:
            whole = int(_EXACT.scaleb(value, scale)) // units * units
            return _EXACT.scaleb(Decimal(whole), -scale) if -end < whole < end else None

        return _by_value(column, column.type, floor)
    values = pc.fill_null(column, 0).to_numpy()
    floored = values - np.remainder(values, values.dtype.type(step))
    lost = column.is_null().to_numpy(zero_copy_only=False) | (floored > values)  # wrapped
    made: Array = pa.array(floored, column.type, mask=lost)
    return made
