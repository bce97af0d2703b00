"""The shared tests of connectors, held by every one of ours, whatever it reads."""

import json
import sqlite3
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest
from zhixin_connectors.registry import open_source
from zhixin_connectors.testing import (
    EXPECTED,
    WANTED,
    ConnectorCase,
    ConnectorTests,
    records,
    text_of,
)

from tests.connectors.hostile_http import HostileServer, Reply, paged


def as_json(record):
    """Numbers by their own digits; the amount with its two decimals."""
    bare = {"number", "amount", "rate", "open"}
    members = [
        f"{json.dumps(name)}:{text_of(value) if name in bare else json.dumps(text_of(value))}"
        for name, value in record.items()
        if value is not None
    ]
    return f"{{{','.join(members)}}}"


class TestCsv(ConnectorTests):
    @pytest.fixture(scope="module")
    def source(self, tmp_path_factory):
        def written(value):
            if isinstance(value, str):
                return '"' + value.replace('"', '""') + '"'
            return text_of(value) or ""

        lines = [",".join(map(written, record.values())) for record in records()]
        folder = tmp_path_factory.mktemp("csv")
        text = "\n".join([",".join(WANTED.names), *lines, ""])
        (folder / "people.csv").write_text(text, encoding="utf-8")
        return ConnectorCase(open_source(str(folder)), "people.csv")


class TestParquet(ConnectorTests):
    @pytest.fixture(scope="module")
    def source(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("parquet")
        pq.write_table(EXPECTED, folder / "people.parquet", row_group_size=700)
        return ConnectorCase(open_source(str(folder)), "people.parquet")


class TestJsonLines(ConnectorTests):
    @pytest.fixture(scope="module")
    def source(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("jsonl")
        text = "\n".join(map(as_json, records()))
        (folder / "people.jsonl").write_text(text, encoding="utf-8")
        return ConnectorCase(open_source(str(folder)), "people.jsonl")


class TestJsonDocument(ConnectorTests):
    @pytest.fixture(scope="module")
    def source(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("json")
        text = f'{{"data":{{"people":[{",".join(map(as_json, records()))}]}}}}'
        (folder / "people.json").write_text(text, encoding="utf-8")
        connector = open_source(str(folder), {"records": "data.people"})
        return ConnectorCase(connector, "people.json")


class TestExcel(ConnectorTests):
    empty_is_null = True

    @pytest.fixture(scope="module")
    def source(self, tmp_path_factory):
        import openpyxl

        folder = tmp_path_factory.mktemp("excel")
        book = openpyxl.Workbook()
        book.active.append(WANTED.names)
        for record in records():
            numbers = {name: record[name] for name in ("number", "open")}  # it rounds floats
            cells = {name: text_of(value) for name, value in record.items()} | numbers
            book.active.append(list(cells.values()))
        book.save(folder / "people.xlsx")
        return ConnectorCase(open_source(str(folder)), "people.xlsx")


class TestHttp(ConnectorTests):
    lists_objects = False
    knows_objects = False

    @pytest.fixture(scope="module")
    def source(self):
        pages = paged(list(map(as_json, records())), 700)

        def people(request):
            if request.headers.get("authorization") != "Bearer hunter2":
                return Reply({}, 401)
            number = int(request.query["page"]) - 1
            found = pages[number] if number < len(pages) else []
            return Reply(f'{{"items":[{",".join(found)}]}}'.encode())

        server = HostileServer({"/people": people})
        options = {"auth": "bearer", "secret": "hunter2", "records": "items", "paging": "page"}
        secrets = ["hunter2", "127.0.0.1", str(server.port)]
        yield ConnectorCase(open_source(server.url, options, name="api"), "people", secrets)
        server.close()


class TestSqlite(ConnectorTests):
    further_columns = frozenset({"secret"})

    @pytest.fixture(scope="module")
    def source(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("sqlite") / "people.db"
        database = sqlite3.connect(path)
        database.execute(
            "CREATE TABLE people (number INTEGER, amount TEXT, rate REAL, open BOOLEAN, name TEXT,"
            " day DATE, clock TIME, local TIMESTAMP, instant TEXT, secret TEXT)"
        )
        stored = [
            [v if isinstance(v, (int, float)) else text_of(v) for v in record.values()]
            for record in records()
        ]
        database.executemany("INSERT INTO people VALUES (?,?,?,?,?,?,?,?,?,'hidden')", stored)
        database.commit()
        database.close()
        return ConnectorCase(open_source(f"sqlite:///{path}"), "people", ["hidden"])


class TestPostgresql(ConnectorTests):
    further_columns = frozenset({"secret", "place"})

    @pytest.fixture(scope="module")
    def source(self, postgresql_url):
        import psycopg

        columns = (
            "number bigint, amount numeric(12,2), rate double precision, open boolean, name text,"
            "day date, clock time, local timestamp, instant timestamptz,"
            "secret text DEFAULT 'hidden'"
        )
        statement = f"COPY stored ({', '.join(WANTED.names)}) FROM STDIN"
        with psycopg.connect(postgresql_url) as connection:
            connection.execute("DROP TABLE IF EXISTS stored CASCADE")
            connection.execute(f"CREATE TABLE stored (place serial, {columns})")
            connection.execute("CREATE VIEW people AS SELECT * FROM stored ORDER BY place")
            with connection.cursor().copy(statement) as copy:
                for record in records():
                    copy.write_row(list(record.values()))
        return ConnectorCase(
            open_source(postgresql_url, name="registry"), "people", secrets_of(postgresql_url)
        )


class TestMariadb(ConnectorTests):
    further_columns = frozenset({"secret", "place"})

    @pytest.fixture(scope="module")
    def source(self, mariadb_url):
        import pymysql
        import sqlalchemy as sa

        at = sa.make_url(mariadb_url)
        with pymysql.connect(
            host=at.host, port=at.port, user=at.username, password=at.password,
            database=at.database, autocommit=True,
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            cursor.execute("DROP VIEW IF EXISTS people")
            cursor.execute("DROP TABLE IF EXISTS stored")
            cursor.execute(
                "CREATE TABLE stored (place serial, number bigint, amount decimal(12,2),"
                "rate double, open boolean, name varchar(50), day date, clock time(6),"
                "local datetime(6), instant timestamp(6) NULL DEFAULT NULL,"
                "secret varchar(10) DEFAULT 'hidden')"
            )
            cursor.execute("SET time_zone = '+00:00'")
            marks = ", ".join(["%s"] * len(WANTED.names))
            cursor.executemany(
                f"INSERT INTO stored ({', '.join(WANTED.names)}) VALUES ({marks})",
                [[*list(record.values())[:-1], record["local"]] for record in records()],
            )
            cursor.execute("CREATE VIEW people AS SELECT * FROM stored ORDER BY place")
        return ConnectorCase(
            open_source(mariadb_url, name="registry"), "people", secrets_of(mariadb_url)
        )


def secrets_of(url):
    """The password, written and meant; the host; what the table has besides."""
    password = url.partition("owner:")[2].partition("@127")[0]
    return [password, unquote(password), "127.0.0.1", "hidden"]
