"""``zhixin trust update`` and ``zhixin trust chain``: follow the members' decisions, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zhixin_gateway.cli.gate_options import trust_option
from zhixin_gateway.cli.member_copy import at_work
from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

if TYPE_CHECKING:
    from zhixin_gateway.trusting import Moved

__all__ = ["chain", "update"]


@click.command(
    "update",
    short_help="Move a pinned trust forward along the members' decisions.",
    epilog=examples(
        "zhixin trust update",
        "zhixin trust update /media/disk/governance.json --trust trust",
    ),
)
@click.argument("source", required=False, default="")
@trust_option
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@json_option
@home_option
@click.pass_obj
def update(
    context: Context, source: str, trust_dir: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    """Move a pinned trust forward: only along decisions that a quorum of members has signed.

    SOURCE is a governance chain's file, a ledger's folder (a disk), or a ledger's URL; by default
    the home's own copy. What does not begin with the pinned trust's own ledger is refused.
    """
    from zhixin_ledger.trust import load_trust, save_trust

    from zhixin_gateway.trusting import move

    place = trust_dir or context.open_home().trust_dir
    if source:
        moved = move(load_trust(place), source, None)
    else:
        with at_work(context) as (home, _, _):
            moved = move(load_trust(place), source, home)
    if moved.further and not dry_run:
        save_trust(moved.after, place)
    _tell(moved, place, dry_run=dry_run, as_json=as_json)


@click.command(
    "chain",
    short_help="Write the chain of decisions, for those who follow offline.",
    epilog=examples("zhixin trust chain /media/disk/governance.json --from 286"),
)
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "sizes",
    multiple=True,
    type=click.IntRange(1),
    metavar="SIZE",
    help="The size of a trust that shall be able to follow; may be repeated.",
)
@json_option
@home_option
@click.pass_obj
def chain(context: Context, out: Path, sizes: tuple[int, ...], *, as_json: bool) -> None:
    """Write every decision on members and quorum, with its proofs, from this home's copy to OUT.

    A trust follows it offline if its size is this home's own, one of --from, or the end of a block
    in which something was decided.
    """
    from zhixin_gateway.trusting import make_chain

    with at_work(context) as (home, _, _):
        made = make_chain(home, sizes, out)
    froms = [head.size for head in made.heads]
    if as_json:
        answer(
            {
                "path": str(out),
                "origin": made.fact.origin,
                "size": made.size,
                "decisions": len(made.statements),
                "from": froms,
            }
        )
    say(f"{out}: {len(made.statements)} decisions up to {made.size:,} entries, quorum signed")
    say(f"trusts of these sizes can follow: {', '.join(map(str, froms)) or 'none'}, {made.size}")


_WORDS = {
    "joined": "{member} joined",
    "left": "{member} left",
    "rotated": "{member} has another {key} key",
    "titles": "{member} has another title",
    "quorum": "the quorum was {before}, and is {after}",
}


def _tell(moved: Moved, place: Path, *, dry_run: bool, as_json: bool) -> None:
    from zhixin_gateway.trusting import changes

    found: list[dict[str, Any]] = changes(moved)
    if as_json:
        answer(
            {
                "path": str(place),
                "origin": moved.after.origin,
                "from": moved.before.size,
                "size": moved.after.size,
                "changes": found,
                "fingerprint": moved.after.fingerprint,
                "written": moved.further and not dry_run,
            }
        )
    for change in found:
        say(_WORDS[change["what"]].format(**change))
    if not moved.further:
        say(f"the trust is at {moved.after.size:,} entries already: nothing is newer")
    elif dry_run:
        say(f"it would move from {moved.before.size:,} to {moved.after.size:,} entries")
    else:
        say(f"the trust moved from {moved.before.size:,} to {moved.after.size:,} entries")
    say(f"fingerprint {moved.after.fingerprint}")
