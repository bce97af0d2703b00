"""From the results to what people read: the terminal, the chart, and the blocks in the docs.

    .venv/bin/python benchmarks/report.py [--write]

Every figure of README and docs/performance.md stands in a block that is made here::

    <!-- bench:runs -->
    … made from benchmarks/results/summary.json …
    <!-- /bench -->

``--write`` makes them and the chart anew; `tests/test_figures.py` holds them to the JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chart

__all__ = ["CHART", "PAGES", "SUMMARY", "filled", "show", "write"]

ROOT = Path(__file__).parents[1]
SUMMARY = ROOT / "benchmarks" / "results" / "summary.json"
CHART = ROOT / "docs" / "performance.svg"
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
BLOCK = re.compile(r"<!-- bench:([a-z-]+) -->(\n?).*?<!-- /bench -->", flags=re.DOTALL)

Summary = dict[str, Any]

WANTED: dict[str, tuple[str, str, float]] = {
    "run_vs_raw_copy": ("verified run / plain copy to Parquet", "≤", 1.05),
    "run_vs_dlt": ("verified run / dlt's faster back end", "≤", 0.4),
    "pure_run_vs_raw_copy": ("run without the kernel / plain copy", "≤", 6),
    "unchanged_run_vs_raw_copy": ("run of an unchanged table / plain copy", "", 0),
    "verify_vs_openssl": ("`zhixin verify` / `openssl dgst -sha256`", "≤", 0.75),
    "deep_records_per_s": ("deep verification, records a second", "≥", 1_500_000),
    "peak_extra_mb_10m": ("memory of a run of ten million records, MB", "≤", 600),
    "peak_10m_vs_1m": ("the same / of one million", "≤", 1.1),
    "us_per_record_10m_vs_1m": ("time a record, ten million / one million", "≤", 1.1),
}
STEPS = {
    "zhixin-adbc": "ADBC: rows of the database into columns",
    "zhixin-read": "reading: rows of the database into columns, and their types",
    "MainThread": "rules and keys; once a run, contract, ledger and proof",
    "zhixin-hash": "canonical texts, leaves, trees and content",
    "zhixin-encode": "Parquet, the file's digest, the disk",
}
NAMES = {
    "ours": "**Zhixin: verified, notarised**",
    "ours-pure": "Zhixin without the kernel",
    "ours-unchanged": "Zhixin, nothing changed",
    "raw": "plain copy (ADBC)",
    "raw-unordered": "plain copy, no ORDER BY",
    "copy-binary": "COPY, thrown away",
    "connectorx": "connectorx",
    "pandas": "pandas.read_sql",
    "dlt-connectorx": "dlt, connectorx",
    "dlt-connectorx-stream": "dlt, connectorx in batches",
    "dlt-pyarrow": "dlt, pyarrow",
    "great-expectations": "Great Expectations, rules alone",
    "verify": "**`zhixin verify`**",
    "verify-home": "the same in a home: its standing too",
    "openssl": "`openssl dgst -sha256`",
    "model-signing": "model-signing, `verify key`",
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--write", action="store_true", help="make blocks and chart anew")
    asked = options.parse_args()
    summary: Summary = json.loads(SUMMARY.read_text())
    show(summary)
    if asked.write:
        write(summary)
    return 0


def show(summary: Summary) -> None:
    """Print the figures, ratios first."""
    for name in ("ratios", "wanted", "runs", "gate", "growth", "memory"):
        print(f"\n{_FILL[name](summary)}")


def write(summary: Summary) -> None:
    """Make the chart and the blocks of all pages anew."""
    CHART.write_text(chart.draw(summary), encoding="utf-8")
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), summary), encoding="utf-8")


def filled(text: str, summary: Summary) -> str:
    """A page with its blocks made from the results."""

    def block(found: re.Match[str]) -> str:
        name, line = found[1], found[2]
        return f"<!-- bench:{name} -->{line}{_FILL[name](summary)}{line}<!-- /bench -->"

    return BLOCK.sub(block, text)


# ---- blocks


def _ratios(summary: Summary) -> str:
    """Every ratio: the median of the pairs, the least and the greatest, and that of medians."""
    rows = [("ratio", "median of pairs", "pairs", "from", "to", "of medians")]
    for section in summary["sections"].values():
        for name, each in section.get("ratios", {}).items():
            pairs = each["pairs"]
            told = (_two(each["median_of_pairs"]), str(len(pairs)))
            rows.append(
                (f"`{name}`", *told, *map(_two, (min(pairs), max(pairs), each["of_medians"])))
            )
    return _table(rows)


def _wanted(summary: Summary) -> str:
    known = {**summary["ratios"], **summary["figures"]}
    rows = [("figure", "", "measured", "wanted", "")]
    for name, (told, sign, limit) in WANTED.items():
        if name in known:
            value = known[name]
            met = value <= limit if sign == "≤" else value >= limit
            wanted = f"{sign} {_number(limit)}" if sign else ""
            row = (told, f"`{name}`", _number(value), wanted)
            rows.append((*row, ("met" if met else "**missed**") if sign else ""))
    floor = known.get("raw_copy_vs_dlt", 0.0)
    if floor <= WANTED["run_vs_dlt"][2]:
        return _table(rows)
    backend = summary["sections"]["run"]["ratios"]["run_vs_dlt"]["backend"]
    return (
        f"{_table(rows)}\n\nThe plain copy itself takes {_two(floor)} of the time of dlt's faster "
        f"back end (`{backend}`), so that what is wanted of that ratio lies below the plain copy."
    )


def _runs(summary: Summary) -> str:
    section = summary["sections"].get("run")
    if section is None:
        return _absent("run")
    rows = [("", "seconds", "with its start", "CPU s", "database's CPU s", "memory, MB")]
    middle = section["medians"]
    for name in sorted(middle, key=lambda each: middle[each]["seconds"]):
        own = middle[name]
        figures = ("seconds", "process_s", "cpu_s", "server_cpu_s")
        rows.append(
            (NAMES[name], *(_two(own[each]) for each in figures), f"{own['peak_extra_mb']:.0f}")
        )
    return f"{section['records']:,} records of {section['columns']} columns:\n\n{_table(rows)}"


def _gate(summary: Summary) -> str:
    section = summary["sections"].get("gate")
    if section is None:
        return _absent("gate")
    rows = [(f"{section['bytes']:,} bytes in {section['parts']} parts", "seconds", "CPU s", "MB")]
    middle = section["medians"]
    for name in ("openssl", "model-signing", "verify", "verify-home"):
        if name in middle:
            own = middle[name]
            peak = f"{own['process_peak_mb']:.0f}"
            rows.append((NAMES[name], _two(own["process_s"]), _two(own["process_cpu_s"]), peak))
    figures = section["figures"]
    many, few = section["records_large"], section["records"]
    lines = [
        f"Deep verification of {few:,} flights: {figures['deep_records_per_s'] / 1e6:.2f} million "
        f"records a second, {figures['deep_records_per_s_process'] / 1e6:.2f} with the start of "
        f"the process; of {many:,}: {figures['deep_records_per_s_large'] / 1e6:.2f}.",
        f"Of these {many:,}, read part by part, the first verified batch is there after "
        f"{figures['first_batch_s']:.2f} s and the last after {figures['all_batches_s']:.2f} s.",
        f"A proof of one of them by its key takes {figures['prove_s']:.2f} s with the start of "
        f"the process, and {figures['prove_peak_mb']:.0f} MB in all.",
    ]
    return _table(rows) + "\n\n" + "\n".join(lines)


def _growth(summary: Summary) -> str:
    section = summary["sections"].get("growth")
    if section is None:
        return _absent("growth")
    rows = [
        (
            "records",
            "columns",
            "seconds",
            "µs a record",
            "ns a value",
            "plain copy, s",
            "memory, MB",
        )
    ]
    for size in [*section["by_records"], *section["by_columns"]]:
        own, raw = size["medians"]["ours"], size["medians"]["raw"]
        rows.append(
            (
                f"{size['records']:,}",
                str(size["columns"]),
                _two(own["seconds"]),
                _two(size["us_per_record"]),
                f"{size['ns_per_value']:.0f}",
                _two(raw["seconds"]),
                f"{own['peak_extra_mb']:.0f}",
            )
        )
    return _table(rows)


def _memory(summary: Summary) -> str:
    section = summary["sections"].get("memory")
    if section is None:
        return _absent("memory")
    rows = [("records out of order", "", "seconds", "memory, MB")]
    rows += [
        (each["source"], f"{each['records']:,}", _two(each["seconds"]), f"{each['peak_mb']:.0f}")
        for each in section["runs"]
    ]
    return _table(rows)


def _machine(summary: Summary) -> str:
    told = summary["machine"]
    versions = {**told["versions"], **summary["peers"]}
    sections = ", ".join(
        f"{name} at {each['commit'][:12]} on {each['time'][:10]}"
        for name, each in summary["sections"].items()
    )
    settings = ", ".join(f"`{name}={value}`" for name, value in summary["postgresql"].items())
    return (
        f"{told['cores']} cores of {told['cpu']} ({told['architecture']}, with "
        f"{', '.join(told['flags'])}), {told['ram_gb']:.0f} GB, Linux {told['kernel']}; "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}. PostgreSQL with "
        f"{settings}, all else its defaults. Sections: {sections}."
    )


def _readme(summary: Summary) -> str:
    for name in ("run", "growth", "gate"):
        if name not in summary["sections"]:
            return _absent(name)
    ratios, figures = summary["ratios"], summary["figures"]
    run, cores = summary["sections"]["run"], summary["machine"]["cores"]
    return (
        f"`make bench`, on {cores} cores: a verified run of {run['records']:,} flights takes "
        f"{_two(ratios['run_vs_raw_copy'])} of the time of a plain copy to Parquet, "
        f"{_two(ratios['run_vs_dlt'])} of dlt's and {figures['peak_extra_mb_1m']:.0f} MB; "
        f"`zhixin verify` takes {_two(ratios['verify_vs_openssl'])} of that of "
        "`openssl dgst -sha256`"
    )


def _profile(summary: Summary) -> str:
    """What each thread of a run took, and the database, of the processor."""
    section = summary["sections"].get("run")
    if section is None:
        return _absent("run")
    ways = ("ours", "ours-pure")
    threads = [_by_thread(section["samples"][way]) for way in ways]
    middle = [section["medians"][way] for way in ways]
    rows = [("CPU s", "with the kernel", "without")]
    for name, told in STEPS.items():
        taken = [each.get(name, 0.0) for each in threads]
        if any(taken):
            rows.append((told, *map(_two, taken)))
    others = [
        max(0.0, own["cpu_s"] - sum(each.get(name, 0.0) for name in STEPS))
        for own, each in zip(middle, threads, strict=True)
    ]
    rows.append(("other threads, Arrow's among them", *map(_two, others)))
    rows.append(("the database's own", *(_two(own["server_cpu_s"]) for own in middle)))
    sums = [own["cpu_s"] + own["server_cpu_s"] for own in middle]
    rows.append(("**together**", *(f"**{_two(each)}**" for each in sums)))
    raw, cores = section["medians"]["raw"], summary["machine"]["cores"]
    return (
        f"{_table(rows)}\n\nThe plain copy and its database take {_two(raw['cpu_s'])} and "
        f"{_two(raw['server_cpu_s'])}. With the kernel {_two(sums[0])} s on {cores} cores can't be "
        f"done in less than {_two(sums[0] / cores)} s; it took {_two(middle[0]['seconds'])} s, and "
        f"the plain copy {_two(raw['seconds'])} s."
    )


def _by_thread(samples: list[dict[str, Any]]) -> dict[str, float]:
    """The median of what each thread took of the processor."""
    names = {name for sample in samples for name in sample["thread_cpu_s"]}
    return {
        name: statistics.median(sample["thread_cpu_s"].get(name, 0.0) for sample in samples)
        for name in names
    }


_FILL: dict[str, Callable[[Summary], str]] = {
    "ratios": _ratios,
    "wanted": _wanted,
    "runs": _runs,
    "gate": _gate,
    "growth": _growth,
    "memory": _memory,
    "machine": _machine,
    "readme": _readme,
    "profile": _profile,
}


def _absent(name: str) -> str:
    return f"(`make bench` has not measured `{name}` yet)"


def _table(rows: list[tuple[str, ...]]) -> str:
    head, *rest = rows
    lines = ["| " + " | ".join(row) + " |" for row in rest]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines])


def _two(value: float) -> str:
    return f"{value:.2f}"


def _number(value: float) -> str:
    return (
        f"{value:,.0f}"
        if abs(value) >= 100
        else f"{value:.4g}"
        if value == int(value)
        else _two(value)
    )


if __name__ == "__main__":
    sys.exit(main())
