"""Error numbers of MariaDB and MySQL: their SQLSTATEs put half of them under one roof.

Transient ones are worth a retry; the words are ours, and a server's message is never passed on.
"""

from __future__ import annotations

import re

__all__ = ["LOGIN", "judged"]

LOGIN = (
    "check the user in the source's url, and the password in ZHIXIN_SOURCES_<NAME>_SECRET, or in "
    "the file that …_SECRET_FILE names"
)
_RETRY = "try again"
_LATER = "try again later"

# number: (transient, what, way out)
_NUMBERS: dict[int, tuple[bool, str, str]] = {
    # The login
    1045: (
        False,
        "the login was refused",
        f"{LOGIN}; with ssl_disabled in the url, is TLS demanded?",
    ),
    1698: (False, "the login was refused", "this user may not come in with a password"),
    1130: (False, "the server lets no such login in from here", "ask its administrator"),
    1129: (
        True,
        "the server blocks this machine after too many broken connections",
        "its administrator runs FLUSH HOSTS",
    ),
    1820: (False, "the login's password has expired", "ask the server's administrator"),
    1862: (False, "the login's password has expired", "ask the server's administrator"),
    4151: (False, "the login is locked", "ask the server's administrator"),
    3159: (False, "TLS is required by the server", "take ssl_disabled out of the url"),
    2026: (False, "TLS was refused", "check ssl_ca and the other ssl_ settings of the url"),
    # What may be read, and what is there
    1044: (False, "no permission to read that database", "grant SELECT on it"),
    1142: (False, "no permission to read it, or it is not there", "grant SELECT on it"),
    1143: (False, "no permission to read one of its columns", "grant SELECT on the columns"),
    1370: (False, "no permission for a routine that it calls", "grant EXECUTE, or read a table"),
    1049: (False, "there is no such database", "check the database's name in the source's url"),
    1046: (False, "no database is named", "name it in the source's url, or write database.table"),
    1051: (False, "there is no such table or view", "see `zhixin source tables`"),
    1146: (False, "there is no such table or view", "see `zhixin source tables`"),
    1054: (False, "there is no such column", "compare the contract with the table"),
    1356: (False, "the view is broken", "mend it: a table, column or right of its definer is gone"),
    1449: (False, "the view is broken", "mend it: its definer is gone"),
    1060: (
        False,
        "the query has a column of one name more than once",
        "name the query's columns apart with AS",
    ),
    1064: (False, "the query is not valid", "try the query in the database's own shell"),
    1792: (False, "the query would write", "a source is only read"),
    1104: (False, "the query would look at too many rows", "raise max_join_size, or read a table"),
    # Locks and limits
    1205: (True, "a lock could not be had in time", "try again when the table is not locked"),
    1213: (True, "the transaction was rolled back by the server", _RETRY),
    1412: (True, "the table was changed while it was read", _RETRY),
    1969: (True, "the server ended the query after its time limit", "raise max_statement_time"),
    3024: (True, "the server ended the query after its time limit", "raise max_execution_time"),
    1317: (True, "the server cancelled the query", _RETRY),
    1040: (True, "the server has no connection left", _LATER),
    1203: (True, "no connection is left for the login", _LATER),
    1226: (True, "what the login may use per hour, or its connections, is used up", _LATER),
    1021: (True, "the server's disk is full", _LATER),
    1037: (True, "the server is out of memory", _LATER),
    1038: (True, "the server is out of memory for sorting", "raise sort_buffer_size"),
    1041: (True, "the server is out of memory", _LATER),
    1114: (True, "a temporary table of the server's is full", _LATER),
    1153: (False, "a record is larger than the server sends", "raise max_allowed_packet"),
    1301: (False, "a record is larger than the server sends", "raise max_allowed_packet"),
    # The server and the way to it
    1053: (True, "the server is shutting down", _RETRY),
    1077: (True, "the server is shutting down", _RETRY),
    1194: (False, "the table is damaged", "its administrator runs REPAIR TABLE"),
    1195: (False, "the table is damaged", "its administrator runs REPAIR TABLE"),
    1927: (True, "the connection was ended by the server", _RETRY),
    2002: (True, "the server can't be reached", "does it run, and are host and port right?"),
    2003: (True, "the server can't be reached", "does it run, and are host and port right?"),
    2005: (True, "the server can't be reached", "is the host's name right?"),
    2006: (True, "the connection was lost", _RETRY),
    2013: (True, "the connection was lost", _RETRY),
}
_OF = {"pymysql", "MySQLdb", "mariadb"}


def judged(cause: BaseException) -> tuple[int, tuple[bool, str, str] | None]:
    """The server's error number, and what is known of it; 0 for another driver's error."""
    first = cause.args[0] if cause.args else 0
    if type(cause).__module__.split(".")[0] not in _OF or not isinstance(first, int):
        return 0, None
    if first == 2003 and re.search(r"certificate|\[SSL", str(cause)):
        first = 2026  # the driver takes it for a host that does not answer
    if not first and not getattr(cause, "sqlstate", None):
        first = 2006  # its connection was closed
    return first, _NUMBERS.get(first)
