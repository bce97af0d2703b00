"""Types of fields: JSON on one side, one Arrow type on the other."""

from __future__ import annotations

import contextlib
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_gateway.datasets.types import fields_schema, parse_type, schema_fields, type_json


def test_takes_every_type_of_the_vectors_and_writes_it_back(vectors):
    for kind in json.loads((vectors / "canonical/types.json").read_text())["types"]:
        assert type_json(parse_type(kind)) == kind


def test_refuses_every_type_that_the_vectors_refuse(vectors):
    refused = json.loads((vectors / "canonical/types.json").read_text())["types_rejected"]
    assert refused
    for kind in refused:
        with pytest.raises(FormatError):
            parse_type(kind)


@given(data=st.data())
def test_types_round_trip(forms, data):
    kind = data.draw(forms.types(depth=4))
    assert type_json(parse_type(kind)) == kind


@given(data=st.data())
def test_fields_round_trip(forms, data):
    fields = data.draw(forms.field_lists())
    assert schema_fields(fields_schema(fields)) == fields


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(max_size=12), st.just("decimal(5,2)")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["name", "type", "list", "struct", "x"]), inner),
    ),
)


@given(value=JSON)
def test_reading_anything_else_raises_no_other_error(value):
    for read in (parse_type, fields_schema):
        with contextlib.suppress(FormatError):
            read(value)


@pytest.mark.parametrize(
    "arrow",
    [pa.int32(), pa.float32(), pa.large_string(), pa.timestamp("ms"), pa.timestamp("us", "+01:00"),
     pa.decimal256(5, 2), pa.decimal128(5, -1), pa.dictionary(pa.int32(), pa.string()), pa.null(),
     pa.map_(pa.string(), pa.int64()), pa.list_(pa.int8()), pa.struct([])],
)  # fmt: skip
def test_no_type_of_the_manifest_stands_for_other_arrow_types(arrow):
    with pytest.raises(FormatError):
        type_json(arrow)


def test_names_the_place_of_a_wrong_type():
    fields = [{"name": "a", "type": {"struct": [{"name": "b", "type": {"list": "int"}}]}}]
    with pytest.raises(FormatError, match=r"fields\[0\]\.type\.struct\[0\]\.type\.list"):
        fields_schema(fields)


def test_refuses_names_that_are_empty_or_there_twice_when_writing():
    for names in (["a", "a"], [""], []):
        with pytest.raises(FormatError):
            schema_fields(pa.schema([(name, pa.int64()) for name in names]))
