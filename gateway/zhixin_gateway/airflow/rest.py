"""Airflow's REST API v2, as much of it as starting, watching and counting runs needs.

Standard library only, loopback or TLS: the address comes from whoever starts Airflow. Nothing here
knows Zhixin; nothing here imports Airflow.
"""
# ruff: noqa: ANN401 - answers are whatever JSON the server gives

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from zhixin_errors import ConfigError, ZhixinError

__all__ = ["AirflowApi", "AirflowTimeout", "wait_until"]

T = TypeVar("T")
_PAGE = 100


class AirflowTimeout(ZhixinError):
    """Airflow did not come to what was waited for in time."""

    default_code = "airflow-timeout"
    exit_code = 3


def wait_until(what: str, probe: Callable[[], T | None], timeout_s: float, *, every_s: float) -> T:
    """Ask again and again until there is an answer.

    Args:
        what: what is waited for, for the message.
        probe: gives the answer, or None as long as there is none.
        timeout_s: when to give up.
        every_s: the pause between two questions.

    Returns:
        The first answer that is not None.

    Raises:
        AirflowTimeout: there was none in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = probe()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise AirflowTimeout(f"gave up after {timeout_s:.0f} s: {what}")
        time.sleep(every_s)


class AirflowApi:
    """A client that logs in once and asks in words of DAGs, runs, tasks and asset events.

    Args:
        url: the api-server's address without a slash at the end, such as ``http://127.0.0.1:8080``.
        username: a user of Airflow's auth manager.
        password: that user's password; it is sent once, for a token.
    """

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self._login = {"username": username, "password": password}
        self._token: str | None = None
        # Straight there: a proxy of the environment would not know this machine's loopback.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send one request and read the JSON answer; ``path`` begins with a slash.

        Raises:
            ConfigError: Airflow answered with an error; ``details["status"]`` is the HTTP status.
            OSError: nobody answered.
        """
        if self._token is None and not path.startswith("/auth/"):
            self._token = self._ask("POST", "/auth/token", self._login)["access_token"]
        return self._ask(method, path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the address is our own server's
            self.url + path, data=data, headers=headers, method=method
        )
        try:
            with self._opener.open(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            said = error.read()[:500].decode(errors="replace")
            raise ConfigError(
                f"Airflow answered {error.code} to {method} {path}: {said}",
                code="airflow-api",
                details={"status": error.code},
            ) from error
        except http.client.HTTPException as error:
            raise ConnectionError(f"no HTTP answer to {method} {path}") from error
        return json.loads(text) if text else None

    def _all(self, path: str, member: str, **query: str | int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        while True:
            asked = urllib.parse.urlencode({**query, "limit": _PAGE, "offset": len(items)})
            page = self.request("GET", f"{path}?{asked}")[member]
            items += page
            if len(page) < _PAGE:
                return items

    def health(self) -> dict[str, Any]:
        """Each component's status by name, without logging in."""
        health = self._ask("GET", "/api/v2/monitor/health", None)
        return dict(health)

    def dags(self) -> dict[str, dict[str, Any]]:
        """Every DAG that was parsed, by its id."""
        return {dag["dag_id"]: dag for dag in self._all("/api/v2/dags", "dags")}

    def import_errors(self) -> list[dict[str, Any]]:
        """What could not be parsed, with the traceback."""
        return self._all("/api/v2/importErrors", "import_errors")

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start one run by hand and give its id."""
        body = {"logical_date": None, "conf": conf}
        return str(self.request("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str = "~") -> list[dict[str, Any]]:
        """Every run of a DAG, oldest first; ``~`` is all DAGs."""
        return self._all(f"/api/v2/dags/{dag_id}/dagRuns", "dag_runs", order_by="id")

    def instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Every task instance of one run; of a mapped task one for each ``map_index``."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances"
        return self._all(path, "task_instances")

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """The task instances of one run by task id (mapped ones: the last)."""
        return {task["task_id"]: task for task in self.instances(dag_id, run_id)}

    def tries(self, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
        """Every try of one task, oldest first."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/tries"
        return list(self.request("GET", path)["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned."""
        run = f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}"
        path = f"{run}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=false"
        value = self.request("GET", path)["value"]
        return json.loads(value) if isinstance(value, str) else value

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """The log of one try of a task, as text."""
        run = f"/api/v2/dags/{dag_id}/dagRuns/{_quoted(run_id)}"
        said = self.request("GET", f"{run}/taskInstances/{task_id}/logs/{try_number}")["content"]
        return "\n".join(line if isinstance(line, str) else json.dumps(line) for line in said)

    def asset_events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Every asset event, oldest first; ``name`` is the asset's."""
        events = self._all("/api/v2/assets/events", "asset_events", order_by="timestamp")
        return [event for event in events if name is None or event["name"] == name]

    def emit(self, name: str, extra: Mapping[str, Any]) -> None:
        """Emit an asset's event by hand, as anybody with a login can."""
        asset = next(
            asset
            for asset in self._all("/api/v2/assets", "assets", name_pattern=name)
            if asset["name"] == name
        )
        body = {"asset_id": asset["id"], "extra": dict(extra)}
        self.request("POST", "/api/v2/assets/events", body)

    def wait_for_run(
        self, dag_id: str, run_id: str | None = None, *, timeout_s: float, count: int = 1
    ) -> dict[str, Any]:
        """Wait until a run has ended (without an id: until ``count`` runs have), and give it.

        Raises:
            AirflowTimeout: it did not in time, or without an id another DAG's run has failed, so
                that this one may never come.
        """

        def ended() -> dict[str, Any] | None:
            every = self.runs("~" if run_id is None else dag_id)
            failed = [run["dag_id"] for run in every if run["state"] == "failed"]
            if run_id is None and failed and dag_id not in failed:
                raise AirflowTimeout(f"{dag_id} waits in vain: {failed[0]} has failed")
            runs = [
                run
                for run in every
                if run["dag_id"] == dag_id and run_id in (None, run["dag_run_id"])
            ]
            done = [run for run in runs if run["state"] in ("success", "failed")]
            return done[-1] if len(done) >= count else None

        return wait_until(f"a run of {dag_id} to end", ended, timeout_s, every_s=0.5)


def _quoted(run_id: str) -> str:
    return urllib.parse.quote(run_id, safe="")
