"""Quarantine in use, by its commands: list, show, export, release, prune."""

import csv
import io
import json
import os
import stat
import time

import pyarrow.parquet as pq
import pytest
from zhixin_gateway.cli import main
from zhixin_gateway.home import Home

PERMITS = "agency.example/permits"
CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: agency.example/permits
version: {version}
status: active
name: 许可
servers:
  - server: files
    type: custom
    customProperties: [{{property: zhixin.null, value: [NA]}}]
schema:
  - name: permits
    physicalName: permits.csv
    properties:
      - {{name: 编号, logicalType: integer{key}}}
      - {{name: 名称, logicalType: string, required: true}}
      - {{name: opened, logicalType: date}}
      - {{name: seats, logicalType: integer, logicalTypeOptions: {{maximum: {seats}}}}}
    quality:
      - {{name: enough, type: library, metric: rowCount, mustBeGreaterThan: {least},
          severity: critical}}
"""
HEADER = "编号,名称,opened,seats"
FIRST = [
    "1,good,2024-01-01,5",
    "2,late,2024-13-01,5",  # opened.type
    "003,many,2024-01-03,50",  # seats.range
    '4,"",2024-02-30,NA',  # opened.type; an empty text, a null
    "5,twice,2024-01-05,1",  # primary-key
    "5,=cmd|' /C calc'!A0,2024-01-05,2",  # primary-key
    "x,keyless,2024-01-06,3",  # 编号.type
    "7,gone,2024-01-07,70",  # seats.range
    "8,long,2024-01-08,80,more",  # record.form
]


class Agency:
    """A home with a CSV that may change between runs."""

    def __init__(self, zhixin, folder):
        assert zhixin("init", "agency.example").code == 0
        self.home = folder / "agency.example"
        self.silo = folder / "silo"
        self.silo.mkdir()
        self.contract = self.home / "contracts" / "permits.odcs.yaml"
        self.zhixin = zhixin
        with (self.home / "zhixin.toml").open("a") as file:
            file.write(f'\n[sources.files]\nurl = "{self.silo}"\n')

    def says(self, version="1.0.0", seats=9, least=0, keyed=True):
        key = ", primaryKey: true" if keyed else ""
        text = CONTRACT.format(version=version, seats=seats, least=least, key=key)
        self.contract.write_text(text)
        return self.contract

    def holds(self, *rows):
        (self.silo / "permits.csv").write_text("\n".join([HEADER, *rows, ""]))

    def run(self, *more, code=0):
        done = self.zhixin("run", self.contract, *more, home=self.home)
        assert done.code == code, done.err
        return done

    def quarantine(self, *arguments):
        return self.zhixin("quarantine", *arguments, home=self.home)


@pytest.fixture
def permits(zhixin, tmp_path):
    agency = Agency(zhixin, tmp_path)
    agency.says()
    agency.holds(*FIRST)
    return agency


@pytest.fixture
def run_once(permits):
    assert permits.run().err.count("1 records, 8 quarantined")
    return permits


def rows(answer):
    return [json.loads(line)["_row"] for line in answer.out.splitlines()]


def test_a_list_of_all_adds_up_and_names_the_oldest(run_once):
    told = run_once.quarantine("list", "--json").json["quarantine"]
    (line,) = told
    assert (line["dataset"], line["version"]) == (PERMITS, 1)
    assert line["accepted"] + line["quarantined"] == line["extracted"] == len(FIRST)
    assert (line["waits"], line["released"], line["why"]) == (True, None, None)
    assert line["bytes"] > 0
    words = run_once.quarantine("list")
    assert f"{PERMITS}@1" in words.out
    assert "wait for the next version" in words.out
    assert f"8 records, the oldest kept since {line['at'][:10]}" in words.err
    one = run_once.quarantine("list", PERMITS)
    assert "1 accepted + 8 quarantined = 9 extracted" in one.err
    assert "编号.type" in one.out
    counted = run_once.quarantine("list", PERMITS, "--json").json
    assert (counted["records"], counted["extracted"], counted["accepted"]) == (8, 9, 1)


def test_records_are_chosen_and_paged(run_once):
    def show(*more):
        return run_once.quarantine("show", PERMITS, "--json", *more)

    assert rows(show()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert rows(show("--reason", "seats.range")) == [2, 7]
    assert rows(show("--field", "opened")) == [1, 3]
    assert rows(show("--field", "编号")) == [4, 5, 6]
    assert rows(show("--row", "6")) == [6]
    assert rows(show("--limit", "3", "--offset", "2")) == [3, 4, 5]
    assert rows(show("--offset", "7")) == [8]
    assert rows(show("--offset", "99")) == []
    words = run_once.quarantine("show", PERMITS, "--limit", "2", "--field", "编号")
    assert "2 of 3 records" in words.err
    assert "the next: --limit 2 --offset 2" in words.err
    none = run_once.quarantine("show", PERMITS, "--reason", "opened.tpye")
    assert "no record was rejected by opened.tpye; there is opened.type" in none.err
    assert "no reject of row 0; there is" in run_once.quarantine("show", PERMITS, "--row", "0").err


def test_null_and_empty_and_what_looks_like_them_are_told_apart(permits):
    permits.holds("1,(null),x,NA", '2,"",x,1', "3, blank ,x,1", "4,甲,2024-01-01,1")
    permits.run()
    out = permits.quarantine("show", PERMITS).out
    assert '名称: "(null)"\n' in out
    assert "seats: (null)\n" in out
    assert "名称: (empty)\n" in out
    assert '名称: " blank "\n' in out


def test_an_export_keeps_every_text_and_is_its_owners_alone(run_once, tmp_path):
    file = tmp_path / "rejects.csv"
    done = run_once.quarantine("export", PERMITS, file)
    assert (done.code, "wrote 8 records" in done.err) == (0, True)
    assert "people's data" in done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_bytes().decode()
    told = list(csv.reader(io.StringIO(text)))
    assert told[0] == ["_row", "_reasons", *HEADER.split(",")]
    assert [row[0] for row in told[1:]] == list("12345678")
    fourth = next(line for line in text.splitlines() if line.startswith('"3"'))
    assert fourth.endswith(',"4","","2024-02-30",')  # an empty text in quotes, a null as nothing
    assert told[4][3] == "twice"
    again = run_once.quarantine("export", PERMITS, file)
    assert (again.code, "is there already" in again.err) == (2, True)
    assert file.read_bytes().decode() == text
    assert list(tmp_path.glob(".*")) == []


def test_no_text_of_an_export_for_excel_is_a_formula(run_once, tmp_path):
    file = tmp_path / "rejects.csv"
    run_once.quarantine("export", PERMITS, file, "--excel")
    data = file.read_bytes()
    assert data.startswith("\ufeff".encode())
    told = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    assert [cell for row in told for cell in row if cell[:1] in "=+-@\t\r" and cell] == []
    assert "'=cmd|' /C calc'!A0" in [row[3] for row in told]


@pytest.mark.parametrize("form", ["json", "jsonl", "parquet"])
def test_other_exports_say_the_same(run_once, tmp_path, form):
    file = tmp_path / f"rejects.{form}"
    run_once.quarantine("export", PERMITS, file, "--reason", "seats.range")
    if form == "parquet":
        got = pq.read_table(file).to_pylist()
    else:
        got = [json.loads(line) for line in file.read_text().splitlines()]
    shown = run_once.quarantine("show", PERMITS, "--json", "--reason", "seats.range")
    assert got == [json.loads(line) for line in shown.out.splitlines()]
    refused = run_once.quarantine("export", PERMITS, tmp_path / "rejects.xls")
    assert (refused.code, "csv, json or parquet" in refused.err) == (2, True)


def test_rejects_that_were_mended_come_in_with_the_next_version(run_once):
    waits = run_once.quarantine("release", PERMITS)
    assert "no version was published since: 8 records wait" in waits.err
    run_once.holds(
        "1,good,2024-01-01,5",
        "2,late,2024-12-01,5",  # mended
        "3,many,2024-01-03,50",  # still rejected, written otherwise: 003 is 3
        "4,four,2024-02-30,99",  # rejected for more reasons
        "5,twice,2024-01-05,1",  # its twin is gone: in
        "x,keyless,2024-01-06,3",  # its key can't be read: known by its texts
        "8,long,2024-01-08,8",  # mended: its first field was its key
    )
    done = run_once.run()
    assert f"4 of the 8 rejects of {PERMITS}@1 came in" in done.err
    told = run_once.quarantine("release", f"{PERMITS}@1", "--json").json["release"]
    assert told["counts"] == {
        "accepted": 4, "rejected": 2, "otherwise": 1, "gone": 1, "unknown": 0,
    }  # fmt: skip
    assert told["rows"] == {
        "accepted": [1, 4, 5, 8], "rejected": [2, 6], "otherwise": [3], "gone": [7],
        "unknown": [],
    }  # fmt: skip
    assert (told["version"], told["by"], told["key"]) == (1, 2, ["编号"])
    words = run_once.quarantine("release", f"{PERMITS}@1")
    assert "4        are in the dataset now" in words.out
    line = run_once.quarantine("list", "--json").json["quarantine"][0]
    assert (line["waits"], line["released"]["accepted"]) == (False, 4)
    name = run_once.home / "quarantine" / PERMITS / "1.release.json"
    for text in ("keyless", "2024", "late"):
        assert text not in name.read_text()


def test_a_contract_releases_them_too_and_may_be_tried_before(run_once):
    before = run_once.quarantine("list", PERMITS, "--json").json
    wider = run_once.says(version="2.0.0", seats=60)
    tried = run_once.quarantine("release", PERMITS, "--contract", wider, "--json")
    assert tried.code == 0, tried.err
    assert tried.json["records"] == 8
    assert tried.json["broken"] == {
        "record.form": 1, "编号.type": 1, "opened.type": 2, "seats.range": 1,
    }  # fmt: skip
    assert tried.json["passing"] == 3  # 003 by the new rule, and both twins: keys are not judged
    assert tried.json["left_out"] == ["primary-key", "enough"]
    assert run_once.quarantine("list", PERMITS, "--json").json == before  # nothing was changed
    told = run_once.run("--json").json
    assert told["released"] == {"version": 1, "records": 1, "of": 8}
    rows = run_once.quarantine("release", f"{PERMITS}@1", "--json").json["release"]["rows"]
    assert rows["accepted"] == [2]
    renamed = wider.read_text().replace("name: seats", "name: places")
    wider.write_text(renamed)
    refused = run_once.quarantine("release", PERMITS, "--contract", wider)
    assert (refused.code, "no texts of places" in refused.err) == (2, True)


def test_without_a_key_a_record_is_known_by_all_its_texts(permits):
    permits.says(keyed=False)
    permits.run()
    permits.says(version="2.0.0", seats=60, keyed=False)
    permits.holds(*[row for row in FIRST if not row.startswith("7")])
    permits.run()
    told = permits.quarantine("release", f"{PERMITS}@1", "--json").json["release"]
    assert told["key"] == []
    assert {name: rows for name, rows in told["rows"].items() if rows} == {
        "accepted": [2], "rejected": [1, 3, 6, 8], "gone": [7],
    }  # fmt: skip


def test_a_run_that_publishes_nothing_leaves_its_rejects_to_the_steward(permits):
    permits.says(least=100)
    refused = permits.run(code=1)
    assert f"zhixin quarantine show {PERMITS}@attempt" in refused.err
    (line,) = permits.quarantine("list", "--json").json["quarantine"]
    assert (line["version"], line["why"], line["extracted"]) == ("attempt", "critical-rule", 9)
    assert rows(permits.quarantine("show", f"{PERMITS}@attempt", "--json")) == list(range(1, 9))
    assert rows(permits.quarantine("show", PERMITS, "--json")) == list(range(1, 9))
    permits.says(version="2.0.0")
    permits.run()
    assert [
        line["version"] for line in permits.quarantine("list", "--json").json["quarantine"]
    ] == [1]
    permits.holds(*FIRST, "9,new,2024-99-01,1")
    same = permits.run()
    assert f"its rejects: zhixin quarantine show {PERMITS}@attempt" in same.err
    assert rows(permits.quarantine("show", f"{PERMITS}@attempt", "--json"))[-1] == 9
    assert rows(permits.quarantine("show", PERMITS, "--json"))[-1] == 8  # the version's own
    assert permits.run("--dry-run").code == 0
    assert len(permits.quarantine("list", "--json").json["quarantine"]) == 2


def test_a_dry_run_keeps_none(permits):
    permits.says(least=100)
    permits.run("--dry-run", code=1)
    assert permits.quarantine("list", "--json").json == {"quarantine": []}


def test_pruning_spares_what_waits_and_tells_exact_counts(run_once):
    folder = run_once.home / "quarantine" / PERMITS
    run_once.holds(*FIRST[:7])
    run_once.run("--force")
    for file in folder.glob("*.parquet"):
        os.utime(file, (time.time() - 100 * 86_400,) * 2)
    young = run_once.quarantine("prune", "--older-than", "101d", "--yes", "--json")
    assert (young.json["records"], young.json["removed"]) == (0, 0)
    asked = run_once.quarantine("prune", "--older-than", "90d")
    assert (asked.code, "nobody is here to be asked" in asked.err) == (2, True)
    tried = run_once.quarantine("prune", "--older-than", "90d", "--dry-run", "--json")
    assert [file["name"] for file in tried.json["files"]] == [f"{PERMITS}@1"]
    assert (tried.json["records"], tried.json["removed"]) == (8, 0)
    assert (folder / "1.parquet").exists()
    done = run_once.quarantine("prune", PERMITS, "--older-than", "90d", "--yes")
    assert "removed 8 records" in done.err
    assert sorted(path.name for path in folder.iterdir()) == ["1.release.json", "2.parquet"]
    told = run_once.quarantine("release", f"{PERMITS}@1", "--json").json  # that stays told
    assert (told["kept"], told["release"]["counts"]["rejected"]) == (False, 6)
    tried = run_once.quarantine("release", f"{PERMITS}@1", "--contract", run_once.contract)
    assert (tried.code, "there is no quarantine of" in tried.err) == (2, True)
    all_ = run_once.quarantine("prune", "--older-than", "90d", "--waiting", "--yes", "--json")
    assert all_.json["removed"] == 6
    assert list(folder.glob("*.parquet")) == []


def test_pruning_waits_for_a_run_that_is_going_on(run_once):
    with Home.open(run_once.home).lock(PERMITS):
        done = run_once.quarantine("prune", "--older-than", "0", "--waiting", "--yes")
    assert (done.code, "another process" in done.err) == (2, True)
    assert (run_once.home / "quarantine" / PERMITS / "1.parquet").exists()


def test_an_interrupted_export_leaves_nothing(run_once, tmp_path, monkeypatch):
    from zhixin_gateway import quarantine_export

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(quarantine_export.FORMS, "csv", interrupted)
    assert main(["--home", str(run_once.home), "quarantine", "export", PERMITS,
                 str(tmp_path / "rejects.csv")]) == 130  # fmt: skip
    assert list(tmp_path.glob("*rejects*")) == []


def test_erasing_a_version_takes_all_that_is_kept_of_its_rejects(run_once):
    run_once.holds("1,good,2024-01-01,6", *FIRST[1:])
    run_once.run()
    run_once.holds("1,good,2024-01-01,6", *FIRST[1:4])
    run_once.run()
    folder = run_once.home / "quarantine" / PERMITS
    assert {path.name for path in folder.iterdir()} == {
        "1.parquet", "1.release.json", "2.parquet", "attempt.parquet", "attempt.json",
    }  # fmt: skip
    done = run_once.zhixin("erase", f"{PERMITS}@1", "--yes", home=run_once.home)
    assert done.code == 0, done.err
    assert {path.name for path in folder.iterdir()} == {"2.parquet"}


def test_thousands_of_rejects_are_read_batch_by_batch(permits, monkeypatch):
    permits.holds(*[f"{number},n,2024-01-01,{number}" for number in range(1, 5_001)])
    permits.run()
    sizes = []
    from zhixin_gateway.cli import quarantine as cli

    printed = cli._print
    monkeypatch.setattr(
        cli, "_print", lambda record, **more: (sizes.append(1), printed(record, **more))
    )
    paged = permits.quarantine("show", PERMITS, "--json", "--limit", "3", "--offset", "3000")
    assert rows(paged) == [3009, 3010, 3011]
    assert len(sizes) == 3


@pytest.mark.parametrize("cut", [0, 100, -8])
def test_a_damaged_file_is_named_and_can_be_moved_away(run_once, cut):
    folder = run_once.home / "quarantine" / PERMITS
    data = (folder / "1.parquet").read_bytes()
    (folder / "007.parquet").write_bytes(b"no version's")
    (folder / "1.parquet").write_bytes(data[:cut])
    run_once.holds("9,new,2024-01-01,5")
    for command in (["list"], ["show", PERMITS], ["prune", "--older-than", "0", "--waiting"]):
        said = run_once.quarantine(*command)
        assert said.code == 1, said.err
        assert f"the rejects of {PERMITS}@1 are damaged: {folder / '1.parquet'}" in said.err
    assert "are damaged" in run_once.run(code=1).err
    (folder / "1.parquet").unlink()
    run_once.run()
