"""From a source's URL to its connector.

::

    sqlite:///flights.db  postgresql://user@host/db  any+sqlalchemy://…   a database
    /data/flights.csv  csv:flights.txt  file:planes.parquet                one file
    /data/silo/  /data/2026-*.csv  s3://bucket/silo                        files (places.py)
    https://api.example/v2                                                 JSON over HTTP
    anything else: an entry point of the group ``zhixin.connectors`` named after the URL's scheme

What is built in can't be taken over by a package; two packages that claim one scheme are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from zhixin_errors import ConfigError, ZhixinError

from zhixin_connectors.access import split_access
from zhixin_connectors.options import parse_options

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from zhixin_connectors.protocol import Connector, ConnectorFactory
    from zhixin_connectors.sql import SqlSource

__all__ = ["ENTRY_POINTS", "check_options", "open_source", "source_name"]

ENTRY_POINTS = "zhixin.connectors"


class _BuiltIn(NamedTuple):
    module: str
    function: str
    access: bool = False  # whether [sources.X] may say how to log in


_SQL = _BuiltIn("zhixin_connectors.sql", "open_sql")
_POSTGRESQL = _BuiltIn("zhixin_connectors.postgresql_source", "open_postgresql")
_FILES = _BuiltIn("zhixin_connectors.files", "open_files")
_HTTP = _BuiltIn("zhixin_connectors.httpjson", "open_http", access=True)
_BUILT_IN = {
    "sql": _SQL,
    "sqlite": _SQL,
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "mysql": _SQL,
    "mariadb": _SQL,
    "file": _FILES,
    "csv": _FILES,
    "excel": _FILES,
    "parquet": _FILES,
    **dict.fromkeys(("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss"), _FILES),
    "json": _FILES,
    "jsonl": _FILES,
    "http": _HTTP,
    "https": _HTTP,
}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9.+-]+):")


def open_source(
    url: str,
    options: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    folder: Path | None = None,
) -> Connector:
    """Open a source; nothing is reached until the connector is used.

    Args:
        url: as in the table at the top of this module. A single letter before a colon is a drive.
        options: ``zhixin.*`` options, with or without that prefix, and what ``[sources.X]`` has.
        name: the member's own name for the source, used in messages; made from the URL without
            host and credentials if not given.
        folder: from where the path of a query's file counts; the working folder if not given.

    Raises:
        ConfigError: the URL names no connector that is installed, or the connector refuses it.
    """
    if not url:
        raise ConfigError(
            "the source has no address",
            hint="set url in [sources.<name>] of zhixin.toml; `zhixin source infer` writes it",
        )
    scheme, name = _scheme(url), name or source_name(url)
    known = _built_in(scheme)
    point = None if known else _plugin(scheme)
    if point is None:
        known = known or _SQL
        factory = cast("ConnectorFactory", getattr(import_module(known.module), known.function))
        opened = factory(url, options or {}, name)
        if folder is not None and known in {_SQL, _POSTGRESQL}:
            cast("SqlSource", opened).folder = folder
        return opened
    return _open_plugin(point, url, options or {}, name)


def check_options(url: str, options: Mapping[str, Any]) -> None:
    """Hold what ``[sources.X]`` says to what the connector knows, before it is opened.

    Args:
        url: the source's address; of a package's connector nothing is known here.
        options: without prefix, and without a secret.

    Raises:
        ConfigError: an option is unknown or has a wrong value; names it.
    """
    known = _built_in(_scheme(url))
    if known is not None:
        parse_options(split_access(options)[1] if known.access else options)


def source_name(url: str) -> str:
    """A name for a source that gives away neither host nor credentials."""
    found = _SCHEME.match(url)
    scheme = found.group(1).lower() if found else "file"
    rest = url[found.end() :] if found else url
    path = rest.split("?", 1)[0].split("#", 1)[0]
    if path.startswith("//") and not path.startswith("///"):
        _, _, path = path[2:].partition("/")
    last = Path(path).name
    kind = scheme.split("+", 1)[0]
    return last if kind == "file" and last else f"{kind} {last}".strip()


def _scheme(url: str) -> str:
    found = _SCHEME.match(url)
    return found.group(1).lower() if found else "file"


def _built_in(scheme: str) -> _BuiltIn | None:
    return _BUILT_IN.get(scheme) or _BUILT_IN.get(scheme.partition("+")[0])


def _plugin(scheme: str) -> EntryPoint | None:
    from importlib.metadata import entry_points

    points = [point for point in entry_points(group=ENTRY_POINTS) if point.name.lower() == scheme]
    if len({point.value for point in points}) > 1:
        owners = " and ".join(sorted(_package(point) for point in points))
        raise ConfigError(
            f"{owners} both bring a connector for {scheme}:",
            code="connector-twice",
            hint="uninstall one of them",
        )
    return points[0] if points else None


def _open_plugin(point: EntryPoint, url: str, options: Mapping[str, Any], name: str) -> Connector:
    """Open another package's connector, whose conduct is watched.

    What it says when it fails is not repeated: it may hold the address or the secret.
    """
    from zhixin_connectors.holding import HeldConnector
    from zhixin_connectors.protocol import Connector

    package = _package(point)
    try:
        connector = point.load()(url, options, name)
    except ZhixinError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a stranger's code raises
        raise ConfigError(
            f"source {name}: the connector of the package {package} fails as it is opened "
            f"({type(error).__name__})",
            code="connector-broken",
            hint=f"is {package} installed whole, and of a release for this one?",
        ) from None
    if not isinstance(connector, Connector):
        raise ConfigError(
            f"source {name}: what the package {package} brings is no connector: it lacks a method",
            code="connector-broken",
            hint="docs/connectors.md says what a connector has",
        )
    return HeldConnector(connector, name, package)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module
