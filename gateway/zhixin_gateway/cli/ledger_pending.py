"""``zhixin ledger pending`` and ``zhixin ledger cosign``: cosignatures that travel by file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, say

if TYPE_CHECKING:
    from zhixin_ledger.embedded import Engine

    from zhixin_gateway.home import Home

__all__ = ["cosign", "pending"]


@click.command(
    "pending",
    short_help="Export the newest checkpoint, to be cosigned by file.",
    epilog=examples("zhixin ledger pending > checkpoint"),
)
@click.option("--offline", is_flag=True, help="Ask no witness now.")
@home_option
@click.pass_obj
def pending(context: Context, *, offline: bool) -> None:
    """Sign the newest checkpoint of this home's log and print it, for members cut off from it.

    Who can be reached cosigns at once. Take it away with a copy of this home's `log/tile`; each
    member runs `zhixin witness sign`, and `zhixin ledger cosign` takes in what comes back.
    """
    from zhixin_ledger import pending as waiting

    from zhixin_gateway.witnessing import witnesses_of

    home = context.open_home()
    with _log_of(home) as engine:
        note = waiting.export(engine, [] if offline else witnesses_of(home))
    sys.stdout.write(note.format().decode())


@click.command(
    "cosign",
    short_help="Take in cosignatures that came by file.",
    epilog=examples("zhixin ledger cosign cosignature", "zhixin ledger cosign from-*.txt"),
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@json_option
@home_option
@click.pass_obj
def cosign(context: Context, files: Sequence[Path], *, as_json: bool) -> int:
    """Add cosignatures to the checkpoint that was exported; publish it once its quorum is there.

    FILES hold signature lines, or whole checkpoints with them. Exit code 3: still too few.
    """
    from zhixin_ledger import pending as waiting
    from zhixin_ledger.note import MAX_NOTE_BYTES

    home = context.open_home()
    taken = None
    with _log_of(home) as engine:
        for file in files:
            with file.open("rb") as opened:
                data = opened.read(MAX_NOTE_BYTES + 1)
            if taken is None or not taken.published:
                taken = waiting.add(engine, data)
    if taken is None:  # pragma: no cover - one file is required
        return 0
    told = f"{taken.cosigned} of {taken.quorum} cosignatures on the checkpoint of {taken.size}"
    say(f"{told} entries: {'published' if taken.published else 'still too few'}")
    if as_json:
        answer(
            {
                "size": taken.size,
                "cosigned": taken.cosigned,
                "quorum": taken.quorum,
                "published": taken.published,
            }
        )
    return 0 if taken.published else 3


@contextmanager
def _log_of(home: Home) -> Iterator[Engine]:
    from zhixin_ledger.embedded import Engine
    from zhixin_ledger.transport import LOG_FOLDER

    from zhixin_gateway.home import LOG_KEY
    from zhixin_gateway.witnessing import now

    engine = Engine(home.path / LOG_FOLDER, home.signer(LOG_KEY), clock=now)
    try:
        yield engine
    finally:
        engine.close()
