"""The ledger's speed over HTTP, and of its audit.

    .venv/bin/python benchmarks/run_ledger.py [--entries 200000] [--receipts 3000] [--keep DIR]

Four members found a ledger; `zhixin ledger serve` and, for receipts, four `zhixin witness serve`
run as processes of their own. The load comes from a Go program (`load/`) that signs before its
clock starts:

1. durable: 32 clients state versions as fast as they are taken. Each answer means that the
   signature was checked, the rules held, and the entry was synced. The log publishes meanwhile,
   but the witnesses are stand-ins that only sign: members have machines of their own, and here
   four replays would take the log's processor time.
2. receipts: the same, each answer a receipt that three of four witnesses cosigned, all of them
   replaying every entry on this machine.
3. fsck of the log of 1: everything recomputed, with and without its cache of checked signatures.

Two peers in the same run: what disk and SQLite give by themselves (rows of an entry's size, synced
in groups of 32), and Tessera, the log of Go (`peer/`: the same clients in one process with it, no
HTTP, no signature, no rule), where its modules can be had.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from zhixin_gateway.founding import found
from zhixin_gateway.home import COSIGNER_KEY, LOG_KEY, STATEMENT_KEY, Home, create_home
from zhixin_gateway.settings import WitnessSetting
from zhixin_ledger import cosignature, fsck
from zhixin_ledger.audit import audit, audit_cached
from zhixin_ledger.embedded import DATABASE, Engine
from zhixin_ledger.note import Note
from zhixin_ledger.signers import Signer

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ledger.json"
ORIGIN = "ledger.gov.example/2026"
MEMBERS = ("bts.gov.example", "faa.gov.example", "noaa.gov.example", "ntsb.gov.example")
CLIENTS = 32
ROUND = 100_000
READY_S = 60


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--entries", type=int, default=200_000, help="durable entries")
    options.add_argument("--receipts", type=int, default=3_000, help="entries with a receipt each")
    options.add_argument("--keep", type=Path, help="work in this folder and keep it")
    options.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    options.add_argument("--child", nargs=2, metavar=("WHAT", "LOG"), help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.child:
        return child(*asked.child)
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(asked.keep or Path(scratch), asked.entries, asked.receipts)
    asked.results.parent.mkdir(exist_ok=True)
    asked.results.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)
    return 0


def measure(folder: Path, entries: int, receipts: int) -> dict[str, Any]:
    load = built(folder, "load")
    figures: dict[str, Any] = {"machine": machine()}
    few = max(CLIENTS, min(entries // 10, 20_000))
    figures["sqlite_alone"] = sqlite_alone(folder / "alone.sqlite", few)
    figures["tessera"] = tessera(folder, few)
    homes = founded(folder / "durable")
    figures["durable"] = durable(load, homes[0], folder / "durable" / "members.json", entries)
    figures["disk"] = on_disk(homes)
    figures["fsck"] = {
        what: in_child(what, homes[0].path / "log") for what in ("cached", "everything")
    }
    if receipts:
        homes = founded(folder / "receipts")
        figures["receipts"] = with_receipts(load, homes, folder / "receipts", receipts)
    return figures


# The parts.


def sqlite_alone(path: Path, rows: int) -> dict[str, float]:
    """Rows of an entry's size into SQLite, as durable as the ledger's, in groups as the load's."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE entries (idx INTEGER PRIMARY KEY, data BLOB NOT NULL)")
    began = time.monotonic()
    for start in range(0, rows, CLIENTS):
        database.execute("BEGIN IMMEDIATE")
        group = ((index, os.urandom(1034)) for index in range(start, start + CLIENTS))
        database.executemany("INSERT INTO entries VALUES (?, ?)", group)
        database.execute("COMMIT")
    seconds = time.monotonic() - began
    database.close()
    return {"rows": rows, "per_second": rows / seconds}


def tessera(folder: Path, entries: int) -> dict[str, Any]:
    try:
        peer = built(folder, "peer")
    except subprocess.CalledProcessError:
        return {"missing": "its Go modules can't be had here"}
    command = [peer, "-folder", folder / "tessera", "-clients", CLIENTS, "-entries", entries]
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=3600,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def durable(load: Path, operator: Home, members: Path, entries: int) -> dict[str, Any]:
    with standing_in(load, members) as url, ExitStack() as stack:
        witnesses = tuple(WitnessSetting(name, f"{url}/{name}") for name in MEMBERS)
        operator.save(replace(operator.filed_settings(), witnesses=witnesses))
        server = stack.enter_context(serving(operator, "ledger", free_port()))
        before = server.cpu_seconds()
        rounds = loaded(load, server.url, members, entries)
        cpu, memory = server.cpu_seconds() - before, server.peak_mb()
        published = httpx.get(f"{server.url}/status").json()["published"]
    whole = rounds.pop()
    return {
        **whole,
        "clients": CLIENTS,
        "rounds": [row["per_second"] for row in rounds],
        "last_round_to_first": rounds[-1]["per_second"] / rounds[0]["per_second"],
        "server_cpu_us_per_entry": cpu / entries * 1e6,
        "server_peak_mb": memory,
        "published_at_the_end": published,
    }


def on_disk(homes: Sequence[Home]) -> dict[str, float]:
    """Publish what is there, and weigh it. The members' keys sign without replaying."""
    log = homes[0].path / "log"
    engine = Engine(log, homes[0].signer(LOG_KEY), clock=now)
    engine.publish([Blind(home.member, home.signer(COSIGNER_KEY)) for home in homes])
    size = engine.source.read("checkpoint").split(b"\n")[1]
    engine.close()
    weights = {
        "database": (log / DATABASE).stat().st_size,
        "tiles": sum(item.stat().st_size for item in (log / "tile").rglob("*") if item.is_file()),
    }
    return {"entries": int(size)} | {
        f"{what}_bytes_per_entry": weight / int(size) for what, weight in weights.items()
    }


def with_receipts(load: Path, homes: Sequence[Home], folder: Path, count: int) -> dict[str, Any]:
    ports = {home.member: free_port() for home in homes}
    ledger = free_port()
    witnesses = tuple(
        WitnessSetting(member, f"http://127.0.0.1:{port}") for member, port in ports.items()
    )
    homes = [
        home.save(
            replace(
                home.filed_settings(), ledger_url=f"http://127.0.0.1:{ledger}", witnesses=witnesses
            )
        )
        for home in homes
    ]
    with ExitStack() as stack:
        stack.enter_context(serving(homes[0], "ledger", ledger))
        for home in homes:
            stack.enter_context(serving(home, "witness", ports[home.member]))
        url = f"http://127.0.0.1:{ledger}"
        whole = loaded(load, url, folder / "members.json", count, "-receipts")[-1]
    return {**whole, "clients": CLIENTS, "witnesses": len(homes)}


def child(what: str, log: str) -> int:
    """Check a log in a process of its own, on one core; prints a line of JSON."""
    began, cpu = time.monotonic(), time.process_time()
    auditor = audit_cached if what == "cached" else audit
    report = auditor(Path(log))
    files, files_cpu = time.monotonic() - began, time.process_time() - cpu
    if not report.ok:
        sys.exit(report.message)
    parts = fsck.check_log(Path(log), auditor=auditor)
    if not all(part.ok for part in parts):
        sys.exit("; ".join(part.message for part in parts))
    whole = time.monotonic() - began - files
    told = {
        "entries": report.entries,
        "entries_per_second": report.entries / files,
        "cpu_us_per_entry": files_cpu / report.entries * 1e6,
        "signatures_from_cache": report.cached,
        "with_database_per_second": report.entries / whole,
    }
    print(json.dumps(told))
    return 0


# Processes.


class Server:
    """A `zhixin … serve` at work."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url

    def cpu_seconds(self) -> float:
        """What it has used so far, kernel included."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """The most memory that it held."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1000


@contextmanager
def standing_in(load: Path, members: Path) -> Iterator[str]:
    """Witnesses that sign without replaying; gives the URL before each member's name."""
    process = subprocess.Popen(
        [load, "-stand-in", "127.0.0.1:0", "-members", members], stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def serving(home: Home, group: str, port: int) -> Iterator[Server]:
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "zhixin_gateway.cli", "--home", str(home.path), group, "serve"]
    command += ["--port", str(port), "--no-access-log"]
    with (home.path / f"{group}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY_S
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit((home.path / f"{group}.log").read_text())
            time.sleep(0.05)
        yield Server(process, url)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/status", timeout=2).is_success
    except httpx.HTTPError:
        return False


def loaded(
    load: Path, url: str, members: Path, entries: int, *options: str
) -> list[dict[str, Any]]:
    command = [load, "-url", url, "-members", members, "-clients", CLIENTS, "-entries", entries]
    command += ["-round", max(CLIENTS, min(ROUND, entries // 2)), *options]
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, check=True, timeout=7200
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def in_child(what: str, log: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", what, log],
        stdout=subprocess.PIPE,
        check=True,
        timeout=7200,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What they work on.


class Blind:
    """Cosigns without looking: what is weighed and checked afterwards needs a checkpoint."""

    def __init__(self, name: str, signer: Signer) -> None:
        self.name = name
        self._signer = signer

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
        del old_size, proof
        text = Note.parse(note, "the checkpoint").text
        line = cosignature.cosign(text, f"{self.name}/witness", self._signer, int(time.time()))
        return line.line.encode()

    def latest(self, origin: str) -> bytes | None:
        del origin
        return None


def founded(folder: Path) -> list[Home]:
    """Four members' homes and their ledger, and a file with their seeds for the load."""
    homes = [
        create_home(folder / member, member, {"en": member, "zh": "成员"}, operator=not at)
        for at, member in enumerate(MEMBERS)
    ]
    homes = found(homes[0], homes, ORIGIN)
    seeds = [
        {
            "name": home.member,
            "seed": seed(home, STATEMENT_KEY),
            "cosigner": seed(home, COSIGNER_KEY),
        }
        for home in homes
    ]
    (folder / "members.json").write_text(json.dumps({"origin": ORIGIN, "members": seeds}))
    return homes


def seed(home: Home, name: str) -> str:
    key: Any = load_pem_private_key((home.path / "keys" / name).read_bytes(), None)
    return str(key.private_bytes_raw().hex())


def built(folder: Path, name: str) -> Path:
    """A Go program of this folder, built by the Go of this installation or of the machine."""
    beside = Path(sys.executable).with_name("go")
    go = str(beside) if beside.exists() else shutil.which("go")
    if go is None:
        sys.exit("the load generator is written in Go, which is not here: `make setup-test`")
    folder.mkdir(parents=True, exist_ok=True)
    made = (folder / f"{name}.bin").absolute()
    subprocess.run([go, "build", "-o", made, "."], cwd=HERE / name, check=True, timeout=600)
    return made


def machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"


def show(figures: dict[str, Any]) -> None:
    """The table, and each figure beside what is wanted of it."""
    print(figures["machine"])
    rows = [
        (part, name, value)
        for part, told in figures.items()
        if isinstance(told, dict)
        for name, value in flat(told)
    ]
    for part, name, value in rows:
        shown = f"{value:>14,.2f}" if isinstance(value, float) else f"{value!s:>14}"
        print(f"{part:14}{name:40}{shown}")
    durable, known = figures["durable"], figures["fsck"]["cached"]
    for what, got, want in (
        ("durable entries a second", durable["per_second"], 2_000),
        ("last round's rate / first's", durable["last_round_to_first"], 0.9),
        ("fsck --cached, entries a second", known["entries_per_second"], 15_000),
    ):
        print(f"{what:40}{got:>14,.2f}   at least {want:,}   {'yes' if got >= want else 'NO'}")


def flat(told: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in told.items():
        if isinstance(value, dict):
            yield from flat(value, f"{name} ")
        elif not isinstance(value, list):
            yield before + name, value


if __name__ == "__main__":
    sys.exit(main())
