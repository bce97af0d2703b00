"""What a table holds, for `source infer`."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from zhixin_connectors.protocol import Connector, Extracted, TableDescription

__all__ = ["guess", "profile"]


def guess(batches: Iterator[Extracted], texts: pa.Schema, *, rows: int) -> pa.Schema:
    """Types that all texts fit."""
    raise NotImplementedError


def profile(source: Connector, table: str, schema: pa.Schema, *, rows: int) -> TableDescription:
    """Read and count."""
    raise NotImplementedError
