"""A derived dataset's records: SQL over verified datasets, cast exactly to the contract's types.

DuckDB runs on one thread here, so that the same inputs give the same records to the last bit of a
sum: a run over unchanged inputs must find that nothing changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
from zhixin_connectors.columns import ArrowColumn, extracted
from zhixin_connectors.grammar import Reading
from zhixin_connectors.protocol import Extracted
from zhixin_errors import ContractError

if TYPE_CHECKING:
    from zhixin_gateway.gate import VerifiedDataset

__all__ = ["derived"]


def derived(
    inputs: Mapping[str, VerifiedDataset], sql: str, schema: pa.Schema
) -> Iterator[Extracted]:
    """Run a contract's SQL.

    Args:
        inputs: the verified datasets that it names, by ``member/name``.
        sql: the contract's ``zhixin.sql``.
        schema: the contract's fields.

    Yields:
        Batches of the contract's types, with what did not fit them.

    Raises:
        ContractError: the SQL does not give the contract's fields.
        VerificationError: an input's files changed since they were verified.
    """
    from zhixin_gateway.gate.query import query

    answer = query(sql, inputs, threads=1)
    missing = [name for name in schema.names if name not in answer.schema.names]
    if missing:
        raise ContractError(
            f"zhixin.sql does not give the field {missing[0]}, which the contract promises",
            code="sql-fields",
        )
    first_row = 0
    readings = [Reading() for _ in schema.names]
    for batch in answer:
        columns = [ArrowColumn(batch.column(name)) for name in schema.names]
        yield extracted(columns, schema, readings, first_row)
        first_row += batch.num_rows
