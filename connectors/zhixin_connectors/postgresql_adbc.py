"""PostgreSQL by ADBC: its binary COPY into Arrow columns, in C++ and without Python's lock.

Each call of the driver's runs in a thread of its own, because none of them can be limited in time
or interrupted: who waits here is woken by Ctrl-C, or when the server said nothing for too long. The
server is then asked to cancel, and if that does not help, the connection's socket is shut, which
ends the call at once. While a batch is worked on the next one arrives.
"""

from __future__ import annotations

import itertools
import os
import socket
import stat
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

import pyarrow as pa

from zhixin_connectors.columns import extracted
from zhixin_connectors.grammar import Reading
from zhixin_connectors.options import SourceOptions
from zhixin_connectors.postgresql import Selection
from zhixin_connectors.postgresql_binary import select
from zhixin_connectors.protocol import Extracted, ReadRequest
from zhixin_connectors.sqlerrors import SilentError

__all__ = ["AdbcSession", "is_installed"]

_BATCH_BYTES = 1 << 23
_LOOK_S = 0.2
_ASKED_S, _ENDING_S = 2.0, 10.0
_ALIVE_MS = 60_000
_MARKS = itertools.count(1)


def is_installed() -> bool:
    """Whether the driver is there: extra ``postgresql`` brings it."""
    return find_spec("adbc_driver_postgresql") is not None


class AdbcSession:
    """A connection of ADBC's, in a transaction.

    Args:
        parameters: as libpq knows them.
        limit_s: how long the server may say nothing.
    """

    def __init__(self, parameters: Mapping[str, str], limit_s: float) -> None:
        self._limit_s = limit_s
        self._mark = int(parameters.get("tcp_user_timeout", _ALIVE_MS)) + next(_MARKS) % 1_000
        self._statement: Any = None
        told = {**parameters, "tcp_user_timeout": str(self._mark)}
        self._opened: list[Any] = []
        self._coming: SimpleQueue[tuple[Any, Any]] | None = None  # the answer of a call under way
        try:
            self._call(lambda: self._open(told))
        except BaseException:
            self.close()
            raise

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a small answer."""
        table = self._call(lambda: self._stream(sql).read_all())
        return list(zip(*(each.to_pylist() for each in table.columns), strict=True))

    def names(self, query: str) -> list[str]:
        """The columns that a query gives."""
        return list(self._call(lambda: self._stream(query).schema.names))

    def close(self) -> None:
        """As it is; a call that is under way, whatever left it so, is ended first."""
        if self._coming is not None and not self._ended(self._coming):
            return  # what it uses ends with its thread
        opened, self._opened = self._opened[::-1], []
        for each in opened:
            with suppress(Exception):  # what ends a connection that was shut
                each.close()

    def records(
        self, selection: Selection, request: ReadRequest, options: SourceOptions
    ) -> Generator[Extracted]:
        """Yield the records of a selection."""
        statement, makers = select(selection, request, options)
        stream = self._call(lambda: self._stream(statement))
        readings = [Reading(options.timezone, "")] * len(makers)
        first_row = 0
        with closing(self._ahead(stream)) as batches:
            for batch in batches:
                for start in range(0, batch.num_rows, request.batch_rows):
                    part = batch.slice(start, request.batch_rows)
                    cells = [make(each) for make, each in zip(makers, part.columns, strict=True)]
                    yield extracted(cells, request.schema, readings, first_row)
                    first_row += part.num_rows

    def _open(self, told: Mapping[str, str]) -> None:
        import adbc_driver_manager
        import adbc_driver_postgresql  # type: ignore[import-untyped]

        said = " ".join(f"{key}='{_escaped(value)}'" for key, value in told.items())
        self._opened.append(adbc_driver_postgresql.connect(said))
        connection: Any = adbc_driver_manager.AdbcConnection(self._opened[0])
        self._opened.append(connection)
        connection.set_autocommit(False)

    def _stream(self, sql: str) -> Any:  # noqa: ANN401 (a pa.RecordBatchReader)
        import adbc_driver_manager
        from adbc_driver_manager import _reader

        if self._statement is not None:
            self._statement.close()
            self._opened.pop()
        self._statement = adbc_driver_manager.AdbcStatement(self._opened[1])
        self._opened.append(self._statement)
        hint = {"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)}
        self._statement.set_options(**hint)
        self._statement.set_sql_query(sql)
        handle, _ = self._statement.execute_query()
        coded: Any = _reader.AdbcRecordBatchReader  # its errors have the server's codes
        return coded._import_from_c(handle.address)

    def _ahead(self, stream: Any) -> Generator[pa.RecordBatch]:  # noqa: ANN401
        """Batches, the next one on its way while one is worked on."""
        batches = iter(stream)
        self._start(lambda: next(batches, None))
        while (batch := self._answer()) is not None:
            self._start(lambda: next(batches, None))
            yield batch

    def _call(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401
        self._start(call)
        return self._answer()

    def _start(self, call: Callable[[], Any]) -> None:
        self._coming = _begun(call)

    def _answer(self) -> Any:  # noqa: ANN401
        """Wait for what was started; where this is left early, :meth:`close` ends the call."""
        coming: Any = self._coming
        ends = monotonic() + self._limit_s
        while True:
            with suppress(Empty):
                value, error = coming.get(timeout=_LOOK_S)
                break
            if monotonic() > ends:
                raise SilentError
        self._coming = None
        if error is not None:
            raise error
        return value

    def _ended(self, coming: SimpleQueue[tuple[Any, Any]]) -> bool:
        """End a call: the server is asked to, and then no longer waited for."""
        asked = _begun(self._statement.cancel) if self._statement is not None else None
        ended = asked is not None and _arrived(coming, _ASKED_S)
        if not ended:
            self._shut()
            ended = _arrived(coming, _ENDING_S)
        return ended and (asked is None or _arrived(asked, _ASKED_S))

    def _shut(self) -> None:
        """Shut the connection's socket, which libpq does not show.

        It is known by the time-out that was given to it alone.
        """
        option: int = getattr(socket, "TCP_USER_TIMEOUT", -1)
        for number in _descriptors() if option >= 0 else []:
            with suppress(OSError):  # closed meanwhile, or none of TCP
                if not stat.S_ISSOCK(os.fstat(number).st_mode):
                    continue
                with socket.socket(fileno=os.dup(number)) as end:
                    if end.getsockopt(socket.IPPROTO_TCP, option) == self._mark:
                        end.shutdown(socket.SHUT_RDWR)


def _begun(call: Callable[[], Any]) -> SimpleQueue[tuple[Any, Any]]:
    """Call it in a thread of its own, which answers with a value and an error."""
    answer: SimpleQueue[tuple[Any, Any]] = SimpleQueue()

    def run() -> None:
        try:
            answer.put((call(), None))
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            answer.put((None, error))

    Thread(target=run, daemon=True, name="zhixin-adbc").start()
    return answer


def _arrived(answer: SimpleQueue[tuple[Any, Any]], limit_s: float) -> bool:
    with suppress(Empty):
        answer.get(timeout=limit_s)
        return True
    return False


def _descriptors() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return [int(each.name) for each in Path(folder).iterdir() if each.name.isdigit()]
    return []


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
