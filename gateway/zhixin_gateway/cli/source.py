"""``zhixin source``: what a connector can see, and a first contract from it."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from zhixin_errors import ConfigError

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
    from collections.abc import Mapping

    from zhixin_connectors.protocol import Connector

    from zhixin_gateway.home import Home

__all__ = ["command", "open_named"]


@click.group("source")
def command() -> None:
    """What a connector can see; a first contract from it."""


@command.command("check", epilog=examples("zhixin source check sqlite:///permits.db"))
@click.argument("url")
@json_option
@home_option
@click.pass_obj
def check(context: Context, url: str, *, as_json: bool) -> None:
    """Reach a source and read nothing. URL may be a source's name in the home's settings."""
    connector = open_named(context, url)
    connector.check()
    if as_json:
        answer({"name": connector.name, "reached": True})
    say(f"reached {connector.name}")


@command.command(
    "tables",
    epilog=examples(
        "zhixin source tables sqlite:///permits.db",
        "zhixin source tables postgresql://reader@host/registry",
    ),
)
@click.argument("url")
@json_option
@home_option
@click.pass_obj
def tables(context: Context, url: str, *, as_json: bool) -> None:
    """List what can be read in a source."""
    found = open_named(context, url).tables()
    if as_json:
        rows = [
            {"name": each.name, "kind": each.kind, "columns": list(each.columns), "rows": each.rows}
            for each in found
        ]
        answer({"tables": rows})
        return
    if not found:
        say("nothing is listed: the source is empty, or does not list what it has (JSON over HTTP)")
        return
    table(
        ["name", "kind", "rows", "columns"],
        [
            [
                each.name,
                each.kind,
                "-" if each.rows is None else f"{each.rows:,}",
                ", ".join(each.columns),
            ]
            for each in found
        ],
    )


@command.command(
    "drift",
    short_help="How a contract's source has changed.",
    epilog=examples("zhixin source drift contracts/permits.odcs.yaml"),
)
@click.argument("contract", type=click.Path(path_type=Path))
@json_option
@home_option
@click.pass_obj
def drift(context: Context, contract: Path, *, as_json: bool) -> int:
    """Compare a source's columns with CONTRACT, and with those of the last published run.

    No record is read. A missing column refuses the next run, so the exit code is 1.
    """
    from zhixin_gateway.drift import find_drift, last_columns, look
    from zhixin_gateway.pipeline.extraction import read_contract

    home = context.open_home()
    read = read_contract(home, contract)
    if read.derived:
        raise ConfigError(f"{read.dataset} is derived: it has no source of its own")
    columns = look(home.open_source(read.server, read.options), read)
    found = find_drift(read, columns, last_columns(home, read.dataset))
    if as_json:
        answer({"dataset": read.dataset, "drift": [each.to_json() for each in found]})
    elif found:
        table(["kind", "what"], [[each.kind, each.message] for each in found])
    say("no drift" if not found else f"{len(found)} difference{'s' * (len(found) > 1)}")
    return 1 if any(each.kind == "missing" for each in found) else 0


@command.command(
    "infer",
    short_help="A first contract for a table.",
    epilog=examples(
        "zhixin source infer sqlite:///permits.db permits > contracts/permits.odcs.yaml",
        "zhixin source infer permits.csv permits.csv",
        "zhixin source infer 许可.csv 许可.csv --option encoding=gb18030 --option 'delimiter=;'",
    ),
)
@click.argument("url")
@click.argument("name", metavar="TABLE")
@click.option("--dataset", metavar="MEMBER/NAME", help="The dataset; the home's member and TABLE.")
@click.option("--source", metavar="NAME", help="What the source is called; made from its address.")
@click.option(
    "--option",
    "given",
    metavar="NAME=VALUE",
    multiple=True,
    help="How it is read, such as encoding=gb18030; stands in the contract. Repeatable.",
)
@click.option("--no-values", is_flag=True, help="Suggest no ranges and no allowed values.")
@json_option
@home_option
@click.pass_obj
def infer(
    context: Context,
    url: str,
    name: str,
    *,
    dataset: str | None,
    source: str | None,
    given: tuple[str, ...],
    no_values: bool,
    as_json: bool,
) -> None:
    """Write a contract for TABLE to standard output, and the source's address to zhixin.toml.

    It proposes what the source declares; what the rows have in common stands in comments, each a
    line to be taken by removing #. Comments travel with a contract: they tell of values only
    rounded ends, and words that many records share; nothing of columns that look personal, and
    nothing at all with --no-values.
    """
    from zhixin_schemas.infer import infer_contract

    home = context.find_home()
    connector = open_named(context, url, _options(given), source)
    made_up = dataset is None and not name.isascii()
    if dataset is None:
        if home is None:
            raise ConfigError(
                "no home says whose dataset it is to be",
                hint="give --dataset MEMBER/NAME, or a home by --home or ZHIXIN_HOME",
            )
        dataset = f"{home.member}/{_slug(_table(name), 'dataset')}"
    known = home is not None and url in home.settings.sources
    server = source or (url if known else _called(url))
    seen = connector.describe(name)
    text = infer_contract(dataset, seen, server=server, with_values=not no_values)
    if home is not None and not known:
        _remember(home, server, url)
    if as_json:
        answer({"dataset": dataset, "source": server, "contract": text})
    else:
        sys.stdout.write(text)
    if made_up:
        say(f"the dataset is called {dataset}, in Latin letters; --dataset calls it otherwise")
    say("read it, change what is guessed, and try it: zhixin contract lint FILE --against URL")


def open_named(
    context: Context,
    url: str,
    options: Mapping[str, object] | None = None,
    name: str | None = None,
) -> Connector:
    """Open a source by its address, or by its name in the home's settings.

    Args:
        context: the command's.
        url: address or name.
        options: how it is read, besides what the settings say.
        name: what an address is to be called, by which its secret is found; made from it where
            none is given.
    """
    from zhixin_connectors.options import SECRET, Secret
    from zhixin_connectors.registry import open_source

    from zhixin_gateway.settings import secret_from_environment

    if re.fullmatch(r"[A-Za-z0-9_-]+", url) and not Path(url).exists():
        return context.open_home().open_source(url, options)
    called = name or (_called(url) if "://" in url else None)  # the name that its secret goes by
    home = context.find_home()
    folder = None if home is None else home.path
    secret = secret_from_environment(name or _called(url), os.environ)
    if home is not None and home.settings.sources.get(name or _called(url), url) != url:
        secret = None  # it is of the source that has this name in the settings, and of no other
    own = {} if secret is None else {SECRET: Secret(secret)}
    return open_source(url, {**own, **(options or {})}, name=called, folder=folder)


_LISTS = ("null", "optional")


def _options(given: tuple[str, ...]) -> dict[str, object]:
    """Read ``NAME=VALUE``, with or without the prefix ``zhixin.``; lists grow by each."""
    options: dict[str, object] = {}
    words: dict[str, list[str]] = {}
    for each in given:
        name, is_there, value = each.partition("=")
        name = name.removeprefix("zhixin.")
        if not is_there:
            raise ConfigError(
                f"--option {each} has no value", hint="write --option encoding=gb18030"
            )
        if name in _LISTS:
            words.setdefault(name, []).append(value)
        else:
            options[name] = {"true": True, "false": False}.get(
                value, int(value) if value.isascii() and value.isdecimal() else value
            )
    return options | words


def _remember(home: Home, name: str, url: str) -> None:
    """Write the address into the settings, unless it holds a secret or is there already."""
    from zhixin_gateway.settings import check_source_url

    url = _absolute(url)
    settings = home.filed_settings()
    known = settings.sources.get(name)
    if known == url:
        return
    if known is not None:
        raise ConfigError(
            f"zhixin.toml has a source {name} with another address",
            hint="give this one another name by --source NAME",
        )
    try:
        check_source_url(name, url, "the address")
    except ConfigError as error:
        say(f"not written to zhixin.toml: {error.message}")
        say(f"  {error.hint}")
        return
    home.save(replace(settings, sources={**settings.sources, name: url}))
    say(f"wrote [sources.{name}] to {home.path / 'zhixin.toml'}")


_RELATIVE = re.compile(
    r"sqlite:///(?![/:])|(?:csv|parquet|file):(?!/)|(?![A-Za-z][A-Za-z0-9+.-]*:)"
)


def _absolute(url: str) -> str:
    """A relative path was meant from the working folder: settings name it from the root."""
    found = _RELATIVE.match(url)
    if found is None or not url[found.end() :]:
        return url
    return found[0] + str(Path(url[found.end() :]).absolute())


_FILE = re.compile(
    r"(?:\.(?:csv|tsv|txt|dat|json|jsonl|ndjson|parquet|xls[xmb]?|ods|gz|bz2|xz|zst|lz4|zip))+$",
    re.IGNORECASE,
)


def _table(name: str) -> str:
    """The last name of ``registry.permits``, ``2026/permits.csv.gz`` and ``book.xlsx/permits``."""
    last = Path(name).name
    return _FILE.sub("", last) if _FILE.search(last) else last.rpartition(".")[2]


def _called(url: str) -> str:
    """What a source is called where nobody says it."""
    return _slug(_last(url), "source")


def _last(url: str) -> str:
    path = url.partition("?")[0].rstrip("/")
    return Path(path.rpartition("/")[2].rpartition(":")[2]).stem


def _slug(text: str, default: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63]
    return slug if slug and slug[0].isalpha() else default
