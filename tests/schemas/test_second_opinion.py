"""Both engines over the same records: the same rows, and a stop where they differ."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from zhixin_errors import ConfigError, ValidationRefused
from zhixin_schemas import second_opinion as module
from zhixin_schemas.catalogue import catalogue_contract
from zhixin_schemas.compile import RuleSet, compile_rules
from zhixin_schemas.loader import load_contract_file
from zhixin_schemas.second_opinion import Count, SecondOpinion, second_opinion
from zhixin_schemas.staged import FAILED, ROW, UNREAD, StagedInput, read_staged

PROPERTIES = (
    "name: id, logicalType: integer, primaryKey: true",
    "name: big, logicalType: integer, logicalTypeOptions: {minimum: -5, maximum: 9007199254740992}",
    "name: u, logicalType: integer, logicalTypeOptions: {format: u64, maximum: 9}",
    "name: d, logicalType: number, physicalType: 'decimal(9,2)', required: true, "
    "logicalTypeOptions: {minimum: 0.1, exclusiveMaximum: 1.15}",
    "name: f, logicalType: number, required: true, logicalTypeOptions: "
    "{minimum: -0.5, exclusiveMaximum: 0.3}",
    "name: s, logicalType: string, required: true, unique: true, "
    "logicalTypeOptions: {pattern: '^[0-9A-Z]{2}$', minLength: 2, maxLength: 2}",
    "name: w, logicalType: string, enum: [{value: A}, {value: ''}], quality: "
    "[{metric: missingValues, mustBe: 0, arguments: {missingValues: ['', 'NA']}}, "
    "{metric: nullValues, mustBeLessThan: 99, unit: percent, name: few}]",
    "name: day, logicalType: date, logicalTypeOptions: {minimum: '1900-01-01'}",
    "name: tz, logicalType: timestamp, logicalTypeOptions: "
    "{timezone: true, exclusiveMinimum: '1900-01-01T00:00:00Z'}",
    "name: flag, logicalType: boolean, enum: [{value: true}]",
)
UNIQUE = ["metric: duplicateValues, mustBe: 0, name: pair, arguments: {properties: [s, w]}"]


def staged(path, contract, batch, rules=None, **more):
    rules = rules or compile_rules(contract)
    with StagedInput(path, rules, **more) as out:
        half = batch.num_rows // 2
        for part in (batch.slice(0, half), batch.slice(half)):
            out.add(part, rules.check(part))
    return path


def shared(batch, *names):
    """Rows whose values stand twice, none of them null: slow and obvious."""
    rows = list(zip(*(batch.column(name).to_pylist() for name in names), strict=True))
    return {at for at, row in enumerate(rows) if None not in row and rows.count(row) > 1}


def gx_rows(contract, table):
    """{rule: rows} as Great Expectations finds them, in this process."""
    import great_expectations as gx
    from zhixin_schemas import great_expectations_run as run
    from zhixin_schemas.suite import build_suite

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("x")
    suite = build_suite(contract)
    found = {}
    for whole, records in ((False, run._read(table)), (True, table)):
        expectations = [e for e in suite.expectations if e.whole == whole]
        names = run._names(expectations, table)
        asset = source.add_dataframe_asset(str(whole))
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
            batch_parameters={"dataframe": run._frame(records, names)}
        )
        rows = records.column(ROW).to_pylist()
        for e in expectations:
            arguments = {k: v for k, v in e.arguments.items() if v is not None}
            result = batch.validate(
                run._kind(e.type)(**arguments), result_format={"result_format": "COMPLETE"}
            )
            assert not run._broken(result), (e, result.exception_info)
            at = [rows[i] for i in result.result.get("unexpected_index_list") or []]
            found.setdefault(e.rule, set()).update(at)
    return found


_TEXTS = st.sampled_from(
    ["AA", "AA\n", "12", "１２", "١٢", "aA", "", "A", "AAA", "NA", "\nA", "é1"]
)
_RECORD = st.fixed_dictionaries(
    {
        "id": st.integers(1, 6),
        "big": st.sampled_from([2**53, 2**53 + 1, -5, -6, 0, 2**63 - 1, -(2**63)]),
        "u": st.sampled_from([0, 9, 10, 2**64 - 1]),
        "d": st.sampled_from([Decimal(x) for x in ("0.09", "0.10", "0.11", "1.14", "1.15")]),
        "f": st.sampled_from([-0.5, -0.0, 0.0, 0.3, 0.1 + 0.2, float("nan"), float("inf"), 1e-9]),
        "s": _TEXTS,
        "w": _TEXTS,
        "day": st.dates(),
        "tz": st.datetimes(timezones=st.just(__import__("datetime").UTC)),
        "flag": st.booleans(),
    }
).flatmap(
    lambda row: st.lists(st.sampled_from(list(row)[1:]), max_size=2).map(
        lambda nulls: {k: None if k in nulls else v for k, v in row.items()}
    )
)


_PLAIN = {"id": 1, "big": 2**53 + 1, "d": Decimal("0.10"), "f": 0.1, "s": "AA", "w": "A"}
"""GX compares numpy's integers with a bound that is a float: it must not get this one so."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@example([_PLAIN, {**_PLAIN, "id": 2, "big": 0}])
@given(st.lists(_RECORD, min_size=1, max_size=40))
def test_both_engines_find_the_same_rows(contract_of, tmp_path_factory, records):
    contract = contract_of(*PROPERTIES, quality=UNIQUE)
    batch = pa.RecordBatch.from_pylist(records, schema=contract.schema)
    path = staged(tmp_path_factory.mktemp("x") / "in.parquet", contract, batch)
    table, total = read_staged(path)
    assert total == len(records) == table.num_rows
    read = table.filter(pa.compute.invert(table.column(UNREAD)))
    ours = {
        name.removeprefix(FAILED): set(read.filter(read.column(name)).column(ROW).to_pylist())
        for name in table.schema.names
        if name.startswith(FAILED)
    }
    ours["primary-key"] = shared(batch, "id")
    ours["s.unique"] = shared(batch, "s")
    ours["pair"] = shared(batch, "s", "w")
    theirs = gx_rows(contract, table)
    assert theirs.keys() == ours.keys() - {"f.finite"}
    for rule, rows in theirs.items():
        assert rows == ours[rule], rule


@pytest.fixture(scope="module")
def airports(real_table):
    contract = load_contract_file(catalogue_contract("faa.gov.example/airports"))
    (batch,) = real_table(contract).combine_chunks().to_batches()
    return contract, batch


@pytest.mark.slow
def test_agrees_on_real_records_and_shows_a_report(airports, tmp_path):
    contract, batch = airports
    path = staged(tmp_path / "in.parquet", contract, batch)
    opinion = second_opinion(contract, path, tmp_path / "report", unique_failed={"primary-key": 0})
    assert opinion.disagreements() == []
    opinion.require_agreement()
    assert (opinion.rows, opinion.total, opinion.sample) == (1_458, 1_458, False)
    failed = {count.rule: count.failed for count in opinion.counts if count.failed}
    assert failed == {"lat.range": 1, "tzone-known": 3}
    assert opinion.not_checked == (
        "lat.finite", "lon.finite", "zone-of-the-united-states", "zone-at-longitude",
    )  # fmt: skip
    assert "<html" in opinion.report.read_text(encoding="utf-8").lower()
    assert json.loads(json.dumps(opinion.to_json()))["agrees"] is True


@pytest.mark.slow
def test_a_deleted_rule_stops_the_version(airports, tmp_path):
    contract, batch = airports
    fewer = RuleSet(contract, [rule for rule in contract.rules if rule.name != "lat.range"])
    path = staged(tmp_path / "in.parquet", contract, batch, fewer)
    opinion = second_opinion(contract, path, tmp_path / "report", unique_failed={"primary-key": 1})
    assert [count.rule for count in opinion.disagreements()] == ["lat.range", "primary-key"]
    with pytest.raises(ValidationRefused, match="differs on 2 rule") as caught:
        opinion.require_agreement()
    assert caught.value.code == "second-opinion"
    assert "the engine did not check it, Great Expectations found 1" in str(
        caught.value.details["disagreements"]
    )


@pytest.mark.slow
def test_a_sample_is_counted_by_both(airports, tmp_path):
    contract, batch = airports
    path = staged(tmp_path / "in.parquet", contract, batch, limit=500)
    opinion = second_opinion(contract, path, tmp_path / "report")
    assert opinion.sample
    assert 100 < opinion.rows <= 500
    assert opinion.total == 1_458
    assert opinion.disagreements() == []
    assert {"primary-key", "not-empty"} <= set(opinion.not_checked)


@pytest.mark.slow
def test_what_breaks_inside_gx_is_broken_and_not_bad_data(contract_of, batch_of, tmp_path):
    expectation = (
        "type: custom, engine: greatExpectations, severity: warning, name: {}, implementation: "
        "{{expectation: {}, arguments: {{column: {}, min_value: 1, max_value: 2}}}}"
    )
    name = "expect_column_median_to_be_between"
    contract = contract_of(
        "name: x, logicalType: integer",
        "name: s, logicalType: string",
        quality=[expectation.format("fine", name, "x"), expectation.format("odd", name, "s")],
    )
    path = staged(tmp_path / "in.parquet", contract, batch_of(contract, x=[5, 5], s=["a", "b"]))
    opinion = second_opinion(contract, path, tmp_path / "report")
    (broken,) = opinion.disagreements()
    assert broken.rule == "odd"
    assert "could not check it" in str(broken)
    fine = next(count for count in opinion.counts if count.rule == "fine")
    assert (fine.checked, fine.failed, fine.external) == (1, 1, True)


def test_the_sample_is_random_and_repeatable(contract_of, batch_of, tmp_path):
    contract = contract_of("name: x, logicalType: integer, logicalTypeOptions: {maximum: 50}")
    batch = batch_of(contract, x=list(range(10_000)))
    first, total = read_staged(staged(tmp_path / "a", contract, batch, limit=1_000, seed=7))
    again, _ = read_staged(staged(tmp_path / "b", contract, batch, limit=1_000, seed=7))
    other, _ = read_staged(staged(tmp_path / "c", contract, batch, limit=1_000, seed=8))
    assert total == 10_000
    assert 400 < first.num_rows <= 1_000
    assert first.equals(again)
    assert not first.column(ROW).equals(other.column(ROW))
    assert first.column(ROW).to_pylist() == first.column("x").to_pylist()
    assert max(first.column("x").to_pylist()) > 9_000
    whole, _ = read_staged(staged(tmp_path / "d", contract, batch, limit=10_000))
    assert whole.num_rows == 10_000


def test_counts_that_differ_are_named():
    same = Count("a", 10, 2, 10, 2)
    opinion = SecondOpinion(10, 10, (same,), (), __import__("pathlib").Path("x"))
    assert opinion.disagreements() == []
    for other in (
        replace(same, failed=3),
        replace(same, checked=9),
        replace(same, engine_failed=None),
        replace(same, broken="TypeError"),
    ):
        assert not other.agrees
        assert replace(opinion, counts=(other,)).disagreements() == [other]


@pytest.mark.parametrize(("code", "error"), [(3, ConfigError), (1, ValidationRefused)])
def test_a_failing_process_is_told_apart(monkeypatch, contract_of, tmp_path, code, error):
    contract = contract_of("name: x, logicalType: integer")

    def run(command, **_):
        return subprocess.CompletedProcess(command, code, b"", b"a\nValueError: secret record\n")

    monkeypatch.setattr(module.subprocess, "run", run)
    with pytest.raises(error) as caught:
        second_opinion(contract, tmp_path / "in", tmp_path / "report")
    assert "secret" not in str(caught.value)


def test_the_contracts_themselves_import_no_heavy_engine():
    heavy = ["great_expectations", "pandas", "sqlglot", "jsonschema", "pydantic", "duckdb"]
    code = (
        "import sys, zhixin_schemas.second_opinion, zhixin_schemas.quality, zhixin_schemas.staged,"
        f"zhixin_schemas.infer, zhixin_schemas.lint; "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
