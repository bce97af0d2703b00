"""Reads what stands above the fields: the dataset's name, its version, its source.

::

    id: bts.gov.example/flights
    version: 1.0.0
    servers:
      - server: operations            # names [sources.operations] of the home's zhixin.toml
        type: custom
        customProperties:
          - {property: zhixin.null, value: [NA]}
    schema:
      - name: flights
        physicalName: flights         # table, query file or path in that source; else its name

Contracts travel and are public among the members: no host, address or credential may stand in one.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from zhixin_schemas.document import Path, Place
from zhixin_schemas.incremental import lateness_problem
from zhixin_schemas.odcs import API_VERSIONS, SERVER_KEYS, server_types, suggestion
from zhixin_schemas.partitioning import MOST_PARTITIONS

__all__ = [
    "ADDRESS_KEYS",
    "DATASET_PATTERN",
    "DERIVED",
    "SOURCE_OPTIONS",
    "SOURCE_PATTERN",
    "VERSION_PATTERN",
    "Server",
    "check_header",
    "is_dataset_name",
    "read_dataset",
    "read_server",
]

DERIVED = "zhixin"
"""Name of the server of a derived dataset."""

SOURCE_OPTIONS = (
    "null", "nullQuoted", "delimiter", "quote", "encoding", "skipRows", "headerRows", "sheet",
    "range", "dateFormat", "timezone", "binary", "records", "optional", "total", "paging", "next",
    "pageParameter", "firstPage", "pageSize", "sizeParameter", "watermark",
    "partition", "partitions", "immutable", "incremental", "lateness", "deleted",
)  # fmt: skip
"""What a contract may say about its source, each as ``zhixin.<name>``."""

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DATASET_PATTERN = rf"{_LABEL}([.]{_LABEL})+/[a-z][a-z0-9-]{{0,62}}"
VERSION_PATTERN = "(0|[1-9][0-9]{0,17})([.](0|[1-9][0-9]{0,17})){2}"
SOURCE_PATTERN = "[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
_DESCRIPTION = ("usage", "purpose", "limitations", "authoritativeDefinitions", "customProperties")
ADDRESS_KEYS = (
    "host", "port", "location", "endpointUrl", "catalogUrl", "stagingDir", "account", "project",
    "serviceName",
)  # fmt: skip
_WAY_OUT = (
    "contracts travel: the source's address stands as url in [sources.<server>] of the home's "
    "zhixin.toml, which `zhixin source infer` writes, or in the Airflow connection of that name"
)
_USERINFO = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://[^/\s@]+@")
_SECRET = re.compile(r"(?i)(^|[._-])(password|passwd|pwd|secret|token|api[_-]?key|credentials?)$")
_URL = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Server:
    """Where the records come from.

    Args:
        name: of the source, or ``zhixin``.
        object: table, query file or path; empty for a derived dataset.
        options: ``zhixin.*`` without the prefix, SQL apart.
        sql: of a derived dataset.
        inputs: datasets that the SQL names.
    """

    name: str = ""
    object: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    sql: str | None = None
    inputs: tuple[str, ...] = ()


def is_dataset_name(text: str) -> bool:
    """Whether a text is ``member/name`` in the form of docs/formats.md 2.1."""
    return len(text.partition("/")[0]) <= 247 and bool(re.fullmatch(DATASET_PATTERN, text))


def read_dataset(root: Place) -> tuple[str, str]:
    """Read ``id`` and ``version``."""
    dataset, version = root.text("id"), root.text("version")
    if isinstance(root.at("id").value, str) and not is_dataset_name(dataset):
        root.at("id").report(
            "the id is the dataset's name, member/dataset in lowercase, such as "
            "bts.gov.example/flights"
        )
    if isinstance(root.at("version").value, str) and not re.fullmatch(VERSION_PATTERN, version):
        root.at("version").report("a version is major.minor.patch, such as 1.0.0")
    return dataset, version


def check_header(root: Place) -> None:
    """Check what stands around the schema: API version, description, secrets anywhere."""
    api = root.text("apiVersion")
    if api and api not in API_VERSIONS:
        older = f"; what {api} says stands in v3.1.0 too: write that" if api[:3] == "v3." else ""
        root.at("apiVersion").report(f"Zhixin reads {' and '.join(API_VERSIONS)}{older}")
    description = root.at("description")
    for key in description.names():
        if key not in _DESCRIPTION:
            description.at(key).report(f"unknown key{suggestion(key, _DESCRIPTION)}")
    for place in _everything(root):
        _check_secret(place)
        _check_property(place)


def _everything(place: Place) -> Iterator[Place]:
    """Go through all places; the document is at most 40 deep."""
    yield place
    if isinstance(place.value, dict):
        for key in place.names():
            yield from _everything(place.at(key))
    for item in place:
        yield from _everything(item)


def _check_secret(place: Place) -> None:
    if isinstance(place.value, str) and _USERINFO.search(place.value):
        place.report(f"an address with a user or password; {_WAY_OUT}")
    name = place.text("property")
    if name and "value" in place and _SECRET.search(name):
        place.at("property").report(f"this looks like a credential; {_WAY_OUT}")


_KNOWN = {
    "server": (*SOURCE_OPTIONS, "sql"),
    "relationship": ("severity",),
    "property": ("treatment", "clear"),
    "agreement": ("severity",),
}


def _check_property(place: Place) -> None:
    """Refuse a ``zhixin.*`` property that nothing reads where it stands."""
    name = place.text("property")
    if not name.startswith("zhixin.") or "customProperties" not in place.path:
        return
    inside = place.path[: len(place.path) - 2]
    known = _KNOWN.get(_kind_of_place(inside), ())
    short = name.removeprefix("zhixin.")
    if short not in known:
        everywhere = [word for words in _KNOWN.values() for word in words]
        elsewhere = short in everywhere
        place.at("property").report(
            "this property has no meaning here"
            if elsewhere
            else f"unknown property{suggestion(name, [f'zhixin.{w}' for w in everywhere])}"
        )


def _kind_of_place(path: Path) -> str:
    """What it is whose custom properties stand here; empty where none of ours belong."""
    if path[:1] == ("servers",):
        return "server"
    if path[:1] == ("slaProperties",):
        return "agreement"
    if "relationships" in path:
        return "relationship"
    return "property" if path[-2:-1] == ("properties",) or path[-1:] == ("items",) else ""


def read_server(root: Place, schema_object: Place, dataset: str) -> Server:
    """Read ``servers[0]`` and the object's ``physicalName``."""
    servers = root.items("servers")
    if not servers:
        root.at("servers").report(
            "servers is missing; servers[0] has type custom and, as server, the source's name"
        )
        return Server()
    first = servers[0]
    if first.text("type") in server_types() and first.text("type") != "custom":
        first.at("type").report(
            "servers[0] has type custom; whether the source is a "
            f"{first.text('type')} stands in its url"
        )
    _check_first(first)
    for server in servers[1:]:
        _check_other(server)
    name = first.text("server")
    if isinstance(first.at("server").value, str) and not re.fullmatch(SOURCE_PATTERN, name):
        first.at("server").report("a source's name has letters, digits, _ and - only")
    options = _options(first)
    sql = options.pop("sql", None)
    if (sql is not None) != (name == DERIVED):
        first.report(
            "a derived dataset has server zhixin and its SQL in zhixin.sql; others neither"
        )
    inputs: tuple[str, ...] = ()
    if isinstance(sql, str):
        from zhixin_schemas.derivation import read_inputs

        inputs = read_inputs(_property(first, "zhixin.sql"), sql, dataset)
    physical = schema_object.text("physicalName") or schema_object.text("name")
    if name != DERIVED:
        _check_object(schema_object.at("physicalName"), physical)
    return Server(name, physical, options, sql if isinstance(sql, str) else None, inputs)


_OBJECT = "the table, query file or path stands as physicalName of the object"
_ELSEWHERE = {
    "delimiter": "write customProperties: [{property: zhixin.delimiter, value: …}]",
    "encoding": "write customProperties: [{property: zhixin.encoding, value: …}]",
    "schema": _OBJECT,
    "path": _OBJECT,
    "format": "the file's suffix tells its format",
}


def _check_first(server: Place) -> None:
    """Hold the records' own server to what is read: a key without effect would mislead."""
    addresses = []
    for key in server.names():
        if key in _ELSEWHERE:
            server.at(key).report(_ELSEWHERE[key])
        elif key in server_types()["custom"] or key in ADDRESS_KEYS:
            addresses.append(key)
        elif key not in SERVER_KEYS:
            server.at(key).report(f"unknown key{suggestion(key, SERVER_KEYS)}")
    _refuse_address(server, addresses)


def _check_other(server: Place) -> None:
    """Take a further server as words for people, unless it tells an address."""
    known = {*SERVER_KEYS, *server_types().get(server.text("type"), ())}
    addresses = []
    for key in server.names():
        if key in ADDRESS_KEYS or _URL.search(server.text(key)):
            addresses.append(key)
        elif key not in known:
            server.at(key).report(f"unknown key{suggestion(key, known)}")
    _refuse_address(server, addresses)


def _refuse_address(server: Place, keys: list[str]) -> None:
    if keys:
        server.at(keys[0]).report(f"leave out {', '.join(keys)}: {_WAY_OUT}")


def _check_object(place: Place, physical: str) -> None:
    if _URL.search(physical):
        place.report(f"an address; {_WAY_OUT}")
    elif physical.startswith(("/", "~", "\\")) or ".." in re.split(r"[/\\]", physical):
        place.report("a path is relative to the source's url and stays below it")


def _property(server: Place, name: str) -> Place:
    for item in server.items("customProperties"):
        if item.text("property") == name:
            return item.at("value")
    return server


def _options(server: Place) -> dict[str, object]:
    options: dict[str, Any] = {}
    for item in server.items("customProperties"):
        name = item.text("property")
        if not name.startswith("zhixin."):
            continue
        short = name.removeprefix("zhixin.")
        if short in options:
            item.report(f"{name} stands twice")
        problem = _option_problem(short, item.at("value").value)
        if problem:
            item.at("value").report(problem)
        options[short] = item.at("value").value
    return options


def _option_problem(name: str, value: object) -> str | None:
    if name in _OTHER_OPTIONS:
        return _OTHER_OPTIONS[name](name, value)
    if name in _NUMBER_OPTIONS or (name == "sheet" and not isinstance(value, str)):
        sound = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return None if sound else f"zhixin.{name} is a whole number"
    if not isinstance(value, str) or not (value or name == "quote"):
        return f"zhixin.{name} is a text"
    return _TEXT_OPTIONS[name](value) if name in _TEXT_OPTIONS else None


def _character_problem(value: str) -> str | None:
    plain = "\t" if value == "\\t" else value
    if len(plain) > 1 or not plain.isascii() or plain in ("\r", "\n", "\0"):
        return "one ASCII character is wanted, such as ; or \\t for a tab"
    return None


def _binary_problem(value: str) -> str | None:
    return None if value in ("base64", "hex") else "zhixin.binary is base64 or hex"


def _encoding_problem(value: str) -> str | None:
    try:
        codecs.lookup(value)
    except (LookupError, ValueError):
        return "zhixin.encoding is no encoding that is known, such as utf-8 or gb18030"
    return None


def _range_problem(value: str) -> str | None:
    return (
        None if _RANGE.fullmatch(value) else "a range of cells is wanted, such as A3:F200 or A3:F"
    )


def _date_problem(value: str) -> str | None:
    wanted = all(letter in value for letter in "Md") and ("y" in value or "u" in value)
    return None if wanted else "a form of dates is wanted, such as y年M月d日 or dd/MM/yyyy"


def _timezone_problem(value: str) -> str | None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "zhixin.timezone is no zone of the IANA database, such as Asia/Shanghai"
    return None


def _words_problem(name: str, value: object) -> str | None:
    sound = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return None if sound else f'zhixin.{name} is a list of texts, such as ["NA"]'


def _flag_problem(name: str, value: object) -> str | None:
    return None if isinstance(value, bool) else f"zhixin.{name} is true or false"


def _partitions_problem(name: str, value: object) -> str | None:
    if isinstance(value, list):
        sound = all(type(bound) in (str, int) for bound in value)
        number = len(value) + 1 if sound else 0
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if 2 <= number <= MOST_PARTITIONS:
        return None
    return (
        f"zhixin.{name} is a number from 2 to {MOST_PARTITIONS:,}, or the list of the values "
        "at which spans begin"
    )


def _incremental_problem(value: str) -> str | None:
    return None if value in ("append", "key") else "zhixin.incremental is append or key"


def _paging_problem(value: str) -> str | None:
    ways = ("none", "link", "cursor", "page", "offset")
    return None if value in ways else f"zhixin.paging is one of {', '.join(ways)}"


_OTHER_OPTIONS: dict[str, Callable[[str, object], str | None]] = {
    "null": _words_problem,
    "optional": _words_problem,
    "nullQuoted": _flag_problem,
    "immutable": _flag_problem,
    "partitions": _partitions_problem,
    "lateness": lateness_problem,
}
_NUMBER_OPTIONS = ("skipRows", "headerRows", "firstPage", "pageSize")
_RANGE = re.compile(r"\$?[A-Za-z]{1,3}\$?[1-9][0-9]{0,6}:\$?[A-Za-z]{1,3}(\$?[1-9][0-9]{0,6})?")
_TEXT_OPTIONS = {
    "range": _range_problem,
    "dateFormat": _date_problem,
    "delimiter": _character_problem,
    "quote": _character_problem,
    "encoding": _encoding_problem,
    "timezone": _timezone_problem,
    "binary": _binary_problem,
    "paging": _paging_problem,
    "incremental": _incremental_problem,
}
