"""Writes docs/cli.md from the commands' own help: ``python -m zhixin_gateway.cli.reference``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from zhixin_gateway.cli.root import zhixin

__all__ = ["reference"]

_HEAD = """# Command line

Made from the commands' own `--help` by `python -m zhixin_gateway.cli.reference > docs/cli.md`;
a test holds it to them. Exit codes: 0 done; 1 refused; 2 usage or set-up; 3 not reached, or proof
is pending; 4 internal error; 130 interrupted. Data goes to standard output, all else to standard
error.
"""


def reference() -> str:
    """Give the whole page."""
    parts = [_HEAD]
    for name, text in _helps(zhixin, "zhixin"):
        parts.append(f"## `{name}`\n\n```text\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def _helps(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    settings = {**zhixin.context_settings, "max_content_width": 98}
    context = click.Context(command, info_name=name, terminal_width=98, **settings)
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None:
                yield from _helps(found, f"{name} {each}")


if __name__ == "__main__":
    sys.stdout.write(reference())
