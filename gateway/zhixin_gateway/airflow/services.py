"""Airflow's four processes on one machine: started, waited for, and each stopped by its id.

``airflow standalone`` leaves orphans when it is terminated and opens ports on every interface, so
the processes are started one by one: api-server, dag-processor, scheduler and triggerer, the last
two with ``--skip-serve-logs``. All listen on 127.0.0.1 only. It serves ``make airflow`` and the
tests; a member in earnest runs the same four by compose (``docker/``).

This module does not import Airflow: it starts its programs with settings in the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from zhixin_errors import ConfigError

from zhixin_gateway.airflow.preload import LOCAL_SETTINGS
from zhixin_gateway.airflow.rest import AirflowApi, wait_until

__all__ = ["PROGRAMS", "USERNAME", "AirflowServices", "free_port", "port_is_free"]

USERNAME = "steward"
# The order of starting; they are stopped in reverse, so that no task loses its api-server.
PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("api-server",),
    ("scheduler", "--skip-serve-logs"),
    ("dag-processor",),
    ("triggerer", "--skip-serve-logs"),
)
_COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


def port_is_free(port: int) -> bool:
    """Say whether nobody listens on a TCP port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Give a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class AirflowServices:
    """One Airflow, as a context manager.

    Args:
        home: ``AIRFLOW_HOME``: settings, logs and, where no ``database`` is named, the metadata.
        dags: the folder that Airflow parses.
        env: what the DAGs and their tasks need besides, such as ``ZHIXIN_HOMES``.
        database: SQLAlchemy URL of the metadata database, such as ``postgresql+psycopg://…``;
            SQLite in ``home`` by default.
        command: what runs one of Airflow's programs; ``docker/entrypoint.sh`` is another one.
        migration: the program that comes first and must end well.
        port: of the web interface and REST API on 127.0.0.1; 0 takes a free one.
        parallelism: how many tasks run at once.
        password: of the user ``steward``.
    """

    home: Path
    dags: Path
    env: Mapping[str, str] = field(default_factory=dict)
    database: str | None = None
    port: int = 0
    parallelism: int = 3
    command: Sequence[str] = (sys.executable, "-m", "airflow")
    migration: Sequence[str] = ("db", "migrate")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    @property
    def url(self) -> str:
        """The address of the web interface and the REST API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> AirflowApi:
        """A new client, logged in on its first request."""
        return AirflowApi(self.url, USERNAME, self.password)

    def settings(self) -> dict[str, str]:
        """The environment of every process: what is not said here is Airflow's default."""
        database = self.database or f"sqlite:///{self.home / 'airflow.db'}"
        ours = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            # Else a scheduler that is started anew leaves its predecessor's tasks for five minutes.
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "GX_ANALYTICS_ENABLED": "false",
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])),
            "TQDM_DISABLE": "1",
        }
        if database.startswith("postgresql+psycopg:"):
            # One driver for both: Airflow would look for asyncpg, which nothing else here needs.
            ours["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = database
        return {**os.environ, **ours, **self.env}

    @property
    def _passwords(self) -> Path:
        return self.home / "passwords.json"

    def start(self, timeout_s: float = 180) -> Self:
        """Migrate the database, start the processes and wait until each says it is healthy.

        Raises:
            ConfigError: the migration failed or a process ended; names its log.
            AirflowTimeout: they were not healthy in time.
        """
        self.port = self.port or free_port()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("logs", "config"):
            (self.home / name).mkdir(exist_ok=True)
        (self.home / "config" / "airflow_local_settings.py").write_text(LOCAL_SETTINGS)
        self._passwords.touch(mode=0o600)
        self._passwords.write_text(json.dumps({USERNAME: self.password}))
        self._migrate(timeout_s)
        try:
            for program in PROGRAMS:
                self._spawn(program)
            wait_until("Airflow to be healthy", self._healthy, timeout_s, every_s=0.5)
        except BaseException:
            self.stop()
            raise
        return self

    def _migrate(self, timeout_s: float) -> None:
        with self.log("migrate").open("ab") as log:
            done = subprocess.run(
                [*self.command, *self.migration],
                env=self.settings(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=timeout_s,
                check=False,
            )
        if done.returncode:
            raise ConfigError(f"Airflow's migration failed; see {self.log('migrate')}")

    def _spawn(self, program: Sequence[str]) -> None:
        name = program[0]
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [*self.command, *program],
                env=self.settings(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A group of its own: Ctrl-C reaches us alone, and we stop each in order.
                start_new_session=True,
            )

    def log(self, program: str) -> Path:
        """Where a program's output goes."""
        return self.home / "logs" / f"{program}.log"

    def ended(self) -> str | None:
        """Give the program of a process that has ended by itself, if one has."""
        dead = (name for name, process in self._running.items() if process.poll() is not None)
        return next(dead, None)

    def _healthy(self) -> bool | None:
        dead = self.ended()
        if dead is not None:
            raise ConfigError(f"Airflow's {dead} ended by itself; see {self.log(dead)}")
        try:
            health = self.api.health()
        except OSError:
            return None
        states = [health[component]["status"] for component in _COMPONENTS]
        return True if all(state == "healthy" for state in states) else None

    def wait_for_dags(self, *dag_ids: str, timeout_s: float = 90) -> None:
        """Wait until Airflow has parsed these DAGs.

        Raises:
            ConfigError: a file of the folder could not be parsed; the message has the traceback.
            AirflowTimeout: they did not appear in time.
        """
        api = self.api

        def parsed() -> bool | None:
            errors = api.import_errors()
            if errors:
                raise ConfigError(f"Airflow can't parse a DAG file: {errors[0]['stack_trace']}")
            return True if set(dag_ids) <= api.dags().keys() else None

        wait_until(f"DAGs {', '.join(dag_ids)}", parsed, timeout_s, every_s=1)

    def wait_for_try(
        self, dag: str, run_id: str, task_id: str, number: int, *, timeout_s: float
    ) -> None:
        """Wait until a task's try has ended without success, so that another one is due.

        Raises:
            AirflowTimeout: it did not come to that in time.
        """
        api = self.api

        def failed() -> bool | None:
            found = api.tasks(dag, run_id).get(task_id, {})
            due = found.get("state") == "up_for_retry" and found.get("try_number") == number
            return True if due else None

        wait_until(f"try {number} of {dag} {task_id}", failed, timeout_s, every_s=0.3)

    def stop(self, grace_s: float = 15) -> None:
        """Stop each process by its id, then whatever it left behind in its own group."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        for process in reversed(self._running.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running.clear()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()
