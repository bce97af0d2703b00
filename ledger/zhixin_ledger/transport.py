"""How a member reaches the ledger and its witnesses: by URL.

::

    https://ledger.gov.example  a log or a witness that is served (http/client.py)
    file:../bts.gov.example     another member's home on this machine

`file:` serves one machine: a trial, the demo. It is the one place where another member's home is
opened, and only so far: the operator's `log/` and `keys/log.pem`, and a cosigning member's
`ledger/` and `keys/cosigner.pem`, by that member's own witness code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from zhixin_errors import ConfigError, LedgerUnavailable

from zhixin_ledger.embedded import Engine
from zhixin_ledger.gathering import WitnessTransport
from zhixin_ledger.mirror import DATABASE, Mirror
from zhixin_ledger.note import Note
from zhixin_ledger.signers import Signer, key_files, load_signer
from zhixin_ledger.steps import Clock, Hook, no_hook
from zhixin_ledger.tiles import DirectorySource, TileSource
from zhixin_ledger.witness import Witness

__all__ = [
    "COSIGNER_KEY",
    "LOG_FOLDER",
    "LOG_KEY",
    "MIRROR_FOLDER",
    "FileLog",
    "FileWitness",
    "LogTransport",
    "Means",
    "WitnessUrl",
    "file_path",
    "is_http",
    "load_keys",
    "open_log",
    "open_witness",
]

LOG_FOLDER = "log"
MIRROR_FOLDER = "ledger"
LOG_KEY = Path("keys") / "log.pem"
COSIGNER_KEY = Path("keys") / "cosigner.pem"

LoadKey = Callable[[Path], Signer]


@dataclass(frozen=True, slots=True)
class Means:
    """What every transport in process needs.

    Args:
        clock: gives aware times.
        load_key: opens a key file.
        hook: called with the name of each step just before it.
    """

    clock: Clock
    load_key: LoadKey = load_signer
    hook: Hook = no_hook


@dataclass(frozen=True, slots=True)
class WitnessUrl:
    """A cosigning member, and where its witness is reached."""

    name: str
    url: str


class LogTransport(Protocol):
    """How the log is reached."""

    @property
    def source(self) -> TileSource:
        """Where checkpoint, tiles and entries are read."""

    def submit(self, data: bytes) -> int:
        """Bring an envelope in; durable when its index is given."""

    def settle(self, size: int = 0, *, refresh: bool = False, timeout_s: float = 30) -> Note:
        """Have a checkpoint published that covers `size` entries; 0: all that are durable.

        Raises:
            LedgerUnavailable: the quorum is missing, or the log can't be reached.
        """

    def close(self) -> None:
        """Let go of it."""


class FileLog:
    """The log in an operator's home on this machine.

    Args:
        home: the operator's home.
        witnesses: who cosigns.
        means: clock, keys, hook.
    """

    def __init__(self, home: Path, witnesses: Sequence[WitnessTransport], means: Means) -> None:
        self._home = home
        self._witnesses = witnesses
        self._means = means
        self._engine: Engine | None = None
        self.source = DirectorySource(home / LOG_FOLDER)

    def submit(self, data: bytes) -> int:
        """See LogTransport."""
        return self._opened().submit(data)

    def settle(self, size: int = 0, *, refresh: bool = False, timeout_s: float = 30) -> Note:
        """See LogTransport; who brings an idle ledger up to date has it cosigned again as well."""
        engine = self._opened()
        refresh = refresh or (not size and engine.is_idle())
        return engine.publish(self._witnesses, size=size, refresh=refresh, timeout_s=timeout_s)

    def close(self) -> None:
        """See LogTransport."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _opened(self) -> Engine:
        if self._engine is None:
            folder = self._home / LOG_FOLDER
            if not folder.is_dir():
                raise LedgerUnavailable(
                    f"there is no ledger in {self._home}",
                    code="ledger-missing",
                    hint="the URL in `[ledger]` names the home of the member that operates it",
                )
            first, *_ = key_files(self._home / LOG_KEY) or [self._home / LOG_KEY]
            self._engine = Engine(
                folder,
                self._means.load_key(first),
                clock=self._means.clock,
                hook=self._means.hook,
                later=lambda: load_keys(self._home / LOG_KEY, self._means.load_key),
            )
        return self._engine


class FileWitness:
    """The witness of a member whose home is on this machine.

    Args:
        name: the member's name.
        home: its home.
        source: where it fetches the log's entries.
        means: clock, keys, hook.
    """

    def __init__(self, name: str, home: Path, source: TileSource, means: Means) -> None:
        self._name = name
        self._home = home
        self._source = source
        self._means = means
        self.peers: Sequence[WitnessTransport] = ()
        """Other members' witnesses, whom it asks where its copy was put back."""

    @property
    def name(self) -> str:
        """The member's name."""
        return self._name

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        """See WitnessTransport."""
        if not self._home.is_dir():
            raise LedgerUnavailable(f"the home of {self._name} is not there")
        signers = load_keys(self._home / COSIGNER_KEY, self._means.load_key)
        mirror = Mirror(self._home / MIRROR_FOLDER, hook=self._means.hook)
        try:
            witness = Witness(
                self._name, mirror, signers, self._source, self._means.clock, self.peers
            )
            return witness.add_checkpoint(old_size, proof, note)
        finally:
            mirror.close()

    def latest(self, origin: str) -> bytes | None:
        """See WitnessTransport."""
        if not self._home.is_dir():
            raise LedgerUnavailable(f"the home of {self._name} is not there")
        if not (self._home / MIRROR_FOLDER / DATABASE).is_file():
            return None
        mirror = Mirror(self._home / MIRROR_FOLDER)
        try:
            return mirror.cosigned_note() if mirror.origin == origin else None
        finally:
            mirror.close()


def is_http(url: str) -> bool:
    """Say whether a URL names what is served, not what lies on this machine."""
    return url.partition(":")[0].lower() in ("http", "https")


def load_keys(path: Path, load_key: LoadKey) -> list[Signer]:
    """Open a key's file and those that are to follow it, at least one.

    Raises:
        ConfigError: there is none, or one can't be opened.
    """
    return [load_key(file) for file in key_files(path) or [path]]


def file_path(url: str, base: Path) -> Path:
    """Give the folder that a `file:` URL names.

    Args:
        url: `file:relative/path`, `file:/absolute` or `file:///absolute`, percent-encoded.
        base: the folder that a relative one starts from: the member's home.

    Raises:
        ConfigError: another scheme or a host.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # such as half an IPv6 address
        parts = urlsplit("")
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path:
        raise ConfigError(
            f"{url} can't be reached: want an http: or https: URL, or a file: URL of this "
            "machine, such as file:../bts.gov.example"
        )
    return base / unquote(parts.path)


def open_witness(
    witness: WitnessUrl, base: Path, source: TileSource, means: Means
) -> WitnessTransport:
    """Give the transport to a witness.

    Raises:
        ConfigError: a URL that can't be reached.
    """
    if is_http(witness.url):
        from zhixin_ledger.http.client import HttpWitness

        return HttpWitness(witness.name, witness.url)
    return FileWitness(witness.name, file_path(witness.url, base), source, means)


def open_log(url: str, witnesses: Sequence[WitnessUrl], base: Path, means: Means) -> LogTransport:
    """Give the transport to a log; one that is served asks its witnesses itself.

    Raises:
        ConfigError: a URL that can't be reached.
    """
    if is_http(url):
        from zhixin_ledger.http.client import HttpLog

        return HttpLog(url)
    home = file_path(url, base)
    source = DirectorySource(home / LOG_FOLDER)
    asked = [open_witness(witness, base, source, means) for witness in witnesses]
    for witness in asked:
        if isinstance(witness, FileWitness):
            witness.peers = asked
    return FileLog(home, asked, means)
