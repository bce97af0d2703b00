"""A database driver's errors as ours: what kind, and the way out, in words of our own.

A driver's message is never passed on: it may hold a password, a host, the SQL, or what a record
holds. What is kept are SQLSTATE and the name of the driver's error class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from zhixin_errors import PermanentSourceError, SourceError, TransientSourceError, ZhixinError

from zhixin_connectors import mysqlerrors

__all__ = ["SilentError", "translate", "translated"]

_DRIVERS = {
    "sqlalchemy",
    "sqlite3",
    "psycopg",
    "adbc_driver_manager",
    "pymysql",
    "MySQLdb",
    "mariadb",
    "pyodbc",
    "oracledb",
}

# (SQLSTATE or its class, transient, what, way out)
_STATES: list[tuple[str, bool, str, str]] = [
    ("28", False, "the login was refused", mysqlerrors.LOGIN),
    ("3D", False, "there is no such database", "check the database's name in the source's url"),
    ("42501", False, "no permission to read it", "grant SELECT (and USAGE on its schema)"),
    ("42P01", False, "there is no such table or view", "see `zhixin source tables`"),
    ("42703", False, "there is no such column", "compare the contract with the table"),
    ("42", False, "the query is not valid", "try the query in the database's own shell"),
    ("53300", True, "the server has no connection left", "try again later"),
    ("53", True, "the server is out of resources", "try again later"),
    ("55P03", True, "a lock could not be had in time", "try again when the table is not locked"),
    ("40", True, "the transaction was rolled back by the server", "try again"),
    ("57014", True, "the server cancelled the query", "try again, or raise statement_timeout"),
    ("57", True, "the server is shutting down or starting", "try again"),
    ("08", True, "the connection was lost", "try again"),
    ("25P03", True, "the server ended the transaction", "try again"),
    ("25", False, "the server refuses the transaction", "is it a replica or a pooler?"),
    ("22P05", False, "a text can't be said in UTF-8", "mend it, or leave it out by a query"),
    ("22", False, "the query fails on a value of a record", "mend the query or the view"),
]

# (what a message has in it, transient, what, way out); for drivers and moments without SQLSTATE
_WORDS: list[tuple[str, bool, str, str]] = [
    (
        r"password authentication failed|no password supplied|access denied|role .* does not exist|"
        r"认证失败|角色.*不存在",
        False,
        "the login was refused",
        mysqlerrors.LOGIN,
    ),
    (
        r"pg_hba\.conf",
        False,
        "the server lets no such login in",
        "from this machine, to this database, and with TLS or without: ask its administrator",
    ),
    (
        r"database .* does not exist|unknown database|数据库.*不存在",
        False,
        "there is no such database",
        "check the database's name in the source's url",
    ),
    (
        r"too many (?:clients|connections)|connection slots|太多的|连接数过多",
        True,
        "the server has no connection left for this login",
        "try again later",
    ),
    (
        r"ssl syscall|ssl connection has been closed|unexpected eof",
        True,
        "the connection was lost",
        "try again",
    ),
    (r"ssl|tls|certificate", False, "TLS was refused", "check sslmode and certificates"),
    (r"database is locked|lock wait|deadlock", True, "it is locked", "try again"),
    (
        r"unable to open database file|file is not a database|malformed|disk image",
        False,
        "the file is not there, not readable, or no database",
        "check url in [sources] of zhixin.toml",
    ),
    (r"no such table|doesn't exist", False, "there is no such table", "see `zhixin source tables`"),
    (
        r"syntax error|readonly database|you can only execute one statement",
        False,
        "the query is not valid, or would write",
        "try the query in the database's own shell",
    ),
    (
        r"no such column|unknown column",
        False,
        "there is no such column",
        "compare the contract with the table",
    ),
    (
        "^read_timeout$",
        True,
        "the server said nothing for too long",
        "try again; read_timeout=SECONDS in the url waits longer",
    ),
    (
        r"refused|timed? ?out|could not (?:connect|translate)|resolve|unreachable|"
        r"closed the connection|closed unexpectedly|lost connection|"
        r"connection (?:failed|is closed)|"
        r"terminat|reset by peer|broken pipe|no route|can't connect",
        True,
        "it could not be reached, or the connection was lost",
        "is the server up, and the address right? try again",
    ),
]

# How what is said begins, and the code under which programs know it.
_CODES = {
    "the login": "login-refused",
    "the server lets no such login in": "login-refused",
    "no permission": "permission-denied",
    "TLS": "tls-refused",
    "there is no such database": "database-missing",
    "there is no such table": "object-missing",
    "there is no such column": "column-missing",
    "a lock": "source-locked",
    "it is locked": "source-locked",
}


class SilentError(OSError):
    """The server said nothing for too long: what a reader of our own raises."""

    def __init__(self) -> None:
        super().__init__("read_timeout")


@contextmanager
def translated(source: str, table: str = "") -> Iterator[None]:
    """Turn what a driver or SQLAlchemy raises inside into SourceError."""
    try:
        yield
    except (ZhixinError, GeneratorExit, AssertionError):
        raise
    except Exception as error:
        if not _of_a_driver(error):
            raise
        raise translate(error, source, table) from None


def translate(error: Exception, source: str, table: str = "") -> SourceError:
    """The error to raise; what it says is ours."""
    cause = getattr(error, "orig", None) or error
    transient, what, hint = _judge(cause)
    state = _state(cause)
    place = f"source {source}, {table}" if table else f"source {source}"
    kind = TransientSourceError if transient else PermanentSourceError
    details: dict[str, object] = {"driver_error": type(cause).__name__, "sqlstate": state}
    number, _ = mysqlerrors.judged(cause)
    if re.fullmatch(r"[\w-]+", source, re.ASCII):  # a member's own name, not one made of a URL
        hint = hint.replace("<NAME>", re.sub(r"\W|-", "_", source.upper()))
    shown = f"SQLSTATE {state}" if state else type(cause).__name__
    shown = f" (error {number})" if number else f" ({shown})"
    code = next((code for start, code in _CODES.items() if what.startswith(start)), None)
    return kind(f"{place}: {what}{shown}", code=code, hint=hint or None, details=details)


def _judge(cause: BaseException) -> tuple[bool, str, str]:
    _, known = mysqlerrors.judged(cause)
    if known is not None:
        return known
    state = _state(cause)
    for start, transient, what, hint in _STATES:
        if state.startswith(start):
            return transient, what, hint
    message = str(cause)
    for words, transient, what, hint in _WORDS:
        if re.search(words, message, re.IGNORECASE):
            return transient, what, hint
    sqlite = type(cause).__module__ == "sqlite3"  # where OperationalError says nothing
    doubtful = {"OperationalError", "InterfaceError", "TimeoutError"}
    transient = type(cause).__name__ in doubtful and not sqlite
    return transient, "the database could not do it", "try the query in its own shell"


def _state(cause: BaseException) -> str:
    state = getattr(cause, "sqlstate", None)
    return state if isinstance(state, str) else ""


def _of_a_driver(error: Exception) -> bool:
    names = {base.__module__.split(".")[0] for base in type(error).__mro__}
    return bool(names & _DRIVERS) or isinstance(error, OSError)
