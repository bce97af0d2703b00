"""``zhixin ls``: every dataset that the ledger knows, and which versions are here."""

from __future__ import annotations

from typing import Any

import click

from zhixin_gateway.cli.options import Context, answer, examples, home_option, json_option, table

__all__ = ["command"]


@click.command("ls", epilog=examples("zhixin ls"))
@json_option
@home_option
@click.pass_obj
def command(context: Context, *, as_json: bool) -> None:
    """List the datasets of the ledger: newest version, withdrawn ones, and those in this store."""
    from zhixin_gateway.fetching import newest_standing

    home = context.open_home()
    store = home.open_store()
    state = context.newest_state(home.ledger_client())
    rows: list[dict[str, Any]] = [
        {
            "dataset": fact.dataset,
            "latest": fact.version,
            "standing": newest_standing(state, fact.dataset),
            "withdrawn": list(fact.withdrawn),
            "here": store.versions(fact.dataset),
        }
        for fact in state.datasets()
    ]
    if as_json:
        answer({"datasets": rows})
        return
    table(
        ["dataset", "latest", "standing", "withdrawn", "here"],
        [
            [
                row["dataset"],
                str(row["latest"]),
                str(row["standing"] or "-"),
                _numbers(row["withdrawn"]),
                _numbers(row["here"]),
            ]
            for row in rows
        ],
    )


def _numbers(versions: list[int]) -> str:
    return ", ".join(map(str, versions)) or "-"
