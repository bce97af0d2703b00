"""``zhixin quarantine``: rejected records, for the steward who mends the source."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.options import (
    Context,
    Duration,
    answer,
    dataset_name,
    examples,
    home_option,
    json_option,
    many,
    must_answer,
    one_line,
    say,
    table,
)

if TYPE_CHECKING:
    import datetime as dt

    from zhixin_gateway.home import Home
    from zhixin_gateway.quarantine import Filter, Rejects
    from zhixin_gateway.retrial import Retrial

__all__ = ["command"]

_NAME = "MEMBER/DATASET[@N|@attempt]"
_OUTCOMES = {
    "accepted": "are in the dataset now",
    "rejected": "are rejected again, for the same reasons",
    "otherwise": "are rejected again, for other reasons",
    "gone": "are not in the source any more, neither by their key nor by their texts",
    "unknown": "can't be told: their texts were withheld",
}

_NOT_FOUND_AGAIN = {
    "key": "it has another key, by which these can't be found again",
    "size": "they are too many to be looked for in memory",
}


@click.group("quarantine")
def command() -> None:
    """Records that a run rejected, with every reason.

    @N is a version's; @attempt those of the newest run that published nothing, as long as no later
    one did. They hold people's data and are the steward's alone. None is ever changed: a record is
    mended where it comes from, or another contract takes it.
    """


def _filters(called: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose records; the command gets them as ``wanted``."""

    @wraps(called)
    def filtered(
        *given: object, reason: str | None, field: str | None, row: int | None, **more: object
    ) -> object:
        from zhixin_gateway.quarantine import Filter

        return called(*given, wanted=Filter(reason, field, row), **more)

    options = (
        click.option("--reason", metavar="RULE", help="Only records that broke this rule."),
        click.option("--field", help="Only records with a reason that looks at this field."),
        click.option("--row", type=click.IntRange(0), help="Only the record at this position."),
    )
    for option in reversed(options):
        option(filtered)
    return filtered


@command.command(
    "list",
    epilog=examples("zhixin quarantine list", "zhixin quarantine list city.gov.example/permits"),
)
@click.argument("name", metavar=_NAME, required=False)
@_filters
@json_option
@home_option
@click.pass_obj
def list_(
    context: Context,
    name: str | None,
    *,
    wanted: Filter,
    as_json: bool,
) -> None:
    """Count rejects by rule, or all that are kept.

    Without a name, every version's are listed: accepted + quarantined = extracted.
    """
    from zhixin_gateway.quarantine import batches, reasons, told_of

    home = context.open_home()
    if name is None:
        if wanted:
            raise ConfigError("say of which dataset: --reason, --field and --row choose records")
        _all(home, as_json=as_json)
        return
    rejects = _find(home, name)
    lines = reasons(rejects, wanted)
    count = sum(batch.num_rows for batch in batches(rejects, wanted)) if wanted else rejects.count
    if as_json:
        answer({"records": count, "rules": lines, **_counts(told_of(home, rejects))})
        return
    if not count and wanted:
        say(_no_such(rejects, wanted))
    table(
        ["rule", "field", "records", "message"],
        [[str(x["rule"]), str(x["field"]), str(x["records"]), str(x["message"])] for x in lines],
    )
    told = told_of(home, rejects)
    if told["extracted"] is not None and not wanted:
        say(
            f"{told['accepted']:,} accepted + {rejects.count:,} quarantined = "
            f"{told['extracted']:,} extracted"
        )


def _counts(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in ("extracted", "accepted")}


def _all(home: Home, *, as_json: bool) -> None:
    from zhixin_gateway.quarantine import all_rejects, release_of, told_of

    lines: list[dict[str, Any]] = []
    for rejects in all_rejects(home):
        told, released = told_of(home, rejects), release_of(rejects)
        lines.append(
            {
                "dataset": rejects.dataset,
                "version": rejects.version,
                "at": rejects.at.isoformat(timespec="seconds").replace("+00:00", "Z"),
                "extracted": told["extracted"],
                "accepted": told["accepted"],
                "quarantined": rejects.count,
                "bytes": rejects.path.stat().st_size,
                "why": told["why"],
                "released": None if released is None else released.get("counts"),
                "waits": rejects.waits(),
            }
        )
    if as_json:
        answer({"quarantine": lines})
        return
    table(
        ["rejects of", "since", "extracted", "= accepted", "+ quarantined", "bytes", "then"],
        [
            [
                f"{line['dataset']}@{line['version']}",
                line["at"],
                *("?" if line[x] is None else f"{line[x]:,}" for x in ("extracted", "accepted")),
                f"{line['quarantined']:,}",
                f"{line['bytes']:,}",
                _then(line),
            ]
            for line in lines
        ],
    )
    total = sum(line["quarantined"] for line in lines)
    oldest = min((line["at"][:10] for line in lines), default="")
    say(f"{many(total, 'record')}" + (f", the oldest kept since {oldest}" if oldest else ""))


def _then(line: dict[str, Any]) -> str:
    if line["why"]:
        return f"nothing was published: {line['why']}"
    if line["released"]:
        return f"{line['released']['accepted']:,} came in with the next version"
    return "wait for the next version" if line["waits"] and line["quarantined"] else ""


@command.command(
    "show",
    epilog=examples(
        "zhixin quarantine show city.gov.example/permits@1 --reason opened.type",
        "zhixin quarantine show city.gov.example/permits --limit 20 --offset 20",
    ),
)
@click.argument("name", metavar=_NAME)
@_filters
@click.option("--limit", type=click.IntRange(1), help="At most so many records.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave the first so many out.")
@json_option
@home_option
@click.pass_obj
def show(
    context: Context,
    name: str,
    limit: int | None,
    offset: int,
    *,
    wanted: Filter,
    as_json: bool,
) -> None:
    """Show rejects as the source gave them.

    A null is shown as (null), an empty text as (empty); a text that could be taken for one of
    these, or has blanks around it, stands in quotes. With --json one record a line.
    """
    from zhixin_gateway.quarantine import batches

    rejects = _find(context.open_home(), name)
    seen, end = 0, None if limit is None else offset + limit
    for batch in batches(rejects, wanted):
        if end is not None and seen >= end:
            seen += batch.num_rows  # counted only
            continue
        first = min(max(offset - seen, 0), batch.num_rows)
        kept = batch.slice(first, None if end is None else max(end - seen - first, 0))
        seen += batch.num_rows
        for record in kept.to_pylist():
            _print(record, as_json=as_json)
    shown = max(min(seen, seen if end is None else end) - offset, 0)
    if not as_json:
        say(f"{shown:,} of {many(seen, 'record')}; the first that its run read is record 0")
        if end is not None and seen > end:
            say(f"the next: --limit {limit} --offset {end}")
    if not seen and wanted:
        say(_no_such(rejects, wanted))


def _print(record: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
        return
    sys.stdout.write(f"record {record['_row']:,}\n")
    for why in record["_reasons"] or ():
        sys.stdout.write(f"  ! {why['rule']}: {why['message']}\n")
    for field, text in record.items():
        if field not in ("_row", "_reasons"):
            sys.stdout.write(f"    {field}: {_shown(text)}\n")


def _shown(text: str | None) -> str:
    if text is None:
        return "(null)"
    if text in ("(null)", "(empty)") or text != text.strip() or text[:1] == text[-1:] == '"':
        return f'"{one_line(text)}"' if text else "(empty)"
    return one_line(text) if text else "(empty)"


@command.command(
    "export",
    epilog=examples(
        "zhixin quarantine export city.gov.example/permits@1 rejects.csv",
        "zhixin quarantine export city.gov.example/permits rejects.csv --excel --field opened",
    ),
)
@click.argument("name", metavar=_NAME)
@click.argument("file", type=click.Path(path_type=Path))
@_filters
@click.option("--format", "form", type=click.Choice(["csv", "json", "parquet"]),
              help="By default what FILE ends with.")  # fmt: skip
@click.option(
    "--excel",
    is_flag=True,
    help="A CSV for Excel: an apostrophe before each text that it would take for a formula.",
)
@home_option
@click.pass_obj
def export(
    context: Context,
    name: str,
    file: Path,
    form: str | None,
    *,
    wanted: Filter,
    excel: bool,
) -> None:
    """Write rejects, with their reasons, to a new file.

    FILE has the mode 0600 and takes the place of no other. In CSV each text is in quotes and null
    is nothing, so that both are told apart.
    """
    from zhixin_gateway.quarantine_export import FORMS
    from zhixin_gateway.quarantine_export import export as write

    form = form or file.suffix.removeprefix(".").lower()
    form = "json" if form == "jsonl" else form
    if form not in FORMS:
        raise ConfigError(f"{file} says no format", hint="say --format csv, json or parquet")
    if excel and form != "csv":
        raise ConfigError("--excel is for CSV")
    rejects = _find(context.open_home(), name)
    count = write(rejects, wanted, file, form, excel=excel)
    say(f"wrote {many(count, 'record')} to {file}")
    say("they are people's data: hand them over as you would the source itself, then destroy them")


@command.command(
    "release",
    epilog=examples(
        "zhixin quarantine release city.gov.example/permits@1",
        "zhixin quarantine release city.gov.example/permits --contract contracts/new.odcs.yaml",
    ),
)
@click.argument("name", metavar=_NAME)
@click.option(
    "--contract",
    type=click.Path(path_type=Path),
    help="Judge the rejects anew under this contract: would they pass?",
)
@json_option
@home_option
@click.pass_obj
def release(context: Context, name: str, contract: Path | None, *, as_json: bool) -> None:
    """Tell what came of each reject.

    A reject is released by mending it in the source, or by a contract that takes it, and a run.
    Each is then looked for in the new version by its primary key; without a key, or where the key
    can't be read, by all its texts. --contract tries a contract before a run does.
    """
    rejects = _find(context.open_home(), name, pruned=contract is None)
    if contract is not None:
        from zhixin_schemas.loader import load_contract_file

        from zhixin_gateway.retrial import try_rejects

        _tell_retrial(try_rejects(rejects, load_contract_file(contract)), as_json=as_json)
        return
    _tell_release(rejects, as_json=as_json)


def _tell_retrial(retrial: Retrial, *, as_json: bool) -> None:
    if as_json:
        answer(retrial.to_json())
        return
    table(["rule", "records"], [[name, f"{count:,}"] for name, count in retrial.broken.items()])
    say(f"{retrial.passing:,} of {many(retrial.records, 'record')} would pass what was judged")
    if retrial.left_out:
        say(f"not judged, for one record does not tell: {', '.join(retrial.left_out)}")
    say("a run under that contract is what decides")


def _tell_release(rejects: Rejects, *, as_json: bool) -> None:
    from zhixin_gateway.quarantine import release_of

    told = release_of(rejects)
    if as_json:
        answer({"name": rejects.name, "kept": rejects.path.exists(), "release": told})
        return
    if told is None:
        say(f"no version was published since: {many(rejects.count, 'record')} wait")
        say("mend them in the source, or try another contract with --contract; then run")
        return
    if "counts" not in told:
        why = _NOT_FOUND_AGAIN["size" if told.get("why") == "size" else "key"]
        say(f"what came of them with version {told['by']} is not known: {why}")
        return
    table(
        ["records", f"with version {told['by']}"],
        [[f"{told['counts'][name]:,}", says] for name, says in _OUTCOMES.items()],
    )
    by = f"the key {', '.join(told['key'])}" if told["key"] else "all their texts"
    say(f"known again by {by}; --json names their positions, `show --row` shows one")


@command.command(
    "prune",
    epilog=examples(
        "zhixin quarantine prune --older-than 90d --dry-run",
        "zhixin quarantine prune city.gov.example/permits --older-than 90d --yes",
    ),
)
@click.argument("dataset", metavar="MEMBER/DATASET", required=False)
@click.option("--older-than", type=Duration(), required=True, help="Kept for longer: 90d, 12h.")
@click.option("--waiting", is_flag=True, help="Those too that no version has followed yet.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Don't ask: for programs.")
@json_option
@home_option
@click.pass_obj
def prune(
    context: Context,
    dataset: str | None,
    older_than: dt.timedelta,
    *,
    waiting: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove rejects that were kept long enough.

    What came of them stays told. The newest version's, and an attempt's, wait for what the next
    version says of them and stay, unless --waiting. The files are unlinked: backups and snapshots
    keep theirs. What must go for a person's sake goes by `zhixin erase`.
    """
    from datetime import UTC, datetime

    from zhixin_gateway.quarantine import outdated, remove

    home = context.open_home()
    only = None if dataset is None else dataset_name(dataset)[0]
    found = outdated(home, only, older_than, waiting=waiting, now=datetime.now(UTC))
    lines: list[dict[str, Any]] = [
        {"name": each.name, "at": each.at.isoformat(timespec="seconds"), "records": each.count}
        for each in found
    ]
    for line in lines:
        say(f"  {line['name']}: {many(line['records'], 'record')} of {line['at'][:10]}")
    total = sum(line["records"] for line in lines)
    say(f"to be removed: {many(total, 'record')} in {many(len(found), 'file')}")
    removed = 0
    if found and not dry_run:
        if not yes:
            must_answer(
                "removed rejects don't come back", "say --yes, or --dry-run", as_json=as_json
            )
            click.confirm("remove them?", abort=True, err=True)
        removed = sum(remove(home, each) for each in found)
        say(f"removed {many(removed, 'record')}")
    if as_json:
        answer({"files": lines, "records": total, "removed": removed})


def _find(home: Home, name: str, *, pruned: bool = False) -> Rejects:
    from zhixin_gateway.quarantine import ATTEMPT, find

    version: int | str | None
    if name.endswith(f"@{ATTEMPT}"):
        dataset, _ = dataset_name(name.removesuffix(f"@{ATTEMPT}"))
        version = ATTEMPT
    else:
        dataset, version = dataset_name(name)
    return find(home, dataset, version, pruned=pruned)


def _no_such(rejects: Rejects, wanted: Filter) -> str:
    """Name the reasons that there are, for somebody who asked for others."""
    from zhixin_gateway.quarantine import reasons

    there = sorted({str(line["rule"]) for line in reasons(rejects)})
    asked = " ".join(
        f"{name} {value}"
        for name, value in (("rule", wanted.reason), ("field", wanted.field), ("row", wanted.row))
        if value is not None
    )
    told = f"no record was rejected by {wanted.reason}"
    if wanted.reason is None or wanted.field is not None or wanted.row is not None:
        told = f"no reject of {asked}"
    return f"{told}; there is {', '.join(there)}" if there else told
