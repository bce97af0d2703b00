"""``make airflow``: one Airflow over a folder of homes, on this machine, until Ctrl-C.

::

    $ python -m zhixin_gateway.airflow.local zhixin-demo
    Airflow is at http://127.0.0.1:8080
    login: steward, password: kC3…
    Trigger the DAG zhixin.start there, or here:  … Ctrl-C stops everything.

Without homes in the folder the demo's four are made there first: silos filled, contracts in place,
nothing published, so that all of it can be watched from nothing. The folder may be one home, too:
an Airflow of that member's own, started by the ledger where inputs are made elsewhere.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from zhixin_errors import ConfigError, ZhixinError

from zhixin_gateway.airflow.plans import find_homes
from zhixin_gateway.airflow.services import USERNAME, AirflowServices, free_port, port_is_free

__all__ = ["DAG_FILE", "main", "make_homes"]

DAG_FILE = '''"""What Airflow parses: one DAG per contract of every home in ``ZHIXIN_HOMES``."""

from zhixin_gateway.airflow import dags

globals().update(dags())
'''
_DEFAULT_PORT = 8080


class _Stopped(BaseException):
    """A signal asked for the end; no handler for errors of ours may swallow it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring Airflow up, wait for a signal, and take every process down again.

    Args:
        arguments: of the command line; the process's own by default.

    Returns:
        0 after a signal, 1 to 3 as ``zhixin`` ends.
    """
    parser = argparse.ArgumentParser(prog="python -m zhixin_gateway.airflow.local")
    parser.add_argument("folder", nargs="?", default="zhixin-demo", help="of homes, or a home")
    parser.add_argument("--port", type=int, default=None, help="of the web interface")
    parser.add_argument("--dags", type=Path, default=None, help="a DAG folder of your own")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        _serve(Path(options.folder).absolute(), options.port, options.dags)
    except _Stopped:
        _say("stopped: no process of Airflow's is left")
        return 0
    except ZhixinError as error:
        _say(f"error ({error.code}): {error.message}")
        if error.hint:
            _say(f"  {error.hint}")
        return error.exit_code
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped


def _serve(folder: Path, port: int | None, dags: Path | None) -> None:
    make_homes(folder)
    services = AirflowServices(
        home=folder / "airflow",
        dags=_dag_folder(folder / "airflow") if dags is None else dags.absolute(),
        env=_settings(folder),
        port=_port(port),
    )
    _say("starting Airflow's four processes; this takes half a minute …")
    try:
        services.start()
        _say(f"Airflow is at {services.url}")
        _say(f"login: {USERNAME}, password: {services.password}")
        _say("Trigger the DAG zhixin.start: the datasets of all homes follow, then what is derived")
        _say("Ctrl-C stops everything.")
        while services.ended() is None:
            time.sleep(1)
        name = services.ended()
        raise ConfigError(f"Airflow's {name} ended by itself; see {services.log(str(name))}")
    finally:
        # A second Ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        services.stop()


def _dag_folder(home: Path) -> Path:
    dags = home / "dags"
    dags.mkdir(parents=True, exist_ok=True, mode=0o700)
    (dags / "zhixin_dags.py").write_text(DAG_FILE, encoding="utf-8")
    return dags


def _settings(folder: Path) -> dict[str, str]:
    """Try again sooner than in earnest: somebody is watching."""
    waits = {"ZHIXIN_RETRY_DELAY_S": "5", "ZHIXIN_WATCH_S": "5"}
    given = {name: os.environ[name] for name in waits if name in os.environ}
    return {"ZHIXIN_HOMES": str(folder), **waits, **given}


def _port(asked: int | None) -> int:
    if asked is not None:
        if not port_is_free(asked):
            raise ConfigError(f"port {asked} is taken", hint="name another one by --port")
        return asked
    return _DEFAULT_PORT if port_is_free(_DEFAULT_PORT) else free_port()


def make_homes(folder: Path) -> None:
    """Make the demo's homes, if the folder neither holds homes nor is one.

    Raises:
        ConfigError: it holds something else, or the demo's records are not installed.
    """
    if folder.is_dir() and find_homes(str(folder)):
        return
    from zhixin_gateway.demo.world import open_world
    from zhixin_gateway.progress import LogProgress

    _say(f"making the demo's homes in {folder} …")
    open_world(folder, {}, LogProgress())


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
