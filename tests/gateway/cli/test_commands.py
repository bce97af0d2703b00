import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest
from zhixin_gateway.cli.root import COMMANDS
from zhixin_gateway.datasets import hashing, native

THINGS = "agency.example/things"


def _contract(home):
    return home / "contracts" / "things.odcs.yaml"


def _version(home, number=1):
    return home / "store" / THINGS / str(number)


def test_from_an_own_table_to_verified_records(zhixin, published):
    path = _version(published)
    verified = zhixin("verify", path, home=published)
    assert verified.code == 0
    assert verified.out.startswith("VERIFIED agency.example/things@1, 3 records, entry 4")
    shown = zhixin("cat", THINGS, home=published)
    assert shown.out.splitlines() == [
        "id,day,name,amount",
        '1,2024-01-01,"a ""b""",5.25',
        "2,,x,",
        "3,2024-03-01,,7",
    ]


def test_run_answers_in_json_as_is_promised(zhixin, agency):
    answer = zhixin("run", _contract(agency), "--json", home=agency)
    assert answer.code == 0
    told = answer.json
    assert list(told) == [
        "dataset", "version", "pending", "extracted", "records", "quarantined", "warned", "root",
        "index", "path", "rules", "drift", "alerts", "released", "incremental",
        "parts", "kernel", "seconds",
    ]  # fmt: skip
    assert (told["dataset"], told["version"], told["pending"]) == (THINGS, 1, False)
    assert (told["records"], told["quarantined"], told["index"]) == (3, 0, 4)
    assert told["parts"] == {"carried": 0, "written": 1}
    assert "parts: 0 carried over, 1 written" in answer.err
    assert re.fullmatch("[0-9a-f]{64}", told["root"])
    assert all(set(rule) == {"rule", "severity", "checked", "failed"} for rule in told["rules"])
    again = zhixin("run", _contract(agency), "--json", home=agency)
    assert (again.code, again.json["version"], again.json["path"]) == (0, None, None)
    assert again.json["parts"] is None
    assert "nothing changed" in again.err


def test_a_query_file_counts_from_the_home_wherever_a_command_is_run(
    zhixin, agency, tmp_path, monkeypatch
):
    with sqlite3.connect(tmp_path / "office.db") as database:
        database.execute("CREATE TABLE t (id INTEGER)")
        database.execute("INSERT INTO t VALUES (1), (2), (3)")
    (agency / "queries").mkdir()
    (agency / "queries" / "few.sql").write_text("SELECT id FROM t WHERE id < 3")
    monkeypatch.chdir("/")
    url = f"sqlite:///{tmp_path}/office.db"
    contract = agency / "contracts" / "few.odcs.yaml"
    inferred = zhixin("source", "infer", url, "queries/few.sql", home=agency)
    contract.write_text(inferred.out)
    assert inferred.code == 0, inferred.err
    ran = zhixin("run", contract, "--json", home=agency)
    assert (ran.code, ran.json["records"]) == (0, 2), ran.err
    (agency / "queries" / "few.sql").unlink()
    gone = zhixin("run", contract, home=agency)
    assert (gone.code, f"counts from {agency}" in gone.err) == (2, True), gone.err


def test_verify_answers_in_json_as_is_promised(zhixin, published):
    answer = zhixin("verify", _version(published), "--json", "--deep", home=published)
    assert answer.code == 0
    told = answer.json
    assert list(told) == [
        "ok", "code", "message", "dataset", "version", "index", "size", "time", "records", "checks",
    ]  # fmt: skip
    assert told["ok"] is True
    assert told["code"] is None
    assert {check["status"] for check in told["checks"]} == {"passed"}


def test_a_tampered_copy_is_refused_with_its_code(zhixin, published):
    part = _version(published) / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[100] ^= 1
    part.write_bytes(data)
    refused = zhixin("verify", _version(published), home=published)
    assert (refused.code, refused.out.split(":")[0]) == (1, "REFUSED part-digest")
    told = zhixin("verify", _version(published), "--json", home=published)
    assert (told.code, told.json["ok"], told.json["code"]) == (1, False, "part-digest")
    assert zhixin("cat", THINGS, home=published).code == 1
    assert zhixin("cat", THINGS, home=published).out == ""


def test_verify_with_a_pinned_trust_needs_no_home_and_says_what_it_did_not_prove(
    zhixin, published, tmp_path
):
    assert zhixin("trust", "export", tmp_path / "pinned", home=published).code == 0
    answer = zhixin("verify", _version(published), "--trust", tmp_path / "pinned")
    assert answer.code == 0
    assert "standing is not" in answer.err
    strict = zhixin(
        "verify", _version(published), "--trust", tmp_path / "pinned", "--require-standing"
    )
    assert (strict.code, strict.out.split(":")[0]) == (1, "REFUSED stale")


def test_a_trust_that_cannot_be_used_is_a_fault_of_the_set_up(zhixin, published, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "members.json").write_text("{}")
    answer = zhixin("verify", _version(published), "--trust", tmp_path / "bad", "--json")
    assert (answer.code, answer.json["ok"], answer.json["code"]) == (2, False, "trust")
    assert zhixin("verify", _version(published)).code == 2


def test_expect_and_max_age_are_judged(zhixin, published):
    wrong = zhixin("verify", _version(published), "--expect", f"{THINGS}@2", home=published)
    assert (wrong.code, wrong.out.split(":")[0]) == (1, "REFUSED unexpected")
    fresh = zhixin("verify", _version(published), "--max-age", "1h", home=published)
    assert fresh.code == 0
    time.sleep(1.1)
    stale = zhixin("verify", _version(published), "--max-age", "0s", home=published)
    assert (stale.code, stale.out.split(":")[0]) == (1, "REFUSED stale")
    assert zhixin("verify", _version(published), "--max-age", "soon", home=published).code == 2


def test_cat_gives_sql_json_and_arrow(zhixin, published):
    answer = zhixin(
        "cat", THINGS, "--sql", "SELECT id, amount, day FROM things ORDER BY id DESC",
        "--format", "json", home=published,
    )  # fmt: skip
    assert [json.loads(line) for line in answer.out.splitlines()] == [
        {"id": 3, "amount": 7.0, "day": "2024-03-01"},
        {"id": 2, "amount": None, "day": None},
        {"id": 1, "amount": 5.25, "day": "2024-01-01"},
    ]
    assert zhixin("cat", THINGS, "--sql", "DROP TABLE things", home=published).code == 2
    assert zhixin("cat", "agency.example/nothing", home=published).code == 2


def test_cat_says_what_only_sql_can_make_in_full(zhixin, published):
    fine = "SELECT '2020-01-01 00:00:00.123456789'::TIMESTAMP_NS AS t"
    assert "00:00:00.123456789" in zhixin("cat", THINGS, "--sql", fine, home=published).out


def test_cat_streams_arrow(published):
    command = [sys.executable, "-m", "zhixin_gateway.cli", "--home", published, "cat", THINGS]
    done = subprocess.run([*command, "--format", "arrow"], capture_output=True, check=True)
    with pa.ipc.open_stream(done.stdout) as stream:
        assert stream.read_all().num_rows == 3


def test_one_record_is_proved_to_somebody_without_the_dataset(zhixin, published, tmp_path):
    zhixin("trust", "export", tmp_path / "pinned", home=published)
    proof = tmp_path / "proof.json"
    made = zhixin("prove", _version(published), "--where", "id = 2", "--out", proof, home=published)
    assert made.code == 0
    checked = zhixin("verify-record", proof, "--trust", tmp_path / "pinned", "--expect", THINGS)
    assert checked.code == 0
    assert checked.out.splitlines()[:3] == ["id: 2", "day: (null)", "name: x"]
    assert "VERIFIED" in checked.out
    proof.write_bytes(proof.read_bytes().replace(b'"x"', b'"y"'))
    told = zhixin("verify-record", proof, "--trust", tmp_path / "pinned", "--json")
    assert (told.code, told.json["code"]) == (1, "record")
    assert zhixin("prove", _version(published), "--where", "id > 1", home=published).code == 2


def test_withdraw_is_seen_by_verify_ls_and_lineage(zhixin, published):
    gone = zhixin("withdraw", f"{THINGS}@1", "--reason", "error", "--json", home=published)
    assert (gone.code, gone.json["reason"]) == (0, "error")
    refused = zhixin("verify", _version(published), home=published)
    assert (refused.code, refused.out.split(":")[0]) == (1, "REFUSED withdrawn")
    (row,) = zhixin("ls", "--json", home=published).json["datasets"]
    assert (row["standing"], row["withdrawn"]) == (None, [1])
    again = zhixin("withdraw", f"{THINGS}@1", "--reason", "error", "--json", home=published)
    assert again.code in (0, 1)
    assert "WITHDRAWN" in zhixin("lineage", f"{THINGS}@1", home=published).out


def test_lineage_draws_text_json_and_svg(zhixin, published):
    assert zhixin("lineage", THINGS, home=published).out == f"{THINGS}@1  entry 4\n"
    told = zhixin("lineage", THINGS, "--json", home=published).json
    assert (told["root"], told["edges"]) == (f"{THINGS}@1", [])
    drawn = ET.fromstring(zhixin("lineage", THINGS, "--svg", home=published).out)
    assert drawn.tag.endswith("svg")


def test_quarantine_lists_and_shows_the_steward_every_reason(zhixin, agency, tmp_path):
    (tmp_path / "things.csv").write_text(
        "id,day,name,amount\n1,2024-01-01,a,x\n2,soon,b,1\n3,2024-01-01,c,1\n"
    )
    answer = zhixin("run", _contract(agency), "--json", home=agency)
    assert answer.json["quarantined"] == 2
    listed = zhixin("quarantine", "list", f"{THINGS}@1", "--json", home=agency).json
    assert listed["records"] == 2
    assert {row["rule"] for row in listed["rules"]} == {"amount.type", "day.type"}
    shown = zhixin("quarantine", "show", THINGS, "--reason", "day.type", "--json", home=agency).json
    assert (shown["_row"], shown["day"], shown["amount"]) == (1, "soon", "1")
    text = zhixin("quarantine", "show", THINGS, home=agency).out
    assert "! amount.type" in text
    assert zhixin("quarantine", "list", "agency.example/none", home=agency).code == 2


def test_status_tells_of_runs_and_of_what_waits(zhixin, agency):
    assert zhixin("status", "--json", home=agency).json["datasets"] == []
    log = agency / "log"
    log.rename(agency / "away")
    pending = zhixin("run", _contract(agency), "--json", home=agency)
    assert (pending.code, pending.json["pending"]) == (3, True)
    told = zhixin("status", "--json", home=agency)
    assert (told.code, told.json["pending"], told.json["datasets"][0]["pending"]) == (3, True, 1)
    assert zhixin("run", _contract(agency), home=agency).code == 3
    (agency / "away").rename(log)
    resumed = zhixin("status", "--resume", "--json", home=agency)
    assert (resumed.code, resumed.json["datasets"][0]["version"]) == (0, 1)
    assert zhixin("verify", _version(agency), home=agency).code == 0


def test_the_ledger_is_logged_shown_and_checked(zhixin, published):
    entries = zhixin("ledger", "log", "--json", home=published).json["entries"]
    assert [entry["kind"] for entry in entries] == [
        "genesis", "seal", "contract", "seal", "dataset", "seal",
    ]  # fmt: skip
    shown = zhixin("ledger", "show", 4, "--json", home=published).json
    assert shown["statement"]["subject"][0]["name"] == f"{THINGS}@1"
    assert zhixin("ledger", "show", 99, home=published).code == 2
    assert zhixin("ledger", "fsck", home=published).code == 0
    known = zhixin("ledger", "fsck", "--cached", "--json", home=published).json
    whole = zhixin("ledger", "fsck", "--json", home=published).json
    assert [part["cached"] > 0 for part in known["copies"]] == [True, False] * 2
    assert not any(part["cached"] for part in whole["copies"])
    database = sqlite3.connect(published / "ledger/mirror.sqlite")
    changed = """CAST(replace(data, '"withdrawn":[]', '"withdrawn":["1"]') AS BLOB)"""
    database.execute(f"UPDATE facts SET data = {changed}")
    database.commit()
    database.close()
    altered = zhixin("ledger", "fsck", "--json", home=published)
    assert [copy["code"] for copy in altered.json["copies"]] == [None, "state", None, None]
    assert "zhixin ledger rebuild" in altered.json["copies"][1]["repair"]
    tile = published / "ledger/tile/entries/000.p/6"
    data = bytearray(tile.read_bytes())
    data[50] ^= 1
    tile.write_bytes(data)
    broken = zhixin("ledger", "fsck", "--json", home=published)
    assert (broken.code, broken.json["ok"]) == (1, False)
    assert {copy["code"] for copy in broken.json["copies"]} == {"tile", None}


def test_a_trust_is_pinned_only_by_its_fingerprint(zhixin, published, tmp_path):
    exported = zhixin("trust", "export", tmp_path / "pinned", "--json", home=published).json
    assert exported["fingerprint"] in zhixin("trust", "show", tmp_path / "pinned").err
    zhixin("init", "other.example")
    other = tmp_path / "other.example"
    wrong = zhixin(
        "trust", "import", tmp_path / "pinned", "--fingerprint", "aaaa-bbbb", "--json", home=other
    )
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "fingerprint")
    spoken = exported["fingerprint"].upper().replace("-", " ")
    right = zhixin("trust", "import", tmp_path / "pinned", "--fingerprint", spoken, home=other)
    assert right.code == 0
    assert "`zhixin init MEMBER --join` makes a home that follows it" in right.err
    assert (other / "trust/members.json").read_bytes() == (
        tmp_path / "pinned/members.json"
    ).read_bytes()


def test_contracts_are_linted_tried_published_and_compared(zhixin, agency, tmp_path):
    contract = _contract(agency)
    tried = zhixin("contract", "lint", contract, "--against", "things.csv", "--json").json
    assert (tried["ok"], tried["against"]["records"], tried["against"]["rejected"]) == (True, 3, 0)
    first = zhixin("contract", "publish", contract, "--json", home=agency).json
    assert (first["index"], first["version"]) == (2, "1.0.0")
    assert zhixin("contract", "publish", contract, "--json", home=agency).json["index"] is None
    newer = tmp_path / "newer.yaml"
    newer.write_text(contract.read_text().replace("- name: amount", "- name: price"))
    changed = zhixin("contract", "diff", contract, newer, "--json").json
    assert changed["version"] == "2.0.0"
    assert {change["name"] for change in changed["changes"]} >= {"amount", "price"}
    bad = tmp_path / "bad.yaml"
    bad.write_text(contract.read_text().replace("version: 1.0.0", "version: one"))
    answer = zhixin("contract", "lint", bad, "--json")
    assert (answer.code, answer.json["ok"]) == (1, False)
    assert all(problem["line"] for problem in answer.json["problems"])
    refused = zhixin("run", bad, "--json", home=agency)
    assert (refused.code, refused.json["error"]["code"]) == (1, "contract-invalid")
    assert refused.json["error"]["problems"]


def test_sources_are_checked_and_listed_by_address_and_by_name(zhixin, agency):
    assert zhixin("source", "check", "things.csv").code == 0
    assert zhixin("source", "check", "things", home=agency).code == 0
    assert zhixin("source", "check", "nothing.csv").code == 2
    listed = zhixin("source", "tables", "things.csv", "--json").json["tables"]
    assert [each["name"] for each in listed] == ["things.csv"]


def test_a_source_with_a_password_is_not_written_to_the_settings(zhixin, agency, monkeypatch):
    from zhixin_gateway.cli import source
    from zhixin_gateway.home import Home

    source._remember(Home.open(agency), "secret", "postgresql://u:hunter2@db.example/x")
    assert "hunter2" not in (agency / "zhixin.toml").read_text()


def test_get_fetches_from_the_owners_store_and_verifies(zhixin, published, tmp_path):
    fetched = zhixin("get", THINGS, tmp_path / "copy", "--json", home=published)
    assert fetched.code == 0
    assert fetched.json["path"] == str(tmp_path / "copy" / THINGS / "1")
    assert zhixin("get", THINGS, tmp_path / "copy", home=published).code == 0
    part = tmp_path / "copy" / THINGS / "1" / "part-00000.parquet"
    part.write_bytes(part.read_bytes() + b"x")
    again = zhixin("get", THINGS, tmp_path / "copy", "--json", home=published)
    assert (again.code, again.json["error"]["code"]) == (1, "part-digest")
    assert zhixin("get", "agency.example/none", home=published).code == 2


def test_doctor_finds_what_is_wrong(zhixin, published):
    assert zhixin("doctor", home=published).code == 0
    (published / "keys/statement.pem").chmod(0o644)
    told = zhixin("doctor", "--json", home=published)
    assert (told.code, told.json["ok"]) == (2, False)
    assert any("chmod 600" in finding["message"] for finding in told.json["findings"])


def test_doctor_and_a_run_say_which_path_hashes(zhixin, agency, monkeypatch):
    def told(command, *arguments):
        return zhixin(command, *arguments, "--json", home=agency)

    def finding():
        [found] = [f for f in told("doctor").json["findings"] if f["check"] == "kernel"]
        return found["state"], found["message"]

    version = hashing.kernel()
    assert finding() == ("ok", f"the native kernel {version} hashes records")
    run = told("run", _contract(agency))
    assert run.json["kernel"] == version
    assert f"hashed by the native kernel {version}" in run.err
    with monkeypatch.context() as patch:
        patch.setattr(native, "PROTOCOL", native.PROTOCOL + 1)
        assert finding()[0] == "warn"
        assert "another release" in finding()[1]
        patch.setattr(native, "_found", None)
        assert "make kernel" in finding()[1]
    monkeypatch.setenv("ZHIXIN_KERNEL", "pure")
    assert "ZHIXIN_KERNEL" in finding()[1]
    again = told("run", _contract(agency), "--force")
    assert again.json["kernel"] is None
    assert "hashed by the pure path" in again.err


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_every_command_has_help_and_refuses_what_it_does_not_know(zhixin, name):
    shown = zhixin(name, "--help")
    assert shown.code == 0
    assert shown.out.startswith(f"Usage: zhixin {name}")
    assert zhixin(name, "--nonsense").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "c.yaml", "--json"],
        ["status", "--json"],
        ["ls", "--json"],
        ["verify", "nowhere", "--json"],
        ["get", "a.example/b", "--json"],
        ["ledger", "log", "--json"],
        ["trust", "show", "--json"],
        ["doctor", "--json"],
        ["lineage", "a.example/b", "--json"],
        ["quarantine", "list", "a.example/b", "--json"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_a_home_every_command_says_so_and_exits_2(zhixin, arguments):
    answer = zhixin(*arguments)
    assert answer.code == 2
    assert answer.json["error"]["code"] in {"config", "trust"} or answer.json.get("code") == "trust"
    assert answer.err


def test_an_error_of_ours_is_exit_4_without_a_traceback(zhixin, agency, monkeypatch):
    import zhixin_gateway.checkup

    monkeypatch.setattr(zhixin_gateway.checkup, "check_up", lambda _home: 1 / 0)
    answer = zhixin("doctor", "--json", home=agency)
    assert (answer.code, answer.json["error"]["code"]) == (4, "internal")


def test_help_answers_within_0_3_s_of_cpu_time():
    command = [sys.executable, "-W", "error", "-m", "zhixin_gateway.cli", "--help"]
    best = min(_cpu_s(command) for _ in range(3))
    assert best < 0.3


def _cpu_s(command):
    before = os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    return (
        after.children_user - before.children_user + after.children_system - before.children_system
    )


def test_importing_brings_in_nothing_heavy():
    heavy = {"airflow", "great_expectations", "pandas", "pyarrow", "duckdb", "sqlalchemy"}
    code = f"import sys, zhixin_gateway, zhixin_gateway.cli; print({heavy!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


def test_ctrl_c_leaves_nothing_half_done(agency, tmp_path):
    with (tmp_path / "things.csv").open("w") as file:
        file.write("id,day,name,amount\n")
        for number in range(400_000):
            file.write(f"{number},2024-01-01,some name,{number}.5\n")
    command = [
        sys.executable,
        "-m",
        "zhixin_gateway.cli",
        "--home",
        agency,
        "run",
        _contract(agency),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    records = agency / "staging" / THINGS / "keys"
    deadline = time.monotonic() + 60
    while not records.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not (agency / "staging" / THINGS).exists()
    assert not _version(agency).exists()


def test_a_reader_that_goes_away_is_no_error(published):
    command = f"{sys.executable} -m zhixin_gateway.cli --home {published} cat {THINGS} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], check=False, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("id,day,name,amount\n", "")


def test_who_keeps_no_log_is_told_what_to_serve(zhixin, published):
    (published / "keys" / "log.pem").unlink()
    refused = zhixin("ledger", "serve", "--port", "0", home=published)
    assert (refused.code, "it has no keys/log.pem" in refused.err) == (2, True)
    assert "zhixin witness serve" in refused.err


def test_the_reference_in_the_docs_is_the_commands_own_help():
    from zhixin_gateway.cli.reference import reference

    page = Path(__file__).parents[3] / "docs" / "cli.md"
    assert page.read_text() == reference(), "python -m zhixin_gateway.cli.reference > docs/cli.md"
