"""Runs a suite: ``python -m zhixin_schemas.great_expectations_run REQUEST``.

Started by :mod:`zhixin_schemas.second_opinion` and by nobody else: it imports pandas and GX. The
request is a JSON file that names contract, staged input, report directory and answer.

Columns reach GX in types that hold every value exactly: numpy where that does (GX is fast there),
Arrow-backed where an integer above 2^53, a decimal or a date would otherwise change.
Texts are Python's, so that ``re`` and not RE2 judges them a second time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zhixin_schemas import rules as r
from zhixin_schemas.loader import load_contract_file
from zhixin_schemas.model import Contract
from zhixin_schemas.second_opinion import Count
from zhixin_schemas.staged import FAILED, UNREAD, read_staged
from zhixin_schemas.suite import Expectation, Suite, build_suite

__all__ = ["main"]

_EXACT_IN_FLOAT = 2**53


def main(arguments: list[str]) -> int:
    """Answer a request; 3 where Great Expectations is not installed."""
    try:
        import great_expectations  # noqa: F401
    except ImportError:
        return 3
    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    contract = load_contract_file(Path(request["contract"]))
    table, total = read_staged(Path(request["staged"]))
    suite = build_suite(contract, sample=table.num_rows < total, delta=request["delta"])
    results, page = _validate(suite, table, Path(request["report"]))
    counts = [
        _count(contract, rule, group, table, request["unique_failed"])
        for rule, group in _by_rule(results)
    ]
    answer = {
        "rows": table.num_rows,
        "total": total,
        "counts": [asdict(count) for count in counts],
        "not_checked": list(suite.not_checked),
        "report": str(page),
    }
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


# ---- the records as GX takes them


def _frame(table: pa.Table, names: Iterable[str]) -> Any:  # noqa: ANN401 - pandas' frame
    import pandas as pd

    return pd.DataFrame({name: _series(table.column(name)) for name in names})


def _series(column: pa.ChunkedArray[Any]) -> Any:  # noqa: ANN401 - pandas' series
    import pandas as pd

    kind = column.type
    if pa.types.is_string(kind):
        texts: Any = pd.StringDtype("python", na_value=float("nan"))
        return pd.Series(column.to_pylist(), dtype=texts)
    if pa.types.is_float64(kind) or pa.types.is_timestamp(kind):
        return column.to_pandas()
    if pa.types.is_integer(kind) and _numpy_holds(column):
        return column.to_pandas()
    return column.to_pandas(types_mapper=pd.ArrowDtype)


def _numpy_holds(column: pa.ChunkedArray[Any]) -> bool:
    """Whether all integers fit a float: GX compares numpy's with bounds that are floats."""
    low, high = pc.min(column).as_py(), pc.max(column).as_py()
    return low is None or max(abs(low), abs(high)) <= _EXACT_IN_FLOAT


def _names(expectations: Iterable[Expectation], table: pa.Table) -> list[str]:
    """Give the columns that expectations look at; all plain ones where one is not ours."""
    plain = [
        field.name
        for field in table.schema
        if not field.name.startswith("zhixin:") and not pa.types.is_nested(field.type)
    ]
    wanted: set[str] = set()
    for expectation in expectations:
        arguments = expectation.arguments
        named = [arguments["column"]] if "column" in arguments else arguments.get("column_list")
        wanted.update(named if named is not None else plain)
    return [name for name in plain if name in wanted] or plain[:1]


# ---- the run


def _validate(
    suite: Suite, table: pa.Table, report: Path
) -> tuple[list[tuple[Expectation, Any]], Path]:
    """Run the suite as one checkpoint: row rules over read records, the others over all."""
    import great_expectations as gx
    from great_expectations.checkpoint.actions import UpdateDataDocsAction

    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    _report_to(context, report)
    source = context.data_sources.add_pandas(name="staged input")
    groups = [
        ("records", [e for e in suite.expectations if not e.whole], _read(table)),
        ("all records", [e for e in suite.expectations if e.whole], table),
    ]
    found: list[tuple[Expectation, Any]] = []
    for name, expectations, records in groups:
        if not expectations:
            continue
        asset = source.add_dataframe_asset(name=name)
        batch = asset.add_batch_definition_whole_dataframe(name)
        definition = _definition(context, f"{suite.name}, {name}", expectations, batch)
        checkpoint = context.checkpoints.add(
            gx.Checkpoint(
                name=definition.name,
                validation_definitions=[definition],
                result_format="SUMMARY",
                actions=[UpdateDataDocsAction(name="report", site_names=["report"])],
            )
        )
        frame = _frame(records, _names(expectations, table))
        done = checkpoint.run(batch_parameters={"dataframe": frame})
        (result,) = done.run_results.values()
        told: list[Any] = result.results
        by_id = {item.expectation_config.meta["zhixin"]: item for item in told}
        found += [
            (e, by_id[str(at)]) for e, at in zip(expectations, _asked(expectations), strict=True)
        ]
    return found, report / "index.html"


def _asked(expectations: list[Expectation]) -> list[int]:
    """For each expectation the first that asks the same: GX drops the others without a word."""
    plain = [(_kind(e.type), dict(e.arguments)) for e in expectations]
    return [plain.index(each) for each in plain]


def _read(table: pa.Table) -> pa.Table:
    unread = table.column(UNREAD)
    return table.filter(pc.invert(unread)) if pc.any(unread).as_py() else table


def _definition(
    context: Any,  # noqa: ANN401 - GX's own
    name: str,
    expectations: list[Expectation],
    batch: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=name)
    asked = set(_asked(expectations))
    for at, expectation in enumerate(expectations):
        if at not in asked:
            continue
        kind = _kind(expectation.type)
        meta = {"zhixin": str(at), "rule": expectation.rule}
        arguments = {k: v for k, v in expectation.arguments.items() if v is not None}
        suite.add_expectation(kind(**arguments, meta=meta, notes=expectation.rule))
    context.suites.add(suite)
    return context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=batch, suite=suite)
    )


def _kind(name: str) -> Any:  # noqa: ANN401
    from great_expectations import expectations as known

    camel = name if name.startswith("Expect") else "".join(w.title() for w in name.split("_"))
    return getattr(known, camel)


def _report_to(context: Any, report: Path) -> None:  # noqa: ANN401
    report.mkdir(parents=True, exist_ok=True)
    for site in list(context.list_data_docs_sites()):
        context.delete_data_docs_site(site)
    context.add_data_docs_site(
        site_name="report",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(report),
            },
        },
    )


# ---- the counts


def _by_rule(
    results: list[tuple[Expectation, Any]],
) -> list[tuple[str, list[tuple[Expectation, Any]]]]:
    groups: dict[str, list[tuple[Expectation, Any]]] = {}
    for expectation, result in results:
        groups.setdefault(expectation.rule, []).append((expectation, result))
    return list(groups.items())


def _count(
    contract: Contract,
    name: str,
    group: list[tuple[Expectation, Any]],
    table: pa.Table,
    unique_failed: Mapping[str, int],
) -> Count:
    rule = next(rule for rule in contract.rules if rule.name == name)
    broken = next((text for _, result in group if (text := _broken(result))), "")
    if not broken and not isinstance(rule.check, r.External | r.RowCount):
        broken = "no counts" if any(_uncounted(result) for _, result in group) else ""
    checked, failed = _told(group)
    engine_checked: int | None = table.num_rows
    engine_failed: int | None
    match rule.check:
        case r.External():
            engine_checked = engine_failed = None
        case r.Unique():
            engine_failed = unique_failed.get(name)
        case r.RowCount(threshold):
            engine_checked, engine_failed = 1, int(not threshold.holds(table.num_rows))
        case _:
            engine_checked, engine_failed = _engine(name, table)
    external = isinstance(rule.check, r.External)
    return Count(name, checked, failed, engine_checked, engine_failed, broken, external)


def _engine(name: str, table: pa.Table) -> tuple[int, int | None]:
    read = _read(table)
    if FAILED + name not in table.schema.names:
        return read.num_rows, None
    return read.num_rows, int(pc.sum(read.column(FAILED + name)).as_py() or 0)


def _uncounted(result: Any) -> bool:  # noqa: ANN401
    """Whether GX gave no count of an expectation about records, which it does when it breaks."""
    return "unexpected_count" not in result.result or "element_count" not in result.result


def _told(group: list[tuple[Expectation, Any]]) -> tuple[int, int]:
    """Give (checked, failed) of a rule; an expectation about the whole is one check."""
    counts = [result.result for _, result in group]
    if any("unexpected_count" not in count for count in counts):
        return 1, int(not all(result.success for _, result in group))
    checked = max(int(count.get("element_count") or 0) for count in counts)
    return checked, sum(int(count["unexpected_count"] or 0) for count in counts)


def _broken(result: Any) -> str:  # noqa: ANN401
    """Give the kind of an exception inside GX, which does not raise it; never its text."""
    info = result.exception_info or {}
    parts = [info] if "raised_exception" in info else list(info.values())
    for part in parts:
        if part.get("raised_exception"):
            trace = str(part.get("exception_traceback") or "").strip().splitlines()
            last = trace[-1] if trace else "Exception"
            return last.partition(":")[0].strip()[:80] or "Exception"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
