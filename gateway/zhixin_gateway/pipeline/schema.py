"""A contract's fields as the datasets' own Arrow schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from zhixin_gateway.datasets.types import fields_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from zhixin_ledger.encoding import Json
    from zhixin_schemas.model import Contract

__all__ = ["contract_schema", "source_schema"]


def contract_schema(contract: Contract) -> pa.Schema:
    """Give the schema that runs and parts of a contract's dataset have."""
    return fields_schema(cast("Json", contract.manifest_fields))


def source_schema(contract: Contract) -> pa.Schema:
    """Give the schema that a source is read as, before any treatment."""
    return fields_schema(cast("Json", [{"name": f.name, "type": f.type} for f in contract.fields]))
