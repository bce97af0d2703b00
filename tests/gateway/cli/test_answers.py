"""What commands say to people, and how every kind of end becomes an exit code."""

import re
import sqlite3

import click
import pyarrow as pa
import pytest
import zhixin_gateway
from zhixin_errors import LedgerUnavailable, TransientSourceError, TrustError
from zhixin_gateway import cli
from zhixin_gateway.checkup import check_up
from zhixin_gateway.cli import plain
from zhixin_gateway.cli.options import table
from zhixin_gateway.cli.root import zhixin as root
from zhixin_gateway.home import Home

THINGS = "agency.example/things"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.exceptions.Exit(0), 0),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (click.UsageError("what?"), 2),
        (BrokenPipeError(), 0),
        (TrustError("no trust"), 2),
        (LedgerUnavailable("away", details={"pending": True}), 3),
        (TransientSourceError("away"), 3),
        (OSError(28, "No space left on device"), 2),
        (ValueError("a record's contents"), 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_end_has_its_code_and_none_shows_a_traceback(monkeypatch, capsys, error, code):
    def ending(**_kwargs):
        raise error

    monkeypatch.setattr(root, "main", ending)
    assert cli.main(["status", "--json"]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "a record's contents" not in out + err
    if isinstance(error, LedgerUnavailable):
        assert '"pending": true' in out


def test_with_debugging_on_a_fault_of_ours_shows_where(monkeypatch):
    def ending(**_kwargs):
        raise ValueError("why")

    monkeypatch.setattr(root, "main", ending)
    monkeypatch.setenv("ZHIXIN_DEBUG", "1")
    with pytest.raises(ValueError, match="why"):
        cli.main([])


def test_the_help_of_the_root_names_every_command(zhixin):
    shown = zhixin("--help")
    assert shown.code == 0
    assert "verify-record  Check a record's proof, offline." in shown.out
    assert zhixin("nonsense").code == 2
    assert zhixin("--version").out.startswith("zhixin, version ")


def test_init_goes_on_where_it_was_interrupted_and_never_begins_twice(zhixin, tmp_path):
    from zhixin_gateway.home import create_home

    create_home(tmp_path / "agency.example", "agency.example", operator=True)
    (tmp_path / "agency.example" / "log").mkdir()
    first = zhixin("init", "agency.example", "--json")
    assert (first.code, first.json["origin"].startswith("ledger.agency.example/")) == (0, True)
    assert zhixin("init", "agency.example").code == 2
    assert zhixin("init", "other.example", home=tmp_path / "agency.example").code == 2


def test_status_in_words(zhixin, agency):
    contract = agency / "contracts/things.odcs.yaml"
    (agency / "log").rename(agency / "away")
    waiting = zhixin("run", contract, home=agency)
    assert (waiting.code, waiting.err.count("proof pending:")) == (3, 1)
    told = zhixin("status", home=agency)
    assert told.code == 3
    assert "version 1: proof pending" in told.out
    assert zhixin("status", "--resume", home=agency).code == 3
    (agency / "away").rename(agency / "log")
    resumed = zhixin("status", "--resume", home=agency)
    assert (resumed.code, "published agency.example/things@1" in resumed.err) == (0, True)
    assert "complete" in resumed.out
    assert "nothing waits" in zhixin("status", "--resume", home=agency).err


def test_a_run_that_failed_is_remembered(zhixin, agency, tmp_path):
    contract = agency / "contracts/things.odcs.yaml"
    (tmp_path / "things.csv").unlink()
    assert zhixin("run", contract, home=agency).code == 2
    assert "last run failed: source-refused" in zhixin("status", home=agency).out


def test_lint_in_words(zhixin, agency, tmp_path):
    contract = agency / "contracts/things.odcs.yaml"
    told = zhixin("contract", "lint", contract, "--against", "things", home=agency)
    assert told.code == 0
    assert "id.required" in told.out
    assert "3 records, of which 0 would be quarantined" in told.err
    assert "(advice)" in told.err
    bad = tmp_path / "bad.yaml"
    bad.write_text(contract.read_text().replace("logicalType: integer", "logicalType: whole"))
    refused = zhixin("contract", "lint", bad)
    assert refused.code == 1
    assert re.search(r"bad\.yaml:[0-9]+:[0-9]+: ", refused.out)
    assert zhixin("contract", "lint", tmp_path / "none").code == 2
    changed = zhixin("contract", "diff", contract, contract)
    assert (changed.out, "the same contract" in changed.err) == ("", True)
    run = zhixin("run", bad, home=agency)
    assert re.search(r"bad\.yaml:[0-9]+:[0-9]+: ", run.err)


def test_tables_of_a_folder(zhixin, agency, tmp_path):
    told = zhixin("source", "tables", tmp_path)
    assert told.code == 0
    assert "things.csv" in told.out


def test_infer_without_a_home_needs_a_name_and_writes_no_settings(zhixin, agency):
    assert zhixin("source", "infer", "things.csv", "things.csv").code == 2
    told = zhixin(
        "source", "infer", "things.csv", "things.csv", "--dataset", "a.example/b", "--json"
    )
    assert told.json["dataset"] == "a.example/b"
    assert "id: a.example/b" in told.json["contract"]


@pytest.mark.parametrize(
    ("table_name", "dataset", "told"),
    [
        ("main.permits", "permits", False),
        ("许可证", "dataset", True),
        ("permits_许可", "permits", True),
    ],
)
def test_infer_says_what_it_calls_a_table_without_latin_letters(
    zhixin, agency, tmp_path, table_name, dataset, told
):
    with sqlite3.connect(tmp_path / "office.db") as database:
        database.execute(f'CREATE TABLE "{table_name.removeprefix("main.")}" (id INTEGER)')
    url = f"sqlite:///{tmp_path}/office.db"
    answered = zhixin("source", "infer", url, table_name, "--json", home=agency)
    assert answered.json["dataset"] == f"agency.example/{dataset}"
    assert ("--dataset calls it otherwise" in answered.err) == told


def test_a_version_without_any_accepted_record_is_published_only_where_the_contract_allows_it(
    zhixin, agency, tmp_path
):
    contract = agency / "contracts/things.odcs.yaml"
    (tmp_path / "things.csv").write_text("id,day,name,amount\nx,2024-01-01,a,1\n")
    told = zhixin("run", contract, home=agency)
    assert (told.code, "error (all-rejected)" in told.err, "@attempt" in told.err) == (
        1,
        True,
        True,
    )
    allowed = "{metric: rejectedRows, mustBeLessOrEqualTo: 100, unit: percent}"
    assert allowed in told.err
    rule = f"{{name: any, type: custom, engine: zhixin, implementation: {allowed}}}"
    text = contract.read_text().replace("version: 1.0.0", "version: 1.1.0")
    contract.write_text(f"{text}    quality: [{rule}]\n")
    told = zhixin("run", contract, "--json", home=agency)
    assert (told.code, told.json["records"], told.json["quarantined"]) == (0, 0, 1), told.err


def test_two_sources_of_one_name_and_different_addresses_are_refused(zhixin, agency, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "things.csv").write_text("id\n1\n")
    told = zhixin("source", "infer", "more/things.csv", "things.csv", home=agency)
    assert (told.code, "--source NAME" in told.err) == (2, True)
    named = zhixin("source", "infer", "more/things.csv", "things.csv", "--source", "m", home=agency)
    assert named.code == 0
    home = zhixin_gateway.Home.open(agency)
    assert home.source_url("m") == str(tmp_path / "more" / "things.csv")


def test_a_record_proof_that_is_not_there_or_has_no_trust(zhixin, published, tmp_path):
    assert zhixin("verify-record", tmp_path / "none", home=published).code == 2
    (tmp_path / "proof").write_text("{}")
    refused = zhixin("verify-record", tmp_path / "proof", home=published)
    assert (refused.code, refused.out.split(":")[0]) == (1, "REFUSED malformed")
    (tmp_path / "empty").mkdir()
    told = zhixin("verify-record", tmp_path / "proof", "--trust", tmp_path / "empty", "--json")
    assert (told.code, told.json["code"]) == (2, "trust")


def test_ls_and_quarantine_and_log_in_words(zhixin, published):
    assert THINGS in zhixin("ls", home=published).out
    assert zhixin("quarantine", "list", THINGS, home=published).out.startswith("rule")
    assert "agency.example/things@1.0.0" in zhixin("ledger", "log", home=published).out
    assert '"predicateType"' in zhixin("ledger", "show", "4", home=published).out
    assert zhixin("withdraw", THINGS, "--reason", "error", home=published).code == 2
    unknown = zhixin("withdraw", f"{THINGS}@9", "--reason", "error", home=published)
    assert (unknown.code, "`zhixin ls` shows which versions there are" in unknown.err) == (2, True)
    assert zhixin("lineage", "agency.example/none", home=published).code == 2


def test_doctor_sees_another_ledger_than_the_trusts(zhixin, published, tmp_path):
    zhixin("init", "other.example")
    other = tmp_path / "other.example"
    (published / "trust/members.json").write_bytes((other / "trust/members.json").read_bytes())
    with (published / "zhixin.toml").open("a") as file:
        file.write('[stores]\n"b.example" = "nowhere"\n')
    (published / "contracts/bad.odcs.yaml").write_text("id: x")
    told = zhixin("doctor", home=published)
    assert told.code == 2
    assert "another ledger than the trust's" in told.out
    assert "no store at the place" in told.out
    assert re.search(r"bad\.odcs\.yaml:[0-9]+:[0-9]+: ", told.out)


def test_doctor_sees_a_store_without_what_the_ledger_has(zhixin, published):
    assert "stands in the ledger" not in zhixin("doctor", home=published).out
    settings = published / "zhixin.toml"
    settings.write_text('store = "elsewhere"\n' + settings.read_text())
    told = zhixin("doctor", home=published)
    assert f"{THINGS}@" in told.out
    assert "stands in the ledger, but not in" in told.out


class Dead:
    """An object store that does not answer."""

    name = "s3://nowhere"

    @property
    def objects(self):
        return self

    def put(self, name, data):
        raise TransientSourceError(f"the store {self.name} does not answer")

    def is_there(self, dataset, version):
        raise AssertionError("it is not asked again")


def test_doctor_tells_of_all_other_stores_where_the_own_one_does_not_answer(
    zhixin, published, monkeypatch
):
    with (published / "zhixin.toml").open("a") as file:
        file.write('[stores]\n"b.example" = "nowhere"\n')
    monkeypatch.setattr(Home, "open_store", lambda _home: Dead())
    told = [each for each in check_up(Home.open(published, {})) if each.check == "stores"]
    assert [(each.state, each.message.partition(":")[0]) for each in told] == [
        ("fail", "own store"),
        ("warn", "b.example"),
    ]


def test_a_query_may_answer_with_types_that_no_manifest_has(zhixin, published):
    sql = """SELECT 'NaN'::float AS nan, 1::tinyint AS tiny, 1::utinyint AS utiny,
        [1, NULL] AS list,
        {'a': 1, 'b': true} AS struct, TIMESTAMP_S '2024-01-01 00:00:00' AS second,
        1.50::decimal(4,2) AS price, NULL AS nothing, 'x'::blob AS bytes, true AS yes"""
    told = zhixin("cat", THINGS, "--sql", sql, "--format", "json", home=published)
    assert told.json == {
        "nan": "nan", "tiny": 1, "utiny": 1, "list": [1, None], "struct": {"a": 1, "b": True},
        "second": "2024-01-01T00:00:00.000000", "price": "1.50", "nothing": None, "bytes": "eA==",
        "yes": True,
    }  # fmt: skip
    csv = zhixin("cat", THINGS, "--sql", "SELECT [1, 2] AS list, NULL AS n", home=published)
    assert csv.out == 'list,n\n"[""1"", ""2""]",\n'
    assert zhixin("cat", THINGS, "--sql", "SELECT INTERVAL 1 DAY", home=published).code in (0, 2)


def test_elements_of_odd_columns():
    batch = pa.record_batch([pa.array(["a"]).dictionary_encode()], names=["x"])
    assert list(plain.elements(batch)) == [["a"]]


def test_a_cell_of_a_table_is_one_line_whatever_it_holds(capsys):
    """Members' titles are what members say: a terminal shows them and obeys none."""
    table(["title"], [["A\x1b[2J\nnobody.gov.example  active"], ["局"]])
    assert capsys.readouterr().out == "title\nA\\x1b[2J\\nnobody.gov.example  active\n局\n"


def test_columns_of_a_table_stand_below_each_other_beside_chinese_signs(capsys):
    table(["name", "kind"], [["许可证", "table"], ["permits", "view"]])
    assert capsys.readouterr().out == (
        "name     kind\n许可证   table\npermits  view\n"  # each sign is two cells wide
    )
