"""``zhixin quarantine``: rejected records, for the steward who mends the source."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.options import (
    Context,
    answer,
    dataset_name,
    examples,
    home_option,
    json_option,
    one_line,
    say,
    table,
)

__all__ = ["command"]


@click.group("quarantine")
def command() -> None:
    """Records that a run rejected, with every reason."""


@command.command("list", epilog=examples("zhixin quarantine list city.gov.example/permits"))
@click.argument("name", metavar="MEMBER/DATASET[@N]")
@click.option("--reason", metavar="RULE", help="Only records that broke this rule.")
@json_option
@home_option
@click.pass_obj
def list_(context: Context, name: str, reason: str | None, *, as_json: bool) -> None:
    """Count the rejects of a version by rule."""
    counts: dict[tuple[str, str, str], int] = {}
    rejects = 0
    file = _file(context, name)
    for row in _rows(file, reason):
        rejects += 1
        for why in row["_reasons"]:
            key = (why["rule"], why["field"], why["message"])
            counts[key] = counts.get(key, 0) + 1
    lines = [
        {"rule": rule, "field": field, "message": message, "records": count}
        for (rule, field, message), count in sorted(counts.items())
    ]
    if as_json:
        answer({"records": rejects, "rules": lines})
        return
    if rejects == 0 and reason is not None:
        say(_no_such(file, reason))
    table(
        ["rule", "field", "records", "message"],
        [[str(x["rule"]), str(x["field"]), str(x["records"]), str(x["message"])] for x in lines],
    )


@command.command(
    "show",
    epilog=examples("zhixin quarantine show city.gov.example/permits@1 --reason opened.type"),
)
@click.argument("name", metavar="MEMBER/DATASET[@N]")
@click.option("--reason", metavar="RULE", help="Only records that broke this rule.")
@click.option("--limit", type=click.IntRange(1), help="At most so many records.")
@json_option
@home_option
@click.pass_obj
def show(
    context: Context, name: str, reason: str | None, limit: int | None, *, as_json: bool
) -> None:
    """Show the rejects of a version, each as the source gave it."""
    shown = 0
    file = _file(context, name)
    for row in _rows(file, reason):
        if limit is not None and shown == limit:
            break
        shown += 1
        if as_json:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
            continue
        sys.stdout.write(f"record {row['_row']:,}\n")
        for why in row["_reasons"]:
            sys.stdout.write(f"  ! {why['rule']}: {why['message']}\n")
        for field, text in row.items():
            if not field.startswith("_"):
                sys.stdout.write(f"    {field}: {'(null)' if text is None else one_line(text)}\n")
    if not as_json:
        say(f"{shown:,} records; the source's first record is record 0")
    if shown == 0 and reason is not None:
        say(_no_such(file, reason))


def _file(context: Context, name: str) -> Path:
    home = context.open_home()
    dataset, version = dataset_name(name)
    folder = home.quarantine / dataset
    if version is None:
        numbers = [int(path.stem) for path in folder.glob("*.parquet") if path.stem.isdecimal()]
        version = max(numbers, default=None)
    path = folder / f"{version}.parquet"
    if version is None or not path.is_file():
        own = dataset.partition("/")[0] == home.member
        raise ConfigError(
            f"there is no quarantine of {name} in this home",
            hint="`zhixin ls` shows the versions; each run that publishes one leaves its quarantine"
            if own
            else "it lies with the dataset's owner, and only there",
        )
    return path


def _no_such(file: Path, reason: str) -> str:
    """Name the reasons that there are, for somebody who asked for another."""
    there = sorted({why["rule"] for row in _rows(file, None) for why in row["_reasons"]})
    told = f"no record was rejected by {reason}"
    return f"{told}; there is {', '.join(there)}" if there else told


def _rows(path: Path, reason: str | None) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(1_024):
            for row in batch.to_pylist():
                if reason is None or any(why["rule"] == reason for why in row["_reasons"]):
                    yield row
