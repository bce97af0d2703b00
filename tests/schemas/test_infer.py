"""A first contract for a table: sound whatever the table, and without its values."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zhixin_errors import ContractError
from zhixin_schemas.infer import infer_contract
from zhixin_schemas.loader import load_contract


@dataclass
class Column:
    name: str
    type: pa.DataType
    nullable: bool | None = None
    nulls: int = 0
    misfits: int = 0
    unique: bool | None = None
    remark: str = ""


@dataclass
class Table:
    object: str
    columns: list
    primary_key: tuple = ()
    rows: int = 3
    complete: bool = True
    options: dict = field(default_factory=dict)


def infer(*columns, **more):
    return infer_contract("a.example/t", Table("t", list(columns), **more), server="files")


def loaded(text):
    return load_contract(text.encode())


def test_takes_over_what_the_source_declares():
    text = infer(
        Column("a", pa.int64(), nullable=False),
        Column("b", pa.string(), nullable=False),
        Column("c", pa.decimal128(7, 2), nullable=True, nulls=1, remark="look\nhere \x07"),
        primary_key=("b", "a"),
        options={"zhixin.null": ["NA", "-"], "delimiter": "\t", "nullQuoted": True, "other": 1},
    )
    contract = loaded(text)
    assert contract.primary_key == ("b", "a")
    assert contract.options == {"null": ["NA", "-"], "delimiter": "\t", "nullQuoted": True}
    assert [f.required for f in contract.fields] == [True, True, False]
    assert (contract.server, contract.object, contract.status) == ("files", "t", "draft")
    assert "      # look here\n" in text


def test_guesses_a_key_and_says_so():
    text = infer(Column("x", pa.float64(), unique=True), Column("y", pa.string(), unique=True))
    assert loaded(text).primary_key == ("y",)
    assert "a guess: every value seen differs" in text
    text = infer(Column("y", pa.string(), unique=True, nulls=1))
    assert loaded(text).primary_key == ()
    assert "No primary key" in text


def test_says_what_it_does_not_decide():
    text = infer(Column("x", pa.string()), Column("y", pa.int64(), misfits=2, nulls=1))
    assert "# required: true    no null was seen" in text
    assert "# 2 of 3 values do not fit this type" in text


def test_refuses_what_no_contract_can_say():
    with pytest.raises(ContractError, match="is no dataset name"):
        infer_contract("a/T", Table("t", []), server="files")
    with pytest.raises(ContractError, match="at least one field"):
        infer()
    with pytest.raises(ContractError, match="two fields"):
        infer(Column("x", pa.string()), Column("x", pa.string()))


_SCALARS = st.sampled_from(
    [pa.bool_(), pa.int64(), pa.uint64(), pa.float64(), pa.string(), pa.binary(), pa.date32(),
     pa.time64("us"), pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.decimal128(38, 10)]
)  # fmt: skip
_NAMES = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=12) | (
    st.sampled_from(["NO", "null", "yes", "1.0", "- a", "a: b", "#x", "'", '"', "{", "\ufeff", "~"])
)
_TYPES = st.recursive(
    _SCALARS,
    lambda inner: (
        inner.map(lambda kind: pa.list_(pa.field("element", kind)))
        | st.dictionaries(_NAMES, inner, min_size=1, max_size=3).map(
            lambda members: pa.struct(list(members.items()))
        )
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(_NAMES, _TYPES, min_size=1, max_size=5), st.text(min_size=1, max_size=10))
def test_reads_back_as_the_types_that_were_seen(columns, remark):
    text = infer(*(Column(name, kind, remark=remark) for name, kind in columns.items()))
    assert loaded(text).schema == pa.schema(list(columns.items()))
