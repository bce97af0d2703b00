"""A TCP relay that breaks: it cuts, stalls or refuses, so that a connector meets a bad network.

::

    with Relay(port_of_the_server, cut_after=100_000) as relay:
        read(f"postgresql://owner@127.0.0.1:{relay.port}/db")     # lost after 100,000 bytes
        relay.connections                                         # how often it was called
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading


class Relay:
    """Relays to a server on this machine.

    Args:
        port: the server's.
        cut_after: bytes from the server after which both sides are reset.
        stall_after: bytes from the server after which nothing is passed on, and nothing closed.
        refuse: reset each connection at once.
        times: how often this happens; then everything passes. None: always.
    """

    def __init__(
        self,
        port: int,
        *,
        cut_after: int | None = None,
        stall_after: int | None = None,
        refuse: bool = False,
        times: int | None = None,
    ) -> None:
        self._server = port
        self._cut_after, self._stall_after, self._refuse = cut_after, stall_after, refuse
        self._left = itertools.repeat(True) if times is None else iter([True] * times)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.connections = 0
        self.passed = 0  # bytes from the server, over all connections
        self._open: list[socket.socket] = []

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Reset all connections, now."""
        for end in self._open:
            _reset(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            if self._refuse and next(self._left, False):
                _reset(client)
                continue
            server = socket.create_connection(("127.0.0.1", self._server), timeout=20)
            server.settimeout(None)
            self._open += [client, server]
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        done, stalled = 0, False
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                done += len(data)
                stalled = stalled or (_over(done, self._stall_after) and next(self._left, False))
                if stalled:
                    continue
                if _over(done, self._cut_after) and next(self._left, False):
                    _reset(client)
                    _reset(server)
                    return
                client.sendall(data)
                self.passed += len(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)


def _over(done: int, limit: int | None) -> bool:
    return limit is not None and done > limit


def _reset(end: socket.socket) -> None:
    """Close with RST, as a network does that forgot the connection."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)  # wakes who reads it
    end.close()
