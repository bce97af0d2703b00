"""``zhixin ledger``: read and check the shared ledger, from this home's own copy."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.cli.ledger_audit import command as audit
from zhixin_gateway.cli.ledger_equivocation import equivocation
from zhixin_gateway.cli.ledger_fsck import command as fsck
from zhixin_gateway.cli.ledger_pending import cosign, pending
from zhixin_gateway.cli.ledger_rebuild import command as rebuild
from zhixin_gateway.cli.ledger_serve import command as serve
from zhixin_gateway.cli.options import (
    Context,
    answer,
    examples,
    home_option,
    json_option,
    many,
    table,
)

__all__ = ["command"]


@click.group("ledger")
def command() -> None:
    """Read and check the ledger."""


@command.command("log", epilog=examples("zhixin ledger log --limit 10"))
@click.option("--limit", type=click.IntRange(1), help="Only the last so many entries.")
@json_option
@home_option
@click.pass_obj
def log(context: Context, limit: int | None, *, as_json: bool) -> None:
    """List the entries: what was stated, by whom, in which block."""
    client = context.open_home().ledger_client()
    size = context.newest_state(client).size
    start = max(0, size - limit) if limit else 0
    rows: list[dict[str, Any]] = [
        {"index": index, **_summary(data)} for index, data in client.entries(start)
    ]
    if as_json:
        answer({"origin": client.origin, "size": size, "entries": rows})
        return
    table(
        ["index", "kind", "subject", "told"],
        [[str(row["index"]), row["kind"], row["subject"], row["told"]] for row in rows],
    )


@command.command("show", epilog=examples("zhixin ledger show 4"))
@click.argument("index", type=click.IntRange(0))
@json_option
@home_option
@click.pass_obj
def show(context: Context, index: int, *, as_json: bool) -> None:
    """Show one entry: a statement with its signers, or a seal."""
    client = context.open_home().ledger_client()
    if index >= client.state().size:
        client.sync()
    if index >= client.state().size:
        raise ConfigError(f"the ledger has no entry {index}: it has {client.state().size}")
    told = _whole(client.entry(index))
    if as_json:
        answer({"index": index, **told})
        return
    sys.stdout.write(json.dumps({"index": index, **told}, ensure_ascii=False, indent=2) + "\n")


def _whole(data: bytes) -> dict[str, Any]:
    from zhixin_ledger.dsse import parse_envelope
    from zhixin_ledger.seal import is_seal

    if is_seal(data):
        return dict(json.loads(data))
    envelope = parse_envelope(data)
    return {
        "statement": json.loads(envelope.payload),
        "signers": [keyid for keyid, _ in envelope.signatures],
    }


def _summary(data: bytes) -> dict[str, str]:
    try:
        told = _whole(data)
    except FormatError:
        return {"kind": "?", "subject": "", "told": "not in the form of an entry"}
    if "seal" in told:
        seal = told["seal"]
        return {"kind": "seal", "subject": f"block {seal['height']}", "told": seal["time"]}
    statement = told["statement"]
    kind = statement["predicateType"].split(":")[2]
    predicate = statement["predicate"]
    return {
        "kind": kind,
        "subject": statement["subject"][0]["name"],
        "told": _told(kind, predicate),
    }


def _told(kind: str, predicate: dict[str, Any]) -> str:
    if kind == "dataset":
        inputs = ", ".join(f"{i['dataset']}@{i['version']}" for i in predicate["inputs"])
        return f"root {predicate['root'][:16]}…" + (f", from {inputs}" if inputs else "")
    if kind == "withdrawal":
        return str(predicate["reason"])
    if kind == "genesis":
        return f"{many(len(predicate['members']), 'member')}, quorum {predicate['quorum']}"
    return ""


command.add_command(fsck)
command.add_command(rebuild)
command.add_command(serve)
command.add_command(audit)
command.add_command(pending)
command.add_command(cosign)
command.add_command(equivocation)
