"""From a source's URL to its connector.

::

    sqlite:///flights.db  postgresql://user@host/db  any+sqlalchemy://…   a database
    /data/flights.csv  csv:flights.txt  file:planes.parquet                one file
    /data/silo/                                                            a folder of files
    anything else: an entry point of the group ``zhixin.connectors`` named after the URL's scheme
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from zhixin_errors import ConfigError

from zhixin_connectors.protocol import Connector, ConnectorFactory

__all__ = ["ENTRY_POINTS", "open_source", "source_name"]

ENTRY_POINTS = "zhixin.connectors"
_BUILT_IN = {
    "sql": ("zhixin_connectors.sql", "open_sql"),
    "file": ("zhixin_connectors.files", "open_files"),
    "csv": ("zhixin_connectors.files", "open_files"),
    "parquet": ("zhixin_connectors.files", "open_files"),
}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9.+-]+):")


def open_source(
    url: str, options: Mapping[str, Any] | None = None, *, name: str | None = None
) -> Connector:
    """Open a source; nothing is reached until the connector is used.

    Args:
        url: as in the table at the top of this module. A single letter before a colon is a drive.
        options: ``zhixin.*`` options, with or without that prefix.
        name: the member's own name for the source, used in messages; made from the URL without
            host and credentials if not given.

    Raises:
        ConfigError: the URL names no connector that is installed.
    """
    if not url:
        raise ConfigError(
            "the source has no address",
            hint="set url in [sources.<name>] of zhixin.toml; `zhixin source infer` writes it",
        )
    found = _SCHEME.match(url)
    scheme = found.group(1).lower() if found else "file"
    factory = _factory(scheme)
    return factory(url, options or {}, name or source_name(url))


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


def _factory(scheme: str) -> ConnectorFactory:
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == scheme:
            return cast("ConnectorFactory", point.load())
    module, function = _BUILT_IN.get(scheme, _BUILT_IN["sql"])
    return cast("ConnectorFactory", getattr(import_module(module), function))
