"""``zhixin status``: own datasets, last runs, and what waits for its proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zhixin_gateway.cli.options import (
    Context,
    answer,
    examples,
    home_option,
    json_option,
    say,
    table,
)

if TYPE_CHECKING:
    from zhixin_gateway.home import Home

__all__ = ["command"]


@click.command("status", epilog=examples("zhixin status --resume"))
@click.option("--resume", is_flag=True, help="Finish what waits for its proof, and erasures.")
@json_option
@home_option
@click.pass_obj
def command(context: Context, *, resume: bool, as_json: bool) -> int:
    """Tell of every dataset of this home; exits 3 while a proof or an erasure is pending."""
    from zhixin_gateway.erasing import unfinished

    home = context.open_home()
    if resume:
        _resume(context, home)
    rows = _rows(home)
    erasing = [name for erasure in unfinished(home) for name in erasure.names]
    pending = any(row["pending"] for row in rows) or bool(erasing)
    if as_json:
        told = {"member": home.member, "pending": pending, "datasets": rows}
        answer({**told, "erasing": erasing} if erasing else told)
    else:
        table(
            ["dataset", "version", "records", "quarantined", "last run", "state"],
            [_line(row) for row in rows],
        )
        if any(row["pending"] for row in rows):
            say("a proof is pending: `zhixin status --resume` tries again")
        if erasing:
            say(f"not erased to the end: {', '.join(erasing)}; `zhixin status --resume` goes on")
    return 3 if pending else 0


def _resume(context: Context, home: Home) -> None:
    from zhixin_gateway import erasing
    from zhixin_gateway.cli.run import tell_run
    from zhixin_gateway.pipeline import resume

    progress = context.open_progress()
    try:
        results = resume(home, progress)
    finally:
        progress.close()
    for result in results:
        tell_run(result, as_json=True)
    erased = [name for erasure in erasing.resume(home) for name in erasure.names]
    if erased:
        say(f"erased {', '.join(erased)}")
    elif not results:
        say("nothing waits for its proof")


def _rows(home: Home) -> list[dict[str, Any]]:
    from zhixin_gateway.pipeline.results import last_run
    from zhixin_gateway.pipeline.staging import unfinished

    store = home.open_store()
    waiting = {work.dataset: work.load() or {} for work in unfinished(home)}
    own = {name for name in store.datasets() if _is_own(home, name)}
    folder = home.path / "runs" / home.member
    # Beside a dataset's answer lies NAME.columns.json: no dataset's name has a point.
    names = {path.stem for path in folder.glob("*.json") if "." not in path.stem}
    own |= {f"{home.member}/{name}" for name in names}
    return [
        {
            "dataset": name,
            "version": max(store.versions(name), default=None),
            "pending": waiting.get(name, {}).get("version"),
            "last_run": last_run(home, name),
        }
        for name in sorted(own | set(waiting))
    ]


def _is_own(home: Home, dataset: str) -> bool:
    return dataset.partition("/")[0] == home.member


def _line(row: dict[str, Any]) -> list[str]:
    last = row["last_run"] or {}
    state = f"version {row['pending']}: proof pending" if row["pending"] else "complete"
    if "error" in last:
        state = f"last run failed: {last['error']['code']}"
    return [
        row["dataset"],
        str(row["version"] or "-"),
        f"{last['records']:,}" if "records" in last else "-",
        f"{last['quarantined']:,}" if "quarantined" in last else "-",
        str(last.get("at", "-"))[:19],
        state,
    ]
