"""What commands share: the home they work in, answers on standard output, progress on the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from zhixin_gateway.home import Home
    from zhixin_gateway.progress import Progress

__all__ = ["Context", "answer", "home_option", "json_option", "say", "table"]

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

    def open_progress(self, *, quiet: bool = False) -> Progress:
        """Make the display that ``--progress`` asks for."""
        from zhixin_gateway.progress import make_progress

        return make_progress("null" if quiet else self.progress)


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


def answer(value: object) -> None:
    """Write JSON to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def say(text: str) -> None:
    """Write a sentence to standard error."""
    sys.stderr.write(text + "\n")


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Write a table to standard output: plain columns, wide enough for what they hold.

    Args:
        columns: the headings.
        rows: texts, as many in each as there are headings.
    """
    widths = [
        max([len(heading), *(len(row[at]) for row in rows)]) for at, heading in enumerate(columns)
    ]
    for row in [columns, *rows]:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
