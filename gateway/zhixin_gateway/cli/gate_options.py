"""The options of every command that goes through the gate: whom to trust, how fresh, by what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.options import Duration

if TYPE_CHECKING:
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.home import Home
    from zhixin_gateway.opening import Judging

__all__ = ["GateOptions", "find_trust", "gate_options", "trust_option"]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class GateOptions:
    """What was given on the command line; what a command does not have stays as here.

    Attributes:
        trust_dir: a pinned trust's folder.
        max_age: how old a standing, or without one the receipt, may be.
        standings: standing files.
        ledger_url: a ledger to ask now.
        strict_inputs: a withdrawn input refuses, and so does one without a standing.
        current_keys: cosigner keys that have ended since do not count.
        require_standing: refuse where standing can't be judged.
    """

    trust_dir: Path | None = None
    max_age: dt.timedelta | None = None
    standings: Sequence[Path] = field(default=())
    ledger_url: str | None = None
    strict_inputs: bool = False
    current_keys: bool = False
    require_standing: bool = False

    def trust(self, home: Home | None) -> Trust:
        """Read the trust that ``--trust`` names, else the home's; see `find_trust`."""
        return find_trust(home, self.trust_dir)

    def judging(self, home: Home | None, trust: Trust, path: Path | str | None = None) -> Judging:
        """By what standing is judged.

        What was named; else the home's copy of the ledger; where there is neither, the standing
        files that lie beside a version's directory.

        Args:
            home: the home, if there is one.
            trust: what is trusted.
            path: the version's directory or address, where there is one.

        Raises:
            ConfigError: the URL of ``--ledger`` can't be used.
        """
        from zhixin_gateway.opening import Judging, claim_source, ledger_copy
        from zhixin_gateway.standing_file import find_beside

        asked = claim_source(self.ledger_url, home, trust)
        view = None if asked is not None else ledger_copy(home, trust)
        found: Sequence[Path] = ()
        if path is not None and asked is None and view is None and not self.standings:
            found = find_beside(path)
        return Judging(
            max_age=self.max_age,
            standings=self.standings or found,
            ledger_copy=view,
            ledger=asked,
            strict_inputs=self.strict_inputs,
            current_keys=self.current_keys,
            require_standing=self.require_standing,
            beside=bool(found),
        )


def find_trust(home: Home | None, trust_dir: Path | None) -> Trust:
    """Read the trust that ``--trust`` names, else the home's.

    Args:
        home: the home, if there is one.
        trust_dir: what ``--trust`` says.

    Raises:
        ConfigError: neither is there.
        TrustError: it can't be used.
    """
    from zhixin_ledger.trust import load_trust

    if trust_dir is not None:
        return load_trust(trust_dir)
    if home is None:
        raise ConfigError(
            "nothing says whom to trust",
            hint="give --trust DIR, what its owner exported and whose fingerprint you compared",
        )
    return home.trust()


trust_option = click.option(
    "--trust",
    "trust_dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The pinned trust; the home's by default.",
)

_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "trust_dir": trust_option,
    "max_age": click.option(
        "--max-age", type=Duration(), help="Refuse what was confirmed longer ago: 12h, 7d."
    ),
    "standings": click.option(
        "--standing",
        "standings",
        metavar="FILE",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A standing file: the version's, or an input's; may be repeated.",
    ),
    "ledger_url": click.option(
        "--ledger",
        "ledger_url",
        metavar="DIR|URL",
        help="Ask this ledger, or a mirror of it, what stands now.",
    ),
    "strict_inputs": click.option(
        "--strict-inputs", is_flag=True, help="Refuse a version with a withdrawn input."
    ),
    "current_keys": click.option(
        "--current-keys", is_flag=True, help="Count no cosigner key that has ended since."
    ),
    "require_standing": click.option(
        "--require-standing", is_flag=True, help="Refuse where standing can't be judged."
    ),
}


def gate_options(*, without: Sequence[str] = ()) -> Callable[[Command], Command]:
    """Add the options to a command, which takes them as one ``judged: GateOptions``.

    Args:
        without: fields of `GateOptions` that the command does not have.
    """
    names = [item.name for item in fields(GateOptions) if item.name not in without]

    def add(command: Command) -> Command:
        @wraps(command)
        def called(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - any command's
            given = {name: options.pop(name) for name in names}
            return command(*args, judged=GateOptions(**given), **options)

        made: Any = called
        for name in reversed(names):
            made = _OPTIONS[name](made)
        whole: Command = made
        return whole

    return add
