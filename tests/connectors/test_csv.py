"""CSV files as agencies have them."""

import csv
import gzip
import io
import zipfile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zhixin_connectors import csvfile
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import ConfigError, PermanentSourceError

FIELDS = {"id": pa.int64(), "name": pa.string()}
WHOLE = ""


@pytest.fixture
def read(tmp_path, take):
    def go(data, fields=FIELDS, name="t.csv", **options):
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return take(tmp_path, name, fields, options=options)

    return go


def test_a_quoted_empty_field_is_text_and_an_unquoted_one_is_null(read):
    table, misfits, _ = read('id,name\n1,""\n2,\n,x\n')
    assert table.to_pydict() == {"id": [1, 2, None], "name": ["", None, "x"]}
    assert misfits == []


def test_a_quoted_empty_field_is_no_number(read):
    _, misfits, _ = read('id,name\n"",x\n')
    assert misfits == [(0, "id", "not an integer", "")]


def test_null_words_count_unquoted_and_quoted_where_declared(read):
    data = 'id,name\n1,NA\n2,"NA"\n'
    assert read(data)[0]["name"].to_pylist() == ["NA", "NA"]
    assert read(data, null=["NA"])[0]["name"].to_pylist() == [None, "NA"]
    assert read(data, null=["NA"], nullQuoted=True)[0]["name"].to_pylist() == [None, None]


def test_rows_with_too_many_or_too_few_fields_are_misfits_in_their_place(read):
    table, misfits, raw = read('id,name\n1,a\n2,"b, c",d\n3\n\n4,e\nx,f,g\n')
    assert table.to_pydict() == {
        "id": [1, None, None, 4, None],
        "name": ["a", None, None, "e", None],
    }
    assert misfits == [
        (1, WHOLE, "fields in the row: 3, in the header: 2", '2,"b, c",d'),
        (2, WHOLE, "fields in the row: 1, in the header: 2", "3"),
        (4, WHOLE, "fields in the row: 3, in the header: 2", "x,f,g"),
    ]
    assert raw.to_pydict() == {
        "id": ["1", "2", "3", "4", "x"],
        "name": ["a", "b, c", None, "e", "f"],
    }


def test_ragged_rows_keep_their_place_across_blocks_and_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(csvfile, "_BLOCKS", (1 << 12, 1 << 20))
    lines = [f"{n},{'x' * (n % 90)}" if n % 13 else f"{n}" for n in range(5_000)]
    lines[4_000] = '4000,"' + "long\n" * 5_000 + '"'  # longer than the first block
    (tmp_path / "t.csv").write_text("id,name\n" + "\n".join(lines))
    source = open_source(str(tmp_path / "t.csv"))
    position = 0
    for each in source.read(ReadRequest("t", pa.schema(list(FIELDS.items())), batch_rows=700)):
        rows = range(position, position + each.batch.num_rows)
        assert each.first_row == position
        assert each.batch["id"].to_pylist() == [n if n % 13 else None for n in rows]
        assert [m.row + position for m in each.misfits] == [n for n in rows if n % 13 == 0]
        assert each.raw_texts(range(len(rows)))["id"].to_pylist() == [str(n) for n in rows]
        position += each.batch.num_rows
    assert position == 5_000


def test_line_ends_and_delimiters_within_quotes_are_text(read):
    table, _, _ = read('id;name\r\n1;"a\r\n;""b"""\r\n', delimiter=";")
    assert table["name"].to_pylist() == ['a\r\n;"b"']


def test_a_quote_within_a_field_is_a_character(read):
    assert read('id,name\n1,="5"\n2,7" pipe\n')[0]["name"].to_pylist() == ['="5"', '7" pipe']
    assert read('id,name\n1,"a\n', quote="")[0]["name"].to_pylist() == ['"a']


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_refuses_a_file_that_ends_within_quotes(read, end):
    with pytest.raises(PermanentSourceError, match="ends inside a quoted field"):
        read(f'id,name\n1,a\n2,"b\n3,c{end}')


def test_an_empty_line_is_a_null_where_there_is_one_column_only(read):
    table, _, _ = read("id\n1\n\n3\n", {"id": pa.int64()})
    assert table["id"].to_pylist() == [1, None, 3]


def test_lines_before_the_header_are_left_out_where_declared(read):
    data = '"a title, with ""quotes""\n\nof 2021\r\nid,name\n1,a\n\n2,b'
    table, misfits, _ = read(data, skipRows=3)
    assert table.to_pydict() == {"id": [1, 2], "name": ["a", "b"]}
    assert misfits == []


def test_header_lines_are_joined_and_merged_cells_filled_to_the_right(read):
    data = "id,a,,b\n,x,y,\n1,2,3,4\n5,6\n"
    fields = dict.fromkeys(["id", "a/x", "a/y", "b"], pa.string())
    table, misfits, _ = read(data, fields, headerRows=2)
    assert table.to_pylist()[0] == {"id": "1", "a/x": "2", "a/y": "3", "b": "4"}
    assert [(row, field) for row, field, *_ in misfits] == [(1, WHOLE)]


def test_a_file_without_a_header_has_the_contracts_columns_in_its_order(read):
    assert read("1,a\n2,b\n", headerRows=0)[0].to_pydict() == {"id": [1, 2], "name": ["a", "b"]}
    assert read("", headerRows=0)[0].num_rows == 0
    with pytest.raises(PermanentSourceError, match="3 columns without names, and the contract"):
        read("1,a,x\n", headerRows=0)
    with pytest.raises(ConfigError, match=r"zhixin\.headerRows"):
        read("1,a\n", headerRows="two")


def test_a_field_may_be_longer_than_a_block(read, monkeypatch):
    monkeypatch.setattr(csvfile, "_BLOCKS", (1 << 12, 1 << 22))
    long = "x" * 500_000
    table, misfits, _ = read(f"id,name\n1,{long}\n2,{long},more\n3,b")
    assert table["name"].to_pylist() == [long, None, "b"]
    assert misfits[0][:3] == (1, WHOLE, "fields in the row: 3, in the header: 2")


def test_control_characters_are_characters(read):
    data = b"id,name\n1,a\0b\n2,\x0b\x1f\n3,\xe2\x80\xa8\n"
    assert read(data)[0]["name"].to_pylist() == ["a\0b", "\x0b\x1f", "\u2028"]


def test_line_ends_may_be_mixed_and_the_last_be_missing(read):
    table, misfits, _ = read('id,name\r\n1,a\n2,b\r3,"c"')
    assert (table["name"].to_pylist(), misfits) == (["a", "b", "c"], [])


def test_a_header_alone_gives_no_record(read):
    assert read("id,name\n")[0].num_rows == 0
    assert read("id,name")[0].num_rows == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "no header line"),
        ("\n\n", "no header line"),
        ("id,,name,\n1,2,3,4\n", "no name for column 2, 4"),
        ("id,name,id\n1,x,2\n", "the name id more than once"),
        ("id;name\n1;x\n", "no column id, name"),
        ("\ufeffID,name\n1,x\n", r"no column id \(and has ID"),
        (b"id,\xc3\x28\n1,x\n", "not valid utf-8"),
        ("id,name\n1,x\n".encode("utf-16"), "byte order mark of UTF-16"),
    ],
)
def test_refuses_a_header_that_does_not_name_the_columns(read, data, words):
    with pytest.raises(PermanentSourceError, match=words):
        read(data)


def test_a_text_without_the_mark_that_its_encoding_needs_is_told_by_its_place(read):
    with pytest.raises(PermanentSourceError, match="has no byte order mark, and utf-16") as refusal:
        read("id,name\n1,x\n".encode("utf-16-le"), encoding="utf-16")
    assert str(refusal.value).startswith("source ")
    assert "utf-16-le" in refusal.value.hint


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "rot13", "idna", "undefined", "a\0b"])
def test_an_encoding_of_no_file_is_refused_by_its_option(read, encoding):
    with pytest.raises(ConfigError, match=r"zhixin\.encoding names no encoding"):
        read("id,name\n", encoding=encoding)


def test_a_first_column_without_a_name_may_number_the_rows(read):
    assert read(",id,name\n0,1,a\n")[0].to_pydict() == {"id": [1], "name": ["a"]}


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        *((name, "甲𠀀") for name in ("utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le")),
        ("utf-16-be", "甲𠀀"),
        ("gbk", "甲乙丂"),
        ("big5", "甲乙許功蓋"),  # whose second bytes are ASCII's backslash, among others
        ("shift_jis", "表示ソ能"),
        ("euc_kr", "가나"),
        ("cp1252", "Müller–€"),
    ],
)
def test_reads_the_declared_encoding_with_or_without_a_mark(read, encoding, text):
    data = f'id,name\n1,{text}\n2,"{text},\n{text}"\n'.encode(encoding)
    table, misfits, _ = read(data, encoding=encoding)
    assert table["name"].to_pylist() == [text, f"{text},\n{text}"]
    assert misfits == []


@pytest.mark.parametrize(
    ("encoding", "would"), [("gb18030", "gb18030"), ("shift_jis", "shift_jis"), ("big5", "big5")]
)
def test_a_header_in_another_encoding_tells_what_would_read_it(read, encoding, would):
    with pytest.raises(PermanentSourceError, match="not valid utf-8") as refusal:
        read("編號,名稱\n1,甲\n".encode(encoding), {"編號": pa.int64()})
    assert would in refusal.value.hint
    assert "never guessed" in refusal.value.hint


def test_whoever_looks_at_a_file_is_told_of_another_encoding_below_its_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("id,name\n1,甲乙\n2,丙丁\n".encode("gb18030"))
    with pytest.raises(PermanentSourceError, match=r"the text of .* is not valid") as refusal:
        open_source(str(path)).describe("t")
    assert "gb18030" in refusal.value.hint
    assert open_source(str(path), {"encoding": "gb18030"}).describe("t").rows == 2
    path.write_bytes("id,name\n1,甲乙\n2,\xff\n".encode("latin-1", "ignore") + "3,丙".encode())
    assert open_source(str(path)).describe("t").rows == 3


def test_whoever_looks_at_a_file_is_told_of_a_title_above_its_header(tmp_path):
    (tmp_path / "t.csv").write_text("Permits of 2021\nid,day\n1,5.3.2021\n2,6.3.2021\n")
    with pytest.raises(PermanentSourceError, match="names 1 columns, and the line below has 2"):
        open_source(str(tmp_path)).describe("t.csv")
    options = {"skipRows": 1, "dateFormat": "d.M.y"}
    seen = open_source(str(tmp_path), options).describe("t.csv")
    assert [column.type for column in seen.columns] == [pa.int64(), pa.date32()]
    assert seen.options == options


def test_a_text_cut_within_a_character_rejects_its_record(read):
    table, misfits, _ = read("id,name\n1,甲\n2,乙".encode("utf-16-le")[:-1], encoding="utf-16-le")
    assert table["name"].to_pylist() == ["甲", None]
    assert [row for row, *_ in misfits] == [1]


@pytest.mark.parametrize(("encoding", "bad"), [("utf-8", b"\xffz"), ("gb18030", b"\xffz")])
def test_bytes_that_are_no_text_reject_their_own_record(read, encoding, bad):
    data = "id,name\n1,甲\n".encode(encoding) + b"2," + bad + b"\n" + bad + b"\n3,x\n"
    table, misfits, raw = read(data, encoding=encoding)
    assert table["name"].to_pylist() == ["甲", None, None, "x"]
    assert [(row, field, text) for row, field, _, text in misfits] == [
        (1, "name", r"\xffz"),
        (2, WHOLE, r"\xffz"),
    ]
    assert raw["name"].to_pylist() == ["甲", r"\xffz", None, "x"]


def test_a_character_at_the_very_end_of_unicode_is_a_text_like_others(read):
    assert read("id,name\n1,\U0010ffff\n")[0]["name"].to_pylist() == ["\U0010ffff"]


def test_unpacks_gz_and_zip(read, tmp_path):
    data = b"id,name\n1,a\n"
    assert read(gzip.compress(data), name="t.csv.gz")[0].num_rows == 1
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("inner.csv", data)
    assert read((tmp_path / "one.zip").read_bytes(), name="t.csv.zip")[0].num_rows == 1
    with zipfile.ZipFile(tmp_path / "one.zip", "a") as archive:
        archive.writestr("other.csv", data)
    with pytest.raises(PermanentSourceError, match="holds 2 files"):
        read((tmp_path / "one.zip").read_bytes(), name="t.csv.zip")


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zip"])
def test_refuses_a_damaged_archive(read, name):
    data = gzip.compress(b"id,name\n" + b"1,a\n" * 100_000)
    with pytest.raises(PermanentSourceError, match="damaged"):
        read(data[:-20], name=name)


def test_refuses_a_wrong_option_by_its_name(read):
    with pytest.raises(ConfigError, match=r"zhixin\.nul"):
        read("id,name\n", nul=["NA"])


def test_tabs_are_known_by_the_name_of_the_file(read):
    assert read("id\tname\n1\ta\n", name="t.tsv")[0]["name"].to_pylist() == ["a"]


def test_a_path_stays_inside_of_the_folder(tmp_path, take):
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.csv").write_text("id,name\n1,a\n")
    for name in ("../secret.csv", str(tmp_path / "secret.csv")):
        with pytest.raises(PermanentSourceError, match="outside"):
            take(tmp_path / "inside", name, FIELDS)


fields = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(rows=st.lists(st.tuples(fields, fields), max_size=8), end=st.sampled_from(["\n", "\r\n"]))
def test_every_text_comes_back_through_a_csv(tmp_path_factory, rows, end):
    def written(value):
        return "" if value is None else '"' + value.replace('"', '""') + '"'

    lines = [b"a,b", *(",".join(map(written, row)).encode() for row in rows)]
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(end.encode().join(lines) + end.encode())
    schema = pa.schema([("b", pa.string()), ("a", pa.string())])
    got = [
        (row["a"], row["b"])
        for each in open_source(str(path)).read(ReadRequest("t.csv", schema))
        for row in each.batch.to_pylist()
    ]
    assert got == rows


pieces = st.sampled_from(
    ["a", "1", ",", ",", "\n", "\r\n", "\r", '"', '""', '"b,\n"', "", "甲", "\0"]
)


@given(pieces=st.lists(pieces, max_size=30), columns=st.integers(1, 3))
def test_records_and_ragged_rows_are_the_rows_that_python_sees(tmp_path_factory, pieces, columns):
    """Where Python's csv reads a file to its end, the count and the fields are the same."""
    body = "".join(pieces)
    names = ["a", "b", "c"][:columns]
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text(",".join(names) + "\n" + body, encoding="utf-8", newline="")
    expected = list(csv.reader(io.StringIO(body, newline=""), strict=False))
    rows = [row for row in expected if row or columns == 1]
    schema = pa.schema([(name, pa.string()) for name in names])
    try:
        seen = list(open_source(str(path)).read(ReadRequest("t", schema)))
    except PermanentSourceError:  # it ends inside of quotes, of which Python says nothing by itself
        with pytest.raises(csv.Error):
            list(csv.reader(io.StringIO(body, newline=""), strict=True))
        return
    records = [list(row.values()) for each in seen for row in each.batch.to_pylist()]
    ragged = {each.first_row + m.row for each in seen for m in each.misfits}
    assert len(records) == len(rows)
    assert ragged == {at for at, row in enumerate(rows) if len(row or [""]) != columns}
    for at, row in enumerate(rows):
        if at not in ragged:
            assert [text or "" for text in records[at]] == (row or [""])


@given(data=st.binary(max_size=60))
def test_no_bytes_bring_out_another_error_than_ours(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(b"id,name\n" + data)
    try:
        for each in open_source(str(path)).read(ReadRequest("t", pa.schema(list(FIELDS.items())))):
            each.batch.validate(full=True)
            each.raw_texts(range(each.batch.num_rows))
    except PermanentSourceError:
        pass
