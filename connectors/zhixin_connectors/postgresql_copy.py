"""PostgreSQL by its binary COPY, decoded by the native kernel: the fastest reader there is here.

The query is sent on psycopg's own connection, and what the server sends is read from that
connection's socket, straight into the kernel, without a call of Python for each record. So it
serves where the socket carries the protocol in the clear; under TLS the bytes are libpq's, and ADBC
reads (``postgresql_adbc.py``). Once the server is ready again, the connection is psycopg's again.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from importlib.util import find_spec
from time import monotonic
from typing import Any

import pyarrow as pa

from zhixin_connectors.columns import extracted
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.postgresql import Selection
from zhixin_connectors.postgresql_binary import form
from zhixin_connectors.postgresql_binary import select as selected
from zhixin_connectors.postgresql_text import TextSession
from zhixin_connectors.protocol import Extracted, ReadRequest
from zhixin_connectors.sqlerrors import SilentError

__all__ = ["CopySession", "is_installed"]

_PROTOCOL = 1
"""What we know how to call; a kernel says which it answers to."""
_RECEIVE_BYTES = 1 << 18
_BATCH_BYTES = 1 << 22  # larger ones are faster by a few percent, and a long run then holds more
_LOOK_MS = 200
_ASKED_S = 2.0
_ENCRYPTED = "SELECT encrypted FROM pg_catalog.pg_stat_gssapi WHERE pid = pg_backend_pid()"


def is_installed() -> bool:
    """Whether a kernel is there that we can call, and is not turned off by ``ZHIXIN_KERNEL``."""
    if os.environ.get("ZHIXIN_KERNEL", "") in {"off", "pure"} or find_spec("zhixin_kernel") is None:
        return False
    import zhixin_kernel

    return zhixin_kernel.PROTOCOL == _PROTOCOL


class CopySession(TextSession):
    """A connection of psycopg's, whose records the kernel decodes.

    Args:
        parameters: as libpq knows them.
        limit_s: how long the server may say nothing.
    """

    def __init__(self, parameters: Mapping[str, str], limit_s: float) -> None:
        super().__init__(parameters, limit_s)
        self._limit_s = limit_s

    @property
    def in_the_clear(self) -> bool:
        """Whether the socket carries the protocol as it is."""
        return not self._driver.pgconn.ssl_in_use and self.ask(_ENCRYPTED) in ([], [(False,)])

    def records(
        self, selection: Selection, request: ReadRequest, options: SourceOptions
    ) -> Generator[Extracted]:
        """Yield the records of a selection."""
        import zhixin_kernel

        statement, makers = selected(selection, request, options)
        forms = [
            form(selection.kinds[field.name], field.type, options.null) for field in request.schema
        ]
        decoder = zhixin_kernel.CopyDecoder(
            forms, most_rows=request.batch_rows, most_bytes=_BATCH_BYTES
        )
        readings = [Reading(options.timezone, "")] * len(makers)
        first_row = 0
        query = f"COPY ({statement}) TO STDOUT (FORMAT binary)"
        with closing(self._batches(query, decoder)) as batches:
            for batch in batches:
                cells = [make(each) for make, each in zip(makers, batch.columns, strict=True)]
                yield extracted(cells, request.schema, readings, first_row)
                first_row += batch.num_rows

    def _batches(self, query: str, decoder: Any) -> Generator[pa.RecordBatch]:  # noqa: ANN401
        """Send a COPY, and decode what comes until the server is ready again."""
        with socket.socket(fileno=os.dup(self._driver.pgconn.socket)) as line:
            try:
                self._send(line, query)
                while not decoder.ready:
                    full = _fed(decoder, self._receive(line))
                    while full:
                        yield _taken(decoder)
                        full = _fed(decoder, b"")
            except BaseException:  # what still comes is nobody's: the connection ends
                with suppress(Exception):  # a server that is gone can't be asked
                    self._driver.cancel_safe(timeout=_ASKED_S)
                self._driver.close()
                raise
        if decoder.error is not None:
            raise _told(dict(decoder.error))
        if decoder.rows:
            yield _taken(decoder)

    def _send(self, line: socket.socket, query: str) -> None:
        body = query.encode() + b"\0"
        left = memoryview(b"Q" + (len(body) + 4).to_bytes(4, "big") + body)
        while left:
            self._wait(line, select.POLLOUT)
            left = left[line.send(left) :]

    def _receive(self, line: socket.socket) -> bytes:
        while True:
            self._wait(line, select.POLLIN)
            try:
                data = line.recv(_RECEIVE_BYTES)
            except BlockingIOError:  # what woke us is gone again
                continue
            if not data:
                raise _lost("server closed the connection unexpectedly")
            return data

    def _wait(self, line: socket.socket, event: int) -> None:
        """Until the server reads or says something; in short steps, so that Ctrl-C is heard."""
        poll = select.poll()
        poll.register(line, event)
        ends = monotonic() + self._limit_s
        while not poll.poll(_LOOK_MS):
            if monotonic() > ends:
                raise SilentError


class _Taken:
    """A batch of the decoder's, as the Arrow C data interface has it."""

    def __init__(self, capsules: Any) -> None:  # noqa: ANN401
        self._capsules = capsules

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:  # noqa: ANN401
        return self._capsules


def _fed(decoder: Any, data: bytes) -> bool:  # noqa: ANN401
    """Whether a batch is full."""
    try:
        full: bool = decoder.feed(data)
    except ValueError as error:
        raise _lost(f"not the protocol: {error}") from None
    return full


def _taken(decoder: Any) -> pa.RecordBatch:  # noqa: ANN401
    batch: pa.RecordBatch = pa.record_batch(_Taken(decoder.take()))
    return batch


def _told(fields: Mapping[str, str]) -> Exception:
    """The error that the server told, as psycopg has it."""
    from psycopg import DatabaseError, errors

    state = fields.get("C", "")
    try:
        return errors.lookup(state)(fields.get("M", ""))
    except KeyError:
        told = DatabaseError(fields.get("M", ""))
        told.sqlstate = state
        return told


def _lost(why: str) -> Exception:
    from psycopg import OperationalError

    return OperationalError(why)
