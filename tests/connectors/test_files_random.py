"""Random tables through files and back: the same `content` as from the values themselves."""

import datetime as dt

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.connectors.random_tables import (
    SCALARS,
    canonical,
    element,
    integers,
    read_content,
    tables,
)

KINDS = (*SCALARS, "list", "struct")


def csv_field(value, kind):
    if value is None:
        return ""
    text = canonical(value, kind) if isinstance(kind, str) else element(value, kind)
    return '"' + text.replace('"', '""') + '"'


@settings(max_examples=40)
@given(
    table=tables(KINDS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_values_come_back_through_a_csv(tmp_path_factory, table, encoding, end):
    lines = [",".join(csv_field(name, "string") for name in table.types)]
    lines += [",".join(map(csv_field, row, table.types.values())) for row in table.rows]
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes((end.join(lines) + end).encode(encoding))
    assert read_content(str(path), "t", table, options={"encoding": encoding}) == table.content


@settings(max_examples=40)
@given(table=tables(KINDS), group=st.integers(1, 4))
def test_values_come_back_through_parquet(tmp_path_factory, table, group):
    columns = zip(*table.rows, strict=True) if table.rows else [[] for _ in table.types]
    arrays = [
        pa.array(list(column), field.type)
        for column, field in zip(columns, table.schema, strict=True)
    ]
    path = tmp_path_factory.mktemp("parquet") / "t.parquet"
    pq.write_table(pa.table(arrays, schema=table.schema), path, row_group_size=group)
    assert read_content(str(path), "t", table) == table.content


CELL_TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    min_size=1, max_size=8,
).filter(lambda text: text[0] not in "=#" and "_x" not in text)  # fmt: skip
MARCH_1900 = dt.datetime(1900, 3, 1)  # noqa: DTZ001
MOMENTS = st.datetimes(MARCH_1900, dt.datetime(9999, 12, 31)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
CELLS = {
    "boolean": st.booleans(),
    "integer": integers(1 - 10**15, 10**15 - 1),
    "float": st.floats(-1e300, 1e300).map(lambda f: float(f"{f:.15g}")),
    "string": CELL_TEXTS,
    "date": st.dates(MARCH_1900.date()),
    "timestamp": MOMENTS,
}


@settings(max_examples=40)
@given(table=tables(tuple(CELLS), CELLS))
def test_values_come_back_through_a_workbook(tmp_path_factory, table):
    workbook = openpyxl.Workbook()
    workbook.active.append(list(table.types))
    for row in table.rows:
        workbook.active.append(row)
    path = tmp_path_factory.mktemp("excel") / "t.xlsx"
    workbook.save(path)
    assert read_content(str(path), "t", table) == table.content
