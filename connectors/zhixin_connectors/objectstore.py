"""How a file system that is no disk of this machine is opened: by its URL and the environment.

::

    s3://bucket/prefix?region=cn-north-1
    s3://bucket/prefix?endpoint_override=minio.gov.example:9000&region=x&tls_ca_file_path=/etc/ca.pem
    gs://bucket/prefix   abfs://…   hdfs://…        as pyarrow.fs opens them

Credentials are never in it: S3's come from the environment (``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``, or files that ``…_FILE`` names), else as AWS
has them: ``~/.aws``, a role of the machine, a web identity. A request is tried five times, with
growing, random waits between, and one that is not answered ends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from zhixin_errors import ConfigError

from zhixin_connectors.access import secret_parameter

__all__ = ["REMOTE_SCHEMES", "check_address", "open_filesystem", "shown"]

REMOTE_SCHEMES = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")

TRIES = 5
CONNECT_S = 10.0
ANSWER_S = 60.0
_S3_TEXTS = ("region", "scheme", "endpoint_override", "tls_ca_file_path", "role_arn", "external_id")
_S3_FLAGS = ("anonymous", "force_virtual_addressing")
_CREDENTIALS = {
    "access_key": "AWS_ACCESS_KEY_ID",
    "secret_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}


def shown(url: str) -> str:
    """An address as messages have it: without login and parameters."""
    head, _, rest = url.partition("://")
    return f"{head}://{rest.partition('?')[0].partition('#')[0].rpartition('@')[2].rstrip('/')}"


def check_address(url: str, what: str) -> None:
    """Hold an address to what may stand in a file: no credentials, nothing that nobody knows.

    Args:
        url: the address.
        what: how a message names it; the address itself is never repeated.

    Raises:
        ConfigError: it can't be used.
    """
    try:
        parts = urlsplit(url)
        secret = parts.username or parts.password or secret_parameter(url)
    except ValueError as error:
        raise ConfigError(f"{what} is no address") from error
    if secret:
        raise ConfigError(
            f"{what} holds a user, a password or a key, which has no place in an address",
            hint="the environment gives them, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if parts.scheme.lower() not in REMOTE_SCHEMES or not parts.netloc:
        raise ConfigError(
            f"{what} is none that pyarrow opens",
            hint=f"give a path, or an address such as {REMOTE_SCHEMES[0]}://bucket/prefix",
        )
    if parts.scheme.lower() == "s3":
        _s3_options(parts.query, what)


def open_filesystem(
    url: str, what: str, environ: Mapping[str, str] = os.environ
) -> tuple[Any, str]:
    """Open a file system; S3 is not reached by it.

    Args:
        url: its address, with the path in it.
        what: how a message names it.
        environ: where credentials stand.

    Returns:
        A ``pyarrow.fs.FileSystem``, and the path in it without a slash at its end.

    Raises:
        ConfigError: the address can't be used.
        OSError: the file system refuses.
    """
    check_address(url, what)
    from pyarrow import ArrowInvalid
    from pyarrow import fs as pafs

    parts = urlsplit(url)
    path = unquote(parts.netloc + parts.path).rstrip("/")
    if parts.scheme.lower() != "s3":
        try:
            filesystem, path = pafs.FileSystem.from_uri(url)
            return filesystem, path.rstrip("/")
        except ArrowInvalid:
            raise ConfigError(f"{what} is none that pyarrow opens") from None
    s3: Any = pafs.S3FileSystem
    return s3(
        **_s3_options(parts.query, what),
        **_s3_credentials(environ),
        connect_timeout=CONNECT_S,
        request_timeout=ANSWER_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=TRIES),
        allow_delayed_open=True,  # what is small is one request, and nothing begins too early
    ), path


def _s3_options(query: str, what: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _S3_TEXTS:
            found[name] = value
        elif name in _S3_FLAGS and value in ("true", "false"):
            found[name] = value == "true"
        else:
            raise ConfigError(
                f"{what} has a parameter that nobody knows: {name}",
                hint=f"there are {', '.join((*_S3_TEXTS, *_S3_FLAGS))}",
            )
    return found


def _s3_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Those that files hold; the others AWS's own chain finds."""
    found = {}
    for name, variable in _CREDENTIALS.items():
        if file := environ.get(f"{variable}_FILE"):
            try:
                found[name] = Path(file).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"the file of {variable}_FILE can't be read") from error
    if found and not {"access_key", "secret_key"} <= found.keys():
        raise ConfigError(
            "of AWS_ACCESS_KEY_ID_FILE and AWS_SECRET_ACCESS_KEY_FILE one is given and one is not"
        )
    return found
