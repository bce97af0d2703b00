"""The rows of MariaDB's and MySQL's text protocol as Arrow columns, many at once.

The driver makes objects of every row and every cell, which is nearly all that a reading costs. Here
the packets are only walked over; then each column's cells are found for all rows together::

    packet   05 00 00 07   01 5  fb   02 甲…      length, number; then cells: length and bytes,
                                                   fb for null, fc to fe before a longer length

In one array over the very bytes that came, cells and what lies between them take turns, so that a
column is every so manieth of its elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from zhixin_connectors._arrow import Array

__all__ = ["column_batches"]

_READ_BYTES = 1 << 18
_BATCH_BYTES = 1 << 23
_WHOLE = 0xFFFFFF  # a packet of this length is continued by the next
_END, _ERROR, _END_MOST = 0xFE, 0xFF, 9
_NULL, _LONGER = 0xFB, {0xFC: 2, 0xFD: 3, 0xFE: 8}


def column_batches(driver: Any, width: int, most_rows: int) -> Iterator[list[Array]]:  # noqa: ANN401
    """Batches of ``pa.binary()`` columns, of bounded size.

    Args:
        driver: PyMySQL's connection, whose unbuffered result has not been read.
        width: how many columns it has.
        most_rows: of a batch.

    Raises:
        pymysql.err.MySQLError: the connection is lost, or the server's own error.
    """
    walk = _Walk(driver)
    while True:
        data, starts = walk.take(most_rows)
        if starts:
            yield _columns(data, starts, width)
        if walk.ended:
            return


class _Walk:
    """Walks over packets; knows where each row lies."""

    def __init__(self, driver: Any) -> None:  # noqa: ANN401
        self.ended = False
        self._driver = driver
        self._data = bytearray()

    def take(self, most: int) -> tuple[bytes, list[int]]:
        """Bytes, and where in them rows begin; none at the end."""
        starts: list[int] = []
        at, size, data, number = 0, len(self._data), self._data, self._driver._next_seq_id
        while len(starts) < most and (at < _BATCH_BYTES or not starts):
            start = at + 4
            if size < start:
                size = self._read(start)
            length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            if data[at + 3] != number:  # such as what a server says that shuts down
                raise self._lost("a packet of another number")
            number = (number + 1) & 0xFF
            if length == _WHOLE:
                length, more = self._joined(at)
                number, size = (number + more) & 0xFF, len(data)
            at = start + length
            if size < at:
                size = self._read(at)
            if data[start] >= _END and self._is_last(bytes(data[start:at])):
                self.ended = True
                break
            starts.append(start)
        self._driver._next_seq_id = number
        taken = bytes(data[:at])
        del data[:at]
        return taken, starts

    def _is_last(self, packet: bytes) -> bool:
        from pymysql.err import raise_mysql_exception

        if packet[0] == _ERROR:
            self._driver._result.unbuffered_active = False
            raise_mysql_exception(packet)
        return len(packet) < _END_MOST

    def _joined(self, at: int) -> tuple[int, int]:
        """Join a packet with those that continue it: their length together, and how many."""
        ends, length = [at + 4 + _WHOLE], _WHOLE
        while length == _WHOLE:
            self._read(ends[-1] + 4)
            length = int.from_bytes(self._data[ends[-1] : ends[-1] + 3], "little")
            ends.append(ends[-1] + 4 + length)
        self._read(ends[-1])
        for header in reversed(ends[:-1]):
            del self._data[header : header + 4]
        more = len(ends) - 1
        return ends[-1] - at - 4 - 4 * more, more

    def _read(self, size: int) -> int:
        """Read on until so many bytes are there; returns how many are."""
        while len(self._data) < size:
            try:
                more = self._driver._rfile.read1(_READ_BYTES)
            except OSError as error:
                raise self._lost(str(error)) from None
            if not more:
                raise self._lost("closed")
            self._data += more
        return len(self._data)

    def _lost(self, why: str) -> Exception:
        from pymysql.constants.CR import CR_SERVER_LOST
        from pymysql.err import OperationalError

        self._driver._force_close()
        lost: Exception = OperationalError(CR_SERVER_LOST, f"lost connection ({why})")
        return lost


def _columns(data: bytes, starts: list[int], width: int) -> list[Array]:
    buffer = np.frombuffer(data, np.uint8)
    begins, count = np.array(starts, np.int64), len(starts)
    at = begins
    cells = np.empty((count, width, 2), np.int32)
    missing = np.zeros((width, count), bool)
    for place in range(width):
        first = buffer[at]
        start, length = at + 1, first.astype(np.int64)
        odd = np.flatnonzero(first >= _NULL)
        if len(odd):
            null = odd[first[odd] == _NULL]
            length[null], missing[place, null] = 0, True
            for code, size in _LONGER.items():
                longer = odd[first[odd] == code]
                parts = [buffer[at[longer] + 1 + n].astype(np.int64) << 8 * n for n in range(size)]
                length[longer] = sum(parts)
                start[longer] += size
        at = start + length
        cells[:, place, 0], cells[:, place, 1] = start, at
    if not np.array_equal(at[:-1] + 4, begins[1:]):
        from pymysql.err import InternalError

        raise InternalError("a row of other columns than were selected")
    offsets: Any = np.concatenate([np.zeros(1, np.int32), cells.reshape(-1)])
    kept: Any = pa
    turns = kept.Array.from_buffers(
        pa.binary(), 2 * count * width, [None, kept.py_buffer(offsets), kept.py_buffer(data)]
    )
    firsts = np.arange(count, dtype=np.int64) * (2 * width) + 1
    return [turns.take(pa.array(firsts + 2 * place, mask=missing[place])) for place in range(width)]
