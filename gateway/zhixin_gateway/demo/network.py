"""The demo's members as processes of their own, over HTTP on loopback.

::

    bts.gov.example    zhixin ledger serve     orders entries, keeps the log
    every member       zhixin witness serve    replays, cosigns, serves its copy to anyone

What a member's process does it does by its own home; members know each other by URL alone. The
ports are chosen once and stand in the homes' settings, so that a second demo finds them again.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from zhixin_errors import ConfigError, LedgerUnavailable
from zhixin_ledger.http.asking import Server
from zhixin_ledger.http.problems import members_of

from zhixin_gateway.demo.world import MEMBERS, World
from zhixin_gateway.settings import WitnessSetting

__all__ = ["LEDGER", "Network", "is_networked", "put_on_network"]

LEDGER = "ledger"
_OPERATOR = MEMBERS[0]
_READY_S = 60.0
_END_S = 20.0
_POLL_S = 0.05
_TELL_S = 2.0
_MAX_STATUS_BYTES = 256 * 1024


def is_networked(world: World) -> bool:
    """Whether the members of this world reach each other over HTTP already."""
    return world.home(_OPERATOR).settings.ledger_url.startswith("http:")


def put_on_network(world: World) -> None:
    """Choose ports, and write into every home's settings where the others answer."""
    ports = _free_ports(1 + len(MEMBERS))
    ledger_url = f"http://127.0.0.1:{ports[0]}"
    witnesses = tuple(
        WitnessSetting(member, f"http://127.0.0.1:{port}")
        for member, port in zip(MEMBERS, ports[1:], strict=True)
    )
    for member in (*MEMBERS[1:], _OPERATOR):  # the operator last: it says that all are done
        home = world.home(member)
        home.save(replace(home.filed_settings(), ledger_url=ledger_url, witnesses=witnesses))


@dataclass
class Network:
    """The processes of the demo, by member and for the ledger; ended when the block is left.

    Args:
        world: whose homes they serve.
    """

    world: World
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Network:
        try:
            for name in (LEDGER, *MEMBERS):
                self._spawn(name)
            for name in (LEDGER, *MEMBERS):
                self._wait(name)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def urls(self) -> dict[str, str]:
        """Where the ledger and each member's witness answer."""
        settings = self.world.home(_OPERATOR).settings
        return {LEDGER: settings.ledger_url} | {
            witness.name: witness.url for witness in settings.witnesses
        }

    def status(self, name: str) -> dict[str, object]:
        """What a process says of itself; empty where it does not answer."""
        server = Server(self.urls[name], f"the process of {name}")
        try:
            answer = server.request("GET", "status", _MAX_STATUS_BYTES, tries=1, timeout_s=_TELL_S)
        except LedgerUnavailable:
            return {}
        finally:
            server.close()
        return members_of(answer.body) if answer.status == 200 else {}

    def kill(self, name: str) -> None:
        """End a process as a power failure does."""
        process = self._running.pop(name)
        process.kill()
        process.wait(_END_S)

    def start(self, name: str) -> None:
        """Start a process and wait until it answers.

        Raises:
            LedgerUnavailable: it ended, or did not answer in time; its log says why.
        """
        self._spawn(name)
        self._wait(name)

    def close(self) -> None:
        """End every process cleanly; one that does not end in time is killed."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_END_S)
        self._running.clear()

    def _log(self, name: str) -> Path:
        return self.world.folder / "logs" / f"{name}.log"

    def _spawn(self, name: str) -> None:
        self._log(name).parent.mkdir(exist_ok=True)
        member, group = (_OPERATOR, "ledger") if name == LEDGER else (name, "witness")
        address = urlsplit(self.urls[name])
        command = [sys.executable, "-m", "zhixin_gateway.cli"]
        command += ["--home", str(self.world.folder / member), group, "serve"]
        command += ["--host", str(address.hostname), "--port", str(address.port)]
        with self._log(name).open("ab") as log:
            # Its own session: a Ctrl-C is for the demo, which ends its processes in order.
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait(self, name: str) -> None:
        deadline = time.monotonic() + _READY_S
        process = self._running[name]
        while not self.status(name):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LedgerUnavailable(
                    f"the process of {name} does not answer at {self.urls[name]}",
                    code="not-ready",
                    hint=f"{self._log(name)} says why",
                )
            time.sleep(_POLL_S)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody on this machine listens on now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    except OSError as error:
        raise ConfigError(f"this machine has no free ports: {error.strerror}") from error
    finally:
        for probe in probes:
            probe.close()
