"""Reading parts: the vectors, exact columns, and bytes that are no part at all."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from zhixin_errors import VerificationError
from zhixin_gateway.datasets import records, sizes
from zhixin_gateway.datasets.canonical import texts
from zhixin_gateway.datasets.manifest import parse_manifest
from zhixin_gateway.datasets.parquet import PartReader
from zhixin_gateway.datasets.types import fields_schema


def part_cases(vectors, folder, prefix=""):
    for path in sorted((vectors / folder).glob(f"{prefix}*.json")):
        case = json.loads(path.read_text())
        if "part-00000.parquet" in case.get("files", {}) and "manifest.json" in case["files"]:
            yield path.stem, case


def parts_of(case, forms):
    manifest = parse_manifest(forms.expanded(case["files"]["manifest.json"]))
    for entry in manifest.parts:
        yield manifest.schema, entry, forms.expanded(case["files"][entry.path])


def plain(batch, **options):
    sink = io.BytesIO()
    options = {"store_schema": False, **options}
    pq.write_table(pa.Table.from_batches([batch]), sink, **options)
    return sink.getvalue()


def refused(data, schema, records_=None):
    with pytest.raises(VerificationError) as caught:
        PartReader(data, schema, records_).check()
    assert caught.value.code == "record"
    return str(caught.value)


def test_every_part_of_the_versions_has_its_root_and_content(vectors):
    walked = 0
    for path in (vectors / "versions").rglob("manifest.json"):
        manifest = parse_manifest(path.read_bytes())
        for entry in manifest.parts:
            data = (path.parent / entry.path).read_bytes()
            assert (
                PartReader(data, manifest.schema, entry.records, entry.path).verify(entry).records
                == entry.records
            )
            with (path.parent / entry.path).open("rb") as file:
                PartReader(file, manifest.schema, entry.records, entry.path).verify(entry)
            walked += 1
    assert walked > 15


def test_every_accepted_way_to_write_a_part_is_read(vectors, forms):
    names = []
    for name, case in part_cases(vectors, "accept"):
        for schema, entry, data in parts_of(case, forms):
            PartReader(data, schema, entry.records, entry.path).verify(entry)
            total = sum(batch.num_rows for batch in PartReader(data, schema).batches())
            assert total == entry.records
        names.append(name)
    assert {"page-200-mib", "parquet-plain", "nested-8", "decimal-byte-array"} <= set(names)


def test_every_part_that_is_not_its_records_is_refused(vectors, forms):
    walked = 0
    for name, case in part_cases(vectors, "negative", "record-"):
        codes = []
        for schema, entry, data in parts_of(case, forms):
            try:
                PartReader(data, schema, entry.records, entry.path).verify(entry)
            except VerificationError as error:
                codes.append(error.code)
        assert codes, name
        assert set(codes) == {"record"}
        walked += 1
    assert walked > 50


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_columns_must_be_exactly_the_fields(forms, data):
    fields = data.draw(forms.field_lists())
    others = data.draw(st.one_of(forms.field_lists(), st.permutations(fields)))
    batch = forms.to_batch(fields, [[None] * len(fields)] * 2, fields_schema(fields))
    part = plain(batch)
    (read,) = PartReader(part, fields_schema(fields), 2).batches()
    assert texts(read) == texts(batch)
    if others != fields:
        refused(part, fields_schema(others))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_records_survive_however_a_part_is_written(forms, data):
    fields = data.draw(forms.field_lists())
    schema = fields_schema(fields)
    batch = forms.to_batch(fields, data.draw(forms.record_lists(fields, max_size=30)), schema)
    options = data.draw(
        st.fixed_dictionaries(
            {
                "compression": st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
                "use_dictionary": st.booleans(),
                "data_page_version": st.sampled_from(["1.0", "2.0"]),
                "row_group_size": st.integers(1, 30),
                "data_page_size": st.integers(1, 100),
                "dictionary_pagesize_limit": st.integers(1, 100),
                "write_statistics": st.booleans(),
                "store_decimal_as_integer": st.booleans(),
            }
        )
    )
    part = plain(batch, **options)
    assume(readable(part))
    reader = PartReader(part, schema, batch.num_rows)
    read = [texts(piece) for piece in reader.batches()]
    assert pa.concat_arrays(read) == texts(batch)
    assert (
        reader.digest(bytes(32)).root() == PartReader(plain(batch), schema).digest(bytes(32)).root()
    )


def readable(part):
    """Arrow writes some null booleans of version 2, and null lists, so that it can't read them."""
    try:
        rows = pq.read_metadata(io.BytesIO(part)).num_rows
        return pq.read_table(io.BytesIO(part)).num_rows == rows
    except (pa.ArrowInvalid, OSError):
        return False


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN"])
def test_strings_are_read_in_every_encoding(encoding):
    values = ["", "a", "ab", None, "ab", "é" * 50] * 500
    batch = pa.record_batch({"x": values, "xs": [[v, v] for v in values]})
    schema = fields_schema(
        [{"name": "x", "type": "string"}, {"name": "xs", "type": {"list": "string"}}]
    )
    for version in ("1.0", "2.0"):
        part = plain(
            batch,
            use_dictionary=False,
            column_encoding={"x": encoding, "xs.list.element": encoding},
            data_page_version=version,
        )
        read = pa.Table.from_batches(PartReader(part, schema).batches())
        assert read.to_pydict() == batch.to_pydict()


def test_refuses_arrows_own_schema_in_the_file():
    batch = pa.record_batch({"x": [1]})
    message = refused(plain(batch, store_schema=True), batch.schema)
    assert "ARROW:schema" in message


def test_refuses_another_number_of_records():
    batch = pa.record_batch({"x": [1, 2]})
    assert "2 records, the manifest says 3" in refused(plain(batch), batch.schema, 3)


def test_gives_no_row_of_a_part_that_fails_at_its_end():
    dates = pa.array([0] * 70_000 + [2_932_897], pa.int32()).view(pa.date32())
    batch = pa.record_batch({"x": dates})
    with pytest.raises(VerificationError, match="canonical form"):
        next(PartReader(plain(batch), batch.schema).batches())


def test_gives_batches_of_a_bounded_number_of_rows():
    batch = pa.record_batch({"x": pa.array(range(150_000))})
    read = list(PartReader(plain(batch), batch.schema).batches())
    assert max(piece.num_rows for piece in read) <= 65_536
    assert pa.Table.from_batches(read).column(0).to_pylist() == list(range(150_000))


def test_counts_texts_exactly_where_the_bounds_do_not_tell(monkeypatch):
    """1,000 records of ["1"] and a newline are 6,000 bytes; the highest bound says more."""
    batch = pa.record_batch({"x": pa.array([1.0] * 1000)})
    part = plain(batch)
    low, high = sizes.text_bounds(batch)
    assert low <= 6000 < high
    for limit, fits in ((6000, True), (5999, False)):
        for module in ("records", "parquet", "bounds"):
            monkeypatch.setattr(f"zhixin_gateway.datasets.{module}.MAX_TEXTS_BYTES", limit)
        if fits:
            PartReader(part, batch.schema).check()
        else:
            assert "exceed" in refused(part, batch.schema)
    assert records.MAX_TEXTS_BYTES == 5999


@given(data=st.binary(max_size=40))
def test_bytes_that_are_no_parquet_are_refused(data):
    for part in (data, b"PAR1" + data + b"PAR1"):
        refused(part, pa.schema([("x", pa.int64())]))


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "part").write_bytes(b"")
    with (tmp_path / "part").open("rb") as file:
        refused(file, pa.schema([("x", pa.int64())]))


pytestmark = pytest.mark.usefixtures("either_path")

FUZZ = """
import pathlib, random, sys
import pyarrow as pa
from zhixin_errors import VerificationError
from zhixin_gateway.datasets.parquet import PartReader

schema = pa.ipc.read_schema(pa.py_buffer(pathlib.Path(sys.argv[2]).read_bytes()))
good = pathlib.Path(sys.argv[1]).read_bytes()
chance = random.Random(int(sys.argv[3]))
refused = 0
for _ in range(int(sys.argv[4])):
    data = bytearray(good)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        at = chance.randrange(len(data))
        how = chance.randrange(4)
        if how == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif how == 1:
            data[at] = chance.randrange(256)
        elif how == 2:
            del data[at : at + chance.randrange(1, 9)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
    try:
        PartReader(bytes(data), schema).digest(bytes(32))
    except VerificationError as error:
        assert error.code == "record", error.code
        refused += 1
print(refused)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_altered_parts_are_refused_or_read_and_never_crash(forms, every_type, tmp_path, seed):
    schema = fields_schema(every_type)
    batch = forms.to_batch(every_type, forms.some_records(every_type, 40, seed), schema)
    options = {"compression": "none", "data_page_version": f"{seed}.0", "row_group_size": 25}
    (tmp_path / "part").write_bytes(plain(batch, **options))
    (tmp_path / "schema").write_bytes(schema.serialize().to_pybytes())
    command = [sys.executable, "-c", FUZZ, tmp_path / "part", tmp_path / "schema", str(seed), "400"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 100
