"""``zhixin doctor``: look for what is missing or wrong in a home, and say the way out."""

from __future__ import annotations

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, table

__all__ = ["command"]


@click.command("doctor", epilog=examples("zhixin doctor"))
@json_option
@home_option
@click.pass_obj
def command(context: Context, *, as_json: bool) -> int:
    """Check keys, ledger, trust, stores, sources and contracts; exits 2 if something fails."""
    from zhixin_gateway.checkup import check_up

    home = context.open_home()
    found = check_up(home)
    failed = any(finding.state == "fail" for finding in found)
    if as_json:
        findings = [dict(vars(finding)) for finding in found]
        answer({"member": home.member, "ok": not failed, "findings": findings})
    else:
        table(
            ["check", "state", "what was found"],
            [[finding.check, finding.state, finding.message] for finding in found],
        )
    return 2 if failed else 0
