"""Files in an object store: pyarrow's own S3 client, and a server that speaks enough of S3."""

import re
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pytest
from zhixin_connectors.protocol import ReadRequest
from zhixin_connectors.registry import open_source
from zhixin_errors import TransientSourceError

FIELDS = {"id": pa.int64()}


class Bucket(BaseHTTPRequestHandler):
    """Lists, and gives whole objects or ranges of them."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        address = urlsplit(self.path)
        query = parse_qs(address.query, keep_blank_values=True)
        _, _, key = unquote(address.path).lstrip("/").partition("/")
        if not key:
            return self._list(query.get("prefix", [""])[0], query.get("delimiter", [""])[0])
        if key not in self.objects:
            return self._answer(404, b"")
        data, code, more = self.objects[key], 200, {}
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if found:
            start, end = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
            more = {"Content-Range": f"bytes {start}-{end}/{len(data)}"}
            data, code = data[start : end + 1], 206
        return self._answer(code, data, **more)

    def _list(self, prefix, delimiter):
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        folders = {k[: k.index("/", len(prefix)) + 1] for k in keys if "/" in k[len(prefix) :]}
        shown = [key for key in keys if not delimiter or "/" not in key[len(prefix) :]]
        entries = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(self.objects[key])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in shown
        ) + "".join(
            f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>"
            for each in sorted(folders if delimiter else ())
        )
        count = f"<KeyCount>{len(shown)}</KeyCount><IsTruncated>false</IsTruncated>"
        xml = f"<ListBucketResult>{count}{entries}</ListBucketResult>"
        return self._answer(200, xml.encode())

    def _answer(self, code, data, **headers):
        self.send_response(code)
        headers |= {"Last-Modified": formatdate(0, usegmt=True), "Content-Length": str(len(data))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def bucket(monkeypatch):
    """The objects, and the address of their folder."""
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "y")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    objects = {
        "silo/2026-01.csv": b"id,name\n1,a\n2,b\n",
        "silo/2026-02.csv": b"id,name\n3,c\n",
        "silo/below/x.csv": b"id\n4\n",
    }
    handler = type("Own", (Bucket,), {"objects": objects})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    place = f"127.0.0.1:{server.server_port}"
    yield objects, f"s3://bucket/silo?region=x&scheme=http&endpoint_override={place}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_tables_of_a_bucket_are_files_folders_and_patterns(bucket, take):
    _, address = bucket
    names = ["2026-01.csv", "2026-02.csv", "below/x.csv"]
    assert [table.name for table in open_source(address).tables()] == names
    for table, ids in (("2026-01", [1, 2]), ("2026-*.csv", [1, 2, 3]), ("below", [4])):
        assert take(address, table, FIELDS)[0]["id"].to_pylist() == ids
    pattern = address.replace("/silo?", "/silo/2026-*.csv?")
    assert take(pattern, ".", FIELDS)[0]["id"].to_pylist() == [1, 2, 3]


def test_an_object_that_is_written_anew_while_it_is_read_is_refused(bucket):
    objects, address = bucket
    request = ReadRequest("2026-*.csv", pa.schema(list(FIELDS.items())))
    stream = open_source(address).read(request)
    next(stream)
    objects["silo/2026-01.csv"] += b"9,z\n"
    with pytest.raises(TransientSourceError, match=r"2026-01\.csv changed"):
        list(stream)
