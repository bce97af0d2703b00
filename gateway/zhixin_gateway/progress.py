"""Progress of a long job: one small interface; a live display, plain lines or silence behind it.

Everything goes to standard error: standard output is for data. A step has a name, counts records,
and ends with a note::

    progress.step("extract", "bts.gov.example/flights")
    progress.expect(1_010_328)
    progress.advance(65_536, 9_437_184)
    progress.done("1,010,320 records, 8 quarantined")

and says meanwhile ``65,536 of about 1,010,328 records, 410,000/s, 9 MB, 2 s left``.
"""

from __future__ import annotations

import sys
import time
import unicodedata
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress as RichBar
    from rich.progress import TaskID

__all__ = [
    "LogProgress",
    "NullProgress",
    "Pace",
    "Progress",
    "RichProgress",
    "make_progress",
    "one_line",
]

_SAYS_EVERY_S = 30.0
_BESIDE = 11
"""Columns of a terminal that the spinner, the clock and the blanks between them take."""
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def one_line(text: str) -> str:
    """What others wrote as a terminal may show it: line ends and control characters spelled out."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _UNSEEN else char
        for char in text
    )


class Pace:
    """How far a step is: records, their rate, bytes, and the time left where the end is known."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.total: int | None = None
        self._records = self._bytes = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._began

    def add(self, records: int, size_bytes: int = 0) -> None:
        """Count."""
        self._records += records
        self._bytes += size_bytes

    def __str__(self) -> str:
        """As people read it while the step goes on."""
        rate = self._rate()
        of = f" of about {self.total:,}" if self.total and self.total >= self._records else ""
        told = f"{self._records:,}{of} records, {_rounded(rate):,}/s"
        if self._bytes:
            told += f", {self._bytes / 1e6:,.0f} MB"
        if of and self.total and rate:
            told += f", {(self.total - self._records) / rate:,.0f} s left"
        return told

    def ended(self, note: str = "") -> str:
        """As people read it at the end.

        Args:
            note: what the step says of itself; the count of records without one.
        """
        told = note or (f"{self._records:,} records" if self._records else "done")
        seconds, rate = self.seconds, _rounded(self._rate())
        pace = f", {rate:,}/s" if seconds >= 1 and rate else ""
        return f"{told} ({seconds:.1f} s{pace})"

    def _rate(self) -> float:
        seconds = self.seconds
        return self._records / seconds if seconds else 0.0


def _rounded(rate: float) -> int:
    """To two digits: more would move all the time and say nothing."""
    return int(float(f"{rate:.2g}"))


class Progress(Protocol):
    """What a job tells of itself while it works."""

    def step(self, name: str, of: str = "") -> None:
        """Begin a step; the step before it, if any, has ended."""

    def expect(self, records: int) -> None:
        """Tell about how many records there will be."""

    def advance(self, records: int, size_bytes: int = 0) -> None:
        """Tell that so many records more have passed, of so many bytes in memory."""

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

    def expect(self, records: int) -> None:
        """Say nothing."""

    def advance(self, records: int, size_bytes: int = 0) -> None:
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
        self._pace = Pace()
        self._told_s = 0.0

    def step(self, name: str, of: str = "") -> None:
        """Remember what begins; it is told when it ends."""
        self._label = f"{of}: {name}" if of else name
        self._pace = Pace()
        self._told_s = 0.0

    def expect(self, records: int) -> None:
        """Count towards it."""
        self._pace.total = records

    def advance(self, records: int, size_bytes: int = 0) -> None:
        """Count; a long step says how far it is, every half minute."""
        self._pace.add(records, size_bytes)
        if self._pace.seconds - self._told_s >= _SAYS_EVERY_S:
            self._told_s = self._pace.seconds
            self._write(f"{self._label}: {self._pace}")

    def done(self, note: str = "") -> None:
        """Write the line of the step."""
        if not self._label:
            return
        self._write(f"{self._label}: {self._pace.ended(note)}")
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
        self._label = self._name = ""
        self._pace = Pace()

    def step(self, name: str, of: str = "") -> None:
        """Show a moving line for the step."""
        self._drop()
        self._label = f"{of}: {name}" if of else name
        self._pace = Pace()
        self._bar.start()
        self._name = name
        self._task = self._bar.add_task(_escaped(self._label), total=None, count="")

    def expect(self, records: int) -> None:
        """Count towards it."""
        self._pace.total = records

    def advance(self, records: int, size_bytes: int = 0) -> None:
        """Move the count."""
        self._pace.add(records, size_bytes)
        if self._task is not None:
            count = str(self._pace)
            fits = len(self._label) + len(count) + _BESIDE <= self._console.width
            label = self._label if fits else self._name  # how far it is matters more than what of
            self._bar.update(self._task, description=_escaped(label), count=count)

    def done(self, note: str = "") -> None:
        """Replace the moving line by one that stays."""
        if self._task is None:
            return
        self._drop()
        told = _escaped(f"{self._label}: {self._pace.ended(note)}")
        self._console.print(f"[green]✓[/] {told}")

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
