"""Texts that lie in a quarantine, read again as a contract's types.

A quarantine keeps the source's own texts, whatever kind of source it was; here they are read as a
text source's would be. A text that was withheld says nothing, and so does a record of which nobody
knows where its fields begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from zhixin_connectors.cast import cast_texts
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import parse_options

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FORM", "Recast", "reading_of", "recast", "without_form"]

FORM = "record.form"
"""The rule that a record breaks which can't be read as a whole."""


class Recast(NamedTuple):
    """Texts as values.

    Args:
        batch: of the wanted schema; what can't be read is null.
        unread: by field, the positions whose text says no value, and why.
    """

    batch: pa.RecordBatch
    unread: dict[str, dict[int, str]]

    def whole(self) -> np.ndarray:
        """Which records were read in every field."""
        mask = np.ones(self.batch.num_rows, dtype=bool)
        for places in self.unread.values():
            mask[list(places)] = False
        return mask


def reading_of(options: Mapping[str, Any]) -> Reading:
    """How a contract wants its source's texts read.

    Args:
        options: the contract's ``zhixin.*`` options of its server.
    """
    known = parse_options(options)
    return Reading(known.timezone, known.binary, known.dates)


def recast(texts: pa.RecordBatch, schema: pa.Schema, reading: Reading) -> Recast:
    """Read texts as values.

    Args:
        texts: with a string column for each field of the schema, and maybe others.
        schema: the wanted types.
        reading: how texts are read.
    """
    columns, unread = [], {}
    for field in schema:
        column = texts.column(texts.schema.get_field_index(field.name))
        read = cast_texts(column, field.type, reading)
        columns.append(read.array)
        if read.misfits:
            unread[field.name] = dict(read.misfits)
    return Recast(pa.record_batch(columns, schema=schema), unread)


def without_form(rejects: pa.RecordBatch) -> np.ndarray:
    """Which records could not be read as a whole: their texts are of no certain field."""
    told = rejects.column("_reasons").to_pylist()
    found = [any(why["rule"] == FORM for why in reasons or ()) for reasons in told]
    return np.array(found, dtype=bool)
