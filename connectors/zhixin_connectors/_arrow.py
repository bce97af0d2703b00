"""pyarrow where its stubs would ask for a type parameter that nobody knows: untyped on purpose."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute

__all__ = ["Array", "no_misfit", "nulls", "pc"]

Array = Any  # a pa.Array of whatever type
pc: Any = pyarrow.compute
_pa: Any = pa


def nulls(length: int, wanted: pa.DataType) -> Array:
    """An array of nothing but nulls, of the wanted type."""
    return _pa.nulls(length, wanted)


def no_misfit(mask: Array) -> bool:
    """Whether a mask is true wherever it is not null."""
    return bool(pc.all(mask, min_count=0).as_py())
