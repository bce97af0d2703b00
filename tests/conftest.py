"""What tests of several packages share: a real PostgreSQL and a real MariaDB of their own."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from zhixin_gateway import cli

settings.register_profile("zhixin", deadline=None)  # a busy machine is no failure
settings.load_profile("zhixin")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell puts behind can't hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")
_SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


@pytest.fixture(scope="session")
def postgresql_url():
    """The URL of a database in a server of this session's own: loopback, a free port, UTF-8.

    Tests fail where PostgreSQL is not installed; they are not skipped, because the product
    promises it. As root the server runs as the user postgres, since it refuses root.
    """
    binaries = _binaries()
    assert binaries, "PostgreSQL's initdb was not found: install postgresql (Debian) to run tests"
    folder = Path(tempfile.mkdtemp(prefix="zhixin-pg-"))
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    secret = folder / "password"
    secret.write_text("a b@c:/d")
    secret.chmod(0o644)
    data = folder / "data"
    subprocess.run(
        [*as_user, binaries / "initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256",
         f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    port = _free_port()
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [*as_user, binaries / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1",
         "-k", "", "-c", "fsync=off", "-c", "shared_buffers=32MB"],
        stdout=log, stderr=log, cwd=folder,
    )  # fmt: skip
    try:
        _wait_for(binaries / "pg_isready", port, server)
        yield f"postgresql://owner:a%20b%40c%3A%2Fd@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _binaries():
    for place in map(Path, _PLACES):
        for found in sorted(place.glob("**/bin/initdb"), reverse=True):
            return found.parent
    there = shutil.which("initdb")
    return Path(there).parent if there else None


@pytest.fixture(scope="session")
def mariadb_url():
    """The URL of a database in a MariaDB of this session's own: loopback, a free port, utf8mb4.

    The login ``owner`` may do all, so that tests make databases and users of their own. The server
    speaks TLS where it is asked to, with a certificate that ``@@ssl_cert`` names and is its own CA.
    Tests fail where MariaDB is not installed, as with PostgreSQL. As root the server runs as the
    user mysql, since it refuses root.
    """
    with _mariadb(tls=True) as url:
        yield url


@pytest.fixture(scope="session")
def plain_mariadb_url():
    """The same of a server without TLS."""
    with _mariadb(tls=False) as url:
        yield url


@pytest.fixture
def mariadb(mariadb_url):
    """A fresh database in utf8mb4: (url, run), where run executes a script in it, unstrictly."""
    import pymysql
    import sqlalchemy as sa
    from pymysql.constants import CLIENT

    name = "one_case"
    at = sa.make_url(mariadb_url)
    connection = pymysql.connect(
        host=at.host, port=at.port, user=at.username, password=at.password,
        sql_mode="", autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS,
    )  # fmt: skip

    def run(sql, values=None):
        with connection.cursor() as cursor:
            if values is not None:
                cursor.executemany(sql, values)
                return
            cursor.execute(sql)
            while cursor.nextset():
                pass

    run(f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4; USE {name}")
    yield mariadb_url.rsplit("/", 1)[0] + f"/{name}", run
    connection.close()


@pytest.fixture(scope="session")
def s3_port():
    """The port of a server of this session's own that speaks S3: moto's, on loopback."""
    port = _free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    own = {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        _wait_for_port(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(30)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture
def s3_url(s3_port):
    """The address of a store in a fresh bucket."""
    bucket = f"bucket-{secrets.token_hex(6)}"
    make = urllib.request.Request(f"http://127.0.0.1:{s3_port}/{bucket}", method="PUT")
    urllib.request.urlopen(make, timeout=30).close()
    return f"s3://{bucket}/store?endpoint_override=127.0.0.1:{s3_port}&scheme=http&region=x"


def _wait_for_port(port, server):
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise AssertionError("the server never answered")


@contextmanager
def _mariadb(*, tls):
    install, daemon = shutil.which("mariadb-install-db"), shutil.which("mariadbd", path=_SBIN)
    assert install, "mariadb-install-db was not found: install mariadb-server (Debian) to run tests"
    assert daemon, "mariadbd was not found: install mariadb-server (Debian) to run tests"
    folder = Path(tempfile.mkdtemp(prefix="zhixin-maria-"))
    as_user = []
    if os.geteuid() == 0:
        shutil.chown(folder, "mysql", "mysql")
        as_user = ["setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups"]
    # A server that starts deletes what looks like another's in their common folder.
    environ = {**os.environ, "TMPDIR": str(folder)}
    data, start = folder / "data", folder / "start.sql"
    start.write_text(  # one statement a line is the file's form
        "CREATE OR REPLACE USER owner@'127.0.0.1' IDENTIFIED BY 'a b@c:/d';\n"
        "GRANT ALL ON *.* TO owner@'127.0.0.1' WITH GRANT OPTION;\n"
        "CREATE DATABASE IF NOT EXISTS silo CHARACTER SET utf8mb4;\n"
    )
    start.chmod(0o644)
    subprocess.run(
        [*as_user, install, "--no-defaults", f"--datadir={data}", "--skip-test-db",
         "--skip-name-resolve", "--auth-root-authentication-method=normal",
         "--innodb-log-file-size=8M", "--innodb-flush-method=nosync"],
        check=True, capture_output=True, cwd=folder, env=environ,
    )  # fmt: skip
    port = _free_port()
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [*as_user, daemon, "--no-defaults", f"--datadir={data}", f"--port={port}",
         "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid",
         f"--init-file={start}", "--skip-name-resolve", "--skip-log-bin",
         "--character-set-server=utf8mb4", "--innodb-buffer-pool-size=32M",
         "--innodb-log-file-size=8M", "--innodb-flush-method=nosync",
         "--innodb-flush-log-at-trx-commit=0", "--max-allowed-packet=64M",
         *(_certificate(folder) if tls else [])],
        stdout=log, stderr=log, cwd=folder, env=environ,
    )  # fmt: skip
    try:
        _wait_for_mariadb(port, server)
        yield f"mariadb://owner:a%20b%40c%3A%2Fd@127.0.0.1:{port}/silo"
    finally:
        server.terminate()
        server.wait(60)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _certificate(folder):
    """Options of a server that speaks TLS for 127.0.0.1, and not for localhost."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "silo")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.TraditionalOpenSSL
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
    return [f"--ssl-cert={folder}/cert.pem", f"--ssl-key={folder}/key.pem"]


def _wait_for_mariadb(port, server):
    """Until it lets its owner in: it answers on its port only after the init file ran."""
    import pymysql

    for _ in range(300):
        assert server.poll() is None, "MariaDB did not start"
        try:
            pymysql.connect(host="127.0.0.1", port=port, user="owner", password="a b@c:/d").close()
        except pymysql.err.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("MariaDB did not answer within 30 s")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(ready, port, server):
    for _ in range(300):
        assert server.poll() is None, "PostgreSQL did not start"
        asked = subprocess.run(
            [ready, "-h", "127.0.0.1", "-p", str(port)], check=False, capture_output=True
        )
        if asked.returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError("PostgreSQL did not answer within 30 s")


class Answer:
    """What a command said: its exit code, standard output and standard error."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        """Standard output as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def zhixin(capsys, monkeypatch, tmp_path):
    """Run a command in this process; the working folder is fresh."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZHIXIN_HOME", raising=False)
    monkeypatch.delenv("ZHIXIN_DEBUG", raising=False)

    def run(*arguments, home=None):
        if home is not None:
            arguments = ("--home", str(home), *arguments)
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        caught = capsys.readouterr()
        assert "Traceback" not in caught.err
        return Answer(code, caught.out, caught.err)

    return run


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demo, run once by its command: its folder and what it answered with ``--json``.

    It takes half a minute: tests that use it bear ``xdist_group("demo")``, so that one worker
    makes it for all.
    """
    folder = tmp_path_factory.mktemp("demo") / "zhixin-demo"
    done = subprocess.run(
        [sys.executable, "-m", "zhixin_gateway.cli", "demo", str(folder), "--json"],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return folder, json.loads(done.stdout)
