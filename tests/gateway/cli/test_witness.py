"""Commands of a witness: by file from end to end, over HTTP as a process, reports checked."""

import io
import json
import shutil
import signal
import subprocess
import sys

import httpx
import pytest
from zhixin_gateway.founding import found
from zhixin_gateway.home import create_home
from zhixin_ledger import checkpoint, dsse, forks
from zhixin_ledger.checkpoint import Checkpoint
from zhixin_ledger.client import contract_statement
from zhixin_ledger.equivocation import Report
from zhixin_ledger.keys import MLDSA44
from zhixin_ledger.note import Note
from zhixin_ledger.signers import generate_signer
from zhixin_ledger.tiles import DirectorySource, Tiles

ORIGIN = "ledger.gov.example/council"


def stated(home, name="planes"):
    """Bring a statement in; nothing is published."""
    payload = contract_statement(ORIGIN, f"{home.member}/{name}", "1.0.0", "c0" * 32)
    with home.ledger_client() as client:
        return client.submit(dsse.sign_envelope(payload, [home.signer()]))


def published(council):
    return checkpoint.parse(Note.parse((council.path("a") / "log/checkpoint").read_bytes()).text)


@pytest.fixture
def from_stdin(monkeypatch):
    def give(data):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_cosignatures_travel_by_disk_from_end_to_end(council, zhixin, tmp_path, from_stdin):
    stated(council.home("b"))
    size = published(council).size + 2
    exported = zhixin("ledger", "pending", "--offline", home=council.path("a"))
    assert exported.code == 0, exported.err
    disk = tmp_path / "disk"
    shutil.copytree(council.path("a") / "log/tile", disk / "tile")
    (disk / "checkpoint-to-sign").write_text(exported.out)
    shutil.move(council.path("a"), tmp_path / "away")  # no network, no shared file system

    from_stdin(exported.out.encode())
    lines = zhixin("witness", "sign", "--tiles", disk, home=council.path("b"))
    assert lines.code == 0, lines.err
    assert lines.out.startswith("— b.gov.example/witness ")
    (disk / "b.txt").write_text(lines.out)
    for letter in "cd":
        note = zhixin(
            *("witness", "sign", disk / "checkpoint-to-sign", "--tiles", disk, "--note"),
            home=council.path(letter),
        )
        assert note.code == 0, note.err
        (disk / f"{letter}.txt").write_text(note.out)

    shutil.move(tmp_path / "away", council.path("a"))
    first = zhixin("ledger", "cosign", disk / "b.txt", "--json", home=council.path("a"))
    assert first.code == 3
    assert first.json == {"size": size, "cosigned": 1, "quorum": 3, "published": False}
    assert "still too few" in first.err
    rest = zhixin("ledger", "cosign", disk / "c.txt", disk / "d.txt", home=council.path("a"))
    assert rest.code == 0
    assert "3 of 3 cosignatures" in rest.err
    assert published(council).size == size
    again = zhixin("ledger", "cosign", disk / "b.txt", home=council.path("a"))
    assert again.code == 1
    assert "of no checkpoint that was exported here" in again.err
    told = zhixin("witness", "status", "--json", home=council.path("b")).json
    assert told["cosigned"]["size"] == size
    assert [key["in_force"] for key in told["keys"]] == [True]
    told = zhixin("witness", "status", home=council.path("b")).out
    assert f"cosigned {size} entries last" in told


def test_sign_says_what_it_wants(council, zhixin, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cp").write_text("nonsense\n")
    nothing = zhixin(
        *("witness", "sign", tmp_path / "cp", "--tiles", tmp_path / "empty"),
        home=council.path("b"),
    )
    assert nothing.code == 2
    assert "there is no ledger in" in nothing.err
    nonsense = zhixin("witness", "sign", tmp_path / "cp", home=council.path("b"))
    assert nonsense.code == 1
    assert nonsense.out == ""
    (council.path("b") / "keys/cosigner.pem").unlink()
    keyless = zhixin("witness", "sign", tmp_path / "cp", home=council.path("b"))
    assert keyless.code == 2
    assert "does not cosign" in keyless.err


def test_a_witness_holds_to_the_trust_that_its_home_pinned(council, zhixin, tmp_path):
    """A log that shows a newcomer another genesis under the same name gets nothing."""
    homes = [create_home(tmp_path / "x" / n, n, operator=n == "a.gov.example")
             for n in ("a.gov.example", "b.gov.example")]  # fmt: skip
    found(homes[0], homes, ORIGIN)
    shutil.rmtree(council.path("b") / "ledger")
    refused = zhixin(
        *("witness", "sign", homes[0].path / "log/checkpoint", "--tiles", homes[0].path / "log"),
        home=council.path("b"),
    )
    assert refused.code == 1
    assert "not those of the trust that this home pinned" in refused.err
    assert zhixin("witness", "status", "--json", home=council.path("b")).json["size"] == 0


def forked_report(council) -> Report:
    home = council.home("a")
    note = Note.parse((home.path / "log/checkpoint").read_bytes())
    made = checkpoint.parse(note.text)
    other = checkpoint.sign(Checkpoint(ORIGIN, made.size, bytes(32)), home.signer("log.pem"))
    return Report.make(other, note, made.root, [])


def test_a_report_is_checked_by_anybody_who_has_a_trust(council, zhixin, tmp_path):
    report = forked_report(council)
    file = tmp_path / "report.json"
    file.write_bytes(report.to_bytes())
    trust = council.path("c") / "trust"
    told = zhixin("ledger", "equivocation", file, "--trust", trust)
    assert told.code == 0
    assert told.out.startswith(f"PROVEN: {ORIGIN} was signed in two histories")
    assert "the log signed both" in told.out
    told = zhixin("ledger", "equivocation", file, "--trust", trust, "--json").json
    assert (told["proven"], told["log"], told["members"]) == (True, True, [])
    bad = json.loads(report.to_bytes())
    bad["root"] = "11" * 32  # neither checkpoint has it, in whichever order they stand
    file.write_text(json.dumps(bad, separators=(",", ":"), ensure_ascii=False, sort_keys=True))
    told = zhixin("ledger", "equivocation", file, "--trust", trust)
    assert told.code == 1
    assert "PROVEN" not in told.out
    assert zhixin("ledger", "equivocation", file).code == 2
    assert zhixin("ledger", "equivocation", tmp_path / "none", "--trust", trust).code == 2


def test_a_report_that_the_home_keeps_is_known_by_its_name(council, zhixin):
    path = forks.keep(council.path("c") / "ledger", forked_report(council))
    told = zhixin("ledger", "equivocation", path.name, home=council.path("c"))
    assert told.code == 0, told.err
    assert path.name in zhixin("witness", "status", home=council.path("c")).out
    found = zhixin("doctor", "--json", home=council.path("c"))
    assert found.code == 2
    (told,) = [each for each in found.json["findings"] if each["check"] == "histories"]
    assert told["state"] == "fail"
    assert path.name in told["message"]


def test_serve_runs_as_a_process_and_ends_cleanly(council, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "zhixin_gateway.cli", "--home", str(council.path("b")),
         "witness", "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = json.loads(process.stdout.readline())["url"]
        status = httpx.get(f"{url}/status", timeout=20).json()
        assert status["member"] == "b.gov.example"
        served = httpx.get(f"{url}/checkpoint", timeout=20).content
        assert served == (council.path("b") / "ledger/checkpoint").read_bytes()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
        _, err = process.communicate(timeout=20)
    assert "serving the witness of b.gov.example" in err
    assert "Traceback" not in err


def test_keys_of_both_kinds_stand_side_by_side_on_what_the_gate_accepts(zhixin, tmp_path):
    names = [f"{letter}.gov.example" for letter in "abcd"]
    homes = []
    for name in names:
        keys = tmp_path / name / "keys"
        if name[0] in "bd":
            keys.mkdir(parents=True, mode=0o700)
            generate_signer(keys / "cosigner.pem", kind=MLDSA44)
        homes.append(create_home(tmp_path / name, name, operator=name == names[0]))
    homes = found(homes[0], homes, ORIGIN)
    (tmp_path / "things.csv").write_text("id,day\n1,2024-01-01\n2,2024-01-02\n")
    inferred = zhixin("source", "infer", "things.csv", "things.csv", home=homes[0].path)
    contract = homes[0].path / "contracts" / "things.odcs.yaml"
    contract.write_text(inferred.out)
    answer = zhixin("run", contract, home=homes[0].path)
    assert answer.code == 0, answer.err
    version = homes[0].store / names[0] / "things" / "1"
    note = Note.parse((homes[0].path / "log/checkpoint").read_bytes())
    lengths = sorted(len(line.signature) for line in note.signatures)
    assert lengths == [64, 72, 72, 2428, 2428]
    assert len(note.format()) < 16 * 1024
    told = zhixin("verify", version, "--trust", homes[2].trust_dir, "--json").json
    assert told["ok"], told
    assert Tiles(DirectorySource(homes[1].ledger_dir), 2).entry(0)
