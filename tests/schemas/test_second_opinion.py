"""Both engines over the same records: the same rows, and a stop where they differ."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from zhixin_errors import ConfigError, ValidationRefused
from zhixin_schemas import second_opinion as module
from zhixin_schemas.catalogue import catalogue_contract
from zhixin_schemas.compile import RuleSet, compile_rules
from zhixin_schemas.loader import load_contract_file
from zhixin_schemas.second_opinion import Count, SecondOpinion, second_opinion
from zhixin_schemas.staged import ROW, StagedInput, read_staged
from zhixin_schemas.suite import build_suite


def staged(path, contract, batch, rules=None, **more):
    rules = rules or compile_rules(contract)
    with StagedInput(path, rules, **more) as out:
        half = batch.num_rows // 2
        for part in (batch.slice(0, half), batch.slice(half)):
            out.add(part, rules.check(part))
    return path


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
def test_an_extraction_without_records_is_agreed_on(contract_of, batch_of, tmp_path):
    contract = contract_of(
        "name: x, logicalType: integer, required: true, unique: true, "
        "logicalTypeOptions: {minimum: 1}",
        "name: s, logicalType: string, enum: [{value: a}], logicalTypeOptions: {pattern: '^[a]$'}",
        quality=["metric: rowCount, mustBeLessThan: 5, name: n"],
    )
    path = staged(tmp_path / "in.parquet", contract, batch_of(contract, x=[], s=[]))
    opinion = second_opinion(contract, path, tmp_path / "report", unique_failed={"x.unique": 0})
    assert opinion.disagreements() == []
    assert len(opinion.counts) == 6


@pytest.mark.slow
def test_rules_that_ask_the_same_are_counted_each(contract_of, batch_of, tmp_path):
    contract = contract_of(
        "name: x, logicalType: integer, required: true, quality: "
        "[{name: known, metric: nullValues, mustBe: 0, severity: warning}, "
        "{name: few, metric: nullValues, mustBeLessThan: 99, unit: percent}]"
    )
    path = staged(tmp_path / "in.parquet", contract, batch_of(contract, x=[1, None, None]))
    opinion = second_opinion(contract, path, tmp_path / "report")
    assert [(c.rule, c.failed, c.engine_failed) for c in opinion.counts] == [
        ("x.required", 2, 2), ("known", 2, 2), ("few", 2, 2),
    ]  # fmt: skip


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


@pytest.mark.parametrize("failed", [0, 1])
def test_a_result_without_counts_is_broken_and_never_agrees(
    contract_of, batch_of, tmp_path, failed
):
    from zhixin_schemas import great_expectations_run as run

    contract = contract_of("name: x, logicalType: integer, required: true")
    batch = batch_of(contract, x=[None if failed else 1])
    table, _ = read_staged(staged(tmp_path / "in.parquet", contract, batch))
    (expectation,) = build_suite(contract).expectations
    told = SimpleNamespace(result={}, success=not failed, exception_info=None)
    count = run._count(contract, "x.required", [(expectation, told)], table, {})
    assert (count.engine_checked, count.engine_failed) == (1, failed)
    assert not count.agrees
    assert "could not check it (no counts)" in str(count)


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
