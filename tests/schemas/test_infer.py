"""A first contract for a table: sound whatever the table, and without its values."""

from __future__ import annotations

import re
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
    minimum: str | None = None
    maximum: str | None = None
    distinct: list | None = None
    lengths: tuple | None = None
    form: str = ""
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


def infer(*columns, with_values=True, **more):
    table = Table("t", list(columns), **more)
    return infer_contract("a.example/t", table, server="files", with_values=with_values)


def taken(text):
    """Take every suggestion: remove the ``# `` of lines that begin with it and a key."""
    return re.sub(
        r"^( {0}| {4}| {8}| {10})# (?=(  )?(- \{|[a-zA-Z]+:))", r"\1", text, flags=re.MULTILINE
    )


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
    assert "        # required: true\n" in text
    assert '      # 33 % are null (1 of 3)\n      - name: "y"\n' in text
    assert "# 2 of 3 values do not fit this type" in text


def test_says_that_blanks_of_a_char_column_count():
    said = "# texts begin or end with blanks, which count: trim them in a view or a query\n"
    assert said in infer(Column("kind", pa.string(), distinct=["在业  ", "注销  "]))
    assert said not in infer(Column("kind", pa.string(), distinct=["在业", "ab cd"]))


def suggested(column, **more):
    """The lines of suggestions for a column, without ``# ``."""
    text = infer(column, **{"rows": 340, **more})
    assert loaded(taken(text))
    lines = text[text.index("properties:") : text.index("    # quality:")].splitlines()
    return [line.strip()[2:] for line in lines if line.startswith("        # ")]


def test_suggests_few_values_that_many_records_share():
    kind = Column("kind", pa.string(), distinct=["餐饮", "零售", "NO"], lengths=(2, 2), nulls=3)
    assert suggested(kind) == [
        'enum: [{value: 餐饮}, {value: 零售}, {value: "NO"}]',
        "businessName: Kind",
    ]
    assert suggested(kind, rows=32)[0] == "logicalTypeOptions: {maxLength: 2}"  # not 10 times each
    code = Column("code", pa.int64(), distinct=["1", "2", "9"], minimum="1", maximum="9", nulls=1)
    assert suggested(code)[0] == "enum: [{value: 1}, {value: 2}, {value: 9}]"
    (only,) = suggested(Column("note", pa.string(), distinct=["x"], nulls=1))
    assert only == "businessName: Note"
    month = Column("month", pa.int64(), distinct=["1", "2"], minimum="1", maximum="2", nulls=1)
    assert suggested(month)[0] == "logicalTypeOptions: {minimum: 1, maximum: 2}"
    pay = Column("pay", pa.float64(), distinct=[str(n) for n in range(19)], minimum="1234.56",
                 maximum="20987.65", nulls=1)  # fmt: skip
    assert suggested(pay, rows=25)[0] == "logicalTypeOptions: {minimum: 1000, maximum: 30000}"


RANGES = [
    (pa.int64(), "7", "431", "{minimum: 0, maximum: 500}"),
    (pa.int64(), "-7", "9999", "{minimum: -7, maximum: 10000}"),
    (pa.float64(), "12.5", "1e+21", "{minimum: 10, maximum: 1000000000000000000000}"),
    (pa.decimal128(10, 2), "-0.25", "0.00", "{minimum: -0.3, maximum: 0.00}"),
    (pa.date32(), "1987-06-03", "2024-02-01", "{minimum: 1987-01-01}"),
    (pa.timestamp("us"), "1987-06-03T01:00:00", "2024-02-01T00:00:00",
     "{minimum: \"1987-01-01T00:00:00\"}"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "low", "high", "says"), RANGES, ids=str)
def test_suggests_rounded_ends(kind, low, high, says):
    column = Column("x", kind, minimum=low, maximum=high, nulls=1)
    (first, *_) = suggested(column)
    assert first.replace('"1987-01-01"', "1987-01-01") == f"logicalTypeOptions: {says}"
    assert not any("minimum" in line for line in suggested(column, rows=15))


def test_a_suggested_end_goes_among_the_options_that_are_there():
    at = Column("at", pa.timestamp("us", "UTC"), minimum="1987-06-03T01:00:00Z", maximum="x",
                nulls=1)  # fmt: skip
    text = infer(at, rows=99)
    assert (
        "        logicalTypeOptions:\n          timezone: true\n"
        '          # minimum: "1987-01-01T00:00:00Z"\n'
    ) in text
    assert loaded(taken(text)).fields[0].type == "timestamptz"


PERSONAL = [
    "身份证号", "id_card", "idCard", "手机号码", "Phone", "联系电话", "email", "E-Mail", "姓名",
    "holder", "出生日期", "date_of_birth", "家庭住址", "street", "银行卡号", "车牌", "法定代表人",
]  # fmt: skip


@pytest.mark.parametrize("name", PERSONAL)
def test_tells_no_value_of_what_looks_personal(name):
    lines = suggested(
        Column(name, pa.string(), distinct=["secret", "secrets"], minimum="secret",
               maximum="secrets", lengths=(6, 7), nulls=1)
    )  # fmt: skip
    assert "classification: restricted" in lines
    assert any("zhixin.treatment" in line for line in lines)
    assert not any("secret" in line for line in lines)


def test_what_looks_like_nobody_is_no_person():
    for name in ("carrier", "tailnum", "name", "airport", "model", "id", "region", "placement"):
        assert not any("classification" in line for line in suggested(Column(name, pa.string())))


def test_a_day_of_birth_is_generalised_and_an_identity_number_is_a_form():
    born = Column("出生日期", pa.date32(), minimum="1949-12-31", maximum="2001-01-01", nulls=1)
    lines = suggested(born)
    assert any("{generalise: {to: year}}" in line for line in lines)
    assert not any("19" in line for line in lines)
    number = Column("号码", pa.string(), form="^[0-9]{17}[0-9X]$", lengths=(18, 18), nulls=1)
    text = infer(number, rows=50)
    assert 'pattern: "^[0-9]{17}[0-9X]$"' in text
    assert "looks like an identity number" in text
    assert "wrong check digits" in text


def test_without_values_no_suggestion_tells_one():
    columns = (
        Column("kind", pa.string(), distinct=["secret", "other"], nulls=1),
        Column("n", pa.int64(), minimum="71234", maximum="71234", nulls=1),
    )
    assert "secret" in infer(*columns, rows=340)
    text = infer(*columns, rows=340, with_values=False)
    assert "secret" not in text
    assert "minimum" not in text


def test_suggests_that_a_dataset_is_fresh_and_not_empty():
    text = infer(Column("更新时间", pa.timestamp("us", "UTC")), Column("x", pa.string()))
    rules = {rule.name for rule in loaded(taken(text)).rules}
    assert {"row-count", "更新时间.freshness", "更新时间.required"} <= rules
    assert "freshness" not in infer(Column("x", pa.date32()))


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


@st.composite
def _columns(draw):
    name, kind = draw(_NAMES), draw(_TYPES)
    column = Column(name, kind, remark=draw(st.text(max_size=10)), nulls=draw(st.integers(0, 2)))
    column.unique = draw(st.booleans())
    if pa.types.is_string(kind):
        column.distinct = draw(st.none() | st.lists(_NAMES, unique=True, max_size=3))
        column.lengths = (1, draw(st.integers(1, 200_000)))
        column.form = draw(st.sampled_from(["", r"^[0-9]{17}[0-9X]$", r"^[A-Z]\-\d$", "^1[3-9]$"]))
    if pa.types.is_integer(kind):
        column.minimum, column.maximum = "0", str(draw(st.integers(0, 2**63)))
    return column


@settings(deadline=None, max_examples=60)
@given(st.lists(_columns(), min_size=1, max_size=5, unique_by=lambda column: column.name))
def test_reads_back_as_the_types_that_were_seen_with_and_without_the_suggestions(columns):
    text = infer(*columns, rows=200)
    schema = pa.schema([(column.name, column.type) for column in columns])
    assert loaded(text).schema == schema
    assert [f.name for f in loaded(taken(text)).fields] == schema.names


def test_hundreds_of_columns_are_a_contract_too():
    text = infer(*(Column(f"列 {n}", pa.string(), lengths=(1, 9)) for n in range(400)), rows=99)
    assert len(loaded(taken(text)).fields) == 400
