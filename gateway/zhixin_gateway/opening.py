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
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from zhixin_errors import ConfigError, FormatError, VerificationError

from zhixin_gateway.standing_file import find_beside
from zhixin_gateway.stores import Place, is_url

if TYPE_CHECKING:
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.gate import VerifiedDataset
    from zhixin_gateway.gate.standing import ClaimSource, LedgerView
    from zhixin_gateway.home import Home

__all__ = ["Judging", "claim_source", "ledger_copy", "open", "open_version"]


class Judging(TypedDict):
    """By what the gate judges standing, as its functions take it by name."""

    max_age: dt.timedelta | None
    standings: Sequence[Path]
    ledger_copy: LedgerView | None
    ledger: ClaimSource | None
    strict_inputs: bool
    current_keys: bool
    require_standing: bool
    beside: bool


def open(
    name: str | Path,
    *,
    home: Home | Path | str | None = None,
    trust: Trust | Path | str | None = None,
    expect: str | None = None,
    max_age: dt.timedelta | None = None,
    standings: Sequence[Path | str] = (),
    ledger: str | None = None,
    strict_inputs: bool = False,
    current_keys: bool = False,
    deep: bool = False,
    unsafe_no_standing: bool = False,
    streaming: bool = False,
    threads: int | None = None,
) -> VerifiedDataset:
    """Open a dataset: verified, or refused.

    Whether it stands is judged by ``ledger`` or ``standings``, else by the home's own copy of the
    ledger; where there is none, by the standing files that lie beside the directory, but only where
    ``max_age`` says how old they may be: who gave the directory gave these too.

    Args:
        name: ``MEMBER/DATASET[@N]``, found in the home's store or fetched by its ``[stores]``; or
            the path of a version's directory, or its address in an object store.
        home: the home; ``ZHIXIN_HOME`` or the working folder by default. A path with a ``trust``
            needs none.
        trust: a pinned trust, or its folder; the home's by default.
        expect: for a path, which version it must be.
        max_age: how old a standing may be.
        standings: standing files: the version's, and its inputs'.
        ledger: the URL of a ledger, or of a mirror of it, that is asked what stands now.
        strict_inputs: a withdrawn input refuses, and so does one without a standing.
        current_keys: cosigner keys that have ended since do not count.
        deep: recompute every record's hash first.
        unsafe_no_standing: read though nothing tells whether the version was withdrawn since.
        streaming: judge each part as it is read. All that needs no part is judged now; records of a
            part are given once it held, so that the first are there before the last part is read,
            and a part that fails raises after records of others were given.
        threads: how many parts are verified at once; None: as many as there are cores.

    Returns:
        The only kind of object that yields data.

    Raises:
        VerificationError: the gate refused; ``code`` says why.
        ConfigError: there is no home, no trust, or no such dataset.
        LedgerUnavailable: ``ledger`` can't be reached.
    """
    from zhixin_ledger.trust import Trust, load_trust

    from zhixin_gateway.gate.reader import open_version as open_path

    pinned = trust if isinstance(trust, Trust) or trust is None else load_trust(Path(trust))
    found = _home(home, needed=pinned is None)
    path = _path(name)
    if path is None:
        if found is None:
            raise ConfigError(
                f"{name} is a name, which only a home can find",
                hint="give home=… or set ZHIXIN_HOME",
            )
        path, expect = _find(found, str(name))
    if expect is None:
        expect = _expected(path)
    if pinned is None:
        pinned = _needed(found).trust()
    asked = claim_source(ledger, found, pinned)
    named = [Path(item) for item in standings]
    view = None if asked is not None else ledger_copy(found, pinned)
    beside = [] if asked is not None or named or view is not None else find_beside(path)
    try:
        return open_path(
            path,
            pinned,
            expect=expect,
            ledger_copy=view,
            ledger=asked,
            standings=named or (beside if max_age is not None else []),
            beside=bool(beside),
            max_age=max_age,
            strict_inputs=strict_inputs,
            current_keys=current_keys,
            deep=deep,
            unsafe_no_standing=unsafe_no_standing,
            streaming=streaming,
            threads=threads,
        )
    except VerificationError as error:
        if error.code == "stale" and beside and max_age is None:
            error.hint = (
                f"{beside[0].name} lies beside it: say how old it may be by max_age=timedelta(…), "
                "on the command line --max-age 7d"
            )
        raise


def ledger_copy(home: Home | None, trust: Trust) -> LedgerClient | None:
    """The home's copy of the ledger as a source of standing, if it is of the trust's ledger."""
    view = None if home is None else home.ledger_view()
    return view if view is not None and view.origin == trust.origin else None


def claim_source(url: str | None, home: Home | None, trust: Trust) -> ClaimSource | None:
    """A ledger to ask now, where one is named.

    Args:
        url: the ledger's; None: none is asked.
        home: who asks, if it has a home.
        trust: what is trusted.

    Raises:
        ConfigError: the URL can't be used.
    """
    if url is None:
        return None
    from zhixin_gateway.online import ask

    return ask(url, home, ledger_copy(home, trust))


def open_version(home: Home, dataset: str, version: int) -> VerifiedDataset:
    """Open a version that lies in a home's store.

    Args:
        home: the home.
        dataset: ``member/name``.
        version: its number.

    Raises:
        VerificationError: the gate refused; ``code`` says why.
    """
    from zhixin_gateway.gate.reader import open_version as open_path

    return open_path(
        home.open_store().place(dataset, version),
        home.trust(),
        expect=f"{dataset}@{version}",
        ledger_copy=home.ledger_view(),
    )


def _home(home: Home | Path | str | None, *, needed: bool) -> Home | None:
    from zhixin_gateway.home import SETTINGS_FILE, Home

    if isinstance(home, Home):
        return home
    try:
        return Home.open(home)
    except ConfigError:
        meant = os.environ.get("ZHIXIN_HOME") or Path(SETTINGS_FILE).exists()
        if home is not None or (needed and meant):
            raise
        return None


def _needed(home: Home | None) -> Home:
    if home is None:
        raise ConfigError(
            "there is no home and no trust", hint="give home=…, or trust=… with a path"
        )
    return home


def _path(name: str | Path) -> Place | None:
    """The path or address that was meant, or None where a dataset's name was."""
    if isinstance(name, Path) or is_url(name):
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


def _find(home: Home, name: str) -> tuple[Place, str]:
    from zhixin_gateway.fetching import fetch, parse_name, wanted_version
    from zhixin_gateway.pipeline.notarising import known_state

    dataset, version = parse_name(name)
    version = wanted_version(known_state(home.ledger_client()), dataset, version)
    store = home.open_store()
    if not store.is_there(dataset, version):
        fetch(home, dataset, version)
    return store.place(dataset, version), f"{dataset}@{version}"


def _expected(path: Place) -> str:
    """What a path or address that ends in member/dataset/number asks for."""
    parts = Path(path.partition("?")[0] if isinstance(path, str) else path).absolute().parts
    if len(parts) > 3 and parts[-1].isdecimal():
        return f"{parts[-3]}/{parts[-2]}@{parts[-1]}"
    if isinstance(path, Path) and not path.exists():
        raise ConfigError(
            f"{path} is neither MEMBER/DATASET[@N] nor the folder of a version",
            hint="`zhixin ls` shows what there is",
        )
    raise ConfigError(
        f"{path} does not say which version it should be",
        hint="give expect='MEMBER/DATASET@N'; on the command line --expect MEMBER/DATASET@N",
    )
