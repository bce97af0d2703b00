"""``zhixin ledger fsck``: recompute everything from the entries, name the first damage."""

from __future__ import annotations

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

__all__ = ["command"]


@click.command(
    "fsck",
    short_help="Recompute and check everything.",
    epilog=examples("zhixin ledger fsck", "zhixin ledger fsck --cached"),
)
@click.option(
    "--cached", is_flag=True, help="Check no signature again that was checked at its entry."
)
@json_option
@home_option
@click.pass_obj
def command(context: Context, *, cached: bool, as_json: bool) -> int:
    """Recompute everything from the entries and name the first damage in every part.

    Of this home's own copy its files (checkpoint, tiles, entries) and its record (state, what its
    witness cosigned); of a log in this home its published files and its database. Exits 1 where
    anything is damaged, with the code, the place and the command that repairs it.

    With --cached, signatures count as checked up to the root that this home's databases noted when
    they took the entries in; everything else is recomputed all the same. It is three times as fast,
    and believes whoever can write to these databases.
    """
    from zhixin_ledger.audit import audit, audit_cached

    from zhixin_gateway.auditing import audit_home

    progress = context.open_progress()
    try:
        auditor = audit_cached if cached else audit
        reports = audit_home(context.open_home(), progress, auditor=auditor)
    finally:
        progress.close()
    ok = all(report["ok"] for report in reports)
    if as_json:
        answer({"ok": ok, "copies": reports})
    for report in reports:
        if report["ok"]:
            known = f", {report['cached']:,} signatures checked before" if report["cached"] else ""
            say(f"{report['what']}: clean, {report['entries']:,} entries{known}")
            continue
        at = "" if report["index"] is None else f" at entry {report['index']}"
        place = f" ({report['place']})" if report["place"] else ""
        say(f"{report['what']}: {report['code']}{at}{place}: {report['message']}")
        say(f"  {report['repair']}")
    return 0 if ok else 1
