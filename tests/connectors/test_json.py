"""JSON in lines and documents: numbers by their own text, a record or a misfit of the whole."""

import datetime as dt
import gzip
import io
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zhixin_connectors import jsondocument, jsonlines
from zhixin_connectors.jsondocument import JsonDocument, member_at
from zhixin_connectors.jsontext import (
    JsonReader,
    NotJsonError,
    Number,
    member_texts,
    plain_number,
)
from zhixin_connectors.registry import open_source
from zhixin_connectors.textstream import Utf8Stream
from zhixin_errors import ConfigError, PermanentSourceError

from tests.connectors.random_tables import SCALARS, canonical, read_content, tables

INT, UINT, FLOAT, TEXT = pa.int64(), pa.uint64(), pa.float64(), pa.string()


def one(tmp_path, take, literal, wanted, **options):
    """A single value under a type: (value, reason, raw)."""
    (tmp_path / "t.jsonl").write_bytes(
        b'{"v":' + (literal if isinstance(literal, bytes) else literal.encode()) + b',"w":1}\n'
    )
    table, misfits, _ = take(tmp_path, "t.jsonl", {"v": wanted, "w": INT}, options=options)
    assert table.column("w").to_pylist() == [1]
    (value,) = table.column("v").to_pylist()
    return (value, *(misfits[0][2:] if misfits else ("", None)))


@pytest.mark.parametrize(
    ("literal", "wanted", "value"),
    [
        ("9007199254740993", INT, 9007199254740993),
        ("18446744073709551615", UINT, 2**64 - 1),
        ("5.000", INT, 5),
        ("1E2", INT, 100),
        ("-0.0", INT, 0),
        ("0e999999999", INT, 0),
        ('"5"', INT, 5),
        ('"0007"', TEXT, "0007"),
        ("1.10", pa.decimal128(20, 2), Decimal("1.10")),
        ("-0.0", pa.decimal128(20, 2), Decimal("0.00")),
        ("12345678901234567.89", pa.decimal128(20, 2), Decimal("12345678901234567.89")),
        ('"1.10"', pa.decimal128(20, 2), Decimal("1.10")),
        ("1.5e1", pa.decimal128(20, 2), Decimal("15.00")),
        ("0.1", FLOAT, 0.1),
        ("1e-7", FLOAT, 1e-7),
        ("1.10", TEXT, "1.10"),
        ("1e400", TEXT, "1e400"),
        ("true", pa.bool_(), True),
        ('"false"', pa.bool_(), False),
        ("null", INT, None),
        ('"2024-01-05"', pa.date32(), dt.date(2024, 1, 5)),
        ('"\\u0000\\ud83d\\ude00"', TEXT, "\0😀"),
        ('"AAE="', pa.binary(), b"\0\x01"),
        ('[1, "2",3.0, null]', pa.list_(INT), [1, 2, 3, None]),
        ('{"a": 9007199254740993, "b": "x"}', pa.struct([("a", INT), ("b", TEXT)]),
         {"a": 9007199254740993, "b": "x"}),
        ('[1, {"a" :1.10}]', TEXT, '[1, {"a" :1.10}]'),
    ],
)  # fmt: skip
def test_a_value_is_exact(tmp_path, take, literal, wanted, value):
    found, reason, _ = one(tmp_path, take, literal, wanted)
    assert reason == ""
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("literal", "wanted", "reason", "raw"),
    [
        ("9223372036854775808", INT, "beyond 64 bits", "9223372036854775808"),
        ("-1", UINT, "below zero", "-1"),
        ("1.5", INT, "not an integer: it has a fraction", "1.5"),
        ("15e-1", INT, "not an integer: it has a fraction", "15e-1"),
        ('"1e3"', INT, "exponent notation under an integer: digits may have been lost", "1e3"),
        ("1e400", pa.decimal128(20, 2), "more than 18 digits before the point", "1e400"),
        ("1e99999", INT, "not a number of this range", "1e99999"),
        ("1e-99999", INT, "not a number of this range", "1e-99999"),
        ("1e9999999999999999999999", INT, "not a number of this range", "1e9999999999999999999999"),
        ("1e400", FLOAT, "beyond the range of a 64-bit float", "1e400"),
        ("9007199254740993", FLOAT, "an integer that a 64-bit float can't say exactly",
         "9007199254740993"),
        ("0.1000000000000000055511151231257827", pa.decimal128(20, 2), "more than 2 decimals",
         "0.1000000000000000055511151231257827"),
        ("true", INT, "a boolean, and another type was wanted", "true"),
        ("true", TEXT, "a boolean, and another type was wanted", "true"),
        ("1700000000", pa.timestamp("us"), "not a timestamp", "1700000000"),
        ("12", pa.binary(), "a number, and binary was wanted", "12"),
        ("{}", INT, "a JSON array or object where a scalar was wanted", "{}"),
        ('"[1]"', pa.list_(INT), "not a JSON array", "[1]"),
        ('[1,"x"]', pa.list_(INT), "not an integer", '[1,"x"]'),
        ('{"a":1}', pa.struct([("b", INT)]),
         "the JSON object has other members than the wanted type", '{"a":1}'),
        ('"\\ud800"', TEXT, "a lone surrogate is no text", '"\\ud800"'),
        ('["\\ud800"]', pa.list_(TEXT), "a lone surrogate is no text", '["\\ud800"]'),
        (b'"a\xff"', TEXT, "not valid in the source's encoding", "a\\xff"),
        (b'["\xff"]', pa.list_(TEXT), "not valid in the source's encoding", '["\\xff"]'),
        (b'"\xed\xa0\x80"', TEXT, "not valid in the source's encoding", "\\xed\\xa0\\x80"),
    ],
)  # fmt: skip
def test_a_value_that_the_type_cannot_say_is_a_misfit(tmp_path, take, literal, wanted, reason, raw):
    assert one(tmp_path, take, literal, wanted) == (None, reason, raw)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"v":NaN}', "not JSON: a number that is not finite"),
        ('{"v":-Infinity}', "not JSON: a number that is not finite"),
        ('{"v":1,"v":2}', "a member stands in it twice"),
        ('{"v":{"a":1,"a":2}}', "a member stands in it twice"),
        ('{"v":1', "not JSON"),
        ('{"v":01}', "not JSON"),
        ('{"v":.5}', "not JSON"),
        ('{"v":1,}', "not JSON"),
        ("{'v':1}", "not JSON"),
        ('{"v":"a\tb"}', "not JSON"),
        ('{"v":1} {"v":2}', "not JSON: something follows its end"),
        ('\u00a0{"v":1}', "not JSON"),
        ("[1]", "not a JSON object"),
        ("5", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"v":' + "[" * 64 + "]" * 64 + "}", "nested more than 64 deep"),
        ('{"v":' + "[" * 100_000, "nested more than 64 deep"),
    ],
)
def test_a_line_that_is_no_record_is_a_misfit_of_the_whole(tmp_path, take, line, reason):
    (tmp_path / "t.jsonl").write_text(f'{{"v":1}}\n{line}\n{{"v":3}}', encoding="utf-8")
    table, misfits, raw = take(tmp_path, "t.jsonl", {"v": TEXT})
    assert table.column("v").to_pylist() == ["1", None, "3"]
    assert misfits == [(1, "", reason, line)]
    assert raw.column("v").to_pylist() == ["1", None, "3"]


def test_lines_are_counted_as_they_stand(tmp_path, take):
    data = '\ufeff{"v":1}\r\n\n  \n{"v":"a\u2028b"}\n\n{"v":null}\n{}\n{"w":1}'.encode()
    for name, text in (("a.jsonl", data), ("a.ndjson.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(text)
        table, misfits, _ = take(tmp_path, name, {"v": TEXT})
        assert table.column("v").to_pylist() == ["1", "a\u2028b", None, None, None]
        assert misfits == []


def test_words_for_null_are_null(tmp_path, take):
    (tmp_path / "a.jsonl").write_text('{"v":"NA"}\n{"v":"NAN"}\n')
    table, _, _ = take(tmp_path, "a", {"v": TEXT}, options={"zhixin.null": ["NA"]})
    assert table.column("v").to_pylist() == [None, "NAN"]


def test_a_declared_form_of_dates_holds_inside_of_arrays_too(tmp_path, take):
    (tmp_path / "a.jsonl").write_text(
        '{"v":["2021年3月5日"],"w":"2021年3月6日"}\n{"v":["2021-03-05"]}'
    )
    fields = {"v": pa.list_(pa.date32()), "w": pa.date32()}
    options = {"zhixin.dateFormat": "y年M月d日"}
    table, misfits, _ = take(tmp_path, "a", fields, options=options)
    assert table.to_pylist()[0] == {"v": [dt.date(2021, 3, 5)], "w": dt.date(2021, 3, 6)}
    assert [(row, name, raw) for row, name, _, raw in misfits] == [(1, "v", '["2021-03-05"]')]


def test_another_encoding_is_the_declared_one(tmp_path, take):
    (tmp_path / "a.jsonl").write_bytes('{"名称":"甲"}\n'.encode("gb18030"))
    table, _, _ = take(tmp_path, "a", {"名称": TEXT}, options={"zhixin.encoding": "gb18030"})
    assert table.column("名称").to_pylist() == ["甲"]
    with pytest.raises(PermanentSourceError, match="no column 名称"):
        take(tmp_path, "a", {"名称": TEXT})


def test_a_member_that_no_record_has_is_a_missing_column_unless_it_is_optional(tmp_path, take):
    (tmp_path / "a.jsonl").write_text('{"id":1}\n{"id":2,"Note":"x"}\n')
    fields = {"id": INT, "note": TEXT}
    with pytest.raises(PermanentSourceError, match="no column note") as refusal:
        take(tmp_path, "a", fields)
    assert refusal.value.code == "column-missing"
    assert "zhixin.optional" in refusal.value.hint
    table, _, _ = take(tmp_path, "a", fields, options={"zhixin.optional": ["note"]})
    assert table.column("note").to_pylist() == [None, None]
    (tmp_path / "empty.jsonl").write_text("\n")
    assert take(tmp_path, "empty", fields)[0].num_rows == 0


def test_a_name_that_is_no_text_is_no_column_and_stops_nothing(tmp_path, take):
    (tmp_path / "a.jsonl").write_text('{"id":1,"\\ud800":2,"x":{"\\udfff":3}}\n')
    assert take(tmp_path, "a", {"id": INT})[0].to_pylist() == [{"id": 1}]
    source = open_source(str(tmp_path))
    assert [column.name for column in source.columns("a")] == ["id", "x"]
    assert [column.name for column in source.describe("a").columns] == ["id", "x"]


def test_a_line_beyond_all_measure_is_refused_by_its_number(tmp_path, take, monkeypatch):
    monkeypatch.setattr("zhixin_connectors.jsonlines._LINE_BYTES", 1 << 20)
    (tmp_path / "a.jsonl").write_text('{"id":1}\n' + "[" * (3 << 20))
    with pytest.raises(PermanentSourceError, match="line 2 is longer than 1 MiB"):
        take(tmp_path, "a", {"id": INT})


def test_files_of_one_table_may_lack_each_others_members(tmp_path, take):
    (tmp_path / "1.jsonl").write_text('{"id":1,"a":1}\n')
    (tmp_path / "2.jsonl").write_text('{"id":2,"b":1}\n')
    assert take(tmp_path, "*.jsonl", {"id": INT})[0].column("id").to_pylist() == [1, 2]


# --- documents


DOCUMENTS = {
    "list": ("", '[{"id":1},{"id":2}]'),
    "chinese": ("名单", '{"说明":"甲乙😀","名单":[{"id":1,"名":"丙"},{"id":2,"名":"😀"}]}'),
    "each": ("[].r", '[{"r":{"id":1}},{"r":{"id":2}}]'),
    "spaced": ("", ' [ { "id" : 1 } ,\n{"id":2}\t] \n'),
    "member": ("items", '{"total":2,"items":[{"id":1},{"id":2}],"more":{"a":[1]}}'),
    "inside": (
        "d.features[].a.p",
        '{"d":{"features":[{"type":"F","a":{"p":{"id":1}},"g":[0]},{"a":{"p":{"id":2}}}]}}',
    ),
    "deep": ("data.list", '{"a":[],"data":{"n":1,"list":[{"id":1},{"id":2}]},"z":null}'),
}


@pytest.mark.parametrize("window", [1, 7, 1 << 20])
@pytest.mark.parametrize(("path", "text"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_the_records_of_a_document_are_where_the_path_leads(
    tmp_path, take, monkeypatch, path, text, window
):
    monkeypatch.setattr("zhixin_connectors.jsondocument._CHUNK", window)
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    options = {"zhixin.records": path} if path else {}
    table, misfits, _ = take(tmp_path, "a.json", {"id": INT}, options=options)
    assert (table.column("id").to_pylist(), misfits) == ([1, 2], [])
    seen = open_source(str(tmp_path), options).columns("a.json")
    assert (seen[0].name, seen[0].source_type) == ("id", "number")


@pytest.mark.parametrize(
    ("path", "text", "said", "code"),
    [
        ("", '{"n":1,"items":[1]}', "the document is no list", "records-missing"),
        ("rows", '{"items":[]}', "no list at zhixin.records: rows", "records-missing"),
        ("items", '{"items":null}', "no list at zhixin.records: items", "records-missing"),
        ("a.b", '{"a":[]}', "no list at zhixin.records: a.b", "records-missing"),
        ("", "5", "the document is no list", "records-missing"),
        ("", "", "the document is no list", "records-missing"),
        ("", '[{"id":1},{"id":NaN}]', "not finite, after record 1", "json-invalid"),
        ("", '[{"id":1}', "it ends early, after record 1", "json-invalid"),
        ("", '[{"id":1},]', "not JSON, after record 1", "json-invalid"),
        ("", '[{"id":1}] x', "something follows its end", "json-invalid"),
        ("", '[{"id":1}]\n[{"id":2}]', "something follows its end", "json-invalid"),
        ("i", '{"i":[],"n":1,"n":2}', "a member stands twice beside", "json-invalid"),
        ("i", '{"i":[],"i":[]}', "a member stands twice beside", "json-invalid"),
        ("i", '{"n":{"a":1,"a":2},"i":[]}', "a member stands twice beside", "json-invalid"),
        ("i", '{"i":[] "n":1}', "not JSON", "json-invalid"),
        ("i", '{"i" []}', "not JSON", "json-invalid"),
        ("i", '{i:[]}', "not JSON", "json-invalid"),
        ("i", '{"i":[', "not JSON", "json-invalid"),
    ],
)  # fmt: skip
def test_a_document_that_is_none_is_refused(tmp_path, take, path, text, said, code):
    (tmp_path / "a.json").write_text(text)
    options = {"zhixin.records": path} if path else {}
    with pytest.raises(PermanentSourceError) as refusal:
        take(tmp_path, "a.json", {"id": INT}, options=options)
    assert said in str(refusal.value)
    assert "a.json" in str(refusal.value)
    assert refusal.value.code == code
    assert refusal.value.hint


def test_a_document_without_a_path_names_the_list_that_it_has(tmp_path, take):
    (tmp_path / "a.json").write_text('{"total":1,"items":[{"id":1}]}')
    with pytest.raises(PermanentSourceError) as refusal:
        take(tmp_path, "a.json", {"id": INT})
    assert refusal.value.hint == "zhixin.records: items"
    (tmp_path / "a.json").write_text('{"\\ud800":[],"\\u001b[2J":[]}')
    with pytest.raises(PermanentSourceError) as refusal:
        take(tmp_path, "a.json", {"id": INT})
    assert refusal.value.hint == "see what the source answers"


def test_an_element_without_the_record_in_it_is_a_misfit_with_its_text(tmp_path, take):
    elements = ['{"p":{"id":1, "m":[1]}}', '{"q":1}', "5", '{"p":null}', '{"p":[1]}',
                '{"p":{"id":2},"p":{"id":3}}']  # fmt: skip
    (tmp_path / "a.json").write_text(f'{{"f":[{",".join(elements)}]}}')
    options = {"zhixin.records": "f[].p"}
    table, misfits, _ = take(tmp_path, "a.json", {"id": INT, "m": TEXT}, options=options)
    assert table.column("id").to_pylist() == [1, None, None, None, None, None]
    assert table.column("m").to_pylist()[0] == "[1]"
    texts = [elements[1], elements[2], elements[3], "[1]", elements[5]]
    assert [(row, name, raw) for row, name, _, raw in misfits] == [
        (row, "", text) for row, text in enumerate(texts, 1)
    ]


def test_a_count_that_the_document_says_must_be_the_number_of_its_records(tmp_path, take):
    (tmp_path / "a.json").write_text('{"m":{"total":3},"i":[{"id":1},5]}')
    options = {"zhixin.records": "i", "zhixin.total": "m.total"}
    with pytest.raises(PermanentSourceError, match="says 3 records, and 2 are there") as refusal:
        take(tmp_path, "a.json", {"id": INT}, options=options)
    assert refusal.value.code == "count-mismatch"
    with pytest.raises(PermanentSourceError, match="no count at"):
        take(tmp_path, "a.json", {"id": INT}, options={**options, "zhixin.total": "n"})


def test_an_element_beyond_all_measure_is_refused(tmp_path, take, monkeypatch):
    monkeypatch.setattr("zhixin_connectors.jsondocument._MOST", 1 << 20)
    (tmp_path / "a.json").write_text(json.dumps([{"id": 1}, {"id": "x" * (8 << 20)}]))
    with pytest.raises(PermanentSourceError, match="after record 1"):
        take(tmp_path, "a.json", {"id": INT})


@pytest.mark.parametrize("window", range(1, 12))
def test_a_number_that_the_window_cuts_is_read_to_its_end(monkeypatch, window):
    monkeypatch.setattr("zhixin_connectors.jsondocument._CHUNK", window)
    stream = io.BytesIO(b'{"n":1234567,"i":[12345,-1.5e10],"m":true}')
    document = JsonDocument(Utf8Stream(stream, "utf-8", "t"), "i", "t")
    assert [row.text for row in document.rows()] == ["12345", "-1.5e10"]
    assert document.beside == {"n": "1234567", "i": {}, "m": True}


def test_a_record_of_millions_of_values_is_refused_before_it_fills_the_memory(
    tmp_path, take, monkeypatch
):
    many = '{"id":1,"x":[' + "0," * 3_000 + "0]}"
    (tmp_path / "a.jsonl").write_text(f'{{"id":5}}\n{many}\n')
    (tmp_path / "b.json").write_text(f"[{many}]")
    for name in ("a.jsonl", "b.json"):
        assert take(tmp_path, name, {"id": INT})[1] == []
    monkeypatch.setattr(jsonlines, "MAX_VALUES", 1_000)
    monkeypatch.setattr(jsondocument, "MAX_VALUES", 1_000)
    monkeypatch.setattr(jsondocument, "_CHUNK", 500)
    table, misfits, _ = take(tmp_path, "a.jsonl", {"id": INT})
    assert table.column("id").to_pylist() == [5, None]
    assert [misfit[2] for misfit in misfits] == ["more than 1,000 values"]
    with pytest.raises(PermanentSourceError, match="an element has more than 1,000 values"):
        take(tmp_path, "b.json", {"id": INT})


def test_a_long_document_takes_the_memory_of_a_window(tmp_path):
    element = b'{"id":1,"text":"' + b"x" * 1000 + b'"},'
    stream = io.BytesIO(b"[" + element * 20_000 + b"{}]")
    document = JsonDocument(Utf8Stream(stream, "utf-8", "t"), "", "t")
    assert max(len(document._text) for _ in document.rows()) < 3 << 20


def test_infer_takes_the_types_of_json_and_reads_no_text_as_a_number(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"id":1,"code":"15","open":true,"day":"2024-01-05","size":1.5,"tags":[1]}\n'
        '{"id":9007199254740993,"code":"16","open":null,"day":"2024-01-06","size":2,"more":null}\n'
    )
    source = open_source(str(tmp_path))
    seen = {column.name: column for column in source.describe("a.jsonl").columns}
    assert {name: column.type for name, column in seen.items()} == {
        "id": INT, "code": TEXT, "open": pa.bool_(), "day": pa.date32(), "size": FLOAT,
        "tags": TEXT, "more": TEXT,
    }  # fmt: skip
    assert [(c.name, c.source_type) for c in source.columns("a.jsonl")][:3] == [
        ("id", "number"), ("code", "string"), ("open", "boolean"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"records": ""},
        {"records": "a..b"},
        {"records": "a[]"},
        {"records": "[].a[].b"},
        {"paging": "guess"},
        {"total": 5},
        {"pageSize": -1},
    ],
)
def test_a_wrong_option_of_json_is_refused(tmp_path, take, options):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ConfigError, match=next(iter(options))):
        take(tmp_path, "a.json", {"id": INT}, options=options)


# --- random tables


def as_json(value, kind):
    """A value's JSON: numbers and booleans as such; all else as its canonical text."""
    if value is None:
        return "null"
    if isinstance(kind, dict) and "list" in kind:
        return f"[{','.join(as_json(item, kind['list']) for item in value)}]"
    if isinstance(kind, dict):
        members = [(m["name"], as_json(value[m["name"]], m["type"])) for m in kind["struct"]]
        return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members) + "}"
    text = canonical(value, kind)
    bare = kind in {"boolean", "integer", "unsigned", "float"} or kind.startswith("decimal")
    return text if bare else json.dumps(text, ensure_ascii=len(text) % 2 == 0)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables((*SCALARS, "list", "struct")))
def test_random_values_come_back_to_the_byte(tmp_path, table):
    records = []
    for row in table.rows:
        cells = zip(table.types.items(), row, strict=True)
        texts = [(n, as_json(v, kind)) for (n, kind), v in cells if v is not None or n == "id"]
        records.append("{" + ",".join(f"{json.dumps(n)}:{text}" for n, text in texts) + "}")
    (tmp_path / "t.jsonl").write_text("\n".join(records), encoding="utf-8")
    (tmp_path / "t.json").write_text(f"[{','.join(records)}]", encoding="utf-8")
    for file in ("t.jsonl", "t.json"):
        options = {"zhixin.optional": list(table.types)}
        assert read_content(str(tmp_path), file, table, options=options) == table.content


# --- the text itself


SCALARS = (
    st.none()
    | st.booleans()
    | st.text()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner,
                                                                         max_size=3)
)  # fmt: skip


def written(value, blank=""):
    """JSON by hand, so that Python's own encoder does not judge itself."""
    if isinstance(value, dict):
        inner = f"{blank},{blank}".join(
            f"{json.dumps(k)}{blank}:{blank}{written(v, blank)}" for k, v in value.items()
        )
        return f"{{{blank}{inner}{blank}}}"
    if isinstance(value, list):
        return f"[{blank}{f'{blank},'.join(written(v, blank) for v in value)}{blank}]"
    return str(value) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else (
        json.dumps(value, ensure_ascii=False)
    )  # fmt: skip


def expected(value):
    if isinstance(value, dict):
        return {key: expected(item) for key, item in value.items()}
    if isinstance(value, list):
        return [expected(item) for item in value]
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return Number(str(value))
    return value


@given(value=VALUES, blank=st.sampled_from(["", " ", "\n\t "]))
def test_whatever_is_written_is_read_as_its_own_text(value, blank):
    text = written(value, blank)
    record = JsonReader().parse(f" {text}\r\n")
    assert (record.value, record.text, record.twice) == (expected(value), text, False)


@given(members=st.dictionaries(st.text(), VALUES, max_size=4))
def test_members_keep_their_own_texts(members):
    found = member_texts(written(members, " "))
    assert found == {name: written(value, " ") for name, value in members.items()}


@given(value=st.decimals(-(10**50), 10**50))
def test_a_number_without_its_exponent_is_the_same(value):
    plain = plain_number(f"{value:E}".replace("E+", "e"))
    assert "e" not in plain.lower()
    assert Decimal(plain) == value


@given(text=st.text(alphabet='{}[]",:0123456789.eE+-truefalsn\\ud8\n\t ', max_size=30))
def test_any_text_is_a_value_or_refused_as_python_refuses_it(text):
    def refuse(_name):
        raise ValueError

    try:
        plain = json.loads(text, parse_constant=refuse, parse_int=str, parse_float=str)
    except ValueError:
        with pytest.raises(NotJsonError):
            JsonReader().parse(text)
    else:
        assert JsonReader().parse(text).value == plain


def test_a_member_with_dots_in_its_name_is_found():
    beside = {"@odata.nextLink": "x", "meta": {"page.next": 5, "n": {"m": 1}}}
    assert member_at(beside, "@odata.nextLink") == "x"
    assert member_at(beside, "meta.page.next") == 5
    assert member_at(beside, "meta.n.m") == 1
    assert member_at(beside, "meta.none") is None
