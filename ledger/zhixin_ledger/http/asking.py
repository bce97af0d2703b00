"""Asking a server over HTTP: the one way in which a member reaches out.

One pool of connections a server, kept open. Time-outs on everything, no redirects, TLS verified
against the system's certificates, and those in ``ZHIXIN_CA_FILE`` besides. No more is read than the
caller allows. What failed in passing is tried again a few times with growing, jittered pauses.

This is the only module that uses httpx (`bounded` what lies under it).
"""

from __future__ import annotations

import os
import random
import ssl
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx
from zhixin_errors import ConfigError, LedgerError, LedgerUnavailable

from zhixin_ledger.http.bounded import bound
from zhixin_ledger.http.problems import error_of, may_pass

__all__ = ["CA_VARIABLE", "CONNECT_S", "READ_S", "Answer", "Server"]

CA_VARIABLE = "ZHIXIN_CA_FILE"
CONNECT_S = 5.0
READ_S = 30.0
_TRIES = 4
_MAX_SAID_S = 5.0
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered, read to its end."""

    status: int
    headers: httpx.Headers
    body: bytes


class Server:
    """One server by its base URL.

    Args:
        url: without a slash at its end.
        what: names it for people.
    """

    def __init__(self, url: str, what: str) -> None:
        self._client: httpx.Client | None = None
        parts = _parts(url, what)
        self.url = url.rstrip("/")
        self.what = what
        self._secure = parts.scheme == "https"

    def __del__(self) -> None:
        """Close, once the last of its users lets it go."""
        with suppress(Exception):
            self.close()

    def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def request(
        self,
        method: str,
        path: str,
        limit: int,
        *,
        content: bytes | None = None,
        tries: int = _TRIES,
        timeout_s: float = READ_S,
    ) -> Answer:
        """Ask, and try again what failed in passing.

        Raises:
            LedgerUnavailable: no answer could be had, or it is longer than `limit`.
        """
        said_s = 0.0
        for number in range(1, tries + 1):
            try:
                answer = self._once(method, path, limit, content, timeout_s)
            except httpx.TransportError as fault:
                if number == tries:
                    raise self._unreached(fault) from fault
            else:
                if not may_pass(answer.status) or number == tries:
                    return answer
                said_s = _said_s(answer)
            pause_s = _PAUSE_S * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311
            time.sleep(max(pause_s, said_s))
            said_s = 0.0
        raise AssertionError

    def fault(self, answer: Answer) -> LedgerError:
        """Give the error that an answer tells of."""
        return error_of(answer.status, answer.body, self.what)

    def _once(
        self, method: str, path: str, limit: int, content: bytes | None, timeout_s: float
    ) -> Answer:
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        url = f"{self.url}/{path}"
        with self._opened().stream(method, url, content=content, timeout=timeout) as response:
            if response.has_redirect_location:
                raise LedgerUnavailable(
                    f"{self.what} at {self.url} sends elsewhere, which is not followed",
                    hint="put the address that it has now into the settings",
                )
            return Answer(response.status_code, response.headers, self._read(response, limit))

    def _read(self, response: httpx.Response, limit: int) -> bytes:
        coding = response.headers.get("content-encoding", "identity").lower()
        if coding not in ("identity", "gzip"):
            raise LedgerUnavailable(f"{self.what} answers in the coding {coding}, which none asked")
        unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        data = bytearray()
        for chunk in response.iter_raw():
            try:
                data += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(data))
            except zlib.error as fault:
                raise LedgerUnavailable(f"{self.what} answers what can't be unpacked") from fault
            if len(data) > limit:
                raise LedgerUnavailable(
                    f"{self.what} at {self.url} answers more than {limit} bytes"
                )
        if unpack is not None and not unpack.eof:
            raise httpx.ReadError("the answer ends early")
        return bytes(data)

    def _opened(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(
                verify=_context() if self._secure else False,
                headers={"accept-encoding": "gzip", "user-agent": "zhixin"},
                follow_redirects=False,
            )
            for transport in (self._client._transport, *self._client._mounts.values()):
                bound(transport)
        return self._client

    def _unreached(self, fault: httpx.TransportError) -> LedgerUnavailable:
        told = "did not answer in time" if isinstance(fault, httpx.TimeoutException) else str(fault)
        return LedgerUnavailable(
            f"{self.what} at {self.url} can't be reached: {told or type(fault).__name__}",
            hint="nothing is lost: try again",
        )


def _said_s(answer: Answer) -> float:
    """When to come again, as the server says; not longer than is sensible here."""
    said = answer.headers.get("retry-after", "")
    return min(float(said), _MAX_SAID_S) if said.isdecimal() else 0.0


def _parts(url: str, what: str) -> SplitResult:
    """Take a URL apart; it is not repeated where it may hold a password."""
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is no number
        parts, named = urlsplit(""), None
    if not named:
        raise ConfigError(f"the URL of {what} is no http: or https: URL with a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"the URL of {what} holds more than host, port and path")
    return parts


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    file = os.environ.get(CA_VARIABLE)
    if file:
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError) as fault:
            raise ConfigError(f"{CA_VARIABLE} names {file}, which can't be used") from fault
    return context
