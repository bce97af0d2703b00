"""``zhixin ledger fsck``: recompute everything from the entries, name the first damage."""

from __future__ import annotations

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

__all__ = ["command"]


@click.command(
    "fsck", short_help="Recompute and check everything.", epilog=examples("zhixin ledger fsck")
)
@json_option
@home_option
@click.pass_obj
def command(context: Context, *, as_json: bool) -> int:
    """Recompute everything from the entries and name the first damage in every part.

    Of this home's own copy its files (checkpoint, tiles, entries) and its record (state, what its
    witness cosigned); of a log in this home its published files and its database. Exits 1 where
    anything is damaged, with the code, the place and the command that repairs it.
    """
    from zhixin_gateway.auditing import audit_home

    progress = context.open_progress()
    try:
        reports = audit_home(context.open_home(), progress)
    finally:
        progress.close()
    ok = all(report["ok"] for report in reports)
    if as_json:
        answer({"ok": ok, "copies": reports})
    for report in reports:
        if report["ok"]:
            say(f"{report['what']}: clean, {report['entries']:,} entries")
            continue
        at = "" if report["index"] is None else f" at entry {report['index']}"
        place = f" ({report['place']})" if report["place"] else ""
        say(f"{report['what']}: {report['code']}{at}{place}: {report['message']}")
        say(f"  {report['repair']}")
    return 0 if ok else 1
