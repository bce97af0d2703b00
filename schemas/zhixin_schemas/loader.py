"""Reads a contract: strict YAML, the ODCS standard, and what docs/contracts.md asks besides.

One reading serves everybody: ``lint`` lists its problems, ``load_contract`` refuses with all of
them, and nobody works with a contract that has any.

What it does not do: look at a source (``contract lint --against`` does), or at other contracts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from zhixin_errors import ConfigError, ContractError

from zhixin_schemas.document import Document, Place, read_document
from zhixin_schemas.fields import read_fields, titles_of
from zhixin_schemas.header import check_header, read_dataset, read_server
from zhixin_schemas.incremental import check_incremental
from zhixin_schemas.model import MAX_CONTRACT_BYTES, Contract, Problem
from zhixin_schemas.odcs import check_against_standard
from zhixin_schemas.partitioning import check_partitioning
from zhixin_schemas.rulebook import read_rules
from zhixin_schemas.treatment import check_treated

__all__ = ["Reading", "load_contract", "load_contract_file", "read_contract"]


@dataclass(frozen=True)
class Reading:
    """What came of reading a contract.

    Args:
        contract: None where there are problems.
        problems: by line; empty where the contract is sound.
    """

    contract: Contract | None
    problems: tuple[Problem, ...]


@lru_cache(maxsize=8)
def read_contract(data: bytes) -> Reading:
    """Read a contract and give it, or every problem with it.

    The steps of a run each read it, and it costs a tenth of a second: the same bytes are read once.

    Args:
        data: the file's exact bytes.
    """
    if len(data) > MAX_CONTRACT_BYTES:
        return Reading(None, (Problem(1, 1, "", "a contract has at most 1 MiB"),))
    document = read_document(data)
    if document.value is None:  # what can't be read, or nothing but YAML's null
        return Reading(None, _sorted(document) or (Problem(1, 1, "", "the contract is empty"),))
    if _other_format(document):
        return Reading(None, _sorted(document))
    check_against_standard(document)
    contract = _build(document, data) if isinstance(document.value, dict) else None
    problems = _sorted(document)
    return Reading(None if problems else contract, problems)


def load_contract(data: bytes, name: str = "contract") -> Contract:
    """Read a contract that must be sound.

    Args:
        data: the file's exact bytes.
        name: what to call the file in the message.

    Raises:
        ContractError: it is not; ``details["problems"]`` lists {line, column, path, message}.
    """
    reading = read_contract(data)
    if reading.contract is None:
        count = len(reading.problems)
        more = f" (and {count - 1} more)" if count > 1 else ""
        raise ContractError(
            f"{name}:{reading.problems[0]}{more}",
            hint="run `zhixin contract lint` on it",
            details={"problems": [problem.to_json() for problem in reading.problems]},
        )
    return reading.contract


def load_contract_file(path: Path) -> Contract:
    """Read a contract from a file.

    Raises:
        ConfigError: it can't be read.
        ContractError: it is not sound.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: the contract can't be read: {error.strerror}",
            code="contract-missing",
            hint="give the file of one contract, such as contracts/permits.odcs.yaml",
        ) from error
    return load_contract(data, str(path))


def _other_format(document: Document) -> bool:
    """Say of a contract in another format what it is: its keys would all be unknown ones."""
    root = document.root
    version = root.text("apiVersion")
    if "dataContractSpecification" in root:
        root.at("dataContractSpecification").report(
            "this is a file of the Data Contract Specification, which ODCS has replaced; "
            "`datacontract export odcs FILE --output NEW` of datacontract-cli rewrites it, or "
            "`zhixin source infer` writes a first contract from the source"
        )
    elif version.startswith("v2.") and "schema" not in root:
        root.at("apiVersion").report(
            f"this is a file of ODCS {version}, whose keys are others (dataset, table, column); "
            "`zhixin source infer` writes a first contract of v3.2.0 from the source"
        )
    else:
        return False
    return True


def _sorted(document: Document) -> tuple[Problem, ...]:
    return tuple(sorted(dict.fromkeys(document.problems)))


def _build(document: Document, data: bytes) -> Contract | None:
    root = document.root
    dataset, version = read_dataset(root)
    check_header(root)
    schema_object = _schema_object(root)
    if schema_object is None:
        return None
    server = read_server(root, schema_object, dataset)
    fields = read_fields(schema_object)
    rules, relationships = read_rules(schema_object, fields)
    check_treated(schema_object, fields, [rule.name for rule in rules])
    first = next(iter(root.items("servers")), root)
    derived = server.sql is not None
    check_partitioning(first, server.options, fields, derived=derived)
    check_incremental(first, server.options, fields, rules, dataset=dataset, derived=derived)
    return Contract(
        bytes=data,
        dataset=dataset,
        version=version,
        server=server.name,
        object=server.object,
        options=server.options,
        fields=fields,
        rules=rules,
        relationships=relationships,
        sql=server.sql,
        inputs=server.inputs,
        titles=titles_of(schema_object) or {"en": root.text("name")},
        description=schema_object.text("description"),
        status=root.text("status"),
    )


def _schema_object(root: Place) -> Place | None:
    objects = root.items("schema")
    if len(objects) != 1:
        root.at("schema").report(
            f"one contract is one dataset: schema has exactly one object, not {len(objects)}"
            + ("; write a file for each" if objects else "")
        )
        return None
    return objects[0]
