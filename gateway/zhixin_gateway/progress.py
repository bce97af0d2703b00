"""Progress of a long job: one small interface; a live display, plain lines or silence behind it.

Everything goes to standard error: standard output is for data. A step has a name, counts records,
and ends with a note::

    progress.step("extract", "bts.gov.example/flights")
    progress.advance(65_536)
    progress.done("336,776 records")
"""

from __future__ import annotations

import sys
import time
import unicodedata
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID

__all__ = ["LogProgress", "NullProgress", "Progress", "RichProgress", "make_progress", "one_line"]

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def one_line(text: str) -> str:
    """What others wrote as a terminal may show it: line ends and control characters spelled out."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _UNSEEN else char
        for char in text
    )


class Progress(Protocol):
    """What a job tells of itself while it works."""

    def step(self, name: str, of: str = "") -> None:
        """Begin a step; the step before it, if any, has ended."""

    def advance(self, records: int) -> None:
        """Tell that so many records more have passed."""

    def done(self, note: str = "") -> None:
        """End the step."""

    def say(self, text: str) -> None:
        """Tell one sentence that is neither a step nor a warning."""

    def warn(self, text: str) -> None:
        """Tell one sentence that a person should act on."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class NullProgress:
    """Says nothing."""

    def step(self, name: str, of: str = "") -> None:
        """Say nothing."""

    def advance(self, records: int) -> None:
        """Say nothing."""

    def done(self, note: str = "") -> None:
        """Say nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is open."""


class LogProgress:
    """One line a finished step, for log files and terminals that can't move the cursor.

    Args:
        stream: where lines go; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._label = ""
        self._records = 0
        self._began = 0.0

    def step(self, name: str, of: str = "") -> None:
        """Remember what begins; it is told when it ends."""
        self._label = f"{of}: {name}" if of else name
        self._records = 0
        self._began = time.monotonic()

    def advance(self, records: int) -> None:
        """Count."""
        self._records += records

    def done(self, note: str = "") -> None:
        """Write the line of the step."""
        if not self._label:
            return
        told = note or (f"{self._records:,} records" if self._records else "done")
        self._write(f"{self._label}: {told} ({time.monotonic() - self._began:.1f} s)")
        self._label = ""

    def say(self, text: str) -> None:
        """Write one line."""
        self._write(text)

    def warn(self, text: str) -> None:
        """Write one line, marked."""
        self._write(f"warning: {text}")

    def close(self) -> None:
        """Nothing is open."""

    def _write(self, text: str) -> None:
        self._stream.write(one_line(text) + "\n")
        self._stream.flush()


class RichProgress:
    """A live line on a terminal, by rich."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False)
        self._bar: RichBar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._label = ""
        self._records = 0
        self._began = 0.0

    def step(self, name: str, of: str = "") -> None:
        """Show a moving line for the step."""
        self._drop()
        self._label = f"{of}: {name}" if of else name
        self._records = 0
        self._began = time.monotonic()
        self._bar.start()
        self._task = self._bar.add_task(_escaped(self._label), total=None, count="")

    def advance(self, records: int) -> None:
        """Move the count."""
        self._records += records
        if self._task is not None:
            self._bar.update(self._task, count=f"{self._records:,} records")

    def done(self, note: str = "") -> None:
        """Replace the moving line by one that stays."""
        if self._task is None:
            return
        self._drop()
        told = note or (f"{self._records:,} records" if self._records else "done")
        seconds = time.monotonic() - self._began
        self._console.print(
            f"[green]✓[/] {_escaped(self._label)}: {_escaped(told)} [dim]({seconds:.1f} s)[/]"
        )

    def say(self, text: str) -> None:
        """Print above the moving line."""
        self._console.print(_escaped(text))

    def warn(self, text: str) -> None:
        """Print above the moving line, marked."""
        self._console.print(f"[yellow]![/] {_escaped(text)}")

    def close(self) -> None:
        """Take the moving line away and give the cursor back."""
        self._drop()

    def _drop(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._bar.stop()


def make_progress(kind: str = "auto") -> Progress:
    """Choose a display.

    Args:
        kind: ``rich``, ``log``, ``null``, or ``auto``: rich where standard error is a terminal.

    Returns:
        The display.
    """
    if kind == "null":
        return NullProgress()
    if kind == "rich" or (kind == "auto" and sys.stderr.isatty()):
        return RichProgress()
    return LogProgress()


def _escaped(text: str) -> str:
    return one_line(text).replace("[", "\\[")
