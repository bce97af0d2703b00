"""Canonical texts: the vectors, and the vectorised path against an obvious slow one."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from zhixin_errors import FormatError
from zhixin_gateway.datasets import canonical
from zhixin_gateway.datasets.sizes import text_bounds
from zhixin_gateway.datasets.types import fields_schema, parse_type
from zhixin_gateway.datasets.values import check_values, number_text, parse_values

pytestmark = pytest.mark.usefixtures("either_path")

CASES = ["binary", "boolean", "date", "decimal-1-0", "decimal-38-0", "decimal-38-38",
         "decimal-7-2", "float", "integer", "string", "time", "timestamp", "timestamptz",
         "unsigned"]  # fmt: skip


def load(vectors, name):
    return json.loads((vectors / "canonical" / f"{name}.json").read_text())


def one_column(array):
    return pa.RecordBatch.from_arrays([array], names=["x"])


def element(text):
    return json.dumps([text], ensure_ascii=False, separators=(",", ":"))


def test_every_file_of_values_is_walked(vectors):
    there = {path.stem for path in (vectors / "canonical").glob("*.json")}
    assert there == {*CASES, "types", "records"}


@pytest.mark.parametrize("name", CASES)
def test_writes_the_text_of_every_value(vectors, forms, name):
    case = load(vectors, name)
    arrow = parse_type(case["type"])
    given_values = [forms.from_vector(case["type"], item["value"]) for item in case["values"]]
    wanted = [element(item["text"]) for item in case["values"]]
    array = forms.to_array(case["type"], given_values, arrow)
    assert canonical.texts(one_column(array)).to_pylist() == wanted
    many = pa.concat_arrays([array] * 50)
    assert canonical.texts(one_column(many)).to_pylist() == wanted * 50
    assert [forms.slow_record([case], [value]) for value in given_values] == wanted


@pytest.mark.parametrize("name", CASES)
def test_reads_every_text_back_to_its_value(vectors, forms, name):
    case = load(vectors, name)
    schema = fields_schema([{"name": "x", "type": case["type"]}])
    for item in case["values"]:
        value = forms.from_vector(case["type"], item["value"])
        wanted = forms.to_array(case["type"], [value], schema.field(0).type)
        read = parse_values([item["text"]], schema)
        assert canonical.texts(read) == canonical.texts(one_column(wanted))


@pytest.mark.parametrize("name", CASES)
def test_refuses_every_value_without_a_text(vectors, forms, name):
    case = load(vectors, name)
    arrow = parse_type(case["type"])
    for spelled in case["values_rejected"]:
        try:
            value = forms.from_vector(case["type"], spelled)
            array = forms.to_array(case["type"], [None, value], arrow)
        except (OverflowError, pa.ArrowInvalid, pa.ArrowTypeError):
            continue  # the type's own bits can't hold it
        batch = one_column(array)
        assert canonical.invalid_mask(batch).to_pylist() == [False, True]
        with pytest.raises(FormatError):
            canonical.texts(batch)


@pytest.mark.parametrize("name", CASES)
def test_refuses_every_text_that_is_not_canonical(vectors, name):
    case = load(vectors, name)
    schema = fields_schema([{"name": "secret", "type": case["type"]}])
    for text in case["texts_rejected"]:
        with pytest.raises(FormatError) as caught:
            check_values([text], schema)
        assert "secret" in str(caught.value)
        assert len(text) < 4 or text not in str(caught.value)


def test_writes_whole_records(vectors, forms):
    case = load(vectors, "records")
    records = [
        [forms.from_vector(f["type"], v) for f, v in zip(case["fields"], r["values"], strict=True)]
        for r in case["records"]
    ]
    batch = forms.to_batch(case["fields"], records, fields_schema(case["fields"]))
    wanted = [record["text"] for record in case["records"]]
    assert canonical.texts(batch).to_pylist() == wanted
    assert canonical.texts(batch.slice(3, 4)).to_pylist() == wanted[3:7]
    for text in wanted:
        check_values(json.loads(text), batch.schema)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_the_vectorised_path_is_the_slow_one(forms, data):
    fields = data.draw(forms.field_lists())
    records = data.draw(forms.record_lists(fields))
    schema = fields_schema(fields)
    wanted = [forms.slow_record(fields, record) for record in records]
    batch = forms.to_batch(fields, records, schema)
    assert canonical.texts(batch).to_pylist() == wanted
    repeats = data.draw(st.integers(1, 20))
    many = forms.to_batch(fields, records * repeats, schema)
    start = data.draw(st.integers(0, len(records) - 1))
    assert canonical.texts(many.slice(start)).to_pylist() == (wanted * repeats)[start:]
    assert not any(canonical.invalid_mask(many).to_pylist())


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_texts_read_back_to_the_same_record(forms, data):
    fields = data.draw(forms.field_lists())
    record = data.draw(forms.record_lists(fields, max_size=1))
    schema = fields_schema(fields)
    batch = forms.to_batch(fields, record, schema)
    text = canonical.texts(batch)
    read = parse_values(json.loads(text[0].as_py()), schema)
    assert canonical.texts(read) == text
    assert read.schema == schema


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_different_values_have_different_texts(forms, data):
    fields = data.draw(forms.field_lists())
    one, other = (data.draw(forms.record_lists(fields, max_size=1))[0] for _ in range(2))
    assume(repr(one) != repr(other))
    left, right = (
        canonical.texts(forms.to_batch(fields, [record], fields_schema(fields)))[0].as_py()
        for record in (one, other)
    )
    assert left != right


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_numbers_are_ecmascripts(forms, data):
    value = data.draw(forms.floats)
    assert number_text(value) == forms.slow_number(value)
    assert float(number_text(value)) == value
    batch = one_column(pa.array([value], pa.float64()))
    assert canonical.texts(batch)[0].as_py() == f'["{number_text(value)}"]'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_has_no_text(value):
    with pytest.raises(FormatError):
        number_text(value)


def test_zero_and_negative_zero_differ_among_many():
    array = pa.array([0.0, -0.0, None] * 100)
    assert canonical.texts(one_column(array)).to_pylist() == ['["0"]', '["-0"]', "[null]"] * 100


def test_members_of_a_struct_stand_in_the_order_of_utf_16():
    pair = pa.array([{"\ufb33": 1, "\U0001f600": 2, "a": 3}])
    wanted = '[{"a":"3","\U0001f600":"2","\ufb33":"1"}]'
    assert canonical.texts(one_column(pair)).to_pylist() == [wanted]


def test_an_invalid_value_behind_a_null_does_no_harm():
    array = pa.array([math.nan, 1.0], mask=pa.array([True, False]).to_numpy(zero_copy_only=False))
    assert canonical.texts(one_column(array)).to_pylist() == ["[null]", '["1"]']


def test_finds_the_invalid_record_within_lists_and_structs():
    dates = pa.array([0, 2_932_897, 1, None], pa.int32()).view(pa.date32())
    listed = pa.ListArray.from_arrays(pa.array([0, 1, 1, 3, 4], pa.int32()), dates)
    assert canonical.invalid_mask(one_column(listed)).to_pylist() == [False, False, True, False]
    pair = pa.StructArray.from_arrays([dates], names=["d"])
    assert canonical.invalid_mask(one_column(pair)).to_pylist() == [False, True, False, False]
    with pytest.raises(FormatError, match="record 2 "):
        canonical.texts(one_column(listed))


def test_finds_strings_that_are_not_utf8():
    raw = [b"a", b"\xff", None, b"\xed\xa0\x80", b"\xc0\x80", "é".encode()]
    array = pa.array(raw, pa.binary()).view(pa.string())
    mask = canonical.invalid_mask(one_column(array)).to_pylist()
    assert mask == [False, True, False, True, True, False]
    coded = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), array.slice(0, 2))
    assert canonical.invalid_mask(one_column(coded)).to_pylist() == [False, True, False]


@pytest.mark.parametrize("precision", [1, 5, 18, 19, 20, 37, 38])
def test_finds_decimals_of_too_many_digits(forms, precision):
    most = 10**precision - 1
    spelled = [most, most + 1, -most, -most - 1, 0, None]
    array = forms.decimals(spelled, pa.decimal128(precision, 0))
    mask = canonical.invalid_mask(one_column(array)).to_pylist()
    assert mask == [False, True, False, True, False, False]


def test_cuts_batches_into_pieces_that_are_together_the_batch():
    batch = one_column(pa.array(["x" * 100] * 1000))
    cut = list(canonical.pieces(batch, piece_bytes=2000))
    assert len(cut) > 10
    assert pa.Table.from_batches(cut).combine_chunks() == pa.Table.from_batches([batch])
    assert list(canonical.pieces(batch.slice(0, 0))) == []


def test_marks_records_whose_text_is_too_long():
    batch = one_column(pa.array(["a", "\x00" * 20, "b" * 119, "b" * 116, None]))
    marked = canonical.too_long_mask(batch, limit=120)
    assert marked.to_pylist() == [False, True, True, False, False]
    assert canonical.too_long_mask(batch).to_pylist() == [False] * 5
    flags = one_column(pa.array([[True] * 10, [False] * 90], pa.list_(pa.bool_())))
    assert canonical.too_long_mask(flags, limit=720).to_pylist() == [False, True]
    long = pa.list_(pa.struct([("n" * 100, pa.bool_())]))
    named = one_column(pa.array([[{"n" * 100: None}] * 9, []], long))
    assert canonical.too_long_mask(named, limit=900).to_pylist() == [True, False]
    assert canonical.too_long_mask(named, limit=999).to_pylist() == [False, False]
    assert canonical.too_long_mask(batch.slice(0, 0)).to_pylist() == []


@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_texts_lie_within_their_bounds(forms, data):
    fields = data.draw(forms.field_lists())
    batch = forms.to_batch(fields, data.draw(forms.record_lists(fields)), fields_schema(fields))
    low, high = text_bounds(batch)
    lengths = pc.binary_length(canonical.texts(batch))
    assert low <= pc.sum(lengths).as_py() + batch.num_rows <= high


@given(raw=st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8"))), min_size=1))
def test_strings_are_bounded_exactly_behind_a_dictionary_too(raw):
    array = pa.array(raw, pa.string())
    exact = pc.sum(pc.binary_length(canonical.texts(one_column(array)))).as_py() + len(raw)
    assert text_bounds(one_column(array)) == (exact, exact)
    assert text_bounds(one_column(array.dictionary_encode())) == (exact, exact)


@given(text=st.text(alphabet="0123456789.-+eE_ ", max_size=8))
@example(text="1e400")
def test_a_text_that_is_taken_is_the_one_that_is_written(text):
    for kind in ("integer", "unsigned", "float", "decimal(5,2)", "decimal(38,0)"):
        schema = fields_schema([{"name": "x", "type": kind}])
        try:
            read = parse_values([text], schema)
        except FormatError:
            continue
        assert canonical.texts(read)[0].as_py() == element(text)


@pytest.mark.parametrize(
    "values",
    [None, "x", [], ["1", "2"], [["1"]], [{}], [True], {"x": "1"}],
)
def test_refuses_records_of_another_shape(values):
    schema = fields_schema([{"name": "x", "type": "integer"}])
    with pytest.raises(FormatError):
        check_values(values, schema)


def test_refuses_lists_and_structs_of_another_shape():
    pair = {"struct": [{"name": "a", "type": "string"}, {"name": "b", "type": "string"}]}
    schema = fields_schema([{"name": "x", "type": {"list": pair}}])
    check_values([[{"a": None, "b": ""}, None]], schema)
    for bad in ([{"a": None}], [{"a": None, "b": None, "c": None}], ["x"], {}, [[]]):
        with pytest.raises(FormatError):
            check_values([bad], schema)
