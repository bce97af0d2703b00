"""``zhixin verify``: hold a version's directory, as it lies there, against a pinned trust."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from zhixin_errors import TrustError

from zhixin_gateway.cli.gate_options import GateOptions, gate_options
from zhixin_gateway.cli.options import (
    Context,
    VersionPlace,
    answer,
    examples,
    home_option,
    json_option,
    say,
)

if TYPE_CHECKING:
    from zhixin_gateway.filedigests import DirectoryAhead
    from zhixin_gateway.gate import Verdict

__all__ = ["command", "no_verdict", "tell"]


@click.command(
    "verify",
    epilog=examples(
        "zhixin verify /media/disk/permits-2 --trust trust --expect city.gov.example/permits@2"
    ),
)
@click.argument("path", type=VersionPlace())
@click.option("--expect", metavar="NAME[@N]", help="The version that it must be.")
@click.option("--deep", is_flag=True, help="Recompute every record's hash as well.")
@gate_options()
@json_option
@home_option
@click.pass_obj
def command(
    context: Context,
    path: Path | str,
    *,
    expect: str | None,
    deep: bool,
    judged: GateOptions,
    as_json: bool,
) -> int:
    """Check the version in PATH. Prints VERIFIED, or REFUSED with a stable code and exits 1.

    PATH is a folder, or an address in an object store, such as s3://BUCKET/MEMBER/DATASET/3.

    Whether it stands is judged by --ledger or --standing, else by the home's copy of the ledger;
    where there is none, by PATH.standing.json beside it, and the time of that is told.
    """
    from zhixin_gateway.datasets.manifest import MAX_PART_BYTES, MAX_PARTS, part_name
    from zhixin_gateway.filedigests import DirectoryAhead

    if isinstance(path, str):
        return _verify(context, path, expect, None, deep=deep, judged=judged, as_json=as_json)
    # Hashing takes the most time: it begins while the gate is still being imported.
    with DirectoryAhead(path, map(part_name, range(MAX_PARTS)), MAX_PART_BYTES) as ahead:
        return _verify(context, path, expect, ahead, deep=deep, judged=judged, as_json=as_json)


def _verify(
    context: Context,
    path: Path | str,
    expect: str | None,
    ahead: DirectoryAhead | None,
    *,
    deep: bool,
    judged: GateOptions,
    as_json: bool,
) -> int:
    from zhixin_gateway.gate import verify

    home = context.find_home()
    try:
        trust = judged.trust(home)
    except TrustError as error:
        return no_verdict(error, as_json=as_json)
    progress = context.open_progress()
    try:
        verdict = verify(
            path,
            trust,
            expect=expect,
            deep=deep,
            **judged.judging(home, trust, path),
            progress=progress,
            ahead=ahead,
        )
    finally:
        progress.close()
    code = tell(verdict, as_json=as_json)
    if verdict.code == "malformed" and not _is_version(path):
        say(f"  is {path} the folder of one version, such as STORE/MEMBER/DATASET/3?")
    return code


def _is_version(path: Path | str) -> bool:
    return isinstance(path, str) or (path / "manifest.json").exists()


def tell(verdict: Verdict, *, as_json: bool) -> int:
    """Print a verdict and give the exit code.

    Args:
        verdict: the gate's.
        as_json: the whole of it to standard output, as docs/formats.md 4 has it.
    """
    for warning in verdict.warnings:
        say(f"warning: {warning}")
    if as_json:
        answer(verdict.to_json())
    elif verdict.ok:
        records = f", {verdict.records:,} records" if verdict.records is not None else ""
        sys.stdout.write(
            f"VERIFIED {verdict.dataset}@{verdict.version}{records}, entry {verdict.index}"
            f" of {verdict.size}, as of {_time(verdict.time)}\n"
        )
    else:
        sys.stdout.write(f"REFUSED {verdict.code}: {verdict.message}\n")
    return 0 if verdict.ok else 1


def _time(time: dt.datetime | None) -> str:
    return "?" if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")


def no_verdict(error: TrustError, *, as_json: bool) -> int:
    """Tell that the trust can't be used, a fault of the set-up, in the form of a verdict.

    Args:
        error: why.
        as_json: whether a program asked; a person is told by the error itself.

    Returns:
        The exit code.
    """
    if not as_json:
        raise error
    names = ("dataset", "version", "index", "size", "time", "records")
    told = {"ok": False, "code": error.code, "message": error.message}
    answer({**told, **dict.fromkeys(names), "checks": []})
    say(f"error ({error.code}): {error.message}")
    return error.exit_code
