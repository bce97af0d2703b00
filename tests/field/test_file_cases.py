"""Field cases of files, by the commands that people type: `run`, `quarantine show`, `cat`."""

import pytest

IDS = {"type": "integer", "required": True}


def test_fc_09_an_empty_table_is_a_version_with_its_types(agency):
    agency.sqlite("09-sqlite-empty.sql")
    said = agency.run(agency.contract("data", {"n": "integer", "s": "string"}))
    assert (said.code, said.json["records"], said.json["quarantined"]) == (0, 0, 0)
    root = "4969936d433dc422328425732416f8e69e719791d63181cb4394e7f0b70bf3a1"
    manifest = agency.manifest("data")
    assert (said.json["root"], manifest["parts"]) == (root, [])
    frame = agency.frame("data")
    assert [str(kind) for kind in frame.dtypes] == ["int64[pyarrow]", "string[pyarrow]"]
    assert len(frame) == 0


def test_fc_09_a_file_without_records_is_published_only_if_the_contract_allows_it(agency):
    agency.files("09-header-only.csv")
    table = "09-header-only.csv"
    allowed = agency.case_contract("09-empty-allowed.odcs.yaml", "people", table=table)
    assert agency.run(allowed).code == 0
    assert agency.rows("people") == []
    assert {each["checked"] for each in agency.manifest("people")["quality"]} == {"0"}
    refused = agency.case_contract("09-empty-refused.odcs.yaml", "others", table=table)
    said = agency.run(refused)
    assert said.code == 1
    assert "not-empty" in said.json["error"]["message"]
    assert agency.versions("others") == []


def test_fc_13_a_missing_value_does_not_change_large_numbers(agency):
    agency.files("13-nullable-bigint.csv")
    fields = {"id": IDS, "number": "integer"}
    contract = agency.contract("numbers", fields, table="13-nullable-bigint.csv", key=("id",))
    assert agency.run(contract).code == 0
    numbers = ["9007199254740993", "", "-9007199254740993", "9223372036854775807"]
    assert [row[1] for row in agency.rows("numbers")] == numbers
    texts = [
        f'["{n}",{f"{chr(34)}{t}{chr(34)}" if t else "null"}]' for n, t in enumerate(numbers, 1)
    ]
    assert agency.texts("numbers") == texts
    frame = agency.frame("numbers")
    assert str(frame["number"].dtype) == "int64[pyarrow]"
    assert [str(value) for value in frame["number"].dropna()] == [n for n in numbers if n]


def test_fc_14_codes_and_words_stay_as_they_are(agency):
    agency.files("14-codes-and-words.csv")
    fields = {"id": IDS, "code": "string", "surname": "string", "country": "string"}
    contract = agency.contract("people", fields, table="14-codes-and-words.csv", key=("id",))
    assert agency.run(contract).code == 0
    records = agency.records("people")
    assert [record["code"] for record in records] == [
        "00038", "00127", "1E5", "0x10", "+86", "1_000",
    ]  # fmt: skip
    assert [record["surname"] for record in records] == ["NA", "Null", "None", "True", "", "-"]
    assert [record["country"] for record in records] == ["NA", "null", "nan", "N/A", None, "#N/A"]
    inferred = agency.zhixin("source", "infer", "inbox", "14-codes-and-words.csv").out
    assert inferred.count("logicalType: string") == 3


def test_fc_15_a_byte_order_mark_is_no_part_of_a_name(agency):
    agency.files("15-bom-utf8.csv", "15-bom-gb18030.csv")
    fields = {"编号": IDS, "名称": "string"}
    utf8 = agency.contract("utf8", fields, table="15-bom-utf8.csv", key=("编号",))
    gb18030 = agency.contract(
        "gb18030", fields, table="15-bom-gb18030.csv", key=("编号",), encoding="gb18030"
    )
    assert [agency.run(contract).code for contract in (utf8, gb18030)] == [0, 0]
    assert agency.rows("utf8") == agency.rows("gb18030") == [["1", "甲"]]
    assert agency.contents("utf8") == agency.contents("gb18030")


def test_fc_15_a_file_in_another_encoding_is_refused_with_the_declaration_that_reads_it(agency):
    agency.files("15-bom-gb18030.csv")
    said = agency.zhixin("source", "infer", "inbox", "15-bom-gb18030.csv")
    assert said.code == 2
    assert "not valid utf-8" in said.err
    assert "gb18030" in said.err
    assert "甲" not in said.err


@pytest.mark.parametrize(
    ("form", "read"),
    [({}, {9}), ({"dateFormat": "y年M月d日"}, {1, 2})],
    ids=["undeclared", "declared"],
)
def test_fc_19_a_date_is_one_in_the_declared_form_alone(agency, form, read):
    agency.files("19-chinese-dates.csv")
    fields = {"id": IDS, "day": "date"}
    contract = agency.contract("days", fields, table="19-chinese-dates.csv", key=("id",), **form)
    assert agency.run(contract).code == 0
    assert agency.rows("days") == [[str(number), "2021-03-05"] for number in sorted(read)]
    rejects = agency.rejects("days")
    assert [row + 1 for row, *_ in rejects] == [n for n in range(1, 13) if n not in read]
    assert {(field, rule) for _, field, rule, _ in rejects} == {("day", "day.type")}
    raw = {row + 1: text for row, _, _, text in rejects}
    assert (raw[3], raw[5], raw[7]) == ("2021年2月29日", "民国110年3月5日", "44260")


def test_fc_21_a_merged_header_is_refused_before_any_record(agency):
    agency.files("21-merged-header.csv")
    contract = agency.contract("funds", {"单位名称": "string"}, table="21-merged-header.csv")
    said = agency.run(contract)
    assert said.code == 2
    message = said.json["error"]["message"]
    assert "column 3, 4, 6, 7" in message
    for name in ("下达年份批次", "下达金额", "完成率"):
        assert name in message
    assert "甲局" not in said.out + said.err
    assert agency.versions("funds") == []


def test_fc_21_two_header_lines_name_each_column_where_they_are_declared(agency):
    agency.files("21-merged-header.csv")
    names = [
        f"{of}/{what}"
        for of in ("中央预算内投资", "省预算内投资")
        for what in ("下达年份批次", "下达金额", "完成率")
    ]
    kinds = dict.fromkeys(names, "string") | {names[1]: "decimal(12,2)", names[2]: "integer"}
    contract = agency.contract(
        "funds", {"单位名称": "string", **kinds}, table="21-merged-header.csv", headerRows=2
    )
    said = agency.run(contract)
    assert (said.code, said.json["records"], said.json["quarantined"]) == (0, 1, 2)
    assert agency.rows("funds")[0][:3] == ["合计", "", "1300.50"]
    rejects = [(row, field, raw) for row, field, _, raw in agency.rejects("funds")]
    assert (0, names[2], "80%") in rejects
    assert (1, names[1], "1,200.00") in rejects
    assert (1, names[2], "５０％") in rejects


@pytest.mark.parametrize("swapped", [False, True])
def test_fc_27_naive_and_utc_times_of_one_source_are_refused(agency, swapped):
    agency.files("27-mixed-zones")
    folder = agency.inbox / "27-mixed-zones"
    if swapped:
        (folder / "part-a.parquet").rename(folder / "part-c.parquet")
    contract = agency.contract(
        "moments", {"id": IDS, "t": "timestamptz"}, table="27-mixed-zones", source="inbox"
    )
    said = agency.run(contract)
    assert said.code == 2
    message = said.json["error"]["message"]
    later = "part-c.parquet" if swapped else "part-b.parquet"
    for part in (later, "timestamp[us, tz=UTC]", "timestamp[us] "):
        assert part in message
    assert agency.versions("moments") == []


@pytest.mark.parametrize(
    ("file", "surplus"), [("29-missing-column.csv", ""), ("29-renamed-column.csv", "Note")]
)
def test_fc_29_a_missing_or_renamed_column_is_named_and_never_invented(agency, file, surplus):
    agency.files(file)
    contract = agency.case_contract("29-missing-column.odcs.yaml", "people", table=file)
    run = agency.run(contract)
    lint = agency.zhixin("contract", "lint", contract, "--against", "inbox")
    assert run.code == 2
    assert lint.code in {1, 2}
    for said in (run.json["error"]["message"], lint.out + lint.err):
        assert "note" in said
        assert surplus in said
    assert agency.versions("people") == []


def test_a_file_without_a_header_drifts_from_no_names(agency):
    agency.file("nameless.csv", "1,a\n2,b\nx,c\n")
    fields = {"number": "integer", "word": "string"}
    said = agency.run(agency.contract("nameless", fields, table="nameless.csv", headerRows=0))
    assert (said.code, said.json["records"], said.json["quarantined"]) == (0, 2, 1)
    assert "has changed" not in said.err
    agency.file("nameless.csv", "1,a,new\n")
    said = agency.run(agency.contract("nameless", fields, table="nameless.csv", headerRows=0))
    assert said.code == 2
    assert "3 columns without names, and the contract has 2 fields" in said.json["error"]["message"]


def test_a_sheet_is_published_and_its_long_numbers_are_not(agency):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "一月"
    book.create_sheet("说明")
    for row in (
        ["登记表"],
        ["编号", "身份证号"],
        [1, "990101194912310028"],
        [2, 990101194912310028],
    ):
        book.active.append(row)
    agency.inbox.mkdir(exist_ok=True)
    book.save(agency.inbox / "登记.xlsx")
    agency.source("inbox", agency.inbox)
    fields = {"编号": "integer", "身份证号": "string"}
    contract = agency.contract(
        "register", fields, table="登记.xlsx/一月", source="inbox", skipRows=1
    )
    assert agency.run(contract).code == 0
    assert agency.rows("register") == [["1", "990101194912310028"]]
    assert agency.rejects("register") == [(1, "身份证号", "身份证号.type", "9.9010119491231e+17")]
    assert agency.zhixin("source", "tables", "inbox").out.count("登记.xlsx/") == 2
