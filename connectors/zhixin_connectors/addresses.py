"""Addresses of the web: joined, compared and given parameters, without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote_plus, urljoin, urlsplit

__all__ = ["joined", "origin", "with_parameters"]


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL; what a secret is bound to.

    One with a login in it has none: that login would be sent instead of the source's.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0
    if "@" in parts.netloc:
        return "", "", 0
    return parts.scheme.lower(), (parts.hostname or "").lower(), port


def joined(base: str, link: str) -> str:
    """Where a link of an answer leads; empty, and so of no origin, if it is no address."""
    try:
        return urljoin(base, link)
    except ValueError:
        return ""


def with_parameters(url: str, values: Mapping[str, str | None]) -> str:
    """A URL with parameters set, each once, and the others as they were; None takes one out."""
    base, _, query = url.partition("?")
    kept = [
        each
        for each in query.split("&")
        if each and unquote_plus(each.partition("=")[0]) not in values
    ]
    added = [
        f"{quote(name, safe='$[]')}={quote(value, safe='')}"
        for name, value in values.items()
        if value is not None
    ]
    return f"{base}?{'&'.join([*kept, *added])}" if kept or added else base
