"""Arrow, as far as the modules beside this one share it.

``pc`` is :mod:`pyarrow.compute` without its stubs, which know too few of the overloads that we use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Array", "is_binary", "is_string", "pc", "to_mask", "value_bytes"]

Array: TypeAlias = "pa.Array[Any]"

pc: Any = pyarrow.compute


def is_string(arrow: pa.DataType) -> bool:
    """Whether values are UTF-8, with offsets of either width."""
    return pa.types.is_string(arrow) or pa.types.is_large_string(arrow)


def is_binary(arrow: pa.DataType) -> bool:
    """Whether values are bytes, with offsets of either width."""
    return pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow)


def to_mask(array: Array) -> npt.NDArray[np.bool_]:
    """A boolean array as numpy has it; nulls are false."""
    mask: npt.NDArray[np.bool_] = pc.fill_null(array, False).to_numpy(zero_copy_only=False)
    return mask


def value_bytes(array: Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of strings or binaries, uncopied.

    Args:
        array: of a string or binary type, offsets of either width, sliced or not.

    Returns:
        All values' bytes in one run, and where each value begins in it, with the end as the last.
    """
    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        return np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    width: Any = np.int64 if wide else np.int32
    edges = np.frombuffer(memoryview(offsets), dtype=width)
    edges = edges[array.offset : array.offset + len(array) + 1].astype(np.int64)
    if data is None or edges[0] == edges[-1]:
        return np.zeros(0, dtype=np.uint8), edges - edges[0]
    shown = np.frombuffer(memoryview(data), dtype=np.uint8)[edges[0] : edges[-1]]
    return shown, edges - edges[0]
