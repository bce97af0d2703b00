"""Keys of pseudonyms: what turns a person's number into a text that only their holder can find.

::

    keys/pseudonym-citizen     64 hex digits, a newline; mode 0600
    pseudonym                  hex of HMAC-SHA-256(key, canonical text of the value)

A contract names a key, ``{pseudonym: citizen}``; the key stays in the home, and in its backups. Who
has it can try out values, so it is given to another member on purpose or not at all: two members
with one key get the same pseudonym for the same value, and can join on it. A key is never replaced:
a new one has a new name, and so a new contract.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from zhixin_errors import ConfigError
from zhixin_schemas.treatment import KEY_NAME

from zhixin_gateway.newfile import new_file

if TYPE_CHECKING:
    from zhixin_gateway.home import Home

__all__ = ["export_key", "import_key", "key_names", "load_key", "make_key", "pseudonym"]

_BYTES = 32
_PREFIX = "pseudonym-"
_FORM = re.compile(rb"[0-9a-f]{64}\n?")


def pseudonym(key: bytes, text: str) -> str:
    """The pseudonym of a value.

    Args:
        key: 32 bytes.
        text: the value's canonical text.
    """
    return hmac.digest(key, text.encode(), "sha256").hex()


def key_names(home: Home) -> list[str]:
    """Names of the keys that a home has, sorted."""
    found = (path.name.removeprefix(_PREFIX) for path in home.keys_dir.glob(f"{_PREFIX}*"))
    return sorted(name for name in found if KEY_NAME.fullmatch(name))


def make_key(home: Home, name: str) -> Path:
    """Make a key.

    Args:
        home: whose.
        name: as contracts say it.

    Returns:
        Its file.

    Raises:
        ConfigError: the name is none, or the home has such a key.
    """
    path = _path(home, name)
    _write(path, secrets.token_bytes(_BYTES), f"this home has a key {name} already")
    return path


def load_key(home: Home, name: str) -> bytes:
    """Give a key's 32 bytes.

    Args:
        home: whose.
        name: as contracts say it.

    Raises:
        ConfigError: ``pseudonym-key``: the home has none, or its file is not as it must be.
    """
    path = _path(home, name)
    if not path.exists():
        raise ConfigError(
            f"this home has no key {name}, which a contract's pseudonyms are made with",
            code="pseudonym-key",
            hint=f"make one with `zhixin pseudonym make {name}`, or bring in another member's, or "
            "a backup's, with `zhixin pseudonym import`",
        )
    return _read(path)


def export_key(home: Home, name: str, file: Path) -> None:
    """Write a key to a file for another member: mode 0600, never over another file.

    Raises:
        ConfigError: there is no such key, or the file can't be made.
    """
    _write(file, load_key(home, name), f"{file} is there already")


def import_key(home: Home, name: str, file: Path) -> None:
    """Take a key in that another member, or this home, exported.

    Raises:
        ConfigError: the file is open to others or holds no key, or the home has another key of
            that name, which is never replaced.
    """
    key, path = _read(file), _path(home, name)
    if path.exists() and _read(path) == key:
        return
    _write(path, key, f"this home has another key {name}, and a key is never replaced")


def _path(home: Home, name: str) -> Path:
    if not KEY_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name of a key: lowercase letters, digits and -, first a letter"
        )
    return home.keys_dir / f"{_PREFIX}{name}"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(1024)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror}", code="pseudonym-key"
        ) from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"the key {path} is open to others (mode {stat.S_IMODE(mode):04o})",
            code="pseudonym-key",
            hint=f"chmod 600 {path}",
        )
    if not _FORM.fullmatch(data):
        raise ConfigError(f"{path} is no pseudonym key: 64 hex digits", code="pseudonym-key")
    return bytes.fromhex(data.decode().strip())


def _write(path: Path, key: bytes, taken: str) -> None:
    with new_file(path, taken) as file:
        file.write(key.hex().encode() + b"\n")
