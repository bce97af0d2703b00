"""``zhixin ledger rebuild``: make a damaged or older log or copy anew, from tiles alone."""

from __future__ import annotations

from dataclasses import asdict

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

__all__ = ["command"]


@click.command(
    "rebuild",
    short_help="Make a damaged or older log or copy anew.",
    epilog=examples(
        "zhixin ledger rebuild", "zhixin ledger rebuild --from ../faa.gov.example/ledger"
    ),
)
@click.option(
    "--from",
    "source",
    metavar="DIR|URL",
    help="A member's home or copy, or the URL of its witness; by default what lies in this home.",
)
@click.option(
    "--nothing-newer",
    is_flag=True,
    help="You know that nothing was signed after the backup that was put back: ask nobody.",
)
@json_option
@home_option
@click.pass_obj
def command(context: Context, source: str | None, *, nothing_newer: bool, as_json: bool) -> int:
    """Make anew what is damaged in this home's log or copy, or behind, from a ledger's files alone.

    Every entry is replayed by the rules and held to the pinned trust before it takes a place, and
    what was there is kept aside. A rebuilt log signs on once other members confirm that it is the
    newest. Exits 3 where something could not be brought back.
    """
    from zhixin_gateway import repairing

    home = context.open_home()
    if nothing_newer:
        confirmed = repairing.nothing_newer(home)
        if as_json:
            answer({"confirmed": confirmed})
        say(f"by your word the newest: {', '.join(confirmed) or 'nothing waited for it'}")
        return 0
    progress = context.open_progress()
    try:
        repairs = repairing.rebuild(home, source, progress)
    finally:
        progress.close()
    if as_json:
        answer({"repairs": [asdict(repair) for repair in repairs]})
    for repair in repairs:
        if not repair.done:
            say(f"{repair.what}: nothing to do, {repair.entries:,} entries hold")
            continue
        say(f"{repair.what}: made anew ({repair.done}), {repair.entries:,} entries")
        say(f"  what was there is kept in {repair.aside}")
        if repair.submitted:
            say(f"  submitted again: {repair.submitted} statements that only the old log held")
        for sentence in repair.lost:
            say(f"  not brought back: {sentence}")
    return 3 if any(repair.lost for repair in repairs) else 0
