"""Problem documents: an error of ours as an HTTP answer, and back (RFC 9457).

::

    HTTP/1.1 422 Unprocessable Content
    content-type: application/problem+json

    {"type":"urn:zhixin:error:version-order","title":"the ledger's rules refuse the entry",
     "status":422,"detail":"version 3 does not follow 1","code":"version-order"}

`code` is the error's, `detail` its sentence, `hint` the way out where there is one; the error's
further details stand beside them. Never contents of a record, never a secret, never a traceback.

Pure: neither a server nor a client is imported here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from zhixin_errors import (
    ConfigError,
    FormatError,
    LedgerError,
    LedgerRefused,
    LedgerUnavailable,
    ZhixinError,
)

__all__ = [
    "CONTENT_TYPE",
    "LOG_STATUS",
    "SIZE_TYPE",
    "TYPE_PREFIX",
    "Problem",
    "error_of",
    "may_pass",
    "members_of",
    "problem_of",
]

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:zhixin:error:"
SIZE_TYPE = "text/x.tlog.size"
"""What C2SP tlog-witness answers with 409 in a problem's stead: the size that was cosigned last."""
RETRY_AFTER_S = 1
_MAX_DETAIL_CHARS = 2000
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_RESERVED = {"type", "title", "status", "detail", "code", "hint"}

LOG_STATUS: Mapping[str, int] = {
    "malformed": 400,
    "unknown-signer": 403,
    "signature": 403,
    "owner": 403,
    "not-found": 404,
    "method": 405,
    "slow": 408,
    "too-large": 413,
    "overloaded": 429,
    "rate": 429,
    "headers-too-large": 431,
    "internal": 500,
}
"""Codes with a status of their own; every other refusal is 422, whatever can't be had now 503."""

_RETRY = {429, 503}


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that says what is wrong.

    Args:
        status: of HTTP.
        code: the error's stable name.
        detail: one sentence.
        hint: the way out, where there is one.
        retry_after_s: when to try again, where that helps.
        members: further members of the document; JSON values.
    """

    status: int
    code: str
    detail: str
    hint: str | None = None
    retry_after_s: int | None = None
    members: Mapping[str, object] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The document."""
        told: dict[str, object] = {
            "type": TYPE_PREFIX + self.code,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.hint:
            told["hint"] = self.hint
        extra = {name: value for name, value in self.members.items() if name not in _RESERVED}
        return json.dumps({**told, **extra}, ensure_ascii=False).encode()

    @property
    def headers(self) -> dict[str, str]:
        """Its header fields; no cache may keep it."""
        made = {"content-type": CONTENT_TYPE, "cache-control": "no-store"}
        if self.retry_after_s is not None:
            made["retry-after"] = str(self.retry_after_s)
        return made


def problem_of(error: ZhixinError, table: Mapping[str, int] = LOG_STATUS) -> Problem:
    """Give the answer that tells of an error.

    Args:
        error: of ours.
        table: status by the error's code, before the general rule.

    Returns:
        The problem; a fault of this server's own set-up does not show what it is.
    """
    if isinstance(error, ConfigError):
        return Problem(500, "internal", "this server is not set up as it must be")
    status = table.get(error.code, _general(error))
    return Problem(
        status,
        error.code,
        error.message,
        error.hint,
        RETRY_AFTER_S if status in _RETRY else None,
        error.details,
    )


def _general(error: ZhixinError) -> int:
    if isinstance(error, FormatError):
        return 400
    if isinstance(error, LedgerUnavailable):
        return 503
    return 422 if isinstance(error, LedgerRefused) else 500


def may_pass(status: int) -> bool:
    """Say whether asking again may help: too early, too slow, too much, or a server's own fault."""
    return status in {408, 425, 429} or (status >= 500 and status != HTTPStatus.NOT_IMPLEMENTED)


def error_of(status: int, body: bytes, what: str) -> LedgerError:
    """Give the error that an answer tells of: what `problem_of` made, or a stranger's.

    Args:
        status: 400 or above.
        body: the answer's, read up to some limit.
        what: names the server for people.

    Returns:
        `LedgerRefused` for what will be refused again, `LedgerUnavailable` for what may pass later.
    """
    told = members_of(body)
    known = told.get("code")
    code = known if isinstance(known, str) and _CODE.fullmatch(known) else None
    detail, hint = told.get("detail"), told.get("hint")
    kind = LedgerUnavailable if may_pass(status) else LedgerRefused
    return kind(
        _shown(str(detail)) if detail else f"{what} answered {_named(status)}",
        code=code or kind.default_code,
        hint=_shown(hint) if isinstance(hint, str) else None,
        details={name: value for name, value in told.items() if name not in _RESERVED},
    )


def _shown(text: str) -> str:
    """A stranger's words, which no terminal and no log obeys, and which every text can hold."""
    cut = text[:_MAX_DETAIL_CHARS]
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in cut)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def members_of(body: bytes) -> dict[str, Any]:
    """Read a stranger's JSON; no members where it is no object, or no text can hold it."""
    try:
        told = json.loads(body)
        json.dumps(told, ensure_ascii=False).encode()  # half of a pair is no text
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
