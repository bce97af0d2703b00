"""``zhixin verify-record``: check one record's proof, offline and without the dataset."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from zhixin_errors import TrustError

from zhixin_gateway.cli.gate_options import GateOptions, gate_options
from zhixin_gateway.cli.options import (
    Context,
    examples,
    home_option,
    json_option,
    one_line,
    read_file,
)

__all__ = ["command"]


@click.command(
    "verify-record",
    epilog=examples(
        "zhixin verify-record proof.json --trust trust --expect city.gov.example/permits"
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--expect", metavar="NAME[@N]", help="The version that it must be from.")
@gate_options()
@json_option
@home_option
@click.pass_obj
def command(
    context: Context,
    file: Path,
    *,
    expect: str | None,
    judged: GateOptions,
    as_json: bool,
) -> int:
    """Check the proof in FILE. Prints the record with VERIFIED, or REFUSED and exits 1."""
    from zhixin_gateway.cli.verify import no_verdict, tell
    from zhixin_gateway.gate import verify_record
    from zhixin_gateway.gate.record_proof import MAX_PROOF_BYTES

    home = context.find_home()
    try:
        trust = judged.trust(home)
    except TrustError as error:
        return no_verdict(error, as_json=as_json)
    verdict = verify_record(
        read_file(file, MAX_PROOF_BYTES), trust, expect=expect, **judged.judging(home, trust)
    )
    if not as_json and verdict.ok:
        for field, value in zip(verdict.fields or [], verdict.values or [], strict=True):
            name = field["name"] if isinstance(field, dict) else field
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            sys.stdout.write(f"{name}: {'(null)' if value is None else one_line(shown)}\n")
    return tell(verdict, as_json=as_json)
