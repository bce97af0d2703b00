"""A member's home: one folder with its settings, keys, store, quarantine, ledger copy and trust.

::

    bts.gov.example/
      zhixin.toml          settings (zhixin_gateway.settings)
      contracts/           what this member publishes, one ODCS file a dataset
      keys/                statement.pem, cosigner.pem, log.pem: mode 0600, folder 0700;
                           …-new.pem while a rotation is on its way (zhixin_gateway.keyring);
                           pseudonym-NAME: what pseudonyms are made with (.pseudonyms)
      store/               MEMBER/DATASET/NUMBER/: versions, own and fetched
      quarantine/          MEMBER/DATASET/NUMBER.parquet: rejects, for the steward alone
      staging/             MEMBER/DATASET/: what a run that has not ended has made so far
      ledger/              this member's own copy of the ledger
      trust/               members.json and policy.txt, pinned
      reports/             MEMBER/DATASET/: what the second opinion reported, for the steward alone
      runs/                MEMBER/DATASET.json: the last run's answer, without contents
      seen/                the last checkpoint of each ledger that `--ledger` showed
      erasing/             MEMBER/DATASET.json: versions that are being erased

A program works in one home and opens no other; ``file:`` transports of the ledger are the one
exception, and not here. What is heavy (ledger, trust) is imported when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from zhixin_errors import ConfigError

from zhixin_gateway.datasets.directory import write_whole
from zhixin_gateway.locking import locked
from zhixin_gateway.settings import (
    HOME_FORMAT,
    Settings,
    address_variable,
    format_settings,
    parse_settings,
    secret_from_environment,
    source_from_environment,
    with_environment,
)

if TYPE_CHECKING:
    from zhixin_connectors.protocol import Connector
    from zhixin_ledger.client import LedgerClient
    from zhixin_ledger.signers import Signer
    from zhixin_ledger.trust import Trust

    from zhixin_gateway.stores import LocalStore
    from zhixin_gateway.stores.objectstore import ObjectStore

__all__ = ["SETTINGS_FILE", "Home", "create_home"]

SETTINGS_FILE = "zhixin.toml"
STATEMENT_KEY = "statement.pem"
COSIGNER_KEY = "cosigner.pem"
LOG_KEY = "log.pem"


@dataclass(frozen=True)
class Home:
    """A home that was found and whose settings were read.

    Args:
        path: the folder, absolute.
        settings: what holds, the environment's word included.
        environ: where secrets stand.
        given_sources: addresses of sources that the caller gave, before all others.
        given_options: their options, a secret among them, before all others.
    """

    path: Path
    settings: Settings
    environ: Mapping[str, str]
    given_sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    given_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(
        cls,
        path: Path | str | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        sources: Mapping[str, str] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Home:
        """Find a home and read its settings.

        Args:
            path: the folder; ``ZHIXIN_HOME`` by default, else the working folder.
            environ: the environment; the process's by default.
            sources: addresses of sources by name, before all others: a scheduler's connections.
            options: their options by name.

        Raises:
            ConfigError: there is no home, or its settings are wrong.
        """
        environ = os.environ if environ is None else environ
        folder = Path(os.path.abspath(path or environ.get("ZHIXIN_HOME") or "."))  # noqa: PTH100
        file = folder / SETTINGS_FILE
        try:
            text = file.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ConfigError(
                f"{folder} is no member's home: it has no {SETTINGS_FILE}",
                hint=_way_home(folder),
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file} can't be read: it is not UTF-8") from error
        except OSError as error:
            raise ConfigError(f"{file} can't be read: {error.strerror}") from error
        filed = parse_settings(text, str(file))
        if not filed.needs_zhixin:
            upgrade(file, text)
        settings = with_environment(filed, environ)
        return cls(folder, settings, environ, dict(sources or {}), dict(options or {}))

    @property
    def member(self) -> str:
        """The member's name."""
        return self.settings.member

    def open_store(self) -> LocalStore | ObjectStore:
        """Open what holds the versions that this member has, its own and fetched ones."""
        from zhixin_gateway.stores import open_store

        return open_store(self.store_of(self.member), self.environ)

    @property
    def store(self) -> Path:
        """The folder of the versions that this member has.

        Raises:
            ConfigError: they lie in an object store.
        """
        folder = self.open_store().folder
        if folder is None:
            raise ConfigError(
                "the versions of this home lie in an object store, where this can't be done",
                code="store-remote",
                hint="docs/stores.md says what is done there by other means",
            )
        return folder

    @property
    def quarantine(self) -> Path:
        """The root of its rejects."""
        return self._folder(self.settings.quarantine, "quarantine")

    @property
    def staging(self) -> Path:
        """The root of what unfinished runs have made."""
        return self.path / "staging"

    @property
    def reports(self) -> Path:
        """The root of the second opinion's reports: for the steward alone."""
        return self.path / "reports"

    @property
    def ledger_dir(self) -> Path:
        """The folder of its copy of the ledger."""
        return self.path / "ledger"

    @property
    def trust_dir(self) -> Path:
        """The folder of the trust that it pinned."""
        return self.path / "trust"

    @property
    def keys_dir(self) -> Path:
        """The folder of its keys."""
        return self.path / "keys"

    def signer(self, name: str = STATEMENT_KEY) -> Signer:
        """Open a key of this home; while a new one waits, the one that is in force.

        Args:
            name: the file under ``keys/``.

        Raises:
            ConfigError: no such file, readable by others, or the password is missing or wrong.
        """
        from zhixin_ledger.signers import key_files

        path = self.keys_dir / name
        if key_files(path) in ([], [path]):
            return self.load_key(path)
        from zhixin_gateway.keyring import signer_in_force

        return signer_in_force(self, name)

    def load_key(self, path: Path) -> Signer:
        """Open a key file with this home's password.

        Args:
            path: the file.

        Raises:
            ConfigError: as ``signer``.
        """
        from zhixin_ledger.signers import load_signer

        password = self.password()
        if password is not None and not path.absolute().is_relative_to(self.keys_dir):
            with suppress(ConfigError):  # another home's on this machine, which may have none
                return load_signer(path)
        return load_signer(path, password)

    @property
    def ledger_url(self) -> str:
        """Where the ledger is reached; a `file:` URL is absolute.

        Raises:
            ConfigError: the settings name none.
        """
        if not self.settings.ledger_url:
            raise ConfigError(
                f"{self.path / SETTINGS_FILE} names no ledger: [ledger] url is missing",
                hint="`zhixin init MEMBER` makes a ledger of one, with --join it follows another",
            )
        return self.resolved(self.settings.ledger_url)

    def ledger_client(self) -> LedgerClient:
        """Open this member's view of the ledger that its settings name.

        Raises:
            ConfigError: the settings name none.
        """
        from zhixin_ledger.client import LedgerClient, WitnessUrl

        return LedgerClient.open(
            self.ledger_dir,
            self.ledger_url,
            [
                WitnessUrl(witness.name, self.resolved(witness.url))
                for witness in self.settings.witnesses
            ],
            load_key=self.load_key,
        )

    def ledger_view(self) -> LedgerClient | None:
        """This member's own copy as a source of standing; None where it has none yet."""
        if not self.settings.ledger_url:
            return None
        client = self.ledger_client()
        if client.state().size == 0 or not (self.ledger_dir / "checkpoint").is_file():
            return None
        return client

    def pinned_trust(self) -> Trust:
        """Read the trust that this home pinned.

        Raises:
            TrustError: there is none, or it contradicts itself.
        """
        from zhixin_ledger.trust import load_trust

        return load_trust(self.trust_dir)

    def find_pinned_trust(self) -> Trust | None:
        """Read the trust that this home pinned; None where it pinned none yet.

        Raises:
            TrustError: there is something in its place that can't be used.
        """
        return self.pinned_trust() if any(self.trust_dir.glob("*")) else None

    def trust(self) -> Trust:
        """The pinned trust, moved forward along this home's own replayed copy of the ledger.

        Keys that came and went since follow from entries that this home put through the rules
        itself. A copy that is not of the pinned ledger moves nothing: the gate will say `forked`.

        Raises:
            TrustError: there is no pinned trust, or it contradicts itself.
        """
        from zhixin_ledger.trust import trust_of

        pinned = self.pinned_trust()
        view = self.ledger_view()
        if view is None or view.origin != pinned.origin:
            return pinned
        state = view.state()
        if state.size <= pinned.size or view.root_at(pinned.size) != pinned.root:
            return pinned
        return trust_of(state) if state.sealed else pinned

    def source_url(self, name: str) -> str:
        """The address of a source.

        Args:
            name: as ``servers[0].server`` of a contract has it.

        Raises:
            ConfigError: neither settings nor environment know it.
        """
        url = (
            self.given_sources.get(name)
            or source_from_environment(name, self.environ)
            or self._from_here(self.settings.sources.get(name, ""))
        )
        if not url:
            raise ConfigError(
                f"source {name}: no address; there is {', '.join(self.settings.sources) or 'none'}",
                hint=f"set url in [sources.{name}] of {self.path / SETTINGS_FILE}, "
                f"or {address_variable(name)} in the environment",
            )
        return url

    def source_secret(self, name: str) -> str | None:
        """The password, token or key of a source; None where it has none."""
        return secret_from_environment(name, self.environ)

    def open_source(self, name: str, options: Mapping[str, Any] | None = None) -> Connector:
        """Open a source by its name; nothing is reached until it is used.

        Args:
            name: as ``servers[0].server`` of a contract has it.
            options: a contract's; they go before the source's own.

        Raises:
            ConfigError: nobody knows its address, or no connector reads such a one.
        """
        from zhixin_connectors.options import SECRET, Secret
        from zhixin_connectors.registry import open_source

        own: dict[str, Any] = dict(self.settings.source_options.get(name, {}))
        secret = self.source_secret(name)
        if secret is not None:
            own[SECRET] = Secret(secret)
        own |= self.given_options.get(name, {})
        merged = {**own, **(options or {})}
        return open_source(self.source_url(name), merged, name=name, folder=self.path)

    def store_of(self, member: str) -> str:
        """Where another member's versions lie: a path or URL of ``[stores]``, own store for own.

        Raises:
            ConfigError: ``[stores]`` does not name the member.
        """
        if member == self.member:
            return self._place(self.settings.store, "store")
        place = self.settings.stores.get(member)
        if not place:
            raise ConfigError(
                f"nobody says where the datasets of {member} lie",
                hint=f'set "{member}" = "PATH or URL" in [stores] of {self.path / SETTINGS_FILE}',
            )
        return self._place(place)

    def resolved(self, url: str) -> str:
        """Make a relative ``file:`` URL absolute: it is meant from this home."""
        if not url.startswith("file:") or url.startswith("file://"):
            return url
        return "file:" + quote(str((self.path / unquote(url.removeprefix("file:"))).resolve()))

    def save(self, settings: Settings) -> Home:
        """Write settings to this home's file, by one rename.

        Args:
            settings: all of them, without what the environment overrides.

        Returns:
            The home with these settings.
        """
        write_whole(self.path / SETTINGS_FILE, format_settings(settings).encode())
        return Home(self.path, with_environment(settings, self.environ), self.environ)

    def filed_settings(self) -> Settings:
        """The settings as the file has them, without the environment."""
        file = self.path / SETTINGS_FILE
        return parse_settings(file.read_text("utf-8"), str(file))

    def lock(self, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
        """Keep every other process of this home from the same work.

        Args:
            name: of the work, such as a dataset's name.
            wait: until the other one has ended; else refuse.

        Raises:
            ConfigError: another process is at it, or the system has no such locks.
        """
        return locked(self.staging, name, wait=wait)

    def _place(self, setting: str, default: str = "") -> str:
        if "://" in setting:
            return setting
        return str(self._folder(setting.removeprefix("file:"), default))

    def _folder(self, setting: str, default: str) -> Path:
        return (self.path / setting).resolve() if setting else self.path / default

    def _from_here(self, url: str) -> str:
        """A relative path in the settings is meant from this home."""
        head = "sqlite:///"
        if url.startswith(head) and not url.startswith((head + "/", head + ":")):
            return head + str(self.path / url.removeprefix(head))
        if url and ":" not in url and not url.startswith("/"):
            return str(self.path / url)
        return url

    def password(self) -> bytes | None:
        """The password of this home's keys, where they have one.

        Raises:
            ConfigError: the file that holds it can't be read.
        """
        file = self.environ.get("ZHIXIN_KEY_PASSWORD_FILE")
        if file:
            try:
                return Path(file).read_bytes().strip()
            except OSError as error:
                raise ConfigError(
                    f"ZHIXIN_KEY_PASSWORD_FILE names {file}, which can't be read"
                ) from error
        password = self.environ.get("ZHIXIN_KEY_PASSWORD")
        return password.encode() if password else None


def create_home(
    path: Path,
    member: str,
    titles: Mapping[str, str] | None = None,
    *,
    operator: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Home:
    """Make a home: folders, settings and new keys; no ledger yet.

    Args:
        path: the folder; may exist, but holds no home yet.
        member: the member's name.
        titles: by language tag, ``en`` and ``zh``; the name stands in where one is missing.
        operator: also a log key: this member will order the ledger's entries.
        environ: the environment; the process's by default.

    Returns:
        The home.

    Raises:
        ConfigError: there is a home already, or the folder can't be made.
        FormatError: the name is no member's.
    """
    from zhixin_ledger.names import check_member
    from zhixin_ledger.signers import generate_signer

    check_member(member, "member")
    path = path.absolute()
    if (path / SETTINGS_FILE).exists():
        raise ConfigError(f"{path} is a home already", hint="choose another folder by --home")
    titles = {tag: (titles or {}).get(tag, member) for tag in ("en", "zh")}
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name in ("keys", "quarantine", "staging", "ledger"):
            (path / name).mkdir(mode=0o700, exist_ok=True)
        for name in ("store", "trust", "contracts"):
            (path / name).mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} can't be made: {error.strerror}") from error
    environ = os.environ if environ is None else environ
    home = Home(path, Settings(member=member, titles=titles), environ)
    for key in (STATEMENT_KEY, COSIGNER_KEY, *((LOG_KEY,) if operator else ())):
        if not (home.keys_dir / key).exists():
            generate_signer(home.keys_dir / key, home.password())
    return home.save(home.settings)


def upgrade(file: Path, text: str) -> None:
    """Take a home of the release before into this one's form; safe to repeat.

    One line goes before the settings, whose comments stay: the release before refuses it by name,
    so that it does not work in a home whose databases it does not know. Databases are taken over
    when they are opened. A home that can't be written is read as it is.
    """
    with suppress(OSError):
        mode = file.stat().st_mode & 0o777
        write_whole(file, f'needs_zhixin = "{HOME_FORMAT}"\n{text}'.encode())
        file.chmod(mode)


def _way_home(folder: Path) -> str:
    """Name the homes nearby, for somebody who stands in the wrong folder."""
    near = [parent for parent in folder.parents if (parent / SETTINGS_FILE).is_file()][:1]
    with suppress(OSError):
        near += sorted(file.parent for file in folder.glob(f"*/{SETTINGS_FILE}"))
    if near:
        return (
            f"there is one in {' and '.join(map(str, near[:5]))}: name it by --home or ZHIXIN_HOME"
        )
    return "name one by --home or ZHIXIN_HOME, or make one with `zhixin init MEMBER`"
