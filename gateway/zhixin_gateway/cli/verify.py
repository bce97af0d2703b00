"""``zhixin verify``: hold a version's directory, as it lies there, against a pinned trust."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from zhixin_errors import ConfigError, TrustError

from zhixin_gateway.cli.options import (
    Context,
    Duration,
    answer,
    examples,
    home_option,
    json_option,
    say,
)

if TYPE_CHECKING:
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.gate import Verdict
    from zhixin_gateway.gate.standing import LedgerView
    from zhixin_gateway.home import Home

__all__ = ["command", "find_trust", "ledger_copy", "no_verdict", "tell"]


@click.command(
    "verify",
    epilog=examples(
        "zhixin verify /media/disk/permits-2 --trust trust --expect city.gov.example/permits@2"
    ),
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--trust",
    "trust_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The pinned trust; the home's by default.",
)
@click.option("--expect", metavar="NAME[@N]", help="The version that it must be.")
@click.option("--deep", is_flag=True, help="Recompute every record's hash as well.")
@click.option("--max-age", type=Duration(), help="Refuse what was confirmed longer ago: 12h, 7d.")
@click.option("--strict-inputs", is_flag=True, help="Refuse a version with a withdrawn input.")
@click.option("--current-keys", is_flag=True, help="Count no cosigner key that has ended since.")
@click.option(
    "--standing",
    "standings",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A standing file: the version's, or an input's. Repeatable.",
)
@click.option("--require-standing", is_flag=True, help="Refuse where standing can't be judged.")
@json_option
@home_option
@click.pass_obj
def command(
    context: Context,
    path: Path,
    *,
    trust_dir: Path | None,
    expect: str | None,
    max_age: dt.timedelta | None,
    standings: tuple[Path, ...],
    deep: bool,
    strict_inputs: bool,
    current_keys: bool,
    require_standing: bool,
    as_json: bool,
) -> int:
    """Check the version in PATH. Prints VERIFIED, or REFUSED with a stable code and exits 1."""
    from zhixin_gateway.gate import verify

    home = context.find_home()
    try:
        trust = find_trust(home, trust_dir)
    except TrustError as error:
        if as_json:
            answer(no_verdict(error))
            say(f"error ({error.code}): {error.message}")
            return error.exit_code
        raise
    progress = context.open_progress()
    try:
        verdict = verify(
            path,
            trust,
            expect=expect,
            deep=deep,
            max_age=max_age,
            standings=standings,
            ledger_copy=ledger_copy(home, trust),
            strict_inputs=strict_inputs,
            current_keys=current_keys,
            require_standing=require_standing,
            progress=progress,
        )
    finally:
        progress.close()
    code = tell(verdict, as_json=as_json)
    if verdict.code == "malformed" and not (path / "manifest.json").exists():
        say(f"  is {path} the folder of one version, such as STORE/MEMBER/DATASET/3?")
    return code


def find_trust(home: Home | None, trust_dir: Path | None) -> Trust:
    """Read the trust that ``--trust`` names, else the home's.

    Args:
        home: the home, if there is one.
        trust_dir: what ``--trust`` says.

    Raises:
        ConfigError: neither is there.
        TrustError: it can't be used.
    """
    from zhixin_ledger.trust import load_trust

    if trust_dir is not None:
        return load_trust(trust_dir)
    if home is None:
        raise ConfigError(
            "nothing says whom to trust",
            hint="give --trust DIR, what its owner exported and whose fingerprint you compared",
        )
    return home.trust()


def ledger_copy(home: Home | None, trust: Trust) -> LedgerView | None:
    """The home's copy of the ledger as a source of standing, if it is of the trust's ledger."""
    view = None if home is None else home.ledger_view()
    return view if view is not None and view.origin == trust.origin else None


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


def no_verdict(error: TrustError) -> dict[str, object]:
    """The JSON answer where the trust can't be used: a fault of the set-up, no verdict."""
    names = ("dataset", "version", "index", "size", "time", "records")
    return {
        "ok": False,
        "code": error.code,
        "message": error.message,
        **dict.fromkeys(names),
        "checks": [],
    }
