"""``zhixin member``: who keeps the ledger together: propose, read, sign and bring in changes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from zhixin_errors import LedgerRefused, LedgerUnavailable

from zhixin_gateway.cli.member_copy import at_work
from zhixin_gateway.cli.member_propose import propose
from zhixin_gateway.cli.options import (
    Context,
    answer,
    examples,
    home_option,
    json_option,
    must_answer,
    one_line,
    read_file,
    say,
    table,
)

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.proposals import Proposal, Weighed
    from zhixin_ledger.state import State

    from zhixin_gateway.home import Home

__all__ = ["command"]

MAX_FILE_BYTES = 256 * 1024


@click.group("member")
def command() -> None:
    """Propose, sign and bring in changes of members, keys and quorum."""


command.add_command(propose)


@command.command(
    "show",
    short_help="Say in words what a proposal would change.",
    epilog=examples("zhixin member show join-new.gov.example.json"),
)
@click.argument("targets", metavar="FILE…", nargs=-1, required=True)
@click.option("--via-ledger", is_flag=True, help="FILE is a proposal's digest at the ledger.")
@json_option
@home_option
@click.pass_obj
def show(context: Context, targets: tuple[str, ...], *, via_ledger: bool, as_json: bool) -> None:
    """Say in words what a proposal would change, and who has signed it."""
    with at_work(context) as (home, _, state):
        _tell(state, _read(home, state, targets, via_ledger=via_ledger), as_json=as_json)


@command.command(
    "sign",
    short_help="Sign a proposal, having been shown it.",
    epilog=examples(
        "zhixin member sign join-new.gov.example.json",
        "zhixin member sign --via-ledger 3f9a…",
    ),
)
@click.argument("targets", metavar="FILE…", nargs=-1, required=True)
@click.option("--via-ledger", is_flag=True, help="FILE is a proposal's digest at the ledger.")
@click.option("--yes", is_flag=True, help="Sign without asking: for programs.")
@json_option
@home_option
@click.pass_obj
def sign(
    context: Context, targets: tuple[str, ...], *, via_ledger: bool, yes: bool, as_json: bool
) -> None:
    """Sign a proposal with this member's statement key, having shown what it would change.

    Several files are copies of one proposal: their signatures are brought together in the first.
    """
    from zhixin_gateway.datasets.directory import write_whole
    from zhixin_gateway.governing import box_of, describe
    from zhixin_gateway.governing import sign as sign_it

    with at_work(context) as (home, _, state):
        weighed = _read(home, state, targets, via_ledger=via_ledger)
        for line in describe(state, weighed):
            say(one_line(line))
        if not yes:
            must_answer(
                "a signature can't be taken back", "--yes signs without asking", as_json=as_json
            )
            click.confirm(f"sign this as {home.member}?", abort=True, err=True)
        signed = sign_it(home, state, weighed)
        if via_ledger:
            box_of(home).offer(signed)
        else:
            write_whole(Path(targets[0]), signed.to_bytes())
        again = f"--via-ledger {signed.digest_hex[:16]}" if via_ledger else one_line(targets[0])
        _tell_signed(state, signed, again, as_json=as_json)


@command.command(
    "submit",
    short_help="Bring in what a quorum has signed.",
    epilog=examples("zhixin member submit join-new.gov.example.json"),
)
@click.argument("targets", metavar="FILE…", nargs=-1, required=True)
@click.option("--via-ledger", is_flag=True, help="FILE is a proposal's digest at the ledger.")
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=30,
    metavar="SECONDS",
    show_default=True,
    help="How long to wait for the receipt.",
)
@json_option
@home_option
@click.pass_obj
def submit(
    context: Context, targets: tuple[str, ...], timeout: int, *, via_ledger: bool, as_json: bool
) -> int:
    """Bring a proposal that a quorum has signed into the ledger, and wait for its receipt."""
    from zhixin_gateway import governing

    with at_work(context) as (home, client, state):
        index = _entered(home, client, state, targets, via_ledger=via_ledger)
        try:
            done = governing.finish(home, client, index, timeout_s=timeout)
        except LedgerUnavailable as error:
            if as_json:
                answer({"index": index, "pending": True, "code": error.code})
            say(f"entry {index} is in the ledger, its proof is pending: {error.message}")
            say("  say the same again later; where this lasts, `zhixin member list` in the home of")
            say("  the log's operator tells whose witness it does not ask yet, and what to say")
            return error.exit_code
        if as_json:
            answer({"index": index, "pending": False, "exchanged": list(done.exchanged)})
        say(f"entry {index}: it holds from here on")
        for use in done.exchanged:
            say(f"the {use} key of this home was exchanged; the old one is destroyed")
        _hint_witnesses(home, client.state())
    return 0


@command.command(
    "list",
    short_help="List the members and what waits.",
    epilog=examples("zhixin member list --via-ledger"),
)
@click.option("--via-ledger", is_flag=True, help="Also the proposals that wait at the ledger.")
@json_option
@home_option
@click.pass_obj
def list_(context: Context, *, via_ledger: bool, as_json: bool) -> None:
    """List the members, what they do, and where this home reaches their witnesses."""
    from zhixin_gateway.governing import box_of, key_print, read_proposals, to_json
    from zhixin_gateway.keyring import settle_keys

    with at_work(context) as (home, _, state):
        exchanged = settle_keys(home)
        witnesses = {witness.name: witness.url for witness in home.settings.witnesses}
        waiting = box_of(home).waiting() if via_ledger else []
        if as_json:
            answer(
                {
                    "origin": state.origin,
                    "size": state.size,
                    "quorum": state.quorum,
                    "members": [
                        {
                            **{k: v for k, v in fact.to_json().items() if k != "fact"},
                            "votes": fact.votes,
                            "witness": witnesses.get(name),
                        }
                        for name, fact in state.members.items()
                    ],
                    "proposals": [to_json(read_proposals(state, [p.to_bytes()])) for p in waiting],
                    "exchanged": exchanged,
                }
            )
            return
        table(
            ["member", "standing", "votes", "log", "statement key", "witness"],
            [
                [
                    name,
                    "active" if fact.active else "left",
                    "yes" if fact.votes else "no",
                    "yes" if fact.log else "no",
                    key_print(fact.statement_key) if fact.statement_key else "",
                    witnesses.get(name, "-") if fact.votes else "-",
                ]
                for name, fact in state.members.items()
            ],
        )
        say(f"{state.origin} at {state.size:,} entries, quorum {state.quorum}")
        for each in waiting:
            weighed = read_proposals(state, [each.to_bytes()])
            votes = f"{len(weighed.votes)} of {weighed.due} votes"
            say(f"waits: {each.digest_hex[:16]} {each.action} {each.member or ''} ({votes})")
        _hint_witnesses(home, state)


@command.command(
    "witness",
    short_help="Set where a member's witness answers.",
    epilog=examples("zhixin member witness new.gov.example http://witness.new.example:8801"),
)
@click.argument("member")
@click.argument("url", required=False)
@json_option
@home_option
@click.pass_obj
def witness(context: Context, member: str, url: str | None, *, as_json: bool) -> None:
    """Set in this home's settings where the witness of MEMBER answers; without URL forget it."""
    from dataclasses import replace

    from zhixin_ledger.names import check_member
    from zhixin_ledger.transport import file_path

    from zhixin_gateway.settings import WitnessSetting

    home = context.open_home()
    check_member(member, "MEMBER")
    if url is not None and not url.startswith(("http://", "https://")):
        file_path(url, home.path)  # refuses what is no address
    settings = home.filed_settings()
    others = tuple(each for each in settings.witnesses if each.name != member)
    own = () if url is None else (WitnessSetting(member, url),)
    home.save(replace(settings, witnesses=(*others, *own)))
    if as_json:
        answer({"member": member, "url": url})
    say(f"the witness of {member} " + ("is forgotten" if url is None else f"is asked at {url}"))


# --- what they share ------------------------------------------------------------------------------


def _read(home: Home, state: State, targets: Sequence[str], *, via_ledger: bool) -> Weighed:
    from zhixin_gateway.governing import find_proposal, read_proposals

    if via_ledger:
        return read_proposals(state, [find_proposal(home, text).to_bytes() for text in targets])
    copies = [read_file(Path(text), MAX_FILE_BYTES) for text in targets]
    return read_proposals(state, copies, [one_line(text) for text in targets])


def _tell(state: State, weighed: Weighed, *, as_json: bool) -> None:
    from zhixin_gateway.governing import describe, to_json

    if as_json:
        answer(to_json(weighed))
        return
    for line in describe(state, weighed):
        sys.stdout.write(one_line(line) + "\n")


def _tell_signed(state: State, signed: Proposal, again: str, *, as_json: bool) -> None:
    from zhixin_gateway.governing import read_proposals, to_json

    weighed = read_proposals(state, [signed.to_bytes()])
    if as_json:
        answer(to_json(weighed))
    say(f"signed: {len(weighed.votes)} of {weighed.due} votes that are due")
    if weighed.ready:
        say(f"next, by anyone: zhixin member submit {again}")


def _entered(
    home: Home, client: LedgerClient, state: State, targets: Sequence[str], *, via_ledger: bool
) -> int:
    """Bring the proposal in; one that is in already gives its index again."""
    from zhixin_gateway.governing import bring_in

    try:
        return bring_in(client, _read(home, state, targets, via_ledger=via_ledger))
    except LedgerRefused as refused:
        index = refused.details.get("index")
        if refused.code != "duplicate" or not isinstance(index, int):
            raise
        return index


def _hint_witnesses(home: Home, state: State) -> None:
    from zhixin_gateway.governing import missing_witnesses

    missing = missing_witnesses(home, state)
    if len(missing) == 1:
        which, name = f"witness of {missing[0]} answers", missing[0]
    elif missing:
        which, name = f"witnesses of {', '.join(missing)} answer", "MEMBER"
    else:
        return
    say(f"the settings don't say where the {which}: zhixin member witness {name} URL")
