"""Asking one server for JSON: time-outs, retries, a login, and an answer that has a bound.

::

    408 425 429 5xx, no connection, a time-out, a body cut off    tried again, with growing pauses
    Retry-After: 30    Retry-After: Thu, 26 Nov 2026 08:00:00 GMT  waited for, if it is not too long
    401 with OAuth                                                 one new token, then refused
    302 to the same scheme, host and port                          followed; to another: refused
    200 text/html                                                  refused: a login page, not JSON

A secret goes to this one origin (and OAuth's to its token_url) and nowhere else: not into an error,
not into a log, not over plain http to another machine. What a server says of a fault is not
repeated. This is the only module of the connectors that uses httpx (`httpwire` what lies under it).
"""

from __future__ import annotations

import base64
import json
import logging
import random
import re
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx
from zhixin_errors import ConfigError, PermanentSourceError, SourceError, TransientSourceError

from zhixin_connectors.access import Access
from zhixin_connectors.addresses import joined, origin, with_parameters
from zhixin_connectors.httpwire import add_parameter, bound

__all__ = ["Answer", "HttpClient"]

logging.getLogger("httpcore").setLevel(logging.INFO)  # below, it tells the headers of answers

_CONNECT_S = 10.0
_WHOLE = 10  # a whole answer may take so many times the time-out of a single reading
_PAUSE_S = 0.5
_MOST_PAUSE_S = 30.0
_REDIRECTS = 5
_LOCATION = "zhixin.location"
_TOKEN_BYTES = 1 << 20
_EARLY_S = 30.0  # before a token's end, it is renewed
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_JSON_LIKE = {"", "text/plain", "application/octet-stream", "binary/octet-stream"}
_OTHER_TYPES = {"text/html", "text/csv", "text/xml", "application/xml", "application/zip"}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_REFUSALS = {
    401: (
        "login-refused",
        "the login was refused",
        "check auth in [sources] of zhixin.toml and the secret, ZHIXIN_SOURCES_<NAME>_SECRET",
    ),
    403: (
        "permission-denied",
        "no permission to read it",
        "ask its operator for the right to read",
    ),
    404: ("object-missing", "there is no such thing", "check url and the contract's physicalName"),
    410: ("object-missing", "it is gone", "check url and the contract's physicalName"),
}


@dataclass(frozen=True)
class Answer:
    """A body, read to its end and unpacked, and where it came from in the end."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Head:
    """An answer whose status says what to do next."""

    status: int
    headers: Mapping[str, str]
    location: str | None = None

    @property
    def leads_on(self) -> bool:
        """Whether it is a redirect."""
        return self.status in {301, 302, 303, 307, 308} and self.location is not None


class HttpClient:
    """One source's server.

    Args:
        base: its URL, without credentials.
        access: login, time-outs and limits.
        name: the source's, for messages.
    """

    def __init__(self, base: str, access: Access, name: str) -> None:
        self._origin = origin(base)
        self._access = access
        self._name = name
        self._token = ""
        self._token_ends = 0.0
        _check_clear(base, access, name)
        self._client = self._opened(base, keyed=True)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, url: str, place: str) -> Answer:
        """Ask for a page of JSON.

        Args:
            url: of this source's origin.
            place: source and object, for messages.

        Raises:
            TransientSourceError: no whole answer within the tries and waits allowed.
            PermanentSourceError: refused, gone, elsewhere, too large, or no JSON.
        """
        for _ in range(_REDIRECTS):
            found = self._asked("GET", url, place, {"accept": "application/json"})
            if isinstance(found, Answer):
                _check_type(found, place)
                return found
            url = joined(url, found.location or "")
            if origin(url) != self._origin:
                raise PermanentSourceError(
                    f"source {place}: the server sends to another address, which is not followed",
                    code="redirect-elsewhere",
                    hint="is it the address of the API, and is the login accepted? the secret "
                    "goes to the address in url alone",
                )
        raise PermanentSourceError(
            f"source {place}: the server sends from one address to the next without an end",
            code="redirect-loop",
        )

    def probe(self, url: str) -> None:
        """See that the server answers and takes the login; what it answers is not read.

        Raises:
            TransientSourceError: no answer.
            PermanentSourceError: the login is refused.
        """
        try:
            self._asked("GET", url, self._name, {}, body=False)
        except PermanentSourceError as error:
            if error.code in {"login-refused", "permission-denied"}:
                raise

    def _asked(
        self, method: str, url: str, place: str, headers: dict[str, str], *, body: bool = True
    ) -> Answer | _Head:
        """Ask with the login; an expired token is renewed once."""
        found = self._sent(method, url, place, headers | self._login(place), body=body)
        expired = isinstance(found, _Head) and found.status == 401
        if expired and self._access.auth == "oauth":
            self._token = ""
            found = self._sent(method, url, place, headers | self._login(place), body=body)
        if isinstance(found, _Head) and not found.leads_on:
            raise _refusal(found, place)
        return found

    def _sent(
        self, method: str, url: str, place: str, headers: dict[str, str], *, body: bool
    ) -> Answer | _Head:
        if self._access.auth == "query":  # a server's next page repeats the key, and httpx logs it
            url = with_parameters(url, {self._access.key_name: None})
        try:
            request = self._client.build_request(method, url, headers=headers)
        except httpx.InvalidURL:
            raise PermanentSourceError(
                f"source {place}: this makes no address that can be asked",
                hint="check url, physicalName and zhixin.next",
            ) from None
        return self._tried(self._client, request, place, body=body)

    def _login(self, place: str) -> dict[str, str]:
        access = self._access
        if access.auth == "bearer":
            return {"authorization": f"Bearer {access.secret}"}
        if access.auth == "basic":
            return {"authorization": _basic(access.user, access.secret)}
        if access.auth == "header":
            return {access.key_name: access.secret}
        if access.auth == "oauth":
            if not self._token or time.monotonic() > self._token_ends:
                self._renew(place)
            return {"authorization": f"Bearer {self._token}"}
        return {}

    def _renew(self, place: str) -> None:
        """Take a new token by OAuth 2's client credentials (RFC 6749, 4.4)."""
        access = self._access
        form = {"grant_type": "client_credentials"}
        if access.scope:
            form["scope"] = access.scope
        login = {"authorization": _basic(quote(access.client_id), quote(access.secret, safe=""))}
        where = f"{place}: the token of OAuth"
        with self._opened(access.token_url, keyed=False) as client:
            headers = {"accept": "application/json", **login}
            request = client.build_request("POST", access.token_url, data=form, headers=headers)
            found = self._tried(client, request, where)
        if isinstance(found, _Head):
            raise PermanentSourceError(
                f"source {where} was refused (status {found.status})",
                code="login-refused",
                hint="check token_url, client_id, scope and the secret of the source",
            )
        try:
            told = json.loads(found.body[:_TOKEN_BYTES])
            token = told["access_token"]
            lasts = float(told.get("expires_in", 3600))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
            raise PermanentSourceError(
                f"source {where} is not in the answer of token_url", code="login-refused"
            ) from None
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
            raise PermanentSourceError(f"source {where} can't be sent", code="login-refused")
        self._token = token
        self._token_ends = time.monotonic() + max(lasts - _EARLY_S, lasts / 2)

    def _tried(
        self, client: httpx.Client, request: httpx.Request, place: str, *, body: bool = True
    ) -> Answer | _Head:
        """Ask, and try again what failed in passing, within the tries and the time allowed."""
        waited = 0.0
        number = 0
        while True:
            number += 1
            asked_for = 0.0
            try:
                found = self._once(client, request, place, body=body)
                if isinstance(found, Answer) or found.status not in _AGAIN:
                    return found
                what = f"the server answers with status {found.status}"
                asked_for = _retry_after(found.headers)
            except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
                raise PermanentSourceError(
                    f"source {place}: this makes no request that can be sent",
                    hint="check url, auth, key_name and the secret of the source",
                ) from None
            except (httpx.TransportError, httpx.DecodingError) as fault:
                what = _what_failed(fault, place)
            pause = min(_PAUSE_S * 2 ** (number - 1), _MOST_PAUSE_S)
            pause = max(pause * random.uniform(0.5, 1.5), asked_for)  # noqa: S311 - no secret
            if number >= self._access.tries or waited + pause > self._access.retry_s:
                raise _unavailable(what, place, number, asked_for)
            time.sleep(pause)
            waited += pause

    def _once(
        self, client: httpx.Client, request: httpx.Request, place: str, *, body: bool
    ) -> Answer | _Head:
        response = client.send(request, stream=True)
        try:
            if response.status_code != 200:
                location = response.extensions.get(_LOCATION)
                return _Head(response.status_code, response.headers, location)
            read = self._read(response, place) if body else b""
            return Answer(str(request.url), response.headers, read)
        finally:
            response.close()

    def _read(self, response: httpx.Response, place: str) -> bytes:
        coding = response.headers.get("content-encoding", "identity").lower()
        if coding not in {"identity", "gzip"}:
            raise PermanentSourceError(
                f"source {place}: the answer is packed in a way that was not asked for",
                code="answer-packed",
            )
        unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        limit = self._access.max_page_mib << 20
        data = bytearray()
        for chunk in response.iter_raw():
            try:
                data += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(data))
            except zlib.error:
                raise httpx.DecodingError("damaged") from None
            if len(data) > limit:
                raise PermanentSourceError(
                    f"source {place}: a page is larger than {self._access.max_page_mib} MiB",
                    code="page-too-large",
                    hint="ask for smaller pages by zhixin.pageSize, or raise max_page_mib in "
                    "[sources] of zhixin.toml",
                )
        if unpack is not None and not unpack.eof:
            raise httpx.ReadError("the answer ends early")
        return bytes(data)

    def _opened(self, url: str, *, keyed: bool) -> httpx.Client:
        timeout_s = float(self._access.timeout_s)
        client = httpx.Client(
            verify=_context(self._access, self._name),
            headers={"accept-encoding": "gzip", "user-agent": "zhixin"},
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            follow_redirects=False,
            event_hooks={"response": [_set_aside]},
            trust_env=origin(url)[1] not in _LOOPBACK,  # a proxy is another machine
        )
        bound(client, _WHOLE)
        if keyed and self._access.auth == "query":
            add_parameter(client, self._access.key_name, self._access.secret)
        return client


def _set_aside(response: httpx.Response) -> None:
    """Keep a redirect's target from httpx, which takes it apart unasked and may fail at it."""
    response.extensions[_LOCATION] = response.headers.pop("location", None)


def _check_clear(base: str, access: Access, name: str) -> None:
    """Refuse to send a secret over plain http to another machine."""
    urls = [base] + ([access.token_url] if access.auth == "oauth" else [])
    for scheme, host, _ in map(origin, urls):
        if access.auth and scheme != "https" and host not in _LOOPBACK and not access.clear_text:
            raise ConfigError(
                f"source {name}: its secret would go over plain http, where others read it",
                hint="use https:, or say clear_text = true where the network itself is closed",
            )


def _context(access: Access, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if access.ca_file:
        try:
            context.load_verify_locations(access.ca_file)
        except (OSError, ssl.SSLError):
            raise ConfigError(f"source {name}: the file that ca_file names can't be used") from None
    return context


def _basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def _check_type(answer: Answer, place: str) -> None:
    told = answer.headers.get("content-type", "")
    kind, _, parameters = told.partition(";")
    kind = kind.strip().lower()
    if "json" not in kind and kind not in _JSON_LIKE:
        shown = kind if kind in _OTHER_TYPES else "another"  # it may repeat what was sent
        raise PermanentSourceError(
            f"source {place}: the answer is of type {shown}, and JSON was wanted",
            code="no-json",
            hint="a page for people, such as one to log in? check url and the login",
        )
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise PermanentSourceError(
            f"source {place}: the answer is not in UTF-8, as JSON is",
            code="charset",
            hint="ask the server for UTF-8; no encoding is guessed",
        )


def _refusal(head: _Head, place: str) -> SourceError:
    code, what, hint = _REFUSALS.get(
        head.status, ("source-refused", "the request is refused", "try it in another client")
    )
    return PermanentSourceError(
        f"source {place}: {what} (status {head.status})",
        code=code,
        hint=hint,
        details={"status": head.status},
    )


def _unavailable(what: str, place: str, tries: int, asked_for: float) -> TransientSourceError:
    later = f" and asks to be left alone for {asked_for:,.0f} s" if asked_for else ""
    times = "once" if tries == 1 else f"{tries} times"
    return TransientSourceError(
        f"source {place}: {what}{later}; tried {times}",
        hint="try again later; tries and retry_s in [sources] of zhixin.toml allow more",
    )


def _what_failed(fault: httpx.RequestError, place: str) -> str:
    if isinstance(fault, httpx.ConnectError) and re.search("ssl|certificate", str(fault), re.I):
        raise PermanentSourceError(
            f"source {place}: TLS was refused: the server's certificate is not trusted here",
            code="tls-refused",
            hint="name the certificate of its authority by ca_file; it is always checked",
        ) from None
    if isinstance(fault, httpx.TimeoutException):
        return "no answer came in time"
    if isinstance(fault, httpx.ConnectError):
        return "it can't be reached"
    return "the answer was cut off, or is no HTTP"


def _retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that a server asks to wait, in either form; 0 where it says nothing."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdecimal() and len(said) < 10:
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
