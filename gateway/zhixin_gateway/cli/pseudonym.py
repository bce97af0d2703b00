"""``zhixin pseudonym``: the keys of pseudonyms, and the pseudonym of a value."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.options import (
    Context,
    answer,
    examples,
    home_option,
    json_option,
    say,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["command"]


@click.group("pseudonym")
def command() -> None:
    """Keys of pseudonyms (zhixin.treatment), and the pseudonym of a value."""


@command.command("make", epilog=examples("zhixin pseudonym make citizen"))
@click.argument("name")
@home_option
@click.pass_obj
def make(context: Context, name: str) -> None:
    """Make the key that contracts call NAME.

    32 random bytes, for this home alone; a key that is here already stays.
    """
    from zhixin_gateway.pseudonyms import make_key

    path = make_key(context.open_home(), name)
    sys.stdout.write(f"{path}\n")
    say("`zhixin backup` keeps it: without it a person's records can't be found any more")


@command.command("list", epilog=examples("zhixin pseudonym list"))
@json_option
@home_option
@click.pass_obj
def list_(context: Context, *, as_json: bool) -> None:
    """Name the keys that this home has."""
    from zhixin_gateway.pseudonyms import key_names

    names = key_names(context.open_home())
    if as_json:
        answer({"keys": names})
        return
    sys.stdout.write("".join(f"{name}\n" for name in names))
    if not names:
        say("this home has none; `zhixin pseudonym make NAME` makes one")


@command.command("export", epilog=examples("zhixin pseudonym export citizen citizen.key"))
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@home_option
@click.pass_obj
def export(context: Context, name: str, file: Path) -> None:
    """Write a key to a file, for another member.

    Two members with one key give one person one pseudonym, so that their datasets can be joined.
    """
    from zhixin_gateway.pseudonyms import export_key

    export_key(context.open_home(), name, file)
    say(f"wrote {file}; who has it can try out whose record a pseudonym is")
    say("hand it over as you would the records themselves, then destroy the file")


@command.command("import", epilog=examples("zhixin pseudonym import citizen citizen.key"))
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@home_option
@click.pass_obj
def import_(context: Context, name: str, file: Path) -> None:
    """Take in a key that was exported.

    A key that is here already is never replaced.
    """
    from zhixin_gateway.pseudonyms import import_key

    import_key(context.open_home(), name, file)
    say(f"this home has the key {name}; destroy {file}")


@command.command(
    "of",
    epilog=examples("zhixin pseudonym of contracts/permits.odcs.yaml owner_no < numbers.txt"),
)
@click.argument("contract", type=click.Path(path_type=Path))
@click.argument("field")
@home_option
@click.pass_obj
def of(context: Context, contract: Path, field: str) -> None:
    """Write the pseudonyms of values.

    The values stand on standard input, one a line, and are read as a run reads FIELD of CONTRACT,
    so that a person's records are found: in `zhixin cat --sql`, in `zhixin prove --where`, in the
    quarantine. A value never stands on the command line, where others see it.
    """
    from zhixin_schemas.loader import load_contract_file

    from zhixin_gateway.pseudonyms import load_key, pseudonym

    home = context.open_home()
    read = load_contract_file(contract)
    treatment = read.treated.get(field)
    if treatment is None or treatment.how != "pseudonym":
        there = [name for name, item in read.treated.items() if item.how == "pseudonym"]
        raise ConfigError(
            f"{contract}: {field} is no field with a pseudonym"
            + (f"; there is {', '.join(there)}" if there else "")
        )
    key = load_key(home, treatment.key)
    if sys.stdin.isatty():
        say("type one value a line, then Ctrl-D")
    for text in _canonical(read.schema.field(field), read.options):
        sys.stdout.write(pseudonym(key, text) + "\n")


def _canonical(field: pa.Field[Any], options: dict[str, object]) -> list[str]:
    """The canonical texts of the lines on standard input, read as the field's type."""
    import pyarrow as pa
    from zhixin_connectors.cast import cast_texts

    from zhixin_gateway.pipeline.recasting import reading_of
    from zhixin_gateway.pipeline.treating import scalar_texts

    try:
        lines = sys.stdin.buffer.read().decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise ConfigError("standard input is not UTF-8") from None
    read = cast_texts(
        pa.array([line.removesuffix("\r") for line in lines]), field.type, reading_of(options)
    )
    for row, reason in read.misfits:
        raise ConfigError(f"line {row + 1} of standard input is no value of {field.name}: {reason}")
    return [text or "" for text in scalar_texts(read.array)]
