"""Workbooks as agencies have them: what a cell holds is exact, or a misfit."""

import datetime as dt
import io
import struct
import zipfile

import openpyxl
import pyarrow as pa
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from zhixin_connectors import excelfile, sheetmarks, sheetrecords
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import ConfigError, PermanentSourceError

LONG = "a number of more than 15 digits, of which a sheet keeps 15"
EARLY = "a day before March 1900, which sheets count wrongly"


@pytest.fixture
def book(tmp_path):
    """Writes a workbook of one sheet (or a dict of sheets) and gives its path."""

    def write(rows, name="book.xlsx", change=None):
        workbook = openpyxl.Workbook()
        workbook.remove(workbook.active)
        for title, own in (rows if isinstance(rows, dict) else {"一月": rows}).items():
            sheet = workbook.create_sheet(title)
            for row in own:
                sheet.append(row)
        if change:
            change(workbook)
        workbook.save(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def cells(book, take):
    """One column's cells, as a type: (values, misfits without their field)."""

    def read(values, wanted, form=None, change=None, **options):
        def formats(workbook):
            for row in range(2, len(values) + 2) if form else ():
                workbook.active.cell(row, 1).number_format = form
            if change:
                change(workbook)

        path = book([["a", "n"], *([value, "x"] for value in values)], change=formats)
        table, misfits, _ = take(path, "book", {"a": wanted}, options=options)
        return table["a"].to_pylist(), [(row, reason, raw) for row, _, reason, raw in misfits]

    return read


def test_texts_stay_as_they_are_and_an_empty_text_is_nothing(cells):
    values = ["990101194912310028", "00038", "  x ", "a\nb", "'1", "NA", "１", None, ""]
    assert cells(values, pa.string()) == ([*values[:-1], None], [])
    assert cells(["NA", "1"], pa.int64(), null=["NA"]) == ([None, 1], [])


def test_a_number_is_a_text_only_by_digits_that_a_sheet_shows(cells):
    values = [5, 5.5, -0.25, 123456789012345, 990101194912310028, 1 / 3]
    assert cells(values, pa.string()) == (
        ["5", "5.5", "-0.25", "123456789012345", None, None],
        [(4, LONG, "9.9010119491231e+17"), (5, LONG, "0.3333333333333333")],
    )


def test_a_number_is_an_integer_or_decimal_only_if_no_digit_was_cut(cells):
    read, misfits = cells([5, 5.5, 10**15 - 1, 10**15], pa.int64())
    assert read == [5, None, 10**15 - 1, None]
    assert misfits == [
        (1, "not an integer: it has a fraction", "5.5"),
        (3, LONG, "1000000000000000.0"),
    ]
    read, misfits = cells([0.1, 0.125, 1e15], pa.decimal128(20, 2))
    assert [str(value) for value in read] == ["0.10", "None", "None"]
    assert misfits == [(1, "more than 2 decimals", "0.125"), (2, LONG, "1000000000000000.0")]
    assert cells([1 / 3, 1e300], pa.float64()) == ([1 / 3, 1e300], [])


def test_booleans_are_booleans_and_so_are_one_and_zero(cells):
    read, misfits = cells([True, False, 1, 0, 2, "true"], pa.bool_())
    assert read == [True, False, True, False, None, True]
    assert misfits == [(4, "a double, and a boolean was wanted", "2")]


def test_moments_are_what_their_cells_are_shown_as(cells):
    day, moment = dt.date(2021, 3, 5), dt.datetime(2021, 3, 5, 9, 30, 0, 123000)  # noqa: DTZ001
    midnight = dt.datetime(2021, 3, 5)  # noqa: DTZ001
    values = [day, moment, dt.time(9, 30), dt.timedelta(hours=25), 44260]
    assert cells(values, pa.timestamp("us"))[0] == [midnight, moment, None, None, None]
    read, misfits = cells(values, pa.date32())
    assert read == [day, None, None, None, None]
    assert misfits[0] == (1, "not a date: it has a time of day", "2021-03-05 09:30:00.123000")
    read, misfits = cells(values, pa.time64("us"))
    assert read == [None, None, dt.time(9, 30), None, None]
    assert misfits[2] == (3, "not a time below 24:00", "25:00:00")


def test_days_that_sheets_count_wrongly_are_misfits(cells):
    read, misfits = cells([59, 60, 61, 1], pa.date32(), form="yyyy-mm-dd")
    assert read == [None, None, dt.date(1900, 3, 1), None]
    assert [(row, reason) for row, reason, _ in misfits] == [(0, EARLY), (1, EARLY), (3, EARLY)]
    read, misfits = cells([-1.0, 0.0], pa.time64("us"), form="hh:mm")
    assert read == [None, dt.time()]
    assert misfits == [(0, "a moment before the sheet's first day", "below zero")]


def test_a_workbook_of_a_mac_counts_from_1904(cells):
    def mac(workbook):
        workbook.epoch = CALENDAR_MAC_1904

    assert cells([dt.date(2021, 3, 5)], pa.date32(), change=mac) == ([dt.date(2021, 3, 5)], [])


def test_errors_and_formulas_without_a_value_are_no_nulls(cells):
    read, misfits = cells(["#N/A", "#DIV/0!", "=1+1", None, 7], pa.int64())
    assert read == [None, None, None, None, 7]
    assert misfits == [
        (0, "an error in the sheet", "#N/A"),
        (1, "an error in the sheet", "#DIV/0!"),
        (2, "a formula that was never calculated", ""),
    ]


def test_a_formula_is_its_kept_value(book, take):
    path = book([["a"], ["=1+1"]])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(b"<v></v>", b"<v>2</v>").replace(b"<v />", b"<v>2</v>")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    table, misfits, _ = take(path, "book", {"a": pa.int64()})
    assert (table["a"].to_pylist(), misfits) == ([2], [])


def test_a_sheet_is_named_where_there_are_several(book, take, tmp_path):
    def hide(workbook):
        workbook["三"].sheet_state = "hidden"

    path = book({"一": [["a"], [1]], "2021": [["a"], [2]], "三": [["a"], [3]]}, change=hide)
    fields = {"a": pa.int64()}
    with pytest.raises(PermanentSourceError, match="3 sheets, and none was named") as refusal:
        take(path, "book", fields)
    assert "一, 2021, 三" in refusal.value.hint
    with pytest.raises(PermanentSourceError, match="no sheet 四"):
        take(path, "book", fields, options={"sheet": "四"})
    for sheet, value in (("三", 3), (1, 1), ("1", 1), ("2021", 2), (2, 2)):
        assert take(path, "book", fields, options={"sheet": sheet})[0]["a"].to_pylist() == [value]
    assert take(path, "三", fields)[0]["a"].to_pylist() == [3]
    assert take(tmp_path, "book.xlsx/三", fields)[0]["a"].to_pylist() == [3]
    names = ["book.xlsx/一", "book.xlsx/2021", "book.xlsx/三"]
    assert [table.name for table in open_source(str(tmp_path)).tables()] == names
    assert [column.name for column in open_source(str(path)).columns("三")] == ["a"]


def test_a_table_within_a_sheet_is_named_by_its_range(book, take):
    rows = [
        ["年度报表"],
        [],
        [None, "a", "b", "note"],
        [None, 1, 2],
        [],
        [None, 3, 4],
        [None, "合计", 6],
    ]
    path = book(rows)
    fields = {"a": pa.int64(), "b": pa.int64()}
    read = take(path, "book", fields, options={"range": "B3:C6"})[0].to_pydict()
    assert read == {"a": [1, 3], "b": [2, 4]}
    _, misfits, _ = take(path, "book", fields, options={"range": "$B3:C"})
    assert misfits == [(2, "a", "not an integer", "合计")]
    read = take(path, "book", fields, options={"skipRows": 1, "range": "B2:C6"})[0].to_pydict()
    assert read == {"a": [1, 3], "b": [2, 4]}
    with pytest.raises(ConfigError, match=r"zhixin\.range"):
        take(path, "book", fields, options={"range": "B3"})


def test_merged_header_cells_name_every_column_below_them(book, take):
    def merge(workbook):
        for cells in ("A1:A2", "B1:C1", "D1:E1"):
            workbook.active.merge_cells(cells)

    rows = [
        ["单位", "投资", None, 2021],
        ["", "金额", "完成率", "金额", "完成率"],
        ["甲", 1, 2, 3, 4],
    ]
    path = book(rows, change=merge)
    names = ["单位", "投资/金额", "投资/完成率", "2021/金额", "2021/完成率"]
    fields = dict.fromkeys(names, pa.string())
    table, _, _ = take(path, "book", fields, options={"headerRows": 2})
    assert table.to_pylist() == [dict(zip(names, ["甲", "1", "2", "3", "4"], strict=True))]
    with pytest.raises(PermanentSourceError, match="no name for column 3"):
        take(path, "book", fields)


def test_a_value_beside_the_table_rejects_its_record(book, take):
    path = book([["a", "b"], [1, 2, None, "see note"], [3, 4], ["x", 5, 6]])
    table, misfits, _ = take(path, "book", {"a": pa.int64()})
    assert table["a"].to_pylist() == [1, 3, None]
    surplus = "a value in a column without a name"
    assert misfits == [  # of the record first, as the protocol has it
        (0, "", surplus, "1.0\t2.0\t\tsee note"),
        (2, "", surplus, "x\t5.0\t6.0\t"),
        (2, "a", "not an integer", "x"),
    ]


def test_a_sheet_without_a_header_has_the_contracts_columns(book, take):
    path = book([[1, "x"], [2, "y"]])
    fields = {"a": pa.int64(), "b": pa.string()}
    table, _, _ = take(path, "book", fields, options={"headerRows": 0})
    assert table.to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


def test_batches_are_as_small_as_asked_for(book, take, monkeypatch):
    monkeypatch.setattr(excelfile, "_BATCH_CELLS", 4)
    narrow = book([["a", "b"], *([n, n] for n in range(5))])
    stream = open_source(str(narrow)).read(ReadRequest("book", pa.schema([("a", pa.int64())])))
    assert [each.batch.num_rows for each in stream] == [2, 2, 1]
    path = book([["a"], *([n] for n in range(10))])
    assert take(path, "book", {"a": pa.int64()}, batch_rows=3)[0]["a"].to_pylist() == list(
        range(10)
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<html><table><tr><td>a</td></tr></table></html>", "begins like an HTML page"),
        (b"a,b\n1,2\n", "begins like text"),
        (b"PK\x03\x04 damaged", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000, "damaged"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le") * 99,
            "protected by a password",
        ),
    ],
)
def test_refuses_what_is_no_workbook(tmp_path, take, data, words):
    (tmp_path / "t.xlsx").write_bytes(data)
    with pytest.raises(PermanentSourceError, match=words):
        take(tmp_path, "t.xlsx", {"a": pa.int64()})


def test_refuses_a_workbook_that_was_cut_off(book, tmp_path, take):
    path = book([["a"], *([n] for n in range(1000))])
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(PermanentSourceError, match="damaged"):
        take(path, "book", {"a": pa.int64()})


def test_refuses_a_workbook_that_would_not_fit_into_memory(book, take, monkeypatch):
    path = book([["a"], [1]], change=lambda workbook: workbook.active.__setitem__("XFD1048576", 1))
    with pytest.raises(PermanentSourceError, match="more than 16,000,000 cells"):
        take(path, "book", {"a": pa.int64()})
    monkeypatch.setattr(excelfile, "_MOST_UNPACKED", 1_000)
    with pytest.raises(PermanentSourceError, match="unpacked"):
        take(path, "book", {"a": pa.int64()})
    monkeypatch.setattr(excelfile, "_MOST_PACKED", 1_000)
    with pytest.raises(PermanentSourceError, match="more than 0 MiB"):
        take(path, "book", {"a": pa.int64()})


def test_a_workbook_is_known_by_its_bytes(book, take, tmp_path):
    path = book([["a"], [1]])
    path.rename(tmp_path / "export.csv")
    assert take(tmp_path, "export.csv", {"a": pa.int64()})[0]["a"].to_pylist() == [1]


def test_describes_what_cells_hold(book):
    rows = [["n", "x", "day", "code"], [1, 0.5, dt.date(2021, 3, 5), "007"], [2, 1, None, "x"]]
    seen = open_source(str(book(rows))).describe("book")
    types = [pa.int64(), pa.float64(), pa.date32(), pa.string()]
    assert [column.type for column in seen.columns] == types


def test_whoever_looks_at_a_sheet_is_told_of_titles_and_long_numbers(book):
    path = book([["许可证"], ["id", "number"], [1, 990101194912310028]])
    with pytest.raises(PermanentSourceError, match="names 1 columns, and the line below has 2"):
        open_source(str(path)).describe("book")
    _, number = open_source(str(path), {"skipRows": 1}).describe("book").columns
    assert number.type == pa.string()
    assert "15 digits" in number.remark


def test_a_sheets_xml_may_not_expand_entities(book, tmp_path):
    path = book([["a"], [1]])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + parts[name]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with path.open("rb") as stream, pytest.raises(sheetmarks.NotReadable):
        sheetmarks.marks_of(stream, "一月")


# What calamine leaves out of .xls and .xlsb: no library here writes these, so the bytes are ours


def _record(kind, *data):
    return struct.pack("<HH", kind, len(b"".join(data))) + b"".join(data)


def _ole(book, shift=9):
    """An OLE file with the one stream "Workbook"; a short one lies in the mini stream."""
    size = 1 << shift
    mini = len(book) < 4096
    stored = book.ljust(-(-len(book) // size) * size, b"\0")
    sectors = len(stored) // size
    chain = [*range(4, 3 + sectors), 0xFFFFFFFE]
    table = [0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFE, *chain]  # table, directory, mini table, stream
    minis = [*range(1, -(-len(book) // 64)), 0xFFFFFFFE] if mini else []

    def entry(name, start, length):
        spelt = (name + "\0").encode("utf-16-le")
        head = spelt.ljust(0x40, b"\0") + struct.pack("<H", len(spelt))
        return head.ljust(0x74, b"\0") + struct.pack("<III", start, length, 0)

    root = entry("Root Entry", 3 if mini else 0xFFFFFFFE, len(stored))
    directory = root + entry("Workbook", 0 if mini else 3, len(book))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(0x1E, b"\0") + struct.pack("<H", shift)
    header = header.ljust(0x30, b"\0") + struct.pack("<IIIIIII", 1, 0, 4096, 2, 1, 0xFFFFFFFE, 0)
    header += struct.pack("<109I", 0, *[0xFFFFFFFF] * 108)
    parts = [
        struct.pack(f"<{len(table)}I", *table),
        directory,
        struct.pack(f"<{len(minis)}I", *minis),
    ]
    padded = [part.ljust(size, b"\xff" if part is not directory else b"\0") for part in parts]
    return header.ljust(size, b"\0") + b"".join(padded) + stored


def _biff(pad):
    bof = _record(0x0809, bytes(16))
    names = [b"\x05\0One\0", b"\x05\0Two\0"]
    sheet = [
        bof,
        _record(0x0203, struct.pack("<HHHd", 0, 1, 0, -1.5)),
        _record(0x027E, struct.pack("<HHHi", 1, 1, 0, -4)),
        _record(0x00BD, struct.pack("<HHHiHiH", 2, 1, 0, 4, 0, -4, 2)),
        _record(0x0205, struct.pack("<HHHBB", 3, 0, 0, 0x2A, 1)),
        _record(0x0205, struct.pack("<HHHBB", 4, 0, 0, 1, 0)),
        _record(0x0006, struct.pack("<HHH", 5, 0, 0), b"\2\0\7\0\0\0\xff\xff", bytes(8)),
        _record(0x0006, struct.pack("<HHHd", 6, 0, 0, -2.0), bytes(8)),
        bof + _record(0x0205, struct.pack("<HHHBB", 9, 9, 0, 0x2A, 1)) + _record(0x000A),  # a chart
        _record(0x000A),
        bytes(pad),
    ]
    length = len(bof) + 2 * len(_record(0x0085, bytes(6), names[0])) + 4
    starts = [length, length + 2 * 24]
    bounds = [
        _record(0x0085, struct.pack("<IBB", at, 0, 0), n)
        for at, n in zip(starts, names, strict=True)
    ]
    empty = (bof + _record(0x000A)).ljust(48, b"\0")
    return bof + b"".join(bounds) + _record(0x000A) + empty + b"".join(sheet)


@pytest.mark.parametrize(("pad", "shift"), [(0, 9), (9_000, 9), (9_000, 12)])
def test_errors_and_negative_numbers_of_an_xls_are_found(pad, shift):
    marks = sheetrecords.marks_of_xls(io.BytesIO(_ole(_biff(pad), shift)), 1)
    assert marks.errors == {(3, 0): "#N/A", (5, 0): "#DIV/0!"}
    assert marks.negative == {0: 1 << 1, 1: 1 << 1, 2: 1 << 2, 6: 1}
    assert sheetrecords.marks_of_xls(io.BytesIO(_ole(_biff(pad), shift)), 0).errors == {}


def _number_at(row, column):
    return _record(0x0203, struct.pack("<HHHd", row, column, 0, 1.5))


@pytest.mark.parametrize(
    ("above", "sheet", "fault"),
    [
        (b"", [_number_at(65_535, 255)], sheetmarks.TooLarge),
        (b"", [_number_at(0, 0), _number_at(9, 65_535)], sheetmarks.NotReadable),
        (b"", [_record(0x00BD, struct.pack("<HH", 9, 250), bytes(62))], sheetmarks.NotReadable),
        (
            b"",
            [_record(0x0200, struct.pack("<IIHHH", 0, 1 << 31, 0, 9, 0))],
            sheetmarks.NotReadable,
        ),
        (_record(0x002F, bytes(6)), [], sheetmarks.NotReadable),
    ],
)
def test_an_xls_for_whose_cells_there_is_no_room_is_refused_unopened(above, sheet, fault):
    bof, end, name = _record(0x0809, bytes(16)), _record(0x000A), b"\3\0One"
    start = len(bof) + len(above) + len(_record(0x0085, bytes(6), name)) + len(end)
    bound = _record(0x0085, struct.pack("<IBB", start, 0, 0), name)
    with pytest.raises(fault):
        sheetrecords.check_xls(_ole(bof + above + bound + end + bof + b"".join(sheet) + end))
    sheetrecords.check_xls(_ole(_biff(0)))


@pytest.mark.parametrize("cut", [40, 600, 1_700, 2_300])
def test_an_xls_that_was_cut_off_is_told(cut):
    with pytest.raises(sheetmarks.NotReadable):
        sheetrecords.marks_of_xls(io.BytesIO(_ole(_biff(0))[:cut]), 1)


def _binary(kind, data):
    number = bytes([kind & 0x7F | 0x80, kind >> 7]) if kind > 127 else bytes([kind])
    return number + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data


def _xlsb(*cells):
    relation = '<Relationships><Relationship Id="{}" Type="x/{}" Target="{}"/></Relationships>'
    names = [struct.pack("<I", len(n)) + n.encode("utf-16-le") for n in ("rId1", "一月")]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("_rels/.rels", relation.format("a", "officeDocument", "/xl/workbook.bin"))
        archive.writestr("xl/workbook.bin", _binary(156, bytes(8) + b"".join(names)))
        rels = relation.format("rId1", "worksheet", "worksheets/sheet1.bin")
        archive.writestr("xl\\_rels\\workbook.bin.rels", rels)
        archive.writestr("xl/Worksheets/sheet1.bin", b"".join(cells))
    packed.seek(0)
    return packed


def test_errors_and_negative_numbers_of_an_xlsb_are_found():
    cells = [
        _binary(0, struct.pack("<I", 7)),
        _binary(3, struct.pack("<IIB", 1, 0, 0x2A)),
        _binary(11, struct.pack("<IIB", 2, 0, 0x07)),
        _binary(5, struct.pack("<IId", 3, 0, -1.0)),
        _binary(2, struct.pack("<IIi", 4, 0, 4)),
        _binary(2, struct.pack("<IIi", 5, 0, -4)),
    ]
    marks = sheetrecords.marks_of_xlsb(_xlsb(*cells), "一月")
    assert marks.errors == {(7, 1): "#N/A", (7, 2): "#DIV/0!"}
    assert marks.negative == {7: 1 << 3 | 1 << 5}
    far = _binary(0, struct.pack("<I", 1_048_575)), _binary(1, struct.pack("<II", 16_383, 0))
    with pytest.raises(sheetmarks.TooLarge):
        sheetrecords.marks_of_xlsb(_xlsb(*far), "一月")
    with pytest.raises(sheetmarks.NotReadable):
        sheetrecords.marks_of_xlsb(_xlsb(*cells), "二月")


def _ods(path, rows):
    names = "".join(
        f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0" '
        for prefix, name in (("office", "office"), ("table", "table"), ("text", "text"))
    )
    names += 'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    table = f'<table:table table:name="一月">{rows}</table:table>'
    content = f"<office:spreadsheet>{table}</office:spreadsheet>"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        manifest = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
        archive.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{manifest}"/>')
        body = f"<office:body>{content}</office:body>"
        xml = f"<office:document-content {names}>{body}</office:document-content>"
        archive.writestr("content.xml", xml)
    return path


def _cell(value, *, error=False, kind="float"):
    value_of = f' office:value="{0 if error else value}"' if kind == "float" else ""
    shown = f'office:value-type="{kind}"{value_of}'
    shown += ' calcext:value-type="error"' if error else ""
    return f"<table:table-cell {shown}><text:p>{value}</text:p></table:table-cell>"


def test_an_error_in_an_ods_is_neither_its_text_nor_the_zero_beside_it(tmp_path, take):
    rows = [
        _cell("id", kind="string") + _cell("n", kind="string"),
        _cell(1) + _cell("#N/A", error=True),
        '<table:table-cell table:number-columns-repeated="1"/>' + _cell("Err:502", error=True),
        _cell(3) + _cell(7),
    ]
    rows = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    path = _ods(tmp_path / "t.ods", rows)
    table, misfits, _ = take(path, "t", {"id": pa.int64(), "n": pa.int64()})
    assert table.to_pydict() == {"id": [1, None, 3], "n": [None, None, 7]}
    told = [(row, field, raw) for row, field, _, raw in misfits]
    assert told == [(0, "n", "#N/A"), (1, "n", "Err:502")]


def test_an_ods_that_repeats_a_cell_beyond_memory_is_refused(tmp_path, take, monkeypatch):
    cell = _cell(1).replace(
        "<table:table-cell", '<table:table-cell table:number-columns-repeated="9999"'
    )
    rows = f'<table:table-row table:number-rows-repeated="9999">{cell}</table:table-row>'
    path = _ods(tmp_path / "t.ods", rows)
    monkeypatch.setattr("python_calamine.load_workbook", None)  # it would take 2.4 GB
    with pytest.raises(PermanentSourceError, match="more than 16,000,000 cells"):
        take(path, "t", {"id": pa.int64()})
