"""JSON over HTTP, from a server that does what servers should not."""

import base64
import gzip
import logging
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pyarrow as pa
import pytest
from zhixin_connectors import httpclient
from zhixin_connectors.registry import check_options, open_source
from zhixin_errors import ConfigError, PermanentSourceError, SourceError, TransientSourceError

from tests.connectors.hostile_http import HostileServer, Reply, paged

SECRET = "hunter2-s3cr3t"
FIELDS = {"id": pa.int64()}
ROWS = [{"id": n} for n in range(1, 8)]


@pytest.fixture
def server():
    found = HostileServer()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Pauses are counted, not slept."""
    found = []
    monkeypatch.setattr(httpclient.time, "sleep", found.append)
    return found


@pytest.fixture(autouse=True)
def no_secret_in_logs(caplog):
    caplog.set_level(logging.DEBUG)
    yield
    logged = "\n".join(each.getMessage() for each in caplog.get_records("call"))
    assert SECRET not in logged
    assert base64.b64encode(f"reader:{SECRET}".encode()).decode() not in logged


def ids(server, name, take, access=None, **options):
    options = {f"zhixin.{key}": value for key, value in options.items()}
    source = open_source(server.url, access or {}, name="api")
    table, misfits, _ = take(source, name, FIELDS, options=options)
    assert misfits == []
    return table.column("id").to_pylist()


def refused(server, name, take, kind=PermanentSourceError, access=None, **options):
    """The error: no secret, host or word of the server in it."""
    with pytest.raises(SourceError) as caught:
        ids(server, name, take, access, **options)
    error = caught.value
    assert type(error) is kind
    said = f"{error} {error.hint} {error.details} {error!r}"
    for private in (SECRET, "127.0.0.1", "words of the server"):
        assert private not in said
    assert str(error).startswith("source api")
    return error


# --- paging


def test_one_answer_is_the_whole(server, take):
    server.routes["/v2/list"] = lambda _: ROWS
    source = open_source(f"{server.url}/v2?format=json", name="api")
    assert take(source, "list?year=2026", FIELDS)[0].num_rows == 7
    assert server.paths() == ["/v2/list?format=json&year=2026"]
    assert source.tables() == []
    assert [column.name for column in source.columns("list")] == ["id"]
    seen = source.describe("list")
    assert (seen.columns[0].type, seen.rows, seen.complete) == (pa.int64(), 7, True)


def by_number(server, records, size, first=1, extra=None):
    pages = paged(records, size)

    def answer(request):
        number = int(request.query.get("page", first)) - first
        return {"items": pages[number] if number < len(pages) else [], **(extra or {})}

    return answer


def test_link_headers_are_followed(server, take):
    pages = paged(ROWS, 3)

    def answer(request):
        at = int(request.query.get("at", 0))
        links = [f'</l?at={at}>; rel="self"; title="a, b"']
        if at + 1 < len(pages):
            links.append(f'<l?at={at + 1}>; title="next"; rel="last next"')
        return Reply(pages[at], headers={"link": ", ".join(links)})

    server.routes["/l"] = answer
    assert ids(server, "l", take, paging="link") == list(range(1, 8))
    assert server.paths() == ["/l", "/l?at=1", "/l?at=2"]
    assert refused(server, "l", take).code == "paging-undeclared"


@pytest.mark.parametrize("member", ["@odata.nextLink", "links.next"])
def test_addresses_in_a_member_are_followed(server, take, member):
    pages = paged(ROWS, 3)

    def answer(request):
        at = int(request.query.get("at", 0))
        link = f"{server.url}/l?at={at + 1}" if at + 1 < len(pages) else None
        beside = {member: link} if member.startswith("@") else {"links": {"next": link}}
        return {"value": pages[at], **beside}

    server.routes["/l"] = answer
    assert ids(server, "l", take, records="value", paging="link", next=member) == [*range(1, 8)]
    error = refused(server, "l", take, records="value")
    assert error.code == "paging-undeclared"
    assert "zhixin.paging: link" in error.hint


@pytest.mark.parametrize("number", [False, True])
def test_cursors_are_passed_on(server, take, number):
    pages = paged(ROWS, 3)

    def answer(request):
        at = int(request.query.get("after") or 0)
        following = at + 1 if at + 1 < len(pages) else 0
        cursor = following if number else (f"{following}" if following else "")
        return {"items": pages[at], "next": cursor or None}

    server.routes["/l"] = answer
    paging = {"paging": "cursor", "next": "next", "pageParameter": "after"}
    assert ids(server, "l?q=a%20b", take, records="items", **paging) == list(range(1, 8))
    assert server.paths() == ["/l?q=a b", "/l?q=a b&after=1", "/l?q=a b&after=2"]


def test_page_numbers_count_up_to_an_empty_page_or_the_total(server, take):
    server.routes["/l"] = by_number(server, ROWS, 3, first=0)
    paging = {"records": "items", "paging": "page", "firstPage": 0}
    assert ids(server, "l", take, **paging) == list(range(1, 8))
    assert server.paths()[-1] == "/l?page=3"
    server.routes["/l"] = by_number(server, ROWS, 3, extra={"meta": {"total": 7}})
    server.asked.clear()
    sized = {"pageSize": 3, "sizeParameter": "$top"}
    found = ids(server, "l", take, records="items", paging="page", total="meta.total", **sized)
    assert found == list(range(1, 8))
    assert server.paths() == [f"/l?$top=3&page={n}" for n in (1, 2, 3)]


def test_a_server_that_gives_less_than_was_asked_for_does_not_end_the_list(server, take):
    def answer(request):
        start = int(request.query.get("offset", 0))
        return ROWS[start : start + min(2, int(request.query["limit"]))]

    server.routes["/l"] = answer
    sized = {"pageSize": 1000, "sizeParameter": "limit"}
    assert ids(server, "l", take, paging="offset", **sized) == list(range(1, 8))
    assert server.paths()[-1] == "/l?limit=1000&offset=7"


def test_an_offset_may_begin_at_one(server, take):
    def answer(request):
        start = int(request.query["offset"]) - 1
        return {"items": ROWS[start : start + 3], "total": 7}

    server.routes["/l"] = answer
    paging = {"records": "items", "paging": "offset", "firstPage": 1, "total": "total"}
    assert ids(server, "l", take, **paging) == list(range(1, 8))
    assert server.paths() == ["/l?offset=1", "/l?offset=4", "/l?offset=7"]


def test_a_list_without_records_is_empty(server, take):
    server.routes["/l"] = lambda _: {"items": [], "total": 0}
    assert ids(server, "l", take, records="items", paging="page", total="total") == []


# --- pages that are not to be trusted


def test_endless_pages_and_loops_are_refused(server, take):
    server.routes["/same"] = lambda _: ROWS
    error = refused(server, "same", take, paging="page")
    assert (error.code, len(server.asked)) == ("paging-loop", 2)
    server.routes["/cycle"] = lambda request: Reply(
        [{"id": len(server.asked)}],
        headers={"link": f"</cycle?n={(int(request.query.get('n', 0)) + 1) % 3}>; rel=next"},
    )
    error = refused(server, "cycle", take, paging="link")
    assert "a page again" in str(error)
    server.routes["/cursor"] = lambda request: {
        "i": [{"id": len(server.asked)}],
        "c": "same",
    }
    paging = {"paging": "cursor", "next": "c", "pageParameter": "c"}
    assert refused(server, "cursor", take, records="i", **paging).code == "paging-loop"
    server.routes["/endless"] = lambda request: [{"id": len(server.asked)}]
    error = refused(server, "endless", take, access={"max_pages": 20}, paging="offset")
    assert "more than 20 pages" in str(error)
    assert sum(each.path == "/endless" for each in server.asked) == 20


def test_a_next_page_on_another_server_is_not_asked(server, take):
    other = HostileServer({"/l": lambda _: []})
    try:
        for link in (f"{other.url}/l", f"//127.0.0.1:{other.port}/l", "ftp://x/l", "https://x/l"):
            server.routes["/l"] = lambda _, link=link: {"i": ROWS, "next": link}
            access = {"auth": "bearer", "secret": SECRET}
            paging = {"records": "i", "paging": "link", "next": "next"}
            error = refused(server, "l", take, access=access, **paging)
            assert error.code == "paging-elsewhere"
            server.routes["/r"] = lambda _, link=link: Reply(b"", 302, {"location": link})
            assert refused(server, "r", take, access=access).code == "redirect-elsewhere"
        assert other.asked == []
    finally:
        other.close()


@pytest.mark.parametrize(
    "link",
    ["javascript:1", "http://[", "http://[::1]x/", "http://xn--/", "http://h:x/", "http://a b/",
     "http:///x y", "mailto:a", "http://u:{secret}@{host}/l", "//u@{host}/l", "//{host}@x/l"],
)  # fmt: skip
def test_a_next_page_that_is_no_address_of_the_server_is_refused(server, take, link, waits):
    link = link.format(secret=SECRET, host=server.url.removeprefix("http://"))
    server.routes["/l"] = lambda _: {"i": ROWS, "next": link}
    server.routes["/r"] = lambda _: Reply(b"", 302, {"location": link})
    codes = {"paging-elsewhere", "redirect-elsewhere", "object-missing"}
    assert refused(server, "l", take, records="i", paging="link", next="next").code in codes
    assert refused(server, "r", take).code in codes
    assert waits == []


@pytest.mark.parametrize(
    ("header", "beside", "where"),
    [
        ("</l?p=2>; rel=next", {}, "the Link header"),
        ("</l?p=2>; title=a,b; rel=next", {}, "the Link header"),
        ("", {"next": "/l?p=2"}, "next"),
        (
            "",
            {"links": [{"rel": "self", "href": "/l"}, {"rel": "next", "href": "/l?p=2"}]},
            "links",
        ),
        ("", {"link": [{"relation": "next", "url": "https://x/l?p=2"}]}, "link"),
        ("", {"links": {"next": {"href": "?p=2"}}}, "links.next"),
        ("", {"meta": {"next_cursor": "abc"}}, "meta.next_cursor"),
        ("", {"exceededTransferLimit": True}, "exceededTransferLimit"),
    ],
)
def test_a_page_that_names_another_is_not_the_last(server, take, header, beside, where):
    server.routes["/l"] = lambda _: Reply({"i": ROWS, **beside}, headers={"link": header})
    cursor = {"paging": "cursor", "next": "misspelt", "pageParameter": "p"}
    for paging in ({}, {"paging": "link", "next": "misspelt"}, cursor):
        error = refused(server, "l", take, records="i", **paging)
        assert (error.code, error.hint.split(" in the answer")[0]) == (
            "paging-undeclared",
            f"see {where}",
        )


def test_a_page_that_names_none_is_the_last(server, take):
    beside = {
        "links": [{"rel": "self", "href": "/l"}, {"rel": ["a", "b"]}],
        "meta": {"next_cursor": None, "has_more": False, "next": ""},
        "next_cursor": 0,
        "next": "never",
    }
    header = '</l?p=2>; rel="first-next", </l>; rel="self"'
    server.routes["/l"] = lambda _: Reply({"i": ROWS, **beside}, headers={"link": header})
    for paging in ({}, {"paging": "link"}, {"paging": "link", "next": "links"}):
        assert ids(server, "l", take, records="i", **paging) == list(range(1, 8))


def test_a_list_of_links_is_followed(server, take):
    def answer(request):
        last = "p" in request.query
        links = [{"rel": "self", "href": "/l"}, {"rel": "next", "href": "/l?p=2"}]
        return {"i": ROWS[3:] if last else ROWS[:3], "links": links[:1] if last else links}

    server.routes["/l"] = answer
    paging = {"records": "i", "paging": "link", "next": "links"}
    assert ids(server, "l", take, **paging) == list(range(1, 8))


@pytest.mark.parametrize(
    "header",
    [
        '</l?p=2>; title="a\\"b, c"; rel="next"',
        "</l?p=2>; rel='next'",
        "</l?p=2>;; rel = next ; x",
        '</l>; rel="self", </l?p=2>; rel="last NEXT"',
    ],
)
def test_link_headers_are_read_however_they_are_written(server, take, header):
    server.routes["/l"] = lambda request: (
        ROWS[3:] if "p" in request.query else Reply(ROWS[:3], headers={"link": header})
    )
    assert ids(server, "l", take, paging="link") == list(range(1, 8))


def test_redirects_within_the_server_are_followed_to_an_end(server, take):
    server.routes["/old"] = lambda _: Reply(b"", 301, {"location": "/l"})
    server.routes["/l"] = lambda _: ROWS
    assert ids(server, "old", take) == list(range(1, 8))
    server.routes["/l"] = lambda _: Reply(b"", 302, {"location": "/old"})
    assert refused(server, "old", take).code == "redirect-loop"


@pytest.mark.parametrize(
    ("totals", "code"), [([7, 7, 8], "source-changed"), ([8, 8, 8, 8], "count-mismatch")]
)
def test_a_total_that_changes_or_is_not_reached_is_an_error(server, take, totals, code):
    pages = paged(ROWS, 3)

    def answer(request):
        at = int(request.query["page"]) - 1
        return {"items": pages[at] if at < len(pages) else [], "total": totals[min(at, 3)]}

    server.routes["/l"] = answer
    paging = {"records": "items", "paging": "page", "total": "total"}
    error = refused(server, "l", take, TransientSourceError, **paging)
    assert error.code == code
    server.routes["/l"] = lambda _: {"items": [], "total": "many"}
    assert refused(server, "l", take, **paging).code == "total-missing"


def test_a_missing_page_names_the_way_out(server, take):
    def answer(request):
        return ROWS if request.query["page"] == "1" else Reply({}, 404)

    server.routes["/l"] = answer
    error = refused(server, "l", take, paging="page")
    assert error.code == "object-missing"
    assert "zhixin.total" in error.hint


def test_a_cursor_that_is_none_is_refused(server, take):
    server.routes["/l"] = lambda _: {"items": ROWS, "next": {"a": 1}}
    cursor = {"paging": "cursor", "pageParameter": "c"}
    for paging in (cursor, {"paging": "link"}):
        error = refused(server, "l", take, records="items", next="next", **paging)
        assert error.code == "paging-missing"
    with pytest.raises(ConfigError, match="needs zhixin"):
        ids(server, "l", take, paging="cursor")
    with pytest.raises(ConfigError, match="sizeParameter"):
        ids(server, "l", take, pageSize=5)


# --- answers that are not whole, not JSON, not small


def cut(data):
    def reply(connection):
        connection.sendall(data)
        connection.close()

    return lambda _: reply


FULL = Reply(ROWS).sent()
CHUNKED = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        FULL[:-5],
        FULL[:30],
        b"",
        CHUNKED + b"5\r\n[{\"id",
        CHUNKED + b"zz\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        Reply(gzip.compress(b"[]")[:-9], headers={"content-encoding": "gzip"}).sent(),
        Reply(b"no gzip", headers={"content-encoding": "gzip"}).sent(),
    ],
    ids=["body", "head", "nothing", "chunk", "no chunk", "no HTTP", "gzip", "no gzip"],
)  # fmt: skip
def test_an_answer_that_is_cut_off_is_asked_for_again(server, take, waits, data):
    server.routes["/l"] = lambda request: Reply(ROWS) if request.number == 3 else cut(data)(request)
    assert ids(server, "l", take) == list(range(1, 8))
    assert len(waits) == 2
    server.routes["/l"] = cut(data)
    error = refused(server, "l", take, TransientSourceError, access={"tries": 2})
    assert (error.code, error.exit_code) == ("source-unavailable", 3)
    assert "tried 2 times" in str(error)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(b"<html>words of the server</html>", headers={"content-type": "text/html"}),
         "no-json"),
        (Reply(b"[]", headers={"content-type": "<script>words of the server"}), "no-json"),
        (Reply(b"<html>words of the server</html>", headers={"content-type": ""}),
         "records-missing"),
        (Reply(b"[]", headers={"content-type": "application/json; charset=GBK"}), "charset"),
        (Reply(b"[]", headers={"content-encoding": "br"}), "answer-packed"),
        (Reply(gzip.compress(b" " * (5 << 20)), headers={"content-encoding": "gzip"}),
         "page-too-large"),
        (Reply(b" " * (5 << 20)), "page-too-large"),
        (Reply(b'[{"id":1},{"id":NaN}]'), "json-invalid"),
        (Reply(b'[{"id":1}', length=9), "json-invalid"),
        (Reply(b'[{"id":1}]xx', length=9), "json-invalid"),
        (Reply(b'{"list":[],"more":"words of the server"}'), "records-missing"),
        (Reply(b"words of the server", 204), "source-refused"),
        (Reply(b"words of the server", 400), "source-refused"),
        (Reply(b"words of the server", 403), "permission-denied"),
        (Reply(b"words of the server", 404), "object-missing"),
        (Reply(b"words of the server", 410), "object-missing"),
        (Reply(b"words of the server", 401, {"location": "/x"}), "login-refused"),
        (Reply(b"words of the server", 501), "source-refused"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_list_of_json_is_refused(server, take, reply, code):
    server.routes["/l"] = lambda _: reply
    error = refused(server, "l", take, access={"max_page_mib": 1})
    assert (error.code, error.exit_code) == (code, 2)
    assert error.hint or code == "answer-packed"
    assert len(server.asked) == 1


def test_records_that_do_not_fit_are_misfits_and_the_rest_comes(server, take):
    server.routes["/l"] = lambda _: Reply(
        b'[{"id":9007199254740993},{"id":1,"id":2},{"id":"\xff"},{"id":1e400},{"id":4},5]',
        headers={"content-type": "text/plain; charset=utf-8"},
    )
    table, misfits, _ = take(open_source(server.url, name="api"), "l", FIELDS)
    assert table.column("id").to_pylist() == [9007199254740993, None, None, None, 4, None]
    assert [(row, field, raw) for row, field, _, raw in misfits] == [
        (1, "", '{"id":1,"id":2}'),
        (2, "id", "\\xff"),
        (3, "id", "1e400"),
        (5, "", "5"),
    ]


def test_gzip_and_chunks_are_taken_apart(server, take):
    packed = gzip.compress(b'[{"id":1}]')
    server.routes["/l"] = lambda _: Reply(packed, headers={"content-encoding": "gzip"})
    assert ids(server, "l", take) == [1]
    assert server.asked[0].headers["accept-encoding"] == "gzip"
    server.routes["/c"] = cut(CHUNKED + b'a\r\n[{"id":1}]\r\n0\r\n\r\n')
    assert ids(server, "c", take) == [1]


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_that_drips_has_an_end(server, take, monkeypatch, part):
    monkeypatch.setattr(httpclient, "_WHOLE", 1)
    stop = threading.Event()

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 X\r\n" + (b"\r\n[" if part == "body" else b""))
        while not stop.wait(0.1):
            connection.sendall(b" " if part == "body" else b"x: y\r\n")

    server.routes["/l"] = lambda _: drip
    began = time.monotonic()
    error = refused(server, "l", take, TransientSourceError, access={"timeout_s": 1, "tries": 1})
    stop.set()
    assert "no answer came in time; tried once" in str(error)
    assert time.monotonic() - began < 8


def test_a_server_that_is_not_there_is_transient(take):
    gone = HostileServer()
    gone.close()
    error = refused(gone, "l", take, TransientSourceError, access={"tries": 2})
    assert "can't be reached; tried 2 times" in str(error)


# --- retries


def storm(status, times, **headers):
    return lambda request: Reply(ROWS) if request.number > times else Reply(b"", status, headers)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_fails_in_passing_is_asked_again_with_growing_pauses(server, take, waits, status):
    server.routes["/l"] = storm(status, 4)
    assert ids(server, "l", take) == list(range(1, 8))
    assert [0.5 * 2**n * 0.5 <= pause <= 0.5 * 2**n * 1.5 for n, pause in enumerate(waits)] == (
        [True] * 4
    )
    server.routes["/l"] = lambda _: Reply(b"words of the server", status)
    server.asked.clear()
    error = refused(server, "l", take, TransientSourceError)
    assert f"status {status}; tried 5 times" in str(error)
    assert len(server.asked) == 5


def test_retry_after_is_respected_in_both_forms_and_has_a_limit(server, take, waits):
    server.routes["/l"] = storm(429, 1, **{"retry-after": "17"})
    ids(server, "l", take)
    assert waits == [17]
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    server.routes["/m"] = storm(503, 1, **{"retry-after": moment})
    ids(server, "m", take)
    assert 35 < waits[1] <= 40
    for said in ("-5", "soon", "1.5", "9" * 400, "Thu, 99 Nov 2026", ""):
        server.routes[f"/{len(waits)}"] = storm(503, 1, **{"retry-after": said})
        ids(server, f"{len(waits)}", take)
        assert waits[-1] < 1
    server.routes["/n"] = storm(429, 9, **{"retry-after": "3600"})
    error = refused(server, "n", take, TransientSourceError)
    assert "asks to be left alone for 3,600 s; tried once" in str(error)
    server.routes["/o"] = storm(429, 9, **{"retry-after": "50"})
    error = refused(server, "o", take, TransientSourceError)
    assert "tried 3 times" in str(error)


# --- logins


@pytest.mark.parametrize(
    ("access", "header", "value"),
    [
        ({"auth": "bearer"}, "authorization", f"Bearer {SECRET}"),
        ({"auth": "header", "key_name": "X-Key"}, "x-key", SECRET),
        ({"auth": "basic", "user": "reader"}, "authorization",
         "Basic " + base64.b64encode(f"reader:{SECRET}".encode()).decode()),
    ],
)  # fmt: skip
def test_each_login_is_sent_as_it_is_said(server, take, access, header, value):
    server.routes["/l"] = lambda request: (
        ROWS if request.headers.get(header) == value else Reply({}, 401)
    )
    assert ids(server, "l", take, {**access, "secret": SECRET}) == list(range(1, 8))
    error = refused(server, "l", take, access={**access, "secret": "other"})
    assert error.code == "login-refused"
    source = open_source(server.url, {**access, "secret": SECRET}, name="api")
    source.check()
    assert SECRET not in f"{source!r} {vars(source)!r}"
    server.routes["/"] = lambda _: Reply({}, 401)
    with pytest.raises(PermanentSourceError, match="the login was refused"):
        source.check()


def test_a_key_in_the_query_is_in_no_log_and_no_next_page(server, take, caplog):
    def answer(request):
        if request.query.get("api key") != SECRET:
            return Reply({}, 401)
        if "moved" not in request.query:
            return Reply(b"", 302, {"location": f"/l?api+key={SECRET}&moved=1"})
        link = None if "at" in request.query else f"/l?api%20key={SECRET}&at=1&moved=1"
        return {"items": ROWS[:1] if link else ROWS[1:], "next": link}

    server.routes["/l"] = answer
    access = {"auth": "query", "key_name": "api key", "secret": SECRET}
    assert ids(server, "l", take, access, records="items", paging="link", next="next") == (
        list(range(1, 8))
    )
    assert "/l" in caplog.text
    assert all(each.query["api key"] == SECRET for each in server.asked)
    assert server.asked[-1].query["at"] == "1"


def test_an_address_with_a_login_is_taken_apart(server, take):
    server.routes["/l"] = lambda request: [{"id": len(request.headers["authorization"])}]
    for login, sent in (("u:p%40", "Basic dTpwQA=="), (":t%2Fk", "Bearer t/k")):
        url = server.url.replace("//", f"//{login}@")
        table, _, _ = take(open_source(url), "l", FIELDS)
        assert table.column("id").to_pylist() == [len(sent)]
        assert server.asked[-1].headers["authorization"] == sent


OAUTH = {"auth": "oauth", "client_id": "me:1", "scope": "read", "secret": SECRET}


def test_a_token_is_fetched_kept_and_renewed_once_when_it_expires(server, take):
    issued = []
    pages = paged(ROWS, 3)

    def token(request):
        login = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        assert login == f"me%3A1:{SECRET}"
        assert request.body == "grant_type=client_credentials&scope=read"
        issued.append(f"t{len(issued)}")
        return {"access_token": issued[-1], "expires_in": 3600}

    def answer(request):
        at = int(request.query["page"]) - 1
        if at == 1 and len(issued) == 1:  # the token expires between two pages
            return Reply({}, 401)
        assert request.headers["authorization"] == f"Bearer {issued[-1]}"
        return pages[at] if at < len(pages) else []

    server.routes.update({"/token": token, "/l": answer})
    access = {**OAUTH, "token_url": f"{server.url}/token"}
    assert ids(server, "l", take, access, paging="page") == list(range(1, 8))
    assert issued == ["t0", "t1"]
    server.routes["/l"] = lambda _: Reply({}, 401)
    assert refused(server, "l", take, access=access).code == "login-refused"
    assert len(issued) == 4


def test_a_token_that_ends_soon_is_renewed_before_it_is_refused(server, take, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(httpclient.time, "monotonic", lambda: clock[0])
    pages = paged(ROWS, 3)

    def answer(request):
        clock[0] += 45
        at = int(request.query["page"]) - 1
        return pages[at] if at < len(pages) else []

    server.routes.update({
        "/token": lambda request: {"access_token": f"t{request.number}", "expires_in": 60},
        "/l": answer,
    })  # fmt: skip
    access = {**OAUTH, "token_url": f"{server.url}/token"}
    assert ids(server, "l", take, access, paging="page") == list(range(1, 8))
    tokens = [each.headers["authorization"] for each in server.asked if each.path == "/l"]
    assert tokens == ["Bearer t1", "Bearer t2", "Bearer t3", "Bearer t4"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": "words of the server"}, 400),
        Reply({"error": "words of the server"}, 401),
        Reply(b"", 302, {"location": "/token"}),
        Reply({"token": "x"}),
        Reply([]),
        Reply(b"no json"),
        Reply({"access_token": "a\nb"}),
        Reply({"access_token": None}),
        Reply({"access_token": ""}),
        Reply({"access_token": "t", "expires_in": 10**400}),
        Reply({"access_token": "t", "expires_in": "words of the server"}),
    ],
)
def test_a_token_that_is_refused_is_an_error_of_the_login(server, take, reply):
    server.routes["/token"] = lambda _: reply
    access = {**OAUTH, "token_url": f"{server.url}/token"}
    assert refused(server, "l", take, access=access).code == "login-refused"


@pytest.mark.parametrize(
    ("access", "said"),
    [
        ({"auth": "bearer"}, "lacks secret"),
        ({"auth": "oauth", "secret": SECRET}, "lacks token_url and client_id"),
        ({"auth": "header", "secret": SECRET}, "lacks key_name"),
        ({"secret": SECRET}, "auth does not say how it is sent"),
        ({"auth": "bearer", "secret": f"{SECRET}é"}, "can't be sent"),
        ({"auth": "bearer", "secret": f"{SECRET}\n"}, "text of one line"),
        ({"auth": "magic", "secret": SECRET}, "auth must be one of"),
        ({"auth": "header", "key_name": "X Key:", "secret": SECRET}, "no name of a header"),
        ({"auth": "header", "key_name": "Schlüssel", "secret": SECRET}, "no name of a header"),
        ({"auth": "header", "key_name": "Host", "secret": SECRET}, "no name of a header"),
        ({"token_url": f"https://me:{SECRET}@h/token"}, "token_url must be the address"),
        (
            {"token_url": f"https://h/token?client%5fsecret={SECRET}"},
            "token_url must be the address",
        ),
        ({"token_url": "https://"}, "token_url must be the address"),
        ({"token_url": "https://h:x/token"}, "token_url must be the address"),
        ({"tries": "many"}, "tries must be a whole number"),
        ({"clear_text": "yes"}, "clear_text must be true or false"),
        ({"colour": "red"}, "unknown source option zhixin.colour"),
    ],
)
def test_a_login_that_lacks_something_is_refused_before_anything_is_sent(server, access, said):
    with pytest.raises(ConfigError, match=said) as refusal:
        open_source(server.url, access, name="api").check()
    assert SECRET not in f"{refusal.value} {refusal.value.hint}"
    assert server.asked == []


def test_what_can_not_be_sent_is_no_fault_in_passing(server, take, waits):
    access = {"auth": "bearer", "secret": f"{SECRET} "}
    assert "no request that can be sent" in str(refused(server, "l", take, access=access))
    assert (server.asked, waits) == ([], [])


def test_a_type_that_repeats_what_was_sent_is_not_shown(server, take):
    server.routes["/l"] = lambda _: Reply(b"x", headers={"content-type": f"{SECRET}/x"})
    error = refused(server, "l", take, access={"auth": "bearer", "secret": SECRET})
    assert "of type another" in str(error)


def test_a_secret_goes_over_plain_http_to_no_other_machine(take):
    access = {"auth": "bearer", "secret": SECRET}
    with pytest.raises(ConfigError, match="over plain http"):
        take(open_source("http://192.0.2.1/x", access, name="api"), "l", FIELDS)
    oauth = {**OAUTH, "token_url": "http://192.0.2.1/token"}
    with pytest.raises(ConfigError, match="over plain http"):
        take(open_source("https://192.0.2.1/x", oauth, name="api"), "l", FIELDS)
    clear = {**access, "clear_text": True, "tries": 1, "timeout_s": 1}
    with pytest.raises(TransientSourceError):
        take(open_source("http://127.0.0.1:9/x", clear, name="api"), "l", FIELDS)


def test_a_secret_for_this_machine_goes_through_no_proxy(server, take, monkeypatch):
    proxy = HostileServer({"/l": lambda _: []})
    try:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        server.routes["/l"] = lambda _: ROWS
        assert ids(server, "l", take, {"auth": "bearer", "secret": SECRET}) == list(range(1, 8))
        assert proxy.asked == []
    finally:
        proxy.close()


def test_a_contract_can_not_choose_where_a_secret_goes(server, take):
    for name in ("token_url", "auth", "secret", "zhixin.key_name"):
        with pytest.raises(ConfigError, match="unknown source option"):
            take(open_source(server.url), "l", FIELDS, options={name: f"{server.url}/x"})
    assert server.asked == []


@pytest.mark.parametrize(
    "name",
    [
        *("../up", "a/../../up", "%2e%2e/up", "http://192.0.2.1/x", "x#y", "a/b/../../../c"),
        *("/../up", "//../up", "/./../up", "/%2f..%2fup", "%252e%252e/up", "..;/up", "\\..\\up"),
    ],
)
def test_an_object_stays_under_the_sources_address(server, take, name):
    source = open_source(f"{server.url}/v2", name="api")
    with pytest.raises(PermanentSourceError, match="outside of its address"):
        take(source, name, FIELDS)
    assert server.asked == []


@pytest.mark.parametrize("name", ["api_key", "apikey", "Token", "sig", "client_secret"])
def test_a_secret_in_a_contracts_object_is_refused(server, take, name):
    error = refused(server, f"list?q=1&{name}={SECRET}", take)
    assert error.code == "secret-in-contract"
    assert f'key_name = "{name}"' in error.hint
    assert server.asked == []


@pytest.mark.parametrize("url", ["http://", "https://h:99999/", "http://[x/", "http://h/#x"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="no address of a server"):
        open_source(url, name="api")


def test_settings_of_a_login_are_checked_as_they_are_read():
    check_options("https://h/x", {"auth": "basic", "user": "u", "records": "a.b"})
    with pytest.raises(ConfigError, match="passwort"):
        check_options("https://h/x", {"passwort": "x"})


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def secure(certificate):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "10")
            self.end_headers()
            self.wfile.write(b'[{"id":1}]')

        def log_message(self, *_args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_a_certificate_is_always_checked_and_may_be_the_agencys_own(
    secure, certificate, take, monkeypatch
):
    url = f"https://localhost:{secure}"
    with pytest.raises(PermanentSourceError) as refusal:
        take(open_source(url, name="api"), "l", FIELDS)
    assert refusal.value.code == "tls-refused"
    own = {"ca_file": str(certificate / "cert.pem")}
    assert take(open_source(url, own, name="api"), "l", FIELDS)[0].num_rows == 1
    with pytest.raises(PermanentSourceError, match="TLS was refused"):  # another name
        take(open_source(f"https://127.0.0.1:{secure}", own, name="api"), "l", FIELDS)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    assert take(open_source(url, name="api"), "l", FIELDS)[0].num_rows == 1
    with pytest.raises(ConfigError, match="ca_file"):
        take(open_source(url, {"ca_file": "/none"}, name="api"), "l", FIELDS)
