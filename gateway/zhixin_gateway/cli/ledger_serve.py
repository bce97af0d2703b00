"""``zhixin ledger serve``: the log of this home over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import click
from zhixin_errors import ConfigError

from zhixin_gateway.cli.options import (
    Context,
    answer,
    examples,
    home_option,
    json_option,
    say,
)

__all__ = ["command", "need_node", "server_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def server_options(port: int) -> Callable[[Command], Command]:
    """Give the options of every command that serves.

    Args:
        port: the default one.
    """
    options = (
        click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen."),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="0: any free one.",
        ),
        click.option("--tls-cert", type=_FILE, help="The certificate chain, PEM."),
        click.option("--tls-key", type=_FILE, help="Its private key, PEM."),
        click.option(
            "--proxy-headers", is_flag=True, help="Believe a proxy on this machine who asks."
        ),
        click.option(
            "--connections",
            type=click.IntRange(1),
            default=1000,
            show_default=True,
            help="Open at once at most.",
        ),
        click.option(
            "--rate",
            type=click.FloatRange(0),
            default=0.0,
            help="Requests a second from one address at most; any number by default.",
        ),
        click.option(
            "--access-log/--no-access-log",
            default=True,
            show_default=True,
            help="A line a request on standard error, without contents.",
        ),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@click.command(
    "serve",
    short_help="Serve the log of this home over HTTP.",
    epilog=examples(
        "zhixin ledger serve",
        "zhixin ledger serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem",
    ),
)
@server_options(8701)
@json_option
@home_option
@click.pass_obj
def command(
    context: Context,
    /,
    *,
    as_json: bool,
    rate: float,
    access_log: bool,
    **serving: Any,  # noqa: ANN401 - what `Serving` takes
) -> None:
    """Serve the log that lies in this home, until SIGTERM or Ctrl-C; docs/network.md says how.

    Members submit and read by its URL, which their settings name as [ledger] url, this home's too.
    The witnesses of this home's settings are asked to cosign. What was acknowledged is there
    afterwards, however the server ends.
    """
    need_node()
    from zhixin_ledger.embedded import Engine
    from zhixin_ledger.http.log_app import LogService, make_log_app
    from zhixin_ledger.http.serving import Serving, dressed, serve
    from zhixin_ledger.transport import LOG_FOLDER, load_keys

    from zhixin_gateway.home import LOG_KEY
    from zhixin_gateway.witnessing import now, witnesses_of

    home = context.open_home()
    if not (home.keys_dir / LOG_KEY).is_file():
        raise ConfigError(
            f"{home.path} keeps no log: it has no {home.keys_dir.name}/{LOG_KEY}",
            hint="the ledger's operator serves it; any member serves `zhixin witness serve`",
        )
    engine = Engine(
        home.path / LOG_FOLDER,
        home.signer(LOG_KEY),
        clock=now,
        hold=True,
        later=lambda: load_keys(home.keys_dir / LOG_KEY, home.load_key),
    )
    try:
        service = LogService(engine, witnesses_of(home))
        app = dressed(
            make_log_app(service),
            service.registry,
            access_log=access_log,
            per_s=rate,
            burst=int(2 * rate),
        )

        def ready(url: str) -> None:
            say(f"serving {service.origin} at {url}")
            if as_json:
                answer({"origin": service.origin, "url": url})

        serve(app, Serving(**serving), ready=ready, on_stop=service.stopping)
    finally:
        engine.close()


def need_node() -> None:
    """Say what is missing where servers are not installed.

    Raises:
        ConfigError: they are not.
    """
    missing = [name for name in ("fastapi", "prometheus_client", "uvicorn") if not find_spec(name)]
    if missing:
        raise ConfigError(
            f"this installation can't serve: {', '.join(missing)} is missing",
            hint="pip install 'zhixin-gateway[node]'",
        )
