"""Reading a served ledger: C2SP tlog-tiles, at every size that was ever published."""

from __future__ import annotations

import gzip

import httpx
import pytest
from fastapi import FastAPI
from zhixin_ledger import checkpoint, merkle, tiles
from zhixin_ledger.client import LedgerClient
from zhixin_ledger.http.answers import tell_problems
from zhixin_ledger.http.serving import running
from zhixin_ledger.http.tile_routes import TileFolder, tile_routes
from zhixin_ledger.note import Note
from zhixin_ledger.tiles import Tiles


@pytest.fixture
def folder(tmp_path):
    """A ledger's folder that grew to 300, 520 and 70,000 entries."""
    entries = [b"entry %d" % number * 9 for number in range(700)]
    before = 0
    for size in (300, 520, 700):
        tiles.write_tiles(tmp_path, before, size, lambda start: iter(entries[start:]))
        before = size
    (tmp_path / "checkpoint").write_bytes(b"note\n")
    return tmp_path, entries


@pytest.fixture
def url(folder):
    app = FastAPI(openapi_url=None)
    tell_problems(app)
    app.include_router(tile_routes(folder[0]))
    with running(app) as url:
        yield url


def test_the_checkpoint_is_kept_for_seconds_and_known_again(url):
    answer = httpx.get(f"{url}/checkpoint")
    assert answer.status_code == 200
    assert answer.content == b"note\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=2"
    etag = answer.headers["etag"]
    again = httpx.get(f"{url}/checkpoint", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")


def test_tiles_never_change_and_are_not_compressed(url, folder):
    answer = httpx.get(f"{url}/tile/0/000")
    hashes = b"".join(map(merkle.leaf_hash, folder[1][:256]))
    assert answer.content == hashes
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answer.headers["cache-control"]
    assert "content-encoding" not in answer.headers


def test_bundles_are_compressed_for_who_takes_it(url, folder):
    bundle = tiles.pack_entries(folder[1][256:512])
    for coding, packed in (
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("identity", False),
    ):
        with httpx.stream(
            "GET", f"{url}/tile/entries/001", headers={"accept-encoding": coding}
        ) as answer:
            raw = b"".join(answer.iter_raw())
        assert ("content-encoding" in answer.headers) is packed
        assert answer.headers["vary"] == "accept-encoding"
        assert (gzip.decompress(raw) if packed else raw) == bundle
        assert len(raw) < len(bundle) / 4 or not packed


@pytest.mark.parametrize("size", [300, 520, 700])
def test_every_published_size_stays_readable(folder, size):
    served, (_, entries) = TileFolder(folder[0]), folder

    class Source:
        def read(self, path):
            return served.tile(path.removeprefix("tile/"))

    tree = Tiles(Source(), size)
    assert tree.root() == merkle.root([merkle.leaf_hash(entry) for entry in entries[:size]])
    assert list(tree.entries()) == entries[:size]


def test_a_partial_one_is_cut_from_the_full_one(url, folder):
    assert not (folder[0] / "tile/0/001.p").exists()
    answer = httpx.get(f"{url}/tile/0/001.p/44")
    assert answer.content == b"".join(map(merkle.leaf_hash, folder[1][256:300]))
    answer = httpx.get(f"{url}/tile/entries/001.p/44")
    assert answer.content == tiles.pack_entries(folder[1][256:300])


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/001.p/0", "tile/0/001.p/256", "tile/0/001.p/044", "tile/0/1", "tile/00/001",
        "tile/64/000", "tile/-1/000", "tile/0/x000/001", "tile/0/001/000", "tile/0/x001", "tile/",
        "tile/0", "tile/0/000/", "tile//000", "tile/entries/000.p/999", "tile/..%2fcheckpoint",
        "tile/%2e%2e/checkpoint", "tile/0/000%00", "tile/0/999", "log.sqlite",
        "tile/0/000.p", "tile/0/٠٠٠", "checkpoint/", "checkpoint%0a", "writer.lock",
        "tile/entries/000%0A", "tile/0/%2e%2e/%2e%2e/log.sqlite",
    ],
)  # fmt: skip
def test_what_is_no_tile_is_not_there(url, path):
    answer = httpx.get(f"{url}/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"


def test_a_link_or_a_pipe_in_the_folder_does_not_hang_the_server(url, folder):
    import os

    os.mkfifo(folder[0] / "tile/0/005")
    assert httpx.get(f"{url}/tile/0/005", timeout=10).status_code == 404


def test_head_is_answered_as_get_is(url):
    for path in ("checkpoint", "tile/0/000", "tile/entries/001"):
        got = httpx.get(f"{url}/{path}", headers={"accept-encoding": "identity"})
        head = httpx.head(f"{url}/{path}", headers={"accept-encoding": "identity"})
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == str(len(got.content))


def test_before_the_first_publication_there_is_no_checkpoint(world, serve_log):
    served = serve_log(witnesses=[])
    answer = httpx.get(f"{served.url}/checkpoint")
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


def test_a_member_reads_three_hundred_entries_through_http(world, serve_log):
    served = serve_log()
    envelopes = [world.contract(f"bts.gov.example/d{number}") for number in range(300)]
    with httpx.Client() as client:
        for envelope in envelopes:
            assert client.post(f"{served.url}/entries", content=envelope).status_code == 201
    with LedgerClient.open(world.home("ntsb.gov.example") / "ledger", served.url) as member:
        state = member.sync()
        assert state.size >= 602
        assert member.fsck().ok
    note = Note.parse(httpx.get(f"{served.url}/checkpoint").content)
    assert checkpoint.parse(note.text).size >= state.size
