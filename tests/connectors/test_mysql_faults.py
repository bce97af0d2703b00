"""A real MariaDB as a source: logins, rights, TLS, locks, lost connections, and one snapshot."""

import re
import threading
import time
from contextlib import ExitStack, closing, contextmanager

import pyarrow as pa
import pytest
import zhixin_connectors.mysql
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import ConfigError, PermanentSourceError, TransientSourceError

I64, TEXT = pa.int64(), pa.string()
SECRETS = ("a b@c:/d", "a%20b", "wrong-pw", "127.0.0.1", "geheim", "owner:")


def refusal(url, table, kind, words, fields=None, **options):
    """What a reading is refused with; it keeps secrets, and names source and object."""
    schema = pa.schema(list((fields or {"id": I64}).items()))
    with pytest.raises(kind, match=words) as fault:
        for _ in open_source(url, options).read(ReadRequest(table, schema)):
            pass
    said = f"{fault.value} {fault.value.hint} {fault.value.details} {fault.value.__cause__}"
    assert not [secret for secret in SECRETS if secret in said]
    assert "source mariadb" in str(fault.value)
    return fault.value


def as_user(url, name, password="pw"):
    return url.replace("owner:a%20b%40c%3A%2Fd", f"{name}:{password}")


@contextmanager
def login(run, grants="", limits="", name="reader"):
    run(f"CREATE OR REPLACE USER {name}@'127.0.0.1' IDENTIFIED BY 'pw' {limits}; {grants}")
    try:
        yield
    finally:
        run(f"DROP USER {name}@'127.0.0.1'")


def connect(url):
    """Another connection, by the driver itself."""
    import pymysql
    import sqlalchemy as sa

    at = sa.make_url(url)
    return pymysql.connect(
        host=at.host, port=at.port, user=at.username, password=at.password,
        database=at.database, autocommit=True,
    )  # fmt: skip


@contextmanager
def another(url):
    with closing(connect(url)) as opened, opened.cursor() as cursor:
        yield cursor


@pytest.mark.parametrize(
    ("change", "table", "kind", "words"),
    [
        (("a%20b", "wrong-pw"), "t", PermanentSourceError, "login was refused.*1045"),
        (("owner:", "nobody:"), "t", PermanentSourceError, "login was refused.*1045"),
        (("one_case", "other_case"), "t", PermanentSourceError, "no such database.*1049"),
        ((), "hidden", PermanentSourceError, "no table or view hidden"),
        ((), "SELECT id FROM nowhere", PermanentSourceError, "no such table.*1146"),
        ((), "SELECT geheim FROM t", PermanentSourceError, "no such column.*1054"),
        ((), "SELECT FROM WHERE 'geheim'", PermanentSourceError, "not valid.*1064"),
        ((), "SELECT id FROM t FOR UPDATE", PermanentSourceError, "would write.*1792"),
        ((), "broken", PermanentSourceError, "view is broken.*1356"),
    ],
)
def test_a_fault_names_source_and_object_and_keeps_secrets(mariadb, change, table, kind, words):
    url, run = mariadb
    run("CREATE TABLE t (id int); INSERT INTO t VALUES (1); CREATE TABLE gone (id int)")
    run("CREATE VIEW broken AS SELECT id FROM gone; DROP TABLE gone")
    refusal(url.replace(*change) if change else url, table, kind, words)


def test_a_server_that_is_not_there_is_worth_a_retry(mariadb):
    url, _ = mariadb
    refusal(re.sub(r":\d+/", ":1/", url), "t", TransientSourceError, "reached.*2003")


def test_a_missing_column_and_a_missing_table_are_told_before_any_record(mariadb):
    url, run = mariadb
    run("CREATE TABLE people (id int, name text)")
    fault = refusal(url, "people", PermanentSourceError, "no column nome", {"nome": TEXT})
    assert fault.details == {"missing": ["nome"], "surplus": ["id", "name"]}
    fault = refusal(url, "peeple", PermanentSourceError, "no table or view peeple")
    assert "people" in str(fault.hint)


def test_select_alone_suffices_on_tables_views_and_columns(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (id int PRIMARY KEY, name text, secret text); CREATE TABLE u (id int)")
    run("INSERT INTO t VALUES (1, 'a', 'geheim'); CREATE VIEW v AS SELECT id FROM t")
    grants = "GRANT SELECT (id, name) ON t TO reader@'127.0.0.1'; "
    grants += "GRANT SELECT ON v TO reader@'127.0.0.1'"
    with login(run, grants):
        limited = as_user(url, "reader")
        source = open_source(limited)
        source.check()
        assert take(limited, "t", {"id": I64, "name": TEXT})[0].to_pylist() == [
            {"id": 1, "name": "a"}
        ]
        assert take(limited, "v", {"id": I64})[0].num_rows == 1
        assert take(limited, "one_case.v", {"id": I64})[0].num_rows == 1
        assert [column.name for column in source.columns("v")] == ["id"]
        assert source.describe("t").primary_key == ("id",)
        assert [table.name for table in source.tables()] == ["t", "v"]
        fault = refusal(limited, "t", PermanentSourceError, "no column secret", {"secret": TEXT})
        assert "SELECT" in str(fault.hint)
        fault = refusal(limited, "u", PermanentSourceError, "no permission.*1142")
        assert "SELECT" in str(fault.hint)
        query = "SELECT secret FROM t"
        refusal(limited, query, PermanentSourceError, "one of its columns.*1143", {"secret": TEXT})
        refusal(limited, "mysql.user", PermanentSourceError, "no permission", {"User": TEXT})
    with login(run):
        refusal(as_user(url, "reader"), "t", PermanentSourceError, "no permission.*1044")


def test_the_secret_is_the_password_where_the_url_has_none(mariadb, take):
    url, run = mariadb
    run("CREATE TABLE t (id int)")
    bare = url.replace(":a%20b%40c%3A%2Fd@", "@")
    assert take(open_source(bare, {"secret": "a b@c:/d"}), "t", {"id": I64})[0].num_rows == 0
    with login(run, "SET PASSWORD FOR chinese@'127.0.0.1' = PASSWORD('密码')", name="chinese"):
        refusal(as_user(url, "chinese", "密"), "t", PermanentSourceError, "login was refused")
        refusal(as_user(url, "chinese", "密码"), "t", PermanentSourceError, "permission")


def test_what_a_login_may_use_is_a_limit_worth_a_retry(mariadb):
    url, run = mariadb
    run("CREATE TABLE t (id int)")
    grants = "GRANT SELECT ON t TO reader@'127.0.0.1'"
    with login(run, grants, "WITH MAX_CONNECTIONS_PER_HOUR 1"):
        open_source(as_user(url, "reader")).check()
        fault = refusal(as_user(url, "reader"), "t", TransientSourceError, "used up.*1226")
        assert fault.code != "login-refused"  # which is for a person to mend
    with login(run, grants, "WITH MAX_STATEMENT_TIME 0.05"):
        slow = "SELECT sleep(5) AS id"
        fault = refusal(as_user(url, "reader"), slow, TransientSourceError, "time limit.*1969")
        assert "max_statement_time" in str(fault.hint)


def test_a_full_server_is_worth_a_retry(mariadb):
    url, run = mariadb
    run("SET GLOBAL max_connections = 10")
    try:
        with login(run, "GRANT SELECT ON one_case.* TO reader@'127.0.0.1'"), ExitStack() as stack:
            for _ in range(9):  # besides the owner's own
                stack.enter_context(closing(connect(as_user(url, "reader"))))
            refusal(as_user(url, "reader"), "t", TransientSourceError, "no connection left.*1040")
    finally:
        run("SET GLOBAL max_connections = DEFAULT")


def ca_of(url):
    with another(url) as cursor:
        cursor.execute("SELECT @@ssl_cert")
        return cursor.fetchone()[0]


def used_tls(url, take):
    query = "SELECT VARIABLE_VALUE AS v FROM information_schema.SESSION_STATUS"
    query += " WHERE VARIABLE_NAME = 'Ssl_cipher'"
    return take(url, query, {"v": TEXT})[0]["v"].to_pylist() != [""]


def test_tls_is_verified_where_the_url_names_a_ca(mariadb, take, tmp_path):
    url, _ = mariadb
    ca = tmp_path / "ca.pem"
    with open(ca_of(url), "rb") as own:  # noqa: PTH123
        ca.write_bytes(own.read())
    local = url.replace("127.0.0.1", "localhost")
    assert used_tls(f"{url}?ssl_ca={ca}", take)
    assert used_tls(f"{url}?ssl_verify_cert=false", take)
    assert used_tls(f"{url}?ssl_ca={ca}&ssl_disabled=false", take)
    assert not used_tls(f"{url}?ssl_disabled=true", take)
    refusal(f"{local}?ssl_ca={ca}", "t", PermanentSourceError, "TLS was refused")
    refusal(f"{url}?ssl_verify_cert=true", "t", PermanentSourceError, "TLS was refused")
    named = f"{local}?ssl_ca={ca}&ssl_check_hostname=false"
    refusal(named, "t", PermanentSourceError, "login was refused|lets no such login|no table")
    with pytest.raises(ConfigError, match="certificates"):
        open_source(f"{url}?ssl_ca={tmp_path}/none.pem").check()
    for wrong in ("ssl_verify_cert=maybe", "connect_timeout=soon", "sslmode=require"):
        with pytest.raises(ConfigError, match=wrong.split("=")[0]):
            open_source(f"{url}?{wrong}").check()


def test_tls_is_demanded_from_either_side(mariadb, plain_mariadb_url):
    url, run = mariadb
    refusal(f"{plain_mariadb_url}?ssl_verify_cert=false", "t", PermanentSourceError, "TLS.*2026")
    run("CREATE TABLE t (id int)")
    with login(run, "GRANT SELECT ON t TO reader@'127.0.0.1'", "REQUIRE SSL"):
        limited = as_user(url, "reader")
        open_source(limited).check()
        refusal(f"{limited}?ssl_disabled=true", "t", PermanentSourceError, "login was refused")
    run("SET GLOBAL require_secure_transport = ON")
    try:
        refusal(f"{url}?ssl_disabled=true", "t", PermanentSourceError, "login was refused")
    finally:
        run("SET GLOBAL require_secure_transport = OFF")


def test_a_lock_is_worth_a_retry(mariadb, monkeypatch):
    url, run = mariadb
    run("CREATE TABLE t (id int)")
    monkeypatch.setitem(zhixin_connectors.mysql._SETTINGS, "lock_wait_timeout", "1")
    with another(url) as cursor:
        cursor.execute("LOCK TABLES t WRITE")
        refusal(url, "t", TransientSourceError, "lock.*1205")


def test_a_table_altered_after_the_snapshot_is_worth_a_retry(mariadb, monkeypatch):
    url, run = mariadb
    run("CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
    before = zhixin_connectors.mysql.names

    def altered(connection, relation):
        run("ALTER TABLE t ADD COLUMN more int, ALGORITHM=COPY")
        return before(connection, relation)

    monkeypatch.setattr(zhixin_connectors.mysql, "names", altered)
    refusal(url, "t", TransientSourceError, "changed while it was read.*1412")


def big(run, rows=200_000):
    run(f"CREATE TABLE t AS SELECT seq AS id, repeat('x', 200) AS s FROM seq_1_to_{rows}")
    return ReadRequest("t", pa.schema([("id", I64), ("s", TEXT)]), batch_rows=100)


def readers(cursor):
    cursor.execute("SELECT id FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT `id`%'")
    return [row[0] for row in cursor.fetchall()]


def test_a_connection_lost_while_reading_is_worth_a_retry(mariadb):
    url, run = mariadb
    stream = open_source(url).read(big(run))
    next(stream)
    with another(url) as cursor:
        for reader in readers(cursor):
            cursor.execute(f"KILL {reader}")
    with pytest.raises(TransientSourceError, match="t: the connection was") as fault:
        for _ in stream:
            pass
    assert not [secret for secret in SECRETS if secret in str(fault.value)]


def test_a_reading_that_ends_early_reads_no_more_and_leaves_no_query(mariadb):
    url, _ = mariadb
    endless = "SELECT seq AS id, repeat('x', 200) AS s FROM seq_1_to_10000000"
    schema = pa.schema([("id", I64), ("s", TEXT)])
    stream = open_source(url).read(ReadRequest(endless, schema, batch_rows=100))
    next(stream)
    with another(url) as cursor:
        assert len(readers(cursor)) == 1
        before = time.process_time()
        stream.close()
        assert time.process_time() - before < 2  # the rest would take half a minute to read
        wait_until(lambda: not readers(cursor))


def wait_until(done):
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("not within 30 s")


@contextmanager
def writing(url, statements):
    """Another connection that changes the table all the time: how often it did."""
    done, turns = threading.Event(), []

    def write():
        with another(url) as cursor:
            while not done.is_set():
                for statement in statements:
                    cursor.execute(statement)
                turns.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield turns
    finally:
        done.set()
        thread.join(60)


def sums(url, name, turns):
    """How many records, how many different, and their sum; others write between the batches."""
    wide = pa.schema([("id", I64), ("money", I64), ("s", TEXT)])  # more than sockets hold
    request = ReadRequest(name, wide, batch_rows=10_000)
    ids, money = [], 0
    for each in open_source(url).read(request):
        ids += each.batch["id"].to_pylist()
        money += sum(each.batch["money"].to_pylist())
        written = len(turns)
        wait_until(lambda written=written: len(turns) > written + 1)
    return len(ids), len(set(ids)), money


ROWS = 60_000
TRANSFER = [
    # From the end to the beginning and back in one transaction: the sum is the same in any moment.
    "START TRANSACTION",
    f"UPDATE t SET money = money - 5 WHERE id > {ROWS - 100}",
    "UPDATE t SET money = money + 5 WHERE id <= 100",
    "COMMIT",
    "START TRANSACTION",
    "DELETE FROM t WHERE id BETWEEN 30000 AND 30100",
    "INSERT INTO t SELECT seq, 100, repeat('y', 250) FROM seq_30000_to_30100",
    "COMMIT",
]


def accounts(run, engine="InnoDB"):
    run(f"CREATE TABLE t (id int PRIMARY KEY, money int, s char(250)) ENGINE={engine} "
        f"SELECT seq AS id, 100 AS money, repeat('x', 250) AS s FROM seq_1_to_{ROWS}")  # fmt: skip


@pytest.mark.slow
def test_one_moment_is_read_while_others_write(mariadb):
    url, run = mariadb
    accounts(run)
    run("SET GLOBAL tx_isolation = 'READ-UNCOMMITTED'")  # the source's own settings hold
    query = "SELECT id, money, s FROM t UNION ALL SELECT -id, money, s FROM t"
    try:
        with writing(url, TRANSFER) as turns:
            wait_until(lambda: turns)
            assert sums(url, "t", turns) == (ROWS, ROWS, ROWS * 100)
            assert sums(url, query, turns) == (2 * ROWS, 2 * ROWS, 2 * ROWS * 100)
    finally:
        run("SET GLOBAL tx_isolation = DEFAULT")


@pytest.mark.slow
def test_tables_without_snapshots_are_read_at_one_moment_and_their_writers_wait(mariadb):
    url, run = mariadb
    accounts(run, "MyISAM")
    changes = [f"UPDATE t SET money = money + 1 WHERE id IN (1, {ROWS})"]
    with writing(url, changes) as turns:
        wait_until(lambda: turns)
        request = ReadRequest("t", pa.schema([("id", I64), ("money", I64)]))
        money = {}
        for each in open_source(url).read(request):
            money |= dict(zip(*(c.to_pylist() for c in each.batch.columns), strict=True))
            time.sleep(0.01)
    assert money[1] == money[ROWS]
