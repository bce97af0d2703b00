"""Reaching logs and witnesses over HTTP: the transports that ``http:`` and ``https:`` URLs name.

What failed in passing is tried again (``asking``): reads always, a submission too because the same
payload gives the same index again; a witness is asked once, for who gathers asks again anyhow.
Nothing is read beyond what its kind may have.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Sequence
from typing import Any

from zhixin_errors import FormatError, LedgerError, LedgerRefused, LedgerUnavailable

from zhixin_ledger import checkpoint, tiles
from zhixin_ledger.encoding import b64, parse_uint
from zhixin_ledger.gathering import WITNESS_CONFLICT
from zhixin_ledger.http.asking import CONNECT_S, READ_S, Answer, Server
from zhixin_ledger.http.problems import SIZE_TYPE, members_of
from zhixin_ledger.note import MAX_NOTE_BYTES, Note
from zhixin_ledger.proposals import Proposal, parse_proposal
from zhixin_ledger.tiles import HASH_BYTES, MAX_ENTRY_BYTES, WIDTH

__all__ = ["HttpLog", "HttpProposals", "HttpSource", "HttpWitness"]

MAX_BUNDLE_BYTES = WIDTH * (2 + MAX_ENTRY_BYTES)
MAX_TILE_BYTES = WIDTH * HASH_BYTES
MAX_ANSWER_BYTES = 256 * 1024
MAX_PROPOSALS_BYTES = 8 * 1024 * 1024
MAX_STANDING_BYTES = 1024 * 1024
_POLL_S = 0.05
_MAX_POLL_S = 1.0


class HttpSource:
    """A ledger's files under a URL: a log's or a mirror's.

    Args:
        url: the base; `checkpoint` and `tile/` stand under it.
        what: names it for people.
    """

    def __init__(self, url: str, what: str = "the ledger") -> None:
        self.server = Server(url, what)

    def read(self, path: str) -> bytes | None:
        """See TileSource."""
        limit = _limit_of(path)
        answer = self.server.request("GET", path, limit)
        if answer.status in (404, 410):
            return None
        return self._body(answer)

    def standing(self, dataset: str) -> bytes | None:
        """Give a dataset's standing file for the newest checkpoint; None where none is served.

        Raises:
            LedgerUnavailable: it can't be reached; `ledger-behind`: it is not made yet.
        """
        answer = self.server.request("GET", f"standing/{dataset}", MAX_STANDING_BYTES)
        if answer.status in (404, 405, 410, 501):
            return None
        return self._body(answer)

    def close(self) -> None:
        """Close its connections."""
        self.server.close()

    def _body(self, answer: Answer) -> bytes:
        """Give what was asked for; whatever else is answered, it can't be had now."""
        if answer.status != 200:
            told = self.server.fault(answer)
            raise LedgerUnavailable(told.message, code=told.code, hint=told.hint)
        return answer.body


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
        self._source = HttpSource(url)
        self._server = self._source.server

    @property
    def source(self) -> HttpSource:
        """See LogTransport."""
        return self._source

    def submit(self, data: bytes) -> int:
        """See LogTransport."""
        answer = self._server.request("POST", "entries", MAX_ANSWER_BYTES, content=data)
        if answer.status not in (200, 201):
            raise self._server.fault(answer)
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
                    "its quorum yet",
                    code="quorum",
                    hint="the entries are safe in the ledger; try again when its members answer",
                )
            time.sleep(min(pause_s * random.uniform(0.75, 1.25), left_s))  # noqa: S311
            pause_s = min(2 * pause_s, _MAX_POLL_S)

    def close(self) -> None:
        """See LogTransport."""
        self._source.close()

    def status(self) -> dict[str, Any]:
        """Tell how the log stands, as it says; nothing where a log of another make does not.

        Raises:
            LedgerUnavailable: it can't be reached.
        """
        answer = self._server.request("GET", "status", MAX_ANSWER_BYTES)
        return members_of(answer.body) if answer.status == 200 else {}

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

    def _number(self, answer: Answer, name: str) -> int:
        found = members_of(answer.body).get(name)
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

    def __init__(self, name: str, url: str, timeout_s: float = READ_S) -> None:
        self._name = name
        self._server = Server(url, f"the witness of {name}")
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
        raise self._fault(answer)

    def latest(self, origin: str) -> bytes | None:
        """See WitnessTransport."""
        log_id = hashlib.sha256(origin.encode()).hexdigest()
        answer = self._server.request(
            "GET", f"{log_id}/checkpoint", MAX_NOTE_BYTES, tries=2, timeout_s=CONNECT_S
        )
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise self._server.fault(answer)
        return answer.body

    def close(self) -> None:
        """Close its connections."""
        self._server.close()

    def _fault(self, answer: Answer) -> LedgerError:
        told = self._server.fault(answer)
        code = _REFUSALS.get(answer.status)
        if code is None or told.code != LedgerRefused.default_code:
            return told
        return LedgerRefused(told.message, code=code, hint=told.hint, details=told.details)

    def _conflict(self, answer: Answer) -> LedgerRefused:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        try:
            text = answer.body.decode("ascii").removesuffix("\n")
            size = parse_uint(text, "the size") if kind == SIZE_TYPE else None
        except (FormatError, UnicodeDecodeError):
            size = None
        return LedgerRefused(
            f"{self._server.what} cosigned "
            + ("another size" if size is None else f"{size} entries")
            + " last",
            code=WITNESS_CONFLICT,
            details={} if size is None else {"size": size},
        )


class HttpProposals:
    """The proposals that wait beside a log that is served over HTTP (`proposal_box.ProposalBox`).

    Args:
        url: the log's base.
    """

    def __init__(self, url: str) -> None:
        self._server = Server(url, "the ledger")

    def offer(self, proposal: Proposal) -> bool:
        """See ProposalBox."""
        return self._ask("POST", "proposals", content=proposal.to_bytes()).status == 201

    def get(self, digest_hex: str) -> Proposal:
        """See ProposalBox."""
        return _proposal(self._ask("GET", f"proposals/{digest_hex}").body)

    def waiting(self) -> list[Proposal]:
        """See ProposalBox."""
        found = members_of(self._ask("GET", "proposals").body).get("proposals")
        if not isinstance(found, list):
            raise LedgerUnavailable("the ledger answers without proposals")
        envelopes = [each.get("proposal") if isinstance(each, dict) else None for each in found]
        return [_proposal(json.dumps(each).encode()) for each in envelopes]

    def sign(self, digest_hex: str, keyid_hex: str, signature: bytes) -> Proposal:
        """See ProposalBox."""
        content = json.dumps({"keyid": keyid_hex, "sig": b64(signature)}).encode()
        path = f"proposals/{digest_hex}/signatures"
        return _proposal(self._ask("POST", path, content=content).body)

    def close(self) -> None:
        """Close its connections."""
        self._server.close()

    def _ask(self, method: str, path: str, content: bytes | None = None) -> Answer:
        answer = self._server.request(method, path, MAX_PROPOSALS_BYTES, content=content)
        if answer.status not in (200, 201):
            raise self._server.fault(answer)
        return answer


def _proposal(data: bytes) -> Proposal:
    try:
        return parse_proposal(data, "the ledger's proposal")
    except FormatError as fault:
        raise LedgerUnavailable(fault.message, hint="it is no ledger of ours") from fault


_REFUSALS = {400: "malformed", 403: "log-signature", 404: "other-origin", 422: "forked"}
"""What C2SP says by a status alone: the code where the answer tells none."""
