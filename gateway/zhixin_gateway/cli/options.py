"""What commands share: the home they work in, answers on standard output, progress on the other."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zhixin_gateway.progress import one_line

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.state import State

    from zhixin_gateway.home import Home
    from zhixin_gateway.progress import Progress

__all__ = [
    "Context",
    "Duration",
    "VersionPlace",
    "answer",
    "dataset_name",
    "examples",
    "home_option",
    "json_option",
    "many",
    "must_answer",
    "one_line",
    "read_file",
    "say",
    "table",
]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Context:
    """The options of the root, on their way to a command."""

    home: str | None = None
    progress: str = "auto"

    def open_home(self) -> Home:
        """Open the home that ``--home`` or ``ZHIXIN_HOME`` names.

        Raises:
            ConfigError: there is none, or its settings are wrong.
        """
        from zhixin_gateway.home import Home

        return Home.open(self.home)

    def find_home(self) -> Home | None:
        """Open the home, or None where none is named and the working folder is none.

        Raises:
            ConfigError: one is named, and it is none.
        """
        from pathlib import Path

        from zhixin_gateway.home import SETTINGS_FILE, Home

        named = self.home or os.environ.get("ZHIXIN_HOME")
        if not named and not Path(SETTINGS_FILE).is_file():
            return None
        return Home.open(named)

    def open_progress(self, *, quiet: bool = False) -> Progress:
        """Make the display that ``--progress`` asks for."""
        from zhixin_gateway.progress import make_progress

        return make_progress("null" if quiet else self.progress)

    def newest_state(self, client: LedgerClient) -> State:
        """Bring a view of the ledger up to date, or tell that its own copy has to do."""
        from zhixin_gateway.pipeline.notarising import known_state

        progress = self.open_progress()
        try:
            return known_state(client, progress)
        finally:
            progress.close()


class Duration(click.ParamType[dt.timedelta]):
    """A span of time: ``90`` (seconds), ``30m``, ``12h``, ``7d``."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.timedelta:
        """Read the text; a usage error says how it is written."""
        found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value))
        if found is None:
            self.fail(f"{value!r} is no span of time: write 90, 30m, 12h or 7d", param, ctx)
        return dt.timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


class VersionPlace(click.ParamType["Path | str"]):
    """Where a version lies: a folder, or an object store's address, ``s3://…``."""

    name = "path"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,  # noqa: ARG002 - click's
        ctx: click.Context | None,  # noqa: ARG002 - click's
    ) -> Path | str:
        """Tell an address from a path."""
        from zhixin_gateway.stores import is_url

        text = str(value)
        return text if is_url(text) else Path(text)


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def _keep_home(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Context).home = value


def home_option(command: Command) -> Command:
    """Add ``--home`` to a command, as the root has it."""
    return click.option(
        "--home",
        metavar="DIR",
        expose_value=False,
        callback=_keep_home,
        help="The member's home; ZHIXIN_HOME by default.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(command)


def dataset_name(text: str) -> tuple[str, int | None]:
    """Read an argument ``MEMBER/DATASET[@N]``.

    Raises:
        ConfigError: it is none; what was typed is at fault, no data.
    """
    from zhixin_errors import ConfigError, FormatError

    from zhixin_gateway.fetching import parse_name

    try:
        return parse_name(text)
    except FormatError as error:
        raise ConfigError(
            f"{text!r} is no MEMBER/DATASET or MEMBER/DATASET@N: {error.message}",
            hint="`zhixin ls` shows what there is",
        ) from error


def examples(*lines: str) -> str:
    """Put examples at the end of a command's help."""
    return "\n".join(
        ["\b", "Example:" if len(lines) == 1 else "Examples:", *map("  ".__add__, lines)]
    )


def read_file(path: Path, limit: int) -> bytes:
    """Read a file that was named; of one that is too long a byte more than ``limit``.

    Raises:
        ConfigError: it can't be read.
    """
    from zhixin_errors import ConfigError

    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from error


def must_answer(what: str, hint: str, *, as_json: bool) -> None:
    """See to it that a person is there to be asked, before something that can't be taken back.

    Args:
        what: what would be done, as the beginning of a sentence.
        hint: how it is done without asking.
        as_json: a program asked.

    Raises:
        ConfigError: ``unasked``: nobody is there.
    """
    from zhixin_errors import ConfigError

    if as_json or not sys.stdin.isatty():
        raise ConfigError(f"{what}, and nobody is here to be asked", code="unasked", hint=hint)


def answer(value: object) -> None:
    """Write JSON to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """Write a sentence to standard error."""
    sys.stderr.write(text + "\n")


def many(count: int, word: str) -> str:
    """A count with its word: one member, 4 members."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Write a table to standard output: plain columns, wide enough for what they hold.

    Args:
        columns: the headings.
        rows: texts, as many in each as there are headings; whatever they hold, each is one line.
    """
    rows = [[one_line(text) for text in row] for row in rows]
    lines = [columns, *rows]
    widths = [max(_width(row[at]) for row in lines) for at in range(len(columns))]
    for row in lines:
        padded = (
            text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)
        )
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _width(text: str) -> int:
    """The cells of a terminal that a text takes: a Chinese sign takes two."""
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text)
