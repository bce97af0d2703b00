"""``zhixin member propose``: a change of members, keys or quorum, for others to sign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.member_copy import at_work
from zhixin_gateway.cli.options import (
    Command,
    Context,
    answer,
    examples,
    home_option,
    json_option,
    one_line,
    say,
)

if TYPE_CHECKING:
    from zhixin_ledger.proposals import Proposal, Weighed
    from zhixin_ledger.state import State

    from zhixin_gateway.home import Home

__all__ = ["propose"]


@click.group("propose", short_help="Propose a change, for others to sign.")
def propose() -> None:
    """Propose a change: it holds once a quorum has signed it and it is in the ledger."""


def _proposal_options(made: Command) -> Command:
    for option in (
        home_option,
        json_option,
        click.option(
            "--via-ledger", is_flag=True, help="Put it beside the ledger, for others to sign."
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Where the proposal goes; ACTION-MEMBER.json by default.",
        ),
    ):
        made = option(made)
    return made


_quorum = click.option(
    "--quorum",
    type=click.IntRange(1, 64),
    metavar="K",
    help="How many members must agree from then on; by default the margin stays as it is.",
)


@propose.command(
    "join",
    epilog=examples(
        "zhixin init new.gov.example --join http://ledger.example:8701 --trust DIR --fingerprint F",
        "zhixin member propose join --home new.gov.example",
    ),
)
@click.option("--no-cosigner", is_flag=True, help="Publish and read, but neither cosign nor vote.")
@_quorum
@_proposal_options
@click.pass_obj
def join(
    context: Context,
    quorum: int | None,
    out: Path | None,
    *,
    no_cosigner: bool,
    via_ledger: bool,
    as_json: bool,
) -> None:
    """Ask to join the ledger, in the new member's home."""
    from zhixin_gateway.proposing import propose_join

    _propose(
        context,
        lambda home, state: propose_join(home, state, quorum, cosigns=not no_cosigner),
        _Way(out, via_ledger, as_json),
    )


@propose.command(
    "leave",
    short_help="Propose that a member leave.",
    epilog=examples("zhixin member propose leave old.gov.example"),
)
@click.argument("member", required=False)
@_quorum
@_proposal_options
@click.pass_obj
def leave(
    context: Context,
    member: str | None,
    quorum: int | None,
    out: Path | None,
    *,
    via_ledger: bool,
    as_json: bool,
) -> None:
    """Propose that MEMBER, or this home's own, leave the ledger."""
    from zhixin_gateway.proposing import propose_leave

    _propose(
        context,
        lambda home, state: propose_leave(home, state, member or home.member, quorum),
        _Way(out, via_ledger, as_json),
    )


@propose.command(
    "rotate",
    short_help="Propose other keys or titles for this member.",
    epilog=examples(
        "zhixin member propose rotate --statement-key",
        "zhixin member propose rotate --cosigner-key ml-dsa-44",
    ),
)
@click.option("--statement-key", is_flag=True, help="A new key for statements.")
@click.option(
    "--cosigner-key",
    type=click.Choice(["ed25519", "ml-dsa-44"]),
    help="A new key of this algorithm for cosignatures.",
)
@click.option("--log-key", is_flag=True, help="A new key for the log that this home keeps.")
@click.option("--end-cosigner", is_flag=True, help="Neither cosign nor vote from then on.")
@click.option("--end-log", is_flag=True, help="Order entries no more.")
@click.option("--title", help="Another name for people, in English.")
@click.option("--title-zh", help="Another name for people, in Chinese.")
@_quorum
@_proposal_options
@click.pass_obj
def rotate(
    context: Context,
    /,
    quorum: int | None,
    out: Path | None,
    *,
    via_ledger: bool,
    as_json: bool,
    **wanted: Any,  # noqa: ANN401 - options as click gives them
) -> None:
    """Propose other keys or titles for this home's member.

    New keys are made first, beside the old ones (keys/…-new.pem), and take their place once the
    ledger says so. A key that was lost is replaced in the same way.
    """
    from zhixin_gateway.proposing import Rotation, propose_rotation

    titles = (("en", wanted["title"]), ("zh", wanted["title_zh"]))
    rotation = Rotation(
        statement=wanted["statement_key"],
        cosigner=wanted["cosigner_key"] or "",
        log=wanted["log_key"],
        end_cosigner=wanted["end_cosigner"],
        end_log=wanted["end_log"],
        titles=tuple((tag, text) for tag, text in titles if text),
    )
    _propose(
        context,
        lambda home, state: propose_rotation(home, state, rotation, quorum),
        _Way(out, via_ledger, as_json),
    )


@propose.command("quorum", epilog=examples("zhixin member propose quorum 4"))
@click.argument("quorum", metavar="K", type=click.IntRange(1, 64))
@_proposal_options
@click.pass_obj
def quorum_(
    context: Context, quorum: int, out: Path | None, *, via_ledger: bool, as_json: bool
) -> None:
    """Propose that K members must agree from then on."""
    from zhixin_gateway.proposing import propose_quorum

    _propose(
        context,
        lambda home, state: propose_quorum(home, state, quorum),
        _Way(out, via_ledger, as_json),
    )


class _Way:
    """Where a proposal goes and how it is told.

    Args:
        out: the file; None for the usual name.
        via_ledger: also beside the ledger.
        as_json: answer in JSON.
    """

    def __init__(self, out: Path | None, via_ledger: bool, as_json: bool) -> None:
        self.out = out
        self.via_ledger = via_ledger
        self.as_json = as_json


def _propose(context: Context, make: Callable[[Home, State], Proposal], way: _Way) -> None:
    from zhixin_gateway.datasets.directory import write_whole
    from zhixin_gateway.governing import box_of, describe, read_proposals, to_json

    with at_work(context) as (home, _, state):
        proposal = make(home, state)
        file = way.out or Path(f"{proposal.action}-{proposal.member or 'change'}.json")
        if file.exists():
            raise ConfigError(
                f"{file} is there already", hint="name another by --out, or remove it"
            )
        if way.via_ledger:
            box_of(home).offer(proposal)
        if way.out is not None or not way.via_ledger:
            write_whole(file, proposal.to_bytes())
        weighed = read_proposals(state, [proposal.to_bytes()])
        written = str(file) if file.exists() else None
        if way.as_json:
            answer({"file": written, **to_json(weighed)})
        for line in describe(state, weighed):
            say(one_line(line))
        _next(weighed, written)


def _next(weighed: Weighed, file: str | None) -> None:
    target = f"--via-ledger {weighed.proposal.digest_hex[:16]}" if file is None else file
    if weighed.ready:
        say(f"next: zhixin member submit {target}")
    else:
        say(f"next, in the other members' homes: zhixin member sign {target}")
