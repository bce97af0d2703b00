"""A member's settings: ``zhixin.toml`` in its home, overridden by ``ZHIXIN_*``.

::

    needs_zhixin = "0.2"               # the oldest release that may open this home; kept by us
    member = "bts.gov.example"
    second_opinion = "stop"            # or "warn": what a disagreeing second engine does

    [titles]
    en = "Bureau of Transportation Statistics"

    [ledger]
    url = "file:../bts.gov.example"    # relative to this home

    [[witnesses]]
    name = "faa.gov.example"
    url = "file:../faa.gov.example"

    [sources.silo]
    url = "sqlite:///silo/flights.db"

    [sources.weather]
    url = "https://api.example/v2"     # its secret: ZHIXIN_SOURCES_WEATHER_SECRET
    auth = "bearer"                    # further keys: docs/contracts.md and the connector's own

    [stores]
    "faa.gov.example" = "../faa.gov.example/store"         # or an object store (docs/stores.md)
    "noaa.gov.example" = "s3://noaa-datasets/zhixin?region=cn-north-1"

Environment: ``ZHIXIN_SECOND_OPINION``, ``ZHIXIN_LEDGER_URL``, ``ZHIXIN_STORE``,
``ZHIXIN_QUARANTINE``, and for a source named ``silo`` ``ZHIXIN_SOURCES_SILO_URL``, a file that
holds the address in ``ZHIXIN_SOURCES_SILO_URL_FILE``, or Airflow's own ``AIRFLOW_CONN_SILO``; its
secret in ``ZHIXIN_SOURCES_SILO_SECRET`` or the file of ``ZHIXIN_SOURCES_SILO_SECRET_FILE``.
Secrets stand there or in files, never here: an address with a password in it is refused. Pure: text
and mapping in, settings out; nothing here opens a database or a network.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from zhixin_errors import ConfigError

__all__ = [
    "HOME_FORMAT",
    "OptionValue",
    "Settings",
    "WitnessSetting",
    "address_variable",
    "check_source_url",
    "format_settings",
    "parse_settings",
    "secret_from_environment",
    "source_from_environment",
    "with_environment",
]

HOME_FORMAT = "0.2"
"""The oldest release that may open a home of this form; a newer form is refused, by name."""

OptionValue = str | bool | int | tuple[str, ...]
"""What an option of a source may be in the settings."""

_OPINIONS = ("stop", "warn")
_SECRETS = {"secret", "password", "token", "api_key", "client_secret"}
_TOP = {
    "needs_zhixin",
    "member", "titles", "second_opinion", "store", "quarantine",
    "ledger", "witnesses", "sources", "stores",
}  # fmt: skip


@dataclass(frozen=True)
class WitnessSetting:
    """A cosigning member and where its witness answers."""

    name: str
    url: str


@dataclass(frozen=True)
class Settings:
    """What ``zhixin.toml`` says, after the environment had its word.

    Args:
        member: the member's name, such as ``bts.gov.example``.
        titles: its titles by language tag.
        ledger_url: where entries are submitted and fetched; empty: none yet.
        witnesses: the cosigning members, in the order of the file.
        sources: address by source name.
        source_options: what else stands in a source's table, by its name; no secret.
        stores: where other members' datasets lie, by member name: paths, or addresses.
        second_opinion: ``stop`` or ``warn``.
        store: own store, a path or an address; empty for ``store/`` in the home.
        quarantine: own quarantine, empty for ``quarantine/`` in the home.
        needs_zhixin: the oldest release that may open the home; empty: it was written by 0.1.
    """

    member: str
    titles: Mapping[str, str] = field(default_factory=dict)
    ledger_url: str = ""
    witnesses: tuple[WitnessSetting, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    source_options: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)
    stores: Mapping[str, str] = field(default_factory=dict)
    second_opinion: str = "stop"
    store: str = ""
    quarantine: str = ""
    needs_zhixin: str = field(default=HOME_FORMAT, compare=False)


def parse_settings(text: str, what: str) -> Settings:
    """Read a settings file.

    Args:
        text: TOML.
        what: the file's name, for messages.

    Returns:
        The settings, without the environment.

    Raises:
        ConfigError: not TOML, an unknown or missing name, a value of the wrong type, a password;
            `home-newer`: a later release wrote it.
    """
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5,000 digits
        raise ConfigError(f"{what} is not TOML: {error}") from error
    needs = _needs(raw.get("needs_zhixin", ""), what)
    surplus = sorted(set(raw) - _TOP)
    if surplus:
        raise ConfigError(f"{what} has a setting that nobody knows: {surplus[0]}")
    sources = _table(raw.get("sources", {}), f"{what}: sources")
    opinion = _text(raw.get("second_opinion", "stop"), f"{what}: second_opinion")
    if opinion not in _OPINIONS:
        raise ConfigError(f'{what}: second_opinion is "stop" or "warn"')
    if "member" not in raw:
        raise ConfigError(f"{what}: member is missing")
    ledger = _table(raw.get("ledger", {}), f"{what}: ledger")
    return Settings(
        member=_text(raw["member"], f"{what}: member"),
        titles=_texts(raw.get("titles", {}), f"{what}: titles"),
        ledger_url=_text(ledger.get("url", ""), f"{what}: ledger.url"),
        witnesses=_witnesses(raw.get("witnesses", []), what),
        sources={name: _source_url(name, entry, what) for name, entry in sources.items()},
        source_options={
            name: _source_options(name, entry, what) for name, entry in sources.items()
        },
        stores={
            name: _place(place, f"{what}: stores.{name}")
            for name, place in _texts(raw.get("stores", {}), f"{what}: stores").items()
        },
        second_opinion=opinion,
        store=_place(_text(raw.get("store", ""), f"{what}: store"), f"{what}: store"),
        quarantine=_text(raw.get("quarantine", ""), f"{what}: quarantine"),
        needs_zhixin=needs,
    )


def with_environment(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Let ``ZHIXIN_*`` and Airflow's ``AIRFLOW_CONN_*`` override the file.

    Args:
        settings: what the file says.
        environ: the process's environment.

    Returns:
        The settings in force.

    Raises:
        ConfigError: ``ZHIXIN_SECOND_OPINION`` is neither ``stop`` nor ``warn``, or ``ZHIXIN_STORE``
            can't be used.
    """
    opinion = environ.get("ZHIXIN_SECOND_OPINION", settings.second_opinion)
    if opinion not in _OPINIONS:
        raise ConfigError('ZHIXIN_SECOND_OPINION is "stop" or "warn"')
    sources = dict(settings.sources)
    for name in sources:
        found = source_from_environment(name, environ)
        if found:
            sources[name] = found
    return replace(
        settings,
        second_opinion=opinion,
        ledger_url=environ.get("ZHIXIN_LEDGER_URL", settings.ledger_url),
        store=_place(environ.get("ZHIXIN_STORE", settings.store), "ZHIXIN_STORE"),
        quarantine=environ.get("ZHIXIN_QUARANTINE", settings.quarantine),
        sources=sources,
    )


def address_variable(name: str) -> str:
    """The environment variable of a source's address, such as ``ZHIXIN_SOURCES_SILO_URL``."""
    return f"ZHIXIN_SOURCES_{_tag(name)}_URL"


def source_from_environment(name: str, environ: Mapping[str, str]) -> str | None:
    """The address of a source that the environment gives, if it does.

    Args:
        name: the source's name, as ``servers[0].server`` of a contract has it.
        environ: the process's environment.

    Returns:
        An address, or None.

    Raises:
        ConfigError: the file that holds it can't be read.
    """
    given = _given(address_variable(name), environ)
    return given or environ.get(f"AIRFLOW_CONN_{_tag(name)}")


def secret_from_environment(name: str, environ: Mapping[str, str]) -> str | None:
    """The secret of a source: a password, token or key; None where it has none.

    Args:
        name: the source's name.
        environ: the process's environment.

    Raises:
        ConfigError: the file that holds it can't be read.
    """
    return _given(secret_variable(name), environ)


def secret_variable(name: str) -> str:
    """The environment variable of a source's secret, such as ``ZHIXIN_SOURCES_SILO_SECRET``."""
    return f"ZHIXIN_SOURCES_{_tag(name)}_SECRET"


def _given(variable: str, environ: Mapping[str, str]) -> str | None:
    """A variable's value, or what the file holds that ``…_FILE`` names."""
    file = environ.get(f"{variable}_FILE")
    if file:
        try:
            return Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the file of {variable}_FILE can't be read") from error
    return environ.get(variable) or None


def _tag(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def format_settings(settings: Settings) -> str:
    """Write settings as the TOML that ``parse_settings`` reads.

    Args:
        settings: what to write.

    Returns:
        The text of a ``zhixin.toml``.
    """
    lines = [
        f"needs_zhixin = {_quoted(HOME_FORMAT)}",
        f"member = {_quoted(settings.member)}",
        f"second_opinion = {_quoted(settings.second_opinion)}",
    ]
    lines += [
        f"{name} = {_quoted(value)}"
        for name, value in (("store", settings.store), ("quarantine", settings.quarantine))
        if value
    ]
    lines += _section("titles", settings.titles)
    if settings.ledger_url:
        lines += _section("ledger", {"url": settings.ledger_url})
    for witness in settings.witnesses:
        lines += ["", "[[witnesses]]"]
        lines += [f"name = {_quoted(witness.name)}", f"url = {_quoted(witness.url)}"]
    for name, url in settings.sources.items():
        options = settings.source_options.get(name, {})
        lines += _section(f"sources.{_key(name)}", {"url": url, **options})
    lines += _section("stores", settings.stores)
    return "\n".join(lines) + "\n"


def _section(name: str, values: Mapping[str, OptionValue]) -> list[str]:
    if not values:
        return []
    return ["", f"[{name}]", *(f"{_key(key)} = {_written(value)}" for key, value in values.items())]


def _written(value: OptionValue) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    return str(value).lower()


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda m: f"\\u{ord(m[0]):04x}", escaped) + '"'


def _needs(value: object, what: str) -> str:
    """Hold a home to the forms that this release knows, before anything else in it is read."""
    text = _text(value, f"{what}: needs_zhixin")
    found = re.fullmatch(r"([0-9]{1,6})\.([0-9]{1,6})", text)
    if text and found is None:
        raise ConfigError(f'{what}: needs_zhixin is a release, such as "{HOME_FORMAT}"')
    ours = tuple(map(int, HOME_FORMAT.split(".")))
    if found is not None and (int(found[1]), int(found[2])) > ours:
        raise ConfigError(
            f"{what} was written by a later release: it needs Zhixin {text}, this is {HOME_FORMAT}",
            code="home-newer",
            hint="install that release: pip install --upgrade zhixin-gateway",
        )
    return text


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{what} is a text")
    return value


def _table(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(f"{what} is a table")
    return value


def _texts(value: object, what: str) -> dict[str, str]:
    return {key: _text(item, f"{what}.{key}") for key, item in _table(value, what).items()}


def _witnesses(value: object, what: str) -> tuple[WitnessSetting, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{what}: witnesses is a list of tables, [[witnesses]]")
    found = []
    for item in value:
        texts = _texts(item, f"{what}: witnesses")
        if set(texts) != {"name", "url"}:
            raise ConfigError(f"{what}: a witness has name and url, nothing else")
        found.append(WitnessSetting(texts["name"], texts["url"]))
    return tuple(found)


def _place(place: str, what: str) -> str:
    """Hold where versions lie to what may stand in a file: a path, or an address without login."""
    if "://" in place and not place.startswith("file:"):
        from zhixin_connectors.objectstore import check_address

        check_address(place, what)
    return place


def _source_url(name: str, entry: object, what: str) -> str:
    place = f"{what}: sources.{name}"
    table = _table(entry, place)
    if "url" not in table:
        raise ConfigError(f"{place} has no url")
    return check_source_url(name, _text(table["url"], f"{place}.url"), f"{place}.url")


def _source_options(name: str, entry: object, what: str) -> dict[str, OptionValue]:
    """What stands beside ``url``: no secret, and nothing that the connector does not know."""
    place = f"{what}: sources.{name}"
    table = _table(entry, place)
    found = {key: _option(value, f"{place}.{key}") for key, value in table.items() if key != "url"}
    secret = next((key for key in found if key.lower() in _SECRETS), None)
    if secret:
        raise ConfigError(
            f"{place}.{secret}: a secret has no place in zhixin.toml",
            hint=f"set it in {secret_variable(name)}, or in a file that "
            f"{secret_variable(name)}_FILE names",
        )
    try:
        from zhixin_connectors.registry import check_options

        check_options(str(table["url"]), found)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.message}", hint=error.hint) from None
    return found


def _option(value: object, what: str) -> OptionValue:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(value, (str, bool, int)):
        return value
    raise ConfigError(f"{what} is a text, an integer, true or false, or a list of texts")


def check_source_url(name: str, url: str, what: str) -> str:
    """Hold an address to what may stand in a file: no password.

    Args:
        name: the source's name.
        url: its address.
        what: how a message names it; the address itself is never repeated.

    Raises:
        ConfigError: it holds a password, or is no address.
    """
    try:
        from zhixin_connectors.access import secret_parameter

        secret = urlsplit(url).password or secret_parameter(url)
    except ValueError as error:
        raise ConfigError(f"{what} is no address") from error
    if secret:
        raise ConfigError(
            f"{what} holds a password or key, which has no place in zhixin.toml",
            hint=f"leave it out of the address and set it in {secret_variable(name)}, "
            "or keep the source in an Airflow connection",
        )
    return url
