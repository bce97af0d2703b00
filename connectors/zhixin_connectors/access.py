"""How a source over HTTP is reached: what ``[sources.X]`` may say beside its ``url``.

::

    auth = "bearer"          the secret as a token; "basic" with ``user``; "oauth" with client_id
    user = "reader"          "header" or "query": the secret under the name ``key_name``
    token_url = "https://…"  where OAuth's client credentials become a token; and ``scope``
    ca_file = "/etc/…pem"    certificates to trust besides the system's
    timeout_s = 30           of one answer, from the last byte that was sent
    tries = 5, retry_s = 120 of one request: how often, and how long all its waits may be
    max_pages = 10000, max_page_mib = 64
    clear_text = true        a secret may go over plain http; otherwise to this machine alone

None of these may stand in a contract: it travels, and would choose where a secret is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from zhixin_errors import ConfigError

from zhixin_connectors.options import SECRET, Secret, flag, number, one_of

__all__ = ["ACCESS_NAMES", "Access", "secret_parameter", "split_access"]

_SECRET = re.compile(
    r"(?:api|access|subscription|auth)[_.-]?key|(?:access|api|auth)?[_.-]?token|passw(?:or)?d|pwd|secret|"
    r"client[_-]?secret|sig(?:nature)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Access:
    """What passed :func:`split_access`."""

    auth: str = ""
    user: str = ""
    key_name: str = ""
    token_url: str = ""
    client_id: str = ""
    scope: str = ""
    ca_file: str = ""
    timeout_s: int = 30
    tries: int = 5
    retry_s: int = 120
    max_pages: int = 10_000
    max_page_mib: int = 64
    clear_text: bool = False
    secret: str = field(default="", repr=False)


ACCESS_NAMES = frozenset(each.name for each in fields(Access))


def split_access(options: Mapping[str, Any]) -> tuple[Access, dict[str, Any]]:
    """Take what concerns access out of a source's own options.

    Returns:
        it, and the other options.

    Raises:
        ConfigError: a value is of the wrong kind; names the option, never its value.
    """
    names = ACCESS_NAMES & set(options)
    read = {name: _READERS[name](name, options[name]) for name in names}
    return Access(**read), {name: value for name, value in options.items() if name not in names}


def secret_parameter(address: str) -> str:
    """The parameter of an address whose name says that its value is a secret; empty if none."""
    query = address.partition("?")[2].partition("#")[0]
    names = [unquote_plus(each.partition("=")[0]) for each in query.split("&")]
    return next((name for name in names if _SECRET.fullmatch(name)), "")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or any(ord(character) < 32 for character in value):
        raise ConfigError(f"{name} must be a text of one line")
    return value


def _token_url(name: str, value: object) -> str:
    url = _text(name, value)
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        known = known and "@" not in parts.netloc
    except ValueError:  # such as a port that is no number
        known = False
    if not known or secret_parameter(url):
        raise ConfigError(
            f"{name} must be the address of a server, without a login or a key in it",
            hint="the secret of the source is what is sent there",
        )
    return url


def _secret(name: str, value: object) -> str:
    text = _text(name, value)
    if not text.isprintable():
        raise ConfigError("the secret holds characters that can't be sent")
    return Secret(text)


_READERS: dict[str, Callable[[str, object], Any]] = {
    "auth": one_of("basic", "bearer", "oauth", "header", "query"),
    SECRET: _secret,
    "clear_text": flag,
    "token_url": _token_url,
    **dict.fromkeys(("user", "key_name", "client_id", "scope", "ca_file"), _text),
    **dict.fromkeys(
        ("timeout_s", "tries", "retry_s", "max_pages", "max_page_mib"), number(1, 999_999)
    ),
}
