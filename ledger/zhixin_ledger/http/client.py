"""Reaching logs and witnesses over HTTP: the transports that ``http:`` and ``https:`` URLs name.

One pool of connections a server, kept open. Time-outs on everything, no redirects, TLS verified
against the system's certificates, and those in ``ZHIXIN_CA_FILE`` besides. Nothing is read beyond
what its kind may have. What failed in passing is tried again a few times with growing, jittered
pauses: reads always, a submission too because the same payload gives the same index again.

This is the only module that uses httpx (`bounded` what lies under it).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import ssl
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx
from zhixin_errors import ConfigError, FormatError, LedgerRefused, LedgerUnavailable

from zhixin_ledger import checkpoint, tiles
from zhixin_ledger.encoding import b64, parse_uint
from zhixin_ledger.http.bounded import bound
from zhixin_ledger.http.problems import error_of
from zhixin_ledger.note import MAX_NOTE_BYTES, Note
from zhixin_ledger.proposals import Proposal, parse_proposal
from zhixin_ledger.tiles import HASH_BYTES, MAX_ENTRY_BYTES, WIDTH

__all__ = ["CA_VARIABLE", "HttpLog", "HttpProposals", "HttpSource", "HttpWitness"]

CA_VARIABLE = "ZHIXIN_CA_FILE"
MAX_BUNDLE_BYTES = WIDTH * (2 + MAX_ENTRY_BYTES)
MAX_TILE_BYTES = WIDTH * HASH_BYTES
MAX_ANSWER_BYTES = 256 * 1024
MAX_PROPOSALS_BYTES = 8 * 1024 * 1024
MAX_STANDING_BYTES = 1024 * 1024
_CONNECT_S = 5.0
_READ_S = 30.0
_WHOLE_S = 120.0
_TRIES = 4
_MAX_SAID_S = 5.0
_PAUSE_S = 0.2
_POLL_S = 0.05
_MAX_POLL_S = 1.0
_LATER = {408, 425, 429, 500, 502, 503, 504}
_SIZE_TYPE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes


class _Server:
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
        timeout_s: float = _READ_S,
    ) -> _Answer:
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
                if answer.status not in _LATER or number == tries:
                    return answer
                said_s = _said_s(answer)
            pause_s = _PAUSE_S * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311
            time.sleep(max(pause_s, said_s))
            said_s = 0.0
        raise AssertionError

    def _once(
        self, method: str, path: str, limit: int, content: bytes | None, timeout_s: float
    ) -> _Answer:
        timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
        url = f"{self.url}/{path}"
        with self._opened().stream(method, url, content=content, timeout=timeout) as response:
            if response.has_redirect_location:
                raise LedgerUnavailable(
                    f"{self.what} at {self.url} sends elsewhere, which is not followed",
                    hint="put the address that it has now into the settings",
                )
            return _Answer(response.status_code, response.headers, self._read(response, limit))

    def _read(self, response: httpx.Response, limit: int) -> bytes:
        coding = response.headers.get("content-encoding", "identity").lower()
        if coding not in ("identity", "gzip"):
            raise LedgerUnavailable(f"{self.what} answers in the coding {coding}, which none asked")
        unpack = zlib.decompressobj(wbits=31) if coding == "gzip" else None
        data = bytearray()
        deadline = time.monotonic() + _WHOLE_S
        for chunk in response.iter_raw():
            try:
                data += chunk if unpack is None else unpack.decompress(chunk, limit + 1 - len(data))
            except zlib.error as fault:
                raise LedgerUnavailable(f"{self.what} answers what can't be unpacked") from fault
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer did not end")
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


def _said_s(answer: _Answer) -> float:
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


class HttpSource:
    """A ledger's files under a URL: a log's or a mirror's.

    Args:
        url: the base; `checkpoint` and `tile/` stand under it.
        what: names it for people.
    """

    def __init__(self, url: str, what: str = "the ledger") -> None:
        self._server = _Server(url, what)

    def read(self, path: str) -> bytes | None:
        """See TileSource."""
        limit = _limit_of(path)
        answer = self._server.request("GET", path, limit)
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            told = error_of(answer.status, answer.body, self._server.what)
            raise LedgerUnavailable(told.message, code=told.code, hint=told.hint)
        return answer.body

    def standing(self, dataset: str) -> bytes | None:
        """Give a dataset's standing file for the newest checkpoint; None where none is served.

        Raises:
            LedgerUnavailable: it can't be reached; `ledger-behind`: it is not made yet.
        """
        answer = self._server.request("GET", f"standing/{dataset}", MAX_STANDING_BYTES)
        if answer.status == 200:
            return answer.body
        if answer.status in (404, 405, 410, 501):
            return None
        told = error_of(answer.status, answer.body, self._server.what)
        raise LedgerUnavailable(told.message, code=told.code, hint=told.hint)

    def close(self) -> None:
        """Close its connections."""
        self._server.close()


def _limit_of(path: str) -> int:
    if path == tiles.CHECKPOINT:
        return MAX_NOTE_BYTES
    return MAX_BUNDLE_BYTES if path.startswith("tile/entries/") else MAX_TILE_BYTES


class HttpLog:
    """A log that is served over HTTP.

    Args:
        url: its base.
    """

    def __init__(self, url: str) -> None:
        self._server = _Server(url, "the ledger")
        self._source = HttpSource(url)

    @property
    def source(self) -> HttpSource:
        """See LogTransport."""
        return self._source

    def submit(self, data: bytes) -> int:
        """See LogTransport."""
        answer = self._server.request("POST", "entries", MAX_ANSWER_BYTES, content=data)
        if answer.status not in (200, 201):
            raise error_of(answer.status, answer.body, self._server.what)
        return self._number(answer, "index")

    def settle(self, size: int = 0, *, refresh: bool = False, timeout_s: float = 30) -> Note:
        """See LogTransport; the log publishes by itself, so this waits for it."""
        del refresh  # it has its checkpoint cosigned again by itself
        deadline = time.monotonic() + timeout_s
        wanted = size or self._durable()
        pause_s = _POLL_S
        while True:
            note = self._published()
            if note is not None and checkpoint.parse(note.text).size >= wanted:
                return note
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise LedgerUnavailable(
                    f"the ledger at {self._server.url} has no checkpoint of {wanted} entries with "
                    "its quorum yet: the proof is pending",
                    code="quorum",
                    hint="the entries are safe in the ledger; try again when its members answer",
                )
            time.sleep(min(pause_s * random.uniform(0.75, 1.25), left_s))  # noqa: S311
            pause_s = min(2 * pause_s, _MAX_POLL_S)

    def close(self) -> None:
        """See LogTransport."""
        self._server.close()
        self._source.close()

    def status(self) -> dict[str, Any]:
        """Tell how the log stands, as it says; nothing where a log of another make does not.

        Raises:
            LedgerUnavailable: it can't be reached.
        """
        answer = self._server.request("GET", "status", MAX_ANSWER_BYTES)
        return _members(answer.body) if answer.status == 200 else {}

    def _durable(self) -> int:
        """How many entries are durable; 0 where a log of another make does not tell."""
        size = self.status().get("size")
        return size if type(size) is int else 0

    def _published(self) -> Note | None:
        data = self._source.read(tiles.CHECKPOINT)
        try:
            note = None if data is None else Note.parse(data, "the ledger's checkpoint")
            if note is not None:
                checkpoint.parse(note.text)
        except FormatError as fault:
            raise LedgerRefused(fault.message, code="malformed") from fault
        return note

    def _number(self, answer: _Answer, name: str) -> int:
        found = _member(answer.body, name)
        if type(found) is not int or found < 0:
            raise LedgerUnavailable(f"{self._server.what} answers without a good {name}")
        return found


class HttpWitness:
    """A witness over HTTP (C2SP tlog-witness).

    Args:
        name: the member's name.
        url: its base: submission and monitoring prefix in one.
        timeout_s: how long one question may take.
    """

    def __init__(self, name: str, url: str, timeout_s: float = _READ_S) -> None:
        self._name = name
        self._server = _Server(url, f"the witness of {name}")
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        """The member's name."""
        return self._name

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        """See WitnessTransport."""
        lines = "".join(f"{b64(item)}\n" for item in proof)
        answer = self._server.request(
            "POST",
            "add-checkpoint",
            MAX_NOTE_BYTES,
            content=f"old {old_size}\n{lines}\n".encode() + note,
            tries=1,
            timeout_s=self._timeout_s,
        )
        if answer.status == 200:
            return answer.body
        if answer.status == 409:
            raise self._conflict(answer)
        raise _REFUSALS.get(answer.status, error_of)(answer.status, answer.body, self._server.what)

    def latest(self, origin: str) -> bytes | None:
        """See WitnessTransport."""
        log_id = hashlib.sha256(origin.encode()).hexdigest()
        answer = self._server.request(
            "GET", f"{log_id}/checkpoint", MAX_NOTE_BYTES, tries=2, timeout_s=_CONNECT_S
        )
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise error_of(answer.status, answer.body, self._server.what)
        return answer.body

    def close(self) -> None:
        """Close its connections."""
        self._server.close()

    def _conflict(self, answer: _Answer) -> LedgerRefused:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        try:
            text = answer.body.decode("ascii").removesuffix("\n")
            size = parse_uint(text, "the size") if kind == _SIZE_TYPE else None
        except (FormatError, UnicodeDecodeError):
            size = None
        return LedgerRefused(
            f"{self._server.what} cosigned "
            + ("another size" if size is None else f"{size} entries")
            + " last",
            code="witness-conflict",
            details={} if size is None else {"size": size},
        )


class HttpProposals:
    """The proposals that wait beside a log that is served over HTTP (`proposal_box.ProposalBox`).

    Args:
        url: the log's base.
    """

    def __init__(self, url: str) -> None:
        self._server = _Server(url, "the ledger")

    def offer(self, proposal: Proposal) -> str:
        """See ProposalBox."""
        body = self._ask("POST", "proposals", content=proposal.to_bytes())
        return str(_member(body, "digest"))

    def get(self, digest_hex: str) -> Proposal:
        """See ProposalBox."""
        return _proposal(self._ask("GET", f"proposals/{digest_hex}"))

    def waiting(self) -> list[Proposal]:
        """See ProposalBox."""
        found = _member(self._ask("GET", "proposals"), "proposals")
        if not isinstance(found, list):
            raise LedgerUnavailable("the ledger answers without proposals")
        envelopes = [each.get("proposal") if isinstance(each, dict) else None for each in found]
        return [_proposal(json.dumps(each).encode()) for each in envelopes]

    def sign(self, digest_hex: str, keyid_hex: str, signature: bytes) -> Proposal:
        """See ProposalBox."""
        content = json.dumps({"keyid": keyid_hex, "sig": b64(signature)}).encode()
        path = f"proposals/{digest_hex}/signatures"
        return _proposal(self._ask("POST", path, content=content))

    def close(self) -> None:
        """Close its connections."""
        self._server.close()

    def _ask(self, method: str, path: str, content: bytes | None = None) -> bytes:
        answer = self._server.request(method, path, MAX_PROPOSALS_BYTES, content=content)
        if answer.status not in (200, 201):
            raise error_of(answer.status, answer.body, self._server.what)
        return answer.body


def _proposal(data: bytes) -> Proposal:
    try:
        return parse_proposal(data, "the ledger's proposal")
    except FormatError as fault:
        raise LedgerUnavailable(fault.message, hint="it is no ledger of ours") from fault


def _refusal(code: str) -> Any:  # noqa: ANN401 - of the form of error_of
    """Give what makes an error of a status to which C2SP gives a meaning."""

    def made(status: int, body: bytes, what: str) -> LedgerRefused:
        told = error_of(status, body, what)
        known = told.code if told.code != LedgerRefused.default_code else code
        return LedgerRefused(told.message, code=known, details=told.details)

    return made


_REFUSALS = {
    400: _refusal("malformed"),
    403: _refusal("log-signature"),
    404: _refusal("other-origin"),
    422: _refusal("forked"),
}


def _member(body: bytes, name: str) -> object:
    return _members(body).get(name)


def _members(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
