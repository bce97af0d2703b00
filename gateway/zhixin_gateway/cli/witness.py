"""``zhixin witness``: cosign what this member has replayed, over HTTP or by file."""

from __future__ import annotations

import sys
from typing import IO, Any

import click

from zhixin_gateway.cli.ledger_serve import need_node, server_options
from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

__all__ = ["command"]


@click.group("witness")
def command() -> None:
    """Cosign the ledger as a member: only what this home has fetched and replayed itself."""


@command.command(
    "serve",
    short_help="Serve this member's witness and mirror over HTTP.",
    epilog=examples(
        "zhixin witness serve",
        "zhixin witness serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem",
    ),
)
@click.option(
    "--poll",
    type=click.FloatRange(0.05, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between looks at what the log published.",
)
@server_options(8702)
@json_option
@home_option
@click.pass_obj
def serve_command(
    context: Context,
    /,
    *,
    poll: float,
    as_json: bool,
    rate: float,
    access_log: bool,
    **serving: Any,  # noqa: ANN401 - what `Serving` takes
) -> None:
    """Serve this home's witness, until SIGTERM or Ctrl-C; docs/network.md says how.

    The log asks it to cosign; it replays every entry before it does, and records what it signs
    before it answers. Its copy of the ledger is served to anybody. Where the log, or members, have
    signed two histories, it keeps the proof and says so.
    """
    need_node()
    from zhixin_ledger.http.serving import Serving, dressed, serve
    from zhixin_ledger.http.witness_app import make_witness_app
    from zhixin_ledger.http.witness_service import WitnessOptions, WitnessService

    from zhixin_gateway.witnessing import cosigners, now, open_mirror, open_source, peers_of

    home = context.open_home()
    options = WitnessOptions(poll_s=poll, peers=peers_of(home), tell=say)
    with open_mirror(home) as mirror:
        service = WitnessService(
            home.member, mirror, lambda: cosigners(home), open_source(home), now, options
        )
        app = dressed(
            make_witness_app(service),
            service.registry,
            access_log=access_log,
            per_s=rate,
            burst=int(2 * rate),
        )

        def ready(url: str) -> None:
            say(f"serving the witness of {home.member} at {url}")
            if as_json:
                answer({"member": home.member, "url": url})

        serve(app, Serving(**serving), ready=ready)


@command.command(
    "sign",
    short_help="Cosign a checkpoint that came by file.",
    epilog=examples(
        "zhixin witness sign < checkpoint > cosignature",
        "zhixin witness sign /media/disk/checkpoint --tiles /media/disk > cosignature",
    ),
)
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--tiles",
    metavar="DIR|URL",
    help="Where the ledger's tiles are read: a folder with `tile/`, or a URL; "
    "the settings' ledger by default.",
)
@click.option("--note", "whole", is_flag=True, help="Print the whole cosigned checkpoint.")
@home_option
@click.pass_obj
def sign(context: Context, file: IO[bytes], tiles: str | None, *, whole: bool) -> None:
    """Cosign a checkpoint that the log signed, having replayed every entry up to it.

    For members whose network is cut off: the operator exports a checkpoint by `zhixin ledger
    pending` and copies its `log/tile`; the printed lines go back, to `zhixin ledger cosign`.
    """
    from zhixin_ledger.note import MAX_NOTE_BYTES
    from zhixin_ledger.witness import Witness

    from zhixin_gateway.witnessing import cosigners, now, open_mirror, open_source, peers_of

    home = context.open_home()
    data = file.read(MAX_NOTE_BYTES + 1)
    peers = [] if tiles else peers_of(home)
    with open_mirror(home) as mirror:
        witness = Witness(
            home.member, mirror, cosigners(home), open_source(home, tiles), now, peers
        )
        note = witness.sign(data)
    name = f"{home.member}/witness"
    own = [line.line for line in note.signatures if line.name == name]
    sys.stdout.write(note.format().decode() if whole else "".join(own))


@command.command(
    "status",
    short_help="What this witness cosigned last.",
    epilog=examples("zhixin witness status"),
)
@json_option
@home_option
@click.pass_obj
def status(context: Context, *, as_json: bool) -> None:
    """Say what this home's witness cosigned last, by which key it would sign, and what it keeps."""
    from zhixin_ledger import cosignature, forks

    from zhixin_gateway.witnessing import cosigners, now, open_mirror

    home = context.open_home()
    with open_mirror(home) as mirror:
        state, last = mirror.state(), mirror.cosigned()
        keys = {key.public_key for key in state.cosigner_keys()} if state.size else set()
        reports = [path.name for path in forks.kept(mirror.directory)]
        told: dict[str, Any] = {
            "member": home.member,
            "origin": mirror.origin,
            "size": state.size,
            "cosigned": None if last is None else {"size": last[0], "time_s": last[2]},
            "keys": [
                {
                    "vkey": cosignature.key_of(f"{home.member}/witness", signer).text,
                    "in_force": signer.public_key in keys,
                }
                for signer in cosigners(home)
            ],
            "equivocation": reports,
        }
    if as_json:
        answer(told)
        return
    for line in _lines(told, int(now().timestamp())):
        sys.stdout.write(line + "\n")


def _lines(told: dict[str, Any], now_s: int) -> list[str]:
    last = told["cosigned"]
    lines = [f"{told['member']}: a copy of {told['origin'] or 'no ledger'}, {told['size']} entries"]
    if last is None:
        lines.append("cosigned nothing yet")
    else:
        ago = now_s - last["time_s"]
        when = f"{ago} s ago" if ago >= 0 else f"{-ago} s AHEAD of this machine's clock"
        lines.append(f"cosigned {last['size']} entries last, {when}")
    for key in told["keys"]:
        name, key_id, _ = key["vkey"].split("+", 2)
        lines.append(f"{name}+{key_id}: {'in force' if key['in_force'] else 'not in force'}")
    lines += [f"EQUIVOCATION: `zhixin ledger equivocation {name}`" for name in told["equivocation"]]
    return lines
