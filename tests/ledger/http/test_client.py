"""The transports over HTTP: what a log or a witness may do to its callers, and what it may not."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import time
import zlib
from contextlib import suppress
from threading import Thread

import pytest
from zhixin_errors import ConfigError, LedgerRefused, LedgerUnavailable
from zhixin_ledger.client import LedgerClient
from zhixin_ledger.http import asking
from zhixin_ledger.http.client import HttpLog, HttpSource, HttpWitness
from zhixin_ledger.http.problems import Problem, problem_of

FLIGHTS = "bts.gov.example/flights"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(asking, "_PAUSE_S", 0.01)
    monkeypatch.setattr(asking, "_MAX_SAID_S", 0.1)
    monkeypatch.setattr(asking, "CONNECT_S", 2.0)


def answer(status: int, code: str = "x", **members):
    problem = Problem(status, code, "told", members=members)
    return status, problem.headers, problem.body


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


# A member's view through a served log.


def test_a_member_submits_reads_and_has_its_receipt(world, serve_log):
    served = serve_log()
    with LedgerClient.open(world.home("faa.gov.example") / "ledger", served.url) as client:
        index = client.submit(world.contract(FLIGHTS))
        assert client.submit(world.contract(FLIGHTS)) == index
        assert client.receipt(index)
        assert client.state().size == 4
        assert client.fsck().ok
        assert client.refresh().size == 4


def test_a_refusal_keeps_its_code_over_http(world, serve_log):
    served = serve_log()
    with LedgerClient.open(world.home("faa.gov.example") / "ledger", served.url) as client:
        with pytest.raises(LedgerRefused) as refused:
            client.submit(world.version(FLIGHTS))
        assert refused.value.code == "contract-not-newest"
        with pytest.raises(LedgerRefused) as refused:
            client.submit(b"{}")
        assert refused.value.code == "malformed"


def test_the_proof_is_pending_while_the_quorum_is_missing(world, serve_log):
    served = serve_log(witnesses=[])
    with LedgerClient.open(world.home("faa.gov.example") / "ledger", served.url) as client:
        index = client.submit(world.contract(FLIGHTS))
        with pytest.raises(LedgerUnavailable) as pending:
            client.receipt(index, timeout_s=0.3)
        assert pending.value.code == "quorum"
        assert "no checkpoint of 3 entries with its quorum" in pending.value.message


def test_a_log_that_is_not_there_is_unavailable(world):
    url = closed_port()
    with LedgerClient.open(world.home("faa.gov.example") / "ledger", url) as client:
        with pytest.raises(LedgerUnavailable, match="can't be reached"):
            client.submit(world.contract(FLIGHTS))
        with pytest.raises(LedgerUnavailable):
            client.sync()


# Faults of servers.


@pytest.mark.parametrize("fault", [(0, {}, b""), answer(503), answer(429), answer(502)])
def test_what_fails_in_passing_is_tried_again(canned, fault):
    server = canned(fault, fault, (200, {}, b"note"))
    assert HttpSource(server.url).read("checkpoint") == b"note"
    assert [path for _, path, _ in server.asked] == ["/checkpoint"] * 3
    log = HttpLog(canned(fault, (201, {}, b'{"index": 7}')).url)
    assert log.submit(b"{}") == 7
    log.close()


def test_what_fails_for_good_ends(canned):
    server = canned(answer(503, "quorum"))
    with pytest.raises(LedgerUnavailable) as fault:
        HttpLog(server.url).submit(b"{}")
    assert (fault.value.code, fault.value.message) == ("quorum", "told")
    assert len(server.asked) == 4


def test_what_is_refused_is_not_tried_again(canned):
    server = canned(answer(422, "version-order", expected="3"))
    with pytest.raises(LedgerRefused) as refused:
        HttpLog(server.url).submit(b"{}")
    assert refused.value.code == "version-order"
    assert refused.value.details == {"expected": "3"}
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[1]", b'{"code": 3}', b"[" * 100_000],
    ids=["nothing", "page", "list", "code", "deep"],
)
def test_a_stranger_s_refusal_has_a_sentence_too(canned, body):
    with pytest.raises(LedgerRefused, match="answered 418"):
        HttpLog(canned((418, {}, body)).url).submit(b"{}")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"index": "3"}', b'{"index": -1}', b'{"index": true}']
)
def test_an_answer_without_an_index_is_none(canned, body):
    with pytest.raises(LedgerUnavailable, match="without a good index"):
        HttpLog(canned((201, {}, body)).url).submit(b"{}")


def test_redirects_are_not_followed(canned):
    there = canned((200, {}, b"note"))
    server = canned((301, {"location": f"{there.url}/checkpoint"}, b""))
    with pytest.raises(LedgerUnavailable, match="sends elsewhere"):
        HttpSource(server.url).read("checkpoint")
    assert there.asked == []


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("checkpoint", 256 * 1024),
        ("tile/0/000", 8192),
        ("tile/entries/000", 256 * 65_537),
    ],
)
def test_nothing_is_read_beyond_its_size(canned, path, limit):
    assert len(HttpSource(canned((200, {}, bytes(limit))).url).read(path)) == limit
    with pytest.raises(LedgerUnavailable, match=f"more than {limit} bytes"):
        HttpSource(canned((200, {}, bytes(limit + 1))).url).read(path)


def test_a_small_answer_that_unpacks_to_a_large_one_is_refused(canned):
    bomb = gzip.compress(bytes(50_000_000))
    server = canned((200, {"content-encoding": "gzip"}, bomb))
    with pytest.raises(LedgerUnavailable, match="more than 8192 bytes"):
        HttpSource(server.url).read("tile/0/000")


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", b"no gzip"), ("br", b"x"), ("gzip", gzip.compress(b"a" * 5000, mtime=0)[:-4])],
)
def test_what_can_not_be_unpacked_is_unavailable(canned, coding, body):
    server = canned((200, {"content-encoding": coding}, body))
    with pytest.raises(LedgerUnavailable):
        HttpSource(server.url).read("tile/0/000")


def test_what_is_missing_is_none(canned):
    assert HttpSource(canned(answer(404)).url).read("tile/0/000") is None
    assert HttpSource(canned(answer(410)).url).read("tile/0/000") is None


def test_an_answer_that_ends_early_is_unavailable(canned):
    server = canned((200, {"content-length": "100", "connection": "close"}, b"short"))
    with pytest.raises(LedgerUnavailable):
        HttpSource(server.url).read("checkpoint")


def test_a_log_of_another_make_tells_no_status(canned):
    log = HttpLog(canned(answer(404)).url)
    with pytest.raises(LedgerUnavailable, match="no checkpoint of 0 entries"):
        log.settle(timeout_s=0.1)


def test_a_checkpoint_that_is_none_is_refused(canned):
    with pytest.raises(LedgerRefused) as refused:
        HttpLog(canned((200, {}, b"no note")).url).settle(4, timeout_s=0.1)
    assert refused.value.code == "malformed"


# Witnesses.


def test_a_witness_is_asked_in_the_form_of_c2sp(canned):
    server = canned((200, {}, "— x AAAA\n".encode()))
    witness = HttpWitness("faa.gov.example", server.url + "/")
    lines = witness.add_checkpoint(3, [b"\1" * 32, b"\2" * 32], b"note\n")
    assert lines == "— x AAAA\n".encode()
    ((method, path, body),) = server.asked
    assert (method, path) == ("POST", "/add-checkpoint")
    assert body == (
        b"old 3\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
        b"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\nnote\n"
    )


def test_a_witness_that_cosigned_another_size_says_so(canned):
    server = canned((409, {"content-type": "text/x.tlog.size"}, b"17\n"))
    with pytest.raises(LedgerRefused) as conflict:
        HttpWitness("faa.gov.example", server.url).add_checkpoint(3, [], b"note\n")
    assert conflict.value.code == "witness-conflict"
    assert conflict.value.details == {"size": 17}


@pytest.mark.parametrize(
    ("kind", "body"),
    [("text/plain", b"17\n"), ("text/x.tlog.size", b"017\n"), ("text/x.tlog.size", b"\xff")],
)
def test_a_conflict_without_a_size_is_one_all_the_same(canned, kind, body):
    server = canned((409, {"content-type": kind}, body))
    with pytest.raises(LedgerRefused) as conflict:
        HttpWitness("faa.gov.example", server.url).add_checkpoint(3, [], b"note\n")
    assert conflict.value.details == {}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, LedgerRefused, "malformed"),
        (403, LedgerRefused, "log-signature"),
        (404, LedgerRefused, "other-origin"),
        (422, LedgerRefused, "forked"),
        (429, LedgerUnavailable, "ledger-unavailable"),
        (500, LedgerUnavailable, "ledger-unavailable"),
        (503, LedgerUnavailable, "ledger-unavailable"),
    ],
)
def test_the_statuses_of_c2sp_are_errors_of_ours(canned, status, kind, code):
    server = canned((status, {}, b"no"))
    with pytest.raises(kind) as fault:
        HttpWitness("faa.gov.example", server.url).add_checkpoint(3, [], b"note\n")
    assert fault.value.code == code
    assert len(server.asked) == 1


def test_a_witness_of_ours_keeps_its_own_code(canned):
    server = canned(answer(422, "state"))
    with pytest.raises(LedgerRefused) as fault:
        HttpWitness("faa.gov.example", server.url).add_checkpoint(3, [], b"note\n")
    assert fault.value.code == "state"


def test_the_latest_checkpoint_has_its_place(canned):
    server = canned((200, {}, b"note"), answer(404))
    witness = HttpWitness("faa.gov.example", server.url)
    assert witness.latest("ledger.gov.example/2026") == b"note"
    assert witness.latest("ledger.gov.example/2026") is None
    place = hashlib.sha256(b"ledger.gov.example/2026").hexdigest()
    assert server.asked[0][1] == f"/{place}/checkpoint"


# URLs and certificates.


@pytest.mark.parametrize(
    "url",
    ["http://", "ftp://h", "h", "http://u:secret@h", "http://h?a", "http://h#a", "http://h:x"],
)
def test_a_url_holds_host_port_and_path(url):
    with pytest.raises(ConfigError) as fault:
        HttpSource(url)
    assert "secret" not in fault.value.message


def test_a_file_of_certificates_that_is_none_is_a_fault_of_set_up(tmp_path, monkeypatch):
    for path in (tmp_path / "missing", tmp_path):
        monkeypatch.setenv(asking.CA_VARIABLE, str(path))
        with pytest.raises(ConfigError, match="ZHIXIN_CA_FILE"):
            HttpSource("https://127.0.0.1:9").read("checkpoint")


def test_zlib_has_no_limit_of_zero():
    """What the limit of unpacking rests on: 0 means none, so it is never asked for."""
    assert len(zlib.decompressobj(wbits=31).decompress(gzip.compress(bytes(99)), 0)) == 99


def test_a_witness_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(LedgerUnavailable, match="did not answer in time"):
            HttpWitness("faa.gov.example", url, timeout_s=0.2).add_checkpoint(3, [], b"note\n")


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_witness_whose_answer_never_ends_is_given_up(said):
    """Each of its bytes comes in time. One such witness must not hold the log's publication."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with suppress(OSError):
                client, _ = server.accept()
                with client:
                    client.recv(65536)
                    client.sendall(said)
                    while True:
                        client.sendall(b"x")
                        time.sleep(0.05)

        Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        witness = HttpWitness("faa.gov.example", url, timeout_s=0.2)
        with pytest.raises(LedgerUnavailable, match="did not answer in time"):
            witness.add_checkpoint(3, [], b"note\n")


@pytest.mark.parametrize("code", [chr(0xD800), "X", "a b", "c" * 65, 'a"}\n'])
def test_a_strangers_words_are_harmless(canned, code):
    body = json.dumps({"code": code, "detail": "one\n\x1b[31mtwo", "hint": "\x07three"}).encode()
    witness = HttpWitness("faa.gov.example", canned((503, {}, body)).url)
    with pytest.raises(LedgerUnavailable) as fault:
        witness.add_checkpoint(3, [], b"note\n")
    assert fault.value.code == LedgerUnavailable.default_code
    assert fault.value.message.isprintable()
    assert (fault.value.hint or "").isprintable()
    assert problem_of(fault.value).body
