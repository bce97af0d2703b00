"""``zhixin contract``: lint, publish and compare contracts; a schema for editors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from zhixin_errors import ConfigError, ContractError

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
    from zhixin_schemas.model import Contract, Problem

__all__ = ["command"]


@click.group("contract")
def command() -> None:
    """Lint, publish and compare contracts; a schema for editors."""


@command.command(
    "lint",
    short_help="Check that a contract can be used.",
    epilog=examples("zhixin contract lint contracts/permits.odcs.yaml --against permits"),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--against", metavar="URL", help="Show what each rule would reject in that source.")
@click.option(
    "--examples",
    "shown",
    type=click.IntRange(0, 100),
    default=0,
    metavar="N",
    help="Show the values of N rejects of each rule: on a terminal, or in --json.",
)
@json_option
@home_option
@click.pass_obj
def lint(context: Context, file: Path, against: str | None, *, shown: int, as_json: bool) -> int:
    """Check that a contract can be used: every problem with its place, and what to think of.

    --against reads the whole source (its address, or its name in the home's settings) and keeps
    nothing: it tells of columns that differ, and how many records each rule would reject, with the
    positions of the first; values of records are private and shown only with --examples.
    """
    from zhixin_schemas.lint import advice
    from zhixin_schemas.lint import lint as find_problems

    _check_shown(against, shown, as_json=as_json)
    data = _read(file)
    problems = find_problems(data)
    advices = [] if problems else [*advice(data), *_of_the_home(context, data)]
    tried = None if problems or against is None else _try(context, data, file, against, shown)
    if as_json:
        answer(
            {
                "ok": not problems,
                "problems": [problem.to_json() for problem in problems],
                "advice": [problem.to_json() for problem in advices],
                "against": tried,
            }
        )
        return 1 if problems else 0
    for problem in problems:
        sys.stdout.write(f"{file}:{problem}\n")
    for problem in advices:
        say(f"{file}:{problem} (advice)")
    if tried is not None:
        _tell_trial(tried)
    if problems:
        say("1 problem" if len(problems) == 1 else f"{len(problems)} problems")
    else:
        say(f"{file} can be used")
    return 1 if problems else 0


@command.command(
    "publish",
    short_help="State a contract in the ledger.",
    epilog=examples("zhixin contract publish contracts/permits.odcs.yaml"),
)
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@home_option
@click.pass_obj
def publish(context: Context, file: Path, *, as_json: bool) -> None:
    """State a contract in the ledger, if it is new there; `zhixin run` does it too."""
    from zhixin_gateway.pipeline.contracting import publish_contract
    from zhixin_gateway.pipeline.extraction import read_contract

    home = context.open_home()
    contract = read_contract(home, file)
    client = home.ledger_client()
    progress = context.open_progress()
    try:
        index = publish_contract(home, client, contract, client.sync(), progress)
    finally:
        progress.close()
    if as_json:
        named = {"dataset": contract.dataset, "version": contract.version}
        answer({**named, "sha256": contract.sha256, "index": index})
    told = "is in the ledger already" if index is None else f"is entry {index}"
    say(f"contract {contract.dataset}@{contract.version} {told}")


@command.command(
    "diff",
    short_help="What changed, for whom, and the version it asks for.",
    epilog=examples(
        "zhixin contract diff permits-1.0.0.odcs.yaml permits.odcs.yaml",
        "zhixin contract diff city.gov.example/permits permits.odcs.yaml",
    ),
)
@click.argument("old")
@click.argument("new", type=click.Path(path_type=Path))
@json_option
@home_option
@click.pass_obj
def diff(context: Context, old: str, new: Path, *, as_json: bool) -> None:
    """Compare two versions of a contract: what breaks whom, and the version number it asks for.

    OLD is a file, or an own dataset: then its contract in force.
    """
    from zhixin_schemas.loader import load_contract_file

    from zhixin_gateway.contract_diff import contract_changes, next_version

    before = _in_force(context, old) or load_contract_file(Path(old))
    changes = contract_changes(before, load_contract_file(new))
    wanted = next_version(before, changes) if changes else before.version
    if as_json:
        answer({"changes": [change.to_json() for change in changes], "version": wanted})
        return
    for change in changes:
        sys.stdout.write(f"{change.level:8}  {change.message}  [{change.affects}]\n")
    say(f"version {before.version} → {wanted}" if changes else "the same contract")


def _in_force(context: Context, named: str) -> Contract | None:
    """The contract in force of a dataset of this home; None where no dataset is named."""
    from zhixin_schemas.header import is_dataset_name

    from zhixin_gateway.pipeline.contracting import published_contract

    if not is_dataset_name(named) or Path(named).is_file():
        return None
    home = context.open_home()
    client = home.ledger_client()
    found = published_contract(home, client.state(), named)
    if found is None:
        raise ConfigError(
            f"the contract in force of {named} is not in this home",
            hint="give the file of the old version instead",
        )
    return found


@command.command(
    "schema",
    short_help="The JSON schema that editors complete by.",
    epilog=examples("zhixin contract schema > contracts/contract.schema.json"),
)
def schema() -> None:
    r"""Print the JSON schema by which an editor completes and checks a contract as it is written.

    Draft 7, as VS Code's YAML extension reads it. In .vscode/settings.json:

    \b
      "yaml.schemas": {"./contracts/contract.schema.json": "*.odcs.yaml"}

    or in the first line of a contract:

    \b
      # yaml-language-server: $schema=contract.schema.json
    """
    from zhixin_schemas.editor_schema import editor_schema

    sys.stdout.write(json.dumps(editor_schema(), ensure_ascii=False, indent=2) + "\n")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror}") from error


def _of_the_home(context: Context, data: bytes) -> list[Problem]:
    """Say where the home, if there is one, does not know the contract's source."""
    from zhixin_schemas.document import read_document
    from zhixin_schemas.loader import load_contract
    from zhixin_schemas.model import Problem

    try:
        home = context.find_home()
    except ConfigError:  # a contract is checked without a home, and so with a wrong one
        return []
    contract = load_contract(data)
    if home is None or contract.derived or contract.server in home.settings.sources:
        return []
    told = (
        f"{home.path / 'zhixin.toml'} has no [sources.{contract.server}] with its url; an Airflow "
        "connection of that name does too"
    )
    mark = read_document(data).mark(("servers", 0, "server"))
    return [Problem(*mark, "servers[0].server", told)]


def _check_shown(against: str | None, shown: int, *, as_json: bool) -> None:
    """Keep values of records off files and logs, unless a program asks for them."""
    if shown and against is None:
        raise click.UsageError("--examples shows records of a source: give --against URL too")
    if shown and not as_json and not sys.stdout.isatty():
        raise ConfigError(
            "--examples shows values of records, and standard output is no terminal",
            hint="leave it out; or --json, where the answer is to hold them",
        )


def _try(context: Context, data: bytes, file: Path, url: str, shown: int) -> dict[str, Any]:
    from zhixin_schemas.loader import load_contract

    from zhixin_gateway.cli.source import open_named
    from zhixin_gateway.trial import try_contract

    contract = load_contract(data, str(file))
    home = context.find_home()
    source = open_named(context, url, contract.options)
    progress = context.open_progress()
    try:
        return vars(try_contract(contract, source, progress, home=home, examples=shown))
    except ContractError as error:
        raise ConfigError(error.message) from error
    finally:
        progress.close()


def _tell_trial(tried: dict[str, Any]) -> None:
    for each in tried["drift"]:
        say(each["message"])
    table(
        ["rule", "severity", "checked", "would fail", "first at"],
        [
            [rule["rule"], rule["severity"], f"{rule['checked']:,}", f"{rule['failed']:,}",
             ", ".join(map(str, rule["rows"]))]
            for rule in tried["rules"]
        ],
    )  # fmt: skip
    if tried["examples"]:
        say("values of records, for your eyes only:")
        table(
            ["rule", "record", "field", "value"],
            [
                [each["rule"], str(each["row"]), each["field"],
                 "(null)" if each["value"] is None else each["value"]]
                for each in tried["examples"]
            ],
        )  # fmt: skip
    for each in tried["left_out"]:
        say(f"not tried: {each['rule']}: {each['reason']}")
    say(f"{tried['records']:,} records, of which {tried['rejected']:,} would be quarantined")
