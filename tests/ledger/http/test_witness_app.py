"""A witness over HTTP: every status of C2SP tlog-witness, replay, races, reports, its mirror."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from zhixin_errors import LedgerUnavailable
from zhixin_ledger import admission, checkpoint, cosignature, embedded
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.client import member_object
from zhixin_ledger.equivocation import Report
from zhixin_ledger.http.client import HttpSource, HttpWitness
from zhixin_ledger.http.log_app import LogOptions
from zhixin_ledger.http.serving import running
from zhixin_ledger.http.witness_app import make_witness_app, parse_question
from zhixin_ledger.http.witness_service import WitnessOptions, WitnessService
from zhixin_ledger.keys import MLDSA44
from zhixin_ledger.mirror import Mirror
from zhixin_ledger.note import Note, parse_signature_lines
from zhixin_ledger.signers import MemorySigner, generate_signer, key_files, load_signer
from zhixin_ledger.state import Change
from zhixin_ledger.statements import member_statement
from zhixin_ledger.tiles import Tiles
from zhixin_ledger.trust import trust_of

PLANES = "faa.gov.example/planes"
WITNESS = "noaa.gov.example"
QUIET = WitnessOptions(poll_s=60)


@dataclass
class Served:
    """A witness that is being served."""

    url: str
    service: WitnessService
    lines: list[str]

    def add(self, old_size: int, proof: list[bytes], note: bytes) -> httpx.Response:
        hashes = "".join(base64.b64encode(item).decode() + "\n" for item in proof)
        return self.post(f"old {old_size}\n{hashes}\n".encode() + note)

    def post(self, body: bytes) -> httpx.Response:
        return httpx.post(f"{self.url}/add-checkpoint", content=body, timeout=30)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}/{path}", timeout=30)


@pytest.fixture
def serve_witness(world) -> Iterator[Callable[..., Served]]:
    """Serve the witness of a member's home on a thread."""
    with ExitStack() as stack:

        def start(source, name: str = WITNESS, options: WitnessOptions = QUIET) -> Served:
            home = world.home(name)
            lines: list[str] = []
            mirror = Mirror(home / "ledger")
            stack.callback(mirror.close)
            service = WitnessService(
                name,
                mirror,
                lambda: [load_signer(file) for file in key_files(home / "keys/cosigner.pem")],
                source,
                world.clock,
                WitnessOptions(options.poll_s, options.wait_s, options.peers, lines.append),
            )
            url = stack.enter_context(running(make_witness_app(service)))
            return Served(url, service, lines)

        yield start


def grown(world, log, *datasets: str):
    for dataset in datasets:
        log.follow([world.contract(dataset)]).sealed().note()
    return log


def note_at(log, size: int) -> bytes:
    root = Tiles(log.source, len(log.entries)).root(size)
    made = Checkpoint(log.world.origin, size, root)
    return checkpoint.sign(made, log.world.log_signer).format()


def path_to(log, old_size: int, size: int) -> list[bytes]:
    return Tiles(log.source, size).consistency_path(old_size)


# The protocol.


def test_the_dialogue_of_c2sp_status_by_status(world, liar, make_liar, serve_witness):
    liar.note()
    grown(world, liar, PLANES, "faa.gov.example/b")
    fork = grown(world, make_liar("fork"), "faa.gov.example/c", "faa.gov.example/d")
    served = serve_witness(liar.source)
    log_id = hashlib.sha256(world.origin.encode()).hexdigest()
    assert served.get(f"{log_id}/checkpoint").status_code == 404

    first = served.add(0, [], note_at(liar, 2))
    assert first.status_code == 200
    (line,) = parse_signature_lines(first.content)
    assert line.name == f"{WITNESS}/witness"
    assert served.get(f"{log_id}/checkpoint").content.endswith(first.content)

    again = served.add(0, [], note_at(liar, 4))
    assert (again.status_code, again.content) == (409, b"2\n")
    assert again.headers["content-type"] == "text/x.tlog.size"  # as it stands, no charset

    path = path_to(liar, 2, 4)
    assert served.add(2, [bytes(32), *path[1:]], note_at(liar, 4)).status_code == 422
    assert served.add(2, [*path, bytes(32)], note_at(liar, 4)).status_code == 422
    assert served.add(2, [], note_at(liar, 4)).status_code == 422
    assert served.add(2, path, note_at(liar, 4)).status_code == 200
    assert served.add(2, path, note_at(liar, 4)).content == b"4\n"  # it was answered before
    assert served.add(4, [], note_at(liar, 4)).status_code == 200  # refreshed
    assert served.add(4, [], note_at(fork, 4)).status_code == 422  # one size, another root
    assert served.add(4, path_to(fork, 4, 6), note_at(fork, 6)).status_code == 422
    assert served.add(5, [], note_at(liar, 4)).status_code == 400
    assert served.add(2, [], note_at(liar, 2)).content == b"4\n"

    other = Checkpoint("other.example/1", 6, bytes(32))
    assert served.add(4, [], checkpoint.sign(other, world.log_signer).format()).status_code == 404
    stranger = checkpoint.sign(
        checkpoint.parse(Note.parse(note_at(liar, 6)).text), MemorySigner(b"\1" * 32)
    ).format()
    for old_size in (0, 4, 9):  # before sizes are looked at
        assert served.add(old_size, [], stranger).status_code == 403
    good = note_at(liar, 6)
    both = good + stranger.partition(b"\n\n")[2]
    assert served.add(4, path_to(liar, 4, 6), both).status_code == 200  # unknown lines are ignored
    broken = served.add(6, [], good[:-5] + b"AAA=\n")
    assert broken.status_code in {400, 403}, (good, broken.content)

    latest = Note.parse(served.get(f"{log_id}/checkpoint").content)
    assert checkpoint.parse(latest.text).size == 6
    assert len(cosignature.counted(latest, liar.state.cosigner_keys())) == 1
    wrong = hashlib.sha256(b"o:" + world.origin.encode()).hexdigest()
    assert served.get(f"{wrong}/checkpoint").status_code == 404
    assert served.get("add-checkpoint").status_code == 405


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b"",
        lambda body: body.replace(b"old 0\n", b"old 00\n"),
        lambda body: body.replace(b"old 0\n", b"old +0\n"),
        lambda body: body.replace(b"old 0\n", b"old 0 \n"),
        lambda body: body.replace(b"old 0\n", b"old  0\n"),
        lambda body: body.replace(b"old 0\n", b"OLD 0\n"),
        lambda body: body.replace(b"old 0\n", "old ٠\n".encode()),
        lambda body: body.replace(b"old 0\n", b"old 9223372036854775808\n"),
        lambda body: body.replace(b"old 0\n\n", b"old 0\n"),
        lambda body: body.replace(b"old 0\n", b"old 0\nAAAA\n"),
        lambda body: body.replace(b"old 0\n", b"old 0\n" + b"A" * 43 + b"\n"),
        lambda body: body.replace(b"old 0\n", b"old 0\n" + (b"A" * 43 + b"=\n") * 64),
        lambda body: body.replace(b"old 0\n", b"old 0\r\n"),
        lambda body: body[:-1],
        lambda body: body + b"\n",
        lambda body: body.replace(b"\n2\n", b"\n02\n"),
        lambda body: body.replace(b"\n2\n", b"\n2\nextension\n\n"),
        lambda body: body.replace("—".encode(), b"-"),
        lambda body: b"\xff" + body,
    ],
)
def test_what_is_no_question_is_400(liar, change, serve_witness):
    served = serve_witness(liar.source)
    body = change(b"old 0\n\n" + liar.note().format())
    answer = served.post(body)
    assert answer.status_code == 400, answer.content
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "malformed"


def test_a_question_may_be_so_long(liar, serve_witness):
    served = serve_witness(liar.source)
    assert served.post(b"x" * 300_000).status_code == 413
    longest = b"old 1\n" + (base64.b64encode(bytes(32)) + b"\n") * 63 + b"\nnote"
    assert parse_question(longest) == (1, [bytes(32)] * 63, b"note")


def test_who_starts_again_goes_on_where_it_was(world, liar, serve_witness):
    assert serve_witness(liar.source).add(0, [], liar.note().format()).status_code == 200
    served = serve_witness(liar.source)
    grown(world, liar, PLANES)
    assert served.add(0, [], note_at(liar, 4)).content == b"2\n"
    assert served.add(2, path_to(liar, 2, 4), note_at(liar, 4)).status_code == 200


def test_a_key_that_a_rotation_brings_signs_without_a_restart(world, liar, serve_witness):
    served = serve_witness(liar.source)
    assert served.add(0, [], liar.note().format()).status_code == 200
    keys = world.home(WITNESS) / "keys"
    new = generate_signer(keys / "cosigner-new.pem", kind=MLDSA44)
    key = cosignature.key_of(f"{WITNESS}/witness", new)
    member = member_object(
        WITNESS,
        (WITNESS, "成员"),
        statement_key=world.signers[WITNESS].public_key,
        cosigner=key,
    )
    payload = member_statement(world.origin, "rotate", member, 3, liar.state.ledger.entry)
    liar.follow([world.signed(payload, *world.names)]).sealed().note()
    answer = served.add(2, path_to(liar, 2, 4), note_at(liar, 4))
    (line,) = parse_signature_lines(answer.content)
    assert cosignature.verify(line, key, Note.parse(note_at(liar, 4)).text)
    # Without either key it says so, and signs again once one is there.
    (keys / "cosigner-new.pem").rename(keys / "away.pem")
    again = serve_witness(liar.source)
    refused = again.add(4, [], note_at(liar, 4))
    assert (refused.status_code, refused.json()["code"]) == (422, "witness-key")
    (keys / "away.pem").replace(keys / "cosigner.pem")
    assert again.add(4, [], note_at(liar, 4)).status_code == 200


def test_a_witness_that_ran_ahead_of_time_says_so(world, liar, serve_witness):
    served = serve_witness(liar.source)
    world.clock.move(7200)
    assert served.add(0, [], liar.note().format()).status_code == 200
    world.clock.move(-7200)
    assert served.get("status").json()["clock_behind_s"] == 7200
    assert "zhixin_clock_behind_seconds 7200.0" in served.get("metrics").text


# Replay.


def test_an_entry_that_breaks_a_rule_is_422_with_the_rule(world, liar, serve_witness):
    grown(world, liar, PLANES)
    liar.force(world.version(PLANES, 1, signer="bts.gov.example")).sealed().note()
    served = serve_witness(liar.source)
    answer = served.add(0, [], note_at(liar, 6))
    assert answer.status_code == 422
    assert (answer.json()["code"], answer.json()["index"]) == ("owner", 4)
    assert served.service.seen.refusals == {"owner": 1}
    assert any("refused a checkpoint: owner" in line for line in served.lines)
    assert served.add(0, [], note_at(liar, 4)).status_code == 200


def test_an_entry_that_is_none_is_422_not_the_askers_fault(liar, serve_witness):
    liar.force(b"nonsense", Change(())).sealed().note()
    answer = serve_witness(liar.source).add(0, [], note_at(liar, 4))
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")


class Faulty:
    """A source that can be switched off, or made to wait."""

    def __init__(self, source) -> None:
        self.source = source
        self.down = False
        self.gate: threading.Event | None = None
        self._lock = threading.Lock()

    def read(self, path: str) -> bytes | None:
        if self.gate is not None:
            assert self.gate.wait(20)
        with self._lock:
            if self.down:
                raise LedgerUnavailable("the ledger can't be reached")
            return self.source.read(path)

    def close(self) -> None:
        """Nobody reads any more, though a witness may still try."""
        with self._lock:
            self.down = True
            self.source.close()


def test_a_log_that_can_not_be_read_is_503_and_comes_back(liar, serve_witness):
    source = Faulty(liar.source)
    served = serve_witness(source)
    note = liar.note().format()
    source.down = True
    answer = served.add(0, [], note)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    source.down = False
    assert served.add(0, [], note).status_code == 200


def test_who_asks_while_it_is_at_work_is_told_to_come_again(liar, serve_witness):
    source = Faulty(liar.source)
    source.gate = threading.Event()
    served = serve_witness(source, options=WitnessOptions(poll_s=60, wait_s=0.2))
    note = liar.note().format()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(served.add, 0, [], note)
        time.sleep(0.1)
        answer = served.add(0, [], note)
        assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        # Meanwhile everybody can read.
        assert served.get("status").json()["member"] == WITNESS
        assert served.get("metrics").status_code == 200
        source.gate.set()
        assert slow.result().status_code in {200, 429}
    assert served.add(0, [], note).status_code in {200, 409}


def test_of_two_conflicting_trees_at_once_one_is_cosigned(world, liar, make_liar, serve_witness):
    """Two processes of one home, each with another tree before it."""
    liar.note()
    fork = make_liar("fork")
    grown(world, liar, PLANES)
    grown(world, fork, "faa.gov.example/other")
    logs = [liar, fork] * 2
    servers = [serve_witness(log.source) for log in logs]
    assert servers[0].add(0, [], note_at(liar, 2)).status_code == 200
    begin = threading.Barrier(len(logs))

    def ask(at: int) -> httpx.Response:
        begin.wait(10)
        log = logs[at]
        return servers[at].add(2, path_to(log, 2, 4), note_at(log, 4))

    with ThreadPoolExecutor(len(logs)) as pool:
        answers = list(pool.map(ask, range(len(logs))))
    roots = {Tiles(logs[at].source, 4).root() for at in range(4) if answers[at].status_code == 200}
    assert len(roots) == 1
    assert {answer.status_code for answer in answers} <= {200, 409, 422}
    mirror = Mirror(world.home(WITNESS) / "ledger")
    assert mirror.cosigned()[:2] == (4, roots.pop())
    mirror.close()


# Reports.


def test_a_fork_is_kept_told_and_served_to_anybody(world, liar, make_liar, serve_witness):
    liar.note()
    grown(world, liar, PLANES)
    fork = grown(world, make_liar("fork"), "faa.gov.example/other")
    served = serve_witness(liar.source)
    assert served.add(0, [], note_at(liar, 4)).status_code == 200
    assert served.get("equivocation").json() == {"reports": []}
    answer = served.add(4, [], note_at(fork, 4))
    assert answer.status_code == 422
    name = answer.json()["report"]
    assert served.get("equivocation").json() == {"reports": [name]}
    report = Report.parse(served.get(f"equivocation/{name}").content)
    assert report.verify(trust_of(liar.state)).log
    assert served.get("status").json()["equivocation"] == 1
    assert "zhixin_equivocation_reports 1.0" in served.get("metrics").text
    assert any(line.startswith("EQUIVOCATION") and name in line for line in served.lines)
    assert served.get("equivocation/..%2Fcheckpoint").status_code == 404
    assert served.get("equivocation/1-2.json").status_code == 404


# The mirror, and a ledger over HTTP alone.


@pytest.fixture
def network(world, serve_log, serve_witness):
    """Serve the world's log, and every member's witness, which reads it by its URL."""

    opened: list = []

    def start(extra=(), **options):
        source = Faulty(None)
        source.down = True  # until the log is there
        witnesses = [
            serve_witness(source, name, WitnessOptions(poll_s=0.1)) for name in world.names
        ]
        urls = [witness.url for witness in witnesses]
        asked = [HttpWitness(name, url) for name, url in zip(world.names, urls, strict=True)]
        log = serve_log([*asked, *extra], LogOptions(interval_s=0.02), **options)
        source.source, source.down = HttpSource(log.url), False
        opened.extend([source, *asked])
        return log, witnesses

    yield start
    for each in opened:
        each.close()


def wait_for(told: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not told():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def submit(log, envelope: bytes, query: str = "") -> httpx.Response:
    return httpx.post(f"{log.url}/entries{query}", content=envelope, timeout=30)


def test_every_mirror_follows_by_itself_and_serves_what_was_published(world, network):
    log, witnesses = network()
    answer = submit(log, world.contract(PLANES), "?wait=receipt")
    assert answer.status_code == 201
    published = httpx.get(f"{log.url}/checkpoint").content
    made = checkpoint.parse(Note.parse(published).text)
    for witness in witnesses:
        wait_for(lambda: witness.get("checkpoint").content == published)  # noqa: B023
        mirrored = HttpSource(witness.url)
        assert Tiles(mirrored, 4).root() == made.root
        assert Tiles(mirrored, 4).entry(2) == world.contract(PLANES)
        status = witness.get("status").json()
        assert (status["published"], status["lag"], status["fault"]) == (4, 0, None)
        assert status["cosigned"]["size"] == 4
        mirrored.close()


class AnotherMake:
    """A witness of another make: it cosigns whatever it is given, as C2SP lets it."""

    def __init__(self, name: str, signer) -> None:
        self.name = name
        self.signer = signer

    def add_checkpoint(self, old_size: int, proof, note: bytes) -> bytes:
        text = Note.parse(note).text
        return cosignature.cosign(text, f"{self.name}/witness", self.signer, 1).line.encode()

    def latest(self, origin: str) -> bytes | None:
        return None


def let_in(monkeypatch, bad: bytes) -> None:
    """Tamper with a log's writer: one entry goes in past every rule. Witnesses stay as they are."""

    class Lax:
        @staticmethod
        def admit(state, data):
            if data != bad:
                return admission.admit(state, data)
            return admission.Admitted(state.size, bad, b"", Change(()))

        take_in = staticmethod(admission.take_in)

    monkeypatch.setattr(embedded, "admission", Lax())


def test_a_tampered_log_gets_no_members_cosignature_over_the_network(world, network, monkeypatch):
    """Nor does a witness of another make that cosigns it help: it counts towards no quorum."""
    stranger = AnotherMake("w.other.example", MemorySigner(b"\1" * 32))
    posing = AnotherMake(world.names[1], MemorySigner(b"\2" * 32))
    log, witnesses = network(extra=[stranger, posing])
    assert submit(log, world.contract(PLANES), "?wait=receipt").status_code == 201
    bad = world.version(PLANES, 7)  # no first version before it
    let_in(monkeypatch, bad)
    answer = submit(log, bad, "?wait=receipt&timeout=2")
    assert (answer.status_code, answer.json()["code"]) == (503, "quorum")
    refused = [witness.service.seen.refusals for witness in witnesses]
    wait_for(lambda: all(codes["version-order"] for codes in refused))
    assert checkpoint.parse(Note.parse(httpx.get(f"{log.url}/checkpoint").content).text).size == 4
    assert [witness.service.seen.cosigned for witness in witnesses] == [4] * 4


def test_a_fault_that_nobody_foresaw_does_not_end_the_following(liar, serve_witness):
    class Broken:
        whole = False

        def read(self, path: str) -> bytes | None:
            if not self.whole:
                raise RuntimeError("nobody foresaw this")
            return liar.source.read(path)

    liar.note()
    source = Broken()
    served = serve_witness(source, options=WitnessOptions(poll_s=0.05))
    wait_for(lambda: (served.get("status").json()["fault"] or {}).get("code") == "internal")
    source.whole = True
    wait_for(lambda: served.get("status").json()["fault"] is None)


@pytest.mark.slow
def test_schemathesis_finds_nothing(liar, serve_witness, tmp_path):
    """Every route by its own OpenAPI document; that random bytes are refused is no fault."""
    served = serve_witness(liar.source)
    assert served.add(0, [], liar.note().format()).status_code == 200
    attack = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", f"{served.url}/openapi.json",
         "--checks", "all", "--exclude-checks", "positive_data_acceptance",
         "--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1",
         "--no-color", "--generation-database", "none"],
        capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert attack.returncode == 0, attack.stdout[-6000:] + attack.stderr[-1000:]
    assert served.get("status").json()["cosigned"]["size"] == 2


def test_codes_that_a_log_makes_up_are_not_counted_each(world, liar, serve_witness):
    """A figure a code: a log could have its members' metrics grow without end."""

    class Inventing:
        number = 0

        def read(self, path: str) -> bytes | None:
            del path
            self.number += 1
            raise LedgerUnavailable("no", code=f"made-up-{self.number}")

    served = serve_witness(Inventing())
    note = liar.note().format()
    for _ in range(60):
        with suppress(LedgerUnavailable):
            served.service._add(0, [], note)
    refusals = served.service.seen.refusals
    assert sum(refusals.values()) == 60
    assert len(refusals) <= 51
