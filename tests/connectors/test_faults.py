"""What goes wrong with a database: an error that names source, object and the way out."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from zhixin_connectors.options import Secret
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_connectors.sqlerrors import translated
from zhixin_errors import PermanentSourceError, TransientSourceError

from tests.connectors.relay import Relay

PASSWORD = "a b@c:/d"
SCHEMA = pa.schema([("id", pa.int64()), ("s", pa.string())])
ROWS = 200_000
FILL = {
    "postgresql": f"CREATE TABLE t AS SELECT n AS id, repeat('geheim', 20) AS s "
    f"FROM generate_series(1, {ROWS}) n",
    "mariadb": f"CREATE TABLE t AS SELECT seq AS id, repeat('geheim', 20) AS s "
    f"FROM seq_1_to_{ROWS}",
}


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request):
    """(kind, url, run) of each database."""
    url, run = request.getfixturevalue(request.param)
    return request.param, url, run


def make_url(url):
    import sqlalchemy as sa

    return sa.make_url(url)


def read(url, table="t", *, name="operations", schema=SCHEMA, options=None):
    request = ReadRequest(table, schema)
    return sum(each.batch.num_rows for each in open_source(url, options, name=name).read(request))


def through(url, relay, **query):
    changed = make_url(url).set(port=relay.port).update_query_dict(query)
    return changed.render_as_string(hide_password=False)


@contextmanager
def refused(kind, words, code=None):
    """What is raised is of a kind, says words, and gives nothing away."""
    with pytest.raises(kind, match=words) as fault:
        yield fault
    error = fault.value
    chain = [error, error.__cause__, error.__context__ if not error.__suppress_context__ else None]
    said = " ".join(f"{e} {e!r} {getattr(e, 'hint', '')} {getattr(e, 'details', '')}"
                    for e in chain if e)  # fmt: skip
    for private in (PASSWORD, "a%20b", "geheim", "127.0.0.1", "owner@"):
        assert private not in said
    assert "operations" in str(error)
    assert error.hint
    assert code in {None, error.code}
    assert error.exit_code == (3 if kind is TransientSourceError else 2)


def test_a_connection_cut_in_the_middle_is_worth_a_retry(server):
    kind, url, run = server
    run(FILL[kind])
    with Relay(make_url(url).port, cut_after=2_000_000) as relay:
        with refused(TransientSourceError, "operations, t: .*(lost|reached)"):
            read(through(url, relay))
        assert relay.passed > 1_000_000
    assert read(url) == ROWS


def test_a_server_that_stalls_is_given_up(server):
    kind, url, run = server
    run(FILL[kind])
    began = time.monotonic()
    with (
        Relay(make_url(url).port, stall_after=2_000_000) as relay,
        refused(TransientSourceError, "said nothing|lost|reached"),
    ):
        read(through(url, relay, read_timeout="1"))
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_server_that_stalls_at_the_login_is_given_up(server):
    _, url, _ = server
    began = time.monotonic()
    with (
        Relay(make_url(url).port, stall_after=0) as relay,
        refused(TransientSourceError, "said nothing|lost|reached"),
    ):
        read(through(url, relay, connect_timeout="2"))
    assert time.monotonic() - began < 12


def test_a_connection_that_is_refused_is_worth_a_retry(server):
    _, url, _ = server
    with Relay(1, refuse=True) as relay, refused(TransientSourceError, "lost|reached"):
        read(through(url, relay))
    with refused(TransientSourceError, "lost|reached"):  # where nothing listens any more
        read(through(url, relay))


def test_a_wrong_password_a_missing_one_and_an_unknown_user(server):
    kind, url, _ = server
    whole = make_url(url)
    for wrong in (whole.set(password="geheim"), whole.set(username="geheim")):
        with refused(PermanentSourceError, "operations", "login-refused"):
            read(wrong.render_as_string(hide_password=False))
    bare = f"{kind}://{whole.username}@{whole.host}:{whole.port}/{whole.database}"
    with refused(PermanentSourceError, "operations", "login-refused"):
        read(bare)


def test_the_password_is_the_secret_where_the_url_has_none(server):
    kind, url, run = server
    run("CREATE TABLE t (id int, s varchar(9))")
    whole = make_url(url)
    bare = f"{kind}://{whole.username}@{whole.host}:{whole.port}/{whole.database}"
    source = open_source(bare, {"secret": Secret(PASSWORD)}, name="operations")
    assert list(source.read(ReadRequest("t", SCHEMA))) == []
    assert PASSWORD not in repr(vars(source))
    with refused(PermanentSourceError, "operations", "login-refused"):
        read(bare, options={"secret": Secret("geheim")})


def test_a_missing_database_and_a_missing_table(server):
    _, url, run = server
    run("CREATE TABLE permits (id int, s varchar(9))")
    missing = make_url(url).set(database="nowhere").render_as_string(hide_password=False)
    with refused(PermanentSourceError, "no such database", "database-missing"):
        read(missing)
    with refused(PermanentSourceError, "no table or view permit", "object-missing") as fault:
        read(url, "permit")
    assert "permits" in fault.value.hint


def test_a_missing_and_a_renamed_column_are_named_before_any_record(server):
    _, url, run = server
    run("CREATE TABLE t (id int, note varchar(9))")
    with refused(PermanentSourceError, "no column s .*has note", "column-missing"):
        read(url)


def test_a_column_of_another_type_makes_misfits_and_no_error(server):
    _, url, run = server
    run("CREATE TABLE t (id varchar(9), s int)")
    run("INSERT INTO t VALUES ('12', 3), ('x', 4)")
    (each,) = open_source(url).read(ReadRequest("t", SCHEMA))
    assert each.batch.to_pylist() == [{"id": 12, "s": "3"}, {"id": None, "s": "4"}]
    assert [(m.row, m.field, m.raw) for m in each.misfits] == [(1, "id", "x")]


LIMITED = {
    "postgresql": "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'pw-geheim';"
    "CREATE SCHEMA IF NOT EXISTS inner_room; CREATE TABLE inner_room.t (id int, s text);",
    "mariadb": "CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'pw-geheim';"
    "GRANT CREATE TEMPORARY TABLES ON one_case.* TO reader@'127.0.0.1';",
}
WHO = {"postgresql": "reader", "mariadb": "reader@'127.0.0.1'"}


@pytest.fixture
def limited(server):
    """(kind, url of a login that may do nothing yet, run)."""
    kind, url, run = server
    run(LIMITED[kind])
    run("CREATE TABLE t (id int, s varchar(9), private varchar(9))")
    yield (
        kind,
        make_url(url)
        .set(username="reader", password="pw-geheim")
        .render_as_string(hide_password=False),
        run,
    )
    if kind == "postgresql":
        run("DROP OWNED BY reader; DROP ROLE reader")


def test_no_permission_is_said_as_such_and_columns_suffice(limited):
    kind, url, run = limited
    with refused(PermanentSourceError, "no permission|not for this login"):
        read(url)
    run(f"GRANT SELECT (id) ON t TO {WHO[kind]}")
    with refused(PermanentSourceError, "no permission to read s|no column s"):
        read(url)
    run(f"GRANT SELECT (s) ON t TO {WHO[kind]}")
    assert read(url) == 0  # and the third column is nobody's business


def test_no_permission_on_a_schema(postgresql):
    url, run = postgresql
    run(LIMITED["postgresql"])
    run("GRANT SELECT ON inner_room.t TO reader")
    reader = make_url(url).set(username="reader", password="pw-geheim")
    try:
        with refused(PermanentSourceError, "no permission", "permission-denied") as fault:
            read(reader.render_as_string(hide_password=False), "inner_room.t")
        assert "USAGE" in fault.value.hint
    finally:
        run("DROP OWNED BY reader; DROP ROLE reader")


def test_tls_that_the_server_does_not_speak(postgresql):
    url, _ = postgresql
    asked = make_url(url).update_query_dict({"sslmode": "require"})
    with refused(PermanentSourceError, "TLS was refused", "tls-refused"):
        read(asked.render_as_string(hide_password=False))


LOCK = {"postgresql": "LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "mariadb": "LOCK TABLES t WRITE"}


@contextmanager
def connected(url):
    """A connection of the other side's, in a transaction."""
    import sqlalchemy as sa

    plain = url.replace("postgresql:", "postgresql+psycopg:").replace(
        "mariadb:", "mariadb+pymysql:"
    )
    engine = sa.create_engine(plain)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_a_lock_that_is_held_is_worth_a_retry(server, monkeypatch):
    from zhixin_connectors import mysql, postgresql

    kind, url, run = server
    monkeypatch.setitem(postgresql._SETTINGS, "lock_timeout", "100ms")
    monkeypatch.setitem(mysql._SETTINGS, "lock_wait_timeout", "1")
    run("CREATE TABLE t (id int, s varchar(9))")
    with connected(url) as other:
        other.exec_driver_sql(LOCK[kind])
        with refused(TransientSourceError, "operations, t: a lock", "source-locked"):
            read(url)
    assert read(url) == 0


def test_a_time_limit_of_the_server_is_worth_a_retry(server):
    kind, url, run = server
    query = {
        "postgresql": "SELECT 1 AS id, pg_sleep(5)::text AS s",
        "mariadb": "SELECT 1 AS id, sleep(5) AS s FROM seq_1_to_9",
    }
    run({"postgresql": "ALTER ROLE owner SET statement_timeout = '200ms'",
         "mariadb": "SET GLOBAL max_statement_time = 0.2"}[kind])  # fmt: skip
    try:
        with refused(TransientSourceError, "cancelled|time limit"):
            read(url, query[kind])
    finally:
        run({"postgresql": "ALTER ROLE owner RESET statement_timeout",
             "mariadb": "SET GLOBAL max_statement_time = 0"}[kind])  # fmt: skip


def test_too_many_connections_are_worth_a_retry(server):
    kind, url, run = server
    run(
        {
            "postgresql": "DROP ROLE IF EXISTS lonely;"
            "CREATE ROLE lonely LOGIN PASSWORD 'pw-geheim' CONNECTION LIMIT 1",
            "mariadb": "CREATE OR REPLACE USER lonely@'127.0.0.1' IDENTIFIED BY 'pw-geheim' "
            "WITH MAX_USER_CONNECTIONS 1; GRANT SELECT ON *.* TO lonely@'127.0.0.1'",
        }[kind]
    )
    lonely = make_url(url).set(username="lonely", password="pw-geheim")
    lonely = lonely.render_as_string(hide_password=False)
    with connected(lonely), refused(TransientSourceError, "no connection left|its connections"):
        read(lonely)
    if kind == "postgresql":
        run("DROP ROLE lonely")


@pytest.fixture
def mortal(postgresql_url):
    """A PostgreSQL that may be killed: (url, kill, start)."""
    from tests.conftest import _binaries, _free_port, _wait_for

    # No tmp_path: only its owner may enter pytest's folder, and the server is another user's.
    binaries, folder, as_user = _binaries(), Path(tempfile.mkdtemp(prefix="zhixin-pg-")), []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    subprocess.run([*as_user, binaries / "initdb", "-D", folder / "data", "-U", "owner", "-A",
                    "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
                   check=True, capture_output=True, cwd=folder)  # fmt: skip
    port, running = _free_port(), []

    def start():
        command = [*as_user, binaries / "postgres", "-D", folder / "data", "-p", str(port), "-h",
                   "127.0.0.1", "-k", "", "-c", "fsync=off"]  # fmt: skip
        null = subprocess.DEVNULL
        running.append(subprocess.Popen(command, stdout=null, stderr=null, cwd=folder))
        _wait_for(binaries / "pg_isready", port, running[-1])

    def kill():
        """The server and all its children, as a machine does that loses its power."""
        server = running.pop()
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        for pid in [server.pid, *map(int, children)]:
            os.kill(pid, signal.SIGKILL)
        server.wait(20)

    start()
    yield f"postgresql://owner@127.0.0.1:{port}/postgres", kill, start
    for server in running:
        server.terminate()
        server.wait(30)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_tls_that_breaks_is_a_lost_connection_and_tls_may_be_required(mortal):
    import psycopg

    url, _, _ = mortal
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL["postgresql"])
        data = Path(connection.execute("SHOW data_directory").fetchone()[0])
        subprocess.run(
            ["openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-keyout", data / "server.key", "-out", data / "server.crt"],
            check=True, capture_output=True,
        )  # fmt: skip
        for name in ("server.key", "server.crt"):
            shutil.chown(data / name, data.owner())
            (data / name).chmod(0o600)
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")
    time.sleep(0.5)
    with (
        Relay(make_url(url).port, cut_after=2_000_000) as relay,
        refused(TransientSourceError, "connection was lost"),
    ):
        read(through(url, relay, sslmode="require"))
    with refused(PermanentSourceError, "lets no such login in", "login-refused") as fault:
        read(f"{url}?sslmode=disable")
    assert "TLS" in fault.value.hint
    with refused(PermanentSourceError, "TLS was refused", "tls-refused"):
        read(f"{url}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem")
    assert read(f"{url}?sslmode=require") == ROWS


@pytest.mark.slow
def test_a_server_killed_while_it_is_read_and_before(mortal):
    import psycopg

    url, kill, start = mortal
    with psycopg.connect(url) as connection:
        connection.execute(FILL["postgresql"])
    stream = open_source(url, name="operations").read(ReadRequest("t", SCHEMA, batch_rows=1_000))
    next(stream)
    kill()
    with refused(TransientSourceError, "operations, t: .*(lost|reached)"):
        for _ in stream:
            pass
    with refused(TransientSourceError, "lost|reached"):
        read(url)
    start()
    assert read(url) == ROWS


@pytest.mark.slow
def test_a_mariadb_killed_while_it_is_read_and_before():
    from tests.conftest import _mariadb

    with _mariadb(tls=False) as url:
        with connected(url) as other:
            other.exec_driver_sql(FILL["mariadb"])
            pid = Path(other.exec_driver_sql("SELECT @@pid_file").scalar()).read_text()
        request = ReadRequest("t", SCHEMA, batch_rows=1_000)
        stream = open_source(url, name="operations").read(request)
        next(stream)
        os.kill(int(pid), signal.SIGKILL)
        with refused(TransientSourceError, "operations, t: .*(lost|reached)"):
            for _ in stream:
                pass
        with refused(TransientSourceError, "lost|reached"):
            read(url)


def test_an_interrupt_ends_a_reading_that_waits(postgresql):
    """Ctrl-C, while the server says nothing: at once, and not after read_timeout."""
    import _thread

    import psycopg

    url, _ = postgresql
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    pressed = []

    def press():
        with psycopg.connect(url, autocommit=True) as connection:
            while not connection.execute(waits).fetchone()[0]:
                time.sleep(0.05)
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        read(url, "SELECT 1 AS id, pg_sleep(60)::text AS s")
    assert time.monotonic() - pressed[0] < 10
    thread.join(10)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("SSL SYSCALL error: EOF detected", TransientSourceError, "connection was lost"),
        ("SSL connection has been closed unexpectedly", TransientSourceError, "was lost"),
        ("SSL error: certificate verify failed", PermanentSourceError, "TLS was refused"),
        ('FATAL:  用户 "geheim" Password 认证失败', PermanentSourceError, "login was refused"),
        ('FATAL:  数据库 "geheim" 不存在', PermanentSourceError, "no such database"),
    ],
)
def test_what_a_server_says_before_it_gives_a_code(said, kind, words):
    """At the login and over TLS there are words alone, in the server's own language."""
    from psycopg import OperationalError

    with refused(kind, words), translated("operations", "t"):
        raise OperationalError(said)


@pytest.mark.parametrize(
    ("error", "kind", "words", "code"),
    [
        ("InvalidPassword", PermanentSourceError, "login was refused", "login-refused"),
        ("InvalidCatalogName", PermanentSourceError, "no such database", "database-missing"),
        ("InsufficientPrivilege", PermanentSourceError, "no permission", "permission-denied"),
        ("UndefinedTable", PermanentSourceError, "no such table", "object-missing"),
        ("UndefinedColumn", PermanentSourceError, "no such column", "column-missing"),
        ("SyntaxError", PermanentSourceError, "query is not valid", None),
        ("TooManyConnections", TransientSourceError, "no connection left", None),
        ("OutOfMemory", TransientSourceError, "out of resources", None),
        ("LockNotAvailable", TransientSourceError, "a lock", "source-locked"),
        ("DeadlockDetected", TransientSourceError, "rolled back by the server", None),
        ("QueryCanceled", TransientSourceError, "cancelled the query", None),
        ("CannotConnectNow", TransientSourceError, "shutting down or starting", None),
        ("ConnectionFailure", TransientSourceError, "connection was lost", None),
        ("IdleInTransactionSessionTimeout", TransientSourceError, "ended the transaction", None),
        ("ReadOnlySqlTransaction", PermanentSourceError, "refuses the transaction", None),
        ("UntranslatableCharacter", PermanentSourceError, "can't be said in UTF-8", None),
        ("DivisionByZero", PermanentSourceError, "a value of a record", None),
    ],
)
def test_a_code_is_understood_whatever_language_the_server_speaks(error, kind, words, code):
    import psycopg.errors

    with refused(kind, words, code), translated("operations", "t"):
        raise getattr(psycopg.errors, error)("geheim")
