"""``zhixin member``: who keeps the ledger together: propose, read, sign and bring in changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from zhixin_errors import ConfigError, LedgerRefused, LedgerUnavailable

from zhixin_gateway.cli.options import (
    Command,
    Context,
    answer,
    examples,
    home_option,
    json_option,
    one_line,
    say,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.proposals import Proposal, Weighed
    from zhixin_ledger.state import State

    from zhixin_gateway.home import Home

__all__ = ["command"]

MAX_FILE_BYTES = 256 * 1024


@click.group("member")
def command() -> None:
    """Propose, sign and bring in changes of members, keys and quorum."""


@command.group("propose")
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
        "zhixin --home new.gov.example member propose join",
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
    from zhixin_gateway.governing import propose_join

    _propose(
        context,
        lambda home, state: propose_join(home, state, quorum, cosigns=not no_cosigner),
        _Way(out, via_ledger, as_json),
    )


@propose.command("leave", epilog=examples("zhixin member propose leave old.gov.example"))
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
    from zhixin_gateway.governing import propose_leave

    _propose(
        context,
        lambda home, state: propose_leave(home, state, member or home.member, quorum),
        _Way(out, via_ledger, as_json),
    )


@propose.command(
    "rotate",
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
    from zhixin_gateway.governing import Rotation, propose_rotation

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
    from zhixin_gateway.governing import propose_quorum

    _propose(
        context,
        lambda home, state: propose_quorum(home, state, quorum),
        _Way(out, via_ledger, as_json),
    )


@command.command(
    "show",
    epilog=examples("zhixin member show join-new.gov.example.json"),
)
@click.argument("targets", metavar="FILE…", nargs=-1, required=True)
@click.option("--via-ledger", is_flag=True, help="FILE is a proposal's digest at the ledger.")
@json_option
@home_option
@click.pass_obj
def show(context: Context, targets: tuple[str, ...], *, via_ledger: bool, as_json: bool) -> None:
    """Say in words what a proposal would change, and who has signed it."""
    with _at_work(context) as (home, _, state):
        _tell(state, _read(home, state, targets, via_ledger=via_ledger), as_json=as_json)


@command.command(
    "sign",
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
    from zhixin_gateway.governing import box_of, describe
    from zhixin_gateway.governing import sign as sign_it
    from zhixin_gateway.home import write_whole

    with _at_work(context) as (home, _, state):
        weighed = _read(home, state, targets, via_ledger=via_ledger)
        for line in describe(state, weighed):
            say(one_line(line))
        if not yes:
            _ask(f"sign this as {home.member}?")
        signed = sign_it(home, state, weighed)
        if via_ledger:
            box_of(home).offer(signed)
        else:
            write_whole(Path(targets[0]), signed.to_bytes())
        _tell_signed(state, signed, as_json=as_json)


@command.command(
    "submit",
    epilog=examples("zhixin member submit join-new.gov.example.json"),
)
@click.argument("targets", metavar="FILE…", nargs=-1, required=True)
@click.option("--via-ledger", is_flag=True, help="FILE is a proposal's digest at the ledger.")
@click.option("--timeout", type=click.IntRange(1), default=30, metavar="SECONDS", show_default=True)
@json_option
@home_option
@click.pass_obj
def submit(
    context: Context, targets: tuple[str, ...], timeout: int, *, via_ledger: bool, as_json: bool
) -> int:
    """Bring a proposal that a quorum has signed into the ledger, and wait for its receipt."""
    from zhixin_gateway import governing

    with _at_work(context) as (home, client, state):
        index = _entered(home, client, state, targets, via_ledger=via_ledger)
        try:
            done = governing.finish(home, client, index, timeout_s=timeout)
        except LedgerUnavailable as error:
            if as_json:
                answer({"index": index, "pending": True, "code": error.code})
            say(f"entry {index} is in the ledger, its proof is pending: {error.message}")
            return error.exit_code
        if as_json:
            answer({"index": index, "pending": False, "exchanged": list(done.exchanged)})
        say(f"entry {index}: it holds from here on")
        for use in done.exchanged:
            say(f"the {use} key of this home was exchanged; the old one is destroyed")
        _hint_witnesses(home, client.state())
    return 0


@command.command("list", epilog=examples("zhixin member list --via-ledger"))
@click.option("--via-ledger", is_flag=True, help="Also the proposals that wait at the ledger.")
@json_option
@home_option
@click.pass_obj
def list_(context: Context, *, via_ledger: bool, as_json: bool) -> None:
    """List the members, what they do, and where this home reaches their witnesses."""
    from zhixin_gateway.governing import box_of, key_print, read_proposals, to_json
    from zhixin_gateway.keyring import settle_keys

    with _at_work(context) as (home, _, state):
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
                    witnesses.get(name, "") if fact.votes else "",
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
    epilog=examples("zhixin member witness new.gov.example http://witness.new.example:8801"),
)
@click.argument("member")
@click.argument("url", required=False)
@home_option
@click.pass_obj
def witness(context: Context, member: str, url: str | None) -> None:
    """Set in this home's settings where the witness of MEMBER answers; without URL forget it."""
    from dataclasses import replace

    from zhixin_ledger.names import check_member

    from zhixin_gateway.settings import WitnessSetting

    home = context.open_home()
    check_member(member, "MEMBER")
    settings = home.filed_settings()
    others = tuple(each for each in settings.witnesses if each.name != member)
    own = () if url is None else (WitnessSetting(member, url),)
    home.save(replace(settings, witnesses=(*others, *own)))
    say(f"the witness of {member} " + ("is forgotten" if url is None else f"is asked at {url}"))


# --- what they share ------------------------------------------------------------------------------


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


@contextmanager
def _at_work(context: Context) -> Iterator[tuple[Home, LedgerClient, State]]:
    """Open the home and its view of the ledger, as new as it can be had."""
    from zhixin_gateway.pipeline.notarising import known_state

    home = context.open_home()
    progress = context.open_progress()
    with home.ledger_client() as client:
        state = known_state(client, progress)
        progress.close()
        if state.size == 0:
            raise LedgerUnavailable(
                "this home has no copy of the ledger yet, and the ledger can't be reached",
                code="ledger-empty",
            )
        yield home, client, state


def _propose(context: Context, make: Callable[[Home, State], Proposal], way: _Way) -> None:
    from zhixin_gateway.governing import box_of, describe, read_proposals, to_json
    from zhixin_gateway.home import write_whole

    with _at_work(context) as (home, _, state):
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


def _read(home: Home, state: State, targets: Sequence[str], *, via_ledger: bool) -> Weighed:
    from zhixin_gateway.governing import find_proposal, read_proposals

    if via_ledger:
        return read_proposals(state, [find_proposal(home, text).to_bytes() for text in targets])
    return read_proposals(state, [_bytes_of(Path(text)) for text in targets])


def _bytes_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from error


def _tell(state: State, weighed: Weighed, *, as_json: bool) -> None:
    from zhixin_gateway.governing import describe, to_json

    if as_json:
        answer(to_json(weighed))
        return
    for line in describe(state, weighed):
        sys.stdout.write(one_line(line) + "\n")


def _tell_signed(state: State, signed: Proposal, *, as_json: bool) -> None:
    from zhixin_gateway.governing import read_proposals, to_json

    weighed = read_proposals(state, [signed.to_bytes()])
    if as_json:
        answer(to_json(weighed))
    say(f"signed: {len(weighed.votes)} of {weighed.due} votes that are due")


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(
            "nobody is there to be asked whether to sign", hint="--yes signs without asking"
        )
    click.confirm(question, abort=True, err=True)


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

    for name in missing_witnesses(home, state):
        say(
            f"the settings don't say where the witness of {name} answers: "
            f"zhixin member witness {name} URL"
        )
