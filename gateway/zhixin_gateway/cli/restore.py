"""``zhixin restore``: put a backup back into a new folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhixin_gateway.cli.options import Context, answer, examples, json_option, say

if TYPE_CHECKING:
    from zhixin_gateway.backups.restoring import Restored

__all__ = ["command"]


@click.command("restore", epilog=examples("zhixin restore bts-2026-11-26.tar bts.gov.example"))
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--nothing-newer",
    is_flag=True,
    help="You know that nothing was signed after the backup: log and witness ask nobody.",
)
@json_option
@click.pass_obj
def command(
    _context: Context, archive: Path, folder: Path, *, nothing_newer: bool, as_json: bool
) -> None:
    """Put ARCHIVE back into FOLDER, which is new; every file is held to its digest first.

    A backup is older than the home that was lost. Its log and its witness sign nothing before other
    members, or the log, have said that nothing newer was signed; they then catch up and go on.
    """
    from zhixin_gateway.backups.restoring import restore_backup

    restored = restore_backup(archive, folder, nothing_newer=nothing_newer)
    if as_json:
        answer({**asdict(restored), "path": str(restored.path)})
    say(
        f"put back: {restored.path}, the home of {restored.member} as of {restored.made_at}, "
        f"{restored.entries:,} entries"
    )
    for item in restored.left_out:
        say(f"  not in it: {item['path']}: {item['why']}")
    for sentence in _next(restored):
        say(sentence)


def _next(restored: Restored) -> list[str]:
    home = f"zhixin --home {restored.path}"
    if restored.ledger_only:
        return [
            "it is no home: take it up by "
            f"`zhixin --home HOME ledger rebuild --from {restored.path}`"
        ]
    steps = [f"next: {home} ledger fsck"]
    if restored.log:
        steps.append(
            f"      {home} ledger rebuild --from DIR|URL      (any member's copy: what was "
            "published after the backup)"
        )
    steps += [
        f"      {home} doctor                 (the other members reach it where it was)",
        f"      {home} status --resume        (finishes what waited for its proof)",
    ]
    if not restored.keys:
        steps.insert(0, f"put its keys into {restored.path}/keys first: the backup holds none")
    return steps
