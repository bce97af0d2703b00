"""``zhixin ledger equivocation``: check a proof that two histories were signed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zhixin_gateway.cli.gate_options import find_trust, trust_option
from zhixin_gateway.cli.options import (
    Context,
    answer,
    examples,
    home_option,
    json_option,
    read_file,
)

if TYPE_CHECKING:
    from zhixin_ledger.equivocation import Finding
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.home import Home

__all__ = ["equivocation"]


@click.command(
    "equivocation",
    short_help="Check a proof that two histories were signed.",
    epilog=examples(
        "zhixin ledger equivocation report.json --trust trust",
        "zhixin ledger equivocation 4-6-1f8b271f03c2a9d4.json",
    ),
)
@click.argument("file", metavar="FILE")
@trust_option
@json_option
@home_option
@click.pass_obj
def equivocation(context: Context, file: str, trust_dir: Path | None, *, as_json: bool) -> None:
    """Check an equivocation report, and say what it proves and against whom; it needs no network.

    FILE is a report, or the name of one that this home keeps in `ledger/equivocation`. Exit code 0:
    it is proven that the signers named signed two histories; 1: the report proves nothing.
    """
    from zhixin_ledger.equivocation import Report

    home = context.find_home()
    report = Report.parse(_read(file, home), file)
    finding = report.verify(_trust(home, trust_dir))
    if as_json:
        answer(_told(finding))
        return
    for line in _lines(finding):
        sys.stdout.write(line + "\n")


def _trust(home: Home | None, trust_dir: Path | None) -> Trust:
    """The trust that is named or pinned; where none is, what the home's own copy says."""
    from zhixin_ledger.trust import trust_of

    if trust_dir is None and home is not None and home.find_pinned_trust() is None:
        view = home.ledger_view()
        if view is not None:
            with view:
                return trust_of(view.state())
    return find_trust(home, trust_dir)


def _read(file: str, home: Home | None) -> bytes:
    from zhixin_ledger import forks
    from zhixin_ledger.equivocation import MAX_BYTES

    path = Path(file)
    if not path.exists() and home is not None and path.name == file:
        kept = home.ledger_dir / forks.FOLDER / file
        path = kept if kept.exists() else path
    return read_file(path, MAX_BYTES)


def _told(finding: Finding) -> dict[str, Any]:
    return {
        "ok": True,
        "proven": True,
        "origin": finding.origin,
        "sizes": list(finding.sizes),
        "log": finding.log,
        "members": list(finding.members),
        "quorums": finding.quorums,
    }


def _lines(finding: Finding) -> list[str]:
    first, second = finding.sizes
    sizes = (
        f"two trees of {first} entries"
        if first == second
        else (f"a tree of {first} entries, and one of {second} that does not begin with it")
    )
    lines = [f"PROVEN: {finding.origin} was signed in two histories: {sizes}"]
    if finding.log:
        lines.append("the log signed both: its operator, or who has its key, showed two ledgers")
    lines += [
        f"{member} cosigned both: its witness did not hold to what it had cosigned, or its key is "
        "in other hands"
        for member in finding.members
    ]
    lines.append(
        "both have a quorum: receipts of both histories pass a gate, until these members' keys end"
        if finding.quorums
        else "not both have a quorum: receipts of one history at most pass a gate"
    )
    lines.append("it does not prove which history is the true one, nor who acted out of malice")
    return lines
