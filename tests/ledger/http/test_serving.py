"""The command that serves a log: its start, its end, and what survives either."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import datetime as dt
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from zhixin_errors import ConfigError, LedgerUnavailable
from zhixin_ledger import dsse
from zhixin_ledger.audit import audit
from zhixin_ledger.client import LedgerClient
from zhixin_ledger.http.asking import CA_VARIABLE
from zhixin_ledger.http.client import HttpLog
from zhixin_ledger.http.serving import Serving, running, serve
from zhixin_ledger.tiles import DirectorySource, Tiles

FLIGHTS = "bts.gov.example/flights"


class Server:
    """`zhixin ledger serve` as a process."""

    def __init__(self, home: Path, *options: str, witnesses: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zhixin_gateway.cli", "--home", str(home), "ledger", "serve",
             "--port", "0", "--json", *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate(timeout=30)[1])
        self.told = json.loads(line)
        self.url = self.told["url"]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture
def home(world):
    """The operator's home, with settings that name all witnesses of the world."""
    lines = ['member = "bts.gov.example"', "", "[ledger]", 'url = "file:."']
    for name in world.names:
        lines += ["", "[[witnesses]]", f'name = "{name}"', f'url = "file:../{name}"']
    path = world.home("bts.gov.example")
    (path / "zhixin.toml").write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def server(home):
    """Start servers of that home; they are stopped at the end."""
    made: list[Server] = []

    def start(*options: str) -> Server:
        made.append(Server(home, *options))
        return made[-1]

    yield start
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate(timeout=30)


def entries(world) -> list[bytes]:
    """Every durable entry, once the ledger is opened and published anew."""
    client = world.client()
    size = client.refresh().size
    return list(Tiles(DirectorySource(world.log_dir), size).entries())


def payload(envelope: bytes) -> bytes:
    return base64.b64decode(json.loads(dsse.normalise_envelope(envelope))["payload"])


@pytest.mark.slow
def test_it_says_where_it_serves_and_ends_cleanly(world, server):
    served = server()
    assert served.told["origin"] == world.origin
    answer = httpx.post(
        f"{served.url}/entries?wait=receipt", content=world.contract(FLIGHTS), timeout=60
    )
    assert answer.status_code == 201
    code, errors = served.end()
    assert code == 0
    assert f"serving {world.origin} at {served.url}" in errors
    line = next(line for line in errors.splitlines() if "/entries" in line)
    assert line.split()[1:4] == ["POST", "/entries", "201"]
    assert "wait" not in line
    assert "Traceback" not in errors
    assert len(entries(world)) == 4


@pytest.mark.slow
def test_a_second_server_on_one_home_is_refused(home, server):
    server()
    second = subprocess.run(
        [sys.executable, "-m", "zhixin_gateway.cli", "--home", str(home), "ledger", "serve",
         "--port", "0", "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert second.returncode == 3
    assert json.loads(second.stdout)["error"]["code"] == "ledger-busy"
    assert "another process holds the ledger" in second.stderr


@pytest.mark.slow
def test_who_writes_past_the_server_is_sent_to_its_url(world, home, server):
    served = server()
    with pytest.raises(LedgerUnavailable) as busy:
        world.client().submit(world.contract(FLIGHTS))
    assert busy.value.code == "ledger-busy"
    assert "URL" in (busy.value.hint or "")
    log = HttpLog(served.url)
    assert log.submit(world.contract(FLIGHTS)) == 2
    log.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_what_was_acknowledged_is_there_afterwards(world, server, number):
    served = server("--no-access-log")
    envelopes = [world.contract(f"bts.gov.example/d{at:04}") for at in range(1600)]
    acknowledged: dict[int, bytes] = {}
    enough = threading.Event()

    def submit(share: list[bytes]) -> None:
        with httpx.Client(timeout=30) as client, contextlib.suppress(httpx.HTTPError):
            for envelope in share:
                answer = client.post(f"{served.url}/entries", content=envelope)
                if answer.status_code == 201:
                    acknowledged[answer.json()["index"]] = envelope
                if len(acknowledged) >= 150:
                    enough.set()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for at in range(8):
            pool.submit(submit, envelopes[at::8])
        assert enough.wait(60)
        code, _ = served.end(number)
    assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert 150 <= len(acknowledged) < 1600
    kept = entries(world)
    for index, envelope in acknowledged.items():
        assert payload(kept[index]) == payload(envelope)
    assert audit(world.log_dir).ok


@pytest.mark.slow
def test_who_waits_for_a_receipt_is_let_go_at_the_end(world, home, server):
    text = (home / "zhixin.toml").read_text()
    (home / "zhixin.toml").write_text(text.partition("\n[[witnesses]]")[0])
    served = server()
    answers = []

    def wait() -> None:
        url = f"{served.url}/entries?wait=receipt&timeout=60"
        answers.append(httpx.post(url, content=world.contract(FLIGHTS), timeout=90))

    thread = threading.Thread(target=wait)
    thread.start()
    deadline = time.monotonic() + 30
    while httpx.get(f"{served.url}/status").json()["size"] < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    began = time.monotonic()
    code, _ = served.end()
    assert code == 0
    assert time.monotonic() - began < 15
    thread.join(30)
    assert answers[0].status_code == 503
    assert answers[0].json()["code"] == "stopping"
    assert answers[0].json()["index"] == 2


@pytest.mark.slow
def test_it_serves_over_tls_to_who_knows_its_authority(world, server, tmp_path, monkeypatch):
    cert, key, authority = certificates(tmp_path)
    served = server("--tls-cert", str(cert), "--tls-key", str(key))
    assert served.url.startswith("https://")
    with pytest.raises(LedgerUnavailable, match="can't be reached"):
        HttpLog(served.url).settle(timeout_s=1)
    monkeypatch.setenv(CA_VARIABLE, str(authority))
    with LedgerClient.open(world.home("faa.gov.example") / "ledger", served.url) as client:
        assert client.receipt(client.submit(world.contract(FLIGHTS)))


def test_tls_wants_both_files_and_good_ones(tmp_path):
    cert, key, _ = certificates(tmp_path)
    with pytest.raises(ConfigError, match="both"):
        serve(None, Serving(tls_cert=cert))
    key.write_text("nonsense")
    with pytest.raises(ConfigError, match="can't be used"):
        serve(None, Serving(tls_cert=cert, tls_key=key))


def test_a_port_that_is_taken_is_a_fault_of_set_up(serve_log):
    served = serve_log()
    with pytest.raises(ConfigError, match="can't be served"):
        serve(None, Serving(port=int(served.url.rsplit(":", 1)[1])))


def test_an_application_that_does_not_start_is_told():
    async def broken(scope, receive, send) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(ConfigError), running(broken):
        pass


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A server's certificate for 127.0.0.1, its key, and the authority that signed it."""
    now = dt.datetime.now(dt.UTC)

    def build(name: str, issuer: str, key, signer, *, ca: bool):
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            import ipaddress

            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = build("test authority", "test authority", authority_key, authority_key, ca=True)
    cert = build("server", "test authority", key, authority_key, ca=False)
    paths = folder / "server.pem", folder / "server.key", folder / "authority.pem"
    paths[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    paths[2].write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    return paths
