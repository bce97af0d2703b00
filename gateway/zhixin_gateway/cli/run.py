"""``zhixin run``: one version of a dataset, from its source to the ledger."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

if TYPE_CHECKING:
    from zhixin_gateway.pipeline.results import RunResult

__all__ = ["command", "tell_run"]

PENDING = 3


@click.command(
    "run",
    epilog=examples(
        "zhixin run contracts/permits.odcs.yaml --dry-run",
        "zhixin run contracts/permits.odcs.yaml --json",
        "zhixin run contracts/permits.odcs.yaml --full",
    ),
)
@click.argument("contract", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Extract and validate; publish and leave nothing.")
@click.option("--force", is_flag=True, help="Publish a version even where nothing changed.")
@click.option("--full", is_flag=True, help="Read all records, also of an incremental dataset.")
@click.option("--report", is_flag=True, help="Let Great Expectations count the same rules too.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that read at once, where the contract divides its source.",
)
@json_option
@home_option
@click.pass_obj
def command(
    context: Context,
    contract: Path,
    *,
    dry_run: bool,
    force: bool,
    full: bool,
    report: bool,
    workers: int,
    as_json: bool,
) -> int:
    """Run CONTRACT: publish it if it is new; extract, validate, write, notarise."""
    from zhixin_gateway.pipeline import run

    progress = context.open_progress()
    try:
        result = run(
            context.open_home(),
            contract,
            dry_run=dry_run,
            force=force,
            report=report,
            full=full,
            workers=workers,
            progress=progress,
        )
    finally:
        progress.close()
    if as_json:
        answer(result.to_json())
    return tell_run(result, as_json=as_json)


def tell_run(result: RunResult, *, as_json: bool = False) -> int:
    """Say what came of a run, and give the exit code.

    Args:
        result: the run's.
        as_json: the answer itself went to standard output already.
    """
    for note in result.notes:
        say(note)
    for rule in result.rules:
        if rule["failed"]:
            say(f"  {rule['severity']:8} {rule['rule']}: {rule['failed']:,} of {rule['checked']:,}")
    counts = (
        f"{result.extracted:,} extracted, {result.records:,} records, "
        f"{result.quarantined:,} quarantined"
    )
    if result.warned:
        counts += f", {result.warned:,} warned"
    if result.pending:
        say(
            f"{result.dataset}@{result.version} is staged, but its proof is pending ({counts}); "
            "the next run, or `zhixin status --resume`, finishes it"
        )
        return PENDING
    if result.version is None:
        say(counts)
        return 0
    if not as_json:
        sys.stdout.write(f"{result.path}\n")
    say(f"published {result.dataset}@{result.version}, entry {result.index}: {counts}")
    _tell_published(result)
    return 0


def _tell_published(result: RunResult) -> None:
    """Say how a version came to be, and where to look next."""
    from zhixin_gateway.datasets import hashing

    if result.parts is not None:
        say(f"parts: {result.parts['carried']:,} carried over, {result.parts['written']:,} written")
    kernel = hashing.kernel()
    say(f"hashed by the {f'native kernel {kernel}' if kernel else 'pure path: no native kernel'}")
    if result.released is not None:
        before = f"{result.dataset}@{result.released['version']}"
        say(
            f"{result.released['records']:,} of the {result.released['of']:,} rejects of {before} "
            f"came in: zhixin quarantine release {before}"
        )
    if result.quarantined:
        say(f"see them: zhixin quarantine show {result.dataset}@{result.version}")
