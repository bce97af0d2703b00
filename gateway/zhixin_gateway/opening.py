"""The consumer's five lines: a dataset's name in, verified data out.

::

    import zhixin_gateway as zhixin

    flights = zhixin.open("bts.gov.example/flights")        # newest standing version, verified
    flights.to_pandas()

What is not in the home's store yet is fetched by its ``[stores]``. Nothing here can be told to skip
the verification; what can be told is said by its name, ``unsafe_no_standing``.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError, FormatError

from zhixin_gateway.home import Home

if TYPE_CHECKING:
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.gate import VerifiedDataset

__all__ = ["open", "open_version"]


def open(
    name: str | Path,
    *,
    home: Home | Path | str | None = None,
    trust: Trust | Path | str | None = None,
    expect: str | None = None,
    max_age: dt.timedelta | None = None,
    deep: bool = False,
    unsafe_no_standing: bool = False,
) -> VerifiedDataset:
    """Open a dataset: verified, or refused.

    Args:
        name: ``MEMBER/DATASET[@N]``, found in the home's store or fetched by its ``[stores]``; or
            the path of a version's directory.
        home: the home; ``ZHIXIN_HOME`` or the working folder by default. A path with a ``trust``
            needs none.
        trust: a pinned trust, or its folder; the home's by default.
        expect: for a path, which version it must be.
        max_age: how old a standing may be.
        deep: recompute every record's hash first.
        unsafe_no_standing: read though nothing tells whether the version was withdrawn since.

    Returns:
        The only kind of object that yields data.

    Raises:
        VerificationError: the gate refused; ``code`` says why.
        ConfigError: there is no home, no trust, or no such dataset.
    """
    from zhixin_ledger.trust import Trust, load_trust

    from zhixin_gateway.gate.reader import open_version as open_path

    pinned = trust if isinstance(trust, Trust) or trust is None else load_trust(Path(trust))
    found = _home(home, needed=pinned is None)
    path = _path(name)
    if path is None:
        if found is None:
            raise ConfigError(f"{name} is a name, which only a home can find", hint="give home=…")
        path, expect = _find(found, str(name))
    if expect is None:
        expect = _expected(path)
    if pinned is None:
        pinned = _needed(found).trust()
    view = None if found is None else found.ledger_view()
    return open_path(
        path,
        pinned,
        expect=expect,
        ledger_copy=view if view is None or view.origin == pinned.origin else None,
        max_age=max_age,
        deep=deep,
        unsafe_no_standing=unsafe_no_standing,
    )


def open_version(home: Home, dataset: str, version: int) -> VerifiedDataset:
    """Open a version that lies in a home's store.

    Args:
        home: the home.
        dataset: ``member/name``.
        version: its number.

    Raises:
        VerificationError: the gate refused; ``code`` says why.
    """
    from zhixin_gateway.datasets.directory import version_path
    from zhixin_gateway.gate.reader import open_version as open_path

    return open_path(
        version_path(home.store, dataset, version),
        home.trust(),
        expect=f"{dataset}@{version}",
        ledger_copy=home.ledger_view(),
    )


def _home(home: Home | Path | str | None, *, needed: bool) -> Home | None:
    if isinstance(home, Home):
        return home
    try:
        return Home.open(home)
    except ConfigError:
        if needed or home is not None:
            raise
        return None


def _needed(home: Home | None) -> Home:
    if home is None:
        raise ConfigError("there is no home and no trust", hint="give home=… or trust=…")
    return home


def _path(name: str | Path) -> Path | None:
    """The path that was meant, or None where a dataset's name was."""
    if isinstance(name, Path):
        return name
    looks_like_path = name.startswith((".", "/", "~")) or not _is_name(name)
    return Path(name).expanduser() if looks_like_path else None


def _is_name(text: str) -> bool:
    from zhixin_ledger.names import check_dataset

    try:
        check_dataset(text.partition("@")[0], "the name")
    except FormatError:
        return False
    return True


def _find(home: Home, name: str) -> tuple[Path, str]:
    from zhixin_gateway.fetching import fetch, newest_standing, parse_name
    from zhixin_gateway.pipeline.notarising import known_state
    from zhixin_gateway.progress import NullProgress

    dataset, version = parse_name(name)
    state = known_state(home.ledger_client(), NullProgress())
    version = version or newest_standing(state, dataset)
    if version is None:
        raise ConfigError(
            f"{dataset} has no version that stands",
            code="no-version",
            hint="`zhixin ls` shows what can be had",
        )
    from zhixin_gateway.datasets.directory import version_path

    path = version_path(home.store, dataset, version)
    if not path.exists():
        path = fetch(home, dataset, version).path
    return path, f"{dataset}@{version}"


def _expected(path: Path) -> str:
    """What a path that ends in member/dataset/number asks for."""
    parts = path.absolute().parts
    if len(parts) > 3 and parts[-1].isdecimal():
        return f"{parts[-3]}/{parts[-2]}@{parts[-1]}"
    if not path.exists():
        raise ConfigError(
            f"{path} is neither MEMBER/DATASET[@N] nor the folder of a version",
            hint="`zhixin ls` shows what there is",
        )
    raise ConfigError(
        f"{path} does not say which version it should be",
        hint="give expect='MEMBER/DATASET@N'; on the command line --expect MEMBER/DATASET@N",
    )
