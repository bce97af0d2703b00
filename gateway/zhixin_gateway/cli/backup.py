"""``zhixin backup``: a member's whole home in one file, made while it works."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

__all__ = ["command"]


@click.command(
    "backup",
    epilog=examples(
        "zhixin backup /mnt/backup/bts-2026-11-26.tar", "zhixin backup ledger.tar --ledger-only"
    ),
)
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--without-keys", is_flag=True, help="Leave the home's keys out.")
@click.option("--ledger-only", is_flag=True, help="The log and this home's copy alone.")
@json_option
@home_option
@click.pass_obj
def command(
    context: Context, out: Path, *, without_keys: bool, ledger_only: bool, as_json: bool
) -> None:
    """Write everything in this home to OUT, a tar, while pipelines and servers go on.

    Keys, settings, contracts, trust, versions, rejects, reports, what waits for its proof, the copy
    of the ledger, and the log where it is here; every file with its digest. With the keys in it the
    archive is as secret as the home: whoever has it signs in the member's name.
    """
    from zhixin_gateway.backups.making import make_backup

    progress = context.open_progress()
    try:
        made = make_backup(
            context.open_home(),
            out,
            keys=not without_keys,
            ledger_only=ledger_only,
            progress=progress,
        )
    finally:
        progress.close()
    if as_json:
        answer({**asdict(made), "path": str(made.path)})
    say(f"{made.path}: {made.files:,} files, {made.bytes:,} bytes, {made.entries:,} entries")
    for item in made.left_out:
        say(f"  not in it: {item['path']}: {item['why']}")
    if made.keys:
        say("  it holds this member's KEYS: keep it as secret as the home itself")
    say(f"try it: zhixin restore {made.path} NEW-FOLDER")
