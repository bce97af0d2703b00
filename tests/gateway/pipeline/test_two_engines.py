"""Arrow and Great Expectations over the same records: equal sets of (rule, row), rule by rule.

For every kind of rule that both have (docs/contracts.md, Rules), on generated records with the
traps of both: a newline at the end, full-width and Arabic digits, NaN, integers beyond 2^53, nulls,
empty texts, the first and last day, characters of several code points, decimals, negative zero.
One process and few validations, each with all rules: GX takes seconds to import and to begin.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from zhixin_gateway.pipeline.uniqueness import KeyPile
from zhixin_schemas.compile import compile_rules
from zhixin_schemas.loader import load_contract
from zhixin_schemas.rules import Unique
from zhixin_schemas.staged import FAILED, ROW, UNREAD, StagedInput, read_staged
from zhixin_schemas.suite import build_suite

CONTRACT = """apiVersion: v3.2.0
kind: DataContract
id: test.gov.example/things
version: 1.0.0
servers: [{server: files, type: custom}]
schema:
  - name: things
    physicalName: things.csv
    properties:
      - {name: id, logicalType: integer, primaryKey: true}
      - {name: big, logicalType: integer, unique: true, logicalTypeOptions: {minimum: -5, maximum: 9007199254740992}}
      - {name: u, logicalType: integer, logicalTypeOptions: {format: u64, exclusiveMinimum: 0, maximum: 9}}
      - {name: small, logicalType: integer, logicalTypeOptions: {format: i16}}
      - {name: d, logicalType: number, physicalType: 'decimal(9,2)', required: true, unique: true, logicalTypeOptions: {minimum: 0.1, exclusiveMaximum: 1.15}}
      - {name: dset, logicalType: number, physicalType: 'decimal(9,2)', enum: [{value: 0.1}, {value: 1.14}]}
      - {name: f, logicalType: number, required: true, unique: true, logicalTypeOptions: {minimum: -0.5, exclusiveMaximum: 0.3}}
      - {name: fset, logicalType: number, enum: [{value: 0.0}, {value: 0.1}]}
      - {name: s, logicalType: string, required: true, unique: true, logicalTypeOptions: {pattern: '^[0-9A-Z]{2}$', minLength: 2, maxLength: 2}}
      - name: w
        logicalType: string
        enum: [{value: A}, {value: ''}]
        quality:
          - {metric: missingValues, mustBe: 0, arguments: {missingValues: ['', 'NA']}}
          - {metric: nullValues, mustBeLessThan: 99, unit: percent, name: few}
          - {metric: nullValues, mustBe: 0, name: known}
          - {metric: invalidValues, mustBe: 0, name: form, arguments: {pattern: '^[A-Z]+$'}}
          - {metric: invalidValues, mustBeLessThan: 99, name: forms, arguments: {validValues: [A]}}
      - {name: n, logicalType: integer, quality: [
          {metric: invalidValues, mustBe: 0, name: listed, arguments: {validValues: [-1, 9007199254740993]}},
          {metric: missingValues, mustBe: 0, name: there, arguments: {missingValues: [-1]}}]}
      - {name: day, logicalType: date, unique: true, logicalTypeOptions: {minimum: '1900-01-01', exclusiveMaximum: '9999-12-31'}}
      - {name: ts, logicalType: timestamp, logicalTypeOptions: {exclusiveMinimum: '1900-01-01T00:00:00', maximum: '9999-12-31T23:59:59.999998'}}
      - {name: tz, logicalType: timestamp, unique: true, logicalTypeOptions: {timezone: true, exclusiveMinimum: '1900-01-01T00:00:00Z'}}
      - {name: flag, logicalType: boolean, enum: [{value: true}]}
    quality:
      - {metric: duplicateValues, mustBe: 0, name: pair, arguments: {properties: [s, w]}}
      - {metric: duplicateValues, mustBe: 0, name: triple, arguments: {properties: [flag, day, u]}}
      - {metric: rowCount, mustBeBetween: [3, 30], name: rows}
"""  # noqa: E501

TEXTS = st.sampled_from(
    ["AA", "AA\n", "12", "１２", "١٢", "aA", "", "A", "AAA", "NA", "\nA", "é1", "e\u0301", "中",
     "\U00020000", "\U00020000A", "👍🏽", "A\u200b", " A", "A\u2028"]
)  # fmt: skip
FIRST, DAY, LAST = (
    dt.datetime.fromisoformat(text)
    for text in ("0001-01-01", "1900-01-01", "9999-12-31T23:59:59.999999")
)
TIMES = st.sampled_from([FIRST, DAY, LAST]) | st.datetimes()
FLOATS = st.sampled_from(
    [-0.5, -0.0, 0.0, 0.3, 0.1, 0.1 + 0.2, float("nan"), float("inf"), 1e-9, 5e-324]
)
DECIMALS = st.sampled_from([Decimal(x) for x in ("0.09", "0.10", "0.11", "1.14", "1.15", "-0.01")])
VALUES = {
    "id": st.integers(1, 6),
    "big": st.sampled_from([2**53, 2**53 + 1, -5, -6, 0, 2**63 - 1, -(2**63)]),
    "u": st.sampled_from([0, 9, 10, 2**64 - 1]),
    "small": st.sampled_from([-(2**15), -(2**15) - 1, 2**15 - 1, 2**15]),
    "d": DECIMALS,
    "dset": DECIMALS,
    "f": FLOATS,
    "fset": FLOATS,
    "s": TEXTS,
    "w": TEXTS,
    "n": st.sampled_from([-1, 0, 2**53, 2**53 + 1]),
    "day": st.sampled_from([dt.date.min, dt.date(1899, 12, 31), dt.date(1900, 1, 1), dt.date.max])
    | st.dates(),
    "ts": TIMES,
    "tz": TIMES.map(lambda at: at.replace(tzinfo=dt.UTC)),
    "flag": st.booleans(),
}
RECORD = st.fixed_dictionaries(VALUES).flatmap(
    lambda row: st.lists(st.sampled_from(list(row)[1:]), max_size=2).map(
        lambda nulls: {k: None if k in nulls else v for k, v in row.items()}
    )
)
SOUND = {
    "id": 1, "big": 1, "u": 9, "small": 1, "d": Decimal("0.10"), "dset": Decimal("1.14"),
    "f": 0.25, "fset": 0.0, "s": "AA", "w": "A", "n": 2**53 + 1, "day": dt.date(2000, 1, 1),
    "ts": dt.datetime(2000, 1, 1), "tz": dt.datetime(2000, 1, 1, tzinfo=dt.UTC), "flag": True,  # noqa: DTZ001
}  # fmt: skip
WRONG = {
    "big": 2**53 + 1, "u": 10, "small": 2**15, "d": Decimal("1.15"), "dset": Decimal("0.11"),
    "f": 0.3, "fset": 0.1 + 0.2, "s": "AA\n", "w": "１２", "n": 2**53, "day": dt.date.max,
    "ts": LAST, "tz": dt.datetime(1900, 1, 1, tzinfo=dt.UTC), "flag": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def contract():
    return load_contract(CONTRACT.encode())


@pytest.fixture(scope="module")
def opinion(contract, tmp_path_factory):
    """Both engines' answers for records: two mappings {rule: rows}."""
    rules = compile_rules(contract)

    def ask(records):
        folder = tmp_path_factory.mktemp("x")
        batch = pa.RecordBatch.from_pylist(records, schema=contract.schema)
        with StagedInput(folder / "in.parquet", rules) as out:
            half = batch.num_rows // 2
            for part in (batch.slice(0, half), batch.slice(half)):
                out.add(part, rules.check(part))
        table, _ = read_staged(folder / "in.parquet")
        return arrow_rows(contract, table, batch, folder), gx_rows(contract, table)

    return ask


def arrow_rows(contract, table, batch, folder):
    """{rule: rows} as the masks and the key piles have them, of records that were read."""
    read = table.filter(pa.compute.invert(table.column(UNREAD)))
    found = {
        name.removeprefix(FAILED): set(read.filter(read.column(name)).column(ROW).to_pylist())
        for name in table.schema.names
        if name.startswith(FAILED)
    }
    for rule in contract.rules:
        if isinstance(rule.check, Unique):
            pile = KeyPile(folder / rule.name, contract.schema, rule.fields)
            for start in range(0, batch.num_rows, 3):
                few = batch.slice(start, 3)
                pile.add(few, np.arange(start, start + few.num_rows))
            found[rule.name] = set(pile.shared().tolist())
    del found["f.finite"], found["fset.finite"]  # GX has none: these records are left out for it
    found["rows"] = set() if 3 <= batch.num_rows <= 30 else {None}
    return found


def gx_rows(contract, table):
    """{rule: rows} as Great Expectations finds them, in this process, by its row ids."""
    import great_expectations as gx
    from zhixin_schemas import great_expectations_run as run

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("x")
    suite = build_suite(contract)
    assert set(suite.not_checked) == {"f.finite", "fset.finite"}
    found = {}
    for whole, records in ((False, run._read(table)), (True, table)):
        expectations = [e for e in suite.expectations if e.whole == whole]
        names = run._names(expectations, table)
        asset = source.add_dataframe_asset(str(whole))
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
            batch_parameters={"dataframe": run._frame(records, names)}
        )
        made = gx.ExpectationSuite(name=str(whole))
        asked = run._asked(expectations)
        for at in sorted(set(asked)):
            e = expectations[at]
            arguments = {k: v for k, v in e.arguments.items() if v is not None}
            made.add_expectation(run._kind(e.type)(**arguments, meta={"zhixin": str(at)}))
        rows = records.column(ROW).to_pylist()
        told = batch.validate(made, result_format={"result_format": "COMPLETE"}).results
        by_place = {int(each.expectation_config.meta["zhixin"]): each for each in told}
        for e, at in zip(expectations, asked, strict=True):
            result = by_place[at]
            assert not run._broken(result), result.exception_info
            counted = "unexpected_count" in result.result
            places = (result.result.get("unexpected_index_list") or []) if counted else []
            broken = {rows[place] for place in places}
            if not counted and not result.success:
                broken = {None}
            found.setdefault(e.rule, set()).update(broken)
    return found


def differing(ours, theirs):
    assert sorted(ours.keys() ^ theirs.keys()) == []
    return {rule: (ours[rule], theirs[rule]) for rule in ours if ours[rule] != theirs[rule]}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_kind_of_rule_fails_the_same_rows(opinion):
    """A sound record, then one that breaks each field's rules, one with nulls, and twins."""
    records = [SOUND]
    for number, (field, value) in enumerate(WRONG.items(), start=2):
        apart = {
            "id": number, "big": number, "s": f"{number:02}", "d": Decimal(number) / 100,
            "f": number / 100, "day": dt.date(2000, 1, number), "u": 1 + number % 9,
            "tz": dt.datetime(2000, 1, number, tzinfo=dt.UTC),
        }  # fmt: skip
        records.append({**SOUND, **apart, field: value})
    records.append({**dict.fromkeys(SOUND), "id": 99})
    records.append({**SOUND, "w": "", "n": -1})
    records.append({**SOUND, "id": None, "fset": -0.0})
    ours, theirs = opinion(records)
    assert differing(ours, theirs) == {}
    assert [rule for rule, rows in theirs.items() if not rows] == ["rows"]
    ours, theirs = opinion([SOUND])
    assert (ours, {rule for rule, rows in theirs.items() if rows}) == (theirs, {"rows"})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@seed(7)
@settings(
    deadline=None,
    max_examples=6,
    phases=[Phase.explicit, Phase.generate],  # a validation takes a second: no search for less
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(RECORD, min_size=5, max_size=60))
def test_both_engines_find_the_same_rows(opinion, records):
    ours, theirs = opinion(records)
    assert differing(ours, theirs) == {}
